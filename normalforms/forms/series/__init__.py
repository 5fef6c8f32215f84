"""Truncated laws: exact at one horizon, series in symbolic horizon, Padé approximants."""

from normalforms.forms.series.expansion import Local, local
from normalforms.forms.series.laws import Law, exact_formula, series_formula

__all__ = ["Law", "Local", "exact_formula", "local", "series_formula"]
