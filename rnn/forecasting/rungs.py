"""The three methods: each makes a forecast, or says why there is none."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Array
from scipy.interpolate import CubicHermiteSpline

from rnn.approach import LOST, Law, kind_of, law, settle, top_two
from rnn.dynamics import bifurcations
from rnn.forecasting.flow import FEW, Flow, Where, flow
from rnn.forecasting.learner import Learner, Lesson
from rnn.forecasting.optimizer import HeavyBall
from rnn.forecasting.result import Forecast, passage
from rnn.forecasting.stepping import followed, stepwise, trial
from rnn.forecasting.twin import TwinRun, rotated_velocity, sharpness, small_states, train_twin, twin_of
from rnn.forecasting.view import BULK, LAW_FROM, OVERLAP, SMALL, RefusedError, View
from rnn.models import Rebuild, VanillaRNN, flatten
from rnn.tasks import Task

__all__ = ["by_flow", "by_law", "by_twin"]

_RISE = 1e-6
_TURN = 0.05  # of a multiplier that falls back on its way to a fold
_FOLD = 0.15  # of the multiplier from 1 where Newton's method last finds a point next to its fold


def by_flow(view: View, descent: HeavyBall, size: int | None, ahead: int, after: int) -> Forecast:
    """By the optimizer's own flow, with real steps where few remain; see :func:`rnn.forecasting.flow.flow`."""
    task, start = view.lesson, np.asarray(flatten(view.learner), np.float64)
    falls, bend = trial(task, start, descent)
    if not falls:
        raise RefusedError(
            "diverging", f"one step at the rate {descent.rate:g} raises the loss: descent does not follow a flow"
        )
    stop = float("inf") if view.past else float(after)
    view.gradients = 2
    found = followed(view, start, descent, float(ahead), stop, bend)
    if found.gradients and 0 < found.crossing - view.at < FEW and not after:
        found = stepwise(view, start, descent, 2 * FEW)
    steps = np.asarray(found.steps)
    facts = {
        "crossing": found.crossing,
        "next_crossing": found.next_crossing,
        "steps": steps,
        "moduli": np.stack(found.moduli),
        "losses": np.asarray(found.losses),
        "path": found.path(task.task),
    }
    if found.lost and np.isnan(found.crossing):
        facts["crossing"] = float(steps[-1])
    if np.isfinite(facts["crossing"]):
        facts["error"] = view.error(facts["crossing"])
        place = int(np.argmin(np.abs(steps - facts["crossing"])))
        facts["kind"] = kind_of(found.moduli[place][0])
    if not np.all(np.isfinite(facts["losses"])):
        return view.made("diverging", "the loss is not finite along the flow", **facts)
    if view.past:
        return view.made("past", f"the multiplier is {abs(view.values[0]):.3f}, beyond 1 already", **facts)
    if np.isnan(facts["crossing"]) and np.linalg.norm(view.point_at(found)) > 1e-4 and facts["path"] is not None:
        return _elsewhere(view, found, facts, ahead)
    if np.isnan(facts["crossing"]):
        return view.made("none ahead", _wants(found, ahead), **facts)
    if not trial(task, found.parameters[-1], descent)[0]:
        return view.made("flagged", "at the crossing the rate is beyond the edge: descent will leave its flow", **facts)
    if found.lost:
        return _at_a_fold(view, found, facts)
    return view.made("ok", f"the multiplier reaches 1 in {facts['crossing'] - view.at:.1f} steps", **facts)


def _at_a_fold(view: View, found: Flow, facts: dict[str, Any]) -> Forecast:
    last, moduli = found.moduli[-1][0], np.abs([values[0] for values in found.moduli])
    if np.any(np.maximum.accumulate(moduli) - moduli > _TURN):
        detail = (
            "the multiplier turned back on the way, as in a sharp valley: where the followed point folds is uncertain"
        )
        return view.made("flagged", detail, **facts)
    if abs(last - 1) < _FOLD:
        go = facts["crossing"] - view.at
        return view.made("ok", f"the followed fixed point meets another in a fold in {go:.1f} steps", **facts)
    return view.made(
        "flagged", f"the followed fixed point is lost there, its multiplier at {abs(last):.3f}: perhaps a fold", **facts
    )


def _elsewhere(view: View, found: Flow, facts: dict[str, Any], ahead: int) -> Forecast:
    """The first event of any fixed point along the foreseen path: with a bias that moves, a fold away from the followed
    point takes a crossing's place."""
    events = [e for e in bifurcations(facts["path"], x=view.x, inputs=view.inputs) if np.isfinite(e.step)]
    if not events:
        return view.made("none ahead", _wants(found, ahead), **facts)
    first = min(events, key=lambda e: e.step)
    facts |= {"crossing": float(first.step), "error": 2 * view.error(float(first.step)), "kind": first.kind}
    later = sorted(e.step for e in events if e.step > first.step + 1e-6)
    facts["next_crossing"] = float(later[0]) if later else float("nan")
    name = first.kind.replace("_", "-")
    return view.made("ok", f"the followed point stays stable; the first event is a {name} of another point", **facts)


def _wants(found: Flow, ahead: int) -> str:
    last = abs(found.moduli[-1][0])
    return f"within {ahead} steps the multiplier comes to {last:.3f} and the loss to {found.losses[-1]:.3g}: " + (
        "it has settled there" if abs(last - abs(found.moduli[-2][0])) < 1e-3 else "look further ahead"
    )


def _vanilla(task: Task, model: Any) -> VanillaRNN:
    if type(model) is not VanillaRNN:
        raise RefusedError("refused", f"the twin is for vanilla networks, not {type(model).__name__}; use the flow")
    if not task.plain or task.reader is not None:
        raise RefusedError(
            "refused",
            "the twin is for tasks without inputs or mask or read-outs of their own, whose first neurons are compared"
            " by mean squares; use the flow",
        )
    if np.any(np.asarray(task.h0)[:, task.outputs :] != 0):
        raise RefusedError(
            "refused", "initial states reach beyond the neurons that are read out, so that no few axes hold them"
        )
    return model


def by_law(view: View, descent: HeavyBall, size: int | None, ahead: int, after: int) -> Forecast:
    """By one quadrature over the multiplier; see :mod:`rnn.approach.law`."""
    if view.past:
        raise RefusedError("past", f"the multiplier is {abs(view.values[0]):.3f}, beyond 1 already")
    if abs(view.values[0]) < LAW_FROM:
        raise RefusedError(
            "refused",
            f"at |λ| = {abs(view.values[0]):.3f} < {LAW_FROM} the critical vectors still mix with the other neurons;"
            " use the flow",
        )
    if view.batch is not None and descent.momentum:
        raise RefusedError("refused", "the scatter of minibatches is known for plain descent; leave batch_size out")
    lesson, task = view.lesson, view.lesson.task
    found = law(lesson.loss, view.learner, view.point, None if view.batch is None else _Samples(lesson))
    view.gradients = len(found.speeds)
    pair = found.critical[0]
    if type(view.learner.seen) is VanillaRNN and task.reader is None and pair.overlap(task.outputs) < OVERLAP:
        raise RefusedError(
            "refused",
            f"the critical vectors overlap with the read-out by {pair.overlap(task.outputs):.2f} only: they are the"
            " bulk's; use the flow",
        )
    if not found.open:
        return _not_open(view, found)
    facts, steps = _law_facts(view, found, descent)
    if view.crowded:
        share = abs(view.values[1]) / abs(view.values[0])
        return view.made(
            "flagged", f"the next multiplier is {share:.2f} of the critical one: more than one mode", **facts
        )
    if facts["error"] > 0.1 * steps + 1:
        return view.made(
            "flagged", f"the law's own error bar is {facts['error']:.0f} of {steps:.0f} steps; use the flow", **facts
        )
    return view.made("ok", f"the multiplier reaches 1 in {steps:.1f} steps", **facts)


class _Samples(eqx.Module):
    """A lesson's losses, one for each trajectory."""

    lesson: Lesson

    def __call__(self, model: Learner) -> Array:
        rows = jax.tree.map(lambda x: x[:, None], self.lesson.batch)
        return jax.vmap(lambda row: self.lesson.loss(model, row))(rows)


def _not_open(view: View, found: Law) -> Forecast:
    if found.astray:
        raise RefusedError(
            "refused",
            "multiplier or loss do not move along descent as their gradients say, as where two modes meet, the loss is"
            " stiff or the fixed point goes away; use the flow",
        )
    wants = found.wants
    said = "the multiplier falls" if np.isnan(wants) else f"the loss wants the multiplier at {wants:.3f}"
    return view.made("none ahead", f"where descent leads now {said}")


def _law_facts(view: View, found: Law, descent: HeavyBall) -> tuple[dict[str, Any], float]:
    given = descent.effective, descent.momentum
    places = np.linspace(found.moduli[0], 1, 33)
    steps = found.steps(*given)
    turn = np.interp(places, found.moduli, np.unwrap([np.angle(c.value) for c in found.critical]))
    others = np.interp(places, found.moduli, [c.next for c in found.critical])
    loss = CubicHermiteSpline(found.moduli, found.losses, -(found.sizes**2) / found.speeds)
    late, deviation = (0.0, float("nan")) if view.batch is None else found.spread(descent.rate, view.batch)
    steps += late
    return {
        "deviation": deviation,
        "steps": view.at + found.times(places, *given),
        "moduli": np.stack([places * np.exp(1j * turn), others.astype(complex)], axis=1),
        "losses": loss(places),
        "crossing": view.at + steps,
        "error": max(view.error(view.at + steps), found.doubt(*given)),
    }, steps


def by_twin(view: View, descent: HeavyBall, size: int | None, ahead: int, after: int) -> Forecast:
    """By a small network in the large one's place; see :mod:`rnn.forecasting.twin`."""
    task = view.lesson.task
    model = _vanilla(task, view.learner.network)
    r = task.outputs
    size = min(r + 8 * r if size is None else size, len(model.weight))
    run, small = _trained(view, task, model, descent, size, ahead, after)
    moduli = np.abs(run.moduli)
    steps = run.steps
    losses = np.interp(steps, run.loss_steps, run.losses)
    nothing = np.zeros(0)
    times, curvature, edge = (
        _edge(view, small, run, descent) if after or view.past else (nothing, nothing, float("nan"))
    )
    facts = {
        "crossing": run.crossings[0],
        "next_crossing": run.crossings[1],
        "steps": steps,
        "moduli": run.moduli,
        "losses": losses,
        "edge": edge,
        "first_rise": _first_rise(view.at, run.losses) if after or view.past else float("nan"),
        "sharpness_steps": times,
        "sharpness": curvature,
        "path": run.path(small),
    }
    if not np.all(np.isfinite(run.losses)):
        return view.made("diverging", "the twin's loss is not finite: lower the rate", **facts)
    if view.past:
        return view.made("past", f"the multiplier is {abs(view.values[0]):.3f}, beyond 1 already", **facts)
    if np.isnan(facts["crossing"]):
        last = moduli[-1, 0]
        return view.made("none ahead", f"within {ahead} steps the twin's multiplier comes to {last:.3f}", **facts)
    facts["kind"] = kind_of(run.moduli[int(np.argmin(np.abs(steps - facts["crossing"])))][0])
    fewer = max(size - 2 * r, r + 1)
    far = int(1.5 * (facts["crossing"] - view.at)) + 50
    other, _ = _trained(view, task, model, descent, fewer, far, 0)
    second = other.crossings[0]
    apart = abs(second - facts["crossing"]) if np.isfinite(second) else 0.5 * (facts["crossing"] - view.at)
    facts["error"] = max(view.error(facts["crossing"]), apart)
    return _judged_twin(view, small, run, facts)


def _judged_twin(view: View, small: Task, run: TwinRun, facts: dict[str, Any]) -> Forecast:
    to_go = facts["crossing"] - view.at
    place = int(np.argmin(np.abs(run.steps - facts["crossing"])))
    bulk = small_states(small, Rebuild(small.student)(run.parameters[place]))
    if abs(view.values[1]) > BULK:
        detail = f"the next multiplier is {abs(view.values[1]):.2f}: a strong bulk, which a few axes do not hold"
        return view.made("flagged", detail, **facts)
    if bulk > SMALL:
        return view.made(
            "flagged", f"states that are not read out reach {bulk:.2f}, where tanh is no identity", **facts
        )
    if facts["error"] > 0.15 * to_go + 3:
        return view.made("flagged", f"a twin of fewer neurons says {facts['error']:.0f} steps otherwise", **facts)
    return view.made("ok", f"the multiplier reaches 1 in {to_go:.1f} steps", **facts)


def _trained(
    view: View,
    task: Task,
    model: VanillaRNN,
    descent: HeavyBall,
    size: int,
    ahead: int,
    after: int,
) -> tuple[TwinRun, Task]:
    small, U = twin_of(task, model, size)
    velocity = None if view.velocity is None else rotated_velocity(model, view.velocity, U)
    where = _multipliers(small)
    run = None if after or view.past else _flowed(view, small, descent, ahead, velocity, where)
    if run is None:
        stop = ahead if view.past else after
        run = train_twin(small, view.at, descent, where, ahead, stop, velocity)
    view.small += run.gradients
    return run, small


def _multipliers(small: Task) -> Where:
    """``flat ↦`` leading multipliers of a twin: of its weights, or of its followed point where a bias moves that."""
    rebuild, size = Rebuild(small.student), len(small.student.weight)
    if small.student.bias is None:
        return lambda flat: top_two(flat.reshape(size, size)) if np.all(np.isfinite(flat)) else None
    kept = {"point": np.zeros(size)}

    def multipliers(flat: np.ndarray) -> np.ndarray | None:
        point, slope, residual = settle(rebuild(flat.astype(small.h0.dtype)), kept["point"], small.h0.dtype)
        if not residual <= LOST * (1 + np.linalg.norm(point)):
            return None
        kept["point"] = point
        return top_two(slope)

    return multipliers


def _flowed(
    view: View, small: Task, descent: HeavyBall, ahead: int, velocity: np.ndarray | None, where: Where
) -> TwinRun | None:
    """The twin's flow in place of its steps; ``None`` where the steps are few, or descent does not follow a flow."""
    flat = np.asarray(flatten(small.student), np.float64)
    if not trial(small, flat, descent)[0]:
        return None
    nowhere = np.zeros(len(small.student.weight))
    found = flow(small, flat, view.at, descent, nowhere, float(ahead), 0.0, velocity, where)
    view.small += 2
    if found.crossing - view.at < FEW or not np.all(np.isfinite(found.losses)):
        view.small += found.gradients
        return None
    steps = np.asarray(found.steps)
    rows = np.stack(found.parameters).astype(small.h0.dtype)
    dates = (found.crossing, found.next_crossing)
    return TwinRun(steps, rows, np.stack(found.moduli), np.asarray(found.losses), found.gradients, dates, steps)


def _first_rise(at: float, losses: np.ndarray) -> float:
    """The first step that raises the loss by more than rounding."""
    up = np.flatnonzero(np.diff(losses) > _RISE * losses[:-1])
    return float(at + up[0]) if len(up) else float("nan")


def _edge(view: View, small: Task, run: TwinRun, descent: HeavyBall) -> tuple[np.ndarray, np.ndarray, float]:
    """Sharpness every hundred steps, and where ``η λ_1`` reaches 2 (``2(1 + m)`` with momentum)."""
    picked = [k for k in range(0, len(run.steps), 10) if np.all(np.isfinite(run.parameters[k]))]
    values = []
    for k in picked:
        values.append(sharpness(small, run.parameters[k]))
        view.small += 20
        if descent.rate * values[-1] >= 2 * (1 + descent.momentum):
            break
    steps, found = run.steps[picked[: len(values)]], np.asarray(values)
    level = 2 * (1 + descent.momentum) / descent.rate
    if len(found) and found[0] >= level:
        return steps, found, float(steps[0])
    return steps, found, passage(steps, found, level)
