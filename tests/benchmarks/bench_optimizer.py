"""Low-rank natural gradient beside what a user would pick, on the student–teacher task; prints ratios.

    python tests/benchmarks/bench_optimizer.py fast --seeds 5 --adam
    python tests/benchmarks/bench_optimizer.py smooth --seeds 5 --steps 35000
    python tests/benchmarks/bench_optimizer.py cost

Times are of compiled code, compilation printed apart; the runs of one seed follow each other in one process.
"""

from __future__ import annotations

import argparse
import time

import equinox as eqx
import jax
import numpy as np
import optax

import rnn
from rnn.model import partition

GOAL = 5e-4
ADAM = (1e-4, 3e-4, 1e-3, 2e-3, 3e-3, 5e-3, 1e-2, 3e-2)


def measure(task, optimizer, steps):
    """Train; losses, state after every step (numbers only), final model, seconds, seconds of compilation."""
    start, rest = partition(task.student)
    optimizer, fisher = optax.with_extra_args_support(optimizer), rnn.fisher_of(task)

    def step(carry, _):
        parameters, state = carry
        loss, gradient = jax.value_and_grad(lambda p: task.loss(eqx.combine(p, rest)))(parameters)
        update, state = optimizer.update(gradient, state, parameters, value=loss, fisher=fisher)
        low_rank = isinstance(state, rnn.LowRankState)
        seen = (state.rejected, state.space.turn, state.clipped, state.space.width) if low_rank else ()
        return (optax.apply_updates(parameters, update), state), (loss, *seen)

    carry = start, optimizer.init(start)
    clock = time.perf_counter()
    run = jax.jit(lambda c: jax.lax.scan(step, c, length=steps)).lower(carry).compile()
    compiled = time.perf_counter() - clock
    clock = time.perf_counter()
    (parameters, _), (loss, *seen) = jax.block_until_ready(run(carry))
    seconds = time.perf_counter() - clock
    return np.asarray(loss), [np.asarray(s) for s in seen], eqx.combine(parameters, rest), seconds, compiled


def variation(loss, rejected=None):
    """Positive variation of the log loss; with ``rejected`` of the accepted losses alone."""
    if rejected is not None:
        loss = loss[np.diff(np.concatenate([[0], rejected])) == 0]
    return float(np.maximum(np.diff(np.log(loss)), 0).sum())


def first_below(loss, goal=GOAL):
    """The first step whose loss is at most ``goal``; -1 if there is none."""
    return int(np.argmax(loss <= goal)) if np.any(loss <= goal) else -1


def multipliers(model):
    """The two leading moduli at the origin."""
    return np.sort(np.abs(np.linalg.eigvals(np.asarray(model.weight))))[::-1][:2]


def fast(seeds, steps, rate, rank, adam):
    """Steps and time to the goal, rejections, positive variation, recovered multipliers."""
    for seed in range(seeds):
        task = rnn.student_teacher(seed)
        _, _, _, plain, _ = measure(task, optax.sgd(5e-3), steps)
        loss, seen, model, seconds, compiled = measure(
            task, rnn.low_rank_natural_gradient(rate, mode="fast", rank=rank), steps
        )
        hit = first_below(loss)
        print(
            f"seed {seed} fast rank {rank}: {hit} steps to {GOAL:g}, {seen[0][-1]} rejected, variation accepted "
            f"{variation(loss, seen[0]):.4f} all {variation(loss):.4f}, final {loss[-1]:.2e}, multipliers "
            f"{multipliers(model).round(4)}, {seconds / plain:.2f} × SGD's time per step, "
            f"{hit / steps * seconds / (plain / steps):.0f} SGD steps' time to the goal, compiled in {compiled:.1f} s",
            flush=True,
        )
        for value in ADAM if adam else ():
            loss, _, _, took, _ = measure(task, optax.adam(value), 6_000)
            at = first_below(loss)
            cost = f"{at / len(loss) * took / (plain / steps):.0f} SGD steps' time" if at > 0 else "never"
            print(f"seed {seed} adam {value:g}: {at} steps, {cost}, variation {variation(loss):.2f}", flush=True)


def smooth(seeds, steps, rank):
    """Positive variation, final loss and time against SGD at the same rate."""
    for seed in range(seeds):
        for bias in ("frozen", "trained"):
            task = rnn.student_teacher(seed, bias=bias)
            optimizer = rnn.low_rank_natural_gradient(5e-3, rank=rank)
            loss, seen, _, seconds, _ = measure(task, optimizer, steps)
            plain, _, _, took, _ = measure(task, optax.sgd(5e-3), steps)
            print(
                f"seed {seed} bias {bias}: variation {variation(loss):.4f} against {variation(plain):.4f}, final "
                f"{loss[-1]:.3e} against {plain[-1]:.3e}, time ratio {seconds / took:.3f}, refreshes {seen[1][-1]}, "
                f"most modes clipped {seen[2].max()}, widest {seen[3].max()}",
                flush=True,
            )


def cost(rank, chunk=100, rounds=15):
    """Time of smooth mode over SGD's: chunks of steps in turn, continued from where they stood; medians."""
    task = rnn.student_teacher(0)
    start, rest = partition(task.student)
    fisher, runs = rnn.fisher_of(task), []
    for transformation in (optax.sgd(5e-3), rnn.low_rank_natural_gradient(5e-3, rank=rank)):
        optimizer = optax.with_extra_args_support(transformation)

        def step(carry, _, optimizer=optimizer):
            parameters, state = carry
            loss, gradient = jax.value_and_grad(lambda p: task.loss(eqx.combine(p, rest)))(parameters)
            update, state = optimizer.update(gradient, state, parameters, value=loss, fisher=fisher)
            return (optax.apply_updates(parameters, update), state), loss

        run = jax.jit(lambda c, step=step: jax.lax.scan(step, c, length=chunk)[0])
        runs.append([run, jax.block_until_ready(run((start, optimizer.init(start)))), []])
    for _ in range(rounds):
        for entry in runs:
            clock = time.perf_counter()
            entry[1] = jax.block_until_ready(entry[0](entry[1]))
            entry[2].append(time.perf_counter() - clock)
    ratios = np.asarray(runs[1][2]) / np.asarray(runs[0][2])
    print(
        f"smooth/SGD time over {rounds} chunks of {chunk}: median ratio {np.median(ratios):.3f}, quartiles "
        f"{np.quantile(ratios, [0.25, 0.75]).round(3)}, ratio of the fastest {min(runs[1][2]) / min(runs[0][2]):.3f}",
        flush=True,
    )


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("mode", choices=("fast", "smooth", "cost"))
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--steps", type=int)
    parser.add_argument("--rank", type=int)
    parser.add_argument("--rate", type=float, default=3.0)
    parser.add_argument("--adam", action="store_true")
    args = parser.parse_args()
    if args.mode == "fast":
        fast(args.seeds, args.steps or 200, args.rate, args.rank or 8, args.adam)
    elif args.mode == "cost":
        cost(args.rank or 4)
    else:
        smooth(args.seeds, args.steps or 35_000, args.rank or 4)


if __name__ == "__main__":
    main()
