"""The reference: states and sensitivities of a map by direct iteration, vectorised in float64."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
import sympy as sp

from normalforms.formulas import Carry, Program, check_horizon, check_real, compiled, symbols
from normalforms.maps import Map

__all__ = [
    "Orbit",
    "accompanied",
    "arguments",
    "compiled_step",
    "escape_radius",
    "iterate",
    "orbit_guard",
    "orbit_program",
]


@dataclass(frozen=True)
class Orbit:
    """Orbits, their sensitivities and when they left.

    ``h_{t+1} = f(h_t, g)``, ``s_{t+1} = f_h s_t + f_g``, ``s_0 = 0``.

    Args:
        h: states ``h_1 … h_T``, shape ``(T, *batch)``, or ``(T, *batch, n)`` for a map of R^n.
        s: ``∂h_t/∂g``, shape of ``h``; with several parameters they are a last axis.
        escape: step at which the orbit left the escape radius or the floats, 0 where it stayed; shape ``batch``.
    """

    h: np.ndarray
    s: np.ndarray
    escape: np.ndarray


def orbit_program(m: Map) -> Program:
    """The program of ``A_T = Σ ‖s_t‖²`` (one parameter) by iteration, with tangents; ``T`` is symbolic."""
    t, T, A = *symbols("t T"), sp.Symbol("A", real=True)
    names = ["h0"] if m.dimension == 1 else [f"{s.name}0" for s in m.states]
    initial = [sp.Symbol(n, real=True) for n in names]
    nexts = [sp.Symbol(f"{s.name}_next", real=True) for s in m.states]
    program = Program(
        (*m.parameters, *initial, T),
        tuple(m.states),
        carries=tuple(Carry(s, i, n) for s, i, n in zip(m.states, initial, nexts, strict=True)),
        body=tuple(zip(nexts, m.steps, strict=True)),
        counter=t,
        horizon=T,
    )
    moved, tangents = program.with_tangents(m.parameters[0])
    growth = sp.Add(*(tangents[n] ** 2 for n in nexts if n in tangents))
    return Program(
        program.inputs,
        (A,),
        carries=(*moved.carries, Carry(A, sp.Integer(0), A + growth)),
        body=moved.body,
        counter=t,
        horizon=T,
    )


_LONG = 300
"""Operations in a step whose common parts are assigned once."""
_ROUNDING = 2.0**-52


def accompanied(
    program: Program,
    m: Map,
    start: tuple[sp.Expr, ...],
    entry: tuple[int, int] = (0, 0),
    horizon: sp.Expr | None = None,
    kick: sp.Expr = sp.S.One,
) -> tuple[Program, sp.Symbol]:
    """``program`` with direct iteration of ``m`` beside it, and the symbol of ``Σ_t ∂_p h_t · ∂_q h_t``.

    Args:
        program: with the map's parameters among its inputs; it may loop over the same horizon.
        m: the map.
        start: its initial state, in symbols of the program.
        entry: the parameters p and q, by place.
        horizon: number of turns.
        kick: factor on every state, for a companion; its parameters are a rounding error away too.
    """
    states = [sp.Symbol(f"direct{i}", real=True) for i in range(m.dimension)]
    swap = dict(zip(m.states, states, strict=True))
    steps = [f.xreplace(swap) for f in m.steps]
    nexts = [sp.Symbol(f"direct{i}_next", real=True) for i in range(m.dimension)]
    made = list(zip(nexts, steps, strict=True))
    carries = [Carry(x, a, kick * b) for x, a, b in zip(states, start, nexts, strict=True)]
    moved: dict[int, list[sp.Symbol]] = {}
    for k in sorted(set(entry)):
        own = [sp.Symbol(f"direct{i}_by{k}", real=True) for i in range(m.dimension)]
        moved[k] = [sp.Symbol(f"direct{i}_by{k}_next", real=True) for i in range(m.dimension)]
        for i, f in enumerate(steps):
            slope = sp.Add(f.diff(m.parameters[k]), *(f.diff(x) * s for x, s in zip(states, own, strict=True)))
            slope = smooth(slope)
            made.append((moved[k][i], slope))
            carries.append(Carry(own[i], sp.Integer(0), moved[k][i]))
    if kick != 1:
        near = {p: p * sp.Float(1 + _ROUNDING, 20) for p in m.parameters}
        made = [(name, expr.xreplace(near)) for name, expr in made]
    total = sp.Symbol("direct_sum", real=True)
    growth = sp.Add(*(a * b for a, b in zip(moved[entry[0]], moved[entry[1]], strict=True)))
    common: list[tuple[sp.Symbol, sp.Expr]] = []
    if sp.count_ops(steps) > _LONG:  # what a long step repeats, its slopes repeat many times
        names = sp.numbered_symbols("direct_part", real=True)
        common, short = sp.cse([e for _, e in made], symbols=names)
        made = [(s, e) for (s, _), e in zip(made, short, strict=True)]
    together = replace(
        program,
        carries=(*program.carries, *carries, Carry(total, sp.Integer(0), total + growth)),
        body=(*program.body, *common, *made),
        counter=program.counter or symbols("t"),
        horizon=program.horizon if program.carries else horizon,
    )
    return together, total


def smooth(expr: sp.Expr) -> sp.Expr:
    """A derivative almost everywhere: steps as cases, and no mass on the borders between the pieces of a map."""
    if not expr.has(sp.Heaviside, sp.DiracDelta):
        return expr
    expr = expr.replace(sp.DiracDelta, lambda *_: sp.Integer(0))
    return expr.replace(sp.Heaviside, lambda u, *_: sp.Piecewise((sp.Integer(1), u > 0), (sp.Integer(0), True)))


def orbit_guard(m: Map) -> Program:
    """`orbit_program`, and how far a companion that is a rounding error away at every step ends from it."""
    program = orbit_program(m)
    initial = program.inputs[len(m.parameters) : -1]
    kick = 1 + sp.Float(2 * _ROUNDING) * sp.cos(7 * symbols("t"))
    both, direct = accompanied(program, m, tuple(initial), kick=kick)
    return replace(both, results=(*program.results, direct - program.results[0]))


@cache
def compiled_step(m: Map, backend: str = "numpy") -> Callable[..., Any]:
    """Compiled ``(h, s, g) → (h', s')``; ``s`` runs over states, then parameters."""
    taken = {x.name for x in (*m.states, *m.parameters)}
    prefix = "s"
    while any(name.startswith(prefix) for name in taken):
        prefix += "_"
    tangents = [
        [sp.Symbol(f"{prefix}{i}_{j}", real=True) for j in range(len(m.parameters))] for i in range(m.dimension)
    ]
    results = list(m.steps)
    for step in m.steps:
        for j, parameter in enumerate(m.parameters):
            results.append(
                smooth(step.diff(parameter))
                + sum(smooth(step.diff(x)) * row[j] for x, row in zip(m.states, tangents, strict=True))
            )
    flat = [s for row in tangents for s in row]
    common, reduced = sp.cse(results, symbols=sp.numbered_symbols(f"{prefix}v", real=True))
    program = Program((*m.states, *flat, *m.parameters), tuple(reduced), prelude=tuple(common))
    return compiled(program, backend)


@cache
def _radius(m: Map) -> Callable[..., Any] | None:
    if m.dimension > 1 or not m.steps[0].is_polynomial(*m.states):
        return None
    *lower, top = reversed(sp.Poly(m.steps[0], *m.states).all_coeffs())
    if len(lower) < 2:
        return None
    radius = (1 + sp.Add(*(sp.Abs(c) for c in lower))) / sp.Abs(top)
    return sp.lambdify(m.parameters, sp.Max(1, radius) if radius.is_number else radius, "numpy")


def escape_radius(m: Map, g: Any) -> Any:
    """A radius beyond which every orbit of the map diverges: ``max(1, (1 + Σ_{k<n}|a_k|)/|a_n|)``.

    Infinite for maps that are linear, of R^n, or no polynomial ``Σ a_k hᵏ``: those are followed as far as
    floating-point numbers go.

    >>> from normalforms import pitchfork
    >>> float(escape_radius(pitchfork(), 1.0))
    2.0
    """
    rule = _radius(m)
    if rule is None:
        return np.inf
    values = g if isinstance(g, tuple) else (g,)
    with np.errstate(divide="ignore"):
        return np.maximum(1.0, rule(*values))


def arguments(m: Map, g: Any, h0: Any) -> tuple[list[np.ndarray], list[np.ndarray], tuple[int, ...]]:
    """Parameters and components of the state as arrays, and the shape that they broadcast to."""
    given = g if isinstance(g, tuple) else (g,)
    if len(given) != len(m.parameters):
        names = ", ".join(p.name for p in m.parameters)
        raise ValueError(f"g has {len(given)} components and the map the parameters ({names}); give a tuple of them")
    parameters = [check_real(v, p.name) for v, p in zip(given, m.parameters, strict=True)]
    initial = check_real(h0, "h0")
    if m.dimension == 1:
        states = [initial]
    elif initial.ndim and initial.shape[-1] == m.dimension:
        states = list(np.moveaxis(initial, -1, 0))
    else:
        raise ValueError(f"h0 has shape {initial.shape}; its last axis must have the map's {m.dimension} states")
    shape = np.broadcast_shapes(*(v.shape for v in (*parameters, *states)))
    return parameters, states, shape


def walk(m: Map, g: Any, h0: Any, horizon: int) -> Any:
    """Yield ``(t, h, s, left)`` for ``t = 1 … horizon``: lists over states, ``s`` over states and parameters."""
    parameters, states, shape = arguments(m, g, h0)
    step, count = compiled_step(m), m.dimension
    h = [np.broadcast_to(v, shape) for v in states]
    s = [np.zeros(shape)] * (count * len(parameters))
    radius = escape_radius(m, tuple(parameters))
    for t in range(1, horizon + 1):
        with np.errstate(all="ignore"):
            values = [np.broadcast_to(v, shape) for v in step(*h, *s, *parameters)]
            h, s = values[:count], values[count:]
            left = ~np.all([np.abs(v) <= radius for v in h], axis=0) | ~np.all(np.isfinite(values), axis=0)
        yield t, h, s, left


def iterate(m: Map, g: Any, h0: Any, horizon: int) -> Orbit:
    """States and sensitivities of ``m`` from ``h0`` over ``horizon`` steps.

    Args:
        m: the map.
        g: parameter value or array; a tuple of them for several parameters.
        h0: initial state, broadcast against ``g``; for a map of R^n its last axis has length n.
        horizon: steps, at least 1.

    Raises:
        ValueError: complex or NaN input, shapes that do not match, a horizon that is no positive integer.

    >>> from normalforms import stability_flip
    >>> iterate(stability_flip(), 1.0, 0.5, 3).s
    array([0.5, 1. , 1.5])
    """
    horizon = check_horizon(horizon)
    states, sensitivities, escape = [], [], None
    for t, h, s, left in walk(m, g, h0, horizon):
        states.append(h[0] if m.dimension == 1 else np.stack(h, axis=-1))
        sensitivities.append(_sensitivity(m, s))
        escape = left * t if escape is None else np.where((escape == 0) & left, t, escape)
    return Orbit(np.stack(states), np.stack(sensitivities), np.asarray(escape))


def _sensitivity(m: Map, s: list[np.ndarray]) -> np.ndarray:
    count = len(m.parameters)
    array = np.stack(s, axis=-1).reshape(*s[0].shape, m.dimension, count)
    array = array[..., 0] if count == 1 else array
    if m.dimension == 1:
        array = array[..., 0] if count == 1 else array[..., 0, :]
    return array
