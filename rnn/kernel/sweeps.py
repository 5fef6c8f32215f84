"""Tangent and adjoint sweeps along stored or recomputed trajectories.

With ``dh_t = D_hF dh_{t−1} + D_θF dθ`` a tangent sweep evaluates ``J dθ`` and an adjoint sweep evaluates ``Jᵀ y``,
each for a block of k vectors at once. Inside a sweep the batch is the last axis: states (time, state, batch), blocks
(time, state, k, batch). Every step is then one matrix product with k·batch columns, and ``Σ_t a_t x_tᵀ`` contracts
the contiguous axis of both factors, which is twice as fast on CPUs as to contract the leading one.
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

from rnn.models import VanillaRNN

__all__ = [
    "AffineCell",
    "Drive",
    "Probes",
    "adjoint",
    "checkpointed",
    "linear_cell",
    "retrace",
    "rollout",
    "segmented",
    "sites",
    "tangent",
]

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


class _Cell(NamedTuple):
    """Any cell, linearised by JAX at given states."""

    selected: Any
    rest: Any

    def _apply(self, selected: Any, h: Array) -> Array:
        return jax.vmap(eqx.combine(selected, self.rest), 1, 1)(h)

    def step(self, h: Array) -> Array:
        return self._apply(self.selected, h)

    def site(self, h: Array, h_next: Array) -> Array:
        return h

    def drive(self, block: Any) -> Drive:
        def one(h, direction):
            return jax.jvp(lambda p: self._apply(p, h), (self.selected,), (direction,))[1]

        return lambda h: jax.vmap(one, (None, 0), 1)(h, block)

    def push(self, site: Array, dh: Array, drive: Drive) -> Array:
        def one(tangent):
            return jax.jvp(self.step, (site,), (tangent,))[1]

        return jax.vmap(one, 1, 1)(dh) + drive(site)

    def pull(self, site: Array, a: Array) -> tuple[Array, Any]:
        _, back = jax.vjp(self._apply, self.selected, site)
        gradient, a = jax.vmap(back, 1, (0, 1))(a)
        return a, gradient

    def gradient_like(self, k: int) -> Any:
        return jax.tree.map(lambda p: jnp.zeros((k, *p.shape), p.dtype), self.selected)

    def gradient(self, accumulated: Any) -> Any:
        return accumulated

    def probes(self, key: PRNGKeyArray, index: Array, count: int, directions: Any) -> Probes:
        leaves, structure = jax.tree.flatten(self.selected)
        batch = index.shape[0]
        z = _signs(key, index, [(count, *p.shape) for p in leaves], leaves[0].dtype)
        overlap = sum(
            jnp.einsum("bsm,km->skb", x.reshape(batch, count, -1), v.reshape(v.shape[0], -1))
            for x, v in zip(z, jax.tree.leaves(directions), strict=True)
        )

        def one(h, direction):
            return jax.jvp(lambda p: eqx.combine(p, self.rest)(h), (self.selected,), (direction,))[1]

        each = jax.vmap(jax.vmap(one, (None, 0), 1), (1, 0), 2)
        return Probes(lambda h: each(h, jax.tree.unflatten(structure, z)), jnp.asarray(overlap))


class _Site(NamedTuple):
    """Where a vanilla cell is linearised: its input x, and the image where the tanh is outside."""

    x: Array
    image: Array | None


class AffineCell(NamedTuple):
    """The vanilla cell, by hand: ``dh' = o ∘ (W (i ∘ dh) + dW x + db)``.

    ``h' = W tanh(h) + b`` has ``x = tanh h, i = 1 − x², o = 1``; ``h' = tanh(W h + b)`` has
    ``x = h, i = 1, o = 1 − h'²``.
    """

    model: VanillaRNN
    transposed: Float[Array, "state state"]
    wrt_weight: bool
    wrt_bias: bool

    @property
    def outer_tanh(self) -> bool:
        return self.model.form == "tanh(W@h+b)"

    def site(self, h: Array, h_next: Array) -> _Site:
        return _Site(h, h_next) if self.outer_tanh else _Site(jnp.tanh(h), None)

    def inner(self, site: _Site, block: Array) -> Array:
        return block if self.outer_tanh else block * (1 - site.x**2)[:, None]

    def outer(self, site: _Site, block: Array) -> Array:
        return block if site.image is None else block * (1 - site.image**2)[:, None]

    def step(self, h: Array) -> Array:
        drive = self.model.weight @ (h if self.outer_tanh else jnp.tanh(h))
        drive = drive if self.model.bias is None else drive + self.model.bias[:, None]
        return jnp.tanh(drive) if self.outer_tanh else drive

    def drive(self, block: VanillaRNN) -> Drive:
        weights = _rows(block.weight) if self.wrt_weight else None
        bias = block.bias.T[:, :, None] if self.wrt_bias else None

        def force(site):
            state, batch = site.x.shape
            if weights is None:
                total = jnp.broadcast_to(bias, (*bias.shape[:2], batch))
            else:
                total = (weights @ site.x).reshape(state, -1, batch)
                total = total if bias is None else total + bias
            return self.outer(site, total)

        return force

    def push(self, site: _Site, dh: Array, drive: Drive) -> Array:
        columns = self.model.weight @ self.inner(site, dh).reshape(dh.shape[0], -1)
        return self.outer(site, columns.reshape(dh.shape)) + drive(site)

    def pull(self, site: _Site, a: Array) -> tuple[Array, Any]:
        a = self.outer(site, a)
        weight = a.reshape(-1, a.shape[2]) @ site.x.T if self.wrt_weight else None
        bias = a.sum(axis=2) if self.wrt_bias else None
        columns = self.transposed @ a.reshape(a.shape[0], -1)
        return self.inner(site, columns.reshape(a.shape)), (weight, bias)

    def gradient_like(self, k: int) -> Any:
        state, dtype = self.model.weight.shape[0], self.model.weight.dtype
        weight = jnp.zeros((state * k, state), dtype) if self.wrt_weight else None
        return weight, jnp.zeros((state, k), dtype) if self.wrt_bias else None

    def gradient(self, accumulated: Any) -> VanillaRNN:
        weight, bias = accumulated
        if weight is not None:
            state = weight.shape[1]
            weight = jnp.swapaxes(weight.reshape(state, -1, state), 0, 1)
        bias = None if bias is None else bias.T
        return eqx.tree_at(lambda m: (m.weight, m.bias), self.model, (weight, bias), is_leaf=lambda x: x is None)

    def probes(self, key: PRNGKeyArray, index: Array, count: int, directions: VanillaRNN) -> Probes:
        """``z_b = (s_b r_bᵀ) ∘ Z`` with random signs s_b, r_b, Z.

        All trajectories share Z, so that the forcing is one matrix product; given the signs, the entries of z_b are
        independent Rademacher variables, and the quadratic forms of two trajectories are uncorrelated.
        """
        state, dtype, batch = self.model.weight.shape[0], self.model.weight.dtype, index.shape[0]
        key_each, key_shared = jax.random.split(key)
        left, right, bias = _signs(key_each, index, [(1, state), (state,), (count, state)], dtype)
        (shared,) = _unpack(
            jax.random.bits(key_shared, (-(-count * state * state // 32),), jnp.uint32), [(count, state, state)], dtype
        )
        overlap = jnp.zeros((), dtype)
        if self.wrt_weight:
            product = shared[:, None] * directions.weight[None]
            rows = (right @ product.reshape(-1, state).T).reshape(batch, count, -1, state)
            overlap = overlap + jnp.einsum("bpkn,bn->pkb", rows, left[:, 0])
        if self.wrt_bias:
            overlap = overlap + jnp.einsum("bpn,kn->pkb", bias, directions.bias)
        weights, left, right, bias = _rows(shared), left.T, right.T, bias.T

        def force(site):
            total = jnp.zeros((state, count, batch), dtype)
            if self.wrt_weight:
                total = left * (weights @ (site.x * right)).reshape(state, count, batch)
            return self.outer(site, total + bias if self.wrt_bias else total)

        return Probes(force, overlap)


def _rows(weights: Float[Array, "k state state"]) -> Float[Array, "state*k state"]:
    """Matrices as one, so that its product with (state, batch) is (state, k, batch) but for a reshape."""
    return jnp.swapaxes(weights, 0, 1).reshape(-1, weights.shape[2])


def _signs(key: PRNGKeyArray, index: Array, shapes: list[tuple[int, ...]], dtype: Any) -> list[Array]:
    """Random signs, those of trajectory ``index[b]`` at b, whichever part of the batch that is in."""
    words = -(-sum(map(math.prod, shapes)) // 32)
    each = jax.vmap(lambda i: jax.random.bits(jax.random.fold_in(key, i), (words,), jnp.uint32))
    return _unpack(each(index), shapes, dtype)


def _unpack(words: Array, shapes: list[tuple[int, ...]], dtype: Any) -> list[Array]:
    """Every bit of ``words`` (…, count) a sign, cut into arrays of the given shapes after the leading axes."""
    lead, places = words.shape[:-1], jnp.arange(32, dtype=words.dtype)
    signs = 1 - 2 * (words[..., None] >> places & 1).astype(dtype).reshape(*lead, -1)
    ends = itertools.accumulate(map(math.prod, shapes))
    return [signs[..., end - math.prod(s) : end].reshape(*lead, *s) for end, s in zip(ends, shapes, strict=True)]


def linear_cell(selected: Any, rest: Any) -> Any:
    """The linearisation of a cell: by hand for :class:`rnn.models.vanilla.VanillaRNN`, by JAX for any other model.

    Args:
        selected: the parameters, as :func:`rnn.models.model.partition` returns them.
        rest: everything else of the model.
    """
    if type(selected) is VanillaRNN:
        model = eqx.combine(selected, rest)
        # Wᵀ in memory: XLA on CPU has no fast product with a transposed left factor, and would undo the transpose
        transposed = jax.lax.optimization_barrier(model.weight.T)
        return AffineCell(model, transposed, selected.weight is not None, selected.bias is not None)
    return _Cell(selected, rest)


def rollout(cell: Any, h: Float[Array, "state batch"], steps: int) -> Float[Array, "steps+1 state batch"]:
    """The states ``h_0 … h_steps``, the start included."""

    def forward(h, _):
        h = cell.step(h)
        return h, h

    _, path = jax.lax.scan(forward, h, length=steps)
    return jnp.concatenate([h[None], path])


def tangent(
    cell: Any,
    h: Float[Array, "state batch"],
    path: Float[Array, "steps+1 state batch"] | None,
    dh: Float[Array, "state k batch"],
    drive: Drive,
    emit: Callable[[Array, Array], Any],
    steps: int,
) -> tuple[tuple[Array, Array], Any]:
    """``dh_t = D_hF dh_{t−1} + drive`` from state h; returns the last (h, dh) and the stacked ``emit(h_t, dh_t)``.

    Without a ``path`` the states are recomputed on the way and never stored.
    """

    def recomputing(carry, _):
        h, dh = carry
        h_next = cell.step(h)
        dh = cell.push(cell.site(h, h_next), dh, drive)
        return (h_next, dh), emit(h_next, dh)

    def forward(dh, inputs):
        site, h_next = inputs
        dh = cell.push(site, dh, drive)
        return dh, emit(h_next, dh)

    if path is None:
        return jax.lax.scan(recomputing, (h, dh), length=steps)
    dh, emitted = jax.lax.scan(forward, dh, sites(cell, path))
    return (path[-1], dh), emitted


def sites(cell: Any, path: Float[Array, "steps+1 state batch"]) -> tuple[Any, Array]:
    """Where the cell is linearised at every step, and the state after it: what :func:`adjoint` goes along."""
    return cell.site(path[:-1], path[1:]), path[1:]


def retrace(
    cell: Any, h: Float[Array, "state batch"], dh: Float[Array, "state k batch"], drive: Drive, steps: int
) -> tuple[Any, Float[Array, "steps state k batch"]]:
    """The sites of every step from state h on, and ``dh_1 … dh_steps``, in one sweep."""

    def forward(carry, _):
        h, dh = carry
        h_next = cell.step(h)
        site = cell.site(h, h_next)
        dh = cell.push(site, dh, drive)
        return (h_next, dh), (site, dh)

    return jax.lax.scan(forward, (h, dh), length=steps)[1]


def adjoint(
    cell: Any,
    along: tuple[Any, Array | None],
    cotangents: Any,
    lift: Callable[[Any, Any], Array],
    a: Float[Array, "state k batch"],
    gradient: Any,
) -> tuple[Array, Any]:
    """``a_t = lift(h_t, y_t) + (D_hF)ᵀ a_{t+1}``, accumulating ``Σ_t (D_θF)ᵀ a_t`` on ``gradient``.

    Args:
        cell: the linearised cell.
        along: its :func:`sites`; the states may be ``None`` if ``lift`` does not need them.
        cotangents: y, with the steps as leading axis.
        lift: takes a cotangent to the states.
        a: a after the last step.
        gradient: what is added to.
    """

    def backward(carry, step):
        a, gradient = carry
        site, h_next, y = step
        a, increment = cell.pull(site, a + lift(h_next, y))
        return (a, jax.tree.map(jnp.add, gradient, increment)), None

    return jax.lax.scan(backward, (a, gradient), (*along, cotangents), reverse=True)[0]


def segmented(horizon: int, held: int = 0, k: int = 1) -> tuple[int, int]:
    """How T steps are recomputed: the length ⌈√T⌉ of a segment, and how many of the last ones keep their tangents.

    A kept tangent saves two of the three matrix products of a recomputed step. There is room for what exceeds the
    ``(1 + k)(⌊T/S⌋ + S)`` starts of segments and steps of one segment.

    Args:
        horizon: T.
        held: states and tangents of a trajectory that there is room for.
        k: vectors of the block.
    """
    steps = math.isqrt(horizon - 1) + 1
    count = horizon // steps
    return steps, max(0, min(count, (held - (1 + k) * (count + steps)) // (k * steps)))


def checkpointed(
    horizon: int,
    steps: int,
    start: Any,
    forward: Callable[[Any, int], Any],
    backward: Callable[[Any, Any, Any, int], Any],
    turn: Callable[[Any], Any],
    cotangents: Any,
) -> Any:
    """Run ``backward`` over segments from last to first, keeping only the segments' starts.

    Args:
        horizon: T, in steps.
        steps: those of a segment; the first one has the ``T mod steps`` that are left.
        start: what ``forward(start, steps)`` advances by a number of steps.
        forward: recomputable forward pass.
        backward: ``backward(start, carry, cotangents of the segment, steps) -> carry``.
        turn: ``turn(end of the last segment) -> carry``, the adjoint there.
        cotangents: pytree with a leading time axis, or ``None``.
    """
    count, head = divmod(horizon, steps)
    end, starts = jax.lax.scan(lambda s, _: (forward(s, steps), s), forward(start, head), length=count)
    segments = jax.tree.map(lambda y: y[head:].reshape(count, steps, *y.shape[1:]), cotangents)

    def segment(carry, inputs):
        return backward(inputs[0], carry, inputs[1], steps), None

    carry, _ = jax.lax.scan(segment, turn(end), (starts, segments), reverse=True)
    return backward(start, carry, jax.tree.map(lambda y: y[:head], cotangents), head) if head else carry
