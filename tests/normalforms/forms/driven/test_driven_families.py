"""Inputs on the other families: flips with a quadratic term, folds and crossings, subcritical points."""

import numpy as np
import pytest
import sympy as sp

import normalforms as nf

H, R, G = sp.symbols("h r g", real=True)
LOGISTIC = nf.Map(R * H * (1 - H), H, R, {H: sp.Rational(2, 3), R: 3})
FLIP = nf.amplification(nf.reduce(LOGISTIC))
CUBIC, DOUBLING = nf.amplification(nf.pitchfork()), nf.amplification(nf.period_doubling())
CROSSING, FOLD = nf.amplification(nf.transcritical()), nf.amplification(nf.saddle_node())
SUBCRITICAL = nf.amplification(nf.Map(G * H + 2 * H**3, H, G, {H: 0, G: 1}))


@pytest.mark.parametrize(
    ("noise", "start", "tolerance"),
    [
        (lambda T: nf.White(0.3 / T), 0.0, 0.01),
        (lambda T: nf.White(0.3 / T), 0.1, 0.015),
        (lambda T: nf.Sinusoid(0.2 / T**0.5, 1.1), 0.1, 0.015),
        (lambda T: nf.Sinusoid(0.2 / T**0.5, 1.1, 0.3), 0.0, 0.02),
        (lambda T: nf.Sinusoid(0.2 / T**1.5, sp.pi, 0.3), 0.0, 0.01),
        (lambda T: nf.Sinusoid(0.2 / T**0.5, 2 * sp.pi / 3, 0.3), 0.0, 0.01),
    ],
)
def test_a_flip_with_a_quadratic_term_has_the_limit_of_the_plain_one(noise, start, tolerance):
    """The logistic map at r = 3, in its own multiplier: the corrections fall like T^{−1/2} or faster."""
    errors = []
    for T in (100, 400):
        law = FLIP.driven(noise(T))
        at = (1 + 1 / T, start / T**0.5, T)
        errors.append(abs(law(*at) / law.scaling()(*at) - 1))
    assert errors[1] < tolerance
    assert errors[1] < 0.55 * errors[0]


def test_a_flip_with_a_quadratic_term_is_strongly_driven_as_the_plain_one():
    """``E A_T/T → rate κ`` and the exponent of one long orbit, from the logistic map itself."""
    sigma = 0.01
    law = FLIP.driven(nf.White(sigma))
    assert float(law.strength) == pytest.approx(9**0.5 * sigma)  # c = c₃ + c₂², here 0 + 9
    rate = (law(1.0, 0.0, 2000) - law(1.0, 0.0, 1000)) / 1000
    assert rate == pytest.approx(float(law.rate) * law.stationary(0), rel=0.03)
    found = []
    for size in (0.005, 0.0025):  # the corrections are of order σ
        rng, h, total = np.random.default_rng(0), np.full(1000, 2 / 3), 0.0
        for t in range(6000):
            h = 3 * h * (1 - h) + size * rng.standard_normal(h.size)
            if t >= 1500:
                total += np.mean(np.log(np.abs(3 - 6 * h)))
        found.append(total / 4500 / (3 * size))
    assert 2 * found[1] - found[0] == pytest.approx(law.exponent(0), rel=0.02)
    assert law.threshold() == pytest.approx(1 + 1.0243090298 * 0.03, rel=1e-9)


@pytest.mark.parametrize(
    "noise",
    [
        lambda T: nf.Constant(0.5 / T**0.5, law="binary"),
        lambda T: nf.Constant(-0.5 / T**0.5, law="normal"),
        lambda T: nf.Sinusoid(0.5 / T**1.5, sp.pi),
    ],
)
def test_inputs_that_are_random_by_trial_reach_a_period_doubling(noise):
    errors = []
    for T in (100, 400):
        law = DOUBLING.driven(noise(T))
        at = (1 + 1 / T, 0.3 / T**0.5, T)
        errors.append(abs(law(*at) / law.scaling()(*at) - 1))
    assert errors[1] < 0.004
    assert errors[1] < 0.3 * errors[0]


def test_every_law_of_a_period_doubling_is_the_pitchforks_through_alternating_signs():
    """White ↔ white, ρ ↔ −ρ, ω ↔ π − ω, constant ↔ ω = π; each pair of laws is one."""
    pairs = [
        (nf.White(0.02), nf.White(0.02)),
        (nf.Autoregressive(0.02, 0.4), nf.Autoregressive(0.02, -0.4)),
        (nf.Sinusoid(0.02, sp.pi - sp.pi / 8, 0), nf.Sinusoid(0.02, sp.pi / 8, sp.pi)),
        (nf.Constant(0.02), nf.Sinusoid(0.02, sp.pi, sp.pi)),
        (nf.Sinusoid(0.02, sp.pi, 0), nf.Constant(-0.02)),
    ]
    for mine, theirs in pairs:
        flip, fork = DOUBLING.driven(mine), CUBIC.driven(theirs)
        assert flip.scaling().evaluate(0.7, 1.3, 0.2) == pytest.approx(
            fork.scaling().evaluate(0.7, 1.3, 0.2), rel=1e-12
        )
        assert flip.threshold() == pytest.approx(fork.threshold(), rel=1e-13)
        if isinstance(mine, (nf.White, nf.Autoregressive)):
            assert flip.scaling().series(4).expr == fork.scaling().series(4).expr
            assert flip.stationary(0.3) == fork.stationary(0.3)
            assert flip.exponent(0.3) == fork.exponent(0.3)
            assert flip.moment_exponent(1.3) == fork.moment_exponent(1.3)
            assert flip.rate == fork.rate
        if not isinstance(mine, nf.Autoregressive):  # that one is drawn
            assert flip(1.01, 0.05, 30) == pytest.approx(fork(1.01, 0.05, 30), rel=1e-9)


def stays(family, g, wave, start, turns=4000):
    """Whether an orbit of the map under a repeated input is bounded."""
    h = start
    step = {"saddle_node": lambda h: h + g - 1 - h * h, "transcritical": lambda h: g * h - h * h}[family]
    for t in range(turns * len(wave)):
        h = step(h) + wave[t % len(wave)]
        if abs(h) > 5:
            return False
    return True


@pytest.mark.parametrize(("a", "period"), [(0.05, 8), (0.1, 3), (0.1, 2), (0.06, 16)])
def test_a_periodic_input_moves_folds(a, period):
    noise = nf.Sinusoid(a, 2 * sp.pi / period, 0.3)
    wave = a * np.cos(2 * np.pi * np.arange(period) / period + 0.3)
    fold = FOLD.driven(noise).threshold()
    assert fold.error < 1e-11
    assert stays("saddle_node", fold + 1e-4, wave, 0.1)
    assert not stays("saddle_node", fold - 1e-4, wave, 0.1)
    crossing = CROSSING.driven(noise).threshold()
    assert stays("transcritical", crossing + 1e-4, wave, crossing - 1)
    assert not stays("transcritical", crossing - 1e-4, wave, crossing - 1)
    assert stays("transcritical", 2 - crossing - 1e-4, wave, 0.0)  # below the lower fold
    assert not stays("transcritical", 2 - crossing + 1e-4, wave, 0.0)


def test_folds_to_first_order():
    """``1 + c⟨r²⟩`` and ``1 + 2|c|√⟨r²⟩`` against the root, within the error that is stated where there is no root."""
    for law, c in ((FOLD, 1), (nf.amplification(nf.Map(G * H + 3 * H**2, H, G, {H: 0, G: 1})), 3)):
        for a, period in ((0.005, 7), (0.02, 12)):
            size = a / (2 * np.sin(np.pi / period)) / np.sqrt(2)
            first = size**2 if c == 1 else 2 * c * size
            root = law.driven(nf.Sinusoid(a, 2 * sp.pi / period, 0.3)).threshold()
            assert (root - 1) / first == pytest.approx(1, abs=0.05)
            near = law.driven(nf.Sinusoid(a, 2 * np.pi / period + 1e-6)).threshold()
            assert 1e-12 < abs(near - root) < near.error < 0.2 * first


def test_a_constant_input_moves_folds():
    assert FOLD.driven(nf.Constant(0.02)).threshold() == 1 - 0.02
    b, found = 0.01, CROSSING.driven(nf.Constant(-0.01)).threshold()
    for g, count in ((found - 1e-6, 0), (found + 1e-6, 2)):
        assert np.sum(np.abs(np.roots([-1, g - 1, -b]).imag) < 1e-12) == count
    found = SUBCRITICAL.driven(nf.Constant(0.01)).threshold()
    for g, count in ((found + 1e-6, 1), (found - 1e-6, 3)):
        assert np.sum(np.abs(np.roots([2, 0, g - 1, b]).imag) < 1e-9) == count


def test_a_periodic_input_moves_a_subcritical_pitchfork_down():
    wave = SUBCRITICAL.driven(nf.Sinusoid(0.02, 2 * sp.pi / 16)).threshold()
    assert (wave - 1) / (-6 * (0.02 / 2 / np.sin(np.pi / 16)) ** 2 / 2) == pytest.approx(1, abs=0.05)
    assert wave.error < 1e-11
    assert nf.amplification(nf.stability_flip()).driven(nf.Sinusoid(0.5, 1)).threshold() == 1


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (lambda: FLIP.driven(nf.Constant(0.01)).scaling(), "add it to the map"),
        (lambda: FLIP.driven(nf.Constant(0.01)).threshold(), "reduce the map with it"),
        (lambda: FLIP.driven(nf.Sinusoid(0.01, sp.pi / 2)).scaling(), "period of 4 steps"),
        (lambda: FLIP.driven(nf.Sinusoid(0.01, sp.pi / 3)).scaling(), "period of 6 steps"),
        (lambda: nf.amplification(LOGISTIC).driven(nf.Sinusoid(0.01, 1)).threshold(), "reduce the map"),
        (lambda: CROSSING.driven(nf.Constant(0.01)).threshold(), "two branches part"),
        (lambda: FOLD.driven(nf.Constant(0.01, law="binary")).threshold(), "by trial"),
        (lambda: CROSSING.driven(nf.Sinusoid(0.01, sp.pi)).threshold(), "fix the phase"),
        (lambda: FOLD.driven(nf.White(0.01)).threshold(), "no threshold"),
    ],
)
def test_what_has_no_law_says_why(made, words):
    with pytest.raises(ValueError, match=words):
        made()
