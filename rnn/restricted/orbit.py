"""The restricted kernel predicted about an orbit: a cycle, the orbit that inputs force, or both.

Inputs push a network off its centre manifold as far as it is wide, so that an expansion about the fixed point fails;
a cycle has a centre manifold of its own at each of its points. Both are expansions about an orbit. The points
``z_0 … z_{n−1}`` of the cycle (n = 1: the fixed point at zero input) have critical and adjoint vectors ``q_i, p_i``
with ``p_i·q_i = 1``,

    q_{i+1} = A_i q_i,  λ p_i = A_iᵀ p_{i+1}  (i > 0),   A_i = D_hF(z_i),   q_0, p_0 of the round trip's multiplier λ,

and ``Π_i = I − q_i p_iᵀ``. A trajectory meets them in turn, from the stage at which it starts. The transverse orbit

    w̄_{t+1} = Π_{i+1} (F(z_i + w̄_t, x_t) − z_{i+1}),   w̄_0 = Π (h_0 − z)

knows the input and the start, and nothing of the critical coordinate u. About ``y_t = z_i + q_i u_t + w̄_t`` the
network is

    u_{t+1} = p_{i+1}ᵀ (F(y_t + d_t, x_t) − z_{i+1}),   d_{t+1} = Π_{i+1} (F(y_t, x_t) − z_{i+1} + N(d_t)) − w̄_{t+1},

    h_t ≈ y_t + d_t,   d = 0 (scalar),   N(d) = D_hF d (response),   D_hF d + ½ D²_hF(d, d) (second).

The critical coordinate's own map is kept whole; the rest answers it to first or second order.

The frame z, q, p, w̄ is that of s = 0 (fixed), or moves along the line of parameters and is differentiated with it.
The scalar rung has one coordinate and an orbit that inputs drive; the others carry a vector and cost what a simulation
does.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from scipy.interpolate import CubicSpline

from rnn.dynamics import Event, float64, jacobians, period_map
from rnn.models import Model, moved, trajectory
from rnn.restricted.line import Line, critical_basis, tangent_of

__all__ = ["ORBIT_RUNGS", "Frame", "OrbitRung", "approach", "cycle_of", "frames", "orbit_curve"]

OrbitRung = Literal["scalar", "response", "second"]
ORBIT_RUNGS: tuple[OrbitRung, ...] = ("scalar", "response", "second")


class Frame(NamedTuple):
    """Where the network is expanded, or how that moves with s.

    Attributes:
        centre: the points z of the cycle, shape (period, state).
        q, p: critical and adjoint vector at each, ``p·q = 1``.
    """

    centre: Any
    q: Any
    p: Any


def frames(event: Event, direction: np.ndarray, kind: str, s: np.ndarray, moving: bool) -> tuple[Frame, Frame]:
    """The frame at every s, with its derivative, arrays of shape (count, period, state).

    For the round trip's Jacobian A: ``(A − λ) q' − λ' q = −A' q`` with ``p_0·q' = 0``, and
    ``(Aᵀ − λ) p' − λ' p = −A'ᵀ p`` with ``q·p' = −p·q'``: bordered systems, regular at a simple multiplier. The
    derivative of the cycle's first point is that of a spline through it, as ``I − A`` is singular at the event. The
    other stages follow from the first.
    """
    Q, P = critical_basis(event.normal_form)
    if Q.shape[1] > 1:
        raise ValueError(
            "predictions at a cycle or under input take events of a real multiplier, got a complex pair; simulate, "
            "or without input make the event of the iterated model, one that takes a whole cycle at once"
        )
    q0, p0, n = Q[:, 0], P[:, 0], event.period
    model, tangent = float64(event.model), tangent_of(event.model, direction)
    if not moving:
        at = _stages(model, tangent, jnp.zeros(()), Frame(*map(jnp.asarray, (event.point, q0, p0))), n)
        still = Frame(*(np.repeat(np.asarray(a)[None], len(s), axis=0) for a in at))
        return still, Frame(*(np.zeros_like(a) for a in still))
    order = np.argsort(s)
    points = np.stack([place.point for place in Line(event, direction, kind).places(s)])
    drift = np.empty_like(points)
    drift[order] = CubicSpline(s[order], points[order])(s[order], 1)
    rows = []
    for shift, point, rate in zip(s, points, drift, strict=True):
        A = jacobians(moved(model, tangent, jnp.asarray(shift)), point[None], n)[0]
        slope = np.asarray(_turned(model, tangent, jnp.asarray(shift), jnp.asarray(point), jnp.asarray(rate), n))
        q, p, dq, dp = _eigenvectors(A, slope, q0, p0)
        first, turn = Frame(*map(jnp.asarray, (point, q, p))), Frame(*map(jnp.asarray, (rate, dq, dp)))
        rows.append(_moving_stages(model, tangent, jnp.asarray(shift), first, turn, n))
    found, turned = (Frame(*(np.stack(part) for part in zip(*side, strict=True))) for side in zip(*rows, strict=True))
    return found, turned


def _eigenvectors(A: np.ndarray, slope: np.ndarray, q0: np.ndarray, p0: np.ndarray) -> tuple[np.ndarray, ...]:
    """q, p of the multiplier that belongs to q0, and their derivatives where A has the derivative ``slope``."""
    values, vectors = np.linalg.eig(A)
    near = int(np.argmax(np.abs(p0 @ vectors) / np.linalg.norm(vectors, axis=0) - np.abs(values.imag)))
    value, q = values[near].real, vectors[:, near].real
    q = q / (p0 @ q)  # as p0·q0 = 1
    others, covectors = np.linalg.eig(A.T)
    p = covectors[:, int(np.argmin(np.abs(others - value)))].real
    p = p / (p @ q)

    def bordered(matrix: np.ndarray, column: np.ndarray, row: np.ndarray, side: np.ndarray, last: float) -> np.ndarray:
        whole = np.block([[matrix - value * np.eye(len(q)), -column[:, None]], [row[None], np.zeros((1, 1))]])
        return np.linalg.solve(whole, np.append(side, last))[:-1]

    dq = bordered(A, q, p0, -slope @ q, 0.0)
    dp = bordered(A.T, p, q, -slope.T @ p, -float(p @ dq))
    return q, p, dq, dp


@eqx.filter_jit
def _turned(model: Model, tangent: Any, s: Any, point: Any, rate: Any, period: int) -> Any:
    """``d/ds`` of the round trip's Jacobian at the cycle's first point."""

    def at(shift: Any) -> Any:
        return jax.jacfwd(period_map(moved(model, tangent, s + shift), period))(point + shift * rate)

    return jax.jvp(at, (jnp.zeros_like(s),), (jnp.ones_like(s),))[1]


@eqx.filter_jit
def _stages(model: Model, tangent: Any, s: Any, first: Frame, period: int) -> Frame:
    """Points and vectors at every stage of the cycle, from those of its first point."""
    f = moved(model, tangent, s)
    points, q, p = [first.centre], [first.q], [first.p]
    for _ in range(period - 1):
        point, turned = jax.jvp(f, (points[-1],), (q[-1],))
        points.append(point)
        q.append(turned)
    for point in reversed(points[1:]):
        p.insert(1, jax.vjp(f, point)[1](p[1] if len(p) > 1 else first.p)[0])
    multiplier = p[1] @ q[1] if period > 1 else 1.0
    return Frame(jnp.stack(points), jnp.stack(q), jnp.stack([first.p, *(part / multiplier for part in p[1:])]))


@eqx.filter_jit
def _moving_stages(model: Model, tangent: Any, s: Any, first: Frame, rate: Frame, period: int) -> tuple[Frame, Frame]:
    at = lambda shift, frame: _stages(model, tangent, shift, frame, period)  # noqa: E731
    return jax.jvp(at, (s, first), (jnp.ones_like(s), rate))


def cycle_of(event: Event) -> np.ndarray:
    """The points of the event's cycle in their order, shape (period, state); used where x64 is enabled."""
    points = [jnp.asarray(event.point)]
    for _ in range(event.period - 1):
        points.append(float64(event.model)(points[-1]))
    return np.stack([np.asarray(point) for point in points])


def approach(event: Event, h0: np.ndarray, horizon: int, inputs: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """How each trajectory of the event's own network goes to the cycle, two arrays of shape (batch,).

    Returns:
        The stage at which it starts so that over all T steps it is nearest to the cycle in the mean square; and its
        largest distance from its points in the last round, in units of the least distance between two points of the
        cycle, infinite where it is not finite, NaN at a fixed point.
    """
    n = event.period
    if n == 1:
        return np.zeros(len(h0), int), np.full(len(h0), np.nan)
    with jax.enable_x64(True):
        x = None if inputs is None else jnp.asarray(inputs)
        states = np.asarray(trajectory(float64(event.model), jnp.asarray(h0), horizon, x))
        cycle, later = cycle_of(event), np.arange(1, horizon + 1)
    off = np.stack([np.linalg.norm(states - cycle[(later + k) % n], axis=2) for k in range(n)])
    off = np.where(np.isfinite(off), off, np.inf)
    phase = np.argmin(np.sum(off**2, axis=2), axis=0)
    spacing = min(float(np.linalg.norm(cycle[i] - cycle[j])) for i in range(n) for j in range(i))
    return phase, np.max(off[phase, np.arange(len(h0)), -n:], axis=1) / spacing


def orbit_curve(
    model: Model,
    direction: np.ndarray,
    frame: tuple[Frame, Frame],
    s: np.ndarray,
    h0: np.ndarray,
    horizon: int,
    inputs: np.ndarray | None,
    phase: np.ndarray,
    rung: OrbitRung,
    *,
    moving: bool,
) -> np.ndarray:
    """``Σ_{b,t} ‖∂h_t/∂s‖²`` of the reduced dynamics at every s, shape (count,).

    Args:
        model: at s = 0, float64.
        direction: v, flat.
        frame: from :func:`frames`.
        s: displacements, shape (count,).
        h0: initial states, shape (batch, state).
        horizon: T, in steps.
        inputs: shape (batch, horizon, inputs), or ``None``.
        phase: stage of the cycle at which each trajectory starts, shape (batch,).
        rung: how much of N(d) is kept.
        moving: whether w̄ is that of s or that of 0.
    """
    first, second = (jax.tree.map(jnp.asarray, part) for part in frame)
    x = None if inputs is None else jnp.swapaxes(jnp.asarray(inputs), 0, 1)
    stages = jnp.asarray((np.arange(horizon + 1)[:, None] + phase) % frame[0].centre.shape[1])
    tangent = tangent_of(model, direction)
    return np.asarray(_curve(model, tangent, first, second, jnp.asarray(s), jnp.asarray(h0), stages, x, rung, moving))


@eqx.filter_jit
def _curve(
    model: Model,
    tangent: Any,
    frame: Frame,
    rate: Frame,
    s: Any,
    h0: Any,
    stages: Any,
    inputs: Any,
    rung: str,
    moving: bool,
) -> Any:
    def states(shift: Any, at: Frame) -> Any:
        step = jax.vmap(moved(model, tangent, shift))
        forcing = step if moving else jax.vmap(model)
        dot = lambda a, b: jnp.sum(a * b, axis=-1, keepdims=True)  # noqa: E731
        fed = lambda f, h, x: f(h) if x is None else f(h, x)  # noqa: E731
        of = lambda stage: Frame(*(part[stage] for part in at))  # noqa: E731

        def bent(y: Any, d: Any, x: Any) -> Any:
            """``F(y, x) + N(d)``."""
            at_input = lambda h: fed(step, h, x)  # noqa: E731
            value, first = jax.jvp(at_input, (y,), (d,))
            if rung == "response":
                return value + first
            push = lambda h: jax.jvp(at_input, (h,), (d,))[1]  # noqa: E731
            return value + first + jax.jvp(push, (y,), (d,))[1] / 2

        def advance(carry: Any, now: Any) -> Any:
            u, w, d = carry
            stage, later, x = now
            z, q, _ = of(stage)
            ahead, turned, p = of(later)
            off = lambda v: v - dot(v, p) * turned  # noqa: E731
            y = z + u * q + w
            u = dot(fed(step, y + d, x) - ahead, p)
            w = off(fed(forcing, z + w, x) - ahead)
            if rung != "scalar":
                d = off(bent(y, d, x) - ahead) - w
            return (u, w, d), ahead + u * turned + w + d

        z, q, p = of(stages[0])
        u = dot(h0 - z, p)
        start = (u, h0 - z - u * q, jnp.zeros_like(h0))
        return jax.lax.scan(advance, start, (stages[:-1], stages[1:], inputs))[1]

    def one(part: Any) -> Any:
        shift, at, turn = part
        return jnp.sum(jax.jvp(states, (shift, at), (jnp.ones_like(shift), turn))[1] ** 2)

    return jax.lax.map(one, (s, frame, rate))
