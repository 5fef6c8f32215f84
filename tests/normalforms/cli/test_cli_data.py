"""``normalforms fit`` and ``normalforms discover``: tables in, one clear sentence where they are not right."""

import json

import numpy as np
import pytest

import normalforms as nf
from normalforms.cli import main

STATES = np.linspace(-0.1, 0.1, 8)


def table(path, header, rows):
    path.write_text("\n".join([header, *(",".join(map(str, row)) for row in rows)]) + "\n")
    return str(path)


@pytest.fixture
def curve(tmp_path):
    g = np.linspace(0.85, 1.15, 15)
    law = nf.amplification(nf.pitchfork())
    noise = np.exp(0.01 * np.random.default_rng(0).normal(size=(2, 15)))
    rows = [
        (x, y, t)
        for i, t in enumerate((20, 40))
        for x, y in zip(g, 3 * law(g[:, None], STATES, t).sum(1) * noise[i], strict=True)
    ]
    return table(tmp_path / "data.csv", "parameter,amplification,horizon", rows)


def test_a_fit_is_told_as_text_json_figure_and_report(curve, tmp_path, capsys):
    out = tmp_path / "out"
    command = ["fit", curve, "--initial=-0.1,0.1,8", "--laws", "pitchfork,stability_flip", "--out", str(out), "--json"]
    assert main(command) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["kind"] == "pitchfork"
    assert facts["parameters"]["amplitude"]["value"] == pytest.approx(3, rel=0.05)
    low, high = facts["parameters"]["state_scale"]["interval"]
    assert low < 1 < high
    assert json.loads((out / "summary.json").read_text()) == facts
    assert "fits: pitchfork" in (out / "report.html").read_text()
    assert (out / "figures" / "fit.png").stat().st_size > 1000
    assert (out / "figures" / "fit.svg").exists()
    assert main(command) == 2
    assert "is there already" in capsys.readouterr().err


def test_batches_by_name(tmp_path, capsys):
    g = np.linspace(0.9, 1.1, 12)
    law = nf.amplification(nf.pitchfork())
    batches = {0: [0.05, 0.1], 1: [0.02, 0.2]}
    rows = [(x, float(np.sum(law(x, np.array(batches[i % 2]), 25))), i % 2) for i, x in enumerate(g)]
    data = table(tmp_path / "data.csv", "parameter,amplification,batch", rows)
    states = table(tmp_path / "states.csv", "batch,state", [(b, s) for b, row in batches.items() for s in row])
    assert main(["fit", data, "--initial", states, "--horizon", "25", "--laws", "pitchfork", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert [p["value"] for p in facts["parameters"].values()] == pytest.approx([1, 1, 1], rel=1e-5)


def test_orbits_are_discovered(tmp_path, capsys):
    rng, rows = np.random.default_rng(0), []
    for orbit in range(15):
        g, h = rng.uniform(0.9, 1.2), rng.uniform(-0.4, 0.4)
        for t in range(15):
            rows.append((orbit, t, h, g))
            h = g * h - h**3
    order = rng.permutation(len(rows))
    path = table(tmp_path / "orbits.csv", "orbit,time,h,g", [rows[i] for i in order])
    assert main(["discover", path, "--parameter", "g", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["map"] == ["g*h - h**3"]
    assert facts["kind"] == "pitchfork"
    assert main(["discover", path, "--parameter", "g"]) == 0
    assert "h' = g*h - h**3" in capsys.readouterr().out
    rows[4] = (0, 4.5, 0.1, 1.0)
    path = table(tmp_path / "gap.csv", "orbit,time,h,g", rows)
    assert main(["discover", path, "--parameter", "g"]) == 2
    assert "steps must be one" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "has no column parameter; its header reads nothing"),
        ("parameter,size\n1,2\n", "has no column amplification"),
        ("parameter,amplification,colour\n1,2,3\n", "has a column 'colour'"),
        ("parameter,amplification,parameter\n1,2,3\n", "the column parameter twice"),
        ("parameter,amplification\n", "a header and no rows"),
        ("parameter,amplification\n1,2\n1.1\n", "line 3: 1 values for 2 columns"),
        ("parameter,amplification\n1,2\n1.1,many\n", "line 3: amplification = 'many' is no finite number"),
        ("parameter,amplification\n1,nan\n", "line 2: amplification = 'nan' is no finite number"),
        ("parameter,amplification\n1,2\n1.1,2\n", "at least 5"),
    ],
)
def test_bad_tables_are_named(text, says, tmp_path, capsys):
    path = tmp_path / "data.csv"
    path.write_text(text)
    assert main(["fit", str(path), "--initial=-0.1,0.1,8", "--horizon", "20"]) == 2
    error = capsys.readouterr().err
    assert says in error
    assert error.count("\n") == 1


def test_large_files_are_refused_by_size(tmp_path, capsys):
    path = tmp_path / "large.csv"
    with path.open("wb") as file:
        file.truncate(2**30)
    assert main(["fit", str(path), "--initial=-0.1,0.1,8", "--horizon", "20"]) == 2
    assert "1024 MiB" in capsys.readouterr().err
    path.write_bytes(b"parameter,amplification\n\xff\xfe,1\n")
    assert main(["fit", str(path), "--initial=-0.1,0.1,8", "--horizon", "20"]) == 2
    assert "no table" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--initial=-0.1,0.1,8", "--horizon", "20"], "here by both"),
        (["--initial=-0.1,0.1,2.5"], "COUNT must be"),
        (["--initial=-0.1,0.1,8", "--critical", "maybe"], "--critical 'maybe'"),
        (["--initial=-0.1,0.1,8", "--level", "2"], "--level 2"),
        (["--initial=-0.1,0.1,8", "--laws", "unknown"], "known are"),
        (["--initial", "nowhere.csv"], "no file"),
    ],
)
def test_bad_options_are_named(options, says, curve, capsys):
    assert main(["fit", curve, *options]) == 2
    assert says in capsys.readouterr().err
