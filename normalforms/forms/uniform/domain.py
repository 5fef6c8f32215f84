"""Where the uniform laws hold: the ranges in which their errors were measured, and the orbits that stay."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import numpy as np
import sympy as sp

from normalforms.forms.uniform.bernoulli import Bernoulli, Shifted
from normalforms.forms.uniform.flow import Block
from normalforms.forms.uniform.fold import Arrived, Fold
from normalforms.formulas import Domain, Lazy, Program, compiled, symbols

__all__ = [
    "DEEPEST",
    "BernoulliRules",
    "FoldRules",
    "Measured",
    "Region",
    "bernoulli_domain",
    "compiled_in",
    "fold_domain",
    "measured_domain",
    "widest",
]

_Q = sp.Rational
Predicate = Callable[..., Any]
_UNTIL = "until the orbit escapes, or rounding decides whether it does"
_UNTIL_LEFT = "until the orbit leaves that range, or rounding decides whether it does"
_BLOCK = 8192
"""Numbers per array: they stay in a processor's cache."""

_CANCELLED = 1e-11
"""Least ``D`` next to its first term. Below it rounding decides on which side of the unstable branch an orbit starts,
and so where it goes: of the law's digits none are left."""
_ARRIVED = 1e-4
"""Steps that Newton's method at a fold may be off before its last iteration, which squares what is left."""
DEEPEST = ("-1/30", "-1/10")
"""How far an escaping orbit is followed, at order 0 and above."""


@dataclass(frozen=True)
class Measured:
    """What was measured of a uniform law: where, and the largest relative error of A there.

    Args:
        errors: of one trajectory at any horizon, by order; the worst lie at the corners.
        least, most: bounds of what the law is explicit in: the multiplier, or the distance from a fold.
        reach: highest size of the scaled initial state, at order 0 and above. All three are missing where the range
            is measured map by map.
    """

    errors: tuple[float, ...]
    least: str = ""
    most: str = ""
    reach: tuple[str, str] = ("", "")

    def sentence(self, range_: str, order: int, rate: str | None = None) -> str:
        """The range and what the error is there, for the reader."""
        size = f"relative error of A up to {self.errors[order]:g} there"
        return f"{range_}; {size}, O(T^-{rate or order + 1}) at fixed scaled variables"


@dataclass(frozen=True)
class Region:
    """Bounds of a parameter, or of the multiplier, and of ``u_0``; an orbit has escaped below the lower of those."""

    least: float
    most: float
    low: float
    high: float


def widest(sized: Callable[[float], Region], good: Callable[[Region], bool], halvings: int, step: Any) -> Region:
    """The largest region that is good enough, of those that halve one another.

    Args:
        sized: the region of a size, 1 for the first.
        good: whether a law holds there.
        halvings: how many are tried.
        step: the map, for the error.

    Raises:
        ValueError: there is none.
    """
    for k in range(halvings):
        region = sized(2.0**-k)
        if good(region):
            return region
    raise ValueError(f"the uniform law of {step} holds nowhere next to the bifurcation")


class BernoulliRules:
    """Predicates of a law's arguments on a Bernoulli flow.

    Args:
        law: the flow.
        inputs: parameter and initial state.
        blocks: the assignments of its program.
        now: its state in them.
        across: what a region bounds, the parameter or the multiplier.
        margin: another expression of ``inputs`` that must not be negative.
    """

    def __init__(
        self,
        law: Bernoulli,
        inputs: tuple[sp.Symbol, ...],
        blocks: tuple[Block, ...],
        now: Shifted,
        across: sp.Expr,
        margin: sp.Expr | None = None,
    ) -> None:
        self._at_once = compiled_in((across, law.start, sp.sympify(margin or 0)), inputs, blocks[:1])
        self._end = compiled_in((now.u, now.log), inputs, blocks)

    def holds(self, region: Region, *values: Any) -> Any:
        """Whether the arguments lie in a region."""
        across, start, spare = self._at_once(*values)
        inside = (across >= region.least) & (across <= region.most) & (spare >= 0)
        return inside & (start >= region.low) & (start <= region.high)

    def stays(self, region: Region, *values: Any) -> Any:
        """Whether ``u`` has not escaped to negative values."""

        def remains(*values: Any) -> Any:
            u, log = self._end(*values)
            return (np.abs(u - region.low / 2) <= -region.low / 2) & (log >= np.log(_CANCELLED))

        _, start, _ = self._at_once(*values)
        return _where(start < 0, values, remains)


def bernoulli_domain(
    law: Bernoulli,
    measured: Measured,
    inputs: tuple[sp.Symbol, ...],
    blocks: tuple[Block, ...],
    now: Shifted,
    margin: sp.Expr | None = None,
) -> tuple[Domain, Predicate]:
    """The range of the measurements, with ``margin ≥ 0``; and whether ``u`` has not escaped to negative values."""
    order = len(law.shift)
    least, most, high, low = measured.least, measured.most, measured.reach[min(order, 1)], DEEPEST[min(order, 1)]
    rules = BernoulliRules(law, inputs, blocks, now, law.growth, margin)
    region = Region(*(float(_Q(v)) for v in (least, most, low, high)))
    shown = margin if margin is None or len(str(margin)) < 60 else sp.N(margin, 6)
    extra = f", {shown} ≥ 0" if margin is not None and not margin.is_number else ""
    text = f"{least} ≤ {law.growth} ≤ {most}{extra}, "
    if law.start.is_nonnegative:  # nothing escapes
        text += f"{law.start} ≤ {high}"
    else:
        text += f"{low} ≤ {law.start} ≤ {high}, {_UNTIL}"
    return Domain(measured.sentence(text, order), partial(rules.holds, region)), partial(rules.stays, region)


def measured_domain(
    rules: BernoulliRules | FoldRules,
    measured: Measured,
    order: int,
    names: tuple[str, str],
    region: Callable[[], Region],
    lopsided: bool = False,
) -> tuple[Domain, Predicate]:
    """The same where a region is measured when it is first asked for.

    Args:
        rules: the predicates.
        measured: how large the error may be.
        order: p.
        names: of the parameter and of ``u_0``.
        region: the measurement.
        lopsided: whether the map has even powers that cost half an order.
    """

    def sentence() -> str:
        found, (across, start) = region(), names
        sizes = f"{found.least:.5g} ≤ {across} ≤ {found.most:.5g}, {found.low:.3g} ≤ {start} ≤ {found.high:.3g}"
        until = _UNTIL if isinstance(rules, BernoulliRules) else _UNTIL_LEFT
        return measured.sentence(f"{sizes}, {until}", order, "1/2" if lopsided else None)

    def holds(*values: Any) -> Any:
        return rules.holds(region(), *values)

    def stays(*values: Any) -> Any:
        return rules.stays(region(), *values)

    return Domain(Lazy(sentence), holds), stays


class FoldRules:
    """Predicates of a law's arguments on the flow of a fold; its regions bound the state from both sides.

    Args:
        law: the flow.
        inputs: parameter and initial state.
        blocks: the assignments of its program.
        now: where it has arrived in them.
        across: what a region bounds, the parameter or ``ν``.
    """

    def __init__(
        self,
        law: Fold,
        inputs: tuple[sp.Symbol, ...],
        blocks: tuple[Block, ...],
        now: Arrived,
        across: sp.Expr,
    ) -> None:
        self._at_once = compiled_in((across, law.nu, law.start), inputs, blocks[:1])
        self._end = compiled_in(tuple(now), inputs, blocks)

    def holds(self, region: Region, *values: Any) -> Any:
        """Whether the arguments lie in a region."""
        across, _, start = self._at_once(*values)
        inside = (across >= region.least) & (across <= region.most)
        return inside & (start >= region.low) & (start <= region.high)

    def stays(self, region: Region, *values: Any) -> Any:
        """Whether the orbit has not left the region."""

        def remains(*values: Any) -> Any:
            (_, nu, start), (end, left, late) = self._at_once(*values), self._end(*values)
            root = np.sqrt(np.maximum(-nu, 0))
            first = root * values[-1] < np.pi / 2 + np.arctan2(start, root)  # before the flow's first escape
            return (end >= region.low) & (np.abs(late) <= _ARRIVED) & np.where(nu >= 0, left >= _CANCELLED, first)

        _, nu, start = self._at_once(*values)
        return _where((nu < 0) | (start < -0.999999 * np.sqrt(np.maximum(nu, 0))), values, remains)


def fold_domain(
    law: Fold,
    measured: Measured,
    inputs: tuple[sp.Symbol, ...],
    blocks: tuple[Block, ...],
    now: Arrived,
) -> tuple[Domain, Predicate]:
    """The range of the measurements; and whether the orbit has not left it."""
    size = measured.reach[min(law.order, 1)]
    least, most, reach = (float(_Q(v)) for v in (measured.least, measured.most, size))
    rules, region = FoldRules(law, inputs, blocks, now, law.nu), Region(least, most, -reach, reach)
    sizes = f"{measured.least} ≤ {law.nu} ≤ {measured.most} and |{law.start}| ≤ {size}"
    text = f"{sizes}, {_UNTIL_LEFT}"
    return Domain(measured.sentence(text, law.order), partial(rules.holds, region)), partial(rules.stays, region)


def _where(doubtful: np.ndarray, values: tuple[Any, ...], rule: Predicate) -> np.ndarray:
    """``rule`` where it is in doubt, true elsewhere."""
    shape = np.broadcast_shapes(doubtful.shape, *(np.shape(v) for v in values))
    found, unsure = np.ones(shape, dtype=bool), np.broadcast_to(doubtful, shape)
    some = [np.broadcast_to(v, shape)[unsure] for v in values[:-1]]
    if some[0].size:
        blocks = (slice(i, i + _BLOCK) for i in range(0, some[0].size, _BLOCK))
        found[unsure] = np.concatenate([rule(*(v[b] for v in some), values[-1]) for b in blocks])
    return found


def compiled_in(results: tuple[sp.Expr, ...], inputs: tuple[sp.Symbol, ...], blocks: tuple[Block, ...]) -> Any:
    """A NumPy function of ``inputs`` and the horizon, compiled on first use."""
    lines = tuple(pair for block in blocks for pair in block.assignments)
    program = Program((*inputs, symbols("t")), results, prelude=lines)

    @cache
    def function() -> Any:
        return compiled(program, "numpy")

    def call(*values: Any) -> Any:
        with np.errstate(all="ignore"):
            return function()(*values)

    return call
