"""A cell as the sweeps see it: its step, where it is linearised, and its tangents and cotangents there.

This is what a cell is asked for: ``step``, ``site``, ``drive``, ``push``, ``pull``, ``gradient_like``, ``gradient`` and
``probes``. Any model can be linearised by JAX; :mod:`rnn.kernel.affine` does by hand those that are affine but for one
nonlinearity.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from rnn.models import over_states

__all__ = ["Drive", "JaxCell", "Probes", "Site", "signs", "unpacked"]

Drive = Callable[[Any], Any]
"""``drive(site) -> (state, k, batch)``: the parameter forcing ``D_θF dθ`` of a block at one step."""


class Probes(NamedTuple):
    """Independent random parameter directions, one set for every trajectory.

    Attributes:
        drive: forcing of the probes, (state, probes, batch).
        overlap: coefficients ``⟨v_i, z_b⟩`` on given directions, (probes, k, batch).
    """

    drive: Drive
    overlap: Float[Array, "probes k batch"]


class Site(NamedTuple):
    """Where a cell is linearised: the state before the step, and the input of the step where there is one."""

    h: Array
    x: Array | None


class JaxCell(NamedTuple):
    """Any cell, linearised by JAX at given states.

    Attributes:
        selected: the parameters θ.
        rest: everything else of the model.
    """

    selected: Any
    rest: Any

    def _apply(self, selected: Any, h: Array, x: Array | None) -> Array:
        return over_states(eqx.combine(selected, self.rest), h, x, 1)

    def step(self, h: Array, x: Array | None = None) -> Array:
        return self._apply(self.selected, h, x)

    def site(self, h: Array, h_next: Array, x: Array | None = None) -> Site:
        return Site(h, x)

    def drive(self, block: Any) -> Drive:
        def one(site, direction):
            return jax.jvp(lambda p: self._apply(p, *site), (self.selected,), (direction,))[1]

        return lambda site: jax.vmap(one, (None, 0), 1)(site, block)

    def push(self, site: Site, dh: Array, drive: Drive) -> Array:
        def one(tangent):
            return jax.jvp(lambda h: self.step(h, site.x), (site.h,), (tangent,))[1]

        return jax.vmap(one, 1, 1)(dh) + drive(site)

    def pull(self, site: Site, a: Array) -> tuple[Array, Any]:
        _, back = jax.vjp(lambda p, h: self._apply(p, h, site.x), self.selected, site.h)
        gradient, a = jax.vmap(back, 1, (0, 1))(a)
        return a, gradient

    def gradient_like(self, k: int) -> Any:
        return jax.tree.map(lambda p: jnp.zeros((k, *p.shape), p.dtype), self.selected)

    def gradient(self, accumulated: Any) -> Any:
        return accumulated

    def probes(self, key: PRNGKeyArray, index: Array, count: int, directions: Any) -> Probes:
        leaves, structure = jax.tree.flatten(self.selected)
        batch = index.shape[0]
        z = signs(key, index, [(count, *p.shape) for p in leaves], leaves[0].dtype)
        overlap = sum(
            jnp.einsum("bsm,km->skb", x.reshape(batch, count, -1), v.reshape(v.shape[0], -1))
            for x, v in zip(z, jax.tree.leaves(directions), strict=True)
        )

        def one(site, direction):
            step = lambda p: eqx.combine(p, self.rest)(*(part for part in site if part is not None))  # noqa: E731
            return jax.jvp(step, (self.selected,), (direction,))[1]

        each = jax.vmap(jax.vmap(one, (None, 0), 1), (1, 0), 2)
        return Probes(lambda site: each(site, jax.tree.unflatten(structure, z)), jnp.asarray(overlap))


def signs(key: PRNGKeyArray, index: Array, shapes: list[tuple[int, ...]], dtype: Any) -> list[Array]:
    """Random signs, those of trajectory ``index[b]`` at b, whichever part of the batch that is in."""
    words = -(-sum(map(math.prod, shapes)) // 32)
    each = jax.vmap(lambda i: jax.random.bits(jax.random.fold_in(key, i), (words,), jnp.uint32))
    return unpacked(each(index), shapes, dtype)


def unpacked(words: Array, shapes: list[tuple[int, ...]], dtype: Any) -> list[Array]:
    """Every bit of ``words`` (…, count) a sign, cut into arrays of the given shapes after the leading axes."""
    lead, places = words.shape[:-1], jnp.arange(32, dtype=words.dtype)
    bits = 1 - 2 * (words[..., None] >> places & 1).astype(dtype).reshape(*lead, -1)
    ends = itertools.accumulate(map(math.prod, shapes))
    return [bits[..., end - math.prod(s) : end].reshape(*lead, *s) for end, s in zip(ends, shapes, strict=True)]
