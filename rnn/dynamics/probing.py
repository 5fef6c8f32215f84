"""Where to look: the steps of a path to stop at, and the states from which orbits and Newton set out there."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from rnn.dynamics.newton import iterate
from rnn.models import Model, ModelPath

__all__ = ["representatives", "sample_steps", "settle", "spread"]

_SETTLE = 200
_ASIDE = 0.00618


def settle(model: Model, starts: np.ndarray) -> np.ndarray:
    """States after many steps from every start, those that escape left out, shape (count, state)."""
    ends = iterate(model, starts, _SETTLE)
    return ends[np.all(np.isfinite(ends), axis=1)]


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
