"""Self-contained HTML reports: text, tables, figures and formulas in one file that asks nothing of a network.

Everything is said without a script. One of our own, in the same file, lets readers look closer at the panels.
"""

from __future__ import annotations

import html
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from normalforms.report.panels import Panel

if TYPE_CHECKING:
    import sympy as sp

__all__ = ["copied", "figure", "formula", "page", "paragraph", "points", "section", "table"]

_STYLE = """
:root { color-scheme: light dark; --ink: #1a1a1a; --soft: #444; --line: #ccc; --paper: #fff; --mark: #0072B2; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e8e8e8; --soft: #b8b8b8; --line: #555; --paper: #16181b; --mark: #56B4E9; }
}
body { font: 17px/1.55 Georgia, 'Times New Roman', serif; max-width: 66rem; margin: 2.5rem auto;
       padding: 0 1.5rem; color: var(--ink); background: var(--paper); overflow-wrap: anywhere; }
h1 { font-size: 2rem; line-height: 1.2; margin-bottom: .3rem; }
h2 { margin-top: 2.6rem; border-bottom: 1px solid var(--line); padding-bottom: .2rem; }
.lead { font-size: 1.15rem; }
.wide { overflow-x: auto; }
:focus-visible { outline: 2px solid var(--mark); outline-offset: 2px; }
table { border-collapse: collapse; margin: 1rem 0; font-size: .92rem; }
th, td { text-align: left; padding: .35rem .9rem .35rem 0; border-bottom: 1px solid var(--line);
         vertical-align: top; overflow-wrap: normal; }
td { font-variant-numeric: tabular-nums; }
figure { margin: 1.2rem 0; }
.panels { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 22rem), 1fr)); gap: .6rem 1.2rem; }
.panel { position: relative; max-width: 34rem; break-inside: avoid; }
.panel svg { width: 100%; height: auto; display: block; touch-action: pan-y; }
.panel svg { fill: currentColor; } .panel svg * { stroke-linejoin: round; stroke-linecap: butt; }
.panel output { display: block; min-height: 1.4em; font: .8rem/1.4 system-ui, sans-serif; color: var(--soft); }
.cursor { stroke: var(--soft); stroke-dasharray: 3 3; pointer-events: none; }
.spot { fill: none; stroke: var(--mark); stroke-width: 2; pointer-events: none; }
.tools { position: absolute; top: 0; right: 0; opacity: 0; }
.panel:hover .tools, .panel:focus-within .tools { opacity: 1; }
button { font: .8rem system-ui, sans-serif; color: var(--ink); background: var(--paper); border: 1px solid var(--soft);
         border-radius: .25rem; min-width: 1.9rem; min-height: 1.9rem; cursor: pointer; }
pre { font-size: .8rem; max-height: 16rem; overflow: auto; white-space: pre; border: 1px solid var(--line);
      padding: .5rem; }
figcaption { font-size: .92rem; color: var(--soft); }
math[display=block] { margin: 1rem 0; font-size: 1.15rem; overflow-x: auto; }
@media (max-width: 40rem) {
  body { margin: 1rem auto; padding: 0 .8rem; font-size: 16px; } h1 { font-size: 1.5rem; }
}
@media print { :root { --ink: #000; --soft: #333; --line: #999; --paper: #fff; } tr { break-inside: avoid; }
  .wide, math[display=block] { overflow: visible; } .tools, output, button, details { display: none; }
  .panels { grid-template-columns: 1fr 1fr; } }
"""


def page(title: str, lead: str, body: Sequence[str]) -> str:
    """A whole HTML document of sections."""
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{html.escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        f'<main>\n<h1>{html.escape(title)}</h1>\n<p class="lead">{html.escape(lead)}</p>\n'
        + "\n".join(body)
        + f"\n</main>\n<script>{_script()}</script>\n</body>\n</html>\n"
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


def figure(panels: Sequence[Panel], caption: str) -> str:
    """The panels of a figure, each for itself, with what is seen as alternative text, and their numbers to copy."""
    drawn = "\n".join(_panel(panel) for panel in panels)
    numbers = "\n\n".join(text for panel in panels if (text := _csv(panel)))
    data = copied("The numbers drawn, at most 240 of each curve", numbers) if numbers else ""
    text = html.escape(caption)
    return f'<figure><div class="panels">\n{drawn}\n</div><figcaption>{text}</figcaption>{data}</figure>'


def copied(title: str, text: str) -> str:
    """A folded block of text to copy: numbers, or a formula as code."""
    return f'<details><summary>{html.escape(title)}</summary><pre tabindex="0">{html.escape(text)}</pre></details>'


def _panel(panel: Panel) -> str:
    series = [
        {"name": s.name, "values": s.values.tolist(), "pixels": [[round(v, 1) for v in p] for p in s.pixels.tolist()]}
        for s in panel.series
    ]
    facts = {"x": panel.x, "y": panel.y, "box": [round(v, 1) for v in panel.box], "series": series}
    # no text of ours may end the element that holds it
    data = json.dumps(facts, separators=(",", ":")).replace("<", "\\u003c")
    name = html.escape(panel.title or f"{panel.y} against {panel.x}", quote=True)
    drawing = panel.svg.replace("<svg ", f'<svg role="img" aria-label="{html.escape(panel.says, quote=True)}" ', 1)
    return (
        f'<div class="panel" tabindex="0" role="group" aria-label="{name}">{drawing}'
        f'<output aria-live="polite"></output><script type="application/json">{data}</script></div>'
    )


def _csv(panel: Panel) -> str:
    """The numbers of a panel, a line each, under the labels of its axes."""
    lines = [f"{_quoted(s.name)},{x:.7g},{y:.7g}" for s in panel.series for x, y in s.values]
    return "\n".join([f"curve,{_quoted(panel.x or 'x')},{_quoted(panel.y or 'y')}", *lines]) if lines else ""


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"' if set(text) & set(',"\n') else text


def _script() -> str:
    return Path(__file__).with_name("page.js").read_text("utf-8")


def formula(left: sp.Expr, right: sp.Expr) -> str:
    """An equation as presentation MathML."""
    from normalforms.report.mathml import equation  # here, so that a page without formulas needs no SymPy

    return equation(left, right)
