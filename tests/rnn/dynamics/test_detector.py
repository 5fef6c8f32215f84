"""Warnings on paths of networks whose crossing is known, and silence where nothing crosses."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import rnn
from rnn.approach import View, clocks_at, resolvent_at, settle

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


class Ripples(eqx.Module):
    """A loss of many hills."""

    target: jax.Array

    def __call__(self, model):
        return jnp.sum(jnp.cos(jnp.append(model.weight.ravel(), model.bias) * self.target[0] + self.target[1]))


def test_both_ways_along_the_gradient_must_be_wanted_or_that_of_training():
    """The date is the later one of the two; where one is not wanted, that of the line, by differences of the loss."""

    def model_of(flat):
        return rnn.VanillaRNN(jnp.asarray(flat[:9].reshape(3, 3)), jnp.asarray(flat[9:]))

    def bend(here, there, beyond):
        return np.log(there / here) / (there / here - 1) if min(here, there, beyond) > 0 else np.inf

    used = set()
    for seed in range(40):
        rng = np.random.default_rng(seed)
        flat, velocity = np.append(rng.normal(size=9) * 0.4, rng.normal(size=3) * 0.3), rng.normal(size=12)
        loss, model = Ripples(jnp.asarray(rng.normal(size=(2, 12)))), model_of(flat)
        point, jacobian, _ = settle(model, np.zeros(3), jnp.float64)
        clock = clocks_at(jacobian)[0]
        if not clock.value < 1 or not clock.alone:
            continue
        before = model_of(flat - 0.01 * velocity)
        out = View(loss, model, before, 0.01, jnp.asarray(point), resolvent_at(jacobian)).outlook(clock, 0.4, ahead=9.0)
        steps, way = (1 - clock.value) / 0.4, "both"
        due = steps * max(bend(*row) for row in out.slopes)
        if due == np.inf:
            ends = [[flat + (t * steps + e) * velocity for e in (-1e-5, 1e-5)] for t in (0, 0.5, 1, 1.1)]
            here, half, there, beyond = (float(loss(model_of(a)) - loss(model_of(b))) / 2e-5 for a, b in ends)
            due = steps * max(bend(here, half, beyond), bend(here, there, beyond), 1.0)
            way = "line" if due < np.inf else "none"
        used.add(way)
        assert out.due == pytest.approx(due, rel=1e-5)
        assert not out.imminent
        if len(used) == 3:
            break
    assert used == {"both", "line", "none"}


def test_what_the_loss_wants_at_the_crossing_is_carried_on_as_it_changes():
    """The loss ends at ``1.5 − k/20`` at look k, and wants the crossing at the first look that may warn."""
    scales = 0.5 + 0.035 * np.arange(12)
    seen = {}
    for name, ends in (("fades", 1.5 - np.arange(12) / 20), ("stays", np.full(12, 1.1))):
        watch, notices = None, []
        for k, (scale, end) in enumerate(zip(scales, ends, strict=True)):
            model, loss = rnn.VanillaRNN(jnp.asarray(np.diag([scale, 0.1, 0.0]))), Toward(jnp.asarray(end))
            watch = watch or rnn.watch(model, H0, 5, loss=loss)
            watch = watch.look(model, 10.0 * k, loss=loss)
            notices.append(watch.notice)
        seen[name] = notices, [outlook.due for outlook in watch.outlooks], watch.outlooks[8].slopes
    assert seen["fades"][0] == [None] * 12
    assert seen["stays"][0][8] is not None
    np.testing.assert_allclose(seen["fades"][2], seen["stays"][2])  # the same loss at this look, asked the same
    assert np.min(seen["fades"][2]) > 0
    assert seen["fades"][1][8] == np.inf


class Toward(eqx.Module):
    """A loss whose minimum lies where the first weight is ``end``."""

    end: jax.Array

    def __call__(self, model):
        return 0.5 * (model.weight[0, 0] - self.end) ** 2


def test_right_before_a_crossing_one_look_is_enough():
    """It moves fast, and the loss ends beyond the circle by less than what is asked for from afar."""
    scales = [0.5, 0.5, 0.55, 0.7, 0.9, 1.01]
    weights = [np.diag([scale, 0.1, 0.0]) for scale in scales]
    seen, notices = look_along(weights, toward(1.02, [[1.0]]))
    assert notices[:4] == [None] * 4
    assert notices[4] is not None
    assert seen.outlooks[4].imminent
    assert seen.outlooks[4].due == pytest.approx(5.0)
    assert notices[5].confirmed
    assert look_along(weights[:5], toward(0.93, [[1.0]]))[1] == [None] * 5


@pytest.mark.parametrize(("first", "imminent"), [(0.68, False), (0.74, True)])
def test_what_is_imminent_after_the_next_look_must_not_slow_down(first, imminent):
    """The last look is 1.5 looks from the circle; it came there by 0.08 after 0.12, or after 0.06."""
    weights = [np.diag([scale, 0.1, 0.0]) for scale in (first, 0.8, 0.88)]
    seen, _ = look_along(weights, toward(1.02, [[1.0]]))
    assert seen.outlooks[-1].imminent is imminent


@pytest.mark.parametrize(("begin", "end", "warned"), [(0.3, 0.74, False), (0.3, 0.8, True), (0.85, 0.9, False)])
def test_a_warning_waits_until_some_of_the_way_is_made(begin, end, warned):
    weights = [np.diag([scale, 0.1, 0.0]) for scale in np.linspace(begin, end, 9)]
    seen, notices = look_along(weights, toward(np.inf, [[1.0]]))
    assert seen.outlooks[-1].due < 200
    assert (notices[-1] is not None) is warned


def test_dates_that_recede_are_none():
    """The loss wants the crossing all along; the multiplier slows down on its way, or does not."""
    for scales, warned in (((0.5, 0.62, 0.7, 0.76, 0.8, 0.825), False), (np.linspace(0.5, 0.825, 6), True)):
        seen, notices = look_along([np.diag([s, 0.1, 0.0]) for s in scales], toward(np.inf, [[1.0]]))
        assert all(outlook.due < 200 for outlook in seen.outlooks[1:])
        assert (notices[-1] is not None) is warned


def test_a_crossing_due_at_the_next_look_does_not_wait_for_the_bound():
    weights = [np.diag([scale, 0.1, 0.0]) for scale in (0.4, 0.55, 0.72)]
    assert look_along(weights, Leap())[1][-1] is not None
    lower = [weight - 0.04 * np.diag([1.0, 0, 0]) for weight in weights]
    assert look_along(lower, Leap())[1] == [None] * 3
    slower = [np.diag([scale, 0.1, 0.0]) for scale in (0.5, 0.61, 0.72)]
    assert look_along(slower, toward(np.inf, [[1.0]]))[1] == [None] * 3  # due in 25 steps, beyond the next two looks


class Leap(eqx.Module):
    """A loss that falls ever faster along the first weight."""

    def __call__(self, model):
        return -jnp.exp(2 * model.weight[0, 0])


def test_the_kernel_of_a_driven_network_is_that_of_its_driven_trajectories():
    """Looks at one network come to the largest singular value of the dense Jacobian."""
    inputs = jnp.asarray(np.random.default_rng(1).normal(size=(6, 5, 1)))
    model = rnn.VanillaRNN(jnp.asarray(growing([[1.0]])[30]), None, "W@tanh(h)+b", jnp.ones((3, 1)))
    seen = rnn.watch(model, H0, 5, loss=toward(np.inf, [[1.0]]), inputs=inputs)
    for k in range(60):
        seen = seen.look(model, float(k))
    driven, free = (np.asarray(rnn.sntk(model, H0, 5, inputs=given).as_matrix()) for given in (inputs, None))
    largest = np.linalg.svd(driven, compute_uv=False)[0] ** 2
    assert seen.energies[-1] == pytest.approx(largest, rel=1e-4)
    assert abs(np.linalg.svd(free, compute_uv=False)[0] ** 2 / largest - 1) > 0.1


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
    back = 60  # looks
    direction = np.array([[0.5, 0.0, 0.0], [-0.5, 0.5, 0.0], [0.0, 0.0, 0.0]])
    begin = np.array([[0.6, -0.5, 0.0], [0.2, 0.6, 0.0], [0.0, 0.0, 0.1]])
    weights = [begin + k / 100 * direction for k in range(-back, 51)]
    seen, notices = look_along(weights, lambda m: -jnp.vdot(jnp.asarray(direction), m.weight))
    crossing = 10 * back + 1000 * (0.65 - np.sqrt(0.65**2 - 0.26)) / 0.5
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
