"""A whitelist parser for formulas: Python's own grammar, none of Python's evaluation."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Iterable
from typing import Any

import sympy as sp

__all__ = ["MapSyntaxError", "parse_expression"]

_MAX_LENGTH = 10_000
_MAX_DEPTH = 200
_MAX_POWER = 200
_MAX_DIGITS = 400
_MAX_DEGREE = 400
_MAX_ARGUMENT = 700  # of a function of a number: beyond it exp leaves the floating-point numbers

_FUNCTIONS = {
    name: getattr(sp, name)
    for name in ("exp", "log", "sqrt", "sin", "cos", "tan", "sinh", "cosh", "tanh", "atan", "asinh", "erf")
}
_CONSTANTS = {"pi": sp.pi, "E": sp.E}
_OPERATORS: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}


class MapSyntaxError(ValueError):
    """A formula that the parser does not accept; the message says where and why."""


def parse_expression(text: str, symbols: Iterable[sp.Symbol]) -> sp.Expr:
    """Read a formula as a SymPy expression in ``symbols``; decimals become exact rationals.

    Args:
        text: a formula such as ``"r*x*(1-x)"``; ``^`` means ``**``.
        symbols: the names that it may contain.

    Raises:
        MapSyntaxError: any construct, name, size or power outside the whitelist.

    >>> parse_expression("0.5*x^2", [sp.Symbol("x")])
    x**2/2
    """
    if not isinstance(text, str):
        raise MapSyntaxError(f"a formula must be text, got {type(text).__name__}")
    if len(text) > _MAX_LENGTH:
        raise MapSyntaxError(f"formula of {len(text)} characters; at most {_MAX_LENGTH} are read")
    try:
        tree = ast.parse(text.replace("^", "**").strip(), mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise MapSyntaxError(f"{_shorten(text)!r} is not a formula: {error}") from None
    names = {s.name: s for s in symbols}
    return _Reader(text, names).read(tree.body, 0)


def _shorten(text: str) -> str:
    return text if len(text) <= 60 else text[:57] + "…"


class _Reader:
    def __init__(self, text: str, names: dict[str, sp.Symbol]) -> None:
        self.text = text
        self.names = names

    def fail(self, node: ast.AST, why: str) -> MapSyntaxError:
        part = ast.get_source_segment(self.text.replace("^", "**").strip(), node) or self.text
        return MapSyntaxError(f"{_shorten(part)!r}: {why}")

    def read(self, node: ast.expr, depth: int) -> sp.Expr:
        if depth > _MAX_DEPTH:
            raise self.fail(node, f"nested deeper than {_MAX_DEPTH} levels")
        match node:
            case ast.Constant(value=bool()):
                raise self.fail(node, "truth values are not numbers")
            case ast.Constant(value=int() as value):
                if value.bit_length() > 4 * _MAX_DIGITS:
                    raise self.fail(node, f"an integer of more than {_MAX_DIGITS} digits")
                return sp.Integer(value)
            case ast.Constant(value=float() as value):
                if not abs(value) < float("inf"):
                    raise self.fail(node, "not a finite number")
                return sp.Rational(repr(value))
            case ast.Name(id=name):
                if name in self.names:
                    return self.names[name]
                if name in _CONSTANTS:
                    return _CONSTANTS[name]
                known = ", ".join([*self.names, *_CONSTANTS]) or "none"
                raise self.fail(node, f"unknown name; known are {known}")
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                return -self.read(operand, depth + 1)
            case ast.UnaryOp(op=ast.UAdd(), operand=operand):
                return self.read(operand, depth + 1)
            case ast.BinOp(left=left, op=ast.Pow(), right=right):
                return self.power(node, self.read(left, depth + 1), self.read(right, depth + 1))
            case ast.BinOp(left=left, op=op, right=right) if type(op) in _OPERATORS:
                a, b = self.read(left, depth + 1), self.read(right, depth + 1)
                if isinstance(op, ast.Div) and b.is_zero:
                    raise self.fail(node, "division by zero")
                return self.bounded(node, _OPERATORS[type(op)](a, b))
            case ast.Call(func=ast.Name(id=name), args=[argument], keywords=[]) if name in _FUNCTIONS:
                return self.call(node, name, self.read(argument, depth + 1))
        allowed = ", ".join(_FUNCTIONS)
        raise self.fail(node, f"not allowed; use numbers, names, + - * / ** and {allowed}")

    def power(self, node: ast.expr, base: sp.Expr, exponent: sp.Expr) -> sp.Expr:
        if not exponent.is_number:
            raise self.fail(node, "an exponent must be a number")
        if not (exponent.is_real and abs(exponent) <= _MAX_POWER):
            raise self.fail(node, f"an exponent must be a real number of size at most {_MAX_POWER}")
        numbers = [abs(n) for r in base.atoms(sp.Rational) for n in (r.p, r.q)]
        digits = sum(n.bit_length() for n in numbers) * 0.30103
        if base.is_number and digits * abs(exponent) > _MAX_DIGITS:
            raise self.fail(node, f"a power with more than {_MAX_DIGITS} digits")
        if base.is_zero and exponent.is_negative:
            raise self.fail(node, "division by zero")
        if _degree(base) * abs(exponent) > _MAX_DEGREE:
            raise self.fail(node, f"a degree above {_MAX_DEGREE}")
        return self.bounded(node, base**exponent)

    def call(self, node: ast.expr, name: str, argument: sp.Expr) -> sp.Expr:
        if argument.is_number and not abs(sp.N(argument, 15)) <= _MAX_ARGUMENT:
            raise self.fail(node, f"a function of a number of size above {_MAX_ARGUMENT}")
        return self.bounded(node, _FUNCTIONS[name](argument))

    def bounded(self, node: ast.expr, value: sp.Expr) -> sp.Expr:
        """``value``, unless it is a number that is not real and finite, or of too high a degree."""
        if value.is_number and (value.is_real is False or value.is_finite is False):
            raise self.fail(node, "not a finite real number")
        if _degree(value) > _MAX_DEGREE:
            raise self.fail(node, f"a degree above {_MAX_DEGREE}")
        return value


def _degree(expr: sp.Expr) -> Any:
    """An upper bound of the degree of the polynomial that the expression expands to."""
    if expr.is_Symbol:
        return 1
    if expr.is_Pow:
        return _degree(expr.base) * abs(expr.exp) if expr.exp.is_number else 1
    degrees = [_degree(a) for a in expr.args]
    return sum(degrees) if expr.is_Mul else max(degrees, default=0)
