"""`Family`: one record that says all that the package knows of a family of maps."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import sympy as sp

from normalforms.forms.limits import CuspScaling, Regimes, Scaling
from normalforms.forms.uniform import Measured
from normalforms.formulas import Formula, GramFormula, Notation, symbols
from normalforms.maps import Map
from normalforms.reduction import NormalForm

__all__ = ["Family", "LimitFlow", "Member", "Option", "Rescaled", "notation"]


@dataclass(frozen=True)
class Rescaled:
    """A member of a family behind somebody's own units: ``A = gain · A_map(g, stretch · h0)``.

    Args:
        map: the map.
        stretch: factor from the caller's ``h0`` to the map's.
        gain: factor from the map's ``A`` to the caller's.
    """

    map: Map
    stretch: sp.Expr = sp.S.One
    gain: sp.Expr = sp.S.One


@dataclass(frozen=True)
class Member:
    """A map recognised as a member of a family, its parameter critical at 1.

    Args:
        family: the family.
        map: the map.
        coefficient: c of the nonlinear term; 1 where there is none.
        twist: ``−Im d/Re d`` of a planar map; zero for scalar ones.
    """

    family: Family
    map: Map
    coefficient: sp.Expr = sp.S.One
    twist: sp.Expr = sp.S.Zero

    @property
    def kind(self) -> str:
        """Name of the family."""
        return self.family.name

    @property
    def inputs(self) -> tuple[sp.Symbol, ...]:
        """The symbols of parameter, initial state and horizon."""
        return (*self.map.parameters, *symbols("h0 T"))


@dataclass(frozen=True)
class Option:
    """A number that a family's constructor takes, for the command line.

    Args:
        name: of the constructor's argument, and of the option.
        help: what it is.
        default: text that is read where none is given.
        complex: two numbers, RE,IM.
    """

    name: str
    help: str
    default: str
    complex: bool = False


@dataclass(frozen=True)
class LimitFlow:
    """The flow behind a family's scaling function, and what descent through it has in closed form.

    Args:
        orbit: ``H(τ; x, y)``, the flow of the scaling limit, in ``x``, ``y``, ``tau``; ``Ψ = ∫ (∂H/∂x)² dτ``.
        equation: its differential equation, for the reader.
        closed: elementary cases of ``Λ = ∫_0^1 (H(τ; x, y) − H(τ; x_T, y))² dτ`` by name, in ``x``, ``x_T``, ``y``;
            ``"every teacher"`` where there is no other case.
        plateau: k of ``c = (8x − k y)/3``, in which descent takes ``2T(1−g)³/(9ηh0²) (1 − 3c/(2T(1−g)))`` steps from
            far below the bifurcation; ``None`` where orbits leave there.
    """

    orbit: sp.Expr
    equation: str
    closed: Mapping[str, sp.Expr] = field(default_factory=dict)
    plateau: sp.Expr | None = None


Recogniser = Callable[[Map], "tuple[sp.Expr, sp.Expr] | None"]
Maker = Callable[[Member, int, sp.Expr, sp.Expr], "Formula | GramFormula"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Family:
    """What a family of maps is, and the forms that its law has beside those of every map.

    Every map has iteration, series, exact polynomials, enclosures and averages. A family adds what it declares here;
    a form that is ``None`` it does not have.

    Args:
        name: as normal forms call their kind.
        title: for the reader.
        build: makes a member; all its arguments have defaults here.
        recognise: coefficient and twist of a map that is a member, ``None`` of any other.
        reduced: the member behind a normal form, ``None`` where it belongs to another family.
        limit: the member with the same scaling limit and regimes as a map that is none, ``None`` for others.
        series: the series of a map to an order, with gain, where it is another than that of every map; ``None`` there.
        uniform: the uniform law of a member to an order, with stretch and gain.
        orders: highest order of the uniform law; ``None`` where every order is exact.
        measured: where the uniform law was measured, and its errors there; ``None`` where it is exact.
        scaling: the scaling function of a member, with stretch and gain.
        regimes: its elementary laws, with stretch and gain.
        flow: the flow of the scaling limit, for descent.
        modulus: the law of a planar map knows ``|h0|`` alone, so that a plain number is an initial state too.
        directed: members whose law knows the direction of ``h0`` all the same.
        options: numbers that ``build`` takes.
        equation: the map as LaTeX; by default that of its formula.
        law_class: families with the same law up to scales share it, as a fit cannot tell them apart; by default
            the family's own name.
        window: of the parameter, where the law is drawn.
        drawn: formula of the map as plain text, for the figure of laws; empty where it is not drawn.
    """

    name: str
    title: str
    build: Callable[..., Map]
    recognise: Recogniser
    reduced: Callable[[NormalForm], Rescaled | None] = lambda form: None
    limit: Callable[[Map], Rescaled | None] = lambda m: None
    series: Callable[[Map, int, sp.Expr], Formula | None] = lambda m, order, gain: None
    uniform: Maker | None = None
    orders: int | None = None
    measured: Measured | None = None
    scaling: Callable[[Member, sp.Expr, sp.Expr], Scaling | CuspScaling] | None = None
    regimes: Callable[[Member, sp.Expr, sp.Expr], Regimes] | None = None
    flow: LimitFlow | None = None
    modulus: bool = False
    directed: Callable[[Map], bool] = lambda m: False
    options: tuple[Option, ...] = ()
    equation: str | None = None
    law_class: str = ""
    window: tuple[float, float] = (0.8, 1.4)
    drawn: str = ""
    defaults: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.law_class:
            object.__setattr__(self, "law_class", self.name)

    def map(self, **options: Any) -> Map:
        """A member: with the defaults of the family, or with options of its own.

        Raises:
            ValueError: an option that the family does not have.
        """
        unknown = set(options) - {option.name for option in self.options}
        if unknown:
            known = ", ".join(option.name for option in self.options) or "none"
            raise ValueError(f"{self.name} has no option {sorted(unknown)[0]}; it has {known}")
        return self.build(**{**self.defaults, **options})

    def member(self, m: Map) -> Member | None:
        """``m`` as a member of this family, ``None`` where it is none."""
        found = self.recognise(m)
        return None if found is None else Member(self, m, *map(sp.sympify, found))

    def notation(self, m: Map) -> Notation:
        """How parameters and initial states of a member are given."""
        return notation(m, self.modulus and not self.directed(m))

    def latex(self, m: Map) -> str:
        """The map for the reader."""
        return self.equation or f"h' = {sp.latex(m.steps[0])}"


def notation(m: Map, modulus: bool = False) -> Notation:
    """How parameters and initial states of a map are given."""
    return Notation(tuple(p.name for p in m.parameters), m.dimension, modulus)
