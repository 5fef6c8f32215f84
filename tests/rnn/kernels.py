"""Small kernels with a dense twin, for the tests of the state-space NTK."""

from __future__ import annotations

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from rnn import LeakyRNN, VanillaRNN, sntk
from rnn.models.model import partition


class Gated(eqx.Module):
    """A GRU cell under a constant input: a model that only JAX can linearise."""

    cell: eqx.nn.GRUCell
    drive: Any
    steps: Any  # an integer leaf, never a parameter

    def __call__(self, h):
        return self.cell(self.drive, h)


class Planted(eqx.Module):
    """``h' = A θ`` whatever h is: over one step from one state, J is A."""

    theta: Any
    matrix: Any

    def __call__(self, h):
        return self.matrix @ self.theta


class Case(NamedTuple):
    model: Any
    h0: Any
    horizon: int = 5
    wrt: Any = None
    readout: Any = None

    def kernel(self, **options):
        return sntk(self.model, self.h0, self.horizon, wrt=self.wrt, readout=self.readout, **options)


def vanilla(form="W@tanh(h)+b", bias=True, state=4, batch=5, horizon=5, dtype=np.float64, seed=0, gain=1.2, **rest):
    rng = np.random.default_rng(seed)
    weight = jnp.asarray(gain * rng.normal(size=(state, state)) / np.sqrt(state), dtype)
    offset = jnp.asarray(0.3 * rng.normal(size=state), dtype) if bias else None
    h0 = jnp.asarray(rng.normal(size=(batch, state)), dtype)
    return Case(VanillaRNN(weight, offset, form), h0, horizon, **rest)


def leaky(form="W@phi(h)+b", activation="tanh", bias=True, state=4, batch=5, horizon=5, seed=0, leak=0.3, **rest):
    rng = np.random.default_rng(seed)
    weight = jnp.asarray(1.5 * rng.normal(size=(state, state)) / np.sqrt(state))
    offset = jnp.asarray(0.3 * rng.normal(size=state)) if bias else None
    model = LeakyRNN(weight, offset, leak=leak, form=form, activation=activation)
    return Case(model, jnp.asarray(rng.normal(size=(batch, state))), horizon, **rest)


def gated(state=3, batch=4, horizon=4, seed=0, **rest):
    rng = np.random.default_rng(seed)
    cell = eqx.nn.GRUCell(2, state, key=jax.random.key(seed), dtype=jnp.float64)
    model = Gated(cell, jnp.asarray(rng.normal(size=2)), jnp.arange(3))
    return Case(model, jnp.asarray(rng.normal(size=(batch, state))), horizon, **rest)


def partial_model(seed=0):
    """A plain function of a dictionary of parameters, a scalar one among them."""
    rng = np.random.default_rng(seed)
    parameters = {"gain": jnp.asarray(0.9), "mix": jnp.asarray(rng.normal(size=(3, 3)) / 2)}
    return Case(jax.tree_util.Partial(_wave, parameters), jnp.asarray(rng.normal(size=(3, 3))), 4)


def _wave(p, h):
    return p["gain"] * jnp.sin(p["mix"] @ h) + 0.1


def planted(singular_values, rows=None, columns=None, seed=0, dtype=np.float64):
    """A kernel whose J has exactly these singular values (and zeros), in random bases."""
    s = np.asarray(singular_values, float)
    rows, columns = rows or len(s), columns or len(s)
    rng = np.random.default_rng(seed)
    left = np.linalg.qr(rng.normal(size=(rows, rows)))[0][:, : len(s)]
    right = np.linalg.qr(rng.normal(size=(columns, columns)))[0][:, : len(s)]
    model = Planted(jnp.zeros(columns, dtype), jnp.asarray((left * s) @ right.T, dtype))
    return sntk(model, jnp.zeros((1, rows), dtype), 1, wrt=lambda m: m.theta)


def observe_three(h):
    return jnp.stack([h[0] * h[1], jnp.tanh(h[-1]), h @ h])


MATRIX = jnp.asarray(np.random.default_rng(7).normal(size=(2, 4)))

CASES = {
    "outer bias": vanilla(),
    "outer no bias": vanilla(bias=False),
    "inner bias": vanilla("tanh(W@h+b)"),
    "inner no bias": vanilla("tanh(W@h+b)", bias=False),
    "one step": vanilla(horizon=1),
    "one state": vanilla(state=1, batch=2),
    "one trajectory": vanilla(batch=1, horizon=9),
    "weight alone": vanilla(wrt=lambda m: m.weight),
    "bias alone": vanilla(wrt=lambda m: m.bias),
    "inner, bias alone": vanilla("tanh(W@h+b)", wrt=lambda m: m.bias),
    "matrix readout": vanilla(readout=MATRIX),
    "function readout": vanilla("tanh(W@h+b)", readout=observe_three),
    "leaky": leaky(),
    "leaky outside": leaky("phi(W@h+b)", "relu"),
    "leaky softplus": leaky(activation="softplus", bias=False, wrt=lambda m: m.weight),
    "leaky outside sigmoid": leaky("phi(W@h+b)", "sigmoid", readout=MATRIX),
    "leaky identity": leaky(activation="identity"),
    "gru": gated(),
    "gru, some": gated(wrt=lambda m: (m.cell.weight_hh, m.drive)),
    "gru, readout": gated(readout=observe_three),
    "function of a dictionary": partial_model(),
}


PHI = {
    "tanh": np.tanh,
    "relu": lambda z: z * (z.real > 0),
    "sigmoid": lambda z: 1 / (1 + np.exp(-z)),
    "softplus": lambda z: np.log(1 + np.exp(z)),
    "identity": lambda z: z,
}


def flat(tree):
    return np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(tree)])


def dense(case: Case) -> np.ndarray:
    """J in NumPy, column by column as the imaginary part of a complex step; it shares no code with the library.

    ``∂h/∂θ_j = Im h(θ + iε e_j)/ε`` has no cancellation, so that ε may be tiny and the derivative is exact to rounding.
    """
    chosen = jax.tree.leaves(partition(case.model, case.wrt)[0], is_leaf=lambda x: x is None)
    leaves, structure = jax.tree.flatten(case.model, is_leaf=lambda x: x is None)
    leaves = [None if x is None else np.asarray(x) for x in leaves]
    columns = []
    for i, (leaf, kept) in enumerate(zip(leaves, chosen, strict=True)):
        for entry in range(0 if kept is None else leaf.size):
            moved = leaf.astype(complex)
            moved.flat[entry] += 1e-100j
            model = jax.tree.unflatten(structure, [*leaves[:i], moved, *leaves[i + 1 :]])
            columns.append(_observed(case, model).imag.ravel() / 1e-100)
    return np.stack(columns, axis=1)


def _observed(case: Case, model: Any) -> np.ndarray:
    """What is seen of every trajectory, (batch, horizon, outputs), complex."""
    h, seen = np.asarray(case.h0, complex), []
    for _ in range(case.horizon):
        h = _numpy_step(model, h)
        seen.append(h)
    states = np.stack(seen, axis=1)
    if case.readout is None:
        return states
    if callable(case.readout):
        twin = {observe_three: _numpy_observe_three}.get(case.readout, case.readout)
        return np.moveaxis(twin(np.moveaxis(states, 2, 0)), 0, 2)
    return states @ np.asarray(case.readout).T


def _numpy_step(model: Any, h: np.ndarray) -> np.ndarray:
    """One step of every model above, on states (batch, state)."""
    if isinstance(model, VanillaRNN):
        drive = (np.tanh(h) if model.form == "W@tanh(h)+b" else h) @ model.weight.T
        drive = drive if model.bias is None else drive + model.bias
        return drive if model.form == "W@tanh(h)+b" else np.tanh(drive)
    if isinstance(model, LeakyRNN):
        phi = PHI[model.activation]
        inside = model.form == "W@phi(h)+b"
        drive = (phi(h) if inside else h) @ model.weight.T
        drive = drive if model.bias is None else drive + model.bias
        return (1 - model.leak) * h + model.leak * (drive if inside else phi(drive))
    if isinstance(model, Planted):
        return np.broadcast_to(model.matrix @ model.theta, h.shape)
    if isinstance(model, Gated):
        logistic = lambda x: 1 / (1 + np.exp(-x))  # noqa: E731
        cell, width = model.cell, h.shape[1]
        given, fed = cell.weight_ih @ model.drive + cell.bias, h @ cell.weight_hh.T
        reset = logistic(given[:width] + fed[:, :width])
        keep = logistic(given[width : 2 * width] + fed[:, width : 2 * width])
        new = np.tanh(given[2 * width :] + reset * (fed[:, 2 * width :] + cell.bias_n))
        return new + keep * (h - new)
    (p,) = model.args
    return p["gain"] * np.sin(h @ p["mix"].T) + 0.1


def _numpy_observe_three(h: np.ndarray) -> np.ndarray:
    return np.stack([h[0] * h[1], np.tanh(h[-1]), np.sum(h * h, axis=0)])


def close(actual, expected, tolerance=1e-12):
    """Largest difference within ``tolerance`` of the largest number."""
    actual, expected = np.asarray(actual), np.asarray(expected)
    assert actual.shape == expected.shape
    scale = max(np.max(np.abs(expected), initial=0.0), 1e-300)
    assert np.max(np.abs(actual - expected), initial=0.0) <= tolerance * scale, (
        np.max(np.abs(actual - expected)) / scale
    )
