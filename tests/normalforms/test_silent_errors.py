"""No form returns a wrong number without a word: random points in and out of every domain against 60 digits."""

from __future__ import annotations

import warnings

import mpmath as mp
import numpy as np
import pytest
import sympy as sp

import normalforms as nf
from normalforms.families import family

POINTS = 60
STEPS = {  # h', ∂h'/∂h, ∂h'/∂g
    "stability_flip": lambda h, g: (g * h, g, h),
    "pitchfork": lambda h, g: (g * h - h**3, g - 3 * h * h, h),
    "transcritical": lambda h, g: (g * h - h * h, g - 2 * h, h),
    "saddle_node": lambda h, g: (h + g - 1 - h * h, 1 - 2 * h, mp.mpf(1)),
    "period_doubling": lambda h, g: (-g * h + h**3, -g + 3 * h * h, -h),
}


def precise(name, g, h0, horizon):
    """``A_T`` by 60-digit iteration; infinite where the orbit has left."""
    with mp.workdps(60):
        g, h, s, total = mp.mpf(g), mp.mpf(h0), mp.mpf(0), mp.mpf(0)
        for _ in range(horizon):
            if name != "stability_flip" and abs(h) > 10:
                return mp.inf
            following, slope, drive = STEPS[name](h, g)
            s, h = slope * s + drive, following
            total += s * s
        return total


def points(rng):
    """Parameters at, next to and away from 1; initial states of any size and sign; horizons from 1 to 300."""
    for _ in range(POINTS):
        near, fold = rng.choice([-1, 1]) * 10 ** rng.uniform(-13, -3), rng.uniform(-0.02, 0.06)
        offset = (0.0, near, rng.uniform(-0.3, 0.5), fold)[rng.integers(4)]
        h0 = rng.choice([-1, 1]) * 10 ** rng.uniform(-8, -0.3) * (rng.random() > 0.05)
        yield float(1 + offset), float(h0), int(rng.choice([1, 2, 3, 5, 10, 30, 100, 300]))


def forms(name):
    """Every form of a family and the relative error that it states; twice that of an estimate."""
    law = nf.amplification(getattr(nf, name)())
    for order in (2, 8):
        yield f"series({order})", law.series(order), 0.02
    yield "series(8, pade)", law.series(8, pade=True), 0.02
    measured = family(name).measured
    stated = (1e-11,) * 4 if measured is None else measured.errors
    for order in range(4):
        yield f"uniform({order})", law.uniform(order), stated[order]
    yield "scaling", law.scaling(), 1.0
    for regime, formula in law.regimes().items():
        yield regime, formula, 1.0


def wrong(form, stated, point, true):
    """Whether a form is off by more than it states, and says nothing."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        value = float(form(*point))
    if said or np.isnan(value):
        return False
    if mp.isinf(true):
        return not np.isinf(value)
    return abs(value - true) > stated * abs(true)


@pytest.mark.parametrize("name", STEPS)
def test_a_value_is_right_or_something_is_said(name):
    rng = np.random.default_rng(len(name))
    tried = [(point, precise(name, *point)) for point in points(rng)]
    for label, form, stated in forms(name):
        bad = [(point, true) for point, true in tried if wrong(form, stated, point, true)]
        assert not bad, (label, bad[:3])


def test_a_form_that_is_wrong_is_seen():
    law = nf.amplification(nf.pitchfork())
    assert wrong(lambda *point: 1.02 * law(*point), 0.01, (1.01, 0.1, 30), precise("pitchfork", 1.01, 0.1, 30))


def direct(text, r, h0, horizon):
    """``A_T`` of a scalar map by 60-digit iteration of its formula and of its two derivatives."""
    m = nf.parse_map(text, state="x", parameter="r")
    step = sp.lambdify((*m.states, *m.parameters), [m.step, m.step.diff(m.state), m.step.diff(m.parameter)], "mpmath")
    with mp.workdps(60):
        h, s, total = mp.mpf(h0), mp.mpf(0), mp.mpf(0)
        for _ in range(horizon):
            h, slope, drive = step(h, mp.mpf(r))
            s = slope * s + drive
            total += s * s
        return total


GAPS = [  # far powers, tiny coefficients, and what they hide
    ("r*x - x^5", {"x": 0, "r": 1}, (1.0, 0.5, 30)),
    ("r*x - x^11", {"x": 0, "r": 1}, (1.0, 0.8, 30)),
    ("r*x/(1 + x^4)", {"x": 0, "r": 1}, (1.01, 0.5, 30)),
    ("x + r - x^4", {"x": 0, "r": 0}, (0.0, 0.4, 30)),
    ("r*x - x^3/10^6 - x^5", {"x": 0, "r": 1}, (1.02, 0.3, 40)),
    ("-r*x + x^7", {"x": 0, "r": 1}, (1.0, 0.7, 40)),
]


@pytest.mark.parametrize(("text", "at", "point"), GAPS)
def test_a_gap_in_the_powers_hides_no_error(text, at, point):
    law, true = nf.amplification(nf.parse_map(text, state="x", parameter="r"), at=at), direct(text, *point)
    for order in (2, 3, 6):
        for form in (law.series(order), law.series(order, pade=True)):
            assert not wrong(form, 0.02, point, true), (order, form(*point), true)
        exact = law.exact(point[-1], order)
        assert not wrong(lambda g, h0, T, exact=exact: exact(g, h0), 0.02, point, true), order


def test_a_truncated_law_still_answers_where_it_is_right():
    law = nf.amplification(nf.parse_map("r*x - x^5", state="x", parameter="r"), at={"x": 0, "r": 1})
    for point in ((1.0, 0.02, 30), (1.01, 0.03, 100)):
        assert law.series(2)(*point) == pytest.approx(float(direct("r*x - x^5", *point)), rel=1e-2)


def test_an_average_hides_no_error():
    law = nf.amplification(nf.parse_map("r*x - x^5", state="x", parameter="r"), at={"x": 0, "r": 1})
    mean = law.averaged(nf.Uniform(-0.5, 0.5))
    for form in (mean.series(2), mean.series(6), mean.series(6, pade=True)):
        assert not wrong(form, 0.02, (1.0, 30), 276.0299939)
    assert not wrong(lambda g, T: mean.exact(30, 2)(g), 0.02, (1.0, 30), 276.0299939)
    small = law.averaged(nf.Uniform(-0.05, 0.05))
    assert small.series(2)(1.0, 30) == pytest.approx(small(1.0, 30), rel=1e-3)


def test_a_derivative_is_judged_as_its_law_is():
    law = nf.amplification(nf.parse_map("r*x - x^5", state="x", parameter="r"), at={"x": 0, "r": 1})
    slope = law.series(2).diff("r")
    with pytest.warns(nf.DomainWarning):
        slope(1.0, 0.5, 30)
    true = (direct("r*x - x^5", 1.0 + 1e-6, 0.02, 30) - direct("r*x - x^5", 1.0 - 1e-6, 0.02, 30)) / 2e-6
    assert slope(1.0, 0.02, 30) == pytest.approx(float(true), rel=1e-2)


def test_a_coefficient_that_cancels_in_the_parameter_is_seen():
    """``x_t = c ν (1 − rᵗ) ≈ −c ν² t``, ν = r − 1, from x = 0; float64 has four digits of ``c r − c`` at this ν."""
    m = nf.parse_map("0.84516*(r - 1) + r*(x - 0.84516*(r - 1))", state="x", parameter="r")
    law, r = nf.amplification(m, at={"x": 0, "r": 1}), 1.000000000001461
    leading = sum((2 * 0.84516 * (r - 1) * t) ** 2 for t in range(1, 21))
    assert law(r, 0.0, 20) == pytest.approx(leading, rel=1e-9, abs=0)
    assert law(r, 0.0, 20) == pytest.approx(float(law.enclosure(r, 0.0, 20)), rel=1e-12, abs=0)
    with pytest.warns(nf.DomainWarning):
        law.reference(r, 0.0, 20)


def test_whole_polynomials_do_not_cancel_in_silence():
    """Terms up to order 54: with two parameters the map's iteration evaluates them, a mean is compared with it."""
    cusp, pitchfork = nf.amplification(nf.cusp()), nf.amplification(nf.pitchfork())
    assert cusp.exact(3)((0.3, 1.2), 1.4) == pytest.approx(cusp((0.3, 1.2), 1.4, 3), rel=1e-12)
    mean = pitchfork.averaged(nf.Uniform(-1.5, 1.5))
    assert mean.exact(2)(2.2) == pytest.approx(mean(2.2, 2), rel=1e-9)
    with pytest.warns(nf.DomainWarning, match="cancel"):
        mean.exact(3)(2.2)


def test_the_regimes_of_a_flip_allow_for_its_quadratic_term():
    """The limit has no quadratic term; below the flip of the logistic map at h0 = .2 it is worth a factor of three."""
    form = nf.reduce(nf.zoo.logistic())
    law, regime = nf.amplification(form), nf.amplification(form).regimes()["subcritical"]
    assert regime(0.8, 0.01, 30) == pytest.approx(law(0.8, 0.01, 30), rel=0.05)
    with pytest.warns(nf.DomainWarning):
        assert np.isnan(regime(0.8, 0.2, 30))
