"""Self-contained HTML reports: text, tables, figures and formulas in one file, without network or scripts."""

from __future__ import annotations

import base64
import html
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import sympy as sp

__all__ = ["figure", "formula", "page", "paragraph", "points", "section", "table"]

_STYLE = """
:root { color-scheme: light dark; --ink: #1a1a1a; --soft: #444; --line: #ccc; --paper: #fff; }
@media (prefers-color-scheme: dark) { :root { --ink: #e8e8e8; --soft: #b8b8b8; --line: #555; --paper: #16181b; } }
body { font: 17px/1.55 Georgia, 'Times New Roman', serif; max-width: 66rem; margin: 2.5rem auto;
       padding: 0 1.5rem; color: var(--ink); background: var(--paper); overflow-wrap: anywhere; }
h1 { font-size: 2rem; line-height: 1.2; margin-bottom: .3rem; }
h2 { margin-top: 2.6rem; border-bottom: 1px solid var(--line); padding-bottom: .2rem; }
.lead { font-size: 1.15rem; }
.wide { overflow-x: auto; }
.wide:focus-visible { outline: 2px solid #0072B2; outline-offset: 2px; }
table { border-collapse: collapse; margin: 1rem 0; font-size: .92rem; }
th, td { text-align: left; padding: .35rem .9rem .35rem 0; border-bottom: 1px solid var(--line);
         vertical-align: top; overflow-wrap: normal; }
td { font-variant-numeric: tabular-nums; }
figure { margin: 1.2rem 0; } figure img { max-width: 100%; height: auto; background: #fff; }
figcaption { font-size: .92rem; color: var(--soft); }
math[display=block] { margin: 1rem 0; font-size: 1.15rem; overflow-x: auto; }
@media (max-width: 40rem) {
  body { margin: 1rem auto; padding: 0 .8rem; font-size: 16px; } h1 { font-size: 1.5rem; }
  figure img { max-width: none; width: 44rem; }
}
@media print { :root { --ink: #000; --soft: #333; --line: #999; --paper: #fff; } figure, tr { break-inside: avoid; }
  .wide { overflow: visible; } figure img { max-width: 100%; width: auto; } }
"""


def page(title: str, lead: str, body: Sequence[str]) -> str:
    """A whole HTML document of sections."""
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{html.escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        f'<main>\n<h1>{html.escape(title)}</h1>\n<p class="lead">{html.escape(lead)}</p>\n'
        + "\n".join(body)
        + "\n</main>\n</body>\n</html>\n"
    )


def points(texts: Sequence[str]) -> str:
    """A list of plain texts, escaped."""
    return "<ul>\n" + "\n".join(f"<li>{html.escape(text)}</li>" for text in texts) + "\n</ul>" if texts else ""


def section(title: str, *parts: str) -> str:
    """A heading and what stands below it."""
    return f"<h2>{html.escape(title)}</h2>\n" + "\n".join(parts)


def paragraph(text: str) -> str:
    """Plain text, escaped."""
    return f"<p>{html.escape(text)}</p>"


def table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """A table; floats are shown to four significant digits."""
    cells = "".join(f'<th scope="col">{html.escape(name)}</th>' for name in head)
    lines = ["<tr>" + "".join(f"<td>{html.escape(_cell(v))}</td>" for v in row) + "</tr>" for row in rows]
    return _wide(f"table of {', '.join(head)}", f"<table>\n<tr>{cells}</tr>\n" + "\n".join(lines) + "\n</table>")


def _wide(name: str, inner: str) -> str:
    """A box that scrolls where its content is wider than the page, and that the keyboard can reach."""
    return f'<div class="wide" tabindex="0" role="region" aria-label="{html.escape(name, quote=True)}">{inner}</div>'


def _cell(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def figure(image: bytes, caption: str) -> str:
    """An inlined PNG, with its caption also as alternative text."""
    data = base64.b64encode(image).decode()
    text = html.escape(caption, quote=True)
    drawn = _wide("figure", f'<img alt="{text}" src="data:image/png;base64,{data}">')
    return f"<figure>{drawn}<figcaption>{text}</figcaption></figure>"


def formula(left: sp.Expr, right: sp.Expr) -> str:
    """An equation as presentation MathML."""
    from normalforms.report.mathml import equation  # here, so that a page without formulas needs no SymPy

    return equation(left, right)
