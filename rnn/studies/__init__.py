"""Studies: each trains or computes, draws its figures, and writes its section of the report."""

from rnn.studies.make import Made, make
from rnn.studies.study import PRESETS, Settings, Study, chosen, find, plan

__all__ = ["PRESETS", "Made", "Settings", "Study", "chosen", "find", "make", "plan"]
