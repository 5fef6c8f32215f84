"""Enclosures contain the true value, are narrow, and say so when they cannot be."""

import time
from fractions import Fraction

import mpmath
import numpy as np
import pytest
import sympy as sp
from flint import arb, ctx

import normalforms as nf
from normalforms import (
    Map,
    cusp,
    neimark_sacker,
    parse_map,
    period_doubling,
    pitchfork,
    saddle_node,
    stability_flip,
    transcritical,
)
from normalforms.forms import gram
from normalforms.forms.enclosure.balls import to_ball
from normalforms.forms.enclosure.enclosure import Ball, enclosure, gram_enclosure
from normalforms.law import amplification

FAMILIES = {
    # map, slope in h, slope in g, each by hand: f, f_h, f_g
    "stability_flip": (stability_flip(), lambda h, g: (g * h, g, h)),
    "pitchfork": (pitchfork(), lambda h, g: (g * h - h**3, g - 3 * h**2, h)),
    "transcritical": (transcritical(), lambda h, g: (g * h - h**2, g - 2 * h, h)),
    "saddle_node": (saddle_node(), lambda h, g: (h + g - 1 - h**2, 1 - 2 * h, 1)),
    "period_doubling": (period_doubling(), lambda h, g: (-g * h + h**3, -g + 3 * h**2, -h)),
}


def reference(step, g, h0, horizon, context):
    """A by direct iteration in any arithmetic, from formulas written by hand."""
    g, h, s, total = context.mpf(g), context.mpf(h0), context.mpf(0), context.mpf(0)
    for _ in range(horizon):
        h, slope, direct = step(h, g)
        s = slope * s + direct
        total += s * s
    return total


def sixty_digits():
    context = mpmath.MPContext()
    context.dps = 260  # 60 digits are right after the error growth of 300 expanding steps
    return context


def draw(rng, name):
    if name == "saddle_node":
        return 1 + rng.uniform(0, 0.3), rng.uniform(-0.02, 0.5)
    h0 = rng.uniform(0, 0.5) if name == "transcritical" else rng.uniform(-0.5, 0.5)
    spread = 10.0 ** rng.uniform(-12, -0.35)
    return 1 + rng.choice([-1, 1]) * spread, h0


def containment(cases, seed):
    rng, context = np.random.default_rng(seed), sixty_digits()
    names = list(FAMILIES)
    finite = 0
    for i in range(cases):
        name = names[i % len(names)]
        m, step = FAMILIES[name]
        g, h0 = draw(rng, name)
        horizon = int(min(300, 10 ** rng.uniform(0, 2.5)))
        ball = enclosure(m, float(g), float(h0), horizon)
        if ball.escape is not None:
            assert name == "saddle_node"
            assert h0 < 0
            continue
        truth = reference(step, float(g), float(h0), horizon, context)
        assert ball.contains(mpmath.mp.make_mpf(truth._mpf_)), (name, g, h0, horizon)
        assert ball.relative_radius <= 1e-15, (name, g, h0, horizon)
        finite += 1
    assert finite > 0.95 * cases


def test_contains_the_sixty_digit_value_in_500_random_cases():
    containment(500, seed=1)


@pytest.mark.slow
def test_contains_the_sixty_digit_value_in_10000_random_cases():
    containment(10_000, seed=2)


@pytest.mark.parametrize("horizon", [1, 300, 1000])
@pytest.mark.parametrize("g", ["0.9", "1", "1.3", "1.5"])
def test_relative_radius_at_points(g, horizon):
    assert enclosure(pitchfork(), g, "0.05", horizon).relative_radius <= 1e-15


def test_precision_is_digits():
    wide, narrow = (enclosure(pitchfork(), "1.2", "0.1", 40, precision=d) for d in (5, 120))
    assert narrow.relative_radius <= 1e-120
    assert 1e-20 < wide.relative_radius <= 1e-5
    assert wide.contains(narrow)
    assert not narrow.contains(wide)


def test_exact_polynomial_value():
    # h = g h at g = 2, h0 = 1, T = 3: 1 + 16 + 144
    ball = enclosure(stability_flip(), 2, 1, 3)
    assert ball.contains(161)
    assert ball.rad == 0
    zero = enclosure(pitchfork(), 1.1, 0, 50)
    assert (zero.mid, zero.rad, zero.relative_radius) == (0, 0, 0.0)


def test_float_means_the_double_and_text_means_the_decimal():
    by_float, by_text = (enclosure(stability_flip(), v, 1, 40, precision=40) for v in (0.1, "0.1"))
    assert not by_float.contains(by_text.mid)
    same = [enclosure(stability_flip(), v, 1, 40, precision=40) for v in (Fraction(1, 10), sp.Rational(1, 10))]
    assert all(ball == by_text for ball in same)
    exact = Fraction(*(0.1).as_integer_ratio())
    assert enclosure(stability_flip(), exact, 1, 40, precision=40) == by_float
    assert enclosure(stability_flip(), np.float64(0.1), 1, 40, precision=40) == by_float
    assert enclosure(stability_flip(), mpmath.mpf(0.1), 1, 40, precision=40) == by_float


def test_irrational_numbers_and_coefficients():
    x, g = sp.symbols("x g")
    m = Map(g * sp.tanh(sp.sqrt(2) * x) / sp.sqrt(2) + sp.cos(sp.pi / 7) * x**2 / 10, x, g)
    ball = enclosure(m, sp.sqrt(2) / 2 + sp.Rational(1, 2), "1/7", 25)
    context = mpmath.MPContext()
    context.dps = 60
    root = context.sqrt(2)

    def step(h, g):
        c = context.cos(context.pi / 7) / 10
        return (
            g * context.tanh(root * h) / root + c * h**2,
            g / context.cosh(root * h) ** 2 + 2 * c * h,
            context.tanh(root * h) / root,
        )

    truth = reference(step, root / 2 + context.mpf(1) / 2, context.mpf(1) / 7, 25, context)
    assert ball.contains(mpmath.mp.make_mpf(truth._mpf_))
    assert ball.relative_radius < 1e-15


@pytest.mark.parametrize(
    "step", ["r*x*exp(-x)", "r*sin(x)", "r*x/(1+x^2)", "r*x/(1+x^2)^(1/2)", "r*atan(x)+x^2/9", "r*log(1+x)"]
)
def test_functions_against_the_float_reference(step):
    m = parse_map(step, state="x", parameter="r")
    for r in (0.9, 1.2):
        assert float(enclosure(m, r, 0.3, 60)) == pytest.approx(amplification(m)(r, 0.3, 60), rel=1e-11)


def test_chaotic_orbit_gets_its_digits():
    m = parse_map("r*x*(1-x)", state="x", parameter="r")
    ball = enclosure(m, "3.9", "0.1", 1000)
    assert ball.relative_radius <= 1e-15
    assert ball.contains(enclosure(m, "3.9", "0.1", 1000, precision=60))
    assert ball.mid > mpmath.mpf(10) ** 400


def corners_inside(m, g, h0, horizon, ball, seed=0, cases=40):
    rng = np.random.default_rng(seed)
    points = [(a, b) for a in g for b in h0]
    points += [(rng.uniform(*g), rng.uniform(*h0)) for _ in range(cases)]
    values = [enclosure(m, float(a), float(b), horizon) for a, b in points]
    assert all(ball.contains(v) for v in values)
    return float(max(v.mid for v in values) - min(v.mid for v in values)) / 2


@pytest.mark.parametrize("name", list(FAMILIES))
@pytest.mark.parametrize("width", [1e-9, 1e-4, 1e-2])
@pytest.mark.parametrize("horizon", [30, 200])
def test_intervals_contain_their_points_and_are_tight(name, width, horizon):
    m, g, h0 = FAMILIES[name][0], (1.04, 1.04 + width), (0.1, 0.1 + width)
    ball = enclosure(m, g, h0, horizon)
    half = corners_inside(m, g, h0, horizon, ball)
    if name == "stability_flip" and width == 1e-2 and horizon == 200:
        assert float(ball.rad) <= 2 * half
    else:
        assert float(ball.rad) <= 1.05 * half


@pytest.mark.parametrize("g", [(0.9, 0.90001), (0.99999, 1.00001), (1.2, 1.20001)])
def test_intervals_do_not_blow_up_in_a_thousand_steps(g):
    ball = enclosure(pitchfork(), g, "0.1", 1000)
    half = corners_inside(pitchfork(), g, (0.1, 0.1), 1000, ball, cases=5)
    assert float(ball.rad) <= 1.1 * half


def test_wide_intervals_are_subdivided_and_still_contain():
    ball = enclosure(pitchfork(), (0.9, 1.1), (0.05, 0.1), 30)
    corners_inside(pitchfork(), (0.9, 1.1), (0.05, 0.1), 30, ball, cases=150)
    assert ball.lower > -1e-4
    assert float(ball.rad) < 80


def test_interval_spellings_agree():
    pair = enclosure(pitchfork(), ("1.05", "1.06"), 0.1, 50)
    with ctx.workprec(300):
        flint = arb("1.055", "0.005")
    assert enclosure(pitchfork(), flint, 0.1, 50).contains(float(pair))
    ball = Ball(mpmath.mpf("1.055"), mpmath.mpf("0.005"))
    assert float(enclosure(pitchfork(), ball, 0.1, 50).rad) == pytest.approx(float(pair.rad), rel=1e-6)
    assert enclosure(pitchfork(), (1.05, 1.05), 0.1, 50) == enclosure(pitchfork(), 1.05, 0.1, 50)


def planar(z, omega, d, g, horizon):
    """A of the Neimark–Sacker map in complex numbers."""
    z, s, total = mpmath.mpc(z), mpmath.mpc(0), mpmath.mpf(0)
    turn = mpmath.expj(omega)
    for _ in range(horizon):
        r, dr = abs(z) ** 2, 2 * (mpmath.conj(z) * s).real
        z, s = turn * z * (g + d * r), turn * (s * (g + d * r) + z * (1 + d * dr))
        total += abs(s) ** 2
    return total


def test_planar_map():
    d = sp.Rational(-1, 2) + 3 * sp.I / 10
    m = neimark_sacker(sp.Rational(4, 5), d)
    ball = enclosure(m, "1.1", ("0.1", "0.05"), 200, precision=25)
    with mpmath.workdps(100):
        truth = planar(mpmath.mpc("0.1", "0.05"), mpmath.mpf("0.8"), mpmath.mpc("-0.5", "0.3"), mpmath.mpf("1.1"), 200)
    assert ball.contains(truth)
    assert ball.relative_radius < 1e-25


@pytest.mark.parametrize("horizon", [30, 300])
def test_planar_intervals_do_not_widen_by_the_rotation(horizon):
    m = neimark_sacker(1, -1 + sp.I / 2)
    ball = enclosure(m, (1.1, 1.1001), (0.1, 0), horizon)
    ends = [enclosure(m, g, (0.1, 0), horizon) for g in (1.1, 1.10003, 1.1001)]
    assert all(ball.contains(end) for end in ends)
    assert float(ball.rad) <= 1.1 * float(abs(ends[2].mid - ends[0].mid)) / 2


def test_two_parameters():
    m = cusp()
    entries = gram_enclosure(m, ("0.01", "1.05"), "0.1", 60)
    direct = gram(m, (0.01, 1.05), 0.1, 60)
    for i in range(2):
        for j in range(2):
            assert float(entries[i][j]) == pytest.approx(direct[i, j], rel=1e-11)
    top = enclosure(m, ("0.01", "1.05"), "0.1", 60)
    assert float(top) == pytest.approx(float(np.linalg.eigvalsh(direct)[-1]), rel=1e-12)
    box = enclosure(m, (("0.01", "0.0101"), ("1.05", "1.0501")), "0.1", 60)
    assert box.contains(top)
    assert box.relative_radius < 0.05


@pytest.mark.parametrize(
    ("m", "g", "h0"), [(saddle_node(), 0.9, 0.1), (pitchfork(), 1.1, 3.0), (saddle_node(), (0.9, 0.91), 0.1)]
)
def test_escape_is_an_unbounded_ball_that_names_the_step(m, g, h0):
    ball = enclosure(m, g, h0, 200)
    assert mpmath.isinf(ball.rad)
    at = g[0] if isinstance(g, tuple) else g
    assert abs(ball.escape - int(amplification(m).escape(at, h0, 200))) <= (1 if isinstance(g, tuple) else 0)
    assert "left at step" in str(ball)
    assert ball.contains(1e300)


def test_interval_that_cannot_be_bounded_is_unbounded():
    ball = enclosure(parse_map("r*x/(x+1)", state="x", parameter="r"), 1.1, (-2, 1), 10)
    assert mpmath.isinf(ball.rad)
    assert ball.escape is None
    assert str(ball) == "[unbounded]"


def test_stretch_and_gain():
    plain = enclosure(pitchfork(), "1.1", "0.2", 30)
    scaled = enclosure(pitchfork(), "1.1", "0.1", 30, stretch=2, gain=sp.Rational(1, 4))
    assert float(scaled) == pytest.approx(float(plain) / 4, rel=1e-15)


def test_ball_arithmetic_of_the_result():
    third = Ball(mpmath.mpf(1) / 3, mpmath.mpf(2) ** -50)
    assert third.contains("1/3")
    assert third.contains(Fraction(1, 3))
    assert third.contains(sp.Rational(1, 3))
    assert not third.contains(0.3334)
    assert third.lower < mpmath.mpf(1) / 3 < third.upper
    with ctx.workprec(400):
        fine = to_ball(arb(1) / 3)
    assert fine.upper - fine.lower < mpmath.mpf(10) ** -118
    assert fine.contains("1/3")
    assert str(Ball(mpmath.mpf(5), mpmath.mpf(0))) == "5.0 ± 0.0"
    with pytest.raises(ValueError, match="not rational"):
        third.contains(sp.sqrt(2))


def test_precision_in_force_is_left_alone():
    before = ctx.prec, mpmath.mp.prec
    enclosure(pitchfork(), (1.1, 1.2), 0.1, 20)
    enclosure(pitchfork(), 1.1, 0.1, 20)
    assert (ctx.prec, mpmath.mp.prec) == before


@pytest.mark.parametrize(
    ("g", "h0", "horizon", "options", "match"),
    [
        (float("nan"), 0.1, 10, {}, "g = nan is not finite"),
        (1.0, float("inf"), 10, {}, "h0 = inf is not finite"),
        (1j, 0.1, 10, {}, "not a real number"),
        (True, 0.1, 10, {}, "truth value"),
        ("__import__('os')", 0.1, 10, {}, "not allowed"),
        ((1.2, 1.1), 0.1, 10, {}, "wrong order"),
        ((1.0, 1.1, 1.2), 0.1, 10, {}, "no interval"),
        (np.array([1.0, 1.1, 1.2]), 0.1, 10, {}, "not a real number"),
        (sp.Symbol("q"), 0.1, 10, {}, "not a real number"),
        (1.0, 0.1, 0, {}, "horizon"),
        (1.0, 0.1, 2.5, {}, "horizon"),
        (1.0, 0.1, 10, {"precision": 0}, "precision"),
        (1.0, 0.1, 10, {"precision": True}, "precision"),
    ],
)
def test_bad_input(g, h0, horizon, options, match):
    with pytest.raises(ValueError, match=match):
        enclosure(pitchfork(), g, h0, horizon, **options)


def test_bad_maps():
    x, y, g, k, b = sp.symbols("x y g k b")
    with pytest.raises(ValueError, match="no ball arithmetic"):
        enclosure(Map(g * sp.gamma(x), x, g), 1, 1, 5)
    with pytest.raises(ValueError, match="exponents"):
        enclosure(Map(g * x ** sp.Rational(1, 3), x, g), 1, 1, 5)
    with pytest.raises(ValueError, match="one or two"):
        enclosure(Map(g * x + k + b, x, (g, k, b)), (1, 0, 0), 1, 5)
    with pytest.raises(ValueError, match="must have 2 entries"):
        enclosure(Map((g * x, y), (x, y), g), 1, 0.1, 5)


def cusp_by_hand(beta, g, h, horizon):
    """Top eigenvalue of Σ sᵀs over (β, g), in mpmath numbers."""
    s, r, a, b, d = (mpmath.mpf(0) for _ in range(5))
    for _ in range(horizon):
        slope = g - 3 * h * h
        s, r, h = slope * s + 1, slope * r + h, beta + g * h - h**3
        a, b, d = a + s * s, b + s * r, d + r * r
    return (a + d + mpmath.sqrt((a - d) ** 2 + 4 * b * b)) / 2


def test_random_cases_of_the_cusp_and_of_the_planar_map():
    rng = np.random.default_rng(7)
    omega, d = sp.Rational(4, 5), sp.Rational(-1, 2) + 3 * sp.I / 10
    planar_map = neimark_sacker(omega, d)
    for _ in range(80):
        g, horizon = float(1 + rng.choice([-1, 1]) * 10 ** rng.uniform(-12, -0.4)), int(10 ** rng.uniform(0, 2.4))
        start, beta = rng.uniform(-0.5, 0.5, 2), float(rng.choice([-1, 1]) * 10 ** rng.uniform(-8, -1.3))
        with mpmath.workdps(200):
            turn = mpmath.mpf(4) / 5, mpmath.mpc(-0.5, mpmath.mpf(3) / 10)
            truths = (
                cusp_by_hand(mpmath.mpf(beta), mpmath.mpf(g), mpmath.mpf(float(start[0])), horizon),
                planar(mpmath.mpc(*map(float, start)), *turn, mpmath.mpf(g), horizon),
            )
        balls = (
            enclosure(cusp(), (beta, g), float(start[0]), horizon),
            enclosure(planar_map, g, tuple(map(float, start)), horizon),
        )
        for ball, truth in zip(balls, truths, strict=True):
            assert ball.contains(truth), (g, start, beta, horizon)
            assert ball.relative_radius <= 1e-15


def test_balls_around_zero_have_powers():
    """0.6·4 − 0.8·3 is zero only to rounding, as is h − 0.6 at h = 0.6: squares of such balls are numbers."""
    turn = nf.parse_map(("r*(0.6*x - 0.8*y)", "r*(0.8*x + 0.6*y)"), state=("x", "y"), parameter="r")
    ball = nf.amplification(turn).enclosure(1, (4, 3), 20)
    assert ball.contains(25 * sum(t * t for t in range(1, 21)))
    assert ball.relative_radius < 1e-15
    still = nf.parse_map("r*(x - 0.6) + (x - 0.6)^3 + 0.6", state="x", parameter="r")
    assert nf.amplification(still).enclosure(1, "0.6", 20).rad < 1e-300


def test_a_long_orbit_that_contracts_is_certified_at_once():
    """``x − c x sin x`` as balls grows by ``1 + c |sin x|`` a step, though the map shrinks there: 10⁴ bits in 9,000."""
    m = nf.parse_map("x - 2.537*(r - 1) - 0.92747*x*sin(x) + 0.24774*x*sin(r - 1)", state="x", parameter="r")
    start = time.process_time()
    found = nf.amplification(m).enclosure(1.4927625, -3e-7, 8000)
    assert time.process_time() - start < 3
    assert 0 < float(found.rad) < 1e-12 * float(found.mid)
    with mpmath.workdps(40):
        f, slope, force = (
            sp.lambdify([*m.states, *m.parameters], e, "mpmath")
            for e in (m.steps[0], m.steps[0].diff(m.states[0]), m.steps[0].diff(m.parameters[0]))
        )
        g, h, s, total = map(mpmath.mpf, (1.4927625, -3e-7, 0, 0))
        for _ in range(8000):
            h, s = f(h, g), slope(h, g) * s + force(h, g)
            total += s**2
        assert abs(total - found.mid) <= found.rad + 1e-25 * total
