"""The finite-time scaling of the cusp: a 2×2 matrix in three variables, given as integrals."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import sympy as sp

from normalforms.formulas import Domain, DomainWarning, Equations, check_horizon, check_real, symbols, top_eigenvalue
from normalforms.maps import Map

__all__ = ["CuspScaling", "cusp_scaling"]

_x, _y, _z, _end, _eta, _zeta = symbols("x y z H_1 eta zeta")


@dataclass(frozen=True, eq=False)
class CuspScaling:
    """``Σ_t s_tᵀ s_t = prefactor ∘ Ψ(x, y, z) · (1 + O(1/T))`` over ``(β, g)``, entry by entry.

    The flow is ``H' = z + x H − H³``, ``H(0) = y``, for 0 ≤ τ ≤ 1, and ``Ψ_pq = ∫ ∂H/∂p ∂H/∂q dτ`` with p, q
    among z, x. No closed form is known: with ``F(η) = z + x η − η³``, whose three roots give the time by
    partial fractions, H(τ) is implicit. `function` is Ψ as integrals over η up to ``H_1 = H(1)``, the root of
    `condition`.

    Args:
        x: ``T (g − 1)``.
        y: ``√T h0``.
        z: ``T^{3/2} β``.
        prefactor: ``[[T³, T^{5/2}], [T^{5/2}, T²]]``.
        function: the matrix Ψ in ``x, y, z, H_1``.
        condition: zero at ``H_1``.
        note: the honest statement.
        inputs: the symbols of β, g, h0, T.

    A call gives the amplification, the top eigenvalue, and `gram` the matrix.

    >>> law = cusp_scaling()
    >>> round(float(law.evaluate(1, 0.5**0.5, 0)[1, 1]), 12)
    0.100645023449
    """

    x: sp.Expr
    y: sp.Expr
    z: sp.Expr
    prefactor: sp.Matrix
    function: sp.Matrix
    condition: sp.Expr
    note: str
    inputs: tuple[sp.Symbol, ...]

    @property
    def symbols(self) -> tuple[sp.Symbol, ...]:
        """The symbols ``x, y, z, H_1`` of `function`."""
        return _x, _y, _z, _end

    def evaluate(self, x: Any, y: Any, z: Any) -> np.ndarray:
        """Ψ by an eighth-order integrator of the variational flow, relative tolerance 1e-13.

        Args:
            x, y, z: real numbers or arrays that broadcast.

        Returns:
            Array of shape ``(*broadcast, 2, 2)``, in the order (z, x).

        Raises:
            ValueError: complex, NaN or infinite input.
        """
        x, y, z = np.broadcast_arrays(check_real(x, "x"), check_real(y, "y"), check_real(z, "z"))
        points = zip(x.ravel(), y.ravel(), z.ravel(), strict=True)
        return np.array([_matrix(*point) for point in points]).reshape(*x.shape, 2, 2)

    @property
    def domain(self) -> Domain:
        """Where the law holds."""
        return Domain(
            f"T → ∞ at fixed x = {self.x}, y = {self.y} and z = {self.z}, relative error O(1/T), before the escape"
        )

    def __call__(self, g: tuple[Any, Any], h0: Any, horizon: int) -> Any:
        """The leading-order amplification for ``g = (β, g)``, elementwise over arrays that broadcast."""
        return top_eigenvalue(self.gram(g, h0, horizon))

    def gram(self, g: tuple[Any, Any], h0: Any, horizon: int) -> np.ndarray:
        """The leading-order matrix for ``g = (β, g)``; arrays broadcast, the matrix is the last two axes.

        Relative error O(1/T) at fixed x, y and z. A call warns where that is estimated to exceed a half.
        """
        beta, g_, h0 = check_real(g[0], "beta"), check_real(g[1], "g"), check_real(h0, "h0")
        T = float(check_horizon(horizon))
        power = np.array([[T**3, T**2.5], [T**2.5, T**2]])
        x, y, z = np.broadcast_arrays(T * (g_ - 1), T**0.5 * h0, T**1.5 * beta)
        value = power * self.evaluate(x, y, z)
        outside = ~((_flow_error(x, y, z) / T <= 0.5) & np.all(np.isfinite(value), axis=(-2, -1)))
        if np.any(outside):
            warnings.warn(
                f"{int(np.sum(outside))} of {outside.size} matrices lie outside the domain of this scaling law: T so"
                f" large that x = {self.x}, y = {self.y} and z = {self.z} change little in a step",
                DomainWarning,
                stacklevel=2,
            )
        return value

    def printed(self) -> Equations:
        """The law as equations, left and right sides."""
        names = [(sp.Symbol(n), e) for n, e in (("x", self.x), ("y", self.y), ("z", self.z))]
        return ((sp.Symbol("A"), self.prefactor * sp.Symbol("Psi")), *names, (sp.Symbol("Psi"), self.function))

    def latex(self) -> str:
        """Ψ as LaTeX."""
        return rf"\Psi = {sp.latex(self.function)}"

    def code(self, language: str = "python", name: str = "psi") -> str:
        """There is none.

        Raises:
            ValueError: always.
        """
        raise ValueError(f"the cusp's scaling function is a matrix of integrals without {language} source; print it")


def _flow_error(x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
    """``T`` times the size of the relative error, as its comparison with iteration shows it."""
    return 3 + x**2 + y**2 + np.abs(z)


def _matrix(x: float, y: float, z: float) -> list[list[float]]:
    # SciPy's integrators take half a second to load, and only the cusp needs them
    from scipy.integrate import solve_ivp

    def flow(_: float, v: np.ndarray) -> list[float]:
        h, s, r = v[:3]
        slope = x - 3 * h * h
        return [z + x * h - h**3, slope * s + 1, slope * r + h, s * s, s * r, r * r]

    start = [y, 0.0, 0.0, 0.0, 0.0, 0.0]
    end = solve_ivp(flow, (0.0, 1.0), start, method="DOP853", rtol=1e-13, atol=1e-30).y[3:, -1]
    return [[end[0], end[1]], [end[1], end[2]]]


def cusp_scaling(m: Map | None = None) -> CuspScaling:
    """The scaling of ``h' = β + g h − h³``; see `CuspScaling`.

    Args:
        m: the cusp with its own names of the parameters; the named family by default.

    >>> cusp_scaling().prefactor[0, 0]
    T**3
    """
    beta, g = m.parameters if m is not None else symbols("beta g")
    h0, T = symbols("h0 T")

    def weight(k: int) -> sp.Expr:
        return sp.Integral(_zeta**k / (_z + _x * _zeta - _zeta**3) ** 2, (_zeta, _y, _eta))

    F = _z + _x * _eta - _eta**3
    half = sp.Rational(1, 2)
    return CuspScaling(
        T * (g - 1),
        sp.sqrt(T) * h0,
        T ** (3 * half) * beta,
        sp.Matrix([[T**3, T ** (5 * half)], [T ** (5 * half), T**2]]),
        sp.Matrix(2, 2, lambda i, j: sp.Integral(F * weight(i) * weight(j), (_eta, _y, _end))),
        sp.Integral(1 / F, (_eta, _y, _end)) - 1,
        "Ψ has no known closed form for z ≠ 0: H(τ) solves a transcendental equation, ∫ dη/F = τ by partial"
        " fractions over the three roots of F. At z = 0 its last entry is the pitchfork's Ψ(x, y²).",
        (beta, g, h0, T),
    )
