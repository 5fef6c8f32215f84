"""Several students at once, each as if it were alone."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rnn import DivergedError, RecordError, student_teacher, train, train_all

OPTIONS = {"steps": 6, "save_every": 2, "chunk": 3}


def task(seed, **options):
    return student_teacher(seed, **{"size": 4, "batch": 8, "horizon": 3, "dtype": jnp.float64} | options)


def test_every_run_is_that_of_its_task_alone():
    seen = []
    together = train_all([task(0), task(1)], progress=seen.append, **OPTIONS)
    for seed, run in enumerate(together):
        alone = train(task(seed), diagnose_every=0, **OPTIONS)
        np.testing.assert_allclose(run.loss, alone.loss, rtol=1e-13)
        np.testing.assert_allclose(run.path.parameters, alone.path.parameters, rtol=1e-12, atol=1e-15)
        np.testing.assert_array_equal(run.path.steps, alone.path.steps)
        assert run.diagnostics == {}
        assert eqx.tree_equal(run.task, task(seed))
    assert np.ptp([run.loss[0] for run in together]) > 0
    assert [(p.step, p.steps) for p in seen] == [(3, 6), (6, 6)]
    assert seen[-1].loss == pytest.approx(np.mean([run.loss[-1] for run in together]))


def test_runs_are_taken_up_where_all_of_them_have_come(tmp_path):
    tasks, out = [task(0), task(1)], [tmp_path / "0", tmp_path / "1"]
    straight = train_all(tasks, **OPTIONS)
    train_all(tasks, out=out, **OPTIONS)
    (out[1] / "chunk-00000003.npz").unlink()
    with pytest.raises(RecordError, match="resume=True"):
        train_all(tasks, out=out, **OPTIONS)
    seen = []
    again = train_all(tasks, out=out, resume=True, progress=seen.append, **OPTIONS)
    assert [(p.step, p.resumed) for p in seen] == [(6, 3)]
    for k, run in enumerate(straight):
        for other in (again[k], train(tasks[k], out=out[k], resume=True, diagnose_every=0, **OPTIONS)):
            np.testing.assert_array_equal(other.loss, run.loss)
            np.testing.assert_array_equal(other.path.parameters, run.path.parameters)


def test_runs_of_unlike_stretches_are_refused(tmp_path):
    tasks, out = [task(0), task(1)], [tmp_path / "0", tmp_path / "1"]
    for k, steps in enumerate((3, 1)):
        train(tasks[k], out=out[k], diagnose_every=0, **OPTIONS | {"steps": steps})
    with pytest.raises(RecordError, match="unlike stretches"):
        train_all(tasks, out=out, resume=True, **OPTIONS)


def test_a_run_that_diverges_is_named():
    bad = eqx.tree_at(lambda t: t.h0, task(1), jnp.full((8, 4), jnp.nan))
    with pytest.raises(DivergedError, match=r"tasks\[1\] is nan at step 0"):
        train_all([task(0), bad], **OPTIONS)


@pytest.mark.parametrize("other", [{"size": 5}, {"dtype": jnp.float32}, {"bias": "trained"}, {"form": "tanh(W@h+b)"}])
def test_tasks_that_differ_are_named(other):
    with pytest.raises(ValueError, match=r"tasks\[1\] differs from tasks\[0\]"):
        train_all([task(0), task(1, **other)], **OPTIONS)


@pytest.mark.parametrize(
    ("tasks", "options", "message"),
    [
        (0, {}, "tasks must be at least one"),
        (1, {"steps": 0}, "steps must be a positive integer"),
        (1, {"save_every": 1.5}, "save_every must be a positive integer"),
        (1, {"chunk": True}, "chunk must be a positive integer"),
        (2, {"out": ["a"]}, "out must name a folder of its own for each of 2 tasks, got 1"),
        (2, {"out": ["a", "a"]}, "out must name a folder of its own"),
        (1, {"devices": []}, "devices must be one or more different devices"),
        (1, {"devices": jax.local_devices()[:1] * 2}, "devices must be one or more different devices"),
    ],
)
def test_bad_input_is_named(tasks, options, message):
    with pytest.raises(ValueError, match=message):
        train_all([task(0)] * tasks, **OPTIONS | options)
