"""The named families: one record per file, and the only registry of them.

A family is a file of this folder that defines its constructor, under the file's own name, and ``FAMILY``, a `Family`.
It exists once its name stands in `NAMES`. Nothing else in the project lists families.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

NAMES = (
    "stability_flip",
    "pitchfork",
    "transcritical",
    "saddle_node",
    "period_doubling",
    "neimark_sacker",
    "cusp",
)
"""The families in the order in which they are shown, tried and fitted."""

_DISPATCH = (
    "FamilyError",
    "families",
    "family",
    "find",
    "limiting",
    "placed",
    "recognise",
    "reduced",
    "registered",
    "spoken",
)
_RECORD = ("Family", "LimitFlow", "Member", "Option", "Rescaled", "notation")

__all__ = [*_DISPATCH, *_RECORD, "NAMES"]


def __getattr__(name: str) -> Any:
    """Import on first use, so that the command line can name the families before SymPy is loaded."""
    if name in _DISPATCH:
        value = getattr(import_module("normalforms.families.registry"), name)
    elif name in _RECORD:
        value = getattr(import_module("normalforms.families.record"), name)
    else:
        raise AttributeError(f"module 'normalforms.families' has no attribute {name!r}")
    globals()[name] = value
    return value
