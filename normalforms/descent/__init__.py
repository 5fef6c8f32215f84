"""Gradient descent through a bifurcation: the student and teacher of one map, their limit, and deep linear networks."""

from normalforms.descent.deep_linear import deep_linear
from normalforms.descent.problem import learning

__all__ = ["deep_linear", "learning"]
