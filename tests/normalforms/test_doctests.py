"""The examples in the docstrings of the symbolic layer."""

import doctest
from importlib import import_module
from pathlib import Path

import pytest

import normalforms

ROOT = Path(normalforms.__file__).parent
MODULES = sorted(
    ".".join(p.relative_to(ROOT).with_suffix("").parts) for p in ROOT.rglob("*.py") if not p.stem.startswith("__")
)


@pytest.mark.parametrize("name", MODULES)
def test_docstring_examples(name):
    module = import_module(f"normalforms.{name}")
    assert doctest.testmod(module).failed == 0
