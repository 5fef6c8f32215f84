"""The figure of somebody's own network."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from normalforms.report import COLOURS, style
from rnn.studies.analysis.study import Analysis

__all__ = ["figure", "kernel_figure"]


@style
def figure(found: Analysis) -> Figure:
    """Multipliers of the last model's fixed points in the complex plane; branches and stable rank along the path."""
    path = found.events is not None
    figure = Figure(figsize=(14 if path else 10, 4.2), layout="constrained")
    plane, branches, *ranks = figure.subplots(1, 3 if path else 2)
    _plane(plane, found)
    branches.set(xlabel="step", ylabel="state along the leading direction")
    if found.events is None:
        points = found.points[-1]
        branches.plot(np.zeros(len(points)), _leading(points.points), "o", color=COLOURS["blue"])
        branches.set(xticks=[], xlabel="the network")
        return figure
    _branches(branches, found)
    at = found.steps[list(found.ranked)]
    value, error = (np.array([getattr(r, name) for r in found.ranks], float) for name in ("value", "standard_error"))
    ranks[0].errorbar(at, value, error, fmt="o-", color=COLOURS["blue"], ms=4)
    ranks[0].set(xlabel="step", ylabel="stable rank of the kernel", yscale="log")
    for event in found.events:
        for ax in (branches, ranks[0]):
            ax.axvline(event.step, color="0.7", ls=":", lw=1, zorder=0)
    return figure


@style
def kernel_figure(found: Analysis) -> Figure | None:
    """‖J(s)v‖² through each event, measured and predicted; ``None`` where no event has a prediction."""
    curves = [(k, c.sweep, c.prediction) for k, c in enumerate(found.kernels) if c.sweep and c.prediction]
    if not curves or found.events is None:
        return None
    figure = Figure(figsize=(4.7 * len(curves), 3.8), layout="constrained")
    for ax, (k, sweep, prediction) in zip(np.ravel(figure.subplots(1, len(curves))), curves, strict=True):
        event, g = found.events[k], sweep.parameter
        ax.plot(g, sweep.amplification, "ko", ms=3, label="measured")
        ax.plot(g, prediction.amplification, color=COLOURS["orange"], label="predicted")
        ax.axvline(1, color="0.7", ls=":", lw=1, zorder=0)
        ax.set(xlabel="parameter g of the normal form", ylabel="‖J(s) v‖²")
        ax.set_title(f"{event.kind.replace('_', ' ')}, step {event.step:.5g}", fontsize=10)
        ax.legend(fontsize=8)
    return figure


def _plane(ax: Any, found: Analysis) -> None:
    points = found.points[-1]
    angle = np.linspace(0, 2 * np.pi, 361)
    ax.plot(np.cos(angle), np.sin(angle), color="0.6", lw=0.8)
    for stable, colour, mark, name in (
        (True, "blue", "o", "of stable points"),
        (False, "red", "x", "of unstable points"),
    ):
        z = points.multipliers[points.stable == stable].ravel()
        ax.plot(z.real, z.imag, mark, ms=4, color=COLOURS[colour], label=name)
    ax.set(xlabel="Re multiplier", ylabel="Im multiplier")
    ax.set_aspect("equal", adjustable="datalim")
    # not the file's name, which may hold a $ or letters that the font has not
    ax.set_title("the network" if found.events is None else f"step {found.steps[-1]:g}", fontsize=10)
    ax.legend(loc="upper left", fontsize=8)


def _branches(ax: Any, found: Analysis) -> None:
    """Every fixed point along the path, solid where it is stable; a branch changes at its event, not at a sample."""
    events = found.events
    assert events is not None
    if not events.branches:
        ax.text(0.5, 0.5, "no fixed point was followed", ha="center", transform=ax.transAxes)
        return
    q = _axis(np.concatenate([branch.points for branch in events.branches]))
    look = {True: {"ls": "-", "label": "stable"}, False: {"ls": "--", "label": "unstable"}}
    for branch in events.branches:
        steps, values = branch.steps, branch.points @ q
        for k in range(len(steps) - 1):
            ends = [(steps[k], values[k]), (steps[k + 1], values[k + 1])]
            within = [e for e in events if steps[k] < e.step < steps[k + 1]]
            if branch.stable[k] != branch.stable[k + 1] and within:
                middle = branch.points[k : k + 2].mean(axis=0)
                event = min(within, key=lambda e, middle=middle: float(np.linalg.norm(e.point - middle)))
                ends.insert(1, (event.step, float(event.point @ q)))
            for piece, (a, b) in enumerate(pairwise(ends)):
                stable = bool(branch.stable[k + piece] if len(ends) == 3 else branch.stable[k : k + 2].all())
                ax.plot(*zip(a, b, strict=True), color=COLOURS["blue"], lw=1.4, **look[stable])
    for event in events:
        ax.plot(event.step, event.point @ q, "o", color=COLOURS["orange"], ms=5, label="bifurcation")
    handles, labels = ax.get_legend_handles_labels()
    once = dict(zip(labels, handles, strict=True))
    ax.legend(once.values(), once.keys(), fontsize=8)


def _axis(points: np.ndarray) -> np.ndarray:
    """The direction along which points spread most."""
    return np.linalg.svd(points - points.mean(axis=0), full_matrices=False)[2][0]


def _leading(points: np.ndarray) -> np.ndarray:
    return points @ _axis(points) if len(points) > 1 else points[:, 0]
