"""Closed amplification series in symbolic horizon, from the Kœnigs linearisation.

About a fixed point with multiplier ``λ(g)`` a map is conjugate to ``z' = λ z``:
``x_t = φ(λᵗ ψ(x_0))``, ``φ(λz) = f(φ(z))``, ``ψ = φ⁻¹``. So each coefficient of ``x_t`` in ``x_0`` is a sum of
``r(g) λ^{jt}`` with ``r`` rational, its square summed over ``t`` is one of ``r(g) T^b λ^{eT}``, and all
denominators are products of cyclotomic polynomials in ``λ``: they are known beforehand, and no polynomial
greatest common divisor is ever computed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import sympy as sp

from normalforms.expansion import Local
from normalforms.polynomials import Poly, from_expr, poly, to_expr

__all__ = ["Linearisation", "linearise", "orbit_coefficients", "series_coefficients", "series_expression"]


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

    ``φ_m`` by its functional equation; the powers of ``ψ = φ⁻¹`` by Lagrange inversion,
    ``[x^n] ψ^k = (k/n) [z^{n−k}] (φ/z)^{−n}``, and those of ``φ/z`` by J. C. P. Miller's recurrence. Over ``Q_m`` a
    product of series needs Gaussian binomials only, which are polynomials.

    Raises:
        ValueError: a coefficient of the map is not a polynomial in the parameter with rational coefficients.
    """
    g = form.map.parameters[0]
    powers = form.powers(order)
    stride = math.gcd(*(k - 1 for k in powers)) or 1
    count = (order - 1) // stride
    factors = {k: from_expr(form.coefficient(k), g) for k in powers}
    lam = factors[1]
    steps = _steps(lam, stride, count)
    binomials = _gaussian_binomials(lam, stride, count)
    phi = _phi(factors, lam, steps, binomials, stride, count)
    weighted = [[binomials[m][i] * phi[i] for i in range(m + 1)] for m in range(count + 1)]
    orbit = []
    for m in range(count + 1):
        n = stride * m + 1
        inverse = _power(weighted, -n, m)
        orbit.append(tuple(phi[j] * inverse[m - j] * (stride * j + 1) / n for j in range(m + 1)))
    return Linearisation(stride, lam, tuple(phi), tuple(orbit))


def _steps(lam: Poly, stride: int, count: int) -> list[Poly]:
    """``λ (λ^{wm} − 1)``, the factor from ``Q_{m−1}`` to ``Q_m``."""
    base, power, out = lam**stride, poly([1]), [poly([1])]
    for _ in range(count):
        power = power * base
        out.append(lam * (power - poly([1])))
    return out


def _gaussian_binomials(lam: Poly, stride: int, count: int) -> list[list[Poly]]:
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
    binomials: list[list[Poly]],
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
                row = row + binomials[n][i] * powers[1][i] * powers[k - 1][n - i]
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


def _power(weighted: list[list[Poly]], exponent: int, count: int) -> list[Poly]:
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


# --- fractions whose denominators are products of known polynomials --------------------------------------------


@dataclass(frozen=True, eq=False)
class Base:
    """The polynomials that denominators are made of: ``λ``, the cyclotomic ``Φ_d(λ)``, and one of the caller's."""

    multiplier: Poly
    extra: Poly

    def factor(self, d: int) -> Poly:
        """``Φ_d(λ)`` for ``d ≥ 1``, ``λ`` for 0, the caller's for −1."""
        return _factor(self, d)


@cache
def _base(form: Local) -> Base:
    g = form.map.parameters[0]
    return Base(from_expr(form.multiplier, g), from_expr(sp.denom(sp.together(form.fixed_point.diff(g))), g))


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


Den = dict[int, int]


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
        den = _lcm(self.den, other.den)
        return Fraction(self.base, self.over(den) + other.over(den), den)

    def __mul__(self, other: Fraction) -> Fraction:
        return Fraction(self.base, self.num * other.num, _sum(self.den, other.den))

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
        bottom = sp.Mul(*(to_expr(self.base.factor(d), g) ** n for d, n in sorted(self.den.items())))
        return to_expr(self.num, g) / bottom


def _sum(a: Den, b: Den) -> Den:
    return {d: a.get(d, 0) + b.get(d, 0) for d in a.keys() | b.keys()}


def _lcm(a: Den, b: Den) -> Den:
    return {d: max(a.get(d, 0), b.get(d, 0)) for d in a.keys() | b.keys()}


def _q_exponents(m: int, stride: int) -> Den:
    """``Q_m`` as exponents: ``Φ_d(λ)`` divides ``λⁿ − 1`` for ``d | n``."""
    den: Den = {0: m} if m else {}
    for i in range(1, m + 1):
        for d in sp.divisors(stride * i):
            den[int(d)] = den.get(int(d), 0) + 1
    return den


Terms = dict[int, Fraction]
"""``Σ_j terms[j] λ^{jt}``."""


def orbit_coefficients(form: Local, order: int) -> dict[int, Terms]:
    """Coefficients of ``x_t`` in ``x_0``: ``x_t = Σ_k x_0^k Σ_j terms[k][j] λ^{jt}``."""
    made = linearise(form, order)
    base = _base(form)
    w = made.stride
    exponents = [_q_exponents(m, w) for m in range(len(made.phi))]
    return {
        w * m + 1: {w * j + 1: Fraction(base, r, _sum(exponents[j], exponents[m - j])) for j, r in enumerate(row)}
        for m, row in enumerate(made.orbit)
    }


def _sensitivities(form: Local, order: int) -> dict[int, dict[int, tuple[Fraction, Fraction]]]:
    """``s_t = Σ_k x_0^k Σ_j (u + v t) λ^{jt}`` as ``{k: {j: (u, v)}}``."""
    g = form.map.parameters[0]
    speed = sp.together(form.fixed_point.diff(g))
    orbit = orbit_coefficients(form, order + 1 if speed != 0 else max(order - 1, 1))
    base = next(iter(orbit[1].values())).base
    rate = Fraction(base, base.multiplier.derivative(), {0: 1})
    zero = Fraction(base, poly([]), {})
    out: dict[int, dict[int, tuple[Fraction, Fraction]]] = {}
    for k, terms in orbit.items():
        out[k] = {j: (r.derivative(), (r * rate).times(j)) for j, r in terms.items()}
    if speed != 0:
        drift = Fraction(base, from_expr(sp.numer(speed), g), {-1: 1})
        out[0] = {0: (drift, zero)}
        for k, terms in orbit.items():
            row = out.setdefault(k - 1, {})
            for j, r in terms.items():
                u, v = row.get(j, (zero, zero))
                row[j] = (u + (r * drift).times(-k), v)
    return {k: row for k, row in out.items() if k <= order}


@cache
def series_coefficients(form: Local, order: int) -> dict[int, dict[tuple[int, int], Fraction]]:
    """``A_T = Σ_k x_0^k Σ_{b,e} c[k][b, e] T^b λ^{eT}`` through ``x_0**order``."""
    s = _sensitivities(form, order)
    squares: dict[int, dict[tuple[int, int], list[Fraction]]] = {}
    for k1, row1 in s.items():
        for k2, row2 in s.items():
            if k1 > k2 or k1 + k2 > order:
                continue
            double = 1 if k1 == k2 else 2
            into = squares.setdefault(k1 + k2, {})
            for j1, (u1, v1) in row1.items():
                for j2, (u2, v2) in row2.items():
                    e = j1 + j2
                    into.setdefault((0, e), []).append((u1 * u2).times(double))
                    into.setdefault((1, e), []).append((u1 * v2).times(double))
                    into.setdefault((1, e), []).append((v1 * u2).times(double))
                    into.setdefault((2, e), []).append((v1 * v2).times(double))
    return {k: _time_sums({key: _total(fs) for key, fs in row.items()}) for k, row in sorted(squares.items())}


def _total(fractions: list[Fraction]) -> Fraction:
    den: Den = {}
    for f in fractions:
        den = _lcm(den, f.den)
    num = poly([])
    for f in fractions:
        if f.num:
            num = num + f.over(den)
    return Fraction(fractions[0].base, num, den)


def _time_sums(terms: Mapping[tuple[int, int], Fraction]) -> dict[tuple[int, int], Fraction]:
    """``Σ_{t=1}^T Σ c[a, e] t^a λ^{et}`` in the basis ``T^b λ^{eT}``."""
    parts: dict[tuple[int, int], list[Fraction]] = {}
    for (a, e), c in terms.items():
        if not c.num:
            continue
        for (b, eT), weight in _geometric(c.base, a, e).items():
            parts.setdefault((b, eT), []).append(c * weight)
    totals = {key: _total(fs).reduced() for key, fs in parts.items()}
    return {key: f for key, f in sorted(totals.items()) if f.num}


@cache
def _geometric(base: Base, a: int, e: int) -> dict[tuple[int, int], Fraction]:
    """``Σ_{t=1}^T t^a Λ^t``, ``Λ = λ^e``, in the basis ``T^b λ^{eT}``."""
    if e == 0:
        polynomial = {0: [0, 1], 1: [0, (1, 2), (1, 2)], 2: [0, (1, 6), (1, 2), (1, 3)]}[a]
        weights = [sp.Rational(*c) if isinstance(c, tuple) else sp.Integer(c) for c in polynomial]
        return {(b, 0): Fraction(base, from_expr(c, sp.Symbol("x")), {}) for b, c in enumerate(weights) if c}
    x, one = base.multiplier**e, poly([1])
    less = x - one
    den = {int(d): a + 1 for d in sp.divisors(e)}
    tables = {
        0: ({(0, e): x}, -x),
        1: ({(1, e): x * less, (0, e): -x}, x),
        2: ({(2, e): x * less * less, (1, e): x * less * (-2), (0, e): x * (x + one)}, -x * (x + one)),
    }
    growing, constant = tables[a]
    return {key: Fraction(base, num, den) for key, num in (*growing.items(), ((0, 0), constant))}


def series_expression(form: Local, order: int, monomials: Mapping[int, sp.Expr] | None = None) -> sp.Expr:
    """`series_coefficients` as a SymPy expression in ``g, h0, T``.

    Args:
        form: the map about its fixed point.
        order: highest power of ``x_0`` kept.
        monomials: value of ``x_0^k``, for averages; by default ``(h0 − h*)**k``.
    """
    g, T = form.map.parameters[0], sp.Symbol("T", integer=True, positive=True)
    x0 = sp.Symbol("h0", real=True) - form.fixed_point
    terms = []
    for k, row in series_coefficients(form, order).items():
        value = sp.Add(*(f.expr(g) * T**b * form.multiplier ** (e * T) for (b, e), f in row.items()))
        terms.append(value * (x0**k if monomials is None else monomials[k]))
    return sp.Add(*terms)
