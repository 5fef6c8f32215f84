"""Leading singular values and directions against dense singular value decompositions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from kernels import CASES, close, dense, planted, vanilla

from rnn.kernel.modes import grow, leading
from rnn.kernel.subspace import orthonormal

SPECTRA = {
    "separate": [5.0, 4.0, 3.0, 2.0, 1.0, 0.5],
    "decaying": list(10.0 ** -np.arange(8)),
    "clustered": [3.0, 2.9999, 2.9998, 1.0, 0.9999, 0.5],
    "double": [2.0, 2.0, 1.0, 0.5, 0.2],
    "double below": [3.0, 2.0, 2.0, 1.0, 0.5],
    "all equal": [1.5] * 6,
    "triples": [2.0] * 3 + [1.0] * 3 + [0.5] * 3,
    "tenfold": [3.0] * 10 + [1.0] * 10,
    "zeros": [3.0, 1.0, 0.0, 0.0, 0.0, 0.0],
    "double and zeros": [3.0, 3.0, 3.0, 0.0, 0.0, 0.0],
    "zero": [0.0, 0.0, 0.0],
}


def check(modes, J, k, tolerance=1e-6):
    """The values are the leading ones, the vectors orthonormal and the residuals what they claim to be."""
    s = np.linalg.svd(J, compute_uv=False)
    s = np.concatenate([s, np.zeros(max(0, k - len(s)))])[:k]
    found, V = np.asarray(modes.singular_values), np.asarray(modes.vectors)
    np.testing.assert_allclose(found, s, rtol=tolerance, atol=2e-7 * s[0])
    np.testing.assert_allclose(V @ V.T, np.eye(k), atol=1e-10)
    error = np.linalg.norm(V @ J.T @ J - found[:, None] ** 2 * V, axis=1)
    np.testing.assert_allclose(error, modes.residuals * found**2, atol=1e-11 * s[0] ** 2)
    assert np.all(modes.converged)


@pytest.mark.parametrize("name", ["outer bias", "inner no bias", "one step", "bias alone", "matrix readout", "gru"])
def test_leading_modes_are_those_of_the_dense_jacobian(name):
    kernel, J = CASES[name].kernel(), dense(CASES[name])
    modes = kernel.leading(3)
    check(modes, J, 3)
    close(kernel.flatten(modes.directions), modes.vectors, 0)


@pytest.mark.parametrize("name", SPECTRA)
@pytest.mark.parametrize("columns", [20, 30])
def test_planted_spectra_are_found_with_their_multiplicity(name, columns):
    spectrum = SPECTRA[name]
    kernel = planted(spectrum, rows=20, columns=columns)  # one shape, so that it is compiled once
    for k in {1, 2, 3, len(spectrum)}:
        check(kernel.leading(k), np.asarray(kernel.model.matrix), k)


@pytest.mark.parametrize("name", ["double below", "all equal", "zero"])
def test_planted_spectra_without_rows_or_columns_to_spare(name):
    kernel = planted(SPECTRA[name])
    for k in {1, 3, len(SPECTRA[name])}:
        check(kernel.leading(k), np.asarray(kernel.model.matrix), k)


@pytest.mark.parametrize("seed", range(5))
def test_a_double_value_does_not_depend_on_the_start(seed):
    kernel = planted([3.0, 2.0, 2.0, 1.0] + [0.1] * 8, columns=40, seed=seed)
    check(kernel.leading(3, key=jax.random.key(seed)), np.asarray(kernel.model.matrix), 3)


def test_the_kernel_of_one_step_has_every_value_as_often_as_there_are_neurons():
    case = vanilla(state=6, batch=3, horizon=1)
    check(case.kernel().leading(12), dense(case), 12)


def test_every_singular_value_may_be_asked_for():
    case = CASES["outer bias"]
    kernel = case.kernel()
    check(kernel.leading(min(kernel.shape)), dense(case), min(kernel.shape))


def test_restarts_do_not_lose_what_was_found():
    """200 values within a factor of two: more than one basis' worth of vectors is needed."""
    kernel = planted(np.linspace(2, 1, 200))
    modes = kernel.leading(4, tolerance=1e-8)
    assert modes.products > 48
    check(modes, np.asarray(kernel.model.matrix), 4)


@pytest.mark.parametrize("tolerance", [1e-2, 1e-4, 1e-8])
def test_the_bound_holds_and_a_looser_one_costs_less(tolerance):
    case = vanilla(state=8, batch=12, horizon=10)
    modes = case.kernel().leading(3, tolerance=tolerance)
    s = np.linalg.svd(dense(case), compute_uv=False)[:3]
    error = np.abs(np.asarray(modes.singular_values) / s - 1)
    assert np.all(error <= np.asarray(modes.residuals) / 2 + 1e-14)
    assert np.all(modes.residuals <= 2 * tolerance + 1e-13)
    assert modes.products <= case.kernel().leading(3, tolerance=tolerance / 10).products


def test_a_warm_start_is_cheap_and_right():
    case = vanilla(state=16, batch=12, horizon=10)
    cold = case.kernel().leading(4, tolerance=1e-4)
    moved = case._replace(model=jax.tree.map(lambda w: 1.0001 * w, case.model))
    warm = moved.kernel().leading(4, tolerance=1e-4, start=cold.vectors)
    check(warm, dense(moved), 4, 1e-4)
    assert warm.products < cold.products


def test_a_warm_start_sees_a_mode_that_has_overtaken():
    """Started on the second and third directions alone, the first is found all the same."""
    kernel = planted([3.0, 2.0, 1.0] + [0.1] * 8, columns=30)
    right = np.linalg.svd(np.asarray(kernel.model.matrix))[2]
    modes = kernel.leading(2, start=jnp.asarray(right[1:3]))
    check(modes, np.asarray(kernel.model.matrix), 2)


@pytest.mark.parametrize("missing", [0, 2])
def test_converged_directions_beside_one_that_is_missing_do_not_stall(missing):
    """Their residuals are rounding, so that only the random direction adds to the space."""
    case = vanilla(state=16, batch=12, horizon=10, dtype=np.float32)
    kernel = case.kernel()
    known = kernel.leading(6, tolerance=1e-5)
    start = jnp.delete(known.vectors, missing, axis=0)
    modes = kernel.leading(5, tolerance=1e-3, start=start)
    np.testing.assert_allclose(modes.singular_values, known.singular_values[:5], rtol=1e-3)
    assert modes.products < 48


@pytest.mark.parametrize("start", ["more than asked", "dependent", "zero among them", "outside the range"])
def test_poor_starts_are_survived(start):
    kernel = planted([3.0, 2.0, 1.0] + [0.1] * 8, columns=30)
    _, _, right = np.linalg.svd(np.asarray(kernel.model.matrix))
    blocks = {
        "more than asked": np.random.default_rng(0).normal(size=(7, 30)),
        "dependent": np.ones((3, 30)),
        "zero among them": np.stack([right[0], np.zeros(30)]),
        "outside the range": right[20:22],
    }
    check(kernel.leading(2, start=jnp.asarray(blocks[start])), np.asarray(kernel.model.matrix), 2)


@pytest.mark.parametrize("spectrum", ["separate", "double", "zeros", "zero"])
def test_single_precision(spectrum):
    kernel = planted(SPECTRA[spectrum], columns=20, dtype=np.float32)
    modes = kernel.leading(3)
    assert modes.vectors.dtype == modes.singular_values.dtype == jnp.float32
    expected = np.asarray(SPECTRA[spectrum][:3])
    np.testing.assert_allclose(modes.singular_values, expected, atol=2e-3 * max(expected[0], 1e-6), rtol=1e-5)
    np.testing.assert_allclose(modes.vectors @ modes.vectors.T, np.eye(3), atol=1e-5)
    assert np.all(modes.converged)


def test_a_budget_that_is_too_small_says_so():
    kernel = planted(np.linspace(2, 1, 200))
    modes = kernel.leading(4, tolerance=1e-8, max_products=12)
    assert modes.products <= 16
    assert not np.all(modes.converged)
    assert modes.singular_values.shape == (4,)
    assert np.all(modes.singular_values <= 2 + 1e-12)


def test_the_same_key_gives_the_same_numbers():
    kernel = CASES["outer bias"].kernel()
    one, two = kernel.leading(2), leading(kernel, 2, key=jax.random.key(0))
    np.testing.assert_array_equal(one.vectors, two.vectors)


def test_ritz_pairs_come_with_their_evidence():
    kernel = CASES["outer bias"].kernel()
    J = np.asarray(kernel.as_matrix())
    found = grow(kernel, 3, 1, 1e-6, None, None, 100)
    V = np.asarray(found.vectors[:3])
    np.testing.assert_allclose(
        np.linalg.norm(V @ J.T @ J - found.values[:3, None] * V, axis=1), found.errors[:3], atol=1e-10
    )
    assert found.accepted[0]


def test_orthonormal_keeps_span_and_order():
    block = jnp.asarray(np.random.default_rng(0).normal(size=(3, 9)))
    q, _ = orthonormal(block)
    close(q @ q.T, np.eye(3), 1e-14)
    for i in range(1, 4):
        close((block[:i] @ q[:i].T) @ q[:i], block[:i], 1e-13)


@pytest.mark.parametrize("k", [0, -1, 21, 2.0, True])
def test_a_bad_count_is_named(k):
    with pytest.raises(ValueError, match="k must be an integer from 1 to 20"):
        CASES["outer bias"].kernel().leading(k)


@pytest.mark.parametrize("tolerance", [0, -1.0, np.nan])
def test_a_bad_tolerance_is_named(tolerance):
    with pytest.raises(ValueError, match="tolerance must be positive"):
        CASES["outer bias"].kernel().leading(1, tolerance=tolerance)


@pytest.mark.parametrize("budget", [0, -3, 1.5])
def test_a_bad_budget_is_named(budget):
    with pytest.raises(ValueError, match="max_products must be a positive integer"):
        CASES["outer bias"].kernel().leading(1, max_products=budget)


@pytest.mark.parametrize(
    "start",
    [jnp.ones(20), jnp.ones((1, 19)), jnp.ones((0, 20)), jnp.ones((21, 20)), jnp.ones((1, 20), jnp.float32)],
)
def test_a_start_that_does_not_fit_is_named(start):
    with pytest.raises(ValueError, match=r"start must have shape \(p, 20\)"):
        CASES["outer bias"].kernel().leading(1, start=start)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_start_that_is_not_finite_is_named(bad):
    with pytest.raises(ValueError, match="start must be finite"):
        CASES["outer bias"].kernel().leading(1, start=jnp.full((1, 20), bad))


def test_inside_jit_the_caller_is_sent_to_diagnostics():
    kernel = CASES["outer bias"].kernel()
    with pytest.raises(ValueError, match="diagnostics"):
        jax.jit(lambda: kernel.leading(2).singular_values)()


@pytest.mark.parametrize("spectrum", [[3.0, 2.9, 2.9], [3.0, 3.0, 2.9]], ids=str)
def test_a_loose_tolerance_does_not_lose_a_double_value(spectrum):
    """Above a dense rest the second copy shows late: one start direction misses it for most keys."""
    spectrum = [*spectrum, *np.linspace(2.8, 0.1, 150)]
    kernel = planted(spectrum)
    for seed in range(12):
        found = kernel.leading(3, tolerance=1e-3, key=jax.random.key(seed))
        np.testing.assert_allclose(found.singular_values, spectrum[:3], rtol=1e-3)
