"""The fixed point of a map of R^n as assignments: Newton's method from the implicit function theorem."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import sympy as sp

from normalforms.exact import rounded
from normalforms.maps import Map

__all__ = ["MovingPoint", "moving_point"]

STEPS = 5
"""Newton's steps from the tangent: the error, of second order in ``g − g*``, ends of order 64."""
LARGEST = 3
"""Dimension up to which the inverse of the Jacobian is written out."""


@dataclass(frozen=True)
class MovingPoint:
    """``h*(g)``, ``dh*/dg`` and the Jacobian there, in symbols of the assignments.

    Args:
        point: components of ``h*``.
        speed: components of ``dh*/dg``.
        jacobian: ``A = f_h``, rows of symbols.
    """

    point: tuple[sp.Expr, ...]
    speed: tuple[sp.Expr, ...]
    jacobian: tuple[tuple[sp.Expr, ...], ...]


def moving_point(m: Map, assign: Callable[[str, sp.Expr], sp.Symbol]) -> MovingPoint:
    """The fixed point that passes through the critical point, where no multiplier is 1.

    ``h ← h + (I − A)^{-1} (f(h, g) − h)`` from ``h* + (I − A*)^{-1} f_g (g − g*)``.

    Args:
        m: the map, of dimension 3 at most, with one parameter.
        assign: makes an assignment and gives its symbol.

    Raises:
        ValueError: the critical point is not known or is no fixed point, the dimension is larger, a multiplier is 1.
    """
    n, g = m.dimension, m.parameters[0]
    if m.critical is None:
        raise ValueError("the map's critical point is not known; give it as critical= or at=")
    if n > LARGEST:
        raise ValueError(f"the map has {n} states; its fixed point is followed in up to {LARGEST} of them")
    at = {s: rounded(v) for s, v in dict(m.critical).items()}
    start = [at[s] for s in m.states]
    left = [sp.N((f - s).xreplace(at), 30) for f, s in zip(m.steps, m.states, strict=True)]
    if any(abs(gap) > sp.Float("1e-15") * max(1, abs(at[s])) for gap, s in zip(left, m.states, strict=True)):
        raise ValueError(f"the critical point is no fixed point: f(h) − h = {', '.join(str(float(v)) for v in left)}")
    slopes = sp.Matrix(n, n, lambda i, j: m.steps[i].diff(m.states[j]))
    forces = [f.diff(g) for f in m.steps]
    inverse = (sp.eye(n) - slopes.xreplace(at)).evalf(30)
    if abs(inverse.det()) < sp.Float("1e-12"):
        raise ValueError(
            "a multiplier is 1 at the critical point, so that no one fixed point goes on from it; reduce the map and"
            " ask the law of its normal form"
        )
    tangent = inverse.LUsolve(sp.Matrix([f.xreplace(at) for f in forces]).evalf(30))
    h: list[sp.Expr] = [assign(f"fixed{i}", a + tangent[i] * (g - at[g])) for i, a in enumerate(start)]
    for k in range(1, STEPS + 1):
        here = dict(zip(m.states, h, strict=True))
        gaps = [f.xreplace(here) - x for f, x in zip(m.steps, h, strict=True)]
        gap = sp.Matrix([assign(f"gap{k}_{i}", e) for i, e in enumerate(gaps)])
        move = _solved(slopes.xreplace(here), gap, lambda name, e, k=k: assign(f"{name}{k}", e))
        h = [assign(f"fixed{i}_{k}", a + b) for i, (a, b) in enumerate(zip(h, move, strict=True))]
    here = dict(zip(m.states, h, strict=True))
    jacobian = [[assign(f"jacobian{i}{j}", slopes[i, j].xreplace(here)) for j in range(n)] for i in range(n)]
    force = sp.Matrix([f.xreplace(here) for f in forces])
    speed = _solved(sp.Matrix(jacobian), force, assign)
    made = [assign(f"speed{i}", v) for i, v in enumerate(speed)]
    return MovingPoint(tuple(h), tuple(made), tuple(map(tuple, jacobian)))


def _solved(jacobian: sp.MatrixBase, rhs: sp.MatrixBase, assign: Callable[[str, sp.Expr], sp.Symbol]) -> list[sp.Expr]:
    """``(I − A)^{-1} rhs`` by Cramer's rule."""
    n = jacobian.shape[0]
    matrix = sp.Matrix(n, n, lambda i, j: assign(f"entry{i}{j}_", int(i == j) - jacobian[i, j]))
    det = assign("det_", matrix.det())
    return [e / det for e in matrix.adjugate() * rhs]
