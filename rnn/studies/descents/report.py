"""What the study of optimizers says."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from normalforms.report import Drawings
from normalforms.report import html as report
from rnn.studies import Settings, Study
from rnn.studies.descents.figures import figure4
from rnn.studies.descents.optimizers import PAIR
from rnn.studies.descents.study import Descents, descents

__all__ = ["STUDY", "headline", "section", "summary"]

_GOAL = 5e-4


def summary(study: Descents) -> dict[str, Any]:
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


def headline(study: Descents) -> list[str]:
    """What a smooth step costs, how far each of the pair rises, and who arrives first."""
    cost = f"a smooth step takes {1 + study.overhead:.3f} times as long as a step of SGD"
    rises = [f"{name} {max(run.variation for run in study.of(name)):.3g}" for name in PAIR]
    arrivals = {
        name: float(np.median([run.arrival(_GOAL) * run.seconds for run in study.of(name)])) for name in study.runs
    }
    arrived = {name: at for name, at in arrivals.items() if math.isfinite(at)}
    first = min(arrived, key=lambda name: arrived[name]) if arrived else None
    last = "no optimizer came to a loss of 5e-4" if first is None else f"{first} came to a loss of 5e-4 first"
    return [f"{cost}; the log loss rises by {' and '.join(rises)} in all; {last}"]


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _whole(value: float) -> int | None:
    return int(value) if math.isfinite(value) else None


def section(study: Descents, images: Drawings) -> str:
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
        STUDY.title,
        report.figure(
            images["figure4"],
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


def _run(settings: Settings) -> Descents:
    return descents(settings.preset, **settings.kept("natural_gradient"))


STUDY = Study(
    title="Figure 4: natural gradient beside other optimizers",
    keys=("natural_gradient",),
    run=_run,
    figures=lambda study: {"figure4": figure4(study)},
    facts=lambda study: {"natural_gradient": summary(study)},
    section=section,
    headline=headline,
)
