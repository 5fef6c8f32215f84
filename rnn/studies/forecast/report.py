"""What the study of forecasts says."""

from __future__ import annotations

from typing import Any

import numpy as np

from normalforms.report import Drawings
from normalforms.report import html as report
from rnn.studies import Study
from rnn.studies.forecast.figures import figure_forecast
from rnn.studies.forecast.study import METHODS, Forecasts, run

__all__ = ["STUDY", "headline", "section", "summary"]


def summary(found: Forecasts) -> dict[str, Any]:
    """Every forecast with its miss, error bar and cost; agreement of the phase diagrams."""
    return {
        "crossings": [t.crossing for t in found.trainings],
        "forecasts": [vars(row) | {"share": row.share} for row in found.rows],
        "phase_diagram": {"cells": int(found.diagram.size), "agreement": float(np.mean(found.diagram == found.limit))},
        "next_crossing": None if found.twin is None else found.twin.next_crossing,
    }


def headline(found: Forecasts) -> list[str]:
    """How well the flow foresees the crossing from the first step."""
    first = [r for r in found.rows if r.method == "flow" and r.multiplier < 0.6 and np.isfinite(r.miss)]
    if not first:
        return ["no crossing fell within these trainings; train for longer (--preset paper)"]
    worst = max(first, key=lambda r: abs(r.share))
    return [
        f"from the first step the flow foresees the crossing to {abs(worst.share):.2%} at worst, with at most"
        f" {max(r.gradients for r in first)} gradients where training takes {max(r.to_go for r in first):.0f} steps"
    ]


def section(found: Forecasts, images: Drawings) -> str:
    """The report's section on forecasts."""
    levels = sorted({round(r.multiplier, 1) for r in found.rows})
    rows = []
    for method in METHODS:
        cells: list[Any] = [method]
        for level in levels:
            here = [r.share for r in found.rows if r.method == method and round(r.multiplier, 1) == level]
            here = [s for s in here if np.isfinite(s)]
            cells.append(f"{min(here):+.1%} … {max(here):+.1%}" if here else "–")
        rows.append(cells)
    bars = [r for r in found.rows if np.isfinite(r.bar)]
    held = sum(abs(r.miss) <= r.bar for r in bars)
    agreement = float(np.mean(found.diagram == found.limit))
    return report.section(
        STUDY.title,
        report.figure(
            images["forecast"],
            "Critical multiplier and its forecasts; error of each method by the place of the forecast; loss of the"
            " network and of a twin; what descent does at a pitchfork, the white line being the critical rate 1/Ψ.",
        ),
        report.table(("method", *(f"from λ ≈ {level:g}" for level in levels)), rows),
        report.paragraph(
            f"Error in per cent of the steps to go. Error bars hold in {held} of {len(bars)} forecasts. The phase"
            f" diagrams of the scaling limit and of the map agree in {agreement:.1%} of {found.diagram.size} cells."
        ),
    )


STUDY = Study(
    title="Forecasts of training",
    keys=("forecast",),
    run=run,
    figures=lambda found: {"forecast": figure_forecast(found)},
    facts=lambda found: {"forecast": summary(found)},
    section=section,
    headline=headline,
)
