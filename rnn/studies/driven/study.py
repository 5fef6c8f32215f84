"""Two networks with inputs, trained from scratch: their events, exponents, driven prediction, and the noise law."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import optax

import normalforms as nf
from normalforms.report import Meter
from rnn.dynamics import Bifurcations, Event, bifurcations, exponents
from rnn.kernel import sntk
from rnn.models import VanillaRNN
from rnn.restricted import Prediction, Sweep, predict, restrict
from rnn.studies import plan
from rnn.tasks import Task, flip_flop, sine
from rnn.training import Progress, Run, train

__all__ = ["NO_INPUT", "Driven", "Noise", "Predicted", "Trained", "driven", "steepest"]

NO_INPUT = "no input"
_PULSES = "pulses ±1 by turns"
_DESCENT, _ADAM = optax.sgd(5e-3), optax.adam(1e-3)
_DIAGNOSE = 10
_RADIUS = 0.5
_MANY = 128  # trajectories: the mean over fewer scatters by more than the law is off


@dataclass(frozen=True)
class _Plan:
    """Neurons, batch, training steps of the two networks; for what inputs the kernel and the events are asked.

    Args:
        size, batch: N and B.
        flip, wave: training steps.
        factors: on the task's pulses, for the restricted kernel, at ``count`` points.
        strengths: y of the noise law.
        cues: held ones at which the sine generator is followed.
    """

    size: int
    batch: int
    flip: int
    wave: int
    factors: tuple[float, ...]
    count: int
    strengths: tuple[float, ...]
    cues: tuple[float, ...]


_PLANS = {
    "quick": _Plan(32, 32, 200, 600, (1.0,), 9, (0.1, 1.0, 10.0), (1.0,)),
    "paper": _Plan(64, 128, 400, 1200, (0.25, 1.0, 2.0), 21, (0.1, 0.3, 1.0, 3.0, 10.0, 30.0), (-1.0, -0.5, 0.5, 1.0)),
}


@dataclass(frozen=True)
class Trained:
    """A network from training to its events.

    Attributes:
        name: of the task.
        run: its training.
        events: diagrams by the name of the input that is held, or repeats.
        steps: where exponents were measured, shape (count,).
        typical, largest: ``exp`` of the leading finite-time exponent along the task's own trajectories there, mean and
            maximum over trajectories: the factor per step by which a small difference grows.
    """

    name: str
    run: Run
    events: dict[str, Bifurcations]
    steps: np.ndarray
    typical: np.ndarray
    largest: np.ndarray


@dataclass(frozen=True)
class Predicted:
    """The restricted kernel of the driven network at inputs times ``factor``, measured and predicted."""

    factor: float
    sweep: Sweep
    prediction: Prediction


@dataclass(frozen=True)
class Noise:
    """The largest eigenvalue of the sNTK at the crossing against the noise law.

    Attributes:
        y: ``T²σ²`` of the input, dimensionless.
        measured: ``λ₁ c/(‖∇λ‖² B T²)``.
        law: ``Ψ(0, y)``.
        stable_rank: of the sNTK.
    """

    y: float
    measured: float
    law: float
    stable_rank: float


@dataclass(frozen=True)
class Driven:
    """What the study found.

    Attributes:
        flip, wave: the two networks.
        predicted: at the flip-flop's first pitchfork without input, by factor on the inputs; empty without one.
        noise: there too, by rising y.
    """

    flip: Trained
    wave: Trained
    predicted: tuple[Predicted, ...]
    noise: tuple[Noise, ...]


def steepest(steps: np.ndarray, values: np.ndarray, width: int = 3) -> tuple[float, float]:
    """Middle of the stretch of ``width`` samples over which ``ln values`` falls most, and the factor of the fall."""
    log = np.log(values)
    fall = log[width:] - log[:-width]
    k = int(np.argmin(fall))
    return float((steps[k] + steps[k + width]) / 2), float(np.exp(fall[k]))


def driven(
    preset: str = "paper",
    *,
    seed: int = 0,
    out: str | Path | None = None,
    resume: bool = False,
    progress: Meter | None = None,
) -> Driven:
    """Train a one-bit flip-flop and a sine generator and look at what their inputs do to bifurcation and kernel.

    The flip-flop has no bias, so that its network without input passes a pitchfork, and a fixed readout.

    Args:
        preset: ``"paper"`` or ``"quick"``.
        seed: of tasks and networks.
        out: folder for the records; without it nothing is written.
        resume: continue from what ``out`` holds.
        progress: shows how far it is.

    Raises:
        ValueError: unknown preset.
        RecordError: ``out`` holds other runs.
    """
    chosen, meter = plan(_PLANS, preset), progress or Meter(quiet=True)
    pulses = np.zeros((10, 1), np.float32)
    pulses[0], pulses[5] = 1, -1

    def trained(name: str, task: Task, rule: Any, steps: int, tell: Callable[[float], None]) -> Run:
        folder = None if out is None else Path(out) / f"driven-{name}"
        share = lambda state: tell(state.step / state.steps)  # noqa: E731
        return _train(task, rule, steps, folder, resume, share)

    task = _without_bias(flip_flop(seed, bits=1, size=chosen.size, batch=chosen.batch))
    run = meter.run("training (flip-flop)", lambda tell: trained("flip-flop", task, _DESCENT, chosen.flip, tell))
    flip = meter.run("events (flip-flop)", lambda tell: _looked("flip-flop", run, (), pulses, tell))
    first = _pitchfork(flip.events[NO_INPUT])
    predicted: tuple[Predicted, ...] = ()
    noise: tuple[Noise, ...] = ()
    if first is not None:
        predicted = meter.run("driven prediction", lambda tell: _predicted(first, task, chosen, tell))
        noise = meter.run("noise law", lambda tell: _noise(first, task, predicted[0].sweep, chosen.strengths, tell))
    waves = sine(seed, size=chosen.size, batch=chosen.batch, horizon=40)
    other = meter.run("training (sine)", lambda tell: trained("sine", waves, _ADAM, chosen.wave, tell))
    wave = meter.run("events (sine)", lambda tell: _looked("sine", other, chosen.cues, None, tell))
    return Driven(flip, wave, predicted, noise)


def _train(
    task: Task, rule: Any, steps: int, folder: Path | None, resume: bool, tell: Callable[[Progress], None]
) -> Run:
    options = {"save_every": 5, "diagnose_every": _DIAGNOSE, "out": folder, "resume": resume, "progress": tell}
    return train(task, rule, steps, **options)


def _without_bias(task: Task) -> Task:
    """The task for a network without bias, of spectral radius .5: the critical mode is to stand alone."""
    scale = jnp.asarray(_RADIUS / np.abs(np.linalg.eigvals(task.student.weight)).max(), jnp.float32)
    student = VanillaRNN(scale * task.student.weight, None, input_weight=task.student.input_weight)
    return Task(student, task.h0, task.targets, task.inputs, readout=task.reader)


def _looked(
    name: str, run: Run, cues: tuple[float, ...], period: np.ndarray | None, tell: Callable[[float], None]
) -> Trained:
    """Events at each input, and exponents along the task's own trajectories."""
    every = max(10, run.steps // 15)
    held = {NO_INPUT: None} | {f"cue {x:g} held": x for x in cues}
    looks = len(held) + 1 + (period is not None)
    diagrams: dict[str, Bifurcations] = {}
    for key, x in held.items():
        at = None if x is None else np.array([x], np.float32)
        diagrams[key] = bifurcations(run, x=at, periods=(1,), every=every)
        tell(len(diagrams) / looks)
    if period is not None:
        diagrams[_PULSES] = bifurcations(run, inputs=period, periods=(1,), every=every)
        tell(len(diagrams) / looks)
    steps = np.unique(np.linspace(0, run.steps, 21).astype(int)).astype(float)
    some = slice(0, 16)
    batch: Any = run.task.batch  # its inputs are there
    h0, inputs = batch.h0[some], batch.inputs[some]
    grown = np.stack([np.exp(exponents(run.model(step), h0, inputs, rounds=2).values[:, 0]) for step in steps])
    return Trained(name, run, diagrams, steps, grown.mean(axis=1), grown.max(axis=1))


def _pitchfork(events: Bifurcations) -> Event | None:
    """The first supercritical pitchfork, where the noise law holds."""
    for event in events:
        if event.kind == "pitchfork" and np.real(event.normal_form.coefficients["c3"]) < 0:
            return event
    return None


def _predicted(event: Event, task: Task, chosen: _Plan, tell: Callable[[float], None]) -> tuple[Predicted, ...]:
    found = []
    for factor in chosen.factors:
        inputs = factor * np.asarray(task.inputs)
        sweep = restrict(event, h0=task.h0, inputs=inputs, count=chosen.count)
        found.append(Predicted(factor, sweep, predict(sweep)))
        tell(len(found) / len(chosen.factors))
    return tuple(found)


def _noise(
    event: Event, task: Task, sweep: Sweep, strengths: tuple[float, ...], tell: Callable[[float], None]
) -> tuple[Noise, ...]:
    """``λ₁ ≈ ‖∇λ‖² (B/c) T² Ψ(0, y)`` at inputs of several strengths, ``y = T² c (p·U)² var(x)``."""
    form = event.normal_form
    c = -float(np.real(form.coefficients["c3"]))
    p = np.real(np.asarray(form.adjoint_eigenvector, complex))
    T = task.horizon
    # the task's first pulse always comes, which is an initial state and no noise
    pulses: Any = flip_flop(1, bits=1, size=1, batch=_MANY, horizon=T + 1).inputs  # of a task that has some
    x = np.asarray(pulses, np.float64)[:, 1:]
    h0 = jnp.zeros((_MANY, task.h0.shape[1]), task.h0.dtype)
    pushed = abs(float(p @ np.asarray(event.model.input_weight)[:, 0]))
    law = nf.amplification(nf.pitchfork()).driven(nf.White(1)).scaling()
    unit = float(np.sqrt(c) * pushed * np.std(x) * T)
    middle = int(np.argmin(np.abs(sweep.displacement)))
    gradient = float(sweep.slope[middle]) / sweep.alignment
    model = event.run.model(event.step) if event.run is not None else event.model
    found = []
    for y in strengths:
        inputs = jnp.asarray(np.sqrt(y) / unit * x, jnp.float32)
        kernel = sntk(model, h0, inputs=inputs)
        top = float(kernel.leading(1).singular_values[0]) ** 2
        rank = float(kernel.frobenius().value) / top
        scale = gradient**2 * len(x) * T**2 / c
        found.append(Noise(y, top / scale, float(law.evaluate(0.0, y)), rank))
        tell(len(found) / len(strengths))
    return tuple(found)
