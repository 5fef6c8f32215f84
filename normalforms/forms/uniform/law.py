"""Uniform laws: the orbit as an explicit function of ``g, gᵗ, h0`` that holds through the bifurcation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import sympy as sp

from normalforms.forms.uniform import cusp
from normalforms.forms.uniform.flow import Flow
from normalforms.formulas import (
    Equations,
    Focus,
    Formula,
    GramFormula,
    Lazy,
    Program,
    TimeSum,
    compiled,
    on_grid,
    product_axes,
    symbols,
    typeset_equations,
)
from normalforms.maps import Map

__all__ = ["UniformLaw", "implicit_law", "uniform_law"]


@dataclass(frozen=True, eq=False)
class UniformLaw(Formula):
    """A uniform law; `Formula.orbit` is ``h_t``.

    Args:
        equations: the law in print, left and right sides, where it has abbreviations.
        relation: the equation that ``h_t`` solves, where the law is implicit.
        stays: whether the orbit stays, a predicate of the arguments; the value is ``nan`` where it does not.
        weight: what the sum over ``t`` is multiplied by.
        slip: what the orbit's first step lacks, a function of all arguments but the horizon, and the part of A that it
            may be. The sum has the map's own first term; where the orbit's is so wrong, the next ones are not trusted,
            and a call warns.
        focus: of a horizon, the parameter's value at the bifurcation and the width in which the law varies fastest.

    >>> from normalforms import pitchfork
    >>> from normalforms.law import amplification
    >>> amplification(pitchfork()).uniform(0).orbit.expr
    g**t*h0/sqrt(h0**2*(g**(2*t) - 1)/(g - 1) + 1)
    """

    equations: Equations = field(default=(), kw_only=True)
    relation: sp.Basic | None = field(default=None, kw_only=True)
    stays: Callable[..., Any] | None = field(default=None, kw_only=True)
    weight: sp.Expr = field(default=sp.S.One, kw_only=True)
    focus: Callable[[int], Focus] | None = field(default=None, kw_only=True)
    slip: tuple[Callable[..., Any], float] | None = field(default=None, kw_only=True)

    def __call__(self, *arguments: Any) -> Any:
        """The value, elementwise over broadcast arguments; components of a planar state are a last axis."""
        results = self.stable.results
        if len(results) == 1:
            return super().__call__(*arguments)
        parts = [replace(self, program=replace(self.stable, results=(r,))) for r in results]
        return np.stack([part(*arguments) for part in parts], axis=-1)

    @cached_property
    def _numbers(self) -> Callable[..., Any]:
        program = self.stable.shared()
        each, parts = compiled(program, "numpy"), _summand(program)
        pieces = None if parts is None else [compiled(part, "numpy") for part in parts]

        def numbers(*values: Any) -> Any:
            stays = np.bool_(True) if self.stays is None else self.stays(*values)
            places = None if pieces is None else product_axes(list(values[:-1]))
            if pieces is None or places is None:
                return np.where(stays, each(*values), np.nan)
            return self._on_grid(pieces, places, values, stays)

        return numbers

    def _checked(self, value: np.ndarray, error: Any, values: list[Any]) -> np.ndarray:
        if self.slip is None or values[-1] == 1:
            return super()._checked(value, error, values)
        rule, part = self.slip
        slip = np.broadcast_to(float(self.weight) * rule(*values[:-1]), value.shape)
        narrow = replace(self, domain=replace(self.domain, tolerance=part), slip=None)
        return narrow._checked(value, np.abs(slip), values)

    def _on_grid(self, pieces: list[Any], places: tuple[int, int], values: tuple[Any, ...], stays: Any) -> np.ndarray:
        """The sum over ``t`` where two arguments span a product grid and the others are numbers."""
        (before, term), (*arguments, horizon) = pieces, values

        def prepare(x: np.ndarray, y: np.ndarray) -> tuple[Any, ...]:
            varying = dict(zip(places, (x, y), strict=True))
            return before(*(varying[k] if k in varying else v.ravel()[0] for k, v in enumerate(arguments)))

        start = compiled(_opening(self.stable.shared()), "numpy")
        focus = self.focus(horizon) if self.focus is not None and places[0] == 0 else None
        x, y = (arguments[i] for i in places)
        return start(*arguments) + on_grid(TimeSum(prepare, term, horizon), x, y, stays, focus)

    def printed(self) -> Equations:
        """The law as equations: those with abbreviations, or the sum over the orbit and the orbit.

        >>> from normalforms import stability_flip
        >>> from normalforms.law import amplification
        >>> amplification(stability_flip()).uniform().printed()
        ((A, Sum(Abs(Derivative(h_t, g))**2, (t, 1, T))), (h_t, g**t*h0))
        """
        if self.equations:
            return self.equations
        if self.orbit is None:
            return ((sp.Symbol("A"), self.expr),)
        total, state = (sp.Symbol("A"), _total(self.symbols[0], self.weight)), sp.Symbol("h_t")
        if not isinstance(self.orbit.expr, sp.Tuple):
            return (total, (state, self.orbit.expr))
        names = [sp.Symbol(f"{s.name.removesuffix('0')}_t") for s in self.symbols[1:-1]]
        return (total, (state, sp.Tuple(*names)), *zip(names, self.orbit.expr, strict=True))

    def latex(self) -> str:
        """The law as LaTeX, in lines."""
        if self.orbit is None and not self.equations:
            return super().latex()
        return typeset_equations(self.printed())

    def diff(self, symbol: Any) -> Formula:
        """The derivative with respect to a symbol, or its name; see `Formula.diff`."""
        return replace(super().diff(symbol), equations=(), slip=None)

    def __str__(self) -> str:
        return "; ".join(f"{a} = {b}" for a, b in self.equations) if self.equations else super().__str__()


def _total(parameter: sp.Symbol, weight: sp.Expr, opened: bool = False) -> sp.Expr:
    t, T = symbols("t T")
    square = sp.Abs(sp.Derivative(sp.Symbol("h_t"), parameter)) ** 2
    if not opened:
        return weight * sp.Sum(square, (t, 1, T))
    first = sp.Abs(sp.Derivative(sp.Function("f")(sp.Symbol("h_0"), parameter), parameter)) ** 2
    return weight * (first + sp.Sum(square, (t, 2, T)))


def _written(motion: Flow) -> tuple[sp.Expr, ...]:
    """The map's own first state in the inputs alone."""
    values: dict[sp.Symbol, sp.Expr] = {}
    used = set().union(*(e.free_symbols for e in motion.opening))
    for symbol, expr in motion.prelude if used - set(motion.inputs) else ():
        values[symbol] = expr.xreplace(values)
    return tuple(e.xreplace(values) for e in motion.opening)


def _summand(program: Program) -> tuple[Program, Program] | None:
    """The term of ``t`` of a program that is a sum over ``t``: what it needs of the inputs, and its program of that."""
    if len(program.carries) != 1 or program.closing or program.counter is None:
        return None
    total = program.carries[0]
    term = program.results[0].xreplace({total.symbol: total.update - total.symbol})
    known = (*program.inputs[:-1], *(s for s, _ in program.prelude))
    used = {s for e in (term, *(e for _, e in program.body)) for s in e.free_symbols}
    needed = tuple(s for s in known if s in used)
    before = Program(program.inputs[:-1], needed, prelude=program.prelude)
    return before, Program((*needed, program.counter), (term,), prelude=program.body)


def _opening(program: Program) -> Program:
    """What the sum over ``t`` of a program starts from."""
    total = program.carries[0]
    start = program.results[0].xreplace({total.symbol: total.initial})
    return Program(program.inputs[:-1], (start,), prelude=program.prelude)


def uniform_law(motion: Flow, weight: sp.Expr = sp.S.One) -> UniformLaw:
    """The law of an explicit orbit, ``weight · Σ_t ‖∂_g h_t‖²``."""
    motion = replace(motion, weight=weight)
    t, T = symbols("t T")

    def expression() -> sp.Expr:
        slope = sp.Derivative if motion.equations else sp.diff
        squares = sp.Add(*(slope(s, motion.inputs[0]) ** 2 for s in motion.explicit()))
        if not motion.opening:
            return motion.weight * sp.Sum(squares, (t, 1, T))
        first = sp.Add(*(e.diff(motion.inputs[0]) ** 2 for e in _written(motion)))
        return motion.weight * (first + sp.Sum(squares, (t, 2, T)))

    def state() -> sp.Expr:
        states = motion.explicit()
        return states[0] if len(states) == 1 else sp.Tuple(*states)

    orbit = UniformLaw(
        Lazy(state),
        (*motion.inputs, t),
        motion.domain,
        program=Lazy(motion.orbit),
        equations=motion.equations,
        stays=motion.stays,
    )
    total = _total(motion.inputs[0], motion.weight, bool(motion.opening))
    equations = ((sp.Symbol("A"), total), *motion.equations) if motion.equations else ()
    return UniformLaw(
        Lazy(expression),
        (*motion.inputs, T),
        motion.domain,
        program=Lazy(motion.amplification),
        orbit=orbit,
        equations=equations,
        stays=motion.stays,
        weight=motion.weight,
        focus=motion.focus,
        slip=motion.slip,
    )


def implicit_law(m: Map, order: int) -> GramFormula:
    """The cusp's law, implicit in ``h_t``."""
    programs, equation = cusp.products(m, order), cusp.relation(m, order)
    where, (h0, t, T) = cusp.domain(order), symbols("h0 t T")
    inputs = (*m.parameters, h0)

    def made(name: str, program: Program, clock: sp.Symbol) -> UniformLaw:
        expr = sp.Function(name)(*inputs, clock)
        lines = ((equation.lhs, equation.rhs),)
        return UniformLaw(expr, (*inputs, clock), where, program=program, equations=lines, relation=equation)

    a, b, d, top = (made(name, programs[key], T) for name, key in _ENTRIES)
    return GramFormula(((a, b), (b, d)), orbit=made("h", cusp.orbit(m, order), t), top=top)


_ENTRIES = (("A_00", "00"), ("A_01", "01"), ("A_11", "11"), ("A", "top"))
