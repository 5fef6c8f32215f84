"""What a mode of the optimizer asks of the curvature, in flat vectors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array

from rnn.models import Leaves
from rnn.natural_gradient.curvature import Fisher, Products, filled, hole, without

__all__ = ["Curvature"]


class Curvature:
    """Products with the Fisher matrix of flat vectors (m,), whatever gives them.

    Args:
        fisher: :class:`rnn.natural_gradient.curvature.Products`, or a function of which only blocks can be had.
        leaves: the layout of the flat vectors.
        params: the parameters that the optimizer sees.
        model: the whole of them, where ``params`` is a part; else ``None``.
    """

    def __init__(self, fisher: Fisher, leaves: Leaves, params: Any, model: Any) -> None:
        if model is None and isinstance(fisher, Products):
            model = fisher.model
        self.fisher, self.leaves, self.params, self.model = fisher, leaves, params, model

    @property
    def parts(self) -> bool:
        """Whether solves may take a part of the batch and the whole of it."""
        return isinstance(self.fisher, Products) and self.fisher.shared() < self.fisher.size

    def block(self, theta: Array, block: Array, turn: Array) -> Array:
        """``F_b`` on rows (k, m)."""
        rows = self.leaves.unflatten(block)
        if isinstance(self.fisher, Products):
            return self._flat(self.fisher.rows(*self._split(theta), _unmasked(rows), turn), lead=1)
        whole = self.leaves.unflatten(theta, self.params)
        if self.model is not None:
            whole = filled(whole, self.model)
            rows = filled(rows, jax.tree.map(lambda x: _still(x, len(block)), self.model))
        return self._flat(self.fisher(whole, rows, turn), lead=1)

    def linear(self, theta: Array, turn: Array, *, whole: bool) -> Callable[[Array], Array]:
        """``v -> F v`` on the part of the batch whose turn it is, or on the whole of it."""
        if not isinstance(self.fisher, Products):
            return lambda v: self.block(theta, v[None], turn)[0]
        taken = self.fisher.size if whole else self.fisher.shared()
        product = self.fisher.linear(*self._split(theta), self.fisher.part(turn, taken))
        return lambda v: self._flat(product(_unmasked(self.leaves.unflatten(v))))

    def tangent(self, theta: Array, v: Array) -> Array:
        """``⟨v, F v⟩`` on the whole batch."""
        if not isinstance(self.fisher, Products):
            return jnp.vdot(v, self.block(theta, v[None], jnp.zeros((), jnp.int32))[0])
        moving, rest = self._split(theta)
        return self.fisher.tangent(moving, rest, _unmasked(self.leaves.unflatten(v))).astype(v.dtype)

    def ray(self, theta: Array, x: Array) -> tuple[Array, Callable[[Array], Array]]:
        """``⟨x, F x⟩`` on the whole batch, and ``s -> ½ ⟨e, H e⟩`` of what the outputs depart by at ``θ + s x``.

        Where outputs cannot be seen they are taken for linear.
        """
        if not isinstance(self.fisher, Products):
            return self.tangent(theta, x), lambda s: jnp.zeros((), x.dtype)
        moving, rest = self._split(theta)
        full, departed = self.fisher.ray(moving, rest, _unmasked(self.leaves.unflatten(x)))

        def at(s: Array) -> Array:
            return departed(s, _unmasked(self.leaves.unflatten(theta + s * x))).astype(x.dtype)

        return full.astype(x.dtype), at

    def value(self, theta: Array) -> Array | None:
        """The loss that the products are of; ``None`` where only its curvature is known."""
        return self.fisher.value(*self._split(theta)) if isinstance(self.fisher, Products) else None

    def plane(self, theta: Array, rows: Array) -> tuple[Array, Callable[[Array, Array], tuple]]:
        """``⟨v_i, F v_j⟩`` of rows (k, m) on the whole batch, and ``(c, θ + c rows) -> …``: squares of what the outputs
        depart by from their linear change and of that change, and the loss there.

        Where outputs cannot be seen the squares are zero; where the loss is not known it is ``None``.
        """
        if not isinstance(self.fisher, Products):
            gram = rows @ self.block(theta, rows, jnp.zeros((), jnp.int32)).T
            return gram, lambda c, moved: (jnp.zeros((), rows.dtype), jnp.zeros((), rows.dtype), None)
        moving, rest = self._split(theta)
        gram, departed = self.fisher.plane(moving, rest, _unmasked(self.leaves.unflatten(rows)))

        def at(c: Array, moved: Array) -> tuple[Array, Array, Array | None]:
            far, linear, loss = departed(c, _unmasked(self.leaves.unflatten(moved)))
            dtype = rows.dtype
            return far.astype(dtype), linear.astype(dtype), None if loss is None else loss.astype(dtype)

        return gram.astype(rows.dtype), at

    def _flat(self, image: Any, lead: int = 0) -> Array:
        """What a product gives, where the optimizer's own parameters are."""
        kept = jax.tree.map(lambda p, y: p if hole(p) else y, self.params, image, is_leaf=hole)
        return self.leaves.flatten(kept, lead=lead)

    def _split(self, theta: Array) -> tuple[Any, Any]:
        """The leaves that move, and the rest of the model."""
        whole = self.leaves.unflatten(theta, self.params)
        whole = whole if self.model is None else filled(whole, self.model)
        moving = _unmasked(self.leaves.unflatten(theta))
        return moving, without(whole, moving)


def _unmasked(tree: Any) -> Any:
    return jax.tree.map(lambda x: None if hole(x) else x, tree, is_leaf=hole)


def _still(x: Any, rows: int) -> Any:
    """Zero directions along a leaf that does not move; ``None`` where it cannot."""
    return jnp.zeros((rows, *jnp.shape(x)), jnp.result_type(x)) if eqx.is_inexact_array(x) else None
