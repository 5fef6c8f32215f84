"""The forms of an amplification law: iteration, series, uniform laws, limits, enclosures, averages."""

from normalforms.forms.iteration import Orbit, accompanied, amplify, escape_radius, gram, iterate, orbit_program
from normalforms.forms.recursion import recursion
from normalforms.forms.untied import UntiedLaw, untied

__all__ = [
    "Orbit",
    "UntiedLaw",
    "accompanied",
    "amplify",
    "escape_radius",
    "gram",
    "iterate",
    "orbit_program",
    "recursion",
    "untied",
]
