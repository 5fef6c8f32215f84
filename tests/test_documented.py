"""Every public name is documented: what the doors offer, its methods and properties, and each module and folder."""

import inspect
import re
from importlib import import_module
from pathlib import Path

import pytest

import normalforms as nf
import rnn

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = (nf, rnn)
DOORS = {
    ".".join(path.parent.relative_to(ROOT).parts): path
    for package in PACKAGES
    for path in sorted((ROOT / package.__name__).rglob("__init__.py"))
}


def members(owner):
    """``(name, object)`` of the public methods and properties that a class of this project defines itself.

    Functions that are a field's default are data: the class's own text names the field.
    """
    for cls in owner.__mro__:
        if cls.__module__.split(".")[0] in {package.__name__ for package in PACKAGES}:
            for name, value in vars(cls).items():
                if name in inspect.get_annotations(cls):
                    continue
                if not name.startswith("_") and (callable(value) or isinstance(value, (property, classmethod))):
                    yield name, value


def public():
    """``name → object`` of everything that ``__all__`` of the two packages and of their folders offers."""
    for door in DOORS:
        module = import_module(door)
        for name in getattr(module, "__all__", ()):
            value = getattr(module, name)
            if name.startswith("_") or inspect.ismodule(value) or not (inspect.isclass(value) or callable(value)):
                continue
            if (getattr(value, "__module__", None) or "").split(".")[0] not in {p.__name__ for p in PACKAGES}:
                continue
            yield f"{door}.{name}", value
            if inspect.isclass(value):
                yield from ((f"{door}.{name}.{method}", member) for method, member in members(value))


def sentence(value):
    """The first line of a documentation string of its own, not one inherited or made by ``dataclass``."""
    if isinstance(value, (classmethod, staticmethod)):
        value = value.__func__
    text = inspect.cleandoc(getattr(value, "__doc__", None) or "")
    made = inspect.isclass(value) and text.startswith(f"{value.__name__}(")
    return "" if made else text.split("\n\n")[0]


def test_every_public_name_is_documented():
    names = dict(public())
    missing = sorted(name for name, value in names.items() if not sentence(value))
    assert len(names) > 200
    assert not missing, f"{len(names) - len(missing)} of {len(names)} documented; missing: {', '.join(missing)}"


def test_a_first_sentence_ends():
    ragged = sorted(name for name, value in public() if sentence(value) and sentence(value)[-1] not in ".:;!?…")
    assert not ragged, ", ".join(ragged)


@pytest.mark.parametrize("name", sorted(DOORS))
def test_every_module_of_a_folder_says_what_it_is(name):
    silent = [
        path.name
        for path in sorted(DOORS[name].parent.glob("*.py"))
        if path.name != "__main__.py" and not re.match(r'r?"""\S', path.read_text())
    ]
    assert not silent


def test_names_of_normalforms_show_an_example():
    """A doctest on each function, and on each class or one of its methods; a result is shown by what makes it."""
    values = {name: getattr(nf, name) for name in nf.__all__}
    made = {inspect.get_annotations(f).get("return") for f in values.values() if inspect.isfunction(f)}
    without = []
    for name, value in values.items():
        texts = [value.__doc__ or ""]
        if inspect.isclass(value):
            texts += [getattr(member, "__doc__", None) or "" for _, member in members(value)]
        result = name in made or (inspect.isclass(value) and issubclass(value, Exception))
        if not result and not any(">>>" in text for text in texts):
            without.append(name)
    assert not without, ", ".join(without)
