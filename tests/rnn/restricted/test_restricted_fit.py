"""Fits of restricted kernels beside what the normal form predicts."""

import jax
import numpy as np
import pytest
from networks import planted_map

import rnn


@pytest.fixture(scope="module")
def sweep():
    _, v, event = planted_map("pitchfork")
    h0 = np.random.default_rng(0).uniform(-0.02, 0.02, (8, 3)) + event.point
    return rnn.restrict(event, v, h0=h0, horizon=20, count=31, span=(0.95, 1.05))


def test_fitted_and_predicted_scales_stand_side_by_side(sweep):
    found = rnn.fit(sweep, (0.95, 1.05), laws="pitchfork", prediction=rnn.predict(sweep))
    rows = {row.name: row for row in found.agreement.scales}
    assert set(rows) == {"amplitude", "parameter_scale", "state_scale"}
    for row in rows.values():
        assert row.fitted == pytest.approx(row.predicted, rel=0.05)
        assert row.low <= row.fitted <= row.high
    curves = {row.name: row for row in found.agreement.curves}
    assert set(curves) == {"cubic", "scalar", "response"}
    assert curves["response"].error < 0.02
    assert curves["response"].scales["parameter_scale"] == pytest.approx(rows["parameter_scale"].fitted, rel=0.05)
    assert found.agreement.verdict in str(found)


def test_a_window_and_a_free_critical_point(sweep):
    with jax.enable_x64(False):
        found = rnn.fit(sweep, (0.96, 1.04), laws="pitchfork", critical="free", noise="bootstrap")
    assert found.parameters["critical"] == pytest.approx(1, abs=2e-3)
    assert found.parameter.min() >= 0.96
