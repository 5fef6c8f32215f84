"""The one style that every figure of the project has."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

__all__ = ["COLOURS", "style"]


COLOURS = {"blue": "#0072B2", "orange": "#E69F00", "green": "#009E73", "red": "#D55E00"}
"""Okabe and Ito's palette, told apart by colour-blind readers."""


_STYLE = {
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "lines.linewidth": 1.6,
    "legend.frameon": False,
    "svg.hashsalt": "normalforms",
}


P = ParamSpec("P")


R = TypeVar("R")


def style(draw: Callable[P, R]) -> Callable[P, R]:
    """Draw within the project's style, whatever the caller's settings are."""

    @functools.wraps(draw)
    def styled(*args: P.args, **kwargs: P.kwargs) -> R:
        import matplotlib as mpl  # here, so that naming a figure costs nothing; drawing one needs it anyway

        with mpl.rc_context(_STYLE):
            return draw(*args, **kwargs)

    return styled
