"""What scaling functions with a Bernoulli flow are made of: dilogarithms of ``D = 1 + y (e^U − 1)/x``."""

from __future__ import annotations

import sympy as sp

from normalforms.formulas import symbols

__all__ = ["Where", "abbreviations", "polylogarithm"]

Where = tuple[tuple[sp.Symbol, sp.Expr], ...]

_x, _y, _D, _P, _b, _n, _r = symbols("x y D P b n r")


def polylogarithm(order: int, z: sp.Expr) -> sp.Expr:
    """``Re Li_order(z)``."""
    return sp.re(sp.polylog(order, z))


def abbreviations(U: sp.Expr) -> Where:
    """``P = ∫N/(D(D − b)) dD``, ``n = N/D``, ``N = D − 1 + b u`` along ``D = 1 + y(e^u − 1)/x``, u ≤ U."""
    P = U * (1 + U - sp.log(sp.Abs(_x * _D / _y))) + polylogarithm(2, _r * sp.exp(-U)) - polylogarithm(2, _r)
    return (
        (_P, P - (U - sp.log(_D)) / _b),
        (_n, (_D - 1 + _b * U) / _D),
        (_D, 1 + _y * (sp.exp(U) - 1) / _x),
        (_b, 1 - _y / _x),
        (_r, 1 - _x / _y),
    )
