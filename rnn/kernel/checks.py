"""What the state-space NTK accepts: faults of its arguments, named with a remedy."""

from __future__ import annotations

import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from rnn.kernel.operand import Operand, observe
from rnn.models import Model

__all__ = [
    "check_count",
    "check_step",
    "cotangents",
    "count_held",
    "count_outputs",
    "directions",
]

_HELD = 50  # √T of them bring T = 10,000, one vector, to about 1.5 times the time with all states stored


def check_count(name: str, value: int, least: int = 1) -> int:
    """``value`` if it is an integer of at least ``least``.

    Raises:
        ValueError: it is not.
    """
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
        wanted = "a positive integer" if least == 1 else f"an integer of at least {least}"
        raise ValueError(f"{name} must be {wanted}, got {value!r}")
    return int(value)


def count_held(remat: bool | int, horizon: int) -> int:
    """How many states and tangents of each trajectory a rematerialised product may hold; 0 if none is.

    Raises:
        ValueError: ``remat`` is neither a truth value nor a positive integer.
    """
    if not isinstance(remat, bool):
        return check_count("remat", remat)
    return max(1, min(_HELD * math.isqrt(horizon), horizon // 2)) if remat else 0


def check_step(
    model: Model, selected: Any, h0: Float[Array, "batch state"], inputs: Float[Array, "batch horizon inputs"] | None
) -> None:
    """One step maps a state, with an input where there are inputs, to a state of the same kind.

    Raises:
        ValueError: it does not, or the dtypes of states and selected parameters differ.
    """
    dtypes = {leaf.dtype for leaf in jax.tree.leaves(selected)}
    if dtypes != {h0.dtype} or not jnp.issubdtype(h0.dtype, jnp.floating):
        raise ValueError(
            f"h0 and the selected parameters must share one real floating dtype, got {h0.dtype} and "
            f"{sorted(map(str, dtypes))}; cast one of them"
        )
    same = "the same" if inputs is None else f"the same, given an input {inputs.shape[2:]} too"
    step = model if inputs is None else lambda h: model(h, inputs[0, 0])
    _check_image("model", f"a state {h0.shape[1:]} {h0.dtype} to {same}", step, h0, h0.shape[1:])


def count_outputs(readout: Any, h0: Float[Array, "batch state"]) -> int:
    """How many numbers ``readout`` sees of one state.

    Raises:
        ValueError: it maps no state to a vector.
    """
    if readout is None:
        return h0.shape[1]
    if eqx.is_array(readout) and (readout.ndim != 2 or readout.shape[1] != h0.shape[1] or not readout.shape[0]):
        raise ValueError(f"readout must have shape (outputs ≥ 1, {h0.shape[1]}), got {readout.shape}")
    wanted = f"one state to a vector of dtype {h0.dtype}"
    return _check_image("readout", wanted, lambda h: observe(readout, h), h0, None).shape[0]


def directions(kernel: Operand, dtheta: Any) -> tuple[Float[Array, "*k m"], bool]:
    """Parameter directions as flat vectors, (m,) or (k, m), and whether they were flat.

    Raises:
        ValueError: they do not fit the selected parameters.
    """
    m, flat = kernel.shape[1], isinstance(dtheta, (jax.Array, np.ndarray))
    if flat:
        vectors = dtheta if isinstance(dtheta, jax.Array) else jnp.asarray(dtheta)
    else:
        _check_tree(kernel, dtheta)
        vectors = kernel.flatten(dtheta)
    if vectors.ndim not in (1, 2) or vectors.shape[-1] != m or not vectors.size:
        raise ValueError(
            f"dtheta must have shape ({m},) or (k ≥ 1, {m}) to fit the selected parameters, got {vectors.shape}"
        )
    _check_dtype(kernel, "dtheta", vectors)
    return vectors, flat


def cotangents(kernel: Operand, y: Any) -> tuple[Float[Array, "k batch horizon outputs"], bool]:
    """Trajectory-shaped vectors as a block, and whether they were a single one.

    Raises:
        ValueError: they do not fit the trajectories.
    """
    y = jnp.asarray(y)
    expected = (kernel.h0.shape[0], kernel.horizon, kernel.outputs)
    if y.ndim not in (3, 4) or y.shape[-3:] != expected or not y.size:
        raise ValueError(f"y must have shape {expected}, or (k ≥ 1, *{expected}) for a block, got {y.shape}")
    _check_dtype(kernel, "y", y)
    return (y[None], True) if y.ndim == 3 else (y, False)


def _check_image(name: str, wanted: str, function: Any, h0: Array, shape: tuple[int, ...] | None) -> Any:
    try:
        after = eqx.filter_eval_shape(function, h0[0])
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} must map {wanted}, but fails on it: {error}") from error
    fits = len(getattr(after, "shape", ())) == 1 and after.shape[0] > 0 and shape in (None, after.shape)
    if not fits or after.dtype != h0.dtype:
        raise ValueError(f"{name} must map {wanted}, got {after}")
    return after


def _check_tree(kernel: Operand, dtheta: Any) -> None:
    leaves, structure = jax.tree.flatten(dtheta)
    parameters, expected = jax.tree.flatten(kernel.parameters)
    if structure != expected:
        raise ValueError(f"dtheta must be a pytree like the selected parameters {expected}, got {structure}")
    lead = {x.shape[: x.ndim - p.ndim] for x, p in zip(leaves, parameters, strict=True)}
    fit = all(x.shape[x.ndim - p.ndim :] == p.shape for x, p in zip(leaves, parameters, strict=True))
    if not fit or len(lead) != 1:
        raise ValueError(
            f"dtheta must have leaves of shapes {[p.shape for p in parameters]}, with one leading axis for a "
            f"block, got {[x.shape for x in leaves]}"
        )


def _check_dtype(kernel: Operand, name: str, x: Array) -> None:
    if x.dtype != kernel.dtype:
        raise ValueError(f"{name} must have dtype {kernel.dtype} like the states, got {x.dtype}; cast it")
