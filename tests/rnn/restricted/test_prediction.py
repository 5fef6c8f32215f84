"""Predictions without free parameters: exact where the map is the normal form, and against a plain integration."""

import dataclasses

import numpy as np
import pytest
from networks import PAIR, PLANTED, at_bifurcation, planted_map

import rnn
from rnn.restricted.line import critical_basis
from rnn.restricted.prediction import CORRECTIONS


def planted_rate(model, sweep, s, eps=1e-6):
    """``Σ ‖∂h_t/∂s‖²`` of the critical coordinates alone, in NumPy: complex or real numbers, central differences."""
    x0 = sweep.h0 @ np.array(model.turn)

    def orbit(s):
        c = np.asarray(model.numbers) + s * sweep.direction
        u = x0[:, 0] + 1j * x0[:, 1] if model.planar else x0[:, 0]
        states = []
        for _ in range(sweep.horizon):
            if model.planar:
                u = np.exp(1j * c[0]) * u * (c[1] + (c[2] + 1j * c[3]) * np.abs(u) ** 2)
            else:
                u = c[0] + c[1] * u + c[2] * u**2 + c[3] * u**3
            states.append(u)
        return np.array(states)

    return np.sum(np.abs((orbit(s + eps) - orbit(s - eps)) / (2 * eps)) ** 2)


@pytest.mark.parametrize("kind", PLANTED)
def test_every_rung_is_exact_where_the_map_is_the_normal_form(kind):
    """Both sides of the bifurcation; the other two coordinates decay by themselves."""
    model, v, event = planted_map(kind)
    h0 = np.random.default_rng(1).uniform(-0.15, 0.15, (6, 3)) * (0.2 if kind == "transcritical" else 1)
    span = {"saddle_node": (0.995, 1.005), "transcritical": (0.9, 1.1)}.get(kind, (0.8, 1.2))
    sweep = rnn.restrict(event, v, h0=h0, horizon=12, count=5, span=span)
    expected = [planted_rate(model, sweep, s) for s in sweep.displacement]
    np.testing.assert_allclose(sweep.amplification, expected, rtol=1e-6)
    prediction = rnn.predict(sweep)
    for rung, curve in prediction.rungs.items():
        np.testing.assert_allclose(curve, sweep.amplification, rtol=1e-8, err_msg=rung)
    cut = rnn.predict(sweep, ("response",), tuple(c for c in CORRECTIONS if c != "quintic"))
    np.testing.assert_allclose(cut.rungs["response"], sweep.amplification, rtol=1e-8)


def test_a_subcritical_law_is_followed_and_its_escapes_are_data():
    model, v, event = planted_map("pitchfork")
    model = dataclasses.replace(model, numbers=model.numbers.at[3].set(0.8))
    event = dataclasses.replace(event, model=model, normal_form=rnn.normal_form(model, np.zeros(3), v))
    small, large = (r * np.random.default_rng(1).uniform(-1, 1, (6, 3)) for r in (0.05, 2.0))
    sweep = rnn.restrict(event, v, h0=small, horizon=10, count=5)
    np.testing.assert_allclose(rnn.predict(sweep, ("cubic",)).rungs["cubic"], sweep.amplification, rtol=1e-8)
    gone = rnn.predict(dataclasses.replace(sweep, h0=large), ("cubic",))
    assert np.all(np.isinf(gone.rungs["cubic"]))
    assert gone.r2("cubic") == -np.inf
    assert gone.max_relative_error("cubic") == np.inf


def rate(sweep, s, corrections, eps=1e-5):
    """The response of a vanilla network written out: three parts of w, NumPy, central differences in s."""
    on = {name: float(name in corrections) for name in CORRECTIONS}
    acts = np.array([on["bending"], on["curvature"], on["transients"]])
    shows = np.array([on["bending"], on["frame"], on["transients"]])
    Q, P = critical_basis(sweep.normal_form)
    model, point = sweep.event.model, sweep.event.point
    W, b, n = np.asarray(model.weight), np.asarray(model.bias), len(point)
    off = lambda h: h - h @ P @ Q.T  # noqa: E731

    def orbit(s):
        Ws, bs = W + s * sweep.direction[: n * n].reshape(n, n), b + s * sweep.direction[n * n :]

        def image(W, b, d):
            if on["quintic"]:
                return np.tanh(point + d) @ W.T + b - point
            t = np.tanh(point)
            slope = 1 - t**2
            return (t + slope * d - t * slope * d**2 + slope * (3 * t**2 - 1) / 3 * d**3) @ W.T + b - point

        def advance(x, w):
            y = x @ Q.T
            here, still = image(Ws, bs, y), image(W, b, y)
            turned = (w / np.cosh(point + y) ** 2) @ Ws.T
            ahead = (here + np.tensordot(acts, turned, 1)) @ P
            return ahead, np.stack([off(still), off(here - still), 0 * here]) + off(turned)

        def begin(h):
            return (h - point) @ P, np.stack([0 * h, 0 * h, off(h - point)])

        x, w = begin(np.tanh(sweep.h0) @ Ws.T + bs) if on["projection"] else advance(*begin(sweep.h0))
        states = []
        for _ in range(sweep.horizon):
            states.append(x @ Q.T + np.tensordot(shows, w, 1))
            x, w = advance(x, w)
        return np.array(states)

    return np.sum(((orbit(s + eps) - orbit(s - eps)) / (2 * eps)) ** 2)


def sweep_of(lead, direction=None, *, radius=0.1, span=None, bias=True, seed=0):
    event, still = at_bifurcation(lead, seed, bias=bias)
    h0 = event.point + radius * np.random.default_rng(2).normal(size=(16, 6))
    return rnn.restrict(event, still if direction is None else direction, h0=h0, horizon=15, count=9, span=span)


@pytest.fixture(scope="module")
def pair():
    return sweep_of(PAIR, "gradient", span=(0.9, 1.1))


@pytest.mark.parametrize("left_out", [None, *CORRECTIONS])
def test_the_response_is_that_of_a_plain_integration(pair, left_out):
    chosen = tuple(c for c in CORRECTIONS if c != left_out)
    curve = rnn.predict(pair, ("response",), chosen).rungs["response"]
    for k in (0, 6):
        assert curve[k] == pytest.approx(rate(pair, pair.displacement[k], chosen), rel=1e-6)


def test_the_scalar_rung_is_the_response_without_the_other_modes(pair):
    scalar = rnn.predict(pair, ("scalar",)).rungs["scalar"]
    assert scalar[4] == pytest.approx(rate(pair, pair.displacement[4], ("projection", "quintic")), rel=1e-6)


@pytest.mark.parametrize(
    ("kind", "lead", "direction", "span", "radius"),
    [
        ("saddle_node", (1.0,), "dominant", (1 - 2 / 15**2, 1 + 2 / 15**2), 0.05),
        ("transcritical", (1.0,), None, (0.9, 1.1), 0.05),
        ("period_doubling", (-1.0,), None, (0.9, 1.1), 0.1),
        ("neimark_sacker", PAIR, None, (0.9, 1.1), 0.1),
    ],
)
def test_networks_of_every_kind_are_predicted(kind, lead, direction, span, radius):
    """A fixed point away from 0, so that the quadratic terms are there."""
    sweep = sweep_of(lead, direction, span=span, radius=radius)
    assert sweep.kind == kind
    assert abs(sweep.parameter[0] - span[0]) < 1e-3
    prediction = rnn.predict(sweep)
    assert prediction.best == "response"
    assert prediction.status == "separated"
    assert prediction.r2() >= 0.995
    assert prediction.max_relative_error() <= 0.05


def test_corrections_gain_where_they_matter(pair):
    """Frame and curvature: a fixed point that moves with s. Bending: a quadratic term."""
    flip = sweep_of((-1.0,), span=(0.9, 1.1))
    for sweep, matter in ((flip, ("projection", "bending", "transients", "quintic")), (pair, ("frame", "curvature"))):
        prediction = rnn.predict(sweep, ("response",), gains=True)
        assert tuple(prediction.gains) == CORRECTIONS
        for name in matter:
            r2, error = prediction.gains[name]
            assert r2 < prediction.r2(), name
            assert error > 1.2 * prediction.max_relative_error(), name
        np.testing.assert_array_equal(np.asarray(prediction), prediction.rungs["response"])


def test_the_curvature_of_the_multiplier_can_be_taken_from_the_law(pair):
    curved, straight = (rnn.predict(pair, ("cubic",), c).rungs["cubic"] for c in (CORRECTIONS, ()))
    assert curved[4] == pytest.approx(straight[4], rel=1e-6)
    assert abs(curved[0] / straight[0] - 1) > 1e-3


def test_a_missing_gap_is_reported(pair):
    near = rnn.predict(dataclasses.replace(pair, gap=0.93), ("cubic",))
    assert "no spectral gap" in near.status
    assert "0.930" in near.status


@pytest.mark.parametrize(
    ("options", "message"), [({"rungs": ("fifth",)}, "rungs must be"), ({"corrections": ("luck",)}, "corrections must")]
)
def test_unknown_names_are_refused(pair, options, message):
    with pytest.raises(ValueError, match=message):
        rnn.predict(pair, **options)


def test_complex_pairs_of_cycles_are_refused(pair):
    sweep = dataclasses.replace(pair, event=dataclasses.replace(pair.event, period=2))
    with pytest.raises(ValueError, match=r"complex pair.*iterated model"):
        rnn.predict(sweep)


@pytest.mark.slow
@pytest.mark.parametrize(("seed", "steps"), [(1, 1_600), (2, 1_350), (3, 850), (4, 1_400)])
def test_the_pitchfork_of_other_trainings(seed, steps):
    task = rnn.student_teacher(seed)
    run = rnn.train(task, steps=steps, diagnose_every=0)
    event = rnn.bifurcations(run, first=1)[0]
    for size, most in ((1.0, 0.05), (0.05, 0.01)):
        prediction = rnn.predict(rnn.restrict(event, h0=size * np.asarray(task.h0), count=21))
        assert prediction.r2("response") >= 0.99
        assert prediction.max_relative_error("response") <= most
