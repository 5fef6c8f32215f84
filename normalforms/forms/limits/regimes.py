"""Regimes: elementary laws of the amplification far below, at and far above a bifurcation, with errors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import sympy as sp

from normalforms.exact import ExpMoment
from normalforms.families import is_cusp, unfolding
from normalforms.formulas import Domain, Formula, Program, symbols
from normalforms.maps import Map

__all__ = ["Regime", "regimes"]


@dataclass(frozen=True, eq=False)
class Regime(Formula):
    """An elementary law with the size of its error: ``A_T(g, h0) = expr + O(error)`` where it `holds`.

    A call warns where `error` exceeds half the value and returns ``nan`` where it exceeds the value.

    Args:
        expression: the law, in `symbols`.
        symbols: parameter, initial state, horizon.
        domain: where it holds.
        error: leading terms of what is left out, positive, in `symbols`.

    >>> from normalforms.maps.map import stability_flip
    >>> regimes(stability_flip())["critical"].expr
    T**3*h0**2/3
    """

    error: sp.Expr = field(default=sp.Integer(0), kw_only=True)

    @property
    def holds(self) -> str:
        """Where the law holds, for the reader."""
        return str(self.domain)

    def __repr__(self) -> str:
        return f"Regime({self.expr}, error={self.error}, holds={self.holds!r})"


@dataclass(frozen=True)
class _Law:
    """Expression, error, where it holds; where the expression cancels, one to compute with instead, and then
    the error is relative."""

    expr: sp.Expr
    error: sp.Expr
    sentence: str
    holds: Callable[..., Any] | None = None
    stable: sp.Expr | None = None

    def regime(self, inputs: tuple[sp.Symbol, ...], factor: sp.Expr) -> Regime:
        expr, error = factor * self.expr, sp.Abs(factor) * self.error
        value, bound = expr, error
        if self.stable is not None:
            value = factor * self.stable
            error, bound = sp.Abs(expr) * self.error, sp.Abs(value) * self.error
        return Regime(
            expr,
            inputs,
            Domain(self.sentence, self.holds, tolerance=0.5),
            program=Program(inputs, (value,)),
            guard=Program(inputs, (value, bound)),
            error=error,
        )


_pi2 = sp.pi**2


def regimes(m: Map, *, stretch: Any = 1, gain: Any = 1) -> Mapping[str, Regime]:
    """The laws "subcritical", "critical" and "supercritical" of a family.

    With ``μ = g − 1`` and a unit coefficient of the nonlinear term:

    ==============  =========================  ==============  ===================================
    family          subcritical                critical        supercritical
    ==============  =========================  ==============  ===================================
    stability flip  h0² (1+g²)/(1−g²)³         h0² T³/3        h0² T² g^{2T}/(g²−1)
    pitchfork       the same                   T² Ψ(0, T h0²)  T/4μ + [(L−1)² + π²/3 − 2]/16μ²,
                                                               L = ln(μ/h0²)
    transcritical   the same                   T Ψ(0, T h0)    T + [(L−1)² + π²/3 − 8]/6μ,
                                                               L = ln(μ/h0)
    saddle-node     as (t_e − T)^{−3}          T³ Ψ(0, T h0)   T/4μ + (π² − 6)/72μ^{3/2}
                    up to the escape                           − (1 + 8 ln 2) h0/12μ²
    ==============  =========================  ==============  ===================================

    Above a bifurcation the orbit is captured by the new branch, whose own sensitivity gives the term in
    ``T``; the logarithms are the peak that the capture leaves behind. Neimark–Sacker adds the phase, which
    grows like ``μT³``. In the cusp next to the symmetric state the top eigenvalue is that of β alone,
    ``Σ ((gᵗ − 1)/(g − 1))²``.

    Args:
        m: a named family, or a map of the same form with another coefficient.
        stretch: factor from the caller's ``h0`` to the map's.
        gain: factor from the map's ``A`` to the caller's.

    Returns:
        Read-only mapping to `Regime`, a `Formula` in ``g, h0, T`` with its error.

    Raises:
        ValueError: the map is no family; reduce it to its normal form first.

    >>> from normalforms.maps.map import stability_flip
    >>> regimes(stability_flip())["supercritical"].expr
    T**2*g**(2*T)*h0**2/(g**2 - 1)
    """
    names = ("subcritical", "critical", "supercritical")
    if is_cusp(m):
        inputs = (*m.parameters, *symbols("h0 T"))
        laws = zip(names, _cusp(*inputs), strict=True)
        return MappingProxyType({n: law.regime(inputs, sp.Integer(1)) for n, law in laws})
    u = unfolding(m)
    g, h0, T = u.inputs
    state = sp.sympify(stretch) * h0
    c, factor = u.coefficient, sp.sympify(gain)
    if u.kind == "stability_flip":
        laws = _linear(g, state, T)
    elif u.kind == "transcritical":
        laws, factor = _transcritical(g, c * state, T), factor / c**2
    elif u.kind == "saddle_node":
        laws = _saddle_node(c * (g - 1), c * state, T)
    else:
        size = sp.Abs(c)
        laws, factor = _cubic(g, sp.sqrt(size) * state, T, sp.sign(c), u.twist), factor / size
    return MappingProxyType({n: law.regime((g, h0, T), factor) for n, law in zip(names, laws, strict=True)})


Laws = tuple[_Law, _Law, _Law]


def _below(g: Any, *_: Any) -> Any:
    return abs(g) < 1


def _above(g: Any, *_: Any) -> Any:
    return g > 1


def _plateau(g: sp.Expr, h: sp.Expr, T: sp.Expr) -> tuple[sp.Expr, sp.Expr]:
    gap = 1 - g**2
    return h**2 * (1 + g**2) / gap**3, h**2 * g ** (2 * T) * ((T + 1 / gap) ** 2 + g**2 / gap**2) / gap


def _sine(z: sp.Expr, order: int) -> sp.Expr:
    """``(sinh z − z)/z³`` or, of order 5, ``(sinh z − z − z³/6)/z⁵``, as a sum of positive moments."""
    k = order - 1
    both = sp.exp(z) * ExpMoment(k, -z) + sp.exp(-z) * ExpMoment(k, z)
    return both / (2 * sp.factorial(k))


def _log1p(z: sp.Expr) -> sp.Expr:
    return 2 * sp.atanh(z / (2 + z))


def _linear(g: sp.Expr, h: sp.Expr, T: sp.Expr) -> Laws:
    plateau, tail = _plateau(g, h, T)
    growth = h**2 * g ** (2 * T)
    return (
        _Law(plateau, tail, "|g| < 1, T (1 − |g|) ≫ 1", _below),
        _Law(h**2 * T**3 / 3, h**2 * (T**2 + T**4 * sp.Abs(g - 1)), "T |g − 1| ≪ 1"),
        _Law(T**2 * growth / (g**2 - 1), 2 * T * growth / (g**2 - 1) ** 2, "g > 1, T (g − 1) ≫ 1", _above),
    )


def _cubic(g: sp.Expr, h: sp.Expr, T: sp.Expr, sign: sp.Expr, twist: sp.Expr) -> Laws:
    """``g h − h³`` (or ``+ h³``, ``sign = −1``), and with ``twist`` the phase that the modulus drives."""
    plateau, tail = _plateau(g, h, T)
    quartic = h**4 / (2 * (1 - g) ** 4)
    below = _Law(plateau, quartic + tail, "g < 1, T (1 − g) ≫ 1, h0² ≪ 1 − g", _below)
    critical = _cubic_critical(g - 1, h, T, sign, twist)
    if sign == -1:
        law = _linear(g, h, T)[2]
        saturation = law.expr * 3 * h**2 * g ** (2 * T) / (g - 1)
        sentence = "g > 1, T (g − 1) ≫ 1, before the escape: h0² g^{2T} ≪ g − 1"
        return below, critical, _Law(law.expr, law.error + saturation, sentence, _above)
    return below, critical, _cubic_above(g, h, T, twist)


def _cubic_critical(mu: sp.Expr, h: sp.Expr, T: sp.Expr, sign: sp.Expr, twist: sp.Expr) -> _Law:
    """``T² [U − 4w + twist² (U − 8u + 8/u + 12w)]/64y²``, ``U = u² − u⁻²``, ``w = ln u``, ``u = 1 + 2y``."""
    y = sign * T * h**2
    u, v = 1 + 2 * y, _log1p(2 * y)
    M: Any = ExpMoment(0, v)
    w, double = sp.log(u), u**2 - u**-2
    expr = double - 4 * w + twist**2 * (double - 8 * u + 8 / u + 12 * w)
    expr = sign * T**2 * expr / (64 * y**2)
    # v = 2y/M: the quotient is regular at y = 0
    stable = 2 * _sine(2 * v, 3) / M**3 + 8 * twist**2 * y**2 * (4 * _sine(2 * v, 5) - _sine(v, 5)) / M**5
    stable = sign * T**2 * y * stable
    error = 3 / T + 2 * T * sp.Abs(mu) + h**2
    return _Law(expr, error, "T |g − 1| ≪ 1", None, stable)


def _cubic_above(g: sp.Expr, h: sp.Expr, T: sp.Expr, twist: sp.Expr) -> _Law:
    mu = g - 1
    L = sp.log(mu / h**2)
    expr = T / (4 * mu) + ((L - 1) ** 2 + _pi2 / 3 - 2) / (16 * mu**2)
    error = (1 + L**2) / (2 * mu) + h**2 * (1 + sp.Abs(L)) / mu**3 + T * g ** (-2 * T) / h**2
    error += (1 + L**2) * g ** (-2 * T) / (16 * mu * h**2)  # the peak, as far as the orbit has not passed it
    if twist != 0:
        cubic = (2 * mu * T - 1) ** 3 - L**3 - 3 * L**2 / 2 - (_pi2 - 3) * L - (_pi2 + 1) / 2
        expr += twist**2 * cubic / (24 * mu**2)
        error += twist**2 * mu * T**2 * (1 + mu * T + sp.Abs(L))
    return _Law(expr, error, "h0² ≪ g − 1 ≪ 1 and captured: g^{2T} h0² ≫ g − 1", _above)


def _transcritical(g: sp.Expr, h: sp.Expr, T: sp.Expr) -> Laws:
    plateau, tail = _plateau(g, h, T)
    mu, y = g - 1, T * h
    numerator = T * y**2 * (4 + 3 * y) / 12
    at = numerator / (1 + y) ** 3
    at_error = (3 / T + 2 * T * sp.Abs(mu) + sp.Abs(h)) * sp.Abs((2 + y) / (1 + y))
    L = sp.log(mu / h)
    above = T + ((L - 1) ** 2 + _pi2 / 3 - 8) / (6 * mu)
    above_error = 1 + L**2 + h * (1 + sp.Abs(L)) / mu**2 + T * mu * g**-T / h + (1 + L**2) * g**-T / (6 * h)
    cubic = 2 * sp.Abs(h) ** 3 / (3 * (1 - g) ** 4)
    return (
        _Law(plateau, cubic + tail, "g < 1, T (1 − g) ≫ 1, |h0| ≪ 1 − g", _below),
        _Law(at, at_error, "T |g − 1| ≪ 1, T h0 > −1", None, numerator * sp.exp(-3 * _log1p(y))),
        _Law(above, above_error, "0 < h0 ≪ g − 1 ≪ 1 and captured: g^T h0 ≫ g − 1", _above),
    )


def _saddle_node(mu: sp.Expr, h: sp.Expr, T: sp.Expr) -> Laws:
    nu, y, root = -mu, T * h, sp.sqrt(mu)
    escape = (sp.pi / 2 + sp.atan(h / sp.sqrt(nu))) / sp.sqrt(nu)
    left = escape - T
    passage = (escape + h / (nu + h**2)) ** 2 / (12 * nu**2 * left**3)
    passage_error = 2 * passage * (left / escape + (1 + sp.log(escape / left)) / left)
    u, v = 1 + y, _log1p(y)
    at = T**3 * (u**3 - u**-3 - 6 * sp.log(u)) / (27 * y**3)
    M: Any = ExpMoment(0, v)
    stable = 2 * T**3 * _sine(3 * v, 3) / M**3
    at_error = (3 / T + T**2 * sp.Abs(mu) + sp.Abs(h)) * sp.Abs((2 + y) / (1 + y))
    above = T / (4 * mu) + (_pi2 - 6) / (72 * root**3) - (1 + 8 * sp.log(2)) * h / (12 * mu**2)
    above_error = 1 / mu + h**2 / root**5 + (1 + T * root) * sp.exp(-2 * T * root) / root**3
    return (
        _Law(
            passage,
            passage_error,
            "g < 1, next to the escape at t_e = [π/2 + arctan(h0/√(1−g))]/√(1−g): ln t_e ≪ t_e − T ≪ t_e",
        ),
        _Law(at, at_error, "T² |g − 1| ≪ 1, T h0 > −1", None, stable),
        _Law(above, above_error, "h0² ≪ g − 1 ≪ 1, T √(g − 1) ≫ 1"),
    )


def _cusp(beta: sp.Expr, g: sp.Expr, h: sp.Expr, T: sp.Expr) -> Laws:
    """``Σ ((gᵗ − 1)/(g − 1))²``, the amplification in β next to h = 0."""
    gap, mu = 1 - g, g - 1
    rest = beta / gap
    below_error = 2 / gap**3 + 9 * T * rest**2 / gap**3 + 9 * (h**2 + rest**2) / gap**4
    at = T**3 / 3
    at_error = T**2 + T**4 * sp.Abs(mu) + T**4 * h**2 + T**6 * beta**2
    above = g ** (2 * T + 2) / (mu**2 * (g**2 - 1))
    above_error = above * (4 * g**-T + 9 * (h**2 + beta**2 / mu**2) * g ** (2 * T) / mu)
    near = "β and h0 so small that the orbit stays next to 0"
    return (
        _Law(T / gap**2, below_error, f"g < 1, T (1 − g) ≫ 1; {near}", lambda beta, g, *_: abs(g) < 1),
        _Law(at, at_error, f"T |g − 1| ≪ 1; {near}"),
        _Law(above, above_error, f"g > 1, T (g − 1) ≫ 1; {near}", lambda beta, g, *_: g > 1),
    )
