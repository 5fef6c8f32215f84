"""Uniform laws whose flow is Bernoulli's: pitchfork, period doubling, Neimark–Sacker, transcritical.

With ``u`` the state (k = 1) or its square (k = 2), in the units where the nonlinear coefficient is 1, and ``v`` the
fixed point that meets 0 at the bifurcation,

    u(σ) = u₀ g^{kσ}/D(σ),   D(σ) = 1 + u₀ (g^{kσ} − 1)/v,
    σ − κ ln D(σ) + R(u(σ)) − R(u₀) = t,   R(u) = r₁ u + … + r_n u^n:

a Bernoulli flow, with the exact multiplier at 0 and the exact branch, at a shifted time. The coefficients, analytic
functions of ``g``, come from Abel's equation (`normalforms.uniform_matching`); ``σ`` by Newton's method from ``t``.
Order p has n = p − 1, and order 0 is ``σ = t``; the relative error of order p is O(T^{−(p+1)}).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import sympy as sp

from normalforms.codegen import horner
from normalforms.formula import symbols
from normalforms.special import ExpMoment
from normalforms.uniform_flow import Block, Equations
from normalforms.uniform_matching import Approximant

__all__ = ["Bernoulli", "Shifted"]

STEPS = 4
"""Newton steps from ``σ = t``; the last one changes σ by rounding only, inside the laws' domains, and is there for
its derivative: at the root that of one step is exact, whatever the step started from."""


@dataclass(frozen=True)
class Shifted:
    """What a state is made of at one time: symbols of the program, or expressions to read.

    Args:
        ratio: ``u(σ)/u₀``.
        root: its square root.
        log: ``ln D(σ)``.
        u: ``u(σ)``.
        start: ``u₀``.
    """

    ratio: sp.Expr
    root: sp.Expr
    log: sp.Expr
    u: sp.Expr
    start: sp.Expr


@dataclass(frozen=True)
class Bernoulli:
    """A Bernoulli flow at a shifted time.

    Args:
        growth: modulus of the multiplier at 0, an expression of the parameter, 1 at the bifurcation.
        power: k.
        branch: ``v/(growth − 1)``, which does not vanish there.
        start: ``u₀``.
        shift: ``κ, r_1 … r_n`` as functions of ``growth − 1``; none at order 0.
    """

    growth: sp.Expr
    power: int
    branch: sp.Expr
    start: sp.Expr
    shift: tuple[Approximant, ...]

    def assigned(self, prelude: Block, solve: Block, body: Block) -> Shifted:
        """The assignments before the loop over ``t`` and inside it: all but the last of Newton's steps, and the rest.

        Exponents are never positive: ``1 − up`` or ``up`` switches each of the two exponentials off.
        """
        t, m = symbols("t"), self.growth - 1
        rate = prelude("rate", self.power * sp.log(self.growth))
        up = prelude("up", sp.Piecewise((1, self.growth > 1), (0, True)))
        width = prelude("width", self.power / (ExpMoment(0, sp.log(self.growth)) * self.branch))
        start = prelude("start", self.start)

        def at(sigma: sp.Expr, i: int, block: Block) -> Shifted:
            z = block(f"z{i}", rate * sigma)
            d = block(f"d{i}", sp.exp(-up * z) + start * width * sigma * ExpMoment(0, (1 - 2 * up) * z))
            ratio = sp.exp((1 - up) * z) / d
            # the square root of a ratio that underflows has no derivative; that of its parts has
            return Shifted(ratio, sp.exp((1 - up) * z / 2) / sp.sqrt(d), sp.log(d) + up * z, start * ratio, start)

        if not self.shift:
            return at(t, 0, body)
        kappa, *r = (prelude(f"shift{i}", a.at(m)) for i, a in enumerate(self.shift))
        other, offset = prelude("other", m * self.branch), prelude("offset", horner([0, *r], start))
        sigma: sp.Expr = t
        for i in range(STEPS):
            block = solve if i < STEPS - 1 else body
            now = at(sigma, i, block)
            u = block(f"u{i}", now.u)
            late = sigma - kappa * now.log + horner([0, *r], u) - offset - t
            slope = 1 + width * u * (horner([j * c for j, c in enumerate(r, 1)], u) * (other - u) - kappa)
            sigma = block(f"sigma{i}", sigma - late / slope)
        return at(sigma, STEPS, body)

    def written(self, sigma: sp.Expr) -> Shifted:
        """The flow at time ``sigma`` as expressions to read."""
        power = self.growth ** (self.power * sigma)
        d = 1 + self.start * (power - 1) / ((self.growth - 1) * self.branch)
        root = self.growth ** (self.power * sigma / 2) / sp.sqrt(d)
        return Shifted(power / d, root, sp.log(d), self.start * power / d, self.start)

    def explicit(self, build: Callable[[Shifted], sp.Expr]) -> sp.Expr:
        """``build`` of the law in ``g``, ``t`` and ``u₀``: Newton's steps are substitutions inside one another."""
        sigma, t, m = *symbols("sigma t"), self.growth - 1
        if not self.shift:
            return build(self.written(t))
        kappa, *r = (a.at(m) for a in self.shift)
        now, width = self.written(sigma), self.power * sp.log(self.growth) / (m * self.branch)
        late = sigma - kappa * now.log + horner([0, *r], now.u) - horner([0, *r], self.start) - t
        bend = horner([j * c for j, c in enumerate(r, 1)], now.u) * (m * self.branch - now.u) - kappa
        newton = sigma - late / (1 + width * now.u * bend)
        point: sp.Expr = t
        for _ in range(STEPS):
            point = sp.Subs(newton, sigma, point)
        return sp.Subs(build(now), sigma, point)

    def equations(self) -> Equations:
        """The law in print, with ``σ`` where it is not ``t``."""
        if not self.shift:
            return ()
        t, sigma, u, D, u0 = *symbols("t sigma u"), sp.Symbol("D"), sp.Symbol("u_0")
        kappa, r = sp.Symbol("kappa"), [sp.Symbol(f"r_{j}") for j in range(1, len(self.shift))]
        power, g = self.growth ** (self.power * sigma), self.growth
        R = sp.Function("R")
        lhs = sigma - kappa * sp.log(D) + (R(u) - R(u0) if r else 0)
        lines = [(u, u0 * power / D), (D, 1 + u0 * (power - 1) / ((g - 1) * self.branch)), (lhs, t), (u0, self.start)]
        if r:
            lines.append((R(u), sp.Add(*(c * u**j for j, c in enumerate(r, 1)))))
        mu = sp.Symbol("mu")
        lines += [(c, a.leading(mu)) for c, a in zip((kappa, *r), self.shift, strict=True)]
        return (*lines, (mu, g - 1))
