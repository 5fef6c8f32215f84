"""Random formulas and random maps, and their amplification by iteration with digits to spare.

Nothing here uses the package to compute a number: the maps come with their own mpmath functions, and the truth is an
iteration whose digits are doubled from 50 until 20 of them stay.
"""

from __future__ import annotations

import random
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import mpmath as mp
import numpy as np
import sympy as sp

import normalforms as nf

# --- formulas for the parser --------------------------------------------------------------------------------------

FUNCTIONS = [
    "exp",
    "log",
    "sqrt",
    "sin",
    "cos",
    "tan",
    "sinh",
    "cosh",
    "tanh",
    "atan",
    "asinh",
    "erf",
    "ln",
    "abs",
    "sign",
    "max",
    "min",
]  # all that the parser knows


def number(rng: random.Random) -> str:
    """A number that parsers stumble over: huge, tiny, long, or none of that."""
    long = f"({rng.getrandbits(rng.choice([8, 64, 300]))}/{rng.getrandbits(rng.choice([8, 64, 300])) + 1})"
    plain = ["0", "1", "2", "3", "-1", "0.5", "1e-9", "1e308", "1e-300", "2/3", "137", "pi", "E"]
    return rng.choice([*plain, "9" * rng.randint(1, 60), f"{rng.random():.17g}", long])


def formula(rng: random.Random, depth: int) -> str:
    """A formula in ``x`` and ``r`` of the parser's own grammar."""
    kind = rng.random()
    if depth <= 0 or kind < 0.15:
        return rng.choice(["x", "r", number(rng)])
    if kind < 0.45:
        name, inner = rng.choice(FUNCTIONS), formula(rng, depth - 1)
        return f"{name}({inner},{formula(rng, depth - 2)})" if name in ("max", "min") else f"{name}({inner})"
    if kind < 0.6:
        power = rng.choice([number(rng), "2", "3", "0.5", "-1", formula(rng, depth - 2)])
        return f"({formula(rng, depth - 1)}){rng.choice(['**', '^'])}({power})"
    if kind < 0.65:
        return f"-({formula(rng, depth - 1)})"
    return f"({formula(rng, depth - 1)}){rng.choice('+-*/')}({formula(rng, depth - 2)})"


def text(rng: random.Random, deepest: int = 14) -> str:
    """Soup of characters, formulas, or formulas with something broken in them."""
    kind = rng.random()
    if kind < 0.15:
        return "".join(rng.choice("xr0123456789.eE+-*/^(), \tpisqrtexplogj_[]{}'\"") for _ in range(rng.randint(0, 60)))
    made = formula(rng, rng.choice([d for d in (2, 4, 6, 9, 14) if d <= deepest]))
    if kind < 0.3:
        i = rng.randrange(len(made))
        made = made[:i] + rng.choice(["(", ")", "*", "^", "1e", "x", ""]) + made[i + rng.randint(0, 2) :]
    return made[:3000]


# --- maps ---------------------------------------------------------------------------------------------------------

Step = Callable[[Any, Any], tuple[Any, Any, Any]]
"""``(x, r) → f, ∂f/∂x, ∂f/∂r``."""


@dataclass(frozen=True)
class Case:
    """A map with a bifurcation at ``x = 0, r = 1``, and its own arithmetic."""

    text: str
    step: Step

    def law(self) -> nf.AmplificationLaw:
        """The law of the package."""
        return nf.amplification(nf.parse_map(self.text, state="x", parameter="r"), at={"x": 0, "r": 1})


def exactly(decimal: str) -> Any:
    """A decimal at the working precision: the parser reads it exactly."""
    fraction = sp.Rational(decimal)
    return mp.mpf(int(fraction.p)) / int(fraction.q)


def case(rng: np.random.Generator) -> Case:
    """A random map: polynomial with gaps and tiny coefficients, fold, rational, exponential or trigonometric."""
    kind, sign, k = rng.integers(5), int(rng.choice([-1, 1])), int(rng.integers(1, 6))
    if kind == 0:
        return _polynomial(rng, sign, "r*x", lambda x, r: (r * x, r, x))
    if kind == 1:
        return _polynomial(rng, 1, "x + (r - 1)", lambda x, r: (x + r - 1, mp.mpf(1), mp.mpf(1)))
    size = f"{10 ** rng.uniform(-1, 1):.3f}"

    def rational(x: Any, r: Any) -> tuple[Any, Any, Any]:
        bottom = 1 + exactly(size) * x**k
        slope = (1 + exactly(size) * (1 - k) * x**k) / bottom**2
        return sign * r * x / bottom, sign * r * slope, sign * x / bottom

    def exponential(x: Any, r: Any) -> tuple[Any, Any, Any]:
        factor = sign * mp.exp(-exactly(size) * x**k)
        return r * x * factor, r * factor * (1 - exactly(size) * k * x**k), x * factor

    def trigonometric(x: Any, r: Any) -> tuple[Any, Any, Any]:
        c = exactly(size)
        return sign * r * mp.sin(c * x) / c, sign * r * mp.cos(c * x), sign * mp.sin(c * x) / c

    return (
        Case(f"{sign}*r*x/(1 + {size}*x^{k})", rational),
        Case(f"{sign}*r*x*exp(-{size}*x^{k})", exponential),
        Case(f"{sign}*r*sin({size}*x)/{size}", trigonometric),
    )[kind - 2]


def _polynomial(rng: np.random.Generator, sign: int, head: str, linear: Step) -> Case:
    powers = sorted(rng.choice(np.arange(2, 12), size=int(rng.integers(1, 4)), replace=False))
    terms = {int(k): f"{rng.choice([-1, 1]) * 10 ** rng.uniform(-6, 0.5):.4e}" for k in powers}
    shown = f"{sign}*({head})" + "".join(f" + ({c})*x^{k}" for k, c in terms.items())

    def step(x: Any, r: Any) -> tuple[Any, Any, Any]:
        value, slope, drive = (sign * v for v in linear(x, r))
        for k, c in terms.items():
            factor = exactly(c)
            value, slope = value + factor * x**k, slope + k * factor * x ** (k - 1)
        return value, slope, drive

    return Case(shown, step)


def truth(step: Step, r: float, h0: float, horizon: int) -> tuple[Any, Any]:
    """``A_T`` and a radius, with digits doubled from 50 until 20 stay; infinite beyond floating-point numbers."""
    before, digits = None, 50
    while digits <= 6400:
        now = _iterated(step, r, h0, horizon, digits)
        if mp.isinf(now):
            return now, mp.mpf(0)
        if before is not None and abs(now - before) <= mp.mpf("1e-20") * abs(now):
            return now, abs(now - before)
        before, digits = now, 2 * digits
    return mp.nan, mp.inf


def _iterated(step: Step, r: float, h0: float, horizon: int, digits: int) -> Any:
    with mp.workdps(digits):
        x, s, total, g = mp.mpf(h0), mp.mpf(0), mp.mpf(0), mp.mpf(r)
        for _ in range(horizon):
            following, slope, drive = step(x, g)
            s, x = slope * s + drive, following
            total += s * s
            if total > mp.mpf("1e320") or abs(x) > mp.mpf("1e400"):
                return mp.inf
        return total


def point(rng: np.random.Generator, longest: int) -> tuple[float, float, int]:
    """Parameter at, next to and away from 1; initial state of any size and sign; horizon log-uniform to ``longest``."""
    offset = float(rng.choice([0.0, rng.choice([-1, 1]) * 10 ** rng.uniform(-12, -3), rng.uniform(-0.3, 0.5)]))
    h0 = float(rng.choice([-1, 1]) * 10 ** rng.uniform(-8, 0) * (rng.random() > 0.05))
    return 1 + offset, h0, round(10 ** rng.uniform(0, np.log10(longest)))


def forms(case: Case, rng: np.random.Generator, horizon: int) -> Iterator[tuple[str, Callable[..., Any], float]]:
    """Forms of the law with the relative errors that they claim without a warning."""
    law, order = case.law(), int(rng.integers(0, 9))
    yield "reference", law, 1e-6
    yield f"series({order})", law.series(order), 0.011
    yield f"series({order}, pade)", law.series(order, pade=True), 0.011
    if horizon <= 60:
        yield f"exact(T, {order})", lambda g, h0, T: law.exact(T, order)(g, h0), 0.011
    yield "enclosure", lambda g, h0, T: _certified(law.enclosure(g, h0, T)), 1e-12
    if case.text.count("x^") <= 1:
        bound = int(rng.integers(0, 3))
        try:
            uniform = law.uniform(bound)
        except ValueError:
            return  # refused when made, with a reason
        yield f"uniform({bound})", uniform, (0.6, 0.2, 0.15)[bound]


def _certified(ball: Any) -> float:
    """The midpoint; an unbounded ball says itself that it certifies nothing."""
    if mp.isinf(ball.rad):
        warnings.warn("nothing is certified", nf.DomainWarning, stacklevel=2)
    return float(ball)


@dataclass(frozen=True)
class Verdict:
    """One evaluation: what was claimed, what was true."""

    text: str
    form: str
    point: tuple[float, float, int]
    claimed: float | None
    true: float
    status: str
    seconds: float

    def __str__(self) -> str:
        return f"{self.status}: {self.form} of {self.text} at {self.point}: {self.claimed!r}, true {self.true!r}"


def judged(case: Case, rng: np.random.Generator, longest: int) -> Iterator[Verdict]:
    """Every form of one map at one random point."""
    at = point(rng, longest)
    try:
        true, radius = truth(case.step, *at)
    except (ZeroDivisionError, OverflowError):
        return  # a pole on the way
    if mp.isnan(true):
        return  # more digits than a test can pay for
    for name, form, claim in forms(case, rng, at[2]):
        start = time.process_time()
        value: float | None = None
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            try:
                value = float(form(*at))
                status = _status(value, true, radius, claim, bool(said))
            except ValueError as error:
                status = "refused" if str(error) else "traceback"
            except Exception as error:
                status = f"traceback {type(error).__name__}: {error}"
        yield Verdict(case.text, name, at, value, float(true), status, time.process_time() - start)


def _status(value: float, true: Any, radius: Any, claim: float, said: bool) -> str:
    if said:
        return "warned"
    if mp.isinf(true) or true > mp.mpf("1e300"):
        return "right" if np.isinf(value) or value > 1e290 else "wrong"
    if np.isnan(value):
        return "silent nan"
    small = mp.mpf("1e-290")  # below it squares underflow
    return "right" if abs(value - true) <= claim * abs(true) + radius + small else "wrong"
