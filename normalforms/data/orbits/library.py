"""The library of a discovery: monomials of states and parameters, their values and slopes along orbits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import combinations_with_replacement

import numpy as np
import sympy as sp

__all__ = ["Library", "monomials"]

Array = np.ndarray


def monomials(symbols: Sequence[sp.Symbol], degree: int) -> list[sp.Expr]:
    """All products of at most ``degree`` of the symbols, one first.

    >>> h, g = sp.symbols("h g")
    >>> monomials([h, g], 2)
    [1, h, g, h**2, g*h, g**2]
    """
    return [sp.Mul(*c) for d in range(degree + 1) for c in combinations_with_replacement(symbols, d)]


@dataclass(frozen=True)
class Library:
    """``φ_k(h, u) = Π_i h_i^{e_ki} Π_j u_j^{d_kj}``, the parameters' part worked out once.

    Args:
        terms: the monomials.
        states: symbols of the states.
        parameters: symbols of the parameters.
        controls: their values at every step, shape (orbits, steps, p); one step where they do not change.
        turn: a matrix C by which the monomials are combined, ``φ C``, so that they are independent on the data.
    """

    terms: tuple[sp.Expr, ...]
    states: tuple[sp.Symbol, ...]
    parameters: tuple[sp.Symbol, ...]
    controls: Array = field(repr=False)
    turn: Array | None = field(default=None, repr=False)
    powers: Array = field(init=False, repr=False)
    factor: Array = field(init=False, repr=False)

    def __post_init__(self) -> None:
        table = lambda names: np.array([[int(t.as_powers_dict().get(s, 0)) for s in names] for t in self.terms])  # noqa: E731
        outer = table(self.parameters).reshape(len(self.terms), len(self.parameters))
        value = np.ones((*self.controls.shape[:2], len(self.terms)))
        for j in range(len(self.parameters)):
            value = value * self.controls[:, :, j, None] ** outer[:, j]
        object.__setattr__(self, "powers", table(self.states))
        object.__setattr__(self, "factor", value)

    def values(self, h: Array, t: int, slopes: bool = True, columns: Array | None = None) -> tuple[Array, Array | None]:
        """``φ`` at states h of shape (orbits, n) and step t, shape (orbits, K); ``∂φ/∂h``, shape (orbits, n, K).

        With ``columns`` only those of the K monomials, which is not for combined ones.
        """
        factor, powers = self.factor[:, min(t, self.factor.shape[1] - 1)], self.powers
        if columns is not None:
            factor, powers = factor[:, columns], powers[columns]
        n, top = h.shape[1], int(powers.max(initial=0))
        table = np.ones((n, top + 1, len(h)))
        for d in range(1, top + 1):
            table[:, d] = table[:, d - 1] * h.T
        pick = [table[i, powers[:, i]] for i in range(n)]  # each (K, orbits)
        value = pick[0]
        for part in pick[1:]:
            value = value * part
        phi = value.T * factor
        phi = phi if self.turn is None else phi @ self.turn
        if not slopes:
            return phi, None
        grown = []
        for i in range(n):
            slope = powers[:, i, None] * table[i, np.maximum(powers[:, i] - 1, 0)]
            for j in range(n):
                if j != i:
                    slope = slope * pick[j]
            grown.append(slope.T * factor)
        slope = np.stack(grown, axis=1)
        return phi, slope if self.turn is None else slope @ self.turn

    def needed(self, active: Array) -> Array | None:
        """The columns that any equation of ``active``, shape (n, K), uses; ``None`` for all of them."""
        used = np.any(active, axis=0)
        return None if self.turn is not None or np.all(used) else np.flatnonzero(used)
