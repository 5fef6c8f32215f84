"""``normalforms analyze``: what is finished is kept, and what fails is one line with the remedy."""

import dataclasses
import errno
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import rnn
from normalforms.cli.main import main
from rnn.dynamics import FixedPoints
from rnn.models import ModelPath
from rnn.studies.analysis.pieces import decoded, encoded


@pytest.fixture
def weights(tmp_path):
    """Two uncoupled neurons, a pitchfork of the first between the second and the third of five checkpoints."""
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    for k, gain in enumerate((0.8, 0.9, 1.1, 1.3, 1.5)):
        np.savez(folder / f"step_{10 * k}.npz", weight_hh=np.diag([gain, 0.5]))
    return folder


def analyze(*arguments):
    with jax.enable_x64(False):
        return main(["analyze", *map(str, arguments), "--activation", "tanh"])


def comparable(out):
    """A summary but for its times."""
    facts = json.loads((out / "summary.json").read_text())
    return {name: value for name, value in facts.items() if name != "seconds"}


def test_an_interrupted_analysis_is_resumed_to_the_same_report(weights, tmp_path, capsys, monkeypatch):
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    assert analyze(weights, "--out", whole, "--json") == 0
    events = json.loads(capsys.readouterr().out)["bifurcations"]
    assert [event["kind"] for event in events] == ["pitchfork"]

    cross, done = rnn.dynamics.search.Search.cross, []

    def until_the_fourth(search, k):
        if k == 3 and not done.count(3):
            done.append(k)
            raise KeyboardInterrupt
        done.append(k)
        return cross(search, k)

    monkeypatch.setattr(rnn.dynamics.search.Search, "cross", until_the_fourth)
    assert analyze(weights, "--out", cut) == 130
    assert f"continue with: normalforms analyze {weights} --out {cut} --resume" in capsys.readouterr().err
    assert sorted(file.stem for file in (cut / "run").iterdir()) == [
        "path", "points-0", "points-1", "rank-0", "rank-1", "rank-2", "rank-3", "rank-4",
    ]  # fmt: skip
    (cut / "run" / "rank-2.npz").write_bytes(b"half")
    assert analyze(weights, "--out", cut) == 2
    assert "add --resume" in capsys.readouterr().err
    monkeypatch.setattr(rnn.studies.analysis.study, "fixed_points", None)  # is not called again
    assert analyze(weights, "--out", cut, "--resume") == 0
    assert done == [0, 1, 2, 3, 3]
    assert "rank-2.npz in the output folder was damaged and is made again" in capsys.readouterr().out
    assert comparable(cut) == comparable(whole)
    assert (cut / "report.html").exists()

    np.savez(weights / "step_50.npz", weight_hh=np.diag([1.6, 0.5]))
    assert analyze(weights, "--out", cut, "--resume") == 2
    assert "with weights '5 files, " in capsys.readouterr().err


def test_a_search_that_misses_a_point_has_a_status_of_its_own(tmp_path, capsys, monkeypatch):
    np.savez(tmp_path / "w.npz", weight_hh=np.eye(2) / 2)
    search = rnn.studies.analysis.study.fixed_points

    def missing(model, *args, **options):
        found = search(model, *args, **options)
        none = {name: getattr(found, name)[:0] for name in ("points", "multipliers", "residuals", "certificate")}
        none |= {"growth": found.growth[:0], "index": found.index[:0], "cycles": ()}
        return dataclasses.replace(found, **none, status="none of the 7 starts converged", missed=True)

    monkeypatch.setattr(rnn.studies.analysis.study, "fixed_points", missing)
    assert analyze(tmp_path / "w.npz", "--out", tmp_path / "out") == 3
    said = capsys.readouterr()
    assert "none of the 7 starts converged" in said.err
    assert "there is one, and the search failed" in said.out
    assert json.loads((tmp_path / "out" / "summary.json").read_text())["models"][0]["missed"]


def test_a_line_of_fixed_points_is_the_answer(tmp_path, capsys):
    v = np.array([0.6, 0.8])
    np.savez(tmp_path / "w.npz", weight_hh=np.outer(v, v))
    with jax.enable_x64(True):  # in single precision 0.6² + 0.8² is 1 + 6e-8
        options = ["--activation", "identity", "--out", str(tmp_path / "out")]
        assert main(["analyze", str(tmp_path / "w.npz"), *options]) == 0
    first = capsys.readouterr().out.splitlines()[0]
    assert first.startswith("no isolated fixed point, but an attracting line of fixed points, at least 20 long")


def test_slow_points_are_an_option(tmp_path, capsys):
    # h' = tanh(1.5 h + x) just past the fold at x = 0.2075
    np.savez(tmp_path / "w.npz", weight_hh=[[1.5]], weight_ih=[[1.0]])
    h = np.sqrt(1 / 3)
    fold = 1.5 * h - np.arctanh(h)
    options = ["--input", fold + 0.002, "--slow", "--json", "--out", tmp_path / "out"]
    assert analyze(tmp_path / "w.npz", *options) == 0
    (model,) = json.loads(capsys.readouterr().out)["models"]
    assert model["fixed_points"] == 1
    assert model["slow"]["points"][0][0] == pytest.approx(-h, abs=0.01)
    # x' = x + 0.002 / 1.5 + 1.5 h x² beside the fold
    assert model["slow"]["passage"][0] == pytest.approx(np.pi / np.sqrt(0.002 / 1.5 * 1.5 * h), rel=0.05)


def test_no_space_is_one_line_with_the_remedy(weights, tmp_path, capsys, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(rnn.studies.analysis.pieces, "write_whole", full)
    assert analyze(weights, "--out", tmp_path / "out", "--json") == 1
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert "No space left on device; free some space" in line
    assert "--resume" in line


def test_no_permission_is_one_line_with_the_remedy(weights, tmp_path, capsys, monkeypatch):
    def refused(*_, **__):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr("pathlib.Path.mkdir", refused)
    assert analyze(weights, "--out", tmp_path / "out", "--json") == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert "Permission denied; choose another folder" in line


def test_parts_come_back_as_they_were():
    model = rnn.VanillaRNN(2 * jnp.eye(2))
    found = rnn.fixed_points(model)
    again = decoded(encoded(found))
    assert isinstance(again, FixedPoints)
    np.testing.assert_array_equal(again.points, found.points)
    np.testing.assert_array_equal(again.multipliers, found.multipliers)
    assert (again.cycles, again.tried, again.status) == (found.cycles, found.tried, found.status)
    path = ModelPath.of([rnn.VanillaRNN(jnp.asarray([[g]])) for g in (0.5, 1.5)])
    events = rnn.bifurcations(path, every=1)
    back = decoded(encoded(events), path)
    assert [(e.kind, e.step) for e in back] == [(e.kind, e.step) for e in events]
    np.testing.assert_array_equal(back[0].model.weight, events[0].model.weight)
    assert dict(back[0].normal_form.coefficients) == dict(events[0].normal_form.coefficients)
    assert [branch.status for branch in back.branches] == [branch.status for branch in events.branches]
