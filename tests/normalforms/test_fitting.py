"""Fits recover what they were made from, and say what they cannot tell."""

import numpy as np
import pytest

import normalforms as nf

G = np.linspace(0.9, 1.1, 25)
H = np.linspace(-0.15, 0.15, 40)


def data(name):
    law = nf.amplification(getattr(nf, name)())
    return 2.5 * np.mean(law((1 + 1.1 * (G - 1))[:, None], 0.8 * H, 25), axis=1)


@pytest.mark.parametrize("name", ["pitchfork", "transcritical"])
def test_planted_scales_are_recovered(name):
    h = np.abs(H) if name == "transcritical" else H
    law = nf.amplification(getattr(nf, name)())
    y = 2.5 * np.mean(law((1 + 1.1 * (G - 1))[:, None], 0.8 * h, 25), axis=1)
    fit = nf.fit(G, y, horizon=25, initial=h)
    assert fit.kind == name
    assert fit.parameters["amplitude"] == pytest.approx(2.5, rel=1e-4)
    assert fit.parameters["parameter_scale"] == pytest.approx(1.1, rel=1e-4)
    assert fit.parameters["state_scale"] == pytest.approx(0.8, rel=1e-4)
    assert fit.r2 > 1 - 1e-8


def test_equal_laws_are_reported_as_ambiguous():
    fit = nf.fit(G, data("pitchfork"), horizon=25, initial=H)
    assert "period_doubling" in fit.ambiguous


def test_intervals_cover_the_truth_under_noise():
    noisy = data("pitchfork") * np.exp(0.01 * np.random.default_rng(0).normal(size=G.size))
    fit = nf.fit(G, noisy, horizon=25, initial=H, laws="pitchfork")
    low, high = fit.interval(0.999)["parameter_scale"]
    assert low < 1.1 < high


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"amplification": np.full(25, np.nan)}, "NaN"),
        ({"amplification": np.zeros(25)}, "positive"),
        ({"parameter": G[:3], "amplification": np.ones(3)}, "at least 5"),
        ({"parameter": G[:4]}, "one length"),
        ({"laws": "unknown"}, "known are"),
    ],
)
def test_bad_data_is_named(change, says):
    arguments = {"parameter": G, "amplification": np.ones(25), "horizon": 25, "initial": H} | change
    with pytest.raises(ValueError, match=says):
        nf.fit(arguments.pop("parameter"), arguments.pop("amplification"), **arguments)
