"""What a training run leaves behind: a path of models, and its record on disk."""

from __future__ import annotations

import json
import os
import re
import secrets
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path as FilePath
from typing import Any

import numpy as np

from normalforms.report import brief, optional
from rnn.models import Model, ModelPath
from rnn.tasks import Task

try:
    import fcntl
except ImportError:  # a system without POSIX locks: two processes in one folder are then not told apart
    fcntl = None

__all__ = ["FORMAT", "Folder", "RecordError", "Run", "write_atomic"]

FORMAT = 2
"""Of the record; it changes where older ones cannot be continued."""
_CHUNK = re.compile(r"chunk-\d{8,}\.npz")


class RecordError(ValueError):
    """A run folder that cannot be read, continued or written; the message names the remedy."""


@brief
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
        readouts: the path of readouts beside that of models, where the readout was trained.
    """

    task: Task
    path: ModelPath
    loss: np.ndarray
    diagnostics: dict[str, np.ndarray]
    seconds: float
    readouts: ModelPath | None = None

    @property
    def steps(self) -> int:
        """How many steps were trained."""
        return len(self.loss)

    def model(self, step: float) -> Model:
        """The model before ``step`` (linear between saved steps)."""
        return self.path.model(step)

    def to_xarray(self) -> Any:
        """An ``xarray.Dataset``: ``loss`` along ``step``, ``parameters`` at ``saved``, diagnostics at ``diagnosed``.

        Raises:
            ImportError: xarray is not installed.
        """
        xr = optional("xarray", "to_xarray")
        told = {name: ("diagnosed", values) for name, values in self.diagnostics.items() if name != "step"}
        arrays = {"loss": ("step", self.loss), "parameters": (("saved", "parameter"), self.path.parameters), **told}
        places = {"step": np.arange(self.steps), "saved": self.path.steps}
        if "step" in self.diagnostics:
            places["diagnosed"] = self.diagnostics["step"]
        return xr.Dataset(arrays, places, {"seconds": self.seconds})

    def readout(self, step: float) -> Any:
        """The readout before ``step``; the task's own where it was not trained."""
        return self.task.reader if self.readouts is None else self.readouts.model(step)

    def task_at(self, step: float) -> Task:
        """The task with the readout before ``step``: its loss is that of the run."""
        return self.task if self.readouts is None else self.task.with_readout(self.readout(step))


class Folder:
    """The chunks of one run on disk, each written whole or not at all, and each with the identity of its run."""

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
        if self.files():
            raise RecordError(
                f"{self.out} holds {self.files()[0].name} but no run.json that says of what run; choose another folder"
            )
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
        expected, mine = 0, self.settings().get("identity")
        for file in self.files():
            try:
                with np.load(file, allow_pickle=False) as data:
                    chunk = {name: data[name] for name in data.files}
                start, losses, identity = int(chunk["start"]), chunk["loss"], str(chunk["identity"])
            except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
                raise RecordError(
                    f"{file} is damaged ({error}); remove it and what follows it to resume from before"
                ) from None
            if identity != mine:
                raise RecordError(f"{file} belongs to another run than {self.manifest}; choose another folder")
            if start != expected:
                raise RecordError(
                    f"{file} starts at step {start}, but the chunks before it end at {expected}; "
                    "remove it to resume from there"
                )
            expected = start + len(losses)
            yield chunk

    @contextmanager
    def locked(self) -> Iterator[None]:
        """The folder for one process alone; the system gives it back even where the process is killed.

        Raises:
            RecordError: another process trains there.
        """
        if fcntl is None:
            yield
            return
        try:
            file = (self.out / ".lock").open("wb")
        except OSError as error:
            raise RecordError(f"cannot write to {self.out}: {error.strerror}; choose another folder") from None
        with file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise RecordError(
                    f"another process is training in {self.out}; wait for it, or choose another folder"
                ) from None
            yield

    def write(self, start: int, chunk: dict[str, np.ndarray], *, replace: bool = False) -> None:
        """Add one chunk.

        Args:
            start: its first step.
            chunk: its arrays.
            replace: whether one that is there already is written anew, as where runs are taken up at a common step.

        Raises:
            RecordError: another process has added it meanwhile, or the folder cannot be written to.
        """
        path = self.out / f"chunk-{start:08d}.npz"
        if path.exists() and not replace:
            raise RecordError(
                f"{path} has been written meanwhile: another process trains in {self.out}; "
                "let one of them end before resuming, or choose another folder"
            )
        try:
            marks = {"start": np.asarray(start), "identity": np.asarray(self.settings()["identity"])}
            write_atomic(path, lambda f: np.savez(f, **marks, **chunk))
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
