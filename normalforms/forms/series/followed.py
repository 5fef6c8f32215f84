"""A scalar map about a fixed point that is no rational function of the parameter, followed as a power series of it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import sympy as sp

from normalforms.exact import Poly, poly, root, rounded, shortened, taylor, to_expr, truncated
from normalforms.forms.series.expansion import Local, critical_multiplier
from normalforms.maps import Map

__all__ = ["Followed", "followed"]

_TERMS, _POWERS = 18, 8
"""Terms of the series in the parameter, and powers of the state that they are known for."""
_ZERO = sp.Float("1e-30")


@dataclass(frozen=True)
class Followed(Local):
    """`Local` with a fixed point and coefficients that are polynomials in ``g − g*``, their Taylor polynomials.

    Args:
        coefficients: ``f_k`` by k.
    """

    coefficients: tuple[sp.Expr, ...] = ()

    def coefficient(self, k: int) -> sp.Expr:
        """``f_k(g)``; zero beyond those that are known."""
        return self.coefficients[k] if k < len(self.coefficients) else sp.Integer(0)

    def powers(self, order: int) -> list[int]:
        """The known ``k ≤ order`` with a coefficient that is not zero."""
        return [k for k in range(1, min(order, _POWERS) + 1) if self.coefficient(k) != 0]


@cache
def followed(m: Map) -> Followed | None:
    """``m`` about its fixed point as a power series of the parameter; ``None`` where no branch goes through (a fold).

    ``h*(g) = h* + v(g − g*)`` with ``Σ_k F_k v^k = v``, ``F_k`` the Taylor coefficients in the state. At a flip the
    implicit function theorem gives the branch. At a multiplier of 1 two branches cross where ``∂_g f = 0``: with
    ``v = (g − g*) w`` the equation has the simple roots ``w`` of a quadratic, and the branch that moves least is taken.

    Raises:
        ValueError: see `normalforms.forms.series.expansion.critical_multiplier`.
    """
    x, g = m.states[0], m.parameters[0]
    at = {s: rounded(v) for s, v in dict(m.critical).items()}
    top = _TERMS + _POWERS
    found = taylor([m.steps[0]], {x: at[x], g: at[g]}, top, rational=True)[0]
    table = [poly([found.get((k, j), 0) for j in range(min(_TERMS + 2, top - k + 1))]) for k in range(top + 1)]
    table[0] = table[0] - poly([at[x]])
    equation = [_without_constant(table[0]), table[1] - poly([1]), *table[2:]]
    v = root(equation, _TERMS) if critical_multiplier(m) == -1 else _crossing(equation)
    if v is None:
        return None
    offset = g - at[g]
    moved = [to_expr(_shown(_shifted(table, v, k)), offset) for k in range(_POWERS + 1)]
    return Followed(m, at[x] + to_expr(_shown(v), offset), None, tuple(moved))


def _without_constant(series: Poly) -> Poly:
    return series - poly([series.coeffs()[0] if series.degree() >= 0 else 0])


def _crossing(equation: list[Poly]) -> Poly | None:
    """``v = m w`` of two branches that cross at ``m = 0``; ``None`` where they do not, or coincide to first order."""
    start = [_number(equation[0], 1), _number(equation[0], 2), _number(equation[1], 1), _number(equation[2], 0)]
    force, drift, slope, bend = start
    room = slope**2 - 4 * bend * drift
    if abs(force) > _ZERO or room < _ZERO:
        return None
    # of the roots of drift + slope w + bend w², the smaller one
    away = -slope - sp.sqrt(room) if slope >= 0 else -slope + sp.sqrt(room)
    least = rounded(2 * drift / away)
    scaled = [_over(_without_constant(equation[0]), 2), _over(_without_constant(equation[1]), 1)]
    scaled += [c * poly([0] * k + [1]) for k, c in enumerate(equation[2:])]
    about = []
    for k in range(len(scaled)):
        terms = (c * (math.comb(j, k) * poly([least]) ** (j - k)) for j, c in enumerate(scaled[k:], k))
        about.append(sum(terms, poly([])))
    w = root([_without_constant(about[0]), *about[1:]], _TERMS) + poly([least])
    return truncated(w * poly([0, 1]), _TERMS)


def _number(series: Poly, k: int) -> sp.Expr:
    found = series.coeffs()
    return sp.QQ.to_sympy(sp.QQ.convert(found[k])) if k < len(found) else sp.Integer(0)


def _over(series: Poly, power: int) -> Poly:
    """``series/m^power``, without the terms below, which are rounding."""
    return poly([sp.QQ.convert(c) for c in series.coeffs()[power:]])


def _shifted(table: list[Poly], v: Poly, k: int) -> Poly:
    """``Σ_i C(i, k) F_i v^{i−k}``."""
    total, power = poly([]), poly([1])
    for i in range(k, len(table)):
        total = truncated(total + table[i] * power * math.comb(i, k), _TERMS)
        power = shortened(truncated(power * v, _TERMS))
    return total


def _shown(series: Poly) -> Poly:
    """Coefficients of 30 digits, and none that is rounding."""
    found = [
        rounded(sp.Rational(int(c.numerator), int(c.denominator)))
        for c in map(sp.polys.domains.QQ.convert, series.coeffs())
    ]
    return poly([sp.polys.domains.QQ.from_sympy(sp.Rational(0) if abs(c) < _ZERO else _brief(c)) for c in found])


def _brief(c: sp.Rational) -> sp.Rational:
    return c if c.q < 10**20 else sp.Rational(sp.N(c, 30)).limit_denominator(10**18)
