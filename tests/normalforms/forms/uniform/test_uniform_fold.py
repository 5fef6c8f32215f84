"""Uniform laws at folds of any scalar map, against certified iteration, roots and Abel's equation."""

import sys
from functools import cache
from pathlib import Path
from typing import Any

import mpmath as mp
import numpy as np
import pytest
import sympy as sp

import normalforms as nf
from normalforms.forms.uniform.coordinate import folded
from normalforms.forms.uniform.general_fold import MEASURED, NODES

sys.path.insert(0, str(Path(__file__).parents[2]))
from referee import Referee

Q = sp.Rational
FOLDS = {
    "cubic": ("r + x - x^2 + x^3", 0, 0),
    "quadratic": ("r + x^2", "1/2", "1/4"),
    "sine": ("r + 2*sin(x)", "pi/3", "pi/3 - sqrt(3)"),
    "harvested Ricker": ("x*exp(3/2 - x) - r", 0.39295, 0.79577),
    "harvested Maynard Smith": ("3*x/(1 + x^4) - r", 0.61, 1.0),
}
"""Formula, state and parameter of the fold; decimals are moved to it."""


@cache
def fold(name) -> Any:
    step, x, r = FOLDS[name]
    m = nf.parse_map(step, state="x", parameter="r")
    if isinstance(x, float):  # f' = 1 by Newton's method, apart from the package
        f, x = sp.lambdify((m.state, m.parameter), m.step, "mpmath"), mp.findroot(slope_less_one(m), x)
        x, r = float(x), float(f(x, mp.mpf(0)) - x)
    return nf.amplification(m, at={"x": x, "r": r})


def slope_less_one(m):
    return sp.lambdify(m.state, m.step.diff(m.state) - 1, "mpmath")


def units(law):
    """Parameter and state at the fold, and the factors to ``y' = y + n − y² + …``."""
    m = law.map
    (x, r), at = (m.state, m.parameter), dict(m.critical)
    bend = -float(m.step.diff(x, 2).subs(at)) / 2
    return float(at[r]), float(at[x]), bend * float(m.step.diff(r).subs(at)), bend


@pytest.mark.parametrize(
    ("name", "order"),
    [
        ("quadratic", 0),
        ("cubic", 1),
        ("cubic", 2),
        ("quadratic", 2),
        ("sine", 1),
        ("harvested Ricker", 2),
        ("harvested Maynard Smith", 1),
    ],
)
def test_the_error_falls_by_the_order_when_the_neighbourhood_is_halved(name, order):
    """States halve, the parameter's distance is quartered, the horizon doubles; both sides, and the fold itself."""
    law, (r, x, speed, bend) = fold(name), units(fold(name))
    uniform, judge = law.uniform(order), Referee((FOLDS[name][0],), ("x",), ("r",))
    for n, y, turns in ((1.5, 0.3, 1.2), (-1.0, 0.5, 1.0), (0.0, 0.7, 1.5)):
        errors = []
        for horizon in (40, 80):
            at, near, T = r + n / horizon**2 / speed, x + y / horizon / bend, int(turns * horizon)
            true = judge.truths((at,), (near,), (T,))[T].value
            errors.append(abs(uniform(at, near, T) / true - 1))
        assert np.log2(errors[0] / errors[1]) == pytest.approx(order + 1, abs=0.35), errors
        assert errors[0] < MEASURED.errors[order] / 4


@pytest.mark.parametrize(("name", "order"), [("cubic", 0), ("quadratic", 1), ("sine", 3), ("harvested Ricker", 4)])
def test_the_stated_error_holds_where_it_is_stated(name, order):
    law, (r, x, speed, bend), rng = fold(name), units(fold(name)), np.random.default_rng(order)
    uniform = law.uniform(order)
    at = r + 0.06 * rng.uniform(-1, 1, 400) * rng.random(400) ** 3 / speed
    near = x + 0.15 * rng.uniform(-1, 1, 400) * rng.random(400) / bend
    for horizon in (1, 8, 50, 400):
        inside = uniform.domain.holds(at, near, horizon) & uniform.stays(at, near, horizon)
        assert np.sum(inside) > 60
        value, true = uniform(at[inside], near[inside], horizon), law(at[inside], near[inside], horizon)
        assert np.max(np.abs(value / true - 1)) < MEASURED.errors[order]


def test_the_law_of_the_family_in_another_parameter_is_the_familys():
    law = nf.amplification(nf.parse_map("r + x - x^2", state="x", parameter="r"), at={"x": 0, "r": 0})
    named = nf.amplification(nf.saddle_node())
    g, h0 = np.array([-0.0005, 0, 0.01])[:, None], np.array([-0.01, 0.02, 0.1])
    for order in (2, 4):
        general, own = law.uniform(order), named.uniform(order)
        after = general(g, h0, 25) - general(g, h0, 1)  # the general law's first term is the map's own
        np.testing.assert_allclose(after, own(1 + g, h0, 25) - own(1 + g, h0, 1), rtol=1e-8)


def test_branches_and_their_coordinate():
    """Half the sum and half the difference of the roots of ``n = y² − y³``."""
    known = folded(fold("cubic").map, ())
    assert (known.bend, known.force, known.shift) == (1, 1, ())
    for n in (0.01, -0.01, 0.04):
        near = sorted(mp.polyroots([-1, 1, 0, -mp.mpf(n)], maxsteps=200), key=abs)[:2]
        centre, nu = (float(a.at(sp.Float(n, 30))) for a in (known.centre, known.nu))
        assert centre == pytest.approx(float(mp.re(sum(near))) / 2, rel=1e-6)
        assert nu == pytest.approx(float(mp.re((near[0] - near[1]) ** 2)) / 4, rel=1e-6)


@pytest.mark.parametrize("order", [1, 3])
def test_abels_equation_holds_at_the_nodes(order):
    """The time function in closed form, with the map's own step."""
    known, n = folded(fold("cubic").map, NODES[order]), mp.mpf("0.003")
    centre, nu, eta, K, *r = (mp.mpf(sp.N(a.at(sp.Float(n, 40)), 40)) for a in (known.centre, known.nu, *known.shift))
    w = mp.sqrt(nu)

    def time(z):
        total = eta / (2 * w) * mp.log(abs((z + w) / (z - w))) + K * mp.log(abs(z**2 - nu))
        return total + sum(c * z**j for j, c in enumerate(r, 1))

    def late(z):
        y = centre + z
        return time(n + y - y**2 + y**3 - centre) - time(z) - 1

    for square in NODES[order]:
        for z in {mp.sqrt(sum(float(c) * n ** (i + 1) for i, c in enumerate(square))) * s for s in (1, -1)}:
            assert abs(late(z)) < 1e-12
            assert abs(late(1.5 * z + 0.02)) > 1e-9


def test_a_law_of_a_fold_in_print_and_as_code():
    formula = fold("cubic").uniform(1)
    lines = {str(a): str(b) for a, b in formula.printed()}
    assert lines["c"].startswith("mu/2 + mu**2 ")  # y₊ + y₋ = n + 2n² + … of n = y² − y³
    assert lines["nu"].startswith("mu + 5*mu**2/4 ")
    assert len(formula.latex()) < 1000
    assert len(fold("sine").uniform(1).latex()) < 1600
    space: dict = {}
    exec(formula.code("python"), space)
    assert space["law"](0.004, 0.03, 9) == pytest.approx(formula(0.004, 0.03, 9), rel=1e-12)
    orbit = fold("cubic").orbit(0.004, 0.03, 9).h[-1]
    assert fold("cubic").uniform(3).orbit(0.004, 0.03, 9) == pytest.approx(orbit, abs=1e-7)


def test_an_orbit_that_leaves_has_no_value():
    uniform = fold("cubic").uniform(2)
    for point in ((-0.004, 0.0, 60), (0.01, 0.5, 10), (0.05, 0.0, 10)):
        with pytest.warns(nf.DomainWarning):
            value = uniform(*point)
        assert point[0] > 0 or np.isnan(value)


@pytest.mark.parametrize("step", ["r + x - x^4", "r + sin(x)", "r + x - x^2*r"])
def test_degenerate_folds_are_refused(step):
    law = nf.amplification(nf.parse_map(step, state="x", parameter="r"), at={"x": 0, "r": 0})
    with pytest.raises(ValueError, match="the fold is degenerate"):
        law.uniform()


def test_an_order_that_a_fold_does_not_have_is_refused():
    with pytest.raises(ValueError, match="orders 0 to 4"):
        fold("cubic").uniform(5)
