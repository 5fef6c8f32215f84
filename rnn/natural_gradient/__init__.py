"""Training along the curvature as Optax transformations, the Fisher products they take, and an alarm for spikes."""

from rnn.natural_gradient.alarm import AlarmState, spike_alarm
from rnn.natural_gradient.clipped import LowRankState
from rnn.natural_gradient.curvature import fisher_of, gauss_newton
from rnn.natural_gradient.optimizer import low_rank_natural_gradient
from rnn.natural_gradient.plane import PlaneState
from rnn.natural_gradient.truncated import GaussNewtonState

__all__ = [
    "AlarmState",
    "GaussNewtonState",
    "LowRankState",
    "PlaneState",
    "fisher_of",
    "gauss_newton",
    "low_rank_natural_gradient",
    "spike_alarm",
]
