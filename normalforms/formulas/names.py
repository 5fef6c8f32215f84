"""Names that a program's symbols may have in each language that it is printed in."""

from __future__ import annotations

import keyword
import re

import sympy as sp

from normalforms.formulas.program import Program

__all__ = ["with_plain_names"]

_C = """
auto break case char const continue default do double else enum extern float for goto if inline int long register
restrict return short signed sizeof static struct switch typedef union unsigned void volatile while main out
exp expm1 log log1p pow sqrt cbrt sin cos tan asin acos atan atan2 sinh cosh tanh asinh acosh atanh erf fabs fmax
fmin gamma lgamma tgamma j0 j1 jn y0 y1 yn signgam
"""
_JULIA = """
baremodule begin break catch const continue do else elseif end export false finally for function global if import let
local macro module quote return struct true try using while pi im float abs exp expm1 log log1p sqrt sin cos tan sinh
cosh tanh asinh atan sign
"""
_PYTHON = {*keyword.kwlist, "math", "abs", "range", "min", "max"}
_RESERVED = {
    "python": _PYTHON,
    "numpy": _PYTHON | {"numpy"},
    "jax": _PYTHON | {"jax", "zero", "turn", "turns", "carry"},
    "mpmath": _PYTHON | {"mpmath"},
    "c": set(_C.split()),
    "julia": set(_JULIA.split()),
}
_HELPER = re.compile(r"(expmoment|clifford)(\d+|m1)")


def with_plain_names(program: Program, language: str, name: str) -> Program:
    """``program`` with symbols that are distinct ASCII identifiers, none of them in use in the language.

    So no symbol, whatever it is called, can become more than a variable of the generated source.

    Args:
        program: what will be printed.
        language: one of those of `normalforms.formulas.printing.render`.
        name: of the function.

    >>> x = sp.Symbol("lambda")
    >>> with_plain_names(Program((x,), (x**2,)), "python", "law").inputs
    (lambda_,)
    """
    taken, new = {name, *_RESERVED[language]}, {}
    for symbol in program.symbols():
        plain = re.sub(r"\W", "_", symbol.name, flags=re.ASCII) or "v"
        plain = plain if plain[0].isalpha() else f"v{plain}"
        while plain in taken or _HELPER.fullmatch(plain):
            plain += "_"
        taken.add(plain)
        if plain != symbol.name:
            new[symbol] = sp.Symbol(plain, real=True, integer=symbol.is_integer)
    return program.renamed(new) if new else program
