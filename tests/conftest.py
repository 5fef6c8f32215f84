"""float64 and strict promotion for every test; fixed seeds are the tests' own."""

import gc
import os
import shutil
import tempfile

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("MPLBACKEND", "Agg")

# The tests compile much and run little, in two workers. XLA's own emitters of loops on the CPU, in one thread, compile
# in half the time of those through MLIR, and small products in one thread leave the other core to the other worker; set
# XLA_FLAGS, empty or not, to test what the defaults make.
_FLAGS = "use_fusion_emitters=false", "parallel_codegen_split_count=1", "multi_thread_eigen=false"
os.environ.setdefault("XLA_FLAGS", " ".join(f"--xla_cpu_{flag}" for flag in _FLAGS))

# Traces and expressions are large graphs that live as long as their module: looked through seldom, they cost a tenth
# less.
gc.set_threshold(100_000, 50, 50)

# Made by the first process and inherited by workers and by the commands that tests start, so that each program is
# compiled once in a run of the tests; it ends with the run.
_OWN_CACHE = None
if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
    _OWN_CACHE = os.environ["JAX_COMPILATION_CACHE_DIR"] = tempfile.mkdtemp(prefix="normalforms-tests-")
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.1")
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")

import jax  # noqa: E402
import pytest  # noqa: E402

jax.config.update("jax_enable_x64", True)
jax.config.update("jax_numpy_dtype_promotion", "strict")


def pytest_unconfigure():
    if _OWN_CACHE is not None:
        shutil.rmtree(_OWN_CACHE, ignore_errors=True)


# Modules whose time is compilation: many small programs, each run a few times.
_COMPILING = {
    "bifurcations",
    "density",
    "detector",
    "factors",
    "fixed_points",
    "forecast",
    "frobenius",
    "jets",
    "kernel",
    "krylov",
    "optimizer",
    "pages",
    "spectrum",
    "sweeps",
}


@pytest.fixture(autouse=True, scope="module")
def _programs(request):
    """Each module drops its compiled programs: thousands of them in one process exhaust the kernel's memory maps."""
    jax.config.update("jax_disable_most_optimizations", request.module.__name__.removeprefix("test_") in _COMPILING)
    yield
    jax.config.update("jax_disable_most_optimizations", False)
    jax.clear_caches()


# The longest first, so that two workers end together.
_LONG = (
    "experiment",
    "bifurcations",
    "notebooks",
    "cli",
    "sharding",
    "series",
    "spectrum",
    "prediction",
    "optimizer",
    "uniform",
    "enclosure",
    "jets",
)


def pytest_collection_modifyitems(items):
    rank = {f"test_{name}": k for k, name in enumerate(_LONG)}
    items.sort(key=lambda item: rank.get(item.path.stem, len(rank)))
