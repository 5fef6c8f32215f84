"""Where a network hardly moves: lines and surfaces of fixed points, slow points and ghosts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import scipy.optimize

from normalforms.report import brief
from rnn.dynamics.newton import check_shape, float64, linearised, orbits
from rnn.dynamics.probing import distinct, starting_states
from rnn.models import Model, held

__all__ = ["Continuum", "SlowPoints", "continua", "slow_points"]

_STILL = 1e-6  # movement per step below which states count as fixed: what rounding to single precision leaves
_FLAT = 1e-5  # singular values of A − I below which a direction is looked along
_LENGTH = 0.2  # relative, that a set must have in a direction to be more than a point
_FAR = 10.0  # relative, how far a set is followed
_STRIDE = 0.25
_DIRECTIONS = 3
_MOST = 4
_ORBIT = 200  # steps along which orbits are watched for where they linger
_APART, _SAME = 1e-2, 1e-4
_MINIMISED = 64


@brief
@dataclass(frozen=True)
class Continuum:
    """Fixed points that are not isolated: a line, a ring, a surface, or more dimensions of them.

    Attributes:
        point: one of them, shape (state,).
        directions: orthonormal directions along the set at that point, shape (dimension, state).
        extent: length of the set as followed from that point in up to three of the directions, both ways.
        open: for each of those whether it went on where following stopped, at ten times the point's size.
        closed: whether a line came back to where it began: a ring.
        drift: largest ``‖model(h) − h‖`` on what was followed; at most 1e-6.
        multiplier: largest modulus of the multipliers across the set, at the point.
        states: the states that were followed, shape (count, state).
    """

    point: np.ndarray
    directions: np.ndarray
    extent: np.ndarray
    open: tuple[bool, ...]
    closed: bool
    drift: float
    multiplier: float
    states: np.ndarray

    @property
    def dimension(self) -> int:
        """Of the set: 1 for a line."""
        return len(self.directions)

    @property
    def stable(self) -> bool:
        """Whether the set attracts from its sides, at its point."""
        return self.multiplier < 1

    @property
    def name(self) -> str:
        """``"line"``, ``"ring"``, ``"surface"``, or with the number of dimensions."""
        several = "surface" if self.dimension == 2 else f"{self.dimension}-dimensional set"
        return several if self.dimension > 1 else "ring" if self.closed else "line"

    def __str__(self) -> str:
        pairs = zip(self.extent, self.open, strict=True)
        lengths = [f"{'at least ' if more else ''}{length:.3g}" for length, more in pairs]
        kind = "attracting " if self.stable else "unstable "
        kind = kind if self.dimension < len(self.point) else "all-filling "
        rest = "" if len(self.extent) == self.dimension else f" along {len(self.extent)} of {self.dimension} directions"
        return f"{kind}{self.name} of fixed points, {' × '.join(lengths)} long{rest}, drift at most {self.drift:.1e}"


def continua(model: Model, candidates: np.ndarray) -> tuple[Continuum, ...]:
    """The sets of fixed points through those of the candidates that lie on one.

    Args:
        model: float64 model; call this where x64 is enabled.
        candidates: fixed points, isolated or not, shape (count, state).
    """
    found: list[Continuum] = []
    for point in candidates:
        if len(found) == _MOST:
            break
        if not any(_covers(one, point) for one in found):
            one = _through(model, point)
            found += [] if one is None else [one]
    return tuple(found)


def _through(model: Model, point: np.ndarray) -> Continuum | None:
    flat, across = _frame(model, point)
    size = max(1.0, float(np.linalg.norm(point)))
    kept, lengths, open_, states, drift, closed = [], [], [], [point[None]], 0.0, False
    for v in flat[:_DIRECTIONS]:
        ahead, more, around = _walk(model, point, v, size, len(flat))
        back, less = ahead[:0], False
        if not around:
            back, less, _ = _walk(model, point, -v, size, len(flat))
        line = np.concatenate([back[::-1], point[None], ahead])
        length = float(np.sum(np.linalg.norm(np.diff(line, axis=0), axis=1)))
        if length >= _LENGTH * size:
            kept.append(v)
            lengths.append(length)
            open_.append(more or less)
            states.append(line)
            closed = closed or around
    if not kept:
        return None
    everywhere = np.concatenate(states)
    drift = float(np.max(np.linalg.norm(linearised(model, everywhere)[0] - everywhere, axis=1)))
    directions = np.stack([*kept, *flat[_DIRECTIONS:]])
    return Continuum(
        point, directions, np.array(lengths), tuple(open_), closed and len(kept) == 1, drift, across, everywhere
    )


def _frame(model: Model, point: np.ndarray) -> tuple[np.ndarray, float]:
    """Directions in which the map moves nothing, shape (count, state), and the largest multiplier but for theirs."""
    A = linearised(model, point[None])[1][0]
    _, sizes, right = np.linalg.svd(A - np.eye(len(A)))
    flat = right[sizes < _FLAT]
    mu = np.linalg.eigvals(A)
    rest = np.abs(mu[np.argsort(np.abs(mu - 1))[len(flat) :]])
    return flat, float(np.max(rest, initial=0.0))


def _walk(model: Model, start: np.ndarray, v: np.ndarray, size: float, count: int) -> tuple[np.ndarray, bool, bool]:
    """States along the set from ``start`` towards ``v``; whether it went on there; whether it came back."""
    states, here, whole, walked = [], start, _STRIDE * size, 0.0
    stride = whole
    while walked < _FAR * size:
        there, v_new = _corrected(model, here + stride * v, v, count)
        if there is None or np.linalg.norm(there - here - stride * v) > 0.5 * stride:
            stride /= 2
            if stride < 1e-3 * whole:
                return np.array(states).reshape(-1, len(start)), False, False
            continue
        walked += stride
        if walked > 2 * whole and np.linalg.norm(there - start) < 0.75 * stride:
            return np.array([*states, start]), False, True
        states.append(there)
        here, v, stride = there, v_new, min(whole, 2 * stride)
    return np.array(states), True, False


def _corrected(model: Model, guess: np.ndarray, v: np.ndarray, count: int) -> tuple[np.ndarray | None, np.ndarray]:
    """The state of the set beside ``guess`` and its tangent there; no state where there is none."""
    before = np.inf
    for _ in range(5):
        moved, A = (part[0] for part in linearised(model, guess[None]))
        left, sizes, right = np.linalg.svd(A - np.eye(len(A)))
        gap = moved - guess
        if not np.all(np.isfinite(gap)):
            return None, v
        flat = right[len(right) - count :]
        tangent = flat.T @ (flat @ v)
        now = float(np.linalg.norm(gap))
        if now <= _STILL and not now < before / 2:
            length = float(np.linalg.norm(tangent))
            return (guess, tangent / length) if length > 0.5 else (None, v)
        kept, before = len(right) - count, now
        guess = guess - right[:kept].T @ (left.T[:kept] @ gap / np.maximum(sizes[:kept], _FLAT))
    return None, v


def _covers(one: Continuum, point: np.ndarray) -> bool:
    size = max(1.0, float(np.linalg.norm(one.point)))
    if np.min(np.linalg.norm(one.states - point, axis=1)) <= _STRIDE * size:
        return True
    aside = point - one.point
    across = aside - one.directions.T @ (one.directions @ aside)
    return (one.dimension > 1 or any(one.open)) and float(np.linalg.norm(across)) <= 0.1 * float(np.linalg.norm(aside))


@brief
@dataclass(frozen=True)
class SlowPoints:
    """Minima of ``‖model(h) − h‖`` that are no fixed points: where orbits linger, as at the ghost of a fold.

    Attributes:
        points: shape (count, state), the slowest first.
        speeds: ``‖model(h) − h‖`` there, shape (count,).
        passage: steps that an orbit takes to pass, from far before to far behind: ``π / √(μ c)`` of the motion
            ``x' = x + μ + c x²`` along the critical direction, shape (count,).
        multipliers: eigenvalues of the Jacobian, by decreasing modulus, (count, state); one of them is 1.
        starts: how many minimisations were made.
        status: ``"found"``, or a sentence on why there is nothing.
    """

    points: np.ndarray
    speeds: np.ndarray
    passage: np.ndarray
    multipliers: np.ndarray
    starts: int
    status: str

    def __len__(self) -> int:
        return len(self.points)


def slow_points(
    model: Model,
    starts: Any = None,
    *,
    x: Any = None,
    size: int | None = None,
    count: int = 64,
    key: int = 0,
    speed: float = 0.1,
) -> SlowPoints:
    """Minima of ``‖model(h) − h‖`` above zero, by a trust-region method in float64.

    The minimisations set out from the starts and from where their orbits are slowest on the way. At such a minimum the
    Jacobian has the multiplier 1, with the movement as its left eigenvector: a fold that has not happened yet, or is
    over.

    Args:
        model: one step on one state vector.
        starts: shape (starts, state); random at three scales unless given.
        x: a constant input, shape (inputs,), at which a network with inputs is held; none unless given.
        size: length of a state vector, where neither ``starts`` nor the model's parameters tell it.
        count: how many random starts.
        key: seed of those.
        speed: above which a minimum is not slow.

    Raises:
        ValueError: as for :func:`fixed_points`.

    Source: Sussillo & Barak, *Neural Comput.* 25 (2013), for the minima; Strogatz, *Nonlinear Dynamics and Chaos*,
    §4.3, for the passage.
    """
    model = model if x is None else held(model, x)
    seeds = starting_states(model, starts, size, count, key)
    with jax.enable_x64(True):
        wide = float64(model)
        check_shape(wide, seeds.shape[1])
        lingering = _lingering(wide, seeds)
        ends = [_slowest(wide, start) for start in lingering]
        points = np.array([end for end in ends if end is not None]).reshape(-1, seeds.shape[1])
        points = distinct(points[:, None], _SAME)[0][:, 0]
        moved, A = linearised(wide, points)
        moves = moved - points
        speeds = np.linalg.norm(moves, axis=1)
        keep = np.flatnonzero((speeds > _STILL) & (speeds <= speed))
        keep = keep[np.argsort(speeds[keep])]
        passage = np.array([_passage(wide, points[k], moves[k], A[k]) for k in keep])
        mu = np.linalg.eigvals(A[keep]).astype(complex)
    mu = np.take_along_axis(mu, np.argsort(-np.abs(mu), axis=1, kind="stable"), axis=1)
    none = f"none of {len(lingering)} minimisations ended between speeds of {_STILL:g} and {speed:g}"
    return SlowPoints(points[keep], speeds[keep], passage, mu, len(lingering), "found" if len(keep) else none)


def _lingering(model: Model, seeds: np.ndarray) -> np.ndarray:
    """The seeds, and the states on their orbits at which the movement is least before it grows again."""
    with np.errstate(all="ignore"):
        states = orbits(model, seeds, _ORBIT)
        speeds = np.linalg.norm(np.diff(states, axis=1), axis=2)
    middle = speeds[:, 1:-1]
    slow = (middle <= speeds[:, :-2]) & (middle < speeds[:, 2:])
    rows, columns = np.nonzero(slow)
    order = np.argsort(middle[rows, columns])
    found = np.concatenate([states[rows[order], columns[order] + 1], seeds])
    found = found[np.all(np.isfinite(found), axis=1)]
    return distinct(found[:, None], _APART)[0][:_MINIMISED, 0]


def _slowest(model: Model, start: np.ndarray) -> np.ndarray | None:
    """The minimum of ``½ ‖model(h) − h‖²`` that is reached from ``start``; ``None`` where none is."""
    found = scipy.optimize.minimize(
        lambda h: float(_energy(model, h)[0]),
        start,
        jac=lambda h: np.asarray(_energy(model, h)[1]),
        hess=lambda h: np.asarray(_bend(model, h)),
        method="trust-exact",
        options={"gtol": 1e-12, "maxiter": 200},
    )
    return found.x if np.linalg.norm(found.jac) <= 1e-9 else None


def _passage(model: Model, point: np.ndarray, move: np.ndarray, A: np.ndarray) -> float:
    v = np.linalg.svd(A - np.eye(len(A)))[2][-1]
    w = move / (move @ v)
    bend = w @ np.asarray(_second(model, point, v)) / 2
    strength = float(w @ move) * float(bend)
    return float(np.pi / np.sqrt(strength)) if strength > 0 else float("nan")


@eqx.filter_jit
def _energy(model: Model, h: Any) -> Any:
    return jax.value_and_grad(lambda h: jnp.sum((model(h) - h) ** 2) / 2)(h)


@eqx.filter_jit
def _bend(model: Model, h: Any) -> Any:
    return jax.hessian(lambda h: jnp.sum((model(h) - h) ** 2) / 2)(h)


@eqx.filter_jit
def _second(model: Model, h: Any, v: Any) -> Any:
    return jax.jvp(lambda h: jax.jvp(model, (h,), (v,))[1], (h,), (v,))[1]
