"""The fixed point that is followed, and its multipliers."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import numpy as np
from jaxtyping import Array

from rnn.models import Model, jacobian_of

__all__ = ["LOST", "multipliers_at", "settle", "top_two"]

LOST = 1e-4
"""Residual, relative to the state, beyond which a fixed point counts as lost."""

_REAL = 1e-9
_NEWTON = 12


@eqx.filter_jit
def _step_and_slope(model: Model, point: Array) -> tuple[Array, Array]:
    return model(point), jacobian_of(model)(point)


def settle(model: Model, point: np.ndarray, dtype: Any) -> tuple[np.ndarray, np.ndarray, float]:
    """Newton's method from ``point``: the fixed point, the Jacobian there and the residual.

    ``h ← h + (1 − D_hF)⁻¹ (F(h) − h)``.
    """
    one = np.eye(len(point))
    residual, slope, small = np.inf, one, 10 * float(np.finfo(dtype).eps)
    for _ in range(_NEWTON):
        value, slope = (np.asarray(x, np.float64) for x in _step_and_slope(model, np.asarray(point, dtype)))
        gap = value - point
        residual = float(np.linalg.norm(gap))
        if residual <= small * (1 + np.linalg.norm(point)):
            break
        try:
            point = point + np.linalg.solve(one - slope, gap)
        except np.linalg.LinAlgError:
            break
        if not np.all(np.isfinite(point)):
            return point, slope, float("inf")
    return point, slope, residual


def multipliers_at(slope: np.ndarray) -> np.ndarray:
    """Eigenvalues by falling modulus, one of each conjugate pair."""
    values = np.linalg.eigvals(slope)
    values = values[values.imag >= -_REAL * np.abs(values)]
    return values[np.argsort(-np.abs(values))]


def top_two(slope: np.ndarray) -> np.ndarray:
    """The leading two of `multipliers_at`, padded with zeros."""
    return np.pad(multipliers_at(slope)[:2].astype(complex), (0, max(0, 2 - len(slope))))[:2]
