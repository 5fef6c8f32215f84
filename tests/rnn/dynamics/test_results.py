"""Results as a few lines of text, and as tables."""

import sys

import jax.numpy as jnp
import numpy as np
import pytest

import rnn


@pytest.fixture(scope="module")
def results():
    models = [rnn.VanillaRNN(jnp.asarray([[gain]])) for gain in (0.5, 1.5)]
    task = rnn.student_teacher(0, size=4, batch=3, horizon=3)
    run = rnn.train(task, steps=4, save_every=2, diagnose_every=2, chunk=4)
    return {"points": rnn.fixed_points(models[1]), "events": rnn.bifurcations(models, every=1), "run": run}


def test_results_are_a_few_lines(results):
    events = results["events"]
    for result in (*results.values(), events[0], events.branches[0], events.branches[0].places[0]):
        text = repr(result)
        assert text.startswith(type(result).__name__ + "(")
        assert len(text.splitlines()) <= 6
        assert len(text) < 500
        assert "array(" not in text
    assert "points=float64(3, 1)" in repr(results["points"])
    assert "kind='pitchfork', step=0.5" in repr(events[0])


def test_points_and_events_are_tables(results):
    pytest.importorskip("pandas")
    table = results["points"].to_dataframe()
    assert table.shape == (3, 8)
    np.testing.assert_array_equal(table["h0"], results["points"].points[:, 0])
    assert table["stable"].sum() == 2
    (event,) = results["events"].to_dataframe().to_dict("records")
    assert (event["kind"], event["period"]) == ("pitchfork", 1)
    assert event["c3"].real == pytest.approx(-1 / 3)


def test_a_run_is_a_dataset(results):
    pytest.importorskip("xarray")
    run = results["run"]
    data = run.to_xarray()
    np.testing.assert_array_equal(data["loss"], run.loss)
    np.testing.assert_array_equal(data["parameters"].sel(saved=2.0), run.path.parameters[1])
    np.testing.assert_array_equal(data["diagnosed"], run.diagnostics["step"])
    np.testing.assert_array_equal(data["stable_rank"], run.diagnostics["stable_rank"])


def test_without_the_libraries_the_error_says_how_to_install_them(results, monkeypatch):
    for library in ("pandas", "xarray"):
        monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(ImportError, match=r"to_dataframe needs pandas: pip install 'bifurcation-laws\[tables\]'"):
        results["points"].to_dataframe()
    with pytest.raises(ImportError, match=r"to_xarray needs xarray: pip install 'bifurcation-laws\[tables\]'"):
        results["run"].to_xarray()
