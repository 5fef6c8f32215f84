"""Whether the loss wants a crossing, and when it comes: slopes of the loss on the ways there.

With ψ the clock of a crossing, 1 at the crossing, and ``g = ∇_θ ψ``, descent moves ψ at the rate ``s(ψ) = −⟨∇L, g⟩``
times the learning rate. The same slope at the network displaced to other places of the clock,

    s(z) = −⟨∇L(θ + (z − ψ) g/‖g‖²), g⟩,

says what the loss will want there: ``s(1) > 0`` where the way leads through the bifurcation, ``s(1) < 0`` where the
teacher lies short of it. With the rate ψ̇ at which ψ grows now, and s exponential in between, the crossing is due in

    n = (1 − ψ)/ψ̇ · ln(κ)/(κ − 1),   κ = s(1)/s(ψ)

steps; a straight line through the past would say ``(1 − ψ)/ψ̇`` and know nothing of where the loss ends.

There are three ways. Two are along g, with the fixed point where it is and with the fixed point moving along with θ.
They are the same at the origin of a network without bias. The third is the one that training takes: the line θ̇ through
the networks of the last two looks, with ``−⟨∇L(θ + t θ̇), θ̇⟩`` for s, t the steps to the crossing on it. In a narrow
valley that bends, g leads up its wall long before the crossing, and the line does not.

The loss wants the crossing where both ways along g say so, or the line. What it wants there changes while all else is
trained: in a network that learns to forget it is less and less. So the slopes at the crossing, over that here, are
carried on as they changed since the last look, and must not turn within half of the steps to go.

Right before a crossing less is needed: what moves there goes through before the loss beyond can stop it. Where ψ is
there within two looks, the loss must fall along the line for half of what is left, and be lower at the crossing than
here (Simpson's rule on its slopes). Where it is not there within one, ψ must not slow down either.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from normalforms.report import brief
from rnn.approach.clocks import Clock
from rnn.approach.critical import modulus_at
from rnn.models import Model, partition

__all__ = ["Outlook", "View", "straight"]

_THROUGH = 0.05  # beyond the circle the loss must still push: a minimum at the bifurcation itself is not a crossing
_FURTHER = 1.1  # times the steps to the crossing, where the loss must still fall along the way that training takes
_ON = 0.5  # of the steps to the crossing, over which the slopes there are carried on
_SOON = 2.0  # looks to the crossing on a straight line: there the line of training decides


@brief
@dataclass(frozen=True)
class Outlook:
    """What one look says of one crossing.

    Attributes:
        clock: of that crossing.
        due: steps from that look to it; infinite where the loss does not want it.
        speed: of the clock since the last look, per step.
        slopes: ``s`` at the clock as it is, at 1 and beyond, with the point held and moving, (2, 3).
        imminent: it comes within two looks unless what moves now turns.
        line: ``s`` here, halfway, at the crossing and beyond on the line of the last two looks, (4,); ``None`` where it
            was not asked.
    """

    clock: Clock
    due: float
    speed: float
    slopes: np.ndarray
    imminent: bool = False
    line: np.ndarray | None = None


def straight(clock: Clock, speed: float) -> float:
    """Steps to the crossing of a clock at a speed."""
    return (1 - clock.value) / speed if speed > 0 and clock.value < 1 else math.inf


@dataclass(frozen=True)
class View:
    """The loss around a network, seen from a look.

    Args:
        loss: what training lowers, a function of the model.
        model, before: the network, and that of the last look, ``None`` at the first.
        span: steps between them.
        point: the fixed point, (state,).
        resolvent: ``(1 − D_hF)⁻¹`` there.
    """

    loss: Callable[[Any], Any]
    model: Model
    before: Model | None
    span: float
    point: Array
    resolvent: np.ndarray

    def outlook(self, clock: Clock, speed: float, *, ahead: float, last: Outlook | None = None) -> Outlook:
        """What the loss says of a crossing.

        Args:
            clock: of the crossing.
            speed: at which it has grown since the last look, per step.
            ahead: steps, on a straight line, within which the line through the last two looks is asked as well.
            last: what was said at the last look.
        """
        dtype = self.point.dtype
        marks = jnp.asarray([clock.value, 1.0, 1.0 + _THROUGH * clock.scale], dtype)
        resolvent = jnp.asarray(self.resolvent, dtype)
        slopes = _slopes(self.loss, self.model, self.point, resolvent, marks, clock.parts(dtype))
        table = np.asarray(slopes, np.float64)
        steps, line = straight(clock, speed), None
        due, now = steps * max(_bend(*row) for row in table), table
        wanted, near = due < math.inf, steps <= _SOON * self.span
        if self.before is not None and (near or (steps < ahead and not wanted)):
            line = self._line(steps)
        if line is not None and not wanted:
            due, now = steps * _bent(line), line
        if last is not None and (last.clock.kind, last.clock.alone) == (clock.kind, clock.alone):
            near = near and (steps <= self.span or speed >= last.speed)
            then = last.slopes if now is table else last.line
            if due < math.inf and then is not None and self._fades(due, now, then):
                due = math.inf
        imminent = near and line is not None and _lower(line)
        return Outlook(clock, min(due, steps) if imminent else due, speed, table, imminent, line)

    def _fades(self, due: float, now: np.ndarray, then: np.ndarray) -> bool:
        """Whether a slope at the crossing or beyond will have turned halfway to it, if it goes on as since then."""
        with np.errstate(divide="ignore", invalid="ignore"):
            new, old = (np.min(x[..., -2:], axis=-1) / np.abs(x[..., 0]) for x in (now, then))
        return bool(np.any(new + _ON * due * (new - old) / self.span < 0))

    def _line(self, steps: float) -> np.ndarray:
        """How fast the loss falls here, halfway, at the crossing and beyond on the line of the last two looks."""
        ahead = np.array([0.0, 0.5, 1.0, _FURTHER]) * steps
        span, ahead = (jnp.asarray(x, self.point.dtype) for x in (self.span, ahead))
        return np.asarray(_drift(self.loss, self.before, self.model, span, ahead), np.float64)


def _lower(line: np.ndarray) -> bool:
    """Whether the loss falls here and halfway to the crossing, and has fallen at the crossing."""
    here, half, there, _ = line
    return bool(here > 0 and half > 0 and here + 4 * half + there > 0)


def _bent(line: np.ndarray) -> float:
    """Steps to the crossing over those on a straight line, where the loss falls all the way there; at least 1."""
    here, half, there, beyond = line
    return max(_bend(here, half, beyond), _bend(here, there, beyond), 1.0)


def _bend(here: float, there: float, beyond: float) -> float:
    """Steps to the crossing over those on a straight line; infinite where the loss does not push on, or is NaN."""
    if not all(slope > 0 for slope in (here, there, beyond)):
        return math.inf
    ratio = there / here
    return math.log(ratio) / (ratio - 1) if abs(ratio - 1) > 1e-6 else 1.0


@eqx.filter_jit
def _slopes(
    loss: Callable[[Any], Any], model: Model, point: Array, resolvent: Array, marks: Array, parts: list[Array]
) -> Array:
    """``s`` at the marks, the first of which is the clock as it is, with the point held and moving, (2, marks).

    The gradient is that of :func:`rnn.approach.modulus_at`, linear in the Jacobian as every clock's is.
    """
    parameters, rest = partition(model)

    def along(moves: Array) -> Array:
        gradient = jax.grad(modulus_at)(parameters, rest, point, resolvent, parts, moves)
        square = sum(jnp.vdot(g, g) for g in jax.tree.leaves(gradient))

        def slope(at: Array) -> Array:
            moved = jax.tree.map(lambda p, g: p + (at - marks[0]) / square * g, parameters, gradient)
            return -jax.jvp(lambda p: loss(eqx.combine(p, rest)), (moved,), (gradient,))[1]

        return jax.lax.map(slope, marks)

    return jax.lax.map(along, jnp.arange(2, dtype=point.dtype))


@eqx.filter_jit
def _drift(loss: Callable[[Any], Any], before: Model, model: Model, span: Array, ahead: Array) -> Array:
    """How fast the loss falls on the line from the network before through ``model``, ``ahead`` steps on."""
    (past, _), (here, rest) = partition(before), partition(model)
    velocity = jax.tree.map(lambda new, old: (new - old) / span, here, past)

    def fall(steps: Array) -> Array:
        there = jax.tree.map(lambda p, v: p + steps * v, here, velocity)
        return -jax.jvp(lambda p: loss(eqx.combine(p, rest)), (there,), (velocity,))[1]

    return jax.lax.map(fall, ahead)
