"""Formulas from text: read exactly, and never run."""

import time

import pytest
import sympy as sp

from normalforms.maps.parser import MapSyntaxError, parse_expression

x, r = sp.symbols("x r")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("r*x*(1-x)", r * x * (1 - x)),
        ("0.5*x^2", x**2 / 2),
        ("-tanh(x)/3", -sp.tanh(x) / 3),
        ("2/3", sp.Rational(2, 3)),
    ],
)
def test_formulas_are_read_exactly(text, expected):
    assert parse_expression(text, [x, r]) == expected


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os')",
        "x.__class__",
        "9**9**9",
        "(1+x)**(10**9)",
        "lambda: 1",
        "[x for x in (1,)]",
        "x if x else 1",
        "y",
        "x**x",
        "1/0",
        "",
        "x;x",
        "1e999",
        "True",
        "'x'",
        "(" * 5000,
        "print(x)",
        "x**0.5j",
    ],
)
def test_anything_else_is_refused(text):
    with pytest.raises(MapSyntaxError):
        parse_expression(text, [x, r])


@pytest.mark.parametrize("name", ["max", "min", "Max", "Min"])
def test_the_largest_and_the_least_of_one_number_is_that_number(name):
    found = parse_expression(f"{name}(2/{'9' * 48}) - x", [x])
    assert sp.simplify(found - sp.Rational(2, int("9" * 48)) + x) == 0


def test_towers_of_powers_are_read_or_refused_at_once():
    tower = "(((((((((((r)^(1e-3))^(2))^(1e-3))^(1/3))^(10))^(1/3))^(10))^(10))^(2))^(x))^(0.5)"
    real = sp.symbols("x r", real=True)  # whose absolute values SymPy would work out, for seconds
    start = time.process_time()
    with pytest.raises(MapSyntaxError):
        parse_expression(tower, real)
    assert time.process_time() - start < 1
    assert parse_expression("(r^(1/3))^x", real).free_symbols == set(real)


def test_roots_of_high_order_are_taken_or_refused_at_once():
    """SymPy would factor numbers of thousands of digits, of primes raised to powers below the order."""
    start = time.process_time()
    assert parse_expression("1.05**0.123*2.4**0.123", []) == (
        sp.Rational(21, 20) ** sp.Rational(123, 1000) * sp.Rational(12, 5) ** sp.Rational(123, 1000)
    )
    for text in (
        "(253/17958946560414137288)**1e-3",
        "(7128088*x)**0.123",
        "sqrt(95181708717*x/949991391020051)**6.81",
    ):
        with pytest.raises(MapSyntaxError, match=r"a root of order \d+ of numbers of so many digits"):
            parse_expression(text, [x])
    assert time.process_time() - start < 1
