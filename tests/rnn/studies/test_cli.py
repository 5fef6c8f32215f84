import contextlib
import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from normalforms.cli.main import interruptible, main

DRIVER = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)  # which a shell's background jobs do not have
import sys
from normalforms.cli import main
from rnn.studies.experiment import PRESETS, Preset
PRESETS["quick"] = Preset(steps=int(sys.argv[1]), sample_every=100, early=100)
sys.exit(main(sys.argv[2:]))
"""


def driven(steps, *arguments, **options):
    """``normalforms`` in a process of its own, its quick preset shortened to ``steps``."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([os.getcwd(), os.environ.get("PYTHONPATH", "")])}
    return subprocess.Popen(
        [sys.executable, "-c", DRIVER, str(steps), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        **options,
    )


def test_reduce_prints_exact_coefficients(capsys):
    arguments = ["reduce", "--map", "r*x*(1-x)", "--state", "x", "--parameter", "r", "--at", "x=2/3,r=3", "--json"]
    assert main(arguments) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["kind"] == "period_doubling"
    assert found["coefficients"]["c3"] == "9"


def test_law_prints_a_formula(capsys):
    assert main(["law", "stability_flip", "--form", "exact", "--horizon", "2", "--order", "2"]) == 0
    assert "h0**2" in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments",
    [
        ["law", "nonsense"],
        ["law", "--map", "__import__('os')", "--state", "x", "--parameter", "r"],
        ["reduce", "--map", "r*x", "--state", "x", "--parameter", "r", "--at", "x"],
        ["reproduce", "--preset", "unknown"],
        ["reproduce", "--only", "fig9"],
        ["reproduce", "--devices", "2"],
        ["reproduce", "--only", "fig3", "--devices", "9999"],
        [],
    ],
)
def test_bad_input_is_one_line_and_status_two(arguments, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("normalforms: ")


def test_an_unknown_study_is_told_the_known_ones(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["reproduce", "--only", "fig1,fig9"]) == 2
    assert capsys.readouterr().err.startswith('normalforms: --only names "fig9"; known are fig1, fig2, fig3, fig4')
    assert list(tmp_path.iterdir()) == []


def test_the_laws_alone_are_a_report_and_a_summary(tmp_path, capsys):
    out = tmp_path / "a"
    assert main(["reproduce", "--only", "fig2", "--json", "--out", str(out)]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    facts = json.loads(captured.out)
    assert facts == json.loads((out / "summary.json").read_text())
    assert {"preset", "seed", "versions", "seconds", "laws"} <= set(facts)
    assert facts["training"] is facts["two_modes"] is facts["natural_gradient"] is None
    pitchfork = next(c for c in facts["laws"]["curves"] if (c["family"], c["r"]) == ("pitchfork", 0.05))
    assert 1 < pitchfork["peak"][0] < 1.3
    page = (out / "report.html").read_text()
    assert "Figure 2" in page
    assert 'src="http' not in page


def test_a_folder_of_somebody_else_is_left_alone(tmp_path, capsys):
    (tmp_path / "thesis.tex").write_text("mine")
    assert main(["reproduce", "--out", str(tmp_path)]) == 2
    assert "no reproduction of ours" in capsys.readouterr().err
    assert [f.name for f in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_finished_folder_needs_resume(tmp_path, capsys):
    assert main(["reproduce", "--out", str(tmp_path / "a"), "--only", "fig2"]) == 0
    assert (tmp_path / "a" / "figures" / "figure2.png").exists()
    assert main(["reproduce", "--out", str(tmp_path / "a"), "--only", "fig2"]) == 2
    assert "--resume" in capsys.readouterr().err
    (tmp_path / "a" / "reproduction.json").write_text("{")
    assert main(["reproduce", "--out", str(tmp_path / "a"), "--resume"]) == 2
    assert "cannot be read" in capsys.readouterr().err


def test_a_folder_that_cannot_be_made_is_named(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert main(["reproduce", "--out", str(tmp_path / "file" / "inside")]) == 2
    assert "choose another folder" in capsys.readouterr().err


def test_a_folder_of_another_version_is_refused(tmp_path, capsys):
    assert main(["reproduce", "--out", str(tmp_path), "--only", "fig2"]) == 0
    manifest = json.loads((tmp_path / "reproduction.json").read_text())
    (tmp_path / "reproduction.json").write_text(json.dumps(manifest | {"version": "0.0.1"}))
    capsys.readouterr()
    assert main(["reproduce", "--out", str(tmp_path), "--resume"]) == 2
    err = capsys.readouterr().err
    assert "version '0.0.1'" in err
    assert "choose another --out" in err


def test_a_damaged_record_stops_before_any_work(tmp_path, capsys):
    out = str(tmp_path / "a")
    assert main(["reproduce", "--preset", "quick", "--out", out, "--only", "fig2"]) == 0
    from rnn import student_teacher
    from rnn.training import begin

    folder = tmp_path / "a" / "run" / "student"
    begin(student_teacher(0), folder)
    (folder / "chunk-00000000.npz").write_bytes(b"half")
    capsys.readouterr()
    assert main(["reproduce", "--preset", "quick", "--out", out, "--resume"]) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert "is damaged" in lines[-1]
    assert "Traceback" not in "".join(lines)


def test_divergence_is_a_failure_with_one_line(tmp_path, capsys, monkeypatch):
    from rnn import DivergedError

    def diverge(*_, **__):
        raise DivergedError("the loss is nan at step 7: lower the learning rate")

    monkeypatch.setattr("rnn.studies.experiment.report.reproduce", diverge)
    assert main(["reproduce", "--out", str(tmp_path / "a"), "--json"]) == 1
    assert capsys.readouterr().err == "normalforms: the loss is nan at step 7: lower the learning rate\n"


def test_an_interruption_that_python_drops_is_raised_at_the_next_report():
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with interruptible() as check:
            check()
            with contextlib.suppress(KeyboardInterrupt):
                signal.raise_signal(signal.SIGINT)
            with pytest.raises(KeyboardInterrupt):
                check()
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)


def test_an_interrupted_reproduction_resumes_to_the_same_bits(tmp_path):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    common = (
        1100,
        "reproduce",
        "--preset",
        "quick",
        "--seed",
        "1",
        "--only",
        "fig1",
        "--out",
    )  # without an event: quick
    expected, _ = driven(*common, str(whole), "--json").communicate(timeout=300)  # first: it compiles for all three
    process = driven(*common, str(broken))
    record = broken / "run" / "student"
    deadline = time.monotonic() + 300
    while not list(record.glob("chunk-*.npz")) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "--resume" in err
    assert "Traceback" not in err
    out, _ = driven(*common, str(broken), "--resume", "--json").communicate(timeout=300)
    facts, expected = json.loads(out), json.loads(expected)
    for name in ("training", "bifurcations", "stable_rank", "restricted_kernel"):
        assert facts[name] == expected[name], name
    for chunk in sorted((whole / "run" / "student").glob("chunk-*.npz")):
        with np.load(chunk) as a, np.load(record / chunk.name) as b:
            for name in set(a.files) - {"seconds"}:
                np.testing.assert_array_equal(a[name], b[name])
