"""Exact truncated power series of a parameter, and power series of a state over them."""

from __future__ import annotations

from typing import Any

from sympy.polys.domains import QQ

from normalforms.exact.polynomials import Poly, poly, truncated

__all__ = ["Table", "at", "drop", "logarithm", "over_root", "quotient", "raised", "root", "shortened", "times"]

_LONG, _DIGITS = 10**18, 10**60

Table = list[Poly]
"""A power series in the state, by power; its coefficients are truncated power series of the parameter."""


def drop(p: Poly) -> Poly:
    """``(p − p(0))/m``."""
    return poly(p.coeffs()[1:])


def shortened(p: Poly) -> Poly:
    """The same with long fractions replaced by decimals of 60 digits, which have a common denominator.

    >>> shortened(poly([1, 2])) == poly([1, 2])
    True
    """
    return poly([c if c.denominator < _LONG else _decimal(c) for c in p.coeffs()])


def _decimal(c: Any) -> Any:
    return QQ((int(c.numerator) * _DIGITS) // int(c.denominator), _DIGITS)


def quotient(a: Poly, b: Poly, terms: int) -> Poly:
    """``a/b`` through ``m^(terms − 1)``, ``b(0) ≠ 0``.

    >>> quotient(poly([1]), poly([1, -1]), 3) == poly([1, 1, 1])
    True
    """
    top, bottom = ([*p.coeffs(), *[0] * terms][:terms] for p in (a, b))
    out: list = []
    for k in range(terms):
        out.append((top[k] - sum((bottom[k - j] * out[j] for j in range(k)), start=0 * bottom[0])) / bottom[0])
    return poly(out)


def root(table: Table, terms: int) -> Poly:
    """The series ``v`` with ``Σ table[k] v^k = 0`` and ``v(0) = 0``, where ``table[0](0) = 0 ≠ table[1](0)``.

    >>> root([poly([0, -1]), poly([1]), poly([1])], 4) == poly([0, 1, -1, 2])  # v + v² = m
    True
    """
    v, inverse = poly([]), quotient(poly([-1]), table[1], terms)
    for length in range(2, terms + 1):
        rest = at([table[0], poly([]), *table[2:]], v, length)
        v = shortened(truncated(rest * inverse, length))
    return v


def at(table: Table, v: Poly, terms: int) -> Poly:
    """The table at the state ``v``, which vanishes at the bifurcation."""
    total, power = poly([]), poly([1])
    for c in table[:terms]:
        total, power = truncated(total + c * power, terms), shortened(truncated(power * v, terms))
    return total


def over_root(table: Table, v: Poly, terms: int) -> Table:
    """``table/(v − u)`` for a table that vanishes at ``u = v``."""
    out, q = [poly([])] * len(table), poly([])
    for i in range(len(table) - 1, 0, -1):
        q = truncated(v * q - table[i], terms)
        out[i - 1] = q
    return out


def logarithm(table: Table, states: int, terms: int) -> Table:
    """``ln Σ table[k] u^k`` with ``table[0] = 1``, through ``u^(states − 1)``."""
    full = [*table, *(poly([]) for _ in range(states - len(table)))]
    out = [poly([])]
    for k in range(1, states):
        total = full[k] * k
        for j in range(max(1, k - len(table) + 1), k):
            total = total - out[j] * full[k - j] * j
        out.append(truncated(total, terms) / k)
    return out


def times(a: Table, b: Table, states: int, terms: int) -> Table:
    """The product of two tables, through ``u^(states − 1)``."""
    out = [poly([]) for _ in range(states)]
    for i, p in enumerate(a[:states]):
        for j, q in enumerate(b[: states - i] if p else ()):
            out[i + j] = out[i + j] + p * q
    return [truncated(p, terms) for p in out]


def raised(table: Table, k: int, states: int, terms: int) -> Table:
    """The ``k``-th power of a table, through ``u^(states − 1)``."""
    out = [poly([1]), *(poly([]) for _ in range(states - 1))]
    for _ in range(k):
        out = times(out, table, states, terms)
    return out
