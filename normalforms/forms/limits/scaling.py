"""Finite-time scaling functions: the amplification at ``T → ∞`` in the variables that keep its shape.

Next to a bifurcation the map is the flow of its normal form, ``dH/dτ = F(H, x)`` on 0 ≤ τ ≤ 1, and
``A_T → prefactor · Ψ(x, y)`` with an error O(1/T).  Every one-dimensional family has a closed Ψ: elementary
functions and one dilogarithm.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
import sympy as sp

from normalforms.exact import clifford, expmoment
from normalforms.families import Unfolding, is_cusp, unfolding
from normalforms.forms.limits import numerics
from normalforms.forms.limits.cusp import CuspScaling, cusp_scaling
from normalforms.forms.limits.regimes import Regime, regimes
from normalforms.formulas import DomainWarning, check_horizon, check_real, on_grid, product_axes, symbols
from normalforms.maps import Map

__all__ = ["CuspScaling", "Peak", "Regime", "Scaling", "regimes", "scaling"]

_x, _y = symbols("x y")
_D, _P, _b, _n, _r, _H, _G, _w, _Lambda = symbols("D P b n r H G w Lambda")
_kappa, _rho = sp.symbols("kappa rho")  # imaginary and of modulus one where x < 0


@dataclass(frozen=True)
class Peak:
    """The maximum of a scaling function over x: ``A`` peaks at ``g = 1 + x/T`` with ``prefactor · value``."""

    x: float
    value: float


@dataclass(frozen=True, eq=False)
class Scaling:
    """``A_T(g, h0) = prefactor · Ψ(x, y) · (1 + O(1/T))`` as ``T → ∞`` at fixed ``x`` and ``y``.

    Args:
        x: distance from the bifurcation, in ``g`` and ``T``.
        y: size of the initial state, in ``h0`` and ``T``.
        prefactor: the power of ``T`` that Ψ multiplies.
        compact: Ψ in ``x``, ``y`` and the abbreviations of ``where``.
        where: the abbreviations, each in ``x``, ``y`` and those after it.
        at_zero: Ψ at ``x = 0``, elementary.
        note: what Ψ is, what it is made of, where it is singular to the eye only, where it fails.
        inputs: the symbols of ``g``, ``h0``, ``T`` in call order.

    >>> from normalforms.maps.map import pitchfork
    >>> law = scaling(pitchfork())
    >>> law.prefactor, law.x, law.y
    (T**2, T*(g - 1), T*h0**2)
    >>> round(law.evaluate(1, 0.5), 15)
    0.100645023448725
    """

    x: sp.Expr
    y: sp.Expr
    prefactor: sp.Expr
    compact: sp.Expr
    where: tuple[tuple[sp.Symbol, sp.Expr], ...]
    at_zero: sp.Expr
    note: str
    inputs: tuple[sp.Symbol, sp.Symbol, sp.Symbol]
    _psi: numerics.Numerics = field(repr=False)
    _peaks: bool = field(repr=False)
    _error: Callable[[Any, Any], Any] = field(repr=False)

    @property
    def symbols(self) -> tuple[sp.Symbol, sp.Symbol]:
        """The symbols ``x`` and ``y`` of `function`."""
        return _x, _y

    @property
    def function(self) -> sp.Expr:
        """Ψ in ``x`` and ``y`` alone: `compact` with its abbreviations written out."""
        expr: Any = self.compact
        for symbol, value in self.where:
            expr = expr.xreplace({symbol: value})
        return expr

    def evaluate(self, x: Any, y: Any) -> Any:
        """Ψ in float64, elementwise over broadcast arrays, to a relative error below 1e-12 everywhere.

        Removable singularities (``x = 0``, ``y = x``, ``y² = x``) and their neighbourhoods included. It is
        ``inf`` where the limiting flow reaches infinity before τ = 1; next to that, where it grows like the
        inverse cube of the distance, the rounding of ``x`` and ``y`` themselves decides.

        Raises:
            ValueError: complex, NaN or infinite input.
        """
        x, y = check_real(x, "x"), check_real(y, "y")
        if product_axes([x, y]) is not None:
            return self._on_grid(x, y)
        x, y = np.broadcast_arrays(x, y)
        value = self._psi(x.ravel(), y.ravel()).reshape(x.shape)
        return float(value) if value.ndim == 0 else value

    def _on_grid(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Ψ on a product grid, by interpolation."""
        with np.errstate(all="ignore"):
            gone = self._psi.escapes(x, y)
            value = on_grid(self._psi, x, y, ~gone, focus=(0.0, 1.0))
        return np.where(gone, np.inf, value)

    def __call__(self, g: Any, h0: Any, horizon: int) -> Any:
        """The leading-order law ``prefactor · Ψ(x, y)``, elementwise over broadcast ``g`` and ``h0``.

        Args:
            g: parameter. h0: initial state (Neimark–Sacker: its modulus). horizon: steps.

        Returns:
            A float or an array; relative error O(1/T) at fixed x and y. A call warns where that is estimated to
            exceed a half, or the limiting flow escapes.

        Raises:
            ValueError: complex, NaN or infinite input, a horizon that is no positive integer.
        """
        g, h0, T = check_real(g, "g"), check_real(h0, "h0"), check_horizon(horizon)
        inner = (self.x, self.y, self.prefactor)
        x, y, prefactor = (_lambdify(e, self.inputs)(g, h0, float(T)) for e in inner)
        value = prefactor * self.evaluate(x, y)
        with np.errstate(all="ignore"):
            outside = ~((self._error(x, y) / T <= 0.5) & np.isfinite(value))
        if np.any(outside):
            warnings.warn(
                f"{int(np.sum(outside))} of {outside.size} values lie outside the domain of this scaling law: T so"
                f" large that x = {self.x} and y = {self.y} change little in a step, before the escape",
                DomainWarning,
                stacklevel=2,
            )
        return value

    def peak(self, y: float) -> Peak:
        """Place and height of the maximum of Ψ(·, y).

        Pitchfork and period doubling, as y → 0: ``x* = ½ ln(1/y) + ¾ ln x* + ¼ ln 2 + o(1)`` and
        ``Ψ* = ¼ − (1 + ln 2x*)/(8x*) + O(x*^{−3/2} ln x*)``, which tends to ¼ slowly. Transcritical:
        ``x* = ln(1/y) + (3/2) ln x* + ½ ln 6 + O(x*^{−1/2} ln x*)`` and
        ``Ψ* = x*/6 − ln(6x*)/6 + 7/12 − 2/√(6x*) + o(x*^{−1/2})``, which grows for ever.

        Args:
            y: scaled initial state, positive.

        Raises:
            ValueError: ``y`` is not positive, or Ψ has no maximum: it grows for ever (stability flip) or up
                to the escape of the orbit (saddle-node, subcritical families).
        """
        y = float(check_real(y, "y"))
        if not self._peaks:
            raise ValueError(f"this scaling function has no maximum over x: {self.note}")
        if y <= 0:
            raise ValueError(f"y = {y!r} must be positive; without an initial state nothing is amplified")
        lift = np.log1p(1 / y)
        # the peak of a small y lies where the front arrives; the transcritical one of a large y beyond 80 y
        grid = np.union1d(np.linspace(-3, 2 * lift + 6, 600), np.geomspace(1, 300 * (1 + y), 300))
        i = int(np.clip(np.argmax(self.evaluate(grid, y)), 1, len(grid) - 2))
        half = max(grid[i + 1] - grid[i - 1], 0.3)
        window = [grid[i] - half, grid[i] + half]
        fit = np.polynomial.Chebyshev.interpolate(lambda x: self.evaluate(x, y), 24, window)
        roots = fit.deriv().roots()
        inside = roots[(np.abs(roots.imag) < 1e-6) & (np.abs(roots.real - grid[i]) <= half)].real
        best = float(max(inside, key=fit, default=grid[i]))
        return Peak(best, self.evaluate(best, y))

    def latex(self) -> str:
        """``Ψ`` as LaTeX, with its abbreviations."""
        lines = [f"\\Psi &= {sp.latex(self.compact)}"]
        lines += [f"{sp.latex(s)} &= {sp.latex(e)}" for s, e in self.where]
        return "\\begin{aligned}" + " \\\\ ".join(lines) + "\\end{aligned}"

    def _repr_latex_(self) -> str:
        return f"$\\displaystyle {self.latex()}$"


@cache
def _lambdify(expr: sp.Expr, inputs: tuple[sp.Symbol, ...]) -> Callable[..., Any]:
    return sp.lambdify(inputs, expr, "numpy")


def _li(order: int, z: sp.Expr) -> sp.Expr:
    return sp.re(sp.polylog(order, z))


def _bernoulli(U: sp.Expr) -> tuple[tuple[sp.Symbol, sp.Expr], ...]:
    """``P = ∫N/(D(D − b)) dD``, ``n = N/D``, ``N = D − 1 + b u`` along ``D = 1 + y(e^u − 1)/x``, u ≤ U."""
    P = U * (1 + U - sp.log(sp.Abs(_x * _D / _y))) + _li(2, _r * sp.exp(-U)) - _li(2, _r) - (U - sp.log(_D)) / _b
    return (
        (_P, P),
        (_n, (_D - 1 + _b * U) / _D),
        (_D, 1 + _y * (sp.exp(U) - 1) / _x),
        (_b, 1 - _y / _x),
        (_r, 1 - _x / _y),
    )


_CUBIC = (_P - _n**2 / 2) / (8 * _x**2)
_W = sp.log(1 + 2 * _y)
_CUBIC_ZERO = (sp.sinh(2 * _W) - 2 * _W) / (32 * _y**2)
_PHASE_ZERO = (sp.sinh(2 * _W) - 8 * sp.sinh(_W) + 6 * _W) / (32 * _y**2)


def _flip() -> dict[str, Any]:
    U = 2 * _x
    return {
        "compact": _y * (sp.exp(U) * (U**2 - 2 * U + 2) - 2) / U**3,
        "where": (),
        "at_zero": _y / 3,
        "psi": numerics.STABILITY_FLIP,
        "peaks": False,
        "note": "Ψ = y ∫ τ² e^{2xτ} dτ over 0 ≤ τ ≤ 1 for H' = x H: elementary, and growing with x for ever.",
    }


def _pitchfork() -> dict[str, Any]:
    return {
        "compact": _CUBIC,
        "where": _bernoulli(2 * _x),
        "at_zero": _CUBIC_ZERO,
        "psi": numerics.PITCHFORK,
        "peaks": True,
        "note": "Ψ = ∫ (∂H/∂x)² dτ over 0 ≤ τ ≤ 1 for H' = x H − H³, H(0)² = y: elementary functions and one"
        " dilogarithm; removable at x = 0 and y = x. For y < 0 it continues to H' = x H + H³, where it is −∫"
        " and ends with the escape at D = 0.",
    }


def _transcritical() -> dict[str, Any]:
    return {
        "compact": (_P / 3 + 2 * (_x - _n) / 3 - _n**2 / 2 + _b * _n**2 / (3 * _D)) / _x,
        "where": _bernoulli(_x),
        "at_zero": _y**2 * (4 + 3 * _y) / (12 * (1 + _y) ** 3),
        "psi": numerics.TRANSCRITICAL,
        "peaks": True,
        "note": "Ψ = ∫ (∂H/∂x)² dτ over 0 ≤ τ ≤ 1 for H' = x H − H², H(0) = y: elementary functions and one"
        " dilogarithm; removable at x = 0 and y = x; infinite from the escape at D = 0 on (y < 0).",
    }


def _saddle_node() -> dict[str, Any]:
    compact = (
        _G**2 * _H * (3 * _x - _H**2) / (3 * _w**2)
        - (_D**4 * _H + 2 * (_w - _y) * _D**2 + _y) / (6 * _w**2)
        + _G / (6 * _w)
        + (1 + _Lambda + (_y / _w - 1) * sp.log(_D)) / (3 * _x)
    )
    mean = sp.log((_y + _kappa) / (2 * _kappa)) + _kappa / 2
    mean += (sp.polylog(2, _rho * sp.exp(-2 * _kappa)) - sp.polylog(2, _rho)) / (2 * _kappa)
    w = sp.log(1 + _y)
    return {
        "compact": compact,
        "where": (
            (_Lambda, sp.re(mean, evaluate=False)),
            (_G, (_w - _y + _D**2 * _H) / (2 * _x)),
            (_H, (_kappa * sp.sinh(_kappa) + _y * sp.cosh(_kappa)) / _D),
            (_D, sp.cosh(_kappa) + _y * sp.sinh(_kappa) / _kappa),
            (_w, _x - _y**2),
            (_rho, (_y - _kappa) / (_y + _kappa)),
            (_kappa, sp.sqrt(_x)),
        ),
        "at_zero": 2 * (sp.sinh(3 * w) - 3 * w) / (27 * _y**3),
        "psi": numerics.SADDLE_NODE,
        "peaks": False,
        "note": "Ψ = ∫ (∂H/∂x)² dτ over 0 ≤ τ ≤ 1 for H' = x − H², H(0) = y: elementary functions and one"
        " dilogarithm (Clausen's function for x < 0, where κ is imaginary and Λ = ∫ ln D dτ real); removable"
        " at x = 0 and x = y²; infinite from the escape at D = 0 on, towards which it grows with no maximum.",
    }


def _neimark_sacker(c: sp.Expr, twist: sp.Expr) -> dict[str, Any]:
    """``Ψ + twist² Ψ_θ``; the phase integral ``Ψ_θ = ∫ H² (∂Θ/∂x)² dτ``, ``Θ = ½ ln D``."""
    U, L = 2 * _x, sp.log(sp.Abs(_x * _D / _y))
    q = _r * sp.exp(-U)
    phase = U**2 * (L - 1 - 2 * U / 3 + 2 * _b / _D) + 2 * U * (1 - 1 / _D)
    phase += 2 * (_li(3, _r) - _li(3, q) - U * _li(2, q)) - _P - _n**2 / 2
    return {
        "compact": _CUBIC + twist**2 * phase / (8 * _x**2),
        "where": _bernoulli(U),
        "at_zero": _CUBIC_ZERO + twist**2 * _PHASE_ZERO,
        "psi": numerics.neimark_sacker(float(twist)),
        "peaks": bool(c > 0) and twist == 0,
        "note": "Ψ = ∫ (∂R/∂x)² + R² (∂Θ/∂x)² dτ over 0 ≤ τ ≤ 1, both parts of ‖∂z/∂g‖², for the amplitude"
        " R' = x R − R³, R(0)² = y, and the phase Θ' = (Im d/|Re d|) R² that it drives: the amplitude part"
        " is the pitchfork's Ψ, the phase part adds one trilogarithm and grows with x for ever. h0 is |z_0|;"
        " the rotation ω drops out.",
    }


def scaling(m: Map, *, stretch: Any = 1, gain: Any = 1) -> Any:
    """The finite-time scaling function of a family, ``A_T = prefactor · Ψ(x, y) (1 + O(1/T))``.

    ====================  ===================  ==========  =============  =================
    family                x                    y           prefactor      flow
    ====================  ===================  ==========  =============  =================
    stability flip        T (g − 1)            T h0²       T²             H' = x H
    pitchfork, period
    doubling              T (g − 1)            T h0²       T²             H' = x H − H³
    transcritical         T (g − 1)            T h0        T              H' = x H − H²
    saddle-node           T² (g − 1)           T h0        T³             H' = x − H²
    Neimark–Sacker        T (g − 1)            c T |z0|²   T²/c           R' = x R − R³,
                                                                          c = −Re d
    ====================  ===================  ==========  =============  =================

    A coefficient c of the nonlinear term other than one enters ``y`` and ``prefactor``. The cusp's is a 2×2
    matrix in three variables and without a closed form, see `normalforms.forms.limits.cusp.CuspScaling`.

    Args:
        m: a named family, or a map of the same form with another coefficient of its nonlinear term.
        stretch: factor from the caller's ``h0`` to the map's.
        gain: factor from the map's ``A`` to the caller's.

    Returns:
        A `Scaling`; for the cusp a `CuspScaling`.

    Raises:
        ValueError: the map is none of these; reduce it to its normal form first.

    >>> from normalforms.maps.map import stability_flip
    >>> scaling(stability_flip()).at_zero
    y/3
    """
    if is_cusp(m):
        return cusp_scaling(m)
    u = unfolding(m)
    made = _parts(u)
    (g, h0, T), c = u.inputs, u.coefficient
    state = sp.sympify(stretch) * h0
    x, y, prefactor = T * (g - 1), c * T * state**2, T**2 / c
    if u.kind == "transcritical":
        y, prefactor = c * T * state, T / c**2
    elif u.kind == "saddle_node":
        x, y, prefactor = c * T**2 * (g - 1), c * T * state, T**3
    psi, peaks = made.pop("psi"), made.pop("peaks")
    peaks = peaks and not (u.kind in ("pitchfork", "period_doubling") and c.is_negative)
    return Scaling(
        x, y, sp.sympify(gain) * prefactor, **made, inputs=u.inputs, _psi=psi, _peaks=peaks, _error=_flow_error(u.kind)
    )


def _flow_error(kind: str) -> Callable[[Any, Any], Any]:
    """``T`` times the size of the relative error of a scaling law, as its comparison with iteration shows it.

    The leading terms ``3 + x² + |y|`` (``|x|`` in the fold), over the distance ``D`` to the escape.
    """

    def error(x: Any, y: Any) -> Any:
        if kind == "stability_flip":
            return 3 + x**2
        if kind == "saddle_node":
            return (3 + np.abs(x) + np.abs(y)) / _near(clifford(-1, x) + y * clifford(0, x))
        power = 1 if kind == "transcritical" else 2
        return (3 + x**2 + np.abs(y)) / _near(1 + power * y * expmoment(0, power * x))

    return error


def _near(distance: Any) -> Any:
    return np.clip(distance, 0, 1)


def _parts(u: Unfolding) -> dict[str, Any]:
    if u.kind == "neimark_sacker":
        return _neimark_sacker(u.coefficient, u.twist)
    table = {
        "stability_flip": _flip,
        "pitchfork": _pitchfork,
        "period_doubling": _pitchfork,
        "transcritical": _transcritical,
        "saddle_node": _saddle_node,
    }
    return table[u.kind]()
