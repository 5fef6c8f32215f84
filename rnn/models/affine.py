"""Cells that are affine in their parameters but for one elementwise nonlinearity."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from rnn.models.activations import Activation

__all__ = ["Affine", "affine_jacobian", "affine_lipschitz", "affine_step", "affine_total", "check_affine", "fed"]


class Affine(NamedTuple):
    """The parts of ``h' = (1 − α) h + α F``: ``F = W φ(h) + U x + b``, or ``F = φ(W h + U x + b)`` if ``outer``.

    A part is ``None`` where the cell has none, or where it is not selected.

    Attributes:
        weight: W, (state, state).
        bias: b, (state,).
        input_weight: U, (state, inputs).
        activation: φ.
        outer: whether φ acts after the weights.
        leak: α in (0, 1].
    """

    weight: Any
    bias: Any
    input_weight: Any
    activation: Activation
    outer: bool
    leak: float = 1.0


def affine_step(
    cell: Affine,
    h: Array,
    x: Array | None,
    product: Callable[[Any, Any], Any] = jnp.matmul,
) -> Array:
    """One step of a state, or of many as columns; without x there is no input.

    Args:
        cell: its parts.
        h: shape (state,) or (state, batch).
        x: shape (inputs,) or (inputs, batch).
        product: how W multiplies states.
    """
    total = affine_total(cell, h, x, product)
    total = cell.activation.value(total) if cell.outer else total
    return total if cell.leak == 1 else (1 - cell.leak) * h + cell.leak * total


def affine_total(
    cell: Affine,
    h: Array,
    x: Array | None,
    product: Callable[[Any, Any], Any] = jnp.matmul,
) -> Array:
    """``W φ(h) + U x + b``, or ``W h + U x + b`` where φ acts after the weights; arguments of :func:`affine_step`."""
    total = product(cell.weight, h if cell.outer else cell.activation.value(h))
    if x is not None:
        total = total + fed(cell.input_weight, x)
    if cell.bias is None:
        return total
    return total + (cell.bias if h.ndim == 1 else cell.bias[:, None])


def fed(input_weight: Any, x: Array) -> Array:
    """``U x``.

    Raises:
        ValueError: the cell takes no input, or another number of them.
    """
    if input_weight is None:
        raise ValueError(f"the cell has no input_weight and takes no input, but was given one of shape {jnp.shape(x)}")
    if jnp.shape(x)[:1] != jnp.shape(input_weight)[1:]:
        raise ValueError(
            f"an input must have shape {jnp.shape(input_weight)[1:]} like input_weight, got {jnp.shape(x)[:1]}"
        )
    return input_weight @ x


def affine_jacobian(
    cell: Affine, h: Float[Array, " state"], x: Float[Array, " inputs"] | None
) -> Float[Array, "state state"]:
    """``∂h'/∂h``: ``(1−α) I + α W diag φ'(h)``, or ``(1−α) I + α diag(φ') W``; n² operations, not ``jacfwd``'s n³."""
    if cell.outer:
        whole = affine_step(cell._replace(leak=1.0), h, x)
        slope = cell.activation.slope(whole)[:, None] * cell.weight
    else:
        slope = cell.weight * cell.activation.slope(cell.activation.value(h))
    if cell.leak == 1:
        return slope
    return cell.leak * slope + (1 - cell.leak) * jnp.eye(h.shape[0], dtype=slope.dtype)


def affine_lipschitz(cell: Affine) -> float:
    """A Lipschitz constant of the Jacobian: ``α sup|φ''| ‖W‖``, or with ``‖W‖²`` where φ acts after the weights."""
    norm = float(np.linalg.norm(np.asarray(cell.weight), 2))
    return cell.leak * cell.activation.bend * (norm**2 if cell.outer else norm)


def check_affine(weight: Any, bias: Any, input_weight: Any, leak: float = 1.0) -> None:
    """The shapes of an affine cell fit.

    Raises:
        ValueError: ``weight`` is not square, ``bias`` or ``input_weight`` does not fit it, or ``leak`` is out of range.
    """
    shape = jnp.shape(weight)
    if len(shape) != 2 or shape[0] != shape[1]:
        raise ValueError(f"weight must be square, got shape {shape}")
    if bias is not None and jnp.shape(bias) != shape[:1]:
        raise ValueError(f"bias must have shape {shape[:1]} like weight, got {jnp.shape(bias)}")
    given = jnp.shape(input_weight) if input_weight is not None else (shape[0], 1)
    if len(given) != 2 or given[0] != shape[0] or not given[1]:
        raise ValueError(f"input_weight must have shape ({shape[0]}, inputs) like weight's rows, got {given}")
    if not 0 < leak <= 1:
        raise ValueError(f"leak must lie in (0, 1], got {leak!r}")
