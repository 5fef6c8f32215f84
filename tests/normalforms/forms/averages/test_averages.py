"""Averages over initial states: moments against quadrature, quadrature against a graded rule of its own."""

import numpy as np
import pytest
import sympy as sp

import normalforms as nf

h0 = sp.Symbol("h0", real=True)


def graded_mean(law, g, r, horizon, steepness=14.0):
    """``⟨A⟩`` over U[−r, r] by 2,000 Gauss nodes in ``u``, ``h0 = r sinh(a u)/sinh(a)``: dense at h0 = 0."""
    u, w = np.polynomial.legendre.leggauss(2000)
    state = r * np.sinh(steepness * u) / np.sinh(steepness)
    weight = w * steepness * np.cosh(steepness * u) / np.sinh(steepness) / 2
    return law(np.asarray(g)[:, None], state, horizon) @ weight


@pytest.mark.parametrize("family", [nf.pitchfork, nf.period_doubling])
@pytest.mark.parametrize("r", [0.05, 0.1, 0.3])
def test_quadrature_resolves_the_layer_at_the_unstable_point(family, r):
    law = nf.amplification(family())
    g = np.linspace(0.7, 1.45, 5)
    mean = law.averaged(nf.Uniform(-r, r))
    found = mean.estimate(g, 30)
    assert found.value == pytest.approx(graded_mean(law, g, r, 30), rel=1e-9)
    assert np.all(found.error < 1e-8 * found.value)


@pytest.mark.parametrize(
    "distribution", [nf.Uniform(-0.01, 0.02), nf.Normal(0.002, 0.003), nf.Empirical([0.01, -0.004, 0.02])]
)
@pytest.mark.parametrize("family", [nf.pitchfork, nf.transcritical, nf.saddle_node, nf.stability_flip])
def test_moments_and_quadrature_agree(distribution, family):
    mean = nf.amplification(family()).averaged(distribution)
    direct = mean(1.0005, 8)
    assert mean.series(14)(1.0005, 8) == pytest.approx(direct, rel=1e-9)
    assert mean.exact(8, 14)(1.0005) == pytest.approx(direct, rel=1e-9)
    assert mean.series(8, pade=True)(1.0005, 8) == pytest.approx(direct, rel=1e-6)


@pytest.mark.parametrize("family", [nf.pitchfork, nf.transcritical, nf.saddle_node])
def test_the_average_of_the_polynomial_is_its_integral(family):
    law = nf.amplification(family())
    whole = law.exact(3).expr
    integral = sp.integrate(sp.expand(whole), (h0, -1, 2)) / 3
    assert sp.expand(law.averaged(nf.Uniform(-1, 2)).exact(3).expr - integral) == 0


@pytest.mark.parametrize("family", [nf.pitchfork, nf.saddle_node])
def test_series_and_exact_averages_are_one_function(family):
    mean = nf.amplification(family()).averaged(nf.Normal("1/10", "1/5"))
    series = mean.series(6)
    for horizon in (1, 4, 17):
        gap = series.expr.subs(series.symbols[-1], horizon) - mean.exact(horizon, 6).expr
        assert sp.cancel(sp.together(gap)) == 0


def test_a_moving_fixed_point_is_averaged_about_itself():
    x, r = sp.symbols("x r", real=True)
    law = nf.amplification(nf.Map(r * x * (1 - x), x, r, {x: "2/3", r: 3}))
    mean = law.averaged(nf.Uniform(0.666, 0.668))
    assert mean.series(10)(3.0, 10) == pytest.approx(mean(3.0, 10), rel=1e-9)


def test_a_normal_form_averages_in_its_own_units():
    x, r = sp.symbols("x r", real=True)
    law = nf.amplification(nf.reduce(nf.Map(r * x - 4 * x**3, x, r, {x: 0, r: 1})))
    mean = law.averaged(nf.Uniform(-0.003, 0.003))
    assert mean.series(8)(1.001, 10) == pytest.approx(mean(1.001, 10), rel=1e-9)


def test_uniform_law_is_averaged_by_quadrature_with_its_error():
    law = nf.amplification(nf.pitchfork())
    mean = law.averaged(nf.Uniform(-0.1, 0.1)).uniform(0)
    g = np.array([0.9, 1.0, 1.2])
    expected = graded_mean(lambda g, h, T: law.uniform(0)(g, h, T), g, 0.1, 30)
    assert mean(g, 30) == pytest.approx(expected, rel=1e-9)
    assert np.all(mean.error(g, 30) < 1e-8 * expected)
    assert mean.expr.has(sp.Integral)
    assert [s.name for s in mean.symbols] == ["g", "T"]


def test_escape_makes_the_average_infinite():
    mean = nf.amplification(nf.transcritical()).averaged(nf.Uniform(-0.3, 0.3))
    assert mean(1.4, 30) == np.inf
    assert np.isfinite(mean(0.7, 3))


def test_normal_tails_that_hold_no_mass_do_not_escape():
    law = nf.amplification(nf.pitchfork())
    mean = law.averaged(nf.Normal(0, 0.1))
    assert np.isfinite(mean(1.1, 30))
    assert mean.error(1.1, 30) < 1e-8 * mean(1.1, 30)


def test_the_cusp_averages_its_matrix():
    law = nf.amplification(nf.cusp())
    mean = law.averaged(nf.Uniform(-0.02, 0.02))
    g = (1e-4, 1.0)
    x, w = np.polynomial.legendre.leggauss(40)
    matrix = np.einsum("nij,n->ij", law.gram(g, 0.02 * x, 10), w / 2)
    assert mean.gram(g, 10) == pytest.approx(matrix, rel=1e-10)
    assert mean(g, 10) == pytest.approx(np.linalg.eigvalsh(matrix)[-1], rel=1e-10)
    assert mean.series(12).gram(g, 10) == pytest.approx(matrix, rel=1e-8)
    assert mean.series(12)(g, 10) == pytest.approx(np.linalg.eigvalsh(matrix)[-1], rel=1e-8)


def test_neimark_sacker_takes_moduli_or_states():
    law = nf.amplification(nf.neimark_sacker(1, -1))
    flat = nf.amplification(nf.pitchfork())
    spread = nf.Uniform(0, 0.1)
    assert law.averaged(spread)(1.05, 20) == pytest.approx(flat.averaged(spread)(1.05, 20), rel=1e-10)
    points = law.averaged(nf.Empirical([[0.003, 0.004], [0.0, 0.001]]))
    assert points.series(8)(1.01, 10) == pytest.approx(points(1.01, 10), rel=1e-9)


@pytest.mark.parametrize(
    "call",
    [
        lambda law: law.averaged(3),
        lambda law: law.averaged(nf.Empirical([[0.1, 0.2]])),
        lambda law: law.averaged(nf.Uniform(0, 1))(np.nan, 3),
        lambda law: law.averaged(nf.Uniform(0, 1))(1.0, 0),
        lambda law: law.averaged(nf.Uniform(0, 1)).series(-2),
        lambda law: law.averaged(nf.Uniform(0, 1)).exact(40),
        lambda law: law.averaged(nf.Uniform(0, 1)).uniform(0)(1.0),
    ],
)
def test_bad_averages_are_refused(call):
    with pytest.raises(ValueError, match=r"must|samples|NaN|horizon|order|takes"):
        call(nf.amplification(nf.pitchfork()))


def test_a_distribution_of_numbers_needs_a_map_of_numbers():
    x, y, r = sp.symbols("x y r", real=True)
    delayed = nf.Map((r * x * (1 - y), x), (x, y), r)
    for distribution in (nf.Uniform(-1, 1), nf.Empirical([0.1, 0.2])):
        with pytest.raises(ValueError, match=r"\(n, 2\)"):
            nf.amplification(delayed).averaged(distribution)
    assert nf.amplification(nf.neimark_sacker(1, -1)).averaged(nf.Uniform(-0.1, 0.1))(1.0, 3) > 0
