"""Points where the slope jumps, as where a ReLU's input is zero: stability and index from the slopes on every side."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from rnn.dynamics.newton import error_bounds, jacobians, pushed
from rnn.models import Model

__all__ = ["Kink", "kinks"]

_JUMP = 1e-3  # of the slope, relative: a smooth one changes by far less over the distance of a probe
_PROBES = 32  # pairs of opposite displacements
_STEPS, _LATE = 120, 60  # of small displacements, and those whose growth counts
_SIDES = 8
Images = Callable[[np.ndarray], np.ndarray]


class Kink(NamedTuple):
    """What small displacements from a fixed point on a kink do.

    Attributes:
        sides: multipliers on the sides that were seen, up to eight, shape (sides, state), the largest growth first.
        growth: by which a displacement grows per period in the long run, the largest of those tried.
        index: the fixed-point index, from the slopes of all sides; that of one side where there are too many.
    """

    sides: np.ndarray
    growth: float
    index: int


def kinks(model: Model, points: np.ndarray, period: int = 1) -> dict[int, Kink]:
    """Those of the points at which the slope jumps, by their place.

    Args:
        model: float64 model; call this where x64 is enabled.
        points: fixed points of ``model^period``, shape (count, state).
        period: steps per cycle.
    """
    if len(points) == 0:
        return {}
    reach = 8 * error_bounds(model, points, period) + 1e-12 * np.maximum(1.0, np.linalg.norm(points, axis=1))
    aside = np.random.default_rng(3).normal(size=points.shape)
    aside *= (reach / np.linalg.norm(aside, axis=1))[:, None]
    with np.errstate(all="ignore"):
        jump = _jumps(model, points, aside, period)
        # a slope that is steep but smooth jumps less over a shorter way
        jump[jump > _JUMP] *= (
            _jumps(model, points[jump > _JUMP], aside[jump > _JUMP] / 8, period) > jump[jump > _JUMP] / 2
        )
    found = np.flatnonzero(jump > _JUMP)
    return {int(k): _described(model, points[k], reach[k], period) for k in found}


def _jumps(model: Model, points: np.ndarray, aside: np.ndarray, period: int) -> np.ndarray:
    """How far the slopes on both sides of every point differ, relative, shape (count,)."""
    above, below = jacobians(model, points + aside, period), jacobians(model, points - aside, period)
    return np.max(np.abs(above - below), axis=(1, 2)) / np.maximum(1.0, np.max(np.abs(above), axis=(1, 2)))


def _described(model: Model, point: np.ndarray, reach: float, period: int) -> Kink:
    n = len(point)
    drawn = np.random.default_rng(4).normal(size=(_PROBES, n))

    def slopes(directions: np.ndarray) -> np.ndarray:
        unit = directions / np.maximum(np.linalg.norm(directions, axis=1, keepdims=True), np.finfo(float).tiny)
        return jacobians(model, point + reach * unit, period)

    ways = np.concatenate([drawn, -drawn])
    seen = _different(slopes(ways))
    vectors = np.concatenate([np.real(np.linalg.eig(A)[1]).T for A in seen[:_SIDES]])
    ways = np.concatenate([ways, vectors, -vectors])[: 4 * _PROBES]
    growth = _growth(lambda ways: pushed(model, point + reach * ways, ways, period), ways)
    multipliers = np.array([_sorted(np.linalg.eigvals(A)) for A in seen[:_SIDES]])
    order = np.argsort(-np.abs(multipliers[:, 0]), kind="stable")
    return Kink(multipliers[order], growth, _index(slopes, seen, n))


def _growth(push: Images, ways: np.ndarray) -> float:
    """The largest rate at which displacements ``δ`` grow under ``push``, ``δ' = A(δ) δ``, by simulation."""
    late = np.zeros(len(ways))
    alive = np.ones(len(ways), bool)
    for k in range(_STEPS):
        size = np.linalg.norm(ways, axis=1)
        alive &= size > 0
        ways = ways / np.where(size > 0, size, 1.0)[:, None]
        late += np.log(np.where(alive, size, 1.0)) if k > _STEPS - _LATE else 0.0
        ways = push(ways)
    size = np.linalg.norm(ways, axis=1)
    alive &= size > 0
    late += np.log(np.where(alive, size, 1.0))
    return float(np.exp(np.max(late[alive]) / _LATE)) if np.any(alive) else 0.0


def _index(slopes: Images, seen: np.ndarray, n: int) -> int:
    """``Σ sign det(I − A)`` over the solutions of ``δ − A(δ) δ = y`` at a y that no kink meets."""
    signs = np.array([int(np.linalg.slogdet(np.eye(n) - A)[0]) for A in seen])
    if len(seen) > _PROBES:  # more sides than displacements have visited
        return int(signs[0])
    y = np.random.default_rng(5).normal(size=n)
    total = 0
    for A, sign in zip(seen, signs, strict=True):
        if sign:
            solution = np.linalg.solve(np.eye(n) - A, y)
            total += sign * int(np.allclose(slopes(solution[None])[0], A, atol=1e-9))
    return total


def _different(matrices: np.ndarray) -> np.ndarray:
    kept: list[np.ndarray] = []
    for A in matrices:
        if not any(np.allclose(A, other, rtol=1e-6, atol=1e-9) for other in kept):
            kept.append(A)
    return np.stack(kept)


def _sorted(mu: np.ndarray) -> np.ndarray:
    return mu[np.argsort(-np.abs(mu), kind="stable")].astype(complex)
