"""What a study is, and the one list of them.

A study computes something, draws it, and says what it found, as numbers and as a section of the report. Each is a
folder of this one; its door offers the record ``STUDY``. To add one, write the folder and add its line to ``REGISTRY``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from normalforms.report import Drawings, Meter

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["PRESETS", "REGISTRY", "Entry", "Settings", "Study", "chosen", "find", "plan"]

PRESETS = ("paper", "quick")
"""How long a study takes: as long as the paper's, or as long as a first look may."""

P = TypeVar("P")


def _nothing() -> None:
    """Do nothing."""


def _as_given(settings: Settings) -> Settings:
    """Accept what was given."""
    return settings


@dataclass(frozen=True)
class Settings:
    """What a study is asked for.

    Attributes:
        preset: one of :data:`PRESETS`.
        seed: of networks, initial states and probes.
        out: folder for the study's records; ``None`` where nothing is written.
        resume: continue from what ``out`` holds.
        devices: share the work among these; ``None`` for the default one.
        meter: shows progress and keeps times.
        meanwhile: called at most once by a study that waits for another process, to let others use the time.
        options: what the study alone understands.
    """

    preset: str = "paper"
    seed: int = 0
    out: Path | None = None
    resume: bool = False
    devices: Sequence[Any] | None = None
    meter: Meter = field(default_factory=lambda: Meter(quiet=True))
    meanwhile: Callable[[], None] = _nothing
    options: Mapping[str, Any] = field(default_factory=dict)

    def kept(self, name: str | None = None) -> dict[str, Any]:
        """What a study that trains takes by keyword: seed, folder of its records, whether to go on there, progress.

        Args:
            name: of a folder within ``out`` for these records; ``out`` itself unless given.
        """
        folder = self.out if name is None or self.out is None else self.out / name
        return {"seed": self.seed, "out": folder, "resume": self.resume, "progress": self.meter}


@dataclass(frozen=True)
class Study:
    """One study: what it computes and what becomes of it.

    Attributes:
        title: of its section, and of the report where it comes first.
        keys: names of its numbers in ``summary.json``, ``null`` there where the study is not made.
        run: the computation; what it returns is handed to the functions below.
        figures: drawings by the name of their files.
        facts: the numbers, ready for JSON, under ``keys``.
        section: the report's HTML, given the panels of each figure by name.
        headline: sentences that say what was found, the answer first.
        prepare: reads and checks what was given before anything is written.
        brief: takes seconds, so that it may be made while a longer study waits.
        devices: whether it shares its work among devices.
    """

    title: str
    keys: tuple[str, ...]
    run: Callable[[Settings], Any]
    figures: Callable[[Any], Mapping[str, Figure]]
    facts: Callable[[Any], Mapping[str, Any]]
    section: Callable[[Any, Drawings], str]
    headline: Callable[[Any], Sequence[str]]
    prepare: Callable[[Settings], Settings] = _as_given
    brief: bool = False
    devices: bool = False


@dataclass(frozen=True)
class Entry:
    """Where a study is found.

    Attributes:
        name: what ``--only`` calls it.
        home: the folder whose door offers ``STUDY``. Imported when it is made: each brings JAX with it.
        command: of the command line that makes it.
        default: whether it is made where none is named.
    """

    name: str
    home: str
    command: str = "reproduce"
    default: bool = False

    @property
    def study(self) -> Study:
        """The record."""
        return import_module(self.home).STUDY


REGISTRY = (
    Entry("fig1", "rnn.studies.experiment", default=True),
    Entry("fig2", "rnn.studies.laws", default=True),
    Entry("fig3", "rnn.studies.two_modes"),
    Entry("fig4", "rnn.studies.descents"),
    Entry("forecast", "rnn.studies.forecast"),
    Entry("driven", "rnn.studies.driven"),
    Entry("analysis", "rnn.studies.analysis", command="analyze", default=True),
)


def find(command: str) -> tuple[Entry, ...]:
    """The studies of a command, in order."""
    return tuple(entry for entry in REGISTRY if entry.command == command)


def chosen(command: str, only: Collection[str] | None = None) -> tuple[Entry, ...]:
    """The studies of a command that ``only`` names, those of the default without it.

    Raises:
        ValueError: it names none, or one that there is not.
    """
    known = find(command)
    if only is None:
        return tuple(entry for entry in known if entry.default)
    names = [entry.name for entry in known]
    unknown = sorted(set(only) - set(names))
    if unknown or not only:
        called = ", ".join(json.dumps(name, ensure_ascii=False) for name in unknown) or "nothing"
        raise ValueError(f"only names {called}; known are {', '.join(names)}")
    return tuple(entry for entry in known if entry.name in only)


def plan(presets: Mapping[str, P], name: str) -> P:
    """A study's plan for a preset.

    Raises:
        ValueError: it has none of that name.
    """
    if name not in presets:
        raise ValueError(f"preset must be one of {', '.join(presets)}, got {name!r}")
    return presets[name]
