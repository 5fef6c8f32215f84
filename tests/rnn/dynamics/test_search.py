"""What a search for fixed points says beyond the points: kinks, lines and surfaces, ghosts, and what it has tried."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import rnn
from rnn.dynamics.newton import newton
from rnn.dynamics.probing import relaxed


class Two(eqx.Module):
    """``l h`` below zero and ``r h`` above."""

    left: jax.Array
    right: jax.Array

    def __call__(self, h):
        return jnp.where(h > 0, self.right * h, self.left * h)


def linear(weight, activation="identity", bias=None, leak=1.0):
    bias = None if bias is None else jnp.asarray(bias)
    return rnn.LeakyRNN(jnp.asarray(weight), bias, None, leak, "phi(W@h+b)", activation)


@pytest.mark.parametrize(
    ("left", "right", "growth", "index"),
    [
        (0.0, 1.5, 1.5, 0),  # ReLU: the slope below, which JAX takes at 0, would call it stable
        (0.0, 0.5, 0.5, 1),
        (1.5, -1.5, 1.5, 0),
        (1.5, 2.0, 2.0, -1),
        (-2.0, 0.3, 0.3, 1),  # the side with −2 is left at once
        (-2.0, -0.4, np.sqrt(0.8), 1),
        (-2.0, -0.6, np.sqrt(1.2), 1),
    ],
)
def test_a_point_on_a_kink_is_classified_by_the_slopes_of_both_sides(left, right, growth, index):
    found = rnn.fixed_points(Two(jnp.asarray(left), jnp.asarray(right)), size=1)
    assert len(found) == 1
    assert sorted(found.sides[0].ravel().real) == sorted([left, right])
    assert found.growth[0] == pytest.approx(growth, rel=1e-3)
    assert found.stable[0] == (growth < 1)
    assert found.index_sum == index


def test_kinks_of_many_units_meet_in_one_point_and_smooth_points_have_none():
    rng = np.random.default_rng(0)
    W = np.abs(rng.normal(size=(6, 6)))
    W *= 1.2 / np.max(np.abs(np.linalg.eigvals(W)))  # the positive cone is invariant, and 0 repels within it
    found = rnn.fixed_points(linear(W, "relu"))
    assert 0 in found.sides
    assert found.growth[0] == pytest.approx(1.2, rel=1e-3)
    shifted = rnn.fixed_points(linear(0.5 * W, "relu", np.full(6, 0.3)))
    assert shifted.sides == {}
    assert shifted.growth[0] == pytest.approx(0.6)


def test_lines_and_surfaces_are_named_with_dimension_extent_and_drift():
    v = np.array([0.6, 0.8, 0.0])
    W = np.outer(v, v) + 0.3 * np.outer([0.8, -0.6, 0.0], [0.8, -0.6, 0.0])
    (line,) = rnn.fixed_points(linear(W)).continua
    assert (line.name, line.dimension, line.open, line.stable) == ("line", 1, (True,), True)
    assert abs(line.directions[0] @ v) == pytest.approx(1, abs=1e-12)
    assert line.multiplier == pytest.approx(0.3)
    assert line.drift < 1e-13
    assert "attracting line of fixed points, at least" in str(line)

    rounded = rnn.fixed_points(linear(W.astype(np.float32)))  # isolated by rounding alone
    assert len(rounded.points) == 1
    assert rounded.continua[0].name == "line"
    assert 1e-9 < rounded.continua[0].drift < 1e-6

    (space,) = rnn.fixed_points(linear(np.eye(3))).continua
    assert (space.dimension, len(space.extent), space.drift) == (3, 3, 0.0)

    # h₁ + h₂ = 1 between the two axes
    segment = rnn.fixed_points(linear([[0.0, -1.0], [-1.0, 0.0]], "relu", [1.0, 1.0], 0.3)).continua[0]
    assert segment.open == (False,)
    assert segment.extent[0] == pytest.approx(np.sqrt(2), rel=2e-3)


def test_a_ring_attractor_is_a_ring():
    def ring(pull, h):
        radius = jnp.sqrt(jnp.sum(h[:2] ** 2) + 1e-30)
        return jnp.concatenate([h[:2] * (1 + pull * (1 - radius)), h[2:] / 2])

    found = rnn.fixed_points(jax.tree_util.Partial(ring, jnp.asarray(0.5)), size=3)
    assert len(found) == 1  # the centre
    (one,) = found.continua
    assert one.name == "ring"
    assert one.extent[0] == pytest.approx(2 * np.pi, rel=0.01)
    assert one.multiplier == pytest.approx(0.5)


def test_a_critical_point_is_one_point_and_no_line():
    found = rnn.fixed_points(rnn.VanillaRNN(jnp.eye(2)))  # h' = tanh h moves by h³/3
    assert len(found) == 1
    assert found.continua == ()


def test_relaxed_networks_lead_to_a_fixed_point_where_newton_fails():
    rng = np.random.default_rng(3)
    model = rnn.VanillaRNN(jnp.asarray(rng.normal(size=(24, 24)) * 4 / np.sqrt(24)), None, "tanh(W@h+b)")
    anchors = rng.normal(size=(4, 24))
    assert not np.any(newton(model, anchors)[1])
    for anchor in anchors:
        ends, converged = newton(model, relaxed(model, anchor))
        assert np.any(converged)
        np.testing.assert_allclose([model(end) for end in ends[converged]], ends[converged], atol=1e-12)


def test_the_search_says_what_it_tried_and_whether_a_point_was_missed():
    found = rnn.fixed_points(rnn.VanillaRNN(2 * jnp.eye(2)), np.ones((3, 2)))
    assert sum(found.tried.values()) == found.starts
    assert "from given or drawn states and their orbits" in found.search
    assert "index sum 1, as of a complete set" in found.search
    jump = jax.tree_util.Partial(lambda a, h: jnp.where(h > 0, -a, a), jnp.asarray(1.0))  # bounded, and has no point
    missed = rnn.fixed_points(jump, size=1)
    assert missed.missed
    assert "along relaxed networks" in missed.status
    assert "orbits stay bounded" in missed.status
    away = jax.tree_util.Partial(lambda a, h: h + a, jnp.asarray(1.0))
    assert not rnn.fixed_points(away, size=1).missed


@pytest.mark.parametrize("gap", [1e-4, 1e-6])
def test_a_ghost_is_found_with_its_passage_time(gap):
    """``x' = x + g + x²`` beside a fold; a second state contracts."""

    def fold(g, h):
        return jnp.stack([h[0] + g + h[0] ** 2, h[1] / 2 + h[0] * 0.1])

    model = jax.tree_util.Partial(fold, jnp.asarray(gap))
    found = rnn.slow_points(model, np.array([[-0.5, 0.0], [-0.2, 0.1]]))
    assert found.status == "found"
    assert found.passage[0] == pytest.approx(np.pi / np.sqrt(gap), rel=0.02)
    assert np.min(np.abs(found.multipliers[0] - 1)) < 1e-6
    state, steps = np.array([-0.5, 0.0]), 0
    while state[0] < 0.5:
        state, steps = np.array([state[0] + gap + state[0] ** 2, state[1] / 2 + state[0] * 0.1]), steps + 1
    assert found.passage[0] == pytest.approx(steps, rel=0.1)


def test_fixed_points_are_no_slow_points():
    found = rnn.slow_points(rnn.VanillaRNN(2 * jnp.eye(2)), count=6)
    assert len(found) == 0
    assert "none of" in found.status
