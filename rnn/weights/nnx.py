"""Flax NNX modules as models, as they are."""

from __future__ import annotations

from typing import Any

import equinox as eqx
from jaxtyping import Array, Float

from rnn.models import Constant

__all__ = ["NNXModel", "from_nnx"]


class NNXModel(eqx.Module):
    """A Flax NNX module as a model; made by :func:`from_nnx`.

    Args:
        parameters: the values of its ``nnx.Param``.
        others: its other variables, which are no parameters.
        graph: what the module is besides.
    """

    parameters: Any
    others: Constant
    graph: Any = eqx.field(static=True)

    def module(self) -> Any:
        """The NNX module, with these parameters."""
        return _nnx().merge(self.graph, self.parameters, self.others.value)

    def __call__(self, h: Float[Array, " state"], x: Float[Array, " inputs"] | None = None) -> Float[Array, " state"]:
        found = self.module()(h) if x is None else self.module()(h, x)
        return found[0] if isinstance(found, tuple) else found  # a cell of Flax returns its output as well


def from_nnx(module: Any) -> NNXModel:
    """A Flax NNX module as a model, by ``nnx.split`` and ``nnx.merge``: any module, not only the cells of Flax.

    It is called as ``module(h)``, or ``module(h, x)`` where there are inputs, on one state vector, and returns the new
    state, or a tuple with the new state first, as ``nnx.GRUCell`` and ``nnx.SimpleCell`` do. An LSTM of Flax keeps two
    vectors: :func:`rnn.load` reads its file. Variables that a call changes are as they were at the next call.

    Args:
        module: an ``nnx.Module``.

    Raises:
        ModuleNotFoundError: Flax is not installed.
        ValueError: no NNX module.
    """
    nnx = _nnx()
    if not isinstance(module, nnx.Module):
        raise ValueError(f"module must be a flax.nnx.Module, got {type(module).__name__}")
    graph, parameters, others = nnx.split(module, nnx.Param, ...)
    return NNXModel(parameters, Constant(others), graph)


def _nnx() -> Any:
    try:
        from flax import nnx  # late, since Flax is optional
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(f"from_nnx needs Flax ({error}): pip install flax") from error
    return nnx
