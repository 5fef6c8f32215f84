"""The strongly driven pitchfork: stationary moments, exponents, and where the mean stops existing.

In units of ``σ``: ``v = u/√σ``, time ``σ t``, ``m = (g − 1)/σ``,

    dv = (m v − v³) dτ + dB,   dz = ((m − 3v²) z + v) dτ,   p(v) ∝ exp(m v² − v⁴/2).

With ``V' = v³ − m v`` and ``S = ½ ∂² − ½ (V'² − V'')`` the moments ``f_k = p^{−1/2} E[z^k | v] p`` solve

    (S − V'') f₁ = −v √p,   (S − 2 V'') f₂ = −2 v f₁,   κ = ∫ √p f₂ dv,

and ``E |z|^q ~ e^{L(q) τ}`` with L(q) the top eigenvalue of ``S − q V''``. These operators are confining with smooth,
fast decaying eigenfunctions: sinc collocation on a uniform grid converges faster than any power (Stenger, *Numerical
Methods Based on Sinc and Analytic Functions*, 1993). The error given is the change from a grid 4/3 as fine.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
import scipy  # its parts load when first used
import sympy as sp

from normalforms.forms.driven.number import Number
from normalforms.formulas import Carry, Domain, Formula, Program, check_real, symbols

__all__ = [
    "LIMIT",
    "converged",
    "exponent_formula",
    "moment_exponent",
    "sinc_second",
    "stationary_moment",
    "subcritical_exponent",
    "subcritical_growth",
    "tail_index",
    "threshold_ratio",
]

LIMIT = 100.0
"""Largest |m| of the grids."""
_TURNS = 400
_SPAN = 160.0  # e^{-80} is left out at the ends


def _checked(m: float) -> float:
    m = float(check_real(m, "m"))
    if abs(m) > LIMIT:
        raise ValueError(f"m = {m:g} is beyond ±{LIMIT:g}; there the noise is weak: use scaling()")
    return m


def sinc_second(count: int, h: float) -> np.ndarray:
    """The second derivative on so many points a step h apart, by sinc collocation."""
    k = np.arange(count)
    apart = k[:, None] - k[None, :]
    second = -2.0 * (-1.0) ** (apart % 2) / np.where(apart == 0, 1, apart) ** 2 / h**2
    np.fill_diagonal(second, -(np.pi**2) / 3 / h**2)
    return second


def _operators(m: float, n: int) -> tuple[np.ndarray, float, np.ndarray, np.ndarray, np.ndarray]:
    """Grid, its step, ``S``, ``V''`` and ``√p`` on ``2n + 1`` points."""
    h = np.sqrt(m + np.sqrt(m * m + _SPAN)) / n
    second, v = sinc_second(2 * n + 1, h), h * np.arange(-n, n + 1)
    slope, curve = v**3 - m * v, 3 * v**2 - m
    root = np.exp((m * v**2 - v**4 / 2 - max(m, 0.0) ** 2 / 2) / 2)
    return v, h, second / 2 - np.diag((slope**2 - curve) / 2), curve, root / np.sqrt(h * np.sum(root**2))


def _kappa(m: float, n: int) -> float:
    v, h, S, curve, root = _operators(m, n)
    first = scipy.linalg.solve(S - np.diag(curve), -v * root, assume_a="sym")
    second = scipy.linalg.solve(S - 2 * np.diag(curve), -2 * v * first, assume_a="sym")
    return float(h * np.sum(root * second))


def _growth(m: float, order: float, n: int) -> float:
    return _top(m, order, n)[0]


def _top(m: float, order: float, n: int) -> tuple[float, float]:
    """The top eigenvalue of ``S − q V''``, and its slope in q, the mean of ``−V''`` over the square of its function."""
    _, _, S, curve, _ = _operators(m, n)
    top = len(curve) - 1
    values, vectors = scipy.linalg.eigh(S - order * np.diag(curve), subset_by_index=[top, top])
    return float(values[0]), float(-np.sum(curve * vectors[:, 0] ** 2))


def subcritical_growth(m: float, order: float) -> Number:
    """``L(q; m)`` of ``dv = (m v + v³) dτ + dB``, of orbits that stay: the supercritical ``L(1 − q; −m)``.

    ``½∂² − ½f² + (q − ½) f'`` is the operator of both, and ``f → −f`` takes q to ``1 − q``.
    """
    return converged(lambda m, n: _growth(-m, 1 - order, n), _checked(m), "sinc collocation", 90 + int(4 * abs(m)))


def subcritical_exponent(m: float) -> Number:
    """``L'(0; m)`` of the same, the exponent of an orbit that stays in the limit of long times."""
    return converged(lambda m, n: -_top(-m, 1.0, n)[1], _checked(m), "sinc collocation", 90 + int(4 * abs(m)))


def converged(function: Callable[[float, int], float], m: float, status: str, points: int | None = None) -> Number:
    """A function of m and of the number of points, with its change from three quarters of them as its error."""
    n = 48 + int(3 * max(m, 0.0)) if points is None else points
    value = function(m, 4 * n // 3)
    return Number(value, error=abs(value - function(m, n)) + 4e-14 * max(1.0, abs(value)), status=status)


def stationary_moment(m: float) -> Number:
    """``κ(m) = E z²``: strongly driven, ``E A_T → κ(m) T/σ`` at ``g = 1 + m σ``.

    It tends to ``1/(4|m|³)`` as ``m → −∞`` and is infinite from `threshold_ratio` on.

    Args:
        m: ``(g − 1)/σ``, at most 100 in size.

    Returns:
        A `Number` with its error; infinite where the second moment does not exist.

    >>> round(stationary_moment(0.0), 12)
    0.106437958172
    """
    m = _checked(m)
    if m >= threshold_ratio():
        return Number(np.inf, status="no stationary second moment: it grows like exp(moment_exponent(m) σ T)")
    return converged(_kappa, m, "sinc collocation")


def moment_exponent(m: float, order: float = 2.0) -> Number:
    """``L(q; m)`` in units of σ per step: ``E |z|^q ~ e^{L(q) σ T}``, the top eigenvalue of ``S − q V''``.

    Where ``L(2) > 0`` the mean of ``A_T`` grows like ``e^{L(2) σ T}``, although every orbit's own exponent is negative.

    Args:
        m: ``(g − 1)/σ``, at most 100 in size.
        order: q, at least 0.

    >>> round(moment_exponent(2.0), 5)
    1.30319
    """
    m, order = _checked(m), float(check_real(order, "order"))
    if not 0 <= order <= 20:
        raise ValueError(f"order = {order:g} must lie between 0 and 20")
    return converged(lambda m, n: _growth(m, order, n), m, "sinc collocation")


@cache
def threshold_ratio() -> Number:
    """``m_c``, the zero of ``L(2; m)``: above ``g = 1 + m_c σ`` the mean of the amplification grows exponentially.

    >>> round(threshold_ratio(), 10)
    1.0243090298
    """
    root = [scipy.optimize.brentq(lambda m, n=n: _growth(m, 2.0, n), 0.5, 1.5, xtol=1e-15) for n in (50, 66)]
    return Number(root[1], error=abs(root[1] - root[0]) + 4e-14, status="root of the top eigenvalue")


def tail_index(m: float) -> Number:
    """``α(m)``, the positive root of ``L(α; m) = 0``: sensitivities have the tail ``P(|z| > Z) ~ Z^{−α}``.

    For ``1 < α`` the mean of |z| exists, for ``2 < α`` that of ``A``; the sum over n orbits grows like ``n^{2/α}``
    where ``α < 2``. It is 2 at `threshold_ratio` (Kesten, Acta Math. 131, 1973, for products of random factors).

    Raises:
        ValueError: m outside [−10, 10], where the root is out of reach.

    >>> round(tail_index(float(threshold_ratio())), 9)
    2.0
    """
    m = _checked(m)
    if abs(m) > 10:
        raise ValueError(f"m = {m:g}: the tail index is computed for |m| ≤ 10")
    if m <= 0:  # the growth rate m − 3v² is nowhere positive
        return Number(np.inf, status="every moment exists")
    found = []
    for n in (48 + int(3 * max(m, 0.0)), 64 + int(4 * max(m, 0.0))):
        grows = lambda q, n=n: _growth(m, q, n)  # noqa: E731
        high = 1.0
        while grows(high) < 0 and high < 4096:
            high *= 2
        if grows(high) < 0:
            return Number(np.inf, status="every moment up to order 4096 exists")
        low = high / 2
        while grows(low) > 0:
            low /= 2
        found.append(scipy.optimize.brentq(grows, low, high, xtol=1e-13))
    return Number(found[1], error=abs(found[1] - found[0]) + 1e-12, status="root of the top eigenvalue")


def exponent_formula() -> Formula:
    """``Λ(m) = E(m − 3v²) = m − 3 Z'(m)/Z(m)``, in units of σ per step; every orbit's exponent, always negative.

    ``Z(m) = ∫ e^{m v² − v⁴/2} dv``, in Kummer's functions. ``Λ(0) = −3√2 Γ(3/4)/Γ(1/4)``; Λ → m as m → −∞ and
    −2m as m → ∞ (Crauel & Flandoli, J. Dyn. Differ. Equ. 10, 1998: noise destroys the pitchfork). The program is the
    trapezoidal rule, which converges geometrically here.

    >>> round(exponent_formula()(0.0), 10)
    -1.4339663925
    """
    m, t, Z, M, v, step, p = symbols("m t Z M v step p")
    quarter = sp.Rational(1, 4)
    kummer = lambda a, b: sp.hyper([a], [b], m**2 / 2)  # noqa: E731
    even, odd = sp.gamma(quarter), sp.sqrt(2) * sp.gamma(3 * quarter)
    total = even * kummer(quarter, 2 * quarter) + odd * m * kummer(3 * quarter, 6 * quarter)
    slope = even * m * kummer(5 * quarter, 6 * quarter) / 2
    slope += odd * (kummer(3 * quarter, 6 * quarter) + m**2 * kummer(7 * quarter, 10 * quarter) / 2)
    height = (m + sp.Abs(m)) ** 2 / 8
    program = Program(
        (m,),
        (m - 3 * M / Z,),
        prelude=((step, sp.sqrt(m + sp.sqrt(m**2 + _SPAN)) / _TURNS),),
        carries=(Carry(Z, sp.exp(-height) / 2, Z + p), Carry(M, sp.Integer(0), M + p * v**2)),
        body=((v, t * step), (p, sp.exp(m * v**2 - v**4 / 2 - height))),
        counter=t,
        horizon=sp.Integer(_TURNS),
    )
    domain = Domain(f"|m| ≤ {LIMIT:g}", holds=lambda m: np.abs(m) <= LIMIT)
    return Formula(m - 3 * slope / total, (m,), domain, program=program)
