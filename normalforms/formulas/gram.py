"""The law of a map with several parameters: a symmetric matrix of formulas."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import sympy as sp

from normalforms.formulas.formula import Domain, Formula

__all__ = ["GramFormula"]


@dataclass(frozen=True, eq=False)
class GramFormula:
    """``G_pq = Σ_{t=1}^T ∂_p h_t ∂_q h_t`` over the parameters: the kernel's Gram matrix, entry by entry.

    The kernel of the cusp has rank two in (β, g); its norm, the amplification, is the top eigenvalue of G.

    Args:
        entries: formulas of the same symbols, row by row; symmetric.

    >>> from normalforms.law import amplification
    >>> from normalforms.maps.map import cusp
    >>> law = amplification(cusp()).series(2)
    >>> law[0, 0].expr.subs(dict(zip(law.symbols, (0, 1, 0), strict=False))).factor()
    T*(T + 1)*(2*T + 1)/6
    >>> law((0.0, 1.0), 0.1, 1).round(12).tolist()
    [[1.0, 0.1], [0.1, 0.01]]
    """

    entries: tuple[tuple[Formula, ...], ...]

    def __getitem__(self, place: tuple[int, int]) -> Formula:
        """The formula of one entry."""
        row, column = place
        return self.entries[row][column]

    @property
    def expr(self) -> sp.ImmutableMatrix:
        """The matrix of expressions."""
        return sp.ImmutableMatrix([[f.expr for f in row] for row in self.entries])

    @property
    def symbols(self) -> tuple[sp.Symbol, ...]:
        """The symbols of every entry, in call order."""
        return self.entries[0][0].symbols

    @property
    def domain(self) -> Domain:
        """Where it holds."""
        return self.entries[0][0].domain

    def __call__(self, *arguments: Any) -> np.ndarray:
        """The matrices, shape ``(*batch, p, p)``; arguments as those of `Formula`, parameters also as one tuple.

        Raises:
            ValueError: as `Formula`.
        """
        return self._map(lambda f: f(*arguments), lambda rows: np.moveaxis(np.array(rows), (0, 1), (-2, -1)))

    def norm(self, *arguments: Any) -> Any:
        """The amplification: the top eigenvalue of the matrix, ``nan`` where an entry has no value."""
        matrix = self(*arguments)
        finite = np.all(np.isfinite(matrix), axis=(-1, -2))
        top = np.linalg.eigvalsh(np.where(finite[..., None, None], matrix, 0.0))[..., -1]
        value = np.where(finite, top, np.nan)
        return float(value) if value.ndim == 0 else value

    def diff(self, symbol: Any) -> GramFormula:
        """The derivative of every entry."""
        return GramFormula(self._map(lambda f: f.diff(symbol), lambda rows: tuple(map(tuple, rows))))

    def lambdify(self, backend: str = "numpy") -> Callable[..., Any]:
        """A bare function that returns the entries as nested lists; see `Formula.lambdify`."""
        compiled = self._map(lambda f: f.lambdify(backend), lambda rows: rows)
        return lambda *arguments: [[entry(*arguments) for entry in row] for row in compiled]

    def code(self, language: str = "python", name: str = "law") -> str:
        """Source of one function per entry on and above the diagonal, ``name_0_0``, ``name_0_1``, ``name_1_1``."""
        size = len(self.entries)
        places = [(i, j) for i in range(size) for j in range(i, size)]
        return "\n".join(self[i, j].code(language, f"{name}_{i}_{j}") for i, j in places)

    def latex(self) -> str:
        """The matrix as LaTeX."""
        return sp.latex(self.expr)

    def _map(self, change: Callable[[Formula], Any], collect: Callable[[list[list[Any]]], Any]) -> Any:
        """``change`` of each entry, called once for each pair of equal ones."""
        size = len(self.entries)
        upper = {(i, j): change(self[i, j]) for i in range(size) for j in range(i, size)}
        return collect([[upper[min(i, j), max(i, j)] for j in range(size)] for i in range(size)])

    def __str__(self) -> str:
        return str(self.expr)
