"""Exact amplification polynomials and series: polynomial arithmetic and the Kœnigs linearisation."""

from __future__ import annotations

from functools import cache

import sympy as sp

from normalforms.expansion import MAX_ORDER, Local

__all__ = ["check_order", "exact_polynomial", "series_expression"]

MAX_WHOLE = 300


def check_order(form: Local, horizon: int | None, order: int | None) -> int:
    """The order to which a law is built.

    Raises:
        ValueError: not an integer from 0 to 400, or a whole polynomial (``None``) that would explode.
    """
    if order is None and horizon is not None:
        degree = form.degree
        if degree is None:
            raise ValueError("order = None needs a polynomial map; give an order")
        if degree > 1 and degree**horizon > MAX_WHOLE:
            raise ValueError(
                f"the whole polynomial at horizon {horizon} has degree {2 * degree}**{horizon} in h0; give an order"
            )
        return 2 * degree**horizon
    if isinstance(order, bool) or not isinstance(order, int) or not 0 <= order <= MAX_ORDER:
        raise ValueError(f"order = {order!r} must be an integer from 0 to {MAX_ORDER}")
    return order


Row = dict[int, sp.Poly]


def _convolve(a: Row, b: Row, order: int) -> Row:
    out: Row = {}
    for i, u in a.items():
        for j, v in b.items():
            if i + j <= order:
                out[i + j] = out[i + j] + u * v if i + j in out else u * v
    return out


@cache
def exact_polynomial(form: Local, horizon: int, order: int) -> sp.Expr:
    """``A_T`` through ``x0**order`` for one horizon."""
    g = form.map.parameters[0]
    h0 = sp.Symbol("h0", real=True)
    moving = form.fixed_point.diff(g)
    top = order + 1 if moving != 0 else max(order - 1, 1)
    factors = {k: sp.Poly(form.coefficient(k), g) for k in form.powers(top)}
    one = sp.Poly(1, g)
    a, total = {1: one}, {}
    for _ in range(horizon):
        power, degree, new = a, 1, {}
        for k, f in factors.items():
            while degree < k:
                power, degree = _convolve(power, a, top), degree + 1
            for i, u in power.items():
                new[i] = new[i] + f * u if i in new else f * u
        a = new
        s = {k: u.diff(g) for k, u in a.items()}
        for k, u in _convolve(s, s, order).items():
            total[k] = total[k] + u if k in total else u
    return sp.Add(*(u.as_expr() * h0**k for k, u in total.items()))


def series_expression(form: Local, order: int) -> sp.Expr:
    """``A_T`` through ``x0**order`` in symbolic ``T``."""
    raise ValueError("no closed form yet")
