"""Keras' names: ``kernel``, ``recurrent_kernel``, ``bias``, all for row vectors: ``h @ recurrent_kernel``.

Source: the equations of ``keras.layers.SimpleRNN``, ``GRU`` (gates z, r, h) and ``LSTM`` (gates i, f, c, o).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from rnn.weights.layer import Layer, gated, kind_of
from rnn.weights.names import Scope

__all__ = ["read"]

_NAMES = ("recurrent_kernel", "kernel", "bias")


def read(scope: Scope) -> list[Layer]:
    """The layer in a scope, if there is one.

    Raises:
        ValueError: arrays do not fit each other.
    """
    R = scope.get("recurrent_kernel")
    if R is None:
        return []
    if any(part.startswith(("forward_", "backward_")) for part in scope.prefix):  # Bidirectional's names
        raise ValueError(f"{scope.name} is one direction of two: its future is no function of a state; save it alone")
    kind = kind_of(scope.name, R.shape[::-1])
    K, bias = scope.get("kernel"), scope.get("bias")
    order = [1, 0, 2] if kind == "gru" else list(range(R.shape[1] // R.shape[0]))

    def ours(array: np.ndarray | None) -> Any:
        """Gates along the last axis, in this package's order."""
        if array is None or array.shape[-1] != R.shape[1]:
            return array
        blocks = np.split(array, len(order), axis=-1)
        return np.concatenate([blocks[k] for k in order], axis=-1)

    more: dict[str, Any] = {"input_weight": None if K is None else ours(K).T, "used": scope.take(*_NAMES)}
    W = np.ascontiguousarray(ours(R).T)
    if kind == "gru" and bias is not None and bias.ndim == 2:  # reset_after=True: input's and state's
        return [gated(kind, scope.name, W, *(ours(row) for row in bias), **more)]
    if kind == "gru":
        # one bias row means reset_after=False; without bias the two conventions look alike
        told = () if bias is not None else ("reset_after=False, as the file has no bias that would tell",)
        return [Layer(scope.name, kind, W, ours(bias), reset="before", assumed=told, **more)]
    return [gated(kind, scope.name, W, ours(bias), None, **more)]
