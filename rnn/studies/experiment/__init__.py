"""Figure 1: a network trained through its bifurcation, and its restricted kernel."""

from rnn.studies.experiment.figures import figure1, figure_bias
from rnn.studies.experiment.report import document, headline, summary
from rnn.studies.experiment.study import reproduce

__all__ = ["document", "figure1", "figure_bias", "headline", "reproduce", "summary"]
