"""Forecasts of the first crossing from several places of several trainings, and what descent does at a bifurcation."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

import normalforms as nf
from normalforms.report import Report
from rnn.forecasting import Forecast, forecast, passage
from rnn.studies import Settings, plan
from rnn.tasks import student_teacher
from rnn.training import Run, train

__all__ = ["FROM", "METHODS", "Forecasts", "Row", "Training", "extrapolated", "forecasts"]

FROM = (0.0, 0.6, 0.7, 0.8, 0.9)
"""Critical multipliers from which forecasts are made; 0 stands for the first step."""
METHODS = ("linear", "quadratic", "law", "twin", "flow")
_SAVE = 5


@dataclass(frozen=True)
class _Plan:
    """How many seeds, how long each is trained, and how fine the phase diagram is."""

    seeds: int
    steps: int
    cells: int


_PLANS = {"quick": _Plan(1, 800, 10), "paper": _Plan(3, 1900, 20)}


@dataclass(frozen=True)
class Row:
    """One forecast, or extrapolation, of one crossing.

    Attributes:
        seed: of the training.
        multiplier: critical one at the place of the forecast.
        method: one of :data:`METHODS`.
        to_go: steps that the training really took from there.
        miss: forecast less truth, in steps; ``nan`` where none was made.
        bar: the forecast's own error bar; ``nan`` for extrapolations.
        status: as of :class:`rnn.Forecast`; empty for extrapolations.
        gradients, seconds: what it cost.
    """

    seed: int
    multiplier: float
    method: str
    to_go: float
    miss: float
    bar: float = float("nan")
    status: str = ""
    gradients: int = 0
    seconds: float = 0.0

    @property
    def share(self) -> float:
        """``miss`` over the steps to go."""
        return self.miss / self.to_go


@dataclass(frozen=True)
class Training:
    """One training: its run, the critical multiplier along it, and the step of the crossing."""

    seed: int
    run: Run
    steps: np.ndarray
    moduli: np.ndarray
    crossing: float


@dataclass(frozen=True)
class Forecasts:
    """What the study found.

    Attributes:
        trainings: one for each seed.
        rows: forecasts of all of them.
        fan: by place of the first training, the flow's forecast.
        twin: of the first training, from λ = .7 on, past the crossing.
        diagram: regimes of descent of a pitchfork at T = 50, from the map.
        limit: the same from the scaling limit.
        rates, teachers: its axes, scaled.
    """

    trainings: tuple[Training, ...]
    rows: tuple[Row, ...]
    fan: tuple[Forecast, ...]
    twin: Forecast | None
    diagram: np.ndarray
    limit: np.ndarray
    rates: np.ndarray
    teachers: np.ndarray


def extrapolated(steps: np.ndarray, moduli: np.ndarray, at: int, degree: int) -> float:
    """Where the parabola (line) through the last three (two) samples, 10 apart, reaches 1; ``nan`` where it does not.

    Args:
        steps, moduli: samples.
        at: index of the last that is known.
        degree: 1 or 2.
    """
    stride = max(1, round(10 / (steps[1] - steps[0])))
    known = [at - k * stride for k in range(degree, -1, -1)]
    if known[0] < 0:
        return float("nan")
    fit = np.polynomial.Polynomial.fit(steps[known], moduli[known], degree)
    roots = (fit - 1).roots()
    ahead = roots[(np.abs(roots.imag) < 1e-9) & (roots.real >= steps[at])].real
    return float(np.min(ahead)) if len(ahead) else float("nan")


def forecasts(preset: str, seed: int, out: Path | None, resume: bool, progress: Report | None = None) -> Forecasts:
    """Train, forecast from several places, and compare.

    Args:
        preset: ``"paper"`` (3 seeds) or ``"quick"`` (1).
        seed: the first of them.
        out: folder for the records; without it nothing is written.
        resume: continue from what ``out`` holds.
        progress: told the share done.
    """
    chosen = plan(_PLANS, preset)
    trainings, rows, fan, twin = [], [], [], None
    for k in range(chosen.seeds):
        place = None if out is None else out / f"forecast-{seed + k}"
        training = _train(seed + k, chosen.steps, place, resume)
        trainings.append(training)
        found = _compare(training)
        rows += [row for row, _ in found]
        if k == 0:
            fan = [view for row, view in found if row.method == "flow" and view is not None]
            twin = _twin_past(training)
        if progress is not None:
            progress((k + 1) / (chosen.seeds + 1))
    rates, teachers = np.geomspace(1, 60, chosen.cells), np.linspace(0.5, 8, chosen.cells)
    T, y = 50, 0.1
    study = nf.learning(nf.pitchfork(), teacher=1.1, initial=np.sqrt(y / T), horizon=T)
    real = study.diagram(rates / T, 1 + teachers / T, steps=600).regime
    limit = study.scaling().diagram(rates, teachers, y, steps=600).regime
    return Forecasts(tuple(trainings), tuple(rows), tuple(fan), twin, real, limit, rates, teachers)


def _train(seed: int, steps: int, out: Path | None, resume: bool) -> Training:
    task = student_teacher(seed)
    run = train(task, steps=steps, diagnose_every=0, save_every=_SAVE, key=seed, out=out, resume=resume)
    size = task.h0.shape[1]
    weights = run.path.parameters.reshape(-1, size, size).astype(float)
    moduli = np.array([np.abs(np.linalg.eigvals(w)).max() for w in weights])
    return Training(seed, run, run.path.steps, moduli, passage(run.path.steps, moduli))


def _compare(training: Training) -> list[tuple[Row, Forecast | None]]:
    found: list[tuple[Row, Forecast | None]] = []
    if not np.isfinite(training.crossing):
        return found
    for level in FROM:
        k = 0 if level == 0 else int(np.argmax(training.moduli > level))
        at, to_go = int(training.steps[k]), float(training.crossing - training.steps[k])
        if to_go <= 0:
            continue
        for degree, name in ((1, "linear"), (2, "quadratic")):
            date = extrapolated(training.steps, training.moduli, k, degree)
            found.append((Row(training.seed, float(training.moduli[k]), name, to_go, date - training.crossing), None))
        for method in METHODS[2:]:
            view = forecast(training.run, at=at, method=method)
            miss = view.crossing - training.crossing
            row = Row(training.seed, float(training.moduli[k]), method, to_go, miss, view.error, view.status)
            row = Row(**vars(row) | {"gradients": view.cost.gradients, "seconds": view.cost.seconds})
            found.append((row, view))
    return found


def _twin_past(training: Training) -> Forecast | None:
    if not np.isfinite(training.crossing):
        return None
    at = int(training.steps[int(np.argmax(training.moduli > 0.7))])
    after = max(1, int(training.run.steps - training.crossing))
    return forecast(training.run, at=at, method="twin", after=after)


def run(settings: Settings) -> Forecasts:
    """The study as the registry asks for it."""
    return settings.meter.run(
        "forecasts",
        lambda progress: forecasts(settings.preset, settings.seed, settings.out, settings.resume, progress),
    )
