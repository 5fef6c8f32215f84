"""Rational functions from their values modulo a prime, and rational numbers from several primes."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import flint

__all__ = ["PRIMES", "Ratio", "lifted", "ratio"]

PRIMES = (2**61 - 1, 2**61 - 31, 2**61 - 45, 2**61 - 229, 2**61 - 259, 2**61 - 283)
_SPARE = 3  # values that only check

Ratio = tuple[list[int], list[int]]


def ratio(nodes: Sequence[int], values: Sequence[int], p: int) -> Ratio | None:
    """Residues of numerator and monic denominator of the simplest rational function through the values.

    Euclid's algorithm on the interpolating polynomial and ``Π (x − x_i)`` stops where the sum of the degrees is least.

    Returns:
        Coefficients from the constant up; ``None`` where there are not three values more than coefficients.

    Source: Cauchy interpolation, von zur Gathen & Gerhard, *Modern Computer Algebra*, §5.8.

    >>> p = PRIMES[0]
    >>> ratio(range(2, 9), [pow(x - 1, -1, p) * 5 % p for x in range(2, 9)], p) == ([5], [p - 1, 1])
    True
    """
    if not any(values):
        return [], [1]
    m = flint.nmod_poly([1], p)
    for x in nodes:
        m = m * flint.nmod_poly([-x % p, 1], p)
    r0, r1 = m, _newton(nodes, values, p)
    t0, t1 = flint.nmod_poly([0], p), flint.nmod_poly([1], p)
    size, top, bottom = len(nodes), r1, t1
    while r1.degree() >= 0:
        if r1.degree() + t1.degree() < size:
            size, top, bottom = r1.degree() + t1.degree(), r1, t1
        q, rest = divmod(r0, r1)
        r0, r1, t0, t1 = r1, rest, t1, t0 - q * t1
    if size + 2 + _SPARE > len(nodes) or any(int(bottom(x)) == 0 for x in nodes):
        return None
    lead = pow(int(bottom[bottom.degree()]), -1, p)
    residues = lambda f: [int(f[i]) * lead % p for i in range(f.degree() + 1)]  # noqa: E731
    return residues(top), residues(bottom)


def _newton(nodes: Sequence[int], values: Sequence[int], p: int) -> flint.nmod_poly:
    table = list(values)
    for level in range(1, len(nodes)):
        for i in range(len(nodes) - 1, level - 1, -1):
            table[i] = (table[i] - table[i - 1]) * pow(nodes[i] - nodes[i - level], -1, p) % p
    total = flint.nmod_poly([table[-1]], p)
    for i in range(len(nodes) - 2, -1, -1):
        total = total * flint.nmod_poly([-nodes[i] % p, 1], p) + flint.nmod_poly([table[i]], p)
    return total


def lifted(residues: Sequence[int], primes: Sequence[int]) -> Fraction | None:
    """The rational number with these residues whose numerator and denominator take up less than half of their product.

    ``None`` where it would take up more, which a number that is none does but once in 2³⁰.

    >>> lifted([pow(3, -1, p) * 2 % p for p in PRIMES[:2]], PRIMES[:2])
    Fraction(2, 3)
    """
    value, modulus = 0, 1
    for r, p in zip(residues, primes, strict=True):
        value += modulus * ((r - value) * pow(modulus, -1, p) % p)
        modulus *= p
    bound = 1 << ((modulus.bit_length() - 30) // 2)
    r0, r1, t0, t1 = modulus, value, 0, 1
    while r1 > bound:
        q = r0 // r1
        r0, r1, t0, t1 = r1, r0 - q * r1, t1, t0 - q * t1
    return Fraction(r1, t1) if 0 < abs(t1) <= bound else None
