"""Figure 3: two unstable modes."""

from __future__ import annotations

from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, ScalarFormatter

from normalforms.report import COLOURS, style
from rnn.studies.two_modes.study import SETTINGS, TwoModes

__all__ = ["figure3"]


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
