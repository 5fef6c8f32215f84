"""An alarm for loss spikes under any optimizer, from gradients that training computes anyway."""

from __future__ import annotations

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, Int

__all__ = ["AlarmState", "spike_alarm"]


class AlarmState(NamedTuple):
    """State of :func:`spike_alarm`: two copies of the parameters and some numbers.

    Attributes:
        count: updates so far.
        alarm: whether the alarm is on.
        raised: how often it went on.
        since: the update at which it last did; −1 before that.
        calm: updates in a row with q below the release, since it went on.
        q: ratio of the running averages.
        bent, fallen: running averages of ``⟨d, G' − G⟩`` and ``|⟨d, G⟩|``.
        parameters, gradient: of the update before.
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


def spike_alarm(
    threshold: float = 2.2, *, release: float = 1.1, decay: float = 0.8, hold: int = 5
) -> optax.GradientTransformationExtraArgs:
    """A transformation that changes nothing and watches how training bends the loss along its own steps.

    With the displacement d between two updates and the gradients G before and G' after it,

        q = mean ⟨d, G' − G⟩ / mean |⟨d, G⟩|

    over about ``1/(1 − decay)`` updates. Along a parabola of curvature λ, plain descent with rate η has ``q = η λ``;
    at 2 a step rises as far as it fell. The alarm goes on when q exceeds ``threshold`` or a gradient is not finite,
    and off after ``hold`` updates in a row with q below ``release``.

    Put it first in a chain, where the gradients still are what the loss gave, and pass ``params``:
    ``optax.chain(rnn.spike_alarm(), optax.adam(1e-3))``. Read ``state[0].alarm``.

    Args:
        threshold: q at which the alarm goes on.
        release: q below which it may go off, at most ``threshold``.
        decay: of the averages, in [0, 1); 0 for single steps.
        hold: updates below the release before it goes off.

    Raises:
        ValueError: an argument is out of range; on ``update``, ``params`` is missing.
    """
    if not 0 < release <= threshold < float("inf"):
        raise ValueError(f"release must be positive and at most threshold, got {release!r} and {threshold!r}")
    if not 0 <= decay < 1:
        raise ValueError(f"decay must lie in [0, 1), got {decay!r}")
    if isinstance(hold, bool) or not isinstance(hold, int) or hold < 1:
        raise ValueError(f"hold must be a positive integer, got {hold!r}")

    def init(params: Any) -> AlarmState:
        watched = eqx.filter(params, eqx.is_inexact_array)
        zero, none = (lambda: jnp.zeros((), jnp.float32)), (lambda: jnp.zeros((), jnp.int32))
        copies = jax.tree.map(jnp.array, watched), jax.tree.map(jnp.zeros_like, watched)
        return AlarmState(none(), jnp.zeros((), bool), none(), none() - 1, none(), zero(), zero(), zero(), *copies)

    def update(updates: Any, state: AlarmState, params: Any = None, **_: Any) -> tuple[Any, AlarmState]:
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
        rung = (q > threshold) | ((state.count > 0) & ~finite)
        calm = jnp.where(rung | (q >= release), 0, state.calm + 1)
        alarm = rung | (state.alarm & (calm < hold))
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
        )
        return updates, state

    return optax.GradientTransformationExtraArgs(init, update)


def _watched(tree: Any, like: Any) -> Any:
    """The leaves of ``tree`` that are watched, in their dtypes."""
    return jax.tree.map(lambda a, x: None if a is None else x.astype(a.dtype), like, tree, is_leaf=lambda a: a is None)


def _dot(one: Any, other: Any) -> Array:
    """``⟨·, ·⟩`` over all leaves, in float32 at least."""

    def part(a: Array, b: Array) -> Array:
        wide = jnp.float64 if a.dtype == jnp.float64 else jnp.float32
        return jnp.vdot(a.astype(wide), b.astype(wide)).astype(jnp.float32)

    return jnp.asarray(sum(part(a, b) for a, b in zip(*map(jax.tree.leaves, (one, other)), strict=True)), jnp.float32)
