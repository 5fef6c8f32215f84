"""Entire functions that make closed forms regular at a bifurcation, for SymPy, NumPy and generated code.

``(gᵗ − 1)/(g − 1)`` and its relatives are written in ``M_k(z) = ∫₀¹ xᵏ e^{zx} dx`` and
``C_k(z) = i_k(√z)/√zᵏ`` (modified spherical Bessel functions). Both families are entire, closed under
differentiation, ``M_k' = M_{k+1}`` and ``C_k' = C_{k+1}/2``, and positive for ``z ≥ 0``: nothing
cancels and nothing is singular at ``z = 0``.
"""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import mpmath
import numpy as np
import sympy as sp

__all__ = ["CLIFFORD_LIMIT", "Clifford", "ExpMoment", "clifford", "expmoment", "moment_terms"]


class ExpMoment(sp.Function):
    """``M_k(z) = ∫₀¹ xᵏ e^{zx} dx``, the moments of the exponential; ``M_0(z) = (e^z − 1)/z``.

    ``M_k' = M_{k+1}``; ``rewrite(exp)`` gives the elementary form, singular to the eye at ``z = 0``.
    Source: DLMF 8.2.7 and 13.4.1 (Kummer's function).

    >>> z = sp.Symbol("z")
    >>> ExpMoment(0, z).rewrite(sp.exp)
    (exp(z) - 1)/z
    >>> ExpMoment(0, z).diff(z)
    ExpMoment(1, z)
    >>> ExpMoment(3, 0)
    1/4
    """

    nargs = 2
    definition = r"M_k(z) &= \int_0^1 \xi^k e^{z \xi}\, d\xi"

    @classmethod
    def eval(cls, k: Any, z: Any) -> Any:
        """The value at the origin, ``M_k(0) = 1/(k + 1)``; ``None``, no evaluation, elsewhere."""
        if z.is_zero:
            return 1 / (k + 1)
        return None

    def fdiff(self, argindex: int = 2) -> Any:
        """The derivative with respect to z, ``M_{k+1}(z)``; k is an index and has none."""
        if argindex != 2:
            raise sp.ArgumentIndexError(self, argindex)
        k, z = self.args
        return ExpMoment(sp.Add(k, 1), z)

    def _eval_rewrite_as_exp(self, k: Any, z: Any, **_: Any) -> Any:
        value = (sp.exp(z) - 1) / z
        for j in range(1, int(k) + 1):
            value = (sp.exp(z) - j * value) / z
        return value

    def _eval_evalf(self, prec: int) -> Any:
        k, z = self.args
        if not z.is_number:
            return None
        with mpmath.workprec(prec + 10):
            k, z = int(k), z._to_mpmath(prec + 10)
            value = mpmath.hyp1f1(k + 1, k + 2, z) / (k + 1)
        return sp.Expr._from_mpmath(value, prec)

    def _latex(self, printer: Any, **_: Any) -> str:
        return rf"M_{{{printer._print(self.args[0])}}}\left({printer._print(self.args[1])}\right)"


class Clifford(sp.Function):
    """``C_k(z) = i_k(√z)/√zᵏ``; ``C_{−1} = cosh √z``, ``C_0 = sinh(√z)/√z``, ``C_k' = C_{k+1}/2``.

    Oscillatory for ``z < 0`` (``C_{−1} = cos √−z``) and regular at 0.
    Source: DLMF 10.47.7 and 10.51.4 (modified spherical Bessel functions), ``k ≥ −1``.

    >>> z = sp.Symbol("z", positive=True)
    >>> Clifford(-1, z).rewrite(sp.cosh), Clifford(0, z).diff(z)
    (cosh(sqrt(z)), Clifford(1, z)/2)
    """

    nargs = 2
    definition = r"C_{-1}(z) &= \cosh\sqrt{z},\quad C_0(z) = \sinh(\sqrt{z})/\sqrt{z},\quad C_{k+1} = 2 C_k'"

    @classmethod
    def eval(cls, k: Any, z: Any) -> Any:
        """The value at the origin, ``C_k(0) = 1/(2k + 1)!!``; ``None``, no evaluation, elsewhere."""
        if z.is_zero:
            return 1 / sp.factorial2(2 * k + 1)
        return None

    def fdiff(self, argindex: int = 2) -> Any:
        """The derivative with respect to z, ``C_{k+1}(z)/2``; k is an index and has none."""
        if argindex != 2:
            raise sp.ArgumentIndexError(self, argindex)
        k, z = self.args
        return sp.Mul(sp.S.Half, Clifford(sp.Add(k, 1), z))

    def _eval_rewrite_as_cosh(self, k: Any, z: Any, **_: Any) -> Any:
        root = sp.sqrt(z)
        before, value = sp.cosh(root), sp.sinh(root) / root
        if k == -1:
            return before
        for j in range(int(k)):
            before, value = value, (before - (2 * j + 1) * value) / z
        return value

    def _eval_evalf(self, prec: int) -> Any:
        k, z = self.args
        if not z.is_number:
            return None
        with mpmath.workprec(prec + 10):
            k, z = int(k), z._to_mpmath(prec + 10)
            value = mpmath.hyp0f1(k + mpmath.mpf(3) / 2, z / 4) / mpmath.fac2(2 * k + 1)
        return sp.Expr._from_mpmath(value, prec)

    def _latex(self, printer: Any, **_: Any) -> str:
        return rf"C_{{{printer._print(self.args[0])}}}\left({printer._print(self.args[1])}\right)"


@cache
def moment_terms(k: int) -> int:
    """Number of Taylor terms of ``M_k`` that reach float64 on ``|z| ≤ k``, where the recurrence is unstable."""
    n, term = 1, float(k)
    while term > 1e-17:
        n += 1
        term *= k / n
    return n


CLIFFORD_LIMIT = 12.0
"""Taylor series of ``C_k`` below, recurrence above this ``|z|`` (times ``k + 1``)."""


def expmoment(k: int, z: Any) -> np.ndarray:
    """``M_k(z)`` in float64, elementwise, to a few units in the last place for ``k ≤ 4``.

    Series without cancellation for ``|z| < k`` (Kummer's transformation when ``z < 0``), upward recurrence
    ``M_k = (e^z − k M_{k−1})/z`` elsewhere.

    >>> float(expmoment(0, 0.0)), float(expmoment(1, 0.0))
    (1.0, 0.5)
    """
    z = np.asarray(z, dtype=float)
    safe = np.where(z == 0, 1.0, z)
    value = np.where(z == 0, 1.0, np.expm1(safe) / safe)
    if k == 0:
        return value
    growth = np.exp(z)
    for j in range(1, k + 1):
        value = (growth - j * value) / safe
    small = np.minimum(np.abs(z), k)
    rising, falling = np.zeros_like(z), np.zeros_like(z)
    for j in range(moment_terms(k), -1, -1):
        rising = rising * small + 1.0 / (math.factorial(j) * (j + k + 1))
        falling = falling * small + math.factorial(k) / math.factorial(k + 1 + j)
    return np.where(np.abs(z) < k, np.where(z < 0, growth * falling, rising), value)


def clifford(k: int, z: Any) -> np.ndarray:
    """``C_k(z)`` in float64, elementwise; absolute error a few units in the last place of ``C_k(|z|)``.

    >>> float(clifford(0, 0.0)), round(float(clifford(-1, -1.0)), 12)
    (1.0, 0.540302305868)
    """
    z = np.asarray(z, dtype=float)
    root = np.sqrt(np.abs(z))
    before = np.where(z < 0, np.cos(root), np.cosh(root))
    if k == -1:
        return before
    safe = np.where(z == 0, 1.0, root)
    value = np.where(z == 0, 1.0, np.where(z < 0, np.sin(safe), np.sinh(safe)) / safe)
    if k == 0:
        return value
    divisor = np.where(z == 0, 1.0, z)
    for j in range(k):
        before, value = value, (before - (2 * j + 1) * value) / divisor
    limit = CLIFFORD_LIMIT * (k + 1)
    small = np.clip(z, -limit, limit)
    series = np.zeros_like(z)
    for j in range(24 + 6 * k, -1, -1):
        series = series * small + 1.0 / (2.0**j * math.factorial(j) * math.prod(range(1, 2 * (k + j) + 2, 2)))
    return np.where(np.abs(z) < limit, series, value)
