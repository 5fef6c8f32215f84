"""Weights of other frameworks: the loaded cell steps as theirs does."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import save_file

import rnn

N = 5


def arrays(gates, seed=0, prefix="rnn."):
    rng = np.random.default_rng(seed)
    return {
        f"{prefix}weight_ih_l0": rng.normal(size=(gates * N, 3)),
        f"{prefix}weight_hh_l0": rng.normal(size=(gates * N, N)),
        f"{prefix}bias_ih_l0": rng.normal(size=gates * N),
        f"{prefix}bias_hh_l0": rng.normal(size=gates * N),
    }


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def torch_step(kind, a, h, c=None):
    """PyTorch's documented equations with zero input, written out."""
    x, y = a["rnn.bias_ih_l0"], a["rnn.weight_hh_l0"] @ h + a["rnn.bias_hh_l0"]
    if kind == "vanilla":
        return np.tanh(x + y)
    if kind == "gru":
        (xr, xz, xn), (yr, yz, yn) = np.split(x, 3), np.split(y, 3)
        z = sigmoid(xz + yz)
        return (1 - z) * np.tanh(xn + sigmoid(xr + yr) * yn) + z * h
    i, f, g, o = np.split(x + y, 4)
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    return np.concatenate([sigmoid(o) * np.tanh(c), c])


@pytest.mark.parametrize("suffix", ["npz", "safetensors"])
@pytest.mark.parametrize(("kind", "gates"), [("vanilla", 1), ("gru", 3), ("lstm", 4)])
def test_torch_weights_step_as_documented(tmp_path, kind, gates, suffix):
    a, path = arrays(gates), tmp_path / f"w.{suffix}"
    save_file(a, path) if suffix == "safetensors" else np.savez(path, **a)
    rng = np.random.default_rng(1)
    h, c = rng.normal(size=N), rng.normal(size=N)
    model = rnn.load(path)
    state = np.concatenate([h, c]) if kind == "lstm" else h
    np.testing.assert_allclose(np.asarray(model(jnp.asarray(state))), torch_step(kind, a, h, c), rtol=1e-13)
    assert type(rnn.load(path, cell=kind)) is type(model)


def test_equinox_gru_steps_as_its_own_cell(tmp_path):
    cell = eqx.nn.GRUCell(2, N, key=jax.random.key(0), dtype=jnp.float64)
    np.savez(tmp_path / "w.npz", weight_hh=cell.weight_hh, bias=cell.bias, bias_n=cell.bias_n)
    h = jax.random.normal(jax.random.key(1), (N,))
    ours = rnn.load(tmp_path / "w.npz")(h)
    np.testing.assert_allclose(np.asarray(ours), np.asarray(cell(jnp.zeros(2), h)), rtol=1e-13)


def test_own_weights_keep_their_form(tmp_path):
    rng = np.random.default_rng(0)
    W, b = rng.normal(size=(N, N)), rng.normal(size=N)
    np.savez(tmp_path / "w.npz", weight=W, bias=b)
    h = rng.normal(size=N)
    model = rnn.load(tmp_path / "w.npz", cell="W@tanh(h)+b")
    np.testing.assert_allclose(np.asarray(model(jnp.asarray(h))), W @ np.tanh(h) + b, rtol=1e-13)


def test_a_cell_without_bias_has_none(tmp_path):
    np.savez(tmp_path / "w.npz", weight=np.eye(N))
    assert rnn.load(tmp_path / "w.npz").bias is None


@pytest.mark.parametrize(
    ("content", "cell", "match"),
    [
        ({"weight_hh": np.ones((4, 3))}, None, "do not fit"),
        ({"weight_hh": np.ones((3, 3))}, "gru", "do not fit"),
        ({"weight_hh": np.ones((3, 3))}, "elman", "cell must be one of"),
        ({"kernel": np.ones((3, 3))}, None, "no recurrent weights"),
        ({"a.weight_hh": np.ones((3, 3)), "b.weight_hh": np.ones((3, 3))}, None, "several arrays"),
        ({"weight_hh": np.full((3, 3), np.nan)}, None, "NaN"),
    ],
)
def test_bad_weights_are_named(tmp_path, content, cell, match):
    np.savez(tmp_path / "w.npz", **content)
    with pytest.raises(ValueError, match=match):
        rnn.load(tmp_path / "w.npz", cell=cell)


def test_bad_files_are_named(tmp_path):
    with pytest.raises(ValueError, match="no file"):
        rnn.load(tmp_path / "none.npz")
    for name in ("w.npz", "w.safetensors"):
        (tmp_path / name).write_bytes(b"nonsense")
        with pytest.raises(ValueError, match="cannot be read"):
            rnn.load(tmp_path / name)
    (tmp_path / "w.pt").write_bytes(b"")
    with pytest.raises(ValueError, match="neither"):
        rnn.load(tmp_path / "w.pt")
