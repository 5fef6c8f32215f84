"""Fast mode with its defaults on tasks that it was not made on, beside SGD and Adam over grids of rates.

    python tests/benchmarks/bench_tasks.py two_modes flip_flop leaky --out tasks.json

Every optimizer trains for the same number of processor seconds in chunks, in one process; a line gives the first time
at which the loss has fallen to each goal. Processor time is taken since others on the machine disturb it less than the
clock; compilation is left out.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax

import rnn

SGD = (3e-3, 1e-2, 3e-2, 1e-1, 3e-1)
ADAM = (1e-3, 3e-3, 1e-2, 3e-2)
CHUNK = 20


def two_modes(seed):
    """A student of 64 neurons, whole state read out, learns a teacher with the multipliers 1.5 and 1.1."""
    rng = np.random.default_rng(seed)
    weight = rng.normal(size=(64, 64))
    weight *= 0.95 / np.max(np.abs(np.linalg.eigvals(weight)))
    q = np.linalg.qr(rng.normal(size=(64, 2)))[0]
    teacher = rnn.VanillaRNN(jnp.asarray(q @ np.diag([1.5, 1.1]) @ q.T, jnp.float32))
    h0 = jnp.asarray(rng.normal(size=(128, 64)), jnp.float32)
    batch = {"h0": h0, "y": rnn.trajectory(teacher, h0, 25)}

    def outputs(weight, batch):
        return rnn.trajectory(rnn.VanillaRNN(weight), batch["h0"], 25)

    return jnp.asarray(weight, jnp.float32), outputs, batch


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
    batch = {"x": jnp.asarray(pulses, jnp.float32), "y": jnp.asarray(held, jnp.float32)}
    cell = eqx.nn.GRUCell(bits, size, key=jax.random.key(seed))
    parameters, rest = eqx.partition(cell, eqx.is_inexact_array)
    start = {"cell": parameters, "out": jnp.asarray(rng.normal(size=(bits, size)) / size**0.5, jnp.float32)}

    def outputs(p, batch):
        return driven(
            lambda p, h, x: eqx.combine(p["cell"], rest)(x, h), lambda p, h: h @ p["out"].T, p, batch["x"], size
        )

    return start, outputs, batch


def leaky(seed, size=256, time=40, count=64, leak=0.2):
    """A leaky network of 256 units integrates a noisy input."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(count, time, 1)) * 0.5 + rng.normal(size=(count, 1, 1)) * 0.3
    batch = {"x": jnp.asarray(x, jnp.float32), "y": jnp.asarray(np.cumsum(x, 1) / 5, jnp.float32)}
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

    return jax.tree.map(lambda x: jnp.asarray(x, jnp.float32), start), outputs, batch


TASKS = {"two_modes": two_modes, "flip_flop": flip_flop, "leaky": leaky}


def curve(problem, make, rate, seconds, repeat):
    """Losses and the time after each chunk, for ``seconds`` of training."""
    start, outputs, batch = problem

    def run(carry, rate):
        optimizer = optax.with_extra_args_support(make(rate))
        fisher = rnn.gauss_newton(outputs, batch)

        def step(carry, _):
            p, state = carry
            loss, gradient = jax.value_and_grad(lambda p: jnp.mean((outputs(p, batch) - batch["y"]) ** 2))(p)
            update, state = optimizer.update(gradient, state, p, value=loss, fisher=fisher)
            return (optax.apply_updates(p, update), state), loss

        return jax.lax.scan(step, carry, length=CHUNK)

    rate = np.float32(rate)
    carry = start, make(rate).init(start)
    if repeat is None:
        repeat = jax.jit(run).lower(carry, rate).compile()
    losses, times, spent = [], [], 0.0
    while spent < seconds:
        clock = time.process_time()
        carry, loss = jax.block_until_ready(repeat(carry, rate))
        spent += time.process_time() - clock
        losses.append(np.asarray(loss))
        times.append(spent)
        if not np.isfinite(losses[-1]).all():
            break
    return np.concatenate(losses), np.asarray(times), repeat


def first(losses, times, goal):
    """Seconds and steps to the goal; ``None`` where it is not reached."""
    hit = np.flatnonzero(losses <= goal)
    if not len(hit):
        return None
    chunk = hit[0] // CHUNK
    before = times[chunk - 1] if chunk else 0.0
    return round(float(before + (hit[0] % CHUNK) / CHUNK * (times[chunk] - before)), 3), int(hit[0])


def main() -> None:
    """Run the tasks named."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("tasks", choices=TASKS, nargs="+")
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    families = {
        "fast": (lambda rate: rnn.low_rank_natural_gradient(rate, mode="fast"), (10.0,)),
        "sgd": (optax.sgd, SGD),
        "adam": (optax.adam, ADAM),
    }
    record = {}
    for name in args.tasks:
        problem = TASKS[name](args.seed)
        for family, (make, rates) in families.items():
            repeat = None
            for rate in rates:
                losses, times, repeat = curve(problem, make, rate, args.seconds, repeat)
                goals = {f"{part:g}": first(losses, times, part * losses[0]) for part in (0.3, 0.1, 0.03, 0.01, 0.003)}
                row = {"task": name, "optimizer": family, "rate": rate, "steps": len(losses)}
                row |= {"first": float(losses[0]), "least": float(np.nanmin(losses)), "share of first: s, steps": goals}
                print(json.dumps(row), flush=True)
                record[f"{name} {family} {rate:g}"] = {"loss": losses[::5].tolist(), "time": times.tolist()}
                if args.out is not None:
                    args.out.write_text(json.dumps(record))


if __name__ == "__main__":
    main()
