"""The series of a driven scaling function in the strength ``y`` of white noise, from the hierarchy of moments.

For the flow ``H' = xH − s H^p``, ``Z' = (x − s p H^{p−1}) Z + H^e`` from rest, ``M_ij = E H^i Z^j``,

    M_ij' = (i + j) x M_ij − s (i + p j) M_{i+p−1,j} + j M_{i+e,j−1} + ½ y i (i−1) M_{i−2,j},

and ``Ψ = ∫ M_02 dτ``. A moment of degree ``i + e j = 2k`` begins at ``y^k``, so that each power of y closes after
finitely many moments. (Itô's formula; Isserlis' theorem gives the same term by term.) ``p = 3, e = 1`` is the
pitchfork, ``p = 2`` the transcritical with ``e = 1`` and the saddle-node with ``e = 0``, at ``x = 0``. Where the flow
can escape the series is that of the orbits that stay within any radius: those that leave add ``e^{−const/y}``.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import scipy  # its parts load when first used
import sympy as sp

from normalforms.exact import ExpMoment
from normalforms.formulas import Domain, Formula, symbols

__all__ = ["coefficients", "critical_series", "leading"]

_x, _y, _z = symbols("x y z")
Key = tuple[int, int, int]


_SHAPES = {"pitchfork": (3, 1), "transcritical": (2, 1), "saddle_node": (2, 0)}
"""p and e."""


def _checked(order: int) -> int:
    if isinstance(order, bool) or not isinstance(order, int) or not 1 <= order <= 12:
        raise ValueError(f"order = {order!r} must be an integer from 1 to 12")
    return order


def _sources(key: Key, kind: str, sign: int) -> list[tuple[sp.Rational, Key]]:
    """What ``M_ij`` at ``y^n`` is fed by at ``x = 0``, but for what vanishes."""
    n, i, j = key
    p, e = _SHAPES[kind]
    terms = [(sp.Integer(-sign * (i + p * j)), (n, i + p - 1, j))]
    if j:
        terms.append((sp.Integer(j), (n, i + e, j - 1)))
    if i >= 2:
        terms.append((sp.Rational(i * (i - 1), 2), (n - 1, i - 2, j)))
    return [(c, k) for c, k in terms if c != 0 and k[0] >= 0 and k[1] + e * k[2] <= 2 * k[0]]


def _ordered(last: list[Key], kind: str, sign: int) -> list[Key]:
    """These moments and all that feed them, each after those before it."""
    found: dict[Key, None] = {}

    def visit(key: Key) -> None:
        if key not in found:
            for _, source in _sources(key, kind, sign):
                visit(source)
            found[key] = None

    for key in last:
        visit(key)
    return list(found)


@cache
def critical_series(order: int, kind: str = "pitchfork", sign: int = 1) -> Formula:
    """``Ψ_σ(0, y) = Σ_k c_k y^k`` with exact rational coefficients; an asymptotic series.

    It warns where its last term exceeds 1 % of the value.

    Args:
        order: highest power of y, 1 to 12.
        kind: "pitchfork", "transcritical" or "saddle_node".
        sign: of the nonlinear coefficient, −1 for a subcritical pitchfork.

    Raises:
        ValueError: order out of range.

    >>> critical_series(2).expr
    -3*y**2/10 + y/12
    >>> critical_series(2, "saddle_node").expr
    2803*y**2/6480 + 17*y/60 + 1/3
    """
    last = [(n, 0, 2) for n in range(_checked(order) + 1)]
    known: dict[Key, dict[int, sp.Rational]] = {}
    for key in _ordered(last, kind, sign):
        value = {0: sp.Rational(1)} if key == (0, 0, 0) else {}
        for c, source in _sources(key, kind, sign):
            for power, coefficient in known[source].items():
                value[power + 1] = value.get(power + 1, sp.Rational(0)) + c * coefficient / (power + 1)
        known[key] = value
    terms = [sp.Add(*(c / (p + 1) for p, c in known[key].items())) for key in last]
    expr = sp.Add(*(c * _y**n for n, c in enumerate(terms)))

    def holds(y: np.ndarray) -> np.ndarray:
        value = sum(float(c) * y**n for n, c in enumerate(terms))
        return (y >= 0) & (np.abs(float(terms[-1]) * y**order) <= 1e-2 * np.abs(value) + (order == 1) * (y < 2e-3))

    return Formula(expr, (_y,), Domain("y so small that its last term is below 1 % of the sum", holds=holds))


def coefficients(x: float, order: int) -> np.ndarray:
    """``c_1 … c_order`` of ``Ψ_σ(x, y) = Σ c_k(x) y^k`` of a pitchfork from rest, regular at ``x = 0``.

    One matrix exponential.

    >>> np.round(coefficients(0.0, 2), 12)
    array([ 0.08333333, -0.3       ])
    """
    last = [(n, 0, 2) for n in range(1, _checked(order) + 1)]
    keys = _ordered(last, "pitchfork", 1)
    place = {key: i for i, key in enumerate(keys)}
    M = np.zeros((len(keys) + order, len(keys) + order))
    for key, row in place.items():
        M[row, row] = (key[1] + key[2]) * x
        for c, source in _sources(key, "pitchfork", 1):
            M[row, place[source]] += float(c)
    for n, key in enumerate(last):
        M[len(keys) + n, place[key]] = 1.0
    return scipy.linalg.expm(M)[len(keys) :, place[0, 0, 0]]


def leading() -> Formula:
    """``Ψ → z² Φ(2x) + y Φ₂(2x)`` for weak input, ``Φ = M_2``, ``Φ₂ = M_2 − M_3``, ``M_k(s) = ∫₀¹ τ^k e^{sτ} dτ``.

    ``z = √T h0``. It is the whole law of the linear family. ``Φ₂(s) = (e^s (s² − 4s + 6) − 2s − 6)/s⁴``, 1/12 at 0.

    >>> round(leading()(0.0, 12.0, 0.0), 12)
    1.0
    """
    second, third = ExpMoment(2, 2 * _x), ExpMoment(3, 2 * _x)
    return Formula(_z**2 * second + _y * (second - third), (_x, _y, _z))
