"""White noise where it carries the limiting flow to infinity: transcritical, saddle-node and subcritical families.

``dH = f dτ + √y dB``, ``dZ = (f_H Z + f_x) dτ``. Before its escape an orbit has ``Z ~ H²`` (``H³`` in the cubic
family), the time that is left to it has a density, and ``E ∫Z²`` diverges: no mean exists. What exists:

- the mean over orbits that stay within a radius ρ, `removed_mean`. It grows like ``ρ²``, so that the radius is part of
  the law. With ``k`` the chance to stay the sum that is still to come is ``a Z² + b Z + c``,

      ∂k = L k,  ∂a = L a + 2 f_H a + k,  ∂b = L b + f_H b + 2 f_x a,  ∂c = L c + f_x b,   zero at ±ρ;

- rates over long times, in units where ``dv = (n − v²) dτ + dB``: the moments of orbits that stay grow like
  ``E(|z|^q; stay) ~ e^{L(q) τ}`` with L(q) the top eigenvalue of ``½∂² − ½f² + (q − ½) f'``, `fold_growth`. Reflection
  gives ``L(q) = L(1 − q)``, and L is convex: ``L(2) > L(0) = −(rate of escape)`` at every n. So the mean of the orbits
  that stay grows exponentially, however far they are from the fold. The subcritical pitchfork's L is the supercritical
  one's at ``1 − q`` and ``−m``, with the same consequence;
- the mean time from ``+∞`` to ``−∞``, closed: `passage_time`.

A map is looked at once a step. Orbits that would have left between two steps stay, as if the radius were larger by the
mean overshoot of a random walk, ``β σ`` (Siegmund, *Sequential Analysis*, 1985, ch. 10), `overshoot`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
import scipy  # its parts load when first used

from normalforms.forms.driven.kolmogorov import chebyshev, interpolated
from normalforms.forms.driven.number import Number
from normalforms.forms.driven.stationary import converged, sinc_second

__all__ = ["fold_exponent", "fold_growth", "overshoot", "passage_time", "removed_mean"]

_SIZES = (48, 68, 96, 136, 192, 272)
_RATES: dict[str, Callable[[float, np.ndarray], tuple[np.ndarray, np.ndarray, np.ndarray]]] = {
    "transcritical": lambda x, H: (x * H - H**2, x - 2 * H, H),
    "saddle_node": lambda x, H: (x - H**2, -2 * H, np.ones_like(H)),
    "pitchfork": lambda x, H: (x * H + H**3, x + 3 * H**2, H),
}
"""``f, f_H, f_x``; the pitchfork is the subcritical one."""
_WALLS: dict[str, Callable[[float, np.ndarray], np.ndarray]] = {
    "transcritical": lambda x, H: H**3 / 3 - x * H**2 / 2,
    "saddle_node": lambda x, H: H**3 / 3 - x * H,
}
"""``−∫ f dH`` where the drift far above points inwards."""


@cache
def overshoot(law: str) -> float:
    """``β = E S²/(2 E S)`` of the first ladder height S of a walk with steps of this law.

    ``−ζ(½)/√(2π)`` for normal steps, ½ for signs, else Spitzer's integral ``−π^{-1} ∫ ln(2(1 − φ(t))/t²) t^{-2} dt``.

    >>> [round(overshoot(law), 6) for law in ("normal", "binary", "uniform")]
    [0.582597, 0.5, 0.516068]
    """
    if law == "normal":
        return 0.5825971579390107
    if law == "binary":
        return 0.5
    edge, first, far = np.sqrt(3), 1e-3, 200.0
    inside = lambda t: np.log(2 * (1 - np.sinc(edge * t / np.pi)) / t**2) / t**2  # noqa: E731
    value, _ = scipy.integrate.quad(inside, first, far, epsabs=1e-11, limit=1000)
    value += (np.log(2) - 2 * np.log(far) - 2) / far  # beyond far, but for the oscillation of φ there
    value -= 3 * first / 20  # before the first, where the logarithm is −E ξ⁴ t²/12
    return -float(value) / np.pi


def _walls(kind: str, x: float, y: float, start: float, radius: float) -> tuple[float, bool]:
    """The upper end, and whether it is one that no orbit reaches but for a probability of e^{−80}."""
    if kind not in _WALLS:
        return radius, False
    H = np.linspace(0, radius, 4000)
    wall = _WALLS[kind](x, H)
    far = (2 * (wall - np.minimum.accumulate(wall)) > 80 * y) & (1.1 * start < H)
    return (float(H[np.argmax(far)]), True) if far.any() else (radius, False)


def _solve(kind: str, x: float, y: float, start: float, radius: float, n: int) -> tuple[float, float]:
    """``c(1, start)`` and ``k(1, start)`` on n points ``w sinh s``, dense within ``w`` of zero."""
    top, free = _walls(kind, x, y, start, radius)
    unit = 2 * np.sqrt(y / max(1.0, abs(x)))
    low, high = np.arcsinh(-radius / unit), np.arcsinh(top / unit)
    middle, half = (low + high) / 2, (high - low) / 2
    z, D = chebyshev(n)
    H, D = unit * np.sinh(middle + half * z), D / (half * unit * np.cosh(middle + half * z))[:, None]
    inner = slice(0 if free else 1, n - 1)  # the unknowns; at a free end the drift points inwards and no value is given
    f, slope, push = (v[inner] for v in _RATES[kind](x, H))
    second = (y / 2) * D @ D
    if free:
        second[0] = 0
    L = second[inner, inner] + f[:, None] * D[inner, inner]
    m = len(f)
    M = np.zeros((4 * m, 4 * m))
    k, a, b, c = (slice(i * m, (i + 1) * m) for i in range(4))
    M[k, k], M[a, a], M[b, b], M[c, c] = L, L + 2 * np.diag(slope), L + np.diag(slope), L
    M[a, k], M[b, a], M[c, b] = np.eye(m), 2 * np.diag(push), np.diag(push)
    with np.errstate(all="ignore"):
        last = scipy.linalg.expm(M)[:, k].sum(axis=1)
    place = np.array([(np.arcsinh(start / unit) - middle) / half])
    padded = np.zeros((2, n))
    padded[0, inner], padded[1, inner] = last[c], last[k]
    total, stay = (float(interpolated(z, row, place)[0]) for row in padded)
    return total, stay


def _refined(kind: str, x: float, y: float, start: float, radius: float, tolerance: float) -> Number:
    before, change = _solve(kind, x, y, start, radius, _SIZES[0]), (np.inf, np.inf)
    for n in _SIZES[1:]:
        now = _solve(kind, x, y, start, radius, n)
        change = abs(now[0] - before[0]), abs(now[1] - before[1])
        before = now
        if change[0] <= tolerance * abs(now[0]) and change[1] <= tolerance:
            break
    total, stay = before
    if not np.isfinite(total) or not stay > 1e-12:
        return Number(np.nan, np.inf, 1.0, "no orbit stays")
    value = total / stay
    error = change[0] / stay + abs(value) * change[1] / stay + 1e-11 * abs(value)
    return Number(value, error, min(1.0, max(0.0, 1 - stay)), "backward equation of the orbits that stay")


def removed_mean(kind: str, x: float, y: float, start: float, radius: float, tolerance: float = 1e-9) -> Number:
    """``E(∫₀¹ Z² dτ | |H| ≤ ρ)`` and the chance to leave, by the backward equation of the module.

    Where a smaller radius loses less than 1e-12 of the orbits, the larger one adds nothing that could be seen, and the
    smaller one is used: at a large radius and weak noise the functions of the state are too steep for any grid.

    Args:
        kind: "transcritical", "saddle_node", or "pitchfork" for the subcritical one.
        x: distance from the bifurcation.
        y: variance of the noise, positive.
        start: ``H(0)``.
        radius: ρ.
        tolerance: points are added until values change by less than this part.

    Returns:
        A `Number`, ``escaped`` the chance to leave. Infinite where the start lies outside, and where 272 points do not
        reach a tenth of the value.

    >>> found = removed_mean("saddle_node", 0.0, 0.1, 0.0, 2.0)
    >>> round(found, 7), round(found.escaped, 7)
    (0.3666217, 0.0003628)
    """
    if not abs(start) < radius:
        return Number(np.inf, np.inf, 1.0, "H(0) lies outside the radius")
    rest = abs(x) ** (1.0 if kind == "transcritical" else 0.5)
    inner = 1.5 * max(abs(start), rest) + 6 * np.sqrt(y)
    while inner < radius / 1.2:
        found = _refined(kind, x, y, start, inner, tolerance)
        if found.escaped < 1e-12 and found.error < 1e-6 * found:
            return Number(found, found.error + 1e-12 * radius**4, 0.0, found.status)
        if found.escaped > 1e-3:
            break
        inner *= 1.6
    found = _refined(kind, x, y, start, radius, tolerance)
    if found.error > 0.1 * abs(found) or not np.isfinite(found):
        return Number(np.inf, np.inf, found.escaped, "not resolved: give a smaller radius")
    return found


def _checked(n: float) -> float:
    if not np.isfinite(n) or abs(n) > 30:
        raise ValueError(f"m = {n:g} is beyond the range of the grid, where noise is weak or orbits leave at once")
    return float(n)


def _growth(n: float, order: float, points: int, vector: bool = False) -> float:
    reach = np.sqrt(abs(n)) + (120 + 3 * abs(n) ** 1.5) ** (1 / 3)
    h = reach / points
    v = h * np.arange(-points, points + 1)
    S = sinc_second(len(v), h) / 2 - np.diag((n - v**2) ** 2 / 2 + (2 * order - 1) * v)
    top = len(v) - 1
    values, vectors = scipy.linalg.eigh(S, subset_by_index=[top, top])
    return float(-2 * np.sum(v * vectors[:, 0] ** 2)) if vector else float(values[0])


def fold_growth(n: float, order: float) -> Number:
    """``L(q; n)`` of ``E(|z|^q; stay) ~ e^{L τ}`` for ``dv = (n − v²) dτ + dB``; the rate of escape is ``−L(0; n)``.

    For ``q ≥ ½`` of orbits within a radius, on which L does not depend.

    Args:
        n: distance from the fold.
        order: q.

    >>> round(-fold_growth(0.0, 0.0), 9), fold_growth(0.7, 2.0) == fold_growth(0.7, -1.0)
    (0.281067805, True)
    """
    n = _checked(n)
    distance = abs(order - 0.5) + 0.5  # L(q) = L(1 − q)
    return converged(lambda m, k: _growth(m, distance, k), n, "sinc collocation", 90 + int(8 * abs(n)))


def fold_exponent(n: float) -> Number:
    """``L'(0; n)``: the exponent of an orbit that stays, in the limit of long times; always negative.

    >>> fold_exponent(0.0) < 0
    True
    """
    return converged(lambda m, k: _growth(m, 0.0, k, True), _checked(n), "sinc collocation", 90 + int(8 * abs(n)))


def passage_time(n: float) -> Number:
    """Mean time of ``dv = (n − v²) dτ + dB`` from ``+∞`` to ``−∞``: ``2^{1/3} π² (Ai² + Bi²)(2^{2/3} n)``.

    The time is ``√(2π) ∫₀^∞ e^{2ns − s³/6} s^{−1/2} ds``, and that is DLMF 9.11.4. (Halperin, Phys. Rev. 139, 1965, for
    the number of states of a particle in white noise, whose Riccati equation this is.)

    >>> round(passage_time(0.0), 6)
    6.269435
    """
    airy, _, bairy, _ = scipy.special.airy(2 ** (2 / 3) * _checked(n))
    value = float(2 ** (1 / 3) * np.pi**2 * (airy**2 + bairy**2))
    return Number(value, error=1e-12 * value, status="closed form")
