"""Warnings on paths of networks whose crossing is known, and silence where nothing crosses."""

from __future__ import annotations

import math
from dataclasses import replace

import jax.numpy as jnp
import numpy as np
import pytest

import rnn

H0 = jnp.asarray(np.random.default_rng(0).normal(size=(6, 3)))


def look_along(weights, loss, **options):
    models = [rnn.VanillaRNN(jnp.asarray(w)) for w in weights]
    seen = rnn.watch(models[0], H0, 5, loss=loss, **options)
    notices = []
    for k, model in enumerate(models):
        seen = seen.look(model, 10.0 * k)
        notices.append(seen.notice)
    return seen, notices


def growing(block, last=1.1):
    """Weights whose critical multipliers are those of ``block`` times 0.5 … last, linearly in the step."""
    weight = np.zeros((3, 3))
    weight[: len(block), : len(block)] = block
    return [scale * weight + 0.1 * np.diag([0, 0, 1.0]) for scale in np.linspace(0.5, last, 61)]


def toward(scale, block):
    """A loss whose minimum on the way of :func:`growing` lies at ``scale``; linear beyond all for infinity."""
    target = jnp.asarray(growing(block)[0] * 0).at[: len(block), : len(block)].set(jnp.asarray(block))
    if np.isinf(scale):
        return lambda m: -jnp.vdot(target, m.weight)
    return lambda m: 0.5 * jnp.sum((m.weight - scale * target) ** 2)


ROTATION = [[np.cos(1.0), -np.sin(1.0)], [np.sin(1.0), np.cos(1.0)]]


@pytest.mark.parametrize(
    ("block", "kind"), [([[1.0]], "steady"), ([[-1.0]], "period_doubling"), (ROTATION, "neimark_sacker")]
)
def test_a_crossing_is_announced_dated_and_confirmed(block, kind):
    """Where the multiplier grows evenly and the loss pushes evenly, the date is exact."""
    _, notices = look_along(growing(block), toward(np.inf, block))
    first = next(k for k, n in enumerate(notices) if n is not None)
    crossing = 10 * 60 * 0.5 / 0.6
    assert not notices[first].confirmed
    assert notices[first].kind == kind
    assert crossing - 10 * first == pytest.approx(200, abs=15)
    assert 10 * first + notices[first].steps == pytest.approx(crossing, abs=1e-3)
    confirmed = next(k for k, n in enumerate(notices) if n is not None and n.confirmed)
    assert 10 * confirmed == pytest.approx(crossing, abs=10)
    assert notices[confirmed].growth > 2


@pytest.mark.parametrize("block", [[[1.0]], ROTATION])
def test_the_date_is_the_law_s(block):
    """Descent on a parabola with its minimum at 1.2 moves the multiplier as ``1.2 − 0.7 exp(−ηk)``."""
    weights = growing(block)
    scales = 1.2 - 0.7 * np.exp(-0.01 * np.arange(0, 300, 10))
    weights = [weights[0] + (scale - 0.5) * (weights[1] - weights[0]) / 0.01 for scale in scales]
    _, notices = look_along(weights, toward(1.2, block))
    first = next(k for k, n in enumerate(notices) if n is not None)
    crossing = np.log(0.7 / 0.2) / 0.01
    due = [10 * k + n.steps for k, n in enumerate(notices) if n is not None and not n.confirmed]
    assert len(due) >= 5
    np.testing.assert_allclose(due, crossing, atol=1.2)  # the lag of descent behind this flow
    assert all(abs(n.steps) > n.error > 0 for n in notices[first : first + 3])


def test_slopes_are_those_of_displaced_networks():
    """Against central differences of the modulus and the loss, with the fixed point held and moving with a bias."""
    rng = np.random.default_rng(5)
    weight, bias = rng.normal(size=(3, 3)) * 0.4, rng.normal(size=3) * 0.3
    target = jnp.asarray(rng.normal(size=12))

    def model_of(flat):
        return rnn.VanillaRNN(jnp.asarray(flat[:9].reshape(3, 3)), jnp.asarray(flat[9:]))

    def loss(model):
        return jnp.sum(jnp.sin(jnp.concatenate([model.weight.ravel(), model.bias]) * target))

    def point(flat):
        h, model = np.zeros(3), model_of(flat)
        for _ in range(400):
            h = np.asarray(model(h))
        return h

    def modulus(flat, h):
        return np.max(np.abs(np.linalg.eigvals(flat[:9].reshape(3, 3) @ np.diag(1 - np.tanh(h) ** 2))))

    flat, eye = np.concatenate([weight.ravel(), bias]), np.eye(12) * 1e-5
    here = point(flat)
    seen = rnn.watch(model_of(flat), H0, 5, loss=loss).look(model_of(flat), 0.0)
    for where, slopes in zip((lambda flat: here, point), seen.slopes[0], strict=True):
        ends = [[modulus(flat + s * e, where(flat + s * e)) for s in (1, -1)] for e in eye]
        gradient = np.array([(high - low) / 2e-5 for high, low in ends])
        for z, slope in zip((modulus(flat, here), 1.0, 1.05), slopes, strict=True):
            moved = flat + (z - modulus(flat, here)) / (gradient @ gradient) * gradient
            high, low = (loss(model_of(moved + s * gradient)) for s in (1e-5, -1e-5))
            assert slope == pytest.approx(-float(high - low) / 2e-5, rel=1e-5)
    assert abs(seen.slopes[0][0][0] / seen.slopes[0][1][0] - 1) > 0.01


def test_slopes_that_are_no_numbers_foresee_nothing():
    """As where a multiplier is defective."""
    model = rnn.VanillaRNN(jnp.eye(3) / 2)
    looks = {"steps": (0.0, 1.0, 2.0), "multipliers": (0.9 + 0j, 0.95 + 0j, 0.99 + 0j), "energies": (1.0,) * 3}
    for slope, warned in ((1.0, True), (math.nan, False)):
        seen = replace(rnn.watch(model, H0, 5, loss=toward(2, [[1.0]])), **looks, slopes=(((slope,) * 3,) * 2,) * 3)
        assert (seen.notice is not None) is warned


def test_no_warning_where_the_multiplier_saturates_or_falls():
    weight = np.diag([1.0, 0.2, 0.1])
    rising = [(0.97 - 0.4 * np.exp(-k / 10)) * weight for k in range(60)]
    assert look_along(rising, toward(0.97, [[1.0]]))[1] == [None] * 60
    falling = [(0.95 - 0.005 * k) * weight for k in range(40)]
    assert look_along(falling, toward(np.inf, [[1.0]]))[1] == [None] * 40


def test_a_fold_is_confirmed_when_its_point_is_gone():
    """``h' = a tanh h + b`` with a = 1.5: the lower point meets its neighbour as b grows, and both vanish."""
    seen, warned = None, None
    h = -np.arctanh(np.sqrt(1 - 1 / 1.5))
    fold = h - 1.5 * np.tanh(h)
    for k, b in enumerate(np.linspace(0.0, 0.5, 251)):
        model = rnn.VanillaRNN(jnp.asarray([[1.5]]), jnp.asarray([b]))
        if seen is None:
            seen = rnn.watch(model, H0[:, :1], 5, loss=lambda m: -m.bias.sum(), point=jnp.asarray([-1.3]))
        seen = seen.look(model, float(k))
        warned = k if warned is None and seen.notice is not None and not seen.notice.confirmed else warned
        if seen.lost or (seen.notice is not None and seen.notice.confirmed):
            break
    assert abs(b - fold) < 0.01
    assert warned is not None
    assert 0.002 * warned < fold


def test_bad_input_is_named():
    model = rnn.VanillaRNN(jnp.eye(3) / 2)
    loss = toward(np.inf, [[1.0]])
    with pytest.raises(ValueError, match="ahead"):
        rnn.watch(model, H0, 5, loss=loss, ahead=0)
    with pytest.raises(ValueError, match="loss"):
        rnn.watch(model, H0, 5, loss=3.0)
    with pytest.raises(ValueError, match="step"):
        rnn.watch(model, H0, 5, loss=loss).look(model, 3.0).look(model, 3.0)
