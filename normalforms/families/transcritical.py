"""``h' = g h − h²``: multiplier +1 without symmetry, two branches that cross."""

from __future__ import annotations

from typing import Any

import numpy as np
import sympy as sp

from normalforms.exact import ExpMoment, expmoment
from normalforms.families.record import Family, LimitFlow, Member, Rescaled
from normalforms.families.units import critical_map, exact_number, one_term
from normalforms.forms.limits import (
    TRANSCRITICAL,
    Elementary,
    Regimes,
    Scaling,
    abbreviations,
    above,
    below,
    log1p,
    near,
    plateau,
    table,
)
from normalforms.forms.uniform import Bernoulli, Measured, UniformLaw, bernoulli_flow, check_order, shift, uniform_law
from normalforms.formulas import symbols
from normalforms.maps import Map
from normalforms.reduction import NormalForm

__all__ = ["FAMILY", "MEASURED", "transcritical"]

ORDERS = 3
MEASURED = Measured((0.4, 0.2, 0.2, 0.08), "69/100", "73/50", ("1/5", "1/5"))
_x, _y, _tau, _P, _n, _b, _D = symbols("x y tau P n b D")


def transcritical() -> Map:
    """``h' = g h − h²``: multiplier +1, the branch ``g − 1`` exchanges stability with zero.

    >>> transcritical().step
    g*h - h**2
    """
    return critical_map("transcritical", lambda h, g: g * h - h**2)


def _reduced(form: NormalForm) -> Rescaled | None:
    """``u = h/|c₂|``: the quadratic term leads."""
    if form.kind != "transcritical":
        return None
    stretch = -exact_number(form.coefficients["c2"])
    return Rescaled(transcritical(), stretch, exact_number(form.coefficients["dlambda"]) ** 2 / stretch**2)


def _uniform(member: Member, order: int, stretch: sp.Expr, gain: sp.Expr) -> UniformLaw:
    order = check_order(order, ORDERS, "the transcritical")
    g, h0, _ = member.inputs
    law = Bernoulli(g, 1, sp.S.One, member.coefficient * stretch * h0, shift(1, sp.S.One, order))
    return uniform_law(bernoulli_flow(law, MEASURED, (g, h0), lambda s: h0 * s.ratio), gain * stretch**2)


def _error(x: Any, y: Any) -> Any:
    return (3 + x**2 + np.abs(y)) / near(1 + y * expmoment(0, x))


def _scaling(member: Member, stretch: sp.Expr, gain: sp.Expr) -> Scaling:
    (g, h0, T), c = member.inputs, member.coefficient
    return Scaling(
        T * (g - 1),
        c * T * stretch * h0,
        gain * T / c**2,
        (_P / 3 + 2 * (_x - _n) / 3 - _n**2 / 2 + _b * _n**2 / (3 * _D)) / _x,
        abbreviations(_x),
        _y**2 * (4 + 3 * _y) / (12 * (1 + _y) ** 3),
        "Ψ = ∫ (∂H/∂x)² dτ over 0 ≤ τ ≤ 1 for H' = x H − H², H(0) = y: elementary functions and one"
        " dilogarithm; removable at x = 0 and y = x; infinite from the escape at D = 0 on (y < 0).",
        member.inputs,
        TRANSCRITICAL,
        True,
        _error,
    )


def _regimes(member: Member, stretch: sp.Expr, gain: sp.Expr) -> Regimes:
    (g, h0, T), c = member.inputs, member.coefficient
    h = c * stretch * h0
    rest, tail = plateau(g, h, T)
    mu, y = g - 1, T * h
    numerator = T * y**2 * (4 + 3 * y) / 12
    at_error = (3 / T + 2 * T * sp.Abs(mu) + sp.Abs(h)) * sp.Abs((2 + y) / (1 + y))
    L = sp.log(mu / h)
    over = T + ((L - 1) ** 2 + sp.pi**2 / 3 - 8) / (6 * mu)
    over_error = 1 + L**2 + h * (1 + sp.Abs(L)) / mu**2 + T * mu * g**-T / h + (1 + L**2) * g**-T / (6 * h)
    cubic = 2 * sp.Abs(h) ** 3 / (3 * (1 - g) ** 4)
    stable = numerator * sp.exp(-3 * log1p(y))
    laws = (
        Elementary(rest, cubic + tail, "g < 1, T (1 − g) ≫ 1, |h0| ≪ 1 − g", below),
        Elementary(numerator / (1 + y) ** 3, at_error, "T |g − 1| ≪ 1, T h0 > −1", None, stable),
        Elementary(over, over_error, "0 < h0 ≪ g − 1 ≪ 1 and captured: g^T h0 ≫ g − 1", above),
    )
    return table(laws, member.inputs, gain / c**2)


FAMILY = Family(
    name="transcritical",
    title="Transcritical",
    build=transcritical,
    recognise=one_term(1, 2),
    reduced=_reduced,
    uniform=_uniform,
    orders=ORDERS,
    measured=MEASURED,
    scaling=_scaling,
    regimes=_regimes,
    flow=LimitFlow(
        _y * sp.exp(_x * _tau) / (1 + _y * _tau * ExpMoment(0, _x * _tau)),
        "H' = x H − H²",
        plateau=sp.Rational(32, 3),
    ),
)
