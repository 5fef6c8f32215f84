"""The verb: a forecast of training by one of three methods, or the reason why there is none."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import optax

from rnn.forecasting.learner import Lesson, lesson_of
from rnn.forecasting.optimizer import HeavyBall, read_optimizer
from rnn.forecasting.result import Forecast, Method
from rnn.forecasting.rungs import by_flow, by_law, by_twin
from rnn.forecasting.view import RefusedError, View
from rnn.models import Model, flatten, partition
from rnn.tasks import Task
from rnn.training import Run

__all__ = ["forecast"]

_PLAIN = optax.sgd(5e-3)


def forecast(
    source: Run | Model,
    task: Task | None = None,
    *,
    at: float | None = None,
    method: Method = "flow",
    size: int | None = None,
    optimizer: optax.GradientTransformation | None = None,
    point: Any = None,
    ahead: int = 5000,
    after: int = 0,
    batch_size: int | None = None,
    x: Any = None,
    inputs: Any = None,
) -> Forecast:
    """When training will cross a bifurcation, what the loss will be, and what comes next.

    - ``"flow"``: ``dθ/dn = −η ∇L`` by an adaptive integrator, with the lag of descent behind it; real steps where fewer
      than 50 remain. Any model and task.
    - ``"law"``: one quadrature with the critical multiplier as the clock, from four gradients and four pairs of
      eigenvectors, :mod:`rnn.approach.law`. Any model and task, from a critical multiplier of .6 on.
    - ``"twin"``: a network of ``size`` neurons on the Krylov space of the read-out, trained in the large one's place,
      :mod:`rnn.forecasting.twin`. Vanilla networks whose other neurons stay small. It goes on past the crossing.

    What a method cannot do is a status with a sentence, never an exception.

    Args:
        source: a run, or a model.
        task: what is trained; the run's own unless given.
        at: step of the run to forecast from, its last unless given; of a model, the step to count from (0).
        method: ``"flow"``, ``"law"`` or ``"twin"``.
        size: neurons of the twin; the read-out's r and ``2 r j`` more, ``j = 4`` unless given.
        optimizer: an Optax transformation; plain SGD at 5e-3 unless given. Plain descent and momentum have a known
            flow.
        point: near which fixed point to follow, shape (state,). Unless given the origin, or under an input the state to
            which the network goes from there.
        ahead: steps to look ahead at most.
        after: steps to go on past the crossing; ``"flow"`` and ``"twin"``.
        batch_size: trajectories that each step draws, for the scatter of the crossing's step; ``"law"``.
        x: constant input at which the fixed point is followed, shape (inputs,); no input unless given. The loss is
            under the task's own inputs in any case.
        inputs: one period of a periodic one, shape (period, inputs): the orbit that it locks is followed, and a
            multiplier is that of a period.

    Returns:
        A :class:`Forecast`; its steps count from the beginning of training.

    Raises:
        ValueError: an unknown method, a model without a task, a step outside the run, a count that is not positive, or
            ``x`` or ``inputs`` that do not fit the task's.
    """
    began = time.perf_counter()
    model, task, at = _given(source, task, at)
    if method not in ("flow", "law", "twin"):
        raise ValueError(f'method must be "flow", "law" or "twin", got {method!r}')
    counts = (("ahead", ahead), ("after", after + 1), ("batch_size", 1 if batch_size is None else batch_size))
    for name, value in counts:
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
            raise ValueError(f"{name} must be a positive whole number, got {value!r}")
    if size is not None and (isinstance(size, bool) or not isinstance(size, int) or size <= task.outputs):
        raise ValueError(f"size must be an integer beyond the {task.outputs} neurons that are read out, got {size!r}")
    if batch_size is not None and (method != "law" or task.mask is not None):
        raise ValueError('batch_size is for method="law" and tasks without a mask; leave it out')
    lesson, learner = lesson_of(task, model, _reader(source, task, at), x, inputs)
    view = View(method, at, began, lesson, learner)
    view.batch, view.x, view.inputs = batch_size, x, inputs
    try:
        descent = read_optimizer(_PLAIN if optimizer is None else optimizer, task, _moved(task))
        if isinstance(descent, str):
            raise RefusedError(
                "refused", f"the optimizer's flow is not known: {descent}; take plain descent or momentum"
            )
        view.begin(point)
        view.velocity = _velocity(source, lesson, at, descent)
        makers = {"flow": by_flow, "law": by_law, "twin": by_twin}
        return makers[method](view, descent, size, ahead, after)
    except RefusedError as reason:
        return view.made(reason.status, reason.detail)


def _given(source: Any, task: Task | None, at: float | None) -> tuple[Any, Task, float]:
    if isinstance(source, Run):
        at = float(source.steps if at is None else at)
        if not 0 <= at <= source.steps:
            raise ValueError(f"at = {at:g} lies outside the run, which has steps 0 to {source.steps}")
        return source.model(at), source.task if task is None else task, at
    if not callable(source):
        raise ValueError(f"a forecast is of a run or a model, got {type(source).__name__}")
    if not isinstance(task, Task):
        raise ValueError("a model needs the task that it is trained on; pass task=")
    return source, task, float(0 if at is None else at)


def _reader(source: Any, task: Task, at: float) -> Any:
    """The read-out at the step: the run's own where it is trained."""
    return source.readout(at) if isinstance(source, Run) and source.readouts is not None else task.reader


def _moved(task: Task) -> Any:
    """The parameters as training hands them to the optimizer."""
    student = partition(task.student)[0]
    return (student, partition(task.reader)[0]) if task.train_readout else student


def _velocity(source: Any, lesson: Lesson, at: float, descent: HeavyBall) -> np.ndarray | None:
    """v of a heavy ball, from the last saved stretch of a run; zero at its beginning, else ``None``."""
    if not descent.momentum:
        return None
    if at == 0:
        return np.zeros(flatten(lesson.student).size)
    if not isinstance(source, Run):
        return None
    before = float(source.path.steps[np.searchsorted(source.path.steps, at) - 1])
    paths = [path for path in (source.path, source.readouts) if path is not None]
    return np.concatenate([path.flat(before) - path.flat(at) for path in paths]) / ((at - before) * descent.rate)
