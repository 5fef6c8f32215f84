"""Self-contained HTML reports: text, tables, figures and formulas in one file, without network or scripts."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Sequence
from typing import Any

import sympy as sp
from matplotlib.figure import Figure
from sympy.core.function import AppliedUndef
from sympy.printing.mathml import MathMLPresentationPrinter

__all__ = ["figure", "formula", "page", "paragraph", "png", "section", "table"]

_STYLE = """
:root { color-scheme: light; }
body { font: 17px/1.55 Georgia, 'Times New Roman', serif; max-width: 66rem; margin: 2.5rem auto;
       padding: 0 1.5rem; color: #1a1a1a; background: #fff; }
h1 { font-size: 2rem; line-height: 1.2; margin-bottom: .3rem; }
h2 { margin-top: 2.6rem; border-bottom: 1px solid #ccc; padding-bottom: .2rem; }
table { border-collapse: collapse; margin: 1rem 0; font-size: .92rem; }
th, td { text-align: left; padding: .35rem .9rem .35rem 0; border-bottom: 1px solid #ddd; vertical-align: top; }
td { font-variant-numeric: tabular-nums; }
figure { margin: 1.2rem 0; } figure img { max-width: 100%; height: auto; }
figcaption { font-size: .92rem; color: #444; }
math[display=block] { margin: 1rem 0; font-size: 1.15rem; }
"""


def page(title: str, lead: str, body: Sequence[str]) -> str:
    """A whole HTML document of sections."""
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{html.escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        f"<h1>{html.escape(title)}</h1>\n{paragraph(lead)}\n" + "\n".join(body) + "\n</body>\n</html>\n"
    )


def section(title: str, *parts: str) -> str:
    """A heading and what stands below it."""
    return f"<h2>{html.escape(title)}</h2>\n" + "\n".join(parts)


def paragraph(text: str) -> str:
    """Plain text, escaped."""
    return f"<p>{html.escape(text)}</p>"


def table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """A table; floats are shown to four significant digits."""
    cells = "".join(f"<th>{html.escape(name)}</th>" for name in head)
    lines = ["<tr>" + "".join(f"<td>{html.escape(_cell(v))}</td>" for v in row) + "</tr>" for row in rows]
    return f"<table>\n<tr>{cells}</tr>\n" + "\n".join(lines) + "\n</table>"


def _cell(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def png(drawing: Figure, dpi: float = 150) -> bytes:
    """A figure as PNG."""
    buffer = io.BytesIO()
    drawing.savefig(buffer, format="png", dpi=dpi)
    return buffer.getvalue()


def figure(image: bytes, caption: str) -> str:
    """An inlined PNG, with its caption also as alternative text."""
    data = base64.b64encode(image).decode()
    text = html.escape(caption, quote=True)
    return f'<figure><img alt="{text}" src="data:image/png;base64,{data}"><figcaption>{text}</figcaption></figure>'


def formula(left: sp.Expr, right: sp.Expr) -> str:
    """An equation as presentation MathML."""
    inner = _MathML().doprint(sp.Eq(left, right, evaluate=False))
    return f'<math xmlns="http://www.w3.org/1998/Math/MathML" display="block">{inner}</math>'


class _MathML(MathMLPresentationPrinter):
    """SymPy's printer, but the name of a function reads like that of a symbol: ``A_T(g)`` with a subscript."""

    def _print_AppliedUndef(self, e: AppliedUndef) -> Any:
        row = self.dom.createElement("mrow")
        row.appendChild(self._print(sp.Symbol(e.func.__name__)))
        row.appendChild(self.parenthesize(sp.Tuple(*e.args), 0))
        return row
