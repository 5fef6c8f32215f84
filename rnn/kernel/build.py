"""An operand from a model, a batch and how its products are to be computed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from rnn.kernel.checks import check_count, check_step, count_held, count_outputs
from rnn.kernel.devices import batch_mesh, replicate
from rnn.kernel.operand import Operand, Packed
from rnn.kernel.products import check_finite, states
from rnn.models import Model, check_inputs, count_steps, partition

__all__ = ["build"]

_Kind = TypeVar("_Kind", bound=Operand)


def build(
    kind: type[_Kind],
    model: Model,
    h0: Float[Array, "batch state"],
    horizon: int | None = None,
    *,
    inputs: Any = None,
    wrt: Any = None,
    readout: Any = None,
    chunk: int | None = None,
    remat: bool | int = False,
    devices: Sequence[Any] | None = None,
    stacked: bool = False,
) -> _Kind:
    """An operand of the given kind; the other arguments and the errors are those of :func:`rnn.kernel.sntk.sntk`."""
    if jnp.ndim(h0) != 2 or 0 in jnp.shape(h0):
        raise ValueError(f"h0 must have shape (batch, state) with at least one of each, got {jnp.shape(h0)}")
    horizon = None if horizon is None else check_count("horizon", horizon)
    chunk = None if chunk is None else check_count("chunk", chunk)
    h0, model, readout = jax.tree.map(_on_device, (h0, model, readout))
    horizon = count_steps(model, horizon) if stacked else horizon
    inputs, horizon = check_inputs(inputs, horizon, h0.shape[0], h0.dtype)
    held = count_held(remat, horizon)
    if stacked and held:
        raise ValueError("remat does not go with stacked parameters: leave it out, and lower chunk for memory")
    selected, rest = partition(model, wrt)
    first = (lambda leaf: leaf[0] if eqx.is_inexact_array(leaf) else leaf) if stacked else (lambda leaf: leaf)
    check_step(jax.tree.map(first, model), selected, h0, inputs)
    outputs = count_outputs(readout, h0)
    mesh = None if devices is None else batch_mesh(devices)
    if mesh is not None:
        selected, rest, readout, h0, inputs = replicate((selected, rest, readout, h0, inputs), mesh)
    whole = mesh is None and not held and (chunk is None or chunk >= h0.shape[0])
    kernel = kind(
        selected,
        h0,
        Packed.of(rest),
        Packed.of(readout),
        states(Packed.of(model), h0, horizon, inputs, stacked) if whole else None,
        inputs,
        horizon,
        outputs,
        None if whole else chunk,
        held,
        mesh,
        stacked,
    )
    check_finite(kernel)
    return kernel


def _on_device(leaf: Any) -> Any:
    return jnp.asarray(leaf) if isinstance(leaf, np.ndarray) else leaf
