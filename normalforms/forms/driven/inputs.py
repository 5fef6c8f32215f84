"""Inputs of a driven map ``h_{t+1} = f(h_t, g) + x_t``: what they are, their covariance, and samples of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import repeat
from typing import Any, ClassVar

import numpy as np
import sympy as sp

__all__ = ["Autoregressive", "Constant", "Input", "Sinusoid", "White", "exact_number", "law_moment", "law_nodes"]


def exact_number(value: Any, name: str) -> sp.Expr:
    """``value`` as an exact real number; floats are read as the decimals that they print as.

    Raises:
        ValueError: not a finite real number.

    >>> exact_number(0.1, "sigma")
    1/10
    """
    try:
        number = sp.Rational(repr(float(value))) if isinstance(value, (float, np.floating)) else sp.sympify(value)
    except (TypeError, ValueError, SyntaxError, sp.SympifyError):
        number = sp.nan
    if isinstance(value, (bool, str)) or not (number.is_number and number.is_real and number.is_finite):
        raise ValueError(f"{name} = {value!r} is not a finite real number; give one, such as 0.05")
    return number


def _not_negative(value: Any, name: str) -> sp.Expr:
    number = exact_number(value, name)
    if number < 0:
        raise ValueError(f"{name} = {value!r} is negative; it is a standard deviation, give its absolute value")
    return number


def _known(law: str, laws: tuple[str, ...]) -> None:
    if law not in laws:
        raise ValueError(f"law = {law!r} is not known; choose one of {', '.join(laws)}")


def law_nodes(law: str, count: int = 24) -> tuple[np.ndarray, np.ndarray]:
    """Nodes and weights of a law of mean 0 and variance 1.

    ``E φ(ξ) = Σ_j w_j φ(ξ_j)``: exact for "fixed" and "binary", exact for polynomials of degree ``2 count − 1`` in
    the others (Gauss–Legendre and Gauss–Hermite).

    >>> law_nodes("binary")
    (array([-1.,  1.]), array([0.5, 0.5]))
    """
    if law == "fixed":
        return np.ones(1), np.ones(1)
    if law == "binary":
        return np.array([-1.0, 1.0]), np.array([0.5, 0.5])
    if law == "uniform":
        x, w = np.polynomial.legendre.leggauss(count)
        return np.sqrt(3) * x, w / 2
    x, w = np.polynomial.hermite_e.hermegauss(count)
    return x, w / w.sum()


def _draw(law: str, rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    if law == "fixed":
        return np.ones(shape)
    if law == "binary":
        return 2.0 * rng.integers(0, 2, shape) - 1
    if law == "uniform":
        return rng.uniform(-np.sqrt(3), np.sqrt(3), shape)
    return rng.standard_normal(shape)


def law_moment(law: str, k: int) -> sp.Expr:
    """``E ξ^k`` of a law of mean 0 and variance 1, exact.

    >>> [law_moment("normal", k) for k in range(5)]
    [1, 0, 1, 0, 3]
    """
    if k % 2:
        return sp.Integer(0)
    if law == "uniform":
        return sp.Integer(3) ** (k // 2) / (k + 1)
    return sp.factorial2(k - 1) if law == "normal" and k else sp.Integer(1)


@dataclass(frozen=True)
class White:
    """White noise, ``x_t = σ ξ_t`` with independent ``ξ_t`` of mean 0 and variance 1; ``c(k) = σ² δ_k``.

    Args:
        sigma: standard deviation σ, in units of the state.
        law: of ξ: "normal"; "binary", ±1; or "uniform" on ±√3. The last two are bounded, so that orbits may stay.

    Raises:
        ValueError: σ is no number or negative, or the law is unknown.

    >>> White(0.1).covariance(0), White(0.1).covariance(3)
    (1/100, 0)
    """

    sigma: Any
    law: str = "normal"
    laws: ClassVar[tuple[str, ...]] = ("normal", "binary", "uniform")

    def __post_init__(self) -> None:
        _not_negative(self.sigma, "sigma")
        _known(self.law, self.laws)

    def covariance(self, k: int) -> sp.Expr:
        """``E x_t x_{t+k}``."""
        return exact_number(self.sigma, "sigma") ** 2 if k == 0 else sp.Integer(0)

    def scaled(self, factor: Any) -> White:
        """The input times a number."""
        return replace(self, sigma=exact_number(self.sigma, "sigma") * sp.Abs(factor))

    def sample(self, rng: np.random.Generator, horizon: int, size: int) -> np.ndarray:
        """Inputs ``x_0 … x_{T−1}``, shape ``(horizon, size)``."""
        return np.stack(list(self.stream(rng, horizon, size)))

    def stream(self, rng: np.random.Generator, horizon: int, size: int) -> Iterator[np.ndarray]:
        """The same, step by step."""
        sigma = float(exact_number(self.sigma, "sigma"))
        return (sigma * _draw(self.law, rng, (size,)) for _ in range(horizon))


@dataclass(frozen=True)
class Constant:
    """The same input at every step, ``x_t = b``; ``c(k) = b²``.

    Args:
        b: the input, in units of the state.
        law: "fixed", ``b`` itself; "binary", ``±b`` by trial; "normal", ``N(0, b²)`` by trial.

    Raises:
        ValueError: ``b`` is no number, or the law is unknown.

    >>> Constant(0.1).covariance(7)
    1/100
    """

    b: Any
    law: str = "fixed"
    laws: ClassVar[tuple[str, ...]] = ("fixed", "binary", "normal")

    def __post_init__(self) -> None:
        exact_number(self.b, "b")
        _known(self.law, self.laws)

    def covariance(self, k: int) -> sp.Expr:
        """``E x_t x_{t+k}``."""
        return exact_number(self.b, "b") ** 2

    def scaled(self, factor: Any) -> Constant:
        """The input times a number."""
        return replace(self, b=exact_number(self.b, "b") * factor)

    def sample(self, rng: np.random.Generator, horizon: int, size: int) -> np.ndarray:
        """Inputs ``x_0 … x_{T−1}``, shape ``(horizon, size)``."""
        return np.stack(list(self.stream(rng, horizon, size)))

    def stream(self, rng: np.random.Generator, horizon: int, size: int) -> Iterator[np.ndarray]:
        """The same, step by step."""
        return repeat(float(exact_number(self.b, "b")) * _draw(self.law, rng, (size,)), horizon)


@dataclass(frozen=True)
class Sinusoid:
    """A periodic input, ``x_t = a cos(ω t + φ)``; with a random phase ``c(k) = ½ a² cos ω k``.

    Args:
        a: amplitude, in units of the state.
        omega: ω, radians per step, no multiple of 2π (that is a `Constant`).
        phase: φ in radians; ``None`` for a phase that is uniform over the trials.

    Raises:
        ValueError: a value is no number, or ω a multiple of 2π.

    >>> import sympy as sp
    >>> Sinusoid(1, sp.pi / 2).covariance(2)
    -1/2
    """

    a: Any
    omega: Any
    phase: Any = None

    def __post_init__(self) -> None:
        exact_number(self.a, "a")
        omega = exact_number(self.omega, "omega")
        if abs(float(sp.sin(omega / 2))) < 1e-12:
            raise ValueError(f"omega = {self.omega!r} is a multiple of 2π, the same input at every step; use Constant")
        if self.phase is not None:
            exact_number(self.phase, "phase")

    def covariance(self, k: int) -> sp.Expr:
        """``E x_t x_{t+k}`` over a random phase."""
        return exact_number(self.a, "a") ** 2 * sp.cos(exact_number(self.omega, "omega") * k) / 2

    def scaled(self, factor: Any) -> Sinusoid:
        """The input times a number."""
        return replace(self, a=exact_number(self.a, "a") * factor)

    def sample(self, rng: np.random.Generator, horizon: int, size: int) -> np.ndarray:
        """Inputs ``x_0 … x_{T−1}``, shape ``(horizon, size)``."""
        return np.stack(list(self.stream(rng, horizon, size)))

    def stream(self, rng: np.random.Generator, horizon: int, size: int) -> Iterator[np.ndarray]:
        """The same, step by step."""
        return self.waves(rng.uniform(0, 2 * np.pi, size) if self.phase is None else np.zeros(size), horizon)

    def waves(self, shift: np.ndarray, horizon: int) -> Iterator[np.ndarray]:
        """The inputs of trials whose phases are ``φ + shift``, step by step."""
        a, omega, phase = float(self.a), float(self.omega), float(self.phase or 0.0)
        return (a * np.cos(omega * t + phase + shift) for t in range(horizon))


@dataclass(frozen=True)
class Autoregressive:
    """Coloured noise, ``x_{t+1} = ρ x_t + σ √(1 − ρ²) ξ_{t+1}``, stationary and Gaussian; ``c(k) = σ² ρ^{|k|}``.

    Args:
        sigma: standard deviation σ of ``x_t``, in units of the state.
        rho: correlation ρ of neighbours in time, ``|ρ| < 1``.

    Raises:
        ValueError: a value is no number, σ is negative, or ``|ρ| ≥ 1``.

    >>> Autoregressive(1, 0.5).covariance(2), Autoregressive(1, 0.5).intensity
    (1/4, 3)
    """

    sigma: Any
    rho: Any

    def __post_init__(self) -> None:
        _not_negative(self.sigma, "sigma")
        if not -1 < exact_number(self.rho, "rho") < 1:
            raise ValueError(f"rho = {self.rho!r} must lie between −1 and 1; at 1 the input is a Constant")

    @property
    def intensity(self) -> sp.Expr:
        """``Σ_k c(k) = σ² (1 + ρ)/(1 − ρ)``: the variance of the white noise that acts alike over long times."""
        rho = exact_number(self.rho, "rho")
        return exact_number(self.sigma, "sigma") ** 2 * (1 + rho) / (1 - rho)

    def covariance(self, k: int) -> sp.Expr:
        """``E x_t x_{t+k}``."""
        return exact_number(self.sigma, "sigma") ** 2 * exact_number(self.rho, "rho") ** abs(k)

    def scaled(self, factor: Any) -> Autoregressive:
        """The input times a number."""
        return replace(self, sigma=exact_number(self.sigma, "sigma") * sp.Abs(factor))

    def sample(self, rng: np.random.Generator, horizon: int, size: int) -> np.ndarray:
        """Inputs ``x_0 … x_{T−1}``, shape ``(horizon, size)``."""
        return np.stack(list(self.stream(rng, horizon, size)))

    def stream(self, rng: np.random.Generator, horizon: int, size: int) -> Iterator[np.ndarray]:
        """The same, step by step."""
        sigma, rho = float(exact_number(self.sigma, "sigma")), float(exact_number(self.rho, "rho"))
        x = sigma * rng.standard_normal(size)
        for _ in range(horizon):
            yield x
            x = rho * x + sigma * np.sqrt(1 - rho**2) * rng.standard_normal(size)


Input = White | Constant | Sinusoid | Autoregressive
