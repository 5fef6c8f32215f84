"""What the reproduced experiment must hold, measured: ``python tests/benchmarks/bench_experiment.py``.

One line per quantity: its limit and its value for each seed. ``--time`` also runs both presets in processes of their
own, beside the bare training loop of the same network, and prints wall time, the share outside the loop and the largest
process.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np

import rnn
from rnn.dynamics.continuation import Follower, Place
from rnn.restricted.prediction import RUNGS
from rnn.studies.experiment.study import Story, reproduce
from rnn.training.train import recorded

STEPS = 2_500
BARE = 5_000  # steps of the bare loop that are timed

Measure = Callable[[Story], float]


def first(story: Story, measure: Callable[[Any], float]) -> float:
    """``measure`` of the first event; NaN without one."""
    return measure(story.events[0]) if len(story.events) else float("nan")


def loss_fall(story: Story) -> float:
    """Loss 100 steps before the first event over that 100 steps after it."""
    if not len(story.events):
        return float("nan")
    before, after = story.loss_around(story.events[0])
    return before / after


def off_closed_form(event: Any) -> float:
    """``|c₃ + ⅓ Σ p_i q_i³|``."""
    p, q = event.normal_form.adjoint_eigenvector, event.normal_form.critical_eigenvector
    return float(abs(event.normal_form.coefficients["c3"] + np.sum(p * q**3) / 3))


def restricted(story: Story, measure: Callable[[Any], float]) -> float:
    """``measure`` of the restricted kernel; NaN without one."""
    return float("nan") if story.restricted is None else measure(story.restricted)


def estimate_off(story: Story) -> float:
    """Relative difference of estimated and exact stable rank at the minimum."""
    at = int(np.argmin(np.abs(story.rank.step - story.rank.minimum_step)))
    return abs(float(story.rank.value[at]) / story.rank.minimum - 1)


def small_states(story: Story) -> float:
    """Largest relative error of the prediction with all corrections, initial states scaled by 0.05."""
    if story.restricted is None:
        return float("nan")
    sweep = rnn.restrict(story.events[0], h0=0.05 * np.asarray(story.run.task.h0))
    return rnn.predict(sweep, ("response",)).max_relative_error()


LINES: tuple[tuple[str, str, Measure], ...] = (
    ("teacher: fixed points", "9", lambda s: len(s.teacher)),
    ("teacher: stable ones", "4", lambda s: float(s.teacher.stable.sum())),
    ("first event: a pitchfork", "1", lambda s: first(s, lambda e: e.kind == "pitchfork")),
    ("first event: step", "", lambda s: first(s, lambda e: e.step)),
    ("|multiplier − 1|", "≤ 1e-10", lambda s: first(s, lambda e: abs(e.multiplier - 1))),
    ("c₃ against closed form", "≤ 1e-8", lambda s: first(s, off_closed_form)),
    ("loss falls within ±100 steps by", "≥ 2", loss_fall),
    ("stable rank: start", "≥ 10", lambda s: s.rank.initial),
    ("stable rank: minimum", "≤ 1.25", lambda s: s.rank.minimum),
    ("stable rank: estimate off by", "≤ 0.02", estimate_off),
    ("cosine with ∇λ", "≥ .995", lambda s: restricted(s, lambda r: r.sweep.alignment)),
    ("next multiplier", "", lambda s: restricted(s, lambda r: r.sweep.gap)),
    *(
        (f"{rung}: {name}", "", lambda s, rung=rung, get=get: restricted(s, lambda r: getattr(r.prediction, get)(rung)))
        for rung in RUNGS
        for name, get in (("R²", "r2"), ("largest error", "max_relative_error"))
    ),
    ("best rung: R²", "≥ .98", lambda s: restricted(s, lambda r: r.prediction.r2())),
    ("best rung: largest error", "≤ .10", lambda s: restricted(s, lambda r: r.prediction.max_relative_error())),
    ("h₀ × .05: largest error", "≤ .01", small_states),
    ("fit: R²", "≥ .999", lambda s: restricted(s, lambda r: r.fitted.r2)),
    ("fit: largest error", "≤ .05", lambda s: restricted(s, lambda r: r.fitted.max_relative_error)),
    ("gain .9: next multiplier", "", lambda s: np.nan if s.control is None else s.control.sweep.gap),
    (
        "gain .9: largest error",
        "",
        lambda s: np.nan if s.control is None else s.control.prediction.max_relative_error(),
    ),
    ("with bias: pitchforks", "0", lambda s: sum(e.kind == "pitchfork" for e in s.bias.events)),
    ("with bias: folds", "≥ 1", lambda s: sum(e.kind == "saddle_node" for e in s.bias.events)),
    ("with bias: fold's distance", "> 0", lambda s: s.bias.distance),
    ("with bias: share of the bias", "> .5", lambda s: s.bias.share),
    ("unresolved", "0", lambda s: len(s.events.unresolved)),
)


def table(seeds: list[int]) -> None:
    """Print every line for every seed."""
    values = []
    for seed in seeds:
        story = reproduce("paper", seed=seed, steps=STEPS)
        values.append([float(measure(story)) for _, _, measure in LINES])
        print(f"seed {seed} done", *story.events.unresolved, sep="\n  ", file=sys.stderr, flush=True)
    print(f"{'':34}{'limit':>9}" + "".join(f"{f'seed {s}':>11}" for s in seeds))
    for k, (name, limit, _) in enumerate(LINES):
        print(f"{name:34}{limit:>9}" + "".join(f"{row[k]:11.5g}" for row in values))


def timed(preset: str, out: Path) -> tuple[float, float]:
    """Wall time in s and the largest process in GB of one reproduction, set-up and compilation included."""
    environment = {k: v for k, v in os.environ.items() if k != "JAX_COMPILATION_CACHE_DIR"}
    start = "import sys; from normalforms.cli.main import main; sys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", start, "reproduce", "--preset", preset, "--out", str(out)]
    began = time.perf_counter()
    subprocess.run(command, capture_output=True, env=environment, check=True)
    wall = time.perf_counter() - began
    return wall, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1e6


def bare(steps: int) -> float:
    """Seconds of the training loop alone for ``steps`` steps, scaled from a shorter run after compilation."""
    task = rnn.student_teacher(0)
    run = lambda count: rnn.train(task, steps=count, diagnose_every=0)  # noqa: E731
    run(BARE)
    began = time.perf_counter()
    run(BARE)
    return (time.perf_counter() - began) / BARE * steps


def searched(run: rnn.Run) -> tuple[float, float, float]:
    """Seconds for the whole event list of ``run`` and, medians over checkpoints, for two analyses of one.

    The first finds all fixed points with their multipliers and follows them to the next step; the second is an event
    search of its own between two steps: fixed points and 2-cycles, followed, and the search for new ones at the end.
    """
    began = time.perf_counter()
    rnn.bifurcations(run)
    listed = time.perf_counter() - began
    each, own = [], []
    for step in np.linspace(2_000, run.steps - 1, 12).astype(int):
        began = time.perf_counter()
        found = rnn.fixed_points(run.model(int(step)))
        with jax.enable_x64(True):
            places = [Place(float(step), *pair) for pair in zip(found.points, found.multipliers, strict=True)]
            ahead = Follower(run.path, 1e-12).advance(places, float(step + 1))
        each.append(time.perf_counter() - began)
        assert None not in ahead
        began = time.perf_counter()
        rnn.bifurcations([run.model(int(step)), run.model(int(step) + 1)], every=1, starts=run.task.h0)
        own.append(time.perf_counter() - began)
    return listed, float(np.median(each[2:])), float(np.median(own[2:]))


def times() -> None:
    """Print wall times of both presets beside the bare loop, and of the analysis of the finished run."""
    with tempfile.TemporaryDirectory() as folder:
        quick, _ = timed("quick", Path(folder, "quick"))
        print(f"quick: {quick:.1f} s (limit 60)", flush=True)
        before = bare(35_000)
        paper, memory = timed("paper", Path(folder, "paper"))
        loop = (before + bare(35_000)) / 2
        print(f"paper: {paper:.1f} s (limit 360), bare loop {loop:.1f} s, outside {1 - loop / paper:.1%} (limit 25 %)")
        print(f"largest process: {memory:.2f} GB (limit 2)", flush=True)
        listed, each, own = searched(recorded(rnn.student_teacher(0), Path(folder, "paper", "run", "student")))
        print(f"event list of the run: {listed:.1f} s (limit 60)")
        print(f"one checkpoint: {each:.2f} s (limit 0.3); an event search between two: {own:.2f} s")


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--time", action="store_true", help="time the presets instead")
    options = parser.parse_args()
    if options.time:
        times()
    else:
        table(options.seeds)


if __name__ == "__main__":
    main()
