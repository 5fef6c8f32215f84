"""The alarm's two rules, by hand and on quadratics, its hysteresis, and that it changes nothing."""

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
        ({"rise": 1.0}, "rise"),
        ({"rise": float("nan")}, "rise"),
        ({"linger": 2.5}, "linger"),
    ],
)
def test_static_faults_name_the_argument(arguments, name):
    with pytest.raises(ValueError, match=name):
        rnn.spike_alarm(**arguments)
    with pytest.raises(ValueError, match="params"):
        rnn.spike_alarm().update(jnp.ones(2), rnn.spike_alarm().init(jnp.ones(2)))


def told(losses, alarm):
    """Whether the alarm is on after each of the losses, gradients apart."""
    theta, on = jnp.ones(2, jnp.float32), []
    state, move = alarm.init(theta), jax.jit(lambda state, loss: alarm.update(theta, state, theta, value=loss)[1])
    for loss in losses:
        state = move(state, jnp.float32(loss))
        on.append(bool(state.alarm))
    return np.asarray(on), state


def by_hand(losses, rise, linger):
    """On from where the loss is more than ``rise`` times the least of the 20 before, for ``linger`` updates."""
    rang = [t > 0 and losses[t] > rise * min(losses[max(t - 20, 0) : t]) for t in range(len(losses))]
    return np.array([any(rang[max(t - linger + 1, 0) : t + 1]) for t in range(len(losses))])


@pytest.mark.parametrize(("rise", "linger"), [(5.0, 100), (1.5, 7)])
def test_with_the_loss_a_small_spike_warns_of_a_large_one(rise, linger):
    rng = np.random.default_rng(0)
    losses = np.exp(np.cumsum(rng.normal(scale=0.5, size=400))).astype(np.float32)
    on, state = told(losses, rnn.spike_alarm(rise=rise, linger=linger))
    want = by_hand(losses, rise, linger)
    np.testing.assert_array_equal(on, want)
    assert 0 < want.mean() < 1
    assert int(state.raised) == np.sum(want & ~np.r_[False, want[:-1]])


@pytest.mark.parametrize(
    ("optimizer", "curvature", "time", "bears", "ramp"),
    [
        (optax.sgd(1.0), 1.5, 300, 2.0, 1),
        (optax.sgd(1.0, momentum=0.9), 2.85, 300, 3.8, 1),
        (optax.adam(1.0, eps=1.0), 36.0, 3000, 38.0, 40),  # its first steps bear less
        (optax.contrib.muon(0.02), 1e-3, 4, 1.0, 1),  # no threshold: it oscillates as wide as its rate
    ],
    ids=["sgd", "momentum", "adam", "muon"],
)
def test_an_oscillation_that_grows_is_warned_of_before_the_tenfold_spike(optimizer, curvature, time, bears, ramp):
    """On a parabola that becomes sharper a fivefold rise comes before the tenfold one, and silence before that."""
    tx = optax.chain(rnn.spike_alarm(), optimizer)

    def step(carry, t):
        theta, state = carry
        sharp = curvature * jnp.exp(t / time) * jnp.minimum((t + 1) / ramp, 1)
        value, gradient = jax.value_and_grad(lambda theta: 1e-4 + sharp * jnp.sum(theta["w"] ** 2) / 2)(theta)
        with jax.numpy_dtype_promotion("standard"):
            update, state = tx.update(gradient, state, theta, value=value)
        return (optax.apply_updates(theta, update), state), (value, state[0].alarm)

    theta = {"w": jnp.asarray([[1e-4, 3e-5], [-2e-5, 5e-5]], jnp.float32)}
    losses, on = (
        np.asarray(x) for x in jax.lax.scan(step, (theta, tx.init(theta)), jnp.arange(400, dtype=jnp.float32))[1]
    )
    spike = next(t for t in range(20, 400) if losses[t] > 10 * np.median(losses[t - 20 : t]))
    assert on[spike - 1]
    assert not on[: int(time * np.log(bears / curvature))].any()


def test_a_loss_that_is_not_finite_rings_and_is_forgotten():
    on, state = told([1.0, 1.0, np.nan, np.inf, 1.0, 1.0], rnn.spike_alarm(linger=2))
    assert list(on) == [False, False, True, True, True, False]
    assert np.all(np.asarray(state.losses)[:4] == 1)


def test_where_the_loss_is_not_positive_q_decides():
    """A log likelihood below zero has no ratio; the oscillation at q = 2.5 is seen all the same."""
    tx = rnn.spike_alarm()
    theta = jnp.eye(3, dtype=jnp.float32)[0]
    state = tx.init(theta)
    for _ in range(8):
        gradient = CURVATURES * theta
        _, state = tx.update(gradient, state, theta, value=theta @ gradient / 2 - 100)
        theta = theta - 2.5 * gradient
    assert bool(state.alarm)
    assert float(state.q) == pytest.approx(2.5, rel=1e-5)


def test_a_value_of_many_numbers_is_refused():
    tx, theta = rnn.spike_alarm(), jnp.ones(2)
    with pytest.raises(ValueError, match=r"value must be the loss, one number, got shape \(2,\)"):
        tx.update(theta, tx.init(theta), theta, value=theta)
