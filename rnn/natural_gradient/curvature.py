"""Fisher products for an optimizer: Gauss–Newton matrices on rotating sub-batches, for a task or for any model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array

from rnn.models import partition
from rnn.tasks import Batch, Task

__all__ = ["Fisher", "Given", "Products", "filled", "fisher_of", "gauss_newton", "hole", "without"]

Fisher = Callable[[Any, Any, Any], Any]
"""``fisher(parameters, block, turn) -> block``: the Fisher matrix at ``parameters`` on a block of directions.

``block`` is a pytree like the parameters with a leading axis k (``None`` where a leaf is not of an inexact dtype),
and so is the result. ``turn``, an integer array, chooses the sub-batch.
"""


@jax.tree_util.register_static
class Given:
    """Products where a state may hold numbers alone; two are equal when they are one object."""

    def __init__(self, products: Products) -> None:
        self.products = products


class Products:
    """``F = Jᵀ H J``, J the Jacobian of ``outputs`` and H the Hessian of ``loss`` with respect to them.

    Called as a :data:`Fisher`, it multiplies a block on one stretch of the batch. Arguments as in
    :func:`gauss_newton`; ``compare`` is the loss where ``loss`` is ``None`` for the mean squared error.
    """

    def __init__(
        self, outputs: Any, batch: Any, loss: Any, samples: int | None, model: Any = None, compare: Any = None
    ) -> None:
        sizes = {jnp.shape(leaf)[:1] for leaf in jax.tree.leaves(batch)}
        if len(sizes) != 1 or sizes == {()}:
            raise ValueError(
                f"batch must hold arrays that share their leading axis, got leading shapes {sorted(sizes)}"
            )
        self.size = sizes.pop()[0]
        _taken(samples, self.size, 8, 8)
        self.outputs, self.batch, self.loss, self.samples, self.model = outputs, batch, loss, samples, model
        self.compare = loss if compare is None else compare

    def __call__(self, parameters: Any, block: Any = None, turn: Any = None) -> Any:
        if block is None:  # ``optax.inject_hyperparams`` asks whatever can be called for its value at a count
            return Given(self)
        whole = parameters if self.model is None else filled(parameters, self.model)
        moving = jax.tree.map(lambda v, p: None if v is None else p, block, whole, is_leaf=hole)
        return self.rows(moving, without(whole, moving), block, turn)

    def rows(self, moving: Any, rest: Any, block: Any, turn: Any) -> Any:
        """``F_b`` on a block, b an eighth of the batch and no fewer than 8, or as given."""
        part = self.part(turn, _taken(self.samples, self.size, 8, 8))
        return jax.vmap(self.linear(moving, rest, part))(block)

    def shared(self) -> int:
        """Samples of a product that is to be solved with: a quarter of the batch and no fewer than 32, or as given."""
        return _taken(self.samples, self.size, 4, 32)

    def part(self, turn: Any, taken: int) -> Any:
        """The ``turn``-th stretch of ``taken`` samples."""
        return jax.tree.map(lambda x: _stretch(x, taken, turn), self.batch)

    def linear(self, moving: Any, rest: Any, part: Any) -> Callable[[Any], Any]:
        """``v -> F v`` on ``part``, the model linearised once; ``moving`` are the leaves that v has."""
        read, push = jax.linearize(lambda p: self._read(p, rest, part), moving)
        pull = jax.linear_transpose(push, moving)
        weight = self._weight(moving, rest, part)
        return lambda v: pull(self._bend(read, push(v), part, weight))[0]

    def tangent(self, moving: Any, rest: Any, v: Any) -> Array:
        """``⟨v, F v⟩`` on the whole batch: one tangent."""
        read, dy = jax.jvp(lambda p: self._read(p, rest, self.batch), (moving,), (v,))
        bent = self._bend(read, dy, self.batch, None)
        return _inner(dy, bent)

    def plane(self, moving: Any, rest: Any, rows: Any) -> tuple[Array, Callable[[Array, Any], tuple]]:
        """``⟨v_i, F v_j⟩`` of a block of directions on the whole batch, and ``(c, θ + Σ c_i v_i) -> …``: with
        ``v = Σ c_i v_i``, ``‖y(θ + v) − y(θ) − J v‖²`` and ``‖J v‖²`` of the outputs y, and the loss at ``θ + v``;
        ``None`` for a loss of which only the curvature is known."""
        read, push = jax.linearize(lambda p: self._read(p, rest, self.batch), moving)
        dys = jax.vmap(push)(rows)
        bent = jax.vmap(lambda dy: self._bend(read, dy, self.batch, None))(dys)
        gram = jax.vmap(lambda one: jax.vmap(lambda other: _inner(one, other))(bent))(dys)

        def departed(c: Array, moved: Any) -> tuple[Array, Array, Array | None]:
            after = self._read(moved, rest, self.batch)
            dy = jax.tree.map(lambda d: jnp.tensordot(c.astype(d.dtype), d, 1), dys)
            e = jax.tree.map(lambda a, b, d: a - b - d, after, read, dy)
            value = None if self.compare is None else jnp.asarray(self.compare(after, self.batch))
            return _square(e), _square(dy), value

        return gram, departed

    def ray(self, moving: Any, rest: Any, v: Any) -> tuple[Array, Callable[[Any, Any], Array]]:
        """``⟨v, F v⟩`` on the whole batch, and ``(s, θ + s v) -> ½ ⟨e, H e⟩``, e what the outputs depart by from their
        linear change ``s J v``: the fault of the linear model in units of the loss."""
        read, dy = jax.jvp(lambda p: self._read(p, rest, self.batch), (moving,), (v,))

        def departed(s: Any, moved: Any) -> Array:
            e = jax.tree.map(lambda a, b, d: a - b - s * d, self._read(moved, rest, self.batch), read, dy)
            return _inner(e, self._bend(read, e, self.batch, None)) / 2

        return _inner(dy, self._bend(read, dy, self.batch, None)), departed

    def value(self, moving: Any, rest: Any) -> Array | None:
        """The loss on the whole batch; ``None`` where only its curvature is known."""
        if self.compare is None:
            return None
        return jnp.asarray(self.compare(self._read(moving, rest, self.batch), self.batch))

    def _read(self, moving: Any, rest: Any, part: Any) -> Any:
        whole = eqx.combine(moving, rest)
        try:
            return self.outputs(whole, part)
        except (TypeError, AttributeError) as fault:
            if not any(hole(leaf) for leaf in jax.tree.leaves(whole, is_leaf=hole)):
                raise
            raise ValueError(
                "outputs failed on parameters of which a part is missing (None or masked): pass the whole model as "
                "gauss_newton(…, model=model) or, where the rest of it moves too, as update(…, model=model)"
            ) from fault

    def _bend(self, read: Any, dy: Any, part: Any, weight: Array | None) -> Any:
        """``H dy``, times the weight of a part in a sum over samples."""
        if self.loss is None:
            count = sum(leaf.size for leaf in jax.tree.leaves(read))
            return jax.tree.map(lambda x: x * (2 / count), dy)
        loss = self.loss
        bent = jax.jvp(lambda y: jax.grad(loss)(y, part), (read,), (dy,))[1]
        return bent if weight is None else jax.tree.map(lambda x: x * weight.astype(x.dtype), bent)

    def _weight(self, moving: Any, rest: Any, part: Any) -> Array | None:
        """B/b where the loss adds its samples, 1 where it averages them; ``None`` for the mean squared error.

        Constant outputs and a part taken twice tell: a sum doubles, a mean (a masked one too) stays.
        """
        taken = jax.tree.leaves(part)[0].shape[0]
        if self.loss is None or taken == self.size:
            return None
        twice = jax.tree.map(lambda x: jnp.concatenate([x, x]), part)
        once, double = (self.loss(self._constant(moving, rest, p), p) for p in (part, twice))
        return jnp.where(jnp.abs(double) > 1.5 * jnp.abs(once), self.size / taken, 1.0)

    def _constant(self, moving: Any, rest: Any, part: Any) -> Any:
        shapes = eqx.filter_eval_shape(self._read, moving, rest, part)
        return jax.tree.map(lambda s: jnp.full(s.shape, 0.5, s.dtype), shapes)


def fisher_of(task: Task, *, samples: int | None = None) -> Products:
    """The Gauss–Newton matrix of a task's loss, on contiguous sub-batches that take turns.

    ``F = Jᵀ H J`` with J the Jacobian of the outputs and H the Hessian of the loss with respect to them: that of the
    loss without the curvature of the network. For the mean squared error ``H = 2/count``, count the number of outputs.

    Args:
        task: what is trained.
        samples: trajectories per product, at most all; an eighth of them, and no fewer than 8, unless given. The
            ``turn``-th product takes the ``turn``-th stretch of them.

    Raises:
        ValueError: ``samples`` is not a positive integer.
    """
    rest = partition(task.student)[1]

    def outputs(parameters: Any, part: Batch) -> Array:
        return task.read(eqx.combine(parameters, rest), part)

    return Products(outputs, task.batch, None if task.plain else task.compare, samples, compare=task.compare)


def gauss_newton(
    outputs: Callable[[Any, Any], Any],
    batch: Any,
    *,
    loss: Callable[[Any, Any], Array] | None = None,
    samples: int | None = None,
    model: Any = None,
) -> Products:
    """The generalised Gauss–Newton matrix of any model, ``F = Jᵀ H J``.

    J is the Jacobian of ``outputs`` and H the Hessian of ``loss`` with respect to them (``2/count`` for the mean
    squared error). (Schraudolph, *Neural Computation* 14, 2002.)

    Args:
        outputs: ``outputs(parameters, batch)``, an array or pytree of what the loss compares with its targets.
        batch: pytree of arrays with the samples as leading axis.
        loss: ``loss(outputs, batch)``, a mean or a sum over samples; ``None`` for the mean squared error. A sum over
            a part is scaled to the whole batch.
        samples: samples per product, in turns and as many as in :func:`fisher_of` unless given. Solves, in the modes
            that have them, take a quarter of the batch, and no fewer than 32, unless it is given.
        model: what ``outputs`` is to find where parameters are ``None``: an Equinox model with its functions.

    Raises:
        ValueError: ``samples`` is not a positive integer, or ``batch`` has no common leading axis; when used,
            ``outputs`` fails on parameters of which a part is missing.
    """
    return Products(outputs, batch, loss, samples, model)


def filled(parameters: Any, model: Any) -> Any:
    """``parameters`` with what is ``None`` or masked in them taken from ``model``."""
    return jax.tree.map(lambda p, m: m if hole(p) else p, parameters, model, is_leaf=hole)


def without(whole: Any, moving: Any) -> Any:
    """What ``moving`` has ``None`` for."""
    return jax.tree.map(lambda m, w: w if m is None else None, moving, whole, is_leaf=hole)


def hole(leaf: Any) -> bool:
    """Whether something was taken out of a pytree here."""
    return leaf is None or isinstance(leaf, optax.MaskedNode)


def _inner(one: Any, other: Any) -> Array:
    return jnp.asarray(sum(jnp.vdot(a, b) for a, b in zip(*map(jax.tree.leaves, (one, other)), strict=True)))


def _square(tree: Any) -> Array:
    return jnp.asarray(sum(jnp.sum(x**2) for x in jax.tree.leaves(tree)))


def _taken(samples: int | None, batch: int, share: int, least: int) -> int:
    if samples is None:
        return min(max(least, -(-batch // share)), batch)
    if isinstance(samples, bool) or not isinstance(samples, int) or samples < 1:
        raise ValueError(f"samples must be a positive integer, got {samples!r}")
    return min(samples, batch)


def _stretch(x: Array, size: int, turn: Array) -> Array:
    """The ``turn``-th of the contiguous stretches of ``size`` rows, the last one moved back to fit."""
    batch = x.shape[0]
    if size >= batch:
        return x
    start = jnp.minimum(jnp.asarray(turn) % (-(-batch // size)) * size, batch - size)
    return jax.lax.dynamic_slice_in_dim(x, start, size)
