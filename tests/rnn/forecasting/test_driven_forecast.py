"""Forecasts of networks with inputs against their trainings, and the stabilised integrator against exponentials."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy.integrate import RK45

import rnn
from rnn.approach import settle
from rnn.forecasting import passage
from rnn.forecasting.chebyshev import Chebyshev, is_stiff
from rnn.models import held, stroboscopic

N = 12
RATE = optax.sgd(0.02)


def without_bias(full):
    weight = np.asarray(full.student.weight)
    weight = jnp.asarray(0.5 / np.abs(np.linalg.eigvals(weight)).max() * weight, jnp.float32)
    return rnn.VanillaRNN(weight, None, input_weight=full.student.input_weight)


def flip_flop(seed=0):
    full = rnn.flip_flop(seed, bits=1, size=N, batch=24, horizon=15)
    return rnn.Task(without_bias(full), full.h0, full.targets, full.inputs, readout=full.reader)


def moduli_of(run, x=None):
    """Of the followed point, before every saved step."""
    path, point, found = run.path if x is None else run.path.held(x), np.zeros(N), []
    if x is not None:
        point = np.asarray(rnn.trajectory(path.model(0), jnp.zeros((1, N), jnp.float32), 100)[0, -1], float)
    for step in path.steps:
        point, slope, _ = settle(path.model(step), point, np.float32)
        found.append(np.abs(np.linalg.eigvals(slope)).max())
    return np.array(found)


@pytest.fixture(scope="module")
def trained():
    run = rnn.train(flip_flop(), RATE, 200, diagnose_every=0, save_every=1)
    return run, moduli_of(run)


def test_flow_dates_the_crossing_without_input(trained):
    run, moduli = trained
    true = passage(run.path.steps, moduli)
    assert 60 < true < 190
    for place in (0.0, 0.7):
        at = int(np.argmax(moduli > place))
        view = rnn.forecast(run, at=at, optimizer=RATE, after=5)
        assert (view.status, view.kind) == ("ok", "steady")
        assert abs(view.crossing - true) <= view.error
        middle = (at + true) / 2
        assert view.loss(middle) == pytest.approx(np.interp(middle, np.arange(200), run.loss), rel=0.02)
    zero = rnn.forecast(run, at=at, optimizer=RATE, after=5, x=np.zeros(1, np.float32))
    assert zero.crossing == pytest.approx(view.crossing, abs=0.02)
    assert type(view.path.model(at)) is rnn.VanillaRNN


def test_the_law_says_where_descent_is_too_stiff_for_it():
    """Its long leaps lead nowhere on the flip-flop of the page: it must not say that none lies ahead."""
    full = rnn.flip_flop(1, bits=1, size=32, batch=32)
    task = rnn.Task(without_bias(full), full.h0, full.targets, full.inputs, readout=full.reader)
    run = rnn.train(task, optax.sgd(5e-3), 200, diagnose_every=0, save_every=10)
    moduli = [np.abs(np.linalg.eigvals(run.model(s).weight)).max() for s in run.path.steps]
    at = float(run.path.steps[int(np.argmax(np.array(moduli) > 0.65))])
    view = rnn.forecast(run, at=at, method="law", optimizer=optax.sgd(5e-3))
    assert (view.status, "stiff" in view.detail) == ("refused", True)


def driven_teacher():
    """A student of a teacher under a weak random input."""
    rng = np.random.default_rng(0)
    weight = rng.normal(size=(N, N))
    weight *= 0.4 / np.abs(np.linalg.eigvals(weight)).max()
    fed = rng.normal(size=(N, 1))
    h0 = np.zeros((24, N))
    h0[:, :2] = rng.uniform(-1.5, 1.5, (24, 2))
    student, teacher = (
        rnn.VanillaRNN(jnp.asarray(w, jnp.float32), input_weight=jnp.asarray(fed, jnp.float32))
        for w in (weight, np.diag([1.5, 0.4, *np.zeros(N - 2)]))
    )
    h0, x = (jnp.asarray(a, jnp.float32) for a in (h0, 0.05 * rng.normal(size=(24, 12, 1))))
    mask = np.ones(12, np.float32)
    mask[:2] = 0
    return rnn.Task(student, h0, rnn.trajectory(teacher, h0, inputs=x)[..., :2], x, mask)


def test_the_law_carries_over_where_descent_is_not_stiff():
    rate = optax.sgd(0.05)
    run = rnn.train(driven_teacher(), rate, 260, diagnose_every=0, save_every=1)
    moduli = moduli_of(run)
    true, at = passage(run.path.steps, moduli), int(np.argmax(moduli > 0.65))
    law = rnn.forecast(run, at=at, method="law", optimizer=rate)
    assert (law.status, law.cost.gradients) == ("ok", 4)
    assert law.crossing == pytest.approx(true, abs=0.5)
    flow = rnn.forecast(run, at=0, optimizer=rate, after=1)
    assert flow.crossing == pytest.approx(true, abs=0.7)


def test_held_points_classes_and_trained_readouts():
    """Cross-entropy of which sign came last, the read-out trained, and the point held at a weak pulse."""
    full = rnn.flip_flop(0, bits=1, size=N, batch=24, horizon=15)
    reader = jnp.asarray(np.random.default_rng(0).normal(size=(2, N)) / N**0.5, jnp.float32)
    classes = (full.targets[..., 0] > 0).astype(jnp.int32)
    task = rnn.Task(
        without_bias(full), full.h0, classes, full.inputs, None, "cross_entropy", reader, train_readout=True
    )
    rate, x = optax.sgd(0.05), np.array([0.02], np.float32)
    run = rnn.train(task, rate, 160, diagnose_every=0, save_every=1)
    moduli = moduli_of(run, x)
    at = 20
    view = rnn.forecast(run, at=at, optimizer=rate, x=x, ahead=60, after=1)
    seen = view.steps[view.steps < 80]
    assert len(seen) > 5
    np.testing.assert_allclose(np.abs(view.moduli[: len(seen), 0]), np.interp(seen, run.path.steps, moduli), rtol=0.02)
    np.testing.assert_allclose(view.losses[: len(seen)], np.interp(seen, np.arange(160), run.loss), rtol=0.02)
    frozen = rnn.forecast(run.model(at), rnn.Task(task.student, task.h0, classes, task.inputs, None, "cross_entropy",
                          run.readout(at)), at=at, optimizer=rate, x=x, ahead=60, after=1)  # fmt: skip
    assert abs(frozen.loss(seen[-1]) - view.loss(seen[-1])) > 0.05 * view.loss(seen[-1])


def test_the_followed_map_may_be_stroboscopic(trained):
    run, _ = trained
    period = np.zeros((6, 1), np.float32)
    period[0], period[3] = 0.3, -0.3
    view = rnn.forecast(run, at=40, optimizer=RATE, inputs=period, ahead=10)
    step = stroboscopic(run.model(40), period)
    point = rnn.trajectory(step, jnp.zeros((1, N), jnp.float32), 100)[0, -1]
    values = np.abs(np.linalg.eigvals(jax.jacfwd(step)(point)))
    assert view.multiplier(40) == pytest.approx(values.max(), rel=1e-4)


class Fed(rnn.VanillaRNN):
    """Takes no call without input."""

    def __call__(self, h, x):
        return jnp.tanh(self.weight @ h + x[0])


def test_inputs_that_do_not_fit(trained):
    run, _ = trained
    with pytest.raises(ValueError, match=r"x must have shape \(1,\) like the task's inputs, got \(2,\)"):
        rnn.forecast(run, x=np.zeros(2))
    with pytest.raises(ValueError, match=r"inputs must have shape \(period, 1\)"):
        rnn.forecast(run, inputs=np.zeros(3))
    with pytest.raises(ValueError, match="not both"):
        rnn.forecast(run, x=np.zeros(1), inputs=np.zeros((3, 1)))
    alone = rnn.student_teacher(0, size=8, batch=4, horizon=4)
    with pytest.raises(ValueError, match="this one has none"):
        rnn.forecast(alone.student, alone, x=np.zeros(1))
    twin = rnn.forecast(run, method="twin", optimizer=RATE)
    assert (twin.status, "without inputs" in twin.detail) == ("refused", True)
    task = run.task
    fed = rnn.Task(Fed(task.student.weight), task.h0, task.targets, task.inputs, readout=task.reader)
    view = rnn.forecast(fed.student, fed, optimizer=RATE)
    assert (view.status, "pass x=" in view.detail) == ("refused", True)
    assert rnn.forecast(fed.student, fed, optimizer=RATE, x=np.ones(1), ahead=5).status == "none ahead"


def test_the_stabilised_pair_against_exponentials():
    """``y' = −diag(d) (y − y_∞)`` with d from 1e-2 to 1e3; a classical pair takes five times the slopes."""
    d, end = np.geomspace(1e-2, 1e3, 9), np.linspace(-1, 1, 9)
    slope = lambda t, y: -d * (y - end)  # noqa: E731
    start = np.ones(9)
    counts, stiff = {}, []
    for kind in (Chebyshev, RK45):
        extra = {"first_step": 1e-3} if kind is Chebyshev else {}
        solver = kind(slope, 0.0, start, 30.0, rtol=1e-5, atol=1e-5 * np.ones(9), **extra)
        while solver.status == "running":
            before = solver.t
            solver.step()
            middle = (before + solver.t) / 2
            exact = end + (start - end) * np.exp(-d * middle)
            assert np.max(np.abs(solver.dense_output()(middle) - exact)) < 2e-3
            stiff.append(kind is RK45 and is_stiff(solver))
        counts[kind] = solver.nfev
        np.testing.assert_allclose(solver.y, end + (start - end) * np.exp(-30 * d), atol=1e-3)
    assert counts[Chebyshev] < counts[RK45] / 5
    assert np.mean(stiff[-500:]) > 0.5
    calm = RK45(lambda t, y: -y, 0.0, start, 5.0, rtol=1e-8, atol=1e-8 * np.ones(9))
    while calm.status == "running":
        calm.step()
        assert not is_stiff(calm)


def test_held_map_of_a_learner_is_that_of_held(trained):
    run, _ = trained
    x = np.array([0.4], np.float32)
    view = rnn.forecast(run, at=30, optimizer=RATE, x=x, ahead=10)
    step = held(run.model(30), x)
    point = rnn.trajectory(step, jnp.zeros((1, N), jnp.float32), 200)[0, -1]
    values = np.abs(np.linalg.eigvals(jax.jacfwd(step)(point)))
    assert view.multiplier(30) == pytest.approx(values.max(), rel=1e-4)
