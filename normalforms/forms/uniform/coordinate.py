"""Scalar maps in the coordinate of their flow: Bernoulli's about a fixed point that moves, and that of a fold.

With ``h = h* + x`` and the multiplier ``±(1 + m)``, ``m`` the parameter, everything is an exact power series in ``m``
and in the state. A change ``x = z + b₁ z² + b₂ z⁴ + …`` leaves of a flip, or of an odd map, odd powers alone,

    z' = ±(g z + c₃ z³ + c₅ z⁵ + …),   g = 1 + m,

so that ``u = z²/s`` has a map of its own; at a transcritical point that is ``u = x/s``. The factor ``s(m)`` puts the
other fixed point, the new cycle or branch, at ``u = m``. Source: Y. A. Kuznetsov, Elements of Applied Bifurcation
Theory, §4.5, for the change; the rest of it here.

At a fold the two fixed points are ``c(n) ± √ν(n)``, with ``c`` and ``ν`` power series of the scaled parameter ``n``:
on the curve ``n = M(y)`` of fixed points ``u = √M`` is a coordinate, ``y(u)`` is analytic, and ``c`` and ``√ν`` are its
even and its odd part at ``u = √n``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import sympy as sp

from normalforms.exact import (
    Poly,
    Table,
    at,
    drop,
    poly,
    quotient,
    raised,
    root,
    rounded,
    shortened,
    taylor,
    truncated,
)
from normalforms.forms.series import Local
from normalforms.forms.uniform.matching import NODES, Approximant, Family, Nodes, approximant, flow_series, fold_series
from normalforms.maps import Map

__all__ = ["Folded", "Normalised", "folded", "normalised"]

TERMS, DEGREES = 9, (4, 2)
"""Terms of the coefficients as power series of ``m``, and highest and lowest degree of their approximants."""
_REACH, _SHRUNK = sp.Rational(1, 4), 40
"""Range of the parameter without a pole, and how often it is halved where there is one."""


@dataclass(frozen=True, eq=False)
class Normalised:
    """The map as ``x = z + Σ b_i z^{2i}``, ``z^k = s u``, and its time.

    Args:
        size: ``s``.
        bends: ``b_1 … b_{p+1}``, none where all vanish. The last one puts the cycle in its place to all orders.
        shift: ``κ, r_1 … r_{p−1}`` of the law, see `normalforms.forms.uniform.matching`.
    """

    size: Approximant
    bends: tuple[Approximant, ...]
    shift: tuple[Approximant, ...]

    @property
    def parts(self) -> tuple[Approximant, ...]:
        """Size and bends."""
        return (self.size, *self.bends)


def normalised(form: Local, sign: int, power: int, order: int) -> Normalised:
    """The coordinate of the law of order p.

    Args:
        form: the map about its fixed point.
        sign: of the multiplier.
        power: k.
        order: p.

    Raises:
        ValueError: even powers that no change of the coordinate removes.
    """
    rows = _expanded(form, sign, 2 * (TERMS + order + 2))
    terms = len(rows) // 2
    if power == 1:
        other = root([rows[1] - poly([1]), *rows[2:]], terms)
        size, bends = drop(other), []
        step = _scaled(rows[1:], size, terms)
    else:
        odd, bends = _oddly(rows)
        odd = [c * sign for c in odd[1::2]]
        size = drop(root([odd[0] - poly([1]), *odd[1:]], terms))
        step = _scaled(raised(odd, 2, len(odd), terms), size, terms)
    bends = _cycle(bends, size, order + 1)
    shift = flow_series(Family(power, [poly([]), *step], TERMS), NODES[power][order])
    made = _regular([shortened(truncated(c, TERMS)) for c in (size, *bends, *shift)])
    return Normalised(made[0], tuple(made[1 : len(bends) + 1]), tuple(made[len(bends) + 1 :]))


def _regular(series: list[Poly], reach: sp.Rational = _REACH) -> list[Approximant]:
    """Approximants without a pole next to the bifurcation, as far as may be."""
    for _ in range(_SHRUNK):
        found = [approximant(c, (-reach, reach), *DEGREES) for c in series]
        made = [a for a in found if a is not None]
        if len(made) == len(found):
            return made
        reach /= 2
    # a denominator that vanishes at the bifurcation itself, in every degree: the polynomial is left
    return [Approximant(truncated(c, DEGREES[0] + 1), poly([1])) for c in series]


def _scaled(table: Table, size: Poly, terms: int) -> Table:
    """``Σ table[j] (s u)^j``."""
    out, factor = [], poly([1])
    for c in table:
        out.append(shortened(truncated(c * factor, terms)))
        factor = shortened(truncated(factor * size, terms))
    return out


def _cycle(bends: list[Poly], size: Poly, count: int) -> list[Poly]:
    """The first ``count`` bends; the last one takes the others as they are on the cycle, at ``z² = s m``."""
    if not any(bends):
        return []
    rest = at(bends[count - 1 :], size * poly([0, 1]), TERMS)
    return [*bends[: count - 1], rest]


def _expanded(form: Local, sign: int, weight: int) -> Table:
    """``f_k`` of ``x' = Σ f_k x^k`` as series of ``m``, through a weight of 1 per ``x`` and 2 per ``m``."""
    (h,), (g,) = form.map.states, form.map.parameters
    x, centre = sp.Dummy("x"), dict(form.map.critical)[g]
    moved = form.map.steps[0].subs(h, form.fixed_point + x) - form.fixed_point
    point = {x: sp.Integer(0), g: centre}
    found = taylor([moved], point, weight, weights=(1, 2), rational=True)[0]
    table = [poly([found.get((k, j), 0) for j in range((weight - k) // 2 + 1)]) for k in range(weight + 1)]
    growth = (table[1] * sign).coeffs()
    # the series of g − g* in m = growth − 1
    offset = root([poly([0, -1]), *(poly([c]) for c in growth[1:])], weight // 2 + 1)
    return [poly([]), *(shortened(at([poly([c]) for c in row.coeffs()], offset, weight // 2 + 1)) for row in table[1:])]


def _oddly(rows: Table) -> tuple[Table, list[Poly]]:
    """``ψ`` and ``b`` with ``f(Φ(z)) = Φ(ψ(z))``, ``ψ`` odd and ``Φ = z + Σ b_i z^{2i}``.

    Raises:
        ValueError: the map has an even power that stays.
    """
    size = len(rows)
    change, odd = [poly([]), poly([1])], [poly([]), rows[1]]
    zero = poly([])
    # powers of both, each coefficient by coefficient as far as it is known
    left, right = ([[zero] * k for k in range(size)] for _ in range(2))
    left[1], right[1] = change, odd
    for n in range(2, size):
        length = (size - n) // 2 + 1
        for table in (left, right):
            for k in range(2, n + 1):
                total = zero
                for i in range(1, n - k + 2):
                    total = total + table[1][i] * table[k - 1][n - i]
                table[k].append(truncated(total, length))
        gap = rows[n]
        for k in range(2, n):
            gap = gap + rows[k] * left[k][n] - change[k] * right[k][n]
        gap = shortened(truncated(gap, length))
        if n % 2:
            change.append(zero)
            odd.append(gap)
        else:
            change.append(_removed(gap, truncated(rows[1] ** n - rows[1], length), length))
            odd.append(zero)
    return odd, change[2::2]


def _removed(gap: Poly, divisor: Poly, length: int) -> Poly:
    if not gap or length < 1:
        return poly([])
    if not divisor.coeffs()[0]:
        raise ValueError("the map is not odd about its fixed point")
    return shortened(quotient(gap, divisor, length))


# --- folds ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Folded:
    """A map at a fold as ``y' = y + n − y² + …``, with ``y = bend (x − x*)`` and ``n = bend force (g − g*)``.

    Args:
        bend: ``−f_xx/2``.
        force: ``f_g``.
        centre: half the sum of both fixed points in ``y``, in ``n``.
        nu: square of half their difference.
        shift: ``η, K, r_1 … r_{p−1}`` of the law, see `normalforms.forms.uniform.matching`; none at order 0.
        size: of ``y``, at which no term is larger than ``y²`` and ``n``.
    """

    bend: sp.Rational
    force: sp.Rational
    centre: Approximant
    nu: Approximant
    shift: tuple[Approximant, ...]
    size: float

    @property
    def speed(self) -> sp.Rational:
        """``n/(g − g*)``."""
        return self.bend * self.force


def folded(m: Map, squares: Nodes) -> Folded:
    """A scalar map in the coordinate of a fold.

    Args:
        m: a map with a multiplier of 1 and ``f_g ≠ 0``.
        squares: states where Abel's equation is met, see `normalforms.forms.uniform.fold.FOLD_NODES`; none at order 0.

    Raises:
        ValueError: the quadratic coefficient vanishes.
    """
    point = {s: rounded(v) for s, v in dict(m.critical).items()}
    weight = 2 * (TERMS + 1) + 8
    found = taylor([m.steps[0]], point, weight, weights=(1, 2), rational=True)[0]
    bend, force = -sp.sympify(found.get((2, 0), 0)), sp.sympify(found.get((0, 1), 0))
    if abs(bend) < _ZERO:
        (g,) = m.parameters
        raise ValueError(
            f"the quadratic coefficient vanishes at {g} = {dict(m.critical)[g]}; the fold is degenerate, and reduce"
            " names it"
        )
    scaled = {k: sp.sympify(v) * bend ** (1 - k[0] - k[1]) / force ** k[1] for k, v in found.items()}
    scaled |= {(0, 0): sp.S.Zero, (1, 0): sp.S.One}  # up to rounding
    table = [poly([scaled.get((j, k), 0) for k in range((weight - j) // 2 + 1)]) for j in range(weight + 1)]
    table = [shortened(c) for c in table]
    centre, nu = _branches(scaled, weight)
    factor = _factor(table, centre, nu, weight) if squares else []
    shift = fold_series(factor, nu, squares, TERMS) if squares else []
    excess = {(j, k): abs(v) for (j, k), v in scaled.items() if v and j + 2 * k > 2}
    size = min((float(v) ** (-1 / (j + 2 * k - 2)) for (j, k), v in excess.items()), default=1.0)
    reach = min(_REACH, sp.Rational(max(size**2, _SMALL)))
    made = _regular([shortened(truncated(c, TERMS)) for c in (centre, nu, *shift)], reach)
    return Folded(bend, force, made[0], made[1], tuple(made[2:]), size)


_ZERO, _SMALL = sp.Float("1e-30"), 1e-12


def _branches(scaled: dict[tuple[int, ...], sp.Expr], weight: int) -> tuple[Poly, Poly]:
    """``c`` and ``ν`` of the fixed points ``c ± √ν``."""
    rows = [[scaled.get((j, k), 0) for j in range(weight - 2 * k + 1)] for k in range(weight // 2 + 1)]
    rows[0][1] = sp.S.Zero  # f − y
    curve = root([shortened(poly(row)) for row in rows], weight + 1)  # n = M(y)
    square = poly(curve.coeffs()[2:])
    slope = root([poly([1]) - square, poly([2]), poly([1])], weight - 1) + poly([1])  # √M/y
    y = root([poly([0, -1]), *(poly([c]) for c in slope.coeffs())], weight).coeffs()
    odd = poly(y[1::2])
    return shortened(poly(y[::2])), shortened(truncated(odd * odd * poly([0, 1]), weight // 2))


def _factor(table: Table, centre: Poly, nu: Poly, weight: int) -> Table:
    """``q`` of ``z' = z + (ν − z²) q``, ``y = c + z``."""
    terms = weight // 2 + 1
    powers = [poly([1])]
    for _ in table[1:]:
        powers.append(shortened(truncated(powers[-1] * centre, terms)))
    moved = []
    for k in range(weight + 1):
        total = poly([])
        for i in range(k, weight + 1):
            total = total + table[i] * powers[i - k] * math.comb(i, k)
        moved.append(truncated(total, terms))
    out = [poly([])] * (weight + 3)
    for k in range(weight, 1, -1):
        out[k - 2] = shortened(truncated(nu * out[k] - moved[k], (weight - k) // 2 + 1))
    return out[: weight - 1]
