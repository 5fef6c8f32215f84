"""One step of a map and of its variational equations, as array operations in buffers that are used again."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
import sympy as sp
from sympy.printing.numpy import NumPyPrinter

from normalforms.maps import Map

__all__ = ["Stepper", "stepper"]

Assignments = Sequence[tuple[sp.Symbol, sp.Expr]]


@dataclass(frozen=True)
class Stepper:
    """``state, sums ← f(state), sums + products`` in place.

    Args:
        advance: ``advance(*state, *parameters, *after, *buffers, *sums)`` on arrays of one shape; it writes the next
            state into ``after`` and adds to ``sums`` the squares ``‖s‖²``, then ``s·∂s`` for each direction.
        states, buffers, sums: how many arrays of each kind it takes.
    """

    advance: Callable[..., None]
    states: int
    buffers: int
    sums: int


@cache
def stepper(m: Map, order: int) -> Stepper:
    """The step of ``h``, ``s = ∂h/∂g`` and, with ``order = 2``, of ``∂s/∂g`` and of ``v = ∂h/∂e``, ``∂s/∂e``.

    ``e`` runs over the initial scale and the map's further parameters. With ``a = f_h`` and ``q = f_hh s + f_hg``:
    ``s' = a s + f_g``, ``v' = a v + f_e``, ``(∂s/∂e)' = a ∂s/∂e + q v + f_he s + f_ge``; for e = g, v is s. The
    state is ordered ``h, s, ∂s/∂g``, then ``v, ∂s/∂e`` for each e.
    """
    n, (*extra, g) = m.dimension, m.parameters
    others: list[sp.Symbol | None] = [None, *extra] if order == 2 else []
    s = _row("s", n)
    v = [s, *(_row(f"v{d}", n) for d in range(len(others)))]
    w = [_row(f"w{d}", n) for d in range(1 + len(others))]
    a, q = ([[sp.Symbol(f"{k}_{i}_{j}", real=True) for j in range(n)] for i in range(n)] for k in "aq")
    prelude, results, inputs = [], [], [*m.states, *s]
    for i, f in enumerate(m.steps):
        for j, x in enumerate(m.states):
            prelude.append((a[i][j], f.diff(x)))
            bent = sum((f.diff(x, y) * s[k] for k, y in enumerate(m.states)), f.diff(x, g))
            prelude += [(q[i][j], bent)] if order == 2 else []
    turned = lambda matrix, vector, i: sum((matrix[i][j] * vector[j] for j in range(n)), sp.Integer(0))  # noqa: E731
    results += [sp.horner(f, *m.states) if n == 1 and f.is_polynomial(*m.states) else f for f in m.steps]
    results += [turned(a, s, i) + f.diff(g) for i, f in enumerate(m.steps)]
    for d, e in enumerate([g, *others] if order == 2 else []):
        if d:
            results += [turned(a, v[d], i) + (f.diff(e) if e else 0) for i, f in enumerate(m.steps)]
            inputs += v[d]
        inputs += w[d]
        for i, f in enumerate(m.steps):
            mixed = sum((f.diff(x, e) * s[j] for j, x in enumerate(m.states)), f.diff(g, e)) if e else sp.Integer(0)
            results.append(turned(a, w[d], i) + turned(q, v[d], i) + mixed)
    return _compiled(inputs, m.parameters, *_ordered(prelude, results), n, 1 + len(others) if order == 2 else 0)


def _row(name: str, n: int) -> list[sp.Symbol]:
    return [sp.Symbol(f"{name}_{i}", real=True) for i in range(n)]


def _ordered(prelude: Assignments, results: Sequence[sp.Expr]) -> tuple[Assignments, Sequence[sp.Expr]]:
    """Common terms taken out, every assignment before its use."""
    targets = [t for t, _ in prelude]
    common, reduced = sp.cse([*(e for _, e in prelude), *results], symbols=sp.numbered_symbols("u", real=True))
    values = dict(zip(targets, reduced, strict=False))
    # a and q may only use what stands before them, so they follow the common terms that hold none of them
    early = [(t, e) for t, e in common if not e.free_symbols & set(targets)]
    known = {t for t, _ in early}
    late = [(t, e) for t, e in common if t not in known]
    return [*early, *values.items(), *late], list(reduced)[len(targets) :]


def _compiled(
    inputs: Sequence[sp.Symbol],
    parameters: Sequence[sp.Symbol],
    lines: Assignments,
    results: Sequence[sp.Expr],
    n: int,
    directions: int,
) -> Stepper:
    names = {x: f"x{i}" for i, x in enumerate(inputs)} | {p: f"p{i}" for i, p in enumerate(parameters)}
    code = _Code(dict(names))
    for target, e in lines:
        code.names[target] = code.value(e)
    for i, e in enumerate(results):
        code.into(f"y{i}", e)
    # where s, and its derivative in each direction, stand in the state
    blocks = [1, *([2, *range(4, 2 + 2 * directions, 2)] if directions else [])]
    for k, block in enumerate(blocks):
        for i in range(n):
            product = code.apply("multiply", f"y{n + i}", f"y{block * n + i}")
            code.lines.append(("add", (f"z{k}", product), f"z{k}"))
    text, buffers = code.allocated()
    arguments = [
        *names.values(),
        *(f"y{i}" for i in range(len(results))),
        *(f"b{i}" for i in range(buffers)),
        *(f"z{k}" for k in range(len(blocks))),
    ]
    namespace: dict[str, Any] = {"numpy": np, "add": np.add, "subtract": np.subtract, "multiply": np.multiply}
    exec(f"def advance({', '.join(arguments)}):\n" + "".join(f"    {line}\n" for line in text), namespace)
    return Stepper(namespace["advance"], len(results), buffers, len(blocks))


@dataclass
class _Code:
    """Operations ``target = op(arguments)``, each temporary assigned once; then temporaries share buffers."""

    names: dict[sp.Symbol, str]
    lines: list[tuple[str, tuple[str, ...], str]] = field(default_factory=list)

    def apply(self, operation: str, *arguments: str, into: str | None = None) -> str:
        target = into or f"t{len(self.lines)}"
        self.lines.append((operation, arguments, target))
        return target

    def into(self, target: str, e: sp.Expr) -> None:
        before = len(self.lines)
        value = self.value(e)
        if len(self.lines) > before and self.lines[-1][2] == value:
            self.lines[-1] = (*self.lines[-1][:2], target)
        else:
            self.apply("copy", value, into=target)

    def value(self, e: sp.Expr) -> str:
        """The name of the array, or the number, that the expression is."""
        if e.is_Symbol:
            return self.names[e]
        if e.is_number:
            return repr(float(e))
        if e.is_Add:
            return self._sum(e)
        if e.is_Mul:
            first, *rest = sorted((self.value(a) for a in e.args), key=_is_number)
            for part in rest:
                first = self.apply("multiply", first, part)
            return first
        if e.is_Pow and e.exp.is_Integer and e.exp > 1:
            root = self.value(e.base)
            square = self.apply("multiply", root, root)
            half, odd = divmod(int(e.exp), 2)
            power = square
            for _ in range(half - 1):
                power = self.apply("multiply", power, square)
            return self.apply("multiply", power, root) if odd else power
        stand_ins = [sp.Symbol(self.value(a)) if not a.is_number else a for a in e.args]
        return self.apply(NumPyPrinter().doprint(e.func(*stand_ins)), *(x.name for x in stand_ins if x.is_Symbol))

    def _sum(self, e: sp.Expr) -> str:
        parts = []
        for a in e.args:
            number, _ = a.as_coeff_Mul()
            minus = number.is_negative and not a.is_number
            parts.append((minus, self.value(-a if minus else a)))
        parts.sort(key=lambda p: (p[0], _is_number(p[1])))
        minus, total = parts[0]
        if minus:
            total = self.apply("multiply", total, "-1.0")
        for minus, part in parts[1:]:
            total = self.apply("subtract" if minus else "add", total, part)
        return total

    def allocated(self) -> tuple[list[str], int]:
        """The code, and the number of buffers that its temporaries need."""
        last = {name: k for k, (_, arguments, _) in enumerate(self.lines) for name in arguments}
        held: dict[str, str] = {}
        free: list[str] = []
        count, text = 0, []
        for k, (operation, arguments, target) in enumerate(self.lines):
            shown = [held.get(name, name) for name in arguments]
            free += [held.pop(name) for name in set(arguments) if name in held and last[name] == k]
            place = target
            if target.startswith("t"):
                if not free:
                    free.append(f"b{count}")
                    count += 1
                place = held[target] = free.pop()
            if operation in ("add", "subtract", "multiply"):
                text.append(f"{operation}({shown[0]}, {shown[1]}, {place})")
            elif operation == "copy":
                text.append(f"{place}[...] = {shown[0]}")
            else:
                renamed = {a: b for a, b in zip(arguments, shown, strict=True) if a != b}
                text.append(f"{place}[...] = {_renamed(operation, renamed)}")
        return text, count


def _is_number(name: str) -> bool:
    return name[0] in "-0123456789"


def _renamed(text: str, names: dict[str, str]) -> str:
    for old, new in names.items():
        text = re.sub(rf"\b{old}\b", new, text)
    return text
