"""What the study of two unstable modes says."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from normalforms.report import Drawings
from normalforms.report import html as report
from rnn.studies import Settings, Study
from rnn.studies.two_modes.figures import figure3
from rnn.studies.two_modes.study import SETTINGS, TwoModes, two_modes

__all__ = ["STUDY", "headline", "section", "summary"]


def summary(study: TwoModes) -> dict[str, Any]:
    """Ratios of crossings by gradient descent and by natural gradient; ``at_least`` marks lower bounds."""

    def part(natural: bool) -> dict[str, Any]:
        runs = [r for r in study.runs if r.natural is natural]
        return {
            "ratios": [None if math.isnan(r.ratio) else r.ratio for r in runs],
            "at_least": [not r.seen for r in runs],
            "settings": [[r.second, r.gain, r.seed] for r in runs],
        }

    return {**part(False), "natural": part(True)}


def headline(study: TwoModes) -> list[str]:
    """How much later the second mode comes, by descent and by natural gradient."""
    parts = []
    for natural, by in ((False, "by gradient descent"), (True, "by natural gradient")):
        runs = [run for run in study.runs if run.natural is natural]
        ratios = [run.ratio for run in runs if not math.isnan(run.ratio)]
        seen = sum(run.seen for run in runs)
        if ratios:
            parts.append(f"{np.median(ratios):.1f} times the first {by} (second seen in {seen} of {len(runs)} runs)")
    says = "the second unstable mode is learned at a step that is, in the median, " + ", ".join(parts)
    return [says if parts else "no unstable mode was learned in these runs; train for longer (--preset paper)"]


def section(study: TwoModes, images: Drawings) -> str:
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
        STUDY.title,
        report.figure(
            images["figure3"], "Moduli of the student's multipliers, and how much later than the first the second is."
        ),
        report.table(head, rows),
        report.paragraph("Where the second crossing was not seen, its run's length stands for it: a lower bound."),
    )


def _run(settings: Settings) -> TwoModes:
    return two_modes(settings.preset, devices=settings.devices, **settings.kept("two_modes"))


STUDY = Study(
    title="Figure 3: two unstable modes",
    keys=("two_modes",),
    run=_run,
    figures=lambda study: {"figure3": figure3(study)},
    facts=lambda study: {"two_modes": summary(study)},
    section=section,
    headline=headline,
    devices=True,
)
