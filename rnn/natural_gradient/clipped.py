"""Smooth mode: a gradient step whose sharp directions are shortened instead of overshot.

Gradient descent with rate η is stable along an eigenvector of the curvature with eigenvalue λ while ``η λ < 2``. Near
a bifurcation one eigenvalue of the Fisher matrix F grows like a power of the horizon, and the loss jumps. With the
leading eigenpairs ``(λ_i, V_i)`` of F the step here is

    u = G − Σ_i (1 − min(1, τ/(η λ_i))) ⟨V_i, G⟩ V_i,      θ ← θ − η u,

so that ``η λ_i`` acts as no more than τ and every other direction moves as in plain descent.

What a step d did is read off the next gradient. With G before and G' after it,

    q = ⟨d, G' − G⟩ / (−⟨d, G⟩)

is 0 where the loss is straight along d, 1 where d ends at the minimum along it, 2 where a parabola has risen back to
where d began. Large \\|q\\| says that the subspace is stale.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from rnn.kernel import Subspace, aim, follow, learn, random_subspace
from rnn.natural_gradient.flat import Curvature

__all__ = ["LowRankState", "begin_clipped", "clipped_step"]

_SHARE = 0.3  # of the newest product in the running average
_START_ROUNDS = 6  # rounds of power steps that forget what was before them
_ALARM = 0.1  # |q| beyond which the subspace has missed something
_LEAK = (0.05, 0.2)  # below: rounds half as often; above: twice as often
_LONGEST = 100  # updates between rounds
_LEAP = 4.0  # how far a curvature learnt from a pair may exceed the largest that a product has seen
_RISEN = 3.0  # q beyond which a step is taken back, if the gradient has grown too: clear of 2, where the loss rises
_GROWTH, _LEAST = 1.5, 2.0**-20  # of the trust: how fast it recovers, and its floor
_FORGET = 0.02  # of the lowest loss, per update: on minibatches a lucky one is not held against the others for long
_SAME = 1e-3  # relative difference of two losses at the same parameters that is no change of the targets
_PATIENCE = 2  # times that a step is taken back in a row; then its start is looked at anew


class LowRankState(NamedTuple):
    """State of smooth mode: arrays only, (rank + 2) × parameters and some numbers.

    Attributes:
        count: updates so far.
        space: the subspace, flat over the inexact leaves in the order of ``jax.tree.leaves``.
        interval: E, updates from the beginning of one round to the next.
        waited: updates since the last round began.
        trust: factor on the whole step, in (0, 1].
        rate: η of the last step, the factor included.
        clipped: how many modes the last step shortened.
        rejected: updates that took the last one back.
        overshoot: \\|q\\| of the last displacement.
        value: loss at the last accepted parameters; 0 where none is passed.
        lowest: the least loss accepted, forgotten by 2 % of itself per update; 0 where none is passed.
        parameters, gradient: those parameters and their gradient, flat.
        failed: updates in a row that took the last one back.
    """

    count: Int[Array, ""]
    space: Subspace
    interval: Int[Array, ""]
    waited: Int[Array, ""]
    trust: Float[Array, ""]
    rate: Float[Array, ""]
    clipped: Int[Array, ""]
    rejected: Int[Array, ""]
    overshoot: Float[Array, ""]
    value: Float[Array, ""]
    lowest: Float[Array, ""]
    parameters: Float[Array, " m"]
    gradient: Float[Array, " m"]
    failed: Int[Array, ""]


def begin_clipped(theta: Float[Array, " m"], rank: int) -> LowRankState:
    """The state before the first update."""

    def number(value: float = 0) -> Array:
        return jnp.full((), value, theta.dtype)

    def count(value: int = 0) -> Array:
        return jnp.full((), value, jnp.int32)

    # no array twice, nor one of params: a step may be given parameters and state to overwrite
    return LowRankState(
        count=count(),
        space=random_subspace(rank, theta.size, theta.dtype),
        interval=count(1),
        waited=count(),
        trust=number(1),
        rate=number(),
        clipped=count(),
        rejected=count(),
        overshoot=number(),
        value=number(),
        lowest=number(),
        parameters=jnp.array(theta),
        gradient=jnp.zeros_like(theta),
        failed=count(),
    )


def clipped_step(
    state: LowRankState,
    theta: Float[Array, " m"],
    gradient: Float[Array, " m"],
    loss: Float[Array, ""] | None,
    rate: Float[Array, ""],
    curvature: Curvature,
    threshold: float,
) -> tuple[LowRankState, Float[Array, " m"]]:
    """The state after an update, and the update of the parameters ``theta``."""
    moved, change = theta - state.parameters, gradient - state.gradient
    state, good = _judge(state, theta, gradient, loss)
    state = _refreshed(state, curvature, (moved, change), rate, ~good, threshold)
    state, step = _step(state, rate, threshold)
    return state, (state.parameters - theta) - step


def _judge(
    state: LowRankState, theta: Array, gradient: Array, loss: Array | None
) -> tuple[LowRankState, Bool[Array, ""]]:
    """Accept the parameters that the last step led to, or keep those before it.

    A step is taken back where gradient or loss is not finite, and where it overshot by far: q > 3, a larger gradient,
    and a larger loss if one is passed; or where a loss that is passed has risen, to twice the lowest one: against the
    one before alone, many small rises would add up. After two in a row the parameters are back where they were, and
    what is seen there replaces what was remembered: no reference outlives a change of the targets.
    """
    first, again = state.count == 0, state.failed >= _PATIENCE
    finite = jnp.isfinite(gradient).all() & jnp.isfinite(theta).all()
    moved = theta - state.parameters
    fall = -jnp.vdot(moved, state.gradient)
    q = jnp.abs(jnp.vdot(moved, gradient - state.gradient)) / jnp.where(fall > 0, fall, 1)
    q = jnp.where((fall > 0) & ~first & finite & ~jnp.isnan(q), q, 0)
    risen = (q > _RISEN) & (jnp.vdot(gradient, gradient) > jnp.vdot(state.gradient, state.gradient))
    if loss is not None:
        finite &= jnp.isfinite(loss)
        # q is of the gradients at both ends, and along a step across several valleys it may say anything
        risen = (risen | (loss > state.lowest + jnp.abs(state.lowest))) & (loss > state.value)
    good = finite & (first | again | ~risen)
    back = jnp.where(finite, jnp.clip(1 / jnp.maximum(q, 1), 0.1, 0.5), 0.5)
    trust = jnp.where(good, jnp.minimum(state.trust * _GROWTH, 1), state.trust * back)
    value, lowest = (
        (state.value, state.lowest)
        if loss is None
        else (jnp.where(good, loss, state.value), _lowest(state, loss, good, first | again))
    )
    failed = jnp.where(good, 0, jnp.minimum(state.failed + 1, _PATIENCE))
    return (
        state._replace(
            trust=jnp.maximum(trust, _LEAST),
            rejected=state.rejected + (~good).astype(jnp.int32),
            overshoot=q,
            value=value,
            lowest=lowest,
            parameters=jnp.where(good, theta, state.parameters),
            gradient=jnp.where(good, gradient, state.gradient),
            failed=failed,
        ),
        good,
    )


def _lowest(state: LowRankState, loss: Array, good: Array, anew: Array) -> Float[Array, ""]:
    """The lowest loss accepted; begun again where the loss at the same parameters is another."""
    other = (state.count == 0) | (jnp.abs(loss - state.value) > _SAME * jnp.abs(state.value))
    kept = jnp.minimum(loss, state.lowest + _FORGET * jnp.abs(state.lowest))
    return jnp.where(good, jnp.where(anew & other, loss, kept), state.lowest)


def _refreshed(
    state: LowRankState,
    curvature: Curvature,
    seen: tuple[Array, Array],
    rate: Array,
    needed: Bool[Array, ""],
    threshold: float,
) -> LowRankState:
    """The subspace after a product, if one is due."""
    first, starting = state.count == 0, state.space.turn < _START_ROUNDS
    alarmed = (state.overshoot > _ALARM) & jnp.isfinite(state.overshoot)
    due = starting | alarmed | needed | (state.space.row > 0) | (state.waited >= state.interval)
    size = state.space.values.shape[0]

    def product(block: Array, turn: Array) -> Array:
        return curvature.block(state.parameters, block, turn)

    def learnt(space: Subspace) -> Subspace:
        # a pair of a step across a kink, or of one too short for its gradients' rounding, says anything
        most = _LEAP * jnp.maximum(space.values[0], threshold / jnp.where(rate > 0, rate, jnp.inf))
        after = learn(space, *seen)
        return after._replace(values=jnp.minimum(after.values, most))

    def refresh(state: LowRankState) -> tuple[Subspace, Array, Array]:
        space = jax.lax.cond(alarmed, learnt, lambda s: s, state.space)
        space = jax.lax.cond(first, lambda s: aim(s, state.gradient), lambda s: s, space)
        waited = jnp.where(space.row == 0, 0, state.waited)
        space, missed = follow(product, space, jnp.where(starting, 1, _SHARE).astype(rate.dtype), 1)
        leak = jnp.max(rate * space.values * missed)
        interval = jnp.where(leak > _LEAK[1], state.interval // 2, state.interval)
        interval = jnp.where((leak < _LEAK[0]) & (space.row == 0) & ~starting, interval * 2, interval)
        asked = jnp.minimum(jnp.sum(rate * space.values > threshold / 2, dtype=jnp.int32) + 1, size)
        width = jnp.where(starting, size, asked)
        return space._replace(width=width), jnp.clip(interval, 1, _LONGEST), waited

    space, interval, waited = jax.lax.cond(due, refresh, lambda s: (s.space, s.interval, s.waited), state)
    return state._replace(space=space, interval=interval, waited=waited + 1)


def _step(state: LowRankState, rate: Array, threshold: float) -> tuple[LowRankState, Float[Array, " m"]]:
    """``trust · η u``; zero where the start of a step is to be looked at again."""
    values, vectors = state.space.values, state.space.vectors
    # while directions are still sought, the sharpest bounds them all
    bound = jnp.where(state.space.turn < _START_ROUNDS, values[0], 0)
    rate = jnp.where(rate * bound > threshold, threshold / jnp.where(bound > 0, bound, 1), rate)
    pull = rate * values
    short = pull > threshold
    keep = jnp.where(short, threshold / jnp.where(short, pull, 1), 1)
    u = state.gradient - ((1 - keep) * (vectors @ state.gradient)) @ vectors
    rate = jnp.where(state.failed >= _PATIENCE, 0, state.trust) * rate
    return state._replace(count=state.count + 1, rate=rate, clipped=jnp.sum(short, dtype=jnp.int32)), rate * u
