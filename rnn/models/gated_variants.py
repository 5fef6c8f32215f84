"""Gated cells beside the usual ones: reset before the product, one gate only, a projected output."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from rnn.models.affine import fed

__all__ = ["MGU", "ProjectedLSTM", "ResetFirstGRU"]


class ResetFirstGRU(eqx.Module):
    """The gated recurrent unit whose reset gate acts on the state, as Keras has it with ``reset_after=False``.

    ``r = σ(W_r h + U_r x + b_r)``, ``z = σ(W_z h + U_z x + b_z)``, ``n = tanh(W_n (r ∘ h) + U_n x + b_n)``,
    ``h' = (1 − z) ∘ n + z ∘ h``.

    Args:
        weight: W_r, W_z, W_n stacked, shape (3·state, state).
        bias: b_r, b_z, b_n stacked, shape (3·state,).
        input_weight: U_r, U_z, U_n stacked, shape (3·state, inputs); ``None`` for a network that takes no input.

    Raises:
        ValueError: shapes that do not fit.

    Source: Cho et al. (2014), arXiv:1406.1078, equations 5 to 8.
    """

    weight: Float[Array, "gates state"]
    bias: Float[Array, " gates"]
    input_weight: Float[Array, "gates inputs"] | None = None

    def __check_init__(self) -> None:
        _check(3, self.weight, self.bias, self.input_weight)

    def __call__(self, h: Float[Array, " state"], x: Float[Array, " inputs"] | None = None) -> Float[Array, " state"]:
        fixed = self.bias if x is None else self.bias + fed(self.input_weight, x)
        b_r, b_z, b_n = jnp.split(fixed, 3)
        w_r, w_z, w_n = jnp.split(self.weight, 3)
        reset, gate = jax.nn.sigmoid(w_r @ h + b_r), jax.nn.sigmoid(w_z @ h + b_z)
        return (1 - gate) * jnp.tanh(w_n @ (reset * h) + b_n) + gate * h


class MGU(eqx.Module):
    """The minimal gated unit: one gate f for forgetting and resetting.

    ``f = σ(W_f h + U_f x + b_f)``, ``n = tanh(U_n x + d + f ∘ (W_n h + b_n))`` (without ``f ∘`` where ``reset`` is
    false), ``h' = (1 − f) ∘ n + f ∘ h``.

    Args:
        weight: W_f, W_n stacked, shape (2·state, state).
        bias: b_f, b_n stacked, shape (2·state,).
        drive: d, the input's bias in the new state, shape (state,).
        input_weight: U_f, U_n stacked, shape (2·state, inputs); ``None`` for a network that takes no input.
        reset: whether f also acts inside the new state.

    Raises:
        ValueError: shapes that do not fit.

    Source: Zhou et al. (2016), arXiv:1603.09420, in Flax's convention.
    """

    weight: Float[Array, "gates state"]
    bias: Float[Array, " gates"]
    drive: Float[Array, " state"]
    input_weight: Float[Array, "gates inputs"] | None = None
    reset: bool = eqx.field(static=True, default=True)

    def __check_init__(self) -> None:
        _check(2, self.weight, self.bias, self.input_weight)

    def __call__(self, h: Float[Array, " state"], x: Float[Array, " inputs"] | None = None) -> Float[Array, " state"]:
        forget, new = jnp.split(self.weight @ h + self.bias, 2)
        drive = self.drive
        if x is not None:
            to_forget, to_new = jnp.split(fed(self.input_weight, x), 2)
            forget, drive = forget + to_forget, drive + to_new
        gate = jax.nn.sigmoid(forget)
        return (1 - gate) * jnp.tanh(drive + (gate * new if self.reset else new)) + gate * h


class ProjectedLSTM(eqx.Module):
    """The long short-term memory with a projected output; its state is ``(h, c)``, of lengths outputs and hidden.

    ``(i, f, g, o) = W h + U x + b``, ``c' = σ(f) ∘ c + σ(i) ∘ tanh(g)``, ``h' = P (σ(o) ∘ tanh(c'))``.

    Args:
        weight: W_i, W_f, W_g, W_o stacked, shape (4·hidden, outputs).
        bias: shape (4·hidden,).
        projection: P, shape (outputs, hidden).
        input_weight: U_i, U_f, U_g, U_o stacked, shape (4·hidden, inputs); ``None`` for a network that takes no input.

    Raises:
        ValueError: shapes that do not fit.

    Source: Sak, Senior & Beaufays (2014), arXiv:1402.1128; PyTorch's ``proj_size``.
    """

    weight: Float[Array, "gates outputs"]
    bias: Float[Array, " gates"]
    projection: Float[Array, "outputs hidden"]
    input_weight: Float[Array, "gates inputs"] | None = None

    def __check_init__(self) -> None:
        outputs, hidden = jnp.shape(self.projection)
        if jnp.shape(self.weight) != (4 * hidden, outputs) or jnp.shape(self.bias) != (4 * hidden,):
            shapes = jnp.shape(self.weight), jnp.shape(self.bias)
            raise ValueError(f"weight and bias must have shapes (4·hidden, outputs) and (4·hidden,), got {shapes}")

    def __call__(
        self, state: Float[Array, " state"], x: Float[Array, " inputs"] | None = None
    ) -> Float[Array, " state"]:
        h, c = jnp.split(state, [self.projection.shape[0]])
        total = self.weight @ h + self.bias
        i, f, g, o = jnp.split(total if x is None else total + fed(self.input_weight, x), 4)
        c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
        return jnp.concatenate([self.projection @ (jax.nn.sigmoid(o) * jnp.tanh(c)), c])


def _check(gates: int, weight: Any, bias: Any, input_weight: Any) -> None:
    shape = jnp.shape(weight)
    if len(shape) != 2 or shape[0] != gates * shape[1]:
        raise ValueError(f"weight must have shape ({gates}·state, state), got {shape}")
    if jnp.shape(bias) != shape[:1]:
        raise ValueError(f"bias must have shape {shape[:1]} like weight's rows, got {jnp.shape(bias)}")
    given = jnp.shape(input_weight) if input_weight is not None else (shape[0], 1)
    if len(given) != 2 or given[0] != shape[0]:
        raise ValueError(f"input_weight must have shape ({shape[0]}, inputs) like weight's rows, got {given}")
