"""Students of several seeds trained at once, each device with its share of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from rnn.inputs import check_count
from rnn.model import partition
from rnn.record import Run, flatten
from rnn.sharding import batch_mesh
from rnn.task import Task
from rnn.train import SGD, DivergedError, Progress, State, advance, collect

__all__ = ["train_all"]


def train_all(
    tasks: Sequence[Task],
    optimizer: optax.GradientTransformation | None = None,
    steps: int = 35_000,
    *,
    devices: Sequence[Any] | None = None,
    save_every: int = 20,
    chunk: int = 500,
    progress: Callable[[Progress], None] | None = None,
) -> tuple[Run, ...]:
    """Full-batch training of several students at once, such as those of several seeds, by one compiled scan.

    Each run is that of :func:`rnn.train.train` to rounding, without diagnostics and without a record on disk. Nothing
    is sent between devices.

    Args:
        tasks: what to learn, alike in structure, shapes and dtypes.
        optimizer: an Optax transformation for each; plain SGD at 5e-3 unless given.
        steps: how many steps in all.
        devices: share the tasks among these devices of this process, such as ``jax.local_devices()``. Where they do
            not divide the tasks, the last task is trained more than once and reported once.
        save_every: steps between saved parameters.
        chunk: steps per compiled call.
        progress: called with a :class:`rnn.train.Progress` after every chunk; its loss is the tasks' mean.

    Returns:
        A run for each task, in order; ``seconds`` is the wall time of all together.

    Raises:
        ValueError: no task, tasks that differ, a count that is not a positive integer, or devices that are none, occur
            twice or belong to another process.
        DivergedError: a loss became infinite or NaN.
    """
    tasks = list(tasks)
    _check_alike(tasks)
    for name, value in (("steps", steps), ("save_every", save_every), ("chunk", chunk)):
        check_count(name, value)
    mesh = None if devices is None else batch_mesh(devices)
    if mesh is not None and any(d.process_index != jax.process_index() for d in mesh.devices.flat):
        raise ValueError("devices must be of this process, such as jax.local_devices()")
    optimizer = SGD if optimizer is None else optimizer
    began = time.perf_counter()
    padded = tasks if mesh is None else tasks + tasks[-1:] * (-len(tasks) % mesh.size)
    selected = [partition(task.student)[0] for task in padded]
    states = _stack([State(p, optimizer.init(p), None, None) for p in selected], mesh)
    stacked = _stack(padded, mesh)
    chunks: list[list[dict[str, np.ndarray]]] = [[] for _ in tasks]
    done = 0
    while done < steps:
        states, rows = _advance_all(states, stacked, optimizer, min(chunk, steps - done), save_every, mesh)
        rows = {name: np.asarray(value)[: len(tasks)] for name, value in rows.items()}
        finite = np.isfinite(rows["loss"])
        if not finite.all():
            k, step = (int(i) for i in np.argwhere(~finite)[0])
            raise DivergedError(
                f"the loss of tasks[{k}] is {rows['loss'][k, step]} at step {done + step}: lower the learning rate"
            )
        for k, kept in enumerate(chunks):
            kept.append({name: value[k] for name, value in rows.items()})
        done += rows["loss"].shape[1]
        if progress is not None:
            progress(Progress(done, steps, float(rows["loss"][:, -1].mean()), time.perf_counter() - began, 0))
    seconds = time.perf_counter() - began
    return tuple(collect(task, kept, save_every, 0, seconds) for task, kept in zip(tasks, chunks, strict=True))


def _check_alike(tasks: list[Task]) -> None:
    if not tasks:
        raise ValueError("tasks must be at least one")
    shape = lambda leaf: (leaf.shape, leaf.dtype) if eqx.is_array(leaf) else leaf  # noqa: E731
    first = jax.tree.map(shape, tasks[0])
    for k, task in enumerate(tasks):
        if not eqx.tree_equal(jax.tree.map(shape, task), first):
            raise ValueError(f"tasks[{k}] differs from tasks[0] in structure, shapes or dtypes; train it apart")


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
        state, record = advance(*eqx.combine(arrays, rest), optimizer, length, save_every)
        return state, record | {"final": flatten(state.parameters)}

    if mesh is None:
        return jax.vmap(one)(arrays)
    share = PartitionSpec(mesh.axis_names)
    return jax.shard_map(jax.vmap(one), mesh=mesh, in_specs=share, out_specs=share, check_vma=False)(arrays)
