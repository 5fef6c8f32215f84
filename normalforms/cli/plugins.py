"""Commands that other packages bring, read from the entry points that installers write down.

``importlib.metadata`` reads them too, but takes longer to load than all the rest of ``normalforms --help``.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import Any, NamedTuple

__all__ = ["Plugin", "plugins"]


class Plugin(NamedTuple):
    """One entry point.

    Attributes:
        name: of the entry.
        value: ``module:attribute``.
        package: the distribution that brings it.
    """

    name: str
    value: str
    package: str

    def load(self) -> Any:
        """What the entry names."""
        module, _, attribute = self.value.partition(":")
        found = import_module(module.strip())
        for part in attribute.strip().split("."):
            found = getattr(found, part)
        return found


def plugins(group: str) -> list[Plugin]:
    """The entries of a group, by name; of several with one name that which comes first on the path."""
    found: dict[str, Plugin] = {}
    for folder in dict.fromkeys(sys.path):
        try:
            names = sorted(name for name in os.listdir(folder or ".") if name.endswith(".dist-info"))
        except OSError:
            continue  # no folder: a zip file, or one that is gone
        for name in names:
            for plugin in _entries(os.path.join(folder, name, "entry_points.txt"), group, name.partition("-")[0]):
                found.setdefault(plugin.name, plugin)
    return [found[name] for name in sorted(found)]


def _entries(path: str, group: str, package: str) -> list[Plugin]:
    try:
        with open(path, encoding="utf-8") as file:
            lines = file.read().splitlines()
    except OSError:
        return []
    entries, inside = [], False
    for line in map(str.strip, lines):
        if line.startswith("["):
            inside = line.strip("[] ") == group
        elif inside and "=" in line and not line.startswith(("#", ";")):
            name, _, value = line.partition("=")
            entries.append(Plugin(name.strip(), value.partition("[")[0].strip(), package))
    return entries
