"""The pitchfork's scaling function under white noise, by Kolmogorov's backward equation.

For ``dH = (x H − H³) dτ + √y dB``, ``dZ = ((x − 3H²) Z + H) dτ`` the expected sum that is still to come from ``(H, Z)``
is ``a Z² + b Z + c`` with functions of ``H`` and of the time that is left:

    ∂a = L a + 2(x − 3H²) a + 1,   ∂b = L b + (x − 3H²) b + 2 H a,   ∂c = L c + H b,
    L = ½ y ∂² + (x H − H³) ∂,   Ψ(x, y; H(0)) = c(τ = 1, H(0)).

``a`` and ``c`` are even, ``b`` is odd. On Chebyshev points of ``[0, R]``, beyond which no orbit gets but for a
probability of 1e-35, it is a linear system with constant coefficients, solved by one matrix exponential. At R the
drift points inwards, so the diffusion is left out there and no boundary value is invented.

Above criticality weak noise chooses a side within ``ℓ = (x e^{−2x} + y/2x)^{1/2}`` of zero. The points
``H = R sinh(κs)/sinh κ`` are ``sinh(κ)/κ`` times as dense there; without that 208 points do not reach three digits at
``x = 5``, ``y = .01``, with it 44 reach seven.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import scipy  # its parts load when first used

from normalforms.forms.driven.number import Number

__all__ = ["chebyshev", "driven_cusp", "driven_pair", "driven_pitchfork", "interpolated"]

_SIZES = (32, 44, 60, 82, 112, 152, 208)
_SPAN = 160.0


def chebyshev(n: int) -> tuple[np.ndarray, np.ndarray]:
    """The n points ``cos(kπ/(n − 1))`` and their differentiation matrix (Trefethen 2000, ch. 6)."""
    k = np.arange(n)
    z = np.cos(np.pi * k / (n - 1))
    c = np.where((k == 0) | (k == n - 1), 2.0, 1.0) * (-1.0) ** k
    D = np.outer(c, 1 / c) / (np.subtract.outer(z, z) + np.eye(n))
    return z, D - np.diag(D.sum(axis=1))


def interpolated(z: np.ndarray, values: np.ndarray, places: np.ndarray) -> np.ndarray:
    """The polynomial through values at these points, at other places."""
    weights = (-1.0) ** np.arange(len(z))
    weights[[0, -1]] /= 2
    apart = places[:, None] - z
    hit = np.argmin(np.abs(apart), axis=1)
    exact = apart[np.arange(len(places)), hit] == 0
    terms = weights / np.where(apart == 0, 1.0, apart)
    return np.where(exact, values[hit], terms @ values / terms.sum(axis=1))


def _clustering(density: float) -> float:
    """κ with ``sinh(κ)/κ = density``."""
    return scipy.optimize.brentq(lambda k: np.sinh(k) / k - density, 1e-3, 50.0) if density > 1 + 1e-6 else 1e-3


def _solve(x: float, y: float, starts: np.ndarray, n: int) -> np.ndarray:
    """``c(1, H(0))`` at each start."""
    m = x / np.sqrt(y)
    radius = max(y**0.25 * np.sqrt(m + np.sqrt(m * m + _SPAN)), 1.05 * float(np.max(np.abs(starts))))
    z, D = chebyshev(2 * n)
    layer = np.sqrt(max(x, 1.0) * np.exp(-2 * max(x, 0.0)) + y / (2 * max(x, 1.0)))
    kappa = _clustering(max(1.0, 0.15 * radius / layer))
    unit = radius / np.sinh(kappa)
    D, H = D / (unit * kappa * np.cosh(kappa * z))[:, None], unit * np.sinh(kappa * z[:n])

    def restricted(M: np.ndarray, sign: float) -> np.ndarray:  # to even or odd functions, on the positive half
        return M[:n, :n] + sign * M[:n, n:][:, ::-1]

    def generator(sign: float) -> np.ndarray:
        second = restricted(D @ D, sign) * (y / 2)
        second[0] = 0
        return second + (x * H - H**3)[:, None] * restricted(D, sign)

    slope = np.diag(x - 3 * H**2)
    M = np.zeros((3 * n + 1, 3 * n + 1))
    a, b, c = slice(0, n), slice(n, 2 * n), slice(2 * n, 3 * n)
    M[a, a], M[a, -1] = generator(1.0) + 2 * slope, 1
    M[b, b], M[b, a] = generator(-1.0) + slope, np.diag(2 * H)
    M[c, c], M[c, b] = generator(1.0), np.diag(H)
    half = scipy.linalg.expm(M)[c, -1]
    values = np.concatenate([half, half[::-1]])
    return interpolated(z, values, np.arcsinh(starts / unit) / kappa)


def driven_pitchfork(x: float, y: float, starts: np.ndarray, tolerance: float = 1e-10) -> list[Number]:
    """``Ψ(x, y; H(0))`` for the starts ``H(0)``, shape ``(k,)``.

    Args:
        x: ``T (g − 1)``.
        y: ``T² σ²``, positive.
        starts: ``√T h0``.
        tolerance: points are added until the values change by less than this part.

    Returns:
        A `Number` per start; its error is the last change.

    >>> round(driven_pitchfork(0.0, 1.0, np.zeros(1))[0], 8)
    0.02130986
    """
    before, change = _solve(x, y, starts, _SIZES[0]), np.inf
    for n in _SIZES[1:]:
        value = _solve(x, y, starts, n)
        change = np.abs(value - before)
        before = value
        if np.all(change <= tolerance * np.abs(value)):
            break
    error = change + 1e-12 * np.abs(before)
    return [Number(v, error=e, status="backward equation") for v, e in zip(before, error, strict=True)]


def _refined(
    solve: Callable[[int], np.ndarray], sizes: tuple[int, ...], tolerance: float
) -> tuple[np.ndarray, np.ndarray]:
    """Values on more and more points until they change by less than this part of the largest, and the last change."""
    before, change = solve(sizes[0]), np.zeros(0)
    for n in sizes[1:]:
        now = solve(n)
        change, before = np.abs(now - before), now
        if np.max(change) <= tolerance * np.max(np.abs(now)):
            break
    return before, change + 1e-12 * np.abs(before)


def driven_cusp(
    x: float, y: float, beta: float, start: float, tolerance: float = 1e-9
) -> tuple[np.ndarray, np.ndarray]:
    """``Ψ_pq = ∫₀¹ E Z_p Z_q dτ`` of ``dH = (β + xH − H³) dτ + √y dB``, p and q among β and x, and its error.

    What is to come from ``Z_p Z_q`` is ``a Z_p Z_q + u_p Z_q + u_q Z_p + c_pq``, with
    ``∂a = L a + 2 f_H a + 1``, ``∂u_p = L u_p + f_H u_p + f_p a``, ``∂c_pq = L c_pq + f_q u_p + f_p u_q``.

    Args:
        x: ``T (g − 1)``.
        y: ``T² σ²``, positive.
        beta: ``T^{3/2} β``.
        start: ``√T h0``.
        tolerance: see `_refined`.

    >>> driven_cusp(0.0, 1.0, 0.0, 0.0)[0].round(7)
    array([[ 0.1940535, -0.       ],
           [-0.       ,  0.0213099]])
    """
    reach = np.linspace(0, 20 + 3 * abs(start) + 2 * np.sqrt(max(x, 0)) + abs(beta), 20_000)
    wall = reach**4 / 4 - x * reach**2 / 2 - abs(beta) * reach
    beyond = (2 * (wall - np.minimum.accumulate(wall)) > 80 * y) & (reach > 1.05 * abs(start) + 1e-3)
    radius = float(reach[np.argmax(beyond)]) if beyond.any() else float(reach[-1])

    def solve(n: int) -> np.ndarray:
        z, D = chebyshev(n)
        H, D = radius * z, D / radius
        second = (y / 2) * D @ D
        second[[0, -1]] = 0
        L = second + (beta + x * H - H**3)[:, None] * D
        slope, push = np.diag(x - 3 * H**2), (np.eye(n), np.diag(H))
        M = np.zeros((6 * n + 1, 6 * n + 1))
        a, u, w, first, cross, last = (slice(k * n, (k + 1) * n) for k in range(6))
        for part, growth in ((a, 2.0), (u, 1.0), (w, 1.0), (first, 0.0), (cross, 0.0), (last, 0.0)):
            M[part, part] = L + growth * slope
        M[a, -1] = 1
        M[u, a], M[w, a] = push
        M[first, u], M[last, w] = 2 * push[0], 2 * push[1]
        M[cross, u], M[cross, w] = push[1], push[0]
        found = scipy.linalg.expm(M)[:, -1]
        place = np.array([start / radius])
        value = [float(interpolated(z, found[part], place)[0]) for part in (first, cross, last)]
        return np.array([[value[0], value[1]], [value[1], value[2]]])

    return _refined(solve, (28, 40, 56, 80, 112), tolerance)


def driven_pair(x: float, y: float, twist: float, start: float, tolerance: float = 1e-9) -> Number:
    """``∫₀¹ E|S|² dτ`` of a Neimark–Sacker flow under noise of variance y in both components.

    ``dW = (x − a|W|²) W dτ + √y (dB₁ + i dB₂)``, ``a = 1 − i twist``, ``S = ∂W/∂x``. Rotations leave the law as it is,
    so what is to come is ``α|S|² + Re(β W̄² S²) + 2 Re(γ W̄ S) + δ`` with functions of ``r = |W|`` alone,

        ∂α = L₀ α + 2(x − 2r²) α − 2r⁴ Re(aβ) + 1,
        ∂β = L₂ β + (4x − 2(ā + 2a) r²) β − 2ā α,
        ∂γ = L₁ γ + (2x − (ā + 2a) r²) γ − r² conj(aγ) + α + r² β,
        ∂δ = L₀ δ + 2r² Re γ,   L_k = ½y (∂_r² + (1 + 2k)/r ∂_r) + (x − r²) r ∂_r.

    Args:
        x: ``T (g − 1)``.
        y: ``c T² σ²``, positive, σ of each component.
        twist: ``Im d/|Re d|``.
        start: ``√(cT) |z0|``.
        tolerance: see `_refined`.
    """
    radius = max(np.sqrt(x + np.sqrt(x * x + _SPAN * y)) if y > 0 else 0.0, 1.05 * abs(start))
    a, conj = np.array([[1.0, twist], [-twist, 1.0]]), np.diag([1.0, -1.0])  # on (Re, Im); a = 1 − i twist

    def solve(n: int) -> np.ndarray:
        z, D = chebyshev(2 * n)
        layer = np.sqrt(max(x, 1.0) * np.exp(-2 * max(x, 0.0)) + y / (2 * max(x, 1.0)))
        kappa = _clustering(max(1.0, 0.15 * radius / layer))
        unit = radius / np.sinh(kappa)
        D, r = D / (unit * kappa * np.cosh(kappa * z))[:, None], unit * np.sinh(kappa * z[:n])
        even = lambda M: M[:n, :n] + M[:n, n:][:, ::-1]  # noqa: E731
        first, square, I = even(D), even(D @ D), np.eye(n)

        def generator(k: int) -> np.ndarray:
            noise = (y / 2) * (square + ((1 + 2 * k) / r)[:, None] * first)
            noise[0] = 0
            return noise + ((x - r**2) * r)[:, None] * first

        of = lambda v, block: np.kron(block, np.diag(v))  # noqa: E731
        M = np.zeros((6 * n + 1, 6 * n + 1))
        alpha, beta, gamma, delta = slice(0, n), slice(n, 3 * n), slice(3 * n, 5 * n), slice(5 * n, 6 * n)
        pair, mixed = np.eye(2), a.T + 2 * a  # ā + 2a
        M[alpha, alpha], M[alpha, -1] = generator(0) + np.diag(2 * (x - 2 * r**2)), 1
        M[alpha, beta] = of(-2 * r**4, a[:1])
        M[beta, beta] = np.kron(pair, generator(2)) + of(4 * x * np.ones(n), pair) - of(2 * r**2, mixed)
        M[beta, alpha] = np.kron(-2 * a.T[:, :1], I)
        M[gamma, gamma] = np.kron(pair, generator(1)) + of(2 * x * np.ones(n), pair) - of(r**2, mixed + conj @ a)
        M[gamma, alpha], M[gamma, beta] = np.kron(pair[:, :1], I), of(r**2, pair)
        M[delta, delta], M[delta, gamma] = generator(0), of(2 * r**2, pair[:1])
        half = scipy.linalg.expm(M)[delta, -1]
        place = np.array([np.arcsinh(start / unit) / kappa])
        return interpolated(z, np.concatenate([half, half[::-1]]), place)

    value, error = _refined(solve, (20, 28, 40, 56, 80), tolerance)
    return Number(float(value[0]), float(error[0]), status="backward equation of the radius")
