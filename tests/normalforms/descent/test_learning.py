"""Descent through a bifurcation: the loss and its derivatives, rates, times, regimes, and their scaling limit."""

from dataclasses import replace

import mpmath as mp
import numpy as np
import pytest
import sympy as sp

import normalforms as nf
from normalforms.families import registered

FAMILIES = {
    "stability_flip": lambda h, g: g * h,
    "pitchfork": lambda h, g: g * h - h**3,
    "transcritical": lambda h, g: g * h - h**2,
    "saddle_node": lambda h, g: h + g - 1 - h**2,
    "period_doubling": lambda h, g: -g * h + h**3,
}


def precise(step, g, teacher, h0, horizon, order):
    """``L`` or its derivative by 50-digit iteration, written out independently of the package."""
    with mp.workdps(50):

        def loss(g):
            h = b = mp.mpf(h0)
            total = mp.mpf(0)
            for _ in range(horizon):
                h, b = step(h, g), step(b, mp.mpf(teacher))
                total += (h - b) ** 2
            return total / horizon

        with mp.workdps(120):  # for the differences
            return mp.diff(loss, mp.mpf(g), order, h=mp.mpf(10) ** -22, direction=0)


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("g", [0.97, 1.0, 1.03, 1.05 + 1e-7])
def test_loss_and_its_derivatives_against_iteration(name, g):
    if name == "saddle_node" and g < 1:
        g = 1.01
    study = nf.learning(getattr(nf, name)(), teacher=1.05, initial=0.1, horizon=30)
    values = [study.loss(g), study.gradient(g), study.sharpness(g), *study.derivatives(g, 4)[3:]]
    for order, value in enumerate(values):
        true = float(precise(FAMILIES[name], g, 1.05, 0.1, 30, order))
        assert value == pytest.approx(true, rel=1e-12), order


def test_a_map_that_is_no_polynomial():
    m = nf.parse_map("tanh(w*x)/(1+x^2/9)", state="x", parameter="w")
    study = nf.learning(m, teacher=1.2, initial=[0.3, -0.1], horizon=20)
    step = lambda x, w: mp.tanh(w * x) / (1 + x**2 / 9)  # noqa: E731
    for order in range(4):
        true = sum(float(precise(step, 0.9, 1.2, h0, 20, order)) for h0 in (0.3, -0.1)) / 2
        assert study.derivatives(0.9, 4)[order] == pytest.approx(true, rel=1e-11)


def test_planar_loss_is_that_of_the_modulus_without_a_twist():
    plane = nf.learning(nf.neimark_sacker(1, -1), teacher=1.1, initial=(0.06, 0.08), horizon=30)
    line = nf.learning(nf.pitchfork(), teacher=1.1, initial=0.1, horizon=30)
    for g in (0.9, 1.04):
        np.testing.assert_allclose(plane.derivatives(g, 3), line.derivatives(g, 3), rtol=1e-12)


@pytest.mark.parametrize("name", FAMILIES)
def test_critical_rate_is_horizon_over_amplification(name):
    m = getattr(nf, name)()
    study = nf.learning(m, teacher=1.04, initial=[0.1, 0.05], horizon=40)
    law = nf.amplification(m)
    mean = np.mean(law(1.04, np.array([0.1, 0.05]), 40))
    assert study.critical_rate() == pytest.approx(40 / mean, rel=1e-12)
    assert study.sharpness(1.04) == pytest.approx(2 * mean / 40, rel=1e-12)
    grid = np.array([1.0, 1.02])
    np.testing.assert_allclose(study.critical_rate(grid)[1], 40 / np.mean(law(1.02, np.array([0.1, 0.05]), 40)))


def test_below_the_critical_rate_descent_stays_and_above_it_leaves():
    study = nf.learning(nf.pitchfork(), teacher=1.1, initial=0.1, horizon=30)
    edge = study.critical_rate()
    near = study.descend(1.1 + 1e-6, np.array([0.98, 1.02]) * edge, 400).g[-1] - 1.1
    assert abs(near[0]) < 1e-9 < 1e-3 < abs(near[1])
    assert study.safe_rate(0.9, 1.6) < edge
    assert 30 * study.safe_rate(0.9, 1.6) > 4


def cubic(a, b):
    h, g = sp.symbols("h g", real=True)
    return nf.Map(g * h + sp.Rational(a) * h**2 + sp.Rational(b) * h**3, h, g)


def test_criticality_of_descent_itself():
    """The cycle of period two: its sign and its size, at random maps, teachers and initial states."""
    rng = np.random.default_rng(0)
    seen = {True: 0, False: 0}
    for _ in range(40):
        m = cubic(rng.uniform(-2, 2), rng.uniform(-6, 6))
        try:
            study = nf.learning(
                m, teacher=rng.uniform(-1.6, 1.2), initial=rng.uniform(-0.6, 0.6), horizon=int(rng.integers(1, 9))
            )
        except ValueError:
            continue
        found = study.criticality()
        if not (np.isfinite(found.coefficient) and abs(found.coefficient) > 1e-3):
            continue
        # one step of the twice iterated map at the edge: y'' = y − 2 (a² + b) y³
        with mp.workdps(80):
            y = mp.mpf("1e-14") / mp.sqrt(abs(found.coefficient))
            moved = descend_precisely(study, y, 2)
        assert (moved < y) == found.born_stable
        seen[found.born_stable] += 1
    assert seen[True] >= 10


def descend_precisely(study, y, steps):
    """Descent at the critical rate in 60 digits from a distance y of the teacher."""
    m = study.map
    step = sp.lambdify((m.states[0], m.parameters[0]), m.steps[0], "mpmath")
    f_h = sp.lambdify((m.states[0], m.parameters[0]), m.steps[0].diff(m.states[0]), "mpmath")
    f_g = sp.lambdify((m.states[0], m.parameters[0]), m.steps[0].diff(m.parameters[0]), "mpmath")
    g_T, h0 = mp.mpf(study.teacher), mp.mpf(float(study.initial[0, 0]))

    def orbit(g):
        h, s, states, slopes = h0, mp.mpf(0), [], []
        for _ in range(study.horizon):
            s, h = f_h(h, g) * s + f_g(h, g), step(h, g)
            states.append(h)
            slopes.append(s)
        return states, slopes

    target, tangent = orbit(g_T)
    rate = study.horizon / mp.fsum(s * s for s in tangent)
    g = g_T + y
    for _ in range(steps):
        states, slopes = orbit(g)
        g -= rate * 2 / study.horizon * mp.fsum((h - b) * s for h, b, s in zip(states, target, slopes, strict=True))
    return g - g_T


def test_amplitude_of_the_cycle():
    study = nf.learning(nf.pitchfork(), teacher=1.1, initial=0.1, horizon=30)
    rate = 1.01 * study.critical_rate()
    g = study.descend(1.101, rate, 800).g[-2:]
    assert np.ptp(g) / 2 == pytest.approx(study.criticality().amplitude(rate), rel=0.05)
    assert np.isnan(study.criticality().amplitude(0.5 * rate))


@pytest.mark.parametrize("name", ["stability_flip", "pitchfork", "transcritical", "period_doubling"])
@pytest.mark.parametrize(("start", "rate"), [(0.7, 0.05), (0.85, 0.01), (0.9, 2.0)])
def test_time_is_that_of_descent(name, start, rate):
    study = nf.learning(getattr(nf, name)(), teacher=1.08, initial=0.15, horizon=25)
    found = study.time(start, 1.0, rate)
    true = float(study.descend(start, rate, int(1.3 * found) + 20).crossing())
    assert found == pytest.approx(true, abs=0.05, rel=1e-3)


def test_a_way_that_descent_does_not_take_has_no_time():
    study = nf.learning(nf.pitchfork(), teacher=0.95, initial=0.1, horizon=30)
    assert study.time(0.8, 1.0, 0.1) == np.inf
    assert study.time(0.9, 0.9, 0.1) == 0
    with pytest.raises(ValueError, match="rate must be positive"):
        study.time(0.8, 0.9, 0)


@pytest.mark.parametrize("name", ["stability_flip", "pitchfork", "transcritical"])
def test_plateau_is_algebraic(name):
    """The relative error of the leading term is of first, that with the next order of second order in 1/X."""
    T, y, x_T = 4000, 0.5, 1.0
    h0 = y / T if name == "transcritical" else np.sqrt(y / T)
    study = nf.learning(getattr(nf, name)(), teacher=1 + x_T / T, initial=h0, horizon=T)
    errors, first = [], []
    for X in (60.0, 120.0):
        true = study.scaling().time(-X, 0.0, x_T, y, 1e-6)
        rate = 1e-6 if name == "transcritical" else 1e-6 / T
        errors.append(abs(study.plateau(1 - X / T, study.teacher, h0, rate, T) / true - 1))
        first.append(abs(2 * T * (X / T) ** 3 / (9 * rate * h0**2) / true - 1))
    assert errors[1] < errors[0] / 3 < 0.01
    assert 1.6 < first[0] / first[1] < 2.5


def test_scaling_limit_is_approached_like_one_over_the_horizon():
    cases = (("pitchfork", 1.2, 1), ("transcritical", 1.2, 1), ("saddle_node", -1.2, 2), ("stability_flip", 1.2, 1))
    for name, x, power in cases:
        law = nf.learning(getattr(nf, name)(), teacher=1, initial=0.1, horizon=2).scaling()
        gaps = []
        for T in (100, 200, 400):
            h0 = np.sqrt(0.3 / T) if name in ("pitchfork", "stability_flip") else 0.3 / T
            study = nf.learning(getattr(nf, name)(), teacher=1 + 2.5 / T**power, initial=h0, horizon=T)
            size = float(law.prefactor.subs(law.inputs[2], T))
            limit = law.derivatives(x, 2.5, 0.3, 1) * size * np.array([1, T**power])
            gaps.append(np.abs(study.derivatives(1 + x / T**power, 1) / limit - 1))
            edge = law.critical_rate(2.5, 0.3) / law.scaled_rate(1.0, T)
            np.testing.assert_allclose(law.scaled(study.teacher, h0, T), (2.5, 0.3), rtol=1e-10)
            assert study.critical_rate() == pytest.approx(edge, rel=20 / T)
        assert np.all(gaps[2] < 5 / 100)
        np.testing.assert_allclose(gaps[0] / gaps[1], 2, rtol=0.15)
        np.testing.assert_allclose(gaps[1] / gaps[2], 2, rtol=0.15)


@pytest.mark.parametrize(("y", "rate"), [(1e-6, 5.1232), (1e-4, 5.5355), (1e-2, 6.5389), (0.1, 7.7956), (1, 10.4188)])
def test_safe_rate_of_a_pitchfork_is_the_inverse_peak_of_its_amplification(y, rate):
    law = nf.learning(nf.pitchfork(), teacher=1.1, initial=0.1, horizon=30).scaling()
    grid = np.linspace(0.2, 12, 4000)  # of teachers: the smallest critical rate, by the curvature of Λ
    assert law.safe_rate(y) == pytest.approx(law.critical_rate(grid, y).min(), rel=1e-4)
    assert law.safe_rate(y) == pytest.approx(rate, rel=1e-4)


def test_closed_cases_agree_with_the_quadrature():
    line = nf.learning(nf.pitchfork(), teacher=1.1, initial=0.1, horizon=30).scaling()
    x, y = sp.symbols("x y", real=True)
    for a, b in ((2.0, 0.5), (0.3, 0.5), (-1.3, 0.5)):
        closed = complex(line.closed["teacher on its branch"].subs({x: a, y: b}))
        assert abs(closed.imag) < 1e-12
        assert line.loss(a, b, b) == pytest.approx(closed.real, rel=1e-12)
        assert line.loss(a, -400.0, b) == pytest.approx(
            float(line.closed["teacher at rest"].subs({x: a, y: b})), rel=0.02
        )
    flip = nf.learning(nf.stability_flip(), teacher=1.1, initial=0.1, horizon=30).scaling()
    expr = flip.function.subs({x: 1.5, y: 0.2, sp.Symbol("x_T", real=True): -2})
    assert flip.loss(1.5, -2, 0.2) == pytest.approx(float(expr), rel=1e-13)
    assert isinstance(line.function, sp.Integral)
    assert "quadrature" in line.note
    assert "elementary" in flip.note


def test_phase_diagram_of_the_limit_is_that_of_the_map():
    T, y = 50, 0.1
    rates, teachers = np.geomspace(1, 60, 8), np.linspace(0.5, 6, 8)
    study = nf.learning(nf.pitchfork(), teacher=1.1, initial=np.sqrt(y / T), horizon=T)
    real = study.diagram(rates / T, 1 + teachers / T, steps=300)
    limit = study.scaling().diagram(rates, teachers, y, steps=300)
    assert np.mean(real.regime == limit.regime) >= 0.9
    assert {"monotone", "period two", "hopping"} <= set(real.regime.ravel())


def test_the_formula_evaluates_differentiates_and_generates_code():
    study = nf.learning(nf.transcritical(), teacher=1.05, initial=0.1, horizon=12)
    assert study.formula(1.02, 1.05, 0.1, 12) == pytest.approx(study.loss(1.02), rel=1e-10)
    slope = study.formula.diff("g")
    assert slope(1.02, 1.05, 0.1, 12) == pytest.approx(study.gradient(1.02), rel=1e-10)
    namespace = {}
    exec(slope.code("python", "slope"), namespace)
    assert namespace["slope"](1.02, 1.05, 0.1, 12) == pytest.approx(study.gradient(1.02), rel=1e-10)


def test_orbits_that_leave_are_data():
    study = nf.learning(nf.saddle_node(), teacher=1.01, initial=0.1, horizon=100)
    assert study.loss(0.9) == np.inf
    assert np.isnan(study.gradient(0.9))
    assert study.diagram([1.0], start=0.9, steps=50).regime[0, 0] == "diverging"
    assert study.descend(1.02, 1e4, 5).status == "diverged"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"map": nf.cusp()}, "parameters beta, g"),
        ({"teacher": float("nan")}, "teacher"),
        ({"teacher": [1.1, 1.2]}, "one number"),
        ({"initial": [[0.1, 0.2]]}, "initial has shape"),
        ({"horizon": 0}, "horizon"),
        ({"map": "pitchfork"}, "must be a Map"),
        ({"initial": 5.0}, "leaves to infinity"),
    ],
)
def test_bad_input(options, words):
    given = {"map": nf.pitchfork(), "teacher": 1.1, "initial": 0.1, "horizon": 20} | options
    with pytest.raises(ValueError, match=words):
        nf.learning(given.pop("map"), **given)


def test_no_plateau_and_no_limit_where_there_is_none():
    with pytest.raises(ValueError, match="no plateau"):
        _ = nf.learning(nf.saddle_node(), teacher=1.1, initial=0.1, horizon=20).plateau
    twisted = nf.learning(nf.neimark_sacker(1, "-1+I"), teacher=1.05, initial=(0.1, 0), horizon=20)
    with pytest.raises(ValueError, match="phase"):
        twisted.scaling()
    with pytest.raises(ValueError, match="no safe rate"):
        nf.learning(nf.stability_flip(), teacher=1.1, initial=0.1, horizon=20).scaling().safe_rate(0.1)


def quintic():
    """``h' = g h − h⁵``, a family of one's own: ``H' = x H − H⁵``, ``y = T h0⁴``."""
    from normalforms.families import Family, LimitFlow
    from normalforms.families.units import one_term
    from normalforms.forms.limits import Scaling
    from normalforms.forms.limits.numerics import Numerics

    h, g, x, y, tau = sp.symbols("h g x y tau", real=True)
    u = nf.Map(g * h - h**5, h, g, name="quintic")
    orbit = (y / (sp.exp(-4 * x * tau) + y * (1 - sp.exp(-4 * x * tau)) / x)) ** sp.Rational(1, 4)
    slope = sp.lambdify((x, y, tau), orbit.diff(x) ** 2)
    density = lambda x, y, tau: slope(np.where(np.abs(x) < 1e-3, 1e-3, x), y, tau)  # noqa: E731
    psi = Numerics(density, lambda x, y: 0.5 + 0 * x, lambda x, y: np.zeros(x.shape, bool))

    def scaling(member, stretch, gain):
        (g, h0, T), c = member.inputs, member.coefficient
        prefactor = T ** sp.Rational(5, 2) / sp.sqrt(c)
        place, size = T * (g - 1), c * T * h0**4
        return Scaling(place, size, prefactor, x, (), y, "", member.inputs, psi, True, lambda x, y: 3.0)

    return u, Family(
        name="quintic", title="Quintic", build=lambda: u, recognise=one_term(1, 5), scaling=scaling,
        flow=LimitFlow(orbit, "H' = x H − H⁵"),
    )  # fmt: skip


def test_a_family_of_one_s_own_brings_its_own_flow():
    m, record = quintic()
    T, y = 2000, 0.4
    h0 = (y / T) ** 0.25
    study = nf.learning(m, teacher=1 + 2.5 / T, initial=h0, horizon=T)
    with registered(record):
        law = study.scaling()
        assert law.loss(1.2, 2.5, y) * float(law.prefactor.subs(law.inputs[2], T)) == pytest.approx(
            study.loss(1 + 1.2 / T), rel=3e-3
        )
        assert law.critical_rate(2.5, y) / law.scaled_rate(1.0, T) == pytest.approx(study.critical_rate(), rel=3e-3)
        assert law.safe_rate(y) == pytest.approx(law.critical_rate(np.linspace(0.01, 4, 2000), y).min(), rel=1e-4)
        with pytest.raises(ValueError, match="no plateau"):
            _ = study.plateau
    with registered(replace(record, flow=None)), pytest.raises(ValueError, match="declares no scaling function and"):
        study.scaling()


def test_minibatches_scatter_the_crossing_as_foreseen():
    """200 descents, each step on its own draw of initial states."""
    rng = np.random.default_rng(1)
    states = rng.uniform(-0.3, 0.3, 400)
    study = nf.learning(nf.pitchfork(), teacher=1.06, initial=states, horizon=20)
    start, rate, batch, runs = 0.85, 0.05, 16, 200
    found = study.spread(start, 1.0, rate, batch)
    g, crossing = np.full(runs, start), np.full(runs, np.nan)
    for k in range(int(2.5 * found.mean)):
        drawn = rng.choice(states, (runs, batch))
        h = b = drawn
        s, slope = np.zeros_like(drawn), np.zeros(runs)
        for _ in range(20):
            s = (g[:, None] - 3 * h**2) * s + h
            h, b = g[:, None] * h - h**3, 1.06 * b - b**3
            slope += np.mean(2 * (h - b) * s, axis=1) / 20
        after = g - rate * slope
        over = np.isnan(crossing) & (after >= 1)
        crossing[over] = k + (1 - g[over]) / (after - g)[over]
        g = after
        if not np.isnan(crossing).any():
            break
    assert not np.isnan(crossing).any()
    assert np.std(crossing) == pytest.approx(found.deviation, rel=0.2)
    assert np.mean(crossing) == pytest.approx(found.mean, abs=4 * found.deviation / np.sqrt(runs) + 1)
    low, high = found.interval()
    assert 0.88 < np.mean((crossing > low) & (crossing < high)) <= 1
    stuck = nf.learning(nf.pitchfork(), teacher=0.9, initial=states, horizon=20)
    assert stuck.spread(0.8, 1.0, rate, batch).deviation == np.inf
