"""Distributions of initial states: moments for symbolic laws, densities for quadrature."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import sympy as sp

__all__ = ["Distribution", "Empirical", "Normal", "Uniform"]


def _number(value: Any, name: str) -> sp.Expr:
    given: Any = repr(value) if isinstance(value, float) else value
    number = sp.sympify(given, rational=True)  # pyright: ignore[reportCallIssue]  # overloads without rational=
    if not (number.is_real and number.is_finite):
        raise ValueError(f"{name} = {value!r} is not a finite real number")
    return number


@dataclass(frozen=True)
class Uniform:
    """``h0 ~ U[low, high]``; ``⟨h0^k⟩ = (high^{k+1} − low^{k+1})/((k+1)(high − low))``.

    Args:
        low: lower end.
        high: upper end.

    Raises:
        ValueError: an end is not finite, or ``low >= high``.

    >>> Uniform(-0.1, 0.1).moment(2)
    1/300
    """

    low: Any
    high: Any

    def __post_init__(self) -> None:
        if not _number(self.low, "low") < _number(self.high, "high"):
            raise ValueError(f"low = {self.low} must be below high = {self.high}; swap them")

    def moment(self, k: int, about: sp.Expr = sp.S.Zero) -> sp.Expr:
        """``⟨(h0 − about)^k⟩``, exact; floats are read as the decimals that they print as."""
        a, b = _number(self.low, "low") - about, _number(self.high, "high") - about
        return sp.Add(*(a**j * b ** (k - j) for j in range(k + 1))) / (k + 1)

    def panels(self) -> list[float]:
        """Ends and inner points between which to integrate."""
        low, high = float(_number(self.low, "low")), float(_number(self.high, "high"))
        return [low, 0.0, high] if low < 0 < high else [low, high]

    def density(self, x: np.ndarray) -> np.ndarray:
        """``1/(high − low)``."""
        return np.full(np.shape(x), 1 / float(_number(self.high, "high") - _number(self.low, "low")))

    def mean_of(self, expr: sp.Expr, h0: sp.Symbol) -> sp.Expr:
        """``⟨expr⟩`` as an integral, not worked out."""
        low, high = _number(self.low, "low"), _number(self.high, "high")
        return sp.Integral(expr, (h0, low, high)) / (high - low)


@dataclass(frozen=True)
class Normal:
    """``h0 ~ N(mean, std²)``; moments by ``m_k = mean m_{k−1} + (k−1) std² m_{k−2}``.

    Args:
        mean: centre.
        std: standard deviation, positive.

    Raises:
        ValueError: a value is not finite, or ``std <= 0``.

    >>> Normal(0, 2).moment(4)
    48
    """

    mean: Any
    std: Any

    def __post_init__(self) -> None:
        _number(self.mean, "mean")
        if not _number(self.std, "std") > 0:
            raise ValueError(f"std = {self.std} must be positive")

    def moment(self, k: int, about: sp.Expr = sp.S.Zero) -> sp.Expr:
        """``⟨(h0 − about)^k⟩``, exact."""
        mean, variance = _number(self.mean, "mean") - about, _number(self.std, "std") ** 2
        before, value = sp.Integer(0), sp.Integer(1)
        for j in range(k):
            before, value = value, mean * value + j * variance * before
        return value

    def panels(self) -> list[float]:
        """``mean ± 8.5 std`` and points between; the mass beyond, 2e-17, is left out, and with it orbits from there
        that may escape."""
        mean, std = float(_number(self.mean, "mean")), float(_number(self.std, "std"))
        edges = [mean + k * std for k in (-8.5, -4.0, -2.0, 0.0, 2.0, 4.0, 8.5)]
        return sorted({*edges, 0.0}) if edges[0] < 0 < edges[-1] else edges

    def density(self, x: np.ndarray) -> np.ndarray:
        """``exp(−(x − mean)²/2std²)/(std √2π)``."""
        std = float(_number(self.std, "std"))
        z = (x - float(_number(self.mean, "mean"))) / std
        return np.exp(-z * z / 2) / (std * np.sqrt(2 * np.pi))

    def mean_of(self, expr: sp.Expr, h0: sp.Symbol) -> sp.Expr:
        """``⟨expr⟩`` as an integral, not worked out."""
        mean, std = _number(self.mean, "mean"), _number(self.std, "std")
        density = sp.exp(-((h0 - mean) ** 2) / (2 * std**2)) / (std * sp.sqrt(2 * sp.pi))
        return sp.Integral(expr * density, (h0, -sp.oo, sp.oo))


@dataclass(frozen=True, eq=False)
class Empirical:
    """Equal weights on given initial states.

    Args:
        samples: states, shape ``(n,)``; ``(n, d)`` for a map of R^d.

    Raises:
        ValueError: empty, NaN or infinite samples.

    >>> float(Empirical([1.0, 3.0]).moment(2))
    5.0
    """

    samples: Any

    def __post_init__(self) -> None:
        samples = np.array(self.samples, dtype=float)
        if samples.ndim not in (1, 2) or samples.size == 0 or not np.all(np.isfinite(samples)):
            raise ValueError("samples must be a non-empty array (n,) or (n, d) of finite numbers")
        samples.flags.writeable = False
        object.__setattr__(self, "samples", samples)

    def moment(self, k: int, about: sp.Expr = sp.S.Zero) -> sp.Expr:
        """``⟨(h0 − about)^k⟩`` as a floating-point number.

        Raises:
            ValueError: samples of several dimensions, whose moments are no numbers.
        """
        if self.samples.ndim != 1:
            raise ValueError("moments need samples of shape (n,); these have several dimensions")
        return sp.Float(float(np.mean((self.samples - float(about)) ** k)), 17) if k else sp.Integer(1)

    def mean_of(self, expr: sp.Expr, h0: sp.Symbol) -> sp.Expr:
        """``⟨expr⟩`` as a sum over the samples."""
        return sp.Add(*(expr.subs(h0, sp.Float(x, 17)) for x in self.samples)) / len(self.samples)


Distribution = Uniform | Normal | Empirical
