"""Tasks with inputs, masks, losses and readouts; training on minibatches; the record of such runs."""

import json

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import rnn
from rnn.training import Folder

QUICK = {"save_every": 3, "diagnose_every": 0, "chunk": 10}


@pytest.fixture(autouse=True)
def _promotion():
    """Optax's own arithmetic mixes dtypes."""
    with jax.numpy_dtype_promotion("standard"):
        yield


SMALL = {
    "flip_flop": lambda **o: rnn.flip_flop(0, bits=2, size=8, batch=6, horizon=12, **o),
    "context_integration": lambda **o: rnn.context_integration(0, size=8, batch=6, horizon=12, **o),
    "sine": lambda **o: rnn.sine(0, size=8, batch=6, horizon=12, **o),
    "delayed_recall": lambda **o: rnn.delayed_recall(0, symbols=3, shown=2, delay=4, size=8, batch=6, **o),
    "adding": lambda **o: rnn.adding(0, size=8, batch=6, horizon=12, **o),
}


def plain(**options):
    rng = np.random.default_rng(0)
    model = rnn.VanillaRNN(jnp.asarray(rng.normal(size=(4, 4)) / 3), input_weight=jnp.asarray(rng.normal(size=(4, 2))))
    given = {"inputs": jnp.asarray(rng.normal(size=(6, 5, 2)))} | options
    targets = given.pop("targets", jnp.asarray(rng.normal(size=(6, 5, 3))))
    return rnn.Task(model, jnp.asarray(rng.normal(size=(6, 4))), targets, **given)


def test_the_target_of_a_flip_flop_is_the_sign_of_the_last_pulse():
    task = SMALL["flip_flop"]()
    x, y = np.asarray(task.inputs), np.asarray(task.targets)
    last = np.zeros((6, 2))
    for t in range(12):
        last = np.where(x[:, t] == 0, last, np.sign(x[:, t]))
        np.testing.assert_array_equal(y[:, t], last)
    assert np.all(x[:, 0] != 0)


def test_the_target_of_context_integration_is_the_running_sum_of_the_named_stream():
    task = SMALL["context_integration"]()
    x = np.asarray(task.inputs)
    named = np.where(x[..., 2] == 1, x[..., 0], x[..., 1])
    np.testing.assert_allclose(task.targets[..., 0], np.cumsum(named, axis=1) / 12, atol=1e-6)
    assert np.all(x[..., 2] + x[..., 3] == 1)
    assert np.all(x[:, :1, 2:] == x[..., 2:])


def test_a_cue_names_the_frequency_of_the_sine():
    task = SMALL["sine"](slow=0.2, fast=0.6)
    omega = 0.4 + 0.2 * np.asarray(task.inputs[:, 0, 0])
    np.testing.assert_allclose(task.targets[..., 0], np.sin(omega[:, None] * np.arange(1, 13)), atol=1e-5)


def test_what_was_shown_is_asked_for_after_the_delay():
    task = SMALL["delayed_recall"]()
    x, y = np.asarray(task.inputs), np.asarray(task.targets)
    assert task.horizon == 8
    np.testing.assert_array_equal(y[:, 6:], np.argmax(x[:, :2, :3], axis=2))
    np.testing.assert_array_equal(task.mask, np.broadcast_to([0] * 6 + [1] * 2, (6, 8)))
    np.testing.assert_array_equal(x[:, :, 3], task.mask)
    assert np.all(x[:, 2:, :3] == 0)


def test_the_answer_of_the_adding_problem_is_the_sum_of_the_marked():
    task = SMALL["adding"]()
    x = np.asarray(task.inputs)
    np.testing.assert_allclose(task.targets[:, -1, 0], np.sum(x[..., 0] * x[..., 1], axis=1), atol=1e-6)
    np.testing.assert_array_equal(x[:, :6, 1].sum(axis=1), 1)
    np.testing.assert_array_equal(x[:, 6:, 1].sum(axis=1), 1)
    assert np.all(np.asarray(task.mask[:, :-1]) == 0)


@pytest.mark.parametrize("name", SMALL)
def test_a_sampler_draws_what_the_task_holds_and_a_seed_means_one_task(name):
    task, again = SMALL[name](), SMALL[name]()
    for a, b in zip(task.batch, again.batch, strict=True):
        np.testing.assert_array_equal(a, b)
    drawn, other = task.sample(jax.random.key(1), 4), task.sample(jax.random.key(2), 4)
    for kept, fresh in zip(task.batch, drawn, strict=True):
        assert (kept is None) == (fresh is None)
        if kept is not None:
            assert fresh.shape == (4, *kept.shape[1:])
            assert fresh.dtype == kept.dtype
    assert not np.array_equal(drawn.inputs, other.inputs)


@pytest.mark.parametrize("cell", ["tanh(W@h+b)", "leaky", "gru", "lstm"])
def test_every_kind_of_cell_learns_a_flip_flop_from_minibatches(cell):
    task = rnn.flip_flop(1, bits=1, size=6, batch=8, horizon=6, cell=cell)
    run = rnn.train(task, optax.adam(0.03), 40, batch_size=8, **QUICK | {"chunk": 40})
    assert run.loss[-5:].mean() < 0.8 * run.loss[:5].mean()


def test_losses_are_their_formulas():
    rng = np.random.default_rng(1)
    y, target = rng.normal(size=(6, 5, 3)), rng.normal(size=(6, 5, 3))
    mask = rng.uniform(0, 1, (6, 5))
    task = plain(targets=jnp.asarray(target), mask=jnp.asarray(mask))
    expected = np.sum(mask * np.mean((y - target) ** 2, axis=2)) / mask.sum()
    np.testing.assert_allclose(task.compare(jnp.asarray(y), task.batch), expected, rtol=1e-13)
    logs = y - np.log(np.sum(np.exp(y), axis=2, keepdims=True))
    classes = rng.integers(0, 3, (6, 5))
    named = plain(targets=jnp.asarray(classes), loss="cross_entropy", readout=jnp.ones((3, 4)))
    expected = -np.mean(np.take_along_axis(logs, classes[..., None], axis=2))
    np.testing.assert_allclose(named.compare(jnp.asarray(y), named.batch), expected, rtol=1e-13)
    shares = plain(targets=jnp.asarray(np.eye(3)[classes]), loss="cross_entropy", readout=jnp.ones((3, 4)))
    np.testing.assert_allclose(shares.compare(jnp.asarray(y), shares.batch), expected, rtol=1e-13)
    own = plain(targets=jnp.asarray(target), loss=lambda output, wanted: jnp.max(jnp.abs(output - wanted)))
    np.testing.assert_allclose(own.compare(jnp.asarray(y), own.batch), np.mean(np.max(np.abs(y - target), axis=2)))


def test_the_loss_reads_what_the_readout_sees():
    readout = eqx.nn.Linear(4, 3, key=jax.random.key(0))
    task = plain(readout=readout)
    states = rnn.trajectory(task.student, task.h0, inputs=task.inputs)
    seen = states @ readout.weight.T + readout.bias
    np.testing.assert_allclose(task.loss(task.student), np.mean((seen - task.targets) ** 2), rtol=1e-12)
    matrix = plain(readout=readout.weight)
    np.testing.assert_allclose(matrix.read(task.student), states @ readout.weight.T, rtol=1e-12)
    assert plain().outputs == matrix.outputs == task.outputs == 3


def test_a_trained_readout_moves_and_a_fixed_one_does_not():
    readout = eqx.nn.Linear(4, 3, key=jax.random.key(0))
    moving = rnn.train(plain(readout=readout, train_readout=True), optax.sgd(0.1), 20, **QUICK)
    still = rnn.train(plain(readout=readout), optax.sgd(0.1), 20, **QUICK)
    assert not np.allclose(moving.readout(20).weight, readout.weight)
    np.testing.assert_array_equal(moving.readout(0).weight, readout.weight)
    np.testing.assert_array_equal(still.readout(20).weight, readout.weight)
    np.testing.assert_allclose(moving.task_at(16).loss(moving.model(16)), moving.loss[16], rtol=1e-12)
    np.testing.assert_allclose(still.task_at(16).loss(still.model(16)), still.loss[16], rtol=1e-12)


def test_minibatches_of_fixed_trajectories_take_each_once_an_epoch():
    """With a loss linear in the outputs, the losses of an epoch average to that of the whole."""
    task = plain(loss=lambda output, target: jnp.sum(output * target))
    run = rnn.train(task, optax.sgd(0.0), 12, batch_size=2, key=3, **QUICK)
    whole = float(task.loss(task.student))
    np.testing.assert_allclose(run.loss.reshape(4, 3).mean(axis=1), whole, rtol=1e-12)
    assert len(np.unique(np.round(run.loss, 12))) > 3  # another order in every epoch
    again = rnn.train(task, optax.sgd(0.0), 12, batch_size=2, key=4, **QUICK)
    assert not np.allclose(again.loss, run.loss)


@pytest.mark.parametrize("name", ["sampler", "fixed"])
def test_minibatch_runs_resume_to_the_bit(name, tmp_path):
    task = SMALL["flip_flop"]() if name == "sampler" else plain()
    optimizer = optax.adam(optax.cosine_decay_schedule(0.05, 40))
    options = QUICK | {"batch_size": 3, "diagnose_every": 5}
    whole = rnn.train(task, optimizer, 40, **options)
    rnn.train(task, optimizer, 20, out=tmp_path / "run", **options)
    again = rnn.train(task, optimizer, 40, out=tmp_path / "run", resume=True, **options)
    np.testing.assert_array_equal(again.loss, whole.loss)
    np.testing.assert_array_equal(again.path.parameters, whole.path.parameters)
    np.testing.assert_array_equal(again.diagnostics["stable_rank"], whole.diagnostics["stable_rank"])


def test_the_natural_gradient_takes_a_task_with_inputs_mask_and_classes(tmp_path):
    task = SMALL["delayed_recall"]()
    run = rnn.train(task, rnn.low_rank_natural_gradient(0.3), 60, **QUICK | {"chunk": 60})
    assert run.loss[-1] < run.loss[0]


def _cosine(steps):
    return optax.sgd(optax.cosine_decay_schedule(0.05, steps))


@pytest.mark.parametrize(
    ("first", "then"),
    [
        (_cosine(1000), _cosine(20)),
        (optax.sgd(0.05, momentum=0.9), optax.sgd(0.05, momentum=0.5)),
        (optax.sgd(0.05, momentum=0.9), optax.sgd(0.05)),
        (optax.sgd(0.05), optax.sgd(0.05, momentum=0.9)),
        (optax.adam(1e-2), optax.amsgrad(1e-2)),
        (
            optax.sgd(lambda k: jnp.asarray([0.1, 0.2], jnp.float32)[k % 2]),
            optax.sgd(lambda k: jnp.asarray([0.1, 0.3], jnp.float32)[k % 2]),
        ),
    ],
)
def test_another_optimizer_is_another_run(first, then, tmp_path):
    task = rnn.student_teacher(0, size=4, batch=3, horizon=3)
    rnn.train(task, first, 10, out=tmp_path / "run", **QUICK)
    with pytest.raises(rnn.RecordError, match="identity"):
        rnn.train(task, then, 20, out=tmp_path / "run", resume=True, **QUICK)
    assert rnn.train(task, first, 20, out=tmp_path / "run", resume=True, **QUICK).steps == 20


@pytest.mark.parametrize(
    "change",
    [
        {"mask": np.arange(5.0)},
        {"loss": lambda a, b: jnp.mean(jnp.abs(a - b))},
        {"inputs": np.ones((5, 2))},
        {"readout": jnp.ones((3, 4))},
    ],
    ids=lambda change: next(iter(change)),
)
def test_another_task_is_another_run(change, tmp_path):
    rnn.train(plain(), optax.sgd(0.01), 10, out=tmp_path / "run", **QUICK)
    with pytest.raises(rnn.RecordError, match="identity"):
        rnn.train(plain(**change), optax.sgd(0.01), 20, out=tmp_path / "run", resume=True, **QUICK)


def test_a_chunk_of_another_run_is_told_by_its_identity(tmp_path):
    task = rnn.student_teacher(0, size=4, batch=3, horizon=3)
    rnn.train(task, optax.sgd(0.1), 20, out=tmp_path / "a", **QUICK)
    rnn.train(task, optax.sgd(0.2), 20, out=tmp_path / "b", **QUICK)
    name = "chunk-00000010.npz"
    (tmp_path / "a" / name).write_bytes((tmp_path / "b" / name).read_bytes())
    with pytest.raises(rnn.RecordError, match="belongs to another run"):
        rnn.train(task, optax.sgd(0.1), 40, out=tmp_path / "a", resume=True, **QUICK)


def test_fewer_steps_than_are_recorded_are_refused(tmp_path):
    task = rnn.student_teacher(0, size=4, batch=3, horizon=3)
    rnn.train(task, steps=20, out=tmp_path / "run", **QUICK)
    with pytest.raises(rnn.RecordError, match="already holds 20 steps, more than steps=10"):
        rnn.train(task, steps=10, out=tmp_path / "run", resume=True, **QUICK)
    with pytest.raises(rnn.RecordError, match="already holds 20 steps"):
        rnn.train_all([task], steps=10, out=[tmp_path / "run"], resume=True, save_every=3, chunk=10)


def test_one_process_at_a_time_trains_in_a_folder(tmp_path):
    task = rnn.student_teacher(0, size=4, batch=3, horizon=3)
    rnn.train(task, steps=10, out=tmp_path / "run", **QUICK)
    with (
        Folder(tmp_path / "run").locked(),
        pytest.raises(rnn.RecordError, match="another process is training"),
    ):
        rnn.train(task, steps=20, out=tmp_path / "run", resume=True, **QUICK)
    assert rnn.train(task, steps=20, out=tmp_path / "run", resume=True, **QUICK).steps == 20


def test_files_of_similar_names_are_left_alone(tmp_path):
    (tmp_path / "chunk-data.npz").write_bytes(b"mine")
    task = rnn.student_teacher(0, size=4, batch=3, horizon=3)
    assert rnn.train(task, steps=10, out=tmp_path, **QUICK).steps == 10
    assert (tmp_path / "chunk-data.npz").read_bytes() == b"mine"
    (tmp_path / "run.json").unlink()
    with pytest.raises(rnn.RecordError, match=r"no run\.json"):
        rnn.train(task, steps=10, out=tmp_path, **QUICK)


def test_the_manifest_states_the_batch_size(tmp_path):
    rnn.train(plain(), optax.sgd(0.01), 10, batch_size=2, out=tmp_path / "run", **QUICK)
    assert json.loads((tmp_path / "run" / "run.json").read_text())["batch_size"] == 2
    with pytest.raises(rnn.RecordError, match=r"identity|batch_size"):
        rnn.train(plain(), optax.sgd(0.01), 20, batch_size=3, out=tmp_path / "run", resume=True, **QUICK)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: plain(loss="hinge"), "loss must be one of"),
        (lambda: plain(mask=np.ones((6, 4))), "mask must have shape"),
        (lambda: plain(mask=-np.ones(5)), "not negative"),
        (lambda: plain(inputs=np.ones((6, 4, 2))), "inputs must have shape"),
        (lambda: plain(targets=np.ones((5, 5, 3))), "targets must have shape"),
        (lambda: plain(train_readout=True), "train_readout needs a readout"),
        (lambda: rnn.train(plain(), optax.sgd(0.1), 5, batch_size=7), "exceeds the task's 6 trajectories"),
        (lambda: rnn.train(plain(), optax.sgd(0.1), 5, batch_size=0), "batch_size must be a positive integer"),
        (lambda: rnn.flip_flop(bits=0), "bits must be a positive integer"),
        (lambda: rnn.flip_flop(rate=2.0), "rate must lie"),
        (lambda: rnn.flip_flop(cell="elman"), "cell must be one of"),
        (lambda: rnn.sine(slow=0.5, fast=0.1), "frequencies must be"),
        (lambda: rnn.adding(horizon=1), "at least 2"),
    ],
)
def test_bad_input_is_named(call, says):
    with pytest.raises(ValueError, match=says):
        call()


def test_several_seeds_of_a_ready_task_train_together():
    tasks = [rnn.flip_flop(k, bits=1, size=5, batch=4, horizon=5) for k in range(2)]
    runs = rnn.train_all(tasks, optax.sgd(0.1), 6, save_every=3, chunk=6)
    for task, run in zip(tasks, runs, strict=True):
        alone = rnn.train(task, optax.sgd(0.1), 6, **QUICK)
        np.testing.assert_allclose(run.loss, alone.loss, rtol=1e-5)
        np.testing.assert_allclose(run.readout(6).weight, alone.readout(6).weight, rtol=1e-4, atol=1e-6)
