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
