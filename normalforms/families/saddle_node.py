"""``h' = h + (g − 1) − h²``: multiplier +1, two branches are born."""

from __future__ import annotations

from typing import Any

import numpy as np
import sympy as sp

from normalforms.exact import Clifford, ExpMoment, clifford
from normalforms.families.record import Family, LimitFlow, Member, Rescaled
from normalforms.families.units import critical_map, exact_number, monomials
from normalforms.forms.limits import SADDLE_NODE, Elementary, Regimes, Scaling, log1p, near, sine, table
from normalforms.forms.uniform import (
    FOLD_NODES,
    Flow,
    Fold,
    Measured,
    UniformLaw,
    blocks,
    check_order,
    fold_coefficients,
    fold_domain,
    headed,
    uniform_law,
)
from normalforms.formulas import symbols
from normalforms.maps import Map
from normalforms.reduction import NormalForm

__all__ = ["FAMILY", "MEASURED", "saddle_node"]

ORDERS = 4
MEASURED = Measured((0.6, 0.06, 0.012, 0.003, 0.001), "-1/50", "3/50", ("1/10", "3/20"))
"""In ``ν`` and ``|x|``."""
_x, _y, _tau, _D, _H, _G, _w, _Lambda = symbols("x y tau D H G w Lambda")
_kappa, _rho = sp.symbols("kappa rho")  # imaginary and of modulus one where x < 0


def saddle_node() -> Map:
    """``h' = h + (g − 1) − h²``: multiplier +1, two branches ``±√(g − 1)`` are born at ``g = 1``.

    >>> saddle_node().step
    g - h**2 + h - 1
    """
    return critical_map("saddle_node", lambda h, g: h + (g - 1) - h**2)


def _recognise(m: Map) -> tuple[sp.Expr, sp.Expr] | None:
    terms = monomials(m) or {}
    c = terms.pop((2, 0), sp.S.Zero)
    return (-c, sp.S.Zero) if c != 0 and terms == {(1, 0): 1, (0, 1): 1, (0, 0): -1} else None


def _reduced(form: NormalForm) -> Rescaled | None:
    if form.kind != "saddle_node":
        return None
    c = form.coefficients
    return Rescaled(saddle_node(), -exact_number(c["c2"]), exact_number(c["c0"]) ** 2)


def _uniform(member: Member, order: int, stretch: sp.Expr, gain: sp.Expr) -> UniformLaw:
    order = check_order(order, ORDERS, "the saddle node")
    g, h0, _ = member.inputs
    scale = member.coefficient * stretch
    law = Fold(member.coefficient * (g - 1), scale * h0, fold_coefficients(FOLD_NODES[order]) if order else ())
    prelude, solve, body = blocks(g, h0)
    now = law.assigned(prelude, solve, body)
    domain, stays = fold_domain(law, MEASURED, (g, h0), (prelude, solve, body), now)
    width = abs(float(member.coefficient))
    flow = Flow(
        (g, h0),
        prelude.assignments,
        solve.assignments,
        body.assignments,
        (now.x / scale,),
        domain,
        lambda: (law.explicit() / scale,),
        headed("h_t", symbols("x") / scale, law.equations()),
        stays=stays,
        focus=lambda horizon: (1.0, 1 / (width * horizon**2)),
    )
    return uniform_law(flow, gain * stretch**2)


def _error(x: Any, y: Any) -> Any:
    return (3 + np.abs(x) + np.abs(y)) / near(clifford(-1, x) + y * clifford(0, x))


def _scaling(member: Member, stretch: sp.Expr, gain: sp.Expr) -> Scaling:
    (g, h0, T), c = member.inputs, member.coefficient
    compact = (
        _G**2 * _H * (3 * _x - _H**2) / (3 * _w**2)
        - (_D**4 * _H + 2 * (_w - _y) * _D**2 + _y) / (6 * _w**2)
        + _G / (6 * _w)
        + (1 + _Lambda + (_y / _w - 1) * sp.log(_D)) / (3 * _x)
    )
    mean = sp.log((_y + _kappa) / (2 * _kappa)) + _kappa / 2
    mean += (sp.polylog(2, _rho * sp.exp(-2 * _kappa)) - sp.polylog(2, _rho)) / (2 * _kappa)
    w = sp.log(1 + _y)
    where = (
        (_Lambda, sp.re(mean, evaluate=False)),
        (_G, (_w - _y + _D**2 * _H) / (2 * _x)),
        (_H, (_kappa * sp.sinh(_kappa) + _y * sp.cosh(_kappa)) / _D),
        (_D, sp.cosh(_kappa) + _y * sp.sinh(_kappa) / _kappa),
        (_w, _x - _y**2),
        (_rho, (_y - _kappa) / (_y + _kappa)),
        (_kappa, sp.sqrt(_x)),
    )
    return Scaling(
        c * T**2 * (g - 1),
        c * T * stretch * h0,
        gain * T**3,
        compact,
        where,
        2 * (sp.sinh(3 * w) - 3 * w) / (27 * _y**3),
        "Ψ = ∫ (∂H/∂x)² dτ over 0 ≤ τ ≤ 1 for H' = x − H², H(0) = y: elementary functions and one"
        " dilogarithm (Clausen's function for x < 0, where κ is imaginary and Λ = ∫ ln D dτ real); removable"
        " at x = 0 and x = y²; infinite from the escape at D = 0 on, towards which it grows with no maximum.",
        member.inputs,
        SADDLE_NODE,
        False,
        _error,
    )


def _regimes(member: Member, stretch: sp.Expr, gain: sp.Expr) -> Regimes:
    (g, h0, T), c = member.inputs, member.coefficient
    mu, h = c * (g - 1), c * stretch * h0
    nu, y, root = -mu, T * h, sp.sqrt(mu)
    escape = (sp.pi / 2 + sp.atan(h / sp.sqrt(nu))) / sp.sqrt(nu)
    left = escape - T
    passage = (escape + h / (nu + h**2)) ** 2 / (12 * nu**2 * left**3)
    passage_error = 2 * passage * (left / escape + (1 + sp.log(escape / left)) / left)
    u, v = 1 + y, log1p(y)
    at = T**3 * (u**3 - u**-3 - 6 * sp.log(u)) / (27 * y**3)
    M: Any = ExpMoment(0, v)
    stable = 2 * T**3 * sine(3 * v, 3) / M**3
    at_error = (3 / T + T**2 * sp.Abs(mu) + sp.Abs(h)) * sp.Abs((2 + y) / (1 + y))
    over = T / (4 * mu) + (sp.pi**2 - 6) / (72 * root**3) - (1 + 8 * sp.log(2)) * h / (12 * mu**2)
    over_error = 1 / mu + h**2 / root**5 + (1 + T * root) * sp.exp(-2 * T * root) / root**3
    next_to_escape = "g < 1, next to the escape at t_e = [π/2 + arctan(h0/√(1−g))]/√(1−g): ln t_e ≪ t_e − T ≪ t_e"
    laws = (
        Elementary(passage, passage_error, next_to_escape),
        Elementary(at, at_error, "T² |g − 1| ≪ 1, T h0 > −1", None, stable),
        Elementary(over, over_error, "h0² ≪ g − 1 ≪ 1, T √(g − 1) ≫ 1"),
    )
    return table(laws, member.inputs, gain)


def _limit_flow() -> LimitFlow:
    """``H = D'/D``, ``D = cosh √x τ + y sinh(√x τ)/√x``."""
    z = _x * _tau**2
    D = Clifford(-1, z) + _y * _tau * Clifford(0, z)
    return LimitFlow((_x * _tau * Clifford(0, z) + _y * Clifford(-1, z)) / D, "H' = x − H²")


FAMILY = Family(
    name="saddle_node",
    title="Saddle-node",
    build=saddle_node,
    recognise=_recognise,
    reduced=_reduced,
    uniform=_uniform,
    orders=ORDERS,
    measured=MEASURED,
    scaling=_scaling,
    regimes=_regimes,
    flow=_limit_flow(),
    window=(0.94, 1.06),
    drawn="h + (g − 1) − h²",
)
