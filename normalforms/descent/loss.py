"""The loss of a scalar student that follows a teacher of the same map, and its derivatives to any order.

``L(g) = (1/T) Σ_{t=1}^T ⟨‖h_t(g) − h_t(g_T)‖²⟩`` over the initial states. The difference of the two orbits is carried
itself, by the divided differences of a polynomial map,

    d_{t+1} = f[h, h̄; g] d_t + f[h̄; g, ḡ] (g − ḡ),

so that nothing cancels next to the teacher; its derivatives in g are those of a truncated Taylor series.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
import sympy as sp

from normalforms.descent.jets import JetRule, constant, jet_rule, multiply, variable
from normalforms.forms import iteration
from normalforms.formulas import Carry, Domain, Formula, Program, compiled, symbols
from normalforms.maps import Map

__all__ = ["derivatives", "each_value_and_slope", "loss_formula", "teacher_leaves", "value_and_slope"]


@dataclass(frozen=True)
class _Recursion:
    """One step of teacher and difference, for a polynomial map; of teacher and student, for any other."""

    polynomial: bool
    teacher: JetRule
    student: JetRule


@cache
def _recursion(m: Map) -> _Recursion:
    g = m.parameters[0]
    teacher = jet_rule(m.steps, (*m.states, g))
    if not all(e.is_polynomial(*m.states, g) for e in m.steps):
        return _Recursion(False, teacher, teacher)
    others = tuple(sp.Symbol(f"{s.name}_teacher", real=True) for s in (*m.states, g))
    gaps = tuple(sp.Symbol(f"{s.name}_gap", real=True) for s in (*m.states, g))
    named = (*m.states, g)
    steps = tuple(_difference(e, named, others, gaps) for e in m.steps)
    return _Recursion(True, teacher, jet_rule(steps, (*named, *others, *gaps)))


def _difference(
    f: sp.Expr, here: Sequence[sp.Symbol], there: Sequence[sp.Symbol], gaps: Sequence[sp.Symbol]
) -> sp.Expr:
    """``f(here) − f(there)`` in divided differences, one variable moved after the other."""
    total: sp.Expr = sp.Integer(0)
    for i, (x, y, gap) in enumerate(zip(here, there, gaps, strict=True)):
        moved = dict(zip(here[:i], there[:i], strict=True))
        part = sp.Poly(f.xreplace(moved), x)
        for (n,), c in part.terms():
            if n:
                total += c * gap * sp.Add(*(x**k * y ** (n - 1 - k) for k in range(n)))
    return total


def derivatives(m: Map, g: np.ndarray, teacher: Any, initial: np.ndarray, horizon: int, order: int) -> np.ndarray:
    """``L, L', …, L^{(order)}`` at ``g``, shape ``(order + 1, *broadcast of g and teacher)``.

    Args:
        m: a map of one parameter.
        g: student's parameter.
        teacher: teacher's.
        initial: states, shape ``(batch, n)``.
        horizon: T.
        order: highest derivative.

    Returns:
        ``inf`` and then ``nan`` where an orbit left.
    """
    rule = _recursion(m)
    g, teacher = (a[..., None] for a in np.broadcast_arrays(np.asarray(g, float), np.asarray(teacher, float)))
    shape = (*g.shape[:-1], len(initial))
    G, there = variable(g, order), constant(teacher, order)
    gap = variable(g - teacher, order)
    student = [constant(np.broadcast_to(x, shape), order) for x in initial.T]
    master, apart = list(student), [np.zeros_like(x) for x in student]
    with np.errstate(all="ignore"):
        radius = iteration.escape_radius(m, g)
        total, gone = np.zeros((order + 1, *shape)), np.zeros(shape, bool)
        for _ in range(horizon):
            if rule.polynomial:
                nexts = rule.student(*student, G, *master, there, *apart, gap)
                master = list(rule.teacher(*master, there))
                apart = [np.broadcast_to(d, total.shape) for d in nexts]
                student = [x + d for x, d in zip(master, apart, strict=True)]
            else:
                student, master = list(rule.student(*student, G)), list(rule.teacher(*master, there))
                apart = [x - y for x, y in zip(student, master, strict=True)]
            for d in apart:
                total = total + multiply(d, d)
            for x in student:
                gone |= ~(np.abs(x[0]) <= radius)
        total[0] = np.where(gone, np.inf, total[0])
        total[1:] = np.where(gone, np.nan, total[1:])
        factorials = np.array([float(sp.factorial(k)) for k in range(order + 1)])
        return np.mean(total, axis=-1) / horizon * factorials.reshape(-1, *(1,) * (total.ndim - 2))


@cache
def _fast(m: Map) -> Callable[..., Any]:
    """Compiled ``(g, g_T, *h0, T) ↦ (L, L')``."""
    program = loss_formula(m).stable
    slope, _ = program.with_tangents(m.parameters[0])
    return compiled(replace(slope, results=(*program.results, *slope.results)), "numpy")


def value_and_slope(m: Map, g: np.ndarray, teacher: Any, initial: np.ndarray, horizon: int) -> np.ndarray:
    """``L, L'`` as `derivatives` gives them, ten times faster and with the rounding of a plain difference.

    For descents, which call it thousands of times.
    """
    with np.errstate(all="ignore"):
        loss, slope = (np.mean(v, axis=-1) for v in each_value_and_slope(m, g, teacher, initial, horizon))
    return np.stack([np.where(np.isfinite(loss), loss, np.inf), slope])


def each_value_and_slope(
    m: Map, g: np.ndarray, teacher: Any, initial: np.ndarray, horizon: int
) -> tuple[np.ndarray, np.ndarray]:
    """Loss and slope of each initial state by itself, which are the last axis."""
    shape = np.broadcast_shapes(np.shape(g), np.shape(teacher))
    g, teacher = (np.broadcast_to(np.asarray(a, float), shape)[..., None] for a in (g, teacher))
    with np.errstate(all="ignore"):
        values = _fast(m)(g, teacher, *initial.T, horizon)
    loss, slope = (np.broadcast_to(v, (*shape, len(initial))) for v in values)
    return loss, slope


def teacher_leaves(m: Map, teacher: float, initial: np.ndarray, horizon: int) -> bool:
    """Whether a teacher's orbit escapes within the horizon."""
    states = initial[:, 0] if m.dimension == 1 else initial
    return bool(np.any(iteration.iterate(m, teacher, states, horizon).escape))


def loss_formula(m: Map) -> Formula:
    """``L`` of one initial state as a `Formula` of ``g, g_T, h0, T``: to read, differentiate and generate code from."""
    t, T, loss = *symbols("t T"), sp.Symbol("L", real=True)
    g, g_T = m.parameters[0], sp.Symbol(f"{m.parameters[0].name}_T", real=True)
    starts = [sp.Symbol("h0" if m.dimension == 1 else f"{s.name}0", real=True) for s in m.states]
    masters = [sp.Symbol(f"{s.name}_T", real=True) for s in m.states]
    nexts = [sp.Symbol(f"{s.name}_next", real=True) for s in (*m.states, *masters)]
    taught = dict(zip((*m.states, g), (*masters, g_T), strict=True))
    steps = (*m.steps, *(e.xreplace(taught) for e in m.steps))
    gap = sp.Add(*((x - y) ** 2 for x, y in zip(nexts[: m.dimension], nexts[m.dimension :], strict=True)))
    carries = [Carry(s, start, n) for s, start, n in zip((*m.states, *masters), starts * 2, nexts, strict=True)]
    inputs = (g, g_T, *starts, T)
    program = Program(
        inputs,
        (loss / T,),
        carries=(*carries, Carry(loss, sp.Integer(0), loss + gap)),
        body=tuple(zip(nexts, steps, strict=True)),
        counter=t,
        horizon=T,
    )
    return Formula(sp.Function("L")(*inputs), inputs, Domain("orbits that stay"), program=program)
