"""Warnings on paths of networks whose crossing is known, and silence where nothing crosses."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import rnn
from rnn.approach import clocks_at, settle

H0 = jnp.asarray(np.random.default_rng(0).normal(size=(6, 3)))


def look_along(weights, loss, **options):
    models = [rnn.VanillaRNN(jnp.asarray(w)) for w in weights]
    seen = rnn.watch(models[0], H0, 5, loss=loss, **options)
    notices = []
    for k, model in enumerate(models):
        seen = seen.look(model, 10.0 * k)
        notices.append(seen.notice)
    return seen, notices


def growing(block, last=1.1):
    """Weights whose critical multipliers are those of ``block`` times 0.5 … last, linearly in the step."""
    weight = np.zeros((3, 3))
    weight[: len(block), : len(block)] = block
    return [scale * weight + 0.1 * np.diag([0, 0, 1.0]) for scale in np.linspace(0.5, last, 61)]


def toward(scale, block):
    """A loss whose minimum on the way of :func:`growing` lies at ``scale``; linear beyond all for infinity."""
    target = jnp.asarray(growing(block)[0] * 0).at[: len(block), : len(block)].set(jnp.asarray(block))
    if np.isinf(scale):
        return lambda m: -jnp.vdot(target, m.weight)
    return lambda m: 0.5 * jnp.sum((m.weight - scale * target) ** 2)


ROTATION = [[np.cos(1.0), -np.sin(1.0)], [np.sin(1.0), np.cos(1.0)]]


@pytest.mark.parametrize(
    ("block", "kind"), [([[1.0]], "steady"), ([[-1.0]], "period_doubling"), (ROTATION, "neimark_sacker")]
)
def test_a_crossing_is_announced_dated_and_confirmed(block, kind):
    """Where the multiplier grows evenly and the loss pushes evenly, the date is exact."""
    _, notices = look_along(growing(block), toward(np.inf, block))
    first = next(k for k, n in enumerate(notices) if n is not None)
    crossing = 10 * 60 * 0.5 / 0.6
    assert not notices[first].confirmed
    assert notices[first].kind == kind
    assert crossing - 10 * first == pytest.approx(200, abs=15)
    assert 10 * first + notices[first].steps == pytest.approx(crossing, abs=1e-3)
    confirmed = next(k for k, n in enumerate(notices) if n is not None and n.confirmed)
    assert 10 * confirmed == pytest.approx(crossing, abs=10)
    assert notices[confirmed].growth > 2


@pytest.mark.parametrize("block", [[[1.0]], ROTATION])
def test_the_date_is_the_law_s(block):
    """Descent on a parabola with its minimum at 1.2 moves the multiplier as ``1.2 − 0.7 exp(−ηk)``."""
    weights = growing(block)
    scales = 1.2 - 0.7 * np.exp(-0.01 * np.arange(0, 300, 10))
    weights = [weights[0] + (scale - 0.5) * (weights[1] - weights[0]) / 0.01 for scale in scales]
    _, notices = look_along(weights, toward(1.2, block))
    first = next(k for k, n in enumerate(notices) if n is not None)
    crossing = np.log(0.7 / 0.2) / 0.01
    due = [10 * k + n.steps for k, n in enumerate(notices) if n is not None and not n.confirmed]
    assert len(due) >= 5
    np.testing.assert_allclose(due, crossing, atol=1.2)  # the lag of descent behind this flow
    assert all(abs(n.steps) > n.error > 0 for n in notices[first : first + 3])


@pytest.mark.parametrize(("seed", "alone"), [(14, True), (5, False)])
def test_slopes_are_those_of_displaced_networks(seed, alone):
    """Against central differences of the clock and the loss, with the fixed point held and moving with a bias."""
    rng = np.random.default_rng(seed)
    weight, bias = rng.normal(size=(3, 3)) * 0.4, rng.normal(size=3) * 0.3
    target = jnp.asarray(rng.normal(size=12))

    def model_of(flat):
        return rnn.VanillaRNN(jnp.asarray(flat[:9].reshape(3, 3)), jnp.asarray(flat[9:]))

    def loss(model):
        return jnp.sum(jnp.sin(jnp.concatenate([model.weight.ravel(), model.bias]) * target))

    def point(flat):
        h, model = np.zeros(3), model_of(flat)
        for _ in range(400):
            h = np.asarray(model(h))
        return h

    def clock(flat, h):
        two, one = np.sort(np.linalg.eigvals(flat[:9].reshape(3, 3) @ np.diag(1 - np.tanh(h) ** 2)))[-2:]
        return one if alone else 1 - (1 - one) * (1 - two)

    flat, eye = np.concatenate([weight.ravel(), bias]), np.eye(12) * 1e-5
    here = point(flat)
    seen = rnn.watch(model_of(flat), H0, 5, loss=loss).look(model_of(flat), 0.0)
    beyond = 1 + 0.05 * seen.outlooks[0].clock.scale
    table = seen.outlooks[0].slopes
    for where, slopes in zip((lambda flat: here, point), table, strict=True):
        ends = [[clock(flat + s * e, where(flat + s * e)) for s in (1, -1)] for e in eye]
        gradient = np.array([(high - low) / 2e-5 for high, low in ends])
        for z, slope in zip((clock(flat, here), 1.0, beyond), slopes, strict=True):
            moved = flat + (z - clock(flat, here)) / (gradient @ gradient) * gradient
            high, low = (loss(model_of(moved + s * gradient)) for s in (1e-5, -1e-5))
            assert slope == pytest.approx(-float(high - low) / 2e-5, rel=1e-5)
    assert seen.outlooks[0].clock.alone is alone
    assert abs(table[0][0] / table[1][0] - 1) > 0.01


def test_a_loss_that_is_no_number_foresees_nothing():
    assert look_along(growing([[1.0]])[:45], lambda m: jnp.nan * m.weight.sum())[1] == [None] * 45


def test_a_defective_multiplier_is_announced():
    """It has no gradient of its own; the two together have."""
    weights = [np.array([[c, 1.0, 0.0], [0.0, c, 0.0], [0.0, 0.0, 0.1]]) for c in np.linspace(0.5, 0.99, 50)]
    _, notices = look_along(weights, lambda m: -m.weight[0, 0] - m.weight[1, 1])
    assert notices[-1] is not None
    assert notices[-1].kind == "steady"


def test_a_pair_on_its_way_to_a_steady_bifurcation_is_not_announced_as_a_ringing_one():
    """It meets on the real axis 94 steps before the crossing, which is a root of ``(1 − a)² + bc``."""
    direction = np.array([[0.5, 0.0, 0.0], [-0.5, 0.5, 0.0], [0.0, 0.0, 0.0]])
    begin = np.array([[0.6, -0.5, 0.0], [0.2, 0.6, 0.0], [0.0, 0.0, 0.1]])
    weights = [begin + k / 100 * direction for k in range(51)]
    seen, notices = look_along(weights, lambda m: -jnp.vdot(jnp.asarray(direction), m.weight))
    crossing = 1000 * (0.65 - np.sqrt(0.65**2 - 0.26)) / 0.5
    first = next(k for k, n in enumerate(notices) if n is not None)
    assert abs(seen.multipliers[first].imag) > 0.1
    assert 100 < crossing - 10 * first < 250
    assert {n.kind for n in notices[first:]} == {"steady"}
    assert notices[-1].confirmed
    # D is a parabola in the step, and the date of a straight line in it a little early
    assert notices[first].steps == pytest.approx(crossing - 10 * first, rel=0.35)


def test_a_multiplier_that_has_yet_to_overtake_the_leading_one_is_announced():
    weights = [np.diag([0.9, -0.3 - 0.008 * k, 0.1]) for k in range(90)]
    seen, notices = look_along(weights, lambda m: m.weight[1, 1])
    first = next(k for k, n in enumerate(notices) if n is not None)
    assert seen.multipliers[first] == pytest.approx(0.9)
    assert notices[first].kind == "period_doubling"
    assert 10 * first + notices[first].steps == pytest.approx(875, abs=1e-3)


def test_a_warning_stands_until_three_looks_foresee_nothing():
    weights = growing([[1.0]])
    order = [*range(40), 39, 38, 39, *range(40, 44), 43, 42, 41]
    _, notices = look_along([weights[k] for k in order], toward(np.inf, [[1.0]]))
    first = next(k for k, n in enumerate(notices) if n is not None)
    assert first < 39
    assert all(n is not None for n in notices[first:-1])
    assert notices[-1] is None
    assert notices[41].steps == pytest.approx(notices[39].steps - 20)


@pytest.mark.parametrize("end", [np.inf, 0.97])
def test_a_narrow_valley_is_followed_to_its_end(end):
    """Along its floor, x = ½ + y/2, the multiplier x goes through 1 or stops at 0.97; along ∇x lies its wall."""

    def loss(m):
        x, y = m.weight[0, 0], m.weight[1, 2]
        return 50 * (x - 0.5 - y / 2) ** 2 + (-y if np.isinf(end) else 0.5 * (y - (2 * end - 1)) ** 2)

    time = np.arange(80)
    floor = time / 60 if np.isinf(end) else (2 * end - 1) * (1 - np.exp(-time / 15))
    weights = [np.array([[0.5 + y / 2, 0, 0], [0, 0, y], [0, 0, 0.1]]) for y in floor]
    _, notices = look_along(weights, loss)
    if np.isfinite(end):
        assert notices == [None] * 80
        return
    first = next(k for k, n in enumerate(notices) if n is not None)
    assert 10 * first + notices[first].steps == pytest.approx(600, abs=1e-2)
    assert 600 - 10 * first > 150


def test_no_warning_where_the_multiplier_saturates_or_falls():
    weight = np.diag([1.0, 0.2, 0.1])
    rising = [(0.97 - 0.4 * np.exp(-k / 10)) * weight for k in range(60)]
    assert look_along(rising, toward(0.97, [[1.0]]))[1] == [None] * 60
    falling = [(0.95 - 0.005 * k) * weight for k in range(40)]
    assert look_along(falling, toward(np.inf, [[1.0]]))[1] == [None] * 40


def test_a_fold_is_confirmed_when_its_point_is_gone():
    """``h' = a tanh h + b`` with a = 1.5: the lower point meets its neighbour as b grows, and both vanish."""
    seen, warned = None, None
    h = -np.arctanh(np.sqrt(1 - 1 / 1.5))
    fold = h - 1.5 * np.tanh(h)
    for k, b in enumerate(np.linspace(0.0, 0.5, 251)):
        model = rnn.VanillaRNN(jnp.asarray([[1.5]]), jnp.asarray([b]))
        if seen is None:
            seen = rnn.watch(model, H0[:, :1], 5, loss=lambda m: -m.bias.sum(), point=jnp.asarray([-1.3]))
        seen = seen.look(model, float(k))
        warned = k if warned is None and seen.notice is not None and not seen.notice.confirmed else warned
        if seen.lost or (seen.notice is not None and seen.notice.confirmed):
            break
    assert abs(b - fold) < 0.01
    assert seen.notice.confirmed
    assert seen.notice.kind == "steady"
    assert warned is not None
    assert 0.002 * warned < fold


def test_a_loss_that_changes_is_the_one_of_its_look():
    model = rnn.VanillaRNN(jnp.asarray(growing([[1.0]])[20]))
    one, other = toward(0.9, [[1.0]]), toward(2.0, [[1.0]])
    changed = rnn.watch(model, H0, 5, loss=one).look(model, 0.0, loss=other)
    fresh = rnn.watch(model, H0, 5, loss=other).look(model, 0.0)
    np.testing.assert_array_equal(changed.outlooks[0].slopes, fresh.outlooks[0].slopes)
    assert changed.loss is other


@pytest.mark.parametrize(
    ("block", "kind", "alone"),
    [
        ([[0.6, -0.3], [0.3, 0.6]], "steady", False),
        ([[0.8, 0.05], [0.05, 0.75]], "steady", False),
        ([[-0.8, 0.1], [0.05, -0.75]], "period_doubling", False),
        ([[-0.7, 0.2], [-0.3, -0.6]], "period_doubling", False),
        ([[0.9, 0.1], [0.05, 0.2]], "steady", True),
        ([[0.5, -0.7], [0.8, 0.4]], "neimark_sacker", True),
    ],
)
def test_clocks_are_functions_of_the_multipliers_with_their_derivative(block, kind, alone):
    """In random coordinates, against the eigenvalues, and against central differences of them."""
    rng = np.random.default_rng(3)
    basis = np.eye(4) + 0.4 * rng.normal(size=(4, 4))
    matrix = np.zeros((4, 4))
    matrix[:2, :2], matrix[2:, 2:] = block, np.diag([0.15, -0.1])
    matrix = basis @ matrix @ np.linalg.inv(basis)
    count = 1 if alone and kind == "steady" else 2

    def value(jacobian):
        leading = sorted(np.linalg.eigvals(jacobian), key=abs)[-count:]
        if alone:
            return abs(leading[-1])
        sign = 1 if kind == "steady" else -1
        return 1 - np.prod([1 - sign * m for m in leading]).real

    clock = next(c for c in clocks_at(matrix) if c.kind == kind)
    assert clock.alone is alone
    assert clock.value == pytest.approx(value(matrix), rel=1e-12)
    for _ in range(3):
        change = rng.normal(size=(4, 4))
        numeric = (value(matrix + 1e-6 * change) - value(matrix - 1e-6 * change)) / 2e-6
        assert clock.moved(change) == pytest.approx(numeric, rel=1e-6)


class Waves(eqx.Module):
    """``h' = 8 sin h + b`` has many fixed points, and where the slope is near 1 Newton's method leaps among them."""

    b: jax.Array

    def __call__(self, h):
        return 8 * jnp.sin(h) + self.b


def test_a_point_that_moves_far_between_looks_is_followed_and_not_lost_to_another():
    start, end = np.arccos(0.95 / 8), 1.642
    first, second = (Waves(jnp.asarray([h - 8 * np.sin(h)])) for h in (start, end))
    astray = settle(second, np.array([start]), jnp.float64)[0]
    assert abs(astray[0] - end) > 0.5
    seen = rnn.watch(first, H0[:, :1], 5, loss=lambda m: m.b.sum(), point=jnp.asarray([start])).look(first, 0.0)
    seen = seen.look(second, 10.0)
    assert not seen.lost
    assert float(seen.point[0]) == pytest.approx(end, abs=1e-6)
    assert seen.multipliers[-1] == pytest.approx(8 * np.cos(end), abs=1e-5)


def test_bad_input_is_named():
    model = rnn.VanillaRNN(jnp.eye(3) / 2)
    loss = toward(np.inf, [[1.0]])
    with pytest.raises(ValueError, match="ahead"):
        rnn.watch(model, H0, 5, loss=loss, ahead=0)
    with pytest.raises(ValueError, match="loss"):
        rnn.watch(model, H0, 5, loss=3.0)
    with pytest.raises(ValueError, match="step"):
        rnn.watch(model, H0, 5, loss=loss).look(model, 3.0).look(model, 3.0)
