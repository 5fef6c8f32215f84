"""What a training run leaves behind: a path of models, and its record on disk."""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path as FilePath
from typing import Any

import jax
import numpy as np

from rnn.models import Model, ModelPath
from rnn.tasks import Task

__all__ = ["RecordError", "Run"]

FORMAT = 1
_CHUNK = re.compile(r"chunk-\d{8,}\.npz")


class RecordError(ValueError):
    """A run folder that cannot be read, continued or written; the message names the remedy."""


@dataclass(frozen=True)
class Run:
    """A training run: its task, the path of models, the loss of every step, and the diagnostics on the way.

    Args:
        task: what was trained.
        path: parameters every few steps, the first and the last included.
        loss: loss before each step, shape (steps,).
        diagnostics: arrays of one length, keyed ``step``, ``stable_rank``, ``standard_error``,
            ``singular_value``.
        seconds: wall time spent in training, diagnostics included.
    """

    task: Task
    path: ModelPath
    loss: np.ndarray
    diagnostics: dict[str, np.ndarray]
    seconds: float

    @property
    def steps(self) -> int:
        """How many steps were trained."""
        return len(self.loss)

    def model(self, step: float) -> Model:
        """The model before ``step`` (linear between saved steps)."""
        return self.path.model(step)


def fingerprint(*trees: Any) -> str:
    """A hash over every array and setting: the same settings give the same text."""
    digest = hashlib.sha256()
    for leaf in jax.tree.leaves(trees):
        array = np.asarray(leaf)
        digest.update(f"{array.dtype}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


class Folder:
    """The chunks of one run on disk, each written whole or not at all."""

    def __init__(self, out: FilePath) -> None:
        self.out = out
        self.manifest = out / "run.json"

    def begin(self, settings: dict[str, Any], *, resume: bool) -> None:
        """Make the folder, or check that it holds this very run.

        Raises:
            RecordError: it holds another run, or one while ``resume`` is false, or cannot be written.
        """
        if self.manifest.exists():
            if not resume:
                raise RecordError(
                    f"{self.out} already holds a run; pass resume=True to continue it, or choose another folder"
                )
            present = self.settings()
            for name, value in settings.items():
                if present.get(name) != value:
                    raise RecordError(
                        f"{self.out} holds a run with {name} = {present.get(name)!r}, not {value!r}; "
                        "resume it with its own settings and version, or choose another folder"
                    )
            return
        try:
            self.out.mkdir(parents=True, exist_ok=True)
            write_atomic(self.manifest, lambda f: f.write(json.dumps(settings, indent=1).encode()))
        except OSError as error:
            raise RecordError(f"cannot write to {self.out}: {error.strerror}; choose another folder") from None

    def settings(self) -> dict[str, Any]:
        """What the run was made with.

        Raises:
            RecordError: there is no run, or its manifest cannot be read.
        """
        try:
            return dict(json.loads(self.manifest.read_text()))
        except (OSError, ValueError, TypeError) as error:
            raise RecordError(f"{self.manifest} cannot be read ({error}); remove the folder to start over") from None

    def files(self) -> list[FilePath]:
        """The chunks' files in order; others in the folder, whatever they are called, are somebody else's."""
        if not self.out.is_dir():
            return []
        return sorted(file for file in self.out.iterdir() if _CHUNK.fullmatch(file.name))

    def chunks(self) -> Iterator[dict[str, np.ndarray]]:
        """The finished chunks in order.

        Raises:
            RecordError: a chunk is damaged.
        """
        expected = 0
        for file in self.files():
            try:
                with np.load(file, allow_pickle=False) as data:
                    chunk = {name: data[name] for name in data.files}
                start, losses = int(chunk["start"]), chunk["loss"]
            except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
                raise RecordError(
                    f"{file} is damaged ({error}); remove it and what follows it to resume from before"
                ) from None
            if start != expected:
                raise RecordError(
                    f"{file} starts at step {start}, but the chunks before it end at {expected}; "
                    "remove it to resume from there"
                )
            expected = start + len(losses)
            yield chunk

    def write(self, start: int, chunk: dict[str, np.ndarray]) -> None:
        """Add one chunk.

        Raises:
            RecordError: another process has added it meanwhile, or the folder cannot be written to.
        """
        path = self.out / f"chunk-{start:08d}.npz"
        if path.exists():
            raise RecordError(
                f"{path} has been written meanwhile: another process trains in {self.out}; "
                "let one of them end before resuming, or choose another folder"
            )
        try:
            write_atomic(path, lambda f: np.savez(f, start=np.asarray(start), **chunk))
        except OSError as error:
            raise RecordError(f"cannot write to {self.out}: {error.strerror}") from None


def write_atomic(path: FilePath, write: Callable[[Any], Any]) -> None:
    """Write a file under another name and move it into place, so that it is never seen half-written."""
    # a name of its own for every writer: two processes that shared one would mix their halves
    partial = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.part")
    try:
        with partial.open("xb") as file:
            write(file)
        os.replace(partial, path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
