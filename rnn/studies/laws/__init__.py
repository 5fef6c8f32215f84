"""Figure 2: the laws of the named families."""

from rnn.studies.laws.figures import figure2

__all__ = ["figure2"]
