"""A map's own parameter and state in the coordinates of its normal form, and back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import mpmath
import numpy as np
import sympy as sp

from normalforms.maps import Map
from normalforms.reduction.cycle import chain

__all__ = ["Coordinates"]

_DIGITS = 30


@dataclass(frozen=True)
class Coordinates:
    """``(r, h) → (g, u)``: multiplier and coordinate of a normal form at a map's own parameter and state.

    About the fixed point ``h*(r)`` that persists, followed by Newton's method, ``g`` is its multiplier (its modulus,
    for a pair) with the sign that makes it critical at 1, and ``u = ⟨p, h − h*(r)⟩``; for a pair ``u`` is
    ``z = ⟨p, h − h*(r)⟩ + motion (g − 1)/dmodulus``. At a fold nothing persists: ``g = 1 − c0 c2 (r − r*)`` and
    ``u = ⟨p, h − h*⟩``.

    Args:
        map: the map.
        period: n of a cycle.
        point: the bifurcation.
        parameter: the symbol of ``r``.
        kind: of the normal form.
        coefficients: of the normal form.
        right: the critical eigenvector ``q``.
        left: the adjoint one ``p``.
    """

    map: Map
    period: int
    point: Mapping[Any, Any]
    parameter: sp.Symbol
    kind: str
    coefficients: Mapping[str, Any]
    right: np.ndarray
    left: np.ndarray

    def forward(self, parameter: Any, state: Any) -> tuple[Any, Any]:
        """``(g, u)`` of arrays that broadcast; a state of R^n has n as its last axis."""
        r, h = np.asarray(parameter, dtype=float), self._state(state)
        g, centre = self._along(r)
        u = (h - centre) @ self.left.conj()
        g, u = np.broadcast_arrays(g, u)
        if self.kind == "neimark_sacker":
            u = u + self._motion * (g - 1)
            return _plain(g), np.stack([u.real, u.imag], axis=-1)
        return _plain(g), _plain(u.real)

    def backward(self, g: Any, u: Any) -> tuple[Any, Any]:
        """``(r, h)`` with ``h = h*(r) + u q``, ``h*(r) + z q + z̄ q̄`` for a pair."""
        g, u = np.asarray(g, dtype=float), np.asarray(u, dtype=float)
        r = np.vectorize(self._parameter, otypes=[float])(g)
        _, centre = self._along(r)
        if self.kind == "neimark_sacker":
            z = u[..., 0] + 1j * u[..., 1] - self._motion * (g - 1)
            h = centre + 2 * np.real(z[..., None] * self.right)
        else:
            h = centre + u[..., None] * self.right.real
        return _plain(r), _plain(h[..., 0]) if self.map.dimension == 1 else h

    def _state(self, state: Any) -> np.ndarray:
        n = self.map.dimension
        h = np.stack(np.broadcast_arrays(*state), axis=-1) if isinstance(state, tuple) else np.asarray(state)
        h = np.asarray(h, dtype=float)
        h = h[..., None] if n == 1 else h
        if h.ndim == 0 or h.shape[-1] != n:
            raise ValueError(f"state has shape {np.shape(state)}; its last axis must have the map's {n} states")
        return h

    @property
    def _critical(self) -> tuple[float, np.ndarray]:
        states = np.array([float(self.point[s]) for s in self.map.states])
        return float(self.point[self.parameter]), states

    @property
    def _motion(self) -> complex:
        return complex(self.coefficients["motion"]) / float(self.coefficients["dmodulus"])

    def _along(self, r: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """``g`` and ``h*`` at each parameter."""
        critical, states = self._critical
        if self.kind == "saddle_node":
            c = self.coefficients
            return 1 - float(c["c0"] * c["c2"]) * (r - critical), states
        known = {float(v): self._followed(float(v)) for v in np.unique(r)}
        g = np.vectorize(lambda v: known[float(v)][0], otypes=[float])(r)
        centre = np.array([known[float(v)][1] for v in r.ravel()]).reshape(*r.shape, len(states))
        return g, centre

    def _followed(self, r: float) -> tuple[float, list[float]]:
        """The fixed point at ``r`` and its multiplier.

        Raises:
            ValueError: Newton's method does not find it.
        """
        n, exact = self.map.dimension, {s: sp.N(v, _DIGITS + 10) for s, v in self.point.items()}
        with mpmath.workdps(_DIGITS):
            start = [mpmath.mpmathify(exact[s]) for s in self.map.states]
            critical = mpmath.mpmathify(exact[self.parameter])
            others = {s: mpmath.mpmathify(v) for s, v in exact.items()}
            target = critical if r == float(critical) else mpmath.mpf(r)
            h, steps = start, 1 if abs(target - critical) < 1e-3 else 32
            for k in range(1, steps + 1):
                others[self.parameter] = critical + (target - critical) * k / steps
                h = self._newton(h, others)
            _, total = chain(self.map, h, others, self.period, self.parameter)
            jacobian = total[:, :n]
            multipliers = [mpmath.mpc(jacobian[0])] if n == 1 else mpmath.eig(jacobian, left=False, right=False)
            if self.kind == "neimark_sacker":
                upper = [v for v in multipliers if v.imag > 0]
                if not upper:
                    raise ValueError(
                        f"the critical pair of multipliers has met on the real axis at {self.parameter} = {r}"
                    )
                omega = mpmath.mpf(str(sp.N(self.coefficients["omega"], _DIGITS)))
                return float(abs(min(upper, key=lambda v: abs(v - mpmath.expj(omega))))), [float(v) for v in h]
            sign = -1 if self.kind == "period_doubling" or self._flips() else 1
            nearest = min(multipliers, key=lambda v: abs(v - sign))
            return float(sign * nearest.real), [float(v) for v in h]

    def _flips(self) -> bool:
        return self.kind == "stability_flip" and float(np.real(self._multiplier())) < 0

    def _multiplier(self) -> complex:
        _, total = chain(self.map, *self._start(), self.period, self.parameter)
        return complex(
            np.vdot(self.left, np.array(total[:, : self.map.dimension].tolist(), dtype=complex) @ self.right)
        )

    def _start(self) -> tuple[list[Any], dict[Any, Any]]:
        values = {s: mpmath.mpmathify(sp.N(v, _DIGITS)) for s, v in self.point.items()}
        return [values[s] for s in self.map.states], values

    def _newton(self, h: list[Any], others: dict[Any, Any]) -> list[Any]:
        n = self.map.dimension
        for _ in range(60):
            image, total = chain(self.map, h, others, self.period, self.parameter)
            gap = [a - b for a, b in zip(image, h, strict=True)]
            if max(map(abs, gap)) < mpmath.mpf(10) ** (-_DIGITS + 4) * (1 + max(map(abs, h))):
                return h
            h = [
                a + b for a, b in zip(h, mpmath.lu_solve(mpmath.eye(n) - total[:, :n], mpmath.matrix(gap)), strict=True)
            ]
        raise ValueError(f"the fixed point was not found at {self.parameter} = {float(others[self.parameter]):.6g}")

    def _parameter(self, g: float) -> float:
        """``r`` with the multiplier ``g``, by the secant method from the slope at the bifurcation."""
        critical, _ = self._critical
        c = self.coefficients
        if self.kind == "saddle_node":
            return critical - (g - 1) / float(c["c0"] * c["c2"])
        flip = -1 if self.kind == "period_doubling" or self._flips() else 1
        slope = float(c["dmodulus"]) if self.kind == "neimark_sacker" else flip * float(c["dlambda"])
        r = critical + (g - 1) / slope
        for _ in range(40):
            found = self._followed(r)[0]
            if abs(found - g) < 1e-14:
                break
            if abs(r - critical) > 1e-9:
                slope = (found - 1) / (r - critical)
            r -= (found - g) / slope
        return r


def _plain(value: Any) -> Any:
    return float(value) if np.ndim(value) == 0 else np.array(value)
