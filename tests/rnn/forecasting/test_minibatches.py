"""The scatter of the crossing's step by minibatches, as the law foresees it, against descents on random ones."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import rnn
from rnn.forecasting import passage
from rnn.forecasting.flow import real_steps
from rnn.forecasting.optimizer import HeavyBall
from rnn.models import Rebuild, flatten

N, RATE, BATCH, RUNS = 10, 0.02, 8, 100


def task_of(seed=0):
    rng = np.random.default_rng(seed)
    weight = rng.normal(size=(N, N))
    weight *= 0.4 / np.abs(np.linalg.eigvals(weight)).max()
    h0 = np.zeros((64, N))
    h0[:, :2] = rng.uniform(-1.5, 1.5, (64, 2))
    student, teacher = (
        rnn.VanillaRNN(jnp.asarray(w, jnp.float32)) for w in (weight, np.diag([1.5, 0.4, *np.zeros(N - 2)]))
    )
    h0 = jnp.asarray(h0, jnp.float32)
    return rnn.Task(student, h0, rnn.trajectory(teacher, h0, 12)[..., :2])


def crossings(rows):
    """Of runs of weights, shape (runs, steps, …)."""
    moduli = np.abs(np.linalg.eigvals(rows.reshape(*rows.shape[:2], N, N))).max(-1)
    return np.array([passage(np.arange(len(m), dtype=float), m) for m in moduli])


def test_the_crossing_scatters_as_the_law_says():
    task = task_of()
    steps = real_steps(task, np.asarray(flatten(task.student)), HeavyBall(RATE, 0.0), 500).parameters
    moduli = np.abs(np.linalg.eigvals(steps.reshape(-1, N, N))).max(-1)
    start = steps[int(np.argmax(moduli > 0.65))]
    rebuild = Rebuild(task.student)
    view = rnn.forecast(rebuild(start), task, method="law", optimizer=optax.sgd(RATE), batch_size=BATCH)
    count = int(1.8 * view.crossing)

    def one(key):
        def step(flat, key):
            chosen = jax.random.randint(key, (BATCH,), 0, 64)
            rows = jax.tree.map(lambda x: x[chosen], task.batch)
            return flat - RATE * jax.grad(lambda p: task.loss(rebuild(p), rows))(flat), flat

        return jax.lax.scan(step, jnp.asarray(start), jax.random.split(key, count))[1]

    true = crossings(np.asarray(jax.jit(jax.vmap(one))(jax.random.split(jax.random.key(0), RUNS))))
    assert np.isfinite(true).all()
    assert np.std(true) == pytest.approx(view.deviation, rel=0.2)  # the sample's own error is 7 %
    assert np.mean(true) == pytest.approx(view.crossing, abs=4 * view.deviation / np.sqrt(RUNS))
    plain = rnn.forecast(rebuild(start), task, method="law", optimizer=optax.sgd(RATE))
    assert 0 < view.crossing - plain.crossing < 0.2 * view.deviation
    assert np.isnan(plain.deviation)
    double = rnn.forecast(rebuild(start), task, method="law", optimizer=optax.sgd(RATE), batch_size=4 * BATCH)
    assert double.deviation == pytest.approx(view.deviation / 2, rel=1e-4)


def test_where_the_scatter_is_not_known():
    task = task_of()
    with pytest.raises(ValueError, match="batch_size"):
        rnn.forecast(task.student, task, batch_size=8)
    with pytest.raises(ValueError, match="batch_size must be a positive whole number, got 0"):
        rnn.forecast(task.student, task, method="law", batch_size=0)
    ball = optax.sgd(RATE, momentum=0.5)
    near = rnn.VanillaRNN(task.student.weight * 1.9)
    assert "plain descent" in rnn.forecast(near, task, method="law", optimizer=ball, batch_size=8).detail
