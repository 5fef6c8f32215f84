"""Uniform laws: the orbit as an explicit function of ``g, gᵗ, h0`` that holds through the bifurcation."""

from __future__ import annotations

from dataclasses import dataclass

import sympy as sp

from normalforms.codegen import Assignments, Carry, Program
from normalforms.formula import Domain, Formula, symbols
from normalforms.special import Clifford, ExpMoment

__all__ = ["Flow", "flow", "uniform_law"]

_g, _h0 = symbols("g h0")
_t, _T = symbols("t T")


@dataclass(frozen=True)
class Flow:
    """An explicit orbit: ``states`` after the assignments ``prelude`` (no ``t``) and ``body`` (with ``t``).

    Args:
        prelude: assignments that depend on ``g`` and the initial state only.
        body: assignments that depend on ``t``.
        states: components of ``h_t``.
        inputs: ``g`` and the initial state.
        sentence: where it holds.
        holds: predicate on ``(g, initial…, horizon)``.
    """

    prelude: Assignments
    body: Assignments
    states: tuple[sp.Expr, ...]
    inputs: tuple[sp.Symbol, ...]
    domain: Domain

    def orbit(self) -> Program:
        """The program of ``h_t``."""
        return Program((*self.inputs, _t), self.states, prelude=(*self.prelude, *self.body))

    def amplification(self) -> Program:
        """The program of ``A_T = Σ_{t=1}^T ‖∂_g h_t‖²``."""
        A = sp.Symbol("A", real=True)
        names = tuple(
            sp.Symbol(f"h_t{i}" if len(self.states) > 1 else "h_t", real=True) for i in range(len(self.states))
        )
        plain = Program(
            (*self.inputs, _T),
            names,
            prelude=self.prelude,
            carries=(Carry(A, sp.Integer(0), A),),
            body=(*self.body, *zip(names, self.states, strict=True)),
            counter=_t,
            horizon=_T,
        )
        moved, tangents = plain.with_tangents(self.inputs[0])
        growth = sp.Add(*(tangents[n] ** 2 for n in names if n in tangents))
        return Program(
            plain.inputs,
            (A,),
            prelude=moved.prelude,
            carries=(Carry(A, sp.Integer(0), A + growth),),
            body=moved.body,
            counter=_t,
            horizon=_T,
        )


def elementary(expr: sp.Expr) -> sp.Expr:
    """``expr`` in exponentials and powers of ``g``, singular to the eye where the program is regular."""
    return expr.rewrite(sp.exp).rewrite(sp.cosh)


def uniform_law(motion: Flow) -> Formula:
    """``A_T = Σ_t ‖∂_g h_t‖²`` of an explicit orbit, with `Formula.orbit`."""
    program = motion.orbit()
    orbit = Formula(
        lambda: elementary(sp.Tuple(*program.inline()) if len(motion.states) > 1 else program.inline()[0]),
        program.inputs,
        motion.domain,
        program=program,
    )

    def expression() -> sp.Expr:
        states = program.inline()
        squares = sp.Add(*(sp.diff(elementary(s), motion.inputs[0]) ** 2 for s in states))
        return sp.Sum(squares, (_t, 1, _T))

    return Formula(expression, (*motion.inputs, _T), motion.domain, program=motion.amplification, orbit=orbit)


def flow(kind: str, order: int = 0) -> Flow:
    """The explicit orbit of a named family, to a given order."""
    makers = {
        "stability_flip": _linear,
        "pitchfork": _pitchfork,
        "period_doubling": _pitchfork,
        "transcritical": _transcritical,
        "saddle_node": _saddle_node,
    }
    motion = makers[kind](order)
    if kind == "period_doubling":
        motion = Flow(motion.prelude, motion.body, ((-1) ** _t * motion.states[0],), motion.inputs, motion.domain)
    return motion


def _linear(order: int) -> Flow:
    return Flow((), (), (_h0 * _g**_t,), (_g, _h0), Domain("every g and h0: this law is exact"))


def _assign(name: str, expr: sp.Expr, into: list[tuple[sp.Symbol, sp.Expr]]) -> sp.Symbol:
    symbol = sp.Symbol(name, real=True)
    into.append((symbol, expr))
    return symbol


def _pitchfork(order: int) -> Flow:
    prelude, body = [], []
    L = _assign("L", sp.log(_g), prelude)
    W = _assign("W", 2 / ExpMoment(0, L), prelude)
    z = _assign("z", 2 * _t * L, body)
    D = _assign("D", sp.exp(-z) + _h0**2 * W * _t * ExpMoment(0, -z), body)
    domain = Domain(
        "g > 0 and h0² < 1 + g (inside the basin), error O(1/T) near g = 1",
        holds=lambda g, h0, T: (g > 0) & (h0 * h0 < 1 + g),
    )
    return Flow(tuple(prelude), tuple(body), (_h0 / sp.sqrt(D),), (_g, _h0), domain)


def _transcritical(order: int) -> Flow:
    prelude, body = [], []
    L = _assign("L", sp.log(_g), prelude)
    W = _assign("W", 1 / ExpMoment(0, L), prelude)
    z = _assign("z", _t * L, body)
    D = _assign("D", sp.exp(-z) + _h0 * W * _t * ExpMoment(0, -z), body)
    domain = Domain(
        "g > 0 and min(0, g − 1) < h0 < max(1, g)(inside the basin), error O(1/T) near g = 1",
        holds=lambda g, h0, T: (g > 0) & (h0 < g) & ((h0 >= 0) | (h0 > g - 1)),
    )
    return Flow(tuple(prelude), tuple(body), (_h0 / D,), (_g, _h0), domain)


def _saddle_node(order: int) -> Flow:
    body: list[tuple[sp.Symbol, sp.Expr]] = []
    e = _g - 1
    z = _assign("z", e * _t**2, body)
    C, S = Clifford(-1, z), _t * Clifford(0, z)
    D = _assign("D", C + _h0 * S, body)
    N = _assign("N", _h0 * C + e * S, body)
    domain = Domain(
        "orbits that have not left: D_t > 0 for t ≤ T, error O(1/T) near g = 1",
        holds=lambda g, h0, T: _stays(g, h0, T),
    )
    return Flow((), tuple(body), (N / D,), (_g, _h0), domain)


def _stays(g, h0, T):
    import numpy as np

    from normalforms.special import clifford

    t = np.linspace(0, 1, 65).reshape(-1, *[1] * np.ndim(g + h0)) * T
    z = (g - 1) * t**2
    return np.all(clifford(-1, z) + h0 * t * clifford(0, z) > 0, axis=0)
