"""Balls: a midpoint and a radius that together certify a number, and the reading of exact input."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from numbers import Integral, Rational
from typing import Any

import mpmath
import sympy as sp
from flint import arb
from mpmath.libmp import from_man_exp

from normalforms.forms.enclosure.step import constant
from normalforms.maps import parse_expression

__all__ = ["Ball", "Input", "Mpf", "read", "to_ball"]

Mpf = Any  # mpmath.mpf, which is no type to a type checker


@dataclass(frozen=True)
class Ball:
    """All numbers ``x`` with ``|x − mid| ≤ rad``.

    Args:
        mid: midpoint, with as many digits as the computation carried.
        rad: radius, rounded up; infinite where nothing is certified.
        escape: step at which the orbit left for infinity; ``None`` where it stayed.

    >>> ball = Ball(mpmath.mpf(1), mpmath.mpf(2) ** -40)
    >>> ball.contains(1), ball.contains("1.01"), float(ball)
    (True, False, 1.0)
    """

    mid: Mpf
    rad: Mpf
    escape: int | None = None

    @property
    def lower(self) -> Mpf:
        """``mid − rad``, exact."""
        return _exact(self.mid, self.rad, -1)

    @property
    def upper(self) -> Mpf:
        """``mid + rad``, exact."""
        return _exact(self.mid, self.rad, 1)

    @property
    def relative_radius(self) -> float:
        """``rad/|mid|`` as a float; 0 for an exact zero."""
        if self.rad == 0:
            return 0.0
        return float(self.rad / abs(self.mid)) if self.mid else math.inf

    def contains(self, value: Any) -> bool:
        """Whether a number, exactly as given, or a whole ball lies inside.

        Args:
            value: a number, text such as ``"1/3"``, or a `Ball`.
        """
        if isinstance(value, Ball):
            return self.lower <= value.lower and value.upper <= self.upper
        if mpmath.isinf(self.rad):
            return True
        if isinstance(value, mpmath.mpf):
            return bool(self.lower <= value <= self.upper)
        exact = _rational(value)
        return _fraction(self.lower) <= exact <= _fraction(self.upper)

    def __float__(self) -> float:
        """The midpoint; NaN where nothing is certified."""
        return math.nan if mpmath.isinf(self.rad) else float(self.mid)

    def __str__(self) -> str:
        if mpmath.isinf(self.rad):
            return "[unbounded]" if self.escape is None else f"[unbounded: left at step {self.escape}]"
        digits = 3
        if self.rad and self.mid:
            digits = max(3, 1 - math.ceil(float(mpmath.log10(self.rad / abs(self.mid)))))
        elif self.rad == 0:
            digits = 20
        return f"{mpmath.nstr(self.mid, digits)} ± {mpmath.nstr(self.rad, 3)}"


def _exact(mid: Mpf, rad: Mpf, sign: int) -> Mpf:
    if mpmath.isinf(rad):
        return mpmath.mpf(math.inf * sign)
    return (mpmath.fadd if sign > 0 else mpmath.fsub)(mid, rad, exact=True)


def _fraction(value: Mpf) -> Fraction:
    sign, mantissa, exponent, _ = value._mpf_
    mantissa = -int(mantissa) if sign else int(mantissa)
    return mantissa * Fraction(2) ** int(exponent)


def _rational(value: Any) -> Fraction:
    if isinstance(value, str):
        value = parse_expression(value, ())
    if isinstance(value, sp.Basic):
        if not value.is_Rational:
            raise ValueError(f"{value} is not rational; compare with an mpf of enough digits")
        return Fraction(int(value.p), int(value.q))  # type: ignore[attr-defined]
    return Fraction(value)


def to_ball(value: arb, escape: int | None = None) -> Ball:
    """An ``arb`` as a `Ball`, without rounding."""
    if not value.is_finite():
        return Ball(mpmath.mpf(0), mpmath.mpf("inf"), escape)
    return Ball(_mpf(value.mid()), _mpf(value.rad()), escape)


def _mpf(value: arb) -> Mpf:
    mantissa, exponent = value.man_exp()
    return mpmath.mp.make_mpf(from_man_exp(int(mantissa), int(exponent)))


@dataclass(frozen=True)
class Input:
    """A number or an interval, as exact as the user gave it.

    Args:
        value: makes the ball at the working precision in force.
        is_point: the ball shrinks to one number as the precision grows.
    """

    value: Callable[[], arb]
    is_point: bool


def read(value: Any, name: str) -> Input:
    """A number (a float is exactly that double, text and SymPy numbers are that number), or an interval:
    a pair ``(low, high)``, a `Ball` or an ``arb``.

    Raises:
        ValueError: complex, NaN, infinite, not a number, or ends in the wrong order.
    """
    if isinstance(value, Ball):
        if mpmath.isinf(value.rad):
            raise ValueError(f"{name} is an unbounded ball; give a finite interval")
        return Input(lambda: arb(value.mid, value.rad), value.rad == 0)
    if isinstance(value, arb):
        if not value.is_finite():
            raise ValueError(f"{name} = {value} is not finite; give a finite interval")
        return Input(lambda: value, value.is_exact())
    if isinstance(value, (tuple, list)):
        if len(value) != 2:
            raise ValueError(f"{name} = {value!r} is no interval; give a number or a pair (low, high)")
        low, high = (_number(v, name) for v in value)
        if low() > high():
            raise ValueError(f"{name} = {value!r} has its ends in the wrong order; give (low, high)")
        if low() == high():
            return Input(low, True)
        return Input(lambda: low().union(high()), False)
    return Input(_number(value, name), True)


def _number(value: Any, name: str) -> Callable[[], arb]:
    if hasattr(value, "item") and getattr(value, "ndim", 1) == 0:
        value = value.item()
    if isinstance(value, str):
        value = parse_expression(value, ())
    if isinstance(value, bool):
        raise ValueError(f"{name} = {value!r} is a truth value; give a number")
    if isinstance(value, (Integral, Rational)) and not isinstance(value, sp.Basic):
        value = sp.Rational(int(value.numerator), int(value.denominator))
    if isinstance(value, (float, mpmath.mpf)):
        if not mpmath.isfinite(value):
            raise ValueError(f"{name} = {value!r} is not finite; give a finite number")
        exact: Any = value
        return lambda: arb(exact)
    if isinstance(value, sp.Expr) and value.is_number and value.is_extended_real:
        if not value.is_finite:
            raise ValueError(f"{name} = {value} is not finite; give a finite number")
        return lambda: constant(value)
    raise ValueError(f"{name} = {value!r} is not a real number; give one number or a pair (low, high)")
