"""Fixed points and cycles of a network: many starts, Newton, duplicates told apart by error bounds, certificates."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import jax
import numpy as np
from jaxtyping import Array, Float

from rnn.dynamics.kinks import kinks
from rnn.dynamics.newton import (
    Budget,
    check_shape,
    cycle_jacobians,
    error_bounds,
    float64,
    images,
    is_piecewise_linear,
    isolated,
    jacobians,
    newton_cycles,
    orbits,
    residual_norms,
)
from rnn.dynamics.points import FixedPoints
from rnn.dynamics.probing import (
    bounded,
    distinct,
    iterates,
    relaxed,
    representatives,
    simulated,
    starting_states,
)
from rnn.dynamics.slow import Continuum, continua
from rnn.models import Model, held, lipschitz_of

__all__ = ["fixed_points"]

_ROUNDS = 6
_MOST = 512
_COPY = 1e-6  # within which overlapping error bounds are enough to call two ends one
_SAME = 1e-10  # ends this close are one: rounding cannot tell a pair of points apart that is closer than about 1e-8
_WORK, _USUAL = 1.2e11, 10  # multiplications of Newton steps that a search may take; steps that a start usually takes
_FLAT, _NEAR = 1e-5, 8  # of a multiplier from 1: the point may lie on a line of them; how many are looked along
_REACH = 2.0  # of where most orbits are after many steps, beyond which no continua are looked for
_RELAXED = "along relaxed networks"


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
    progress: Callable[[float], None] | None = None,
) -> FixedPoints:
    """Fixed points of ``model``, or every point of its cycles of exact period ``period``, stable or not.

    Newton in float64 for all points of a cycle together, from every start and from states on its orbit; then
    again with the points found divided out (deflation), from the starts, from mirror images and midpoints of
    what was found, and from cycles with one point displaced, until nothing new appears. Orbits that have not come to
    rest are simulated on. Where the index sum says that points of a bounded map are missing, networks relaxed towards a
    constant are continued to the network itself, around their folds. Two converged points
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
        progress: called with about the share of the search that is done.

    Raises:
        ValueError: ``period`` is not a positive integer, ``starts`` has the wrong shape or values, or the model
            does not map a state vector to one of the same shape.
    """
    if not isinstance(period, int) or isinstance(period, bool) or period < 1:
        raise ValueError(f"period must be a positive integer, got {period!r}")
    model = model if x is None else held(model, x)
    seeds = starting_states(model, starts, size, count, key)
    with jax.enable_x64(True):
        wide = float64(model)
        check_shape(wide, seeds.shape[1])
        return _Search(wide, period, tolerance, key, progress or _unseen).run(seeds)


def _unseen(_: float) -> None:
    """Progress that nobody follows."""


class _Search:
    """One search: the cycles found so far, each with its points, and how many starts were spent."""

    def __init__(
        self, model: Model, period: int, tolerance: float, key: int, progress: Callable[[float], None]
    ) -> None:
        self.progress = progress
        self.model = model
        self.period = period
        self.tolerance = tolerance
        self.rng = np.random.default_rng(key)
        self.tried: dict[str, int] = {}
        self.failed = 0
        self.budget = Budget()
        self.reach = 0.0
        self.loose: list[np.ndarray] = []
        self.piecewise = False

    def run(self, seeds: np.ndarray) -> FixedPoints:
        given, size = len(seeds), seeds.shape[1]
        along = iterates(self.model, seeds)
        late = along[-1]
        seeds = np.concatenate([seeds, *along])
        seeds = seeds[np.all(np.isfinite(seeds), axis=1)]
        whole = np.zeros((0, self.period, size))
        if not np.any(np.all(np.isfinite(orbits(self.model, seeds, 2)[:, 1]), axis=1)):
            return self.describe(whole, f"the model returns NaN or infinity at each of the {given} starts")
        self.reach = _REACH * float(max(1.0, np.median(np.linalg.norm(late, axis=1)) if len(late) else 0.0))
        self.piecewise = is_piecewise_linear(self.model, seeds)
        guesses = self.guesses(seeds)
        on = self.guesses(simulated(self.model, late))
        self.budget.left = _WORK / (size**3 * self.period)
        few = self.budget.left < _USUAL * len(guesses)  # the best first, where not all can be paid for
        first = np.concatenate([guesses[2 * given :], guesses[: 2 * given]]) if few else guesses
        self.progress(0.1)
        found = self.improve(whole, on, "from the ends of long simulations")
        found = self.improve(found, first, "from given or drawn states and their orbits")
        for k, deflated in enumerate((False, True) * (_ROUNDS // 2)):
            self.progress(0.6 + 0.3 * k / _ROUNDS)
            before = len(found)
            more = self.companions(found)
            if deflated and not self.piecewise:
                more = np.concatenate([more, guesses[: given : max(1, given // 64)]])
            found = self.improve(found, more, "beside what was found", deflated=deflated and not self.piecewise)
            if deflated and len(found) == before:
                break
        self.progress(0.9)
        return self.complete(found, seeds[:given], late)

    def complete(self, found: np.ndarray, seeds: np.ndarray, late: np.ndarray) -> FixedPoints:
        """The result, by continuation too where the index sum of a bounded map says that points are missing."""
        result = self.describe(found[self.exact_period(found)])
        lacking = self.period == 1 and result.index_sum != 1 and not result.continua
        if not lacking or not bounded(self.model, seeds):
            return self.empty(result, False)
        anchors = [np.zeros(found.shape[2]), late.mean(axis=0), *late[:1]]
        for anchor in anchors:
            ends = relaxed(self.model, anchor)[:, None]
            self.tried[_RELAXED] = self.tried.get(_RELAXED, 0) + max(0, 1 - len(ends))
            self.failed += max(0, 1 - len(ends))
            more = self.improve(found, ends, _RELAXED)
            if len(more) > len(found):
                found = self.improve(more, self.companions(more), "beside what was found")
                result = self.describe(found)
                if result.index_sum == 1:
                    break
        return self.empty(self.describe(found), True)

    def empty(self, result: FixedPoints, staying: bool) -> FixedPoints:
        """The result, with a status that says why there is nothing in it, where there is nothing."""
        if len(result) or result.continua:
            return result
        kinds = ", ".join(f"{count} {name}" for name, count in self.tried.items() if count)
        why = (
            "orbits stay bounded, so that there is a point which was missed: give other starts"
            if staying
            else "give other starts"
        )
        status = f"none of the {result.starts} starts converged to period {self.period} ({kinds}); {why}"
        return replace(result, status=status, missed=staying)

    def guesses(self, seeds: np.ndarray) -> np.ndarray:
        """Whole cycles to start from: stretches of orbits, and, for regions that no orbit visits, random points."""
        along = orbits(self.model, seeds, self.period)
        along = along[np.all(np.isfinite(along), axis=(1, 2))]
        if not self.piecewise:
            return along
        drawn = seeds[self.rng.integers(len(seeds), size=(len(seeds), self.period))]
        return np.concatenate([along, drawn])

    def improve(self, found: np.ndarray, guesses: np.ndarray, kind: str, *, deflated: bool = False) -> np.ndarray:
        """``found`` with the new cycles that Newton reaches from ``guesses``."""
        if len(guesses) == 0:
            return found
        known = found.reshape(-1, found.shape[2]) if deflated else None
        options = {"damped": not self.piecewise, "budget": self.budget}
        ends, residual = newton_cycles(self.model, guesses, known=known, **options)
        if deflated:  # deflation slows the last steps down; finish without it
            near = residual <= 1e-6
            ends[near], residual[near] = newton_cycles(self.model, ends[near])
        good = residual <= self.tolerance
        ends, each = distinct(ends[good], _SAME)
        alone = isolated(self.model, ends[:, 0], self.period) if len(ends) else np.zeros(0, bool)
        begun = int(np.sum(~np.isnan(residual)))
        self.tried[kind] = self.tried.get(kind, 0) + begun
        self.failed += begun - len(each)
        self.loose.append(ends[~alone, 0])
        return self.new(found, ends[alone])

    def new(self, found: np.ndarray, ends: np.ndarray) -> np.ndarray:
        """``found`` and those of ``ends`` that are none of its cycles, from whichever point they start."""
        if len(ends) == 0:
            return found
        bounds = self.radii(ends[:, 0])
        known = found.reshape(-1, found.shape[2])
        radii = self.radii(known) if len(known) else np.zeros(0)
        cycles = [*found]
        for cycle, bound in zip(ends, bounds, strict=True):
            gaps = np.linalg.norm(known - cycle[0], axis=1)
            if np.any(gaps <= 4 * np.minimum(radii + bound, _COPY)) or self.joined(
                cycle[0], known[gaps <= 4 * (radii + bound)]
            ):
                continue
            cycles.append(cycle)
            known = np.concatenate([known, cycle])
            radii = np.concatenate([radii, self.radii(cycle)])
        return np.stack(cycles)

    def radii(self, points: np.ndarray) -> np.ndarray:
        """How well each of the points is known; badly where it is nearly critical."""
        return error_bounds(self.model, points, self.period, 1e-2)

    def joined(self, point: np.ndarray, near: np.ndarray) -> bool:
        """Whether the middle between a point and one of those near it is as fixed as they are: they are copies."""
        if len(near) == 0:
            return False
        middle = (point + near) / 2
        gaps = residual_norms(self.model, middle, self.period)
        return bool(np.any(gaps <= 4 * self.tolerance * np.maximum(1.0, np.linalg.norm(middle, axis=1))))

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

    def describe(self, cycles: np.ndarray, status: str = "found") -> FixedPoints:
        points = cycles.reshape(-1, cycles.shape[2])
        n, k, starts = points.shape[1], self.period, sum(self.tried.values())
        mu, evidence, flat = np.zeros((0, n), complex), np.zeros((0, 2)), np.zeros(0)
        if len(points):
            A = jacobians(self.model, points, k)
            mu = np.linalg.eigvals(A).astype(complex)
            mu = np.take_along_axis(mu, np.argsort(-np.abs(mu), axis=1, kind="stable"), axis=1)
            evidence = np.array([self.evidence(cycle) for cycle in cycles])
            flat = np.abs(mu - 1).min(axis=1)
        indices = tuple(tuple(range(k * i, k * (i + 1))) for i in range(len(cycles)))
        residuals, numbers = np.repeat(evidence, k, axis=0).T
        growth = np.max(np.abs(mu), axis=1, initial=0.0)
        index = 1 - 2 * (np.sum((mu.imag == 0) & (mu.real > 1), axis=1) % 2)
        bent = kinks(self.model, points, k)
        for i, kink in bent.items():
            growth[i], index[i] = kink.growth, kink.index
        sides = {i: kink.sides for i, kink in bent.items()}
        sets = self.sets(points[flat < _FLAT]) if k == 1 else ()
        more = {"sides": sides, "continua": sets, "tried": dict(self.tried)}
        return FixedPoints(
            points, mu, residuals, numbers, indices, k, starts, self.failed, status, growth, index, **more
        )

    def sets(self, near: np.ndarray) -> tuple[Continuum, ...]:
        """Lines and surfaces through points critical to single precision, and through ends that are not isolated."""
        loose = np.concatenate([near[:0], *self.loose])
        # far out, where no orbit goes, a gate may be saturated to the last digit and hold whatever it is given
        loose = loose[np.linalg.norm(loose, axis=1) <= self.reach]
        return continua(self.model, np.concatenate([representatives(loose), near[:_NEAR]]))

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
