"""Self-contained HTML reports: text, tables, figures and formulas in one file, without network or scripts."""

from __future__ import annotations

import base64
import html
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import sympy as sp

__all__ = ["figure", "formula", "page", "paragraph", "section", "table"]

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


def figure(image: bytes, caption: str) -> str:
    """An inlined PNG, with its caption also as alternative text."""
    data = base64.b64encode(image).decode()
    text = html.escape(caption, quote=True)
    return f'<figure><img alt="{text}" src="data:image/png;base64,{data}"><figcaption>{text}</figcaption></figure>'


def formula(left: sp.Expr, right: sp.Expr) -> str:
    """An equation as presentation MathML."""
    from normalforms.report.mathml import equation  # here, so that a page without formulas needs no SymPy

    return equation(left, right)
