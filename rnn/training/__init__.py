"""Training as compiled scans, single runs and ensembles, and their record on disk."""

from rnn.training.ensemble import train_all
from rnn.training.record import Folder, RecordError, Run
from rnn.training.steps import COLD, COST
from rnn.training.train import DivergedError, Progress, begin, recorded, train, train_while_finite

__all__ = [
    "COLD",
    "COST",
    "DivergedError",
    "Folder",
    "Progress",
    "RecordError",
    "Run",
    "begin",
    "recorded",
    "train",
    "train_all",
    "train_while_finite",
]
