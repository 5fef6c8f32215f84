"""Newton's method for fixed points and cycles, in float64: many starts at once, damped, deflated."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from rnn.model import Model

__all__ = ["cycle_jacobians", "distinct", "error_bounds", "float64", "is_piecewise_linear", "jacobians", "newton"]

_ITERATIONS = 60
_BATCH = 64
_ISOLATED = 1e-2
_ROUNDING = 4 * float(np.finfo(np.float64).eps)


def float64(model: Model) -> Model:
    """``model`` with its parameters in float64 (to be used where x64 is enabled)."""
    return jax.tree.map(lambda x: jnp.asarray(x, jnp.float64) if eqx.is_inexact_array(x) else x, model)


def period_map(model: Model, period: int) -> Model:
    """``model`` applied ``period`` times."""

    def step(h: Any) -> Any:
        for _ in range(period):
            h = model(h)
        return h

    return step


def padded(rows: np.ndarray) -> Any:
    """``rows`` with the last repeated, to one of few lengths, as each length is compiled anew."""
    length = next(8**k for k in range(12) if 8**k >= len(rows))
    return jnp.asarray(np.concatenate([rows, np.repeat(rows[-1:], length - len(rows), axis=0)]))


def orbits(model: Model, starts: np.ndarray, period: int) -> np.ndarray:
    """The first ``period`` states from every start, shape (starts, period, state)."""
    if period == 1:
        return starts[:, None]
    return np.swapaxes(np.asarray(_orbits(model, padded(starts), period)), 0, 1)[: len(starts)]


def iterate(model: Model, states: np.ndarray, count: int) -> np.ndarray:
    """Every state ``count`` steps later, shape (starts, state)."""
    return np.asarray(_iterate(model, padded(states), jnp.asarray(count)))[: len(states)]


@eqx.filter_jit
def _iterate(model: Model, states: Any, count: Any) -> Any:
    return jax.lax.fori_loop(0, count, lambda _, h: jax.vmap(model)(h), states)


@eqx.filter_jit
def _orbits(model: Model, starts: Any, period: int) -> Any:
    return jax.lax.scan(lambda h, _: (jax.vmap(model)(h), h), starts, length=period)[1]


def newton(
    model: Model, starts: np.ndarray, *, period: int = 1, tolerance: float = 1e-14, **options: Any
) -> tuple[np.ndarray, np.ndarray]:
    """Newton for ``model^period(h) = h`` from every start, in float64: :func:`newton_cycles` on their orbits.

    Args:
        model: float64 model; call this where x64 is enabled.
        starts: shape (starts, state).

    Returns:
        The end points, shape (starts, state), and which of them have a relative residual of at most
        ``tolerance``, shape (starts,).
    """
    ends, residual = newton_cycles(model, orbits(model, starts, period), **options)
    return ends[:, 0], residual <= tolerance


def newton_cycles(
    model: Model, starts: np.ndarray, *, known: np.ndarray | None = None, damped: bool = True
) -> tuple[np.ndarray, np.ndarray]:
    """Newton for all points of a cycle together: ``h_{i+1} = model(h_i)``, ``h_k = h_0`` (multiple shooting).

    A step solves ``δ_{i+1} = A_i δ_i + (model(h_i) − h_{i+1})``. With ``known`` points it is deflated: the
    residual is multiplied by ``Π (1 + 1/‖h_0 − z‖²)``, which scales the step by ``1/(1 − ⟨∇ ln Π, δ⟩)``
    (Farrell, Birkisson & Funke, SIAM J. Sci. Comput. 37, 2015).

    Args:
        model: float64 model; call this where x64 is enabled.
        starts: guesses of whole cycles, shape (starts, period, state).
        known: points not to be found again, shape (known, state).
        damped: halve steps that do not lower the residual; False for piecewise-linear maps, where a full step
            solves the affine system of the activation regions of the guess.

    Returns:
        The ends, shape (starts, period, state), and ``max_i ‖model(h_i) − h_{i+1}‖ / max(1, ‖h_{i+1}‖)``, shape
        (starts,), infinite where it is not finite.
    """
    ends, left = np.empty_like(starts), np.empty(len(starts))
    known = np.zeros((0, starts.shape[2])) if known is None else known
    length = next(n for n in (0, *(8**k for k in range(1, 9))) if n >= len(known))
    deflated = jnp.asarray(np.concatenate([known, np.full((length - len(known), starts.shape[2]), np.inf)]))
    for first in range(0, len(starts), _BATCH):
        part = starts[first : first + _BATCH]
        found, size = map(np.asarray, _newton(model, padded(part), deflated, damped))
        ends[first : first + _BATCH] = found[: len(part)]
        left[first : first + _BATCH] = size[: len(part)]
    return ends, left


def _closing(model: Model, cycle: Any) -> Any:
    """``model(h_i) − h_{i+1}``, shape (period, state)."""
    return jax.vmap(model)(cycle) - jnp.roll(cycle, -1, axis=0)


def _newton_move(model: Model, cycle: Any) -> Any:
    """The Newton step of all points of one cycle."""
    A, gaps = jax.vmap(jax.jacfwd(model))(cycle), _closing(model, cycle)
    eye = jnp.eye(cycle.shape[1], dtype=cycle.dtype)

    def compose(carry: Any, item: Any) -> tuple[Any, None]:
        product, shift = carry
        return (item[0] @ product, item[0] @ shift + item[1]), None

    (product, shift), _ = jax.lax.scan(compose, (eye, jnp.zeros_like(cycle[0])), (A, gaps))
    first = jnp.linalg.solve(eye - product, shift)
    return jax.lax.scan(lambda d, item: (item[0] @ d + item[1], d), first, (A, gaps))[1]


@eqx.filter_jit
def _newton(model: Model, starts: Any, known: Any, damped: bool) -> tuple[Any, Any]:
    def size(cycle: Any) -> Any:
        target = jnp.roll(cycle, -1, axis=0)
        gaps = jnp.linalg.norm(_closing(model, cycle), axis=1)
        return jnp.max(gaps / jnp.maximum(1.0, jnp.linalg.norm(target, axis=1)))

    given = jnp.isfinite(known[:, 0])

    def apart(h: Any) -> tuple[Any, Any]:
        away = jnp.where(given[:, None], h - known, 1.0)
        return away, jnp.sum(away**2, axis=1)

    def repulsion(h: Any) -> Any:
        return jnp.sum(jnp.where(given, jnp.log1p(1 / apart(h)[1]), 0.0))

    def turning(h: Any, move: Any) -> Any:
        """``⟨∇ ln Π, move⟩``."""
        away, square = apart(h)
        return -jnp.sum(jnp.where(given, 2 * (away @ move) / (square * (square + 1)), 0.0))

    def merit(cycle: Any) -> Any:
        return size(cycle) * jnp.exp(repulsion(cycle[0])) if len(known) else size(cycle)

    def improve(cycle: Any) -> Any:
        move = _newton_move(model, cycle)
        if len(known):
            turn = 1 - turning(cycle[0], move[0])
            move = move / jnp.where(jnp.abs(turn) < 0.1, jnp.copysign(0.1, turn), turn)
        if not damped:
            return cycle + move
        tries = cycle + move * (0.5 ** jnp.arange(8.0))[:, None, None]
        left, now = jax.vmap(merit)(tries), merit(cycle)
        better = left < now * (1 - 1e-4)
        pick = jnp.where(jnp.any(better), jnp.argmax(better), jnp.argmin(left))
        return jnp.where(left[pick] < now, tries[pick], cycle)

    def going(carry: Any) -> Any:
        k, _, moved = carry
        return (k < _ITERATIONS) & jnp.any(moved)

    def advance(carry: Any) -> Any:
        k, cycles, moved = carry
        new = jnp.where(moved[:, None, None], jax.vmap(improve)(cycles), cycles)
        changed = jnp.any(new != cycles, axis=(1, 2)) & jnp.all(jnp.isfinite(new), axis=(1, 2))
        return k + 1, new, moved & changed & (jax.vmap(size)(new) > _ROUNDING)

    _, ends, _ = jax.lax.while_loop(going, advance, (0, starts, jnp.ones(len(starts), bool)))
    left = jax.vmap(size)(ends)
    return ends, jnp.where(jnp.isfinite(left), left, jnp.inf)


def jacobians(model: Model, points: Any, period: int = 1) -> np.ndarray:
    """Jacobians of the period map at every point, shape (count, state, state)."""
    points = np.asarray(points)
    return np.asarray(_jacobians(model, padded(points), period))[: len(points)]


@eqx.filter_jit
def _jacobians(model: Model, points: Any, period: int) -> Any:
    def one(h: Any) -> Any:
        if period <= 2:
            return jax.jacfwd(period_map(model, period))(h)

        def advance(carry: Any, _: None) -> tuple[Any, None]:
            h, product = carry
            return (model(h), jax.jacfwd(model)(h) @ product), None

        return jax.lax.scan(advance, (h, jnp.eye(h.size, dtype=h.dtype)), length=period)[0][1]

    return jax.vmap(one)(points)


def cycle_jacobians(model: Model, cycle: np.ndarray) -> np.ndarray:
    """The block-cyclic Jacobian of the equations ``model(h_i) − h_{i+1} = 0``, shape (period·state, period·state)."""
    period, n = cycle.shape
    A = jacobians(model, cycle)
    whole = np.zeros((period * n, period * n))
    for i, a in enumerate(A):
        following = (i + 1) % period
        whole[i * n : (i + 1) * n, i * n : (i + 1) * n] += a
        whole[i * n : (i + 1) * n, following * n : (following + 1) * n] -= np.eye(n)
    return whole


def residual_norms(model: Model, points: np.ndarray, period: int = 1) -> np.ndarray:
    """``‖model^period(h) − h‖`` at every point, shape (count,)."""
    return np.asarray(_residual_norms(model, padded(points), period))[: len(points)]


@eqx.filter_jit
def _residual_norms(model: Model, points: Any, period: int) -> Any:
    ends = jax.lax.fori_loop(0, period, lambda _, h: jax.vmap(model)(h), points)
    return jnp.linalg.norm(ends - points, axis=1)


def distinct(model: Model, points: np.ndarray, *, period: int = 1) -> np.ndarray:
    """``points`` without repetitions: two are one if their error bounds overlap. The first stands."""
    return points[first_of_each(model, points, period)]


def first_of_each(model: Model, points: np.ndarray, period: int = 1) -> list[int]:
    """Indices of `distinct`."""
    if len(points) == 0:
        return []
    bounds = error_bounds(model, points, period)
    kept: list[int] = []
    for k, point in enumerate(points):
        gaps = np.linalg.norm(points[kept] - point, axis=1) if kept else np.zeros(0)
        if not np.any(gaps <= 4 * (bounds[kept] + bounds[k])):
            kept.append(k)
    return kept


def error_bounds(model: Model, points: np.ndarray, period: int = 1) -> np.ndarray:
    """``‖(A − I)⁻¹‖`` times the residual or its rounding error, whichever is larger; at most 1e-6."""
    return np.minimum(_bounds(model, points, period), 1e-6)


def isolated(model: Model, points: np.ndarray, period: int = 1) -> np.ndarray:
    """Which points rounding can tell from a continuum of fixed points, such as a saturated gate's."""
    return _bounds(model, points, period) <= _ISOLATED * np.maximum(1.0, np.linalg.norm(points, axis=1))


def _bounds(model: Model, points: np.ndarray, period: int) -> np.ndarray:
    A = jacobians(model, points, period)
    smallest = np.linalg.svd(A - np.eye(A.shape[-1]), compute_uv=False)[:, -1]
    floor = 16 * np.finfo(float).eps * np.maximum(1.0, np.linalg.norm(points, axis=1))
    residual = np.maximum(residual_norms(model, points, period), floor)
    return residual / np.maximum(smallest, 1e-300)


def is_piecewise_linear(model: Model, points: np.ndarray) -> bool:
    """Whether every second directional derivative that is tried vanishes exactly: ReLU networks, tent maps."""
    directions = np.random.default_rng(2).normal(size=(2, *points.shape))
    return not np.any(np.asarray(_bends(model, padded(points), *map(padded, directions))))


@eqx.filter_jit
def _bends(model: Model, points: Any, u: Any, v: Any) -> Any:
    def one(h: Any, u: Any, v: Any) -> Any:
        return jax.jvp(lambda x: jax.jvp(model, (x,), (u,))[1], (h,), (v,))[1]

    return jax.vmap(one)(points, u, v)
