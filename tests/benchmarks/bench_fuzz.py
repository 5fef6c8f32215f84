"""A long fuzz of the laws and of the parser: ``python tests/benchmarks/bench_fuzz.py [--maps N] [--texts N] …``.

Prints what was claimed and what was true wherever they differ, and exits with 1 if a number is outside its claim, a
program failed, or an evaluation took more than 5 CPU seconds (a formula: 1).
"""

from __future__ import annotations

import argparse
import random
import resource
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import sympy as sp

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "normalforms"))
import random_maps
import random_texts

import normalforms as nf
from normalforms.maps import parse_expression


def maps(count: int, points: int, longest: int, seed: int) -> int:
    """Random maps at random points; the number of faults."""
    kinds, forms, faults, slowest, start = Counter(), Counter(), 0, 0.0, time.process_time()
    for k in range(count):
        rng = np.random.default_rng([seed, k])
        case = random_maps.case(rng)
        kinds[case.kind] += 1
        verdicts = list(random_maps.judged(case, rng, longest, points))
        if random_maps.averaged(case) and rng.random() < 0.5:
            verdicts += random_maps.averages(case, rng)
        for verdict in verdicts:
            name = verdict.form.partition("(")[0].partition(",")[0]
            forms[name, verdict.status.partition(":")[0]] += 1
            slowest = max(slowest, verdict.seconds)
            if verdict.status not in random_maps.GOOD or verdict.seconds > 5:
                faults += 1
                print(f"map {k}: {verdict}", flush=True)
        if k % 50 == 49:
            print(f"… {k + 1} maps, {forms.total()} evaluations, {faults} faults", flush=True)
    for name in sorted({name for name, _ in forms}):
        print(f"{name:30}", {status: n for (form, status), n in sorted(forms.items()) if form == name})
    print(f"{forms.total()} evaluations of {count} maps {dict(kinds)}: {faults} faults")
    print(f"slowest {slowest:.2f} CPU s, {time.process_time() - start:.0f} CPU s in all")
    return faults


def texts(count: int, seed: int) -> int:
    """Random texts for the parser; the number of faults."""
    rng, tally, faults, slowest = random.Random(seed), Counter(), 0, 0.0
    symbols = sp.symbols("x r", real=True)
    for k in range(count):
        text, start = random_texts.text(rng), time.process_time()
        try:
            parse_expression(text, symbols)
            tally["read"] += 1
        except nf.MapSyntaxError:
            tally["refused"] += 1
        except Exception as error:
            tally[type(error).__name__] += 1
            faults += 1
            print(f"{type(error).__name__}: {text!r}", flush=True)
        seconds = time.process_time() - start
        slowest = max(slowest, seconds)
        if seconds > 1:
            faults += 1
            print(f"{seconds:.1f} s: {text!r}", flush=True)
        if k % 100_000 == 99_999:
            print(f"… {k + 1} texts, {faults} faults", flush=True)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{count} texts: {dict(tally)}; slowest {slowest:.2f} CPU s; {memory:.0f} MB")
    return faults + (memory > 200)


def grids(count: int, seed: int) -> int:
    """Truncated laws on grids, judged by cells and at every point; points that only the cells hold to be right."""
    missed = flagged = points = done = 0
    k = -1
    while done < count:
        k += 1
        rng = np.random.default_rng([seed, 10**6 + k])
        case = random_maps.case(rng)
        if not case.closed or len(case.parameters) > 1:
            continue
        done += 1
        formula = case.law.series(int(rng.integers(1, 9)), pade=bool(rng.integers(2)))
        width, top, T = 10 ** rng.uniform(-4, -0.3), 10 ** rng.uniform(-3, 0.3), round(10 ** rng.uniform(0, 2.3))
        values = [1 + np.linspace(-width, width, 180)[:, None], np.linspace(-top * rng.integers(2), top, 170), T]
        with np.errstate(all="ignore"):
            value, by_cells = formula._measured(values)
            true = formula.truth.lambdify()(*values)
            by_points = np.abs(true - value) * (np.abs(value) + np.abs(true)) / (2 * np.abs(true) + 1e-300)
            right, truly = (e <= formula.domain.tolerance * np.abs(value) for e in (by_cells, by_points))
        wrong = int(np.sum(right & ~truly))
        missed, flagged, points = missed + wrong, flagged + int(np.sum(truly & ~right)), points + value.size
        if wrong:
            print(f"{wrong} points missed: {case}, {formula.domain}, ±{width:.1e}, {top:.1e}, T = {T}", flush=True)
    print(f"{points} points of {count} grids: {missed} wrong and held to be right, {flagged} right and flagged")
    return missed


def main() -> int:
    """Run all, and say whether all was well."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--maps", type=int, default=300)
    parser.add_argument("--points", type=int, default=4)
    parser.add_argument("--longest", type=int, default=10_000)
    parser.add_argument("--grids", type=int, default=300)
    parser.add_argument("--texts", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    faults = texts(given.texts, given.seed) + maps(given.maps, given.points, given.longest, given.seed)
    faults += grids(given.grids, given.seed)
    return int(faults > 0)


if __name__ == "__main__":
    sys.exit(main())
