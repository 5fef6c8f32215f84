"""Implicit uniform law of the cusp ``h' = h + F(h)``, ``F(x) = β + μ x − x³``, ``μ = g − 1``.

The orbit is that of the vector field whose flow over one step is the map, so that ``h_t`` solves

    Σ_i w(F'(x_i)) ln (h_t − x_i)/(h0 − x_i) + R(h_t) − R(h0) = t,   F(x_i) = 0:

partial fractions over the three roots, with ``w(m) = 1/m``, ``1/m + ½`` and ``1/m + ½ − m/12`` at orders 0, 1 and 2
(the expansion of the exact ``1/ln(1 + m)``), and ``R = ⅝ x²`` from order 2 on. The equation has no explicit solution
and its terms are singular where roots meet; their sum is not. It is the integral of a smooth function, and the
program solves it so, from one step to the next, which is accurate and smooth throughout.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import sympy as sp
from sympy.integrals.quadrature import gauss_legendre

from normalforms.formulas import Assignments, Carry, Domain, Program, symbols
from normalforms.maps import Map

__all__ = ["CUSP_ORDERS", "domain", "orbit", "products", "relation"]

CUSP_ORDERS = (0, 1, 2)
ERRORS = (0.8, 0.08, 0.03)
"""Largest relative error of A in the domain, by order."""
_NODES, _STEPS = 6, 3
"""Gauss nodes of the integral over one step, and Newton steps for its end."""
_half, _twelfth = sp.Rational(1, 2), sp.Rational(1, 12)

_x = sp.Symbol("x")


def _field(m: Map) -> sp.Expr:
    beta, g = m.parameters
    return beta + (g - 1) * _x - _x**3


def relation(m: Map, order: int) -> sp.Eq:
    """The equation that ``h_t`` solves, in ``h_t``, the parameters, ``h0`` and ``t``."""
    F, (h0, t), h = _field(m), symbols("h0 t"), sp.Symbol("h_t")
    slope = F.diff(_x)
    weight = sp.Add(*(1 / slope, _half, -slope / 12)[: order + 1])
    logarithm = sp.log((h - _x) / (h0 - _x))
    total = sp.RootSum(sp.Poly(-F, _x), sp.Lambda(_x, weight * logarithm), auto=False)
    return sp.Eq(total + (sp.Rational(5, 8) * (h**2 - h0**2) if order == 2 else 0), t)


def _step(m: Map, order: int) -> Program:
    """The program of one carry ``h`` over a symbolic number of steps."""
    h, h0, t, k = sp.Symbol("h", real=True), *symbols("h0 t"), sp.Symbol("k", integer=True, positive=True)
    F = _field(m)
    f0, f1, f2 = (sp.Symbol(f"f{j}", real=True) for j in range(3))
    body: list[tuple[sp.Symbol, sp.Expr]] = [(s, F.diff(_x, j).subs(_x, h)) for j, s in enumerate((f0, f1, f2))]
    nodes, weights = gauss_legendre(_NODES, 30)

    def density(s: sp.Expr, name: str) -> sp.Expr:
        """``F(h)/F̃`` at ``h + s F(h)``; ``F`` over ``F(h)`` is a polynomial, right also at a fixed point."""
        ratio = 1 + s * (f1 + s * f0 * (f2 / 2 - s * f0))
        slope = f1 + s * f0 * (f2 - 3 * s * f0)
        value = sp.Add(*(sp.Integer(1), slope / 2, -(slope**2) * _twelfth)[: order + 1]) / ratio
        if order == 2:
            value = value - f0 * (f2 - 6 * s * f0) * _twelfth
        symbol = sp.Symbol(name, real=True)
        body.append((symbol, value))
        return symbol

    q: sp.Expr = sp.Integer(1)
    for i in range(_STEPS):
        parts = [w * density(q * (1 + z) / 2, f"p{i}_{j}") for j, (z, w) in enumerate(zip(nodes, weights, strict=True))]
        late, rate = q * sp.Add(*parts) / 2 - 1, density(q, f"p{i}_end")
        symbol = sp.Symbol(f"q{i}", real=True)
        body.append((symbol, q - late / rate))
        q = symbol
    following = sp.Symbol("h_next", real=True)
    body.append((following, h + q * f0))
    return Program(
        (*m.parameters, h0, t), (h,), carries=(Carry(h, h0, following),), body=tuple(body), counter=k, horizon=t
    )


def orbit(m: Map, order: int) -> Program:
    """The program of ``h_t``."""
    return _step(m, order)


def products(m: Map, order: int) -> Mapping[str, Program]:
    """Programs of ``Σ_t ∂_a h_t ∂_b h_t`` for the pairs of parameters, and of the top eigenvalue of their matrix."""
    plain, T = _step(m, order), symbols("T")
    following = plain.carries[0].update
    runs = [plain.with_tangents(p) for p in m.parameters]
    body: dict[sp.Symbol, sp.Expr] = {}
    carries: dict[sp.Symbol, Carry] = {}
    for program, _ in runs:
        body.update(program.body)
        carries.update({c.symbol: c for c in program.carries})
    slopes = [tangents[following] for _, tangents in runs]
    sums = {}
    for i, j in ((0, 0), (0, 1), (1, 1)):
        sums[i, j] = sp.Symbol(f"A{i}{j}", real=True)
        carries[sums[i, j]] = Carry(sums[i, j], sp.Integer(0), sums[i, j] + slopes[i] * slopes[j])
    a, b, d = sums[0, 0], sums[0, 1], sums[1, 1]
    top = (a + d) / 2 + sp.sqrt(((a - d) / 2) ** 2 + b**2)
    assigned: Assignments = tuple(body.items())
    return {
        name: Program(
            (*plain.inputs[:-1], T),
            (result,),
            carries=tuple(carries.values()),
            body=assigned,
            counter=plain.counter,
            horizon=T,
        )
        for name, result in (("top", top), ("00", a), ("01", b), ("11", d))
    }


def domain(order: int) -> Domain:
    """Where the law was measured, and the largest relative error of A there."""

    def holds(beta: Any, g: Any, h0: Any, horizon: Any) -> Any:
        return (np.abs(beta) <= 0.05) & (g >= 0.8) & (g <= 1.2) & (np.abs(h0) <= 0.3)

    return Domain(
        "|beta| ≤ 1/20, 4/5 ≤ g ≤ 6/5, |h0| ≤ 3/10; an implicit law, relative error of A up to"
        f" {ERRORS[order]:g} there, O(T^-{order + 1}) at fixed scaled variables",
        holds,
    )
