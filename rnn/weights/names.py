"""Names of arrays as paths, and the arrays of one folder of names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

__all__ = ["Scope", "label", "scopes"]

_TAILS = ("value", "raw_value")  # what Flax NNX's states have at the end


@dataclass(frozen=True)
class Scope:
    """Arrays whose names share all but the last parts.

    Attributes:
        prefix: what they share, as parts.
        arrays: by the rest of their names, parts joined by dots.
        names: their full names in the file, by the same.
    """

    prefix: tuple[str, ...]
    arrays: Mapping[str, np.ndarray]
    names: Mapping[str, str]

    def take(self, *rests: str) -> tuple[str, ...]:
        """Full names of those of ``rests`` that are there."""
        return tuple(self.names[rest] for rest in rests if rest in self.names)

    def get(self, rest: str) -> np.ndarray | None:
        """The array of that name, if it is there."""
        return self.arrays.get(rest)

    @property
    def name(self) -> str:
        """The prefix for messages."""
        return label(self.prefix)


def label(prefix: Iterable[str]) -> str:
    """A prefix as one text."""
    return ".".join(prefix) or "the cell"


def scopes(values: Mapping[str, np.ndarray], depth: int) -> list[Scope]:
    """The arrays grouped by all but the last ``depth`` parts of their names, in natural order."""
    groups: dict[tuple[str, ...], dict[str, str]] = {}
    for name in values:
        parts = [part for part in name.replace("/", ".").split(".") if part]
        if len(parts) > 1 and parts[-1] in _TAILS:
            parts.pop()
        parts[-1] = parts[-1].split(":")[0]  # TensorFlow's kernel:0
        for cut in range(1, depth + 1):
            if len(parts) >= cut:
                groups.setdefault(tuple(parts[: len(parts) - cut]), {})[".".join(parts[len(parts) - cut :])] = name
    return [
        Scope(prefix, {rest: values[name] for rest, name in group.items()}, group) for prefix, group in groups.items()
    ]
