"""Students of several seeds trained at once, each device with its share of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from rnn.kernel import batch_mesh, check_count
from rnn.tasks import Task
from rnn.training.record import Folder, RecordError, Run
from rnn.training.steps import State, advance, flat_parameters, leaves_of, restore, start
from rnn.training.train import SGD, DivergedError, Progress, collect, lost, recorded_steps, settings_of

__all__ = ["train_all"]


def train_all(
    tasks: Sequence[Task],
    optimizer: optax.GradientTransformation | None = None,
    steps: int = 35_000,
    *,
    devices: Sequence[Any] | None = None,
    out: Sequence[str | Path] | None = None,
    resume: bool = False,
    save_every: int = 20,
    chunk: int = 500,
    progress: Callable[[Progress], None] | None = None,
) -> tuple[Run, ...]:
    """Full-batch training of several students at once, such as those of several seeds, by one compiled scan.

    Each run is that of :func:`rnn.train.train` without diagnostics, to rounding, and so is its record on disk. Nothing
    is sent between devices.

    Args:
        tasks: what to learn, alike in structure, shapes and dtypes.
        optimizer: an Optax transformation for each; plain SGD at 5e-3 unless given.
        steps: how many steps in all.
        devices: share the tasks among these devices of this process, such as ``jax.local_devices()``. Where they do
            not divide the tasks, the last task is trained more than once and reported once.
        out: a folder for each task's record.
        resume: continue the runs in ``out`` from where all of them have come.
        save_every: steps between saved parameters.
        chunk: steps per compiled call; an interruption loses at most this many.
        progress: called with a :class:`rnn.train.Progress` after every chunk; its loss is the tasks' mean.

    Returns:
        A run for each task, in order; ``seconds`` is the wall time of all together.

    Raises:
        ValueError: no task, tasks that differ, a count that is not a positive integer, devices that are none, occur
            twice or belong to another process, or folders that are not one for each task.
        RecordError: a folder holds another run, or one while ``resume`` is false, or cannot be written.
        DivergedError: a loss became infinite or NaN.
    """
    tasks = [jax.tree.map(lambda x: jnp.asarray(x) if isinstance(x, np.ndarray) else x, task) for task in tasks]
    _check_alike(tasks)
    for name, value in (("steps", steps), ("save_every", save_every), ("chunk", chunk)):
        check_count(name, value)
    mesh = None if devices is None else batch_mesh(devices)
    if mesh is not None and any(d.process_index != jax.process_index() for d in mesh.devices.flat):
        raise ValueError("devices must be of this process, such as jax.local_devices()")
    optimizer = SGD if optimizer is None else optimizer
    began = time.perf_counter()
    begun = [start(task, optimizer) for task in tasks]
    folders = _folders(tasks, out)
    chunks: list[list[dict[str, np.ndarray]]] = [[] for _ in tasks]
    for k, folder in enumerate(folders):
        folder.begin(settings_of(tasks[k], optimizer, begun[k], save_every, 0, chunk, None), resume=resume)
    with ExitStack() as held:
        for k, folder in enumerate(folders):
            held.enter_context(folder.locked())
            chunks[k] = list(folder.chunks())
        common = min(map(len, chunks))
        chunks = [kept[:common] for kept in chunks]
        if len({tuple(len(c["loss"]) for c in kept) for kept in chunks}) > 1:
            raise RecordError(
                "the folders of out hold runs of unlike stretches; resume each with train, or choose others"
            )
        if common:
            begun = [restore(state, kept[-1]) for state, kept in zip(begun, chunks, strict=True)]
        done = resumed = recorded_steps(folders[0] if folders else None, chunks[0], steps)
        padded = tasks if mesh is None else tasks + tasks[-1:] * (-len(tasks) % mesh.size)
        states = _stack(begun + begun[-1:] * (len(padded) - len(tasks)), mesh)
        stacked = _stack(padded, mesh)
        while done < steps:
            clock = time.perf_counter()
            states, rows = _advance_all(states, stacked, optimizer, min(chunk, steps - done), save_every, mesh)
            rows = {name: np.asarray(value)[: len(tasks)] for name, value in rows.items()}
            for k in (k for k in range(len(tasks)) if lost(rows["loss"][k], rows["final"][k])):
                step = int(np.argmin(np.isfinite(rows["loss"][k])))
                raise DivergedError(
                    f"the loss of tasks[{k}] is {rows['loss'][k, step]} at step {done + step}: lower the learning rate"
                )
            seconds = np.asarray(time.perf_counter() - clock)
            for k, kept in enumerate(chunks):
                kept.append({name: value[k] for name, value in rows.items()} | {"seconds": seconds})
            host = jax.tree.map(np.asarray, states) if folders else None
            for k, folder in enumerate(folders):
                folder.write(done, chunks[k][-1] | leaves_of(jax.tree.map(lambda x, k=k: x[k], host)), replace=True)
            done += rows["loss"].shape[1]
            if progress is not None:
                progress(Progress(done, steps, float(rows["loss"][:, -1].mean()), time.perf_counter() - began, resumed))
        spent = sum(float(c["seconds"]) for c in chunks[0])
        return tuple(collect(task, kept, save_every, 0, spent) for task, kept in zip(tasks, chunks, strict=True))


def _check_alike(tasks: list[Task]) -> None:
    if not tasks:
        raise ValueError("tasks must be at least one")
    shape = lambda leaf: (leaf.shape, leaf.dtype) if eqx.is_array(leaf) else leaf  # noqa: E731
    first = jax.tree.map(shape, tasks[0])
    for k, task in enumerate(tasks):
        if not eqx.tree_equal(jax.tree.map(shape, task), first):
            raise ValueError(f"tasks[{k}] differs from tasks[0] in structure, shapes or dtypes; train it apart")


def _folders(tasks: list[Task], out: Sequence[str | Path] | None) -> list[Folder]:
    places = [] if out is None else [Path(place) for place in out]
    if out is not None and not len(tasks) == len(places) == len(set(places)):
        raise ValueError(f"out must name a folder of its own for each of {len(tasks)} tasks, got {len(places)}")
    return [Folder(place) for place in places]


def _stack(trees: list[Any], mesh: Mesh | None) -> Any:
    """Arrays with the trees as leading axis, shared among the devices; everything else as it is in the first."""
    arrays = [eqx.filter(tree, eqx.is_array) for tree in trees]
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *arrays)
    if mesh is not None:
        stacked = jax.device_put(stacked, NamedSharding(mesh, PartitionSpec(mesh.axis_names)))
    return eqx.combine(stacked, trees[0])


@eqx.filter_jit
def _advance_all(
    states: State, tasks: Task, optimizer: optax.GradientTransformation, length: int, save_every: int, mesh: Mesh | None
) -> tuple[State, dict[str, Any]]:
    """:func:`rnn.train.advance` of every task; ``final`` are the parameters after it."""
    arrays, rest = eqx.partition((states, tasks), eqx.is_array)

    def one(arrays: Any) -> tuple[State, dict[str, Any]]:
        state, task = eqx.combine(arrays, rest)
        state, record = advance(state, task, optimizer, length, save_every)
        return state, record | {"final": flat_parameters(state.parameters)}

    if mesh is None:
        return jax.vmap(one)(arrays)
    share = PartitionSpec(mesh.axis_names)
    return jax.shard_map(jax.vmap(one), mesh=mesh, in_specs=share, out_specs=share, check_vma=False)(arrays)
