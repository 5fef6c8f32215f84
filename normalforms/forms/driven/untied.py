"""One parameter per step: a deep network read as a map, ``h_{t+1} = f(h_t, g_t)``, and the law that belongs to it.

With the parameters free at every step the Jacobian is a matrix over (time, step), lower triangular,

    J_{ts} = f_h(h_{t−1}) ⋯ f_h(h_s) f_g(h_{s−1}),   1 ≤ s ≤ t ≤ T,

and its kernel ``J Jᵀ`` is no longer of rank one: tying the parameters sums the columns, ``A_T = ‖J 1‖²``. At
criticality ``J = h0`` on and below the diagonal, so that ``λ₁ = h0²/(4 sin²(π/(4T + 2)))`` grows
like ``T²`` where the tied law has ``T³/3``, and the stable rank tends to ``π²/8``, not 1.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
import scipy  # its parts load when first used
import sympy as sp

from normalforms.families import recognise
from normalforms.formulas import Formula, check_horizon, check_real, symbols
from normalforms.maps import Map

__all__ = ["UntiedLaw", "untied"]

_LONGEST = 3000


@dataclass(frozen=True)
class UntiedLaw:
    """``λ₁(J Jᵀ)`` of one trajectory whose parameter is free at every step; see the module for ``J``.

    Args:
        map: a scalar map with one parameter.
        stretch: factor from the caller's ``h0`` to the map's.
        gain: factor from the map's ``λ₁`` to the caller's.

    Raises:
        ValueError: a map of the plane or of several parameters.

    >>> from normalforms import stability_flip
    >>> law = UntiedLaw(stability_flip())
    >>> round(law(1.0, 1.0, 200) / law.critical()(1.0, 200), 9)
    1.0
    """

    map: Map
    stretch: sp.Expr = field(default=sp.Integer(1), kw_only=True)
    gain: sp.Expr = field(default=sp.Integer(1), kw_only=True)

    def __post_init__(self) -> None:
        if not isinstance(self.map, Map) or self.map.dimension > 1 or len(self.map.parameters) > 1:
            raise ValueError(
                "the untied law belongs to scalar maps with one parameter; reduce the map to its normal form"
            )

    def jacobian(self, g: Any, h0: float, horizon: int) -> np.ndarray:
        """``J``, shape ``(T, T)`` over (time, step).

        Args:
            g: one parameter for every step, or ``T`` of them.
            h0: initial state.
            horizon: steps, at most 3000.

        Raises:
            ValueError: neither one nor ``T`` parameters, or a horizon out of range.
        """
        T, g = check_horizon(horizon), check_real(g, "g")
        if T > _LONGEST:
            raise ValueError(f"horizon = {T} is too long for a matrix over (time, step); at most {_LONGEST}")
        if g.shape not in ((), (T,)):
            raise ValueError(f"g has shape {g.shape}; give one parameter, or one for each of the {T} steps")
        f, f_h, f_g = _functions(self.map)
        u, J = float(check_real(h0, "h0")) * float(self.stretch), np.zeros((T, T))
        with np.errstate(all="ignore"):
            for t, p in enumerate(np.broadcast_to(g, (T,))):
                if t:
                    J[t, :t] = f_h(u, p) * J[t - 1, :t]
                J[t, t] = f_g(u, p)
                u = f(u, p)
        return J * float(sp.sqrt(self.gain))

    def __call__(self, g: Any, h0: Any, horizon: int) -> Any:
        """``λ₁ = ‖J‖₂²``, elementwise over broadcast ``g`` and ``h0``, the same ``g`` at every step.

        Returns:
            A float or an array; ``inf`` where the orbit left the floats.
        """
        return self._each(lambda J: float(scipy.linalg.svdvals(J)[0] ** 2), g, h0, horizon)

    def frobenius(self, g: Any, h0: Any, horizon: int) -> Any:
        """``‖J‖_F² = tr J Jᵀ``, elementwise as the call."""
        return self._each(lambda J: float(np.sum(J * J)), g, h0, horizon)

    def stable_rank(self, g: Any, h0: Any, horizon: int) -> Any:
        """``‖J‖_F²/‖J‖₂²``; at criticality it tends to ``π²/8 = 1.234``, where the tied one is 1."""
        return self.frobenius(g, h0, horizon) / self(g, h0, horizon)

    def _each(self, number: Any, g: Any, h0: Any, horizon: int) -> Any:
        g, h0 = np.broadcast_arrays(check_real(g, "g"), check_real(h0, "h0"))
        found = []
        for a, b in zip(g.flat, h0.flat, strict=True):
            J = self.jacobian(float(a), float(b), horizon)
            found.append(number(J) if np.all(np.isfinite(J)) else np.inf)
        return found[0] if g.ndim == 0 else np.reshape(found, g.shape)

    def critical(self) -> Formula:
        """``λ₁ = h0²/(4 sin²(π/(4T + 2)))`` of ``h0, T``: at ``g = 1`` while the orbit does not saturate.

        The kernel is ``h0² min(t, t')``, whose inverse is the second difference with one free end.

        Raises:
            ValueError: a family whose ``f_g`` is not ``h``.
        """
        self._linear()
        h0, T = symbols("h0 T")
        return Formula(self.gain * (self.stretch * h0) ** 2 / (4 * sp.sin(sp.pi / (4 * T + 2)) ** 2), (h0, T))

    def tied_ratio(self) -> Formula:
        """``A_T/λ₁ = (2/3) T(T+1)(2T+1) sin²(π/(4T+2))`` of ``T``, tied over untied, → ``π² T(T+1)/(6(2T+1))``.

        >>> from normalforms import stability_flip
        >>> round(UntiedLaw(stability_flip()).tied_ratio()(200), 3)
        164.903
        """
        self._linear()
        T = symbols("T")
        return Formula(sp.Rational(2, 3) * T * (T + 1) * (2 * T + 1) * sp.sin(sp.pi / (4 * T + 2)) ** 2, (T,))

    def scaling(self, x: float, y: float) -> tuple[float, float]:
        """``(Υ, stable rank)`` as ``T → ∞``: ``λ₁ ≈ T Υ(x, y)/c``, ``x = T(g − 1)``, ``y = c T h0²``.

        The top eigenvalue of a Sturm–Liouville problem, with ``D = 1 + y (e^{2xτ} − 1)/x`` (1 in the linear family):

            (ψ'/(y D²))' = −Υ^{−1} e^{2xτ} D^{−3} ψ,   ψ(0) = 0,   ψ'(1) = 0,

        by Chebyshev integration on 48 points; ``Υ(0, y) → 4y/π²`` as ``y → 0``. In caller's units ``y`` takes the
        stretched state.

        Raises:
            ValueError: ``y`` is not positive, or a family that is no linear map, supercritical pitchfork or its flip.

        >>> from normalforms import stability_flip
        >>> value, rank = UntiedLaw(stability_flip()).scaling(0.0, 1.0)
        >>> round(value * np.pi**2 / 4, 12), round(rank * 8 / np.pi**2, 12)
        (1.0, 1.0)
        """
        kind, c = self._linear()
        x, y = float(check_real(x, "x")), float(check_real(y, "y"))
        if not y > 0 or not c > 0:
            raise ValueError(f"y = {y:g} and c = {c} must be positive")
        tau, forward = _integration(48)
        back = forward[-1] - forward
        grown = np.where(x == 0, 2 * tau, np.expm1(2 * x * tau) / (x or 1.0))
        D = 1 + y * grown * (kind != "stability_flip")
        inner, outer = y * D**2, np.exp(2 * x * tau) / D**3
        operator = forward @ (inner[:, None] * back) * outer
        top = float(np.max(np.linalg.eigvals(operator).real))
        return top, float(forward[-1] @ (outer * (forward @ inner))) / top

    def _linear(self) -> tuple[str, sp.Expr]:
        found = recognise(self.map)
        if found.kind not in ("stability_flip", "pitchfork", "period_doubling"):
            raise ValueError(f"the closed untied laws belong to families whose f_g is h, not to {found.kind}")
        return found.kind, found.coefficient


@cache
def _functions(m: Map) -> tuple[Any, Any, Any]:
    h, g = m.states[0], m.parameters[0]
    return tuple(sp.lambdify((h, g), e, "numpy") for e in (m.steps[0], m.steps[0].diff(h), m.steps[0].diff(g)))


@cache
def _integration(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Chebyshev points of [0, 1] from 0 to 1 and the matrix of ``∫₀^τ`` on them."""
    z = -np.cos(np.pi * np.arange(n) / (n - 1))
    to_coefficients = np.linalg.inv(np.polynomial.chebyshev.chebvander(z, n - 1))
    integrals = [np.polynomial.chebyshev.Chebyshev.basis(k).integ(lbnd=-1)(z) for k in range(n)]
    return (1 + z) / 2, np.stack(integrals, axis=1) @ to_coefficients / 2


def untied(m: Map, stretch: Any = 1, gain: Any = 1) -> UntiedLaw:
    """The law of a map whose parameter is free at every step; see `UntiedLaw`.

    Args:
        m: a scalar map with one parameter.
        stretch: factor from the caller's ``h0`` to the map's.
        gain: factor from the map's ``λ₁`` to the caller's.

    >>> from normalforms import pitchfork
    >>> untied(pitchfork()).critical().expr
    h0**2/(4*sin(pi/(4*T + 2))**2)
    """
    return UntiedLaw(m, stretch=sp.sympify(stretch), gain=sp.sympify(gain))
