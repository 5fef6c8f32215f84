"""Limits of driven laws: scaling functions, the strongly driven law, exponents, thresholds, each done a second way."""

import itertools

import mpmath as mp
import numpy as np
import pytest
import scipy.linalg
import sympy as sp

import normalforms as nf
from normalforms.forms.driven.moments import coefficients, critical_series, leading
from normalforms.forms.driven.stationary import (
    exponent_formula,
    moment_exponent,
    stationary_moment,
    tail_index,
    threshold_ratio,
)

CUBIC = nf.amplification(nf.pitchfork())
WHITE = CUBIC.driven(nf.White(0.01))


def hermite(m, n=90, width=0.62):
    """Matrices of v, p-weight and the operators in Hermite functions: another discretisation than the package's.

    Returns ``v``, ``S`` and ``V''`` as matrices, and the coefficients of ``√p``.
    """
    k = np.arange(1, n + 20)
    v = width * (np.diag(np.sqrt(k / 2), 1) + np.diag(np.sqrt(k / 2), -1))
    d = (np.diag(np.sqrt(k / 2), 1) - np.diag(np.sqrt(k / 2), -1)) / width
    v2 = v @ v
    slope, curve = v2 @ v - m * v, 3 * v2 - m * np.eye(len(v))
    S = (d @ d - slope @ slope + curve) / 2
    v, S, curve = v[:n, :n], S[:n, :n], curve[:n, :n]
    values, vectors = np.linalg.eigh(S)
    return v, S, curve, vectors[:, -1], values[-1]


@pytest.mark.parametrize("m", [-1.0, 0.0, 0.5, 0.8])
def test_stationary_moment_in_another_basis(m):
    v, S, curve, root, top = hermite(m)
    assert abs(top) < 1e-9  # √p is the ground state
    first = np.linalg.solve(S - curve, -v @ root)
    second = np.linalg.solve(S - 2 * curve, -2 * v @ first)
    found = stationary_moment(m)
    assert found == pytest.approx(root @ second, rel=1e-9)
    assert found.error < 1e-12


def test_stationary_constants():
    assert abs(stationary_moment(0.0) - 0.106437958171825) < 1e-14
    known = {-2: 0.0115046, -1: 0.0304833, 0.5: 0.2545364, 0.8: 0.623653}
    for m, kappa in known.items():
        assert stationary_moment(m) == pytest.approx(kappa, abs=6e-7)
    assert abs(threshold_ratio() - 1.02430902983) < 2e-11
    assert threshold_ratio().error < 1e-12
    assert stationary_moment(-40.0) * 4 * 40**3 == pytest.approx(1, abs=0.01)
    assert np.isinf(stationary_moment(1.03))
    near = [stationary_moment(float(threshold_ratio()) - d) * d for d in (1e-2, 1e-3)]
    assert near[1] == pytest.approx(0.1358, abs=2e-4)


@pytest.mark.parametrize(("m", "rate"), [(1.2, 0.24563), (1.5, 0.65364), (2.0, 1.30319), (3.0, 2.50711)])
def test_growth_rates(m, rate):
    found = moment_exponent(m)
    assert found == pytest.approx(rate, abs=5e-6)
    assert found.error < 1e-11
    _, S, curve, *_ = hermite(m)
    assert found == pytest.approx(scipy.linalg.eigvalsh(S - 2 * curve)[-1], abs=1e-10)


def test_growth_rates_are_those_of_the_map():
    """``E A_T`` of the map at two horizons, extrapolated in σ, with no orbit drawn."""
    rates = []
    for sigma in (0.02, 0.01):
        law, T = CUBIC.driven(nf.White(sigma, law="binary")), int(6 / sigma)
        ratio = law(1 + 2 * sigma, 0.0, 2 * T) / law(1 + 2 * sigma, 0.0, T)
        rates.append(np.log(ratio) / T / sigma)
    assert 2 * rates[1] - rates[0] == pytest.approx(moment_exponent(2.0), rel=5e-3)


def test_exponent_is_a_quotient_of_parabolic_cylinder_functions():
    exponent = exponent_formula()
    with mp.workdps(30):
        for m in (-50.0, -3.0, 0.0, 0.5, 2.0, 9.0):
            exact = m - mp.mpf(3) / 2 * mp.pcfu(1, -m) / mp.pcfu(0, -m)
            assert abs(exponent(m) / exact - 1) < 1e-13
        at_zero = -3 * mp.sqrt(2) * mp.gamma(0.75) / mp.gamma(0.25)
        assert abs(exponent(0.0) - at_zero) < 1e-14
    assert abs(exponent(0.0) + 1.4339663924) < 1e-10
    assert float(exponent.expr.subs(exponent.symbols[0], 2)) == pytest.approx(exponent(2.0), rel=1e-13)
    assert np.all(exponent(np.linspace(-20, 20, 41)) < 0)
    assert exponent(90.0) == pytest.approx(-180, rel=1e-3)


def test_exponent_is_that_of_an_orbit_of_the_map():
    rng, sigma, u, total = np.random.default_rng(0), 0.01, np.zeros(400), 0.0
    for t in range(10_000):
        u = u - u**3 + sigma * rng.standard_normal(u.size)
        if t >= 2000:
            total += np.mean(np.log(np.abs(1 - 3 * u * u)))
    assert total / 8000 / sigma == pytest.approx(WHITE.exponent(0), rel=0.03)  # corrections of order σ


def test_tail_index_is_two_at_the_threshold_and_counts_moments():
    assert tail_index(float(threshold_ratio())) == pytest.approx(2, abs=1e-10)
    assert np.isinf(tail_index(0.0))
    assert np.isinf(tail_index(-1.0))
    alpha = tail_index(0.6)
    assert moment_exponent(0.6, float(alpha) - 0.01) < 0 < moment_exponent(0.6, float(alpha) + 0.01)
    assert tail_index(0.1) * 2 * 0.1**2 / 3 == pytest.approx(1, abs=0.1)  # 3/(2m²) as m → 0
    assert WHITE.moment_exponent(1.0, order=0) == pytest.approx(0, abs=1e-11)


def test_tail_of_sensitivities():
    """Survival of |z| of the flow's Euler scheme at m = 2: a power, of the stated index, by Hill's estimator."""
    rng, step, m = np.random.default_rng(1), 4e-3, 2.0
    v, z = rng.standard_normal(8000), np.zeros(8000)
    for _ in range(4000):
        z = z + step * ((m - 3 * v * v) * z + v)
        v = v + step * (m * v - v**3) + np.sqrt(step) * rng.standard_normal(v.size)
    top = np.sort(np.abs(z))[-200:]
    assert 1 / np.mean(np.log(top / top[0])) == pytest.approx(tail_index(m), rel=0.25)


def test_sums_over_a_batch_grow_with_the_tail():
    """The typical sum of n amplifications grows like ``n^{2/α}`` where α < 2."""
    rng, sigma, u, s = np.random.default_rng(2), 0.05, np.zeros(2**15), 0.0
    A = np.zeros(u.size)
    for _ in range(500):
        u, s = 1.1 * u - u**3 + sigma * (2.0 * rng.integers(0, 2, u.size) - 1), (1.1 - 3 * u * u) * s + u
        A += s * s
    typical = [np.median(A.reshape(-1, n).sum(axis=1)) for n in (16, 256)]
    assert np.log(typical[1] / typical[0]) / np.log(16) == pytest.approx(2 / tail_index(2.0), rel=0.12)


SCALING = WHITE.scaling()


@pytest.mark.parametrize(
    ("x", "y", "psi", "tolerance"),
    [
        (0, 0.1, 0.006261, 1e-6),
        (0, 1, 0.02131, 6e-6),
        (0, 10, 0.02144, 6e-6),
        (2, 1, 0.06715, 1e-5),
        (2, 10, 0.04519, 1e-5),
        (-2, 10, 0.01076, 1e-5),
    ],
)
def test_scaling_function_has_the_known_values(x, y, psi, tolerance):
    found = SCALING.evaluate(x, y)
    assert found == pytest.approx(psi, abs=tolerance)
    assert found.error < 1e-9


def milstein(x, y, z, steps, size, rng):
    """``∫ Z² dτ`` of the flow by Heun's scheme, which is of order 2 here in the drift: the noise is additive."""
    dt = 1 / steps
    H, Z, total = np.full(size, float(z)), np.zeros(size), np.zeros(size)
    drift = lambda H, Z: (x * H - H**3, (x - 3 * H * H) * Z + H)  # noqa: E731
    for _ in range(steps):
        kick = np.sqrt(y * dt) * rng.standard_normal(size)
        f, F = drift(H, Z)
        k, K = drift(H + dt * f + kick, Z + dt * F)
        H, after = H + dt * (f + k) / 2 + kick, Z + dt * (F + K) / 2
        total += dt * (Z * Z + after * after) / 2
        Z = after
    return total


POINTS = [
    (-4, 1, 0), (-2, 10, 0), (-1, 0.1, 0), (0, 0.01, 0), (0, 1, 0), (0, 10, 0),
    (0, 100, 0), (1, 0.3, 0), (2, 1, 0), (2, 10, 0), (1, 0.5, 1.0), (-1, 3.0, 2.0),
]  # fmt: skip


@pytest.mark.parametrize(("x", "y", "z"), POINTS)
def test_scaling_function_agrees_with_draws_of_the_flow(x, y, z):
    A = milstein(x, y, z, 400, 8000, np.random.default_rng(5))
    error = A.std() / np.sqrt(A.size)
    assert abs(SCALING.evaluate(x, y, z) - A.mean()) < 4 * error + 0.005 * A.mean()
    assert error < 0.03 * A.mean()


@pytest.mark.parametrize(("x", "y", "z"), [*(p for p in POINTS if p[1] <= 10), (3, 0.0144, 0)])
def test_scaling_function_is_the_limit_of_expectations_to_four_digits(x, y, z):
    """No draws: expectations of the map at three horizons, the corrections in 1/T and 1/T² removed."""
    found = []
    for T in (40, 80, 160):
        law = CUBIC.driven(nf.White(np.sqrt(y) / T, law="binary"))
        found.append(law(1 + x / T, z / np.sqrt(T), T) / T**2)
    first = [2 * after - before for before, after in itertools.pairwise(found)]
    assert (4 * first[1] - first[0]) / 3 == pytest.approx(SCALING.evaluate(x, y, z), rel=3e-4 if x < 3 else 5e-3)


@pytest.mark.parametrize("x", [-1.0, 2.0])
def test_scaling_is_the_limit_of_the_map(x):
    """Error O(1/T) against the expectation of the map, for every input and family that has a law."""
    cases = [
        (nf.pitchfork, lambda T: nf.White(1 / T), 0.5, 0.3),
        (nf.period_doubling, lambda T: nf.White(1 / T), 0.5, 0.3),
        (nf.pitchfork, lambda T: nf.Constant(-(T**-1.5)), 0.5, 0.3),
        (nf.pitchfork, lambda T: nf.Constant(T**-1.5, law="binary"), 0.5, 0.3),
        (nf.pitchfork, lambda T: nf.Sinusoid(T**-0.5, 1.1), 0.5, 0.3),
        (nf.pitchfork, lambda T: nf.Sinusoid(T**-0.5, 1.1, 0.3), 0.5, 0.3),
        (nf.period_doubling, lambda T: nf.Sinusoid(T**-0.5, 1.1, 0.3), 0.5, 0.3),
        (nf.period_doubling, lambda T: nf.Constant(T**-0.5), 0.5, 0.3),
        (nf.pitchfork, lambda T: nf.Sinusoid(T**-0.5, 2 * sp.pi / 3, 0.3), 0.5, 0.3),
        (nf.pitchfork, lambda T: nf.Sinusoid(T**-0.5, sp.pi, 0.3), 0.5, 0.3),
        (nf.saddle_node, lambda T: nf.Sinusoid(1 / T, sp.pi, 0.3), 1, 0.5),
        (nf.stability_flip, lambda T: nf.Autoregressive(1 / T, 0.5), 0.5, 0.3),
        (nf.transcritical, lambda T: nf.Constant(0.5 / T**2), 1, 0.5),
        (nf.transcritical, lambda T: nf.Sinusoid(-0.5 / T, 1.1, 0.3), 1, 0.9),
        (nf.saddle_node, lambda T: nf.Constant(0.5 / T**2), 1, 0.5),
        (nf.saddle_node, lambda T: nf.Sinusoid(0.5 / T, 1.1), 1, 0.5),
    ]
    for family, noise, power, size in cases:
        errors = []
        for T in (100, 400):
            law = nf.amplification(family()).driven(noise(T))
            g = 1 + x / (T * T if family is nf.saddle_node else T)
            errors.append(law(g, size / T**power, T) / law.scaling()(g, size / T**power, T) - 1)
        assert abs(errors[1]) < 0.03, (family, noise(1))
        assert abs(errors[1]) < 0.45 * abs(errors[0]) + 1e-3, (family, noise(1))


@pytest.mark.parametrize("c", [3, sp.Rational(-1, 2)])
def test_coefficients_of_the_nonlinear_term_enter_the_scales(c):
    h, g = sp.symbols("h g", real=True)
    T = 1600
    for step, power in ((g * h - abs(c) * h**3, 0.5), (g * h - c * h**2, 1), (h + g - 1 - c * h**2, 1)):
        law = nf.amplification(nf.Map(step, h, g, {h: 0, g: 1}))
        start = 0.3 / T**power / float(abs(c))
        for noise in (
            nf.Constant(0.5 / T ** (3 * power if power < 1 else 2) / 3),
            nf.Sinusoid(0.5 / T**power, 1.1, 0.3),
        ):
            driven = law.driven(noise)
            start = start if c > 0 or power < 1 else -start
            assert driven(1.0, start, T) == pytest.approx(driven.scaling()(1.0, start, T), rel=0.015)
    subcritical = nf.amplification(nf.Map(g * h + 2 * h**3, h, g, {h: 0, g: 1})).driven(nf.Sinusoid(0.2 / T**0.5, 1.1))
    assert subcritical(1 - 2 / T, 0.0, T) == pytest.approx(subcritical.scaling()(1 - 2 / T, 0.0, T), rel=0.015)


def test_constant_input_has_the_known_values_and_is_the_cusps():
    law = CUBIC.driven(nf.Constant(0.001)).scaling()
    for y, psi in ((0.1, 0.004594), (1.0, 0.02539), (10.0, 0.033557)):
        assert law.evaluate(0, y) == pytest.approx(psi, abs=1e-5)
    cusp = nf.amplification(nf.cusp()).scaling()
    assert law.evaluate(1.0, 4.0, 0.3) == pytest.approx(float(cusp.evaluate(1.0, 0.3, 2.0)[1, 1]), rel=1e-9)
    assert law.evaluate(0.0, 1e-6) == pytest.approx(1e-6 / 20, rel=1e-4)


def test_without_input_it_is_the_autonomous_scaling_function():
    autonomous = CUBIC.scaling()
    for law in (SCALING, CUBIC.driven(nf.Constant(1e-3)).scaling(), CUBIC.driven(nf.Sinusoid(1e-3, 1)).scaling()):
        assert law.evaluate(1.3, 0.0, 0.6) == pytest.approx(autonomous.evaluate(1.3, 0.36), rel=1e-9)


def test_weak_noise():
    for x in (-3.0, 0.0, 2.0):
        s = mp.mpf(2 * x)
        with mp.workdps(30):
            phi = mp.quad(lambda tau, s=s: (1 - tau) * tau**2 * mp.exp(s * tau), [0, 1])
            closed = (mp.exp(s) * (s * s - 4 * s + 6) - 2 * s - 6) / s**4 if x else mp.mpf(1) / 12
        assert leading()(x, 1.0, 0.0) == pytest.approx(float(phi), rel=1e-13)
        assert float(closed) == pytest.approx(float(phi), rel=1e-13)
        y = 1e-7
        c = coefficients(x, 2)
        assert c[0] == pytest.approx(float(phi), rel=1e-12)
        assert SCALING.evaluate(x, y) == pytest.approx(c[0] * y, rel=1e-3)


def test_series_in_the_strength():
    expr = critical_series(4).expr
    y = critical_series(1).symbols[0]
    assert expr.coeff(y, 1) == sp.Rational(1, 12)
    assert expr.coeff(y, 2) == -sp.Rational(3, 10)
    np.testing.assert_allclose(coefficients(0.0, 4), [float(expr.coeff(y, k)) for k in range(1, 5)], rtol=1e-12)
    assert SCALING.series(4).expr == expr
    for x in (0.0, 0.7):
        c = coefficients(x, 4)
        error = [abs(SCALING.evaluate(x, y) - np.polyval([*c[::-1], 0], y)) for y in (1e-3, 2e-3)]
        assert error[1] / error[0] == pytest.approx(32, rel=0.35)  # the fifth power is the first that is missing


def test_second_coefficient_by_wicks_theorem():
    """Direct: ``Z = Z₁ + Z₂ + …`` in powers of √y at x = 0, moments of Brownian motion from Isserlis' theorem."""
    r, s, t = sp.symbols("r s t", positive=True)
    # Z₁ = ∫B, Z₃ = −3∫B²Z₁ − ∫∫B³: c₂ = 2 ∫ E Z₁ Z₃ dt
    # E[Z₁(t) B(s)² Z₁(s)] with s < t, and E[Z₁(t) ∫₀ˢ B³]
    zb = lambda t, s: s * t - s**2 / 2  # E Z₁(t) B(s), s ≤ t  # noqa: E731
    zz = lambda t, s: s**2 * (3 * t - s) / 6  # E Z₁(t) Z₁(s)  # noqa: E731
    first = sp.integrate(s * zz(t, s) + 2 * zb(t, s) * s**2 / 2, (s, 0, t))
    second = sp.integrate(sp.integrate(3 * r * zb(t, r), (r, 0, s)), (s, 0, t))
    c2 = sp.integrate(2 * (-3 * first - second), (t, 0, 1))
    assert c2 == -sp.Rational(3, 10)


@pytest.mark.parametrize("m", [-1.5, 0.0, 0.5])
def test_strong_noise_is_extensive(m):
    kappa = stationary_moment(m)
    errors = [SCALING.evaluate(m * np.sqrt(y), y) * np.sqrt(y) / kappa - 1 for y in (1e4, 4e4)]
    assert abs(errors[1]) < 0.02
    assert errors[1] / errors[0] == pytest.approx(0.5, abs=0.05)


def test_at_criticality_no_noise_amplifies_beyond_a_fortieth():
    y = np.geomspace(0.5, 20, 9)
    psi = SCALING.evaluate(0.0, y)
    assert 0.0245 < psi.max() < 1 / 40
    assert 2 < y[np.argmax(psi)] < 5


def test_threshold_of_noise_and_of_a_constant():
    assert WHITE.threshold() == pytest.approx(1 + 0.0102430902984, abs=1e-10)
    assert WHITE.moment_exponent(float((WHITE.threshold() - 1) / 0.01)) == pytest.approx(0, abs=1e-9)
    b, g = 0.01, CUBIC.driven(nf.Constant(0.01)).threshold()
    roots = lambda g: np.sum(np.abs(np.roots([-1, 0, g - 1, b]).imag) < 1e-9)  # noqa: E731
    assert roots(g - 1e-6) == 1
    assert roots(g + 1e-6) == 3


@pytest.mark.parametrize("a", [0.01, 0.03])
def test_a_periodic_input_shifts_the_pitchfork(a):
    omega = 2 * np.pi / 16
    found = CUBIC.driven(nf.Sinusoid(a, omega)).threshold()
    R = a / (2 * np.sin(omega / 2))
    assert (found - 1) / (1.5 * R * R) == pytest.approx(1, abs=0.03)

    def asymmetry(g):  # of the orbit from a state beside the symmetric one, after many periods
        u = 0.05
        for t in range(16 * 4000):
            u = g * u - u**3 + a * np.cos(omega * (t % 16))
        first = u
        for t in range(8):
            u = g * u - u**3 + a * np.cos(omega * t)
        return abs(first + u)

    assert asymmetry(1 + 0.7 * (found - 1)) < 1e-3 < asymmetry(1 + 1.6 * (found - 1))


def test_a_period_doubling_sees_its_input_through_alternating_signs():
    doubling, omega = nf.amplification(nf.period_doubling()), 2 * sp.pi / 16
    shifted = doubling.driven(nf.Sinusoid(0.02, sp.pi - omega, 0)).threshold()  # cos((π − ω)t) = (−1)^t cos ωt
    assert shifted == pytest.approx(CUBIC.driven(nf.Sinusoid(0.02, omega, 0)).threshold(), rel=1e-12)
    assert doubling.driven(nf.White(0.01)).threshold() == WHITE.threshold()
    coloured = doubling.driven(nf.Autoregressive(0.01, -0.5))
    assert coloured.strength == CUBIC.driven(nf.Autoregressive(0.01, 0.5)).strength
    constant = doubling.driven(nf.Constant(0.02)).threshold()
    assert constant == pytest.approx(1 + 3 * 0.01**2, abs=1e-6)  # ω = π: ⟨r²⟩ = R²


def test_an_input_of_three_steps_leaves_no_pitchfork():
    with pytest.raises(ValueError, match="three steps"):
        CUBIC.driven(nf.Sinusoid(0.01, 2 * sp.pi / 3)).threshold()
    with pytest.raises(ValueError, match="fix the phase"):
        CUBIC.driven(nf.Sinusoid(0.01, sp.pi)).threshold()


def test_shift_to_first_order_where_the_period_is_no_whole_number():
    found = CUBIC.driven(nf.Sinusoid(0.01, 1.0)).threshold()
    assert found == pytest.approx(1 + 1.5 * (0.01 / 2 / np.sin(0.5)) ** 2, rel=1e-12)
    assert found.error > 0


def test_scaling_warns_where_it_does_not_hold():
    with pytest.warns(nf.DomainWarning, match="outside"):
        SCALING(1.5, 0.0, 20)
    assert "Psi" in SCALING.latex()
    formula = nf.amplification(nf.stability_flip()).driven(nf.White(0.1)).scaling().formula
    assert "exp" in formula.code("c")
