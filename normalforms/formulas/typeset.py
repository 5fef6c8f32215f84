"""LaTeX that fits on a page: long expressions by powers of ``h0``, with abbreviations, on lines of their own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

import sympy as sp

__all__ = ["Equations", "typeset", "typeset_equations"]

Equations = tuple[tuple[Any, Any], ...]
"""Left and right sides."""

_SHORT = 240
_LINE = 150
_OFTEN = 3
_WIDE = 120

Line = tuple[str, sp.Expr]


def typeset(expr: sp.Expr, variable: sp.Symbol | None = None) -> str:
    """LaTeX of an expression; a long one as an aligned environment of its coefficients and abbreviations.

    Powers ``bᵀ`` with a symbolic exponent and denominators that occur often get names.

    Args:
        expr: the expression.
        variable: a long polynomial in it is written as ``Σ variable^k A_k``.

    >>> g, h, T = sp.symbols("g h T")
    >>> print(typeset(h**2 / (g - 1)))
    \\frac{h^{2}}{g - 1}
    """
    plain = sp.latex(_tidy(expr, symbolic=True))
    if len(plain) <= _SHORT or expr.has(sp.Sum, sp.Integral):
        return plain
    expr = _tidy(expr)
    head, lines = _by_power(expr, variable)
    short, names = _abbreviate([head, *(e for _, e in lines)])
    named = [(name, e) for (name, _), e in zip(lines, short[1:], strict=True)]
    return _aligned([("", short[0]), *named, *((sp.latex(s), e) for s, e in names)])


def typeset_equations(equations: Iterable[tuple[sp.Basic, sp.Basic]]) -> str:
    """LaTeX of equations, left and right sides, on lines of their own.

    >>> x, y = sp.symbols("x y")
    >>> print(typeset_equations([(y, x**2)]))
    \\begin{aligned}
    y &= x^{2}
    \\end{aligned}
    """
    return _aligned([(sp.latex(left), right) for left, right in equations])


def _tidy(expr: sp.Expr, symbolic: bool = False) -> sp.Expr:
    """``(−g)^{2T}`` as ``g^{2T}``, and unless only symbolic exponents are meant ``(1 − g)ᵏ`` as ``(−1)ᵏ (g − 1)ᵏ``."""

    def even(base: sp.Expr, exponent: sp.Expr) -> sp.Expr:
        sign = -1 if exponent.is_odd else 1
        return sign * sp.Pow(sp.expand(-base), exponent)

    def negative(e: sp.Basic) -> bool:
        if symbolic and e.is_Pow and not e.exp.free_symbols:
            return False
        return e.is_Pow and e.exp.is_integer and e.exp.is_even is not None and e.base.could_extract_minus_sign()

    return expr.replace(negative, lambda e: even(*e.args)) if expr.has(sp.Pow) else expr


def _by_power(expr: sp.Expr, variable: sp.Symbol | None) -> tuple[sp.Expr, list[Line]]:
    if variable is None or not expr.has(variable):
        return expr, []
    rows: dict[int, list[sp.Expr]] = {}
    for term in sp.Add.make_args(expr):
        coefficient, power = term.as_independent(variable, as_Add=False)
        base, exponent = power.as_base_exp()
        if base not in (variable, 1) or not exponent.is_Integer:
            return expr, []
        rows.setdefault(int(exponent) if base == variable else 0, []).append(coefficient)
    if len(rows) < 2:
        (power, terms) = next(iter(rows.items()))
        return sp.Add(*(variable**power * t for x in terms for t in sp.Add.make_args(x))), []
    symbols = {k: sp.Symbol(f"A_{k}") for k in rows}
    head = sp.Add(*(variable**k * s for k, s in symbols.items()))
    return head, [(sp.latex(symbols[k]), sp.Add(*rows[k])) for k in sorted(rows)]


def _abbreviate(exprs: list[sp.Expr]) -> tuple[list[sp.Expr], list[tuple[sp.Symbol, sp.Expr]]]:
    """``E = bᵀ`` for each base with a symbolic exponent, ``d_i`` for each denominator that occurs often,
    ``n_i`` for each factor wider than a line."""
    names: list[tuple[sp.Symbol, sp.Expr]] = []
    powers = {p for e in exprs for p in e.atoms(sp.Pow) if p.exp.free_symbols and p.exp.is_integer}
    swap: dict[sp.Basic, sp.Expr] = {}
    roots = sorted({(p.base, p.exp.as_coeff_Mul()[1]) for p in powers}, key=sp.default_sort_key)
    for i, (base, exponent) in enumerate(roots):
        name = sp.Symbol("E" if len(roots) == 1 else f"E_{i + 1}")
        names.append((name, base**exponent))
        swap |= {p: name ** p.exp.as_coeff_Mul()[0] for p in powers if p.base == base and p.exp.has(exponent)}
    named = [e.xreplace(swap) for e in exprs]
    counts = Counter(p.base for e in named for p in _denominators(e))
    often = [b for b, n in counts.items() if n >= _OFTEN]
    often.sort(key=lambda b: (sp.total_degree(b), sp.default_sort_key(b)))
    short = {b: sp.Symbol(f"d_{i + 1}") for i, b in enumerate(often)}
    slim = [e.replace(lambda p: p.is_Pow and p.base in short, lambda p: short[p.base] ** p.exp) for e in named]
    wide = dict.fromkeys(f for e in slim for f in _factors(e) if len(sp.latex(f)) > _WIDE)
    tops = {f: sp.Symbol(f"n_{i + 1}") for i, f in enumerate(wide)}
    names += [*((s, f) for f, s in tops.items()), *((s, b) for b, s in short.items())]
    return [e.xreplace(tops) for e in slim], names


def _factors(expr: sp.Expr) -> Iterator[sp.Expr]:
    """The sums among the factors of the terms of a sum."""
    terms = sp.Add.make_args(expr)
    for factor in (f for t in terms if len(terms) > 1 for f in sp.Mul.make_args(t)):
        if factor.is_Add:
            yield factor


def _denominators(expr: sp.Expr) -> Iterator[sp.Pow]:
    for p in sp.preorder_traversal(expr):
        if p.is_Pow and p.base.is_Add and p.exp.is_Integer and p.exp < 0:
            yield p


def _aligned(lines: list[Line]) -> str:
    rows = [row for line in lines for row in _broken(*line)]
    return _environment([*rows, *_definitions(e for _, e in lines)])


def _environment(rows: list[str]) -> str:
    return "\\begin{aligned}\n" + " \\\\\n".join(rows) + "\n\\end{aligned}"


def _broken(name: str, expr: sp.Expr) -> Iterator[str]:
    """``name &= expr``, continued on further rows where it is long."""
    row = f"{name} &= " if name else "& "
    parts = [sp.latex(expr)]
    if len(parts[0]) > _LINE and expr.is_Add:
        parts = [sp.latex(term) for term in expr.as_ordered_terms()]
    filled = 0
    for i, part in enumerate(parts):
        if filled and filled + len(part) > _LINE:
            yield row
            row, filled = r"&\quad ", 0
        sign = "" if i == 0 or part.startswith("-") else "+ "
        row += f"{' ' if filled else ''}{sign}{part}"
        filled += len(part)
    yield row


def _definitions(exprs: Iterable[sp.Expr]) -> list[str]:
    """What the package's own special functions are."""
    used = {type(f) for e in exprs for f in e.atoms(sp.Function)}
    return sorted({text for f in used if (text := getattr(f, "definition", ""))})
