"""float64 and strict promotion for every test; fixed seeds are the tests' own."""

import os

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("MPLBACKEND", "Agg")

import jax
import pytest

jax.config.update("jax_enable_x64", True)
jax.config.update("jax_numpy_dtype_promotion", "strict")


@pytest.fixture(autouse=True, scope="module")
def _fresh_programs():
    """Each module drops its compiled programs: thousands of them in one process exhaust the kernel's memory maps."""
    yield
    jax.clear_caches()


@pytest.fixture(scope="session")
def story():
    """The experiment at 1,000 steps, seed 0: real training, made once."""
    from rnn.reproduce import reproduce

    with jax.enable_x64(False):
        return reproduce("quick", steps=1_000)
