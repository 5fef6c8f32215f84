"""Cycles by the chain rule, decimals that mean a bifurcation, coordinates, and points without a normal form."""

import time

import numpy as np
import pytest
import sympy as sp

import normalforms as nf
from normalforms.maps import zoo

x, y, r = sp.symbols("x y r", real=True)
FLIPS = {2: (3.449489742783178, 0.43996), 4: (3.544090359551923, 0.52359), 8: (3.564407266095433, 0.49061)}
"""Flips of the logistic map's cycles: parameter (published) and a point near the cycle."""


def composed(n):
    """Derivatives of the n-th iterate of the logistic map by differences in 60 digits: an independent route."""
    import mpmath as mp

    def iterate(h, g):
        for _ in range(n):
            h = g * h * (1 - h)
        return h

    return iterate, mp


@pytest.mark.parametrize("period", FLIPS)
def test_flips_of_cycles(period):
    at, point = FLIPS[period]
    start = time.process_time()
    form = nf.reduce(zoo.logistic(), at={"x": point, "r": at}, period=period)
    assert time.process_time() - start < 1.0
    assert (form.kind, form.period) == ("period_doubling", period)
    assert float(form.point[form.parameter]) == pytest.approx(at, rel=1e-12)
    iterate, mp = composed(period)
    with mp.workdps(60):
        h, g = (mp.mpf(str(sp.N(v, 50))) for v in (form.point[form.map.state], form.point[form.parameter]))
        second, third = (mp.diff(lambda v: iterate(v, g), h, k) for k in (2, 3))
        cubic = float(third / 6 + second**2 / 4)
    assert form.coefficients["c3"] == pytest.approx(cubic, rel=1e-9)


def test_a_cycle_agrees_with_the_iterated_map_exactly():
    root = 1 + sp.sqrt(6)
    at = {"x": (root + 1 + sp.sqrt((root + 1) * (root - 3))) / (2 * root), "r": root}
    along = nf.reduce(zoo.logistic(), at=at, period=2)
    whole = nf.reduce(zoo.logistic().iterate(2), at=at)
    assert along.exact
    assert along.kind == whole.kind == "period_doubling"
    for name, value in whole.coefficients.items():
        assert sp.simplify(along.coefficients[name] - value) == 0, name


def test_a_planar_cycle_agrees_with_the_iterated_map():
    m = nf.Map((1 - r * x**2 + y, sp.Rational(3, 10) * x), (x, y), r)  # the period-2 cycle of Hénon flips at 0.9125
    at = {"x": 1.19259, "y": -0.12764, "r": 0.9125}
    along = nf.reduce(m, at=at, period=2)
    whole = nf.reduce(m.iterate(2), at={s: float(v) for s, v in along.point.items()})
    assert along.kind == whole.kind == "period_doubling"
    for name in ("c3", "dlambda"):
        assert float(along.coefficients[name]) == pytest.approx(float(whole.coefficients[name]), rel=1e-8)


def test_a_law_along_a_cycle():
    at, point = FLIPS[4]
    law = nf.amplification(zoo.logistic(), at={"x": point, "r": at}, period=4)
    assert law(1.0, 1e-4, 10) > 0
    with pytest.raises(ValueError, match="period = 4 needs at="):
        nf.amplification(nf.Map(r * x * (1 - x), x, r), period=4)


@pytest.mark.parametrize(
    ("text", "given", "exact", "kind"),
    [
        ("r*x*(1-x)", {"x": 0.66667, "r": 3.00001}, {"x": sp.Rational(2, 3), "r": 3}, "period_doubling"),
        ("r*x*(1-x)", {"x": 0.000005, "r": 1.00001}, {"x": 0, "r": 1}, "transcritical"),
        ("r*x - x^3", {"x": 1e-7, "r": 0.99999}, {"x": 0, "r": 1}, "pitchfork"),
        ("1 + x + r - x^2", {"x": 1.00001, "r": 0.00001}, None, None),
        ("x + r - 2 - x^2", {"x": 1e-5, "r": 2.00001}, {"x": 0, "r": 2}, "saddle_node"),
    ],
)
def test_decimals_find_their_bifurcation(text, given, exact, kind):
    m = nf.parse_map(text, state="x", parameter="r")
    if exact is None:
        with pytest.raises(ValueError, match="not a fixed point"):
            nf.reduce(m, at=given)
        return
    form = nf.reduce(m, at=given)
    assert (form.kind, form.exact) == (kind, True)
    assert {s.name: v for s, v in form.point.items()} == exact
    assert any(form.correction.values())
    assert nf.reduce(m, at=exact).correction is None


def test_an_irrational_bifurcation_given_in_decimals():
    m = nf.parse_map("r*sin(pi*x)", state="x", parameter="r")
    form = nf.reduce(m, at={"x": 0, "r": 0.31831})
    assert float(form.coefficients["c3"]) == pytest.approx(-(np.pi**2) / 6, rel=1e-12)
    law = nf.amplification(m, at={"x": 0, "r": 0.3183098861837907})
    assert law.series(2)(0.32, 0.001, 10) == pytest.approx(law(0.32, 0.001, 10), rel=1e-4)
    start = time.process_time()
    assert law.uniform(1)(0.33, 0.05, 30) == pytest.approx(law(0.33, 0.05, 30), rel=0.01)
    assert time.process_time() - start < 10


def test_a_far_point_is_not_moved():
    with pytest.raises(ValueError, match="not critical"):
        nf.reduce(zoo.logistic(), at={"x": 0.0, "r": 1.01})


@pytest.mark.parametrize("text", ["1e-9", ".000000001"])
def test_one_number_in_two_notations(text):
    form = nf.reduce(nf.parse_map("tanh(r*x)", state="x", parameter="r"), at={"x": text, "r": 1})
    assert (form.kind, form.point[form.map.state]) == ("pitchfork", 0)


def test_coordinates_go_both_ways():
    cases = [
        (nf.reduce(zoo.logistic(), at={"x": "2/3", "r": 3}), 3.02, 0.7),
        (nf.reduce(nf.parse_map("x + r + 2*x^2", state="x", parameter="r"), at={"x": 0, "r": 0}), -0.01, -0.05),
        (nf.reduce(zoo.delayed_logistic()), 2.01, (0.51, 0.5)),
        (nf.reduce(nf.pitchfork()), np.array([0.98, 1.01]), np.array([0.1, -0.2])),
    ]
    for form, parameter, state in cases:
        g, u = form.coordinates(parameter, state)
        back, again = form.originals(g, u)
        np.testing.assert_allclose(back, parameter, rtol=1e-10)
        np.testing.assert_allclose(again, state, rtol=1e-10)
    assert cases[0][0].coordinates(3.02, 0.7)[0] == pytest.approx(1.02, rel=1e-12)


def test_the_fold_law_in_the_maps_own_numbers():
    m = nf.parse_map("x + r + 2*x^2", state="x", parameter="r")
    form = nf.reduce(m, at={"x": 0, "r": 0})
    law = nf.amplification(form)
    assert law(*form.coordinates(-0.01, -0.05), 20) == pytest.approx(nf.amplification(m)(-0.01, -0.05, 20), rel=1e-9)


def test_a_pair_answers_with_its_rotation_and_its_fixed_point():
    form = nf.reduce(zoo.delayed_logistic())
    law, direct = nf.amplification(form), nf.amplification(zoo.delayed_logistic())
    q = np.array(form.critical_eigenvector.evalf(), dtype=complex)[:, 0]
    h0 = 0.5 + 2 * np.real(0.01 * np.exp(2j * np.pi * np.arange(24) / 24)[:, None] * q)
    for parameter, horizon in ((2.0, 300), (2.005, 300)):
        g, u = form.coordinates(parameter, h0)
        assert direct(parameter, h0, horizon).mean() == pytest.approx(law(g, u, horizon).mean(), rel=0.03)


@pytest.mark.parametrize(
    ("text", "at", "sides"),
    [("max(0, r*x)", {"x": 0, "r": 1}, "0 below and 1 above"), ("r*abs(x)", {"x": 0, "r": 1}, "-1 below and 1 above")],
)
def test_border_collisions_are_named(text, at, sides):
    m = nf.parse_map(text, state="x", parameter="r")
    with pytest.raises(ValueError, match=f"border collision.*{sides}"):
        nf.reduce(m, at=at)


def test_a_piecewise_map_is_reduced_where_it_is_smooth():
    m = nf.parse_map("max(r*x - x^3, -3) + 0*abs(x - 5)", state="x", parameter="r")
    assert nf.reduce(m, at={"x": 0, "r": 1}).kind == "pitchfork"
    tent = nf.parse_map("r*min(x, 1 - x)", state="x", parameter="r")
    law = nf.amplification(tent)
    assert law.enclosure(1.9, 0.3, 12).contains(law(1.9, 0.3, 12)) or law(1.9, 0.3, 12) == pytest.approx(
        float(law.enclosure(1.9, 0.3, 12).mid), rel=1e-12
    )


def test_a_pair_next_to_one_is_two_multipliers():
    for sign, name in ((1, "1:1"), (-1, "1:2")):
        m = nf.Map((sign * x - r * y - x**2, sign * y + r * x - y**2), (x, y), r)
        for size in (0, 1e-12, 1e-9, 1e-7):
            form = nf.reduce(m, at={"x": 0, "y": 0, "r": size})
            assert form.kind == "degenerate", size
            assert name in form.detail, size


@pytest.mark.parametrize(
    ("at", "options", "sentence"),
    [
        ({"x": "2/3", "r": 3}, {"period": 2}, "point of period 1"),
        ({"x": "2/3", "r": 3}, {"period": 0}, "positive integer"),
        ({"x": "2/3", "r": 3}, {"period": 1.5}, "positive integer"),
        ({"x": 0.1, "r": 3}, {}, "not a fixed point"),
        ({"x": sp.Rational(1, 10**9), "r": 3}, {}, "not a fixed point"),
        ({"x": 1j, "r": 3}, {}, "not real"),
        ({"x": float("nan"), "r": 3}, {}, "not a finite number"),
        ({"x": [1, 2], "r": 3}, {}, "not a finite number"),
        ({"x": "2/3"}, {}, "no value for r"),
        ({"x": "2/3", "r": 3, "q": 1}, {}, "names 'q'"),
        ({"x": "2/3", "r": 3}, {"parameter": "q"}, "this map has r"),
    ],
)
def test_bad_points_are_refused_in_one_sentence(at, options, sentence):
    m = nf.Map(r * x * (1 - x), x, r)
    with pytest.raises(ValueError, match=sentence):
        nf.reduce(m, at=at, **options)


def test_counts_of_numpy_and_sympy_are_counts():
    law = nf.amplification(nf.pitchfork())
    for horizon in (np.int64(5), sp.Integer(5), np.array(5)):
        assert law(1.0, 0.1, horizon) == law(1.0, 0.1, 5)
        assert law.series(2)(1.0, 0.01, horizon) == law.series(2)(1.0, 0.01, 5)
    assert nf.pitchfork().iterate(np.int64(2)).dimension == 1
    assert nf.reduce(zoo.logistic(), at={"x": np.float64(2 / 3), "r": np.int64(3)}).kind == "period_doubling"


@pytest.mark.parametrize("text", ["sqrt(-cosh(r))*x", "sqrt(-2)*x", "log(-x^2 - 1)*r", "sqrt(-1 - r^2 - x^2)"])
def test_a_complex_map_is_refused(text):
    with pytest.raises(ValueError, match=r"not real|not a finite real"):
        nf.parse_map(text, state="x", parameter="r")


def test_a_map_with_a_real_form_is_taken():
    assert nf.Map((x + sp.I) * (x - sp.I) * r, x, r).step.has(sp.I) is False
    with pytest.raises(ValueError, match="complex"):
        nf.Map(r * x + sp.I, x, r)


def test_names_that_mean_something_are_refused():
    for name in ("tanh", "Abs", "max", "ln"):
        with pytest.raises(nf.MapSyntaxError, match=name):
            nf.parse_map("r*x", state=name, parameter="r")
        with pytest.raises(ValueError, match="name of a function"):
            nf.Map(r * sp.Symbol(name), sp.Symbol(name), r)
    for name in ("J_0_0", "s_0_0", "v0", "direct0"):
        law = nf.amplification(nf.parse_map(f"r*{name}*(1-{name})", state=name, parameter="r"))
        assert law(1.2, 0.3, 3) == pytest.approx(float(law.enclosure(1.2, 0.3, 3).mid), rel=1e-13)


def test_chaos_is_computed_with_the_digits_that_it_needs():
    law = nf.amplification(zoo.logistic())
    for horizon in (200, 500):  # 1e84 and 1e215: their squares are no floats
        truth = float(law.enclosure(3.9, 0.3, horizon).mid)
        assert law(3.9, 0.3, horizon) == pytest.approx(truth, rel=1e-10)
    with pytest.warns(nf.DomainWarning, match="six digits"):
        law(np.linspace(3.85, 3.95, 60), 0.3, 200)
    for horizon in (200, 500):
        with pytest.warns(nf.DomainWarning):
            law.reference(3.9, 0.3, horizon)


def test_an_orbit_that_has_not_diverged_has_a_finite_sum():
    law = nf.amplification(nf.pitchfork())
    assert law(1, 3.0, 1) == law.exact(1)(1, 3.0) == float(law.enclosure(1, 3.0, 1).mid) == 9.0
    assert np.isinf(law(1, 3.0, 30))
    assert law.enclosure(1, 3.0, 30).escape == 1


def test_an_orbit_that_leaves_the_real_numbers_has_no_sum():
    law = nf.amplification(nf.parse_map("r*sqrt(x - 1)", state="x", parameter="r"))
    with pytest.warns(nf.DomainWarning, match="real numbers"):
        assert np.isnan(law(1.0, 0.5, 3))


def test_the_textbook_form_of_ricker():
    m = nf.parse_map("x*exp(r - x)", state="x", parameter="r")
    law = nf.amplification(m, at={"x": 2, "r": 2})
    assert law.uniform(1)(2.02, 2.05, 30) == pytest.approx(law(2.02, 2.05, 30), rel=0.15)
    assert law.series(4)(2.01, 2.02, 20) == pytest.approx(law(2.01, 2.02, 20), rel=0.01)


@pytest.mark.parametrize(
    ("text", "at", "point"),
    [
        ("r - x^2", {"x": "1/2", "r": "3/4"}, (0.76, 0.52, 30)),
        ("6/5*x*exp(r - x)", {"x": 2, "r": "2 - log(6/5)"}, (1.83, 2.05, 30)),
    ],
)
def test_a_uniform_law_about_a_fixed_point_that_is_no_rational_function(text, at, point):
    law = nf.amplification(nf.parse_map(text, state="x", parameter="r"), at=at)
    for order, error in ((0, 1e-2), (1, 1e-4), (2, 1e-6)):
        assert law.uniform(order)(*point) == pytest.approx(law(*point), rel=error)


def test_an_array_of_horizons():
    horizons, g = np.array([1, 5, 30]), np.array([[0.98], [1.01]])
    law, planar = nf.amplification(nf.pitchfork()), nf.amplification(nf.neimark_sacker(1, -1))
    expected = np.array([[law(v, 0.01, int(T)) for T in horizons] for v in g[:, 0]])
    np.testing.assert_array_equal(law(g, 0.01, horizons), expected)
    np.testing.assert_allclose(law.series(4)(g, 0.01, horizons), expected, rtol=1e-3)
    assert planar(1.0, (0.1, 0.0), horizons)[1] == planar(1.0, (0.1, 0.0), 5)
    for bad in ([0, 1], [1.5, 2], [-3]):
        with pytest.raises(ValueError, match="integer number of steps"):
            law(1.0, 0.1, np.array(bad))
