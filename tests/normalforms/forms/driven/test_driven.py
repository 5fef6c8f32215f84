"""Amplification under inputs: exact sums, expectations without draws, and what they say when orbits leave."""

import itertools

import mpmath as mp
import numpy as np
import pytest
import sympy as sp

import normalforms as nf
from normalforms.forms.driven import DrivenLaw, driven
from normalforms.forms.driven.exact import autoregressive_sum, constant_sum, sinusoid_sum, white_sum
from normalforms.forms.driven.inputs import law_moment, law_nodes

LINEAR = nf.amplification(nf.stability_flip())
CUBIC = nf.amplification(nf.pitchfork())
INPUTS = {
    "white": nf.White(0.2),
    "constant": nf.Constant(0.2, law="binary"),
    "sinusoid": nf.Sinusoid(0.2, 0.7),
    "coloured": nf.Autoregressive(0.2, 0.6),
    "alternating": nf.Autoregressive(0.2, -0.6),
}


def orbit(step, slope, push, g, h0, inputs):
    """``A_T`` of given inputs, shape (T, n), by the plain loop."""
    h, s, total = np.full(inputs.shape[1], float(h0)), 0.0, 0.0
    for x in inputs:
        h, s = step(h, g) + x, slope(h, g) * s + push(h)
        total = total + s * s
    return total


def cubic_orbit(g, h0, inputs):
    return orbit(lambda h, g: g * h - h**3, lambda h, g: g - 3 * h * h, lambda h: h, g, h0, inputs)


def signs(horizon, size):
    return size * np.array(list(itertools.product((-1.0, 1.0), repeat=horizon))).T


def pulses(g, h0, covariance, horizon):
    """``h0² F_T + Σ_{j,k<T} (T − max(j,k)) j k g^{j+k−2} c(j−k)`` at the working precision of mpmath."""
    total = h0**2 * sum(t * t * g ** (2 * t - 2) for t in range(1, horizon + 1))
    for j, k in itertools.product(range(1, horizon), repeat=2):
        total += (horizon - max(j, k)) * j * k * g ** (j + k - 2) * covariance(abs(j - k))
    return total


@pytest.mark.parametrize("name", INPUTS)
@pytest.mark.parametrize("g", ["0.9", "1", "1.000001", "0.99999", "1.2", "-0.8", "-1"])
def test_linear_law_agrees_with_fifty_digits_through_the_removable_pole(name, g):
    noise = INPUTS[name]
    with mp.workdps(50):
        covariance = [mp.mpf(str(sp.N(noise.covariance(k), 45))) for k in range(30)]
        expected = pulses(mp.mpf(g), mp.mpf("0.3"), covariance.__getitem__, 30)
        got = LINEAR.driven(noise)(float(g), 0.3, 30)
        # the argument itself is a float: its rounding is part of what is computed
        exact = pulses(mp.mpf(float(g)), mp.mpf(0.3), covariance.__getitem__, 30)
        assert abs(got / exact - 1) < 1e-12
        assert abs(got / expected - 1) < 1e-12


@pytest.mark.parametrize("g", [0.8, 1.0, 1.3, -0.7])
def test_linear_law_is_the_mean_over_all_signs(g):
    total = orbit(lambda h, g: g * h, lambda h, g: g + 0 * h, lambda h: h, g, 0.3, signs(10, 0.2))
    for law in ("normal", "binary", "uniform"):
        assert LINEAR.driven(nf.White(0.2, law=law))(g, 0.3, 10) == pytest.approx(total.mean(), rel=1e-12)


@pytest.mark.parametrize("T", [1, 2, 7, 30])
def test_closed_form_is_the_sum_of_pulses(T):
    g, h0, sigma, horizon = white_sum().symbols
    direct = sum(t**2 * g ** (2 * t - 2) for t in range(1, T + 1)) * h0**2
    direct += sigma**2 * sum((T - k) * k**2 * g ** (2 * k - 2) for k in range(1, T))
    assert sp.cancel(white_sum().expr.subs(horizon, T) - direct) == 0


@pytest.mark.parametrize(
    ("formula", "values"),
    [
        (white_sum, (0.9, 0.3, 0.2)),
        (constant_sum, (0.9, 0.3, 0.2)),
        (lambda: constant_sum(fixed=False), (1.1, 0.3, 0.2)),
        (sinusoid_sum, (1.1, 0.3, 0.2, 0.7)),
        (lambda: sinusoid_sum(fixed=True), (0.9, 0.3, 0.2, 0.7, 0.4)),
        (autoregressive_sum, (1.1, 0.3, 0.2, 0.6)),
    ],
)
def test_what_is_printed_is_what_is_computed(formula, values):
    made = formula()
    T = 12
    exact = [sp.Rational(str(v)) for v in values]
    expr = made.expr.subs(dict(zip(made.symbols, [*exact, T], strict=True)))
    if expr.has(sp.Sum):
        expr = expr.replace(sp.Sum, lambda f, *limits: sp.Add(*_terms(f, limits)))
    assert made(*values, T) == pytest.approx(float(sp.re(sp.N(expr, 30))), rel=1e-12)


def _terms(term, limits):
    if not limits:
        return [term]
    (symbol, low, high), *rest = limits
    return [t for n in range(int(low), int(high) + 1) for t in _terms(term.subs(symbol, n), rest)]


def test_fixed_inputs_are_the_orbit_itself():
    for noise in (nf.Constant(-0.02), nf.Sinusoid(0.03, 1.1, 0.4)):
        x = noise.sample(np.random.default_rng(0), 40, 1)
        total = orbit(lambda h, g: g * h, lambda h, g: g + 0 * h, lambda h: h, 1.05, 0.1, x)[0]
        assert LINEAR.driven(noise)(1.05, 0.1, 40) == pytest.approx(total, rel=1e-12)
        found = CUBIC.driven(noise)(1.05, 0.1, 40)
        assert found == pytest.approx(cubic_orbit(1.05, 0.1, x)[0], rel=1e-12)
        assert found.error < 1e-12 * found


def test_critical_values():
    T, h = 50, 0.0
    assert LINEAR.driven(nf.White(1))(1.0, h, T) == pytest.approx(T**2 * (T**2 - 1) / 12, rel=1e-14)
    constant = LINEAR.driven(nf.Constant(1))(1.0, h, T)
    assert constant == pytest.approx(T * (T**2 - 1) * (3 * T**2 - 2) / 60, rel=1e-14)
    for T, ratio in ((100, 1.012), (400, 1.0008)):
        wave = LINEAR.driven(nf.Sinusoid(1, 0.5))(1.0, h, T) * 24 * np.sin(0.25) ** 2 / T**3
        assert wave == pytest.approx(ratio, abs=0.02)
    coloured = [LINEAR.driven(nf.Autoregressive(1, 0.9))(1.0, h, T) / (19 * T**4 / 12) for T in (400, 4000)]
    assert abs(coloured[1] - 1) < 0.006 < abs(coloured[0] - 1) < 0.06


def test_power_of_the_horizon_tells_the_input():
    """At criticality from rest, while the input is weak: T³ oscillation, T⁴ noise, T⁵ constant."""
    for noise, power in ((nf.Sinusoid(1, 1), 3), (nf.White(1), 4), (nf.Autoregressive(1, 0.5), 4), (nf.Constant(1), 5)):
        law = LINEAR.driven(noise)
        slope = np.log2(law(1.0, 0.0, 16000) / law(1.0, 0.0, 8000))
        assert slope == pytest.approx(power, abs=1e-2)
        assert law.scaling().power == CUBIC.driven(noise).scaling().power == power


def test_subcritical_noise_is_extensive_in_the_horizon():
    q, T = 0.8**2, 4000
    found = LINEAR.driven(nf.White(0.1))(0.8, 0.0, T)
    assert found == pytest.approx(0.01 * T * (1 + q) / (1 - q) ** 3, rel=3e-3)


def test_coloured_noise_without_memory_is_white():
    white, coloured = LINEAR.driven(nf.White(0.3)), LINEAR.driven(nf.Autoregressive(0.3, 0))
    assert coloured(0.97, 0.2, 25) == pytest.approx(white(0.97, 0.2, 25), rel=1e-13)


def test_samples_have_the_stated_covariance():
    rng = np.random.default_rng(0)
    for noise in INPUTS.values():
        x = noise.sample(rng, 6, 200_000)
        for k in range(4):
            assert np.mean(x[1] * x[1 + k]) == pytest.approx(float(noise.covariance(k)), abs=5e-4)


@pytest.mark.parametrize("law", ["binary", "uniform", "normal"])
def test_laws_of_noise_have_their_moments(law):
    nodes, weights = law_nodes(law)
    for k in range(2 if law == "binary" else 12):
        assert np.sum(weights * nodes**k) == pytest.approx(float(law_moment(law, k)), rel=1e-10, abs=1e-9)


@pytest.mark.parametrize(("g", "h0"), [(0.9, 0.0), (1.0, 0.1), (1.1, -0.2)])
def test_expectation_is_the_mean_over_all_signs(g, h0):
    found = CUBIC.driven(nf.White(0.05, law="binary"))(g, h0, 12)
    assert found == pytest.approx(cubic_orbit(g, h0, signs(12, 0.05)).mean(), rel=1e-11)
    assert found.escaped == 0
    doubling = nf.amplification(nf.period_doubling()).driven(nf.White(0.05, law="binary"))
    assert doubling(g, h0, 12) == pytest.approx(found, rel=1e-11)


@pytest.mark.parametrize(
    ("sigma", "g", "law"),
    [(0.02, 1.02, "normal"), (0.1, 1.0, "normal"), (0.1, 0.95, "binary"), (0.1, 1.0, "uniform"), (0.25, 1.0, "normal")],
)
def test_expectation_agrees_with_draws(sigma, g, law):
    noise, T = nf.White(sigma, law=law), 60
    found = CUBIC.driven(noise)(g, 0.0, T)
    edge = np.sqrt((1 + g) / 3)
    h, s, total, kept = np.zeros(40_000), 0.0, 0.0, np.ones(40_000, bool)
    with np.errstate(all="ignore"):
        for x in noise.sample(np.random.default_rng(3), T, h.size):
            h, s = g * h - h**3 + x, (g - 3 * h * h) * s + h
            total, kept = total + s * s, kept & (np.abs(h) <= edge)
    A = total[kept]
    assert abs(found - A.mean()) < 4 * A.std() / np.sqrt(A.size)
    assert abs(found.escaped - np.mean(~kept)) < 0.01
    assert found.error < 1e-8 * found


def test_initial_states_and_parameters_broadcast():
    law = CUBIC.driven(nf.White(0.05, law="binary"))
    grid = law(np.array([[0.95], [1.05]]), np.array([0.0, 0.1, 0.2]), 10)
    assert grid.shape == (2, 3)
    assert grid[1, 2] == pytest.approx(law(1.05, 0.2, 10), rel=1e-12)
    assert law.error(1.0, np.array([0.0, 0.1]), 10).shape == (2,)


def test_a_mean_that_an_escape_makes_infinite_is_said_to_be():
    fold = nf.amplification(nf.transcritical()).driven(nf.White(0.05))
    found = fold(1.0, 0.0, 60)
    assert np.isinf(found)
    assert 0.5 < found.escaped < 1
    assert "radius" in found.status
    assert np.isinf(CUBIC.driven(nf.White(0.01))(1.0, 5.0, 10))
    kept = nf.amplification(nf.transcritical()).driven(nf.White(0.05), radius=0.5)(1.0, 0.0, 60)
    assert np.isfinite(kept)
    assert 0 < kept.escaped < 1
    bounded = nf.amplification(nf.transcritical()).driven(nf.White(0.001, law="binary"))(0.9, 0.0, 12)
    step = lambda h, g: g * h - h * h  # noqa: E731
    assert bounded == pytest.approx(
        orbit(step, lambda h, g: g - 2 * h, lambda h: h, 0.9, 0.0, signs(12, 0.001)).mean(), rel=1e-10
    )


def test_window_of_the_caller_is_in_the_callers_units():
    form = nf.reduce(nf.Map(*_tanh()))
    law = nf.amplification(form).driven(nf.White(0.02))
    assert law.window(1.0)[1] == pytest.approx(np.sqrt(2 / 3 * 3), rel=1e-12)  # c = 1/3
    plain = CUBIC.driven(nf.White(sp.Rational(2, 100) / sp.sqrt(3)))
    assert law(1.0, 0.3, 40) == pytest.approx(3 * plain(1.0, 0.3 / np.sqrt(3), 40), rel=1e-10)
    assert law.scaling()(1.0, 0.3, 400) == pytest.approx(3 * plain.scaling()(1.0, 0.3 / np.sqrt(3), 400), rel=1e-9)
    assert float(law.strength) == pytest.approx(0.02 / np.sqrt(3), rel=1e-12)
    assert float(law.rate) == pytest.approx(3 * float(plain.rate), rel=1e-12)


def _plane():
    x, y, g = sp.symbols("x y g", real=True)
    return (g * x + y, x * y), (x, y), g


def _tanh():
    h, g = sp.symbols("h g", real=True)
    return sp.tanh(g * h), h, g, {h: 0, g: 1}


def test_exact_polynomials():
    law = CUBIC.driven(nf.White(0.1, law="binary"))
    assert law.exact(3)(1.1, 0.2) == pytest.approx(cubic_orbit(1.1, 0.2, signs(3, 0.1)).mean(), rel=1e-12)
    fold = nf.amplification(nf.saddle_node()).driven(nf.Constant(0.01))
    assert fold.exact(3)(1.1, 0.02) == pytest.approx(fold(1.1, 0.02, 3), rel=1e-11)
    weak = CUBIC.driven(nf.White(0.01, law="uniform"))
    errors = [abs(weak.exact(10, order=k)(1.1, 0.02) / weak(1.1, 0.02, 10) - 1) for k in (2, 6, 10)]
    assert errors[0] > 20 * errors[1] > 400 * errors[2]
    assert LINEAR.driven(nf.White(1)).exact().symbols[-1].name == "T"
    assert LINEAR.driven(nf.White(1)).exact(9)(1.0, 0.0) == pytest.approx(81 * 80 / 12)
    for language in ("python", "c", "julia"):
        assert "law(" in LINEAR.driven(nf.Sinusoid(1, 1)).exact(9).code(language)


def test_a_finite_batch_does_not_see_the_mean_above_the_threshold():
    below = CUBIC.driven(nf.White(0.05, law="binary")).spread(1.0, 0.0, 320)
    assert below.batch == pytest.approx(below.mean, rel=0.03)
    assert below.median == pytest.approx(below.mean, rel=0.05)
    law = CUBIC.driven(nf.White(0.05, law="binary"))
    above, mean = law.spread(1.1, 0.0, 320), law(1.1, 0.0, 320)
    assert above.median < above.batch < mean / 10
    assert above.share > 0.9
    assert above.quantiles[0] < above.median < above.quantiles[3]


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (lambda: nf.White(-1), "negative"),
        (lambda: nf.White("a"), "finite real"),
        (lambda: nf.White(float("nan")), "finite real"),
        (lambda: nf.White(1, law="cauchy"), "choose one of"),
        (lambda: nf.Constant(1j), "finite real"),
        (lambda: nf.Sinusoid(1, 2 * sp.pi), "use Constant"),
        (lambda: nf.Autoregressive(1, 1), "between"),
        (lambda: CUBIC.driven(0.1), "no input"),
        (lambda: CUBIC.driven(nf.White(0.1), radius=-1), "positive"),
        (lambda: nf.amplification(nf.cusp()).driven(nf.White(0.1), radius=-1), "positive"),
        (lambda: nf.amplification(nf.neimark_sacker(1, -1)).driven(nf.White(0.1), radius=0), "positive"),
        (lambda: nf.amplification(nf.Map(*_plane())).driven(nf.White(0.1)), "scalar maps"),
        (lambda: CUBIC.driven(nf.White(0.1))(1.0, 0.0, 0), "horizon"),
        (lambda: CUBIC.driven(nf.White(0.1))(np.nan, 0.0, 5), "finite"),
        (lambda: CUBIC.driven(nf.White(0.1)).exact(), "give a horizon"),
        (lambda: CUBIC.driven(nf.White(0.1)).exact(9), "give an order"),
        (lambda: CUBIC.driven(nf.White(0.1)).exact(9, order=-1), "order"),
        (lambda: CUBIC.driven(nf.Sinusoid(0.1, 1)).exact(3), "exact polynomial"),
        (lambda: nf.amplification(nf.saddle_node()).driven(nf.White(0.1)).exact(3, order=4), "leave order out"),
        (lambda: nf.amplification(nf.transcritical()).driven(nf.White(0.1)).scaling(), "no mean exists"),
        (lambda: nf.amplification(nf.transcritical()).driven(nf.White(0.1)).stationary(0), "supercritical"),
        (lambda: CUBIC.driven(nf.Constant(0.1)).stationary(0), "belong to noise"),
        (lambda: CUBIC.driven(nf.White(0.1)).stationary(1e4), "scaling"),
        (lambda: CUBIC.driven(nf.White(0.1)).scaling().series(0), "order"),
        (lambda: CUBIC.driven(nf.Constant(0.1)).scaling().series(2), "noise"),
        (lambda: CUBIC.driven(nf.White(0.1)).scaling().evaluate(0, -1), "negative"),
    ],
)
def test_bad_input_is_named(made, words):
    with pytest.raises(ValueError, match=words):
        made()


def test_a_law_is_a_value():
    assert CUBIC.driven(nf.White(0.1)) == driven(nf.pitchfork(), 1, 1, nf.White(0.1))
    assert isinstance(CUBIC.driven(nf.White(0.1)), DrivenLaw)
