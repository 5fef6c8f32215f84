"""Results in a few lines of text, and as tables of pandas where it is installed."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import fields
from importlib import import_module
from typing import Any, TypeVar

import numpy as np

__all__ = ["brief", "frame", "optional"]

T = TypeVar("T")
_FEW, _LONG, _WIDTH = 4, 60, 100


def brief(kind: type[T]) -> type[T]:
    """Class decorator, above ``@dataclass``: arrays are shown by dtype and shape, sequences by their length.

    Args:
        kind: a dataclass.
    """
    setattr(kind, "__repr__", _text)  # noqa: B010  a type checker sees no such attribute to assign
    return kind


def frame(columns: Mapping[str, Sequence[Any]]) -> Any:
    """A ``pandas.DataFrame`` of these columns.

    Args:
        columns: by name, of one length.

    Raises:
        ImportError: pandas is not installed.
    """
    return optional("pandas", "to_dataframe").DataFrame(dict(columns))


def optional(module: str, asked: str) -> Any:
    """A library of the extra ``tables``, for the method that was ``asked`` for.

    Raises:
        ImportError: it is not installed.
    """
    try:
        return import_module(module)
    except ImportError:
        raise ImportError(f"{asked} needs {module}: pip install 'bifurcation-laws[tables]'") from None


def _text(self: Any) -> str:
    shown = [f"{f.name}={_short(getattr(self, f.name))}" for f in fields(self) if f.repr]
    return textwrap.fill(f"{type(self).__name__}({', '.join(shown)})", _WIDTH, subsequent_indent="    ")


def _short(value: Any) -> str:
    if value is None or isinstance(value, bool | int | float | complex | np.generic):
        return f"{value:.6g}" if isinstance(value, float | complex) else str(value)
    if isinstance(value, str):
        return repr(value if len(value) <= _LONG else value[:_LONG] + "…")
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        if 0 < value.size <= _FEW and value.ndim <= 1:
            return str(np.asarray(value).round(6).tolist())
        return f"{value.dtype}{tuple(value.shape)}"
    if isinstance(value, Mapping):
        if (
            all(isinstance(part, int | float | complex | np.generic) for part in value.values())
            and len(value) <= 2 * _FEW
        ):
            return "{" + ", ".join(f"{key}: {_short(part)}" for key, part in value.items()) + "}"
        return "{" + ", ".join(map(str, value)) + "}" if len(value) <= 2 * _FEW else f"{len(value)} entries"
    if isinstance(value, list | tuple):
        plain = all(isinstance(part, int | float | str | complex) for part in value)
        if not value or (plain and len(value) <= _FEW):
            return "(" + ", ".join(map(_short, value)) + ")"
        return f"{len(value)} × {type(value[0]).__name__}"
    return type(value).__name__
