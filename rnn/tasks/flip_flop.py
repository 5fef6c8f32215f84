"""The n-bit flip-flop: remember the sign of the last pulse on every channel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import PRNGKeyArray

from rnn.models import Model
from rnn.tasks.students import Cell, check_sizes, generators, network
from rnn.tasks.task import Batch, Task

__all__ = ["flip_flop"]


@dataclass(frozen=True)
class Pulses:
    """Pulses on every channel, and the sign of the last.

    Args:
        state: length of a state, at zero at the start.
        horizon: T, in steps.
        bits: channels in and out.
        rate: pulses per step and channel.
        pulse: their height.
        dtype: of the arrays.
    """

    state: int
    horizon: int
    bits: int
    rate: float
    pulse: float
    dtype: Any

    def __call__(self, key: PRNGKeyArray, count: int) -> Batch:
        """``count`` fresh trajectories."""
        when, which = jax.random.split(key)
        shape = (count, self.horizon, self.bits)
        comes = jax.random.bernoulli(when, self.rate, shape).at[:, 0].set(True)
        sign = jnp.where(jax.random.bernoulli(which, 0.5, shape), 1, -1)
        signs = jnp.where(comes, sign, 0).astype(self.dtype)
        last = jax.lax.associative_scan(lambda a, b: jnp.where(b == 0, a, b), signs, axis=1)
        return Batch(jnp.zeros((count, self.state), self.dtype), last, jnp.asarray(self.pulse, self.dtype) * signs)


def flip_flop(
    key: int | PRNGKeyArray = 0,
    *,
    bits: int = 3,
    size: int = 64,
    batch: int = 128,
    horizon: int = 30,
    rate: float = 0.2,
    pulse: float = 1.0,
    cell: Cell | Model = "vanilla",
    dtype: Any = jnp.float32,
) -> Task:
    """The n-bit flip-flop: every channel shows the sign of its last pulse.

    A pulse of ±``pulse`` comes on each channel with probability ``rate`` per step, and on every channel at the first;
    the target is +1 or −1 by the sign of the last.

    Args:
        key: PRNG key or integer seed.
        bits: n, channels in and out.
        size: neurons.
        batch, horizon: B and T of the fixed trajectories; minibatches are drawn afresh.
        rate: pulses per step and channel, in [0, 1].
        pulse: their height.
        cell: kind of network, or a model that takes ``model(h, x)``.
        dtype: of the arrays.

    Raises:
        ValueError: a count that is not a positive integer, or a rate outside of [0, 1].

    Source: Sussillo & Barak, Neural Computation 25 (2013).
    """
    check_sizes(bits=bits, size=size, batch=batch, horizon=horizon)
    if not 0 <= rate <= 1:
        raise ValueError(f"rate must lie in [0, 1], got {rate!r}")
    for_student, for_data = generators(key, 2)
    student, readout, state = network(cell, for_student, size=size, inputs=bits, outputs=bits, dtype=dtype)

    sample = Pulses(state, horizon, bits, rate, pulse, dtype)
    fixed = sample(jax.random.key(int(for_data.integers(2**31))), batch)
    return Task(student, fixed.h0, fixed.targets, fixed.inputs, readout=readout, train_readout=True, sample=sample)
