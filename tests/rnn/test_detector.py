"""Warnings on paths of networks whose crossing is known, and silence where nothing crosses."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest

import rnn

H0 = jnp.asarray(np.random.default_rng(0).normal(size=(6, 3)))


def look_along(weights, **options):
    models = [rnn.VanillaRNN(jnp.asarray(w)) for w in weights]
    seen = rnn.watch(models[0], H0, 5, **options)
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


ROTATION = [[np.cos(1.0), -np.sin(1.0)], [np.sin(1.0), np.cos(1.0)]]


@pytest.mark.parametrize(
    ("block", "kind"), [([[1.0]], "steady"), ([[-1.0]], "period_doubling"), (ROTATION, "neimark_sacker")]
)
def test_a_crossing_is_announced_dated_and_confirmed(block, kind):
    _, notices = look_along(growing(block), ahead=200.0)
    first = next(k for k, n in enumerate(notices) if n is not None)
    crossing = 10 * 60 * 0.5 / 0.6
    assert not notices[first].confirmed
    assert notices[first].kind == kind
    assert crossing - 10 * first == pytest.approx(200, abs=10)
    assert 10 * first + notices[first].steps == pytest.approx(crossing, abs=1e-3)
    confirmed = next(k for k, n in enumerate(notices) if n is not None and n.confirmed)
    assert 10 * confirmed == pytest.approx(crossing, abs=10)
    assert notices[confirmed].growth > 2


def test_no_warning_where_the_multiplier_saturates_or_falls():
    weight = np.diag([1.0, 0.2, 0.1])
    rising = [(0.9 - 0.4 * np.exp(-k / 10)) * weight for k in range(80)]
    assert look_along(rising, ahead=100.0)[1] == [None] * 80
    assert look_along([(0.95 - 0.005 * k) * weight for k in range(60)])[1] == [None] * 60


def test_a_fold_is_confirmed_when_its_point_is_gone():
    """``h' = a tanh h + b`` with a = 1.5: the lower point meets its neighbour as b grows, and both vanish."""
    seen = None
    for k, b in enumerate(np.linspace(0.0, 0.5, 251)):
        model = rnn.VanillaRNN(jnp.asarray([[1.5]]), jnp.asarray([b]))
        if seen is None:
            seen = rnn.watch(model, H0[:, :1], 5, point=jnp.asarray([-1.3]), ahead=100.0)
        seen = seen.look(model, float(k))
        if seen.lost or (seen.notice is not None and seen.notice.confirmed):
            break
    h = -np.arctanh(np.sqrt(1 - 1 / 1.5))
    fold = h - 1.5 * np.tanh(h)
    assert abs(b - fold) < 0.01


def test_training_is_warned_before_its_pitchfork():
    task = rnn.student_teacher(0, size=32, batch=32)
    run = rnn.train(task, steps=800, diagnose_every=0, save_every=20)
    seen, warned, crossed = rnn.watch(task.student, task.h0, task.horizon), None, None
    for step in range(0, 800, 20):
        seen = seen.look(run.model(step), step)
        if seen.notice is not None and warned is None:
            warned = step
        if seen.notice is not None and seen.notice.confirmed:
            crossed = step
            break
    assert crossed is not None
    assert warned is not None
    assert warned <= crossed - 100
    assert seen.notice.kind == "steady"
    assert seen.notice.growth > 10


def test_bad_input_is_named():
    model = rnn.VanillaRNN(jnp.eye(3) / 2)
    with pytest.raises(ValueError, match="ahead"):
        rnn.watch(model, H0, 5, ahead=0)
    with pytest.raises(ValueError, match="window"):
        rnn.watch(model, H0, 5, window=1)
    with pytest.raises(ValueError, match="step"):
        rnn.watch(model, H0, 5).look(model, 3.0).look(model, 3.0)
