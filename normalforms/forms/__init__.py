"""The forms of an amplification law: iteration, series, uniform laws, limits, enclosures, averages."""

from normalforms.forms.amplification import amplify, gram
from normalforms.forms.iteration import Orbit, accompanied, escape_radius, iterate, orbit_program
from normalforms.forms.recursion import recursion

__all__ = ["Orbit", "accompanied", "amplify", "escape_radius", "gram", "iterate", "orbit_program", "recursion"]
