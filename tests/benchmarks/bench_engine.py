"""The engine of the state-space NTK beside its peers: one table, ratios first, all in one run.

    python tests/benchmarks/bench_engine.py            # everything but the long horizon, about a minute
    python tests/benchmarks/bench_engine.py floor      # ratios to the same products and tanhs without bookkeeping
    python tests/benchmarks/bench_engine.py --long     # T = 10,000, N = 256, B = 64 with rematerialisation, too

Times are medians of rounds in which everything is run in turn; the unit is one loss-and-gradient evaluation of the
same network (B = 256, T = 25, N = 64, float32, unless said). Peers: SciPy's ARPACK over a ``LinearOperator``,
matfree's Lanczos where it is installed (dependency group ``bench``), and the product that ``jax.linearize`` and
``jax.linear_transpose`` make of the plain rollout.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time

import bench_floor
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.flatten_util import ravel_pytree
from scipy.sparse.linalg import LinearOperator, eigsh

import rnn
from rnn.kernel.products import fisher_block
from rnn.models import with_bias
from rnn.training.steps import advance, diagnose, start

try:
    import matfree.decomp
    import matfree.eig
except ModuleNotFoundError:
    matfree = None

ROWS: list[tuple[str, str, str, str]] = []


def row(what, ratio, bound="", note=""):
    """One line of the table: what, ratio or figure, bound it must hold, what else was seen."""
    ROWS.append((what, f"{ratio:.3g}" if isinstance(ratio, float) else str(ratio), bound, note))
    print(" ".join(ROWS[-1]), file=sys.stderr, flush=True)


def timed(functions, rounds=15):
    """Median seconds of each function, run in turn; each round's ratio is taken to the first before the median."""
    spent = {name: [] for name in functions}
    for function in functions.values():
        jax.block_until_ready(function())
    for _ in range(rounds):
        for name, function in functions.items():
            clock = time.perf_counter()
            jax.block_until_ready(function())
            spent[name].append(time.perf_counter() - clock)
    unit = np.asarray(next(iter(spent.values())))
    return {n: float(np.median(t / unit)) for n, t in spent.items()}, {n: float(np.median(t)) for n, t in spent.items()}


def linearised(model, h0, horizon):
    """``JᵀJ v`` on flat vectors by JAX alone: linearise the rollout once, apply it and its transpose."""
    flat, unravel = ravel_pytree(model)
    _, push = jax.linearize(lambda p: rnn.trajectory(unravel(p), h0, horizon), flat)
    pull = jax.linear_transpose(push, flat)
    return lambda v: pull(push(v))[0]


def products(task, model, kernel):
    """Products and leading modes in units of one gradient."""
    value_and_grad = jax.jit(jax.value_and_grad(task.loss))
    random = np.random.default_rng(0)
    block = jnp.asarray(random.normal(size=(8, kernel.shape[1])), kernel.dtype)
    vector = jnp.asarray(random.normal(size=kernel.shape[1]), kernel.dtype)
    plain = jax.jit(linearised(model, task.h0, task.horizon))
    ratio, seconds = timed(
        {
            "gradient": lambda: value_and_grad(task.student),
            "JᵀJ v": lambda: kernel.fisher_mv(vector),
            "JᵀJ V": lambda: kernel.fisher_mv(block),
            "J v": lambda: kernel.jvp(vector),
            "linearize": lambda: plain(vector),
        },
        40,
    )
    row("JᵀJ v / gradient", ratio["JᵀJ v"], "≤ 1.15", f"gradient {1e3 * seconds['gradient']:.2f} ms")
    row("8-vector block / one product", ratio["JᵀJ V"] / ratio["JᵀJ v"], "≤ 7", f"{ratio['JᵀJ V']:.2f} gradients")
    row("J v / gradient", ratio["J v"])
    row("JAX linearize + transpose / gradient", ratio["linearize"], "", "peer of JᵀJ v")

    moved = eqx.tree_at(lambda m: m.weight, model, model.weight - 5e-3 * value_and_grad(task.student)[1].weight)
    after, known = rnn.sntk(moved, task.h0, task.horizon), kernel.leading(5, tolerance=1e-3)

    def modes(kernel, start=None):
        found = kernel.leading(5, tolerance=1e-3, start=start)
        return found, kernel.stable_rank(tolerance=0.01, modes=found)

    def matfree_modes():
        tridiag = matfree.decomp.tridiag_sym(36, reortho="full", materialize=True)
        return matfree.eig.eigh_partial(tridiag)(lambda v: plain(v), vector)[0]

    lanczos = {"matfree": jax.jit(matfree_modes)} if matfree else {}
    operator = LinearOperator(
        (kernel.shape[1],) * 2, lambda v: np.asarray(plain(jnp.asarray(v.ravel(), kernel.dtype))), dtype=np.float32
    )
    start = np.asarray(vector)
    arpack = lambda: eigsh(operator, 5, which="LM", tol=1e-3, v0=start, return_eigenvectors=False)  # noqa: E731
    ratio, _ = timed(
        {
            "gradient": lambda: value_and_grad(task.student),
            "cold": lambda: modes(kernel)[1].value,
            "warm": lambda: modes(after, known.vectors)[1].value,
            "modes": lambda: kernel.leading(5, tolerance=1e-3).vectors,
            "arpack": arpack,
            **lanczos,
        },
        15,
    )
    found, rank = modes(kernel)
    sharp = np.asarray(kernel.leading(5, tolerance=1e-5).singular_values)
    off = lambda s: f"error {np.max(np.abs(np.sort(np.asarray(s, float))[::-1][:5] / sharp - 1)):.1e}"  # noqa: E731
    exact = float(kernel.stable_rank(exact=True).value)
    note = f"{off(found.singular_values)}, stable rank off by {abs(float(rank.value) / exact - 1):.1e}"
    note += f", standard error {float(rank.standard_error / rank.value):.1e}, {found.products} products"
    row("5 modes to 1e-3, stable rank to 1 %, cold", ratio["cold"], "≤ 40", note)
    row("… warm, one training step later", ratio["warm"], "≤ 10", f"{modes(after, known.vectors)[0].products} products")
    row("5 modes, cold", ratio["modes"], "", "to compare with the peers'")
    row("SciPy ARPACK, 5 modes", ratio["arpack"], "", off(np.sqrt(arpack())))
    if lanczos:
        note = off(np.sqrt(np.sort(np.asarray(lanczos["matfree"]()))[-5:]))
        row("matfree Lanczos, 36 steps, 5 modes", ratio["matfree"], "", note)
    else:
        row("matfree Lanczos, 36 steps, 5 modes", "not installed", "", "pip install matfree, or --group bench")
    _, seconds = timed({"exact": lambda: kernel.frobenius(exact=True).value}, 3)
    row("exact ‖J‖_F², seconds", seconds["exact"], "≤ 2")


def training(task):
    """Training beside a minimal loop, and the share of diagnostics."""
    sgd = optax.sgd(5e-3)
    state = start(task, sgd, 0, 2)
    rest = eqx.partition(task.student, eqx.is_inexact_array)[1]

    @jax.jit
    def minimal(weight):
        def step(weight, _):
            def loss(w):
                def forward(h, target):
                    h = jnp.tanh(h) @ w.T
                    return h, jnp.sum((h[:, : target.shape[1]] - target) ** 2)

                return jax.lax.scan(forward, task.h0, targets)[1].sum() / targets.size

            value, gradient = jax.value_and_grad(loss)(weight)
            return weight - 5e-3 * gradient, value

        targets = jnp.swapaxes(task.targets, 0, 1)
        return jax.lax.scan(step, weight, length=100)

    assert rest.bias is None
    for _ in range(8):
        state, _ = diagnose(state, task)
    ratio, seconds = timed(
        {
            "minimal": lambda: minimal(task.student.weight),
            "steps": lambda: advance(state, task, sgd, 100, 20)[1]["loss"],
            "diagnosis": lambda: diagnose(state, task)[1]["stable_rank"],
        },
        10,
    )
    row("training step / hand-minimal scan step", ratio["steps"], "≤ 1.15", f"{10 * seconds['steps']:.2f} ms a step")
    share = ratio["diagnosis"] / ratio["steps"]
    row("diagnostics every 100 steps, share", share, "≤ 0.05", f"{1e3 * seconds['diagnosis']:.1f} ms each")


def memory(kernel):
    """A product's peak, and that of the same product in chunks, in units of the states."""
    states = kernel.h0.size * kernel.horizon * kernel.dtype.itemsize
    vector = jnp.ones((1, kernel.shape[1]), kernel.dtype)

    def peak(kernel):
        usage = fisher_block.lower(kernel, vector).compile().memory_analysis()
        return (usage.argument_size_in_bytes + usage.temp_size_in_bytes + usage.output_size_in_bytes) / states

    chunked = rnn.sntk(kernel.model, kernel.h0, kernel.horizon, chunk=32)
    row("peak of JᵀJ v / states", peak(kernel), "≤ 4")
    near = np.max(np.abs(chunked.fisher_mv(vector) - kernel.fisher_mv(vector))) / np.max(
        np.abs(kernel.fisher_mv(vector))
    )
    row("… in chunks of 32", peak(chunked), "less", f"numbers differ by {near:.1e}")


def long_horizon():
    """T = 10,000, N = 256, B = 64 with rematerialisation: memory and time over the plain product's."""
    random = np.random.default_rng(0)
    weight = jnp.asarray(0.9 * random.normal(size=(256, 256)) / 16, jnp.float32)
    h0 = jnp.asarray(random.normal(size=(64, 256)), jnp.float32)
    plain = rnn.sntk(rnn.VanillaRNN(weight), h0, 10_000)
    remat = rnn.sntk(rnn.VanillaRNN(weight), h0, 10_000, remat=True)
    vector = jnp.asarray(random.normal(size=(1, plain.shape[1])), jnp.float32)
    usage = fisher_block.lower(remat, vector).compile().memory_analysis()
    total = usage.argument_size_in_bytes + usage.temp_size_in_bytes + usage.output_size_in_bytes
    ratio, _ = timed({"plain": lambda: plain.fisher_mv(vector), "remat": lambda: remat.fisher_mv(vector)}, 3)
    row("long horizon, GB with rematerialisation", total / 1e9, "≤ 0.4", "states alone: 0.65 GB")
    row("… time over the plain product's", ratio["remat"], "< 1.6")


def agreement():
    """Every route against the dense J at B = 8, float64."""
    with jax.enable_x64(True):
        task = rnn.student_teacher(0, batch=8, dtype=jnp.float64)
        kernel = rnn.sntk(with_bias(task.student), task.h0, task.horizon)
        J = np.asarray(kernel.as_matrix())
        v = np.random.default_rng(0).normal(size=kernel.shape[1])
        y = np.random.default_rng(1).normal(size=(8, task.horizon, 64))
        pairs = {
            "jvp": (kernel.jvp(v).ravel(), J @ v),
            "vjp": (kernel.flatten(kernel.vjp(y)), J.T @ y.ravel()),
            "fisher": (kernel.fisher_mv(v), J.T @ (J @ v)),
            "mv": (kernel.mv(y).ravel(), J @ (J.T @ y.ravel())),
            "trace": (kernel.frobenius(exact=True).value, np.sum(J**2)),
        }
        worst = max(float(np.max(np.abs(a - b)) / np.max(np.abs(b))) for a, b in pairs.values())
    row("all routes against the dense J, B = 8, float64", worst, "≤ 1e-12", ", ".join(pairs))


SHARDED = """
import json, sys, re, time, jax, jax.numpy as jnp, numpy as np, rnn
from rnn.kernel.products import fisher_block
from rnn.models import with_bias
task = rnn.student_teacher(0)
one = rnn.sntk(with_bias(task.student), task.h0, task.horizon)
many = rnn.sntk(with_bias(task.student), task.h0, task.horizon, devices=jax.devices())
v = np.random.default_rng(0).normal(size=(1, one.shape[1])).astype(np.float32)
a, b = np.asarray(one.fisher_mv(v)), np.asarray(many.fisher_mv(v))
text = fisher_block.lower(many, v).compile().as_text()
moved = 0
for line in text.splitlines():
    if re.search(r" all-(reduce|gather)(-start)?[(]", line):
        for shape in re.findall(r"f32[[]([0-9,]*)[]]", line.split(" all-")[0]):
            moved += 4 * int(np.prod([int(n) for n in shape.split(",") if n]))
print(json.dumps([float(np.max(np.abs(a - b)) / np.max(np.abs(a))), moved, 4 * one.shape[1]]))
"""


def devices():
    """Numbers on 2, 4 and 8 forced devices, and what a product sends."""
    for count in (2, 4, 8):
        env = os.environ | {"XLA_FLAGS": f"--xla_force_host_platform_device_count={count}", "JAX_PLATFORMS": "cpu"}
        done = subprocess.run([sys.executable, "-c", SHARDED], env=env, capture_output=True, text=True, check=True)
        off, moved, parameters = json.loads(done.stdout)
        row(
            f"collective bytes per product, {count} devices / parameters",
            moved / parameters,
            "≤ 2",
            f"off by {off:.1e}",
        )


def main() -> None:
    """Read the command line, measure, print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("command", nargs="?", choices=("floor",), help="only the ratios to the floor (bench_floor.py)")
    parser.add_argument("--long", action="store_true")
    args = parser.parse_args()
    if args.command == "floor":
        bench_floor.main()
        return
    task = rnn.student_teacher(0)
    model = with_bias(task.student)
    kernel = rnn.sntk(model, task.h0, task.horizon)
    products(task, model, kernel)
    training(task)
    memory(kernel)
    agreement()
    devices()
    if args.long:
        long_horizon()
    widths = [max(len(r[i]) for r in ROWS) for i in range(4)]
    print(f"{jax.devices()[0].device_kind}, {os.cpu_count()} cores, jax {jax.__version__}, float32; unit: one gradient")
    for cells in ROWS:
        print(f"{cells[1]:>{widths[1]}}  {cells[2]:<{widths[2]}}  {cells[0]:<{widths[0]}}  {cells[3]}")


if __name__ == "__main__":
    main()
