"""Elementwise nonlinearities whose slope is a function of their value, as that of a monotone one is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

__all__ = ["ACTIVATIONS", "Activation", "activation"]


class Activation(NamedTuple):
    """``φ`` and ``φ'``, elementwise.

    Attributes:
        name: how it is called in a model.
        value: φ.
        slope: ``φ'`` as a function of the value: ``slope(φ(z)) = φ'(z)``. A sweep then stores φ alone.
        steepest: ``sup |φ'|``.
        bend: ``sup |φ''|``; NaN where the slope jumps.
    """

    name: str
    value: Callable[[Any], Any]
    slope: Callable[[Any], Any]
    steepest: float
    bend: float


ACTIVATIONS = {
    entry.name: entry
    for entry in (
        Activation("tanh", jnp.tanh, lambda y: 1 - y**2, 1.0, 4 / (3 * np.sqrt(3))),
        Activation("relu", jax.nn.relu, lambda y: (y > 0).astype(y.dtype), 1.0, float("nan")),
        Activation("sigmoid", jax.nn.sigmoid, lambda y: y * (1 - y), 0.25, 1 / (6 * np.sqrt(3))),
        Activation("softplus", jax.nn.softplus, lambda y: -jnp.expm1(-y), 1.0, 0.25),
        Activation("identity", lambda z: z, jnp.ones_like, 1.0, 0.0),
    )
}
"""Known nonlinearities by name."""


def activation(name: str) -> Activation:
    """The nonlinearity of that name.

    Raises:
        ValueError: there is none.
    """
    if name not in ACTIVATIONS:
        raise ValueError(f"activation must be one of {', '.join(ACTIVATIONS)}, got {name!r}")
    return ACTIVATIONS[name]
