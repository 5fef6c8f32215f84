"""The restricted kernel of driven networks: measured, and predicted about the forced orbit."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from kernels import close
from networks import event_at, network

import rnn
from rnn.restricted.orbit import frames, orbit_curve

HORIZON = 12


class Affine(eqx.Module):
    """``h' = A h + U x`` with one critical multiplier."""

    matrix: jax.Array
    feed: jax.Array

    def __call__(self, h, x=None):
        image = self.matrix @ h
        return image if x is None else image + self.feed @ x


def affine_map(seed=0):
    rng = np.random.default_rng(seed)
    change = np.linalg.qr(rng.normal(size=(4, 4)))[0]
    matrix = change @ np.diag([1.0, 0.4, -0.3, 0.2]) @ change.T
    model = Affine(jnp.asarray(matrix), jnp.asarray(0.3 * rng.normal(size=(4, 2))))
    v = rng.normal(size=24)
    return model, event_at(model, np.zeros(4), v), v / np.linalg.norm(v)


def data(width, batch=6, seed=3):
    rng = np.random.default_rng(seed)
    return 0.2 * rng.normal(size=(batch, 4)), rng.normal(size=(batch, HORIZON, width))


def driven_network(scale=1.0):
    model, point = network((1.0,), seed=1, size=8, bias=False)
    rng = np.random.default_rng(0)
    model = rnn.VanillaRNN(model.weight, None, input_weight=jnp.asarray(0.4 * rng.normal(size=(8, 1))))
    inputs = scale * rng.choice([-1.0, 0, 1], size=(16, 16, 1), p=[0.1, 0.8, 0.1])
    return event_at(model, point, rng.normal(size=72)), np.zeros((16, 8)), inputs


@pytest.mark.parametrize("rung", ["response", "second"])
@pytest.mark.parametrize("moving", [False, True])
def test_the_response_is_exact_for_maps_that_are_affine_in_the_state(rung, moving):
    """Then ``F(y) + D_hF d = F(y + d)``: the split into u, w̄ and d is an identity, whatever the frame."""
    model, event, v = affine_map()
    h0, inputs = data(2)
    s = np.array([-0.02, 0.0, 0.03])
    rng = np.random.default_rng(8)
    with jax.enable_x64(True):
        frame, rate = frames(event, v, "stability_flip", s, False)
        if moving:  # any frame will do: the identity holds for each
            rate = type(rate)(*(rng.normal(size=part.shape) for part in rate))
            rate = rate._replace(p=rate.p - np.sum(rate.p * frame.q + frame.p * rate.q, axis=1)[:, None] * frame.q)
        found = orbit_curve(model, v, (frame, rate), s, h0, HORIZON, inputs, np.zeros(6, int), rung, moving=moving)
    close(found, rnn.amplification_along(model, v, s, h0, None, inputs), 1e-10)


def test_the_sweep_of_a_driven_network_is_the_norm_of_its_kernel():
    event, h0, inputs = driven_network()
    sweep = rnn.restrict(event, h0=h0, inputs=inputs, count=3)
    kernel = rnn.sntk(event.model, jnp.asarray(h0), inputs=jnp.asarray(inputs))
    middle = rnn.amplification_along(event.model, sweep.direction, np.zeros(1), h0, None, inputs)
    np.testing.assert_allclose(kernel.split(jnp.asarray(sweep.direction)).amplification, middle[0], rtol=1e-10)
    assert sweep.horizon == 16
    np.testing.assert_allclose(sweep.residual().carried, middle[0] / kernel.frobenius(exact=True).value, rtol=1e-10)


@pytest.mark.parametrize("scale", [0.25, 1.0, 2.0])
def test_driven_prediction_follows_the_measured_kernel(scale):
    event, h0, inputs = driven_network(scale)
    sweep = rnn.restrict(event, h0=h0, inputs=inputs, count=7)
    moving, fixed = rnn.predict(sweep), rnn.predict(sweep, frame="fixed")
    assert set(moving.rungs) == {"scalar", "response", "second"}
    assert moving.r2("response") > 0.999
    assert moving.max_relative_error("response") < 0.02
    assert moving.r2("second") > 0.9999
    assert moving.max_relative_error("second") < 0.005
    assert fixed.r2("second") > 0.999


def test_without_input_the_autonomous_and_the_driven_frame_agree_to_their_order():
    """A zero input leaves the forced orbit to the transients; response is that of the autonomous rung to a percent."""
    event, _, inputs = driven_network()
    h0 = 0.2 * np.random.default_rng(5).normal(size=(16, 8))
    plain = rnn.predict(rnn.restrict(event, h0=h0, horizon=16, count=5), rungs=("response",))
    silent = rnn.predict(rnn.restrict(event, h0=h0, inputs=0 * inputs, count=5), rungs=("response",))
    np.testing.assert_allclose(silent.measured, plain.measured, rtol=1e-9)
    np.testing.assert_allclose(silent.rungs["response"], plain.rungs["response"], rtol=0.02)


def test_the_moving_frame_is_differentiated_exactly():
    """q(s), p(s) and their derivatives against central differences of the frame itself."""
    event, h0, inputs = driven_network()
    sweep = rnn.restrict(event, h0=h0, inputs=inputs, count=3)
    step = 1e-5
    s = sweep.displacement[2] + step * np.array([-1.0, 0.0, 1.0])
    with jax.enable_x64(True):
        frame, rate = frames(event, sweep.direction, sweep.kind, s, True)
    for name in ("q", "p"):
        value, slope = getattr(frame, name), getattr(rate, name)
        np.testing.assert_allclose(slope[1], (value[2] - value[0]) / (2 * step), atol=1e-6 * np.abs(slope).max() + 1e-9)
    np.testing.assert_allclose(np.sum(frame.p * frame.q, axis=-1), 1, atol=1e-12)


def test_bad_input_is_named():
    event, h0, inputs = driven_network()
    sweep = rnn.restrict(event, h0=h0, inputs=inputs, count=3)
    with pytest.raises(ValueError, match="rungs must be among"):
        rnn.predict(sweep, rungs=("cubic",))
    with pytest.raises(ValueError, match="frame must be"):
        rnn.predict(sweep, frame="rotating")
    with pytest.raises(ValueError, match="inputs must have shape"):
        rnn.restrict(event, h0=h0, horizon=5, inputs=inputs)
