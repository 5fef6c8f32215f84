"""What descent does in the end: settle, oscillate, hop, be thrown back, or diverge."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

__all__ = ["REGIMES", "Descent", "Diagram", "classify", "descend", "diagram"]

REGIMES = ("monotone", "period two", "hopping", "thrown back", "diverging", "under way")
"""The ends that descent can have, in the order of their numbers in a `Diagram`."""

_SETTLED = 1e-3  # relative change of the loss, or of the distance to the teacher, that counts as none
_SMALL = 1e-9  # of the first loss: learnt


@dataclass(frozen=True)
class Descent:
    """A descent: parameters and losses before every step and after the last.

    Args:
        g: shape ``(steps + 1, *batch)``; ``nan`` after an orbit has left.
        loss: the same shape; ``inf`` where an orbit left.
    """

    g: np.ndarray
    loss: np.ndarray

    @property
    def status(self) -> np.ndarray:
        """``"finite"`` or ``"diverged"``, shape ``batch``."""
        return np.where(np.isfinite(self.loss[-1]), "finite", "diverged")

    def crossing(self, level: float = 1.0) -> np.ndarray:
        """The step at which g passes ``level``, linear between steps; ``inf`` where it does not, shape ``batch``."""
        side = np.sign(self.g[0] - level)
        passed = (self.g - level) * side <= 0
        k = np.argmax(passed, axis=0)
        after = np.take_along_axis(self.g, k[None], 0)[0]
        before = np.take_along_axis(self.g, np.maximum(k - 1, 0)[None], 0)[0]
        with np.errstate(all="ignore"):
            step = np.where(k > 0, k - (after - level) / (after - before), 0.0)
        return np.where(passed.any(axis=0), step, np.inf)


@dataclass(frozen=True)
class Diagram:
    """The phase diagram of descent.

    Args:
        rates: shape (rates,).
        teachers: shape (teachers,).
        regime: one of `REGIMES` by name, shape (rates, teachers).
        final: the last parameter, same shape.
    """

    rates: np.ndarray
    teachers: np.ndarray
    regime: np.ndarray
    final: np.ndarray


Values = Callable[[np.ndarray], np.ndarray]
"""``g ↦ (L, L')``, the two along the first axis."""


def descend(values: Values, start: np.ndarray, rate: np.ndarray, steps: int) -> Descent:
    """``g_{k+1} = g_k − η L'(g_k)``."""
    g = np.array(np.broadcast_to(start, np.broadcast_shapes(np.shape(start), np.shape(rate))), dtype=float)
    places, losses = [], []
    with np.errstate(all="ignore"):
        for k in range(steps + 1):
            loss, slope = values(g)
            places.append(g)
            losses.append(np.where(np.isfinite(g), loss, np.inf))
            if k < steps:
                g = g - rate * slope
    return Descent(np.stack(places), np.stack(losses))


def diagram(values: Values, rates: np.ndarray, teachers: np.ndarray, start: float, steps: int) -> Diagram:
    """Descent from ``start`` for every rate and teacher, and what becomes of it."""
    shape = (len(rates), len(teachers))
    tail = max(steps // 10, 20)
    run = descend(values, np.full(shape, start), rates[:, None], max(steps - tail, 0))
    end = descend(values, run.g[-1], rates[:, None], tail)
    regime = classify(run.loss[0], np.max(run.g, axis=0), end, start, teachers)
    return Diagram(rates, teachers, regime, end.g[-1])


def classify(first: np.ndarray, farthest: np.ndarray, end: Descent, start: float, teachers: np.ndarray) -> np.ndarray:
    """The regime of each descent from its last stretch.

    Diverging: the loss is no longer finite. Monotone: the loss has vanished, or still falls step by step from a place
    between start and teacher. Period two: g returns after two steps and not after one. Thrown back: the whole last
    stretch lies on the far side of the start, seen from the teacher, after the descent had passed the teacher. Under
    way: the loss falls, but the start's plateau has not been left. Hopping: all else.

    Args:
        first: loss at the start.
        farthest: largest g so far.
        end: the last stretch.
        start: where the descent began.
        teachers: where it should end.
    """
    g, loss = end.g, end.loss
    with np.errstate(all="ignore"):
        scale = np.maximum(np.ptp(g, axis=0), 1e-300)
        one = np.max(np.abs(g[1:] - g[:-1]), axis=0)
        two = np.max(np.abs(g[2:] - g[:-2]), axis=0)
        falling = np.all(np.diff(loss, axis=0) <= _SMALL * first, axis=0)
        learnt = np.all(loss <= _SMALL * first, axis=0)
        returns = (two <= _SETTLED * one) & (one > _SETTLED * scale)
        back = np.all(g < np.minimum(start, teachers), axis=0) & (farthest > teachers)
        near = np.abs(g[-1] - teachers) < 0.5 * np.abs(start - teachers)
    number = np.full(first.shape, REGIMES.index("hopping"))
    number[falling & ~near] = REGIMES.index("under way")
    number[falling & near] = REGIMES.index("monotone")
    number[returns & ~learnt & ~falling] = REGIMES.index("period two")
    number[learnt] = REGIMES.index("monotone")
    number[back] = REGIMES.index("thrown back")
    number[~np.all(np.isfinite(loss), axis=0)] = REGIMES.index("diverging")
    return np.asarray(REGIMES, dtype=object)[number]
