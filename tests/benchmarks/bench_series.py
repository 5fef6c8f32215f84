"""Speed of the truncated laws, each task cold in a process of its own: ``python tests/benchmarks/bench_series.py``.

CPU seconds without imports, median over fresh processes, so that other work on the machine counts little; the two
sides of a ratio are measured in turn. The comparison with symengine is left out where it is not installed (dependency
group ``benchmark``; ``BENCHMARK_PYTHON`` may name an interpreter that has it).
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

_LAW = "import time, normalforms as nf, numpy as np\nlaw = nf.amplification(nf.{family}())\n"
_KOENIGS = (
    "import time, normalforms as nf\nfrom normalforms.expansion import local\n"
    "from normalforms.koenigs import orbit_coefficients\nform = local(nf.{family}())\n"
)
_GRID = (
    "import warnings\nwarnings.simplefilter('ignore')\n"
    "g, h0 = np.linspace(0.95, 1.002, 1000)[:, None], np.linspace(1e-3, 1e-2, 1000)\n"
)
_SYMENGINE = """
import time
import symengine as se
g, h0 = se.symbols("g h0")
def keep(expr, order):
    out = 0
    for term in expr.args if expr.func is se.Add else (expr,):
        power = 0
        for factor in term.args if term.func is se.Mul else (term,):
            base, exponent = factor.args if factor.func is se.Pow else (factor, 1)
            power += int(exponent) if base == h0 else 0
        out = out + (term if power <= order else 0)
    return out
"""


@dataclass(frozen=True)
class Row:
    """One line of the table; ``limit`` is what ``value`` has to stay below, or above when ``above``."""

    task: str
    value: float | None
    limit: float
    unit: str
    above: bool = False

    @property
    def holds(self) -> bool | None:
        """Whether the limit is kept; ``None`` where nothing was measured."""
        if self.value is None:
            return None
        return self.value >= self.limit if self.above else self.value <= self.limit


def cpu(setup: str, task: str, python: str = sys.executable) -> float | None:
    """CPU seconds of ``task`` after ``setup`` in a fresh process; ``None`` if a module is missing."""
    code = f"{setup}\nstart = time.process_time()\n{task}\nprint(time.process_time() - start)"
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": "0"}
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, env=environment, check=False)
    if "ModuleNotFoundError" in done.stderr:
        return None
    if done.returncode:
        raise RuntimeError(done.stderr)
    return float(done.stdout.split()[-1])


def median(setup: str, task: str, repeat: int, python: str = sys.executable) -> float | None:
    """Median of `cpu` over fresh processes."""
    values = [cpu(setup, task, python) for _ in range(repeat)]
    return None if None in values else statistics.median(values)  # type: ignore[type-var]


def symengine(repeat: int = 3) -> float | None:
    """The orbit of the pitchfork through h0⁹ and its squared sensitivities, T = 30, by symengine's expand."""
    task = """
h, total = h0, 0
for _ in range(30):
    square = keep(se.expand(h * h), 9)
    h = keep(se.expand(g * h - h * square), 9)
    s = se.diff(h, g)
    total = total + s * s
total = keep(se.expand(total), 10)
"""
    return median(_SYMENGINE, task, repeat, os.environ.get("BENCHMARK_PYTHON", sys.executable))


def rows(repeat: int = 5) -> list[Row]:
    """The table of this part."""
    table: list[Row] = []
    exact = median(_LAW.format(family="pitchfork"), "law.exact(30, 10).expr", repeat)
    other = symengine()
    table.append(Row("exact(30, 10), pitchfork", exact, 0.030, "s"))
    ratio = None if other is None or exact is None else other / exact
    table.append(Row("exact(30, 10) against symengine", ratio, 20, "times faster", above=True))
    for family in ("pitchfork", "transcritical", "saddle_node", "period_doubling"):
        setup = _LAW.format(family=family)
        table.append(Row(f"series(10), {family}", median(setup, "law.series(10).expr", repeat), 0.1, "s"))
        table.append(Row(f"series(26), {family}", median(setup, "law.series(26).expr", 3), 5, "s"))
    for family in ("pitchfork", "transcritical"):
        value = median(_KOENIGS.format(family=family), "orbit_coefficients(form, 49)", 3)
        table.append(Row(f"Kœnigs orbit through h0⁴⁹, {family}", value, 2, "s"))
    for family in ("pitchfork", "saddle_node"):
        setup = _LAW.format(family=family) + _GRID
        direct = cpu(setup, "law(g, h0, 300)")
        warm = setup + "formula = law.series(10)\nformula(1.0, 1e-3, 300)\n"
        series = median(warm, "formula(g, h0, 300)", 3)
        table.append(Row(f"series(10) on 10⁶ points against iteration, {family}", series / direct, 0.1, "of the time"))
    return table


def main() -> None:
    """Print the table."""
    for row in rows():
        value = "not measured" if row.value is None else f"{row.value:10.4f} {row.unit}"
        sign = "≥" if row.above else "≤"
        verdict = {True: "holds", False: "MISSED", None: "skipped"}[row.holds]
        print(f"{row.task:58s} {value:24s} {sign} {row.limit:<6g} {verdict}")


if __name__ == "__main__":
    main()
