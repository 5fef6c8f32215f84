"""Finite-time scaling of driven families: ``E A_T ≈ prefactor · Ψ(x, y; z)`` as ``T → ∞`` at fixed arguments."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import sympy as sp

from normalforms.families import Member
from normalforms.forms.driven.escape import overshoot, removed_mean
from normalforms.forms.driven.inputs import Autoregressive, Constant, Input, Sinusoid, White, exact_number, law_nodes
from normalforms.forms.driven.kolmogorov import driven_pitchfork
from normalforms.forms.driven.moments import critical_series, leading
from normalforms.forms.driven.number import Number
from normalforms.forms.driven.periodic import limiting_flow, mean_number, sinusoid_values
from normalforms.forms.limits import PITCHFORK
from normalforms.formulas import DomainWarning, Formula, check_horizon, check_real

__all__ = ["DrivenScaling", "alternated", "driven_scaling"]

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
        radius: scaled radius ρ beyond which orbits are removed, where noise lets orbits escape; ``None`` elsewhere.

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
    radius: sp.Expr | None = None

    def evaluate(self, x: Any, y: Any, z: Any = 0.0, radius: Any = None) -> Any:
        """Ψ, elementwise over broadcast arguments.

        Args:
            x: real.
            y: real, not negative where it is a variance.
            z: scaled initial state, 0 at rest.
            radius: ρ, in units of z, where orbits that leave are removed, and there alone.

        Returns:
            A `Number` with its error, or an array; infinite where the limiting flow escapes.

        Raises:
            ValueError: complex, NaN or infinite input, a negative strength, a radius too many or too few.
        """
        if (radius is None) != (self.radius is None):
            few = radius is None
            raise ValueError(
                f"radius = {radius} {'is missing' if few else 'has no place here'}: orbits"
                f" {'that leave it are removed, and the mean is that of the others' if few else 'do not escape'}"
            )
        x, y, z, rho = np.broadcast_arrays(
            check_real(x, "x"), check_real(y, "y"), check_real(z, "z"), check_real(radius or 0.0, "radius")
        )
        if np.any(y < 0):
            raise ValueError(f"y = {float(y.min()):g} is negative; the strength of an input is not")
        points = zip(x.flat, y.flat, np.stack([z.ravel(), rho.ravel()], axis=1), strict=True)
        flat = [self._values(float(a), float(b), place[: 1 if radius is None else 2])[0] for a, b, place in points]
        return flat[0] if x.ndim == 0 else np.array(flat, dtype=float).reshape(x.shape)

    def series(self, order: int) -> Formula:
        """``Ψ(0, y; 0)`` through ``y^order`` with exact coefficients, whatever the radius; see `critical_series`.

        Raises:
            ValueError: an input that is no noise, a linear map, or an order out of range.
        """
        if self._series is None:
            raise ValueError("the series in the strength belongs to noise on a family with a nonlinear term")
        return self._series(order)

    def __call__(self, g: Any, h0: Any, horizon: int) -> Any:
        """The leading-order law ``prefactor · Ψ``, elementwise over broadcast ``g`` and ``h0``.

        Returns:
            A `Number` or an array; relative error O(1/T) at fixed x, y, z. A call warns where ``(3 + x²)/T > ½``,
            or where the limiting flow escapes.
        """
        values = (check_real(g, "g"), check_real(h0, "h0"), float(check_horizon(horizon)))
        x, y, z, prefactor = (sp.lambdify(self.inputs, e, "numpy")(*values) for e in self._scales())
        rho = None if self.radius is None else sp.lambdify(self.inputs, self.radius, "numpy")(*values)
        psi = self.evaluate(x, y, z, rho)
        if np.any(~np.isfinite(psi) | ((3 + np.square(x) + (rho or 0.0)) / values[2] > 0.5)):
            warnings.warn(
                f"outside the domain of this scaling law: T so large that x = {self.x} changes little in a step,"
                " before the limiting flow escapes",
                DomainWarning,
                stacklevel=2,
            )
        if isinstance(psi, Number):
            return Number(prefactor * psi, prefactor * psi.error, psi.escaped, f"{psi.status}, T → ∞")
        return prefactor * psi

    def _scales(self) -> tuple[sp.Expr, ...]:
        return self.x, self.y, self.z, self.prefactor

    def latex(self) -> str:
        """The law and its variables as LaTeX."""
        x, y, z, prefactor = map(sp.latex, self._scales())
        return rf"E A_T \to {prefactor}\, \Psi(x, y; z),\quad x = {x},\quad y = {y},\quad z = {z}"

    def _repr_latex_(self) -> str:
        return f"$\\displaystyle {self.latex()}$"


def _constant_values(kind: str, sign: float, noise: Constant, strength: Callable[[float], float]) -> Values:
    """``y`` is the square of the input where the family is odd, the input itself elsewhere."""
    direction = -1.0 if noise.b < 0 else 1.0
    return lambda x, y, starts: [limiting_flow(kind, sign, x, strength(y) * direction, float(h)) for h in starts]


def _mixture(parts: list[tuple[float, float, Values]], power: int) -> Values:
    """The mean over trials whose inputs are fixed: weights, sizes in units of the stated one, laws of one of them."""

    def one(x: float, y: float, start: float) -> Number:
        starts = np.array([start])
        return mean_number([(w, values(x, y * size**power, starts)[0]) for w, size, values in parts])

    return lambda x, y, starts: [one(x, y, float(h)) for h in starts]


def _trials(noise: Input, alternates: bool) -> list[tuple[float, float, Input]] | None:
    """Weights, sizes and fixed inputs of the trials of an input that is random by trial alone; ``None`` of others.

    A random phase is one only where it is a random size: at ω = π in a period doubling.
    """
    if isinstance(noise, Constant) and noise.law != "fixed":
        nodes, weights = law_nodes(noise.law, 40)
        return [(w, abs(n), Constant(noise.b * np.sign(n))) for n, w in zip(nodes, weights, strict=True)]
    if alternates and isinstance(noise, Sinusoid) and noise.phase is None and _resonant(noise.omega, 2):
        phases = np.pi * (np.arange(64) + 0.5) / 64
        fixed = Sinusoid(-noise.a, sp.pi, 0), Sinusoid(noise.a, sp.pi, 0)
        return [(1 / 64, abs(np.cos(p)), fixed[int(p < np.pi / 2)]) for p in phases]
    return None


def _resonant(omega: sp.Expr, period: int) -> bool:
    """Whether so many steps are a whole number of turns, and one step is none."""
    return abs(float(sp.sin(exact_number(omega, "omega") * period / 2))) < 1e-9


def _white_values() -> Values:
    def values(x: float, y: float, starts: np.ndarray) -> list[Number]:
        if y == 0:
            found = PITCHFORK(np.full(starts.shape, x), starts**2)
            return [Number(v, error=1e-12 * v, status="autonomous scaling function") for v in found]
        return driven_pitchfork(x, y, starts)

    return values


def _removed_values(kind: str) -> Values:
    """Of a state and a radius."""

    def values(x: float, y: float, place: np.ndarray) -> list[Number]:
        if y == 0:
            found = limiting_flow(kind, -1.0, x, 0.0, float(place[0]))
            return [found if abs(place[0]) < place[1] else Number(np.inf, escaped=1.0, status="H(0) lies outside")]
        return [removed_mean(kind, x, y, float(place[0]), float(place[1]))]

    return values


def _formula_values(formula: Formula) -> Values:
    return lambda x, y, starts: [Number(v, 1e-14 * abs(v), status="closed form") for v in formula(x, y, starts)]


def _noise_law(noise: Input, kind: str, T: sp.Symbol, sign: float) -> tuple[sp.Expr, int, Values, str]:
    """``y``, its power of T at criticality, Ψ and what it is, of a family with coefficient ±1 under one input."""
    odd = kind not in ("transcritical", "saddle_node")
    if isinstance(noise, (White, Autoregressive)):
        y = T ** (2 if odd else 3) * (noise.covariance(0) if isinstance(noise, White) else noise.intensity)
        if not odd or sign < 0:
            values = _removed_values("pitchfork" if odd else kind)
            return y, {"saddle_node": 3}.get(kind, 4), values, "Ψ = ∫ E Z² dτ over the orbits that stay within ρ"
        values = _formula_values(leading()) if kind == "stability_flip" else _white_values()
        return y, 4, values, "Ψ = ∫ E Z² dτ for dH = (xH − H³)dτ + √y dB, dZ = ((x − 3H²)Z + H)dτ"
    if isinstance(noise, Constant):
        b = sp.Abs(noise.b)
        y, power = (T**3 * b**2, 5) if odd else (T**2 * b, {"transcritical": 5}.get(kind, 3))
        values = _constant_values(kind, sign, noise, np.sqrt if odd else float)
        return y, power, values, "Ψ = ∫ (∂H/∂x)² dτ of the flow with a constant input"
    R = noise.a / (2 * sp.sin(exact_number(noise.omega, "omega") / 2))
    note = "Ψ is the autonomous function at the shifted parameter, averaged over the shifted initial states"
    return T ** (1 if odd else 2) * R**2, 3, sinusoid_values(kind, sign, noise), note


def driven_scaling(
    u: Member, noise: Input, stretch: sp.Expr, gain: sp.Expr, quadratic: bool = False, radius: float | None = None
) -> DrivenScaling:
    """The scaling of a family under an input.

    =====================  ==============  ================  ====================  =====================
    family                 white, y        constant, y       sinusoid, y           prefactor
    =====================  ==============  ================  ====================  =====================
    stability flip,
    pitchfork, period
    doubling               c T² σ²         c T³ b²           c T R²                T²/c
    transcritical          c² T³ σ²        c T² b            c² T² R²              T/c²
    saddle-node            c² T³ σ²        c T² b            c² T² R²              T³
    =====================  ==============  ================  ====================  =====================

    with ``R = a/(2 sin(ω/2))``; coloured noise counts as white of variance ``σ²(1+ρ)/(1−ρ)``. A period doubling sees
    an input through ``(−1)^t``: ω becomes ω + π, ρ becomes −ρ, a constant the frequency π. Under white noise the flows
    of transcritical, saddle-node and subcritical families reach infinity with positive probability, where the
    sensitivity is not square integrable: no mean exists but that of the orbits that stay within a radius, ``|c| T r``
    in scaled units, ``√(|c|T) r`` in the cubic families. Orbits are looked at once a step, which widens the radius by
    `overshoot`; without that the error would be ``O(1/√T)``, as it is for coloured noise. A quadratic term of a
    period doubling leaves the limit, ``c`` with its square in it, but where the input meets it first: a constant, and
    periods of 4 and 6 steps (`_admitted`).

    Args:
        u: the family that the map was recognised as.
        noise: the input, in the caller's units.
        stretch: factor from the caller's states to the map's.
        gain: factor from the map's ``A`` to the caller's.
        quadratic: whether the map had a quadratic term beside the member.
        radius: in the caller's units, beyond which orbits are removed.

    Raises:
        ValueError: no scaling law, with the reason.
    """
    g, h0, T = u.inputs
    c, odd, flips = u.coefficient, u.kind in (*_CUBIC, "stability_flip"), u.kind == "period_doubling"
    size = sp.Abs(c) if odd else c
    unit = stretch * (sp.sqrt(size) if odd else c)  # from the caller's states to those of the standard map
    x = c * T**2 * (g - 1) if u.kind == "saddle_node" else T * (g - 1)
    z = unit * h0 * (sp.sqrt(T) if odd else T)
    prefactor = gain * {"transcritical": T / c**2, "saddle_node": T**3}.get(u.kind, T**2 / size)
    random, sign = isinstance(noise, (White, Autoregressive)), float(sp.sign(c)) if odd else 1.0
    escapes, rho = random and (not odd or c < 0), None
    if escapes and radius is None:
        raise ValueError(
            f"white noise carries the limiting flow of this {u.kind} to infinity with positive probability, and no"
            " mean exists; give a radius, or ask spread() for medians and quantiles"
        )
    if escapes:
        reach = exact_number(radius, "radius")
        if isinstance(noise, White):
            reach += exact_number(noise.sigma, "sigma") * overshoot(noise.law)
        rho = sp.Abs(unit) * (sp.sqrt(T) if odd else T) * reach
    noise = noise.scaled(unit)
    if quadratic:
        _admitted(noise)
    trials = _trials(noise, flips) or [(1.0, 1.0, noise)]
    laws = [_noise_law(alternated(n) if flips else n, u.kind, T, sign) for _, _, n in trials]
    y, power, values, note = laws[0]
    if len(trials) > 1:
        parts = [(w, n, law[2]) for (w, n, _), law in zip(trials, laws, strict=True)]
        values, note = _mixture(parts, 2 if odd else 1), note + ", averaged over the trials"
    if u.kind == "stability_flip":
        note += "; without the cubic terms"
    formula = leading() if random and u.kind == "stability_flip" else None
    kind = "pitchfork" if odd else u.kind
    series = (lambda order: critical_series(order, kind, int(sign))) if random and formula is None else None
    return DrivenScaling(x, y, z, prefactor, power, formula, note, u.inputs, values, series, rho)


def _admitted(noise: Input) -> None:
    """Inputs that do not meet the quadratic term of a period doubling before its cubic one.

    Raises:
        ValueError: a constant input ``b``, which moves the multiplier by ``O(b)``, or a period of 4 or 6 steps, of
            which ``r²`` or ``r³`` alternates as the state does.
    """
    if isinstance(noise, Constant):
        raise ValueError(
            "a constant input moves the multiplier of a period doubling with a quadratic term before any limit is"
            " reached; add it to the map and reduce that"
        )
    if isinstance(noise, Sinusoid) and not _resonant(noise.omega, 2):
        for period in (4, 6):
            if _resonant(noise.omega, period) and not _resonant(noise.omega, 3):
                raise ValueError(
                    f"a period of {period} steps alternates through the quadratic term of this period doubling, which"
                    " leaves no such limit; ask the call"
                )


def alternated(noise: Input) -> Input:
    """``(−1)^{t+1} x_t``, which drives ``(−1)^t h_t`` of a period doubling as a pitchfork.

    Raises:
        ValueError: an input whose sign or size is random by trial, which becomes one of no single kind.

    >>> alternated(Autoregressive(1, 0.5)).rho
    -1/2
    """
    if isinstance(noise, White):
        return noise
    if isinstance(noise, Autoregressive):
        return Autoregressive(noise.sigma, -exact_number(noise.rho, "rho"))
    if isinstance(noise, Constant):
        if noise.law != "fixed":
            raise ValueError("a constant input of random sign or size moves a period doubling by trial; fix it")
        return Sinusoid(noise.b, sp.pi, sp.pi)
    omega = exact_number(noise.omega, "omega") + sp.pi
    if abs(float(sp.sin(omega / 2))) < 1e-12:
        if noise.phase is None:
            raise ValueError("at ω = π a random phase is a random size of a constant input; fix the phase")
        return Constant(-exact_number(noise.a, "a") * sp.cos(exact_number(noise.phase, "phase")))
    return Sinusoid(noise.a, omega, None if noise.phase is None else exact_number(noise.phase, "phase") + sp.pi)
