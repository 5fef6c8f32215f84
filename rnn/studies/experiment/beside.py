"""The experiment's main run trained in a process of its own, so that its beginning is analysed meanwhile.

A training step keeps one core busy. The record on disk (:mod:`rnn.training.record`) is all that the two processes share.
Threads would not do: concurrent computations of one XLA client can wait for each other for ever.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from rnn.tasks import Task, student_teacher
from rnn.training import DivergedError, Progress, RecordError, Run, begin, recorded, train

__all__ = ["Training", "training"]

_ERRORS = {error.__name__: error for error in (RecordError, DivergedError, ValueError)}
_POLL = 0.1


class Training:
    """A run being trained by another process."""

    def __init__(self, task: Task, steps: int, out: Path, process: subprocess.Popen[str]) -> None:
        self.task, self.steps, self.out = task, steps, out
        self._process = process

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
        files = sorted(self.out.glob("chunk-*.npz"))
        if not files:
            return 0
        with np.load(files[-1], allow_pickle=False) as data:
            return int(data["start"]) + len(data["loss"])

    def _error(self, status: int) -> Exception:
        _, text = self._process.communicate()
        lines = text.strip().splitlines()
        try:
            name, message = json.loads(lines[-1])
            return _ERRORS[name](message)
        except (IndexError, ValueError, KeyError, TypeError):
            return ChildProcessError(f"training ended with status {status}: {lines[-1] if lines else 'no message'}")


@contextmanager
def training(seed: int, steps: int, out: Path, *, resume: bool = False) -> Iterator[Training]:
    """Train ``student_teacher(seed)`` in another process, recorded in ``out``; ended when the context is left.

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
    code = "import sys; from rnn.studies.experiment.beside import _main; sys.exit(_main(sys.argv[1:]))"
    process = subprocess.Popen(
        [sys.executable, "-c", code, json.dumps([seed, steps, str(out)])],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, [os.getcwd(), *sys.path]))},
    )
    try:
        yield Training(task, steps, out, process)
    finally:
        if process.poll() is None:
            process.terminate()
        process.communicate()


def _main(argv: list[str]) -> int:
    seed, steps, out = json.loads(argv[0])
    try:
        train(student_teacher(seed), steps=steps, key=seed, out=out, resume=True)
    except KeyboardInterrupt:
        return 130
    except tuple(_ERRORS.values()) as error:
        name = next(n for n, kind in _ERRORS.items() if isinstance(error, kind))
        print(json.dumps([name, str(error)]), file=sys.stderr)
        return 1
    return 0
