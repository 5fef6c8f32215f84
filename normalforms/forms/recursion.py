"""Direct iteration as a formula: the map, and the recursion of its sensitivity."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import sympy as sp

from normalforms.forms.iteration import orbit_guard, orbit_program
from normalforms.formulas import Domain, Equations, Formula, Lazy
from normalforms.maps import Map

__all__ = ["Recursion", "recursion"]


@dataclass(frozen=True, eq=False)
class Recursion(Formula):
    """``A_T = Σ_{t=1}^T ‖s_t‖²``, ``h_{t+1} = f(h_t, g)``, ``s_{t+1} = f_h s_t + f_g``, ``s_0 = 0``.

    Args:
        map: the map.
    """

    map: Map | None = field(default=None, kw_only=True)

    def printed(self) -> Equations:
        """The sum, the map and the recursion of its sensitivity to each parameter, in plain text."""
        total = " + ".join(f"s{end}_t**2" for end in self._ends().values())
        head = f"sum({total}, t = 1..T)"
        if len(self._map.parameters) > 1:
            head = "largest eigenvalue of sum(s_t s_t', t = 1..T)"
        return (("A", head), *((f"{a}'", b) for a, b in self._rows()))

    def latex(self) -> str:
        """The same as LaTeX."""
        several = len(self._map.parameters) > 1
        head = r"\|\sum_{t=1}^{T} s_t s_t^\top\|_2" if several else r"\sum_{t=1}^{T} \|s_t\|^2"
        rows = [("A", head), *((f"{sp.latex(a)}'", sp.latex(b)) for a, b in self._rows())]
        return "\\begin{aligned}" + " \\\\ ".join(f"{name} &= {value}" for name, value in rows) + "\\end{aligned}"

    @property
    def _map(self) -> Map:
        assert self.map is not None
        return self.map

    def _ends(self) -> dict[tuple[sp.Symbol, sp.Symbol], str]:
        """What is appended to ``s`` for a state and a parameter, where there are several."""
        m = self._map
        several = len(m.states) > 1, len(m.parameters) > 1
        return {
            (x, g): (f"_{x}" if several[0] else "") + (f"_{g}" if several[1] else "")
            for x in m.states
            for g in m.parameters
        }

    def _rows(self) -> list[tuple[sp.Symbol, sp.Expr]]:
        m = self._map
        tangent = {pair: sp.Symbol(f"s{end}") for pair, end in self._ends().items()}
        steps = dict(zip(m.states, m.steps, strict=True))
        rows: list[Any] = list(steps.items())
        for (x, g), s in tangent.items():
            rows.append((s, steps[x].diff(g) + sp.Add(*(steps[x].diff(y) * tangent[y, g] for y in m.states))))
        return rows


def recursion(m: Map) -> Recursion:
    """Direct iteration of a map; with several parameters the number and the code are those of the first alone."""
    program = orbit_program(m)
    A = sp.Function("A")(*program.inputs)
    return Recursion(
        A,
        program.inputs,
        Domain("orbits that stay and do not amplify rounding beyond six digits", tolerance=1e-6),
        program=program,
        guard=Lazy(lambda: orbit_guard(m)),
        map=m,
    )
