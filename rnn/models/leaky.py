"""The leaky recurrent network: a rate model in discrete time, in either placement of its nonlinearity."""

from __future__ import annotations

from typing import Literal

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from rnn.models.activations import activation
from rnn.models.affine import Affine, affine_jacobian, affine_lipschitz, affine_step, check_affine

__all__ = ["LeakyForm", "LeakyRNN"]

LeakyForm = Literal["W@phi(h)+b", "phi(W@h+b)"]

_FORMS = ("W@phi(h)+b", "phi(W@h+b)")


class LeakyRNN(eqx.Module):
    """The leaky recurrent network, Euler's step ``α = dt/τ`` of a rate model.

    ``h' = (1 − α) h + α (W φ(h) + U x + b)`` (``form="W@phi(h)+b"``) or
    ``h' = (1 − α) h + α φ(W h + U x + b)`` (``form="phi(W@h+b)"``).

    Args:
        weight: recurrent weights W, shape (state, state).
        bias: b, shape (state,), or ``None``.
        input_weight: U, shape (state, inputs); ``None`` for a network that takes no input.
        leak: α in (0, 1], dimensionless; a constant and no parameter.
        form: where φ acts.
        activation: φ by name: ``"tanh"``, ``"relu"``, ``"sigmoid"``, ``"softplus"`` or ``"identity"``.

    Raises:
        ValueError: ``weight`` is not square, ``bias`` or ``input_weight`` does not fit it, ``leak`` is out of range, or
            ``form`` or ``activation`` is unknown.
    """

    weight: Float[Array, "state state"]
    bias: Float[Array, " state"] | None = None
    input_weight: Float[Array, "state inputs"] | None = None
    leak: float = eqx.field(static=True, default=1.0)
    form: LeakyForm = eqx.field(static=True, default="W@phi(h)+b")
    activation: str = eqx.field(static=True, default="tanh")

    def __check_init__(self) -> None:
        check_affine(self.weight, self.bias, self.input_weight, self.leak)
        activation(self.activation)
        if self.form not in _FORMS:
            raise ValueError(f"form must be one of {_FORMS}, got {self.form!r}")

    def __call__(self, h: Float[Array, " state"], x: Float[Array, " inputs"] | None = None) -> Float[Array, " state"]:
        return affine_step(self.affine(), h, x)

    def affine(self) -> Affine:
        """W, b, U, φ and where it acts, α."""
        outer = self.form == "phi(W@h+b)"
        return Affine(self.weight, self.bias, self.input_weight, activation(self.activation), outer, self.leak)

    def jacobian(
        self, h: Float[Array, " state"], x: Float[Array, " inputs"] | None = None
    ) -> Float[Array, "state state"]:
        """``∂h'/∂h`` in n² operations."""
        return affine_jacobian(self.affine(), h, x)

    def lipschitz(self) -> float:
        """A Lipschitz constant of the Jacobian; NaN for a φ whose slope jumps."""
        return affine_lipschitz(self.affine())

    def with_bias(self) -> LeakyRNN:
        """The same map with a bias, zero where there was none."""
        if self.bias is not None:
            return self
        zeros = jnp.zeros(self.weight.shape[0], self.weight.dtype)
        return eqx.tree_at(lambda m: m.bias, self, zeros, is_leaf=lambda leaf: leaf is None)
