"""The notebooks run, and their two halves agree; figure 1's is run by rnn/studies/test_experiment.py."""

import json
import runpy
from pathlib import Path

import jax
import jupytext
import numpy as np
import pytest

FOLDER = Path(__file__).parent.parent / "notebooks"
NAMES = ("figure1", "figure2", "natural_gradient", "noise", "forecast", "fit", "your_network", "driven")


@pytest.mark.parametrize("name", NAMES)
def test_script_and_notebook_are_paired_and_free_of_output(name):
    script = jupytext.read(FOLDER / f"{name}.py")
    notebook = json.loads((FOLDER / f"{name}.ipynb").read_text())
    cells = [("".join(c["source"]), c["cell_type"]) for c in notebook["cells"]]
    assert cells == [(c["source"], c["cell_type"]) for c in script["cells"]]
    assert not any(cell.get("outputs") for cell in notebook["cells"])


def test_figure2_runs(monkeypatch):
    monkeypatch.setenv("NOTEBOOK_NODES", "20")
    assert len(runpy.run_path(str(FOLDER / "figure2.py"))["figure"].axes) == 4


def test_noise_runs(monkeypatch):
    monkeypatch.setenv("NOTEBOOK_NODES", "6")
    shown = runpy.run_path(str(FOLDER / "noise.py"))
    assert len(shown["figure"].axes) == 3


def test_natural_gradient_runs(monkeypatch):
    monkeypatch.setenv("NOTEBOOK_STEPS", "30")
    with jax.enable_x64(False):
        shown = runpy.run_path(str(FOLDER / "natural_gradient.py"))
    assert shown["study"].runs["fast"].loss[-1] < 5e-4 < shown["study"].runs["SGD"].loss[-1]
    seen = shown["notices"][shown["last"]]
    assert (seen.confirmed, seen.kind) == (True, "steady")
    assert seen.growth > 10
    assert shown["first"] <= shown["last"] - 40  # two looks: warnings wait until they are certain


def test_forecast_runs(monkeypatch):
    monkeypatch.setenv("NOTEBOOK_STEPS", "60")
    monkeypatch.setenv("NOTEBOOK_SIZE", "12")
    with jax.enable_x64(False):
        shown = runpy.run_path(str(FOLDER / "forecast.py"))
    assert shown["view"].status in ("ok", "none ahead")
    assert list(shown["regimes"]) == ["monotone", "period two", "hopping"]


def test_your_network_runs():
    with jax.enable_x64(False):
        shown = runpy.run_path(str(FOLDER / "your_network.py"))
    assert [len(points) for points in shown["points"]] == [1, 3]
    assert [event.kind for event in shown["events"]] == ["pitchfork"]
    assert shown["prediction"].r2() > 0.999
    assert [len(points) for points in shown["held"].values()] == [3, 3, 1]


def test_driven_runs(monkeypatch):
    monkeypatch.setenv("NOTEBOOK_SIZE", "16")
    with jax.enable_x64(False), jax.numpy_dtype_promotion("standard"):  # as users have it: path(x=) keeps its network
        shown = runpy.run_path(str(FOLDER / "driven.py"))
    (event,) = shown["events"]["no input"]
    assert event.kind == "pitchfork"
    assert abs(shown["foreseen"].crossing - event.step) <= shown["foreseen"].error
    assert [later.kind for later in shown["switch"]] == ["saddle_node", "saddle_node"]
    errors = [shown["foretold"].max_relative_error(rung) for rung in ("scalar", "response", "second")]
    assert errors[0] > 10 * errors[1] > 30 * errors[2]
    law = [float(shown["law"].evaluate(0.0, y)) for y in shown["strengths"]]
    assert np.all(np.abs(np.array(shown["found"]) / law - 1) < 0.2)


@pytest.mark.slow
def test_fit_runs():
    with jax.enable_x64(False):
        shown = runpy.run_path(str(FOLDER / "fit.py"))
    assert shown["found"].law_class == "cubic"
    assert shown["found"].agreement.verdict.startswith("does not agree")
    assert "rung that does" in shown["found"].agreement.verdict
    assert abs(shown["joint"].parameters["critical"] - 1) < 1e-3
    assert shown["again"].checks > 20
