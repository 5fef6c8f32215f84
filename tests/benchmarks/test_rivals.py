"""The rivals that are written here: SOAP and Shampoo against Adam, dense matrices, and turned parameters."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from rivals import shampoo, soap

RNG = np.random.default_rng(0)
GRADIENTS = RNG.normal(size=(4, 3, 3))
LEFT, RIGHT = (np.linalg.qr(RNG.normal(size=(3, 3)))[0] for _ in range(2))


def moves(tx, gradients):
    state, out = tx.init(jnp.asarray(gradients[0])), []
    for g in gradients:
        update, state = tx.update(jnp.asarray(g), state)
        out.append(np.asarray(update))
    return out


@pytest.mark.parametrize(("build", "betas"), [(soap, (0.95, 0.95)), (shampoo, (0.9, 0.99))])
def test_a_vector_is_moved_as_by_adam(build, betas):
    rows = GRADIENTS[:, 0]
    with jax.numpy_dtype_promotion("standard"):  # of Optax's own
        adam = moves(optax.adam(0.1, *betas), rows)
    np.testing.assert_allclose(moves(build(0.1), rows), adam, rtol=1e-9)


def test_soap_moves_turned_parameters_by_the_turned_step():
    """Adam in an eigenbasis does not know the axes, where Adam does; two steps follow the basis."""
    plain = moves(soap(0.1, every=2), GRADIENTS)
    turned = moves(soap(0.1, every=2), LEFT @ GRADIENTS @ RIGHT)
    np.testing.assert_array_equal(plain[0], 0)
    np.testing.assert_allclose(turned, LEFT @ np.stack(plain) @ RIGHT, rtol=1e-6, atol=1e-9)
    assert np.abs(plain[1:]).max() > 0.05


def test_shampoo_is_the_root_of_kronecker_factors():
    g = GRADIENTS[0]
    update = moves(shampoo(1.0), [g])[0]

    def root(m):
        values, vectors = np.linalg.eigh(m)
        return vectors @ np.diag((np.maximum(values, 0) + 1e-6 * values[-1]) ** -0.25) @ vectors.T

    dense = np.kron(root(g @ g.T), root(g.T @ g)) @ g.ravel()
    np.testing.assert_allclose(update.ravel(), -dense * np.sqrt(g.size) / np.linalg.norm(dense), rtol=1e-6)
