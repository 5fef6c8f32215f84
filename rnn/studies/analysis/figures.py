"""The figure of somebody's own network."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from normalforms.report import COLOURS, style
from rnn.studies.analysis.study import Analysis

__all__ = ["figure"]


@style
def figure(found: Analysis) -> Figure:
    """Multipliers of the last model's fixed points in the complex plane, and the branches along the path."""
    figure = Figure(figsize=(11, 4.2), layout="constrained")
    plane, branches = figure.subplots(1, 2)
    points = found.points[-1]
    angle = np.linspace(0, 2 * np.pi, 361)
    plane.plot(np.cos(angle), np.sin(angle), color="0.6", lw=0.8)
    for stable, colour, name in ((True, "blue", "of stable points"), (False, "red", "of unstable points")):
        z = points.multipliers[points.stable == stable].ravel()
        plane.plot(z.real, z.imag, ".", color=COLOURS[colour], label=name)
    plane.set(xlabel="Re multiplier", ylabel="Im multiplier", aspect="equal")
    plane.set_title(found.names[-1], parse_math=False)  # a file may be called run_$5
    plane.legend(loc="upper left", bbox_to_anchor=(0, -0.16), ncol=2)
    branches.set(xlabel="checkpoint", ylabel="state along the leading direction")
    if found.events is None:
        branches.plot(np.zeros(len(points)), _leading(points.points), "o", color=COLOURS["blue"])
        return figure
    q = _axis(np.concatenate([b.points for b in found.events.branches]))
    for branch in found.events.branches:
        for keep, kind in ((branch.stable, "-"), (~branch.stable, "--")):
            branches.plot(branch.steps, np.where(keep, branch.points @ q, np.nan), kind, color=COLOURS["blue"])
    for event in found.events:
        branches.plot(event.step, event.point @ q, "o", color=COLOURS["orange"], ms=5)
    return figure


def _axis(points: np.ndarray) -> np.ndarray:
    """The direction along which points spread most."""
    return np.linalg.svd(points - points.mean(axis=0), full_matrices=False)[2][0]


def _leading(points: np.ndarray) -> np.ndarray:
    return points @ _axis(points) if len(points) > 1 else points[:, 0]
