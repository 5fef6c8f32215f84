"""Fixed points and cycles of a network: many starts, damped Newton, duplicates told apart by error bounds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Complex, Float

from rnn.model import Model, VanillaRNN

__all__ = ["FixedPoints", "distinct", "fixed_points", "float64", "newton"]

_ITERATIONS = 60
_BATCH = 64
_ROUNDS = 3
_ROUNDING = 4 * float(np.finfo(np.float64).eps)
_LIPSCHITZ_TANH = 4 / (3 * np.sqrt(3))  # the largest slope of sech²


@dataclass(frozen=True)
class FixedPoints:
    """Fixed points of ``model^period``, with the evidence for each.

    Args:
        points: shape (count, state), float64.
        multipliers: eigenvalues of the period map's Jacobian, by decreasing modulus, (count, state).
        residuals: ``‖model^period(h) − h‖ / max(1, ‖h‖)``, shape (count,).
        certificate: Newton–Kantorovich number ``β η L``, shape (count,): at most ½ proves, up to rounding,
            that a true fixed point lies within ``2 η`` of the point (Ortega & Rheinboldt, *Iterative Solution
            of Nonlinear Equations*, §12.6); NaN where no Lipschitz constant of the Jacobian is known.
        cycles: for every cycle the indices of its points, in the order in which they are visited.
        period: steps per cycle.
        starts: how many starts were tried.
        failed: how many of them did not converge.
    """

    points: Float[np.ndarray, "count state"]
    multipliers: Complex[np.ndarray, "count state"]
    residuals: Float[np.ndarray, " count"]
    certificate: Float[np.ndarray, " count"]
    cycles: tuple[tuple[int, ...], ...]
    period: int
    starts: int
    failed: int

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
    size: int | None = None,
    count: int = 256,
    key: int = 0,
    tolerance: float = 1e-14,
) -> FixedPoints:
    """Fixed points of ``model``, or every point of its cycles of exact period ``period``, stable or not.

    Damped Newton in float64 from every start and from some iterates of it, then from the midpoints and
    mirror images of what was found, until nothing new appears. Two converged points are one only if their
    error bounds ``‖(A − I)⁻¹‖ · residual`` overlap, so that a pair just born is not merged.

    Args:
        model: one step on one state vector.
        starts: where to look, shape (starts, state); random at three scales unless given.
        period: k ≥ 1.
        size: length of a state vector, where neither ``starts`` nor a ``weight`` of the model tells it.
        count: how many random starts.
        key: seed of the random starts.
        tolerance: relative residual at which a point is kept.

    Raises:
        ValueError: ``period`` is not a positive integer, or ``starts`` has the wrong shape or values.
    """
    if not isinstance(period, int) or isinstance(period, bool) or period < 1:
        raise ValueError(f"period must be a positive integer, got {period!r}")
    seeds = _starts(model, starts, size, count, key)
    with jax.enable_x64(True):
        wide = float64(model)
        seeds = np.concatenate([seeds, *_iterates(wide, seeds)])
        seeds = seeds[np.all(np.isfinite(seeds), axis=1)]
        found, tried, failed = np.zeros((0, seeds.shape[1])), 0, 0
        for _ in range(_ROUNDS):
            points, converged = newton(wide, seeds, period=period, tolerance=tolerance)
            tried, failed = tried + len(seeds), failed + int(np.sum(~converged))
            before = len(found)
            found = distinct(wide, np.concatenate([found, points[converged]]), period=period)
            if len(found) == before:
                break
            seeds = _companions(found)
        return _describe(wide, found, period, tried, failed)


def float64(model: Model) -> Model:
    """``model`` with its parameters in float64 (to be used where x64 is enabled)."""
    return jax.tree.map(lambda x: jnp.asarray(x, jnp.float64) if eqx.is_inexact_array(x) else x, model)


def newton(
    model: Model, starts: np.ndarray, *, period: int = 1, tolerance: float = 1e-14
) -> tuple[np.ndarray, np.ndarray]:
    """Damped Newton for ``model^period(h) = h`` from every start, in float64.

    Args:
        model: float64 model; call this where x64 is enabled.
        starts: shape (starts, state).

    Returns:
        The end points, shape (starts, state), and which of them have a relative residual of at most
        ``tolerance``, shape (starts,).
    """
    points = np.empty_like(starts)
    residual = np.empty(len(starts))
    batch = next(size for size in (1, 8, _BATCH) if size >= min(len(starts), _BATCH))
    for first in range(0, len(starts), batch):
        part = starts[first : first + batch]
        padded = np.concatenate([part, np.repeat(part[-1:], batch - len(part), axis=0)])
        ends, left = _newton(model, jnp.asarray(padded), period)
        points[first : first + batch] = ends[: len(part)]
        residual[first : first + batch] = left[: len(part)]
    return points, residual <= tolerance


def period_map(model: Model, period: int) -> Model:
    """``model`` applied ``period`` times."""

    def step(h: Any) -> Any:
        for _ in range(period):
            h = model(h)
        return h

    return step


@eqx.filter_jit
def _newton(model: Model, starts: Any, period: int) -> tuple[Any, Any]:
    step = period_map(model, period)

    def gap(h: Any) -> Any:
        return step(h) - h

    def size(h: Any) -> Any:
        return jnp.linalg.norm(gap(h)) / jnp.maximum(1.0, jnp.linalg.norm(h))

    def improve(h: Any) -> Any:
        move = jnp.linalg.solve(jax.jacfwd(gap)(h), -gap(h))
        tries = h + move * (0.5 ** jnp.arange(8.0))[:, None]
        left = jax.vmap(size)(tries)
        now = size(h)
        better = left < now * (1 - 1e-4)
        pick = jnp.where(jnp.any(better), jnp.argmax(better), jnp.argmin(left))
        return jnp.where(left[pick] < now, tries[pick], h)

    def going(carry: Any) -> Any:
        k, _, moved = carry
        return (k < _ITERATIONS) & jnp.any(moved)

    def advance(carry: Any) -> Any:
        k, h, moved = carry
        new = jax.vmap(improve)(h)
        return k + 1, new, moved & jnp.any(new != h, axis=1) & (jax.vmap(size)(new) > _ROUNDING)

    moved = jnp.ones(len(starts), bool)
    _, ends, _ = jax.lax.while_loop(going, advance, (0, starts, moved))
    left = jax.vmap(size)(ends)
    return ends, jnp.where(jnp.isfinite(left), left, jnp.inf)


@eqx.filter_jit
def jacobians(model: Model, points: Any, period: int = 1) -> Any:
    """Jacobians of the period map at every point, shape (count, state, state)."""
    return jax.vmap(jax.jacfwd(period_map(model, period)))(points)


@eqx.filter_jit
def residual_norms(model: Model, points: Any, period: int = 1) -> Any:
    """``‖model^period(h) − h‖`` at every point, shape (count,)."""
    return jnp.linalg.norm(jax.vmap(period_map(model, period))(points) - points, axis=1)


def distinct(model: Model, points: np.ndarray, *, period: int = 1) -> np.ndarray:
    """``points`` without repetitions: two are one if their error bounds overlap. The first stands."""
    if len(points) == 0:
        return points
    bounds = _error_bounds(model, points, period)
    kept: list[int] = []
    for k, point in enumerate(points):
        gaps = np.linalg.norm(points[kept] - point, axis=1) if kept else np.zeros(0)
        if not np.any(gaps <= 4 * (bounds[kept] + bounds[k])):
            kept.append(k)
    return points[kept]


def _error_bounds(model: Model, points: np.ndarray, period: int) -> np.ndarray:
    """``‖(A − I)⁻¹‖`` times the residual or its rounding error, whichever is larger."""
    A = np.asarray(jacobians(model, jnp.asarray(points), period))
    smallest = np.linalg.svd(A - np.eye(A.shape[-1]), compute_uv=False)[:, -1]
    floor = 16 * np.finfo(float).eps * np.maximum(1.0, np.linalg.norm(points, axis=1))
    residual = np.maximum(np.asarray(residual_norms(model, jnp.asarray(points), period)), floor)
    return np.minimum(residual / np.maximum(smallest, np.finfo(float).tiny), 1e-6)


def _starts(model: Model, starts: Any, size: int | None, count: int, key: int) -> np.ndarray:
    if starts is not None:
        seeds = np.asarray(starts, dtype=np.float64)
        if seeds.ndim != 2 or len(seeds) == 0:
            raise ValueError(f"starts must have shape (starts, state) with at least one row, got {seeds.shape}")
        if not np.all(np.isfinite(seeds)):
            raise ValueError("starts contains NaN or infinity; drop those rows")
        return seeds
    if size is None:
        weight = getattr(model, "weight", None)
        if weight is None:
            raise ValueError(f"the state size of {type(model).__name__} is not known; pass size= or starts=")
        size = int(np.shape(weight)[-1])
    rng = np.random.default_rng(key)
    scales = np.repeat([0.1, 1.0, 3.0], -(-count // 3))[:count, None]
    return np.concatenate([np.zeros((1, size)), scales * rng.normal(size=(count, size))])


def _iterates(model: Model, seeds: np.ndarray) -> list[np.ndarray]:
    """States some way along the orbits of the starts: near attractors, and near saddles on the way."""
    step = eqx.filter_jit(lambda m, h, n: jax.lax.fori_loop(0, n, lambda _, x: jax.vmap(m)(x), h))
    few = step(model, jnp.asarray(seeds), 6)
    return [np.asarray(few), np.asarray(step(model, few, 100))]


def _companions(points: np.ndarray) -> np.ndarray:
    """Mirror images of the points and midpoints of pairs: where partners and saddles tend to lie."""
    rows, columns = np.triu_indices(len(points), 1)
    pairs = (points[rows] + points[columns]) / 2
    if len(pairs) > 256:
        pairs = pairs[np.random.default_rng(0).choice(len(pairs), 256, replace=False)]
    return np.concatenate([-points, pairs]) if len(points) else points


def _describe(model: Model, points: np.ndarray, period: int, tried: int, failed: int) -> FixedPoints:
    state = points.shape[1]
    if period > 1:
        points = points[_exact_period(model, points, period)]
        points = _complete_cycles(model, points, period)
    if len(points) == 0:
        empty = np.zeros(0)
        return FixedPoints(points, np.zeros((0, state), complex), empty, empty, (), period, tried, failed)
    A = np.asarray(jacobians(model, jnp.asarray(points), period))
    mu = np.linalg.eigvals(A).astype(complex)
    mu = np.take_along_axis(mu, np.argsort(-np.abs(mu), axis=1, kind="stable"), axis=1)
    absolute = np.asarray(residual_norms(model, jnp.asarray(points), period))
    relative = absolute / np.maximum(1.0, np.linalg.norm(points, axis=1))
    beta = 1 / np.maximum(np.linalg.svd(A - np.eye(state), compute_uv=False)[:, -1], np.finfo(float).tiny)
    bound = _lipschitz(model) if period == 1 else np.nan
    cycles = _cycles(model, points, period)
    return FixedPoints(points, mu, relative, beta**2 * absolute * bound, cycles, period, tried, failed)


def _lipschitz(model: Model) -> float:
    """A Lipschitz constant of the Jacobian, where the cell has a known one."""
    if isinstance(model, VanillaRNN):
        norm = float(np.linalg.norm(np.asarray(model.weight), 2))
        return _LIPSCHITZ_TANH * (norm if model.form == "W@tanh(h)+b" else norm**2)
    return float("nan")


def _exact_period(model: Model, points: np.ndarray, period: int) -> np.ndarray:
    keep = np.ones(len(points), bool)
    if len(points) == 0:
        return keep
    bounds = _error_bounds(model, points, period)
    for divisor in (d for d in range(1, period) if period % d == 0):
        image = np.asarray(jax.vmap(period_map(model, divisor))(jnp.asarray(points)))
        keep &= np.linalg.norm(image - points, axis=1) > np.maximum(64 * bounds, 1e-9)
    return keep


def _complete_cycles(model: Model, points: np.ndarray, period: int) -> np.ndarray:
    """The points with the rest of their cycles, each refined by Newton."""
    if len(points) == 0:
        return points
    images = [points]
    for _ in range(period - 1):
        images.append(np.asarray(jax.vmap(model)(jnp.asarray(images[-1]))))
    points, converged = newton(model, np.concatenate(images), period=period)
    return distinct(model, points[converged], period=period)


def _cycles(model: Model, points: np.ndarray, period: int) -> tuple[tuple[int, ...], ...]:
    images = np.asarray(jax.vmap(model)(jnp.asarray(points)))
    following = [int(np.argmin(np.linalg.norm(points - image, axis=1))) for image in images]
    left, cycles = set(range(len(points))), []
    while left:
        start = min(left)
        cycle = [start]
        while following[cycle[-1]] in left - set(cycle) and len(cycle) < period:
            cycle.append(following[cycle[-1]])
        left -= set(cycle)
        cycles.append(tuple(cycle))
    return tuple(cycles)
