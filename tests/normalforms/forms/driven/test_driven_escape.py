"""White noise where orbits escape: means of those that stay, rates, passage times, series, each a second way."""

import itertools

import mpmath as mp
import numpy as np
import pytest
import sympy as sp

import normalforms as nf
from normalforms.forms.driven.escape import fold_exponent, fold_growth, overshoot, passage_time, removed_mean
from normalforms.forms.driven.moments import critical_series
from normalforms.forms.driven.stationary import subcritical_exponent, subcritical_growth

H, G = sp.symbols("h g", real=True)
CROSSING, FOLD = nf.amplification(nf.transcritical()), nf.amplification(nf.saddle_node())


def family(step):
    return nf.amplification(nf.Map(step, H, G, {H: 0, G: 1}))


CASES = {
    "transcritical": (family(G * H + 3 * H**2), -3, 1),
    "saddle_node": (family(H + G - 1 - 2 * H**2), 2, 2),
    "subcritical": (family(G * H + 2 * H**3), -2, 1),
    "subcritical flip": (family(-G * H - 2 * H**3), -2, 1),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize(("x", "y", "z", "rho"), [(1, 1, -0.1, 3.0), (-1, 0.5, 0.4, 2.0)])
def test_scaling_of_orbits_that_stay_is_the_limit_of_the_map(name, x, y, z, rho):
    """No draws: value and chance to leave against the map's own recursion, both with errors that fall like 1/T."""
    law, c, power = CASES[name]
    odd = name.startswith("sub")
    errors = []
    for T in (50, 200):
        unit = np.sqrt(-c * T) if odd else c * T
        sigma = np.sqrt(y / T) / abs(unit)
        driven = law.driven(nf.White(sigma), radius=rho / abs(unit))
        at = (1 + x / T**power / (c if power == 2 else 1), z / unit, T)
        found, limit = driven(*at), driven.scaling()(*at)
        errors.append((abs(found / limit - 1), abs((1 - found.escaped) / (1 - limit.escaped) - 1)))
    assert errors[1][0] < 0.03
    assert errors[1][0] < 0.35 * errors[0][0] + 1e-4
    assert errors[1][1] < 0.35 * errors[0][1] + 1e-4
    if name == "transcritical" and x == 1:  # without the overshoot the error falls like 1/√T alone
        plain = driven.scaling().evaluate(x, y, z, rho)
        assert abs((1 - found.escaped) / (1 - plain.escaped) - 1) > 1.3 * errors[1][1]


@pytest.mark.parametrize(
    ("kind", "x", "y", "z", "rho"),
    [
        ("transcritical", 1, 1, 0, 3),
        ("saddle_node", -1, 1, 0, 4),
        ("pitchfork", -1, 1, 0.2, 2),
    ],
)
def test_scaling_of_orbits_that_stay_agrees_with_draws_of_the_flow(kind, x, y, z, rho):
    f, slope, push = {
        "transcritical": (lambda h: x * h - h * h, lambda h: x - 2 * h, lambda h: h),
        "saddle_node": (lambda h: x - h * h, lambda h: -2 * h, lambda h: 1.0),
        "pitchfork": (lambda h: x * h + h**3, lambda h: x + 3 * h * h, lambda h: h),
    }[kind]
    rng, steps, n = np.random.default_rng(3), 500, 10_000
    h, s, total, kept = np.full(n, float(z)), np.zeros(n), np.zeros(n), np.ones(n, bool)
    reach = rho - overshoot("normal") * np.sqrt(y / steps)
    for _ in range(steps):
        kick = np.sqrt(y / steps) * rng.standard_normal(n)
        late = h + f(h) / steps + kick
        s_late = s + (slope(h) * s + push(h)) / steps
        s = s + (slope(h) * s + push(h) + slope(late) * s_late + push(late)) / 2 / steps
        h = h + (f(h) + f(late)) / 2 / steps + kick
        kept &= np.abs(h) < reach
        h, s = np.where(kept, h, 0), np.where(kept, s, 0)
        total += s * s / steps
    found = removed_mean(kind, x, y, z, rho)
    A = total[kept]
    assert abs(found - A.mean()) < 4 * A.std() / np.sqrt(A.size) + 0.01 * found
    assert abs(found.escaped - np.mean(~kept)) < 4 * np.sqrt(found.escaped / n) + 2e-3


def test_a_large_radius_and_weak_noise_use_a_smaller_one():
    small = removed_mean("saddle_node", 0.0, 0.02, 0.0, 1.5, 1e-7)
    large = removed_mean("saddle_node", 0.0, 0.02, 0.0, 8.0, 1e-7)
    assert large == pytest.approx(small, rel=1e-6)
    assert large.escaped == 0
    assert np.isinf(removed_mean("saddle_node", 0.0, 1.0, 3.0, 2.0))


@pytest.mark.parametrize("kind", ["saddle_node", "transcritical", "pitchfork"])
def test_the_radius_is_part_of_the_law(kind):
    """``E(∫Z²; stay) ~ ρ²``: the local power rises to 2 with the radius."""
    y, radii = (1.0, (3.0, 4.0, 5.0)) if kind == "pitchfork" else (10.0, (8.0, 12.0, 16.0, 20.0))
    found = [removed_mean(kind, 0.0, y, 0.0, r, 1e-7) for r in radii]
    kept = np.array([v * (1 - v.escaped) for v in found])
    powers = np.diff(np.log(kept)) / np.diff(np.log(radii))
    assert 1.3 < powers[0] < 2
    assert powers[-2] < powers[-1] < 2


@pytest.mark.parametrize("kind", ["saddle_node", "pitchfork"])
def test_tail_of_sensitivities_of_orbits_about_to_escape(kind):
    """Hill's estimator on draws of the flow at τ = 1, and the same for the sum."""
    law = FOLD if kind == "saddle_node" else CASES["subcritical"][0]
    alpha, summed = law.driven(nf.White(0.01)).tail(0.0), 1 / 3 if kind == "saddle_node" else 1 / 2
    assert alpha == pytest.approx(1 / 2 if kind == "saddle_node" else 2 / 3)
    rng, dt, n = np.random.default_rng(0), 1 / 500, 15_000
    h, s, total, kept = np.full(n, 0.3), np.zeros(n), np.zeros(n), np.ones(n, bool)
    for _ in range(500):  # the flow without noise is solved exactly, up to its escape
        D = 1 + h * dt if kind == "saddle_node" else 1 - 2 * h * h * dt
        kept &= D > 0
        D = np.where(kept, D, 1.0)
        if kind == "saddle_node":
            h, s = h / D, (s + dt + h * dt**2 + h * h * dt**3 / 3) / D**2
        else:
            h, s = h / np.sqrt(D), (s + h * dt - h**3 * dt**2) / D**1.5
        h, s = np.where(kept, h + 2 * np.sqrt(dt) * rng.standard_normal(n), 0.0), np.where(kept, s, 0.0)
        total += s * s * dt
    for values, expected in ((np.abs(s[kept]), alpha), (total[kept], summed)):
        top = np.sort(values)[-200:]
        assert 1 / np.mean(np.log(top / top[0])) == pytest.approx(float(expected), rel=0.25)


@pytest.mark.parametrize("law", ["normal", "binary", "uniform"])
def test_overshoot_is_that_of_a_walk(law):
    """The first ladder heights of a random walk, by draws."""
    rng = np.random.default_rng(0)
    heights = []
    walk, live = np.zeros(40_000), np.ones(40_000, bool)
    for _ in range(3000):
        size = int(live.sum())
        step = nf.White(1, law=law).sample(rng, 1, size)[0]
        walk[live] += step
        up = live & (walk > 0)
        heights.append(walk[up])
        live &= ~up
    S = np.concatenate(heights)
    assert np.mean(S**2) / (2 * np.mean(S)) == pytest.approx(overshoot(law), rel=0.02)
    if law == "normal":
        assert overshoot(law) == pytest.approx(float(-mp.zeta(0.5) / mp.sqrt(2 * mp.pi)), rel=1e-14)


@pytest.mark.parametrize(("name", "m"), [("saddle_node", 0.0), ("transcritical", 1.0), ("subcritical", 0.0)])
def test_rates_over_long_times_are_those_of_the_map(name, m):
    """Loss and growth of ``E(A_T; stay)`` between two horizons of the map's own recursion, extrapolated in the unit."""
    law, c, _ = CASES[name]
    rates = []
    for unit in (0.05, 0.025):
        sigma = unit / np.sqrt(2) if name == "subcritical" else unit**1.5 / abs(c)
        driven = law.driven(nf.White(sigma), radius=(0.6 if name == "subcritical" else 0.35) / abs(c) ** 0.9)
        assert float(driven.strength) == pytest.approx(unit, rel=1e-9)
        g, T = 1 + m * unit * (unit / c if name == "saddle_node" else 1), int(5 / unit)
        one, two = driven(g, 0.0, T), driven(g, 0.0, 2 * T)
        loss = np.log((1 - two.escaped) / (1 - one.escaped)) / T / unit
        gain = np.log(two * (1 - two.escaped) / one / (1 - one.escaped)) / T / unit
        rates.append(np.array([loss, gain]))
    loss, gain = 2 * rates[1] - rates[0]
    assert loss == pytest.approx(driven.moment_exponent(m, 0), rel=0.02)
    assert gain == pytest.approx(driven.moment_exponent(m, 2), rel=0.03)


def test_orbits_that_stay_have_their_own_exponent():
    """Draws of the map: the mean of ``ln|f_h|`` over the middle of the orbits that last; and the slope of L at 0."""
    unit, m, n = 0.04, 1.0, 20_000
    law = FOLD.driven(nf.White(unit**1.5))
    rng, h, total, kept = np.random.default_rng(0), np.full(n, unit), np.zeros(n), np.ones(n, bool)
    steps = int(24 / unit)
    for t in range(steps):
        if steps // 4 <= t < 3 * steps // 4:
            total += np.log(np.abs(1 - 2 * h))
        h = np.where(kept, h + m * unit**2 - h * h + unit**1.5 * rng.standard_normal(n), 0.0)
        kept &= h > -0.4
    seen = np.mean(total[kept]) / (steps // 2) / unit
    assert 0.5 < kept.mean() < 0.7
    assert seen == pytest.approx(law.exponent(m), rel=0.06)  # corrections of order of the unit
    for found, growth in ((fold_exponent, fold_growth), (subcritical_exponent, subcritical_growth)):
        for m in (-1.0, 0.0, 1.5):
            slope = (growth(m, 1e-4) - growth(m, -1e-4)) / 2e-4
            assert found(m) == pytest.approx(slope, rel=1e-6)


@pytest.mark.parametrize("n", [-5.0, -1.0, 0.0, 0.7, 2.0])
def test_passage_time_is_its_integral(n):
    with mp.workdps(25):
        parts = [0, 1, 4, 10, 40]
        direct = mp.sqrt(2 * mp.pi) * mp.quad(lambda s: mp.exp(2 * n * s - s**3 / 6) / mp.sqrt(s), parts)
    assert passage_time(n) == pytest.approx(float(direct), rel=1e-11)


@pytest.mark.parametrize(("law", "m"), [(FOLD, 0.0), (FOLD, 0.5), (CROSSING, 0.0), (CROSSING, 1.0)])
def test_passage_time_is_that_of_the_map(law, m):
    unit = 0.02
    driven = law.driven(nf.White(unit**1.5))
    crossing = law is CROSSING
    rng, h, time, live = np.random.default_rng(1), np.full(2000, 0.4), np.zeros(2000), np.ones(2000, bool)
    for _ in range(int(160 / unit)):
        push = (1 + m * unit) * h - h * h if crossing else h + m * unit**2 - h * h
        h = push + unit**1.5 * rng.standard_normal(h.size)
        live &= h > -0.4
        h = np.where(live, h, 0.0)
        time += live
        if not live.any():
            break
    outside = 2 / 0.4  # from infinity to the start, and from the end to infinity
    assert not live.any()
    spread = time.std() / np.sqrt(time.size)
    assert abs(time.mean() + outside - driven.passage(m) / float(driven.strength)) < 4 * spread + 3


@pytest.mark.parametrize("kind", ["transcritical", "saddle_node", "pitchfork"])
def test_series_in_the_strength_is_that_of_orbits_that_stay(kind):
    """What four terms leave is the fifth, up to a sixth that is as large a part again."""
    sign, y = -1 if kind == "pitchfork" else 1, 0.02
    series, longer = critical_series(4, kind, sign), critical_series(5, kind, sign)
    rest = removed_mean(kind, 0.0, y, 0.0, 1.5) - float(series.expr.subs(series.symbols[0], y))
    assert rest == pytest.approx(float((longer.expr - series.expr).subs(series.symbols[0], y)), rel=0.25)
    noisy = {"transcritical": CROSSING, "saddle_node": FOLD, "pitchfork": CASES["subcritical"][0]}[kind]
    assert noisy.driven(nf.White(0.01), radius=0.1).scaling().series(4).expr == series.expr


def test_first_coefficients_by_isserlis_theorem():
    """``H = √y B − y ∫B² …`` at x = 0; moments of Brownian motion by pairings."""
    r, s, t = sp.symbols("r s t", positive=True)
    # saddle-node: Z = t − 2√y ∫ s B − 2y ∫ (B Z₁ + s H₂), Z₁ = −2∫ s B, H₂ = −∫ B²
    square = sp.integrate(sp.integrate(4 * r * s * r, (r, 0, s)), (s, 0, t)) * 2
    cross = sp.integrate(sp.integrate(-2 * r * r, (r, 0, s)) + s * sp.integrate(-r, (r, 0, s)), (s, 0, t))
    assert sp.integrate(square + 2 * t * (-2 * cross), (t, 0, 1)) == sp.Rational(17, 60)
    series = critical_series(1, "saddle_node")
    assert series.expr.coeff(series.symbols[0], 1) == sp.Rational(17, 60)
    for kind in ("transcritical", "pitchfork"):
        assert critical_series(1, kind).expr == series.symbols[0] / 12


def test_all_signs_of_a_map_whose_orbits_leave():
    """2¹² inputs: the mean of the orbits that stay, against the call, which draws here."""
    signs = 0.05 * np.array(list(itertools.product((-1.0, 1.0), repeat=12))).T
    h, s, total = (np.full(signs.shape[1], v) for v in (0.02, 0.0, 0.0))
    kept = np.ones(signs.shape[1], bool)
    for x in signs:
        h, s = h + 0.002 - h * h + x, (1 - 2 * h) * s + 1
        kept = kept & (np.abs(h) <= 0.15)
        total = total + s * s
    found = FOLD.driven(nf.White(0.05, law="binary"), radius=0.15)(1.002, 0.02, 12)
    assert abs(found - total[kept].mean()) < 2 * found.error
    assert found.escaped == pytest.approx(np.mean(~kept), abs=0.02)


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (lambda: FOLD.driven(nf.White(0.01)).scaling(), "give a radius"),
        (lambda: FOLD.driven(nf.White(0.01), radius=0.1).scaling().evaluate(0, 1), "is missing"),
        (lambda: nf.amplification(nf.pitchfork()).driven(nf.White(0.01)).scaling().evaluate(0, 1, 0, 2), "no place"),
        (lambda: FOLD.driven(nf.White(0.01)).threshold(), "no threshold"),
        (lambda: FOLD.driven(nf.White(0.01)).stationary(0), "escape"),
        (lambda: CASES["subcritical"][0].driven(nf.White(0.01)).passage(0), "belong to transcritical"),
        (lambda: FOLD.driven(nf.Constant(0.01)).passage(0), "belong to noise"),
        (lambda: FOLD.driven(nf.White(0.01)).passage(100), "beyond"),
        (lambda: nf.amplification(nf.stability_flip()).driven(nf.White(0.01)).exponent(0), "linear map"),
    ],
)
def test_what_has_no_law_says_why(made, words):
    with pytest.raises(ValueError, match=words):
        made()
