"""The flow rung: training as an ordinary differential equation, with the crossing as an event."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Array
from scipy.integrate import RK45
from scipy.interpolate import CubicHermiteSpline
from scipy.optimize import brentq

from rnn.approach import LOST, settle, top_two
from rnn.forecasting.optimizer import HeavyBall
from rnn.models import Model, ModelPath, Rebuild
from rnn.tasks import Task

__all__ = ["FewSteps", "Flow", "flow", "loss_and_slope", "real_steps"]

RTOL = 1e-3
_SPACING = 10.0
FEW = 50
"""With fewer steps than these to go they are taken one by one: descent lags its flow by about one."""


@eqx.filter_jit
def loss_and_slope(task: Task, flat: Array) -> tuple[Array, Array]:
    """Loss and gradient at flat parameters."""
    return jax.value_and_grad(lambda p: task.loss(Rebuild(task.student)(p)))(flat)


@dataclass
class Flow:
    """The flow as far as it was followed.

    Args:
        steps: places, in steps of descent with its lag.
        parameters: flat, there.
        moduli: leading two multipliers, complex, there.
        losses: there.
        gradients: spent.
        crossing: step of the first crossing, ``nan`` for none.
        next_crossing: of the second.
        lost: the fixed point went away, as in a fold, at the last step.
    """

    steps: list[float] = field(default_factory=list)
    parameters: list[np.ndarray] = field(default_factory=list)
    moduli: list[np.ndarray] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    gradients: int = 0
    crossing: float = float("nan")
    next_crossing: float = float("nan")
    lost: bool = False

    def path(self, task: Task) -> ModelPath | None:
        """The networks along the flow."""
        if len(self.steps) < 2:
            return None
        dtype = task.h0.dtype
        return ModelPath(np.asarray(self.steps), np.stack(self.parameters).astype(dtype), Rebuild(task.student))


class _Point:
    """The followed fixed point, warm from place to place."""

    def __init__(self, task: Task, point: np.ndarray) -> None:
        self.rebuild, self.dtype, self.point = Rebuild(task.student), task.h0.dtype, point

    def __call__(self, flat: np.ndarray) -> np.ndarray | None:
        """Leading multipliers, or ``None`` where the point is lost."""
        model: Model = self.rebuild(flat.astype(self.dtype))
        point, slope, residual = settle(model, self.point, self.dtype)
        if not residual <= LOST * (1 + np.linalg.norm(point)):
            return None
        self.point = point
        return top_two(slope)


def flow(
    task: Task,
    start: np.ndarray,
    at: float,
    descent: HeavyBall,
    point: np.ndarray,
    ahead: float,
    after: float,
    velocity: np.ndarray | None = None,
) -> Flow:
    """Follow the optimizer's own equation by a pair of orders 5 and 4 until ``after`` steps past the first crossing.

    Plain descent is ``dθ/dn = −η ∇L``. It is late against that: along the way it loses ``½ ln |∇L(n)|/|∇L(0)|`` steps,
    as the unit-time map of ``θ' = −η∇L`` is that of ``−η∇(L + η|∇L|²/4)`` (Barrett & Dherin 2021, arXiv:2009.11162).
    The steps count with it. A heavy ball is ``dθ/dn = −η v``, ``dv/dn = ln m (v − ∇L/(1 − m))``, whose v relaxes by the
    factor m in a step.

    Args:
        task: what is trained.
        start: flat parameters.
        at: the step that they belong to.
        descent: the optimizer.
        point: where the followed fixed point is.
        ahead: steps to look ahead at most.
        after: steps to go on after the first crossing.
        velocity: v of the heavy ball; settled unless given, zero at step 0.
    """
    found, where, count = Flow(), _Point(task, point), len(start)
    seen: dict[str, float] = {}
    m, start = descent.momentum, start.astype(np.float64)

    def push(flat: np.ndarray) -> np.ndarray:
        loss, slope = loss_and_slope(task, flat.astype(task.h0.dtype))
        found.gradients += 1
        seen["loss"] = float(loss)
        return np.asarray(slope, np.float64)

    def field_(_: float, y: np.ndarray) -> np.ndarray:
        if not m:
            return -descent.rate * push(y)
        return np.concatenate([-descent.rate * y[count:], np.log(m) * (y[count:] - push(y[:count]) / (1 - m))])

    y0, tolerance = start, RTOL * float(np.sqrt(np.mean(start**2))) * np.ones(count)
    if m:
        settled = push(start) / (1 - m)
        v = (np.zeros(count) if at == 0 else settled) if velocity is None else velocity
        y0 = np.concatenate([start, v])
        tolerance = np.concatenate([tolerance, RTOL * np.full(count, max(np.sqrt(np.mean(settled**2)), 1e-12))])
    solver = RK45(field_, 0.0, y0, ahead, rtol=RTOL, atol=tolerance)
    first_speed = float(np.linalg.norm(solver.f[:count]))
    values = where(start)
    record(found, at, start, values, seen["loss"])
    bend = -(first_speed**2) / descent.effective
    while solver.status == "running" and values is not None:
        solver.step()
        flat = solver.y[:count]
        if solver.status == "failed" or not np.all(np.isfinite(flat)):
            found.losses[-1] = float("nan")
            break
        speed = float(np.linalg.norm(solver.f[:count]))
        lag = 0.5 * np.log(speed / first_speed) if not m and speed > 0 < first_speed else 0.0
        before, ends, bend = len(found.steps), (found.losses[-1], seen["loss"]), (bend, -(speed**2) / descent.effective)
        _between(found, solver, where, ends, bend)
        bend = bend[1]
        values = where(flat)
        if values is None:
            found.lost = True
            break
        record(found, at + solver.t + lag, flat.copy(), values, seen["loss"])
        # the lag grows along the step as the places between are counted
        known = np.asarray(found.steps[before - 1 :])
        drift = (found.steps[-1] - known[0]) / (solver.t - solver.t_old)
        found.steps[before:-1] = list(known[0] + drift * (known[1:-1] - known[0]))
        _events(found, solver, where, count, before - 1)
        if found.steps[-1] > found.crossing + after:
            break
    return found


def _between(found: Flow, solver: Any, where: Callable[[np.ndarray], Any], ends: Any, slopes: Any) -> None:
    """Places within the solver's last step, on its interpolant: three at most, ten steps apart at least.

    The loss there is the cubic through its values and slopes ``−η‖∇L‖²`` at both ends.
    """
    pieces = min(3, int((solver.t - solver.t_old) // _SPACING))
    within, count = solver.dense_output(), len(found.parameters[0])
    loss = CubicHermiteSpline([solver.t_old, solver.t], ends, slopes)
    start, first = found.steps[-1], solver.t_old
    for k in range(1, pieces + 1):
        t = first + k / (pieces + 1) * (solver.t - first)
        flat = within(t)[:count]
        values = where(flat)
        if values is not None:
            record(found, start + t - first, flat, values, float(loss(t)))


def record(found: Flow, step: float, flat: np.ndarray, values: np.ndarray | None, loss: float) -> None:
    """Add a place."""
    found.steps.append(step)
    found.parameters.append(flat)
    found.moduli.append(np.zeros(2, complex) if values is None else values)
    found.losses.append(loss)


def _events(found: Flow, solver: Any, where: Callable[[np.ndarray], Any], count: int, first: int) -> None:
    """Locate crossings within the last step of the solver, on its own interpolant."""
    places = np.asarray(found.steps[first:])
    times = solver.t_old + (places - places[0]) / (places[-1] - places[0]) * (solver.t - solver.t_old)
    within = solver.dense_output()
    for mode, name in enumerate(("crossing", "next_crossing")):
        moduli = np.array([abs(values[mode]) for values in found.moduli[first:]])
        over = np.flatnonzero((moduli[:-1] < 1) & (moduli[1:] >= 1))
        if not len(over) or not np.isnan(getattr(found, name)):
            continue
        k = int(over[0])

        def gap(t: float, mode: int = mode) -> float:
            values = where(within(t)[:count])
            return float("nan") if values is None else abs(values[mode]) - 1

        root: Any = brentq(gap, times[k], times[k + 1], xtol=1e-3)
        setattr(found, name, float(np.interp(root, times, places)))


@dataclass
class FewSteps:
    """Real steps: parameters and losses before each of them, and the velocities that led there."""

    parameters: np.ndarray
    losses: np.ndarray
    velocity: np.ndarray


@eqx.filter_jit
def _scan(task: Task, flat: Array, velocity: Array, rate: Array, momentum: Array, count: int) -> Any:
    def step(carry: Any, _: None) -> Any:
        flat, velocity = carry
        loss, slope = loss_and_slope(task, flat)
        before, velocity = velocity, momentum * velocity + slope
        return (flat - rate * velocity, velocity), (flat, loss, before)

    return jax.lax.scan(step, (flat, velocity), length=count)


def real_steps(
    task: Task, start: np.ndarray, descent: HeavyBall, count: int, velocity: np.ndarray | None = None
) -> FewSteps:
    """``count`` steps of the optimizer itself; a heavy ball begins at its settled speed unless that is given."""
    dtype = task.h0.dtype
    flat = np.asarray(start, dtype)
    if velocity is None:
        velocity = np.zeros_like(flat)
        if descent.momentum:
            velocity = np.asarray(loss_and_slope(task, flat)[1]) / dtype.type(1 - descent.momentum)
    velocity = np.asarray(velocity, dtype)
    rate, momentum = (np.asarray(v, dtype) for v in (descent.rate, descent.momentum))
    _, rows = _scan(task, flat, velocity, rate, momentum, count)
    return FewSteps(*(np.asarray(row) for row in rows))
