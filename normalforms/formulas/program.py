"""Straight-line programs with one loop over time: the stable evaluation behind a formula.

A `Program` is the numerical twin of an expression: assignments, a loop ``t = 1 … T`` that carries a few
numbers, and results. It is differentiated by forward-mode rules on its assignments, so derivatives are as
stable as values, and printed for NumPy, JAX, mpmath, Python, C and Julia.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import sympy as sp

from normalforms.exact import Clifford, ExpMoment

__all__ = ["Assignments", "Carry", "Program", "horner"]

Assignments = tuple[tuple[sp.Symbol, sp.Expr], ...]


@dataclass(frozen=True)
class Carry:
    """A number carried through the loop: ``symbol = initial`` before it, ``symbol = update`` after each turn."""

    symbol: sp.Symbol
    initial: sp.Expr
    update: sp.Expr


@dataclass(frozen=True)
class Program:
    """``prelude; for t = 1 … horizon: body, then all carries at once; closing; results``.

    Args:
        inputs: symbols in call order.
        results: expressions of inputs, carries and assigned symbols.
        prelude: assignments before the loop.
        carries: the loop's state; none means no loop.
        body: assignments inside the loop, which see ``counter`` and the carries of the turn before.
        closing: assignments after the loop.
        counter: the loop's counter.
        horizon: number of turns, an input or an integer.

    Raises:
        ValueError: a symbol is assigned twice.

    >>> g, h, T, t = sp.symbols("g h T t")
    >>> power = Program((g, T), (h,), carries=(Carry(h, sp.Integer(1), g * h),), counter=t, horizon=T)
    >>> [c.symbol for c in power.derivative(g).carries]
    [h, h_g]
    """

    inputs: tuple[sp.Symbol, ...]
    results: tuple[sp.Expr, ...]
    prelude: Assignments = ()
    carries: tuple[Carry, ...] = ()
    body: Assignments = ()
    closing: Assignments = ()
    counter: sp.Symbol | None = None
    horizon: sp.Expr | None = None

    def __post_init__(self) -> None:
        seen: set[sp.Symbol] = set()
        for symbol in self.symbols():
            if symbol in seen:
                raise ValueError(f"the name {symbol} has another use in this law; give the map's symbol another name")
            seen.add(symbol)

    def derivative(self, x: sp.Symbol) -> Program:
        """The program of ``∂results/∂x``: every assignment is followed by that of its tangent."""
        return self.with_tangents(x)[0]

    def with_tangents(
        self, x: sp.Symbol, still: Collection[sp.Symbol] = ()
    ) -> tuple[Program, dict[sp.Symbol, sp.Expr]]:
        """As `derivative`, and the tangent of each symbol that depends on ``x``; those of ``still`` count as zero."""
        tangents: dict[sp.Symbol, sp.Expr] = {x: sp.Integer(1)}
        moving = self._moving(x)
        name = _Namer(self, x)
        for carry in self.carries:
            if carry.symbol in moving:
                tangents[carry.symbol] = name(carry.symbol)
        prelude = _with_tangents(self.prelude, name, tangents, still)
        body = _with_tangents(self.body, name, tangents, still)
        carries: list[Carry] = []
        for carry in self.carries:
            carries.append(carry)
            if carry.symbol in moving:
                initial, update = _tangent(carry.initial, tangents), _tangent(carry.update, tangents)
                carries.append(Carry(tangents[carry.symbol], initial, update))
        closing = _with_tangents(self.closing, name, tangents)
        program = replace(
            self,
            results=tuple(_tangent(e, tangents) for e in self.results),
            prelude=prelude,
            body=body,
            carries=tuple(carries),
            closing=closing,
        )
        return program, tangents

    def _moving(self, x: sp.Symbol) -> set[sp.Symbol]:
        """Symbols that depend on ``x``, through any number of turns."""
        moving, size = {x}, 0
        while len(moving) != size:
            size = len(moving)
            for symbol, expr in (*self.prelude, *self.body, *self.closing):
                if expr.free_symbols & moving:
                    moving.add(symbol)
            for carry in self.carries:
                if (carry.initial.free_symbols | carry.update.free_symbols) & moving:
                    moving.add(carry.symbol)
        return moving

    def inline(self) -> tuple[sp.Expr, ...]:
        """The results as expressions of the inputs alone; for programs without a loop.

        Raises:
            ValueError: the program loops over a horizon, which has no expression of finite size.
        """
        if self.carries:
            raise ValueError("a program with a loop has no closed expression; inline needs one without carries")
        values: dict[sp.Symbol, sp.Expr] = {}
        for symbol, expr in (*self.prelude, *self.closing):
            values[symbol] = expr.xreplace(values)
        return tuple(e.xreplace(values) for e in self.results)

    @property
    def functions(self) -> set[tuple[str, int]]:
        """Special functions that the program calls, as (class name, index k)."""
        found = {f for e in self.expressions() for f in e.atoms(ExpMoment, Clifford)}
        return {(type(f).__name__, int(f.args[0])) for f in found}

    def symbols(self) -> Iterable[sp.Symbol]:
        """Every symbol once: inputs, then the assigned ones in order, the counter last."""
        yield from self.inputs
        yield from (s for s, _ in (*self.prelude, *self.body, *self.closing))
        yield from (c.symbol for c in self.carries)
        if self.counter is not None:
            yield self.counter

    def renamed(self, new: Mapping[sp.Symbol, sp.Symbol]) -> Program:
        """The same program in other symbols."""

        def swap(expr: sp.Expr) -> sp.Expr:
            return expr.xreplace(new)

        def swap_all(assignments: Assignments) -> Assignments:
            return tuple((swap(s), swap(e)) for s, e in assignments)

        return Program(
            tuple(swap(s) for s in self.inputs),
            tuple(swap(e) for e in self.results),
            prelude=swap_all(self.prelude),
            carries=tuple(Carry(swap(c.symbol), swap(c.initial), swap(c.update)) for c in self.carries),
            body=swap_all(self.body),
            closing=swap_all(self.closing),
            counter=None if self.counter is None else swap(self.counter),
            horizon=None if self.horizon is None else swap(self.horizon),
        )

    def pruned(self) -> Program:
        """The same results without the assignments and carries that none of them needs."""
        assigned = (*self.prelude, *self.body, *self.closing)
        needs = {s: e.free_symbols for s, e in assigned}
        needs |= {c.symbol: c.initial.free_symbols | c.update.free_symbols for c in self.carries}
        wanted = [s for e in self.results for s in e.free_symbols]
        kept: set[sp.Symbol] = set()
        while wanted:
            symbol = wanted.pop()
            if symbol in needs and symbol not in kept:
                kept.add(symbol)
                wanted.extend(needs[symbol])

        def living(assignments: Assignments) -> Assignments:
            return tuple((s, e) for s, e in assignments if s in kept)

        return replace(
            self,
            prelude=living(self.prelude),
            carries=tuple(c for c in self.carries if c.symbol in kept),
            body=living(self.body),
            closing=living(self.closing),
        )

    def shared(self) -> Program:
        """The same program with repeated parts of the loop's body assigned once: NumPy computes what it is told."""
        names = sp.numbered_symbols("shared", real=True, exclude=list(self.symbols()))
        common, reduced = sp.cse([e for _, e in self.body], symbols=names)
        assigned = {s for s, _ in self.body} | {s for s, _ in common}
        waiting, placed = list(common), set[sp.Symbol]()
        body: list[tuple[sp.Symbol, sp.Expr]] = []

        def ready() -> None:
            for pair in [p for p in waiting if (p[1].free_symbols & assigned) <= placed]:
                waiting.remove(pair)
                place(*pair)

        def place(symbol: sp.Symbol, expr: sp.Expr) -> None:
            body.append((symbol, expr))
            placed.add(symbol)

        for (symbol, _), expr in zip(self.body, reduced, strict=True):
            size = -1
            while len(body) != size:
                size = len(body)
                ready()
            place(symbol, expr)
        return replace(self, body=tuple(body))

    def looped(self) -> Iterable[sp.Expr]:
        """Every right-hand side up to the end of the loop."""
        for _, expr in (*self.prelude, *self.body):
            yield expr
        for carry in self.carries:
            yield carry.initial
            yield carry.update

    def expressions(self) -> Iterable[sp.Expr]:
        """Every right-hand side and result."""
        yield from self.looped()
        yield from (expr for _, expr in self.closing)
        yield from self.results


class _Namer:
    """Names of tangents, ``h_g`` for ``∂h/∂g``, underscored until no symbol of the program has them."""

    def __init__(self, program: Program, x: sp.Symbol) -> None:
        self.x = x
        self.taken = {s.name for s in program.symbols()}

    def __call__(self, symbol: sp.Symbol) -> sp.Symbol:
        name = f"{symbol.name}_{self.x.name}"
        while name in self.taken:
            name += "_"
        self.taken.add(name)
        return sp.Symbol(name, real=True)


def _tangent(expr: sp.Expr, tangents: dict[sp.Symbol, sp.Expr]) -> sp.Expr:
    """``Σ_s ∂expr/∂s · tangent(s)``, almost everywhere: the second derivative of ``|x|`` counts as zero."""
    active = sorted(expr.free_symbols & tangents.keys(), key=lambda s: s.name)
    total = sp.Add(*(expr.diff(s) * tangents[s] for s in active))
    return total.replace(sp.DiracDelta, lambda *_: sp.Integer(0)) if total.has(sp.DiracDelta) else total


def _with_tangents(
    assignments: Assignments,
    name: _Namer,
    tangents: dict[sp.Symbol, sp.Expr],
    still: Collection[sp.Symbol] = (),
) -> Assignments:
    """``assignments`` with those of their tangents between them; fills ``tangents``."""
    out: list[tuple[sp.Symbol, sp.Expr]] = []
    for symbol, expr in assignments:
        out.append((symbol, expr))
        if symbol in still:
            continue
        derivative = _tangent(expr, tangents)
        if derivative.is_Atom:
            if derivative != 0:
                tangents[symbol] = derivative
            continue
        tangents[symbol] = name(symbol)
        out.append((tangents[symbol], derivative))
    return tuple(out)


def horner(coefficients: Sequence[sp.Expr], x: sp.Expr) -> sp.Expr:
    """``Σ coefficients[k] xᵏ`` in Horner form."""
    value: sp.Expr = sp.Integer(0)
    for c in reversed(coefficients):
        value = value * x + c
    return value
