"""Figure 3: two unstable modes."""

from rnn.studies.two_modes.study import SETTINGS, TwoModes, two_modes

__all__ = ["SETTINGS", "TwoModes", "two_modes"]
