"""The studies behind figures 3 and 4, each with its drawing, its numbers and its section of the report."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from rnn.studies import figures as drawn
from rnn.studies.descents import descents
from rnn.studies.two_modes import two_modes

__all__ = ["Study", "studies"]


@dataclass(frozen=True)
class Study:
    """What a reproduction takes from one study.

    Attributes:
        name: of the figure's files.
        key: of its numbers in the summary.
        figure: the drawing.
        facts: the numbers, ready for JSON.
        section: the report's section, given the drawing as PNG.
    """

    name: str
    key: str
    figure: Figure
    facts: dict[str, Any]
    section: Callable[[bytes], str]


_STUDIES = {
    "fig3": (
        "two_modes",
        two_modes,
        drawn.figure3,
        drawn.two_modes_summary,
        drawn.two_modes_section,
    ),
    "fig4": (
        "natural_gradient",
        descents,
        drawn.figure4,
        drawn.descents_summary,
        drawn.descents_section,
    ),
}


def studies(
    only: Collection[str],
    preset: str,
    *,
    seed: int = 0,
    out: str | Path,
    resume: bool = False,
    devices: Sequence[Any] | None = None,
    progress: Callable[[str, float, float], None] | None = None,
) -> list[Study]:
    """Make those of figures 3 and 4 that ``only`` names.

    Args:
        only: figures, ``"fig3"`` and ``"fig4"`` among them or not.
        preset: ``"paper"`` or ``"quick"``.
        seed: of the networks.
        out: folder for the training records.
        resume: continue from what it holds.
        devices: share the seeds of figure 3 among these.
        progress: called with (stage, share done, estimated seconds left).

    Raises:
        ValueError, RecordError, DivergedError: as :func:`rnn.studies.two_modes.study.two_modes` and :func:`rnn.studies.descents.study.descents`.
    """
    made = []
    for name, (key, study, draw, summary, section) in _STUDIES.items():
        if name not in only:
            continue
        shared = {"devices": devices} if name == "fig3" else {}
        found = study(preset, seed=seed, out=Path(out) / key, resume=resume, progress=progress, **shared)
        made.append(
            Study(
                name.replace("fig", "figure"),
                key,
                draw(found),
                summary(found),
                lambda image, found=found, section=section: section(found, image),
            )
        )
    return made
