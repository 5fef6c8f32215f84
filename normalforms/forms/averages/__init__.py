"""Laws averaged over initial states."""

from normalforms.forms.averages.averages import AveragedLaw
from normalforms.forms.averages.distribution import Distribution, Empirical, Normal, Uniform

__all__ = ["AveragedLaw", "Distribution", "Empirical", "Normal", "Uniform"]
