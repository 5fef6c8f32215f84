"""The record of a search for fixed points."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Complex, Float, Int

from normalforms.report import brief, frame
from rnn.dynamics.slow import Continuum

__all__ = ["FixedPoints"]


@brief
@dataclass(frozen=True)
class FixedPoints:
    """Fixed points of ``model^period``, with the evidence for each.

    Args:
        points: shape (count, state), float64.
        multipliers: eigenvalues of the period map's Jacobian, by decreasing modulus, (count, state).
        residuals: ``‖model(h_i) − h_{i+1}‖ / max(1, ‖h_{i+1}‖)`` on the point's cycle, the largest; shape (count,).
        certificate: Newton–Kantorovich number ``β η L`` of the cycle's equations, shape (count,): at most ½
            proves, up to rounding, that a true cycle lies within ``2 η`` of this one (Ortega & Rheinboldt,
            *Iterative Solution of Nonlinear Equations*, §12.6). Zero for a piecewise-linear model where the
            whole ball lies in one region; NaN where no Lipschitz constant of the Jacobian is known.
        cycles: for every cycle the indices of its points, in the order in which they are visited.
        period: steps per cycle.
        starts: how many starts were tried.
        failed: how many of them did not converge.
        status: ``"found"``, or a sentence on why there is nothing.
        growth: of a small displacement per period in the long run, shape (count,): the largest modulus of the
            multipliers; on a kink, where the slope jumps, that of the one-sided linear map, by simulation.
        index: fixed-point index of every point, ``sign det(I − A)``; on a kink from the slopes of all sides. (count,)
        sides: of each point that lies on a kink the multipliers on its sides, shape (sides, state), up to eight, by the
            point's place; ``multipliers`` has those of one side.
        continua: lines, rings and surfaces of fixed points, which are not among ``points``.
        tried: the starts by where they came from.
        missed: nothing was found though orbits stay bounded: there is a point, and the search failed.
    """

    points: Float[np.ndarray, "count state"]
    multipliers: Complex[np.ndarray, "count state"]
    residuals: Float[np.ndarray, " count"]
    certificate: Float[np.ndarray, " count"]
    cycles: tuple[tuple[int, ...], ...]
    period: int
    starts: int
    failed: int
    status: str
    growth: Float[np.ndarray, " count"]
    index: Int[np.ndarray, " count"]
    sides: Mapping[int, np.ndarray] = field(default_factory=dict)
    continua: tuple[Continuum, ...] = ()
    tried: Mapping[str, int] = field(default_factory=dict)
    missed: bool = False

    def __len__(self) -> int:
        return len(self.points)

    @property
    def stable(self) -> np.ndarray:
        """Which points attract: small displacements shrink. Shape (count,)."""
        return self.growth < 1

    @property
    def index_sum(self) -> int:
        """``Σ sign det(I − A)`` over the points; 1 for the complete set of a bounded map, fixed points hyperbolic.

        (Degree theory: Deimling, *Nonlinear Functional Analysis*, §1.) Another value says that points are missing.
        """
        return int(np.sum(self.index))

    def to_dataframe(self) -> Any:
        """One row per point: what is known of it, then its state as ``h0``, ``h1``, …

        Raises:
            ImportError: pandas is not installed.
        """
        cycle = {point: k for k, points in enumerate(self.cycles) for point in points}
        columns: dict[str, Any] = {
            "stable": self.stable,
            "multiplier": self.multipliers[:, 0],
            "growth": self.growth,
            "index": self.index,
            "residual": self.residuals,
            "certificate": self.certificate,
            "cycle": [cycle[k] for k in range(len(self))],
        }
        return frame(columns | {f"h{k}": column for k, column in enumerate(self.points.T)})

    @property
    def search(self) -> str:
        """The search in a sentence: what was tried, what failed, and whether the index sum says that all was found."""
        from_where = ", ".join(f"{count} {name}" for name, count in self.tried.items() if count)
        told = f"{self.starts} starts ({from_where}), {self.failed} did not converge"
        if not len(self):
            return told
        verdict = (
            "as of a complete set" if self.index_sum == 1 else "other than the 1 of a complete set of a bounded map"
        )
        return told + (f"; index sum {self.index_sum}, {verdict}" if self.period == 1 and not self.continua else "")
