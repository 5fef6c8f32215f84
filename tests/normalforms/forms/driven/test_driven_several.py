"""Inputs on the cusp, on maps of several parameters, and on the Neimark–Sacker family."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
import sympy as sp

import normalforms as nf
from normalforms.forms.driven.kolmogorov import driven_cusp, driven_pair, driven_pitchfork
from normalforms.forms.driven.moments import leading
from normalforms.forms.limits import cusp_scaling

CUSP = nf.amplification(nf.cusp())


def matrix(beta, g, h0, inputs):
    """``Σ s sᵀ`` of given inputs of shape (T, n), by the plain loop; mean over n."""
    n = inputs.shape[1]
    h, s, total = np.full(n, float(h0)), np.zeros((2, n)), np.zeros((2, 2, n))
    for x in inputs:
        s = (g - 3 * h * h) * s + np.array([np.ones_like(h), h])
        h = beta + g * h - h**3 + x
        total = total + s[:, None] * s[None]
    return total.mean(axis=-1)


@pytest.mark.parametrize(("beta", "g", "h0"), [(0.02, 0.95, 0.1), (-0.01, 1.1, 0.0)])
def test_matrix_of_a_cusp_is_the_mean_over_all_signs(beta, g, h0):
    signs = 0.05 * np.array(list(itertools.product((-1.0, 1.0), repeat=12))).T
    law = CUSP.driven(nf.White(0.05, law="binary"))
    expected = matrix(beta, g, h0, signs)
    np.testing.assert_allclose(law.gram((beta, g), h0, 12), expected, rtol=1e-10)
    top = law((beta, g), h0, 12)
    assert top == pytest.approx(np.linalg.eigvalsh(expected)[-1], rel=1e-10)
    assert top.error < 1e-8 * top
    assert law.error((beta, g), h0, 12).max() < 1e-8 * top
    grid = law(([[beta], [0.0]], np.array([g, 1.0, 1.02])), h0, 12)
    assert grid.shape == (2, 3)
    assert grid[0, 0] == pytest.approx(top, rel=1e-12)


def test_a_constant_input_of_a_cusp_is_its_beta():
    moved = CUSP.gram((0.03, 1.02), 0.1, 40)
    np.testing.assert_allclose(CUSP.driven(nf.Constant(0.02)).gram((0.01, 1.02), 0.1, 40), moved, rtol=1e-12)


@pytest.mark.parametrize(
    "noise",
    [
        lambda T: nf.White(1.2 / T, law="binary"),
        lambda T: nf.Constant(-0.6 / T**1.5),
        lambda T: nf.Constant(0.6 / T**1.5, law="binary"),
        lambda T: nf.Sinusoid(0.7 / T**0.5, 1.1),
        lambda T: nf.Sinusoid(0.7 / T**0.5, 2 * sp.pi / 3, 0.3),
    ],
)
def test_scaling_of_a_cusp_is_the_limit_of_the_map(noise):
    errors = []
    for T in (50, 200):
        law, at = CUSP.driven(noise(T)), ((0.5 / T**1.5, 1 + 1 / T), 0.3 / T**0.5, T)
        scale = law.scaling().gram(*at)
        errors.append(np.max(np.abs(law.gram(*at) / scale - 1)))
        assert law.scaling()(*at) == pytest.approx(np.linalg.eigvalsh(scale)[-1])
    assert errors[1] < 0.03
    assert errors[1] < 0.45 * errors[0]


def test_scaling_of_a_cusp_under_noise_against_draws_and_the_pitchfork():
    x, y, beta, z = 0.7, 2.0, -0.8, 0.4
    rng, steps, n = np.random.default_rng(0), 300, 10_000
    h, s, total = np.full(n, z), np.zeros((2, n)), np.zeros((2, 2, n))
    for _ in range(steps):
        kick = np.sqrt(y / steps) * rng.standard_normal(n)
        rate = lambda h, s: (beta + x * h - h**3, (x - 3 * h * h) * s + np.array([np.ones_like(h), h]))  # noqa: E731
        f, F = rate(h, s)
        late, s_late = h + f / steps + kick, s + F / steps
        k, K = rate(late, s_late)
        h, s = h + (f + k) / 2 / steps + kick, s + (F + K) / 2 / steps
        total += s[:, None] * s[None] / steps
    value, error = driven_cusp(x, y, beta, z)
    assert error.max() < 1e-9
    scatter = total.std(axis=-1) / np.sqrt(n)
    assert np.all(np.abs(value - total.mean(axis=-1)) < 4 * scatter + 0.004 * np.abs(value))
    assert driven_cusp(x, y, 0.0, z)[0][1, 1] == pytest.approx(driven_pitchfork(x, y, np.array([z]))[0], rel=1e-9)
    autonomous = np.asarray(cusp_scaling().evaluate(x, z, beta))
    np.testing.assert_allclose(driven_cusp(x, 1e-6, beta, z)[0], autonomous, rtol=1e-5)
    np.testing.assert_allclose(CUSP.driven(nf.White(1)).scaling().evaluate(x, 0, z, beta=beta), autonomous, rtol=1e-12)


def test_maps_of_several_parameters_have_the_matrix():
    h, a, b = sp.symbols("h a b", real=True)
    law = nf.amplification(nf.Map(a * sp.tanh(h) + b * h, h, (a, b))).driven(nf.White(0.1, law="binary"))
    signs = 0.1 * np.array(list(itertools.product((-1.0, 1.0), repeat=10))).T
    n = signs.shape[1]
    u, s, total = np.full(n, 0.2), np.zeros((2, n)), np.zeros((2, 2, n))
    for x in signs:
        slope = 0.7 * (1 - np.tanh(u) ** 2) + 0.2
        s, u = slope * s + np.array([np.tanh(u), u]), 0.7 * np.tanh(u) + 0.2 * u + x
        total = total + s[:, None] * s[None]
    np.testing.assert_allclose(law.gram((0.7, 0.2), 0.2, 10), total.mean(axis=-1), rtol=1e-9)


PAIRS = {"plain": nf.neimark_sacker(1, -1), "twisted": nf.neimark_sacker(sp.Rational(7, 5), -2 + sp.I)}


def planar(m, g, start, inputs):
    """``A_T`` of given planar inputs, shape (T, 2, n), by the loop of the real map itself."""
    states, parameter = m.states, m.parameters[0]
    step = sp.lambdify((*states, parameter), m.steps, "numpy")
    push = sp.lambdify((*states, parameter), [e.diff(parameter) for e in m.steps], "numpy")
    slope = sp.lambdify((*states, parameter), [[e.diff(v) for v in states] for e in m.steps], "numpy")
    n = inputs.shape[-1]
    u, s, total = np.stack([np.full(n, start), np.zeros(n)]), np.zeros((2, n)), np.zeros(n)
    for x in inputs:
        J = slope(*u, g)
        s = np.array([J[i][0] * s[0] + J[i][1] * s[1] for i in (0, 1)]) + np.array(push(*u, g))
        u = np.array(step(*u, g)) + x
        total += np.sum(s * s, axis=0)
    return total


@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.parametrize("noise", [nf.White(0.03), nf.White(0.03, law="binary"), nf.Autoregressive(0.03, 0.6)])
def test_the_law_of_a_pair_is_that_of_the_real_map(name, noise):
    """Draws in the frame that turns against draws of the planar map, with other numbers."""
    law = nf.amplification(PAIRS[name]).driven(noise)
    rng = np.random.default_rng(5)
    inputs = np.stack([noise.sample(rng, 40, 20_000) for _ in range(2)], axis=1)
    A = planar(PAIRS[name], 1.01, 0.1, inputs)
    found = law(1.01, 0.1, 40)
    assert abs(found - A.mean()) < 4 * np.hypot(found.error / 2, A.std() / np.sqrt(A.size))
    assert found.escaped == 0


@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.parametrize(("x", "y", "z"), [(0.0, 1.0, 0.0), (1.0, 0.5, 0.4), (-2.0, 4.0, 0.3)])
def test_scaling_of_a_pair_is_the_limit_of_the_map(name, x, y, z):
    c, T = {"plain": (1, 200), "twisted": (2, 200)}[name]
    law = nf.amplification(PAIRS[name])
    size = np.sqrt(y / c) / T
    for noise in (nf.White(size), nf.Autoregressive(size, 0.5))[: 2 if x == 0 else 1]:
        driven = replace(law.driven(noise), samples=10_000)
        found, limit = driven(1 + x / T, z / np.sqrt(c * T), T), driven.scaling()(1 + x / T, z / np.sqrt(c * T), T)
        assert abs(found - limit) < 2 * found.error + 0.025 * limit


def test_scaling_of_a_pair_has_its_limits():
    for x in (-2.0, 0.0, 1.5):
        weak = driven_pair(x, 1e-5, 0.8, 0.001)
        assert weak == pytest.approx(leading()(x, 2e-5, 0.001), rel=1e-3)  # two components
    for twist in (0.0, 0.7):
        autonomous = nf.amplification(nf.neimark_sacker(1, -1 + twist * sp.I)).scaling().evaluate(0.6, 0.25)
        assert driven_pair(0.6, 1e-7, twist, 0.5) == pytest.approx(float(autonomous), rel=1e-5)
        assert driven_pair(0.6, 1.0, twist, 0.5).error < 1e-9
    assert driven_pair(0.5, 1.0, 0.7, 0.3) == pytest.approx(driven_pair(0.5, 1.0, -0.7, 0.3), rel=1e-12)


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (lambda: CUSP.driven(nf.White(0.1)).gram(1.0, 0.0, 5), "tuple"),
        (lambda: CUSP.driven(nf.White(0.1)).scaling().evaluate(0, -1), "negative"),
        (lambda: CUSP.driven(0.1), "no input"),
        (lambda: nf.amplification(PAIRS["plain"]).driven(nf.Constant(0.1)), "direction"),
        (lambda: nf.amplification(nf.neimark_sacker(1, 1)).driven(nf.White(0.1)), "subcritical"),
        (lambda: nf.amplification(PAIRS["plain"]).driven(nf.White(0.1)).scaling().series(2), "series"),
    ],
)
def test_what_has_no_law_says_why(made, words):
    with pytest.raises(ValueError, match=words):
        made()
