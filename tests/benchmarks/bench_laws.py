"""What the laws promise, measured: ``python tests/benchmarks/bench_laws.py [--cases N] [accuracy|digits|…|speed]``.

One line per promise: the task, its limit, what was measured. Accuracies are against direct iteration and quadrature in
mpmath or NumPy, written out here independently of the package. Times are CPU seconds, each cold task in a process of
its own without imports and the collection of their garbage, medians; the two sides of a ratio take turns, so that
other work on the machine counts little.
The comparison with symengine is left out where it is not installed (dependency group ``benchmark``;
``BENCHMARK_PYTHON`` may name an interpreter that has it).
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import mpmath as mp
import numpy as np

import normalforms as nf

ROOT = Path(__file__).resolve().parents[2]
SCALAR = ("stability_flip", "pitchfork", "transcritical", "saddle_node", "period_doubling")


@dataclass(frozen=True)
class Row:
    """One line of the table; ``limit`` is what ``value`` has to stay below, or above when ``above``."""

    task: str
    value: float | None
    limit: float
    unit: str = ""
    above: bool = False

    def __str__(self) -> str:
        sign = "≥" if self.above else "≤"
        if self.value is None:
            return f"{self.task:66s} {sign} {self.limit:<8g} {'not measured':24s} skipped"
        holds = self.value >= self.limit if self.above else self.value <= self.limit
        measured = f"{self.value:.4g} {self.unit}"
        return f"{self.task:66s} {sign} {self.limit:<8g} {measured:24s} {'holds' if holds else 'MISSED'}"


def family(name: str) -> Any:
    """The law of a named family."""
    return nf.amplification(getattr(nf, name)())


# --- uniform laws -----------------------------------------------------------------------------------------------

TABLE = {
    ("pitchfork", 0): ((0.05, 0.1), (0.1, 0.1), (0.3, 0.1)),
    ("pitchfork", 1): ((0.05, 0.02), (0.1, 0.02), (0.3, 0.02)),
    ("pitchfork", 2): ((0.05, 0.002), (0.1, 0.002), (0.3, 0.015)),
    ("pitchfork", 3): ((0.05, 0.012), (0.1, 0.012), (0.3, 0.012)),
    ("period_doubling", 0): ((0.05, 0.1), (0.1, 0.1), (0.3, 0.1)),
    ("period_doubling", 1): ((0.05, 0.02), (0.1, 0.02), (0.3, 0.02)),
    ("period_doubling", 2): ((0.05, 0.002), (0.1, 0.002), (0.3, 0.015)),
    ("transcritical", 1): ((0.05, 0.02), (0.1, 0.02)),
    ("transcritical", 2): ((0.05, 0.001), (0.1, 0.001)),
}


def mean_error(name: str, order: int, r: float, top: float = 1.45) -> float:
    """Worst relative error of the mean over U[−r, r], T = 30, g from 0.7 to ``top``; orbits that leave left out."""
    law, (x, w) = family(name), np.polynomial.legendre.leggauss(60)
    g = np.linspace(0.7, top, 151)[:, None]
    h0 = r * x + 0 * g
    if name == "transcritical":
        h0 = np.where(h0 > np.minimum(0, g - 1), h0, 0.0)
    return float(np.max(np.abs(law.uniform(order)(g, h0, 30) @ w / (law(g, h0, 30) @ w) - 1)))


GENERAL = {
    "logistic at 3": ("r*x*(1-x)", "2/3", 3),
    "Ricker at 2": ("x*exp(r*(1-x))", 1, 2),
    "-r x + x² + x³/2": ("-r*x + x^2 + x^3/2", 0, 1),
    "logistic at 1": ("r*x*(1-x)", 0, 1),
    "r sin x": ("r*sin(x)", 0, 1),
    "tanh r x": ("tanh(r*x)", 0, 1),
}
"""Maps, by formula, fixed point and critical parameter, whose multipliers there are ``±(1 + r − r*)``."""


def general_error(name: str, order: int, horizon: int = 30) -> float:
    """Worst relative error of the mean over x ∈ U[−.05, .05] (U[0, .05] where −x leaves), |r − r*| ≤ .1."""
    step, x, r = GENERAL[name]
    law = nf.amplification(nf.parse_map(step, state="x", parameter="r"), at={"x": x, "r": r})
    nodes, w = np.polynomial.legendre.leggauss(20)
    g = r + np.linspace(-0.1, 0.1, 41)[:, None]
    fixed = 1 - 1 / g if name == "logistic at 3" else float(x) + 0 * g
    h0 = fixed + 0.05 * ((nodes + 1) / 2 if name == "logistic at 1" else nodes)
    return float(np.max(np.abs(law.uniform(order)(g, h0, horizon) @ w / (law(g, h0, horizon) @ w) - 1)))


def fold_error(order: int) -> float:
    """Worst relative error on ν ∈ [−.01, .05], |h0| ≤ .1, T = 30, of the sum over the steps until −.1 is passed."""
    law = family("saddle_node")
    g, h0 = (v.ravel() for v in np.meshgrid(1 + np.linspace(-0.01, 0.05, 61), np.linspace(-0.1, 0.1, 41)))
    orbit, slope = law.orbit(g, h0, 30), law.uniform(order).orbit.diff("g")
    stay = np.cumprod(orbit.h >= -0.1, axis=0).astype(bool)
    true, total = np.sum(np.where(stay, orbit.s, 0) ** 2, axis=0), np.zeros_like(g)
    for t, here in enumerate(stay, 1):
        total[here] += slope(g[here], h0[here], t) ** 2
    moved = true > 0
    return float(np.max(np.abs(total[moved] / true[moved] - 1)))


def rate(name: str, order: int) -> float:
    """``log₂`` of the ratio of errors at T = 100 and 200, at fixed scaled variables."""
    law, errors = family(name), []
    uniform = law.uniform(order)
    for horizon in (100, 200):
        if name == "saddle_node":
            g, h0 = 1 + 2 / horizon**2, 0.7 / horizon
        else:
            g, h0 = 1 + 1.3 / horizon, (0.6 / horizon) ** (0.5 if name != "transcritical" else 1)
        errors.append(abs(float(uniform(g, h0, horizon)) / float(law(g, h0, horizon)) - 1))
    return float(np.log2(errors[0] / errors[1]))


def accuracy() -> Iterator[Row]:
    """The table of the uniform laws, and how their errors fall."""
    for (name, order), cells in TABLE.items():
        for r, limit in cells:
            yield Row(f"uniform({order}), {name}, mean over r = {r:g}", mean_error(name, order, r), limit)
    for r, limit in ((0.05, 1e-4), (0.1, 1e-4), (0.3, 6e-4)):
        yield Row(f"uniform(3), pitchfork, r = {r:g}, g ≤ 1.3", mean_error("pitchfork", 3, r, 1.3), limit)
    for name in GENERAL:
        for order, limit in ((1, 0.005), (2, 0.001), (3, 0.0002)):
            yield Row(f"uniform({order}), {name}, mean over r = 0.05, T = 30", general_error(name, order), limit)
            yield Row(f"uniform({order}), {name}, the same at T = 60", general_error(name, order, 60), limit)
    for order, limit in ((1, 0.02), (2, 0.005), (3, 0.001)):
        yield Row(f"uniform({order}), saddle_node, worst trajectory", fold_error(order), limit)
    for name in SCALAR[1:]:
        for order in range(3 if name == "transcritical" else 4):
            yield Row(f"uniform({order}), {name}: power of 1/T", rate(name, order), order + 0.7, above=True)


# --- digits -----------------------------------------------------------------------------------------------------


def digits() -> Iterator[Row]:
    """Series and exact polynomials, values and slopes, against 60 digits of the same truncation."""
    offsets = (0.0, 1e-12, -1e-12, 1e-9, -1e-6, 1e-4, -1e-2, 0.02)
    for name in SCALAR:
        for label, made in (("series(8)", family(name).series(8)), ("exact(30, 8)", family(name).exact(30, 8))):
            worst = 0.0
            for formula in (made, made.diff("g")):
                precise, value = formula.lambdify("mpmath"), made.lambdify("mpmath")
                for g in (1 + o for o in offsets):
                    for h0 in (0.01, -0.03):
                        point = (g, h0, 30)[: len(formula.symbols)]
                        with mp.workdps(60):
                            point60 = [mp.mpf(p) if isinstance(p, float) else p for p in point]
                            true, size = precise(*point60), abs(value(*point60))
                        found = formula(*point)
                        if np.isfinite(found) and true != 0:
                            worst = max(worst, float(abs(found - true) / max(abs(true), size)))
            yield Row(f"{label}, {name}: value and slope in g", worst, 1e-13)


# --- scaling functions ------------------------------------------------------------------------------------------


def flows(name: str) -> Callable[[Any, Any, Any], Any]:
    """``H(x, y, τ)`` of a family, from its flow."""

    def bernoulli(x: Any, y: Any, tau: Any, power: int) -> Any:
        growth = mp.expm1(power * x * tau) / x if x else power * tau
        return y * mp.exp(power * x * tau) / (1 + y * growth)

    def fold(x: Any, y: Any, tau: Any) -> Any:
        root = mp.sqrt(mp.mpc(x))
        c, s = mp.cosh(root * tau), (mp.sinh(root * tau) / root if x else tau)
        return mp.re((x * s + y * c) / (c + y * s))

    return {
        "stability_flip": lambda x, y, tau: mp.sqrt(y) * mp.exp(x * tau),
        "pitchfork": lambda x, y, tau: mp.sqrt(bernoulli(x, y, tau, 2)),
        "period_doubling": lambda x, y, tau: mp.sqrt(bernoulli(x, y, tau, 2)),
        "transcritical": lambda x, y, tau: bernoulli(x, y, tau, 1),
        "saddle_node": fold,
    }[name]


def _slope_squared(H: Callable[[Any, Any, Any], Any], x: float, y: float, tau: Any) -> Any:
    return mp.diff(lambda z: H(z, mp.mpf(y), tau), mp.mpf(x), h=mp.mpf(10) ** -13) ** 2


def scaling() -> Iterator[Row]:
    """Ψ against quadrature of ``(∂H/∂x)²``, also at and next to its removable singularities."""
    points = [(1.0, 0.5), (3.0, 0.2), (-2.0, 0.5), (0.0, 0.5), (1e-9, 0.5), (-1e-5, 0.3), (0.5, 0.5), (0.5, 0.5 + 1e-9)]
    points += [(0.25, 0.5), (0.25 + 1e-9, 0.5), (8.0, 1e-3), (-9.0, 2.0)]
    for name in SCALAR:
        law, H, worst = family(name).scaling(), flows(name), 0.0
        with mp.workdps(40):
            for x, y in points:
                if name == "saddle_node" and x < -2:
                    continue  # escapes
                true = mp.quad(partial(_slope_squared, H, x, y), [0, 0.25, 0.5, 0.75, 1])
                worst = max(worst, float(abs(law.evaluate(x, y) / true - 1)))
        yield Row(f"scaling(), {name}: against quadrature", worst, 1e-12)


# --- enclosures -------------------------------------------------------------------------------------------------


def enclosures(cases: int) -> Iterator[Row]:
    """Random balls that miss the value to 60 digits, and the largest relative radius; orbits that stay."""
    steps = {
        "stability_flip": lambda h, g: (g * h, g, h),
        "pitchfork": lambda h, g: (g * h - h**3, g - 3 * h**2, h),
        "transcritical": lambda h, g: (g * h - h**2, g - 2 * h, h),
        "saddle_node": lambda h, g: (h + g - 1 - h**2, 1 - 2 * h, 1),
        "period_doubling": lambda h, g: (-g * h + h**3, -g + 3 * h**2, -h),
    }
    rng, missed, radius = np.random.default_rng(11), 0, 0.0
    laws = {name: family(name) for name in SCALAR}
    with mp.workdps(260):  # 60 digits are right after 300 expanding steps
        for i in range(cases):
            name = SCALAR[i % len(SCALAR)]
            spread = 10.0 ** rng.uniform(-12, -0.35)
            g = 1 + (rng.uniform(0, 0.3) if name == "saddle_node" else rng.choice([-1, 1]) * spread)
            h0 = rng.uniform(0 if name in ("transcritical", "saddle_node") else -0.5, 0.5)
            horizon = int(min(300, 10 ** rng.uniform(0, 2.5)))
            g_, h, s, total = mp.mpf(g), mp.mpf(h0), mp.mpf(0), mp.mpf(0)
            for _ in range(horizon):
                h, slope, drive = steps[name](h, g_)
                s = slope * s + drive
                total += s * s
            ball = laws[name].enclosure(float(g), float(h0), horizon)
            missed += not ball.contains(total)
            radius = max(radius, ball.relative_radius)
    yield Row(f"enclosures that miss the value, of {cases} random cases", missed, 0)
    yield Row("largest relative radius, point inputs, T ≤ 300", radius, 1e-9)


# --- speed ------------------------------------------------------------------------------------------------------

_LOADED = "import normalforms as nf\nfrom normalforms.families.registry import families\nfamilies()\n"
"""Imports; the records of the families are imported when they are first asked for."""
_LAW = _LOADED + "law = nf.amplification(nf.{family}())\n"
_LOGISTIC = _LOADED + "from normalforms.maps.zoo import logistic\nlaw = nf.amplification(logistic())\n"
_KOENIGS = (
    "import normalforms as nf\nfrom normalforms.forms.series.expansion import local\n"
    "from normalforms.forms.series.koenigs import orbit_coefficients\nform = local(nf.{family}())\n"
)
_SYMENGINE = """
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
_SYMENGINE_TASK = """
h, total = h0, 0
for _ in range(30):
    square = keep(se.expand(h * h), 9)
    h = keep(se.expand(g * h - h * square), 9)
    s = se.diff(h, g)
    total = total + s * s
total = keep(se.expand(total), 10)
"""


def cpu(setup: str, task: str, python: str = sys.executable) -> float | None:
    """CPU seconds of ``task`` after ``setup`` in a fresh process; ``None`` if a module is missing."""
    began, done = "start = time.process_time()", "print(time.process_time() - start)"
    code = "\n".join(("import gc, time", setup, "gc.collect()", began, task, done))
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": "0"}
    ran = subprocess.run([python, "-c", code], capture_output=True, text=True, env=environment, check=False)
    if "ModuleNotFoundError" in ran.stderr:
        return None
    if ran.returncode:
        raise RuntimeError(ran.stderr)
    return float(ran.stdout.split()[-1])


def median(setup: str, task: str, repeat: int, python: str = sys.executable) -> float | None:
    """Median of `cpu` over fresh processes."""
    values = [cpu(setup, task, python) for _ in range(repeat)]
    return None if None in values else statistics.median(values)  # type: ignore[type-var]


def speed(repeat: int = 5) -> Iterator[Row]:
    """Symbolic tasks."""
    exact = median(_LAW.format(family="pitchfork"), "law.exact(30, 10).expr", repeat)
    other = median(_SYMENGINE, _SYMENGINE_TASK, 3, os.environ.get("BENCHMARK_PYTHON", sys.executable))
    yield Row("exact(30, 10), pitchfork", exact, 0.030, "s")
    ratio = None if other is None or exact is None else other / exact
    yield Row("exact(30, 10) against symengine", ratio, 20, "times faster", above=True)
    for name in SCALAR[1:]:
        setup = _LAW.format(family=name)
        yield Row(f"series(10), {name}", median(setup, "law.series(10).expr", repeat), 0.1, "s")
        yield Row(f"series(26), {name}", median(setup, "law.series(26).expr", 3), 5, "s")
    yield Row("series(10), logistic", median(_LOGISTIC, "law.series(10).expr", repeat), 0.1, "s")
    for name in ("pitchfork", "transcritical"):
        value = median(_KOENIGS.format(family=name), "orbit_coefficients(form, 49)", 3)
        yield Row(f"Kœnigs orbit through h0⁴⁹, {name}", value, 2, "s")


SIDE, HORIZON = 1000, 300


def seconds(evaluate: Callable[[], Any]) -> float:
    """CPU time of one evaluation."""
    began = time.process_time()
    evaluate()
    return time.process_time() - began


def grid(rounds: int = 3) -> Iterator[Row]:
    """Every form on 1,000 g × 1,000 h0 at T = 300, against direct iteration of the same grid."""
    for name in SCALAR:
        law = family(name)
        found = {"series(10)": law.series(10), "scaling()": law.scaling(), "critical regime": law.regimes()["critical"]}
        found |= {f"uniform({p})": law.uniform(p) for p in range(4)}
        yield from _side_by_side(law, name, found, (1.0 if name == "saddle_node" else 0.97, 1.02), 0.05, rounds)
    wide = family("pitchfork")
    found = {f"uniform({p})": wide.uniform(p) for p in range(4)}
    for top in (0.05, 0.3):
        yield from _side_by_side(wide, f".7 ≤ g ≤ 1.45, h0 ≤ {top:g}", found, (0.7, 1.45), top, rounds)


def _side_by_side(
    law: Any, name: str, found: dict[str, Any], across: tuple[float, float], top: float, rounds: int
) -> Iterator[Row]:
    """Forms of a law for g ``across`` a range and h0 up to ``top``, in turns with its iteration."""
    g, h0 = np.linspace(*across, SIDE)[:, None], np.linspace(1e-3, top, SIDE)
    for form in found.values():
        form(1.0, 1e-3, HORIZON)  # compiled
    times: dict[str, list[float]] = {label: [] for label in ("direct", *found)}
    for _ in range(rounds):
        times["direct"].append(seconds(lambda: law(g, h0, HORIZON)))
        for label, form in found.items():
            times[label].append(seconds(lambda form=form: form(g, h0, HORIZON)))
    for label in found:
        ratio = statistics.median(a / b for a, b in zip(times[label], times["direct"], strict=True))
        unit = f"of {statistics.median(times['direct']):.1f} s"
        yield Row(f"{label}, {name}, 10⁶ points at T = 300 against iteration", ratio, 0.1, unit)


def main() -> None:
    """Print the table, or the parts that are named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", help="accuracy, digits, scaling, enclosures, speed, grid; all by default")
    parser.add_argument("--cases", type=int, default=10_000, help="random enclosures")
    chosen = parser.parse_args()
    parts: dict[str, Callable[[], Iterator[Row]]] = {
        "accuracy": accuracy,
        "digits": digits,
        "scaling": scaling,
        "enclosures": lambda: enclosures(chosen.cases),
        "speed": speed,
        "grid": grid,
    }
    warnings.simplefilter("ignore", nf.DomainWarning)
    for name in chosen.parts or parts:
        print(f"--- {name}", flush=True)
        for row in parts[name]():
            print(row, flush=True)


if __name__ == "__main__":
    main()
