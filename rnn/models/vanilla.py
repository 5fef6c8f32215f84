"""The vanilla recurrent network, in either convention."""

from __future__ import annotations

from typing import Literal

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

__all__ = ["Form", "VanillaRNN"]


Form = Literal["W@tanh(h)+b", "tanh(W@h+b)"]


_FORMS = ("W@tanh(h)+b", "tanh(W@h+b)")


class VanillaRNN(eqx.Module):
    """The vanilla recurrent network, in either convention.

    ``h' = W tanh(h) + b`` (``form="W@tanh(h)+b"``) or ``h' = tanh(W h + b)`` (``form="tanh(W@h+b)"``).
    The two are conjugate: ``tanh`` of a state of the first is a state of the second.

    Args:
        weight: recurrent weights W, shape (state, state).
        bias: b, shape (state,); ``None`` for a network without bias, which is odd.
        form: which convention.

    Raises:
        ValueError: ``weight`` is not square, ``bias`` does not fit it, or ``form`` is unknown.
    """

    weight: Float[Array, "state state"]
    bias: Float[Array, " state"] | None = None
    form: Form = eqx.field(static=True, default="W@tanh(h)+b")

    def __check_init__(self) -> None:
        shape = jnp.shape(self.weight)
        if len(shape) != 2 or shape[0] != shape[1]:
            raise ValueError(f"weight must be square, got shape {shape}")
        if self.bias is not None and jnp.shape(self.bias) != shape[:1]:
            raise ValueError(f"bias must have shape {shape[:1]} like weight, got {jnp.shape(self.bias)}")
        if self.form not in _FORMS:
            raise ValueError(f"form must be one of {_FORMS}, got {self.form!r}")

    def __call__(self, h: Float[Array, " state"]) -> Float[Array, " state"]:
        drive = jnp.tanh(h) if self.form == "W@tanh(h)+b" else h
        drive = self.weight @ drive
        if self.bias is not None:
            drive = drive + self.bias
        return drive if self.form == "W@tanh(h)+b" else jnp.tanh(drive)

    def jacobian(self, h: Float[Array, " state"]) -> Float[Array, "state state"]:
        """``∂h'/∂h``: ``W diag(1 − tanh² h)`` or ``diag(1 − h'²) W``, n² operations where ``jax.jacfwd`` takes n³."""
        if self.form == "W@tanh(h)+b":
            return self.weight * (1 - jnp.tanh(h) ** 2)
        return (1 - self(h) ** 2)[:, None] * self.weight

    def with_bias(self) -> VanillaRNN:
        """The same map with a bias, zero where there was none."""
        if self.bias is not None:
            return self
        return VanillaRNN(self.weight, jnp.zeros(self.weight.shape[0], self.weight.dtype), self.form)
