"""Exact amplification polynomials at an integer horizon."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import sympy as sp

from normalforms.exact import Poly, from_expr, poly, to_expr
from normalforms.forms.series.expansion import Local

__all__ = ["Row", "convolve", "exact_coefficients", "exact_expression"]

Row = dict[int, Poly]
"""Coefficients by power of ``x_0``."""


def convolve(a: Row, b: Row, order: int) -> Row:
    """The product of two truncated series; a square costs half."""
    out: Row = {}
    for i, u in a.items():
        for j, v in b.items():
            if i + j > order or (a is b and j < i):
                continue
            term = u * v * 2 if a is b and j > i else u * v
            out[i + j] = out[i + j] + term if i + j in out else term
    return out


@cache
def exact_coefficients(form: Local, horizon: int, order: int) -> Row:
    """``A_T = Σ_k coefficients[k](g) x_0^k`` through ``order``, times ``q⁴`` where ``dh*/dg = p/q²``.

    The recursion of the orbit on truncated series in ``x_0`` whose coefficients are polynomials in ``g``.

    Raises:
        ValueError: a coefficient of the map is not a polynomial in the parameter with rational coefficients.
    """
    g = form.map.parameters[0]
    drift, bottom = form.drift
    top = order + 1 if drift else max(order - 1, 1)
    factors = {k: from_expr(form.coefficient(k), g, rounding=True) for k in form.powers(top)}
    square = bottom * bottom
    a: Row = {1: poly([1])}
    total: Row = {}
    for _ in range(horizon):
        power, degree, new = a, 1, {}
        for k, f in factors.items():
            while degree < k:
                power, degree = convolve(power, a, top), degree + 1
            for i, u in power.items():
                new[i] = new[i] + f * u if i in new else f * u
        a = new
        s = {k: u.derivative() * square for k, u in a.items()}
        if drift:
            s[0] = drift
            for k, u in a.items():
                s[k - 1] = s.get(k - 1, poly([])) - drift * u * k
        for k, u in convolve(s, s, order).items():
            total[k] = total[k] + u if k in total else u
    return dict(sorted(total.items()))


def exact_expression(form: Local, horizon: int, order: int, power: Callable[[int], sp.Expr]) -> sp.Expr:
    """`exact_coefficients` as an expression in ``g``, with ``power(k)`` for ``x_0**k``."""
    g = form.map.parameters[0]
    rows = exact_coefficients(form, horizon, order)
    return sp.Add(*(to_expr(u, g) * power(k) for k, u in rows.items())) / to_expr(form.drift[1], g) ** 4
