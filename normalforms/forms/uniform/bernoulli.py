"""Uniform laws whose flow is Bernoulli's: pitchfork, period doubling, Neimark–Sacker, transcritical.

With ``u`` the state (k = 1) or its square (k = 2), in the units where the nonlinear coefficient is 1, and ``v`` the
fixed point that meets 0 at the bifurcation,

    u(σ) = u₀ g^{kσ}/D(σ),   D(σ) = 1 + u₀ (g^{kσ} − 1)/v,
    σ − κ ln D(σ) + R(u(σ)) − R(u₀) = t,   R(u) = r₁ u + … + r_n u^n:

a Bernoulli flow, with the exact multiplier at 0 and the exact branch, at a shifted time. The coefficients, analytic
functions of ``g``, come from Abel's equation (`normalforms.forms.uniform.matching`); ``σ`` by steps of Chebyshev's and
Newton's from ``t``. Order p has n = p − 1, and order 0 is ``σ = t``; the relative error of order p is O(T^{−(p+1)}).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import sympy as sp

from normalforms.exact import ExpMoment
from normalforms.forms.uniform.flow import Block
from normalforms.forms.uniform.matching import Approximant
from normalforms.formulas import Equations, horner, symbols

__all__ = ["Bernoulli", "Shifted"]

STEPS = 2
"""Chebyshev's steps, of third order, from ``σ = t``: inside the laws' domains they leave 1e-6 of ``σ``. One of Newton's
takes that to rounding, and another is there for its derivative: at the root that is exact, whatever it started from."""


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

    def later(self, shift: sp.Expr, rate: sp.Expr, growth: sp.Expr) -> Shifted:
        """What it is after a small ``shift`` in time, to first order; ``rate = d ln u/dσ``, ``growth = d ln D/dσ``."""
        grown = 1 + rate * shift
        return Shifted(
            self.ratio * grown,
            self.root * (1 + rate * shift / 2),
            self.log + growth * shift,
            self.u * grown,
            self.start,
        )


@dataclass(frozen=True)
class _Clock:
    """``σ − κ ln D + R(u) − R(u₀) − t``, which vanishes at the shifted time, and its derivatives along the flow.

    Args:
        kappa: ``κ``.
        r: ``r_1 … r_n``.
        width: ``d ln u/dσ = width (other − u)``.
        other: ``v``.
        offset: ``R(u₀)``.
    """

    kappa: sp.Expr
    r: tuple[sp.Expr, ...]
    width: sp.Expr
    other: sp.Expr
    offset: sp.Expr

    def late(self, sigma: sp.Expr, u: sp.Expr, log: sp.Expr, t: sp.Expr) -> sp.Expr:
        return sigma - self.kappa * log + horner([0, *self.r], u) - self.offset - t

    def slope(self, u: sp.Expr) -> sp.Expr:
        return 1 + self.width * u * self._bend(u)

    def newton(self, sigma: sp.Expr, u: sp.Expr, log: sp.Expr, t: sp.Expr) -> sp.Expr:
        """Newton's step."""
        return -self.late(sigma, u, log, t) / self.slope(u)

    def chebyshev(self, sigma: sp.Expr, u: sp.Expr, log: sp.Expr, t: sp.Expr) -> sp.Expr:
        """``n (1 − n L''/(2 L'))`` with Newton's ``n = −L/L'``."""
        gap, newton = self.other - u, self.newton(sigma, u, log, t)
        second = horner([j * (j - 1) * c for j, c in enumerate(self.r[1:], 2)], u)
        curve = self.width**2 * u * gap * (self._bend(u) + u * (second * gap - self._first(u)))
        return newton * (1 - newton * curve / (2 * self.slope(u)))

    def _first(self, u: sp.Expr) -> sp.Expr:
        return horner([j * c for j, c in enumerate(self.r, 1)], u)

    def _bend(self, u: sp.Expr) -> sp.Expr:
        return self._first(u) * (self.other - u) - self.kappa


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
        """The assignments before the loop over ``t`` and inside it: the steps to the root, and the rest.

        Exponents are never positive; ``up`` and ``down`` switch the one or the other off.
        """
        t, m = symbols("t"), self.growth - 1
        up = prelude("up", sp.Piecewise((1, self.growth > 1), (0, True)))
        down = prelude("down", 1 - up)  # by name: what is added to 1 − up is smaller than the rounding of 1
        speed = prelude("speed", (2 * up - 1) * self.power * sp.log(self.growth))
        width = prelude("width", self.power / (ExpMoment(0, sp.log(self.growth)) * self.branch))
        start = prelude("start", self.start)

        def at(sigma: sp.Expr, i: int, block: Block) -> Shifted:
            a = block(f"a{i}", speed * sigma)
            e = block(f"e{i}", sp.exp(-a))
            d = block(f"d{i}", down + up * e + start * width * sigma * ExpMoment(0, -a))
            ratio = (up + down * e) / d
            # the square root of a ratio that underflows has no derivative; that of its parts has
            root = (up + down * sp.exp(-a / 2)) / sp.sqrt(d)
            return Shifted(ratio, root, sp.log(d) + up * a, start * ratio, start)

        if not self.shift:
            return at(t, 0, body)
        powers = prelude.powers("m", m, max(a.degree for a in self.shift))
        kappa, *r = (a.assigned(f"shift{i}", powers, prelude) for i, a in enumerate(self.shift))
        other, offset = prelude("other", m * self.branch), prelude("offset", horner([0, *r], start))
        clock = _Clock(kappa, tuple(r), width, other, offset)
        sigma: sp.Expr = t
        for i in range(STEPS + 1):
            now = at(sigma, i, solve)
            u = solve(f"u{i}", now.u)
            step = clock.chebyshev if i < STEPS else clock.newton
            sigma = solve(f"sigma{i}", sigma + step(sigma, u, now.log, t))
        now = at(sigma, STEPS + 1, body)
        u = body("u", now.u)
        slope, growth = body.still("slope", clock.slope(u)), body.still("growth", width * u)
        rate = body.still("rate", width * (other - u))
        shift = body("shift", -clock.late(sigma, u, now.log, t) / slope)
        return replace(now, u=u).later(shift, rate, growth)

    def written(self, sigma: sp.Expr) -> Shifted:
        """The flow at time ``sigma`` as expressions to read."""
        power = self.growth ** (self.power * sigma)
        d = 1 + self.start * (power - 1) / ((self.growth - 1) * self.branch)
        root = self.growth ** (self.power * sigma / 2) / sp.sqrt(d)
        return Shifted(power / d, root, sp.log(d), self.start * power / d, self.start)

    def explicit(self, build: Callable[[Shifted], sp.Expr]) -> sp.Expr:
        """``build`` of the law in ``g``, ``t`` and ``u₀``: the steps are substitutions inside one another."""
        sigma, t, m = *symbols("sigma t"), self.growth - 1
        if not self.shift:
            return build(self.written(t))
        kappa, *r = (a.at(m) for a in self.shift)
        other, width = m * self.branch, self.power * sp.log(self.growth) / (m * self.branch)
        now, clock = self.written(sigma), _Clock(kappa, tuple(r), width, other, horner([0, *r], self.start))
        point: sp.Expr = t
        for step in (*[clock.chebyshev] * STEPS, clock.newton):
            point = sp.Subs(sigma + step(sigma, now.u, now.log, t), sigma, point)
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
