"""The experiment of Hazelden & Shea-Brown (arXiv:2605.12763), from training to prediction, as data."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from normalforms.report import Meter, Report
from rnn.dynamics import Bifurcations, Event, FixedPoints, bifurcations, fixed_points
from rnn.kernel import diagnostics, sntk
from rnn.models import Rebuild, flatten, with_bias
from rnn.restricted import Prediction, Sweep, amplification_along, dominant, fit, predict, restrict
from rnn.studies import plan
from rnn.studies.experiment.beside import training
from rnn.tasks import Task, student_teacher
from rnn.training import COLD, COST, Progress, Run, train

__all__ = ["PRESETS", "BiasStory", "Preset", "RankTrace", "Story", "reproduce"]


@dataclass(frozen=True)
class Preset:
    """How long the experiment runs.

    Args:
        steps: training steps.
        sample_every: steps between the late samples at which bifurcations are looked for; early ones are denser.
        early: steps after which the first event is looked for; also those of the two runs beside it, one with
            trainable bias and a negative control.
        gains: whether to find what each correction to the prediction is worth.
    """

    steps: int
    sample_every: int
    early: int
    gains: bool = False


_NEAR, _FINE = 160, 4  # steps after the first event in which the collapse is resolved, and their spacing

PRESETS = {"quick": Preset(1_500, 100, 1_500), "paper": Preset(35_000, 500, 2_500, gains=True)}


@dataclass(frozen=True)
class RankTrace:
    """Stable rank of the state-space NTK along training.

    Attributes:
        step: shape (count,), increasing.
        value, standard_error: at those steps.
        initial, at_event, minimum: exact values before training, at the first event (NaN without one) and at the
            smallest estimate after it.
        minimum_step: where that is.
        weights_alone: exact values at the same three places for J with respect to the weights alone.
    """

    step: np.ndarray
    value: np.ndarray
    standard_error: np.ndarray
    initial: float
    at_event: float = float("nan")
    minimum: float = float("nan")
    minimum_step: float = float("nan")
    weights_alone: tuple[float, ...] = ()


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
    progress: Meter | None = None,
    meanwhile: Callable[[], None] = lambda: None,
) -> Story:
    """Train, find the bifurcations, measure and predict the restricted kernel at the first of them.

    Args:
        preset: ``"paper"`` (35,000 steps) or ``"quick"``.
        seed: of the networks, the initial states and the probes.
        out: folder for the training records; without it nothing is written.
        resume: continue from what ``out`` holds.
        steps: training steps, in place of the preset's.
        progress: shows how far it is, and keeps the times of the stages.
        meanwhile: called once while the main run trains beside this process.

    Raises:
        ValueError: unknown preset.
        RecordError: ``out`` holds another run.
        DivergedError: training diverged.
    """
    chosen = plan(PRESETS, preset)
    count = steps or chosen.steps
    early = min(count, chosen.early)
    stages = progress or Meter(quiet=True)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()) if out is None else out)

        def companion(name: str, task: Task) -> Run:
            where, label = folder / name, f"training ({name})"
            options = {"steps": early, "key": seed, "out": where, "resume": resume, "diagnose_every": 0}
            return stages.run(label, lambda report: train(task, progress=_share(report), **options))

        main = stack.enter_context(training(seed, count, folder / "student", resume=resume))
        other = companion("bias", student_teacher(seed, bias="trained"))
        bias = stages.run("trainable bias", lambda report: _bias_story(other, report))
        near = companion("control", student_teacher(seed, gain=0.9))
        control = stages.run("negative control", lambda report: _restricted(_first(near, report), fitted=False))
        run = stages.run("training (to the first event)", lambda report: main.wait(early, _share(report)))
        events = stages.run("first event", lambda report: _first(run, report))
        ranks = _Ranks(run, events)
        restricted = stages.run("restricted kernel", lambda report: _restricted(events, gains=chosen.gains))
        stages.run("stable rank", lambda report: ranks.trace(run))
        teacher = fixed_points(run.task.teacher)
        meanwhile()
        run = stages.run("training (student)", lambda report: main.wait(progress=_share(report)))
    missed, at = not len(events), events[0].step if len(events) else float("inf")

    def every(step: float) -> float:
        if at - 100 <= step <= at + 300:
            return 20
        return 100 if step < early else chosen.sample_every

    events = stages.run("bifurcations", lambda report: bifurcations(run, every=every, progress=report))
    if missed:
        ranks, restricted = _Ranks(run, events), _restricted(events, gains=chosen.gains)
    radius_step, radius = _spectral_radius(run)
    return Story(
        preset,
        seed,
        run,
        teacher,
        events,
        radius_step,
        radius,
        ranks.trace(run),
        restricted,
        bias,
        control,
        dict(stages.seconds),
    )


def _share(report: Report) -> Callable[[Progress], None]:
    """What :func:`rnn.train` calls, telling a stage's report."""
    return lambda state: report(state.step / state.steps, state.remaining)


def _spectral_radius(run: Run, most: int = 250) -> tuple[np.ndarray, np.ndarray]:
    stride = max(1, len(run.path) // most)
    steps = run.path.steps[::stride]
    weights = (np.asarray(run.model(step).weight, np.float64) for step in steps)
    return steps, np.array([np.max(np.abs(np.linalg.eigvals(w))) for w in weights])


class _Ranks:
    """Stable ranks: estimates made during training, refined after the first event, exact ones at three places."""

    def __init__(self, run: Run, events: Bifurcations) -> None:
        self.run = run
        self.at = events[0].step if len(events) else None
        self.known: dict[float, tuple[float, float]] = {}
        self.fine = np.zeros(0) if self.at is None else self._steps(self.at)
        self.found = self._measure() if len(self.fine) else []

    def _steps(self, at: float) -> np.ndarray:
        return np.arange(at, min(at + _NEAR, float(self.run.path.steps[-1])), _FINE)[1:]

    def _measure(self) -> list[Any]:
        task, found = self.run.task, []
        size = flatten(with_bias(task.student)).size
        warm = jnp.asarray(np.random.default_rng(0).standard_normal((2, size)), task.h0.dtype)
        for k, place in enumerate([self.fine[0]] * (COLD - 1) + [*self.fine]):
            model = with_bias(self.run.model(float(place)))
            found.append(diagnostics(model, task.h0, task.horizon, warm, jax.random.key(k), **COST))
            warm = found[-1].start
        return found[COLD - 1 :]

    def trace(self, run: Run) -> RankTrace:
        """Along ``run``, which may be longer than the one that the refinement was made on."""
        step, value, error = (run.diagnostics[name] for name in ("step", "stable_rank", "standard_error"))
        if self.at is None:
            start, alone = self._exact(0.0)
            return RankTrace(step, value, error, start, weights_alone=(alone,))
        step = np.concatenate([step, self.fine])
        value = np.concatenate([value, [float(f.stable_rank) for f in self.found]])
        error = np.concatenate([error, [float(f.standard_error) for f in self.found]])
        step, first = np.unique(step, return_index=True)
        value, error = value[first], error[first]
        after = step > self.at
        low = float(step[after][np.argmin(value[after])]) if np.any(after) else self.at
        at = (0.0, self.at, low)
        (start, crossing, least), alone = zip(*map(self._exact, at), strict=True)
        return RankTrace(step, value, error, start, crossing, least, low, alone)

    def _exact(self, step: float) -> tuple[float, float]:
        """Stable rank with respect to all parameters, and to the weights alone: the traces differ by the bias's."""
        if step not in self.known:
            whole, weight, bias = (_kernel(self.run, step, wrt) for wrt in (None, _weight, _bias))
            trace, less = (float(kernel.frobenius(exact=True).value) for kernel in (whole, bias))
            top, alone = (float(kernel.leading(1).singular_values[0]) ** 2 for kernel in (whole, weight))
            self.known[step] = trace / top, (trace - less) / alone
        return self.known[step]


def _weight(model: Any) -> Any:
    return model.weight


def _bias(model: Any) -> Any:
    return model.bias


def _kernel(run: Run, step: float, wrt: Any = None) -> Any:
    return sntk(with_bias(run.model(step)), run.task.h0, run.task.horizon, wrt=wrt)


def _first(run: Run, report: Callable[[float], None]) -> Bifurcations:
    return bifurcations(run, every=100, first=1, progress=report)


def _restricted(events: Bifurcations, fitted: bool = True, gains: bool = False) -> Restricted | None:
    if not len(events) or events[0].kind != "pitchfork":
        return None
    sweep = restrict(events[0])
    prediction = predict(sweep, gains=gains)
    return Restricted(sweep, prediction, fit(sweep, prediction=prediction) if fitted else None)


def _bias_story(run: Run, report: Callable[[float], None], reach: float = 0.05, count: int = 41) -> BiasStory:
    events = _first(run, report)
    if not len(events):
        return BiasStory(run, events)
    event, task = events[0], run.task
    modes = dominant(event.model, task.h0, task.horizon)
    v = np.asarray(modes.vectors[0], np.float64)
    weights_only = dominant(event.model, task.h0, task.horizon, wrt=_weight)
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
