"""Somebody's files: which there are, in which order, at which training steps, and the models in them."""

from __future__ import annotations

import glob
import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from normalforms.report import Meter, Report
from rnn.models import ModelPath
from rnn.weights import FOREIGN, LoadReport, load_report

__all__ = ["Checkpoints", "checkpoints", "find_files", "fingerprint", "natural", "steps_of"]

_KINDS = (".npz", ".safetensors")
_NUMBER = re.compile(r"(\d+)")


@dataclass(frozen=True)
class Checkpoints:
    """Models in the order of training.

    Attributes:
        loaded: how each was read.
        names: of each, as short as tells them apart.
        steps: of each, increasing.
        source: where the steps come from, in words.
        skipped: files that could not be used, with the reason.
    """

    loaded: tuple[LoadReport, ...]
    names: tuple[str, ...]
    steps: np.ndarray
    source: str
    skipped: Mapping[str, str] = field(default_factory=dict)

    @property
    def models(self) -> list[Any]:
        """The models."""
        return [one.model for one in self.loaded]


def natural(path: Path) -> list[tuple[int, int, str]]:
    """A key that sorts ``step_20`` before ``step_100``."""
    parts = _NUMBER.split(str(path))
    return [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in parts]


def find_files(paths: Sequence[str]) -> list[Path]:
    """The files that paths, folders and patterns name, in natural order, each once.

    Raises:
        ValueError: a folder or a pattern has no file of weights.
    """
    found: dict[Path, None] = {}
    for text in paths:
        path = Path(text)
        if path.is_dir():
            inside = [
                file for file in path.iterdir() if file.suffix.lower() in _KINDS and not file.name.startswith(".")
            ]
            foreign = sorted(file for file in path.iterdir() if file.suffix.lower() in FOREIGN)
            if not inside and foreign:
                load_report(foreign[0])  # which says how to convert it
            if not inside:
                raise ValueError(f"{path} holds no {' and no '.join(_KINDS)} file; name a folder of checkpoints")
            found |= dict.fromkeys(inside)
        elif not path.exists() and glob.has_magic(text):
            matched = [Path(name) for name in glob.glob(text)]
            if not matched:
                raise ValueError(f"no file matches {text}; give a folder, files, or a pattern that matches some")
            found |= dict.fromkeys(matched)
        else:
            found[path] = None
    return sorted(found, key=natural)


def steps_of(files: Sequence[Path]) -> tuple[np.ndarray, str]:
    """Training steps, read from names that differ in one number alone; else the places 0, 1, 2 and so on.

    Returns:
        The steps, shape (count,), and where they come from.
    """
    count = np.arange(len(files), dtype=float)
    parts = [_NUMBER.split(str(file.with_suffix(""))) for file in files]
    if len(files) > 1 and len({len(part) for part in parts}) == 1:
        differing = [k for k, column in enumerate(zip(*parts, strict=True)) if len(set(column)) > 1]
        if len(differing) == 1 and differing[0] % 2:  # odd places hold the numbers
            steps = np.asarray([float(part[differing[0]]) for part in parts])
            if np.all(np.diff(steps) > 0):
                return steps, "the files' names"
    return count, "the files' places in natural order"


def checkpoints(
    paths: Sequence[str],
    *,
    inputs: np.ndarray | None = None,
    x: np.ndarray | None = None,
    progress: Meter | None = None,
    **options: Any,
) -> Checkpoints:
    """Load the models that paths, folders and patterns name.

    A file that cannot be read is skipped and named, where others are left.

    Args:
        paths: files, folders, patterns.
        inputs: held inputs to go through with one network, shape (count, inputs).
        x: one held input, shape (inputs,).
        progress: shows how far it is.
        options: as for :func:`rnn.load`.

    Raises:
        ValueError: nothing can be read, models differ in shape, or there are several networks and several inputs.
    """
    files = find_files(paths)
    if inputs is not None:
        return _along_inputs(files, inputs, options)
    loaded: list[LoadReport] = []
    kept: list[Path] = []
    skipped: dict[str, str] = {}

    def read(report: Report) -> None:
        for k, file in enumerate(files):
            try:
                loaded.append(load_report(file, x=x, **options))
                kept.append(file)
            except ValueError as error:
                if len(files) == 1:
                    raise
                skipped[str(file)] = str(error).splitlines()[0]
            report((k + 1) / len(files))

    meter = Meter(quiet=True) if progress is None or len(files) == 1 else progress
    meter.run("reading files", read)
    if not loaded:
        raise ValueError(f"none of {len(files)} files can be read; the first: {next(iter(skipped.values()))}")
    for one in loaded[1:]:
        if not _alike(loaded[0], one):
            raise ValueError(
                f"{one.path} differs from {loaded[0].path} in cell or shape; analyse them apart, or leave it out"
            )
    steps, source = steps_of(kept)
    alone = len({file.parent for file in kept}) == 1
    return Checkpoints(tuple(loaded), tuple(file.name if alone else str(file) for file in kept), steps, source, skipped)


def fingerprint(files: Iterable[str | Path]) -> str:
    """How many files there are and what is in them, in a few characters."""
    digest, count = hashlib.sha256(), 0
    for file in files:
        digest.update(hashlib.sha256(Path(file).read_bytes()).digest())
        count += 1
    return f"{count} file{'' if count == 1 else 's'}, {digest.hexdigest()[:12]}"


def _along_inputs(files: Sequence[Path], inputs: np.ndarray, options: dict[str, Any]) -> Checkpoints:
    if len(files) != 1:
        raise ValueError(f"--inputs goes through inputs of one network, but there are {len(files)} files; name one")
    if inputs.ndim != 2 or len(inputs) < 2:
        raise ValueError(f"--inputs must have shape (count, inputs) with at least two, got {inputs.shape}")
    loaded = tuple(load_report(files[0], x=row, **options) for row in inputs)
    names = tuple(f"input {k}" for k in range(len(inputs)))
    return Checkpoints(loaded, names, np.arange(len(inputs), dtype=float), "the inputs' places in their file")


def _alike(a: LoadReport, b: LoadReport) -> bool:
    if a.equation != b.equation or a.size != b.size:
        return False
    try:
        ModelPath.of([a.model, b.model])
    except ValueError:
        return False
    return True
