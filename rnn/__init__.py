"""Recurrent networks in JAX: training, state-space NTK, bifurcations and restricted kernels."""

from rnn.bifurcation import bifurcations
from rnn.continuation import Branch, Place
from rnn.events import Bifurcations, Event
from rnn.fixed_points import FixedPoints, fixed_points
from rnn.jets import normal_form
from rnn.kernel import SNTK, sntk
from rnn.model import VanillaRNN, partition, trajectory
from rnn.record import ModelPath, RecordError, Run
from rnn.restricted import Prediction, Sweep, amplification_along, dominant, fit, predict, restrict
from rnn.spectrum import Estimate, Modes
from rnn.task import Task, embed_fixed_points, student_teacher
from rnn.train import DivergedError, Progress, train

__all__ = [
    "SNTK",
    "Bifurcations",
    "Branch",
    "DivergedError",
    "Estimate",
    "Event",
    "FixedPoints",
    "ModelPath",
    "Modes",
    "Place",
    "Prediction",
    "Progress",
    "RecordError",
    "Run",
    "Sweep",
    "Task",
    "VanillaRNN",
    "amplification_along",
    "bifurcations",
    "dominant",
    "embed_fixed_points",
    "fit",
    "fixed_points",
    "normal_form",
    "partition",
    "predict",
    "restrict",
    "sntk",
    "student_teacher",
    "train",
    "trajectory",
]
