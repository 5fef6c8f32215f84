"""Restricted kernels: what a sweep records."""

import jax.numpy as jnp
import numpy as np
import pytest

import rnn


@pytest.fixture(scope="module")
def event():
    change = np.random.default_rng(0).normal(size=(6, 6))
    weight = change @ np.diag([1.0, 0.5, -0.4, 0.3, 0.2, 0.1]) @ np.linalg.inv(change)
    models = [rnn.VanillaRNN(jnp.asarray(g * weight)) for g in np.linspace(0.8, 1.15, 8)]
    return rnn.bifurcations(models, every=1)[0]


def test_share_is_the_part_of_the_trace_along_the_direction(event):
    h0 = np.random.default_rng(1).normal(size=(5, 6)) * 0.3
    sweep = rnn.restrict(event, h0=h0, horizon=4, count=5, share=True)
    J = np.asarray(rnn.sntk(event.model, jnp.asarray(h0), 4).as_matrix())
    assert sweep.share == pytest.approx(np.sum((J @ sweep.direction) ** 2) / np.sum(J**2), rel=1e-9)
    assert sweep.window(0.9, 1.1).share == sweep.share


def test_share_is_not_a_number_unless_asked_for(event):
    sweep = rnn.restrict(event, h0=np.ones((2, 6)), horizon=3, count=5)
    assert np.isnan(sweep.share)
