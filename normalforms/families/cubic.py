"""What pitchfork, period doubling and Neimark–Sacker share: the flow ``H' = x H − H³``."""

from __future__ import annotations

from typing import Any

import numpy as np
import sympy as sp

from normalforms.exact import ExpMoment, expmoment
from normalforms.families.record import LimitFlow, Member, Rescaled
from normalforms.families.stability_flip import growing
from normalforms.forms.limits import (
    PITCHFORK,
    Elementary,
    Regimes,
    Scaling,
    abbreviations,
    above,
    below,
    log1p,
    near,
    plateau,
    sine,
    table,
)
from normalforms.forms.uniform import Bernoulli, Flow, Measured, bernoulli_flow, shift
from normalforms.formulas import symbols
from normalforms.maps import Map

__all__ = [
    "AT_ZERO",
    "CUBIC",
    "FLOW",
    "LOG",
    "MEASURED",
    "ORDERS",
    "cubic_flow",
    "cubic_scaling",
    "flow_error",
    "of_cubic",
    "regimes",
    "variables",
]

ORDERS = 4
MEASURED = Measured((0.45, 0.15, 0.04, 0.025, 0.02), "69/100", "73/50", ("1/9", "1/9"))
"""Past a multiplier of 3/2 the pitchfork's branch is approached in alternating jumps, which no flow has."""

_x, _y, _tau, _P, _n = symbols("x y tau P n")
CUBIC = (_P - _n**2 / 2) / (8 * _x**2)
"""``∫ (∂H/∂x)² dτ``."""
LOG = sp.log(1 + 2 * _y)
AT_ZERO = (sp.sinh(2 * LOG) - 2 * LOG) / (32 * _y**2)


def _limit_flow() -> LimitFlow:
    """``H = √y e^{xτ}/√D``, ``D = 1 + y (e^{2xτ} − 1)/x``, and two cases of Λ.

    ``∫ H² dτ = ½ ln D``. With ``b = y/x``, ``a = 1 − b`` and a teacher on its own branch the cross term is ``√y J``,
    ``J = ∫ H dτ = [asinh(√(b/a) e^x) − asinh √(b/a)]/√x`` for ``0 < y < x``, which continues to every other x.
    """
    D = 1 + 2 * _y * _tau * ExpMoment(0, 2 * _x * _tau)
    end, root = D.xreplace({_tau: sp.S.One}), sp.sqrt(_y / (_x - _y))
    J = sp.sqrt(_y) / (_x * sp.sqrt(_y / _x)) * (sp.asinh(root * sp.exp(_x)) - sp.asinh(root))
    closed = {
        "teacher at rest": sp.log(end) / 2,
        "teacher on its branch": _y - 2 * sp.sqrt(_y) * J + sp.log(end) / 2,
    }
    orbit = sp.sqrt(_y) * sp.exp(_x * _tau) * D ** sp.Rational(-1, 2)
    return LimitFlow(orbit, "H' = x H − H³", closed, sp.Rational(29, 3))


FLOW = _limit_flow()


def of_cubic(family: Map, c3: sp.Expr, sign: int, slope: sp.Expr) -> Rescaled:
    """``u' = ±λ u + c₃ u³`` behind ``u = h/√|c₃|``; of a subcritical point, the family with the other sign.

    Args:
        family: the supercritical member.
        c3: cubic coefficient.
        sign: that of the family's cubic term.
        slope: ``dλ/dm``.
    """
    if c3 * sign < 0:
        h, g = family.states[0], family.parameters[0]
        linear = family.steps[0].coeff(h, 1) * h
        family = Map(linear - sign * h**3, h, g, dict(family.critical), name=f"subcritical_{family.name}")
    return Rescaled(family, sp.sqrt(sp.Abs(c3)), slope**2 / sp.Abs(c3))


def cubic_flow(member: Member, order: int, stretch: sp.Expr, sign: sp.Expr = sp.S.One) -> Flow:
    """The orbit of ``sign·(g h − c h³)``, ``sign`` a function of ``t``."""
    g, h0, _ = member.inputs
    law = Bernoulli(g, 2, sp.S.One, member.coefficient * stretch**2 * h0**2, shift(2, sp.S.One, order))
    return bernoulli_flow(law, MEASURED, (g, h0), lambda s: h0 * s.root, sign)


def variables(member: Member, stretch: sp.Expr, gain: sp.Expr) -> tuple[sp.Expr, sp.Expr, sp.Expr]:
    """``x = T (g − 1)``, ``y = c T h0²`` and the prefactor ``T²/c``."""
    (g, h0, T), c = member.inputs, member.coefficient
    return T * (g - 1), c * T * (stretch * h0) ** 2, gain * T**2 / c


def flow_error(x: Any, y: Any) -> Any:
    """``3 + x² + |y|`` over the distance to the escape."""
    return (3 + x**2 + np.abs(y)) / near(1 + 2 * y * expmoment(0, 2 * x))


def cubic_scaling(member: Member, stretch: sp.Expr, gain: sp.Expr) -> Scaling:
    """The scaling function of ``±(g h − c h³)``."""
    return Scaling(
        *variables(member, stretch, gain),
        CUBIC,
        abbreviations(2 * _x),
        AT_ZERO,
        "Ψ = ∫ (∂H/∂x)² dτ over 0 ≤ τ ≤ 1 for H' = x H − H³, H(0)² = y: elementary functions and one"
        " dilogarithm; removable at x = 0 and y = x. For y < 0 it continues to H' = x H + H³, where it is −∫"
        " and ends with the escape at D = 0.",
        member.inputs,
        PITCHFORK,
        not member.coefficient.is_negative,
        flow_error,
    )


def regimes(member: Member, stretch: sp.Expr, gain: sp.Expr) -> Regimes:
    """``g h − c h³``, and with a twist the phase that the modulus drives."""
    (g, h0, T), c, twist = member.inputs, member.coefficient, member.twist
    size, sign = sp.Abs(c), sp.sign(c)
    h = sp.sqrt(size) * stretch * h0
    rest, tail = plateau(g, h, T)
    quartic = h**4 / (2 * (1 - g) ** 4)
    under = Elementary(rest, quartic + tail, "g < 1, T (1 − g) ≫ 1, h0² ≪ 1 − g", below)
    critical = _critical(g - 1, h, T, sign, twist)
    over = _escaping(g, h, T) if sign == -1 else _captured(g, h, T, twist)
    return table((under, critical, over), member.inputs, gain / size)


def _escaping(g: sp.Expr, h: sp.Expr, T: sp.Expr) -> Elementary:
    law = growing(g, h, T)
    saturation = law.expr * 3 * h**2 * g ** (2 * T) / (g - 1)
    sentence = "g > 1, T (g − 1) ≫ 1, before the escape: h0² g^{2T} ≪ g − 1"
    return Elementary(law.expr, law.error + saturation, sentence, above)


def _critical(mu: sp.Expr, h: sp.Expr, T: sp.Expr, sign: sp.Expr, twist: sp.Expr) -> Elementary:
    """``T² [U − 4w + twist² (U − 8u + 8/u + 12w)]/64y²``, ``U = u² − u⁻²``, ``w = ln u``, ``u = 1 + 2y``."""
    y = sign * T * h**2
    u, v = 1 + 2 * y, log1p(2 * y)
    M: Any = ExpMoment(0, v)
    w, double = sp.log(u), u**2 - u**-2
    expr = double - 4 * w + twist**2 * (double - 8 * u + 8 / u + 12 * w)
    expr = sign * T**2 * expr / (64 * y**2)
    # v = 2y/M: the quotient is regular at y = 0
    stable = 2 * sine(2 * v, 3) / M**3 + 8 * twist**2 * y**2 * (4 * sine(2 * v, 5) - sine(v, 5)) / M**5
    stable = sign * T**2 * y * stable
    error = 3 / T + 2 * T * sp.Abs(mu) + h**2
    return Elementary(expr, error, "T |g − 1| ≪ 1", None, stable)


def _captured(g: sp.Expr, h: sp.Expr, T: sp.Expr, twist: sp.Expr) -> Elementary:
    mu = g - 1
    L = sp.log(mu / h**2)
    expr = T / (4 * mu) + ((L - 1) ** 2 + sp.pi**2 / 3 - 2) / (16 * mu**2)
    error = (1 + L**2) / (2 * mu) + h**2 * (1 + sp.Abs(L)) / mu**3 + T * g ** (-2 * T) / h**2
    error += (1 + L**2) * g ** (-2 * T) / (16 * mu * h**2)  # the peak, as far as the orbit has not passed it
    if twist != 0:
        cubic = (2 * mu * T - 1) ** 3 - L**3 - 3 * L**2 / 2 - (sp.pi**2 - 3) * L - (sp.pi**2 + 1) / 2
        expr += twist**2 * cubic / (24 * mu**2)
        error += twist**2 * mu * T**2 * (1 + mu * T + sp.Abs(L))
    return Elementary(expr, error, "h0² ≪ g − 1 ≪ 1 and captured: g^{2T} h0² ≫ g − 1", above)
