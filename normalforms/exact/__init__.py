"""Exact arithmetic that knows no law: polynomials, power series, fractions, Taylor coefficients, special functions."""

from normalforms.exact.cyclotomic import Base, Den, Fraction, combined, divisors, exponents, q_exponents, total
from normalforms.exact.linear import DenseAlgebra, ExactAlgebra, is_zero, tidy
from normalforms.exact.polynomials import Poly, from_expr, poly, products, to_expr, truncated
from normalforms.exact.power_series import (
    Table,
    at,
    drop,
    logarithm,
    over_root,
    quotient,
    raised,
    root,
    shortened,
    times,
)
from normalforms.exact.special import CLIFFORD_LIMIT, Clifford, ExpMoment, clifford, expmoment, moment_terms
from normalforms.exact.taylor import BorderError, Series, is_odd, rounded, taylor

__all__ = [
    "CLIFFORD_LIMIT",
    "Base",
    "BorderError",
    "Clifford",
    "Den",
    "DenseAlgebra",
    "ExactAlgebra",
    "ExpMoment",
    "Fraction",
    "Poly",
    "Series",
    "Table",
    "at",
    "clifford",
    "combined",
    "divisors",
    "drop",
    "expmoment",
    "exponents",
    "from_expr",
    "is_odd",
    "is_zero",
    "logarithm",
    "moment_terms",
    "over_root",
    "poly",
    "products",
    "q_exponents",
    "quotient",
    "raised",
    "root",
    "rounded",
    "shortened",
    "taylor",
    "tidy",
    "times",
    "to_expr",
    "total",
    "truncated",
]
