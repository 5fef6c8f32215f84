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

from normalforms.polynomials import Poly, poly, to_expr

__all__ = ["Base", "Den", "Fraction", "combined", "exponents", "lcm", "q_exponents", "total"]

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
    x = sp.Symbol("x")
    coefficients = sp.Poly(sp.cyclotomic_poly(d, x), x).all_coeffs()
    value = poly([])
    for c in coefficients:
        value = value * base.multiplier + poly([int(c)])
    return value


@cache
def _denominator(base: Base, den: Den) -> Poly:
    value = poly([1])
    for d, n in _present(den):
        value = value * base.factor(d) ** n
    return value


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
        return Fraction(self.base, self.num * number, self.den)

    def derivative(self) -> Fraction:
        """``d/dg``, each factor of the denominator raised by one."""
        present = {d: n for d, n in _present(self.den) if self.base.factor(d).degree() > 0}
        once = exponents(dict.fromkeys(present, 1))
        radical = _denominator(self.base, once)
        change = poly([])
        for d, n in present.items():
            factor = self.base.factor(d)
            change = change + (radical // factor) * factor.derivative() * n
        num = self.num.derivative() * radical - self.num * change
        return Fraction(self.base, num, combined(self.den, once))

    def reduced(self) -> Fraction:
        """Common factors divided out."""
        num, den = self.num, list(self.den)
        if not num:
            return Fraction(self.base, num, ())
        for d, n in _present(self.den):
            factor = self.base.factor(d)
            for _ in range(n):
                quotient, rest = divmod(num, factor)
                if rest:
                    break
                num, den[d + 1] = quotient, den[d + 1] - 1
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
    factor = -base.factor(d) if _descends(base, d) else base.factor(d)
    return to_expr(factor, g) ** -n


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
        for d in sp.divisors(stride * i):
            den[int(d)] = den.get(int(d), 0) + 1
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
