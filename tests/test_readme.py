"""The README does what it says."""

import doctest
import re
from pathlib import Path

import jax

README = Path(__file__).parent.parent / "README.md"


def test_examples_give_what_they_show():
    found = doctest.testfile(str(README), module_relative=False)
    assert found.attempted >= 7
    assert found.failed == 0


def test_the_networks_story_runs():
    (block,) = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    with jax.enable_x64(False):
        exec(block, {})


def test_it_names_no_file_that_is_missing():
    text = README.read_text()
    names = re.findall(r"\]\(([^)#:]+)\)", text)
    assert names
    for name in names:
        assert (README.parent / name).exists(), name
