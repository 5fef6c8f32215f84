"""The Neimark–Sacker family in its rotating frame, where the rotation drops out of the law.

``z_t = e^{iωt} w_t`` turns ``z' = e^{iω} z (g + d|z|²)`` into ``w' = w (g + d|w|²)``, and ``|∂_g z_t| = |∂_g w_t|``.
With ``w_t = w_0 F_t(ρ)``, ``ρ = |w_0|²``, the law is ``A_T = ρ Σ_t |∂_g F_t(ρ)|²``: a series in ``h0 = |z_0|``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import sympy as sp

from normalforms.exact import Base, Fraction, Poly, combined, poly, q_exponents, to_expr
from normalforms.forms.series.expansion import accumulated, loop
from normalforms.forms.series.koenigs import binomials, powered, sensitivities, summed_squares, sums_expression
from normalforms.forms.series.polynomial import Row, convolve
from normalforms.forms.series.terms import Series, Terms, multiply, named
from normalforms.formulas import Carry
from normalforms.maps import Map

__all__ = ["Rotating", "rotates", "rotating", "rotating_exact", "rotating_series", "rotating_terms"]


@dataclass(frozen=True)
class Rotating:
    """``w' = w (g + d|w|²)``, ``d = real + i imag``.

    Args:
        map: the planar map.
        real: ``Re d``, a rational number.
        imag: ``Im d``, a rational number.
    """

    map: Map
    real: sp.Rational
    imag: sp.Rational


def rotates(m: Map) -> bool:
    """Whether a map is scalar, or `rotating`: whether its series has coefficients in closed form."""
    if m.dimension == 1 or len(m.parameters) > 1:
        return True
    try:
        return m.dimension == 2 and bool(rotating(m))
    except ValueError:
        return False


@cache
def rotating(m: Map) -> Rotating:
    """Recognise a planar map as ``z' = e^{iω} z (g + d|z|²)``, ``z = x + iy``.

    Raises:
        ValueError: it has another form, or a ``d`` that is not rational.
    """
    (x, y), g = m.states, m.parameters[0]
    refusal = ValueError(
        f"the planar map {m.name or m.steps} is not e^(iω) z (g + d|z|²); reduce it and use the law of its normal form"
    )
    if not all(s.is_polynomial(x, y, g) for s in m.steps):
        raise refusal
    axis = [sp.Poly(s.subs(y, 0), x, g) for s in m.steps]
    c, s = (p.coeff_monomial(x * g) for p in axis)
    p, q = (row.coeff_monomial(x**3) for row in axis)
    real, imag = (_turned(e, s, c) for e in (c * p + s * q, c * q - s * p))
    radius = x**2 + y**2
    u, v = x * (g + real * radius) - y * imag * radius, x * imag * radius + y * (g + real * radius)
    rest = (m.steps[0] - c * u + s * v, m.steps[1] - s * u - c * v, c**2 + s**2 - 1)
    if any(_turned(number, s, c) != 0 for e in rest for number in sp.Poly(e, x, y, g).coeffs()):
        raise refusal
    if not (real.is_Rational and imag.is_Rational):
        raise ValueError(f"d = {real + sp.I * imag} has a part that is not a rational number; give one that is")
    return Rotating(m, real, imag)


def _turned(number: sp.Expr, s: sp.Expr, c: sp.Expr) -> sp.Expr:
    """``number`` simplified by ``sin² = 1 − cos²``, and by all that SymPy knows only where that leaves no rational."""
    plain = sp.expand(sp.expand(number).subs(s**2, 1 - c**2))
    return plain if plain.is_Rational else sp.simplify(plain)


def rotating_terms(form: Rotating, order: int, horizon: sp.Expr) -> Terms:
    """The terms of ``A_T`` through ``|z_0|**order`` by the recursion of ``F_t``, real and imaginary part."""
    g = form.map.parameters[0]
    support = range(1, max(order, 2), 2)
    re, im = ({k: sp.Symbol(f"{n}{k}", real=True) for k in support} for n in ("re", "im"))
    body: list[tuple[sp.Symbol, sp.Expr]] = []
    size = multiply(re, re, order)
    for k, v in multiply(im, im, order).items():
        size[k] += v
    size = named(size, "rr", body)
    turned = (
        {k: form.real * re[k] - form.imag * im[k] for k in support},
        {k: form.imag * re[k] + form.real * im[k] for k in support},
    )
    carries: list[Carry] = []
    nexts: list[Series] = []
    for part, turn, name in zip((re, im), turned, ("p", "q"), strict=True):
        cubic = multiply(size, turn, order)
        nexts.append(named({k: g * part[k] + cubic.get(k, sp.Integer(0)) for k in support}, name, body))
        carries += [Carry(part[k], sp.Integer(int(part is re and k == 1)), nexts[-1][k]) for k in support]
    moved, tangents = loop(carries, g, horizon, (), body).with_tangents(g)
    rates = [{k: tangents[s] for k, s in part.items() if s in tangents} for part in nexts]
    return accumulated(moved, rates, order, sp.Integer(0))


# --- the same with polynomials in g as coefficients, exactly ---------------------------------------------------

Pair = tuple[Poly, Poly]
"""Real and imaginary part."""


def _times(a: Pair, b: Pair) -> Pair:
    return a[0] * b[0] - a[1] * b[1], a[0] * b[1] + a[1] * b[0]


def _coefficient(form: Rotating) -> Pair:
    return poly([form.real]), poly([form.imag])


@cache
def exact_rows(form: Rotating, horizon: int, order: int) -> Row:
    """``A_T = Σ_k coefficients[k](g) |z_0|^k`` through ``order``, by the recursion of ``F_t``."""
    g, (c, e) = poly([0, 1]), _coefficient(form)
    re: Row = {1: poly([1])}
    im: Row = {}
    total: Row = {}
    for _ in range(horizon):
        size = _plus(convolve(re, re, order), convolve(im, im, order))
        turned = _plus(_scaled(re, c), _scaled(im, -e)), _plus(_scaled(re, e), _scaled(im, c))
        cubic = [convolve(size, turn, order) for turn in turned]
        re, im = _plus(_scaled(re, g), cubic[0]), _plus(_scaled(im, g), cubic[1])
        for part in (re, im):
            s = {k: u.derivative() for k, u in part.items()}
            total = _plus(total, convolve(s, s, order))
    return dict(sorted(total.items()))


def _plus(a: Row, b: Row) -> Row:
    return {k: a[k] + b[k] if k in a and k in b else a.get(k, b.get(k)) for k in sorted(a.keys() | b.keys())}


def _scaled(a: Row, factor: Poly) -> Row:
    return {k: u * factor for k, u in a.items()}


def rotating_exact(form: Rotating, horizon: int, order: int, power: Callable[[int], sp.Expr]) -> sp.Expr:
    """`exact_rows` as an expression in ``g``, with ``power(k)`` for ``|z_0|**k``."""
    g = form.map.parameters[0]
    return sp.Add(*(to_expr(u, g) * power(k) for k, u in exact_rows(form, horizon, order).items()))


# --- and in symbolic horizon -----------------------------------------------------------------------------------


def _linearised(form: Rotating, count: int) -> tuple[list[Pair], list[Poly]]:
    """``φ_m`` and ``χ_m`` of ``Φ(z) = z φ(|z|²)``, ``Φ(gz) = Φ(z)(g + d|Φ(z)|²)``, ``χ = |φ|²``, over ``Q_m``."""
    pascal, d = binomials(poly([0, 1]), 2, count), _coefficient(form)
    phi: list[Pair] = [(poly([1]), poly([]))]
    chi: list[Poly] = []
    for m in range(count + 1):
        if m:
            cubic = _dot(pascal[m - 1], [(c, poly([])) for c in chi], phi, m - 1)
            phi.append(_times(d, cubic))
        chi.append(_dot(pascal[m], phi, [(a, -b) for a, b in phi], m)[0])
    return phi, chi


def _dot(row: list[Poly], a: list[Pair], b: list[Pair], m: int) -> Pair:
    """``Σ_i row[i] a_i b_{m−i}``."""
    real, imag = poly([]), poly([])
    for i in range(m + 1):
        u, v = _times(a[i], b[m - i])
        real, imag = real + row[i] * u, imag + row[i] * v
    return real, imag


@cache
def rotating_orbit(form: Rotating, order: int) -> tuple[dict, dict]:
    """Real and imaginary part of ``w_t/|w_0|`` as ``Σ_k |w_0|^k Σ_j terms[k][j] g^{jt}``.

    ``F_t = g^t φ(g^{2t} u)/φ(u)`` with ``u χ(u) = ρ``, inverted by Lagrange's formula
    ``[ρ^m] G(u) = (1/m) [u^{m−1}] G'(u) χ(u)^{−m}``.
    """
    count = (order - 1) // 2
    phi, chi = _linearised(form, count)
    pascal, base = binomials(poly([0, 1]), 2, count), Base(poly([0, 1]), poly([1]))
    weighted = [[pascal[m][i] * chi[i] for i in range(m + 1)] for m in range(count + 1)]
    inverse = [phi[0]]
    for m in range(1, count + 1):
        real, imag = _dot([poly([]), *pascal[m][1:]], phi, [*inverse, phi[0]], m)
        inverse.append((-real, -imag))
    known = [q_exponents(m, 2) for m in range(count + 1)]
    parts: tuple[dict, dict] = ({}, {})
    for m in range(count + 1):
        power = powered(weighted, -m, m)
        for part in parts:
            part[2 * m + 1] = {}
        for j in range(m + 1):
            row = _times(phi[j], _lagrange(pascal[m - j], inverse, power, j, m))
            for part, numerator in zip(parts, row, strict=True):
                den = combined(known[j], known[m - j])
                part[2 * m + 1][2 * j + 1] = Fraction(base, numerator, den)
    return parts


def _lagrange(row: list[Poly], inverse: list[Pair], power: list[Poly], j: int, m: int) -> Pair:
    """``[ρ^m] u^j/φ(u)`` over ``Q_{m−j}``."""
    if m == 0:
        return inverse[0]
    real, imag = poly([]), poly([])
    for k in range(m - j + 1):
        factor = row[k] * power[m - j - k] * (j + k)
        real, imag = real + factor * inverse[k][0], imag + factor * inverse[k][1]
    return real / m, imag / m


def rotating_series(form: Rotating, order: int, power: Callable[[int], sp.Expr]) -> sp.Expr:
    """The series of ``A_T`` through ``|z_0|**order`` in ``g`` and ``T``, with ``power(k)`` for ``|z_0|**k``."""
    g = form.map.parameters[0]
    parts = rotating_orbit(form, max(order - 1, 1))
    base = parts[0][1][1].base
    return sums_expression(summed_squares([sensitivities(p, base) for p in parts], order), g, g, power)
