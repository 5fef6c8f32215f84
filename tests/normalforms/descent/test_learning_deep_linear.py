"""The scalar map of a deep linear network against networks that are trained."""

import numpy as np
import pytest

import normalforms as nf


def target_of(n, s, rng):
    left, right = (np.linalg.qr(rng.normal(size=(n, n)))[0] for _ in range(2))
    return s * np.outer(left[:, 0], right[:, 0])


def train(weights, target, rate, until, most=200_000):
    """Plain descent on ``½ ‖W_L … W_1 − S‖²`` until the product's leading singular value passes ``until``."""
    weights, depth = [w.copy() for w in weights], len(weights)
    for step in range(most):
        below = [np.eye(target.shape[1])]
        for w in weights:
            below.append(w @ below[-1])
        if np.linalg.norm(below[-1], 2) >= until:
            return step, weights
        back, slopes = below[-1] - target, [None] * depth
        for k in range(depth - 1, -1, -1):
            slopes[k] = back @ below[k].T
            back = weights[k].T @ back
        weights = [w - rate * g for w, g in zip(weights, slopes, strict=True)]
    raise AssertionError("not learnt")


@pytest.mark.parametrize(("depth", "rate"), [(2, 0.02), (3, 0.02), (4, 0.02)])
def test_half_time_of_a_trained_network(depth, rate):
    rng = np.random.default_rng(depth)
    s, n = 2.0, 8
    target = target_of(n, s, rng)
    scale = {2: 3e-6, 3: 8e-3, 4: 0.045}[depth]
    weights = [scale * np.linalg.qr(rng.normal(size=(n, n)))[0] for _ in range(depth)]
    _, early = train(weights, target, rate, s / 1000)
    steps, _ = train(early, target, rate, s / 2)
    net = nf.deep_linear(depth, rate, s)
    assert net.look(early, target).status == "aligned"
    assert net.forecast(early, target) == pytest.approx(steps, abs=2)


def test_a_network_at_its_start_is_refused():
    rng = np.random.default_rng(0)
    target = target_of(8, 2.0, rng)
    weights = [rng.normal(size=(8, 8)) / np.sqrt(8) for _ in range(3)]
    net = nf.deep_linear(3, 0.01, 2.0)
    with pytest.raises(ValueError, match="cosine"):
        net.forecast(weights, target)
    flat = [0.5 * np.eye(8)] * 3
    with pytest.raises(ValueError, match="more than one mode"):
        net.forecast(flat, 2.0 * np.diag([1.0, *[0.0] * 7]))


@pytest.mark.parametrize("depth", [1, 2, 3, 5])
def test_time_and_edge_are_those_of_the_map(depth):
    net = nf.deep_linear(depth, 0.01, 1.5)
    u = net.descend(0.004, 60_000).g
    k = int(np.argmax(u >= 0.75))
    true = k - (u[k] - 0.75) / (u[k] - u[k - 1])
    assert net.half_time(0.004) == pytest.approx(true, abs=0.05)
    edge = net.critical_rate
    for share, stays in ((0.97, True), (1.03, False)):
        moved = nf.deep_linear(depth, share * edge, 1.5).descend(1.5 * (1 + 1e-7), 600).g[-1]
        assert (abs(moved - 1.5) < 1e-7) == stays


def test_two_layers_are_the_pitchfork():
    net = nf.deep_linear(2, 0.1, 1.0)
    assert nf.reduce(net.map).kind == "pitchfork"
    a, h = 0.01**0.5, np.sqrt(0.1) * 0.01**0.5
    for _ in range(50):
        h = (1 + 0.1) * h - h**3
        a = a + 0.1 * a * (1 - a**2)
    assert h == pytest.approx(np.sqrt(0.1) * a, rel=1e-12)
    assert net.formula(2.0, 3.0) == pytest.approx(3 * 2 ** (4 / 3))
    with pytest.raises(ValueError, match="one layer"):
        _ = nf.deep_linear(1, 0.1, 1.0).map


def test_logistic_time_of_two_layers():
    net = nf.deep_linear(2, 1e-4, 2.0)
    flow = np.log(1.0 * (2 - 0.01) / (0.01 * (2 - 1.0))) / (2 * 1e-4 * 2)
    assert net.time(0.01, 1.0) == pytest.approx(flow, rel=1e-3)
    assert net.time(0.01, 2.0) == np.inf


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: nf.deep_linear(0, 0.1, 1.0), "depth"),
        (lambda: nf.deep_linear(2, -0.1, 1.0), "rate"),
        (lambda: nf.deep_linear(2, 0.1, 0.0), "target"),
        (lambda: nf.deep_linear(2, 0.1, 1.0).half_time(0.0), "u0"),
        (lambda: nf.deep_linear(2, 0.1, 1.0).look([np.eye(2)], np.eye(2)), "layers"),
        (lambda: nf.deep_linear(2, 0.1, 1.0).look([np.eye(2), np.eye(3)], np.eye(2)), "follow"),
        (lambda: nf.deep_linear(2, 0.1, 1.0).look([np.eye(2), np.eye(2)], np.eye(3)), "target"),
    ],
)
def test_bad_input(call, words):
    with pytest.raises(ValueError, match=words):
        call()
