"""Terms of a truncated law as a program, and what is made of them: a sum, an average, a Padé approximant."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import reduce

import sympy as sp

from normalforms.forms.series.pade import assignments
from normalforms.formulas import Program, horner, symbols

__all__ = ["Moment", "Monomial", "Series", "Terms", "centred", "multiply", "named", "resummed", "summed"]

Monomial = Callable[[int], sp.Expr]
"""``k ↦`` value of ``x**k``: its mean, in an average."""

Moment = Callable[[int, sp.Expr], sp.Expr]
"""``(k, c) ↦ ⟨(h0 − c)^k⟩``."""

Series = dict[int, sp.Expr]
"""Coefficients by power."""


@dataclass(frozen=True)
class Terms:
    """``A = Σ c[w, i] x^i`` by weight ``w``, ``x = h0 − origin``, each ``c`` in the symbols of ``program``.

    Args:
        program: assigns everything that the coefficients mention; its inputs lack the initial state.
        coefficients: ``c[w, i]``. About a fixed point ``w = i``; elsewhere the rest of ``w`` is in the parameters.
        origin: the expansion's centre in ``h0``.
        place: position of ``h0`` among the inputs.
    """

    program: Program
    coefficients: Mapping[tuple[int, int], sp.Expr]
    origin: sp.Expr = sp.S.Zero
    place: int = 1

    def scaled(self, factor: sp.Expr) -> Terms:
        """``factor · A``."""
        return replace(self, coefficients={key: factor * c for key, c in self.coefficients.items()})

    @property
    def stride(self) -> int:
        """Common step of the weights."""
        weights = sorted({w for w, _ in self.coefficients})
        return int(reduce(sp.igcd, (w - weights[0] for w in weights), 0)) or 1

    def weights(self) -> list[int]:
        """The weights that occur, with none left out between the first and the last."""
        found = {w for w, _ in self.coefficients}
        return list(range(min(found), max(found) + 1, self.stride)) if found else []

    def value(self, weights: Callable[[int], bool], monomial: Monomial | None) -> sp.Expr:
        """``Σ c[w, i] x^i`` over the weights chosen."""
        chosen: dict[int, list[sp.Expr]] = {}
        for (w, i), c in self.coefficients.items():
            if weights(w):
                chosen.setdefault(i, []).append(c)
        rows = {i: sp.Add(*cs) for i, cs in chosen.items()}
        if monomial is None:
            return _polynomial(rows, self.variable)
        return sp.Add(*(c * monomial(i) for i, c in rows.items()))

    @property
    def variable(self) -> sp.Symbol:
        """``x``."""
        return symbols("h0") if self.origin == 0 else symbols("x0")

    def finished(self, results: tuple[sp.Expr, ...], monomial: Monomial | None, closing: tuple = ()) -> Program:
        """The program with these results, ``h0`` among its inputs unless it is averaged out."""
        inputs, before = self.program.inputs, ()
        if monomial is None:
            inputs = (*inputs[: self.place], symbols("h0"), *inputs[self.place :])
            if self.origin != 0:
                before = ((self.variable, symbols("h0") - self.origin),)
        return replace(self.program, inputs=inputs, results=results, closing=(*self.program.closing, *before, *closing))


def summed(terms: Terms, order: int, monomial: Monomial | None = None) -> Program:
    """``Σ_{w ≤ order} c[w, i] x^i``."""
    return terms.finished((terms.value(lambda w: w <= order, monomial),), monomial)


def resummed(terms: Terms, order: int, monomial: Monomial | None = None) -> Program:
    """The Padé approximant of the terms of weight ``≤ order``; see `normalforms.forms.series.pade`."""
    steps: list[tuple[sp.Symbol, sp.Expr]] = []
    values = []
    for w in terms.weights():
        if w <= order:
            values.append(sp.Symbol(f"u{w}", real=True))
            steps.append((values[-1], terms.value(lambda v, w=w: v == w, monomial)))
    more, found = assignments(values, "pade_")
    return terms.finished((found,), monomial, (*steps, *more))


def centred(offset: sp.Expr, centre: sp.Expr, moment: Moment, k: int) -> sp.Expr:
    """``⟨(h0 − centre − offset)^k⟩`` from exact moments about ``centre``; the offset is small near the bifurcation."""
    if offset == 0:
        return moment(k, centre)
    return sp.Add(*(sp.binomial(k, j) * moment(j, centre) * (-offset) ** (k - j) for j in range(k + 1)))


def _polynomial(coefficients: Series, x: sp.Expr) -> sp.Expr:
    """``Σ coefficients[k] xᵏ`` by Horner, in the largest power of ``x`` that all exponents share."""
    if not coefficients:
        return sp.Integer(0)
    low = min(coefficients)
    stride = int(reduce(sp.igcd, (k - low for k in coefficients), 0)) or 1
    count = (max(coefficients) - low) // stride + 1
    dense = [coefficients.get(low + stride * i, sp.Integer(0)) for i in range(count)]
    return x**low * horner(dense, x**stride)


def multiply(a: Series, b: Series, order: int) -> Series:
    """The product of two series through ``order``."""
    out: dict[int, list[sp.Expr]] = {}
    for i, u in a.items():
        for j, v in b.items():
            if i + j <= order:
                out.setdefault(i + j, []).append(u * v)
    return {k: sp.Add(*terms) for k, terms in sorted(out.items())}


def named(series: Series, name: str, into: list[tuple[sp.Symbol, sp.Expr]]) -> Series:
    """The series with each coefficient assigned to a symbol ``name<k>``."""
    out = {}
    for k, expr in series.items():
        out[k] = sp.Symbol(f"{name}{k}", real=True)
        into.append((out[k], expr))
    return out
