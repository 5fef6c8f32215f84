"""The forms of an amplification law: iteration, series, uniform laws, limits, enclosures, averages."""

from normalforms.forms.iteration import Orbit, amplify, escape_radius, gram, iterate, orbit_program

__all__ = ["Orbit", "amplify", "escape_radius", "gram", "iterate", "orbit_program"]
