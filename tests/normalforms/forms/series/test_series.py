"""Series and exact polynomials of every family, as mathematics and against 60 digits; Padé approximants."""

import math
import os
import subprocess
import sys
import time
import warnings
from dataclasses import replace
from pathlib import Path

import mpmath as mp
import numpy as np
import pytest
import sympy as sp
from sympy.polys.domains import QQ

import normalforms as nf
from normalforms.exact.cyclotomic import Base, Fraction, exponents
from normalforms.exact.polynomials import poly, products
from normalforms.forms.series.expansion import local
from normalforms.forms.series.graded import exact_rows, graded, newton_rows
from normalforms.forms.series.koenigs import orbit_coefficients
from normalforms.forms.series.pade import assignments, determinants
from normalforms.formulas import symbols

x, r = sp.symbols("x r", real=True)

MAPS = {
    "stability_flip": nf.stability_flip(),
    "pitchfork": nf.pitchfork(),
    "subcritical": nf.Map(r * x + 2 * x**3, x, r, {x: 0, r: 1}),
    "transcritical": nf.transcritical(),
    "saddle_node": nf.saddle_node(),
    "period_doubling": nf.period_doubling(),
    "logistic": nf.Map(r * x * (1 - x), x, r, {x: "2/3", r: 3}),
    "quadratic": nf.Map(r - x**2, x, r, {x: "1/2", r: "3/4"}),
    "neimark_sacker": nf.neimark_sacker(1, sp.Rational(-1) + sp.I / 2),
    "real_neimark_sacker": nf.neimark_sacker(sp.pi / 3, -2),
    "cusp": nf.cusp(),
    "skew_fold": nf.Map(x + r - x**2 + x**3 / 2 + r * x, x, r, {x: 0, r: 0}),
    "exponential_fold": nf.Map(x + sp.exp(r) - 1 - x**2, x, r, {x: 0, r: 0}),
    "tanh": nf.Map(r * sp.tanh(x), x, r, {x: 0, r: 1}),
}
LAWS = {name: nf.amplification(m) for name, m in MAPS.items()}
CRITICAL = {"logistic": (3, 2 / 3), "quadratic": (0.75, 0.5), "skew_fold": (0, 0), "exponential_fold": (0, 0)}


def entries(law):
    """The formulas of a law, those on and above the diagonal of a matrix."""
    return [law] if isinstance(law, nf.Formula) else [law[0, 0], law[0, 1], law[1, 1]]


def arguments(name, offset, h0):
    """Parameters and initial state at an offset from the critical point."""
    g, h = CRITICAL.get(name, (1, 0))
    return ((offset / 3,) if name == "cusp" else ()) + (g + offset, h + h0)


def iterated(name, values, horizon):
    """``Σ ∂_p h_t ∂_q h_t`` of a scalar map by iteration in the arithmetic of ``values``, differentiated by SymPy."""
    m = MAPS[name]
    symbols = (*m.parameters, *m.states)
    pieces = [m.steps[0], m.steps[0].diff(m.states[0]), *(m.steps[0].diff(p) for p in m.parameters)]
    f, slope, *drives = (sp.lambdify(symbols, e, "mpmath") for e in pieces)
    *parameters, h = values
    s = [0 * h] * len(drives)
    total = [[0 * h] * len(drives) for _ in drives]
    for _ in range(horizon):
        here = (*parameters, h)
        s = [slope(*here) * v + drive(*here) for v, drive in zip(s, drives, strict=True)]
        h = f(*here)
        total = [[t + a * b for t, b in zip(row, s, strict=True)] for row, a in zip(total, s, strict=True)]
    return total


def rational(expr, at):
    """The exact value of a rational expression at rational numbers."""
    if expr.is_Symbol:
        return at[expr]
    if expr.is_Rational:
        return sp.QQ(int(expr.p), int(expr.q))
    values = [rational(a, at) for a in expr.args]
    if expr.is_Pow:
        assert values[1].denominator == 1
        return values[0] ** int(values[1])
    assert expr.is_Add or expr.is_Mul
    return sum(values[1:], values[0]) if expr.is_Add else math.prod(values[1:], start=values[0])


def somewhere(symbols, seed):
    """Rational numbers with nine random digits: a rational function that vanishes at two such points is zero, up to a
    chance of (degree/10⁹)² (Schwartz and Zippel)."""
    rng = np.random.default_rng(seed)
    return {s: sp.QQ(int(rng.integers(1, 10**9)), 10**9 + 7) for s in symbols}


@pytest.mark.parametrize("name", MAPS)
@pytest.mark.parametrize(("order", "horizons"), [(0, (1, 5)), (3, (1, 2, 3, 40)), (6, (1, 2, 4, 9, 25))])
def test_series_and_exact_are_one_function(name, order, horizons):
    series = LAWS[name].series(order)
    for horizon in horizons:
        exact = LAWS[name].exact(horizon, order)
        for a, b in zip(entries(series), entries(exact), strict=True):
            for seed in (1, 2):
                at = somewhere(b.symbols, seed)
                assert rational(a.expr, at | {a.symbols[-1]: sp.QQ(horizon)}) == rational(b.expr, at)


@pytest.mark.parametrize("name", ["stability_flip", "pitchfork", "transcritical", "saddle_node", "cusp", "logistic"])
@pytest.mark.parametrize("horizon", [1, 2, 3])
def test_the_whole_polynomial_is_the_iteration(name, horizon):
    whole = entries(LAWS[name].exact(horizon))
    for seed in (1, 2):
        at = somewhere(whole[0].symbols, seed)
        total = iterated(name, list(at.values()), horizon)
        size = range(len(MAPS[name].parameters))
        places = [(i, j) for i in size for j in size if i <= j]
        assert [rational(formula.expr, at) for formula in whole] == [total[i][j] for i, j in places]


def test_a_truncated_polynomial_is_the_whole_one_cut_by_weight():
    """Saddle-node: h0 has weight 1 and g − 1 weight 2."""
    h0, nu, eps = sp.symbols("h0 nu epsilon", real=True)
    g = sp.Symbol("g", real=True)

    def cut(expr):
        weighted = expr.subs(g, 1 + nu).subs({h0: eps * h0, nu: eps**2 * nu}, simultaneous=True)
        return sp.Poly(sp.expand(weighted), eps)

    whole, part = (cut(LAWS["saddle_node"].exact(4, order).expr) for order in (None, 5))
    assert sum(c * eps**k for (k,), c in whole.terms() if k <= 5) - part.as_expr() == 0


@pytest.mark.parametrize("name", MAPS)
@pytest.mark.parametrize("order", [4, 10])
def test_fifteen_digits_at_and_next_to_the_bifurcation(name, order):
    """Value and g-derivative to 1e-13 of the truncated law's own 60 digits, wherever the form claims validity."""
    for formula in entries(LAWS[name].series(order)):
        derivative = formula.diff(formula.symbols[-3])
        precise, precise_slope = formula.lambdify("mpmath"), derivative.lambdify("mpmath")
        horizons, turns = (1, 5, 30, 200), (0, 2) if order == 4 else (0,)
        for i, offset in enumerate((0, 1e-12, -1e-12, 1e-9, -1e-6, 1e-4, -1e-2, 0.02)):
            for j, h0 in enumerate((1e-2, -0.03, 0.1)):
                for horizon in (horizons[(i + j + k) % 4] for k in turns):  # every pair of two of the three occurs
                    values = arguments(name, offset, h0)
                    with warnings.catch_warnings(), mp.workdps(60):
                        warnings.simplefilter("ignore", nf.DomainWarning)
                        found = formula(*values, horizon), derivative(*values, horizon)
                        exact = [f(*map(mp.mpf, values), horizon) for f in (precise, precise_slope)]
                    if np.isfinite(found[0]):
                        assert abs(found[0] - exact[0]) <= 1e-13 * abs(exact[0])
                    if np.isfinite(found[1]):
                        assert abs(found[1] - exact[1]) <= 1e-13 * max(abs(exact[1]), abs(exact[0]))


@pytest.mark.parametrize("name", ["pitchfork", "transcritical", "saddle_node", "period_doubling", "cusp", "quadratic"])
@pytest.mark.parametrize("offset", [0, 1e-12, -1e-9, 1e-6])
def test_the_law_is_that_of_the_orbit(name, offset):
    """Where nothing of weight beyond the order counts, the series is ``A_T`` itself."""
    values = arguments(name, offset, 1e-4)
    with mp.workdps(60):
        true = iterated(name, [mp.mpf(v) for v in values], 20)
    order = 8 if name in ("pitchfork", "period_doubling") else 12
    formulas = entries(LAWS[name].series(order))
    places = [(0, 0)] if len(formulas) == 1 else [(0, 0), (0, 1), (1, 1)]
    for formula, place in zip(formulas, places, strict=True):
        assert abs(formula(*values, 20) - true[place[0]][place[1]]) <= 1e-13 * abs(true[place[0]][place[1]])


def test_the_expression_itself_is_the_series():
    """The symbolic form and the program are written by different code: compared with 60 digits, off g = 1."""
    for name, law in LAWS.items():
        for formula in entries(law.series(6)):
            values = [sp.Rational(v).limit_denominator(1000) for v in arguments(name, 0.03, 0.02)]
            named = dict(zip(formula.symbols, (*values, sp.Integer(7)), strict=True))
            with mp.workdps(60):
                program = formula.lambdify("mpmath")(*(mp.mpf(v.p) / v.q for v in values), 7)
                assert abs(formula.expr.subs(named).evalf(50) - sp.Float(program, 50)) < 1e-40 * abs(program), name


def test_neimark_sacker_counts_in_the_modulus_and_forgets_the_rotation():
    law, still = LAWS["neimark_sacker"], nf.amplification(nf.neimark_sacker(0, sp.Rational(-1) + sp.I / 2))
    assert law.series(8)(1.01, 0.005, 20) == pytest.approx(law(1.01, [0.003, 0.004], 20), rel=1e-9)
    assert sp.expand(law.exact(5, 8).expr - still.exact(5, 8).expr) == 0


def test_a_real_coefficient_gives_the_pitchfork():
    """Re d = −c, Im d = 0 is the pitchfork in √c |z_0|."""
    h0 = sp.Symbol("h0", real=True)
    scaled = LAWS["pitchfork"].exact(6, 8).expr.subs(h0, sp.sqrt(2) * h0) / 2
    assert sp.expand(LAWS["real_neimark_sacker"].exact(6, 8).expr - scaled) == 0


def test_period_doubling_is_the_pitchfork_and_transcritical_at_zero_state_is_nothing():
    assert LAWS["period_doubling"].exact(7, 10).expr == LAWS["pitchfork"].exact(7, 10).expr
    assert LAWS["transcritical"].series(6)(1.3, 0.0, 10) == 0.0


def test_the_cusp_at_beta_zero_holds_the_pitchfork_in_its_last_entry():
    beta = sp.Symbol("beta", real=True)
    g, h0 = sp.symbols("g h0", real=True)
    row = LAWS["cusp"].exact(3).expr[1, 1].subs(beta, 0)
    assert sp.expand(row - LAWS["pitchfork"].exact(3).expr.subs({g: g, h0: h0})) == 0


def test_the_norm_of_the_matrix_is_the_amplification():
    law = LAWS["cusp"]
    g = (np.array([[0.0], [1e-4]]), np.array([1.0, 0.999]))
    series = law.series(12)
    assert series.gram(g, 0.01, 10).shape == (2, 2, 2, 2)
    assert series(g, 0.01, 10) == pytest.approx(law(g, 0.01, 10), rel=1e-8)
    assert series.gram(g, 0.01, 10) == pytest.approx(law.gram(g, 0.01, 10), rel=1e-8)
    assert series.expr.shape == (2, 2)
    assert series.expr == series.expr.T


def test_coefficients_of_the_fold_have_one_sign():
    """What makes sums over binomials stable at any horizon: x = −k turns the map into one with positive terms."""
    (table,) = newton_rows(graded(nf.saddle_node()), 12, (0, 0))
    for (i, _, j), numbers in table.items():
        assert all(n * (-1) ** (i + j) >= 0 for n in numbers)


def test_degree_in_the_horizon_is_bounded_as_claimed():
    form = graded(MAPS["cusp"])
    for horizon in (60, 61):
        rows = exact_rows(form, horizon, 8, (0, 1))
        (table,) = newton_rows(form, 8, (0, 1))
        for (i, l, j), numbers in table.items():
            value = sum(
                sp.binomial(horizon, b) * sp.Rational(int(n.numerator), int(n.denominator))
                for b, n in enumerate(numbers)
            )
            coefficient = rows[i, l].coeffs()[j]
            assert value == sp.Rational(int(coefficient.numerator), int(coefficient.denominator))


def test_a_persistent_fixed_point_may_be_irrational():
    x, g = sp.symbols("x g", real=True)
    at = sp.sqrt(2)
    law = nf.amplification(nf.Map(sp.expand(at + g * (x - at) - (x - at) ** 3), x, g, {x: at, g: 1}))
    plain = nf.amplification(nf.pitchfork())
    assert law.series(4)(1.01, float(at) + 0.02, 20) == pytest.approx(plain.series(4)(1.01, 0.02, 20), rel=1e-12)


def test_a_fold_of_a_transcendental_map_is_not_solved_for_branches():
    """Two fixed points meet there, and none has a derivative in the parameter: SymPy looked for one for minutes."""
    fold = nf.parse_map(
        "x - 0.17084*(r - 1) - 0.16092*(exp(x) - 1 - x) + 0.0031498*(r - 1)*x^2 - 0.017685*x*sin(r - 1) + 0.00336*x^5",
        state="x",
        parameter="r",
    )
    start = time.process_time()
    assert local(replace(fold, critical={"r": 1, "x": 0})) is None
    assert time.process_time() - start < 2


def test_products_are_those_of_sympy():
    g, T = symbols("g T")
    sums = [1 + g, 2 - g, g**2 + 3, sp.Integer(1), sp.Integer(-2), g, 3 * g, g**2, sp.Rational(1, 2) + g]
    powers = [[(1 + g) ** -2, T], [(2 - g) ** (3 * T)], [g**-3, g ** (2 * T)], [g ** (2 * T), T**2, (g**2 + 3) ** -1]]
    rows = [[a, *row] for a in sums for row in powers] + [[1 + g, 2 - g], []]
    for made, row in zip(products(rows), rows, strict=True):
        assert sp.srepr(made) == sp.srepr(sp.Mul(*row))


def test_fractions_are_reduced_whatever_the_factors_are_worth_where_they_are_tested():
    base = Base(poly([0, 1]), poly([-1009, 1]))  # a factor that vanishes there
    for zero, one, extra in ((3, 2, 1), (0, 5, 2), (1, 0, 0)):
        num = base.factor(0) ** zero * base.factor(1) ** one * base.factor(-1) ** extra * poly([QQ(1, 3), 2])
        den = exponents({0: 2, 1: 4, -1: 1})
        made = Fraction(base, num, den).reduced()
        assert made.over(den) == num
        assert made.den == exponents({0: max(2 - zero, 0), 1: max(4 - one, 0), -1: max(1 - extra, 0)})


def test_orbit_coefficients_are_those_of_the_iterates():
    """Kœnigs: the coefficient of h0⁵ in h_3, from ``Σ_j r_j(g) g^{3j}``."""
    g, h = sp.symbols("g h", real=True)
    terms = orbit_coefficients(local(nf.pitchfork()), 5)[5]
    value = sum(sp.Mul(*f.factors(g)) * g ** (3 * j) for j, f in terms.items())
    state = h
    for _ in range(3):
        state = sp.expand(g * state - state**3)
    assert sp.cancel(value - state.coeff(h, 5)) == 0


# --- Padé -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("count", "value"), [(1, 1), (2, sp.Rational(2, 3)), (3, sp.Rational(7, 10)), (4, sp.Rational(9, 13))]
)
def test_pade_of_the_logarithm(count, value):
    """Terms of ln(1 + y)/y at y = 1: classical values of its continued fraction."""
    terms = [sp.Rational((-1) ** k, k + 1) for k in range(count)]
    assert determinants(terms).doit() == value
    symbols = sp.symbols(f"u0:{count}", real=True)
    steps, result = assignments(symbols)
    numbers = dict(zip(symbols, terms, strict=True))
    for symbol, expr in steps:
        numbers[symbol] = expr.xreplace(numbers).evalf(30)
    assert float(sp.sympify(result).xreplace(numbers)) == pytest.approx(float(value), rel=1e-12)


@pytest.mark.parametrize("name", ["pitchfork", "transcritical", "neimark_sacker", "saddle_node", "cusp", "logistic"])
def test_pade_is_the_quotient_of_determinants(name):
    values = arguments(name, 0.002, 0.02)
    formula = entries(LAWS[name].series(6, pade=True))[-1]
    named = dict(zip(formula.symbols, (*map(sp.Rational, values), sp.Integer(9)), strict=True))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", nf.DomainWarning)
        assert formula(*values, 9) == pytest.approx(float(formula.expr.subs(named).doit()), rel=1e-10)


def test_pade_reaches_beyond_the_circle_of_convergence():
    """T = 30, h0 = .05: past g ≈ 1.05 the series is worth nothing; the approximant is right to 1e-3 up to g = 1.1."""
    law = LAWS["pitchfork"]
    g = np.linspace(0.7, 1.1, 41)
    true = law(g, 0.05, 30)
    assert np.max(np.abs(law.series(26, pade=True)(g, 0.05, 30) / true - 1)) < 1e-3
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", nf.DomainWarning)
        assert np.isnan(law.series(26)(1.1, 0.05, 30))


@pytest.mark.parametrize("name", ["pitchfork", "period_doubling", "transcritical"])
@pytest.mark.parametrize("horizon", [5, 30, 100])
def test_pade_is_right_or_warns(name, horizon):
    """On g ∈ [.7, 1.3], |h0| ≤ .5: where nothing is said the error is below 3 %; a value without digits is nan."""
    law = LAWS[name]
    g, h0 = (
        np.linspace(0.7, 1.3, 61)[:, None],
        np.concatenate([-np.geomspace(1e-3, 0.3, 20), np.geomspace(1e-3, 0.5, 30)]),
    )
    true = law(g, h0, horizon)
    formula = law.series(10, pade=True)
    with np.errstate(all="ignore"):
        value, error = formula._measured([g, h0, horizon])
        quiet = (np.abs(error) <= formula.domain.tolerance * np.abs(value)) & np.isfinite(true)
        wrong = np.abs(value / true - 1)[quiet]
    assert np.max(wrong) < 0.03
    assert np.mean(quiet[np.isfinite(true)]) > 0.5


def test_pade_warns_where_it_is_worthless():
    with pytest.warns(nf.DomainWarning):
        assert np.isnan(LAWS["pitchfork"].series(10, pade=True)(1.2, 0.1, 30))


@pytest.mark.parametrize("name", ["pitchfork", "saddle_node", "logistic"])
@pytest.mark.parametrize("horizon", [1, 2, 50])
def test_pade_survives_degenerate_series(name, horizon):
    """Series that end (T = 1, 2), lack every other term (h0 = 0 in the fold) or are tiny."""
    formula = LAWS[name].series(10, pade=True)
    for h0 in (0.0, 1e-160, 1e-60, 1e-6):
        values = arguments(name, 0.0, h0)
        true = LAWS[name](*values, horizon)
        assert formula(*values, horizon) == pytest.approx(true, rel=1e-9, abs=1e-300)


# --- refusals ---------------------------------------------------------------------------------------------------

BAD = {
    "order = -1": lambda: LAWS["pitchfork"].series(-1),
    "order = 2.5": lambda: LAWS["pitchfork"].series(2.5),
    "order = True": lambda: LAWS["saddle_node"].series(True),
    "order = 1000": lambda: LAWS["pitchfork"].series(1000),
    "order = 81": lambda: LAWS["saddle_node"].series(81),
    "horizon = 0": lambda: LAWS["cusp"].exact(0, 4),
    "horizon = 1001": lambda: LAWS["pitchfork"].exact(1001, 4),
    "horizon = 2.5": lambda: LAWS["pitchfork"].exact(2.5, 4),
    "whole polynomial at horizon 30": lambda: LAWS["pitchfork"].exact(30),
    "whole polynomial at horizon 300": lambda: LAWS["saddle_node"].exact(300),
    "whole polynomial at horizon 9": lambda: LAWS["cusp"].exact(9),
    "would take hours": lambda: LAWS["pitchfork"].exact(1000, 100),
    "needs a polynomial map": lambda: LAWS["tanh"].exact(2),
    "not ±1": lambda: nf.amplification(nf.Map(r * x, x, r, {x: 0, r: 2})).series(2),
    "not a fixed point": lambda: nf.amplification(nf.Map(r * x, x, r, {x: 1, r: 2})).series(2),
    "not known": lambda: nf.amplification(nf.Map(r * x - x**7, x, r)).series(2),
    "reduce": lambda: nf.amplification(nf.Map((r * x, x), (x, sp.Symbol("y")), r, {x: 0, "y": 0, r: 1})).series(2),
    "complex": lambda: LAWS["pitchfork"].series(2)(1.0, 0.1j, 3),
    "NaN": lambda: LAWS["cusp"].series(2)((0.0, np.nan), 0.1, 3),
}


@pytest.mark.parametrize("message", BAD)
def test_refused_within_a_second(message):
    start = time.process_time()
    with pytest.raises(ValueError, match=message):
        BAD[message]()
    assert time.process_time() - start < 1


def test_irrational_constants_are_no_obstacle():
    """``r x − π x³`` is the pitchfork in ``√π x``; a fold about √2 is the one about 0, moved."""
    odd = nf.amplification(nf.Map(r * x - sp.pi * x**3, x, r, {x: 0, r: 1})).series(4)
    h0 = 0.01
    assert odd(1.01, h0, 20) == pytest.approx(
        LAWS["pitchfork"].series(4)(1.01, np.sqrt(np.pi) * h0, 20) / np.pi, rel=1e-12
    )
    root = sp.sqrt(2)
    fold = nf.amplification(nf.Map(x + r - (x - root) ** 2, x, r, {x: root, r: 0}))
    plain = nf.amplification(nf.Map(x + r - x**2, x, r, {x: 0, r: 0}))
    assert fold.series(6)(1e-4, float(root) + h0, 20) == pytest.approx(plain.series(6)(1e-4, h0, 20), rel=1e-9)


# --- without flint ----------------------------------------------------------------------------------------------

PURE = """
import sys
{before}
import sympy as sp
from sympy.external.gmpy import GROUND_TYPES
assert GROUND_TYPES != "flint"
import normalforms as nf
for m in (nf.pitchfork(), nf.transcritical(), nf.saddle_node(), nf.neimark_sacker(1, -1 + sp.I), nf.cusp()):
    law = nf.amplification(m)
    series, exact = law.series(4), law.exact(6, 4)
    a, b = (f if hasattr(f, "stable") else f[0, 1] for f in (series, exact))
    assert sp.cancel(sp.together(a.expr.subs(a.symbols[-1], 6) - b.expr)) == 0
    print(m.name, b.expr)
"""


def test_pure_python_ground_types_give_the_same_laws():
    outputs = []
    for before, ground in (("", "python"), ("sys.modules['flint'] = None", "auto")):
        environment = {**os.environ, "SYMPY_GROUND_TYPES": ground, "PYTHONPATH": str(Path(nf.__file__).parents[1])}
        code = PURE.format(before=before)
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False
        )
        assert done.returncode == 0, done.stderr
        outputs.append(done.stdout)
    here = "".join(f"{n} {LAWS[n].exact(6, 4).expr}\n" for n in ("pitchfork", "transcritical"))
    assert outputs[0] == outputs[1]
    assert outputs[0].startswith(here)
