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
    assert facts == json.loads((out / "summary.json").read_text())
    for name in ("report.html", "figures/analysis.png", "figures/analysis.svg"):
        assert (out / name).stat().st_size > 0
    assert 'src="http' not in (out / "report.html").read_text()


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
        (["w0.npz", "other.npz"], "differs from models"),
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


def test_a_dollar_in_a_file_name_is_no_formula(tmp_path, capsys):
    path = tmp_path / "run_$5_to_$6.npz"
    np.savez(path, weight=np.eye(3, dtype=np.float32) / 2)
    with jax.enable_x64(False):
        assert main(["analyze", str(path), "--out", str(tmp_path / "out")]) == 0
    assert "run_$5_to_$6.npz" in (tmp_path / "out" / "report.html").read_text()


def test_a_folder_in_use_is_left_alone(tmp_path, capsys):
    (tmp_path / "thesis.tex").write_text("mine")
    assert main(["analyze", *weights(tmp_path, [0.8]), "--out", str(tmp_path)]) == 2
    assert "choose an empty" in capsys.readouterr().err
