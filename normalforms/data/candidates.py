"""What competes in a fit: laws by name or by map, and the classes of those that no amplification tells apart."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import sympy as sp

from normalforms.families import families
from normalforms.maps import Map

__all__ = ["Candidate", "candidates"]


@dataclass(frozen=True)
class Candidate:
    """A law that competes.

    Args:
        name: of the family, or of the user's map.
        law_class: laws of one class are one function and cannot be told apart.
        map: its map; the last parameter moves, further ones are constants to be fitted.
    """

    name: str
    law_class: str
    map: Map

    @cached_property
    def odd(self) -> bool:
        """Whether ``f(−h) = −f(h)`` at all parameters, so that only ``|h|`` counts."""
        m = self.map
        flipped = {x: -x for x in m.states}
        centred = not m.critical or all(m.critical[x] == 0 for x in m.states)
        return centred and all(sp.expand(f.xreplace(flipped) + f) == 0 for f in m.steps)

    @cached_property
    def exponents(self) -> tuple[float, float]:
        """p and q of the law's scaling variables ``Tᵖ (g − g_c)`` and ``T^q h``, from its lowest terms."""
        m = self.map
        if not m.critical:
            return 1.0, 0.5
        bent = any(self._acts(f.diff(x, y)) for f in m.steps for x in m.states for y in m.states)
        return self._power(m.parameters[-1], bent), (1.0 if bent else 0.5)

    @cached_property
    def further(self) -> tuple[float | None, ...]:
        """The same p of the constants that are fitted too; ``None`` where the map has no critical values."""
        m = self.map
        if not m.critical:
            return tuple(None for _ in m.parameters[:-1])
        bent = self.exponents[1] == 1
        return tuple(self._power(p, bent) if self._seen(p) else None for p in m.parameters[:-1])

    def _power(self, parameter: sp.Symbol, bent: bool) -> float:
        forced = any(self._acts(f.diff(parameter)) for f in self.map.steps)
        return (2.0 if bent else 1.5) if forced else 1.0

    def _seen(self, parameter: sp.Symbol) -> bool:
        """Whether the parameter is a force or turns the multiplier, and not the coefficient of a higher term."""
        m = self.map
        slopes = [f.diff(parameter) for f in m.steps]
        return any(self._acts(f) or any(self._acts(f.diff(x)) for x in m.states) for f in slopes)

    def _acts(self, e: sp.Expr) -> bool:
        m = self.map
        at = {s: m.critical[s] for s in (*m.states, *m.parameters)}
        return abs(complex(sp.N(e.subs(at)))) > 1e-12


def candidates(laws: Any) -> list[Candidate]:
    """The laws that compete: all families for ``None``, else those named or given as maps.

    Raises:
        ValueError: an unknown name, or none at all.
    """
    known = families()
    given = list(known) if laws is None else [laws] if isinstance(laws, (str, Map)) else list(laws)
    found = []
    for law in given:
        if isinstance(law, Map):
            name = law.name or str(law.step)
            found.append(Candidate(name, known[name].law_class if name in known else name, law))
        elif law in known:
            found.append(Candidate(law, known[law].law_class, known[law].map()))
        else:
            raise ValueError(f"laws names [{law!r}]; known are {', '.join(known)}, or give a Map")
    if not found:
        raise ValueError("laws is empty; name a family or give a Map")
    return found
