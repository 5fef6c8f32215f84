"""A sum over time at given arguments, from few of its terms.

``A(x, y) = Σ_{t=1}^T a(x, y, t)`` with ``a`` smooth, by Gauss quadrature for the discrete measure on 1 … T, or on its
halves, quarters, …, whose orthogonal polynomials are Gram's:

    p_{k+1} = (t − (T+1)/2) p_k − k²(T²−k²)/(4(4k²−1)) p_{k−1}.

Source: DLMF 18.22.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np

__all__ = ["TimeSum", "gram_rule"]

_EXACT = 1e-13
"""Largest relative error of a quadrature that counts as none."""
_BLOCK = 12288
"""Numbers per array: they stay in a processor's cache, and in the memory that was let go before."""
_COUNTS = (3, 5, 8, 12, 18, 27, 40, 60)
"""Nodes of the quadratures that are tried."""
_SHORTEST = 8
"""A panel of at most twice as many steps is not halved."""

Rule = tuple[np.ndarray, np.ndarray]


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
class TimeSum:
    """``A`` at pairs of arguments.

    Args:
        prepare: what the terms need of ``x`` and ``y``, a tuple of arrays of their shape, or of numbers.
        term: ``a``, of that tuple's members and ``t``, on broadcast arrays.
        horizon: ``T``.

    >>> total = TimeSum(lambda x, y: (np.log(x), y), lambda log, y, t: y * np.exp(log * t), 50)
    >>> x, y = np.array([0.9, 1.1]), np.array([1.0, 2.0])
    >>> bool(np.allclose(total.near(x, y)(x, y), total.exact(x, y), rtol=1e-13))
    True
    """

    prepare: Callable[[np.ndarray, np.ndarray], tuple[Any, ...]]
    term: Callable[..., np.ndarray]
    horizon: int

    def exact(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Term by term."""
        t = np.arange(1.0, self.horizon + 1)
        return self._quadrature(x, y, (t, np.ones_like(t)))

    def near(self, x: np.ndarray, y: np.ndarray) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
        """``A`` as a function that is right at these pairs, and between them."""
        rule = self._rule(x, y)
        return lambda x, y: self._quadrature(x, y, rule)

    def _quadrature(self, x: np.ndarray, y: np.ndarray, rule: Rule) -> np.ndarray:
        """With given nodes and weights, in blocks."""
        t, w = rule
        prepared = [np.broadcast_to(p, x.shape)[:, None] for p in self.prepare(x, y)]
        rows = max(1, _BLOCK // t.size)
        blocks = (slice(i, i + rows) for i in range(0, x.size, rows))
        return np.concatenate([self.term(*(p[b] for p in prepared), t) @ w for b in blocks])

    def _rule(self, x: np.ndarray, y: np.ndarray) -> Rule:
        """The cheaper of a quadrature in one piece and one panel by panel."""
        prepared, t = [np.broadcast_to(p, x.shape)[:, None] for p in self.prepare(x, y)], np.arange(self.horizon) + 1.0
        every = self.term(*prepared, t)
        allowed = _EXACT * np.sum(every, axis=1)

        def found(*panels: tuple[int, int]) -> Rule:
            tried = [(t + start, w) for start, end in panels for t, w in _rules(end - start)]
            terms = self.term(*prepared, np.concatenate([t for t, _ in tried] or [t[:0]]))
            parts = np.split(terms, np.cumsum([t.size for t, _ in tried])[:-1], axis=1)
            sums = iter([(rule, part @ rule[1]) for rule, part in zip(tried, parts, strict=True)])
            chosen = []
            for start, end in panels:
                true = np.sum(every[:, start:end], axis=1)
                here = [next(sums) for _ in _rules(end - start)]
                right = [bool(np.all(np.abs(value - true) <= allowed)) for _, value in here]
                chosen.append(_next([rule for rule, _ in here], right, (t[start:end], np.ones(end - start))))
            return np.concatenate([t for t, _ in chosen]), np.concatenate([w for _, w in chosen])

        edges = [self.horizon]
        while edges[-1] > 2 * _SHORTEST:
            edges.append(edges[-1] // 2)
        whole = found((0, self.horizon))
        if whole[0].size <= _COUNTS[-2] or len(edges) == 1:
            return whole
        panels = found(*((start, end) for end, start in pairwise([*edges, 0])))
        return whole if whole[0].size <= panels[0].size else panels


def _next(rules: list[Rule], right: list[bool], exact: Rule) -> Rule:
    """The quadrature after the cheapest that is right, or the sum itself.

    Between the pairs that were tried it may be worse, by orders of magnitude where a layer in time is narrow; the next
    has those to spare.
    """
    place = right.index(True) + 1 if any(right) else len(rules)
    return rules[place] if place < len(rules) else exact


@cache
def _rules(length: int) -> tuple[Rule, ...]:
    """The quadratures of ``1 … length`` that save something, cheapest first."""
    return tuple(gram_rule(count, length) for count in _COUNTS if 3 * count <= 2 * length)
