"""Closed amplification series in symbolic horizon, from the Kœnigs linearisation.

About a fixed point with multiplier ``λ(g)`` a map is conjugate to ``z' = λ z``:
``x_t = φ(λᵗ ψ(x_0))``, ``φ(λz) = f(φ(z))``, ``ψ = φ⁻¹``. So each coefficient of ``x_t`` in ``x_0`` is a sum of
``r(g) λ^{jt}`` with ``r`` rational, its square summed over ``t`` is one of ``r(g) T^b λ^{eT}``, and all
denominators are products of cyclotomic polynomials in ``λ``: they are known beforehand, and no polynomial
greatest common divisor is ever computed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import combinations_with_replacement, islice

import sympy as sp
from sympy.polys.domains import QQ

from normalforms.exact import (
    Base,
    Den,
    Fraction,
    Poly,
    combined,
    divisors,
    exponents,
    from_expr,
    poly,
    products,
    q_exponents,
    total,
)
from normalforms.forms.series.expansion import Local
from normalforms.formulas import symbols

__all__ = [
    "Linearisation",
    "binomials",
    "linearise",
    "orbit_coefficients",
    "powered",
    "sensitivities",
    "series_coefficients",
    "series_expression",
    "summed_squares",
    "sums_expression",
]


@dataclass(frozen=True)
class Linearisation:
    """Numerators of the Kœnigs functions over the known denominators ``Q_m = λᵐ Π_{i≤m} (λ^{wi} − 1)``.

    ``φ(z) = z Σ_m (φ_m/Q_m) z^{wm}`` and ``x_t = Σ_m x_0^{wm+1} Σ_{j≤m} (r_{mj}/(Q_j Q_{m−j})) λ^{(wj+1)t}``.

    Args:
        stride: ``w``: 2 for odd maps, 1 in general.
        multiplier: ``λ(g)``.
        phi: the ``φ_m``.
        orbit: the ``r_{mj}``.
    """

    stride: int
    multiplier: Poly
    phi: tuple[Poly, ...]
    orbit: tuple[tuple[Poly, ...], ...]


@cache
def linearise(form: Local, order: int) -> Linearisation:
    """The Kœnigs functions and the orbit through ``x_0**order``.

    ``φ_m`` and the powers of ``ψ = φ⁻¹`` by their functional equations. Over ``Q_m`` a product of series needs
    Gaussian binomials only, which are polynomials.

    Raises:
        ValueError: a coefficient of the map is not a polynomial in the parameter with rational coefficients.
    """
    g = form.map.parameters[0]
    powers = form.powers(order)
    stride = math.gcd(*(k - 1 for k in powers)) or 1
    count = (order - 1) // stride
    factors = {k: from_expr(form.coefficient(k), g, rounding=True) for k in powers}
    lam = factors[1]
    steps = _steps(lam, stride, count)
    phi = _phi(factors, lam, steps, binomials(lam, stride, count), stride, count)
    inverse = _inverse_powers(factors, lam, steps, stride, count)
    orbit = tuple(tuple(phi[j] * inverse[j][m - j] for j in range(m + 1)) for m in range(count + 1))
    return Linearisation(stride, lam, tuple(phi), orbit)


def _inverse_powers(
    factors: Mapping[int, Poly], lam: Poly, steps: list[Poly], stride: int, count: int
) -> list[list[Poly]]:
    """Numerators over ``Q_i`` of ``[x^{k+wi}] ψ^k``, ``k = wj + 1``, by ``ψ(f(x))^k = λ^k ψ(x)^k``.

    ``b_n (λ^k − λ^n) = Σ_{k≤l<n} b_l [x^n] f^l``: only the coefficients of ``f^l``, which are short, multiply. The
    sum is brought from ``Q_{l−k}`` to ``Q_{n−k−w}`` by Horner's rule, and ``λ^{k−1}`` divides it.
    """
    table, zero = _powers_of_map(factors, stride, count), poly([])
    rows = []
    for j in range(count + 1):
        divisor, b = lam ** (stride * j), [poly([1])]
        for m in range(1, count - j + 1):
            total = zero
            for i in range(m):
                total = total * steps[i]
                if m - i in table[j + i]:
                    total = total + b[i] * table[j + i][m - i]
            b.append(-total // divisor)
        rows.append(b)
    return rows


def _powers_of_map(factors: Mapping[int, Poly], stride: int, count: int) -> list[dict[int, Poly]]:
    """``[x^{l+wi}] f^l`` by ``i``, for ``l = wj + 1`` by ``j``."""
    shape = {(k - 1) // stride: c for k, c in factors.items()}
    table = [shape]
    for _ in range(count):
        power = table[-1]
        for _ in range(stride):
            power = _convolved(power, shape, count)
        table.append(power)
    return table


def _convolved(a: Mapping[int, Poly], b: Mapping[int, Poly], top: int) -> dict[int, Poly]:
    out: dict[int, Poly] = {}
    for i, u in a.items():
        for j, v in b.items():
            if i + j <= top:
                out[i + j] = out[i + j] + u * v if i + j in out else u * v
    return out


def _steps(lam: Poly, stride: int, count: int) -> list[Poly]:
    """``λ (λ^{wm} − 1)``, the factor from ``Q_{m−1}`` to ``Q_m``."""
    base, power, out = lam**stride, poly([1]), [poly([1])]
    for _ in range(count):
        power = power * base
        out.append(lam * (power - poly([1])))
    return out


def binomials(lam: Poly, stride: int, count: int) -> list[list[Poly]]:
    """``Q_m/(Q_i Q_{m−i})`` by Pascal's rule in ``q = λ^w``."""
    q, one = lam**stride, poly([1])
    powers = [one]
    for _ in range(count):
        powers.append(powers[-1] * q)
    rows = [[one]]
    for m in range(1, count + 1):
        before = rows[-1]
        inner = [before[i - 1] + powers[i] * before[i] for i in range(1, m)]
        rows.append([one, *inner, one])
    return rows


def _phi(
    factors: Mapping[int, Poly],
    lam: Poly,
    steps: list[Poly],
    pascal: list[list[Poly]],
    stride: int,
    count: int,
) -> list[Poly]:
    """``φ_m`` from ``φ_m (λ^{wm+1} − λ) = Σ_{k>1} f_k [φ^k]_m``."""
    top = max(factors)
    powers: list[list[Poly]] = [[] for _ in range(top + 1)]
    powers[1] = [poly([1])]
    zero = poly([])
    for m in range(1, count + 1):
        for k in range(2, top + 1):  # the m−1 term of φ^k/z^k, from those of φ^{k−1}
            n = m - 1
            row = zero
            for i in range(n + 1):
                row = row + pascal[n][i] * powers[1][i] * powers[k - 1][n - i]
            powers[k].append(row)
        total = zero
        for k, f in factors.items():
            shift = (k - 1) // stride
            if k > 1 and m >= shift:
                term = f * powers[k][m - shift]
                for i in range(m - shift + 1, m):
                    term = term * steps[i]
                total = total + term
        powers[1].append(total)
    return powers[1]


def powered(weighted: list[list[Poly]], exponent: int, count: int) -> list[Poly]:
    """Numerators of ``(φ/z)^exponent`` over ``Q_m``, through index ``count``."""
    out = [poly([1])]
    for m in range(1, count + 1):
        row = poly([])
        for i in range(1, m + 1):
            scale = exponent * i - (m - i)
            if scale:
                row = row + weighted[m][i] * out[m - i] * scale
        out.append(row / m)
    return out


@cache
def _base(form: Local) -> Base:
    g = form.map.parameters[0]
    return Base(from_expr(form.multiplier, g, rounding=True), form.drift[1])


Terms = dict[int, Fraction]
"""``Σ_j terms[j] λ^{jt}``."""


def orbit_coefficients(form: Local, order: int) -> dict[int, Terms]:
    """Coefficients of ``x_t`` in ``x_0``: ``x_t = Σ_k x_0^k Σ_j terms[k][j] λ^{jt}``."""
    made = linearise(form, order)
    base = _base(form)
    w = made.stride
    known = [q_exponents(m, w) for m in range(len(made.phi))]
    return {
        w * m + 1: {w * j + 1: Fraction(base, r, combined(known[j], known[m - j])) for j, r in enumerate(row)}
        for m, row in enumerate(made.orbit)
    }


Rates = dict[int, dict[int, tuple[Fraction, Fraction]]]
"""``s_t = Σ_k x_0^k Σ_j (u + v t) λ^{jt}`` as ``{k: {j: (u, v)}}``."""

Sums = dict[int, dict[tuple[int, int], Fraction]]
"""``A_T = Σ_k x_0^k Σ_{b,e} c[k][b, e] T^b λ^{eT}``."""


def sensitivities(orbit: Mapping[int, Terms], base: Base, drift: Fraction | None = None) -> Rates:
    """``∂x_t/∂g``, or ``∂_g (h* + x_t(h0 − h*))`` for a fixed point that moves with the velocity ``drift``."""
    rate = Fraction(base, base.multiplier.derivative(), exponents({0: 1}))
    zero = Fraction(base, poly([]), ())
    out: Rates = {}
    for k, terms in orbit.items():
        out[k] = {j: (r.derivative(), (r * rate).times(j)) for j, r in terms.items()}
    if drift is not None:
        out[0] = {0: (drift, zero)}
        for k, terms in orbit.items():
            row = out.setdefault(k - 1, {})
            for j, r in terms.items():
                u, v = row.get(j, (zero, zero))
                row[j] = (u + (r * drift).times(-k), v)
    return out


def summed_squares(components: Iterable[Rates], order: int) -> Sums:
    """``Σ_{t=1}^T Σ s_t²`` over the components of ``s_t``, through ``x_0**order``."""
    squares: dict[int, dict[tuple[int, int], dict[Den, Poly]]] = {}
    base = None
    for s in components:
        rows = {k: _flat(row) for k, row in sorted(s.items())}
        base = next(iter(s[min(s)].values()))[0].base
        for k1, k2 in combinations_with_replacement(rows, 2):
            if k1 + k2 <= order:
                _add_product(rows[k1], rows[k2], 1 if k1 == k2 else 2, squares.setdefault(k1 + k2, {}))
    return {
        k: _time_sums({key: total([Fraction(base, num, den) for den, num in fs.items()]) for key, fs in row.items()})
        for k, row in sorted(squares.items())
    }


Flat = list[tuple[int, int, Poly, Den]]
"""``Σ num/den t^a λ^{jt}`` as ``(a, j, num, den)``."""


def _flat(row: Mapping[int, tuple[Fraction, Fraction]]) -> Flat:
    return [(a, j, f.num, f.den) for j, pair in row.items() for a, f in enumerate(pair) if f.num]


def _add_product(row1: Flat, row2: Flat, times: int, into: dict[tuple[int, int], dict[Den, Poly]]) -> None:
    """Add ``times`` the product of two rows, by the exponents of ``t^a λ^{jt}`` and by denominator."""
    for a1, j1, num1, den1 in row1:
        num1 = num1 * times
        for a2, j2, num2, den2 in row2:
            alike, den, num = into.setdefault((a1 + a2, j1 + j2), {}), combined(den1, den2), num1 * num2
            alike[den] = alike[den] + num if den in alike else num


@cache
def series_coefficients(form: Local, order: int) -> Sums:
    """The series of ``A_T`` through ``x_0**order`` about a fixed point."""
    base, (moving, _) = _base(form), form.drift
    if not moving:
        return summed_squares([sensitivities(orbit_coefficients(form, max(order - 1, 1)), base)], order)
    drift = Fraction(base, moving, exponents({-1: 2}))
    return summed_squares([sensitivities(orbit_coefficients(form, order + 1), base, drift)], order)


def _time_sums(terms: Mapping[tuple[int, int], Fraction]) -> dict[tuple[int, int], Fraction]:
    """``Σ_{t=1}^T Σ c[a, e] t^a λ^{et}`` in the basis ``T^b λ^{eT}``."""
    parts: dict[tuple[int, int], list[Fraction]] = {}
    for (a, e), c in terms.items():
        if c.num:
            for b, weight in _geometric(c.base, a, e).items():
                parts.setdefault((b, e), []).append(c * weight)
    sums = {key: total(fs).reduced() for key, fs in parts.items()}
    at_once = [f.times(-1) for (b, e), f in sums.items() if b == 0 and e]
    if at_once:  # no sum over no steps: the constant is what the others leave at T = 0
        sums[0, 0] = total(at_once).reduced()
    return {key: f for key, f in sorted(sums.items()) if f.num}


@cache
def _geometric(base: Base, a: int, e: int) -> dict[int, Fraction]:
    """Coefficients of ``T^b λ^{eT}`` in ``Σ_{t=1}^T t^a Λ^t``, ``Λ = λ^e``, by ``b``: all but the constant."""
    if e == 0:
        polynomial = {0: [0, 1], 1: [0, (1, 2), (1, 2)], 2: [0, (1, 6), (1, 2), (1, 3)]}[a]
        weights = [QQ(*c) if isinstance(c, tuple) else QQ(c) for c in polynomial]
        return {b: Fraction(base, poly([c]), ()) for b, c in enumerate(weights) if c}
    x, one = base.multiplier**e, poly([1])
    less = x - one
    den = exponents(dict.fromkeys(divisors(e), a + 1))
    growing = {
        0: {0: x},
        1: {1: x * less, 0: -x},
        2: {2: x * less * less, 1: x * less * (-2), 0: x * (x + one)},
    }[a]
    return {b: Fraction(base, num, den) for b, num in growing.items()}


def sums_expression(sums: Sums, g: sp.Symbol, multiplier: sp.Expr, power: Callable[[int], sp.Expr]) -> sp.Expr:
    """``Σ_k power(k) Σ_{b,e} c[k][b, e] T^b λ^{eT}`` as a SymPy expression."""
    T = symbols("T")
    if multiplier.could_extract_minus_sign() and all(e % 2 == 0 for row in sums.values() for _, e in row):
        multiplier = -multiplier
    moving = {key: [T ** key[0], multiplier ** (key[1] * T)] for key in {key for row in sums.values() for key in row}}
    flat = iter(products([[*f.factors(g), *moving[key]] for row in sums.values() for key, f in row.items()]))
    return sp.Add(*(sp.Add(*islice(flat, len(row))) * power(k) for k, row in sums.items()))


def series_expression(form: Local, order: int, power: Callable[[int], sp.Expr]) -> sp.Expr:
    """`series_coefficients` as a SymPy expression in ``g`` and ``T``, with ``power(k)`` for ``x_0**k``."""
    return sums_expression(series_coefficients(form, order), form.map.parameters[0], form.multiplier, power)
