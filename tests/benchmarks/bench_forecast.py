"""Forecasts against training: errors from several places, error bars, and cost side by side.

    python tests/benchmarks/bench_forecast.py errors --seeds 0-4 --steps 2000
    python tests/benchmarks/bench_forecast.py cost
    python tests/benchmarks/bench_forecast.py gain
    python tests/benchmarks/bench_forecast.py noise
    python tests/benchmarks/bench_forecast.py driven --seeds 0-2

``errors`` prints each method's miss for each seed and place; ``cost`` the times of a training step, a step of the
twin, a flow and a law, as minima of turns taken in one process; ``gain`` the statuses for students of a strong bulk;
``noise`` the scatter of 200 crossings by random minibatches beside the law's, for three kinds of crossing; ``driven``
flip-flops and context integration, the point followed without input or at a held one.
"""

from __future__ import annotations

import argparse
import time

import jax
import jax.numpy as jnp
import numpy as np
import optax

import rnn
from rnn.approach import settle
from rnn.forecasting import passage
from rnn.forecasting.flow import real_steps
from rnn.forecasting.optimizer import HeavyBall
from rnn.forecasting.twin import twin_of
from rnn.models import Rebuild, flatten
from rnn.studies.forecast.study import extrapolated

BALL = HeavyBall(5e-3, 0.0)
PLACES = (0.0, 0.6, 0.7, 0.75, 0.8, 0.9)
METHODS = ("linear", "quadratic", "law", "twin", "flow")


def trained(seed, steps, gain=0.5):
    """A run, its critical moduli and the step of its crossing, exact to interpolation between single steps."""
    task = rnn.student_teacher(seed, gain=gain)
    run = rnn.train(task, steps=steps, diagnose_every=0, save_every=10)
    size = task.h0.shape[1]
    moduli = np.array([np.abs(np.linalg.eigvals(w.reshape(size, size))).max() for w in run.path.parameters])
    if moduli.max() < 1:
        return run, moduli, float("nan")
    k = int(np.argmax(moduli >= 1))
    near = real_steps(task, run.path.parameters[k - 1], BALL, 11)
    fine = [np.abs(np.linalg.eigvals(w.reshape(size, size))).max() for w in near.parameters]
    return run, moduli, passage(run.path.steps[k - 1] + np.arange(11.0), np.array(fine))


def errors(seeds, steps):
    held = made = 0
    misses = {}
    for seed in seeds:
        run, moduli, true = trained(seed, steps)
        for place in PLACES:
            k = int(np.argmax(moduli > place)) if place else 0
            at = float(run.path.steps[k])
            for degree, method in ((1, "linear"), (2, "quadratic")):
                date = extrapolated(run.path.steps, moduli, k, degree)
                misses.setdefault((method, place), []).append(100 * (date - true) / (true - at))
            for method in ("flow", "law", "twin"):
                view = rnn.forecast(run, at=at, method=method)
                miss = view.crossing - true
                if np.isfinite(miss):
                    made += 1
                    held += abs(miss) <= view.error
                    misses.setdefault((method, place), []).append(miss if place == 0.9 else 100 * miss / (true - at))
                print(
                    f"seed {seed}  λ {moduli[k]:.3f}  {method:5} {view.status:10} to go {true - at:7.1f}"
                    f"  miss {miss:+7.2f} ({100 * miss / (true - at):+6.2f} %)  bar {view.error:6.2f}"
                    f"  gradients {view.cost.gradients}",
                    flush=True,
                )
    print(f"error bars hold in {held} of {made}; misses in % of the steps to go (from .9, of a method: steps):")
    for method in METHODS:
        rows = [np.array(misses.get((method, place), [np.nan])) for place in PLACES]
        told = [f"{np.nanmin(v):+.2f} … {np.nanmax(v):+.2f}" if np.any(np.isfinite(v)) else "none" for v in rows]
        print(f"{method:10}", "  ".join(told))


def fastest(turns, works):
    """Minimal seconds of each work, the works taking turns."""
    times = [[] for _ in works]
    for work in works:
        work()  # compiled
    for _ in range(turns):
        for k, work in enumerate(works):
            began = time.perf_counter()
            work()
            times[k].append(time.perf_counter() - began)
    return [min(t) for t in times]


def cost():
    task = rnn.student_teacher(0)
    small, _ = twin_of(task, task.student, 18)
    large_flat, small_flat = (np.asarray(flatten(t.student)) for t in (task, small))
    late = real_steps(task, large_flat, BALL, 552).parameters[-1]
    model = rnn.ModelPath.of([task.student, task.student]).rebuild(late)
    full, twin, flow, law, foreseen = fastest(
        5,
        [
            lambda: real_steps(task, large_flat, BALL, 101),
            lambda: real_steps(small, small_flat, BALL, 101),
            lambda: rnn.forecast(task.student, task),
            lambda: rnn.forecast(model, task, at=551, method="law"),
            lambda: rnn.forecast(task.student, task, method="twin"),
        ],
    )
    step = full / 101
    print(f"training step {1e3 * step:.2f} ms, twin-18 step {1e3 * twin / 101:.2f} ms: {full / twin:.1f} times cheaper")
    print(f"flow from step 0 {flow:.2f} s: {628 * step / flow:.1f} times cheaper than its 628 steps")
    print(f"twin from step 0 {foreseen:.2f} s: {628 * step / foreseen:.1f} times cheaper than those")
    print(f"law {1e3 * law:.1f} ms: {law / step:.1f} training steps")


def gain():
    for seed in range(3):
        run, _, true = trained(seed, 1500, gain=0.9)
        for method in ("law", "twin", "flow"):
            view = rnn.forecast(run, at=0, method=method, ahead=1500)
            print(f"seed {seed} {method} {view.status} crossing {view.crossing:.1f} true {true:.1f}: {view.detail}")


def noise(runs=200, size=16):
    for kind, block in (
        ("steady", np.diag([1.5, 0.4])),
        ("period doubling", np.diag([-1.5, 0.3])),
        ("Neimark–Sacker", 1.4 * np.array([[np.cos(0.9), -np.sin(0.9)], [np.sin(0.9), np.cos(0.9)]])),
    ):
        rng = np.random.default_rng(0)
        weight, teacher, h0 = rng.normal(size=(size, size)), np.zeros((size, size)), np.zeros((64, size))
        weight *= 0.4 / np.abs(np.linalg.eigvals(weight)).max()
        teacher[:2, :2], h0[:, :2] = block, rng.uniform(-1.5, 1.5, (64, 2))
        student, teacher = (rnn.VanillaRNN(jnp.asarray(w, jnp.float32)) for w in (weight, teacher))
        h0 = jnp.asarray(h0, jnp.float32)
        task = rnn.Task(student, h0, rnn.trajectory(teacher, h0, 12)[..., :2])
        for rate, batch in ((0.02, 8), (0.02, 2), (0.005, 4)):
            steps = real_steps(task, np.asarray(flatten(student)), HeavyBall(rate, 0.0), int(7 / rate)).parameters
            start = steps[int(np.argmax(np.abs(np.linalg.eigvals(steps.reshape(-1, size, size))).max(-1) > 0.65))]
            view = rnn.forecast(
                Rebuild(student)(start), task, method="law", optimizer=optax.sgd(rate), batch_size=batch
            )
            true = crossings(task, start, rate, batch, runs, int(2.2 * view.crossing) + 20)
            print(
                f"{kind}, rate {rate}, batch {batch}: law {view.crossing:.2f} ± {view.deviation:.2f}, {runs} runs"
                f" {np.mean(true):.2f} ± {np.std(true):.2f}; within 1.96 deviations"
                f" {np.mean(np.abs(true - view.crossing) < 1.96 * view.deviation):.1%}",
                flush=True,
            )


def crossings(task, start, rate, batch, runs, steps):
    """Of descents that draw their minibatches with replacement."""
    rebuild, size = Rebuild(task.student), task.h0.shape[1]

    def one(key):
        def step(flat, key):
            chosen = jax.random.randint(key, (batch,), 0, task.h0.shape[0])
            rows = jax.tree.map(lambda x: x[chosen], task.batch)
            return flat - rate * jax.grad(lambda p: task.loss(rebuild(p), rows))(flat), flat

        return jax.lax.scan(step, jnp.asarray(start), jax.random.split(key, steps))[1]

    rows = np.asarray(jax.jit(jax.vmap(one))(jax.random.split(jax.random.key(0), runs)))
    moduli = np.abs(np.linalg.eigvals(rows.reshape(runs, steps, size, size))).max(-1)
    return np.array([passage(np.arange(float(steps)), m) for m in moduli])


def driven_tasks(seed):
    """Name, task, rate, steps, and the input at which the point is followed."""

    def fixed(full):
        weight = np.asarray(full.student.weight)
        weight = jnp.asarray(0.5 / np.abs(np.linalg.eigvals(weight)).max() * weight, jnp.float32)
        student = rnn.VanillaRNN(weight, None, input_weight=full.student.input_weight)
        return rnn.Task(student, full.h0, full.targets, full.inputs, readout=full.reader)

    yield "flip-flop", fixed(rnn.flip_flop(seed, bits=1)), 5e-3, 600, None
    yield "context", fixed(rnn.context_integration(seed, size=32, batch=64)), 0.05, 6000, None
    if seed % 3 == 0:  # as much work as all others together
        yield "context held", rnn.context_integration(seed, size=32, batch=64), 0.05, 3000, np.float32([0, 0, 1, 0])


def driven(seeds):
    held = made = 0
    for seed in seeds:
        for name, task, rate, steps, x in driven_tasks(seed):
            rule, began = optax.sgd(rate), time.process_time()
            run = rnn.train(task, rule, steps, diagnose_every=0, save_every=5)
            spent = (time.process_time() - began) / steps
            starts = None if x is not None else np.zeros((1, task.h0.shape[1]))
            found = rnn.bifurcations(run, x=x, periods=(1,), every=steps / 20, starts=starts, first=1)
            if not len(found):
                print(f"seed {seed} {name}: no event within {steps} steps", flush=True)
                continue
            true, path = found[0].step, run.path if x is None else run.path.held(x)
            point, moduli = np.zeros(task.h0.shape[1]), []
            if x is not None:
                point = np.asarray(rnn.trajectory(path.model(0), jnp.zeros((1, len(point))), 100)[0, -1], float)
            for step in path.steps[path.steps < true]:
                point, slope, _ = settle(path.model(step), point, np.float32)
                moduli.append(np.abs(np.linalg.eigvals(slope)).max())
            for place in (0, 0.7, 0.8):
                at = float(path.steps[int(np.argmax(np.array(moduli) > place))]) if place else 0.0
                for method in ("flow", "law"):
                    began = time.process_time()
                    view = rnn.forecast(run, at=at, method=method, optimizer=rule, x=x, ahead=2 * steps)
                    miss, took = view.crossing - true, time.process_time() - began
                    if np.isfinite(miss):
                        made, held = made + 1, held + bool(abs(miss) <= view.error)
                    print(
                        f"seed {seed} {name} ({found[0].kind})  λ {max(place, moduli[0]):.2f}  {method:4} {view.status}"
                        f"  to go {true - at:.1f}  miss {miss:+.2f} ({100 * miss / (true - at):+.2f} %)"
                        f"  bar {view.error:.1f}  gradients {view.cost.gradients}  steps' time {took / spent:.0f}",
                        flush=True,
                    )
    print(f"error bars hold in {held} of {made}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("errors", "cost", "gain", "noise", "driven"))
    parser.add_argument("--seeds", default="0-4")
    parser.add_argument("--steps", type=int, default=2000)
    given = parser.parse_args()
    first, _, last = given.seeds.partition("-")
    chosen = range(int(first), int(last or first) + 1)
    {
        "errors": lambda: errors(chosen, given.steps),
        "driven": lambda: driven(chosen),
        "cost": cost,
        "gain": gain,
        "noise": noise,
    }[given.what]()
