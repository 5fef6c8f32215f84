"""Formulas: right numbers where they hold, a warning or no number elsewhere, and LaTeX that fits on a page."""

import re
import warnings

import mpmath
import numpy as np
import pytest
import sympy as sp

import normalforms as nf
from normalforms.formulas.formula import Domain, DomainWarning, Formula, check_horizon, symbols
from normalforms.formulas.typeset import typeset

SERIES = ("stability_flip", "pitchfork", "transcritical", "period_doubling")
g, h0, T = symbols("g h0 T")


def law(name):
    return nf.amplification(getattr(nf, name)())


@pytest.mark.parametrize("name", ["pitchfork", "period_doubling"])
@pytest.mark.parametrize("order", [2, 4, 8])
def test_a_series_is_never_silently_wrong(name, order):
    reference, series = law(name), law(name).series(order)
    rng = np.random.default_rng(order)
    silent = 0
    for _ in range(300):
        point = (
            1 + rng.choice([-1, 1]) * 10 ** rng.uniform(-6, -0.2),
            rng.choice([-1, 1]) * 10 ** rng.uniform(-4, -0.3),
            int(10 ** rng.uniform(0, 2.3)),
        )
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            value = series(*point)
        if not caught:
            silent += 1
            assert value == pytest.approx(reference(*point), rel=3 * series.domain.tolerance), point
    assert silent > 100


def test_far_outside_there_is_no_number():
    # the truncated series itself is 2e8 times the amplification here
    series = law("pitchfork").series(10)
    with pytest.warns(DomainWarning, match=r"1 of 1 values .*\(1 have no value\).*h0² \(g"):
        assert np.isnan(series(1.1, 0.1, 30))
    with pytest.warns(DomainWarning, match=r"3 of 4 values .*\(2 have no value\)"):
        values = series(np.array([0.9, 1.0, 1.1, 1.2]), 0.1, 30)
    assert list(np.isnan(values)) == [False, False, True, True]


def test_near_the_edge_there_is_a_number_and_a_warning():
    series, reference = law("pitchfork").series(6), law("pitchfork")
    with pytest.warns(DomainWarning, match=r"0 have no value"):
        value = series(1.0, 0.09, 30)
    assert value == pytest.approx(reference(1.0, 0.09, 30), rel=0.5)


def test_a_uniform_law_warns_outside_the_basin():
    with pytest.warns(DomainWarning, match="1 of 1 values lie outside"):
        law("pitchfork").uniform()(1.0, 3.0, 20)
    with pytest.warns(DomainWarning, match="1 of 1 values lie outside"):
        law("saddle_node").uniform()(0.9, 0.1, 100)


@pytest.mark.parametrize("name", SERIES)
@pytest.mark.parametrize("offset", [0.0, 1e-12, -1e-10, 1e-7, -1e-4, 1e-2])
def test_derivatives_are_as_stable_as_values(name, offset):
    formula = law(name).series(6)
    at, start, horizon = 1 + offset, 1e-3, 20
    exact = law(name).exact(horizon, 6).expr
    rational = {s: sp.Rational(v) for s, v in zip(law(name).exact(horizon, 6).symbols, (at, start), strict=True)}
    g_, h_ = rational
    for derivative, truth in (
        (formula, exact),
        (formula.diff("g"), exact.diff(g_)),
        (formula.diff("h0"), exact.diff(h_)),
        (formula.diff("g").diff("g"), exact.diff(g_, 2)),
    ):
        assert derivative(at, start, horizon) == pytest.approx(float(truth.subs(rational)), rel=1e-13)


def test_calling_takes_numbers_arrays_and_tuples():
    formula = Formula(g * h0**2 * T, (g, h0, T))
    assert formula(2.0, 3.0, 4) == 72.0
    assert isinstance(formula(2, 3, 4), float)
    assert formula((2.0, 3.0), 4) == 72.0
    grid = formula(np.ones((2, 1)), np.array([1.0, 2.0, 3.0]), 5)
    np.testing.assert_array_equal(grid, np.ones((2, 1)) * [5.0, 20.0, 45.0])
    assert Formula(sp.Integer(3) + 0 * g, (g,))(np.zeros(4)).shape == (4,)
    assert formula.lambdify("mpmath")(mpmath.mpf(2), mpmath.mpf(3), 4) == 72


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ((1.0, 0.1), r"takes \(g, h0, T\), got 2"),
        ((1j, 0.1, 5), "g has type complex"),
        ((1.0, np.nan, 5), "h0 contains NaN"),
        ((1.0, "x", 5), "h0 has type"),
        ((1.0, np.array([object()]), 5), "h0 = .* is not a real number"),
        ((1.0, 0.1, 0), "T = 0 must be an integer number of steps from 1"),
        ((1.0, 0.1, 2.5), "T = 2.5 must be"),
        ((1.0, 0.1, True), "T = True must be"),
        ((1.0, 0.1, 10**7), "from 1 to 1000000"),
    ],
)
def test_bad_arguments_are_named(arguments, match):
    with pytest.raises(ValueError, match=match):
        Formula(g * h0 * T, (g, h0, T))(*arguments)


def test_bad_requests_are_named():
    formula = Formula(g * T, (g, T))
    with pytest.raises(ValueError, match="backend 'torch' is not known; choose numpy, jax or mpmath"):
        formula.lambdify("torch")
    with pytest.raises(ValueError, match="language 'fortran' is not known"):
        formula.code("fortran")
    with pytest.raises(ValueError, match="is not an identifier"):
        formula.code("c", "a b")
    with pytest.raises(ValueError, match="symbol x is not one of g, T"):
        formula.diff("x")
    with pytest.raises(ValueError, match="T counts steps"):
        formula.diff("T")
    assert check_horizon(np.int64(5)) == check_horizon(5.0) == 5


def test_neglected_terms_of_opposite_sign_do_not_hide_the_error():
    x = sp.Symbol("x", real=True)
    from normalforms.formulas.program import Program

    guarded = Formula(x, (x,), Domain("|x| ≪ 1"), guard=Program((x,), (x, 5 * x**2, -5 * x**3)))
    with pytest.warns(DomainWarning):
        assert np.isnan(guarded(1.0))
    assert guarded(1e-3) == 1e-3


@pytest.mark.parametrize(
    ("name", "longest"),
    [("stability_flip", 350), ("pitchfork", 2300), ("period_doubling", 2300), ("transcritical", 8000)],
)
def test_latex_of_a_series_fits_on_a_page(name, longest):
    for order in range(2, 7):
        formula = law(name).series(order)
        text = formula.latex()
        assert len(text) < longest
        assert len(text) < 0.85 * len(sp.latex(formula.expr)) or len(text) < 350
        assert max(map(len, text.splitlines())) < 320
        assert text.count("{") == text.count("}")
        assert text.count(r"\begin{aligned}") == text.count(r"\end{aligned}") == 1


def read_back(text):
    """The value of an aligned environment: its rows as Python assignments, the last ones first."""
    rows = text.removeprefix("\\begin{aligned}\n").removesuffix("\n\\end{aligned}").split(" \\\\\n")
    rows = "\n".join(rows).replace("\n&\\quad ", " ").split("\n")
    return dict(row.split("&", 1) for row in rows)


@pytest.mark.parametrize("name", SERIES)
def test_abbreviations_mean_the_expression(name):
    from normalforms.formulas.typeset import _abbreviate, _by_power, _tidy

    expr = law(name).series(4).expr
    h = next(s for s in expr.free_symbols if s.name == "h0")
    head, lines = _by_power(_tidy(expr), h)
    short, names = _abbreviate([head, *(e for _, e in lines)])
    whole = short[0]
    for (symbol, _), value in zip(lines, short[1:], strict=True):
        whole = whole.subs({s: value for s in whole.free_symbols if sp.latex(s) == symbol})
    for symbol, value in reversed(names):
        whole = whole.subs(symbol, value)
    values = (7, sp.Rational(9, 8), sp.Rational(1, 9))
    at = dict(zip(sorted(expr.free_symbols, key=str), values, strict=True))
    assert sp.nsimplify(whole.subs(at)) == sp.nsimplify(expr.subs(at)) != 0


@pytest.mark.parametrize("name", ["stability_flip", "pitchfork", "transcritical", "period_doubling", "saddle_node"])
def test_latex_of_the_other_forms(name):
    the = law(name)
    uniform = the.uniform().latex()
    rows = read_back(uniform)
    assert r"\sum_{t=1}^{T} \left|{\frac{d}{d g} h_{t}}\right|^{2}" in rows["A "]
    assert set(rows) == {"A ", "h_{t} "}
    assert len(uniform) < 400
    assert len(the.scaling().latex()) < 900
    for regime in the.regimes().values():
        assert len(regime.latex()) < 400
    assert re.match(r"\$\\displaystyle .*\$$", the.uniform()._repr_latex_(), re.S)


def test_short_expressions_stay_plain():
    assert typeset(h0**2 * T**3 / 3) == r"\frac{T^{3} h_{0}^{2}}{3}"
    assert "aligned" not in law("pitchfork").exact(2, 4).latex()
    assert r"\left(- g\right)^{2 T}" not in law("period_doubling").series(2).latex()


def test_a_long_polynomial_is_broken_into_its_powers():
    text = law("pitchfork").exact(12, 6).latex()
    rows = read_back(text)
    assert set(rows) == {"", "A_{2} ", "A_{4} ", "A_{6} "}
    assert rows[""] == " A_{2} h_{0}^{2} + A_{4} h_{0}^{4} + A_{6} h_{0}^{6}"
