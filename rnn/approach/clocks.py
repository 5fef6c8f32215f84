"""What to count the way to a crossing by: a smooth function of the Jacobian that is 1 where the crossing is.

A lone multiplier μ is its own clock, its modulus. Two that are about to meet are not: where a pair becomes two real
ones, and back, their gradients run away. A function of both is smooth there. With M the Jacobian on their plane,

    1 − det(1 − M) = 1 − (1 − μ_1)(1 − μ_2)      is 1 at a steady bifurcation,
    1 − det(1 + M) = 1 − (1 + μ_1)(1 + μ_2)      is 1 at a period doubling.

A pair may thus be on its way to a steady bifurcation, and is asked about both that and ``|μ| = 1``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from rnn.approach.critical import Critical, Kind, critical_of, kind_of

__all__ = ["Clock", "clocks_at"]


@dataclass(frozen=True)
class Clock:
    """A way to one crossing.

    Args:
        kind: of the crossing.
        value: ψ; the crossing is at 1.
        scale: ``dψ/d|μ|`` at the crossing, about; 1 for a lone multiplier.
        left, right: ``dψ = Re(left_1 · dJ right_1 + left_2 · dJ right_2)``, two rows each, (2, state).
        multiplier: of the one or two that it is of, that of the larger modulus.
        alone: ψ is the modulus of ``multiplier``.
    """

    kind: Kind
    value: float
    scale: float
    left: np.ndarray
    right: np.ndarray
    multiplier: complex
    alone: bool

    def moved(self, change: np.ndarray) -> float:
        """``dψ`` for a change of the Jacobian, (state, state)."""
        return float(np.einsum("ki,ij,kj->", self.left, change, self.right))

    def parts(self, dtype: Any) -> list[Any]:
        """The vectors as :func:`rnn.approach.modulus_at` takes them, which subtracts the second product."""
        vectors = (self.left[0], -self.left[1], self.right[0], self.right[1])
        return [np.asarray(part, dtype) for part in vectors]


def clocks_at(jacobian: np.ndarray) -> list[Clock]:
    """The ways to a steady bifurcation, a period doubling and a Neimark–Sacker bifurcation that a Jacobian has.

    At least one of them; that of the multiplier of the largest modulus first.
    """
    values, vectors = np.linalg.eig(jacobian)
    leading = int(np.argmax(np.abs(values)))
    found = [_alone(values, vectors, leading)]
    for sign in (1.0, -1.0):
        near = int(np.argmin(np.abs(values - sign)))
        if values[near].real * sign <= 0:
            continue
        partner = _partner(values, near, sign)
        if partner is None and near != leading:
            found.append(_alone(values, vectors, near))
        elif partner is not None:
            together = _together(jacobian, values, vectors, (near, partner), sign)
            if not values[near].imag and leading in (near, partner):
                found[0] = together
            else:
                found.append(together)
    pairs = np.flatnonzero(values.imag > 0)
    if len(pairs):
        ring = int(pairs[np.argmax(np.abs(values[pairs]))])
        if not values[leading].imag:
            found.append(_alone(values, vectors, ring))
    return found


def _partner(values: np.ndarray, near: int, sign: float) -> int | None:
    """The multiplier that another, near ``sign``, is closer to than to the crossing: its conjugate, or a real one."""
    if values[near].imag:
        return int(np.argmin(np.abs(values - values[near].conjugate())))
    apart = np.where(values.imag == 0, np.abs(values - values[near]), np.inf)
    apart[near] = np.inf
    closest = int(np.argmin(apart))
    return closest if apart[closest] < abs(values[near] - sign) else None


def _alone(values: np.ndarray, vectors: np.ndarray, k: int) -> Clock:
    """The modulus of one multiplier, or of a pair."""
    found: Critical = critical_of(values, vectors, k)
    left, right = (np.stack([v.real, s * v.imag]) for v, s in ((found.left, -1), (found.right, 1)))
    return Clock(kind_of(found.value), found.modulus, 1.0, left, right, found.value, True)


def _together(
    jacobian: np.ndarray, values: np.ndarray, vectors: np.ndarray, both: tuple[int, int], sign: float
) -> Clock:
    """``1 − det(1 ∓ M)`` on the plane of two multipliers."""
    pair = values[both[0]].imag != 0
    columns = vectors[:, list(both)].T
    try:
        rows = np.linalg.inv(vectors)[list(both)]
    except np.linalg.LinAlgError:
        rows = np.full((2, len(values)), np.nan, complex)
    left, right = ((np.stack([x[0].real, x[0].imag]) if pair else x.real) for x in (rows, columns))
    with np.errstate(divide="ignore", invalid="ignore"):
        right = np.linalg.qr(right.T)[0].T
        left = _solved(left @ right.T, left)
        block = left @ jacobian @ right.T
        gap = np.eye(2) - sign * block
        value = 1 - float(np.linalg.det(gap))
        adjugate = np.array([[gap[1, 1], -gap[0, 1]], [-gap[1, 0], gap[0, 0]]])
    kind: Kind = "steady" if sign > 0 else "period_doubling"
    far = float(np.abs(values[both[1]] - sign))
    return Clock(kind, value, far, sign * adjugate @ left, right, complex(max(values[list(both)], key=abs)), False)


def _solved(matrix: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """``matrix⁻¹ rows``; NaN where it is singular, as where two multipliers are one and defective."""
    try:
        return np.linalg.solve(matrix, rows)
    except np.linalg.LinAlgError:
        return np.full_like(rows, np.nan)
