"""One step of the loaded model is Flax's own, Linen's and NNX's, to 1e-12 in float64."""

import flax.linen as linen
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import rnn

CELLS = ("SimpleCell", "GRUCell", "MGUCell", "LSTMCell", "OptimizedLSTMCell")


def flat(tree, prefix=""):
    found = {}
    for name, value in tree.items():
        found |= flat(value, f"{prefix}{name}/") if hasattr(value, "items") else {f"{prefix}{name}": np.asarray(value)}
    return found


def drawn(tree, seed=0):
    rng = np.random.default_rng(seed)
    return jax.tree.map(lambda a: jnp.asarray(rng.normal(size=a.shape)), tree)


def states(name):
    rng = np.random.default_rng(1)
    h, c, x = (rng.normal(size=(1, n)) for n in (5, 5, 3))
    return ((c, h), np.concatenate([h, c], 1)[0], x) if "LSTM" in name else (h, h[0], x)


def check(name, arrays, new, before, x, path):
    np.savez(path, **arrays)
    found = rnn.load_report(path)
    after = np.concatenate([new[1], new[0]], 1)[0] if "LSTM" in name else np.asarray(new)[0]
    np.testing.assert_allclose(np.asarray(found.model(jnp.asarray(before), jnp.asarray(x[0]))), after, atol=1e-12)
    assert not found.unused


@pytest.mark.parametrize("name", CELLS)
def test_linen(name, tmp_path):
    carry, before, x = states(name)
    cell = getattr(linen, name)(5, param_dtype=jnp.float64, dtype=jnp.float64)
    parameters = drawn(cell.init(jax.random.key(0), carry, x))
    new, _ = cell.apply(parameters, carry, x)
    check(name, flat(parameters), new, before, x, tmp_path / "w.npz")


@pytest.mark.parametrize("name", [name for name in CELLS if hasattr(nnx, name)])
def test_nnx(name, tmp_path):
    carry, before, x = states(name)
    cell = getattr(nnx, name)(3, 5, param_dtype=jnp.float64, dtype=jnp.float64, rngs=nnx.Rngs(0))
    state = nnx.state(cell, nnx.Param)
    pure = drawn(nnx.to_pure_dict(state))
    nnx.replace_by_pure_dict(state, pure)
    nnx.update(cell, state)
    new, _ = cell(carry, x)
    check(name, {key.replace("/", "."): value for key, value in flat(pure).items()}, new, before, x, tmp_path / "w.npz")
