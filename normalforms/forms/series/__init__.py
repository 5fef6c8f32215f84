"""Truncated laws: exact at one horizon, series in symbolic horizon, Padé approximants."""

from normalforms.forms.series.degrees import Chart, by_degree, chart_of
from normalforms.forms.series.expansion import Local, critical_multiplier, local
from normalforms.forms.series.followed import followed
from normalforms.forms.series.laws import Law, exact_formula, series_formula
from normalforms.forms.series.rotating import rotates

__all__ = [
    "Chart",
    "Law",
    "Local",
    "by_degree",
    "chart_of",
    "critical_multiplier",
    "exact_formula",
    "followed",
    "local",
    "rotates",
    "series_formula",
]
