"""The noise law of a pitchfork against the kernel of a driven network."""

import jax.numpy as jnp
import numpy as np
import pytest

import normalforms as nf
import rnn

SIZE, BATCH, HORIZON = 32, 256, 40


def critical_network(seed):
    """``W`` with one multiplier 1 and the others within .4, ``q``, ``p``, and an input that drives both alike."""
    rng = np.random.default_rng(seed)
    A = rng.standard_normal((SIZE, SIZE))
    A *= 0.4 / np.max(np.abs(np.linalg.eigvals(A)))
    q = rng.standard_normal(SIZE)
    q /= np.linalg.norm(q)
    r = q + 0.3 * rng.standard_normal(SIZE) / np.sqrt(SIZE)
    p = r / (r @ q)
    project = np.eye(SIZE) - np.outer(q, p)
    other = project @ rng.standard_normal(SIZE)
    return np.outer(q, p) + project @ A @ project, q, p, q + other / np.linalg.norm(other)


@pytest.mark.parametrize(("x", "y"), [(0.0, 0.3), (-2.0, 1.0), (1.0, 10.0)])
def test_the_leading_eigenvalue_is_that_of_the_law(x, y):
    W, q, p, U = critical_network(0)
    c = np.sum(p * q**3) / 3
    model = rnn.VanillaRNN(jnp.asarray(W + x / HORIZON * np.outer(q, p)), input_weight=jnp.asarray(U[:, None]))
    form = rnn.normal_form(rnn.VanillaRNN(jnp.asarray(W)), np.zeros(SIZE), np.outer(q, p).ravel())
    assert -form.coefficients["c3"] == pytest.approx(c, rel=1e-6)
    amplitude = np.sqrt(y) / HORIZON / np.sqrt(c) / abs(p @ U)
    signs = 2.0 * np.random.default_rng(1).integers(0, 2, (BATCH, HORIZON, 1)) - 1
    kernel = rnn.sntk(model, jnp.zeros((BATCH, SIZE)), inputs=jnp.asarray(amplitude * signs), wrt=lambda m: m.weight)
    top = float(kernel.leading(1).singular_values[0]) ** 2
    # the law of the normal form is per unit of the multiplier: ∇λ = p qᵀ, ‖q‖ = 1
    law = nf.amplification(form).driven(nf.White(amplitude * abs(float(p @ U)), law="binary"))
    slope = float(form.coefficients["dlambda"])
    expected = np.sum(p**2) * BATCH * law(1 + x / HORIZON, 0.0, HORIZON) / slope**2
    assert top == pytest.approx(expected, rel=0.15)
    psi = nf.amplification(nf.pitchfork()).driven(nf.White(0.1)).scaling().evaluate(x, y)
    assert top == pytest.approx(np.sum(p**2) * BATCH / c * HORIZON**2 * psi, rel=0.2)
