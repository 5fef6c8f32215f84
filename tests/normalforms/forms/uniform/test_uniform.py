"""Uniform laws against direct iteration, Abel's equation, 50-digit evaluation and compiled code."""

import itertools
import shutil
import subprocess

import mpmath as mp
import numpy as np
import pytest
import sympy as sp

import normalforms as nf
from normalforms.families import families, recognise
from normalforms.forms.uniform.domain import DEEPEST
from normalforms.forms.uniform.fold import FOLD_NODES
from normalforms.forms.uniform.general import MEASURED as GENERAL
from normalforms.forms.uniform.matching import NODES, bernoulli_coefficients, fold_coefficients
from normalforms.formulas.formula import DomainWarning

MEASURED = {name: record.measured for name, record in families().items()}

X, W = np.polynomial.legendre.leggauss(60)
Q = sp.Rational
SCALAR = {"pitchfork": 4, "period_doubling": 4, "transcritical": 3, "saddle_node": 4}
ORDERS = [(name, p) for name, top in SCALAR.items() for p in range(top + 1)]


def law_of(name):
    return nf.amplification(getattr(nf, name)())


def batch_error(name, order, r, g, horizon=30, low=-1):
    """Worst relative error over ``g`` of the mean of A over ``U[low r, r]``, orbits that leave left out."""
    law = law_of(name)
    h0 = r * (X * (1 - low) + 1 + low) / 2 + 0 * g[:, None]
    stay = np.ones_like(h0, dtype=bool)
    if name == "transcritical":
        stay = h0 > np.minimum(0, g[:, None] - 1)
    h0 = np.where(stay, h0, 0.0)
    true = np.asarray(law(g[:, None], h0, horizon)) @ W
    return np.max(np.abs(np.asarray(law.uniform(order)(g[:, None], h0, horizon)) @ W / true - 1))


@pytest.mark.parametrize("name", ["pitchfork", "period_doubling"])
@pytest.mark.parametrize(
    ("order", "small", "large", "highest"),
    [
        (0, 0.10, 0.10, 1.45),
        (1, 3e-3, 8e-3, 1.45),
        (2, 6e-4, 2e-3, 1.45),
        (3, 1e-4, 3e-4, 1.3),
        (3, 1e-3, 6e-4, 1.45),
        (4, 5e-5, 8e-5, 1.3),
    ],
)
def test_pitchfork_batch_means(name, order, small, large, highest):
    g = np.linspace(0.7, highest, 31)
    assert max(batch_error(name, order, r, g) for r in (0.05, 0.1)) < small
    assert batch_error(name, order, 0.3, g) < large


@pytest.mark.parametrize(("order", "worst"), [(1, 4e-3), (2, 5e-4), (3, 5e-4)])
@pytest.mark.parametrize("low", [-1, 0])
def test_transcritical_batch_means(order, worst, low):
    g = np.linspace(0.7, 1.45, 31)
    worst *= 5 if low == 0 and order != 2 else 1  # without orbits that grow, little is amplified below g = 1
    assert max(batch_error("transcritical", order, r, g, low=low) for r in (0.05, 0.1)) < worst


def until_left(law, g, h0, horizon, edge):
    """A by iteration while the orbit is above ``edge``, and the mask of those steps."""
    found = law.orbit(g, h0, horizon)
    stay = np.cumprod(found.h >= edge, axis=0).astype(bool)
    return np.sum(np.where(stay, found.s, 0) ** 2, axis=0), stay


@pytest.mark.parametrize(("order", "worst"), [(1, 2e-2), (2, 3e-3), (3, 5e-4), (4, 1e-4)])
@pytest.mark.parametrize("nu", [-0.01, -0.009, -0.003, 0.0, 0.003, 0.01, 0.02, 0.05])
def test_saddle_node_until_the_orbit_leaves(order, worst, nu):
    law, h0 = law_of("saddle_node"), np.linspace(-0.1, 0.1, 41)
    true, stay = until_left(law, 1 + nu, h0, 30, -0.1)
    slope = law.uniform(order).orbit.diff("g")
    total = np.zeros_like(h0)
    for t in range(1, 31):
        here = stay[t - 1]
        total[here] += slope(1 + nu, h0[here], t) ** 2
    moved = true > 0
    assert np.max(np.abs(total[moved] / true[moved] - 1)) < worst


@pytest.mark.parametrize("d", [sp.Integer(-1), -1 + sp.I / 2, -2 + 3 * sp.I, 1 - sp.I])
@pytest.mark.parametrize(("order", "worst"), [(0, 0.15), (1, 2e-2), (2, 4e-3), (3, 1e-3)])
def test_neimark_sacker(d, order, worst):
    law = nf.amplification(nf.neimark_sacker(1, d))
    g = np.array([0.8, 0.9, 0.97, 1.0, 1.03])[:, None]
    h0 = np.stack([np.array([0.01, 0.04, 0.07]), np.array([0.02, 0.02, -0.02])], axis=-1)
    horizon = 30 if sp.re(d) < 0 else 12
    uniform = law.uniform(order)
    assert np.max(np.abs(uniform(g, h0[:, 0], h0[:, 1], horizon) / law(g, h0, horizon) - 1)) < worst
    orbit = law.orbit(1.02, h0, horizon).h[-1]
    assert np.max(np.abs(uniform.orbit(1.02, h0[:, 0], h0[:, 1], horizon) - orbit)) < worst * np.max(np.abs(orbit))


def test_neimark_sacker_phase_keeps_its_rate_on_the_branch():
    law, h0 = nf.amplification(nf.neimark_sacker(2, -1 + sp.I)), np.array([0.05, 0.0])
    errors = [abs(law.uniform(1)(1.05, *h0, T) / law(1.05, h0, T) - 1) for T in (100, 1000)]
    assert law.uniform(3).orbit(1.02, *h0, 7) == pytest.approx(law.orbit(1.02, h0, 7).h[-1], rel=1e-4)
    assert errors[1] < errors[0] < 5e-3


@pytest.mark.parametrize(("name", "order"), ORDERS)
def test_error_falls_with_the_horizon_at_fixed_scaled_variables(name, order):
    law = law_of(name)
    uniform, errors = law.uniform(order), []
    for horizon in (60, 120):
        if name == "saddle_node":
            g, h0 = 1 + 2 / horizon**2, 0.7 / horizon
        elif name == "transcritical":
            g, h0 = 1 + 1.5 / horizon, 0.7 / horizon
        else:
            g, h0 = 1 + 1.5 / horizon, np.sqrt(0.7 / horizon)
        errors.append(abs(uniform(g, h0, horizon) / law(g, h0, horizon) - 1))
    assert np.log2(errors[0] / errors[1]) == pytest.approx(order + 1, abs=0.35)


@pytest.mark.parametrize("order", range(4))
def test_neimark_sacker_error_falls_with_the_horizon(order):
    law = nf.amplification(nf.neimark_sacker(1, -1 + sp.I / 2))
    uniform, errors = law.uniform(order), []
    for horizon in (60, 120):
        h0 = np.array([0.8, 0.3]) / np.sqrt(horizon)
        g = 1 + 1 / horizon
        errors.append(abs(uniform(g, *h0, horizon) / law(g, h0, horizon) - 1))
    assert np.log2(errors[0] / errors[1]) == pytest.approx(order + 1, abs=0.35)


# --- inside the stated domains -----------------------------------------------------------------------------------


def inside(rng, name, order, count):
    if name == "saddle_node":
        reach = float(Q(MEASURED[name].reach[min(order, 1)]))
        low, high = (float(Q(v)) for v in (MEASURED[name].least, MEASURED[name].most))
        return 1 + rng.uniform(low, high, count), rng.uniform(-reach, reach, count)
    found = MEASURED[name]
    low, high, top = (float(Q(v)) for v in (found.least, found.most, found.reach[0]))
    g, scale = rng.uniform(low, high, count), 10 ** np.where(rng.random(count) < 0.5, 0, rng.uniform(-4, 0, count))
    if name == "transcritical":
        return g, rng.uniform(float(Q(DEEPEST[min(order, 1)])), top, count) * scale
    return g, rng.uniform(-1, 1, count) * np.sqrt(top) * scale


@pytest.mark.parametrize(("name", "order"), ORDERS)
def test_the_stated_error_holds_inside_the_stated_domain(name, order):
    law, rng = law_of(name), np.random.default_rng(7)
    uniform = law.uniform(order)
    bound = MEASURED[name].errors[order]
    assert f"{bound:g}" in str(uniform.domain)
    checked = 0
    for horizon in (1, 2, 5, 10, 30, 100, 400):
        g, h0 = inside(rng, name, order, 300)
        keep = uniform.domain.holds(g, h0, horizon) & uniform.stays(g, h0, horizon) & (h0 != 0)
        g, h0 = g[keep], h0[keep]
        true = law(g, h0, horizon)
        assert np.all(np.isfinite(true))
        assert np.max(np.abs(uniform(g, h0, horizon) / true - 1)) < bound
        checked += len(g)
    assert checked > 1000


@pytest.mark.parametrize("order", range(4))
@pytest.mark.parametrize("d", [-1 + sp.I / 2, -2 + 3 * sp.I])
def test_neimark_sacker_inside_its_domain(d, order):
    law, rng = nf.amplification(nf.neimark_sacker(1, d)), np.random.default_rng(11)
    uniform, checked = law.uniform(order), 0
    for horizon in (1, 10, 100, 400):
        g, turn, r = rng.uniform(0.69, 1.25, 200), rng.uniform(0, 6, 200), rng.uniform(0.001, 0.33, 200)
        h0 = np.stack([r * np.cos(turn), r * np.sin(turn)], axis=-1)
        arguments = g, h0[:, 0], h0[:, 1], horizon
        keep = uniform.domain.holds(*arguments) & uniform.stays(*arguments)
        value = uniform(g[keep], h0[keep, 0], h0[keep, 1], horizon)
        assert np.max(np.abs(value / law(g[keep], h0[keep], horizon) - 1)) < MEASURED["neimark_sacker"].errors[order]
        checked += np.sum(keep)
    assert checked > 200


@pytest.mark.parametrize(
    ("name", "point"),
    [
        ("pitchfork", (1.05, 1.2, 30)),
        ("pitchfork", (1.6, 0.1, 30)),
        ("period_doubling", (0.2, 0.1, 30)),
        ("transcritical", (1.05, -0.2, 30)),
        ("saddle_node", (1.01, -0.14, 300)),
        ("saddle_node", (0.99, 0.1, 200)),
        ("saddle_node", (1.3, 0.1, 30)),
    ],
)
@pytest.mark.parametrize("order", [0, 2])
def test_outside_the_domain_it_warns(name, point, order):
    with pytest.warns(DomainWarning, match="relative error"):
        law_of(name).uniform(order)(*point)


@pytest.mark.parametrize("horizon", [2_500])
@pytest.mark.parametrize("name", ["pitchfork", "transcritical"])
def test_nothing_overflows_at_long_horizons(name, horizon):
    law, g = law_of(name), np.array([0.7, 0.99, 1.0, 1.001, 1.4])
    assert law.uniform(2)(g, 1e-3, horizon) == pytest.approx(law(g, 1e-3, horizon), rel=2e-3)


# --- regular through the bifurcation ------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "order"), [(n, p) for n, p in ORDERS if p in (0, 2, 3) and n != "period_doubling"])
def test_values_and_derivatives_are_accurate_through_the_bifurcation(name, order):
    formula = law_of(name).uniform(order)
    slope = formula.diff("g")
    precise = [f.lambdify("mpmath") for f in (formula, slope)]
    for offset in (0.0, 1e-15, -1e-12, 1e-12, 1e-9, -1e-6, 1e-4):
        g = 1 + offset
        with mp.workdps(40):
            value, change = (float(f(mp.mpf(g), mp.mpf(0.05), 5)) for f in precise)
        assert formula(g, 0.05, 5) == pytest.approx(value, rel=1e-13)
        assert slope(g, 0.05, 5) == pytest.approx(change, rel=1e-12)


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("name", ["pitchfork", "transcritical", "saddle_node"])
def test_the_derivative_is_that_of_the_values(name, order):
    formula = law_of(name).uniform(order)
    with mp.workdps(60):
        value, step = formula.lambdify("mpmath"), mp.mpf("1e-20")
        sides = [value(1 + s * step, mp.mpf("0.05"), 5) for s in (-1, 1)]  # the two formulas on either side of 1
        assert float((sides[1] - sides[0]) / (2 * step)) == pytest.approx(formula.diff("g")(1.0, 0.05, 5), rel=1e-11)


# --- the equations behind ------------------------------------------------------------------------------------------


def placed(node, mu):
    """``Σ_i c_i μ^{i+1}``."""
    return sum((mp.mpf(c.p) / c.q * mu ** (i + 1) for i, c in enumerate(node)), mp.mpf(0))


def abel(name, order, g):
    """Residual of Abel's equation ``τ(f(u)) − τ(u) − 1`` as a function of the state, in mpmath."""
    mu = mp.mpf(g) - 1
    if name == "saddle_node":
        nodes = FOLD_NODES[order]
        eta, K, *r = (mp.mpf(a.at(sp.Float(mu, 40))) for a in fold_coefficients(nodes))
        w = mp.sqrt(mu)

        def tau(h):
            log = mp.log((h + w) / (h - w)) if h > w else mp.log((w + h) / (w - h))
            return eta * log / (2 * w) + K * mp.log(abs(h * h - mu)) + sum(c * h ** (j + 1) for j, c in enumerate(r))

        return lambda h: tau(h + mu - h * h) - tau(h) - 1, [s * mp.sqrt(placed(c, mu)) for c in nodes for s in (1, -1)]
    power = 1 if name == "transcritical" else 2
    nodes = NODES[power][order]
    kappa, *r = (mp.mpf(a.at(sp.Float(mu, 40))) for a in bernoulli_coefficients(power, Q(1), nodes))
    a = 1 / (power * mp.log(g))

    def tau(u):
        rest = sum(c * u ** (j + 1) for j, c in enumerate(r))
        return a * mp.log(abs(u / (mu - u))) + kappa * mp.log(abs(mu - u)) + rest

    return lambda u: tau(u * (g - u) ** power) - tau(u) - 1, [placed(c, mu) for c in nodes]


@pytest.mark.parametrize(("name", "order"), [(n, p) for n, p in ORDERS if p and n != "period_doubling"])
def test_abels_equation_holds_at_the_nodes_and_nearly_between(name, order):
    with mp.workdps(30):
        g = mp.mpf("1.04")
        residual, nodes = abel(name, order, g)
        scale = mp.sqrt(g - 1) if name == "saddle_node" else g - 1
        between = max(abs(residual(scale * mp.mpf(k) / 20)) for k in range(1, 20))
        assert between < 2 * scale ** (order + (1 if name != "saddle_node" else 2)) * 4
        for node in nodes:
            at = node if node or name == "saddle_node" else scale * mp.mpf("1e-6")
            assert abs(residual(at)) < 1e-6 * between


def test_taylor_matching_gives_the_formal_series():
    x = sp.Symbol("x")
    kappa, first, second = bernoulli_coefficients(2, Q(1), ((), (), ()))
    series = lambda a, n: sp.series(a.at(x), x, 0, n).removeO()  # noqa: E731
    assert sp.expand(series(kappa, 3) - Q(3, 4) - x / 8 - 3 * x**2 / 16) == 0
    assert sp.expand(series(first, 2) - Q(5, 8) + x / 4) == 0
    assert series(second, 1) == Q(21, 32)
    eta, K, *_ = fold_coefficients(((),) * 4)
    assert sp.expand(series(eta, 2) - 1 + x / 3) == 0
    assert sp.expand(series(K, 2) - Q(1, 2) - x / 6) == 0


@pytest.mark.parametrize("name", ["pitchfork", "transcritical"])
@pytest.mark.parametrize("order", [1, 2, 3])
@pytest.mark.parametrize("point", [(0.75, 0.1), (1.02, 0.05), (1.4, 1e-3), (1.4, 0.1)])
def test_the_orbit_solves_its_time_equation(name, order, point):
    """``τ(u_t) − τ(u_0) = t`` in 40 digits: Newton's steps have converged."""
    g, h0 = (mp.mpf(str(v)) for v in point)
    power = 1 if name == "transcritical" else 2
    orbit = law_of(name).uniform(order).orbit
    with mp.workdps(40):
        run = orbit.lambdify("mpmath")
        kappa, *r = (
            mp.mpf(a.at(sp.Float(g, 40) - 1)) for a in bernoulli_coefficients(power, Q(1), NODES[power][order])
        )
        a, mu, start = 1 / (power * mp.log(g)), g - 1, h0**power

        def tau(u):
            log = a * mp.log(abs(u / (mu - u))) + kappa * mp.log(abs(mu - u))
            return log + sum(c * u ** (j + 1) for j, c in enumerate(r))

        for t in (1, 5, 12, 30):
            u = run(g, h0, t) ** power
            if abs(mu - u) > 1e-8:
                assert abs(tau(u) - tau(start) - t) < 1e-5


# --- forms of one law ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "order"), [("pitchfork", 0), ("pitchfork", 2), ("saddle_node", 1), ("transcritical", 2)]
)
def test_the_expression_is_the_program(name, order):
    orbit = law_of(name).uniform(order).orbit
    g, h0, t = orbit.symbols
    value = orbit.expr.subs({g: sp.Float("1.04", 30), h0: sp.Float("0.1", 30), t: 7}).doit()
    assert float(sp.re(value)) == pytest.approx(orbit(1.04, 0.1, 7), rel=1e-13)


def test_the_amplification_is_the_sum_of_squared_slopes():
    formula = law_of("pitchfork").uniform(2)
    slope = formula.orbit.diff("g")
    assert formula(1.05, 0.1, 20) == pytest.approx(sum(slope(1.05, 0.1, t) ** 2 for t in range(1, 21)), rel=1e-12)


@pytest.mark.parametrize("name", ["pitchfork", "saddle_node"])
def test_every_backend_gives_the_same_number(name):
    jax = pytest.importorskip("jax")
    formula = law_of(name).uniform(2)
    value = formula(1.03, 0.1, 9)
    assert float(jax.jit(formula.lambdify("jax"), static_argnums=2)(1.03, 0.1, 9)) == pytest.approx(value, rel=1e-12)
    space = {}
    exec(formula.code("python"), space)
    assert space["law"](1.03, 0.1, 9) == pytest.approx(value, rel=1e-12)


@pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler")
@pytest.mark.parametrize("name", ["pitchfork", "transcritical", "saddle_node"])
def test_compiled_c_gives_the_same_number(name, tmp_path):
    formula = law_of(name).uniform(3)
    main = '\n#include <stdio.h>\nint main(void) { printf("%.17g", law(0.99, 0.1, 9)); return 0; }\n'
    (tmp_path / "law.c").write_text(formula.code("c") + main)
    subprocess.run(["cc", "-O1", "-o", tmp_path / "law", tmp_path / "law.c", "-lm"], check=True)
    printed = subprocess.run([tmp_path / "law"], check=True, capture_output=True, text=True).stdout
    assert float(printed) == pytest.approx(formula(0.99, 0.1, 9), rel=1e-12)


@pytest.mark.parametrize("order", [1, 3])
@pytest.mark.parametrize("name", SCALAR)
def test_the_law_in_print_is_short(name, order):
    formula = law_of(name).uniform(order)
    assert len(formula.latex()) < 1500
    assert r"\sigma" in formula.latex()
    orbit = formula.orbit.latex().removeprefix(r"\begin{aligned}")
    assert formula.latex().endswith(orbit)


def test_period_doubling_alternates():
    up, down = (law_of(n).uniform(2).orbit for n in ("pitchfork", "period_doubling"))
    for t in (1, 2, 7):
        assert down(1.1, 0.1, t) == pytest.approx((-1) ** t * up(1.1, 0.1, t), rel=1e-15)


def test_a_map_in_other_units_and_symbols():
    m = nf.parse_map("r*x - 4*x^3", state="x", parameter="r")
    law = nf.amplification(nf.Map(m.step, m.state, m.parameter, {"x": 0, "r": 1}))
    assert law.uniform(3)(1.1, 0.05, 30) == pytest.approx(law(1.1, 0.05, 30), rel=1e-4)
    of_form = nf.amplification(nf.reduce(law.map))
    assert of_form.uniform(3)(1.1, 0.05, 30) == pytest.approx(law(1.1, 0.05, 30), rel=1e-4)
    assert of_form.uniform(3).orbit(1.1, 0.05, 30) == pytest.approx(law.orbit(1.1, 0.05, 30).h[-1], rel=1e-5)


def test_symbols_of_the_user_never_collide():
    m = nf.parse_map("rate*x - x^3", state="x", parameter="rate")
    law = nf.amplification(nf.Map(m.step, m.state, m.parameter, {"x": 0, "rate": 1}))
    assert law.uniform(2)(1.1, 0.1, 30) == pytest.approx(law_of("pitchfork").uniform(2)(1.1, 0.1, 30), rel=1e-13)


def test_subcritical_orbits_are_followed_towards_their_escape():
    h, g = sp.symbols("h g", real=True)
    law = nf.amplification(nf.Map(g * h + h**3, h, g, {h: 0, g: 1}))
    for order, worst in ((1, 0.03), (2, 4e-3), (3, 1e-3)):
        assert law.uniform(order)(1.02, 0.1, 20) == pytest.approx(law(1.02, 0.1, 20), rel=worst)


# --- maps whose fixed point moves -----------------------------------------------------------------------------------

MOVING = {
    "logistic flip": ("r*x*(1-x)", "2/3", 3, 1),
    "logistic exchange": ("r*x*(1-x)", 0, 1, 1),
    "Ricker flip": ("x*exp(r*(1-x))", 1, 2, 1),
    "shifted pitchfork": ("r*(x-1) - (x-1)^3 + 1", 1, 1, 1),
    "quadratic and cubic flip": ("-r*x + x^2 + x^3/2", 0, 1, 1),
    "odd tanh": ("tanh(r*x)", 0, 1, 1),
}


@pytest.mark.parametrize("name", MOVING)
def test_general_maps_to_leading_order(name):
    """The fixed point moves, and with it the orbit: the error falls like 1/T, the order of the law."""
    step, x, r, sign = MOVING[name]
    law = nf.amplification(nf.parse_map(step, state="x", parameter="r"), at={"x": x, "r": r})
    uniform, errors = law.uniform(), []
    for horizon in (200, 800):
        near = float(Q(x)) + 0.3 * (horizon**-1.0 if "exchange" in name else horizon**-0.5)
        at = float(r) + sign / horizon
        errors.append(abs(uniform(at, near, horizon) / law(at, near, horizon) - 1))
        state = law.orbit(at, near, horizon).h[-1] - float(Q(x))
        assert uniform.orbit(at, near, horizon) - float(Q(x)) == pytest.approx(state, rel=0.1)
    assert errors[0] < 0.05
    assert errors[1] < 0.5 * errors[0]


def moving(name):
    step, x, r, _ = MOVING[name]
    return nf.amplification(nf.parse_map(step, state="x", parameter="r"), at={"x": x, "r": r})


@pytest.mark.parametrize(
    ("name", "order"),
    [
        ("logistic flip", 1),
        ("Ricker flip", 2),
        ("quadratic and cubic flip", 3),
        ("logistic exchange", 2),
        ("odd tanh", 3),
    ],
)
def test_general_maps_to_higher_orders(name, order):
    """The error falls with the order, and is as small as stated everywhere in the range that the law measured."""
    law, (_, x, r, sign), rng = moving(name), MOVING[name], np.random.default_rng(5)
    uniform, errors = law.uniform(order), []
    for horizon in (100, 200):
        at = float(r) + 1.3 * sign / horizon
        near = (1 - 1 / at if name == "logistic flip" else float(Q(x))) + (0.3 / horizon) ** (
            1 if "exchange" in name else 0.5
        )
        errors.append(abs(uniform(at, near, horizon) / law(at, near, horizon) - 1))
    assert np.log2(errors[0] / errors[1]) == pytest.approx(order + 1, abs=0.35)
    for horizon in (1, 7, 60, 300):
        at, near = float(r) + rng.uniform(-0.2, 0.2, 300), float(Q(x)) + 0.4 * rng.uniform(-1, 1, 300) ** 3
        inside = uniform.domain.holds(at, near, horizon) & uniform.stays(at, near, horizon)
        assert np.sum(inside) > 30
        at, near = at[inside], near[inside]
        assert np.max(np.abs(uniform(at, near, horizon) / law(at, near, horizon) - 1)) < GENERAL.errors[order]


def test_a_general_law_of_a_named_family_is_that_of_the_family():
    law, g = moving("shifted pitchfork"), np.linspace(0.8, 1.2, 9)[:, None]
    h0 = np.array([-0.3, 0.01, 0.2])
    general, named = law.uniform(2), law_of("pitchfork").uniform(2)
    after = general(g, 1 + h0, 30) - general(g, 1 + h0, 1)  # the general law's first term is the map's own
    assert after == pytest.approx(named(g, h0, 30) - named(g, h0, 1), rel=1e-6)


def test_general_laws_as_code_and_in_print(tmp_path):
    formula = moving("logistic flip").uniform(1)
    value, space = formula(3.02, 0.65, 9), {}
    exec(formula.code("python"), space)
    assert space["law"](3.02, 0.65, 9) == pytest.approx(value, rel=1e-12)
    main = '\n#include <stdio.h>\nint main(void) { printf("%.17g", law(3.02, 0.65, 9)); return 0; }\n'
    if shutil.which("cc"):
        (tmp_path / "law.c").write_text(formula.code("c") + main)
        subprocess.run(["cc", "-O1", "-o", tmp_path / "law", tmp_path / "law.c", "-lm"], check=True)
        printed = subprocess.run([tmp_path / "law"], check=True, capture_output=True, text=True).stdout
        assert float(printed) == pytest.approx(value, rel=1e-12)
    lines = {str(a): b for a, b in formula.printed()}
    assert str(lines["b_1"]).startswith("-3/2 + 7*mu/4")  # h = h* + z − (3/2) z²: Kuznetsov, §4.5
    assert str(lines["s"]).startswith("1/9 ")
    assert len(formula.latex()) < 1500
    assert "r - 3" in str(formula)


def test_the_measured_range_is_as_small_as_the_map_needs():
    wild = nf.amplification(nf.parse_map("-r*x + x^3 + 100*x^5", state="x", parameter="r"), at={"x": 0, "r": 1})
    uniform = wild.uniform(1)
    assert uniform.domain.holds(1.0002, 0.01, 100)
    assert uniform(1.0002, 0.01, 100) == pytest.approx(wild(1.0002, 0.01, 100), rel=GENERAL.errors[1])
    with pytest.warns(DomainWarning, match="relative error"):
        uniform(1.02, 0.1, 30)


@pytest.mark.parametrize("order", [0, 2])
def test_the_new_cycle_of_the_logistic_map(order):
    orbit, r = moving("logistic flip").uniform(order).orbit, 3.08
    cycle = (r + 1 + np.array([1, -1]) * np.sqrt((r - 3) * (r + 1))) / (2 * r)
    found = sorted([orbit(r, 0.66, 2000), orbit(r, 0.66, 2001)], reverse=True)
    assert found == pytest.approx(cycle, rel=1e-7 if order else 1e-12)


def test_the_normal_form_of_the_logistic_map():
    m = nf.parse_map("r*x*(1-x)", state="x", parameter="r")
    form = nf.reduce(m, at={"x": "2/3", "r": 3})
    direct, of_form = nf.amplification(m, at={"x": "2/3", "r": 3}), nf.amplification(form)
    errors = []
    for horizon in (100, 1600):
        r, u = 3 + 1 / horizon, 0.3 * horizon**-0.5
        h0 = float(m.critical is None) * (1 - 1 / r) + u - 1.5 * u**2  # h = h* + u + (c2/2) u²
        errors.append(abs(of_form.uniform()(r - 2, u, horizon) / direct(r, h0, horizon) - 1))
    assert errors[0] < 0.1
    assert errors[1] < 0.25 * errors[0]


# --- the cusp ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("order", "worst"), [(0, 0.8), (1, 0.08), (2, 0.03)])
def test_cusp_against_iteration(order, worst):
    law, rng = nf.amplification(nf.cusp()), np.random.default_rng(3)
    uniform = law.uniform(order)
    for horizon in (1, 10, 100):
        scale = 10 ** rng.uniform(-4, 0, 200)
        beta, g, h0 = rng.uniform(-0.05, 0.05, 200) * scale, rng.uniform(0.8, 1.2, 200), rng.uniform(-0.3, 0.3, 200)
        assert np.max(np.abs(uniform(beta, g, h0, horizon) / law((beta, g), h0, horizon) - 1)) < worst


@pytest.mark.parametrize("order", range(3))
def test_cusp_error_falls_with_the_horizon(order):
    law, errors = nf.amplification(nf.cusp()), []
    for horizon in (60, 120):
        beta, g, h0 = 0.3 * horizon**-1.5, 1 + 1 / horizon, np.sqrt(0.7 / horizon)
        errors.append(abs(law.uniform(order)(beta, g, h0, horizon) / law((beta, g), h0, horizon) - 1))
    assert np.log2(errors[0] / errors[1]) == pytest.approx(order + 1, abs=0.35)


@pytest.mark.parametrize("order", range(3))
@pytest.mark.parametrize(("beta", "g"), [(0.01, 1.1), (0.01, 0.9), (-0.002, 1.05), (0.0, 1.1)])
def test_cusp_orbit_solves_the_implicit_equation(order, beta, g):
    """Partial fractions over the three roots, complex ones included, evaluated apart from the program."""
    uniform = nf.amplification(nf.cusp()).uniform(order)
    assert "implicit" in str(uniform.domain)
    assert isinstance(uniform.orbit.relation, sp.Eq)
    h0, t = 0.15, 9
    with mp.workdps(30):
        h = uniform.orbit.lambdify("mpmath")(mp.mpf(beta), mp.mpf(g), mp.mpf(h0), t)
        total = mp.mpf(0)
        for x in mp.polyroots([-1, 0, mp.mpf(g) - 1, mp.mpf(beta)], maxsteps=200, extraprec=200):
            m = mp.mpf(g) - 1 - 3 * x**2
            weight = sum([1 / m, mp.mpf(1) / 2, -m / 12][: order + 1])
            total += weight * (mp.log(h - x) - mp.log(mp.mpf(h0) - x))
        total += mp.mpf(5) / 8 * (h**2 - mp.mpf(h0) ** 2) if order == 2 else 0
        assert abs(mp.re(total) - t) < 1e-9


def test_cusp_matrix_and_its_top_eigenvalue():
    law = nf.amplification(nf.cusp())
    uniform, at = law.uniform(2), (0.01, 1.05, 0.1, 20)
    matrix = np.array([[entry(*at) for entry in row] for row in uniform.entries])
    assert np.max(np.abs(matrix / law.gram(at[:2], at[2], at[3]) - 1)) < 1e-3
    assert uniform(*at) == pytest.approx(np.linalg.eigvalsh(matrix)[-1], rel=1e-12)


@pytest.mark.parametrize("h0", [0.0, 0.1])
def test_cusp_is_regular_where_roots_meet_and_at_rest(h0):
    uniform = nf.amplification(nf.cusp()).uniform(2)
    mu = 0.08
    fold = 2 * (mu / 3) ** 1.5
    values = [uniform(fold + e, 1 + mu, h0, 20) for e in (-1e-7, 0.0, 1e-7)]
    assert values[0] + values[2] - 2 * values[1] == pytest.approx(0, abs=1e-7 * values[1])
    assert np.isfinite(uniform(0.0, 1.0, 0.0, 5))


# --- bad input -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "order"), [("pitchfork", 5), ("transcritical", 4), ("saddle_node", 5), ("period_doubling", 5), ("cusp", 3)]
)
def test_an_order_that_does_not_exist_is_refused(name, order):
    with pytest.raises(ValueError, match=f"order = {order} does not exist.*0 to {order - 1}"):
        law_of(name).uniform(order)


@pytest.mark.parametrize("name", ["stability_flip", "pitchfork", "cusp"])
@pytest.mark.parametrize("order", [-1, 1.0, "2", True, None])
def test_an_order_that_is_no_order_is_refused(name, order):
    with pytest.raises(ValueError, match="order"):
        law_of(name).uniform(order)


def test_a_fixed_point_that_is_no_rational_function_is_followed():
    """``r − x²`` is the logistic map in other units; its fixed point is ``(√(1 + 4r) − 1)/2``."""
    x, r = sp.symbols("x r", real=True)
    law = nf.amplification(nf.Map(r - x**2, x, r, {x: Q(1, 2), r: Q(3, 4)}))
    for order, worst in enumerate((0.01, 1e-4, 1e-6)):
        assert law.uniform(order)(0.76, 0.52, 30) == pytest.approx(law(0.76, 0.52, 30), rel=worst)


@pytest.mark.parametrize(
    ("text", "point"),
    [
        ("x + (x - sin(r))*(1 - exp(2*r) - x)", (0.02, 0.06, 30)),
        ("x + (x - sin(r))*(1 - exp(2*r) - x)", (-0.02, 0.02, 30)),
        ("x*exp(r - x) + r*(x - r)^3", (0.01, 0.05, 40)),
        ("sin(r) + (1 + r)*(x - sin(r)) - (x - sin(r))^3", (0.03, 0.1, 30)),
    ],
)
def test_branches_that_cross_where_neither_is_a_rational_function(text, point):
    """The series of the one that moves least, by the roots of the quadratic of their slopes."""
    law = nf.amplification(nf.parse_map(text, state="x", parameter="r"), at={"x": 0, "r": 0})
    for order, error in ((1, 5e-3), (2, 3e-4)):
        assert law.uniform(order)(*point) == pytest.approx(law(*point), rel=error)


def test_maps_without_a_uniform_law_are_refused():
    x, y, r = sp.symbols("x y r", real=True)
    with pytest.raises(ValueError, match="orders 0 to 4"):
        moving("logistic flip").uniform(5)
    lopsided = nf.amplification(nf.Map(r * x - x**3 + x**4, x, r, {x: 0, r: 1}))
    assert "O(T^-1/2)" in str(lopsided.uniform().domain)
    with pytest.raises(ValueError, match="orders 0 to 0"):
        lopsided.uniform(1)
    with pytest.raises(ValueError, match="degenerate"):
        nf.amplification(nf.Map(-r * x + x**5, x, r, {x: 0, r: 1})).uniform()
    with pytest.raises(ValueError, match="normal form"):
        nf.amplification(nf.Map((r * x - x**3, y / 2), (x, y), r, {x: 0, y: 0, r: 1})).uniform()
    with pytest.raises(ValueError, match="cross"):
        nf.amplification(nf.Map((1 + (r - 1) ** 2) * x - x**3, x, r, {x: 0, r: 1})).uniform()


@pytest.mark.parametrize("order", [0, 1, 2])
def test_the_stability_flip_is_exact(order):
    law = law_of("stability_flip")
    for g, T in itertools.product((0.5, 1.0, 1.3), (1, 7, 40)):
        assert law.uniform(order)(g, 0.3, T) == pytest.approx(law(g, 0.3, T), rel=1e-13)


@pytest.mark.parametrize("d", [-1 + sp.I / 2, -2 - 3 * sp.I, 1 - sp.I])
def test_the_twist_gives_back_the_cubic_coefficient(d):
    found = recognise(nf.neimark_sacker(1, d))
    assert sp.expand(-found.coefficient + sp.I * found.coefficient * found.twist - d) == 0


def test_slopes_of_the_orbit_are_those_of_the_equation_that_it_solves():
    x = sp.Symbol("x")
    found = bernoulli_coefficients(2, sp.Integer(1), NODES[2][2])
    kappa, r = (sp.lambdify(x, c.at(x), "mpmath") for c in found)
    law = nf.amplification(nf.pitchfork()).uniform(2)
    slope = law.orbit.diff("g")
    for g, h0, t in ((0.7, 0.33, 5), (0.93, 0.1, 40), (1.2, 0.2, 12), (1.45, 0.02, 9)):

        def state(g, h0=h0, t=t):
            u0 = mp.mpf(h0) ** 2
            D = lambda s: 1 + u0 * (g ** (2 * s) - 1) / (g - 1)  # noqa: E731
            u = lambda s: u0 * g ** (2 * s) / D(s)  # noqa: E731
            late = lambda s: s - kappa(g - 1) * mp.log(D(s)) + r(g - 1) * (u(s) - u0) - t  # noqa: E731
            return mp.sqrt(u(mp.findroot(late, mp.mpf(t))))

        with mp.workdps(40):
            true, value = float(mp.diff(state, mp.mpf(g), h=mp.mpf("1e-12"))), float(state(mp.mpf(g)))
        assert law.orbit(g, h0, t) == pytest.approx(value, rel=1e-12)
        assert slope(g, h0, t) == pytest.approx(true, rel=1e-12)
        # the law's own derivative, which leaves the steps to the root alone
        assert law(g, h0, t) - law(g, h0, t - 1) == pytest.approx(true**2, rel=1e-11)


@pytest.mark.parametrize(("b", "order", "point"), [("1/20", 1, (1.05, 0.1035, 1)), ("1/50", 0, (1.0, 0.04, 1))])
def test_a_first_step_that_the_parameter_does_not_reach_is_the_maps_own(b, order, point):
    """``f_r`` has a zero at ``x = 2b + …``, next to the fixed point: A all but vanishes, and the orbit's does not."""
    step = f"{b}*(r-1) - r*(x - {b}*(r-1)) + (x - {b}*(r-1))^3"
    law = nf.amplification(nf.parse_map(step, state="x", parameter="r"), at={"x": 0, "r": 1})
    uniform = law.uniform(order)
    assert uniform(*point) == pytest.approx(law(*point), rel=1e-9)
    r, x = np.linspace(0.99, 1.01, 60)[:, None], np.linspace(0.03, 0.05, 60)  # a grid, whose sums take other ways
    np.testing.assert_allclose(uniform(r, x, 1), law(r, x, 1), rtol=1e-9)
    space: dict = {}
    exec(uniform.code(), space)
    assert space["law"](*point) == pytest.approx(law(*point), rel=1e-9)
    assert uniform(1.0, 0.01, 200) == pytest.approx(law(1.0, 0.01, 200), rel=GENERAL.errors[order])


def test_a_law_that_holds_nowhere_is_refused_when_it_is_made():
    """Next to a generalised flip, ``c₃ + c₂² = 1/100``, the first correction is larger than the law."""
    law = nf.amplification(nf.parse_map("-r*x + x^2 - 99/100*x^3", state="x", parameter="r"), at={"x": 0, "r": 1})
    with pytest.raises(ValueError, match="holds nowhere next to the bifurcation"):
        law.uniform(1)
    assert law.uniform(0).latex()


def test_a_law_none_of_whose_samples_can_be_taken_is_refused():
    """The cubic coefficient is all but zero, so that the range in u spans h0 at which higher terms rule."""
    m = nf.parse_map("-r*x - 2.5639e-06*x^2 - 3.2696e-04*x^5 + 2.4812e-02*x^7", state="x", parameter="r")
    with pytest.raises(ValueError, match="holds nowhere next to the bifurcation"):
        nf.amplification(m, at={"x": 0, "r": 1}).uniform(3)
