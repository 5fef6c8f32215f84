"""One recurrent layer as its arrays, in this package's order and orientation, before it becomes a model."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import jax.numpy as jnp
import numpy as np

from rnn.models import GRU, LSTM, MGU, LeakyRNN, ProjectedLSTM, ResetFirstGRU, VanillaRNN

__all__ = ["GATES", "Layer", "gated", "kind_of"]

GATES = {"rnn": 1, "gru": 3, "lstm": 4, "mgu": 2}
"""Kinds of layers, and how many blocks of rows their weights have."""


@dataclass(frozen=True)
class Layer:
    """A recurrent layer.

    Attributes:
        name: of the layer in the file, for messages.
        kind: one of :data:`GATES`.
        weight: recurrent weights, shape (gates·hidden, outputs), gates in PyTorch's order.
        bias: added to ``W h + U x``, shape (gates·hidden,); of a GRU's or an MGU's new state, inside the gate.
        drive: of a GRU or an MGU, the new state's bias outside the gate, shape (hidden,).
        input_weight: U, shape (gates·hidden, inputs).
        projection: of an LSTM, shape (outputs, hidden).
        reset: of a GRU, whether its reset gate acts ``"after"`` the product or ``"before"``.
        inside: of an RNN, whether φ acts on the state: ``W φ(h) + b`` in place of ``φ(W h + b)``.
        activation: of an RNN, φ by name; ``None`` where the file does not say.
        leak: α of an RNN; ``None`` where the file does not say and the layout has none.
        used: names of the arrays that it was made of.
        assumed: what the file does not say and was taken for granted.
    """

    name: str
    kind: str
    weight: np.ndarray
    bias: np.ndarray | None = None
    drive: np.ndarray | None = None
    input_weight: np.ndarray | None = None
    projection: np.ndarray | None = None
    reset: str = "after"
    inside: bool = False
    activation: str | None = None
    leak: float | None = None
    used: tuple[str, ...] = ()
    assumed: tuple[str, ...] = ()

    @property
    def hidden(self) -> int:
        """Number of units."""
        return self.weight.shape[0] // GATES[self.kind]

    @property
    def outputs(self) -> int:
        """Length of what the layer hands on."""
        return self.weight.shape[1]

    @property
    def size(self) -> int:
        """Length of its state."""
        return self.outputs + (self.hidden if self.kind == "lstm" else 0)

    @property
    def inputs(self) -> int:
        """Number of inputs; 0 where none are known."""
        return 0 if self.input_weight is None else self.input_weight.shape[1]

    def held(self, x: np.ndarray) -> Layer:
        """The layer at a constant input, which becomes a part of its biases.

        Raises:
            ValueError: it has no input weights, or takes another number of inputs.
        """
        if self.input_weight is None or x.shape != (self.inputs,):
            raise ValueError(f"x must have shape ({self.inputs},) like the inputs of {self.name}, got {x.shape}")
        drive = self.input_weight @ x.astype(self.input_weight.dtype)
        bias = np.zeros(len(self.weight), self.weight.dtype) if self.bias is None else self.bias.copy()
        inner = 0 if self.drive is None else self.hidden
        bias[: len(bias) - inner] += drive[: len(bias) - inner]
        new = None if self.drive is None else self.drive + drive[len(bias) - inner :]
        return replace(self, bias=bias, drive=new, input_weight=None)

    def model(self) -> Any:
        """The layer as a model of this package."""
        W, U = jnp.asarray(self.weight), None if self.input_weight is None else jnp.asarray(self.input_weight)
        b = None if self.bias is None else jnp.asarray(self.bias)
        if self.kind == "rnn":
            leak, phi = 1.0 if self.leak is None else self.leak, self.activation or "tanh"
            if leak == 1 and phi == "tanh":
                return VanillaRNN(W, b, "W@tanh(h)+b" if self.inside else "tanh(W@h+b)", U)
            return LeakyRNN(W, b, U, leak, "W@phi(h)+b" if self.inside else "phi(W@h+b)", phi)
        b = jnp.zeros(W.shape[0], W.dtype) if b is None else b
        if self.kind == "lstm":
            return LSTM(W, b, U) if self.projection is None else ProjectedLSTM(W, b, jnp.asarray(self.projection), U)
        if self.kind == "gru" and self.reset == "before":
            return ResetFirstGRU(W, b, U)
        drive = jnp.zeros(self.hidden, W.dtype) if self.drive is None else jnp.asarray(self.drive)
        return GRU(W, b, drive, U) if self.kind == "gru" else MGU(W, b, drive, U)

    def equation(self) -> str:
        """What one step computes."""
        W = "W h + U x + b" if self.input_weight is not None else "W h + b"
        if self.kind == "rnn":
            phi = self.activation or "tanh"
            inner = W.replace("W h", f"W {phi}(h)") if self.inside else f"{phi}({W})"
            return f"h' = {inner}" if self.leak in (None, 1) else f"h' = (1 − α) h + α {inner}, α = {self.leak:g}"
        names = {"gru": "GRU", "lstm": "LSTM", "mgu": "MGU"}
        more = " with projection" if self.projection is not None else ""
        return names[self.kind] + (" (reset before the product)" if self.reset == "before" else more)


def gated(
    kind: str, name: str, weight: np.ndarray, outer: np.ndarray | None, inner: np.ndarray | None, **more: Any
) -> Layer:
    """A layer whose bias comes in two parts, ``outer`` with the input and ``inner`` with the state.

    They are added, but for the new state of a GRU or an MGU, where the gate stands between them.

    Raises:
        ValueError: a bias or the input weights do not fit the recurrent weights.
    """
    rows = len(weight)
    for what, part in (("a bias", outer), ("a bias", inner)):
        if part is not None and part.shape != (rows,):
            raise ValueError(f"{name}: {what} of shape {part.shape} does not fit recurrent weights {weight.shape}")
    given = more.get("input_weight")
    if given is not None and given.shape[:1] != (rows,):
        raise ValueError(f"{name}: input weights {given.shape} do not fit recurrent weights {weight.shape}")
    if kind not in ("gru", "mgu"):
        parts = [part for part in (outer, inner) if part is not None]
        return Layer(name, kind, weight, sum(parts[1:], parts[0]) if parts else None, **more)
    zero = np.zeros(rows, weight.dtype)
    outer, inner = zero if outer is None else outer, zero if inner is None else inner
    n = rows // GATES[kind]
    bias = outer + inner
    bias[-n:] = inner[-n:]
    return Layer(name, kind, weight, bias, outer[-n:], **more)


def kind_of(name: str, shape: tuple[int, ...], projected: bool = False) -> str:
    """The kind of a layer by the shape of its recurrent weights, rows before columns.

    Raises:
        ValueError: they are of no known cell.
    """
    if len(shape) == 2 and shape[1]:
        if projected and shape[0] % 4 == 0:
            return "lstm"
        for kind in ("rnn", "gru", "lstm"):
            if shape[0] == GATES[kind] * shape[1]:
                return kind
    raise ValueError(f"{name}: recurrent weights of shape {shape} do not fit a known cell")
