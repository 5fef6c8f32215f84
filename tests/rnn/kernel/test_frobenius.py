"""The exact ``‖J‖_F²`` by every route against the dense Jacobian."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from kernels import CASES, Case, dense, gated, observe_three, planted, vanilla

from rnn.kernel.exact_trace import exact_frobenius

MORE = {
    "longer than the state": vanilla(horizon=12),
    "inner, longer": vanilla("tanh(W@h+b)", horizon=12, batch=3),
    "as long as the state": vanilla(horizon=4, bias=False),
    "as long as state and bias": vanilla(horizon=5),
    "dependent inputs": vanilla()._replace(h0=jnp.zeros((3, 4))),
    "no inputs at all": vanilla(bias=False)._replace(h0=jnp.zeros((3, 4))),
    "few rows": gated(state=5, horizon=1, batch=2, readout=lambda h: h[:1]),
}


@pytest.mark.parametrize("name", [*CASES, *MORE])
def test_the_squared_norm_is_that_of_the_dense_jacobian(name):
    case = (CASES | MORE)[name]
    expected = float(np.sum(dense(case) ** 2))
    np.testing.assert_allclose(exact_frobenius(case.kernel()), expected, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("name", ["outer bias", "function readout", "gru", "few rows"])
@pytest.mark.parametrize("options", [{"chunk": 1}, {"chunk": 2, "remat": True}, {"remat": True}], ids=str)
def test_chunks_and_rematerialisation_change_nothing(name, options):
    case = (CASES | MORE)[name]
    plain = exact_frobenius(case.kernel())
    np.testing.assert_allclose(exact_frobenius(case.kernel(**options)), plain, rtol=1e-13)


def test_at_eight_trajectories_all_routes_agree():
    """Recursion, dense matrix, singular values and the trace of the Fisher matrix."""
    case = vanilla(state=8, batch=8, horizon=12, gain=1.0)
    kernel = case.kernel()
    J = np.asarray(kernel.as_matrix())
    fisher = np.asarray(kernel.fisher_mv(jnp.eye(kernel.shape[1])))
    expected = float(np.sum(J**2))
    for found in (
        exact_frobenius(kernel),
        np.trace(fisher),
        np.sum(np.linalg.svd(J, compute_uv=False) ** 2),
        np.sum(np.asarray(kernel.leading(kernel.shape[1]).singular_values) ** 2),
        np.sum(dense(case) ** 2),
    ):
        np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_rows_and_columns_agree():
    """The same cell through the recursion and, wrapped, through JAX."""
    case = vanilla(state=5, batch=3, horizon=3)
    wrapped = jax.tree_util.Partial(lambda model, h: model(h), case.model)
    generic = Case(wrapped, case.h0, 3)
    few = Case(wrapped, case.h0, 3, readout=lambda h: h[:2])
    np.testing.assert_allclose(exact_frobenius(generic.kernel()), exact_frobenius(case.kernel()), rtol=1e-12)
    expected = exact_frobenius(case._replace(readout=lambda h: h[:2]).kernel())
    np.testing.assert_allclose(exact_frobenius(few.kernel()), expected, rtol=1e-12)


def test_inside_jit_and_scan():
    case = vanilla(readout=observe_three)
    expected = float(np.sum(dense(case) ** 2))
    inside = jax.jit(lambda: exact_frobenius(case.kernel()))()
    np.testing.assert_allclose(inside, expected, rtol=1e-12)

    def step(gain, _):
        model = jax.tree.map(lambda w: gain * w, case.model)
        return gain / 2, exact_frobenius(case._replace(model=model).kernel())

    found = jax.lax.scan(step, jnp.asarray(1.0), length=2)[1]
    halved = case._replace(model=jax.tree.map(lambda w: w / 2, case.model))
    np.testing.assert_allclose(found, [expected, np.sum(dense(halved) ** 2)], rtol=1e-12)


def test_planted_values_add_up():
    np.testing.assert_allclose(exact_frobenius(planted([3.0, 2.0, 2.0, 0.0], columns=11)), 17, rtol=1e-13)


def test_single_precision():
    case = vanilla(dtype=np.float32)
    found = exact_frobenius(case.kernel())
    assert found.dtype == jnp.float32
    np.testing.assert_allclose(found, np.sum(dense(vanilla()) ** 2), rtol=1e-5)
