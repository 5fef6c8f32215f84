"""Can a spike of the loss be foretold? Runs near the edge of stability, with an oracle and with twins beside them.

    python tests/benchmarks/bench_alarm.py record FOLDER              full batch, oracle, twins: 20 minutes of processor
    python tests/benchmarks/bench_alarm.py record FOLDER --part 0.25  minibatches of a quarter
    python tests/benchmarks/bench_alarm.py rules FOLDER               every rule, thresholds chosen on seeds 0 and 1
    python tests/benchmarks/bench_alarm.py causes FOLDER              how long the leading mode shows before a spike
    python tests/benchmarks/bench_alarm.py twins FOLDER               what a second training foretells
    python tests/benchmarks/bench_alarm.py single FOLDER              q of single steps, held on

A burst begins where the loss passes twice (or ten times) the median of the 20 steps before, and ends where it has not
for 50 steps. Warned: the alarm is on at some step of the window before. False: it goes on outside bursts with none to
begin within 100 steps, per 10⁴ such steps. Chance: the same alarm, what it says outside bursts turned by a random shift
along the time outside bursts, of the same run (chance) or of all runs (anywhere). Lead: from where it went on last
before a burst, at most 100, and 0 where it did not warn; medians over all bursts.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from edge_runs import AHEAD, EVERY, MAKE, SHARES, SIZES, recorded

import rnn

MEDIAN, CALM, HORIZON, CHOSEN, MOST_FALSE = 20, 50, 100, (0, 1), 10.0
THRESHOLD = {
    "sgd": 2.0,
    "momentum": 3.8,
    "adam": 38.0,
    "muon": np.nan,
}  # η λ where an oscillation neither grows nor fades
PASSED = (0.5, 0.4, 0.3, 0.2, 0.1, 0.05, 0.03, 0.02, 0.01, 0.005, 0.002)  # of steps
HOLDS = (1, 5, 20, 50, 100)


class Run:
    """One run until its loss is not finite or a thousand times the first, and the bursts of it."""

    def __init__(self, optimizer, index, row, key):
        self.optimizer, self.seed, self.share, self.rate = optimizer, index // 3, SHARES[index % 3], row["rates"]
        self.twins = {k: v for k, v in row.items() if k.startswith(("twin_", "beside_"))}
        loss = row[key].astype(float)
        lost = np.flatnonzero(~np.isfinite(loss) | (loss > 1e3 * loss[0]))
        self.steps = lost[0] + 1 if len(lost) else len(loss)
        self.row = {k: v[: self.steps].astype(float) for k, v in row.items() if v.ndim == 1 and len(v) == len(loss)}
        self.loss = np.nan_to_num(loss[: self.steps], nan=1e30, posinf=1e30)

    def burst(self, factor):
        high, bursts = np.flatnonzero(passes(self.loss, factor)), []
        for t in high:
            if bursts and t - bursts[-1][1] <= CALM:
                bursts[-1][1] = t
            else:
                bursts.append([t, t])
        self.outside = np.arange(self.steps) >= MEDIAN
        for a, b in bursts:
            self.outside[a : b + 1] = False
        self.calm = self.outside.copy()
        for a, _ in bursts:
            self.calm[max(a - HORIZON, 0) : a] = False
        self.begins = [a for a, _ in bursts if a >= MEDIAN + CALM]


def passes(loss, factor):
    """Where the loss passes so many times the median before."""
    high = np.zeros(len(loss), bool)
    if len(loss) > MEDIAN:
        before = np.lib.stride_tricks.sliding_window_view(loss[:-1], MEDIAN)
        high[MEDIAN:] = loss[MEDIAN:] > factor * np.median(before, axis=1)
    return high


def load(folder, part, key):
    runs = []
    for path in sorted(folder.glob(f"*-{part}.npz")):
        kept = dict(np.load(path))
        for i in range(len(kept["rates"])):
            run = Run(path.name.split("-")[1], i, {k: v[i] for k, v in kept.items()}, key)
            runs.append(run)
    if not runs:
        raise SystemExit(f"no runs with part {part} in {folder}: record them first")
    return runs


def leads(on, run, window):
    """How long the alarm had been on before every burst; 0 where it did not warn."""
    found = []
    for begin in run.begins:
        seen = np.flatnonzero(on[max(begin - window, 0) : begin])
        lead = 0
        if len(seen):
            off = np.flatnonzero(~on[: max(begin - window, 0) + seen[-1] + 1])
            lead = min(begin - (off[-1] + 1 if len(off) else 0), HORIZON)
        found.append(lead)
    return found


def score(runs, alarms, window, shifts=10):
    """Bursts, recall and median lead of the alarm and of both controls, false alarms, share of calm steps it is on."""
    rng = np.random.default_rng(0)
    ring = np.concatenate([on[run.outside] for run, on in zip(runs, alarms, strict=True)])
    own, turned, anywhere, false, calm, on_calm = [], [], [], 0, 0, 0
    for run, on in zip(runs, alarms, strict=True):
        own += leads(on, run, window)
        size, moved = int(run.outside.sum()), on.copy()
        for _ in range(shifts if run.begins else 0):
            moved[run.outside] = np.roll(on[run.outside], rng.integers(1, max(size, 2)))
            turned += leads(moved, run, window)
            moved[run.outside] = np.take(ring, rng.integers(len(ring)) + np.arange(size), mode="wrap")
            anywhere += leads(moved, run, window)
        starts = on & ~np.r_[False, on[:-1]]
        false, calm = false + int((starts & run.calm).sum()), calm + int(run.calm.sum())
        on_calm += int((on & run.calm).sum())
    own, turned, anywhere = (np.asarray(x) if x else np.zeros(1) for x in (own, turned, anywhere))
    return {
        "bursts": sum(len(run.begins) for run in runs),
        "recall": np.mean(own > 0),
        "chance": np.mean(turned > 0),
        "anywhere": np.mean(anywhere > 0),
        "false": 1e4 * false / max(calm, 1),
        "lead": np.median(own),
        "by chance": np.median(turned),
        "by chance anywhere": np.median(anywhere),
        "on": on_calm / max(calm, 1),
    }


def show(name, found):
    print(f"{name:44s}", *(f"{k} {v:.3g}" for k, v in found.items()), sep="  ", flush=True)


def held(signal, threshold, hold):
    """On where the signal has passed within ``hold`` steps; what is not a number passes nothing."""
    total = np.cumsum(np.r_[0, np.nan_to_num(signal, nan=-np.inf) > threshold])
    return total[1:] > total[np.maximum(np.arange(len(signal)) - hold + 1, 0)]


def mean(x, width):
    """Of the last steps."""
    total, at = np.cumsum(np.r_[0, np.nan_to_num(x, posinf=0, neginf=0)]), np.arange(len(x))
    low = np.maximum(at - width + 1, 0)
    return (total[1:] - total[low]) / (at - low + 1)


def peak(x, width):
    return np.max([np.r_[np.full(min(k, len(x)), -np.inf), x[: max(len(x) - k, 0)]] for k in range(width)], axis=0)


def mode_energy(run):
    """What the leading mode adds to the loss, over the loss."""
    return run.row["slope"] ** 2 / (2 * np.abs(run.row["lambda"])) / np.maximum(run.loss, 1e-30)


def early_warning(values, width=30):
    """Variance and lag-one autocorrelation of the log over a window, its line taken out (Scheffer et al. 2009)."""
    both = np.zeros((2, len(values)))
    if len(values) >= width:
        x = np.lib.stride_tricks.sliding_window_view(np.log(np.maximum(np.nan_to_num(values), 1e-30)), width)
        line = np.arange(width) - (width - 1) / 2
        x = x - x.mean(1, keepdims=True)
        x = x - np.outer(x @ line / (line @ line), line)
        spread = np.sum(x * x, 1)
        both[:, width - 1 :] = spread / width, np.sum(x[:, 1:] * x[:, :-1], 1) / np.maximum(spread, 1e-30)
    return both


def grown(x, width):
    """Log of the rise over so many steps."""
    x = np.log(np.maximum(x, 1e-30))
    return np.r_[np.zeros(min(width, len(x))), x[width:] - x[: max(len(x) - width, 0)]]


def alternating(run):
    """What the demodulated oscillation adds to the loss, over the loss: along θ = (−1)ᵗ a v it is ⟨d, ΔG⟩/8."""
    return np.maximum(run.row["tb"], 0) / 8 / np.maximum(run.loss, 1e-30)


def signals(run):
    row = run.row
    found = {}
    if "lambda" in row:
        found["oracle: sharpness over its threshold"] = run.rate * row["lambda"] / THRESHOLD[run.optimizer]
        found["oracle: growth of a tangent, 10 steps"] = mean(row["growth"], 10)
        found["oracle: leading mode's share of the loss"] = mean(mode_energy(run), 5)
    found["alternating share of the loss"] = alternating(run)
    found["growth of the alternating step, 10 steps"] = grown(row["tt"], 10)
    curvature = row["tb"] / np.maximum(row["tt"], 1e-30)
    found["rise of the curvature along it, 20 steps"] = grown(curvature, 20)
    for width in (2, 5, 20):
        found[f"q over {width} steps"] = mean(row["bent"], width) / np.maximum(
            mean(np.abs(row["fallen"]), width), 1e-30
        )
    for name, values in (("loss", run.loss), ("gradient", row["G"])):
        found[f"variance of the log {name}, 30 steps"], found[f"autocorrelation of it, {name}"] = early_warning(values)
        found[f"{name} over its least of 20 steps"] = values / np.maximum(-peak(-values, 20), 1e-30)
    return found


def replayed(alarm, run, passed):
    """The alarm itself along a run: displacement and gradients are numbers whose products are those of the run."""
    columns = [jnp.asarray(run.row[name], jnp.float32) for name in ("bent", "fallen", "loss")]

    def step(state, seen):
        bent, fallen, loss = seen
        state = state._replace(gradient=fallen[None])
        _, state = alarm.update((fallen + bent)[None], state, state.parameters + 1, value=loss if passed else None)
        return state._replace(parameters=jnp.zeros(1)), state.alarm

    return np.asarray(jax.jit(lambda seen: jax.lax.scan(step, alarm.init(jnp.zeros(1)), seen)[1])(columns))


def chosen(runs, values, window):
    """Threshold and hold of the greatest recall above chance with few false alarms, on the seeds that choose."""
    some = [i for i, run in enumerate(runs) if run.seed in CHOSEN]
    seen = np.concatenate([values[i] for i in some])
    seen, best = seen[np.isfinite(seen)], None
    for share in PASSED:
        threshold = np.quantile(seen, 1 - share)
        for hold in HOLDS:
            found = score([runs[i] for i in some], [held(values[i], threshold, hold) for i in some], window, shifts=4)
            gain = found["recall"] - found["chance"]
            if found["false"] <= MOST_FALSE and (best is None or gain > best[0]):
                best = gain, threshold, hold
    return best


ALARMS = {
    "spike_alarm(), no loss": (rnn.spike_alarm(), False),
    "spike_alarm()": (rnn.spike_alarm(), True),
    "spike_alarm(rise=1.65)": (rnn.spike_alarm(rise=1.65), True),
}


def rules(runs, window):
    """Every rule on the seeds that chose nothing."""
    last = [i for i, run in enumerate(runs) if run.seed not in CHOSEN]
    tested = [runs[i] for i in last]
    known, alarms = (
        [signals(run) for run in runs],
        {k: [replayed(a, run, p) for run in tested] for k, (a, p) in ALARMS.items()},
    )
    for factor in (2, 10):
        for run in runs:
            run.burst(factor)
        for name, on in alarms.items():
            show(f"{factor}: {name}", score(tested, on, window))
        for name in known[0]:
            values = [one[name] for one in known]
            best = chosen(runs, values, window)
            if best is None:
                print(f"{factor}: {name}: no threshold has few false alarms", flush=True)
                continue
            on = [held(values[i], *best[1:]) for i in last]
            show(f"{factor}: {name} > {best[1]:.3g}, held {best[2]}", score(tested, on, window))


def causes(runs):
    """Steps for which the leading mode has had 1 % of the loss when a burst begins; growth of a tangent before it."""
    for factor in (2, 10):
        for run in runs:
            run.burst(factor)
        for optimizer in MAKE:
            shown, share, near, calm = [], [], [], []
            for run in (run for run in runs if run.optimizer == optimizer):
                energy = mode_energy(run)
                calm += list(run.row["growth"][run.calm])
                for begin in run.begins:
                    low = np.flatnonzero(peak(energy, 3)[:begin] < 0.01)
                    shown.append(begin - 1 - (low[-1] if len(low) else 0))
                    rise = run.loss[begin] - np.median(run.loss[begin - MEDIAN : begin])
                    share.append(np.max((energy * run.loss)[begin - 1 : begin + 1]) / rise)
                    near.append(np.mean(run.row["growth"][begin - 20 : begin]))
            if not shown:
                print(f"{factor}, {optimizer}: no burst", flush=True)
                continue
            shown = np.asarray(shown)
            found = {"bursts": len(shown)} | {f"{k} %": np.percentile(shown, k) for k in (25, 50, 75)}
            found |= {"at most 3": np.mean(shown <= 3), "4 to 19": np.mean((shown > 3) & (shown < 20))}
            found |= {"20 or more": np.mean(shown >= 20), "mode explains half": np.mean(np.asarray(share) > 0.5)}
            show(f"{factor}, {optimizer}", found | {"growth, 20 before": np.median(near), "calm": np.median(calm)})


def twins(runs, key):
    """Where a run begins a burst after so many steps, how many of its twins begin one within ``AHEAD``."""

    def first(before, after, factor):
        after = np.nan_to_num(after.astype(float), nan=1e30, posinf=1e30)
        at = np.flatnonzero(passes(np.r_[before, after], factor)[MEDIAN:])
        return at[0] if len(at) else AHEAD

    for factor in (2, 10):
        rows = {}
        for run in runs:
            loss, others = run.twins[f"beside_{key}"].astype(float), run.twins[f"twin_{key}"]
            lost = np.flatnonzero(~np.isfinite(loss) | (loss > 1e3 * loss[0]))
            loss, end = np.nan_to_num(loss, nan=1e30, posinf=1e30), lost[0] if len(lost) else len(loss) - AHEAD
            high = passes(loss, factor)
            for t in range(3 * EVERY, end + 1, EVERY):
                if not np.any(high[max(t - CALM, MEDIAN) : t]) and t // EVERY < len(others):
                    before = loss[t - MEDIAN : t]
                    seen = [first(before, after, factor) for after in (loss[t : t + AHEAD], *others[t // EVERY])]
                    for optimizer in ("all", run.optimizer):
                        rows.setdefault(optimizer, []).append(seen)
        for optimizer, seen in rows.items():
            begin, other = np.asarray(seen)[:, 0], np.asarray(seen)[:, 1:]
            for low, high in ((0, 5), (5, 10), (10, 20), (20, AHEAD), (AHEAD, AHEAD + 1)):
                due = (begin >= low) & (begin < high)
                name = (
                    f"{factor}, {optimizer}: due in {low} to {high}"
                    if low < AHEAD
                    else f"{factor}, {optimizer}: none due"
                )
                show(
                    name,
                    {"starts": due.sum(), "twins that burst": np.mean(other[due] < AHEAD) if due.any() else np.nan},
                )


def single(runs, window):
    """q of single steps, as far as they fell, held on."""
    with np.errstate(all="ignore"):
        q = [np.where(run.row["fallen"] < 0, run.row["bent"] / -run.row["fallen"], 0) for run in runs]
    for factor in (2, 10):
        for run in runs:
            run.burst(factor)
        for optimizers in (("adam",), tuple(MAKE)):
            some = [i for i, run in enumerate(runs) if run.optimizer in optimizers and run.seed not in CHOSEN]
            for threshold in (2, 5):
                for hold in (1, 20, 50, 100):
                    on = [held(q[i], threshold, hold) for i in some]
                    name = f"{factor}, {'+'.join(optimizers)}: q > {threshold}, held {hold}"
                    show(name, score([runs[i] for i in some], on, window))


def record(folder, part, names, optimizers, seeds, steps):
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        for optimizer in optimizers:
            clock = time.process_time()
            rates, rows = recorded(name, optimizer, part, range(seeds), steps)
            np.savez_compressed(folder / f"{name}-{optimizer}-{part}.npz", rates=rates, **rows)
            print(f"{name} {optimizer}: {time.process_time() - clock:.0f} s of processor", flush=True)
            jax.clear_caches()


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("mode", choices=("record", "rules", "causes", "twins", "single"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--part", type=float, default=1.0, help="of the batch, drawn anew at every step")
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--window", type=int, default=50, help="steps before a burst in which an alarm warns")
    parser.add_argument("--only", nargs="*", choices=SIZES, default=list(SIZES))
    parser.add_argument("--optimizers", nargs="*", choices=MAKE, default=list(MAKE))
    parser.add_argument(
        "--key", choices=("loss", "whole"), default="loss", help="of the minibatch or of the whole batch"
    )
    args = parser.parse_args()
    if args.mode == "record":
        record(args.folder, args.part, args.only, args.optimizers, args.seeds, args.steps)
        return
    runs = load(args.folder, args.part, args.key)
    if args.mode == "rules":
        rules(runs, args.window)
    elif args.mode == "causes":
        causes(runs)
    elif args.mode == "twins":
        twins(runs, args.key)
    else:
        single(runs, args.window)


if __name__ == "__main__":
    main()
