"""Training as compiled scans, single runs and ensembles, and their record on disk."""

from rnn.training.ensemble import train_all
from rnn.training.record import Folder, RecordError, Run
from rnn.training.train import COLD, COST, DivergedError, Progress, begin, recorded, train

__all__ = ["COLD", "COST", "DivergedError", "Folder", "Progress", "RecordError", "Run", "begin", "recorded", "train", "train_all"]
