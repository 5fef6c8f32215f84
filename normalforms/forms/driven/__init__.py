"""Amplification under inputs: white and coloured noise, constant and periodic inputs."""

from normalforms.forms.driven.inputs import Autoregressive, Constant, Input, Sinusoid, White, law_moment, law_nodes
from normalforms.forms.driven.law import DrivenLaw, Spread, driven
from normalforms.forms.driven.linear import autoregressive_sum, constant_sum, sinusoid_sum, white_sum
from normalforms.forms.driven.moments import coefficients, critical_series, leading
from normalforms.forms.driven.number import Number
from normalforms.forms.driven.scaling import DrivenScaling
from normalforms.forms.driven.stationary import (
    exponent_formula,
    moment_exponent,
    stationary_moment,
    tail_index,
    threshold_ratio,
)

__all__ = [
    "Autoregressive",
    "Constant",
    "DrivenLaw",
    "DrivenScaling",
    "Input",
    "Number",
    "Sinusoid",
    "Spread",
    "White",
    "autoregressive_sum",
    "coefficients",
    "constant_sum",
    "critical_series",
    "driven",
    "exponent_formula",
    "law_moment",
    "law_nodes",
    "leading",
    "moment_exponent",
    "sinusoid_sum",
    "stationary_moment",
    "tail_index",
    "threshold_ratio",
    "white_sum",
]
