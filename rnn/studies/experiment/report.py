"""What a reproduction says: its summary as data and its report as text, both read off the Story."""

from __future__ import annotations

from typing import Any

import numpy as np
import sympy as sp
from matplotlib.figure import Figure

from normalforms.families import spoken
from normalforms.report import Drawings
from normalforms.report import html as report
from rnn.studies import Settings, Study
from rnn.studies.experiment.figures import figure1, figure_bias
from rnn.studies.experiment.study import BiasStory, Restricted, Story, reproduce

__all__ = ["STUDY", "headline", "section", "summary"]

_GAP = 0.6


def summary(story: Story) -> dict[str, Any]:
    """The numbers of the experiment, ready for JSON."""
    found, rank = story.restricted, story.rank
    return {
        "training": {
            "steps": story.run.steps,
            "loss_first": float(story.run.loss[0]),
            "loss_last": float(story.run.loss[-1]),
        },
        "teacher": {"fixed_points": len(story.teacher), "stable": int(story.teacher.stable.sum())},
        "bifurcations": [_event(story, event) for event in story.events],
        "unresolved": list(story.events.unresolved),
        "stable_rank": {
            "initial": rank.initial,
            "at_bifurcation": rank.at_event,
            "minimum": rank.minimum,
            "minimum_step": rank.minimum_step,
            "weights_alone": list(rank.weights_alone),
        },
        "restricted_kernel": None if found is None else _restricted(found),
        "control": None if story.control is None else _restricted(story.control),
        "trainable_bias": None if story.bias is None else _bias(story.bias),
    }


def _event(story: Story, event: Any) -> dict[str, Any]:
    before, after = story.loss_around(event)
    c = event.normal_form.coefficients
    return {
        "kind": event.kind,
        "step": event.step,
        "multiplier": [event.multiplier.real, event.multiplier.imag],
        "c2": _number(c.get("c2")),
        "c3": _number(c.get("c3", c.get("d"))),
        "loss_before": before,
        "loss_after": after,
        "status": event.status,
    }


def _number(value: Any) -> float | None:
    return None if value is None else float(np.real(complex(value)))


def _restricted(found: Restricted) -> dict[str, Any]:
    sweep, prediction, fitted = found.sweep, found.prediction, found.fitted
    out: dict[str, Any] = {
        "alignment": sweep.alignment,
        "gap": sweep.gap,
        "lambda": sweep.parameter.tolist(),
        "measured": sweep.amplification.tolist(),
        "predicted": prediction.amplification.tolist(),
        "best": prediction.best,
        "rungs": {
            rung: {"r2": prediction.r2(rung), "error": prediction.max_relative_error(rung)} for rung in prediction.rungs
        },
        "error_predicted": prediction.max_relative_error(),
        "r2_predicted": prediction.r2(),
        "without": {name: {"r2": r2, "error": error} for name, (r2, error) in prediction.gains.items()},
    }
    if fitted is not None:
        out |= {
            "fitted_lambda": fitted.parameter.tolist(),
            "fitted": fitted.predict(fitted.parameter).tolist(),
            "fit_kind": fitted.kind,
            "fit_parameters": fitted.parameters,
            "error_fitted": fitted.max_relative_error,
            "r2_fitted": fitted.r2,
        }
    return out


def _bias(bias: BiasStory) -> dict[str, Any]:
    return {
        "events": [{"kind": e.kind, "step": e.step} for e in bias.events],
        "bias_share": bias.share,
        "gain_ratio": bias.gain_ratio,
        "distance": bias.distance,
    }


def headline(story: Story) -> list[str]:
    """The answer in one sentence, then how the training went."""
    trained = f"loss {story.run.loss[0]:.3g} → {story.run.loss[-1]:.3g} in {story.run.steps} steps"
    if not len(story.events):
        return ["no bifurcation in this run; train for longer (--preset paper)", trained]
    first = story.events[0]
    parts = [f"{spoken(first.kind)} at step {first.step:.1f}"]
    parts.append(f"the kernel's stable rank fell from {story.rank.initial:.1f} to {story.rank.minimum:.3f}")
    if story.restricted is not None:
        p = story.restricted.prediction
        told = f"the law predicted its curve without free parameter, R² {p.r2():.4f}, largest error"
        parts.append(f"{told} {p.max_relative_error():.1%}")
    return ["; ".join(parts), trained]


def section(story: Story, figures: Drawings) -> str:
    """The report's sections: the training, the restricted kernel, the companion run with trainable bias."""
    about = report.paragraph(
        "A recurrent network learns to follow a teacher. On the way its fixed points change in number, and there the "
        "state-space neural tangent kernel collapses to rank one. This is a reproduction of Hazelden & Shea-Brown "
        f"(arXiv:2605.12763), computed by this run: {story.run.steps} steps of SGD at 5e-3."
    )
    return "\n".join([about, _training(story, figures), _kernel(story), _bias_section(story, figures)])


_COLUMNS = ("c2", "c3", "loss_before", "loss_after", "status")


def _training(story: Story, figures: Drawings) -> str:
    rows = []
    for event in story.events:
        e = _event(story, event)
        gap = abs(abs(event.multiplier) - 1)
        rows.append([e["kind"], e["step"], f"{gap:.1e}", *(e[k] for k in _COLUMNS)])
    head = ("kind", "step", "||multiplier| − 1|", "c₂", "c₃", "loss 100 steps before", "and after", "status")
    rank = story.rank
    alone = (*rank.weights_alone, "–", "–")
    shown = [
        ("before training", 0, rank.initial, alone[0]),
        ("at the first event", story.events[0].step if len(story.events) else "–", rank.at_event, alone[1]),
        ("smallest after it", rank.minimum_step, rank.minimum, alone[2]),
    ]
    compare = [
        ("A", "loss falls at the first bifurcation", _loss_says(story), "same"),
        (
            "B",
            "effective rank of the sNTK collapses to one",
            _rank_says(story),
            "stable rank tr(sNTK)/λ₁ over all cell parameters, with its standard error",
        ),
        ("C", "spectral radius of W passes 1", f"ends at {story.radius[-1]:.3f}", "same"),
        (
            "D",
            "four stable and five unstable fixed points",
            f"teacher: {len(story.teacher)} fixed points, {int(story.teacher.stable.sum())} stable",
            "the rest of the teacher's weights vanishes on tanh(x), not on x",
        ),
        (
            "E",
            "amplification matches the pitchfork",
            _prediction_says(story.restricted),
            "prediction without free parameter, beside the fit",
        ),
        ("F", "(not described in the caption)", "relative error of every rung and of the fit", "ours"),
        ("G", "a pitchfork", _first_says(story), "followed fixed points, the normal form's branches in red"),
    ]
    unresolved = [report.paragraph("Not resolved: " + text) for text in story.events.unresolved]
    return report.section(
        "Figure 1: training through bifurcations",
        report.figure(figures["figure1"], "Panels A–G. Dashed line in A–C and E–F: the first bifurcation."),
        report.table(("panel", "what the paper shows", "what this run shows", "where and why we depart"), compare),
        report.table(head, rows) if rows else report.paragraph("No bifurcation was found in this run."),
        *unresolved,
        report.table(("exact stable rank", "step", "all cell parameters", "weights alone"), shown),
        report.paragraph(
            "Estimates on the way are deflated traces with a standard error; the mean relative standard error in "
            f"this run is {np.nanmean(rank.standard_error / rank.value):.2%}."
        ),
    )


def _loss_says(story: Story) -> str:
    if not len(story.events):
        return "no event in this run"
    before, after = story.loss_around(story.events[0])
    return f"from {before:.3f} to {after:.3f} within ±100 steps (factor {before / after:.2f})"


def _rank_says(story: Story) -> str:
    return f"{story.rank.initial:.1f} at the start, {story.rank.minimum:.3f} at its smallest after the event"


def _first_says(story: Story) -> str:
    if not len(story.events):
        return "no event in this run"
    return f"{spoken(story.events[0].kind)}: {story.events[0].normal_form.detail}"


def _prediction_says(found: Restricted | None) -> str:
    if found is None:
        return "no pitchfork to predict"
    p = found.prediction
    return f"best rung ({p.best}): R² {p.r2():.4f}, largest relative error {p.max_relative_error():.1%}"


def _kernel(story: Story) -> str:
    g, h, lam, c3 = sp.symbols("lambda h_b lambda_s c_3")
    A = sp.Function("A_T")
    law = report.formula(
        sp.Symbol("‖J(s)v‖²"),
        sp.Sum(lam**2 / sp.Abs(c3) * A(g, sp.sqrt(sp.Abs(c3)) * h), (sp.Symbol("b"), 1, "B")),
    )
    rows = []
    for name, found in (("this run", story.restricted), ("gain 0.9 (negative control)", story.control)):
        if found is None:
            continue
        gap = f"next |multiplier| {found.sweep.gap:.3f}"
        for rung in found.prediction.rungs:
            p = found.prediction
            rows.append([name, gap, f"prediction: {rung}", p.r2(rung), f"{p.max_relative_error(rung):.1%}"])
        if found.fitted is not None:
            f = found.fitted
            rows.append(
                [
                    name,
                    gap,
                    f"3-parameter fit ({f.kind or 'no law'}), λ in [.9, 1.1]",
                    f.r2,
                    f"{f.max_relative_error:.1%}",
                ]
            )
    if not rows:
        return report.section("The restricted kernel", report.paragraph("No pitchfork was found to restrict to."))
    texts = []
    if story.restricted is not None:
        s = story.restricted.sweep
        verdict = "holds" if s.gap <= _GAP else "does not hold"
        texts.append(
            f"The dominant parameter direction has cosine {s.alignment:.4f} with the gradient of the critical "
            f"multiplier. Prediction needs a spectral gap, next multiplier at most {_GAP}: here it {verdict} "
            f"({s.gap:.3f})."
        )
        if story.restricted.fitted is not None:
            scales = ", ".join(f"{k.replace('_', ' ')} {v:.3g}" for k, v in story.restricted.fitted.parameters.items())
            texts.append(
                f"The fit's scales are {scales}; a parameter-free law would have the last two at 1. Fit beside "
                f"prediction: {story.restricted.fitted.agreement.verdict}. A good fit is not a confirmed prediction."
            )
    return report.section(
        "The restricted kernel, predicted",
        law,
        report.table(("network", "gap", "curve", "R²", "largest relative error"), rows),
        *map(report.paragraph, texts),
        *_gains(story.restricted),
    )


_CORRECTIONS = {
    "projection": "exact first step",
    "transients": "decaying part of the initial states",
    "bending": "curvature of the centre manifold",
    "frame": "moving fixed point and eigenvector",
    "curvature": "curvature of λ(s)",
    "quintic": "orders beyond the third",
}


def _gains(found: Restricted | None) -> list[str]:
    """What each correction is worth: the last rung without it."""
    if found is None or not found.prediction.gains:
        return []
    p = found.prediction
    rows = [("none", p.r2("response"), f"{p.max_relative_error('response'):.1%}")]
    rows += [(_CORRECTIONS[name], r2, f"{error:.1%}") for name, (r2, error) in p.gains.items()]
    return [
        report.paragraph("The rung “response” with one correction left out in turn:"),
        report.table(("left out", "R²", "largest relative error"), rows),
    ]


def _bias_section(story: Story, figures: Drawings) -> str:
    bias = story.bias
    if bias is None:
        return report.section("With trainable bias", report.paragraph("This companion run was not made."))
    if not len(bias.events):
        return report.section("With trainable bias", report.paragraph("No bifurcation was found in the companion run."))
    first = bias.events[0]
    pitchforks = sum(e.kind == "pitchfork" for e in bias.events)
    says = "There is no pitchfork" if not pitchforks else f"There are {pitchforks} pitchforks"
    where = "bias" if bias.share > 0.5 else "weights"
    text = (
        f"{says} among the events found. The first is a {spoken(first.kind)} at step {first.step:.1f}, at a "
        f"distance of {bias.distance:.3f} from the fixed point followed from the start. The dominant parameter "
        f"direction there is the {where}: {bias.share:.1%} of its squared length lies in the bias, and its singular "
        f"value is {bias.gain_ratio:.2f} times the largest one among the weights alone."
    )
    return report.section(
        "With trainable bias",
        report.paragraph(text),
        report.figure(
            figures["figure_bias"],
            "Trainable bias: loss, fixed points with the fold, and ‖J(s)v‖² through it.",
        ),
    )


def _run(settings: Settings) -> Story:
    return reproduce(settings.preset, meanwhile=settings.meanwhile, **settings.kept())


def _figures(story: Story) -> dict[str, Figure]:
    bias = figure_bias(story)
    return {"figure1": figure1(story)} | ({} if bias is None else {"figure_bias": bias})


STUDY = Study(
    title="State-space NTK collapse at a bifurcation",
    keys=(
        "training",
        "teacher",
        "bifurcations",
        "unresolved",
        "stable_rank",
        "restricted_kernel",
        "control",
        "trainable_bias",
    ),
    run=_run,
    figures=_figures,
    facts=summary,
    section=section,
    headline=headline,
)
