"""Laws and maps fitted to data."""

from normalforms.data.discover import Discovery, Rival, discover
from normalforms.data.fit import Fit, fit

__all__ = ["Discovery", "Fit", "discover", "fit"]
