"""Natural gradient beside what a user would pick, on the student–teacher task with a trained bias, as data.

The bias is trained because that is where gradient descent at 5e-3 jumps; with the bias frozen it seldom does.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax

from normalforms.report import Meter, Report
from rnn.kernel import check_count
from rnn.models import partition
from rnn.natural_gradient import fisher_of, low_rank_natural_gradient
from rnn.studies import plan
from rnn.studies.descents.optimizers import OPTIMIZERS, PAIR
from rnn.tasks import Task, student_teacher
from rnn.training import Folder, RecordError, train_while_finite

__all__ = ["Descent", "Descents", "descents"]

_CHUNK, _ROUNDS, _WAY = 250, 5, 15.0
_RATES = (5e-3, 1e-2, 2e-2, 5e-2, 1e-1)


@dataclass(frozen=True)
class _Plan:
    """How many seeds, and how many steps of SGD and of smooth mode."""

    seeds: int
    steps: int


_PLANS = {"quick": _Plan(1, 2_000), "paper": _Plan(5, 35_000)}


@dataclass(frozen=True)
class Descent:
    """One optimizer's run.

    Attributes:
        name: of the optimizer.
        loss: before each step, shape (steps,).
        seconds: wall time of one step, the median over stretches of them.
    """

    name: str
    loss: np.ndarray
    seconds: float

    @property
    def variation(self) -> float:
        """``Σ max(0, log L_{t+1} − log L_t)``."""
        return float(np.maximum(np.diff(np.log(self.loss)), 0).sum())

    def arrival(self, goal: float) -> float:
        """The first step whose loss is at most ``goal``; infinite if there is none."""
        hit = np.flatnonzero(self.loss <= goal)
        return float(hit[0]) if len(hit) else float("inf")


@dataclass(frozen=True)
class Descents:
    """The runs side by side.

    Attributes:
        seeds: for each seed its runs by optimizer.
        rates: learning rates at which SGD and smooth mode were held against each other.
        variation: theirs, the largest over the seeds, shape (2, rates), SGD's first, over as many steps as make
            rate × steps 15.
    """

    seeds: tuple[dict[str, Descent], ...]
    rates: np.ndarray
    variation: np.ndarray

    @property
    def runs(self) -> dict[str, Descent]:
        """Those of the first seed."""
        return self.seeds[0]

    def of(self, name: str) -> list[Descent]:
        """One optimizer's runs."""
        return [runs[name] for runs in self.seeds]

    @property
    def overhead(self) -> float:
        """Time of a smooth step over that of a step of SGD, less one; median over the seeds."""
        return float(np.median([runs["smooth"].seconds / runs["SGD"].seconds for runs in self.seeds])) - 1

    def stable(self, which: int, bound: float = 0.01) -> float:
        """The largest of the rates up to which every variation is at most ``bound``; zero if none is."""
        calm = np.cumprod(self.variation[which] <= bound)
        return float(self.rates[int(calm.sum()) - 1]) if calm.any() else 0.0


def descents(
    preset: str = "paper",
    *,
    seed: int = 0,
    out: str | Path | None = None,
    resume: bool = False,
    seeds: int | None = None,
    steps: int | None = None,
    others: Sequence[str] | None = None,
    rates: Sequence[float] = _RATES,
    progress: Meter | None = None,
) -> Descents:
    """Train the same students by each optimizer.

    Args:
        preset: ``"paper"`` (five seeds, 35,000 steps of SGD and of smooth mode) or ``"quick"`` (one, 2,000).
        seed: of the first networks and initial states.
        out: folder for the training records; without it nothing is written.
        resume: continue from what ``out`` holds.
        seeds: how many, from ``seed`` on, in place of the preset's.
        steps: in place of the preset's.
        others: optimizers beside SGD and smooth mode, of those in :data:`OPTIMIZERS`; all of them unless given.
        rates: learning rates at which SGD and smooth mode are held against each other; may be empty.
        progress: shows how far it is.

    Raises:
        ValueError: unknown preset or optimizer, or no seeds.
        RecordError: ``out`` holds other runs.
        DivergedError: an optimizer diverged at once; one that does so later counts with its steps until then.
    """
    chosen = plan(_PLANS, preset)
    others = [name for name in OPTIMIZERS if name not in PAIR] if others is None else others
    if unknown := set(others) - set(OPTIMIZERS):
        raise ValueError(f"others must be of {', '.join(OPTIMIZERS)}, got {', '.join(sorted(unknown))}")
    many = chosen.seeds if seeds is None else check_count("seeds", seeds)
    count = steps or chosen.steps
    meter = progress or Meter(quiet=True)
    found, varied = [], []
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()) if out is None else out)
        if not resume and any(folder.glob("*/*/run.json")):
            raise RecordError(f"{folder} already holds runs; pass resume=True, or choose another folder")

        def work(report: Report) -> None:
            for k in range(many):
                task, where = student_teacher(seed + k, bias="trained"), folder / f"seed{seed + k}"
                runs = _side_by_side(task, count, others, where, lambda share, k=k: report((k + share) / many))
                found.append(runs)
                varied.append([[_calm(task, natural, r, min(_WAY / r, count)) for r in rates] for natural in (0, 1)])

        meter.run("descents", work)
    return Descents(tuple(found), np.asarray(rates, float), np.max(np.asarray(varied, float), axis=0))


def _side_by_side(
    task: Task, count: int, others: Sequence[str], folder: Path, tell: Callable[[float], None]
) -> dict[str, Descent]:
    """SGD and smooth mode in turn, so that both see the same machine, then the others."""
    runs = {}
    for stop in sorted({min(-(-k * count // _ROUNDS // _CHUNK) * _CHUNK, count) for k in range(1, _ROUNDS + 1)}):
        for name in PAIR:
            runs[name] = _train(task, name, stop, folder)
        tell(0.8 * stop / count)
    runs |= {name: _train(task, name, min(count, OPTIMIZERS[name].most), folder) for name in others}
    tell(0.95)
    return runs


def _train(task: Task, name: str, steps: int, folder: Path) -> Descent:
    out = folder / name
    options = {"save_every": 100, "diagnose_every": 0, "chunk": _CHUNK}
    train_while_finite(task, OPTIMIZERS[name].transformation, steps, out=out, resume=True, **options)
    chunks = list(Folder(out).chunks())
    loss = np.concatenate([c["loss"] for c in chunks])
    paces = [float(c["seconds"]) / len(c["loss"]) for c in chunks]
    return Descent(name, loss, float(np.median(paces[1:] or paces)))  # the first stretch is compiled


def _calm(task: Task, natural: int, rate: float, steps: float) -> float:
    """Positive variation over ``steps`` at ``rate``; infinite where the loss is no number."""
    start = partition(task.student)[0]
    carry = start, _build(natural, rate).init(start)
    losses = []
    while sum(map(len, losses)) < steps:
        carry, loss = _stretch(carry, task, natural, jnp.asarray(rate, jnp.float32))
        losses.append(np.asarray(loss))
    loss = np.concatenate(losses)
    return Descent("", loss, 0.0).variation if np.all(np.isfinite(loss)) else float("inf")


def _build(natural: int, rate: Any) -> optax.GradientTransformationExtraArgs:
    return optax.with_extra_args_support(low_rank_natural_gradient(rate) if natural else optax.sgd(rate))


@partial(jax.jit, static_argnums=2)
def _stretch(carry: Any, task: Task, natural: int, rate: Any) -> tuple[Any, Any]:
    """150 steps, compiled for every rate at once."""
    rest, fisher, optimizer = partition(task.student)[1], fisher_of(task), _build(natural, rate)

    def step(carry: Any, _: None) -> tuple[Any, Any]:
        parameters, state = carry
        loss, gradient = jax.value_and_grad(lambda p: task.loss(eqx.combine(p, rest)))(parameters)
        update, state = optimizer.update(gradient, state, parameters, value=loss, fisher=fisher)
        return (optax.apply_updates(parameters, update), state), loss

    return jax.lax.scan(step, carry, length=150)
