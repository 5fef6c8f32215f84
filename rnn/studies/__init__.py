"""Studies: each trains or computes, draws its figures, and writes its section of the report."""

from rnn.studies.make import Made, make
from rnn.studies.study import PRESETS, REGISTRY, Entry, Settings, Study, chosen, find, plan

__all__ = ["PRESETS", "REGISTRY", "Entry", "Made", "Settings", "Study", "chosen", "find", "make", "plan"]
