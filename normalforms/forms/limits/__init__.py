"""Limits: finite-time scaling functions, and the regimes below, at and above a bifurcation."""

from normalforms.forms.limits.bernoulli import abbreviations, polylogarithm
from normalforms.forms.limits.cusp import CuspScaling, cusp_scaling
from normalforms.forms.limits.numerics import (
    PITCHFORK,
    SADDLE_NODE,
    STABILITY_FLIP,
    TRANSCRITICAL,
    near,
    neimark_sacker_numerics,
)
from normalforms.forms.limits.regimes import Elementary, Regimes, above, below, log1p, plateau, sine, table
from normalforms.forms.limits.scaling import Scaling

__all__ = [
    "PITCHFORK",
    "SADDLE_NODE",
    "STABILITY_FLIP",
    "TRANSCRITICAL",
    "CuspScaling",
    "Elementary",
    "Regimes",
    "Scaling",
    "abbreviations",
    "above",
    "below",
    "cusp_scaling",
    "log1p",
    "near",
    "neimark_sacker_numerics",
    "plateau",
    "polylogarithm",
    "sine",
    "table",
]
