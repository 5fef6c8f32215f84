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
from sympy.printing.pycode import MpmathPrinter

from normalforms.forms.limits.numerics import Numerics
from normalforms.formulas import (
    Domain,
    DomainWarning,
    Equations,
    Notation,
    check_horizon,
    check_real,
    on_grid,
    product_axes,
    symbols,
)

__all__ = ["Peak", "Scaling"]

_x, _y = symbols("x y")
_FUNCTIONS = ("re", "im", "polylog")


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
        psi: Ψ in stable float64.
        peaks: whether Ψ has a maximum over x.
        error: ``(x, y) →`` T times the size of the relative error, as the comparison with iteration shows it.
        notation: how ``g`` and ``h0`` are given.
        slow: the same for √T, of an error that fades as ``1/√T`` only; ``None`` where there is none.

    >>> from normalforms import pitchfork
    >>> from normalforms.law import amplification
    >>> law = amplification(pitchfork()).scaling()
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
    psi: Numerics = field(repr=False)
    peaks: bool = field(repr=False)
    error: Callable[[Any, Any], Any] = field(repr=False)
    notation: Notation | None = field(default=None, repr=False, kw_only=True)
    slow: Callable[[Any, Any], Any] | None = field(default=None, repr=False, kw_only=True)

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
        value = self.psi(x.ravel(), y.ravel()).reshape(x.shape)
        return float(value) if value.ndim == 0 else value

    def _on_grid(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Ψ on a product grid, by interpolation."""
        with np.errstate(all="ignore"):
            gone = self.psi.escapes(x, y)
            value = on_grid(self.psi, x, y, ~gone, focus=(0.0, 1.0))
        return np.where(gone, np.inf, value)

    def __call__(self, g: Any, h0: Any, horizon: int) -> Any:
        """The leading-order law ``prefactor · Ψ(x, y)``, elementwise over broadcast ``g`` and ``h0``.

        Args:
            g: parameter. h0: initial state; of a planar map its components or, where only that counts, its modulus.
            horizon: steps.

        Returns:
            A float or an array; relative error O(1/T) at fixed x and y. A call warns where that is estimated to
            exceed a half, or the limiting flow escapes.

        Raises:
            ValueError: complex, NaN or infinite input, a horizon that is no positive integer.
        """
        size = check_real(h0, "h0") if self.notation is None else self.notation.size(h0)
        g, h0, T = check_real(g, "g"), size, check_horizon(horizon)
        inner = (self.x, self.y, self.prefactor)
        x, y, prefactor = (_lambdify(e, self.inputs)(g, h0, float(T)) for e in inner)
        value = prefactor * self.evaluate(x, y)
        with np.errstate(all="ignore"):
            error = self.error(x, y) / T + (0 if self.slow is None else self.slow(x, y) / np.sqrt(T))
            outside = ~((error <= 0.5) & np.isfinite(value))
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
        if not self.peaks:
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

    @property
    def domain(self) -> Domain:
        """Where the law holds."""
        rate = "1/T" if self.slow is None else "1/√T"
        return Domain(f"T → ∞ at fixed x = {self.x} and y = {self.y}, relative error O({rate}), before the escape")

    def printed(self) -> Equations:
        """The law as equations, left and right sides."""
        head = ((sp.Symbol("A"), self.prefactor * sp.Symbol("Psi")), (_x, self.x), (_y, self.y))
        return (*head, (sp.Symbol("Psi"), self.compact), *self.where)

    def code(self, language: str = "python", name: str = "psi") -> str:
        """Source of ``name(x, y)``, Ψ in mpmath; 120 digits make up for what the closed form loses next to its
        removable singularities.

        Raises:
            ValueError: another language than Python: they lack the dilogarithm.
        """
        if language != "python":
            raise ValueError(
                f"a scaling function has no {language} source, it needs a dilogarithm; choose --format python"
            )
        settings = {"fully_qualified_modules": True, "user_functions": {f: f"mpmath.{f}" for f in _FUNCTIONS}}
        text = MpmathPrinter(settings).doprint
        lines = ["import mpmath", "", "", f"def {name}(x, y):", "    with mpmath.workdps(120):"]
        lines += ["        x, y = mpmath.mpf(x), mpmath.mpf(y)*(1 + mpmath.mpf(10)**-25)"]
        lines += ["        if abs(x) < mpmath.mpf(10)**-25:", f"            return +({text(self.at_zero)})"]
        lines += [f"        {text(symbol)} = {text(value)}" for symbol, value in reversed(self.where)]
        return "\n".join([*lines, f"        return mpmath.re({text(self.compact)})", ""])

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
