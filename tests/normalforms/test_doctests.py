"""The examples in the docstrings of the symbolic layer."""

import doctest
from importlib import import_module
from pathlib import Path

import pytest

import normalforms

MODULES = sorted(p.stem for p in Path(normalforms.__file__).parent.glob("*.py") if p.stem != "__init__")


@pytest.mark.parametrize("name", MODULES)
def test_docstring_examples(name):
    module = import_module(f"normalforms.{name}")
    assert doctest.testmod(module).failed == 0
