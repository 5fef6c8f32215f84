"""A sum over time on a product grid of two arguments, from few of its values.

``A(x, y) = Σ_{t=1}^T a(x, y, t)`` with ``a`` smooth and positive. Over ``t`` it is Gauss quadrature for the discrete
measure on 1 … T, or on its halves, quarters, …, whose orthogonal polynomials are Gram's:

    p_{k+1} = (t − (T+1)/2) p_k − k²(T²−k²)/(4(4k²−1)) p_{k−1}.

Over ``x`` and ``y``, or their logarithms where they range over more than a factor of two, ``ln A`` is interpolated at
Chebyshev points of rectangles, halved until the last coefficients are rounding. Both are compared with the sum itself
at points of every rectangle; where few points are left, or the comparison fails, the sum itself is the value.

Source: N. Trefethen, *Approximation Theory and Approximation Practice*, ch. 8; DLMF 18.22.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import pairwise
from typing import Any

import numpy as np

__all__ = ["gram_rule", "on_product", "product_axes"]

SMALLEST = 20_000
"""Points of a grid below which the sum itself is as fast."""
_NODES = 32
"""Chebyshev points per rectangle and axis."""
_RESOLVED = 1e-13
"""Largest last coefficient of ``ln A``, and error of the quadrature, of what counts as resolved."""
_AGREES = 5e-13
"""Largest relative difference from the sum itself at the points that are compared."""
_BLOCK = 8192
"""Numbers per array: they stay in a processor's cache."""
_COUNTS = (8, 12, 18, 27, 40, 60)
"""Nodes of the quadratures that are tried."""

Rule = tuple[np.ndarray, np.ndarray]
Term = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]
Box = tuple[slice, slice]


@cache
def gram_rule(count: int, horizon: int) -> Rule:
    """Nodes and weights of ``Σ_{t=1}^T f(t)``, exact for polynomials of degree ``2 count − 1``.

    Args:
        count: nodes, at most ``horizon``.
        horizon: ``T``.

    >>> t, w = gram_rule(2, 10)
    >>> round(float(w @ t**3), 9)
    3025.0
    """
    k = np.arange(1.0, count)
    off = np.sqrt(k**2 * (horizon**2 - k**2) / (4 * (4 * k**2 - 1)))
    nodes, vectors = np.linalg.eigh(np.diag(off, 1) + np.diag(off, -1))
    return nodes + (horizon + 1) / 2, horizon * vectors[0] ** 2


@dataclass(frozen=True)
class _Sum:
    """``A`` at pairs of arguments, from ``term``, which is ``a(x, y, t)``."""

    term: Term
    horizon: int

    def exact(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Term by term."""
        t = np.arange(1.0, self.horizon + 1)
        return self.quadrature(x, y, (t, np.ones_like(t)))

    def quadrature(self, x: np.ndarray, y: np.ndarray, rule: Rule) -> np.ndarray:
        """With given nodes and weights, in blocks."""
        t, w = rule
        rows = max(1, _BLOCK // t.size)
        blocks = (slice(i, i + rows) for i in range(0, x.size, rows))
        return np.concatenate([self.term(x[b, None], y[b, None], t) @ w for b in blocks])

    def rule(self, x: np.ndarray, y: np.ndarray) -> Rule:
        """A quadrature in one piece or panel by panel: the next after the cheapest that is right at these pairs.

        Between them it may be worse, by orders of magnitude where a layer in time is narrow; the next has those to
        spare.
        """
        edges = [self.horizon]
        while edges[-1] > 2 * _COUNTS[0]:
            edges.append(edges[-1] // 2)
        panels = [(0, self.horizon), *((start, end) for end, start in pairwise([*edges, 0]))]
        tried = [_rules(end - start) for start, end in panels]
        shifted = [(t + start, w) for (start, _), rules in zip(panels, tried, strict=True) for t, w in rules]
        times = np.concatenate([t for t, _ in shifted])
        terms = self.term(x[:, None], y[:, None], times)
        parts = np.split(terms, np.cumsum([t.size for t, _ in shifted])[:-1], axis=1)
        sums = iter([part @ w for part, (_, w) in zip(parts, shifted, strict=True)])
        rules, found = iter(shifted), list[Rule]()
        allowed = None
        for panel in tried:
            values, here = [next(sums) for _ in panel], [next(rules) for _ in panel]
            allowed = _RESOLVED * values[-1] if allowed is None else allowed
            right = [bool(np.all(np.abs(v - values[-1]) <= allowed)) for v in values]
            first = next(i for i, r in enumerate([*right, True]) if r)
            found.append(here[min(first + 1, len(here) - 1)])
        if found[0][0].size <= _COUNTS[-1]:
            return found[0]
        return np.concatenate([t for t, _ in found[1:]]), np.concatenate([w for _, w in found[1:]])


@cache
def _rules(length: int) -> tuple[Rule, ...]:
    """The quadratures of ``1 … length`` that save something, cheapest first, and the sum itself."""
    t = np.arange(1.0, length + 1)
    return (*(gram_rule(count, length) for count in _COUNTS if 3 * count <= 2 * length), (t, np.ones_like(t)))


def product_axes(values: list[np.ndarray]) -> tuple[int, int] | None:
    """Places of the two arguments that span a product grid worth interpolating, ``None`` where there is none.

    >>> product_axes([np.ones((400, 1)), np.ones(300), np.ones(())])
    (0, 1)
    """
    shape = np.broadcast_shapes(*(v.shape for v in values))
    varying = [i for i, v in enumerate(values) if v.size > 1]
    if len(varying) != 2 or np.prod(shape) < SMALLEST:
        return None
    a, b = (values[i] for i in varying)
    return (varying[0], varying[1]) if a.size * b.size == np.prod(shape) else None


def on_product(term: Term, x: np.ndarray, y: np.ndarray, horizon: int, wanted: np.ndarray) -> np.ndarray:
    """``A(x_i, y_j)``, ``nan`` where it is not wanted.

    Args:
        term: ``a(x, y, t)`` on broadcast arrays.
        x: first argument, one axis.
        y: second argument, one axis.
        horizon: ``T``.
        wanted: mask, shape ``(x.size, y.size)``.

    >>> x, y = np.linspace(0.9, 1.1, 200), np.linspace(1, 2, 200)
    >>> found = on_product(lambda x, y, t: y * x**t, x, y, 50, np.ones((200, 200), bool))
    >>> bool(np.allclose(found[7], y * np.sum(x[7] ** np.arange(1, 51)), rtol=1e-12))
    True
    """
    out = np.full(wanted.shape, np.nan)
    sum_ = _Sum(term, horizon)
    for rows in _signed(x):
        for columns in _signed(y):
            place = np.ix_(rows, columns)
            quadrant = _Quadrant(sum_, (_Axis(x[rows]), _Axis(y[columns])), wanted[place], out[place])
            out[place] = quadrant.filled()
    return out


def _signed(values: np.ndarray) -> Iterator[np.ndarray]:
    """Places of the positive, negative and vanishing values, each in the order of ``|v|``."""
    order = np.argsort(np.abs(values), kind="stable")
    for sign in (1, -1, 0):
        places = order[np.sign(values[order]) == sign]
        if places.size:
            yield places


@dataclass(frozen=True)
class _Axis:
    """Values of one sign, in the order of their size, and the coordinate in which they are interpolated."""

    values: np.ndarray

    @cached_property
    def straight(self) -> bool:
        """The coordinate is the value itself, not its logarithm: steep laws feel the rounding of a logarithm."""
        return bool(np.abs(self.values[-1]) <= 2 * np.abs(self.values[0]))

    def coordinate(self, values: np.ndarray) -> np.ndarray:
        """That of any values of this sign."""
        return values if self.straight else np.log(np.abs(values))

    def at(self, coordinate: Any) -> Any:
        """The values at coordinates."""
        return coordinate if self.straight else np.sign(self.values[0]) * np.exp(coordinate)

    def middle(self, part: slice) -> float:
        """Coordinate halfway between the ends of a part."""
        ends = self.coordinate(self.values[[part.start, part.stop - 1]])
        return float(ends[0] + ends[1]) / 2

    def points(self, part: slice) -> tuple[np.ndarray, Callable[[np.ndarray], np.ndarray], np.ndarray]:
        """Chebyshev points of a part, Chebyshev polynomials at values, and the matrix from values to coefficients.

        The matrix is that of the points as they are, after rounding.
        """
        ends, middle = self.coordinate(self.values[[part.start, part.stop - 1]]), self.middle(part)
        half = (ends[1] - ends[0]) / 2 or 1e-6 * (abs(middle) if self.straight else 1.0)
        nominal = middle + half * np.cos(np.pi * (np.arange(_NODES) + 0.5) / _NODES)
        at = self.at(nominal)

        def polynomials(values: np.ndarray) -> np.ndarray:
            return np.polynomial.chebyshev.chebvander((self.coordinate(values) - middle) / half, _NODES - 1)

        return at, polynomials, np.linalg.inv(polynomials(at))


def _tail(coefficients: np.ndarray) -> float:
    """The largest of the last coefficients along the first axis; infinite where there is no number."""
    size = float(np.max(np.abs(coefficients[-3:])))
    return size if np.isfinite(size) else np.inf


@dataclass(frozen=True)
class _Quadrant:
    """The part of a grid with given signs."""

    sum_: _Sum
    axes: tuple[_Axis, _Axis]
    wanted: np.ndarray
    out: np.ndarray

    def filled(self) -> np.ndarray:
        """`out`, box by box."""
        waiting = [(slice(0, self.out.shape[0]), slice(0, self.out.shape[1]))]
        while waiting:
            waiting += self._parts(waiting.pop())
        return self.out

    def _parts(self, box: Box) -> list[Box]:
        """Boxes that are left of one box; its values are filled in where there are none."""
        wanted = self.wanted[box]
        if not np.any(wanted):
            return []
        if np.sum(wanted) < 2 * _NODES**2 or any(a.values[0] == 0 for a in self.axes):
            return self._summed(box)
        (x, rows, left), (y, columns, right) = (a.points(b) for a, b in zip(self.axes, box, strict=True))
        few = [0, _NODES // 2, _NODES - 1]
        corners = np.meshgrid(x[[*few, 8, 24]], y[[*few, 8, 24]])
        rule = self.sum_.rule(*(v.ravel() for v in corners))
        along = _tail(left @ self._logarithms(x, y[few], rule)), _tail(right @ self._logarithms(x[few], y, rule).T)
        if max(along) > _RESOLVED:
            return self._halves(box, along)
        c = left @ self._logarithms(x, y, rule) @ right.T
        tails = _tail(c), _tail(c.T)
        if max(tails) <= _RESOLVED:
            found = np.exp(rows(self.axes[0].values[box[0]]) @ c @ columns(self.axes[1].values[box[1]]).T)
            if self._agrees(box, found):
                self.out[box] = np.where(wanted, found, np.nan)
                return []
        return self._halves(box, tails)

    def _logarithms(self, x: np.ndarray, y: np.ndarray, rule: Rule) -> np.ndarray:
        """``ln A`` at all pairs."""
        mesh = (v.ravel() for v in np.meshgrid(x, y, indexing="ij"))
        return np.log(self.sum_.quadrature(*mesh, rule)).reshape(x.size, y.size)

    def _halves(self, box: Box, tails: tuple[float, float]) -> list[Box]:
        """A box cut across the axis with the larger tail, or both; its values are filled in where that is no cut."""
        parts = []
        for axis, b, tail in zip(self.axes, box, tails, strict=True):
            k = int(np.searchsorted(np.abs(axis.values), np.abs(axis.at(axis.middle(b))), side="right"))
            cut = tail >= max(tails) and b.start < k < b.stop
            parts.append([slice(b.start, k), slice(k, b.stop)] if cut else [b])
        if len(parts[0]) * len(parts[1]) == 1:
            return self._summed(box)
        return [(rows, columns) for rows in parts[0] for columns in parts[1]]

    def _summed(self, box: Box) -> list[Box]:
        """Fill a box in without interpolation."""
        i, j = (k + b.start for k, b in zip(np.nonzero(self.wanted[box]), box, strict=True))
        x, y = self.axes[0].values[i], self.axes[1].values[j]
        few = slice(None, None, 17)
        self.out[i, j] = self.sum_.quadrature(x, y, self.sum_.rule(x[few], y[few]))
        return []

    def _agrees(self, box: Box, found: np.ndarray) -> bool:
        """Whether interpolated values are the sum itself at eight points."""
        i, j = np.nonzero(self.wanted[box])
        few = np.linspace(0, i.size - 1, 8).astype(int)
        i, j = i[few], j[few]
        true = self.sum_.exact(self.axes[0].values[box[0]][i], self.axes[1].values[box[1]][j])
        return bool(np.all(np.abs(found[i, j] - true) <= _AGREES * true))
