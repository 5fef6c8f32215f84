"""The series of a driven scaling function in the strength ``y`` of white noise, from the hierarchy of moments.

For the pitchfork's flow from rest, ``M_ij = E H^i Z^j``,

    M_ij' = (i + j) x M_ij − (i + 3j) M_{i+2,j} + j M_{i+1,j−1} + ½ y i (i−1) M_{i−2,j},

and ``Ψ = ∫ M_02 dτ``. A moment of degree ``i + j = 2k`` begins at ``y^k``, so that each power of y closes after
finitely many moments. (Itô's formula; Isserlis' theorem gives the same term by term.)
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


def _keys(order: int) -> list[Key]:
    """``(n, i, j)``: power of y, of H, of Z; each depends on those before it."""
    return [(n, 2 * k - j, j) for n in range(1, order + 1) for k in range(n, 0, -1) for j in range(3) if 2 * k >= j]


def _sources(key: Key) -> list[tuple[int, Key]]:
    n, i, j = key
    terms = [(-(i + 3 * j), (n, i + 2, j))]
    if j:
        terms.append((j, (n, i + 1, j - 1)))
    if i >= 2:
        terms.append((sp.Rational(i * (i - 1), 2), (n - 1, i - 2, j)))
    return [(c, k) for c, k in terms if c != 0]


@cache
def critical_series(order: int) -> Formula:
    """``Ψ_σ(0, y) = Σ_k c_k y^k`` with exact rational coefficients; an asymptotic series.

    It warns where its last term exceeds 1 % of the value.

    Args:
        order: highest power of y, 1 to 12.

    Raises:
        ValueError: order out of range.

    >>> critical_series(2).expr
    -3*y**2/10 + y/12
    """
    if isinstance(order, bool) or not isinstance(order, int) or not 1 <= order <= 12:
        raise ValueError(f"order = {order!r} must be an integer from 1 to 12")
    known: dict[Key, dict[int, sp.Rational]] = {(0, 0, 0): {0: sp.Rational(1)}}
    for key in _keys(order):
        value: dict[int, sp.Rational] = {}
        for c, source in _sources(key):
            for power, coefficient in known.get(source, {}).items():
                value[power + 1] = value.get(power + 1, sp.Rational(0)) + c * coefficient / (power + 1)
        known[key] = value
    terms = [sum(c / (p + 1) for p, c in known[n, 0, 2].items()) for n in range(1, order + 1)]
    expr = sp.Add(*(c * _y ** (n + 1) for n, c in enumerate(terms)))

    def holds(y: np.ndarray) -> np.ndarray:
        value = sum(float(c) * y ** (n + 1) for n, c in enumerate(terms))
        return (y >= 0) & (np.abs(float(terms[-1]) * y**order) <= 1e-2 * np.abs(value) + (order == 1) * (y < 2e-3))

    return Formula(expr, (_y,), Domain("y so small that its last term is below 1 % of the sum", holds=holds))


def coefficients(x: float, order: int) -> np.ndarray:
    """``c_1 … c_order`` of ``Ψ_σ(x, y) = Σ c_k(x) y^k`` from rest, regular at ``x = 0``; one matrix exponential.

    >>> np.round(coefficients(0.0, 2), 12)
    array([ 0.08333333, -0.3       ])
    """
    if isinstance(order, bool) or not isinstance(order, int) or not 1 <= order <= 12:
        raise ValueError(f"order = {order!r} must be an integer from 1 to 12")
    keys: list[Key] = [(0, 0, 0), *_keys(order)]
    place = {key: i for i, key in enumerate(keys)}
    M = np.zeros((len(keys) + order, len(keys) + order))
    for key in keys[1:]:
        row = place[key]
        M[row, row] = (key[1] + key[2]) * x
        for c, source in _sources(key):
            if source in place:
                M[row, place[source]] += float(c)
    for n in range(1, order + 1):
        M[len(keys) + n - 1, place[n, 0, 2]] = 1.0
    return scipy.linalg.expm(M)[len(keys) :, 0]


def leading() -> Formula:
    """``Ψ → z² Φ(2x) + y Φ₂(2x)`` for weak input, ``Φ = M_2``, ``Φ₂ = M_2 − M_3``, ``M_k(s) = ∫₀¹ τ^k e^{sτ} dτ``.

    ``z = √T h0``. It is the whole law of the linear family. ``Φ₂(s) = (e^s (s² − 4s + 6) − 2s − 6)/s⁴``, 1/12 at 0.

    >>> round(leading()(0.0, 12.0, 0.0), 12)
    1.0
    """
    second, third = ExpMoment(2, 2 * _x), ExpMoment(3, 2 * _x)
    return Formula(_z**2 * second + _y * (second - third), (_x, _y, _z))
