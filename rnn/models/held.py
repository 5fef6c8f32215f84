"""Driven networks as autonomous maps: at a constant input, and over one period of a periodic one."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from rnn.models.hooks import jacobian_of, lipschitz_of
from rnn.models.model import Constant, Model

__all__ = ["Held", "Stroboscopic", "held", "stroboscopic"]


def _bare(part: Any) -> Any:
    return part.value if isinstance(part, Constant) else part


class Held(eqx.Module):
    """``h -> model(h, x)`` at a constant input x; made by :func:`held`.

    Args:
        model: the driven network; in a ``Constant`` where the input is the parameter.
        x: the input, in a ``Constant`` where the network's parameters are.
    """

    model: Any
    x: Any

    def __call__(self, h: Float[Array, " state"]) -> Float[Array, " state"]:
        return _bare(self.model)(h, _bare(self.x))

    def jacobian(self, h: Float[Array, " state"]) -> Float[Array, "state state"]:
        """``∂model(h, x)/∂h``."""
        return jacobian_of(_bare(self.model))(h, _bare(self.x))

    def lipschitz(self) -> float:
        """A Lipschitz constant of the Jacobian; NaN where the network knows none."""
        return lipschitz_of(_bare(self.model))


class Stroboscopic(eqx.Module):
    """One period of a periodic input as one step, ``h -> model(… model(h, x_1) …, x_P)``; see :func:`stroboscopic`.

    Args:
        model: the driven network.
        inputs: ``x_1 … x_P``, shape (period, inputs), in a ``Constant``.
    """

    model: Any
    inputs: Constant

    def __call__(self, h: Float[Array, " state"]) -> Float[Array, " state"]:
        return jax.lax.scan(lambda h, x: (self.model(h, x), None), h, self.inputs.value)[0]

    def jacobian(self, h: Float[Array, " state"]) -> Float[Array, "state state"]:
        """The product of the steps' Jacobians."""
        slope = jacobian_of(self.model)

        def advance(carry: tuple[Array, Array], x: Array) -> tuple[tuple[Array, Array], None]:
            h, product = carry
            return (self.model(h, x), slope(h, x) @ product), None

        start = (h, jnp.eye(h.shape[0], dtype=h.dtype))
        return jax.lax.scan(advance, start, self.inputs.value)[0][1]


def held(model: Model, x: Float[Array, " inputs"]) -> Held:
    """The autonomous model ``h -> model(h, x)`` at a constant input.

    Its parameters are the model's; the input is data. Everything that takes a model takes it: fixed points, events
    along training, normal forms.

    Args:
        model: a network with inputs.
        x: the input, shape (inputs,).

    Raises:
        ValueError: ``x`` is no vector of finite floating numbers.
    """
    return Held(model, Constant(_checked("x", x, 1)))


def stroboscopic(model: Model, inputs: Float[Array, "period inputs"], *, steps: int | None = None) -> Stroboscopic:
    """One period of a periodic input as one step; its fixed points are the orbits that the input locks.

    Args:
        model: a network with inputs.
        inputs: one period ``x_1 … x_P``, shape (period, inputs).
        steps: of how many steps the map is, a multiple of the period; the period unless given.

    Raises:
        ValueError: ``inputs`` are no finite floating numbers of that shape, or the period does not divide ``steps``.
    """
    x = _checked("inputs", inputs, 2)
    if steps is not None and (not isinstance(steps, int) or isinstance(steps, bool) or steps < 1 or steps % len(x)):
        raise ValueError(f"steps must be a positive multiple of the period {len(x)} of inputs {x.shape}, got {steps!r}")
    return Stroboscopic(model, Constant(jnp.tile(x, (1 if steps is None else steps // len(x), 1))))


def _checked(name: str, x: Any, axes: int) -> Array:
    wanted = "(inputs,)" if axes == 1 else "(period, inputs)"
    x = x if isinstance(x, (jax.Array, np.ndarray)) else jnp.asarray(x)
    if not jnp.issubdtype(jnp.result_type(x), jnp.floating):
        raise ValueError(f"{name} must be real floating numbers like the states, got {jnp.result_type(x)}")
    if jnp.ndim(x) != axes or 0 in jnp.shape(x):
        raise ValueError(f"{name} must have shape {wanted}, got {jnp.shape(x)}")
    x = jnp.asarray(x)
    if not isinstance(x, jax.core.Tracer) and not np.all(np.isfinite(x)):
        raise ValueError(f"{name} of shape {x.shape} contains NaN or infinity; clean it first")
    return x
