"""Others' results that docs/related.md cites, each checked by direct computation."""

import itertools
import re
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.integrate
import scipy.optimize
import sympy as sp

import normalforms as nf
import rnn

PAGE = (Path(__file__).resolve().parent.parent / "docs" / "related.md").read_text()


def test_every_test_of_the_page_is_here():
    named = set(re.findall(r"`(test_\w+)`", PAGE))
    assert named == {name for name in globals() if name.startswith("test_") and name not in _ABOUT_THE_PAGE}


_ABOUT_THE_PAGE = {"test_every_test_of_the_page_is_here"}


def finite_time(y):
    """Corral, Sardanyés & Alsedà (2018): G(y) = y e^y/(e^y − 1)."""
    return y / -np.expm1(-y)


def iterate(step, state, steps):
    for _ in range(steps):
        state = step(state)
    return state


@pytest.mark.parametrize("y", [-3.0, -1.0, -0.2])
def test_one_scaling_function_serves_transcritical_and_saddle_node(y):
    """The error of the law falls like log ℓ/ℓ, on the stable side, from a state of order one."""
    maps = {  # multiplier M at the fixed point → (step, fixed point)
        "transcritical, below": lambda M: (lambda h: M * h - h**2, 0.0),
        "transcritical, above": lambda M: (lambda h: (2 - M) * h - h**2, 1 - M),
        "saddle-node": lambda M: (lambda h: h + ((1 - M) / 2) ** 2 - h**2, (1 - M) / 2),
    }
    for name, make in maps.items():
        errors = []
        for steps in (1_000, 16_000):
            step, point = make(1 + y / steps)
            distance = iterate(step, 0.5, steps) - point
            errors.append(abs(steps * distance / finite_time(y) - 1))
        assert errors[1] < 3e-3, name
        assert errors[1] < errors[0] / 8, name


@pytest.mark.parametrize("x", [-3.0, -0.4, 0.7, 2.5])
def test_our_scaling_law_for_large_states_is_made_of_theirs(x):
    """Ψ(x, y → ∞) = ∫₀¹ (∂_x [G(xτ)/τ])² dτ, with corrections of order 1/y."""

    def slope(tau):
        u = x * tau
        return (-np.expm1(-u) - u * np.exp(-u)) / np.expm1(-u) ** 2

    expected = scipy.integrate.quad(lambda tau: slope(tau) ** 2, 0, 1)[0]
    T = 10_000
    scaling = nf.amplification(nf.transcritical()).scaling()
    values = [scaling(1 + x / T, y / T, T) / T for y in (100.0, 1000.0)]
    errors = [abs(value / expected - 1) for value in values]
    assert errors[1] < 0.01
    assert errors[1] < errors[0] / 5


@pytest.mark.parametrize("y", [-3.0, -0.5, 2.0])
def test_the_pitchforks_orbit_scales_with_the_square_of_the_state(y):
    """Corral (2024): h_ℓ² = G(y)/(2ℓ), y = 2ℓ(g − 1), on both sides of the bifurcation."""
    errors = []
    for steps in (1_000, 16_000):
        g = 1 + y / (2 * steps)
        end = iterate(lambda h, g=g: g * h - h**3, 0.5, steps)
        errors.append(abs(2 * steps * end**2 / finite_time(y) - 1))
    assert errors[1] < 3e-3
    assert errors[1] < errors[0] / 8


@pytest.mark.parametrize("k", [2, 3, 5])
def test_susceptibility_and_amplification_grow_with_the_exponent_of_the_nonlinearity(k):
    """The exponents of s_T and A_T from T = 2,000 to 4,000, and s_T² = A_T − A_{T−1} with s_T by finite differences."""
    h, g = sp.symbols("h g")
    law = nf.amplification(nf.Map(g * h - h**k, h, g, critical={"h": 0, "g": 1}))
    start, T = 0.3, 2_000

    def end(g, steps):
        return iterate(lambda h: g * h - h**k, start, steps)

    def last(steps):
        return np.sqrt(law(1.0, start, steps) - law(1.0, start, steps - 1))

    assert last(100) == pytest.approx((end(1 + 1e-6, 100) - end(1 - 1e-6, 100)) / 2e-6, rel=1e-6)
    assert np.log2(last(2 * T) / last(T)) == pytest.approx((k - 2) / (k - 1), abs=0.02)
    assert np.log2(law(1.0, start, 2 * T) / law(1.0, start, T)) == pytest.approx((3 * k - 5) / (k - 1), abs=0.03)


def test_the_fisher_matrix_of_a_long_orbit_singles_out_the_bifurcation_parameter():
    """h' = g h − a h³ at g = a = 1, both unknown: the leading direction turns to g, and its eigenvalue into A_T."""

    def fisher(T):
        state, slopes, matrix = 0.3, np.zeros(2), np.zeros((2, 2))
        for _ in range(T):
            slopes = (1 - 3 * state**2) * slopes + np.array([state, -(state**3)])
            state = state - state**3
            matrix += np.outer(slopes, slopes)
        return matrix

    law = nf.amplification(nf.pitchfork())
    gaps, angles = [], []
    for T in (100, 1000, 10_000):
        matrix = fisher(T)
        assert matrix[0, 0] == pytest.approx(law(1.0, 0.3, T), rel=1e-12)
        values, vectors = np.linalg.eigh(matrix)
        gaps.append(values[1] / values[0])
        angles.append(abs(vectors[1, 1]))
    assert gaps[0] < gaps[1] / 10 < gaps[2] / 100
    assert angles[0] > 5 * angles[1] > 25 * angles[2]
    assert values[1] == pytest.approx(law(1.0, 0.3, 10_000), rel=1e-6)


def test_the_kernel_is_the_propagated_parameter_operator():
    """sNTK = P K Pᵀ: P the inverse of the linearised dynamics, K = (D_θF)(D_θF)ᵀ, both dense."""
    random = np.random.default_rng(0)
    N, B, T = 3, 2, 4
    W, b, h0 = random.normal(size=(N, N)), 0.1 * random.normal(size=N), random.normal(size=(B, N))
    states = np.empty((B, T + 1, N))
    states[:, 0] = h0
    for t in range(T):
        states[:, t + 1] = np.tanh(states[:, t]) @ W.T + b
    phi = np.tanh(states[:, :-1]).reshape(B * T, N)
    K = np.kron(phi @ phi.T + 1, np.eye(N))  # one row of weights per neuron, and its bias
    backward = np.eye(B * T * N)
    for trajectory, t in itertools.product(range(B), range(1, T)):
        row = (trajectory * T + t) * N
        backward[row : row + N, row - N : row] = -W * (1 - np.tanh(states[trajectory, t]) ** 2)
    P = np.linalg.inv(backward)
    model = rnn.VanillaRNN(jnp.asarray(W), jnp.asarray(b))
    jacobian = np.asarray(rnn.sntk(model, jnp.asarray(h0), T).as_matrix())
    assert jacobian @ jacobian.T == pytest.approx(P @ K @ P.T, rel=1e-11, abs=1e-11)


def test_the_flip_coefficient_gives_the_two_cycle_of_the_henon_map():
    """u² = −λ_μ μ/c₃ on the two-cycle of u' = (−1 + λ_μ μ) u + c₃ u³; the cycle itself is a quadratic's two roots."""
    x, y, a = sp.symbols("x y a")
    b = sp.Rational(3, 10)
    at_flip = 3 * (1 - b) ** 2 / 4
    point = (sp.sqrt((1 - b) ** 2 + 4 * at_flip) - (1 - b)) / (2 * at_flip)
    henon = nf.Map((1 - a * x**2 + y, b * x), (x, y), a)
    form = nf.reduce(henon, at={x: point, y: b * point, a: at_flip})
    assert form.kind == "period_doubling"
    slope = float(-form.coefficients["dlambda"] / form.coefficients["c3"])
    errors = []
    for mu in (1e-3, 1e-4):
        alpha = float(at_flip) + mu
        first, second = np.roots([alpha**2, -alpha * 0.7, 0.7**2 - alpha])
        amplitude = (first - second) / 2 * np.hypot(1, 0.3)  # the other coordinate is b times the other point
        errors.append(abs(amplitude**2 / (slope * mu) - 1))
    assert errors[1] < 1e-3
    assert errors[1] < errors[0] / 5


def test_fixed_points_are_the_minima_of_the_speed():
    """½‖F(h) − h‖² minimised from many states, its zeros kept, finds the same points; the rest are no fixed points."""
    random = np.random.default_rng(4)
    W = 1.8 * random.normal(size=(4, 4)) / 2
    found = np.asarray(rnn.fixed_points(rnn.VanillaRNN(jnp.asarray(W), jnp.zeros(4))).points)

    def speed(h):
        residual = W @ np.tanh(h) - h
        jacobian = W * (1 - np.tanh(h) ** 2) - np.eye(4)
        return 0.5 * residual @ residual, jacobian.T @ residual

    minima = [scipy.optimize.minimize(speed, start, jac=True, tol=1e-14) for start in 4 * random.normal(size=(60, 4))]
    zeros = np.array([minimum.x for minimum in minima if minimum.fun < 1e-16])
    assert len(found) >= 3
    assert len(zeros) >= 20
    distance = np.linalg.norm(zeros[:, None] - found, axis=-1)
    assert np.max(np.min(distance, axis=1)) < 1e-5
    assert np.max(np.min(distance, axis=0)) < 1e-5


def piecewise_linear(parameters, z):
    diagonal, weight, bias = parameters
    return diagonal * z + weight @ jnp.maximum(z, 0) + bias


def test_fixed_points_of_a_piecewise_linear_network_are_those_of_its_regions():
    """z' = A z + W max(z, 0) + c with three units: the affine system of each of the eight regions, solved."""
    counts = []
    for seed in range(6):
        random = np.random.default_rng(seed)
        A, W, c = random.uniform(-0.5, 0.9, 3), 1.2 * random.normal(size=(3, 3)), random.normal(size=3)
        expected = []
        for active in itertools.product([0, 1], repeat=3):
            z = np.linalg.solve(np.eye(3) - np.diag(A) - W * active, c)
            if np.array_equal(z > 0, np.array(active, bool)):
                expected.append(z)
        model = jax.tree_util.Partial(piecewise_linear, (jnp.asarray(A), jnp.asarray(W), jnp.asarray(c)))
        points = np.asarray(rnn.fixed_points(model, jnp.asarray(4 * random.normal(size=(64, 3)))).points)
        counts.append(len(points))
        assert len(points) == len(expected)
        for z in expected:
            assert np.min(np.linalg.norm(points - z, axis=1)) < 1e-10
    assert {0, 1, 2} <= set(counts)
