"""Panels: each axes of a figure alone, as SVG that takes the page's ink, with the numbers that it shows."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:  # loading matplotlib takes longer than all else that a command's --help needs
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["Panel", "Series", "panels"]

_SIZE = (4.8, 3.5)
"""Inches: with letters of 10 points, readable on a screen 400 pixels wide."""
_SHOWN = 240
"""Points of a curve that a page keeps to look closer; the curve itself is drawn from all."""


@dataclass(frozen=True)
class Series:
    """A curve, or a cloud of points.

    Attributes:
        name: as the legend has it; empty where it has none.
        values: shape (count, 2), in the units of the axes.
        pixels: the same places in the drawing.
    """

    name: str
    values: np.ndarray
    pixels: np.ndarray


@dataclass(frozen=True)
class Panel:
    """One axes, drawn alone.

    Attributes:
        svg: the drawing, to stand within a page; ink is ``currentColor``.
        x: label of the horizontal axis.
        y: of the vertical axis.
        title: empty where there is none.
        box: left, top, width and height of the axes in the drawing.
        series: what is drawn, to at most 240 points each.
    """

    svg: str
    x: str
    y: str
    title: str
    box: tuple[float, float, float, float]
    series: tuple[Series, ...]

    @property
    def says(self) -> str:
        """What is seen, for those who do not see it."""
        told = [self.title] if self.title else []
        told.append(f"{self.y or 'value'} against {self.x or 'place'}" if self.x or self.y else "a drawing")
        for s in self.series[:6]:
            y = s.values[:, 1]
            top = int(np.argmax(y))
            if s.name and len(y) > 1:
                told.append(
                    f"{s.name}: from {y[0]:.3g} to {y[-1]:.3g}, between {y.min():.3g} and {y[top]:.3g},"
                    f" the largest at {s.values[top, 0]:.3g}"
                )
            elif s.name:
                told.append(f"{s.name} at ({s.values[0, 0]:.3g}, {y[0]:.3g})")
        return "; ".join(told)


def panels(figure: Figure, name: str) -> tuple[Panel, ...]:
    """Each axes of ``figure`` alone, at one size; the figure is taken apart for it.

    Args:
        figure: drawn, and not needed any more.
        name: unique in the page; the marks within a drawing are called after it.
    """
    import matplotlib as mpl  # here, so that a page without figures needs none

    axes = [ax for ax in figure.axes if ax.get_visible()]
    made = []
    # letters as letters, so that they are found, read aloud and set in the page's own size
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "normalforms"}):
        for k, ax in enumerate(axes):
            made.append(_alone(figure, axes, ax, f"{name}-{k + 1}"))
    return tuple(made)


def _alone(figure: Figure, axes: Sequence[Axes], shown: Axes, name: str) -> Panel:
    from matplotlib.gridspec import GridSpec  # as matplotlib itself

    for ax in axes:
        ax.set_visible(ax is shown)
        ax.set_in_layout(ax is shown)
    figure.set_size_inches(*_SIZE)
    figure.set_layout_engine("constrained")
    if shown.get_subplotspec() is not None:
        shown.set_subplotspec(GridSpec(1, 1, figure=figure)[0])
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None}, transparent=True)
    height = 72 * _SIZE[1]
    to_points = 72 / figure.dpi
    x0, y0, x1, y1 = (to_points * float(v) for v in shown.get_window_extent().extents)
    texts = shown.get_xlabel(), shown.get_ylabel(), shown.get_title() or shown.get_title(loc="left")
    return Panel(
        _inline(buffer.getvalue().decode(), name),
        *map(_plain, texts),
        (x0, height - y1, x1 - x0, y1 - y0),
        tuple(_series(shown, to_points, height)),
    )


def _series(ax: Axes, to_points: float, height: float) -> list[Series]:
    """What is drawn in the units of the axes, thinned to what a page keeps."""
    found = [
        (str(line.get_label()), np.asarray(line.get_xydata(), float))
        for line in ax.get_lines()
        if line.get_transform() == ax.transData
    ]
    found += [
        (str(cloud.get_label()), np.ma.filled(np.ma.asarray(cloud.get_offsets(), float), np.nan))
        for cloud in ax.collections
        if cloud.get_offset_transform() == ax.transData
    ]
    made = []
    for label, values in found:
        values = values[np.all(np.isfinite(values), axis=1)]
        if not len(values):
            continue
        if len(values) > _SHOWN:
            values = values[np.unique(np.linspace(0, len(values) - 1, _SHOWN).round().astype(int))]
        pixels = to_points * ax.transData.transform(values)
        pixels[:, 1] = height - pixels[:, 1]
        keep = np.all(np.isfinite(pixels), axis=1)
        if keep.any():
            made.append(Series("" if label.startswith("_") else _plain(label), values[keep], pixels[keep]))
    return made


def _plain(text: str) -> str:
    """A label without TeX's marks."""
    return re.sub(r"\\(?:mathrm|mathit|operatorname)?|[${}]", "", " ".join(text.split()))


def _inline(svg: str, name: str) -> str:
    """The drawing within a page: marks of its own, ink of the page, no size but its proportions."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>|<!--.*?-->", "", svg, flags=re.S)
    used = set(re.findall(r"(?:url\(#|href=\"#)([^)\"]+)", svg))
    svg = re.sub(r' id="([^"]*)"', lambda m: f' id="{name}-{m[1]}"' if m[1] in used else "", svg)
    svg = re.sub(r"(url\(#|href=\"#)([^)\"]+)", lambda m: f"{m[1]}{name}-{m[2]}", svg)
    svg = svg.replace("xlink:href", "href")
    svg = svg.replace("#000000", "currentColor").replace("#ffffff", "var(--paper)")
    head = re.match(r"<svg[^>]*>", svg)
    assert head is not None
    box = re.search(r'viewBox="([^"]*)"', head[0])
    assert box is not None
    return f'<svg viewBox="{box[1]}">{svg[head.end() :].strip()}'
