"""The local data of a map at a fixed point, all that a reduction to normal form needs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import combinations_with_replacement, permutations
from typing import Any

import numpy as np
import sympy as sp

from normalforms.algebra import tidy
from normalforms.maps import Map

__all__ = ["Jet", "jet"]

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
        parameter: the unfolding parameter.
        exact: SymPy numbers, or float64 arrays.

    Raises:
        ValueError: a derivative is not finite at the point.

    >>> x, r = sp.symbols("x r")
    >>> jet(Map(r * x * (1 - x), x, r), {x: sp.Rational(2, 3), r: sp.Integer(3)}, r).jacobian
    Matrix([[-1]])
    """
    tensors = [_tensor(m, point, order) for order in (1, 2, 3)]
    n = m.dimension
    slopes = [sp.diff(f, parameter) for f in m.steps]
    force = [_value(f, point) for f in slopes]
    curvature = [_value(sp.diff(f, parameter), point) for f in slopes]
    mixed = [[_value(sp.diff(f, s), point) for s in m.states] for f in slopes]
    jacobian = [[tensors[0][i].get((j,), sp.Integer(0)) for j in range(n)] for i in range(n)]
    linear = all(f.is_polynomial(*m.states) and sp.Poly(f, *m.states).total_degree() <= 1 for f in m.steps)
    if exact:
        rate = sp.Matrix(mixed)
        return Jet(
            sp.Matrix(jacobian),
            lambda u, v: _apply(tensors[1], u, v),
            lambda u, v, w: _apply(tensors[2], u, v, w),
            sp.Matrix(force),
            lambda u: rate * u,
            sp.Matrix(curvature),
            linear,
        )
    second, third = _dense(tensors[1], n, 2), _dense(tensors[2], n, 3)
    rates = _floats(mixed)
    return Jet(
        _floats(jacobian),
        lambda u, v: second @ v @ u,
        lambda u, v, w: third @ w @ v @ u,
        _floats(force),
        lambda u: rates @ u,
        _floats(curvature),
        linear,
    )


_Tensor = list[dict[tuple[int, ...], sp.Expr]]
"""Per component of the map, the non-zero partial derivatives by sorted state indices."""


def _tensor(m: Map, point: Mapping[sp.Symbol, sp.Expr], order: int) -> _Tensor:
    result: _Tensor = []
    for f in m.steps:
        present = [i for i, s in enumerate(m.states) if s in f.free_symbols]
        values = {}
        for index in combinations_with_replacement(present, order):
            value = _value(sp.diff(f, *(m.states[i] for i in index)), point)
            if value != 0:
                values[index] = value
        result.append(values)
    return result


def _value(expression: sp.Expr, point: Mapping[sp.Symbol, sp.Expr]) -> sp.Expr:
    value = tidy(sp.sympify(expression).subs(dict(point)))
    if not value.is_finite:
        raise ValueError(f"at is a point where the map has no finite derivative: {expression} is {value}")
    return value


def _apply(tensor: _Tensor, *vectors: sp.MatrixBase) -> sp.MatrixBase:
    rows = [
        sp.Add(
            *(
                value * sp.Mul(*(v[i] for v, i in zip(vectors, order, strict=True)))
                for index, value in component.items()
                for order in set(permutations(index))
            )
        )
        for component in tensor
    ]
    return sp.Matrix([tidy(row) for row in rows])


def _dense(tensor: _Tensor, n: int, order: int) -> np.ndarray:
    result = np.zeros((n,) * (order + 1))
    for i, component in enumerate(tensor):
        for index, value in component.items():
            for place in set(permutations(index)):
                result[(i, *place)] = float(value)
    return result


def _floats(values: list[Any]) -> np.ndarray:
    return np.array(values, dtype=object).astype(float)
