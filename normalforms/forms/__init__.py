"""The forms of an amplification law: iteration, series, uniform laws, limits, enclosures, averages."""

from normalforms.forms.iteration import Orbit, accompanied, amplify, gram, iterate, orbit_guard, orbit_program
from normalforms.forms.recursion import recursion

__all__ = ["Orbit", "accompanied", "amplify", "gram", "iterate", "orbit_guard", "orbit_program", "recursion"]
