"""Parameters of their own at every step: trajectories, products and modes against dense Jacobians, and the law."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from kernels import close, leaky, our_gru, vanilla

import normalforms as nf
import rnn

STEPS = 4


def layers(case, steps=STEPS):
    random = np.random.default_rng(7)
    return jax.tree.map(
        lambda p: jnp.asarray(np.stack([p] * steps) + 0.2 * random.normal(size=(steps, *p.shape))), case
    )


def apart(stacked, t):
    return jax.tree.map(lambda p: p[t], stacked)


def looped(stacked, h, x=None):
    states = []
    for t in range(STEPS):
        model = apart(stacked, t)
        h = jax.vmap(model)(h) if x is None else jax.vmap(model)(h, x[:, t])
        states.append(h)
    return jnp.stack(states, 1)


@pytest.mark.parametrize(
    ("case", "options"),
    [(vanilla(), {}), (leaky(leak=0.4, form="phi(W@h+b)"), {"chunk": 2}), (our_gru(), {}), (vanilla(bias=False), {})],
    ids=["inner", "leaky outside", "gru", "no bias"],
)
def test_every_route_is_the_dense_jacobian_s(case, options):
    model = layers(case.model)
    close(rnn.trajectory(model, case.h0, stacked=True), looped(model, case.h0))
    kernel = rnn.sntk(model, case.h0, stacked=True, **options)
    dense = jax.jit(jax.jacrev(lambda m: looped(m, case.h0)))(model)
    J = np.concatenate([np.asarray(p).reshape(kernel.shape[0], -1) for p in jax.tree.leaves(dense)], axis=1)
    assert kernel.shape == J.shape
    random = np.random.default_rng(0)
    v, y = random.normal(size=(2, kernel.shape[1])), random.normal(size=(2, len(case.h0), STEPS, case.h0.shape[1]))
    close(kernel.jvp(v).reshape(2, -1), v @ J.T)
    close(kernel.flatten(kernel.vjp(y)), y.reshape(2, -1) @ J)
    close(kernel.fisher_mv(v), v @ J.T @ J)


def test_traces_under_input():
    case, random = vanilla(batch=3), np.random.default_rng(1)
    weight = jnp.asarray(random.normal(size=(4, 2)))
    model = layers(rnn.VanillaRNN(case.model.weight, case.model.bias, input_weight=weight))
    x = jnp.asarray(random.normal(size=(3, STEPS, 2)))
    close(rnn.trajectory(model, case.h0, inputs=x, stacked=True), looped(model, case.h0, x))
    kernel = rnn.sntk(model, case.h0, inputs=x, stacked=True)
    sigma = np.linalg.svd(np.asarray(kernel.as_matrix()), compute_uv=False)
    close(kernel.frobenius(exact=True).value, np.sum(sigma**2), 1e-10)
    found = kernel.frobenius(tolerance=0.02)
    assert abs(float(found.value) - np.sum(sigma**2)) <= 5 * float(found.standard_error)


def test_what_does_not_fit_is_said():
    case = vanilla()
    model = layers(case.model)
    for arguments, message in (
        ({"horizon": 5}, "leading axis horizon=5"),
        ({"remat": True}, "remat does not go with stacked"),
    ):
        with pytest.raises(ValueError, match=message):
            rnn.sntk(model, case.h0, stacked=True, **arguments)
    with pytest.raises(ValueError, match="stacked parameters must all have the same leading axis"):
        rnn.trajectory(eqx.tree_at(lambda m: m.bias, model, model.bias[:3]), case.h0, stacked=True)
    with pytest.raises(ValueError, match="leave stacked out"):
        rnn.sntk(model, case.h0, stacked=True).factors()


def test_a_network_at_criticality_obeys_the_untied_law():
    """Depth as time: λ₁ of the untied kernel, and tied over untied, at T = 200 on a network of 20 units."""
    state, steps = 20, 200
    random = np.random.default_rng(0)
    turn = np.linalg.qr(random.normal(size=(state, state)))[0]
    weight = turn @ np.diag([1.0, *random.uniform(-0.4, 0.4, state - 1)]) @ turn.T
    lead = 1e-4 * turn[:, :1].T  # so small that nothing saturates, as the law of criticality asks
    network, law = rnn.VanillaRNN(jnp.asarray(weight)), nf.amplification(nf.stability_flip(), tied=False)
    h0 = jnp.asarray(lead)
    tied = rnn.sntk(network, h0, steps)
    stacked = jax.tree.map(lambda p: jnp.broadcast_to(p, (steps, *p.shape)), network)
    untied = rnn.sntk(stacked, h0, stacked=True)
    of_tied, of_untied = (float(k.leading(1, tolerance=1e-6).singular_values[0]) ** 2 for k in (tied, untied))
    assert abs(of_untied / law.critical()(1e-4, steps) - 1) < 0.03
    assert abs(of_tied / of_untied / law.tied_ratio()(steps) - 1) < 0.02
