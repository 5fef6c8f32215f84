"""The normal form of a map at a bifurcation: the noun that reductions return."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

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
            ``domega``. A transcritical point gives the branch that moves least.
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
