"""Series coefficients found again, exactly, from sixty-digit values; and no false integers."""

import flint
import mpmath as mp
import numpy as np
import pytest
import sympy as sp
from sympy.printing.pycode import PythonCodePrinter

import normalforms as nf
from normalforms.formulas import symbols
from normalforms.testing import (
    RediscoveryError,
    coefficient_values,
    graded_values,
    integer_relation,
    rational,
    rediscover,
)

g, T = symbols("g T")
POINT = {"neimark_sacker": lambda: nf.neimark_sacker(0, sp.Rational(-1, 2) + sp.I * 3 / 10)}


def series(m, power):
    """``[h0^power]`` of the package's series."""
    formula = nf.amplification(m).series(power)
    h0 = next(s for s in formula.symbols if s.name == "h0")
    return sp.Add(*(term / h0**power for term in sp.Add.make_args(formula.expr) if term.as_powers_dict()[h0] == power))


def exponents(name, k):
    return (0, *range(2, k + 1)) if name == "transcritical" else tuple(range(0, k + 1, 2))


def again(name, power):
    m = POINT.get(name, getattr(nf, name))()
    values = coefficient_values(m, power)
    return m, rediscover(values, degree=lambda n: power * n, powers=2, exponents=exponents(name, power))


class Modular(PythonCodePrinter):
    """Code for numbers modulo a prime: quotients of integers are no floats."""

    def _print_Rational(self, expr):
        return f"(Z({expr.p}, P)/Z({expr.q}, P))"


def assert_same(one, other):
    """Equal modulo a prime of 61 bits at random parameters and all horizons up to twelve.

    The numerator of the difference has a degree of some thousands in g: it vanishes by chance once in 10¹⁵ times.
    """
    prime = 2**61 - 1
    names = {"Z": flint.nmod, "P": prime}
    sides = [sp.lambdify((g, T), e, [names], printer=Modular({"fully_qualified_modules": False})) for e in (one, other)]
    for x in np.random.default_rng(0).integers(2, prime, 2):
        for n in range(1, 13):
            a, b = (side(flint.nmod(int(x), prime), n) for side in sides)
            assert a == b


CASES = [("stability_flip", 2), ("pitchfork", 2), ("pitchfork", 4), ("period_doubling", 4), ("transcritical", 3)]
SLOW = [("pitchfork", 6), ("pitchfork", 8), ("period_doubling", 8), ("neimark_sacker", 8)]
SLOW += [("transcritical", k) for k in (5, 7, 9)]


@pytest.mark.parametrize(("name", "power"), [*CASES, *(pytest.param(*c, marks=pytest.mark.slow) for c in SLOW)])
def test_the_families_come_back_in_symbolic_g_and_horizon(name, power):
    m, found = again(name, power)
    assert_same(found.expr, series(m, power))
    assert found.checks > 20
    assert found.digits > 10


GRADES = {"saddle_node": {"h": 1, "g": 2}, "cusp": {"h": 1, "beta": 3, "g": 2}}
ENTRIES = [("saddle_node", (0, 0)), ("cusp", (0, 0)), ("cusp", (0, 1)), ("cusp", (1, 1))]


def joint(name, order, entry):
    """The package's series in h0 and the parameters less their critical values, by exponents."""
    m = getattr(nf, name)()
    formula = nf.amplification(m).series(order)
    expr = formula.expr[entry] if len(m.parameters) > 1 else formula.expr
    h0, shift = next(s for s in formula.symbols if s.name == "h0"), sp.Symbol("mu")
    return sp.Poly(sp.expand(expr.subs({g: 1 + shift})), h0, *m.parameters[:-1], shift).as_dict()


def graded_again(name, entry, powers):
    """The same coefficient from decimals; the state grows as ``T^w`` with a parameter of weight w."""
    m = getattr(nf, name)()
    weights = [GRADES[name][x] for x in ("h", *(p.name for p in m.parameters))]
    highest = sum(p * w for p, w in zip(powers, weights, strict=True)) + 4
    values = graded_values(m, GRADES[name], powers, entry)
    return rediscover(values, degree=lambda n: 0, powers=highest, exponents=(0,))


@pytest.mark.parametrize(("name", "entry"), ENTRIES)
def test_graded_coefficients_as_polynomials_in_the_horizon(name, entry):
    """``[h0^i β^k μ^j]`` through order seven: five at random; all of order nine in bench_rediscovery.py."""
    known = joint(name, 7, entry)
    order = np.random.default_rng(0).permutation(len(known))
    for k in order[:5]:
        powers = sorted(known)[k]
        assert sp.expand(graded_again(name, entry, powers).expr - known[powers]) == 0


def test_the_multiplier_may_be_another_function_of_the_parameter():
    m = nf.parse_map("(2*r-1)*x - x^3", state="x", parameter="r")
    found = rediscover(
        coefficient_values(m, 2), degree=lambda n: 2 * n, powers=2, exponents=(0, 2), multiplier=2 * g - 1
    )
    q = 2 * g - 1
    expected = [sum(4 * t**2 * q ** (2 * t - 2) for t in range(1, n + 1)) for n in (5, 11)]
    for n, value in zip((5, 11), expected, strict=True):
        assert sp.simplify(found.expr.subs(T, n) - value) == 0


def test_a_form_that_is_too_small_is_refused():
    with pytest.raises(RediscoveryError, match="allow more exponents"):
        rediscover(coefficient_values(nf.pitchfork(), 4), degree=lambda n: 4 * n, powers=2, exponents=(0, 2))
    with pytest.raises(RediscoveryError, match="beyond the degree"):
        rediscover(coefficient_values(nf.pitchfork(), 2), degree=lambda n: n, powers=2, exponents=(0, 2))
    with pytest.raises(RediscoveryError, match="no rational"):
        rediscover(lambda z, n: mp.pi * z, degree=lambda n: 1, powers=0, exponents=(0, 1))
    with pytest.raises(ValueError, match="one parameter"):
        coefficient_values(nf.cusp(), 2)
    with pytest.raises(ValueError, match="no fixed point"):
        coefficient_values(nf.saddle_node(), 2)


def test_values_that_are_slightly_wrong_are_refused():
    good = coefficient_values(nf.pitchfork(), 2)
    with pytest.raises(RediscoveryError):
        rediscover(lambda z, n: good(z, n) * (1 + mp.mpf("1e-30")), degree=lambda n: 2 * n, powers=2, exponents=(0, 2))


def test_no_false_rationals_in_a_thousand_trials():
    """Random sixty-digit numbers are no rationals, and no rational relations of three constants."""
    rng = np.random.default_rng(0)
    with mp.workdps(60):
        numbers = [
            mp.mpf("0." + "".join(map(str, rng.integers(0, 10, 60)))) * 10 ** int(k) for k in rng.integers(0, 9, 1000)
        ]
        assert [x for x in numbers if rational(x, 60, largest=10**20) is not None] == []
        constants = [mp.mpf(1), mp.pi**2, mp.zeta(3)]
        assert [x for x in numbers[:60] if integer_relation(x, constants, 60) is not None] == []


def test_true_rationals_and_relations_are_found():
    rng = np.random.default_rng(1)
    with mp.workdps(60):
        for _ in range(100):
            p, q = int(rng.integers(-(10**9), 10**9)), int(rng.integers(1, 10**5))
            found = rational(mp.mpf(p) / q, 60)
            assert (found.numerator * q, found.denominator > 0) == (p * found.denominator, True)
        value = mp.mpf(3) / 7 - 5 * mp.zeta(3) / 4
        assert list(map(str, integer_relation(value, [1, mp.pi**2, mp.zeta(3)], 60))) == ["3/7", "0", "-5/4"]
