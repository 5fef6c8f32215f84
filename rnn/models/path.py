"""A path of models: parameters at increasing steps, straight lines between them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from rnn.models.model import Model, partition
from rnn.models.parameters import Rebuild, flatten

__all__ = ["ModelPath"]


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
