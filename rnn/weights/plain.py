"""Common names of hand-written networks, and this package's own ``weight, bias, input_weight, drive``.

Recurrent weights multiply a column vector, ``W h``; a leak ``α`` may stand beside them, or ``dt`` and ``tau``.
"""

from __future__ import annotations

import numpy as np

from rnn.weights.layer import Layer, gated, kind_of
from rnn.weights.names import Scope

__all__ = ["leak_of", "read", "read_bare"]

# recurrent weights, with the biases and input weights that go with them
_SETS = (
    (("h2h.weight",), ("h2h.bias",), ("input2h.weight", "i2h.weight", "x2h.weight", "in2h.weight")),
    (("weight_hh", "W_hh", "w_hh"), ("bias", "b", "b_h", "b_hh", "bias_hh"), ("W_ih", "W_xh", "w_ih", "w_xh")),
    (
        ("W_rec", "w_rec", "Wrec", "wrec", "weight_rec", "recurrent_weight", "recurrent.weight", "rec.weight", "J"),
        ("b_rec", "brec", "bias_rec", "recurrent_bias", "recurrent.bias", "rec.bias", "bias", "b"),
        ("W_in", "w_in", "Win", "win", "weight_in", "input_weight", "input.weight", "inp.weight", "B"),
    ),
    (("W",), ("b", "bias"), ("U", "W_in", "w_in", "Win", "B")),
)
_INPUT_BIAS = ("input2h.bias", "i2h.bias", "x2h.bias", "in2h.bias", "input.bias", "b_in", "bias_in")
_LEAK = ("alpha", "leak", "leak_rate", "leaky_rate")
_STEP, _TIME = ("dt", "delta_t"), ("tau",)


def read(scope: Scope) -> list[Layer]:
    """The layer in a scope, if there is one.

    Raises:
        ValueError: arrays do not fit each other, or the leak is none.
    """
    for weights, biases, inputs in _SETS:
        weight = next((name for name in weights if name in scope.arrays), None)
        if weight is not None:
            return [_layer(scope, weight, biases, inputs)]
    return []


def read_bare(scope: Scope) -> list[Layer]:
    """A layer called ``weight, bias`` and no more, as any linear layer is: looked for where nothing else is found.

    Raises:
        ValueError: arrays do not fit each other, or the leak is none.
    """
    W = scope.get("weight")
    if W is None or W.ndim != 2 or not W.shape[1] or W.shape[0] not in [gates * W.shape[1] for gates in (1, 3, 4)]:
        return []
    return [_layer(scope, "weight", ("bias",), ("input_weight",))]


def _layer(scope: Scope, weight: str, biases: tuple[str, ...], inputs: tuple[str, ...]) -> Layer:
    W = scope.arrays[weight]
    kind = kind_of(scope.name, W.shape)
    bias = next((name for name in biases if name in scope.arrays), None)
    given = next((name for name in inputs if name in scope.arrays), None)
    outer = next((name for name in _INPUT_BIAS if name in scope.arrays), None)
    drive = scope.get("drive") if weight == "weight" else None
    used = [weight, *(name for name in (bias, given, outer) if name is not None)]
    U = None if given is None else scope.arrays[given]
    b = None if bias is None else scope.arrays[bias]
    if kind == "gru" and drive is not None and drive.shape == (W.shape[1],):
        used.append("drive")
        parts = np.concatenate([np.zeros(2 * len(drive), drive.dtype), drive])
        return gated(kind, scope.name, W, parts, b, input_weight=U, used=scope.take(*used))
    if U is not None and U.ndim == 2 and U.shape[0] != W.shape[0] and U.shape[1] == W.shape[0]:
        U = U.T  # a row per input: only one orientation fits
    leak, source = leak_of(scope)
    more = {"leak": leak, "used": scope.take(*used, *source)}
    if kind == "rnn":
        told = [f"{weight} multiplies a column vector, W h"]
        told += ["no leak"] if leak is None else ["φ acts on the whole input, φ(W h + b)"]
        more["assumed"] = tuple(told)
    first = None if outer is None else scope.arrays[outer]
    return gated(kind, scope.name, W, first, b, input_weight=U, **more)


def leak_of(scope: Scope) -> tuple[float | None, tuple[str, ...]]:
    """α, written down as such or as ``dt/tau``, and the names of what says so.

    Raises:
        ValueError: it is not one number in (0, 1].
    """
    direct = next((name for name in _LEAK if name in scope.arrays), None)
    step = next((name for name in _STEP if name in scope.arrays), None)
    time = next((name for name in _TIME if name in scope.arrays), None)
    if direct is not None:
        value, names = _number(scope, direct), (direct,)
    elif step is not None and time is not None:
        value, names = _number(scope, step) / _number(scope, time), (step, time)
    else:
        return None, ()
    if not 0 < value <= 1:
        raise ValueError(f"{scope.name}: the leak {' / '.join(names)} is {value:g}, not in (0, 1]")
    return value, names


def _number(scope: Scope, name: str) -> float:
    values = np.unique(scope.arrays[name])
    if values.size != 1:
        raise ValueError(f"{scope.name}: {name} has {values.size} values; a leak must be one number for all units")
    # float32's 0.2 is meant as 0.2
    return float(f"{float(values[0]):.7g}") if scope.arrays[name].dtype == np.float32 else float(values[0])
