"""Where descent is not its flow: a step that is tried, and the steps that are taken."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np

from rnn.approach import LOST, settle, top_two
from rnn.forecasting.flow import Flow, flow, loss_and_slope, real_steps
from rnn.forecasting.learner import Lowered
from rnn.forecasting.optimizer import HeavyBall
from rnn.forecasting.result import passage
from rnn.forecasting.view import View
from rnn.models import Rebuild

__all__ = ["followed", "stepwise", "trial"]

_BENT = 0.3  # rate times curvature along the gradient, beyond which that points across the way
_ACROSS = 25  # steps that are then taken
_RESOLVED = 1e-4  # of the loss, that a step has to lower it by for that to be known


def trial(task: Lowered, flat: np.ndarray, descent: HeavyBall) -> tuple[bool, float]:
    """Whether one step of plain descent lowers the loss, or leaves it as it is; the rate times the curvature along it.

    ``η gᵀHg/‖g‖² = 2 (1 − (L − L')/(η ‖g‖²))``; 0 where the loss does not resolve it.
    """
    dtype = task.h0.dtype
    loss, slope = loss_and_slope(task, jnp.asarray(flat, dtype))
    slope = np.asarray(slope, np.float64)
    moved, _ = loss_and_slope(task, jnp.asarray(flat - descent.rate * slope, dtype))
    loss, moved, fall = float(loss), float(moved), descent.rate * float(slope @ slope)
    bend = 2 * (1 - (loss - moved) / fall) if fall > _RESOLVED * abs(loss) else 0.0
    return moved <= loss * (1 + 1e-5), bend


def followed(view: View, start: np.ndarray, descent: HeavyBall, ahead: float, stop: float, bend: float) -> Flow:
    """The flow; where the gradient still points across its way, as at a random start, after some real steps.

    There a step goes past where the flow goes to, and what is across the way has gone after some of them.

    Args:
        view, start, descent: what is known, flat parameters, the optimizer.
        ahead, stop: as ``ahead`` and ``after`` of :func:`rnn.forecasting.flow.flow`.
        bend: of :func:`trial`.
    """
    task = view.lesson
    if bend <= _BENT or descent.momentum or view.past:
        found = flow(task, start, view.at, descent, view.point, ahead, stop, view.velocity)
        view.gradients += found.gradients
        return found
    first = stepwise(view, start, descent, _ACROSS)
    if first.lost or np.isfinite(first.crossing):
        return first
    rest = flow(task, first.parameters[-1], first.steps[-1], descent, first.point, ahead, stop)
    view.gradients += rest.gradients
    rest.steps[:0], rest.parameters[:0] = first.steps[:-1], first.parameters[:-1]
    rest.moduli[:0], rest.losses[:0] = first.moduli[:-1], first.losses[:-1]
    return rest


def stepwise(view: View, start: np.ndarray, descent: HeavyBall, count: int) -> Flow:
    """Real steps, as many or to the crossing."""
    task = view.lesson
    run = real_steps(task, start, descent, count, view.velocity)
    found, point, rebuild = Flow(), view.point, Rebuild(task.student)
    for k, (flat, loss) in enumerate(zip(run.parameters, run.losses, strict=True)):
        point, slope, residual = settle(rebuild(flat), point, task.h0.dtype)
        if not residual <= LOST * (1 + np.linalg.norm(point)):
            found.lost = True
            break
        found.steps.append(view.at + k)
        found.parameters.append(np.asarray(flat, np.float64))
        found.moduli.append(top_two(slope))
        found.losses.append(float(loss))
        if abs(found.moduli[-1][0]) >= 1:
            break
    found.crossing = passage(np.asarray(found.steps), np.abs(np.stack(found.moduli)[:, 0]))
    found.point = point
    view.gradients += len(found.steps)
    return found
