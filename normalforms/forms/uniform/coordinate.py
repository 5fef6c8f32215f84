"""A scalar map about a fixed point that moves, in the coordinate in which its flow is Bernoulli's.

With ``h = h* + x`` and the multiplier ``±(1 + m)``, ``m`` the parameter, everything is an exact power series in ``m``
and in the state. A change ``x = z + b₁ z² + b₂ z⁴ + …`` leaves of a flip, or of an odd map, odd powers alone,

    z' = ±(g z + c₃ z³ + c₅ z⁵ + …),   g = 1 + m,

so that ``u = z²/s`` has a map of its own; at a transcritical point that is ``u = x/s``. The factor ``s(m)`` puts the
other fixed point, the new cycle or branch, at ``u = m``. Source: Y. A. Kuznetsov, Elements of Applied Bifurcation
Theory, §4.5, for the change; the rest of it here.
"""

from __future__ import annotations

from dataclasses import dataclass

import sympy as sp

from normalforms.exact import Poly, Table, at, drop, poly, quotient, raised, root, shortened, taylor, truncated
from normalforms.forms.series import Local
from normalforms.forms.uniform.matching import NODES, Approximant, Family, approximant, flow_series

__all__ = ["Normalised", "normalised"]

TERMS, DEGREES = 9, (4, 2)
"""Terms of the coefficients as power series of ``m``, and highest and lowest degree of their approximants."""


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


def _regular(series: list[Poly]) -> list[Approximant]:
    """Approximants without a pole next to the bifurcation, as far as may be."""
    reach = sp.Rational(1, 4)
    while True:
        found = [approximant(c, (-reach, reach), *DEGREES) for c in series]
        made = [a for a in found if a is not None]
        if len(made) == len(found):
            return made
        reach /= 2


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
