"""Low-rank natural gradient: a gradient step whose sharp directions are shortened instead of overshot.

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

import math
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, Int

from rnn.kernel import Subspace, aim, follow, learn, random_subspace
from rnn.models import Leaves
from rnn.natural_gradient.curvature import Fisher

__all__ = ["LowRankState", "low_rank_natural_gradient"]

_SHARE = 0.3  # of the newest product in the running average
_START_ROUNDS = 6  # rounds of power steps that forget what was before them
_ROUNDING = 16  # units in the last place by which a loss may rise
_ALARM = 0.1  # |q| beyond which the subspace has missed something
_LEAK = (0.05, 0.2)  # below: rounds half as often; above: twice as often


class _Rule(NamedTuple):
    """The numbers in which the modes differ; see :func:`low_rank_natural_gradient`."""

    threshold: float
    rank: int
    longest: int
    trust: float
    fast: bool


_MODES = {
    "smooth": _Rule(threshold=1.0, rank=4, longest=100, trust=1.0, fast=False),
    "fast": _Rule(threshold=0.5, rank=8, longest=4, trust=1 / 64, fast=True),
}
_TARGET, _GROWTH = 0.2, 1.5  # the |q| that fast mode aims at; how fast its trust may grow


class LowRankState(NamedTuple):
    """State of :func:`low_rank_natural_gradient`: arrays only, (rank + 2) × parameters and some numbers.

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
        parameters, gradient: those parameters and their gradient, flat.
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
    parameters: Float[Array, " m"]
    gradient: Float[Array, " m"]


def low_rank_natural_gradient(
    learning_rate: optax.ScalarOrSchedule,
    *,
    mode: Literal["smooth", "fast"] = "smooth",
    rank: int | None = None,
    threshold: float | None = None,
    fisher: Fisher | None = None,
) -> optax.GradientTransformationExtraArgs:
    """Gradient descent that shortens its step along the leading eigenvectors of the Fisher matrix.

    ``u = G − Σ_i (1 − min(1, τ/(η λ_i))) ⟨V_i, G⟩ V_i``; the update is ``−η u``, learning rate included.

    *Smooth* keeps the given rate η. *Fast* takes η as a ceiling: where every followed mode is sharper than τ/η, the
    rate is ``τ/λ_k`` with λ_k the least of them, since what is not followed may be as sharp. The whole step is
    multiplied by a trust that starts at 1/64, aims at ``|q| = 1/5``, and is halved when the loss rises by more than
    rounding; then the last step is taken back and repeated from its start. In both modes a loss or gradient that is
    not finite is taken back in this way.

    The subspace is found by power steps on the products that ``fisher`` gives, averaged over its sub-batches. A round
    over the followed directions takes one product per update, so that no update is much dearer than another (fast:
    one product of all of them). Rounds begin every E updates, at once if ``|q|`` passes 0.1, and when a step is taken
    back. E doubles or halves with the leak ``max_i η λ_i (1 − ‖P_old V_i‖²)``, up to 100 (fast: 4). A round follows
    the modes with ``η λ_i > τ/2`` and one more, capped at ``rank``: it costs what the curvature asks for, and the next
    mode is known before it matters. The first six rounds, begun with the gradient and over all ``rank`` directions,
    follow each other (fast: before the first step); until they end the rate is at most ``τ/λ_1`` with the largest
    curvature seen, safe in every direction.

    ``update(grads, state, params, fisher=…, value=…)`` needs ``params``, the product (here or at construction;
    :func:`rnn.fisher_of` and :func:`rnn.gauss_newton` make one) and in fast mode the loss ``value`` at ``params``.
    ``optax.MultiSteps(…).gradient_transformation()`` drops extra arguments: give the product at construction there.
    In an Optax chain put what changes gradients before it, and in fast mode nothing that rescales updates after it.
    Gradients and loss should be of the full batch in fast mode: noise in ``value`` reads as a rise.

    Args:
        learning_rate: η, a number or a schedule of the count of updates; a schedule's negative values count as 0.
        mode: ``"smooth"`` or ``"fast"``.
        rank: cap k on the number of modes followed, and at most the number of parameters; 4, or 8 in fast mode.
        threshold: τ, at most 2; 1, or 0.5 in fast mode.
        fisher: the product; where given, the one that ``update`` is passed is not used.

    Returns:
        The transformation. Leaves that are not inexact get an update of zero.

    Raises:
        ValueError: an argument is out of range; on ``init``, complex parameters; on ``update``, ``params``,
            ``fisher`` or ``value`` is missing.
    """
    rule = _rule(learning_rate, mode, rank, threshold)

    def init(params: Any) -> LowRankState:
        flat = Leaves.of(params).flatten(params)

        def number(value: float = 0) -> Array:
            return jnp.full((), value, flat.dtype)

        def count(value: int = 0) -> Array:
            return jnp.full((), value, jnp.int32)

        # no array twice, nor one of params: a step may be given parameters and state to overwrite
        return LowRankState(
            count=count(),
            space=random_subspace(rule.rank, flat.size, flat.dtype),
            interval=count(1),
            waited=count(),
            trust=number(rule.trust),
            rate=number(),
            clipped=count(),
            rejected=count(),
            overshoot=number(),
            value=number(),
            parameters=jnp.array(flat),
            gradient=jnp.zeros_like(flat),
        )

    given = fisher

    def update(
        updates: Any,
        state: LowRankState,
        params: Any = None,
        *,
        value: Any = None,
        fisher: Fisher | None = None,
        **_: Any,
    ) -> tuple[Any, LowRankState]:
        curvature = fisher if given is None else given
        missing = "params" if params is None else "value" if rule.fast and value is None else "fisher"
        if curvature is None or missing != "fisher":
            raise ValueError(f"low_rank_natural_gradient in {mode} mode needs {missing}: pass update(…, {missing}=…)")
        leaves = Leaves.of(params)
        if state.parameters.size == 0:
            return _like(updates, params, params, leaves), state
        dtype = state.parameters.dtype
        rate = learning_rate(state.count) if callable(learning_rate) else learning_rate
        rate = jnp.maximum(jnp.asarray(rate).astype(dtype), 0)
        loss = jnp.asarray(0 if value is None else value).astype(dtype)
        theta = leaves.flatten(params)
        gradient = leaves.flatten(updates)
        moved, change = theta - state.parameters, gradient - state.gradient
        state, good = _judge(rule, state, theta, gradient, loss)

        def product(block: Array, turn: Array) -> Array:
            at = leaves.unflatten(state.parameters, params)
            return leaves.flatten(curvature(at, leaves.unflatten(block), turn), lead=1)

        state = _refreshed(rule, state, product, (moved, change), rate, ~good)
        state, step = _step(rule, state, rate)
        move = leaves.unflatten((state.parameters - theta) - step, params)
        return _like(updates, move, params, leaves), state

    return optax.GradientTransformationExtraArgs(init, update)


def _rule(learning_rate: Any, mode: str, rank: int | None, threshold: float | None) -> _Rule:
    if mode not in _MODES:
        raise ValueError(f'mode must be "smooth" or "fast", got {mode!r}')
    if isinstance(learning_rate, int | float) and not (0 <= learning_rate < math.inf):
        raise ValueError(f"learning_rate must be finite and not negative, got {learning_rate!r}")
    rule = _MODES[mode]
    rank = rule.rank if rank is None else rank
    threshold = rule.threshold if threshold is None else threshold
    if isinstance(rank, bool) or not isinstance(rank, int) or rank < 1:
        raise ValueError(f"rank must be a positive integer, got {rank!r}")
    if not 0 < threshold <= 2:
        raise ValueError(f"threshold must lie in (0, 2], beyond which steps are unstable, got {threshold!r}")
    return rule._replace(rank=rank, threshold=threshold)


def _judge(
    rule: _Rule, state: LowRankState, theta: Array, gradient: Array, loss: Array
) -> tuple[LowRankState, Bool[Array, ""]]:
    """Accept the parameters that the last step led to, or keep those before it; adapt the trust to \\|q\\|."""
    first = state.count == 0
    good = jnp.isfinite(gradient).all() & jnp.isfinite(loss) & jnp.isfinite(theta).all()
    if rule.fast:
        good &= first | (loss <= state.value + _ROUNDING * jnp.finfo(loss.dtype).eps * jnp.abs(state.value))
    moved = theta - state.parameters
    fall = -jnp.vdot(moved, state.gradient)
    q = jnp.abs(jnp.vdot(moved, gradient - state.gradient)) / jnp.where(fall > 0, fall, 1)
    q = jnp.where((fall > 0) & jnp.isfinite(q) & ~first, q, 0)
    if rule.fast:
        factor = jnp.clip(_TARGET / jnp.maximum(q, _TARGET / _GROWTH), 0.25, _GROWTH)
    else:
        factor = jnp.full_like(q, _GROWTH)
    factor = jnp.where(good, factor, jnp.minimum(factor, 0.5))
    return (
        state._replace(
            trust=jnp.minimum(state.trust * factor, 1),
            rejected=state.rejected + (~good).astype(jnp.int32),
            overshoot=q,
            value=jnp.where(good, loss, state.value),
            parameters=jnp.where(good, theta, state.parameters),
            gradient=jnp.where(good, gradient, state.gradient),
        ),
        good,
    )


def _refreshed(
    rule: _Rule,
    state: LowRankState,
    product: Callable[[Array, Array], Array],
    seen: tuple[Array, Array],
    rate: Array,
    needed: Bool[Array, ""],
) -> LowRankState:
    """The subspace after a product, if one is due."""
    first, starting = state.count == 0, state.space.turn < _START_ROUNDS
    alarmed = state.overshoot > _ALARM
    due = starting | alarmed | needed | (state.space.row > 0) | (state.waited >= state.interval)
    size = state.space.values.shape[0]
    rows, rounds = (size, jnp.where(first, _START_ROUNDS, 1)) if rule.fast else (1, 1)

    def refresh(state: LowRankState) -> tuple[Subspace, Array, Array]:
        space = jax.lax.cond(alarmed, lambda s: learn(s, *seen), lambda s: s, state.space)
        space = jax.lax.cond(first, lambda s: aim(s, state.gradient), lambda s: s, space)
        waited = jnp.where(space.row == 0, 0, state.waited)
        share, none = jnp.where(starting, 1, _SHARE).astype(rate.dtype), jnp.zeros_like(space.values)
        space, missed = jax.lax.fori_loop(0, rounds, lambda _, s: follow(product, s[0], share, rows), (space, none))
        leak = jnp.max(rate * space.values * missed)
        interval = jnp.where(leak > _LEAK[1], state.interval // 2, state.interval)
        interval = jnp.where((leak < _LEAK[0]) & (space.row == 0) & ~starting, interval * 2, interval)
        asked = jnp.minimum(jnp.sum(rate * space.values > rule.threshold / 2, dtype=jnp.int32) + 1, size)
        width = jnp.where(starting, size, asked)
        return space._replace(width=width), jnp.clip(interval, 1, rule.longest), waited

    space, interval, waited = jax.lax.cond(due, refresh, lambda s: (s.space, s.interval, s.waited), state)
    return state._replace(space=space, interval=interval, waited=waited + 1)


def _step(rule: _Rule, state: LowRankState, rate: Array) -> tuple[LowRankState, Float[Array, " m"]]:
    """``trust · η u``."""
    values, vectors = state.space.values, state.space.vectors
    # the least followed mode bounds what is not followed; while directions are still sought, the sharpest bounds all
    bound = values[-1] if rule.fast else jnp.where(state.space.turn < _START_ROUNDS, values[0], 0)
    rate = jnp.where(rate * bound > rule.threshold, rule.threshold / jnp.where(bound > 0, bound, 1), rate)
    pull = rate * values
    short = pull > rule.threshold
    keep = jnp.where(short, rule.threshold / jnp.where(short, pull, 1), 1)
    u = state.gradient - ((1 - keep) * (vectors @ state.gradient)) @ vectors
    rate = state.trust * rate
    return state._replace(count=state.count + 1, rate=rate, clipped=jnp.sum(short, dtype=jnp.int32)), rate * u


def _like(updates: Any, move: Any, params: Any, leaves: Leaves) -> Any:
    """``move`` in the dtypes of the gradients; zeros for leaves that are not inexact."""
    triples = zip(*(leaves.structure.flatten_up_to(t) for t in (updates, move, params)), leaves.moving, strict=True)
    out = [m.astype(jnp.result_type(g)) if moves else jnp.zeros_like(p) for g, m, p, moves in triples]
    return jax.tree.unflatten(leaves.structure, out)
