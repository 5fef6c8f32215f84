"""What is known while a forecast is being made, and the thresholds that decide its status."""

from __future__ import annotations

import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from rnn.approach import LOST, kind_of, settle, top_two
from rnn.forecasting.flow import Flow
from rnn.forecasting.learner import Learner, Lesson
from rnn.forecasting.result import Cost, Forecast, Method, Status
from rnn.models import Rebuild, trajectory

__all__ = ["BULK", "ERROR", "GAP", "LAW_FROM", "OVERLAP", "SMALL", "RefusedError", "View"]

# Thresholds and error bars were chosen on seeds 0 to 4 of the student–teacher task and tested on 5 to 9.
LAW_FROM = 0.6  # below, the critical vectors may still mix with the other neurons
GAP = 0.85  # next modulus over the critical one beyond which a single mode is not the story
OVERLAP = 0.25  # of the critical vectors with the read-out, below which they are the bulk's own
BULK = 0.72  # next modulus beyond which the bulk is strong: a few axes do not hold it
SMALL = 0.35  # root mean square of states beyond which tanh is no identity
ERROR = {"flow": (1.5, 0.005), "law": (0.3, 0.01), "twin": (1.0, 0.04)}
"""Floor of the error bar, in steps, and as a share of the steps to go."""


_SETTLED = 100  # steps under an input, after which Newton's method looks for the point that orbits go to


class RefusedError(Exception):
    """Carries a status and its sentence."""

    def __init__(self, status: Status, detail: str) -> None:
        super().__init__(detail)
        self.status, self.detail = status, detail


class View:
    """What is known while a forecast is being made."""

    def __init__(self, method: Method, at: float, began: float, lesson: Lesson, learner: Learner) -> None:
        self.method, self.at, self.began = method, at, began
        self.lesson, self.learner = lesson, learner
        self.gradients = self.small = 0
        self.point = np.zeros(0)
        self.values = np.zeros(2, complex)
        self.velocity: np.ndarray | None = None
        self.batch: int | None = None
        self.x: Any = None
        self.inputs: Any = None

    def begin(self, point: Any) -> None:
        """Find the fixed point and its multipliers."""
        dtype = self.lesson.h0.dtype
        start = jnp.zeros(self.lesson.h0.shape[1], dtype) if point is None else jnp.asarray(point, dtype)
        if self.lesson.task.inputs is not None and not self.driven:
            try:
                jax.eval_shape(self.learner, start)
            except TypeError:
                why = "the network takes no call without an input; pass x=, the one at which to follow its fixed point"
                raise RefusedError("refused", why) from None
        if point is None and self.driven:
            start = trajectory(self.learner, start[None], _SETTLED)[0, -1]
        self.point, slope, residual = settle(self.learner, np.asarray(start, np.float64), dtype)
        if not residual <= LOST * (1 + np.linalg.norm(self.point)):
            raise RefusedError(
                "refused", "Newton's method finds no fixed point to follow from the given place; pass point= near one"
            )
        self.values = top_two(slope)

    def point_at(self, found: Flow) -> np.ndarray:
        """The followed fixed point at the end of a flow."""
        dtype = self.lesson.h0.dtype
        model = Rebuild(self.lesson.student)(found.parameters[-1].astype(dtype))
        return settle(model, self.point, dtype)[0]

    @property
    def driven(self) -> bool:
        """The point is followed under an input."""
        return self.x is not None or self.inputs is not None

    @property
    def past(self) -> bool:
        """The multiplier is beyond 1 already."""
        return bool(abs(self.values[0]) >= 1)

    @property
    def crowded(self) -> bool:
        """The next multiplier is close to the critical one."""
        return bool(abs(self.values[1]) > GAP * abs(self.values[0]))

    def made(self, status: Status, detail: str, **facts: Any) -> Forecast:
        """The forecast, with nothing foreseen but what is given."""
        nothing = np.zeros(0)
        known = {
            "crossing": float("nan"),
            "error": float("nan"),
            "kind": kind_of(self.values[0]),
            "next_crossing": float("nan"),
            "edge": float("nan"),
            "steps": nothing,
            "moduli": np.zeros((0, 2), complex),
            "losses": nothing,
        }
        cost = Cost(self.gradients, self.small, time.perf_counter() - self.began)
        return Forecast(method=self.method, at=self.at, status=status, detail=detail, cost=cost, **(known | facts))

    def error(self, crossing: float) -> float:
        """Half-width of the error bar of a crossing, in steps."""
        floor, share = ERROR[self.method]
        return max(floor, share * (crossing - self.at))
