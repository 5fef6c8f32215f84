"""Uniform laws of scalar maps about a fixed point that moves: period doubling, pitchfork and transcritical."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import sympy as sp

from normalforms.forms.series import Local, critical_multiplier, followed, local
from normalforms.forms.uniform.bernoulli import Bernoulli, Shifted
from normalforms.forms.uniform.coordinate import Normalised, normalised
from normalforms.forms.uniform.domain import (
    DEEPEST,
    BernoulliRules,
    Measured,
    Region,
    compiled_in,
    measured_domain,
)
from normalforms.forms.uniform.flow import Block, Flow, blocks, check_order, focus
from normalforms.forms.uniform.general_fold import fold_flow, is_fold
from normalforms.forms.uniform.matching import NODES
from normalforms.forms.uniform.trial import Trial
from normalforms.formulas import Equations, horner, symbols
from normalforms.maps import Map

__all__ = ["general"]

STEPS = 4
"""Newton's steps to the initial ``z``, from the root of the change's quadratic part: three to rounding, and one for the
derivative, which is exact at the root."""
HORIZONS = (1, 3, 10, 30, 100)
LARGEST = (0.2, 0.1)
"""The multiplier's distance from 1, and ``u_0``, of the largest range that is tried."""
_ACROSS = np.array([-1, -0.7, -0.4, -0.1, -0.01, 0.01, 0.1, 0.4, 0.7, 1])
_AWAY = np.outer([1, -1], [0.01, 0.05, *np.arange(0.1, 2.35, 0.075)]).ravel()
"""The sample of parameters and of states, in units of the range's; those outside it do not count."""
MEASURED = Measured((0.6, 0.2, 0.08, 0.04, 0.03))
"""The range is measured map by map; these are the errors that it is measured for."""
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
        return z - (self.forward(z) - x) / self.slope(z)

    def slope(self, z: sp.Expr) -> sp.Expr:
        return 1 + z * horner([2 * i * b for i, b in enumerate(self.bends, 1)], z**2)

    def assigned(self, x: sp.Expr, block: Block) -> sp.Symbol:
        """``z`` at ``x`` by assignments."""
        x = block("x0", x)
        if len(self.bends) < 2:
            return block("z0", self.first(x))
        z = block.still("z0", self.first(x))
        for i in range(1, STEPS):
            z = block.still(f"z0_{i}", self.newton(z, x))
        slope = block.still("bent", self.slope(z))
        return block(f"z0_{STEPS}", z - (self.forward(z) - x) / slope)


@cache  # its range is measured once for each map
def general(m: Map, order: int, stretch: sp.Expr) -> Flow:
    """The orbit ``h = h* + x`` with ``x = z + Σ b_i z^{2i}`` and ``u = z^k/s`` on a Bernoulli flow at a shifted time.

    At a fold it is another one, see `normalforms.forms.uniform.general_fold`.

    Args:
        m: a scalar map with one parameter.
        order: p.
        stretch: factor from the caller's ``h0`` to the map's.

    Raises:
        ValueError: an order that the map does not have, a map without a uniform law, or one whose law of this order
            holds nowhere, as next to a point where its nonlinear coefficient vanishes.
    """
    if is_fold(m):
        return fold_flow(m, order, stretch)
    form = _about(m)
    g, h0 = inputs = (m.parameters[0], symbols("h0"))
    critical, flip = dict(m.critical)[g], critical_multiplier(m) == -1
    sign = -1 if flip else 1
    growth, turn = sign * form.multiplier, sign**_t
    bends, size, power = _leading(form, growth, flip)
    lopsided = not flip and power == 2 and any(form.coefficient(k) != 0 for k in (4, 6))
    order = check_order(order, 0 if lopsided else max(NODES[power]), f"the map {m.step}")
    made = normalised(form, sign, power, order) if order else None
    shift = made.shift if made else ()
    x = stretch * h0 - form.fixed_point
    prelude, solve, body = blocks(*inputs)
    read, parts = _read(made, growth, prelude) if made else _named([size, *bends], prelude)
    change, changed = _Change(tuple(parts[1:])), _Change(tuple(read[1:]))
    z0 = change.assigned(x, prelude)
    law = Bernoulli(growth, power, _one, z0**power / parts[0], shift)
    now = law.assigned(prelude, solve, body)

    def moved(now: Shifted, z0: sp.Expr) -> sp.Expr:
        return turn * z0 * (now.ratio if power == 1 else now.root)

    def state(z: sp.Expr, change: _Change) -> sp.Expr:
        return (form.fixed_point + change.forward(z)) / stretch

    states = (state(body("z", moved(now, z0)), change),)
    margin = sp.Float(1e-20) * x**2 - (change.forward(z0) - x) ** 2  # Newton's steps have arrived
    code = inputs, (prelude, solve, body)
    rules = BernoulliRules(law, *code, now, g, margin)
    reach = _Reach(g, critical, form.fixed_point, growth, size, power, order, stretch)
    error = MEASURED.errors[order]
    trial = Trial(m, error, rules, compiled_in(states, *code), stretch, reach.sized, reach.sample, HORIZONS)
    trial.check()
    name = "u_0" if order else str(changed.first(x) ** power / size)
    domain, stays = measured_domain(rules, MEASURED, order, (str(g), name), cache(trial.region), lopsided)

    def explicit() -> tuple[sp.Expr, ...]:
        if len(changed.bends) > 1:  # z_0 is the root of a polynomial: the equations in print say which
            return (sp.Function("h")(*inputs, _t),)
        start = changed.first(x)
        law = Bernoulli(growth, power, _one, start**power / read[0], shift)
        return (law.explicit(lambda now: state(moved(now, start), changed)),)

    return Flow(
        inputs,
        prelude.assignments,
        solve.assignments,
        body.assignments,
        states,
        domain,
        explicit,
        _printed(form, growth, power, turn, stretch, made) if made else (),
        stays=stays,
        still=(*prelude.constants, *body.constants),
        focus=focus(growth, g, critical),
        slip=(trial.slip, error),
        opening=(m.steps[0].xreplace({m.states[0]: stretch * h0}) / stretch,),
    )


def _about(m: Map) -> Local:
    """The map about its fixed point as a function of the parameter.

    Raises:
        ValueError: no one branch goes through.
    """
    form = local(m) or followed(m)
    if form is None:
        raise ValueError(
            f"the fixed point of {m.step} is no rational function of {m.parameters[0]} at the bifurcation, and no"
            " one branch goes through; reduce the map and ask the law of its normal form"
        )
    return form


def _read(made: Normalised, growth: sp.Expr, prelude: Block) -> tuple[list[sp.Expr], list[sp.Symbol]]:
    """Size and bends as expressions of the parameter, and the symbols that they are assigned to."""
    powers = prelude.powers("m", growth - 1, max(a.degree for a in made.parts))
    read = [a.at(growth - 1) for a in made.parts]
    return read, [a.assigned(f"part{i}", powers, prelude) for i, a in enumerate(made.parts)]


def _named(read: list[sp.Expr], prelude: Block) -> tuple[list[sp.Expr], list[sp.Symbol]]:
    return read, [prelude(f"part{i}", e) for i, e in enumerate(read)]


def _leading(form: Local, growth: sp.Expr, flip: bool) -> tuple[tuple[sp.Expr, ...], sp.Expr, int]:
    """Bends, size and power of the law of order 0.

    Raises:
        ValueError: a degenerate point.
    """
    g = form.map.parameters[0]
    critical = dict(form.map.critical)[g]
    if growth.diff(g).subs(g, critical) == 0:
        raise ValueError(f"the multiplier {form.multiplier} does not cross its critical value at {g} = {critical}")
    second, bend, power = form.coefficient(2), sp.Integer(0), 2
    if flip:
        bend, size = _two_cycle(form, growth)
    elif second == 0:
        size = -1 / form.coefficient(3)
    else:
        size, power = -1 / second, 1
    if not sp.sympify(size.subs(g, critical)).is_finite:
        raise ValueError(f"the nonlinear coefficient vanishes at {g} = {critical}; the point is degenerate")
    return (bend,) if bend != 0 else (), size, power


def _printed(form: Local, growth: sp.Expr, power: int, turn: sp.Expr, stretch: sp.Expr, made: Normalised) -> Equations:
    """The law in print, with the coordinate of the flow."""
    names = (sp.Symbol("s"), *(sp.Symbol(f"b_{i}") for i in range(1, len(made.bends) + 1)))
    change, mu = _Change(names[1:]), sp.Symbol("mu")
    u, start, z, z0 = symbols("u"), sp.Symbol("u_0"), sp.Symbol("z"), sp.Symbol("z_0")
    law = Bernoulli(growth, power, _one, z0**power / names[0], made.shift)
    *lines, last = law.equations()
    return (
        (sp.Symbol("h_t"), (form.fixed_point + change.forward(z)) / stretch),
        (z, turn * z0 * (u / start) ** sp.Rational(1, power)),
        *lines,
        (change.forward(z0), stretch * symbols("h0") - form.fixed_point),
        *((name, a.leading(mu)) for name, a in zip(names, made.parts, strict=True)),
        last,
    )


@dataclass(frozen=True, eq=False)
class _Reach:
    """The ranges that are tried, and samples of them."""

    parameter: sp.Symbol
    critical: sp.Expr
    fixed_point: sp.Expr
    growth: sp.Expr
    size: sp.Expr
    power: int
    order: int
    stretch: sp.Expr

    def sized(self, scale: float) -> Region:
        wide = LARGEST[0] * scale / abs(float(self.growth.diff(self.parameter).subs(self.parameter, self.critical)))
        return Region(
            float(self.critical) - wide,
            float(self.critical) + wide,
            LARGEST[1] * scale * float(sp.Rational(DEEPEST[min(self.order, 1)])) * 10,
            LARGEST[1] * scale,
        )

    def sample(self, region: Region) -> tuple[np.ndarray, np.ndarray]:
        centre, wide = (region.most + region.least) / 2, (region.most - region.least) / 2
        x = np.abs(float(self.size.subs(self.parameter, self.critical)) * region.high) ** (1 / self.power)
        across, away = np.meshgrid(centre + wide * _ACROSS, x * _AWAY)
        points = across.ravel()
        h0 = (sp.lambdify(self.parameter, self.fixed_point, "numpy")(points) + away.ravel()) / float(self.stretch)
        return points, h0


_FACTORED = 3
"""Degree of a map whose second iterate, of degree 9, is factored at once; that of a quartic may take minutes."""


def _cycle_factors(step: sp.Expr, h: sp.Symbol, g: sp.Symbol) -> list[tuple[sp.Expr, int]]:
    """Factors of ``f(f(h)) − h``."""
    top, bottom = sp.fraction(sp.together(step))
    if not (top.is_polynomial(h, g) and bottom.is_polynomial(h, g)):
        return []
    if max(sp.degree(top, h), sp.degree(bottom, h)) > _FACTORED:
        return []
    return sp.factor_list(sp.numer(sp.together(step.subs(h, step) - h)), h, g)[1]


def _two_cycle(form: Local, growth: sp.Expr) -> tuple[sp.Expr, sp.Expr]:
    """``b`` and ``w²/(growth − 1)`` of the points ``h* ± w + b w²`` of the new cycle of period 2.

    Exact where they are the roots of a quadratic with rational coefficients, a factor of ``f(f(h)) − h``; elsewhere
    to leading order, ``b = f₂/(λ² − λ)`` and ``w² = (growth − 1)/c`` with ``c = f₃ + 2 f₂²/(λ² − λ)``.
    """
    m, (g, h) = form.map, (form.map.parameters[0], form.map.states[0])
    critical = dict(m.critical)
    step = m.steps[0]
    factors = _cycle_factors(step, h, g)
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
