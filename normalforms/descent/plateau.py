"""The plateau: how many steps descent spends far below the bifurcation, in closed form."""

from __future__ import annotations

from typing import Any

import sympy as sp

from normalforms.families import recognise
from normalforms.formulas import Domain, Formula, Program
from normalforms.maps import Map

__all__ = ["plateau_formula"]


def plateau_formula(m: Map) -> Formula:
    """Steps of descent from ``g`` to the bifurcation, for ``1/T ≪ 1 − g ≪ 1``.

    The student's state dies out after ``1/(1 − g)`` steps and the gradient falls like the square of that time, so that

        n = 2 T (1−g)³/(9 η h0²) · [1 − 3c/(2T(1−g)) + …],

    cubic in the distance: slow, but never for ever. The next order has ``c = (8x − k y)/3`` with the family's scaling
    variables x at the teacher and y, and k that the family declares: 29/3 (pitchfork, odd period doubling, untwisted
    Neimark–Sacker), 32/3 (transcritical), 0 (stability flip).
    Linear extrapolation of the multiplier there is three times too long, quadratic ``(√45 − 3)/2`` times.

    Returns:
        A `Formula` in ``g, g_T, h0, η, T``.

    Raises:
        ValueError: a saddle-node, whose orbits leave below the bifurcation, or a map that is no family.

    >>> from normalforms import stability_flip
    >>> law = plateau_formula(stability_flip())
    >>> sp.factor(law.expr.subs(law.symbols[1], 1))
    -2*T*(g - 1)**3/(9*eta*h0**2)
    """
    u = recognise(m)
    flow, scaling = u.family.flow, u.family.scaling
    if u.twist != 0 or flow is None or flow.plateau is None or scaling is None:
        raise ValueError(
            f"a {u.kind.replace('_', '-')} has no plateau in closed form: its orbits leave below the bifurcation,"
            " or its phase is learnt too, or the family declares none; use time"
        )
    limit: Any = scaling(u, sp.S.One, sp.S.One)
    g, h0, T = u.inputs
    g_T, rate = sp.Symbol(f"{g.name}_T", real=True), sp.Symbol("eta", real=True)
    X, x = -limit.x, limit.x.xreplace({g: g_T})
    shift = (8 * x - flow.plateau * limit.y) / 3
    inputs = (g, g_T, h0, rate, T)
    first, second = 2 * T * (1 - g) ** 3 / (9 * rate * h0**2), 3 * shift / (2 * X)
    return Formula(
        first * (1 - second),
        inputs,
        Domain("1/T ≪ 1 − g ≪ 1, to 10 %", lambda g, *_: g < 1, tolerance=0.1),
        guard=Program(inputs, (first * (1 - second), first * second**2)),
    )
