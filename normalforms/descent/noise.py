"""How minibatches scatter the step at which descent crosses a bifurcation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

__all__ = ["Spread", "spread"]

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(16)
_PANELS = 16


@dataclass(frozen=True)
class Spread:
    """The distribution of a time of passage, to leading order in the noise.

    Args:
        mean: steps.
        deviation: standard deviation, in steps.

    >>> Spread(100.0, 5.0).interval(2.0)
    (90.0, 110.0)
    """

    mean: float
    deviation: float

    def interval(self, width: float = 1.96) -> tuple[float, float]:
        """``mean ± width · deviation``."""
        return self.mean - width * self.deviation, self.mean + width * self.deviation


def spread(
    slopes: Callable[[np.ndarray], np.ndarray], mean: float, start: float, end: float, rate: float, batch: int
) -> Spread:
    """Mean and deviation of the steps from ``start`` to ``end`` when each step sees ``batch`` random initial states.

    A step's slope scatters about its mean by ``σ²/b``, ``σ²(g)`` the variance over initial states. The time to go is
    ``τ(g) = ∫ dg/V``, ``V = η|L'|``; a kick δ changes it by ``τ' δ + τ'' δ²/2``, and kicks are independent, whence

        Var n = (η²/b) ∫ σ²/V³ dg,      ⟨n⟩ = n₀ + (η²/2b) ∫ σ² V'/V³ dg.

    Next to the teacher ``σ`` is the scatter of ``2 (g − g_T) A_T/T`` over initial states: noise is the amplification's.

    Args:
        slopes: ``g ↦ L'`` of each initial state, along the last axis.
        mean: n₀, the time without noise.
        start, end, rate: as of `normalforms.descent.timing.elapsed`.
        batch: b.

    Returns:
        A `Spread`; its deviation is ``inf`` where descent does not lead to ``end``.
    """
    if not np.isfinite(mean):
        return Spread(mean, float("inf"))
    edges = np.linspace(start, end, _PANELS + 1)
    half = np.diff(edges)[:, None] / 2
    g = (edges[:-1, None] + half + half * _NODES).ravel()
    weight = np.abs(half * _WEIGHTS).ravel()
    each = slopes(g)
    variance = np.var(each, axis=-1)
    speed = rate * np.abs(np.mean(each, axis=-1))
    small = 1e-4 * (end - start)
    ahead, behind = (rate * np.abs(np.mean(slopes(g + d), axis=-1)) for d in (small, -small))
    bend = (ahead - behind) / (2 * abs(small))
    kicks = rate**2 * variance / batch
    shift = 0.5 * weight @ (kicks * bend / speed**3)
    return Spread(float(mean + shift), float(np.sqrt(weight @ (kicks / speed**3))))
