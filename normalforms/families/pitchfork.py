"""``h' = g h − h³``: multiplier +1 and odd symmetry."""

from __future__ import annotations

import sympy as sp

from normalforms.families import cubic
from normalforms.families.record import Family, Member, Rescaled
from normalforms.families.units import critical_map, exact_number, one_term
from normalforms.forms.uniform import UniformLaw, check_order, uniform_law
from normalforms.maps import Map
from normalforms.reduction import NormalForm

__all__ = ["FAMILY", "pitchfork"]


def pitchfork() -> Map:
    """``h' = g h − h³``: multiplier +1, odd symmetry, branches ``±√(g − 1)``.

    >>> pitchfork().step
    g*h - h**3
    """
    return critical_map("pitchfork", lambda h, g: g * h - h**3)


def _reduced(form: NormalForm) -> Rescaled | None:
    if form.kind != "pitchfork":
        return None
    c = form.coefficients
    return cubic.of_cubic(pitchfork(), exact_number(c["c3"]), -1, exact_number(c["dlambda"]))


def _uniform(member: Member, order: int, stretch: sp.Expr, gain: sp.Expr) -> UniformLaw:
    order = check_order(order, cubic.ORDERS, "the pitchfork")
    return uniform_law(cubic.cubic_flow(member, order, stretch), gain * stretch**2)


FAMILY = Family(
    name="pitchfork",
    title="Pitchfork",
    build=pitchfork,
    recognise=one_term(1, 3),
    reduced=_reduced,
    uniform=_uniform,
    orders=cubic.ORDERS,
    measured=cubic.MEASURED,
    scaling=cubic.cubic_scaling,
    regimes=cubic.regimes,
    flow=cubic.FLOW,
    law_class="cubic",
    drawn="g h − h³",
)
