"""Exact laws: the linear family in symbolic ``T``, and polynomial maps for one horizon.

``u_{t+1} = g u_t + x_t`` is a superposition of pulses, each an initial state with the horizon that is left:

    E A_T = h0² F_T + Σ_{j,k<T} (T − max(j,k)) j k g^{j+k−2} c(j−k),   F_T = Σ_{t≤T} t² g^{2(t−1)},

where ``c`` is the covariance of the input. The programs are recursions on second moments, sums of positive terms for
white noise, so that the removable poles at ``g² = 1`` are never met.

For a polynomial map it is the backward recursion of `normalforms.forms.driven.expectation` on polynomials in ``(u, σ)``
with coefficients in ``Q[g]``: ``E (f + σξ)^k = Σ_j C(k, j) f^{k−j} σ^j E ξ^j``. With an order, terms beyond that joint
degree are dropped at every step, which drops nothing that could come back: no step lowers the degree where ``h = 0`` is
a fixed point.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import sympy as sp

from normalforms.forms.driven.inputs import Autoregressive, Constant, Input, Sinusoid, White, exact_number, law_moment
from normalforms.formulas import EVERYWHERE, Carry, Formula, Lazy, Program, symbols
from normalforms.maps import Map

__all__ = [
    "autoregressive_sum",
    "constant_sum",
    "exact_polynomial",
    "linear_law",
    "settled",
    "sinusoid_sum",
    "white_sum",
]

_g, _h0, _T, _t = symbols("g h0 T t")
_sigma, _rho, _b, _a, _omega, _phi = symbols("sigma rho b a omega phi")
_q = _g**2
_LARGEST = 3**4
_A, _F, _N, _u, _s, _v, _w = symbols("A F N u s v w")


def _power_sum(k: int, r: sp.Expr) -> sp.Expr:
    """``Σ_{t=1}^T t^k r^t`` for k = 0, 1, 2, singular to the eye at ``r = 1``."""
    if k == 0:
        return r * (1 - r**_T) / (1 - r)
    if k == 1:
        return r * (1 - (_T + 1) * r**_T + _T * r ** (_T + 1)) / (1 - r) ** 2
    last = (_T + 1) ** 2 - (2 * _T**2 + 2 * _T - 1) * r + _T**2 * r**2
    return r * (1 + r - r**_T * last) / (1 - r) ** 3


def _initial() -> sp.Expr:
    """``F_T(q) = Σ_{t=1}^T t² q^{t−1}``, ``q = g²``."""
    return sp.expand(_power_sum(2, _q) / _q * (1 - _q) ** 3) / (1 - _q) ** 3


def _pulses() -> sp.Expr:
    """``G_T(q) = Σ_{n=1}^{T−1} F_n = Σ_{k=1}^{T−1} (T − k) k² q^{k−1}``, with a removable pole of order 4 at q = 1."""
    c = 1 + 4 * _q + _q**2
    tail = c + 2 * _T * (1 - _q**2) + _T**2 * (1 - _q) ** 2
    return (_T * (1 - _q**2) - c + _q**_T * tail) / (1 - _q) ** 4


def white_sum() -> Formula:
    """``E A_T = h0² F_T(g²) + σ² G_T(g²)`` of ``g, h0, σ, T``: white noise of any law.

    ``F_T(q) = Σ_{t≤T} t² q^{t−1}`` and ``G_T = Σ_{n<T} F_n``;
    ``G_T(1) = T²(T² − 1)/12``.

    >>> round(white_sum()(1.0, 0.0, 1.0, 10), 9)
    825.0
    """
    term = _t**2 * _g ** (2 * _t - 2)  # one power a term: its error is that of g alone, at every t
    program = Program(
        (_g, _h0, _sigma, _T),
        (_h0**2 * _F + _sigma**2 * _N,),
        carries=(Carry(_F, sp.Integer(0), _F + term), Carry(_N, sp.Integer(0), _N + _F)),
        counter=_t,
        horizon=_T,
    )
    return Formula(
        Lazy(lambda: _h0**2 * _initial() + _sigma**2 * _pulses()), program.inputs, EVERYWHERE, program=program
    )


def constant_sum(fixed: bool = True) -> Formula:
    """``E A_T`` of ``g, h0, b, T`` under the same input at every step.

    ``A_T = Σ_{t≤T} (t g^{t−1} h0 + b S_t)²``, ``S_t = Σ_{j<t} j g^{j−1} = ∂_g (g^t − 1)/(g − 1)``; at ``g = 1`` and
    ``h0 = 0`` it is ``b² T(T²−1)(3T²−2)/60``.

    Args:
        fixed: ``False`` for an input of random sign and mean square ``b²``, which leaves no cross term with ``h0``.

    >>> round(constant_sum()(1.0, 0.0, 1.0, 2), 9), 2 * 3 * 10 / 60
    (1.0, 1.0)
    """

    def closed() -> sp.Expr:
        first, second, rest = _h0 / _g + _b / (_g * (_g - 1)), -_b / (_g - 1) ** 2, _b / (_g - 1) ** 2
        value = first**2 * _power_sum(2, _q) + second**2 * _power_sum(0, _q) + rest**2 * _T
        value += 2 * first * second * _power_sum(1, _q)
        value += 2 * first * rest * _power_sum(1, _g) + 2 * second * rest * _power_sum(0, _g)
        return value if fixed else (value + value.xreplace({_b: -_b})) / 2

    new = _g * _s + _u
    initial = _t * _g ** (_t - 1)
    cross = 2 * _h0 * _b * initial * new if fixed else 0
    program = Program(
        (_g, _h0, _b, _T),
        (_A,),
        carries=(
            Carry(_u, sp.Integer(0), _g * _u + 1),
            Carry(_s, sp.Integer(0), new),
            Carry(_A, sp.Integer(0), _A + _h0**2 * initial**2 + _b**2 * new**2 + cross),
        ),
        counter=_t,
        horizon=_T,
    )
    return Formula(Lazy(closed), program.inputs, EVERYWHERE, program=program)


def sinusoid_sum(fixed: bool = False) -> Formula:
    """``E A_T`` of ``g, h0, a, ω, T`` under ``a cos(ω t + φ)`` of random phase, or of ``g, h0, a, ω, φ, T``.

    ``S_t = ∂_g (z^t − g^t)/(z − g)``, ``z = e^{iω}``; ``E A_T = h0² F_T + ½ a² Σ |S_t|²``, and for a fixed phase
    ``A_T = Σ (t g^{t−1} h0 + a Re e^{iφ} S_t)²``. At ``g = 1`` and ``h0 = 0`` it is ``a²T³/(24 sin²(ω/2))`` to leading
    order.

    Args:
        fixed: a fixed phase φ in place of a random one.

    >>> round(sinusoid_sum()(1.0, 0.0, 1.0, 3.141592653589793, 1600) / (1600**3 / 24), 3)
    1.0
    """
    z = sp.exp(sp.I * _omega)
    first, second = -1 / (_g * (z - _g)), -1 / (z - _g) ** 2

    def closed() -> sp.Expr:
        if fixed:
            wave = (z**_t - _g**_t) / (z - _g) ** 2 - _t * _g ** (_t - 1) / (z - _g)
            real = sp.re(sp.exp(sp.I * _phi) * wave, evaluate=False)
            return sp.Sum((_t * _g ** (_t - 1) * _h0 + _a * real) ** 2, (_t, 1, _T))
        back, size = sp.exp(-sp.I * _omega), 1 - 2 * _g * sp.cos(_omega) + _q
        mixed = first * _power_sum(1, _g * back) + second * _power_sum(0, _g * back)
        mixed = mixed / (back - _g) ** 2 - first / (back - _g) ** 2 * _power_sum(1, _q)
        flat = _power_sum(2, _q) / (_q * size) + (_power_sum(0, _q) + _T) / size**2
        return _h0**2 * _initial() + _a**2 * (flat / 2 + sp.re(mixed, evaluate=False))

    turn = _omega * (_t - 1) + (_phi if fixed else 0)
    re, im = _g * _s + _u, _g * _w + _v
    initial = _t * _g ** (_t - 1)
    part = (initial * _h0 + _a * re) ** 2 if fixed else (initial * _h0) ** 2 + _a**2 * (re**2 + im**2) / 2
    carries = [Carry(_u, sp.Integer(0), _g * _u + sp.cos(turn)), Carry(_s, sp.Integer(0), re)]
    if not fixed:
        carries += [Carry(_v, sp.Integer(0), _g * _v + sp.sin(turn)), Carry(_w, sp.Integer(0), im)]
    carries.append(Carry(_A, sp.Integer(0), _A + part))
    inputs = (_g, _h0, _a, _omega, *((_phi,) if fixed else ()), _T)
    program = Program(inputs, (_A,), carries=tuple(carries), counter=_t, horizon=_T)
    return Formula(Lazy(closed), inputs, EVERYWHERE, program=program)


def autoregressive_sum() -> Formula:
    """``E A_T`` of ``g, h0, σ, ρ, T`` under coloured noise, ``c(k) = σ² ρ^{|k|}``.

    ``E A_T = h0² F_T + σ² Σ_{j,k<T} (T − max(j,k)) j k g^{j+k−2} ρ^{|j−k|}``, evaluated by the recursion of the second
    moments of ``(u, s, x)``. As ``T → ∞`` at ``g = 1`` it is the white law with ``σ² (1+ρ)/(1−ρ)``.

    >>> round(autoregressive_sum()(1.0, 0.0, 1.0, 0.0, 10), 9)
    825.0
    """
    j, k = sp.Symbol("j", integer=True, positive=True), sp.Symbol("k", integer=True, positive=True)

    def closed() -> sp.Expr:
        term = (_T - sp.Max(j, k)) * j * k * _g ** (j + k - 2) * _rho ** sp.Abs(j - k)
        return _h0**2 * _initial() + _sigma**2 * sp.Sum(term, (j, 1, _T - 1), (k, 1, _T - 1))

    ux, sx, uu, us, ss = symbols("ux sx uu us ss")
    grown = _q * ss + 2 * _g * us + uu
    program = Program(
        (_g, _h0, _sigma, _rho, _T),
        (_h0**2 * _F + _sigma**2 * _N,),
        carries=(
            Carry(ux, sp.Integer(0), _rho * (_g * ux + 1)),
            Carry(sx, sp.Integer(0), _rho * (_g * sx + ux)),
            Carry(uu, sp.Integer(0), _q * uu + 2 * _g * ux + 1),
            Carry(us, sp.Integer(0), _q * us + _g * uu + _g * sx + ux),
            Carry(ss, sp.Integer(0), grown),
            Carry(_F, sp.Integer(0), _F + _t**2 * _g ** (2 * _t - 2)),
            Carry(_N, sp.Integer(0), _N + grown),
        ),
        counter=_t,
        horizon=_T,
    )
    return Formula(Lazy(closed), program.inputs, EVERYWHERE, program=program)


def linear_law(noise: Input) -> Formula:
    """``E A_T`` of the linear family under an input, of ``g, h0, T``.

    >>> round(linear_law(White(2))(1.0, 0.0, 10), 9)
    3300.0
    """
    if isinstance(noise, White):
        return settled(white_sum(), {_sigma: exact_number(noise.sigma, "sigma")})
    if isinstance(noise, Constant):
        return settled(constant_sum(noise.law == "fixed"), {_b: exact_number(noise.b, "b")})
    if isinstance(noise, Sinusoid):
        values = {_a: exact_number(noise.a, "a"), _omega: exact_number(noise.omega, "omega")}
        if noise.phase is not None:
            values[_phi] = exact_number(noise.phase, "phase")
        return settled(sinusoid_sum(noise.phase is not None), values)
    assert isinstance(noise, Autoregressive)
    values = {_sigma: exact_number(noise.sigma, "sigma"), _rho: exact_number(noise.rho, "rho")}
    return settled(autoregressive_sum(), values)


def settled(formula: Formula, values: dict[sp.Symbol, Any]) -> Formula:
    """The formula with values in place of some of its symbols."""
    program = formula.stable
    swap = lambda pairs: tuple((s, e.xreplace(values)) for s, e in pairs)  # noqa: E731
    rest = tuple(s for s in formula.symbols if s not in values)
    fixed = replace(
        program,
        inputs=rest,
        results=tuple(e.xreplace(values) for e in program.results),
        prelude=swap(program.prelude),
        carries=tuple(Carry(c.symbol, c.initial.xreplace(values), c.update.xreplace(values)) for c in program.carries),
        body=swap(program.body),
        closing=swap(program.closing),
        horizon=None if program.horizon is None else program.horizon.xreplace(values),
    )
    return replace(formula, expression=Lazy(lambda: formula.expr.xreplace(values)), symbols=rest, program=fixed)


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
