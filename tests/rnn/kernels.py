"""Small kernels with a dense twin, for the tests of the state-space NTK."""

from __future__ import annotations

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from rnn import GRU, LSTM, LeakyRNN, VanillaRNN, sntk
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
    inputs: Any = None

    def kernel(self, **options):
        given = {"wrt": self.wrt, "readout": self.readout, "inputs": self.inputs}
        return sntk(self.model, self.h0, self.horizon, **given, **options)


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


def driven(case, width=2, same=False, seed=11):
    """The case with inputs of that width, and input weights where its cell has a place for them."""
    rng = np.random.default_rng(seed)
    model = case.model
    if hasattr(model, "input_weight"):
        weight = jnp.asarray(0.7 * rng.normal(size=(model.weight.shape[0], width)))
        model = eqx.tree_at(lambda m: m.input_weight, model, weight, is_leaf=lambda leaf: leaf is None)
    shape = (case.horizon, width) if same else (len(case.h0), case.horizon, width)
    return case._replace(model=model, inputs=jnp.asarray(rng.normal(size=shape)))


def our_gru(state=3, batch=4, horizon=4, seed=0, **rest):
    rng = np.random.default_rng(seed)
    draw = lambda *shape: jnp.asarray(0.8 * rng.normal(size=shape))  # noqa: E731
    return Case(GRU(draw(3 * state, state), draw(3 * state), draw(state)), draw(batch, state), horizon, **rest)


def our_lstm(hidden=2, batch=3, horizon=4, seed=0, **rest):
    rng = np.random.default_rng(seed)
    draw = lambda *shape: jnp.asarray(0.8 * rng.normal(size=shape))  # noqa: E731
    return Case(LSTM(draw(4 * hidden, hidden), draw(4 * hidden)), draw(batch, 2 * hidden), horizon, **rest)


class Driven(eqx.Module):
    """A GRU cell of Equinox with its arguments in this package's order."""

    cell: eqx.nn.GRUCell

    def __call__(self, h, x):
        return self.cell(x, h)


def driven_module(state=3, batch=4, horizon=4, seed=0, **rest):
    case = gated(state, batch, horizon, seed, **rest)
    return driven(case._replace(model=Driven(case.model.cell)))


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
    "outer, inputs": driven(vanilla()),
    "inner, inputs": driven(vanilla("tanh(W@h+b)"), width=3),
    "outer, inputs, no bias": driven(vanilla(bias=False, horizon=9), width=1, same=True),
    "input weights alone": driven(vanilla(wrt=lambda m: m.input_weight)),
    "inner, weights without those of inputs": driven(vanilla("tanh(W@h+b)", wrt=lambda m: m.weight)),
    "inputs, readout": driven(vanilla(readout=MATRIX, wrt=lambda m: (m.input_weight, m.bias))),
    "leaky, inputs": driven(leaky()),
    "leaky outside, inputs": driven(leaky("phi(W@h+b)", "relu")),
    "our gru, inputs": driven(our_gru()),
    "our lstm": our_lstm(),
    "our lstm, inputs": driven(our_lstm()),
    "module, inputs": driven_module(readout=observe_three),
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
    x = np.zeros((case.horizon, 0)) if case.inputs is None else np.asarray(case.inputs)
    x = np.broadcast_to(x, (len(h), *x.shape[-2:]))
    for t in range(case.horizon):
        h = _numpy_step(model, h, x[:, t])
        seen.append(h)
    states = np.stack(seen, axis=1)
    if case.readout is None:
        return states
    if callable(case.readout):
        twin = {observe_three: _numpy_observe_three}.get(case.readout, case.readout)
        return np.moveaxis(twin(np.moveaxis(states, 2, 0)), 0, 2)
    return states @ np.asarray(case.readout).T


def _numpy_step(model: Any, h: np.ndarray, x: np.ndarray) -> np.ndarray:
    """One step of every model above, on states (batch, state) and inputs (batch, inputs), none where there are none."""
    logistic = lambda z: 1 / (1 + np.exp(-z))  # noqa: E731
    fed = x @ model.input_weight.T if x.shape[1] and hasattr(model, "input_weight") else 0
    if isinstance(model, GRU):
        n = h.shape[1]
        W, b, u = h @ model.weight.T, model.bias, fed + np.zeros((len(h), 3 * n))
        reset = logistic(W[:, :n] + b[:n] + u[:, :n])
        keep = logistic(W[:, n : 2 * n] + b[n : 2 * n] + u[:, n : 2 * n])
        new = np.tanh(u[:, 2 * n :] + model.drive + reset * (W[:, 2 * n :] + b[2 * n :]))
        return new + keep * (h - new)
    if isinstance(model, LSTM):
        out, kept = np.split(h, 2, axis=1)
        i, f, g, o = np.split(out @ model.weight.T + model.bias + fed, 4, axis=1)
        kept = logistic(f) * kept + logistic(i) * np.tanh(g)
        return np.concatenate([logistic(o) * np.tanh(kept), kept], axis=1)
    if isinstance(model, VanillaRNN):
        drive = (np.tanh(h) if model.form == "W@tanh(h)+b" else h) @ model.weight.T + fed
        drive = drive if model.bias is None else drive + model.bias
        return drive if model.form == "W@tanh(h)+b" else np.tanh(drive)
    if isinstance(model, LeakyRNN):
        phi = PHI[model.activation]
        inside = model.form == "W@phi(h)+b"
        drive = (phi(h) if inside else h) @ model.weight.T + fed
        drive = drive if model.bias is None else drive + model.bias
        return (1 - model.leak) * h + model.leak * (drive if inside else phi(drive))
    if isinstance(model, Planted):
        return np.broadcast_to(model.matrix @ model.theta, h.shape)
    if isinstance(model, (Gated, Driven)):
        cell, n = model.cell, h.shape[1]
        outside = x if isinstance(model, Driven) else np.asarray(model.drive)[None]
        given, back = outside @ cell.weight_ih.T + cell.bias, h @ cell.weight_hh.T
        reset = logistic(given[:, :n] + back[:, :n])
        keep = logistic(given[:, n : 2 * n] + back[:, n : 2 * n])
        new = np.tanh(given[:, 2 * n :] + reset * (back[:, 2 * n :] + cell.bias_n))
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
