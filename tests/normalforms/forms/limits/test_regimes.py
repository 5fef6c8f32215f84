"""Regimes: the limits are right, the error terms are of the right size, and outside they say so."""

import warnings
from functools import cache

import mpmath
import numpy as np
import pytest
import sympy as sp

from normalforms import (
    Map,
    cusp,
    neimark_sacker,
    parse_map,
    period_doubling,
    pitchfork,
    saddle_node,
    stability_flip,
    transcritical,
)
from normalforms.forms import amplify
from normalforms.forms.limits.regimes import Regime
from normalforms.formulas.formula import DomainWarning, Formula
from normalforms.law import AmplificationLaw


def scaling(m, **units):
    return AmplificationLaw(m, **units).scaling()


def regimes(m, **units):
    return AmplificationLaw(m, **units).regimes()


D = sp.Rational(-1, 2) + 3 * sp.I / 10
u, v = sp.symbols("u v")
GROWING = [stability_flip(), pitchfork(), period_doubling(), transcritical(), neimark_sacker(1, D)]
GROWING += [Map(v * u - 4 * u**3, u, v), Map(v * u - 3 * u**2, u, v), Map(v * u + u**3, u, v)]
ALL = [*GROWING, saddle_node(), Map(u + v - 1 - 3 * u**2, u, v)]
label = lambda m: m.name or str(m.step)  # noqa: E731


def direct(m, g, h0, T):
    return float(amplify(m, g, np.array([h0, 0.0]) if m.dimension == 2 else h0, T))


@cache
def bound_of(law):
    return Formula(law.guard.results[1], law.symbols).lambdify()


def error(law, *point):
    with np.errstate(all="ignore"):
        return float(bound_of(law)(*map(np.float64, point)))


def check(m, law, points, least):
    """The law is off by less than its error term wherever that term is small, and it is small somewhere."""
    used = 0
    for point in points:
        bound = error(law, *point)
        exact = direct(m, *point) if np.isfinite(bound) else np.inf
        if not (np.isfinite(exact) and bound < 0.4 * exact):
            continue
        used += 1
        assert abs(law(*point) - exact) <= 1.1 * bound + 1e-13 * exact, point
    assert used >= least


@pytest.mark.parametrize("m", GROWING, ids=label)
def test_subcritical_plateau(m):
    points = [(g, h, T) for g in (0.7, 0.9, 0.97) for h in (1e-4, 3e-3, 1e-2) for T in (30, 100, 300, 1000)]
    check(m, regimes(m)["subcritical"], points, least=12)


@pytest.mark.parametrize("m", GROWING, ids=label)
def test_critical_power_law(m):
    points = [(1 + e / T, h, T) for e in (0, 0.02, -0.02) for h in (1e-3, 1e-2, 5e-2) for T in (40, 300)]
    check(m, regimes(m)["critical"], points, least=12)


@pytest.mark.parametrize("m", [saddle_node(), ALL[-1]], ids=label)
def test_critical_saddle_node(m):
    points = [(1 + e / T**2, h / T, T) for e in (0, 0.03, -0.03) for h in (0, 0.03, 0.3, 1) for T in (40, 300)]
    check(m, regimes(m)["critical"], points, least=16)


@pytest.mark.parametrize("m", ALL, ids=label)
def test_supercritical(m):
    points = [(g, h, T) for g in (1.01, 1.03, 1.1) for h in (1e-8, 1e-4, 1e-3, 3e-3) for T in (300, 1000, 3000)]
    check(m, regimes(m)["supercritical"], points, least=2 if m is GROWING[-1] else 5)


def test_subcritical_saddle_node_passes_and_escapes():
    law, points = regimes(saddle_node())["subcritical"], []
    for g in (1 - 1e-5, 1 - 1e-6, 1 - 1e-7):
        for h in (0.0, 0.01):
            escape = (np.pi / 2 + np.arctan(h / np.sqrt(1 - g))) / np.sqrt(1 - g)
            points += [(g, h, int(escape * share)) for share in (0.8, 0.9, 0.95, 0.98)]
    check(saddle_node(), law, points, least=8)


def test_the_corrected_limits_of_the_paper():
    """1/3 T³ belongs to g = 1; below, the sum tends to a constant; above, the sign of g² − 1 is positive."""
    laws = regimes(stability_flip())
    g, h0, T = laws["critical"].symbols
    assert laws["critical"].expr == h0**2 * T**3 / 3
    assert sp.simplify(laws["subcritical"].expr - h0**2 * (1 + g**2) / (1 - g**2) ** 3) == 0
    assert sp.simplify(laws["supercritical"].expr - h0**2 * T**2 * g ** (2 * T) / (g**2 - 1)) == 0
    t, q = sp.Symbol("t", integer=True, positive=True), sp.Symbol("q", positive=True)
    partial = sum((t**2 * q ** (t - 1)).subs({t: k, q: sp.Rational(81, 100)}) for k in range(1, 400))
    assert float(partial) == pytest.approx(float(laws["subcritical"](0.9, 1.0, 400)), rel=1e-14)


def test_errors_shrink_at_the_stated_rate():
    law = regimes(pitchfork())["supercritical"]
    misses = [abs(law(1 + mu, mu, 4000) - direct(pitchfork(), 1 + mu, mu, 4000)) for mu in (0.04, 0.02, 0.01)]
    # the leading corrections are O(L²/μ): they double, slowly modulated by the logarithm
    assert 1.5 < misses[1] / misses[0] < 3.5
    assert 1.5 < misses[2] / misses[1] < 3.5


@pytest.mark.parametrize("m", [pitchfork(), transcritical(), saddle_node(), neimark_sacker(1, D)], ids=label)
@pytest.mark.parametrize("h0", [1e-12, 1e-5, 1e-2, 0.3])
def test_critical_law_is_the_scaling_function_at_zero_and_does_not_cancel(m, h0):
    law, T = regimes(m)["critical"], 100
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DomainWarning)
        value = law(1.0, h0, T)
    assert value == pytest.approx(scaling(m)(1.0, h0, T), rel=1e-12)
    with mpmath.workdps(80):
        expr = sp.lambdify(law.symbols, law.expr, "mpmath")(mpmath.mpf(1), mpmath.mpf(h0), T)
    assert value == pytest.approx(float(expr), rel=1e-13)


def test_critical_law_at_no_initial_state():
    assert regimes(pitchfork())["critical"](1.0, 0.0, 50) == 0
    assert regimes(saddle_node())["critical"](1.0, 0.0, 300) == pytest.approx(300**3 / 3, rel=1e-14)


def test_outside_its_domain_a_regime_says_so():
    laws = regimes(pitchfork())
    with pytest.warns(DomainWarning):
        assert np.isnan(laws["supercritical"](1.01, 1e-4, 30))
    with pytest.warns(DomainWarning, match="g < 1"):
        laws["subcritical"](1.1, 0.01, 100)
    with pytest.warns(DomainWarning):
        laws["critical"](1.2, 0.05, 100)


@pytest.mark.parametrize(
    ("name", "points"),
    [
        ("subcritical", [(1e-4, 0.9, 0.01, 300), (1e-3, 0.95, 0.03, 1000)]),
        ("critical", [(1e-6, 1.0, 1e-3, 100), (1e-5, 1.0001, 1e-2, 300), (1e-4, 0.9999, 1e-2, 100)]),
        ("supercritical", [(1e-9, 1.05, 1e-6, 100), (1e-6, 1.05, 1e-4, 100), (0.0, 1.03, 1e-7, 300)]),
    ],
)
def test_cusp_next_to_the_symmetric_state(name, points):
    law = regimes(cusp())[name]
    for beta, g, h0, T in points:
        exact = float(amplify(cusp(), (beta, g), h0, T))
        assert abs(law((beta, g), h0, T) - exact) <= error(law, beta, g, h0, T)


def test_they_are_formulas():
    laws = regimes(pitchfork())
    assert list(laws) == ["subcritical", "critical", "supercritical"]
    assert all(isinstance(law, Regime) and isinstance(law, Formula) for law in laws.values())
    assert all(law.latex() and law.holds and law.error.free_symbols <= set(law.symbols) for law in laws.values())
    assert "error=" in repr(laws["critical"])
    numpy, jax = (laws["critical"].lambdify(b)(1.0, 0.05, 100) for b in ("numpy", "jax"))
    assert float(jax) == pytest.approx(float(numpy), rel=1e-13)
    assert "double law" in laws["supercritical"].code("c")
    slope = laws["subcritical"].diff("g")(0.8, 0.01, 300)
    low, high = (laws["subcritical"](0.8 + e, 0.01, 300) for e in (-1e-6, 1e-6))
    assert slope == pytest.approx((high - low) / 2e-6, rel=1e-6)
    with pytest.raises(TypeError):
        laws["critical"] = laws["subcritical"]  # type: ignore[index]


def test_stretch_and_gain():
    plain, scaled = regimes(pitchfork()), regimes(pitchfork(), stretch=2, gain=sp.Rational(1, 4))
    for name, point in {"subcritical": (0.8, 0.01, 100), "critical": (1.0, 0.01, 100)}.items():
        g, h0, T = point
        assert scaled[name](g, h0, T) == pytest.approx(plain[name](g, 2 * h0, T) / 4, rel=1e-13)


def test_maps_that_are_no_normal_form():
    with pytest.raises(ValueError, match="reduce it"):
        regimes(parse_map("r*x*(1-x)+x^4", state="x", parameter="r"))


FAMILIES = [
    stability_flip(),
    pitchfork(),
    period_doubling(),
    transcritical(),
    saddle_node(),
    neimark_sacker(1, D),
    cusp(),
]


@pytest.mark.parametrize("name", ["subcritical", "critical", "supercritical"])
@pytest.mark.parametrize("m", FAMILIES, ids=label)
def test_at_random_points_the_error_holds_or_a_warning_comes(m, name):
    """Also where the regime does not apply, such as T (g − 1) ≪ 1 in the super-critical law."""
    rng, law, side = np.random.default_rng(3), regimes(m)[name], {"subcritical": -1, "supercritical": 1}
    silent = 0
    for _ in range(200):
        mu, h0 = 10 ** rng.uniform(-7, -0.3), 10 ** rng.uniform(-9, -0.3)
        g, T = 1 + mu * side.get(name, rng.choice([-1, 0, 1])), int(10 ** rng.uniform(0.7, 3))
        point = (rng.choice([-1, 1]) * 10 ** rng.uniform(-12, -2), g, h0, T) if m.name == "cusp" else (g, h0, T)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            value = law(*point)
        exact = np.inf if caught else direct(m, point[:-2] if m.name == "cusp" else g, h0, T)
        if np.isfinite(exact):
            silent += 1
            assert abs(value - exact) <= 1.15 * error(law, *point) + 1e-12 * exact, point
    assert silent > 0
