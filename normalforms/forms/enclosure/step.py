"""Maps compiled into ball arithmetic: one step with its first and second differentials on ``arb`` numbers."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, reduce
from typing import Any

import sympy as sp
from flint import arb, fmpq

from normalforms.maps import Map

__all__ = ["beyond", "box_step", "constant", "escape_radius", "point_step", "power"]

_FUNCTIONS: dict[str, Callable[[arb], arb]] = {
    name: getattr(arb, name)
    for name in ("exp", "log", "sin", "cos", "tan", "sinh", "cosh", "tanh", "atan", "asinh", "erf", "sqrt")
}
_FUNCTIONS["Abs"] = abs


def _step(x: arb) -> arb:
    return arb(1) if x > 0 else arb(0) if x < 0 else arb(0).union(arb(1))


def _mass(x: arb) -> arb:
    return arb("nan") if x.contains(0) else arb(0)


_FUNCTIONS |= {"Heaviside": _step, "sign": lambda x: 2 * _step(x) - 1, "DiracDelta": _mass}
_SEVERAL: dict[str, Callable[..., arb]] = {
    "Max": lambda *values: reduce(lambda a, b: a.max(b), map(arb, values)),
    "Min": lambda *values: reduce(lambda a, b: a.min(b), map(arb, values)),
}


def power(x: arb, n: int) -> arb:
    """``xⁿ``; python-flint's own power of a ball around zero is no number."""
    if n < 1 or not x.contains(0):
        return x**n
    factor = abs(x) if n % 2 == 0 else x
    return reduce(lambda a, b: a * b, [factor] * n)


def beyond() -> arb:
    """2^65536: of orbits beyond it no amplification is reported."""
    return arb(2) ** 65536


def constant(expr: Any) -> arb:
    """A SymPy number as a ball at the working precision; a `Float` is exactly that binary number.

    Raises:
        ValueError: a function or number outside the whitelist.
    """
    if isinstance(expr, sp.Integer):
        return arb(int(expr))
    if isinstance(expr, sp.Float):
        expr = sp.Rational(expr)
    if isinstance(expr, sp.Rational):
        return arb(fmpq(int(expr.p), int(expr.q)))
    if expr is sp.pi:
        return arb.pi()
    if expr is sp.E:
        return arb.const_e()
    if isinstance(expr, sp.Add):
        return sum((constant(a) for a in expr.args), arb(0))
    if isinstance(expr, sp.Mul):
        product = arb(1)
        for factor in expr.args:
            product *= constant(factor)
        return product
    if isinstance(expr, sp.Pow):
        base, exponent = expr.args
        if isinstance(exponent, sp.Integer):
            return power(constant(base), int(exponent))
        return constant(base) ** constant(exponent)
    name = type(expr).__name__
    if name in _FUNCTIONS and len(expr.args) == 1:
        return _FUNCTIONS[name](constant(expr.args[0]))
    if name in _SEVERAL:
        return _SEVERAL[name](*map(constant, expr.args))
    raise ValueError(f"{expr} has no ball arithmetic; use numbers, + - * / ** and {', '.join(_FUNCTIONS)}")


Compiled = Callable[..., Any]
_POWER = sp.Function("f_power")


def _compile(inputs: list[Any], results: list[Any]) -> Compiled:
    """``(*inputs) → results`` on balls. Constants are balls too, made anew at each working precision."""
    constants: dict[Any, sp.Symbol] = {}
    results = [_prepare(sp.sympify(e), constants) for e in results]
    plain = sp.lambdify(
        [*inputs, *constants.values()],
        results,
        modules=[_FUNCTIONS | {f"f_{n}": f for n, f in (_FUNCTIONS | _SEVERAL).items()} | {_POWER.__name__: power}],
        cse=True,
    )
    numbers = tuple(constants)

    def run() -> Compiled:
        values = tuple(constant(n) for n in numbers)
        return lambda *arguments: plain(*arguments, *values)

    return run


def _prepare(expr: Any, constants: dict[Any, sp.Symbol]) -> Any:
    """The expression with its constants named, square roots as calls, and nothing outside the whitelist."""
    if isinstance(expr, (sp.Integer, sp.Symbol)):
        return expr
    if expr.is_number:
        constant(expr)
        return constants.setdefault(expr, sp.Dummy("c"))
    inner = expr.args[:1] if isinstance(expr, sp.Pow) else expr.args
    parts = [_prepare(a, constants) for a in inner]
    if isinstance(expr, (sp.Add, sp.Mul)):
        return expr.func(*parts)
    if isinstance(expr, sp.Pow):
        exponent = expr.args[1]
        if isinstance(exponent, sp.Integer):
            return _POWER(parts[0], exponent)
        if isinstance(exponent, sp.Rational) and exponent.q == 2:
            return _POWER(sp.Function("sqrt")(parts[0]), exponent.p)
        raise ValueError(f"{expr} has no ball arithmetic; exponents are integers or halves of them")
    name = type(expr).__name__
    if name in _SEVERAL or (name in _FUNCTIONS and name in ("Heaviside", "DiracDelta")):
        return sp.Function("f_" + name)(*(parts if name in _SEVERAL else parts[:1]))
    if name in _FUNCTIONS and len(parts) == 1:
        return sp.Function(name)(*parts)
    raise ValueError(f"{expr} has no ball arithmetic; use + - * / ** and {', '.join(_FUNCTIONS)}")


def _tangents(m: Map, columns: int) -> Any:
    return sp.Matrix(m.dimension, columns, lambda i, j: sp.Dummy(f"J_{i}_{j}"))


def _moved(m: Map, expr: Any, J: Any, k: int) -> Any:
    """Derivative of an expression along input ``k`` (the parameters, then the initial states)."""
    total = sum((expr.diff(x) * J[i, k] for i, x in enumerate(m.states)), sp.Integer(0))
    return total + (expr.diff(m.parameters[k]) if k < len(m.parameters) else 0)


@cache
def point_step(m: Map) -> Compiled:
    """``() → ((*h, *s, *parameters) → (*h', *s'))`` with ``s' = f_h s + f_g``, row by row."""
    count = len(m.parameters)
    J = _tangents(m, count)
    results = [*m.steps, *(_moved(m, f, J, k) for f in m.steps for k in range(count))]
    return _compile([*m.states, *J, *m.parameters], results)


@cache
def box_step(m: Map) -> Compiled:
    """``() → ((*h, *J, *parameters) → (*h', *f_h, *B, *C))``, row by row, for the differentials over a box.

    ``z`` are the p parameters, then the n initial states, q = p + n in all; ``J = ∂h/∂z`` is n×q. The
    differentials move by ``J' = f_h J + B`` and ``H' = f_h H + C`` with ``H = ∂²h/∂p∂z``, n×(p q).
    """
    p, q = len(m.parameters), len(m.parameters) + m.dimension
    J = _tangents(m, q)
    linear = [f.diff(x) for f in m.steps for x in m.states]
    own = [f.diff(m.parameters[k]) if k < p else sp.Integer(0) for f in m.steps for k in range(q)]
    second = [_moved(m, _moved(m, f, J, a), J, k) for f in m.steps for a in range(p) for k in range(q)]
    return _compile([*m.states, *J, *m.parameters], [*m.steps, *linear, *own, *second])


@cache
def _radius_step(m: Map) -> Compiled | None:
    if m.dimension > 1 or not m.steps[0].is_polynomial(*m.states):
        return None
    top, *rest = sp.Poly(m.steps[0], *m.states).all_coeffs()
    if len(rest) < 2:
        return None
    return _compile(list(m.parameters), [(1 + sum((sp.Abs(c) for c in rest), sp.Integer(0))) / sp.Abs(top)])


def escape_radius(m: Map, parameters: list[arb]) -> arb:
    """A radius beyond which every orbit diverges: ``max(1, (1 + Σ_{k<n}|a_k|)/|a_n|)`` for ``Σ a_k h^k``.

    For other maps it is `beyond`.
    """
    step = _radius_step(m)
    if step is None:
        return beyond()
    return step()(*parameters)[0].max(arb(1))
