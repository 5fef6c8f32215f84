"""``h' = g h``: the linear loss of stability."""

from __future__ import annotations

import sympy as sp

from normalforms.exact import ExpMoment
from normalforms.families.record import Family, LimitFlow, Member, Rescaled
from normalforms.families.units import critical_map, exact_number
from normalforms.forms.limits import (
    STABILITY_FLIP,
    Elementary,
    Regimes,
    Scaling,
    above,
    below,
    plateau,
    table,
)
from normalforms.forms.uniform import UniformLaw, check_order, linear_flow, uniform_law
from normalforms.formulas import symbols
from normalforms.maps import Map
from normalforms.reduction import NormalForm

__all__ = ["FAMILY", "growing", "stability_flip"]

_x, _y, _master, _tau = symbols("x y x_T tau")


def stability_flip() -> Map:
    """``h' = g h``: the linear loss of stability (not the textbook "flip", a period doubling).

    >>> stability_flip().step
    g*h
    """
    return critical_map("stability_flip", lambda h, g: g * h)


def _recognise(m: Map) -> tuple[sp.Expr, sp.Expr] | None:
    if len(m.parameters) != 1 or m.dimension > 1:
        return None
    return (sp.S.One, sp.S.Zero) if sp.expand(m.steps[0] - m.parameters[0] * m.states[0]) == 0 else None


def _reduced(form: NormalForm) -> Rescaled | None:
    if form.kind != "stability_flip":
        return None
    return Rescaled(stability_flip(), gain=exact_number(form.coefficients["dlambda"]) ** 2)


def _uniform(member: Member, order: int, stretch: sp.Expr, gain: sp.Expr) -> UniformLaw:
    check_order(order, None, "the stability flip")
    g, h0, _ = member.inputs
    return uniform_law(linear_flow(g, h0), gain * stretch**2)


def _scaling(member: Member, stretch: sp.Expr, gain: sp.Expr) -> Scaling:
    g, h0, T = member.inputs
    U = 2 * _x
    return Scaling(
        T * (g - 1),
        T * (stretch * h0) ** 2,
        gain * T**2,
        _y * (sp.exp(U) * (U**2 - 2 * U + 2) - 2) / U**3,
        (),
        _y / 3,
        "Ψ = y ∫ τ² e^{2xτ} dτ over 0 ≤ τ ≤ 1 for H' = x H: elementary, and growing with x for ever.",
        (g, h0, T),
        STABILITY_FLIP,
        False,
        lambda x, y: 3 + x**2,
    )


def growing(g: sp.Expr, h: sp.Expr, T: sp.Expr) -> Elementary:
    """The linear law far above the bifurcation."""
    growth = h**2 * g ** (2 * T)
    error = 2 * T * growth / (g**2 - 1) ** 2
    return Elementary(T**2 * growth / (g**2 - 1), error, "g > 1, T (g − 1) ≫ 1", above)


def _regimes(member: Member, stretch: sp.Expr, gain: sp.Expr) -> Regimes:
    g, h0, T = member.inputs
    h = stretch * h0
    rest, tail = plateau(g, h, T)
    laws = (
        Elementary(rest, tail, "|g| < 1, T (1 − |g|) ≫ 1", below),
        Elementary(h**2 * T**3 / 3, h**2 * (T**2 + T**4 * sp.Abs(g - 1)), "T |g − 1| ≪ 1"),
        growing(g, h, T),
    )
    return table(laws, member.inputs, gain)


def _limit_flow() -> LimitFlow:
    single, double, cross = (ExpMoment(0, s) for s in (2 * _master, 2 * _x, _x + _master))
    return LimitFlow(
        sp.sqrt(_y) * sp.exp(_x * _tau), "H' = x H", {"every teacher": _y * (double + single - 2 * cross)}, sp.S.Zero
    )


FAMILY = Family(
    name="stability_flip",
    title="Stability flip",
    build=stability_flip,
    recognise=_recognise,
    reduced=_reduced,
    uniform=_uniform,
    scaling=_scaling,
    regimes=_regimes,
    flow=_limit_flow(),
    law_class="linear",
    drawn="g h",
)
