"""The README does what it says."""

import doctest
import re
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

README = Path(__file__).parent.parent / "README.md"


def test_examples_give_what_they_show():
    found = doctest.testfile(str(README), module_relative=False)
    assert found.attempted >= 7
    assert found.failed == 0


class Tensor:
    """What the README asks of a PyTorch tensor."""

    def __init__(self, values):
        self.values = np.asarray(values, np.float32)

    def numpy(self):
        return self.values


class Network:
    """What the README asks of a PyTorch network, with the names of ``torch.nn.RNN(2, 3)``."""

    def state_dict(self):
        shapes = {"weight_ih_l0": (3, 2), "weight_hh_l0": (3, 3), "bias_ih_l0": (3,), "bias_hh_l0": (3,)}
        rng = np.random.default_rng(0)
        return {name: Tensor(rng.normal(size=shape)) for name, shape in shapes.items()}


def test_the_networks_stories_run(tmp_path, monkeypatch, capsys):
    """A user's weights, then a training run, in one session in an empty folder."""
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    assert len(blocks) == 3
    names = {"network": Network()}
    with jax.enable_x64(False):
        for block in blocks:
            exec(block, names)
    assert re.search(r"\(\d+, 3\)", capsys.readouterr().out)
    model = names["model"]
    weights = names["network"].state_dict()
    bias = weights["bias_ih_l0"].numpy() + weights["bias_hh_l0"].numpy()
    drive = weights["weight_ih_l0"].numpy() @ np.array([0.5, -1.0], np.float32)
    h = np.array([0.3, -0.2, 0.1], np.float32)
    expected = np.tanh(weights["weight_hh_l0"].numpy() @ h + bias)
    np.testing.assert_allclose(model(h), expected, rtol=1e-5)
    driven = np.tanh(weights["weight_hh_l0"].numpy() @ h + drive + bias)
    np.testing.assert_allclose(model(h, jnp.asarray([0.5, -1.0], jnp.float32)), driven, rtol=1e-5)


def test_the_two_commands_stand_at_the_top():
    """In the form that .ci/run reads: the line after ``# tests``, before any other section."""
    top = README.read_text().split("\n## ")[0].splitlines()
    tests = top[top.index("# tests") + 1]
    assert "--require-hashes -r requirements-test.lock" in tests
    assert "-m pytest" in tests
    (main,) = [line for line in top if line.endswith("normalforms reproduce")]
    for line in (main, tests):
        assert line.startswith("python3 -m venv .venv && ")
        assert "pip install -q --no-deps --no-build-isolation ." in line


def test_it_names_no_file_that_is_missing():
    text = README.read_text()
    names = re.findall(r"\]\(([^)#:]+)\)", text)
    assert names
    for name in names:
        assert (README.parent / name).exists(), name
