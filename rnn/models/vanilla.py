"""The vanilla recurrent network, in either convention."""

from __future__ import annotations

from typing import Literal

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from rnn.models.activations import ACTIVATIONS
from rnn.models.affine import Affine, affine_jacobian, affine_lipschitz, affine_step, check_affine

__all__ = ["Form", "VanillaRNN"]


Form = Literal["W@tanh(h)+b", "tanh(W@h+b)"]


_FORMS = ("W@tanh(h)+b", "tanh(W@h+b)")


class VanillaRNN(eqx.Module):
    """The vanilla recurrent network, in either convention.

    ``h' = W tanh(h) + U x + b`` (``form="W@tanh(h)+b"``) or ``h' = tanh(W h + U x + b)`` (``form="tanh(W@h+b)"``).
    The two are conjugate without input: ``tanh`` of a state of the first is a state of the second.

    Args:
        weight: recurrent weights W, shape (state, state).
        bias: b, shape (state,); ``None`` for a network without bias, which is odd.
        form: which convention.
        input_weight: U, shape (state, inputs); ``None`` for a network that takes no input.

    Raises:
        ValueError: ``weight`` is not square, ``bias`` or ``input_weight`` does not fit it, or ``form`` is unknown.
    """

    weight: Float[Array, "state state"]
    bias: Float[Array, " state"] | None = None
    form: Form = eqx.field(static=True, default="W@tanh(h)+b")
    input_weight: Float[Array, "state inputs"] | None = None

    def __check_init__(self) -> None:
        check_affine(self.weight, self.bias, self.input_weight)
        if self.form not in _FORMS:
            raise ValueError(f"form must be one of {_FORMS}, got {self.form!r}")

    def __call__(self, h: Float[Array, " state"], x: Float[Array, " inputs"] | None = None) -> Float[Array, " state"]:
        return affine_step(self.affine(), h, x)

    def affine(self) -> Affine:
        """W, b, U and where tanh acts."""
        outer = self.form == "tanh(W@h+b)"
        return Affine(self.weight, self.bias, self.input_weight, ACTIVATIONS["tanh"], outer)

    def jacobian(
        self, h: Float[Array, " state"], x: Float[Array, " inputs"] | None = None
    ) -> Float[Array, "state state"]:
        """``∂h'/∂h``: ``W diag(1 − tanh² h)`` or ``diag(1 − h'²) W``, n² operations where ``jax.jacfwd`` takes n³."""
        return affine_jacobian(self.affine(), h, x)

    def lipschitz(self) -> float:
        """A Lipschitz constant of the Jacobian."""
        return affine_lipschitz(self.affine())

    def with_bias(self) -> VanillaRNN:
        """The same map with a bias, zero where there was none."""
        if self.bias is not None:
            return self
        zeros = jnp.zeros(self.weight.shape[0], self.weight.dtype)
        return VanillaRNN(self.weight, zeros, self.form, self.input_weight)
