"""Weights of PyTorch, Flax, Keras, Equinox and of hand-written networks, as models of this package."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from rnn.models import Model, Stack, state_size
from rnn.weights import flax, keras, plain, torch
from rnn.weights.files import Arrays, read
from rnn.weights.layer import Layer
from rnn.weights.names import Scope, scopes
from rnn.weights.own import restored

__all__ = ["CELLS", "AssumptionWarning", "LoadReport", "load", "load_report"]

CELLS = ("vanilla", "tanh(W@h+b)", "W@tanh(h)+b", "phi(W@h+b)", "W@phi(h)+b", "gru", "lstm", "mgu")
"""What ``cell=`` may be; ``"vanilla"`` is ``"phi(W@h+b)"``."""

_LAYOUTS = {
    "PyTorch or Equinox": torch.read,
    "Flax": flax.read,
    "Keras": keras.read,
    "common names": plain.read,
    "bare names": plain.read_bare,
}
_ACTIVATIONS = ("tanh", "relu", "sigmoid", "softplus", "identity")


class AssumptionWarning(UserWarning):
    """A file leaves something open that the model depends on; the message says what was taken for granted."""


@dataclass(frozen=True)
class LoadReport:
    """A model from a file, and how it was read.

    Attributes:
        path: the file.
        model: the model.
        layout: whose names and conventions the file has.
        equation: what one step computes, the layers from below.
        size: length of the state.
        inputs: number of inputs that the model takes; 0 for none.
        assumed: what the file does not say and was taken for granted.
        unused: arrays that are no part of the model, by name, with the reason where there is one.
        converted: precisions that were widened.
    """

    path: str
    model: Any = field(repr=False)
    layout: str
    equation: tuple[str, ...]
    size: int
    inputs: int
    assumed: tuple[str, ...] = ()
    unused: Mapping[str, str] = field(default_factory=dict)
    converted: tuple[str, ...] = ()

    @property
    def lines(self) -> list[str]:
        """The report in a few lines, the assumption in one."""
        said = [f"{self.path}: {'; '.join(self.equation)} ({self.layout}), {self.size} state variables"]
        said += [f"assumed: {'; '.join(self.assumed)}"] if self.assumed else []
        unused = [f"{name} ({why})" if why else name for name, why in self.unused.items()]
        said += [f"not used: {', '.join(unused)}"] if unused else []
        return said + ([f"widened to float32: {', '.join(self.converted)}"] if self.converted else [])

    def facts(self) -> dict[str, Any]:
        """All but the model, ready for JSON."""
        return {
            "path": self.path,
            "layout": self.layout,
            "equation": list(self.equation),
            "state": self.size,
            "inputs": self.inputs,
            "assumed": list(self.assumed),
            "unused": dict(self.unused),
            "converted": list(self.converted),
        }


def load(
    path: str | Path,
    cell: str | None = None,
    *,
    activation: str | None = None,
    leak: float | None = None,
    layers: int | str | Sequence[int | str] | None = None,
    x: Any = None,
) -> Model:
    """The recurrent network whose weights a file holds, as a model ``h -> h'``, or ``(h, x) -> h'`` with inputs.

    What the file does not say and no option does, such as whether a PyTorch ``nn.RNN`` is tanh or relu, is taken for
    granted with an :class:`AssumptionWarning`; :func:`load_report` returns it with the model instead.

    Args:
        path: a ``.safetensors`` or ``.npz`` file with the names of PyTorch, Flax, Keras, Equinox, of hand-written
            networks (``W_rec``, ``h2h.weight``, …), or of :func:`save`.
        cell: one of :data:`CELLS`, where the shapes of the weights leave it open or should be checked.
        activation: φ of an RNN: ``"tanh"``, ``"relu"``, ``"sigmoid"``, ``"softplus"`` or ``"identity"``.
        leak: α of ``h' = (1 − α) h + α …``, in (0, 1], dimensionless.
        layers: which of several layers, by number or name; several of them are stacked in that order. All layers of
            one PyTorch module unless given.
        x: a constant input, shape (inputs,); the model is then autonomous.

    Raises:
        ValueError: no such file, another format, no recurrent weights in it, weights that do not fit the options, or
            NaN among them.
    """
    found = load_report(path, cell, activation=activation, leak=leak, layers=layers, x=x)
    if found.assumed:
        told = "; ".join(found.assumed)
        warnings.warn(f"{found.path}: {found.equation[0]}, assumed: {told}", AssumptionWarning, stacklevel=2)
    return found.model


def load_report(
    path: str | Path,
    cell: str | None = None,
    *,
    activation: str | None = None,
    leak: float | None = None,
    layers: int | str | Sequence[int | str] | None = None,
    x: Any = None,
) -> LoadReport:
    """As :func:`load`, with how the file was read in place of a warning.

    Args:
        path, cell, activation, leak, layers, x: as there.

    Raises:
        ValueError: as there.
    """
    _check_options(cell, activation, leak)
    file = Path(path)
    arrays = read(file)
    whole = restored(arrays.meta, arrays.values)
    if whole is not None:
        return _own(
            file, arrays, whole, {"cell": cell, "activation": activation, "leak": leak, "layers": layers, "x": x}
        )
    layout, found = _layers(file, arrays)
    chosen = [_as_asked(layer, cell, activation, leak, file) for layer in _choose(file, found, layers)]
    used = {name for layer in chosen for name in layer.used}
    bad = [name for name in sorted(used) if not np.all(np.isfinite(arrays.values[name]))]
    if bad:
        raise ValueError(f"{file}: {bad[0]} contains NaN or infinity")
    if x is not None:
        given = np.asarray(x, float)
        if not np.all(np.isfinite(given)):
            raise ValueError(f"x must be finite, got {given}")
        chosen[0] = chosen[0].held(given)
    return LoadReport(
        str(path),
        _model(chosen),
        layout,
        tuple(layer.equation() for layer in chosen),
        sum(layer.size for layer in chosen),
        chosen[0].inputs,
        tuple(dict.fromkeys(told for layer in chosen for told in layer.assumed)),
        _unused(arrays, used),
        arrays.converted,
    )


def _check_options(cell: str | None, activation: str | None, leak: float | None) -> None:
    if cell is not None and cell not in CELLS:
        raise ValueError(f"cell must be one of {', '.join(CELLS)}, got {cell!r}")
    if activation is not None and activation not in _ACTIVATIONS:
        raise ValueError(f"activation must be one of {', '.join(_ACTIVATIONS)}, got {activation!r}")
    if leak is not None and not 0 < leak <= 1:
        raise ValueError(f"leak must lie in (0, 1], got {leak!r}")


def _own(file: Path, arrays: Arrays, whole: tuple[Any, tuple[str, ...]], options: dict[str, Any]) -> LoadReport:
    """A file of :func:`save`, which leaves nothing open."""
    model, used = whole
    extra = [name for name, value in options.items() if value is not None]
    if extra:
        raise ValueError(f"{file} says itself what it is, a {type(model).__name__}; leave {', '.join(extra)} off")
    bad = [name for name in used if not np.all(np.isfinite(arrays.values[name]))]
    if bad:
        raise ValueError(f"{file}: {bad[0]} contains NaN or infinity")
    size = sum(model.sizes) if isinstance(model, Stack) else state_size(model)
    first = model.cells[0] if isinstance(model, Stack) else model
    inputs = 0 if first.input_weight is None else first.input_weight.shape[1]
    unused = _unused(arrays, set(used))
    return LoadReport(str(file), model, "normalforms", (type(model).__name__,), size, inputs, (), unused, ())


def _layers(file: Path, arrays: Arrays) -> tuple[str, list[Layer]]:
    """The layers of the first layout that knows any."""
    groups: list[Scope] = scopes(arrays.values, 2)
    for layout, reader in _LAYOUTS.items():
        try:
            found = [layer for scope in groups for layer in reader(scope)]
        except ValueError as error:
            raise ValueError(f"{file}: {error}") from None
        if found:
            return layout, found
    held = [*arrays.values, *(f"{name} ({why})" for name, why in arrays.ignored.items())]
    raise ValueError(
        f"{file} holds no recurrent weights under a known name, such as weight_hh_l0, recurrent_kernel, h2h.weight or "
        f"W_rec; it has {', '.join(sorted(held)[:12]) or 'no array'}{', …' if len(held) > 12 else ''}"
    )


def _choose(file: Path, found: list[Layer], layers: Any) -> list[Layer]:
    """The layers asked for; those of one module unless any are."""
    names = [layer.name for layer in found]
    if layers is None:
        if len({name.partition(" layer ")[0] for name in names}) > 1:
            raise ValueError(
                f"{file} holds several recurrent layers, {', '.join(names)}, and does not say how they are connected: "
                "name one with layers=, or several in the order in which they feed each other"
            )
        return found
    wanted = [layers] if isinstance(layers, int | str) else list(layers)
    chosen = []
    for want in wanted:
        if isinstance(want, str) and want in names:
            chosen.append(found[names.index(want)])
        elif not isinstance(want, bool) and str(want).isdecimal() and int(want) < len(found):
            chosen.append(found[int(want)])
        else:
            raise ValueError(f"layers names {want!r}; {file} has {', '.join(f'{k}: {n}' for k, n in enumerate(names))}")
    if not chosen:
        raise ValueError("layers must name at least one layer")
    return chosen


def _as_asked(layer: Layer, cell: str | None, activation: str | None, leak: float | None, file: Path) -> Layer:
    """The layer with what the options say, and with what nobody says taken for granted."""
    kind = "rnn" if cell is not None and cell not in ("gru", "lstm", "mgu") else cell
    if kind is not None and kind != layer.kind:
        raise ValueError(f"{file}: recurrent weights of shape {layer.weight.shape} do not fit a {cell} cell")
    if layer.kind != "rnn":
        if activation is not None or leak is not None:
            raise ValueError(f"{file} holds a {layer.kind}; activation and leak belong to an RNN")
        return layer
    named = "tanh" if cell in ("tanh(W@h+b)", "W@tanh(h)+b") else None
    if named and activation not in (None, named):
        raise ValueError(f"cell {cell!r} has activation tanh, not {activation}")
    if leak is not None and layer.leak is not None and abs(leak - layer.leak) > 1e-6:
        raise ValueError(f"{file} has a leak of {layer.leak:g}, not {leak:g}; leave leak off")
    activation = activation or named
    told = list(layer.assumed)
    if activation is None:
        told.insert(0, "tanh, which the file does not say (activation= does)")
    if leak is not None:
        told = [text for text in told if text != "no leak"]
    if cell is not None and cell != "vanilla":
        told = [text for text in told if not text.startswith("φ acts")]
    inside = cell in ("W@tanh(h)+b", "W@phi(h)+b")
    given = layer.leak if leak is None else leak
    return replace(layer, activation=activation, leak=given, inside=inside, assumed=tuple(told))


def _model(layers: Sequence[Layer]) -> Any:
    if len(layers) == 1:
        return layers[0].model()
    for below, above in pairwise(layers):
        if above.inputs != below.outputs:
            raise ValueError(
                f"{above.name} takes {above.inputs} inputs, but {below.name} below it has {below.outputs} outputs"
            )
    outputs = tuple(layer.outputs for layer in layers)
    return Stack(tuple(layer.model() for layer in layers), tuple(layer.size for layer in layers), outputs)


def _unused(arrays: Arrays, used: set[str]) -> dict[str, str]:
    rest = {name: array for name, array in arrays.values.items() if name not in used}
    left = {name: "" if np.all(np.isfinite(array)) else "holds NaN or infinity" for name, array in rest.items()}
    return left | arrays.ignored
