"""Networks with inputs: trajectories and kernels of every cell, against loops and dense Jacobians."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from kernels import CASES, close, dense, driven, flat, leaky, our_gru, our_lstm, vanilla

import rnn
from rnn.kernel.trace import diagnostics, subspace_step

WAYS = [
    ("outer, inputs", {"remat": True}),
    ("outer, inputs, no bias", {"remat": 30, "chunk": 2}),
    ("inner, inputs", {"chunk": 2}),
    ("leaky outside, inputs", {"remat": True, "chunk": 3}),
    ("our gru, inputs", {"remat": True}),
    ("module, inputs", {"chunk": 3}),
    ("input weights alone", {"remat": True}),
]


def cell_of(name):
    return {"vanilla": vanilla(), "leaky": leaky(), "gru": our_gru(), "lstm": our_lstm()}[name]


@pytest.mark.parametrize(("name", "options"), WAYS, ids=str)
def test_driven_products_are_the_same_however_memory_is_saved(name, options):
    case = CASES[name]
    J, kernel = dense(case), case.kernel(**options)
    m = kernel.shape[1]
    y = np.random.default_rng(0).normal(size=(3, kernel.h0.shape[0], kernel.horizon, kernel.outputs))
    close(kernel.fisher_mv(np.eye(m)), J.T @ J)
    close(kernel.flatten(kernel.vjp(y)), y.reshape(3, -1) @ J)
    close(kernel.jvp(np.eye(m)).reshape(m, -1).T, J)


@pytest.mark.parametrize("name", ["inner, inputs", "our lstm, inputs", "input weights alone"])
def test_modes_trace_rank_and_split_of_a_driven_kernel_are_those_of_the_dense_one(name):
    case = CASES[name]
    J, kernel = dense(case), case.kernel()
    sigma = np.linalg.svd(J, compute_uv=False)
    close(kernel.leading(2, tolerance=1e-12).singular_values, sigma[:2], 1e-10)
    close(kernel.frobenius(exact=True).value, np.sum(sigma**2))
    close(kernel.stable_rank(exact=True).value, np.sum(sigma**2) / sigma[0] ** 2, 1e-9)
    found = kernel.frobenius(tolerance=0.02)
    assert abs(float(found.value) - np.sum(sigma**2)) <= 5 * float(found.standard_error) + 1e-9
    v = np.random.default_rng(1).normal(size=kernel.shape[1])
    close(kernel.split(jnp.asarray(v)).amplification, np.sum((J @ v) ** 2) / (v @ v))


@pytest.mark.parametrize("name", ["outer, inputs", "leaky, inputs", "our gru, inputs"])
def test_factors_of_a_driven_kernel_multiply_to_it(name):
    kernel = CASES[name].kernel()
    parts = kernel.factors()
    y = jnp.asarray(np.random.default_rng(2).normal(size=(len(kernel.h0), kernel.horizon, kernel.h0.shape[1])))
    close(parts.propagate(parts.local(parts.collect(y))), kernel.mv(y))


@pytest.mark.parametrize("cell", ["vanilla", "leaky", "gru", "lstm"])
def test_input_is_added_where_the_cell_says(cell):
    """A constant input is a bias: the same states, and the same derivatives, as with the bias moved by U x."""
    case = driven(cell_of(cell))
    x = jnp.asarray([0.3, -0.8])
    constant = jnp.broadcast_to(x, (case.horizon, 2))
    pushed = case.model.input_weight @ x
    if cell == "gru":
        n = case.h0.shape[1]
        moved = eqx.tree_at(
            lambda m: (m.bias, m.drive),
            case.model,
            (case.model.bias.at[: 2 * n].add(pushed[: 2 * n]), case.model.drive + pushed[2 * n :]),
        )
    else:
        moved = eqx.tree_at(lambda m: m.bias, case.model, case.model.bias + pushed)
    close(rnn.trajectory(case.model, case.h0, inputs=constant), rnn.trajectory(moved, case.h0, case.horizon), 1e-13)


def test_no_input_and_a_zero_input_are_the_same():
    case = driven(vanilla())
    silent = jnp.zeros((case.horizon, 2))
    close(rnn.trajectory(case.model, case.h0, inputs=silent), rnn.trajectory(case.model, case.h0, case.horizon), 1e-15)
    with_silence = rnn.sntk(case.model, case.h0, inputs=silent)
    close(with_silence.as_matrix(), rnn.sntk(case.model, case.h0, case.horizon).as_matrix(), 1e-14)


def test_one_set_of_inputs_serves_all_trajectories():
    case = driven(vanilla(), same=True)
    each = jnp.broadcast_to(case.inputs, (len(case.h0), *case.inputs.shape))
    close(rnn.trajectory(case.model, case.h0, inputs=case.inputs), rnn.trajectory(case.model, case.h0, None, each), 0)
    assert rnn.sntk(case.model, case.h0, inputs=case.inputs).horizon == case.horizon


def test_pure_diagnostics_take_inputs_inside_jit():
    case = driven(vanilla())
    J = dense(case)
    sigma = np.linalg.svd(J, compute_uv=False)
    start = jnp.asarray(np.linalg.svd(J)[2][:2])
    found = diagnostics(case.model, case.h0, None, start, jax.random.key(0), inputs=case.inputs, products=8, probes=64)
    close(found.singular_value, sigma[0], 1e-9)
    values, _ = jax.jit(lambda x: subspace_step(case.model, case.h0, None, start, inputs=x))(case.inputs)
    close(values, sigma[:2] ** 2, 1e-9)


def test_a_subclass_with_another_step_is_not_taken_for_its_parent():
    """Hooks of a parent speak of the parent's step: the kernel of a changed step is JAX's."""

    class Doubled(rnn.VanillaRNN):
        def __call__(self, h, x=None):
            return 2 * super().__call__(h, x)

    case = vanilla(batch=2, horizon=2)
    model = Doubled(case.model.weight, case.model.bias)
    kernel = rnn.sntk(model, case.h0, 2)
    plain = jax.jacfwd(lambda m: rnn.trajectory(m, case.h0, 2))(model)
    rows = [leaf.reshape(kernel.shape[0], -1) for leaf in jax.tree.leaves(plain)]
    close(kernel.as_matrix(), np.concatenate(rows, axis=1))
    found = rnn.fixed_points(model, starts=np.zeros((1, 4)))
    np.testing.assert_allclose(found.residuals, 0, atol=1e-13)


@pytest.mark.parametrize("form", ["W@phi(h)+b", "phi(W@h+b)"])
@pytest.mark.parametrize("activation", ["tanh", "relu", "sigmoid", "softplus", "identity"])
def test_leaky_cells_know_their_jacobian_and_its_lipschitz_constant(form, activation):
    case = driven(leaky(form, activation))
    model, h, x = case.model, case.h0[0], case.inputs[0, 0]
    close(model.jacobian(h, x), jax.jacfwd(model)(h, x))
    steep = model.lipschitz()
    if activation == "relu":
        assert np.isnan(steep)
        return
    other = case.h0[1]
    gap = np.linalg.norm(np.asarray(model.jacobian(h, x) - model.jacobian(other, x)), 2)
    assert gap <= steep * float(jnp.linalg.norm(h - other)) + 1e-12


def test_a_leak_of_one_is_the_vanilla_cell():
    case = driven(vanilla())
    model = case.model
    leaky_model = rnn.LeakyRNN(model.weight, model.bias, model.input_weight)
    close(rnn.trajectory(leaky_model, case.h0, None, case.inputs), rnn.trajectory(model, case.h0, None, case.inputs), 0)
    assert flat(leaky_model.with_bias()).size == flat(model).size


BATCH, T = 5, 5


@pytest.mark.parametrize(
    ("inputs", "says"),
    [
        (np.zeros((BATCH, T + 1, 2)), r"inputs must have shape .*got \(5, 6, 2\)"),
        (np.zeros((BATCH - 1, T, 2)), r"got \(4, 5, 2\)"),
        (np.zeros(T), r"got \(5,\)"),
        (np.zeros((T, 0)), r"got \(5, 0\)"),
        (np.zeros((T, 2), int), "must be real floating numbers"),
        (np.full((T, 2), np.nan), r"inputs of shape \(5, 2\) contain NaN"),
        (np.zeros((T, 2), np.float32), "must have dtype float64"),
        (np.zeros((T, 3)), "like input_weight"),
    ],
)
def test_inputs_that_do_not_fit_are_named_with_their_shapes(inputs, says):
    case = driven(vanilla())
    with pytest.raises(ValueError, match=says):
        rnn.sntk(case.model, case.h0, T, inputs=inputs)
    with pytest.raises(ValueError, match=says):
        rnn.trajectory(case.model, case.h0, T, inputs)


def test_a_model_without_inputs_says_so():
    case = vanilla()
    with pytest.raises(ValueError, match="takes no input"):
        rnn.sntk(case.model, case.h0, inputs=np.zeros((5, 2)))
    with pytest.raises(ValueError, match="model must map a state"):
        rnn.sntk(jax.tree_util.Partial(lambda w, h: w * h, jnp.ones(4)), case.h0, inputs=np.zeros((5, 2)))
    with pytest.raises(ValueError, match="horizon must be a positive integer, got None"):
        rnn.trajectory(case.model, case.h0)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: rnn.VanillaRNN(jnp.eye(3), input_weight=jnp.ones((2, 1))), "input_weight must have shape"),
        (lambda: rnn.LSTM(jnp.ones((8, 2)), jnp.zeros(8), jnp.ones((7, 1))), "input_weight must have shape"),
        (lambda: rnn.LeakyRNN(jnp.eye(3), leak=0.0), "leak must lie"),
        (lambda: rnn.LeakyRNN(jnp.eye(3), activation="swish"), "activation must be one of"),
        (lambda: rnn.LeakyRNN(jnp.eye(3), form="tanh"), "form must be one of"),
    ],
)
def test_cells_that_do_not_fit_are_refused(make, says):
    with pytest.raises(ValueError, match=says):
        make()
