"""What the study of networks with inputs says."""

from __future__ import annotations

from typing import Any

import numpy as np

from normalforms.families import spoken
from normalforms.report import Drawings
from normalforms.report import html as report
from rnn.studies import Settings, Study
from rnn.studies.driven.figures import figure_driven
from rnn.studies.driven.study import Driven, Trained, driven, steepest

__all__ = ["STUDY", "headline", "section", "summary"]


def _network(network: Trained) -> dict[str, Any]:
    rank, run, peak = network.run.diagnostics, network.run, int(np.argmax(network.typical))
    return {
        "loss_first": float(run.loss[0]),
        "loss_last": float(run.loss[-1]),
        "events": {
            name: [{"kind": e.kind, "step": float(e.step), "status": e.status} for e in diagram]
            for name, diagram in network.events.items()
        },
        "unresolved": {name: list(diagram.unresolved) for name, diagram in network.events.items()},
        "loss_fall": dict(zip(("step", "factor"), steepest(*_thinned(run.loss)), strict=True)),
        "rank_fall": dict(zip(("step", "factor"), steepest(rank["step"], rank["stable_rank"]), strict=True)),
        "exponent_peak": {"step": float(network.steps[peak]), "factor": float(network.typical[peak])},
        "largest_exponent": float(np.max(network.largest)),
    }


def _thinned(loss: np.ndarray, every: int = 10) -> tuple[np.ndarray, np.ndarray]:
    return np.arange(0, len(loss), every, dtype=float), loss[::every]


def summary(found: Driven) -> dict[str, Any]:
    """Events, falls of loss and rank, the rungs of driven prediction, and the noise law, ready for JSON."""
    return {
        "flip_flop": _network(found.flip),
        "sine": _network(found.wave),
        "prediction": [
            {
                "factor": part.factor,
                "rungs": {
                    rung: {"r2": part.prediction.r2(rung), "error": part.prediction.max_relative_error(rung)}
                    for rung in part.prediction.rungs
                },
            }
            for part in found.predicted
        ],
        "noise": [vars(row) | {"ratio": row.measured / row.law} for row in found.noise],
    }


def headline(found: Driven) -> list[str]:
    """How well the driven kernel is foretold, and which object turns critical where the rank falls."""
    says = []
    for part in found.predicted:
        if part.factor == 1:
            worst = part.prediction.max_relative_error("second")
            says.append(
                f"the restricted kernel of the driven flip-flop is predicted to {worst:.2%} about the forced orbit"
            )
    rows = [row for row in found.noise if row.y <= 10]
    if rows:
        off = max(abs(row.measured / row.law - 1) for row in rows)
        says.append(f"under its pulses the leading eigenvalue is that of the noise law to {off:.0%} up to y = 10")
    return says or ["the flip-flop passed no pitchfork in these steps; train for longer (--preset paper)"]


def section(found: Driven, images: Drawings) -> str:
    """The report's section on networks with inputs."""
    events, falls = [], []
    for network in (found.flip, found.wave):
        facts = _network(network)
        for name, diagram in network.events.items():
            said = ", ".join(f"{spoken(e.kind)} {e.step:.0f}" for e in diagram) or "none"
            events.append((network.name, name, said, len(diagram.unresolved)))
        falls.append(
            (
                network.name,
                f"{facts['loss_fall']['step']:.0f} (× {facts['loss_fall']['factor']:.2f})",
                f"{facts['rank_fall']['step']:.0f} (× {facts['rank_fall']['factor']:.2f})",
                f"{facts['exponent_peak']['factor']:.3f} at {facts['exponent_peak']['step']:.0f}",
                facts["largest_exponent"],
            )
        )
    rungs = [
        (part.factor, rung, part.prediction.r2(rung), f"{part.prediction.max_relative_error(rung):.2%}")
        for part in found.predicted
        for rung in part.prediction.rungs
    ]
    noise = [(row.y, row.measured, row.law, row.measured / row.law, row.stable_rank) for row in found.noise]
    return report.section(
        STUDY.title,
        report.figure(
            images["driven"],
            "Largest multipliers of the points followed, and growth along the task's own trajectories; loss and stable"
            " rank; the flip-flop's restricted kernel under its pulses, and its leading eigenvalue at the pitchfork.",
        ),
        report.table(("network", "input", "events at steps", "unresolved"), events),
        report.table(
            (
                "network",
                "steepest fall of the loss",
                "steepest fall of the rank",
                "mean growth, peak",
                "largest growth",
            ),
            falls,
        ),
        report.paragraph(
            "Pulses of mean zero round the crossing off over |λ − 1| of the order σ: rank and loss fall before it. A"
            " held input moves the fixed point, and its own crossing counts."
        ),
        *([report.table(("pulses ×", "rung", "R²", "largest error"), rungs)] if rungs else []),
        *([report.table(("y", "measured", "law", "ratio", "stable rank"), noise)] if noise else []),
    )


def _run(settings: Settings) -> Driven:
    return driven(settings.preset, **settings.kept())


STUDY = Study(
    title="Networks with inputs",
    keys=("driven",),
    run=_run,
    figures=lambda found: {"driven": figure_driven(found)},
    facts=lambda found: {"driven": summary(found)},
    section=section,
    headline=headline,
)
