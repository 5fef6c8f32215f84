import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rnn import VanillaRNN, trajectory
from rnn.models import flatten
from rnn.models.model import partition


@pytest.fixture
def weights():
    rng = np.random.default_rng(0)
    return jnp.asarray(rng.normal(size=(5, 5))), jnp.asarray(rng.normal(size=5))


@pytest.mark.parametrize("with_bias", [False, True])
def test_one_step_is_the_stated_formula(weights, with_bias):
    W, b = weights
    b = b if with_bias else None
    h = jnp.arange(5.0)
    shift = b if with_bias else jnp.zeros(5)
    np.testing.assert_allclose(VanillaRNN(W, b)(h), W @ jnp.tanh(h) + shift, rtol=1e-15)
    np.testing.assert_allclose(VanillaRNN(W, b, "tanh(W@h+b)")(h), jnp.tanh(W @ h + shift), rtol=1e-15)


@pytest.mark.parametrize("form", ["W@tanh(h)+b", "tanh(W@h+b)"])
@pytest.mark.parametrize("with_bias", [False, True])
def test_the_jacobian_is_the_derivative(weights, form, with_bias):
    W, b = weights
    model = VanillaRNN(W, b if with_bias else None, form)
    h = jnp.asarray(np.random.default_rng(3).normal(size=5))
    np.testing.assert_allclose(model.jacobian(h), jax.jacfwd(model)(h), rtol=1e-14, atol=1e-15)


def test_the_two_forms_are_conjugate_by_tanh(weights):
    W, b = weights
    h0 = jnp.asarray(np.random.default_rng(1).normal(size=(3, 5)))
    outer = trajectory(VanillaRNN(W, b), h0, 7)
    inner = trajectory(VanillaRNN(W, b, "tanh(W@h+b)"), jnp.tanh(h0), 7)
    np.testing.assert_allclose(jnp.tanh(outer), inner, atol=1e-12)


def test_trajectory_is_the_loop(weights):
    model = VanillaRNN(*weights)
    h0 = jnp.asarray(np.random.default_rng(2).normal(size=(4, 5)))
    hs = trajectory(model, h0, 6)
    assert hs.shape == (4, 6, 5)
    for b in range(4):
        h = h0[b]
        for t in range(6):
            h = model(h)
            np.testing.assert_allclose(hs[b, t], h, rtol=1e-12)


def test_readout_is_applied_to_every_state(weights):
    model = VanillaRNN(*weights)
    h0 = jnp.ones((2, 5))
    read = trajectory(model, h0, 3, readout=lambda h: h[:2])
    np.testing.assert_allclose(read, trajectory(model, h0, 3)[..., :2], rtol=1e-12)


def test_a_trajectory_asked_for_again_is_not_compiled_again():
    traced = []

    class Counted(eqx.Module):
        weight: jax.Array

        def __call__(self, h):
            traced.append(1)
            return jnp.tanh(self.weight @ h)

    one, other = (trajectory(Counted(w * jnp.eye(3)), jnp.ones((2, 3)), 4) for w in (0.5, 0.7))
    first = len(traced)
    again = trajectory(Counted(0.7 * jnp.eye(3)), jnp.ones((2, 3)), 4)
    assert len(traced) == first  # other weights, one program
    np.testing.assert_array_equal(again, other)
    h = np.ones(3)
    for _ in range(4):
        h = np.tanh(0.5 * h)
    np.testing.assert_allclose(one[0, -1], h, rtol=1e-14)


def test_trajectories_of_any_callable():
    class Plain:
        __hash__ = None  # as of a dataclass that compares its fields

        def __call__(self, h):
            return h / 2

    h0 = jnp.ones((2, 3))
    np.testing.assert_array_equal(trajectory(Plain(), h0, 2), trajectory(lambda h: h / 2, h0, 2))
    slope = jax.grad(lambda a: trajectory(lambda h: a * h, h0, 3)[0, -1, 0])(0.5)
    np.testing.assert_allclose(slope, 3 * 0.5**2)


@pytest.mark.parametrize("horizon", [0, -1, 1.5, True])
def test_a_bad_horizon_is_named(weights, horizon):
    with pytest.raises(ValueError, match="horizon must be a positive integer"):
        trajectory(VanillaRNN(*weights), jnp.ones((1, 5)), horizon)


def test_a_missing_batch_axis_is_named(weights):
    with pytest.raises(ValueError, match="batch"):
        trajectory(VanillaRNN(*weights), jnp.ones(5), 3)


@pytest.mark.parametrize(
    ("weight", "bias", "form", "says"),
    [
        (jnp.ones((2, 3)), None, "W@tanh(h)+b", "square"),
        (jnp.ones((2, 2)), jnp.ones(3), "W@tanh(h)+b", "bias"),
        (jnp.ones((2, 2)), None, "relu", "form"),
    ],
)
def test_a_misshapen_network_is_refused(weight, bias, form, says):
    with pytest.raises(ValueError, match=says):
        VanillaRNN(weight, bias, form)


@pytest.mark.parametrize(
    "wrt",
    [
        lambda m: m.weight,
        lambda m: (m.weight,),
        None,
    ],
)
def test_partition_and_combine_are_inverse(weights, wrt):
    model = VanillaRNN(*weights)
    selected, rest = partition(model, wrt)
    joined = eqx.combine(selected, rest)
    assert jax.tree.all(jax.tree.map(lambda a, b: jnp.array_equal(a, b), joined, model))


def test_partition_by_function_takes_that_parameter_alone(weights):
    selected, rest = partition(VanillaRNN(*weights), lambda m: m.bias)
    assert selected.weight is None
    assert rest.bias is None


@pytest.mark.parametrize("wrt", [lambda m: m.bias, lambda m: m.nothing])
def test_selecting_nothing_is_an_error(weights, wrt):
    with pytest.raises(ValueError, match="wrt selects"):
        partition(VanillaRNN(weights[0]), wrt)


def test_flat_parameters_keep_float64_outside_of_x64(weights):
    """A model made under x64, such as an event's, is flattened to its own numbers in a float32 session."""
    model = VanillaRNN(*weights)
    exact = np.concatenate([np.ravel(leaf) for leaf in (model.weight, model.bias)])
    with jax.enable_x64(False):
        found = flatten(model)
    assert found.dtype == np.float64
    np.testing.assert_array_equal(np.asarray(found), exact)
