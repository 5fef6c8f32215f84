"""The local data of a map at a fixed point, all that a reduction to normal form needs."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import permutations
from typing import Any

import numpy as np
import sympy as sp

from normalforms.exact import Series, taylor, tidy
from normalforms.maps import Map

__all__ = ["Jet", "jet", "jet_of_series"]

Vector = Any
"""A SymPy column or a NumPy array of n numbers."""


@dataclass(frozen=True)
class Jet:
    """The Taylor coefficients of ``h' = f(h, μ)`` at a fixed point, through third order in the state.

    ``f(h* + x, μ* + m) = h* + A x + ½ B(x,x) + ⅙ C(x,x,x) + f_μ m + A_μ x m + ½ f_μμ m² + …``

    Everything is either SymPy (a ``Matrix`` and columns: exact) or NumPy (arrays). The differentials are
    functions, so that a network of a thousand neurons never forms a tensor; they must be linear over the
    complex numbers in each argument.

    Args:
        jacobian: ``A``, n × n.
        second: ``B(u, v)``, an n-vector.
        third: ``C(u, v, w)``, an n-vector.
        parameter: ``f_μ``, an n-vector.
        mixed: ``A_μ u``, an n-vector.
        curvature: ``f_μμ``, an n-vector; ``None`` says that it is not known, and then a fixed point whose
            first-order motion vanishes is taken to persist.
        value: ``f(h*, μ*)``, an n-vector; ``None`` where nothing needs it.
        linear: the map is known to be affine in the state to all orders.

    >>> import numpy as np
    >>> zero = lambda *vectors: np.zeros(1)
    >>> Jet(np.eye(1), zero, lambda u, v, w: -6 * u * v * w, np.zeros(1), lambda u: u).dimension
    1
    """

    jacobian: Any
    second: Callable[[Vector, Vector], Vector]
    third: Callable[[Vector, Vector, Vector], Vector]
    parameter: Vector
    mixed: Callable[[Vector], Vector]
    curvature: Vector | None = None
    value: Vector | None = None
    linear: bool = False

    @property
    def dimension(self) -> int:
        """Number of state variables."""
        return self.jacobian.shape[0]

    @property
    def exact(self) -> bool:
        """Whether the data are SymPy numbers."""
        return isinstance(self.jacobian, sp.MatrixBase)


def jet(m: Map, point: Mapping[sp.Symbol, sp.Expr], parameter: sp.Symbol, *, exact: bool = True) -> Jet:
    """The `Jet` of a SymPy map at ``point``, in the direction of one parameter.

    ``A_ij = ∂f_i/∂h_j``, ``B(u,v)_i = Σ ∂²f_i/∂h_j∂h_k u_j v_k``, and so on.

    Args:
        m: the map.
        point: exact values of every state and parameter.
        parameter: the unfolding parameter; the others stay at their values.
        exact: SymPy numbers, or float64 arrays.

    Raises:
        ValueError: the map has no Taylor series at the point.

    >>> x, r = sp.symbols("x r")
    >>> jet(Map(r * x * (1 - x), x, r), {x: sp.Rational(2, 3), r: sp.Integer(3)}, r).jacobian
    Matrix([[-1]])
    """
    n = m.dimension
    fixed = {s: point[s] for s in m.parameters if s != parameter}
    steps = [f.xreplace(fixed) for f in m.steps]
    centre = {s: point[s] for s in (*m.states, parameter)}
    rows = taylor(steps, centre, 3, exact=exact)
    linear = all(f.is_polynomial(*m.states) and sp.Poly(f, *m.states).total_degree() <= 1 for f in steps)
    return jet_of_series(rows, n, exact, linear)


def jet_of_series(rows: list[Series], n: int, exact: bool, linear: bool) -> Jet:
    """The `Jet` of a map given by its Taylor coefficients in n states and the parameter, through third order."""
    tensors = [_tensor(rows, order, n) for order in (1, 2, 3)]
    array = sp.Matrix if exact else np.array
    zero = sp.Integer(0) if exact else 0.0
    jacobian = array([[row.get((j,), zero) for j in range(n)] for row in tensors[0]])
    mixed = array([[row.get(_unit(n, j, 1), zero) for j in range(n)] for row in rows])
    second, third = _differential(tensors[1], n, 2, exact), _differential(tensors[2], n, 3, exact)
    return Jet(
        jacobian,
        second,
        third,
        array([row.get((0,) * n + (1,), zero) for row in rows]),
        lambda u: mixed @ u,
        array([2 * row.get((0,) * n + (2,), zero) for row in rows]),
        array([row.get((0,) * (n + 1), zero) for row in rows]),
        linear,
    )


_Tensor = list[dict[tuple[int, ...], Any]]
"""Per component of the map, the non-zero partial derivatives by sorted state indices."""


def _unit(n: int, j: int, last: int) -> tuple[int, ...]:
    return (*(int(i == j) for i in range(n)), last)


def _tensor(rows: list[Series], order: int, n: int) -> _Tensor:
    result: _Tensor = []
    for row in rows:
        values = {}
        for exponents, value in row.items():
            if exponents[n] == 0 and sum(exponents) == order:
                index = tuple(i for i in range(n) for _ in range(exponents[i]))
                values[index] = value * math.prod(math.factorial(k) for k in exponents)
        result.append(values)
    return result


def _differential(tensor: _Tensor, n: int, order: int, exact: bool) -> Callable[..., Vector]:
    """``(u, v, …) ↦ Σ ∂^k f / ∂h_i ∂h_j … u_i v_j …``"""
    entries = [
        (i, place, value)
        for i, component in enumerate(tensor)
        for index, value in component.items()
        for place in sorted(set(permutations(index)))
    ]
    if exact:

        def apply(*vectors: Vector) -> Vector:
            total = [sp.Integer(0)] * n
            for i, place, value in entries:
                total[i] += value * sp.Mul(*(v[j] for v, j in zip(vectors, place, strict=True)))
            return sp.Matrix([tidy(x) for x in total])

        return apply
    targets = np.array([i for i, _, _ in entries], dtype=int)
    places = np.array([place for _, place, _ in entries], dtype=int).reshape(-1, order)
    values = np.array([value for _, _, value in entries], dtype=float)

    def contract(*vectors: Vector) -> Vector:
        terms = values * math.prod(np.asarray(v)[places[:, k]] for k, v in enumerate(vectors))
        total = np.zeros(n, dtype=terms.dtype)
        np.add.at(total, targets, terms)
        return total

    return contract
