"""A stabilised explicit integrator, for descent whose loss is curved far more across its way than along it.

The Runge–Kutta–Chebyshev pair of order two: s gradients a step reach ``0.65 s²`` relaxation times along the negative
real axis, where a classical pair of six reaches 3.3. Sommeijer, Shampine & Verwer, "RKC: an explicit solver for
parabolic PDEs", J. Comput. Appl. Math. 88 (1998).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.integrate import RK45, DenseOutput, OdeSolver
from scipy.interpolate import CubicHermiteSpline

__all__ = ["Chebyshev", "is_stiff"]

_DAMPING = 2 / 13
_MOST = 200  # stages of a step
_AGAIN = 25  # steps after which the spectral radius is found anew
_SAFE = 1.2  # times the radius, which power iteration finds from below
_CLOSE = 0.05  # of the radius, by which two iterations may differ
_NUDGE = 1e-3  # of the state's size: single precision must resolve what it does to the slope
_STIFF = 2.0  # relaxation times a step of the classical pair; it is stable up to 3.3


def is_stiff(solver: RK45) -> bool:
    """Whether a step of the classical pair was bounded by stability: the last two of its stages tell its curvature."""
    slopes, weights = solver.K / (solver.atol / solver.rtol), np.zeros(7)
    weights[:6] = solver.B
    weights[:5] -= solver.A[5]
    # the last two stages are both at the step's end, h (B − A_6)·K apart
    return bool(np.linalg.norm(slopes[6] - slopes[5]) > _STIFF * np.linalg.norm(weights @ slopes))


class Chebyshev(OdeSolver):
    """One more solver of SciPy's kind, for slopes whose derivative has real eigenvalues below zero.

    Args:
        fun: ``fun(t, y)``.
        t0, y0: where to begin.
        t_bound: where to end.
        first_step: its length, to be tried.
        rtol, atol: bounds on a step's error, relative and absolute, as of SciPy's.
    """

    def __init__(
        self,
        fun: Callable[[float, np.ndarray], np.ndarray],
        t0: float,
        y0: np.ndarray,
        t_bound: float,
        *,
        first_step: float,
        rtol: float,
        atol: Any,
    ) -> None:
        super().__init__(fun, t0, y0, t_bound, vectorized=False)
        self.rtol, self.atol, self.h = rtol, atol, first_step
        self.slope = self.before = self.fun(t0, y0)
        self.direction_of_fastest = self.slope
        self.any_direction = np.random.default_rng(0).normal(size=self.n)
        self.radius, self.age = 0.0, _AGAIN

    def _step_impl(self) -> tuple[bool, str | None]:
        y, f, h = self.y, self.slope, self.h
        unit = np.asarray(self.atol) / self.rtol
        while True:
            if self.age >= _AGAIN:
                self._measure()
            h = min(h, self.t_bound - self.t, 0.65 * (_MOST**2 - 1) / max(self.radius, 1e-300))
            if not h > 10 * np.spacing(abs(self.t)):
                return False, self.TOO_SMALL_STEP
            stages = max(2, 1 + int(np.sqrt(1 + 1.54 * h * self.radius)))
            new = self._stages(y, f, h, stages)
            slope = self.fun(self.t + h, new)
            error = 0.8 * (y - new) + 0.4 * h * (f + slope)
            size = np.linalg.norm(error / (unit + np.maximum(np.abs(y), np.abs(new)))) / np.sqrt(y.size) / self.rtol
            factor = float(np.clip(0.8 / max(size, 1e-10) ** (1 / 3), 0.1, 5)) if np.isfinite(size) else 0.1
            if size <= 1:
                break
            h *= factor
            self.age = _AGAIN if self.age else 0  # the curvature may have grown, unless it has just been measured
        self.age += 1
        self.before, self.slope, self.h = f, slope, h * factor
        self.t_old, self.t, self.y, self.y_before = self.t, self.t + h, new, y
        return True, None

    def _dense_output_impl(self) -> DenseOutput:
        return _Cubic(self.t_old, self.t, (self.y_before, self.y), (self.before, self.slope))

    def _stages(self, y: np.ndarray, f: np.ndarray, h: float, s: int) -> np.ndarray:
        """``y`` after a step, by Chebyshev's recursion."""
        w0 = 1 + _DAMPING / s**2
        T, D, C = _chebyshev(w0, s)
        w1 = D[s] / C[s]
        b = C[2:] / D[2:] ** 2
        b = np.concatenate([[b[0], 1 / w0], b])
        a = 1 - b * T
        last, middle = y, y + b[1] * w1 * h * f
        for j in range(2, s + 1):
            mu, nu, kappa = 2 * b[j] * w0 / b[j - 1], -b[j] / b[j - 2], 2 * b[j] * w1 / b[j - 1]
            push = self.fun(self.t, middle)  # the slope does not ask for the time
            new = (1 - mu - nu) * y + mu * middle + nu * last + kappa * h * (push - a[j - 1] * f)
            last, middle = middle, new
        return middle

    def _measure(self) -> None:
        """The spectral radius of the slope's derivative, by power iteration from where the last one ended."""
        unit = np.asarray(self.atol) / self.rtol
        away, radius = self.direction_of_fastest / unit, 0.0
        # what has come to rest has no part in the slope, and a little of every direction is needed
        away = away + 0.1 * np.linalg.norm(away) / np.sqrt(away.size) * self.any_direction
        reach = _NUDGE * np.linalg.norm(self.y / unit)
        for _ in range(50):
            away = away / np.linalg.norm(away)
            change = (self.fun(self.t, self.y + reach * away * unit) - self.slope) / unit / reach
            radius, old = float(np.linalg.norm(change)), radius
            if not radius > 0:
                break
            away = change
            if abs(radius - old) <= _CLOSE * radius:
                break
        self.radius, self.age, self.direction_of_fastest = _SAFE * radius, 0, away * unit


def _chebyshev(x: float, s: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Chebyshev's polynomials of degree 0 to s at x, with two derivatives."""
    T, D, C = (np.zeros(s + 1) for _ in range(3))
    T[0], T[1], D[1] = 1, x, 1
    for j in range(2, s + 1):
        T[j] = 2 * x * T[j - 1] - T[j - 2]
        D[j] = 2 * x * D[j - 1] - D[j - 2] + 2 * T[j - 1]
        C[j] = 2 * x * C[j - 1] - C[j - 2] + 4 * D[j - 1]
    return T, D, C


class _Cubic(DenseOutput):
    """Hermite's cubic between two ends of a step."""

    def __init__(self, t_old: float, t: float, ends: Any, slopes: Any) -> None:
        super().__init__(t_old, t)
        self.cubic = CubicHermiteSpline((t_old, t), np.stack(ends), np.stack(slopes))

    def _call_impl(self, t: Any) -> np.ndarray:
        return np.asarray(self.cubic(t)).T
