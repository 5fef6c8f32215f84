"""Forecasts against trainings: crossings of every kind, statuses, and what each method rests on."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import rnn
from rnn.approach import settle
from rnn.forecasting import passage
from rnn.forecasting.flow import loss_and_slope, real_steps
from rnn.forecasting.optimizer import HeavyBall, read_optimizer
from rnn.forecasting.twin import krylov, sharpness, twin_of
from rnn.models import flatten, partition

RATE = 0.05
N = 16


def task_of(block, *, size=N, gain=0.4, seed=0, form="W@tanh(h)+b"):
    """A student of a teacher whose multipliers at the origin are those of ``block``."""
    rng = np.random.default_rng(seed)
    weight = rng.normal(size=(size, size))
    weight *= gain / np.abs(np.linalg.eigvals(weight)).max()
    teacher = np.zeros((size, size))
    r = len(block)
    teacher[:r, :r] = block
    h0 = np.zeros((24, size))
    h0[:, :r] = rng.uniform(-1.5, 1.5, (24, r))
    if form != "W@tanh(h)+b":
        h0 = np.tanh(h0)
    models = [rnn.VanillaRNN(jnp.asarray(w, jnp.float32), None, form) for w in (weight, teacher)]
    h0 = jnp.asarray(h0, jnp.float32)
    targets = rnn.trajectory(models[1], h0, 12)[..., :r]
    return rnn.Task(student=models[0], h0=h0, targets=targets, teacher=models[1])


def turn(angle, size):
    c, s = np.cos(angle), np.sin(angle)
    return size * np.array([[c, -s], [s, c]])


CASES = {
    "steady": np.diag([1.5, 0.4]),
    "period_doubling": np.diag([-1.5, 0.3]),
    "neimark_sacker": turn(0.9, 1.4),
}


@pytest.fixture(scope="module")
def trained():
    """Runs on the three tasks, every step saved, and the steps of their crossings."""
    found = {}
    for kind, block in CASES.items():
        task = task_of(block)
        run = rnn.train(task, optax.sgd(RATE), 260, diagnose_every=0, save_every=1)
        moduli = np.array([np.abs(np.linalg.eigvals(w.reshape(N, N))).max() for w in run.path.parameters])
        found[kind] = run, moduli, passage(run.path.steps, moduli)
    return found


@pytest.mark.parametrize("kind", CASES)
def test_flow_foresees_each_kind_of_crossing(trained, kind):
    run, moduli, true = trained[kind]
    view = rnn.forecast(run, at=0, optimizer=optax.sgd(RATE), after=20)
    assert (view.status, view.kind) == ("ok", kind)
    assert view.crossing == pytest.approx(true, abs=0.7)
    assert abs(view.crossing - true) <= view.error
    assert view.cost.gradients <= 150
    middle = 0.6 * true
    assert view.multiplier(middle) == pytest.approx(np.interp(middle, run.path.steps, moduli), rel=0.05)
    assert view.loss(middle) == pytest.approx(np.interp(middle, np.arange(260), run.loss), rel=0.05)
    assert np.isnan(view.loss(-1.0))
    late = rnn.forecast(run, at=int(true) - 6, optimizer=optax.sgd(RATE))
    assert late.crossing == pytest.approx(true, abs=0.05)  # real steps


@pytest.mark.parametrize("kind", CASES)
def test_twin_foresees_each_kind_of_crossing(trained, kind):
    run, _, true = trained[kind]
    view = rnn.forecast(run, at=0, method="twin", size=14, optimizer=optax.sgd(RATE))
    assert (view.status, view.kind) == ("ok", kind)
    assert view.crossing == pytest.approx(true, rel=0.04)
    assert abs(view.crossing - true) <= view.error
    assert view.path.model(0).weight.shape == (14, 14)
    assert view.cost.gradients == 0 < view.cost.small


@pytest.mark.parametrize("kind", CASES)
def test_law_foresees_each_kind_of_crossing(trained, kind):
    run, moduli, true = trained[kind]
    at = int(np.argmax(moduli > 0.65))
    view = rnn.forecast(run, at=at, method="law", optimizer=optax.sgd(RATE))
    assert (view.status, view.kind) == ("ok", kind)
    assert view.crossing == pytest.approx(true, abs=0.5)
    assert abs(view.crossing - true) <= view.error
    assert view.cost.gradients == 4
    assert view.multiplier(view.crossing) == pytest.approx(1, abs=0.02)
    assert view.multiplier(at) == pytest.approx(moduli[at], rel=1e-5)


def test_law_refuses_what_it_does_not_hold_for(trained):
    run, _, _ = trained["steady"]
    early = rnn.forecast(run, at=0, method="law")
    assert (early.status, "mix" in early.detail, np.isnan(early.crossing)) == ("refused", True, True)
    meeting = rnn.VanillaRNN(jnp.asarray(np.diag([0.7, -0.69, *[0.1] * 14]), jnp.float32))
    lost = rnn.forecast(meeting, task_of(np.diag([1.1, -1.8])), method="law", optimizer=optax.sgd(RATE))
    assert (lost.status, "two modes meet" in lost.detail) == ("refused", True)


def test_the_other_convention_is_forecast_alike():
    one, other = task_of(CASES["steady"]), task_of(CASES["steady"], form="tanh(W@h+b)")
    for method, size in (("flow", None), ("twin", 10)):
        task = other
        run = rnn.train(task, optax.sgd(2 * RATE), 160, diagnose_every=0, save_every=1)
        moduli = np.array([np.abs(np.linalg.eigvals(w.reshape(N, N))).max() for w in run.path.parameters])
        true = passage(run.path.steps, moduli)
        view = rnn.forecast(run, at=0, method=method, size=size, optimizer=optax.sgd(2 * RATE))
        assert view.crossing == pytest.approx(true, rel=0.05)
    assert one.student.form != other.student.form


@pytest.mark.parametrize("momentum", [0.5, 0.9])
def test_momentum_has_a_flow_of_its_own(momentum):
    task = task_of(CASES["steady"])
    ball = optax.sgd(RATE * (1 - momentum), momentum=momentum)
    run = rnn.train(task, ball, 260, diagnose_every=0, save_every=1)
    moduli = np.array([np.abs(np.linalg.eigvals(w.reshape(N, N))).max() for w in run.path.parameters])
    true = passage(run.path.steps, moduli)
    for at in (0, int(np.argmax(moduli > 0.6))):
        assert rnn.forecast(run, at=at, optimizer=ball).crossing == pytest.approx(true, abs=1.0)
        assert rnn.forecast(run, at=at, method="twin", size=14, optimizer=ball).crossing == pytest.approx(
            true, rel=0.04
        )


def test_optimizers_are_read_from_what_they_do():
    task = task_of(CASES["steady"])
    parameters = partition(task.student)[0]
    read = lambda tx: read_optimizer(tx, task, parameters)  # noqa: E731
    assert read(optax.sgd(0.01)).rate == pytest.approx(0.01)
    ball = read(optax.sgd(0.02, momentum=0.8))
    assert (ball.rate, ball.momentum) == (pytest.approx(0.02), pytest.approx(0.8))
    assert ball.effective == pytest.approx(0.1)
    with jax.numpy_dtype_promotion("standard"):  # Optax's own arithmetic mixes dtypes
        for tx in (optax.adam(1e-3), optax.sgd(optax.exponential_decay(0.1, 2, 0.5)), optax.sign_sgd(0.1)):
            assert "flow is not known" in read(tx)
        refused = rnn.forecast(task.student, task, optimizer=optax.adam(1e-3))
    assert refused.status == "refused"
    assert "optimizer" in refused.detail


def test_no_crossing_ahead_says_what_the_loss_wants():
    task = task_of(np.diag([0.8, 0.3]))
    run = rnn.train(task, optax.sgd(RATE), 400, diagnose_every=0, save_every=20)
    view = rnn.forecast(run, at=0, optimizer=optax.sgd(RATE), ahead=600)
    assert view.status == "none ahead"
    assert np.isnan(view.crossing)
    assert "multiplier comes to 0.7" in view.detail or "multiplier comes to 0.8" in view.detail
    short = rnn.forecast(run, at=400, method="law", optimizer=optax.sgd(RATE))
    assert short.status == "none ahead"
    assert "the loss wants the multiplier at 0.8" in short.detail
    small = rnn.forecast(run, at=0, method="twin", size=10, optimizer=optax.sgd(RATE), ahead=300)
    assert small.status == "none ahead"


def test_a_run_past_its_crossing(trained):
    run, _, true = trained["steady"]
    for method in ("flow", "law", "twin"):
        view = rnn.forecast(run, at=int(true) + 20, method=method, size=10, optimizer=optax.sgd(RATE), ahead=60)
        assert view.status == "past"
        assert "beyond 1" in view.detail
        assert np.isnan(view.crossing)


class Drift(rnn.VanillaRNN):
    """``h' = h + W h + 1`` has a fixed point only while W is regular."""

    def __call__(self, h):
        return h + 1.0

    def jacobian(self, h):
        return jnp.eye(h.shape[0], dtype=h.dtype)


def test_other_faults_are_a_status_with_a_sentence(trained):
    task = task_of(CASES["steady"])
    lost = rnn.forecast(Drift(task.student.weight), task)
    assert (lost.status, "no fixed point" in lost.detail) == ("refused", True)
    wild = rnn.forecast(task.student, task, optimizer=optax.sgd(50.0))
    assert (wild.status, "raises the loss" in wild.detail) == ("diverging", True)
    burst = rnn.forecast(task.student, task, method="twin", size=10, optimizer=optax.sgd(50.0), ahead=200)
    assert burst.status in ("diverging", "none ahead")
    gate = rnn.GRU(jnp.zeros((48, N), jnp.float32), jnp.zeros(48, jnp.float32), jnp.zeros(N, jnp.float32))
    gated = rnn.Task(student=gate, h0=task.h0, targets=task.targets)
    assert "vanilla" in rnn.forecast(gate, gated, method="twin").detail
    scored = rnn.Task(student=task.student, h0=task.h0, targets=task.targets, mask=jnp.ones(12, jnp.float32))
    assert "without inputs or mask" in rnn.forecast(task.student, scored, method="twin").detail
    reader = jnp.eye(N, dtype=jnp.float32)[:2]
    learnt = rnn.Task(task.student, task.h0, task.targets, readout=reader, train_readout=True)
    assert "read-outs" in rnn.forecast(task.student, learnt, method="twin").detail
    wide = rnn.Task(student=task.student, h0=task.h0 + 1.0, targets=task.targets)
    assert "initial states" in rnn.forecast(task.student, wide, method="twin").detail


def test_a_strong_bulk_is_flagged():
    task = rnn.student_teacher(1, gain=0.9)  # a real leading multiplier, of the bulk
    view = rnn.forecast(task.student, task, method="law")
    assert view.status == "refused"
    assert "overlap with the read-out" in view.detail
    twin = rnn.forecast(task.student, task, method="twin", ahead=60, after=1)
    assert twin.status != "ok"
    crowded = rnn.VanillaRNN(jnp.asarray(np.diag([0.85, 0.8, *[0.1] * 14]), jnp.float32))
    seen = rnn.forecast(crowded, task_of(CASES["steady"]), method="law", optimizer=optax.sgd(RATE))
    assert seen.status == "flagged"
    assert "more than one mode" in seen.detail


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"method": "guess"}, "method"),
        ({"task": None}, "task"),
        ({"ahead": 0}, "ahead"),
        ({"after": -2}, "after"),
        ({"size": 1}, "size"),
        ({"source": 3.0}, "run or a model"),
    ],
)
def test_bad_input(options, words):
    task = task_of(CASES["steady"])
    given = {"source": task.student, "task": task} | options
    with pytest.raises(ValueError, match=words):
        rnn.forecast(given.pop("source"), given.pop("task"), **given)


def test_a_step_outside_the_run(trained):
    with pytest.raises(ValueError, match="outside the run"):
        rnn.forecast(trained["steady"][0], at=261)


def test_krylov_basis_is_orthonormal_and_begins_with_its_seeds():
    weight = np.random.default_rng(0).normal(size=(20, 20)) / 5
    seeds = np.eye(20)[:, :2]
    U = krylov(weight, seeds, 14)
    np.testing.assert_allclose(U.T @ U, np.eye(14), atol=1e-12)
    np.testing.assert_allclose(U[:, :2], seeds, atol=1e-14)
    images = np.concatenate([weight @ seeds, weight.T @ seeds], axis=1)
    np.testing.assert_allclose(U @ (U.T @ images), images, atol=1e-12)


def test_descent_on_a_linear_bulk_commutes_with_the_basis():
    """The whole Krylov basis, as large as the network, changes no loss: the twin is the same network, turned."""
    task = task_of(CASES["steady"], size=8)
    small, U = twin_of(task, task.student, 8)
    plain = rnn.Task(
        student=type(small.student)(task.student.weight, None, task.student.form, 2), h0=task.h0, targets=task.targets
    )
    turned = rnn.Task(small.student, small.h0, small.targets)
    assert float(small.loss(small.student)) == pytest.approx(float(turned.loss(small.student)), rel=1e-5)
    turned = real_steps(small, np.asarray(flatten(small.student)), HeavyBall(RATE, 0.0), 60)
    direct = real_steps(plain, np.asarray(flatten(plain.student)), HeavyBall(RATE, 0.0), 60)
    assert U.shape == (8, 8)
    np.testing.assert_allclose(turned.losses, direct.losses, rtol=1e-4)
    with np.errstate(all="raise"):
        np.testing.assert_allclose(
            U @ turned.parameters[-1].reshape(8, 8) @ U.T, direct.parameters[-1].reshape(8, 8), atol=1e-4
        )


def test_sharpness_is_the_top_of_the_hessian():
    task = task_of(CASES["steady"], size=6)
    flat = flatten(task.student)
    hessian = jax.jacfwd(lambda p: loss_and_slope(task, p)[1])(flat)
    assert sharpness(task, np.asarray(flat)) == pytest.approx(
        np.linalg.eigvalsh(np.asarray(hessian, float))[-1], rel=0.02
    )


def test_flow_counts_the_lag_of_descent():
    """Without the half logarithm of the speed's growth the flow is early by as much."""
    run_task = task_of(CASES["steady"], gain=0.2)
    steps = real_steps(run_task, np.asarray(flatten(run_task.student)), HeavyBall(2 * RATE, 0.0), 140)
    moduli = np.array([np.abs(np.linalg.eigvals(w.reshape(N, N))).max() for w in steps.parameters])
    true = passage(np.arange(140.0), moduli)
    view = rnn.forecast(run_task.student, run_task, optimizer=optax.sgd(2 * RATE), ahead=300, after=1)
    speeds = [np.linalg.norm(loss_and_slope(run_task, jnp.asarray(steps.parameters[int(k)]))[1]) for k in (0, true)]
    lag = 0.5 * np.log(speeds[1] / speeds[0])
    assert lag > 0.3
    assert abs(view.crossing - true) < 0.5 * lag


def test_a_trained_bias_drives_the_followed_point_into_a_fold():
    """Two branches of ``h' = 1.5 tanh h + b + …``; the teacher's bias leaves only the upper one."""
    rng = np.random.default_rng(0)
    weight = 0.05 * rng.normal(size=(8, 8))
    weight[0, 0] = 1.5
    h0 = np.zeros((24, 8))
    h0[:, :2] = rng.uniform(-1.5, -0.3, (24, 2))
    h0 = jnp.asarray(h0, jnp.float32)
    student, teacher = (
        rnn.VanillaRNN(jnp.asarray(weight, jnp.float32), jnp.asarray([b, *[0] * 7], jnp.float32)) for b in (0.0, 0.2)
    )
    task = rnn.Task(student, h0, rnn.trajectory(teacher, h0, 12)[..., :2])
    rate = optax.sgd(0.002)
    run = rnn.train(task, rate, 80, diagnose_every=0, save_every=1)
    point = lower = settle(student, np.array([-1.0, *[0] * 7]), np.float32)[0]
    for fold in range(80):
        after, _, residual = settle(run.model(fold), point, np.float32)
        if residual > 1e-3 or np.linalg.norm(after - point) > 0.3:
            break
        point = after
    assert 40 < fold < 70
    view = rnn.forecast(run, at=0, optimizer=rate, point=lower)
    assert (view.status, view.kind, "fold" in view.detail) == ("ok", "steady", True)
    assert abs(view.crossing - fold) <= view.error
