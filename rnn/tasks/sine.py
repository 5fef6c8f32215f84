"""Sine generation: a held cue names the frequency of a wave to be made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import PRNGKeyArray

from rnn.models import Model
from rnn.tasks.students import Cell, check_sizes, generators, network
from rnn.tasks.task import Batch, Task

__all__ = ["sine"]


@dataclass(frozen=True)
class Waves:
    """A held cue and the wave of its frequency.

    Args:
        state: length of a state, at zero at the start.
        horizon: T, in steps.
        slow: frequency of the cue −1, in radians per step.
        fast: that of the cue 1.
        dtype: of the arrays.
    """

    state: int
    horizon: int
    slow: float
    fast: float
    dtype: Any

    def __call__(self, key: PRNGKeyArray, count: int) -> Batch:
        """``count`` fresh trajectories."""
        cue = jax.random.uniform(key, (count, 1, 1), self.dtype, -1, 1)
        omega = jnp.asarray((self.slow + self.fast) / 2, self.dtype) + cue * jnp.asarray(
            (self.fast - self.slow) / 2, self.dtype
        )
        time = jnp.arange(1, self.horizon + 1).astype(self.dtype)[:, None]
        return Batch(
            jnp.zeros((count, self.state), self.dtype),
            jnp.sin(omega * time),
            jnp.broadcast_to(cue, (count, self.horizon, 1)),
        )


def sine(
    key: int | PRNGKeyArray = 0,
    *,
    size: int = 64,
    batch: int = 64,
    horizon: int = 50,
    slow: float = 0.1,
    fast: float = 0.4,
    cell: Cell | Model = "vanilla",
    dtype: Any = jnp.float32,
) -> Task:
    """Make ``sin(ω t)`` with the frequency that a held cue names.

    The cue c is uniform in [−1, 1] and held for the whole trial; ``ω = (slow + fast)/2 + c (fast − slow)/2`` radians
    per step.

    Args:
        key: PRNG key or integer seed.
        size: neurons.
        batch, horizon: B and T of the fixed trajectories; minibatches are drawn afresh.
        slow, fast: frequencies of the cues −1 and 1, in radians per step.
        cell: kind of network, or a model that takes ``model(h, x)``.
        dtype: of the arrays.

    Raises:
        ValueError: a count that is not a positive integer, or frequencies that are not ``0 < slow ≤ fast < π``.

    Source: Sussillo & Barak, Neural Computation 25 (2013).
    """
    check_sizes(size=size, batch=batch, horizon=horizon)
    if not 0 < slow <= fast < jnp.pi:
        raise ValueError(f"frequencies must be 0 < slow ≤ fast < π radians per step, got {slow!r} and {fast!r}")
    for_student, for_data = generators(key, 2)
    student, readout, state = network(cell, for_student, size=size, inputs=1, outputs=1, dtype=dtype)

    sample = Waves(state, horizon, slow, fast, dtype)
    fixed = sample(jax.random.key(int(for_data.integers(2**31))), batch)
    return Task(student, fixed.h0, fixed.targets, fixed.inputs, readout=readout, train_readout=True, sample=sample)
