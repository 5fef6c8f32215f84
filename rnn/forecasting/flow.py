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
from rnn.forecasting.chebyshev import Chebyshev, is_stiff
from rnn.forecasting.learner import Lowered
from rnn.forecasting.optimizer import HeavyBall
from rnn.models import Model, ModelPath, Rebuild, flatten
from rnn.tasks import Task

__all__ = ["FewSteps", "Flow", "Where", "flow", "loss_and_slope", "real_steps"]

Where = Callable[[np.ndarray], "np.ndarray | None"]

RTOL = 3e-5
_LATER = 1e-3  # past the crossing, where stability limits the steps
_PATIENT = 2  # stiff steps in a row, after which the stabilised pair takes over
_SPACING = 10.0
_REACH = 0.1  # of its size and one, that a fixed point may move from place to place
_STILL = 1e-3  # of the first gradient: next to a minimum the clock is the step again
FEW = 50
"""With fewer steps than these to go they are taken one by one: descent lags its flow by about one."""


@eqx.filter_jit
def loss_and_slope(task: Lowered, flat: Array) -> tuple[Array, Array]:
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
        point: where real steps were taken, the followed point after them.
    """

    steps: list[float] = field(default_factory=list)
    parameters: list[np.ndarray] = field(default_factory=list)
    moduli: list[np.ndarray] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    gradients: int = 0
    crossing: float = float("nan")
    next_crossing: float = float("nan")
    lost: bool = False
    point: np.ndarray = field(default_factory=lambda: np.zeros(0))

    def path(self, task: Task) -> ModelPath | None:
        """The networks along the flow."""
        if len(self.steps) < 2:
            return None
        rows = np.stack(self.parameters)[:, : flatten(task.student).size].astype(task.h0.dtype)
        return ModelPath(np.asarray(self.steps), rows, Rebuild(task.student))


class _Point:
    """The followed fixed point, warm from place to place."""

    def __init__(self, task: Lowered, point: np.ndarray) -> None:
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
    task: Lowered,
    start: np.ndarray,
    at: float,
    descent: HeavyBall,
    point: np.ndarray,
    ahead: float,
    after: float,
    velocity: np.ndarray | None = None,
    where: Where | None = None,
) -> Flow:
    """Follow the optimizer's own equation by a pair of orders 5 and 4 until ``after`` steps past the first crossing.

    Plain descent is ``dθ/dn = −η ∇L``. Its speed runs away next to the bifurcation, and the solver's clock is the way
    made, ``ds = ‖∇L‖/‖∇L(0)‖ dn``, along which it does not. Descent is late against the flow: along the way it loses
    ``½ ln |∇L(n)|/|∇L(0)|`` steps, as the unit-time map of ``θ' = −η∇L`` is that of ``−η∇(L + η|∇L|²/4)`` (Barrett &
    Dherin 2021, arXiv:2009.11162). The steps count with it. A heavy ball is ``dθ/dn = −η v``,
    ``dv/dn = ln m (v − ∇L/(1 − m))``, whose v relaxes by the factor m in a step.

    Args:
        task: what is trained.
        start: flat parameters.
        at: the step that they belong to.
        descent: the optimizer.
        point: where the followed fixed point is.
        ahead: steps to look ahead at most.
        after: steps to go on after the first crossing.
        velocity: v of the heavy ball; settled unless given, zero at step 0.
        where: ``flat ↦`` leading multipliers, ``None`` where the point is lost; by Newton's method unless given.
    """
    found, where, count = Flow(), where or _Point(task, point), len(start)
    descending = _Descent(task, descent, found, count)
    y0, scale = descending.begin(start.astype(np.float64), velocity, at == 0)
    size, values = descending.size, where(y0[:count])  # the solver looks elsewhere too, as it is made
    record(found, at, y0[:count], values, descending.loss)
    solver = RK45(descending, 0.0, y0, np.inf, rtol=RTOL, atol=RTOL * scale)
    first, lag, stiff = size, 0.0, 0
    while solver.status == "running" and values is not None:
        solver.step()
        stiff = stiff + 1 if isinstance(solver, RK45) and not descent.momentum and is_stiff(solver) else 0
        if solver.status == "failed" or not np.all(np.isfinite(solver.y)):
            found.losses[-1] = float("nan")
            break
        size, last = descending.size, size
        late = 0.5 * np.log(size / first) if not descent.momentum and size > 0 < first else 0.0
        ends = (found.losses[-1], descending.loss), (descending.fall(last), descending.fall(size))
        stretch = _Stretch(solver, at, (lag, late), ends, ahead)
        lag = late
        before, times = len(found.steps) - 1, [stretch.start]
        for t in stretch.places():
            last, values = _followed(stretch, where, count, times[-1], t)
            found.lost = last < t
            if values is not None:
                record(found, stretch.step(last), stretch.state(last)[:count], values, float(stretch.loss(last)))
                times.append(last)
            if found.lost:
                break
        _events(found, stretch, where, count, before, times)
        if np.isfinite(found.crossing):
            solver.rtol, solver.atol = _LATER, _LATER * scale
        if found.lost or found.steps[-1] > found.crossing + after or stretch.last:
            break
        if stiff == _PATIENT:
            tolerances = {"rtol": solver.rtol, "atol": solver.atol}
            first_step = solver.h_abs * descending.by_steps()
            solver = Chebyshev(descending, 0.0, solver.y, np.inf, first_step=first_step, **tolerances)
    return found


class _Descent:
    """The right-hand side, of the parameters, the velocity where there is one, and the steps made.

    Attributes:
        size, loss: ``‖∇L‖`` and L where it was last evaluated: at the end of the solver's step, once that is accepted.
    """

    def __init__(self, task: Lowered, descent: HeavyBall, found: Flow, count: int) -> None:
        self.task, self.descent, self.found, self.count = task, descent, found, count
        self.size = self.loss = self.first = 0.0
        self.known: tuple[np.ndarray, np.ndarray] | None = None  # the solver asks twice for its first

    def begin(self, start: np.ndarray, velocity: np.ndarray | None, fresh: bool) -> tuple[np.ndarray, np.ndarray]:
        """The first state, and the size of each of its entries that tolerances are relative to."""
        m, settled = self.descent.momentum, self._push(start) / (1 - self.descent.momentum)
        self.first = self.size
        parts, scales = [start], [np.full(self.count, np.sqrt(np.mean(start**2)))]
        if m:
            parts.append((np.zeros(self.count) if fresh else settled) if velocity is None else velocity)
            scales.append(np.full(self.count, max(np.sqrt(np.mean(settled**2)), 1e-12)))
        return np.concatenate([*parts, [0.0]]), np.concatenate([*scales, [1e3]])

    def _push(self, flat: np.ndarray) -> np.ndarray:
        if self.known is not None and np.array_equal(flat, self.known[0]):
            return self.known[1]
        loss, slope = loss_and_slope(self.task, flat.astype(self.task.h0.dtype))
        self.found.gradients += 1
        slope = np.asarray(slope, np.float64)
        self.loss, self.size = float(loss), float(np.linalg.norm(slope))
        self.known = flat.copy(), slope
        return slope

    def __call__(self, _: float, y: np.ndarray) -> np.ndarray:
        m, rate, count = self.descent.momentum, self.descent.rate, self.count
        slope = self._push(y[:count])
        if m:
            v = y[count:-1]
            return np.concatenate([-rate * v, np.log(m) * (v - slope / (1 - m)), [1.0]])
        pace = self.pace(self.size)
        return np.concatenate([-rate * pace * slope, [pace]])

    def pace(self, size: float) -> float:
        """Steps in a unit of the solver's clock, where the gradient has a size."""
        return 1 / (size / self.first + _STILL) if self.first and not self.descent.momentum else 1.0

    def by_steps(self) -> float:
        """Take the step as the clock from now on; how many of them a unit of the clock before was.

        What is stiff is linear by the step alone: along the way made a small error across it sets the pace.
        """
        before, self.first = self.pace(self.size), 0.0
        return before

    def fall(self, size: float) -> float:
        """The slope of the loss on the solver's clock; of a heavy ball, once its velocity has settled."""
        return -self.descent.effective * self.pace(size) * size**2


class _Stretch:
    """One step of the solver: its interpolant, the steps of descent along it, and the loss, a cubic by its ends."""

    def __init__(self, solver: Any, at: float, lags: tuple[float, float], ends: Any, ahead: float) -> None:
        self.state, self.start, self.end = solver.dense_output(), solver.t_old, solver.t
        first, made = (float(self.state(t)[-1]) for t in (solver.t_old, solver.t))
        self.at, self.made, self.lags = at, (first, made), lags
        self.loss = CubicHermiteSpline((solver.t_old, solver.t), *ends)
        self.last = made >= ahead
        if made > ahead:
            over: Any = brentq(lambda t: self.state(t)[-1] - ahead, solver.t_old, solver.t, xtol=1e-9)
            self.end = float(over)

    def step(self, t: float) -> float:
        """The step of training, with the lag of descent, linear within."""
        made, (first, last) = float(self.state(t)[-1]), self.made
        return self.at + made + float(np.interp(made, (first, last), self.lags))

    def places(self) -> np.ndarray:
        """Where to look: the end, and six places within at most, ten steps apart at least."""
        pieces = min(6, int((self.step(self.end) - self.step(self.start)) // _SPACING))
        return np.linspace(self.start, self.end, pieces + 2)[1:]


def record(found: Flow, step: float, flat: np.ndarray, values: np.ndarray | None, loss: float) -> None:
    """Add a place."""
    found.steps.append(step)
    found.parameters.append(flat)
    found.moduli.append(np.zeros(2, complex) if values is None else values)
    found.losses.append(loss)


def _followed(
    stretch: _Stretch, where: Where, count: int, seen: float, t: float, halvings: int = 14
) -> tuple[float, Any]:
    """The last place up to t where the fixed point is followed, and the multipliers there; ``None`` if at no place.

    Newton's method may find another point beyond a fold. A point that moves far in one go is
    therefore followed by halves.
    """
    before = getattr(where, "point", None)
    values = where(stretch.state(t)[:count])
    if values is not None and (before is None or _close(before, getattr(where, "point", before))):
        return t, values
    if before is not None:
        setattr(where, "point", before)  # noqa: B010
    if not halvings:
        return seen, None
    middle = 0.5 * (seen + t)
    last, found = _followed(stretch, where, count, seen, middle, halvings - 1)
    if last < middle:
        return last, found
    later = _followed(stretch, where, count, middle, t, halvings - 1)
    return (middle, found) if later[1] is None else later


def _close(before: np.ndarray, after: np.ndarray) -> bool:
    return bool(np.linalg.norm(after - before) <= _REACH * (1 + np.linalg.norm(before)))


def _events(found: Flow, stretch: _Stretch, where: Where, count: int, first: int, times: list[float]) -> None:
    """Locate crossings within the last step of the solver, on its own interpolant."""
    for mode, name in enumerate(("crossing", "next_crossing")):
        moduli = np.array([abs(values[mode]) for values in found.moduli[first:]])
        over = np.flatnonzero((moduli[:-1] < 1) & (moduli[1:] >= 1))
        if not len(over) or not np.isnan(getattr(found, name)):
            continue
        k = int(over[0])

        def gap(t: float, mode: int = mode) -> float:
            values = where(stretch.state(t)[:count])
            return float("nan") if values is None else abs(values[mode]) - 1

        if not gap(times[k]) < 0 <= gap(times[k + 1]):  # Newton's method has jumped to the partner beyond a fold
            found.lost = True
            continue
        try:
            root: Any = brentq(gap, times[k], times[k + 1], xtol=1e-4 * (times[k + 1] - times[k]))
        except ValueError:  # NaN: between the two the point is lost
            found.lost = True
            continue
        setattr(found, name, stretch.step(float(root)))


@dataclass
class FewSteps:
    """Real steps: parameters and losses before each of them, and the velocities that led there."""

    parameters: np.ndarray
    losses: np.ndarray
    velocity: np.ndarray


@eqx.filter_jit
def _scan(task: Lowered, flat: Array, velocity: Array, rate: Array, momentum: Array, count: int) -> Any:
    def step(carry: Any, _: None) -> Any:
        flat, velocity = carry
        loss, slope = loss_and_slope(task, flat)
        before, velocity = velocity, momentum * velocity + slope
        return (flat - rate * velocity, velocity), (flat, loss, before)

    return jax.lax.scan(step, (flat, velocity), length=count)


def real_steps(
    task: Lowered, start: np.ndarray, descent: HeavyBall, count: int, velocity: np.ndarray | None = None
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
