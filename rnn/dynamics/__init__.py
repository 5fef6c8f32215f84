"""Fixed points, cycles, their bifurcations along training, and what warns of them."""

from rnn.dynamics.bifurcations import bifurcations
from rnn.dynamics.continuation import Branch, Follower, Place
from rnn.dynamics.events import Bifurcations, Event
from rnn.dynamics.fixed_points import FixedPoints, fixed_points
from rnn.dynamics.newton import float64, jacobians, period_map
from rnn.dynamics.normal_form import normal_form
from rnn.dynamics.watch import Notice, Watch, watch

__all__ = ["Bifurcations", "Branch", "Event", "FixedPoints", "Follower", "Notice", "Place", "Watch", "bifurcations", "fixed_points", "float64", "jacobians", "normal_form", "period_map", "watch"]
