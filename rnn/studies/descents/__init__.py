"""Figure 4: natural gradient beside other optimizers."""

# The registry reaches STUDY by the name of this folder.

from rnn.studies.descents.figures import figure4
from rnn.studies.descents.optimizers import OPTIMIZERS, PAIR, RATE, Entrant
from rnn.studies.descents.report import STUDY, headline, section, summary
from rnn.studies.descents.study import Descent, Descents, descents

__all__ = [
    "OPTIMIZERS",
    "PAIR",
    "RATE",
    "STUDY",
    "Descent",
    "Descents",
    "Entrant",
    "descents",
    "figure4",
    "headline",
    "section",
    "summary",
]
