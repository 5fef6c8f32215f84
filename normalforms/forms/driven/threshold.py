"""Where a periodic input puts the pitchfork."""

from __future__ import annotations

import numpy as np
import scipy  # its parts load when first used

from normalforms.forms.driven.inputs import Sinusoid
from normalforms.forms.driven.number import Number
from normalforms.forms.driven.orbits import Drive
from normalforms.forms.driven.periodic import averages

__all__ = ["half_period"]


def half_period(drive: Drive, noise: Sinusoid, c: float) -> Number:
    """Where the symmetric orbit under a periodic input has multiplier 1: ``Π_{t<P/2} f_h(u_t, g) = 1``, ``P = 2π/ω``.

    ``u_{t+P/2} = −u_t``, by Newton's method on the half period; the pitchfork of the half-period map
    ``u → −f^{P/2}(u)`` breaks this symmetry. To first order ``g = 1 + 3 c ⟨r²⟩``, `periodic`.

    Args:
        drive: an odd map.
        noise: the input, in the map's units.
        c: its cubic coefficient.

    Returns:
        The root where ``P/2`` is a whole number of steps, else the first order, with its own error estimate.

    Raises:
        ValueError: a period of two steps with a random phase, or of three steps.
    """
    omega, phase = float(noise.omega) % (2 * np.pi), float(noise.phase or 0.0)
    if omega > np.pi + 1e-12:  # cos((2π − ω) t + φ) = cos(ω t − φ)
        omega, phase = 2 * np.pi - omega, -phase
    psi = np.array([phase - omega / 2 - np.pi / 2])
    square, cube = averages(omega, psi)
    if cube[0] != 0 or abs(np.sin(1.5 * omega)) < 1e-9:
        raise ValueError("an input of three steps a period breaks the symmetry of the map, which has no pitchfork then")
    half = np.pi / omega
    steps = round(half)
    if steps == 1 and noise.phase is None and abs(half - 1) < 1e-9:
        raise ValueError("at ω = π a random phase is a random amplitude; fix the phase")
    shift = 3 * c * float(square[0]) * (float(noise.a) / (2 * np.sin(omega / 2))) ** 2
    if abs(half - steps) > 1e-9 * abs(half) or steps < 1:
        return Number(1 + shift, error=3 * shift**2 + 0.3 * shift, status="to first order in R²")
    f, f_h, _ = drive.functions
    wave = float(noise.a) * np.cos(omega * np.arange(steps) + phase)

    def excess(g: float) -> float:
        u = float(
            np.real(float(noise.a) * np.exp(1j * phase) / (np.exp(1j * omega) - 1))
        )  # the linear response at t = 0
        slope = 1.0
        for _ in range(100):
            v, slope = u, 1.0
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
    root = float(scipy.optimize.brentq(excess, low, high, xtol=1e-15))
    return Number(root, error=1e-12, status="multiplier of the symmetric orbit")
