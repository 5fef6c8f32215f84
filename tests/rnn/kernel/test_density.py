"""Spectra by stochastic Lanczos quadrature against dense eigenvalues."""

import jax
import numpy as np
import pytest
from kernels import CASES, dense, planted, vanilla

FUNCTIONS = {"trace": lambda x: x, "root": np.sqrt, "logarithm": np.log1p, "square": np.square}


def eigenvalues(J):
    return np.clip(np.linalg.eigvalsh(J.T @ J), 0, None)


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("name", ["outer bias", "matrix readout", "gru"])
def test_sums_over_the_spectrum_are_the_dense_ones_within_their_error(name, function):
    f, kernel = FUNCTIONS[function], CASES[name].kernel()
    value, error = kernel.spectrum(probes=32).sum(f)
    exact = np.sum(f(eigenvalues(dense(CASES[name]))))
    assert 0 < error < 0.5 * exact
    assert abs(value - exact) <= 4 * error


def test_every_rule_is_exact_where_the_space_is_whole():
    """With as many steps as there are different eigenvalues each probe sees the eigenvalues themselves."""
    kernel = planted([3.0, 2.0, 2.0, 1.0], columns=9)
    found = kernel.spectrum(steps=9, probes=5)
    near = np.min(np.abs(found.nodes[..., None] - np.array([9.0, 4.0, 1.0, 0.0])), axis=2)
    assert np.max(near[found.weights > 1e-8]) <= 1e-9
    np.testing.assert_allclose(found.weights.sum(axis=1), 9, rtol=1e-12)
    assert found.products == 45


def test_a_rule_integrates_polynomials_below_twice_its_steps_exactly():
    kernel = vanilla(state=6, batch=8, horizon=6).kernel()
    J = np.asarray(kernel.as_matrix())
    short, long = (kernel.spectrum(steps=steps, probes=3) for steps in (3, 12))
    scale = np.linalg.norm(J, 2) ** 2
    for degree in range(6):
        f = lambda x, d=degree: (x / scale) ** d  # noqa: E731
        np.testing.assert_allclose(short.sum(f), long.sum(f), rtol=1e-9, atol=1e-12)


def test_counts_and_density_of_separate_groups():
    kernel = planted([3.0] * 10 + [1.0] * 20, columns=40)
    found = kernel.spectrum(steps=6, probes=64)
    for above, exact in ((4.0, 10), (0.5, 30)):
        value, error = found.count(above)
        assert abs(value - exact) <= 4 * error
    grid = np.linspace(-2, 12, 2001)
    density = found.density(grid, 0.1)
    np.testing.assert_allclose(np.trapezoid(density, grid), 40, rtol=1e-3)
    top = grid > 5
    assert abs(np.trapezoid(density[top], grid[top]) - found.count(5.0)[0]) <= 1e-3
    np.testing.assert_allclose(grid[top][np.argmax(density[top])], 9, atol=0.02)


def test_the_error_covers():
    case = vanilla(state=6, batch=8, horizon=6)
    exact = np.sum(np.sqrt(eigenvalues(dense(case))))
    kernel = case.kernel()
    found = [kernel.spectrum(steps=16, probes=12, key=jax.random.key(i)).sum(np.sqrt) for i in range(40)]
    inside = [abs(value - exact) <= 2.2 * error for value, error in found]  # Student's 95 % at 11 degrees of freedom
    assert np.mean(inside) >= 0.85


@pytest.mark.parametrize(
    ("options", "says"), [({"steps": 0}, "steps"), ({"probes": 1}, "probes"), ({"steps": 1.5}, "steps")]
)
def test_bad_counts_are_named(options, says):
    with pytest.raises(ValueError, match=f"{says} must be"):
        CASES["outer bias"].kernel().spectrum(**options)


def test_functions_that_are_not_finite_and_widths_that_are_not_positive_are_named():
    found = planted([2.0, 0.0], columns=6).spectrum(steps=4, probes=2)
    with pytest.raises(ValueError, match="function must map"), np.errstate(all="ignore"):
        found.sum(lambda x: 1 / (x * 0))
    with pytest.raises(ValueError, match="width must be positive"):
        found.density(np.zeros(1), 0.0)
