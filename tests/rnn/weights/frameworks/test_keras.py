"""One step of the loaded model is Keras' own, to 1e-6 in float32."""

import os

os.environ.setdefault("KERAS_BACKEND", "jax")

import jax
import jax.numpy as jnp
import keras
import numpy as np
import pytest

import rnn

LAYERS = {
    "SimpleRNN": ("SimpleRNN", {}),
    "GRU": ("GRU", {}),
    "GRU, reset first": ("GRU", {"reset_after": False}),
    "LSTM": ("LSTM", {}),
}


@pytest.mark.parametrize("name", LAYERS)
def test_layers(name, tmp_path):
    kind, options = LAYERS[name]
    rng = np.random.default_rng(0)
    with jax.enable_x64(False):
        layer = getattr(keras.layers, kind)(5, return_state=True, **options)
        layer.build((None, 1, 3))
        layer.set_weights([rng.normal(size=w.shape).astype(np.float32) for w in layer.weights])
        state = [jnp.asarray(rng.normal(size=(1, 5)), jnp.float32) for _ in range(2 if kind == "LSTM" else 1)]
        x = jnp.asarray(rng.normal(size=(1, 1, 3)), jnp.float32)
        after = np.concatenate([np.asarray(part)[0] for part in layer(x, initial_state=state)[1:]])
        np.savez(tmp_path / "w.npz", **{w.path: np.asarray(w) for w in layer.weights})
        model = rnn.load_report(tmp_path / "w.npz").model
        ours = model(jnp.concatenate([part[0] for part in state]), x[0, 0])
    np.testing.assert_allclose(np.asarray(ours), after, atol=1e-6)
