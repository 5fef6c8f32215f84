"""The law of a map with several parameters: a symmetric matrix of formulas, and its top eigenvalue."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import sympy as sp

from normalforms.formulas.formula import Domain, Formula

__all__ = ["GramFormula", "top_eigenvalue"]


def top_eigenvalue(matrix: np.ndarray) -> Any:
    """The top eigenvalue of symmetric matrices ``(*batch, p, p)``, ``nan`` where an entry has no value.

    >>> top_eigenvalue(np.array([[2.0, 1.0], [1.0, 2.0]]))
    3.0
    """
    finite = np.all(np.isfinite(matrix), axis=(-1, -2))
    top = np.linalg.eigvalsh(np.where(finite[..., None, None], matrix, 0.0))[..., -1]
    value = np.where(finite, top, np.nan)
    return float(value) if value.ndim == 0 else value


@dataclass(frozen=True, eq=False)
class GramFormula:
    """The amplification over several parameters: the top eigenvalue of ``G_pq = Σ_{t=1}^T ∂_p h_t ∂_q h_t``.

    G is the kernel's Gram matrix; in the cusp it has rank two in (β, g). A call gives the amplification, as that of
    every other form does, and `gram` the matrix.

    Args:
        entries: formulas of the same symbols, row by row; symmetric.
        orbit: for a uniform law, the formula of the state ``h_t``.
        top: the top eigenvalue as a formula of its own, where there is one; by default it is that of `gram`.

    >>> from normalforms import cusp
    >>> from normalforms.law import amplification
    >>> law = amplification(cusp()).series(2)
    >>> law[0, 0].expr.subs(dict(zip(law.symbols, (0, 1, 0), strict=False))).factor()
    T*(T + 1)*(2*T + 1)/6
    >>> law.gram((0.0, 1.0), 0.1, 1).round(12).tolist()
    [[1.0, 0.1], [0.1, 0.01]]
    >>> round(law((0.0, 1.0), 0.1, 1), 12)
    1.01
    """

    entries: tuple[tuple[Formula, ...], ...]
    orbit: Formula | None = field(default=None, kw_only=True)
    top: Formula | None = field(default=None, kw_only=True)

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

    def __call__(self, *arguments: Any) -> Any:
        """The amplification, elementwise over broadcast arguments; parameters also as one tuple.

        Raises:
            ValueError: as `Formula`.
        """
        return top_eigenvalue(self.gram(*arguments)) if self.top is None else self.top(*arguments)

    norm = __call__

    def gram(self, *arguments: Any) -> np.ndarray:
        """The matrices, shape ``(*batch, p, p)``."""
        return self._map(lambda f: f(*arguments), lambda rows: np.moveaxis(np.array(rows), (0, 1), (-2, -1)))

    def diff(self, symbol: Any) -> GramFormula:
        """The derivative of every entry of the matrix."""
        return GramFormula(self._map(lambda f: f.diff(symbol), lambda rows: tuple(map(tuple, rows))))

    def mapped(self, change: Callable[[Formula], Formula]) -> GramFormula:
        """``change`` of every entry, of the orbit and of the top eigenvalue."""
        entries = self._map(change, lambda rows: tuple(map(tuple, rows)))
        orbit, top = (f if f is None else change(f) for f in (self.orbit, self.top))
        return GramFormula(entries, orbit=orbit, top=top)

    def lambdify(self, backend: str = "numpy") -> Callable[..., Any]:
        """A bare function that returns the entries as nested lists; see `Formula.lambdify`."""
        compiled = self._map(lambda f: f.lambdify(backend), lambda rows: rows)
        return lambda *arguments: [[entry(*arguments) for entry in row] for row in compiled]

    def code(self, language: str = "python", name: str = "law") -> str:
        """Source of the top eigenvalue where it has a formula, else of one function per entry on and above the
        diagonal, ``name_0_0``, ``name_0_1``, ``name_1_1``."""
        if self.top is not None:
            return self.top.code(language, name)
        size = len(self.entries)
        places = [(i, j) for i in range(size) for j in range(i, size)]
        return "\n".join(self[i, j].code(language, f"{name}_{i}_{j}") for i, j in places)

    def printed(self) -> tuple[tuple[Any, Any], ...]:
        """The law as equations, left and right sides."""
        return ((sp.Symbol("A"), self.expr),) if self.top is None else self.top.printed()

    def latex(self) -> str:
        """The matrix as LaTeX; of an implicit law, its equation."""
        return sp.latex(self.expr) if self.top is None else self.top.latex()

    def _map(self, change: Callable[[Formula], Any], collect: Callable[[list[list[Any]]], Any]) -> Any:
        """``change`` of each entry, called once for each pair of equal ones."""
        size = len(self.entries)
        upper = {(i, j): change(self[i, j]) for i in range(size) for j in range(i, size)}
        return collect([[upper[min(i, j), max(i, j)] for j in range(size)] for i in range(size)])

    def __str__(self) -> str:
        return str(self.expr) if self.top is None else str(self.top)
