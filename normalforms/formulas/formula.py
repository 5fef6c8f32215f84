"""`Formula`: an expression to read, with a program beside it that stays accurate where the expression cancels."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from typing import Any, Generic, TypeVar

import numpy as np
import sympy as sp

from normalforms.formulas.checks import at_each_horizon, check_horizon, check_real
from normalforms.formulas.judge import truncation
from normalforms.formulas.notation import Notation
from normalforms.formulas.printing import LANGUAGES, render
from normalforms.formulas.program import Program
from normalforms.formulas.typeset import typeset

__all__ = ["EVERYWHERE", "Domain", "DomainWarning", "Formula", "Lazy", "compiled", "symbols"]

T = TypeVar("T")


class DomainWarning(UserWarning):
    """A formula was evaluated where it is not accurate; the message says where it holds."""


def symbols(names: str) -> Any:
    """Symbols under the package's conventions: real numbers, ``T`` and ``t`` positive integers.

    >>> symbols("T").is_integer
    True
    """
    made = [sp.Symbol(n, integer=True, positive=True) if n in "Tt" else sp.Symbol(n, real=True) for n in names.split()]
    return made[0] if len(made) == 1 else tuple(made)


class Lazy(Generic[T]):
    """A value that is built when it is first read.

    >>> Lazy(lambda: 3).value
    3
    """

    def __init__(self, build: Callable[[], T]) -> None:
        self._build = build

    @cached_property
    def value(self) -> T:
        """The value."""
        return self._build()

    @classmethod
    def of(cls, value: T | Lazy[T]) -> Lazy[T]:
        """``value`` itself, to be read like one that is built."""
        return value if isinstance(value, Lazy) else cls(lambda: value)


@dataclass(frozen=True)
class Domain:
    """Where a formula holds.

    Args:
        sentence: for the reader; a `Lazy` one is written when it is first read.
        holds: boolean predicate on the formula's arguments; ``None`` where it holds for every real argument.
        tolerance: largest relative truncation error, estimated from the first neglected terms, that passes
            without a warning. Where the estimate reaches 1 no digit is right and the value is ``nan``.

    >>> print(Domain("g > 0", holds=lambda g: g > 0))
    g > 0
    """

    sentence: str | Lazy[str]
    holds: Callable[..., Any] | None = None
    tolerance: float = 1e-2

    def __str__(self) -> str:
        return Lazy.of(self.sentence).value


EVERYWHERE = Domain("every real argument")


@dataclass(frozen=True, eq=False)
class Formula:
    """A closed form: ``formula.expr`` to read, ``formula(g, h0, horizon)`` for stable numbers.

    Args:
        expression: the SymPy expression; a `Lazy` one is built when it is first read.
        symbols: its free symbols in call order; integer symbols are horizons.
        domain: where it holds.
        program: the stable program; by default the expression is evaluated as it stands, which is right for
            expressions that do not cancel.
        guard: for truncated forms, a program of the value and of the first neglected terms; their absolute values
            are summed to the truncation error.
        orbit: for a uniform law, the formula of the state ``h_t``.
        notation: how parameters and states are given; by default one argument per symbol, or tuples of them.
        truth: for truncated forms without a guard, a costlier formula of the same symbols that has the same value
            without truncation; the distance from it is the truncation error, see `normalforms.formulas.judge`.

    >>> x = sp.Symbol("x", real=True)
    >>> Formula(x**2 + 1, (x,)).diff("x")(3.0)
    6.0
    """

    expression: sp.Basic | Lazy[sp.Basic]
    symbols: tuple[sp.Symbol, ...]
    domain: Domain = EVERYWHERE
    program: Program | Lazy[Program] | None = field(default=None, kw_only=True)
    guard: Program | Lazy[Program] | None = field(default=None, kw_only=True)
    orbit: Formula | None = field(default=None, kw_only=True)
    notation: Notation | None = field(default=None, kw_only=True)
    truth: Any = field(default=None, kw_only=True)

    @cached_property
    def expr(self) -> sp.Expr:
        """The expression, in `symbols`."""
        return sp.sympify(Lazy.of(self.expression).value)

    @cached_property
    def stable(self) -> Program:
        """The program that evaluation, generated code and derivatives use."""
        return Program(self.symbols, (self.expr,)) if self.program is None else Lazy.of(self.program).value

    @cached_property
    def _guard(self) -> Program | None:
        return None if self.guard is None else Lazy.of(self.guard).value

    @cached_property
    def _bare(self) -> Callable[..., Any]:
        return compiled(self.stable, "numpy")

    @cached_property
    def _numbers(self) -> Callable[..., Any]:
        return self._bare if self._guard is None else compiled(self._guard, "numpy")

    def __call__(self, *arguments: Any) -> Any:
        """The value, elementwise over broadcast arguments, in float64.

        Args:
            arguments: one real number or array per symbol, in the order of `symbols` (several parameters may
                come as one tuple); horizons are positive integers, in steps, or an array of them.

        Returns:
            A float for numbers, else an array; ``nan`` where the formula has no correct digit.

        Raises:
            ValueError: wrong number of arguments, complex or NaN input, a horizon that is not a positive integer.
        """
        flat = self._flat(arguments)
        if len(flat) != len(self.symbols):
            names = ", ".join(s.name for s in self.symbols)
            raise ValueError(f"this formula takes ({names}), got {len(flat)} arguments; give one per symbol")
        clock = next((i for i, s in enumerate(self.symbols) if s.is_integer and np.ndim(flat[i])), None)
        if clock is not None:
            numbers = [
                v if i == clock else check_real(v, s.name)
                for i, (s, v) in enumerate(zip(self.symbols, flat, strict=True))
            ]
            return at_each_horizon(self._value, numbers, clock)
        return self._value(*flat)

    def _value(self, *flat: Any) -> Any:
        values = [
            check_horizon(v, s.name) if s.is_integer else check_real(v, s.name)
            for s, v in zip(self.symbols, flat, strict=True)
        ]
        value = self._checked(*self._measured(values), values)
        return float(value) if value.ndim == 0 else value

    def _measured(self, values: list[Any]) -> tuple[np.ndarray, Any]:
        """The value as it is computed, and the truncation error; ``None`` where nothing is truncated."""
        shape = np.broadcast_shapes(*(np.shape(v) for v in values))
        neglected: list[Any] = []
        with np.errstate(all="ignore"):
            value = self._numbers(*values)
            if self._guard is not None:
                value, *neglected = value
            error = sum(np.abs(term) for term in neglected) if neglected else None
        value = np.array(np.broadcast_to(value, shape), dtype=float)
        if self.truth is not None:
            error = truncation(value, self.truth.lambdify(), values, self.domain.tolerance)
        return value, error

    def _flat(self, arguments: tuple[Any, ...]) -> list[Any]:
        """One value per symbol."""
        if self.notation is None:
            return [v for a in arguments for v in (a if isinstance(a, tuple) else (a,))]
        clocks = sum(bool(s.is_integer) for s in self.symbols)
        states = len(self.symbols) - len(self.notation.parameters) - clocks
        return self.notation.flat(arguments, states, clocks)

    def _checked(self, value: np.ndarray, error: Any, values: list[Any]) -> np.ndarray:
        outside = np.zeros(value.shape, dtype=bool)
        if self.domain.holds is not None:
            outside |= ~np.broadcast_to(self.domain.holds(*values), value.shape)
        if error is not None:
            with np.errstate(all="ignore"):
                error = np.broadcast_to(error, value.shape)
                outside |= ~(error <= self.domain.tolerance * np.abs(value))
                value = np.where(error < np.abs(value), value, np.where(error == 0, value, np.nan))
        lost = ~np.isfinite(value)
        if np.any(outside | lost):
            warnings.warn(
                f"{int(np.sum(outside | lost))} of {value.size} values lie outside the domain of this formula"
                f" ({int(np.sum(lost))} have no value): it holds for {self.domain}",
                DomainWarning,
                stacklevel=4,
            )
        return value

    def lambdify(self, backend: str = "numpy") -> Callable[..., Any]:
        """A bare function of `symbols` on NumPy arrays, JAX arrays or mpmath numbers, without domain checks.

        The JAX function is differentiable in forward and reverse mode, to any order and under `jit` also where
        the horizon is traced: its derivative is the program of `diff`, as stable as the value. It is made of
        floating-point recursions, so no large integer overflows.

        Raises:
            ValueError: an unknown backend.

        >>> g = sp.Symbol("g", real=True)
        >>> float(Formula(g**2, (g,)).lambdify()(3.0))
        9.0
        """
        if backend not in ("numpy", "jax", "mpmath"):
            raise ValueError(f"backend {backend!r} is not known; choose numpy, jax or mpmath")
        if backend == "numpy":
            return self._bare
        return _differentiable(self.stable) if backend == "jax" else compiled(self.stable, backend)

    def code(self, language: str = "python", name: str = "law") -> str:
        """Source of a function ``name`` of `symbols`, in ``"python"``, ``"c"`` or ``"julia"`` (also ``"numpy"``,
        ``"jax"``, ``"mpmath"``), with the special functions that it needs.

        Raises:
            ValueError: an unknown language, or a name that is no identifier.
        """
        if language not in LANGUAGES:
            raise ValueError(f"language {language!r} is not known; choose one of {', '.join(LANGUAGES)}")
        if not name.isidentifier():
            raise ValueError(f"name {name!r} is not an identifier; choose one such as 'law'")
        return render(self.stable, language, name)

    def printed(self) -> tuple[tuple[Any, Any], ...]:
        """The formula as equations, left and right sides."""
        return ((sp.Symbol("A"), self.expr),)

    def latex(self) -> str:
        """The expression as LaTeX; a long one as an aligned environment with abbreviations.

        >>> h0, T = symbols("h0 T")
        >>> print(Formula(h0**2 * T**3 / 3, (h0, T)).latex())
        \\frac{T^{3} h_{0}^{2}}{3}
        """
        return typeset(self.expr, next((s for s in self.symbols if s.name == "h0"), None))

    def diff(self, symbol: Any) -> Formula:
        """The derivative with respect to a symbol, or its name: again a formula, as stable as this one.

        Raises:
            ValueError: the symbol is not in `symbols`, or is a horizon, which is an integer.
        """
        named = {s.name: s for s in self.symbols}
        x = named.get(str(symbol))
        if x is None:
            raise ValueError(f"symbol {symbol} is not one of {', '.join(named)}")
        if x.is_integer:
            raise ValueError(f"{x} counts steps and cannot be differentiated by; choose a real symbol")
        guard = None if self.guard is None else Lazy(lambda: Lazy.of(self.guard).value.derivative(x))
        return replace(
            self,
            expression=Lazy(lambda: self.expr.diff(x)),
            program=Lazy(lambda: self.stable.derivative(x)),
            guard=guard,
            orbit=None,
            truth=None if self.truth is None else self.truth.diff(x),
        )

    def __str__(self) -> str:
        return str(self.expr)

    def __repr__(self) -> str:
        return f"Formula({self.expr}, {self.symbols}, domain={str(self.domain)!r})"

    def _repr_latex_(self) -> str:
        return f"$\\displaystyle {self.latex()}$"


def compiled(program: Program, backend: str) -> Callable[..., Any]:
    """The program as a function of its inputs, on a backend; no domain is checked."""
    return _namespace(program, backend)["law"]


def _namespace(program: Program, backend: str) -> dict[str, Any]:
    namespace: dict[str, Any] = {}
    exec(compile(render(program, backend, lean=True), f"<{backend} law>", "exec"), namespace)
    return namespace


def _differentiable(program: Program) -> Callable[..., Any]:
    """The program for JAX with its own derivative rule, ``dA = Σ_x ∂A/∂x dx`` by the programs of ``∂A/∂x``."""
    namespace = _namespace(program, "jax")
    jax, plain = namespace["jax"], namespace["law"]
    law = jax.custom_jvp(plain)
    slope = cache(lambda i: _differentiable(program.derivative(program.inputs[i])))
    zero = jax.custom_derivatives.SymbolicZero

    def rule(primals: Any, tangents: Any) -> Any:
        value = law(*primals)
        total = jax.tree.map(jax.numpy.zeros_like, value)
        for i, (x, dx) in enumerate(zip(program.inputs, tangents, strict=True)):
            if not x.is_integer and not isinstance(dx, zero):
                total = jax.tree.map(lambda a, b, dx=dx: a + b * dx, total, slope(i)(*primals))
        return value, total

    law.defjvp(rule, symbolic_zeros=True)
    return law
