"""Products with J and its transpose, for blocks of vectors, chunk by chunk of the batch.

One tangent sweep along the states evaluates ``J dθ``, one adjoint sweep ``Jᵀ y``; ``JᵀJ`` is one after the other.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from rnn.kernel.affine import AffineCell, StackedCell, linear_cell
from rnn.kernel.cells import JaxCell
from rnn.kernel.operand import Operand, Packed
from rnn.kernel.sweeps import adjoint, checkpointed, retrace, segmented, sites, states_along, tangent
from rnn.models import partition

__all__ = [
    "Observer",
    "check_finite",
    "fisher_block",
    "forward_block",
    "linearised",
    "over_batch",
    "reverse_block",
    "states",
]


class Observer:
    """Tangents and cotangents of the readout, on blocks (·, k, batch)."""

    def __init__(self, readout: Any):
        self.readout = readout

    def push(self, h: Array, dh: Array) -> Array:
        if self.readout is None:
            return dh
        if eqx.is_array(self.readout):
            return jnp.tensordot(self.readout, dh, 1)
        one = lambda h, dh: jax.jvp(self.readout, (h,), (dh,))[1]  # noqa: E731
        return jax.vmap(jax.vmap(one, (None, 1), 1), (1, 2), 2)(h, dh)

    def pull(self, h: Array, y: Array) -> Array:
        if self.readout is None:
            return y
        if eqx.is_array(self.readout):
            return jnp.tensordot(self.readout.T, y, 1)
        one = lambda h, y: jax.vjp(self.readout, h)[1](y)[0]  # noqa: E731
        return jax.vmap(jax.vmap(one, (None, 1), 1), (1, 2), 2)(h, y)


def over_batch(kernel: Operand, work: Callable[..., tuple[Any, Any]], *operands: Array) -> tuple[Any, Any]:
    """Run ``work(h0, path, inputs, *operands) -> (sums, rows)`` on parts of the batch; add the sums, join the rows.

    Args:
        kernel: says which parts: chunks, one after the other, of every device's share.
        work: sees initial states (state, batch), their path (horizon+1, state, batch) if it is stored, the inputs
            (horizon, inputs, batch) if there are any, ``(t, inputs)`` where parameters differ per step, and operands.
        operands: arrays with the batch as leading axis.
    """
    operands = operands if kernel.inputs is None else (kernel.inputs, *operands)

    def turned(h0, path, *rest):
        x = None if kernel.inputs is None else jnp.transpose(rest[0], (1, 2, 0))
        x = (jnp.arange(kernel.horizon), x) if kernel.stacked else x
        return work(h0.T, path, x, *rest[kernel.inputs is not None :])

    if kernel.mesh is None:
        return _in_chunks(kernel.chunk, turned, kernel.h0, kernel.path, operands)
    inputs = (kernel.h0, *operands)
    even = kernel.h0.shape[0] // kernel.mesh.size * kernel.mesh.size
    parts = []
    if even:
        parts.append(_on_devices(kernel, turned, [x[:even] for x in inputs]))
    if even < kernel.h0.shape[0]:  # what does not divide is computed by every device, and counted once
        parts.append(_in_chunks(kernel.chunk, turned, kernel.h0[even:], None, [x[even:] for x in operands]))
    return _join(*parts) if len(parts) > 1 else parts[0]


def _on_devices(kernel: Operand, work: Callable[..., tuple[Any, Any]], inputs: list[Array]) -> tuple[Any, Any]:
    """Every device works on its share of the batch; the sums are added across devices once, at the end."""
    assert kernel.mesh is not None  # asked for by who shares the batch
    (axis,) = kernel.mesh.axis_names

    def local(*inputs):
        sums, rows = _in_chunks(kernel.chunk, work, inputs[0], None, inputs[1:])
        return jax.tree.map(lambda x: jax.lax.psum(x, axis), sums), rows

    share, same = jax.sharding.PartitionSpec(axis), jax.sharding.PartitionSpec()
    return jax.shard_map(local, mesh=kernel.mesh, in_specs=share, out_specs=(same, share), check_vma=False)(*inputs)


def _in_chunks(
    chunk: int | None, work: Callable[..., tuple[Any, Any]], h0: Array, path: Array | None, operands: Sequence[Array]
) -> tuple[Any, Any]:
    batch = h0.shape[0]
    if chunk is None or chunk >= batch:
        return work(h0, path, *operands)
    count = batch // chunk
    inputs = (h0, *operands)
    blocks = [x[: count * chunk].reshape(count, chunk, *x.shape[1:]) for x in inputs]

    def one(total, block):
        sums, rows = work(block[0], None, *block[1:])
        return jax.tree.map(jnp.add, total, sums), rows

    shapes = jax.eval_shape(lambda block: work(block[0], None, *block[1:])[0], [b[0] for b in blocks])
    zeros = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), shapes)
    sums, rows = jax.lax.scan(one, zeros, blocks)
    whole = sums, jax.tree.map(lambda r: r.reshape(count * chunk, *r.shape[2:]), rows)
    if count * chunk == batch:
        return whole
    return _join(whole, work(h0[count * chunk :], None, *(x[count * chunk :] for x in operands)))


def _join(first: tuple[Any, Any], second: tuple[Any, Any]) -> tuple[Any, Any]:
    rows = jax.tree.map(lambda a, b: jnp.concatenate([a, b]), first[1], second[1])
    return jax.tree.map(jnp.add, first[0], second[0]), rows


def linearised(kernel: Operand) -> tuple[AffineCell | JaxCell | StackedCell, Observer]:
    """The kernel's cell and readout, ready for the sweeps."""
    cell = StackedCell if kernel.stacked else linear_cell
    return cell(kernel.parameters, kernel.fixed.value), Observer(kernel.readout)


@jax.jit
def forward_block(kernel: Operand, block: Float[Array, "*k m"]) -> Float[Array, "*k batch horizon outputs"]:
    """``J`` on a flat vector, or on a block of them."""
    if block.ndim == 1:
        return forward_block(kernel, block[None])[0]
    cell, observer = linearised(kernel)
    drive = cell.drive(kernel.unflatten(block))

    def work(h0, path, x):
        dh = jnp.zeros((h0.shape[0], block.shape[0], h0.shape[1]), h0.dtype)
        _, y = tangent(cell, h0, path, dh, drive, observer.push, kernel.horizon, x)
        return (), jnp.transpose(y, (3, 2, 0, 1))

    return jnp.moveaxis(over_batch(kernel, work)[1], 1, 0)


@jax.jit
def reverse_block(kernel: Operand, y: Float[Array, "k batch horizon outputs"]) -> Float[Array, "k m"]:
    """``Jᵀ`` on a block of trajectory-shaped vectors; the result is flat."""
    cell, observer = linearised(kernel)
    k = y.shape[0]

    def work(h0, path, x, y):
        y = jnp.transpose(y, (2, 3, 1, 0))
        return _pull_states(kernel, cell, observer, h0, path, x, y, k), ()

    gradient, _ = over_batch(kernel, work, jnp.moveaxis(y, 0, 1))
    return kernel.flatten(cell.gradient(gradient))


@jax.jit
def fisher_block(kernel: Operand, block: Float[Array, "*k m"]) -> Float[Array, "*k m"]:
    """``JᵀJ`` on a flat vector, or on a block of them."""
    if block.ndim == 1:
        return fisher_block(kernel, block[None])[0]
    cell, observer = linearised(kernel)
    drive = cell.drive(kernel.unflatten(block))
    k = block.shape[0]

    def work(h0, path, x):
        dh = jnp.zeros((h0.shape[0], k, h0.shape[1]), h0.dtype)
        if kernel.remat and kernel.readout is None:
            return _fisher_segments(kernel, cell, drive, h0, x, dh), ()
        _, y = tangent(cell, h0, path, dh, drive, observer.push, kernel.horizon, x)
        return _pull_states(kernel, cell, observer, h0, path, x, y, k), ()

    return kernel.flatten(cell.gradient(over_batch(kernel, work)[0]))


def _pull_states(
    kernel: Operand,
    cell: AffineCell | JaxCell | StackedCell,
    observer: Observer,
    h0: Array,
    path: Array | None,
    x: Array | None,
    y: Array,
    k: int,
) -> Any:
    """``Jᵀ y`` of one chunk, y (horizon, outputs, k, batch), before ``cell.gradient``."""
    carry = jnp.zeros((h0.shape[0], k, h0.shape[1]), h0.dtype), cell.gradient_like(k)
    if not kernel.remat:
        path = states_along(cell, h0, kernel.horizon, x) if path is None else path
        return adjoint(cell, sites(cell, path, x), y, observer.pull, *carry)[1]

    def forward(h, steps, x):
        return jax.lax.scan(lambda h, x: (cell.step(h, x), None), h, x, length=steps)[0]

    def backward(h, carry, y, steps, x):
        return adjoint(cell, sites(cell, states_along(cell, h, steps, x), x), y, observer.pull, *carry)

    steps, _ = segmented(kernel.horizon)
    return checkpointed(kernel.horizon, steps, h0, forward, backward, lambda _: carry, y, x)[1]


def _fisher_segments(
    kernel: Operand, cell: AffineCell | JaxCell | StackedCell, drive: Any, h0: Array, x: Array | None, dh: Array
) -> Any:
    """``JᵀJ`` of one chunk, segment by segment: states recomputed, and tangents but for those of the last ones."""
    steps, kept = segmented(kernel.horizon, kernel.remat, dh.shape[1])
    first = kernel.horizon - kept * steps  # steps before those that are kept
    early = None if x is None else x[:first]
    late = None if x is None else x[first:].reshape(kept, steps, *x.shape[1:])
    lift = lambda _, y: y  # noqa: E731

    def forward(start, steps, x):
        return tangent(cell, start[0], None, start[1], drive, lambda h, dh: None, steps, x)[0]

    def backward(start, carry, _, steps, x):
        h, dh = start
        passed, y = retrace(cell, h, dh, drive, steps, x)
        return adjoint(cell, (passed, None), y, lift, *carry)

    def keep(start, x):
        end, y = tangent(cell, start[0], None, start[1], drive, lambda h, dh: dh, steps, x)
        return end, (start[0], y)

    def resume(carry, segment):
        h, y, x = segment
        return adjoint(cell, sites(cell, states_along(cell, h, steps, x), x), y, lift, *carry), None

    def turn(end):
        carry = jnp.zeros_like(dh), cell.gradient_like(dh.shape[1])
        if not kept:
            return carry
        _, segments = jax.lax.scan(keep, end, late, length=kept)
        return jax.lax.scan(resume, carry, (*segments, late), reverse=True)[0]

    return checkpointed(first, steps, (h0, dh), forward, backward, turn, None, early)[1]


@functools.partial(jax.jit, static_argnums=(2, 4))
def states(
    model: Packed,
    h0: Array,
    horizon: int,
    inputs: Float[Array, "batch horizon inputs"] | None = None,
    stacked: bool = False,
) -> Float[Array, "horizon+1 state batch"]:
    """The states ``h_0 … h_T`` of ``model.value``: one program, whichever of its parameters a kernel selects."""
    x = None if inputs is None else jnp.transpose(inputs, (1, 2, 0))
    cell = (StackedCell if stacked else linear_cell)(*partition(model.value))
    return states_along(cell, h0.T, horizon, (jnp.arange(horizon), x) if stacked else x)


def check_finite(kernel: Operand) -> None:
    """Every state is finite; not checked where the states depend on what a transformation traces.

    Raises:
        ValueError: a state is infinite or NaN.
    """
    given = dataclasses.replace(kernel, path=None)
    if any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(given)):
        return
    if isinstance(kernel.path, jax.core.Tracer):  # constants inside jit
        kernel = given
    with jax.ensure_compile_time_eval():
        step, trajectory = (int(i) for i in _first_bad(kernel))
    if step <= kernel.horizon:
        raise ValueError(
            f"the states are not finite from step {step} on (trajectory {trajectory}): lower horizon below it or "
            "scale the weights or h0"
        )


def _first_bad(kernel: Operand) -> tuple[Array, Array]:
    """First step with a non-finite state (horizon + 1 if there is none), and the trajectory it happens in."""
    return _bad_recomputed(kernel) if kernel.path is None else _bad_stored(kernel.path)


def _earliest(first: Int[Array, " batch"]) -> tuple[Array, Array]:
    return first.min(), first.argmin()


@jax.jit
def _bad_stored(path: Float[Array, "horizon+1 state batch"]) -> tuple[Array, Array]:
    bad = ~jnp.isfinite(path).all(axis=1)
    return _earliest(jnp.where(bad.any(axis=0), bad.argmax(axis=0), path.shape[0]))


@jax.jit
def _bad_recomputed(kernel: Operand) -> tuple[Array, Array]:
    horizon = kernel.horizon
    cell, _ = linearised(kernel)

    def work(h0, _, x):
        def forward(carry, step):
            (h, first), (t, x) = carry, step
            h = cell.step(h, x)
            bad = ~jnp.isfinite(h).all(axis=0)
            return (h, jnp.where((first > t) & bad, t, first)), None

        first = jnp.where(jnp.isfinite(h0).all(axis=0), horizon + 1, 0)
        (_, first), _ = jax.lax.scan(forward, (h0, first), (jnp.arange(1, horizon + 1, dtype=first.dtype), x))
        return (), first

    return _earliest(over_batch(kernel, work)[1])
