"""Exact coefficients from high-precision numbers: what a law is, found again from its values alone.

A coefficient of a law, seen as a function of the parameter g and the horizon T, is an exponential polynomial
``Σ r_{b,e}(g) T^b λ(g)^{eT}`` with rational functions r. `rediscover` finds it in three exact steps, each with nodes
that only check: at every T the values on a circle of g give an integer (or rational) polynomial in g; at many integers
g the polynomials give the weights of ``T^b λ^{eT}``; and the weights as functions of g are rational functions.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import flint
import mpmath as mp
import sympy as sp

from normalforms.formulas import symbols
from normalforms.testing.modular import PRIMES, Ratio, lifted, ratio

__all__ = ["Rediscovery", "RediscoveryError", "integer_relation", "rational", "rediscover"]

_SPARE = 10  # digits that must be left over before a number counts as recognised
_CHECKS = 3  # horizons that are not used but to check
_TESTED = (7, -11)  # parameters at which the answer is compared exactly


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
    before, flint.ctx.dps = flint.ctx.dps, digits + 20
    try:
        with mp.workdps(digits + 10):
            half = [mp.mpc(values(mp.expjpi(mp.mpf(2 * k) / count), n)) for k in range(count // 2 + 1)]
        numbers = [flint.acb(_ball(v.real), _ball(v.imag)) for v in half]
        numbers += [x.conjugate() for x in reversed(numbers[1 : (count + 1) // 2])]  # real coefficients
        lost = max([0.0, *(float(mp.log10(abs(v))) for v in half if v)])
        error = flint.arb(10) ** -int(digits - lost - 2)
        coefficients, left = [], float(digits)
        for j, c in enumerate(flint.acb.dft(numbers)):
            size = float((c / count).abs_upper())
            if j > degree:
                if size > float(error):
                    raise RediscoveryError(f"at T = {n} power {j} of g has {size:.5g}, beyond the degree {degree}")
                continue
            sure = digits - lost - 3 + max(0.0, math.log10(size) if size else 0.0)
            found = _number(c / count, error, int(min(sure, digits)), largest)
            if found is None:
                text = (c / count).real.mid().str(20, radius=False)
                raise RediscoveryError(f"at T = {n} the coefficient of g^{j} is no rational number: {text}")
            left = min(left, sure - (len(str(abs(found.numerator))) + len(str(found.denominator)) - 1))
            if left < _SPARE:
                raise RediscoveryError(
                    f"at T = {n} only {left:.0f} digits are left at g^{j}; give values of more than {digits} digits"
                )
            coefficients.append(found)
        return coefficients, left
    finally:
        flint.ctx.dps = before


def _ball(x: Any) -> flint.arb:
    """The number itself, without a radius."""
    sign, man, exp, _ = x._mpf_
    return flint.arb((-int(man) if sign else int(man), int(exp)))


def _number(c: flint.acb, error: flint.arb, digits: int, largest: int) -> Fraction | None:
    """The rational number that a coefficient is, up to a hundred times the error of the values."""
    near = Fraction(int(c.real.mid().unique_fmpz() if c.real.mid().is_integer() else _nearest(c.real)))
    if (c - int(near)).abs_upper() < error:
        return near
    man, exp = (int(k) for k in c.real.mid().man_exp())
    with mp.workdps(digits + 5):
        found = rational(mp.mpf((man, exp)), digits, largest)
    if found is None:
        return None
    gap = c - flint.arb(flint.fmpq(found.numerator, found.denominator))
    return found if gap.abs_upper() < 100 * error else None


def _nearest(x: flint.arb) -> int:
    man, exp = (int(k) for k in x.mid().man_exp())
    return man << exp if exp >= 0 else (man + (1 << (-exp - 1))) >> -exp


def _weights(
    polynomials: Mapping[int, Sequence[Fraction]], basis: Sequence[tuple[int, int]], factor: sp.Expr, g: sp.Symbol
) -> list[sp.Expr]:
    """The rational functions r(g): solved and interpolated modulo primes, lifted, and checked exactly at two integers.

    Raises:
        RediscoveryError: the form does not produce the polynomials at the horizons that were not used.
    """
    rate = sp.lambdify(g, factor, "math")
    images: list[list[Ratio]] = []
    for k, p in enumerate(PRIMES):
        images.append(_image(polynomials, basis, rate, p))
        found = [_lift([image[i] for image in images], PRIMES[: k + 1]) for i in range(len(basis))]
        known = [f for f in found if f is not None]
        if len(known) == len(basis) and all(_produces(polynomials, basis, known, rate, x) for x in _TESTED):
            return [_expression(top, g) / _expression(bottom, g) for top, bottom in known]
    raise RediscoveryError("no rational functions of g were found; allow more exponents or powers of T")


def _image(
    polynomials: Mapping[int, Sequence[Fraction]], basis: Sequence[tuple[int, int]], rate: Any, p: int
) -> list[Ratio]:
    """The weights as rational functions of g modulo a prime."""
    horizons = sorted(polynomials)
    residue = lambda c: c.numerator * pow(c.denominator, -1, p) % p  # noqa: E731
    reduced = [flint.nmod_poly([residue(c) for c in polynomials[n]], p) for n in horizons]
    nodes: list[int] = []
    samples: list[list[int]] = []
    found: list[Ratio | None] = [None] * len(basis)
    x, count = 1, 16
    while any(f is None for f in found):
        while len(nodes) < count:
            x += 1
            if x > 4000:
                raise RediscoveryError("no rational functions of g were found; allow more exponents or powers of T")
            row = _solved(horizons, [int(q(x)) for q in reduced], basis, int(rate(x)) % p, p)
            if row is not None:
                nodes.append(x)
                samples.append(row)
        for k in range(len(basis)):
            if found[k] is None:
                found[k] = ratio(nodes, [row[k] for row in samples], p)
        count = int(1.5 * count) + 4
    return [f for f in found if f is not None]


def _solved(
    horizons: Sequence[int], values: Sequence[int], basis: Sequence[tuple[int, int]], rate: int, p: int
) -> list[int] | None:
    """Weights at one parameter modulo a prime, checked at the horizons that were not used."""
    size = len(basis)
    rows = [[pow(n, b, p) * pow(rate, e * n, p) % p for b, e in basis] for n in horizons]
    matrix = flint.nmod_mat(size, size, [v for row in rows[:size] for v in row], p)
    try:
        solution = matrix.solve(flint.nmod_mat(size, 1, list(values[:size]), p))
    except ZeroDivisionError:
        return None
    weights = [int(solution[i, 0]) for i in range(size)]
    for n, row, value in zip(horizons[size:], rows[size:], values[size:], strict=True):
        if sum(w * v for w, v in zip(weights, row, strict=True)) % p != value:
            raise RediscoveryError(
                f"the form found from T = {horizons[0]} … {horizons[size - 1]} is wrong at T = {n}: allow more"
                " exponents or powers"
            )
    return weights


def _lift(images: Sequence[Ratio], primes: Sequence[int]) -> tuple[flint.fmpq_poly, flint.fmpq_poly] | None:
    """Numerator and denominator over the rational numbers, where the primes so far determine them."""
    parts = []
    for side in (0, 1):
        if len({len(image[side]) for image in images}) > 1:
            return None
        found = [lifted(residues, primes) for residues in zip(*(image[side] for image in images), strict=True)]
        if any(f is None for f in found):
            return None
        parts.append(flint.fmpq_poly([flint.fmpq(f.numerator, f.denominator) for f in found if f is not None]))
    return parts[0], parts[1]


def _produces(
    polynomials: Mapping[int, Sequence[Fraction]],
    basis: Sequence[tuple[int, int]],
    weights: Sequence[tuple[flint.fmpq_poly, flint.fmpq_poly]],
    rate: Any,
    x: int,
) -> bool:
    """Whether the form has exactly the polynomials' values at an integer, for all horizons."""
    if any(bottom(x) == 0 for _, bottom in weights):
        return False
    numbers = [top(x) / bottom(x) for top, bottom in weights]
    base = flint.fmpq(int(rate(x)))
    for n, polynomial in polynomials.items():
        exact = flint.fmpq_poly([flint.fmpq(c.numerator, c.denominator) for c in polynomial])(x)
        if sum((w * n**b * base ** (e * n) for (b, e), w in zip(basis, numbers, strict=True)), flint.fmpq(0)) != exact:
            return False
    return True


def _expression(p: flint.fmpq_poly, g: sp.Symbol) -> sp.Expr:
    coefficients = [sp.Rational(int(p[i].p), int(p[i].q)) for i in range(p.degree() + 1)]
    return sp.Poly(list(reversed(coefficients)) or [0], g).as_expr()
