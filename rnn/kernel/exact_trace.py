"""Exact ``‖J‖_F² = tr(sNTK)``, without forming J.

For an affine cell ``S_t = ∂h_t/∂(W, U, b)`` is linear in ``x_1 … x_T``, what the weights multiply. With
``x_t = Σ_j L_tj q_j`` in an orthonormal basis (a QR factorisation; x is ``[φ(h); input; 1]``, as far as W, U and b
are selected)

    ‖S_t‖_F² = Σ_j ‖Z_t^j‖_F²,   Z_t^j = D_hF Z_{t−1}^j + L_tj D_xF,

N × N matrices Z instead of one N × m. L is triangular, so that Z^j is zero before step j.
"""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from rnn.kernel.affine import AffineCell
from rnn.kernel.operand import Operand, observe
from rnn.kernel.products import Observer, linearised, over_batch
from rnn.kernel.sweeps import states_along, tangent

__all__ = ["exact_frobenius"]

_WORKING_SET = 2**22  # numbers in flight: small enough for the cache, large enough for matrix products
_STAGES = 3


def exact_frobenius(kernel: Operand) -> Float[Array, ""]:
    """The squared Frobenius norm ``‖J‖_F² = tr(sNTK) = tr(JᵀJ)``, exact to rounding.

    Costs of the order of B T min(T, N+d+1) N³ for an affine cell with d inputs; for other models the lesser of m
    tangent sweeps and T · outputs adjoint sweeps over the batch.

    Args:
        kernel: the operator; its ``chunk`` is an upper bound on the trajectories handled at once.
    """
    cell, _ = linearised(kernel)
    rows, columns = kernel.horizon * kernel.outputs, kernel.shape[1]
    if isinstance(cell, AffineCell):
        state = kernel.h0.shape[1]
        per_trajectory = min(kernel.horizon, cell.wrt_columns + 1) * state * state
        return _affine(_rechunk(kernel, max(1, _WORKING_SET // per_trajectory)))
    if 2 * rows < columns and not kernel.stacked:
        return _by_rows(_rechunk(kernel, max(1, 8 * _WORKING_SET // columns)))
    return _by_columns(kernel)


def _rechunk(kernel: Operand, chunk: int) -> Operand:
    chunk = min(chunk, kernel.chunk or kernel.h0.shape[0], kernel.h0.shape[0])
    return dataclasses.replace(kernel, path=None, chunk=chunk)


@jax.jit
def _affine(kernel: Operand) -> Array:
    cell, observer = linearised(kernel)
    horizon, state = kernel.horizon, kernel.h0.shape[1]

    def work(h0, _, x):
        path = states_along(cell, h0, horizon, x)
        sites = cell.site(path[:-1], path[1:], x)
        lower = _coordinates(cell, sites)
        rank = lower.shape[1]
        z = jnp.zeros((state, 0, h0.shape[1]), h0.dtype)
        total = jnp.zeros((), h0.dtype)
        bounds = [horizon * i // _STAGES for i in range(_STAGES + 1)]
        for first, last in itertools.pairwise(bounds):
            width = min(last, rank)
            z = jnp.pad(z, ((0, 0), (0, width * state - z.shape[1]), (0, 0)))
            part = slice(first, last)
            along = jax.tree.map(lambda leaf, part=part: leaf[part], (sites, path[1:])), lower[part, :width]
            z, energy = _stage(cell, observer, along, z)
            total = total + energy
        return total, ()

    return over_batch(kernel, work)[0]


def _stage(cell: AffineCell, observer: Observer, along: Any, z: Array) -> tuple[Array, Array]:
    state, _, batch = z.shape
    identity = jnp.eye(state, dtype=z.dtype)

    def forward(carry, step):
        z, total = carry
        (site, h_next), row = step

        def drive(site):
            return cell.outer(site, (identity[:, None, :, None] * row[:, None]).reshape(state, -1, batch))

        z = cell.push(site, z, drive)
        y = observer.push(h_next, z)
        return (z, total + jnp.vdot(y, y)), None

    start = (z, jnp.zeros((), z.dtype))
    return jax.lax.scan(forward, start, along)[0]


def _coordinates(cell: AffineCell, sites: Any) -> Float[Array, "horizon rank batch"]:
    """What the parameters of every trajectory multiply, in an orthonormal basis of its span: the L of X = L Q."""
    steps, _, batch = sites.a.shape
    parts = [cell.columns(sites)] if cell.wrt_columns else []
    parts += [jnp.ones((steps, 1, batch), sites.a.dtype)] if cell.wrt_bias else []
    upper = jnp.linalg.qr(jnp.transpose(jnp.concatenate(parts, axis=1), (2, 1, 0)), mode="r")
    return jnp.transpose(upper, (2, 1, 0))


@jax.jit
def _by_columns(kernel: Operand) -> Array:
    cell, observer = linearised(kernel)
    m, block = kernel.shape[1], min(16, kernel.shape[1])

    def energy(start):
        index = start + jnp.arange(block, dtype=start.dtype)
        basis = (index[:, None] == jnp.arange(m, dtype=start.dtype)).astype(kernel.dtype)
        drive = cell.drive(kernel.unflatten(basis))

        def work(h0, path, x):
            dh = jnp.zeros((h0.shape[0], block, h0.shape[1]), h0.dtype)

            def emit(h, dh):
                y = observer.push(h, dh)
                return jnp.vdot(y, y)

            return tangent(cell, h0, path, dh, drive, emit, kernel.horizon, x)[1].sum(), ()

        return over_batch(kernel, work)[0]

    return jax.lax.map(energy, jnp.arange(0, m, block)).sum()


@jax.jit
def _by_rows(kernel: Operand) -> Array:
    model, fixed = kernel.parameters, kernel.fixed.value
    horizon, outputs = kernel.horizon, kernel.outputs

    def observed(parameters, h, x):
        step = eqx.combine(parameters, fixed)

        def forward(h, x):
            h = step(h) if x is None else step(h, x)
            return h, observe(kernel.readout, h)

        return jax.lax.scan(forward, h, x, length=horizon)[1]

    def energy(h, x):
        # a displacement made here, and not the parameters themselves, belongs to this device's part of the work
        still = jax.tree.map(lambda p: jnp.zeros(p.shape, p.dtype), model)
        y, back = jax.vjp(lambda d: observed(jax.tree.map(jnp.add, model, d), h, x), still)

        def row(index):
            unit = (jnp.arange(y.size, dtype=index.dtype) == index).astype(y.dtype).reshape(y.shape)
            return sum(jnp.vdot(g, g) for g in jax.tree.leaves(back(unit)))

        return jax.lax.map(row, jnp.arange(horizon * outputs)).sum()

    def work(h0, _, x):
        each = jax.vmap(energy, (1, None if x is None else 2))
        return each(h0, x).sum(), ()

    return over_batch(kernel, work)[0]
