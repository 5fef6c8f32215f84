"""Taylor coefficients of an expression by one walk over its graph.

A nested expression such as the eighth iterate of a map shares its parts; differentiating it symbolically, or
expanding it, would visit them 2⁸ times.
"""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from typing import Any

import mpmath
import sympy as sp

from normalforms.exact.linear import is_zero, tidy

__all__ = ["BorderError", "is_odd", "rounded", "taylor"]

Monomial = tuple[int, ...]
Series = dict[Monomial, Any]
"""Coefficients by exponents, through a total degree."""


def taylor(
    expressions: Sequence[sp.Expr],
    point: Mapping[sp.Symbol, Any],
    degree: int,
    *,
    exact: bool = True,
    weights: Sequence[int] | None = None,
    rational: bool = False,
) -> list[Series]:
    """The Taylor coefficients of each expression at ``point``, through a total ``degree``.

    ``f(h* + x) = Σ_k a_k x^k``, with ``k`` the exponents of the symbols in the order of ``point``.

    Args:
        expressions: formulas in the symbols of ``point``.
        point: value of every symbol, exact.
        degree: highest total degree.
        exact: SymPy numbers, or Python floats.
        weights: what each symbol counts in the degree; 1 by default.
        rational: irrational numbers become fractions that agree to 40 digits, and fractions of more than 120 digits
            ones of 90.

    Raises:
        ValueError: an expression has no Taylor series there.

    >>> x = sp.Symbol("x")
    >>> sorted(taylor([x * sp.exp(x)], {x: sp.Integer(0)}, 3)[0].items())
    [((1,), 1), ((2,), 1), ((3,), 1/2)]
    """
    walk = _Walk(point, degree, exact, tuple(weights or (1,) * len(point)), rational)
    return [walk.series(e) for e in expressions]


class BorderError(ValueError):
    """A piecewise map has no Taylor series at the border of two pieces; the message names what switches."""


class _Walk:
    def __init__(
        self, point: Mapping[sp.Symbol, Any], degree: int, exact: bool, weights: tuple[int, ...], rational: bool
    ) -> None:
        self.degree = degree
        self.exact = exact
        self.weights = weights
        self.rational = rational
        self.symbols = tuple(point)
        self.constant = (0,) * len(point)
        self.known: dict[sp.Expr, Series] = {}
        for i, (symbol, value) in enumerate(point.items()):
            unit = tuple(int(i == j) for j in range(len(point)))
            self.known[symbol] = self.clean({self.constant: self.number(value), unit: self.number(1)})

    def number(self, value: Any) -> Any:
        if not self.exact:
            return float(value)
        value = _shorter(rounded(value)) if self.rational else tidy(value)
        if value.is_finite is False or (value.is_finite is None and not value.is_number):
            raise ValueError("at is a point where the map is not finite")
        return value

    def weight(self, powers: Monomial) -> int:
        return sum(map(operator.mul, self.weights, powers))

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
        if isinstance(e, (sp.Max, sp.Min)):
            return self.largest(e)
        if isinstance(e, (sp.Abs, sp.sign)):
            return self.signed(e)
        if isinstance(e, sp.Function) and len(e.args) == 1:
            return self.compose(e.func, self.series(e.args[0]))
        raise ValueError(f"{e.func} has no Taylor series here; use sums, products, powers and smooth functions")

    def largest(self, e: sp.Expr) -> Series:
        """Of a maximum or minimum, the piece that is active at the point."""
        rows = [self.series(a) for a in e.args]
        heads = [sp.sympify(row.get(self.constant, 0)) for row in rows]
        first = 0
        for i in range(1, len(rows)):
            gap = self.side(heads[i] - heads[first], e)
            if (gap > 0) == isinstance(e, sp.Max):
                first = i
        return rows[first]

    def signed(self, e: sp.Expr) -> Series:
        """Of a modulus or a sign, the piece that is active at the point."""
        inner = self.series(e.args[0])
        side = self.side(sp.sympify(inner.get(self.constant, 0)), e)
        if isinstance(e, sp.sign):
            return {self.constant: self.number(side)}
        return {k: side * a for k, a in inner.items()}

    def side(self, gap: sp.Expr, e: sp.Expr) -> int:
        """The sign of a number.

        Raises:
            BorderError: it is zero, and the map has a kink there.
        """
        number = sp.N(gap, 30)
        if abs(number) <= (0 if not self.exact else 1e-25) or is_zero(gap):
            raise BorderError(f"{e} switches between two pieces there")
        return 1 if number > 0 else -1

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
            room = self.degree - self.weight(i)
            for j, b in right.items():
                if self.weight(j) <= room:
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
        count = self.degree // min(map(self.weight, nilpotent), default=self.degree + 1)
        numeric = self.rational and isinstance(function, type)  # powers have short derivatives
        values = (self.values if numeric else self.derivatives)(function, start, count)
        if not all(value.is_finite and value.is_real for value in values):
            raise ValueError(f"at is a point where {function(sp.Symbol('x'))} is not smooth and real")
        values = [self.number(value) for value in values]
        total: Series = {self.constant: values[-1]}
        for value in reversed(values[:-1]):
            total = self.add([self.multiply(total, nilpotent), {self.constant: value}])
        return total

    @staticmethod
    def derivatives(function: Any, start: Any, count: int) -> list[sp.Expr]:
        """``f^(k)(start)/k!`` for k through ``count``, exactly."""
        x = sp.Dummy("x")
        derivatives = [function(x)]
        for _ in range(count):
            derivatives.append(sp.diff(derivatives[-1], x))
        return [d.subs(x, start) / sp.factorial(k) for k, d in enumerate(derivatives)]

    @staticmethod
    def values(function: Any, start: Any, count: int) -> list[sp.Expr]:
        """The same to 50 digits: high derivatives have long formulas."""
        x = sp.Dummy("x")
        with mpmath.workdps(60):
            value = sp.lambdify(x, function(x), "mpmath")
            return [sp.sympify(v) for v in mpmath.taylor(value, mpmath.mpf(int(start.p)) / int(start.q), count)]


_LONG, _KEPT = 400, 300
"""Bits of a denominator that is too long, and significant ones of what is left."""


def _shorter(number: sp.Expr) -> sp.Expr:
    """A long fraction with a power of two below it: products of such ones do not grow."""
    if not number.is_Rational or number.q.bit_length() <= _LONG:
        return number
    places = _KEPT + max(number.q.bit_length() - abs(number.p).bit_length(), 0)
    return sp.Rational((number.p << places) // number.q, 1 << places)


def rounded(number: Any) -> sp.Expr:
    """A real number as a fraction: itself where it is a short one, else one that agrees to 40 digits.

    >>> rounded(sp.Float("0.333333333333333333333333333333333333333333333333", 48)), rounded(sp.Integer(2))
    (1/3, 2)
    """
    number = sp.sympify(number)
    if number.is_Rational:
        return number
    value = sp.N(number, 50)
    return sp.Rational(value).limit_denominator(10**20) if value.is_Float else value


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
