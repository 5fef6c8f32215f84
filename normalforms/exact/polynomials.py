"""Exact polynomial arithmetic in one variable: python-flint where SymPy uses it, SymPy's own rings elsewhere."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from functools import cache, cmp_to_key
from typing import Any

import sympy as sp
from sympy.external.gmpy import GROUND_TYPES
from sympy.polys.densearith import dup_add, dup_div, dup_mul, dup_mul_ground, dup_sub
from sympy.polys.densetools import dup_diff, dup_eval
from sympy.polys.domains import QQ

__all__ = ["Poly", "from_expr", "poly", "primitive", "products", "to_expr", "truncated", "value"]

Poly = Any
"""A polynomial over the rationals: ``fmpq_poly``, or the fallback with the same methods."""


class _Dense:
    """Dense polynomial over QQ with the few methods of ``fmpq_poly`` that are used here; slower."""

    __slots__ = ("rep",)

    def __init__(self, coefficients: Sequence[Any] = ()) -> None:
        rep = [QQ.convert(c) for c in reversed(list(coefficients))]
        while rep and not rep[0]:
            rep.pop(0)
        self.rep = rep

    @classmethod
    def _of(cls, rep: list[Any]) -> _Dense:
        made = cls()
        made.rep = rep
        return made

    def _lift(self, other: Any) -> list[Any]:
        return other.rep if isinstance(other, _Dense) else _Dense([other]).rep

    def __add__(self, other: Any) -> _Dense:
        return self._of(dup_add(self.rep, self._lift(other), QQ))

    def __sub__(self, other: Any) -> _Dense:
        return self._of(dup_sub(self.rep, self._lift(other), QQ))

    def __neg__(self) -> _Dense:
        return self._of([-c for c in self.rep])

    def __mul__(self, other: Any) -> _Dense:
        if isinstance(other, _Dense):
            return self._of(dup_mul(self.rep, other.rep, QQ))
        return self._of(dup_mul_ground(self.rep, QQ.convert(other), QQ))

    __rmul__ = __mul__

    def __divmod__(self, other: _Dense) -> tuple[_Dense, _Dense]:
        quotient, rest = dup_div(self.rep, other.rep, QQ)
        return self._of(quotient), self._of(rest)

    def __floordiv__(self, other: _Dense) -> _Dense:
        return divmod(self, other)[0]

    def __truediv__(self, number: Any) -> _Dense:
        return self * (QQ(1) / QQ.convert(number))

    def __pow__(self, n: int) -> _Dense:
        value = _Dense([1])
        for _ in range(n):
            value = value * self
        return value

    def __eq__(self, other: object) -> bool:
        return (isinstance(other, _Dense) and self.rep == other.rep) or (not self.rep and other == 0)

    def __hash__(self) -> int:
        return hash(tuple(self.rep))

    def __bool__(self) -> bool:
        return bool(self.rep)

    def degree(self) -> int:
        return len(self.rep) - 1

    def derivative(self) -> _Dense:
        return self._of(dup_diff(self.rep, 1, QQ))

    def coeffs(self) -> list[Any]:
        return self.rep[::-1]

    def denom(self) -> int:
        return math.lcm(*(int(c.denominator) for c in self.rep))

    def __call__(self, x: int) -> Any:
        return dup_eval(self.rep, QQ(x), QQ)


if GROUND_TYPES == "flint":
    from flint import fmpq_poly as _backend  # type: ignore[import-not-found]
else:
    _backend = _Dense


def poly(coefficients: Iterable[Any]) -> Poly:
    """The polynomial with these rational coefficients, constant term first."""
    return _backend([QQ.convert(c) if not isinstance(c, int) else c for c in coefficients])


def from_expr(expr: sp.Expr, x: sp.Symbol, rounding: bool = False) -> Poly:
    """A SymPy polynomial in ``x`` with rational coefficients.

    Args:
        expr: the polynomial.
        x: its variable.
        rounding: real irrational coefficients become fractions that agree to 40 digits.

    Raises:
        ValueError: the expression is not such a polynomial.
    """
    refusal = ValueError(f"{expr} is not a polynomial in {x} with rational coefficients")
    try:
        return poly([QQ.from_sympy(c) for c in reversed(sp.Poly(expr, x, domain="QQ").all_coeffs())])
    except sp.polys.polyerrors.BasePolynomialError:
        if not rounding:
            raise refusal from None
    try:
        found = [_near(c) for c in reversed(sp.Poly(expr, x).all_coeffs())]
    except sp.polys.polyerrors.BasePolynomialError:
        raise refusal from None
    if not all(c.is_Rational for c in found):
        raise refusal
    return poly([QQ.from_sympy(c) for c in found])


def _near(number: sp.Expr) -> sp.Expr:
    if number.is_Rational or not number.is_number:
        return number
    value = sp.N(number, 50)
    return sp.Rational(value).limit_denominator(10**20) if value.is_Float else value


def truncated(p: Poly, length: int) -> Poly:
    """The terms of ``p`` of degree below ``length``."""
    return p if p.degree() < length else poly(p.coeffs()[: max(length, 0)])


def value(p: Poly, x: int) -> int:
    """``p(x)`` times the common denominator of the coefficients of ``p``."""
    return int(p(x) * p.denom())


def primitive(p: Poly) -> Poly:
    """The multiple of ``p ≠ 0`` with whole coefficients that have no common divisor."""
    whole = [int(c * p.denom()) for c in p.coeffs()]
    return poly([c // math.gcd(*whole) for c in whole])


def to_expr(p: Poly, x: sp.Expr) -> sp.Expr:
    """``p(x)`` as a SymPy expression, a sum of powers of ``x``."""
    if not x.is_Symbol:
        return sp.Add(*(_number(c) * x**k for k, c in enumerate(p.coeffs()) if c))
    powers = _powers(x, 1 << (p.degree() + 1).bit_length())
    groups: dict[tuple[type, type], list[tuple[Any, sp.Expr]]] = {}
    plain: list[tuple[int, int, int]] = []
    whole = p.denom() == 1
    for k, c in enumerate(p.coeffs()):
        if not c:
            continue
        if whole and k and abs(n := int(c)) != 1:  # all but a few terms of a long polynomial
            plain.append((n, powers[k][1], k))
            continue
        number, (power, rank) = _number(c), powers[k]
        term = _term(number, k, power)
        groups.setdefault((type(term), type(number)), []).append(((number.p, number.q, rank, k), term))
    rows = [[term for _, term in sorted(group, key=lambda pair: pair[0])] for group in groups.values()]
    if plain:
        rows.append([_term(_integer(sp.Integer, n), k, powers[k][0]) for n, _, k in sorted(plain)])
    return _sum(rows)


_integer = getattr(sp.Integer.__new__, "__wrapped__", sp.Integer.__new__)
"""Numbers that occur once are not worth a place in SymPy's cache, which every one would displace another from."""


@cache
def _powers(x: sp.Symbol, count: int) -> list[tuple[sp.Expr, int]]:
    """The powers of a symbol, and the place of each beside the symbol in SymPy's order of terms."""
    late = sp.Symbol if sp.Basic.compare(x, x**2) > 0 else sp.Pow
    return [(x**k, int(type(x**k) is late)) for k in range(count)]


def _number(c: Any) -> sp.Expr:
    return sp.Integer(int(c)) if c.denominator == 1 else QQ.to_sympy(QQ.convert(c))


def _term(number: sp.Expr, k: int, power: sp.Expr) -> sp.Expr:
    if k == 0:
        return number
    return power if number is sp.S.One else sp.Mul._from_args((number, power), is_commutative=True)


def _sum(rows: list[list[sp.Expr]]) -> sp.Expr:
    """The ``Add`` of unlike terms in its own order, without the comparisons that ``Add`` itself makes.

    That order goes by the classes of term and coefficient first: the rows, each in order already.
    """
    rows = sorted(rows, key=lambda row: _place(row[0]))
    terms = [term for row in rows for term in row]
    if len(terms) < 2:
        return terms[0] if terms else sp.Integer(0)
    return sp.Add._from_args(terms, is_commutative=True)


def _place(term: sp.Expr) -> Any:
    """A number stands first in a sum."""
    return not term.is_Number, cmp_to_key(sp.Basic.compare)(term)


def products(rows: Iterable[list[sp.Expr]]) -> list[sp.Expr]:
    """The ``Mul`` of each row, commutative factors, in its own order, without most of the work that ``Mul`` does.

    A sum, symbols and powers of different bases need nothing but that order; powers occur in many rows, and are ordered
    once. The other rows are left to ``Mul``.
    """
    rows = [[f for f in row if f is not sp.S.One] for row in rows]
    sums = [[f for f in row if f.is_Add] for row in rows]
    rest = [[f for f in row if not f.is_Add] for row in rows]
    order = sorted({f for row in rest for f in row}, key=cmp_to_key(sp.Basic.compare))
    place = {f: i for i, f in enumerate(order)}
    base = {f: (f.base if f.is_Pow else f) for f in order if f.is_Symbol or (f.is_Pow and not f.base.is_number)}

    def simple(once: list[sp.Expr], powers: list[sp.Expr]) -> bool:
        bases = {base[f] for f in powers if f in base}
        if len(bases) < len(powers) or len(once) > 1:
            return False
        return not any(len(b.args) == len(a.args) and a == b for a in once for b in bases)

    return [
        sp.Mul._from_args((*sorted(powers, key=place.__getitem__), *once), is_commutative=True)  # sums come last
        if simple(once, powers)
        else sp.Mul(*once, *powers)
        for once, powers in zip(sums, rest, strict=True)
    ]
