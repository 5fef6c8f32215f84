"""The explicit orbit of each family: which flow, in which units, and where it holds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import sympy as sp

from normalforms.exact import rounded
from normalforms.families import Unfolding, unfolding
from normalforms.forms.uniform.bernoulli import Bernoulli, Shifted
from normalforms.forms.uniform.domain import bernoulli_domain, fold_domain
from normalforms.forms.uniform.flow import Equations, Flow, blocks, check_order, focus
from normalforms.forms.uniform.fold import NODES as FOLD_NODES
from normalforms.forms.uniform.fold import Fold
from normalforms.forms.uniform.general import general
from normalforms.forms.uniform.matching import NODES, Approximant, Nodes, bernoulli_coefficients, phase_coefficients
from normalforms.formulas import Domain, horner, symbols
from normalforms.maps import Map

__all__ = ["flow"]

_Q = sp.Rational
_nil = ()
PHASE_NODES: dict[int, Nodes] = {
    0: (),
    1: ((_Q(1, 4),),),
    2: (_nil, (_Q(1, 2),)),
    3: (_nil, _nil, (_Q(1, 2),)),
}
"""Where the equation of the phase of Neimark–Sacker is met, by order; it also holds at 0 and on the branch."""

_one, _t = sp.Integer(1), symbols("t")


def flow(m: Map, order: int, stretch: sp.Expr, gain: sp.Expr) -> Flow:
    """The explicit orbit of a map, to a given order.

    Args:
        m: a named family, a map of the same form, or a scalar map with a fixed point that moves.
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
        made = general(m, order, stretch)
    else:
        top, maker = _MAKERS[found.kind]
        made = maker(m, found, check_order(order, top, f"the {found.kind.replace('_', ' ')}"), stretch)
    return replace(made, weight=gain * stretch**2)


def _shift(power: int, shear: sp.Expr, order: int) -> tuple[Any, ...]:
    return bernoulli_coefficients(power, shear, NODES[power][order]) if order else ()


def _head(name: str, expr: sp.Expr, equations: Equations) -> Equations:
    return ((sp.Symbol(name), expr), *equations) if equations else ()


# --- the families ----------------------------------------------------------------------------------------------


def _linear(m: Map, found: Unfolding, order: int, stretch: sp.Expr) -> Flow:
    g, h0, _ = found.inputs
    states = (h0 * g**_t,)
    return Flow((g, h0), (), (), (), states, Domain("every g and h0: this law is exact"), lambda: states)


def _scalar(
    kind: str,
    law: Bernoulli,
    inputs: tuple[sp.Symbol, ...],
    state: Callable[[Shifted], sp.Expr],
    sign: sp.Expr,
) -> Flow:
    """The flow of ``h_t = sign · state``."""
    prelude, solve, body = blocks(*inputs)
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
        focus=focus(law.growth, inputs[0]),
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
    prelude, solve, body = blocks(g, h0)
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
    twist = rounded(found.twist)
    shear = 1 + twist**2
    branch = (1 + g) / (g + sp.sqrt(g**2 - shear * (g**2 - 1)))
    law = Bernoulli(g, 2, branch, found.coefficient * (x0**2 + y0**2), _shift(2, shear, order))
    turn = phase_coefficients(shear, twist, PHASE_NODES[order], law.shift[0] if order else None)
    prelude, solve, body = blocks(*inputs)
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
        focus=focus(g, g),
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


_MAKERS: dict[str, tuple[int | None, Callable[..., Flow]]] = {
    "stability_flip": (None, _linear),
    "pitchfork": (max(NODES[2]), _cubic),
    "period_doubling": (max(NODES[2]), _cubic),
    "transcritical": (max(NODES[1]), _transcritical),
    "saddle_node": (max(FOLD_NODES), _saddle_node),
    "neimark_sacker": (max(NODES[2]) - 1, _neimark_sacker),
}
