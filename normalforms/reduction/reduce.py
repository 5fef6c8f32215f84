"""From a SymPy map and a point to its normal form, exact where the point is."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast

import mpmath
import numpy as np
import sympy as sp

from normalforms.exact import BorderError, is_odd, is_zero, tidy
from normalforms.maps import Map, turns
from normalforms.reduction.classify import frame_of, reduce_jet
from normalforms.reduction.cycle import cycle_jet, cycle_points, numeric_step, smallest_period
from normalforms.reduction.jet import Jet, Vector, jet
from normalforms.reduction.normal_form import Coefficients, NormalForm
from normalforms.reduction.refine import distance, refined
from normalforms.reduction.symbolic import kept_symbols, reduce_symbolic

__all__ = ["located", "reduce"]

_PROVABLE = 500
"""Operations in a formula up to which expanding it is a quick proof of its symmetry."""


_REACH = 1e-4
"""How far a point given in decimals may lie from the bifurcation that it means, relative to its size."""


def reduce(
    m: Map,
    at: Mapping[Any, Any] | None = None,
    *,
    period: int = 1,
    parameter: Any = None,
    tolerance: float = 1e-8,
) -> NormalForm:
    """The normal form of a map at a fixed point or along a cycle, exact where the point is given exactly.

    The formulas are those of `reduce_jet`. Along a cycle they are those of ``f^n``, whose Taylor coefficients are
    composed from those at each point of the cycle.

    Args:
        m: the map; its parameter, or the chosen one of several, is the unfolding parameter ``μ``.
        at: values of every state and parameter, keyed by symbol or name; numbers, SymPy numbers or text such
            as ``"2/3"``. Omitted: ``m.critical``. Values that are floats, or text with a decimal point or exponent,
            are taken as approximate when the point is not exactly critical. Newton's method then goes from them to
            the bifurcation, if there is one within 1e-4 of their size; `NormalForm.correction` says how far. Parameters
            may stay symbols, ``{"b": "b", "a": "3*(1 - b)**2/4", …}``, where a multiplier is 1 or −1 for all their
            values: the coefficients are then formulas of them, and `NormalForm.at` gives them values.
        period: n, where ``at`` is a point of a cycle.
        parameter: symbol or name of the unfolding parameter where the map has several; by default the last.
            The others are reported too, as ``c0_name`` and ``dlambda_name``.
        tolerance: for approximate points, as in `reduce_jet`; also the largest residual ``|f(h) − h|``
            relative to the state, and a hundredth of the largest distance from the unit circle.

    Raises:
        ValueError: ``at`` is missing, is no fixed point (its residual is named), has a smaller period, is not
            critical (its multipliers are named) or is on the border of two pieces of the map; the map has no
            derivatives there.

    >>> from normalforms import parse_map
    >>> form = reduce(parse_map("r*x*(1-x)", state="x", parameter="r"), at={"x": "2/3", "r": 3})
    >>> form.kind, form.coefficients["c3"], form.coefficients["dlambda"]
    ('period_doubling', 9, -1)
    """
    period = turns(period, "period")
    if at is None:
        if m.critical is None:
            raise ValueError("at is missing and this map names no critical point; give a value for each symbol")
        at = dict(m.critical)
    chosen = _parameter(m, parameter)
    values, kept = kept_symbols(m, at)
    if kept:
        if period > 1:
            raise ValueError("a cycle is reduced at numbers; give values for the symbols in at")
        return reduce_symbolic(m, values, kept, chosen, lambda here: reduce(m, here, parameter=chosen))
    point = m.point(at)
    rounded = any(f.has(sp.Float) for f in m.steps)
    approximate = rounded or _approximate(at)
    correction = None
    closed = _fixed_to_many_digits(m, point, period)
    if approximate and not (closed and _is_exactly_critical(m, point, chosen, period)):
        moved = _refined(m, point, chosen, period)
        if moved is not None:
            correction = {s: float(moved[s] - point[s]) for s in (*m.states, chosen)}
            point, closed = moved, _fixed_to_many_digits(m, moved, period)
            short = all(v.is_Rational and v.q < 10**20 for v in moved.values())
            rounded = rounded or not (short and closed)
    rounded = rounded or (approximate and not closed)
    if not approximate and not closed:
        _check_fixed([point[s] for s in m.states], _residuals(m, point, period), 0.0)
    smallest = smallest_period(m, point, period, 1e-9 if rounded else 1e-30)
    if smallest < period:
        raise ValueError(
            f"at is a point of period {smallest}, and period = {period} goes round {period // smallest} times"
        )
    points = cycle_points(m, point, period, exact=not rounded)
    try:
        form = _form(m, points, chosen, rounded, approximate, tolerance)
    except BorderError as error:
        raise ValueError(_border_collision(m, points, chosen, error)) from None
    others = {} if form.critical_eigenvector is None else _others(m, points, chosen, form)
    return replace(
        form,
        coefficients=Coefficients(**form.coefficients, **others),
        point=sp.Dict(point),
        parameter=chosen,
        period=period,
        map=m,
        correction=None if correction is None else sp.Dict(correction),
    )


def located(m: Map, at: Mapping[Any, Any]) -> Map:
    """``m`` with its critical point at ``at``; decimals are moved to the bifurcation next to them, as in `reduce`.

    Raises:
        ValueError: see `Map.point`.

    >>> from normalforms import parse_map
    >>> located(parse_map("r*x*(1-x)", state="x", parameter="r"), {"x": 0.66667, "r": 3.00001}).critical
    {r: 3, x: 2/3}
    """
    point = m.point(at)
    if len(m.parameters) == 1 and _approximate(at) and not _is_exactly_critical(m, point, m.parameters[0], 1):
        point = _refined(m, point, m.parameters[0], 1) or point
    return replace(m, critical=point)


def _form(
    m: Map, points: list[Any], chosen: sp.Symbol, rounded: bool, approximate: bool, tolerance: float
) -> NormalForm:
    """The form, exact where that can be."""
    point = points[0]
    data = _jet(m, points, chosen, exact=not rounded)
    value = cast(Vector, data.value)  # a map's jet has it
    residuals = [value[i] - (float if rounded else tidy)(point[s]) for i, s in enumerate(m.states)]
    on_point = not rounded and all(is_zero(r) for r in residuals)
    if not on_point:
        _check_fixed([point[s] for s in m.states], residuals, tolerance if approximate else 0.0)
    symmetric = on_point and len(points) == 1 and _is_odd(m, point, chosen, data)
    form = _exactly(data, symmetric, approximate) if on_point else None
    if form is None:
        floats = data if rounded else _jet(m, points, chosen, exact=False)
        form = reduce_jet(floats, tolerance=tolerance, critical=100 * tolerance, symmetric=symmetric)
    return form


def _jet(m: Map, points: list[Any], chosen: sp.Symbol, *, exact: bool) -> Jet:
    if len(points) == 1:
        return jet(m, points[0], chosen, exact=exact)
    return cycle_jet(m, points, chosen, exact=exact)


def _refined(m: Map, point: Mapping[sp.Symbol, sp.Expr], chosen: sp.Symbol, period: int) -> Any:
    try:
        return refined(m, point, chosen, period, _REACH)
    except (TypeError, ZeroDivisionError, NameError, ValueError, OverflowError):
        return None  # piecewise maps, and points where the map has no value: what follows says so


def _is_exactly_critical(m: Map, point: Mapping[sp.Symbol, sp.Expr], chosen: sp.Symbol, period: int) -> bool:
    """Whether a multiplier lies on the unit circle to thirty digits: no correction is then needed."""
    with mpmath.workdps(50):
        return distance(m, point, chosen, period) < 1e-30


def _residuals(m: Map, point: Mapping[sp.Symbol, sp.Expr], period: int) -> list[Any]:
    with mpmath.workdps(50):
        parameters = [mpmath.mpmathify(sp.N(point[s], 50)) for s in m.parameters]
        start = state = [mpmath.mpmathify(sp.N(point[s], 50)) for s in m.states]
        for _ in range(period):
            state = numeric_step(m)(*state, *parameters)[0]
        return [a - b for a, b in zip(state, start, strict=True)]


def _border_collision(m: Map, points: list[Any], chosen: sp.Symbol, error: Exception) -> str:
    sides = []
    if m.dimension == 1 and len(points) == 1:
        x, point = m.states[0], points[0]
        for step in (-sp.Rational(1, 10**9), sp.Rational(1, 10**9)):
            try:
                near = jet(m, dict(point) | {x: point[x] + step}, chosen, exact=False)
                sides.append(f"{float(near.jacobian[0, 0]):.6g}")
            except ValueError:
                break
    listed = f"; its multipliers are {sides[0]} below and {sides[1]} above" if len(sides) == 2 else ""
    return f"border collision: {error}, and the map has no normal form of smooth maps{listed}"


def _parameter(m: Map, parameter: Any) -> sp.Symbol:
    if parameter is None:
        return m.parameters[-1]
    for symbol in m.parameters:
        if symbol.name == str(parameter):
            return symbol
    raise ValueError(f"parameter = {parameter!r}; this map has {', '.join(s.name for s in m.parameters)}")


def _approximate(at: Mapping[Any, Any]) -> bool:
    """Whether a value is a float, or text with a decimal point or an exponent."""
    return any(
        isinstance(v, (float, np.floating, sp.Float))
        or (isinstance(v, str) and bool(re.search(r"\d*\.\d|\d\.|\d[eE][+-]?\d", v)))
        for v in at.values()
    )


def _fixed_to_many_digits(m: Map, point: Mapping[sp.Symbol, sp.Expr], period: int) -> bool:
    """Whether the residual of a point vanishes to forty digits; else it is surely no fixed point."""
    try:
        found = _residuals(m, point, period)
    except (TypeError, ZeroDivisionError, NameError, ValueError, OverflowError):
        return True  # no numbers: the exact algebra says why
    size = max(1, max(abs(float(point[s])) for s in m.states))
    return all(not isinstance(r, mpmath.mpc) and abs(r) <= 1e-40 * size for r in found)


def _check_fixed(state: list[Any], residuals: list[Any], tolerance: float) -> None:
    worst = max(abs(float(r)) for r in residuals)
    if not worst <= tolerance * max(abs(float(h)) for h in state):
        listed = ", ".join(f"{float(r):.6g}" for r in residuals)
        raise ValueError(f"at is not a fixed point: f(h) − h = {listed}; a cycle of period n needs period=n")


def _exactly(data: Jet, symmetric: bool, approximate: bool) -> NormalForm | None:
    try:
        return reduce_jet(data, symmetric=symmetric)
    except ArithmeticError:
        return None
    except ValueError:
        if approximate:
            return None
        raise


def _is_odd(m: Map, point: Mapping[sp.Symbol, sp.Expr], chosen: sp.Symbol, data: Jet) -> bool:
    """Whether ``f(h* + x) + f(h* − x) = 2h*`` is proven, for every ``x`` and every value of ``chosen``."""
    if data.curvature is None or any(not is_zero(x) for x in (*data.parameter, *data.curvature)):
        return False
    fixed = {s: point[s] for s in m.parameters if s != chosen}
    forward, backward = ({s: point[s] + sign * s for s in m.states} for sign in (1, -1))
    for f, s in zip(m.steps, m.states, strict=True):
        step = f.xreplace(fixed)
        if all(point[s] == 0 for s in m.states) and is_odd(step, m.states):
            continue
        total = step.xreplace(forward) + step.xreplace(backward) - 2 * point[s]
        if sp.count_ops(total) > _PROVABLE or sp.expand(total) != 0:
            return False
    return True


def _others(m: Map, points: list[Any], chosen: sp.Symbol, form: NormalForm) -> dict[str, Any]:
    """``c0`` and ``dlambda`` in the directions of the parameters that were not chosen."""
    values: dict[str, Any] = {}
    for symbol in m.parameters:
        if symbol != chosen:
            data = _jet(m, points, symbol, exact=form.exact)
            frame = frame_of(data, form)
            values[f"dlambda_{symbol.name}"] = frame.unfolding()[0]
            if frame.sign == 1:
                values[f"c0_{symbol.name}"] = frame.force()[0]
    return values
