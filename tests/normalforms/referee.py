"""The amplification of any map by iteration with fifty digits and more, and a radius that is proven.

Nothing here uses the package: a map is read and differentiated by SymPy. Midpoints are exact numbers; the distance of
the true orbit from them obeys ``e' ≤ ‖J‖ e + rounding`` with J over the whole ball (mean-value form), in the norm of
the eigenvectors at the bifurcation, in which a rotation does not grow. The sensitivities are carried in the same way.
Digits are doubled until twenty of them are proven.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import sympy as sp
from flint import arb, ctx

_FUNCTIONS = {name: (lambda v, name=name: getattr(arb(v), name)()) for name in ("exp", "sin", "cos", "tanh")}
_FUNCTIONS["power"] = lambda v, k: 1 / _power(arb(v), -k) if k < 0 else _power(arb(v), k)
_BITS = (170, 680, 2720, 10880, 43520)
_MOST_STEPS = 3e7
"""Bits times steps that one orbit may cost."""
_WANTED = arb("1e-20")
_HUGE = arb("1e320")


def _power(v: arb, k: int) -> arb:
    """By products: python-flint's own power of a ball around zero is no number."""
    if k < 2:
        return v if k else arb(1)
    half = _power(v, k // 2)
    return half * half * v if k % 2 else half * half


@dataclass(frozen=True)
class Truth:
    """``A_T`` and its radius, relative to it; infinite where it is beyond 1e320."""

    value: float
    radius: float


@dataclass(frozen=True)
class Referee:
    """Certified iteration of one map.

    Args:
        steps: formulas of the next states, ``^`` for powers.
        states: their names.
        parameters: names of the parameters.
        basis: rows in whose norm errors are measured; by default the identity.
    """

    steps: tuple[str, ...]
    states: tuple[str, ...]
    parameters: tuple[str, ...]
    basis: tuple[tuple[float, ...], ...] | None = None

    def truths(self, g: Sequence[float], h0: Sequence[float], horizons: Sequence[int]) -> dict[int, Truth]:
        """``A_T`` at each horizon for which twenty digits can be paid."""
        found: dict[int, Truth] = {}
        for bits in _BITS:
            left = [T for T in sorted(horizons) if T not in found and bits * T <= _MOST_STEPS]
            if not left:
                break
            with ctx.workprec(bits):
                found |= self._iterated(g, h0, left)
        return found

    def _iterated(self, g: Sequence[float], h0: Sequence[float], horizons: Sequence[int]) -> dict[int, Truth]:
        n, p = len(self.states), len(self.parameters)
        compute = _compiled(self)
        numbers, at = _constants(self), [arb(v) for v in g]
        frame = _Frame(self.basis, n)
        mid, error = [arb(v) for v in h0], arb(0)
        rates, rates_error = [[arb(0)] * n for _ in range(p)], [arb(0)] * p
        gram = [[arb(0)] * p for _ in range(p)]
        out: dict[int, Truth] = {}
        for t in range(1, horizons[-1] + 1):
            ball = frame.ball(mid, error)
            there = compute.slopes(*ball, *at, *numbers)
            jacobian = [there[i * n : (i + 1) * n] for i in range(n)]
            growth = frame.norm(jacobian)
            for k in range(p):
                drive = there[n * n + k * n : n * n + (k + 1) * n]
                moved = [_dot(jacobian[i], rates[k]) + drive[i] for i in range(n)]
                rates[k], rounding = frame.centred(moved)
                rates_error[k] = (growth * rates_error[k] + rounding).abs_upper()
            mid, rounding = frame.centred(compute.steps(*mid, *at, *numbers))
            error = (growth * error + rounding).abs_upper()
            balls = [frame.ball(r, e) for r, e in zip(rates, rates_error, strict=True)]
            gram = [[gram[a][b] + _dot(balls[a], balls[b]) for b in range(p)] for a in range(p)]
            top = _top(gram)
            if not top.is_finite():
                break  # more digits, or a pole
            if top > _HUGE or any(abs(v) > arb("1e1000") for v in mid):
                out |= {T: Truth(math.inf, 0.0) for T in horizons if t <= T}
                break
            if t in horizons and (top.rad() <= _WANTED * abs(top) or top.abs_upper() < arb("1e-290")):
                out[t] = Truth(float(top.mid()), float((top.rad() / (abs(top) + arb("1e-300"))).abs_upper()))
        return out


def _dot(a: Sequence[arb], b: Sequence[arb]) -> arb:
    total = a[0] * b[0]
    for u, v in zip(a[1:], b[1:], strict=True):
        total += u * v
    return total


def _top(gram: list[list[arb]]) -> arb:
    if len(gram) == 1:
        return gram[0][0]
    (a, b), (_, d) = gram
    return (a + d + _dot((a - d, 2 * b), (a - d, 2 * b)).sqrt()) / 2


class _Frame:
    """Balls in the norm ``|P v|``."""

    def __init__(self, basis: Any, n: int) -> None:
        self.n = n
        if n == 1:
            return
        P = sp.Matrix(n, n, [sp.Rational(v) for row in basis or ((1, 0), (0, 1)) for v in row])
        self.P, self.inverse = ([[arb(int(v.p)) / int(v.q) for v in m.row(i)] for i in range(n)] for m in (P, P.inv()))
        self.reach = [_dot(row, row).sqrt().abs_upper() for row in self.inverse]

    def ball(self, mid: Sequence[arb], error: arb) -> list[arb]:
        if self.n == 1:
            return [arb(mid[0], error)]
        return [arb(m, (error * r).abs_upper()) for m, r in zip(mid, self.reach, strict=True)]

    def centred(self, values: Sequence[arb]) -> tuple[list[arb], arb]:
        """Midpoints, and how far in the norm the values may lie from them."""
        mids, radii = [v.mid() for v in values], [v.rad() for v in values]
        if self.n == 1:
            return mids, radii[0]
        parts = [sum((abs(a) * r for a, r in zip(row, radii, strict=True)), arb(0)) for row in self.P]
        return mids, _dot(parts, parts).sqrt()

    def norm(self, matrix: list[list[arb]]) -> arb:
        """The largest singular value of ``P M P⁻¹``."""
        if self.n == 1:
            return abs(matrix[0][0])
        columns = list(zip(*self.inverse, strict=True))
        half = [[_dot(row, column) for column in zip(*matrix, strict=True)] for row in self.P]
        (a, b), (c, d) = [[_dot(row, column) for column in columns] for row in half]
        mean, off = (_dot((v, w), (v, w)).abs_upper().sqrt() for v, w in ((a + d, b - c), (a - d, b + c)))
        return (mean + off) / 2


@dataclass(frozen=True)
class _Functions:
    steps: Callable[..., list[arb]]
    slopes: Callable[..., list[arb]]


@cache
def _expressions(of: Referee) -> tuple[list[sp.Expr], list[sp.Rational]]:
    names = {name: sp.Symbol(name) for name in (*of.states, *of.parameters)}
    read = [sp.sympify(text.replace("^", "**"), locals=names, rational=True) for text in of.steps]
    fractions = sorted({v for e in read for v in e.atoms(sp.Rational) if not v.is_Integer}, key=str)
    return read, fractions


def _constants(of: Referee) -> list[arb]:
    """The map's fractions at the working precision."""
    return [arb(int(v.p)) / int(v.q) for v in _expressions(of)[1]]


@cache
def _compiled(of: Referee) -> _Functions:
    read, fractions = _expressions(of)
    symbols = [sp.Symbol(f"constant{i}") for i in range(len(fractions))]
    steps = [e.xreplace(dict(zip(fractions, symbols, strict=True))) for e in read]
    x, g = [sp.Symbol(v) for v in of.states], [sp.Symbol(v) for v in of.parameters]
    slopes = [f.diff(v) for f in steps for v in x] + [f.diff(v) for v in g for f in steps]
    power = sp.Function("power")
    whole = lambda e: e.is_Pow and e.exp.is_Integer  # noqa: E731
    products = lambda e: sp.sympify(e).replace(whole, lambda v: power(v.base, v.exp))  # noqa: E731
    make = lambda e: sp.lambdify([*x, *g, *symbols], [*map(products, e)], modules=[_FUNCTIONS], cse=True)  # noqa: E731
    numbers = lambda f: lambda *v: [arb(w) for w in f(*v)]  # noqa: E731
    return _Functions(numbers(make(steps)), numbers(make(slopes)))
