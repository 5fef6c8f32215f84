"""Figures 3 and 4: two unstable modes, and natural gradient beside other optimizers; with what the report says."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, ScalarFormatter

from normalforms.report import COLOURS, style
from normalforms.report import page as report
from rnn.studies.descents import Descents
from rnn.studies.two_modes import SETTINGS, TwoModes

__all__ = ["descents_section", "descents_summary", "figure3", "figure4", "two_modes_section", "two_modes_summary"]

_GOAL = 5e-4
_JUMP = 0.01  # rise of the log loss in one step
_LOOKS = {
    "SGD": {"color": "0.6"},
    "smooth": {"color": COLOURS["blue"]},
    "fast": {"color": COLOURS["red"]},
    "Adam": {"color": COLOURS["orange"]},
    "momentum": {"color": COLOURS["green"]},
    "clipped": {"color": COLOURS["green"], "ls": "--"},
}


@style
def figure3(study: TwoModes) -> Figure:
    """Moduli of the first run by descent and by natural gradient, and the ratio of crossings over all of them."""
    figure = Figure(figsize=(13, 4), layout="constrained")
    axes = figure.subplots(1, 3)
    for natural, ax in zip((False, True), axes[:2], strict=True):
        run = next(r for r in study.runs if r.natural is natural)
        for mode, (colour, aim) in enumerate(
            ((COLOURS["blue"], study.first_mode), (COLOURS["orange"], run.second)),
        ):
            ax.plot(run.step, run.moduli[:, mode], color=colour, label=f"student, modulus {mode + 1}")
            ax.axhline(aim, color=colour, ls="--", lw=1)
        ax.axhline(1, color="0.6", lw=0.8)
        ax.set(
            xlabel="training step",
            ylabel="modulus of the multiplier (dashed: teacher)",
            title="natural gradient, fast" if natural else "gradient descent, 5e-2",
        )
    axes[1].legend(fontsize=8, loc="center right", bbox_to_anchor=(1, 0.72))  # between the teacher's two lines
    _ratios(axes[2], study)
    return figure


def _ratios(ax: Any, study: TwoModes) -> None:
    for natural, colour, shift in ((False, COLOURS["blue"], -0.12), (True, COLOURS["red"], 0.12)):
        for place, setting in enumerate(SETTINGS):
            runs = [r for r in study.runs if (r.second, r.gain) == setting and r.natural is natural]
            for run in runs:
                ax.plot(place + shift, run.ratio, "o" if run.seen else "^", color=colour, mfc=None if run.seen else "w")
        ax.plot([], [], "o", color=colour, label="natural gradient" if natural else "gradient descent")
    ax.plot([], [], "^", color="0.4", mfc="w", label="at least (second not seen)")
    ax.set_yscale("log")
    ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    ax.yaxis.set_major_formatter(ScalarFormatter())
    ax.yaxis.set_minor_formatter(NullFormatter())
    ax.set_xticks(range(len(SETTINGS)), [f"{second:g}, gain {gain:g}" for second, gain in SETTINGS], fontsize=8)
    ax.set(xlabel="teacher's second multiplier, student's gain", ylabel="second crossing / first")
    ax.legend(fontsize=7, ncols=3, loc="lower center", bbox_to_anchor=(0.5, 1), columnspacing=1)


@style
def figure4(study: Descents) -> Figure:
    """Loss against steps and time, SGD's first jump beside smooth mode, and variation by rate.

    The first seed is drawn bold, the others thin. Losses beyond thirty times the first are cut off.
    """
    figure = Figure(figsize=(13, 8), layout="constrained")
    axes = figure.subplot_mosaic([["A", "B"], ["C", "D"]])
    for k, runs in enumerate(study.seeds):
        for name, run in runs.items():
            step, look = np.arange(1, len(run.loss) + 1), {"lw": 1.2} if k == 0 else {"lw": 0.6, "alpha": 0.4}
            axes["A"].loglog(step, run.loss, label=None if k else name, **look, **_LOOKS[name])
            axes["B"].loglog(step * run.seconds, run.loss, **look, **_LOOKS[name])
    top = 30 * max(runs["SGD"].loss[0] for runs in study.seeds)
    axes["A"].set(xlabel="training step", ylabel="loss (mean squared error)", ylim=(None, top))
    axes["B"].set(xlabel="wall time, s (compilation left out)", ylabel="loss (mean squared error)", ylim=(None, top))
    above = {"fontsize": 8, "loc": "lower center", "bbox_to_anchor": (0.5, 1), "columnspacing": 1}
    axes["A"].legend(ncols=6, **above)
    rises = [np.diff(np.log(run.loss)) for run in study.of("SGD")]
    first = [int(np.argmax(rise > _JUMP)) if rise.max() > _JUMP else len(rise) for rise in rises]
    k = int(np.argmin(first))
    at = first[k] if rises[k].max() > _JUMP else int(np.argmax(rises[k]))
    low, high = max(at - 150, 0), min(at + 250, len(rises[k]))
    for name in ("SGD", "smooth"):
        loss = study.seeds[k][name].loss[low:high]
        axes["C"].semilogy(np.arange(low, low + len(loss)), loss, label=name, lw=1.2, **_LOOKS[name])
    axes["C"].set(xlabel="training step, at SGD's first jump", ylabel="loss (mean squared error)")
    axes["C"].legend(ncols=2, **above)
    for name, row in zip(("SGD", "smooth"), study.variation, strict=True) if len(study.rates) else ():
        axes["D"].plot(study.rates, np.where(np.isfinite(row), row, np.nan), "o-", label=name, **_LOOKS[name])
    axes["D"].set(xlabel="learning rate", ylabel="positive variation of log loss", xscale="log")
    axes["D"].set_yscale("symlog", linthresh=1e-3)
    varied = study.variation[np.isfinite(study.variation)]
    axes["D"].set_ylim(0, 3 * max(varied.max(initial=0), 1e-3))
    if len(study.rates):
        axes["D"].legend()
    for name, ax in axes.items():
        ax.set_title(name, loc="left", fontweight="bold")
    return figure


def two_modes_summary(study: TwoModes) -> dict[str, Any]:
    """Ratios of crossings by gradient descent and by natural gradient; ``at_least`` marks lower bounds."""

    def part(natural: bool) -> dict[str, Any]:
        runs = [r for r in study.runs if r.natural is natural]
        return {
            "ratios": [None if math.isnan(r.ratio) else r.ratio for r in runs],
            "at_least": [not r.seen for r in runs],
            "settings": [[r.second, r.gain, r.seed] for r in runs],
        }

    return {**part(False), "natural": part(True)}


def descents_summary(study: Descents) -> dict[str, Any]:
    """Overhead of a smooth step as a share of SGD's; of the first seed, and under ``seeds`` of all of them, positive
    variations, final losses and arrivals at 5e-4.
    """
    runs = study.runs
    stable = [study.stable(k) for k in (0, 1)]
    return {
        "overhead": study.overhead,
        "positive_variation": {"sgd": runs["SGD"].variation, "natural": runs["smooth"].variation},
        "final_loss": {"sgd": float(runs["SGD"].loss[-1]), "natural": float(runs["smooth"].loss[-1])},
        "largest_stable_rate": {"sgd": stable[0], "natural": stable[1]},
        "steps_to_5e-4": {name: _whole(run.arrival(_GOAL)) for name, run in runs.items()},
        "seconds_to_5e-4": {name: _finite(run.arrival(_GOAL) * run.seconds) for name, run in runs.items()},
        "seeds": {
            name: {
                "positive_variation": [run.variation for run in study.of(name)],
                "final_loss": [float(run.loss[-1]) for run in study.of(name)],
                "steps_to_5e-4": [_whole(run.arrival(_GOAL)) for run in study.of(name)],
                "seconds_to_5e-4": [_finite(run.arrival(_GOAL) * run.seconds) for run in study.of(name)],
            }
            for name in runs
        },
    }


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _whole(value: float) -> int | None:
    return int(value) if math.isfinite(value) else None


def two_modes_section(study: TwoModes, image: bytes) -> str:
    """The report's section on figure 3."""
    rows = []
    for second, gain in SETTINGS:
        for natural in (False, True):
            runs = [r for r in study.runs if (r.second, r.gain, r.natural) == (second, gain, natural)]
            ratios = sorted(r.ratio for r in runs)
            shown = f"{np.median(ratios):.1f} ({ratios[0]:.1f} to {ratios[-1]:.1f})"
            seen = f"{sum(r.seen for r in runs)} of {len(runs)}"
            rows.append([second, gain, "natural gradient" if natural else "gradient descent", shown, seen])
    head = ("teacher's second multiplier", "gain", "by", "second crossing / first, median (range)", "second seen in")
    return report.section(
        "Figure 3: two unstable modes",
        report.figure(image, "Moduli of the student's multipliers, and how much later than the first the second is."),
        report.table(head, rows),
        report.paragraph("Where the second crossing was not seen, its run's length stands for it: a lower bound."),
    )


def descents_section(study: Descents, image: bytes) -> str:
    """The report's section on figure 4."""
    rows = []
    for name in study.runs:
        runs = study.of(name)
        steps = np.array([run.arrival(_GOAL) for run in runs])
        there = np.isfinite(steps)
        reached = ["not reached", "–"]
        if there.any():
            seconds = np.median(steps[there] * np.array([run.seconds for run in runs])[there])
            low, high = (f"{value:.0f}" for value in (steps[there].min(), steps[there].max()))
            reached = [low if low == high else f"{low} to {high}", f"{seconds:.2f} s"]
            reached[0] += "" if there.all() else f" ({there.sum()} of {len(runs)})"
        varied, final = max(run.variation for run in runs), np.median([run.loss[-1] for run in runs])
        rows.append([name, len(runs[0].loss), f"{varied:.4g}", f"{final:.4g}", *reached])
    stable = [study.stable(k) for k in (0, 1)]
    return report.section(
        "Figure 4: natural gradient beside other optimizers",
        report.figure(
            image,
            f"Seeds: {len(study.seeds)}, the first bold. A, B: loss by steps and by time. C: SGD's first rise above "
            "1 %. D: the largest variation by learning rate.",
        ),
        report.table(
            ("optimizer", "steps", "largest variation", "median final loss", "steps to 5e-4", "median time to it"), rows
        ),
        report.paragraph(
            f"A smooth step takes {1 + study.overhead:.3f} times as long as a step of SGD. The largest rate of the "
            f"grid with a variation of at most 0.01 is {stable[0]:g} for SGD and {stable[1]:g} for smooth mode."
        ),
    )
