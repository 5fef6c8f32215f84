"""Affine cells with one nonlinearity, linearised by hand.

``h' = (1 − α) h + α (W φ(h) + U x + b)`` or ``h' = (1 − α) h + α φ(W h + U x + b)`` has

    dh' = (1 − α) dh + o ∘ (W (i ∘ dh) + dA a + db),   A = [W U]

with ``a = [φ(h); x], i = φ'(h), o = α``, or with ``a = [h; x], i = 1, o = α φ'(W h + U x + b)``: an input costs its
columns of a and nothing else.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from rnn.kernel.cells import Drive, JaxCell, Probes, signs, unpacked
from rnn.models import Affine, affine_of, affine_step, affine_total

__all__ = ["AffineCell", "StackedCell", "linear_cell"]


class _Site(NamedTuple):
    """Where an affine cell is linearised.

    Attributes:
        a: what its weights multiply, ``[φ(h); x]`` or ``[h; x]``, x only where its weights are selected.
        image: φ where it acts after the weights.
    """

    a: Array
    image: Array | None


class AffineCell(NamedTuple):
    """An affine cell ready for the sweeps.

    Attributes:
        selected: the model with the selected parameters alone: the structure of gradients.
        parts: of the whole cell.
        transposed: Wᵀ.
        wrt_weight, wrt_bias, wrt_input: which parts are selected.
    """

    selected: Any
    parts: Affine
    transposed: Float[Array, "state state"]
    wrt_weight: bool
    wrt_bias: bool
    wrt_input: bool = False

    @property
    def stacked(self) -> bool:
        """Whether every step has parameters of its own."""
        return False

    def step(self, h: Array, x: Array | None = None) -> Array:
        return affine_step(self.parts, h, x)

    def site(self, h: Array, h_next: Array, x: Array | None = None) -> _Site:
        a = h if self.parts.outer else self.parts.activation.value(h)
        if self.wrt_input:
            silent = (*h.shape[:-2], self.parts.input_weight.shape[1], h.shape[-1])
            a = jnp.concatenate([a, jnp.zeros(silent, h.dtype) if x is None else x], axis=-2)
        if not self.parts.outer:
            return _Site(a, None)
        if self.parts.leak == 1:
            return _Site(a, h_next)
        # (h' − (1−α) h)/α would be φ to rounding alone, which the slope of a kink does not forgive
        one = lambda h, x: self.parts.activation.value(affine_total(self.parts, h, x))  # noqa: E731
        return _Site(a, one(h, x) if h.ndim == 2 else jax.vmap(one)(h, x))

    def columns(self, site: _Site) -> Array:
        """What the selected weights multiply, (…, columns, batch)."""
        state = self.parts.weight.shape[0]
        return site.a if self.wrt_weight else site.a[..., state:, :]

    @property
    def wrt_columns(self) -> int:
        """How many columns W and U have that are selected."""
        inputs = self.parts.input_weight.shape[1] if self.wrt_input else 0
        return inputs + (self.parts.weight.shape[0] if self.wrt_weight else 0)

    def inner(self, site: _Site, block: Array) -> Array:
        if self.parts.outer:
            return block
        return block * self.parts.activation.slope(site.a[: block.shape[0]])[:, None]

    def outer(self, site: _Site, block: Array) -> Array:
        if site.image is not None:
            block = block * self.parts.activation.slope(site.image)[:, None]
        return block if self.parts.leak == 1 else self.parts.leak * block

    def _kept(self, block: Array, total: Array) -> Array:
        return total if self.parts.leak == 1 else (1 - self.parts.leak) * block + total

    def _weights(self, block: Any) -> Float[Array, "k state columns"] | None:
        """The selected weights of a block of directions side by side."""
        parts = block.affine()
        chosen = [w for w, yes in ((parts.weight, self.wrt_weight), (parts.input_weight, self.wrt_input)) if yes]
        return jnp.concatenate(chosen, axis=-1) if len(chosen) == 2 else chosen[0] if chosen else None

    def drive(self, block: Any) -> Drive:
        beside = self._weights(block)
        weights = None if beside is None else _rows(beside)
        bias = block.affine().bias.T[:, :, None] if self.wrt_bias else None

        def force(site):
            state, batch = self.parts.weight.shape[0], site.a.shape[-1]
            total = None if weights is None else (weights @ self.columns(site)).reshape(state, -1, batch)
            if bias is not None:
                total = jnp.broadcast_to(bias, (*bias.shape[:2], batch)) if total is None else total + bias
            return self.outer(site, total)

        return force

    def push(self, site: _Site, dh: Array, drive: Drive) -> Array:
        columns = self.parts.weight @ self.inner(site, dh).reshape(dh.shape[0], -1)
        return self._kept(dh, self.outer(site, columns.reshape(dh.shape))) + drive(site)

    def pull(self, site: _Site, y: Array) -> tuple[Array, Any]:
        a = self.outer(site, y)
        weight = a.reshape(-1, a.shape[2]) @ self.columns(site).T if self.wrt_columns else None
        bias = a.sum(axis=2) if self.wrt_bias else None
        columns = self.transposed @ a.reshape(a.shape[0], -1)
        return self._kept(y, self.inner(site, columns.reshape(a.shape))), (weight, bias)

    def gradient_like(self, k: int) -> Any:
        state, dtype = self.parts.weight.shape[0], self.parts.weight.dtype
        weight = jnp.zeros((state * k, self.wrt_columns), dtype) if self.wrt_columns else None
        return weight, jnp.zeros((state, k), dtype) if self.wrt_bias else None

    def gradient(self, accumulated: Any) -> Any:
        beside, bias = accumulated
        state, found = self.parts.weight.shape[0], {}
        if beside is not None:
            whole = jnp.swapaxes(beside.reshape(state, -1, self.wrt_columns), 0, 1)
            found["weight"] = whole[..., :state] if self.wrt_weight else None
            found["input_weight"] = whole[..., state if self.wrt_weight else 0 :] if self.wrt_input else None
        found["bias"] = None if bias is None else bias.T
        names = [name for name, value in found.items() if value is not None]
        return eqx.tree_at(
            lambda m: [getattr(m.affine(), name) for name in names], self.selected, [found[name] for name in names]
        )

    def probes(self, key: PRNGKeyArray, index: Array, count: int, directions: Any) -> Probes:
        """``z_b = (s_b r_bᵀ) ∘ Z`` with random signs s_b, r_b, Z.

        All trajectories share Z, so that the forcing is one matrix product; given the signs, the entries of z_b are
        independent Rademacher variables, and the quadratic forms of two trajectories are uncorrelated.
        """
        state, dtype, batch = self.parts.weight.shape[0], self.parts.weight.dtype, index.shape[0]
        width = self.wrt_columns
        key_each, key_shared = jax.random.split(key)
        left, right, bias = signs(key_each, index, [(1, state), (width,), (count, state)], dtype)
        words = jax.random.bits(key_shared, (-(-count * state * width // 32),), jnp.uint32)
        (shared,) = unpacked(words, [(count, state, width)], dtype)
        overlap = jnp.zeros((), dtype)
        beside = self._weights(directions)
        if beside is not None:
            product = shared[:, None] * beside[None]
            rows = (right @ product.reshape(-1, width).T).reshape(batch, count, -1, state)
            overlap = overlap + jnp.einsum("bpkn,bn->pkb", rows, left[:, 0])
        if self.wrt_bias:
            overlap = overlap + jnp.einsum("bpn,kn->pkb", bias, directions.affine().bias)
        weights, left, right, bias = _rows(shared) if width else None, left.T, right.T, bias.T

        def force(site):
            total = jnp.zeros((state, count, batch), dtype)
            if weights is not None:
                total = left * (weights @ (self.columns(site) * right)).reshape(state, count, batch)
            return self.outer(site, total + bias if self.wrt_bias else total)

        return Probes(force, overlap)


def _rows(weights: Float[Array, "k state columns"]) -> Float[Array, "state*k columns"]:
    """Matrices as one, so that its product with (columns, batch) is (state, k, batch) but for a reshape."""
    return jnp.swapaxes(weights, 0, 1).reshape(-1, weights.shape[2])


class StackedCell:
    """A network whose parameters differ per step, each step a cell of its own; its inputs are ``(t, x)``.

    Args:
        selected: the parameters, with the steps as leading axis.
        rest: everything else of the model, its inexact arrays with the steps as leading axis.
    """

    stacked = True

    def __init__(self, selected: Any, rest: Any) -> None:
        self.selected, self.rest = selected, rest

    def _at(self, t: Array) -> AffineCell | JaxCell:
        at = lambda leaf: leaf[t] if eqx.is_inexact_array(leaf) else leaf  # noqa: E731
        return linear_cell(*jax.tree.map(at, (self.selected, self.rest)))

    def step(self, h: Array, x: tuple[Array, Array | None]) -> Array:
        return self._at(x[0]).step(h, x[1])

    def site(self, h: Array, h_next: Array, x: tuple[Array, Array | None]) -> tuple[Array, Any]:
        if h.ndim == 3:
            return jax.lax.map(lambda at: self.site(*at), (h, h_next, x))
        return x[0], self._at(x[0]).site(h, h_next, x[1])

    def drive(self, block: Any) -> Drive:
        def force(site):
            t, own = site
            return self._at(t).drive(jax.tree.map(lambda leaf: leaf[:, t], block))(own)

        return force

    def push(self, site: tuple[Array, Any], dh: Array, drive: Drive) -> Array:
        return self._at(site[0]).push(site[1], dh, lambda _: drive(site))

    def pull(self, site: tuple[Array, Any], y: Array) -> tuple[Array, Any]:
        return self._at(site[0]).pull(site[1], y)

    def gradient_like(self, k: int) -> Any:
        return jax.vmap(lambda t: self._at(t).gradient_like(k))(self._steps)

    def gradient(self, accumulated: Any) -> Any:
        found = jax.vmap(lambda t, own: self._at(t).gradient(own))(self._steps, accumulated)
        return jax.tree.map(lambda leaf: jnp.swapaxes(leaf, 0, 1), found)

    @property
    def _steps(self) -> Array:
        return jnp.arange(jax.tree.leaves(self.selected)[0].shape[0])

    def probes(self, key: PRNGKeyArray, index: Array, count: int, directions: Any) -> Probes:
        def at(t):
            own = jax.tree.map(lambda leaf: leaf[:, t], directions)
            return self._at(t).probes(jax.random.fold_in(key, t), index, count, own)

        overlap = jax.lax.map(lambda t: at(t).overlap, self._steps).sum(axis=0)
        return Probes(lambda site: at(site[0]).drive(site[1]), overlap)


def linear_cell(selected: Any, rest: Any) -> AffineCell | JaxCell:
    """The linearisation of a cell: by hand where the model says that it is affine, by JAX for any other.

    Args:
        selected: the parameters, as :func:`rnn.models.model.partition` returns them.
        rest: everything else of the model.
    """
    chosen = affine_of(selected)
    parts = () if chosen is None else (chosen.weight, chosen.bias, chosen.input_weight)
    wrt = [part is not None for part in parts]
    if chosen is None or sum(wrt) < len(jax.tree.leaves(selected)):
        return JaxCell(selected, rest)
    whole = eqx.combine(selected, rest).affine()
    # Wᵀ in memory: XLA on CPU has no fast product with a transposed left factor, and would undo the transpose
    transposed = jax.lax.optimization_barrier(whole.weight.T)
    return AffineCell(selected, whole, transposed, *wrt)
