"""Paths of models: along training, or along the input of one network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from rnn.models.held import Held, held, stroboscopic
from rnn.models.model import Constant, Model, partition
from rnn.models.parameters import Rebuild, flatten

__all__ = ["ModelPath", "path"]


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

    def held(self, x: Any) -> ModelPath:
        """The same path of networks at a constant input; see :func:`rnn.models.held.held`.

        Args:
            x: the input, shape (inputs,).

        Raises:
            ValueError: ``x`` is no vector of finite floating numbers.
        """
        return self._fed(held(self.rebuild(self.parameters[0]), x))

    def stroboscopic(self, inputs: Any) -> ModelPath:
        """The same path of networks over one period of an input; see :func:`rnn.models.held.stroboscopic`.

        Args:
            inputs: one period, shape (period, inputs).

        Raises:
            ValueError: ``inputs`` are no finite floating numbers of that shape.
        """
        return self._fed(stroboscopic(self.rebuild(self.parameters[0]), inputs))

    def _fed(self, first: Model) -> ModelPath:
        return ModelPath(self.steps, self.parameters, Rebuild(first))


def path(models: Sequence[Model] | Model, steps: Sequence[float] | None = None, *, x: Any = None) -> ModelPath:
    """A path for :func:`rnn.bifurcations`: any sequence of models, or one network along inputs that are held.

    Args:
        models: models that agree in structure and shapes, such as checkpoints; one network where ``x`` is given.
        steps: their places on the path, increasing; 0, 1, 2, … unless given.
        x: inputs to hold, one after the other, shape (count, inputs). The parameter of the path is then the input,
            and ``events[k].model.x`` the critical one.

    Raises:
        ValueError: fewer than two models or inputs, models that differ, or steps that do not increase.
    """
    if x is None:
        if callable(models):
            raise ValueError("models must be a sequence of models; for one network along its input give x")
        return ModelPath.of(list(models), steps)
    x = np.asarray(x)
    if x.ndim != 2 or len(x) < 2:
        raise ValueError(f"x must have shape (count ≥ 2, inputs), got {x.shape}")
    if not callable(models):
        raise ValueError("models must be one network where x is given")
    frozen = Constant(models)
    return ModelPath.of([Held(frozen, held(models, row).x.value) for row in x], steps)
