"""Fits recover what they were made from, say what they cannot tell, and say no."""

import mpmath as mp
import numpy as np
import pytest
import sympy as sp

import normalforms as nf
from normalforms.data.candidates import candidates
from normalforms.data.engine import Design, gauss_nodes

G = np.linspace(0.9, 1.1, 25)
H = np.linspace(-0.15, 0.15, 40)


def direct(kind, g, h0, T):
    """``Σ_i A_T(g, h_i)`` of the textbook maps, by a loop of its own."""
    g = np.asarray(g, float)[:, None]
    h = np.broadcast_to(np.asarray(h0, float), (len(g), len(h0))).copy()
    s, total = np.zeros_like(h), np.zeros_like(h)
    for _ in range(T):
        if kind == "stability_flip":
            slope, force, ahead = g, h, g * h
        elif kind == "pitchfork":
            slope, force, ahead = g - 3 * h * h, h, g * h - h**3
        elif kind == "transcritical":
            slope, force, ahead = g - 2 * h, h, g * h - h * h
        elif kind == "saddle_node":
            slope, force, ahead = 1 - 2 * h, 1.0, h + (g - 1) - h * h
        else:
            slope, force, ahead = -g + 3 * h * h, -h, -g * h + h**3
        s, h = slope * s + force, ahead
        total += s * s
    return total.sum(1)


def curve(kind, noise=0.0, seed=0, T=25, a=2.5, b=1.1, c=0.8, x=G, h=H):
    h = np.abs(h) if kind in ("transcritical", "saddle_node") else h
    y = a * direct(kind, 1 + b * (x - 1), c * h, T)
    return y * np.exp(noise * np.random.default_rng(seed).normal(size=len(x))), h


# --- the engine ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["pitchfork", "transcritical", "cusp", "neimark_sacker"])
def test_derivatives_agree_with_fifty_digits(name):
    """Values and slopes of ln A by g, ln c and the further parameter, against mpmath's differences of the iteration."""
    m = nf.neimark_sacker(1, -1 + sp.Rational(3, 10) * sp.I) if name == "neimark_sacker" else getattr(nf, name)()
    g, c, beta, h, T = 1.04, 0.9, 0.003, np.array([0.05, 0.11]), 9
    extra = np.array([[beta]]) if len(m.parameters) > 1 else np.zeros((1, 0))
    states = h[None, :, None] if m.dimension == 1 else np.stack([h, 0 * h], axis=-1)[None]
    found = Design(np.array([T]), states, np.ones((1, 2))).curve(m, np.array([[g]]), np.array([[c]]), extra)
    step = sp.lambdify((*m.states, *m.parameters), m.steps, "mpmath")
    slope = sp.lambdify(
        (*m.states, *m.parameters),
        [list(sp.Matrix(m.steps).jacobian(m.states)), [f.diff(m.parameters[-1]) for f in m.steps]],
        "mpmath",
    )

    def log_a(g, log_c, beta):
        total, n = mp.mpf(0), m.dimension
        for start in h:
            x, s = [mp.exp(log_c) * mp.mpf(float(start)), *[mp.mpf(0)] * (n - 1)], [mp.mpf(0)] * n
            p = (beta, g) if len(m.parameters) > 1 else (g,)
            for _ in range(T):
                rows, force = slope(*x, *p)
                s = [sum(rows[i * n + j] * s[j] for j in range(n)) + force[i] for i in range(n)]
                x = list(step(*x, *p))
                total += sum(v * v for v in s)
        return mp.log(total)

    with mp.workdps(50):
        at = (mp.mpf(g), mp.log(mp.mpf(c)), mp.mpf(beta))
        assert found.value[0, 0] == pytest.approx(float(log_a(*at)), rel=1e-13)
        for i in range(found.slope.shape[2]):
            expected = mp.diff(log_a, at, tuple(int(j == i) for j in range(3)))
            assert found.slope[0, 0, i] == pytest.approx(float(expected), rel=1e-10)


def test_gauss_rule_keeps_signs():
    h = np.random.default_rng(1).uniform(-0.04, 0.1, 500)
    nodes, weights = gauss_nodes(h, 6)
    for k in range(12):
        assert np.sum(weights * nodes**k) == pytest.approx(np.sum(h**k), rel=1e-9)


# --- what is recovered ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["pitchfork", "transcritical", "saddle_node"])
def test_planted_scales_are_recovered(name):
    x = np.linspace(1.0, 1.03, 25) if name == "saddle_node" else G
    y, h = curve(name, x=x)
    fit = nf.fit(x, y, horizon=25, initial=h)
    assert fit.kind == name
    assert fit.parameters["amplitude"] == pytest.approx(2.5, rel=1e-4)  # of the sum over the initial states
    assert fit.parameters["parameter_scale"] == pytest.approx(1.1, rel=1e-4)
    assert fit.parameters["state_scale"] == pytest.approx(0.8, rel=1e-4)
    assert fit.r2 > 1 - 1e-8


def test_signed_states_in_any_number():
    h = np.random.default_rng(1).uniform(-0.04, 0.1, 1500)
    g = np.linspace(0.8, 0.95, 31)
    fit = nf.fit(g, direct("transcritical", g, h, 30), horizon=30, initial=h, laws="transcritical")
    assert list(fit.parameters.values()) == pytest.approx([1, 1, 1], rel=1e-6)


def test_order_and_repetition_do_not_matter_and_are_told():
    y, h = curve("pitchfork", 0.01)
    order = np.random.default_rng(0).permutation(np.repeat(np.arange(25), 2))
    one = nf.fit(G, y, horizon=25, initial=h, laws="pitchfork")
    two = nf.fit(G[order], y[order], horizon=25, initial=h, laws="pitchfork")
    assert list(two.parameters.values()) == pytest.approx(list(one.parameters.values()), rel=1e-5)
    assert "not sorted" in " ".join(two.notes)
    assert "25 points repeat" in " ".join(two.notes)


def test_a_free_critical_point():
    y, h = curve("pitchfork", 0.01, x=G)
    fit = nf.fit(G + 0.02, y, horizon=25, initial=h, critical="free")
    assert fit.kind == "pitchfork"
    low, high = fit.interval(0.99)["critical"]
    assert low < 1.02 < high
    assert high - low < 0.01


def test_several_horizons_collapse():
    x = np.linspace(0.9, 1.1, 20)
    parts = [(T, *curve("pitchfork", 0.01, seed=T, T=T, x=x)) for T in (30, 120)]
    y, T = np.concatenate([p[1] for p in parts]), np.repeat([30, 120], 20)
    joint = nf.fit(np.tile(x, 2), y, horizon=T, initial=H, critical="free", laws="pitchfork")
    single = nf.fit(x, parts[0][1], horizon=30, initial=H, critical="free", laws="pitchfork")
    width = lambda f: np.ptp(f.interval(0.9)["critical"])  # noqa: E731
    assert width(joint) < 0.5 * width(single)
    assert joint.parameters["critical"] == pytest.approx(1, abs=3e-4)
    freed = nf.fit(np.tile(x, 2), y, horizon=T, initial=H, laws="pitchfork", exponents=True)
    for name in ("amplitude_exponent", "parameter_exponent", "state_exponent"):
        low, high = freed.interval(0.999)[name]
        assert low < 0 < high
    assert freed.predict(x, horizon=30) == pytest.approx(parts[0][1], rel=0.05)
    with pytest.raises(ValueError, match="several horizons"):
        joint.predict([1.0, 1.01])
    axes = joint.plot().axes
    assert len(axes) == 2


def test_a_batch_for_each_point():
    batches = np.random.default_rng(2).uniform(-0.1, 0.1, (25, 8))
    y = np.array([2 * direct("pitchfork", [g], h, 20)[0] for g, h in zip(G, batches, strict=True)])
    fit = nf.fit(G, y, horizon=20, initial=batches, laws="pitchfork")
    assert list(fit.parameters.values()) == pytest.approx([2, 1, 1], rel=1e-6)


def test_a_map_of_ones_own_with_a_further_parameter():
    h, k, g = sp.symbols("h k g", real=True)
    m = nf.Map(g * h - h**3 + k * h**5, h, (k, g), {h: 0, k: 0, g: 1}, name="quintic")
    states = np.linspace(-0.4, 0.4, 12)
    x = np.linspace(0.95, 1.2, 30)
    y = np.array([float(np.sum(nf.amplification(nf.Map(g * h - h**3 + h**5 / 2, h, g))(v, states, 20))) for v in x])
    fit = nf.fit(x, y, horizon=20, initial=states, laws=m)
    # the scales of state and quintic term are bound together: k c⁴ in the units of the states
    assert fit.parameters["k"] == pytest.approx(0.5, rel=1e-3)
    assert fit.parameters["state_scale"] == pytest.approx(1, rel=1e-3)


def test_coefficients_of_the_normal_form():
    y, h = curve("pitchfork", a=1.1**2 / 0.8**2)
    found = nf.fit(G, y, horizon=25, initial=h).coefficients
    assert found["dlambda"] == pytest.approx(1.1, rel=1e-4)
    assert found["c3"] == pytest.approx(-0.64, rel=1e-4)
    assert found["gain"] == pytest.approx(1, rel=1e-4)


def test_additive_noise_and_weights():
    y, h = curve("pitchfork")
    noisy = y + 0.003 * y.max() * np.random.default_rng(0).normal(size=y.size)
    fit = nf.fit(G, noisy, horizon=25, initial=h, laws="pitchfork", noise="additive")
    low, high = fit.interval(0.99)["parameter_scale"]
    assert low < 1.1 < high
    spoilt = y.copy()
    spoilt[3] *= 2
    weights = np.ones(25)
    weights[3] = 1e-9
    held = nf.fit(G, spoilt, horizon=25, initial=h, laws="pitchfork", weights=weights)
    assert held.parameters["parameter_scale"] == pytest.approx(1.1, rel=1e-3)


# --- what is not told ----------------------------------------------------------------------------------------


def test_equal_laws_are_reported_as_ambiguous():
    y, h = curve("pitchfork")
    fit = nf.fit(G, y, horizon=25, initial=h)
    assert {"period_doubling", "neimark_sacker"} <= set(fit.ambiguous)
    assert sum(fit.classes.values()) == pytest.approx(1)
    assert sum(weight for *_, weight in fit.ranking) == pytest.approx(1)


@pytest.mark.parametrize("seed", range(3))
def test_the_linear_family_wins_where_it_is_true(seed):
    x, h = 1 + np.linspace(-5, 5, 40) / 30, np.linspace(-0.1, 0.1, 16)
    y, _ = curve("stability_flip", 0.01, seed, T=30, x=x, h=h)
    assert nf.fit(x, y, horizon=30, initial=h).kind == "stability_flip"


def test_only_a_combination_is_fixed_by_a_linear_law():
    x, h = np.linspace(0.9, 1.1, 40), np.linspace(-0.1, 0.1, 16)
    y, _ = curve("stability_flip", 0.01, T=30, a=3, b=1.5, c=0.7, x=x, h=h)
    fit = nf.fit(x, y, horizon=30, initial=h, laws="stability_flip")
    ends = fit.interval(0.9)
    assert ends["amplitude"] == (0, np.inf)
    assert ends["state_scale"] == (0, np.inf)
    assert 1.49 < ends["parameter_scale"][0] < 1.5 < ends["parameter_scale"][1] < 1.51
    (fixed,) = fit.identified
    assert fixed.formula == "a c^2"
    assert fixed.interval[0] < 3 * 0.49 < fixed.interval[1]
    assert fixed.interval[1] / fixed.interval[0] < 1.02


def test_a_pitchfork_seen_below_its_onset_fixes_hardly_more():
    x, h = 1 + np.linspace(-12, -4, 30) / 30, np.linspace(-0.05, 0.05, 16)
    y, _ = curve("pitchfork", 0.02, T=30, x=x, h=h)
    fit = nf.fit(x, y, horizon=30, initial=h, laws="pitchfork")
    assert fit.interval(0.9)["state_scale"][0] == 0
    assert "a c^2" in [c.formula for c in fit.identified]


def test_intervals_cover_the_truth_under_noise():
    hits = 0
    for seed in range(12):
        y, h = curve("pitchfork", 0.01, seed)
        low, high = nf.fit(G, y, horizon=25, initial=h, laws="pitchfork").interval(0.9)["parameter_scale"]
        hits += low < 1.1 < high
    assert 8 <= hits <= 12


def test_a_profile_interval_is_where_the_cost_crosses_the_threshold():
    """Against a brute minimisation over the other two scales with the third held."""
    from scipy.optimize import minimize
    from scipy.stats import f as ratio

    y, h = curve("pitchfork", 0.05)
    fit = nf.fit(G, y, horizon=25, initial=h, laws="pitchfork")
    cost = lambda b, c: np.var(np.log(y / direct("pitchfork", 1 + b * (G - 1), c * h, 25))) * 25  # noqa: E731
    _, high = fit.interval(0.9)["parameter_scale"]
    best = minimize(lambda v: cost(*v), [1.1, 0.8], method="Nelder-Mead", options={"xatol": 1e-8, "fatol": 1e-12}).fun
    at = minimize(lambda v: cost(high, v[0]), [0.8], method="Nelder-Mead", options={"xatol": 1e-8, "fatol": 1e-12}).fun
    assert at / best == pytest.approx(1 + ratio.ppf(0.9, 1, 22) / 22, rel=3e-3)


def test_bootstrap_intervals_agree_with_profiles_where_noise_is_independent():
    y, h = curve("pitchfork", 0.02, 3)
    plain = nf.fit(G, y, horizon=25, initial=h, laws="pitchfork").interval(0.9)["parameter_scale"]
    drawn = nf.fit(G, y, horizon=25, initial=h, laws="pitchfork", noise="bootstrap").interval(0.9)["parameter_scale"]
    assert np.ptp(drawn) == pytest.approx(np.ptp(plain), rel=0.5)


# --- no ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(4))
def test_random_data_are_no_family(seed):
    y = np.exp(np.random.default_rng(seed).normal(size=41))
    fit = nf.fit(np.linspace(0.85, 1.15, 41), y, horizon=30, initial=np.linspace(-0.2, 0.2, 32))
    assert fit.kind is None
    assert fit.status.startswith("no law")


def test_constant_data_are_no_family():
    fit = nf.fit(np.linspace(0.85, 1.15, 41), np.ones(41), horizon=30, initial=np.linspace(-0.2, 0.2, 32))
    assert fit.kind is None
    assert fit.status.startswith("no law")


def test_misfit_is_named_with_its_direction():
    y, h = curve("pitchfork", 1e-4)
    fit = nf.fit(G, y * (1 + 0.1 * np.tanh((G - 1) * 30) ** 2 * (G > 1)), horizon=25, initial=h, laws="pitchfork")
    assert fit.status.startswith("misfit")
    assert "above it" in fit.status
    assert fit.goodness.p_value < 1e-3
    assert fit.goodness.inflation > 1
    clean = nf.fit(G, curve("pitchfork", 0.01)[0], horizon=25, initial=h, laws="pitchfork")
    assert clean.goodness.p_value > 1e-3


def test_a_window_without_a_peak_names_no_family():
    x, h = 1 + np.linspace(-12, -6, 20) / 30, np.linspace(-0.05, 0.05, 16)
    y, _ = curve("pitchfork", 0.05, T=30, x=x, h=h)
    fit = nf.fit(x, y, horizon=30, initial=h)
    assert fit.kind is None
    assert "no peak" in fit.status
    assert {"linear", "cubic"} <= set(fit.plausible)


def test_a_prediction_is_compared():
    y, h = curve("pitchfork", 0.01)
    fit = nf.fit(G, y, horizon=25, initial=h, laws="pitchfork")
    exact = curve("pitchfork")[0]
    right = fit.against({"amplitude": 2.5, "parameter_scale": 1.1, "state_scale": 0.8, "law": exact}, level=0.999)
    assert right.agrees
    assert right.verdict.startswith("agrees")
    assert right.curves[0].explains
    wrong = fit.against({"amplitude": 5.0, "low": exact * 0.7, "good": exact})
    assert not wrong.agrees
    assert "the rung that does is 'good'" in wrong.verdict
    assert [c.agrees for c in wrong.curves] == [False, True]
    assert fit.against(exact).agrees
    with pytest.raises(ValueError, match="names 'size'"):
        fit.against({"size": 1.0})
    with pytest.raises(ValueError, match="shape"):
        fit.against(exact[:3])


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"amplification": np.full(25, np.nan)}, "NaN"),
        ({"amplification": np.zeros(25)}, "not positive"),
        ({"amplification": ["a"] * 25}, "not an array of numbers"),
        ({"parameter": G[:3], "amplification": np.ones(3)}, "at least 5"),
        ({"parameter": G[:2], "amplification": np.ones(2)}, "at least 5"),
        ({"parameter": np.ones(25)}, "one value, 1"),
        ({"parameter": G[:4]}, "one length"),
        ({"laws": "unknown"}, "known are"),
        ({"laws": []}, "laws is empty"),
        ({"initial": np.zeros(5)}, "all zero"),
        ({"initial": []}, "initial is empty"),
        ({"initial": np.ones((3, 2))}, "shape"),
        ({"horizon": 2.5}, "positive integer"),
        ({"horizon": [1, 2]}, "horizon has shape"),
        ({"weights": np.ones(3)}, "weights has shape"),
        ({"weights": -np.ones(25)}, "weights must be positive"),
        ({"critical": "none"}, "free"),
        ({"critical": np.inf}, "finite"),
        ({"noise": "odd"}, "noise = 'odd'"),
        ({"exponents": True}, "several horizons"),
    ],
)
def test_bad_data_is_named(change, says):
    arguments = {"parameter": G, "amplification": np.ones(25), "horizon": 25, "initial": H} | change
    with pytest.raises(ValueError, match=says):
        nf.fit(arguments.pop("parameter"), arguments.pop("amplification"), **arguments)


def test_levels_are_checked():
    y, h = curve("pitchfork", 0.01)
    with pytest.raises(ValueError, match="level"):
        nf.fit(G, y, horizon=25, initial=h, laws="pitchfork").interval(1.5)


def test_classes_come_from_the_registry():
    classes = {c.name: c.law_class for c in candidates(None)}
    assert classes["pitchfork"] == classes["period_doubling"] == classes["neimark_sacker"] == "cubic"
    assert len(set(classes.values())) == 5
