"""Somebody's own network."""

from rnn.studies.analysis.figures import figure
from rnn.studies.analysis.report import STUDY, headline, section, summary
from rnn.studies.analysis.study import Analysis, analyze

__all__ = ["STUDY", "Analysis", "analyze", "figure", "headline", "section", "summary"]
