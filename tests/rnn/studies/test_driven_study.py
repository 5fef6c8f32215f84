"""The study of networks with inputs: what it draws and says, on planted findings, and once made small."""

import json

import jax
import numpy as np
import pytest

import rnn
from normalforms.report import save_figures
from rnn.dynamics import Bifurcations
from rnn.models import ModelPath
from rnn.restricted import Prediction, Sweep
from rnn.studies.driven import STUDY, study
from rnn.studies.driven.figures import figure_driven
from rnn.studies.driven.report import headline, section, summary
from rnn.studies.driven.study import NO_INPUT, Driven, Noise, Predicted, Trained, steepest
from rnn.training import Run


def planted_network(name):
    task = rnn.flip_flop(0, bits=1, size=4, batch=2, horizon=3)
    steps = np.arange(0.0, 101.0, 10.0)
    path = ModelPath.of([task.student] * len(steps), steps)
    rank = {"step": steps, "stable_rank": np.where(steps > 55, 2.0, 8.0)}
    run = Run(task, path, np.where(np.arange(100) < 35, 1.0, 0.1), rank, 1.0)
    return Trained(name, run, {NO_INPUT: Bifurcations((), (), ("a crossing",))}, steps, 0.5 + steps / 250, steps / 90)


def planted():
    g, curve = np.linspace(0.9, 1.1, 5), np.linspace(1.0, 3.0, 5)
    sweep = object.__new__(Sweep)
    for name, value in (("parameter", g), ("amplification", curve)):
        object.__setattr__(sweep, name, value)
    rungs = {"scalar": 1.2 * curve, "response": 1.02 * curve, "second": 1.001 * curve}
    part = Predicted(1.0, sweep, Prediction(rungs, curve))
    noise = (Noise(1.0, 0.0213, 0.02131, 2.0), Noise(10.0, 0.0193, 0.02144, 4.0))
    return Driven(planted_network("flip-flop"), planted_network("sine"), (part,), noise)


def test_where_a_curve_falls_most():
    assert steepest(np.arange(0.0, 60.0, 10.0), np.array([8.0, 8, 8, 2, 2, 2]), width=1) == (25.0, pytest.approx(0.25))


def test_what_the_study_draws_and_says(tmp_path):
    found = planted()
    facts = summary(found)
    json.dumps(facts)
    assert facts["flip_flop"]["loss_fall"]["factor"] == pytest.approx(0.1)
    assert 20 <= facts["flip_flop"]["loss_fall"]["step"] <= 50
    assert 40 <= facts["sine"]["rank_fall"]["step"] <= 70
    assert facts["sine"]["exponent_peak"] == {"step": 100.0, "factor": pytest.approx(0.9)}
    assert facts["prediction"][0]["rungs"]["scalar"]["error"] == pytest.approx(0.2)
    assert "0.10%" in headline(found)[0]
    assert "10% up to y = 10" in headline(found)[1]
    images = save_figures(tmp_path, {"driven": figure_driven(found)})
    page = section(found, images)
    assert all(text in page for text in ("no input", "response", "stable rank", "0.9002"))
    empty = Driven(found.flip, found.wave, (), ())
    assert "no pitchfork" in headline(empty)[0]
    assert len(figure_driven(empty).axes) == 6
    assert STUDY.keys == ("driven",)


@pytest.mark.slow
def test_the_study_made_small(monkeypatch, tmp_path):
    small = study._Plan(32, 32, 200, 40, (1.0,), 5, (1.0,), (1.0,))
    monkeypatch.setattr(study, "_PLANS", {"quick": small})
    with jax.enable_x64(False), jax.numpy_dtype_promotion("standard"):  # Optax's Adam mixes integers and floats
        found = study.driven("quick", out=tmp_path)
    assert [event.kind for event in found.flip.events[NO_INPUT]] == ["pitchfork"]
    assert found.predicted[0].prediction.max_relative_error("second") < 0.02
    assert abs(found.noise[0].measured / found.noise[0].law - 1) < 0.25
    assert summary(found)["sine"]["loss_last"] < summary(found)["sine"]["loss_first"]
    with pytest.raises(ValueError, match="preset"):
        study.driven("long")
