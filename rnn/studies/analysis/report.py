"""What is said of somebody's own network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import sympy as sp
from matplotlib.figure import Figure

from normalforms.families import spoken
from normalforms.report import Drawings
from normalforms.report import html as report
from rnn.dynamics import Event
from rnn.kernel import check_count
from rnn.studies import Settings, Study
from rnn.studies.analysis.checkpoints import Checkpoints, checkpoints, fingerprint
from rnn.studies.analysis.facts import asides, branch_facts, point_facts, slow_facts, verdict
from rnn.studies.analysis.figures import figure, kernel_figure, portraits
from rnn.studies.analysis.study import Analysis, Kernel, analyze

__all__ = ["STUDY", "Read", "headline", "section", "summary"]


@dataclass(frozen=True)
class Read:
    """An analysis, and the files that it is of."""

    files: Checkpoints
    analysis: Analysis


def summary(found: Read) -> dict[str, Any]:
    """The numbers of an analysis, ready for JSON."""
    a, files = found.analysis, found.files
    ends = (0, len(a.names) - 1)[: len(a.points)]
    ranks = dict(zip(a.ranked, a.ranks, strict=True))
    models = [
        {
            "name": a.names[k],
            "step": float(a.steps[k]),
            "stable_rank": float(ranks[k].value),
            "standard_error": float(ranks[k].standard_error),
            **point_facts(points),
        }
        for k, points in zip(ends, a.points, strict=True)
    ]
    for model, slow in zip(models, a.slow, strict=False):
        model["slow"] = slow_facts(slow)
    events = a.events
    return {
        "models": models,
        "horizon": a.horizon,
        "batch": a.batch,
        "steps": a.steps.tolist(),
        "steps_source": files.source,
        "stable_rank": [
            {"step": float(a.steps[k]), "value": float(r.value), "standard_error": float(r.standard_error)}
            for k, r in ranks.items()
        ],
        "bifurcations": None if events is None else [_event(a, e) for e in events],
        "branches": None if events is None else branch_facts(events),
        "unresolved": [] if events is None else list(events.unresolved),
        "kernels": [_kernel(event.step, kernel) for event, kernel in zip(events or (), a.kernels, strict=False)],
        "read": files.loaded[0].facts(),
        "skipped": dict(files.skipped),
    }


def _kernel(step: float, kernel: Kernel) -> dict[str, Any]:
    sweep, prediction = kernel.sweep, kernel.prediction
    if sweep is None or prediction is None:
        return {"step": step, "refused": kernel.refused}
    return {
        "step": step,
        "refused": None,
        "alignment": sweep.alignment,
        "gap": sweep.gap,
        "parameter": sweep.parameter.tolist(),
        "measured": sweep.amplification.tolist(),
        "predicted": prediction.amplification.tolist(),
        "rung": prediction.best,
        "r2": prediction.r2(),
        "error": prediction.max_relative_error(),
        "status": prediction.status,
    }


def _event(found: Analysis, event: Any) -> dict[str, Any]:
    c = event.normal_form.coefficients
    k = int(np.clip(np.searchsorted(found.steps, event.step, side="right") - 1, 0, len(found.names) - 2))
    return {
        "kind": event.kind,
        "step": event.step,
        "between": list(found.names[k : k + 2]),
        "period": event.period,
        "multiplier": [event.multiplier.real, event.multiplier.imag],
        "coefficients": {name: [complex(v).real, complex(v).imag] for name, v in c.items()},
        "status": event.status,
    }


def headline(found: Read) -> list[str]:
    """The answer in a sentence, then how the files were read and what was left out."""
    facts = summary(found)
    lines = [_answer(facts), *found.files.loaded[0].lines]
    if len(found.analysis.names) > 1:
        lines.append(f"{len(found.analysis.names)} models, steps from {facts['steps_source']}")
    lines += asides(facts["models"])
    lines += [f"search in {m['name']}: {m['search']}" for m in facts["models"]]
    lines += [f"{name} in the output folder was damaged and is made again" for name in found.analysis.damaged]
    lines += [f"not resolved: {text}" for text in facts["unresolved"]]
    return lines + [f"skipped {name}: {why}" for name, why in facts["skipped"].items()]


def _answer(facts: dict[str, Any]) -> str:
    models, events = facts["models"], facts["bifurcations"]
    parts = [verdict(models)]
    if events is not None:
        told = [f"{spoken(e['kind'])} at step {e['step']:.6g}" for e in events]
        more = f" and {len(told) - 3} more" if len(told) > 3 else ""
        parts.append("no bifurcation on the way" if not told else f"by {', '.join(told[:3])}{more}")
    ranks = " → ".join(f"{m['stable_rank']:.3g}" for m in models)
    parts.append(
        f"the kernel's stable rank is {ranks}" if len(models) == 1 else f"the kernel's stable rank goes {ranks}"
    )
    told = [k["error"] for k in facts["kernels"] if k["refused"] is None and np.isfinite(k["error"])]
    if told:
        parts.append(f"the law predicts the kernel's curve at the first event to {told[0]:.1%}")
    return "; ".join(parts)


def section(found: Read, images: Drawings) -> str:
    """The report's sections."""
    facts, a = summary(found), found.analysis
    rows = [
        (m["name"], m["step"], m["fixed_points"], m["stable"], m["index_sum"], m["search"]) for m in facts["models"]
    ]
    parts = [
        report.section(
            "Fixed points",
            report.table(("model", "step", "fixed points", "stable", "index sum", "search"), rows),
            report.paragraph("An index sum other than 1 says that fixed points of a bounded map are missing."),
            *map(report.paragraph, asides(facts["models"])),
            report.figure(images["analysis"], _caption(facts)),
            report.figure(images["portraits"], _PORTRAITS) if "portraits" in images else "",
            report.table(("point", "state (first entries)", "leading multipliers", "stable"), _point_rows(a)),
        )
    ]
    if a.events is not None:
        events = [
            (
                e["kind"],
                f"{e['step']:.6g}",
                " → ".join(e["between"]),
                e["period"],
                _told(e["coefficients"]),
                e["status"],
            )
            for e in facts["bifurcations"]
        ]
        head = ("kind", "step", "between", "period", "normal form", "status")
        table = report.table(head, events) if events else report.paragraph("No bifurcation was found.")
        notes = [report.paragraph("Not resolved: " + text) for text in a.events.unresolved]
        forms = [part for event in a.events[:_TYPESET] for part in _normal_form(event)]
        parts.append(report.section("Bifurcations", table, *forms, *notes))
    if a.kernels:
        parts.append(_kernels(facts, images))
    ranks = [(r["step"], f"{r['value']:.4g} ± {r['standard_error']:.1g}") for r in facts["stable_rank"]]
    parts.append(
        report.section(
            "Stable rank of the state-space NTK",
            report.table(("step", "stable rank"), ranks),
            report.paragraph(f"Over {a.batch} initial states and {a.horizon} steps, all parameters counted."),
        )
    )
    skipped = [report.table(("skipped", "because"), list(facts["skipped"].items()))] if facts["skipped"] else []
    read = [report.paragraph(line) for line in found.files.loaded[0].lines]
    parts.append(report.section("How the files were read", *read, *skipped))
    return "\n".join(parts)


def _kernels(facts: dict[str, Any], images: Drawings) -> str:
    rows = []
    for kernel in facts["kernels"]:
        step = f"{kernel['step']:.6g}"
        if kernel["refused"] is not None:
            rows.append((step, "–", "–", "–", kernel["refused"]))
        else:
            told = f"gap {kernel['gap']:.3f}" + ("" if kernel["status"] == "separated" else f"; {kernel['status']}")
            rows.append((step, kernel["rung"], kernel["r2"], f"{kernel['error']:.1%}", told))
    drawn = [report.figure(images["kernels"], _CURVES)] if "kernels" in images else []
    return report.section(
        "The kernel through each event, predicted",
        *drawn,
        report.table(
            ("step", "best rung", "R²", "largest relative error", "next multiplier, or why there is none"), rows
        ),
        report.paragraph("No parameter is fitted: the curve follows from the normal form and its corrections."),
    )


_TYPESET = 6  # events whose normal form is typeset
_PORTRAITS = (
    "Grey: orbits from the initial states. Points: fixed points. The directions are the two in which the last model's "
    "orbits and fixed points spread most; both drawings share them."
)


def _normal_form(event: Event) -> list[str]:
    """The normal form as an equation, and as text to copy."""
    c, m = {name: _short(value) for name, value in event.normal_form.coefficients.items()}, sp.Symbol("m")
    if event.kind == "neimark_sacker":
        z, turn = sp.Symbol("z"), _short(event.normal_form.multiplier)
        left = sp.Symbol("z'")
        terms = [(turn + c["dlambda"] * m) * z, turn * c["d"] * z * sp.Abs(z) ** 2] if "d" in c else []
    else:
        u, one = sp.Symbol("u"), -1 if event.kind == "period_doubling" else 1
        left = sp.Symbol("u'")
        powers = (3,) if event.kind == "period_doubling" else (2, 3)
        terms = [c.get("c0", 0) * m, (one + c.get("dlambda", 0) * m) * u]
        terms += [c[f"c{n}"] * u**n for n in powers if c.get(f"c{n}")]
    terms = [term for term in terms if term != 0]
    if not terms:
        return []
    right = sp.Add(*terms, evaluate=False)
    about = f"{spoken(event.kind)} at step {event.step:.6g}, m in steps from there:"
    text = f"{left} = {sp.sstr(right)}\n{sp.latex(sp.Eq(left, right, evaluate=False))}"
    return [report.paragraph(about), report.formula(left, right), report.copied("as text and as LaTeX", text)]


def _short(value: Any) -> sp.Expr:
    """Five digits, a real number where it is one."""
    z = complex(value)
    real, imaginary = sp.Float(f"{z.real:.5g}", 5), sp.Float(f"{z.imag:.5g}", 5)
    return (real if real else sp.S.Zero) + (sp.I * imaginary if imaginary else 0)


_CURVES = (
    "‖J(s)v‖² along the dominant direction through each event: dots measured, line predicted from the normal form."
)


def _caption(facts: dict[str, Any]) -> str:
    """What the figure shows, for those who do not see it too."""
    last = facts["models"][-1]
    text = f"Multipliers of the {last['fixed_points']} fixed points of {last['name']} and the unit circle."
    if facts["bifurcations"] is None:
        return f"{text} Beside them the points along the direction in which they spread most."
    ranks = [row["value"] for row in facts["stable_rank"]]
    return (
        f"{text} Fixed points along the path, solid where stable, with {len(facts['bifurcations'])} bifurcations. "
        f"Stable rank of the kernel, between {min(ranks):.3g} and {max(ranks):.3g}."
    )


def _point_rows(a: Analysis) -> list[tuple[Any, ...]]:
    points = a.points[-1]
    rows = []
    for k in range(min(len(points), 40)):
        state = ", ".join(f"{v:.4g}" for v in points.points[k][:4]) + (", …" if points.points.shape[1] > 4 else "")
        leading = ", ".join(_complex(z) for z in points.multipliers[k][:3])
        rows.append((k + 1, state, leading, "yes" if points.stable[k] else "no"))
    return rows


def _complex(z: complex) -> str:
    return f"{z.real:.4g}" if z.imag == 0 else f"{z.real:.4g} {'+' if z.imag > 0 else '−'} {abs(z.imag):.4g}i"


def _told(coefficients: Mapping[str, list[float]]) -> str:
    return ", ".join(f"{name} = {_complex(complex(*value))}" for name, value in coefficients.items())


def _prepare(settings: Settings) -> Settings:
    """The models, before anything is written."""
    options = dict(settings.options)
    check_count("horizon", options["horizon"])
    layers = options["layers"]
    files = checkpoints(
        options["paths"],
        progress=settings.meter,
        inputs=_array("--inputs", options["inputs"]),
        x=_vector(options["input"]),
        cell=options["cell"],
        activation=options["activation"],
        leak=options["leak"],
        layers=None if layers is None else layers.split(","),
    )
    states = _array("--states", options["states"])
    size = files.loaded[0].size
    if states is not None and (states.ndim != 2 or states.shape[1] != size or not len(states)):
        raise ValueError(f"--states must hold an array of shape (count, {size}), got {states.shape}")
    told = {name: options[name] for name in _IDENTITY if options[name] is not None}
    told |= {name: fingerprint([Path(options[name])]) for name in ("inputs", "states") if options[name] is not None}
    identity = {"weights": fingerprint(one.path for one in files.loaded), "options": told}
    return replace(settings, options=options | {"files": files, "start": states, "identity": identity})


_IDENTITY = ("cell", "activation", "leak", "layers", "input", "horizon", "slow")


def _vector(text: str | None) -> np.ndarray | None:
    if text is None:
        return None
    try:
        return np.asarray([float(part) for part in text.split(",")])
    except ValueError:
        raise ValueError(f"--input {text!r} must be numbers with commas between them") from None


def _array(option: str, path: str | None) -> np.ndarray | None:
    if path is None:
        return None
    try:
        values = np.load(path, allow_pickle=False)
        array = np.asarray(values, np.float64)
    except (OSError, EOFError, ValueError, TypeError) as error:
        raise ValueError(f"{option} {path} cannot be read as a .npy file of numbers: {error}") from None
    if not np.all(np.isfinite(array)):
        raise ValueError(f"{option} {path} contains NaN or infinity")
    return array


def _run(settings: Settings) -> Read:
    options = settings.options
    files: Checkpoints = options["files"]
    found = analyze(
        files.models,
        files.names,
        size=files.loaded[0].size,
        steps=files.steps,
        states=options["start"],
        horizon=options["horizon"],
        devices=settings.devices,
        progress=settings.meter,
        slow=options["slow"],
        folder=settings.out,
    )
    return Read(files, found)


def _figures(found: Read) -> dict[str, Figure]:
    drawn = {
        "analysis": figure(found.analysis),
        "portraits": portraits(found.files.models, found.analysis),
        "kernels": kernel_figure(found.analysis),
    }
    return {name: one for name, one in drawn.items() if one is not None}


STUDY = Study(
    title="Fixed points and bifurcations of a recurrent network",
    keys=(
        "models",
        "horizon",
        "batch",
        "steps",
        "steps_source",
        "stable_rank",
        "bifurcations",
        "branches",
        "unresolved",
        "kernels",
        "read",
        "skipped",
    ),
    run=_run,
    figures=_figures,
    facts=summary,
    section=section,
    headline=headline,
    prepare=_prepare,
    devices=True,
)
