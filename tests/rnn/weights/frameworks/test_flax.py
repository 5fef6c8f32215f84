"""One step of the loaded model is Flax's own, Linen's and NNX's, to 1e-12 in float64."""

import equinox as eqx
import flax.linen as linen
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import rnn
from rnn.models import partition

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


class Own(nnx.Module):
    """``h' = tanh(A h + U x + b) ∘ scale``, with a scale that is no parameter."""

    def __init__(self, rngs):
        self.inner = nnx.Linear(5, 5, param_dtype=jnp.float64, rngs=rngs)
        self.outer = nnx.Linear(3, 5, use_bias=False, param_dtype=jnp.float64, rngs=rngs)
        self.scale = nnx.Variable(jnp.linspace(0.5, 1, 5))

    def __call__(self, h, x=None):
        total = self.inner(h) if x is None else self.inner(h) + self.outer(x)
        return jnp.tanh(total) * self.scale[...]


def test_any_nnx_module_is_a_model():
    """States of a loop over the module itself, and the kernel of a dense Jacobian."""
    module = Own(nnx.Rngs(0))
    model, random = rnn.from_nnx(module), np.random.default_rng(0)
    h0, x = jnp.asarray(random.normal(size=(4, 5))), jnp.asarray(random.normal(size=(4, 3, 3)))
    h = h0
    for t in range(3):
        h = module(h, x[:, t])
    np.testing.assert_allclose(rnn.trajectory(model, h0, inputs=x)[:, -1], h, atol=1e-13)
    kernel = rnn.sntk(model, h0, inputs=x)
    assert kernel.shape[1] == 5 * 5 + 5 + 3 * 5  # and not the scale
    selected, rest = partition(model)
    dense = jax.jacrev(lambda p: rnn.trajectory(eqx.combine(p, rest), h0, inputs=x))(selected)
    J = np.concatenate([np.asarray(p).reshape(kernel.shape[0], -1) for p in jax.tree.leaves(dense)], axis=1)
    v = random.normal(size=kernel.shape[1])
    np.testing.assert_allclose(kernel.fisher_mv(v), J.T @ (J @ v), rtol=1e-11)
    assert isinstance(model.module(), Own)


def test_a_cell_of_nnx_is_a_model():
    cell = nnx.GRUCell(3, 5, param_dtype=jnp.float64, dtype=jnp.float64, rngs=nnx.Rngs(1))
    model, random = rnn.from_nnx(cell), np.random.default_rng(2)
    h, x = jnp.asarray(random.normal(size=5)), jnp.asarray(random.normal(size=3))
    np.testing.assert_allclose(model(h, x), cell(h, x)[0], atol=1e-14)


def test_what_is_no_nnx_module_is_refused():
    with pytest.raises(ValueError, match=r"must be a flax\.nnx\.Module, got dict"):
        rnn.from_nnx({})
