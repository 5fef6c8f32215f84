"""How far training and the kernel are from their floor: the same matrix products and tanhs, with no bookkeeping.

    python tests/benchmarks/bench_floor.py        # N = 64, B = 256, T = 25, float32; about a minute of a core

A floor is written step by step into one compiled function, on plain arrays with the states as columns: forward and
adjoint products for a gradient, tangent and adjoint products along stored states for ``JᵀJ v``. Everything runs in turn
in one process; a ratio is that of the medians of processor time, and of the least times beside it. Processes differ by
some hundredths, since the addresses of the arrays do: run it more than once.
"""

from __future__ import annotations

import time

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax

import rnn
from rnn.models import with_bias
from rnn.training.steps import advance, start

ROUNDS, STEPS = 25, 20


class Inner(eqx.Module):
    """``h' = W tanh(h) + b`` without hooks: a cell that only JAX can linearise."""

    weight: jax.Array
    bias: jax.Array

    def __call__(self, h):
        return self.weight @ jnp.tanh(h) + self.bias


class Outer(Inner):
    """``h' = tanh(W h + b)`` without hooks."""

    def __call__(self, h):
        return jnp.tanh(self.weight @ h + self.bias)


def gradient_floor(horizon, targets):
    """The loss of the first components of the states, and its gradient: three products and a tanh a step."""

    def floor(weight, h0):
        transposed = jax.lax.optimization_barrier(weight.T)
        h, passed, errors = h0.T, [], []
        for t in range(horizon):
            phi = jnp.tanh(h)
            h = weight @ phi
            passed.append(phi)
            errors.append(h[: targets.shape[1]] - targets[t])
        a, gradient = jnp.zeros_like(h), jnp.zeros_like(weight)
        for phi, error in zip(reversed(passed), reversed(errors), strict=True):
            a = a.at[: targets.shape[1]].add(error)
            gradient = gradient + a @ phi.T
            a = (transposed @ a) * (1 - phi * phi)
        return sum(jnp.sum(error * error) for error in errors), gradient

    return floor


def product_floor(horizon):
    """``JᵀJ`` on one matrix along stored states: four products and a tanh a step."""

    def floor(weight, path, direction):
        transposed = jax.lax.optimization_barrier(weight.T)
        dh, passed = jnp.zeros_like(path[0]), []
        for t in range(horizon):
            phi = jnp.tanh(path[t])
            slope = 1 - phi * phi
            dh = weight @ (slope * dh) + direction @ phi
            passed.append((phi, slope, dh))
        a, gradient = jnp.zeros_like(dh), jnp.zeros_like(weight)
        for phi, slope, dh in reversed(passed):
            a = a + dh
            gradient = gradient + a @ phi.T
            a = (transposed @ a) * slope
        return gradient

    return floor


def steps_floor(gradient, weight, h0):
    """Plain gradient descent on the floor's gradient."""

    def step(weight, _):
        value, slope = gradient(weight, h0)
        return weight - 1e-6 * slope, value

    return jax.lax.scan(step, weight, length=STEPS)


def timed(functions):
    """Processor seconds of every function, (rounds,), run in turn."""
    spent = {name: [] for name in functions}
    for function in functions.values():
        jax.block_until_ready(function())
    for _ in range(ROUNDS):
        for name, function in functions.items():
            clock = time.process_time()
            jax.block_until_ready(function())
            spent[name].append(time.process_time() - clock)
    return {name: np.asarray(seconds) for name, seconds in spent.items()}


def cases():
    """What is measured, its floor, and its bound."""
    task = rnn.student_teacher(0)
    student = task.student
    model, random = with_bias(student), np.random.default_rng(0)
    sgd = optax.sgd(1e-6)
    state = start(task, sgd, 0, 2)
    gradient = gradient_floor(task.horizon, jnp.transpose(task.targets, (1, 2, 0)))
    unit, product = jax.jit(gradient), jax.jit(product_floor(task.horizon))
    direction = jnp.asarray(random.normal(size=student.weight.shape), jnp.float32)
    path, stepping = rnn.sntk(model, task.h0, task.horizon).path, jax.jit(lambda w: steps_floor(gradient, w, task.h0))
    floors = {
        "gradient": lambda: unit(student.weight, task.h0),
        "JᵀJ v": lambda: product(student.weight, path, direction),
        "steps": lambda: stepping(student.weight),
    }
    loss, rows = jax.jit(jax.value_and_grad(task.loss)), {}
    rows["gradient, no bias"] = lambda: loss(student), "gradient", 1.15
    kinds = {
        "W tanh(h) + b": (model, 1.15),
        "tanh(W h + b)": (rnn.VanillaRNN(model.weight, model.bias, "tanh(W@h+b)"), 1.15),
        "any cell, W tanh(h) + b": (Inner(model.weight, model.bias), 1.4),
        "any cell, tanh(W h + b)": (Outer(model.weight, model.bias), 1.4),
    }
    for name, (cell, bound) in kinds.items():
        kernel = rnn.sntk(cell, task.h0, task.horizon)
        vector = jnp.asarray(random.normal(size=kernel.shape[1]), jnp.float32)
        rows[f"gradient, {name}"] = (lambda cell=cell: loss(cell)), "gradient", bound
        rows[f"JᵀJ v, {name}"] = (lambda k=kernel, v=vector: k.fisher_mv(v)), "JᵀJ v", bound
    rows["training steps, no bias"] = (lambda: advance(state, task, sgd, STEPS, STEPS)[1]["loss"]), "steps", 1.15
    return floors, rows


def main() -> None:
    """Measure, print the table."""
    floors, rows = cases()
    spent = timed({f"floor of {name}": f for name, f in floors.items()} | {name: row[0] for name, row in rows.items()})
    for name in floors:
        print(f"{1e3 * np.median(spent[f'floor of {name}']):8.2f} ms  floor of {name}")
    print("  ratio  of the least  bound")
    for name, (_, floor, bound) in rows.items():
        unit, mine = spent[f"floor of {floor}"], spent[name]
        print(f"{np.median(mine / unit):7.3f}  {mine.min() / unit.min():12.3f}  {bound:5.2f}  {name}")


if __name__ == "__main__":
    main()
