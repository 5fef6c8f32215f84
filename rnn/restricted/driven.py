"""The restricted kernel of a driven network, predicted about the orbit that the input forces.

Inputs push a network off its centre manifold as far as it is wide, so that an expansion about the fixed point fails.
With ``Π = I − q pᵀ`` at the zero-input fixed point h*, critical vectors q, p, the forced transverse orbit

    w̄_{t+1} = Π (F(h* + w̄_t, x_t) − h*),   w̄_0 = Π (h_0 − h*)

knows the input and nothing of the critical coordinate u. About ``y_t = h* + q u_t + w̄_t`` the network is

    u_{t+1} = pᵀ (F(y_t + d_t, x_t) − h*),   d_{t+1} = Π (F(y_t, x_t) − h* + N(d_t)) − w̄_{t+1},

    h_t ≈ y_t + d_t,   d = 0 (scalar),   N(d) = D_hF d (response),   D_hF d + ½ D²_hF(d, d) (second).

The critical coordinate's own map is kept whole; the rest answers it to first or second order.

The frame h*, q, p, w̄ is that of s = 0 (fixed), or moves along the line of parameters and is differentiated with it.
The scalar rung has one coordinate and an input-driven orbit; the others carry a vector and cost what a simulation does.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from scipy.interpolate import CubicSpline

from rnn.dynamics import Event, float64, jacobians
from rnn.models import Model, moved
from rnn.restricted.line import Line, critical_basis, tangent_of

__all__ = ["DRIVEN_RUNGS", "DrivenRung", "Frame", "driven_curve", "frames"]

DrivenRung = Literal["scalar", "response", "second"]
DRIVEN_RUNGS: tuple[DrivenRung, ...] = ("scalar", "response", "second")


class Frame(NamedTuple):
    """Where the network is expanded, or how that moves with s.

    Attributes:
        centre: h*, shape (state,).
        q, p: critical and adjoint vector, ``p·q = 1``.
    """

    centre: Any
    q: Any
    p: Any


def frames(event: Event, direction: np.ndarray, kind: str, s: np.ndarray, moving: bool) -> tuple[Frame, Frame]:
    """The frame at every s, with its derivative, arrays of shape (count, state).

    ``(A − λ) q' − λ' q = −A' q`` with ``p_0·q' = 0``, and ``(Aᵀ − λ) p' − λ' p = −A'ᵀ p`` with ``q·p' = −p·q'``:
    bordered systems, regular at a simple multiplier. The fixed point's own derivative is that of a spline through it,
    as ``I − A`` is singular at the event.
    """
    Q, P = critical_basis(event.normal_form)
    if Q.shape[1] > 1:
        raise ValueError("driven prediction takes events of a real multiplier, got a complex pair; simulate instead")
    q0, p0, count = Q[:, 0], P[:, 0], len(s)
    if not moving:
        still = Frame(*(np.repeat(np.asarray(a)[None], count, axis=0) for a in (event.point, q0, p0)))
        return still, Frame(*(np.zeros_like(a) for a in still))
    model, order = float64(event.model), np.argsort(s)
    points = np.stack([place.point for place in Line(event, direction, kind).places(s)])
    drift = np.empty_like(points)
    drift[order] = CubicSpline(s[order], points[order])(s[order], 1)
    tangent = tangent_of(model, direction)
    rows = []
    for shift, point, rate in zip(s, points, drift, strict=True):
        A = jacobians(moved(model, tangent, jnp.asarray(shift)), point[None])[0]
        slope = np.asarray(_turned(model, tangent, *(jnp.asarray(x) for x in (shift, point, rate))))
        rows.append((point, rate, *_eigenvectors(A, slope, q0, p0)))
    point, rate, q, p, dq, dp = (np.stack(part) for part in zip(*rows, strict=True))
    return Frame(point, q, p), Frame(rate, dq, dp)


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
def _turned(model: Model, tangent: Any, s: Any, point: Any, rate: Any) -> Any:
    """``d/ds D_hF(h*(s); s)``."""
    at = lambda shift: jax.jacfwd(moved(model, tangent, s + shift))(point + shift * rate)  # noqa: E731
    return jax.jvp(at, (jnp.zeros_like(s),), (jnp.ones_like(s),))[1]


def driven_curve(
    model: Model,
    direction: np.ndarray,
    frame: tuple[Frame, Frame],
    s: np.ndarray,
    h0: np.ndarray,
    inputs: np.ndarray,
    rung: DrivenRung,
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
        inputs: shape (batch, horizon, inputs).
        rung: how much of N(d) is kept.
        moving: whether w̄ is that of s or that of 0.
    """
    first, second = (jax.tree.map(jnp.asarray, part) for part in frame)
    x = jnp.swapaxes(jnp.asarray(inputs), 0, 1)
    tangent = tangent_of(model, direction)
    return np.asarray(_curve(model, tangent, first, second, jnp.asarray(s), jnp.asarray(h0), x, rung, moving))


@eqx.filter_jit
def _curve(
    model: Model, tangent: Any, frame: Frame, rate: Frame, s: Any, h0: Any, inputs: Any, rung: str, moving: bool
) -> Any:
    def states(shift: Any, at: Frame) -> Any:
        centre, q, p = at
        step = jax.vmap(moved(model, tangent, shift))
        forcing = step if moving else jax.vmap(model)
        off = lambda v: v - (v @ p)[:, None] * q  # noqa: E731

        def bent(y: Any, d: Any, x: Any) -> Any:
            """``F(y, x) + N(d)``."""
            at_input = lambda h: step(h, x)  # noqa: E731
            value, first = jax.jvp(at_input, (y,), (d,))
            if rung == "response":
                return value + first
            push = lambda h: jax.jvp(at_input, (h,), (d,))[1]  # noqa: E731
            return value + first + jax.jvp(push, (y,), (d,))[1] / 2

        def advance(carry: Any, x: Any) -> Any:
            u, w, d = carry
            y = centre + u[:, None] * q + w
            u = (step(y + d, x) - centre) @ p
            w = off(forcing(centre + w, x) - centre)
            if rung != "scalar":
                d = off(bent(y, d, x) - centre) - w
            return (u, w, d), centre + u[:, None] * q + w + d

        free = h0 - centre
        return jax.lax.scan(advance, (free @ p, off(free), jnp.zeros_like(h0)), inputs)[1]

    def one(part: Any) -> Any:
        shift, at, turn = part
        return jnp.sum(jax.jvp(states, (shift, at), (jnp.ones_like(shift), turn))[1] ** 2)

    return jax.lax.map(one, (s, frame, rate))
