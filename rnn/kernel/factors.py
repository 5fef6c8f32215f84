"""The kernel taken apart: ``sNTK = P K Pᵀ``, and ``sNTK = sNTK_g + sNTK_R`` along parameter directions."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from rnn.kernel.checks import cotangents, directions
from rnn.kernel.operand import Operand, Packed
from rnn.kernel.products import forward_block, linearised, over_batch, reverse_block
from rnn.kernel.subspace import orthonormal
from rnn.kernel.sweeps import states_along

__all__ = ["Factors", "Split", "factors", "split"]


class Split(eqx.Module):
    """``sNTK = sNTK_g + sNTK_R``: what moving along some parameter directions does, and what all others do.

    With orthonormal directions V, ``sNTK_g = (J V)(J V)ᵀ`` and ``sNTK_R = J (I − V Vᵀ) Jᵀ``.

    Attributes:
        kernel: the whole.
        directions: V, rows, orthonormal, (k, m).
        images: ``J V``, (k, batch, horizon, outputs).
    """

    kernel: Operand
    directions: Float[Array, "k m"]
    images: Float[Array, "k batch horizon outputs"]

    @property
    def amplification(self) -> Float[Array, ""]:
        """``‖J V‖_F² = tr(sNTK_g)``; of a single direction also ``‖sNTK_g‖₂``."""
        return jnp.sum(self.images**2)

    def along(self, y: Float[Array, "*k batch horizon outputs"]) -> Float[Array, "*k batch horizon outputs"]:
        """``sNTK_g y``."""
        block, single = cotangents(self.kernel, y)
        found = jnp.einsum("ij,j...->i...", jnp.einsum("ibto,jbto->ij", block, self.images), self.images)
        return found[0] if single else found

    def rest(self, y: Float[Array, "*k batch horizon outputs"]) -> Float[Array, "*k batch horizon outputs"]:
        """``sNTK_R y``, projected in parameter space and not subtracted, so that a small rest keeps its digits."""
        block, single = cotangents(self.kernel, y)
        pulled = reverse_block(self.kernel, block)
        for _ in range(2):
            pulled = pulled - (pulled @ self.directions.T) @ self.directions
        found = forward_block(self.kernel, pulled)
        return found[0] if single else found


def split(kernel: Operand, along: Any) -> Split:
    """Split the kernel along a parameter direction, or along the span of several.

    Args:
        kernel: the whole.
        along: direction(s), as :meth:`rnn.kernel.sntk.SNTK.jvp` takes them; their lengths do not matter.

    Raises:
        ValueError: they do not fit the parameters, or are zero, not finite or linearly dependent.
    """
    block = jnp.atleast_2d(directions(kernel, along)[0])
    if not isinstance(block, jax.core.Tracer):
        scaled = block / jnp.maximum(jnp.linalg.norm(block, axis=1, keepdims=True), jnp.finfo(block.dtype).tiny)
        size = jnp.abs(jnp.diagonal(jnp.linalg.qr(scaled.T, mode="r")))
        if block.shape[0] > block.shape[1] or not bool(jnp.all(size > 100 * jnp.finfo(block.dtype).eps)):
            raise ValueError("directions must be finite, not zero and linearly independent; leave out what is not")
    basis, _ = orthonormal(block)
    return Split(kernel, basis, forward_block(kernel, basis))


class Factors(eqx.Module):
    """``sNTK = P K Pᵀ`` with ``P = (I − D_hF)⁻¹`` and ``K = D_θF (D_θF)ᵀ``, on states; made by :func:`factors`.

    ``D_hF`` takes the state of step t−1 to step t, so that P is block lower-triangular in time: it carries a push x_t
    at every step forward, ``z_t = D_hF z_{t−1} + x_t``. K is what the parameters do within one step, without
    feedback; for ``h' = W tanh(h) + b`` it is ``(φφᵀ + 1) ⊗ I``. With a readout C, ``sNTK = C P K Pᵀ Cᵀ``.

    Vectors have shape (batch, horizon, state), or (k, …) for a block.

    Attributes:
        kernel: the kernel of all states.
    """

    kernel: Operand

    def propagate(self, x: Float[Array, "*k batch horizon state"]) -> Float[Array, "*k batch horizon state"]:
        """``P x``."""
        return self._each(_propagate, x)

    def collect(self, y: Float[Array, "*k batch horizon state"]) -> Float[Array, "*k batch horizon state"]:
        """``Pᵀ y``."""
        return self._each(_collect, y)

    def force(self, dtheta: Any) -> Float[Array, "*k batch horizon state"]:
        """``D_θF dθ``."""
        vectors, _ = directions(self.kernel, dtheta)
        pushed = _force(self.kernel, jnp.atleast_2d(vectors))
        return pushed[0] if vectors.ndim == 1 else pushed

    def gather(self, y: Float[Array, "*k batch horizon state"]) -> Float[Array, "*k m"]:
        """``(D_θF)ᵀ y``, flat."""
        return self._each(_gather, y)

    def local(self, y: Float[Array, "*k batch horizon state"]) -> Float[Array, "*k batch horizon state"]:
        """``K y``."""
        return self.force(self.gather(y))

    def _each(self, function: Callable[[Operand, Array], Array], y: Array) -> Array:
        block, single = cotangents(self.kernel, y)
        found = function(self.kernel, block)
        return found[0] if single else found


def factors(kernel: Operand) -> Factors:
    """The factors of ``sNTK = P K Pᵀ``; a readout of the kernel is left off.

    Raises:
        ValueError: every step has parameters of its own.
    """
    if kernel.stacked:
        raise ValueError("factors are of steps that share their parameters; leave stacked out, or use jvp and vjp")
    if kernel.readout is None:
        return Factors(kernel)
    return Factors(dataclasses.replace(kernel, observed=Packed.of(None), outputs=kernel.h0.shape[1]))


def _along(kernel: Operand, sweep: Callable[..., tuple[Any, Any]], *operands: Array) -> tuple[Any, Any]:
    """``sweep(cell, sites, *operands)`` on parts of the batch, with the operands turned to (time, state, k, batch)."""
    cell, _ = linearised(kernel)

    def work(h0, path, x, *parts):
        path = states_along(cell, h0, kernel.horizon, x) if path is None else path
        sums, rows = sweep(cell, cell.site(path[:-1], path[1:], x), *(jnp.transpose(x, (2, 3, 1, 0)) for x in parts))
        return sums, jax.tree.map(lambda x: jnp.transpose(x, (3, 2, 0, 1)), rows)

    sums, rows = over_batch(kernel, work, *(jnp.moveaxis(x, 0, 1) for x in operands))
    return sums, jax.tree.map(lambda x: jnp.moveaxis(x, 1, 0), rows)


@jax.jit
def _propagate(kernel: Operand, x: Array) -> Array:
    def sweep(cell, sites, x):
        def forward(z, step):
            z = cell.push(step[0], z, lambda _: step[1])
            return z, z

        return (), jax.lax.scan(forward, jnp.zeros_like(x[0]), (sites, x))[1]

    return _along(kernel, sweep, x)[1]


@jax.jit
def _collect(kernel: Operand, y: Array) -> Array:
    def sweep(cell, sites, y):
        def backward(a, step):
            a = a + step[1]
            return cell.pull(step[0], a)[0], a

        return (), jax.lax.scan(backward, jnp.zeros_like(y[0]), (sites, y), reverse=True)[1]

    return _along(kernel, sweep, y)[1]


@jax.jit
def _force(kernel: Operand, block: Array) -> Array:
    drive = linearised(kernel)[0].drive(kernel.unflatten(block))

    def sweep(cell, sites):
        return (), jax.lax.scan(lambda _, site: (None, drive(site)), None, sites)[1]

    return _along(kernel, sweep)[1]


@jax.jit
def _gather(kernel: Operand, y: Array) -> Array:
    def sweep(cell, sites, y):
        def add(total, step):
            return jax.tree.map(jnp.add, total, cell.pull(step[0], step[1])[1]), None

        return jax.lax.scan(add, cell.gradient_like(y.shape[2]), (sites, y))[0], ()

    return kernel.flatten(linearised(kernel)[0].gradient(_along(kernel, sweep, y)[0]))
