"""A whitelist parser for formulas: Python's own grammar, none of Python's evaluation.

Everything is bounded before SymPy sees it: length, nesting, powers, digits. SymPy decides signs and simplifies as it
builds an expression, at a cost that grows exponentially with nesting and with the digits of roots; numbers are
therefore judged by their value to 30 digits, computed beside them.
"""

from __future__ import annotations

import ast
import math
import operator
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import mpmath
import sympy as sp

__all__ = ["MapSyntaxError", "parse_expression", "reserved"]

_MAX_LENGTH = 10_000
_MAX_NODES = 2_000
_MAX_DEPTH = 100
_MAX_POWER = 200
_MAX_DIGITS = 400
_MAX_DEGREE = 400
_MAX_ARGUMENT = 700  # of a function of a number: beyond it exp leaves the floating-point numbers
_MAX_NESTED = 6
"""Functions and roots inside one another, where they contain a symbol."""
_WRITTEN = 3
"""Functions of symbols inside one another from which an expression stays as it is written: SymPy's search for signs
takes seconds there, and finds nothing that a map needs."""
_MAX_NESTED_NUMBER = 2
_MAX_FUNCTION_DIGITS = 60
_MAX_ROOT_DIGITS = 30
"""Of a number under a root: SymPy factors it."""
_MAX_RAISED_DIGITS = 400
"""Of such a number raised to the order of the root, which SymPy factors too where its primes have unlike powers."""
_SMALL_PRIME = 1_000
"""Up to which a prime costs SymPy nothing: such numbers may be 25 times as long."""

_FUNCTIONS: dict[str, Any] = {
    name: getattr(sp, name)
    for name in ("exp", "log", "sqrt", "sin", "cos", "tan", "sinh", "cosh", "tanh", "atan", "asinh", "erf", "sign")
}
_FUNCTIONS |= {"ln": sp.log, "abs": sp.Abs, "Abs": sp.Abs}
_SEVERAL = {"max": sp.Max, "min": sp.Min, "Max": sp.Max, "Min": sp.Min}
_NUMBERS = {name: getattr(mpmath, name) for name in _FUNCTIONS if hasattr(mpmath, name)}
_NUMBERS |= {"abs": abs, "Abs": abs}
_NUMBERS |= {name: lambda *v: max(v) for name in ("max", "Max")} | {name: lambda *v: min(v) for name in ("min", "Min")}
_CONSTANTS = {"pi": sp.pi, "E": sp.E}
_OPERATORS: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}


class MapSyntaxError(ValueError):
    """A formula that the parser does not accept; the message says where and why."""


def reserved(name: str) -> bool:
    """Whether a name already means a function or a constant in formulas."""
    return name in _FUNCTIONS or name in _SEVERAL or name in _CONSTANTS


def parse_expression(text: str, symbols: Iterable[sp.Symbol]) -> sp.Expr:
    """Read a formula as a SymPy expression in ``symbols``; decimals become exact rationals.

    Args:
        text: a formula such as ``"r*x*(1-x)"``; ``^`` means ``**``, ``ln`` is ``log``.
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
    plain = text.replace("^", "**").strip()
    try:
        with warnings.catch_warnings():  # Python warns of what it would make of 1(x), which is refused below
            warnings.simplefilter("ignore")
            tree = ast.parse(plain, mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise MapSyntaxError(f"{_shorten(text)!r} is not a formula: {error}") from None
    count = sum(1 for _ in ast.walk(tree))
    if count > 2 * _MAX_NODES:
        raise MapSyntaxError(f"{_shorten(text)!r} has too many parts; at most {_MAX_NODES} are read")
    try:
        with mpmath.workdps(30):
            return _Reader(plain, {s.name: s for s in symbols}).read(tree.body, 0).expr
    except (ArithmeticError, RecursionError, ValueError) as error:
        if isinstance(error, MapSyntaxError):
            raise
        raise MapSyntaxError(f"{_shorten(text)!r} has no finite real value: {error}") from None


def _shorten(text: str) -> str:
    return text if len(text) <= 60 else text[:57] + "…"


@dataclass(frozen=True)
class _Part:
    """An expression with bounds that cost nothing to know.

    Args:
        expr: the expression.
        value: of a number, to 30 digits; ``None`` where there is a symbol.
        nested: functions and roots inside one another.
        degree: an upper bound of the degree of the polynomial that it expands to.
        size: of a tree that repeats its parts, the number of them.
    """

    expr: sp.Expr
    value: Any
    nested: int
    degree: Any
    size: int


class _Reader:
    def __init__(self, text: str, names: dict[str, sp.Symbol]) -> None:
        self.text = text
        self.names = names

    def fail(self, node: ast.AST, why: str) -> MapSyntaxError:
        part = ast.get_source_segment(self.text, node) or self.text
        return MapSyntaxError(f"{_shorten(part)!r}: {why}")

    def read(self, node: ast.expr, depth: int) -> _Part:
        if depth > _MAX_DEPTH:
            raise self.fail(node, f"nested deeper than {_MAX_DEPTH} levels")
        match node:
            case ast.Constant(value=bool()):
                raise self.fail(node, "truth values are not numbers")
            case ast.Constant(value=int() as value):
                if value.bit_length() > 4 * _MAX_DIGITS:
                    raise self.fail(node, f"an integer of more than {_MAX_DIGITS} digits")
                return self.number(sp.Integer(value))
            case ast.Constant(value=float() as value):
                return self.decimal(node, value)
            case ast.Name(id=name):
                return self.named(node, name)
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                a = self.read(operand, depth + 1)
                return _Part(-a.expr, None if a.value is None else -a.value, a.nested, a.degree, a.size)
            case ast.UnaryOp(op=ast.UAdd(), operand=operand):
                return self.read(operand, depth + 1)
            case ast.BinOp(left=left, op=ast.Pow(), right=right):
                return self.power(node, self.read(left, depth + 1), self.read(right, depth + 1))
            case ast.BinOp(left=left, op=op, right=right) if type(op) in _OPERATORS:
                return self.joined(node, op, self.read(left, depth + 1), self.read(right, depth + 1))
            case ast.Call(func=ast.Name(id=name), args=[argument], keywords=[]) if name in _FUNCTIONS:
                return self.call(node, name, _FUNCTIONS[name], [self.read(argument, depth + 1)])
            case ast.Call(func=ast.Name(id=name), args=[_, *_] as given, keywords=[]) if name in _SEVERAL:
                return self.call(node, name, _SEVERAL[name], [self.read(a, depth + 1) for a in given])
        allowed = ", ".join((*_FUNCTIONS, *_SEVERAL))
        raise self.fail(node, f"not allowed; use numbers, names, + - * / ** and {allowed}")

    def named(self, node: ast.expr, name: str) -> _Part:
        if name in self.names:
            return _Part(self.names[name], None, 0, 1, 1)
        if name in _CONSTANTS:
            return self.number(_CONSTANTS[name])
        if reserved(name):
            raise self.fail(node, f"{name} is a function; write {name}(…)")
        known = ", ".join([*self.names, *_CONSTANTS]) or "none"
        raise self.fail(node, f"unknown name; known are {known}")

    @staticmethod
    def number(expr: sp.Expr) -> _Part:
        value = mpmath.mpf(int(expr.p)) / int(expr.q) if expr.is_Rational else mpmath.mpmathify(sp.N(expr, 30))
        return _Part(expr, value, 0, 0, 1)

    def decimal(self, node: ast.expr, value: float) -> _Part:
        """A decimal exactly as it is written, which may have more digits than a float."""
        text = (ast.get_source_segment(self.text, node) or repr(value)).replace("_", "")
        if not abs(value) < float("inf"):
            raise self.fail(node, "not a finite number")
        if len(text) > _MAX_DIGITS or (value == 0 and any(c in "123456789" for c in text.lower().partition("e")[0])):
            raise self.fail(node, f"a number of more than {_MAX_DIGITS} digits, or next to zero")
        return self.number(sp.Rational(text))

    def joined(self, node: ast.expr, op: ast.operator, a: _Part, b: _Part) -> _Part:
        if isinstance(op, ast.Div) and _is_zero(b):
            raise self.fail(node, "division by zero")
        value = None
        if a.value is not None and b.value is not None:
            value = self.checked(node, _OPERATORS[type(op)](a.value, b.value))
            if a.expr.is_Rational and b.expr.is_Rational and _digits(a) + _digits(b) > 4 * _MAX_DIGITS:
                raise self.fail(node, f"a number of more than {_MAX_DIGITS} digits")
        product = isinstance(op, (ast.Mult, ast.Div))
        degree = a.degree + b.degree if product else max(a.degree, b.degree)
        nested, size = max(a.nested, b.nested), a.size + b.size
        if isinstance(op, ast.Div) and b.nested >= _WRITTEN and b.value is None:
            return self.bounded(node, _Part(a.expr * sp.Pow(b.expr, -1, evaluate=False), value, nested, degree, size))
        return self.bounded(node, _Part(_OPERATORS[type(op)](a.expr, b.expr), value, nested, degree, size))

    def power(self, node: ast.expr, base: _Part, exponent: _Part) -> _Part:
        if exponent.value is None:
            return self.symbolic_power(node, base, exponent)
        size = abs(exponent.value)
        if not size <= _MAX_POWER:
            raise self.fail(node, f"an exponent must be a real number of size at most {_MAX_POWER}")
        if _is_zero(base) and exponent.value < 0:
            raise self.fail(node, "division by zero")
        whole = bool(exponent.expr.is_Integer)
        if not whole:
            self.rootable(node, base, exponent)
        value = None
        if base.value is not None:
            if whole and _digits(base) * size > _MAX_DIGITS:
                raise self.fail(node, f"a power with more than {_MAX_DIGITS} digits")
            if not whole and (_digits(base) > _MAX_ROOT_DIGITS or _digits(exponent) > 6):
                raise self.fail(node, f"a root of a number of more than {_MAX_ROOT_DIGITS} digits, or of a high order")
            value = self.checked(node, mpmath.power(base.value, exponent.value))
        elif not whole and _digits(exponent) > 20:
            raise self.fail(node, "an exponent of more than 20 digits")
        nested = max(base.nested + (not whole), exponent.nested + (exponent.nested > 0))
        self.shallow(node, nested, value)
        if base.degree * size > _MAX_DEGREE:
            raise self.fail(node, f"a degree above {_MAX_DEGREE}")
        written = value is None and nested >= _WRITTEN
        made = sp.Pow(base.expr, exponent.expr, evaluate=False) if written else base.expr**exponent.expr
        return self.bounded(node, _Part(made, value, nested, base.degree * size, base.size + exponent.size))

    def symbolic_power(self, node: ast.expr, base: _Part, exponent: _Part) -> _Part:
        """``a**b = e^{b log a}`` with a symbol in b: Hassell's map. The base must be a number or a name plus such."""
        nested = max(base.nested, exponent.nested) + 2
        if base.value is not None and not base.value > 0:
            raise self.fail(node, "a power with a symbol in its exponent needs a positive base")
        self.shallow(node, nested, None)
        self.rootable(node, base)
        if exponent.expr.free_symbols & base.expr.free_symbols:
            raise self.fail(node, "an exponent must not contain the symbols of its base")
        made = sp.Pow(base.expr, exponent.expr, evaluate=nested < _WRITTEN)
        return self.bounded(node, _Part(made, None, nested, 1, base.size + exponent.size))

    def call(self, node: ast.expr, name: str, function: Any, given: list[_Part]) -> _Part:
        nested, size = 1 + max(a.nested for a in given), sum(a.size for a in given)
        if name == "sqrt":
            self.rootable(node, given[0])
        value = None
        if all(a.value is not None for a in given):
            if not all(abs(a.value) <= _MAX_ARGUMENT for a in given):
                raise self.fail(node, f"a function of a number of size above {_MAX_ARGUMENT}")
            if name in ("log", "ln") and _is_zero(given[0]):
                raise self.fail(node, "not a finite real number")
            value = self.checked(node, _NUMBERS[name](*(a.value for a in given)))
            if max(map(_digits, given)) > _MAX_FUNCTION_DIGITS:
                raise self.fail(node, f"a function of a number of more than {_MAX_FUNCTION_DIGITS} digits")
        self.shallow(node, nested, value)
        return self.bounded(
            node, _Part(self.applied(name, function, given, value, nested), value, nested, min(size, 1), size)
        )

    @staticmethod
    def applied(name: str, function: Any, given: list[_Part], value: Any, nested: int) -> sp.Expr:
        """The function's value; SymPy does not try to decide which piece of a piecewise one is active."""
        exprs = [a.expr for a in given]
        if name in _SEVERAL:
            if value is not None:
                return next(a.expr for a in given if a.value == value)
            return function(*dict.fromkeys(exprs), evaluate=False) if len(set(exprs)) > 1 else exprs[0]
        if value is None and (name in ("abs", "Abs", "sign") or (nested >= _WRITTEN and name != "sqrt")):
            return function(*exprs, evaluate=False)
        if value is None and nested >= _WRITTEN:
            return sp.Pow(exprs[0], sp.S.Half, evaluate=False)
        return function(*exprs)

    def rootable(self, node: ast.expr, base: _Part, exponent: _Part | None = None) -> None:
        """SymPy factors the numbers under a root, and again once their primes have powers below its order."""
        numbers = {n for r in base.expr.atoms(sp.Rational) for n in (abs(r.p), r.q)}
        if max(numbers, default=1) > 10**_MAX_ROOT_DIGITS:
            raise self.fail(node, f"a root of a number of more than {_MAX_ROOT_DIGITS} digits")
        order = exponent.expr.q if exponent is not None and exponent.expr.is_Rational else 1
        if base.nested:  # numbers under roots already, which are multiplied with those beside them
            order *= math.lcm(*(r.q for r in base.expr.atoms(sp.Rational) if r.q <= _MAX_POWER))
            numbers = {math.prod(numbers)}
        if not all(_rootable(n, order, bool(base.nested)) for n in numbers):
            raise self.fail(node, f"a root of order {order} of numbers of so many digits")

    def shallow(self, node: ast.expr, nested: int, value: Any) -> None:
        limit = _MAX_NESTED if value is None else _MAX_NESTED_NUMBER
        if nested > limit:
            kind = "of symbols" if value is None else "of numbers"
            raise self.fail(node, f"more than {limit} functions and roots {kind} inside one another")

    def checked(self, node: ast.expr, value: Any) -> Any:
        """A value that is real and a floating-point number."""
        if isinstance(value, mpmath.mpc) or not mpmath.isfinite(value) or abs(value) > mpmath.mpf("1e400"):
            raise self.fail(node, "not a finite real number")
        return value

    def bounded(self, node: ast.expr, part: _Part) -> _Part:
        if part.degree > _MAX_DEGREE:
            raise self.fail(node, f"a degree above {_MAX_DEGREE}")
        if part.expr.has(sp.I):
            raise self.fail(node, "not real")
        if part.expr.has(sp.zoo, sp.nan, sp.oo):
            raise self.fail(node, "not a finite real number")
        return part


def _is_zero(part: _Part) -> bool:
    return part.value is not None and (part.expr.is_zero if part.expr.is_Rational else abs(part.value) < 1e-25)


def _rootable(number: int, order: int, mixed: bool) -> bool:
    """Whether SymPy takes a root of this order in no time; ``mixed`` where its primes come in several powers."""
    digits = len(str(number)) * order
    if digits <= _MAX_RAISED_DIGITS:
        return True
    factors = sp.factorint(number, limit=_SMALL_PRIME)
    if not mixed and len(set(factors.values())) <= 1 and digits < _MAX_DIGITS * _SMALL_PRIME:
        return True
    return max(factors) <= _SMALL_PRIME and digits <= 25 * _MAX_RAISED_DIGITS


def _digits(part: _Part) -> float:
    numbers = [abs(n) for r in part.expr.atoms(sp.Rational) for n in (r.p, r.q)]
    return sum(int(n).bit_length() for n in numbers) * 0.30103
