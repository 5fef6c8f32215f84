"""The units of the named families: state h, parameter g, critical at ``h = 0, g = 1``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import sympy as sp

from normalforms.maps import Map

__all__ = ["critical_map", "exact_number", "monomials", "one_term"]

_h, _g = sp.symbols("h g", real=True)


def critical_map(name: str, step: Callable[[sp.Symbol, sp.Symbol], sp.Expr]) -> Map:
    """The map ``h' = step(h, g)``, critical at ``h = 0, g = 1``."""
    return Map(step(_h, _g), _h, _g, {_h: 0, _g: 1}, name=name)


def monomials(m: Map) -> dict[tuple[int, int], sp.Expr] | None:
    """Coefficients of a scalar polynomial map by the powers of state and parameter; ``None`` of any other map."""
    if len(m.parameters) != 1 or m.dimension > 1 or not m.steps[0].is_polynomial(m.states[0], m.parameters[0]):
        return None
    return {powers: c for powers, c in sp.Poly(m.steps[0], m.states[0], m.parameters[0]).terms() if c != 0}


def one_term(sign: int, power: int) -> Callable[[Map], tuple[sp.Expr, sp.Expr] | None]:
    """Recogniser of the maps ``sign · (g h − c hᵖᵒʷᵉʳ)``: their c, and no twist."""

    def recognise(m: Map) -> tuple[sp.Expr, sp.Expr] | None:
        terms = monomials(m)
        if terms is None or set(terms) != {(1, 1), (power, 0)} or terms[1, 1] != sign:
            return None
        return -sign * terms[power, 0], sp.S.Zero

    return recognise


def exact_number(value: Any) -> sp.Expr:
    """A coefficient as a SymPy number."""
    return sp.sympify(value)
