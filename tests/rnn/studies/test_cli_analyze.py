"""``normalforms analyze`` on weights with known fixed points."""

import json

import jax
import numpy as np
import pytest

from normalforms.cli.main import main
from rnn import sntk


def weights(tmp_path, gains):
    """Two uncoupled neurons ``h' = tanh(g h)`` and ``h' = tanh(h/2)``: a pitchfork at g = 1."""
    paths = []
    for k, gain in enumerate(gains):
        paths.append(str(tmp_path / f"w{k}.npz"))
        np.savez(paths[-1], weight_hh=np.diag([gain, 0.5]))
    return paths


def test_a_path_of_checkpoints_shows_its_pitchfork(tmp_path, capsys):
    out = tmp_path / "out"
    with jax.enable_x64(False):
        assert main(["analyze", *weights(tmp_path, [0.8, 1.1, 1.5]), "--out", str(out), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert [m["fixed_points"] for m in facts["models"]] == [1, 3]
    assert [m["stable"] for m in facts["models"]] == [1, 2]
    (event,) = facts["bifurcations"]
    assert event["kind"] == "pitchfork"
    assert event["step"] == pytest.approx(2 / 3, abs=1e-7)
    assert facts["steps"] == [0, 1, 2]
    assert facts["read"]["assumed"] == ["tanh, which the file does not say (activation= does)"]
    first = (out / "report.html").read_text().partition("</h1>")[2]
    assert first.strip().startswith('<p class="lead">1 → 3 fixed points, 1 → 2 stable; by pitchfork at step 0.666667;')
    (kernel,) = facts["kernels"]
    assert kernel["refused"] is None
    assert kernel["r2"] > 0.99
    assert kernel["status"] == "separated"
    assert facts == json.loads((out / "summary.json").read_text())
    for name in ("report.html", "figures/analysis.png", "figures/analysis.svg", "figures/kernels.svg"):
        assert (out / name).stat().st_size > 0
    assert 'src="http' not in (out / "report.html").read_text()


def test_a_folder_is_read_in_natural_order_its_steps_from_the_names_and_odd_files_are_named(tmp_path, capsys):
    folder = tmp_path / "run"
    folder.mkdir()
    for step in (0, 100, 20, 200):  # a shell would put 100 before 20
        np.savez(folder / f"step_{step}.npz", weight_hh=np.diag([0.8 + step / 500, 0.5]))
    (folder / "step_120.npz").write_bytes(b"half")
    (folder / "log.txt").write_text("mine")
    out = tmp_path / "out"
    with jax.enable_x64(False):
        assert main(["analyze", str(folder), "--activation", "tanh", "--out", str(out), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["steps"] == [0, 20, 100, 200]
    assert facts["steps_source"] == "the files' names"
    assert [event["kind"] for event in facts["bifurcations"]] == ["pitchfork"]
    assert facts["bifurcations"][0]["step"] == pytest.approx(100, abs=1e-5)
    assert [name.endswith("step_120.npz") for name in facts["skipped"]] == [True]
    assert facts["read"]["assumed"] == []
    assert [row["step"] for row in facts["stable_rank"]] == [0, 20, 100, 200]
    assert "step_120.npz" in (out / "report.html").read_text()


def test_a_sweep_of_held_inputs_finds_the_fold(tmp_path, capsys):
    # h' = tanh(1.5 h + x): two of three fixed points meet where the slope 1.5 (1 − h²) is 1
    np.savez(tmp_path / "w.npz", weight_hh=[[1.5]], weight_ih=[[1.0]])
    np.save(tmp_path / "x.npy", np.linspace(0, 0.4, 5)[:, None])
    with jax.enable_x64(False):
        arguments = [str(tmp_path / "w.npz"), "--activation", "tanh", "--inputs", str(tmp_path / "x.npy")]
        assert main(["analyze", *arguments, "--out", str(tmp_path / "out"), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert [m["fixed_points"] for m in facts["models"]] == [3, 1]
    (event,) = facts["bifurcations"]
    h = np.sqrt(1 / 3)
    assert event["kind"] == "saddle_node"
    assert 0.1 * event["step"] == pytest.approx(1.5 * h - np.arctanh(h), abs=1e-6)


def test_one_set_of_weights_is_enough_and_devices_share_its_kernel(tmp_path, capsys, monkeypatch):
    kernels = []
    monkeypatch.setattr(
        "rnn.studies.analysis.study.sntk",
        lambda *args, **options: kernels.append(sntk(*args, **options)) or kernels[-1],
    )
    with jax.enable_x64(False):
        assert main(["analyze", *weights(tmp_path, [1.5]), "--devices", "1", "--out", str(tmp_path / "out")]) == 0
    assert "3 fixed points, 2 stable" in capsys.readouterr().out
    assert [list(kernel.mesh.devices) for kernel in kernels] == [jax.local_devices()[:1]]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere.npz"], "no file"),
        (["w0.npz", "--cell", "elman"], "cell must be one of"),
        (["w0.npz", "--horizon", "0"], "horizon must be a positive integer"),
        (["w0.npz", "other.npz"], "differs from"),
        (["nothing*.npz"], "no file matches"),
        (["w0.npz", "--activation", "gelu"], "activation must be one of"),
        (["w0.npz", "--input", "1,2"], "x must have shape"),
        (["w0.npz", "--input", "one"], "must be numbers"),
        (["w0.npz", "--states", "w0.npz"], "cannot be read"),
        (["w0.npz", "--inputs", "none.npy"], "cannot be read"),
        (["w0.npz", "--devices", "9999"], "9999 devices were asked for"),
        (["w0.npz", "--devices", "0"], "devices must be a positive integer"),
        (["w0.npz", "--devices", "two"], "invalid int value"),
    ],
)
def test_bad_input_is_one_line_and_writes_nothing(tmp_path, capsys, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    weights(tmp_path, [0.8])
    np.savez(tmp_path / "other.npz", weight_hh=np.eye(3))
    assert main(["analyze", *arguments, "--json"]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert message in line
    assert not (tmp_path / "analysis").exists()


def test_a_dollar_in_a_file_name_is_no_formula_and_a_name_need_not_be_text(tmp_path, capsys):
    path = tmp_path / "run_$5_to_$6.\udcff.npz"
    np.savez(path, weight=np.eye(3, dtype=np.float32) / 2)
    with jax.enable_x64(False):
        assert main(["analyze", str(path), "--out", str(tmp_path / "out")]) == 0
    assert r"run_$5_to_$6.\udcff.npz" in (tmp_path / "out" / "report.html").read_text()
    assert r"run_$5_to_$6.\udcff.npz" in capsys.readouterr().out


def test_a_folder_in_use_is_left_alone(tmp_path, capsys):
    (tmp_path / "thesis.tex").write_text("mine")
    assert main(["analyze", *weights(tmp_path, [0.8]), "--out", str(tmp_path)]) == 2
    assert "choose an empty" in capsys.readouterr().err
