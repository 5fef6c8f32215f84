"""The explicit orbit of each family: which flow, in which units, and where it holds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import sympy as sp

from normalforms.codegen import horner
from normalforms.expansion import Local, local
from normalforms.formula import Domain, symbols
from normalforms.maps import Map
from normalforms.unfolding import Unfolding, unfolding
from normalforms.uniform_bernoulli import Bernoulli, Shifted
from normalforms.uniform_domain import bernoulli_domain, fold_domain
from normalforms.uniform_flow import Block, Equations, Flow
from normalforms.uniform_fold import NODES as FOLD_NODES
from normalforms.uniform_fold import Fold
from normalforms.uniform_matching import Approximant, Nodes, bernoulli_coefficients, phase_coefficients

__all__ = ["check_order", "flow"]

_Q = sp.Rational
_nil = ()
NODES: dict[int, dict[int, Nodes]] = {
    1: {1: ((_Q(1, 2),),), 2: ((_Q(1, 7), _Q(47, 100)), (_Q(5, 8), _Q(3, 4))), 3: (_nil, (_Q(2, 5),), (_Q(4, 5),))},
    2: {
        1: ((_Q(1, 2),),),
        2: (_nil, (_Q(4, 7),)),
        3: (_nil, _nil, (_Q(2, 3),)),
        4: (_nil, _nil, _nil, (_Q(5, 7),)),
    },
}
"""Where Abel's equation is met, in ``g − 1``, by power k and order. Any choice has the same order; these balance the
error over 0.7 ≤ g ≤ 1.45."""
PHASE_NODES: dict[int, Nodes] = {
    0: (),
    1: ((_Q(1, 4),),),
    2: (_nil, (_Q(1, 2),)),
    3: (_nil, _nil, (_Q(1, 2),)),
}
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
    try:
        found = unfolding(m)
    except ValueError:
        if m.dimension > 1 or len(m.parameters) > 1:
            raise
        found = None
    if found is None:
        made = _general(m, check_order(order, 0, f"the map {m.step}"), stretch)
    else:
        top, maker = _MAKERS[found.kind]
        made = maker(m, found, check_order(order, top, f"the {found.kind.replace('_', ' ')}"), stretch)
    return replace(made, weight=gain * stretch**2)


def check_order(order: Any, top: int | None, name: str) -> int:
    """``order`` as an integer from 0 to ``top``.

    Raises:
        ValueError: it is none.
    """
    if isinstance(order, bool) or not isinstance(order, (int, np.integer)) or order < 0:
        raise ValueError(f"order = {order!r} must be an integer from 0")
    if top is not None and order > top:
        raise ValueError(f"order = {order} does not exist: the uniform law of {name} has orders 0 to {top}")
    return int(order)


def _shift(power: int, shear: sp.Expr, order: int) -> tuple[Any, ...]:
    return bernoulli_coefficients(power, shear, NODES[power][order]) if order else ()


def _blocks(*inputs: sp.Symbol) -> tuple[Block, Block, Block]:
    """Blocks before the loop over ``t``, for the root that it solves, and after that."""
    prelude = Block([*(s.name for s in inputs), "t", "T"])
    return prelude, prelude.beside(), prelude.beside()


def _head(name: str, expr: sp.Expr, equations: Equations) -> Equations:
    return ((sp.Symbol(name), expr), *equations) if equations else ()


# --- the families ----------------------------------------------------------------------------------------------


def _linear(m: Map, found: Unfolding, order: int, stretch: sp.Expr) -> Flow:
    g, h0, _ = found.inputs
    states = (h0 * g**_t,)
    return Flow((g, h0), (), (), (), states, Domain("every g and h0: this law is exact"), lambda: states)


def _focus(growth: sp.Expr, g: sp.Symbol, critical: sp.Expr = _one) -> Callable[[int], tuple[float, float]]:
    """Centre and width in ``g`` of the range where a multiplier's power ``growth^T`` stays of size 1."""
    centre, slope = float(critical), abs(float(growth.diff(g).subs(g, critical)))
    return lambda horizon: (centre, 1 / (slope * horizon))


def _scalar(
    kind: str,
    law: Bernoulli,
    inputs: tuple[sp.Symbol, ...],
    state: Callable[[Shifted], sp.Expr],
    sign: sp.Expr,
    critical: sp.Expr = _one,
) -> Flow:
    """The flow of ``h_t = sign · state``."""
    prelude, solve, body = _blocks(*inputs)
    now = law.assigned(prelude, solve, body)
    frame = state(now)
    u, start = symbols("u"), sp.Symbol("u_0")
    domain, stays = bernoulli_domain(law, kind, inputs, (prelude, solve, body), now)
    return Flow(
        inputs,
        prelude.assignments,
        solve.assignments,
        body.assignments,
        (sign * frame,),
        domain,
        lambda: (law.explicit(lambda now: sign * state(now)),),
        _head("h_t", sign * state(Shifted(u / start, sp.sqrt(u / start), sp.Integer(0), u, start)), law.equations()),
        (frame,),
        stays=stays,
        still=body.constants,
        focus=_focus(law.growth, inputs[0], critical),
    )


def _cubic(m: Map, found: Unfolding, order: int, stretch: sp.Expr) -> Flow:
    g, h0, _ = found.inputs
    law = Bernoulli(g, 2, _one, found.coefficient * stretch**2 * h0**2, _shift(2, _one, order))
    sign = (-1) ** _t if found.kind == "period_doubling" else _one
    return _scalar("pitchfork", law, (g, h0), lambda s: h0 * s.root, sign)


def _transcritical(m: Map, found: Unfolding, order: int, stretch: sp.Expr) -> Flow:
    g, h0, _ = found.inputs
    law = Bernoulli(g, 1, _one, found.coefficient * stretch * h0, _shift(1, _one, order))
    return _scalar("transcritical", law, (g, h0), lambda s: h0 * s.ratio, _one)


def _saddle_node(m: Map, found: Unfolding, order: int, stretch: sp.Expr) -> Flow:
    g, h0, _ = found.inputs
    scale = found.coefficient * stretch
    law = Fold(found.coefficient * (g - 1), scale * h0, order)
    prelude, solve, body = _blocks(g, h0)
    x, d, even = law.assigned(prelude, solve, body)
    domain, stays = fold_domain(law, (g, h0), (prelude, solve, body), x, d / even)
    width = abs(float(found.coefficient))
    return Flow(
        (g, h0),
        prelude.assignments,
        solve.assignments,
        body.assignments,
        (x / scale,),
        domain,
        lambda: (law.explicit() / scale,),
        _head("h_t", symbols("x") / scale, law.equations()),
        stays=stays,
        focus=lambda horizon: (1.0, 1 / (width * horizon**2)),
    )


def _neimark_sacker(m: Map, found: Unfolding, order: int, stretch: sp.Expr) -> Flow:
    """Modulus by the Bernoulli flow, phase ``θ_t = θ_0 + ω t − χ ln D + Σ θ_j (u^j − u_0^j)``."""
    g, (x, y) = m.parameters[0], m.states
    inputs = (g, *(sp.Symbol(f"{s.name}0", real=True) for s in (x, y)))
    _, x0, y0 = inputs
    cosine, sine = (sp.expand(e).coeff(x, 1).coeff(y, 0).coeff(g, 1) for e in m.steps)
    twist = _rational(found.twist)
    shear = 1 + twist**2
    branch = (1 + g) / (g + sp.sqrt(g**2 - shear * (g**2 - 1)))
    law = Bernoulli(g, 2, branch, found.coefficient * (x0**2 + y0**2), _shift(2, shear, order))
    turn = phase_coefficients(shear, twist, PHASE_NODES[order], law.shift[0] if order else None)
    prelude, solve, body = _blocks(*inputs)
    chi, *theta = (prelude(f"turn{i}", a.at(g - 1)) for i, a in enumerate(turn))
    now = law.assigned(prelude, solve, body)

    def planar(now: Shifted, chi: sp.Expr, theta: list[sp.Expr], angle: sp.Expr) -> tuple[sp.Expr, ...]:
        wound = horner([0, *theta], now.u) - horner([0, *theta], now.start)
        phase, size = angle - chi * now.log + wound, now.root
        c, s = sp.cos(phase), sp.sin(phase)
        return size * (c * x0 - s * y0), size * (s * x0 + c * y0)

    omega, coefficients = _angle(cosine, sine), [a.at(g - 1) for a in turn]

    def explicit() -> tuple[sp.Expr, ...]:
        written = lambda i: lambda now: planar(now, coefficients[0], coefficients[1:], omega * _t)[i]  # noqa: E731
        return law.explicit(written(0)), law.explicit(written(1))

    margin = g**2 - shear * (g**2 - 1) - _Q(3, 4)
    domain, stays = bernoulli_domain(law, found.kind, inputs, (prelude, solve, body), now, margin)
    return Flow(
        inputs,
        prelude.assignments,
        solve.assignments,
        body.assignments,
        planar(now, chi, theta, omega * _t),
        domain,
        explicit,
        _planar_equations(law, omega, turn),
        planar(now, chi, theta, sp.Integer(0)),
        stays=stays,
        still=body.constants,
        focus=_focus(g, g),
    )


def _angle(cosine: sp.Expr, sine: sp.Expr) -> sp.Expr:
    """The rotation per step, up to whole turns."""
    if isinstance(cosine, sp.cos) and sine == sp.sin(cosine.args[0]):
        return cosine.args[0]
    return sp.atan2(sine, cosine)


def _planar_equations(law: Bernoulli, omega: sp.Expr, turn: tuple[Approximant, ...]) -> Equations:
    """The law in print, in polar coordinates ``h_t = r_t (cos θ_t, sin θ_t)``."""
    equations = law.equations()
    if not equations:
        return ()
    u, u0, D, mu = symbols("u"), *(sp.Symbol(n) for n in ("u_0", "D", "mu"))
    chi, theta = sp.Symbol("chi"), [sp.Symbol(f"vartheta_{j}") for j in range(1, len(turn))]
    angle = omega * _t - chi * sp.log(D) + sp.Add(*(c * (u**j - u0**j) for j, c in enumerate(theta, 1)))
    polar = [
        (sp.Symbol("r_t"), sp.Symbol("r_0") * sp.sqrt(u / u0)),
        (sp.Symbol("theta_t"), sp.Symbol("theta_0") + angle),
    ]
    return (*polar, *equations, *((c, a.leading(mu)) for c, a in zip((chi, *theta), turn, strict=True)))


def _rational(twist: sp.Expr) -> sp.Rational:
    """The twist, where it is irrational to 40 digits."""
    return twist if twist.is_Rational else sp.Rational(str(sp.N(twist, 40)))


def _general(m: Map, order: int, stretch: sp.Expr) -> Flow:
    """Leading order about a fixed point that moves: ``h = h* + w + b w²``, ``w' = λ w + c w³`` (or ``+ c w²``).

    Higher orders feel ``w⁵`` (``w³``) too: they need Abel's equation of the normal form with its coefficients as
    functions of the parameter, where `bernoulli_coefficients` has those of the named families.
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
    x0 = stretch * h0 - form.fixed_point
    if bend != 0:
        x0 = 2 * x0 / (1 + sp.sqrt(1 + 4 * bend * x0))
    law = Bernoulli(growth, power, _one, x0**power / size, ())
    turn = (-1) ** _t if flip else _one

    def state(s: Shifted) -> sp.Expr:
        w = turn * x0 * (s.ratio if power == 1 else s.root)
        return (form.fixed_point + w + bend * w**2) / stretch

    return _scalar("general", law, (g, h0), state, _one, critical)


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


_MAKERS: dict[str, tuple[int | None, Callable[..., Flow]]] = {
    "stability_flip": (None, _linear),
    "pitchfork": (max(NODES[2]), _cubic),
    "period_doubling": (max(NODES[2]), _cubic),
    "transcritical": (max(NODES[1]), _transcritical),
    "saddle_node": (max(FOLD_NODES), _saddle_node),
    "neimark_sacker": (max(NODES[2]) - 1, _neimark_sacker),
}
