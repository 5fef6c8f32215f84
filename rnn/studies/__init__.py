"""Studies: each trains or computes, draws its figures, and writes its section of the report."""

from rnn.studies.study import studies

__all__ = ["studies"]
