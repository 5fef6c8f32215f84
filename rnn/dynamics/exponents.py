"""Finite-time Lyapunov exponents of a network, conditional on its input, with the directions that grow.

Along an orbit ``h_t = model(h_{t−1}, x_t)`` the tangent map is ``M = D_T … D_1``, ``D_t = ∂h_t/∂h_{t−1}``. Its singular
values give the exponents ``ln σ_i(M)/T``. M itself is never formed, since its columns would soon be parallel: k
directions are carried forward by ``D_t Q = Q' R`` and back by the transposes, QR at every step, which is subspace
iteration on ``MᵀM``; the logarithms of R's diagonals add up.

(Benettin, Galgani, Giorgilli & Strelcyn, Meccanica 15, 1980; Dieci & Van Vleck, Appl. Numer. Math. 17, 1995.)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from normalforms.report import brief
from rnn.kernel import check_count
from rnn.models import Model, check_inputs, trajectory

__all__ = ["Exponents", "exponents"]


@brief
@dataclass(frozen=True)
class Exponents:
    """Finite-time Lyapunov exponents of every orbit; made by :func:`exponents`.

    Attributes:
        values: ``ln σ_i(M)/T``, descending, shape (batch, k), per step.
        directions: orthonormal perturbations of the initial state that grow so, (batch, k, state).
        ends: where these point after T steps, orthonormal, (batch, k, state).
        change: by how much the values moved in the last round, (batch,): small where the iteration has converged.
        horizon: T, in steps.
    """

    values: Float[np.ndarray, "batch k"]
    directions: Float[np.ndarray, "batch k state"]
    ends: Float[np.ndarray, "batch k state"]
    change: Float[np.ndarray, " batch"]
    horizon: int

    @property
    def mean(self) -> Float[np.ndarray, " k"]:
        """The values averaged over orbits, shape (k,)."""
        return self.values.mean(axis=0)


def exponents(
    model: Model,
    h0: Float[Array, "batch state"],
    inputs: Any = None,
    horizon: int | None = None,
    k: int = 1,
    *,
    rounds: int = 4,
) -> Exponents:
    """The k leading finite-time Lyapunov exponents along orbits of ``model``, conditional on their inputs.

    Args:
        model: one step on one state, and one input where there are inputs.
        h0: initial states, shape (batch, state).
        inputs: shape (batch, horizon, inputs), or (horizon, inputs) for all orbits alike.
        horizon: T, in steps; that of the inputs unless given.
        k: how many, at most the length of the state.
        rounds: sweeps forward and back. One is Benettin's method; each further one divides what is left of other
            directions by ``(σ_k/σ_{k+1})²``.

    Raises:
        ValueError: ``k`` or ``rounds`` is out of range, the inputs do not fit, or the orbits are not finite.
    """
    if jnp.ndim(h0) != 2:
        raise ValueError(f"h0 must have shape (batch, state), got {jnp.shape(h0)}; add the batch axis")
    h0 = jnp.asarray(h0)
    x, horizon = check_inputs(inputs, horizon, h0.shape[0], h0.dtype)
    k, rounds = check_count("k", k), check_count("rounds", rounds)
    if k > h0.shape[1]:
        raise ValueError(f"k must be at most the length {h0.shape[1]} of the state, got {k}")
    path = _orbits(model, h0, horizon, x)
    if not bool(jnp.all(jnp.isfinite(path))):
        raise ValueError("the orbits are not finite: lower horizon, or scale the weights or h0")
    values, directions, ends, change = (np.asarray(a) for a in _along(model, path, x, k, rounds))
    return Exponents(values, np.swapaxes(directions, 1, 2), np.swapaxes(ends, 1, 2), change, horizon)


@eqx.filter_jit
def _orbits(model: Model, h0: Array, horizon: int, x: Array | None) -> Array:
    """The states before each step; compiled once for all networks of one shape."""
    return jnp.concatenate([h0[:, None], trajectory(model, h0, horizon, x)[:, :-1]], axis=1)


@eqx.filter_jit
def _along(model: Model, path: Array, x: Array | None, k: int, rounds: int) -> tuple[Array, ...]:
    state, dtype = path.shape[2], path.dtype
    begin = jnp.linalg.qr(jax.random.normal(jax.random.key(0), (state, k), dtype))[0]

    def orbit(path: Array, x: Array | None) -> tuple[Array, ...]:
        def step(h: Array, x: Array | None) -> Array:
            return model(h) if x is None else model(h, x)

        def carried(q: Array, total: Array, image: Array) -> tuple[Array, Array]:
            q, r = jnp.linalg.qr(image)
            return q, total + jnp.log(jnp.abs(jnp.diagonal(r)))

        def ahead(carry: tuple[Array, Array], at: tuple[Array, Array | None]) -> tuple[tuple[Array, Array], None]:
            q, total = carry
            push = jax.linearize(lambda h: step(h, at[1]), at[0])[1]
            return carried(q, total, jax.vmap(push, 1, 1)(q)), None

        def back(carry: tuple[Array, Array], at: tuple[Array, Array | None]) -> tuple[tuple[Array, Array], None]:
            q, total = carry
            pull = jax.vjp(lambda h: step(h, at[1]), at[0])[1]
            return carried(q, total, jax.vmap(lambda v: pull(v)[0], 1, 1)(q)), None

        nothing = jnp.zeros(k, dtype)

        def around(carry: tuple[Array, Array, Array, Array], turn: Array | None) -> tuple[tuple[Array, ...], None]:
            first, _, before, _ = carry
            (last, _), _ = jax.lax.scan(ahead, (first, nothing), (path, x))
            (first, total), _ = jax.lax.scan(back, (last, nothing), (path, x), reverse=True)
            return (first, last, total, jnp.max(jnp.abs(total - before))), None

        start = begin, begin, nothing, jnp.zeros((), dtype)
        (first, _, total, change), _ = jax.lax.scan(around, start, length=rounds)
        (last, total), _ = jax.lax.scan(ahead, (first, nothing), (path, x))
        count = path.shape[0]
        return total / count, first, last, change / count

    return jax.vmap(orbit, (0, None if x is None else 0))(path, x)
