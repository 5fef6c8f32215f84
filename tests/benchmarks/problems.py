"""Training problems for comparing optimizers: parameters, outputs, loss, one batch and a source of fresh ones.

Each function of a seed returns a :class:`Problem`. Recurrent ones write ``h' = tanh(W h + U x + b)``, read out by O.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax

import rnn


class Problem(NamedTuple):
    """What is trained, and on what.

    Attributes:
        start: parameters before training.
        outputs: ``outputs(parameters, batch)``.
        batch: the whole batch, samples first.
        loss: ``loss(outputs, batch)``, the mean over samples; ``None`` for the mean squared error to ``batch["y"]``.
        fresh: a minibatch from a key, where batches are drawn.
    """

    start: Any
    outputs: Callable[[Any, Any], Any]
    batch: Any
    loss: Callable[[Any, Any], Any] | None = None
    fresh: Callable[[Any], Any] | None = None

    def value(self, parameters, batch=None):
        """The loss on a batch, the whole one unless given."""
        batch = self.batch if batch is None else batch
        read = self.outputs(parameters, batch)
        return jnp.mean((read - batch["y"]) ** 2) if self.loss is None else self.loss(read, batch)

    def products(self, batch=None):
        """Gauss–Newton products on a batch."""
        return rnn.gauss_newton(self.outputs, self.batch if batch is None else batch, loss=self.loss)


def single(tree):
    """Every array in float32, integers as they are."""
    return jax.tree.map(
        lambda x: jnp.asarray(x, None if jnp.issubdtype(jnp.result_type(x), jnp.integer) else "f"), tree
    )


def network(rng, size, inputs, outputs, gain):
    """A random vanilla network driven by ``inputs`` channels."""
    return single(
        {
            "W": gain * rng.normal(size=(size, size)) / size**0.5,
            "U": rng.normal(size=(size, inputs)) / (2 * inputs**0.5),
            "b": np.zeros(size),
            "O": rng.normal(size=(outputs, size)) / size**0.5,
        }
    )


def unroll(p, x):
    """Read-outs (batch, time, outputs) of a vanilla network along inputs (batch, time, channels)."""

    def step(h, x):
        h = jnp.tanh(h @ p["W"].T + x @ p["U"].T + p["b"])
        return h, h @ p["O"].T

    return jnp.swapaxes(jax.lax.scan(step, jnp.zeros((len(x), len(p["b"]))), jnp.swapaxes(x, 0, 1))[1], 0, 1)


def student_teacher(seed, bias="frozen", size=64, states=32):
    """The student–teacher task of :func:`rnn.student_teacher`."""
    task = rnn.student_teacher(seed, bias=bias, size=size)
    start, rest = rnn.partition(task.student)

    def outputs(p, batch, model=None):
        model = eqx.combine(p, rest) if model is None else model
        return rnn.trajectory(model, batch["x"], task.horizon, readout=task.readout)

    def fresh(key):
        read = jax.random.uniform(key, (states, task.outputs), minval=-2.0, maxval=2.0)
        x = {"x": jnp.zeros((states, size)).at[:, : task.outputs].set(read)}
        return x | {"y": outputs(None, x, task.teacher)}

    return Problem(start, outputs, {"x": task.h0, "y": task.targets}, None, fresh)


def sine(seed, size=48, time=60, count=20, states=16):
    """A constant input sets the frequency of the sine that is to be made (Sussillo & Barak 2013)."""
    start = network(np.random.default_rng(seed), size, 1, 1, 1.2)

    def batch(frequency):
        x = jnp.broadcast_to(frequency[:, None, None], (len(frequency), time, 1))
        return single({"x": x, "y": jnp.sin(frequency[:, None] * np.arange(time))[..., None]})

    def fresh(key):
        return batch(jax.random.uniform(key, (states,), minval=0.1, maxval=0.5))

    return Problem(start, lambda p, b: unroll(p, b["x"]), batch(jnp.linspace(0.1, 0.5, count)), None, fresh)


def recall(seed, size=48, time=30, count=128, delay=15):
    """One of four symbols, shown at the first step, is to be named after the delay; cross-entropy."""
    rng = np.random.default_rng(seed)
    start = network(rng, size, 5, 4, 1.0)

    def batch(shown, noise, pack):
        x = 0.1 * noise
        x = x.at[jnp.arange(len(shown)), 0, shown].add(1).at[:, delay:, 4].add(1)
        return pack({"x": x, "shown": shown})

    def loss(read, batch):
        labels = jnp.broadcast_to(batch["shown"][:, None], read.shape[:2])
        return jnp.mean(optax.softmax_cross_entropy_with_integer_labels(read, labels))

    def fresh(key):
        one, two = jax.random.split(key)
        return batch(jax.random.randint(one, (32,), 0, 4), jax.random.normal(two, (32, time, 5)), lambda b: b)

    whole = batch(jnp.asarray(rng.integers(0, 4, count)), jnp.asarray(rng.normal(size=(count, time, 5))), single)
    return Problem(start, lambda p, b: unroll(p, b["x"])[:, delay:], whole, loss, fresh)


def linear(seed, size=32, time=20, count=128):
    """A linear network learns a teacher whose eigenvalues go from 0.3 to 1.02, all states read."""
    rng = np.random.default_rng(seed)
    q = np.linalg.qr(rng.normal(size=(size, size)))[0]
    teacher = single(q @ np.diag(np.linspace(0.3, 1.02, size)) @ q.T)
    start = single(0.5 * rng.normal(size=(size, size)) / size**0.5)

    def outputs(w, batch):
        def step(h, _):
            h = h @ w.T
            return h, h

        return jnp.swapaxes(jax.lax.scan(step, batch["x"], length=time)[1], 0, 1)

    def pack(x):
        return {"x": x, "y": outputs(teacher, {"x": x})}

    whole = pack(single(rng.normal(size=(count, size))))
    return Problem(start, outputs, whole, None, lambda key: pack(jax.random.normal(key, (32, size))))


def residual(seed, size=64, depth=4, count=512):
    """A network of residual tanh layers fits a smooth function of eight variables."""
    rng = np.random.default_rng(seed)
    layers = [(0.5 * rng.normal(size=(size, size)) / size**0.5, np.zeros(size)) for _ in range(depth)]
    start = single({"I": rng.normal(size=(8, size)) / 8**0.5, "L": layers, "O": rng.normal(size=(size, 1)) / size**0.5})

    def outputs(p, batch):
        z = batch["x"] @ p["I"]
        for w, b in p["L"]:
            z = z + jnp.tanh(z @ w + b)
        return z @ p["O"]

    def pack(x):
        return {"x": x, "y": jnp.sin(2 * x[:, :1]) * x[:, 1:2] + x[:, 2:3] ** 2}

    whole = pack(single(rng.normal(size=(count, 8))))
    return Problem(start, outputs, whole, None, lambda key: pack(jax.random.normal(key, (64, 8))))


def driven(cell, readout, parameters, inputs, state):
    """Outputs along inputs of shape (batch, time, channels)."""

    def step(h, x):
        h = jax.vmap(lambda h, x: cell(parameters, h, x))(h, x)
        return h, readout(parameters, h)

    _, y = jax.lax.scan(step, jnp.zeros((inputs.shape[0], state)), jnp.swapaxes(inputs, 0, 1))
    return jnp.swapaxes(y, 0, 1)


def flip_flop(seed, size=48, bits=3, time=40, count=128):
    """A GRU holds the sign of the last pulse on each of three channels."""
    rng = np.random.default_rng(seed)
    pulses = np.sign(rng.normal(size=(count, time, bits))) * (rng.random((count, time, bits)) < 0.15)
    pulses[:, 0] = np.sign(rng.normal(size=(count, bits)))
    held = np.zeros_like(pulses)
    for t in range(time):
        held[:, t] = np.where(pulses[:, t] != 0, pulses[:, t], held[:, t - 1] if t else 0)
    cell = eqx.nn.GRUCell(bits, size, key=jax.random.key(seed))
    parameters, rest = eqx.partition(cell, eqx.is_inexact_array)

    def outputs(p, batch):
        return driven(
            lambda p, h, x: eqx.combine(p["cell"], rest)(x, h), lambda p, h: h @ p["out"].T, p, batch["x"], size
        )

    start = {"cell": parameters, "out": single(rng.normal(size=(bits, size)) / size**0.5)}
    return Problem(start, outputs, single({"x": pulses, "y": held}))


def leaky(seed, size=256, time=40, count=64, leak=0.2):
    """A leaky network of 256 units integrates a noisy input."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(count, time, 1)) * 0.5 + rng.normal(size=(count, 1, 1)) * 0.3
    start = {
        "w": 0.9 * rng.normal(size=(size, size)) / size**0.5,
        "u": rng.normal(size=(size, 1)),
        "b": np.zeros(size),
        "out": rng.normal(size=(1, size)) / size**0.5,
    }

    def cell(p, h, x):
        return (1 - leak) * h + leak * (p["w"] @ jnp.tanh(h) + p["u"] @ x + p["b"])

    def outputs(p, batch):
        return driven(cell, lambda p, h: jnp.tanh(h) @ p["out"].T, p, batch["x"], size)

    return Problem(single(start), outputs, single({"x": x, "y": np.cumsum(x, 1) / 5}))


PROBLEMS = {
    "student_teacher": student_teacher,
    "sine": sine,
    "recall": recall,
    "linear": linear,
    "residual": residual,
    "flip_flop": flip_flop,
    "leaky": leaky,
}
