"""The experiment of Hazelden & Shea-Brown (arXiv:2605.12763), from training to prediction, as data."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from rnn.bifurcation import bifurcations
from rnn.events import Bifurcations, Event
from rnn.fixed_points import FixedPoints, fixed_points
from rnn.kernel import sntk
from rnn.model import with_bias
from rnn.record import Rebuild, Run
from rnn.restricted import Prediction, Sweep, amplification_along, dominant, fit, predict, restrict
from rnn.task import Task, student_teacher
from rnn.train import Progress, train

__all__ = ["PRESETS", "BiasStory", "Preset", "RankTrace", "Story", "reproduce"]


@dataclass(frozen=True)
class Preset:
    """How long the experiment runs.

    Args:
        steps: training steps.
        sample_every: steps between the samples at which bifurcations are looked for.
        companions: whether the trained-bias run and the negative control are made.
    """

    steps: int
    sample_every: int
    companions: bool = True


_NEAR, _FINE = 160, 4  # steps after the first event in which the collapse is resolved, and their spacing

PRESETS = {"quick": Preset(1_500, 100), "paper": Preset(35_000, 250)}


@dataclass(frozen=True)
class RankTrace:
    """Stable rank of the state-space NTK along training.

    Attributes:
        step: shape (count,), increasing.
        value, standard_error: at those steps.
        initial, at_event, minimum: exact values before training, at the first event (NaN without one) and at the
            smallest estimate after it.
        minimum_step: where that is.
    """

    step: np.ndarray
    value: np.ndarray
    standard_error: np.ndarray
    initial: float
    at_event: float = float("nan")
    minimum: float = float("nan")
    minimum_step: float = float("nan")


@dataclass(frozen=True)
class Restricted:
    """The restricted kernel through the first event, its prediction and its fit."""

    sweep: Sweep
    prediction: Prediction
    fitted: Any = None


@dataclass(frozen=True)
class BiasStory:
    """The same training with a trainable bias.

    Attributes:
        run, events: as for the main run.
        share: part of the squared length of the dominant direction that lies in the bias, at the first event.
        gain_ratio: ``‖J v‖`` along the dominant direction over its largest value along a direction of weights alone.
        distance: from the first event's point to the fixed point followed from the start, at that step.
        displacement, amplification: ``‖J(s)v‖²`` along the dominant direction through the event.
    """

    run: Run
    events: Bifurcations
    share: float = float("nan")
    gain_ratio: float = float("nan")
    distance: float = float("nan")
    displacement: np.ndarray = field(default_factory=lambda: np.zeros(0))
    amplification: np.ndarray = field(default_factory=lambda: np.zeros(0))


@dataclass(frozen=True)
class Story:
    """Everything that the figures and the report of one reproduction show.

    Attributes:
        preset, seed: what was asked for.
        run: the main training run, bias frozen at zero.
        teacher: the teacher's fixed points.
        events: the bifurcations of the run.
        radius_step, radius: spectral radius of the student's weights along training.
        rank: stable rank along training.
        restricted: at the first event; ``None`` if the run has none that a real multiplier crosses.
        bias: the companion run with trainable bias, if made.
        control: the restricted kernel of a student of gain 0.9, whose spectral gap is too small, if made.
        seconds: wall time by stage.
    """

    preset: str
    seed: int
    run: Run
    teacher: FixedPoints
    events: Bifurcations
    radius_step: np.ndarray
    radius: np.ndarray
    rank: RankTrace
    restricted: Restricted | None
    bias: BiasStory | None
    control: Restricted | None
    seconds: dict[str, float]

    def loss_around(self, event: Event, reach: int = 100) -> tuple[float, float]:
        """Loss ``reach`` steps before and after an event (or at the ends of the run)."""
        at = round(event.step)
        last = self.run.steps - 1
        return float(self.run.loss[max(0, at - reach)]), float(self.run.loss[min(last, at + reach)])


def reproduce(
    preset: str = "paper",
    *,
    seed: int = 0,
    out: str | Path | None = None,
    resume: bool = False,
    steps: int | None = None,
    progress: Callable[[str, float, float], None] | None = None,
) -> Story:
    """Train, find the bifurcations, measure and predict the restricted kernel at the first of them.

    Args:
        preset: ``"paper"`` (35,000 steps) or ``"quick"``.
        seed: of the networks, the initial states and the probes.
        out: folder for the training records; without it nothing is written.
        resume: continue from what ``out`` holds.
        steps: training steps, in place of the preset's.
        progress: called with (stage, share done, estimated seconds left of the stage).

    Raises:
        ValueError: unknown preset.
        RecordError: ``out`` holds another run.
        DivergedError: training diverged.
    """
    if preset not in PRESETS:
        raise ValueError(f"preset must be one of {', '.join(PRESETS)}, got {preset!r}")
    plan = PRESETS[preset]
    folder = None if out is None else Path(out)
    stages = _Stages(progress)

    def trained(name: str, task: Task, count: int) -> Run:
        where = None if folder is None else folder / name
        with stages.time(f"training ({name})"):
            return train(task, steps=count, key=seed, out=where, resume=resume, progress=stages.training(name))

    task = student_teacher(seed)
    run = trained("student", task, steps or plan.steps)
    with stages.time("bifurcations"):
        teacher = fixed_points(task.teacher)
        events = bifurcations(run, every=plan.sample_every, progress=stages.share("bifurcations"))
        radius_step, radius = _spectral_radius(run)
    with stages.time("stable rank"):
        rank = _rank_trace(run, events)
    with stages.time("restricted kernel"):
        restricted = _restricted(events)
    bias = control = None
    if plan.companions and len(events):
        count = _round_up(events[0].step + 300, 100)
        other = trained("bias", student_teacher(seed, bias="trained"), count)
        with stages.time("trainable bias"):
            bias = _bias_story(other)
        near = trained("control", student_teacher(seed, gain=0.9), count)
        with stages.time("negative control"):
            control = _restricted(bifurcations(near, every=100, first=1), fitted=False)
    return Story(
        preset,
        seed,
        run,
        teacher,
        events,
        radius_step,
        radius,
        rank,
        restricted,
        bias,
        control,
        stages.seconds,
    )


class _Stages:
    """Wall time by stage, and progress within it."""

    def __init__(self, progress: Callable[[str, float, float], None] | None) -> None:
        self.seconds: dict[str, float] = {}
        self.progress = progress

    def time(self, name: str) -> Any:
        return _Timed(self, name)

    def training(self, name: str) -> Callable[[Progress], None] | None:
        if self.progress is None:
            return None
        report = self.progress
        return lambda p: report(f"training ({name})", p.step / p.steps, p.remaining)

    def share(self, name: str) -> Callable[[float], None] | None:
        if self.progress is None:
            return None
        report, began = self.progress, time.perf_counter()
        return lambda share: report(name, share, (time.perf_counter() - began) * (1 / share - 1))


class _Timed:
    def __init__(self, stages: _Stages, name: str) -> None:
        self.stages, self.name = stages, name

    def __enter__(self) -> None:
        self.began = time.perf_counter()
        if self.stages.progress is not None:
            self.stages.progress(self.name, 0.0, float("nan"))

    def __exit__(self, *_: object) -> None:
        self.stages.seconds[self.name] = time.perf_counter() - self.began


def _round_up(value: float, unit: int) -> int:
    return int(-(-value // unit) * unit)


def _spectral_radius(run: Run, most: int = 400) -> tuple[np.ndarray, np.ndarray]:
    stride = max(1, len(run.path) // most)
    steps = run.path.steps[::stride]
    weights = (np.asarray(run.model(step).weight, np.float64) for step in steps)
    return steps, np.array([np.max(np.abs(np.linalg.eigvals(w))) for w in weights])


def _rank_trace(run: Run, events: Bifurcations) -> RankTrace:
    """The estimates made during training, refined around the first event, with exact values at three places."""
    step, value, error = (run.diagnostics[name] for name in ("step", "stable_rank", "standard_error"))
    initial = _exact_rank(run, 0.0)
    if not len(events):
        return RankTrace(step, value, error, initial)
    at = events[0].step
    fine = np.arange(at, min(at + _NEAR, float(run.path.steps[-1])), _FINE)[1:]
    found, warm = [], None
    for place in fine:
        kernel = _kernel(run, float(place))
        modes = kernel.leading(1, tolerance=1e-3, start=warm)
        warm = modes.vectors
        found.append(kernel.stable_rank(start=warm))
    step = np.concatenate([step, fine])
    value = np.concatenate([value, [float(f.value) for f in found]])
    error = np.concatenate([error, [float(f.standard_error) for f in found]])
    step, first = np.unique(step, return_index=True)
    value, error = value[first], error[first]
    after = step > at
    low = step[after][np.argmin(value[after])]
    return RankTrace(step, value, error, initial, _exact_rank(run, at), _exact_rank(run, float(low)), float(low))


def _kernel(run: Run, step: float) -> Any:
    return sntk(with_bias(run.model(step)), run.task.h0, run.task.horizon)


def _exact_rank(run: Run, step: float) -> float:
    return float(_kernel(run, step).stable_rank(exact=True).value)


def _restricted(events: Bifurcations, fitted: bool = True) -> Restricted | None:
    if not len(events) or events[0].kind != "pitchfork":
        return None
    sweep = restrict(events[0])
    return Restricted(sweep, predict(sweep), fit(sweep) if fitted else None)


def _bias_story(run: Run, reach: float = 0.05, count: int = 41) -> BiasStory:
    events = bifurcations(run, every=100, first=1)
    if not len(events):
        return BiasStory(run, events)
    event, task = events[0], run.task
    modes = dominant(event.model, task.h0, task.horizon)
    v = np.asarray(modes.vectors[0], np.float64)
    weights_only = dominant(event.model, task.h0, task.horizon, wrt=lambda m: m.weight)
    tracked = events.branches[0]
    near = int(np.argmin(np.abs(tracked.steps - event.step)))
    s = np.linspace(-reach, reach, count)
    return BiasStory(
        run,
        events,
        share=float(np.sum(np.asarray(Rebuild(event.model)(v).bias) ** 2)),
        gain_ratio=float(modes.singular_values[0] / weights_only.singular_values[0]),
        distance=float(np.linalg.norm(tracked.points[near] - event.point)),
        displacement=s,
        amplification=amplification_along(event.model, v, s, task.h0, task.horizon),
    )
