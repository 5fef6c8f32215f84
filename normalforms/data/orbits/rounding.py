"""Rational coefficients where the data justify them."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

__all__ = ["rational_within"]

_ROUNDING = 1e-12


def rational_within(value: float, error: float, bias: float, largest: int | None) -> Fraction | None:
    """The simplest rational within three standard errors and the bias, where it is hardly there by chance.

    ``p/q`` counts as no chance where intervals of half-width ``3 error + |bias|`` about all multiples of 1/q would
    cover less than half of the line after all smaller q were tried: ``2 reach q² < 1/2``. A bias of more than one
    standard error rules rounding out: the number next to it would be the wrong one.

    >>> rational_within(0.33331, 1e-5, 0.0, 12)
    Fraction(1, 3)
    >>> rational_within(-1.97, 0.05, 0.2, 12) is None
    True
    """
    sharp = max(float(error), _ROUNDING * abs(value))
    if not np.isfinite(sharp) or abs(bias) > sharp:
        return None
    reach = 3 * sharp + abs(bias)
    for q in range(1, (largest or 0) + 1):
        near = Fraction(round(value * q), q)
        if near and abs(value - near) <= reach and 2 * reach * q**2 < 0.5:
            return near
    return None
