"""Trained driven networks: which events there are at held and periodic inputs, and what else happens when.

    python tests/benchmarks/bench_driven.py coincide --seeds 2 --out driven.json
    python tests/benchmarks/bench_driven.py foretold --seeds 3
    python tests/benchmarks/bench_driven.py gated

``coincide``: five ready tasks are trained by Adam. For each the bifurcations are found of the network without input, at
held inputs and under periodic ones; every event is then checked by direct simulation on both sides of it.
Beside them stand the finite-time exponents along the task's own trajectories, the stable rank, and the loss.
``foretold``: driven prediction of trained flip-flops. ``gated``: a GRU from training to kernel, timed.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax

import rnn
from rnn.dynamics import float64

EVERY = 10
OPTIMIZER, DESCENT = optax.adam(2e-3), optax.sgd(0.02)
TASKS = {  # the task, and steps of Adam
    "flip-flop": (lambda seed, size: rnn.flip_flop(seed, size=size, bits=1, batch=64), 300),
    "sine": (lambda seed, size: rnn.sine(seed, size=size, batch=32), 500),
    "context integration": (lambda seed, size: rnn.context_integration(seed, size=size, batch=64), 400),
    "delayed recall": (lambda seed, size: rnn.delayed_recall(seed, size=size, batch=64), 400),
    "adding": (lambda seed, size: rnn.adding(seed, size=size, batch=64), 400),
}


def inputs_of(name):
    """Held inputs by name, and one period of a periodic one by name."""
    if name == "flip-flop":
        pulses = np.zeros((10, 1))
        pulses[0], pulses[5] = 1, -1
        return {"pulse held": [1.0]}, {"±1 every 5 steps": pulses}
    if name == "sine":
        slow = np.repeat([[1.0], [-1.0]], 10, axis=0)
        return {"cue −1": [-1.0], "cue 0": [0.0], "cue 1": [1.0]}, {"cue ±1 by turns of 10": slow}
    if name == "context integration":
        wave = np.zeros((10, 4))
        wave[:, 0], wave[:, 2] = 0.5 * np.cos(2 * np.pi * np.arange(10) / 10), 1
        return {"context 1": [0.0, 0, 1, 0], "context 2": [0.0, 0, 0, 1]}, {"context 1, wave in stream 1": wave}
    if name == "delayed recall":
        trial = np.zeros((22, 5))
        trial[0, 0], trial[21, 4] = 1, 1
        return {"cue held": [0.0, 0, 0, 0, 1]}, {"one trial": trial}
    mark = np.full((10, 2), [0.5, 0.0])
    mark[0, 1] = 1
    return {"mean number": [0.5, 0.0]}, {"a mark every 10 steps": mark}


def trained(name, seed, size, rank):
    make, steps = TASKS[name]
    return rnn.train(make(seed, size), OPTIMIZER, steps, save_every=EVERY, diagnose_every=EVERY if rank else 0)


def diagrams(run, name):
    """Paths of maps without input, at held and at periodic inputs, with their events."""
    held, periodic = inputs_of(name)
    ways = {"no input": (run.path.held(np.zeros(run.task.inputs.shape[2])), {})}
    ways |= {key: (run.path.held(np.asarray(x, np.float32)), {}) for key, x in held.items()}
    ways |= {key: (run.path.stroboscopic(np.asarray(x, np.float32)), {}) for key, x in periodic.items()}
    states = np.asarray(rnn.trajectory(run.model(run.steps), run.task.h0, inputs=run.task.inputs))[:48:3, -1]
    starts = np.concatenate([np.zeros((1, states.shape[1])), states]).astype(float)
    return {key: (path, rnn.bifurcations(path, every=2 * EVERY, starts=starts)) for key, (path, _) in ways.items()}


def simulated(path, event, others):
    """Whether the network itself, iterated on both sides of the event, does what the event says, and what it did.

    At a fold an orbit that starts at the critical point stays between the two points where there are such, and leaves
    on the other side. At the others a small displacement along the critical vector shrinks on one side, grows on the
    other.
    """
    with jax.enable_x64(True):
        form = event.normal_form
        p = np.asarray(form.adjoint_eigenvector, complex)
        c = {key: complex(value) for key, value in form.coefficients.items()}
        first, last = path.steps[0], path.steps[-1]
        near = 0.2 * min((abs(o.step - event.step) for o in others if o is not event), default=np.inf)
        if event.kind == "saddle_node":
            product = (c["c0"] * c["c2"]).real
            apart = min(1e-4 / abs(product), near, 0.4)
            seen = []
            for side in (-1, 1):
                step = float(np.clip(event.step + side * apart, first, last))
                model = float64(path.rebuild(path.flat(step)))
                gain = product * (step - event.step)
                time_ = int(np.pi / np.sqrt(abs(gain)))
                size = np.sqrt(abs(gain)) / abs(c["c2"])
                orbit = iterated(model, event.point, (4 if gain < 0 else 3) * time_, event.period)
                seen.append((gain < 0, float(np.max(np.abs((orbit - event.point) @ p.real)) / size)))
            inside = [reach for exists, reach in seen if exists]
            outside = [reach for exists, reach in seen if not exists]
            return bool(max(inside) < 1.5 and min(outside) > 2.5), seen
        apart = min(2e-3 / abs(c["dlambda"]), near, 0.5)
        rates = []
        for side in (-1, 1):
            model = float64(path.rebuild(path.flat(float(np.clip(event.step + side * apart, first, last)))))
            point = settled(model, event.point, event.period)
            rates.append(growth(model, point, event.multiplier, event.period))
        return bool((rates[0] - 1) * (rates[1] - 1) < 0), rates


def growth(model, point, near, period, small=1e-8, count=60):
    """By what factor per step a displacement along the vector of the multiplier next to ``near`` grows in the network.

    Both orbits are the network's own; what the others of its modes add to the displacement is projected away.
    """
    A = np.asarray(jax.jacfwd(lambda h: image(model, h, period))(jnp.asarray(point)))
    values, vectors = np.linalg.eig(A)
    k = int(np.argmin(np.abs(values - near)))
    q, p = np.real(vectors[:, k]), np.linalg.inv(vectors)[k]
    moved = iterated(model, point + small * q, count, period) - iterated(model, point, count, period)
    size = np.abs(moved @ p)
    use = np.linalg.norm(moved, axis=1) < 1e-4
    turn = np.flatnonzero(use)[-1]
    return float((size[turn] / size[0]) ** (1 / turn)) if turn else float("nan")


def image(model, h, period):
    for _ in range(period):
        h = model(h)
    return h


def iterated(model, h, count, period):
    h = jnp.asarray(h)
    later = jax.lax.scan(lambda h, _: (image(model, h, period),) * 2, h, length=count)[1]
    return np.concatenate([np.asarray(h)[None], np.asarray(later)])


def settled(model, point, period):
    """The fixed point next to ``point``, by Newton's method."""
    h = jnp.asarray(point)
    for _ in range(20):
        slope = jax.jacfwd(lambda h: image(model, h, period))(h)
        h = h - jnp.linalg.solve(slope - jnp.eye(h.size), image(model, h, period) - h)
    return np.asarray(h)


def course(run):
    """Mean and largest conditional multiplier ``exp(exponent)`` along the task's trajectories."""
    steps = np.arange(0, run.steps + 1, 2 * EVERY)
    found = [rnn.exponents(run.model(s), run.task.h0[:16], run.task.inputs[:16], rounds=2).values[:, 0] for s in steps]
    return steps, np.exp([f.mean() for f in found]), np.exp([f.max() for f in found])


def steepest(steps, values, width=3):
    """Where ``ln values`` falls most within a stretch, and by how much."""
    log = np.log(np.asarray(values, float))
    fall = log[width:] - log[:-width]
    k = int(np.argmin(fall))
    return float((steps[k] + steps[k + width]) / 2), float(np.exp(fall[k]))


def coincide(seeds, names, size, ranked, out):
    record = {}
    for seed in range(seeds):
        for name in names:
            clock = time.process_time()
            run = trained(name, seed, size, ranked)
            row = {"loss": [float(run.loss[0]), float(run.loss[-1])]}
            trained_in = time.process_time() - clock
            row["events"] = {}
            for key, (path, found) in diagrams(run, name).items():
                row["events"][key] = []
                for event in found:
                    good, seen = simulated(path, event, found)
                    item = {"kind": event.kind, "step": event.step, "period": event.period, "good": good, "seen": seen}
                    row["events"][key].append(item)
                    print(f"  {key}: {event.kind} at {event.step:.2f} period {event.period} {good} {seen}", flush=True)
                for text in found.unresolved:
                    print(f"  {key}: unresolved {text}", flush=True)
            steps, mean, most = course(run)
            row["exponent"] = {"steps": steps.tolist(), "mean": mean.tolist(), "most": most.tolist()}
            if ranked:
                rank = run.diagnostics
                row["rank"] = {k: np.asarray(rank[k]).tolist() for k in ("step", "stable_rank")}
                row["rank drop"] = steepest(rank["step"], rank["stable_rank"])
            row["loss drop"] = steepest(np.arange(0, run.steps, EVERY), run.loss[::EVERY])
            row["cpu"] = [trained_in, time.process_time() - clock]
            record[f"{name} {seed}"] = row
            peak = int(np.argmax(mean))
            print(name, seed, {k: row[k] for k in ("loss", "rank drop", "loss drop", "cpu") if k in row}, flush=True)
            print(f"  growth: mean {mean[peak]:.3f} at {steps[peak]}, largest {most.max():.3f}", flush=True)
            if out:
                out.write_text(json.dumps(record))


def gated(steps=600, every=50):
    """A GRU of 64 units on the three-bit flip-flop, from training to events and kernel: processor seconds of each."""
    clock = time.process_time()

    def told(stage, text):
        nonlocal clock
        print(f"{stage}: {time.process_time() - clock:.1f} s; {text}", flush=True)
        clock = time.process_time()

    task = rnn.flip_flop(0, bits=3, cell="gru")
    run = rnn.train(task, optax.adam(5e-3), steps, batch_size=128, diagnose_every=100)
    rank = np.round(run.diagnostics["stable_rank"], 1).tolist()
    told("training", f"loss {run.loss[0]:.3f} to {run.task_at(steps).loss(run.model(steps)):.4f}, stable rank {rank}")
    found = rnn.bifurcations(run, every=every, periods=(1,))
    told("events", [(e.kind, round(e.step, 1)) for e in found] + list(found.unresolved))
    points = rnn.fixed_points(
        run.model(steps), starts=np.asarray(rnn.trajectory(run.model(steps), task.h0, inputs=task.inputs)[:, -1])
    )
    told("fixed points of the last network", f"{len(points)}, {int(points.stable.sum())} of them stable")
    kernel = rnn.sntk(run.model(steps), task.h0, inputs=task.inputs)
    modes = kernel.leading(3)
    told("kernel", f"singular values {np.round(np.asarray(modes.singular_values), 2).tolist()}")
    growth = rnn.exponents(run.model(steps), task.h0, task.inputs, k=3)
    told("exponents", np.round(growth.mean, 3).tolist())


def foretold(seeds):
    """Driven prediction on trained flip-flops of 64 units at their first pitchfork, by factor on the pulses."""
    for seed in range(seeds):
        full = rnn.flip_flop(seed, bits=1)
        scale = jnp.asarray(0.5 / np.abs(np.linalg.eigvals(full.student.weight)).max(), jnp.float32)
        student = rnn.VanillaRNN(scale * full.student.weight, None, input_weight=full.student.input_weight)
        task = rnn.Task(student, full.h0, full.targets, full.inputs, readout=full.reader)
        run = rnn.train(task, DESCENT, 90, save_every=2, diagnose_every=0)
        event = rnn.bifurcations(run, every=10, periods=(1,), first=1, starts=np.zeros((1, 64)))[0]
        print(f"seed {seed}: {event.kind} at step {event.step:.1f}", flush=True)
        for factor in (0.25, 1.0, 2.0):
            sweep = rnn.restrict(event, inputs=factor * np.asarray(task.inputs), count=21)
            found = rnn.predict(sweep)
            for rung in found.rungs:
                parts = []
                for low in (0.8, 0.9):
                    keep = sweep.parameter > low - 1e-6
                    part = rnn.restricted.Prediction({rung: found.rungs[rung][keep]}, found.measured[keep])
                    parts.append(f"[{low}, 1.2] R2 {part.r2():.5f} error {part.max_relative_error():.4%}")
                print(f"  x {factor:g} {rung}: {'; '.join(parts)}", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=("coincide", "gated", "foretold"))
    parser.add_argument("--tasks", nargs="+", default=list(TASKS))
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--rank", action="store_true", help="also the stable rank along training")
    parser.add_argument("--out", type=Path)
    a = parser.parse_args()
    if a.what == "gated":
        gated()
    elif a.what == "foretold":
        foretold(a.seeds)
    else:
        coincide(a.seeds, a.tasks, a.size, a.rank, a.out)
