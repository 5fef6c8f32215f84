"""Laws about a bifurcation point that is no persistent fixed point: joint series in state and parameters, by weight.

About the critical point, ``x = h − h*``, ``ν = g − g*`` (and ``β`` in the cusp), give each monomial
``x_0^i β^l ν^j`` the weight ``i + w_β l + w_ν j``; the map is ``x' = ±x +`` heavier terms, so that the part of weight
``k`` of ``x_t`` follows from lighter ones, and is a polynomial in ``t`` (times ``(±1)^t``). Its values at the first
few ``t`` give it for all: forward differences are its coefficients in the binomials ``C(t, b)``. In the saddle-node
and the cusp these have one sign, so that the law sums without cancellation at any horizon.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import pairwise

import sympy as sp
from sympy.polys.domains import QQ

from normalforms.exact import Poly, poly, rounded, taylor, to_expr, truncated
from normalforms.forms.series.expansion import critical_multiplier
from normalforms.forms.series.terms import Terms
from normalforms.formulas import Program, symbols
from normalforms.maps import Map

__all__ = ["Graded", "exact_rows", "graded", "graded_exact", "graded_series", "graded_terms"]

_ZERO = sp.Float("1e-35")
"""Of numbers that are known to 40 digits."""

Key = tuple[int, int]
"""Powers of ``x_0`` and of the first of two parameters (0 when there is one)."""

Row = dict[Key, Poly]
"""Polynomials in the last parameter's offset ``ν``."""


@dataclass(frozen=True, eq=False)
class Graded:
    """A scalar map about its critical point.

    Args:
        map: the map.
        state: ``h*``.
        origins: the critical parameters.
        weights: those of the parameters; the state has weight 1.
        sign: the multiplier, 1 or −1.
        polynomial: whether the map is one in state and parameters.
    """

    map: Map
    state: sp.Rational
    origins: tuple[sp.Rational, ...]
    weights: tuple[int, ...]
    sign: int
    polynomial: bool

    def weight(self, key: Key) -> int:
        """That of ``x_0^i β^l``."""
        return key[0] + (self.weights[0] * key[1] if len(self.weights) == 2 else 0)

    def heaviest(self, horizon: int) -> int:
        """Weight of the whole polynomial ``x_T``, or beyond 10⁶."""
        top = 1
        for _ in range(horizon):
            rest = [(i, self.weight((0, b)) + self.weights[-1] * j) for (i, b, j) in _taylor(self, 10**6)]
            top = min(max(i * top + w for i, w in rest), 10**6)
        return top


@cache
def graded(m: Map) -> Graded:
    """``m`` about its critical point.

    Irrational numbers become fractions that agree to 40 digits. A parameter has weight 2, or 3 when it moves the fixed
    point of a map without quadratic term (the cusp's β).

    Raises:
        ValueError: see `critical_multiplier`.
    """
    sign = critical_multiplier(m)
    at = dict(m.critical)
    x, step = m.states[0], m.steps[0]
    at = {s: rounded(v) for s, v in at.items()}
    vanishes = lambda e: bool(abs(sp.N(e.subs(at), 40)) < _ZERO)  # noqa: E731
    flat = vanishes(step.diff(x, 2))
    weights = tuple(3 if flat and not vanishes(step.diff(p)) else 2 for p in m.parameters)
    polynomial = step.is_polynomial(x, *m.parameters)
    origins = tuple(at[p] for p in m.parameters)
    return Graded(m, at[x], origins, weights, sign, polynomial)


@cache
def _taylor(form: Graded, top: int) -> Mapping[tuple[int, int, int], sp.Expr]:
    """Taylor coefficients of ``x'`` in ``x, β, ν`` through the weight ``top``.

    Raises:
        ValueError: there is no Taylor series.
    """
    m = form.map
    variables = (m.states[0], *m.parameters)
    point = dict(zip(variables, (form.state, *form.origins), strict=True))
    if form.polynomial:
        shifted = m.steps[0].xreplace({s: s + v for s, v in point.items()})
        terms = dict(sp.Poly(shifted, *variables).terms())
    else:
        terms = taylor([m.steps[0]], point, top, rational=True)[0]
    found = {}
    for powers, c in terms.items():
        i, *rest = powers
        key = (i, rest[0] if len(rest) == 2 else 0, rest[-1])
        if any(powers) and c != 0 and form.weight(key[:2]) + form.weights[-1] * key[2] <= top:
            c = rounded(c)
            if abs(c) > _ZERO:
                found[key] = c
    found[(1, 0, 0)] = sp.Integer(form.sign)
    return found


# --- truncated polynomials ---------------------------------------------------------------------------------------


def _room(form: Graded, key: Key, top: int) -> int:
    """Number of powers of ``ν`` that fit beside ``key`` into the weight ``top``."""
    return (top - form.weight(key)) // form.weights[-1] + 1


def _product(form: Graded, a: Row, b: Row, top: int) -> Row:
    out: Row = {}
    for (i, k), u in a.items():
        for (j, l), v in b.items():
            key = (i + j, k + l)
            if form.weight(key) <= top:
                out[key] = out[key] + u * v if key in out else u * v
    return {key: u for key, u in ((k, truncated(u, _room(form, k, top))) for k, u in out.items()) if u}


def _sum(a: Row, b: Row) -> Row:
    out = dict(a)
    for key, u in b.items():
        out[key] = out[key] + u if key in out else u
    return out


def _factors(form: Graded, top: int) -> dict[int, Row]:
    """The map as ``Σ_i factors[i](β, ν) xⁱ``."""
    dense: dict[int, dict[Key, dict[int, sp.Expr]]] = {}
    for (i, l, j), c in _taylor(form, top).items():
        dense.setdefault(i, {}).setdefault((0, l), {})[j] = c
    lists = lambda c: [QQ.from_sympy(c.get(j, sp.Integer(0))) for j in range(max(c) + 1)]  # noqa: E731
    return {i: {key: poly(lists(c)) for key, c in row.items()} for i, row in sorted(dense.items())}


def _orbit(form: Graded, top: int) -> Iterator[Row]:
    """``x_1, x_2, …`` through the weight ``top``."""
    factors = _factors(form, top)
    x: Row = {(1, 0): poly([1])}
    while True:
        power: Row = {(0, 0): poly([1])}
        degree, new = 0, {}
        for i, factor in factors.items():
            while degree < i:
                power, degree = _product(form, power, x, top), degree + 1
            new = _sum(new, _product(form, factor, power, top))
        x = new
        yield x


def _derivative(form: Graded, x: Row, parameter: int) -> Row:
    if parameter == len(form.weights) - 1:
        return {key: u.derivative() for key, u in x.items() if u.degree() > 0}
    return {(i, l - 1): u * l for (i, l), u in x.items() if l}


def _sums(form: Graded, order: int, entry: tuple[int, int]) -> Iterator[Row]:
    """The entry ``Σ_{t≤T} ∂_p x_t ∂_q x_t`` for ``T = 1, 2, …`` through the weight ``order``."""
    total: Row = {}
    for x in _orbit(form, order + max(form.weights)):
        p, q = (_derivative(form, x, k) for k in entry)
        total = _sum(total, _product(form, p, q, order))
        yield total


@cache
def exact_rows(form: Graded, horizon: int, order: int, entry: tuple[int, int]) -> Row:
    """One entry of the Gram matrix at one horizon: polynomials in ``ν`` by powers of ``x_0`` and ``β``."""
    sums = _sums(form, order, entry)
    for _ in range(horizon - 1):
        next(sums)
    return next(sums)


@cache
def newton_rows(form: Graded, order: int, entry: tuple[int, int]) -> tuple[dict[tuple[int, int, int], list], ...]:
    """``A_T`` by powers of ``x_0, β, ν``: the coefficients of each in ``C(T, b)``, ``b = 0, 1, …``.

    For the multiplier −1 the law is one polynomial in ``T/2`` at even and one in ``(T − 1)/2`` at odd horizons:
    two such tables.

    The part of weight k of ``x_t`` has degree ``≤ (k − 1)/m`` in ``t``, m the least weight of the map's other terms
    less 1; this bounds the degree of ``A_T``.
    """
    heavier = [form.weight((i, l)) + form.weights[-1] * j - 1 for i, l, j in _taylor(form, order + max(form.weights))]
    gap = min((w for w in heavier if w), default=1)
    degree = (order + sum(form.weights[k] for k in entry) - 2) // gap + 1
    parts = 1 if form.sign == 1 else 2
    sums = _sums(form, order, entry)
    values = [{}, *(next(sums) for _ in range(parts * (degree + 1) - 1))]
    return tuple(_differences(values[k::parts]) for k in range(parts))


def _differences(values: list[Row]) -> dict[tuple[int, int, int], list]:
    """Forward differences at the first value, by powers of ``x_0, β, ν``."""
    zero, out = poly([]), {}
    for key in sorted({key for row in values for key in row}):
        column = [row.get(key, zero) for row in values]
        heads = []
        while column:
            heads.append(column[0])
            column = [b - a for a, b in pairwise(column)]
        dense = [u.coeffs() for u in heads]
        for j in range(max(map(len, dense))):
            numbers = [QQ.convert(c[j]) if j < len(c) else QQ(0) for c in dense]
            while numbers and not numbers[-1]:
                numbers.pop()
            if numbers:
                out[(*key, j)] = numbers
    return out


# --- as expressions and as programs ----------------------------------------------------------------------------


def _offsets(form: Graded) -> list[sp.Expr]:
    shifts = [p - v for p, v in zip(form.map.parameters, form.origins, strict=True)]
    return shifts if len(shifts) == 2 else [sp.Integer(0), *shifts]


def graded_exact(
    form: Graded, horizon: int, order: int, power: Callable[[int], sp.Expr], entry: tuple[int, int] = (0, 0)
) -> sp.Expr:
    """`exact_rows` as an expression in the parameters, with ``power(i)`` for ``x_0**i``."""
    beta, nu = _offsets(form)
    rows = sorted(exact_rows(form, horizon, order, entry).items())
    return sp.Add(*(to_expr(u, nu) * beta**l * power(i) for (i, l), u in rows))


def graded_series(
    form: Graded, order: int, power: Callable[[int], sp.Expr], entry: tuple[int, int] = (0, 0)
) -> sp.Expr:
    """`newton_rows` as an expression in the parameters and ``T``, with ``power(i)`` for ``x_0**i``."""
    beta, nu = _offsets(form)
    tables = newton_rows(form, order, entry)
    T = symbols("T")
    parts = []
    for k, table in enumerate(tables):
        terms = [
            to_expr(_in_powers(c, k, len(tables)), T) * beta**l * nu**j * power(i)
            for (i, l, j), c in sorted(table.items())
        ]
        parts.append(sp.Add(*terms))
    if len(parts) == 1:
        return parts[0]
    return (1 + (-1) ** T) / 2 * parts[0] + (1 - (-1) ** T) / 2 * parts[1]


def _in_powers(numbers: list, offset: int, step: int) -> Poly:
    """``Σ_b numbers[b] C((T − offset)/step, b)`` as a polynomial in ``T``."""
    value, steps = poly([]), poly([QQ(-offset, step), QQ(1, step)])
    for b in reversed(range(len(numbers))):
        value = value * (steps - poly([b])) / (b + 1) + poly([numbers[b]])
    return value


def graded_terms(form: Graded, order: int, horizon: sp.Expr, entry: tuple[int, int] = (0, 0)) -> Terms:
    """The terms of ``A_T`` by weight: sums over binomials of the horizon, or numbers for an integer horizon."""
    prelude: list[tuple[sp.Symbol, sp.Expr]] = []
    if isinstance(horizon, sp.Symbol):
        numbers = _binomial_sums(form, order, horizon, entry, prelude)
    else:
        rows = exact_rows(form, int(horizon), order, entry)
        numbers = {
            (i, l, j): QQ.to_sympy(QQ.convert(c)) for (i, l), u in rows.items() for j, c in enumerate(u.coeffs()) if c
        }
    highest = [max((n[k] for n in numbers), default=0) for k in (1, 2)]
    powers = [_powers(f"nu{k}", e, highest[k], prelude) for k, e in enumerate(_offsets(form))]
    coefficients: dict[tuple[int, int], list[sp.Expr]] = {}
    for (i, l, j), c in numbers.items():
        weight = form.weight((i, l)) + form.weights[-1] * j
        coefficients.setdefault((weight, i), []).append(c * powers[0][l] * powers[1][j])
    inputs = (*form.map.parameters, *([horizon] if isinstance(horizon, sp.Symbol) else []))
    return Terms(
        Program(inputs, (), prelude=tuple(prelude)),
        {key: sp.Add(*terms) for key, terms in sorted(coefficients.items())},
        form.state,
        place=len(form.map.parameters),
    )


def _powers(name: str, base: sp.Expr, top: int, into: list[tuple[sp.Symbol, sp.Expr]]) -> list[sp.Expr]:
    """``1, base, base², …`` assigned one from the other."""
    out: list[sp.Expr] = [sp.Integer(1)]
    for k in range(1, top + 1):
        symbol = sp.Symbol(f"{name}_{k}", real=True)
        into.append((symbol, base if k == 1 else out[-1] * out[1]))
        out.append(symbol)
    return out


def _binomial_sums(
    form: Graded, order: int, T: sp.Symbol, entry: tuple[int, int], into: list[tuple[sp.Symbol, sp.Expr]]
) -> dict[tuple[int, int, int], sp.Expr]:
    """The coefficients of ``A_T`` assigned to symbols."""
    tables = newton_rows(form, order, entry)
    sums: dict[tuple[int, int, int], sp.Expr] = {}
    for part, table in enumerate(tables):
        steps = (T - part) / sp.Integer(len(tables))
        shown = sp.Integer(1) if len(tables) == 1 else (1 + (-1) ** part * (-1) ** T) / sp.Integer(2)
        binomials = [sp.Integer(1)]
        for b in range(1, max(map(len, table.values()), default=1)):
            symbol = sp.Symbol(f"choose{part}_{b}", real=True)
            into.append((symbol, binomials[-1] * (steps - (b - 1)) / b))
            binomials.append(symbol)
        for key, numbers in sorted(table.items()):
            value = sp.Add(*(QQ.to_sympy(n) * s for n, s in zip(numbers, binomials, strict=False) if n))
            sums[key] = sums.get(key, sp.Integer(0)) + shown * value
    named = {key: sp.Symbol("c" + "_".join(map(str, key)), real=True) for key in sums}
    into += [(named[key], value) for key, value in sums.items()]
    return named
