"""Gradient descent through a bifurcation: the student and teacher of one map, their limit, and deep linear networks."""

from normalforms.descent.deep_linear import Aligned, DeepLinear, deep_linear
from normalforms.descent.limit import LearningScaling, learning_scaling
from normalforms.descent.problem import Criticality, Learning, learning
from normalforms.descent.regimes import REGIMES, Descent, Diagram

__all__ = [
    "REGIMES",
    "Aligned",
    "Criticality",
    "DeepLinear",
    "Descent",
    "Diagram",
    "Learning",
    "LearningScaling",
    "deep_linear",
    "learning",
    "learning_scaling",
]
