"""Figure 2: the laws of the named families."""

# The registry reaches STUDY by the name of this folder.

from rnn.studies.laws.study import STUDY, Laws, figure2, laws

__all__ = ["STUDY", "Laws", "figure2", "laws"]
