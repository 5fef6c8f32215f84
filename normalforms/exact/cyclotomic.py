"""Fractions whose denominators are products of known polynomials: ``λ(g)`` and the cyclotomic ``Φ_d(λ(g))``.

They add, multiply and differentiate without a polynomial greatest common divisor; common factors are found by
trial division.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, reduce
from operator import add, sub

import sympy as sp

from normalforms.exact.polynomials import Poly, poly, primitive, to_expr, value

__all__ = ["Base", "Den", "Fraction", "combined", "divisors", "exponents", "lcm", "q_exponents", "total"]

_POINT = 1009
"""Where values tell of most polynomials, without dividing them, that they have no factor in common."""

Den = tuple[int, ...]
"""Exponents of a denominator, that of ``Base.factor(d)`` at place ``d + 1``; see `exponents`."""


@dataclass(frozen=True, eq=False)
class Base:
    """The polynomials that denominators are made of: ``λ``, the cyclotomic ``Φ_d(λ)``, and one of the caller's."""

    multiplier: Poly
    extra: Poly

    def factor(self, d: int) -> Poly:
        """``Φ_d(λ)`` for ``d ≥ 1``, ``λ`` for 0, the caller's for −1."""
        return _factor(self, d)


@cache
def _factor(base: Base, d: int) -> Poly:
    if d <= 0:
        return base.multiplier if d == 0 else base.extra
    out = base.multiplier**d - poly([1])
    for lower in divisors(d)[:-1]:
        out = out // base.factor(lower)
    return out


@cache
def _power(base: Base, d: int, n: int) -> Poly:
    return base.factor(d) ** n


@cache
def _denominator(base: Base, den: Den) -> Poly:
    out = poly([1])
    for d, n in _present(den):
        out = out * _power(base, d, n)
    return out


@cache
def _slopes(base: Base, den: Den) -> tuple[tuple[int, Poly], ...]:
    """``factor' · (product of the others)`` for every factor, ``den`` having each once."""
    radical = _denominator(base, den)
    return tuple((d, (radical // base.factor(d)) * base.factor(d).derivative()) for d, _ in _present(den))


@cache
def _mark(base: Base, d: int) -> int:
    """The value at `_POINT` of a factor without content: it divides that of every multiple with whole coefficients."""
    return abs(value(primitive(base.factor(d)), _POINT)) or 1


def _present(den: Den) -> list[tuple[int, int]]:
    return [(place - 1, n) for place, n in enumerate(den) if n]


@dataclass(frozen=True)
class Fraction:
    """``num / Π base.factor(d)**den[d]``."""

    base: Base
    num: Poly
    den: Den

    def over(self, den: Den) -> Poly:
        """Numerator over a larger denominator."""
        missing = tuple(map(sub, den, self.den)) + den[len(self.den) :]
        return self.num * _denominator(self.base, missing)

    def __add__(self, other: Fraction) -> Fraction:
        den = lcm(self.den, other.den)
        return Fraction(self.base, self.over(den) + other.over(den), den)

    def __mul__(self, other: Fraction) -> Fraction:
        return Fraction(self.base, self.num * other.num, combined(self.den, other.den))

    def times(self, number: int) -> Fraction:
        """An integer multiple, over the same denominator."""
        return Fraction(self.base, self.num * number, self.den)

    def derivative(self) -> Fraction:
        """``d/dg``, each factor of the denominator raised by one."""
        present = {d: n for d, n in _present(self.den) if self.base.factor(d).degree() > 0}
        once = exponents(dict.fromkeys(present, 1))
        num = self.num.derivative() * _denominator(self.base, once)
        for d, slope in _slopes(self.base, once):
            num = num - self.num * slope * present[d]
        return Fraction(self.base, num, combined(self.den, once))

    def reduced(self) -> Fraction:
        """Common factors divided out."""
        num, den = self.num, list(self.den)
        if not num:
            return Fraction(self.base, num, ())
        left = value(num, _POINT)
        for d, n in _present(self.den):
            mark, count = _mark(self.base, d), 0
            while count < n and left % mark == 0:
                left, count = left // mark, count + 1
            while count:
                quotient, rest = divmod(num, _power(self.base, d, count))
                if not rest:
                    num, den[d + 1] = quotient, n - count
                    break
                left, count = left * mark, count - 1
        return Fraction(self.base, num, tuple(den))

    def factors(self, g: sp.Symbol) -> list[sp.Expr]:
        """As SymPy expressions, numerator and powers of the denominator's factors, whose leading coefficients are
        made positive."""
        odd = sum(n for d, n in _present(self.den) if _descends(self.base, d)) % 2
        num = -self.num if odd else self.num
        return [to_expr(num, g), *(_inverse_power(self.base, d, n, g) for d, n in _present(self.den))]


@cache
def _descends(base: Base, d: int) -> bool:
    """Whether the factor's leading coefficient is negative."""
    return bool(base.factor(d).coeffs()[-1] < 0)


@cache
def _inverse_power(base: Base, d: int, n: int, g: sp.Symbol) -> sp.Expr:
    return _rising(base, d, g) ** -n


@cache
def _rising(base: Base, d: int, g: sp.Symbol) -> sp.Expr:
    return to_expr(-base.factor(d) if _descends(base, d) else base.factor(d), g)


@cache
def divisors(n: int) -> list[int]:
    """Those of ``n ≥ 1``, in order."""
    return [d for d in range(1, n + 1) if n % d == 0]


def exponents(powers: Mapping[int, int]) -> Den:
    """The denominator ``Π base.factor(d)**powers[d]``.

    >>> exponents({-1: 1, 2: 3})
    (1, 0, 0, 3)
    """
    return tuple(powers.get(d, 0) for d in range(-1, max(powers, default=-2) + 1))


def combined(a: Den, b: Den) -> Den:
    """The denominator of a product."""
    return tuple(map(add, a, b)) + (a[len(b) :] or b[len(a) :])


def lcm(a: Den, b: Den) -> Den:
    """The least common multiple."""
    return tuple(map(max, a, b)) + (a[len(b) :] or b[len(a) :])


def q_exponents(m: int, stride: int) -> Den:
    """The denominator ``Q_m``: ``Φ_d(λ)`` divides ``λⁿ − 1`` for ``d | n``."""
    den = {0: m}
    for i in range(1, m + 1):
        for d in divisors(stride * i):
            den[d] = den.get(d, 0) + 1
    return exponents(den)


def total(fractions: list[Fraction]) -> Fraction:
    """The sum, over one denominator."""
    alike: dict[Den, Poly] = {}
    for f in fractions:
        if f.num:
            alike[f.den] = alike[f.den] + f.num if f.den in alike else f.num
    base, den = fractions[0].base, reduce(lcm, alike, ())
    num = poly([])
    for own, part in alike.items():
        num = num + Fraction(base, part, own).over(den)
    return Fraction(base, num, den)
