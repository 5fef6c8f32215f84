"""The critical multiplier of a fixed point, its eigenvectors, and how its modulus depends on the parameters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Array

__all__ = ["Critical", "Kind", "critical_at", "critical_of", "kind_of", "modulus_at", "resolvent_at"]

Kind = Literal["steady", "period_doubling", "neimark_sacker"]

_REAL = 1e-6  # imaginary part, relative to the modulus, up to which a multiplier is real


@dataclass(frozen=True)
class Critical:
    """The critical multiplier μ of a Jacobian, with its eigenvectors.

    Args:
        value: μ.
        left: the covector ``(μ̄/|μ|) p`` with ``p·q = 1``, so that ``|μ| = Re(left · J right)``.
        right: q, of unit length.
        next: modulus of the next multiplier, or conjugate pair.
    """

    value: complex
    left: np.ndarray
    right: np.ndarray
    next: float

    @property
    def modulus(self) -> float:
        """``|μ|``."""
        return abs(self.value)

    def overlap(self, outputs: int) -> float:
        """``|p_r·q_r|`` over the neurons that are read out: how much of the mode the loss sees; 0 for the bulk's."""
        return float(abs(self.left[:outputs] @ self.right[:outputs]))

    def parts(self, dtype: Any) -> list[Any]:
        """Real and imaginary parts of both vectors, for compiled code."""
        vectors = (self.left.real, self.left.imag, self.right.real, self.right.imag)
        return [np.asarray(part, dtype) for part in vectors]  # NumPy converts at a tenth of the time


def critical_at(jacobian: np.ndarray) -> Critical:
    """The multiplier of the largest modulus."""
    values, vectors = np.linalg.eig(jacobian)
    return critical_of(values, vectors, int(np.argmax(np.abs(values))))


def critical_of(values: np.ndarray, vectors: np.ndarray, k: int) -> Critical:
    """One of the multipliers that ``numpy.linalg.eig`` gives, as if it were the critical one."""
    mu = complex(values[k])
    right = vectors[:, k] / np.linalg.norm(vectors[:, k])
    left = _covector(vectors, k)
    phase = mu.conjugate() / abs(mu) if mu else 1.0
    others = np.delete(values, k)
    rest = sorted((abs(v) for v in others if abs(v - mu.conjugate()) > _REAL * abs(mu) or not mu.imag), reverse=True)
    with np.errstate(divide="ignore", invalid="ignore"):  # a defective multiplier has no gradient: its slopes are NaN
        return Critical(mu, phase * left / (left @ right), right, float(rest[0]) if rest else 0.0)


def _covector(vectors: np.ndarray, k: int) -> np.ndarray:
    """The row of the inverse that belongs to an eigenvector; NaN where the vectors do not span the space."""
    one = np.zeros(len(vectors))
    one[k] = 1
    try:
        return np.linalg.solve(vectors.T, one)
    except np.linalg.LinAlgError:
        return np.full(len(vectors), np.nan)


def resolvent_at(jacobian: np.ndarray) -> np.ndarray:
    """``(1 − D_hF)⁻¹``; at a multiplier of 1 itself, that of the other directions."""
    one = np.eye(len(jacobian))
    try:
        return np.linalg.inv(one - jacobian)
    except np.linalg.LinAlgError:
        return np.linalg.pinv(one - jacobian)


def kind_of(value: complex) -> Kind:
    """The kind of a crossing, by its multiplier."""
    if abs(value.imag) > _REAL * abs(value):
        return "neimark_sacker"
    return "steady" if value.real >= 0 else "period_doubling"


def modulus_at(parameters: Any, rest: Any, point: Array, resolvent: Array, parts: list[Array], moves: Any) -> Array:
    """``ρ = Re(left · D_hF(h*, θ) right)``, whose gradient in θ is that of the modulus with both vectors held.

    Args:
        parameters, rest: the model in two parts, as :func:`rnn.models.partition` makes them.
        point: h*.
        resolvent: of :func:`resolvent_at`, ``(1 − D_hF)⁻¹`` there.
        parts: of :meth:`Critical.parts`.
        moves: 1 where the fixed point moves with θ, by one Newton step; 0 where it is held.
    """
    u, v, a, b = parts
    moving = eqx.combine(parameters, rest)
    step = resolvent @ (moving(point) - point)
    _, push = jax.linearize(moving, point + moves * step)
    return u @ push(a) - v @ push(b)
