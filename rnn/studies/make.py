"""Studies made and written down: figures, ``summary.json`` and ``report.html`` in one output folder."""

from __future__ import annotations

import json
import math
import platform
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from normalforms import __version__
from normalforms.report import html as report
from normalforms.report import save_figures, write_whole
from rnn.studies.study import Entry, Settings, Study, find

__all__ = ["Made", "claim", "make"]

_FORMAT = 1
_PACKAGES = ("jax", "numpy", "scipy", "sympy", "matplotlib")


@dataclass(frozen=True)
class Made:
    """What a command made.

    Attributes:
        facts: the content of ``summary.json``.
        headline: sentences that say what was found.
        report: the report's file.
    """

    facts: dict[str, Any]
    headline: list[str]
    report: Path


def claim(out: Path, noun: str, identity: Mapping[str, Any], *, resume: bool) -> None:
    """Make an output folder ours, or check that it is; nothing of anybody else's is touched.

    Args:
        out: the folder.
        noun: what it holds; its manifest is ``noun.json``.
        identity: what has to agree for the work in it to be continued.
        resume: whether it may hold such work already.

    Raises:
        ValueError: it is a file, holds anything else, or cannot be written to.
    """
    settings = {"format": _FORMAT, "version": __version__, **identity}
    manifest = out / f"{noun}.json"
    if out.exists() and not out.is_dir():
        raise ValueError(f"--out {out} is a file; choose a folder")
    try:
        if manifest.exists():
            _check_manifest(out, noun, settings, resume)
            return
        if out.exists() and any(out.iterdir()):
            raise ValueError(f"--out {out} holds files that are no {noun} of ours; choose an empty or new folder")
        out.mkdir(parents=True, exist_ok=True)
        write_whole(manifest, json.dumps(settings))
    except OSError as error:
        raise ValueError(f"cannot write to --out {out}: {error.strerror}; choose another folder") from None


def _check_manifest(out: Path, noun: str, settings: Mapping[str, Any], resume: bool) -> None:
    manifest = out / f"{noun}.json"
    try:
        present = json.loads(manifest.read_text())
        differs = [name for name in settings if present.get(name) != settings[name]]
    except (OSError, ValueError, AttributeError):
        raise ValueError(f"{manifest} cannot be read; remove {out} or choose another --out") from None
    if differs:
        name = differs[0]
        raise ValueError(
            f"{out} holds a {noun} with {name} {present.get(name)!r}, not {settings[name]!r}; choose another --out"
        )
    if not resume:
        raise ValueError(f"{out} already holds a {noun}; add --resume to continue it, or choose another --out")


def make(command: str, entries: Sequence[Entry], settings: Settings, out: Path, noun: str) -> Made:
    """Make studies, draw them, and write ``figures/``, ``summary.json`` and ``report.html``.

    Args:
        command: that was asked.
        entries: the studies.
        settings: what they are asked for; ``out`` in it is the folder for their records.
        out: the output folder, which is claimed once every study accepts what it was given.
        noun: what the folder holds, as for :func:`claim`.

    Raises:
        ValueError: as the studies do, for bad input before anything is written.
    """
    began, meter = time.perf_counter(), settings.meter
    studies: dict[Entry, Study] = {entry: entry.study for entry in entries}
    ready = {entry: study.prepare(settings) for entry, study in studies.items()}
    identity: dict[str, Any] = {"preset": settings.preset, "seed": settings.seed}
    for asked in ready.values():
        identity |= asked.options.get("identity", {})
    claim(out, noun, identity, resume=settings.resume)
    found: dict[Entry, Any] = {}

    def work(entry: Entry) -> None:
        if entry not in found:
            pause = ready[entry] if studies[entry].brief else replace(ready[entry], meanwhile=meanwhile)
            found[entry] = studies[entry].run(pause)

    def meanwhile() -> None:
        for entry, study in studies.items():
            if study.brief:
                work(entry)

    for entry in entries:
        work(entry)
    drawn = meter.run(
        "figures",
        lambda _: {
            entry: save_figures(out / "figures", study.figures(found[entry])) for entry, study in studies.items()
        },
    )
    seconds = {**meter.seconds, "total": time.perf_counter() - began}
    facts: dict[str, Any] = {"preset": settings.preset, "seed": settings.seed}
    facts |= {"versions": _versions(), "seconds": seconds}
    headline: list[str] = []
    for entry, study in studies.items():
        facts |= study.facts(found[entry])
        headline += study.headline(found[entry])
    absent = [entry for entry in find(command) if entry not in found]
    facts = _finite(facts | {key: None for entry in absent for key in entry.study.keys})
    sections = [study.section(found[entry], drawn[entry]) for entry, study in studies.items()]
    title = next(iter(studies.values())).title
    first, *others = [f"{sentence[:1].upper()}{sentence[1:].rstrip('.')}." for sentence in headline] or [""]
    page = report.page(title, first, [report.points(others), *sections, _rest(settings, seconds, absent)])
    write_whole(out / "summary.json", json.dumps(facts, indent=1, allow_nan=False))
    write_whole(out / "report.html", page)
    meter.close()
    return Made(facts, headline, out / "report.html")


def _versions() -> dict[str, str]:
    # as long to load as all of --help
    from importlib.metadata import version

    ours = {"normalforms": __version__, "python": platform.python_version()}
    return ours | {name: version(name) for name in _PACKAGES}


def _finite(value: Any) -> Any:
    """JSON has no infinity and no NaN; ``None`` stands for both."""
    if isinstance(value, Mapping):
        return {key: _finite(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _rest(settings: Settings, seconds: Mapping[str, float], absent: Sequence[Entry]) -> str:
    asked = [f"{entry.name} ({entry.study.title})" for entry in absent]
    more = [report.paragraph(f"Not made here: {', '.join(asked)}. Name them with --only.")] if asked else []
    return report.section(
        "Settings, versions and times",
        *more,
        report.table(("stage", "seconds"), [(name, float(value)) for name, value in seconds.items()]),
        report.table(("package", "version"), list(_versions().items())),
        report.paragraph(f"Preset {settings.preset}, seed {settings.seed}."),
    )
