"""Golden tests of formulas, compared as mathematics."""

from normalforms.testing.golden import GoldenMismatchError, assert_matches, differences, families, regenerate

__all__ = ["GoldenMismatchError", "assert_matches", "differences", "families", "regenerate"]
