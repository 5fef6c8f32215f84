"""Fast and stochastic mode against dense linear algebra, and what every mode survives."""

from __future__ import annotations

import contextlib

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import rnn
from rnn.models.parameters import Leaves
from rnn.natural_gradient.plane import orthogonalised
from rnn.natural_gradient.truncated import solve

SIZE = 8
MODES = ("smooth", "fast", "stochastic")


def spread(seed=0, least=1e-2):
    """A positive matrix with eigenvalues from ``least`` to 10."""
    q = np.linalg.qr(np.random.default_rng(seed).normal(size=(SIZE, SIZE)))[0]
    return q @ np.diag(np.geomspace(least, 10, SIZE)) @ q.T


def problem(samples=16, seed=0):
    """A regression by one hidden layer, with its loss and a batch."""
    rng = np.random.default_rng(seed)
    params = {"w": jnp.asarray(rng.normal(size=(3, 4))), "b": jnp.zeros(4), "v": jnp.asarray(rng.normal(size=(4, 1)))}
    x = jnp.asarray(rng.normal(size=(samples, 3)))

    def outputs(p, batch):
        return jnp.tanh(batch["x"] @ p["w"] + p["b"]) @ p["v"]

    def loss(p, batch):
        return jnp.mean((outputs(p, batch) - batch["y"]) ** 2)

    return params, outputs, loss, {"x": x, "y": jnp.sin(x[:, :1])}


def solved(product, rhs, start, damping, most, kept=60):
    """A solve that ends by its iterations alone."""
    return solve(product, rhs, start, most, (jnp.asarray(damping, rhs.dtype), jnp.zeros((), rhs.dtype), kept))


def trained(tx, steps, start, loss, batches, outputs, state=None, **extra):
    """Losses seen and what is reached; ``batches`` is a function of the step."""
    params, state, seen = start, tx.init(start) if state is None else state, []

    @jax.jit
    def step(params, state, batch):
        value, gradient = jax.value_and_grad(loss)(params, batch)
        fisher = rnn.gauss_newton(outputs, batch, samples=jax.tree.leaves(batch)[0].shape[0])
        update, state = tx.update(gradient, state, params, value=value, fisher=fisher, **extra)
        return optax.apply_updates(params, update), state, value

    for k in range(steps):
        params, state, value = step(params, state, batches(k))
        seen.append(float(value))
    return np.asarray(seen), params, state


@pytest.mark.parametrize("damping", [0.0, 0.3])
@pytest.mark.parametrize("warm", [0.0, 1.0])
def test_the_solve_is_the_dense_solution(damping, warm):
    matrix, rng = spread(), np.random.default_rng(1)
    rhs, start = jnp.asarray(rng.normal(size=SIZE)), warm * jnp.asarray(rng.normal(size=SIZE))
    found = solved(lambda v: matrix @ v, rhs, start, damping, 40)
    exact = np.linalg.solve(matrix + damping * np.eye(SIZE), np.asarray(rhs))
    np.testing.assert_allclose(np.asarray(found.x), exact, rtol=1e-7)
    assert float(found.curvature) == pytest.approx(exact @ matrix @ exact, rel=1e-7)
    assert 2 < float(found.top) <= 10 * (1 + 1e-12)


@pytest.mark.parametrize(("warm", "products"), [(0.0, 5), (1.0, 6)])
def test_a_solve_takes_one_product_per_iteration_and_one_for_its_start(warm, products):
    matrix, calls = spread(), []
    rhs, start = jnp.arange(1.0, SIZE + 1), warm * jnp.ones(SIZE)

    def product(v):
        calls.append(v)
        return matrix @ v

    with jax.disable_jit():
        found = solved(product, rhs, start, 0.1, 5)
    assert int(found.iterations) == 5
    assert len(calls) == products


def test_residuals_that_are_kept_spare_iterations():
    """In single precision, with eigenvalues over eight decades: what 40 iterations leave of the model's fall."""
    rng = np.random.default_rng(0)
    q = np.linalg.qr(rng.normal(size=(60, 60)))[0]
    values, part = np.geomspace(1e-4, 1e4, 60), rng.normal(size=60)
    matrix = jnp.asarray((q * values) @ q.T, jnp.float32)
    rhs = jnp.asarray(q @ (values**0.5 * part), jnp.float32)
    fall = []
    for kept in (1, 30):
        x = np.asarray(solved(lambda v: matrix @ v, rhs, jnp.zeros(60, jnp.float32), 0.0, 40, kept).x, float)
        fall.append(np.asarray(rhs) @ x - x @ ((q * values) @ (q.T @ x)) / 2)
    exact = float(part @ part) / 2
    assert exact - fall[1] < 0.7 * (exact - fall[0])


def test_a_solve_never_ends_uphill():
    """Whatever the start: with few iterations ``⟨rhs, x⟩`` is positive, as a step downhill needs."""
    matrix, rng = spread(), np.random.default_rng(2)
    for _ in range(20):
        rhs, start = jnp.asarray(rng.normal(size=SIZE)), jnp.asarray(100 * rng.normal(size=SIZE))
        found = solved(lambda v: matrix @ v, rhs, start, 0.1, 1)
        assert float(jnp.vdot(rhs, found.x)) > 0


def test_a_matrix_that_is_not_positive_ends_the_solve():
    matrix = jnp.diag(jnp.asarray([2.0, -1.0]))
    found = solved(lambda v: matrix @ v, jnp.asarray([1.0, 1e-3]), jnp.zeros(2), 0.0, 40)
    assert np.all(np.isfinite(found.x))
    assert int(found.iterations) < 40
    assert float(found.x[0]) == pytest.approx(0.5, rel=1e-2)


def test_fast_makes_the_damped_gauss_newton_step():
    """On a quadratic of well separated scales the first step is ``−(F + μ)⁻¹ G``, shortened by nothing."""
    matrix = spread(least=1.0)
    theta = jnp.ones(SIZE)
    gradient = matrix @ theta
    tx = rnn.low_rank_natural_gradient(mode="fast", fisher=lambda p, block, turn: block @ matrix)
    update, state = jax.jit(tx.update)(gradient, tx.init(theta), theta, value=theta @ gradient / 2)
    mu = float(state.damping)
    assert mu == pytest.approx(float(0.05 * gradient @ matrix @ gradient / (gradient @ gradient)), rel=1e-9)
    exact = -np.linalg.solve(matrix + mu * np.eye(SIZE), np.asarray(gradient))
    assert np.linalg.norm(update - exact) < 0.1 * np.linalg.norm(exact)
    assert float(state.predicted) == pytest.approx(float(-gradient @ update - update @ matrix @ update / 2), rel=1e-6)


def test_fast_solves_a_quadratic_in_few_steps():
    matrix = spread(least=1e-3)
    tx = rnn.low_rank_natural_gradient(mode="fast", fisher=lambda p, block, turn: block @ matrix)
    theta, losses, move = jnp.ones(SIZE), [], jax.jit(tx.update)
    state = tx.init(theta)
    for _ in range(25):
        losses.append(float(theta @ matrix @ theta) / 2)
        update, state = move(matrix @ theta, state, theta, value=jnp.asarray(losses[-1]))
        theta = theta + update
    assert losses[-1] < 1e-12 * losses[0]
    assert int(state.rejected) == 0


def test_fast_takes_back_twice_and_then_looks_again():
    """The second step that raises the loss is taken back to its start, where any value is the new reference."""
    matrix = spread()
    theta = jnp.ones(SIZE)
    gradient = matrix @ theta
    tx = rnn.low_rank_natural_gradient(mode="fast", fisher=lambda p, block, turn: block @ matrix)
    move = jax.jit(tx.update)
    first, state = move(gradient, tx.init(theta), theta, value=jnp.asarray(1.0))
    at = theta + first
    second, state = move(matrix @ at, state, at, value=jnp.asarray(20.0))
    assert int(state.rejected) == 1
    assert float(state.trust) <= 0.5
    assert 0 < np.linalg.norm(at + second - theta) < 0.6 * np.linalg.norm(first)
    np.testing.assert_array_equal(state.parameters, theta)
    at = at + second
    third, state = move(matrix @ at, state, at, value=jnp.asarray(20.0))
    np.testing.assert_allclose(at + third, theta, rtol=1e-14)
    _, state = move(gradient, state, theta, value=jnp.asarray(3.0))
    assert float(state.value) == 3
    assert int(state.rejected) == 2


def test_fast_mends_a_step_from_where_it_led():
    """A rise below tenfold is followed by a solve there; then the step stays or all of it is taken back."""
    matrix = spread()
    theta = jnp.ones(SIZE)
    tx = rnn.low_rank_natural_gradient(mode="fast", fisher=lambda p, block, turn: block @ matrix)
    move = jax.jit(tx.update)
    first, begun = move(matrix @ theta, tx.init(theta), theta, value=jnp.asarray(1.0))
    at = theta + first
    second, mending = move(matrix @ at, begun, at, value=jnp.asarray(5.0))
    assert (int(mending.mending), int(mending.rejected)) == (1, 0)
    np.testing.assert_array_equal(mending.parameters, theta)
    exact = -np.linalg.solve(matrix + float(mending.damping) * np.eye(SIZE), np.asarray(matrix @ at))
    assert float(second @ matrix @ exact) > 0
    there = at + second
    _, better = move(matrix @ there, mending, there, value=jnp.asarray(0.5))
    np.testing.assert_array_equal(better.parameters, there)
    third, worse = move(matrix @ there, mending, there, value=jnp.asarray(4.0))
    np.testing.assert_array_equal(worse.parameters, theta)
    assert int(worse.rejected) == 1
    assert np.linalg.norm(there + third - theta) < np.linalg.norm(first)


def test_fast_goes_as_far_as_the_outputs_are_straight():
    """Along one parameter with outputs ``θ³``: the departure ``½⟨e, H e⟩`` is at most eight times the promised fall."""
    outputs = lambda p, b: b["x"] * p**3  # noqa: E731
    batch = {"x": jnp.ones((4, 1))}
    tx = rnn.low_rank_natural_gradient(mode="fast", fisher=rnn.gauss_newton(outputs, batch))
    theta = jnp.asarray([0.1])
    value, gradient = jax.value_and_grad(lambda p: jnp.mean((outputs(p, batch) - 1) ** 2))(theta)
    step, state = tx.update(gradient, tx.init(theta), theta, value=value)
    e = float((theta + step)[0] ** 3 - theta[0] ** 3 - 3 * theta[0] ** 2 * step[0])
    assert float(state.share) < 1
    assert 0 < e**2 <= 8 * float(state.predicted)


def test_fast_damps_what_the_outputs_cut_short():
    """With outputs ``100 θ³`` that allow less than half of a step, μ is eight times as large after it."""
    outputs = lambda p, b: 100 * b["x"] * p**3  # noqa: E731
    batch = {"x": jnp.ones((4, 1))}
    tx = rnn.low_rank_natural_gradient(mode="fast", fisher=rnn.gauss_newton(outputs, batch))
    move = jax.jit(tx.update)
    grad = jax.value_and_grad(lambda p: jnp.mean((outputs(p, batch) - 1) ** 2))
    theta = jnp.asarray([0.01])
    value, gradient = grad(theta)
    step, short = move(gradient, tx.init(theta), theta, value=value)
    value, gradient = grad(theta + step)
    _, after = move(gradient, short, theta + step, value=value)
    assert float(short.share) < 0.5
    np.testing.assert_array_equal(after.parameters, theta + step)
    assert float(after.damping) == pytest.approx(8 * float(short.damping), rel=1e-9)
    _, straight = move(gradient, short._replace(share=jnp.ones(())), theta + step, value=value)
    assert float(straight.damping) < float(short.damping)


def test_a_steep_point_passed_by_does_not_keep_steps_damped():
    """μ has a floor of the largest curvature met; one of 1e12 in a landscape of ten is forgotten in thirty updates."""
    matrix = spread()
    theta = jnp.ones(SIZE)
    tx = rnn.low_rank_natural_gradient(mode="fast", fisher=lambda p, block, turn: block @ matrix)
    move, state = jax.jit(tx.update), tx.init(theta)
    for k in range(30):
        update, state = move(matrix @ theta, state, theta, value=theta @ matrix @ theta / 2)
        state = state._replace(top=jnp.asarray(1e12)) if k == 0 else state
        theta = theta + update
        assert k != 1 or float(state.damping) >= 100
    assert float(state.damping) < 1e-3
    assert float(theta @ matrix @ theta) < 1e-6


@pytest.mark.parametrize("mode", MODES)
def test_targets_that_change_cost_a_few_steps(mode):
    params, outputs, loss, batch = problem()
    other = batch | {"y": 3 + jnp.cos(2 * batch["x"][:, 1:2])}
    tx = rnn.low_rank_natural_gradient(0.05, mode=mode) if mode != "fast" else rnn.low_rank_natural_gradient(mode=mode)
    seen, _, _ = trained(tx, 90, params, loss, lambda k: batch if k < 20 else other, outputs)
    assert seen[20] > 2
    assert seen[-1] < 0.1 * seen[20]
    if mode == "fast":
        assert seen[35] < 0.2 * seen[20]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("bad", [np.nan, 1e15])
def test_one_bad_batch_costs_a_few_steps(mode, bad):
    """Targets that are not finite, or huge, once."""
    params, outputs, loss, batch = problem()
    broken = batch | {"y": batch["y"].at[0].set(bad)}
    tx = rnn.low_rank_natural_gradient(0.05 if mode != "fast" else None, mode=mode)
    seen, reached, _ = trained(tx, 60, params, loss, lambda k: broken if k == 10 else batch, outputs)
    whole, _, _ = trained(tx, 45, params, loss, lambda k: batch, outputs)
    assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(reached))
    assert seen[-1] <= 1.05 * whole[-1] + 1e-9


def test_trust_and_damping_recover_from_a_hundred_bad_batches():
    params, outputs, loss, batch = problem()
    broken = batch | {"y": batch["y"].at[0].set(np.nan)}
    tx = rnn.low_rank_natural_gradient(mode="fast")
    seen, _, state = trained(tx, 150, params, loss, lambda k: broken if 10 <= k < 110 else batch, outputs)
    assert seen[-1] < 0.02 * seen[9]
    assert float(state.trust) >= 1 / 64


def test_smooth_takes_back_a_huge_finite_step():
    """Beyond a kink that no product has seen the gradient is a thousand times larger; the step is repeated shorter."""
    theta = jnp.full(SIZE, 1.0)
    tx = rnn.low_rank_natural_gradient(0.5, fisher=lambda p, block, turn: 0.1 * block)
    move = jax.jit(tx.update)
    update, state = move(0.1 * theta, tx.init(theta), theta)
    at = theta + update
    back, state = move(-1e3 * theta, state, at)
    assert int(state.rejected) == 1
    assert np.linalg.norm(update + back) <= 0.5 * np.linalg.norm(update)


def test_a_learnt_pair_is_bounded_by_the_products():
    """A jump of the gradient across a kink says 1e6; four times what was measured is believed."""
    theta = jnp.arange(1.0, SIZE + 1)
    tx = rnn.low_rank_natural_gradient(0.1, fisher=lambda p, block, turn: 20 * block)
    move = jax.jit(tx.update)
    state = tx.init(theta)
    for _ in range(40):
        update, state = move(20 * theta, state, theta)
    gradient = 20 * theta + 1e5 * jnp.eye(SIZE)[3]
    _, state = move(gradient, state, theta + update)
    assert float(state.space.values.max()) <= 4 * 20 * (1 + 1e-6)


def test_smooth_adds_up_small_rises():
    """Losses that rise by half at every step are taken back at twice the lowest, not followed for ever."""
    theta = jnp.ones(SIZE)
    tx = rnn.low_rank_natural_gradient(0.1, fisher=lambda p, block, turn: 0.1 * block)
    move, state = jax.jit(tx.update), tx.init(theta)
    for loss in (1.0, 1.5, 1.9):
        update, state = move(0.1 * theta, state, theta, value=jnp.asarray(loss))
        theta = theta + update
    assert int(state.rejected) == 0
    for loss in (2.8, 2.8):
        update, state = move(0.1 * theta, state, theta, value=jnp.asarray(loss))
        theta = theta + update
    assert int(state.rejected) == 2
    np.testing.assert_allclose(theta, state.parameters, rtol=1e-12)
    # the same loss at the start says that the targets are the same; another one is the new reference
    _, same = move(0.1 * theta, state, theta, value=jnp.asarray(1.9))
    _, other = move(0.1 * theta, state, theta, value=jnp.asarray(40.0))
    assert float(same.lowest) < 1.2
    assert float(other.lowest) == 40


@pytest.mark.parametrize("rate", [0.1, 1.0])
def test_smooth_does_not_explode_at_large_rates(rate):
    params, outputs, loss, batch = problem(seed=3)
    steep = batch | {"x": 5 * batch["x"]}
    seen, _, _ = trained(rnn.low_rank_natural_gradient(rate, rank=2), 300, params, loss, lambda k: steep, outputs)
    assert np.mean(seen > 2 * seen[0]) < 0.05  # steps that are taken back do show
    assert seen[-1] < 0.1 * seen[0]


@pytest.mark.parametrize("shape", [(6, 4), (4, 6), (5, 5)])
def test_a_matrix_is_orthogonalised(shape):
    """Against the singular vectors: values near one, whatever they were."""
    rng = np.random.default_rng(0)
    u, _, v = np.linalg.svd(rng.normal(size=shape), full_matrices=False)
    matrix = jnp.asarray((u * np.geomspace(1, 3e-2, min(shape))) @ v)
    found = np.asarray(orthogonalised(matrix))
    inside = u.T @ found @ v.T
    np.testing.assert_allclose(inside - np.diag(np.diag(inside)), 0, atol=1e-12)
    assert np.all((np.diag(inside) > 0.6) & (np.diag(inside) < 1.3))
    np.testing.assert_allclose(orthogonalised(1e-30 * matrix), found, rtol=1e-9)
    np.testing.assert_array_equal(orthogonalised(jnp.zeros(shape)), 0)


def test_stochastic_ends_at_the_minimum_over_the_plane():
    """Ten noisy updates of a vector, one minibatch ten times as curved, against a loop over dense matrices in NumPy."""
    rng = np.random.default_rng(3)
    theta = 0.3 * rng.normal(size=SIZE)
    tx = rnn.low_rank_natural_gradient(1e3, mode="stochastic")

    @jax.jit
    def move(g, state, theta, scale):
        return tx.update(g, state, theta, fisher=lambda p, block, turn: scale * (block @ spread()))

    state = tx.init(jnp.asarray(theta))
    mean, square, way, direction = (np.zeros(SIZE) for _ in range(4))
    slope, gram, bend, weight, capped, signals = np.zeros(3), np.zeros((2, 2)), 0.0, 0.0, 0, []
    for t in range(1, 11):
        matrix = spread() * (10.0 if t == 6 else 1.0)
        g = spread() @ theta + 0.3 * rng.normal(size=SIZE)
        mean, square = 0.9 * mean + 0.1 * g, 0.999 * square + 0.001 * g**2
        d = -(mean / (1 - 0.9**t) + g) / (np.sqrt(square / (1 - 0.999**t)) + 1e-8)
        plane = np.stack([d / np.linalg.norm(d), way / max(np.linalg.norm(way), 1e-300)])
        products = plane @ matrix @ plane.T
        own, last = -plane @ g
        later = own if t == 1 else max(bend - direction @ g, 0)
        limit = np.inf if t == 1 else 2 * gram[0, 0] / (1 - 0.97 ** (t - 1))
        before, weight = weight, 0.03 * min(1, limit / products[0, 0])
        capped += weight < 0.03
        weighed = np.array([weight * own, (weight if t == 1 else before) * later, weight * last])
        slope, gram = 0.97 * slope + weighed, 0.97 * gram + weight * products
        damped = gram + 1e-3 * np.diag(np.diag(gram)) + np.diag(np.diag(gram) == 0)
        ends = slope[0], min(slope[1], slope[0])
        signals.append(ends[1] / ends[0])
        c = np.linalg.solve(damped, [2 / (1 / ends[0] + 1 / ends[1]), slope[2]])
        step, direction, bend = c @ plane, plane[0], products[0] @ c
        way = 0.9 * way + step
        update, state = move(jnp.asarray(g), state, jnp.asarray(theta), matrix[0, 0] / spread()[0, 0])
        np.testing.assert_allclose(update, step, rtol=1e-7)
        assert float(state.signal) == pytest.approx(signals[-1], rel=1e-7)
        theta = theta + step
    assert 1 <= capped <= 3
    assert min(signals) < 0.99


def test_stochastic_tells_noise_from_slope():
    """Gradients of random sign: a step of a hundred is a small part of what the minibatch alone would have made."""
    rng = np.random.default_rng(1)
    tx = rnn.low_rank_natural_gradient(1e3, mode="stochastic", fisher=lambda p, block, turn: block)
    theta = jnp.zeros(50)
    state, move, length = tx.init(theta), jax.jit(tx.update), []
    for _ in range(300):
        update, state = move(theta + rng.normal(size=50), state, theta)
        theta = theta + update
        length.append(float(jnp.linalg.norm(update)))
    assert float(state.signal) < 0.6
    assert np.mean(length[200:]) < 0.5 * length[0]


@pytest.mark.parametrize("rate", [1e-3, 1e-2, 1e-1, 1.0, None])
def test_stochastic_needs_no_rate(rate):
    params, outputs, loss, batch = problem(samples=256)

    def minibatch(k):
        return {name: x[32 * (k % 8) : 32 * (k % 8) + 32] for name, x in batch.items()}

    seen, reached, _ = trained(
        rnn.low_rank_natural_gradient(rate, mode="stochastic"), 200, params, loss, minibatch, outputs
    )
    assert loss(reached, batch) < 0.01 * loss(params, batch)
    assert np.max(seen) < 3 * seen[0]


def test_stochastic_judges_a_step_on_its_own_minibatch():
    """Outputs ``exp(10 w)`` leave their tangent behind after a step of ``0.5``."""
    fisher = rnn.gauss_newton(
        lambda w, b: jnp.exp(10 * b * w), jnp.ones((4, 1)), loss=lambda y, b: 1e-9 * jnp.sum(y**2)
    )
    tx = rnn.low_rank_natural_gradient(0.5, mode="stochastic", fisher=fisher)
    w = jnp.zeros(1)
    update, state = tx.update(-jnp.ones(1), tx.init(w), w)
    assert int(state.rejected) == 1
    assert 0 < float(update[0]) < 0.5
    departed = np.exp(10 * float(update[0])) - 1 - 10 * float(update[0])
    assert departed <= 1.1 * 0.5 * 10 * float(update[0]) or float(state.bent) > 0.5
    assert float(state.trust) < 1


def test_stochastic_does_not_double_the_loss_of_its_minibatch():
    """Outputs that are straight, and a loss whose curvature is all elsewhere."""

    def loss(y, batch):
        return jnp.mean(1 - y + 1e-3 * y**2 + jnp.maximum(y - 1, 0) ** 4)

    batch = jnp.ones((4, 1))
    tx = rnn.low_rank_natural_gradient(
        10.0, mode="stochastic", fisher=rnn.gauss_newton(lambda w, b: b * w, batch, loss=loss)
    )
    w = jnp.zeros(1)
    value, gradient = jax.value_and_grad(lambda w: loss(batch * w, batch))(w)
    update, state = tx.update(gradient, tx.init(w), w, value=value)
    assert float(state.bent) < 1e-6
    assert int(state.rejected) == 1
    assert 0 < loss(batch * (w + update), batch) + 10 < 12


@pytest.mark.parametrize("mode", MODES)
def test_a_group_is_followed_as_the_block_of_the_whole(mode):
    """Inside ``multi_transform`` the product is the block of F that belongs to the group."""
    params, outputs, loss, batch = problem()
    value, gradient = jax.value_and_grad(loss)(params, batch)
    fisher = rnn.gauss_newton(outputs, batch, samples=16)
    alone = rnn.low_rank_natural_gradient(
        0.1, mode=mode, fisher=rnn.gauss_newton(lambda w, b: outputs(params | w, b), batch, samples=16)
    )
    part = {"w": params["w"]}
    expected, _ = alone.update({"w": gradient["w"]}, alone.init(part), part, value=value)
    labels = {"w": "ours", "b": "frozen", "v": "frozen"}
    group = rnn.low_rank_natural_gradient(0.1, mode=mode, fisher=fisher)
    for tx in (
        optax.multi_transform({"ours": group, "frozen": optax.set_to_zero()}, labels),
        optax.chain(
            optax.masked(group, {"w": True, "b": False, "v": False}),
            optax.masked(optax.set_to_zero(), {"w": False, "b": True, "v": True}),
        ),
    ):
        update, _ = tx.update(gradient, tx.init(params), params, value=value, model=params)
        np.testing.assert_allclose(update["w"], expected["w"], rtol=1e-6)
        np.testing.assert_array_equal(update["b"], 0)


def test_a_plain_function_serves_a_group_too():
    params, outputs, loss, batch = problem()
    gradient = jax.grad(loss)(params, batch)
    products = rnn.gauss_newton(outputs, batch, samples=16)
    mask = {"w": True, "b": False, "v": False}
    found = []
    for fisher in (products, lambda p, block, turn: products(p, block, turn)):
        tx = optax.masked(rnn.low_rank_natural_gradient(0.1, fisher=fisher), mask)
        found.append(tx.update(gradient, tx.init(params), params, model=params)[0])
    np.testing.assert_allclose(found[0]["w"], found[1]["w"], rtol=1e-9)


def test_a_missing_part_of_the_model_is_named():
    params, outputs, loss, batch = problem()
    tx = optax.masked(
        rnn.low_rank_natural_gradient(0.1, fisher=rnn.gauss_newton(outputs, batch)), {"w": True, "b": False, "v": False}
    )
    with pytest.raises(ValueError, match=r"model=model"):
        tx.update(jax.grad(loss)(params, batch), tx.init(params), params)


@pytest.mark.parametrize(("mode", "given"), [("smooth", "products"), ("fast", "update"), ("stochastic", "whole")])
def test_equinox_models_as_they_are(mode, given):
    x = jnp.asarray(np.random.default_rng(0).normal(size=(16, 3)))
    model = eqx.nn.MLP(3, 1, 4, 1, activation=jnp.tanh, key=jax.random.key(0))
    fisher = rnn.gauss_newton(lambda m, b: jax.vmap(m)(b), x, model=model if given == "products" else None)
    value, gradient = eqx.filter_value_and_grad(lambda m: jnp.mean((jax.vmap(m)(x) - 1) ** 2))(model)
    tx = rnn.low_rank_natural_gradient(0.1, mode=mode, fisher=fisher)
    state = tx.init(eqx.filter(model, eqx.is_inexact_array))
    params = model if given == "whole" else eqx.filter(model, eqx.is_inexact_array)
    extra = {"model": model} if given == "update" else {}
    update, _ = tx.update(gradient, state, params, value=value, **extra)
    moved = eqx.apply_updates(model, update)
    assert float(jnp.mean((jax.vmap(moved)(x) - 1) ** 2)) < float(value)


def test_accumulation_in_fast_mode_names_what_it_drops():
    params, outputs, loss, batch = problem()
    tx = optax.MultiSteps(
        rnn.low_rank_natural_gradient(mode="fast", fisher=rnn.gauss_newton(outputs, batch)), 2
    ).gradient_transformation()
    with jax.numpy_dtype_promotion("standard"), pytest.raises(ValueError, match="value"):
        tx.update(jax.grad(loss)(params, batch), tx.init(params), params)


@pytest.mark.parametrize("samples", [4, 8, 16])
def test_sums_and_means_over_samples_are_both_right(samples):
    """A part of a sum counts for the whole batch; the whole matrix is B times that of the mean."""
    params, outputs, _, batch = problem()
    leaves = Leaves.of(params)
    block = leaves.unflatten(jnp.eye(16 + 4)[:3, : leaves.flatten(params).size])
    error = lambda y, b: (y - b["y"]) ** 2  # noqa: E731
    mean = rnn.gauss_newton(outputs, batch, loss=lambda y, b: jnp.mean(error(y, b)), samples=samples)
    total = rnn.gauss_newton(outputs, batch, loss=lambda y, b: jnp.sum(error(y, b)), samples=samples)
    one, other = (leaves.flatten(f(params, block, jnp.asarray(0)), lead=1) for f in (mean, total))
    np.testing.assert_allclose(other, 16 * one, rtol=1e-9)


def test_a_mean_over_a_mask_is_a_mean():
    params, outputs, _, batch = problem()
    batch = batch | {"mask": jnp.asarray([1.0] * 3 + [0.0] * 5 + [1.0] * 8)[:, None]}

    def loss(y, b):
        return jnp.sum(b["mask"] * (y - b["y"]) ** 2) / jnp.maximum(b["mask"].sum(), 1)

    leaves = Leaves.of(params)
    block = leaves.unflatten(jnp.eye(leaves.flatten(params).size)[:2])
    part = {k: v[:4] for k, v in batch.items()}
    expected = rnn.gauss_newton(outputs, part, loss=loss)(params, block, jnp.asarray(0))
    got = rnn.gauss_newton(outputs, batch, loss=loss, samples=4)(params, block, jnp.asarray(0))
    np.testing.assert_allclose(got["w"], expected["w"], rtol=1e-12)


@pytest.mark.parametrize("guarded", [True, False], ids=["zero", "nan"])
def test_sub_batches_of_padding_alone_are_harmless(guarded):
    """Half of the stretches hold nothing: their product is zero, or 0/0."""
    params, outputs, _, batch = problem(samples=128)
    batch = batch | {"mask": (jnp.arange(128) < 64).astype(float)[:, None]}

    def weighted(y, b):
        weight = jnp.maximum(b["mask"].sum(), 1) if guarded else b["mask"].sum()
        return jnp.sum(b["mask"] * (y - b["y"]) ** 2) / weight

    tx = rnn.low_rank_natural_gradient(mode="fast", fisher=rnn.gauss_newton(outputs, batch, loss=weighted))
    seen, _, _ = trained(tx, 60, params, lambda p, b: weighted(outputs(p, b), b), lambda k: batch, outputs)
    assert np.all(np.isfinite(seen))
    assert seen[-1] < 1e-2 * seen[0]


@pytest.mark.parametrize("mode", MODES)
def test_a_batch_may_change_its_size(mode):
    params, outputs, loss, batch = problem()
    tx = rnn.low_rank_natural_gradient(0.3 if mode == "smooth" else None, mode=mode)
    seen, _, _ = trained(tx, 12, params, loss, lambda k: {n: v[: (16, 5)[k % 2]] for n, v in batch.items()}, outputs)
    assert np.all(np.isfinite(seen))
    assert min(seen[-2:]) < (0.2 if mode == "fast" else 0.7) * seen[0]


@pytest.mark.parametrize("mode", MODES)
def test_a_value_from_elsewhere_is_judged_all_the_same(mode):
    """The loss of the step before: a rise is seen one step late, and training goes on."""
    params, outputs, loss, batch = problem()
    fisher = rnn.gauss_newton(outputs, batch)
    tx = rnn.low_rank_natural_gradient(0.3 if mode == "smooth" else None, mode=mode, fisher=fisher)

    @jax.jit
    def step(params, state, late):
        value, gradient = jax.value_and_grad(loss)(params, batch)
        update, state = tx.update(gradient, state, params, value=late)
        return optax.apply_updates(params, update), state, value

    state, late = tx.init(params), loss(params, batch)
    first = late
    for _ in range(60):
        params, state, late = step(params, state, late)
    assert float(late) < 0.02 * float(first)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("sign", [-1.0, 0.0])
def test_a_fisher_that_is_not_positive_leaves_steps_finite(mode, sign):
    """Products ``−F`` or none at all: steps go downhill and stay within what their mode allows."""
    tx = rnn.low_rank_natural_gradient(0.1, mode=mode, fisher=lambda p, block, turn: sign * (block @ spread()))
    theta = jnp.ones(SIZE)
    state, move = tx.init(theta), jax.jit(tx.update)
    for k in range(5):
        update, state = move(spread() @ theta, state, theta, value=jnp.asarray(1.0 - k / 10))
        assert np.all(np.isfinite(update))
        assert float(jnp.vdot(update, spread() @ theta)) <= 0
        assert np.linalg.norm(update) <= 0.1 * max(np.linalg.norm(spread() @ theta), SIZE**0.5) * 1.5**k
    assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(state))


@pytest.mark.parametrize("mode", ["fast", "stochastic"])
@pytest.mark.parametrize(("factor", "told"), [(1.0, False), (16.0, True)])
def test_products_of_another_loss_are_named_once(factor, told, mode):
    """Products of the mean with the value of the sum: at the first update, not at the second, and not under vmap."""
    params, outputs, loss, batch = problem()
    fisher = rnn.gauss_newton(outputs, batch, loss=lambda y, b: jnp.mean((y - b["y"]) ** 2))
    tx = rnn.low_rank_natural_gradient(mode=mode, fisher=fisher)

    def step(params, state):
        value, gradient = jax.value_and_grad(lambda p: factor * loss(p, batch))(params)
        update, state = tx.update(gradient, state, params, value=value)
        return optax.apply_updates(params, update), state

    carry = params, tx.init(params)
    with pytest.warns(UserWarning, match="fisher") if told else contextlib.nullcontext():
        carry = jax.jit(step)(*carry)
        jax.effects_barrier()
    jax.block_until_ready(jax.jit(step)(*carry))
    twice = jax.tree.map(lambda x: jnp.stack([x, x]), (params, tx.init(params)))
    jax.block_until_ready(jax.jit(jax.vmap(step))(*twice))
    jax.effects_barrier()


def test_the_rate_of_fast_mode_is_a_part_of_its_step():
    matrix = spread()
    theta = jnp.ones(SIZE)
    updates = []
    for rate in (None, 1.0, 10.0, 0.25):
        tx = rnn.low_rank_natural_gradient(rate, mode="fast", fisher=lambda p, block, turn: block @ matrix)
        updates.append(tx.update(matrix @ theta, tx.init(theta), theta, value=jnp.ones(()))[0])
    for same in updates[1:3]:
        np.testing.assert_array_equal(same, updates[0])
    np.testing.assert_allclose(updates[3], updates[0] / 4, rtol=1e-12)


def test_smooth_needs_a_rate():
    with pytest.raises(ValueError, match="learning_rate"):
        rnn.low_rank_natural_gradient()


def test_train_leaves_a_trial_step_to_the_optimizer():
    """A step whose loss is not finite is no divergence where the parameters stay finite."""
    task = rnn.student_teacher(3, size=6, batch=8, horizon=4)

    def once(updates, state, params=None):
        moves = jax.tree.map(lambda g: jnp.where(state == 3, jnp.full_like(g, 1e30), -1e-3 * g), updates)
        back = jax.tree.map(lambda p: jnp.where(state == 4, 0.1 - p, 0), params)
        return jax.tree.map(lambda m, b: jnp.where(state == 4, b, m), moves, back), state + 1

    spiky = optax.GradientTransformation(lambda params: jnp.zeros((), jnp.int32), once)
    run = rnn.train(task, spiky, steps=8, diagnose_every=0)
    assert not np.isfinite(run.loss[4])
    assert np.isfinite(run.loss[-1])
    with pytest.raises(rnn.DivergedError, match="step"):
        rnn.train(task, optax.sgd(1e30), steps=8, diagnose_every=0)


def test_task_products_know_the_loss():
    """With classes and a mask as with the mean squared error."""
    task = rnn.student_teacher(3, size=6, batch=8, horizon=4, dtype=jnp.float64)
    classes = jnp.asarray(np.random.default_rng(0).integers(0, 2, (8, 4)))
    mask = jnp.asarray(np.random.default_rng(1).random((8, 4)))
    task = rnn.Task(task.student, task.h0, classes, mask=mask, loss="cross_entropy", readout=jnp.eye(2, 6))
    student, rest = rnn.partition(task.student)
    leaves = Leaves.of(student)
    flat = leaves.flatten(student)

    def read(v):
        return task.read(eqx.combine(leaves.unflatten(v, student), rest))

    y = read(flat)
    jacobian = jax.jacobian(read)(flat).reshape(y.size, -1)
    hessian = jax.hessian(lambda y: task.compare(y, task.batch))(y).reshape(y.size, y.size)
    block = jnp.eye(flat.size)[:2]
    image = rnn.fisher_of(task, samples=8)(student, leaves.unflatten(block), jnp.asarray(0))
    np.testing.assert_allclose(
        np.asarray(leaves.flatten(image, lead=1)),
        np.asarray(jacobian.T @ hessian @ jacobian)[:2],
        rtol=1e-8,
        atol=1e-12,
    )
