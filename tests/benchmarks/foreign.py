"""Tasks on which :func:`rnn.watch` was not designed: driven networks of several cells, small, under SGD and Adam."""

from __future__ import annotations

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import optax

import rnn

SIZE = 20
OPTIMIZERS = {
    "sgd 3e-2": (optax.sgd(3e-2), 1500),
    "adam 1e-3": (optax.adam(1e-3), 1000),
    "adam 3e-4": (optax.adam(3e-4), 1500),
}
PULSES = ("memory", "forget", "ring", "ring down")
READY = {
    "flip-flop": (rnn.flip_flop, {"bits": 1, "batch": 32, "horizon": 20}),
    "sine": (rnn.sine, {"batch": 16, "horizon": 40}),
    "context": (rnn.context_integration, {"batch": 32, "horizon": 20}),
    "recall": (rnn.delayed_recall, {"batch": 32, "delay": 10, "symbols": 2}),
    "adding": (rnn.adding, {"batch": 32, "horizon": 15}),
}


def settings():
    """What to train: a task, a cell and whether it has a bias, and an optimizer by name."""
    for kind in PULSES:
        for cell, bias in (
            ("vanilla", False),
            ("vanilla", True),
            ("leaky", True),
            ("leaky inside", False),
            ("gru", True),
        ):
            yield from ((kind, cell, bias, name) for name in OPTIMIZERS)
    for kind in READY:
        for cell, bias in (
            ("vanilla", False),
            ("inside", True),
            ("leaky", False),
            ("leaky inside", True),
            ("gru", True),
        ):
            yield from ((kind, cell, bias, name) for name in ("sgd 3e-2", "adam 1e-3"))


def task_of(kind, cell, bias, seed):
    """One of the tasks."""
    if kind in PULSES:
        return pulse(kind, cell, bias, seed)
    make, options = READY[kind]
    known = {"inside": "tanh(W@h+b)", "leaky inside": "leaky"}.get(cell, cell)
    task = make(seed, size=SIZE, cell=known, **options)
    s = task.student
    if cell == "leaky inside":
        s = rnn.LeakyRNN(s.weight, s.bias, s.input_weight, s.leak, "phi(W@h+b)")
    s = s if bias else eqx.tree_at(lambda m: m.bias, s, None)
    return eqx.tree_at(lambda t: t.student, task, s)


def pulse(kind, cell, bias, seed, horizon=25, batch=32):
    """One pulse at the start, of which the network is to keep the sign, to forget it, to ring on or to ring down."""
    rng = np.random.default_rng(seed)
    x, t = np.zeros((batch, horizon, 1)), np.arange(horizon)
    if kind == "memory":
        sign = np.sign(rng.normal(size=batch))
        x[:, 0, 0] = sign * rng.uniform(0.3, 1, batch)
        y = 0.5 * np.repeat(sign[:, None], horizon, 1)
    elif kind == "ring":
        x[:, 0, 0] = rng.uniform(0.5, 1, batch)
        y = 0.5 * np.sin(0.4 * t) * np.ones((batch, 1))
    else:
        x[:, 0, 0] = rng.normal(size=batch)
        y = 0.5 * x[:, :1, 0] * 0.93**t * (np.sin(0.4 * t) if kind == "ring down" else 1)
    model = student(cell, bias, 0.8 if kind.startswith("ring") else 0.5, rng)
    readout = single(rng.normal(size=(1, SIZE)) / SIZE**0.5)
    h0 = single(np.zeros((batch, SIZE)))
    return rnn.Task(model, h0, single(y[:, :, None]), single(x), readout=readout, train_readout=True)


def student(cell, bias, gain, rng):
    """An untrained network with one input; a gated one rests off the origin."""
    if cell == "gru":
        weight, fed = rng.normal(size=(3 * SIZE, SIZE)) * 0.7 / SIZE**0.5, rng.normal(size=(3 * SIZE, 1)) / 2
        return rnn.GRU(
            single(weight), single(rng.normal(size=3 * SIZE) * 0.3), single(rng.normal(size=SIZE) * 0.3), single(fed)
        )
    weight, fed = gain * rng.normal(size=(SIZE, SIZE)) / SIZE**0.5, rng.normal(size=(SIZE, 1))
    zeros = single(np.zeros(SIZE)) if bias else None
    if cell == "vanilla":
        return rnn.VanillaRNN(single(weight), zeros, "W@tanh(h)+b", single(fed))
    form = "W@phi(h)+b" if cell == "leaky" else "phi(W@h+b)"
    return rnn.LeakyRNN(single(weight), zeros, single(fed), 0.3, form)


def single(array):
    return jnp.asarray(array, jnp.float32)
