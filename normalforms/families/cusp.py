"""``h' = β + g h − h³``: the imperfect pitchfork, with two parameters."""

from __future__ import annotations

from typing import Any

import sympy as sp

from normalforms.families.record import Family, Member, Rescaled
from normalforms.families.units import exact_number
from normalforms.forms.limits import CuspScaling, Elementary, Regimes, cusp_scaling, table
from normalforms.forms.uniform import CUSP_ORDERS, check_order, implicit_law
from normalforms.formulas import GramFormula, symbols
from normalforms.maps import Map
from normalforms.reduction import NormalForm

__all__ = ["FAMILY", "cusp"]

_h, _g, _beta = sp.symbols("h g beta", real=True)


def cusp() -> Map:
    """``h' = β + g h − h³``: the imperfect pitchfork; two parameters, critical at ``β = 0, g = 1``.

    >>> cusp().parameters
    (beta, g)
    """
    return _cusp(sp.S.NegativeOne)


def _cusp(c3: sp.Expr) -> Map:
    name = "cusp" if c3 == -1 else ""
    return Map(_beta + _g * _h + c3 * _h**3, _h, (_beta, _g), {_h: 0, _beta: 0, _g: 1}, name=name)


def _recognise(m: Map) -> tuple[sp.Expr, sp.Expr] | None:
    """``β + g h − h³`` with the parameters in that order."""
    if len(m.parameters) != 2 or m.dimension != 1:
        return None
    (beta, g), h = m.parameters, m.states[0]
    return (sp.S.One, sp.S.Zero) if sp.expand(m.steps[0] - beta - g * h + h**3) == 0 else None


def _reduced(form: NormalForm) -> Rescaled | None:
    """In ``((c0 m, λ), u)``; the uniform and scaling laws for ``c3 = −1``."""
    c = form.coefficients
    if form.kind != "degenerate" or form.multiplier != 1 or not (c["c2"] == 0 != c["c3"] and c["c0"] != 0):
        return None
    return Rescaled(_cusp(exact_number(c["c3"])))


def _plain(stretch: sp.Expr, gain: sp.Expr) -> None:
    if (stretch, gain) != (1, 1):
        raise ValueError(f"the cusp's law has no stretch and no gain, got {stretch} and {gain}; scale its arguments")


def _uniform(member: Member, order: int, stretch: sp.Expr, gain: sp.Expr) -> GramFormula:
    _plain(stretch, gain)
    return implicit_law(member.map, check_order(order, max(CUSP_ORDERS), "the cusp"))


def _scaling(member: Member, stretch: sp.Expr, gain: sp.Expr) -> CuspScaling:
    _plain(stretch, gain)
    return cusp_scaling(member.map)


def _regimes(member: Member, stretch: sp.Expr, gain: sp.Expr) -> Regimes:
    """``Σ ((gᵗ − 1)/(g − 1))²``, the amplification in β next to h = 0."""
    _plain(stretch, gain)
    beta, g = member.map.parameters
    h, T = symbols("h0 T")
    gap, mu = 1 - g, g - 1
    rest = beta / gap
    below_error = 2 / gap**3 + 9 * T * rest**2 / gap**3 + 9 * (h**2 + rest**2) / gap**4
    at_error = T**2 + T**4 * sp.Abs(mu) + T**4 * h**2 + T**6 * beta**2
    over = g ** (2 * T + 2) / (mu**2 * (g**2 - 1))
    over_error = over * (4 * g**-T + 9 * (h**2 + beta**2 / mu**2) * g ** (2 * T) / mu)
    near = "β and h0 so small that the orbit stays next to 0"
    laws = (
        Elementary(T / gap**2, below_error, f"g < 1, T (1 − g) ≫ 1; {near}", _inside),
        Elementary(T**3 / 3, at_error, f"T |g − 1| ≪ 1; {near}"),
        Elementary(over, over_error, f"g > 1, T (g − 1) ≫ 1; {near}", _outside),
    )
    return table(laws, (beta, g, h, T))


def _inside(beta: Any, g: Any, *_: Any) -> Any:
    return abs(g) < 1


def _outside(beta: Any, g: Any, *_: Any) -> Any:
    return g > 1


FAMILY = Family(
    name="cusp",
    title="Cusp",
    build=cusp,
    recognise=_recognise,
    reduced=_reduced,
    uniform=_uniform,
    orders=max(CUSP_ORDERS),
    scaling=_scaling,
    regimes=_regimes,
)
