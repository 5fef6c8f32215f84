"""How long descent takes: one quadrature for the flow, and what a finite rate adds."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

__all__ = ["elapsed"]

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(16)
_TOLERANCE = 1e-9
_PANELS = 2048
_FEW, _MOST = 64, 5000  # steps that are taken rather than integrated


def elapsed(slopes: Callable[[np.ndarray], np.ndarray], start: float, end: float, rate: float) -> float:
    """Steps of ``g' = g + F(g)``, ``F = −η L'``, from ``start`` to ``end``.

    The map is the unit-time flow of ``V = F − FF'/2 + FF'²/3 + F²F''/12 − …``, whence

        n = ∫ dg/F + ½ ln |F(g₁)/F(g₀)| − (1/12) [F'(g₁) − F'(g₀) + ∫ F'²/F dg] + O(η²),

    the flow, its lag behind by half a logarithm, and one order more. Where that gives fewer than 64 steps, or the
    rate is so large that ``|F'|`` exceeds ½ on the way, the steps are taken instead, if they are no more than 2500.

    Args:
        slopes: ``g ↦ (L', L'')`` on arrays.
        start: where descent begins.
        end: where it goes.
        rate: η.

    Returns:
        Steps; ``inf`` where the descent does not lead there.

    Source: the iterative logarithm of a map close to the identity, ``V = Σ_k (−1)^{k+1} Δ^k/k``.
    """
    if start == end:
        return 0.0
    ends = -rate * slopes(np.array([start, end]))
    before, panels, value = np.inf, 2, np.nan
    while panels <= _PANELS:
        edges = np.linspace(start, end, panels + 1)
        half = np.diff(edges)[:, None] / 2
        g = (edges[:-1, None] + half + half * _NODES).ravel()
        F, bend = -rate * slopes(g)
        if not np.all(F * (end - start) > 0) or not np.all(ends[0] * (end - start) > 0):
            return float("inf")
        weight = (half * _WEIGHTS).ravel()
        flow, rest = weight @ (1 / F), weight @ (bend**2 / F)
        lag = 0.5 * np.log(ends[0, 1] / ends[0, 0]) - (ends[1, 1] - ends[1, 0] + rest) / 12
        value = float(flow + lag)
        if abs(value - before) <= _TOLERANCE * abs(value):
            break
        before, panels = value, panels * 4
    rough = bool(np.max(np.abs(bend)) > 0.5)
    return _stepped(slopes, start, end, rate) if value < _FEW or (rough and value < _MOST / 2) else value


def _stepped(slopes: Callable[[np.ndarray], np.ndarray], start: float, end: float, rate: float) -> float:
    """The steps themselves, linear within the last."""
    g, side = start, np.sign(end - start)
    for k in range(_MOST):
        after = g - rate * float(slopes(np.array(g))[0])
        if (after - end) * side >= 0:
            return k + (end - g) / (after - g)
        if not np.isfinite(after):
            break
        g = after
    return float("inf")
