"""Files of an output folder: each is written whole or not at all."""

from __future__ import annotations

import io
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from normalforms.report.panels import Panel, panels

if TYPE_CHECKING:  # loading matplotlib takes longer than all else that a command's --help needs
    from matplotlib.figure import Figure

__all__ = ["Drawings", "save_figures", "write_whole"]

Drawings = Mapping[str, tuple[Panel, ...]]
"""The panels of each figure, by its name."""


def write_whole(path: Path, content: str | bytes) -> None:
    """Write a file beside its place and move it there, so that nobody ever reads half of it.

    Args:
        path: the file; its folder must exist.
        content: text is encoded as UTF-8.

    Raises:
        OSError: the folder cannot be written to, or no space is left; the file is then as it was before.
    """
    # a file's name, which a report may have in it, need not be text
    data = content.encode(errors="backslashreplace") if isinstance(content, str) else content
    # a name of its own for every writer: two processes that shared one would mix their halves
    partial = path.with_name(f".{path.name}.{os.getpid()}-{os.urandom(4).hex()}.part")
    try:
        with partial.open("xb") as file:
            file.write(data)
        os.replace(partial, path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def save_figures(folder: Path, figures: Mapping[str, Figure], dpi: float = 150) -> dict[str, tuple[Panel, ...]]:
    """Write every figure as ``name.png`` and ``name.svg``, then take it apart for a page.

    Args:
        folder: made where it is missing.
        figures: by name.
        dpi: of the PNG.

    Returns:
        The panels of each, by name.

    Raises:
        OSError: the folder cannot be written to.
    """
    folder.mkdir(parents=True, exist_ok=True)
    drawn = {}
    for name, figure in figures.items():
        for kind in ("png", "svg"):
            buffer = io.BytesIO()
            # without a date, the same figure is the same file
            dated = {"Date": None} if kind == "svg" else None
            figure.savefig(buffer, format=kind, dpi=dpi, metadata=dated)
            write_whole(folder / f"{name}.{kind}", buffer.getvalue())
        drawn[name] = panels(figure, name)
    return drawn
