"""`Forecast`: what is foreseen of a training, and what it rests on."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from scipy.interpolate import PchipInterpolator

from rnn.models import ModelPath

__all__ = ["Cost", "Forecast", "Method", "Status", "passage"]

Method = Literal["flow", "law", "twin"]
Status = Literal["ok", "flagged", "past", "none ahead", "refused", "diverging"]


@dataclass(frozen=True)
class Cost:
    """What a forecast spent.

    Args:
        gradients: of the network's loss, over the whole batch.
        small: gradients of a smaller network, or of a scalar reduction.
        seconds: wall time, compilation included.
    """

    gradients: int
    small: int
    seconds: float


@dataclass(frozen=True)
class Forecast:
    """A forecast of training; made by :func:`rnn.forecast`. Steps count from the beginning of the training.

    Args:
        method: ``"flow"``, ``"law"`` or ``"twin"``.
        at: the step at which it was made.
        status: ``"ok"``; ``"flagged"`` where the forecast stands but its error bar may not; ``"past"`` where the
            multiplier is beyond 1 already; ``"none ahead"`` where descent does not lead through a bifurcation, or not
            within the steps looked ahead; ``"refused"`` where the method does not apply; ``"diverging"``.
        detail: one sentence on the status.
        crossing: the step at which the critical multiplier's modulus reaches 1; ``nan`` for none.
        error: half-width of its error bar, in steps; see the page on learning for how often it holds.
        kind: by the critical multiplier there: ``"steady"`` (+1), ``"period_doubling"`` (−1), ``"neimark_sacker"``.
        next_crossing: the same of the next multiplier, or conjugate pair; ``nan`` where it was not seen.
        edge: the step at which the rate times the sharpness reaches 2; ``nan`` where it was not seen.
        first_rise: the step at which the loss first rises, which is later than ``edge`` by the time that an oscillation
            takes to grow; ``nan`` where it was not seen.
        cost: what the forecast spent.
        steps: places of the following arrays, increasing, shape (count,).
        moduli: the leading multipliers there, complex, by falling modulus, one of each pair, shape (count, 2).
        losses: shape (count,); ``nan`` where the method does not say.
        sharpness: largest curvature of the loss at the steps ``sharpness_steps``.
        path: the networks that were foreseen, of the method's own size; ``None`` for the law.
        deviation: standard deviation of the crossing's step where minibatches are drawn; the law's alone.
    """

    method: Method
    at: float
    status: Status
    detail: str
    crossing: float
    error: float
    kind: str
    next_crossing: float
    edge: float
    cost: Cost
    steps: np.ndarray = field(repr=False)
    moduli: np.ndarray = field(repr=False)
    losses: np.ndarray = field(repr=False)
    sharpness_steps: np.ndarray = field(repr=False, default_factory=lambda: np.zeros(0))
    sharpness: np.ndarray = field(repr=False, default_factory=lambda: np.zeros(0))
    path: ModelPath | None = field(repr=False, default=None)
    first_rise: float = float("nan")
    deviation: float = float("nan")

    @property
    def to_go(self) -> float:
        """Steps from the forecast to the crossing."""
        return self.crossing - self.at

    def multiplier(self, steps: Any) -> Any:
        """Modulus of the critical multiplier at ``steps``; ``nan`` outside the steps foreseen."""
        return self._at(steps, np.abs(self.moduli[:, 0]) if len(self.moduli) else np.zeros(0))

    def loss(self, steps: Any) -> Any:
        """Loss at ``steps``; ``nan`` outside the steps foreseen, and for the law."""
        return self._at(steps, self.losses)

    def _at(self, steps: Any, values: np.ndarray) -> Any:
        steps = np.asarray(steps, dtype=float)
        if len(self.steps) < 2:
            found = np.full(steps.shape, np.nan)
        else:
            found = PchipInterpolator(self.steps, values, extrapolate=False)(steps)
        return float(found) if found.ndim == 0 else found


def passage(steps: np.ndarray, values: np.ndarray, level: float = 1.0) -> float:
    """Where ``values`` first rises through ``level``, linear between the steps; ``nan`` where it does not.

    >>> passage(np.array([0.0, 10.0]), np.array([0.5, 1.5]))
    5.0
    """
    over = np.flatnonzero((values[1:] >= level) & (values[:-1] < level))
    if not len(over):
        return float("nan")
    k = int(over[0])
    share = (level - values[k]) / (values[k + 1] - values[k])
    return float(steps[k] + share * (steps[k + 1] - steps[k]))
