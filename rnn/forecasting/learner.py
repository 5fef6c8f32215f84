"""What descent moves, and the map whose point is followed: one model of both, and its loss."""

from __future__ import annotations

from typing import Any, Protocol

import equinox as eqx
import jax
from jaxtyping import Array, Float

from rnn.models import Held, Model, Stroboscopic, held, jacobian_of, stroboscopic
from rnn.tasks import Batch, Task

__all__ = ["Learner", "Lesson", "Lowered", "lesson_of"]


class Lowered(Protocol):
    """A loss that descent lowers."""

    @property
    def student(self) -> Any:
        """The model before training."""
        ...

    @property
    def h0(self) -> Any:
        """Initial states, shape (batch, state)."""
        ...

    def loss(self, model: Any) -> Any:
        """The loss of a model like ``student``."""
        ...


class Learner(eqx.Module):
    """The network with its read-out where that is trained, called as the map whose point is followed.

    Args:
        seen: the network itself, or under the input at which the point is followed.
        reader: the read-out; ``None`` where the task keeps its own.
    """

    seen: Any
    reader: Any

    def __call__(self, h: Float[Array, " state"]) -> Float[Array, " state"]:
        return self.seen(h)

    def jacobian(self, h: Float[Array, " state"]) -> Float[Array, "state state"]:
        """That of the map."""
        return jacobian_of(self.seen)(h)

    @property
    def network(self) -> Model:
        """The network that the task drives."""
        return self.seen.model if isinstance(self.seen, (Held, Stroboscopic)) else self.seen


class Lesson(eqx.Module):
    """A task as descent sees it: the loss of its learner.

    Args:
        task: what is trained.
        student: the learner before training.
    """

    task: Task
    student: Learner

    @property
    def h0(self) -> Array:
        """The task's initial states."""
        return self.task.h0

    @property
    def batch(self) -> Batch:
        """All of the task's trajectories."""
        return self.task.batch

    def loss(self, model: Learner, batch: Batch | None = None) -> Float[Array, ""]:
        """The task's loss under its own inputs, with the learner's read-out where it has one."""
        task = self.task if model.reader is None else self.task.with_readout(model.reader)
        return task.loss(model.network, batch)


def lesson_of(task: Task, model: Model, reader: Any, x: Any, inputs: Any) -> tuple[Lesson, Learner]:
    """The task with its learner before training, and the learner as it is.

    Args:
        task: what is trained.
        model, reader: network and read-out as they are.
        x: constant input at which the point is followed, shape (inputs,), or ``None``.
        inputs: one period of a periodic one, shape (period, inputs), or ``None``.

    Raises:
        ValueError: both ``x`` and ``inputs``, or one that does not fit the task's inputs.
    """
    if x is not None and inputs is not None:
        raise ValueError("give x, a constant input, or inputs, one period of a periodic one, not both")
    for name, given, axes in (("x", x, 1), ("inputs", inputs, 2)):
        if given is None:
            continue
        if task.inputs is None:
            raise ValueError(f"{name} is for tasks with inputs, and this one has none; leave it out")
        shape, width = jax.numpy.shape(given), task.inputs.shape[2]
        if len(shape) != axes or shape[-1] != width:
            wanted = f"({width},)" if axes == 1 else f"(period, {width})"
            raise ValueError(f"{name} must have shape {wanted} like the task's inputs, got {shape}")

    def seen(network: Model) -> Any:
        if x is not None:
            return _like(held(network, x), task)
        return network if inputs is None else _like(stroboscopic(network, inputs), task)

    trained = task.train_readout
    first = Learner(seen(task.student), task.reader if trained else None)
    return Lesson(task, first), Learner(seen(model), reader if trained else None)


def _like(driven: Held | Stroboscopic, task: Task) -> Held | Stroboscopic:
    """With the input in the states' dtype."""
    where = (lambda d: d.x.value) if isinstance(driven, Held) else (lambda d: d.inputs.value)
    return eqx.tree_at(where, driven, replace_fn=lambda v: v.astype(task.h0.dtype))
