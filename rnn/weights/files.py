"""Arrays in files, and nothing that could run: ``.npz`` without pickle, and ``.safetensors``."""

from __future__ import annotations

import io
import json
import math
import tokenize
import zipfile
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

__all__ = ["FOREIGN", "Arrays", "read", "write"]

_META = "normalforms"
_MOST = 2**26  # bytes that a member may unpack to whatever its compression
_RATIO = 100  # and how many times its size beyond that: weights are nearly incompressible
_LONGEST = 200  # characters of a reason
_RAW = {
    "F64": np.dtype("<f8"),
    "F32": np.dtype("<f4"),
    "F16": np.dtype("<f2"),
    "BF16": np.dtype(ml_dtypes.bfloat16),
}
_TORCH = (
    "import numpy, torch; state = torch.load({name!r}, map_location='cpu', weights_only=True);\n"
    "numpy.savez({npz!r}, **{{k: v.float().numpy() for k, v in state.items()}})"
)
_KERAS = (
    "import keras, numpy; model = keras.saving.load_model({name!r});\n"
    "numpy.savez({npz!r}, **{{w.path: w.numpy() for w in model.weights}})"
)
FOREIGN = {
    **dict.fromkeys((".pt", ".pth", ".ckpt", ".bin", ".pkl", ".pickle"), ("may hold code", _TORCH)),
    **dict.fromkeys((".h5", ".hdf5", ".keras"), ("is Keras' own", _KERAS)),
}
"""Suffixes of files that are not opened: why, and the lines that convert one."""


@dataclass(frozen=True)
class Arrays:
    """What a file holds.

    Attributes:
        values: arrays of real numbers by name, float16 and bfloat16 as float32.
        ignored: what is no such array, and why, by name.
        converted: which precision was widened, if any.
        meta: what :func:`write` noted beside the arrays.
    """

    values: dict[str, np.ndarray]
    ignored: dict[str, str] = field(default_factory=dict)
    converted: tuple[str, ...] = ()
    meta: dict[str, Any] = field(default_factory=dict)


def read(path: Path) -> Arrays:
    """The arrays of a ``.npz`` or ``.safetensors`` file.

    Raises:
        ValueError: no such file, another format, or a damaged one; the message says how to convert it.
    """
    suffix = path.suffix.lower()
    if not path.is_file():
        raise ValueError(f"{path} is no file; give weights as .safetensors or .npz")
    if suffix in FOREIGN:
        why, lines = FOREIGN[suffix]
        lines = lines.format(name=path.name, npz=f"{path.stem}.npz")
        raise ValueError(f"{path} {why} and is not opened; convert it, where you trust it, by\n{lines}")
    try:
        if suffix == ".npz":
            return _read_npz(path)
        if suffix == ".safetensors":
            return _read_safetensors(path)
    except (OSError, EOFError, ValueError, KeyError, RecursionError, MemoryError, zipfile.BadZipFile) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        # a damaged header may be quoted in full
        raise ValueError(f"{path} cannot be read: {reason[:_LONGEST]}{'…' * (len(reason) > _LONGEST)}") from None
    except (NotImplementedError, RuntimeError, zlib.error) as error:  # encrypted, or packed in an unknown way
        raise ValueError(f"{path} cannot be read: {error}") from None
    raise ValueError(f"{path} is neither .safetensors nor .npz; save the weights as one of these")


def _read_npz(path: Path) -> Arrays:
    values: dict[str, np.ndarray] = {}
    ignored: dict[str, str] = {}
    widened: set[str] = set()
    meta: dict[str, Any] = {}
    if not path.stat().st_size:
        raise ValueError("it is empty: its writing was interrupted")
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            name = info.filename.removesuffix(".npy")
            if name == info.filename:
                ignored[name] = "no array"
                continue
            if info.file_size > max(_MOST, _RATIO * info.compress_size):
                raise ValueError(f"{name} unpacks from {info.compress_size} to {info.file_size} bytes")
            with archive.open(info) as file:
                shape, order, dtype, start = _header(file)
                if dtype.hasobject:
                    ignored[name] = "pickled objects, which are never opened"
                    continue
                if math.prod(shape) * dtype.itemsize != info.file_size - start:
                    raise ValueError(f"{name} is said to have shape {shape}, which its data has not")
                data = file.read()
            array = np.ndarray(shape, dtype, data, order=order)
            _sort_in(name, array, values, ignored, widened)
            if name == f"__{_META}__" and array.dtype.kind == "U" and array.ndim == 0:
                meta = _meta(str(array))
                ignored.pop(name)
    return Arrays(values, ignored, tuple(sorted(widened)), meta)


def _header(file: Any) -> tuple[tuple[int, ...], Any, np.dtype[Any], int]:
    version = np.lib.format.read_magic(file)
    reader = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}.get(version)
    if reader is None:
        raise ValueError(f"its arrays have format {version}, which is unknown")
    try:
        shape, fortran, dtype = reader(file)
    except (SyntaxError, tokenize.TokenError):  # what NumPy lets pass while it mends headers of Python 2
        raise ValueError("an array's header cannot be understood") from None
    if any(n < 0 for n in shape):
        raise ValueError(f"an array is said to have shape {shape}")
    return shape, "F" if fortran else "C", dtype, file.tell()


def _read_safetensors(path: Path) -> Arrays:
    try:
        # an optional dependency
        from safetensors import SafetensorError, deserialize
    except ImportError:
        raise ValueError(
            "reading .safetensors needs the package safetensors: pip install 'bifurcation-laws[weights]'"
        ) from None
    raw = path.read_bytes()
    try:
        members = deserialize(raw)
    except SafetensorError as error:
        raise ValueError(str(error)) from None
    values: dict[str, np.ndarray] = {}
    ignored: dict[str, str] = {}
    widened: set[str] = set()
    for name, member in members:
        kind = member["dtype"]
        if kind not in _RAW:
            ignored[name] = f"of type {kind}"
            continue
        array = np.frombuffer(bytes(member["data"]), _RAW[kind]).reshape(member["shape"])
        _sort_in(name, array, values, ignored, widened)
    header = json.loads(raw[8 : 8 + int.from_bytes(raw[:8], "little")])
    return Arrays(values, ignored, tuple(sorted(widened)), _meta(header.get("__metadata__", {}).get(_META, "")))


def _sort_in(
    name: str, array: np.ndarray, values: dict[str, np.ndarray], ignored: dict[str, str], widened: set[str]
) -> None:
    """Keep an array of real numbers in this machine's byte order, at least in single precision."""
    dtype = array.dtype
    if dtype.kind == "V" and dtype.itemsize == 2 and dtype.names is None:  # how numpy writes what it does not know
        array, dtype = array.view(ml_dtypes.bfloat16), np.dtype(ml_dtypes.bfloat16)
    if dtype == ml_dtypes.bfloat16 or (dtype.kind == "f" and dtype.itemsize == 2):
        widened.add(str(dtype.newbyteorder("=")) if dtype.kind == "f" else "bfloat16")
        values[name] = array.astype(np.float32)
    elif dtype.kind == "f" and dtype.itemsize in (4, 8):
        values[name] = array.astype(dtype.newbyteorder("="))
    elif dtype.kind == "f":  # long double
        values[name] = array.astype(np.float64)
    elif dtype.kind in "iub" and array.ndim == 0:
        values[name] = array.astype(np.float64)  # a leak or a time constant may be written as 1
    else:
        ignored[name] = f"of type {dtype}"


def _meta(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def write(path: Path, values: dict[str, np.ndarray], meta: dict[str, Any]) -> bytes:
    """The content of a file of arrays, by its suffix, with notes that :func:`read` returns.

    Raises:
        ValueError: another suffix than ``.npz`` and ``.safetensors``.
    """
    suffix, note = path.suffix.lower(), json.dumps(meta, sort_keys=True)
    if suffix == ".npz":
        buffer = io.BytesIO()
        np.savez(buffer, **values, **{f"__{_META}__": np.asarray(note)})
        return buffer.getvalue()
    if suffix == ".safetensors":
        try:
            from safetensors.numpy import save  # an optional dependency
        except ImportError:
            raise ValueError(
                "writing .safetensors needs the package safetensors: pip install 'bifurcation-laws[weights]'"
            ) from None
        return save({name: np.ascontiguousarray(array) for name, array in values.items()}, {_META: note})
    raise ValueError(f"{path} is neither .safetensors nor .npz; name the file as one of these")
