"""Amplification under inputs: white and coloured noise, constant and periodic inputs."""

from normalforms.forms.driven.inputs import Autoregressive, Constant, Input, Sinusoid, White
from normalforms.forms.driven.law import DrivenLaw
from normalforms.forms.driven.several import GramDrivenLaw, PairDrivenLaw, driven
from normalforms.forms.driven.untied import UntiedLaw, untied

__all__ = [
    "Autoregressive",
    "Constant",
    "DrivenLaw",
    "GramDrivenLaw",
    "Input",
    "PairDrivenLaw",
    "Sinusoid",
    "UntiedLaw",
    "White",
    "driven",
    "untied",
]
