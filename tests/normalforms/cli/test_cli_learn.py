"""``normalforms learn`` and ``forecast``: what they print, and bad input refused in one line."""

import argparse
import json

import numpy as np
import pytest

import normalforms as nf
import rnn
from normalforms.cli.main import main
from rnn.cli import forecast


def test_learn_prints_the_edge_and_the_way(capsys):
    given = ["learn", "pitchfork", "--teacher", "1.1", "--horizon", "30"]
    assert main([*given, "--start", "0.8", "--rate", "0.1"]) == 0
    text = capsys.readouterr().out
    study = nf.learning(nf.pitchfork(), teacher=1.1, initial=0.1, horizon=30)
    assert f"{study.critical_rate():.6g}" in text
    assert f"{study.time(0.8, 1.0, 0.1):.1f}" in text
    assert main([*given, "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["critical_rate"] == study.critical_rate()
    assert facts["cycle_born_stable"] is True


def test_learn_takes_a_map_and_a_plane(capsys):
    assert (
        main(["learn", "--map", "tanh(w*x)", "--state", "x", "--parameter", "w", "--teacher=1.2", "--horizon=9"]) == 0
    )
    assert main(["learn", "neimark_sacker", "--teacher", "1.05", "--horizon", "9"]) == 0
    assert "largest stable rate" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["learn", "--teacher", "1.1", "--horizon", "9"], "give a family or --map"),
        (["learn", "cusp", "--teacher", "1.1", "--horizon", "9"], "parameters"),
        (["learn", "pitchfork", "--teacher", "x", "--horizon", "9"], "x"),
        (["learn", "pitchfork", "--teacher", "1.1", "--horizon", "0"], "horizon"),
        (["learn", "pitchfork", "--teacher", "1.1", "--horizon", "9", "--initial", "1,2"], "--initial"),
        (["learn", "pitchfork", "--teacher", "9", "--horizon", "9"], "leaves to infinity"),
    ],
)
def test_learn_refuses_in_one_line(words, reason, capsys):
    assert main(words) == 2
    err = capsys.readouterr().err
    assert reason in err
    assert err.count("\n") == 1


def asked(*words):
    parser = argparse.ArgumentParser()
    forecast(parser.add_subparsers(required=True))
    arguments = parser.parse_args(["forecast", *words])
    return arguments.run(arguments)


@pytest.mark.slow
def test_forecast_of_a_folder(tmp_path, capsys):
    task = rnn.student_teacher(0)
    run = rnn.train(task, None, 600, diagnose_every=0, out=tmp_path / "run", chunk=600)
    (tmp_path / "reproduction.json").write_text('{"seed": 0}')
    assert asked(str(tmp_path), "--at", "560", "--json") == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["status"] == "ok"
    assert facts["crossing"] == pytest.approx(627.5, abs=1)
    assert asked(str(tmp_path), "--at", "560", "--method", "law") == 0
    assert "steady at step 62" in capsys.readouterr().out
    assert np.isfinite(run.loss[-1])
    with pytest.raises(ValueError, match="pass its --seed"):
        asked(str(tmp_path), "--seed", "1")


def test_forecast_refuses_a_folder_without_a_run(tmp_path):
    with pytest.raises(ValueError, match="no training run"):
        asked(str(tmp_path))
    with pytest.raises(ValueError, match="--rate"):
        asked(str(tmp_path), "--rate", "-1")
