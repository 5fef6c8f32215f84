"""Certified digits: a rigorous ball around the amplification of given numbers or intervals.

Numbers are iterated in ball arithmetic at a precision that doubles until the ball is as small as asked, scalar ones
from the second attempt on with the mean-value form of every step;
intervals go through the mean-value form of `normalforms.forms.enclosure.box`. Source: Johansson, "Arb: efficient
arbitrary-precision midpoint-radius interval arithmetic", IEEE Trans. Comput. 66 (2017).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import sympy as sp
from flint import arb, ctx

from normalforms.forms.enclosure.balls import Ball, Input, read, to_ball
from normalforms.forms.enclosure.box import box_gram
from normalforms.forms.enclosure.step import beyond, escape_radius, point_step, power
from normalforms.formulas import check_horizon
from normalforms.maps import Map

__all__ = ["Ball", "enclosure", "gram_enclosure"]

_MOST_BITS = 2**17

Gram = list[arb]  # row by row


def enclosure(
    m: Map, g: Any, h0: Any, horizon: int, *, precision: int | None = None, stretch: Any = 1, gain: Any = 1
) -> Ball:
    """A ball that contains ``A_T(g, h0) = Σ_{t=1}^T ‖∂h_t/∂g‖²``, proven by ball arithmetic.

    Args:
        m: scalar map or map of R^n made of ``+ - * / **`` and the usual functions. With two parameters A is
            the top eigenvalue of `gram_enclosure`.
        g: parameter, or a tuple of one entry per parameter. An entry is a number (a float means exactly that
            double; text such as ``"0.1"``, fractions and SymPy numbers mean that number) or an interval: a
            pair ``(low, high)``, a `Ball` or an ``arb``.
        h0: initial state, likewise; for a map of R^n a sequence of n entries.
        horizon: steps, 1 to 1,000,000.
        precision: significant decimal digits asked for, default 15; applies where all entries are numbers.
        stretch: factor from the caller's ``h0`` to the map's, or a matrix of SymPy numbers.
        gain: factor from the map's ``A`` to the caller's.

    Returns:
        The ball. Where the orbit has diverged, to beyond 2^65536 within the horizon, the ball's radius is infinite
        and ``escape`` is the step at which it passed the radius beyond which every orbit diverges; for an interval
        the orbits that were tried, not surely all. The radius is infinite too where an interval is so wide that
        nothing can be bounded.

    Raises:
        ValueError: not a number, ends in the wrong order, wrong number of entries, a function that ball
            arithmetic lacks, more than two parameters.

    >>> from normalforms import pitchfork
    >>> print(enclosure(pitchfork(), "1.1", "0.05", 30))
    113.4524412508711264 ± 2.78e-17
    """
    if len(m.parameters) > 2:
        raise ValueError(f"the map has {len(m.parameters)} parameters; enclosures take one or two")
    factor = read(gain, "gain").value
    p = len(m.parameters)
    found = _enclose(m, g, h0, horizon, precision, stretch, lambda gram: _top(gram, p) * factor())
    return to_ball(arb("inf"), found) if isinstance(found, int) else to_ball(found[1])


def gram_enclosure(
    m: Map, g: Any, h0: Any, horizon: int, *, precision: int | None = None
) -> tuple[tuple[Ball, ...], ...]:
    """Balls around the entries of ``Σ_t s_tᵀ s_t`` over the parameters; see `enclosure` for the arguments.

    >>> from normalforms import cusp
    >>> [[float(b) for b in row] for row in gram_enclosure(cusp(), (0, 1), 0, 3)]
    [[14.0, 0.0], [0.0, 0.0]]
    """
    p = len(m.parameters)
    found = _enclose(m, g, h0, horizon, precision, 1, lambda gram: sum(gram[:: p + 1], arb(0)))
    balls = [to_ball(arb("inf"), found)] * p**2 if isinstance(found, int) else [to_ball(v) for v in found[0]]
    return tuple(tuple(balls[i * p : (i + 1) * p]) for i in range(p))


def _top(gram: Gram, count: int) -> arb:
    """The largest eigenvalue of a symmetric 1×1 or 2×2 matrix."""
    if count == 1:
        return gram[0]
    a, b, _, d = gram
    return (a + d + (power(a - d, 2) + 4 * power(b, 2)).sqrt()) / 2


def _enclose(
    m: Map, g: Any, h0: Any, horizon: int, precision: int | None, stretch: Any, value: Callable[[Gram], arb]
) -> tuple[Gram, arb] | int:
    """The Gram matrix and the value made of it, or the step of the escape."""
    horizon = check_horizon(horizon)
    digits = 15 if precision is None else precision
    if isinstance(digits, bool) or not isinstance(digits, int) or not 1 <= digits <= 10_000:
        raise ValueError(f"precision = {precision!r} must be 1 to 10,000 significant digits")
    parameters = _entries(g, len(m.parameters), "g")
    initial = _entries(h0, m.dimension, "h0")
    rows = stretch.tolist() if isinstance(stretch, sp.MatrixBase) else None
    factors = [[read(v, "stretch").value for v in row] for row in rows or [[stretch]]]
    points = all(entry.is_point for entry in (*parameters, *initial))
    bits = int(3.33 * digits) + 3
    working = first = 2 * bits + 64 if points else 256
    while True:
        with ctx.workprec(working):
            states = [s.value() for s in initial]
            if rows is None:
                states = [factors[0][0]() * s for s in states]
            else:
                states = [sum((f() * s for f, s in zip(row, states, strict=True)), arb(0)) for row in factors]
            numbers = [p.value() for p in parameters], states
            if points:
                found = _iterate(m, *numbers, horizon, centred=m.dimension == 1 and working > first)
            else:
                found = box_gram(m, *numbers, horizon, value)
            if isinstance(found, int):
                return found
            ball = value(found) if found else arb("nan")
        enough = found and (not points or ball.is_exact() or ball.rel_accuracy_bits() >= bits)
        if enough or working >= _MOST_BITS:
            with ctx.workprec(bits + 10 if points else 64):
                return [+v for v in found or [arb("nan")] * len(m.parameters) ** 2], +ball
        working *= 2


def _entries(value: Any, count: int, name: str) -> list[Input]:
    if count == 1:
        return [read(value, name)]
    if not hasattr(value, "__len__") or isinstance(value, str) or len(value) != count:
        raise ValueError(f"{name} = {value!r} must have {count} entries, one per component")
    return [read(v, f"{name}[{i}]") for i, v in enumerate(value)]


def _iterate(m: Map, parameters: list[arb], initial: list[arb], horizon: int, *, centred: bool) -> Gram | int | None:
    """The Gram matrix of the sensitivities by ball iteration; ``None`` where it needs more precision.

    ``centred``: a scalar state H with the midpoint c is also sent to ``f(c) + f_h(H) (H − c)``, which shrinks where the
    map does. ``f(H)`` takes every h in the formula for another one, and grows without need.
    """
    n, p = m.dimension, len(m.parameters)
    step, radius = point_step(m)(), escape_radius(m, parameters)
    values = [*initial, *[arb(0)] * (n * p)]
    gram, left = [arb(0)] * (p * p), None
    for t in range(1, horizon + 1):
        here, values = values, step(*values, *parameters)
        if centred:
            values[0] = _centred(step, here[0], values[0], p, parameters)
        if left is None and any(abs(h) > radius for h in values[:n]):
            left = t
        if left is not None and any(abs(h) > beyond() for h in values[:n]):
            return left
        s = values[n:]
        gram = [gram[a * p + b] + _dot(s, a, b, p) for a in range(p) for b in range(p)]
        if not gram[0].is_finite():
            return None
    return gram


def _centred(step: Callable[..., Any], state: arb, image: arb, count: int, parameters: list[arb]) -> arb:
    """The smaller of a state's image and its mean-value form."""
    centre, still, moving = state.mid(), [arb(0)] * count, [arb(1)] * count
    slope = step(state, *moving, *parameters)[1] - step(state, *still, *parameters)[1]
    found = step(centre, *still, *parameters)[0] + slope * (state - centre)
    return found if found.rad() < image.rad() else image


def _dot(s: Sequence[arb], a: int, b: int, p: int) -> arb:
    pairs = zip(s[a::p], s[b::p], strict=True)
    return sum((x * y if a != b else power(x, 2) for x, y in pairs), arb(0))
