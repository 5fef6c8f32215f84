"""The figures of somebody's own network."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure

from normalforms.families import spoken
from normalforms.report import COLOURS, style
from rnn.dynamics import Bifurcations, Branch
from rnn.models import Model, partition, trajectory
from rnn.studies.analysis.study import Analysis

__all__ = ["figure", "kernel_figure", "portraits"]

_ORBITS, _LONG = 24, 40  # of a phase portrait, and their steps
_WIDE = 1e3  # range beyond which a curve is drawn on a logarithmic axis


@style
def figure(found: Analysis) -> Figure:
    """Multipliers of the last model's fixed points; along a path also their number, their branches, and stable rank."""
    if found.events is None:
        figure = Figure(figsize=(10, 4.2), layout="constrained")
        plane, branches = figure.subplots(1, 2)
        _plane(plane, found)
        points = found.points[-1]
        branches.plot(np.zeros(len(points)), _leading(points.points), "o", color=COLOURS["blue"])
        branches.set(xticks=[], xlabel="the network", ylabel="state along the leading direction")
        return figure
    figure = Figure(figsize=(10, 8.4), layout="constrained")
    timeline, branches, ranks, plane = figure.subplots(2, 2).ravel()
    _timeline(timeline, found)
    _branches(branches, found)
    at = found.steps[list(found.ranked)]
    value, error = (np.array([getattr(r, name) for r in found.ranks], float) for name in ("value", "standard_error"))
    ranks.errorbar(at, value, error, fmt="o-", color=COLOURS["blue"], ms=4, label="stable rank")
    branches.set(ylabel="state along the leading direction")
    ranks.set(ylabel="stable rank of the kernel", yscale="log" if value.max() > 10 * value.min() else "linear")
    for ax in (timeline, branches, ranks):
        ax.set(xlabel="step", xlim=(found.steps[0], found.steps[-1]))
        ax.margins(x=0.02)
    for event in found.events:
        for ax in (branches, ranks):
            ax.axvline(event.step, color="0.5", ls=":", lw=1, zorder=0)
    _plane(plane, found)
    return figure


@style
def portraits(models: Sequence[Model], found: Analysis) -> Figure | None:
    """Orbits of the first and of the last model (of the one), in the two directions in which the last one's spread.

    ``None`` of a single state variable, and where nothing stays finite.
    """
    ends = [(models[0], found.points[0], found.steps[0])]
    if len(models) > 1:
        ends.append((models[-1], found.points[-1], found.steps[-1]))
    orbits = [_orbits(model, found.starts[:_ORBITS]) for model, _, _ in ends]
    cloud = np.concatenate([orbits[-1][:, 1:].reshape(-1, found.starts.shape[1]), ends[-1][1].points])
    cloud = cloud[np.all(np.isfinite(cloud), axis=1)]
    if cloud.shape[1] < 2 or len(cloud) < 2:
        return None
    centre = cloud.mean(axis=0)
    directions = np.linalg.svd(cloud - centre, full_matrices=False)[2][:2]
    figure = Figure(figsize=(4.8 * len(ends), 4.2), layout="constrained")
    for ax, paths, (_, points, step) in zip(np.ravel(figure.subplots(1, len(ends))), orbits, ends, strict=True):
        for path in (paths - centre) @ directions.T:
            ax.plot(*path.T, "-", color="0.6", lw=0.8)
        places = (points.points - centre) @ directions.T
        ax.plot(*places[points.stable].T, "o", color=COLOURS["blue"], ms=7, label="stable fixed point")
        ax.plot(*places[~points.stable].T, "x", color=COLOURS["red"], ms=7, mew=2, label="unstable fixed point")
        title = "orbits of the network" if len(ends) == 1 else f"orbits at step {step:g}"
        ax.set(xlabel="first direction", ylabel="second direction", title=title)
        ax.legend(fontsize=8)
    return figure


def _orbits(model: Model, starts: np.ndarray) -> np.ndarray:
    """Shape (orbit, step, state); the ones that leave to infinity end there."""
    dtype = jax.tree.leaves(partition(model)[0])[0].dtype
    paths = np.asarray(trajectory(model, jnp.asarray(starts, dtype), _LONG), np.float64)
    paths = np.concatenate([starts[:, None], paths], axis=1)
    return np.where(np.abs(paths) < 1e6, paths, np.nan)


def _timeline(ax: Any, found: Analysis) -> None:
    """How many fixed points there are, and how many are stable, with the name of each event where it happens."""
    events = found.events
    assert events is not None
    points = [branch for branch in events.branches if branch.period == 1]
    grid = np.unique(np.concatenate([found.steps, [e.step + d for e in events for d in (-1e-6, 1e-6)]]))
    counts = np.zeros((2, len(grid)))
    for branch in points:
        steps, _, _ = _reached(branch, events)
        counts[0] += (grid >= steps[0]) & (grid <= steps[-1])
        for (a, _), (b, _), stable in _pieces(branch, events):
            counts[1] += stable & (grid > a if a > steps[0] else grid >= a) & (grid <= b)
    ax.step(grid, counts[0], where="post", color="0.45", label="fixed points followed")
    ax.step(grid, counts[1], where="post", color=COLOURS["blue"], label="of them stable")
    top = counts.max() if len(points) else 1
    for k, event in enumerate(events):
        ax.axvline(event.step, color="0.5", ls=":", lw=1, zorder=0)
        if k < 6:
            name = spoken(event.kind)
            ax.annotate(name, (event.step, top * (1.08 + 0.12 * (k % 4))), fontsize=8, ha="center")
    ax.set(ylabel="number of fixed points", ylim=(0, 1.75 * top))
    ax.yaxis.get_major_locator().set_params(integer=True)
    ax.legend(fontsize=8, loc="upper left")


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
        seen = sweep.amplification[sweep.amplification > 0]
        if len(seen) and seen.max() > _WIDE * seen.min():
            ax.set_yscale("log")
        of = f" of a {event.period}-cycle" if event.period > 1 else ""
        ax.set_title(f"{spoken(event.kind)}{of}, step {event.step:.5g}", fontsize=10)
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
        for (a, start), (b, end), stable in _pieces(branch, events):
            ax.plot((a, b), (start @ q, end @ q), color=COLOURS["blue"], lw=1.4, **look[stable])
    for event in events:
        ax.plot(event.step, event.point @ q, "o", color=COLOURS["orange"], ms=5, label="bifurcation")
    handles, labels = ax.get_legend_handles_labels()
    once = dict(zip(labels, handles, strict=True))
    ax.legend(once.values(), once.keys(), fontsize=8)


Place = tuple[float, np.ndarray]


def _pieces(branch: Branch, events: Bifurcations) -> Iterator[tuple[Place, Place, bool]]:
    """Where a branch is from step to step, and whether it is stable there; it turns at its event, not at a sample."""
    steps, points, calm = _reached(branch, events)
    for k in range(len(steps) - 1):
        places = [(steps[k], points[k]), (steps[k + 1], points[k + 1])]
        within = [e for e in events if steps[k] < e.step < steps[k + 1]]
        if calm[k] != calm[k + 1] and within:
            middle = points[k : k + 2].mean(axis=0)
            event = min(within, key=lambda e, middle=middle: float(np.linalg.norm(e.point - middle)))
            places.insert(1, (event.step, event.point))
        for piece, (a, b) in enumerate(pairwise(places)):
            yield a, b, bool(calm[k + piece] if len(places) == 3 else calm[k : k + 2].all())


def _reached(branch: Branch, events: Bifurcations) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Steps, points and stability of a branch, from the event at which it is born to that at which it ends."""
    steps, points, stable = branch.steps, branch.points, branch.stable
    for index, first in ((branch.born, True), (branch.ended, False)):
        if index is None:
            continue
        event, end = events[index], 0 if first else len(steps) - 1
        if (event.step < steps[end]) if first else (event.step > steps[end]):
            place = 0 if first else len(steps)
            steps = np.insert(steps, place, event.step)
            points = np.insert(points, place, event.point, axis=0)
            stable = np.insert(stable, place, stable[end])
    return steps, points, stable


def _axis(points: np.ndarray) -> np.ndarray:
    """The direction along which points spread most."""
    return np.linalg.svd(points - points.mean(axis=0), full_matrices=False)[2][0]


def _leading(points: np.ndarray) -> np.ndarray:
    return points @ _axis(points) if len(points) > 1 else points[:, 0]
