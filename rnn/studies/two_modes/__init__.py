"""Figure 3: two unstable modes."""

# The registry reaches STUDY by the name of this folder.

from rnn.studies.two_modes.figures import figure3
from rnn.studies.two_modes.report import STUDY, headline, section, summary
from rnn.studies.two_modes.study import SETTINGS, Crossings, TwoModes, two_mode_task, two_modes

__all__ = [
    "SETTINGS",
    "STUDY",
    "Crossings",
    "TwoModes",
    "figure3",
    "headline",
    "section",
    "summary",
    "two_mode_task",
    "two_modes",
]
