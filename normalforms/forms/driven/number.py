"""A number that carries its evidence."""

from __future__ import annotations

__all__ = ["Number"]


class Number(float):
    """A float with how far it can be off, and what it is.

    Args:
        value: the number.
        error: bound or estimate of the absolute error; 0 where the number is exact up to rounding.
        escaped: probability with which an orbit left, where orbits that leave are removed.
        status: how it was computed, one sentence.

    >>> kappa = Number(0.5, error=1e-12, status="example")
    >>> kappa + 1, kappa.error
    (1.5, 1e-12)
    """

    error: float
    escaped: float
    status: str

    def __new__(cls, value: float, error: float = 0.0, escaped: float = 0.0, status: str = "exact") -> Number:
        made = super().__new__(cls, value)
        made.error, made.escaped, made.status = float(error), float(escaped), status
        return made
