"""Inputs of a network, and its states under them."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from rnn.models.columns import columns, rollout
from rnn.models.hooks import affine_of
from rnn.models.model import Model

__all__ = ["check_inputs", "count_steps", "trajectory"]


def check_inputs(
    inputs: Any, horizon: int | None, batch: int, dtype: Any
) -> tuple[Float[Array, "batch horizon inputs"] | None, int]:
    """Inputs with one row for every trajectory and step, and the horizon T.

    Args:
        inputs: shape (batch, horizon, inputs), or (horizon, inputs) for all trajectories alike, or ``None``.
        horizon: T, in steps; that of the inputs if ``None``.
        batch: how many trajectories.
        dtype: of the states.

    Raises:
        ValueError: neither is given, ``horizon`` is no positive integer, or the inputs do not fit it, the batch or the
            dtype, or are not finite (which is not checked inside ``jax.jit``).
    """
    if inputs is None:
        if horizon is None:
            shape = "(batch, horizon, inputs)"
            raise ValueError(f"horizon must be a positive integer, got None; give it, or inputs of shape {shape}")
        return None, _positive(horizon)
    if not jnp.issubdtype(jnp.result_type(inputs), jnp.floating):
        raise ValueError(f"inputs must be real floating numbers like the states, got {jnp.result_type(inputs)}")
    given: tuple[int, ...] = tuple(jnp.shape(inputs))
    rank = len(given)
    steps = given[-2] if horizon is None and rank > 1 else horizon
    wanted = f"(batch={batch}, horizon={steps}, inputs ≥ 1) or (horizon={steps}, inputs ≥ 1)"
    fits = rank in (2, 3) and given[-2] == steps and given[-1] > 0 and given[:-2] in ((), (batch,))
    if not fits:
        raise ValueError(f"inputs must have shape {wanted}, got {given}")
    x = jnp.asarray(inputs)
    if x.dtype != dtype:
        raise ValueError(f"inputs must have dtype {dtype} like the states, got {x.dtype}; cast them")
    if not isinstance(x, jax.core.Tracer) and not np.all(np.isfinite(x)):
        raise ValueError(f"inputs of shape {given} contain NaN or infinity; clean them first")
    return jnp.broadcast_to(x, (batch, *given[-2:])), _positive(steps)


def count_steps(model: Model, horizon: int | None) -> int:
    """How many steps stacked parameters are for: T.

    Raises:
        ValueError: an inexact array of the model has another leading axis than the rest, or than ``horizon``.
    """
    found = [jnp.shape(leaf)[:1] for leaf in jax.tree.leaves(eqx.filter(model, eqx.is_inexact_array))]
    steps = {(horizon,)} if horizon is not None else set(found[:1])
    if not found or () in found or set(found) != steps:
        wanted = "the same leading axis" if horizon is None else f"the leading axis horizon={horizon}"
        shapes = sorted({axis[0] if axis else "none" for axis in found}, key=str)
        raise ValueError(f"stacked parameters must all have {wanted}, one row for every step, got {shapes}")
    return found[0][0]


def _positive(horizon: Any) -> int:
    if isinstance(horizon, bool) or not isinstance(horizon, (int, np.integer)) or horizon < 1:
        raise ValueError(f"horizon must be a positive integer, got {horizon!r}")
    return int(horizon)


def trajectory(
    model: Model,
    h0: Float[Array, "batch state"],
    horizon: int | None = None,
    inputs: Float[Array, "batch horizon inputs"] | Float[Array, "horizon inputs"] | None = None,
    *,
    readout: Callable[[Any], Any] | None = None,
    stacked: bool = False,
) -> Float[Array, "batch horizon state"]:
    """States ``h_1 … h_T`` of every initial state: ``h_t = model(h_{t−1})``, or ``h_t = model(h_{t−1}, x_t)``.

    Args:
        model: one step on one state vector, and one input vector where there are inputs.
        h0: initial states, shape (batch, state).
        horizon: T, in steps; that of the inputs unless given.
        inputs: ``x_1 … x_T``, shape (batch, horizon, inputs), or (horizon, inputs) for all trajectories alike.
        readout: function of one state vector; where given, its values are returned instead of the
            states, which are then never stored together.
        stacked: whether every step has parameters of its own: the inexact arrays of ``model`` then have the steps as
            leading axis, and T is theirs unless given.

    Raises:
        ValueError: ``h0`` has no batch axis, ``horizon`` is not a positive integer, or the inputs or the stacked
            parameters do not fit it.
    """
    if jnp.ndim(h0) != 2:
        raise ValueError(f"h0 must have shape (batch, state), got {jnp.shape(h0)}; add the batch axis")
    horizon = count_steps(model, horizon) if stacked else horizon
    inputs, horizon = check_inputs(inputs, horizon, jnp.shape(h0)[0], jnp.result_type(h0))
    given = model, h0, inputs, readout
    # called by hand it is compiled once for all its calls; in another's program it is a part of that
    compiles = all(_stays(leaf) for leaf in jax.tree.leaves(given))
    return (_compiled if compiles else _unrolled)(*given, horizon, stacked)


def _stays(leaf: Any) -> bool:
    """Whether a compiled function can be kept for this leaf: an array, or an object that is found again."""
    return not isinstance(leaf, jax.core.Tracer) and (eqx.is_array_like(leaf) or isinstance(leaf, Hashable))


def _unrolled(
    model: Model, h0: Array, inputs: Array | None, readout: Callable[[Any], Any] | None, horizon: int, stacked: bool
) -> Array:
    # the adjoint of a cell that JAX differentiates turns its weights around at every step: dear unless states are many
    last = affine_of(model) is not None or h0.shape[0] > h0.shape[1]
    axis, start = (-1, h0.T) if last else (0, h0)
    along = None if inputs is None else jnp.moveaxis(inputs, 0, 2 if last else 1)
    read = jax.vmap(readout, axis, axis) if readout is not None else (lambda h: h)
    made = columns if last else _rows
    if stacked:
        layers, rest = eqx.partition(model, eqx.is_inexact_array)
        found = rollout(lambda h, at: made(eqx.combine(at[0], rest))(h, at[1]), start, horizon, (layers, along), read)
    else:
        found = rollout(made(model), start, horizon, along, read)
    return jnp.moveaxis(found, -1 if last else 1, 0)


_compiled = eqx.filter_jit(_unrolled)


def _rows(model: Model) -> Callable[..., Array]:
    return lambda h, x=None: jax.vmap(model)(h) if x is None else jax.vmap(model)(h, x)
