"""Somebody's own network."""

# The registry reaches STUDY by the name of this folder.
from rnn.studies.analysis.checkpoints import Checkpoints, checkpoints, find_files, steps_of
from rnn.studies.analysis.facts import failed
from rnn.studies.analysis.figures import figure
from rnn.studies.analysis.report import STUDY, Read, headline, section, summary
from rnn.studies.analysis.study import Analysis, analyze

__all__ = [
    "STUDY",
    "Analysis",
    "Checkpoints",
    "Read",
    "analyze",
    "checkpoints",
    "failed",
    "figure",
    "find_files",
    "headline",
    "section",
    "steps_of",
    "summary",
]
