"""Golden tests of formulas, compared as mathematics, and exact coefficients found again from their values."""

from normalforms.testing.golden import GoldenMismatchError, assert_matches, differences, families, regenerate
from normalforms.testing.numbers import coefficient_values, graded_values
from normalforms.testing.rediscovery import Rediscovery, RediscoveryError, integer_relation, rational, rediscover

__all__ = [
    "GoldenMismatchError",
    "Rediscovery",
    "RediscoveryError",
    "assert_matches",
    "coefficient_values",
    "differences",
    "families",
    "graded_values",
    "integer_relation",
    "rational",
    "rediscover",
    "regenerate",
]
