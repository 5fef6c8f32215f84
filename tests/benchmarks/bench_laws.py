"""Speed of the closed laws against direct iteration in NumPy: ``python tests/benchmarks/bench_laws.py``.

Each form and the iteration take turns on the same grid of g × h0; the median of the ratios is printed, so that other
work on the machine counts little.
"""

from __future__ import annotations

import statistics
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

import normalforms as nf

FAMILIES = ("stability_flip", "pitchfork", "transcritical", "saddle_node", "period_doubling")
SIDE, HORIZON, ROUNDS = 150, 300, 3


def seconds(evaluate: Callable[[], Any]) -> float:
    """CPU time of one evaluation."""
    began = time.process_time()
    evaluate()
    return time.process_time() - began


def forms(law: Any) -> dict[str, Callable[[Any, Any, int], Any]]:
    """What is timed: the forms that are evaluated point by point."""
    found: dict[str, Any] = {"scaling": law.scaling(), "critical": law.regimes()["critical"], "uniform": law.uniform()}
    return found


def main() -> None:
    """Print one line per family and form: time, time of the iteration, and their ratio."""
    warnings.simplefilter("ignore")
    h0 = np.linspace(1e-3, 0.05, SIDE)
    for family in FAMILIES:
        law = nf.amplification(getattr(nf, family)())
        g = np.linspace(1.0 if family == "saddle_node" else 0.97, 1.02, SIDE)[:, None]
        for name, form in forms(law).items():
            form(g, h0, HORIZON)
            pairs = [
                (seconds(lambda f=form, g=g: f(g, h0, HORIZON)), seconds(lambda f=law, g=g: f(g, h0, HORIZON)))
                for _ in range(ROUNDS)
            ]
            ratio = statistics.median(a / b for a, b in pairs)
            own, direct = (statistics.median(side) for side in zip(*pairs, strict=True))
            times = f"{own * 1e3:8.1f} ms  iteration {direct * 1e3:8.1f} ms"
            print(f"{family:15} {name:9} {times}  ratio {ratio:.3f}", flush=True)


if __name__ == "__main__":
    main()
