"""Untrained networks for the ready tasks, and where they start."""

from __future__ import annotations

from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PRNGKeyArray

from rnn.models import GRU, LSTM, LeakyRNN, Model, VanillaRNN, state_size

__all__ = ["Cell", "check_sizes", "generators", "network", "with_radius"]

Cell = Literal["vanilla", "tanh(W@h+b)", "leaky", "gru", "lstm"]
_CELLS = ("vanilla", "tanh(W@h+b)", "leaky", "gru", "lstm")


def with_radius(weight: np.ndarray, radius: float) -> np.ndarray:
    """``weight`` scaled to a spectral radius."""
    present = np.max(np.abs(np.linalg.eigvals(weight)))
    return weight * (radius / present) if present > 0 else weight


def generators(key: int | PRNGKeyArray, count: int) -> list[np.random.Generator]:
    """NumPy's generators, so that a seed means the same task on every JAX version and device."""
    seed = key if isinstance(key, int) else np.asarray(jax.random.key_data(key))
    return np.random.default_rng(seed).spawn(count)


def check_sizes(**counts: int) -> None:
    """Every one is a positive integer.

    Raises:
        ValueError: one is not.
    """
    for name, value in counts.items():
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise ValueError(f"{name} must be a positive integer, got {value!r}")


def network(
    cell: Cell | Model,
    rng: np.random.Generator,
    *,
    size: int,
    inputs: int,
    outputs: int,
    gain: float = 0.8,
    leak: float = 0.5,
    dtype: Any = jnp.float32,
) -> tuple[Model, eqx.nn.Linear, int]:
    """A network, a linear readout for it, and the length of its state.

    Recurrent weights are ``N(0, 1/size)`` scaled to spectral radius ``gain`` (gated cells: ``U(−1, 1)/√size``, as in
    PyTorch), input weights ``N(0, 1/inputs)``, biases zero; the readout is ``N(0, 1/state)``.

    Args:
        cell: of which kind, or a network that takes ``model(h, x)``, as it is.
        rng: randomness.
        size: neurons (an LSTM's state is twice as long).
        inputs, outputs: how many there are.
        gain: spectral radius, dimensionless.
        leak: α of a leaky cell.
        dtype: of the arrays.

    Raises:
        ValueError: an unknown cell.
    """
    draw = lambda *shape: rng.normal(size=shape)  # noqa: E731
    arrays = lambda *parts: [jnp.asarray(part, dtype) for part in parts]  # noqa: E731
    if callable(cell):
        model, state = cell, state_size(cell)
    elif cell in ("gru", "lstm"):
        gates, bound = (3, 4)[cell == "lstm"], size**-0.5
        uniform = lambda *shape: rng.uniform(-bound, bound, size=shape)  # noqa: E731
        weight, fed = arrays(uniform(gates * size, size), uniform(gates * size, inputs))
        bias, drive = arrays(np.zeros(gates * size), np.zeros(size))
        model = LSTM(weight, bias, fed) if cell == "lstm" else GRU(weight, bias, drive, fed)
        state = 2 * size if cell == "lstm" else size
    elif cell in _CELLS:
        weight, fed = arrays(with_radius(draw(size, size), gain), draw(size, inputs) / np.sqrt(inputs))
        (bias,) = arrays(np.zeros(size))
        if cell == "leaky":
            model = LeakyRNN(weight, bias, fed, leak)
        else:
            model = VanillaRNN(weight, bias, "tanh(W@h+b)" if cell == "tanh(W@h+b)" else "W@tanh(h)+b", fed)
        state = size
    else:
        raise ValueError(f"cell must be one of {', '.join(_CELLS)} or a model, got {cell!r}")
    readout = eqx.nn.Linear(state, outputs, key=jax.random.key(0), dtype=dtype)
    weight, bias = arrays(draw(outputs, state) / np.sqrt(state), np.zeros(outputs))
    return model, eqx.tree_at(lambda r: (r.weight, r.bias), readout, (weight, bias)), state
