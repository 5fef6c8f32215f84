"""How far outputs are from their targets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

__all__ = ["LOSSES", "Loss", "loss_named"]


@dataclass(frozen=True)
class Loss:
    """``Σ m_bt ℓ(y_bt, target_bt) / Σ m_bt``.

    Args:
        name: ``"mse"``, ``"cross_entropy"``, or that of the function.
        each: ℓ, of one output vector and one target to a number.
    """

    name: str
    each: Callable[[Any, Any], Any]

    def __call__(self, outputs: Float[Array, "batch horizon outputs"], targets: Array, mask: Any) -> Float[Array, ""]:
        """The weighted mean over trajectories and steps; of all alike where ``mask`` is ``None``."""
        if self.name == "mse" and mask is None:
            return jnp.mean((outputs - targets) ** 2)
        every = jax.vmap(jax.vmap(self.each))(outputs, targets)
        if mask is None:
            return jnp.mean(every)
        mask = mask.astype(every.dtype)
        return jnp.sum(mask * every) / jnp.sum(mask)


def _square(output: Array, target: Array) -> Array:
    return jnp.mean((output - target) ** 2)


def _cross_entropy(output: Array, target: Array) -> Array:
    logs = jax.nn.log_softmax(output)
    if jnp.issubdtype(target.dtype, jnp.integer):
        return -logs[target]
    return -jnp.sum(target * logs)


LOSSES = {"mse": Loss("mse", _square), "cross_entropy": Loss("cross_entropy", _cross_entropy)}
"""The losses known by name."""


def loss_named(loss: str | Loss | Callable[[Any, Any], Any]) -> Loss:
    """The loss of that name, or that a function ``ℓ(output, target)`` makes.

    Raises:
        ValueError: no loss has that name.
    """
    if isinstance(loss, Loss):
        return loss
    if callable(loss):
        return Loss(getattr(loss, "__name__", "function"), loss)
    if loss not in LOSSES:
        raise ValueError(f"loss must be one of {', '.join(LOSSES)} or a function of output and target, got {loss!r}")
    return LOSSES[loss]
