"""What is said of somebody's own network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from normalforms.report import page as report
from rnn.kernel import check_count
from rnn.models import ModelPath, state_size
from rnn.studies import Settings, Study
from rnn.studies.analysis.figures import figure
from rnn.studies.analysis.study import Analysis, analyze
from rnn.weights import load

__all__ = ["STUDY", "headline", "section", "summary"]


def summary(found: Analysis) -> dict[str, Any]:
    """The numbers of an analysis, ready for JSON."""
    places = (found.names[0], found.names[-1])
    models = [
        {
            "name": name,
            "fixed_points": len(points),
            "stable": int(np.sum(points.stable)),
            "index_sum": points.index_sum,
            "points": points.points.tolist(),
            "multipliers": [[[z.real, z.imag] for z in row] for row in points.multipliers],
            "residuals": points.residuals.tolist(),
            "stable_rank": float(rank.value),
            "standard_error": float(rank.standard_error),
        }
        for name, points, rank in zip(places, found.points, found.ranks, strict=False)
    ]
    events = found.events
    return {
        "models": models,
        "horizon": found.horizon,
        "batch": found.batch,
        "bifurcations": None if events is None else [_event(found, e) for e in events],
        "unresolved": [] if events is None else list(events.unresolved),
    }


def _event(found: Analysis, event: Any) -> dict[str, Any]:
    c = event.normal_form.coefficients
    return {
        "kind": event.kind,
        "step": event.step,
        "between": list(found.names[int(event.step) : int(event.step) + 2]),
        "period": event.period,
        "multiplier": [event.multiplier.real, event.multiplier.imag],
        "coefficients": {name: [complex(v).real, complex(v).imag] for name, v in c.items()},
        "status": event.status,
    }


def section(found: Analysis, images: Mapping[str, bytes]) -> str:
    """The report's sections."""
    facts = summary(found)
    rows = [
        (
            m["name"],
            m["fixed_points"],
            m["stable"],
            m["index_sum"],
            f"{m['stable_rank']:.3g} ± {m['standard_error']:.1g}",
        )
        for m in facts["models"]
    ]
    parts = [
        report.section(
            "Fixed points",
            report.table(("model", "fixed points", "stable", "index sum", "stable rank of the sNTK"), rows),
            report.paragraph(
                "An index sum other than 1 says that fixed points of a bounded map are missing. The stable rank is "
                f"that of {found.batch} standard normal initial states over {found.horizon} steps."
            ),
            report.figure(
                images["analysis"], "Left: multipliers of the last model. Right: fixed points along the checkpoints."
            ),
        )
    ]
    if found.events is not None:
        events = [
            (e["kind"], f"{e['step']:.4f}", " → ".join(e["between"]), e["period"], e["status"])
            for e in facts["bifurcations"]
        ]
        head = ("kind", "step", "between", "period", "status")
        table = report.table(head, events) if events else report.paragraph("No bifurcation was found.")
        notes = [report.paragraph("Not resolved: " + text) for text in found.events.unresolved]
        parts.append(report.section("Bifurcations", table, *notes))
    return "\n".join(parts)


def headline(found: Analysis) -> list[str]:
    """A sentence for each model looked at, and one for each bifurcation."""
    facts = summary(found)
    lines = [f"{m['name']}: {m['fixed_points']} fixed points, {m['stable']} stable" for m in facts["models"]]
    return lines + [f"{e['kind'].replace('_', ' ')} at step {e['step']:.3f}" for e in facts["bifurcations"] or []]


def _prepare(settings: Settings) -> Settings:
    options = dict(settings.options)
    check_count("horizon", options["horizon"])
    options["models"] = [load(path, options["cell"]) for path in options["paths"]]
    if len(options["models"]) > 1:
        ModelPath.of(options["models"])  # refuses models of different shapes
    return replace(settings, options=options)


def _run(settings: Settings) -> Analysis:
    options = settings.options
    models = options["models"]
    return analyze(
        models,
        options["paths"],
        size=state_size(models[0]),
        horizon=options["horizon"],
        devices=settings.devices,
        progress=settings.meter,
    )


STUDY = Study(
    title="Fixed points and bifurcations of a recurrent network",
    keys=("models", "horizon", "batch", "bifurcations", "unresolved"),
    run=_run,
    figures=lambda found: {"analysis": figure(found)},
    facts=summary,
    section=section,
    headline=headline,
    prepare=_prepare,
    devices=True,
)
