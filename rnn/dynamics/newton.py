"""Newton's method for fixed points and cycles, in float64: many starts at once, damped, deflated.

JAX evaluates the model and its Jacobian, two programs for every model whatever the period; the linear algebra is
NumPy's, on those starts alone that still move.
"""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from rnn.models import Model, cast, jacobian_of

__all__ = [
    "Budget",
    "check_shape",
    "closes_early",
    "cycle_jacobians",
    "error_bounds",
    "float64",
    "images",
    "is_piecewise_linear",
    "isolated",
    "iterate",
    "jacobians",
    "newton",
    "newton_cycles",
    "orbits",
    "padded",
    "period_map",
    "pushed",
    "residual_norms",
    "solved",
]

_ITERATIONS = 60
_TRIES = 8  # halvings of a step
_WEAK = 4  # steps without progress after which a start is given up
_PATIENCE = 8  # steps in which a residual must fall to half
_ENTRIES = 2**23  # of the Jacobians at hand together
_CALL = 2**22  # what calling a compiled program costs, in multiplications
_ISOLATED = 1e-2
_ROUNDING = 4 * float(np.finfo(np.float64).eps)


def float64(model: Model) -> Model:
    """``model`` with its parameters in float64 (to be used where x64 is enabled)."""
    return cast(model, jnp.float64)


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


def period_map(model: Model, period: int) -> Model:
    """``model`` applied ``period`` times."""

    def step(h: Any) -> Any:
        for _ in range(period):
            h = model(h)
        return h

    return step


def padded(rows: np.ndarray) -> np.ndarray:
    """``rows`` with the last repeated, to one of few lengths, as each length is compiled anew."""
    return np.concatenate([rows, np.repeat(rows[-1:], _length(len(rows)) - len(rows), axis=0)])


def _length(rows: int) -> int:
    return next(8**k for k in range(12) if 8**k >= rows)


def images(model: Model, states: np.ndarray) -> np.ndarray:
    """``model`` of every state, shape (..., state)."""
    return iterate(model, states.reshape(-1, states.shape[-1]), 1).reshape(states.shape)


def iterate(model: Model, states: np.ndarray, count: int) -> np.ndarray:
    """Every state ``count`` steps later, shape (starts, state)."""
    if len(states) == 0:
        return states
    return np.asarray(_iterate(model, padded(states), np.asarray(count)))[: len(states)]


@eqx.filter_jit
def _iterate(model: Model, states: Any, count: Any) -> Any:
    return jax.lax.fori_loop(0, count, lambda _, h: jax.vmap(model)(h), states)


def linearised(model: Model, states: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The image of every state, shape (..., state), and the Jacobian there, shape (..., state, state)."""
    n = states.shape[-1]
    rows = states.reshape(-1, n)
    if len(rows) == 0:
        return states, np.zeros((*states.shape, n))
    pieces, first = [], 0
    while first < len(rows):
        size = _piece(len(rows) - first, n)
        pieces.append(_linearised(model, padded(rows[first : first + size])))
        first += size
    moved, A = (np.concatenate([np.asarray(piece[k]) for piece in pieces])[: len(rows)] for k in (0, 1))
    return moved.reshape(states.shape), A.reshape(*states.shape, n)


def _piece(left: int, n: int) -> int:
    """How many of ``left`` rows to take at once: full pieces of an eighth where they cost less than a padded one."""
    most = 8 ** min(3, max(0, int(np.log(_ENTRIES / n**2) / np.log(8))))
    whole = min(_length(left), most)
    small = max(1, whole // 8)
    count = -(-min(left, whole) // small)
    return small if count * (small * n**3 + _CALL) < whole * n**3 + _CALL else whole


@eqx.filter_jit
def _linearised(model: Model, states: Any) -> tuple[Any, Any]:
    slope = jacobian_of(model)
    return jax.vmap(lambda h: (model(h), slope(h)))(states)


def orbits(model: Model, starts: np.ndarray, period: int) -> np.ndarray:
    """The first ``period`` states from every start, shape (starts, period, state)."""
    states = [np.asarray(starts)]
    while len(states) < period:
        states.append(images(model, states[-1]))
    return np.stack(states, axis=1)


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


class Budget:
    """How many more steps of Newton's method, of one start each, a search may take.

    Args:
        left: that many.
    """

    def __init__(self, left: float = np.inf) -> None:
        self.left = left


def newton_cycles(
    model: Model,
    starts: np.ndarray,
    *,
    known: np.ndarray | None = None,
    damped: bool = True,
    budget: Budget | None = None,
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
        budget: what the steps are taken from; once it is spent, starts that remain are left alone.

    Returns:
        The ends, shape (starts, period, state), and ``max_i ‖model(h_i) − h_{i+1}‖ / max(1, ‖h_{i+1}‖)``, shape
        (starts,), infinite where it is not finite, NaN for starts left alone.
    """
    budget = budget or Budget()
    ends, left = np.array(starts), np.full(len(starts), np.nan)
    batch = max(1, min(512, _ENTRIES // (starts.shape[1] * starts.shape[2] ** 2)))
    with np.errstate(all="ignore"):  # starts that escape are told by their residual
        for first in range(0, len(starts), batch):
            if budget.left <= 0:
                break
            part = slice(first, first + batch)
            found = _descend(model, ends[part], known, damped, budget)
            left[part] = np.where(np.isfinite(found), found, np.inf)
    return ends, left


def _descend(model: Model, cycles: np.ndarray, known: np.ndarray | None, damped: bool, budget: Budget) -> np.ndarray:
    """Newton on ``cycles`` in place; the residuals of the ends."""
    left = _sizes(cycles, images(model, cycles))
    weak, mark = np.zeros(len(cycles), int), left.copy()
    for k in range(_ITERATIONS):
        if k and k % _PATIENCE == 0:
            weak[~(left < mark / 2)] = _WEAK
            mark = left.copy()
        live = np.flatnonzero((left > _ROUNDING) & (weak < _WEAK))
        if len(live) == 0 or budget.left <= 0:
            break
        budget.left -= len(live)
        old = cycles[live]
        moved, A = linearised(model, old)
        move = _newton_moves(A, moved - np.roll(old, -1, axis=1))
        if known is not None:
            turn = 1 - np.einsum("bi,bi->b", _repulsion_slope(old[:, 0], known), move[:, 0])
            move = move / np.where(np.abs(turn) < 0.1, np.copysign(0.1, turn), turn)[:, None, None]
        if damped:
            new, size, better = _searched(model, old, left[live], move, known)
        else:
            new = old + move
            size, better = _sizes(new, images(model, new)), np.ones(len(live), bool)
        cycles[live], left[live] = new, size
        weak[live] = np.where(better, 0, weak[live] + 1)
        weak[live[np.all(new == old, axis=(1, 2)) | ~np.all(np.isfinite(new), axis=(1, 2))]] = _WEAK
    return left


def _searched(
    model: Model, cycles: np.ndarray, sizes: np.ndarray, moves: np.ndarray, known: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The longest of the halved steps that lowers the residual well, else the best, else none.

    Returns:
        The cycles there, their residuals, and whether they are well below those before.
    """

    def weight(states: np.ndarray) -> np.ndarray | float:
        return 1.0 if known is None else np.exp(_repulsion(states[:, 0], known))

    now = sizes * weight(cycles)
    new, size, least = cycles.copy(), sizes.copy(), now.copy()
    better = np.zeros(len(cycles), bool)
    for powers in (np.zeros(1), np.arange(1.0, _TRIES)):
        open_ = np.flatnonzero(~better)
        if len(open_) == 0:
            break
        tries = (cycles[open_] + 0.5 ** powers[:, None, None, None] * moves[open_]).reshape(-1, *cycles.shape[1:])
        found = _sizes(tries, images(model, tries))
        shape = (len(powers), len(open_))
        merit, found = (found * weight(tries)).reshape(shape), found.reshape(shape)
        well = merit < now[open_] * (1 - 1e-4)
        lowest = np.argmin(np.where(np.isnan(merit), np.inf, merit), axis=0)
        pick = np.where(np.any(well, axis=0), np.argmax(well, axis=0), lowest)
        column = np.arange(len(open_))
        lower = merit[pick, column] < least[open_]
        place = open_[lower]
        new[place] = tries.reshape(*shape, *cycles.shape[1:])[pick, column][lower]
        size[place], least[place] = found[pick, column][lower], merit[pick, column][lower]
        better[open_] = np.any(well, axis=0)
    return new, size, better


def _sizes(cycles: np.ndarray, moved: np.ndarray) -> np.ndarray:
    """``max_i ‖model(h_i) − h_{i+1}‖ / max(1, ‖h_{i+1}‖)`` of every cycle."""
    target = np.roll(cycles, -1, axis=1)
    gaps = np.linalg.norm(moved - target, axis=2)
    return np.max(gaps / np.maximum(1.0, np.linalg.norm(target, axis=2)), axis=1)


def _repulsion(points: np.ndarray, known: np.ndarray) -> np.ndarray:
    """``Σ ln(1 + 1/‖h − z‖²)`` over the known z, shape (points,)."""
    return np.sum(np.log1p(1 / np.sum((points[:, None] - known) ** 2, axis=2)), axis=1)


def _repulsion_slope(points: np.ndarray, known: np.ndarray) -> np.ndarray:
    """The gradient of `_repulsion`, shape (points, state)."""
    away = points[:, None] - known
    square = np.sum(away**2, axis=2)
    return -2 * np.einsum("bk,bki->bi", 1 / (square * (square + 1)), away)


def _newton_moves(A: np.ndarray, gaps: np.ndarray) -> np.ndarray:
    """The Newton steps of all points of every cycle, shape (cycles, period, state)."""
    product, shift = A[:, 0], gaps[:, 0]
    for i in range(1, A.shape[1]):
        product, shift = A[:, i] @ product, np.einsum("bij,bj->bi", A[:, i], shift) + gaps[:, i]
    moves = [solved(np.eye(A.shape[2]) - product, shift)]
    for i in range(A.shape[1] - 1):
        moves.append(np.einsum("bij,bj->bi", A[:, i], moves[-1]) + gaps[:, i])
    return np.stack(moves, axis=1)


def solved(matrices: np.ndarray, sides: np.ndarray) -> np.ndarray:
    """The solution of every system, NaN where there is none."""
    try:
        return np.linalg.solve(matrices, sides[..., None])[..., 0]
    except np.linalg.LinAlgError:
        if len(matrices) == 1:
            return np.full_like(sides, np.nan)
        return np.concatenate([solved(m[None], b[None]) for m, b in zip(matrices, sides, strict=True)])


def jacobians(model: Model, points: Any, period: int = 1) -> np.ndarray:
    """Jacobians of the period map at every point, shape (count, state, state)."""
    states, product = linearised(model, np.asarray(points))
    with np.errstate(all="ignore"):  # an orbit that escapes has no finite Jacobian, and no finite residual
        for _ in range(period - 1):
            states, A = linearised(model, states)
            product = A @ product
    return product


def pushed(model: Model, points: np.ndarray, directions: np.ndarray, period: int = 1) -> np.ndarray:
    """The Jacobian of the period map at every point times its direction, shape (count, state)."""
    for _ in range(period):
        there, turned = _pushed(model, padded(points), padded(directions))
        points, directions = np.asarray(there)[: len(points)], np.asarray(turned)[: len(points)]
    return directions


@eqx.filter_jit
def _pushed(model: Model, points: Any, directions: Any) -> tuple[Any, Any]:
    return jax.vmap(lambda h, v: jax.jvp(model, (h,), (v,)))(points, directions)


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
    points = np.asarray(points)
    with np.errstate(all="ignore"):
        return np.linalg.norm(iterate(model, points, period) - points, axis=1)


def closes_early(model: Model, points: np.ndarray, period: int, within: float) -> np.ndarray:
    """Which points of period-``period`` orbits come back to ``within`` after a proper divisor of it, shape (count,)."""
    divisors = [d for d in range(1, period) if period % d == 0]
    gaps = [residual_norms(model, points, d) <= within for d in divisors]
    return np.any(gaps, axis=0) if gaps else np.zeros(len(points), bool)


def error_bounds(model: Model, points: np.ndarray, period: int = 1, most: float = 1e-6) -> np.ndarray:
    """``‖(A − I)⁻¹‖`` times the residual or its rounding error, whichever is larger; ``most`` of the point's size.

    The size counts: a cell state of 4e7 beside a forget gate of 1 − 2e-8 is known to a few units only.
    """
    size = np.maximum(1.0, np.linalg.norm(points, axis=1))
    return np.minimum(_bounds(model, points, period), most * size)


def isolated(model: Model, points: np.ndarray, period: int = 1) -> np.ndarray:
    """Which points rounding can tell from a continuum of fixed points, such as a saturated gate's."""
    return _bounds(model, points, period) <= _ISOLATED * np.maximum(1.0, np.linalg.norm(points, axis=1))


def _bounds(model: Model, points: np.ndarray, period: int) -> np.ndarray:
    A = jacobians(model, points, period)
    smallest = np.linalg.svd(A - np.eye(A.shape[-1]), compute_uv=False)[:, -1]
    floor = 16 * np.finfo(float).eps * np.maximum(1.0, np.linalg.norm(points, axis=1))
    residual = np.maximum(residual_norms(model, points, period), floor)
    with np.errstate(over="ignore"):  # infinite where I − A is singular: the callers' bounds end it
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
