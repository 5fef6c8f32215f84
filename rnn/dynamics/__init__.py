"""Fixed points, cycles, their bifurcations along training, and what warns of them."""

from rnn.dynamics.bifurcations import bifurcations
from rnn.dynamics.continuation import Branch, Follower, Place
from rnn.dynamics.events import Bifurcations, Event
from rnn.dynamics.exponents import Exponents, exponents
from rnn.dynamics.fixed_points import fixed_points
from rnn.dynamics.newton import float64, jacobians, period_map
from rnn.dynamics.normal_form import normal_form
from rnn.dynamics.points import FixedPoints
from rnn.dynamics.slow import Continuum, SlowPoints, slow_points
from rnn.dynamics.watch import Notice, Watch, watch

__all__ = [
    "Bifurcations",
    "Branch",
    "Continuum",
    "Event",
    "Exponents",
    "FixedPoints",
    "Follower",
    "Notice",
    "Place",
    "SlowPoints",
    "Watch",
    "bifurcations",
    "exponents",
    "fixed_points",
    "float64",
    "jacobians",
    "normal_form",
    "period_map",
    "slow_points",
    "watch",
]
