"""Laws and maps fitted to data."""

from normalforms.data.agreement import Agreement
from normalforms.data.fit import Fit, fit
from normalforms.data.goodness import Goodness
from normalforms.data.profile import Combination

__all__ = ["Agreement", "Combination", "Fit", "Goodness", "fit"]
