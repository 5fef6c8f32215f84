"""Training as compiled scans over steps, with diagnostics between them."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import PRNGKeyArray

from rnn.kernel import check_count, diagnostics
from rnn.models import ModelPath, Rebuild, flatten, partition, with_bias
from rnn.natural_gradient import fisher_of
from rnn.tasks import Task
from rnn.training.record import FORMAT, Folder, RecordError, Run, fingerprint

__all__ = ["COLD", "COST", "DivergedError", "Progress", "begin", "recorded", "train"]

_DIAGNOSTICS = ("stable_rank", "standard_error", "singular_value")
_CHUNK, _SAVE, _DIAGNOSE, _MODES = 500, 20, 100, 2
COST = {"products": 4, "probes": 2, "tolerance": 2e-3}
"""What a diagnosis on the way spends, as options of :func:`rnn.kernel.trace.diagnostics`: the time of a few steps."""
COLD = 8
"""How often the first of them is repeated, until its modes are found."""
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


class State(NamedTuple):
    """What one step hands to the next, and what a resumed run starts from."""

    parameters: Any
    optimizer: Any
    modes: Any
    key: Any

    def model(self, task: Task) -> Any:
        return eqx.combine(self.parameters, partition(task.student)[1])


def train(
    task: Task,
    optimizer: optax.GradientTransformation | None = None,
    steps: int = 35_000,
    *,
    key: int | PRNGKeyArray = 0,
    out: str | Path | None = None,
    resume: bool = False,
    save_every: int = _SAVE,
    diagnose_every: int = _DIAGNOSE,
    modes: int = _MODES,
    chunk: int = _CHUNK,
    progress: Callable[[Progress], None] | None = None,
) -> Run:
    """Full-batch training of ``task.student``, compiled ``chunk`` steps at a time.

    Every ``diagnose_every`` steps the stable rank of the state-space NTK (of all of the cell's parameters, a
    frozen bias included) is estimated by block products that start from the last ones' subspace. With
    ``out`` each finished chunk is written to that folder; an interrupted run continues from there with
    ``resume=True`` to bit-identical numbers on the same machine and versions.

    Args:
        task: what to learn.
        optimizer: an Optax transformation; plain SGD at 5e-3 unless given.
        steps: how many steps in all.
        key: PRNG key or seed of the diagnostics' probes (training itself draws nothing).
        out: folder for the record.
        resume: continue the run in ``out``.
        save_every: steps between saved parameters.
        diagnose_every: steps between diagnostics; 0 for none.
        modes: width of the diagnostics' subspace.
        chunk: steps per compiled call; an interruption loses at most this many.
        progress: called with a :class:`Progress` after every chunk.

    Raises:
        ValueError: a count that is not a positive integer.
        RecordError: ``out`` holds another run, or is not writable.
        DivergedError: the loss became infinite or NaN.
    """
    counts = {"steps": steps, "save_every": save_every, "chunk": chunk, "modes": modes}
    steps, save_every, chunk, modes = (check_count(name, value) for name, value in counts.items())
    if not isinstance(diagnose_every, int) or diagnose_every < 0:
        raise ValueError(f"diagnose_every must be a whole number, 0 for none, got {diagnose_every!r}")
    optimizer = SGD if optimizer is None else optimizer
    began = time.perf_counter()
    state = start(task, optimizer, key, modes)
    folder = None
    chunks: list[dict[str, np.ndarray]] = []
    if out is not None:
        folder = Folder(Path(out))
        folder.begin(settings_of(task, optimizer, state, save_every, diagnose_every, chunk), resume=resume)
        chunks = list(folder.chunks())
    done = sum(len(c["loss"]) for c in chunks)
    if chunks:
        state = restore(state, chunks[-1])
    resumed = done
    spent = sum(float(c["seconds"]) for c in chunks)
    while done < steps:
        clock = time.perf_counter()
        length = min(chunk, steps - done)
        state, row = _chunk(state, task, optimizer, length, save_every, diagnose_every, done == 0)
        loss = row["loss"]
        if not np.all(np.isfinite(loss)):
            bad = done + int(np.argmin(np.isfinite(loss)))
            kept = f"; steps up to {done} are kept in {out}" if folder else ""
            raise DivergedError(f"the loss is {loss[bad - done]} at step {bad}: lower the learning rate{kept}")
        row["seconds"] = np.asarray(time.perf_counter() - clock)
        row["final"] = np.asarray(flatten(state.parameters))
        if folder is not None:
            folder.write(done, row | leaves_of(state))
        chunks.append(row)
        done += length
        spent += float(row["seconds"])
        if progress is not None:
            progress(Progress(done, steps, float(loss[-1]), time.perf_counter() - began, resumed))
    return collect(task, chunks, save_every, diagnose_every, spent)


def begin(task: Task, out: str | Path, *, key: int | PRNGKeyArray = 0, resume: bool = False) -> None:
    """Make the folder of a run of plain SGD with the default settings of :func:`train`, or check that it holds one.

    Raises:
        RecordError: it holds another run, or one while ``resume`` is false, or a damaged one, or cannot be written.
    """
    settings = settings_of(task, SGD, start(task, SGD, key, _MODES), _SAVE, _DIAGNOSE, _CHUNK)
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


def start(task: Task, optimizer: optax.GradientTransformation, key: Any = 0, modes: int = _MODES) -> State:
    """Where a run of :func:`train` begins."""
    selected = partition(task.student)[0]
    root = jax.random.key(key) if isinstance(key, int) else key
    k_modes, k_probes = jax.random.split(root)
    flat = flatten(with_bias(task.student))
    block = jax.random.normal(k_modes, (modes, flat.size), flat.dtype)
    return State(selected, optimizer.init(selected), block, jax.random.key_data(k_probes))


def _chunk(
    state: State,
    task: Task,
    optimizer: optax.GradientTransformation,
    length: int,
    save_every: int,
    diagnose_every: int,
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
                state, found = _diagnose(state, task)
        state, record = advance(state, task, optimizer, min(size, length - begin), save_every)
        for name, value in (record | found).items():
            rows.setdefault(name, []).append(value)
    return state, {name: np.concatenate([np.asarray(part) for part in parts]) for name, parts in rows.items()}


@eqx.filter_jit
def advance(
    state: State, task: Task, optimizer: optax.GradientTransformation, length: int, save_every: int
) -> tuple[State, dict[str, Any]]:
    """``length`` steps in stretches of ``save_every``, the parameters before each of them saved."""
    rest = partition(task.student)[1]
    optimize, fisher = optax.with_extra_args_support(optimizer).update, fisher_of(task)

    def step(state: State, _: None) -> tuple[State, Any]:
        loss, gradient = jax.value_and_grad(lambda p: task.loss(eqx.combine(p, rest)))(state.parameters)
        update, opt_state = optimize(gradient, state.optimizer, state.parameters, value=loss, fisher=fisher)
        moved = optax.apply_updates(state.parameters, update)
        return state._replace(parameters=moved, optimizer=opt_state), loss

    def stretch(state: State, count: int) -> tuple[State, dict[str, Any]]:
        saved = flatten(state.parameters)
        state, loss = jax.lax.scan(step, state, length=count)
        return state, {"loss": loss, "saved": saved[None]}

    times, rest_steps = divmod(length, save_every)
    records = []
    if times:
        state, stacked = jax.lax.scan(lambda s, _: stretch(s, save_every), state, length=times)
        records.append(jax.tree.map(lambda a: a.reshape(-1, *a.shape[2:]), stacked))
    if rest_steps:
        state, last = stretch(state, rest_steps)
        records.append(last)
    return state, jax.tree.map(lambda *parts: jnp.concatenate(parts), *records)


@eqx.filter_jit
def _diagnose(state: State, task: Task) -> tuple[State, dict[str, Any]]:
    key, draw = jax.random.split(jax.random.wrap_key_data(state.key))
    model = with_bias(state.model(task))
    found = diagnostics(model, task.h0, task.horizon, state.modes, draw, **COST)
    values = {name: getattr(found, name)[None] for name in _DIAGNOSTICS}
    return state._replace(modes=found.start, key=jax.random.key_data(key)), values


def leaves_of(state: State) -> dict[str, np.ndarray]:
    """What :func:`restore` takes from a chunk."""
    return {f"state-{k}": np.asarray(leaf) for k, leaf in enumerate(jax.tree.leaves(state))}


def restore(like: State, chunk: dict[str, np.ndarray]) -> State:
    """The state after a chunk."""
    leaves, treedef = jax.tree.flatten(like)
    return jax.tree.unflatten(treedef, [jnp.asarray(chunk[f"state-{k}"]) for k in range(len(leaves))])


def settings_of(
    task: Task,
    optimizer: optax.GradientTransformation,
    state: State,
    save_every: int,
    diagnose_every: int,
    chunk: int,
) -> dict[str, Any]:
    """What must agree to continue a run; the optimizer is known by what it does to a first gradient."""
    selected = partition(task.student)[0]
    ones, update = jax.tree.map(jnp.ones_like, selected), optax.with_extra_args_support(optimizer).update
    probe, _ = update(ones, state.optimizer, selected, value=jnp.ones(()), fisher=fisher_of(task))
    return {
        "format": FORMAT,
        "jax": jax.__version__,
        "identity": fingerprint(task.student, task.h0, task.targets, probe, state.modes, state.key),
        "save_every": save_every,
        "diagnose_every": diagnose_every,
        "chunk": chunk,
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
    for start, length in zip(starts, lengths, strict=True):
        for block in range(0, length, diagnose_every or length):
            diagnosed_at.append(start + block)
            end = min(block + (diagnose_every or length), length)
            saved_at.extend(range(start + block, start + end, save_every))
    rows = [*(row for c in chunks for row in c["saved"]), chunks[-1]["final"]]
    path = ModelPath(np.asarray([*saved_at, sum(lengths)], float), np.stack(rows), Rebuild(task.student))
    names = _DIAGNOSTICS if diagnose_every else ()
    found = {name: np.concatenate([c[name] for c in chunks]) for name in names}
    if diagnose_every:
        found["step"] = np.asarray(diagnosed_at)
    return Run(task, path, np.concatenate([c["loss"] for c in chunks]), found, seconds)
