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

import normalforms as nf
from normalforms.maps import parse_expression

GOOD = ("right", "warned", "refused")


def maps(count: int, points: int, longest: int, seed: int) -> int:
    """Random maps at random points; the number of faults."""
    rng, tally, forms, faults = np.random.default_rng(seed), Counter(), Counter(), 0
    start, slowest = time.process_time(), 0.0
    for _ in range(count):
        case = random_maps.case(rng)
        for _ in range(points):
            for verdict in random_maps.judged(case, rng, longest):
                tally[verdict.status.split(":")[0]] += 1
                forms[verdict.form.split("(")[0]] += 1
                slowest = max(slowest, verdict.seconds)
                if verdict.status not in GOOD or verdict.seconds > 5:
                    faults += 1
                    print(f"{verdict} ({verdict.seconds:.1f} s)", flush=True)
    print(f"{sum(tally.values())} evaluations of {count} maps: {dict(tally)}; by form {dict(forms)}")
    print(f"slowest {slowest:.2f} CPU s, {time.process_time() - start:.0f} CPU s in all")
    return faults


def texts(count: int, seed: int) -> int:
    """Random texts for the parser; the number of faults."""
    rng, tally, faults, slowest = random.Random(seed), Counter(), 0, 0.0
    symbols = sp.symbols("x r", real=True)
    for _ in range(count):
        text, start = random_maps.text(rng), time.process_time()
        try:
            parse_expression(text, symbols)
            tally["read"] += 1
        except nf.MapSyntaxError:
            tally["refused"] += 1
        except Exception as error:
            tally[type(error).__name__] += 1
            faults += 1
            print(f"{type(error).__name__}: {text}", flush=True)
        seconds = time.process_time() - start
        slowest = max(slowest, seconds)
        if seconds > 1:
            faults += 1
            print(f"{seconds:.1f} s: {text}", flush=True)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{count} texts: {dict(tally)}; slowest {slowest:.2f} CPU s; {memory:.0f} MB")
    return faults


def main() -> int:
    """Run both, and say whether all was well."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--maps", type=int, default=300)
    parser.add_argument("--points", type=int, default=15)
    parser.add_argument("--longest", type=int, default=10_000)
    parser.add_argument("--texts", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    faults = texts(given.texts, given.seed) + maps(given.maps, given.points, given.longest, given.seed)
    return int(faults > 0)


if __name__ == "__main__":
    sys.exit(main())
