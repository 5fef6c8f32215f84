"""``E A_T`` of a scalar map under white noise, by the backward recursion of its expected sum.

What is still to come from ``(u, s)`` in n steps is ``a_n s² + b_n s + c_n``, with functions of u alone:

    a_{n+1} = f_h² E[k_n + a_n],   b_{n+1} = 2 f_h f_g E[k_n + a_n] + f_h E[b_n],
    c_{n+1} = f_g² E[k_n + a_n] + f_g E[b_n] + E[c_n],   k_{n+1} = E[k_n],

each at ``f(u) + σ ξ`` and zero outside the window; ``k_n`` is the chance to stay, and ``E(A_T; stayed) = c_T(h0)``.
The recursion is linear: no orbit is drawn, and rare ones count in full.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import repeat
from typing import Any

import numpy as np

from normalforms.forms.driven.inputs import Constant, Input, Sinusoid, White, law_nodes
from normalforms.forms.driven.number import Number
from normalforms.forms.driven.orbits import Drive, Window, simulate

__all__ = ["iterated_expectation", "white_expectation"]

Step = Callable[[np.ndarray], np.ndarray]
_SIZES = ((20, 20), (32, 24), (48, 28), (72, 32), (108, 36), (160, 40), (240, 44))
_LARGEST = 2600


def white_expectation(
    drive: Drive, g: float, starts: np.ndarray, noise: White, horizon: int, window: Window, tolerance: float = 1e-11
) -> tuple[np.ndarray, np.ndarray, np.ndarray, str] | None:
    """``E(A_T; stayed)``, its error, the chance to stay, and how it was found; ``None`` where no rule reaches.

    Where the inputs (normal ones within 8σ) cannot carry an orbit out of the window, polynomials on Chebyshev points of
    the reachable intervals; where normal inputs can, Gauss–Legendre points of the window against the normal density.

    Args:
        drive: the map.
        g: parameter.
        starts: initial states, shape ``(k,)``, inside the window.
        noise: the input, in the map's units.
        horizon: T.
        window: where orbits stay.
        tolerance: relative change on refinement that ends it.
    """
    sigma = float(noise.sigma)
    rules = []
    for n, nodes in _SIZES:
        domains = _domains(drive, g, starts, sigma * np.max(law_nodes(noise.law, nodes)[0]), horizon, window)
        if domains is not None:
            rules.append((domains, n, nodes))
    if len(rules) == len(_SIZES):
        tries = [lambda r=r: _polynomial(drive, g, starts, noise, *r) for r in rules]
        status = "polynomial backward recursion"
    elif noise.law == "normal" and 1.6 * 1.35 * 2.2 * (window[1] - window[0]) < _LARGEST * sigma:
        sizes = [int((32 + 2.2 * (window[1] - window[0]) / sigma) * 1.35**k) for k in range(3)]
        tries = [lambda n=n: _nystrom(drive, g, starts, sigma, horizon, window, n) for n in sizes]
        status = "backward recursion on the window"
    else:
        return None
    value, stayed = tries[0]()
    change = np.full(len(starts), np.inf)
    for attempt in tries[1:]:
        finer, stayed = attempt()
        change, value = np.abs(finer - value), finer
        if np.all(change <= tolerance * np.abs(value)):
            break
    rounding = 1e-15 * (horizon + 10) * np.abs(value)
    return value, change + rounding, stayed, status


def _back(drive: Drive, g: float, points: np.ndarray, mean: Step, later: np.ndarray) -> np.ndarray:
    """One step of the recursion: ``(a, b, c, k)`` at ``points`` from those of the next step, shape ``(n, 4)``."""
    f_h, f_g = (function(points, g) for function in drive.functions[1:])
    a, b, c, k = mean(later).T
    a = a + k
    return np.stack([f_h**2 * a, 2 * f_h * f_g * a + f_h * b, f_g**2 * a + f_g * b + c, k], axis=1)


def _ceiling(size: float) -> float:
    """The next power of 1.04: few distinct intervals, so that their rules are used again."""
    return float(1.04 ** np.ceil(np.log(size) / np.log(1.04))) if size > 0 else 0.0


def _domains(
    drive: Drive, g: float, starts: np.ndarray, reach: float, horizon: int, window: Window
) -> list[Window] | None:
    """Intervals that hold every orbit at each step; ``None`` where one may leave the window."""
    domains = [(float(starts.min()), float(starts.max()))]
    turning = drive.turning_points(g)
    for _ in range(horizon):
        low, high = drive.image(domains[-1], g, turning)
        low, high = low - reach, high + reach
        if not (window[0] <= low and high <= window[1]):
            return None
        if low < 0:
            low = max(-_ceiling(-low), window[0])
        if high > 0:
            high = min(_ceiling(high), window[1])
        domains.append((low, high))
        if domains[-1] == domains[-2]:
            return domains + [domains[-1]] * (horizon + 1 - len(domains))
    return domains


def _interpolation(interval: Window, n: int, points: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """``Σ_j weights_j p(points[:, j])`` as a matrix on the values of p at the Chebyshev points of the interval."""
    nodes = _nodes(interval, n)
    barycentric = (-1.0) ** np.arange(n) * np.sin(np.pi * (2 * np.arange(n) + 1) / (2 * n))
    apart = points[..., None] - nodes
    hit = apart == 0
    terms = barycentric / np.where(hit, 1.0, apart)
    rows = np.where(hit.any(axis=-1, keepdims=True), hit, terms)
    return np.einsum("j,ijn->in", weights, rows / rows.sum(axis=-1, keepdims=True))


def _nodes(interval: Window, n: int) -> np.ndarray:
    low, high = interval
    return (low + high) / 2 + (high - low) / 2 * np.cos(np.pi * (2 * np.arange(n) + 1) / (2 * n))


def _polynomial(
    drive: Drive, g: float, starts: np.ndarray, noise: White, domains: list[Window], n: int, nodes: int
) -> tuple[np.ndarray, np.ndarray]:
    f, (xi, weights) = drive.functions[0], law_nodes(noise.law, nodes)
    kicks = float(noise.sigma) * xi
    values = np.tile([0.0, 0.0, 0.0, 1.0], (n, 1))
    known: dict[tuple[Window, Window], np.ndarray] = {}
    for t in range(len(domains) - 2, -1, -1):
        here, later = domains[t], domains[t + 1]
        points = starts if t == 0 else _nodes(here, n)
        matrix = known.get((here, later)) if t else None
        if matrix is None:
            matrix = _interpolation(later, n, f(points, g)[:, None] + kicks, weights)
            if t:
                known[here, later] = matrix
        values = _back(drive, g, points, lambda v, P=matrix: P @ v, values)
    return values[:, 2], values[:, 3]


def _nystrom(
    drive: Drive, g: float, starts: np.ndarray, sigma: float, horizon: int, window: Window, n: int
) -> tuple[np.ndarray, np.ndarray]:
    x, w = np.polynomial.legendre.leggauss(n)
    half = (window[1] - window[0]) / 2
    points, weights = (window[0] + window[1]) / 2 + half * x, half * w / (sigma * np.sqrt(2 * np.pi))

    def kernel(here: np.ndarray) -> np.ndarray:
        return weights * np.exp(-(((points - drive.functions[0](here, g)[:, None]) / sigma) ** 2) / 2)

    matrix, values = kernel(points), np.tile([0.0, 0.0, 0.0, 1.0], (n, 1))
    for _ in range(horizon - 1):
        values = _back(drive, g, points, lambda v: matrix @ v, values)
    last = kernel(starts)
    values = _back(drive, g, starts, lambda v: last @ v, values)
    return values[:, 2], values[:, 3]


def iterated_expectation(
    drive: Drive,
    g: float,
    start: float,
    noise: Input,
    horizon: int,
    window: Window,
    removed: bool,
    draws: tuple[int, int],
) -> Number:
    """``E(A_T | stayed)`` by iteration: every trial where they are few, a rule over phases or sizes, else draws.

    Args:
        drive: the map.
        g: parameter.
        start: initial state.
        noise: the input, in the map's units.
        horizon: T.
        window: where orbits stay.
        removed: whether orbits that leave are left out; else one of them makes the mean infinite.
        draws: how many, and their seed.
    """

    def mean(inputs: Any, weights: np.ndarray) -> tuple[float, float, float]:
        total, kept = simulate(drive, g, start, inputs, len(weights), window)
        mass = float(np.sum(weights[kept]))
        value = float(np.sum((weights * total)[kept])) / mass if mass > 1e-12 else np.inf
        scatter = 2 * float(np.std(total[kept]) / np.sqrt(max(1, np.count_nonzero(kept)))) if kept.any() else np.inf
        return value, max(0.0, 1 - mass), scatter

    samples, seed = draws
    if isinstance(noise, Constant):
        rules = [law_nodes(noise.law, count) for count in (64, 48)]
        trials = [mean(repeat(float(noise.b) * nodes, horizon), weights) for nodes, weights in rules]
    elif isinstance(noise, Sinusoid):
        sizes = (256, 128) if noise.phase is None else (1, 1)
        trials = [mean(noise.waves(2 * np.pi * np.arange(n) / n, horizon), np.full(n, 1 / n)) for n in sizes]
    else:
        stream = noise.stream(np.random.default_rng(seed), horizon, samples)
        trials = [mean(stream, np.full(samples, 1 / samples))]
    value, left, scatter = trials[0]
    if (left > 1e-12 and not removed) or not np.isfinite(value):
        return Number(np.inf, escaped=left, status="orbits leave, and none is removed: give a radius")
    if len(trials) == 1:
        return Number(value, scatter, left, f"{samples} draws, two standard errors")
    error = 1e-15 * (horizon + 10) * value + abs(value - trials[1][0])
    return Number(value, error, left if left > 1e-13 else 0.0, "iteration")
