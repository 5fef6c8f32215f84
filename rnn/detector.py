"""Bifurcations announced while a network trains: the multipliers of a followed fixed point, extrapolated.

With ρ the largest modulus of the multipliers at the followed point, looked at now and then, the crossing ``ρ = 1`` is
extrapolated from a straight line through the last looks. Beside it stands σ_1² of the state-space NTK over its
running minimum, which the amplification law makes grow like ``Σ_t (t+1)² ρ^{2t}`` as the point loses stability.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from rnn.model import Model
from rnn.record import flatten
from rnn.spectrum import subspace_step

__all__ = ["Notice", "Watch", "watch"]

Kind = Literal["steady", "period_doubling", "neimark_sacker"]

_NEWTON = 8
_LOST = 1e-3  # residual beyond which the point counts as lost
_REAL = 1e-6  # imaginary part, relative to the modulus, up to which a multiplier is real


@dataclass(frozen=True)
class Notice:
    """What a look at the network says.

    Attributes:
        kind: by the critical multiplier: ``"steady"`` (+1: saddle-node, transcritical or pitchfork, which the
            multiplier alone cannot tell apart), ``"period_doubling"`` (−1) or ``"neimark_sacker"`` (a complex pair).
        steps: extrapolated steps until it; 0 once it has happened.
        confirmed: the multiplier has passed the unit circle, or the followed point, near criticality, is gone.
        multiplier: the critical one at the last look.
        growth: σ_1² of the state-space NTK over its running minimum.
    """

    kind: Kind
    steps: float
    confirmed: bool
    multiplier: complex
    growth: float


@dataclass(frozen=True)
class Watch:
    """A fixed point followed through training; made by :func:`watch`, moved on by :meth:`look`.

    Attributes:
        h0, horizon: batch and T on which the kernel is taken.
        point: the followed fixed point, (state,).
        direction: leading parameter direction, (1, m): where the next power step starts.
        steps, multipliers, energies: of the looks so far: step, critical multiplier, Ritz value of ``JᵀJ``.
        lost: the point has left the reach of Newton's method.
        ahead: how many steps ahead to warn.
        window: looks through which the line is drawn.
    """

    h0: Array
    horizon: int
    point: Array
    direction: Array
    steps: tuple[float, ...] = ()
    multipliers: tuple[complex, ...] = ()
    energies: tuple[float, ...] = ()
    lost: bool = False
    ahead: float = 400.0
    window: int = 5

    def look(self, model: Model, step: float) -> Watch:
        """The watch after one look at ``model``: Newton, one Jacobian's eigenvalues and one kernel product.

        Raises:
            ValueError: ``step`` does not increase.
        """
        if self.steps and not step > self.steps[-1]:
            raise ValueError(f"step must increase from look to look, got {step!r} after {self.steps[-1]!r}")
        point, jacobian, residual = _settle(model, self.point)
        if not float(residual) < _LOST:
            return replace(self, lost=True)
        multipliers = np.linalg.eigvals(np.asarray(jacobian, np.float64))
        critical = complex(multipliers[np.argmax(np.abs(multipliers))])
        values, direction = subspace_step(model, self.h0, self.horizon, self.direction)
        return replace(
            self,
            point=point,
            direction=direction,
            steps=(*self.steps, float(step)),
            multipliers=(*self.multipliers, critical),
            energies=(*self.energies, float(values[0])),
            lost=False,
        )

    @property
    def growth(self) -> float:
        """σ_1² over its running minimum, the cold start's first looks left out; 1 before there are enough."""
        warm = self.energies[3:]
        return warm[-1] / min(warm) if warm and min(warm) > 0 else 1.0

    @property
    def notice(self) -> Notice | None:
        """The warning, or the confirmation; ``None`` while nothing is near.

        A warning needs ρ to have grown through the last ``window`` looks and its line to meet 1 within ``ahead``
        steps. The growth of the kernel is reported and does not gate.
        """
        if not self.multipliers:
            return None
        critical, radius = self.multipliers[-1], np.abs(self.multipliers)
        kind = _kind(critical)
        if radius[-1] >= 1 or (self.lost and radius[-1] > 0.9):
            return Notice(kind, 0.0, True, critical, self.growth)
        if self.lost or len(radius) < self.window:
            return None
        slope = np.polyfit(self.steps[-self.window :], radius[-self.window :], 1)[0]
        rising = np.all(np.diff(radius[-self.window :]) > 0)
        if not rising or (1 - radius[-1]) > slope * self.ahead:
            return None
        return Notice(kind, float((1 - radius[-1]) / slope), False, critical, self.growth)


def watch(
    model: Model,
    h0: Float[Array, "batch state"],
    horizon: int,
    *,
    point: Float[Array, " state"] | None = None,
    ahead: float = 400.0,
    window: int = 5,
) -> Watch:
    """Begin to watch a fixed point of a network in training; nothing is looked at yet.

    Args:
        model: the network as it is, for the shapes.
        h0: initial states of the kernel, shape (batch, state); a few dozen do.
        horizon: T, in steps.
        point: near which fixed point to begin; the origin unless given.
        ahead: how many training steps ahead to warn.
        window: looks, at least 2, through which the line is drawn.

    Raises:
        ValueError: ``ahead`` is not positive, or ``window`` is not an integer of at least 2.
    """
    if not ahead > 0:
        raise ValueError(f"ahead must be positive, got {ahead!r}")
    if isinstance(window, bool) or not isinstance(window, int) or window < 2:
        raise ValueError(f"window must be an integer of at least 2, got {window!r}")
    size, dtype = flatten(model).size, h0.dtype
    direction = jax.random.normal(jax.random.key(0), (1, size), dtype)
    start = jnp.zeros(h0.shape[1], dtype) if point is None else jnp.asarray(point, dtype)
    return Watch(h0, horizon, start, direction, ahead=ahead, window=window)


def _kind(multiplier: complex) -> Kind:
    if abs(multiplier.imag) > _REAL * abs(multiplier):
        return "neimark_sacker"
    return "steady" if multiplier.real > 0 else "period_doubling"


def _settle(model: Model, point: Array) -> tuple[Array, Array, Array]:
    """Newton from ``point``: where it ends, the Jacobian there and the residual."""
    one = jnp.eye(point.shape[0], dtype=point.dtype)
    for _ in range(_NEWTON):
        miss = model(point) - point
        if float(jnp.linalg.norm(miss)) < 10 * float(jnp.finfo(point.dtype).eps):
            break
        point = point + jnp.linalg.solve(one - jax.jacfwd(model)(point), miss)
    return point, jax.jacfwd(model)(point), jnp.linalg.norm(model(point) - point)
