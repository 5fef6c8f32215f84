"""Canonical forms: expressions as sums of monomials with rational coefficients, to be compared as mathematics.

What is not rational, ``gᵀ, log x, √x, π, Σ_t …``, becomes a generator named after its own canonical form, so
that an expression is a polynomial in the generators that only occur in numerators over the field of rational
functions of the others. Two expressions in the same generators are equal if and only if their canonical forms
are; relations between generators (``log 2x = log 2 + log x``) are not known, and the reciprocal of a sum with
functions in it is a generator too.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import sympy as sp

__all__ = ["Canonical", "canonical", "read_canonical"]

Ratio = tuple[sp.Poly, sp.Poly]

_SMALL = 150  # operations up to which a quotient in several variables is worth a greatest common divisor


@dataclass(frozen=True)
class Canonical:
    """``Σ monomial · numerator/denominator``.

    Args:
        terms: the coefficients by monomial, the denominator monic; coprime in one variable and where small.

    >>> g, h = sp.symbols("g h")
    >>> canonical(h**2 * (g + 1) / (g**2 - 1) + h).as_json()
    {'h': '1', 'h**2': '(1) / (g - 1)'}
    """

    terms: Mapping[str, Ratio]

    def as_json(self) -> dict[str, str]:
        """Monomials and coefficients as text, ``numerator`` or ``(numerator) / (denominator)``."""
        return {monomial: _ratio_text(ratio) for monomial, ratio in sorted(self.terms.items())}

    def differences(self, other: Canonical) -> list[str]:
        """One line for each monomial whose coefficients differ, this one's first; empty where both are equal."""
        lines = []
        for monomial in sorted({*self.terms, *other.terms}):
            mine, yours = self.terms.get(monomial), other.terms.get(monomial)
            if mine is None or yours is None or not (mine[0] * yours[1] - yours[0] * mine[1]).is_zero:
                before, after = ("absent" if r is None else _ratio_text(r) for r in (mine, yours))
                lines.append(f"coefficient of {monomial}: {before}  →  {after}")
        return lines


def canonical(expr: Any) -> Canonical:
    """The canonical form of an expression with exact numbers.

    Args:
        expr: a SymPy expression; decimals count as the rational numbers that they print as.

    >>> T, g = sp.Symbol("T", integer=True), sp.Symbol("g", real=True)
    >>> canonical((g ** (2 * T) - 1) / (g**T - 1)).differences(canonical(1 + g**T))
    []
    """
    radicals: dict[sp.Symbol, tuple[sp.Expr, int]] = {}
    flat = sp.expand(_flatten(sp.sympify(expr), radicals))
    flat = sp.expand(flat.replace(lambda e: e.is_Pow and e.base in radicals, lambda e: _reduced(e, radicals)))
    while True:
        ratios, below = _grouped(flat)
        left = {s for _, (_, bottom) in ratios.values() for s in bottom.free_symbols}
        if left == below:
            return Canonical({name: ratio for name, (_, ratio) in ratios.items() if not ratio[0].is_zero})
        flat = sp.expand(sp.Add(*(m * top.as_expr() / bottom.as_expr() for m, (top, bottom) in ratios.values())))


def _grouped(flat: sp.Expr) -> tuple[dict[str, tuple[sp.Expr, Ratio]], set[sp.Symbol]]:
    """Coefficients by monomial in the symbols that stand in no denominator, and the symbols that do."""
    terms = [_split(term) for term in sp.Add.make_args(flat)]
    below = {s for _, bottom, _ in terms for s in bottom.free_symbols}
    groups: dict[str, list[sp.Expr]] = {}
    monomials: dict[str, sp.Expr] = {}
    for number, bottom, powers in terms:
        outside = {s: k for s, k in powers.items() if s not in below}
        inside = sp.Mul(*(s**k for s, k in powers.items() if s in below))
        name = _monomial(outside)
        monomials[name] = sp.Mul(*(s**k for s, k in outside.items()))
        groups.setdefault(name, []).append(number * inside / bottom)
    gens = sorted(below, key=str) or [sp.Symbol("1")]
    return {m: (monomials[m], _ratio(sp.Add(*parts), gens)) for m, parts in groups.items()}, below


def read_canonical(terms: Mapping[str, str]) -> Canonical:
    """The canonical form that `Canonical.as_json` wrote. Nothing in it is evaluated.

    Raises:
        ValueError: text that is no such form.
    """
    return Canonical({monomial: _read_ratio(text) for monomial, text in terms.items()})


def _split(term: sp.Expr) -> tuple[sp.Expr, sp.Expr, dict[sp.Symbol, int]]:
    """Number, denominator that is no monomial, and powers of symbols."""
    number, bottom, powers = sp.Integer(1), sp.Integer(1), {}
    for factor in sp.Mul.make_args(term):
        base, exponent = factor.as_base_exp()
        if base.is_Symbol:
            powers[base] = powers.get(base, 0) + int(exponent)
        elif base.is_Number:
            number *= factor
        else:
            bottom *= base**-exponent
    return number, bottom, powers


def _ratio(expr: sp.Expr, gens: list[sp.Symbol]) -> Ratio:
    together = sp.together(expr)
    small = len(gens) == 1 or sp.count_ops(together) < _SMALL
    top, bottom = sp.fraction(sp.cancel(together) if small else together)
    top, bottom = sp.Poly(top, *gens, domain="QQ"), sp.Poly(bottom, *gens, domain="QQ")
    lead = bottom.LC()
    return top.mul_ground(1 / lead), bottom.mul_ground(1 / lead)


# --- generators -----------------------------------------------------------------------------------------------


def _flatten(e: sp.Expr, radicals: dict[sp.Symbol, tuple[sp.Expr, int]]) -> sp.Expr:
    """The expression with every kernel replaced by a symbol that carries the kernel's canonical text."""
    if e.is_Rational:
        return e
    if e.is_Symbol:
        return sp.Symbol(e.name)  # its assumptions have done their work
    if e.is_Float:
        return sp.Rational(str(e))
    if e.is_Add or e.is_Mul:
        return e.func(*(_flatten(a, radicals) for a in e.args))
    if isinstance(e, (sp.sinh, sp.cosh, sp.tanh)):
        return _flatten(e.rewrite(sp.exp), radicals)
    if isinstance(e, sp.exp):
        return _exponential(e.args[0], radicals)
    if e.is_Pow:
        return _power(e.base, e.exp, radicals)
    name = e.func.__name__ if e.args else str(e)
    return sp.Symbol(f"[{name}({', '.join(_text(a) for a in e.args)})]" if e.args else f"[{name}]")


def _exponential(argument: sp.Expr, radicals: Any) -> sp.Expr:
    if argument.is_Add:
        return sp.Mul(*(_exponential(a, radicals) for a in argument.args))
    logs = [f for f in sp.Mul.make_args(argument) if isinstance(f, sp.log)]
    if len(logs) == 1:
        return _flatten(sp.Pow(logs[0].args[0], argument / logs[0]), radicals)
    turn = argument / (sp.I * sp.pi)
    if not turn.has(sp.I):
        return _flatten((-1) ** turn, radicals)
    number, rest = argument.as_coeff_Mul()
    if not number.is_Integer:
        number, rest = sp.Integer(number.p), rest / number.q
    return sp.Symbol(f"[exp({_text(rest)})]") ** number


def _power(base: sp.Expr, exponent: sp.Expr, radicals: Any) -> sp.Expr:
    if exponent.is_Integer:
        flat = _flatten(base, radicals)
        if exponent > 0 or not base.is_Add or not any(_transcendental(s) for s in flat.free_symbols):
            return flat**exponent
        form = canonical(base)
        size = form.terms[min(form.terms)][0].LC()
        return (sp.Symbol(f"[1/({_text(base / size)})]") / size) ** -exponent
    if exponent.is_Add:
        return sp.Mul(*(_flatten(base**a, radicals) for a in exponent.args))
    number, rest = exponent.as_coeff_Mul()
    if exponent.is_Rational:
        root = sp.Symbol(f"[({_text(base)})**(1/{number.q})]")
        radicals[root] = _flatten(base, radicals), int(number.q)
        return root**number.p
    if base.could_extract_minus_sign():
        return _flatten((-1) ** exponent, radicals) * _power(-base, exponent, radicals) if base != -1 else _sign(rest)
    return sp.Symbol(f"[({_text(base)})**({_text(rest)})]") ** number


def _transcendental(symbol: sp.Symbol) -> bool:
    """Whether it stands for a function or a root: sums of those in a denominator are generators themselves."""
    return symbol.name.startswith("[") and not re.fullmatch(r"\[\(\w+\)\*\*\(\w+\)\]", symbol.name)


def _sign(exponent: sp.Expr) -> sp.Expr:
    return sp.Symbol(f"[(-1)**({_text(exponent)})]")


def _reduced(power: sp.Expr, radicals: dict[sp.Symbol, tuple[sp.Expr, int]]) -> sp.Expr:
    """``rᵏ`` of a root r of order q, ``k`` brought between 0 and q."""
    base, q = radicals[power.base]
    whole, rest = divmod(int(power.exp), q)
    return base**whole * power.base**rest


# --- text -----------------------------------------------------------------------------------------------------


def _text(expr: Any) -> str:
    """Canonical text of an argument, or of the bounds of a sum."""
    if isinstance(expr, sp.Tuple):
        return ", ".join(_text(a) for a in expr)
    parts = canonical(expr).as_json().items()
    return " + ".join(c if m == "1" else m if c == "1" else f"{{{c}}} {m}" for m, c in parts) or "0"


def _monomial(powers: Mapping[sp.Symbol, int]) -> str:
    parts = [s.name if k == 1 else f"{s.name}**{k}" for s, k in sorted(powers.items(), key=str) if k]
    return "*".join(parts) or "1"


def _poly_text(p: sp.Poly) -> str:
    parts = []
    for powers, c in p.terms():
        monomial = _monomial(dict(zip(p.gens, map(int, powers), strict=True)))
        size = str(abs(c)) if monomial == "1" else monomial if abs(c) == 1 else f"{abs(c)}*{monomial}"
        parts.append(f"{'-' if c < 0 else '+'} {size}")
    sign, first = parts[0][0], parts[0][2:]
    return " ".join([f"-{first}" if sign == "-" else first, *parts[1:]])


def _ratio_text(ratio: Ratio) -> str:
    top, bottom = ratio
    return _poly_text(top) if bottom.is_one else f"({_poly_text(top)}) / ({_poly_text(bottom)})"


def _outside_brackets(text: str, separator: str) -> list[str]:
    """Split where the separator stands outside all brackets."""
    parts, depth, last, i = [], 0, 0, 0
    while i < len(text):
        depth += (text[i] in "[{(") - (text[i] in "]})")
        if depth == 0 and text.startswith(separator, i):
            parts.append(text[last:i])
            last = i = i + len(separator)
        else:
            i += 1
    return [*parts, text[last:]]


def _read_ratio(text: str) -> Ratio:
    top, *bottom = _outside_brackets(text, " / ")
    if len(bottom) > 1:
        raise ValueError(f"{text!r} is no quotient of two polynomials")
    value = [_read_poly(part.removeprefix("(").removesuffix(")")) for part in (top, *(bottom or ["1"]))]
    gens = sorted({s for p in value for s in p.free_symbols}, key=str) or [sp.Symbol("1")]
    top_poly, bottom_poly = (sp.Poly(p, *gens, domain="QQ") for p in value)
    return top_poly, bottom_poly


def _read_poly(text: str) -> sp.Expr:
    total, text = [], text.strip()
    for i, plus in enumerate(_outside_brackets(text.removeprefix("-"), " + ")):
        for j, part in enumerate(_outside_brackets(plus, " - ")):
            negative = text.startswith("-") if i == j == 0 else j > 0
            total.append(-_read_monomial(part) if negative else _read_monomial(part))
    return sp.Add(*total)


_BASE = re.compile(r"\d+(/\d+)?|[^\W\d]\w*")
_POWER = re.compile(r"\*\*(\d+)")


def _read_monomial(text: str) -> sp.Expr:
    product, i = sp.Integer(1), 0
    if not text:
        raise ValueError("a coefficient is empty")
    while i < len(text):
        found = _BASE.match(text, i)
        end = _closing(text, i) if text[i] == "[" else found.end() if found else i
        base = text[i:end]
        if not base or (i and text[i - 1] != "*"):
            raise ValueError(f"{text!r} is no product of numbers and powers of names")
        power = _POWER.match(text, end)
        value = sp.Rational(base) if base[0].isdigit() else sp.Symbol(base)
        product *= value ** int(power[1]) if power else value
        i = (power.end() if power else end) + 1
    return product


def _closing(text: str, start: int) -> int:
    depth = 0
    for i in range(start, len(text)):
        depth += (text[i] in "[{(") - (text[i] in "]})")
        if depth == 0:
            return i + 1
    raise ValueError(f"{text!r} has a bracket that does not close")
