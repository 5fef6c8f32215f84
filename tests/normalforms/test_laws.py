"""Amplification laws against each other and against 60-digit iteration."""

import mpmath as mp
import numpy as np
import pytest

import normalforms as nf

SCALAR = ("stability_flip", "pitchfork", "transcritical", "saddle_node", "period_doubling")
STEPS = {
    "stability_flip": (lambda h, g: g * h, lambda h, g: g, lambda h, g: h),
    "pitchfork": (lambda h, g: g * h - h**3, lambda h, g: g - 3 * h**2, lambda h, g: h),
    "transcritical": (lambda h, g: g * h - h**2, lambda h, g: g - 2 * h, lambda h, g: h),
    "saddle_node": (lambda h, g: h + g - 1 - h**2, lambda h, g: 1 - 2 * h, lambda h, g: mp.mpf(1)),
    "period_doubling": (lambda h, g: -g * h + h**3, lambda h, g: -g + 3 * h**2, lambda h, g: -h),
}


def precise(name, g, h0, horizon):
    """``A_T`` by 60-digit iteration of state and sensitivity, written out independently of the package."""
    f, f_h, f_g = STEPS[name]
    with mp.workdps(60):
        g, h, s, total = mp.mpf(g), mp.mpf(h0), mp.mpf(0), mp.mpf(0)
        for _ in range(horizon):
            s = f_h(h, g) * s + f_g(h, g)
            h = f(h, g)
            total += s**2
        return total


@pytest.mark.parametrize("name", SCALAR)
@pytest.mark.parametrize("g", [1.0, 1.01, 1 + 1e-9])
def test_reference_is_the_iteration(name, g):
    law = nf.amplification(getattr(nf, name)())
    assert float(law(g, 0.05, 30)) == pytest.approx(float(precise(name, g, 0.05, 30)), rel=1e-12)


def test_reference_broadcasts():
    law = nf.amplification(nf.pitchfork())
    g, h0 = np.linspace(0.9, 1.1, 5)[:, None], np.linspace(0.01, 0.1, 4)
    values = law(g, h0, 12)
    assert values.shape == (5, 4)
    assert values[2, 3] == pytest.approx(float(law(1.0, 0.1, 12)), rel=1e-14)


@pytest.mark.parametrize("name", ["stability_flip", "pitchfork", "transcritical", "period_doubling"])
@pytest.mark.parametrize("offset", [0.0, 1e-12, -1e-9, 1e-6, -1e-4, 1e-2])
def test_series_is_stable_through_criticality(name, offset):
    law = nf.amplification(getattr(nf, name)())
    h0 = 1e-4
    series = law.series(8)
    assert float(series(1 + offset, h0, 20)) == pytest.approx(float(precise(name, 1 + offset, h0, 20)), rel=1e-12)


@pytest.mark.parametrize("name", ["stability_flip", "pitchfork", "transcritical", "period_doubling"])
@pytest.mark.parametrize("horizon", [1, 2, 5])
def test_series_equals_exact_as_a_rational_function(name, horizon):
    import sympy as sp

    law = nf.amplification(getattr(nf, name)())
    series, exact = law.series(6), law.exact(horizon, 6)
    T = next(s for s in series.symbols if s.name == "T")
    gap = sp.together(series.expr.subs(T, horizon).doit() - exact.expr)
    assert sp.simplify(gap) == 0


@pytest.mark.parametrize(("r", "worst"), [(0.05, 0.11), (0.1, 0.10)])
def test_uniform_law_holds_through_the_bifurcation(r, worst):
    x, w = np.polynomial.legendre.leggauss(60)
    g = np.linspace(0.7, 1.45, 31)[:, None]
    law = nf.amplification(nf.pitchfork())
    true = np.asarray(law(g, r * x, 30)) @ w
    uniform = np.asarray(law.uniform(0)(g, r * x, 30)) @ w
    assert np.max(np.abs(uniform / true - 1)) < worst


def test_average_over_a_uniform_distribution_is_the_integral():
    law = nf.amplification(nf.pitchfork())
    x, w = np.polynomial.legendre.leggauss(200)
    direct = float(np.asarray(law(1.05, 0.1 * x, 30)) @ w / 2)
    assert float(law.averaged(nf.Uniform(-0.1, 0.1))(1.05, 30)) == pytest.approx(direct, rel=1e-10)


@pytest.mark.parametrize("call", [lambda law: law(1.0, 0.1, 0), lambda law: law.series(-1), lambda law: law.exact(300)])
def test_bad_arguments_are_refused(call):
    with pytest.raises(ValueError, match=r"\w"):
        call(nf.amplification(nf.pitchfork()))


def test_law_of_a_normal_form_carries_its_scales():
    law = nf.amplification(nf.reduce(nf.pitchfork()))
    assert float(law(1.02, 0.05, 20)) == pytest.approx(float(precise("pitchfork", 1.02, 0.05, 20)), rel=1e-12)


@pytest.mark.parametrize("cubic", [0, "1/3", "-7/4"])
def test_law_of_a_flip_keeps_its_quadratic_term(cubic):
    m = nf.parse_map(f"-g*x + 3/2*x^2 + ({cubic})*x^3", state="x", parameter="g")
    law, plain = nf.amplification(nf.reduce(m, at={"x": 0, "g": 1})), nf.amplification(m, at={"x": 0, "g": 1})
    h0 = np.linspace(-0.1, 0.1, 7)
    for g in (0.95, 1.0, 1.03):
        np.testing.assert_allclose(law(g, h0, 25), plain(g, h0, 25), rtol=1e-12)
        ours, theirs = (made.uniform().lambdify()(g, h0, 25) for made in (law, plain))  # outside their domains too
        np.testing.assert_allclose(ours, theirs, rtol=1e-12)
    np.testing.assert_allclose(law.exact(6, 5)(1.01, h0 / 20), plain.exact(6, 5)(1.01, h0 / 20), rtol=1e-12)
    scaling, size = law.scaling(), 1e-4
    assert float(scaling(1 + 1e-5, size, 4000)) == pytest.approx(float(law(1 + 1e-5, size, 4000)), rel=5e-3)
    assert set(law.regimes()) == set(nf.amplification(nf.period_doubling()).regimes())


def test_law_of_a_neimark_sacker_normal_form():
    family = nf.neimark_sacker(1, "-1 + I/2")
    law, plain = nf.amplification(nf.reduce(family)), nf.amplification(family)
    h0 = np.array([[0.1, 0.02], [-0.03, 0.05]])
    for g in (0.95, 1.0, 1.04):
        np.testing.assert_allclose(law(g, h0 / np.sqrt(2), 25), plain(g, h0, 25), rtol=1e-12)
        ours, theirs = law.uniform(1)(g, *h0.T / np.sqrt(2), 25), plain.uniform(1)(g, *h0.T, 25)
        np.testing.assert_allclose(ours, theirs, rtol=1e-12)
    r = np.linalg.norm(h0, axis=1) / 10
    ours, theirs = law.series(4)(1.0, r / np.sqrt(2), 10), plain.series(4)(1.0, r, 10)
    np.testing.assert_allclose(ours, theirs, rtol=1e-12)
    assert float(law.enclosure(1, (0.1, 0.02), 10).mid) > 0


def test_law_of_a_cusp():
    form = nf.reduce(nf.cusp(), parameter="beta")
    law, plain = nf.amplification(form), nf.amplification(nf.cusp())
    assert law((0.001, 1.01), 0.1, 20) == pytest.approx(plain((0.001, 1.01), 0.1, 20), rel=1e-14)
    assert law.uniform(1)(0.001, 1.01, 0.1, 20) == pytest.approx(plain.uniform(1)(0.001, 1.01, 0.1, 20), rel=1e-14)
    steeper = nf.reduce(nf.parse_map("b + g*x - 2*x^3", state="x", parameter=("g", "b")), at={"x": 0, "g": 1, "b": 0})
    wide = nf.amplification(steeper)
    top = nf.amplification(nf.parse_map("b + g*x - 2*x^3", state="x", parameter=("b", "g")))
    assert wide((0.001, 1.01), 0.1, 20) == pytest.approx(top((0.001, 1.01), 0.1, 20), rel=1e-12)


def test_a_degenerate_normal_form_has_no_law():
    m = nf.parse_map("g*x - x^4", state="x", parameter="g")
    with pytest.raises(ValueError, match="degenerate normal form has no scalar amplification law"):
        nf.amplification(nf.reduce(m, at={"x": 0, "g": 1}))
