"""The normal form of a map at a bifurcation: the noun that reductions return."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import sympy as sp

from normalforms.reduction.coordinates import Coordinates

__all__ = ["Coefficients", "NormalForm"]


class Coefficients(Mapping[str, Any]):
    """An immutable mapping from coefficient name to number.

    >>> Coefficients(c3=-1)["c3"]
    -1
    """

    __slots__ = ("_values",)

    def __init__(self, **values: Any) -> None:
        object.__setattr__(self, "_values", dict(values))

    def __getitem__(self, name: str) -> Any:
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError("coefficients are immutable")

    def __reduce__(self) -> tuple[Any, ...]:
        return _coefficients, (self._values,)

    def __repr__(self) -> str:
        return "{" + ", ".join(f"{name!r}: {value}" for name, value in self.items()) + "}"


def _coefficients(values: Mapping[str, Any]) -> Coefficients:
    return Coefficients(**values)


@dataclass(frozen=True, eq=False)
class NormalForm:
    """A map near a fixed point, on the centre manifold of its one critical multiplier.

    With ``m`` the distance of the parameter from its critical value and factorials absorbed,

    - multiplier +1: ``u' = c0 m + (1 + dlambda m) u + c2 u² + c3 u³``, ``u = ⟨p, h − h*⟩``;
    - multiplier −1: ``u' = (−1 + dlambda m) u + c3 u³``, once the quadratic term ``c2 u²`` is removed;
    - ``e^{±iω}``: ``z' = (e^{iω} + dlambda m) z + e^{iω} d z|z|²``, ``h ≈ h* + z q + z̄ q̄``.

    Attributes:
        kind: "pitchfork", "transcritical", "saddle_node", "period_doubling", "neimark_sacker",
            "stability_flip" (the map is linear) or "degenerate".
        multiplier: the critical eigenvalue; of a pair, the one with positive imaginary part.
        critical_eigenvector: ``q``, with ``‖q‖ = 1`` and its largest component real and positive.
        adjoint_eigenvector: ``p``, with ``⟨p, q⟩ = Σ conj(p_i) q_i = 1``.
        coefficients: those above, where the kind has them; ``dlambda`` includes the motion of the fixed
            point where the point is isolated. Neimark–Sacker also has ``omega``, ``dmodulus = d|λ|/dm`` and
            ``domega``, and in the eigen-coordinate ``motion`` of the fixed point and ``mixing`` of the eigenvector:
            ``⟨p, h − h*⟩ = m motion + w + m mixing w̄`` with ``w`` that of ``m``. A transcritical point gives the
            branch that moves least.
        point: the fixed point, keyed by symbol; ``None`` for a reduced jet.
        detail: one sentence on why it is this kind; at a degenerate point, which coefficient vanishes.
        symmetric: the map is proven to commute with ``h − h* → −(h − h*)`` for every parameter value.
        exact: the numbers are exact.
        parameter: symbol of the unfolding parameter; ``None`` for a reduced jet.
        period: n of a cycle, whose form is that of ``f^n``.
        map: the map; ``None`` for a reduced jet.
        correction: how far Newton's method moved each number of the point that was given, keyed by symbol; ``None``
            where it was the bifurcation.

    Because ``‖q‖ = 1``, the planar family ``z' = e^{iω} z (g + d|z|²)`` with ``z = x + iy`` has a ``d`` here
    that is twice its own: the unit eigenvector is ``(1, −i)/√2``.
    """

    kind: str
    multiplier: Any
    critical_eigenvector: Any
    adjoint_eigenvector: Any
    coefficients: Coefficients
    detail: str
    point: Mapping[Any, Any] | None = None
    symmetric: bool = False
    exact: bool = True
    parameter: Any = None
    period: int = 1
    map: Any = None
    correction: Mapping[Any, float] | None = None

    @property
    def kept(self) -> tuple[sp.Symbol, ...]:
        """The parameters that stayed symbols."""
        found = {s for c in self.coefficients.values() if isinstance(c, sp.Basic) for s in c.free_symbols}
        if isinstance(self.point, sp.Dict):
            found |= {s for v in self.point.values() for s in v.free_symbols}
        return tuple(sorted(found, key=str))

    def at(self, **values: Any) -> NormalForm:
        """The form with numbers for the parameters that stayed symbols; its kind is that of the sample in `detail`.

        Raises:
            ValueError: another symbol.
        """
        names = {s.name: s for s in self.kept}
        unknown = set(values) - set(names)
        if unknown:
            raise ValueError(f"{sorted(unknown)[0]} is no symbol of this form; it has {', '.join(names) or 'none'}")
        swap = {
            names[k]: sp.nsimplify(v, rational=True) if isinstance(v, float) else sp.sympify(v)
            for k, v in values.items()
        }
        put = lambda e: e.xreplace(swap) if isinstance(e, sp.Basic) else e  # noqa: E731
        return replace(
            self,
            critical_eigenvector=put(self.critical_eigenvector),
            adjoint_eigenvector=put(self.adjoint_eigenvector),
            coefficients=Coefficients(**{k: put(c) for k, c in self.coefficients.items()}),
            point=put(self.point),
        )

    def coordinates(self, parameter: Any, state: Any) -> tuple[Any, Any]:
        """``(g, h0)`` of the law of this normal form at the map's own parameter and state.

        ``g`` is the multiplier of the fixed point ``h*`` that persists (with the sign, or the modulus, that makes it
        critical at 1), ``h0 = ⟨p, h − h*⟩``. A pair has ``h0 = (Re z, Im z)`` with
        ``z = ⟨p, h − h*⟩ + motion (g − 1)/dmodulus``, since its law keeps the axes where they are at the bifurcation.
        At a fold ``g = 1 − c0 c2 (r − r*)`` and ``h0 = ⟨p, h − h*⟩`` with the critical ``h*``.

        Args:
            parameter: value of the unfolding parameter, or an array.
            state: state of the map, or an array; in R^n a tuple, or an array with n as last axis.

        Raises:
            ValueError: a reduced jet, which has no map; a degenerate point; a fixed point that cannot be followed.

        >>> from normalforms import parse_map
        >>> from normalforms.reduction.reduce import reduce
        >>> form = reduce(parse_map("r*x*(1-x)", state="x", parameter="r"), at={"x": "2/3", "r": 3})
        >>> g, h0 = form.coordinates(3.02, 0.7)
        >>> round(g, 12), round(h0, 12)
        (1.02, 0.031125827815)
        """
        return self._frame().forward(parameter, state)

    def originals(self, g: Any, h0: Any) -> tuple[Any, Any]:
        """The map's own parameter and state at ``(g, h0)`` of the law: `coordinates` backwards, ``h = h* + h0 q``.

        Raises:
            ValueError: as `coordinates`.

        >>> from normalforms import parse_map
        >>> from normalforms.reduction.reduce import reduce
        >>> form = reduce(parse_map("x + r - x^2", state="x", parameter="r"), at={"x": 0, "r": 0})
        >>> form.originals(1.25, 0.1)
        (0.25, 0.1)
        """
        return self._frame().backward(g, h0)

    def _frame(self) -> Coordinates:
        if self.map is None:
            raise ValueError("a reduced jet has no map, and so no coordinates of its own; reduce a Map")
        if self.kind == "degenerate":
            raise ValueError(f"a degenerate point has no law and no coordinates: {self.detail}")
        q, p = (
            np.array(v.evalf(20) if isinstance(v, sp.MatrixBase) else v, dtype=complex).ravel() for v in self._vectors
        )
        return Coordinates(self.map, self.period, self.point or {}, self.parameter, self.kind, self.coefficients, q, p)

    @property
    def _vectors(self) -> tuple[Any, Any]:
        return self.critical_eigenvector, self.adjoint_eigenvector
