"""The alarm's ratio on quadratics, its hysteresis, and that it changes nothing."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import rnn

CURVATURES = jnp.asarray([1.0, 0.3, 0.1], jnp.float32)


def watched(rates, alarm=None, start=(0.0, 0.0, 1.0)):
    """Descent on ``½ Σ λ θ²`` with a rate for each step, watched: states after every update, and losses."""
    tx = rnn.spike_alarm() if alarm is None else alarm
    theta = jnp.asarray(start, jnp.float32)
    state, states, losses, move = tx.init(theta), [], [], jax.jit(tx.update)
    for rate in rates:
        gradient = CURVATURES * theta
        same, state = move(gradient, state, theta)
        np.testing.assert_array_equal(same, gradient)
        states.append(state)
        losses.append(float(theta @ (CURVATURES * theta)) / 2)
        theta = theta - rate * same
    return states, np.asarray(losses)


@pytest.mark.parametrize("rate", [0.5, 1.0, 2.5])
@pytest.mark.parametrize("axis", [0, 2])
def test_q_is_rate_times_curvature(rate, axis):
    states, _ = watched([rate] * 8, start=np.eye(3)[axis])
    assert float(states[-1].q) == pytest.approx(rate * float(CURVATURES[axis]), rel=1e-5)
    assert bool(states[-1].alarm) == (rate * CURVATURES[axis] > 2.2)


def test_it_warns_before_the_loss_spikes():
    """A tiny sharp component grows at a rate beyond 2/λ long before the loss rises, and then the loss doubles."""
    states, losses = watched([2.6] * 60, rnn.spike_alarm(decay=0.0), start=(1e-4, 0.0, 1.0))
    spike = next(t for t in range(1, 60) if losses[t] > 2 * losses[:t].min())
    on = [t for t, s in enumerate(states) if s.alarm]
    assert on
    assert on[0] <= spike
    assert int(states[-1].raised) == 1
    assert int(states[-1].since) == on[0]


def test_calm_training_is_not_warned_of():
    states, _ = watched([1.9] * 60, start=(1.0, 1.0, 1.0))
    assert not any(bool(s.alarm) for s in states)


def test_it_stays_on_until_q_has_been_low_for_a_while():
    alarm = rnn.spike_alarm(2.2, release=1.1, decay=0.0, hold=3)
    rates = [2.5] * 3 + [0.5, 0.5, 1.5, 0.5, 0.5, 0.5, 0.5]
    states, _ = watched(rates, alarm, start=(1.0, 0.0, 0.0))
    assert [bool(s.alarm) for s in states] == [False] + [True] * 3 + [True] * 5 + [False]
    assert int(states[-1].raised) == 1


def test_a_gradient_that_is_not_finite_rings_and_is_forgotten():
    tx = rnn.spike_alarm()
    theta = jnp.ones(3)
    _, state = tx.update(theta, tx.init(theta), theta)
    _, state = tx.update(jnp.full(3, jnp.nan), state, theta - 0.1)
    assert bool(state.alarm)
    for _ in range(5):
        _, state = tx.update(0.9 * theta, state, theta - 0.1)
    assert not bool(state.alarm)
    assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(state))


@pytest.mark.parametrize(
    "optimizer", [optax.sgd(0.1), optax.adam(0.1), optax.sgd(0.1, momentum=0.9)], ids=["sgd", "adam", "momentum"]
)
def test_training_with_it_is_training_without(optimizer):
    params = {"w": jnp.ones(3, jnp.float32), "n": jnp.arange(2)}
    gradient = {"w": jnp.asarray([1.0, -2.0, 0.5], jnp.float32), "n": np.zeros(2, jax.dtypes.float0)}
    reached = []
    for tx in (optimizer, optax.chain(rnn.spike_alarm(), optimizer)):
        kept, rest = eqx.partition(params, eqx.is_inexact_array)
        tx, g = optax.with_extra_args_support(tx), {"w": gradient["w"], "n": None}
        state = tx.init(kept)
        with jax.numpy_dtype_promotion("standard"):  # Optax's Adam mixes integers and floats
            for _ in range(3):
                update, state = tx.update(g, state, kept, value=jnp.ones(()))
                kept = eqx.apply_updates(kept, update)
        reached.append(eqx.combine(kept, rest)["w"])
    np.testing.assert_array_equal(*reached)


def test_integer_leaves_are_not_watched():
    params = {"w": jnp.ones(3, jnp.bfloat16), "n": jnp.arange(2)}
    tx = rnn.spike_alarm()
    gradient = {"w": jnp.ones(3, jnp.bfloat16), "n": np.zeros(2, jax.dtypes.float0)}
    same, state = tx.update(gradient, tx.init(params), params)
    assert same is gradient
    assert state.parameters["n"] is None


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ({"threshold": -1.0}, "threshold"),
        ({"release": 3.0}, "release"),
        ({"decay": 1.0}, "decay"),
        ({"hold": 0}, "hold"),
    ],
)
def test_static_faults_name_the_argument(arguments, name):
    with pytest.raises(ValueError, match=name):
        rnn.spike_alarm(**arguments)
    with pytest.raises(ValueError, match="params"):
        rnn.spike_alarm().update(jnp.ones(2), rnn.spike_alarm().init(jnp.ones(2)))
