"""One test for every line of docs/departures.md."""

import re
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

import normalforms as nf
import rnn
from rnn.model import with_bias


def linear_sum(g, horizon):
    t = np.arange(1, horizon + 1)
    return np.sum(t**2 * g ** (2.0 * (t - 1)))


def test_every_line_of_the_page_names_a_test():
    page = (Path(__file__).parent.parent / "docs" / "departures.md").read_text()
    named = set(re.findall(r"`(test_\w+)`", page))
    assert named
    assert named <= set(globals())


def test_subcritical_sum_tends_to_a_constant():
    law = nf.amplification(nf.stability_flip())
    for g in (0.3, 0.8, 0.95):
        expected = (1 + g**2) / (1 - g**2) ** 3
        assert law(g, 1.0, 2000) == pytest.approx(expected, rel=1e-12)
        assert abs(law(g, 1.0, 2000) / (2000**3 / 3) - 1) > 0.9


def test_critical_sum_is_a_third_of_the_cubed_horizon():
    law = nf.amplification(nf.stability_flip())
    for T in (10, 100, 1000):
        assert law(1.0, 1.0, T) == pytest.approx(T * (T + 1) * (2 * T + 1) / 6, rel=1e-12)
    assert law(1.0, 1.0, 1000) == pytest.approx(1000**3 / 3, rel=2e-3)


def test_supercritical_growth_has_a_positive_denominator():
    law = nf.amplification(nf.stability_flip())
    g, T = 1.3, 400
    assert law(g, 1.0, T) == pytest.approx(T**2 * g ** (2 * T) / (g**2 - 1), rel=0.02)
    assert law(g, 1.0, T) == pytest.approx(linear_sum(g, T), rel=1e-10)


def test_linear_law_is_proportional_to_the_initial_second_moment():
    law = nf.amplification(nf.stability_flip())
    for r in (0.05, 0.1):
        mean = law.averaged(nf.Uniform(-r, r))(0.97, 30)
        assert mean == pytest.approx(r**2 / 3 * linear_sum(0.97, 30), rel=1e-10)


def test_pitchfork_is_linear_below_criticality_only_for_small_states():
    pitchfork = nf.amplification(nf.pitchfork())
    linear = nf.amplification(nf.stability_flip())
    assert pitchfork(0.98, 1e-3, 30) == pytest.approx(linear(0.98, 1e-3, 30), rel=1e-3)
    assert pitchfork(0.98, 0.5, 30) < 0.1 * linear(0.98, 0.5, 30)


def test_teacher_needs_its_rest_to_vanish_on_tanh_of_the_points():
    rng = np.random.default_rng(0)
    points = np.zeros((2, 64))
    points[:, :2] = [[1.5, 1.0], [1.5, -1.0]]
    rest = rng.normal(size=(64, 64))
    W = rnn.embed_fixed_points(points, rest, 0.5)
    assert np.max(np.abs(np.tanh(points) @ W.T - points)) < 1e-13
    x = rng.normal(size=64)
    phi = np.tanh(x)
    paper = np.outer(x, phi) / (phi @ phi) + rest @ (np.eye(64) - np.outer(x, x) / (x @ x)) / 8
    assert np.max(np.abs(paper @ phi - x)) > 0.05


def test_the_network_has_64_neurons():
    task = rnn.student_teacher(0)
    assert task.student.weight.shape == (64, 64)
    assert task.h0.shape == (256, 64)
    assert task.targets.shape == (256, 25, 2)


def test_xavier_can_start_beyond_the_bifurcation():
    radii = [np.max(np.abs(np.linalg.eigvals(np.random.default_rng(k).normal(size=(64, 64)) / 8))) for k in range(20)]
    assert max(radii) > 1
    assert np.max(np.abs(np.linalg.eigvals(np.asarray(rnn.student_teacher(0).student.weight)))) < 0.51


def test_bias_turns_the_pitchfork_into_a_fold(story):
    assert story.events[0].kind == "pitchfork"
    bias = story.bias
    assert bias.events[0].kind == "saddle_node"
    assert all(event.kind != "pitchfork" for event in bias.events)
    assert bias.distance > 0.1
    assert bias.share > 0.9


def test_the_readout_alone_shows_no_collapse(story):
    run = story.run
    full = rnn.sntk(with_bias(run.model(0)), run.task.h0, run.task.horizon)
    read = rnn.sntk(with_bias(run.model(0)), run.task.h0, run.task.horizon, readout=lambda h: h[:2])
    assert float(full.stable_rank().value) > 10
    assert float(read.stable_rank().value) < 3


def test_the_sharpest_collapse_is_one_trajectory(story):
    run, shares = story.run, {}
    for step in (story.events[0].step, story.rank.minimum_step):
        kernel = rnn.sntk(with_bias(run.model(step)), run.task.h0, run.task.horizon)
        y = np.asarray(kernel.jvp(kernel.leading(1, tolerance=1e-3).vectors[0]))
        shares[step] = np.sum(y**2, axis=(1, 2)) / np.sum(y**2)
    crossing, smallest = shares.values()
    assert 1 / np.sum(crossing**2) > 200  # of 256: the whole batch takes part
    assert np.max(smallest) > 0.8
    values, vectors = np.linalg.eig(np.asarray(run.model(story.rank.minimum_step).weight, np.float64).T)
    p = np.real(vectors[:, np.argmax(np.abs(values))])
    distance = np.abs(np.tanh(np.asarray(run.task.h0)) @ p)
    assert np.argmax(smallest) == np.argmin(distance)


def test_prediction_improves_rung_by_rung(story):
    prediction = story.restricted.prediction
    errors = [prediction.max_relative_error(rung) for rung in ("cubic", "scalar", "response")]
    assert errors[0] > 0.3
    assert errors[1] < 0.15
    assert errors[2] < 0.02


def test_prediction_fails_without_a_spectral_gap(story):
    assert story.control.sweep.gap > 0.85
    good, bad = story.restricted.prediction, story.control.prediction
    assert bad.max_relative_error("scalar") > 2 * good.max_relative_error("scalar")
    assert jnp.isfinite(bad.r2())
