"""Equations as presentation MathML, which browsers typeset without a script."""

from __future__ import annotations

from typing import Any

import sympy as sp
from sympy.printing.mathml import MathMLPresentationPrinter

__all__ = ["equation"]


def equation(left: sp.Expr, right: sp.Expr) -> str:
    """``left = right`` as one displayed equation."""
    inner = _MathML().doprint(sp.Eq(left, right, evaluate=False))
    return f'<math xmlns="http://www.w3.org/1998/Math/MathML" display="block">{inner}</math>'


class _MathML(MathMLPresentationPrinter):
    """SymPy's printer, but the name of a function reads like that of a symbol: ``A_T(g)`` with a subscript."""

    def _print_AppliedUndef(self, e: Any) -> Any:
        row = self.dom.createElement("mrow")
        row.appendChild(self._print(sp.Symbol(e.func.__name__)))
        row.appendChild(self.parenthesize(sp.Tuple(*e.args), 0))
        return row
