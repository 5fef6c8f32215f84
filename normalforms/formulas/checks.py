"""Arguments checked: numbers of steps, and real numbers."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

__all__ = ["at_each_horizon", "check_horizon", "check_real"]

MAX_HORIZON = 1_000_000


def check_horizon(value: Any, name: str = "horizon") -> int:
    """``value`` as a number of steps.

    Raises:
        ValueError: not an integer from 1 to 1,000,000.
    """
    if isinstance(value, np.ndarray) and value.ndim == 0:
        value = value.item()
    try:
        steps = int(value) if isinstance(value, float) and value.is_integer() else operator.index(value)
    except TypeError:
        steps = 0
    if isinstance(value, (bool, np.bool_)) or not 1 <= steps <= MAX_HORIZON:
        raise ValueError(f"{name} = {value!r} must be an integer number of steps from 1 to {MAX_HORIZON}")
    return steps


def check_real(value: Any, name: str) -> np.ndarray:
    """``value`` as a float64 array.

    Raises:
        ValueError: complex, NaN, infinite or not a number.
    """
    array = np.asarray(value)
    if array.dtype == object:
        try:
            array = array.astype(float)
        except (TypeError, ValueError):
            raise ValueError(f"{name} = {value!r} is not a real number or an array of them") from None
    if array.dtype.kind not in "iuf":
        raise ValueError(f"{name} has type {array.dtype}; give real numbers")
    array = array.astype(float)
    if not np.all(np.isfinite(array)):
        raise ValueError(f"{name} contains NaN or infinity; give finite numbers")
    return array


def at_each_horizon(function: Callable[..., Any], arguments: Sequence[Any], place: int) -> np.ndarray:
    """``function`` of broadcast arguments of which one, at ``place``, is an array of horizons: one call for each.

    Raises:
        ValueError: a horizon that is no positive integer.
    """
    spread = np.broadcast_arrays(*(np.asarray(v) for v in arguments))
    found = np.empty(spread[0].shape)
    place %= len(spread)
    for steps in np.unique(spread[place]):
        here = spread[place] == steps
        horizon = check_horizon(steps.item())
        found[here] = function(*(horizon if i == place else v[here] for i, v in enumerate(spread)))
    return found
