"""The registry of families: every question that the rest of the package has about them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import cache, lru_cache
from importlib import import_module
from types import MappingProxyType

from normalforms.families import NAMES
from normalforms.families.record import Family, Member, Rescaled
from normalforms.maps import Map
from normalforms.reduction import NormalForm

__all__ = [
    "FamilyError",
    "families",
    "family",
    "find",
    "limiting",
    "placed",
    "recognise",
    "reduced",
    "registered",
    "spoken",
]


class FamilyError(ValueError):
    """A map, a normal form or a name that belongs to no family, or a form that its family does not have."""


@cache
def _known() -> dict[str, Family]:
    """One record from each file, in the order of `NAMES`."""
    return {name: import_module(f"normalforms.families.{name}").FAMILY for name in NAMES}


def families() -> Mapping[str, Family]:
    """Every family by its name, in the order in which they are shown.

    >>> [name for name, family in families().items() if family.modulus]
    ['neimark_sacker']
    """
    return MappingProxyType(_known())


@contextmanager
def registered(record: Family) -> Iterator[Family]:
    """A family of one's own, known to every form, to fits, the command line and the gallery while the block runs.

    Raises:
        FamilyError: its name is taken.
    """
    if record.name in _known():
        raise FamilyError(f"family {record.name!r} is known already; give it another name")
    _known()[record.name] = record
    _found.cache_clear()
    try:
        yield record
    finally:
        del _known()[record.name]
        _found.cache_clear()


def family(name: str) -> Family:
    """The family of this name.

    Raises:
        FamilyError: there is none.

    >>> family("pitchfork").title
    'Pitchfork'
    """
    if name not in _known():
        raise FamilyError(f"family {name!r} is unknown; known are {', '.join(_known())}")
    return _known()[name]


def spoken(kind: str) -> str:
    """The name of a family, or of another kind of bifurcation, as it stands within a sentence.

    >>> [spoken(kind) for kind in ("neimark_sacker", "saddle_node", "border_collision")]
    ['Neimark–Sacker', 'saddle-node', 'border collision']
    """
    title = _known()[kind].title if kind in _known() else kind.replace("_", " ")
    return title if "–" in title else title.lower()  # a dash between people's names


def find(m: Map) -> Member | None:
    """A map as a member of the family that it belongs to, whatever its symbols are called; ``None`` of others."""
    if not isinstance(m, Map):
        raise FamilyError(f"families are of Maps, got {type(m).__name__}")
    return _found(m)


@lru_cache(maxsize=1024)  # every call of a law asks, and the answer takes SymPy milliseconds
def _found(m: Map) -> Member | None:
    return next((member for record in _known().values() if (member := record.member(m)) is not None), None)


def recognise(m: Map) -> Member:
    """A map as a member of the family that it belongs to.

    Raises:
        FamilyError: it belongs to none.

    >>> from normalforms.maps import parse_map
    >>> found = recognise(parse_map("g*x - 2*x^3", state="x", parameter="g"))
    >>> found.kind, found.coefficient
    ('pitchfork', 2)
    """
    found = find(m)
    if found is None:
        raise FamilyError(
            f"the map {m.name or m.step} is not a normal form with one parameter critical at 1; reduce it"
            " first and ask the law of its normal form"
        )
    return found


def placed(m: Map) -> Map:
    """A map at the bifurcation of the family that it belongs to, where it carries none; any other map as it is.

    >>> from normalforms.maps import parse_map
    >>> placed(parse_map("x^3 - r*x", state="x", parameter="r")).critical
    {r: 1, x: 0}
    """
    found = find(m) if m.critical is None else None
    if found is None:
        return m
    own = found.family.build()
    values = (dict(own.critical)[s] for s in (*own.states, *own.parameters))
    return replace(m, critical=dict(zip((*m.states, *m.parameters), values, strict=True)))


def limiting(m: Map) -> Rescaled:
    """The member of a family with the same scaling limit and regimes: the map itself, where it is one."""
    if find(m) is None:
        for record in _known().values():
            found = record.limit(m)
            if found is not None:
                return found
    return Rescaled(m)


def reduced(form: NormalForm) -> Rescaled:
    """The member of a family that a normal form is, in the critical multiplier and the eigen-coordinate.

    Raises:
        FamilyError: it belongs to none.
    """
    for record in _known().values():
        found = record.reduced(form)
        if found is not None:
            return found
    c = dict(form.coefficients)
    raise FamilyError(f"a {form.kind} normal form has no scalar amplification law; its coefficients are {c}")
