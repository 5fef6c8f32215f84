"""Reduction with parameters kept as symbols, against the reduction at numbers."""

from __future__ import annotations

import numpy as np
import pytest
import sympy as sp

import normalforms as nf
from normalforms import zoo

x, y, r, b, c = sp.symbols("x y r b c", real=True)
POINTS = {
    "flip": (zoo.henon(), "a", {"b": "b", "a": "3*(1-b)^2/4", "x": "2/(3*(1-b))", "y": "2*b/(3*(1-b))"}),
    "fold": (zoo.henon(), "a", {"b": "b", "a": "-(1-b)^2/4", "x": "2/(1-b)", "y": "2*b/(1-b)"}),
    "pitchfork": (nf.Map(r * x - b * x**3 + c * x**5, x, (b, c, r)), "r", {"b": "b", "c": "c", "x": 0, "r": 1}),
    "crossing": (nf.Map(r * x - b * x**2, x, (b, r)), "r", {"b": "b", "x": 0, "r": 1}),
    "slaved": (
        nf.Map((r * x + x * y, b * y + x**2), (x, y), (b, r)),
        "r",
        {"b": b, "x": 0, "y": 0, "r": sp.Integer(1)},
    ),
}


@pytest.mark.parametrize("name", POINTS)
def test_formulas_give_the_numbers_of_the_reduction(name):
    m, parameter, at = POINTS[name]
    form = nf.reduce(m, at=at, parameter=parameter)
    assert form.kept
    rng = np.random.default_rng(1)
    for _ in range(3):
        values = {s.name: sp.Rational(int(rng.integers(1, 19)), 20) for s in form.kept}
        here = {s: e.xreplace({k: values[k.name] for k in form.kept}) for s, e in form.point.items()}
        true, found = nf.reduce(m, at=here, parameter=parameter), form.at(**values)
        assert found.kind == true.kind
        for key, value in found.coefficients.items():
            assert float(value) == pytest.approx(float(true.coefficients[key]), rel=1e-12, abs=1e-14), key
        assert nf.amplification(found)(1.01, 0.01, 9) == pytest.approx(nf.amplification(true)(1.01, 0.01, 9), rel=1e-9)


def test_the_flip_of_henons_map_as_a_formula():
    m, parameter, at = POINTS["flip"]
    form, b = nf.reduce(m, at=at, parameter=parameter), m.parameters[0]
    assert sp.simplify(form.coefficients["c3"] - 9 * (1 - b) ** 3 / (16 * (1 + b) * (1 + b**2))) == 0
    with pytest.raises(ValueError, match=r"symbols in its coefficients; give them values: form.at\(b=…\)"):
        nf.amplification(form)


@pytest.mark.parametrize(
    ("at", "why"),
    [
        ({"b": "b", "a": "3*(1-b)^2/4", "x": "1/(1-b)", "y": "b"}, "no fixed point|not a fixed point for all b"),
        (
            {"b": "b", "a": 1, "x": "(b - 1 + sqrt((1 - b)^2 + 4))/2", "y": "b*(b - 1 + sqrt((1 - b)^2 + 4))/2"},
            "1 or −1",
        ),
        ({"b": sp.Symbol("q"), "a": 1, "x": 0, "y": 0}, "mentions q"),
        ({"b": "b", "a": "a", "x": 0, "y": 0}, "unfolding parameter"),
        ({"b": "b", "a": 1, "x": 0}, "no value for y"),
    ],
)
def test_what_cannot_be_kept_is_refused(at, why):
    with pytest.raises(ValueError, match=why):
        nf.reduce(zoo.henon(), at=at, parameter="a")
