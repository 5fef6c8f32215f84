"""Limits: finite-time scaling functions, and the regimes below, at and above a bifurcation."""

from normalforms.forms.limits.regimes import regimes
from normalforms.forms.limits.scaling import scaling

__all__ = ["regimes", "scaling"]
