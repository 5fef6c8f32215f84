"""Cycles along the chain rule: the points of a cycle, and the local data of going round it once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import mpmath
import sympy as sp

from normalforms.exact import Series, taylor, tidy
from normalforms.maps import Map
from normalforms.reduction.jet import Jet, jet_of_series

__all__ = ["chain", "cycle_jet", "cycle_points", "numeric_step", "smallest_period"]

Point = dict[sp.Symbol, sp.Expr]


@cache
def numeric_step(m: Map) -> Any:
    """``(*states, *parameters) → (f, ∂f/∂(states, parameters))`` in mpmath, as two nested lists."""
    inputs = (*m.states, *m.parameters)
    rows = [[f.diff(s) for s in inputs] for f in m.steps]
    return sp.lambdify(inputs, [list(m.steps), rows], "mpmath", cse=True)


def chain(m: Map, state: Sequence[Any], others: Mapping[sp.Symbol, Any], period: int, parameter: sp.Symbol) -> Any:
    """``f^n`` and its derivative by states and one parameter, an n × (n + 1) matrix, in mpmath by the chain rule."""
    n = m.dimension
    parameters = [others[s] for s in m.parameters]
    place = n + m.parameters.index(parameter)
    total = mpmath.eye(n + 1)[:n, :]
    for _ in range(period):
        values, rows = numeric_step(m)(*state, *parameters)
        total = mpmath.matrix([row[:n] for row in rows]) * total
        for i in range(n):
            total[i, n] += rows[i][place]
        state = list(values)
    return state, total


def smallest_period(m: Map, point: Mapping[sp.Symbol, Any], period: int, tolerance: float) -> int:
    """The smallest divisor of ``period`` after which the orbit is back at the point, to ``tolerance``."""
    with mpmath.workdps(50):
        parameters = [_number(point[s]) for s in m.parameters]
        start = state = [_number(point[s]) for s in m.states]
        scale = max(max(map(abs, start)), mpmath.mpf(tolerance))
        for t in range(1, period):
            state = numeric_step(m)(*state, *parameters)[0]
            if period % t == 0 and max(abs(a - b) for a, b in zip(state, start, strict=True)) <= tolerance * scale:
                return t
    return period


def _number(value: Any) -> Any:
    return mpmath.mpmathify(sp.N(value, 50))


def cycle_points(m: Map, point: Mapping[sp.Symbol, sp.Expr], period: int, *, exact: bool) -> list[Point]:
    """The ``period`` points of the orbit from ``point``, exact or as rational numbers of 50 digits."""
    points = [dict(point)]
    for _ in range(period - 1):
        last = points[-1]
        if exact:
            values = [tidy(f.xreplace(last)) for f in m.steps]
        else:
            with mpmath.workdps(60):
                found = numeric_step(m)(*(_number(last[s]) for s in (*m.states, *m.parameters)))[0]
                values = [sp.Rational(mpmath.nstr(v, 50)) for v in found]
        points.append(last | dict(zip(m.states, values, strict=True)))
    return points


def cycle_jet(m: Map, points: Sequence[Point], parameter: sp.Symbol, *, exact: bool) -> Jet:
    """The `Jet` of the map iterated once round a cycle, from the Taylor coefficients at each of its points.

    ``f^n(h* + x, μ* + m) − h* = F_n(… F_2(F_1(x, m), m) …, m)`` with ``F_k`` the map about the k-th point, through the
    third order: n compositions of short polynomials, where the formula of ``f^n`` has degree ``dⁿ``.
    """
    fixed = {s: points[0][s] for s in m.parameters if s != parameter}
    steps = [f.xreplace(fixed) for f in m.steps]
    n = m.dimension
    one, unit = (sp.Integer(1) if exact else 1.0), tuple(tuple(int(i == j) for j in range(n + 1)) for i in range(n + 1))
    inner: list[Series] = [{unit[i]: one} for i in range(n)]
    for point in points:
        rows = taylor(steps, {s: point[s] for s in (*m.states, parameter)}, 3, exact=exact)
        values = [row.pop((0,) * (n + 1), sp.Integer(0) if exact else 0.0) for row in rows]
        inner = [_composed(row, [*inner, {unit[n]: one}], exact) for row in rows]
    for row, value in zip(inner, values, strict=True):
        row[(0,) * (n + 1)] = value
    linear = all(f.is_polynomial(*m.states) and sp.Poly(f, *m.states).total_degree() <= 1 for f in steps)
    return jet_of_series(inner, n, exact, linear)


def _composed(outer: Series, inner: Sequence[Series], exact: bool) -> Series:
    """``outer(inner_1, …)`` through the third order; no ``inner`` has a constant term."""
    count = len(inner)
    powers: dict[tuple[int, ...], Series] = {(0,) * count: {(0,) * count: sp.Integer(1) if exact else 1.0}}

    def power(k: tuple[int, ...]) -> Series:
        if k not in powers:
            i = next(i for i, e in enumerate(k) if e)
            powers[k] = _product(power((*k[:i], k[i] - 1, *k[i + 1 :])), inner[i], exact)
        return powers[k]

    total: Series = {}
    for k, c in outer.items():
        for monomial, a in power(k).items():
            total[monomial] = total.get(monomial, 0) + c * a
    return {k: tidy(a) for k, a in total.items()} if exact else total


def _product(a: Series, b: Series, exact: bool) -> Series:
    total: Series = {}
    for i, u in a.items():
        for j, v in b.items():
            if sum(i) + sum(j) <= 3:
                k = tuple(map(sum, zip(i, j, strict=True)))
                total[k] = total.get(k, 0) + u * v
    return {k: tidy(u) for k, u in total.items()} if exact else total
