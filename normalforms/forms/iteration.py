"""The reference: states and sensitivities of a map by direct iteration, vectorised in float64."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import mpmath
import numpy as np
import sympy as sp

from normalforms.formulas import Carry, DomainWarning, Program, check_horizon, check_real, compiled, symbols
from normalforms.maps import Map

__all__ = ["Orbit", "accompanied", "escape_radius", "iterate", "orbit_guard", "orbit_program"]


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
        kick: factor on every state, for a companion.
    """
    states = [sp.Symbol(f"direct{i}", real=True) for i in range(m.dimension)]
    swap = dict(zip(m.states, states, strict=True))
    steps = [f.xreplace(swap) for f in m.steps]
    nexts = [sp.Symbol(f"direct{i}_next", real=True) for i in range(m.dimension)]
    body = list(zip(nexts, steps, strict=True))
    carries = [Carry(x, a, kick * b) for x, a, b in zip(states, start, nexts, strict=True)]
    moved: dict[int, list[sp.Symbol]] = {}
    for k in sorted(set(entry)):
        own = [sp.Symbol(f"direct{i}_by{k}", real=True) for i in range(m.dimension)]
        moved[k] = [sp.Symbol(f"direct{i}_by{k}_next", real=True) for i in range(m.dimension)]
        for i, f in enumerate(steps):
            slope = sp.Add(f.diff(m.parameters[k]), *(f.diff(x) * s for x, s in zip(states, own, strict=True)))
            slope = smooth(slope)
            body.append((moved[k][i], slope))
            carries.append(Carry(own[i], sp.Integer(0), moved[k][i]))
    total = sp.Symbol("direct_sum", real=True)
    growth = sp.Add(*(a * b for a, b in zip(moved[entry[0]], moved[entry[1]], strict=True)))
    together = replace(
        program,
        carries=(*program.carries, *carries, Carry(total, sp.Integer(0), total + growth)),
        body=(*program.body, *body),
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
    kick = 1 + sp.Float(2.0**-51) * sp.cos(7 * symbols("t"))
    both, direct = accompanied(program, m, tuple(initial), kick=kick)
    return replace(both, results=(*program.results, direct - program.results[0]))


@cache
def _step(m: Map, backend: str = "numpy") -> Callable[..., Any]:
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

    >>> from normalforms.maps.map import pitchfork
    >>> float(escape_radius(pitchfork(), 1.0))
    2.0
    """
    rule = _radius(m)
    if rule is None:
        return np.inf
    values = g if isinstance(g, tuple) else (g,)
    with np.errstate(divide="ignore"):
        return np.maximum(1.0, rule(*values))


def _arguments(m: Map, g: Any, h0: Any) -> tuple[list[np.ndarray], list[np.ndarray], tuple[int, ...]]:
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
    parameters, states, shape = _arguments(m, g, h0)
    step, count = _step(m), m.dimension
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

    >>> from normalforms.maps.map import stability_flip
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


def gram(m: Map, g: Any, h0: Any, horizon: int) -> np.ndarray:
    """``Σ_t s_tᵀ s_t`` over the parameters, shape ``(*batch, p, p)``; ``inf`` beyond the floating-point numbers.

    Warns:
        DomainWarning: see `amplify`.
    """
    count = len(m.parameters)
    entries = iter(_watched(m, g, h0, horizon))
    total = np.empty((*np.shape(first := next(entries)), count, count))
    for p in range(count):
        for q in range(p, count):
            total[..., p, q] = total[..., q, p] = first if p == q == 0 else next(entries)
    gone = ~np.all(np.isfinite(total), axis=(-1, -2)) & ~np.any(np.isnan(total), axis=(-1, -2))
    return np.where(gone[..., None, None], np.inf, total)


def amplify(m: Map, g: Any, h0: Any, horizon: int) -> np.ndarray:
    """``A_T = ‖Σ_t s_tᵀ s_t‖₂`` by direct iteration; see `iterate` for the arguments.

    A second orbit runs beside the first, one rounding error away from it at every step. Where their sums differ by
    more than 1e-6 the orbit has amplified rounding beyond use: a few such values are computed anew with as many
    digits as they need, more of them are returned with a warning.

    Returns:
        ``inf`` where the sum is beyond the floating-point numbers, ``nan`` where the orbit left the real numbers.

    Warns:
        DomainWarning: values that rounding has spoiled, and orbits that left the map's domain.
    """
    if len(m.parameters) == 1:
        return _watched(m, g, h0, horizon)[0]
    matrix = gram(m, g, h0, horizon)
    finite = np.all(np.isfinite(matrix), axis=(-1, -2))
    top = np.linalg.eigvalsh(np.where(finite[..., None, None], matrix, 0.0))[..., -1]
    return np.where(finite, top, np.where(np.any(np.isnan(matrix), axis=(-1, -2)), np.nan, np.inf))


_CHUNK = 8192
"""Orbits iterated at once: what a step touches stays in the cache."""
_DIGITS = 1e-6
_AFFORDABLE = 5000
"""Steps in many digits, over all orbits, that are done without being asked for."""
_SIGNS = 0x9E3779B97F4A7C15
"""Signs of the companion's rounding errors: bits without a pattern, so that they do not cancel along the orbit."""


def _watched(m: Map, g: Any, h0: Any, horizon: int) -> list[np.ndarray]:
    """The entries of the Gram matrix on and above its diagonal, with their digits seen to."""
    horizon = check_horizon(horizon)
    parameters, states, shape = _arguments(m, g, h0)
    given = [np.broadcast_to(v, shape).ravel() if v.ndim else v.reshape(1) for v in (*parameters, *states)]
    size = math.prod(shape)
    parts = []
    for start in range(0, max(size, 1), _CHUNK):
        cut = [v if v.size == 1 else v[start : start + _CHUNK] for v in given]
        parts.append(_sums(m, cut, min(_CHUNK, size - start), horizon))
    pair = np.concatenate(parts, axis=-1)  # (entries, 2, size)
    value = pair[:, 0].copy()
    with np.errstate(all="ignore"):
        scale = np.sqrt(np.abs(np.sum(value[_diagonal(len(parameters))] ** 2, axis=0)))
        lost = np.any(np.abs(pair[:, 1] - value) > _DIGITS * scale, axis=0) & np.all(np.isfinite(value), axis=0)
    gone = ~np.all(np.isfinite(value), axis=0)
    value[:, gone] = np.inf
    outside = np.flatnonzero(gone)[_outside(m, [v if v.size == 1 else v[gone] for v in given], horizon, gone)]
    value[:, outside] = np.nan
    places = np.flatnonzero(lost)
    if 0 < len(places) * horizon <= _AFFORDABLE:
        for i in places:
            value[:, i] = _precise(m, [float(v[0 if v.size == 1 else i]) for v in given], horizon)
    elif len(places):
        _warn(
            f"{len(places)} of {size} values have fewer than six digits left: these orbits amplify rounding errors"
            " beyond them; enclosure() gives certified digits"
        )
    if len(outside):
        _warn(
            f"{len(outside)} of {size} orbits leave the real numbers, or the floating-point ones between them;"
            " the map has no value there"
        )
    return [v.reshape(shape) for v in value]


def _warn(text: str) -> None:
    warnings.warn(text, DomainWarning, stacklevel=5)


def _diagonal(count: int) -> list[int]:
    return [k * count - k * (k - 1) // 2 for k in range(count)]


def _sums(m: Map, given: list[np.ndarray], size: int, horizon: int) -> np.ndarray:
    """Entries of the Gram matrix of orbits and of their companions, shape ``(entries, 2, size)``."""
    count, n = len(m.parameters), m.dimension
    parameters, step = given[:count], _step(m)
    kicks = [np.array([[1.0], [1.0 + sign * 2.0**-51]]) for sign in (-1, 1)]
    h = [v * np.ones((2, 1)) for v in given[count:]]
    s = [np.zeros((2, 1))] * (n * count)
    pairs = [(p, q) for p in range(count) for q in range(p, count)]
    total: list[Any] = [0.0] * len(pairs)
    with np.errstate(all="ignore"):
        for t in range(horizon):
            values = step(*h, *s, *parameters)
            kick = kicks[_SIGNS >> (t % 64) & 1]
            h, s = [v * kick for v in values[:n]], values[n:]
            for k, (p, q) in enumerate(pairs):
                for i in range(0, n * count, count):
                    total[k] = total[k] + s[i + p] * s[i + q]
            if t % 256 == 255 and not np.any(np.isfinite(total[0])):
                break
    return np.stack([np.broadcast_to(v, (2, size)) for v in total])


def _outside(m: Map, given: list[np.ndarray], horizon: int, gone: np.ndarray) -> np.ndarray:
    """Which of the orbits that ended did so at a moderate state: the map has no real value there."""
    ended, found = np.zeros((2, int(gone.sum())), dtype=bool)
    if not gone.any() or all(f.is_polynomial(*m.states, *m.parameters) for f in m.steps):
        return found
    count, n = len(m.parameters), m.dimension
    h, step = given[count:], _step(m)
    still = [np.zeros(1)] * (n * count)
    for _ in range(horizon):
        with np.errstate(all="ignore"):
            values = step(*h, *still, *given[:count])
            moderate = np.all([np.abs(v) < 1e100 for v in h], axis=0)
            lost = ~np.all([np.isfinite(v) for v in values[:n]], axis=0)
            nowhere = np.any([np.isnan(v) for v in values], axis=0) & moderate
        found, ended = found | (nowhere & ~ended), ended | lost | nowhere
        h = values[:n]
        if ended.all():
            break
    return found


_Row = list[Any]


def _precise(m: Map, given: list[float], horizon: int) -> list[float]:
    """The entries of one Gram matrix, with digits doubled until twelve of them stay."""
    digits, before = 30, _iterated(m, given, horizon, 15)
    while digits <= 4000:
        now = _iterated(m, given, horizon, digits)
        scale = max(map(abs, now))
        if all(abs(a - b) <= 1e-12 * scale for a, b in zip(now, before, strict=True)):
            return [float(v) for v in now]
        digits, before = 2 * digits, now
    return [math.inf] * len(before)


def _iterated(m: Map, given: list[float], horizon: int, digits: int) -> _Row:
    """The same by iteration with so many decimal digits."""
    count, n = len(m.parameters), m.dimension
    step = _step(m, "mpmath")
    with mpmath.workdps(digits):
        numbers = [mpmath.mpf(v) for v in given]
        h, s = numbers[count:], [mpmath.mpf(0)] * (n * count)
        pairs = [(p, q) for p in range(count) for q in range(p, count)]
        total = [mpmath.mpf(0)] * len(pairs)
        for _ in range(horizon):
            values = step(*h, *s, *numbers[:count])
            h, s = values[:n], values[n:]
            for k, (p, q) in enumerate(pairs):
                total[k] += mpmath.fsum(s[i + p] * s[i + q] for i in range(0, n * count, count))
        return total
