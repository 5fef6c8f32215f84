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
    """``m`` about its fixed point at a flip, where the implicit function theorem gives the branch; else ``None``.

    ``h*(g) = h* + v(g − g*)`` with ``Σ_k F_k v^k = v``, ``F_k`` the Taylor coefficients in the state.

    Raises:
        ValueError: see `normalforms.forms.series.expansion.critical_multiplier`.
    """
    if critical_multiplier(m) != -1:
        return None
    x, g = m.states[0], m.parameters[0]
    at = {s: rounded(v) for s, v in dict(m.critical).items()}
    top = _TERMS + _POWERS
    found = taylor([m.steps[0]], {x: at[x], g: at[g]}, top, rational=True)[0]
    table = [poly([found.get((k, j), 0) for j in range(min(_TERMS, top - k + 1))]) for k in range(top + 1)]
    table[0] = table[0] - poly([at[x]])
    equation = [
        table[0] - poly([table[0].coeffs()[0] if table[0].degree() >= 0 else 0]),
        table[1] - poly([1]),
        *table[2:],
    ]
    v = root(equation, _TERMS)
    offset = g - at[g]
    moved = [to_expr(_shown(_shifted(table, v, k)), offset) for k in range(_POWERS + 1)]
    return Followed(m, at[x] + to_expr(_shown(v), offset), None, tuple(moved))


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
