"""The bifurcations along a path of models: when, where, of which kind, and what they join."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from rnn.dynamics.events import Bifurcations
from rnn.dynamics.probing import sample_steps
from rnn.dynamics.search import Search
from rnn.kernel import check_count
from rnn.models import Model, ModelPath, trajectory
from rnn.training import Run

__all__ = ["bifurcations"]

_LONGEST = 16  # steps of a cycle


def bifurcations(
    run: Run | ModelPath | Sequence[Model],
    *,
    x: Any = None,
    inputs: Any = None,
    periods: Sequence[int] = (1, 2),
    every: float | Callable[[float], float] = 100,
    first: int | None = None,
    starts: Any = None,
    until: float | None = None,
    tolerance: float = 1e-12,
    progress: Callable[[float], None] | None = None,
    begun: Mapping[str, Any] | None = None,
    keep: Callable[[dict[str, Any]], None] | None = None,
) -> Any:
    """Follow fixed points and cycles along a path of models and find where multipliers cross the unit circle.

    They are looked for at the start from many places, and on the way at the ends of orbits and, so that unstable ones
    that are born are seen, by Newton from other states: at every sample in networks of up to 16 states, else at every
    tenth and the last.
    Each is continued with its multipliers; a crossing is bracketed by bisection and solved for; a point that
    appears is followed back to its birth. Crossings that undo each other between two samples are not seen.

    Args:
        run: a training run, a path, or models (steps 0, 1, 2, …).
        x: a constant input, shape (inputs,), at which a path of driven networks is held, or several of them, shape
            (count, inputs), each with a diagram of its own; no input unless given.
        inputs: one period of a periodic input, shape (period, inputs); the points are then the orbits that it locks,
            at the period's end, and a step of a cycle is a period.
        periods: of the cycles to follow, each at most 16; 1 is always followed.
        every: steps between samples, or a function of the step that says so; the path's own spacing if that is wider.
        first: stop after that many events.
        starts: states, shape (count, state), from which orbits probe for new attractors; unless given a run's own
            initial states, or where it has inputs the states in which the last network ends, else random.
        until: last step to look at.
        tolerance: relative residual of the fixed points.
        progress: called with the share of the path that is done.
        begun: what ``keep`` was given last in an earlier search of the same path, to go on with.
        keep: called at every sample with what is known there, as data. Neither goes with several inputs ``x``.

    Returns:
        A :class:`Bifurcations`; a tuple of them, one for each input, where ``x`` has shape (count, inputs).

    Raises:
        ValueError: fewer than two models, models that differ in shape or do not map a state to a state, a
            first model that returns NaN at every start, a period out of range, an input that does not fit, or both
            ``x`` and ``inputs``.
    """
    lengths = sorted({1, *(check_count("periods", period) for period in periods)})
    if lengths[-1] > _LONGEST:
        raise ValueError(f"periods must be at most {_LONGEST}, got {lengths[-1]}; iterate the model instead")
    path, trained = _path(run), run if isinstance(run, Run) else None
    if starts is None and trained is not None and trained.task.inputs is not None:
        starts = _visited(trained)
    options = {"periods": tuple(lengths), "every": every, "first": first, "starts": starts, "until": until}
    options |= {"tolerance": tolerance, "progress": progress, "begun": begun, "keep": keep}
    if inputs is not None:
        if x is not None:
            raise ValueError("give x, a constant input, or inputs, one period of a periodic one, not both")
        path = path.stroboscopic(inputs)
    if x is None:
        return _along(path, trained, **options)
    if np.ndim(x) == 2:
        return tuple(_along(path.held(row), trained, **options) for row in np.asarray(x))
    return _along(path.held(x), trained, **options)


def _along(
    path: ModelPath,
    run: Run | None,
    *,
    periods: tuple[int, ...],
    every: float | Callable[[float], float],
    first: int | None,
    starts: Any,
    until: float | None,
    tolerance: float,
    progress: Callable[[float], None] | None,
    begun: Mapping[str, Any] | None,
    keep: Callable[[dict[str, Any]], None] | None,
) -> Bifurcations:
    with jax.enable_x64(True):
        samples = sample_steps(path, every, until)
        search = Search(run, path, samples, starts, tolerance, periods)
        if begun is None:
            search.begin()
        for k in range(0 if begun is None else search.restore(begun), len(samples) - 1):
            search.cross(k)
            if keep is not None:
                keep(search.state(k + 1))
            if progress is not None:
                progress((k + 1) / (len(samples) - 1))
            if first is not None and len(search.diagram.events) >= first:
                break
        return search.diagram.result()


def _path(run: Any) -> ModelPath:
    if isinstance(run, Run):
        return run.path
    return run if isinstance(run, ModelPath) else ModelPath.of(run)


def _visited(run: Run) -> np.ndarray:
    """Where the last network's trajectories end; a driven task's initial states are often all the same."""
    task = run.task
    ends = trajectory(run.model(float(run.path.steps[-1])), task.h0, inputs=task.inputs)[:, -1]
    return np.concatenate([np.asarray(task.h0[:1]), np.asarray(ends)[:63]]).astype(np.float64)
