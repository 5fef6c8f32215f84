"""Learning two unstable modes: when the student's first and second multiplier pass one, over seeds and settings.

The first mode draws the kernel to itself as it becomes critical, and the second has to wait: Hazelden & Shea-Brown
(arXiv:2605.12763, appendix C) speak of two orders of magnitude. The ratio is a matter of the setting.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import optax

from normalforms.report import Meter, Report
from rnn.models import VanillaRNN, trajectory
from rnn.natural_gradient import low_rank_natural_gradient
from rnn.studies import plan
from rnn.tasks import Task
from rnn.training import DivergedError, Run, train_all, train_while_finite

__all__ = ["Crossings", "TwoModes", "two_mode_task", "two_modes"]

_SGD, _FAST = optax.sgd(5e-2), low_rank_natural_gradient(mode="fast")
_CHUNK = 250


@dataclass(frozen=True)
class _Plan:
    """How many seeds, and how many steps of SGD and of natural gradient."""

    seeds: int
    descent: int
    natural: int


_PLANS = {"quick": _Plan(2, 3_000, 60), "paper": _Plan(5, 12_000, 60)}
SETTINGS = tuple((second, gain) for second in (1.1, 1.3) for gain in (0.5, 0.95))


@dataclass(frozen=True)
class Crossings:
    """One run: the two leading moduli of the student's multipliers, and when they pass 1.

    Attributes:
        second, gain, seed: teacher's second multiplier, student's initial spectral radius, seed.
        natural: by natural gradient in fast mode; otherwise by gradient descent at 5e-2.
        step: of the samples, shape (count,).
        moduli: at the origin, largest first, shape (count, 2).
        loss: of every step.
    """

    second: float
    gain: float
    seed: int
    natural: bool
    step: np.ndarray
    moduli: np.ndarray
    loss: np.ndarray

    def crossing(self, mode: int) -> float:
        """Step at which the ``mode``-th modulus (0 or 1) is first at least 1; infinite if that is not seen."""
        beyond = self.moduli[:, mode] >= 1
        return float(self.step[np.argmax(beyond)]) if beyond.any() else float("inf")

    @property
    def ratio(self) -> float:
        """Second crossing over first; a lower bound where the second is not :attr:`seen`, NaN without a first."""
        first, second = self.crossing(0), self.crossing(1)
        if not np.isfinite(first):
            return float("nan")
        return min(second, float(self.step[-1])) / max(first, 1.0)

    @property
    def seen(self) -> bool:
        """Whether both crossings fell within the run."""
        return bool(np.isfinite(self.crossing(1)))


@dataclass(frozen=True)
class TwoModes:
    """All runs of the study.

    Attributes:
        runs: seeds within settings, gradient descent before natural gradient.
        first_mode: the teacher's first multiplier.
    """

    runs: tuple[Crossings, ...]
    first_mode: float = 1.5

    def ratios(self, *, natural: bool = False) -> list[float]:
        """Of the runs in order, lower bounds among them."""
        return [run.ratio for run in self.runs if run.natural is natural]


def two_mode_task(
    seed: int, second: float, gain: float, *, first: float = 1.5, size: int = 32, batch: int = 64, horizon: int = 25
) -> Task:
    """A teacher with two unstable modes, ``W = Q diag(first, second) Qᵀ``, its whole state read out.

    Args:
        seed: of the student, of the orthonormal Q (size, 2) and of the initial states, ``N(0, I)``.
        second, first: the teacher's multipliers at the origin.
        gain: spectral radius of the student's initial weights.
        size, batch, horizon: N, B and T.

    Raises:
        ValueError: ``size`` is less than 2.
    """
    if size < 2:
        raise ValueError(f"size must be at least 2 for two modes, got {size!r}")
    rng = np.random.default_rng(seed)
    weight = rng.normal(size=(size, size))
    weight *= gain / np.max(np.abs(np.linalg.eigvals(weight)))
    q = np.linalg.qr(rng.normal(size=(size, 2)))[0]
    teacher = VanillaRNN(jnp.asarray(q @ np.diag([first, second]) @ q.T, jnp.float32))
    h0 = jnp.asarray(rng.normal(size=(batch, size)), jnp.float32)
    return Task(VanillaRNN(jnp.asarray(weight, jnp.float32)), h0, trajectory(teacher, h0, horizon), teacher=teacher)


def two_modes(
    preset: str = "paper",
    *,
    seed: int = 0,
    out: str | Path | None = None,
    resume: bool = False,
    steps: int | None = None,
    devices: Sequence[Any] | None = None,
    progress: Meter | None = None,
) -> TwoModes:
    """Train students on teachers with two unstable modes, by gradient descent and by natural gradient.

    Args:
        preset: ``"paper"`` (5 seeds, 12,000 steps of descent) or ``"quick"`` (2 and 3,000).
        seed: the first of the seeds.
        out: folder for the training records; without it nothing is written.
        resume: continue from what ``out`` holds.
        steps: steps of descent, in place of the preset's.
        devices: share the students of all seeds and settings among these; one after the other unless given.
        progress: shows how far it is.

    Raises:
        ValueError: unknown preset.
        RecordError: ``out`` holds other runs.
        DivergedError: a run diverged at once; one that does so later counts with its steps until then.
    """
    chosen = plan(_PLANS, preset)
    long, short = steps or chosen.descent, chosen.natural
    plans = [
        (second, gain, seed + k, natural)
        for second, gain in SETTINGS
        for k in range(chosen.seeds)
        for natural in (False, True)
    ]
    meter = progress or Meter(quiet=True)
    tasks = [two_mode_task(number, second, gain) for second, gain, number, _ in plans]
    runs: dict[int, Run] = {}

    def options(natural: bool) -> dict[str, Any]:
        course = {"optimizer": _FAST, "steps": min(long, short)} if natural else {"optimizer": _SGD, "steps": long}
        return course | {"save_every": 1 if natural else 10, "chunk": _CHUNK}

    def one_by_one(report: Report, which: Sequence[int], resume: bool) -> None:
        for count, k in enumerate(which, 1):
            course = options(plans[k][3]) | {"diagnose_every": 0, "resume": resume}
            runs[k] = train_while_finite(tasks[k], out=folders[k], **course)
            report(count / len(which))

    def together(report: Report, natural: bool) -> None:
        which = [k for k, plan in enumerate(plans) if plan[3] is natural]
        try:
            found = train_all(
                [tasks[k] for k in which],
                devices=devices,
                out=[folders[k] for k in which],
                progress=lambda p: report(p.step / p.steps, p.remaining),
                resume=resume,
                **options(natural),
            )
            runs.update(zip(which, found, strict=True))
        except DivergedError:  # of one: the others go on alone
            one_by_one(report, which, True)

    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()) if out is None else out)
        folders = [folder / _name(*plan) for plan in plans]
        if devices is None:
            meter.run("two modes", lambda report: one_by_one(report, range(len(plans)), resume))
        else:
            for natural, stage in ((False, "two modes, descent"), (True, "two modes, natural")):
                meter.run(stage, lambda report, natural=natural: together(report, natural))
    return TwoModes(tuple(_crossings(runs[k], *plan) for k, plan in enumerate(plans)))


def _name(second: float, gain: float, seed: int, natural: bool) -> str:
    return f"{second:g}-{gain:g}-{seed}-{'natural' if natural else 'descent'}"


def _crossings(run: Run, second: float, gain: float, seed: int, natural: bool) -> Crossings:
    weights: Any = run.path.parameters.astype(np.float64).reshape(len(run.path), *run.task.student.weight.shape)
    moduli = -np.sort(-np.abs(np.linalg.eigvals(weights)), axis=1)[:, :2]
    return Crossings(second, gain, seed, natural, run.path.steps, moduli, run.loss)
