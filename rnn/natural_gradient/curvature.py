"""Fisher products for an optimizer: Gauss–Newton matrices on rotating sub-batches, for a task or for any model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array

from rnn.kernel import sntk
from rnn.models import partition
from rnn.tasks import Task

__all__ = ["Fisher", "fisher_of", "gauss_newton"]

Fisher = Callable[[Any, Any, Any], Any]
"""``fisher(parameters, block, turn) -> block``: the Fisher matrix at ``parameters`` on a block of directions.

``block`` is a pytree like the parameters with a leading axis k (``None`` where a leaf is not of an inexact dtype),
and so is the result. ``turn``, an integer array, chooses the sub-batch.
"""


def fisher_of(task: Task, *, samples: int | None = None) -> Fisher:
    """The Gauss–Newton matrix of a task's loss, on contiguous sub-batches that take turns.

    ``F = 2/count · JᵀJ`` with J the Jacobian of the readout and count its number of entries: the Hessian of the mean
    squared error without the curvature of the network.

    Args:
        task: what is trained.
        samples: trajectories per product, at most all; an eighth of them, and no fewer than 8, unless given. The
            ``turn``-th product takes the ``turn``-th stretch of them.

    Raises:
        ValueError: ``samples`` is not a positive integer.
    """
    rest = partition(task.student)[1]
    batch = task.h0.shape[0]

    def fisher(parameters: Any, block: Any, turn: Array) -> Any:
        h0 = _stretch(task.h0, _size(samples, batch), turn)
        kernel = sntk(eqx.combine(parameters, rest), h0, task.horizon, readout=lambda h: task.readout(h))
        count = h0.shape[0] * task.horizon * task.outputs
        return jax.tree.map(lambda x: x * (2 / count), kernel.fisher_mv(block))

    return fisher


def gauss_newton(
    outputs: Callable[[Any, Any], Any],
    batch: Any,
    *,
    loss: Callable[[Any, Any], Array] | None = None,
    samples: int | None = None,
) -> Fisher:
    """The generalised Gauss–Newton matrix of any model, ``F = Jᵀ H J``.

    J is the Jacobian of ``outputs`` and H the Hessian of ``loss`` with respect to them (``2/count`` for the mean
    squared error). (Schraudolph, *Neural Computation* 14, 2002.)

    Args:
        outputs: ``outputs(parameters, batch)``, an array or pytree of what the loss compares with its targets.
        batch: pytree of arrays with the samples as leading axis.
        loss: ``loss(outputs, batch)``, the mean over samples; ``None`` for the mean squared error.
        samples: samples per product, in turns and as many as in :func:`fisher_of` unless given.

    Raises:
        ValueError: ``samples`` is not a positive integer, or ``batch`` has no common leading axis.
    """
    sizes = {jnp.shape(leaf)[:1] for leaf in jax.tree.leaves(batch)}
    if len(sizes) != 1 or sizes == {()}:
        raise ValueError(f"batch must hold arrays that share their leading axis, got leading shapes {sorted(sizes)}")
    size = sizes.pop()[0]
    taken = _size(samples, size)

    def fisher(parameters: Any, block: Any, turn: Array) -> Any:
        part = jax.tree.map(lambda x: _stretch(x, taken, turn), batch)
        moving, rest = eqx.partition(parameters, eqx.is_inexact_array)
        read, push = jax.linearize(lambda p: outputs(eqx.combine(p, rest), part), moving)
        pull = jax.linear_transpose(push, moving)

        def bend(dy: Any) -> Any:
            if loss is None:
                count = sum(leaf.size for leaf in jax.tree.leaves(read))
                return jax.tree.map(lambda x: x * (2 / count), dy)
            return jax.jvp(lambda y: jax.grad(loss)(y, part), (read,), (dy,))[1]

        return jax.vmap(lambda direction: pull(bend(push(direction)))[0])(block)

    return fisher


def _size(samples: int | None, batch: int) -> int:
    if samples is None:
        return min(max(8, -(-batch // 8)), batch)
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
