"""The import arrows, as the files state them."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("normalforms", "rnn")
PUBLIC_SUBMODULES = {"normalforms.plot", "normalforms.report"}


def imports(path: Path, *, deferred: bool = True) -> set[str]:
    """Modules that a file imports, type-checking blocks left out; ``deferred``: inside functions too."""
    found: set[str] = set()

    def walk(node: ast.AST) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
                continue
            if not deferred and isinstance(child, (ast.FunctionDef, ast.ClassDef)):
                continue
            if isinstance(child, ast.Import):
                found.update(alias.name for alias in child.names)
            elif isinstance(child, ast.ImportFrom) and child.module:
                found.add(child.module)
                found.update(
                    f"{child.module}.{a.name}"
                    for a in child.names
                    if (ROOT / child.module.replace(".", "/") / f"{a.name}.py").exists()
                )
            walk(child)

    walk(ast.parse(path.read_text()))
    return found


FILES = {
    f"{package}.{path.stem}": path
    for package in PACKAGES
    for path in sorted((ROOT / package).glob("*.py"))
    if path.stem != "__init__"
}


@pytest.mark.parametrize("name", [n for n in FILES if n.startswith("normalforms.") and n != "normalforms.cli"])
def test_the_symbolic_layer_knows_neither_jax_nor_rnn(name):
    for module in imports(FILES[name]):
        assert module.split(".")[0] not in {"jax", "equinox", "optax", "matfree", "rnn"}, module


@pytest.mark.parametrize("name", [n for n in FILES if n.startswith("rnn.")])
def test_rnn_reaches_normalforms_through_public_names_only(name):
    private = {m for m in imports(FILES[name]) if m.startswith("normalforms.")} - PUBLIC_SUBMODULES
    assert not private


def test_imports_make_no_circle():
    """Methods that delegate to a module above theirs import it when they are called; loading never circles."""
    arrows = {name: {m for m in imports(path, deferred=False) if m in FILES} for name, path in FILES.items()}
    done: set[str] = set()

    def visit(name: str, trail: tuple[str, ...]) -> None:
        assert name not in trail, " -> ".join([*trail, name])
        if name not in done:
            for other in arrows[name]:
                visit(other, (*trail, name))
            done.add(name)

    for name in arrows:
        visit(name, ())


def test_importing_normalforms_loads_no_jax():
    code = (
        "import sys, normalforms as nf; [getattr(nf, n) for n in nf.__all__]; "
        "sys.exit(any(m in sys.modules for m in ('jax', 'equinox', 'rnn')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("name", FILES)
def test_every_public_name_has_a_docstring(name):
    tree = ast.parse(FILES[name].read_text())
    assert ast.get_docstring(tree), f"{name} has no docstring"
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and not node.name.startswith("_"):
            assert ast.get_docstring(node), f"{name}.{node.name} has no docstring"
