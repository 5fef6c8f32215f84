"""Every series coefficient of every family through h0⁹, found again from sixty-digit numbers; and false integers.

    python tests/benchmarks/bench_rediscovery.py

The comparison is with the package's own series, in symbolic g and T (see test_rediscovery.py).
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import mpmath as mp
import numpy as np
import sympy as sp

from normalforms.testing import rational

sys.path.insert(0, str(Path(__file__).parents[1] / "normalforms" / "testing"))

from test_rediscovery import ENTRIES, again, assert_same, graded_again, joint, series

POWERS = {
    "stability_flip": (2,),
    "pitchfork": (2, 4, 6, 8),
    "period_doubling": (2, 4, 6, 8),
    "neimark_sacker": (2, 4, 6, 8),
    "transcritical": tuple(range(2, 10)),
}


def main():
    print("| family | coefficients found again | digits to spare | numbers that only check | CPU s |")
    print("| --- | --- | --- | --- | --- |")
    for name, powers in POWERS.items():
        began, digits, checks = time.process_time(), [], []
        for power in powers:
            m, found = again(name, power)
            assert_same(found.expr, series(m, power))
            digits.append(found.digits)
            checks.append(found.checks)
        took = time.process_time() - began
        print(
            f"| {name} | h0^{', '.join(map(str, powers))} | {min(digits):.0f} | {min(checks)} | {took:.1f} |",
            flush=True,
        )
    for name, entry in ENTRIES:
        began, digits, checks = time.process_time(), [], []
        known = joint(name, 9, entry)
        for powers, value in known.items():
            found = graded_again(name, entry, powers)
            assert sp.expand(found.expr - value) == 0, powers
            digits.append(found.digits)
            checks.append(found.checks)
        took = time.process_time() - began
        print(f"| {name} {entry} | {len(known)} graded | {min(digits):.0f} | {min(checks)} | {took:.1f} |", flush=True)
    rng, false, trials = np.random.default_rng(), 0, 10_000
    with mp.workdps(60):
        for _ in range(trials):
            digits = "".join(map(str, rng.integers(0, 10, 60)))
            false += rational(mp.mpf("0." + digits) * 10 ** int(rng.integers(0, 9)), 60, largest=10**20) is not None
    print(f"\nfalse rationals among {trials} random numbers of 60 digits, denominators to 10^20: {false}")


if __name__ == "__main__":
    main()
