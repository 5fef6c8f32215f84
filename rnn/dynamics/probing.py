"""Where to look: the steps of a path to stop at, and the states from which orbits and Newton set out there."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from rnn.dynamics.newton import images, iterate, linearised, orbits, solved
from rnn.models import Model, ModelPath, state_size

__all__ = [
    "bounded",
    "distinct",
    "iterates",
    "relaxed",
    "representatives",
    "sample_steps",
    "settle",
    "simulated",
    "spread",
    "starting_states",
]

_SETTLED = 1e-4  # states of late orbits this close start the same search

_SETTLE = 200
_LONG = 2_000  # steps of a simulation that leads to an attractor
_WINDOW = 64  # its last steps, whose mean lies near the point that a cycle goes around
_ASIDE = 0.00618
_GROWN, _ESCAPED = 1.5, 1e9
_RELAXED = 400  # steps along a path of relaxed networks
_BEYOND, _TURN = 1.25, 0.95  # of s; the cosine of the largest turn per step


def settle(model: Model, starts: np.ndarray) -> np.ndarray:
    """States after many steps from every start, those that escape left out, shape (count, state)."""
    ends = iterate(model, starts, _SETTLE)
    return ends[np.all(np.isfinite(ends), axis=1)]


def simulated(model: Model, states: np.ndarray) -> np.ndarray:
    """Where long simulations from a few of the states end, and the means of their last steps; those that still move.

    Returns:
        Shape (count, state); none where every state has come to rest already, or escapes.
    """
    with np.errstate(all="ignore"):  # what escapes is left out
        gaps = np.linalg.norm(images(model, states) - states, axis=1)
        moving = (gaps > 1e-9 * np.maximum(1.0, np.linalg.norm(states, axis=1))) & (gaps < _ESCAPED)
        if not np.any(moving):
            return states[:0]
        late = iterate(model, representatives(states[moving]), _LONG)
        last = orbits(model, late[np.linalg.norm(late, axis=1) < _ESCAPED], _WINDOW)
        found = np.concatenate([last[:, -1], last.mean(axis=1)])
        return found[np.linalg.norm(found, axis=1) < _ESCAPED]


def bounded(model: Model, states: np.ndarray) -> bool:
    """Whether orbits from a few of the states stay where they are, rather than grow without end."""
    with np.errstate(all="ignore"):
        some = representatives(states)
        half = iterate(model, some, _LONG // 2)
        ends = iterate(model, half, _LONG // 2)
        grown = np.linalg.norm(ends, axis=1) > _GROWN * np.linalg.norm(half, axis=1) + 1
    return bool(np.all(np.isfinite(ends)) and not np.any(grown))


def relaxed(model: Model, anchor: np.ndarray) -> np.ndarray:
    """Fixed points by continuation from a relaxed network: ``h = (1 − s) a + s F(h)`` from s = 0 to 1 and back.

    At s = 0 the anchor ``a`` is the only fixed point. For almost every anchor its curve leads to a fixed point of a
    bounded map at s = 1 (Chow, Mallet-Paret & Yorke, *Math. Comp.* 32, 1978). It is followed by arclength, around its
    folds, in at most 400 steps.

    Args:
        model: float64 model; call this where x64 is enabled.
        anchor: shape (state,).

    Returns:
        States near the fixed points at which it passes s = 1, shape (count, state).
    """
    here, ahead = np.append(anchor, 0.0), np.append(images(model, anchor[None])[0] - anchor, 1.0)
    ahead /= np.linalg.norm(ahead)
    stride, found = 0.1, []
    for _ in range(_RELAXED):
        there, tangent = _along(model, anchor, here + stride * ahead, ahead)
        if there is None or tangent @ ahead < _TURN:
            stride /= 2
            if stride < 1e-8:
                break
            continue
        if (here[-1] - 1) * (there[-1] - 1) <= 0:
            share = (1 - here[-1]) / (there[-1] - here[-1] or 1.0)
            found.append(here[:-1] + share * (there - here)[:-1])
        if not 0 <= there[-1] <= _BEYOND or np.linalg.norm(there) > 1e8:
            break
        here, ahead, stride = there, tangent, min(1.5 * stride, 0.5 * max(1.0, float(np.linalg.norm(there[:-1]))))
    return np.array(found).reshape(-1, len(anchor))


def _along(
    model: Model, anchor: np.ndarray, guess: np.ndarray, ahead: np.ndarray
) -> tuple[np.ndarray | None, np.ndarray]:
    """The place of the curve of relaxed networks nearest to ``guess``, across ``ahead``, and its tangent there."""
    n = len(anchor)
    z = guess.copy()
    for k in range(6):
        moved, A = (part[0] for part in linearised(model, z[None, :n]))
        away = moved - anchor
        gap = z[:n] - anchor - z[n] * away
        matrix = np.block([[np.eye(n) - z[n] * A, -away[:, None]], [ahead[None]]])
        sides = np.stack([np.append(-gap, 0.0), np.append(np.zeros(n), 1.0)])
        step, tangent = solved(np.stack([matrix, matrix]), sides)
        if not np.all(np.isfinite(step)):
            return None, ahead
        if k and np.linalg.norm(gap) <= 1e-6 * max(1.0, float(np.linalg.norm(z))):
            return z, tangent / np.linalg.norm(tangent)
        z = z + step
    return None, ahead


def representatives(states: np.ndarray, most: int = 8, apart: float = 1e-3) -> np.ndarray:
    """Up to ``most`` of the states, each far from those taken before."""
    if len(states) == 0:
        return states
    taken = [states[0]]
    gaps = np.linalg.norm(states - taken[0], axis=1)
    while len(taken) < most and gaps.max() > apart:
        taken.append(states[np.argmax(gaps)])
        gaps = np.minimum(gaps, np.linalg.norm(states - taken[-1], axis=1))
    return np.stack(taken)


def spread(probes: np.ndarray) -> np.ndarray:
    """The origin, the probes, and as many normal states."""
    noise = np.random.default_rng(1).normal(size=probes.shape)
    return np.concatenate([np.zeros((1, probes.shape[1])), probes, noise])


def sample_steps(path: ModelPath, every: float | Callable[[float], float], until: float | None) -> list[float]:
    """Steps at which branches are looked at; just off the path's own, where a made-up path may be critical exactly."""
    last = float(path.steps[-1])
    end = last if until is None else min(until, last)
    samples, nodes = [float(path.steps[0])], path.steps
    for here, following in zip(nodes[1:], [*nodes[2:], last], strict=True):
        apart = every(float(here)) if callable(every) else every
        if here <= end and (here - samples[-1] >= apart * (1 - 2 * _ASIDE) or here == last):
            samples.append(float(here + _ASIDE * (following - here)))
    return samples


def starting_states(model: Model, starts: Any, size: int | None, count: int, key: int) -> np.ndarray:
    """The states given, or random ones at three scales and the origin, shape (count, state).

    Raises:
        ValueError: ``starts`` has the wrong shape or values.
    """
    if starts is not None:
        seeds = np.asarray(starts, dtype=np.float64)
        if seeds.ndim != 2 or len(seeds) == 0:
            raise ValueError(f"starts must have shape (starts, state) with at least one row, got {seeds.shape}")
        if not np.all(np.isfinite(seeds)):
            raise ValueError("starts contains NaN or infinity; drop those rows")
        return seeds
    size = state_size(model) if size is None else size
    rng = np.random.default_rng(key)
    scales = np.repeat([0.1, 1.0, 3.0], -(-count // 3))[:count, None]
    return np.concatenate([np.zeros((1, size)), scales * rng.normal(size=(count, size))])


def iterates(model: Model, seeds: np.ndarray) -> list[np.ndarray]:
    """States some way along the orbits of the starts: near attractors, and near saddles on the way."""
    few = iterate(model, seeds, 6)
    late = iterate(model, few, 100)
    return [few, distinct(late[np.all(np.isfinite(late), axis=1), None], _SETTLED)[0][:, 0]]


def distinct(cycles: np.ndarray, spacing: float) -> tuple[np.ndarray, np.ndarray]:
    """One of those cycles that share a cell of a grid in every coordinate, and which of them stands for each."""
    cells = np.round(cycles.reshape(len(cycles), math.prod(cycles.shape[1:])) / spacing) + 0.0  # no −0
    _, first, each = np.unique(cells, axis=0, return_index=True, return_inverse=True)
    order = np.argsort(first)
    return cycles[first[order]], np.argsort(order)[each.reshape(-1)]
