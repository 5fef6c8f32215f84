"""Scaling functions: closed form, numbers and limit law against quadrature and against the map itself."""

import warnings

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
from normalforms.families import recognise as unfolding
from normalforms.forms import amplify, gram
from normalforms.forms.limits.cusp import CuspScaling
from normalforms.forms.limits.numerics import (
    PITCHFORK,
    SADDLE_NODE,
    STABILITY_FLIP,
    TRANSCRITICAL,
    neimark_sacker_numerics,
)
from normalforms.formulas.formula import DomainWarning
from normalforms.law import AmplificationLaw


def scaling(m, **units):
    return AmplificationLaw(m, **units).scaling()


D = sp.Rational(-1, 2) + 3 * sp.I / 10
SCALAR = {m.name: m for m in (stability_flip(), pitchfork(), transcritical(), saddle_node())}


def denominator(rate):
    return lambda x, y, tau: 1 + y * (tau * rate if x == 0 else mpmath.expm1(rate * x * tau) / x)


def flow(name, x, y, tau):
    """H(τ), the solution of the limiting flow."""
    if name == "saddle_node":
        k = mpmath.sqrt(x)
        top = k * mpmath.sinh(k * tau) + y * mpmath.cosh(k * tau)
        ratio = tau if x == 0 else mpmath.sinh(k * tau) / k
        return mpmath.re(top) / mpmath.re(mpmath.cosh(k * tau) + y * ratio)
    if name == "stability_flip":
        return mpmath.sqrt(y) * mpmath.exp(x * tau)
    if name == "transcritical":
        return y * mpmath.exp(x * tau) / denominator(1)(x, y, tau)
    return mpmath.sqrt(abs(y) * mpmath.exp(2 * x * tau) / denominator(2)(x, y, tau))


def density(name, x, y, tau):
    """(∂H/∂x)², differentiated numerically: nothing of the closed form is used."""
    if name == "phase":
        angle = lambda v: mpmath.log(denominator(2)(v, y, tau)) / 2  # noqa: E731
        return (flow("pitchfork", x, y, tau) * mpmath.diff(angle, x)) ** 2
    return mpmath.diff(lambda v: flow(name, v, y, tau), x) ** 2


def quadrature(name, x, y):
    with mpmath.workdps(30):
        x, y = mpmath.mpf(x), mpmath.mpf(y)
        cuts = {mpmath.mpf(i) / 4 for i in range(5)}
        rate = {"transcritical": 1, "saddle_node": mpmath.sqrt(abs(x)) / (x or 1) * 2}.get(name, 2)
        front = mpmath.log(x / y - 1) / (rate * x) if name != "saddle_node" and 0 < y < x else mpmath.mpf(0)
        if abs(rate * x) > 8:
            steps = (-16, -8, -4, -2, -1, 0, 1, 2, 4, 8, 16)
            cuts |= {c for k in steps if 0 < (c := front + k / abs(rate * x)) < 1}
        if abs(y) > 2:
            cuts |= {mpmath.mpf(2) ** -k for k in range(1, 12)}
        value = mpmath.quad(lambda tau: density(name, x, y, tau), sorted(cuts))
    return -value if y < 0 and name == "pitchfork" else value


@pytest.mark.parametrize(
    ("x", "y", "value"),
    [(1, 0.5, 0.100645023448725), (3, 0.2, 0.101028791840578), (-2, 0.5, 0.00878187525042301)],
)
def test_pitchfork_at_published_points(x, y, value):
    assert scaling(pitchfork()).evaluate(x, y) == pytest.approx(value, rel=3e-15)


POINTS = [
    (0, 0.5), (0, 30), (1e-12, 0.5), (-1e-9, 3), (1e-4, 1e-6), (-0.02, 0.3), (0.3, 0.3), (2, 2),
    (2, 2 + 1e-9), (2, 2 - 1e-5), (0.7, 0.71), (5, 1e-8), (12, 1e-3), (60, 0.02), (-60, 0.5),
    (-200, 40), (3, 900), (40, 3),
]  # fmt: skip


@pytest.mark.parametrize("name", ["stability_flip", "pitchfork", "transcritical", "phase"])
@pytest.mark.parametrize(("x", "y"), POINTS)
def test_numbers_to_twelve_digits(name, x, y):
    if name == "phase":
        value = neimark_sacker_numerics(1.0).rest(np.array([float(x)]), np.array([float(y)]))[0]
    else:
        value = scaling(SCALAR[name]).evaluate(x, y)
    assert value == pytest.approx(float(quadrature(name, x, y)), rel=1e-12)


@pytest.mark.parametrize(
    ("x", "y"),
    [
        (0, 0.5), (0, 0), (1e-10, 0.5), (-1e-7, 2), (0.01, -0.3), (4, 2), (4 + 1e-8, 2), (4, -1),
        (9, 3 - 1e-6), (0.5, 0), (-2, 0.5), (-0.3, -0.2), (-7, 20), (300, 0.1), (2500, 3),
        (1, 1e3), (2, -1.2),
    ],
)  # fmt: skip
def test_saddle_node_to_twelve_digits(x, y):
    value = scaling(saddle_node()).evaluate(x, y)
    assert value == pytest.approx(float(quadrature("saddle_node", x, y)), rel=1e-12)


@pytest.mark.parametrize("numerics", [STABILITY_FLIP, PITCHFORK, TRANSCRITICAL, SADDLE_NODE])
def test_fast_closed_form_equals_quadrature(numerics):
    rng = np.random.default_rng(0)
    x = rng.normal(size=4000) * 10.0 ** rng.uniform(-6, 2.3, 4000)
    y = 10.0 ** rng.uniform(-6, 2, 4000)
    value = numerics(x, y)
    finite = value < 1e6  # next to the escape the rounding of the input itself decides
    assert np.sum(finite) > 2000
    np.testing.assert_allclose(value[finite], numerics.integral(x[finite], y[finite]), rtol=4e-13)


@pytest.mark.parametrize("m", [*SCALAR.values(), period_doubling(), neimark_sacker(1, D)], ids=lambda m: m.name)
def test_expression_equals_numbers(m):
    law = scaling(m)
    function = sp.lambdify(law.symbols, law.function, "mpmath")
    assert law.function.free_symbols == set(law.symbols)
    for x, y in [(1, 0.5), (3, 0.2), (-2, 0.5), (-0.8, 0.3), (2, 3.5)]:
        with mpmath.workdps(40):
            value = function(mpmath.mpf(x), mpmath.mpf(y))
            assert abs(mpmath.im(value)) < 1e-30
            assert law.evaluate(x, y) == pytest.approx(float(mpmath.re(value)), rel=1e-12)
        with mpmath.workdps(60):
            near = function(mpmath.mpf("1e-12"), mpmath.mpf(y))
            assert float(law.at_zero.subs(law.symbols[1], y)) == pytest.approx(float(mpmath.re(near)), rel=1e-9)
        assert law.evaluate(0, y) == pytest.approx(float(law.at_zero.subs(law.symbols[1], y)), rel=1e-12)


def test_expressions_are_short_and_print():
    assert sp.count_ops(scaling(pitchfork()).function) < 70
    assert sp.count_ops(scaling(transcritical()).function) < 110
    text = scaling(pitchfork()).latex()
    assert "Li" in text
    assert len(text) < 600
    assert scaling(pitchfork())._repr_latex_().startswith("$")


def test_period_doubling_and_linear_limit():
    assert scaling(period_doubling()).function == scaling(pitchfork()).function
    tiny = scaling(pitchfork()).evaluate(1.3, 1e-12)
    assert tiny == pytest.approx(scaling(stability_flip()).evaluate(1.3, 1e-12), rel=1e-10)


u, g = sp.symbols("u g")


@pytest.mark.parametrize(
    ("m", "x", "y"),
    [
        (stability_flip(), 1.5, 0.4),
        (pitchfork(), 1.5, 0.4),
        (pitchfork(), -3.0, 2.0),
        (period_doubling(), 1.5, 0.4),
        (transcritical(), 2.0, 0.7),
        (transcritical(), -1.0, -0.5),
        (saddle_node(), 1.5, 0.4),
        (saddle_node(), -1.0, -0.1),
        (neimark_sacker(1, D), 1.5, 0.4),
        (Map(g * u - 4 * u**3, u, g), 1.5, 0.4),
        (Map(g * u + u**3, u, g), 1.5, -0.04),
        (Map(g * u - 3 * u**2, u, g), 2.0, 0.7),
        (Map(u + g - 1 - 3 * u**2, u, g), 1.5, 0.4),
    ],
    ids=lambda v: getattr(v, "name", None),
)
def test_direct_iteration_tends_to_the_law_like_one_over_the_horizon(m, x, y):
    law = scaling(m)
    parameter, h0, T = law.inputs
    errors = []
    for horizon in (200, 400, 800):
        at = float(sp.solve(law.x.subs(T, horizon) - x, parameter)[0])
        start = float(max(sp.solve(law.y.subs(T, horizon) - y, h0), key=abs))
        start = abs(start) if y > 0 or m.steps[0].has(u**3) else start
        state = np.array([start, 0.0]) if m.dimension == 2 else start
        direct = amplify(m, at, state, horizon)
        errors.append(law(at, start, horizon) / float(direct) - 1)
    assert abs(errors[2]) < 15 / 800
    assert errors[0] / errors[1] == pytest.approx(2, rel=0.03)
    assert errors[1] / errors[2] == pytest.approx(2, rel=0.03)


def test_stretch_and_gain_carry_the_law_over():
    plain, scaled = scaling(pitchfork()), scaling(pitchfork(), stretch=2, gain=sp.Rational(1, 4))
    assert scaled(1.01, 0.05, 100) == pytest.approx(plain(1.01, 0.1, 100) / 4, rel=1e-14)


def test_broadcasting_and_types():
    law = scaling(pitchfork())
    assert isinstance(law.evaluate(1, 0.5), float)
    grid = law.evaluate(np.linspace(-3, 3, 5)[:, None], np.array([0.0, 0.1, 1.0]))
    assert grid.shape == (5, 3)
    assert np.all(grid[:, 0] == 0)
    assert grid[4, 1] == law.evaluate(3.0, 0.1)
    assert law(np.array([0.99, 1.0, 1.01]), 0.05, 100).shape == (3,)


@pytest.mark.parametrize(
    ("m", "x", "stays", "leaves"),
    [
        (saddle_node(), -1.0, -0.6, -0.7),
        (transcritical(), 1.0, -0.58, -0.59),
        (transcritical(), -1.0, -1.58, -1.59),
    ],
)
def test_escape_of_the_limit_flow_is_infinite(m, x, stays, leaves):
    law = scaling(m)
    assert np.isfinite(law.evaluate(x, stays))
    assert law.evaluate(x, leaves) == np.inf


@pytest.mark.parametrize(("y", "x", "value"), [(1e-2, 3.584, 0.15293), (1e-4, 6.194, 0.18065)])
def test_published_peaks(y, x, value):
    peak = scaling(pitchfork()).peak(y)
    assert peak.x == pytest.approx(x, abs=5e-4)
    assert peak.value == pytest.approx(value, abs=5e-6)


@pytest.mark.parametrize("m", [pitchfork(), transcritical()])
@pytest.mark.parametrize("y", [1e-6, 0.03, 0.8, 4.0])
def test_peak_is_a_maximum(m, y):
    law = scaling(m)
    peak = law.peak(y)
    around = law.evaluate(peak.x + np.linspace(-2, 2, 401), y)
    assert np.all(around <= peak.value * (1 + 1e-13))
    step = 1e-3
    up, down = law.evaluate(peak.x + step, y), law.evaluate(peak.x - step, y)
    curvature = (up - 2 * peak.value + down) / step**2
    assert abs((up - down) / (2 * step) / curvature) < 1e-5


def test_asymptotics_of_the_peak():
    law = scaling(pitchfork())
    for y in (1e-10, 1e-40, 1e-150, 1e-300):
        peak = law.peak(y)
        place = np.log(1 / y) / 2 + 0.75 * np.log(peak.x) + np.log(2) / 4
        height = 0.25 - (1 + np.log(2 * peak.x)) / (8 * peak.x)
        assert abs(peak.x - place) < 0.5 * np.log(peak.x) / peak.x**0.5
        assert abs(peak.value - height) < np.log(peak.x) / peak.x**1.5


def test_asymptotics_of_the_transcritical_peak():
    law = scaling(transcritical())
    for y in (1e-10, 1e-40, 1e-150, 1e-300):
        peak = law.peak(y)
        place = np.log(1 / y) + 1.5 * np.log(peak.x) + np.log(6) / 2
        height = peak.x / 6 - np.log(6 * peak.x) / 6 + 7 / 12 - 2 / np.sqrt(6 * peak.x)
        assert abs(peak.x - place) < np.log(peak.x) / peak.x**0.5
        assert abs(peak.value - height) < 0.1 / peak.x**0.5


@pytest.mark.parametrize("m", [pitchfork(), transcritical()])
@pytest.mark.parametrize("y", [0.0, 1e-300, 1e-200, 1e-100])
def test_tiny_initial_states_neither_overflow_nor_vanish(m, y):
    law = scaling(m)
    for x in (-900.0, 0.0, 30.0, 500.0, 1300.0):
        value = law.evaluate(x, y)
        assert 0 <= value < np.inf
        assert value > 0 or y == 0 or x < 300


@pytest.mark.parametrize("m", [stability_flip(), saddle_node(), Map(g * u + u**3, u, g), neimark_sacker(1, D)])
def test_no_peak_is_an_error(m):
    with pytest.raises(ValueError, match="no maximum"):
        scaling(m).peak(0.1)


def test_peak_needs_an_initial_state():
    with pytest.raises(ValueError, match="must be positive"):
        scaling(pitchfork()).peak(0.0)


def test_cusp_contains_the_pitchfork_and_tends_to_the_map():
    law = scaling(cusp())
    assert isinstance(law, CuspScaling)
    psi = law.evaluate(1.5, 0.6, 0)
    assert psi[1, 1] == pytest.approx(scaling(pitchfork()).evaluate(1.5, 0.36), rel=1e-11)
    errors = []
    for horizon in (100, 200, 400):
        at, start = (0.7 / horizon**1.5, 1 + 1.5 / horizon), 0.6 / horizon**0.5
        errors.append(law.gram(at, start, horizon) / gram(cusp(), at, start, horizon) - 1)
    np.testing.assert_allclose(errors[0] / errors[1], 2, rtol=0.05)
    np.testing.assert_allclose(errors[1] / errors[2], 2, rtol=0.05)
    assert law.evaluate(np.zeros(3), 0.1, 0.2).shape == (3, 2, 2)


def test_the_cusp_is_right_or_warns():
    law, rng, warned = scaling(cusp()), np.random.default_rng(1), 0
    for horizon in (10, 30, 100):
        for _ in range(12):
            x, y, z = rng.normal(0, (3, 1, 2))
            at, start = (z / horizon**1.5, 1 + x / horizon), y / horizon**0.5
            with warnings.catch_warnings(record=True) as said:
                warnings.simplefilter("always")
                value = law.gram(at, start, horizon)
            with np.errstate(all="ignore"):
                true = gram(cusp(), at, start, horizon)
            size = np.sqrt(np.outer(np.diag(true), np.diag(true)))
            warned += bool(said)
            assert said or np.max(np.abs(value - true) / size) < 0.5
    assert 5 < warned < 30  # neither never nor always
    with pytest.warns(DomainWarning, match="1 of 2 matrices"):
        law((0.0, np.array([1.0, 1.6])), 0.1, 30)


def test_cusp_integral_form():
    law = scaling(cusp())
    x, y, z = 1.5, 0.6, 0.7
    F = lambda eta: z + x * eta - eta**3  # noqa: E731
    end = mpmath.findroot(lambda e: mpmath.quad(lambda v: 1 / F(v), [y, e]) - 1, (1.0, 1.37), solver="anderson")
    weight = lambda k, eta: mpmath.quad(lambda v: v**k / F(v) ** 2, [y, eta])  # noqa: E731
    for i in range(2):
        for j in range(2):
            value = mpmath.quad(lambda e: F(e) * weight(i, e) * weight(j, e), [y, end])  # noqa: B023
            assert law.evaluate(x, y, z)[i, j] == pytest.approx(float(value), rel=1e-11)
    assert law.condition.free_symbols == set(law.symbols)
    assert law.function.free_symbols == set(law.symbols)


def test_recognition_does_not_depend_on_names():
    found = unfolding(parse_map("lam*v - 2*v^2", state="v", parameter="lam"))
    assert (found.kind, found.coefficient) == ("transcritical", 2)
    assert scaling(parse_map("lam*v - v^3", state="v", parameter="lam")).function == scaling(pitchfork()).function


@pytest.mark.parametrize(
    "m",
    [
        parse_map("r*x*(1-x)+x^4", state="x", parameter="r"),
        parse_map("r*sin(x)", state="x", parameter="r"),
        parse_map("r*x - x^3 - x^2", state="x", parameter="r"),
        Map((u, g * u), (u, sp.Symbol("v")), g),
    ],
)
def test_maps_that_are_no_normal_form(m):
    with pytest.raises(ValueError, match="reduce it"):
        scaling(m)


def test_bad_input():
    law = scaling(pitchfork())
    with pytest.raises(ValueError, match="NaN"):
        law.evaluate(np.nan, 1)
    with pytest.raises(ValueError, match="x has type complex"):
        law.evaluate(1j, 1)
    with pytest.raises(ValueError, match="horizon"):
        law(1.0, 0.1, 0)
    with pytest.raises(ValueError, match="degenerate"):
        scaling(neimark_sacker(1, sp.I))
    with pytest.raises(ValueError, match="Map"):
        scaling("pitchfork")  # type: ignore[arg-type]
