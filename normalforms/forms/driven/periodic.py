"""Periodic and constant inputs in the limit ``T → ∞``: the slow flow around the fast oscillation.

``u_t = U_t + r_t`` with the linear response ``r_t = R cos(ω t + ψ)``, ``R = a/(2 sin(ω/2))``. Averaged over the
oscillation ``(U + r)³ = U³ + 3 U ⟨r²⟩ + ⟨r³⟩`` and ``(U + r)² = U² + ⟨r²⟩``: the parameter of a pitchfork moves by
``3⟨r²⟩``, a quadratic family sees the input ``−⟨r²⟩``, and ``U_0 = h0 − r_0``. ``⟨r²⟩ = R²/2`` but at ω = π, where it
is ``R² cos² ψ``; ``⟨r³⟩ = 0`` but at periods of three steps, where it is ``R³ cos(3ψ)/4`` and breaks the symmetry.
Within ``O(1/T)`` of these two frequencies the average drifts during the horizon, and no scaling law is stated.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import scipy  # its parts load when first used

from normalforms.forms.driven.inputs import Sinusoid
from normalforms.forms.driven.number import Number
from normalforms.forms.limits import PITCHFORK, SADDLE_NODE, STABILITY_FLIP

__all__ = ["averages", "limiting_flow", "mean_number", "phases", "sinusoid_values"]

Values = Callable[[float, float, np.ndarray], list[Number]]


def limiting_flow(kind: str, sign: float, x: float, beta: float, start: float) -> Number:
    """``∫ (∂_x H)² dτ`` of a family's limiting flow with a constant input β, by an integrator of order 8.

    ``H' = x H + β``; ``x H − sign H³ + β``; ``x H − H² + β``; ``x + β − H²``.

    Args:
        kind: name of the family.
        sign: of the cubic coefficient.
        x: distance from the bifurcation.
        beta: the input.
        start: ``H(0)``.

    Returns:
        A `Number`; infinite where the flow leaves for infinity.
    """
    rates = {
        "stability_flip": lambda h: (x * h + beta, x, h),
        "pitchfork": lambda h: (x * h - sign * h**3 + beta, x - 3 * sign * h * h, h),
        "transcritical": lambda h: (x * h - h * h + beta, x - 2 * h, h),
        "saddle_node": lambda h: (x + beta - h * h, -2 * h, 1.0),
    }
    rate = rates["pitchfork" if kind == "period_doubling" else kind]

    def flow(_: float, v: np.ndarray) -> list[float]:
        f, f_h, f_x = rate(v[0])
        return [f, f_h * v[1] + f_x, v[1] ** 2]

    gone = lambda _, v: 1e6 - abs(v[0])  # noqa: E731
    gone.terminal = True
    found = scipy.integrate.solve_ivp(
        flow, (0.0, 1.0), [start, 0.0, 0.0], method="DOP853", rtol=1e-12, atol=1e-30, events=gone
    )
    if found.status != 0:
        return Number(np.inf, status="the limiting flow escapes")
    value = float(found.y[2, -1])
    return Number(value, error=1e-10 * value, status="limiting flow, order 8")


def mean_number(parts: list[tuple[float, Number]]) -> Number:
    """``Σ_k w_k v_k`` with its error."""
    value = sum(w * v for w, v in parts)
    return Number(value, error=sum(w * v.error for w, v in parts), status=parts[0][1].status)


def averages(omega: float, psi: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """``⟨cos²⟩`` and ``⟨cos³⟩`` of ``ω t + ψ`` over integer t.

    >>> averages(1.0, np.zeros(1))
    (array([0.5]), array([0.]))
    """
    alternates = abs(np.sin(omega)) < 1e-9
    triple = abs(np.sin(1.5 * omega)) < 1e-9
    square = np.cos(psi) ** 2 if alternates else np.full(psi.shape, 0.5)
    return square, np.cos(3 * psi) / 4 if triple else np.zeros(psi.shape)


def phases(noise: Sinusoid, count: int) -> np.ndarray:
    """ψ of the response ``Re a e^{iφ} e^{iωt}/(e^{iω} − 1) = R cos(ω t + ψ)``."""
    if noise.phase is None:
        return 2 * np.pi * (np.arange(count) + 0.5) / count
    return np.array([float(noise.phase) - float(noise.omega) / 2 - np.pi / 2])


def sinusoid_values(kind: str, sign: float, noise: Sinusoid) -> Values:
    """Ψ of ``x``, ``y = T R²`` (``T² R²`` in quadratic families) and ``H(0)`` under a periodic input.

    Args:
        kind: name of the family.
        sign: of the cubic coefficient.
        noise: the input, in units where the nonlinear coefficient is ±1; its amplitude counts by its sign alone.
    """
    direction = np.sign(float(noise.a)) * np.sign(np.sin(float(noise.omega) / 2))

    def mean(x: float, y: float, start: float, count: int) -> Number:
        psi = phases(noise, count)
        square, cube = averages(float(noise.omega), psi)
        moved = start - direction * np.sqrt(y) * np.cos(psi)
        if kind == "stability_flip":
            values = STABILITY_FLIP(np.full(moved.shape, x), moved**2)
        elif kind == "saddle_node":
            values = SADDLE_NODE(x - y * square, moved)
        elif kind == "transcritical":
            return _flows(kind, 1.0, np.full(moved.shape, x), -y * square, moved)
        elif np.any(cube != 0):
            push = -sign * direction * y**1.5 * cube
            return _flows(kind, sign, x - 3 * sign * y * square, push, moved)
        else:
            values = np.abs(PITCHFORK(x - 3 * sign * y * square, sign * moved**2))
        return Number(float(np.mean(values)), status="autonomous scaling function, mean over phases")

    def one(x: float, y: float, start: float) -> Number:
        value, change = mean(x, y, start, 16), 0.0
        for count in (32, 64, 128, 256) if noise.phase is None else ():
            before, value = value, mean(x, y, start, count)
            change = abs(value - before) if np.isfinite(value) else np.inf
            if not change > 1e-11 * abs(value):
                break
        return Number(value, error=change + value.error + 1e-12 * abs(value), status=value.status)

    return lambda x, y, starts: [one(x, y, float(h)) for h in starts]


def _flows(kind: str, sign: float, x: np.ndarray, beta: np.ndarray, starts: np.ndarray) -> Number:
    found = [limiting_flow(kind, sign, *point) for point in zip(x, beta, starts, strict=True)]
    return mean_number([(1 / len(found), v) for v in found])
