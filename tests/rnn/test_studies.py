"""The studies behind figures 3 and 4: what they read off their runs, what they say, and one of each made small."""

from __future__ import annotations

import json

import jax
import numpy as np
import optax
import pytest

import rnn
from rnn.studies import figures as drawn
from rnn.studies.descents.study import Descent, Descents, descents
from rnn.studies.study import studies
from rnn.studies.two_modes import study as two_modes_module
from rnn.studies.two_modes.study import SETTINGS, Crossings, TwoModes, two_mode_task, two_modes


def crossings(first, second, natural=False, setting=(1.1, 0.5), steps=101):
    """Moduli that pass 1 at the given steps."""
    step = np.arange(steps, dtype=float)
    moduli = np.stack([np.where(step >= at, 1.2, 0.9) for at in (first, second)], axis=1)
    return Crossings(*setting, 0, natural, step, moduli, np.ones(steps - 1))


def test_ratio_of_crossings_and_its_lower_bound():
    assert crossings(5, 60).ratio == 12
    assert crossings(5, 60).seen
    unseen = crossings(5, np.inf)
    assert not unseen.seen
    assert unseen.ratio == 20
    assert np.isnan(crossings(np.inf, np.inf).ratio)


def test_two_mode_teacher_has_its_multipliers_and_is_matched_by_itself():
    task = two_mode_task(3, 1.1, 0.7)
    for model, moduli in ((task.teacher, [1.5, 1.1, 0]), (task.student, [0.7])):
        found = -np.sort(-np.abs(np.linalg.eigvals(np.asarray(model.weight, float))))
        np.testing.assert_allclose(found[: len(moduli)], moduli, atol=1e-6)
    assert float(task.loss(task.teacher)) == 0
    with pytest.raises(ValueError, match="size"):
        two_mode_task(0, 1.1, 0.5, size=1)


def test_figure3_and_what_it_says():
    runs = [crossings(5, 60 if k % 2 else np.inf, n, s) for k, s in enumerate(SETTINGS) for n in (False, True)]
    study = TwoModes(tuple(runs))
    facts = drawn.two_modes_summary(study)
    assert facts["ratios"] == [20, 12, 20, 12]
    assert facts["at_least"] == [True, False, True, False]
    json.dumps(facts, allow_nan=False)
    assert len(drawn.figure3(study).axes) == 3
    assert "20.0 (20.0 to 20.0)" in drawn.two_modes_section(study, b"")
    lost = drawn.two_modes_summary(TwoModes((crossings(np.inf, np.inf), crossings(3, 4, natural=True))))
    assert lost["ratios"] == [None]


def planted():
    rough = np.array([1.0, 0.5, 0.8, 0.1, 4e-4])
    runs = {"SGD": Descent("SGD", rough, 2e-3), "smooth": Descent("smooth", np.sort(rough)[::-1] + 1e-3, 2.1e-3)}
    return Descents((runs,), np.array([1e-3, 1e-2, 1e-1]), np.array([[0, 0.3, 0], [0, 0, np.inf]]))


def test_figure4_and_what_it_says():
    study = planted()
    facts = drawn.descents_summary(study)
    assert facts["positive_variation"] == {"sgd": pytest.approx(np.log(1.6)), "natural": 0}
    assert facts["overhead"] == pytest.approx(0.05)
    assert facts["largest_stable_rate"] == {"sgd": 1e-3, "natural": 1e-2}
    assert facts["steps_to_5e-4"] == {"SGD": 4, "smooth": None}
    json.dumps(facts, allow_nan=False)
    assert len(drawn.figure4(study).axes) == 4
    assert "not reached" in drawn.descents_section(study, b"")


def test_figure4_of_several_seeds():
    one = planted()
    slow = Descent("SGD", np.array([1.0, 0.9, 0.95, 0.9, 0.8]), 1e-3)
    study = Descents((one.seeds[0], one.seeds[0] | {"SGD": slow}), one.rates, one.variation)
    assert study.overhead == pytest.approx((2.1e-3 / 2e-3 + 2.1e-3 / 1e-3) / 2 - 1)
    facts = drawn.descents_summary(study)
    assert facts["steps_to_5e-4"] == {"SGD": 4, "smooth": None}
    assert facts["seeds"]["SGD"]["steps_to_5e-4"] == [4, None]
    assert facts["seeds"]["SGD"]["positive_variation"][1] == pytest.approx(np.log(0.95 / 0.9))
    page = drawn.descents_section(study, b"")
    assert "4 (1 of 2)" in page
    assert "0.01 s" in page  # four steps of 2 ms
    assert len(drawn.figure4(study).axes[0].lines) == 4


def test_two_modes_made_small_and_resumed(monkeypatch, tmp_path):
    monkeypatch.setattr(two_modes_module, "_PLANS", {"quick": (1, 30, 30)})
    monkeypatch.setattr(two_modes_module, "SETTINGS", ((1.3, 0.95),))
    monkeypatch.setattr(two_modes_module, "_FAST", optax.sgd(0.1))  # the optimizer has its own tests
    with jax.enable_x64(False):
        once = two_modes("quick", out=tmp_path)
        again = two_modes("quick", out=tmp_path, resume=True)
        with pytest.raises(rnn.RecordError, match="resume"):
            two_modes("quick", out=tmp_path)
        shared = two_modes("quick", devices=jax.local_devices()[:1])
    assert [run.natural for run in once.runs] == [False, True]
    for a, b, c in zip(once.runs, again.runs, shared.runs, strict=True):
        np.testing.assert_array_equal(a.moduli, b.moduli)
        np.testing.assert_allclose(c.moduli, a.moduli, rtol=1e-5)
        np.testing.assert_allclose(c.loss, a.loss, rtol=1e-5)
        assert a.moduli[0, 0] == pytest.approx(0.95, rel=1e-5)
        assert a.loss[-1] < a.loss[0]


def test_studies_are_those_asked_for(monkeypatch, tmp_path):
    monkeypatch.setattr(
        "rnn.studies.study._STUDIES", {"fig4": ("natural_gradient", lambda *_, **__: planted(), *_drawn())}
    )
    (made,) = studies(["fig1", "fig4"], "quick", out=tmp_path)
    assert (made.name, made.key) == ("figure4", "natural_gradient")
    assert made.facts == drawn.descents_summary(planted())
    assert "Figure 4" in made.section(b"")
    assert studies(["fig1", "fig2"], "quick", out=tmp_path) == []


def _drawn():
    return drawn.figure4, drawn.descents_summary, drawn.descents_section


def test_bad_input_is_named(tmp_path):
    with pytest.raises(ValueError, match="preset"):
        two_modes("long")
    with pytest.raises(ValueError, match="preset"):
        descents("long")
    with pytest.raises(ValueError, match="others"):
        descents("quick", others=["lion"])
    with pytest.raises(ValueError, match="seeds"):
        descents("quick", seeds=0)
    (tmp_path / "seed0" / "SGD").mkdir(parents=True)
    (tmp_path / "seed0" / "SGD" / "run.json").write_text("{}")
    with pytest.raises(rnn.RecordError, match="resume"):
        descents("quick", out=tmp_path)
