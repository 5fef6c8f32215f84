"""`Trial`: the measurement of the range in which the law of a scalar map errs less than it says, against iteration."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import sympy as sp

from normalforms.forms import iterate
from normalforms.forms.uniform.domain import BernoulliRules, FoldRules, Region, widest
from normalforms.maps import Map

__all__ = ["HALVINGS", "Trial"]

HALVINGS = 12
"""How many ranges are tried."""
_SPARE = 2 / 3
"""Part of the stated error that the sample may reach."""
_SAMPLED = 0.1
"""Part of a sample that must lie in the range that it is to speak for: next to a degenerate point none may."""
_STEP = 5e-6
"""Step of the slopes over the width of the range."""


@dataclass(frozen=True, eq=False)
class Trial:
    """A law and its map on samples of smaller and smaller ranges.

    Args:
        map: a scalar map with one parameter.
        error: the relative error of A that the law states.
        rules: its predicates.
        orbit: function of parameter, initial state and time.
        stretch: factor from the caller's ``h0`` to the map's.
        sized: the range of a size, 1 for the first.
        sample: parameters and initial states of a range; those outside it do not count.
        horizons: T that are tried, the longest one last.
    """

    map: Map
    error: float
    rules: BernoulliRules | FoldRules
    orbit: Callable[..., Any]
    stretch: sp.Expr
    sized: Callable[[float], Region]
    sample: Callable[[Region], tuple[np.ndarray, np.ndarray]]
    horizons: tuple[int, ...]

    def check(self) -> None:
        """Refuse a law that holds nowhere when it is made: the smallest range tells.

        Raises:
            ValueError: it does not hold there, nor in a larger one.
        """
        if not self._good(self.sized(2.0 ** (1 - HALVINGS))):
            self.region()

    def _good(self, region: Region) -> bool:
        return self.worst(region) < _SPARE * self.error

    def slip(self, g: Any, h0: Any) -> Any:
        """``s_1² − f_g²``: what the orbit's first sensitivity would add to A, or lacks.

        Where ``f_g`` has a zero next to the fixed point the first terms of A all but vanish, and an error that is
        small beside the rest is not beside them.
        """
        (p,), (h,) = self.map.parameters, self.map.states
        step = 1e-6 * (1 + np.abs(g))
        with np.errstate(all="ignore"):
            found = (self.orbit(g + step, h0, 1) - self.orbit(g - step, h0, 1)) / (2 * step)
            true = _slope(self.map.steps[0], p, h)(g, float(self.stretch) * h0) / float(self.stretch)
            return found**2 - true**2

    def region(self) -> Region:
        """The largest one that is good enough of those that halve one another.

        Raises:
            ValueError: there is none.
        """
        return widest(self.sized, self._good, HALVINGS, self.map.step)

    def worst(self, region: Region) -> float:
        """The largest relative error of A on a sample of trajectories in a region."""
        points, h0 = self.sample(region)
        inside = self.rules.holds(region, points, h0, 1)
        if np.mean(inside) < _SAMPLED:
            return np.inf
        points, h0 = points[inside], h0[inside]
        times, step = np.arange(1, self.horizons[-1] + 1)[:, None], _STEP * (region.most - region.least)
        with np.errstate(all="ignore"):
            ahead, behind = (self.orbit(points + s * step, h0, times) for s in (1, -1))
            slopes = iterate(self.map, points, float(self.stretch) * h0, self.horizons[-1]).s / float(self.stretch)
            moved = (ahead - behind) / (2 * step)
            found = np.cumsum(np.concatenate([slopes[:1], moved[1:]]) ** 2, axis=0)
            true = np.cumsum(slopes**2, axis=0)
            errors = np.abs(found / true - 1)
        worst = 0.0
        for horizon in self.horizons:
            kept = errors[horizon - 1][self.rules.stays(region, points, h0, horizon)]
            worst = max(worst, float(np.max(np.where(np.isnan(kept), np.inf, kept), initial=0.0)))
        return worst


@cache
def _slope(step: sp.Expr, parameter: sp.Symbol, state: sp.Symbol) -> Callable[..., Any]:
    return sp.lambdify((parameter, state), step.diff(parameter), "numpy")
