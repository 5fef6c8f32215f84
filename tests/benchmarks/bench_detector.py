"""How often :func:`rnn.watch` warns before a bifurcation, how early, and how often in vain; prints a table.

    python tests/benchmarks/bench_detector.py
    python tests/benchmarks/bench_detector.py --bias trained --each 6
    python tests/benchmarks/bench_detector.py --foreign --seed 1

Students of 24 neurons learn teachers with multipliers +σ, −σ or a rotating pair, in their two read-out neurons, by
gradient descent at 5e-3; a look every 20 steps. Teachers with σ > 1 make students cross, the others must not be warned
of. With a trained bias the event is the first that :func:`rnn.bifurcations` finds, on whichever fixed point. The
baseline draws a straight line through the modulus of the critical multiplier at the last five looks.

With ``--foreign`` the tasks are those of ``foreign.py``, one run of each with a look every 10 steps. The event is then
the first of the point that is followed. Runs whose only events are on other points are counted apart. The truth looks
at every 20th step, and at every fifth where the watch confirms what that did not find.
"""

from __future__ import annotations

import argparse
import json

import equinox as eqx
import foreign
import jax
import jax.numpy as jnp
import numpy as np

import rnn
from rnn.models.model import partition

SIZE, BATCH, HORIZON, EVERY, LOOKS = 24, 32, 25, 20, 220


def rotation(radius, angle):
    return radius * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])


def tasks(seed, each, bias):
    """Kind of task, task, and the steps over which the rate falls to 1/e (0: it does not)."""
    for k in range(each):
        gain = 0.5 + 0.05 * (k % 4)
        rng = np.random.default_rng((seed, k))
        yield "paper's teacher", rnn.student_teacher(seed + k, size=SIZE, batch=BATCH, gain=gain, bias=bias), 0
        for name, block in (
            ("above, +", np.diag([1.1 + 0.04 * k, 0.6])),
            ("above, −", np.diag([-1.3 - 0.03 * k, 0.5])),
            ("above, pair", rotation(1.2 + 0.03 * k, 0.4 + 0.2 * k)),
            ("above, two modes", np.diag([1.2 + 0.04 * k, 1.05 + 0.02 * k])),
        ):
            yield name, imitation(rng, block, gain, bias), 0
        for name, block in (
            ("stable", np.diag([0.3 + 0.04 * k, 0.2])),
            ("just below, +", np.diag([0.9 + 0.007 * k, 0.5])),
            ("just below, −", np.diag([-0.9 - 0.007 * k, 0.5])),
            ("just below, pair", rotation(0.9 + 0.007 * k, 0.4 + 0.2 * k)),
        ):
            yield name, imitation(rng, block, gain, bias), 0
        yield "fading rate", imitation(rng, np.diag([1.1 + 0.01 * k, 0.5]), gain, bias), 300 + 40 * k


def imitation(rng, block, gain, bias):
    """The task of following a teacher whose read-out neurons have the multipliers of ``block``, and nothing else."""
    weight = rng.normal(size=(SIZE, SIZE))
    weight *= gain / np.max(np.abs(np.linalg.eigvals(weight)))
    teacher, h0 = np.zeros((SIZE, SIZE)), np.zeros((BATCH, SIZE))
    teacher[:2, :2], h0[:, :2] = block, rng.uniform(-2, 2, (BATCH, 2))
    zeros = jnp.zeros(SIZE, jnp.float32) if bias == "trained" else None
    student, teacher = (rnn.VanillaRNN(jnp.asarray(w, jnp.float32), b) for w, b in ((weight, zeros), (teacher, None)))
    h0 = jnp.asarray(h0, jnp.float32)
    return rnn.Task(student, h0, rnn.trajectory(teacher, h0, HORIZON)[..., :2], teacher=teacher)


@jax.jit
def descend(task, fade):
    """The student at every look."""
    start, rest = partition(task.student)

    def step(carry, _):
        parameters, k = carry
        gradient = jax.grad(lambda p: task.loss(eqx.combine(p, rest)))(parameters)
        rate = 5e-3 * jnp.where(fade > 0, jnp.exp(-k / jnp.where(fade > 0, fade, 1)), 1)
        return (jax.tree.map(lambda p, g: p - rate * g, parameters, gradient), k + 1), None

    def stretch(carry, _):
        return jax.lax.scan(step, carry, length=EVERY)[0], eqx.combine(carry[0], rest)

    return jax.lax.scan(stretch, (start, jnp.zeros(())), length=LOOKS)[1]


def straight_line(steps, radius, ahead, window=5):
    """The baseline: whether the line through the last looks meets 1 within ``ahead`` steps."""
    if len(radius) < window or not np.all(np.diff(radius[-window:]) > 0):
        return False
    return 1 - radius[-1] <= ahead * np.polyfit(steps[-window:], radius[-window:], 1)[0]


def judge(task, models, bias):
    """Step of the event (−1: none), of the first warning and of the baseline's first at 100, 200 and 400 steps."""
    event = rnn.bifurcations(models, every=5, first=1) if bias == "trained" else ()
    crossed = event[0].step * EVERY if len(event) else -1
    warned, said = -1, None
    seen = rnn.watch(task.student, task.h0, HORIZON, loss=task.loss)
    for k, model in enumerate(models):
        if 0 < crossed <= k * EVERY:
            break
        seen = seen.look(model, float(k * EVERY))
        if bias == "frozen" and abs(seen.multipliers[-1]) >= 1:
            crossed = k * EVERY
            break
        if warned < 0 and seen.notice is not None and not seen.notice.confirmed:
            warned, said = k * EVERY, seen.notice.steps
    steps, radius = np.asarray(seen.steps), np.abs(seen.multipliers)
    before = np.searchsorted(steps, crossed) if crossed > 0 else len(steps)
    lines = {
        a: next((int(steps[k - 1]) for k in range(1, before + 1) if straight_line(steps[:k], radius[:k], a)), -1)
        for a in (100, 200, 400)
    }
    kind = event[0].kind if len(event) else ""
    return {"crossed": crossed, "event": kind, "warned": warned, "said": said, "lines": lines, "most": radius.max()}


def table(rows):
    """Warned before, leads and false alarms of the detector and of the baseline."""
    crossing, quiet = [r for r in rows if r["crossed"] > 0], [r for r in rows if r["crossed"] < 0]
    print(f"{len(crossing)} runs with an event, {len(quiet)} without")
    for name, warned in (
        ("rnn.watch", lambda r: r["warned"]),
        *((f"straight line, {a} ahead", lambda r, a=a: r["lines"][a]) for a in (100, 200, 400)),
    ):
        lead = [r["crossed"] - warned(r) for r in crossing if warned(r) >= 0]
        false = [r["kind"] for r in quiet if warned(r) >= 0]
        print(
            f"{name}: warned before {len(lead) / len(crossing):.1%}, lead median {np.median(lead):.0f} "
            f"(quartiles {np.quantile(lead, 0.25):.0f}, {np.quantile(lead, 0.75):.0f}), "
            f"false {len(false)}/{len(quiet)} = {len(false) / len(quiet):.1%} {sorted(set(false))}"
        )
    date = [r["said"] / (r["crossed"] - r["warned"]) for r in crossing if r["warned"] >= 0]
    print(f"steps said over true, quartiles: {np.quantile(date, [0.25, 0.5, 0.75]).round(2)}")


KINDS = {"saddle_node": "steady", "transcritical": "steady", "pitchfork": "steady"}
EARLY = 60  # an event before that leaves no time for two looks that agree


def foreign_rows(seed, only, stride):
    """One row for every setting of ``foreign.py``, or every second."""
    for kind, cell, bias, optimizer in list(foreign.settings())[::stride]:
        if only and kind not in only:
            continue
        tx, steps = foreign.OPTIMIZERS[optimizer]
        (run,) = rnn.train_all([foreign.task_of(kind, cell, bias, seed)], tx, steps, save_every=5)
        found = rnn.bifurcations(run, every=20, periods=(1,), first=4)
        name = f"{kind}, {cell}{'' if bias else ' without bias'}, {optimizer}"
        row = foreign_row(run, found)
        if row["confirmed"] and row["confirmed"][0] < row["event"]:
            row = foreign_row(run, rnn.bifurcations(run, every=5, periods=(1,), first=4))
        yield {"kind": name, **row}


def foreign_row(run, found):
    """Events of the followed point and of others, the warnings, and where they were interrupted."""
    h0 = jnp.asarray(np.random.default_rng(1).normal(size=(8, foreign.SIZE)), jnp.float32)
    seen = rnn.watch(run.task.student, h0, 5, loss=run.task.loss)
    notices, start = [], None
    for step in range(0, run.steps + 1, 10):
        seen = seen.look(run.model(step), step, loss=run.task_at(step).loss)
        start = np.asarray(seen.point) if start is None else start
        notices.append((step, seen.notice))
    mine = min(range(len(found.branches)), key=lambda i: apart(found.branches[i], start))
    events = [(e.step, KINDS.get(e.kind, e.kind)) for e in found if e.branch == mine]
    ended = found.branches[mine].ended
    events += [] if ended is None else [(found[ended].step, KINDS.get(found[ended].kind, found[ended].kind))]
    event, kind = min(events, default=(float("inf"), ""))
    warned = [(step, n) for step, n in notices if n is not None and not n.confirmed and step < event]
    first, last = (warned[0], warned[-1]) if warned else ((-1, None), (-1, None))
    silent = [step for step, n in notices if n is None and first[0] < step < min(event, last[0])] if warned else []
    return {
        "event": event,
        "event_kind": kind,
        "elsewhere": min((e.step for e in found), default=float("inf")),
        "most": float(max(np.max(np.abs(p.multipliers)) for p in found.branches[mine].places)),
        "status": found.branches[mine].status,
        "warned": first[0],
        "first_kind": first[1].kind if warned else "",
        "last": last[0],
        "last_kind": last[1].kind if warned else "",
        "silent": len(silent),
        "stood": bool(warned) and last[0] + 10 >= event,
        "confirmed": next(([step, n.kind] for step, n in notices if n is not None and n.confirmed), None),
    }


def apart(branch, point):
    """How far a branch starts from the followed point; infinite where it is born later."""
    place = branch.places[0]
    return float(np.linalg.norm(place.point - point)) if place.step < 1 else float("inf")


def foreign_table(rows):
    """Warned before, kinds and false alarms, by what happens to the followed point."""
    late = [r for r in rows if EARLY < r["event"] < float("inf")]
    early = [r for r in rows if r["event"] <= EARLY]
    apart = [r for r in rows if r["event"] == float("inf") > r["elsewhere"]]
    quiet = [r for r in rows if r["event"] == r["elsewhere"] == float("inf")]
    hit, soon = ([r for r in group if r["warned"] >= 0] for group in (late, early))
    print(f"{len(rows)} runs, {len(late)} with an event of the followed point after {EARLY} steps")
    lead = [r["event"] - r["warned"] for r in hit]
    quartiles = np.quantile(lead, [0.25, 0.5, 0.75]).round() if lead else None
    print(f"warned before {len(hit)} of {len(late)}, lead {quartiles}")
    for which in ("first", "last"):
        print(
            f"kind of the {which} warning right {sum(r[f'{which}_kind'] == r['event_kind'] for r in hit)} of {len(hit)}"
        )
    print(
        f"interrupted {sum(r['silent'] > 0 for r in hit)} of {len(hit)}, up to the event {sum(r['stood'] for r in hit)}"
    )
    print(f"earlier events {len(early)}, warned {len(soon)}")
    print(f"false {[r['kind'] for r in quiet if r['warned'] >= 0 or r['confirmed']]} of {len(quiet)} without any event")
    told = [r for r in apart if 0 <= r["warned"] < r["elsewhere"]]
    print(f"events on other points alone {len(apart)}, warned before them {len(told)}")


def main() -> None:
    """Train, look, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--each", type=int, default=12, help="runs of every kind")
    parser.add_argument("--bias", choices=("frozen", "trained"), default="frozen")
    parser.add_argument("--foreign", action="store_true", help="tasks that the watch was not designed on")
    parser.add_argument("--only", nargs="*", default=(), help="of the foreign tasks")
    parser.add_argument("--stride", type=int, default=1, help="2: every second foreign setting")
    args = parser.parse_args()
    rows = []
    if args.foreign:
        for row in foreign_rows(args.seed, args.only, args.stride):
            rows.append(row)
            print(json.dumps(row, ensure_ascii=False), flush=True)
        foreign_table(rows)
        return
    for kind, task, fade in tasks(args.seed, args.each, args.bias):
        stacked = descend(task, jnp.float32(fade))
        models = [jax.tree.map(lambda x, k=k: x[k], stacked) for k in range(LOOKS)]
        rows.append({"kind": kind, **judge(task, models, args.bias)})
        print(json.dumps(rows[-1], ensure_ascii=False), flush=True)
    table(rows)


if __name__ == "__main__":
    main()
