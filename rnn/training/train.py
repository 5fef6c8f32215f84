"""Training runs: compiled scans with diagnostics between them, recorded chunk by chunk."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np
import optax
from jaxtyping import PRNGKeyArray

from rnn.kernel import check_count
from rnn.models import ModelPath, Rebuild, flatten
from rnn.tasks import Task
from rnn.training.record import FORMAT, Folder, RecordError, Run
from rnn.training.steps import (
    COLD,
    DIAGNOSTICS,
    State,
    advance,
    diagnose,
    flat_parameters,
    identity,
    leaves_of,
    readout_of,
    restore,
    start,
)

__all__ = ["DivergedError", "Progress", "begin", "recorded", "train", "train_while_finite"]

_CHUNK, _SAVE, _DIAGNOSE, _MODES = 500, 20, 100, 2
SGD = optax.sgd(5e-3)  # one object, so that every run with it shares the compiled step


class DivergedError(FloatingPointError):
    """The loss stopped being a finite number; the message says at which step."""


@dataclass(frozen=True)
class Progress:
    """Where a training run stands, handed to ``progress`` after every chunk.

    Args:
        step: steps done.
        steps: steps asked for.
        loss: the last step's loss.
        seconds: wall time since this call began.
        resumed: the step at which this call took up an earlier run; zero for a new one.
    """

    step: int
    steps: int
    loss: float
    seconds: float
    resumed: int

    @property
    def remaining(self) -> float:
        """Estimated seconds to the end."""
        done = self.step - self.resumed
        return self.seconds / done * (self.steps - self.step) if done else float("inf")


def train(
    task: Task,
    optimizer: optax.GradientTransformation | None = None,
    steps: int = 35_000,
    *,
    batch_size: int | None = None,
    key: int | PRNGKeyArray = 0,
    out: str | Path | None = None,
    resume: bool = False,
    save_every: int = _SAVE,
    diagnose_every: int = _DIAGNOSE,
    modes: int = _MODES,
    chunk: int = _CHUNK,
    progress: Callable[[Progress], None] | None = None,
) -> Run:
    """Training of ``task.student``, and of the readout where the task says so, compiled ``chunk`` steps at a time.

    Every ``diagnose_every`` steps the stable rank of the state-space NTK (of all of the cell's parameters, a
    frozen bias included) is estimated by block products that start from the last ones' subspace. With
    ``out`` each finished chunk is written to that folder; an interrupted run continues from there with
    ``resume=True`` to bit-identical numbers on the same machine and versions.

    Args:
        task: what to learn.
        optimizer: an Optax transformation; plain SGD at 5e-3 unless given.
        steps: how many steps in all.
        batch_size: trajectories of a step: fresh ones where the task has a sampler, else the next of the task's own in
            an order that every epoch shuffles anew; all of the task's own unless given.
        key: PRNG key or seed of the diagnostics' probes and of the minibatches.
        out: folder for the record.
        resume: continue the run in ``out``.
        save_every: steps between saved parameters.
        diagnose_every: steps between diagnostics; 0 for none.
        modes: width of the diagnostics' subspace.
        chunk: steps per compiled call; an interruption loses at most this many.
        progress: called with a :class:`Progress` after every chunk.

    Raises:
        ValueError: a count that is not a positive integer, or a ``batch_size`` that the task cannot fill.
        RecordError: ``out`` holds another run, or more steps than asked for, or is in use or not writable.
        DivergedError: loss and parameters became infinite or NaN, and the optimizer did not take the step back.
    """
    counts = {"steps": steps, "save_every": save_every, "chunk": chunk, "modes": modes}
    steps, save_every, chunk, modes = (check_count(name, value) for name, value in counts.items())
    if not isinstance(diagnose_every, int) or diagnose_every < 0:
        raise ValueError(f"diagnose_every must be a whole number, 0 for none, got {diagnose_every!r}")
    _check_batch(task, batch_size)
    optimizer = SGD if optimizer is None else optimizer
    state = start(task, optimizer, key, modes)
    folder = None if out is None else Folder(Path(out))
    if folder is not None:
        folder.begin(settings_of(task, optimizer, state, save_every, diagnose_every, chunk, batch_size), resume=resume)
    with nullcontext() if folder is None else folder.locked():
        began = time.perf_counter()
        chunks = [] if folder is None else list(folder.chunks())
        resumed = done = recorded_steps(folder, chunks, steps)
        state = restore(state, chunks[-1]) if chunks else state
        spent = sum(float(c["seconds"]) for c in chunks)
        while done < steps:
            clock = time.perf_counter()
            length = min(chunk, steps - done)
            state, row = _chunk(state, task, optimizer, length, save_every, diagnose_every, batch_size, done == 0)
            loss, row["final"] = row["loss"], np.asarray(flat_parameters(state.parameters))
            if lost(loss, row["final"]):
                bad = done + int(np.argmin(np.isfinite(loss)))
                kept = f"; steps up to {done} are kept in {out}" if folder else ""
                raise DivergedError(f"the loss is {loss[bad - done]} at step {bad}: lower the learning rate{kept}")
            row["seconds"] = np.asarray(time.perf_counter() - clock)
            if folder is not None:
                folder.write(done, row | leaves_of(state))
            chunks.append(row)
            done += length
            spent += float(row["seconds"])
            if progress is not None:
                progress(Progress(done, steps, float(loss[-1]), time.perf_counter() - began, resumed))
    return collect(task, chunks, save_every, diagnose_every, spent)


def train_while_finite(
    task: Task, optimizer: optax.GradientTransformation, steps: int, *, out: str | Path, **options: Any
) -> Run:
    """:func:`train` with a record in ``out``; of a run that diverges, the steps before its last chunk.

    Raises:
        DivergedError: it diverged in its first chunk.
    """
    try:
        return train(task, optimizer, steps, out=out, **options)
    except DivergedError:
        if not any(Folder(Path(out)).chunks()):
            raise
        return recorded(task, out)


def lost(loss: np.ndarray, final: np.ndarray) -> bool:
    """Whether training cannot go on: the parameters are not finite, or no loss of the chunk is.

    A step whose loss is not finite may be a trial that the optimizer takes back.
    """
    return not np.all(np.isfinite(final)) or not np.any(np.isfinite(loss))


def _check_batch(task: Task, batch_size: int | None) -> None:
    if batch_size is None:
        return
    check_count("batch_size", batch_size)
    if task.sample is None and batch_size > task.h0.shape[0]:
        raise ValueError(
            f"batch_size {batch_size} exceeds the task's {task.h0.shape[0]} trajectories; lower it, or give the task a "
            "sampler"
        )


def recorded_steps(folder: Folder | None, chunks: list[dict[str, np.ndarray]], steps: int) -> int:
    """How many steps chunks hold.

    Raises:
        RecordError: more than are asked for.
    """
    done = sum(len(c["loss"]) for c in chunks)
    if done > steps and folder is not None:
        raise RecordError(
            f"{folder.out} already holds {done} steps, more than steps={steps}; ask for at least {done}, or choose "
            "another folder"
        )
    return done


def begin(task: Task, out: str | Path, *, key: int | PRNGKeyArray = 0, resume: bool = False) -> None:
    """Make the folder of a run of plain SGD with the default settings of :func:`train`, or check that it holds one.

    Raises:
        RecordError: it holds another run, or one while ``resume`` is false, or a damaged one, or cannot be written.
    """
    settings = settings_of(task, SGD, start(task, SGD, key, _MODES), _SAVE, _DIAGNOSE, _CHUNK, None)
    folder = Folder(Path(out))
    folder.begin(settings, resume=resume)
    for _ in folder.chunks():  # damage is found now, not when another process comes to it
        pass


def recorded(task: Task, out: str | Path) -> Run:
    """The run of ``task`` in a folder as far as it is written, while it is being trained too.

    Raises:
        RecordError: there is no run, or a part of it is damaged.
    """
    folder = Folder(Path(out))
    settings, chunks = folder.settings(), list(folder.chunks())
    if not chunks:
        raise RecordError(f"{out} holds no training step yet")
    spent = sum(float(c["seconds"]) for c in chunks)
    return collect(task, chunks, settings["save_every"], settings["diagnose_every"], spent)


def _chunk(
    state: State,
    task: Task,
    optimizer: optax.GradientTransformation,
    length: int,
    save_every: int,
    diagnose_every: int,
    batch_size: int | None,
    first: bool,
) -> tuple[State, dict[str, np.ndarray]]:
    """``length`` steps in blocks of ``diagnose_every``: diagnostics, then one compiled scan.

    The two are compiled apart, as diagnostics take far longer to compile and are the same for every cell.
    """
    size = diagnose_every or length
    rows: dict[str, list[Any]] = {}
    for begin in range(0, length, size):
        found: dict[str, Any] = {}
        if diagnose_every:
            for _ in range(COLD if first and begin == 0 else 1):
                state, found = diagnose(state, task)
        state, record = advance(state, task, optimizer, min(size, length - begin), save_every, batch_size)
        for name, value in (record | found).items():
            rows.setdefault(name, []).append(value)
    return state, {name: np.concatenate([np.asarray(part) for part in parts]) for name, parts in rows.items()}


def settings_of(
    task: Task,
    optimizer: optax.GradientTransformation,
    state: State,
    save_every: int,
    diagnose_every: int,
    chunk: int,
    batch_size: int | None,
) -> dict[str, Any]:
    """What must agree to continue a run."""
    return {
        "format": FORMAT,
        "jax": jax.__version__,
        "identity": identity(task, optimizer, state, batch_size),
        "save_every": save_every,
        "diagnose_every": diagnose_every,
        "chunk": chunk,
        "batch_size": batch_size,
    }


def collect(
    task: Task,
    chunks: list[dict[str, np.ndarray]],
    save_every: int,
    diagnose_every: int,
    seconds: float,
) -> Run:
    """The run that chunks make: ``loss``, ``saved``, ``final`` and diagnostics of each, in order."""
    lengths = [len(c["loss"]) for c in chunks]
    starts = np.concatenate([[0], np.cumsum(lengths)[:-1]]).astype(int)
    saved_at, diagnosed_at = [], []
    for first, length in zip(starts, lengths, strict=True):
        for block in range(0, length, diagnose_every or length):
            diagnosed_at.append(first + block)
            end = min(block + (diagnose_every or length), length)
            saved_at.extend(range(first + block, first + end, save_every))
    rows = [*(row for c in chunks for row in c["saved"]), chunks[-1]["final"]]
    table, size = np.stack(rows), flatten(task.student).size
    at = np.asarray([*saved_at, sum(lengths)], float)
    path = ModelPath(at, table[:, :size], Rebuild(task.student))
    readouts = ModelPath(at, table[:, size:], lambda flat: readout_of(task, flat)) if task.train_readout else None
    names = DIAGNOSTICS if diagnose_every else ()
    found = {name: np.concatenate([c[name] for c in chunks]) for name in names}
    if diagnose_every:
        found["step"] = np.asarray(diagnosed_at)
    return Run(task, path, np.concatenate([c["loss"] for c in chunks]), found, seconds, readouts)
