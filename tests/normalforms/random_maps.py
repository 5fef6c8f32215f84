"""Random maps with a bifurcation, and every form of their laws against `referee`: what is claimed, what is true."""

from __future__ import annotations

import math
import re
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import mpmath as mp
import numpy as np
from referee import Referee, Truth

import normalforms as nf

# --- maps ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Case:
    """A map with a bifurcation at ``r = 1``.

    Args:
        kind: of map.
        steps: formulas, also for the referee.
        states: names.
        parameters: names.
        at: the bifurcation; none where the map has no law but direct iteration and enclosures.
        law: of the package.
        units: factors on the initial state before, and on the amplification after the referee's map.
    """

    kind: str
    steps: tuple[str, ...]
    law: Any
    states: tuple[str, ...] = ("x",)
    parameters: tuple[str, ...] = ("r",)
    closed: bool = True
    basis: tuple[tuple[float, ...], ...] | None = None
    units: tuple[float, float] = (1.0, 1.0)

    @property
    def referee(self) -> Referee:
        """Iteration of the same formulas."""
        return Referee(self.steps, self.states, self.parameters, self.basis)

    def __str__(self) -> str:
        return f"{self.kind} {'; '.join(self.steps)}"


def _made(kind: str, *steps: str, at: dict[str, Any] | None = None, **options: Any) -> Case:
    states, parameters = options.get("states", ("x",)), options.get("parameters", ("r",))
    m = nf.parse_map(steps if len(steps) > 1 else steps[0], state=states, parameter=parameters)
    return Case(kind, steps, nf.amplification(m, at=at), **options)


def _coefficient(rng: np.random.Generator, smallest: float = -6) -> str:
    """Of either sign and any size, tiny ones included."""
    return f"{rng.choice([-1, 1]) * 10 ** rng.uniform(smallest, 0.5):.4e}"


def _terms(rng: np.random.Generator, x: str, most: int = 4, highest: int = 12, lowest: int = 2) -> str:
    """A few powers with gaps between them."""
    powers = sorted(rng.choice(np.arange(lowest, highest), size=int(rng.integers(1, most)), replace=False))
    return "".join(f" + ({_coefficient(rng)})*{x}^{k}" for k in powers)


def _polynomial(rng: np.random.Generator) -> Case:
    return _made("polynomial", f"{rng.choice(['', '-'])}r*x{_terms(rng, 'x')}", at={"x": 0, "r": 1})


def _fold(rng: np.random.Generator) -> Case:
    return _made("fold", f"x + (r - 1){_terms(rng, 'x')}", at={"x": 0, "r": 1})


def _unfolded(rng: np.random.Generator) -> Case:
    """A fold of a map whose branches, curvature and speed all change with the parameter."""
    bend = rng.choice(["x^2", "(exp(x) - 1 - x)", "(1 - cos(x))", "x*tanh(x)", "x*sin(x)"])
    step = f"x + ({_coefficient(rng, -1)})*(r - 1) + ({_coefficient(rng, -2)})*{bend}"
    others = ["(r - 1)*x", "(r - 1)^2", "x^3", "x*sin(r - 1)", "(exp(r - 1) - r)", "(r - 1)*x^2", "x^5"]
    step += "".join(f" + ({_coefficient(rng, -3)})*{v}" for v in rng.choice(others, 3, replace=False))
    return _made("unfolded", step, at={"x": 0, "r": 1})


def _moving(rng: np.random.Generator) -> Case:
    """A fixed point that moves with the parameter."""
    centre = f"({_coefficient(rng, -2)})*(r - 1)"
    x = f"(x - {centre})"
    step = f"{centre} {rng.choice(['+', '-'])} r*{x}{_terms(rng, x, 3, 6)}"
    return _made("moving fixed point", step, at={"x": 0, "r": 1})


def _rational(rng: np.random.Generator) -> Case:
    size, k = f"{10 ** rng.uniform(-1, 1):.3f}", rng.integers(1, 6)
    return _made("rational", f"{rng.choice(['', '-'])}r*x/(1 + {size}*x^{k})", at={"x": 0, "r": 1})


def _exponential(rng: np.random.Generator) -> Case:
    size, k = f"{10 ** rng.uniform(-1, 1):.3f}", rng.integers(1, 6)
    return _made("exponential", f"{rng.choice(['', '-'])}r*x*exp(-{size}*x^{k})", at={"x": 0, "r": 1})


def _trigonometric(rng: np.random.Generator) -> Case:
    size, name = f"{10 ** rng.uniform(-1, 1):.3f}", rng.choice(["sin", "tanh"])
    step = f"{rng.choice(['', '-'])}r*{name}({size}*x)/{size}"
    return _made("trigonometric", step, at={"x": 0, "r": 1})


def _cusp(rng: np.random.Generator) -> Case:
    step = f"b + r*x{_terms(rng, 'x', 3, 8, 3)}"
    return _made("two parameters", step, at={"x": 0, "b": 0, "r": 1}, parameters=("b", "r"))


_TURNS = [("0.6", "0.8"), ("5/13", "12/13"), ("-8/17", "15/17"), ("0.28", "0.96")]


def _rotation(rng: np.random.Generator) -> Case:
    """The Neimark–Sacker family with any ``d``."""
    c, s = _TURNS[rng.integers(len(_TURNS))]
    real, imag = (f"({rng.choice([-1, 1]) * 10 ** rng.uniform(-4, 0.5):.3f})" for _ in range(2))
    size = "(x^2 + y^2)"
    u, v = f"(x*(r + {real}*{size}) - y*{imag}*{size})", f"(x*{imag}*{size} + y*(r + {real}*{size}))"
    return _made(
        "rotation", f"({c})*{u} - ({s})*{v}", f"({s})*{u} + ({c})*{v}", at={"x": 0, "y": 0, "r": 1}, states=("x", "y")
    )


def _planar(rng: np.random.Generator) -> Case:
    """Hénon's map, two coupled populations, or a rotation with gaps: no closed law, but iterated and enclosed."""
    a, b = _coefficient(rng, -2), f"{rng.uniform(-0.9, 0.9):.3f}"
    c, s = _TURNS[rng.integers(len(_TURNS))]
    steps = [
        (f"1 - r*{rng.uniform(0.1, 1.3):.3f}*x^2 + y", f"({b})*x"),
        (f"r*x + ({a})*x*y{_terms(rng, 'x', 2, 8)}", f"({b})*y + ({_coefficient(rng, -2)})*x^2"),
        (f"r*(({c})*x - ({s})*y){_terms(rng, 'x', 3, 8)}", f"r*(({s})*x + ({c})*y){_terms(rng, 'y', 3, 8)}"),
    ][rng.integers(3)]
    return _made("planar", *steps, states=("x", "y"), closed=False)


def _cycle(rng: np.random.Generator) -> Case:
    """The normal form of the second iterate of a logistic map with a quartic term, where its 2-cycle doubles."""
    extra = round(float(rng.uniform(-0.3, 0.3)), 3)

    def equations(x: Any, r: Any) -> list[Any]:
        f = lambda x: r * x * (1 - x) + mp.mpf(extra) * x**4  # noqa: E731
        slope = lambda x: r * (1 - 2 * x) + 4 * mp.mpf(extra) * x**3  # noqa: E731
        return [f(f(x)) - x, slope(x) * slope(f(x)) + 1]

    x, r = mp.findroot(equations, (0.85, 3.45))
    m = nf.parse_map(f"r*x*(1 - x) + ({extra})*x^4", state="x", parameter="r")
    law = nf.amplification(nf.reduce(m, at={"x": float(x), "r": float(r)}, period=2))
    names = tuple(s.name for s in law.map.states), tuple(s.name for s in law.map.parameters)
    steps = tuple(str(f) for f in law.map.steps)
    return Case("cycle", steps, law, *names, units=(float(law.stretch), float(law.gain)))


KINDS: tuple[Callable[[np.random.Generator], Case], ...] = (
    _polynomial,
    _polynomial,
    _polynomial,
    _fold,
    _unfolded,
    _moving,
    _rational,
    _exponential,
    _trigonometric,
    _cusp,
    _rotation,
    _planar,
    _cycle,
)


def case(rng: np.random.Generator) -> Case:
    """A map of a random kind; another one where a draw has no such bifurcation."""
    while True:
        try:
            return KINDS[rng.integers(len(KINDS))](rng)
        except ValueError:
            continue


# --- points and forms ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Place:
    """Parameters, initial state, and the horizons at which one orbit is asked for."""

    g: tuple[float, ...]
    h0: tuple[float, ...]
    horizons: tuple[int, ...]


def place(rng: np.random.Generator, of: Case, longest: int) -> Place:
    """Parameter at, next to and away from 1; initial state of any size and sign; horizons log-uniform."""
    offset = float(rng.choice([0.0, rng.choice([-1, 1]) * 10 ** rng.uniform(-12, -3), rng.uniform(-0.3, 0.5)]))
    sizes = 10 ** rng.uniform(-8, 0, 2) * rng.choice([-1, 1], 2) * (rng.random(2) > 0.05)
    top = np.log10(longest)
    horizons = {1 + int(10 ** rng.uniform(0, top * (k + 1) / 4)) for k in range(4)}
    other = [float(10 ** rng.uniform(-9, -1) * rng.choice([-1, 0, 1]))] if len(of.parameters) > 1 else []
    return Place(
        (*other, 1 + offset),
        tuple(map(float, sizes[: len(of.states)])),
        tuple(sorted(min(T, longest) for T in horizons)),
    )


Form = tuple[str, Callable[..., Any], float, int]
"""Name, function of ``(g, h0, T)``, the relative error that it claims without a warning, its longest horizon."""

_BY_ENTRIES = 1.45
"""Top eigenvalue of a 2×2 matrix with errors of one part in each entry."""


def forms(of: Case, rng: np.random.Generator) -> Iterator[Form]:
    """Forms of the law, made once for all points."""
    law, orders = of.law, [int(v) for v in rng.integers(0, 9, 3)]
    scale = _BY_ENTRIES if len(of.parameters) > 1 else 1.0
    yield "reference", law, 1e-6, 10**6
    yield (
        "enclosure",
        lambda g, h0, T: _certified(law.enclosure(g, h0, T)),
        1e-9 if of.kind == "cycle" else 1e-12,
        10**6,
    )
    if not of.closed:
        return
    for name, pade in ((f"series({orders[0]})", False), (f"series({orders[1]})", False), (f"pade({orders[2]})", True)):
        formula = law.series(int(re.findall(r"\d+", name)[0]), pade=pade)
        yield name, formula, 0.0102 * scale, 10**6
    exact = cache(lambda T: law.exact(T, orders[0]))
    yield f"exact(T, {orders[0]})", lambda g, h0, T: exact(T)(g, h0), 0.0102 * scale, 60
    for order in (0, int(rng.integers(1, 4))):
        try:
            uniform = law.uniform(order)
        except ValueError:
            continue  # refused when made
        yield f"uniform({order})", uniform, _claimed(uniform), 10**6
    if of.kind == "cycle":
        for name, regime in law.regimes().items():
            part = regime.domain.tolerance  # of the value
            yield f"regime {name}", regime, 1.02 * part / (1 - part), 10**6


def _claimed(law: Any) -> float:
    """What a uniform law says about itself."""
    said = re.search(r"relative error of A up to ([\d.e-]+)", str(law.domain))
    return float(said.group(1)) if said else 1e-9


def _certified(ball: Any) -> float:
    """The midpoint; an unbounded ball says itself that it certifies nothing."""
    if mp.isinf(ball.rad):
        warnings.warn("nothing is certified", nf.DomainWarning, stacklevel=2)
    return float(ball)


# --- verdicts -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Verdict:
    """One evaluation: what was claimed, what was true."""

    case: Case
    form: str
    point: tuple[Any, ...]
    found: float | None
    true: float
    claim: float
    status: str
    seconds: float

    def __str__(self) -> str:
        return (
            f"{self.status}: {self.form} of {self.case} at {self.point}: {self.found!r}, true {self.true!r},"
            f" claimed to {self.claim:.3g} ({self.seconds:.2f} s)"
        )


GOOD = ("right", "warned", "refused")


def judged(of: Case, rng: np.random.Generator, longest: int, points: int) -> Iterator[Verdict]:
    """Every form of one map at random points and horizons; one orbit of the referee for all of a point."""
    start = time.process_time()
    made = list(forms(of, rng))
    spent = time.process_time() - start
    status = "right" if spent < 5 * len(made) else "slow to make"
    yield Verdict(of, "forms made", (), None, math.nan, math.nan, status, spent / len(made))
    for k in range(points):
        here = place(rng, of, longest if k == 0 else min(longest, 1000))
        truths = of.referee.truths(here.g, [of.units[0] * v for v in here.h0], here.horizons)
        g, h0 = (v[0] if len(v) == 1 else v for v in (here.g, here.h0))
        for T, true in truths.items():
            true = Truth(of.units[1] * true.value, true.radius)
            for form in made:
                if form[3] >= T:
                    yield _verdict(of, form, (g, h0, T), true)


def averaged(of: Case) -> bool:
    """Whether `averages` has something to say about a map."""
    return of.closed and of.kind != "cycle" and len(of.states) == len(of.parameters) == 1


def averages(of: Case, rng: np.random.Generator) -> Iterator[Verdict]:
    """Means over initial states of a scalar map, where a quadrature of the truth settles."""
    reach, T, order = float(10 ** rng.uniform(-4, -0.3)), int(rng.integers(1, 40)), int(rng.integers(1, 7))
    g = place(rng, of, 10).g[0]
    true = _mean(of.referee, g, reach, T)
    if true is None:
        return
    mean = of.law.averaged(nf.Uniform(-reach, reach))
    exact = mean.exact(T, order)
    for name, made, claim in (
        ("average", lambda g, _, T: mean(g, T), 1e-5),
        ("average of a series", lambda g, _, T: mean.series(order)(g, T), 0.0105),
        ("average of a Padé approximant", lambda g, _, T: mean.series(order, pade=True)(g, T), 0.0105),
        ("average of an exact law", lambda g, _, T: exact(g), 0.0105),
    ):
        yield _verdict(of, (f"{name}, order {order}", made, claim, T), (g, f"U(±{reach!r})", T), true)


def _mean(of: Referee, g: float, reach: float, T: int) -> Truth | None:
    nodes, weights = np.polynomial.legendre.leggauss(12)
    found = []
    for panels in (4, 7):
        edges = np.linspace(-reach, reach, panels + 1)
        middle, half = (edges[1:] + edges[:-1]) / 2, reach / panels
        total = 0.0
        for m in middle:
            for x, w in zip(nodes, weights, strict=True):
                true = of.truths((g,), (float(m + half * x),), (T,)).get(T)
                if true is None or not np.isfinite(true.value):
                    return None
                total += w / (2 * panels) * true.value
        found.append(total)
    return Truth(found[1], 1e-6) if abs(found[0] - found[1]) <= 1e-6 * found[1] else None


def _verdict(of: Case, form: Form, at: tuple[Any, ...], true: Truth) -> Verdict:
    name, function, claim, _ = form
    start, value = time.process_time(), None
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        try:
            value = float(function(*at))
            status = verdict_on(value, true, claim, said)
        except ValueError as error:
            status = "refused" if str(error) else "traceback: an error without a sentence"
        except Exception as error:
            status = f"traceback {type(error).__name__}: {error}"
    return Verdict(of, name, at, value, true.value, claim, status, time.process_time() - start)


def verdict_on(value: float, true: Truth, claim: float, said: list[Any]) -> str:
    """What a number is worth, given what was said when it was returned."""
    if any(not issubclass(w.category, nf.DomainWarning) for w in said):
        return f"traceback: {said[0].category.__name__} {said[0].message}"
    if said:
        return "warned"
    if not true.value < 1e300:
        return "right" if value > 1e290 else "wrong"
    if np.isnan(value):
        return "silent nan"
    small = 1e-290  # below it squares underflow
    return "right" if abs(value - true.value) <= (claim + true.radius) * abs(true.value) + small else "wrong"
