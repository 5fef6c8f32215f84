"""Discrete-time maps, and the named families whose amplification laws the package knows.

Every named family is normalised so that it is critical at ``g = 1`` and ``h = 0``.
"""

from __future__ import annotations

import keyword
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import sympy as sp

from normalforms.maps.parser import MapSyntaxError, parse_expression

__all__ = [
    "Map",
    "cusp",
    "neimark_sacker",
    "parse_map",
    "period_doubling",
    "pitchfork",
    "saddle_node",
    "stability_flip",
    "transcritical",
]


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
        ValueError: lengths differ, a symbol repeats, or ``step`` has a symbol that is neither
            state nor parameter.

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
        if len({s.name for s in named}) != len(named):
            raise ValueError(f"a symbol appears twice among state and parameter: {named}")
        free = {s for e in self.steps for s in e.free_symbols} - set(named)
        if free:
            unknown = ", ".join(sorted(map(str, free)))
            raise ValueError(
                f"step contains {unknown}, which is neither state nor parameter; substitute a value for it"
            )
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
        if isinstance(n, bool) or not isinstance(n, int) or n < 1:
            raise ValueError(f"n must be a positive integer, got {n!r}")
        steps = self.steps
        for _ in range(n - 1):
            inner = dict(zip(self.states, steps, strict=True))
            steps = tuple(e.xreplace(inner) for e in self.steps)
        step = steps if isinstance(self.step, tuple) else steps[0]
        return Map(step, self.state, self.parameter)


def _number(name: str, value: Any) -> sp.Expr:
    if isinstance(value, str):
        number = parse_expression(value, ())
    elif isinstance(value, float):
        number = sp.Rational(repr(value)) if abs(value) < float("inf") else sp.nan
    else:
        number = sp.sympify(value)
    if not (number.is_number and number.is_finite):
        raise ValueError(f"{name} = {value!r} is not a finite number")
    return number


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
    return names


_h, _g, _beta = sp.symbols("h g beta", real=True)


def _family(name: str, step: sp.Expr) -> Map:
    return Map(step, _h, _g, {_h: 0, _g: 1}, name=name)


def stability_flip() -> Map:
    """``h' = g h``: the linear loss of stability (not the textbook "flip", a period doubling).

    >>> stability_flip().step
    g*h
    """
    return _family("stability_flip", _g * _h)


def pitchfork() -> Map:
    """``h' = g h − h³``: multiplier +1, odd symmetry, branches ``±√(g − 1)``.

    >>> pitchfork().step
    g*h - h**3
    """
    return _family("pitchfork", _g * _h - _h**3)


def transcritical() -> Map:
    """``h' = g h − h²``: multiplier +1, the branch ``g − 1`` exchanges stability with zero.

    >>> transcritical().step
    g*h - h**2
    """
    return _family("transcritical", _g * _h - _h**2)


def saddle_node() -> Map:
    """``h' = h + (g − 1) − h²``: multiplier +1, two branches ``±√(g − 1)`` are born at ``g = 1``.

    >>> saddle_node().step
    g - h**2 + h - 1
    """
    return _family("saddle_node", _h + (_g - 1) - _h**2)


def period_doubling() -> Map:
    """``h' = −g h + h³``: multiplier −1; the pitchfork with ``h_t → (−1)^t h_t``.

    >>> period_doubling().step
    -g*h + h**3
    """
    return _family("period_doubling", -_g * _h + _h**3)


def neimark_sacker(omega: Any, d: Any) -> Map:
    """``z' = e^{iω} z (g + d |z|²)`` as a planar real map in ``(x, y)``, ``z = x + i y``.

    Args:
        omega: rotation per step at the bifurcation, radians.
        d: complex cubic coefficient; ``Re d < 0`` is supercritical.

    >>> neimark_sacker(1, -1).dimension
    2
    """
    x, y = sp.symbols("x y", real=True)
    omega, d = sp.sympify(omega), sp.sympify(d)
    radius = x**2 + y**2
    growth, turn = _g + sp.re(d) * radius, sp.im(d) * radius
    u, v = x * growth - y * turn, x * turn + y * growth
    c, s = sp.cos(omega), sp.sin(omega)
    return Map((c * u - s * v, s * u + c * v), (x, y), _g, {x: 0, y: 0, _g: 1}, name="neimark_sacker")


def cusp() -> Map:
    """``h' = β + g h − h³``: the imperfect pitchfork; two parameters, critical at ``β = 0, g = 1``.

    >>> cusp().parameters
    (beta, g)
    """
    return Map(_beta + _g * _h - _h**3, _h, (_beta, _g), {_h: 0, _beta: 0, _g: 1}, name="cusp")
