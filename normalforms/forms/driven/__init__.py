"""Amplification under inputs: white and coloured noise, constant and periodic inputs."""

from normalforms.forms.driven.inputs import Autoregressive, Constant, Input, Sinusoid, White
from normalforms.forms.driven.law import DrivenLaw, driven
from normalforms.forms.driven.untied import UntiedLaw, untied

__all__ = ["Autoregressive", "Constant", "DrivenLaw", "Input", "Sinusoid", "UntiedLaw", "White", "driven", "untied"]
