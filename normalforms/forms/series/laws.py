"""Formulas of truncated laws: exact at one horizon, series in symbolic horizon, summed, averaged or resummed."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import Any

import sympy as sp

from normalforms.forms import accompanied
from normalforms.forms.series.expansion import Local, local, local_terms
from normalforms.forms.series.graded import Graded, graded, graded_exact, graded_series, graded_terms
from normalforms.forms.series.koenigs import series_expression
from normalforms.forms.series.pade import determinants
from normalforms.forms.series.polynomial import exact_expression
from normalforms.forms.series.rotating import rotating, rotating_exact, rotating_series, rotating_terms
from normalforms.forms.series.terms import Moment, Terms, centred, resummed, summed
from normalforms.formulas import EVERYWHERE, Domain, Formula, GramFormula, Lazy, Program, check_horizon, symbols
from normalforms.maps import Map

__all__ = ["Law", "direct", "exact_formula", "expansion", "series_formula"]

Law = Formula | GramFormula

MAX_ORDER = 200
MAX_GRADED = (80, 40)
"""Highest weight with one parameter and with two."""
MAX_WHOLE = 500
MAX_EXACT = 1000
MAX_WORK = 2e9


@dataclass(frozen=True)
class Expansion:
    """How the law of one map is expanded.

    Args:
        terms: ``(order, horizon) → Terms``.
        series: ``(order, power) → `` expression in ``T``, with ``power(k)`` for ``x_0**k``.
        exact: ``(horizon, order, power) →`` expression.
        origin: ``h0 − x_0``.
        limit: highest order.
        stride: common step of the orders, for the cost of `exact`; 0 where that is small at every order.
        whole: ``horizon →`` the order of the whole polynomial; ``None`` for maps that are no polynomials.
        sentence: what is small.
        entry: its place in the Gram matrix, by parameter.
    """

    terms: Callable[..., Terms]
    series: Callable[..., sp.Expr]
    exact: Callable[..., sp.Expr]
    origin: sp.Expr
    limit: int
    stride: int
    whole: Callable[[int], int] | None
    sentence: str
    entry: tuple[int, int] = (0, 0)

    def order(self, order: Any, horizon: int | None = None) -> int:
        """``order`` checked, for a series or for one horizon.

        Raises:
            ValueError: not an integer from 0 to `limit`, or a polynomial that would explode.
        """
        if order is None and horizon is not None:
            return self._whole(horizon)
        if isinstance(order, bool) or not isinstance(order, int) or not 0 <= order <= self.limit:
            raise ValueError(f"order = {order!r} must be an integer from 0 to {self.limit}")
        if horizon is not None:
            self._affordable(horizon, order)
        return order

    def _whole(self, horizon: int) -> int:
        if self.whole is None:
            raise ValueError("order = None needs a polynomial map; give an order")
        top = self.whole(horizon)
        if top > min(MAX_WHOLE, 2 * self.limit):
            raise ValueError(
                f"order = None: the whole polynomial at horizon {horizon} has terms up to order {top}"
                f"{' or more' if top >= 10**6 else ''}; give an order"
            )
        return top

    def _affordable(self, horizon: int, order: int) -> None:
        """Coefficients have degrees ∝ k T in g, and K²/2 pairs of them are multiplied at each step."""
        if horizon > MAX_EXACT:
            raise ValueError(f"horizon = {horizon} is beyond {MAX_EXACT} for an exact polynomial; use series({order})")
        if self.stride and horizon**2 * (order // self.stride) ** 3 > MAX_WORK:
            raise ValueError(
                f"order = {order} at horizon {horizon} is an exact polynomial that would take hours; lower one of"
                f" them, or use series({order})"
            )


def expansion(m: Map) -> tuple[tuple[Expansion, ...], ...]:
    """The expansions of the entries of the law, as a matrix over the parameters.

    Scalar maps with one parameter: about their fixed point where it is a rational function of the parameter, about
    the critical point otherwise. With two: about the critical point. Planar maps: the Neimark–Sacker form.

    Raises:
        ValueError: another map, or one that is not critical.
    """
    if len(m.parameters) == 1 and m.dimension == 2:
        return ((_rotating(m),),)
    form = local(m) if len(m.parameters) == 1 else None
    if form is not None:
        made = Expansion(
            partial(local_terms, form),
            partial(series_expression, form),
            partial(exact_expression, form),
            form.fixed_point,
            MAX_ORDER,
            _stride(form),
            None if form.degree is None else lambda T: _whole(form.degree, T),
            _small(form),
        )
        return ((made,),)
    if len(m.parameters) > 2:
        raise ValueError(f"the map has {len(m.parameters)} parameters; a series takes one or two, fix the others")
    about = graded(m)
    count = len(m.parameters)
    return tuple(tuple(_graded(about, (min(p, q), max(p, q))) for q in range(count)) for p in range(count))


_LOOK = 8
"""How many powers of a map that is no polynomial are looked through for its first nonlinear one."""


def _small(form: Local) -> str:
    """What has to be small: with ``f_k`` the first nonlinear coefficient, ``x^{k−1} Σ_t λ^{(k−1)t}``."""
    x = "h0" if form.fixed_point == 0 else f"(h0 - ({form.fixed_point}))"
    powers = form.powers(form.degree or _LOOK)[1:]
    if form.degree == 1:
        return "every g and h0 from order 2 on, where this law is exact"
    if not powers:
        return f"{x} so small that the terms beyond its order {{order}} do not count"
    k, g = powers[0] - 1, form.map.parameters[0]
    rate = str(g) if form.multiplier in (g, -g) else "|λ|"
    exponent, power = ("T" if k == 1 else f"{k}T"), "" if k == 1 else str(k).translate(_RAISED)
    return (
        f"{x} so small that the terms beyond its order {{order}} do not count: for {rate} > 1 that needs"
        f" {x}{power} ({rate}^{{{{{exponent}}}}} − 1)/({rate} − 1) well below 1"
    )


_RAISED = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")


def _stride(form: Local) -> int:
    """0 for linear maps."""
    return math.gcd(*(k - 1 for k in form.powers(form.degree or 3)))


def _whole(degree: int, horizon: int) -> int:
    return 2 * degree**horizon if degree == 1 or horizon < 20 else 10**6


def _rotating(m: Map) -> Expansion:
    form = rotating(m)
    return Expansion(
        partial(rotating_terms, form),
        partial(rotating_series, form),
        partial(rotating_exact, form),
        sp.Integer(0),
        MAX_ORDER,
        2,
        partial(_whole, 3),
        "h0 = |z_0| so small that the terms beyond h0**{order} do not count",
    )


def _graded(form: Graded, entry: tuple[int, int]) -> Expansion:
    weights = ", ".join(f"{p}: {w}" for p, w in zip(form.map.parameters, form.weights, strict=True))
    return Expansion(
        partial(graded_terms, form, entry=entry),
        partial(graded_series, form, entry=entry),
        partial(graded_exact, form, entry=entry),
        form.state,
        MAX_GRADED[len(form.weights) - 1],
        0,
        (lambda T: 2 * form.heaviest(T)) if form.polynomial else None,
        f"initial state and parameters so near the critical point that terms of weight above {{order}} (h0: 1,"
        f" {weights}) do not count: T times the state and T² times a parameter of weight 2 below about 1",
        entry,
    )


Truth = Callable[[Formula, float], Any]
"""From the direct iteration of one initial state, and a tolerance, to what an average is judged by."""


def exact_formula(
    m: Map,
    horizon: int,
    order: int | None,
    moment: Moment | None = None,
    gain: sp.Expr = sp.S.One,
    truth: Truth | None = None,
) -> Law:
    """``A_T`` at one integer horizon through ``h0**order``, averaged where ``moment`` gives the moments."""
    horizon = check_horizon(horizon)
    whole = order is None
    T = sp.Integer(horizon)
    return _matrix(m, lambda e: _formula(m, e, e.order(order, horizon), T, whole, moment, gain, False, truth))


def series_formula(
    m: Map,
    order: int,
    moment: Moment | None = None,
    gain: sp.Expr = sp.S.One,
    pade: bool = False,
    truth: Truth | None = None,
) -> Law:
    """``A_T`` in symbolic T through ``h0**order``; with ``pade`` its approximant."""
    T = symbols("T")
    return _matrix(m, lambda e: _formula(m, e, e.order(order), T, False, moment, gain, pade, truth))


def _matrix(m: Map, make: Callable[[Expansion], Formula]) -> Law:
    entries = expansion(m)
    if len(entries) == 1:
        return make(entries[0][0])
    size = range(len(entries))
    upper = {(i, j): make(entries[i][j]) for i in size for j in size if i <= j}
    return GramFormula(tuple(tuple(upper[min(i, j), max(i, j)] for j in size) for i in size))


def _formula(
    m: Map,
    how: Expansion,
    order: int,
    horizon: sp.Expr,
    whole: bool,
    moment: Moment | None,
    gain: sp.Expr,
    pade: bool,
    truth: Truth | None,
) -> Formula:
    h0 = symbols("h0")
    monomial = None if moment is None else _means(m, how.origin, moment)
    power = (lambda k: (h0 - how.origin) ** k) if monomial is None else monomial

    def plain(top: int) -> sp.Expr:
        return how.series(top, power) if isinstance(horizon, sp.Symbol) else how.exact(int(horizon), top, power)

    def expression() -> sp.Expr:
        return gain * (_approximant(how, order, power) if pade else plain(order))

    @cache
    def program() -> Program:
        return (resummed if pade else summed)(how.terms(order, horizon).scaled(gain), order, monomial)

    inputs = (*m.parameters, *(() if monomial is not None else (h0,)), *((horizon,) if horizon.is_Symbol else ()))
    # No number of further terms bounds the rest: gaps and tiny coefficients put what matters arbitrarily far away.
    # The map's own iteration shows all that was left out, and what was lost where the terms cancel.
    start = (h0, *([sp.Integer(0)] * (m.dimension - 1)))
    iterated = (*m.parameters, h0, *((horizon,) if horizon.is_Symbol else ()))
    true = direct(m, iterated, start, gain if monomial is None else sp.S.One, horizon, how.entry)
    if whole and monomial is None:
        return Formula(Lazy(expression), inputs, EVERYWHERE, program=Lazy(lambda: true.stable))
    domain = _UNCANCELLED if whole else Domain(how.sentence.format(order=order))
    judge = true if monomial is None else None if truth is None else truth(true, 0.01 * domain.tolerance)
    if whole and order > _LONG:  # too many terms for a recursion; what cancels between them is judged
        return Formula(Lazy(expression), inputs, domain, truth=judge)
    return Formula(Lazy(expression), inputs, domain, program=Lazy(program), truth=judge)


_LONG = 60
_UNCANCELLED = Domain("every real argument at which the terms of the polynomial do not cancel", tolerance=1e-6)


def direct(
    m: Map,
    inputs: tuple[sp.Symbol, ...],
    start: tuple[sp.Expr, ...],
    gain: sp.Expr,
    horizon: sp.Expr,
    entry: tuple[int, int] = (0, 0),
) -> Formula:
    """``gain · Σ_t ∂_p h_t · ∂_q h_t`` by direct iteration from ``start``, as a formula of ``inputs``.

    Args:
        m: the map.
        inputs: symbols in call order, the horizon among them where it is one.
        start: initial state in these symbols.
        gain: factor.
        horizon: T.
        entry: the parameters p and q, by place.
    """

    def program() -> Program:
        iterated, total = accompanied(Program(inputs, ()), m, start, entry, horizon)
        return replace(iterated, results=(gain * total,))

    return Formula(sp.Function("A")(*inputs), inputs, program=Lazy(program))


def _means(m: Map, origin: sp.Expr, moment: Moment) -> Callable[[int], sp.Expr]:
    """``k ↦ ⟨(h0 − origin)^k⟩``, free of cancellation near the critical state."""
    centre = sp.S.Zero if origin == 0 else dict(m.critical)[m.states[0]]
    return cache(partial(centred, sp.factor(origin - centre), centre, moment))


def _approximant(how: Expansion, order: int, power: Callable[[int], sp.Expr]) -> sp.Expr:
    weights = how.terms(order, symbols("T")).weights()
    sums = [how.series(w, power) for w in weights]
    return determinants([b - a for a, b in zip([sp.Integer(0), *sums], sums, strict=False)])
