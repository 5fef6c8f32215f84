"""Fixed points and cycles against published and constructed ground truth."""

import itertools
import json
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import rnn
from rnn.dynamics.newton import newton_cycles

TESTS = Path(__file__).parents[2]
REFERENCE = json.loads((TESTS / "normalforms" / "reduction" / "reference.json").read_text())


class Scalar(eqx.Module):
    """``x' = f(r, x)`` as a network of one neuron."""

    r: jax.Array
    f: object = eqx.field(static=True)

    def __call__(self, h):
        return self.f(self.r, h)


def logistic(r):
    return Scalar(jnp.asarray(r), lambda r, h: r * h * (1 - h))


class PiecewiseLinear(eqx.Module):
    """``z' = a z + W relu(z) + b``."""

    decay: jax.Array
    weight: jax.Array
    bias: jax.Array

    def __call__(self, z):
        return self.decay * z + self.weight @ jax.nn.relu(z) + self.bias


def check(found, period=1, tolerance=1e-14):
    """What every result promises."""
    assert found.status == "found"
    assert np.max(found.residuals) <= tolerance
    assert sorted(i for cycle in found.cycles for i in cycle) == list(range(len(found)))
    assert all(len(cycle) == period for cycle in found.cycles)


def test_published_network_of_two_neurons():
    known = REFERENCE["fixed_points_rnn_n2"]
    n = 2
    rows = np.stack([-np.roll(np.linspace(-1, 1, n), -i) for i in range(n)])
    found = rnn.fixed_points(rnn.VanillaRNN(jnp.asarray(rows.T), form="tanh(W@h+b)"))
    check(found)
    assert len(found) == len(known["points"])
    for point in known["points"]:
        gaps = np.linalg.norm(found.points - np.asarray(point), axis=1)
        assert gaps.min() < 1e-8
        if not any(point):
            assert abs(found.multipliers[np.argmin(gaps), 0] - known["multiplier_at_origin"]) < 1e-14
    assert found.index_sum == 1
    assert np.max(found.certificate) <= 0.5


@pytest.mark.parametrize("period", [1, 2, 3, 4, 5, 6])
def test_every_cycle_of_the_full_tent_like_map(period):
    """``x' = 4x(1 − x)``: ``(1/k) Σ_{d|k} μ(k/d) 2^d`` cycles of exact period k, at ``sin²(πm/(2^k ± 1))``."""
    found = rnn.fixed_points(logistic(4.0), starts=np.linspace(0.001, 0.999, 200)[:, None], period=period)
    check(found, period)
    assert len(found.cycles) == {1: 2, 2: 1, 3: 2, 4: 3, 5: 6, 6: 9}[period]
    exact = [
        np.sin(np.pi * m / (2**period + s)) ** 2 for s in (1, -1) for m in range(2 ** (period - 1) + 1) if 2**period + s
    ]
    assert np.all(np.min(np.abs(found.points - np.asarray(exact)), axis=1) < 1e-13)
    expected = np.where(np.abs(found.points[:, 0]) < 1e-9, 4.0, 2.0**period)
    np.testing.assert_allclose(np.abs(found.multipliers[:, 0]), expected, rtol=1e-9)


def test_near_flip_pair_is_told_apart():
    """At multiplier −1.000024 the fixed point and the 2-cycle that it has just shed lie 5e-3 apart."""
    model = logistic(3.000024)
    starts = np.linspace(0.01, 0.99, 40)[:, None]
    fixed, cycle = (rnn.fixed_points(model, starts=starts, period=k) for k in (1, 2))
    check(fixed)
    check(cycle, 2)
    at = fixed.points[np.argmax(fixed.points[:, 0])]
    assert fixed.multipliers[np.argmax(fixed.points[:, 0]), 0].real == pytest.approx(-1.000024, abs=1e-12)
    assert len(cycle.cycles) == 1
    r = 3.000024
    exact = (r + 1 + np.array([1, -1]) * np.sqrt((r - 3) * (r + 1))) / (2 * r)
    np.testing.assert_allclose(np.sort(cycle.points[:, 0]), np.sort(exact), atol=1e-11)
    assert np.all(np.abs(cycle.points - at) > 1e-3)


@pytest.mark.parametrize("gap", [1e-4, 1e-8, 1e-12])
def test_a_pair_near_its_birth_is_never_merged(gap):
    """``x' = x + g − x²`` has the points ``±√g``."""
    model = Scalar(jnp.asarray(gap), lambda g, h: h + g - h * h)
    found = rnn.fixed_points(model, starts=np.linspace(-0.5, 0.5, 41)[:, None])
    check(found)
    np.testing.assert_allclose(np.sort(found.points[:, 0]), np.sqrt(gap) * np.array([-1, 1]), rtol=1e-3)


def test_before_the_birth_there_is_nothing_and_the_status_says_so():
    model = Scalar(jnp.asarray(-1e-4), lambda g, h: h + g - h * h)
    found = rnn.fixed_points(model, starts=np.linspace(-0.5, 0.5, 41)[:, None])
    assert len(found) == 0
    assert "converged" in found.status
    assert found.failed == found.starts


def test_copies_of_one_point_are_one():
    found = rnn.fixed_points(logistic(2.5), starts=0.6 + 1e-3 * np.arange(-5, 6)[:, None])
    assert np.sum(np.abs(found.points[:, 0] - 0.6) < 1e-6) == 1


def test_deflation_leaves_known_points():
    model = logistic(2.5)
    start = np.array([[[0.55]]])
    plain, _ = newton_cycles(model, start)
    assert abs(plain[0, 0, 0] - 0.6) < 1e-12
    deflated, residual = newton_cycles(model, start, known=np.array([[0.6]]))
    assert abs(deflated[0, 0, 0]) < 1e-12
    assert residual[0] < 1e-12


def test_deflation_leaves_many_known_points():
    """Nine points of two neurons, eight of them known: the ninth is found, however many rows pad the known ones."""
    model = rnn.VanillaRNN(2 * jnp.eye(2))
    everything = rnn.fixed_points(model).points
    for missing in range(len(everything)):
        known = np.delete(everything, missing, axis=0)
        starts = everything[[missing, 0, 4, 8], None] + 0.15
        ends, residual = newton_cycles(model, starts, known=known)
        gaps = np.linalg.norm(ends[:, 0] - everything[missing], axis=1)
        assert np.any((gaps < 1e-9) & (residual < 1e-9))
        assert not np.any((gaps > 1e-6) & (residual < 1e-9))


def test_cubic_network_has_all_nine_points():
    """Two uncoupled neurons ``h' = 2 tanh h`` have the product of three points each."""
    found = rnn.fixed_points(rnn.VanillaRNN(2 * jnp.eye(2)))
    check(found)
    assert len(found) == 9
    assert found.stable.sum() == 4
    assert found.index_sum == 1
    assert np.max(found.certificate) <= 0.5


def test_cycles_of_a_network_carry_certificates():
    """``h' = −2 tanh h``: one 2-cycle ``±a``; in two such neurons four, two of them with a fixed coordinate."""
    found = rnn.fixed_points(rnn.VanillaRNN(-2 * jnp.eye(2)), period=2)
    check(found, 2)
    assert len(found.cycles) == 4
    assert np.max(found.certificate) <= 0.5


def test_random_networks_are_complete_by_their_index():
    for seed in range(4):
        weight = np.random.default_rng(seed).normal(size=(6, 6)) * 2.5 / np.sqrt(6)
        found = rnn.fixed_points(rnn.VanillaRNN(jnp.asarray(weight)))
        check(found)
        assert found.index_sum == 1, seed
        mirrored = np.min(np.linalg.norm(found.points[:, None] + found.points[None], axis=2), axis=1)
        assert np.max(mirrored) < 1e-9


def test_gated_cell():
    cell = eqx.nn.GRUCell(1, 4, key=jax.random.key(0))
    cell = jax.tree.map(lambda x: 3 * x.astype(jnp.float64) if eqx.is_inexact_array(x) else x, cell)
    model = jax.tree_util.Partial(lambda c, h: c(jnp.zeros(1, h.dtype), h), cell)
    found = rnn.fixed_points(model)
    assert found.points.shape[1] == 4
    check(found)
    assert found.index_sum == 1
    image = np.stack([np.asarray(model(jnp.asarray(h))) for h in found.points])
    np.testing.assert_allclose(image, found.points, atol=1e-14)


def test_a_model_of_any_length_needs_to_be_told_its_size():
    model = jax.tree_util.Partial(lambda g, h: g * h - h**3, jnp.asarray(0.5))
    with pytest.raises(ValueError, match="size="):
        rnn.fixed_points(model)
    assert len(rnn.fixed_points(model, size=1)) == 1


# Piecewise-linear networks: every count of the published test set, both partners.

SCYFI = [
    (16, 0.8377689000000008, -0.6437499999999996, 0.52505308, -0.97931491),
    (27, 0.9777689, -0.14375, 0.52505308, -0.97931491),
    (31, 0.9777689, -0.14375, 1.1750530800000014, -0.97931491),
    (40, 0.9777689, -0.6437499999999996, 0.52505308, -0.97931491),
    (53, 0.9377689000000009, -0.6437499999999996, 0.52505308, -0.97931491),
    (65, 0.9777689, -0.14375, 1.3250530800000015, -0.97931491),
    (80, 0.9777689, -0.14375, 0.52505308, -0.779314909999999),
    (83, 0.9777689, -0.14375, 0.675053080000001, -0.97931491),
]


@pytest.mark.parametrize(
    ("period", "a1", "w1", "w2", "b2"),
    [case if case[0] == 16 else pytest.param(*case, marks=pytest.mark.slow) for case in SCYFI],
)
def test_published_cycles_of_a_piecewise_linear_map(period, a1, w1, w2, b2):
    """SCYFI test/convPLRNN_tests.jl (Eisenmann et al. 2023): two cycles each, a stable one and its partner."""
    model = PiecewiseLinear(jnp.array([a1, 0.96461297]), jnp.array([[0.0, w1], [w2, 0.0]]), jnp.array([0.37298253, b2]))
    found = rnn.fixed_points(model, period=period)
    check(found, period)
    assert len(found.cycles) == 2
    assert sorted(bool(found.stable[cycle[0]]) for cycle in found.cycles) == [False, True]
    assert np.all(found.certificate == 0)
    if period == 16:
        assert len(rnn.fixed_points(model, period=15)) == 0


@pytest.mark.parametrize("period", [1, 2, 3])
def test_piecewise_linear_cycles_by_brute_force_over_regions(period):
    """All ``2^{nk}`` sequences of activation regions, each an affine system."""
    n, counts, seed = 3, [], 0
    while len(counts) < 4 or counts.count(0) == len(counts):
        rng = np.random.default_rng(seed)
        seed += 1
        decay, weight, bias = rng.uniform(-0.5, 0.9, n), rng.normal(size=(n, n)) * 1.2, rng.normal(size=n)
        exact = []
        for regions in itertools.product(itertools.product((0.0, 1.0), repeat=n), repeat=period):
            product, shift = np.eye(n), np.zeros(n)
            for region in regions:
                A = np.diag(decay) + weight * np.array(region)
                product, shift = A @ product, A @ shift + bias
            z = first = np.linalg.solve(np.eye(n) - product, shift)
            orbit = []
            for region in regions:
                orbit.append(z)
                if not np.all((z > 0) == np.array(region, bool)):
                    break
                z = decay * z + weight @ np.maximum(z, 0) + bias
            else:
                steps = {d: np.linalg.norm(orbit[d % period] - first) for d in range(1, period) if period % d == 0}
                if all(apart > 1e-9 for apart in steps.values()):
                    exact.append(first)
        if len(counts) >= 1 and not exact:
            continue
        model = PiecewiseLinear(*map(jnp.asarray, (decay, weight, bias)))
        found = rnn.fixed_points(model, period=period)
        assert len(found) == len(exact), seed
        counts.append(len(exact))
        for z in exact:
            assert np.min(np.linalg.norm(found.points - z, axis=1)) < 1e-9
    assert max(counts) >= period


# Bad input.


def test_a_model_that_returns_nan_is_named():
    found = rnn.fixed_points(Scalar(jnp.asarray(1.0), lambda r, h: h * jnp.nan), size=1)
    assert len(found) == 0
    assert "NaN" in found.status


@pytest.mark.parametrize(
    ("model", "options", "message"),
    [
        (logistic(3.0), {}, "size"),
        (logistic(3.0), {"starts": np.zeros(3)}, "starts must have shape"),
        (logistic(3.0), {"starts": np.zeros((0, 1))}, "starts must have shape"),
        (logistic(3.0), {"starts": np.full((1, 1), np.nan)}, "NaN"),
        (logistic(3.0), {"size": 1, "period": 0}, "period"),
        (logistic(3.0), {"size": 1, "period": True}, "period"),
        (rnn.VanillaRNN(jnp.eye(2)), {"size": 3}, "state vector of length 3"),
        (Scalar(jnp.asarray(1.0), lambda r, h: jnp.sum(h)), {"size": 2}, "must return one vector"),
        (Scalar(jnp.asarray(1.0), lambda r, h: (h, h)), {"size": 2}, "must return one vector"),
    ],
)
def test_bad_input_is_refused(model, options, message):
    with pytest.raises(ValueError, match=message):
        rnn.fixed_points(model, **options)


def test_a_model_without_parameters_has_fixed_points_too():
    found = rnn.fixed_points(jnp.cos, starts=np.array([[0.5]]))
    assert found.points[0, 0] == pytest.approx(0.7390851332151607, abs=1e-15)
