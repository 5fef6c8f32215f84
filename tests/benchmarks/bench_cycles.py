"""Restricted kernels through bifurcations of cycles: measured, and predicted without a free parameter.

    python tests/benchmarks/bench_cycles.py planted
    python tests/benchmarks/bench_cycles.py trained --seeds 2 3 4
    python tests/benchmarks/bench_cycles.py resonant --seeds 0 1

``planted``: tanh networks of six units with a chosen cycle, one multiplier of which is ±1, and their round trip's gap
at most .6. ``trained``: students of 32 units, by SGD, of teachers that turn two neurons by a third of a circle, and of
the student–teacher task with the sign turned, whose fixed points become 2-cycles. ``resonant``: a quarter of a circle,
where the 4-cycles are born next to a rotation and no gap parts them from it.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax

import rnn
from rnn.restricted.orbit import cycle_of
from rnn.tasks.students import with_radius

sys.path.insert(0, str(Path(__file__).parents[1] / "rnn"))
from networks import cycle_network, event_at, round_trip

HORIZON, SIZE, BATCH = 24, 32, 128


def turning(seed, period, gain=1.5):
    """A teacher that turns its two read-out neurons by ``2π/period``, and a student with a bias."""
    rng = np.random.default_rng(seed)
    angle = 2 * np.pi / period
    weight, shift = with_radius(rng.normal(size=(SIZE, SIZE)), 0.4), np.zeros(SIZE)
    weight[:2] = 0
    weight[:2, :2] = gain * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    shift[:2] = 0.3 * rng.normal(size=2)
    teacher = rnn.VanillaRNN(jnp.asarray(weight, jnp.float32), jnp.asarray(shift, jnp.float32))
    first = with_radius(rng.normal(size=(SIZE, SIZE)), 0.5)
    student = rnn.VanillaRNN(jnp.asarray(first, jnp.float32), jnp.zeros(SIZE, jnp.float32))
    h0 = np.zeros((BATCH, SIZE))
    h0[:, :2] = rng.uniform(-2, 2, (BATCH, 2))
    h0 = jnp.asarray(h0, jnp.float32)
    return rnn.Task(student, h0, rnn.trajectory(teacher, h0, HORIZON)[..., :2], teacher=teacher)


def negated(seed):
    """The student–teacher task with the sign of both networks turned."""
    task = rnn.student_teacher(seed, size=SIZE, batch=BATCH)
    teacher, student = (rnn.VanillaRNN(-model.weight) for model in (task.teacher, task.student))
    return rnn.Task(student, task.h0, rnn.trajectory(teacher, task.h0, HORIZON)[..., :2], teacher=teacher)


def told(sweep):
    found = rnn.predict(sweep)
    rungs = ", ".join(f"{r} R2 {found.r2(r):.6f} error {found.max_relative_error(r):.2e}" for r in found.rungs)
    spread = f"initial {sweep.initial.min():.2f} to {sweep.initial.max():.2f}"
    return f"{len(sweep.h0)} starts, {spread}, gap {sweep.gap:.2f}: {rungs}; {found.status}"


def planted(each):
    for period in (2, 3, 4):
        for multiplier in (1.0, -1.0):
            count = 0
            for seed in range(60):
                try:
                    model, cycle = cycle_network(period, multiplier, seed)
                except ValueError:  # no such multiplier in reach
                    continue
                mu = np.linalg.eigvals(round_trip(np.asarray(model.weight), cycle))
                if np.max(np.abs(np.delete(mu, np.argmin(np.abs(mu - multiplier))))) > 0.6:
                    continue
                rng = np.random.default_rng(seed)
                event = event_at(model, cycle[0], rng.normal(size=42), period)
                h0 = cycle[np.arange(16) % period] + 0.01 * rng.normal(size=(16, 6))
                span = (0.9, 1.1) if multiplier < 0 else None
                try:
                    sweep = rnn.restrict(event, "gradient", h0=h0, horizon=8 * period, count=9, span=span)
                    print(f"{event.kind} of a {period}-cycle, seed {seed}: {told(sweep)}", flush=True)
                except ValueError as error:
                    print(f"{event.kind} of a {period}-cycle, seed {seed}: refused: {error}", flush=True)
                count += 1
                if count == each:
                    break


def trained(name, task, period, steps, every):
    clock = time.process_time()
    run = rnn.train(task, optax.sgd(0.02), steps, save_every=10, diagnose_every=0)
    found = rnn.bifurcations(run, periods=(1, period), every=every, starts=np.asarray(task.h0[:24]))
    print(
        f"{name}: loss {run.loss[0]:.3f} to {run.loss[-1]:.4f}", [(e.kind, e.period, round(e.step, 1)) for e in found]
    )
    for event in [e for e in found if e.period > 1][:2]:
        with jax.enable_x64(True):
            cycle = cycle_of(event)
        rng = np.random.default_rng(0)
        near = cycle[rng.integers(event.period, size=BATCH // 4)] + 0.05 * rng.normal(size=(BATCH // 4, SIZE))
        own = rnn.restrict(event, count=9)
        kept = own.h0[own.apart < 0.1]
        print(f"  {event.kind} of a {event.period}-cycle at step {event.step:.1f}")
        print("    near the cycle:", told(rnn.restrict(event, h0=near, horizon=HORIZON, count=9)), flush=True)
        print("    the task's own:", told(own), flush=True)
        if len(kept) > 1:
            print("    those that end there:", told(rnn.restrict(event, h0=kept, horizon=HORIZON, count=9)), flush=True)
    print(f"  {time.process_time() - clock:.0f} s", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=("planted", "trained", "resonant"))
    parser.add_argument("--each", type=int, default=3, help="planted networks of each kind")
    parser.add_argument("--seeds", type=int, nargs="+", default=[2, 3, 4])
    a = parser.parse_args()
    jax.config.update("jax_enable_x64", a.what == "planted")
    if a.what == "planted":
        planted(a.each)
    for seed in a.seeds if a.what != "planted" else ():
        if a.what == "resonant":
            trained(f"a quarter turn, seed {seed}", turning(seed, 4), 4, 600, 40)
        else:
            trained(f"a third of a turn, seed {seed}", turning(seed, 3), 3, 600, 40)
            trained(f"student–teacher negated, seed {seed}", negated(seed), 2, 800, 80)
