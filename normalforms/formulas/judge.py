"""The distance of a truncated law from its truth, point by point; on a grid, from a small part of its points.

The relative error of a truncated law is smooth where it is small. On a grid of one or two arguments it is therefore
measured at the corners, edges and centres of cells, and a cell whose nine errors lie on one side of every threshold,
by a factor of two, is decided; the others are cut in four, down to single points. What is measured are the curves on
which the law ceases to hold, and a few thousand points elsewhere.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["truncation"]

_SMALLEST = 5_000
"""Points of a grid below which all of them are measured."""
_CELLS = 16
"""Cells along an axis to begin with."""
_CHUNK = 8192
"""Points measured at once: what a step of their iteration touches stays in the cache."""
_CLEAR = 2.0
"""Factor by which a decided cell keeps away from the thresholds."""

Truth = Callable[..., Any]


def truncation(value: np.ndarray, truth: Truth, values: Sequence[Any], tolerance: float) -> np.ndarray:
    """The error of ``value``, shape of ``value``: ``|true − value|``, and more where ``value`` is much too large.

    Args:
        value: of the truncated law.
        truth: the same law without truncation, a function of ``values``; costly.
        values: arguments, numbers and arrays that broadcast to the shape of ``value``.
        tolerance: relative error up to which the law is right; at 1 it has no digit.
    """
    with np.errstate(all="ignore"):
        grid = _grid(value, truth, values) if value.size >= _SMALLEST else None
        relative = _everywhere(value, truth, values) if grid is None else grid.judged(tolerance)
        return np.where(relative == 0, 0.0, np.abs(relative) * np.abs(value))


def _relative(value: np.ndarray, true: Any) -> np.ndarray:
    """The signed error over ``|value|``; a value far too large has no digit either."""
    error = (true - value) * (np.abs(value) + np.abs(true)) / (2 * np.abs(true) + 1e-300)
    found = np.where(error == 0, 0.0, error / np.abs(value))
    return np.where(np.isnan(found), np.inf, found)


def _everywhere(value: np.ndarray, truth: Truth, values: Sequence[Any]) -> np.ndarray:
    if value.size <= _CHUNK:
        return _relative(value, truth(*values))
    flat = [np.broadcast_to(v, value.shape).ravel() if np.ndim(v) else v for v in values]
    found = np.empty(value.size)
    for start in range(0, value.size, _CHUNK):
        part = slice(start, start + _CHUNK)
        found[part] = _relative(value.flat[part], truth(*(v[part] if np.ndim(v) else v for v in flat)))
    return found.reshape(value.shape)


def _grid(value: np.ndarray, truth: Truth, values: Sequence[Any]) -> _Grid | None:
    """``value`` as a matrix over one or two arguments in their order; ``None`` where it depends on more."""
    varying = [i for i, v in enumerate(values) if np.size(v) > 1]
    if len(varying) > 2 or math.prod(np.size(values[i]) for i in varying) != value.size:
        return None
    axes = [np.ravel(values[i]) for i in varying]
    own = np.shape(values[varying[0]])
    own = (1,) * (value.ndim - len(own)) + own
    order = sorted(range(value.ndim), key=lambda axis: own[axis] == 1)  # the axes of the first argument come first
    if len(axes) == 1:
        axes.append(np.zeros(1))
    matrix = value.transpose(order).reshape(axes[0].size, axes[1].size)
    plain = [v if np.ndim(v) == 0 else np.ravel(v)[0] for v in values]

    def at(x: np.ndarray, y: np.ndarray) -> Any:
        given = dict(zip(varying, (x, y), strict=False))
        return truth(*(given.get(i, v) for i, v in enumerate(plain)))

    sides = [np.argsort(v, kind="stable") for v in axes]
    back = lambda m: m.reshape([value.shape[a] for a in order]).transpose(np.argsort(order))  # noqa: E731
    return _Grid(at, axes[0][sides[0]], axes[1][sides[1]], matrix[np.ix_(*sides)], (sides[0], sides[1]), back)


@dataclass(frozen=True)
class _Grid:
    """A matrix of values over two sorted arguments.

    Args:
        truth: of pairs of arguments.
        x: argument of the rows.
        y: argument of the columns.
        value: shape ``(x.size, y.size)``.
        places: rows and columns in the caller's order.
        back: from the caller's matrix to the caller's shape.
    """

    truth: Callable[[np.ndarray, np.ndarray], Any]
    x: np.ndarray
    y: np.ndarray
    value: np.ndarray
    places: tuple[np.ndarray, np.ndarray]
    back: Callable[[np.ndarray], np.ndarray]

    def judged(self, tolerance: float) -> np.ndarray:
        """The signed relative error in the caller's shape, exact where it is measured, elsewhere one of its cell."""
        error = np.full(self.value.shape, np.nan)
        known = np.zeros(self.value.shape, dtype=bool)
        cells = _first_cells(*self.value.shape)
        while cells.size:
            i, j = (_thirds(cells[:, k], cells[:, k + 1])[:, sides] for k, sides in ((0, _ROWS), (2, _COLUMNS)))
            self._measure(error, known, i, j)
            nine = error[i, j]
            alike = _alike(nine, tolerance)
            for k in np.flatnonzero(alike):
                rows, columns = (np.s_[cells[k, a] : cells[k, a + 1] + 1] for a in (0, 2))
                worst = nine[k, np.argmax(np.abs(nine[k]))]
                if abs(worst) < tolerance and not self._smooth(rows, columns, tolerance):
                    alike[k] = False
                    continue
                box = rows, columns
                error[box] = np.where(known[box], error[box], worst)
            cells = _quarters(cells[~alike])
        out = np.empty_like(error)
        out[np.ix_(*self.places)] = error
        return self.back(out)

    def _measure(self, error: np.ndarray, known: np.ndarray, i: np.ndarray, j: np.ndarray) -> None:
        """Fill ``error`` in at the places ``i, j`` that are not known."""
        places = np.unique(i * known.shape[1] + j)
        places = places[~known.flat[places]]
        for start in range(0, places.size, _CHUNK):
            a, b = np.divmod(places[start : start + _CHUNK], known.shape[1])
            error[a, b] = _relative(self.value[a, b], self.truth(self.x[a], self.y[b]))
        known.flat[places] = True

    def _smooth(self, rows: slice, columns: slice, tolerance: float) -> bool:
        """Whether the values of a cell are those of a parabola in each argument: a narrow pole between the measured
        points of a fraction would not be."""
        value = self.value[rows, columns]
        few = value[[[0], [(value.shape[0] - 1) // 2], [-1]], [0, (value.shape[1] - 1) // 2, -1]]
        guess = _parabola(self.x[rows]).T @ few @ _parabola(self.y[columns])
        return bool(np.all(np.abs(guess - value) <= tolerance / _CLEAR * np.abs(value)))


def _parabola(x: np.ndarray) -> np.ndarray:
    """Lagrange's polynomials of the first, middle and last of some numbers at all of them, shape ``(3, x.size)``."""
    a, b, c = x[0], x[(x.size - 1) // 2], x[-1]
    p, q, r = x - a, x - b, x - c
    if not a < b < c:
        part = p / (c - a) if c > a else 0 * x
        return np.array([1 - part, 0 * x, part])
    return np.array([q * r / ((a - b) * (a - c)), p * r / ((b - a) * (b - c)), p * q / ((c - a) * (c - b))])


_ROWS, _COLUMNS = np.repeat(np.arange(3), 3), np.tile(np.arange(3), 3)


def _thirds(start: np.ndarray, stop: np.ndarray) -> np.ndarray:
    return np.stack([start, (start + stop) // 2, stop], axis=1)


def _first_cells(rows: int, columns: int) -> np.ndarray:
    """First and last row and column of cells that share their borders, shape ``(cells, 4)``."""
    edges = [np.unique(np.linspace(0, n - 1, _CELLS + 1).astype(int)) for n in (rows, columns)]
    pairs = [np.stack([e[:-1], e[1:]], axis=1) if e.size > 1 else np.array([[0, 0]]) for e in edges]
    a, b = (k.ravel() for k in np.meshgrid(*(np.arange(len(p)) for p in pairs), indexing="ij"))
    return np.concatenate([pairs[0][a], pairs[1][b]], axis=1)


def _alike(nine: np.ndarray, tolerance: float) -> np.ndarray:
    """Which rows of errors are all right, all wrong in one direction, or all without a digit, and clearly so."""
    size = np.abs(nine)
    right = np.all(size <= tolerance / _CLEAR, axis=1)
    one_sign = np.all(nine > 0, axis=1) | np.all(nine < 0, axis=1)
    wrong = np.all((size >= tolerance * _CLEAR) & (size <= 1 / _CLEAR), axis=1)
    lost = np.all(size >= _CLEAR, axis=1)
    return right | (one_sign & (wrong | lost))


def _quarters(cells: np.ndarray) -> np.ndarray:
    """The cells cut in four, or in two where they are narrow; none of those whose points are all measured."""
    cells = cells[(cells[:, 1] - cells[:, 0] > 2) | (cells[:, 3] - cells[:, 2] > 2)]
    return _halves(_halves(cells, 0), 2)


def _halves(cells: np.ndarray, side: int) -> np.ndarray:
    long = cells[:, side + 1] - cells[:, side] > 2
    first, second = cells.copy(), cells[long]
    middle = (second[:, side] + second[:, side + 1]) // 2
    first[long, side + 1], second[:, side] = middle, middle
    return np.concatenate([first, second])
