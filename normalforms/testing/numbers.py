"""Decimal values of a map's series coefficients, by iteration alone: what a rediscovery starts from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import flint
import mpmath as mp
import sympy as sp

from normalforms.maps import Map

__all__ = ["coefficient_values", "graded_values"]

Weighted = dict[tuple[int, ...], Any]


def coefficient_values(m: Map, power: int, digits: int = 60) -> Callable[[Any, int], Any]:
    """``(g, T) → [h0^power] A_T``, decimal, for a map with a fixed point at zero.

    The states are power series in h0 whose coefficients are numbers of ``digits`` digits; in R^n the first state
    starts at h0 and the others at zero.

    Args:
        m: a polynomial map with one parameter and rational coefficients.
        power: of h0 in A.
        digits: decimal digits of the values.

    Raises:
        ValueError: a map of another kind.

    >>> import normalforms as nf
    >>> values = coefficient_values(nf.stability_flip(), 2)
    >>> mp.nstr(values(mp.mpc(1), 3).real, 5)
    '14.0'
    """
    if len(m.parameters) != 1 or not all(f.is_polynomial(*m.states, *m.parameters) for f in m.steps):
        raise ValueError("the map must be polynomial with one parameter")
    polynomials = [sp.Poly(f, *m.states, m.parameters[0]) for f in m.steps]
    terms = [[(powers, complex_of(c)) for powers, c in p.terms()] for p in polynomials]
    if any(not any(powers[:-1]) for row in terms for powers, _ in row):
        raise ValueError("the map has no fixed point at zero; use graded_values")
    kept: dict[tuple[str, str], list[Any]] = {}

    def values(g: Any, T: int) -> Any:
        key = (mp.nstr(mp.re(g), 25), mp.nstr(mp.im(g), 25))
        row: list[Any] = kept.get(key, [])
        if len(row) < T:
            row = kept[key] = _sums(terms, m.dimension, g, max(T, 2 * len(row), 8), power, digits)
        return row[T - 1]

    return values


def complex_of(c: Any) -> str:
    """A rational coefficient as text that flint reads."""
    if not c.is_Rational:
        raise ValueError(f"coefficient {c} is not rational; give one that is")
    return f"{c.p}/{c.q}"


def _sums(terms: list[Any], n: int, g: Any, T: int, power: int, digits: int) -> list[Any]:
    """The coefficient at T = 1, 2, …; states and sensitivities are truncated power series."""
    before = flint.ctx.dps
    flint.ctx.dps = digits + 8
    try:
        with mp.workdps(digits + 8):
            z = flint.acb(str(mp.re(g)), str(mp.im(g)))
        numbers = [[(p, flint.acb(flint.arb(flint.fmpq(*map(int, c.split("/")))))) for p, c in row] for row in terms]
        cut = power + 1
        h = [flint.acb_poly([0, 1]), *(flint.acb_poly([0]) for _ in range(n - 1))]
        s = [flint.acb_poly([0]) for _ in range(n)]
        total, found = flint.acb(0), []
        for _ in range(T):
            h, s = _advanced(numbers, h, s, z, cut)
            total += sum((flint.acb_poly(v * v)[power] for v in s), flint.acb(0))
            with mp.workdps(digits):
                found.append(mp.mpc(_text(total.real, digits), _text(total.imag, digits)))
        return found
    finally:
        flint.ctx.dps = before


def _text(x: Any, digits: int) -> Any:
    return mp.mpf(x.mid().str(digits + 5, radius=False))


def _advanced(numbers: list[Any], h: list[Any], s: list[Any], g: Any, cut: int) -> tuple[list[Any], list[Any]]:
    """``f(h, g)`` and ``f_h s + f_g``."""
    short = lambda p: flint.acb_poly(p.coeffs()[:cut])  # noqa: E731
    top = max(max(p[:-1]) for row in numbers for p, _ in row)
    powers = [[flint.acb_poly([1]), x] for x in h]
    for row in powers:
        while len(row) <= top:
            row.append(short(row[-1] * row[1]))
    ahead, moved = [], []
    for row in numbers:
        value, slope = flint.acb_poly([0]), flint.acb_poly([0])
        for p, c in row:
            *states, k = p
            product = flint.acb_poly([c])
            for i, e in enumerate(states):
                product = short(product * powers[i][e])
            value += product * g**k
            if k:
                slope += product * (k * g ** (k - 1))
            for i, e in enumerate(states):
                if e:
                    rest = flint.acb_poly([c * e * g**k])
                    for j, d in enumerate(states):
                        rest = short(rest * powers[j][d - (i == j)])
                    slope += short(rest * s[i])
        ahead.append(short(value))
        moved.append(short(slope))
    return ahead, moved


def graded_values(
    m: Map, weights: Mapping[str, int], powers: Sequence[int], entry: tuple[int, int] = (0, 0), digits: int = 60
) -> Callable[[Any, int], Any]:
    """``(_, T) → [h0^i δ^j …] Σ_t s_a s_b``, decimal, for a scalar map that is critical where it has no fixed line.

    δ are the parameters less their critical values. The state is a power series in h0 and δ, cut at the weight that the
    coefficient needs, and sensitivities are its derivatives.

    Args:
        m: a scalar polynomial map with critical values.
        weights: of h0 (under the state's name) and of each parameter.
        powers: of h0 and of each δ in the coefficient.
        entry: indices a, b of the parameters.
        digits: decimal digits.

    >>> import normalforms as nf
    >>> values = graded_values(nf.saddle_node(), {"h": 1, "g": 2}, (0, 0))
    >>> int(values(None, 3))
    14
    """
    names = [m.states[0].name, *(p.name for p in m.parameters)]
    grades = tuple(weights[n] for n in names)
    lift = [grades[1 + i] for i in entry]
    limit = sum(p * w for p, w in zip(powers, grades, strict=True)) + max(lift)
    h = m.states[0]
    shifted = m.steps[0].subs({p: p + m.critical[p] for p in m.parameters}, simultaneous=True)
    terms = [(e, mp.mpf(int(c.p)) / int(c.q)) for e, c in sp.Poly(sp.expand(shifted), h, *m.parameters).terms()]
    kept: list[Any] = []

    def values(_: Any, T: int) -> Any:
        with mp.workdps(digits):
            if len(kept) < T:
                kept[:] = _graded(terms, grades, limit, tuple(powers), entry, T + 8)
            return kept[T - 1]

    return values


def _graded(
    terms: list[Any], grades: tuple[int, ...], limit: int, powers: tuple[int, ...], entry: tuple[int, int], T: int
) -> list[Any]:
    one = tuple(0 for _ in grades)
    state: Weighted = {tuple(int(i == 0) for i in range(len(grades))): mp.mpf(1)}
    total, found = mp.mpf(0), []
    for _ in range(T):
        table = [{one: mp.mpf(1)}]
        while len(table) <= max(e[0] for e, _ in terms):
            table.append(_product(table[-1], state, grades, limit))
        ahead: Weighted = {}
        for e, c in terms:
            for k, v in table[e[0]].items():
                key = (k[0], *(a + b for a, b in zip(k[1:], e[1:], strict=True)))
                if sum(a * b for a, b in zip(key, grades, strict=True)) <= limit:
                    ahead[key] = ahead.get(key, mp.mpf(0)) + c * v
        state = ahead
        a, b = (_slope(state, 1 + i) for i in entry)
        total += _product(a, b, grades, limit).get(powers, mp.mpf(0))
        found.append(total)
    return found


def _product(a: Weighted, b: Weighted, grades: tuple[int, ...], limit: int) -> Weighted:
    result: Weighted = {}
    for x, v in a.items():
        for y, w in b.items():
            key = tuple(i + j for i, j in zip(x, y, strict=True))
            if sum(i * j for i, j in zip(key, grades, strict=True)) <= limit:
                result[key] = result.get(key, mp.mpf(0)) + v * w
    return result


def _slope(a: Weighted, i: int) -> Weighted:
    return {tuple(k - (j == i) for j, k in enumerate(key)): key[i] * v for key, v in a.items() if key[i]}
