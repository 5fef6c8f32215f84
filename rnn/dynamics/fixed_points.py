"""Fixed points and cycles of a network: many starts, Newton, duplicates told apart by error bounds, certificates."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Complex, Float

from rnn.dynamics.newton import (
    cycle_jacobians,
    error_bounds,
    float64,
    images,
    is_piecewise_linear,
    isolated,
    iterate,
    jacobians,
    newton_cycles,
    orbits,
)
from rnn.models import Model, held, lipschitz_of, state_size

__all__ = ["FixedPoints", "fixed_points"]

_ROUNDS = 6
_MOST = 512
_SAME = 1e-10  # ends this close are one: rounding cannot tell a pair of points apart that is closer than about 1e-8
_SETTLED = 1e-4  # states of late orbits this close start the same search


@dataclass(frozen=True)
class FixedPoints:
    """Fixed points of ``model^period``, with the evidence for each.

    Args:
        points: shape (count, state), float64.
        multipliers: eigenvalues of the period map's Jacobian, by decreasing modulus, (count, state).
        residuals: ``‖model(h_i) − h_{i+1}‖ / max(1, ‖h_{i+1}‖)`` on the point's cycle, the largest; shape (count,).
        certificate: Newton–Kantorovich number ``β η L`` of the cycle's equations, shape (count,): at most ½
            proves, up to rounding, that a true cycle lies within ``2 η`` of this one (Ortega & Rheinboldt,
            *Iterative Solution of Nonlinear Equations*, §12.6). Zero for a piecewise-linear model where the
            whole ball lies in one region; NaN where no Lipschitz constant of the Jacobian is known.
        cycles: for every cycle the indices of its points, in the order in which they are visited.
        period: steps per cycle.
        starts: how many starts were tried.
        failed: how many of them did not converge.
        status: ``"found"``, or a sentence on why there is nothing.
    """

    points: Float[np.ndarray, "count state"]
    multipliers: Complex[np.ndarray, "count state"]
    residuals: Float[np.ndarray, " count"]
    certificate: Float[np.ndarray, " count"]
    cycles: tuple[tuple[int, ...], ...]
    period: int
    starts: int
    failed: int
    status: str = "found"

    def __len__(self) -> int:
        return len(self.points)

    @property
    def stable(self) -> np.ndarray:
        """Which points attract: every multiplier inside the unit circle. Shape (count,)."""
        return np.all(np.abs(self.multipliers) < 1, axis=1)

    @property
    def index_sum(self) -> int:
        """``Σ sign det(I − A)`` over the points; 1 for the complete set of a bounded map, fixed points hyperbolic.

        (Degree theory: Deimling, *Nonlinear Functional Analysis*, §1.) Another value says that points are missing.
        """
        real = np.abs(self.multipliers.imag) == 0
        beyond = np.sum(real & (self.multipliers.real > 1), axis=1)
        return int(np.sum(1 - 2 * (beyond % 2)))


def fixed_points(
    model: Model,
    starts: Float[Array, "starts state"] | None = None,
    period: int = 1,
    *,
    x: Float[Array, " inputs"] | None = None,
    size: int | None = None,
    count: int = 256,
    key: int = 0,
    tolerance: float = 1e-14,
) -> FixedPoints:
    """Fixed points of ``model``, or every point of its cycles of exact period ``period``, stable or not.

    Newton in float64 for all points of a cycle together, from every start and from states on its orbit; then
    again with the points found divided out (deflation), from the starts, from mirror images and midpoints of
    what was found, and from cycles with one point displaced, until nothing new appears. Two converged points
    are one only if their error bounds ``‖(A − I)⁻¹‖ · residual`` overlap, so that a pair just born is not merged.
    On a piecewise-linear model each step solves the affine system of the guess's activation regions and ends
    when the solution lies in them.

    Args:
        model: one step on one state vector.
        starts: where to look, shape (starts, state); random at three scales unless given.
        period: k ≥ 1.
        x: a constant input, shape (inputs,), at which a network with inputs is held; none unless given.
        size: length of a state vector, where neither ``starts`` nor the shapes of the model's parameters
            tell it.
        count: how many random starts.
        key: seed of the random starts.
        tolerance: relative residual at which a point is kept.

    Raises:
        ValueError: ``period`` is not a positive integer, ``starts`` has the wrong shape or values, or the model
            does not map a state vector to one of the same shape.
    """
    if not isinstance(period, int) or isinstance(period, bool) or period < 1:
        raise ValueError(f"period must be a positive integer, got {period!r}")
    model = model if x is None else held(model, x)
    seeds = _starts(model, starts, size, count, key)
    with jax.enable_x64(True):
        wide = float64(model)
        check_shape(wide, seeds.shape[1])
        return _Search(wide, period, tolerance, key).run(seeds)


def check_shape(model: Model, size: int) -> None:
    """Raise unless ``model`` maps a vector of length ``size`` to another.

    Raises:
        ValueError: it does not, or cannot be called so.
    """
    try:
        image = jax.eval_shape(model, jax.ShapeDtypeStruct((size,), jnp.float64))
    except (TypeError, ValueError) as error:
        raise ValueError(f"model cannot take a state vector of length {size}: {error}") from None
    if getattr(image, "shape", None) != (size,):
        raise ValueError(f"model maps a state of shape ({size},) to {image}; it must return one vector of that shape")


class _Search:
    """One search: the cycles found so far, each with its points, and how many starts were spent."""

    def __init__(self, model: Model, period: int, tolerance: float, key: int) -> None:
        self.model = model
        self.period = period
        self.tolerance = tolerance
        self.rng = np.random.default_rng(key)
        self.tried = self.failed = 0
        self.piecewise = False

    def run(self, seeds: np.ndarray) -> FixedPoints:
        given = len(seeds)
        seeds = np.concatenate([seeds, *_iterates(self.model, seeds)])
        seeds = seeds[np.all(np.isfinite(seeds), axis=1)]
        whole = np.zeros((0, self.period, seeds.shape[1]))
        if not np.any(np.all(np.isfinite(orbits(self.model, seeds, 2)[:, 1]), axis=1)):
            return self.describe(whole, f"the model returns NaN or infinity at each of the {given} starts")
        self.piecewise = is_piecewise_linear(self.model, seeds)
        guesses = self.guesses(seeds)
        found = self.improve(whole, guesses, deflated=False)
        for deflated in (False, True) * (_ROUNDS // 2):
            before = len(found)
            more = self.companions(found)
            if deflated and not self.piecewise:
                more = np.concatenate([more, guesses[: given : max(1, given // 64)]])
            found = self.improve(found, more, deflated=deflated and not self.piecewise)
            if deflated and len(found) == before:
                break
        exact = found[self.exact_period(found)]
        nothing = f"none of the {self.tried} starts converged to period {self.period}; give other starts"
        return self.describe(exact, "found" if len(exact) else nothing)

    def guesses(self, seeds: np.ndarray) -> np.ndarray:
        """Whole cycles to start from: stretches of orbits, and, for regions that no orbit visits, random points."""
        along = orbits(self.model, seeds, self.period)
        along = along[np.all(np.isfinite(along), axis=(1, 2))]
        if not self.piecewise:
            return along
        drawn = seeds[self.rng.integers(len(seeds), size=(len(seeds), self.period))]
        return np.concatenate([along, drawn])

    def improve(self, found: np.ndarray, guesses: np.ndarray, *, deflated: bool) -> np.ndarray:
        """``found`` with the new cycles that Newton reaches from ``guesses``."""
        if len(guesses) == 0:
            return found
        known = found.reshape(-1, found.shape[2]) if deflated else None
        ends, residual = newton_cycles(self.model, guesses, known=known, damped=not self.piecewise)
        if deflated:  # deflation slows the last steps down; finish without it
            near = residual <= 1e-6
            ends[near], residual[near] = newton_cycles(self.model, ends[near])
        good = residual <= self.tolerance
        ends, each = _distinct(ends[good], _SAME)
        alone = isolated(self.model, ends[:, 0], self.period) if len(ends) else np.zeros(0, bool)
        self.tried, self.failed = self.tried + len(guesses), self.failed + len(guesses) - int(np.sum(alone[each]))
        return self.new(found, ends[alone])

    def new(self, found: np.ndarray, ends: np.ndarray) -> np.ndarray:
        """``found`` and those of ``ends`` that are none of its cycles, from whichever point they start."""
        if len(ends) == 0:
            return found
        bounds = error_bounds(self.model, ends[:, 0], self.period)
        known = found.reshape(-1, found.shape[2])
        radii = error_bounds(self.model, known, self.period) if len(known) else np.zeros(0)
        cycles = [*found]
        for cycle, bound in zip(ends, bounds, strict=True):
            if np.any(np.linalg.norm(known - cycle[0], axis=1) <= 4 * (radii + bound)):
                continue
            cycles.append(cycle)
            known = np.concatenate([known, cycle])
            radii = np.concatenate([radii, error_bounds(self.model, cycle, self.period)])
        return np.stack(cycles)

    def companions(self, found: np.ndarray) -> np.ndarray:
        """Mirror images, midpoints of pairs, and cycles with one point displaced: where partners tend to lie."""
        if len(found) == 0:
            return found
        rows, columns = np.triu_indices(len(found), 1)
        pairs = (found[rows] + found[columns]) / 2
        spread = np.std(found, axis=(0, 1)) + 1e-3
        displaced = np.repeat(found[-_MOST:], self.period, axis=0)
        each = np.tile(np.arange(self.period), len(displaced) // self.period)
        displaced[np.arange(len(each)), each] += self.rng.normal(size=(len(each), found.shape[2])) * spread
        return np.concatenate([self.some(part) for part in (-found, pairs, displaced)])

    def some(self, guesses: np.ndarray) -> np.ndarray:
        if len(guesses) <= _MOST:
            return guesses
        return guesses[self.rng.choice(len(guesses), _MOST, replace=False)]

    def exact_period(self, cycles: np.ndarray) -> np.ndarray:
        """Which of the cycles do not close earlier."""
        keep = np.ones(len(cycles), bool)
        if len(cycles) == 0:
            return keep
        bounds = error_bounds(self.model, cycles[:, 0], self.period)
        for divisor in (d for d in range(1, self.period) if self.period % d == 0):
            apart = np.linalg.norm(cycles[:, divisor] - cycles[:, 0], axis=1)
            keep &= apart > np.maximum(64 * bounds, 1e-9)
        return keep

    def describe(self, cycles: np.ndarray, status: str) -> FixedPoints:
        points = cycles.reshape(-1, cycles.shape[2])
        state, k = points.shape[1], self.period
        if len(points) == 0:
            empty, none = np.zeros(0), np.zeros((0, state), complex)
            return FixedPoints(points, none, empty, empty, (), k, self.tried, self.failed, status)
        A = jacobians(self.model, points, k)
        mu = np.linalg.eigvals(A).astype(complex)
        mu = np.take_along_axis(mu, np.argsort(-np.abs(mu), axis=1, kind="stable"), axis=1)
        evidence = np.array([self.evidence(cycle) for cycle in cycles])
        indices = tuple(tuple(range(k * i, k * (i + 1))) for i in range(len(cycles)))
        residuals, numbers = np.repeat(evidence, k, axis=0).T
        return FixedPoints(points, mu, residuals, numbers, indices, k, self.tried, self.failed, status)

    def evidence(self, cycle: np.ndarray) -> tuple[float, float]:
        """The cycle's relative residual and its Newton–Kantorovich number."""
        target = np.roll(cycle, -1, axis=0)
        gaps = images(self.model, cycle) - target
        relative = np.linalg.norm(gaps, axis=1) / np.maximum(1.0, np.linalg.norm(target, axis=1))
        inverse = np.linalg.svd(cycle_jacobians(self.model, cycle), compute_uv=False)[-1]
        beta = 1 / max(inverse, np.finfo(float).tiny)
        eta = beta * float(np.linalg.norm(gaps))
        bound = self.within_one_region(cycle, 2 * eta) if self.piecewise else lipschitz_of(self.model)
        return float(np.max(relative)), beta * eta * bound

    def within_one_region(self, cycle: np.ndarray, radius: float) -> float:
        """0 if the Jacobian is the same at the corners of a cross of this radius about every point, else NaN."""
        n = cycle.shape[1]
        cross = np.concatenate([np.eye(n), -np.eye(n)]) * radius * np.sqrt(n)
        around = jacobians(self.model, (cycle[:, None] + cross).reshape(-1, n))
        centre = jacobians(self.model, cycle)
        return 0.0 if np.all(around.reshape(len(cycle), 2 * n, n, n) == centre[:, None]) else float("nan")


def _starts(model: Model, starts: Any, size: int | None, count: int, key: int) -> np.ndarray:
    if starts is not None:
        seeds = np.asarray(starts, dtype=np.float64)
        if seeds.ndim != 2 or len(seeds) == 0:
            raise ValueError(f"starts must have shape (starts, state) with at least one row, got {seeds.shape}")
        if not np.all(np.isfinite(seeds)):
            raise ValueError("starts contains NaN or infinity; drop those rows")
        return seeds
    size = state_size(model) if size is None else size
    rng = np.random.default_rng(key)
    scales = np.repeat([0.1, 1.0, 3.0], -(-count // 3))[:count, None]
    return np.concatenate([np.zeros((1, size)), scales * rng.normal(size=(count, size))])


def _iterates(model: Model, seeds: np.ndarray) -> list[np.ndarray]:
    """States some way along the orbits of the starts: near attractors, and near saddles on the way."""
    few = iterate(model, seeds, 6)
    late = iterate(model, few, 100)
    return [few, _distinct(late[np.all(np.isfinite(late), axis=1), None], _SETTLED)[0][:, 0]]


def _distinct(cycles: np.ndarray, spacing: float) -> tuple[np.ndarray, np.ndarray]:
    """One of those cycles that share a cell of a grid in every coordinate, and which of them stands for each."""
    cells = np.round(cycles.reshape(len(cycles), math.prod(cycles.shape[1:])) / spacing) + 0.0  # no −0
    _, first, each = np.unique(cells, axis=0, return_index=True, return_inverse=True)
    order = np.argsort(first)
    return cycles[first[order]], np.argsort(order)[each.reshape(-1)]
