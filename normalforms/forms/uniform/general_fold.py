"""Uniform laws of scalar maps at a fold, in their own parameter and state.

Two fixed points are born there, algebraic functions of the parameter; half their sum and the square of half their
difference are analytic ones, and so is all that the law is made of (`normalforms.forms.uniform.coordinate`).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import sympy as sp

from normalforms.forms.series import critical_multiplier
from normalforms.forms.uniform.coordinate import Folded, folded
from normalforms.forms.uniform.domain import FoldRules, Measured, Region, compiled_in, measured_domain
from normalforms.forms.uniform.flow import Flow, blocks, check_order
from normalforms.forms.uniform.fold import FOLD_NODES, Fold
from normalforms.forms.uniform.matching import Nodes
from normalforms.forms.uniform.trial import Trial
from normalforms.formulas import Equations, symbols
from normalforms.maps import Map

__all__ = ["fold_flow", "is_fold"]

MEASURED = Measured((0.6, 0.06, 0.012, 0.003, 0.001))
"""The range is measured map by map; these are the errors that it is measured for."""
NODES: dict[int, Nodes] = FOLD_NODES | {1: ((sp.Rational(1, 2),),)}
"""That of order 1 without the terms that serve the map of the family itself."""
HORIZONS = (1, 3, 10, 30, 100, 300)
LARGEST = (-0.02, 0.06, 0.15)
"""Least and most ``n`` and the size of the state in the largest range that is tried."""
_ACROSS = np.array([-1, -0.7, -0.4, -0.1, -0.01, 0, 0.01, 0.1, 0.4, 0.7, 1])
_AWAY = np.linspace(-1, 1, 25)
"""The sample of parameters and of states, in units of the range's; those outside it do not count."""


def is_fold(m: Map) -> bool:
    """Whether two fixed points of a critical scalar map are born at its point: multiplier 1 and ``f_g ≠ 0``.

    Raises:
        ValueError: see `normalforms.forms.series.expansion.critical_multiplier`.
    """
    if critical_multiplier(m) == -1:
        return False
    force = sp.N(m.steps[0].diff(m.parameters[0]).subs(dict(m.critical)), 40)
    return bool(force.is_number and abs(force) > _ZERO)


_ZERO = sp.Float("1e-30")


@dataclass(frozen=True, eq=False)
class _Reach:
    """The ranges that are tried, and samples of them."""

    critical: float
    point: float
    known: Folded
    stretch: float

    def sized(self, scale: float) -> Region:
        scale *= min(1.0, self.known.size)
        edges = sorted(self.critical + scale**2 * n / float(self.known.speed) for n in LARGEST[:2])
        return Region(edges[0], edges[1], -scale * LARGEST[2], scale * LARGEST[2])

    def sample(self, region: Region) -> tuple[np.ndarray, np.ndarray]:
        down, up = region.least - self.critical, region.most - self.critical
        across = self.critical + np.where(_ACROSS < 0, -_ACROSS * down, _ACROSS * up)
        points, away = (v.ravel() for v in np.meshgrid(across, region.high * _AWAY))
        n = sp.Symbol("n")
        centre = sp.lambdify(n, self.known.centre.at(n), "numpy")(float(self.known.speed) * (points - self.critical))
        return points, (self.point + (centre + away) / float(self.known.bend)) / self.stretch


def fold_flow(m: Map, order: int, stretch: sp.Expr) -> Flow:
    """The orbit ``h = h* + (c + x)/bend`` with ``x`` on the flow of a fold at a shifted time.

    Args:
        m: a scalar map with one parameter, at a fold.
        order: p.
        stretch: factor from the caller's ``h0`` to the map's.

    Raises:
        ValueError: an order that the map does not have, a degenerate fold, or a law that holds nowhere.
    """
    order = check_order(order, max(NODES), f"the map {m.step}")
    known = folded(m, NODES[order] if order else ())
    (h,), (g,) = m.states, m.parameters
    point, critical = (dict(m.critical)[s] for s in (h, g))
    inputs = g, h0 = g, symbols("h0")
    prelude, solve, body = blocks(*inputs)
    n = known.speed * (g - critical)
    away = known.bend * (stretch * h0 - point)
    across = prelude("n", n)
    centre = prelude("centre", known.centre.at(across))
    law = Fold(known.nu.at(across), away - centre, known.shift, across)
    now = law.assigned(prelude, solve, body)
    states = ((point + (centre + now.x) / known.bend) / stretch,)
    code = inputs, (prelude, solve, body)
    rules = FoldRules(law, *code, now, g)
    reach = _Reach(float(critical), float(point), known, float(stretch))
    error = MEASURED.errors[order]
    trial = Trial(m, error, rules, compiled_in(states, *code), stretch, reach.sized, reach.sample, HORIZONS)
    trial.check()
    domain, stays = measured_domain(rules, MEASURED, order, (str(g), "x_0"), cache(trial.region))

    def explicit() -> tuple[sp.Expr, ...]:
        plain = Fold(known.nu.at(n), away - known.centre.at(n), known.shift, n)
        return ((point + (known.centre.at(n) + plain.explicit()) / known.bend) / stretch,)

    width = abs(float(known.speed))
    return Flow(
        inputs,
        prelude.assignments,
        solve.assignments,
        body.assignments,
        states,
        domain,
        explicit,
        _printed(known, point, away, n, stretch),
        stays=stays,
        focus=lambda horizon: (float(critical), 1 / (width * horizon**2)),
        slip=(trial.slip, error),
        opening=(m.steps[0].xreplace({h: stretch * h0}) / stretch,),
    )


def _printed(known: Folded, point: sp.Expr, away: sp.Expr, n: sp.Expr, stretch: sp.Expr) -> Equations:
    """The law in print."""
    c, mu, x = sp.Symbol("c"), sp.Symbol("mu"), symbols("x")
    law = Fold(known.nu.leading(mu), away - c, known.shift, mu)
    lines = (
        (sp.Symbol("h_t"), (point + (c + x) / known.bend) / stretch),
        *law.equations(),
        (c, known.centre.leading(mu)),
        (mu, n),
    )
    fractions = {v for _, side in lines for v in sp.sympify(side).atoms(sp.Rational) if v.q > _LONG}
    return tuple((a, sp.sympify(b).xreplace({v: sp.N(v, 10) for v in fractions})) for a, b in lines)


_LONG = 10**12
"""Denominators of fractions that are printed as decimals."""
