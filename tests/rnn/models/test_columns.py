"""The sweep with the states as columns: values and derivatives of a plain loop, whatever the cell."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from kernels import close

import rnn
from rnn.models import columns, over_columns


class Plain(eqx.Module):
    """``h' = relu(W (s ∘ h) + U x + b)`` behind ``jax.jit``, which no hook describes."""

    weight: jax.Array
    scale: jax.Array
    bias: jax.Array
    input_weight: jax.Array

    def __call__(self, h, x=None):
        return _step(self, h, x)


@jax.jit
def _step(m, h, x):
    total = m.weight @ (m.scale * h) + m.bias
    return jax.nn.relu(total if x is None else total + m.input_weight @ x)


class LowRank(eqx.Module):
    """``h' = (u vᵀ) tanh(h)``, the matrix formed at every step."""

    u: jax.Array
    v: jax.Array

    def __call__(self, h):
        return jnp.outer(self.u, self.v) @ jnp.tanh(h)


def made(name, state=4, width=2):
    draw = lambda *s: jnp.asarray(np.random.default_rng(3).normal(size=s) / 2)  # noqa: E731
    weight, bias, inputs = draw(state, state), draw(state), draw(state, width)
    return {
        "inner": lambda: rnn.VanillaRNN(weight, bias, input_weight=inputs),
        "outer": lambda: rnn.VanillaRNN(weight, None, "tanh(W@h+b)", inputs),
        "leaky": lambda: rnn.LeakyRNN(weight, bias, inputs, 0.3, activation="softplus"),
        "leaky outside": lambda: rnn.LeakyRNN(weight, bias, inputs, 0.3, "phi(W@h+b)", "sigmoid"),
        "gru": lambda: rnn.GRU(draw(3 * state, state), draw(3 * state), draw(state), draw(3 * state, width)),
        "plain": lambda: Plain(weight, draw(state), bias, inputs),
    }[name]()


def looped(model, h, horizon, x):
    states = []
    for t in range(horizon):
        h = jax.vmap(model)(h) if x is None else jax.vmap(model)(h, x[:, t])
        states.append(h)
    return jnp.stack(states, 1)


CASES = [("inner", 7, True), ("outer", 7, False), ("leaky", 3, True), ("leaky outside", 7, True)]
CASES += [("gru", 7, True), ("plain", 7, False), ("plain", 2, True)]


@pytest.mark.parametrize(("name", "batch", "with_inputs"), CASES)
def test_states_and_their_derivatives_are_those_of_a_loop(name, batch, with_inputs):
    """Values, gradient, tangent, and the Hessian's product both ways round; more states than their length, or fewer."""
    model, random = made(name), np.random.default_rng(0)
    h0 = jnp.asarray(random.normal(size=(batch, 4)))
    x = jnp.asarray(random.normal(size=(batch, 3, 2))) if with_inputs else None
    aim = jnp.asarray(random.normal(size=(batch, 3, 4)))
    along = jax.tree.map(lambda p: jnp.asarray(random.normal(size=p.shape)), model)
    swept, plain = (lambda m, x: rnn.trajectory(m, h0, 3, x)), (lambda m, x: looped(m, h0, 3, x))

    @eqx.filter_jit
    def everything(states, x):
        loss = lambda m: jnp.sum((states(m, x) - aim) ** 2)  # noqa: E731
        tangent = lambda m: jax.jvp(loss, (m,), (along,))[1]  # noqa: E731
        return (
            states(model, x),
            jax.jvp(lambda m: states(m, x), (model,), (along,))[1],
            jax.grad(loss)(model),
            jax.jvp(jax.grad(loss), (model,), (along,))[1],
            jax.grad(tangent)(model),
        )

    for a, b in zip(*(jax.tree.leaves(everything(states, x)) for states in (swept, plain)), strict=True):
        close(a, b)


def test_gradients_of_many_models_at_once():
    models = jax.tree.map(lambda p: jnp.stack([p, 0.5 * p]), made("inner"))
    h0 = jnp.ones((3, 4))
    both = jax.vmap(jax.grad(lambda m: jnp.sum(rnn.trajectory(m, h0, 3) ** 2)))(models)
    one = jax.grad(lambda m: jnp.sum(looped(m, h0, 3, None) ** 2))(jax.tree.map(lambda p: p[1], models))
    for a, b in zip(jax.tree.leaves(both), jax.tree.leaves(one), strict=True):
        close(a[1], b)


def _largest(function, *args):
    """Size of the largest array on the way."""

    def sizes(jaxpr):
        for equation in jaxpr.eqns:
            yield from (np.prod(var.aval.shape) for var in equation.outvars)
            for value in equation.params.values():
                if hasattr(value, "jaxpr"):
                    yield from sizes(value.jaxpr)

    return max(sizes(jax.make_jaxpr(function)(*args).jaxpr))


def test_vectors_become_columns_only_where_nothing_grows():
    state, batch = 6, 50
    h = jnp.asarray(np.random.default_rng(1).normal(size=(state, batch)))
    model = LowRank(jnp.arange(1.0, 7.0), jnp.ones(state))
    assert _largest(columns(model), h) <= state * batch  # and not state² · batch
    close(columns(model)(h), jax.vmap(model, 1, 1)(h))
    turned = str(jax.make_jaxpr(lambda b, h: over_columns(lambda b, h: jnp.tanh(h + b), b, h))(model.u, h))
    assert "transpose" not in turned
    assert f"[{batch},{state}]" not in turned
