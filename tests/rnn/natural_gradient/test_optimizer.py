"""The clipped step against dense linear algebra, its place among Optax transformations, and bad input."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import rnn
from rnn.kernel.subspace import aim, follow, learn, orthonormal, random_subspace
from rnn.models.model import partition
from rnn.models.parameters import Leaves

SIZE = 12
EIGENVALUES = np.concatenate([[400.0, 90.0, 11.0], np.geomspace(1.0, 1e-3, SIZE - 3)])


def quadratic(seed=0):
    """A symmetric matrix with the eigenvalues above, and its eigenvectors as rows."""
    rows = np.linalg.qr(np.random.default_rng(seed).normal(size=(SIZE, SIZE)))[0].T
    return jnp.asarray(rows.T @ np.diag(EIGENVALUES) @ rows), rows


def exact_fisher(matrix):
    def fisher(parameters, block, turn):
        rows = Leaves.of(parameters).flatten(block, lead=1)
        return Leaves.of(parameters).unflatten(rows @ matrix.astype(rows.dtype))

    return fisher


def settled(tx, gradient, params, steps=1_000, **extra):
    """The update and the state once the subspace at ``params`` is known: repeated steps from the same place."""
    state, move = tx.init(params), jax.jit(tx.update)
    for _ in range(steps):
        update, state = move(gradient, state, params, **extra)
    return update, state


def tree(vector):
    return {"a": vector[:5], "b": vector[5:].reshape(1, -1)}


def clipped(gradient, rows, eta, threshold, rank):
    """``G − Σ (1 − min(1, τ/(ηλ_i))) ⟨V_i, G⟩ V_i``, by the dense eigendecomposition."""
    step = np.array(gradient)
    for value, v in zip(EIGENVALUES[:rank], rows[:rank], strict=True):
        step -= (1 - min(1, threshold / (eta * value))) * (v @ gradient) * v
    return step


@pytest.mark.parametrize(("eta", "threshold"), [(5e-3, 1.0), (5e-3, 0.5), (0.05, 2.0)])
def test_the_step_is_the_clipped_gradient(eta, threshold):
    matrix, rows = quadratic()
    theta = jnp.asarray(np.random.default_rng(1).normal(size=SIZE))
    gradient = matrix @ theta
    tx = rnn.low_rank_natural_gradient(eta, rank=4, threshold=threshold, fisher=exact_fisher(matrix))
    update, state = settled(tx, tree(gradient), tree(theta))
    got = np.concatenate([np.ravel(update["a"]), np.ravel(update["b"])])
    np.testing.assert_allclose(got, -eta * clipped(np.asarray(gradient), rows, eta, threshold, 4), rtol=1e-5, atol=1e-7)
    assert int(state.clipped) == np.sum(eta * EIGENVALUES[:4] > threshold)


@pytest.mark.parametrize("eigenvalues", [EIGENVALUES, np.geomspace(400.0, 1.0, SIZE)])
@pytest.mark.parametrize("seed", range(5))
def test_descent_beyond_two_over_lambda_does_not_jump(eigenvalues, seed):
    """From the first step on, although the directions are found one product at a time."""
    rows = quadratic(seed)[1]
    matrix = jnp.asarray(rows.T @ np.diag(eigenvalues) @ rows)
    rate = 1.9 / eigenvalues[3]  # the fourth eigenvalue is the first that plain descent bears

    def run(tx):
        theta = jnp.asarray(np.random.default_rng(seed).normal(size=SIZE))
        state, losses, move = tx.init(theta), [], jax.jit(tx.update)
        for _ in range(60):
            losses.append(float(theta @ matrix @ theta) / 2)
            update, state = move(matrix @ theta, state, theta)
            theta = optax.apply_updates(theta, update)
        return np.asarray(losses)

    assert run(optax.sgd(rate))[-1] > 1e20
    assert np.all(np.diff(run(rnn.low_rank_natural_gradient(rate, fisher=exact_fisher(matrix)))) < 0)


def test_the_first_step_ends_no_further_than_the_minimum_along_the_gradient():
    """With one product, of the gradient, the whole step is at most ``τ/‖F Ĝ‖``."""
    matrix, _ = quadratic()
    theta = jnp.ones(SIZE)
    gradient = matrix @ theta
    turns = []

    def fisher(parameters, block, turn):
        turns.append(block.shape)
        return exact_fisher(matrix)(parameters, block, turn)

    tx = rnn.low_rank_natural_gradient(1.0, fisher=fisher)
    update, state = tx.update(gradient, tx.init(theta), theta)
    norm = jnp.linalg.norm(matrix @ gradient) / jnp.linalg.norm(gradient)
    assert float(state.rate) == pytest.approx(1 / float(norm), rel=1e-9)
    assert set(turns) == {(1, SIZE)}
    assert float(gradient @ update + update @ matrix @ update / 2) < 0


def test_a_round_sees_one_sub_batch_and_every_followed_direction_once():
    matrix, rows = quadratic()
    space = random_subspace(4, SIZE, jnp.float64)._replace(
        vectors=jnp.asarray(rows[:4]), values=jnp.asarray([*EIGENVALUES[:3], 0.5]), width=jnp.asarray(3)
    )
    seen = []
    for _ in range(6):
        product = lambda block, turn: seen.append((np.asarray(block @ rows.T), int(turn))) or block @ matrix  # noqa: E731
        space, _ = follow(product, space, jnp.asarray(1.0), 1)
    assert [turn for _, turn in seen] == [0, 0, 0, 1, 1, 1]
    parts = np.concatenate([np.abs(block) for block, _ in seen])
    np.testing.assert_allclose(parts, np.eye(SIZE)[[0, 1, 2, 0, 1, 2]], atol=1e-12)
    np.testing.assert_allclose(space.values, [*EIGENVALUES[:3], 0.5], rtol=1e-12)  # the last waits


def test_a_rise_within_rounding_is_accepted():
    """Else steps too small to be seen in the loss are taken back at random until none is left."""
    matrix, _ = quadratic()
    theta = jnp.ones(SIZE, jnp.float32)
    tx = rnn.low_rank_natural_gradient(1.0, mode="fast", fisher=exact_fisher(matrix))
    for rise, taken in ((1e-6, True), (1e-5, False), (100.0, False)):
        state = tx.init(theta)
        step, state = tx.update(theta, state, theta, value=jnp.float32(1))
        _, state = tx.update(theta, state, theta + step, value=jnp.float32(1 + rise))
        np.testing.assert_array_equal(state.parameters, theta + step if taken else theta)
        assert (int(state.mending), int(state.rejected)) == (int(rise == 1e-5), int(rise > 1))


@pytest.mark.parametrize("block", [1, 2, 4])
def test_following_finds_the_leading_eigenpairs(block):
    matrix, rows = quadratic()
    space = random_subspace(4, SIZE, jnp.float64)
    for _ in range(120 // block):
        space, missed = follow(lambda block, turn: block @ matrix, space, jnp.asarray(1.0), block)
    np.testing.assert_allclose(space.values[:3], EIGENVALUES[:3], rtol=1e-10)
    np.testing.assert_allclose(np.abs(space.vectors[:3] @ rows[:3].T), np.eye(3), atol=1e-8)
    np.testing.assert_allclose(space.vectors @ space.vectors.T, np.eye(4), atol=1e-13)
    assert float(missed[:3].max()) < 1e-12


def test_aiming_puts_a_direction_first():
    space = random_subspace(3, SIZE, jnp.float64)
    direction = jnp.arange(1.0, SIZE + 1)
    aimed = aim(space, direction)
    np.testing.assert_allclose(jnp.abs(aimed.vectors[0]), direction / jnp.linalg.norm(direction), rtol=1e-12)
    np.testing.assert_allclose(aimed.vectors @ aimed.vectors.T, np.eye(3), atol=1e-14)
    np.testing.assert_allclose(jnp.abs(aim(space, jnp.zeros(SIZE)).vectors), jnp.abs(space.vectors), atol=1e-14)


def test_an_observed_pair_is_learnt():
    """One correction makes a rank-(k−1) space reproduce ``A d = y``, as the formula says."""
    matrix, rows = quadratic()
    known = random_subspace(3, SIZE, jnp.float64)._replace(
        vectors=jnp.asarray(rows[[0, 1, 11]]), values=jnp.asarray([400.0, 90.0, 0.0])
    )
    d = jnp.asarray(rows[2] + 0.1 * rows[0])
    space = learn(known, d, matrix @ d)
    np.testing.assert_allclose(space.values, EIGENVALUES[:3], rtol=1e-10)
    np.testing.assert_allclose((space.values * (space.vectors @ d)) @ space.vectors, matrix @ d, rtol=1e-9, atol=1e-9)
    same = learn(known, d, -(matrix @ d))
    np.testing.assert_array_equal(same.vectors, known.vectors)


@pytest.mark.parametrize("shape", [(1, 1), (3, 3), (4, 9)])
@pytest.mark.parametrize("rank", [0, 1, 9])
def test_rows_are_factored_whatever_their_rank(shape, rank):
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(shape[0], rank)) @ rng.normal(size=(rank, shape[1]))
    q, lower = orthonormal(jnp.asarray(rows))
    np.testing.assert_allclose(lower @ q, rows, atol=1e-14)
    np.testing.assert_allclose(q @ q.T, np.eye(shape[0]), atol=1e-14)
    np.testing.assert_array_equal(np.triu(lower, 1), 0)


def test_task_fisher_is_the_dense_gauss_newton_matrix():
    task = rnn.student_teacher(0, size=6, batch=8, horizon=5, bias="trained", dtype=jnp.float64)
    parameters = partition(task.student)[0]
    dense = rnn.sntk(task.student, task.h0[4:8], 5, readout=task.readout).as_matrix()
    dense = 2 / dense.shape[0] * dense.T @ dense
    block = jnp.eye(42)[:3]
    leaves = Leaves.of(parameters)
    for fisher in (
        rnn.fisher_of(task, samples=4),
        rnn.gauss_newton(
            lambda p, b: rnn.trajectory(eqx.combine(p, partition(task.student)[1]), b, 5, readout=task.readout),
            task.h0,
            samples=4,
        ),
    ):
        image = leaves.flatten(fisher(parameters, leaves.unflatten(block), jnp.asarray(1)), lead=1)
        np.testing.assert_allclose(image, dense[:3], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(("batch", "taken"), [(5, 5), (40, 8), (100, 13)])
def test_a_product_takes_an_eighth_of_the_batch(batch, taken):
    seen = []
    fisher = rnn.gauss_newton(lambda w, x: seen.append(x.shape[0]) or x @ w, jnp.ones((batch, 2)))
    fisher(jnp.ones(2), jnp.eye(2), jnp.asarray(3))
    assert set(seen) == {taken}


def test_gauss_newton_of_a_loss_bends_by_its_hessian():
    x = jnp.asarray(np.random.default_rng(0).normal(size=(10, 4)))
    fisher = rnn.gauss_newton(lambda w, b: b @ w, x, loss=lambda y, b: jnp.mean(jnp.cosh(y)), samples=10)
    w = jnp.asarray([0.3, -0.2, 0.1, 0.5])
    hessian = jax.hessian(lambda w: jnp.mean(jnp.cosh(x @ w)))(w)
    np.testing.assert_allclose(fisher(w, jnp.eye(4), jnp.asarray(0)), hessian, rtol=1e-10)


@pytest.fixture(scope="module")
def small():
    return rnn.student_teacher(3, size=8, batch=16, horizon=6, gain=0.9)


def test_training_in_one_line_and_resuming_to_the_bit(small, tmp_path):
    options = {"diagnose_every": 0, "chunk": 20, "save_every": 10}
    for mode, rate in (("smooth", 5e-3), ("fast", 1.0)):

        class StopError(Exception):
            pass

        def stop(progress):
            if progress.step == 20:
                raise StopError

        optimizer = rnn.low_rank_natural_gradient(rate, mode=mode, rank=2)
        whole = rnn.train(small, optimizer, steps=60, **options)
        with pytest.raises(StopError):
            rnn.train(small, optimizer, steps=60, out=tmp_path / mode, progress=stop, **options)
        again = rnn.train(small, optimizer, steps=60, out=tmp_path / mode, resume=True, **options)
        np.testing.assert_array_equal(whole.loss, again.loss)
        np.testing.assert_array_equal(whole.path.parameters, again.path.parameters)
        assert whole.loss[-1] < whole.loss[0]


def steps_of(task, optimizer, count, student=None):
    selected, rest = partition(task.student if student is None else student)
    fisher = rnn.fisher_of(task, samples=8)

    def step(carry, _):
        parameters, state = carry
        loss, gradient = jax.value_and_grad(lambda p: task.loss(eqx.combine(p, rest)))(parameters)
        update, state = optimizer.update(gradient, state, parameters, value=loss, fisher=fisher)
        return (optax.apply_updates(parameters, update), state), loss

    return jax.lax.scan(step, (selected, optimizer.init(selected)), length=count)


@pytest.mark.parametrize(
    "build",
    [
        lambda tx: optax.chain(optax.clip_by_global_norm(1.0), tx),
        lambda tx: optax.chain(optax.trace(0.5), tx),
        lambda tx: optax.chain(tx, optax.add_decayed_weights(-1e-5)),
        lambda tx: optax.MultiSteps(tx, 2),
        lambda tx: rnn.low_rank_natural_gradient(optax.linear_schedule(0.0, 0.02, 10)),
        lambda tx: optax.inject_hyperparams(rnn.low_rank_natural_gradient, static_args=("mode", "rank"))(0.02),
    ],
)
def test_it_composes(small, build):
    optimizer = build(rnn.low_rank_natural_gradient(0.02, rank=2))
    with jax.numpy_dtype_promotion("standard"):  # Optax's own accumulator mixes integers and floats
        _, loss = jax.jit(lambda: steps_of(small, optimizer, 40))()
    assert np.all(np.isfinite(loss))
    assert loss[-1] < loss[0]


def test_vmap_over_seeds_is_a_loop_over_seeds(small):
    optimizer = rnn.low_rank_natural_gradient(0.02, rank=2)
    students = [rnn.student_teacher(s, size=8, batch=16, horizon=6, gain=0.9).student for s in (4, 5)]
    stacked = jax.tree.map(lambda *w: jnp.stack(w), *students)
    alone = jax.jit(lambda s: steps_of(small, optimizer, 15, s))
    _, together = jax.vmap(lambda s: steps_of(small, optimizer, 15, s))(stacked)
    for row, student in zip(together, students, strict=True):
        np.testing.assert_allclose(row, alone(student)[1], rtol=1e-4)


def test_parameters_and_state_may_be_overwritten(small):
    """A step jitted with donated buffers, as training loops do, is the step."""
    start, rest = partition(small.student)
    optimizer = rnn.low_rank_natural_gradient(0.02, rank=2, fisher=rnn.fisher_of(small, samples=8))

    def step(parameters, state):
        gradient = jax.grad(lambda p: small.loss(eqx.combine(p, rest)))(parameters)
        update, state = optimizer.update(gradient, state, parameters)
        return optax.apply_updates(parameters, update), state

    results = []
    for donate in ((), (0, 1)):
        parameters = jax.tree.map(jnp.array, start)
        carry, move = (parameters, optimizer.init(parameters)), jax.jit(step, donate_argnums=donate)
        for _ in range(3):
            carry = move(*carry)
        results.append(carry)
    for plain, donated in zip(*map(jax.tree.leaves, results), strict=True):
        np.testing.assert_array_equal(plain, donated)


def test_state_holds_rank_plus_two_copies(small):
    state = rnn.low_rank_natural_gradient(0.1, rank=3).init(partition(small.student)[0])
    assert sum(leaf.size for leaf in jax.tree.leaves(state)) <= 7 * 64


class TestBadInput:
    """What happens where nothing sensible can be asked for."""

    fisher = staticmethod(exact_fisher(quadratic()[0]))

    @pytest.mark.parametrize("mode", ["smooth", "fast"])
    def test_zero_gradient_stays(self, mode):
        tx = rnn.low_rank_natural_gradient(0.1, mode=mode, rank=2, fisher=self.fisher)
        theta = jnp.ones(SIZE)
        state, move = tx.init(theta), jax.jit(tx.update)
        for _ in range(3):
            update, state = move(jnp.zeros(SIZE), state, theta, value=jnp.ones(()))
            np.testing.assert_array_equal(update, 0)
        assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(state))

    def test_zero_fisher_is_plain_descent(self):
        tx = rnn.low_rank_natural_gradient(0.1, fisher=exact_fisher(jnp.zeros((SIZE, SIZE))))
        theta = gradient = jnp.arange(1.0, SIZE + 1)
        state = tx.init(theta)
        update, state = tx.update(gradient, state, theta)
        np.testing.assert_allclose(update, -0.1 * gradient, rtol=1e-14)
        np.testing.assert_allclose(state.space.vectors @ state.space.vectors.T, np.eye(4), atol=1e-13)

    @pytest.mark.parametrize("bad", [jnp.nan, jnp.inf])
    @pytest.mark.parametrize("mode", ["smooth", "fast"])
    def test_a_loss_that_is_not_finite_is_taken_back(self, mode, bad):
        matrix, _ = quadratic()
        tx = rnn.low_rank_natural_gradient(0.01, mode=mode, fisher=self.fisher)
        theta = jnp.ones(SIZE)
        state = tx.init(theta)
        update, _ = tx.update(jnp.full(SIZE, bad), state, theta, value=bad)
        np.testing.assert_array_equal(update, 0)
        update, state = tx.update(matrix @ theta, state, theta, value=jnp.ones(()))
        back, state = tx.update(jnp.full(SIZE, bad), state, theta + update, value=bad)
        repeated = update + back
        assert np.all(np.isfinite(repeated))
        assert np.linalg.norm(repeated) <= 0.51 * np.linalg.norm(update)
        assert int(state.rejected) == 1

    def test_a_fisher_that_is_not_finite_is_left_out(self):
        tx = rnn.low_rank_natural_gradient(0.1, fisher=exact_fisher(jnp.full((SIZE, SIZE), jnp.nan)))
        theta = jnp.ones(SIZE)
        update, _ = tx.update(theta, tx.init(theta), theta)
        np.testing.assert_allclose(update, -0.1, rtol=1e-14)

    @pytest.mark.parametrize("mode", ["smooth", "fast"])
    def test_rate_zero_stays(self, mode):
        tx = rnn.low_rank_natural_gradient(0.0, mode=mode, fisher=self.fisher)
        theta = jnp.ones(SIZE)
        update, _ = tx.update(theta, tx.init(theta), theta, value=jnp.ones(()))
        np.testing.assert_array_equal(update, 0)

    def test_negative_values_of_a_schedule_count_as_zero(self):
        tx = rnn.low_rank_natural_gradient(lambda count: -1.0, fisher=self.fisher)
        theta = jnp.ones(SIZE)
        np.testing.assert_array_equal(tx.update(theta, tx.init(theta), theta)[0], 0)

    @pytest.mark.parametrize(
        ("arguments", "name"),
        [
            ({"learning_rate": -1.0}, "learning_rate"),
            ({"learning_rate": float("nan")}, "learning_rate"),
            ({"learning_rate": 0.1, "rank": 0}, "rank"),
            ({"learning_rate": 0.1, "rank": 2.0}, "rank"),
            ({"learning_rate": 0.1, "threshold": 0.0}, "threshold"),
            ({"learning_rate": 0.1, "threshold": 3.0}, "threshold"),
            ({"learning_rate": 0.1, "mode": "other"}, "mode"),
        ],
    )
    def test_static_faults_name_the_argument(self, arguments, name):
        with pytest.raises(ValueError, match=name):
            rnn.low_rank_natural_gradient(**arguments)

    def test_missing_arguments_are_named(self):
        theta = jnp.ones(3)
        tx = rnn.low_rank_natural_gradient(0.1)
        with pytest.raises(ValueError, match="params"):
            tx.update(theta, tx.init(theta))
        with pytest.raises(ValueError, match="fisher"):
            tx.update(theta, tx.init(theta), theta)
        tx = rnn.low_rank_natural_gradient(0.1, mode="fast", fisher=self.fisher)
        with pytest.raises(ValueError, match="value"):
            tx.update(theta, tx.init(theta), theta)
        with pytest.raises(ValueError, match="complex"):
            tx.init(jnp.ones(2, complex))

    def test_rank_beyond_the_parameters_is_cut(self):
        tx = rnn.low_rank_natural_gradient(1.0, rank=50, threshold=1.0, fisher=lambda p, block, turn: 4 * block)
        theta = jnp.ones(3)
        state = tx.init(theta)
        assert state.space.vectors.shape == (3, 3)
        np.testing.assert_allclose(tx.update(theta, state, theta)[0], -0.25, rtol=1e-12)

    def test_mixed_precision_keeps_dtypes(self):
        params = {"half": jnp.ones(3, jnp.bfloat16), "single": jnp.ones(2, jnp.float32)}
        fisher = rnn.gauss_newton(
            lambda p, x: (x @ p["half"].astype(jnp.float32)) * p["single"].sum(), jnp.ones((4, 3), jnp.float32)
        )
        tx = rnn.low_rank_natural_gradient(0.5, fisher=fisher)
        update, state = settled(tx, params, params)
        assert (update["half"].dtype, update["single"].dtype) == (jnp.bfloat16, jnp.float32)
        assert state.space.vectors.dtype == jnp.float32
        assert int(state.clipped) == 1

    @pytest.mark.parametrize("params", [{}, (), None, {"a": jnp.zeros((0,))}])
    def test_empty_pytrees_pass_through(self, params):
        tx = rnn.low_rank_natural_gradient(0.1, fisher=self.fisher)
        if params is None:
            params = [None]
        update, _ = tx.update(params, tx.init(params), params)
        assert jax.tree.structure(update) == jax.tree.structure(params)

    @pytest.mark.parametrize("kind", ["float0", "integer"])
    def test_integer_leaves_do_not_move(self, kind):
        params = {"w": jnp.ones(3), "n": jnp.arange(4)}
        gradient = {"w": jnp.ones(3), "n": np.zeros(4, jax.dtypes.float0) if kind == "float0" else jnp.ones(4, int)}

        def fisher(p, block, turn):
            assert block["n"] is None
            np.testing.assert_array_equal(p["n"], params["n"])
            return {"w": 40 * block["w"], "n": None}

        tx = rnn.low_rank_natural_gradient(0.1, fisher=fisher)
        update, _ = tx.update(gradient, tx.init(params), params)
        moved = optax.apply_updates(params, update)
        np.testing.assert_array_equal(moved["n"], params["n"])
        assert moved["n"].dtype == params["n"].dtype
        np.testing.assert_allclose(moved["w"], 1 - 0.1 / 4, rtol=1e-12)
