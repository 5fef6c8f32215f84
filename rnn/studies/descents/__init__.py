"""Figure 4: natural gradient beside other optimizers."""

from rnn.studies.descents.study import Descents, descents

__all__ = ["Descents", "descents"]
