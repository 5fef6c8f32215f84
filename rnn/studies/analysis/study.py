"""Somebody's own network, or the checkpoints of its training: fixed points, bifurcations, kernel, as data and text."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure

from normalforms.report import COLOURS, style
from normalforms.report import page as report
from rnn.dynamics import Bifurcations, FixedPoints, bifurcations, fixed_points
from rnn.kernel import Estimate, sntk
from rnn.models import Model, ModelPath, partition

__all__ = ["Analysis", "analyze", "document", "draw", "summary"]


@dataclass(frozen=True)
class Analysis:
    """What is known of a network, or of a path of them.

    Attributes:
        names: of the models, in order.
        points: fixed points of the first and of the last model (of the one, where there is one).
        ranks: stable rank of the state-space NTK of the same models, all parameters counted.
        events: bifurcations on the straight lines between successive models; ``None`` for a single one.
        horizon: T of the kernel, in steps.
        batch: number of its initial states, standard normal.
    """

    names: tuple[str, ...]
    points: tuple[FixedPoints, ...]
    ranks: tuple[Estimate, ...]
    events: Bifurcations | None
    horizon: int
    batch: int


def analyze(
    models: Sequence[Model],
    names: Sequence[str],
    *,
    size: int,
    horizon: int = 25,
    batch: int = 64,
    seed: int = 0,
    devices: Sequence[Any] | None = None,
    progress: Callable[[str, float, float], None] | None = None,
) -> Analysis:
    """Fixed points and stable rank of the first and the last model, and the bifurcations between all of them.

    Args:
        models: one, or a path of them in the order of training.
        names: one for each.
        size: length of the state.
        horizon: T of the kernel, in steps.
        batch: initial states of the kernel, drawn from the standard normal distribution.
        seed: of that draw.
        devices: share those states among these devices, as in :func:`rnn.kernel.sntk.sntk`.
        progress: called with (stage, share done, estimated seconds left).

    Raises:
        ValueError: no model, models that differ in shape, or a first one without a fixed point.
    """
    if not models or len(models) != len(names):
        raise ValueError(f"models and names must be as many, at least one; got {len(models)} and {len(names)}")
    tell = progress or (lambda stage, share, left: None)
    path = ModelPath.of(models) if len(models) > 1 else None
    h0 = np.random.default_rng(seed).normal(size=(batch, size))
    ends = models if len(models) == 1 else (models[0], models[-1])
    points, ranks = [], []
    for k, model in enumerate(ends):
        tell("fixed points", k / len(ends), float("nan"))
        points.append(fixed_points(model, size=size))
        dtype = jax.tree.leaves(partition(model)[0])[0].dtype
        ranks.append(sntk(model, jnp.asarray(h0, dtype), horizon, devices=devices).stable_rank())
    events = None
    if len(models) > 1:
        path = ModelPath.of(models)
        events = bifurcations(
            path, every=1, starts=h0, progress=lambda share: tell("bifurcations", share, float("nan"))
        )
    return Analysis(tuple(names), tuple(points), tuple(ranks), events, horizon, batch)


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


@style
def draw(found: Analysis) -> Figure:
    """Multipliers of the last model's fixed points in the complex plane, and the branches along the path."""
    figure = Figure(figsize=(11, 4.2), layout="constrained")
    plane, branches = figure.subplots(1, 2)
    points = found.points[-1]
    angle = np.linspace(0, 2 * np.pi, 361)
    plane.plot(np.cos(angle), np.sin(angle), color="0.6", lw=0.8)
    for stable, colour, name in ((True, "blue", "of stable points"), (False, "red", "of unstable points")):
        z = points.multipliers[points.stable == stable].ravel()
        plane.plot(z.real, z.imag, ".", color=COLOURS[colour], label=name)
    plane.set(xlabel="Re multiplier", ylabel="Im multiplier", aspect="equal", title=found.names[-1])
    plane.legend(loc="upper left", bbox_to_anchor=(0, -0.16), ncol=2)
    branches.set(xlabel="checkpoint", ylabel="state along the leading direction")
    if found.events is None:
        branches.plot(np.zeros(len(points)), _leading(points.points), "o", color=COLOURS["blue"])
        return figure
    q = _axis(np.concatenate([b.points for b in found.events.branches]))
    for branch in found.events.branches:
        for keep, kind in ((branch.stable, "-"), (~branch.stable, "--")):
            branches.plot(branch.steps, np.where(keep, branch.points @ q, np.nan), kind, color=COLOURS["blue"])
    for event in found.events:
        branches.plot(event.step, event.point @ q, "o", color=COLOURS["orange"], ms=5)
    return figure


def _axis(points: np.ndarray) -> np.ndarray:
    """The direction along which points spread most."""
    return np.linalg.svd(points - points.mean(axis=0), full_matrices=False)[2][0]


def _leading(points: np.ndarray) -> np.ndarray:
    return points @ _axis(points) if len(points) > 1 else points[:, 0]


def document(found: Analysis, figure: bytes) -> str:
    """The analysis as one self-contained HTML page, its figure as PNG."""
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
            report.figure(figure, "Left: multipliers of the last model. Right: fixed points along the checkpoints."),
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
    lead = f"{len(found.names)} model(s): {', '.join(found.names[:3])}{' …' if len(found.names) > 3 else ''}."
    return report.page("Fixed points and bifurcations of a recurrent network", lead, parts)
