"""The explicit orbit of each family: which flow, in which units, and where it holds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import sympy as sp

from normalforms.codegen import Program, horner
from normalforms.expansion import local
from normalforms.formula import Domain, symbols
from normalforms.maps import Map
from normalforms.printing import render
from normalforms.uniform_bernoulli import Bernoulli, Shifted
from normalforms.uniform_flow import Block, Equations, Flow
from normalforms.uniform_fold import NODES as FOLD_NODES
from normalforms.uniform_fold import Fold
from normalforms.uniform_matching import bernoulli_coefficients, phase_coefficients
from normalforms.unfolding import Unfolding, unfolding

__all__ = ["flow"]

_Q = sp.Rational
NODES: dict[int, dict[int, tuple[sp.Rational, ...]]] = {
    1: {1: (_Q(1, 2),), 2: (_Q(2, 5), _Q(4, 5)), 3: (_Q(0), _Q(2, 5), _Q(4, 5))},
    2: {
        1: (_Q(1, 2),),
        2: (_Q(0), _Q(4, 7)),
        3: (_Q(0), _Q(0), _Q(2, 3)),
        4: (_Q(0), _Q(0), _Q(0), _Q(5, 7)),
    },
}
"""Where Abel's equation is met, in units of ``g − 1``, by power k and order. Any choice has the same order; these
balance the error over 0.7 ≤ g ≤ 1.45."""
PHASE_NODES: dict[int, tuple[sp.Rational, ...]] = {0: (), 1: (_Q(1, 4),), 2: (_Q(0), _Q(1, 2)), 3: (_Q(0), _Q(0), _Q(1, 2))}
"""The same for the phase of Neimark–Sacker, by order; its equation also holds at 0 and on the branch."""

_one, _t = sp.Integer(1), symbols("t")


def flow(m: Map, order: int, stretch: sp.Expr, gain: sp.Expr) -> Flow:
    """The explicit orbit of a map, to a given order.

    Args:
        m: a named family, a map of the same form, or a scalar map with a fixed point that moves (order 0 only).
        order: p, from 0.
        stretch: factor from the caller's ``h0`` to the map's.
        gain: factor from the map's amplification to the caller's.

    Raises:
        ValueError: an order that the map does not have, or a map without a uniform law.
    """
    if isinstance(order, bool) or not isinstance(order, (int, np.integer)) or order < 0:
        raise ValueError(f"order = {order!r} must be an integer from 0")
    try:
        found = unfolding(m)
    except ValueError:
        if m.dimension > 1 or len(m.parameters) > 1:
            raise
        found = None
    if found is None:
        made = _general(m, _checked(order, 0, f"the map {m.step}"), stretch)
    else:
        top, maker = _MAKERS[found.kind]
        made = maker(m, found, _checked(order, top, f"the {found.kind.replace('_', ' ')}"), stretch)
    return replace(made, weight=gain * stretch**2)


def _checked(order: int, top: int | None, name: str) -> int:
    if top is not None and order > top:
        raise ValueError(f"order = {order} does not exist: the uniform law of {name} has orders 0 to {top}")
    return int(order)


def _shift(power: int, shear: sp.Expr, order: int) -> tuple[Any, ...]:
    return bernoulli_coefficients(power, shear, NODES[power][order]) if order else ()


def _blocks(*inputs: sp.Symbol) -> tuple[Block, Block]:
    prelude = Block([*(s.name for s in inputs), "t", "T"])
    return prelude, prelude.beside()


def _head(name: str, expr: sp.Expr, equations: Equations) -> Equations:
    return ((sp.Symbol(name), expr), *equations) if equations else ()


# --- the families ----------------------------------------------------------------------------------------------


def _linear(m: Map, found: Unfolding, order: int, stretch: sp.Expr) -> Flow:
    g, h0, _ = found.inputs
    states = (h0 * g**_t,)
    return Flow((g, h0), (), (), states, Domain("every g and h0: this law is exact"), lambda: states)


def _scalar(law: Bernoulli, inputs: tuple[sp.Symbol, ...], state: Callable[[Shifted], sp.Expr], sign: sp.Expr) -> Flow:
    """The flow of ``h_t = sign · state``."""
    prelude, body = _blocks(*inputs)
    now = law.assigned(prelude, body)
    frame = state(now)
    u, start = symbols("u"), sp.Symbol("u_0")
    return Flow(
        inputs,
        prelude.assignments,
        body.assignments,
        (sign * frame,),
        _bernoulli_domain(law, inputs, (prelude, body), now.u),
        lambda: (sign * state(law.explicit()),),
        _head("h_t", sign * state(Shifted(u / start, sp.sqrt(u / start), sp.Integer(0), u, start)), law.equations()),
        (frame,),
    )


def _cubic(m: Map, found: Unfolding, order: int, stretch: sp.Expr) -> Flow:
    g, h0, _ = found.inputs
    law = Bernoulli(g, 2, _one, found.coefficient * stretch**2 * h0**2, _shift(2, _one, order))
    sign = (-1) ** _t if found.kind == "period_doubling" else _one
    return _scalar(law, (g, h0), lambda s: h0 * s.root, sign)


def _transcritical(m: Map, found: Unfolding, order: int, stretch: sp.Expr) -> Flow:
    g, h0, _ = found.inputs
    law = Bernoulli(g, 1, _one, found.coefficient * stretch * h0, _shift(1, _one, order))
    return _scalar(law, (g, h0), lambda s: h0 * s.ratio, _one)


def _saddle_node(m: Map, found: Unfolding, order: int, stretch: sp.Expr) -> Flow:
    g, h0, _ = found.inputs
    scale = found.coefficient * stretch
    law = Fold(found.coefficient * (g - 1), scale * h0, order)
    prelude, body = _blocks(g, h0)
    x, d = law.assigned(prelude, body)
    return Flow(
        (g, h0),
        prelude.assignments,
        body.assignments,
        (x / scale,),
        _fold_domain(law, (g, h0), (prelude, body), x, d),
        lambda: (law.explicit() / scale,),
        _head("h_t", symbols("x") / scale, law.equations()),
    )


def _neimark_sacker(m: Map, found: Unfolding, order: int, stretch: sp.Expr) -> Flow:
    """Modulus by the Bernoulli flow, phase ``θ_t = θ_0 + ω t − χ ln D + Σ θ_j (u^j − u_0^j)``."""
    g, (x, y) = m.parameters[0], m.states
    inputs = (g, *(sp.Symbol(f"{s.name}0", real=True) for s in (x, y)))
    _, x0, y0 = inputs
    cosine, sine = (sp.expand(e).coeff(x, 1).coeff(y, 0).coeff(g, 1) for e in m.steps)
    twist = _rational(-found.twist)
    shear = 1 + twist**2
    branch = (1 + g) / (g + sp.sqrt(g**2 - shear * (g**2 - 1)))
    law = Bernoulli(g, 2, branch, found.coefficient * (x0**2 + y0**2), _shift(2, shear, order))
    turn = phase_coefficients(shear, twist, PHASE_NODES[order], law.shift[0] if order else None)
    prelude, body = _blocks(*inputs)
    chi, *theta = (prelude(f"turn{i}", a.at(g - 1)) for i, a in enumerate(turn))
    now = law.assigned(prelude, body)

    def planar(now: Shifted, chi: sp.Expr, theta: list[sp.Expr], angle: sp.Expr) -> tuple[sp.Expr, ...]:
        wound = horner([0, *theta], now.u) - horner([0, *theta], now.start)
        phase, size = angle - chi * now.log + wound, now.root
        c, s = sp.cos(phase), sp.sin(phase)
        return size * (c * x0 - s * y0), size * (s * x0 + c * y0)

    def explicit() -> tuple[sp.Expr, ...]:
        found = [a.at(g - 1) for a in turn]
        return planar(law.explicit(), found[0], found[1:], sp.atan2(sine, cosine) * _t)

    return Flow(
        inputs,
        prelude.assignments,
        body.assignments,
        planar(now, chi, theta, sp.atan2(sine, cosine) * _t),
        _bernoulli_domain(law, inputs, (prelude, body), now.u, g**2 - shear * (g**2 - 1) - _Q(1, 2)),
        explicit,
        _planar_equations(law, sp.atan2(sine, cosine)),
        planar(now, chi, theta, sp.Integer(0)),
    )


def _planar_equations(law: Bernoulli, omega: sp.Expr) -> Equations:
    return law.equations()


def _rational(twist: sp.Expr) -> sp.Rational:
    """The twist, where it is irrational to 40 digits."""
    return twist if twist.is_Rational else sp.Rational(str(sp.N(twist, 40)))


def _general(m: Map, order: int, stretch: sp.Expr) -> Flow:
    """Leading order about a fixed point that moves: ``h = h* + w + b w²``, ``w' = λ w + c w³`` (or ``+ c w²``).

    At multiplier −1 ``b = f₂/(λ² − λ)`` removes the quadratic term and ``c = f₃ + 2 f₂²/(λ² − λ)``.
    """
    form = local(m)
    g, h0 = m.parameters[0], symbols("h0")
    at = dict(form.map.critical)
    multiplier, second, third = form.multiplier, form.coefficient(2), form.coefficient(3)
    flip = multiplier.subs(g, at[g]) == -1
    growth = -multiplier if flip else multiplier
    if growth.diff(g).subs(g, at[g]) == 0:
        raise ValueError(f"the multiplier {multiplier} does not cross its critical value at {g} = {at[g]}")
    x0, bend, power = stretch * h0 - form.fixed_point, sp.Integer(0), 2
    if flip:
        bend = sp.cancel(second / (multiplier**2 - multiplier))
        amplitude = sp.cancel(third + 2 * bend * second)
        x0 = 2 * x0 / (1 + sp.sqrt(1 + 4 * bend * x0))
    elif second == 0:
        amplitude = -third
    else:
        amplitude, power = -second, 1
    if amplitude.subs(g, at[g]) == 0:
        raise ValueError(f"the nonlinear coefficient {amplitude} vanishes at {g} = {at[g]}; the point is degenerate")
    law = Bernoulli(growth, power, _one, amplitude * x0**power, ())
    turn = (-1) ** _t if flip else _one

    def state(s: Shifted) -> sp.Expr:
        w = turn * x0 * (s.ratio if power == 1 else s.root)
        return (form.fixed_point + w + bend * w**2) / stretch

    return _scalar(law, (g, h0), state, _one)


_MAKERS: dict[str, tuple[int | None, Callable[..., Flow]]] = {
    "stability_flip": (None, _linear),
    "pitchfork": (max(NODES[2]), _cubic),
    "period_doubling": (max(NODES[2]), _cubic),
    "transcritical": (max(NODES[1]), _transcritical),
    "saddle_node": (max(FOLD_NODES), _saddle_node),
    "neimark_sacker": (max(NODES[2]) - 1, _neimark_sacker),
}


# --- where they hold -------------------------------------------------------------------------------------------

RANGE = (_Q(3, 5), _Q(73, 50))
"""Multipliers, in modulus, for which the Bernoulli laws were measured; past 3/2 the branch is left in jumps."""
REACH = {1: (-_Q(1, 10), _Q(3, 10)), 2: (-_Q(1, 10), _Q(1, 9))}
"""The ``u_0`` for which they were measured, by power."""
FOLD_RANGE, FOLD_REACH = (-_Q(1, 50), _Q(3, 50)), _Q(3, 20)
"""``ν`` and ``|x|`` for which the saddle-node's law was measured."""


def _bernoulli_domain(
    law: Bernoulli,
    inputs: tuple[sp.Symbol, ...],
    blocks: tuple[Block, Block],
    u: sp.Expr,
    margin: sp.Expr = sp.Integer(0),
) -> Domain:
    """The range of the measurements, ``margin ≥ 0``, and ``u`` not escaped to negative values."""
    low, high = REACH[law.power]
    inside = _compiled((law.growth, law.start, u, margin), inputs, blocks)

    def holds(*values: Any) -> Any:
        growth, start, end, spare = inside(*values)
        measured = (growth >= float(RANGE[0])) & (growth <= float(RANGE[1])) & (spare >= 0)
        stays = (start >= 0) | ((end >= float(low)) & (end <= 0))
        return measured & (start >= float(low)) & (start <= float(high)) & stays

    sentence = f"{RANGE[0]} ≤ {law.growth} ≤ {RANGE[1]} and {low} ≤ {law.start} ≤ {high}"
    extra = f", {margin} ≥ 0" if margin != 0 else ""
    return Domain(f"{sentence}{extra}, until the orbit escapes", holds)


def _fold_domain(
    law: Fold, inputs: tuple[sp.Symbol, ...], blocks: tuple[Block, Block], x: sp.Expr, d: sp.Expr
) -> Domain:
    """The range of the measurements, until the orbit leaves."""
    inside = _compiled((law.nu, law.start, x, d), inputs, blocks)
    reach = float(FOLD_REACH)

    def holds(*values: Any) -> Any:
        nu, start, end, d = inside(*values)
        root = np.sqrt(np.maximum(-nu, 0))
        first = root * values[-1] < np.pi / 2 + np.arctan2(start, root)  # before the flow's first escape
        measured = (nu >= float(FOLD_RANGE[0])) & (nu <= float(FOLD_RANGE[1])) & (np.abs(start) <= reach)
        return measured & (d > 0) & (end >= -reach) & ((nu >= 0) | first)

    sentence = f"{FOLD_RANGE[0]} ≤ {law.nu} ≤ {FOLD_RANGE[1]} and |{law.start}| ≤ {FOLD_REACH}"
    return Domain(f"{sentence}, until {law.start / symbols('h0')}*h_t leaves -{FOLD_REACH}", holds)


def _compiled(results: tuple[sp.Expr, ...], inputs: tuple[sp.Symbol, ...], blocks: tuple[Block, Block]) -> Any:
    """A NumPy function of ``inputs`` and the horizon, compiled on first use."""
    prelude, body = blocks
    program = Program((*inputs, _t), results, prelude=(*prelude.assignments, *body.assignments))

    @cache
    def function() -> Any:
        namespace: dict[str, Any] = {}
        exec(compile(render(program, "numpy"), "<domain>", "exec"), namespace)
        return namespace["law"]

    def call(*values: Any) -> Any:
        with np.errstate(all="ignore"):
            return function()(*values)

    return call
