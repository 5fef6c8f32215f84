"""Fractions whose denominators are products of known polynomials: ``λ(g)`` and the cyclotomic ``Φ_d(λ(g))``.

They add, multiply and differentiate without a polynomial greatest common divisor; common factors are found by
trial division.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import sympy as sp

from normalforms.polynomials import Poly, poly, to_expr

__all__ = ["Base", "Den", "Fraction", "combined", "lcm", "q_exponents", "total"]

Den = dict[int, int]
"""Exponents of a denominator by factor; see `Base.factor`."""


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


def _denominator(base: Base, exponents: Den) -> Poly:
    return _product(base, tuple(sorted((d, n) for d, n in exponents.items() if n)))


@cache
def _product(base: Base, exponents: tuple[tuple[int, int], ...]) -> Poly:
    value = poly([1])
    for d, n in exponents:
        value = value * base.factor(d) ** n
    return value


@dataclass(frozen=True)
class Fraction:
    """``num / Π base.factor(d)**den[d]``."""

    base: Base
    num: Poly
    den: Den

    def over(self, den: Den) -> Poly:
        """Numerator over a larger denominator."""
        missing = {d: n - self.den.get(d, 0) for d, n in den.items()}
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
        present = {d: n for d, n in self.den.items() if n and self.base.factor(d).degree() > 0}
        radical = _denominator(self.base, dict.fromkeys(present, 1))
        change = poly([])
        for d, n in present.items():
            factor = self.base.factor(d)
            change = change + (radical // factor) * factor.derivative() * n
        num = self.num.derivative() * radical - self.num * change
        return Fraction(self.base, num, {d: n + (d in present) for d, n in self.den.items()})

    def reduced(self) -> Fraction:
        """Common factors divided out."""
        num, den = self.num, dict(self.den)
        if not num:
            return Fraction(self.base, num, {})
        for d, n in self.den.items():
            factor = self.base.factor(d)
            for _ in range(n):
                quotient, rest = divmod(num, factor)
                if rest:
                    break
                num, den[d] = quotient, den[d] - 1
        return Fraction(self.base, num, {d: n for d, n in den.items() if n})

    def expr(self, g: sp.Symbol) -> sp.Expr:
        """As SymPy, the denominator factored."""
        return to_expr(self.num, g) * _inverse(self.base, tuple(sorted(self.den.items())), g)


@cache
def _inverse(base: Base, exponents: tuple[tuple[int, int], ...], g: sp.Symbol) -> sp.Expr:
    """``1/Π base.factor(d)**n`` as SymPy."""
    return sp.Mul(*(_inverse_power(base, d, n, g) for d, n in exponents))


@cache
def _inverse_power(base: Base, d: int, n: int, g: sp.Symbol) -> sp.Expr:
    return to_expr(base.factor(d), g) ** -n


def combined(a: Den, b: Den) -> Den:
    """Exponents of the product."""
    return {d: a.get(d, 0) + b.get(d, 0) for d in a.keys() | b.keys()}


def lcm(a: Den, b: Den) -> Den:
    """Exponents of the least common multiple."""
    return {d: max(a.get(d, 0), b.get(d, 0)) for d in a.keys() | b.keys()}


def q_exponents(m: int, stride: int) -> Den:
    """``Q_m`` as exponents: ``Φ_d(λ)`` divides ``λⁿ − 1`` for ``d | n``."""
    den: Den = {0: m} if m else {}
    for i in range(1, m + 1):
        for d in sp.divisors(stride * i):
            den[int(d)] = den.get(int(d), 0) + 1
    return den


def total(fractions: list[Fraction]) -> Fraction:
    """The sum, over one denominator."""
    den: Den = {}
    alike: dict[tuple[tuple[int, int], ...], Fraction] = {}
    for f in fractions:
        key = tuple(sorted(f.den.items()))
        if key in alike:
            alike[key] = Fraction(f.base, alike[key].num + f.num, f.den)
        else:
            alike[key] = f
            den = lcm(den, f.den)
    num = poly([])
    for f in alike.values():
        if f.num:
            num = num + f.over(den)
    return Fraction(fractions[0].base, num, den)
