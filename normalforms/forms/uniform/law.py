"""Uniform laws: the orbit as an explicit function of ``g, gᵗ, h0`` that holds through the bifurcation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import sympy as sp

from normalforms.families import is_cusp
from normalforms.forms.uniform import cusp as uniform_cusp
from normalforms.forms.uniform.families import flow
from normalforms.forms.uniform.flow import Equations, check_order
from normalforms.formulas import (
    Focus,
    Formula,
    Program,
    TimeSum,
    compiled,
    on_grid,
    product_axes,
    symbols,
    typeset_equations,
)
from normalforms.maps import Map

__all__ = ["Uniform", "uniform_law"]


@dataclass(frozen=True, eq=False)
class Uniform(Formula):
    """A uniform law; `Formula.orbit` is ``h_t``.

    Args:
        equations: the law in print, left and right sides, where it has abbreviations.
        relation: the equation that ``h_t`` solves, where the law is implicit.
        matrix: with two parameters, ``Σ_t ∂_a h_t ∂_b h_t``, of which the law is the top eigenvalue.
        stays: whether the orbit stays, a predicate of the arguments; the value is ``nan`` where it does not.
        weight: what the sum over ``t`` is multiplied by.
        focus: of a horizon, the parameter's value at the bifurcation and the width in which the law varies fastest.

    >>> from normalforms.maps.map import pitchfork
    >>> uniform_law(pitchfork(), 0).orbit.expr
    g**t*h0/sqrt(h0**2*(g**(2*t) - 1)/(g - 1) + 1)
    """

    equations: Equations = field(default=(), kw_only=True)
    relation: sp.Basic | None = field(default=None, kw_only=True)
    matrix: tuple[tuple[Formula, ...], ...] | None = field(default=None, kw_only=True)
    stays: Callable[..., Any] | None = field(default=None, kw_only=True)
    weight: sp.Expr = field(default=sp.S.One, kw_only=True)
    focus: Callable[[int], Focus] | None = field(default=None, kw_only=True)

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

    def _on_grid(self, pieces: list[Any], places: tuple[int, int], values: tuple[Any, ...], stays: Any) -> np.ndarray:
        """The sum over ``t`` where two arguments span a product grid and the others are numbers."""
        (before, term), (*arguments, horizon) = pieces, values

        def prepare(x: np.ndarray, y: np.ndarray) -> tuple[Any, ...]:
            varying = dict(zip(places, (x, y), strict=True))
            return before(*(varying[k] if k in varying else v.ravel()[0] for k, v in enumerate(arguments)))

        focus = self.focus(horizon) if self.focus is not None and places[0] == 0 else None
        x, y = (arguments[i] for i in places)
        return on_grid(TimeSum(prepare, term, horizon), x, y, stays, focus)

    def printed(self) -> Equations:
        """The law as equations: those with abbreviations, or the sum over the orbit and the orbit.

        >>> from normalforms.maps.map import stability_flip
        >>> uniform_law(stability_flip()).printed()
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
        return replace(super().diff(symbol), equations=())

    def __str__(self) -> str:
        return "; ".join(f"{a} = {b}" for a, b in self.equations) if self.equations else super().__str__()


def _total(parameter: sp.Symbol, weight: sp.Expr) -> sp.Expr:
    t, T = symbols("t T")
    return weight * sp.Sum(sp.Abs(sp.Derivative(sp.Symbol("h_t"), parameter)) ** 2, (t, 1, T))


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


def uniform_law(m: Map, order: int = 0, *, stretch: Any = 1, gain: Any = 1) -> Uniform:
    """The uniform law of a map.

    Args:
        m: a named family, a map of the same form, or a scalar map with a fixed point that moves.
        order: p; the relative error is O(T^{−(p+1)}) at fixed scaled variables.
        stretch: factor from the caller's ``h0`` to the map's.
        gain: factor from the map's ``A`` to the caller's.

    Raises:
        ValueError: an order that the map does not have, or a map without a uniform law.

    >>> from normalforms.maps.map import pitchfork
    >>> round(uniform_law(pitchfork(), 2)(1.05, 0.1, 30), 1)
    105.2
    """
    if is_cusp(m):
        return _implicit(m, check_order(order, max(uniform_cusp.ORDERS), "the cusp"))
    motion = flow(m, order, sp.sympify(stretch), sp.sympify(gain))
    t, T = symbols("t T")

    def expression() -> sp.Expr:
        slope = sp.Derivative if motion.equations else sp.diff
        squares = sp.Add(*(slope(s, motion.inputs[0]) ** 2 for s in motion.explicit()))
        return motion.weight * sp.Sum(squares, (t, 1, T))

    def state() -> sp.Expr:
        states = motion.explicit()
        return sp.Tuple(*states) if len(states) > 1 else states[0]

    orbit = Uniform(
        state, (*motion.inputs, t), motion.domain, program=motion.orbit, equations=motion.equations, stays=motion.stays
    )
    total = _total(motion.inputs[0], motion.weight)
    equations = ((sp.Symbol("A"), total), *motion.equations) if motion.equations else ()
    return Uniform(
        expression,
        (*motion.inputs, T),
        motion.domain,
        program=motion.amplification,
        orbit=orbit,
        equations=equations,
        stays=motion.stays,
        weight=motion.weight,
        focus=motion.focus,
    )


def _implicit(m: Map, order: int) -> Uniform:
    """The cusp's law, implicit in ``h_t``."""
    programs, relation = uniform_cusp.products(m, order), uniform_cusp.relation(m, order)
    where, (h0, t, T) = uniform_cusp.domain(order), symbols("h0 t T")
    inputs = (*m.parameters, h0)

    def made(name: str, program: Any, clock: sp.Symbol, **more: Any) -> Uniform:
        expr = sp.Function(name)(*inputs, clock)
        lines = ((relation.lhs, relation.rhs),)
        return Uniform(expr, (*inputs, clock), where, program=program, equations=lines, relation=relation, **more)

    a, b, d = (made(f"A_{k}", programs[k], T) for k in ("00", "01", "11"))
    orbit = made("h", uniform_cusp.orbit(m, order), t)
    return made("A", programs["top"], T, orbit=orbit, matrix=((a, b), (b, d)))
