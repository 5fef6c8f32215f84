"""Stable float64 values of the scaling functions: closed forms where well conditioned, else quadrature.

Each scaling function is the integral over ``tau`` in [0, 1] of a density that is written here as a quotient
of sums of positive terms, so that nothing cancels, also at and next to the removable singularities of the
closed form. The closed forms are those of the families in the variables that lose fewest digits.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import Any

import numpy as np
import scipy  # its parts load when first used
from numpy.typing import NDArray

__all__ = [
    "PITCHFORK",
    "SADDLE_NODE",
    "STABILITY_FLIP",
    "TRANSCRITICAL",
    "Numerics",
    "near",
    "neimark_sacker_numerics",
]

Array = NDArray[np.float64]
Pair = tuple[Array, Array]

_CONDITION = 100.0  # a closed form may lose this factor over the rounding unit before quadrature takes over
_CHUNK = 4096  # points per quadrature block, 10 MB of work space


@dataclass(frozen=True)
class Numerics:
    """Numerical face of one scaling function.

    Args:
        density: ``(x, y, tau) -> integrand``, free of cancellation.
        centre: ``(x, y) -> tau`` next to which the integrand varies fastest.
        escapes: ``(x, y) -> bool``: the limiting flow reaches infinity within the horizon.
        closed: ``(x, y) -> (value, sum of the absolute terms)`` of a closed form, or ``None``.
        rest: another function, added to this one.
    """

    density: Callable[[Array, Array, Array], Array]
    centre: Callable[[Array, Array], Array]
    escapes: Callable[[Array, Array], NDArray[np.bool_]]
    closed: Callable[[Array, Array], Pair] | None = None
    rest: Numerics | None = None

    def __call__(self, x: Array, y: Array) -> Array:
        """The scaling function at the flat arrays ``x`` and ``y``; infinite where the flow escapes."""
        value = np.full(x.shape, np.inf)
        with np.errstate(all="ignore"):
            todo = ~self.escapes(x, y)
            if self.closed is not None:
                closed, scale = self.closed(x, y)
                good = todo & (scale <= _CONDITION * np.abs(closed))
                value[good] = closed[good]
                todo &= ~good
            for block in np.array_split(np.flatnonzero(todo), max(1, -(-np.count_nonzero(todo) // _CHUNK))):
                value[block] = self.integral(x[block], y[block])
        return value if self.rest is None else value + self.rest(x, y)

    def exact(self, x: Array, y: Array) -> Array:
        """The same, as a source of `normalforms.formulas.grid.on_grid`."""
        return self(x, y)

    def near(self, x: Array, y: Array) -> Callable[[Array, Array], Array]:
        """The same, whatever the pairs."""
        return self

    def integral(self, x: Array, y: Array) -> Array:
        """The integral of the density by double-exponential quadrature on either side of the centre."""
        nodes, weights = _double_exponential()
        with np.errstate(all="ignore"):
            centre = np.clip(np.nan_to_num(self.centre(x, y), nan=0.5), 0.0, 1.0)
            x, y, centre = x[:, None], y[:, None], centre[:, None]
            left = self.density(x, y, centre * nodes) @ weights
            right = self.density(x, y, centre + (1 - centre) * nodes) @ weights
        return centre[:, 0] * left + (1 - centre[:, 0]) * right


@cache
def _double_exponential() -> Pair:
    """Nodes and weights of the tanh–sinh rule on [0, 1] (Takahasi & Mori 1974).

    The nearest pole of a density lies at distance ``pi/(2|x|)`` from the centre, which in the variable of the
    rule is at least 0.24 from the real axis for |x| ≤ 1000: the error exp(-2 pi 0.24/step) is below 1e-16.
    """
    step = 1 / 26
    t = step * np.arange(-86, 87)
    u = np.pi * np.sinh(t)
    return 1 / (1 + np.exp(-u)), step * np.pi * np.cosh(t) / (2 + 2 * np.cosh(u))


def _taylor(s: Array, coefficients: list[float]) -> Array:
    total = np.zeros_like(s)
    for c in reversed(coefficients):
        total = total * s + c
    return total


_BERNOULLI = [1 / 36, -1 / 3600, 1 / 211680, -1 / 10886400, 1 / 526901760, -691 / 16999766784000]


@cache
def _coefficients(kind: int) -> list[float]:
    factorial = [1.0]
    for n in range(1, 30):
        factorial.append(factorial[-1] * n)
    if kind == 2:
        return [(-1.0) ** n / factorial[n + 2] for n in range(17)]
    if kind == 3:
        return [(-1.0) ** n * (n + 1) / factorial[n + 2] for n in range(18)]
    return [1 / factorial[2 * n + 3] for n in range(11)]


def _p1(s: Array) -> Array:
    """``(1 − e^{−s})/s`` for s ≥ 0."""
    return np.where(s == 0, 1.0, -np.expm1(-s) / np.where(s == 0, 1.0, s))


def _p2(s: Array) -> Array:
    """``(e^{−s} − 1 + s)/s²`` for s ≥ 0."""
    return np.where(s < 1, _taylor(np.minimum(s, 1), _coefficients(2)), (np.expm1(-s) + s) / s**2)


def _p3(s: Array) -> Array:
    """``(1 − (1 + s) e^{−s})/s²`` for s ≥ 0."""
    return np.where(s < 1, _taylor(np.minimum(s, 1), _coefficients(3)), (1 - (1 + s) * np.exp(-s)) / s**2)


def _bernoulli(x: Array, y: Array, tau: Array) -> tuple[Array, Array, Array, Array]:
    """``E, D, N, M`` of ``D = 1 + y (E − 1)/x``, ``E = e^{x tau}``, scaled by ``1/E`` where x > 0 (then 1).

    ``N = (1 − y/x) tau + y (E − 1)/x²`` and ``M = D_x = tau D − N``; all are positive for y > 0.
    """
    s = np.abs(x) * tau
    decay, up = np.exp(-s), x > 0
    z, p2, p3 = y * tau, _p2(s), _p3(s)
    D = np.where(up, decay, 1.0) + z * _p1(s)
    M = tau * z * np.where(up, p2, p3)
    N = np.where(y < 0, tau * D - M, tau * (np.where(up, decay, 1.0) + z * np.where(up, p3, p2)))
    return np.where(up, 1.0, decay), D, N, M


def _times(y: Array, factor: Array) -> Array:
    """``y · factor``, zero without an initial state; D² and D³ are never formed, they underflow where y is tiny."""
    return np.where(y == 0, 0.0, y * factor)


def _flip_density(x: Array, y: Array, tau: Array) -> Array:
    return y * tau**2 * np.exp(2 * x * tau)


def _pitchfork_density(x: Array, y: Array, tau: Array) -> Array:
    E, D, N, _ = _bernoulli(2 * x, 2 * y, tau)
    return _times(y, E * (N / D) ** 2 / D)


def _phase_density(x: Array, y: Array, tau: Array, twist: float, turn: float) -> Array:
    E, D, _, M = _bernoulli(2 * x, 2 * y, tau)
    return _times(y, E * (twist * M / D + turn * tau) ** 2 / D)


def _transcritical_density(x: Array, y: Array, tau: Array) -> Array:
    E, D, N, _ = _bernoulli(x, y, tau)
    return _times(y, E * (N / D) / D) ** 2


def _saddle_density(x: Array, y: Array, tau: Array) -> Array:
    """``(G/D²)²`` with ``D = cosh κτ + y sinh(κτ)/κ``, ``G = ∫ D²``, κ² = x; scaled by e^{−κτ} for x > 0."""
    kappa = np.sqrt(np.abs(x))
    s, z, up = 2 * kappa * tau, y * tau, x > 0
    decay, half = np.exp(-s), np.sinc(kappa * tau / np.pi)
    p = np.where(up, _p1(s), half)
    D = np.where(up, (1 + decay) / 2, np.cos(kappa * tau)) + z * p
    flat = np.where(up, decay, 1.0)
    turn = np.where(up, _p1(2 * s), np.sinc(s / np.pi))
    small = _taylor(np.where(s < 1, 4 * x * tau**2, 0.0), _coefficients(5))
    third = np.where(up, (-np.expm1(-2 * s) / 2 - s * decay) / s**3, (s - np.sin(s)) / s**3)
    third = np.where(s < 1, small * flat, third)
    cross = np.where(up, p * p, half**2)
    # ∫cosh², ∫sinh²/κ² and ∫ of the cross term, each scaled
    G = tau * ((flat + turn) / 2 + z * cross + 2 * z**2 * third)
    return (G / D / D) ** 2


def _nowhere(x: Array, y: Array) -> NDArray[np.bool_]:
    return np.zeros(np.broadcast_shapes(x.shape, y.shape), dtype=bool)


def _bernoulli_escapes(rate: float) -> Callable[[Array, Array], NDArray[np.bool_]]:
    def escapes(x: Array, y: Array) -> NDArray[np.bool_]:
        s = rate * np.abs(x)
        return (y < 0) & (np.where(x > 0, np.exp(-s), 1.0) + rate * y * _p1(s) <= 0)  # D underflows where y ≥ 0

    return escapes


def _saddle_escapes(x: Array, y: Array) -> NDArray[np.bool_]:
    kappa = np.sqrt(np.abs(x))
    D = (1 + np.exp(-2 * kappa)) / 2 + y * _p1(2 * kappa)
    return np.where(x >= 0, D <= 0, kappa + np.arctan2(kappa, y) >= np.pi)


def _bernoulli_centre(rate: float) -> Callable[[Array, Array], Array]:
    def centre(x: Array, y: Array) -> Array:
        return np.where((x > y) & (y > 0), np.log(x / y - 1) / (rate * x), 0.5)

    return centre


def _saddle_centre(x: Array, y: Array) -> Array:
    kappa = np.sqrt(x)
    return np.log((kappa - y) / (kappa + y)) / (2 * kappa)


def _dilog(z: Array) -> Array:
    """``Re Li₂(z)``, z real: Bernoulli series in −ln(1 − z) next to 0, inversion past the branch point."""
    past, near = z > 1, np.abs(z) < 0.25
    u = -np.log1p(-np.where(near, z, 0.0))
    small = u * (1 - u / 4 + u**2 * _taylor(u**2, _BERNOULLI))
    inside = scipy.special.spence(np.where(past, 1.0, 1 - z))
    outside = (
        np.pi**2 / 3 - np.log(np.where(past, z, 1.0)) ** 2 / 2 - scipy.special.spence(1 - 1 / np.where(past, z, 1.0))
    )
    return np.where(near, small, np.where(past, outside, inside))


def _log_rest(a: Array, b: Array, U: Array) -> Array:
    """``ln(1 − b β)/b`` with ``a + b = 1``, ``β = 1 − e^{−U}``: regular at b = 0, and at b = 1, U → ∞."""
    beta = -np.expm1(-U)
    log = np.where(np.abs(b * beta) < 0.5, np.log1p(-b * beta), np.log(np.exp(-U) + a * beta))
    return np.where(b == 0, -beta, log / np.where(b == 0, 1.0, b))


def _clausen(theta: Array) -> Array:
    """``Cl₂(θ) = Im Li₂(e^{iθ})`` for 0 ≤ θ ≤ 2π, by its series about 0 and about π (DLMF 25.12.11)."""
    sign = np.where(theta > np.pi, -1.0, 1.0)
    theta = np.where(theta > np.pi, 2 * np.pi - theta, theta)
    at_zero, at_pi = _clausen_coefficients()
    low = np.minimum(theta, 2.1)
    phi = np.minimum(np.pi - theta, 1.1)
    near = low * (1 - np.log(np.where(low > 0, low, 1.0)) + low**2 * _taylor(low**2, at_zero))
    far = phi * (np.log(2) - phi**2 * _taylor(phi**2, at_pi))
    return sign * np.where(theta < 2.1, near, far)


@cache
def _clausen_coefficients() -> tuple[list[float], list[float]]:
    """``|B_2n|/(2n (2n+1)!)``, and the same times ``4ⁿ − 1``."""
    pairs = [
        (n, abs(scipy.special.bernoulli(2 * n)[-1]) / (2 * n) / scipy.special.factorial(2 * n + 1))
        for n in range(1, 18)
    ]
    return [c for _, c in pairs], [c * (4.0**n - 1) for n, c in pairs]


def _sum(*terms: Array) -> Pair:
    return sum(terms, np.zeros_like(terms[0])), sum(map(np.abs, terms), np.zeros_like(terms[0]))


def _regular(U: Array, a: Array, b: Array) -> Pair:
    """``P = ∫N/(D(D−b)) dD`` for U > 0 in e^{−U}; well conditioned once the front has passed."""
    r, q = -b / a, np.exp(-U)
    front = np.log(1 + b * q / a)
    return _sum(U, -U * front, _dilog(r * q), -_dilog(r), _log_rest(a, b, U))


def _linear(U: Array, k: Array) -> tuple[Array, Array, Array, Array]:
    """``P − n²/2`` with its scale, ``n = N/D`` and ``k e^U``: well conditioned before the front."""
    kq = k * np.exp(U)
    m, ell = k + U, np.log1p(-kq)
    terms = (
        _dilog(k),
        -_dilog(kq),
        -(1 - k) * np.log1p(-k),
        (1 - m) * ell,
        -(k**2) / 2,
        kq * (1 - m) * (2 * m - kq * (1 + m)) / (2 * (1 - kq) ** 2),
    )
    value, scale = _sum(*terms)
    return value, scale, (m - kq) / (1 - kq), kq


def _branches(U: Array, x: Array, y: Array) -> tuple[NDArray[np.bool_], Array, Array, Array]:
    """Where the form in ``k = y/(y − x)`` is the better one, and ``a = y/x``, ``b = 1 − a``, ``k`` there."""
    k = y / (y - x)
    early = (x < 0) | (-k * np.exp(U) < 1) & (k < 0)
    return early, y / x, (x - y) / x, np.where(early, k, -1.0)


def _flip_closed(x: Array, y: Array) -> Pair:
    U = 2 * x
    value, scale = _sum(np.exp(U) * U**2, -2 * U * np.exp(U), 2 * np.exp(U), np.full_like(U, -2.0))
    return y * value / U**3, np.abs(y / U**3) * scale


def _pitchfork_closed(x: Array, y: Array) -> Pair:
    U = 2 * x
    early, a, b, k = _branches(U, x, y)
    P, scale = _regular(U, a, b)
    q = np.exp(-U)
    n = 1 + (b * U - 1) * q / (q - a * np.expm1(-U))
    value, linear, *_ = _linear(U, k)
    value = np.where(early, value, P - n**2 / 2)
    scale = np.where(early, linear, scale + n**2 / 2)
    return value / (8 * x**2), scale / (8 * x**2)


def _transcritical_closed(x: Array, y: Array) -> Pair:
    early, a, b, k = _branches(x, x, y)
    P, scale = _regular(x, a, b)
    q = np.exp(-x)
    rest = q - a * np.expm1(-x)
    n = 1 + (b * x - 1) * q / rest
    after = _sum(P / 3, 2 * (x - n) / 3, -(n**2) / 2, b * n**2 * q / rest / 3)
    I, linear, n, kq = _linear(x, k)
    before = _sum(I / 3, -2 * k / (1 - kq) / 3, 2 * kq * (1 - x) / (1 - kq) / 3, n**2 * kq / (1 - kq) / 3)
    value = np.where(early, before[0], after[0])
    scale = np.where(early, linear / 3 + before[1], scale / 3 + after[1])
    return value / x, scale / np.abs(x)


def _saddle_closed(x: Array, y: Array) -> Pair:
    up, down = _saddle_above(x, y), _saddle_below(x, y)
    value, scale = (np.where(x > 0, u, d) for u, d in zip(up, down, strict=True))
    return np.where(np.isfinite(value), value, 0.0), np.where(np.isfinite(scale), scale, np.inf)


def _saddle_above(x: Array, y: Array) -> Pair:
    """For x > 0 and y > −κ, κ² = x, in e^{−2κ}."""
    kappa = np.sqrt(x)
    U = 2 * kappa
    a, b = (y + kappa) / U, (kappa - y) / U
    q, beta = np.exp(-U), -np.expm1(-U)
    P, scale = _regular(U, a, b)
    rest = q + a * beta
    M = (a**2 * beta + 2 * a * b * U * q + b**2 * q * beta) / rest
    R = _sum(a**2 * (U - beta), 2 * a * b * (beta - U * q), b**2 * beta**2 / 2)
    Q = _sum(2 * a**2 * P, -(a**2) * U, -a * _log_rest(a, b, U), -a * b * beta)
    value, total = _sum(M**2 * (b * q / rest / 3 - 0.5), R[0] / 3, 2 * Q[0] / 3)
    total = total + R[1] + Q[1] + 2 * a**2 * scale
    return value / (8 * kappa**3 * a**2), total / (8 * kappa**3 * a**2)


def _saddle_below(x: Array, y: Array) -> Pair:
    """For x < 0, with ``Λ = ∫ ln D dτ`` in Clausen's function; D = cos k + y sin(k)/k, k² = −x."""
    k = np.sqrt(-x)
    angle = np.arctan2(k, y)
    D, slope = np.cos(k) + y * np.sin(k) / k, y * np.cos(k) - k * np.sin(k)
    w, H = x - y**2, slope / D
    mean = np.log(np.hypot(y, k) / (2 * k)) + (_clausen(2 * angle) - _clausen(2 * (angle + k))) / (2 * k)
    G = (w + D * slope - y) / (2 * x)
    F = (D**3 * slope - y + 3 * w * G) / (4 * x)
    return _sum(
        G**2 * (x * H - H**3 / 3) / w**2,
        (y - w) * np.log(D) / (3 * w * x),
        (1 + mean) / (3 * x),
        -G / (3 * w),
        -2 * x * G * D**2 / (3 * w**2),
        2 * x * F / (3 * w**2),
    )


STABILITY_FLIP = Numerics(_flip_density, lambda x, y: np.full(x.shape, 0.5), _nowhere, _flip_closed)
PITCHFORK = Numerics(_pitchfork_density, _bernoulli_centre(2.0), _bernoulli_escapes(2.0), _pitchfork_closed)
TRANSCRITICAL = Numerics(_transcritical_density, _bernoulli_centre(1.0), _bernoulli_escapes(1.0), _transcritical_closed)
SADDLE_NODE = Numerics(_saddle_density, _saddle_centre, _saddle_escapes, _saddle_closed)


def neimark_sacker_numerics(twist: float, turn: float = 0.0) -> Numerics:
    """The amplitude's function plus the phase's, ``∫ H² (twist ∂_x ½ ln D + turn τ)² dτ``."""
    if not twist and not turn:
        return PITCHFORK
    density = partial(_phase_density, twist=twist, turn=turn)
    return replace(PITCHFORK, rest=Numerics(density, _bernoulli_centre(2.0), _bernoulli_escapes(2.0)))


def near(distance: Any) -> Any:
    """A distance to the escape, at most 1: errors grow as its inverse."""
    return np.clip(distance, 0, 1)
