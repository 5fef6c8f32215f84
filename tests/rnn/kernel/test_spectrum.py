"""Traces, stable ranks and diagnostics against dense matrices; the errors they state against their scatter."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from kernels import CASES, MATRIX, close, dense, gated, planted, vanilla

from rnn import VanillaRNN
from rnn.kernel.trace import diagnostics, frobenius, stable_rank, subspace_step

NAMES = [
    "outer bias",
    "inner no bias",
    "weight alone",
    "bias alone",
    "matrix readout",
    "gru",
    "function of a dictionary",
]


def truth(J):
    s = np.linalg.svd(J, compute_uv=False)
    return float(np.sum(s**2)), float(np.sum(s**2) / s[0] ** 2), s


@pytest.mark.parametrize("name", NAMES)
def test_exact_values_are_the_dense_ones(name):
    kernel = CASES[name].kernel()
    trace, rank, _ = truth(dense(CASES[name]))
    found = kernel.frobenius(exact=True)
    np.testing.assert_allclose(found.value, trace, rtol=1e-12)
    assert found.standard_error == 0
    found = kernel.stable_rank(exact=True)
    np.testing.assert_allclose(found.value, rank, rtol=1e-10)
    assert found.standard_error <= 2e-6 * found.value


SAVING = {"chunk": 2, "remat": True}


@pytest.mark.parametrize(
    ("name", "options"), [(name, {}) for name in NAMES] + [(name, SAVING) for name in NAMES[:2] + NAMES[-2:-1]], ids=str
)
def test_estimates_lie_within_their_stated_error(name, options):
    trace, rank, _ = truth(dense(CASES[name]))
    kernel = CASES[name].kernel(**options)
    for found, expected in ((kernel.frobenius(), trace), (kernel.stable_rank(), rank)):
        assert found.standard_error <= 0.01 * found.value
        assert abs(found.value - expected) <= 4 * found.standard_error + 1e-12 * expected


@pytest.mark.parametrize(
    "case",
    [
        vanilla(state=8, batch=40, horizon=10, gain=1.0),
        vanilla("tanh(W@h+b)", state=8, batch=40, horizon=10, bias=False),
        gated(state=6, batch=30),
    ],
    ids=["outer", "inner", "gru"],
)
def test_the_standard_error_is_the_scatter_of_the_estimates(case):
    """Over 150 keys the estimates are unbiased, scatter as stated, and stay within twice the error 19 times of 20."""
    kernel = case.kernel()
    expected = float(kernel.frobenius(exact=True).value)
    runs = [kernel.frobenius(tolerance=0.03, key=jax.random.key(i)) for i in range(150)]
    off = np.array([float(r.value) - expected for r in runs])
    stated = np.array([float(r.standard_error) for r in runs])
    assert abs(off.mean()) <= 4 * off.std() / np.sqrt(150)
    assert 0.7 <= off.std() / np.sqrt(np.mean(stated**2)) <= 1.4
    assert np.mean(np.abs(off) <= 2 * stated) >= 0.85


def test_the_error_of_the_stable_rank_covers():
    case = vanilla(state=8, batch=40, horizon=10, gain=1.0)
    _, rank, _ = truth(dense(case))
    kernel = case.kernel()
    runs = [kernel.stable_rank(tolerance=0.03, key=jax.random.key(i)) for i in range(150)]
    inside = [abs(float(r.value) - rank) <= 2 * float(r.standard_error) for r in runs]
    assert np.mean(inside) >= 0.85


@pytest.mark.parametrize("tolerance", [0.1, 0.01, 0.001])
def test_the_tolerance_is_reached_and_paid_for(tolerance):
    kernel = vanilla(state=8, batch=10, horizon=10, gain=1.0).kernel()
    found = kernel.stable_rank(tolerance=tolerance)
    assert found.standard_error <= tolerance * found.value
    assert found.products <= kernel.stable_rank(tolerance=tolerance / 10).products


def test_a_budget_that_is_too_small_shows_in_the_error():
    kernel = vanilla(state=8, batch=4, horizon=10, gain=1.0).kernel()
    found = kernel.frobenius(tolerance=1e-5, max_products=20)
    assert found.products <= 60
    assert found.standard_error > 1e-5 * found.value


def test_a_kernel_of_rank_one_has_a_stable_rank_of_one():
    found = planted([2.0], columns=9).stable_rank()
    np.testing.assert_allclose(found.value, 1, atol=3 * float(found.standard_error) + 1e-12)
    np.testing.assert_allclose(planted([2.0], columns=9).stable_rank(exact=True).value, 1, rtol=1e-12)


def test_multiple_values_count_as_often_as_they_occur():
    kernel = planted([2.0] * 5 + [1.0] * 4, columns=20)
    np.testing.assert_allclose(kernel.stable_rank(exact=True).value, 6, rtol=1e-10)
    found = kernel.stable_rank()
    assert abs(found.value - 6) <= 4 * found.standard_error


def test_a_kernel_that_is_zero_has_no_stable_rank_but_a_trace():
    kernel = planted([0.0, 0.0], columns=5)
    for exact in (False, True):
        assert kernel.frobenius(exact=exact).value == 0
        with pytest.raises(ValueError, match="J is zero"):
            kernel.stable_rank(exact=exact)


def test_known_modes_are_not_sought_again():
    case = vanilla(state=16, batch=30, horizon=10)
    kernel = case.kernel()
    modes = kernel.leading(4, tolerance=1e-4)
    cold, warm = kernel.stable_rank(), kernel.stable_rank(modes=modes)
    assert warm.products < cold.products
    assert abs(warm.value - truth(dense(case))[1]) <= 4 * warm.standard_error


def test_single_precision():
    case = vanilla(state=8, batch=40, horizon=10, dtype=np.float32)
    trace, rank, _ = truth(np.asarray(case.kernel().as_matrix(), np.float64))
    np.testing.assert_allclose(case.kernel().frobenius(exact=True).value, trace, rtol=1e-5)
    np.testing.assert_allclose(case.kernel().stable_rank(exact=True).value, rank, rtol=1e-5)
    found = case.kernel().stable_rank()
    assert found.value.dtype == found.standard_error.dtype == jnp.float32
    assert abs(found.value - rank) <= 4 * found.standard_error


@pytest.mark.parametrize("estimate", [frobenius, stable_rank])
@pytest.mark.parametrize("tolerance", [0, -0.1, np.nan])
def test_a_bad_tolerance_is_named(estimate, tolerance):
    with pytest.raises(ValueError, match="tolerance must be positive"):
        estimate(CASES["outer bias"].kernel(), tolerance=tolerance)


# inside compiled loops


def measured(case, start, key=0, **options):
    return diagnostics(
        case.model, case.h0, case.horizon, start, jax.random.key(key), wrt=case.wrt, readout=case.readout, **options
    )


def random_start(case, k=2, seed=0):
    m = case.kernel().shape[1]
    return jnp.asarray(np.random.default_rng(seed).normal(size=(k, m)), case.h0.dtype)


@pytest.mark.parametrize("name", ["outer bias", "inner no bias", "weight alone", "matrix readout", "gru"])
def test_warm_diagnostics_are_the_dense_values(name):
    case = CASES[name]
    _, rank, s = truth(dense(case))
    start = random_start(case)
    for _ in range(8):
        found = measured(case, start)
        start = found.start
    np.testing.assert_allclose(found.singular_value, s[0], rtol=1e-6)
    assert abs(found.stable_rank - rank) <= 4 * found.standard_error
    close(start @ start.T, np.eye(2), 1e-12)
    v = np.linalg.svd(dense(case))[2][0]
    np.testing.assert_allclose(abs(start[0] @ v), 1, rtol=1e-4)


def test_warm_diagnostics_cover():
    case = vanilla(state=8, batch=40, horizon=10, gain=1.0)
    _, rank, _ = truth(dense(case))
    start = measured(case, measured(case, random_start(case), products=8).start, products=8).start
    found = jax.vmap(lambda key: diagnostics(case.model, case.h0, 10, start, key))(
        jax.random.split(jax.random.key(1), 200)
    )
    off = np.asarray(found.stable_rank) - rank
    stated = np.asarray(found.standard_error)
    assert abs(off.mean()) <= 4 * off.std() / np.sqrt(200)
    assert 0.7 <= off.std() / np.sqrt(np.mean(stated**2)) <= 1.3
    assert np.mean(np.abs(off) <= 2 * stated) >= 0.88


@pytest.mark.parametrize("name", ["outer bias", "gru"])
def test_warm_diagnostics_inside_a_scan_are_those_outside(name):
    case = CASES[name]
    keys = jax.random.split(jax.random.key(4), 5)

    @jax.jit
    def loop(start):
        def step(start, key):
            found = diagnostics(case.model, case.h0, case.horizon, start, key)
            return found.start, found[:3]

        return jax.lax.scan(step, start, keys)

    start = random_start(case)
    last, inside = loop(start)
    for i, key in enumerate(keys):
        found = diagnostics(case.model, case.h0, case.horizon, start, key)
        start = found.start
        for a, b in zip(inside, found[:3], strict=True):
            np.testing.assert_allclose(a[i], b, rtol=1e-9)
    close(jnp.abs(last @ start.T), np.eye(2), 1e-7)


def test_diagnostics_follow_a_model_that_changes():
    """The parameters are carried by the scan, as in training; the gain grows by 2 % a step."""
    case = vanilla(state=6, batch=12, horizon=8, gain=0.6)
    gains = 1.02 ** np.arange(12)

    @jax.jit
    def loop(model, start):
        def step(carry, key):
            model, start = carry
            found = diagnostics(model, case.h0, case.horizon, start, key)
            return (jax.tree.map(lambda w: 1.02 * w, model), found.start), found[:3]

        return jax.lax.scan(step, (model, start), jax.random.split(jax.random.key(0), 12))[1]

    ranks, errors, values = loop(case.model, random_start(case))
    for i in range(6, 12):
        model = jax.tree.map(lambda w: gains[i] * w, case.model)  # noqa: B023
        _, rank, s = truth(dense(case._replace(model=model)))
        np.testing.assert_allclose(values[i], s[0], rtol=1e-3)
        assert abs(ranks[i] - rank) <= 4 * errors[i]


def test_diagnostics_see_the_second_mode_overtake():
    rng = np.random.default_rng(0)
    left, right = (np.linalg.qr(rng.normal(size=(12, 12)))[0] for _ in range(2))

    def model(x):
        s = jnp.concatenate([jnp.stack([2 - x, 1 + x]), jnp.full(10, 0.3)])
        return eqx.tree_at(lambda m: m.matrix, planted(np.ones(12)).model, (left * s) @ right.T)

    start = jnp.asarray(rng.normal(size=(2, 12)))
    for x in np.linspace(0, 1, 21):
        found = diagnostics(
            model(x), jnp.zeros((1, 12)), 1, start, jax.random.key(0), wrt=lambda m: m.theta, products=4
        )
        start = found.start
        if x > 0.1:
            np.testing.assert_allclose(found.singular_value, max(2 - x, 1 + x), rtol=1e-3)


@pytest.mark.parametrize("spectrum", [[2.0, 2.0, 1.0, 0.5], [2.0, 0.0, 0.0], [1.0, 1.0, 1.0]], ids=str)
def test_diagnostics_of_multiple_and_zero_values(spectrum):
    kernel = planted(spectrum, columns=12)
    start = jnp.asarray(np.random.default_rng(0).normal(size=(3, 12)))
    measure = lambda key, start: diagnostics(kernel.model, kernel.h0, 1, start, key, wrt=lambda m: m.theta)  # noqa: E731
    for _ in range(4):
        found = measure(jax.random.key(1), start)
        start = found.start
    _, rank, s = truth(np.diag(spectrum))
    np.testing.assert_allclose(found.singular_value, s[0], rtol=1e-9)
    assert np.all(np.isfinite(found.standard_error))
    ranks = np.asarray(jax.vmap(lambda key: measure(key, start).stable_rank)(jax.random.split(jax.random.key(1), 200)))
    assert abs(ranks.mean() - rank) <= 4 * ranks.std() / np.sqrt(200) + 1e-9


@pytest.mark.parametrize(("products", "probes", "says"), [(0, 4, "products"), (4, 1, "probes"), (4, 2.0, "probes")])
def test_bad_counts_are_named(products, probes, says):
    case = CASES["outer bias"]
    with pytest.raises(ValueError, match=f"{says} must be"):
        measured(case, random_start(case), products=products, probes=probes)


@pytest.mark.parametrize("tolerance", [-1e-3, np.nan])
def test_a_bad_tolerance_of_diagnostics_is_named(tolerance):
    case = CASES["outer bias"]
    with pytest.raises(ValueError, match="tolerance must not be negative"):
        measured(case, random_start(case), tolerance=tolerance)


def test_a_tolerance_stops_the_krylov_space_early_and_is_kept():
    case = vanilla(state=8, batch=12, horizon=10)
    _, _, s = truth(dense(case))
    start = random_start(case)
    for _ in range(6):
        found = measured(case, start, tolerance=1e-3, products=12)
        start = found.start
        assert s[0] ** 2 * (1 - 1e-3) <= found.singular_value**2 <= s[0] ** 2 * (1 + 1e-12)
    again = measured(case, start, products=2)
    stopped = measured(case, start, tolerance=1e-3, products=12)
    np.testing.assert_allclose(stopped.singular_value, again.singular_value, rtol=1e-14)


def test_a_start_that_does_not_fit_is_named():
    case = CASES["outer bias"]
    for start in (jnp.ones(20), jnp.ones((2, 19)), jnp.ones((1, 20), jnp.float32)):
        with pytest.raises(ValueError, match="start must have shape"):
            measured(case, start)
        with pytest.raises(ValueError, match="start must have shape"):
            subspace_step(case.model, case.h0, case.horizon, start)


# subspace steps


@pytest.mark.parametrize("name", ["outer bias", "matrix readout", "gru"])
def test_a_subspace_step_is_one_block_power_step(name):
    case, J = CASES[name], dense(CASES[name])
    start = random_start(case, 3)
    values, new = subspace_step(case.model, case.h0, case.horizon, start, wrt=case.wrt, readout=case.readout)
    q = np.linalg.qr(np.asarray(start).T)[0].T
    expected = np.linalg.eigvalsh(q @ J.T @ J @ q.T)[::-1]
    np.testing.assert_allclose(values, expected, rtol=1e-10, atol=1e-12 * expected[0])
    close(new @ new.T, np.eye(3), 1e-12)
    images = q @ J.T @ J
    close((images @ new.T) @ new, images, 1e-11)


def test_subspace_steps_inside_a_scan_converge_to_the_leading_modes():
    case = vanilla(state=5, batch=6, horizon=8)
    _, _, s = truth(dense(case))

    @jax.jit
    def loop(start):
        def step(start, _):
            values, start = subspace_step(case.model, case.h0, case.horizon, start)
            return start, values

        return jax.lax.scan(step, start, length=60)

    start, values = loop(random_start(case, 4))
    np.testing.assert_allclose(values[-1][:2], s[:2] ** 2, rtol=1e-6)
    V = np.linalg.svd(dense(case))[2][:2]
    np.testing.assert_allclose(np.abs(np.sum(start[:2] * V, axis=1)), 1, rtol=1e-6)


def test_subspace_steps_follow_a_training_step():
    case = vanilla(state=5, batch=6, horizon=8)
    grown = VanillaRNN(1.01 * case.model.weight, case.model.bias)
    start = case.kernel().leading(2).vectors
    for _ in range(6):
        values, start = subspace_step(grown, case.h0, case.horizon, start)
    _, _, s = truth(dense(case._replace(model=grown)))
    np.testing.assert_allclose(values[0], s[0] ** 2, rtol=1e-4)


def test_a_subspace_step_with_a_readout_matrix_in_jit():
    case = vanilla(readout=MATRIX)
    start = random_start(case)
    step = lambda s: subspace_step(case.model, case.h0, case.horizon, s, readout=MATRIX)  # noqa: E731
    for a, b in zip(jax.jit(step)(start), step(start), strict=True):
        close(a, b)
