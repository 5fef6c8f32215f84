"""The floor plan, as the files state it: folders, the arrows between them, and what stays behind each door."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("normalforms", "rnn")

# Folder -> the folders that it may import from; each list only points to folders above its own line.
ARROWS: dict[str, set[str]] = {
    "normalforms.maps": set(),
    "normalforms.exact": set(),
    "normalforms.report": set(),
    "normalforms.formulas": {"normalforms.exact"},
    "normalforms.reduction": {"normalforms.maps", "normalforms.exact"},
    "normalforms.forms": {"normalforms.maps", "normalforms.formulas"},
    "normalforms.forms.enclosure": {"normalforms.maps", "normalforms.formulas"},
    "normalforms.forms.limits": {"normalforms.maps", "normalforms.exact", "normalforms.formulas"},
    "normalforms.forms.series": {
        "normalforms.maps",
        "normalforms.exact",
        "normalforms.formulas",
        "normalforms.forms",
    },
}


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = {name_of(p): p for package in PACKAGES for p in sorted((ROOT / package).rglob("*.py"))}
DOORS = {name for name, path in FILES.items() if path.name == "__init__.py"}
INSIDE = sorted(set(FILES) - DOORS)


@cache
def imports(name: str, door: bool = False) -> frozenset[tuple[str, str]]:
    """``(module, name)`` that a file takes, inside functions too; type-checking blocks count as well."""
    found: set[tuple[str, str]] = set()
    for node in ast.walk(ast.parse(FILES[name].read_text())):
        if isinstance(node, ast.Import):
            found.update((alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name}: relative import"
            found.update((node.module or "", alias.name) for alias in node.names)
    return frozenset(found)


def folder(module: str) -> str:
    """The room of a module: its folder, or itself where it lies at the top of a package."""
    if module in DOORS:
        return module
    above = module.rpartition(".")[0]
    return module if above in PACKAGES else above


@cache
def behind(door: str, name: str) -> str:
    """The module that a door takes a name from; the door itself where it takes none."""
    full = f"{door}.{name}"
    for module, taken in imports(door):
        if taken == name and module in FILES:
            return behind(module, name) if module in DOORS else module
    return full if full in FILES else door


def targets(name: str) -> set[str]:
    """The modules of this project behind what a file imports."""
    found = set()
    for module, taken in imports(name):
        if module.split(".")[0] in PACKAGES:
            found.add(behind(module, taken) if module in DOORS and taken else module)
    return (found & set(FILES)) - {name}
