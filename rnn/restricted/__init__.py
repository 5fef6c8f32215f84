"""The kernel restricted to one parameter direction through a bifurcation, and its prediction."""

from rnn.restricted.prediction import Prediction, predict
from rnn.restricted.sweep import Sweep, amplification_along, dominant, fit, restrict

__all__ = ["Prediction", "Sweep", "amplification_along", "dominant", "fit", "predict", "restrict"]
