"""A formula in other units of state and value."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import sympy as sp

from normalforms.formulas.formula import Formula, Lazy, symbols
from normalforms.formulas.program import Program

__all__ = ["rescaled"]


def rescaled(formula: Formula, stretch: sp.Expr, gain: sp.Expr) -> Formula:
    """``gain · formula(g, stretch · h0)``, a formula of the same symbols."""
    h0, inner = symbols("h0 h0_scaled")

    def program(p: Program) -> Program:
        swap = {h0: inner}
        change = lambda pairs: tuple((s, e.xreplace(swap)) for s, e in pairs)  # noqa: E731
        return replace(
            p,
            results=tuple(gain * e.xreplace(swap) for e in p.results),
            prelude=((inner, stretch * h0), *change(p.prelude)),
            carries=tuple(
                replace(c, initial=c.initial.xreplace(swap), update=c.update.xreplace(swap)) for c in p.carries
            ),
            body=change(p.body),
            closing=change(p.closing),
        )

    holds = formula.domain.holds
    place = formula.symbols.index(h0) if h0 in formula.symbols else None

    def inside(*values: Any) -> Any:
        moved = [v * float(stretch) if i == place else v for i, v in enumerate(values)]
        return holds(*moved)  # type: ignore[misc]

    return replace(
        formula,
        expression=Lazy(lambda: gain * formula.expr.subs(h0, stretch * h0)),
        domain=replace(formula.domain, holds=inside if holds else None),
        program=Lazy(lambda: program(formula.stable)),
        guard=None if formula.guard is None else Lazy(lambda: program(Lazy.of(formula.guard).value)),
        orbit=None if formula.orbit is None else rescaled(formula.orbit, stretch, 1 / stretch),
        truth=None if formula.truth is None else rescaled(formula.truth, stretch, gain),
    )
