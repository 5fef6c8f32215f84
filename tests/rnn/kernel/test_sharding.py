"""The batch shared among devices and processes: the numbers of one device, to rounding.

Each test runs a program of its own, since devices are forced and processes joined before JAX starts.
"""

import os
import socket
import subprocess
import sys
from pathlib import Path

import jax
import pytest
from kernels import vanilla

from rnn.kernel.devices import local_devices

HERE = Path(__file__).resolve().parent.parent
ROOT = HERE.parent.parent

PROGRAM = """
import sys
import jax, jax.numpy as jnp, numpy as np
jax.config.update("jax_enable_x64", True)
jax.config.update("jax_numpy_dtype_promotion", "strict")
if len(sys.argv) > 1:
    jax.distributed.initialize(f"127.0.0.1:{sys.argv[1]}", 2, int(sys.argv[2]))
import kernels
from rnn.kernel.products import fisher_block

expected = EXPECTED
assert jax.device_count() == expected, jax.device_count()


def host(x):
    if not isinstance(x, jax.Array):
        return np.asarray(x)
    if x.is_fully_addressable or x.is_fully_replicated:
        return np.asarray(x)
    from jax.experimental.multihost_utils import process_allgather
    return np.asarray(process_allgather(x, tiled=True))


def close(a, b, tolerance=1e-12):
    a, b = host(a), host(b)
    assert a.shape == b.shape and np.max(np.abs(a - b)) <= tolerance * np.max(np.abs(a)), (a.shape, b.shape)


def compare(case, devices, chosen=("jvp", "mv", "fisher", "vjp", "trace"), **options):
    # against the dense Jacobian, so that nothing is compiled twice
    J, many = kernels.dense(case), case.kernel(devices=devices, **options)
    rng = np.random.default_rng(0)
    v = rng.normal(size=(2, many.shape[1]))
    rows = rng.normal(size=(2, J.shape[0]))
    y = rows.reshape(2, many.h0.shape[0], many.horizon, many.outputs)
    pairs = {
        "jvp": lambda: (many.jvp(v), (v @ J.T).reshape(y.shape)),
        "mv": lambda: (many.mv(y), (rows @ J @ J.T).reshape(y.shape)),
        "fisher": lambda: (many.fisher_mv(v), v @ J.T @ J),
        "vjp": lambda: (many.flatten(many.vjp(y)), rows @ J),
        "trace": lambda: (many.frobenius(exact=True).value, np.sum(J**2)),
    }
    for name in chosen:
        close(*pairs[name]())
    return case.kernel(), many


def estimate(one, many):
    a, b = one.stable_rank(), many.stable_rank()
    close(a.value, b.value, 1e-10)
    close(a.standard_error, b.standard_error, 1e-8)
    close(one.leading(2).singular_values, many.leading(2).singular_values)
"""

ON_EIGHT = """
devices = jax.devices()
compare(kernels.vanilla(batch=16), devices, ("jvp", "fisher", "trace"))  # divides
compare(kernels.vanilla("tanh(W@h+b)", batch=19), devices, chunk=2, remat=True)  # leaves three
compare(kernels.vanilla(batch=3, readout=kernels.MATRIX), devices, ("vjp", "mv"))  # fewer than devices
compare(kernels.gated(batch=9), devices, ("fisher", "trace"))

one, many = kernels.vanilla(batch=16).kernel(), kernels.vanilla(batch=16).kernel(devices=devices)
estimate(one, many)
text = fisher_block.lower(many, jnp.ones((1, many.shape[1]))).compile().as_text()
calls = [line for line in text.splitlines() if " all-reduce(" in line or " all-gather(" in line]
assert len(calls) == 1, calls  # once per product, not once per step
assert "f64[4,4]" in calls[0].split(" all-reduce(")[0], calls
y = many.jvp(jnp.ones(20))
assert not y.is_fully_replicated  # tangents stay where they are
try:
    bad = kernels.vanilla(batch=19)
    bad._replace(h0=bad.h0.at[17, 0].set(np.nan)).kernel(devices=devices)
except ValueError as error:
    assert "trajectory 17" in str(error), error
else:
    raise AssertionError("not finite, and not said")

import rnn
tasks = [rnn.student_teacher(seed, size=4, batch=8, horizon=3, dtype=jnp.float64) for seed in range(9)]
pairs = zip(rnn.train_all(tasks, steps=5, save_every=2), rnn.train_all(tasks, steps=5, save_every=2, devices=devices))
for alone, shared in pairs:  # two on each of eight, the last one over and over
    close(alone.loss, shared.loss)
    close(alone.path.parameters, shared.path.parameters)
close(jax.jit(lambda: kernels.vanilla(batch=16).kernel(devices=devices).fisher_mv(jnp.ones(20)))(),
      kernels.vanilla(batch=16).kernel().fisher_mv(jnp.ones(20)))
print("ok")
"""

ON_TWO_PROCESSES = """
import rnn
try:
    task = rnn.Task(rnn.VanillaRNN(np.eye(2)), np.ones((2, 2)), np.ones((2, 3, 2)))
    rnn.train_all([task], devices=jax.devices())
except ValueError as error:
    assert "devices must be of this process" in str(error), error
else:
    raise AssertionError("devices of another process, and not said")
estimate(*compare(kernels.vanilla(batch=10), jax.devices(), ("jvp", "mv")))
compare(kernels.vanilla(batch=7), jax.devices(), ("vjp", "fisher", "trace"), chunk=2)  # leaves three
print("ok")
"""


def start(body, devices, total, *arguments):
    env = os.environ | {
        "XLA_FLAGS": f"{os.environ['XLA_FLAGS']} --xla_force_host_platform_device_count={devices}",
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(HERE)]),
        "JAX_PLATFORMS": "cpu",
        "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",  # the programs run once each
    }
    code = PROGRAM.replace("EXPECTED", str(total)) + body
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(*processes):
    try:
        for process in processes:
            out, err = process.communicate(timeout=900)
            assert process.returncode == 0, err[-4000:]
            assert out.strip().endswith("ok")
    finally:
        for process in processes:
            process.kill()
            process.wait()


@pytest.mark.slow
def test_eight_devices_give_the_numbers_of_one():
    finish(start(ON_EIGHT, 8, 8))


@pytest.mark.slow
def test_two_processes_give_the_numbers_of_one():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    finish(*[start(ON_TWO_PROCESSES, 2, 4, port, rank) for rank in range(2)])


@pytest.mark.parametrize(
    ("count", "message"),
    [(10**6, "asked for, but there are"), (0, "devices must be"), (True, "devices must be")],
)
def test_a_bad_count_of_devices_is_named(count, message):
    with pytest.raises(ValueError, match=message):
        local_devices(count)


def test_one_device_may_be_named():
    kernel = vanilla().kernel(devices=local_devices(1))
    assert kernel.mesh.size == 1
    assert abs(kernel.frobenius(exact=True).value / vanilla().kernel().frobenius(exact=True).value - 1) < 1e-12


@pytest.mark.parametrize("devices", [[], jax.devices()[:1] * 2], ids=["none", "twice the same"])
def test_bad_devices_are_named(devices):
    with pytest.raises(ValueError, match="devices must be one or more different devices"):
        vanilla().kernel(devices=devices)
