"""Textbook maps with known bifurcations, as examples and as tests.

Each is a `Map` whose ``critical`` point is one of its bifurcations, so that ``reduce(zoo.logistic())`` answers at once.
"""

from __future__ import annotations

import sympy as sp

from normalforms.maps.map import Map

__all__ = ["cubic", "delayed_logistic", "henon", "ikeda", "logistic", "predator_prey", "ricker", "tanh_pair"]

_x, _y = sp.symbols("x y", real=True)
_half = sp.Rational(1, 2)


def logistic() -> Map:
    """``x' = r x (1 − x)``: transcritical at r = 1, period doublings at r = 3 (here) and, of the cycle, 1 + √6.

    >>> logistic().critical
    {r: 3, x: 2/3}
    """
    r = sp.Symbol("r", real=True)
    return Map(r * _x * (1 - _x), _x, r, {_x: sp.Rational(2, 3), r: 3}, name="logistic")


def ricker() -> Map:
    """``x' = x e^{r (1 − x)}``: period doubling of x = 1 at r = 2 (Kuznetsov, §4.5).

    >>> ricker().critical
    {r: 2, x: 1}
    """
    r = sp.Symbol("r", real=True)
    return Map(_x * sp.exp(r * (1 - _x)), _x, r, {_x: 1, r: 2}, name="ricker")


def cubic() -> Map:
    """``x' = r x − x³``, odd: pitchfork of 0 at r = 1 (here), period doubling at r = −1, and of ``±√(r − 1)`` at 2.

    >>> cubic().critical
    {r: 1, x: 0}
    """
    r = sp.Symbol("r", real=True)
    return Map(r * _x - _x**3, _x, r, {_x: 0, r: 1}, name="cubic")


def henon() -> Map:
    """``x' = 1 − a x² + y``, ``y' = b x``: fold at ``a = −(1−b)²/4``, period doubling at ``a = 3(1−b)²/4`` (here).

    The unfolding parameter is a; b, here 3/10, is the other one.

    >>> henon().critical
    {a: 147/400, b: 3/10, x: 20/21, y: 2/7}
    """
    a, b = sp.symbols("a b", real=True)
    critical = {_x: sp.Rational(20, 21), _y: sp.Rational(2, 7), b: sp.Rational(3, 10), a: sp.Rational(147, 400)}
    return Map((1 - a * _x**2 + _y, b * _x), (_x, _y), (b, a), critical, name="henon")


def delayed_logistic() -> Map:
    """``x' = r x (1 − y)``, ``y' = x``: Neimark–Sacker of ``(½, ½)`` at r = 2, ω = π/3 (Kuznetsov, §4.7).

    >>> delayed_logistic().dimension
    2
    """
    r = sp.Symbol("r", real=True)
    return Map((r * _x * (1 - _y), _x), (_x, _y), r, {_x: _half, _y: _half, r: 2}, name="delayed_logistic")


def predator_prey() -> Map:
    """``x' = a x (1 − x) − x y``, ``y' = x y / b``: Neimark–Sacker of the coexistence point where ``a (1 − 2b) = 1``.

    Here at b = ¼, a = 2; the unfolding parameter is a.

    >>> predator_prey().critical
    {a: 2, b: 1/4, x: 1/4, y: 1/2}
    """
    a, b = sp.symbols("a b", real=True)
    critical = {_x: sp.Rational(1, 4), _y: _half, b: sp.Rational(1, 4), a: 2}
    return Map((a * _x * (1 - _x) - _x * _y, _x * _y / b), (_x, _y), (b, a), critical, name="predator_prey")


def ikeda() -> Map:
    """``z' = 1 + u z e^{iτ}``, ``τ = 2/5 − 6/(1 + |z|²)``, ``z = x + iy``: light in a ring cavity.

    It names no critical point: its folds and period doublings have no closed form.

    >>> ikeda().critical is None
    True
    """
    u = sp.Symbol("u", real=True)
    turn = sp.Rational(2, 5) - 6 / (1 + _x**2 + _y**2)
    c, s = sp.cos(turn), sp.sin(turn)
    return Map((1 + u * (_x * c - _y * s), u * (_x * s + _y * c)), (_x, _y), u, name="ikeda")


def tanh_pair(turn: object = 0) -> Map:
    """``h' = tanh(w R h)``, ``R`` the rotation by ``turn``: Neimark–Sacker at w = 1.

    With ``turn = 0`` the neurons are uncoupled and the multiplier 1 is double: a degenerate point.

    Args:
        turn: ω, in radians.

    >>> tanh_pair(1).dimension
    2
    """
    w = sp.Symbol("w", real=True)
    c, s = sp.cos(sp.sympify(turn)), sp.sin(sp.sympify(turn))
    steps = (sp.tanh(w * (c * _x - s * _y)), sp.tanh(w * (s * _x + c * _y)))
    return Map(steps, (_x, _y), w, {_x: 0, _y: 0, w: 1}, name="tanh_pair")
