"""Forms of planar maps at Neimark–Sacker points: in the map's own numbers, and in those of the normal form."""

from __future__ import annotations

import warnings
from functools import cache

import numpy as np
import pytest
import sympy as sp

import normalforms as nf
from normalforms import zoo

x, y, r = sp.symbols("x y r", real=True)


def henon_like() -> nf.Map:
    """Its Jacobian's determinant ``r + 3x²/5`` passes 1 at the fixed point."""
    steps = (y, sp.Rational(21, 20) + sp.Rational(3, 10) * y - r * x - y**2 - x**3 / 5)
    return nf.Map(steps, (x, y), r, {x: sp.Rational(1, 2), y: sp.Rational(1, 2), r: sp.Rational(17, 20)})


def generic() -> nf.Map:
    """A fixed point that moves, a rotation that turns, quadratic terms of every kind."""
    c, s = sp.Rational(3, 5), sp.Rational(4, 5)
    u, v = x + y / 3, y
    first = (1 + r) * (c * u - s * v) + r / 5 - x**2 / 4 + x * y / 3 - x**3 / 2 - x * y**2
    second = (1 + r / 3) * (s * u + c * v) - r / 7 + y**2 / 5 - y**3 / 2
    return nf.Map((first - second / 3, second), (x, y), r, {x: 0, y: 0, r: 0})


MAPS = {"delayed logistic": zoo.delayed_logistic, "Hénon-like": henon_like, "generic": generic}


@cache
def known(name: str):
    m = MAPS[name]()
    form = nf.reduce(m)
    q = np.array(sp.Matrix(form.critical_eigenvector).evalf(20), dtype=complex).ravel()
    return m, form, q, nf.amplification(m), nf.amplification(form)


def states(name: str, parameter: float, size: float, turns: int = 6) -> np.ndarray:
    """States at one distance from the fixed point, all around it."""
    m, form, *_ = known(name)
    g, _ = form.coordinates(parameter, np.array([float(m.critical[s]) for s in m.states]))
    z = size * np.exp(2j * np.pi * (np.arange(turns) + 0.2) / turns)
    z = z + complex(form.coefficients["motion"]) * (g - 1) / float(form.coefficients["dmodulus"])
    return form.originals(g, np.stack([z.real, z.imag], axis=-1))[1]


@pytest.mark.filterwarnings("ignore::normalforms.DomainWarning")  # small horizons; the numbers are what is checked
@pytest.mark.parametrize("name", MAPS)
def test_every_form_tends_to_iteration_of_the_map_at_every_phase(name):
    """The linear limit is exact on both sides; the form's law keeps it at the bifurcation."""
    m, form, _, direct, law = known(name)
    critical = float(m.critical[m.parameter])
    uniform, series = direct.uniform(0), direct.series(2)
    for parameter, horizon in ((critical - 0.004, 30), (critical, 3), (critical, 30), (critical + 0.004, 30)):
        worst = []
        for size in (0.01, 0.001):
            h0 = states(name, parameter, size)
            true = direct(parameter, h0, horizon)
            worst.append([np.max(np.abs(f(parameter, h0, horizon) / true - 1)) for f in (uniform, series)])
        assert max(worst[1]) < 1e-3
        assert worst[1][1] < worst[0][1] / 10
        if parameter == critical:
            np.testing.assert_allclose(law(*form.coordinates(parameter, h0), horizon), true, rtol=0.02)


def test_the_form_law_has_every_form():
    _, _, _, _, law = known("delayed logistic")
    g, z = 1.004, np.array([[0.09, 0.02], [-0.03, 0.08], [0.01, -0.09]])
    for order, error in ((3, 0.005),):
        np.testing.assert_allclose(law.uniform(order)(g, z, 40), law(g, z, 40), rtol=error)
        np.testing.assert_allclose(law.uniform(order).orbit(g, z, 7), law.orbit(g, z, 7).h[-1], atol=error / 10)
    np.testing.assert_allclose(law.series(4)(g, z / 10, 40), law(g, z / 10, 40), rtol=1e-3)
    assert float(law.enclosure(g, tuple(z[0]), 40)) == pytest.approx(law(g, z[0], 40), rel=1e-12)
    mean = law.averaged(nf.Empirical(z))
    assert mean.uniform(3)(g, 40) == pytest.approx(mean(g, 40), rel=5e-3)
    assert mean.series(4)(g, 3) == pytest.approx(mean(g, 3), rel=0.02)
    for refused, why in (
        (lambda: law.exact(3, 2), "exact polynomials"),
        (lambda: law.regimes(), "no regimes"),
        (lambda: law.series(2, pade=True), "no Padé"),
        (lambda: law.averaged(nf.Uniform(-1, 1)), "one number"),
    ):
        with pytest.raises(ValueError, match=why):
            refused()


def test_scaling_with_a_rotation_that_turns():
    """Phase-averaged iteration at a large horizon, and the closed form against its quadrature."""
    _, _, _, _, law = known("delayed logistic")
    scaling, horizon = law.scaling(), 4000
    phases = np.exp(2j * np.pi * np.arange(12) / 12)
    for a, b in ((1, 0.5), (-2, 0.5), (3, 0.2)):
        z = np.sqrt(b / horizon) * np.stack([phases.real, phases.imag], axis=-1)
        ratio = law(1 + a / horizon, z, horizon).mean() / scaling(1 + a / horizon, z[0], horizon)
        assert ratio == pytest.approx(1, abs=0.01)
        text: dict = {}
        exec(scaling.code(), text)
        assert float(text["psi"](a, b)) == pytest.approx(scaling.evaluate(a, b), rel=1e-12)
    assert float(scaling.at_zero.subs(scaling.symbols[1], 0.4)) == pytest.approx(scaling.evaluate(0, 0.4), rel=1e-12)


def test_no_silent_number_of_the_planar_law_is_outside_its_claim():
    rng = np.random.default_rng(5)
    for name in MAPS:
        _, _, q, direct, _ = known(name)
        law, critical = direct.uniform(0), float(known(name)[0].critical[known(name)[0].parameter])
        at = np.array([float(known(name)[0].critical[s]) for s in known(name)[0].states])
        told = 0
        for horizon in (1, 2, 7, 40, 200):
            parameter = critical + rng.uniform(-0.02, 0.02, 25)
            z = rng.uniform(0, 0.1, 25) * np.exp(2j * np.pi * rng.random(25))
            h0 = at + 2 * np.real(z[:, None] * q)
            for p, h in zip(parameter, h0, strict=True):
                with warnings.catch_warnings(record=True) as caught:
                    warnings.simplefilter("always")
                    value = law(p, h, horizon)
                if not caught:
                    told += 1
                    assert value == pytest.approx(direct(p, h, horizon), rel=law_claim(law))
        assert told > 25


def test_a_series_of_a_pair_with_an_irrational_coefficient():
    law = nf.amplification(nf.neimark_sacker(1, -1 + sp.I * sp.sqrt(3)))
    assert law.series(4)(1.01, (0.01, 0.003), 10) == pytest.approx(law(1.01, 0.000109**0.5, 10), rel=1e-4)
    with pytest.raises(ValueError, match="with a rational d"):
        law.exact(3, 2)


def law_claim(law) -> float:
    return float(str(law.domain).split("up to ")[1].split(" ")[0])


def test_other_bifurcations_of_the_plane_are_refused_when_made():
    law = nf.amplification(nf.Map((r * x - x**3, y / 2), (x, y), r, {x: 0, y: 0, r: 1}))
    with pytest.raises(ValueError, match=r"Neimark–Sacker points only, and this is a pitchfork point"):
        law.uniform(0)
    with pytest.raises(ValueError, match="a multiplier is 1"):
        law.series(2)
    with pytest.raises(ValueError, match="orders 0 to 0"):
        nf.amplification(zoo.delayed_logistic()).uniform(1)
