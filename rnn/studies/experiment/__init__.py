"""Figure 1: a network trained through its bifurcation, and its restricted kernel."""

# The registry reaches STUDY by the name of this folder.

from rnn.studies.experiment.beside import Training, training
from rnn.studies.experiment.figures import figure1, figure_bias
from rnn.studies.experiment.report import STUDY, headline, section, summary
from rnn.studies.experiment.study import PRESETS, Preset, Story, reproduce

__all__ = [
    "PRESETS",
    "STUDY",
    "Preset",
    "Story",
    "Training",
    "figure1",
    "figure_bias",
    "headline",
    "reproduce",
    "section",
    "summary",
    "training",
]
