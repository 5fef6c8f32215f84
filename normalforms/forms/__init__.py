"""The forms of an amplification law: iteration, series, uniform laws, limits, enclosures, averages."""

from normalforms.forms.amplification import amplify, gram
from normalforms.forms.fixed_point import moving_point
from normalforms.forms.iteration import Orbit, accompanied, escape_radius, iterate, orbit_program
from normalforms.forms.recursion import recursion

__all__ = [
    "Orbit",
    "accompanied",
    "amplify",
    "escape_radius",
    "gram",
    "iterate",
    "moving_point",
    "orbit_program",
    "recursion",
]
