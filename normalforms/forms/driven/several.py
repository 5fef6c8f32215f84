"""Driven laws of maps with several parameters, among them the cusp, and of the Neimark–Sacker family.

With several parameters the amplification under an input is the top eigenvalue of ``E Σ_t s_tᵀ s_t``, what a large batch
shows. Each entry is a law of one parameter: along a direction v of parameters ``E Σ (s_t v)²``, and the entries off the
diagonal by polarisation.

A pair of multipliers needs noise in both components of its state. In the frame that turns with it the map is
``w' = w (g + d|w|²) + e^{−iω(t+1)} x_t``: white noise stays white, and coloured noise acts over long times as white of
variance ``Σ_k c(k) cos ωk = σ² (1 − ρ²)/(1 − 2ρ cos ω + ρ²)``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import sympy as sp

from normalforms.families import Member, find
from normalforms.forms.driven.inputs import Autoregressive, Constant, Input, Sinusoid, White, exact_number, law_nodes
from normalforms.forms.driven.kolmogorov import driven_cusp, driven_pair
from normalforms.forms.driven.law import DrivenLaw
from normalforms.forms.driven.number import Number
from normalforms.forms.driven.orbits import check_radius
from normalforms.forms.driven.periodic import averages, phases
from normalforms.forms.driven.scaling import DrivenScaling
from normalforms.forms.limits import cusp_scaling, neimark_sacker_numerics
from normalforms.formulas import check_horizon, check_real
from normalforms.maps import Map

__all__ = ["GramDrivenLaw", "PairDrivenLaw", "driven"]

_s = sp.Symbol("s", real=True)


@dataclass(frozen=True)
class GramDrivenLaw:
    """``E Σ_t s_tᵀ s_t`` of a scalar map with several parameters under an input; a call is its top eigenvalue.

    Args:
        map: a scalar map.
        noise: the input, in the caller's units.
        stretch: factor from the caller's states, and inputs, to the map's.
        gain: factor from the map's matrix to the caller's.
        radius: orbits beyond it are removed; ``None`` for ``√((1 + g)/3)`` in a cusp, for no removal elsewhere.
        samples: trajectories drawn where no deterministic rule reaches.
        seed: of those draws.

    >>> import normalforms as nf
    >>> law = driven(nf.cusp(), 1, 1, White(0.05))
    >>> law.gram((0.0, 1.0), 0.0, 30).round(3)
    array([[4026.473,    0.   ],
           [   0.   ,   22.737]])
    """

    map: Map
    noise: Input
    stretch: sp.Expr = field(default=sp.Integer(1), kw_only=True)
    gain: sp.Expr = field(default=sp.Integer(1), kw_only=True)
    radius: float | None = field(default=None, kw_only=True)
    samples: int = field(default=20_000, kw_only=True)
    seed: int = field(default=0, kw_only=True)

    def __post_init__(self) -> None:
        check_radius(self.radius)

    def gram(self, g: tuple[Any, ...], h0: Any, horizon: int) -> np.ndarray:
        """The matrix, shape ``(*batch, p, p)``, in the order of the map's parameters.

        Args:
            g: a tuple of the parameters. h0: initial state. horizon: steps.
        """
        return self._all(g, h0, horizon)[0]

    def error(self, g: tuple[Any, ...], h0: Any, horizon: int) -> np.ndarray:
        """How far the entries of the matrix can be off."""
        return self._all(g, h0, horizon)[1]

    def __call__(self, g: tuple[Any, ...], h0: Any, horizon: int) -> Any:
        """The top eigenvalue of `gram`, a `Number` for numbers and an array for arrays."""
        matrix, error, left = self._all(g, h0, horizon)
        finite = np.all(np.isfinite(matrix), axis=(-1, -2))
        top = np.linalg.eigvalsh(np.where(finite[..., None, None], matrix, 0.0))[..., -1]
        top = np.where(finite, top, np.inf)
        if top.ndim:
            return top
        return Number(float(top), float(np.linalg.norm(error)), float(left), "top eigenvalue of the mean matrix")

    def _all(self, g: Any, h0: Any, horizon: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        count, horizon = len(self.map.parameters), check_horizon(horizon)
        if not isinstance(g, tuple) or len(g) != count:
            names = ", ".join(p.name for p in self.map.parameters)
            raise ValueError(f"g = {g!r} must be a tuple of the parameters ({names})")
        names = [p.name for p in self.map.parameters]
        values = [check_real(v, name) for v, name in zip(g, names, strict=True)]
        *values, start = np.broadcast_arrays(*values, check_real(h0, "h0"))
        parts = [self._matrix([float(v[i]) for v in values], float(start[i]), horizon) for i in np.ndindex(start.shape)]
        matrix, error = (np.array([p[k] for p in parts]).reshape(*start.shape, count, count) for k in (0, 1))
        return matrix, error, np.array([p[2] for p in parts]).reshape(start.shape)

    def _matrix(self, values: list[float], start: float, horizon: int) -> tuple[np.ndarray, np.ndarray, float]:
        count = len(values)
        along = lambda *v: self._along(values, v)(0.0, start, horizon)  # noqa: E731
        single = [along(*np.eye(count, dtype=int)[p]) for p in range(count)]
        matrix, error = np.diag(np.array(single, dtype=float)), np.diag([n.error for n in single])
        for p in range(count):
            for q in range(p):
                both = along(*(np.eye(count, dtype=int)[p] + np.eye(count, dtype=int)[q]))
                matrix[p, q] = matrix[q, p] = (both - single[p] - single[q]) / 2
                error[p, q] = error[q, p] = (both.error + single[p].error + single[q].error) / 2
        return matrix, error, max(n.escaped for n in single)

    def _along(self, values: list[float], direction: tuple[int, ...]) -> DrivenLaw:
        """The law of one parameter, the length along a direction."""
        moved = {
            p: exact_number(v, p.name) + int(d) * _s
            for p, v, d in zip(self.map.parameters, values, direction, strict=True)
        }
        radius, found = self.radius, find(self.map)
        if radius is None and found is not None and found.kind == "cusp":
            radius = float(np.sqrt(max(1 + values[1], 1e-9) / 3) / abs(float(self.stretch)))
        m = Map(self.map.steps[0].xreplace(moved), self.map.states[0], _s)
        options: dict[str, Any] = {"radius": radius, "samples": self.samples, "seed": self.seed}
        return DrivenLaw(m, self.noise, stretch=self.stretch, gain=self.gain, **options)

    def scaling(self) -> CuspDrivenScaling:
        """The scaling function of the cusp.

        Raises:
            ValueError: another map.
        """
        found = find(self.map)
        if found is None or found.kind != "cusp":
            raise ValueError("with several parameters the cusp β + g h − h³ alone has a scaling law; ask the call")
        return CuspDrivenScaling(self.noise)


@dataclass(frozen=True)
class CuspDrivenScaling:
    """``E Σ_t s_tᵀ s_t = prefactor ∘ Ψ(x, y; z, β) (1 + O(1/T))`` over ``(β, g)``, the prefactor as in `CuspScaling`.

    ``x = T (g − 1)``, ``z = √T h0`` and ``T^{3/2} β``; y is the strength of the input, ``T²σ²`` (``σ²(1+ρ)/(1−ρ)`` for
    coloured noise), ``T³b²`` or ``T R²``. A constant input moves β by ``±√y``. An oscillation is averaged away as in a
    pitchfork, and moves β by ``−T^{3/2}⟨r³⟩`` besides.

    Args:
        noise: the input.
    """

    noise: Input

    def evaluate(self, x: float, y: float, z: float = 0.0, *, beta: float = 0.0) -> np.ndarray:
        """Ψ, shape (2, 2), in the order (β, g).

        Raises:
            ValueError: not finite real numbers, or a negative strength.
        """
        given = ((x, "x"), (y, "y"), (z, "z"), (beta, "beta"))
        x, y, z, beta = (float(check_real(v, name)) for v, name in given)
        if y < 0:
            raise ValueError(f"y = {y:g} is negative; the strength of an input is not")
        law, noise = cusp_scaling(), self.noise
        if y == 0:
            return law.evaluate(x, z, beta)
        if isinstance(noise, (White, Autoregressive)):
            return driven_cusp(x, y, beta, z)[0]
        if isinstance(noise, Constant):
            nodes, weights = law_nodes(noise.law, 24)
            moved = law.evaluate(x, z, beta + np.sqrt(y) * nodes * (-1 if noise.b < 0 else 1))
            return np.tensordot(weights, moved, axes=1)
        psi = phases(noise, 64)
        square, cube = averages(float(noise.omega), psi)
        size = np.sqrt(y) * np.sign(float(noise.a)) * np.sign(np.sin(float(noise.omega) / 2))
        return law.evaluate(x - 3 * y * square, z - size * np.cos(psi), beta - size**3 * cube).mean(axis=0)

    def gram(self, g: tuple[float, float], h0: float, horizon: int) -> np.ndarray:
        """The leading-order matrix for ``g = (β, g)``."""
        T, noise = float(check_horizon(horizon)), self.noise
        if isinstance(noise, (White, Autoregressive)):
            y = T**2 * float(noise.covariance(0) if isinstance(noise, White) else noise.intensity)
        elif isinstance(noise, Constant):
            y = T**3 * float(noise.b) ** 2
        else:
            y = T * (float(noise.a) / (2 * np.sin(float(noise.omega) / 2))) ** 2
        power = np.array([[T**3, T**2.5], [T**2.5, T**2]])
        return power * self.evaluate(T * (g[1] - 1), y, np.sqrt(T) * h0, beta=T**1.5 * g[0])

    def __call__(self, g: tuple[float, float], h0: float, horizon: int) -> float:
        """The top eigenvalue of `gram`."""
        return float(np.linalg.eigvalsh(self.gram(g, h0, horizon))[-1])


@dataclass(frozen=True)
class PairDrivenLaw:
    """``E A_T`` of ``z' = e^{iω} z (g + d|z|²) + x_t`` under noise in both components, independent and alike.

    A call draws; its error is two standard errors. The initial state is ``|z0|``.

    Args:
        map: a map of the Neimark–Sacker family with ``Re d < 0``.
        noise: `White` or `Autoregressive`, of each component.
        gain: factor from the map's ``A`` to the caller's.
        radius: orbits beyond it are removed; ``None`` for ``√((1 + g)/3|Re d|)``.
        samples: trajectories drawn.
        seed: of those draws.

    Raises:
        ValueError: another input, a subcritical map.

    >>> import normalforms as nf
    >>> driven(nf.neimark_sacker(1, -1), 1, 1, White(0.01)).scaling().y
    T**2/10000
    """

    map: Map
    noise: Input
    gain: sp.Expr = field(default=sp.Integer(1), kw_only=True)
    radius: float | None = field(default=None, kw_only=True)
    samples: int = field(default=20_000, kw_only=True)
    seed: int = field(default=0, kw_only=True)

    def __post_init__(self) -> None:
        check_radius(self.radius)
        if not isinstance(self.noise, (White, Autoregressive)):
            raise ValueError(
                f"a {type(self.noise).__name__} input of a pair has a direction and meets its rotation; White and"
                " Autoregressive noise, alike in both components, have a law"
            )
        if not self._member.coefficient > 0:
            raise ValueError("noise lets the orbits of this subcritical pair escape, which leaves no mean")

    @cached_property
    def _member(self) -> Member:
        found = find(self.map)
        assert found is not None
        return found

    @property
    def _omega(self) -> float:
        slope = sp.Matrix(self.map.steps).jacobian(self.map.states)
        at = {**dict.fromkeys(self.map.states, 0), self.map.parameters[0]: 1}
        return float(np.angle(complex(slope[0, 0].subs(at)) + 1j * complex(slope[1, 0].subs(at))))

    def __call__(self, g: float, h0: float, horizon: int) -> Number:
        """``E A_T`` over the orbits that stay, by draws."""
        g, start = float(check_real(g, "g")), float(check_real(h0, "h0"))
        T, c = check_horizon(horizon), float(self._member.coefficient)
        d, turn = complex(-c, c * float(self._member.twist)), np.exp(-1j * self._omega)
        edge = np.sqrt(max(1 + g, 0.0) / (3 * c)) if self.radius is None else float(self.radius)
        rngs = np.random.default_rng(self.seed).spawn(2)
        streams = zip(*(self.noise.stream(rng, T, self.samples) for rng in rngs), strict=True)
        w, s = np.full(self.samples, start, dtype=complex), np.zeros(self.samples, dtype=complex)
        total, kept = np.zeros(self.samples), np.ones(self.samples, dtype=bool)
        for t, (first, second) in enumerate(streams):
            size = np.abs(w) ** 2
            s = (g + 2 * d * size) * s + d * w**2 * np.conj(s) + w
            w = w * (g + d * size) + turn ** (t + 1) * (first + 1j * second)
            kept &= np.abs(w) <= edge
            w, s = np.where(kept, w, 0), np.where(kept, s, 0)
            total += np.abs(s) ** 2
        if not kept.any():
            return Number(np.inf, np.inf, 1.0, "no orbit stays")
        A, gain = total[kept], float(self.gain)
        error = 2 * float(np.std(A) / np.sqrt(len(A)))
        return Number(gain * A.mean(), gain * error, 1 - kept.mean(), f"{self.samples} draws, two standard errors")

    def scaling(self) -> DrivenScaling:
        """``Ψ(x, y; z)`` with ``x = T (g − 1)``, ``y = c T²σ²``, ``z = √(cT) |z0|``, prefactor ``T²/c``.

        ``Ψ → z² Φ(2x) + 2y Φ₂(2x)`` while all is small: there are two components. It is for any rotation ω; a twist
        ``Im d`` enters. See `driven_pair`.
        """
        member, noise, twist = self._member, self.noise, float(self._member.twist)
        (g, h0, T), c = member.inputs, member.coefficient
        variance = noise.covariance(0)
        if isinstance(noise, Autoregressive):
            rho = exact_number(noise.rho, "rho")
            variance *= (1 - rho**2) / (1 - 2 * rho * sp.Float(np.cos(self._omega)) + rho**2)

        def values(x: float, y: float, starts: np.ndarray) -> list[Number]:
            if y == 0:
                found = neimark_sacker_numerics(twist, 0.0)(np.full(starts.shape, x), starts**2)
                return [Number(v, error=1e-12 * v, status="autonomous scaling function") for v in found]
            return [driven_pair(x, y, twist, abs(float(start))) for start in starts]

        note = "Ψ = ∫ E|S|² dτ for dW = (x − a|W|²)W dτ + √y (dB₁ + i dB₂), S = ∂W/∂x"
        x, y, z = T * (g - 1), c * T**2 * variance, sp.sqrt(c * T) * h0
        return DrivenScaling(x, y, z, self.gain * T**2 / c, 4, None, note, (g, h0, T), values)


def driven(
    m: Map, stretch: Any, gain: Any, noise: Input, *, radius: float | None = None, samples: int = 20_000, seed: int = 0
) -> DrivenLaw | GramDrivenLaw | PairDrivenLaw:
    """The law of a map under an input, ``h_{t+1} = f(h_t, g) + x_t``.

    Args:
        m: a scalar map, or a member of the Neimark–Sacker family.
        stretch: factor from the caller's states and inputs to the map's.
        gain: factor from the map's ``A`` to the caller's.
        noise: a `White`, `Constant`, `Sinusoid` or `Autoregressive` input.
        radius: orbits beyond it are removed; see `DrivenLaw.window`.
        samples: draws where no deterministic rule reaches.
        seed: of the draws.

    Raises:
        ValueError: another map of the plane; see `DrivenLaw`.
    """
    options: dict[str, Any] = {"gain": sp.sympify(gain), "radius": radius, "samples": samples, "seed": seed}
    if isinstance(noise, (White, Constant, Sinusoid, Autoregressive)) and isinstance(m, Map):
        if m.dimension == 1 and len(m.parameters) > 1:
            return GramDrivenLaw(m, noise, stretch=sp.sympify(stretch), **options)
        if type(m) is Map and m.dimension == 2 and stretch == 1 and find(m) is not None:
            return PairDrivenLaw(m, noise, **options)
    return DrivenLaw(m, noise, stretch=sp.sympify(stretch), **options)
