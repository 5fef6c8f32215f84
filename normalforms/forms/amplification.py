"""The amplification by direct iteration, beside a companion that shows how many digits rounding has left."""

from __future__ import annotations

import math
import warnings
from typing import Any

import mpmath
import numpy as np

from normalforms.forms.iteration import arguments, compiled_step
from normalforms.formulas import DomainWarning, at_each_horizon, check_horizon
from normalforms.maps import Map

__all__ = ["amplify", "gram"]


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


def amplify(m: Map, g: Any, h0: Any, horizon: Any) -> np.ndarray:
    """``A_T = ‖Σ_t s_tᵀ s_t‖₂`` by direct iteration; see `iterate` for the arguments.

    A second orbit runs beside the first, one rounding error away from it in the parameters and at every step. Where
    their sums differ by more than 1e-6 the orbit has amplified rounding beyond use: a few such values are computed anew
    with as many digits as they need, more of them are returned with a warning.

    Returns:
        ``inf`` where the sum is beyond the floating-point numbers, ``nan`` where the orbit left the real numbers.

    Warns:
        DomainWarning: values that rounding has spoiled, and orbits that left the map's domain.
    """
    if np.ndim(horizon):
        parameters, states, _ = arguments(m, g, h0)
        count = len(parameters)

        def at(*v: Any) -> Any:
            place = v[0] if count == 1 else v[:count]
            return amplify(m, place, v[count] if len(states) == 1 else np.stack(v[count:-1], axis=-1), v[-1])

        return at_each_horizon(at, [*parameters, *states, horizon], -1)
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
    parameters, states, shape = arguments(m, g, h0)
    given = [np.broadcast_to(v, shape).ravel() if v.ndim else v.reshape(1) for v in (*parameters, *states)]
    size = math.prod(shape)
    parts = []
    for start in range(0, max(size, 1), _CHUNK):
        cut = [v if v.size == 1 else v[start : start + _CHUNK] for v in given]
        parts.append(_sums(m, cut, min(_CHUNK, size - start), horizon))
    pair = np.concatenate(parts, axis=-1)  # (entries, 2, size)
    value = pair[:, 0].copy()
    with np.errstate(all="ignore"):
        scale = np.max(np.abs(value[_diagonal(len(parameters))]), axis=0)  # no squares: they overflow
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
    step = compiled_step(m)
    # its parameters differ too: coefficients such as r − 1 lose digits that no error of the state shows
    parameters = [v * np.array([[1.0], [1.0 + 2.0**-52]]) for v in given[:count]]
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
    h, step = given[count:], compiled_step(m)
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
    step = compiled_step(m, "mpmath")
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
