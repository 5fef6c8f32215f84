"""The figures of one reproduction, drawn from its :class:`Story`."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from normalforms.report import COLOURS, style
from rnn.models import trajectory
from rnn.studies.experiment.study import Story

__all__ = ["figure1", "figure_bias"]

_RUNGS = {
    "cubic": ("cubic normal form", COLOURS["orange"]),
    "scalar": ("untruncated scalar map", COLOURS["green"]),
    "response": ("… and other modes' response", COLOURS["blue"]),
}


@style
def figure1(story: Story) -> Figure:
    """Panels A–G: loss, stable rank, spectral radius, read-out, restricted kernel, its errors, branches."""
    figure = Figure(figsize=(13, 11), layout="constrained")
    axes = figure.subplot_mosaic([["A", "B", "C"], ["D", "E", "F"], ["G", "G", "G"]])
    _loss(axes["A"], story)
    _rank(axes["B"], story)
    axes["C"].plot(story.radius_step, story.radius, color=COLOURS["blue"])
    axes["C"].axhline(1, color="0.6", lw=0.8)
    axes["C"].set(xlabel="training step", ylabel="spectral radius of W (dimensionless)")
    for name in "ABC":
        _mark(axes[name], story)
        # the first event comes early in a long run
        axes[name].set_xscale("symlog", linthresh=100)
        axes[name].set_xlim(0, story.run.steps)
    _readout(axes["D"], story)
    _restricted(axes["E"], axes["F"], story)
    _branches(axes["G"], story.events, story.run.task.outputs)
    for name, ax in axes.items():
        ax.set_title(name, loc="left", fontweight="bold")
    return figure


@style
def figure_bias(story: Story) -> Figure | None:
    """The run with trainable bias: loss, branches with the fold, and ``‖J(s)v‖²`` along the dominant direction."""
    bias = story.bias
    if bias is None:
        return None
    figure = Figure(figsize=(13, 3.8), layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    left.plot(np.arange(bias.run.steps), bias.run.loss, color=COLOURS["blue"])
    left.set(xlabel="training step", ylabel="loss (mean squared error)")
    _branches(middle, bias.events, bias.run.task.outputs)
    if len(bias.events):
        left.axvline(bias.events[0].step, color="0.4", ls="--", lw=1)
        right.plot(bias.displacement, bias.amplification, color=COLOURS["blue"])
    right.set(xlabel="displacement s along the dominant direction", ylabel="‖J(s) v‖²")
    return figure


def _loss(ax: Any, story: Story) -> None:
    ax.semilogy(np.arange(story.run.steps), story.run.loss, color=COLOURS["blue"], lw=1)
    ax.set(xlabel="training step", ylabel="loss (mean squared error)")


def _rank(ax: Any, story: Story) -> None:
    rank = story.rank
    ax.semilogy(rank.step, rank.value, color=COLOURS["blue"], lw=1, label="estimate")
    low = np.maximum(rank.value - rank.standard_error, 1)
    ax.fill_between(rank.step, low, rank.value + rank.standard_error, color=COLOURS["blue"], alpha=0.25, lw=0)
    at = [0.0]
    exact = [rank.initial]
    if np.isfinite(rank.minimum):
        at += [story.events[0].step, rank.minimum_step]
        exact += [rank.at_event, rank.minimum]
    ax.plot(at, exact, "o", ms=4, color=COLOURS["orange"], label="exact")
    ax.axhline(1, color="0.6", lw=0.8)
    ax.set(xlabel="training step", ylabel="stable rank of the sNTK (dimensionless)")
    ax.legend()


def _mark(ax: Any, story: Story) -> None:
    if len(story.events):
        ax.axvline(story.events[0].step, color="0.4", ls="--", lw=1)


def _readout(ax: Any, story: Story, shown: int = 48) -> None:
    task = story.run.task
    start = np.asarray(task.h0[:shown])
    for model, colour, name in (
        (task.teacher, "0.6", "teacher"),
        (story.run.model(story.run.steps), COLOURS["blue"], "student after training"),
    ):
        hs = np.asarray(trajectory(model, task.h0[:shown], task.horizon))
        paths = np.concatenate([start[:, None], hs], axis=1)
        for k, path in enumerate(paths):
            ax.plot(path[:, 0], path[:, 1], color=colour, lw=0.8, alpha=0.7, label=name if k == 0 else None)
    points, stable = story.teacher.points, story.teacher.stable
    ax.plot(*points[stable, :2].T, "ko", ms=7, label="teacher's stable fixed points")
    ax.plot(*points[~stable, :2].T, "o", ms=7, mfc="white", mec="k", label="unstable ones")
    ax.set(xlabel="read-out 1, h₁", ylabel="read-out 2, h₂")
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16), ncol=2, fontsize=8)


def _restricted(curve: Any, errors: Any, story: Story) -> None:
    found = story.restricted
    curve.set(xlabel="critical multiplier λ(s)", ylabel="‖J(s) v‖²")
    errors.set(xlabel="critical multiplier λ(s)", ylabel="relative error")
    if found is None:
        curve.text(0.5, 0.5, "no pitchfork in this run", ha="center", transform=curve.transAxes)
        return
    lam, measured = found.sweep.parameter, found.sweep.amplification
    curve.plot(lam[::3], measured[::3], "ko", ms=3, label="measured")
    for rung, values in found.prediction.rungs.items():
        label, colour = _RUNGS[rung]
        curve.plot(lam, values, color=colour, label=label)
        errors.semilogy(lam, np.abs(values / measured - 1), color=colour, label=label)
    if found.fitted is not None:
        window = found.fitted.parameter
        curve.plot(window, found.fitted.predict(window), "--", color=COLOURS["red"], label="3-parameter fit")
        errors.semilogy(
            window, np.abs(np.expm1(found.fitted.residual)), "--", color=COLOURS["red"], label="3-parameter fit"
        )
    for ax in (curve, errors):
        ax.axvline(1, color="0.4", ls="--", lw=1)
    curve.set_ylim(0, 1.9 * measured.max())
    curve.legend(loc="upper left", fontsize=8)


def _branches(ax: Any, events: Any, outputs: int) -> None:
    """Fixed points along training, in the read-out neuron along which the first event opens."""
    neuron = 0
    if len(events):
        q = np.abs(np.asarray(events[0].normal_form.critical_eigenvector, dtype=complex))[:outputs]
        neuron = int(np.argmax(q))
    for branch in events.branches:
        steps, values, stable = branch.steps, branch.points[:, neuron], branch.stable
        for keep, kind in ((stable, "-"), (~stable, "--")):
            spread = keep | np.roll(keep, 1) & (np.arange(len(keep)) > 0)
            ax.plot(steps, np.where(spread, values, np.nan), kind, color=COLOURS["blue"], lw=1.2)
    for event in events:
        ax.plot(event.step, event.point[neuron], "o", ms=4, color=COLOURS["orange"])
    if len(events):
        _predicted_branches(ax, events[0], neuron)
        ax.set_xlim(max(0.0, events[0].step - 300), events[0].step + 1200)
    ax.plot([], [], "-", color=COLOURS["blue"], label="stable")
    ax.plot([], [], "--", color=COLOURS["blue"], label="unstable")
    ax.plot([], [], "o", ms=4, color=COLOURS["orange"], label="bifurcation")
    ax.set(xlabel="training step", ylabel=f"fixed points, read-out {neuron + 1}")
    ax.legend(loc="upper left", fontsize=8)


def _predicted_branches(ax: Any, event: Any, neuron: int) -> None:
    """``h* ± q √(−dλ Δ/c₃)`` of the normal form, near a pitchfork."""
    if event.kind != "pitchfork":
        return
    c = event.normal_form.coefficients
    ahead = np.linspace(0, 40 * np.sign(-c["dlambda"] * c["c3"]), 60)
    size = np.sqrt(np.maximum(-c["dlambda"] * ahead / c["c3"], 0))
    q = float(np.real(event.normal_form.critical_eigenvector[neuron]))
    for k, sign in enumerate((1, -1)):
        label = "normal form" if k == 0 else None
        ax.plot(event.step + ahead, event.point[neuron] + sign * size * q, color=COLOURS["red"], label=label)
