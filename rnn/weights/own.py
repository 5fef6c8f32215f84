"""Models of this package as arrays and a note, and back: nothing is left to be assumed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from normalforms.report import write_whole
from rnn.models import GRU, LSTM, MGU, LeakyRNN, Model, ProjectedLSTM, ResetFirstGRU, Stack, VanillaRNN
from rnn.weights.files import write

__all__ = ["restored", "save"]

_CELLS = {cell.__name__: cell for cell in (VanillaRNN, LeakyRNN, GRU, ResetFirstGRU, MGU, LSTM, ProjectedLSTM)}


def save(model: Model, path: str | Path) -> None:
    """Write a model's weights, with what is needed to load them without any assumption.

    Args:
        model: one of this package's cells, or a :class:`Stack` of them.
        path: a ``.safetensors`` or ``.npz`` file; it is written whole or not at all.

    Raises:
        ValueError: another model, or another suffix.
        OSError: the file cannot be written.
    """
    values: dict[str, np.ndarray] = {}
    if isinstance(model, Stack):
        note: dict[str, Any] = {"cell": "Stack", "sizes": list(model.sizes), "outputs": list(model.outputs)}
        note["cells"] = [_note(cell, values, f"cells.{k}.") for k, cell in enumerate(model.cells)]
    else:
        note = _note(model, values, "")
    write_whole(Path(path), write(Path(path), values, note))


def _note(model: Any, values: dict[str, np.ndarray], prefix: str) -> dict[str, Any]:
    name = type(model).__name__
    if type(model) is not _CELLS.get(name):
        raise ValueError(f"model is a {name}; weights of {', '.join(_CELLS)} and of a Stack of them can be written")
    note: dict[str, Any] = {"cell": name}
    for field in fields(model):
        value = getattr(model, field.name)
        if field.metadata.get("static"):
            note[field.name] = value
        elif value is not None:
            values[prefix + field.name] = np.asarray(value)
    return note


def restored(note: Mapping[str, Any], values: Mapping[str, np.ndarray]) -> tuple[Any, tuple[str, ...]] | None:
    """The model that :func:`save` wrote, and the names of its arrays; ``None`` where the note is not of that kind.

    Raises:
        ValueError: arrays are missing or do not fit.
    """
    if note.get("cell") == "Stack":
        parts = [_cell(cell, values, f"cells.{k}.") for k, cell in enumerate(note["cells"])]
        model = Stack(tuple(cell for cell, _ in parts), tuple(note["sizes"]), tuple(note["outputs"]))
        return model, tuple(name for _, names in parts for name in names)
    return _cell(note, values, "") if note.get("cell") in _CELLS else None


def _cell(note: Mapping[str, Any], values: Mapping[str, np.ndarray], prefix: str) -> tuple[Any, tuple[str, ...]]:
    cell = _CELLS[note["cell"]]
    static = {name: value for name, value in note.items() if name != "cell"}
    names = [field.name for field in fields(cell) if prefix + field.name in values]
    arrays = {name: jnp.asarray(values[prefix + name]) for name in names}
    try:
        return cell(**arrays, **static), tuple(prefix + name for name in names)
    except TypeError as error:
        raise ValueError(f"the arrays {', '.join(values)} do not make a {note['cell']}: {error}") from None
