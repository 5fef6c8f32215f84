"""Coefficients of the uniform laws: the functional equation of the time function, solved in exact power series.

The time that an orbit takes from ``x`` to ``y`` is ``τ(y) − τ(x)`` with ``τ(f(x)) = τ(x) + 1`` (Abel's equation).
Next to a bifurcation ``τ`` is a known logarithmic part, which carries the fixed points and their multipliers, plus a
polynomial of the state. The unknown coefficients are linear in Abel's equation; they are fixed by asking that it
hold at as many states as there are unknowns. The states are polynomials of the parameter that vanish at the
bifurcation: they merge there, and the equation is met to the highest order in the state. The coefficients are
analytic through it, and are returned as Padé approximants of their exact power series.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import sympy as sp

from normalforms.codegen import horner
from normalforms.polynomials import Poly, poly, to_expr

__all__ = ["Approximant", "Nodes", "bernoulli_coefficients", "fold_coefficients", "phase_coefficients"]

DEGREE, FOLD_DEGREE = 5, 6
"""Degree of numerator and denominator of the approximants, and of those of the fold."""
_REACH, _FOLD_REACH = (-sp.Rational(1, 2), sp.Rational(1, 2)), (-sp.Rational(1, 10), sp.Rational(1, 10))
"""Ranges of the parameter without a pole: ``g − 1`` in general, and ``ν``."""
_TERMS = 2 * FOLD_DEGREE + 1

Nodes = tuple[tuple[sp.Rational, ...], ...]
"""States where Abel's equation is met, each ``Σ_i c_i m^{i+1}`` in the parameter ``m`` by its coefficients ``c_i``."""
Table = list[Poly]
"""A power series in the state, by power; its coefficients are truncated power series of the parameter."""


@dataclass(frozen=True, eq=False)
class Approximant:
    """``numerator/denominator``, the diagonal Padé approximant of a power series in the parameter.

    Args:
        numerator: polynomial over the rationals.
        denominator: another, 1 at zero.

    >>> Approximant(poly([1]), poly([1, 1])).at(sp.Symbol("m"))
    1/(m + 1)
    """

    numerator: Poly
    denominator: Poly

    def at(self, x: sp.Expr) -> sp.Expr:
        """The value at ``x``, both polynomials in Horner form."""
        return self._horner(self.numerator, x) / self._horner(self.denominator, x)

    def leading(self, x: sp.Symbol) -> sp.Expr:
        """The power series through ``x²``, with its order term; zero where it is zero."""
        if not self.numerator:
            return sp.Integer(0)
        first = _quotient(self.numerator, self.denominator, 3)
        return to_expr(first, x) + sp.Order(x**3)

    @staticmethod
    def _horner(p: Poly, x: sp.Expr) -> sp.Expr:
        y = sp.Symbol("y")
        return horner([to_expr(p, y).coeff(y, k) for k in range(p.degree() + 1)], x)


@cache
def bernoulli_coefficients(power: int, shear: sp.Rational, nodes: Nodes) -> tuple[Approximant, ...]:
    """``κ, r_1 … r_n`` of ``τ = [ln u − ln|v − u|]/(k ln g) + κ ln|v − u| + Σ r_j u^j``, in ``g − 1``.

    The map is ``u' = u (g − u)`` with k = 1, or ``u' = u ((g − u)² + (s − 1) u²)`` with k = 2; ``v`` is its other
    fixed point. Abel's equation holds exactly at ``u = 0`` and ``v`` is a fixed point whatever the coefficients.

    Args:
        power: k.
        shear: s; 1 for k = 1.
        nodes: the states where Abel's equation holds, in ``g − 1``; n + 1 of them, and a repeated one counts as a
            derivative.

    >>> kappa, first = bernoulli_coefficients(2, sp.Integer(1), ((), ()))
    >>> kappa.at(sp.Integer(0)), first.at(sp.Integer(0))
    (3/4, 5/8)
    """
    family = _Family(power, shear)
    gap = _logarithm(family.growth)
    # the pole of 1/ln g at g = 1 meets a bracket that vanishes there
    pole = _quotient(poly([1]), poly([sp.Rational((-1) ** j, j + 1) for j in range(_TERMS + 1)]))
    known = [_cut(_drop(a - b) * pole / power) for a, b in zip(gap, family.log_other, strict=True)]
    columns = [[*family.log_other], *(_change(family.step, j) for j in range(1, len(nodes)))]
    return _matched(columns, [-k for k in known], _monic(((), *nodes)), family.reach, skip=1)


@cache
def phase_coefficients(
    shear: sp.Rational, twist: sp.Rational, nodes: Nodes, kappa: Approximant | None
) -> tuple[Approximant, ...]:
    """``χ, θ_1 … θ_n`` of ``Θ = χ ln|v − u| + Σ θ_j u^j`` with ``Θ(u') − Θ(u) = arg(g − u + i τ u)``, in ``g − 1``.

    The ``θ_j`` belong to the exact ``χ = φ/ln m``, ``φ`` the turn and ``m`` the multiplier at ``v``, which solves the
    equation at ``v``; the χ returned is ``−φ (1/(2 ln g) − κ)``, exact for a time function whose ``m`` is ``κ``'s.

    Args:
        shear: ``1 + τ²``.
        twist: ``τ``.
        nodes: the n other states where the equation holds, in ``g − 1``.
        kappa: that of `bernoulli_coefficients`; ``None`` for zero.
    """
    family, terms = _Family(2, shear), _TERMS + 1
    slope, inverse = 1 - sp.I * twist, _quotient(poly([1]), poly([1, 1]))
    turn, over = [poly([])], poly([1])
    for j in range(1, _states(_TERMS)):  # arg(1 − (1 − iτ) u/g)
        over = _cut(over * inverse, terms)
        turn.append(over * _rational(-sp.im(sp.expand(slope**j)) / j))
    v = family.other
    at_v = [_value(table, v) for table in (turn, family.log_other)]
    turned, rate = (_drop(p) for p in at_v)
    exact = _quotient(turned, rate, _TERMS)
    rest = [_cut(a - b * exact) for a, b in zip(turn, family.log_other, strict=True)]
    columns = [_between(_change(family.step, j), v) for j in range(1, len(nodes) + 1)]
    theta = _matched(columns, _between(rest, v), _monic(nodes), family.reach) if nodes else ()
    logarithm = poly([0, *(sp.Rational((-1) ** j, j + 1) for j in range(terms))])
    late = poly([]) if kappa is None else _quotient(kappa.numerator, kappa.denominator)
    chi = _quotient(turned * (poly([1]) - logarithm * late * 2), _drop(logarithm) * (-2), _TERMS)
    return (_pade(chi, family.reach), *theta)


@cache
def fold_coefficients(squares: Nodes) -> tuple[Approximant, ...]:
    """``η, K, r_1 … r_n`` of ``τ = (η/2w) ln|(h + w)/(h − w)| + K ln|h² − ν| + Σ r_j h^j``, ``ν = w²``, in ``ν``.

    The map is ``h' = h + ν − h²``.

    Args:
        squares: those of the states ``±x`` where Abel's equation holds, in ``ν``; an empty one stands for the single
            state 0.

    >>> [a.at(sp.Integer(0)) for a in fold_coefficients(((sp.Rational(1, 4),),))]
    [1, 1/2]
    """
    states = _states(_TERMS, 2)
    # 1/(1 − h)^m = Σ C(i + m − 1, i) h^i; the bracket of η is Σ ν^k/((2k + 1)(1 − h)^{2k+1})
    binomial = lambda i, m: sp.binomial(i + m - 1, i)  # noqa: E731
    bernoulli = [poly([binomial(i, 2 * k + 1) / (2 * k + 1) for k in range(_TERMS)]) for i in range(states)]
    spread = [poly([0, *(-binomial(i, 2 * k) / k for k in range(1, _TERMS))]) for i in range(states)]
    logarithm = [a + poly([sp.Rational(-2, i) if i else 0]) for i, a in enumerate(spread)]
    step = [poly([0, 1]), poly([1]), poly([-1])]
    count = sum(2 if square else 1 for square in squares)
    columns = [bernoulli, logarithm, *(_change(step, j, 2) for j in range(1, count - 1))]
    one = [poly([1]), *(poly([]) for _ in range(states - 1))]
    return _matched(columns, one, _monic(squares, 2), _FOLD_REACH, degree=FOLD_DEGREE)


@dataclass(frozen=True)
class _Family:
    """``u' = u (g − u)`` (power 1), ``u' = u ((g − u)² + (s − 1)u²)`` (power 2) as tables in ``u`` and ``g − 1``."""

    power: int
    shear: sp.Rational

    @property
    def step(self) -> Table:
        g = poly([1, 1])
        return [poly([]), g, poly([-1])] if self.power == 1 else [poly([]), g * g, g * (-2), poly([self.shear])]

    @property
    def growth(self) -> Table:
        """``u'/(u g^k)``."""
        inverse = _quotient(poly([1]), poly([1, 1]))
        scale = inverse if self.power == 1 else inverse * inverse
        return [_cut(c * scale, _TERMS + 1) for c in self.step[1:]]

    @property
    def log_other(self) -> Table:
        """``ln (v − u')/(v − u)``."""
        if self.power == 1:
            return _logarithm([poly([1]), poly([-1])])
        return _logarithm([poly([1]), self.other * _rational(self.shear) - poly([2, 2]), poly([self.shear])])

    @property
    def reach(self) -> tuple[sp.Rational, sp.Rational]:
        """``g − 1`` up to where ``v`` is about to cease, ``g² − s (g² − 1) = 3/4``."""
        low, high = _REACH
        if self.shear == 1:
            return low, high
        ceases = sp.sqrt((self.shear - sp.Rational(3, 4)) / (self.shear - 1)) - 1
        return low, min(high, sp.Rational(int(1000 * ceases), 1000))

    @property
    def other(self) -> Poly:
        """``v``; for k = 2 from ``s v² − 2 g v + g² − 1 = 0``."""
        if self.power == 1:
            return poly([0, 1])
        g, v = poly([1, 1]), poly([])
        half = _quotient(poly([1]), g * 2)
        for _ in range(_TERMS + 1):
            v = _cut((g * g - poly([1]) + v * v * _rational(self.shear)) * half, _TERMS + 1)
        return v


def _rational(value: sp.Expr) -> int | object:
    """A rational number as an element of the polynomials' field."""
    return poly([value]).coeffs()[0] if value else 0


# --- power series ----------------------------------------------------------------------------------------------


def _states(terms: int, weight: int = 1) -> int:
    """Powers of the state that reach ``terms`` powers of the parameter, whatever the nodes."""
    return weight * (terms + 1) + 8


def _cut(p: Poly, terms: int = _TERMS) -> Poly:
    return poly(p.coeffs()[:terms])


def _drop(p: Poly) -> Poly:
    return poly(p.coeffs()[1:])


def _quotient(a: Poly, b: Poly, terms: int = _TERMS + 1) -> Poly:
    """``a/b`` as a power series, ``b(0) ≠ 0``."""
    top, bottom = ([*p.coeffs(), *[0] * terms][:terms] for p in (a, b))
    out: list = []
    for k in range(terms):
        out.append((top[k] - sum((bottom[k - j] * out[j] for j in range(k)), start=0 * bottom[0])) / bottom[0])
    return poly(out)


def _logarithm(table: Table) -> Table:
    """``ln Σ table[k] u^k`` with ``table[0] = 1``."""
    states = _states(_TERMS)
    full = [*table, *(poly([]) for _ in range(states - len(table)))]
    out = [poly([])]
    for k in range(1, states):
        total = full[k] * k
        for j in range(max(1, k - len(table) + 1), k):
            total = total - out[j] * full[k - j] * j
        out.append(_cut(total, _TERMS + 1) / k)
    return out


def _value(table: Table, v: Poly) -> Poly:
    """The table at the state ``v``, which vanishes at the bifurcation."""
    total, power = poly([]), poly([1])
    for c in table[: _TERMS + 2]:
        total, power = _cut(total + c * power, _TERMS + 1), _cut(power * v, _TERMS + 1)
    return total


def _between(table: Table, v: Poly) -> Table:
    """``table/(u (v − u))`` for a table that vanishes at ``u = 0`` and ``u = v``."""
    out, q = [poly([])] * len(table), poly([])
    for i in range(len(table) - 1, 1, -1):
        q = _cut(v * q - table[i])
        out[i - 2] = q
    return out


def _change(step: Table, j: int, weight: int = 1) -> Table:
    """``f^j − u^j``."""
    power = [poly([1])]
    for _ in range(j):
        row = [poly([]) for _ in range(len(power) + len(step) - 1)]
        for a, p in enumerate(power):
            for b, q in enumerate(step):
                row[a + b] = row[a + b] + p * q
        power = row
    states = _states(_TERMS, weight)
    full = [*power, *(poly([]) for _ in range(states - len(power)))]
    full[j] = full[j] - poly([1])
    return full


# --- the linear equations --------------------------------------------------------------------------------------


def _monic(nodes: Nodes, power: int = 1) -> Table:
    """``Π (u^power − node)``, with ``u`` for a node of 0."""
    out = [poly([1])]
    for node in nodes:
        shift = power if node else 1
        longer = [*(poly([]) for _ in range(shift)), *out]
        for k, c in enumerate(out):
            longer[k] = longer[k] - c * poly([0, *node])
        out = longer
    return out


def _matched(
    columns: Sequence[Table],
    target: Table,
    monic: Table,
    reach: tuple[sp.Rational, sp.Rational],
    skip: int = 0,
    degree: int = DEGREE,
) -> tuple[Approximant, ...]:
    """``c`` with ``Σ c_i columns_i = target`` where ``monic`` vanishes; the first ``skip`` equations hold already."""
    reduced = [_remainder(table, monic)[skip:] for table in (*columns, target)]
    rows = [list(row) for row in zip(*reduced, strict=True)]
    return tuple(_pade(series, reach, degree) for series in _solve(rows))


def _remainder(table: Table, monic: Table) -> list[Poly]:
    """``table`` modulo the polynomial ``monic`` of the state: equal to it where that vanishes."""
    size = len(monic) - 1
    power = [poly([1] if k == 0 else []) for k in range(size)]  # u^i
    out = [poly([]) for _ in range(size)]
    for coefficient in table:
        out = [a + coefficient * p for a, p in zip(out, power, strict=True)]
        lead, shifted = power[-1], [poly([]), *power[:-1]]
        power = [_cut(a - lead * c) for a, c in zip(shifted, monic, strict=False)]
    return [_cut(p) for p in out]


def _solve(rows: list[list[Poly]]) -> list[Poly]:
    """Gauss elimination over power series; at the bifurcation the matrix is triangular with no zero on its diagonal."""
    size = len(rows)
    for i in range(size):
        inverse = _quotient(poly([1]), rows[i][i])
        rows[i] = [_cut(a * inverse) for a in rows[i]]
        for j in range(size):
            if j != i:
                factor = rows[j][i]
                rows[j] = [_cut(a - factor * b) for a, b in zip(rows[j], rows[i], strict=True)]
    return [row[-1] for row in rows]


def _pade(series: Poly, reach: tuple[sp.Rational, sp.Rational], highest: int = DEGREE) -> Approximant:
    """The diagonal Padé approximant of highest degree without a pole within reach, by Euclid's algorithm.

    Euclid's algorithm on ``(x^{2n+1}, series)`` stops at the first remainder of degree n.
    """
    x = sp.Symbol("x")
    for degree in range(highest, -1, -1):
        before, now = poly([0] * (2 * degree + 1) + [1]), _cut(series, 2 * degree + 1)
        old, new = poly([]), poly([1])
        while now.degree() > degree:
            quotient, rest = divmod(before, now)
            before, now = now, rest
            old, new = new, old - quotient * new
        constant = new.coeffs()[0]
        if constant and not sp.Poly(to_expr(new, x), x).count_roots(*reach):
            return Approximant(now / constant, new / constant)
    raise AssertionError("a polynomial of degree 0 has no roots")
