"""Truncated Taylor arithmetic: an expression evaluated on polynomials in one small displacement.

A jet ``u = Σ_{k≤K} u_k ε^k`` is an array with the orders as its first axis, ``u_k = (1/k!) dᵏu/dgᵏ``. An expression is
turned once into a list of products, sums, powers and functions, which then acts on jets of any shape.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import sympy as sp

from normalforms.formulas import Program, compiled

__all__ = ["JetRule", "constant", "jet_rule", "multiply", "variable"]

_ARGUMENT = sp.Symbol("u", real=True)


def constant(value: Any, order: int) -> np.ndarray:
    """The jet of something that does not move, shape ``(order + 1, *shape)``."""
    value = np.asarray(value, dtype=float)
    jet = np.zeros((order + 1, *value.shape))
    jet[0] = value
    return jet


def variable(value: Any, order: int) -> np.ndarray:
    """The jet of what is displaced, ``value + ε``."""
    jet = constant(value, order)
    if order:
        jet[1] = 1.0
    return jet


def multiply(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """``(a b)_k = Σ_j a_j b_{k−j}``."""
    order = len(a) - 1
    first = a[0] * b
    if order == 0:
        return first
    out = np.array(np.broadcast_to(first, (order + 1, *np.broadcast_shapes(a.shape[1:], b.shape[1:]))))
    for j in range(1, order + 1):
        out[j:] += a[j] * b[: order + 1 - j]
    return out


def _power(u: np.ndarray, n: int) -> np.ndarray:
    result, square = None, u
    while n:
        if n & 1:
            result = square if result is None else multiply(result, square)
        n >>= 1
        if n:
            square = multiply(square, square)
    assert result is not None
    return result


@cache
def _derivatives(outer: sp.Expr, order: int) -> Callable[..., Any]:
    """``u ↦ (f(u), f'(u), f''(u)/2, …)``."""
    results = tuple(outer.diff(_ARGUMENT, k) / sp.factorial(k) for k in range(order + 1))
    common, reduced = sp.cse(results, symbols=sp.numbered_symbols("v", real=True))
    rule = compiled(Program((_ARGUMENT,), tuple(reduced), prelude=tuple(common)), "numpy")
    return rule if order else lambda u: (rule(u),)  # a program of one result returns it bare


def _compose(outer: sp.Expr, u: np.ndarray) -> np.ndarray:
    """``f(u) = Σ_k f^{(k)}(u_0)/k! (u − u_0)^k``, by Horner's rule in the nilpotent part."""
    order = len(u) - 1
    values = _derivatives(outer, order)(u[0])
    rest = u.copy()
    rest[0] = 0.0
    total = constant(np.broadcast_to(values[order], u[0].shape), order)
    for k in range(order - 1, -1, -1):
        total = multiply(total, rest)
        total[0] = total[0] + values[k]
    return total


@dataclass(frozen=True)
class JetRule:
    """Expressions compiled to jet arithmetic; made by `jet_rule`.

    Args:
        inputs: symbols in call order.
        steps: ``(operation, operands)``, each operand the place of an earlier value.
        results: places of the results.
    """

    inputs: tuple[sp.Symbol, ...]
    steps: tuple[tuple[Any, tuple[int, ...]], ...]
    results: tuple[int, ...]

    def __call__(self, *jets: np.ndarray) -> tuple[np.ndarray, ...]:
        """The results on jets, one per symbol of `inputs`, all of one order; shapes broadcast after the first axis."""
        order, width = len(jets[0]) - 1, max(j.ndim for j in jets)
        # new axes stand after the orders, so that jets broadcast like the numbers that they displace
        values = [j.reshape(len(j), *(1,) * (width - j.ndim), *j.shape[1:]) for j in jets]
        for operation, operands in self.steps:
            if operation[0] == "number":
                values.append(constant(np.full((1,) * (width - 1), operation[1]), order))
            else:
                values.append(_perform(operation, [values[i] for i in operands]))
        return tuple(values[i] for i in self.results)


def _perform(operation: Any, given: list[np.ndarray]) -> np.ndarray:
    kind, detail = operation
    if kind == "scale":
        return detail * given[0]
    if kind == "power":
        return _power(given[0], detail)
    if kind == "function":
        return _compose(detail, given[0])
    total = given[0]
    for other in given[1:]:
        total = multiply(total, other) if kind == "times" else total + other
    return total


@cache
def jet_rule(expressions: tuple[sp.Expr, ...], inputs: tuple[sp.Symbol, ...]) -> JetRule:
    """Compile expressions to jet arithmetic.

    Args:
        expressions: of `inputs`, from sums, products, powers and differentiable functions of one argument.
        inputs: symbols in call order.

    Raises:
        ValueError: a part that is none of these, such as a function of two arguments.

    >>> x = sp.Symbol("x", real=True)
    >>> (y,) = jet_rule((sp.exp(2 * x),), (x,))(variable(0.0, 3))
    >>> y.round(6).tolist()
    [1.0, 2.0, 2.0, 1.333333]
    """
    place: dict[sp.Expr, int] = {s: i for i, s in enumerate(inputs)}
    steps: list[tuple[Any, tuple[int, ...]]] = []

    def put(expr: sp.Expr, operation: Any, *operands: int) -> int:
        steps.append((operation, operands))
        place[expr] = len(inputs) + len(steps) - 1
        return place[expr]

    def visit(expr: sp.Expr) -> int:
        if expr in place:
            return place[expr]
        if expr.is_number:
            return put(expr, ("number", float(expr)))
        if isinstance(expr, sp.Add):
            return put(expr, ("plus", None), *(visit(a) for a in expr.args))
        if isinstance(expr, sp.Mul):
            number, rest = expr.as_coeff_Mul()
            if number != 1:
                return put(expr, ("scale", float(number)), visit(rest))
            return put(expr, ("times", None), *(visit(a) for a in expr.args))
        if isinstance(expr, sp.Pow) and expr.exp.is_Integer and int(expr.exp) > 1:
            return put(expr, ("power", int(expr.exp)), visit(expr.base))
        moving = [a for a in expr.args if not a.is_number]
        if len(moving) == 1:
            outer = expr.func(*(_ARGUMENT if a is moving[0] else a for a in expr.args))
            return put(expr, ("function", outer), visit(moving[0]))
        raise ValueError(f"{expr} is no sum, product, power or function of one argument; rewrite the map without it")

    results = tuple(visit(sp.sympify(e)) for e in expressions)
    return JetRule(inputs, tuple(steps), results)
