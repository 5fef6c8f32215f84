"""Uniform laws: explicit orbits that hold through the bifurcation."""

from normalforms.forms.uniform.law import uniform_law

__all__ = ["uniform_law"]
