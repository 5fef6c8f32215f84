"""One test for every line of docs/departures.md.

Those that need a trained network are in rnn/studies/test_experiment.py.
"""

import math
import re
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import normalforms as nf
import rnn


def linear_sum(g, horizon):
    t = np.arange(1, horizon + 1)
    return np.sum(t**2 * g ** (2.0 * (t - 1)))


def test_every_line_of_the_page_names_a_test():
    page = (Path(__file__).parent.parent / "docs" / "departures.md").read_text()
    named = set(re.findall(r"`(test_\w+)`", page))
    experiment = (Path(__file__).parent / "rnn" / "studies" / "test_experiment.py").read_text()
    assert named
    assert named <= set(globals()) | set(re.findall(r"^def (test_\w+)", experiment, re.MULTILINE))


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


def test_the_sudden_drop_is_the_flow_s_own():
    import optax

    from rnn.forecasting.flow import real_steps
    from rnn.forecasting.optimizer import HeavyBall
    from rnn.forecasting.twin import sharpness
    from rnn.models import flatten

    task = rnn.student_teacher(0, size=24, batch=32, horizon=12)
    steps = real_steps(task, np.asarray(flatten(task.student)), HeavyBall(1e-2, 0.0), 240)
    moduli = np.array([np.abs(np.linalg.eigvals(w.reshape(24, 24))).max() for w in steps.parameters])
    crossing = int(np.argmax(moduli >= 1))
    assert 0 < crossing < 200
    assert np.all(np.diff(steps.losses[: crossing + 30]) <= 1e-6)
    assert steps.losses[crossing + 30] < 0.6 * steps.losses[crossing - 30]
    near = [0.01 * sharpness(task, steps.parameters[crossing + k]) for k in (-20, 0, 20)]
    assert max(near) < 0.5
    view = rnn.forecast(task.student, task, optimizer=optax.sgd(1e-2), after=30)
    assert view.loss(crossing + 20) == pytest.approx(steps.losses[crossing + 20], rel=0.03)


def test_the_loss_wants_the_second_mode_only_after_the_first():
    rng = np.random.default_rng(0)
    q = np.linalg.qr(rng.normal(size=(32, 2)))[0]
    h0 = rng.normal(size=(64, 32))

    def run(multipliers):
        h, states = h0, []
        for _ in range(25):
            h = np.tanh(h) @ (q * multipliers) @ q.T
            states.append(h)
        return np.stack(states)

    target, second = run(np.array([1.5, 1.1])), np.linspace(0.7, 1.2, 51)

    def wanted(first):
        losses = [np.mean((run(np.array([first, value])) - target) ** 2) for value in second]
        return second[int(np.argmin(losses))]

    assert max(wanted(first) for first in (0.0, 0.9, 1.2)) < 1
    assert wanted(1.5) == pytest.approx(1.1, abs=0.011)


def test_collapse_is_a_signature_of_tied_parameters():
    """The same network at criticality, its parameters tied through time, and free at every step."""
    random, size = np.random.default_rng(2), 6
    turn = np.linalg.qr(random.normal(size=(size, size)))[0]
    network = rnn.VanillaRNN(jnp.asarray(turn @ np.diag([1.0, *random.uniform(-0.5, 0.5, size - 1)]) @ turn.T))
    h0 = jnp.asarray(1e-3 * random.normal(size=(4, size)))

    def rank(model, **options):
        s = np.linalg.svd(np.asarray(rnn.sntk(model, h0, **options).as_matrix()), compute_uv=False)
        return np.sum(s**2) / s[0] ** 2

    def free(steps):
        return jax.tree.map(lambda p: jnp.broadcast_to(p, (steps, *p.shape)), network)

    tied = [rank(network, horizon=steps) - 1 for steps in (20, 40)]
    untied = [rank(free(steps), stacked=True) - math.pi**2 / 8 for steps in (20, 40)]
    assert 3 < tied[0] / tied[1] < 5  # 1/T²
    assert 1.4 < untied[0] / untied[1] < 2.5  # 1/T
    assert tied[1] < 0.05
    assert untied[1] > 0.5
