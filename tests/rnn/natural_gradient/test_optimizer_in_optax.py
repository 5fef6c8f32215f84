"""Every mode among Optax's transformations and other people's models makes exactly the plain update."""

from __future__ import annotations

import io
import pickle
from functools import cache

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import rnn

MODES = ("smooth", "fast", "stochastic")
RATES = (0.05, 0.02)
_RNG = np.random.default_rng(0)
BATCH = {"x": jnp.asarray(_RNG.normal(size=(16, 3))), "y": jnp.asarray(_RNG.normal(size=(16, 2)))}
START = {"w": jnp.asarray(_RNG.normal(size=(3, 2))), "b": jnp.zeros(2)}


def outputs(p, batch):
    return jnp.tanh(batch["x"] @ p["w"] + p["b"])


def mean(y, batch):
    return jnp.mean((y - batch["y"]) ** 2)


def loss(p, batch):
    return mean(outputs(p, batch), batch)


def build(rate, mode, **more):
    return rnn.low_rank_natural_gradient(rate, mode=mode, fisher=rnn.gauss_newton(outputs, BATCH, loss=mean), **more)


@cache
def plain(mode):
    """``rate, state, parameters, gradient -> update, state`` of the mode alone, compiled once."""

    def update(rate, state, p, gradient):
        return build(rate, mode).update(gradient, state, p, value=loss(p, BATCH))

    return jax.jit(update)


def begun(mode, steps=2):
    """Parameters and state after some plain updates, the gradient there, and what an update makes of it."""
    p, state = START, build(RATES[0], mode).init(START)
    for _ in range(steps):
        update, state = plain(mode)(RATES[0], state, p, jax.grad(loss)(p, BATCH))
        p = optax.apply_updates(p, update)
    return p, state


def same(one, other, rtol=1e-9):
    for a, b in zip(*map(jax.tree.leaves, (one, other)), strict=True):
        np.testing.assert_allclose(a, b, rtol=rtol, atol=1e-14)


@pytest.mark.parametrize("mode", MODES)
def test_weight_decay_on_either_side_and_injected_schedules(mode):
    """``u(G + a θ) − b θ``, with the rate of a schedule that ``inject_hyperparams`` shows."""

    def chain(learning_rate):
        decays = optax.add_decayed_weights(0.1), optax.add_decayed_weights(-1e-3)
        return optax.chain(decays[0], build(learning_rate, mode), decays[1])

    tx = optax.inject_hyperparams(chain)(learning_rate=lambda count: jnp.where(count < 1, *RATES))
    step = jax.jit(lambda g, s, p: tx.update(g, s, p, value=loss(p, BATCH)))
    p, state, own = START, tx.init(START), build(RATES[0], mode).init(START)
    for rate in RATES:
        gradient = jax.grad(loss)(p, BATCH)
        update, state = step(gradient, state, p)
        expected, own = plain(mode)(rate, own, p, jax.tree.map(lambda g, x: g + 0.1 * x, gradient, p))
        same(update, jax.tree.map(lambda u, x: u - 1e-3 * x, expected, p))
        assert float(state.hyperparams["learning_rate"]) == pytest.approx(rate)
        p = optax.apply_updates(p, update)


@pytest.mark.parametrize("mode", MODES)
def test_inject_hyperparams_takes_the_products(mode):
    fisher = rnn.gauss_newton(outputs, BATCH, loss=mean)
    tx = optax.inject_hyperparams(rnn.low_rank_natural_gradient)(learning_rate=RATES[0], mode=mode, fisher=fisher)
    state, gradient = tx.init(START), jax.grad(loss)(START, BATCH)
    state.hyperparams["learning_rate"] = jnp.asarray(RATES[1])  # as a sweep or a callback sets it
    update, _ = jax.jit(lambda g, s: tx.update(g, s, START, value=loss(START, BATCH)))(gradient, state)
    same(update, plain(mode)(RATES[1], build(RATES[1], mode).init(START), START, gradient)[0])


@pytest.mark.parametrize("mode", MODES)
def test_accumulated_minibatches_are_the_batch_and_what_is_not_finite_is_skipped(mode):
    """``apply_if_finite`` around ``MultiSteps``, which passes the loss on unless made a plain transformation."""
    steps = optax.MultiSteps(build(RATES[0], mode), 2)
    tx = optax.apply_if_finite(optax.GradientTransformationExtraArgs(steps.init, steps.update), 3)
    step = jax.jit(lambda g, s, p: tx.update(g, s, p, value=loss(p, BATCH)))
    halves = [{k: v[part] for k, v in BATCH.items()} for part in (slice(8), slice(8, 16))]
    with jax.numpy_dtype_promotion("standard"):  # Optax's own accumulator mixes integers and floats
        p, state, own = START, tx.init(START), build(RATES[0], mode).init(START)
        for _ in range(2):
            update, state = step(jax.grad(loss)(p, halves[0]), state, p)
            same(update, jax.tree.map(jnp.zeros_like, p))
            _, state = step(jax.tree.map(lambda x: x * jnp.nan, p), state, p)
            update, state = step(jax.grad(loss)(p, halves[1]), state, p)
            expected, own = plain(mode)(RATES[0], own, p, jax.grad(loss)(p, BATCH))
            same(update, expected, rtol=1e-6)
            p = optax.apply_updates(p, update)
    assert int(state.total_notfinite) == 2


@pytest.mark.parametrize("mode", MODES)
def test_a_checkpoint_goes_on_to_the_bit(mode):
    p, state = begun(mode)
    file = io.BytesIO()
    eqx.tree_serialise_leaves(file, state)
    file.seek(0)
    kept = eqx.tree_deserialise_leaves(file, build(RATES[0], mode).init(START))
    pickled = pickle.loads(pickle.dumps(jax.tree.map(np.asarray, state)))
    gradient = jax.grad(loss)(p, BATCH)
    expected = plain(mode)(RATES[0], state, p, gradient)
    for again in (kept, pickled):
        assert jax.tree.structure(again) == jax.tree.structure(state)
        for a, b in zip(*map(jax.tree.leaves, (plain(mode)(RATES[0], again, p, gradient), expected)), strict=True):
            np.testing.assert_array_equal(a, b)
    vectors = {"smooth": 4 + 2, "fast": 3, "stochastic": 3}[mode]
    assert sum(leaf.size for leaf in jax.tree.leaves(state)) <= 8 * vectors + 25


@pytest.mark.parametrize("mode", MODES)
def test_half_precision_in_buffers_that_are_overwritten(mode):
    """Parameters in bfloat16 and the state are donated; the state's numbers are in float32, and training goes on."""
    half = jax.tree.map(lambda x: x.astype(jnp.bfloat16), START)
    batch = jax.tree.map(lambda x: x.astype(jnp.float32), BATCH)

    def read(p, batch):
        return outputs(jax.tree.map(lambda x: x.astype(jnp.float32), p), batch)

    tx = rnn.low_rank_natural_gradient(RATES[0], mode=mode, fisher=rnn.gauss_newton(read, batch, loss=mean))

    def step(p, state):
        value, gradient = jax.value_and_grad(lambda p: mean(read(p, batch), batch))(p)
        update, state = tx.update(gradient, state, p, value=value)
        return optax.apply_updates(p, update), state, value

    move, losses = jax.jit(step, donate_argnums=(0, 1)), []
    p, state = jax.tree.map(jnp.array, half), tx.init(half)
    for _ in range(30):
        before = p, state
        p, state, value = move(*before)
        losses.append(float(value))
        assert all(leaf.is_deleted() for leaf in jax.tree.leaves(before) if leaf.size > 1)
    assert all(leaf.dtype == jnp.bfloat16 for leaf in jax.tree.leaves(p))
    assert not any(leaf.dtype == jnp.bfloat16 for leaf in jax.tree.leaves(state))
    assert min(losses[-3:]) < 0.9 * losses[0]


@pytest.mark.parametrize("mode", MODES)
def test_a_loss_that_adds_its_samples_makes_the_steps_of_their_mean(mode):
    """At a rate B times smaller in smooth mode, which is descent; at the same in the others."""
    count = BATCH["y"].size

    def total(y, batch):
        return jnp.sum((y - batch["y"]) ** 2)

    fisher = rnn.gauss_newton(outputs, BATCH, loss=total)
    tx = rnn.low_rank_natural_gradient(RATES[0] / (count if mode == "smooth" else 1), mode=mode, fisher=fisher)
    step = jax.jit(lambda g, s, p: tx.update(g, s, p, value=count * loss(p, BATCH)))
    p, state, own = START, tx.init(START), build(RATES[0], mode).init(START)
    for _ in range(4):
        gradient = jax.grad(loss)(p, BATCH)
        update, state = step(jax.tree.map(lambda g: count * g, gradient), state, p)
        expected, own = plain(mode)(RATES[0], own, p, gradient)
        same(update, expected, rtol=1e-5)  # Adam's ε is of no scale
        p = optax.apply_updates(p, expected)


@pytest.mark.parametrize("mode", ["smooth", "stochastic"])
def test_padding_alone_is_harmless(mode):
    """Stretches, and in stochastic mode whole minibatches, that hold nothing: zero over one, or 0/0."""
    many = jax.tree.map(lambda x: jnp.tile(x, (8, 1)), BATCH) | {"mask": jnp.arange(128)[:, None] < 64}
    tx = rnn.low_rank_natural_gradient(RATES[0], mode=mode)

    @jax.jit
    def step(p, state, batch, least):
        def weighted(y, batch):
            mask = batch["mask"].astype(float)
            return jnp.sum(mask * (y - batch["y"]) ** 2) / jnp.maximum(mask.sum(), least)

        fisher = rnn.gauss_newton(outputs, batch, loss=weighted)
        value, gradient = jax.value_and_grad(lambda p: weighted(outputs(p, batch), batch))(p)
        update, state = tx.update(gradient, state, p, value=value, fisher=fisher)
        return optax.apply_updates(p, update), state

    for least in (1.0, 0.0):
        p, state = START, tx.init(START)
        for k in range(60):
            empty = mode == "stochastic" and k % 3 == 2
            p, state = step(p, state, many | {"mask": many["mask"] & (not empty)}, least)
        assert float(loss(p, BATCH)) < 0.9 * float(loss(START, BATCH))


@pytest.mark.parametrize("mode", MODES)
def test_flax_nnx_models(mode):
    nnx = pytest.importorskip("flax.nnx", reason="flax is of the group frameworks")
    model = nnx.Linear(3, 2, rngs=nnx.Rngs(0), dtype=jnp.float64, param_dtype=jnp.float64)
    graph, _ = nnx.split(model)

    def read(state, batch):
        return jnp.tanh(nnx.merge(graph, state)(batch["x"]))

    tx = rnn.low_rank_natural_gradient(RATES[0], mode=mode, fisher=rnn.gauss_newton(read, BATCH, loss=mean))
    optimizer = nnx.Optimizer(model, tx, wrt=nnx.Param)
    value, gradient = nnx.value_and_grad(lambda m: mean(jnp.tanh(m(BATCH["x"])), BATCH))(model)
    start = {"w": model.kernel[...], "b": model.bias[...]}
    optimizer.update(model, gradient, value=value)
    expected, _ = plain(mode)(RATES[0], build(RATES[0], mode).init(start), start, jax.grad(loss)(start, BATCH))
    same({"w": model.kernel[...], "b": model.bias[...]}, optax.apply_updates(start, expected), rtol=1e-6)
