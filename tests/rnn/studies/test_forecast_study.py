"""The study of forecasts: what it draws and says, on planted findings, and once made small."""

import json

import numpy as np
import pytest

import rnn
from rnn.forecasting import Cost, Forecast
from rnn.models import ModelPath
from rnn.studies.forecast import STUDY, study
from rnn.studies.forecast.figures import figure_forecast
from rnn.studies.forecast.report import headline, section, summary
from rnn.studies.forecast.study import Forecasts, Row, Training, extrapolated
from rnn.training import Run


def test_extrapolation_of_a_line_and_of_a_parabola():
    steps = np.arange(0.0, 200.0, 5.0)
    line, bowl = 0.2 + 0.005 * steps, 0.2 + 2e-5 * steps**2
    assert extrapolated(steps, line, 10, 1) == pytest.approx(160)
    assert extrapolated(steps, bowl, 20, 2) == pytest.approx(200)
    assert np.isnan(extrapolated(steps, line, 1, 2))
    assert np.isnan(extrapolated(steps, 0.9 - line, 10, 1))


def planted():
    task = rnn.student_teacher(0, size=6, batch=4, horizon=4)
    steps = np.arange(0.0, 101.0, 10.0)
    path = ModelPath.of([task.student] * len(steps), steps)
    run = Run(task, path, np.geomspace(1, 0.1, 100), {}, 1.0)
    moduli = 0.5 + 0.0061 * steps
    crossing = 0.5 / 0.0061
    view = Forecast(
        "flow", 0.0, "ok", "", crossing, 1.5, "steady", float("nan"), float("nan"), Cost(70, 0, 1.0), steps,
        np.stack([moduli, moduli / 2], axis=1).astype(complex), np.geomspace(1, 0.1, 11), path=path,
    )  # fmt: skip
    rows = [Row(0, 0.5, "flow", crossing, 0.5, 1.5, "ok", 70), Row(0, 0.5, "linear", crossing, 90.0)]
    grid = np.full((3, 3), "monotone", dtype=object)
    other = grid.copy()
    other[0, 0] = "hopping"
    axis = np.linspace(1, 3, 3)
    return Forecasts((Training(0, run, steps, moduli, crossing),), tuple(rows), (view,), view, grid, other, axis, axis)


def test_what_the_study_draws_and_says():
    found = planted()
    assert len(figure_forecast(found).axes) == 4
    facts = summary(found)
    assert facts["phase_diagram"]["agreement"] == pytest.approx(8 / 9)
    assert facts["forecasts"][0]["share"] == pytest.approx(0.5 * 0.0061 / 0.5)
    assert "0.61%" in headline(found)[0]
    assert "1 of 1 forecasts" in section(found, {"forecast": b""})
    json.dumps(STUDY.facts(found)["forecast"]["crossings"])
    empty = Forecasts((found.trainings[0],), (), (), None, found.diagram, found.limit, found.rates, found.teachers)
    assert "no crossing" in headline(empty)[0]


@pytest.mark.slow
def test_the_study_made_small(monkeypatch):
    monkeypatch.setattr(study, "_PLANS", {"quick": study._Plan(1, 700, 3)})
    found = study.forecasts("quick", 0, None, False)
    flows = [r for r in found.rows if r.method == "flow"]
    assert len(flows) >= 4
    assert all(abs(r.miss) <= 2 for r in flows)
    assert all(abs(r.share) > 0.5 for r in found.rows if r.method == "linear" and np.isfinite(r.miss))
    assert len(figure_forecast(found).axes) == 4
