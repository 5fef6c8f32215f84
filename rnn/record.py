"""What a training run leaves behind: a path of models, and its record on disk."""

from __future__ import annotations

import hashlib
import json
import math
import os
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path as FilePath
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from rnn.model import Model, partition
from rnn.task import Task

__all__ = ["ModelPath", "RecordError", "Run"]

FORMAT = 1


class RecordError(ValueError):
    """A run folder that cannot be read, continued or written; the message names the remedy."""


@dataclass(frozen=True)
class ModelPath:
    """A path of models: parameters at increasing steps, straight lines between them.

    Args:
        steps: where the path was sampled, shape (count,), increasing.
        parameters: flat parameters there, shape (count, m).
        rebuild: makes a model of one flat vector.
    """

    steps: np.ndarray
    parameters: np.ndarray
    rebuild: Callable[[Any], Model] = field(repr=False)

    @classmethod
    def of(cls, models: Sequence[Model], steps: Sequence[float] | None = None) -> ModelPath:
        """The path through ``models``, at steps 0, 1, 2, … unless they are given.

        Raises:
            ValueError: fewer than two models, or models that differ in structure or shape.
        """
        if len(models) < 2:
            raise ValueError(f"a path needs at least two models, got {len(models)}")
        selected = partition(models[0])[0]
        rows = [np.asarray(flatten(models[0]))]
        shape = jax.tree.map(jnp.shape, selected)
        for k, model in enumerate(models[1:], 1):
            other = partition(model)[0]
            if jax.tree.structure(other) != jax.tree.structure(selected) or shape != jax.tree.map(jnp.shape, other):
                raise ValueError(f"models[{k}] differs from models[0] in structure or shape")
            rows.append(np.asarray(flatten(model)))
        at = np.arange(len(models), dtype=float) if steps is None else np.asarray(steps, dtype=float)
        if at.shape != (len(models),) or np.any(np.diff(at) <= 0):
            raise ValueError(f"steps must increase and have length {len(models)}, got shape {at.shape}")
        return cls(at, np.stack(rows), Rebuild(models[0]))

    def __len__(self) -> int:
        return len(self.steps)

    def flat(self, step: float) -> np.ndarray:
        """Flat parameters at ``step``, float64, shape (m,): linear between samples.

        Raises:
            ValueError: ``step`` lies outside the path.
        """
        first, last = float(self.steps[0]), float(self.steps[-1])
        if not first <= step <= last:
            raise ValueError(f"step {step} lies outside the path, which runs from {first:g} to {last:g}")
        k = min(int(np.searchsorted(self.steps, step, side="right")) - 1, len(self.steps) - 2)
        a, b = self.parameters[k].astype(np.float64), self.parameters[k + 1].astype(np.float64)
        share = (step - self.steps[k]) / (self.steps[k + 1] - self.steps[k])
        return (1 - share) * a + share * b

    def model(self, step: float) -> Model:
        """The model at ``step``, in the path's own dtype."""
        return self.rebuild(self.flat(step).astype(self.parameters.dtype))


class Rebuild:
    """Makes a model like ``model`` of a flat vector of its parameters, in that vector's dtype."""

    def __init__(self, model: Model) -> None:
        selected, self.rest = partition(model)
        leaves, self.treedef = jax.tree.flatten(selected)
        self.shapes = [jnp.shape(leaf) for leaf in leaves]

    def __call__(self, flat: Any) -> Model:
        parts, start = [], 0
        if not isinstance(flat, jax.core.Tracer):
            flat = np.asarray(flat)  # cut here, as JAX compiles a slice of its own for every place
        for shape in self.shapes:
            size = math.prod(shape)
            parts.append(jnp.asarray(flat[start : start + size].reshape(shape)))
            start += size
        return eqx.combine(jax.tree.unflatten(self.treedef, parts), self.rest)


def flatten(model: Model) -> Any:
    """The inexact parameters of ``model`` as one vector, shape (m,)."""
    return jnp.concatenate([jnp.ravel(leaf) for leaf in jax.tree.leaves(partition(model)[0])])


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

    def chunks(self) -> Iterator[dict[str, np.ndarray]]:
        """The finished chunks in order.

        Raises:
            RecordError: a chunk is damaged.
        """
        expected = 0
        for file in sorted(self.out.glob("chunk-*.npz")):
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
        """Add one chunk."""
        try:
            write_atomic(self.out / f"chunk-{start:08d}.npz", lambda f: np.savez(f, start=np.asarray(start), **chunk))
        except OSError as error:
            raise RecordError(f"cannot write to {self.out}: {error.strerror}") from None


def write_atomic(path: FilePath, write: Callable[[Any], Any]) -> None:
    """Write a file under another name and move it into place, so that it is never seen half-written."""
    partial = path.with_name(f".{path.name}.part")
    with partial.open("wb") as file:
        write(file)
    os.replace(partial, path)
