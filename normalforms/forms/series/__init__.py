"""Truncated laws: exact at one horizon, series in symbolic horizon, Padé approximants."""

from normalforms.forms.series.expansion import Local, critical_multiplier, local
from normalforms.forms.series.followed import followed
from normalforms.forms.series.laws import Law, exact_formula, series_formula

__all__ = ["Law", "Local", "critical_multiplier", "exact_formula", "followed", "local", "series_formula"]
