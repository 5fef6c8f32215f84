"""Bifurcations announced while a network trains: will the loss push the critical multiplier through one, and when?

With ρ the largest modulus of the multipliers at a followed fixed point and ``g = ∇_θ ρ``, descent moves ρ at the rate
``s(ρ) = −⟨∇L, g⟩`` times the learning rate. The same slope at the network displaced to other moduli,

    s(z) = −⟨∇L(θ + (z − ρ) g/‖g‖²), g⟩,

says what the loss will want there: ``s(1) > 0`` where the way leads through the bifurcation, ``s(1) < 0`` where the
teacher lies short of it. With the rate ρ̇ at which ρ grows now, and s exponential in between, the crossing is due in

    n = (1 − ρ)/ρ̇ · ln(κ)/(κ − 1),   κ = s(1)/s(ρ)

steps; a straight line through the past would say ``(1 − ρ)/ρ̇`` and know nothing of where the loss ends.

There are two gradients g: with the fixed point where it is, and with the fixed point moving along with θ. They are the
same at the origin of a network without bias. Else the second alone sees a bias that drives the point into a fold, and
asks after networks far away where the point is near its fold and moves fast; the first does not. Either may warn.

That decides whether to warn. Where it is near, the date is that of the law, :mod:`rnn.approach.law`, which visits three
networks on the way; the learning rate of any descent is read off the last two looks, ``η = ∫dρ/v`` over the steps
between them. Where the law does not hold the date is n above.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from normalforms.report import brief
from rnn.approach import Kind, critical_at, kind_of, law, modulus_at, resolvent_at, settle
from rnn.kernel import subspace_step
from rnn.models import Model, flatten, partition

__all__ = ["Notice", "Watch", "watch"]

_LOST = 1e-3  # residual beyond which the point counts as lost
_THROUGH = 1.05  # the loss must still push there: a minimum at the bifurcation itself is not a crossing
_LOOKS = 2  # that must agree
_NEAR = 2.0  # times ``ahead``: where the law is asked for the date
_SHARE = 0.03  # of the steps to go, its error bar at least: the rate is read off two looks


@brief
@dataclass(frozen=True)
class Notice:
    """What a look at the network says.

    Attributes:
        kind: by the critical multiplier: ``"steady"`` (+1: saddle-node, transcritical or pitchfork, which the
            multiplier alone cannot tell apart), ``"period_doubling"`` (−1) or ``"neimark_sacker"`` (a complex pair).
        steps: until it; 0 once it has happened.
        confirmed: the multiplier has passed the unit circle, or the followed point, near criticality, is gone.
        multiplier: the critical one at the last look.
        growth: σ_1² of the state-space NTK over its running minimum.
        error: half-width of the error bar of ``steps``, for descent at a steady rate; ``nan`` where the law gives none.
    """

    kind: Kind
    steps: float
    confirmed: bool
    multiplier: complex
    growth: float
    error: float = math.nan


@brief
@dataclass(frozen=True)
class Watch:
    """A fixed point followed through training; made by :func:`watch`, moved on by :meth:`look`.

    Attributes:
        loss: what training lowers, a function of the model.
        h0, horizon: batch and T on which the kernel is taken.
        point: the followed fixed point, (state,).
        direction: leading parameter direction, (1, m): where the next power step starts.
        steps, multipliers, energies: of the looks so far: step, critical multiplier, Ritz value of ``JᵀJ``.
        slopes: of the looks so far, ``s`` at the modulus as it is, at 1 and at 1.05, with the point held and moving.
        date: steps from the last look to the crossing by the law, and its error bar; ``nan`` where it was not asked or
            does not hold.
        lost: the point has left the reach of Newton's method.
        ahead: how many steps ahead to warn.
    """

    loss: Callable[[Any], Any]
    h0: Array
    horizon: int
    point: Array
    direction: Array
    steps: tuple[float, ...] = ()
    multipliers: tuple[complex, ...] = ()
    energies: tuple[float, ...] = ()
    slopes: tuple[tuple[tuple[float, ...], ...], ...] = ()
    lost: bool = False
    ahead: float = 200.0
    date: tuple[float, float] = (math.nan, math.nan)

    def look(self, model: Model, step: float) -> Watch:
        """The watch after one look at ``model``: Newton, one Jacobian's eigenvectors, one kernel product, six slopes.

        Where a crossing comes near, three more networks' gradients and eigenvectors.

        Raises:
            ValueError: ``step`` does not increase.
        """
        if self.steps and not step > self.steps[-1]:
            raise ValueError(f"step must increase from look to look, got {step!r} after {self.steps[-1]!r}")
        dtype = self.point.dtype
        place, slope, residual = settle(model, np.asarray(self.point, np.float64), dtype)
        if not residual < _LOST:
            return replace(self, lost=True)
        critical = critical_at(slope)
        point, resolvent = jnp.asarray(place, dtype), jnp.asarray(resolvent_at(slope), dtype)
        values, direction = subspace_step(model, self.h0, self.horizon, self.direction)
        modulus = jnp.asarray(critical.modulus, dtype)
        slopes = _slopes(self.loss, model, point, resolvent, modulus, critical.parts(dtype))
        seen = replace(
            self,
            point=point,
            direction=direction,
            steps=(*self.steps, float(step)),
            multipliers=(*self.multipliers, critical.value),
            energies=(*self.energies, float(values[0])),
            slopes=(*self.slopes, tuple(tuple(row) for row in np.asarray(slopes, float).tolist())),
            lost=False,
            date=(math.nan, math.nan),
        )
        near = critical.modulus < 1 and seen._due(-1) < _NEAR * self.ahead
        return replace(seen, date=seen._dated(model)) if near else seen

    @property
    def growth(self) -> float:
        """σ_1² over its running minimum, the cold start's first looks left out; 1 before there are enough."""
        warm = self.energies[3:]
        return warm[-1] / min(warm) if warm and min(warm) > 0 else 1.0

    @property
    def notice(self) -> Notice | None:
        """The warning, or the confirmation; ``None`` while nothing is near.

        A warning needs two looks in a row at which the crossing is due within ``ahead`` steps. The growth of the
        kernel is reported and does not gate.
        """
        if not self.multipliers:
            return None
        critical = self.multipliers[-1]
        kind, radius = kind_of(critical), abs(critical)
        if radius >= 1 or (self.lost and radius > 0.9):
            return Notice(kind, 0.0, True, critical, self.growth)
        due = [self._due(look) for look in range(-_LOOKS, 0)]
        if self.lost or max(due) > self.ahead:
            return None
        steps, error = self.date
        return Notice(kind, steps if steps < math.inf else due[-1], False, critical, self.growth, error)

    def _dated(self, model: Model) -> tuple[float, float]:
        """Date of the law and its error bar."""
        (before, after), (first, last) = self.steps[-2:], (row[1][0] for row in self.slopes[-2:])
        found = law(self.loss, model, np.asarray(self.point))
        if not (found.open and first > 0 < last):
            return math.nan, math.nan
        gap, bend = abs(self.multipliers[-1]) - abs(self.multipliers[-2]), math.log(last / first)
        # ∫dρ/v with v exponential between the looks; descent lags behind its flow by half the logarithm
        flow = gap * ((1 / first - 1 / last) / bend if abs(bend) > 1e-6 else 1 / last)
        rate = flow / (after - before - bend / 2)
        if not rate > 0:
            return math.nan, math.nan
        steps = found.steps(rate)
        return steps, max(_SHARE * steps, found.doubt(rate), 0.3)

    def _due(self, look: int) -> float:
        """Steps from a look, counted from the last, to the crossing; infinite where none is foreseen."""
        if len(self.steps) < 1 - look:
            return math.inf
        radius, before = abs(self.multipliers[look]), abs(self.multipliers[look - 1])
        speed = (radius - before) / (self.steps[look] - self.steps[look - 1])

        def steps(here: float, there: float, beyond: float) -> float:
            if not all(x > 0 for x in (speed, here, there, beyond)):  # NaN foresees nothing either
                return math.inf
            ratio = there / here
            bend = math.log(ratio) / (ratio - 1) if abs(ratio - 1) > 1e-6 else 1.0
            return (1 - radius) / speed * bend

        return min(steps(*slopes) for slopes in self.slopes[look])


def watch(
    model: Model,
    h0: Float[Array, "batch state"],
    horizon: int,
    *,
    loss: Callable[[Any], Any],
    point: Float[Array, " state"] | None = None,
    ahead: float = 200.0,
) -> Watch:
    """Begin to watch a fixed point of a network in training; nothing is looked at yet.

    Args:
        model: the network as it is, for the shapes.
        h0: initial states of the kernel, shape (batch, state); a few dozen do.
        horizon: T, in steps.
        loss: what training lowers, a differentiable function of the model such as ``task.loss``. A look takes six
            slopes of it, about four training steps' work. Keep one function: each new one is compiled.
        point: near which fixed point to begin; the origin unless given.
        ahead: how many training steps ahead to warn.

    Raises:
        ValueError: ``loss`` is not callable, or ``ahead`` is not positive.
    """
    if not callable(loss):
        raise ValueError(f"loss must be a function of the model, got {loss!r}")
    if not ahead > 0:
        raise ValueError(f"ahead must be positive, got {ahead!r}")
    size, dtype = flatten(model).size, h0.dtype
    direction = jax.random.normal(jax.random.key(0), (1, size), dtype)
    start = jnp.zeros(h0.shape[1], dtype) if point is None else jnp.asarray(point, dtype)
    return Watch(loss, h0, horizon, start, direction, ahead=ahead)


@eqx.filter_jit
def _slopes(
    loss: Callable[[Any], Any], model: Model, point: Array, resolvent: Array, modulus: Array, parts: list[Array]
) -> Array:
    """``s`` at the modulus as it is, at 1 and at ``_THROUGH``, with the point held and moving, (2, 3).

    The gradient is that of :func:`rnn.approach.modulus_at`.
    """
    parameters, rest = partition(model)

    def along(moves: Array) -> Array:
        gradient = jax.grad(modulus_at)(parameters, rest, point, resolvent, parts, moves)
        square = sum(jnp.vdot(g, g) for g in jax.tree.leaves(gradient))

        def slope(at: Array) -> Array:
            moved = jax.tree.map(lambda p, g: p + (at - modulus) / square * g, parameters, gradient)
            return -jax.jvp(lambda p: loss(eqx.combine(p, rest)), (moved,), (gradient,))[1]

        return jax.lax.map(slope, jnp.stack([modulus, jnp.ones_like(modulus), jnp.full_like(modulus, _THROUGH)]))

    return jax.lax.map(along, jnp.arange(2, dtype=point.dtype))
