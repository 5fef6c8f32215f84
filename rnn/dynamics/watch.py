"""Bifurcations announced while a network trains: will the loss push a multiplier through the unit circle, and when?

A fixed point is followed from look to look. Every look asks the loss about the crossings ahead of it, as
:mod:`rnn.approach.outlook` says, with the clocks of :mod:`rnn.approach.clocks`. The speed of a clock is read off the
Jacobians of two looks, ``dψ`` of their difference, so that it is that of the same multipliers whatever their order.

That decides whether to warn. Far from a crossing the loss often wants it, and later does not: a network that learns to
forget wants a larger multiplier as long as the rest of it is not trained. So a warning waits for half of the way.

Where a crossing is near, its date is that of the law, :mod:`rnn.approach.law`, which visits three networks on the way;
the learning rate of any descent is read off the last two looks, ``η = ∫dρ/v`` over the steps between them. Where the
law does not hold the date is that of the outlook.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from normalforms.report import brief
from rnn.approach import Clock, Kind, Outlook, View, clocks_at, kind_of, law, resolvent_at, settle, straight
from rnn.dynamics.continuation import Follower
from rnn.kernel import subspace_step
from rnn.models import Model, ModelPath, flatten

__all__ = ["Notice", "Outlook", "Watch", "watch"]

_LOST = 1e-3  # residual beyond which Newton's method has not found the point
_LEAP = 0.25  # of the tangent's move that Newton may add to it, and
_STILL = 0.01  # of the state; beyond, the point is followed from network to network
_LOOKS = 2  # that must agree before a warning
_FROM = 0.75  # of the circle's radius, and
_PART = 0.55  # of its way there, from its lowest modulus, left of it: only then a multiplier is warned of
_NEARER = 0.25  # of the steps between them, by which the later one must see it nearer: dates that recede are none
_NEXT = 1.5  # looks, within which two that agree need not wait for that, but for
_SOONER = 0.7  # of the radius
_QUIET = 3  # that must foresee nothing before it is taken back
_NEAR = 2.0  # times ``ahead``: where the law is asked for the date, and within which a warning stands
_ASKED = 10.0  # times ``ahead``, on a straight line: beyond, the loss is not asked
_SHARE = 0.03  # of the steps to go, its error bar at least: the rate is read off two looks


@brief
@dataclass(frozen=True)
class Notice:
    """What a look at the network says.

    Attributes:
        kind: of the crossing: ``"steady"`` (+1: saddle-node, transcritical or pitchfork, which the multiplier alone
            cannot tell apart), ``"period_doubling"`` (−1) or ``"neimark_sacker"`` (a complex pair).
        steps: until it; 0 once it has happened.
        confirmed: the multiplier has passed the unit circle, or the followed point has met another and is gone.
        multiplier: the one on its way there, at the last look that foresaw it. A pair may be on its way to a steady
            bifurcation.
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
        h0, horizon, inputs: batch, T and inputs on which the kernel is taken.
        point: the followed fixed point, (state,).
        direction: leading parameter direction, (1, m): where the next power step starts.
        steps, multipliers, energies: of the looks so far: step, critical multiplier, Ritz value of ``JᵀJ``.
        outlooks: of the looks so far.
        lowest: the smallest modulus that the multiplier of a crossing of a kind had at a look so far.
        date: steps from the last look to the crossing by the law, and its error bar; ``nan`` where it was not asked or
            does not hold.
        lost: the point has left the reach of Newton's method.
        gone: it has met another in a fold, where both vanish.
        warned: a warning stands.
        ahead: how many steps ahead to warn.
        before: the network and its Jacobian at the point at the last look.
    """

    loss: Callable[[Any], Any]
    h0: Array
    horizon: int
    point: Array
    direction: Array
    steps: tuple[float, ...] = ()
    multipliers: tuple[complex, ...] = ()
    energies: tuple[float, ...] = ()
    outlooks: tuple[Outlook, ...] = ()
    lowest: dict[Kind, float] = field(default_factory=dict)
    lost: bool = False
    gone: bool = False
    warned: bool = False
    ahead: float = 200.0
    date: tuple[float, float] = (math.nan, math.nan)
    before: tuple[Model, np.ndarray] | None = None
    inputs: Array | None = None

    def look(self, model: Model, step: float, *, loss: Callable[[Any], Any] | None = None) -> Watch:
        """The watch after one look at ``model``: Newton, one Jacobian's eigenvectors, one kernel product, six slopes.

        Where a crossing comes near, four more slopes, three more networks' gradients and their eigenvectors. Where the
        point moves fast, it is followed on the straight line between the networks of the last two looks.

        Args:
            model: the network as it is.
            step: of training; increases from look to look.
            loss: what training lowers from now on, where that changes: with a readout that is trained beside the model
                ``task.with_readout(readout).loss``.

        Raises:
            ValueError: ``step`` does not increase.
        """
        if self.steps and not step > self.steps[-1]:
            raise ValueError(f"step must increase from look to look, got {step!r} after {self.steps[-1]!r}")
        here = self if loss is None else replace(self, loss=loss)
        place, jacobian, gone = here._followed(model)
        if jacobian is None:
            return replace(here, lost=True, gone=gone or here.gone, warned=False, before=None)
        point = jnp.asarray(place, self.point.dtype)
        values, direction = subspace_step(model, self.h0, self.horizon, self.direction, inputs=self.inputs)
        network, span, change = None, math.nan, np.full_like(jacobian, np.nan)
        if self.before is not None:
            network, span = self.before[0], float(step) - self.steps[-1]
            change = (jacobian - self.before[1]) / span
        clocks = clocks_at(jacobian)
        view = View(here.loss, model, network, span, point, resolvent_at(jacobian))
        outlook = here._outlook(view, [(c, c.moved(change)) for c in clocks])
        seen = replace(
            here,
            point=point,
            direction=direction,
            steps=(*self.steps, float(step)),
            multipliers=(*self.multipliers, max((c.multiplier for c in clocks), key=abs)),
            energies=(*self.energies, float(values[0])),
            outlooks=(*self.outlooks, outlook),
            lowest=self.lowest | {c.kind: min(abs(c.multiplier), self.lowest.get(c.kind, 1.0)) for c in clocks},
            lost=False,
            gone=False,
            date=(math.nan, math.nan),
            before=(model, jacobian),
        )
        seen = replace(seen, warned=seen._stands())
        near = abs(seen.multipliers[-1]) < 1 and seen.outlooks[-1].due < _NEAR * self.ahead
        return replace(seen, date=seen._dated(model)) if near else seen

    @property
    def growth(self) -> float:
        """σ_1² over its running minimum, the cold start's first looks left out; 1 before there are enough."""
        warm = self.energies[3:]
        return warm[-1] / min(warm) if warm and min(warm) > 0 else 1.0

    @property
    def notice(self) -> Notice | None:
        """The warning, or the confirmation; ``None`` while nothing is near.

        A warning needs two looks in a row at which a crossing of one kind is due within ``ahead`` steps, at the second
        sooner than at the first, or one look at which it is imminent. The multiplier must be beyond 0.75 and have come
        nearly half of the way to the unit circle from where it was lowest: before, networks that learn to forget look
        like those that learn to remember. Where two looks agree and it is due about the next, 0.7 is enough. The
        warning stands until three looks in a row foresee none within twice as many. The growth of the kernel is
        reported and does not gate.
        """
        if not self.multipliers:
            return None
        leading = self.multipliers[-1]
        if self.gone or abs(leading) >= 1:
            return Notice("steady" if self.gone else kind_of(leading), 0.0, True, leading, self.growth)
        if not self.warned:
            return None
        seen = [k for k, outlook in enumerate(self.outlooks) if outlook.due < _NEAR * self.ahead]
        kinds = [self.outlooks[k].clock.kind for k in seen]
        # two that agree: one look at which the loss does not want the crossing does not make it one of another kind
        sure = [self.outlooks[k].imminent for k in seen]
        last = next((seen[k] for k in range(len(seen) - 1, 0, -1) if sure[k] or kinds[k] == kinds[k - 1]), seen[-1])
        clock, (steps, error) = self.outlooks[last].clock, self.date
        if not steps < math.inf or last < len(self.outlooks) - 1:
            error = math.nan
            steps = max(self.outlooks[last].due - (self.steps[-1] - self.steps[last]), 0.0)
        return Notice(clock.kind, steps, False, clock.multiplier, self.growth, error)

    def _stands(self) -> bool:
        """Whether a warning stands after the last look."""
        due = [outlook.due for outlook in self.outlooks]
        last, left = self.outlooks[-1], 1 - abs(self.outlooks[-1].clock.multiplier)
        agree = len(due) >= _LOOKS and len({outlook.clock.kind for outlook in self.outlooks[-_LOOKS:]}) == 1
        agree = agree and max(due[-_LOOKS:]) <= self.ahead
        agree = agree and due[-2] - due[-1] >= _NEARER * (self.steps[-1] - self.steps[-2])
        come = left <= min(1 - _FROM, _PART * (1 - self.lowest[last.clock.kind]))
        if come and last.imminent and last.due <= self.ahead:
            return True
        if agree and (come or (left <= 1 - _SOONER and last.due <= _NEXT * (self.steps[-1] - self.steps[-2]))):
            return True
        return self.warned and min(due[-_QUIET:]) < _NEAR * self.ahead

    def _followed(self, model: Model) -> tuple[np.ndarray, np.ndarray | None, bool]:
        """The point in ``model``, the Jacobian there, ``None`` where it is lost, and whether it ended in a fold."""
        dtype, start = self.point.dtype, np.asarray(self.point, np.float64)
        place, jacobian, residual = settle(model, start, dtype)
        found = jacobian if residual < _LOST else None
        if self.before is None:
            return place, found, False
        network, slope = self.before
        if found is not None and _beyond(found) == _beyond(slope):
            gap = np.asarray(model(self.point), np.float64) - start
            move = resolvent_at(slope) @ gap
            allowed = _LEAP * np.linalg.norm(move) + _STILL * (1 + np.linalg.norm(start))
            if np.linalg.norm(place - start - move) <= allowed:
                return place, found, False
        with jax.enable_x64(True):
            follower = Follower(ModelPath.of([network, model]), 1e-12)
            begun = follower.place(0.0, start)
            if begun is None:
                return place, found, False
            end, reached = follower.follow(begun, 1.0)
            if not reached:
                return place, None, follower.fold(end, 1.0) is not None
        place, jacobian, residual = settle(model, end.point, dtype)
        return place, jacobian if residual < _LOST else None, False

    def _outlook(self, view: View, moving: list[tuple[Clock, float]]) -> Outlook:
        """Of the clocks, with their speeds, asked by the nearest crossing first, the first that the loss wants."""
        asked: list[Outlook] = []
        last = self.outlooks[-1] if view.before is not None else None
        for clock, speed in sorted(moving, key=lambda way: straight(*way)):
            # where a pair's first way is not wanted, its other is not either: it decides the kind alone
            if any(clock.multiplier == outlook.clock.multiplier for outlook in asked):
                continue
            if asked and straight(clock, speed) > _ASKED * self.ahead:
                break
            asked.append(view.outlook(clock, speed, ahead=self.ahead, last=last))
            if asked[-1].due < math.inf:
                return asked[-1]
        return asked[0]

    def _dated(self, model: Model) -> tuple[float, float]:
        """Date of the law and its error bar, where the clock is a modulus."""
        one, other = self.outlooks[-2:]
        if not (one.clock.alone and other.clock.alone and one.clock.kind == other.clock.kind):
            return math.nan, math.nan
        (before, after), first, last = self.steps[-2:], float(one.slopes[1, 0]), float(other.slopes[1, 0])
        found = law(self.loss, model, np.asarray(self.point))
        if not (found.open and first > 0 < last):
            return math.nan, math.nan
        gap, bend = other.clock.value - one.clock.value, math.log(last / first)
        # ∫dρ/v with v exponential between the looks; descent lags behind its flow by half the logarithm
        flow = gap * ((1 / first - 1 / last) / bend if abs(bend) > 1e-6 else 1 / last)
        rate = flow / (after - before - bend / 2)
        if not rate > 0:
            return math.nan, math.nan
        steps = found.steps(rate)
        return steps, max(_SHARE * steps, found.doubt(rate), 0.3)


def _beyond(jacobian: np.ndarray) -> int:
    """Sign of ``det(1 − D_hF)``: of another point than before, or of the same beyond a steady bifurcation, another."""
    return int(np.linalg.slogdet(np.eye(len(jacobian)) - jacobian)[0])


def watch(
    model: Model,
    h0: Float[Array, "batch state"],
    horizon: int,
    *,
    loss: Callable[[Any], Any],
    inputs: Float[Array, "batch horizon inputs"] | None = None,
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
        inputs: of a driven network, for the kernel alone: its growth is then that along the driven trajectories. The
            fixed point is that of the network at rest, whose input is zero.
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
    return Watch(loss, h0, horizon, start, direction, ahead=ahead, inputs=inputs)
