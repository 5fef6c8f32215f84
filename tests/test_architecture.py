"""The floor plan, as the files state it: folders, the arrows between them, and what stays behind each door.

Rooms stand on floors. A file may import from rooms on lower floors, through their doors, and from its own room; imports
inside functions count.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections import Counter
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("normalforms", "rnn")

FLOORS = {
    "normalforms": (
        ("maps", "exact", "report"),
        ("formulas", "reduction"),
        ("forms",),
        ("forms.series", "forms.limits", "forms.enclosure"),
        ("forms.uniform", "forms.averages"),
        ("families",),
        ("forms.driven",),
        ("law",),
        ("data", "data.orbits", "descent", "gallery", "testing"),
        ("cli",),
        ("__main__",),
    ),
    "rnn": (
        ("models",),
        ("kernel", "weights"),
        ("tasks",),
        ("natural_gradient",),
        ("training",),
        ("approach",),
        ("dynamics",),
        ("restricted",),
        ("forecasting",),
        ("studies",),
        (
            "studies.experiment",
            "studies.laws",
            "studies.two_modes",
            "studies.descents",
            "studies.analysis",
            "studies.forecast",
            "studies.driven",
        ),
        ("cli",),
    ),
}
PUBLIC_ROOMS = {"normalforms", "normalforms.families", "normalforms.report"}
"""What rnn may import of normalforms."""
MAX_FILES, MAX_LINES, MAX_FUNCTION = 16, 400, 60


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = {name_of(p): p for package in PACKAGES for p in sorted((ROOT / package).rglob("*.py"))}
DOORS = {name for name, path in FILES.items() if path.name == "__init__.py"}
INSIDE = sorted(set(FILES) - DOORS)
FLOOR = {f"{p}.{room}": k for p, floors in FLOORS.items() for k, rooms in enumerate(floors) for room in rooms}


def room(module: str) -> str:
    """The folder of a module; itself where it lies at the top of a package."""
    above = module.rpartition(".")[0]
    return module if module in DOORS or above in PACKAGES else above


@cache
def imports(name: str) -> tuple[tuple[str, str, int, bool], ...]:
    """``(module, name, line, late)`` of every import of a file; what only type checkers see is left out."""
    found: list[tuple[str, str, int, bool]] = []

    def walk(node: ast.AST, late: bool) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
                continue
            if isinstance(child, ast.Import):
                found.extend((alias.name, "", child.lineno, late) for alias in child.names)
            elif isinstance(child, ast.ImportFrom):
                assert child.level == 0, f"{name}: relative import"
                found.extend((child.module or "", alias.name, child.lineno, late) for alias in child.names)
            walk(child, late or isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef)))

    walk(ast.parse(FILES[name].read_text()), False)
    return tuple(found)


def ours(name: str) -> list[tuple[str, str, int, bool]]:
    """Those of this project; ``from folder import file`` counts as the file."""
    return [
        (f"{m}.{n}" if f"{m}.{n}" in FILES and n not in exported(m) else m, n, line, late)
        for m, n, line, late in imports(name)
        if m.split(".")[0] in PACKAGES and m in FILES
    ]


@cache
def exported(door: str) -> frozenset[str]:
    """The names in a door's ``__all__``."""
    return frozenset(
        re.findall(r"\"(\w+)\"", "".join(re.findall(r"__all__ = \[(.*?)\]", FILES[door].read_text(), re.S)))
    )


def test_every_room_stands_on_a_floor():
    rooms = {room(n) for n in INSIDE} - {"rnn.cli"}
    unknown = {r for r in rooms if r not in FLOOR}
    assert not unknown, f"add {sorted(unknown)} to FLOORS"


@pytest.mark.parametrize("name", INSIDE)
def test_arrows_point_down_and_go_through_doors(name):
    here = room(name)
    for module, taken, line, _ in ours(name):
        there = room(module)
        if there == here or module in PACKAGES:
            continue
        where = f"{name}:{line} imports {taken or module}"
        if here.split(".")[0] == "normalforms":
            assert module.split(".")[0] == "normalforms", f"{where}: normalforms knows nothing of rnn"
        elif module.split(".")[0] == "normalforms":
            assert there in PUBLIC_ROOMS, f"{where}: rnn reaches normalforms through {sorted(PUBLIC_ROOMS)}"
            continue
        assert FLOOR[there] < FLOOR[here], f"{where}: {there} does not stand below {here}"
        assert module in DOORS or there == module or taken == module.rpartition(".")[2], f"{where} past the door"


def test_no_circle_of_files():
    arrows = {name: {m for m, *_ in ours(name) if m not in DOORS and m != name} for name in INSIDE}
    done: set[str] = set()

    def visit(name: str, trail: tuple[str, ...]) -> None:
        assert name not in trail, " -> ".join([*trail, name])
        if name not in done:
            for other in arrows.get(name, ()):
                visit(other, (*trail, name))
            done.add(name)

    for name in arrows:
        visit(name, ())


@pytest.mark.parametrize("door", sorted(DOORS - set(PACKAGES)))
def test_a_door_opens_its_own_room_only(door):
    for module, taken, line, _ in imports(door):
        if module.split(".")[0] in PACKAGES:
            assert room(module) == door, f"{door}:{line} hands on {taken} of {module}"


@pytest.mark.parametrize("name", sorted(FILES))
def test_nobody_takes_private_names(name):
    private = [f"{m}.{n}" for m, n, *_ in ours(name) if n.startswith("_") and not n.startswith("__")]
    assert not private


@pytest.mark.parametrize("name", INSIDE)
def test_a_late_import_says_why(name):
    """Commands of the command line are late as a whole, as their modules say."""
    if name.startswith("normalforms.cli") or name == "rnn.cli":
        return
    lines = FILES[name].read_text().splitlines()
    for module, _, line, late in imports(name):
        if late:
            above = line - 1
            while above > 0 and re.match(r"\s*(from|import|try:|$)", lines[above]):
                above -= 1
            assert "#" in lines[above] + lines[line - 1], f"{name}:{line} imports {module} late; a comment says why"


def test_folders_files_and_functions_are_of_a_size_to_read():
    sizes = Counter(str(FILES[n].parent.relative_to(ROOT)) for n in INSIDE)
    assert not {k: v for k, v in sizes.items() if v > MAX_FILES}
    long = {n: count for n, p in FILES.items() if (count := len(p.read_text().splitlines())) > MAX_LINES}
    assert not long
    deep = {}
    for name in INSIDE:
        for node in ast.walk(ast.parse(FILES[name].read_text())):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                first = node.body[0]
                written = ast.get_docstring(node) is not None
                begin = first.end_lineno if written else node.lineno
                if node.end_lineno - begin > MAX_FUNCTION:
                    deep[f"{name}.{node.name}"] = node.end_lineno - begin
    assert not deep


@pytest.mark.parametrize("name", [n for n in INSIDE if n.startswith("normalforms.")])
def test_the_symbolic_layer_knows_no_jax(name):
    for module, *_ in imports(name):
        assert module.split(".")[0] not in {"jax", "equinox", "optax", "matfree", "rnn"}, module


def test_importing_normalforms_loads_no_jax():
    code = (
        "import sys, normalforms as nf; [getattr(nf, n) for n in nf.__all__]; "
        "sys.exit(any(m in sys.modules for m in ('jax', 'equinox', 'rnn')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("name", sorted(FILES))
def test_every_public_name_has_a_docstring(name):
    tree = ast.parse(FILES[name].read_text())
    assert ast.get_docstring(tree), f"{name} has no docstring"
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and not node.name.startswith("_"):
            if any(ast.unparse(d) == "overload" for d in node.decorator_list):
                continue
            assert ast.get_docstring(node), f"{name}.{node.name} has no docstring"
