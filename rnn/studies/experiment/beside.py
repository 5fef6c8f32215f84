"""The experiment's main run trained in a process of its own, so that its beginning is analysed meanwhile.

A training step keeps one core busy. The record on disk (:mod:`rnn.training.record`) is all that both share.
Threads would not do: concurrent computations of one XLA client can wait for each other for ever.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy as np

import normalforms
from rnn.tasks import Task, student_teacher
from rnn.training import DivergedError, Folder, Progress, RecordError, Run, begin, recorded, train

__all__ = ["Training", "serve", "training"]

_ERRORS = {error.__name__: error for error in (RecordError, DivergedError, ValueError)}
_POLL, _PATIENCE = 0.1, 5.0

# What the other process runs, in Python's isolated mode: without the current folder and PYTHONPATH, from which any
# file called rnn.py or random.py would run. The search path that replaces them and the two packages are this process's.
_START = """
import importlib.util, json, sys
path, packages, arguments = json.loads(sys.argv[1])
sys.path[:] = path
for name, folder in packages:
    place = importlib.util.spec_from_file_location(
        name, folder + "/__init__.py", submodule_search_locations=[folder]
    )
    sys.modules[name] = importlib.util.module_from_spec(place)
    place.loader.exec_module(sys.modules[name])
from rnn.studies.experiment.beside import serve
sys.exit(serve(*arguments))
"""


class Training:
    """A run being trained by another process."""

    def __init__(self, task: Task, steps: int, out: Path, process: subprocess.Popen[bytes], said: IO[bytes]) -> None:
        self.task, self.steps, self.out = task, steps, out
        self._process, self._said = process, said

    @property
    def pid(self) -> int:
        """The other process's number."""
        return self._process.pid

    def wait(self, steps: int | None = None, progress: Callable[[Progress], None] | None = None) -> Run:
        """The run as far as it is recorded, once that is at least ``steps`` steps (all of them unless given).

        Raises:
            RecordError, DivergedError, ValueError: what training raised there.
        """
        wanted, began = min(steps or self.steps, self.steps), time.perf_counter()
        first = done = self._steps()
        while done < wanted:
            status = self._process.poll()
            if status is not None and self._steps() < wanted:
                raise self._error(status)
            time.sleep(_POLL)
            if self._steps() != done:
                done = self._steps()
                if progress is not None:
                    progress(Progress(done, wanted, float("nan"), time.perf_counter() - began, first))
        return recorded(self.task, self.out)

    def _steps(self) -> int:
        """How many steps are on disk."""
        files = Folder(self.out).files()
        if not files:
            return 0
        with np.load(files[-1], allow_pickle=False) as data:
            return int(data["start"]) + len(data["loss"])

    def _error(self, status: int) -> Exception:
        """What the other process raised, as :func:`serve` wrote it on stderr."""
        self._said.seek(0)
        lines = self._said.read().decode(errors="replace").strip().splitlines()
        for line in reversed(lines):  # a library may have said more at its end
            try:
                name, message = json.loads(line)
                return _ERRORS[name](message)
            except (ValueError, KeyError, TypeError):
                continue
        return ChildProcessError(f"training ended with status {status}: {lines[-1] if lines else 'no message'}")


@contextmanager
def training(seed: int, steps: int, out: Path, *, resume: bool = False) -> Iterator[Training]:
    """Train ``student_teacher(seed)`` in another process, recorded in ``out``; ended when the context is left.

    The other process also ends when this one does, however it does: its standard input is a pipe from this process,
    which the system closes.

    Args:
        seed: of the task and of the probes.
        steps: training steps.
        out: folder of the record.
        resume: continue the run in ``out``.

    Raises:
        RecordError: ``out`` holds another run, or one while ``resume`` is false, or cannot be written.
    """
    task = student_teacher(seed)
    begin(task, out, key=seed, resume=resume)
    folders = {"normalforms": Path(normalforms.__file__).parent, "rnn": Path(__file__).parents[2]}
    packages = [[name, str(folder.resolve())] for name, folder in folders.items()]
    told = json.dumps([_search_path(), packages, [seed, steps, str(out.resolve())]])
    # a file, because a pipe that nobody reads would stop a process that warns much
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(
            [sys.executable, "-I", "-c", _START, told],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=said,
        )
        try:
            yield Training(task, steps, out, process, said)
        finally:
            _end(process)


def _search_path() -> list[str]:
    """This process's search path without the current folder."""
    here = Path.cwd()
    return [entry for entry in sys.path if entry and Path(entry).resolve() != here]


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.terminate()
    try:
        process.wait(_PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdin is not None:
        process.stdin.close()


def serve(seed: int, steps: int, out: str) -> int:
    """What the other process does; returns its exit status."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        train(student_teacher(seed), steps=steps, key=seed, out=out, resume=True)
    except KeyboardInterrupt:
        return 130
    except tuple(_ERRORS.values()) as error:
        name = next(n for n, kind in _ERRORS.items() if isinstance(error, kind))
        print(json.dumps([name, str(error)]), file=sys.stderr)
        return 1
    return 0


def _end_with_parent() -> None:
    # not through sys.stdin, whose lock the interpreter wants when it ends
    while os.read(0, 1024):
        pass
    os._exit(1)  # the pipe's other end is closed; a compiled step cannot be interrupted otherwise
