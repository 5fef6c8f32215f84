"""Padé approximants of a truncated series at one point, as straight-line assignments.

With the terms ``u_0, u_1, …`` of ``Σ u_k`` the approximant ``P/Q`` of degrees ``L/M`` has
``Q = Σ_{j≤M} b_j``, ``b_0 = 1``, ``Σ_j b_j u_{L+i−j} = 0`` for ``i = 1 … M``, and the value
``P/Q = Σ_j b_j S_{L−j}/Q`` with the partial sums ``S_n``: a weighted mean of them.

The equations are scaled to terms of one size, ``u_k/Rᵏ``, and solved by orthogonalisation with a Tikhonov term of
1e-14: series that end, or lack every other term, make them singular, and then the shortest ``b`` is taken. The error
is judged by the approximants with one and two terms more and with one less.

Source: Baker and Graves-Morris, *Padé Approximants*, 2nd ed., eq. 1.1.8 (the determinants) and section 2.1
(degenerate blocks).
"""

from __future__ import annotations

from collections.abc import Sequence

import sympy as sp

from normalforms.formulas import Assignments

__all__ = ["assignments", "degrees", "determinants"]

_DAMPING = sp.Float("1e-14", 17)
_FLOOR = sp.Float("1e-140", 17)


def degrees(count: int) -> tuple[int, int]:
    """``(L, M)`` for ``count`` known terms: ``L + M + 1 = count``, ``L = M`` or ``M − 1``.

    The amplification tends to a constant as h0 grows, and so does ``u_0 (P/Q)`` with these degrees.
    """
    M = count // 2
    return count - 1 - M, M


def determinants(terms: Sequence[sp.Expr]) -> sp.Expr:
    """The approximant as a quotient of two determinants, not expanded (Jacobi's formula)."""
    L, M = degrees(len(terms))
    if M == 0:
        return sp.Add(*terms)
    zero = sp.Integer(0)
    known = lambda k: terms[k] if k >= 0 else zero  # noqa: E731
    rows = [[known(L - M + i + j) for j in range(M + 1)] for i in range(1, M + 1)]
    sums = [sp.Add(*terms[: L - M + j + 1]) if L - M + j >= 0 else zero for j in range(M + 1)]
    top, bottom = (sp.ImmutableMatrix([*rows, last]) for last in (sums, [sp.Integer(1)] * (M + 1)))
    return sp.Determinant(top) / sp.Determinant(bottom)


class _Tape:
    """Assignments in the making, with names of their own."""

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self.steps: list[tuple[sp.Symbol, sp.Expr]] = []

    def __call__(self, expr: sp.Expr, name: str) -> sp.Expr:
        if expr.is_Atom:
            return expr
        symbol = sp.Symbol(self.prefix + name, real=True)
        self.steps.append((symbol, expr))
        return symbol


def assignments(terms: Sequence[sp.Symbol], prefix: str = "pade_") -> tuple[Assignments, sp.Expr]:
    """The approximant of ``Σ terms`` by as many terms: assignments and the value."""
    L, M = degrees(len(terms))
    tape = _Tape(prefix)
    growth = [tape(r, f"growth{k}") for k, r in enumerate(_growth(tape, terms, M))]
    scaled = [tape(u / r, f"w{k}") for k, (u, r) in enumerate(zip(terms, growth, strict=False))]
    b = [sp.Integer(1)]
    for j, solved in enumerate(_solve(tape, scaled, L, M), start=1):
        b.append(tape(solved * growth[j], f"b{j}"))
    tails = [sp.Integer(0)]
    for j in range(1, M + 1):
        tails.append(tails[-1] + (terms[L - j + 1] if L - j + 1 >= 0 else 0))  # S_L − S_{L−j}
    change = sp.Add(*(x * tail for x, tail in zip(b, tails, strict=True)))
    value = tape((sp.Add(*terms[: L + 1]) - change / sp.Add(*b)) * _before_the_escape(tape, terms, M), "value")
    return tuple(tape.steps), value


def _before_the_escape(tape: _Tape, terms: Sequence[sp.Expr], M: int) -> sp.Expr:
    """One, and no number where the later terms have one sign and grow: the sum is singular on the way (Pringsheim)."""
    if M < 2:
        return sp.Integer(1)
    late = terms[len(terms) - M :]
    same = sp.Abs(sp.Add(*late)) >= (1 - sp.Float(1e-12)) * sp.Add(*(sp.Abs(u) for u in late))
    signs = [same, sp.Abs(late[-1]) >= sp.Abs(late[-2]), sp.Abs(late[-2]) > 0]
    flags = [tape(sp.Piecewise((1, c), (0, True)), f"sign{i}") for i, c in enumerate(signs)]
    return tape(sp.Piecewise((sp.nan, sp.Mul(*flags) > 0), (sp.Integer(1), True)), "alive")


def _growth(tape: _Tape, terms: Sequence[sp.Expr], M: int) -> list[sp.Expr]:
    """``1, R, R², …``, ``R ≥ 1`` the growth of the terms between their first and their second half."""
    if M == 0:
        return [sp.Integer(1)] * len(terms)
    early, late = (sp.Add(*(u**2 for u in half)) for half in (terms[: len(terms) - M], terms[len(terms) - M :]))
    R = tape((1 + late / (early + _FLOOR**2)) ** sp.Rational(1, 2 * M), "ratio")
    powers = [sp.Integer(1), R]
    while len(powers) < len(terms):
        powers.append(tape(powers[-1] * R, f"ratio{len(powers)}"))
    return powers


def _solve(tape: _Tape, u: Sequence[sp.Expr], L: int, M: int) -> list[sp.Expr]:
    """``b_1 … b_M`` of least squares by modified Gram–Schmidt, the damping as further rows."""
    damping = tape(_DAMPING * sp.sqrt(sp.Add(*(v**2 for v in u))) + _FLOOR, "damping")
    zero = sp.Integer(0)
    columns = [
        [
            *(u[L + i - j] if L + i >= j else zero for i in range(1, M + 1)),
            *(damping if i == j else zero for i in range(1, M + 1)),
        ]
        for j in range(1, M + 1)
    ]
    columns.append([*(-u[L + i] for i in range(1, M + 1)), *([zero] * M)])
    triangle: list[list[sp.Expr]] = []
    for j in range(M):
        norm = tape(sp.sqrt(sp.Add(*(v**2 for v in columns[j]))), f"r{j}_{j}")
        unit = [tape(v / norm, f"e{j}_{i}") for i, v in enumerate(columns[j])]
        row = [norm]
        for k in range(j + 1, M + 1):
            pairs = list(zip(unit, columns[k], strict=True))
            row.append(tape(sp.Add(*(e * v for e, v in pairs)), f"r{j}_{k}"))
            columns[k] = [tape(v - row[-1] * e, f"v{j}_{k}_{i}") for i, (e, v) in enumerate(pairs)]
        triangle.append(row)
    solution: list[sp.Expr] = []
    for j in reversed(range(M)):
        norm, *middle, right = triangle[j]
        rest = sp.Add(*(r * x for r, x in zip(middle, solution, strict=True)))
        solution.insert(0, tape((right - rest) / norm, f"x{j}"))
    return solution
