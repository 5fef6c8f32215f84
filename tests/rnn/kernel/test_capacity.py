"""The capacity plan against what the compiler reports, and the page against the code."""

import re
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

from rnn import VanillaRNN, sntk
from rnn.kernel.capacity import product_cost
from rnn.kernel.products import fisher_block

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "capacity.md").read_text()
SIZES = [(256, 25, 64, 1), (256, 25, 64, 4), (32, 50, 256, 1), (16, 400, 128, 2)]  # B, T, N, k
WAYS = [{}, {"chunk": 8}, {"remat": True}, {"chunk": 8, "remat": True}]


def compiled(size, options):
    batch, horizon, state, k = size
    random = np.random.default_rng(0)
    weight = jnp.asarray(0.5 * random.normal(size=(state, state)) / np.sqrt(state), jnp.float32)
    h0 = jnp.asarray(random.normal(size=(batch, state)), jnp.float32)
    kernel = sntk(VanillaRNN(weight, jnp.zeros(state, jnp.float32)), h0, horizon, **options)
    return fisher_block.lower(kernel, jnp.ones((k, kernel.shape[1]), jnp.float32)).compile()


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("options", WAYS, ids=str)
def test_the_peak_is_the_compilers(size, options):
    usage = compiled(size, options).memory_analysis()
    peak = usage.argument_size_in_bytes + usage.temp_size_in_bytes + usage.output_size_in_bytes
    batch, horizon, state, k = size
    assert 0.95 <= product_cost(batch, horizon, state, vectors=k, **options).peak / peak <= 1.25


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_the_operations_are_the_compilers(size):
    """It counts the body of a loop once: one of the T steps."""
    batch, horizon, state, k = size
    flops = compiled(size, {}).cost_analysis()["flops"]
    assert 0.98 <= product_cost(batch, horizon, state, vectors=k).operations / horizon / flops <= 1


def test_devices_share_the_work_and_send_the_parameters_once():
    one, four = product_cost(64, 30, 16), product_cost(64, 30, 16, devices=4)
    assert four.operations * 4 == product_cost(64, 30, 16, chunk=16).operations == one.operations // 8 * 10
    assert (one.sent, four.sent) == (0, 4 * 16 * 17)
    assert product_cost(65, 30, 16, devices=4).operations == product_cost(17 * 4, 30, 16, devices=4).operations


def test_what_is_held_saves_operations_and_stays_within_what_was_said():
    least, usual, most = (product_cost(64, 10_000, 256, remat=held) for held in (1, True, 10**6))
    tangents = 4 * 64 * 10_000 * 256
    assert least.peak < usual.peak < 0.5 * tangents + least.peak < most.peak < tangents + least.peak
    assert least.operations == 16 * 64 * 10_000 * 256**2 > usual.operations > most.operations
    assert most.operations == 0.75 * least.operations  # two of every step's eight matrix products


def test_the_page_states_the_codes_figures():
    rows = re.findall(r"^\| (\d[\d,]*) \| (\d+) \| (\d+) \| ([^|]*) \| (\S+) GB \| (\S+) \| (\S+) GB \|$", PAGE, re.M)
    assert len(rows) >= 6
    for batch, horizon, state, options, peak, operations, sent in rows:
        named = dict(part.split("=") for part in options.split(", ") if "=" in part)
        known = {"remat": "remat" in options.split(", ")} | {name: int(value) for name, value in named.items()}
        cost = product_cost(int(batch.replace(",", "")), int(horizon), int(state), **known)
        assert f"{cost.peak / 1e9:.3g}" == peak
        assert f"{cost.operations:.2e}" == operations
        assert f"{cost.sent / 1e9:.3g}" == sent


@pytest.mark.parametrize("name", ["batch", "horizon", "state", "vectors", "devices", "chunk"])
def test_bad_counts_are_named(name):
    counts = {"batch": 4, "horizon": 3, "state": 2, name: -1}
    with pytest.raises(ValueError, match=f"{name} must be"):
        product_cost(**counts)
