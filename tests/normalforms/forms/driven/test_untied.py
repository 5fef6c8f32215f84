"""One parameter per step: the kernel over (time, step) against its closed forms."""

import numpy as np
import pytest
from scipy import special

import normalforms as nf
from normalforms.forms.driven.untied import untied

CUBIC, LINEAR = nf.amplification(nf.pitchfork(), tied=False), nf.amplification(nf.stability_flip(), tied=False)


def test_jacobian_by_differences():
    g, h0, T, step = np.linspace(0.9, 1.2, 8), 0.3, 8, 1e-6

    def states(g):
        h, out = h0, []
        for p in g:
            h = p * h - h**3
            out.append(h)
        return np.array(out)

    J = CUBIC.jacobian(g, h0, T)
    for s in range(T):
        shift = step * np.eye(T)[s]
        np.testing.assert_allclose(J[:, s], (states(g + shift) - states(g - shift)) / (2 * step), atol=1e-8)


@pytest.mark.parametrize("family", [nf.pitchfork, nf.saddle_node, nf.transcritical, nf.period_doubling])
def test_tying_the_parameters_sums_the_columns(family):
    law, T = nf.amplification(family(), tied=False), 30
    tied = np.sum(law.jacobian(1.02, 0.05, T).sum(axis=1) ** 2)
    assert tied == pytest.approx(nf.amplification(family())(1.02, 0.05, T), rel=1e-10)


@pytest.mark.parametrize("T", [1, 2, 12, 50, 200])
def test_critical_law(T):
    assert LINEAR(1.0, 0.7, T) == pytest.approx(LINEAR.critical()(0.7, T), rel=1e-11)
    ratio = nf.amplification(nf.stability_flip())(1.0, 0.7, T) / LINEAR(1.0, 0.7, T)
    assert ratio == pytest.approx(LINEAR.tied_ratio()(T), rel=1e-11)
    assert CUBIC(1.0, 1e-4, T) == pytest.approx(CUBIC.critical()(1e-4, T), rel=1e-4)


def test_constants_at_two_hundred_steps():
    T = 200
    assert LINEAR.tied_ratio()(T) / (np.pi**2 * T * (T + 1) / (6 * (2 * T + 1))) == pytest.approx(1, abs=1e-4)
    assert LINEAR.stable_rank(1.0, 1.0, T) == pytest.approx(np.pi**2 / 8, rel=1e-4)
    J = LINEAR.jacobian(1.0, 1.0, T)
    direction = np.linalg.svd(J)[2][0]
    gradient = J[-1]  # of a loss on the last state
    cosine = abs(direction @ gradient) / np.linalg.norm(gradient)
    assert cosine == pytest.approx(2 * np.sqrt(2) / np.pi, abs=2e-3)


@pytest.mark.parametrize(("x", "y"), [(0.0, 0.5), (2.0, 0.3), (-3.0, 1.0), (4.0, 0.02)])
def test_scaling_is_the_limit(x, y):
    top, rank = CUBIC.scaling(x, y)
    errors = []
    for T in (100, 400):
        g, h0 = 1 + x / T, np.sqrt(y / T)
        errors.append(CUBIC(g, h0, T) / (T * top) - 1)
        assert CUBIC.stable_rank(g, h0, T) == pytest.approx(rank, rel=3 / T)
    assert abs(errors[1]) < 0.012
    assert errors[1] / errors[0] == pytest.approx(0.25, abs=0.03)


@pytest.mark.parametrize("x", [-1.3, 0.4, 1.3])
def test_linear_scaling_is_a_zero_of_bessel_functions(x):
    """``−φ'' = μ e^{2xτ} φ``: ``J₁(s₁) Y₀(s₀) = Y₁(s₁) J₀(s₀)``, ``s = √μ e^{xτ}/|x|``."""
    root = np.sqrt(1 / LINEAR.scaling(x, 1.0)[0])
    start, end = root / abs(x), root * np.exp(x) / abs(x)
    left, right = special.j1(end) * special.y0(start), special.y1(end) * special.j0(start)
    assert abs(left - right) < 1e-10 * (abs(left) + abs(right))


def test_law_of_a_normal_form_is_rescaled():
    law = untied(nf.pitchfork(), 2, 9)
    assert law(1.05, 0.1, 20) == pytest.approx(9 * CUBIC(1.05, 0.2, 20), rel=1e-12)
    assert law.critical()(0.1, 20) == pytest.approx(9 * CUBIC.critical()(0.2, 20), rel=1e-12)
    assert CUBIC(np.array([0.9, 1.0]), 0.1, 20).shape == (2,)
    assert np.isinf(CUBIC(1.0, 9.0, 20))


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (lambda: nf.amplification(nf.cusp(), tied=False), "scalar maps"),
        (lambda: CUBIC.jacobian(np.ones(3), 0.1, 5), "one for each"),
        (lambda: CUBIC(1.0, 0.1, 10_000), "too long"),
        (lambda: nf.amplification(nf.saddle_node(), tied=False).critical(), "f_g is h"),
        (lambda: CUBIC.scaling(0.0, -1.0), "positive"),
    ],
)
def test_bad_input_is_named(made, words):
    with pytest.raises(ValueError, match=words):
        made()
