"""Uniform law of the saddle-node.

In the units where the quadratic coefficient is 1, with ``ν`` the distance of the parameter from the fold,

    x(σ) = D'(σ)/D(σ),   D(σ) = cosh √ν σ + x₀ sinh(√ν σ)/√ν,
    η σ − 2K ln D(σ) + R(x(σ)) − R(x₀) = t,   R(x) = r₁ x + … + r_n xⁿ:

the flow ``ẋ = ν − x²`` with the exact branches ``±√ν``, at a shifted time. ``η, K, r_j`` are analytic functions of
``ν`` (`normalforms.forms.uniform.matching`). Order p has n = p − 1, and order 0 is ``σ = t``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import sympy as sp

from normalforms.exact import Clifford
from normalforms.forms.uniform.flow import Block
from normalforms.forms.uniform.matching import Approximant, Nodes
from normalforms.formulas import Equations, horner, symbols

__all__ = ["FOLD_NODES", "Arrived", "Fold"]

STEPS = 4
"""Newton steps from ``σ = t``; see `normalforms.forms.uniform.bernoulli.STEPS`."""

_Q = sp.Rational
FOLD_NODES: dict[int, Nodes] = {
    1: ((_Q(1, 2), _Q(15), _Q(-250), _Q(220)),),
    2: ((), (_Q(9, 16),)),
    3: ((_Q(1, 16),), (_Q(9, 16),)),
    4: ((), (_Q(4, 25),), (_Q(9, 16),)),
}
"""Squares of the states where Abel's equation is met, in ``ν``, by order. Any choice has the same order; these balance
the error over −.01 ≤ ν ≤ .05 and |x| ≤ .1."""


class Arrived(NamedTuple):
    """The flow at the shifted time: the state ``x``, ``D`` over its first term, and what Newton's last step had left of
    Abel's equation."""

    x: sp.Expr
    left: sp.Expr
    late: sp.Expr


@dataclass(frozen=True)
class Fold:
    """The saddle-node's flow at a shifted time.

    Args:
        nu: ``ν``, an expression of the parameter.
        start: ``x₀``.
        shift: ``η, K, r_1 … r_{p−1}`` as functions of ``across``; none at order 0.
        across: the parameter, or its distance from the fold; ``ν`` by default.
    """

    nu: sp.Expr
    start: sp.Expr
    shift: tuple[Approximant, ...]
    across: sp.Expr | None = None

    @property
    def order(self) -> int:
        """p."""
        return max(len(self.shift) - 1, 0)

    def assigned(self, prelude: Block, solve: Block, body: Block) -> Arrived:
        """The flow after the assignments before the loop over ``t`` and inside it."""
        t = symbols("t")
        nu, start = prelude("nu", self.nu), prelude("start", self.start)
        across = nu if self.across is None else self.across

        def at(sigma: sp.Expr, i: int, block: Block) -> tuple[sp.Symbol, sp.Symbol, sp.Symbol]:
            z = block(f"z{i}", nu * sigma**2)
            even, odd = block(f"even{i}", Clifford(-1, z)), block(f"odd{i}", sigma * Clifford(0, z))
            d = block(f"d{i}", even + start * odd)
            return block(f"x{i}", (start * even + nu * odd) / d), d, even

        if not self.shift:
            x, d, even = at(t, 0, body)
            return Arrived(x, d / even, sp.S.Zero)
        eta, K, *r = (prelude(f"shift{i}", a.at(across)) for i, a in enumerate(self.shift))
        offset = prelude("offset", horner([0, *r], start)) if r else sp.Integer(0)
        sigma: sp.Expr = t
        late: sp.Expr = sp.S.Zero
        for i in range(STEPS):
            block = solve if i < STEPS - 1 else body
            x, d, _ = at(sigma, i, block)
            late = eta * sigma - 2 * K * sp.log(d) + horner([0, *r], x) - offset - t
            slope = eta - 2 * K * x + horner([j * c for j, c in enumerate(r, 1)], x) * (nu - x**2)
            sigma = block(f"sigma{i}", sigma - late / slope)
        x, d, even = at(sigma, STEPS, body)
        return Arrived(x, d / even, late)

    def explicit(self) -> sp.Expr:
        """``x(σ)`` in ``g``, ``t`` and ``x₀``: Newton's steps are substitutions inside one another."""
        (sigma, t), nu, start = symbols("sigma t"), self.nu, self.start
        root = sp.sqrt(nu)

        def at(sigma: sp.Expr) -> tuple[sp.Expr, sp.Expr]:
            even, odd = sp.cosh(root * sigma), sp.sinh(root * sigma) / root
            d = even + start * odd
            return (start * even + nu * odd) / d, d

        if not self.shift:
            return at(t)[0]
        eta, K, *r = (a.at(nu if self.across is None else self.across) for a in self.shift)
        x, d = at(sigma)
        late = eta * sigma - 2 * K * sp.log(d) + horner([0, *r], x) - horner([0, *r], start) - t
        slope = eta - 2 * K * x + horner([j * c for j, c in enumerate(r, 1)], x) * (nu - x**2)
        point: sp.Expr = t
        for _ in range(STEPS):
            point = sp.Subs(sigma - late / slope, sigma, point)
        return sp.Subs(x, sigma, point)

    def equations(self) -> Equations:
        """The law in print, with ``σ`` where it is not ``t``."""
        if not self.shift and self.across is None:
            return ()
        t, sigma, x = symbols("t sigma x")
        sigma = sigma if self.shift else t
        D, x0, nu, eta, K = (sp.Symbol(n) for n in ("D", "x_0", "nu", "eta", "K"))
        r, R, root = [sp.Symbol(f"r_{j}") for j in range(1, self.order)], sp.Function("R"), sp.sqrt(nu)
        lhs = eta * sigma - 2 * K * sp.log(D) + (R(x) - R(x0) if r else 0)
        d = sp.cosh(root * sigma) + x0 * sp.sinh(root * sigma) / root
        lines = [(x, sp.diff(d, sigma) / D), (D, d), (lhs, t), (x0, self.start), (nu, self.nu)]
        if not self.shift:
            lines.pop(2)
        if r:
            lines.append((R(x), sp.Add(*(c * x**j for j, c in enumerate(r, 1)))))
        across = nu if self.across is None else sp.Symbol("mu")
        return (*lines, *((c, a.leading(across)) for c, a in zip((eta, K, *r), self.shift, strict=False)))
