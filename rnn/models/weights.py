"""Cells and weights of other frameworks: what PyTorch, Flax or Equinox saved, as a model ``h -> h'`` without input."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import jax.numpy as jnp
import numpy as np

from rnn.models.gated import GRU, LSTM
from rnn.models.model import Model
from rnn.models.vanilla import VanillaRNN

__all__ = ["load"]

Cell = Literal["vanilla", "W@tanh(h)+b", "gru", "lstm"]
_CELLS = ("vanilla", "W@tanh(h)+b", "gru", "lstm")
_GATES = {"vanilla": 1, "W@tanh(h)+b": 1, "gru": 3, "lstm": 4}

_RECURRENT = ("weight_hh", "weight_hh_l0", "recurrent_kernel", "weight", "W")
_INPUT_BIAS = ("bias_ih", "bias_ih_l0")
_BIAS = ("bias_hh", "bias_hh_l0", "bias", "b")
_NEW_BIAS = ("bias_n",)


def load(path: str | Path, cell: Cell | None = None) -> Model:
    """The recurrent cell whose weights a file holds, as a model without input.

    Read are the recurrent weights and the biases; with zero input the input weights drop out. Names may have a
    prefix, such as ``rnn.weight_hh_l0``: PyTorch's ``weight_hh_l0, bias_ih_l0, bias_hh_l0``, Equinox's
    ``weight_hh, bias, bias_n``, and this package's ``weight, bias``. PyTorch's two biases are added where the cell
    allows it.

    Args:
        path: a ``.safetensors`` or ``.npz`` file.
        cell: ``"vanilla"`` (``tanh(W h + b)``), ``"W@tanh(h)+b"``, ``"gru"`` or ``"lstm"``; told from the shape of
            the recurrent weights unless given, a square one being ``"vanilla"``.

    Raises:
        ValueError: no such file, another format, no recurrent weights in it, or weights that do not fit the cell.
    """
    if cell is not None and cell not in _CELLS:
        raise ValueError(f"cell must be one of {', '.join(_CELLS)}, got {cell!r}")
    arrays = _read(Path(path))
    weight = _find(arrays, _RECURRENT)
    if weight is None:
        raise ValueError(f"{path} holds no recurrent weights; it has {', '.join(sorted(arrays)) or 'no array'}")
    rows, state = weight.shape if weight.ndim == 2 else (0, 0)
    kinds = [name for name, gates in _GATES.items() if rows == gates * state and state]
    if cell is None and kinds:
        cell = kinds[0]  # type: ignore[assignment]
    if cell not in kinds:
        raise ValueError(f"{path}: recurrent weights of shape {weight.shape} do not fit a {cell or 'known'} cell")
    bad = [name for name, array in arrays.items() if not np.all(np.isfinite(array))]
    if bad:
        raise ValueError(f"{path}: {bad[0]} contains NaN or infinity")
    return _build(cell, weight, arrays)


def _build(cell: str | None, weight: np.ndarray, arrays: Mapping[str, np.ndarray]) -> Model:
    rows, state = weight.shape
    zero = np.zeros(rows, weight.dtype)
    outer, inner = _find(arrays, _INPUT_BIAS), _find(arrays, _BIAS)
    total = sum((b for b in (outer, inner) if b is not None), zero)
    if cell == "lstm":
        return LSTM(jnp.asarray(weight), jnp.asarray(total))
    if cell == "gru":
        drive = zero[:state] if outer is None else outer[2 * state :]
        new = _find(arrays, _NEW_BIAS)
        if new is not None:  # Equinox keeps one bias for all gates, that of the new state outside the reset gate
            drive, total = total[2 * state :], np.concatenate([total[: 2 * state], new])
        else:
            total = np.concatenate([total[: 2 * state], (zero if inner is None else inner)[2 * state :]])
        return GRU(jnp.asarray(weight), jnp.asarray(total), jnp.asarray(drive))
    form = "W@tanh(h)+b" if cell == "W@tanh(h)+b" else "tanh(W@h+b)"
    bias = None if outer is None and inner is None else jnp.asarray(total)
    return VanillaRNN(jnp.asarray(weight), bias, form)


def _read(path: Path) -> dict[str, np.ndarray]:
    if not path.is_file():
        raise ValueError(f"{path} is no file; give weights as .safetensors or .npz")
    try:
        if path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as data:
                return {name: data[name] for name in data.files}
        if path.suffix == ".safetensors":
            return _read_safetensors(path)
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path} cannot be read: {error}") from None
    raise ValueError(f"{path} is neither .safetensors nor .npz; save the weights as one of these")


def _read_safetensors(path: Path) -> dict[str, np.ndarray]:
    try:
        # an optional dependency
        from safetensors import SafetensorError, safe_open
    except ImportError:
        raise ValueError("reading .safetensors needs the package safetensors: install normalforms[weights]") from None
    try:
        with safe_open(path, framework="np") as data:
            return {name: data.get_tensor(name) for name in data.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise ValueError(str(error)) from None


def _find(arrays: Mapping[str, np.ndarray], names: tuple[str, ...]) -> np.ndarray | None:
    """The array with one of the names, behind any prefix; the first name that is there wins.

    Raises:
        ValueError: two arrays answer to the same name.
    """
    for name in names:
        found = [key for key in arrays if key.replace("/", ".").split(".")[-1] == name]
        if len(found) > 1:
            raise ValueError(f"several arrays are called {name}: {', '.join(sorted(found))}; save one cell alone")
        if found and np.issubdtype(arrays[found[0]].dtype, np.floating):
            return arrays[found[0]]
    return None
