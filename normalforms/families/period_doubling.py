"""``h' = −g h + h³``: multiplier −1."""

from __future__ import annotations

import sympy as sp

from normalforms.families import cubic
from normalforms.families.record import Family, Member, Rescaled
from normalforms.families.units import critical_map, exact_number, monomials, one_term
from normalforms.forms.uniform import UniformLaw, check_order, uniform_law
from normalforms.formulas import symbols
from normalforms.maps import Map
from normalforms.reduction import NormalForm

__all__ = ["FAMILY", "period_doubling"]

_ROUNDING = sp.Float(1e-14)


def period_doubling() -> Map:
    """``h' = −g h + h³``: multiplier −1; the pitchfork with ``h_t → (−1)^t h_t``.

    >>> period_doubling().step
    -g*h + h**3
    """
    return critical_map("period_doubling", lambda h, g: -g * h + h**3)


def _reduced(form: NormalForm) -> Rescaled | None:
    """``u' = −g u + c₂ u² + (c₃ − c₂²) u³``, whose cubic coefficient is ``c₃`` once the quadratic term is removed."""
    if form.kind != "period_doubling":
        return None
    c2, c3, slope = (exact_number(form.coefficients[name]) for name in ("c2", "c3", "dlambda"))
    if c2**2 <= _ROUNDING**2 * sp.Abs(c3):
        return cubic.of_cubic(period_doubling(), c3, 1, slope)
    rest = c3 / c2**2 - 1
    rest = sp.Rational(float(rest)) if rest.has(sp.Float) else sp.nsimplify(rest)
    family = critical_map("period_doubling_with_quadratic_term", lambda h, g: -g * h + h**2 + rest * h**3)
    return Rescaled(family, c2, slope**2 / c2**2)


def _limit(m: Map) -> Rescaled | None:
    """``−g h + a h² + b h³``: the quadratic term leaves ``b + a²`` in the limit."""
    terms = monomials(m)
    if terms is None or terms.get((1, 1)) != -1 or (2, 0) not in terms or terms.keys() - {(1, 1), (2, 0), (3, 0)}:
        return None
    return cubic.of_cubic(period_doubling(), terms.get((3, 0), sp.S.Zero) + terms[2, 0] ** 2, 1, sp.S.One)


def _uniform(member: Member, order: int, stretch: sp.Expr, gain: sp.Expr) -> UniformLaw:
    order = check_order(order, cubic.ORDERS, "the period doubling")
    return uniform_law(cubic.cubic_flow(member, order, stretch, (-1) ** symbols("t")), gain * stretch**2)


FAMILY = Family(
    name="period_doubling",
    title="Period doubling",
    build=period_doubling,
    recognise=one_term(-1, 3),
    reduced=_reduced,
    limit=_limit,
    uniform=_uniform,
    orders=cubic.ORDERS,
    measured=cubic.MEASURED,
    scaling=cubic.cubic_scaling,
    regimes=cubic.regimes,
    flow=cubic.FLOW,
    law_class="cubic",
    drawn="−g h + h³",
)
