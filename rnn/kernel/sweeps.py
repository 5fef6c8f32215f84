"""Tangent and adjoint sweeps along stored or recomputed trajectories.

With ``dh_t = D_hF dh_{t−1} + D_θF dθ`` a tangent sweep evaluates ``J dθ`` and an adjoint sweep evaluates ``Jᵀ y``,
each for a block of k vectors at once. Inside a sweep the batch is the last axis: states (time, state, batch), blocks
(time, state, k, batch). Every step is then one matrix product with k·batch columns, and ``Σ_t a_t x_tᵀ`` contracts
the contiguous axis of both factors, which is twice as fast on CPUs as to contract the leading one.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from rnn.kernel.cells import Drive
from rnn.models import rollout

__all__ = ["adjoint", "checkpointed", "retrace", "segmented", "sites", "states_along", "tangent"]

Inputs = Float[Array, "steps inputs batch"] | None
"""Inputs of every step, the batch last, or ``None`` without."""


def states_along(
    cell: Any, h: Float[Array, "state batch"], steps: int, inputs: Inputs = None
) -> Float[Array, "steps+1 state batch"]:
    """The states ``h_0 … h_steps``, the start included."""
    return jnp.concatenate([h[None], rollout(cell.step, h, steps, inputs)])


def tangent(
    cell: Any,
    h: Float[Array, "state batch"],
    path: Float[Array, "steps+1 state batch"] | None,
    dh: Float[Array, "state k batch"],
    drive: Drive,
    emit: Callable[[Array, Array], Any],
    steps: int,
    inputs: Inputs = None,
) -> tuple[tuple[Array, Array], Any]:
    """``dh_t = D_hF dh_{t−1} + drive`` from state h; returns the last (h, dh) and the stacked ``emit(h_t, dh_t)``.

    Without a ``path`` the states are recomputed on the way and never stored.
    """

    def recomputing(carry, x):
        h, dh = carry
        h_next = cell.step(h, x)
        dh = cell.push(cell.site(h, h_next, x), dh, drive)
        return (h_next, dh), emit(h_next, dh)

    def forward(dh, step):
        site, h_next = step
        dh = cell.push(site, dh, drive)
        return dh, emit(h_next, dh)

    if path is None:
        return jax.lax.scan(recomputing, (h, dh), inputs, length=steps)
    dh, emitted = jax.lax.scan(forward, dh, sites(cell, path, inputs))
    return (path[-1], dh), emitted


def sites(cell: Any, path: Float[Array, "steps+1 state batch"], inputs: Inputs = None) -> tuple[Any, Array]:
    """Where the cell is linearised at every step, and the state after it: what :func:`adjoint` goes along."""
    return cell.site(path[:-1], path[1:], inputs), path[1:]


def retrace(
    cell: Any,
    h: Float[Array, "state batch"],
    dh: Float[Array, "state k batch"],
    drive: Drive,
    steps: int,
    inputs: Inputs = None,
) -> tuple[Any, Float[Array, "steps state k batch"]]:
    """The sites of every step from state h on, and ``dh_1 … dh_steps``, in one sweep."""

    def forward(carry, x):
        h, dh = carry
        h_next = cell.step(h, x)
        site = cell.site(h, h_next, x)
        dh = cell.push(site, dh, drive)
        return (h_next, dh), (site, dh)

    return jax.lax.scan(forward, (h, dh), inputs, length=steps)[1]


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
        if cell.stacked:  # every step has parameters of its own: nothing to add up
            return (a, gradient), increment
        return (a, jax.tree.map(jnp.add, gradient, increment)), None

    (a, total), each = jax.lax.scan(backward, (a, gradient), (*along, cotangents), reverse=True)
    return a, jax.tree.map(jnp.add, total, each) if cell.stacked else total


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
    forward: Callable[[Any, int, Any], Any],
    backward: Callable[[Any, Any, Any, int, Any], Any],
    turn: Callable[[Any], Any],
    cotangents: Any,
    inputs: Any = None,
) -> Any:
    """Run ``backward`` over segments from last to first, keeping only the segments' starts.

    Args:
        horizon: T, in steps.
        steps: those of a segment; the first one has the ``T mod steps`` that are left.
        start: what ``forward(start, steps, inputs of the segment)`` advances by a number of steps.
        forward: recomputable forward pass.
        backward: ``backward(start, carry, cotangents of the segment, steps, inputs of the segment) -> carry``.
        turn: ``turn(end of the last segment) -> carry``, the adjoint there.
        cotangents, inputs: pytrees with a leading time axis, or ``None``.
    """
    count, head = divmod(horizon, steps)
    first, given = (jax.tree.map(lambda y: y[:head], tree) for tree in (cotangents, inputs))
    later, driven = (
        jax.tree.map(lambda y: y[head:].reshape(count, steps, *y.shape[1:]), tree) for tree in (cotangents, inputs)
    )
    begin = forward(start, head, given) if head else start
    end, starts = jax.lax.scan(lambda s, x: (forward(s, steps, x), s), begin, driven, length=count)

    def segment(carry, part):
        start, y, x = part
        return backward(start, carry, y, steps, x), None

    carry, _ = jax.lax.scan(segment, turn(end), (starts, later, driven), reverse=True)
    return backward(start, carry, first, head, given) if head else carry
