"""Where a periodic input puts the pitchfork."""

from __future__ import annotations

import numpy as np
from scipy.optimize import brentq

from normalforms.forms.driven.number import Number
from normalforms.forms.driven.orbits import Drive

__all__ = ["half_period"]


def half_period(drive: Drive, a: float, omega: float, shift: float) -> Number:
    """Where the symmetric orbit under a periodic input has multiplier 1: ``Π_{t<P/2} f_h(u_t, g) = 1``, ``P = 2π/ω``.

    ``u_{t+P/2} = −u_t``, by Newton's method on the half period; the pitchfork of the half-period map
    ``u → −f^{P/2}(u)`` breaks this symmetry.

    Args:
        drive: an odd map.
        a: amplitude. omega: radians per step.
        shift: the root's distance from 1 to first order.

    Returns:
        The root where ``P/2`` is a whole number of steps, else ``1 + shift``.
    """
    half = np.pi / omega
    steps = round(half)
    if abs(half - steps) > 1e-9 * half or steps < 1:
        return Number(1 + shift, error=3 * shift**2 + 0.3 * shift, status="to first order in R²")
    f, f_h, _ = drive.functions
    wave = a * np.cos(omega * np.arange(steps))

    def excess(g: float) -> float:
        u = np.real(a / (np.exp(1j * omega) - 1))  # the linear response at t = 0
        slope = 1.0
        for _ in range(100):
            v, slope = float(u), 1.0
            for x in wave:
                v, slope = float(f(np.array(v), g)) + x, slope * float(f_h(np.array(v), g))
            step = (v + u) / (slope + 1)
            u -= step
            if abs(step) < 1e-15 + 1e-14 * abs(u):
                break
        return slope - 1

    low, high = 1 + 0.5 * shift, 1 + 1.5 * shift + 1e-12
    if excess(low) * excess(high) > 0:
        return Number(1 + shift, error=shift, status="to first order in R²; no root next to it")
    root = float(brentq(excess, low, high, xtol=1e-15))
    return Number(root, error=1e-12, status="multiplier of the symmetric orbit")
