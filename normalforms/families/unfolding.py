"""Which family a map belongs to, read off its formula, and the coefficient of its nonlinear term."""

from __future__ import annotations

from dataclasses import dataclass

import sympy as sp

from normalforms.formulas import symbols
from normalforms.maps import Map

__all__ = ["Unfolding", "is_cusp", "unfolding"]


@dataclass(frozen=True)
class Unfolding:
    """A map recognised as a normal form with its parameter critical at 1.

    Args:
        kind: "stability_flip" ``g h``, "pitchfork" ``g h − c h³``, "period_doubling" ``−(g h − c h³)``,
            "transcritical" ``g h − c h²``, "saddle_node" ``h + (g − 1) − c h²``, "neimark_sacker"
            ``e^{iω} z (g − (c − i c·twist) |z|²)``.
        coefficient: c; 1 in the stability flip.
        twist: ``−Im d/Re d``, so that ``Im d = c·twist``; zero for scalar maps.
        inputs: the symbols of parameter, initial state and horizon.
    """

    kind: str
    coefficient: sp.Expr
    twist: sp.Expr
    inputs: tuple[sp.Symbol, sp.Symbol, sp.Symbol]


def unfolding(m: Map) -> Unfolding:
    """Recognise a map as one of the families, whatever its symbols are called.

    Raises:
        ValueError: it is none of them.

    >>> from normalforms.maps.map import parse_map
    >>> found = unfolding(parse_map("g*x - 2*x^3", state="x", parameter="g"))
    >>> found.kind, found.coefficient
    ('pitchfork', 2)
    """
    if not isinstance(m, Map):
        raise ValueError(f"scaling laws belong to a Map, got {type(m).__name__}")
    found = None
    if len(m.parameters) == 1 and m.dimension == 1:
        found = _scalar(m)
    elif len(m.parameters) == 1 and m.dimension == 2:
        found = _planar(m)
    if found is None:
        raise ValueError(
            f"the map {m.name or m.step} is not a normal form with one parameter critical at 1; reduce it"
            " first and ask the law of its normal form"
        )
    kind, c, twist = found
    return Unfolding(kind, sp.sympify(c), sp.sympify(twist), (m.parameters[0], *symbols("h0 T")))


def is_cusp(m: Map) -> bool:
    """Whether the map is ``β + g h − h³`` with the parameters in that order.

    >>> from normalforms.maps.map import cusp
    >>> is_cusp(cusp())
    True
    """
    if not isinstance(m, Map) or len(m.parameters) != 2 or m.dimension != 1:
        return False
    (beta, g), h = m.parameters, m.states[0]
    return sp.expand(m.steps[0] - beta - g * h + h**3) == 0


def _scalar(m: Map) -> tuple[str, sp.Expr, sp.Expr] | None:
    h, g = m.states[0], m.parameters[0]
    zero = sp.Integer(0)
    if not m.steps[0].is_polynomial(h, g):
        return None
    step = sp.Poly(m.steps[0], h, g)
    terms = {powers: c for powers, c in step.terms() if c != 0}
    linear = terms.pop((1, 1), zero)
    if not terms and linear == 1:
        return "stability_flip", sp.Integer(1), zero
    if len(terms) == 1 and linear in (1, -1):
        (powers, c), sign = terms.popitem(), linear
        if powers == (3, 0):
            return ("pitchfork" if sign == 1 else "period_doubling"), -sign * c, zero
        if powers == (2, 0) and sign == 1:
            return "transcritical", -c, zero
    c = terms.pop((2, 0), zero)
    if linear == 0 and c != 0 and terms == {(1, 0): 1, (0, 1): 1, (0, 0): -1}:
        return "saddle_node", -c, zero
    return None


def _planar(m: Map) -> tuple[str, sp.Expr, sp.Expr] | None:
    """``(x, 0) → e^{iω}(g x + d x³)`` tells ω and d; the named constructor tells that the rest agrees."""
    if m.name != "neimark_sacker":
        return None
    (x, y), g = m.states, m.parameters[0]
    on_axis = sp.Poly((m.steps[0] + sp.I * m.steps[1]).subs(y, 0), x, g)
    d = sp.simplify(on_axis.coeff_monomial(x**3) / on_axis.coeff_monomial(x * g))
    real, imaginary = sp.re(d), sp.im(d)
    if real.is_zero:
        raise ValueError("Re d = 0: the Neimark–Sacker point is degenerate and has no cubic scaling law")
    return "neimark_sacker", -real, sp.simplify(-imaginary / real)
