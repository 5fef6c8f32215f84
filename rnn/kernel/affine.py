"""Affine cells with one nonlinearity, linearised by hand.

``h' = (1 − α) h + α (W φ(h) + b)`` or ``h' = (1 − α) h + α φ(W h + b)`` has

    dh' = (1 − α) dh + o ∘ (W (i ∘ dh) + dW a + db)

with ``a = φ(h), i = φ'(h), o = α``, or with ``a = h, i = 1, o = α φ'(W h + b)``.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from rnn.kernel.cells import Drive, JaxCell, Probes, signs, unpacked
from rnn.models import Affine, affine_of

__all__ = ["AffineCell", "linear_cell"]


class _Site(NamedTuple):
    """Where an affine cell is linearised: what its weights multiply, and the image where φ acts after them."""

    a: Array
    image: Array | None


class AffineCell(NamedTuple):
    """An affine cell ready for the sweeps.

    Attributes:
        selected: the model with the selected parameters alone: the structure of gradients.
        parts: of the whole cell.
        transposed: Wᵀ.
        wrt_weight, wrt_bias: which parts are selected.
    """

    selected: Any
    parts: Affine
    transposed: Float[Array, "state state"]
    wrt_weight: bool
    wrt_bias: bool

    def _total(self, h: Array) -> Array:
        total = self.parts.weight @ (h if self.parts.outer else self.parts.activation.value(h))
        return total if self.parts.bias is None else total + self.parts.bias[:, None]

    def step(self, h: Array) -> Array:
        total = self._total(h)
        total = self.parts.activation.value(total) if self.parts.outer else total
        return total if self.parts.leak == 1 else (1 - self.parts.leak) * h + self.parts.leak * total

    def site(self, h: Array, h_next: Array) -> _Site:
        if not self.parts.outer:
            return _Site(self.parts.activation.value(h), None)
        if self.parts.leak == 1:
            return _Site(h, h_next)
        # (h' − (1−α) h)/α would be φ to rounding alone, which the slope of a kink does not forgive
        one = lambda h: self.parts.activation.value(self._total(h))  # noqa: E731
        return _Site(h, one(h) if h.ndim == 2 else jax.vmap(one)(h))

    def inner(self, site: _Site, block: Array) -> Array:
        return block if self.parts.outer else block * self.parts.activation.slope(site.a)[:, None]

    def outer(self, site: _Site, block: Array) -> Array:
        if site.image is not None:
            block = block * self.parts.activation.slope(site.image)[:, None]
        return block if self.parts.leak == 1 else self.parts.leak * block

    def _kept(self, block: Array, total: Array) -> Array:
        return total if self.parts.leak == 1 else (1 - self.parts.leak) * block + total

    def drive(self, block: Any) -> Drive:
        parts = block.affine()
        weights = _rows(parts.weight) if self.wrt_weight else None
        bias = parts.bias.T[:, :, None] if self.wrt_bias else None

        def force(site):
            state, batch = site.a.shape
            if weights is None:
                total = jnp.broadcast_to(bias, (*bias.shape[:2], batch))
            else:
                total = (weights @ site.a).reshape(state, -1, batch)
                total = total if bias is None else total + bias
            return self.outer(site, total)

        return force

    def push(self, site: _Site, dh: Array, drive: Drive) -> Array:
        columns = self.parts.weight @ self.inner(site, dh).reshape(dh.shape[0], -1)
        return self._kept(dh, self.outer(site, columns.reshape(dh.shape))) + drive(site)

    def pull(self, site: _Site, y: Array) -> tuple[Array, Any]:
        a = self.outer(site, y)
        weight = a.reshape(-1, a.shape[2]) @ site.a.T if self.wrt_weight else None
        bias = a.sum(axis=2) if self.wrt_bias else None
        columns = self.transposed @ a.reshape(a.shape[0], -1)
        return self._kept(y, self.inner(site, columns.reshape(a.shape))), (weight, bias)

    def gradient_like(self, k: int) -> Any:
        state, dtype = self.parts.weight.shape[0], self.parts.weight.dtype
        weight = jnp.zeros((state * k, state), dtype) if self.wrt_weight else None
        return weight, jnp.zeros((state, k), dtype) if self.wrt_bias else None

    def gradient(self, accumulated: Any) -> Any:
        weight, bias = accumulated
        if weight is not None:
            state = weight.shape[1]
            weight = jnp.swapaxes(weight.reshape(state, -1, state), 0, 1)
        bias = None if bias is None else bias.T
        names = [n for n, yes in (("weight", self.wrt_weight), ("bias", self.wrt_bias)) if yes]
        values = [{"weight": weight, "bias": bias}[n] for n in names]
        return eqx.tree_at(lambda m: [getattr(m.affine(), n) for n in names], self.selected, values)

    def probes(self, key: PRNGKeyArray, index: Array, count: int, directions: Any) -> Probes:
        """``z_b = (s_b r_bᵀ) ∘ Z`` with random signs s_b, r_b, Z.

        All trajectories share Z, so that the forcing is one matrix product; given the signs, the entries of z_b are
        independent Rademacher variables, and the quadratic forms of two trajectories are uncorrelated.
        """
        state, dtype, batch = self.parts.weight.shape[0], self.parts.weight.dtype, index.shape[0]
        along = directions.affine()
        key_each, key_shared = jax.random.split(key)
        left, right, bias = signs(key_each, index, [(1, state), (state,), (count, state)], dtype)
        words = jax.random.bits(key_shared, (-(-count * state * state // 32),), jnp.uint32)
        (shared,) = unpacked(words, [(count, state, state)], dtype)
        overlap = jnp.zeros((), dtype)
        if self.wrt_weight:
            product = shared[:, None] * along.weight[None]
            rows = (right @ product.reshape(-1, state).T).reshape(batch, count, -1, state)
            overlap = overlap + jnp.einsum("bpkn,bn->pkb", rows, left[:, 0])
        if self.wrt_bias:
            overlap = overlap + jnp.einsum("bpn,kn->pkb", bias, along.bias)
        weights, left, right, bias = _rows(shared), left.T, right.T, bias.T

        def force(site):
            total = jnp.zeros((state, count, batch), dtype)
            if self.wrt_weight:
                total = left * (weights @ (site.a * right)).reshape(state, count, batch)
            return self.outer(site, total + bias if self.wrt_bias else total)

        return Probes(force, overlap)


def _rows(weights: Float[Array, "k state columns"]) -> Float[Array, "state*k columns"]:
    """Matrices as one, so that its product with (columns, batch) is (state, k, batch) but for a reshape."""
    return jnp.swapaxes(weights, 0, 1).reshape(-1, weights.shape[2])


def linear_cell(selected: Any, rest: Any) -> AffineCell | JaxCell:
    """The linearisation of a cell: by hand where the model says that it is affine, by JAX for any other.

    Args:
        selected: the parameters, as :func:`rnn.models.model.partition` returns them.
        rest: everything else of the model.
    """
    chosen = affine_of(selected)
    parts = () if chosen is None else (chosen.weight, chosen.bias)
    if chosen is None or sum(part is not None for part in parts) < len(jax.tree.leaves(selected)):
        return JaxCell(selected, rest)
    parts = eqx.combine(selected, rest).affine()
    # Wᵀ in memory: XLA on CPU has no fast product with a transposed left factor, and would undo the transpose
    transposed = jax.lax.optimization_barrier(parts.weight.T)
    return AffineCell(selected, parts, transposed, chosen.weight is not None, chosen.bias is not None)
