"""One step of the loaded model is PyTorch's own, to 1e-12 in float64."""

import jax.numpy as jnp
import numpy as np
import pytest
import torch

import rnn

MODULES = {
    "tanh": lambda: torch.nn.RNN(3, 5),
    "relu": lambda: torch.nn.RNN(3, 5, nonlinearity="relu"),
    "three layers": lambda: torch.nn.RNN(3, 5, num_layers=3),
    "gru": lambda: torch.nn.GRU(3, 5),
    "gru without bias": lambda: torch.nn.GRU(3, 5, bias=False),
    "gru, two layers": lambda: torch.nn.GRU(3, 5, num_layers=2),
    "lstm": lambda: torch.nn.LSTM(3, 5),
    "lstm, two layers": lambda: torch.nn.LSTM(3, 5, num_layers=2),
    "lstm, projected": lambda: torch.nn.LSTM(3, 5, proj_size=2),
    "lstm, projected, two layers": lambda: torch.nn.LSTM(3, 5, num_layers=2, proj_size=2),
}
CELLS = {"rnn": torch.nn.RNNCell, "gru": torch.nn.GRUCell, "lstm": torch.nn.LSTMCell}


def weights(module, path):
    np.savez(path, **{f"net.{name}": value.detach().numpy() for name, value in module.state_dict().items()})
    return path


@pytest.mark.parametrize("name", MODULES)
def test_modules(name, tmp_path):
    torch.manual_seed(0)
    module = MODULES[name]().double()
    outputs = getattr(module, "proj_size", 0) or module.hidden_size
    h = torch.randn(module.num_layers, 1, outputs, dtype=torch.float64)
    c = torch.randn(module.num_layers, 1, module.hidden_size, dtype=torch.float64)
    x = torch.randn(1, 1, 3, dtype=torch.float64)
    lstm = isinstance(module, torch.nn.LSTM)
    with torch.no_grad():
        _, new = module(x, (h, c) if lstm else h)
    pairs = [(h, c), new] if lstm else [(h,), (new,)]
    before, after = (torch.cat([part[k, 0] for k in range(len(h)) for part in pair]).numpy() for pair in pairs)
    activation = getattr(module, "nonlinearity", None)
    model = rnn.load(weights(module, tmp_path / "w.npz"), activation=activation)
    ours = model(jnp.asarray(before), jnp.asarray(x[0, 0].numpy()))
    np.testing.assert_allclose(np.asarray(ours), after, atol=1e-12)


@pytest.mark.parametrize("kind", CELLS)
def test_cells(kind, tmp_path):
    torch.manual_seed(0)
    cell = CELLS[kind](3, 5).double()
    h, c, x = (torch.randn(1, n, dtype=torch.float64) for n in (5, 5, 3))
    with torch.no_grad():
        new = cell(x, (h, c) if kind == "lstm" else h)
    before = torch.cat([h, c], 1) if kind == "lstm" else h
    after = torch.cat(new, 1) if kind == "lstm" else new
    model = rnn.load(weights(cell, tmp_path / "w.npz"), activation="tanh" if kind == "rnn" else None)
    ours = model(jnp.asarray(before[0].numpy()), jnp.asarray(x[0].numpy()))
    np.testing.assert_allclose(np.asarray(ours), after[0].numpy(), atol=1e-12)


def test_both_directions_are_refused(tmp_path):
    module = torch.nn.GRU(3, 5, bidirectional=True)
    with pytest.raises(ValueError, match="both directions"):
        rnn.load(weights(module, tmp_path / "w.npz"))


def test_the_two_lines_that_convert_a_checkpoint_do(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    module = torch.nn.GRU(3, 5)
    torch.save(module.state_dict(), "w.pt")
    with pytest.raises(ValueError, match="not opened") as refused:
        rnn.load("w.pt")
    exec("\n".join(str(refused.value).splitlines()[1:]), {})
    assert isinstance(rnn.load("w.npz"), rnn.GRU)
