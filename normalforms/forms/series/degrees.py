"""Series of maps of R^n about a fixed point that moves, degree by degree of the initial state.

With ``w = h − h*(g)`` and ``w' = P(w, g)`` the orbit is ``w_t = Σ_k W_k(t)``, each ``W_k`` homogeneous of degree k in
``w_0``, and so is its sensitivity ``∂_g w_t = Σ_k V_k(t)``:

    W'_k = [P(W)]_k,   V'_k = [P_g(W) + P_w(W) V]_k,   V(0) = ∂_g w_0,
    s_k = [∂_g h]_k,   A = Σ_t Σ_{i+j≤order} s_i · s_j.

The numbers ``W_k, V_k`` are carried through time. Nothing is expanded in ``g``: the fixed point, its motion and the
linear part are exact at every parameter, so that the series tends to the amplification as ``w_0 → 0``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any

import sympy as sp

from normalforms.forms import moving_point, recursion
from normalforms.forms.series.laws import direct
from normalforms.formulas import Carry, Domain, Equations, Formula, Lazy, Program, symbols
from normalforms.maps import Map

__all__ = ["ByDegree", "Chart", "by_degree", "chart_of"]

HIGHEST = 8
"""Highest order: the work grows like its sixth power."""

Index = tuple[int, ...]
Degrees = dict[int, sp.Expr]
"""The parts of a number by degree."""


@dataclass(frozen=True)
class Chart:
    """A map about its fixed point, ``w' = Σ_α c_α(g) w^α``, and the state that is seen, ``a(g) + M(g) w``.

    Args:
        inputs: symbols of the parameter and of the caller's initial state.
        prelude: assignments that the rest may mention.
        coefficients: per component of ``w``, ``c_α`` and ``dc_α/dg``, by α.
        start: ``w_0``.
        response: ``∂_g w_0`` at degrees 0 and 1.
        matrix: ``M``.
        drift: ``da/dg``.
        mixing: ``dM/dg``.
        initial: the map's own initial state, for iteration beside the series.
    """

    inputs: tuple[sp.Symbol, ...]
    prelude: tuple[tuple[sp.Symbol, sp.Expr], ...]
    coefficients: Callable[[int], list[dict[Index, tuple[sp.Expr, sp.Expr]]]]
    start: tuple[sp.Expr, ...]
    response: tuple[tuple[sp.Expr, ...], tuple[sp.Expr, ...]]
    matrix: sp.MatrixBase
    drift: tuple[sp.Expr, ...]
    mixing: sp.MatrixBase
    initial: tuple[sp.Expr, ...]


def chart_of(m: Map) -> Chart:
    """A map of R^n about the fixed point that goes on from its critical point.

    Raises:
        ValueError: see `normalforms.forms.fixed_point.moving_point`.
    """
    n, (g,) = m.dimension, m.parameters
    made: list[tuple[sp.Symbol, sp.Expr]] = []
    taken = {s.name for s in (*m.states, g)}

    def assign(name: str, expr: sp.Expr) -> sp.Symbol:
        while name in taken:
            name += "_"
        taken.add(name)
        made.append((sp.Symbol(name, real=True), expr))
        return made[-1][0]

    found = moving_point(m, assign)
    here = dict(zip(m.states, found.point, strict=True))
    initial = tuple(sp.Symbol(f"{s.name}0", real=True) for s in m.states)

    def coefficients(top: int) -> list[dict[Index, tuple[sp.Expr, sp.Expr]]]:
        rows: list[dict[Index, tuple[sp.Expr, sp.Expr]]] = []
        for f in m.steps:
            row = {}
            for index in _indices(n, top):
                slope = f
                for s, k in zip(m.states, index, strict=True):
                    slope = slope.diff(s, k) if k else slope
                slope = slope / sp.prod([sp.factorial(k) for k in index])
                moved = slope.diff(g) + sp.Add(*(slope.diff(s) * v for s, v in zip(m.states, found.speed, strict=True)))
                if slope != 0:
                    row[index] = slope.xreplace(here), moved.xreplace(here)
            rows.append(row)
        return rows

    return Chart(
        (g, *initial),
        tuple(made),
        coefficients,
        tuple(a - b for a, b in zip(initial, found.point, strict=True)),
        (tuple(-v for v in found.speed), (sp.S.Zero,) * n),
        sp.eye(n),
        found.speed,
        sp.zeros(n),
        initial,
    )


@dataclass(frozen=True, eq=False)
class ByDegree(Formula):
    """A series degree by degree; `printed` gives its recursion.

    Args:
        equations: the recursion.
    """

    equations: Equations = field(default=(), kw_only=True)

    def printed(self) -> Equations:
        """The sum and the recursion of its terms."""
        return self.equations

    def latex(self) -> str:
        """The same as LaTeX."""
        rows = [f"{a if isinstance(a, str) else sp.latex(a)} &= {sp.latex(b)}" for a, b in self.equations]
        return "\\begin{aligned}" + " \\\\ ".join(rows) + "\\end{aligned}"


def by_degree(m: Map, chart: Chart, order: Any, gain: sp.Expr, equations: Equations = ()) -> ByDegree:
    """``gain · A_T`` through degree ``order`` in ``w_0``.

    Args:
        m: the map, iterated beside the series to show what was left out.
        chart: the same about its fixed point.
        order: 0 to 8.
        gain: factor.
        equations: for the reader; by default the recursion of the map and its sensitivity.

    Raises:
        ValueError: order out of range.
    """
    if isinstance(order, bool) or not isinstance(order, int) or not 0 <= order <= HIGHEST:
        raise ValueError(f"order = {order!r} must be an integer from 0 to {HIGHEST}, for a map of R^n")

    t, T = symbols("t T")
    inputs = (*chart.inputs, T)
    total = gain * sp.Sum(sp.Abs(sp.Symbol("s_t")) ** 2, (t, 1, T)) + sp.Order(sp.Symbol("w_0") ** (order + 1))
    small = f"initial states so near the fixed point that powers of the distance above {order} do not count"
    return ByDegree(
        sp.Function("A")(*inputs),
        inputs,
        Domain(small),
        program=Lazy(lambda: _program(chart, order, gain)),
        truth=direct(m, inputs, chart.initial, gain, T),
        equations=equations or (("A", total), *recursion(m).printed()[1:]),
    )


class _Parts:
    """Assignments of numbers by degree, through ``top``."""

    def __init__(self, top: int, taken: Sequence[str]) -> None:
        self.top, self.body, self.taken = top, [], set(taken)  # type: ignore[var-annotated]

    def named(self, parts: Degrees, name: str) -> Degrees:
        out: Degrees = {}
        for k, e in parts.items():
            if e.is_Atom or e == 0:
                out[k] = e
                continue
            full = f"{name}_{k}"
            while full in self.taken:
                full += "_"
            self.taken.add(full)
            out[k] = sp.Symbol(full, real=True)
            self.body.append((out[k], e))
        return {k: e for k, e in out.items() if e != 0}

    def times(self, a: Degrees, b: Degrees) -> Degrees:
        out: dict[int, list[sp.Expr]] = {}
        for i, u in a.items():
            for j, v in b.items():
                if i + j <= self.top:
                    out.setdefault(i + j, []).append(u * v)
        return {k: sp.Add(*terms) for k, terms in out.items()}


def _program(chart: Chart, order: int, gain: sp.Expr) -> Program:
    n, T = len(chart.start), symbols("T")
    rows = chart.coefficients(order + 1)
    parts = _Parts(order, [s.name for s in (*chart.inputs, *(s for s, _ in chart.prelude))])
    prelude = list(chart.prelude)

    def known(expr: sp.Expr, name: str) -> sp.Expr:
        if expr.is_number or expr.is_Symbol:
            return expr
        while name in parts.taken:
            name += "_"
        parts.taken.add(name)
        prelude.append((sp.Symbol(name, real=True), expr))
        return prelude[-1][0]

    table = [
        {a: (known(c, f"c{i}_{_text(a)}"), known(s, f"c{i}_{_text(a)}_by")) for a, (c, s) in row.items()}
        for i, row in enumerate(rows)
    ]
    start = [known(e, f"w{i}_start") for i, e in enumerate(chart.start)]
    real = lambda name: sp.Symbol(name, real=True)  # noqa: E731
    w = [{k: real(f"W{i}_{k}") for k in range(1, order + 1)} for i in range(n)]
    v = [{k: real(f"V{i}_{k}") for k in range(order + 1)} for i in range(n)]
    power = _powers(w, parts, order)
    new_w, new_v = _stepped(table, power, v, parts, n)
    carries = [
        Carry(x, start[i] if k == 1 else sp.S.Zero, new_w[i].get(k, sp.S.Zero))
        for i in range(n)
        for k, x in w[i].items()
    ]
    for i in range(n):
        for k, x in v[i].items():
            first = known(chart.response[k][i], f"V{i}_{k}_start") if k < 2 else sp.S.Zero
            carries.append(Carry(x, first, new_v[i].get(k, sp.S.Zero)))
    seen = []
    for i in range(chart.matrix.shape[0]):
        total: dict[int, list[sp.Expr]] = {0: [known(sp.sympify(chart.drift[i]), f"drift{i}")]}
        for j in range(n):
            linear, turned = known(chart.matrix[i, j], f"M{i}{j}"), known(chart.mixing[i, j], f"M{i}{j}_by")
            for k, e in new_v[j].items():
                total.setdefault(k, []).append(linear * e)
            for k, e in new_w[j].items():
                total.setdefault(k, []).append(turned * e)
        seen.append(parts.named({k: sp.Add(*terms) for k, terms in total.items()}, f"s{i}"))
    A = real("A_sum")
    growth = sp.Add(*(e for s in seen for e in parts.times(s, s).values()))
    return Program(
        (*chart.inputs, T),
        (gain * A,),
        prelude=tuple(prelude),
        carries=(*carries, Carry(A, sp.S.Zero, A + growth)),
        body=tuple(parts.body),
        counter=symbols("t"),
        horizon=T,
    )


def _powers(w: list[Degrees], parts: _Parts, order: int) -> dict[Index, Degrees]:
    """``w^α`` by degree, for ``|α| ≤ order``: with a ``V`` of degree 0, higher ones do not count."""
    n = len(w)
    found: dict[Index, Degrees] = {(0,) * n: {0: sp.S.One}}
    for index in _indices(n, order):
        i = next(i for i, k in enumerate(index) if k)
        less = (*index[:i], index[i] - 1, *index[i + 1 :])
        made = parts.times(found[less], w[i])
        found[index] = made if sum(index) == 1 else parts.named(made, f"p{_text(index)}")
    return found


def _stepped(
    table: list[dict[Index, tuple[sp.Expr, sp.Expr]]],
    power: dict[Index, Degrees],
    v: list[Degrees],
    parts: _Parts,
    n: int,
) -> tuple[list[Degrees], list[Degrees]]:
    """``W'`` and ``V'``."""
    states, slopes = [], []
    for i, row in enumerate(table):
        w: dict[int, list[sp.Expr]] = {}
        moved: dict[int, list[sp.Expr]] = {}
        along: list[dict[int, list[sp.Expr]]] = [{} for _ in range(n)]
        for index, (c, by) in row.items():
            for k, e in power.get(index, {}).items():
                w.setdefault(k, []).append(c * e)
                if by != 0:
                    moved.setdefault(k, []).append(by * e)
            for j in range(n):
                if index[j]:
                    less = (*index[:j], index[j] - 1, *index[j + 1 :])
                    for k, e in power.get(less, {}).items():
                        along[j].setdefault(k, []).append(index[j] * c * e)
        for j in range(n):
            slope = parts.named({k: sp.Add(*terms) for k, terms in along[j].items()}, f"d{i}{j}")
            for k, e in parts.times(slope, v[j]).items():
                moved.setdefault(k, []).append(e)
        states.append(parts.named({k: sp.Add(*terms) for k, terms in w.items()}, f"w{i}_new"))
        slopes.append(parts.named({k: sp.Add(*terms) for k, terms in moved.items()}, f"v{i}_new"))
    return states, slopes


def _indices(n: int, top: int) -> list[Index]:
    """Exponents α of n variables with ``1 ≤ |α| ≤ top``, by degree."""
    return sorted((a for a in product(range(top + 1), repeat=n) if 1 <= sum(a) <= top), key=lambda a: (sum(a), a))


def _text(index: Index) -> str:
    return "".join(map(str, index))
