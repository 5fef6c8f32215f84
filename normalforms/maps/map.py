"""Discrete-time maps, with states and parameters as SymPy symbols, and their reading from text."""

from __future__ import annotations

import keyword
import operator
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
import sympy as sp

from normalforms.maps.parser import MapSyntaxError, parse_expression, reserved

__all__ = ["Map", "parse_map", "turns"]


@dataclass(frozen=True)
class Map:
    """A map ``state' = step(state, parameter)``, scalar or in R^n.

    Args:
        step: SymPy expression, or a tuple of n of them.
        state: the symbol that ``step`` updates, or a tuple of n symbols.
        parameter: the symbol that moves the map through its bifurcation; a tuple for several.
        critical: values of state and parameters at the bifurcation, keyed by symbol or by name;
            ``None`` where it is not known.
        name: family name, empty for a map of the user's own.

    Raises:
        ValueError: lengths differ, a symbol repeats or is called like a function, ``step`` has a symbol that is
            neither state nor parameter, or it is not real.

    >>> h, g = sp.symbols("h g", real=True)
    >>> Map(g * h - h**3, h, g).iterate(2).dimension
    1
    """

    step: Any
    state: Any
    parameter: Any
    critical: Any = None
    name: str = field(default="", kw_only=True)

    def __post_init__(self) -> None:
        for name in ("step", "state", "parameter"):
            value = getattr(self, name)
            if isinstance(value, (tuple, list, sp.Tuple, sp.MatrixBase)):
                value = tuple(sp.sympify(v) for v in value)
            else:
                value = sp.sympify(value)
            object.__setattr__(self, name, value)
        if len(self.steps) != len(self.states):
            raise ValueError(
                f"step has {len(self.steps)} components and state {len(self.states)}; give one component each"
            )
        named = [*self.states, *self.parameters]
        for symbol in named:
            if not isinstance(symbol, sp.Symbol):
                raise ValueError(f"state and parameter must be symbols, got {symbol!r}")
            if reserved(symbol.name) and symbol.name not in ("E", "pi"):
                raise ValueError(f"{symbol.name} is the name of a function; give the symbol another name")
        if len({s.name for s in named}) != len(named):
            raise ValueError(f"a symbol appears twice among state and parameter: {named}")
        free = {s for e in self.steps for s in e.free_symbols} - set(named)
        if free:
            unknown = ", ".join(sorted(map(str, free)))
            raise ValueError(
                f"step contains {unknown}, which is neither state nor parameter; substitute a value for it"
            )
        real = tuple(_real(e, tuple(named)) for e in self.steps)
        object.__setattr__(self, "step", real if isinstance(self.step, tuple) else real[0])
        if self.critical is not None:
            object.__setattr__(self, "critical", sp.Dict(self.point(self.critical)))

    @property
    def steps(self) -> tuple[sp.Expr, ...]:
        """The components of ``step``, a tuple also for a scalar map."""
        return self.step if isinstance(self.step, tuple) else (self.step,)

    @property
    def states(self) -> tuple[sp.Symbol, ...]:
        """The state symbols, a tuple also for a scalar map."""
        return self.state if isinstance(self.state, tuple) else (self.state,)

    @property
    def parameters(self) -> tuple[sp.Symbol, ...]:
        """The parameter symbols, a tuple also for one parameter."""
        return self.parameter if isinstance(self.parameter, tuple) else (self.parameter,)

    @property
    def dimension(self) -> int:
        """Number of state variables."""
        return len(self.states)

    def point(self, at: Mapping[Any, Any]) -> dict[sp.Symbol, sp.Expr]:
        """``at`` keyed by this map's symbols: numbers, SymPy numbers or strings, keyed by symbol or name.

        Floats are read as the decimal that they print as, so that ``0.1`` means 1/10.

        Raises:
            ValueError: an unknown name, a missing one, or a value that is not a finite number.
        """
        symbols = {s.name: s for s in (*self.states, *self.parameters)}
        values: dict[sp.Symbol, sp.Expr] = {}
        for key, value in at.items():
            name = str(key)
            if name not in symbols:
                raise ValueError(f"at names {name!r}; this map has {', '.join(symbols)}")
            values[symbols[name]] = _number(name, value)
        missing = [name for name, s in symbols.items() if s not in values]
        if missing:
            raise ValueError(f"at gives no value for {', '.join(missing)}")
        return values

    def iterate(self, n: int) -> Map:
        """The ``n``-th iterate as a map of its own; its fixed points are this map's cycles of period ``n``.

        Raises:
            ValueError: ``n`` is not a positive integer.
        """
        n = turns(n, "n")
        steps = self.steps
        for _ in range(n - 1):
            inner = dict(zip(self.states, steps, strict=True))
            steps = tuple(e.xreplace(inner) for e in self.steps)
        step = steps if isinstance(self.step, tuple) else steps[0]
        return Map(step, self.state, self.parameter)


def turns(value: Any, name: str) -> int:
    """``value`` as a positive integer, also one of NumPy's or SymPy's.

    Raises:
        ValueError: it is none.
    """
    try:
        whole = operator.index(value)
    except TypeError:
        raise ValueError(f"{name} must be a positive integer, got {value!r}") from None
    if isinstance(value, (bool, np.bool_)) or whole < 1:
        raise ValueError(f"{name} must be a positive integer, got {value!r}")
    return whole


def _number(name: str, value: Any) -> sp.Expr:
    if isinstance(value, str):
        number = parse_expression(value, ())
    elif isinstance(value, (float, np.floating)):
        number = sp.Rational(str(value)) if abs(value) < float("inf") else sp.nan
    else:
        try:
            number = sp.sympify(value.item() if isinstance(value, (np.ndarray, np.generic)) else value)
        except (sp.SympifyError, ValueError):
            raise ValueError(f"{name} = {value!r} is not one number") from None
    if not (isinstance(number, sp.Expr) and number.is_number and number.is_finite):
        raise ValueError(f"{name} = {value!r} is not a finite number")
    if not number.is_real and abs(sp.im(number).evalf(30)) > 1e-25:
        raise ValueError(f"{name} = {value!r} is not real")
    return number


_TRIED = 128
"""Points at which a map is tried before it is refused as not real."""


@cache
def _real(expr: sp.Expr, inputs: tuple[sp.Symbol, ...]) -> sp.Expr:
    """``expr`` for real inputs.

    Raises:
        ValueError: it is complex there, or not finite.
    """
    if expr.has(sp.zoo, sp.nan, sp.oo, -sp.oo):
        raise ValueError(f"the map's step {expr} is not finite")
    if expr.has(sp.I):
        plain = {s: sp.Dummy(s.name, real=True) for s in inputs}
        real, imaginary = sp.expand_complex(expr.xreplace(plain)).as_real_imag()
        if sp.simplify(imaginary) != 0:
            raise ValueError(f"the map's step {expr} is complex; a map is real")
        return real.xreplace({v: k for k, v in plain.items()})
    roots = any(not p.exp.is_Integer for p in expr.atoms(sp.Pow)) or expr.has(sp.log)
    if roots and not _somewhere_real(expr, inputs):
        raise ValueError(f"the map's step {expr} is not real at any of {_TRIED} points that were tried; a map is real")
    return expr


def _somewhere_real(expr: sp.Expr, inputs: tuple[sp.Symbol, ...]) -> bool:
    rng = np.random.default_rng(0)
    sizes = 10 ** rng.uniform(-2, 2, (len(inputs), _TRIED)) * rng.choice([-1, 1, 1], (len(inputs), _TRIED))
    with np.errstate(all="ignore"):
        values = np.asarray(sp.lambdify(inputs, expr, "numpy")(*sizes.astype(complex)))
    return bool(np.any(np.isfinite(values) & (np.abs(values.imag) <= 1e-12 * np.abs(values.real))))


def parse_map(step: str | Iterable[str], *, state: str | Iterable[str], parameter: str | Iterable[str]) -> Map:
    """Read a map from text, without ever evaluating the text as Python.

    Args:
        step: formula of the next state, or one per state.
        state: name of the state variable, or names (an iterable, or text with commas).
        parameter: name of the parameter, or names.

    Raises:
        MapSyntaxError: anything but numbers, the given names, ``+ - * / ** ^``, brackets and the
            usual functions (``tanh exp log sin cos …``); powers that would explode.

    >>> parse_map("r*x*(1-x)", state="x", parameter="r").step
    r*x*(1 - x)
    """
    states, parameters = _names(state, "state"), _names(parameter, "parameter")
    symbols = {name: sp.Symbol(name, real=True) for name in (*states, *parameters)}
    texts = [step] if isinstance(step, str) else list(step)
    if isinstance(step, str) and len(states) > 1:
        texts = step.split(";")
    steps = tuple(parse_expression(text, symbols.values()) for text in texts)
    pick = tuple(symbols[n] for n in states)
    scalar = len(steps) == 1 and len(pick) == 1
    chosen = tuple(symbols[n] for n in parameters)
    return Map(
        steps[0] if scalar else steps,
        pick[0] if scalar else pick,
        chosen[0] if len(chosen) == 1 else chosen,
    )


def _names(value: str | Iterable[str], what: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in (value.split(",") if isinstance(value, str) else value))
    for name in names:
        if not name.isidentifier() or keyword.iskeyword(name) or len(name) > 40:
            raise MapSyntaxError(f"{what} {name[:60]!r} is not a name; use letters, digits and underscores")
        if reserved(name) and name != "E":
            raise MapSyntaxError(f"{what} {name!r} means something in formulas; give it another name")
    return names
