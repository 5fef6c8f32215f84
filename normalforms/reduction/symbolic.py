"""Reduction with parameters kept as symbols: the coefficients are formulas of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import permutations, product
from typing import Any

import sympy as sp

from normalforms.maps import Map, MapSyntaxError, parse_expression
from normalforms.reduction.coefficients import Frame
from normalforms.reduction.jet import Jet
from normalforms.reduction.normal_form import Coefficients, NormalForm

__all__ = ["kept_symbols", "reduce_symbolic"]

_SAMPLES = tuple(sp.Rational(a, b) for a, b in ((3, 10), (-2, 7), (11, 9), (-7, 5), (17, 6), (1, 23)))


def kept_symbols(m: Map, at: Mapping[Any, Any]) -> tuple[dict[sp.Symbol, sp.Expr], set[sp.Symbol]]:
    """``at`` as expressions of the map's own parameters, and those that it mentions.

    Raises:
        ValueError: a formula that cannot be read, or with another symbol.
    """
    names = {s.name: s for s in (*m.states, *m.parameters)}
    formulas: dict[str, sp.Expr] = {}
    for key, value in at.items():
        if isinstance(value, str):
            try:
                value = parse_expression(value, m.parameters)
            except MapSyntaxError:
                continue  # the plain reduction says what is wrong with it
        if isinstance(value, sp.Expr) and value.free_symbols and str(key) in names:
            formulas[str(key)] = value.xreplace({s: names.get(s.name, s) for s in value.free_symbols})
    kept = {s for value in formulas.values() for s in value.free_symbols}
    alien = kept - set(m.parameters)
    if alien:
        raise ValueError(
            f"at mentions {', '.join(sorted(map(str, alien)))}; only parameters of the map can stay symbols"
        )
    if not kept:
        return {}, kept
    numbers = m.point({str(key): 0 if str(key) in formulas else value for key, value in at.items()})
    return numbers | {names[key]: value for key, value in formulas.items()}, kept


def reduce_symbolic(
    m: Map,
    point: Mapping[sp.Symbol, sp.Expr],
    kept: set[sp.Symbol],
    parameter: sp.Symbol,
    numeric: Callable[[dict[sp.Symbol, sp.Expr]], NormalForm],
) -> NormalForm:
    """The normal form with ``kept`` as symbols, at a real critical multiplier that is the same for all their values.

    Args:
        m: the map.
        point: states and parameters as expressions of the kept ones, those themselves included.
        kept: the symbols.
        parameter: the unfolding parameter.
        numeric: the reduction at numbers, which tells the kind at a sample of values.

    Raises:
        ValueError: no fixed point, or no multiplier ±1, for all values of the symbols; none of the sample is real and
            critical.
    """
    if parameter in kept:
        raise ValueError(f"{parameter} is the unfolding parameter, which needs a value at the bifurcation")
    gaps = [_short((f - s).xreplace(dict(point))) for f, s in zip(m.steps, m.states, strict=True)]
    if any(gap != 0 for gap in gaps):
        raise ValueError(f"at is not a fixed point for all {_list(kept)}: f(h) − h = {', '.join(map(str, gaps))}")
    data = _jet(m, point, parameter)
    one = sp.eye(m.dimension)
    sign = next((s for s in (1, -1) if _short((data.jacobian - s * one).det()) == 0), None)
    if sign is None:
        raise ValueError(
            f"no multiplier is 1 or −1 for all {_list(kept)}; a pair on the circle needs numbers in their place"
        )
    sample, form = _sampled(kept, point, numeric)
    q, p = (_kernel(matrix) for matrix in (data.jacobian - sign * one, (data.jacobian - sign * one).T))
    lead = max(range(m.dimension), key=lambda i: abs(complex(form.critical_eigenvector[i])))
    q = (q / q[lead]).applyfunc(_short)  # real and positive where the numbers of the sample are largest
    p = (p / _short((p.T * q)[0, 0])).applyfunc(_short)
    length = _short(sp.sqrt((q.T * q)[0, 0]))
    frame = Frame(data, _Algebra(data.jacobian), sp.Integer(sign), q, p, 1)  # and the length afterwards
    found: dict[str, Any] = {
        "dlambda": frame.unfolding()[0],
        "c2": _short(frame.quadratic()[0] / length),
        "c3": _short(frame.cubic()[0] / length**2),
    }
    if sign == 1:
        found = {"c0": _short(frame.force()[0] * length)} | found
        drift = frame.drift() * length if form.kind == "transcritical" else sp.S.Zero
        if drift * found["c2"] != 0:
            root = sp.sqrt(_short(found["dlambda"] ** 2 - 4 * found["c2"] * drift))
            negative = complex(found["dlambda"].xreplace(sample)).real < 0
            found["dlambda"] = -root if negative else root
    shown = ", ".join(f"{s} = {v}" for s, v in sample.items())
    return NormalForm(
        form.kind,
        sp.Integer(sign),
        sp.ImmutableMatrix((q / length).applyfunc(_short)),
        sp.ImmutableMatrix((p * length).applyfunc(_short)),
        Coefficients(**found),
        f"at {shown}: {form.detail}",
        sp.Dict(dict(point)),
        parameter=parameter,
        map=m,
    )


def _sampled(
    kept: set[sp.Symbol], point: Mapping[sp.Symbol, sp.Expr], numeric: Callable[..., NormalForm]
) -> tuple[dict[sp.Symbol, sp.Expr], NormalForm]:
    """Values of the symbols with a real point that is not degenerate, and the form there."""
    order, error = sorted(kept, key=str), ""
    for k in range(len(_SAMPLES)):
        values = {s: _SAMPLES[(k + 2 * i) % len(_SAMPLES)] for i, s in enumerate(order)}
        try:
            form = numeric({s: sp.sympify(e).xreplace(values) for s, e in point.items()})
        except ValueError as refused:
            error = str(refused)
            continue
        if form.kind != "degenerate":
            return values, form
        error = form.detail
    raise ValueError(
        f"at has no bifurcation at any of {len(_SAMPLES)} values of {_list(kept)} that were tried: {error}"
    )


def _jet(m: Map, point: Mapping[sp.Symbol, sp.Expr], parameter: sp.Symbol) -> Jet:
    n, here = m.dimension, dict(point)

    def differential(order: int) -> Callable[..., Any]:
        entries = []
        for i, f in enumerate(m.steps):
            for place in product(range(n), repeat=order):
                if list(place) == sorted(place):
                    value = _short(f.diff(*(m.states[j] for j in place)).xreplace(here))
                    entries += [(i, where, value) for where in set(permutations(place)) if value != 0]

        def apply(*vectors: Any) -> Any:
            total = [sp.S.Zero] * n
            for i, place, value in entries:
                total[i] += value * sp.prod([v[j] for v, j in zip(vectors, place, strict=True)])
            return sp.Matrix(total)

        return apply

    mixed = sp.Matrix(n, n, lambda i, j: m.steps[i].diff(m.states[j], parameter).xreplace(here))
    return Jet(
        sp.Matrix(n, n, lambda i, j: _short(m.steps[i].diff(m.states[j]).xreplace(here))),
        differential(2),
        differential(3),
        sp.Matrix([f.diff(parameter).xreplace(here) for f in m.steps]),
        lambda u: mixed * u,
        sp.Matrix([f.diff(parameter, 2).xreplace(here) for f in m.steps]),
    )


@dataclass(frozen=True)
class _Algebra:
    """The verbs of `normalforms.exact.linear` on formulas."""

    matrix: Any

    def inner(self, p: Any, x: Any) -> sp.Expr:
        return _short((p.T * x)[0, 0])

    def size(self, p: Any, x: Any) -> float:
        return 0.0

    def tidy(self, value: sp.Expr) -> sp.Expr:
        return _short(value)

    def solve(self, shift: Any, rhs: Any, border: tuple[Any, Any] | None = None) -> Any:
        matrix = shift * sp.eye(self.matrix.shape[0]) - self.matrix
        if border is None:
            return matrix.LUsolve(rhs).applyfunc(_short)
        q, p = border
        # off the critical direction: ⟨p, x⟩ = 0 and what the right side has along q is left out
        full = sp.Matrix([[matrix, q], [p.T, sp.zeros(1, 1)]])
        return full.LUsolve(sp.Matrix([rhs, sp.zeros(1, 1)]))[:-1, :].applyfunc(_short)


def _kernel(matrix: Any) -> Any:
    return matrix.nullspace(simplify=_short, iszerofunc=lambda e: _short(e) == 0)[0].applyfunc(_short)


def _short(expr: sp.Expr) -> sp.Expr:
    return sp.factor(sp.cancel(sp.together(expr))) if sp.sympify(expr).is_rational_function() else sp.simplify(expr)


def _list(symbols: set[sp.Symbol]) -> str:
    return ", ".join(sorted(map(str, symbols)))
