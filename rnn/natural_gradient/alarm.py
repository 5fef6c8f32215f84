"""An alarm for loss spikes under any optimizer, from losses and gradients that training computes anyway."""

from __future__ import annotations

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, Int

__all__ = ["AlarmState", "spike_alarm"]

_BEFORE = 20  # losses that are remembered


class AlarmState(NamedTuple):
    """State of :func:`spike_alarm`: two copies of the parameters and some numbers.

    Attributes:
        count: updates so far.
        alarm: whether the alarm is on.
        raised: how often it went on.
        since: the update at which it last did; −1 before that.
        calm: updates in a row without a sign, since it went on.
        q: ratio of the running averages.
        bent, fallen: running averages of ``⟨d, G' − G⟩`` and ``|⟨d, G⟩|``.
        parameters, gradient: of the update before.
        losses: of the 20 updates before, the largest number for those that were not passed.
    """

    count: Int[Array, ""]
    alarm: Bool[Array, ""]
    raised: Int[Array, ""]
    since: Int[Array, ""]
    calm: Int[Array, ""]
    q: Float[Array, ""]
    bent: Float[Array, ""]
    fallen: Float[Array, ""]
    parameters: Any
    gradient: Any
    losses: Float[Array, "20"]


def spike_alarm(
    threshold: float = 2.2,
    *,
    release: float = 1.1,
    decay: float = 0.8,
    hold: int = 5,
    rise: float = 5.0,
    linger: int = 100,
) -> optax.GradientTransformationExtraArgs:
    """A transformation that changes nothing and warns of spikes of the loss.

    Pass the loss, ``update(gradient, state, params, value=loss)``. The alarm then goes on where the loss is more than
    ``rise`` times the least of the 20 updates before, and off ``linger`` updates after it last was: large spikes follow
    small ones. The default is for tenfold spikes, and is on before 95 % of them; 1.65 is for twofold ones of the full
    batch. It knows when training is rough, and not the step of the next spike. That could hardly be had: half of the
    tenfold spikes that are 20 to 50 steps ahead do not come in a second training from 1 % of a step away.
    ``docs/measured/optimizers.md`` has the figures.

    Without the loss, or where the least loss is not positive, it watches how training bends the loss along its own
    steps. With the displacement d between two updates and the gradients G before and G' after it,

        q = mean ⟨d, G' − G⟩ / mean |⟨d, G⟩|

    over about ``1/(1 − decay)`` updates. Along a parabola of curvature λ, plain descent with rate η has ``q = η λ``;
    at 2 a step rises as far as it fell. The alarm goes on when q exceeds ``threshold``, and off after ``hold`` updates
    in a row with q below ``release``. Either way it goes on where the loss or a gradient is not finite.

    Put it first in a chain, where the gradients still are what the loss gave, and pass ``params``:
    ``optax.chain(rnn.spike_alarm(), optax.adam(1e-3))``. Read ``state[0].alarm``.

    Args:
        threshold: q at which the alarm goes on.
        release: q below which it may go off, at most ``threshold``.
        decay: of the averages, in [0, 1); 0 for single steps.
        hold: updates below the release before it goes off.
        rise: the loss over its least at which it goes on, more than 1.
        linger: updates after that before it goes off.

    Raises:
        ValueError: an argument is out of range; on ``update``, ``params`` is missing or ``value`` is not one number.
    """
    if not 0 < release <= threshold < float("inf"):
        raise ValueError(f"release must be positive and at most threshold, got {release!r} and {threshold!r}")
    if not 0 <= decay < 1:
        raise ValueError(f"decay must lie in [0, 1), got {decay!r}")
    if not 1 < rise < float("inf"):
        raise ValueError(f"rise must be finite and more than 1, got {rise!r}")
    for name, count in (("hold", hold), ("linger", linger)):
        if isinstance(count, bool) or not isinstance(count, int) or count < 1:
            raise ValueError(f"{name} must be a positive integer, got {count!r}")

    def init(params: Any) -> AlarmState:
        watched = eqx.filter(params, eqx.is_inexact_array)
        zero, none = (lambda: jnp.zeros((), jnp.float32)), (lambda: jnp.zeros((), jnp.int32))
        copies = jax.tree.map(jnp.array, watched), jax.tree.map(jnp.zeros_like, watched)
        losses = jnp.full(_BEFORE, jnp.finfo(jnp.float32).max, jnp.float32)
        return AlarmState(
            none(), jnp.zeros((), bool), none(), none() - 1, none(), zero(), zero(), zero(), *copies, losses
        )

    def update(
        updates: Any, state: AlarmState, params: Any = None, *, value: Any = None, **_: Any
    ) -> tuple[Any, AlarmState]:
        if params is None:
            raise ValueError("spike_alarm needs params: pass update(grads, state, params)")
        theta, gradient = (_watched(tree, state.parameters) for tree in (params, updates))
        moved = jax.tree.map(jnp.subtract, theta, state.parameters)
        change = jax.tree.map(jnp.subtract, gradient, state.gradient)
        bent, fallen = _dot(moved, change), jnp.abs(_dot(moved, state.gradient))
        finite = jnp.isfinite(bent) & jnp.isfinite(fallen)
        new = (state.count > 0) & finite

        def average(old: Array, value: Array) -> Array:
            return jnp.where(new, decay * old + (1 - decay) * value, old)

        bent, fallen = average(state.bent, bent), average(state.fallen, fallen)
        q = jnp.where(fallen > 0, bent / jnp.where(fallen > 0, fallen, 1), 0)
        loss = _number(value)
        known = loss is not None and jnp.min(state.losses) > 0
        rung = q > threshold if loss is None else jnp.where(known, loss > rise * jnp.min(state.losses), q > threshold)
        rung = rung | ((state.count > 0) & ~finite) | (False if loss is None else ~jnp.isfinite(loss))
        calm = jnp.where(rung | jnp.logical_not(known | (q < release)), 0, state.calm + 1)
        alarm = rung | (state.alarm & (calm < jnp.where(known, linger, hold)))
        raised = alarm & ~state.alarm
        state = AlarmState(
            count=state.count + 1,
            alarm=alarm,
            raised=state.raised + raised.astype(jnp.int32),
            since=jnp.where(raised, state.count, state.since),
            calm=calm,
            q=q,
            bent=bent,
            fallen=fallen,
            # what is not finite is not remembered: one bad batch would silence the alarm for good
            parameters=jax.tree.map(lambda a, b: jnp.where(finite, a, b), theta, state.parameters),
            gradient=jax.tree.map(lambda a, b: jnp.where(finite, a, b), gradient, state.gradient),
            losses=state.losses if loss is None else _remembered(state.losses, loss),
        )
        return updates, state

    return optax.GradientTransformationExtraArgs(init, update)


def _number(value: Any) -> Array | None:
    """The loss that was passed, in float32."""
    if value is None:
        return None
    if jnp.shape(value) != ():
        raise ValueError(f"value must be the loss, one number, got shape {jnp.shape(value)}")
    return jnp.asarray(value, jnp.float32)


def _remembered(losses: Array, loss: Array) -> Array:
    """The latest losses; one that is not finite is left out."""
    return jnp.where(jnp.isfinite(loss), jnp.roll(losses, 1).at[0].set(loss), losses)


def _watched(tree: Any, like: Any) -> Any:
    """The leaves of ``tree`` that are watched, in their dtypes."""
    return jax.tree.map(lambda a, x: None if a is None else x.astype(a.dtype), like, tree, is_leaf=lambda a: a is None)


def _dot(one: Any, other: Any) -> Array:
    """``⟨·, ·⟩`` over all leaves, in float32 at least."""

    def part(a: Array, b: Array) -> Array:
        wide = jnp.float64 if a.dtype == jnp.float64 else jnp.float32
        return jnp.vdot(a.astype(wide), b.astype(wide)).astype(jnp.float32)

    return jnp.asarray(sum(part(a, b) for a, b in zip(*map(jax.tree.leaves, (one, other)), strict=True)), jnp.float32)
