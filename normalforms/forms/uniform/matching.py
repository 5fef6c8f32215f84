"""Coefficients of the uniform laws: the functional equation of the time function, solved in exact power series.

The time that an orbit takes from ``x`` to ``y`` is ``τ(y) − τ(x)`` with ``τ(f(x)) = τ(x) + 1`` (Abel's equation).
Next to a bifurcation ``τ`` is a known logarithmic part, which carries the fixed points and their multipliers, plus a
polynomial of the state. The unknown coefficients are linear in Abel's equation; they are fixed by asking that it
hold at as many states as there are unknowns. The states are polynomials of the parameter that vanish at the
bifurcation: they merge there, and the equation is met to the highest order in the state. The coefficients are
analytic through it, and are returned as Padé approximants of their exact power series.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, cached_property

import sympy as sp

from normalforms.exact import (
    Poly,
    Table,
    at,
    drop,
    logarithm,
    over_root,
    poly,
    quotient,
    raised,
    root,
    shortened,
    times,
    to_expr,
    truncated,
)
from normalforms.formulas import horner

__all__ = [
    "NODES",
    "Approximant",
    "Family",
    "Nodes",
    "approximant",
    "bernoulli_coefficients",
    "flow_series",
    "fold_coefficients",
    "fold_series",
    "phase_coefficients",
]

DEGREE, FOLD_DEGREE = 5, 6
"""Degree of numerator and denominator of the approximants, and of those of the fold."""
_REACH, _FOLD_REACH = (-sp.Rational(1, 2), sp.Rational(1, 2)), (-sp.Rational(1, 10), sp.Rational(1, 10))
"""Ranges of the parameter without a pole: ``g − 1`` in general, and ``ν``."""
_TERMS = 2 * FOLD_DEGREE + 1

Reach = tuple[sp.Rational, sp.Rational]
Nodes = tuple[tuple[sp.Rational, ...], ...]
"""States where Abel's equation is met, each ``Σ_i c_i m^{i+1}`` in the parameter ``m`` by its coefficients ``c_i``."""


_READABLE = 10**12
"""Denominators of fractions that are printed as such; others are rounded."""
_Q, _nil = sp.Rational, ()
NODES: dict[int, dict[int, Nodes]] = {
    1: {1: ((_Q(1, 2),),), 2: ((_Q(1, 7), _Q(47, 100)), (_Q(5, 8), _Q(3, 4))), 3: (_nil, (_Q(2, 5),), (_Q(4, 5),))},
    2: {
        1: ((_Q(1, 2),),),
        2: (_nil, (_Q(4, 7),)),
        3: (_nil, _nil, (_Q(2, 3),)),
        4: (_nil, _nil, _nil, (_Q(5, 7),)),
    },
}
"""Where Abel's equation is met, in ``g − 1``, by power k and order. Any choice has the same order; these balance the
error over 0.7 ≤ g ≤ 1.45."""


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

    @property
    def degree(self) -> int:
        """The higher one of both degrees."""
        return max(self.numerator.degree(), self.denominator.degree())

    def at(self, x: sp.Expr) -> sp.Expr:
        """The value at ``x``, both polynomials in Horner form."""
        return horner(self._numbers(self.numerator), x) / horner(self._numbers(self.denominator), x)

    def assigned(self, name: str, powers: Sequence[sp.Expr], block: Callable[[str, sp.Expr], sp.Symbol]) -> sp.Expr:
        """The value by assignments with short derivatives; ``powers`` are 1, x, x², …"""
        parts = [self._numbers(p) for p in (self.numerator, self.denominator)]
        sums = [sp.Add(*(c * x for c, x in zip(numbers, powers, strict=False))) for numbers in parts]
        top, below = (
            e if e.is_number else block(f"{name}_{n}", e) for e, n in zip(sums, ("top", "below"), strict=True)
        )
        return top if below == 1 else block(name, top / below)

    def leading(self, x: sp.Symbol) -> sp.Expr:
        """The power series through ``x²``, with its order term; zero where it is zero."""
        if not self.numerator:
            return sp.Integer(0)
        first = quotient(self.numerator, self.denominator, 3)
        numbers = [c if c.q < _READABLE else sp.N(c, 10) for c in self._numbers(first)]
        return sp.Add(*(c * x**k for k, c in enumerate(numbers))) + sp.Order(x**3)

    @staticmethod
    def _numbers(p: Poly) -> list[sp.Expr]:
        y = sp.Symbol("y")
        return [to_expr(p, y).coeff(y, k) for k in range(p.degree() + 1)]


@dataclass(frozen=True, eq=False)
class Family:
    """A map ``u' = Σ step[j] u^j`` whose fixed points 0 and ``v`` meet at the bifurcation, in ``m = g − 1``.

    Args:
        power: k, with the multiplier ``g^k`` at 0.
        step: the map, each coefficient by its power series.
        terms: number of terms of the coefficients that belong to it.
    """

    power: int
    step: Table
    terms: int = _TERMS

    @cached_property
    def growth(self) -> Table:
        """``u'/(u g^k)``."""
        scale = quotient(poly([1]), poly([1, 1]) ** self.power, self.terms + 1)
        return [truncated(c * scale, self.terms + 1) for c in self.step[1:]]

    @cached_property
    def other(self) -> Poly:
        """``v``."""
        return root([self.step[1] - poly([1]), *self.step[2:]], self.terms + 1)

    @cached_property
    def log_other(self) -> Table:
        """``ln (v − u')/(v − u)``."""
        gap = [self.other, *(-c for c in self.step[1:])]
        return logarithm(over_root(gap, self.other, self.terms + 1)[:-1], _states(self.terms), self.terms + 1)


def _named(power: int, shear: sp.Rational) -> Family:
    """``u' = u (g − u)`` (power 1), ``u' = u ((g − u)² + (s − 1)u²)`` (power 2)."""
    g = poly([1, 1])
    return Family(power, [poly([]), g, poly([-1])] if power == 1 else [poly([]), g * g, g * (-2), poly([shear])])


def _reach(shear: sp.Rational) -> Reach:
    """``g − 1`` up to where ``v`` is about to cease, ``g² − s (g² − 1) = 3/4``."""
    low, high = _REACH
    if shear == 1:
        return low, high
    ceases = sp.sqrt((shear - sp.Rational(3, 4)) / (shear - 1)) - 1
    return low, min(high, sp.Rational(int(1000 * ceases), 1000))


@cache
def bernoulli_coefficients(power: int, shear: sp.Rational, nodes: Nodes) -> tuple[Approximant, ...]:
    """`flow_series` of ``u' = u (g − u)`` with k = 1, or ``u' = u ((g − u)² + (s − 1) u²)`` with k = 2.

    Args:
        power: k.
        shear: s; 1 for k = 1.
        nodes: see there.

    >>> kappa, first = bernoulli_coefficients(2, sp.Integer(1), ((), ()))
    >>> kappa.at(sp.Integer(0)), first.at(sp.Integer(0))
    (3/4, 5/8)
    """
    return _approximants(flow_series(_named(power, shear), nodes), _reach(shear))


def flow_series(family: Family, nodes: Nodes) -> list[Poly]:
    """``κ, r_1 … r_n`` of ``τ = [ln u − ln|v − u|]/(k ln g) + κ ln|v − u| + Σ r_j u^j``, in ``g − 1``.

    Abel's equation holds exactly at ``u = 0`` and ``v`` is a fixed point whatever the coefficients.

    Args:
        family: the map.
        nodes: the states where Abel's equation holds, in ``g − 1``; n + 1 of them, and a repeated one counts as a
            derivative.
    """
    terms = family.terms
    gap = logarithm(family.growth, _states(terms), terms + 1)
    # the pole of 1/ln g at g = 1 meets a bracket that vanishes there
    pole = quotient(poly([1]), poly([sp.Rational((-1) ** j, j + 1) for j in range(terms + 1)]), terms + 1)
    log_other = family.log_other
    known = [truncated(drop(a - b) * pole / family.power, terms) for a, b in zip(gap, log_other, strict=True)]
    columns = [[*log_other], *(_change(family.step, j, terms) for j in range(1, len(nodes)))]
    tables = [*columns, [-k for k in known]]
    return _matched(tables, _monic(((), *nodes)), 1, terms)


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
    family, terms = _named(2, shear), _TERMS + 1
    slope, inverse = 1 - sp.I * twist, quotient(poly([1]), poly([1, 1]), terms)
    turn, over = [poly([])], poly([1])
    for j in range(1, _states(_TERMS)):  # arg(1 − (1 − iτ) u/g)
        over = truncated(over * inverse, terms)
        turn.append(over * _rational(-sp.im(sp.expand(slope**j)) / j))
    v = family.other
    turned, rate = (drop(at(table, v, terms)) for table in (turn, family.log_other))
    exact = quotient(turned, rate, _TERMS)
    rest = [truncated(a - b * exact, terms) for a, b in zip(turn, family.log_other, strict=True)]

    def between(table: Table) -> Table:  # over u (v − u), where it vanishes
        return over_root(table, v, _TERMS)[1:]

    columns = [between(_change(family.step, j, _TERMS)) for j in range(1, len(nodes) + 1)]
    theta = _matched([*columns, between(rest)], _monic(nodes)) if nodes else []
    log = poly([0, *(sp.Rational((-1) ** j, j + 1) for j in range(terms))])
    late = poly([]) if kappa is None else quotient(kappa.numerator, kappa.denominator, terms)
    chi = quotient(turned * (poly([1]) - log * late * 2), drop(log) * (-2), _TERMS)
    return _approximants([chi, *theta], _reach(shear))


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
    return _approximants(fold_series([poly([1])], poly([0, 1]), squares), _FOLD_REACH, FOLD_DEGREE)


def fold_series(factor: Table, nu: Poly, squares: Nodes, terms: int = _TERMS) -> list[Poly]:
    """The same of a map ``h' = h + (ν − h²) q(h)``, in a parameter that ``ν`` is a series of, ``ν = n + …``.

    With ``p = q/(1 − h q)`` the bracket of ``η`` changes by ``Σ ν^k p^{2k+1}/(2k + 1)`` in a step, and that of ``K`` by
    ``2 ln (1 − h q) + ln (1 − ν p²)``.

    Args:
        factor: ``q``, with ``q = 1`` at the fold.
        nu: ``ν``.
        squares: see `fold_coefficients`; in the parameter.
        terms: number of terms.
    """
    states, power = _states(terms, 2), poly([1])
    full = [*factor, *(poly([]) for _ in range(states + 2))][:states]
    left = [poly([1]), *(-c for c in full[:-1])]
    ratio: Table = []
    for k in range(states):
        found = full[k]
        for j in range(k):
            found = found - ratio[j] * left[k - j]
        ratio.append(shortened(truncated(found, terms + 1)))
    square = times(ratio, ratio, states, terms + 1)
    bracket, log = [poly([])] * states, [c * 2 for c in logarithm(left, states, terms + 1)]
    odd, even = ratio, square
    for k in range(terms + 1):  # ν^k h^j counts as h^{j + 2k}
        kept, known = states - 2 * k, terms + 1 - k
        for j in range(kept):
            bracket[j] = bracket[j] + truncated(power * odd[j], terms + 1) / (2 * k + 1)
            log[j] = log[j] - truncated(power * nu * even[j], terms + 1) / (k + 1)
        odd, even = ([shortened(c) for c in times(row, square, kept - 2, known)] for row in (odd, even))
        power = truncated(power * nu, terms + 1)
    step = [truncated(nu * c, terms + 1) - d for c, d in zip(full, [poly([]), poly([]), *full], strict=False)]
    step[1] = step[1] + poly([1])
    count = sum(2 if square else 1 for square in squares)
    columns = [bracket, log, *(_change(step, j, terms, 2) for j in range(1, count - 1))]
    one = [poly([1]), *(poly([]) for _ in range(states - 1))]
    return _matched([*columns, one], _monic(squares, 2), 0, terms)


def _rational(value: sp.Expr) -> int | object:
    """A rational number as an element of the polynomials' field."""
    return poly([value]).coeffs()[0] if value else 0


# --- the linear equations --------------------------------------------------------------------------------------


def _states(terms: int, weight: int = 1) -> int:
    """Powers of the state that reach ``terms`` powers of the parameter, whatever the nodes."""
    return weight * (terms + 1) + 8


def _change(step: Table, j: int, terms: int, weight: int = 1) -> Table:
    """``f^j − u^j``."""
    out = raised(step, j, _states(terms, weight), terms + 1)
    out[j] = out[j] - poly([1])
    return out


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


def _matched(tables: Sequence[Table], monic: Table, skip: int = 0, terms: int = _TERMS) -> list[Poly]:
    """``c``: the last table is ``Σ c_i tables[i]`` where ``monic`` vanishes; ``skip`` equations hold anyway."""
    reduced = [_remainder(table, monic, terms)[skip:] for table in tables]
    return _solve([list(row) for row in zip(*reduced, strict=True)], terms)


def _remainder(table: Table, monic: Table, terms: int) -> list[Poly]:
    """``table`` modulo the polynomial ``monic`` of the state: equal to it where that vanishes."""
    size = len(monic) - 1
    power = [poly([1] if k == 0 else []) for k in range(size)]  # u^i
    out = [poly([]) for _ in range(size)]
    for coefficient in table:
        out = [a + coefficient * p for a, p in zip(out, power, strict=True)]
        lead, shifted = power[-1], [poly([]), *power[:-1]]
        power = [truncated(a - lead * c, terms) for a, c in zip(shifted, monic, strict=False)]
    return [truncated(p, terms) for p in out]


def _solve(rows: list[list[Poly]], terms: int) -> list[Poly]:
    """Gauss elimination over power series; at the bifurcation the matrix is triangular with no zero on its diagonal."""
    size = len(rows)
    for i in range(size):
        inverse = quotient(poly([1]), rows[i][i], terms)
        rows[i] = [truncated(a * inverse, terms) for a in rows[i]]
        for j in range(size):
            if j != i:
                factor = rows[j][i]
                rows[j] = [truncated(a - factor * b, terms) for a, b in zip(rows[j], rows[i], strict=True)]
    return [row[-1] for row in rows]


def _approximants(series: Sequence[Poly], reach: Reach, degree: int = DEGREE) -> tuple[Approximant, ...]:
    found = [approximant(c, reach, degree) for c in series]
    return tuple(a for a in found if a is not None)  # those of degree 0 have no pole


def approximant(series: Poly, reach: Reach, highest: int, lowest: int = 0) -> Approximant | None:
    """The diagonal Padé approximant of highest degree without a pole within reach, by Euclid's algorithm.

    Euclid's algorithm on ``(x^{2n+1}, series)`` stops at the first remainder of degree n. ``None`` where every
    degree from ``lowest`` has a pole.
    """
    x = sp.Symbol("x")
    for degree in range(highest, lowest - 1, -1):
        before, now = poly([0] * (2 * degree + 1) + [1]), truncated(series, 2 * degree + 1)
        old, new = poly([]), poly([1])
        while now.degree() > degree:
            quotient, rest = divmod(before, now)
            before, now = now, rest
            old, new = new, old - quotient * new
        constant = new.coeffs()[0]
        if constant and not sp.Poly(to_expr(new, x), x).count_roots(*reach):
            return Approximant(now / constant, new / constant)
    return None
