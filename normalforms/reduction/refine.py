"""Newton's method from a point that is nearly a bifurcation to the bifurcation itself, with 50 digits."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import mpmath
import sympy as sp

from normalforms.maps import Map
from normalforms.reduction.cycle import chain

__all__ = ["distance", "refined"]

_DIGITS, _STEP = 100, mpmath.mpf(10) ** -35
_NEAR = 0.05
"""Distance from the unit circle of a multiplier that a few digits more may bring there."""
_SHORT = 10**6
"""Denominator of the fractions that a refined number may turn out to be."""


def refined(
    m: Map, point: Mapping[sp.Symbol, sp.Expr], parameter: sp.Symbol, period: int, reach: float
) -> dict[sp.Symbol, sp.Expr] | None:
    """The bifurcation next to ``point``: state and ``parameter`` moved, to 50 digits; ``None`` where there is none.

    With ``Φ = f^n(h, μ) − h`` and ``g`` the singularity of ``∂f^n/∂h ∓ 1`` (of a bordered matrix) the equations are
    ``Φ = 0, g = 0``, regular at folds and flips. Where they are singular, at branch points, they are
    ``Φ + k b = 0, g = 0, ⟨p, Φ_μ⟩ = 0`` with the unfolding ``k``, which must come out as zero. For a pair,
    ``|λ|² = 1`` takes the place of ``g``.

    Args:
        m: the map.
        point: values of all states and parameters.
        parameter: the one that moves.
        period: n.
        reach: largest move of the parameter, relative to its size (at least 1e-3); the state may move a hundred times
            as far, since it is found by an iteration that converges slowly next to a bifurcation.

    Source: Govaerts, Numerical Methods for Bifurcations of Dynamical Equilibria, ch. 3 (bordered systems).
    """
    with mpmath.workdps(_DIGITS):
        start = [mpmath.mpmathify(sp.N(point[s], 60)) for s in (*m.states, parameter)]
        sign = _sign(m, point, parameter, period, start)
        if sign is None:
            return None
        for branch in (False, True) if sign == 1 else (False,):
            system = _system(m, point, parameter, period, sign, branch, start)
            found = _newton(system, [*start, mpmath.mpf(0)] if branch else start, start, reach)
            if found is None or (branch and abs(found[-1]) > mpmath.mpf(10) ** -45 * (1 + max(map(abs, start)))):
                continue
            moved = [_short(v) for v in found[: len(start)]]
            return dict(point) | dict(zip((*m.states, parameter), moved, strict=True))
    return None


def distance(m: Map, point: Mapping[sp.Symbol, Any], parameter: sp.Symbol, period: int) -> Any:
    """How far the nearest multiplier of a fixed point or cycle lies from the unit circle."""
    z = [mpmath.mpmathify(sp.N(point[s], 60)) for s in (*m.states, parameter)]
    try:
        _, total = _round(m, z, point, parameter, period)
        return min(abs(abs(v) - 1) for v in _multipliers(total[:, : m.dimension]))
    except (TypeError, ZeroDivisionError, NameError, ValueError, OverflowError):
        return mpmath.inf


def _short(value: Any) -> sp.Rational:
    """50 digits, or the short fraction that agrees to 45 of them."""
    exact = sp.Rational(mpmath.nstr(value, 50))
    short = exact.limit_denominator(_SHORT)
    return short if abs(exact - short) <= sp.Rational(1, 10**45) * max(1, abs(short)) else exact


Vector = list[Any]


def _round(m: Map, z: Vector, point: Mapping[sp.Symbol, Any], parameter: sp.Symbol, period: int) -> tuple[Vector, Any]:
    """``f^n`` and its derivative by states and the parameter, an n × (n + 1) matrix, by the chain rule."""
    others = {s: mpmath.mpmathify(sp.N(point[s], 60)) for s in m.parameters} | {parameter: z[m.dimension]}
    return chain(m, z[: m.dimension], others, period, parameter)


def _sign(m: Map, point: Mapping[sp.Symbol, Any], parameter: sp.Symbol, period: int, z: Vector) -> int | None:
    """1 or −1 for a real multiplier next to it, 0 for a pair next to the circle; ``None`` where there is none."""
    _, total = _round(m, z, point, parameter, period)
    with mpmath.workdps(30):
        multipliers = _multipliers(total[:, : m.dimension])
    near = sorted(multipliers, key=lambda v: abs(abs(v) - 1))
    if not near or not abs(abs(near[0]) - 1) < _NEAR:
        return None
    if abs(near[0].imag) > 1e-3:
        return 0
    return 1 if near[0].real > 0 else -1


def _multipliers(matrix: Any) -> Vector:
    return [mpmath.mpc(matrix[0])] if matrix.rows == 1 else list(mpmath.eig(matrix, left=False, right=False))


def _system(
    m: Map, point: Mapping[sp.Symbol, Any], parameter: sp.Symbol, period: int, sign: int, branch: bool, start: Vector
) -> Callable[[Vector], Vector]:
    n = m.dimension
    _, total = _round(m, start, point, parameter, period)
    right, left = _border(total[:, :n] - sign * mpmath.eye(n)) if sign else (None, None)

    def equations(z: Vector) -> Vector:
        state, total = _round(m, z, point, parameter, period)
        gap = [a - b for a, b in zip(state, z, strict=False)]
        jacobian = total[:, :n]
        if not sign:
            upper = [v for v in _multipliers(jacobian) if v.imag > 0]
            pair = min(upper, key=lambda v: abs(abs(v) - 1))
            return [*gap, abs(pair) ** 2 - 1]
        _, g, p = _singularity(jacobian - sign * mpmath.eye(n), right, left)
        if not branch:
            return [*gap, g]
        force = mpmath.fsum(p[i] * total[i, n] for i in range(n))
        return [*(a + z[n + 1] * b for a, b in zip(gap, left, strict=True)), g, force]

    return equations


def _border(matrix: Any) -> tuple[Vector, Vector]:
    """Right and left singular vectors of the smallest singular value, to a few digits."""
    with mpmath.workdps(20):
        u, _, v = mpmath.svd_r(matrix)
    n = matrix.rows
    return [v[n - 1, i] for i in range(n)], [u[i, n - 1] for i in range(n)]


def _singularity(matrix: Any, right: Vector, left: Vector) -> tuple[Vector, Any, Vector]:
    """``v, g, p`` of the bordered matrix: ``M v + b g = 0, ⟨c, v⟩ = 1`` and ``Mᵀ p + c g = 0, ⟨b, p⟩ = 1``."""
    n = matrix.rows
    bordered = mpmath.zeros(n + 1)
    bordered[:n, :n] = matrix
    for i in range(n):
        bordered[i, n], bordered[n, i] = left[i], right[i]
    unit = mpmath.zeros(n + 1, 1)
    unit[n] = 1
    v, p = mpmath.lu_solve(bordered, unit), mpmath.lu_solve(bordered.T, unit)
    return list(v)[:n], v[n], list(p)[:n]


def _newton(system: Callable[[Vector], Vector], z: Vector, start: Vector, reach: float) -> Vector | None:
    """The root next to ``start``; ``None`` where the steps do not shrink to 50 digits or leave the ``reach``."""
    size = [100 * max(abs(v), mpmath.mpf("1e-3")) for v in start]
    size[-1] /= 100
    for _ in range(60):
        try:
            value = system(z)
            matrix = mpmath.zeros(len(z))
            for k in range(len(z)):
                ahead = system([v + _STEP * (i == k) for i, v in enumerate(z)])
                for i, (a, b) in enumerate(zip(ahead, value, strict=True)):
                    matrix[i, k] = (a - b) / _STEP
            if abs(mpmath.det(matrix)) < mpmath.mpf(10) ** -12:
                return None
            move = mpmath.lu_solve(matrix, mpmath.matrix([-v for v in value]))
        except (ArithmeticError, ValueError, TypeError, RuntimeError, mpmath.libmp.NoConvergence):
            return None
        z = [a + b for a, b in zip(z, move, strict=True)]
        if any(
            isinstance(v, mpmath.mpc) or not abs(v - a) <= reach * s for v, a, s in zip(z, start, size, strict=False)
        ):
            return None
        if max(map(abs, move)) < mpmath.mpf(10) ** -55:
            return z
    return None
