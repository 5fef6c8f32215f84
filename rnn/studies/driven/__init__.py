"""The study of networks with inputs: a flip-flop and a sine generator from training to prediction."""

from rnn.studies.driven.report import STUDY

__all__ = ["STUDY"]
