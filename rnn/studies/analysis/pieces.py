"""Finished parts of an analysis on disk, each written whole, from which it is resumed.

A part is data, and nothing that could run: numbers, texts, lists and arrays, and the results that are made of these.
Models are left out, as the path of models gives them back.
"""

from __future__ import annotations

import io
import json
import math
import time
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, TypeVar

import jax
import numpy as np

import normalforms as nf
from normalforms.report import write_whole
from rnn.dynamics import Bifurcations, Branch, Continuum, Event, FixedPoints, Place, SlowPoints
from rnn.kernel import Estimate
from rnn.models import ModelPath
from rnn.restricted import Prediction, Sweep

__all__ = ["Pieces", "decoded", "encoded"]

T = TypeVar("T")
_KINDS: dict[str, Any] = {
    kind.__name__: kind
    for kind in (
        Bifurcations,
        Branch,
        Continuum,
        Estimate,
        Event,
        FixedPoints,
        Place,
        Prediction,
        SlowPoints,
        Sweep,
        nf.NormalForm,
    )
}
_LEFT_OUT = ("model", "run")  # of an event
_BETWEEN = 1.0  # seconds between two writings of a part that grows


class Pieces:
    """The parts of one analysis in a folder.

    Args:
        folder: made when the first part is written; ``None`` keeps nothing.
        path: of the models, from which those of events are made again.

    Attributes:
        damaged: names of parts that could not be read and are made again.
    """

    def __init__(self, folder: Path | None, path: ModelPath | None = None) -> None:
        self.folder, self.path = folder, path
        self.damaged: list[str] = []
        self._pending: tuple[str, bytes] | None = None
        self._written = -math.inf

    def part(self, name: str, make: Callable[[], T]) -> T:
        """The part of that name: as it was kept, else as ``make()`` makes it, and kept then.

        Raises:
            OSError: it cannot be written.
        """
        found = self.kept(name)
        if found is None:
            found = make()
            self.keep(name, found)
        return found

    def kept(self, name: str) -> Any:
        """The part of that name, ``None`` where there is none or it is damaged."""
        file = None if self.folder is None else self.folder / f"{name}.npz"
        if file is None or not file.exists():
            return None
        try:
            return decoded(file.read_bytes(), self.path)
        except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile):
            self.damaged.append(file.name)
            return None

    def keep(self, name: str, value: Any, *, often: bool = False) -> None:
        """Write a part; one that is kept ``often`` once a second, and the rest by :meth:`flush`.

        Raises:
            OSError: it cannot be written.
        """
        if self.folder is None:
            return
        self._pending = name, encoded(value)
        if not often or time.monotonic() - self._written > _BETWEEN:
            self.flush()

    def flush(self) -> None:
        """Write what is waiting.

        Raises:
            OSError: it cannot be written.
        """
        if self.folder is None or self._pending is None:
            return
        name, data = self._pending
        self.folder.mkdir(parents=True, exist_ok=True)
        write_whole(self.folder / f"{name}.npz", data)
        self._pending, self._written = None, time.monotonic()


def encoded(value: Any) -> bytes:
    """A part as the content of a ``.npz`` file."""
    pools: dict[str, list[np.ndarray]] = {}
    content = json.dumps(_plain(value, pools))
    buffer = io.BytesIO()
    np.savez(buffer, __content__=np.asarray(content), **{name: np.concatenate(pool) for name, pool in pools.items()})
    return buffer.getvalue()


def decoded(data: bytes, path: ModelPath | None = None) -> Any:
    """What :func:`encoded` wrote.

    Raises:
        ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile: it is damaged.
    """
    with np.load(io.BytesIO(data), allow_pickle=False) as file:
        pools = {name: file[name] for name in file.files}
    return _restored(json.loads(str(pools.pop("__content__"))), pools, path)


def _plain(value: Any, pools: dict[str, list[np.ndarray]]) -> Any:
    """As JSON, arrays moved to one pool for each dtype."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, complex):
        return {"complex": [value.real, value.imag]}
    if isinstance(value, np.ndarray | np.generic | jax.Array):
        array = np.asarray(value)
        pool = pools.setdefault(array.dtype.name, [])
        first = sum(len(part) for part in pool)
        pool.append(array.ravel())
        return {"array": [array.dtype.name, first, list(array.shape)]}
    if isinstance(value, list):
        return [_plain(part, pools) for part in value]
    if type(value).__name__ in _KINDS:
        names = [f.name for f in fields(value)] if is_dataclass(value) else value._fields
        kept = {name: _plain(getattr(value, name), pools) for name in names if name not in _LEFT_OUT}
        return {"kind": type(value).__name__, "fields": kept}
    if isinstance(value, tuple):
        return {"tuple": [_plain(part, pools) for part in value]}
    if isinstance(value, Mapping):
        pairs = [[_plain(part, pools) for part in pair] for pair in value.items()]
        return {"mapping": pairs}
    raise TypeError(f"a {type(value).__name__} cannot be kept")


def _restored(value: Any, pools: Mapping[str, np.ndarray], path: ModelPath | None) -> Any:
    if isinstance(value, list):
        return [_restored(part, pools, path) for part in value]
    if not isinstance(value, dict):
        return value
    if "complex" in value:
        return complex(*value["complex"])
    if "array" in value:
        name, first, shape = value["array"]
        return pools[name][first : first + math.prod(shape)].reshape(shape)
    if "tuple" in value:
        return tuple(_restored(part, pools, path) for part in value["tuple"])
    if "mapping" in value:
        return dict(_restored(pair, pools, path) for pair in value["mapping"])
    parts = {name: _restored(part, pools, path) for name, part in value["fields"].items()}
    if value["kind"] == "Event":
        if path is None:
            raise ValueError("an event needs the path of its models")
        with jax.enable_x64(True):
            parts["model"] = path.rebuild(path.flat(parts["step"]))
    return _KINDS[value["kind"]](**parts)
