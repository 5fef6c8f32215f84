"""A formula in other units of state and value."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import sympy as sp

from normalforms.formulas.formula import Formula, Lazy, symbols
from normalforms.formulas.program import Program

__all__ = ["rescaled"]


def rescaled(formula: Formula, stretch: Any, gain: sp.Expr) -> Formula:
    """``gain · formula(g, stretch · h0)``, a formula of the same symbols; a matrix stretches a state of R^n."""
    rows = stretch if isinstance(stretch, sp.MatrixBase) else sp.Matrix([[stretch]])
    real = [s for s in formula.symbols if not s.is_integer]
    states = [symbols("h0")] if rows.shape[0] == 1 else real[-rows.shape[0] :]
    inner = [sp.Symbol(f"{s.name}_scaled", real=True) for s in states]
    moved = list(rows * sp.Matrix(states))
    swap = dict(zip(states, inner, strict=True))

    def program(p: Program) -> Program:
        change = lambda pairs: tuple((s, e.xreplace(swap)) for s, e in pairs)  # noqa: E731
        return replace(
            p,
            results=tuple(gain * e.xreplace(swap) for e in p.results),
            prelude=(*zip(inner, moved, strict=True), *change(p.prelude)),
            carries=tuple(
                replace(c, initial=c.initial.xreplace(swap), update=c.update.xreplace(swap)) for c in p.carries
            ),
            body=change(p.body),
            closing=change(p.closing),
        )

    holds = formula.domain.holds
    places = [formula.symbols.index(s) for s in states if s in formula.symbols]

    def inside(*values: Any) -> Any:
        given = list(values)
        for place, row in zip(places, rows.tolist(), strict=False):
            given[place] = sum(float(a) * values[i] for a, i in zip(row, places, strict=True))
        return holds(*given)  # type: ignore[misc]

    orbit = formula.orbit
    return replace(
        formula,
        expression=Lazy(lambda: gain * formula.expr.subs(dict(zip(states, moved, strict=True)), simultaneous=True)),
        domain=replace(formula.domain, holds=inside if holds else None),
        program=Lazy(lambda: program(formula.stable)),
        guard=None if formula.guard is None else Lazy(lambda: program(Lazy.of(formula.guard).value)),
        orbit=None if orbit is None else rescaled(orbit, stretch, 1 / stretch),
        truth=None if formula.truth is None else rescaled(formula.truth, stretch, gain),
    )
