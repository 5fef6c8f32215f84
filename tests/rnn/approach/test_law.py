"""The law of the approach on descents that are known: its speed, its date, its lag, and where it does not hold."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import rnn
from rnn.approach import critical_at, law
from rnn.approach.law import NODES

ROTATION = np.array([[np.cos(1.0), -np.sin(1.0)], [np.sin(1.0), np.cos(1.0)]])
BLOCKS = {"steady": np.eye(1), "period_doubling": -np.eye(1), "neimark_sacker": ROTATION}


def network(block, scale):
    weight = np.diag([0.3, 0.1, 0.2, 0.05])
    weight[: len(block), : len(block)] = scale * block
    return rnn.VanillaRNN(jnp.asarray(weight))


def toward(block, scale):
    target = network(block, scale).weight
    return lambda model: 0.5 * jnp.sum((model.weight - target) ** 2)


@pytest.mark.parametrize("kind", BLOCKS)
@pytest.mark.parametrize(("rate", "momentum"), [(0.01, 0.0), (0.05, 0.0), (0.002, 0.8)])
def test_the_date_is_that_of_descent_on_a_parabola(kind, rate, momentum):
    """``ρ' = η (1.3 − ρ)`` on every one of these; the crossing, between two steps, is the law's to a part of one."""
    block, scale, v, n = BLOCKS[kind], 0.65, 0.0, 0
    v = (0.65 - 1.3) / (1 - momentum)
    while scale < 1:
        before, (v, n) = scale, (momentum * v + scale - 1.3, n + 1)
        scale -= rate * v
    true = n - 1 + (1 - before) / (scale - before)
    found = law(toward(block, 1.3), network(block, 0.65), np.zeros(4))
    effective = rate / (1 - momentum)
    assert found.open
    assert found.steps(effective, momentum) == pytest.approx(true, abs=0.06, rel=1e-3)
    assert abs(found.steps(effective, momentum) - true) <= 0.06 + found.doubt(effective, momentum)
    assert found.times(found.moduli, effective, momentum)[0] == 0
    np.testing.assert_allclose(found.moduli, 0.65 + 0.35 * np.array([0, *NODES]), atol=1e-5)


def test_the_lag_is_half_the_logarithm_of_the_speeds():
    found = law(toward(np.eye(1), 1.3), network(np.eye(1), 0.65), np.zeros(4))
    flow = np.log(0.65 / 0.3) / 0.1
    assert found.steps(0.1) - flow == pytest.approx(0.5 * np.log(0.3 / 0.65), abs=0.006)  # the quadrature: 5e-4


def test_speed_is_that_of_the_multiplier_with_the_point_moving():
    """Against a small step of descent on a network with a bias, whose fixed point is settled anew."""
    rng = np.random.default_rng(1)
    model = rnn.VanillaRNN(jnp.asarray(0.3 * rng.normal(size=(5, 5))), jnp.asarray(0.3 * rng.normal(size=5)))
    aim = jnp.asarray(rng.normal(size=5))

    def loss(m):
        return jnp.sum(jnp.sin(m.weight @ aim)) + jnp.sum(jnp.cos(m.bias + aim))

    def modulus(m):
        h = jax.lax.fori_loop(0, 500, lambda _, h: m(h), jnp.zeros(5))
        return critical_at(np.asarray(jax.jacfwd(m)(h))).modulus

    slope = jax.grad(loss)(model)
    ends = [modulus(jax.tree.map(lambda p, g, s=s: p - s * g, model, slope)) for s in (1e-6, -1e-6)]
    found = law(loss, model, np.zeros(5))
    assert found.speeds[0] == pytest.approx((ends[0] - ends[1]) / 2e-6, rel=1e-6)
    assert found.sizes[0] ** 2 == pytest.approx(sum(float(jnp.sum(g**2)) for g in jax.tree.leaves(slope)))


def test_a_minimum_short_of_the_crossing_is_found():
    found = law(toward(np.eye(1), 0.93), network(np.eye(1), 0.7), np.zeros(4))
    assert not found.open
    assert not found.astray
    assert found.wants == pytest.approx(0.93, abs=1e-6)
    assert found.steps(0.1) == np.inf
    falling = law(toward(np.eye(1), 0.2), network(np.eye(1), 0.7), np.zeros(4))
    assert (len(falling.speeds), np.isnan(falling.wants)) == (1, True)


def test_another_multiplier_that_takes_the_lead_leads_astray():
    model = rnn.VanillaRNN(jnp.diag(jnp.asarray([0.7, -0.69])))
    target = jnp.diag(jnp.asarray([1.3, -3.0]))
    found = law(lambda m: 0.5 * jnp.sum((m.weight - target) ** 2), model, np.zeros(2))
    assert found.astray
    assert found.doubt(0.1) == np.inf


def test_a_fixed_point_that_goes_away_leads_astray():
    """``h' = 1.5 tanh h + b`` next to its fold."""
    model = rnn.VanillaRNN(jnp.asarray([[1.5]]), jnp.asarray([0.15]))
    found = law(lambda m: -jnp.sum(m.bias), model, np.array([-1.1]))
    assert found.astray
    assert not found.open
