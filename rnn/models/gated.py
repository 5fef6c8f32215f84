"""Gated cells: GRU and LSTM."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from rnn.models.affine import fed

__all__ = ["GRU", "LSTM"]


class GRU(eqx.Module):
    """The gated recurrent unit, in PyTorch's convention.

    ``r = σ(W_r h + U_r x + b_r)``, ``z = σ(W_z h + U_z x + b_z)``, ``n = tanh(U_n x + d + r ∘ (W_n h + b_n))``,
    ``h' = (1 − z) ∘ n + z ∘ h``.

    Args:
        weight: W_r, W_z, W_n stacked, shape (3·state, state).
        bias: b_r, b_z, b_n stacked, shape (3·state,).
        drive: d, the input's bias in the new state, shape (state,).
        input_weight: U_r, U_z, U_n stacked, shape (3·state, inputs); ``None`` for a network that takes no input.

    Raises:
        ValueError: shapes that do not fit.

    Source: Cho et al. (2014), arXiv:1406.1078; the reset gate acts after the product, as in cuDNN.
    """

    weight: Float[Array, "gates state"]
    bias: Float[Array, " gates"]
    drive: Float[Array, " state"]
    input_weight: Float[Array, "gates inputs"] | None = None

    def __check_init__(self) -> None:
        _check_gates(self.weight, self.bias, self.input_weight, 3)
        if jnp.shape(self.drive) != (jnp.shape(self.weight)[1],):
            raise ValueError(f"drive must have shape ({jnp.shape(self.weight)[1]},), got {jnp.shape(self.drive)}")

    def __call__(self, h: Float[Array, " state"], x: Float[Array, " inputs"] | None = None) -> Float[Array, " state"]:
        reset, update, new = jnp.split(self.weight @ h + self.bias, 3)
        drive = self.drive
        if x is not None:
            to_reset, to_update, to_new = jnp.split(fed(self.input_weight, x), 3)
            reset, update, drive = reset + to_reset, update + to_update, drive + to_new
        gate = jax.nn.sigmoid(update)
        return (1 - gate) * jnp.tanh(drive + jax.nn.sigmoid(reset) * new) + gate * h

    def jacobian(
        self, h: Float[Array, " state"], x: Float[Array, " inputs"] | None = None
    ) -> Float[Array, "state state"]:
        """``∂h'/∂h`` in n² operations, not ``jacfwd``'s n³."""
        inner = self.weight @ h + self.bias
        total = inner if x is None else inner + fed(self.input_weight, x)
        w_r, w_z, w_n = jnp.split(self.weight, 3)
        r, z = (jax.nn.sigmoid(part) for part in jnp.split(total, 3)[:2])
        inside, outside = jnp.split(inner, 3)[2], jnp.split(total - inner, 3)[2]
        n = jnp.tanh(self.drive + outside + r * inside)
        new = (inside * r * (1 - r))[:, None] * w_r + r[:, None] * w_n
        return ((h - n) * z * (1 - z))[:, None] * w_z + ((1 - z) * (1 - n**2))[:, None] * new + jnp.diag(z)


class LSTM(eqx.Module):
    """The long short-term memory; its state is ``(h, c)`` in one vector of length 2·hidden.

    ``(i, f, g, o) = W h + U x + b``, ``c' = σ(f) ∘ c + σ(i) ∘ tanh(g)``, ``h' = σ(o) ∘ tanh(c')``.

    Args:
        weight: W_i, W_f, W_g, W_o stacked, shape (4·hidden, hidden).
        bias: shape (4·hidden,).
        input_weight: U_i, U_f, U_g, U_o stacked, shape (4·hidden, inputs); ``None`` for a network that takes no input.

    Raises:
        ValueError: shapes that do not fit.

    Source: Hochreiter & Schmidhuber (1997) with forget gates; gates in PyTorch's order.
    """

    weight: Float[Array, "gates hidden"]
    bias: Float[Array, " gates"]
    input_weight: Float[Array, "gates inputs"] | None = None

    def __check_init__(self) -> None:
        _check_gates(self.weight, self.bias, self.input_weight, 4)

    def __call__(
        self, state: Float[Array, " state"], x: Float[Array, " inputs"] | None = None
    ) -> Float[Array, " state"]:
        h, c = jnp.split(state, 2)
        total = self.weight @ h + self.bias
        i, f, g, o = jnp.split(total if x is None else total + fed(self.input_weight, x), 4)
        c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
        return jnp.concatenate([jax.nn.sigmoid(o) * jnp.tanh(c), c])

    def jacobian(
        self, state: Float[Array, " state"], x: Float[Array, " inputs"] | None = None
    ) -> Float[Array, "state state"]:
        """``∂(h', c')/∂(h, c)`` in n² operations, not ``jacfwd``'s n³."""
        h, c = jnp.split(state, 2)
        total = self.weight @ h + self.bias
        total = total if x is None else total + fed(self.input_weight, x)
        w_i, w_f, w_g, w_o = jnp.split(self.weight, 4)
        i, f, g, o = jnp.split(total, 4)
        i, f, g, o = jax.nn.sigmoid(i), jax.nn.sigmoid(f), jnp.tanh(g), jax.nn.sigmoid(o)
        out = jnp.tanh(f * c + i * g)
        cell = (c * f * (1 - f))[:, None] * w_f + (g * i * (1 - i))[:, None] * w_i + (i * (1 - g**2))[:, None] * w_g
        slope = o * (1 - out**2)
        above = [(out * o * (1 - o))[:, None] * w_o + slope[:, None] * cell, jnp.diag(slope * f)]
        return jnp.block([above, [cell, jnp.diag(f)]])


def _check_gates(weight: Any, bias: Any, input_weight: Any, gates: int) -> None:
    shape = jnp.shape(weight)
    if len(shape) != 2 or shape[0] != gates * shape[1]:
        raise ValueError(f"weight must have shape ({gates}·state, state), got {shape}")
    if jnp.shape(bias) != shape[:1]:
        raise ValueError(f"bias must have shape {shape[:1]} like weight's rows, got {jnp.shape(bias)}")
    given = jnp.shape(input_weight) if input_weight is not None else (shape[0], 1)
    if len(given) != 2 or given[0] != shape[0] or not given[1]:
        raise ValueError(f"input_weight must have shape ({shape[0]}, inputs) like weight's rows, got {given}")
