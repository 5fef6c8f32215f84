"""Normal forms of JAX models: the coefficients of the symbolic layer, by nested differentiation."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import sympy as sp
from planted import KINDS, error, planted, step

import normalforms as nf
import rnn
from rnn.dynamics.normal_form import jet


class Hidden(eqx.Module):
    """A planted map as a model whose one parameter is m."""

    m: jax.Array
    numbers: tuple
    planar: bool = eqx.field(static=True)

    def __call__(self, h):
        numbers = jax.tree.map(jax.lax.stop_gradient, self.numbers)
        return step(numbers, h, self.m, self.planar)


def hidden(kind, seed):
    p, expected = planted(kind, seed)
    model = Hidden(jnp.zeros(()), jax.tree.map(np.asarray, p), kind == "neimark_sacker")
    return model, expected


@pytest.mark.parametrize("kind", KINDS)
def test_planted_coefficients_come_back(kind):
    for seed in range(100, 102):
        model, expected = hidden(kind, seed)
        direction = jax.tree.map(lambda x: jnp.zeros_like(jnp.asarray(x)), model)
        direction = eqx.tree_at(lambda d: d.m, direction, jnp.ones(()))
        form = rnn.normal_form(model, jnp.zeros(5), direction)
        assert form.kind == kind, form.detail
        assert error(form, expected) <= 1e-9


def symbolic(weight, bias, lift):
    """``h' = W tanh(h) + b`` with the direction ``lift`` of W, in SymPy, entries exact."""
    n = len(bias)
    h, m = sp.symbols(f"h0:{n}", real=True), sp.Symbol("m", real=True)
    W = sp.Matrix(weight) + m * sp.Matrix(lift)
    return nf.Map(tuple(W * sp.Matrix([sp.tanh(x) for x in h]) + sp.Matrix(bias)), h, m)


@pytest.mark.parametrize(
    ("weight", "kind"),
    [
        ([["3/2", "-1/2"], ["1/2", "1/2"]], "degenerate"),
        ([["6/5", "-1/5"], ["1/2", "1/2"]], "pitchfork"),
        ([["-6/5", "1/5"], ["-1/2", "-1/2"]], "period_doubling"),
        ([["3/5", "-4/5"], ["4/5", "3/5"]], "neimark_sacker"),
    ],
)
def test_network_agrees_with_the_symbolic_map(weight, kind):
    exact = [[sp.Rational(x) for x in row] for row in weight]
    lift = [[1, 0], [0, sp.Rational(1, 2)]]
    m = symbolic(exact, [0, 0], lift)
    form = nf.reduce(m, at={**{s.name: 0 for s in m.states}, "m": 0})
    model = rnn.VanillaRNN(jnp.asarray(np.array(exact, float)))
    network = rnn.normal_form(model, jnp.zeros(2), rnn.VanillaRNN(jnp.asarray(np.array(lift, float))))
    assert network.kind == form.kind == kind
    for name, value in form.coefficients.items():
        assert complex(network.coefficients[name]) == pytest.approx(complex(value), abs=1e-12)
    if form.critical_eigenvector is not None:
        np.testing.assert_allclose(
            network.critical_eigenvector, np.array(form.critical_eigenvector.evalf(), complex)[:, 0], atol=1e-12
        )


def test_two_cycle_agrees_with_the_second_iterate():
    """The cycle ``±a`` of ``h' = −w tanh h`` as a fixed point of the second iterate: its pitchfork at w = 1."""
    model = rnn.VanillaRNN(-jnp.eye(1))
    form = rnn.normal_form(model, jnp.zeros(1), np.array([-1.0]), period=2)
    h, w = sp.symbols("h w", real=True)
    exact = nf.reduce(nf.Map(-w * sp.tanh(h), h, w).iterate(2), at={"h": 0, "w": 1})
    assert form.kind == exact.kind == "pitchfork"
    for name, value in exact.coefficients.items():
        assert form.coefficients[name] == pytest.approx(float(value), abs=1e-14)


def test_directional_derivatives_are_the_dense_tensors():
    rng = np.random.default_rng(0)
    weight, point = rng.normal(size=(4, 4)), rng.uniform(-0.9, 0.9, 4)
    bias = np.arctanh(point) - weight @ point
    model = rnn.VanillaRNN(jnp.asarray(weight), jnp.asarray(bias), "tanh(W@h+b)")
    point = jnp.asarray(point)
    direction = rng.normal(size=20)
    local = jet(model, point, direction)
    u, v, w = rng.normal(size=(3, 4)) + 1j * rng.normal(size=(3, 4))
    B, C = jax.jacfwd(jax.jacfwd(model))(point), jax.jacfwd(jax.jacfwd(jax.jacfwd(model)))(point)
    np.testing.assert_allclose(local.second(u, v), np.einsum("ijk,j,k->i", B, u, v), rtol=1e-12)
    np.testing.assert_allclose(local.third(u, v, w), np.einsum("ijkl,j,k,l->i", C, u, v, w), rtol=1e-12)
    eps = 1e-6
    moved = [
        rnn.VanillaRNN(
            model.weight + s * eps * direction[:16].reshape(4, 4), model.bias + s * eps * direction[16:], model.form
        )
        for s in (1, -1)
    ]
    np.testing.assert_allclose(local.parameter, (moved[0](point) - moved[1](point)) / (2 * eps), atol=1e-8)
    slopes = [jax.jacfwd(f)(point) for f in moved]
    np.testing.assert_allclose(local.mixed(u), np.asarray(slopes[0] - slopes[1]) / (2 * eps) @ u, atol=1e-8)
    curved = (moved[0](point) - 2 * model(point) + moved[1](point)) / eps**2
    np.testing.assert_allclose(local.curvature, curved, atol=2e-3)


def test_a_thousand_neurons_without_a_tensor():
    """The second differential alone would take 8 GB; ``c3 = −⅓ Σ p_i q_i³`` for ``W tanh h`` at 0."""
    n = 1024
    rng = np.random.default_rng(0)
    weight = 0.5 * rng.normal(size=(n, n)) / np.sqrt(n)
    a, b = rng.normal(size=(2, n)) / np.sqrt(n)
    a, b = a / (a @ a) ** 0.5, b + a
    b = b / (a @ b)
    weight = weight - np.outer(weight @ a, b) - np.outer(a, b @ weight) + np.outer(a, b) * (1 + b @ weight @ a)
    np.testing.assert_allclose(weight @ a, a, atol=1e-12)
    form = rnn.normal_form(rnn.VanillaRNN(jnp.asarray(weight)), jnp.zeros(n), np.outer(a, b).ravel())
    assert form.kind == "pitchfork"
    assert form.coefficients["dlambda"] == pytest.approx(1.0, abs=1e-10)
    assert form.coefficients["c3"] == pytest.approx(-np.sum(b * a**3) / 3, rel=1e-9)


@pytest.mark.parametrize(
    ("direction", "message"),
    [
        (np.zeros(3), "direction has 3 entries, the model 4"),
        (rnn.VanillaRNN(jnp.eye(2), jnp.zeros(2)), "direction must be a pytree"),
    ],
)
def test_a_direction_that_does_not_fit_is_refused(direction, message):
    with pytest.raises(ValueError, match=message):
        rnn.normal_form(rnn.VanillaRNN(jnp.eye(2)), jnp.zeros(2), direction)


def test_points_that_are_not_critical_or_not_fixed_are_refused():
    model = rnn.VanillaRNN(0.5 * jnp.eye(2))
    with pytest.raises(ValueError, match="critical"):
        rnn.normal_form(model, jnp.zeros(2), np.ones(4))
    with pytest.raises(ValueError, match="fixed point"):
        rnn.normal_form(rnn.VanillaRNN(jnp.eye(2)), jnp.ones(2), np.ones(4))
    with pytest.raises(ValueError, match="state vector of length 3"):
        rnn.normal_form(model, jnp.zeros(3), np.ones(4))
    with pytest.raises(ValueError, match="wrt"):
        rnn.normal_form(jnp.sin, jnp.zeros(1), np.ones(1))


def test_defective_and_multiple_multipliers_are_degenerate():
    jordan = rnn.VanillaRNN(jnp.array([[1.0, 1.0], [0.0, 1.0]]))
    twice = rnn.VanillaRNN(jnp.eye(2))
    for model in (jordan, twice):
        form = rnn.normal_form(model, jnp.zeros(2), np.eye(2).ravel())
        assert form.kind == "degenerate"
        assert "1:1" in form.detail
