"""The adding problem: the sum of the two numbers that are marked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import PRNGKeyArray

from rnn.models import Model
from rnn.tasks.students import Cell, check_sizes, generators, network
from rnn.tasks.task import Batch, Task

__all__ = ["adding"]


@dataclass(frozen=True)
class Sums:
    """Numbers, two of them marked, and their sum.

    Args:
        state: length of a state, at zero at the start.
        horizon: T, in steps.
        dtype: of the arrays.
    """

    state: int
    horizon: int
    dtype: Any

    def __call__(self, key: PRNGKeyArray, count: int) -> Batch:
        """``count`` fresh trajectories."""
        half = self.horizon // 2
        value, first, second = jax.random.split(key, 3)
        numbers = jax.random.uniform(value, (count, self.horizon), self.dtype)
        early = jax.nn.one_hot(jax.random.randint(first, (count,), 0, half), self.horizon, dtype=self.dtype)
        late = jax.nn.one_hot(jax.random.randint(second, (count,), half, self.horizon), self.horizon, dtype=self.dtype)
        marks = early + late
        total = jnp.sum(numbers * marks, axis=1)[:, None, None]
        mask = jnp.zeros((count, self.horizon), self.dtype).at[:, -1].set(1)
        inputs = jnp.stack([numbers, marks], axis=2)
        return Batch(
            jnp.zeros((count, self.state), self.dtype), jnp.broadcast_to(total, (count, self.horizon, 1)), inputs, mask
        )


def adding(
    key: int | PRNGKeyArray = 0,
    *,
    size: int = 64,
    batch: int = 128,
    horizon: int = 30,
    cell: Cell | Model = "vanilla",
    dtype: Any = jnp.float32,
) -> Task:
    """Numbers uniform in [0, 1] come one per step; two are marked, one in each half: at the end, say their sum.

    Only the last step counts. Answering the mean, 1, costs 1/6.

    Args:
        key: PRNG key or integer seed.
        size: neurons.
        batch, horizon: B and T of the fixed trajectories; minibatches are drawn afresh.
        cell: kind of network, or a model that takes ``model(h, x)``.
        dtype: of the arrays.

    Raises:
        ValueError: a count that is not a positive integer, or a horizon below two.

    Source: Hochreiter & Schmidhuber, Neural Computation 9 (1997), experiment 4.
    """
    check_sizes(size=size, batch=batch, horizon=horizon)
    if horizon < 2:
        raise ValueError(f"horizon must be at least 2, one step for each number, got {horizon}")
    for_student, for_data = generators(key, 2)
    student, readout, state = network(cell, for_student, size=size, inputs=2, outputs=1, dtype=dtype)
    sample = Sums(state, horizon, dtype)
    fixed = sample(jax.random.key(int(for_data.integers(2**31))), batch)
    return Task(
        student, fixed.h0, fixed.targets, fixed.inputs, fixed.mask, readout=readout, train_readout=True, sample=sample
    )
