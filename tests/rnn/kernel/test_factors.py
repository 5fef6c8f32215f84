"""``sNTK = P K Pᵀ`` and the split along directions against dense matrices."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from kernels import CASES, MATRIX, close, dense, vanilla

NAMES = ["outer bias", "inner bias", "bias alone", "gru"]
OPTIONS = [{}, {"chunk": 2}]


def units(kernel):
    rows = kernel.shape[0]
    return jnp.eye(rows).reshape(rows, kernel.h0.shape[0], kernel.horizon, -1)


def matrix(images):
    return np.asarray(images).reshape(len(images), -1).T


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_the_factors_multiply_to_the_kernel(name, options):
    J, kernel = dense(CASES[name]), CASES[name].kernel(**options)
    parts = kernel.factors()
    P, K = matrix(parts.propagate(units(kernel))), matrix(parts.local(units(kernel)))
    close(P @ K @ P.T, J @ J.T)
    close(matrix(parts.collect(units(kernel))), P.T)
    D = matrix(parts.force(jnp.eye(kernel.shape[1])))
    close(P @ D, J)
    close(D @ D.T, K)
    close(matrix(parts.gather(units(kernel))), D.T)


def test_the_propagator_inverts_one_minus_the_step():
    """``P⁻¹`` is the identity with ``−D_hF`` below the diagonal, for every trajectory apart."""
    case = vanilla(batch=2, horizon=4)
    kernel = case.kernel()
    P = matrix(kernel.factors().propagate(units(kernel)))
    expected = np.eye(kernel.shape[0])
    for b, h in enumerate(case.h0):
        for t in range(4):
            row = 16 * b + 4 * t
            if t:
                expected[row : row + 4, row - 4 : row] = -np.asarray(jax.jacobian(case.model)(h))
            h = case.model(h)
    close(np.linalg.inv(P), expected)


def test_the_local_kernel_of_a_vanilla_network_is_that_of_its_inputs():
    """``K = (φφᵀ + 1) ⊗ I``."""
    case = vanilla(batch=3, horizon=4)
    kernel = case.kernel()
    h, phi = case.h0, []
    for _ in range(4):
        phi.append(np.tanh(h))
        h = jax.vmap(case.model)(h)
    phi = np.swapaxes(np.stack(phi), 0, 1).reshape(12, 4)
    close(matrix(kernel.factors().local(units(kernel))), np.kron(phi @ phi.T + 1, np.eye(4)))


def test_a_readout_is_left_off():
    case = CASES["matrix readout"]
    kernel = case.kernel()
    parts = kernel.factors()
    y = jnp.asarray(np.random.default_rng(0).normal(size=(5, 5, 2)))
    whole = parts.propagate(parts.local(parts.collect(y @ MATRIX))) @ MATRIX.T
    close(whole, kernel.mv(y))


def test_factors_inside_jit_and_single_vectors():
    kernel = vanilla().kernel()
    y = jnp.asarray(np.random.default_rng(0).normal(size=(5, 5, 4)))
    parts = kernel.factors()
    product = jax.jit(lambda k, y: k.propagate(k.local(k.collect(y))))(parts, y)
    close(product, kernel.mv(y))
    with pytest.raises(ValueError, match="y must have shape"):
        parts.propagate(y[:3])


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("count", [None, 3])
def test_the_split_adds_up_and_each_part_is_the_dense_one(name, count):
    J, kernel = dense(CASES[name]), CASES[name].kernel()
    m = kernel.shape[1]
    v = np.random.default_rng(1).normal(size=m if count is None else (count, m))
    parts = kernel.split(jnp.asarray(v))
    V = np.linalg.qr(np.atleast_2d(v).T)[0]
    along, rest = J @ V @ V.T @ J.T, J @ (np.eye(m) - V @ V.T) @ J.T
    close(matrix(parts.along(units(kernel))), along)
    close(matrix(parts.rest(units(kernel))), rest, 1e-12 * np.max(np.abs(J @ J.T)) / np.max(np.abs(rest)))
    close(parts.amplification, np.trace(along))
    y = jnp.asarray(np.random.default_rng(2).normal(size=(kernel.h0.shape[0], kernel.horizon, kernel.outputs)))
    close(parts.along(y) + parts.rest(y), kernel.mv(y))


def test_along_the_leading_direction_the_rest_starts_at_the_second_value():
    case = vanilla(state=6, batch=6, horizon=8)
    kernel = case.kernel()
    modes = kernel.leading(2, tolerance=1e-10)
    parts = kernel.split(modes.directions)
    np.testing.assert_allclose(parts.amplification, np.sum(modes.singular_values**2), rtol=1e-10)
    one = kernel.split(jax.tree.map(lambda v: v[0], modes.directions))
    rest = np.linalg.eigvalsh(matrix(one.rest(units(kernel))))[-1]
    np.testing.assert_allclose(rest, modes.singular_values[1] ** 2, rtol=1e-8)


def test_length_and_sign_do_not_matter():
    kernel = vanilla().kernel()
    v = jnp.asarray(np.random.default_rng(0).normal(size=20))
    y = jnp.ones((5, 5, 4))
    close(kernel.split(-1e-8 * v).along(y), kernel.split(v).along(y), 1e-13)


def test_a_split_inside_jit():
    kernel = vanilla().kernel()
    v = jnp.asarray(np.random.default_rng(0).normal(size=20))
    close(jax.jit(lambda v: kernel.split(v).amplification)(v), kernel.split(v).amplification, 1e-14)


@pytest.mark.parametrize("bad", ["zero", "nan", "dependent", "too many"])
def test_directions_that_span_nothing_are_named(bad):
    kernel = vanilla().kernel()
    blocks = {
        "zero": jnp.zeros(20),
        "nan": jnp.full(20, np.nan),
        "dependent": jnp.ones((2, 20)),
        "too many": jnp.eye(21)[:, :20],
    }
    with pytest.raises(ValueError, match="linearly independent"):
        kernel.split(blocks[bad])


def test_factors_of_a_readout_kernel_know_their_shape():
    parts = CASES["matrix readout"].kernel().factors()
    assert parts.kernel.outputs == 4
    assert dataclasses.is_dataclass(parts)
