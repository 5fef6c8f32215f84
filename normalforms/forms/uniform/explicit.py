"""Explicit orbits on a Bernoulli flow: what the uniform laws of several families share."""

from __future__ import annotations

from collections.abc import Callable

import sympy as sp

from normalforms.forms.uniform.bernoulli import Bernoulli, Shifted
from normalforms.forms.uniform.domain import Measured, bernoulli_domain
from normalforms.forms.uniform.flow import Flow, blocks, focus
from normalforms.forms.uniform.matching import NODES, Approximant, bernoulli_coefficients
from normalforms.formulas import Domain, Equations, symbols

__all__ = ["bernoulli_flow", "headed", "linear_flow", "shift"]

_t = symbols("t")


def shift(power: int, shear: sp.Expr, order: int) -> tuple[Approximant, ...]:
    """The coefficients ``κ, r_1, …`` of the shifted time of a law of this order; none at order 0."""
    return bernoulli_coefficients(power, shear, NODES[power][order]) if order else ()


def headed(name: str, expr: sp.Expr, equations: Equations) -> Equations:
    """Equations with the one of the state before them; none where there are none."""
    return ((sp.Symbol(name), expr), *equations) if equations else ()


def linear_flow(g: sp.Symbol, h0: sp.Symbol) -> Flow:
    """``h_t = h0 gᵗ``."""
    states = (h0 * g**_t,)
    return Flow((g, h0), (), (), (), states, Domain("every g and h0: this law is exact"), lambda: states)


def bernoulli_flow(
    law: Bernoulli,
    measured: Measured,
    inputs: tuple[sp.Symbol, ...],
    state: Callable[[Shifted], sp.Expr],
    sign: sp.Expr = sp.S.One,
) -> Flow:
    """The flow of ``h_t = sign · state``, ``sign`` a function of ``t`` of modulus 1."""
    prelude, solve, body = blocks(*inputs)
    now = law.assigned(prelude, solve, body)
    frame = state(now)
    u, start = symbols("u"), sp.Symbol("u_0")
    domain, stays = bernoulli_domain(law, measured, inputs, (prelude, solve, body), now)
    return Flow(
        inputs,
        prelude.assignments,
        solve.assignments,
        body.assignments,
        (sign * frame,),
        domain,
        lambda: (law.explicit(lambda now: sign * state(now)),),
        headed("h_t", sign * state(Shifted(u / start, sp.sqrt(u / start), sp.Integer(0), u, start)), law.equations()),
        (frame,),
        stays=stays,
        still=body.constants,
        focus=focus(law.growth, inputs[0]),
    )
