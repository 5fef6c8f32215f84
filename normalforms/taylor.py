"""Taylor coefficients of an expression by one walk over its graph.

A nested expression such as the eighth iterate of a map shares its parts; differentiating it symbolically, or
expanding it, would visit them 2⁸ times.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import sympy as sp

from normalforms.algebra import tidy

__all__ = ["is_odd", "taylor"]

Monomial = tuple[int, ...]
Series = dict[Monomial, Any]
"""Coefficients by exponents, through a total degree."""


def taylor(
    expressions: Sequence[sp.Expr], point: Mapping[sp.Symbol, Any], degree: int, *, exact: bool = True
) -> list[Series]:
    """The Taylor coefficients of each expression at ``point``, through a total ``degree``.

    ``f(h* + x) = Σ_k a_k x^k``, with ``k`` the exponents of the symbols in the order of ``point``.

    Args:
        expressions: formulas in the symbols of ``point``.
        point: value of every symbol, exact.
        degree: highest total degree.
        exact: SymPy numbers, or Python floats.

    Raises:
        ValueError: an expression has no Taylor series there.

    >>> x = sp.Symbol("x")
    >>> sorted(taylor([x * sp.exp(x)], {x: sp.Integer(0)}, 3)[0].items())
    [((1,), 1), ((2,), 1), ((3,), 1/2)]
    """
    walk = _Walk(point, degree, exact)
    return [walk.series(e) for e in expressions]


class _Walk:
    def __init__(self, point: Mapping[sp.Symbol, Any], degree: int, exact: bool) -> None:
        self.degree = degree
        self.exact = exact
        self.symbols = tuple(point)
        self.constant = (0,) * len(point)
        self.known: dict[sp.Expr, Series] = {}
        for i, (symbol, value) in enumerate(point.items()):
            unit = tuple(int(i == j) for j in range(len(point)))
            self.known[symbol] = self.clean({self.constant: self.number(value), unit: self.number(1)})

    def number(self, value: Any) -> Any:
        if not self.exact:
            return float(value)
        value = tidy(value)
        if value.is_finite is False or (value.is_finite is None and not value.is_number):
            raise ValueError("at is a point where the map is not finite")
        return value

    def clean(self, series: Series) -> Series:
        return {k: a for k, a in series.items() if a != 0}

    def series(self, e: sp.Expr) -> Series:
        if e not in self.known:
            self.known[e] = self.clean(self.compute(e))
        return self.known[e]

    def compute(self, e: sp.Expr) -> Series:
        if not e.free_symbols:
            return {self.constant: self.number(e)}
        if e.is_Add:
            return self.add([self.series(a) for a in e.args])
        if e.is_Mul:
            product = {self.constant: self.number(1)}
            for factor in e.args:
                product = self.multiply(product, self.series(factor))
            return product
        if e.is_Pow:
            return self.power(e.base, e.exp)
        if isinstance(e, sp.Function) and len(e.args) == 1:
            return self.compose(e.func, self.series(e.args[0]))
        raise ValueError(f"{e.func} has no Taylor series here; use sums, products, powers and smooth functions")

    def add(self, parts: list[Series]) -> Series:
        total: Series = {}
        for part in parts:
            for k, a in part.items():
                total[k] = total[k] + a if k in total else a
        return self.tidied(total)

    def tidied(self, series: Series) -> Series:
        return {k: self.number(a) for k, a in series.items()}

    def multiply(self, left: Series, right: Series) -> Series:
        total: Series = {}
        for i, a in left.items():
            room = self.degree - sum(i)
            for j, b in right.items():
                if sum(j) <= room:
                    k = tuple(map(sum, zip(i, j, strict=True)))
                    total[k] = total[k] + a * b if k in total else a * b
        return self.clean(self.tidied(total))

    def power(self, base: sp.Expr, exponent: sp.Expr) -> Series:
        if exponent.free_symbols:
            return self.series(sp.exp(exponent * sp.log(base), evaluate=False))
        inner = self.series(base)
        if exponent.is_Integer and exponent > 0:
            result, square, n = {self.constant: self.number(1)}, inner, int(exponent)
            while n:
                if n & 1:
                    result = self.multiply(result, square)
                n >>= 1
                square = self.multiply(square, square) if n else square
            return result
        return self.compose(lambda x: x**exponent, inner)

    def compose(self, function: Any, inner: Series) -> Series:
        """``f(a + x) = Σ_k f^(k)(a) x^k / k!`` by Horner's rule."""
        start = inner.get(self.constant, self.number(0))
        nilpotent = {k: a for k, a in inner.items() if k != self.constant}
        x = sp.Dummy("x")
        derivatives = [function(x)]
        for _ in range(self.degree):
            derivatives.append(sp.diff(derivatives[-1], x))
        values = []
        for k, derivative in enumerate(derivatives):
            value = derivative.subs(x, start) / sp.factorial(k)
            if not (value.is_finite and value.is_real):
                raise ValueError(f"at is a point where {function(sp.Symbol('x'))} is not smooth and real")
            values.append(self.number(value))
        total: Series = {self.constant: values[-1]}
        for value in reversed(values[:-1]):
            total = self.add([self.multiply(total, nilpotent), {self.constant: value}])
        return total


_ODD_FUNCTIONS = (sp.sin, sp.tan, sp.sinh, sp.tanh, sp.atan, sp.asinh, sp.erf)
_EVEN_FUNCTIONS = (sp.cos, sp.cosh)


def is_odd(e: sp.Expr, symbols: Sequence[sp.Symbol]) -> bool:
    """Whether ``e`` is proven to change sign when all ``symbols`` do, by the parity of its parts.

    True is a proof; False only says that this rule gives none.

    >>> x, g = sp.symbols("x g")
    >>> is_odd(g * sp.tanh(x) - x**3, [x])
    True
    """
    known: dict[sp.Expr, int] = dict.fromkeys(symbols, -1)

    def parity(e: sp.Expr) -> int:
        if e not in known:
            known[e] = rule(e)
        return known[e]

    def rule(e: sp.Expr) -> int:
        if not e.free_symbols & set(symbols):
            return 1
        parts = [parity(a) for a in e.args]
        if e.is_Add:
            return parts[0] if len(set(parts)) == 1 else 0
        if e.is_Mul:
            return int(sp.prod(parts))
        if e.is_Pow and e.exp.is_Integer:
            return parts[0] ** int(e.exp % 2) if parts[0] else 0
        if all(part == 1 for part in parts):
            return 1
        if isinstance(e, _ODD_FUNCTIONS):
            return parts[0]
        return abs(parts[0]) if isinstance(e, _EVEN_FUNCTIONS) else 0

    return parity(e) == -1 or e == 0
