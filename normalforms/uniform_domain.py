"""Where the uniform laws hold: the ranges in which their errors were measured, and the orbits that stay."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import sympy as sp

from normalforms.codegen import Program
from normalforms.formula import Domain, compiled, symbols
from normalforms.uniform_bernoulli import Bernoulli, Shifted
from normalforms.uniform_flow import Block
from normalforms.uniform_fold import Fold

__all__ = ["DEEPEST", "ERRORS", "FOLD_RANGE", "FOLD_REACH", "RANGE", "bernoulli_domain", "fold_domain"]

_Q = sp.Rational
Predicate = Callable[..., Any]
_BLOCK = 8192
"""Numbers per array: they stay in a processor's cache."""

RANGE = {
    "pitchfork": ("69/100", "73/50", "1/9"),
    "transcritical": ("69/100", "73/50", "1/5"),
    "neimark_sacker": ("69/100", "5/4", "1/9"),
    "general": ("9/10", "11/10", "1/20"),
}
"""Lowest and highest multiplier, and highest ``u_0``, for which the laws were measured. Past a multiplier of 3/2 the
pitchfork's branch is approached in alternating jumps, which no flow has."""
_CANCELLED = 1e-11
"""Least ``D`` next to its first term. Below it rounding decides on which side of the unstable branch an orbit starts,
and so where it goes: of the law's digits none are left."""
DEEPEST = ("-1/30", "-1/10")
"""How far an escaping orbit is followed, at order 0 and above."""
FOLD_RANGE, FOLD_REACH = ("-1/50", "3/50"), ("1/10", "3/20")
"""``ν``, and ``|x|`` at order 0 and above, for which the saddle-node's law was measured."""
ERRORS = {
    "pitchfork": (0.45, 0.15, 0.04, 0.025, 0.02),
    "transcritical": (0.4, 0.2, 0.2, 0.08),
    "neimark_sacker": (0.45, 0.15, 0.06, 0.05),
    "saddle_node": (0.6, 0.06, 0.012, 0.003, 0.001),
}
"""Largest relative error of A there, of one trajectory at any horizon, by order; the worst lie at its corners."""


def _sentence(range_: str, kind: str, order: int) -> str:
    size = f"relative error of A up to {ERRORS[kind][order]:g} there, " if kind in ERRORS else "relative error "
    return f"{range_}; {size}O(T^-{order + 1}) at fixed scaled variables"


def bernoulli_domain(
    law: Bernoulli,
    kind: str,
    inputs: tuple[sp.Symbol, ...],
    blocks: tuple[Block, ...],
    now: Shifted,
    margin: sp.Expr | None = None,
) -> tuple[Domain, Predicate]:
    """The range of the measurements, with ``margin ≥ 0``; and whether ``u`` has not escaped to negative values."""
    order = len(law.shift)
    texts = (*RANGE[kind], DEEPEST[min(order, 1)])
    least, most, high, low = (float(_Q(v)) for v in texts)
    at_once = _compiled((law.growth, law.start, sp.sympify(margin or 0)), inputs, blocks[:1])
    end = _compiled((now.u, now.log), inputs, blocks)

    def holds(*values: Any) -> Any:
        growth, start, spare = at_once(*values)
        return (growth >= least) & (growth <= most) & (spare >= 0) & (start >= low) & (start <= high)

    def remains(*values: Any) -> Any:
        u, log = end(*values)
        return (np.abs(u - low / 2) <= -low / 2) & (log >= np.log(_CANCELLED))

    def stays(*values: Any) -> Any:
        _, start, _ = at_once(*values)
        return _where(start < 0, values, remains)

    extra = f", {margin} ≥ 0" if margin is not None and not margin.is_number else ""
    text = f"{texts[0]} ≤ {law.growth} ≤ {texts[1]}{extra}, "
    if law.start.is_nonnegative:  # nothing escapes
        text += f"{law.start} ≤ {texts[2]}"
    else:
        text += f"{texts[3]} ≤ {law.start} ≤ {texts[2]}, until the orbit escapes, or rounding decides whether it does"
    return Domain(_sentence(text, kind, order), holds), stays


def fold_domain(
    law: Fold, inputs: tuple[sp.Symbol, ...], blocks: tuple[Block, ...], x: sp.Expr, left: sp.Expr
) -> tuple[Domain, Predicate]:
    """The range of the measurements; and whether the orbit has not left it. ``left`` is ``D`` over its first term."""
    at_once, ending = _compiled((law.nu, law.start), inputs, blocks[:1]), _compiled((x, left), inputs, blocks)
    size = FOLD_REACH[min(law.order, 1)]
    least, most, reach = (float(_Q(v)) for v in (*FOLD_RANGE, size))

    def holds(*values: Any) -> Any:
        nu, start = at_once(*values)
        return (nu >= least) & (nu <= most) & (np.abs(start) <= reach)

    def remains(*values: Any) -> Any:
        (nu, start), (end, left) = at_once(*values), ending(*values)
        root = np.sqrt(np.maximum(-nu, 0))
        first = root * values[-1] < np.pi / 2 + np.arctan2(start, root)  # before the flow's first escape
        return (end >= -reach) & np.where(nu >= 0, left >= _CANCELLED, first)

    def stays(*values: Any) -> Any:
        nu, start = at_once(*values)
        return _where((nu < 0) | (start < -0.999999 * np.sqrt(np.maximum(nu, 0))), values, remains)

    sizes = f"{FOLD_RANGE[0]} ≤ {law.nu} ≤ {FOLD_RANGE[1]} and |{law.start}| ≤ {size}"
    text = f"{sizes}, until the orbit leaves that range, or rounding decides whether it does"
    return Domain(_sentence(text, "saddle_node", law.order), holds), stays


def _where(doubtful: np.ndarray, values: tuple[Any, ...], rule: Predicate) -> np.ndarray:
    """``rule`` where it is in doubt, true elsewhere."""
    shape = np.broadcast_shapes(doubtful.shape, *(np.shape(v) for v in values))
    found, unsure = np.ones(shape, dtype=bool), np.broadcast_to(doubtful, shape)
    some = [np.broadcast_to(v, shape)[unsure] for v in values[:-1]]
    if some[0].size:
        blocks = (slice(i, i + _BLOCK) for i in range(0, some[0].size, _BLOCK))
        found[unsure] = np.concatenate([rule(*(v[b] for v in some), values[-1]) for b in blocks])
    return found


def _compiled(results: tuple[sp.Expr, ...], inputs: tuple[sp.Symbol, ...], blocks: tuple[Block, ...]) -> Any:
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
