"""What a cell may offer beyond its step, so that nobody has to ask of which class it is.

Each hook is a method of the model; all are optional, and each function here says what is done without it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
from jaxtyping import Array, Float

from rnn.models.affine import Affine
from rnn.models.model import Model

__all__ = ["affine_of", "hook", "jacobian_of", "lipschitz_of", "with_bias"]


def hook(model: Model, name: str) -> Callable[..., Any] | None:
    """The method ``name`` of a model, or ``None`` where it has none that speaks of its own step.

    A subclass that replaces ``__call__`` is another map: hooks of the classes above it are not taken.
    """
    for kind in type(model).__mro__:
        if name in vars(kind):
            return getattr(model, name)
        if "__call__" in vars(kind):
            return None
    return None


def jacobian_of(model: Model) -> Callable[..., Float[Array, "state state"]]:
    """``h -> ∂model(h)/∂h``, shape (state, state): the model's ``jacobian`` where it has one, else by JAX."""
    return hook(model, "jacobian") or jax.jacfwd(model)


def affine_of(model: Model) -> Affine | None:
    """The parts of an affine cell with one nonlinearity, from its ``affine``; ``None`` for any other model."""
    found = hook(model, "affine")
    return None if found is None else found()


def lipschitz_of(model: Model) -> float:
    """A Lipschitz constant of the Jacobian ``∂model(h)/∂h``, from ``lipschitz``; NaN where none is known."""
    found = hook(model, "lipschitz")
    return float("nan") if found is None else float(found())


def with_bias(model: Model) -> Model:
    """The same map with every parameter of its cell: a vanilla network without bias gets a zero one.

    The state-space NTK of a cell counts its bias also where training holds it at zero.
    """
    found = hook(model, "with_bias")
    return model if found is None else found()
