"""Low-rank natural gradient beside what a user would pick, on the student–teacher task; prints one line per run.

    python tests/benchmarks/bench_optimizer.py fast --seeds 5
    python tests/benchmarks/bench_optimizer.py smooth --seeds 5 --steps 35000 --bias trained
    python tests/benchmarks/bench_optimizer.py rivals --seeds 5
    python tests/benchmarks/bench_optimizer.py grid --seeds 5 --bias trained
    python tests/benchmarks/bench_optimizer.py problems --seeds 3 --seconds 3
    python tests/benchmarks/bench_optimizer.py problems --only flip_flop leaky --seconds 4 --shares 0.1 0.01 0.003
    python tests/benchmarks/bench_optimizer.py edge --seeds 10
    python tests/benchmarks/bench_optimizer.py fresh --first 1 --seeds 4 --steps 300

Times are of compiled code, compilation left out; ``processor`` is the ratio of processor times, which others on the
machine disturb less. ``rivals`` trains every optimizer of one seed in turn in one process; ``grid`` runs every rate on
every seed, as figure 4 takes one rate for all; ``smooth`` changes between SGD and natural gradient every 500 steps, so
that both see the same machine. ``problems`` gives every optimizer the same processor time on the full batches of
:mod:`problems`, the rivals of :mod:`rivals` at the best rate of the first seed;
``fresh`` gives them the same number of minibatches, natural gradient (stochastic) at rates over three decades.
"""

from __future__ import annotations

import argparse
import functools
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from problems import PROBLEMS
from rivals import RIVALS, shampoo, soap
from rivals import course as rivals_course

import rnn
from rnn.models import partition

GOAL, FINE = 5e-4, 1e-8
GRIDS = {  # learning rates and the most steps; the likely best rate first: it shortens the others
    "fast": ((10.0,), 500),
    "adam": ((3e-2, 1e-2, 5e-3, 3e-3, 6e-2, 1e-3, 1e-1, 3e-4), 6_000),
    "momentum": ((5e-3, 1e-2, 2e-2, 2e-3), 12_000),
    "clipped": ((1e-1, 2e-1, 5e-2, 2e-2), 12_000),
    "sgd": ((5e-2, 1e-1, 2e-2, 5e-3), 60_000),
}

BUILD = {
    "sgd": optax.sgd,
    "adam": optax.adam,
    "momentum": lambda rate: optax.sgd(rate, momentum=0.9),
    "clipped": lambda rate: optax.chain(optax.clip_by_global_norm(1.0), optax.sgd(rate)),
    "smooth": rnn.low_rank_natural_gradient,
    "fast": lambda rate: rnn.low_rank_natural_gradient(rate, mode="fast"),
}


@dataclass
class Lane:
    """One optimizer on one task, trained a chunk at a time."""

    task: rnn.Task
    step: object
    carry: object
    rate: float
    loss: list = field(default_factory=list)
    seen: list = field(default_factory=list)
    seconds: list = field(default_factory=list)
    work: list = field(default_factory=list)

    def advance(self):
        """One chunk."""
        clock, work = time.perf_counter(), time.process_time()
        self.carry, (loss, seen) = jax.block_until_ready(self.step(self.carry, self.task, self.rate))
        self.seconds.append(time.perf_counter() - clock)
        self.work.append(time.process_time() - work)
        self.loss.append(np.asarray(loss))
        self.seen.append(seen)

    def until(self, goal, most):
        """Train to the goal or for ``most`` steps: steps (−1 if not reached), wall and processor seconds to it."""
        done = 0
        while done < most:
            self.advance()
            done += len(self.loss[-1])
            if not np.isfinite(self.loss[-1]).all():
                break
            if (steps := arrival(self.losses, goal)) > 0:
                late = (done - steps) / len(self.loss[-1])
                return steps, sum(self.seconds) - late * self.seconds[-1], sum(self.work) - late * self.work[-1]
        return -1, sum(self.seconds), sum(self.work)

    @property
    def losses(self):
        return np.concatenate(self.loss)

    def column(self, name):
        """What the optimizer's state showed after every step; ``name`` may be dotted."""
        return np.concatenate([np.asarray(attrgetter(name)(s)) for s in self.seen])

    @property
    def refreshed(self):
        """Which steps took a product."""
        place = np.stack([self.column("space.turn"), self.column("space.row")])
        return np.any(np.diff(place, axis=1, prepend=0) != 0, axis=0)

    @property
    def model(self):
        return eqx.combine(self.carry[0], partition(self.task.student)[1])


_COMPILED = {}


def lane(task, name, rate, *, chunk=250, build=None):
    """A fresh lane, its chunk compiled once for each name, chunk and shape of task."""
    make = BUILD[name] if build is None else build

    def run(carry, task, rate):
        rest = partition(task.student)[1]
        optimizer = optax.with_extra_args_support(make(rate))
        fisher = rnn.fisher_of(task)

        def step(carry, _):
            parameters, state = carry
            loss, gradient = jax.value_and_grad(lambda p: task.loss(eqx.combine(p, rest)))(parameters)
            update, state = optimizer.update(gradient, state, parameters, value=loss, fisher=fisher)
            seen = ()
            # but for what is as large as the parameters
            if isinstance(state, rnn.LowRankState):
                seen = state._replace(space=state.space._replace(vectors=0), parameters=0, gradient=0)
            elif isinstance(state, rnn.GaussNewtonState):
                seen = state._replace(parameters=0, gradient=0, direction=0)
            return (optax.apply_updates(parameters, update), state), (loss, seen)

        return jax.lax.scan(step, carry, length=chunk)

    start = jax.tree.map(jnp.array, partition(task.student)[0])  # copied, as a chunk overwrites what it is given
    key = name, chunk, str(jax.tree.map(lambda x: (x.shape, x.dtype), eqx.filter(task, eqx.is_array)))
    rate = np.float32(rate)
    carry = start, make(rate).init(start)
    if key not in _COMPILED:
        _COMPILED[key] = jax.jit(run, donate_argnums=0).lower(carry, task, rate).compile()
    return Lane(task, _COMPILED[key], carry, rate)


def arrival(loss, goal):
    """The first step whose loss is at most ``goal``, −1 if there is none."""
    hit = np.flatnonzero(loss <= goal)
    return int(hit[0]) if len(hit) else -1


def variation(loss, rejected=None):
    """Positive variation of the log loss; with ``rejected`` of the accepted losses alone."""
    if rejected is not None:
        loss = loss[np.diff(np.concatenate([[0], rejected])) == 0]
    return float(np.maximum(np.diff(np.log(loss)), 0).sum())


def rise(values):
    """Largest relative rise between successive accepted losses."""
    return float(np.max(np.diff(values) / values[:-1], initial=0))


def multipliers(model):
    """The two leading moduli at the origin."""
    return np.sort(np.abs(np.linalg.eigvals(np.asarray(model.weight))))[::-1][:2]


def show(**row):
    """One line of JSON."""
    print(json.dumps({k: float(f"{v:.6g}") if isinstance(v, float) else v for k, v in row.items()}), flush=True)


def fast(seeds, steps, rate, bias):
    """Steps and time to the goals, rejections, positive variation, recovered multipliers."""
    for seed in seeds:
        task = rnn.student_teacher(seed, bias=bias)
        plain, run = lane(task, "sgd", 5e-3, chunk=50), lane(task, "fast", rate, chunk=5)
        plain.until(0, 50)
        at, seconds, work = run.until(GOAL, steps)
        while sum(map(len, run.loss)) < steps:
            run.advance()
        found = multipliers(run.model)
        show(
            seed=seed,
            bias=bias,
            steps=at,
            seconds=seconds,
            work=work,
            fine=arrival(run.losses, FINE),
            fine_work=float(np.sum(run.work[: max(arrival(run.losses, FINE), 0) // 5 + 1])),
            reached=float(np.min(run.losses[: 5 * (int(np.searchsorted(np.cumsum(run.work), 4.0)) + 1)])),
            sgd_step=float(np.median(plain.seconds)) / 50,
            step=float(np.median(run.seconds)) / 5,
            processor=float(np.median(run.work) * 10 / np.median(plain.work)),
            rejected=int(run.column("rejected")[-1]),
            variation=variation(run.losses),
            accepted=rise(run.column("value")),
            final=float(run.losses[-1]),
            multipliers=found.round(4).tolist(),
        )


def rivals(seeds):
    """Every optimizer at the best rate of its grid, its time to the goal over that of fast mode.

    A rate that has not arrived when the best so far had is not run to its end.
    """
    for seed in seeds:
        task = rnn.student_teacher(seed)
        unit = None
        for name, (rates, most) in GRIDS.items():
            arrived = {}
            for rate in rates:
                run = lane(task, name, rate, chunk=50)
                steps, *taken = run.until(GOAL, min((a[0] for a in arrived.values()), default=most))
                if steps > 0:
                    arrived[rate] = steps, *taken, variation(run.losses)
            if not arrived:
                show(seed=seed, optimizer=name, steps=-1)
                continue
            rate = min(arrived, key=lambda rate: arrived[rate][0])
            steps, seconds, work, rises = arrived[rate]
            unit = unit or (seconds, work)  # fast mode comes first
            ratios = {"wall": seconds / unit[0], "processor": work / unit[1]}
            show(seed=seed, optimizer=name, rate=rate, steps=steps, seconds=seconds, **ratios, variation=rises)


def grid(seeds, biases, most=6_000):
    """The steps in which each rate of each optimizer arrives on each seed, −1 where it does not."""
    for bias in biases:
        tasks = [rnn.student_teacher(seed, bias=bias) for seed in seeds]
        for name in ("adam", "momentum", "clipped"):
            for rate in sorted(GRIDS[name][0]):
                runs = [lane(task, name, rate, chunk=250) for task in tasks]
                steps = [run.until(GOAL, most)[0] for run in runs]
                typical = float(np.median([s if s > 0 else np.inf for s in steps]))
                show(bias=bias, optimizer=name, rate=rate, steps=steps, median=typical)


def smooth(seeds, steps, biases, chunk=500):
    """Positive variation, final loss, longest step and time against SGD at the same rate."""
    for bias in biases:
        for seed in seeds:
            task = rnn.student_teacher(seed, bias=bias)
            run, plain = lane(task, "smooth", 5e-3, chunk=chunk), lane(task, "sgd", 5e-3, chunk=chunk)
            for _ in range(steps // chunk):
                plain.advance()
                run.advance()
            ratio = np.asarray(run.seconds) / np.asarray(plain.seconds)
            show(
                seed=seed,
                bias=bias,
                variation=variation(run.losses),
                sgd_variation=variation(plain.losses),
                final=float(run.losses[-1]),
                sgd_final=float(plain.losses[-1]),
                lag=float(run.losses[-1] / plain.losses[-1] - 1),
                steps=arrival(run.losses, GOAL),
                sgd_steps=arrival(plain.losses, GOAL),
                ratio=float(np.median(ratio)),
                processor=float(np.sum(run.work) / np.sum(plain.work)),
                quartiles=np.quantile(ratio, [0.25, 0.75]).round(3).tolist(),
                products=int(run.refreshed.sum()),
                clipped=int(run.column("clipped").max()),
                width=int(run.column("space.width")[200:].max()),
            )


def peak(seeds, steps, starts=12):
    """Single steps over SGD's median: the first and the others of the start, in ``starts`` runs, and later ones."""
    for seed in seeds:
        task = rnn.student_teacher(seed, bias="trained")
        for name in ("smooth", "sgd"):
            lane(task, name, 5e-3, chunk=1).advance()  # the first call of a compiled program takes longer

        def side_by_side(count, task=task):
            run, plain = lane(task, "smooth", 5e-3, chunk=1), lane(task, "sgd", 5e-3, chunk=1)
            for _ in range(count):
                plain.advance()
                run.advance()
            unit = np.median(plain.seconds)
            starting, product = run.column("space.turn") < 6, run.refreshed
            return np.asarray(run.seconds) / unit, np.asarray(plain.seconds) / unit, starting, product

        first, base, others = [], [], []
        for _ in range(starts):
            taken, plain, starting, _ = side_by_side(40)
            first.append(taken[0])
            base.append(plain[0])
            others.append(np.median(taken[1:][starting[1:]]))
        taken, plain, starting, product = side_by_side(steps)
        later = product & ~starting
        show(
            seed=seed,
            first=float(np.median(first)),
            sgd_first=float(np.median(base)),
            starting=float(np.median(others)),
            product=float(np.median(taken[later])),
            quartiles=np.quantile(taken[later], [0.25, 0.75]).round(3).tolist(),
            others=float(np.median(taken[~product])),
            sgd_quartiles=np.quantile(plain, [0.25, 0.75]).round(3).tolist(),
            starts=int(starting.sum()),
            products=int(product.sum()),
        )


class Drawn(NamedTuple):
    """An optimizer on fresh minibatches: made from a rate and their number, the rates of its grid, what is judged."""

    make: Callable[[Any, int], Any]
    rates: tuple[float, ...]
    read: Callable[[Any, Any], Any] = lambda state, parameters: parameters


ADAM, MUON = (3e-4, 1e-3, 3e-3, 1e-2, 3e-2), (1e-3, 3e-3, 1e-2, 3e-2, 1e-1)
NEW = functools.partial(rnn.low_rank_natural_gradient, mode="stochastic")
DRAWN = {
    "stochastic": Drawn(lambda rate, _: NEW(rate), (1e-1, *np.geomspace(1e-3, 1, 9))),
    "stochastic_linear": Drawn(lambda rate, steps: NEW(optax.linear_schedule(rate, 0.0, steps)), (1e-1,)),
    "adam": Drawn(lambda rate, _: optax.adam(rate), ADAM),
    "adam_cosine": Drawn(lambda rate, steps: optax.adam(optax.cosine_decay_schedule(rate, steps)), ADAM),
    "adam_linear": Drawn(lambda rate, steps: optax.adam(optax.linear_schedule(rate, 0.0, steps)), ADAM),
    "adam_free": Drawn(
        lambda rate, _: optax.contrib.schedule_free_adamw(rate), (*ADAM, 1e-1), optax.contrib.schedule_free_eval_params
    ),
    "muon": Drawn(lambda rate, _: optax.contrib.muon(rate), MUON),
    "muon_cosine": Drawn(lambda rate, steps: optax.contrib.muon(optax.cosine_decay_schedule(rate, steps)), MUON),
    "muon_linear": Drawn(lambda rate, steps: optax.contrib.muon(optax.linear_schedule(rate, 0.0, steps)), MUON),
    "soap": Drawn(lambda rate, _: soap(rate), ADAM),
    "shampoo": Drawn(lambda rate, _: shampoo(rate), ADAM),
}


def run_for(seconds, course, problem, rate, shares, beat=np.inf):
    """The least loss within the processor time, and when each share of the first loss was come to.

    A run is given up when after a third of the time its least loss, ``third``, is a thousand times ``beat``.
    """
    carry, losses, wall, work, reached, third = course.begin(rate, problem), [], 0.0, 0.0, {}, None
    while work < seconds and (not losses or np.isfinite(losses[-1]).all()):
        if third is None and work > seconds / 3:
            third = float(np.nanmin(np.concatenate(losses)))
            if third > 1000 * beat:
                break
        clock, processor = time.perf_counter(), time.process_time()
        carry, loss = course.advance(carry, rate, problem.batch)
        begun, took = (wall, work), (time.perf_counter() - clock, time.process_time() - processor)
        wall, work = begun[0] + took[0], begun[1] + took[1]
        for share in shares:
            hit = np.flatnonzero(loss <= share * (losses[0][0] if losses else loss[0]))
            if len(hit) and share not in reached:
                part = hit[0] / len(loss)
                at = sum(map(len, losses)) + int(hit[0])
                reached[share] = at, *(round(b + part * t, 3) for b, t in zip(begun, took, strict=True))
        losses.append(loss)
    loss = np.concatenate(losses)
    found = {"steps": len(loss), "wall": wall, "work": work, "least": float(np.nanmin(loss))}
    return found | {"reached": reached, "third": np.inf if third is None else third}


def searched(try_rate, rate, factor=10**0.5):
    """The runs at rates a factor of √10 apart, from ``rate`` on in the direction that gets better, until it does not.

    Better is a last share come to sooner, or a lower loss where it is not.
    """
    runs = {}

    def tried(power):
        if power not in runs:
            beat = min((run["third"] for run in runs.values()), default=np.inf)
            runs[power] = try_rate(float(f"{rate * factor**power:.2g}"), beat)
        reached = list(runs[power]["reached"].values())
        return (reached[-1][2] if len(reached) == runs[power]["asked"] > 0 else np.inf, runs[power]["least"])

    at = min((0, -1, 1), key=tried)
    way = at
    while way and tried(at + way) < tried(at):
        at += way
    return runs, at


def problems(names, seeds, seconds, optimizers, shares):
    """The least loss after equal processor time, compilation left out; the rate is chosen on the first seed.

    With ``shares`` of the first loss, the times to them, each at the best rate that was tried.
    """
    for name in names:
        for optimizer in optimizers:
            course, rate, rival = rivals_course(optimizer, PROBLEMS[name](seeds[0])), None, RIVALS[optimizer]
            if course is None:
                print(f"{optimizer} left out: its package is not installed", flush=True)
                continue
            for seed in seeds:

                def try_rate(rate, beat=np.inf, course=course, optimizer=optimizer, name=name, seed=seed):
                    found = run_for(seconds, course, PROBLEMS[name](seed), rate, shares, beat) | {"asked": len(shares)}
                    row = {k: v for k, v in found.items() if k not in ("asked", "reached", "third")}
                    if shares:
                        row["reached: steps, wall, work"] = {f"{k:g}": v for k, v in found["reached"].items()}
                    show(problem=name, seed=seed, optimizer=optimizer, rate=rate, **row)
                    return found

                if rate is None and optimizer != "fast":
                    _, power = searched(try_rate, rival.rate)
                    rate = float(f"{rival.rate * 10 ** (power / 2):.2g}")
                else:
                    try_rate(rival.rate if rate is None else rate)


def scan_of(make, build, chunk):
    """``chunk`` steps on minibatches of the problem that ``build`` makes of arrays, compiled once for all rates."""

    def run(carry, rate, keys):
        optimizer = optax.with_extra_args_support(make(rate))

        def step(carry, key):
            p, state = carry
            batch = build.fresh(key)
            loss, gradient = jax.value_and_grad(build.value)(p, batch)
            update, state = optimizer.update(gradient, state, p, value=loss, fisher=build.products(batch))
            return (optax.apply_updates(p, update), state), loss

        return jax.lax.scan(step, carry, keys, length=chunk)

    return jax.jit(run)


SMALL = {"student_teacher": {"size": 32}, "residual": {"size": 48, "depth": 3}, "sine": {"time": 40}}


def fresh(names, seeds, steps, optimizers, only=()):
    """The loss on a batch held out after as many minibatches.

    The teacher is that of the first seed, start and minibatches are of every seed, so that an optimizer is compiled
    once for a problem. ``only`` are rates in place of its grid, ``most`` is the largest loss of a minibatch over the
    first one.
    """
    for name in names:
        base, *others = (PROBLEMS[name](seed, **SMALL.get(name, {})) for seed in seeds)
        for optimizer in optimizers:
            build, rates, read = DRAWN[optimizer]

            def make(rate, build=build):
                return build(rate, steps)

            advance = scan_of(make, base, steps)
            for rate in map(np.float32, only or rates):
                held, most, spent = [], [], []
                for seed, problem in zip(seeds, (base, *others), strict=True):
                    carry, keys = (
                        (problem.start, make(rate).init(problem.start)),
                        jax.random.split(jax.random.key(seed), steps),
                    )
                    clock = time.process_time()
                    carry, loss = jax.block_until_ready(advance(carry, rate, keys))
                    spent.append(time.process_time() - clock)
                    held.append(float(base.value(read(carry[1], carry[0]))))
                    most.append(float(np.max(loss) / loss[0]))
                row = {"problem": name, "optimizer": optimizer, "rate": float(rate), "median": float(np.median(held))}
                show(**row, held=[float(f"{x:.2g}") for x in held], most=max(most), work=float(np.median(spent)))


EDGE = {
    "student_teacher": {"size": 24},
    "sine": {"size": 24, "time": 30},
    "linear": {"size": 16, "time": 10, "count": 64},
    "residual": {"size": 24, "depth": 3, "count": 128},
}


def accepted(problem, steps):
    """``(start, batch, rate) -> losses`` that smooth mode accepts on the full batch."""

    def run(start, batch, rate):
        optimizer = rnn.low_rank_natural_gradient(rate)

        def step(carry, _):
            p, state = carry
            loss, gradient = jax.value_and_grad(problem.value)(p, batch)
            update, state = optimizer.update(gradient, state, p, value=loss, fisher=problem.products(batch))
            return (optax.apply_updates(p, update), state), state.value

        return jax.lax.scan(step, (start, optimizer.init(start)), length=steps)[1]

    return jax.jit(run)


def edge(names, seeds, steps, rates=(0.01, 0.05, 0.2, 0.5, 1.0)):
    """Smooth mode at rates far beyond the edge of stability: accepted losses over the first one.

    A run explodes where an accepted loss passes ten times the first, or the last is above it. What a problem keeps
    beside start and batch is of the first seed.
    """
    for name in filter(EDGE.__contains__, names):
        problems = [PROBLEMS[name](seed, **EDGE[name]) for seed in seeds]
        run = accepted(problems[0], steps)
        for rate in map(np.float32, rates):
            seen = np.stack([run(problem.start, problem.batch, rate) for problem in problems])
            seen = seen / seen[:, :1]
            exploded = ~((seen.max(1) <= 10) & (seen[:, -1] <= 1))
            row = {"problem": name, "rate": float(rate), "exploded": int(exploded.sum()), "runs": len(seen)}
            show(**row, most=float(seen.max()), last=float(seen[:, -1].max()), median=float(np.median(seen[:, -1])))


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("mode", choices=("fast", "smooth", "peak", "rivals", "grid", "problems", "fresh", "edge"))
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--steps", type=int)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--only", nargs="*", choices=PROBLEMS, default=[*PROBLEMS][:5])
    parser.add_argument("--shares", type=float, nargs="*", default=[], help="of the first loss, largest first")
    parser.add_argument("--optimizers", nargs="*")
    parser.add_argument("--rate", type=float, default=10.0)
    parser.add_argument("--rates", type=float, nargs="*", default=[], help="of fresh, in place of the grid")
    parser.add_argument("--bias", choices=("frozen", "trained"), nargs="*", default=["trained", "frozen"])
    args = parser.parse_args()
    seeds = range(args.first, args.first + args.seeds)
    if args.mode == "fast":
        for bias in args.bias:
            fast(seeds, args.steps or 80, args.rate, bias)
    elif args.mode == "problems":
        problems(args.only, seeds, args.seconds, args.optimizers or list(RIVALS), args.shares)
    elif args.mode == "fresh":
        fresh(args.only, seeds, args.steps or 300, args.optimizers or list(DRAWN), args.rates)
    elif args.mode == "edge":
        edge(args.only, seeds, args.steps or 200)
    elif args.mode == "peak":
        peak(seeds, args.steps or 600)
    elif args.mode == "rivals":
        rivals(seeds)
    elif args.mode == "grid":
        grid(seeds, args.bias)
    else:
        smooth(seeds, args.steps or 35_000, args.bias)


if __name__ == "__main__":
    main()
