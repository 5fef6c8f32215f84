import json

import pytest

from normalforms.cli import main


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
        ["reproduce", "--only", "fig4"],
        [],
    ],
)
def test_bad_input_is_one_line_and_status_two(arguments, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("normalforms: ")


def test_a_folder_of_somebody_else_is_left_alone(tmp_path, capsys):
    (tmp_path / "thesis.tex").write_text("mine")
    assert main(["reproduce", "--out", str(tmp_path)]) == 2
    assert "not a reproduction" in capsys.readouterr().err
    assert [f.name for f in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_finished_folder_needs_resume(tmp_path, capsys):
    assert main(["reproduce", "--out", str(tmp_path / "a"), "--only", "fig2"]) == 0
    assert (tmp_path / "a" / "figures" / "figure2.png").exists()
    assert main(["reproduce", "--out", str(tmp_path / "a"), "--only", "fig2"]) == 2
    assert "--resume" in capsys.readouterr().err
    (tmp_path / "a" / "reproduction.json").write_text("{")
    assert main(["reproduce", "--out", str(tmp_path / "a"), "--resume"]) == 2
    assert "cannot be read" in capsys.readouterr().err
