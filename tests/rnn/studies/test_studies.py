"""The studies behind figures 3 and 4: what they read off their runs, what they say, and one of each made small."""

from __future__ import annotations

import json

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import rnn
from normalforms.cli import main
from rnn.studies import Settings, Study, chosen, find, make
from rnn.studies import descents as figure_four
from rnn.studies import study as registry
from rnn.studies import two_modes as figure_three
from rnn.studies.descents import Descent, Descents, Entrant, descents
from rnn.studies.study import Entry
from rnn.studies.two_modes import SETTINGS, Crossings, TwoModes, two_mode_task, two_modes
from rnn.studies.two_modes import study as two_modes_module


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
    facts = figure_three.summary(study)
    assert facts["ratios"] == [20, 12, 20, 12]
    assert facts["at_least"] == [True, False, True, False]
    json.dumps(facts, allow_nan=False)
    assert len(figure_three.figure3(study).axes) == 3
    assert "20.0 (20.0 to 20.0)" in figure_three.section(study, {"figure3": b""})
    lost = figure_three.summary(TwoModes((crossings(np.inf, np.inf), crossings(3, 4, natural=True))))
    assert lost["ratios"] == [None]


def planted():
    rough = np.array([1.0, 0.5, 0.8, 0.1, 4e-4])
    runs = {"SGD": Descent("SGD", rough, 2e-3), "smooth": Descent("smooth", np.sort(rough)[::-1] + 1e-3, 2.1e-3)}
    return Descents((runs,), np.array([1e-3, 1e-2, 1e-1]), np.array([[0, 0.3, 0], [0, 0, np.inf]]))


def test_figure4_and_what_it_says():
    study = planted()
    facts = figure_four.summary(study)
    assert facts["positive_variation"] == {"sgd": pytest.approx(np.log(1.6)), "natural": 0}
    assert facts["overhead"] == pytest.approx(0.05)
    assert facts["largest_stable_rate"] == {"sgd": 1e-3, "natural": 1e-2}
    assert facts["steps_to_5e-4"] == {"SGD": 4, "smooth": None}
    json.dumps(facts, allow_nan=False)
    assert len(figure_four.figure4(study).axes) == 4
    assert "not reached" in figure_four.section(study, {"figure4": b""})


def test_figure4_of_several_seeds():
    one = planted()
    slow = Descent("SGD", np.array([1.0, 0.9, 0.95, 0.9, 0.8]), 1e-3)
    study = Descents((one.seeds[0], one.seeds[0] | {"SGD": slow}), one.rates, one.variation)
    assert study.overhead == pytest.approx((2.1e-3 / 2e-3 + 2.1e-3 / 1e-3) / 2 - 1)
    facts = figure_four.summary(study)
    assert facts["steps_to_5e-4"] == {"SGD": 4, "smooth": None}
    assert facts["seeds"]["SGD"]["steps_to_5e-4"] == [4, None]
    assert facts["seeds"]["SGD"]["positive_variation"][1] == pytest.approx(np.log(0.95 / 0.9))
    page = figure_four.section(study, {"figure4": b""})
    assert "4 (1 of 2)" in page
    assert "0.01 s" in page  # four steps of 2 ms
    assert len(figure_four.figure4(study).axes[0].lines) == 4


def test_two_modes_made_small_and_resumed(monkeypatch, tmp_path):
    monkeypatch.setattr(two_modes_module, "_PLANS", {"quick": two_modes_module._Plan(1, 30, 30)})
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


def test_two_modes_counts_a_descent_that_diverges_until_then(monkeypatch):
    def rate(count):
        return jnp.where(count < 25, 0.1, 1e30)

    monkeypatch.setattr(two_modes_module, "_PLANS", {"quick": two_modes_module._Plan(1, 40, 10)})
    monkeypatch.setattr(two_modes_module, "SETTINGS", ((1.3, 0.95),))
    monkeypatch.setattr(two_modes_module, "_FAST", optax.sgd(0.1))
    monkeypatch.setattr(two_modes_module, "_SGD", optax.sgd(rate))
    monkeypatch.setattr(two_modes_module, "_CHUNK", 10)
    with jax.enable_x64(False):
        assert [run.step[-1] for run in two_modes("quick", devices=jax.local_devices()[:1]).runs] == [20, 10]
        monkeypatch.setattr(two_modes_module, "_SGD", optax.sgd(1e30))
        with pytest.raises(rnn.DivergedError, match="step"):
            two_modes("quick")


TOY = """
from matplotlib.figure import Figure
from normalforms.report import html
from rnn.studies import Settings, Study

def run(settings):
    return settings.meter.run("counting", lambda report: settings.seed + 2)

def figure(count):
    figure = Figure()
    figure.subplots().plot([0, count])
    return figure

STUDY = Study(
    title="A study of counting",
    keys=("count",),
    run=run,
    figures=lambda count: {"counted": figure(count)},
    facts=lambda count: {"count": {"value": count, "lost": float("nan")}},
    section=lambda count, images: html.section("Counting", html.figure(images["counted"], "a line")),
    headline=lambda count: [f"counted to {count}"],
)
"""


@pytest.fixture
def toy(tmp_path, monkeypatch):
    """A study in a folder of its own, and its one line of the registry."""
    (tmp_path / "toy_study").mkdir()
    (tmp_path / "toy_study" / "__init__.py").write_text(TOY)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(registry, "REGISTRY", (*registry.REGISTRY, Entry("toy", "toy_study")))


def test_a_study_is_a_folder_and_a_line(toy, tmp_path, capsys):
    out = tmp_path / "out"
    assert main(["reproduce", "--only", "toy", "--seed", "3", "--json", "--out", str(out)]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["count"] == {"value": 5, "lost": None}
    assert facts["seconds"]["counting"] >= 0
    assert facts["laws"] is None
    page = (out / "report.html").read_text()
    assert page.index("Counted to 5.") < page.index("Counting</h2>")
    assert sorted(file.name for file in (out / "figures").iterdir()) == ["counted.png", "counted.svg"]
    assert main(["reproduce", "--only", "toys"]) == 2
    known = ", ".join(entry.name for entry in find("reproduce"))
    assert known.endswith(", toy")
    assert f"known are {known}\n" in capsys.readouterr().err
    assert main(["reproduce", "--only", "toy", "--seed", "3", "--out", str(out)]) == 2
    assert "add --resume" in capsys.readouterr().err


def test_every_study_of_the_registry_is_whole():
    taken: set[str] = set()
    for entry in registry.REGISTRY:
        study = entry.study
        assert isinstance(study, Study)
        assert study.title
        assert study.keys
        assert entry.command == "analyze" or not taken & set(study.keys)
        taken |= set(study.keys) if entry.command == "reproduce" else set()
    assert [entry.name for entry in chosen("reproduce")] == ["fig1", "fig2"]
    assert chosen("reproduce", ["fig4", "fig2"]) == tuple(e for e in find("reproduce") if e.name in ("fig2", "fig4"))
    with pytest.raises(ValueError, match="known are analysis"):
        chosen("analyze", ["fig1"])
    with pytest.raises(ValueError, match="nothing"):
        chosen("reproduce", [])


def test_brief_studies_are_made_while_a_longer_one_waits(tmp_path, monkeypatch):
    order = []

    def study(name, brief=False):
        def run(settings):
            order.append(f"{name} begins")
            settings.meanwhile()
            order.append(f"{name} ends")

        silent = {
            "figures": lambda _: {},
            "facts": lambda _: {name: 1},
            "section": lambda *_: "",
            "headline": lambda _: [],
        }
        return Study(name, (name,), run, brief=brief, **silent)

    studies = {"long": study("long"), "late": study("late"), "short": study("short", brief=True)}
    monkeypatch.setattr(Entry, "study", property(lambda entry: studies[entry.name]))
    entries = tuple(Entry(name, "") for name in studies)
    monkeypatch.setattr(registry, "REGISTRY", entries)
    made = make("reproduce", entries, Settings(), tmp_path / "out", "reproduction")
    assert order == ["long begins", "short begins", "short ends", "long ends", "late begins", "late ends"]
    assert [made.facts[name] for name in studies] == [1, 1, 1]


def test_an_optimizer_of_figure4_is_one_entry(monkeypatch):
    monkeypatch.setitem(figure_four.OPTIMIZERS, "sign", Entrant(optax.sign_sgd(1e-3), 20, {"color": "k"}))
    with jax.enable_x64(False):
        study = descents("quick", steps=30, others=["sign"], rates=[])
    assert len(study.runs["sign"].loss) == 20
    assert study.runs["sign"].loss[-1] < study.runs["sign"].loss[0]
    assert "sign" in figure_four.summary(study)["steps_to_5e-4"]
    labels = figure_four.figure4(study).axes[0].get_legend_handles_labels()[1]
    assert labels == ["SGD", "smooth", "sign"]


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
