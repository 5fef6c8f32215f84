"""Where a constant or periodic input puts the bifurcation of a family.

==============================  =============================================  =====================================
family                          constant b                                     oscillation, ``⟨r²⟩ = R²/2``
==============================  =============================================  =====================================
stability flip                  1, whatever the input                          1
pitchfork                       ``1 + 3 s |c|^{1/3} (b/2)^{2/3}``, the fold    ``1 + 3c⟨r²⟩``, a pitchfork
period doubling                 as an oscillation of frequency π               ``1 + 3c⟨r²⟩``, a period doubling
transcritical                   ``1 ± 2 √(−c b)``, two folds                   ``1 ± 2 |c| √⟨r²⟩``, two folds
saddle-node                     ``1 − b``, the fold                            ``1 + c⟨r²⟩``, the fold
==============================  =============================================  =====================================

``s`` is the sign of ``c``, ``R = a/(2 sin(ω/2))``. What an oscillation does holds to first order in ``⟨r²⟩``; where a
period (half of one in odd families) is a whole number of steps the multiplier of the orbit that the input forces gives
the root. Between its two folds a transcritical map has no bounded orbit; they lie symmetrically about 1, because
``h → h + (g − 1)/c`` turns ``g`` into ``2 − g``, and the upper one is given.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import scipy  # its parts load when first used
import sympy as sp

from normalforms.families import Member
from normalforms.forms.driven.inputs import Constant, Input, Sinusoid
from normalforms.forms.driven.number import Number
from normalforms.forms.driven.orbits import Drive
from normalforms.forms.driven.periodic import averages
from normalforms.forms.driven.scaling import alternated
from normalforms.maps import Map

__all__ = ["shifted"]


def shifted(u: Member, noise: Input, quadratic: bool = False) -> Number:
    """The threshold of a family under a constant or periodic input; see the module.

    Args:
        u: the family.
        noise: the input, in the map's units.
        quadratic: whether the map had a quadratic term beside the member, and no symmetry; then to first order alone.

    Raises:
        ValueError: a planar family or one of two parameters, an input that leaves no bifurcation, or one that is random
            where it matters.
    """
    if u.kind == "stability_flip":
        return Number(1.0, status="a linear map loses stability there, whatever its input")
    c = float(u.coefficient)
    if u.kind == "period_doubling":
        if quadratic and isinstance(noise, Constant):
            raise ValueError("a constant input moves a period doubling with a quadratic term: reduce the map with it")
        noise = alternated(noise)
    if isinstance(noise, Constant):
        return _constant(u.kind, c, noise)
    assert isinstance(noise, Sinusoid)
    if u.kind in ("transcritical", "saddle_node"):
        return _fold(u, noise, c)
    sign = -1 if u.kind == "period_doubling" else 1
    drive = Drive(Map(sign * u.map.steps[0], u.map.state, u.map.parameter))
    return _half_period(drive, noise, c, first_order=quadratic)


def _constant(kind: str, c: float, noise: Constant) -> Number:
    b = float(noise.b)
    if kind == "saddle_node":
        if noise.law != "fixed":
            raise ValueError(f"law = {noise.law!r} moves the fold by trial; fix the input")
        return Number(1 - b, error=1e-15, status="fold")
    if kind == "transcritical":
        if noise.law != "fixed":
            raise ValueError(f"law = {noise.law!r} leaves folds or none by trial; fix the input")
        if c * b > 0:
            raise ValueError(f"b = {b:g} of the sign of c leaves a transcritical map no bifurcation: two branches part")
        return Number(1 + 2 * np.sqrt(-c * b), error=1e-15, status="upper fold of the imperfect transcritical; 2 − g")
    value = 1 + 3 * np.sign(c) * abs(c) ** (1 / 3) * (abs(b) / 2) ** (2 / 3)
    return Number(value, error=1e-15 * value, status="fold of the imperfect pitchfork")


def _wave(noise: Sinusoid) -> tuple[float, float, np.ndarray]:
    """ω in (0, π], φ, and ψ of the response ``R cos(ω t + ψ)``."""
    omega, phase = float(noise.omega) % (2 * np.pi), float(noise.phase or 0.0)
    if omega > np.pi + 1e-12:  # cos((2π − ω) t + φ) = cos(ω t − φ)
        omega, phase = 2 * np.pi - omega, -phase
    if abs(omega - np.pi) < 1e-9 and noise.phase is None:
        raise ValueError("at ω = π a random phase is a random amplitude; fix the phase")
    return omega, phase, np.array([phase - omega / 2 - np.pi / 2])


def _response(noise: Sinusoid, omega: float, phase: float) -> float:
    """The linear response at t = 0."""
    return float(np.real(float(noise.a) * np.exp(1j * phase) / (np.exp(1j * omega) - 1)))


def _whole(length: float) -> int:
    """The whole number that a length is, 0 where it is none."""
    steps = round(length)
    return steps if abs(length - steps) <= 1e-9 * length else 0


def _fold(u: Member, noise: Sinusoid, c: float) -> Number:
    """Where the periodic orbits that an oscillation forces meet: by Newton's method on orbit and multiplier.

    From a quarter of the amplitude on in eight steps, each of which starts at the scaled result of the one before.
    """
    omega, phase, psi = _wave(noise)
    R, crossing = float(noise.a) / (2 * np.sin(omega / 2)), u.kind == "transcritical"
    mean, cube = (float(v[0]) for v in averages(omega, psi))
    first, power = (2 * abs(c * R) * np.sqrt(mean), 1) if crossing else (c * R**2 * mean, 2)
    doubt = (c * R) ** 2 * (1.2 + 0.6 / omega**2) + abs(c * R) * (cube != 0)
    rough = Number(1 + first, error=abs(first) * doubt, status="to first order in R")
    steps = next((n for turns in range(1, 12) if (n := _whole(2 * np.pi * turns / omega))), 0)
    if not steps or first == 0:
        return rough
    wave = float(noise.a) * np.cos(omega * np.arange(steps) + phase)
    forced, scale = _response(noise, omega, phase), 0.25
    point = np.array([first / (2 * c) * crossing * scale + forced * scale, 1 + first * scale**power])
    for after in np.linspace(0.25, 1, 8):
        grown = after / scale
        guess = np.array([point[0] * grown, 1 + (point[1] - 1) * grown**power])
        found = _newton(u, after * wave, guess)
        if found is None or abs(found[1] - guess[1]) > 0.5 * abs(guess[1] - 1):
            return rough
        point, scale = found, after
    return Number(float(point[1]), error=1e-12, status="multiplier of the forced orbit")


def _newton(u: Member, wave: np.ndarray, guess: np.ndarray) -> np.ndarray | None:
    """``(h, g)`` where ``F(h) = h`` and ``F'(h) = 1`` for the map F of one period."""
    h, g = u.map.states[0], u.map.parameters[0]
    f = u.map.steps[0]
    parts = [f, f.diff(h), f.diff(g), f.diff(h, 2), f.diff(h, g)]
    step: Callable[..., list[float]] = sp.lambdify((h, g), parts, "numpy")
    point = guess.astype(float)
    for _ in range(60):
        u_t, s, q, curve, mixed = point[0], 1.0, 0.0, 0.0, 0.0  # orbit, ∂_h, ∂_g, ∂_hh, ∂_hg
        with np.errstate(all="ignore"):
            for x in wave:
                value, slope, push, bend, twist = step(u_t, point[1])
                curve, mixed = bend * s * s + slope * curve, (bend * q + twist) * s + slope * mixed
                u_t, s, q = value + x, slope * s, slope * q + push
        matrix = np.array([[s - 1, q], [curve, mixed]])
        if not np.all(np.abs(matrix) < 1e100) or np.linalg.cond(matrix) > 1e15:
            return None
        change = np.linalg.solve(matrix, [u_t - point[0], s - 1])
        point = point - change
        if np.max(np.abs(change)) < 1e-13:
            return point
    return None


def _half_period(drive: Drive, noise: Sinusoid, c: float, first_order: bool) -> Number:
    """Where the symmetric orbit under a periodic input has multiplier 1: ``Π_{t<P/2} f_h(u_t, g) = 1``, ``P = 2π/ω``.

    ``u_{t+P/2} = −u_t``, by Newton's method on the half period; the pitchfork of the half-period map
    ``u → −f^{P/2}(u)`` breaks this symmetry. To first order ``g = 1 + 3 c ⟨r²⟩``, `periodic`.

    Args:
        drive: an odd map.
        noise: the input, in the map's units.
        c: its cubic coefficient.
        first_order: leave it at that.

    Returns:
        The root where ``P/2`` is a whole number of steps, else the first order, with its own error estimate.

    Raises:
        ValueError: a period of two steps with a random phase, or of three steps.
    """
    omega, phase, psi = _wave(noise)
    square, cube = averages(omega, psi)
    if cube[0] != 0 or abs(np.sin(1.5 * omega)) < 1e-9:
        raise ValueError("an input of three steps a period breaks the symmetry of the map, which has no pitchfork then")
    shift = 3 * c * float(square[0]) * (float(noise.a) / (2 * np.sin(omega / 2))) ** 2
    steps = _whole(np.pi / omega)
    if first_order or not steps:
        return Number(1 + shift, error=3 * shift**2 + 0.3 * abs(shift), status="to first order in R²")
    f, f_h, _ = drive.functions
    wave = float(noise.a) * np.cos(omega * np.arange(steps) + phase)

    def excess(g: float) -> float:
        u, slope = _response(noise, omega, phase), 1.0
        for _ in range(100):
            v, slope = u, 1.0
            for x in wave:
                v, slope = float(f(np.array(v), g)) + x, slope * float(f_h(np.array(v), g))
            step = (v + u) / (slope + 1)
            u -= step
            if abs(step) < 1e-15 + 1e-14 * abs(u):
                break
        return slope - 1

    low, high = sorted((1 + 0.5 * shift, 1 + 1.5 * shift + 1e-12 * np.sign(shift)))
    if excess(low) * excess(high) > 0:
        return Number(1 + shift, error=abs(shift), status="to first order in R²; no root next to it")
    root = float(scipy.optimize.brentq(excess, low, high, xtol=1e-15))
    return Number(root, error=1e-12, status="multiplier of the symmetric orbit")
