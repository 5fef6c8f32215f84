"""Tasks: what a network is trained on, and how its loss is measured."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from rnn.models import Model, check_inputs, trajectory
from rnn.tasks.losses import Loss, loss_named

__all__ = ["Batch", "Task"]


class Batch(NamedTuple):
    """Trajectories to learn from; every array has them as leading axis.

    Attributes:
        h0: initial states, (batch, state).
        targets: at steps 1 … T, (batch, horizon, outputs), or (batch, horizon) of whole numbers for classes.
        inputs: (batch, horizon, inputs), or ``None``.
        mask: weight of every step, (batch, horizon), or ``None`` for all alike.
    """

    h0: Float[Array, "batch state"]
    targets: Array
    inputs: Float[Array, "batch horizon inputs"] | None = None
    mask: Float[Array, "batch horizon"] | None = None


class Task(eqx.Module):
    """Follow targets from given initial states, under given inputs.

    ``L = Σ_{b,t} m_bt ℓ(y_bt, target_bt) / Σ_{b,t} m_bt`` with outputs ``y_t = readout(h_t)``.

    Args:
        student: the network before training.
        h0: initial states, shape (batch, state).
        targets: target outputs at steps 1 … T, shape (batch, horizon, outputs); for ``"cross_entropy"`` also classes,
            whole numbers of shape (batch, horizon).
        inputs: shape (batch, horizon, inputs), or (horizon, inputs) for all trajectories alike; ``None`` without.
        mask: weight m of every step, shape (batch, horizon) or (horizon,), not negative; 1 unless given.
        loss: ℓ: ``"mse"``, the mean squared error over outputs; ``"cross_entropy"``, of classes or of probabilities,
            with outputs as logits; or a function of one output vector and one target to a number.
        readout: a matrix (outputs, state) or a function of one state, such as an ``equinox.nn.Linear``; the leading
            components of the state unless given.
        train_readout: whether the readout's arrays are trained with the student.
        sample: ``sample(key, count) -> Batch``, fresh trajectories for minibatches; a minibatch is else drawn from
            those given. A pure function of JAX.
        teacher: the network that made the targets, where there is one.

    Raises:
        ValueError: shapes that do not fit, an unknown loss, or a negative mask.
    """

    student: Any
    h0: Float[Array, "batch state"]
    targets: Array
    inputs: Float[Array, "batch horizon inputs"] | None
    mask: Float[Array, "batch horizon"] | None
    measure: Loss = eqx.field(static=True)
    reader: Any
    train_readout: bool = eqx.field(static=True)
    sample: Callable[[PRNGKeyArray, int], Batch] | None = eqx.field(static=True)
    teacher: Any

    def __init__(
        self,
        student: Model,
        h0: Float[Array, "batch state"],
        targets: Array,
        inputs: Any = None,
        mask: Any = None,
        loss: str | Callable[[Any, Any], Any] = "mse",
        readout: Any = None,
        *,
        train_readout: bool = False,
        sample: Callable[[PRNGKeyArray, int], Batch] | None = None,
        teacher: Any = None,
    ) -> None:
        self.student, self.h0, self.targets, self.teacher = student, h0, targets, teacher
        self.measure, self.reader, self.sample = loss_named(loss), readout, sample
        self.train_readout = bool(train_readout)
        if jnp.ndim(h0) != 2 or jnp.ndim(targets) not in (2, 3) or jnp.shape(targets)[0] != jnp.shape(h0)[0]:
            raise ValueError(
                f"targets must have shape (batch, horizon, outputs) with the batch of h0 {jnp.shape(h0)}, "
                f"got {jnp.shape(targets)}"
            )
        shape = jnp.shape(targets)[:2]
        self.inputs = check_inputs(inputs, shape[1], shape[0], jnp.result_type(h0))[0]
        self.mask = None if mask is None else jnp.broadcast_to(_weights(mask, shape), shape)
        if self.train_readout and not jax.tree.leaves(eqx.filter(readout, eqx.is_inexact_array)):
            raise ValueError(
                "train_readout needs a readout with arrays: a matrix, or a module such as equinox.nn.Linear"
            )

    @property
    def horizon(self) -> int:
        """T, in steps."""
        return self.targets.shape[1]

    @property
    def outputs(self) -> int:
        """How many numbers are read out of a state."""
        if self.reader is None:
            return self.targets.shape[2]
        shape = jax.ShapeDtypeStruct(self.h0.shape[1:], self.h0.dtype)
        return eqx.filter_eval_shape(self.readout, shape).shape[0]

    @property
    def batch(self) -> Batch:
        """All of the task's trajectories."""
        return Batch(self.h0, self.targets, self.inputs, self.mask)

    @property
    def plain(self) -> bool:
        """Whether the loss is the plain mean squared error, without inputs or mask."""
        return self.inputs is None and self.mask is None and self.measure.name == "mse"

    def readout(self, h: Float[Array, " state"]) -> Float[Array, " outputs"]:
        """The part of a state that the loss sees."""
        if self.reader is None:
            return h[: self.outputs]
        return self.reader @ h if eqx.is_array(self.reader) else self.reader(h)

    def with_readout(self, readout: Any) -> Task:
        """The same task with another readout of the same structure."""
        return eqx.tree_at(lambda t: t.reader, self, readout, is_leaf=lambda leaf: leaf is None)

    def read(self, model: Model, batch: Batch | None = None) -> Float[Array, "batch horizon outputs"]:
        """The outputs of ``model`` on a batch, the task's own unless given."""
        batch = self.batch if batch is None else batch
        return trajectory(model, batch.h0, self.horizon, batch.inputs, readout=self.readout)

    def compare(self, outputs: Float[Array, "batch horizon outputs"], batch: Batch) -> Float[Array, ""]:
        """The loss of given outputs on a batch."""
        return self.measure(outputs, batch.targets, batch.mask)

    def loss(self, model: Model, batch: Batch | None = None) -> Float[Array, ""]:
        """The loss of ``model`` on a batch, the task's own unless given."""
        batch = self.batch if batch is None else batch
        return self.compare(self.read(model, batch), batch)


def _weights(mask: Any, shape: tuple[int, ...]) -> Array:
    if jnp.shape(mask) not in (shape, shape[1:]):
        raise ValueError(f"mask must have shape {shape} or {shape[1:]} like the targets' steps, got {jnp.shape(mask)}")
    known = None if isinstance(mask, jax.core.Tracer) else np.asarray(mask)
    if known is not None and not (np.all(np.isfinite(known)) and np.all(known >= 0) and np.any(known > 0)):
        raise ValueError("mask must be finite, not negative and not zero everywhere")
    return jnp.asarray(mask)
