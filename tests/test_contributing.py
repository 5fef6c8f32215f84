"""CONTRIBUTING.md, CITATION.cff and the lock files agree with the project."""

import re
import tomllib
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml

import normalforms as nf

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "CONTRIBUTING.md").read_text()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
LOCKS = ("requirements.lock", "requirements-test.lock")


def test_every_file_and_module_it_names_exists():
    links = re.findall(r"\]\(([^)#:\s]+)\)", PAGE)
    named = re.findall(r"`((?:tests|docs)/[\w./-]+)`", PAGE) + re.findall(
        r"(?:pytest .*?|python )(tests/\S+\.py)", PAGE
    )
    modules = re.findall(r"python -m (normalforms[\w.]*)", PAGE)
    assert len(links) >= 5
    assert len(named) >= 5
    assert modules == ["normalforms.testing", "normalforms.gallery"]
    for name in [*links, *named, ".ci/lock", ".ci/run"]:
        assert (ROOT / name).exists(), name
    assert all(find_spec(name) for name in modules)


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_holds_what_builds_and_nothing_of_an_index(name):
    text = (ROOT / name).read_text()
    pins = set(re.findall(r"^([a-z0-9.-]+)==", text, re.M))
    needed = [*PROJECT["project"]["dependencies"], *PROJECT["dependency-groups"]["build"]]
    if name == "requirements-test.lock":
        needed += PROJECT["dependency-groups"]["test"]
    assert {re.match(r"[\w.-]+", line)[0].lower() for line in needed} <= pins
    assert "editables" in pins  # for an editable install without build isolation
    assert not re.search(r"https?://|--(extra-)?index-url|--find-links", text)
    requirements = re.split(r"\n(?=\S)", text.strip())
    assert all("--hash=sha256:" in requirement for requirement in requirements)


def test_the_citation_is_of_this_version():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == PROJECT["project"]["version"] == nf.__version__
    assert citation["license"] == PROJECT["project"]["license"]
    assert citation["authors"] == [{"name": author["name"]} for author in PROJECT["project"]["authors"]]
    assert {"cff-version", "message", "title", "type"} <= citation.keys()


def test_the_distribution_has_a_name_of_its_own_and_the_command_keeps_its():
    """An index compares names without case, dots, hyphens and underscores."""

    def bare(name):
        return re.sub(r"[-_.]", "", name.lower())

    assert bare(PROJECT["project"]["name"]) not in {bare(name) for name in ("normal-forms", "rnn", "sntk")}
    assert PROJECT["project"]["scripts"]["normalforms"] == "normalforms.cli:main"
    assert PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"] == ["normalforms", "rnn"]
