"""Values on a product grid against the same law point by point."""

from __future__ import annotations

import warnings

import mpmath
import numpy as np
import pytest

import normalforms as nf
from normalforms.formulas.grid import on_grid, product_axes
from normalforms.formulas.time_sum import TimeSum, gram_rule
from normalforms.maps.zoo import logistic

GRIDS = {
    "pitchfork": (np.linspace(0.97, 1.03, 150), np.linspace(-0.05, 0.05, 151)),
    "transcritical": (np.linspace(0.96, 1.04, 150), np.linspace(-0.002, 0.05, 150)),
    "saddle_node": (np.linspace(0.9995, 1.01, 150), np.linspace(-0.05, 0.05, 150)),
    "period_doubling": (np.geomspace(0.7, 1.45, 150), np.geomspace(1e-6, 0.3, 150)),
    "stability_flip": (np.linspace(0.9, 1.1, 150), np.linspace(0.0, 2.0, 150)),
}


@pytest.mark.parametrize("family", GRIDS)
@pytest.mark.parametrize("order", [0, 2])
def test_a_grid_has_the_values_of_its_points(family, order):
    g, h0 = GRIDS[family]
    law = nf.amplification(getattr(nf, family)()).uniform(order)
    rng = np.random.default_rng(order)
    i, j = rng.integers(0, g.size, 4000), rng.integers(0, h0.size, 4000)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", nf.DomainWarning)
        grid, points = law(g[:, None], h0, 120), law(g[i], h0[j], 120)
    np.testing.assert_allclose(grid[i, j], points, rtol=1e-12)


def test_escaped_orbits_have_no_value_on_a_grid_either():
    law = nf.amplification(nf.saddle_node()).uniform(1)
    g, h0 = np.linspace(0.998, 1.01, 150), np.linspace(-0.1, 0.1, 150)
    with pytest.warns(nf.DomainWarning, match="have no value"):
        grid = law(g[:, None], h0, 60)
    with pytest.warns(nf.DomainWarning, match="have no value"):
        points = law(*(v.ravel()[::50] for v in np.meshgrid(g, h0, indexing="ij")), 60)
    np.testing.assert_array_equal(np.isnan(grid.ravel()[::50]), np.isnan(points))
    assert 0 < np.sum(np.isnan(grid)) < grid.size / 2


@pytest.mark.parametrize("order", [0, 1, 3])
def test_next_to_the_unstable_branch_a_grid_and_its_points_differ_by_amplified_rounding_alone(order):
    law = nf.amplification(nf.saddle_node()).uniform(order)
    nu, h0 = np.linspace(0, 0.01, 150), np.linspace(-0.1, 0.1, 151)
    g, T = 1 + nu, 300
    with pytest.warns(nf.DomainWarning, match="have no value"):
        grid = law(g[:, None], h0, T)
    with pytest.warns(nf.DomainWarning, match="have no value"):
        points = law(*(v.ravel() for v in np.meshgrid(g[1::2], h0[::2], indexing="ij")), T).reshape(75, 76)
    grid, root = grid[1::2, ::2], np.sqrt(nu[1::2, None])
    left = np.clip(1 + h0[::2] * np.tanh(root * T) / root, None, 1)  # of D, once its two terms have cancelled
    np.testing.assert_array_equal(np.isnan(grid), np.isnan(points))
    stays = ~np.isnan(grid)
    assert np.all(np.abs(grid / points - 1)[stays] <= 3e-13 / left[stays])
    assert np.isnan(grid[-1, 0])  # on the branch
    assert np.all(stays[left > 1e-10])


@pytest.mark.parametrize(("family", "g", "h0"), [("saddle_node", 1.01, -0.1), ("transcritical", 0.9, 0.9 - 1)])
def test_an_orbit_on_the_unstable_branch_has_a_value_until_rounding_decides_where_it_goes(family, g, h0):
    law = nf.amplification(getattr(nf, family)()).uniform(2)
    assert np.isfinite(law(g, h0, 30))
    with pytest.warns(nf.DomainWarning, match="rounding decides"):
        assert np.isnan(law(g, h0, 300))


def test_axes_of_a_grid_come_in_any_order():
    law = nf.amplification(nf.pitchfork()).uniform()
    g, h0 = np.linspace(0.98, 1.02, 60).reshape(1, 3, 1, 20), np.linspace(0.01, 0.1, 400).reshape(20, 1, 20, 1)
    grid = law(g, h0, 40)
    assert grid.shape == (20, 3, 20, 20)
    np.testing.assert_allclose(grid[7, 2, 5, 11], law(g[0, 2, 0, 11], h0[7, 0, 5, 0], 40), rtol=1e-12)


def test_planar_states_and_a_map_with_alternating_terms():
    planar = nf.amplification(nf.neimark_sacker(1, "-1 + I/2")).uniform(1)
    g, x0 = np.linspace(0.98, 1.02, 150), np.linspace(-0.1, 0.1, 150)
    grid = planar(g[:, None], x0, 0.03, 50)
    np.testing.assert_allclose(grid[::40, ::40], planar(g[::40, None], x0[::40], 0.03, 50), rtol=1e-12)
    doubling = nf.amplification(logistic()).uniform()
    r, h0 = np.linspace(2.99, 3.02, 150), np.linspace(0.66, 0.67, 150)
    grid = doubling(r[:, None], h0, 50)
    np.testing.assert_allclose(grid[::40, ::40], doubling(r[::40, None], h0[::40], 50), rtol=1e-12)


def test_a_grid_of_equal_values():
    law = nf.amplification(nf.pitchfork()).uniform(1)
    grid = law(np.full((150, 1), 1.01), np.linspace(0.01, 0.02, 150), 90)
    np.testing.assert_allclose(grid[0], law(1.01, np.linspace(0.01, 0.02, 150), 90), rtol=1e-12)


SCALED = {
    "stability_flip": (-9, 6, 0.0, 0.75),
    "pitchfork": (-9, 6, -0.2, 0.75),
    "transcritical": (-9, 6, -0.3, 15.0),
    "saddle_node": (-3, 1800, -0.5, 15.0),
}


@pytest.mark.parametrize("family", SCALED)
def test_a_scaling_function_on_a_grid_has_the_values_of_its_points(family):
    low, high, bottom, top = SCALED[family]
    law = nf.amplification(getattr(nf, family)()).scaling()
    x, y = np.linspace(low, high, 151), np.linspace(bottom, top, 149)
    grid = law.evaluate(x[:, None], y)
    pairs = [v.ravel() for v in np.meshgrid(x, y, indexing="ij")]
    points = law.evaluate(*pairs).reshape(grid.shape)
    gone = np.isinf(points)
    np.testing.assert_array_equal(np.isinf(grid), gone)
    assert np.any(gone) == (bottom < 0)
    np.testing.assert_allclose(grid[~gone], points[~gone], rtol=1e-12)


def test_the_phase_of_a_scaling_function_on_a_grid():
    law = nf.amplification(nf.neimark_sacker(1, "-1 + I/2")).scaling()
    x, y = np.linspace(-4, 4, 150), np.linspace(0.01, 0.5, 150)
    np.testing.assert_allclose(
        law.evaluate(x[:, None], y)[::30, ::30], law.evaluate(x[::30, None], y[::30]), rtol=1e-12
    )


@pytest.mark.parametrize(("count", "horizon"), [(1, 1), (5, 9), (12, 300), (27, 1000)])
def test_the_quadrature_is_exact_on_polynomials(count, horizon):
    t, w = gram_rule(count, horizon)
    for degree in range(0, 2 * count, max(1, count // 3)):
        true = mpmath.fsum((mpmath.mpf(k) / horizon) ** degree for k in range(1, horizon + 1))
        assert abs(float(w @ (t / horizon) ** degree) / float(true) - 1) < 1e-12


@pytest.mark.parametrize("steepness", [1.0, 300.0])
def test_a_layer_narrower_than_the_quadrature_is_summed_step_by_step(steepness):
    x, y = np.linspace(1, 2, 150), np.linspace(1, 2, 150)
    layer = TimeSum(lambda a, b: (a * b,), lambda product, t: 1 / (1 + (steepness * (product - t / 100)) ** 2), 400)
    found = on_grid(layer, x[:, None], y)
    t = np.arange(1, 401)
    for i, j in [(0, 0), (31, 77), (149, 149), (80, 3)]:
        true = np.sum(1 / (1 + (steepness * (x[i] * y[j] - t / 100)) ** 2))
        assert abs(found[i, j] / true - 1) < 1e-12


@pytest.mark.parametrize(
    "shapes", [[(400, 1), (300,), (20_000,)], [(300,), (300,)], [(100, 1), (100,)], [(200, 1), (200, 200)]]
)
def test_what_is_no_product_grid(shapes):
    values = [np.ones(s) for s in shapes]
    if shapes[0] == (400, 1):
        values[2] = np.ones((400, 300))
    assert product_axes(values) is None
