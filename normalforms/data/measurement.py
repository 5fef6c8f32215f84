"""Measured amplifications, checked once, and the sums over initial states that a law is compared with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from normalforms.data.candidates import Candidate
from normalforms.data.engine import Design, gauss_nodes

__all__ = ["NOISES", "Measurement", "Noise", "measured"]

Array = np.ndarray
Noise = Literal["multiplicative", "additive", "bootstrap"]
NOISES: tuple[Noise, ...] = ("multiplicative", "additive", "bootstrap")
_LEAST = 5


@dataclass(frozen=True)
class Measurement:
    """A measured curve, or several.

    Attributes:
        parameter: x, shape (count,), in the user's units.
        amplification: y, shape (count,).
        horizon: T of each point, in steps, shape (count,).
        initial: initial states, ``(batch,)`` or ``(count, batch)`` for scalar laws; a last axis of n for R^n.
        weight: relative weights of the squared residuals, mean 1, shape (count,).
        critical: the known critical parameter, or ``None`` where it is fitted.
        noise: of the measurement.
        notes: what a reader may want to know about the data.
    """

    parameter: Array
    amplification: Array
    horizon: Array
    initial: Array
    weight: Array
    critical: float | None
    noise: Noise
    notes: tuple[str, ...] = ()

    @property
    def count(self) -> int:
        """Number of points."""
        return len(self.parameter)

    @property
    def reach(self) -> float:
        """Largest initial state in modulus."""
        return float(np.max(np.abs(self.initial)))

    def design(self, candidate: Candidate, nodes: int | None = None) -> Design:
        """The candidate's sum over initial states, on at most so many nodes of their Gauss rule.

        Equal states are merged, and ``±h`` where the map is odd; signs are kept otherwise.
        """
        states = self._states(candidate)
        n = states.shape[-1]
        if n > 1:
            return Design(self.horizon, states, np.ones(states.shape[:-1]))
        rows = [_merged(row[:, 0], candidate.odd, nodes) for row in states]
        width = max(len(h) for h, _ in rows)
        h, w = np.zeros((len(rows), width)), np.zeros((len(rows), width))
        for i, (values, weights) in enumerate(rows):
            h[i, : len(values)], w[i, : len(values)] = values, weights
            h[i, len(values) :] = values[0]
        return Design(self.horizon, h[..., None], w)

    def _states(self, candidate: Candidate) -> Array:
        h, n = self.initial, candidate.map.dimension
        if n == 1:
            rows = h[None] if h.ndim == 1 else h
            if h.ndim > 2 or (h.ndim == 2 and len(h) not in (1, self.count)):
                raise ValueError(
                    f"initial has shape {h.shape}; a scalar law needs (batch,), or ({self.count}, batch) with one batch"
                    " for each point"
                )
            return rows[..., None]
        if h.ndim == 1:
            return np.concatenate([h[None, :, None], np.zeros((1, len(h), n - 1))], axis=-1)
        if h.shape[-1] != n or h.ndim > 3 or (h.ndim == 3 and len(h) not in (1, self.count)):
            raise ValueError(f"initial has shape {h.shape}; {candidate.name} needs (batch, {n}), or moduli (batch,)")
        return h[None] if h.ndim == 2 else h


def _merged(h: Array, odd: bool, nodes: int | None) -> tuple[Array, Array]:
    values, counts = np.unique(h * h if odd else h, return_counts=True)
    if nodes is not None and len(values) > nodes:
        values, counts = gauss_nodes(h * h if odd else h, nodes)
    return np.sqrt(np.maximum(values, 0.0)) if odd else values, np.asarray(counts, dtype=float)


def measured(
    parameter: Any, amplification: Any, horizon: Any, initial: Any, critical: Any, weights: Any, noise: Any
) -> Measurement:
    """Check the data of a fit.

    Raises:
        ValueError: lengths that differ, too few points, NaN or infinity, values that are not positive, one parameter
            value only, initial states that are all zero, a horizon that is no positive integer, an unknown noise.
    """
    x, y, h = (
        _numbers(n, v) for n, v in (("parameter", parameter), ("amplification", amplification), ("initial", initial))
    )
    if x.ndim != 1 or x.shape != y.shape:
        raise ValueError(f"parameter and amplification must be vectors of one length, got {x.shape}, {y.shape}")
    if len(x) < _LEAST:
        raise ValueError(f"parameter has {len(x)} values; three scales need at least {_LEAST}")
    if noise not in NOISES:
        raise ValueError(f"noise = {noise!r}; known are {', '.join(NOISES)}")
    for name, values in (("parameter", x), ("amplification", y), ("initial", h)):
        bad = np.flatnonzero(~np.isfinite(values))
        if len(bad):
            raise ValueError(f"{name} contains NaN or infinity, first at index {bad[0]}; drop those values")
    if np.any(y <= 0) and (noise != "additive" or np.all(y <= 0)):
        index = int(np.flatnonzero(y <= 0)[0])
        hint = "it is a squared norm; drop it, or say noise='additive'"
        raise ValueError(f"amplification[{index}] = {y[index]:g} is not positive; {hint}")
    if np.ptp(x) <= 1e-12 * np.max(np.abs(x)):
        raise ValueError(f"parameter has one value, {x[0]:g}; a law needs the amplification at several")
    h = h[None] if h.ndim == 0 else h
    if h.size == 0:
        raise ValueError("initial is empty; give the initial states over which the amplification is summed")
    if not np.any(h):
        raise ValueError("initial states are all zero, where nothing tells the families apart; give states that move")
    return Measurement(
        x, y, _horizons(horizon, len(x)), h, _weights(weights, len(x)), _critical(critical), noise, _notes(x)
    )


def _numbers(name: str, value: Any) -> Array:
    try:
        return np.asarray(value, dtype=float)
    except (TypeError, ValueError):
        raise ValueError(f"{name} is not an array of numbers; give floats of one shape") from None


def _horizons(horizon: Any, count: int) -> Array:
    values = _numbers("horizon", horizon)
    if values.shape not in ((), (count,)):
        raise ValueError(
            f"horizon has shape {values.shape}; give one number of steps, or one for each of {count} points"
        )
    if not np.all(np.isfinite(values)) or np.any(values < 1) or np.any(values != np.round(values)):
        raise ValueError("horizon must be a positive integer, or one for each point")
    return np.broadcast_to(values, (count,)).astype(int)


def _weights(weights: Any, count: int) -> Array:
    if weights is None:
        return np.ones(count)
    w = _numbers("weights", weights)
    if w.shape != (count,):
        raise ValueError(f"weights has shape {w.shape} for {count} points; give one relative weight for each")
    if not np.all(np.isfinite(w)) or np.any(w <= 0):
        raise ValueError("weights must be positive and finite; drop points that shall not count")
    return w / np.mean(w)


def _critical(critical: Any) -> float | None:
    if isinstance(critical, str):
        if critical != "free":
            raise ValueError(f'critical = {critical!r}; give a number, or "free" to fit it')
        return None
    value = float(critical)
    if not np.isfinite(value):
        raise ValueError(f'critical = {critical!r} must be finite, or "free"')
    return value


def _notes(x: Array) -> tuple[str, ...]:
    notes = []
    if np.any(np.diff(x) < 0):
        notes.append("the parameter is not sorted; order does not matter")
    repeated = len(x) - len(np.unique(x))
    if repeated:
        notes.append(f"{repeated} points repeat a parameter value; all count")
    return tuple(notes)
