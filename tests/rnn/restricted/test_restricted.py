"""Restricted kernels: what a sweep measures and records, for every kind."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest
from networks import PAIR, PLANTED, at_bifurcation, planted_map

import rnn
from rnn.models.parameters import Rebuild, flatten
from rnn.restricted.sweep import multiplier_gradient


@pytest.fixture(scope="module")
def event():
    return at_bifurcation((1.0,), bias=False)[0]


@pytest.fixture(scope="module")
def states():
    return np.random.default_rng(1).normal(size=(5, 6)) * 0.3


@pytest.fixture(scope="module")
def sweep(event, states):
    return rnn.restrict(event, h0=states, horizon=4, count=5, share=True)


def dense(sweep, k):
    model = Rebuild(sweep.event.model)(flatten(sweep.event.model) + sweep.displacement[k] * sweep.direction)
    return np.asarray(rnn.sntk(model, jnp.asarray(sweep.h0), sweep.horizon).as_matrix())


def test_amplification_is_that_of_the_dense_jacobian(sweep):
    for k in range(5):
        image = dense(sweep, k) @ sweep.direction
        assert sweep.amplification[k] == pytest.approx(np.sum(image**2), rel=1e-10)


def test_amplification_is_the_difference_of_trajectories(sweep):
    def path(s):
        model = Rebuild(sweep.event.model)(flatten(sweep.event.model) + s * sweep.direction)
        return np.asarray(rnn.trajectory(model, jnp.asarray(sweep.h0), sweep.horizon))

    at, eps = sweep.displacement[3], 1e-5
    rate = (path(at + eps) - path(at - eps)) / (2 * eps)
    assert np.sum(rate**2) == pytest.approx(sweep.amplification[3], rel=1e-7)


def test_share_is_the_part_of_the_trace_along_the_direction(event, sweep, states):
    J = np.asarray(rnn.sntk(event.model, jnp.asarray(states), 4).as_matrix())
    assert sweep.share == pytest.approx(np.sum((J @ sweep.direction) ** 2) / np.sum(J**2), rel=1e-9)
    assert sweep.window(0.9, 1.1).share == sweep.share


def test_share_is_not_a_number_unless_asked_for(event):
    assert np.isnan(rnn.restrict(event, h0=np.ones((2, 6)), horizon=3, count=5).share)


@pytest.mark.parametrize("k", [0, 4])
def test_residual_is_the_kernel_without_the_direction(sweep, k):
    J, v = dense(sweep, k), sweep.direction
    rest = J - np.outer(J @ v, v)
    found = sweep.residual(sweep.displacement[k])
    assert found.trace == pytest.approx(np.sum(rest**2) / np.sum(J**2), rel=1e-9)
    assert found.carried == pytest.approx(np.sum((J @ v) ** 2) / np.sum(J**2), rel=1e-9)
    norms = [np.linalg.norm(x, 2) ** 2 for x in (rest, J)]
    assert found.norm == pytest.approx(norms[0] / norms[1], rel=1e-6)
    y = np.random.default_rng(2).normal(size=(5, 4, 6))
    np.testing.assert_allclose(np.ravel(found.mv(jnp.asarray(y))), rest @ (rest.T @ y.ravel()), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("kind", PLANTED)
def test_parameter_is_that_of_the_planted_map(kind):
    model, v, event = planted_map(kind)
    sweep = rnn.restrict(event, v, h0=np.full((1, 3), 0.01), horizon=8, count=5, span=(0.96, 1.04))
    assert sweep.kind == kind
    numbers = np.asarray(model.numbers) + sweep.displacement[:, None] * sweep.direction
    rate = {"saddle_node": 0.7, "neimark_sacker": 0.8}.get(kind, 1.0)
    expected = 1 + 0.7 * numbers[:, 0] if kind == "saddle_node" else np.abs(numbers[:, 1])
    np.testing.assert_allclose(sweep.parameter, expected, atol=1e-9)
    np.testing.assert_allclose(sweep.parameter, np.linspace(0.96, 1.04, 5), atol=1e-4)
    np.testing.assert_allclose(sweep.slope, rate, atol=1e-7)
    np.testing.assert_allclose(sweep.turn, 0.6 if kind == "neimark_sacker" else 0.0, atol=1e-7)
    assert sweep.gap == pytest.approx(0.4)


@pytest.mark.parametrize(("lead", "bias"), [((1.0,), False), ((-1.0,), True), (PAIR, True)])
def test_gradient_is_the_difference_of_multipliers(lead, bias):
    """The moving fixed point included: with a bias and a quadratic term it matters at −1 and on the circle."""
    event, _ = at_bifurcation(lead, bias=bias)
    gradient = multiplier_gradient(event.model, event.point, event.normal_form)
    theta, rebuild = flatten(event.model), Rebuild(event.model)
    v = np.random.default_rng(3).normal(size=gradient.shape)

    def size(s):
        model = rebuild(theta + s * v)
        h = event.point
        for _ in range(20 if bias else 0):
            A = np.asarray(model.weight) / np.cosh(h) ** 2
            h = h + np.linalg.solve(np.eye(len(h)) - A, np.asarray(model(jnp.asarray(h))) - h)
        mu = np.linalg.eigvals(np.asarray(model.weight) / np.cosh(h) ** 2)
        near = mu[np.argmin(np.abs(mu - lead[0]))]
        return abs(near) if len(lead) == 2 else near.real

    assert gradient @ v == pytest.approx((size(1e-5) - size(-1e-5)) / 2e-5, rel=1e-6)


def test_a_generic_direction_unfolds_a_transcritical_point_into_a_saddle_node():
    _, v, event = planted_map("transcritical")
    sweep = rnn.restrict(event, v + np.array([0.5, 0, 0, 0]), h0=np.zeros((1, 3)), horizon=8, count=5)
    assert (event.kind, sweep.kind) == ("transcritical", "saddle_node")
    np.testing.assert_allclose(sweep.parameter[[0, -1]], [1 - 1 / 64, 1 + 1 / 64])


def test_a_direction_without_a_bifurcation_is_refused():
    _, v, event = planted_map("pitchfork")
    options = {"h0": np.zeros((1, 3)), "horizon": 4}
    with pytest.raises(ValueError, match="cusp"):
        rnn.restrict(event, v + np.array([0.5, 0, 0, 0]), **options)
    with pytest.raises(ValueError, match="degenerate"):
        rnn.restrict(event, np.array([0.0, 0, 0, 1]), **options)
    with pytest.raises(ValueError, match="narrow span"):
        rnn.restrict(planted_map("period_doubling")[2], v, span=(-0.5, 1.2), **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "no training run"),
        ({"h0": np.zeros(6), "horizon": 3}, r"shape \(batch, 6\)"),
        ({"h0": np.zeros((1, 5)), "horizon": 3}, r"shape \(batch, 6\)"),
        ({"h0": np.zeros((1, 6)), "horizon": 3, "direction": "up"}, "direction must be"),
        ({"h0": np.zeros((1, 6)), "horizon": 3, "direction": np.zeros(36)}, "non-zero"),
        ({"h0": np.zeros((1, 6)), "horizon": 3, "direction": np.ones(7)}, "36 parameters"),
    ],
)
def test_bad_input_is_refused(event, options, message):
    with pytest.raises(ValueError, match=message):
        rnn.restrict(event, **options)


def test_a_sweep_of_a_flip_can_be_fitted():
    _, v, event = planted_map("period_doubling")
    h0 = np.random.default_rng(0).uniform(-0.2, 0.2, (8, 3))
    sweep = rnn.restrict(event, v, h0=h0, horizon=12, count=15, span=(0.9, 1.1))
    found = rnn.fit(sweep, laws="period_doubling")
    assert found.max_relative_error < 0.02
    assert dataclasses.asdict(sweep.window(0.95, 1.05))["parameter"].size < 15
