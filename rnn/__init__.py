"""Recurrent networks in JAX: training, state-space NTK, bifurcations and restricted kernels."""

from rnn.dynamics import (
    Bifurcations,
    Branch,
    Event,
    FixedPoints,
    Notice,
    Place,
    Watch,
    bifurcations,
    fixed_points,
    normal_form,
    watch,
)
from rnn.kernel import SNTK, Estimate, Modes, Spectrum, sntk
from rnn.models import GRU, LSTM, LeakyRNN, ModelPath, VanillaRNN, load, partition, trajectory
from rnn.natural_gradient import LowRankState, fisher_of, gauss_newton, low_rank_natural_gradient
from rnn.restricted import Prediction, Sweep, amplification_along, dominant, fit, predict, restrict
from rnn.tasks import Task, embed_fixed_points, student_teacher
from rnn.training import DivergedError, Progress, RecordError, Run, train, train_all

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
    "LeakyRNN",
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
