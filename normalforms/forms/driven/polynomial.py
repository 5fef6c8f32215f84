"""``E A_T`` of a polynomial map as a polynomial with exact coefficients, for one horizon.

The backward recursion of `normalforms.forms.driven.expectation` on polynomials in ``(u, σ)`` with coefficients in
``Q[g]``: ``E (f + σξ)^k = Σ_j C(k, j) f^{k−j} σ^j E ξ^j``. With an order, terms beyond that joint degree are dropped at
every step, which drops nothing that could come back: no step lowers the degree where ``h = 0`` is a fixed point.
"""

from __future__ import annotations

from typing import Any

import sympy as sp

from normalforms.forms.driven.inputs import Constant, Input, White, exact_number, law_moment
from normalforms.formulas import Formula, symbols
from normalforms.maps import Map

__all__ = ["exact_polynomial"]

_LARGEST = 3**4


def exact_polynomial(m: Map, noise: Input, horizon: int, order: int | None) -> Formula:
    """``E A_T`` in ``g`` and ``h0``; see `DrivenLaw.exact`.

    Args:
        m: a scalar polynomial map with rational coefficients.
        noise: `White` of any law, or a fixed `Constant`, in the map's units.
        horizon: steps.
        order: highest joint degree in ``h0`` and the input; ``None`` for all.
    """
    u, g = m.states[0], m.parameters[0]
    if isinstance(noise, White):
        size, moment = exact_number(noise.sigma, "sigma"), lambda j: law_moment(noise.law, j)
    elif isinstance(noise, Constant) and noise.law == "fixed":
        size, moment = exact_number(noise.b, "b"), lambda j: sp.Integer(1)
    else:
        raise ValueError(f"{noise} has no exact polynomial here; White and fixed Constant inputs have")
    step = m.steps[0]
    if not step.is_polynomial(u, g) or not all(c.is_rational for c in sp.Poly(step, u, g).coeffs()):
        raise ValueError(f"the map {step} is no polynomial with rational coefficients, and has no exact law")
    degree = int(sp.degree(step, u))
    if order is None and degree**horizon > _LARGEST:
        raise ValueError(f"the whole polynomial of degree {2 * degree**horizon} is too large; give an order")
    if order is not None and (isinstance(order, bool) or not isinstance(order, int) or not 1 <= order <= 40):
        raise ValueError(f"order = {order!r} must be an integer from 1 to 40")
    if order is not None and step.subs(u, 0) != 0:
        raise ValueError("h = 0 is no fixed point of this map, so no order can be cut; leave order out")
    ring, _, _, s = sp.ring("u,g,s", sp.QQ)
    made = lambda e: ring.from_expr(sp.expand(e.subs({u: sp.Symbol("u"), g: sp.Symbol("g")})))  # noqa: E731
    f, f_h, f_g = made(step), made(step.diff(u)), made(step.diff(g))

    def cut(a: Any) -> Any:
        return a if order is None else ring.from_dict({k: c for k, c in a.items() if k[0] + k[2] <= order})

    powers = [ring.one]

    def mean(a: Any) -> Any:
        by_power: dict[int, Any] = {}
        for (k, n, j), c in a.items():
            by_power.setdefault(k, {})[0, n, j] = c
        total = ring.zero
        for k, coefficient in by_power.items():
            while len(powers) <= k:
                powers.append(cut(powers[-1] * f))
            kicked = ring.zero
            for j in range(k + 1):
                if moment(j) != 0:
                    kicked += powers[k - j] * s**j * sp.QQ(int(sp.binomial(k, j))) * sp.QQ.from_sympy(moment(j))
            total += cut(cut(kicked) * ring.from_dict(coefficient))
        return total

    a, b, c = ring.zero, ring.zero, ring.zero
    for _ in range(horizon):
        ahead, cross = mean(a) + 1, mean(b)
        c = cut(f_g**2 * ahead + f_g * cross) + mean(c)
        a, b = cut(f_h**2 * ahead), cut(2 * f_h * f_g * ahead + f_h * cross)
    h0, parameter = symbols("h0 g")
    expr = sp.expand(c.as_expr(h0, parameter, size))
    return Formula(expr, (parameter, h0))
