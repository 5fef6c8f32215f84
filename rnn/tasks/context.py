"""Context-dependent integration: add up one of two noisy streams, as a cue says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import PRNGKeyArray

from rnn.models import Model
from rnn.tasks.students import Cell, check_sizes, generators, network
from rnn.tasks.task import Batch, Task

__all__ = ["context_integration"]


@dataclass(frozen=True)
class Streams:
    """Two noisy streams, a held context, and the running sum of the named one.

    Args:
        state: length of a state, at zero at the start.
        horizon: T, in steps.
        noise: standard deviation of a stream per step.
        coherence: largest mean of a stream.
        dtype: of the arrays.
    """

    state: int
    horizon: int
    noise: float
    coherence: float
    dtype: Any

    def __call__(self, key: PRNGKeyArray, count: int) -> Batch:
        """``count`` fresh trajectories."""
        level, jitter, which = jax.random.split(key, 3)
        mean = jax.random.uniform(level, (count, 1, 2), self.dtype, -self.coherence, self.coherence)
        streams = mean + jnp.asarray(self.noise, self.dtype) * jax.random.normal(
            jitter, (count, self.horizon, 2), self.dtype
        )
        context = jax.nn.one_hot(jax.random.randint(which, (count,), 0, 2), 2, dtype=self.dtype)[:, None]
        target = jnp.cumsum(jnp.sum(streams * context, axis=2, keepdims=True), axis=1) / jnp.asarray(
            self.horizon, self.dtype
        )
        inputs = jnp.concatenate([streams, jnp.broadcast_to(context, (count, self.horizon, 2))], axis=2)
        return Batch(jnp.zeros((count, self.state), self.dtype), target, inputs)


def context_integration(
    key: int | PRNGKeyArray = 0,
    *,
    size: int = 64,
    batch: int = 128,
    horizon: int = 30,
    noise: float = 0.5,
    coherence: float = 0.2,
    cell: Cell | Model = "vanilla",
    dtype: Any = jnp.float32,
) -> Task:
    """Integrate the stream that the context names: the target is the running sum of it over T.

    Two streams ``u_i(t) = c_i + noise · ξ_i(t)`` with coherence c_i uniform in ±``coherence``, and a one-hot context
    that is held for the whole trial: four inputs. Target ``(1/T) Σ_{τ≤t} u_context(τ)``.

    Args:
        key: PRNG key or integer seed.
        size: neurons.
        batch, horizon: B and T of the fixed trajectories; minibatches are drawn afresh.
        noise: standard deviation of a stream per step.
        coherence: largest mean of a stream.
        cell: kind of network, or a model that takes ``model(h, x)``.
        dtype: of the arrays.

    Raises:
        ValueError: a count that is not a positive integer.

    Source: Mante, Sussillo, Shenoy & Newsome, Nature 503 (2013).
    """
    check_sizes(size=size, batch=batch, horizon=horizon)
    for_student, for_data = generators(key, 2)
    student, readout, state = network(cell, for_student, size=size, inputs=4, outputs=1, dtype=dtype)

    sample = Streams(state, horizon, noise, coherence, dtype)
    fixed = sample(jax.random.key(int(for_data.integers(2**31))), batch)
    return Task(student, fixed.h0, fixed.targets, fixed.inputs, readout=readout, train_readout=True, sample=sample)
