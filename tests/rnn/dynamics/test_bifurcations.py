"""Events along paths of models whose events are known by construction."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize
from planted import backward, forward, planted

import rnn
from rnn.dynamics import Follower
from rnn.dynamics.crossing import localise

SAMPLES = 13


class Family(eqx.Module):
    """``u' = push + lead u + bend u² + cube u³`` (or the planar ``z' = turn z (1 + cube |z|²)``) in R^3, hidden.

    The other coordinates decay; a nonlinear change of coordinates mixes all of them.
    """

    numbers: jax.Array
    layers: tuple
    others: jax.Array
    planar: bool = eqx.field(static=True, default=False)

    def __call__(self, h):
        layers = jax.tree.map(jax.lax.stop_gradient, self.layers)
        x, c = backward(layers, h), self.numbers
        if self.planar:
            r = 1 + c[2] * (x[0] ** 2 + x[1] ** 2)
            lead = jnp.stack([c[0] * x[0] - c[1] * x[1], c[1] * x[0] + c[0] * x[1]]) * r
            image = jnp.concatenate([lead, x[2:] * self.others[2:]])
        else:
            u = x[0]
            lead = c[0] + u * (c[1] + u * (c[2] + u * c[3]))
            image = jnp.concatenate([lead[None], x[1:] * self.others[1:]])
        return forward(layers, image)


def hidden_path(rows, seed, planar=False):
    """A path through the coefficients ``rows``, all behind one change of coordinates."""
    p, _ = planted("neimark_sacker" if planar else "pitchfork", seed, size=3)
    others = np.array([0.0, 0.35, -0.4])
    layers = tuple(tuple(map(jnp.asarray, layer)) for layer in p.layers)
    models = [Family(jnp.asarray(row, float), layers, jnp.asarray(others), planar) for row in rows]
    starts = np.concatenate([np.random.default_rng(seed).uniform(-0.5, 0.5, (24, 1)), np.zeros((24, 2))], axis=1)
    if planar:
        starts[:, 1] = starts[::-1, 0]
    starts = np.stack([np.asarray(forward(p.layers, x)) for x in starts])
    return models, starts


def rows_of(kind, rng, forwards=True):
    """Coefficients along a path with one event of ``kind``, and the step where it is."""
    at = rng.uniform(0.3, 0.7)
    m = (np.linspace(0, 1, SAMPLES) - at) * rng.uniform(0.2, 0.4) * (1 if forwards else -1)
    one, none = np.ones_like(m), np.zeros_like(m)
    bend, cube = rng.uniform(0.7, 1.3, 2) * rng.choice([-1, 1], 2)
    step = at * (SAMPLES - 1)
    if kind == "saddle_node":
        return np.stack([m * 0.3, one, bend * one, none], 1), step
    if kind == "transcritical":
        return np.stack([none, 1 + m, bend * one, none], 1), step
    if kind == "pitchfork":
        return np.stack([none, 1 + m, none, cube * one], 1), step
    if kind == "period_doubling":
        return np.stack([none, -1 - m, 0.5 * bend * one, cube * one], 1), step
    omega = rng.choice([0.7, 1.1, 1.8, 2.6]) + rng.uniform(-0.1, 0.1)
    return np.stack([(1 + m) * np.cos(omega), (1 + m) * np.sin(omega), cube * one], 1), step


def describe(found):
    return [(e.kind, e.step, e.period, e.status) for e in found], found.unresolved


def check(found, expected):
    """Recall, no false alarm, kind and step right, every event localised; what could not be resolved is nothing."""
    assert [e.kind for e in found] == [kind for kind, _ in expected], describe(found)
    for event, (_, step) in zip(found, expected, strict=True):
        assert abs(event.step - step) <= 1e-6, describe(found)
        assert event.status == "localised"
        assert abs(abs(event.multiplier) - 1) <= 1e-10


KINDS = ("saddle_node", "transcritical", "pitchfork", "period_doubling", "neimark_sacker")


@pytest.mark.parametrize("kind", KINDS)
def test_planted_runs(kind):
    """Eight runs of each kind, both ways, super- and subcritical."""
    for seed in range(8):
        rng = np.random.default_rng([KINDS.index(kind), seed])
        rows, step = rows_of(kind, rng, forwards=seed % 2 == 0)
        models, starts = hidden_path(rows, seed, kind == "neimark_sacker")
        check(rnn.bifurcations(models, every=1, starts=starts), [(kind, step)])


def test_runs_without_an_event():
    for seed in range(6):
        rng = np.random.default_rng(seed)
        rows, _ = rows_of("pitchfork", rng)
        rows[:, 0] = rng.choice([0.0, 0.02])
        rows[:, 1] = np.linspace(0.2, 0.9, SAMPLES) * rng.choice([-1, 1])
        rows[:, 3] = -0.5
        models, starts = hidden_path(rows, seed)
        check(rnn.bifurcations(models, every=1, starts=starts), [])


def logistic_rows(low, high):
    """``u' = r u (1 − u)``."""
    r = np.linspace(low, high, SAMPLES)
    return np.stack([0 * r, r, -r, 0 * r], 1)


@pytest.mark.parametrize("seed", range(3))
def test_the_road_of_the_logistic_map(seed):
    """Transcritical at 1, period doubling at 3, of the 2-cycle at 1 + √6; the second to 1e-12 in r."""
    rows = logistic_rows(0.5, 3.5) if seed < 2 else logistic_rows(3.5, 0.5)
    models, starts = hidden_path(rows, seed)
    found = rnn.bifurcations(models, every=1, starts=starts)
    at = {"transcritical": [1.0], "period_doubling": [3.0, 1 + np.sqrt(6)]}
    step = [(kind, (r - rows[0, 1]) / (rows[-1, 1] - rows[0, 1]) * (SAMPLES - 1)) for kind in at for r in at[kind]]
    check(found, sorted(step, key=lambda item: item[1]))
    second = next(e for e in found if e.period == 2)
    r = rows[0, 1] + (rows[-1, 1] - rows[0, 1]) * second.step / (SAMPLES - 1)
    assert abs(r - (1 + np.sqrt(6))) <= 1e-12
    assert not found.unresolved


def test_branches_are_linked_to_the_events_that_join_them():
    rows, _ = rows_of("pitchfork", np.random.default_rng(3))
    rows[:, 3] = -1.0
    models, starts = hidden_path(rows, 3)
    forth = rnn.bifurcations(models, every=1, starts=starts)
    back = rnn.bifurcations(models[::-1], every=1, starts=starts)
    points = [[b for b in found.branches if b.period == 1] for found in (forth, back)]
    assert sorted(b.born is not None for b in points[0]) == [False, True, True]
    assert sorted(b.ended is not None for b in points[1]) == [False, True, True]
    assert all(b.status == ("ended" if b.ended is not None else "followed") for b in points[1])


def test_the_cycle_of_a_subcritical_flip_ends_at_it():
    rows, _ = rows_of("period_doubling", np.random.default_rng(0))
    rows[:, 2], rows[:, 3] = 0.0, -1.0
    models, starts = hidden_path(rows, 5)
    found = rnn.bifurcations(models, every=1, starts=starts)
    cycles = [b for b in found.branches if b.period == 2]
    assert len(cycles) == 1
    assert (cycles[0].ended, cycles[0].status) == (0, "ended")
    assert not found.unresolved


@pytest.mark.parametrize("bend", [1.2, 1.0])
def test_events_of_two_cycles(bend):
    """``f(u) = −u(1 − a + b u² − u⁴)``, whose symmetric 2-cycles obey ``a = b u² − u⁴``.

    One is shed by the flip at a = 0 and meets the other at the fold a = b²/4; that one is met by a pair of asymmetric
    cycles where ``f' = 1``, each of which has doubled before. With b = 1 flip and pitchfork come at one step.
    """

    class Quintic(eqx.Module):
        a: jax.Array

        def __call__(self, h):
            return -h * (1 - self.a + bend * h * h - h**4)

    def doubling(x):
        u, v, a = x
        f, slope = (lambda h: -h * (1 - a + bend * h**2 - h**4)), (lambda h: a - 1 - 3 * bend * h**2 + 5 * h**4)
        return [f(u) - v, f(v) - u, slope(u) * slope(v) + 1]

    values = np.linspace(-0.13, 0.47, SAMPLES)
    models = [Quintic(jnp.asarray(a)) for a in values]
    found = rnn.bifurcations(models, every=1, starts=np.linspace(-0.95, 0.95, 32)[:, None])
    met = (bend + np.sqrt(bend**2 + 8)) / 4
    doubled = scipy.optimize.fsolve(doubling, [0.9, -1.1, 0.0], xtol=1e-13)[2]
    expected = [
        ("period_doubling", 1, 0.0),
        ("period_doubling", 2, doubled),
        ("period_doubling", 2, doubled),
        ("pitchfork", 2, bend * met - met**2),
        ("saddle_node", 2, bend**2 / 4),
    ]
    steps = {(kind, period, (a - values[0]) / (values[-1] - values[0]) * (SAMPLES - 1)) for kind, period, a in expected}
    assert len(found) == len(expected), describe(found)
    for kind, period, step in steps:
        close = [e for e in found if (e.kind, e.period) == (kind, period) and abs(e.step - step) <= 1e-6]
        assert close, (describe(found), kind, period, step)
    assert not found.unresolved
    assert all(b.status == "ended" for b in found.branches if b.period == 2)


def test_a_trained_like_path_of_networks():
    """``h' = g W tanh h``: an odd network of two unequal neurons meets two pitchforks; forth and back agree."""
    weight = np.diag([1.0, 0.8])
    scale = np.linspace(0.5, 1.6, SAMPLES)
    models = [rnn.VanillaRNN(jnp.asarray(g * weight)) for g in scale]
    found = rnn.bifurcations(models, every=1)
    at = scale[0] + (scale[1] - scale[0]) * np.array([e.step for e in found])
    # the second pitchfork of the origin, and those of the first's arms at the same g, as the neurons are uncoupled
    assert [e.kind for e in found] == ["pitchfork"] * 4
    np.testing.assert_allclose(at, [1.0, 1.25, 1.25, 1.25], atol=1e-9)


def test_points_born_unstable_are_seen_in_larger_networks_too():
    """Three uncoupled bistable states of one neuron, and a fold of another at each: one pair attracts nothing."""
    n = 18
    weight = jnp.asarray(np.diag([2.0, 1.6, *np.linspace(-0.5, 0.5, n - 2)]))
    path = np.linspace(-0.6, -0.05, SAMPLES)
    found = rnn.bifurcations([rnn.VanillaRNN(weight, jnp.zeros(n).at[1].set(b)) for b in path], every=1)
    # the fold: 1 = 1.6 sech²h, h = 1.6 tanh h + b
    h = np.arccosh(np.sqrt(1.6))
    step = (h - 1.6 * np.tanh(h) - path[0]) / (path[1] - path[0])
    assert [e.kind for e in found] == ["saddle_node"] * 3
    assert sorted(round(abs(e.point[0]), 2) for e in found)[0] == 0
    np.testing.assert_allclose([e.step for e in found], step, atol=1e-6)
    assert len(found.branches) == 9
    assert all(b.steps[-1] == len(path) - 1 for b in found.branches)
    assert not found.unresolved


def test_bias_turns_the_pitchfork_into_a_fold():
    scale = np.linspace(0.5, 2.0, SAMPLES)
    models = [rnn.VanillaRNN(jnp.full((1, 1), g), jnp.full(1, 0.05)) for g in scale]
    found = rnn.bifurcations(models, every=1)
    assert [e.kind for e in found] == ["saddle_node"]
    assert len(found.branches) == 3
    # the fold: 1 = g sech²h, h = g tanh h + b
    event = found[0]
    g = scale[0] + (scale[1] - scale[0]) * event.step
    h = event.point[0]
    assert g / np.cosh(h) ** 2 == pytest.approx(1, abs=1e-9)
    assert g * np.tanh(h) + 0.05 == pytest.approx(h, abs=1e-9)


# Bad input.


class Loose(eqx.Module):
    a: jax.Array
    f: object = eqx.field(static=True)

    def __call__(self, h):
        return self.f(self.a, h)


def loose(f):
    return [Loose(jnp.asarray(a), f) for a in (0.1, 0.2)]


@pytest.mark.parametrize(
    ("models", "options", "message"),
    [
        ([rnn.VanillaRNN(jnp.eye(2))], {}, "at least two models"),
        ([rnn.VanillaRNN(jnp.eye(2)), rnn.VanillaRNN(jnp.eye(3))], {}, "differs"),
        (loose(lambda a, h: a * h * jnp.nan), {"starts": np.ones((4, 1))}, "NaN"),
        (loose(lambda a, h: a * jnp.sum(h)), {"starts": np.ones((4, 2))}, "must return one vector"),
        (loose(lambda a, h: a * h), {}, "size"),
        (loose(lambda a, h: a * h), {"starts": np.ones(4)}, "starts must have shape"),
        ([jnp.sin, jnp.sin], {"starts": np.ones((4, 1))}, "wrt"),
    ],
)
def test_bad_input_is_refused(models, options, message):
    with pytest.raises(ValueError, match=message):
        rnn.bifurcations(models, **options)


def test_a_path_without_any_point_says_so():
    found = rnn.bifurcations(loose(lambda a, h: h + 1 + a * h * h), starts=np.zeros((4, 1)))
    assert len(found) == 0
    assert "no isolated fixed point was found" in found.unresolved[0]


def test_samples_that_lie_close_together_have_a_rate():
    """Far along a path, two samples a rounding apart: a step of a thousandth of their distance is none."""
    start, slope = 1e6, np.array([2.0, -1.0, 0.5, 3.0])
    steps = np.array([start, np.nextafter(start, np.inf), start + 1.0, start + 3.0])
    weight = lambda s: (0.1 + slope * (s - start)).reshape(2, 2)  # noqa: E731
    path = rnn.path([rnn.VanillaRNN(weight(s)) for s in steps], steps)
    follower = Follower(path, 1e-10)
    for step, ahead in ((start, start + 1), (start + 0.5, start), (start + 3, start + 3), (start + 3, start)):
        np.testing.assert_allclose(follower.rate(step, ahead), slope, rtol=1e-5)


def test_a_crossing_at_the_place_where_a_stretch_begins_is_found_there():
    """The multiplier is 1 to the digit at step 2, where nothing is unstable yet."""
    models = [rnn.VanillaRNN(jnp.asarray([[w]])) for w in (0.5, 0.75, 1.0, 1.25, 1.5)]
    follower = Follower(rnn.ModelPath.of(models), 1e-12)
    low, high = (follower.describe(step, np.zeros(1), 1) for step in (2.0, 3.0))
    assert low.multipliers[0] == 1
    found, after = localise(follower, low, high, 1)
    assert found.step == pytest.approx(2.0, abs=1e-9)
    assert after.step == 3.0
