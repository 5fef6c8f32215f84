"""What the experiment must show, on a real run: that of the notebook."""

import json
import runpy
import shutil
import subprocess
import sys
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import rnn
from normalforms.report import save_figures
from rnn.models import with_bias
from rnn.studies.experiment import STUDY, training

NOTEBOOK = Path(__file__).parent.parent.parent.parent / "notebooks" / "figure1.py"


@pytest.fixture(scope="module")
def story():
    """The notebook of figure 1 at 1,000 steps: real training, made once."""
    with pytest.MonkeyPatch.context() as patch, jax.enable_x64(False):
        patch.setenv("NOTEBOOK_STEPS", "1000")
        return runpy.run_path(str(NOTEBOOK))["story"]


def test_teacher_has_nine_fixed_points_of_which_four_are_stable(story):
    assert len(story.teacher) == 9
    assert story.teacher.stable.sum() == 4
    assert story.teacher.index_sum == 1
    assert np.max(story.teacher.residuals) <= 1e-14
    assert np.max(story.teacher.certificate) <= 0.5


def test_first_event_is_a_localised_pitchfork_with_the_closed_form_coefficient(story):
    event = story.events[0]
    assert event.kind == "pitchfork"
    assert event.status == "localised"
    assert abs(event.multiplier - 1) <= 1e-10
    p, q = event.normal_form.adjoint_eigenvector, event.normal_form.critical_eigenvector
    assert event.normal_form.coefficients["c3"] == pytest.approx(-np.sum(p * q**3) / 3, abs=1e-8)


def test_loss_halves_and_stable_rank_collapses(story):
    before, after = story.loss_around(story.events[0])
    assert before / after >= 2
    assert story.rank.initial >= 10
    assert story.rank.minimum <= 1.25


def test_estimates_of_the_stable_rank_agree_with_the_exact_value(story):
    at = story.rank.minimum_step
    estimate = story.rank.value[np.argmin(np.abs(story.rank.step - at))]
    assert estimate == pytest.approx(story.rank.minimum, rel=0.02)
    assert np.all(story.rank.standard_error >= 0)


def test_diagnostics_along_the_run_are_exact_within_their_error(story):
    run, found = story.run, story.run.diagnostics
    for i in range(0, len(found["step"]), 2):
        model = with_bias(run.model(float(found["step"][i])))
        with jax.enable_x64(False):
            exact = float(rnn.sntk(model, run.task.h0, run.task.horizon).stable_rank(exact=True).value)
        assert abs(found["stable_rank"][i] - exact) <= min(4 * found["standard_error"][i], 0.025 * exact)


def test_dominant_direction_prediction_and_fit(story):
    found = story.restricted
    assert found.sweep.alignment >= 0.995
    assert found.sweep.parameter.min() == pytest.approx(0.8, abs=5e-3)
    assert found.sweep.parameter.max() == pytest.approx(1.2, abs=5e-3)
    assert found.prediction.r2() >= 0.98
    assert found.prediction.max_relative_error() <= 0.10
    assert found.fitted.kind == "pitchfork"
    assert found.fitted.r2 >= 0.999
    assert found.fitted.max_relative_error <= 0.05


def test_small_initial_states_are_predicted_by_the_cubic_normal_form(story):
    h0 = 0.05 * np.asarray(story.run.task.h0)
    sweep = rnn.restrict(story.events[0], h0=h0, count=21)
    prediction = rnn.predict(sweep)
    assert prediction.r2("cubic") > 0.98
    assert prediction.r2("cubic") > story.restricted.prediction.r2("cubic")
    assert prediction.max_relative_error("response") < 0.01


def test_amplification_is_the_derivative_of_the_trajectory(story):
    sweep = story.restricted.sweep
    k, eps = 40, 1e-5
    from rnn.models import Rebuild, flatten

    theta = np.asarray(flatten(sweep.event.model))
    states = [
        np.asarray(
            rnn.trajectory(
                Rebuild(sweep.event.model)(theta + (sweep.displacement[k] + side * eps) * sweep.direction),
                sweep.h0,
                sweep.horizon,
            )
        )
        for side in (1, -1)
    ]
    slope = (states[0] - states[1]) / (2 * eps)
    assert np.sum(slope**2) == pytest.approx(sweep.amplification[k], rel=1e-6)


def test_summary_is_json_and_report_is_self_contained(story, tmp_path):
    facts = STUDY.facts(story)
    assert json.loads(json.dumps(facts))["bifurcations"][0]["kind"] == "pitchfork"
    assert set(facts) == set(STUDY.keys)
    figures = STUDY.figures(story)
    assert set(figures) == {"figure1", "figure_bias"}
    page = STUDY.section(story, save_figures(tmp_path, figures))
    assert 'src="http' not in page
    assert "<math" in page
    assert "There is no pitchfork" in page
    assert STUDY.headline(story)[0].startswith("pitchfork at step ")
    assert STUDY.headline(story)[1].startswith("loss ")


def test_bias_turns_the_pitchfork_into_a_fold(story):
    assert story.events[0].kind == "pitchfork"
    bias = story.bias
    assert bias.events[0].kind == "saddle_node"
    assert all(event.kind != "pitchfork" for event in bias.events)
    assert bias.distance > 0.1
    assert bias.share > 0.9


def test_the_readout_alone_shows_no_collapse(story):
    run = story.run
    full = rnn.sntk(with_bias(run.model(0)), run.task.h0, run.task.horizon)
    read = rnn.sntk(with_bias(run.model(0)), run.task.h0, run.task.horizon, readout=lambda h: h[:2])
    assert float(full.stable_rank().value) > 10
    assert float(read.stable_rank().value) < 3


def test_the_sharpest_collapse_is_one_trajectory(story):
    run, shares = story.run, {}
    for step in (story.events[0].step, story.rank.minimum_step):
        kernel = rnn.sntk(with_bias(run.model(step)), run.task.h0, run.task.horizon)
        y = np.asarray(kernel.jvp(kernel.leading(1, tolerance=1e-3).vectors[0]))
        shares[step] = np.sum(y**2, axis=(1, 2)) / np.sum(y**2)
    crossing, smallest = shares.values()
    assert 1 / np.sum(crossing**2) > 200  # of 256: the whole batch takes part
    assert np.max(smallest) > 0.8
    values, vectors = np.linalg.eig(np.asarray(run.model(story.rank.minimum_step).weight, np.float64).T)
    p = np.real(vectors[:, np.argmax(np.abs(values))])
    distance = np.abs(np.tanh(np.asarray(run.task.h0)) @ p)
    assert np.argmax(smallest) == np.argmin(distance)


def test_prediction_improves_rung_by_rung(story):
    prediction = story.restricted.prediction
    errors = [prediction.max_relative_error(rung) for rung in ("cubic", "scalar", "response")]
    assert errors[0] > 0.3
    assert errors[1] < 0.15
    assert errors[2] < 0.02


def test_prediction_fails_without_a_spectral_gap(story):
    assert story.control.sweep.gap > 0.85
    good, bad = story.restricted.prediction, story.control.prediction
    assert bad.max_relative_error("scalar") > 2 * good.max_relative_error("scalar")
    assert jnp.isfinite(bad.r2())


def test_resumed_training_is_bit_identical(tmp_path):
    task = rnn.student_teacher(3, size=16, batch=32, horizon=8)
    options = {"diagnose_every": 20, "chunk": 40, "save_every": 10}
    whole = rnn.train(task, steps=120, **options)

    class StopError(Exception):
        pass

    def stop(progress):
        if progress.step == 80:
            raise StopError

    with pytest.raises(StopError):
        rnn.train(task, steps=120, out=tmp_path / "run", progress=stop, **options)
    again = rnn.train(task, steps=120, out=tmp_path / "run", resume=True, **options)
    np.testing.assert_array_equal(whole.loss, again.loss)
    np.testing.assert_array_equal(whole.path.parameters, again.path.parameters)
    np.testing.assert_array_equal(whole.diagnostics["stable_rank"], again.diagnostics["stable_rank"])


def test_a_run_folder_is_never_overwritten(tmp_path):
    task = rnn.student_teacher(3, size=8, batch=8, horizon=4)
    options = {"diagnose_every": 0, "chunk": 20, "save_every": 10}
    rnn.train(task, steps=40, out=tmp_path, **options)
    with pytest.raises(rnn.RecordError, match="resume=True"):
        rnn.train(task, steps=40, out=tmp_path, **options)
    with pytest.raises(rnn.RecordError, match="identity"):
        rnn.train(rnn.student_teacher(4, size=8, batch=8, horizon=4), steps=40, out=tmp_path, resume=True, **options)
    (tmp_path / "chunk-00000020.npz").write_bytes(b"half")
    with pytest.raises(rnn.RecordError, match="damaged"):
        rnn.train(task, steps=40, out=tmp_path, resume=True, **options)


def test_files_of_others_in_a_run_folder_are_left_alone(tmp_path):
    (tmp_path / "chunk-data.npz").write_bytes(b"mine")
    task = rnn.student_teacher(3, size=8, batch=8, horizon=4)
    options = {"diagnose_every": 0, "chunk": 20, "save_every": 10, "out": tmp_path}
    assert rnn.train(task, steps=20, **options).steps == 20
    assert rnn.train(task, steps=40, resume=True, **options).steps == 40
    assert (tmp_path / "chunk-data.npz").read_bytes() == b"mine"


def test_a_second_process_in_a_run_folder_is_told_and_spoils_nothing(tmp_path):
    task = rnn.student_teacher(3, size=8, batch=8, horizon=4)
    options = {"diagnose_every": 0, "chunk": 20, "save_every": 10, "out": tmp_path, "resume": True}

    def other(progress):
        if progress.step == 20:  # it was there when this run began, and goes on faster
            rnn.train(task, steps=40, **options)

    with pytest.raises(rnn.RecordError, match="another process"):
        rnn.train(task, steps=60, progress=other, **options)
    whole = rnn.train(task, steps=60, diagnose_every=0, chunk=20, save_every=10)
    np.testing.assert_array_equal(rnn.train(task, steps=60, **options).loss, whole.loss)
    assert not list(tmp_path.glob(".*.part"))


def test_divergence_says_where():
    import optax

    task = rnn.student_teacher(3, size=8, batch=8, horizon=4)
    with pytest.raises(rnn.DivergedError, match="step"):
        rnn.train(task, optax.sgd(1e30), steps=40, diagnose_every=0, chunk=20)


def test_training_beside_runs_no_file_of_the_current_folder_and_its_error_is_ours(tmp_path, monkeypatch):
    here = tmp_path / "here"
    here.mkdir()
    for name in ("rnn", "random", "optax", "normalforms", "sitecustomize"):
        (here / f"{name}.py").write_text("open('RAN', 'w').close()\n")
    monkeypatch.chdir(here)
    monkeypatch.setenv("PYTHONPATH", str(here))
    out = tmp_path / "run"
    with training(0, 10, out) as beside:
        shutil.rmtree(out)
        out.write_text("in the way")
        with pytest.raises(rnn.RecordError, match="cannot write to"):
            beside.wait()
    assert not (here / "RAN").exists()


def test_training_beside_ends_with_its_parent(tmp_path):
    code = (
        "import sys, time\nfrom pathlib import Path\nfrom rnn.studies.experiment import training\n"
        "with training(0, 10**6, Path(sys.argv[1])) as beside:\n"
        "    print(beside.pid, flush=True)\n    time.sleep(600)\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "run")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        assert running(child)
        parent.kill()
    deadline = time.monotonic() + 120
    while running(child) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not running(child)


def running(pid):
    """Whether a process is there and no mere entry that nobody has fetched."""
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False).stdout
    return bool(state.strip()) and not state.startswith("Z")
