"""Recurrent networks in JAX: training, state-space NTK, bifurcations and restricted kernels."""

from rnn.bifurcation import bifurcations
from rnn.continuation import Branch, Place
from rnn.curvature import fisher_of, gauss_newton
from rnn.density import Spectrum
from rnn.detector import Notice, Watch, watch
from rnn.ensemble import train_all
from rnn.events import Bifurcations, Event
from rnn.fixed_points import FixedPoints, fixed_points
from rnn.interop import GRU, LSTM, load
from rnn.jets import normal_form
from rnn.kernel import SNTK, sntk
from rnn.model import VanillaRNN, partition, trajectory
from rnn.optimizer import LowRankState, low_rank_natural_gradient
from rnn.prediction import Prediction, predict
from rnn.record import ModelPath, RecordError, Run
from rnn.restricted import Sweep, amplification_along, dominant, fit, restrict
from rnn.spectrum import Estimate, Modes
from rnn.task import Task, embed_fixed_points, student_teacher
from rnn.train import DivergedError, Progress, train

__all__ = [
    "GRU",
    "LSTM",
    "SNTK",
    "Bifurcations",
    "Branch",
    "DivergedError",
    "Estimate",
    "Event",
    "FixedPoints",
    "LowRankState",
    "ModelPath",
    "Modes",
    "Notice",
    "Place",
    "Prediction",
    "Progress",
    "RecordError",
    "Run",
    "Spectrum",
    "Sweep",
    "Task",
    "VanillaRNN",
    "Watch",
    "amplification_along",
    "bifurcations",
    "dominant",
    "embed_fixed_points",
    "fisher_of",
    "fit",
    "fixed_points",
    "gauss_newton",
    "load",
    "low_rank_natural_gradient",
    "normal_form",
    "partition",
    "predict",
    "restrict",
    "sntk",
    "student_teacher",
    "train",
    "train_all",
    "trajectory",
    "watch",
]
