"""From a SymPy map and a point to its normal form, exact where the point is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast

import mpmath
import sympy as sp

from normalforms.exact import is_odd, is_zero, tidy
from normalforms.maps import Map
from normalforms.reduction.classify import frame_of, reduce_jet
from normalforms.reduction.jet import Jet, Vector, jet
from normalforms.reduction.normal_form import Coefficients, NormalForm

__all__ = ["reduce"]

_PROVABLE = 500
"""Operations in a formula up to which expanding it is a quick proof of its symmetry."""


def reduce(
    m: Map, at: Mapping[Any, Any] | None = None, *, parameter: Any = None, tolerance: float = 1e-8
) -> NormalForm:
    """The normal form of a map at a fixed point, exact where the point is given exactly.

    The formulas are those of `reduce_jet`. Cycles of period n are fixed points of ``m.iterate(n)``.

    Args:
        m: the map; its parameter, or the chosen one of several, is the unfolding parameter ``μ``.
        at: values of every state and parameter, keyed by symbol or name; numbers, SymPy numbers or text such
            as ``"2/3"``. Omitted: ``m.critical``. Values that are floats, or text with a decimal point, are
            taken as approximate when the point is not exactly critical, and the result is in float64.
        parameter: symbol or name of the unfolding parameter where the map has several; by default the last.
            The others are reported too, as ``c0_name`` and ``dlambda_name``.
        tolerance: for approximate points, as in `reduce_jet`; also the largest residual ``|f(h) − h|``
            relative to the state, and a hundredth of the largest distance from the unit circle.

    Raises:
        ValueError: ``at`` is missing, is no fixed point (its residual is named) or is not critical (its
            multipliers are named); the map has no derivatives there.

    >>> from normalforms.maps.map import parse_map
    >>> form = reduce(parse_map("r*x*(1-x)", state="x", parameter="r"), at={"x": "2/3", "r": 3})
    >>> form.kind, form.coefficients["c3"], form.coefficients["dlambda"]
    ('period_doubling', 9, -1)
    """
    if at is None:
        if m.critical is None:
            raise ValueError("at is missing and this map names no critical point; give a value for each symbol")
        at = dict(m.critical)
    point = m.point(at)
    chosen = _parameter(m, parameter)
    rounded = any(f.has(sp.Float) for f in m.steps)
    approximate = rounded or _approximate(at)
    rounded = rounded or (approximate and not _fixed_to_many_digits(m, point))
    data = jet(m, point, chosen, exact=not rounded)
    value = cast(Vector, data.value)  # a map's jet has it
    residuals = [value[i] - (float if rounded else tidy)(point[s]) for i, s in enumerate(m.states)]
    on_point = not rounded and all(is_zero(r) for r in residuals)
    if not on_point:
        _check_fixed([point[s] for s in m.states], residuals, tolerance if approximate else 0.0)
    symmetric = on_point and _is_odd(m, point, chosen, data)
    form = _exactly(data, symmetric, approximate) if on_point else None
    if form is None:
        floats = data if rounded else jet(m, point, chosen, exact=False)
        form = reduce_jet(floats, tolerance=tolerance, critical=100 * tolerance, symmetric=symmetric)
    others = {} if form.critical_eigenvector is None else _others(m, point, chosen, form)
    return replace(
        form,
        coefficients=Coefficients(**form.coefficients, **others),
        point=sp.Dict(point),
        parameter=chosen,
    )


def _parameter(m: Map, parameter: Any) -> sp.Symbol:
    if parameter is None:
        return m.parameters[-1]
    for symbol in m.parameters:
        if symbol.name == str(parameter):
            return symbol
    raise ValueError(f"parameter = {parameter!r}; this map has {', '.join(s.name for s in m.parameters)}")


def _approximate(at: Mapping[Any, Any]) -> bool:
    return any(isinstance(v, (float, sp.Float)) or (isinstance(v, str) and "." in v) for v in at.values())


def _fixed_to_many_digits(m: Map, point: Mapping[sp.Symbol, sp.Expr]) -> bool:
    """Whether a point given in decimals may be exact: its residual vanishes to forty digits."""
    symbols = (*m.states, *m.parameters)
    step = sp.lambdify(symbols, m.steps, "mpmath", cse=True)
    with mpmath.workdps(50):
        values = [mpmath.mpmathify(sp.N(point[s], 50)) for s in symbols]
        return all(abs(f - h) <= 1e-40 * max(1, abs(h)) for f, h in zip(step(*values), values, strict=False))


def _check_fixed(state: list[Any], residuals: list[Any], tolerance: float) -> None:
    worst = max(abs(float(r)) for r in residuals)
    if not worst <= tolerance * max(abs(float(h)) for h in state):
        listed = ", ".join(f"{float(r):.6g}" for r in residuals)
        raise ValueError(f"at is not a fixed point: f(h) − h = {listed}; a cycle of period n needs iterate(n)")


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
        total = sp.Add(step.xreplace(forward), step.xreplace(backward), -2 * point[s])
        if sp.count_ops(total) > _PROVABLE or sp.expand(total) != 0:
            return False
    return True


def _others(m: Map, point: Mapping[Any, Any], chosen: sp.Symbol, form: NormalForm) -> dict[str, Any]:
    """``c0`` and ``dlambda`` in the directions of the parameters that were not chosen."""
    values: dict[str, Any] = {}
    for symbol in m.parameters:
        if symbol != chosen:
            data = jet(m, point, symbol, exact=form.exact)
            frame = frame_of(data, form)
            values[f"dlambda_{symbol.name}"] = frame.unfolding()[0]
            if frame.sign == 1:
                values[f"c0_{symbol.name}"] = frame.force()[0]
    return values
