"""Exact coefficients from high-precision numbers: what a law is, found again from its values alone.

A coefficient of a law, seen as a function of the parameter g and the horizon T, is an exponential polynomial
``Σ r_{b,e}(g) T^b λ(g)^{eT}`` with rational functions r. `rediscover` finds it in three exact steps, each with nodes
that only check: at every T the values on a circle of g give an integer (or rational) polynomial in g; at many integers
g the polynomials give the weights of ``T^b λ^{eT}``; and the weights as functions of g are rational functions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import flint
import mpmath as mp
import sympy as sp

from normalforms.formulas import symbols

__all__ = ["Rediscovery", "RediscoveryError", "integer_relation", "rational", "rediscover"]

_SPARE = 10  # digits that must be left over before a number counts as recognised
_PRIME = 2**61 - 1
_CHECKS = 3  # horizons, and parameters, that are not used but to check


class RediscoveryError(ValueError):
    """The values are not those of a law of the form that was assumed; the message says which check failed."""


@dataclass(frozen=True)
class Rediscovery:
    """A coefficient found again.

    Attributes:
        expr: ``Σ r(g) T^b λ^{eT}``, exact, in the symbols g and T.
        polynomials: the exact polynomial in g at each horizon, those of the check included.
        checks: how many independent numbers agreed beyond those that determined the answer.
        digits: decimal digits left over in the recognition of the least certain coefficient.
    """

    expr: sp.Expr
    polynomials: Mapping[int, sp.Poly]
    checks: int
    digits: float


def rational(value: Any, digits: int, largest: int = 10**6, spare: int = _SPARE) -> Fraction | None:
    """The rational number with denominator up to ``largest`` that a decimal of so many digits is, or ``None``.

    Accepted where the continued fraction ends with at least ``spare`` digits to spare: p/q takes up ``log₁₀ |p q|``
    digits, so a number that is none is taken for one with a chance of about ``10^−spare``.

    >>> with mp.workdps(40):
    ...     rational(mp.mpf(22) / 7, 40), rational(mp.pi, 40)
    (Fraction(22, 7), None)
    """
    with mp.workdps(digits + 5):
        x = mp.mpf(value)
        scale = mp.mpf(10) ** -(digits - spare / 2) * max(1, abs(x))
        a, rest = int(mp.nint(x)), x - mp.nint(x)
        p, p0, q, q0 = a, 1, 1, 0
        while abs(x - mp.mpf(p) / q) > scale:
            if rest == 0:
                break
            inverse = 1 / rest
            a, rest = int(mp.nint(inverse)), inverse - mp.nint(inverse)
            p, p0 = a * p + p0, p
            q, q0 = a * q + q0, q
            if abs(q) > largest:
                return None
        used = mp.log10(max(1, abs(p))) + mp.log10(max(1, abs(q)))
        return Fraction(p, q) if digits - float(used) >= spare else None


def integer_relation(value: Any, basis: Sequence[Any], digits: int, spare: int = _SPARE) -> list[Fraction] | None:
    """Rational weights of ``value = Σ w_k basis_k`` by PSLQ, or ``None``.

    PSLQ always finds integers if they may be large: n + 1 of them with d digits each fit any number of that size.
    A relation counts where its integers leave ``spare`` digits unused.

    >>> with mp.workdps(50):
    ...     integer_relation(mp.pi**2 / 6 - mp.mpf(3) / 4, [1, mp.pi**2], 50)
    [Fraction(-3, 4), Fraction(1, 6)]
    """
    with mp.workdps(digits):
        most = int(10 ** ((digits - spare) / (len(basis) + 1)))
        numbers = [mp.mpf(value), *(mp.mpf(b) for b in basis)]
        found = mp.pslq(numbers, maxcoeff=max(most, 2), maxsteps=100_000, tol=mp.mpf(10) ** -(digits - spare / 2))
    if not found or found[0] == 0:
        return None
    used = sum(len(str(abs(n))) for n in found if n)
    return [Fraction(-n, found[0]) for n in found[1:]] if digits - used >= spare else None


def rediscover(
    values: Callable[[Any, int], Any],
    *,
    degree: Callable[[int], int],
    powers: int = 2,
    exponents: Sequence[int] = (0, 2),
    multiplier: Any = None,
    digits: int = 60,
    largest: int = 10**6,
) -> Rediscovery:
    """The exact coefficient, symbolic in g and T, of which ``values(g, T)`` are decimal values.

    ``c(g, T) = Σ_{b ≤ powers} Σ_e r_{b,e}(g) T^b λ(g)^{eT}``, r rational. Nothing is taken from the law but its values.

    Args:
        values: c at complex g (an `mpmath.mpc` on the unit circle) and integer T, to ``digits`` digits; the same g come
            for every T.
        degree: a bound on the degree of c in g at each T.
        powers: highest power of T.
        exponents: the e that may occur.
        multiplier: λ(g), as an expression in the symbol g with integer values at integers; g itself unless given. With
            ``exponents=(0,)`` the law is a polynomial in T.
        digits: correct decimal digits of the values.
        largest: largest denominator of a coefficient.

    Raises:
        RediscoveryError: numbers that are no rationals, or that the assumed form does not produce at the horizons and
            parameters that only check it.

    >>> g, T = symbols("g T")
    >>> found = rediscover(lambda z, n: sum(z**t for t in range(n)), degree=lambda n: n, powers=0, exponents=(0, 1))
    >>> sp.simplify(found.expr - (g**T - 1) / (g - 1))
    0
    """
    g, T = symbols("g T")
    factor = sp.sympify(multiplier if multiplier is not None else g)
    basis = [(b, e) for e in exponents for b in range(powers + 1)]
    horizons = range(1, len(basis) + _CHECKS + 1)
    polynomials, left = {}, float(digits)
    count = max(degree(n) + 1 + _extra(degree(n)) for n in horizons)
    for n in horizons:
        polynomials[n], spare = _polynomial(values, n, degree(n), count, digits, largest)
        left = min(left, spare)
    weights = _weights(polynomials, basis, factor, g)
    terms = []
    for (b, e), weight in zip(basis, weights, strict=True):
        terms.append(weight * T**b * factor ** (e * T))
    expr = sp.Add(*terms)
    named = {
        n: sp.Poly([sp.Rational(c.numerator, c.denominator) for c in reversed(p)] or [0], g)
        for n, p in polynomials.items()
    }
    checks = _CHECKS * len(named[1].all_coeffs()) + sum(_extra(degree(n)) for n in horizons)
    return Rediscovery(expr, named, checks, left)


def _extra(degree: int) -> int:
    """Nodes on the circle beyond the degree; coefficients beyond it must come out as zero."""
    return 8 + degree // 8


def _polynomial(
    values: Callable[[Any, int], Any], n: int, degree: int, count: int, digits: int, largest: int
) -> tuple[list[Fraction], float]:
    """Coefficients at one horizon, by a discrete Fourier transform on the unit circle, which loses no digits."""
    with mp.workdps(digits + 10):
        nodes = [mp.expjpi(mp.mpf(2 * k) / count) for k in range(count)]
        half = [mp.mpc(values(nodes[k], n)) for k in range(count // 2 + 1)]
        numbers = half + [mp.conj(half[count - k]) for k in range(count // 2 + 1, count)]  # real coefficients
        size = max(1, *(abs(v) for v in numbers))
        lost = float(mp.log10(size))
        coefficients, left = [], float(digits)
        transform = _transform(numbers, digits)
        for j in range(count):
            c = transform[j]
            error = mp.mpf(10) ** -(digits - lost - 2)
            if j > degree:
                if abs(c) > error:
                    raise RediscoveryError(f"at T = {n} power {j} of g has {mp.nstr(c, 5)}, beyond the degree {degree}")
                continue
            sure = digits - lost - 3 + float(mp.log10(max(1, abs(c.real)))) if c.real else digits - lost - 3
            found = Fraction(0) if abs(c) < error else rational(c.real, int(min(sure, digits)), largest)
            if found is None or abs(c - mp.mpf(found.numerator) / found.denominator) > 100 * error:
                raise RediscoveryError(
                    f"at T = {n} the coefficient of g^{j} is no rational number: {mp.nstr(c.real, 20)}"
                )
            used = len(str(abs(found.numerator))) + len(str(found.denominator)) - 1
            left = min(left, sure - used)
            if left < _SPARE:
                raise RediscoveryError(
                    f"at T = {n} only {left:.0f} digits are left at g^{j}; give values of more than {digits} digits"
                )
            coefficients.append(found)
    return coefficients, left


def _transform(numbers: Sequence[Any], digits: int) -> list[Any]:
    """``(1/N) Σ_k v_k e^{−2πi jk/N}``."""
    before, count = flint.ctx.dps, len(numbers)
    flint.ctx.dps = digits + 20
    try:
        text = lambda x: mp.nstr(x, digits + 15, strip_zeros=False)  # noqa: E731
        v = [flint.acb(text(mp.re(n)), text(mp.im(n))) for n in numbers]
        w = [flint.acb(flint.fmpq(2 * k, count)).exp_pi_i() for k in range(count)]
        found = []
        for j in range(count):
            c = sum((v[k] * w[(-j * k) % count] for k in range(count)), flint.acb(0)) / count
            parts = [x.mid().str(digits + 15, radius=False) for x in (c.real, c.imag)]
            found.append(mp.mpc(*map(mp.mpf, parts)))
        return found
    finally:
        flint.ctx.dps = before


def _at(polynomial: Sequence[Fraction], x: int) -> flint.fmpq:
    total = flint.fmpq(0)
    for c in reversed(polynomial):
        total = total * x + flint.fmpq(c.numerator, c.denominator)
    return total


def _weights(
    polynomials: Mapping[int, Sequence[Fraction]], basis: Sequence[tuple[int, int]], factor: sp.Expr, g: sp.Symbol
) -> list[sp.Expr]:
    """The rational functions r(g): solved exactly at integers, then each interpolated until two more nodes agree."""
    horizons = sorted(polynomials)
    used, spare = horizons[: len(basis)], horizons[len(basis) :]
    rate = sp.lambdify(g, factor, "math")
    nodes: list[int] = []
    samples: list[list[flint.fmpq]] = []
    found: list[sp.Expr | None] = [None] * len(basis)
    x, count = 2, 8
    while any(f is None for f in found):
        while len(nodes) < count:
            row = _solved(polynomials, basis, used, spare, x, int(rate(x)))
            if row is not None:
                nodes.append(x)
                samples.append(row)
            x = -x if x > 0 else 1 - x
            if x > 1000:
                raise RediscoveryError("no rational functions of g were found; allow more exponents or powers of T")
        for k in range(len(basis)):
            if found[k] is None:
                found[k] = _ratio(nodes, [row[k] for row in samples], g)
        count = int(1.5 * count) + 4
    return [f for f in found if f is not None]


def _solved(
    polynomials: Mapping[int, Sequence[Fraction]],
    basis: Sequence[tuple[int, int]],
    used: Sequence[int],
    spare: Sequence[int],
    x: int,
    rate: int,
) -> list[flint.fmpq] | None:
    """Weights at the integer x, checked at the horizons that were not used."""
    row = lambda n: [flint.fmpq(n**b) * flint.fmpq(rate) ** (e * n) for b, e in basis]  # noqa: E731
    matrix = flint.fmpq_mat(len(used), len(basis), [v for n in used for v in row(n)])
    right = flint.fmpq_mat(len(used), 1, [_at(polynomials[n], x) for n in used])
    try:
        solution = matrix.solve(right)
    except ZeroDivisionError:
        return None
    weights = [solution[i, 0] for i in range(len(basis))]
    for n in spare:
        if sum((w * v for w, v in zip(weights, row(n), strict=True)), flint.fmpq(0)) != _at(polynomials[n], x):
            raise RediscoveryError(
                f"the form found from T = {used[0]} … {used[-1]} is wrong at T = {n}: allow more exponents or powers"
            )
    return weights


def _ratio(nodes: Sequence[int], values: Sequence[flint.fmpq], g: sp.Symbol) -> sp.Expr | None:
    """The rational function through the values; ``None`` where there are too few of them, or those to spare disagree.

    Euclid's algorithm modulo a prime gives the denominator, whose coefficients are small; with it the numerator is an
    ordinary interpolation. Exact values at all other nodes check both.

    Source: Cauchy interpolation, von zur Gathen & Gerhard, *Modern Computer Algebra*, §5.8.
    """
    if not any(values):
        return sp.Integer(0)
    bottom = _denominator(nodes, values)
    if bottom is None or any(bottom(flint.fmpq(x)) == 0 for x in nodes):
        return None
    products = [v * bottom(flint.fmpq(x)) for x, v in zip(nodes, values, strict=True)]
    fit = len(nodes) - _CHECKS
    top = _newton(nodes[:fit], products[:fit])
    if top.degree() > fit - 3:
        return None
    if any(top(flint.fmpq(x)) != v for x, v in zip(nodes[fit:], products[fit:], strict=True)):
        return None
    return _expression(top, g) / _expression(bottom, g)


def _denominator(nodes: Sequence[int], values: Sequence[flint.fmpq]) -> flint.fmpq_poly | None:
    """Monic denominator of the simplest rational function through the values, by its image modulo a prime."""
    p = _PRIME
    m = flint.nmod_poly([1], p)
    for x in nodes:
        m = m * flint.nmod_poly([-x % p, 1], p)
    residues = [int(v.p) * pow(int(v.q), -1, p) % p for v in values]
    r0, r1 = m, _newton_modular(nodes, residues)
    t0, t1 = flint.nmod_poly([0], p), flint.nmod_poly([1], p)
    size, bottom = len(nodes), None
    while r1.degree() >= 0:
        if r1.degree() + t1.degree() < size:
            size, bottom = r1.degree() + t1.degree(), t1
        q, rest = divmod(r0, r1)
        r0, r1, t0, t1 = r1, rest, t1, t0 - q * t1
    if bottom is None or size + 2 + _CHECKS > len(nodes):
        return None
    lead = pow(int(bottom[bottom.degree()]), -1, p)
    lifted = [_lifted(int(bottom[i]) * lead % p) for i in range(bottom.degree() + 1)]
    return None if any(c is None for c in lifted) else flint.fmpq_poly(lifted)


def _lifted(residue: int) -> flint.fmpq | None:
    """The small rational number with this residue."""
    bound = int((_PRIME // 2) ** 0.5)
    r0, r1, t0, t1 = _PRIME, residue, 0, 1
    while r1 > bound:
        q = r0 // r1
        r0, r1, t0, t1 = r1, r0 - q * r1, t1, t0 - q * t1
    return flint.fmpq(r1, t1) if 0 < abs(t1) <= bound else None


def _newton_modular(nodes: Sequence[int], residues: Sequence[int]) -> flint.nmod_poly:
    p, table = _PRIME, list(residues)
    for level in range(1, len(nodes)):
        for i in range(len(nodes) - 1, level - 1, -1):
            table[i] = (table[i] - table[i - 1]) * pow(nodes[i] - nodes[i - level], -1, p) % p
    total = flint.nmod_poly([table[-1]], p)
    for i in range(len(nodes) - 2, -1, -1):
        total = total * flint.nmod_poly([-nodes[i] % p, 1], p) + flint.nmod_poly([table[i]], p)
    return total


def _newton(nodes: Sequence[int], values: Sequence[flint.fmpq]) -> flint.fmpq_poly:
    table = list(values)
    for level in range(1, len(nodes)):
        for i in range(len(nodes) - 1, level - 1, -1):
            table[i] = (table[i] - table[i - 1]) / (nodes[i] - nodes[i - level])
    total = flint.fmpq_poly([table[-1]])
    for i in range(len(nodes) - 2, -1, -1):
        total = total * flint.fmpq_poly([-nodes[i], 1]) + table[i]
    return total


def _expression(p: flint.fmpq_poly, g: sp.Symbol) -> sp.Expr:
    coefficients = [sp.Rational(int(p[i].p), int(p[i].q)) for i in range(p.degree() + 1)]
    return sp.Poly(list(reversed(coefficients)), g).as_expr()
