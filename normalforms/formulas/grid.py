"""A function of two arguments on a product grid of them, from few of its values.

``A(x, y)`` is smooth and has one sign where ``x`` and ``y`` keep theirs. In coordinates in which it changes evenly,

    v,   ln |v|   where v ranges over more than a factor of two,   arsinh((v − c)/w)   about a centre c of width w,

``ln |A|`` is interpolated at Chebyshev points of rectangles, as many as it takes for the last coefficients to be
rounding; a rectangle that takes too many is halved. The values are compared with the function itself at points of
every rectangle; where few points are left, or the comparison fails, the function itself is the value.

Source: N. Trefethen, *Approximation Theory and Approximation Practice*, ch. 8.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any, Protocol

import numpy as np

__all__ = ["Focus", "Source", "on_grid", "product_axes"]

SMALLEST = 20_000
"""Points of a grid below which the function itself is as fast."""
_FEWEST = 1500
"""Points of a rectangle below which it is not worth interpolating."""
_NODES = (32, 64, 112)
"""Chebyshev points per axis that are tried."""
_HOPEFUL = 100
"""Times `_RESOLVED` that more points are expected to leave, of what is tried with them."""
_SPARE = 4
"""Coefficients kept after the last that counts."""
_RESOLVED = 1e-13
"""Largest last coefficient of ``ln |A|`` of what counts as resolved."""
_AGREES = 5e-13
"""Largest relative difference from the function itself at the points that are compared."""
_COMPARED = 12
"""Points that are compared."""

Box = tuple[slice, slice]
Focus = tuple[float, float]
"""Centre and width of the range in which a function varies fastest."""
Pairwise = Callable[[np.ndarray, np.ndarray], np.ndarray]
Transform = Callable[[np.ndarray], np.ndarray]


class Source(Protocol):
    """A function of pairs of arguments, flat arrays of one length."""

    def exact(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """The function itself."""
        ...

    def near(self, x: np.ndarray, y: np.ndarray) -> Pairwise:
        """A faster one, right to rounding between these pairs."""
        ...


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


def on_grid(source: Source, x: np.ndarray, y: np.ndarray, wanted: Any = True, focus: Focus | None = None) -> np.ndarray:
    """``A(x, y)`` on the product grid of two arrays that broadcast to it, ``nan`` where it is not wanted.

    Args:
        source: ``A``.
        x: first argument.
        y: second argument.
        wanted: mask that broadcasts to the grid.
        focus: that of ``x``, whose sign ``A`` then ignores; by default none.

    >>> from normalforms.formulas.time_sum import TimeSum
    >>> x, y = np.linspace(0.9, 1.1, 200), np.linspace(1, 2, 200)
    >>> found = on_grid(TimeSum(lambda x, y: (x, y), lambda x, y, t: y * x**t, 50), x[:, None], y)
    >>> bool(np.allclose(found[7], y * np.sum(x[7] ** np.arange(1, 51)), rtol=1e-12))
    True
    """
    shape = np.broadcast_shapes(x.shape, y.shape)
    sides = [(1,) * (len(shape) - v.ndim) + v.shape for v in (x, y)]
    order = sorted(range(len(shape)), key=lambda axis: sides[0][axis] == 1)  # the axes of x come first
    flat = np.broadcast_to(wanted, shape).transpose(order).reshape(x.size, y.size)
    found = _on_product(source, x.ravel(), y.ravel(), flat, focus)
    return found.reshape([shape[axis] for axis in order]).transpose(np.argsort(order))


def _on_product(source: Source, x: np.ndarray, y: np.ndarray, wanted: np.ndarray, focus: Focus | None) -> np.ndarray:
    """``A(x_i, y_j)``."""
    pieces = [
        (_Axis(x[rows], focus), _Axis(y[columns]), rows, columns)
        for rows in ([np.argsort(x, kind="stable")] if focus else _signed(x))
        for columns in _signed(y)
    ]
    out = np.full(wanted.shape, np.nan)
    for first, second, rows, columns in pieces:
        place = np.ix_(rows, columns)
        piece = _Piece(source, (first, second), wanted[place], out[place])
        out[place] = piece.filled()
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
    """Values in the order of their coordinate, in which the function is interpolated; without a focus of one sign."""

    values: np.ndarray
    focus: Focus | None = None

    @cached_property
    def straight(self) -> bool:
        """The coordinate is the value itself, not its logarithm: steep laws feel the rounding of a logarithm."""
        return bool(np.abs(self.values[-1]) <= 2 * np.abs(self.values[0]))

    def coordinate(self, values: np.ndarray) -> np.ndarray:
        """That of any values of this axis."""
        if self.focus is not None:
            return np.arcsinh((values - self.focus[0]) / self.focus[1])
        return values if self.straight else np.log(np.abs(values))

    def at(self, coordinate: Any) -> Any:
        """The values at coordinates."""
        if self.focus is not None:
            return self.focus[0] + self.focus[1] * np.sinh(coordinate)
        return coordinate if self.straight else np.sign(self.values[0]) * np.exp(coordinate)

    def ends(self, part: slice) -> np.ndarray:
        """Coordinates of the first and the last value of a part."""
        return self.coordinate(self.values[[part.start, part.stop - 1]])

    def cut(self, part: slice) -> list[slice]:
        """A part in halves, or whole where one would be empty."""
        ends, inside = self.ends(part), self.coordinate(self.values[part])
        k = part.start + int(np.sum(np.abs(inside - ends[0]) <= np.abs(ends[1] - ends[0]) / 2))
        return [slice(part.start, k), slice(k, part.stop)] if part.start < k < part.stop else [part]

    def points(self, part: slice, count: int) -> tuple[np.ndarray, Transform, Transform]:
        """Chebyshev points of a part, Chebyshev polynomials at values, and the map from values to coefficients.

        The points are used as they are after rounding: one step of iterative refinement of the cosine transform.
        """
        ends = self.ends(part)
        middle, half = (ends[0] + ends[1]) / 2, (ends[1] - ends[0]) / 2
        half = half or 1e-6 * (abs(middle) if self.focus is None and self.straight else 1.0)
        angles = np.pi * (np.arange(count) + 0.5) / count
        cosines = 2 / count * np.cos(np.outer(np.arange(count), angles))
        cosines[0] /= 2
        at = self.at(middle + half * np.cos(angles))

        def polynomials(values: np.ndarray) -> np.ndarray:
            return np.polynomial.chebyshev.chebvander((self.coordinate(values) - middle) / half, count - 1)

        there = polynomials(at)

        def coefficients(values: np.ndarray) -> np.ndarray:
            first = cosines @ values
            return first + cosines @ (values - there @ first)

        return at, polynomials, coefficients


def _tail(coefficients: np.ndarray) -> float:
    """The largest of the last coefficients along the first axis; infinite where there is no number."""
    size = float(np.max(np.abs(coefficients[-3:])))
    return size if np.isfinite(size) else np.inf


@dataclass(frozen=True)
class _Piece:
    """The part of a grid in which the function keeps its sign."""

    source: Source
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
        count = int(np.sum(self.wanted[box]))
        if not count:
            return []
        if count < _FEWEST or any(a.focus is None and a.values[0] == 0 for a in self.axes):
            return self._direct(box)
        few = [a.points(b, 4)[0] for a, b in zip(self.axes, box, strict=True)]
        value = self.source.near(*(v.ravel() for v in np.meshgrid(*few)))
        sizes: list[int] = []
        for i in (0, 1):
            size = self._size(box, i, few[1 - i], value)
            if not size:
                return self._halves(box, (i,))
            sizes.append(size)
        if sizes[0] * sizes[1] > count:
            return self._direct(box)
        points = [a.points(b, n) for a, b, n in zip(self.axes, box, sizes, strict=True)]
        (x, rows, left), (y, columns, right) = points
        logs, sign = _logarithms(value, x, y)
        c = right(left(logs).T).T
        unresolved = tuple(i for i, tail in enumerate((_tail(c), _tail(c.T))) if tail > _RESOLVED)
        if not unresolved:
            found = rows(self.axes[0].values[box[0]]) @ c @ columns(self.axes[1].values[box[1]]).T
            np.exp(found, out=found)
            found *= sign
            if self._agrees(box, found):
                self.out[box] = found if count == found.size else np.where(self.wanted[box], found, np.nan)
                return []
        return self._halves(box, unresolved or (0, 1))

    def _size(self, box: Box, i: int, others: np.ndarray, value: Pairwise) -> int:
        """Points along axis ``i`` that resolve the function at ``others`` of the other axis, 0 where none do."""
        tail = np.inf
        for before, count in pairwise((0, *_NODES)):
            at, _, to = self.axes[i].points(box[i], count)
            logs = _logarithms(value, at, others)[0] if i == 0 else _logarithms(value, others, at)[0].T
            sizes = np.max(np.abs(to(logs)), axis=1)
            last, tail = tail, _tail(sizes)
            if tail <= _RESOLVED:
                return min(count, int(np.max(np.flatnonzero(sizes > _RESOLVED), initial=0)) + 1 + _SPARE)
            fall = np.log(last / tail) / (count - before) if before else np.inf  # the coefficients' rate of decay
            if not tail * np.exp(-fall * (_NODES[-1] - count)) <= _HOPEFUL * _RESOLVED:
                break
        return 0

    def _halves(self, box: Box, along: tuple[int, ...]) -> list[Box]:
        """A box cut along one axis, or both; its values are filled in where that is no cut."""
        rows, columns = (
            axis.cut(b) if i in along else [b] for i, (axis, b) in enumerate(zip(self.axes, box, strict=True))
        )
        if len(rows) * len(columns) == 1:
            return self._direct(box)
        return [(r, c) for r in rows for c in columns]

    def _direct(self, box: Box) -> list[Box]:
        """Fill a box in without interpolation."""
        i, j = (k + b.start for k, b in zip(np.nonzero(self.wanted[box]), box, strict=True))
        x, y = self.axes[0].values[i], self.axes[1].values[j]
        few = slice(None, None, 17)
        self.out[i, j] = self.source.near(x[few], y[few])(x, y)
        return []

    def _agrees(self, box: Box, found: np.ndarray) -> bool:
        """Whether interpolated values are the function itself at some points."""
        places = np.flatnonzero(self.wanted[box])
        i, j = np.unravel_index(places[np.linspace(0, places.size - 1, _COMPARED).astype(int)], found.shape)
        true = self.source.exact(self.axes[0].values[box[0]][i], self.axes[1].values[box[1]][j])
        return bool(np.all(np.abs(found[i, j] - true) <= _AGREES * np.abs(true)))


def _logarithms(value: Pairwise, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, float]:
    """``ln |A|`` at all pairs, ``nan`` where the sign is not that of the first, and that sign."""
    found = value(np.repeat(x, y.size), np.tile(y, x.size)).reshape(x.size, y.size)
    sign = float(np.sign(found[0, 0]))
    return np.log(sign * found), sign
