"""`Flow`: an explicit orbit as assignments, and the programs of its states and of its amplification."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import sympy as sp

from normalforms.formulas import Assignments, Carry, Domain, Equations, Program, symbols

__all__ = ["Block", "Flow", "blocks", "check_order", "focus"]


class Block:
    """Assignments under construction, with names that no input has.

    >>> block = Block(["L"])
    >>> block("L", sp.Integer(2)), block.assignments
    (L_, ((L_, 2),))
    """

    def __init__(self, taken: Iterable[str]) -> None:
        self._taken = set(taken)
        self._made: list[tuple[sp.Symbol, sp.Expr]] = []
        self._still: list[sp.Symbol] = []
        self._raised: dict[sp.Expr, list[sp.Expr]] = {}

    def __call__(self, name: str, expr: sp.Expr) -> sp.Symbol:
        """Assign ``expr`` to a fresh symbol called ``name``, or to ``name_`` where that is taken."""
        while name in self._taken:
            name += "_"
        self._taken.add(name)
        symbol = sp.Symbol(name, real=True)
        self._made.append((symbol, expr))
        return symbol

    def powers(self, name: str, x: sp.Expr, count: int) -> list[sp.Expr]:
        """``1, x, …, x^count``, each assigned once."""
        found = self._raised.setdefault(x, [sp.Integer(1)])
        for k in range(len(found), count + 1):
            found.append(self(f"{name}{k}", x if k == 1 else found[1] * found[-1]))
        return found[: count + 1]

    def still(self, name: str, expr: sp.Expr) -> sp.Symbol:
        """As a call, of a factor of what vanishes: a first derivative leaves it alone."""
        self._still.append(self(name, expr))
        return self._still[-1]

    def beside(self) -> Block:
        """An empty block that shares the names."""
        other = Block(())
        other._taken = self._taken
        return other

    @property
    def assignments(self) -> Assignments:
        """What was assigned so far."""
        return tuple(self._made)

    @property
    def constants(self) -> tuple[sp.Symbol, ...]:
        """The symbols made by `still`."""
        return tuple(self._still)


def blocks(*inputs: sp.Symbol) -> tuple[Block, Block, Block]:
    """Blocks before the loop over ``t``, for the root that it solves, and after that."""
    prelude = Block([*(s.name for s in inputs), "t", "T"])
    return prelude, prelude.beside(), prelude.beside()


def focus(growth: sp.Expr, g: sp.Symbol, critical: sp.Expr = sp.S.One) -> Callable[[int], tuple[float, float]]:
    """Centre and width in ``g`` of the range where a multiplier's power ``growth^T`` stays of size 1."""
    centre, slope = float(critical), abs(float(growth.diff(g).subs(g, critical)))
    return lambda horizon: (centre, 1 / (slope * horizon))


def check_order(order: Any, top: int | None, name: str) -> int:
    """``order`` as an integer from 0 to ``top``.

    Raises:
        ValueError: it is none.
    """
    if isinstance(order, bool) or not isinstance(order, (int, np.integer)) or order < 0:
        raise ValueError(f"order = {order!r} must be an integer from 0")
    if top is not None and order > top:
        raise ValueError(f"order = {order} does not exist: the uniform law of {name} has orders 0 to {top}")
    return int(order)


@dataclass(frozen=True, eq=False)
class Flow:
    """An explicit orbit: ``states`` after the assignments ``prelude`` (no ``t``), ``solve`` and ``body`` (with ``t``).

    Args:
        inputs: the parameter, and the components of the initial state.
        prelude: assignments that depend on ``inputs`` only.
        solve: assignments that depend on ``t`` and find a root.
        body: assignments after that; at the root, nothing changes with the symbols of ``solve``, so that a first
            derivative leaves them alone.
        states: components of ``h_t``.
        domain: where it holds, for orbits that stay; its predicate takes ``inputs`` and the horizon.
        explicit: builds ``h_t`` as expressions of ``inputs`` and ``t``, for reading.
        equations: the law in print, left and right sides.
        frame: the state in a frame where ``∂_g`` has the same length, and less to compute; by default ``states``.
        weight: the amplification is ``weight · Σ ‖∂_g h_t‖²``.
        stays: predicate of ``inputs`` and the horizon, whether the orbit stays; ``None`` where every one does.
        still: symbols of ``prelude`` and ``body`` that a first derivative leaves alone: factors of what vanishes.
        slip: of ``inputs``, ``‖∂_g h_1‖²`` of this orbit less that of the map, and the part of A that it may be;
            ``None`` where the first step is never small beside the others.
        opening: the map's own ``h_1``, whose ``‖∂_g h_1‖²`` takes the place of the first term; by default the orbit's.
        focus: of a horizon, the parameter's value at the bifurcation and the width in which the law varies fastest.
    """

    inputs: tuple[sp.Symbol, ...]
    prelude: Assignments
    solve: Assignments
    body: Assignments
    states: tuple[sp.Expr, ...]
    domain: Domain
    explicit: Callable[[], tuple[sp.Expr, ...]]
    equations: Equations = ()
    frame: tuple[sp.Expr, ...] | None = None
    weight: sp.Expr = sp.S.One
    stays: Callable[..., Any] | None = None
    still: tuple[sp.Symbol, ...] = ()
    focus: Callable[[int], tuple[float, float]] | None = None
    slip: tuple[Callable[..., Any], float] | None = None
    opening: tuple[sp.Expr, ...] = ()

    def orbit(self) -> Program:
        """The program of ``h_t``."""
        return Program((*self.inputs, symbols("t")), self.states, prelude=(*self.prelude, *self.solve, *self.body))

    def amplification(self) -> Program:
        """The program of ``A_T = weight · Σ_{t=1}^T ‖∂_g h_t‖²``."""
        t, T = symbols("t T")
        names = Block([s.name for s in self.inputs] + [s.name for s, _ in (*self.prelude, *self.solve, *self.body)])
        states = self.states if self.frame is None else self.frame
        made = [names(f"state{i}", e) for i, e in enumerate(states)]
        opening = [(names(f"opening{i}", e), e) for i, e in enumerate(self.opening)]
        A = names("A", sp.Integer(0))
        plain = Program(
            (*self.inputs, T),
            (*made, *(s for s, _ in opening)),
            prelude=(*self.prelude, *opening),
            carries=(Carry(A, sp.Integer(0), A),),
            body=(*self.body, *zip(made, states, strict=True)),
            counter=t,
            horizon=T,
        )
        moved, tangents = plain.with_tangents(self.inputs[0], self.still)
        # tangents at fixed `solve` are not those of a further derivative, which therefore must not share their names
        assigned = {s for s, _ in plain.body}
        fresh = {s: names(f"slope_{s.name}", sp.S.Zero) for s, _ in moved.body if s not in assigned}
        slopes = [tangents[n].xreplace(fresh) for n in made if n in tangents]
        body = tuple((fresh.get(s, s), e.xreplace(fresh)) for s, e in moved.body)
        growth = sp.Add(*(slope**2 for slope in slopes))
        prelude, start = moved.prelude, sp.S.Zero
        if opening:
            at_once = {t: sp.S.One}
            lines = (*self.solve, *body)
            at_once |= {s: names(f"first_{s.name}", sp.S.Zero) for s, _ in lines}
            prelude = (*prelude, *((at_once[s], e.xreplace(at_once)) for s, e in lines))
            start = sp.Add(*(tangents[s] ** 2 for s, _ in opening if s in tangents)) - growth.xreplace(at_once)
        return Program(
            plain.inputs,
            (self.weight * A,),
            prelude=prelude,
            carries=(Carry(A, start, A + growth),),
            body=(*self.solve, *body),
            counter=t,
            horizon=T,
        )
