"""Finite-time scaling of driven families: ``E A_T ≈ prefactor · Ψ(x, y; z)`` as ``T → ∞`` at fixed arguments."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import sympy as sp
from scipy.integrate import solve_ivp

from normalforms.families import Member
from normalforms.forms.driven.inputs import Autoregressive, Constant, Input, Sinusoid, White, exact_number, law_nodes
from normalforms.forms.driven.kolmogorov import driven_pitchfork
from normalforms.forms.driven.moments import critical_series, leading
from normalforms.forms.driven.number import Number
from normalforms.forms.limits import PITCHFORK, SADDLE_NODE, STABILITY_FLIP
from normalforms.formulas import DomainWarning, Formula, check_horizon, check_real

__all__ = ["DrivenScaling", "driven_scaling"]

Values = Callable[[float, float, np.ndarray], list[Number]]
_CUBIC = ("pitchfork", "period_doubling")


@dataclass(frozen=True, eq=False)
class DrivenScaling:
    """``E A_T = prefactor · Ψ(x, y; z) · (1 + O(1/T))`` as ``T → ∞`` at fixed ``x``, ``y``, ``z``.

    Args:
        x: distance from the bifurcation, in ``g`` and ``T``.
        y: strength of the input, in its amplitude and ``T``.
        z: initial state ``H(0)``, in ``h0`` and ``T``.
        prefactor: the power of ``T`` that Ψ multiplies.
        power: of ``T`` in ``E A_T`` at criticality from rest while the input is weak; it tells the kind of input.
        formula: Ψ in ``x, y, z`` where it is closed, else ``None``.
        note: what Ψ is, how it is computed, where it fails.
        inputs: the symbols of ``g``, ``h0``, ``T``.

    >>> import normalforms as nf
    >>> from normalforms.forms.driven import White, driven
    >>> law = driven(nf.pitchfork(), 1, 1, White(0.1)).scaling()
    >>> law.prefactor, law.y, law.power
    (T**2, T**2/100, 4)
    >>> round(law.evaluate(0, 1), 8)
    0.02130986
    """

    x: sp.Expr
    y: sp.Expr
    z: sp.Expr
    prefactor: sp.Expr
    power: int
    formula: Formula | None
    note: str
    inputs: tuple[sp.Symbol, ...]
    _values: Values = field(repr=False)
    _series: Callable[[int], Formula] | None = field(default=None, repr=False)

    def evaluate(self, x: Any, y: Any, z: Any = 0.0) -> Any:
        """Ψ, elementwise over broadcast arguments.

        Args:
            x: real.
            y: real, not negative where it is a variance.
            z: scaled initial state, 0 at rest.

        Returns:
            A `Number` with its error, or an array; infinite where the limiting flow escapes.

        Raises:
            ValueError: complex, NaN or infinite input, a negative strength.
        """
        x, y, z = np.broadcast_arrays(check_real(x, "x"), check_real(y, "y"), check_real(z, "z"))
        if np.any(y < 0):
            raise ValueError(f"y = {float(y.min()):g} is negative; the strength of an input is not")
        flat = [self._values(float(a), float(b), np.array([c]))[0] for a, b, c in zip(x.flat, y.flat, z.flat)]  # noqa: B905
        return flat[0] if x.ndim == 0 else np.array(flat, dtype=float).reshape(x.shape)

    def series(self, order: int) -> Formula:
        """``Ψ(0, y; 0)`` through ``y^order`` with exact coefficients.

        Raises:
            ValueError: another input or family than white noise on a pitchfork, or an order out of range.
        """
        if self._series is None:
            raise ValueError("the series in the strength belongs to noise on a pitchfork or period doubling")
        return self._series(order)

    def __call__(self, g: Any, h0: Any, horizon: int) -> Any:
        """The leading-order law ``prefactor · Ψ``, elementwise over broadcast ``g`` and ``h0``.

        Returns:
            A `Number` or an array; relative error O(1/T) at fixed x, y, z. A call warns where ``(3 + x²)/T > ½``,
            or where the limiting flow escapes.
        """
        values = (check_real(g, "g"), check_real(h0, "h0"), float(check_horizon(horizon)))
        x, y, z, prefactor = (sp.lambdify(self.inputs, e, "numpy")(*values) for e in self._scales())
        psi = self.evaluate(x, y, z)
        if np.any(~np.isfinite(psi) | ((3 + np.square(x)) / values[2] > 0.5)):
            warnings.warn(
                f"outside the domain of this scaling law: T so large that x = {self.x} changes little in a step,"
                " before the limiting flow escapes",
                DomainWarning,
                stacklevel=2,
            )
        if isinstance(psi, Number):
            return Number(prefactor * psi, error=prefactor * psi.error, status=f"{psi.status}, T → ∞")
        return prefactor * psi

    def _scales(self) -> tuple[sp.Expr, ...]:
        return self.x, self.y, self.z, self.prefactor

    def latex(self) -> str:
        """The law and its variables as LaTeX."""
        x, y, z, prefactor = map(sp.latex, self._scales())
        return rf"E A_T \to {prefactor}\, \Psi(x, y; z),\quad x = {x},\quad y = {y},\quad z = {z}"

    def _repr_latex_(self) -> str:
        return f"$\\displaystyle {self.latex()}$"


def _flow(kind: str, sign: float, x: float, beta: float, start: float) -> Number:
    """``∫ (∂_x H)² dτ`` of the limiting flow with a constant input β, by an integrator of order 8."""
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
    found = solve_ivp(flow, (0.0, 1.0), [start, 0.0, 0.0], method="DOP853", rtol=1e-12, atol=1e-30, events=gone)
    if found.status != 0:
        return Number(np.inf, status="the limiting flow escapes")
    value = float(found.y[2, -1])
    return Number(value, error=1e-10 * value, status="limiting flow, order 8")


def _mean(parts: list[tuple[float, Number]]) -> Number:
    value = sum(w * v for w, v in parts)
    return Number(value, error=sum(w * v.error for w, v in parts), status=parts[0][1].status)


def _constant_values(kind: str, sign: float, noise: Constant, strength: Callable[[float], float]) -> Values:
    """``y`` is the square of the input where the family is odd, the input itself elsewhere."""
    nodes, weights = law_nodes(noise.law, 40)
    direction = -1.0 if noise.b < 0 else 1.0

    def values(x: float, y: float, starts: np.ndarray) -> list[Number]:
        size = strength(y) * direction
        return [_mean([(w, _flow(kind, sign, x, size * n, h)) for n, w in zip(nodes, weights, strict=True)])
                for h in starts]  # fmt: skip

    return values


def _offsets(noise: Sinusoid, count: int) -> np.ndarray:
    """``cos`` of the phases of the response ``Re a e^{iφ}/(e^{iω} − 1)`` at the start."""
    if noise.phase is None:
        return np.cos(2 * np.pi * (np.arange(count) + 0.5) / count)
    return np.array([np.cos(float(noise.phase) - float(noise.omega) / 2 - np.pi / 2)])


def _sinusoid_values(kind: str, sign: float, noise: Sinusoid) -> Values:
    """The autonomous law of a shifted parameter, from the shifted states that the oscillation starts around."""
    amplitude = -1.0 if noise.a < 0 else 1.0
    if np.sin(float(noise.omega) / 2) < 0:
        amplitude = -amplitude

    def mean(x: float, y: float, start: float, count: int) -> Number:
        moved = start - amplitude * np.sqrt(y) * _offsets(noise, count)
        if kind == "stability_flip":
            values = STABILITY_FLIP(np.full(moved.shape, x), moved**2)
        elif kind in _CUBIC:
            values = np.abs(PITCHFORK(np.full(moved.shape, x - sign * 1.5 * y), sign * moved**2))
        elif kind == "saddle_node":
            values = SADDLE_NODE(np.full(moved.shape, x - y / 2), moved)
        else:
            flows = [_flow("transcritical", 1.0, x, -y / 2, h) for h in moved]
            return _mean([(1 / len(flows), v) for v in flows])
        return Number(float(np.mean(values)), status="autonomous scaling function, mean over phases")

    def values(x: float, y: float, starts: np.ndarray) -> list[Number]:
        found = []
        for h in starts:
            count, before = 16, mean(x, y, h, 16)
            while noise.phase is None and count < 256:
                count *= 2
                value = mean(x, y, h, count)
                change, before = abs(value - before), value
                if not change > 1e-11 * abs(value):
                    break
            else:
                change = 0.0 if noise.phase is not None else change
            change = change if np.isfinite(change) else np.inf
            found.append(Number(before, error=change + before.error + 1e-12 * abs(before), status=before.status))
        return found

    return values


def _white_values() -> Values:
    def values(x: float, y: float, starts: np.ndarray) -> list[Number]:
        if y == 0:
            found = PITCHFORK(np.full(starts.shape, x), starts**2)
            return [Number(v, error=1e-12 * v, status="autonomous scaling function") for v in found]
        return driven_pitchfork(x, y, starts)

    return values


def _formula_values(formula: Formula) -> Values:
    return lambda x, y, starts: [Number(v, 1e-14 * abs(v), status="closed form") for v in formula(x, y, starts)]


def driven_scaling(u: Member, noise: Input, stretch: sp.Expr, gain: sp.Expr) -> DrivenScaling:
    """The scaling of a family under an input.

    =====================  ==============  ================  ====================  =====================
    family                 white, y        constant, y       sinusoid, y           prefactor
    =====================  ==============  ================  ====================  =====================
    stability flip,
    pitchfork, period
    doubling               c T² σ²         c T³ b²           c T R²                T²/c
    transcritical          none            c T² b            c² T² R²              T/c²
    saddle-node            none            c T² b            c² T² R²              T³
    =====================  ==============  ================  ====================  =====================

    with ``R = a/(2 sin(ω/2))``; coloured noise counts as white of variance ``σ²(1+ρ)/(1−ρ)``. A period doubling sees
    an input through ``(−1)^t``: ω becomes ω + π, ρ becomes −ρ, a constant the frequency π. Under white noise the flows
    of transcritical, saddle-node and subcritical families reach infinity with positive probability, where the
    sensitivity is not square integrable: no mean exists, see `DrivenLaw.spread` for what does.

    Args:
        u: the family that the map was recognised as.
        noise: the input, in the caller's units.
        stretch: factor from the caller's states to the map's.
        gain: factor from the map's ``A`` to the caller's.

    Raises:
        ValueError: no scaling law, with the reason.
    """
    if u.kind == "neimark_sacker":
        raise ValueError("driven laws belong to scalar maps; the Neimark–Sacker family is planar")
    g, h0, T = u.inputs
    c, odd = u.coefficient, u.kind in (*_CUBIC, "stability_flip")
    size = sp.Abs(c) if odd else c
    unit = stretch * (sp.sqrt(size) if odd else c)  # from the caller's states to those of the standard map
    noise = _alternated(noise.scaled(unit)) if u.kind == "period_doubling" else noise.scaled(unit)
    x = c * T**2 * (g - 1) if u.kind == "saddle_node" else T * (g - 1)
    z = unit * h0 * (sp.sqrt(T) if odd else T)
    prefactor = gain * {"transcritical": T / c**2, "saddle_node": T**3}.get(u.kind, T**2 / size)
    formula, series = None, None
    if isinstance(noise, (White, Autoregressive)):
        if not odd or c < 0:
            raise ValueError(
                f"white noise carries the limiting flow of this {u.kind} to infinity with positive probability, and no"
                " mean exists; ask spread() for medians and quantiles, or the call with bounded noise or a radius"
            )
        y, power = T**2 * (noise.covariance(0) if isinstance(noise, White) else noise.intensity), 4
        formula, series = (leading(), None) if u.kind == "stability_flip" else (None, critical_series)
        values = _white_values() if formula is None else _formula_values(formula)
        note = "Ψ = ∫ E Z² dτ for dH = (xH − H³)dτ + √y dB, dZ = ((x − 3H²)Z + H)dτ"
    elif isinstance(noise, Constant):
        b = sp.Abs(noise.b)
        y, power = (T**3 * b**2, 5) if odd else (T**2 * b, {"transcritical": 5}.get(u.kind, 3))
        values = _constant_values(u.kind, float(sp.sign(c)) if odd else 1.0, noise, np.sqrt if odd else float)
        note = "Ψ = ∫ (∂H/∂x)² dτ of the flow with a constant input"
    else:
        R = noise.a / (2 * sp.sin(exact_number(noise.omega, "omega") / 2))
        y, power = T ** (1 if odd else 2) * R**2, 3
        values = _sinusoid_values(u.kind, float(sp.sign(c)) if odd else 1.0, noise)
        note = "Ψ is the autonomous function at the shifted parameter, averaged over the shifted initial states"
    if u.kind == "stability_flip":
        note += "; without the cubic terms"
    return DrivenScaling(x, y, z, prefactor, power, formula, note, u.inputs, values, series)


def _alternated(noise: Input) -> Input:
    """``(−1)^{t+1} x_t``, which drives ``(−1)^t h_t`` of a period doubling."""
    if isinstance(noise, White):
        return noise
    if isinstance(noise, Autoregressive):
        return Autoregressive(noise.sigma, -exact_number(noise.rho, "rho"))
    if isinstance(noise, Constant):
        if noise.law != "fixed":
            raise ValueError("a constant input of random sign or size has no scaling law on a period doubling; fix it")
        return Sinusoid(noise.b, sp.pi, sp.pi)
    omega = exact_number(noise.omega, "omega") + sp.pi
    if abs(float(sp.sin(omega / 2))) < 1e-12:
        if noise.phase is None:
            raise ValueError("at ω = π a random phase is a random size of a constant input; fix the phase")
        return Constant(-exact_number(noise.a, "a") * sp.cos(exact_number(noise.phase, "phase")))
    return Sinusoid(noise.a, omega, None if noise.phase is None else exact_number(noise.phase, "phase") + sp.pi)
