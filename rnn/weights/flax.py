"""Flax' names, Linen's and NNX's; every kernel is for row vectors: ``h @ kernel``.

Linen has a layer per gate: ``i, h`` (SimpleCell), ``ir, iz, in, hr, hz, hn`` (GRUCell), ``if, in, hf, hn`` (MGUCell),
``ii, if, ig, io, hi, hf, hg, ho`` (LSTMCell, OptimizedLSTMCell); NNX has those of the LSTM with ``if_``, and
``dense_i, dense_h`` with the gates side by side elsewhere.
"""

from __future__ import annotations

import numpy as np

from rnn.weights.layer import Layer, gated, kind_of
from rnn.weights.names import Scope

__all__ = ["read"]

_GATES = {"gru": "rzn", "lstm": "ifgo", "mgu": "fn"}


def read(scope: Scope) -> list[Layer]:
    """The layer in a scope, if there is one.

    Raises:
        ValueError: arrays do not fit each other.
    """
    for kind, gates in _GATES.items():
        if all(f"h{gate}.kernel" in scope.arrays for gate in gates):
            return [_per_gate(scope, kind, gates)]
    for state, given in (("dense_h", "dense_i"), ("h", "i")):
        if f"{state}.kernel" in scope.arrays and f"{given}.kernel" in scope.arrays:
            return [_side_by_side(scope, state, given)]
    return []


def _per_gate(scope: Scope, kind: str, gates: str) -> Layer:
    used: list[str] = []

    def column(side: str, what: str) -> np.ndarray | None:
        """One kind of array of all gates; a bias that some gates lack is zero there."""
        parts, missing = [], False
        for gate in gates:
            names = [f"{side}{gate}.{what}", f"{side}{gate}_.{what}"]  # NNX has if_ for the keyword
            part = next((scope.arrays[name] for name in names if name in scope.arrays), None)
            used.extend(scope.take(*names))
            missing |= part is None
            parts.append(part)
        if all(part is None for part in parts):
            return None
        if missing and what == "kernel":
            raise ValueError(f"{scope.name}: of the gates {', '.join(gates)} some have no {side} kernel")
        size = next(part.shape[-1] for part in parts if part is not None)
        filled = [np.zeros(size, np.float32) if part is None else part for part in parts]
        return np.concatenate(filled, axis=-1)

    R, K = column("h", "kernel"), column("i", "kernel")
    assert R is not None  # all are there
    outer, inner = column("i", "bias"), column("h", "bias")
    U = None if K is None else K.T
    told = ("the gate acts inside the new state (reset_gate=True), which the file does not say",)
    more = {"assumed": told} if kind == "mgu" else {}
    W = np.ascontiguousarray(R.T)
    return gated(kind, scope.name, W, outer, inner, input_weight=U, used=tuple(used), **more)


def _side_by_side(scope: Scope, state: str, given: str) -> Layer:
    names = [f"{side}.{what}" for side in (state, given) for what in ("kernel", "bias")]
    R, inner, K, outer = (scope.get(name) for name in names)
    assert R is not None
    assert K is not None
    kind = kind_of(scope.name, R.shape[::-1])
    W = np.ascontiguousarray(R.T)
    return gated(kind, scope.name, W, outer, inner, input_weight=K.T, used=scope.take(*names))
