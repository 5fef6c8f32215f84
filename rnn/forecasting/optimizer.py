"""Which equation an optimizer follows, found by what it does to gradients that are known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from rnn.natural_gradient import fisher_of
from rnn.tasks import Task

__all__ = ["HeavyBall", "read_optimizer"]

_LOOKS = 6
_EQUAL = 1e-4
_KEPT = 8
_READ: dict[Any, HeavyBall | str] = {}
"""What is known of optimizers, by the object and the shapes of the parameters."""


@dataclass(frozen=True)
class HeavyBall:
    """``v' = m v + ∇L``, ``θ' = θ − η v``; plain descent at ``m = 0``.

    Once v has settled, the flow is ``dθ/dn = −η/(1 − m) ∇L``.

    Args:
        rate: η.
        momentum: m.
    """

    rate: float
    momentum: float

    @property
    def effective(self) -> float:
        """``η/(1 − m)``."""
        return self.rate / (1 - self.momentum)


def read_optimizer(optimizer: optax.GradientTransformation, task: Task, parameters: Any) -> HeavyBall | str:
    """The heavy ball that an optimizer is, or a sentence that says why it is none.

    Two gradients of different size are handed to it, each six times running: a heavy ball answers with
    ``−η (1 + m + … + m^k) g``, whatever g is.

    Args:
        optimizer: any Optax transformation.
        task: for optimizers that ask for Fisher products.
        parameters: pytree of the parameters.
    """
    leaves, structure = jax.tree.flatten(parameters)
    shapes = tuple((x.shape, str(x.dtype)) for x in leaves)
    key = (optimizer, structure, shapes)
    if key not in _READ:
        while len(_READ) >= _KEPT:
            del _READ[next(iter(_READ))]
        _READ[key] = _read(optimizer, task, parameters)
    return _READ[key]


def _read(optimizer: optax.GradientTransformation, task: Task, parameters: Any) -> HeavyBall | str:
    update = optax.with_extra_args_support(optimizer).update
    leaves, structure = jax.tree.flatten(parameters)
    rng = np.random.default_rng(0)
    kept: list[np.ndarray] = []
    for size in (1.0, 1e-3):
        draw = [jnp.asarray(size * rng.normal(size=x.shape), x.dtype) for x in leaves]
        gradient = jax.tree.unflatten(structure, draw)
        state, gains = optimizer.init(parameters), []
        flat = np.concatenate([np.ravel(x) for x in draw]).astype(float)
        for _ in range(_LOOKS):
            step, state = update(gradient, state, parameters, value=jnp.ones(()), fisher=fisher_of(task))
            moved = np.concatenate([np.ravel(x) for x in jax.tree.leaves(step)]).astype(float)
            gain = -(moved @ flat) / (flat @ flat)
            if np.linalg.norm(moved + gain * flat) > _EQUAL * np.linalg.norm(moved):
                return "its step is no multiple of the gradient's history, so that its flow is not known"
            gains.append(gain)
        kept.append(np.array(gains))
    if not np.allclose(kept[0], kept[1], rtol=_EQUAL):
        return "its step is not proportional to the gradient, so that its flow is not known"
    rises = np.diff(kept[0], prepend=0.0)
    rate = float(rises[0])
    momentum = float(rises[1] / rises[0]) if rate else 0.0
    expected = rate * np.cumsum(momentum ** np.arange(_LOOKS))
    if not (rate > 0 and -_EQUAL <= momentum < 1 and np.allclose(kept[0], expected, rtol=_EQUAL)):
        return "its rate changes with the step, so that its flow is not known"
    return HeavyBall(rate, momentum if momentum > _EQUAL else 0.0)
