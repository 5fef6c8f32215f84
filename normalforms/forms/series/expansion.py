"""A scalar map about its fixed point, and the truncated power series of its orbits as a program."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cache

import sympy as sp

from normalforms.exact import Poly, from_expr, is_zero, poly, to_expr
from normalforms.forms.series.terms import Series, Terms, multiply, named
from normalforms.formulas import Carry, Program, symbols
from normalforms.maps import Map

__all__ = ["Local", "accumulated", "critical_multiplier", "found_numerically", "local", "local_terms", "loop"]


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
    def fraction(self) -> tuple[Poly, Poly]:
        """Numerator and denominator of the fixed point.

        Raises:
            ValueError: they are not polynomials of the parameter with rational coefficients.
        """
        return _fraction(self)

    @property
    def drift(self) -> tuple[Poly, Poly]:
        """``p, q`` with ``dh*/dg = p/q²``; raises what `fraction` does."""
        if self.map.parameters[0] not in self.fixed_point.free_symbols:
            return poly([]), poly([1])
        top, bottom = _fraction(self, True)
        return top.derivative() * bottom - top * bottom.derivative(), bottom

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
    (x,), (g,) = form.map.states, form.map.parameters
    if form.degree is not None:
        try:
            return to_expr(_shifted_coefficient(form, k), g)
        except (ValueError, ArithmeticError):
            pass  # irrational numbers, or no polynomial of g
    derivative = form.map.steps[0].diff(x, k) if k else form.map.steps[0]
    return sp.cancel(derivative.subs(x, form.fixed_point) / sp.factorial(k))


def _shifted_coefficient(form: Local, k: int) -> Poly:
    """``f_k = Σ_i C(i, k) c_i h*^{i−k}`` of a map ``Σ_i c_i(g) h^i``, a polynomial of ``g``.

    Raises:
        ValueError: the map's coefficients, or the fixed point's, are not rational.
        ArithmeticError: it is a fraction.
    """
    top, bottom = form.fraction
    columns = _columns(form)
    value, degree = poly([]), len(columns) - 1
    for i, c in enumerate(columns[k:], k):
        value = value + c * top ** (i - k) * bottom ** (degree - i) * math.comb(i, k)
    value, rest = divmod(value, bottom ** max(degree - k, 0))
    if rest:
        raise ArithmeticError("the coefficient is a fraction")
    return value


@cache
def _columns(form: Local) -> list[Poly]:
    (x,), (g,) = form.map.states, form.map.parameters
    return [from_expr(c, g) for c in reversed(sp.Poly(form.map.steps[0], x).all_coeffs())]


@cache
def _fraction(form: Local, rounding: bool = False) -> tuple[Poly, Poly]:
    top, bottom = (from_expr(e, form.map.parameters[0], rounding) for e in sp.fraction(form.fixed_point))
    return (top / bottom.coeffs()[0], poly([1])) if bottom.degree() == 0 else (top, bottom)


@cache
def critical_multiplier(m: Map) -> int:
    """The multiplier of a scalar map at its critical point, 1 or −1.

    Raises:
        ValueError: the map is not scalar, its critical point is not known, is no fixed point or is not critical.
    """
    if m.dimension != 1:
        raise ValueError("a series needs a scalar map or the planar Neimark–Sacker form; reduce the map first")
    if m.critical is None:
        raise ValueError("the map's critical point is not known; give it as critical= or at=")
    x, at = m.states[0], dict(m.critical)
    place = ", ".join(f"{p} = {_shown(at[p])}" for p in m.parameters)
    along = m.steps[0].subs({p: at[p] for p in m.parameters})
    if not _is_zero(along.subs(x, at[x]) - at[x], m):
        raise ValueError(f"state {_shown(at[x])} is not a fixed point at {place}")
    slope = along.diff(x).subs(x, at[x])
    for value in (1, -1):
        if _is_zero(sp.Add(slope, -value), m):
            return value
    raise ValueError(f"multiplier {_shown(slope)} at {place} is not ±1; the map is not critical there")


def _shown(number: sp.Expr) -> str:
    return str(number) if sp.count_ops(number) < 10 and len(str(number)) < 25 else f"{float(number):.12g}"


_LONG, _ZERO = 10**20, sp.Float("1e-35")


def found_numerically(m: Map) -> bool:
    """Whether the critical point was found by Newton's method, to 50 digits."""
    return any(v.is_Rational and v.q > _LONG for v in dict(m.critical).values())


def _is_zero(expr: sp.Expr, m: Map) -> bool:
    if expr.is_Rational and expr == 0:
        return True
    if expr.is_number:
        if found_numerically(m):
            return bool(abs(sp.N(expr, 50)) < _ZERO)
        return is_zero(expr)
    if expr.is_polynomial(*expr.free_symbols) and all(c.is_Rational for c in expr.atoms(sp.Number)):
        return sp.expand(expr) == 0
    here = {s: sp.Rational(k, 97) + v for k, (s, v) in enumerate(dict(m.critical).items(), 1)}
    refuted = sp.N(expr.subs(here), 30)
    if refuted.is_number and abs(refuted) > sp.Float("1e-20"):
        return False
    return sp.simplify(expr) == 0


@cache
def local(m: Map) -> Local | None:
    """``m`` about the fixed point that it has at its critical parameter value, followed as a function of ``g``.

    ``None`` where that point does not persist as a rational function of the parameter (a saddle-node), or the
    coefficients there are no polynomials of it.

    Raises:
        ValueError: see `critical_multiplier`.
    """
    multiplier = critical_multiplier(m)
    x, g = m.states[0], m.parameters[0]
    step, at = m.steps[0], dict(m.critical)
    if multiplier == 1 and not _is_zero(step.diff(g).subs(at), m):
        return None  # (f_x − 1) h*' + f_g = 0: at a fold no fixed point has a derivative in the parameter
    point = _branch(m, step, x, g, at)
    if point is None:
        return None
    degree = sp.Poly(step, x).degree() if step.is_polynomial(x) else None
    form = Local(m, point, degree)
    known = form.powers(3 if degree is None else degree)
    return form if all(form.coefficient(k).is_polynomial(g) for k in known) else None


def _branch(m: Map, step: sp.Expr, x: sp.Symbol, g: sp.Symbol, at: dict[sp.Symbol, sp.Expr]) -> sp.Expr | None:
    numerator = step - x if step.is_polynomial(x, g) else sp.numer(sp.together(step - x))
    if _is_zero(sp.expand(numerator.subs(x, at[x])), m):
        return at[x]
    for root in _roots(numerator, x, g):
        if sp.denom(root).subs(g, at[g]) != 0 and _is_zero(root.subs(g, at[g]) - at[x], m):
            return root
    return None


def _roots(numerator: sp.Expr, x: sp.Symbol, g: sp.Symbol) -> list[sp.Expr]:
    """Zeros in ``x`` that are rational functions of ``g``."""
    if numerator.is_polynomial(x, g):
        factors = [f for f, _ in sp.Poly(numerator, x, g).factor_list()[1] if f.degree(x) == 1]
        pairs = [sp.Poly(f.as_expr(), x).all_coeffs() for f in factors]
        return [sp.cancel(-b / a) for a, b in pairs]
    if sp.count_ops(numerator) > _SOLVABLE:
        return []
    try:
        found = sp.solve(sp.factor(sp.expand(numerator)), x)
    except (NotImplementedError, sp.PolynomialError, TypeError, ValueError):
        return []
    return [sp.cancel(root) for root in found if root.is_rational_function(g)]


_SOLVABLE = 30
"""Operations in a transcendental equation up to which SymPy answers at once."""


def _support(powers: Iterable[int], order: int) -> list[int]:
    """Exponents of ``x0`` that can occur in an orbit through ``x0**order``."""
    step = 0
    for k in powers:
        step = sp.igcd(step, k - 1)
    return [k for k in range(1, order + 1) if (k - 1) % step == 0] if step else [1]


def local_terms(form: Local, order: int, horizon: sp.Expr) -> Terms:
    """The terms of ``A_T`` through ``x0**order``, ``x0 = h0 − h*(g)``, by the recursion of truncated series.

    ``a_{t+1}(x0) = f(a_t(x0))`` and its tangent in ``g``, coefficient by coefficient; coefficients of one order
    have one sign near the bifurcation, so that nothing cancels at ``g = 1``.

    Args:
        form: the map about its fixed point.
        order: highest power of ``x0`` kept.
        horizon: a symbol or an integer.
    """
    g = form.map.parameters[0]
    moving = form.fixed_point.diff(g)
    reach = order + 1 if moving != 0 else max(order - 1, 1)
    powers = form.powers(reach)
    support = _support(powers, reach)
    orbit = {k: sp.Symbol(f"a{k}", real=True) for k in support}
    prelude = [(sp.Symbol(f"f{k}", real=True), form.coefficient(k)) for k in powers]
    body: list[tuple[sp.Symbol, sp.Expr]] = []
    nexts = named(_compose(orbit, dict(zip(powers, (s for s, _ in prelude), strict=True)), reach, body), "b", body)
    carries = [Carry(a, sp.Integer(int(k == 1)), nexts.get(k, sp.Integer(0))) for k, a in orbit.items()]
    moved, tangents = loop(carries, g, horizon, prelude, body).with_tangents(g)
    sensitivity: Series = {k: tangents[b] for k, b in nexts.items() if b in tangents}
    if moving != 0:
        sensitivity, moved = _shifted(sensitivity, nexts, moving, moved, order)
    return accumulated(moved, [sensitivity], order, form.fixed_point)


def loop(
    carries: Iterable[Carry],
    g: sp.Symbol,
    horizon: sp.Expr,
    prelude: Iterable[tuple[sp.Symbol, sp.Expr]],
    body: Iterable[tuple[sp.Symbol, sp.Expr]],
) -> Program:
    """The program that carries the coefficients of an orbit to its ``horizon``-th iterate."""
    return Program(
        (g, horizon) if isinstance(horizon, sp.Symbol) else (g,),
        (),
        prelude=tuple(prelude),
        carries=tuple(carries),
        body=tuple(body),
        counter=symbols("t"),
        horizon=horizon,
    )


def accumulated(moved: Program, sensitivities: Iterable[Series], order: int, origin: sp.Expr) -> Terms:
    """``moved`` with the squares of the ``sensitivities`` summed over time."""
    squares: dict[int, list[sp.Expr]] = {}
    for s in sensitivities:
        for k, square in multiply(s, s, order).items():
            squares.setdefault(k, []).append(square)
    sums = {k: sp.Symbol(f"A{k}", real=True) for k in squares}
    carries = tuple(Carry(sums[k], sp.Integer(0), sums[k] + sp.Add(*squares[k])) for k in squares)
    program = replace(moved, results=(), carries=(*moved.carries, *carries))
    return Terms(program, {(k, k): a for k, a in sums.items()}, origin)


def _compose(orbit: Series, coefficients: Series, order: int, body: list[tuple[sp.Symbol, sp.Expr]]) -> Series:
    """``Σ_j f_j a^j`` through ``order``, powers named in ``body`` on the way."""
    total: dict[int, list[sp.Expr]] = {}
    power, degree = orbit, 1
    for j in sorted(coefficients):
        while degree < j:
            degree += 1
            power = named(multiply(power, orbit, order), f"p{degree}_", body)
        for k, expr in power.items():
            total.setdefault(k, []).append(coefficients[j] * expr)
    return {k: sp.Add(*terms) for k, terms in sorted(total.items())}


def _shifted(
    sensitivity: Series, orbit: Series, moving: sp.Expr, program: Program, order: int
) -> tuple[Series, Program]:
    """``∂_g (h* + x_t(h0 − h*, g))`` where the fixed point moves."""
    speed = sp.Symbol("speed", real=True)
    shifted = {0: speed, **sensitivity}
    for k, b in orbit.items():
        shifted[k - 1] = shifted.get(k - 1, sp.Integer(0)) - speed * k * b
    body = list(program.body)
    series = named({k: v for k, v in shifted.items() if k <= order}, "s", body)
    return series, replace(program, prelude=(*program.prelude, (speed, moving)), body=tuple(body))
