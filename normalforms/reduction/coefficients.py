"""The coefficient formulas of a normal form, written once.

They use nothing but ``+``, ``*`` and the verbs of `normalforms.exact.linear`, so the same lines reduce a SymPy map
exactly and a network of NumPy or JAX arrays.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from normalforms.reduction.jet import Jet

__all__ = ["Frame"]


@dataclass(frozen=True)
class Frame:
    """A jet seen along its critical direction; the one place where the coefficients are computed.

    ``q`` may have any ``length``, so that exact vectors stay free of roots; what leaves is for ``‖q‖ = 1``.
    """

    jet: Jet
    algebra: Any
    multiplier: Any
    q: Any
    p: Any
    length: Any

    @property
    def sign(self) -> int:
        """+1 or −1 where the critical multiplier is real, 0 for a pair."""
        value = complex(self.multiplier)
        return 0 if value.imag else round(value.real)

    def along(self, vector: Any, power: int) -> Any:
        """``⟨p, vector⟩`` of a term with ``power`` factors of ``q``, for the unit eigenvector."""
        value = self.algebra.inner(self.p, vector)
        return value if self.length == 1 else self.algebra.tidy(value * self.length ** (1 - power))

    def size(self, vector: Any, power: int) -> float:
        """The scale of the rounding error of `along`."""
        return self.algebra.size(self.p, vector) * float(self.length) ** (1 - power)

    def off(self, rhs: Any) -> Any:
        """``(I − A)^{-1} rhs``, off the critical direction where the multiplier is 1."""
        border = (self.q, self.p) if self.sign == 1 else None
        return self.algebra.solve(1, rhs, border)

    def force(self) -> tuple[Any, float]:
        """``c0 = ⟨p, f_μ⟩`` and the size of its terms."""
        return self.along(self.jet.parameter, 0), self.size(self.jet.parameter, 0)

    def quadratic(self) -> tuple[Any, float]:
        """``c2 = ½⟨p, B(q,q)⟩`` and the size of its terms."""
        bent = self.jet.second(self.q, self.q)
        return self.along(bent, 2) / 2, self.size(bent, 2) / 2

    def cubic(self) -> tuple[Any, float]:
        """``c3 = ⅙⟨p, C(q,q,q) + 3B(q, (I−A)^{-1}B(q,q))⟩`` and the size of its terms.

        At multiplier −1 this is the cubic coefficient left once the quadratic term is removed.
        """
        q, second = self.q, self.jet.second
        direct, slaved = self.jet.third(q, q, q), 3 * second(q, self.off(second(q, q)))
        return self.along(direct + slaved, 3) / 6, (self.size(direct, 3) + self.size(slaved, 3)) / 6

    def rotation(self) -> tuple[Any, float]:
        """``d = ½e^{−iω}⟨p, C(q,q,q̄) + 2B(q,(I−A)^{-1}B(q,q̄)) + B(q̄,(e^{2iω}−A)^{-1}B(q,q))⟩`` and its size."""
        q, second, solve = self.q, self.jet.second, self.algebra.solve
        bar = self.algebra.conjugate(q)
        terms = (
            self.jet.third(q, q, bar),
            2 * second(q, self.off(second(q, bar))),
            second(bar, solve(self.algebra.tidy(self.multiplier**2), second(q, q))),
        )
        total = self.along(terms[0] + terms[1] + terms[2], 3)
        return self.algebra.tidy(total / self.multiplier) / 2, sum(self.size(t, 3) for t in terms) / 2

    def unfolding(self) -> tuple[Any, float]:
        """``dλ/dμ = ⟨p, A_μ q + B(q, h*_μ)⟩``, ``h*_μ = (I−A)^{-1} f_μ``, and the size of its terms."""
        direct, moved = self.jet.mixed(self.q), self.jet.second(self.q, self.off(self.jet.parameter))
        return self.along(direct + moved, 1), self.size(direct, 1) + self.size(moved, 1)

    def motion(self) -> Any:
        """``⟨p, h*_μ⟩``, ``h*_μ = (I−A)^{-1} f_μ``: how the fixed point moves within the critical directions."""
        return self.along(self.off(self.jet.parameter), 0)

    def mixing(self) -> Any:
        """``k̄ = ⟨p̄, A' q⟩/(λ − λ̄)``, ``A' = A_μ + B(h*_μ, ·)``: how the eigenvector of a pair turns within its plane.

        The point ``h* + m h*_μ + 2 Re (q + m k̄ q̄) w`` has the coordinate ``m motion + w + m k w̄`` along ``q``.
        """
        turned = self.jet.mixed(self.q) + self.jet.second(self.q, self.off(self.jet.parameter))
        bar = self.algebra.conjugate
        along = self.algebra.inner(bar(self.p), turned)
        gap = self.multiplier - self.multiplier.conjugate()
        return self.algebra.tidy((along / gap).conjugate())

    def drift(self) -> Any:
        """``½⟨p, f_μμ + 2A_μ h*_μ + B(h*_μ, h*_μ)⟩``: the constant term at second order in the parameter."""
        moved = self.off(self.jet.parameter)
        bent = 2 * self.jet.mixed(moved) + self.jet.second(moved, moved)
        curvature = -bent if self.jet.curvature is None else self.jet.curvature
        return self.along(curvature + bent, 0) / 2
