"""A scalar map about its fixed point, and the truncated power series of its orbits as a program."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache

import sympy as sp

from normalforms.codegen import Assignments, Carry, Program, horner
from normalforms.formula import symbols
from normalforms.maps import Map

__all__ = ["Local", "local", "series_program"]

MAX_ORDER = 400


@dataclass(frozen=True)
class Local:
    """A scalar map about its fixed point: ``x' = Σ_{k≥1} coefficient(k) xᵏ``, ``h = fixed_point(g) + x``.

    Args:
        map: the map.
        fixed_point: the fixed point, an expression of the parameter.
        degree: degree of the map as a polynomial, ``None`` when it is none.
    """

    map: Map
    fixed_point: sp.Expr
    degree: int | None

    def coefficient(self, k: int) -> sp.Expr:
        """``f_k(g) = ∂_h^k f/k!`` at the fixed point."""
        return _coefficient(self, k)

    @property
    def multiplier(self) -> sp.Expr:
        """``f_1(g)``."""
        return self.coefficient(1)

    def powers(self, order: int) -> list[int]:
        """The ``k ≤ order`` with a coefficient that is not zero."""
        top = order if self.degree is None else min(order, self.degree)
        return [k for k in range(1, top + 1) if self.coefficient(k) != 0]


@cache
def _coefficient(form: Local, k: int) -> sp.Expr:
    x = form.map.states[0]
    derivative = form.map.steps[0].diff(x, k) if k else form.map.steps[0]
    return sp.cancel(derivative.subs(x, form.fixed_point) / sp.factorial(k))


@cache
def local(m: Map) -> Local:
    """``m`` about the fixed point that it has at its critical parameter value, followed as a function of ``g``.

    Raises:
        ValueError: the map is not scalar, its critical point is not known, its fixed point there does not persist
            as a rational function of the parameter (a saddle-node), or is not critical.
    """
    if m.dimension != 1 or len(m.parameters) != 1:
        raise ValueError("a series about a fixed point needs a scalar map with one parameter; reduce the map first")
    if m.critical is None:
        raise ValueError("the map's critical point is not known; give it as critical= or at=")
    x, g = m.states[0], m.parameters[0]
    at = dict(m.critical)
    step = m.steps[0]
    if sp.simplify(step.subs(at) - at[x]) != 0:
        raise ValueError(f"state {at[x]} is not a fixed point at {g} = {at[g]}")
    point = _branch(step, x, g, at)
    degree = sp.Poly(step, x).degree() if step.is_polynomial(x) else None
    form = Local(m, point, degree)
    multiplier = sp.simplify(form.multiplier.subs(g, at[g]))
    if multiplier not in (1, -1):
        raise ValueError(f"multiplier {multiplier} at {g} = {at[g]} is not ±1; the map is not critical there")
    return form


def _branch(step: sp.Expr, x: sp.Symbol, g: sp.Symbol, at: dict[sp.Symbol, sp.Expr]) -> sp.Expr:
    residual = sp.together(step - x)
    if residual.subs(x, at[x]).equals(0):
        return at[x]
    candidates = []
    numerator = sp.numer(residual)
    if numerator.is_polynomial(x, g):
        for factor, _ in sp.factor_list(numerator, x, g)[1]:
            if sp.degree(factor, x) == 1:
                a, b = sp.Poly(factor, x).all_coeffs()
                root = sp.cancel(-b / a)
                if sp.denom(root).subs(g, at[g]) != 0 and root.subs(g, at[g]) == at[x]:
                    candidates.append(root)
    if not candidates:
        raise ValueError(
            f"the fixed point {at[x]} at {g} = {at[g]} is not a rational function of {g};"
            " use reduce and the law of its normal form"
        )
    return candidates[0]


def _support(powers: Iterable[int], order: int) -> list[int]:
    """Exponents of ``x0`` that can occur in an orbit through ``x0**order``."""
    step = 0
    for k in powers:
        step = sp.igcd(step, k - 1)
    return [k for k in range(1, order + 1) if (k - 1) % step == 0] if step else [1]


Series = dict[int, sp.Expr]


def _multiply(a: Series, b: Series, order: int) -> Series:
    out: dict[int, list[sp.Expr]] = {}
    for i, u in a.items():
        for j, v in b.items():
            if i + j <= order:
                out.setdefault(i + j, []).append(u * v)
    return {k: sp.Add(*terms) for k, terms in sorted(out.items())}


def _named(series: Series, name: str, into: list[tuple[sp.Symbol, sp.Expr]]) -> Series:
    out = {}
    for k, expr in series.items():
        out[k] = sp.Symbol(f"{name}{k}", real=True)
        into.append((out[k], expr))
    return out


def series_program(
    form: Local,
    order: int,
    horizon: sp.Expr,
    monomial: Callable[[int], sp.Expr] | None = None,
    extra: int = 0,
) -> Program:
    """The program of ``A_T`` through ``x0**order``, ``x0 = h0 − h*(g)``, by the recursion of truncated series.

    ``a_{t+1}(x0) = f(a_t(x0))`` and its tangent in ``g``, coefficient by coefficient; coefficients of one order
    have one sign near the bifurcation, so that nothing cancels at ``g = 1``.

    Args:
        form: the map about its fixed point.
        order: highest power of ``x0`` kept.
        horizon: a symbol or an integer.
        monomial: value of ``h0**k``, for averages; by default the symbol ``h0``.
        extra: with ``extra > 0`` the results are (value, sum of the next ``extra`` terms).
    """
    g = form.map.parameters[0]
    _, t = symbols("h0 t")
    moving = form.fixed_point.diff(g)
    top = order + extra
    reach = top + 1 if moving != 0 else max(top - 1, 1)
    powers = form.powers(reach)
    support = _support(powers, reach)
    orbit = {k: sp.Symbol(f"a{k}", real=True) for k in support}
    prelude = [(sp.Symbol(f"f{k}", real=True), form.coefficient(k)) for k in powers]
    body: list[tuple[sp.Symbol, sp.Expr]] = []
    nexts = _named(_compose(orbit, dict(zip(powers, (s for s, _ in prelude), strict=True)), reach, body), "b", body)
    program = Program(
        (g, horizon) if isinstance(horizon, sp.Symbol) else (g,),
        tuple(nexts.values()),
        prelude=tuple(prelude),
        carries=tuple(Carry(orbit[k], sp.Integer(int(k == 1)), nexts.get(k, sp.Integer(0))) for k in support),
        body=tuple(body),
        counter=t,
        horizon=horizon,
    )
    moved, tangents = program.with_tangents(g)
    return _summed(moved, nexts, tangents, moving, form, order, extra, monomial)


def _compose(orbit: Series, coefficients: Series, order: int, body: list[tuple[sp.Symbol, sp.Expr]]) -> Series:
    """``Σ_j f_j a^j`` through ``order``, powers named in ``body`` on the way."""
    total: dict[int, list[sp.Expr]] = {}
    power, degree = orbit, 1
    for j in sorted(coefficients):
        while degree < j:
            degree += 1
            power = _named(_multiply(power, orbit, order), f"p{degree}_", body)
        for k, expr in power.items():
            total.setdefault(k, []).append(coefficients[j] * expr)
    return {k: sp.Add(*terms) for k, terms in sorted(total.items())}


def _summed(
    moved: Program,
    orbit: Series,
    tangents: dict[sp.Symbol, sp.Expr],
    moving: sp.Expr,
    form: Local,
    order: int,
    extra: int,
    monomial: Callable[[int], sp.Expr] | None,
) -> Program:
    """``moved`` with ``s_t`` squared and summed over time, and the sum evaluated at ``h0``."""
    g = form.map.parameters[0]
    h0, x0 = symbols("h0 x0")
    sensitivity: Series = {k: tangents[b] for k, b in orbit.items() if b in tangents}
    prelude: Assignments = moved.prelude
    body = list(moved.body)
    if moving != 0:
        speed = sp.Symbol("speed", real=True)
        prelude = (*prelude, (speed, moving))
        shifted = {0: speed, **sensitivity}
        for k, b in orbit.items():
            shifted[k - 1] = shifted.get(k - 1, sp.Integer(0)) - speed * k * b
        sensitivity = _named({k: v for k, v in shifted.items() if k <= order + extra}, "s", body)
    squares = _multiply(sensitivity, sensitivity, order + extra)
    sums = {k: sp.Symbol(f"A{k}", real=True) for k in squares}
    carries = tuple(Carry(sums[k], sp.Integer(0), sums[k] + squares[k]) for k in squares)
    closing: Assignments = ()
    if monomial is None:
        if form.fixed_point == 0:
            x0 = h0
        else:
            closing = ((x0, h0 - form.fixed_point),)
        value = _evaluate({k: a for k, a in sums.items() if k <= order}, x0)
        rest = _evaluate({k: a for k, a in sums.items() if k > order}, x0)
        inputs = (g, h0, *moved.inputs[1:])
    else:
        centred = lambda k: centred_moment(form.fixed_point, monomial, k)  # noqa: E731
        value = sp.Add(*(a * centred(k) for k, a in sums.items() if k <= order))
        rest = sp.Add(*(a * centred(k) for k, a in sums.items() if k > order))
        inputs = moved.inputs
    return Program(
        inputs,
        (value, rest) if extra else (value,),
        prelude=prelude,
        carries=(*moved.carries, *carries),
        body=tuple(body),
        closing=closing,
        counter=moved.counter,
        horizon=moved.horizon,
    )


def centred_moment(fixed_point: sp.Expr, monomial: Callable[[int], sp.Expr], k: int) -> sp.Expr:
    """``⟨(h0 − h*)^k⟩`` from the moments ``⟨h0^j⟩``."""
    if fixed_point == 0:
        return monomial(k)
    return sp.Add(*(sp.binomial(k, j) * monomial(j) * (-fixed_point) ** (k - j) for j in range(k + 1)))


def _evaluate(coefficients: Series, x: sp.Expr) -> sp.Expr:
    """``Σ coefficients[k] xᵏ`` by Horner, in the largest power of ``x`` that all exponents share."""
    if not coefficients:
        return sp.Integer(0)
    low = min(coefficients)
    stride = sp.igcd(*(k - low for k in coefficients)) if len(coefficients) > 1 else 1
    count = (max(coefficients) - low) // stride + 1
    dense = [coefficients.get(low + stride * i, sp.Integer(0)) for i in range(count)]
    return x**low * horner(dense, x**stride)
