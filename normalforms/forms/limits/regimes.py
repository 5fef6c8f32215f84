"""Regimes: elementary laws of the amplification far below, at and far above a bifurcation, with errors."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import sympy as sp

from normalforms.exact import ExpMoment
from normalforms.formulas import Domain, Equations, Formula, Program

__all__ = ["Elementary", "Regime", "Regimes", "above", "below", "log1p", "plateau", "sine", "table"]

NAMES = ("subcritical", "critical", "supercritical")


@dataclass(frozen=True, eq=False)
class Regime(Formula):
    """An elementary law with the size of its error: ``A_T(g, h0) = expr + O(error)`` where it `holds`.

    A call warns where `error` exceeds half the value and returns ``nan`` where it exceeds the value.

    Args:
        expression: the law, in `symbols`.
        symbols: parameter, initial state, horizon.
        domain: where it holds.
        error: leading terms of what is left out, positive, in `symbols`.

    >>> from normalforms import stability_flip
    >>> from normalforms.law import amplification
    >>> amplification(stability_flip()).regimes()["critical"].expr
    T**3*h0**2/3
    """

    error: sp.Expr = field(default=sp.Integer(0), kw_only=True)

    @property
    def holds(self) -> str:
        """Where the law holds, for the reader."""
        return str(self.domain)

    def __repr__(self) -> str:
        return f"Regime({self.expr}, error={self.error}, holds={self.holds!r})"


class Regimes(Mapping[str, Regime]):
    """The laws "subcritical", "critical" and "supercritical", read-only, and what they have in common.

    A call gives the value of each.
    """

    def __init__(self, laws: Mapping[str, Regime]) -> None:
        self._laws = dict(laws)

    def __getitem__(self, name: str) -> Regime:
        return self._laws[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._laws)

    def __len__(self) -> int:
        return len(self._laws)

    @property
    def symbols(self) -> tuple[sp.Symbol, ...]:
        """The symbols of each law, in call order."""
        return next(iter(self.values())).symbols

    @property
    def domain(self) -> Domain:
        """Where each law holds."""
        return Domain("; ".join(f"{name}: {law.holds}" for name, law in self.items()))

    def __call__(self, *arguments: Any) -> dict[str, Any]:
        """The value of each law, by its name; each warns on its own."""
        return {name: law(*arguments) for name, law in self.items()}

    def mapped(self, change: Callable[[Regime], Regime]) -> Regimes:
        """``change`` of every law."""
        return Regimes({name: change(law) for name, law in self.items()})

    def printed(self) -> Equations:
        """The laws as equations, left and right sides."""
        return tuple((sp.Symbol(f"A_{name}"), law.expr) for name, law in self.items())

    def latex(self) -> str:
        """The laws as LaTeX, one below the other."""
        return "\n".join(law.latex() for law in self.values())

    def code(self, language: str = "python", name: str | None = None) -> str:
        """Source of one function for each law, called as its regime, after ``name`` where that is given."""
        prefix = "" if name is None else f"{name}_"
        return "\n".join(law.code(language, prefix + regime) for regime, law in self.items())

    def __repr__(self) -> str:
        return "{" + ", ".join(f"{name!r}: {law!r}" for name, law in self.items()) + "}"


@dataclass(frozen=True)
class Elementary:
    """Expression, error, where it holds; where the expression cancels, one to compute with instead, and then
    the error is relative."""

    expr: sp.Expr
    error: sp.Expr
    sentence: str
    holds: Callable[..., Any] | None = None
    stable: sp.Expr | None = None

    def regime(self, inputs: tuple[sp.Symbol, ...], factor: sp.Expr) -> Regime:
        """``factor`` times the law, as a formula of ``inputs``."""
        expr, error = factor * self.expr, sp.Abs(factor) * self.error
        value, bound = expr, error
        if self.stable is not None:
            value = factor * self.stable
            error, bound = sp.Abs(expr) * self.error, sp.Abs(value) * self.error
        return Regime(
            expr,
            inputs,
            Domain(self.sentence, self.holds, tolerance=0.5),
            program=Program(inputs, (value,)),
            guard=Program(inputs, (value, bound)),
            error=error,
        )


def table(laws: tuple[Elementary, ...], inputs: tuple[sp.Symbol, ...], factor: sp.Expr = sp.S.One) -> Regimes:
    """The three laws, below, at and above the bifurcation, as formulas of ``inputs``."""
    return Regimes({name: law.regime(inputs, factor) for name, law in zip(NAMES, laws, strict=True)})


def below(g: Any, *_: Any) -> Any:
    """``|g| < 1``."""
    return abs(g) < 1


def above(g: Any, *_: Any) -> Any:
    """``g > 1``."""
    return g > 1


def plateau(g: sp.Expr, h: sp.Expr, T: sp.Expr) -> tuple[sp.Expr, sp.Expr]:
    """``h² (1 + g²)/(1 − g²)³``, the linear law at ``T → ∞``, and how far it is off at T."""
    gap = 1 - g**2
    return h**2 * (1 + g**2) / gap**3, h**2 * g ** (2 * T) * ((T + 1 / gap) ** 2 + g**2 / gap**2) / gap


def sine(z: sp.Expr, order: int) -> sp.Expr:
    """``(sinh z − z)/z³`` or, of order 5, ``(sinh z − z − z³/6)/z⁵``, as a sum of positive moments."""
    k = order - 1
    both = sp.exp(z) * ExpMoment(k, -z) + sp.exp(-z) * ExpMoment(k, z)
    return both / (2 * sp.factorial(k))


def log1p(z: sp.Expr) -> sp.Expr:
    """``ln(1 + z)`` without cancellation at small z."""
    return 2 * sp.atanh(z / (2 + z))
