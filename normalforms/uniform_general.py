"""Uniform laws of scalar maps about a fixed point that moves: period doubling, pitchfork and transcritical."""

from __future__ import annotations

from dataclasses import dataclass

import sympy as sp

from normalforms.codegen import horner
from normalforms.expansion import Local, local
from normalforms.formula import symbols
from normalforms.maps import Map
from normalforms.uniform_bernoulli import Bernoulli, Shifted
from normalforms.uniform_domain import bernoulli_domain
from normalforms.uniform_flow import Block, Flow, blocks, check_order, focus
from normalforms.uniform_matching import NODES, Approximant, flow_coefficients
from normalforms.uniform_normal import normalised

__all__ = ["general"]

STEPS = 4
"""Newton's steps to the initial ``z``, from the root of the change's quadratic part: three to rounding, and one for the
derivative, which is exact at the root."""
_one, _t = sp.Integer(1), symbols("t")


@dataclass(frozen=True)
class _Change:
    """``x = z + Σ b_i z^{2i}``, with expressions or symbols for the ``b_i``."""

    bends: tuple[sp.Expr, ...]

    def forward(self, z: sp.Expr) -> sp.Expr:
        return z + z**2 * horner(self.bends, z**2)

    def first(self, x: sp.Expr) -> sp.Expr:
        """``z`` of the quadratic part."""
        return 2 * x / (1 + sp.sqrt(1 + 4 * self.bends[0] * x)) if self.bends else x

    def newton(self, z: sp.Expr, x: sp.Expr) -> sp.Expr:
        slope = 1 + z * horner([2 * i * b for i, b in enumerate(self.bends, 1)], z**2)
        return z - (self.forward(z) - x) / slope

    @property
    def steps(self) -> int:
        return STEPS if len(self.bends) > 1 else 0

    def assigned(self, x: sp.Expr, block: Block) -> sp.Symbol:
        """``z`` at ``x`` by assignments."""
        x = block("x0", x)
        z = block("z0", self.first(x))
        for i in range(1, self.steps + 1):
            z = block(f"z0_{i}", self.newton(z, x))
        return z

    def written(self, x: sp.Expr) -> sp.Expr:
        """``z`` at ``x`` as an expression to read."""
        z, found = symbols("z"), self.first(x)
        for _ in range(self.steps):
            found = sp.Subs(self.newton(z, x), z, found)
        return found


def general(m: Map, order: int, stretch: sp.Expr) -> Flow:
    """The orbit ``h = h* + x`` with ``x = z + Σ b_i z^{2i}`` and ``u = z^k/s`` on a Bernoulli flow at a shifted time.

    Args:
        m: a scalar map with one parameter.
        order: p.
        stretch: factor from the caller's ``h0`` to the map's.

    Raises:
        ValueError: an order that the map does not have, or a map without a uniform law.
    """
    form = local(m)
    g, h0 = m.parameters[0], symbols("h0")
    critical = dict(form.map.critical)[g]
    multiplier, second, third = form.multiplier, form.coefficient(2), form.coefficient(3)
    flip = multiplier.subs(g, critical) == -1
    growth = -multiplier if flip else multiplier
    if growth.diff(g).subs(g, critical) == 0:
        raise ValueError(f"the multiplier {multiplier} does not cross its critical value at {g} = {critical}")
    bend, power = sp.Integer(0), 2
    if flip:
        bend, size = _two_cycle(form, growth)
    elif second == 0:
        size = -1 / third
    else:
        size, power = -1 / second, 1
    if not sp.sympify(size.subs(g, critical)).is_finite:
        raise ValueError(f"the nonlinear coefficient vanishes at {g} = {critical}; the point is degenerate")
    order = check_order(order, max(NODES[power]), f"the map {m.step}")
    bends: tuple[sp.Expr, ...] = (bend,) if bend != 0 else ()
    found: tuple[Approximant, ...] = ()
    shift: tuple[Approximant, ...] = ()
    if order:
        made = normalised(form, -1 if flip else 1, power, order)
        found, shift = (made.size, *made.bends), flow_coefficients(made.family, NODES[power][order])
        size, *rest = (a.at(growth - 1) for a in found)
        bends = tuple(rest)
    inputs = (g, h0)
    prelude, solve, body = blocks(*inputs)
    change = _Change(tuple(prelude(f"bend{i}", b) for i, b in enumerate(bends, 1)))
    x = stretch * h0 - form.fixed_point
    z0 = change.assigned(x, prelude)
    law = Bernoulli(growth, power, _one, z0**power / size, shift)
    now = law.assigned(prelude, solve, body)
    turn = (-1) ** _t if flip else _one

    def state(now: Shifted, change: _Change, z0: sp.Expr) -> sp.Expr:
        z = turn * z0 * (now.ratio if power == 1 else now.root)
        return (form.fixed_point + change.forward(z)) / stretch

    def explicit() -> tuple[sp.Expr, ...]:
        change = _Change(bends)
        z0 = change.written(x)
        law = Bernoulli(growth, power, _one, z0**power / size, shift)
        return (law.explicit(lambda now: state(now, change, z0)),)

    domain, stays = bernoulli_domain(law, "general", inputs, (prelude, solve, body), now)
    return Flow(
        inputs,
        prelude.assignments,
        solve.assignments,
        body.assignments,
        (state(now, change, z0),),
        domain,
        explicit,
        stays=stays,
        still=body.constants,
        focus=focus(growth, g, critical),
    )


def _two_cycle(form: Local, growth: sp.Expr) -> tuple[sp.Expr, sp.Expr]:
    """``b`` and ``w²/(growth − 1)`` of the points ``h* ± w + b w²`` of the new cycle of period 2.

    Exact where they are the roots of a quadratic with rational coefficients, a factor of ``f(f(h)) − h``; elsewhere
    to leading order, ``b = f₂/(λ² − λ)`` and ``w² = (growth − 1)/c`` with ``c = f₃ + 2 f₂²/(λ² − λ)``.
    """
    m, (g, h) = form.map, (form.map.parameters[0], form.map.states[0])
    critical = dict(m.critical)
    step = m.steps[0]
    numerator = sp.numer(sp.together(step.subs(h, step) - h))
    factors = sp.factor_list(numerator, h, g)[1] if numerator.is_polynomial(h, g) else []
    for factor, _ in factors:
        if sp.degree(factor, h) == 2 and factor.subs({h: critical[h], g: critical[g]}) == 0:
            top, middle, last = sp.Poly(factor, h).all_coeffs()
            mean = sp.cancel(-middle / (2 * top) - form.fixed_point)
            square = sp.cancel(middle**2 / (4 * top**2) - last / top)
            size = sp.cancel(square / (growth - 1))
            if sp.sympify(size.subs(g, critical[g])).is_finite and size.subs(g, critical[g]) != 0:
                return sp.cancel(mean / square), size
    bend = sp.cancel(form.coefficient(2) / (form.multiplier**2 - form.multiplier))
    return bend, 1 / sp.cancel(form.coefficient(3) + 2 * bend * form.coefficient(2))
