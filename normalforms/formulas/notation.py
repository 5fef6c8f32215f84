"""`Notation`: how the arguments ``(g, h0, T)`` of a form are read, the same in every form."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from normalforms.formulas.checks import check_real

__all__ = ["Notation"]


@dataclass(frozen=True)
class Notation:
    """How parameters and initial states are given.

    Several parameters are one tuple, or one argument each. A planar state is a tuple of its components, which
    broadcast, or an array whose last axis runs over them; it is never read as a batch.

    Args:
        parameters: names of the parameters.
        dimension: components of a state.
        modulus: a plain number is a planar state too, its modulus: nothing depends on its direction.

    >>> Notation(("g",), 2, modulus=True).components(0.5)
    [array(0.5), array(0.)]
    """

    parameters: tuple[str, ...]
    dimension: int = 1
    modulus: bool = False

    def components(self, h0: Any) -> list[np.ndarray]:
        """The components of an initial state, float64 arrays that broadcast.

        Raises:
            ValueError: not real and finite, or of another dimension.
        """
        n = self.dimension
        if n == 1:
            return [check_real(h0, "h0")]
        if isinstance(h0, tuple):
            if len(h0) != n:
                raise ValueError(f"h0 has {len(h0)} components; this map's states have {n}")
            return [check_real(v, f"h0[{i}]") for i, v in enumerate(h0)]
        values = check_real(h0, "h0")
        if values.ndim == 0 and self.modulus:
            return [values, *(np.zeros(()) for _ in range(n - 1))]
        if values.ndim == 0 or values.shape[-1] != n:
            raise ValueError(
                f"h0 has shape {values.shape}; give a tuple of the map's {n} states, or an array with them as last axis"
            )
        return list(np.moveaxis(values, -1, 0))

    def state(self, h0: Any) -> np.ndarray:
        """An initial state with its components as last axis; for a scalar map as it is."""
        parts = self.components(h0)
        return parts[0] if self.dimension == 1 else np.stack(np.broadcast_arrays(*parts), axis=-1)

    def size(self, h0: Any) -> np.ndarray:
        """``|h0|``; of a scalar map ``h0`` itself, with its sign."""
        parts = self.components(h0)
        return parts[0] if self.dimension == 1 else np.sqrt(sum(p**2 for p in parts))

    def place(self, g: Any) -> tuple[Any, ...]:
        """The parameters as a tuple.

        Raises:
            ValueError: another number of them.
        """
        given = g if isinstance(g, tuple) else (g,)
        if len(given) != len(self.parameters):
            names = ", ".join(self.parameters)
            raise ValueError(
                f"g has {len(given)} components and the map the parameters ({names}); give a tuple of them"
            )
        return given

    def flat(self, arguments: tuple[Any, ...], states: int, clocks: int) -> list[Any]:
        """``(g, h0, T)`` as one value per symbol.

        Args:
            arguments: as they were given; components may also stand one by one.
            states: how many symbols the form has for the state: none, one (the state or its modulus) or all.
            clocks: how many for the horizon.

        Raises:
            ValueError: too many or too few arguments.
        """
        several = arguments[:1] if arguments and isinstance(arguments[0], tuple) else ()
        count = 1 if several else len(self.parameters)
        place = list(self.place(several[0] if several else tuple(arguments[:count])))
        rest = arguments[count:]
        if len(rest) == states + clocks and states > 1:
            rest = (tuple(rest[:states]), *rest[states:])
        if len(rest) != bool(states) + clocks:
            names = ", ".join((*self.parameters, *["h0"] * bool(states), *["horizon"] * clocks))
            raise ValueError(f"this form takes ({names}), got {len(arguments)} arguments; give one for each")
        state: list[Any] = []
        if states:
            state = [self.size(rest[0])] if states == 1 else self.components(rest[0])
        return [*place, *state, *rest[bool(states) :]]
