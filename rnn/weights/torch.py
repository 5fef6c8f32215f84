"""PyTorch's names, modules and cells alike, and Equinox's, whose cells follow PyTorch's convention.

``weight_hh_l0``, ``weight_ih_l0``, ``bias_hh_l0``, ``bias_ih_l0`` of ``nn.RNN``, ``nn.GRU`` and ``nn.LSTM``, with
``weight_hr_l0`` of a projection; without ``_l0`` of their cells; ``weight_hh``, ``weight_ih``, ``bias``, ``bias_n`` of
Equinox.
"""

from __future__ import annotations

import re

import numpy as np

from rnn.weights.layer import Layer, gated, kind_of
from rnn.weights.names import Scope
from rnn.weights.plain import leak_of

__all__ = ["read"]

_HIDDEN = re.compile(r"weight_hh(?:_l(\d+)(_reverse)?)?")


def read(scope: Scope) -> list[Layer]:
    """The layers in a scope, the lowest first.

    Raises:
        ValueError: they run in both directions, or arrays do not fit each other.
    """
    found = {rest: match for rest in scope.arrays if (match := _HIDDEN.fullmatch(rest))}
    if any(match[2] for match in found.values()):
        raise ValueError(
            f"{scope.name} runs in both directions (weight_hh_l0_reverse): its future is no function of a state; "
            "analyse one direction, saved under its names without _reverse"
        )
    ordered = sorted(found.values(), key=lambda match: int(match[1] or 0))
    return [_layer(scope, "" if match[1] is None else f"_l{match[1]}") for match in ordered]


def _layer(scope: Scope, end: str) -> Layer:
    names = [f"weight_hh{end}", f"weight_ih{end}", f"bias_hh{end}", f"bias_ih{end}", f"weight_hr{end}"]
    W, U, inner, outer, projection = (scope.get(name) for name in names)
    used = scope.take(*names)
    name = scope.name + (f" layer {end[2:]}" if end else "")
    assert W is not None  # its name was found
    kind = kind_of(name, W.shape, projection is not None)
    if inner is None and outer is None and "bias" in scope.arrays and not end:  # Equinox
        outer, new = scope.arrays["bias"], scope.get("bias_n")
        used += scope.take("bias", "bias_n")
        if new is not None and kind == "gru":
            n = len(new)
            inner = np.concatenate([np.zeros(2 * n, new.dtype), new])
    leak, source = leak_of(scope) if kind == "rnn" else (None, ())
    used += scope.take(*source)
    return gated(kind, name, W, outer, inner, input_weight=U, projection=projection, leak=leak, used=used)
