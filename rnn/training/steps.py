"""One step of training, many of them in a compiled scan, and what tells one run from another."""

from __future__ import annotations

import hashlib
import re
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array

from rnn.kernel import diagnostics
from rnn.models import Leaves, partition, with_bias
from rnn.natural_gradient import fisher_of, gauss_newton
from rnn.tasks import Batch, Task

__all__ = [
    "COLD",
    "COST",
    "DIAGNOSTICS",
    "State",
    "advance",
    "diagnose",
    "flat_parameters",
    "identity",
    "leaves_of",
    "readout_of",
    "restore",
    "start",
]

DIAGNOSTICS = ("stable_rank", "standard_error", "singular_value")
"""What a diagnosis keeps."""
COST = {"products": 4, "probes": 2, "tolerance": 2e-3}
"""What a diagnosis on the way spends, as options of :func:`rnn.kernel.trace.diagnostics`: the time of a few steps."""
COLD = 8
"""How often the first of them is repeated, until its modes are found."""
_SEED = 7  # of a fold, so that minibatches and probes draw from different streams of one key


class State(NamedTuple):
    """What one step hands to the next, and what a resumed run starts from.

    Attributes:
        parameters: the student's, and the readout's beside them where it is trained.
        optimizer: its state.
        modes: leading directions of the diagnostics.
        key: of the diagnostics' probes.
        draws: of the minibatches.
        step: steps done.
    """

    parameters: Any
    optimizer: Any
    modes: Any
    key: Any
    draws: Any
    step: Any

    def model(self, task: Task) -> Any:
        """The student as it is now."""
        return _joined(task, self.parameters)[0]


def _selected(task: Task) -> Any:
    """What is trained: the student's parameters, and the readout's beside them where it is trained."""
    student = partition(task.student)[0]
    return (student, partition(task.reader)[0]) if task.train_readout else student


def _joined(task: Task, parameters: Any) -> tuple[Any, Task]:
    """The student, and the task with the readout, that parameters make."""
    if not task.train_readout:
        return eqx.combine(parameters, partition(task.student)[1]), task
    student, readout = parameters
    reader = eqx.combine(readout, partition(task.reader)[1])
    return eqx.combine(student, partition(task.student)[1]), task.with_readout(reader)


def readout_of(task: Task, flat: Any) -> Any:
    """The trained readout of the last entries of a row of flat parameters."""
    selected, rest = partition(task.reader)
    leaves = Leaves.of(selected)
    size = sum(leaf.size for leaf in jax.tree.leaves(selected))
    return eqx.combine(leaves.unflatten(np.asarray(flat)[..., -size:], keep_dtype=True), rest)


def flat_parameters(parameters: Any) -> Array:
    """Everything that is trained as one vector, the student's first."""
    leaves = jax.tree.leaves(parameters)
    return Leaves.of(parameters, jnp.result_type(*leaves)).flatten(parameters)


def start(task: Task, optimizer: optax.GradientTransformation, key: Any = 0, modes: int = 2) -> State:
    """Where a run begins."""
    selected = _selected(task)
    root = jax.random.key(key) if isinstance(key, int) else key
    k_modes, k_probes = jax.random.split(root)
    flat = flat_parameters(partition(with_bias(task.student))[0])
    block = jax.random.normal(k_modes, (modes, flat.size), flat.dtype)
    draws = jax.random.key_data(jax.random.fold_in(root, _SEED))
    step = jnp.zeros((), jnp.int32)
    return State(selected, optimizer.init(selected), block, jax.random.key_data(k_probes), draws, step)


def _minibatch(task: Task, state: State, size: int | None) -> Batch:
    """The trajectories of one step: all, fresh ones, or the next of a random order that every epoch shuffles anew."""
    if size is None:
        return task.batch
    draws = jax.random.wrap_key_data(state.draws)
    if task.sample is not None:
        return task.sample(jax.random.fold_in(draws, state.step), size)
    count = task.h0.shape[0]
    epoch, turn = state.step // (count // size), state.step % (count // size)
    order = jax.random.permutation(jax.random.fold_in(draws, epoch), count)
    chosen = jax.lax.dynamic_slice_in_dim(order, turn * size, size)
    return jax.tree.map(lambda rows: rows[chosen], task.batch)


def _one(task: Task, optimizer: optax.GradientTransformation, size: int | None, state: State) -> tuple[State, Array]:
    """One step; the loss is that before it."""
    batch = _minibatch(task, state, size)

    def loss_at(parameters: Any) -> Array:
        student, seen = _joined(task, parameters)
        return seen.loss(student, batch)

    loss, gradient = jax.value_and_grad(loss_at)(state.parameters)
    fisher = fisher_of(task) if task.plain and size is None and not task.train_readout else _curvature(task, batch)
    optimize = optax.with_extra_args_support(optimizer).update
    update, memory = optimize(gradient, state.optimizer, state.parameters, value=loss, fisher=fisher)
    moved = optax.apply_updates(state.parameters, update)
    return state._replace(parameters=moved, optimizer=memory, step=state.step + 1), loss


def _curvature(task: Task, batch: Batch) -> Any:
    """The Gauss–Newton matrix of the task's loss on parts of a batch, for optimizers that ask for it."""

    def outputs(parameters: Any, part: Batch) -> Array:
        student, seen = _joined(task, parameters)
        return seen.read(student, part)

    return gauss_newton(outputs, batch, loss=lambda y, part: task.compare(y, part))


@eqx.filter_jit
def advance(
    state: State,
    task: Task,
    optimizer: optax.GradientTransformation,
    length: int,
    save_every: int,
    batch_size: int | None = None,
) -> tuple[State, dict[str, Any]]:
    """``length`` steps in stretches of ``save_every``, the parameters before each of them saved."""

    def stretch(state: State, count: int) -> tuple[State, dict[str, Any]]:
        saved = flat_parameters(state.parameters)
        state, loss = jax.lax.scan(lambda s, _: _one(task, optimizer, batch_size, s), state, length=count)
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
def diagnose(state: State, task: Task) -> tuple[State, dict[str, Any]]:
    """Stable rank and leading mode of the kernel of the student's states, on all of the task's trajectories."""
    key, draw = jax.random.split(jax.random.wrap_key_data(state.key))
    model = with_bias(state.model(task))
    found = diagnostics(model, task.h0, task.horizon, state.modes, draw, inputs=task.inputs, **COST)
    values = {name: getattr(found, name)[None] for name in DIAGNOSTICS}
    return state._replace(modes=found.start, key=jax.random.key_data(key)), values


def leaves_of(state: State) -> dict[str, np.ndarray]:
    """What :func:`restore` takes from a chunk."""
    return {f"state-{k}": np.asarray(leaf) for k, leaf in enumerate(jax.tree.leaves(state))}


def restore(like: State, chunk: dict[str, np.ndarray]) -> State:
    """The state after a chunk."""
    leaves, treedef = jax.tree.flatten(like)
    return jax.tree.unflatten(treedef, [jnp.asarray(chunk[f"state-{k}"]) for k in range(len(leaves))])


def identity(task: Task, optimizer: optax.GradientTransformation, state: State, batch_size: int | None) -> str:
    """A hash of a whole step of training as JAX traces it, with every number that enters it, and of the first state.

    So an optimizer is known by its entire update and state, schedules included, and a task by its data, loss, readout
    and sampler.
    """
    arrays, fixed = eqx.partition((state, task), eqx.is_array)

    def step(arrays: Any) -> Any:
        state, task = eqx.combine(arrays, fixed)
        return _one(task, optimizer, batch_size, state)

    closed = jax.make_jaxpr(step)(arrays)
    digest = hashlib.sha256()
    digest.update(re.sub(r"0x[0-9a-f]+", "", str(closed)).encode())
    digest.update(re.sub(r"0x[0-9a-f]+", "", str(jax.tree.structure(state))).encode())
    for leaf in [*jax.tree.leaves(arrays), *_constants(closed.jaxpr, closed.consts)]:
        array = np.asarray(leaf)
        digest.update(f"{array.dtype}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def _constants(jaxpr: Any, consts: Any) -> list[Any]:
    """The arrays that a traced function closes over, those of the functions within it too."""
    found = [c for c in consts if eqx.is_array(c)]
    for equation in jaxpr.eqns:
        found += [var.val for var in equation.invars if eqx.is_array(getattr(var, "val", None))]
        for value in jax.tree.leaves(equation.params, is_leaf=lambda p: hasattr(p, "eqns") or hasattr(p, "jaxpr")):
            if hasattr(value, "jaxpr"):
                found += _constants(value.jaxpr, value.consts)
            elif hasattr(value, "eqns"):
                found += _constants(value, ())
    return found
