"""Delayed recall: say, after a delay, what was shown at the start."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import PRNGKeyArray

from rnn.models import Model
from rnn.tasks.students import Cell, check_sizes, generators, network
from rnn.tasks.task import Batch, Task

__all__ = ["delayed_recall"]


@dataclass(frozen=True)
class Recalled:
    """Symbols, a delay, a cue, and the symbols again as classes.

    Args:
        state: length of a state, at zero at the start.
        symbols: how many different ones.
        shown: how many are shown.
        delay: steps between the last and the cue.
        dtype: of the arrays.
    """

    state: int
    symbols: int
    shown: int
    delay: int
    dtype: Any

    def __call__(self, key: PRNGKeyArray, count: int) -> Batch:
        """``count`` fresh trajectories."""
        horizon = 2 * self.shown + self.delay
        due = jnp.arange(horizon) >= self.shown + self.delay
        classes = jax.random.randint(key, (count, self.shown), 0, self.symbols)
        silent = jnp.zeros((count, self.delay + self.shown, self.symbols), self.dtype)
        seen = jnp.concatenate([jax.nn.one_hot(classes, self.symbols, dtype=self.dtype), silent], axis=1)
        cue = jnp.broadcast_to(due.astype(self.dtype)[:, None], (count, horizon, 1))
        targets = jnp.concatenate([jnp.zeros((count, self.shown + self.delay), classes.dtype), classes], axis=1)
        mask = jnp.broadcast_to(due.astype(self.dtype), (count, horizon))
        return Batch(jnp.zeros((count, self.state), self.dtype), targets, jnp.concatenate([seen, cue], axis=2), mask)


def delayed_recall(
    key: int | PRNGKeyArray = 0,
    *,
    symbols: int = 4,
    shown: int = 1,
    delay: int = 20,
    size: int = 64,
    batch: int = 128,
    cell: Cell | Model = "vanilla",
    dtype: Any = jnp.float32,
) -> Task:
    """Symbols are shown one after another; after a delay a cue asks for them in the same order.

    Inputs: one channel for each symbol, and the cue, on while the answer is due. Targets are classes, the loss is the
    cross-entropy, and only the answer's steps count: the mask is 1 there and 0 before.

    Args:
        key: PRNG key or integer seed.
        symbols: how many different ones.
        shown: how many are shown, one per step.
        delay: steps between the last and the cue.
        size: neurons.
        batch: B of the fixed trajectories; minibatches are drawn afresh.
        cell: kind of network, or a model that takes ``model(h, x)``.
        dtype: of the arrays.

    Raises:
        ValueError: a count that is not a positive integer.

    Source: Hochreiter & Schmidhuber, Neural Computation 9 (1997); Arjovsky, Shah & Bengio (2016), arXiv:1511.06464.
    """
    check_sizes(symbols=symbols, shown=shown, delay=delay, size=size, batch=batch)
    for_student, for_data = generators(key, 2)
    student, readout, state = network(cell, for_student, size=size, inputs=symbols + 1, outputs=symbols, dtype=dtype)
    sample = Recalled(state, symbols, shown, delay, dtype)
    fixed = sample(jax.random.key(int(for_data.integers(2**31))), batch)
    return Task(
        student,
        fixed.h0,
        fixed.targets,
        fixed.inputs,
        fixed.mask,
        "cross_entropy",
        readout,
        train_readout=True,
        sample=sample,
    )
