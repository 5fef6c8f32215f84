"""Weights of other frameworks: the loaded model steps as theirs does, and nothing is taken for granted in silence."""

import json
import struct
import zipfile

import equinox as eqx
import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import save_file

import rnn
from rnn.models import MGU, ProjectedLSTM, ResetFirstGRU, Stack

N, M = 5, 3


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def draw(*shape, seed=0):
    return np.random.default_rng(seed + sum(shape)).normal(size=shape)


def step(model, h, x=None):
    return np.asarray(model(jnp.asarray(h)) if x is None else model(jnp.asarray(h), jnp.asarray(x)))


def written(tmp_path, arrays, name="w.npz", **options):
    path = tmp_path / name
    save_file(arrays, path) if name.endswith(".safetensors") else np.savez(path, **arrays)
    return rnn.load_report(path, **options)


# --- PyTorch ---------------------------------------------------------------------------------------------------


def torch_arrays(gates, layer=0, inputs=M, prefix="rnn."):
    end = f"_l{layer}"
    return {
        f"{prefix}weight_ih{end}": draw(gates * N, inputs, seed=layer),
        f"{prefix}weight_hh{end}": draw(gates * N, N, seed=10 + layer),
        f"{prefix}bias_ih{end}": draw(gates * N, seed=20 + layer),
        f"{prefix}bias_hh{end}": draw(gates * N, seed=30 + layer),
    }


def torch_step(kind, a, h, c=None, x=None, layer=0):
    """PyTorch's documented equations, written out."""
    w_ih, w_hh, b_ih, b_hh = (a[f"rnn.{name}_l{layer}"] for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"))
    x, y = b_ih + (0 if x is None else w_ih @ x), w_hh @ h + b_hh
    if kind in ("tanh", "relu"):
        return np.tanh(x + y) if kind == "tanh" else np.maximum(x + y, 0)
    if kind == "gru":
        (xr, xz, xn), (yr, yz, yn) = np.split(x, 3), np.split(y, 3)
        z = sigmoid(xz + yz)
        return (1 - z) * np.tanh(xn + sigmoid(xr + yr) * yn) + z * h
    i, f, g, o = np.split(x + y, 4)
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    return np.concatenate([sigmoid(o) * np.tanh(c), c])


@pytest.mark.parametrize("suffix", ["npz", "safetensors"])
@pytest.mark.parametrize(("kind", "gates"), [("tanh", 1), ("relu", 1), ("gru", 3), ("lstm", 4)])
def test_torch_weights_step_as_documented(tmp_path, kind, gates, suffix):
    a = torch_arrays(gates)
    found = written(tmp_path, a, f"w.{suffix}", activation=kind if gates == 1 else None)
    h, c, x = draw(N), draw(N, seed=1), draw(M)
    state = np.concatenate([h, c]) if kind == "lstm" else h
    np.testing.assert_allclose(step(found.model, state), torch_step(kind, a, h, c), rtol=1e-13)
    np.testing.assert_allclose(step(found.model, state, x), torch_step(kind, a, h, c, x), rtol=1e-13)
    assert (found.assumed, found.unused, found.inputs, found.size) == ((), {}, M, len(state))


@pytest.mark.parametrize(("kind", "gates"), [("tanh", 1), ("gru", 3), ("lstm", 4)])
def test_a_held_input_is_that_input_at_every_step(tmp_path, kind, gates):
    a, x, state = torch_arrays(gates), draw(M), draw(2 * N if kind == "lstm" else N)
    np.savez(tmp_path / "w.npz", **a)
    options = {"activation": "tanh"} if gates == 1 else {}
    driven = rnn.load(tmp_path / "w.npz", **options)
    held = rnn.load(tmp_path / "w.npz", x=x, **options)
    np.testing.assert_allclose(step(held, state), step(driven, state, x), rtol=1e-13)
    with pytest.raises(ValueError, match=r"x must have shape \(3,\)"):
        rnn.load(tmp_path / "w.npz", x=x[:2], **options)


@pytest.mark.parametrize(("kind", "gates"), [("tanh", 1), ("gru", 3), ("lstm", 4)])
def test_every_layer_of_a_stack_is_kept(tmp_path, kind, gates):
    a = torch_arrays(gates) | torch_arrays(gates, layer=1, inputs=N)
    options = {"activation": "tanh"} if gates == 1 else {}
    found = written(tmp_path, a, **options)
    size = 2 * N if kind == "lstm" else N
    state, x = draw(2 * size), draw(M)
    low, high = state[:size], state[size:]
    first = torch_step(kind, a, low[:N], low[N:], x)
    second = torch_step(kind, a, high[:N], high[N:], first[:N], layer=1)
    assert isinstance(found.model, Stack)
    np.testing.assert_allclose(step(found.model, state, x), np.concatenate([first, second]), rtol=1e-12)
    assert found.size == 2 * size
    one = written(tmp_path, a, layers=1, **options)
    np.testing.assert_allclose(step(one.model, high, first[:N]), second, rtol=1e-12)
    assert "rnn.weight_hh_l0" in one.unused


def test_a_projected_lstm(tmp_path):
    P, W, b, U = draw(2, N), draw(4 * N, 2), draw(4 * N), draw(4 * N, M)
    found = written(tmp_path, {"weight_hr_l0": P, "weight_hh_l0": W, "weight_ih_l0": U, "bias_hh_l0": b})
    h, c, x = draw(2), draw(N), draw(M)
    i, f, g, o = np.split(W @ h + U @ x + b, 4)
    new = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    expected = np.concatenate([P @ (sigmoid(o) * np.tanh(new)), new])
    assert isinstance(found.model, ProjectedLSTM)
    np.testing.assert_allclose(step(found.model, np.concatenate([h, c]), x), expected, rtol=1e-13)


def test_both_directions_are_refused_by_name(tmp_path):
    a = torch_arrays(1)
    a |= {f"{name}_reverse": value for name, value in a.items()}
    with pytest.raises(ValueError, match="both directions"):
        written(tmp_path, a)


def test_the_bias_of_a_readout_is_no_recurrent_bias(tmp_path):
    a = {"rnn.weight_hh_l0": draw(N, N), "fc.weight": draw(1, N), "fc.bias": draw(1)}
    found = written(tmp_path, a, activation="tanh")
    assert found.model.bias is None
    assert set(found.unused) == {"fc.weight", "fc.bias"}


# --- Equinox, Keras, Flax --------------------------------------------------------------------------------------


def test_equinox_cells_step_as_their_own(tmp_path):
    gru = eqx.nn.GRUCell(2, N, key=jax.random.key(0), dtype=jnp.float64)
    lstm = eqx.nn.LSTMCell(2, N, key=jax.random.key(1), dtype=jnp.float64)
    h, c, x = jnp.asarray(draw(N)), jnp.asarray(draw(N, seed=1)), jnp.asarray(draw(2))
    names = ("weight_ih", "weight_hh", "bias", "bias_n")
    a = {f"cell.{name}": getattr(gru, name) for name in names} | {"linear.weight": draw(1, N), "linear.bias": draw(1)}
    np.testing.assert_allclose(step(written(tmp_path, a).model, h, x), gru(x, h), rtol=1e-13)
    a = {f"cell.{name}": getattr(lstm, name) for name in names[:3]}
    ours = step(written(tmp_path, a).model, jnp.concatenate([h, c]), x)
    np.testing.assert_allclose(ours, jnp.concatenate(lstm(x, (h, c))), rtol=1e-13)


def keras(gates, bias):
    return {
        "model/cell/kernel": draw(M, gates * N),
        "model/cell/recurrent_kernel": draw(N, gates * N),
        "model/cell/bias": bias,
        "dense/kernel": draw(N, 1),
    }


def test_keras_simple_rnn_multiplies_row_vectors(tmp_path):
    a = keras(1, draw(N))
    found = written(tmp_path, a, activation="tanh")
    K, R, b, _ = a.values()
    h, x = draw(N), draw(M)
    np.testing.assert_allclose(step(found.model, h, x), np.tanh(x @ K + h @ R + b), rtol=1e-13)
    assert list(found.unused) == ["dense/kernel"]


@pytest.mark.parametrize("after", [True, False])
def test_keras_gru_in_both_conventions(tmp_path, after):
    a = keras(3, draw(2, 3 * N) if after else draw(3 * N))
    K, R, b, _ = a.values()
    h, x = draw(N), draw(M)
    (xz, xr, xh), (Rz, Rr, Rh) = np.split(x @ K + (b[0] if after else b), 3), np.split(R, 3, axis=1)
    bz, br, bh = np.split(b[1], 3) if after else np.zeros((3, N))
    z, r = sigmoid(xz + h @ Rz + bz), sigmoid(xr + h @ Rr + br)
    new = np.tanh(xh + r * (h @ Rh + bh)) if after else np.tanh(xh + (r * h) @ Rh)
    found = written(tmp_path, a)
    np.testing.assert_allclose(step(found.model, h, x), z * h + (1 - z) * new, rtol=1e-12)
    assert isinstance(found.model, rnn.GRU if after else ResetFirstGRU)


def test_keras_lstm(tmp_path):
    a = keras(4, draw(4 * N))
    K, R, b, _ = a.values()
    h, c, x = draw(N), draw(N, seed=1), draw(M)
    i, f, g, o = np.split(x @ K + h @ R + b, 4)
    new = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    ours = step(written(tmp_path, a).model, np.concatenate([h, c]), x)
    np.testing.assert_allclose(ours, np.concatenate([sigmoid(o) * np.tanh(new), new]), rtol=1e-12)


def flax(layers):
    """``layers``: names with whether they have a bias; those with an i take the input."""
    a = {}
    for k, (name, bias) in enumerate(layers.items()):
        a[f"params/cell/{name}/kernel"] = draw(M if name.startswith(("i", "dense_i")) else N, N, seed=k)
        a |= {f"params/cell/{name}/bias": draw(N, seed=50 + k)} if bias else {}
    return a, lambda name, v: v @ a[f"params/cell/{name}/kernel"] + a.get(f"params/cell/{name}/bias", 0)


def test_flax_linen_cells(tmp_path):
    h, c, x = draw(N), draw(N, seed=1), draw(M)
    a, dense = flax({"i": True, "h": False})
    found = written(tmp_path, a, activation="tanh")
    np.testing.assert_allclose(step(found.model, h, x), np.tanh(dense("i", x) + dense("h", h)), rtol=1e-13)

    a, dense = flax({"ir": True, "iz": True, "in": True, "hr": False, "hz": False, "hn": True})
    r, z = (sigmoid(dense(f"i{gate}", x) + dense(f"h{gate}", h)) for gate in "rz")
    expected = (1 - z) * np.tanh(dense("in", x) + r * dense("hn", h)) + z * h
    np.testing.assert_allclose(step(written(tmp_path, a).model, h, x), expected, rtol=1e-12)

    a, dense = flax({"if": True, "in": True, "hf": False, "hn": True})
    f = sigmoid(dense("if", x) + dense("hf", h))
    expected = (1 - f) * np.tanh(dense("in", x) + f * dense("hn", h)) + f * h
    found = written(tmp_path, a)
    assert isinstance(found.model, MGU)
    assert "reset_gate=True" in found.assumed[0]
    np.testing.assert_allclose(step(found.model, h, x), expected, rtol=1e-12)

    a, dense = flax({f"{side}{gate}": side == "h" for gate in "ifgo" for side in "ih"})
    i, f, g, o = (dense(f"i{gate}", x) + dense(f"h{gate}", h) for gate in "ifgo")
    new = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    ours = step(written(tmp_path, a).model, np.concatenate([h, c]), x)
    np.testing.assert_allclose(ours, np.concatenate([sigmoid(o) * np.tanh(new), new]), rtol=1e-12)


@pytest.mark.parametrize(("kind", "gates"), [("tanh", 1), ("gru", 3), ("lstm", 4)])
def test_flax_nnx_cells_with_gates_side_by_side(tmp_path, kind, gates):
    a = {
        "cell.dense_h.kernel.value": draw(N, gates * N),
        "cell.dense_i.kernel.value": draw(M, gates * N),
        "cell.dense_i.bias.value": draw(gates * N),
    }
    state, x = draw(2 * N if kind == "lstm" else N), draw(M)
    R, K, b = a.values()
    as_torch = {"rnn.weight_hh_l0": R.T, "rnn.weight_ih_l0": K.T, "rnn.bias_ih_l0": b, "rnn.bias_hh_l0": 0 * b}
    found = written(tmp_path, a, activation="tanh" if gates == 1 else None)
    np.testing.assert_allclose(
        step(found.model, state, x), torch_step(kind, as_torch, state[:N], state[N:], x), rtol=1e-12
    )


# --- hand-written networks -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("weight", "bias", "inputs"),
    [
        ("h2h.weight", "h2h.bias", "input2h.weight"),
        ("net.rnn.W_rec", "net.rnn.b_rec", "net.rnn.W_in"),
        ("weight", "bias", "input_weight"),
        ("W", "b", "U"),
        ("W_hh", "b_h", "W_xh"),
    ],
)
def test_common_names_and_both_places_of_the_nonlinearity(tmp_path, weight, bias, inputs):
    W, b, U, h, x = draw(N, N), draw(N), draw(N, M), draw(N), draw(M)
    prefix = weight.rpartition(".")[0].removesuffix("h2h") + ("." if weight.startswith("net") else "")
    a = {weight: W, bias: b, inputs: U, f"{prefix}alpha": np.float32(0.2), "fc.weight": draw(2, N), "fc.bias": draw(2)}
    found = written(tmp_path, a, activation="relu")
    expected = 0.8 * h + 0.2 * np.maximum(W @ h + U @ x + b, 0)
    np.testing.assert_allclose(step(found.model, h, x), expected, rtol=1e-13)
    assert any("φ(W h + b)" in text for text in found.assumed)
    inner = written(tmp_path, a, activation="relu", cell="W@phi(h)+b")
    np.testing.assert_allclose(step(inner.model, h, x), 0.8 * h + 0.2 * (W @ np.maximum(h, 0) + U @ x + b), rtol=1e-13)
    assert set(found.unused) == {"fc.weight", "fc.bias"}


def test_a_leak_is_given_or_is_a_ratio_of_times_and_contradictions_are_refused(tmp_path):
    W, h = draw(N, N), draw(N)
    expected = 0.9 * h + 0.1 * np.tanh(W @ h)
    for arrays, options in (
        ({"W_rec": W, "dt": np.asarray(2.0), "tau": np.asarray(20.0)}, {}),
        ({"W_rec": W, "tau": np.full(N, 20.0), "dt": np.asarray(2)}, {}),
        ({"W_rec": W}, {"leak": 0.1}),
        ({"rnn.weight_hh_l0": W, "rnn.alpha": np.asarray(0.1)}, {}),
    ):
        found = written(tmp_path, arrays, activation="tanh", **options)
        np.testing.assert_allclose(step(found.model, h), expected, rtol=1e-13)
    with pytest.raises(ValueError, match=r"leak of 0\.1, not 0\.3"):
        written(tmp_path, {"W_rec": W, "alpha": np.asarray(0.1)}, leak=0.3)
    with pytest.raises(ValueError, match="one number for all units"):
        written(tmp_path, {"W_rec": W, "alpha": np.linspace(0.1, 0.2, N)})
    with pytest.raises(ValueError, match=r"not in \(0, 1\]"):
        written(tmp_path, {"W_rec": W, "alpha": np.asarray(1.5)})


# --- what the file does not say --------------------------------------------------------------------------------


def test_an_assumption_is_told_once_and_an_option_ends_it(tmp_path):
    np.savez(tmp_path / "w.npz", weight_hh=draw(N, N))
    with pytest.warns(rnn.AssumptionWarning, match="tanh, which the file does not say"):
        model = rnn.load(tmp_path / "w.npz")
    assert type(model) is type(rnn.load(tmp_path / "w.npz", activation="tanh"))
    found = rnn.load_report(tmp_path / "w.npz")
    assert len([line for line in found.lines if line.startswith("assumed: ")]) == 1
    json.dumps(found.facts())


def test_unused_arrays_are_named_and_their_nan_does_no_harm(tmp_path):
    a = torch_arrays(3) | {"head.weight": np.full((1, N), np.nan), "steps": np.arange(3), "note": np.array("run 1")}
    found = written(tmp_path, a)
    assert found.unused == {"head.weight": "holds NaN or infinity", "steps": "of type int64", "note": "of type <U5"}
    a["rnn.weight_ih_l0"][0, 0] = np.nan
    with pytest.raises(ValueError, match=r"rnn.weight_ih_l0 contains NaN"):
        written(tmp_path, a)


def test_half_precision_and_foreign_byte_order_are_read(tmp_path):
    W = draw(N, N).astype(np.float16)
    h = draw(N).astype(np.float32)
    for array in (W, W.astype(">f4"), W.astype(">f2")):
        found = written(tmp_path, {"weight_hh": array}, activation="tanh")
        np.testing.assert_allclose(step(found.model, h), np.tanh(W.astype(np.float32) @ h), rtol=1e-6)
    coarse = W.astype(ml_dtypes.bfloat16)
    for name in ("w.npz", "w.safetensors"):
        found = written(tmp_path, {"weight_hh": coarse}, name, activation="tanh")
        np.testing.assert_allclose(step(found.model, h), np.tanh(coarse.astype(np.float32) @ h), rtol=1e-6)
        assert found.converted == ("bfloat16",)


# --- out and in again ------------------------------------------------------------------------------------------


def cells():
    W, b, U = draw(N, N), draw(N), draw(N, M)
    yield rnn.VanillaRNN(jnp.asarray(W), None, "W@tanh(h)+b")
    yield rnn.LeakyRNN(jnp.asarray(W), jnp.asarray(b), jnp.asarray(U), 0.3, "phi(W@h+b)", "relu")
    yield rnn.GRU(jnp.asarray(draw(3 * N, N)), jnp.asarray(draw(3 * N)), jnp.asarray(b))
    yield rnn.LSTM(jnp.asarray(draw(4 * N, N)), jnp.asarray(draw(4 * N)))
    yield MGU(jnp.asarray(draw(2 * N, N)), jnp.asarray(draw(2 * N)), jnp.asarray(b), reset=False)
    one = rnn.VanillaRNN(jnp.asarray(W), jnp.asarray(b), "tanh(W@h+b)", jnp.asarray(draw(N, N, seed=3)))
    yield Stack((one, one), (N, N), (N, N))


@pytest.mark.parametrize("suffix", ["npz", "safetensors"])
@pytest.mark.parametrize("model", list(cells()), ids=lambda model: type(model).__name__)
def test_saved_models_come_back_without_an_assumption(tmp_path, model, suffix):
    rnn.save(model, tmp_path / f"w.{suffix}")
    again = rnn.load(tmp_path / f"w.{suffix}")
    assert jax.tree.structure(again) == jax.tree.structure(model)
    for a, b in zip(jax.tree.leaves(again), jax.tree.leaves(model), strict=True):
        np.testing.assert_array_equal(a, b)
    with pytest.raises(ValueError, match="leave activation off"):
        rnn.load(tmp_path / f"w.{suffix}", activation="relu")


def test_what_cannot_be_saved_is_named(tmp_path):
    with pytest.raises(ValueError, match="model is a MLP"):
        rnn.save(eqx.nn.MLP(2, 2, 2, 1, key=jax.random.key(0)), tmp_path / "w.npz")
    with pytest.raises(ValueError, match="neither"):
        rnn.save(rnn.VanillaRNN(jnp.eye(2)), tmp_path / "w.pt")
    assert list(tmp_path.iterdir()) == []


# --- bad input -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "options", "match"),
    [
        ({"weight_hh": np.ones((4, 3))}, {}, "do not fit"),
        ({"weight_hh": np.ones((3, 3))}, {"cell": "gru"}, "do not fit"),
        ({"weight_hh": np.ones((3, 3))}, {"cell": "elman"}, "cell must be one of"),
        ({"weight_hh": np.ones((3, 3))}, {"activation": "gelu"}, "activation must be one of"),
        ({"weight_hh": np.ones((3, 3))}, {"leak": 0.0}, "leak must lie in"),
        ({"weight_hh": np.ones((3, 3))}, {"layers": 2}, "layers names 2"),
        ({"weight_hh": np.ones((3, 3)), "bias_hh": np.ones(2)}, {}, "does not fit"),
        ({"weight_hh": np.ones((9, 3))}, {"activation": "relu"}, "belong to an RNN"),
        ({"kernel": np.ones((3, 3))}, {}, "no recurrent weights"),
        ({"a.weight_hh": np.ones((3, 3)), "b.weight_hh": np.ones((3, 3))}, {}, "several recurrent layers, a, b"),
        ({"weight_hh": np.full((3, 3), np.nan)}, {}, "NaN"),
        ({"weight_hh": np.ones((3, 3)), "weight_ih": np.ones((3, 2))}, {"x": [np.nan, 0]}, "x must be finite"),
    ],
)
def test_bad_weights_are_named(tmp_path, content, options, match):
    with pytest.raises(ValueError, match=match):
        written(tmp_path, content, **options)


def test_several_modules_are_connected_as_asked(tmp_path):
    a = {"enc.weight_hh": draw(N, N), "dec.weight_hh": draw(N, N), "dec.weight_ih": draw(N, N)}
    found = written(tmp_path, a, layers=["enc", "dec"], activation="tanh")
    assert found.model.sizes == (N, N)
    assert written(tmp_path, a, layers="dec", activation="tanh").inputs == N
    with pytest.raises(ValueError, match="takes 0 inputs"):
        written(tmp_path, a, layers=["dec", "enc"], activation="tanh")


def test_pickles_are_not_opened_and_the_way_out_is_told(tmp_path):
    for name, code in (("w.pt", "torch.load"), ("w.pkl", "torch.load"), ("w.keras", "keras.saving.load_model")):
        (tmp_path / name).write_bytes(b"cos\nsystem\n(S'touch hacked'\ntR.")
        with pytest.raises(ValueError, match="is not opened") as caught:
            rnn.load(tmp_path / name)
        assert code in str(caught.value)
        assert len(str(caught.value).splitlines()) == 3
    np.savez(tmp_path / "w.npz", weight_hh=np.eye(N), extra=np.array([{"a": 1}], dtype=object), allow_pickle=True)
    assert rnn.load_report(tmp_path / "w.npz").unused["extra"] == "pickled objects, which are never opened"


def odd_files(folder):
    """Files that are not what they say, by a name for each."""
    whole = folder / "whole.npz"
    np.savez_compressed(whole, weight_hh=draw(8, 8))
    data = whole.read_bytes()
    yield "empty.npz", b""
    yield "nonsense.npz", b"nonsense"
    yield "nonsense.safetensors", b"nonsense"
    for share in (3, 10, 30, 60, 90):
        yield f"cut_at_{share}.npz", data[: len(data) * share // 100]
    for k in range(0, len(data), max(len(data) // 12, 1)):
        yield f"flipped_{k}.npz", data[:k] + bytes([data[k] ^ 0xFF]) + data[k + 1 :]
    long = json.dumps(
        {"weight_hh": {"dtype": "F32", "shape": [10**6, 10**6], "data_offsets": [0, 4 * 10**12]}}
    ).encode()
    yield "lying.safetensors", struct.pack("<Q", len(long)) + long + b"\0" * 64
    yield "endless_header.safetensors", struct.pack("<Q", 2**60) + b"{}"
    short = json.dumps({"weight_hh": {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 8]}}).encode()
    yield "short.safetensors", struct.pack("<Q", len(short)) + short + b"\0" * 8
    yield "no_json.safetensors", struct.pack("<Q", 4) + b"[[[["


def attempt(path):
    """The model in a file, or the one line that refuses it."""
    try:
        return rnn.load_report(path).model
    except ValueError as error:
        return str(error)


def test_odd_files_are_one_line(tmp_path):
    for name, content in odd_files(tmp_path):
        (tmp_path / name).write_bytes(content)
        found = attempt(tmp_path / name)
        if isinstance(found, str):
            assert name in found
            assert len(found.splitlines()) == 1
        else:
            assert name.startswith("flipped")  # at a byte that does not matter
            np.testing.assert_array_equal(found.weight, draw(8, 8))


def test_lying_shapes_and_bombs_take_no_memory(tmp_path):
    path = tmp_path / "lying.npz"
    with zipfile.ZipFile(path, "w") as archive, archive.open("weight_hh.npy", "w") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "<f8", "fortran_order": False, "shape": (10**6, 10**6)})
        file.write(b"\0" * 64)
    with pytest.raises(ValueError, match="which its data has not"):
        rnn.load(path)
    path = tmp_path / "bomb.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("weight_hh.npy", "w") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "<f8", "fortran_order": False, "shape": (3600, 3600)})
        for _ in range(100):
            file.write(b"\0" * (3600 * 36 * 8))
    assert path.stat().st_size < 2**18
    with pytest.raises(ValueError, match="unpacks from"):
        rnn.load(path)


def test_missing_files_and_other_formats_are_named(tmp_path):
    with pytest.raises(ValueError, match="no file"):
        rnn.load(tmp_path / "none.npz")
    (tmp_path / "w.txt").write_bytes(b"")
    with pytest.raises(ValueError, match="neither"):
        rnn.load(tmp_path / "w.txt")
