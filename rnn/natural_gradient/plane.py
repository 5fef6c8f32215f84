"""Stochastic mode: orthogonalised momentum on fresh minibatches, its length from the curvature of the same minibatch.

With m Adam's average of the gradient g and ``n = (m + g)/2``, the direction d is, per matrix of the parameters,

    d = −U Vᵀ √max(1, columns/rows),      n = U S Vᵀ by five Newton–Schulz iterations,

and ``−n/√v``, Adam's, for parameters without two axes. (Muon: Jordan et al., 2024.) No rate multiplies it. The step x
is the minimum of a quadratic over the plane of d and D, the way that the last ten steps or so have come, both of unit
length,

    x ← c₁ d + c₂ D,      A c = r,      A ≈ ⟨·, F_b ·⟩,      r ≈ −⟨g, ·⟩,      D ∝ Σ_k 0.9^k x_k,

x_k the step k before, as in nonlinear conjugate gradients (for the plane Martens & Grosse, ICML 2015). Steps to and fro
along a stiff direction cancel in D. F_b is the Gauss–Newton matrix on the minibatch b of which g is. A and r are
averages over some 30 minibatches.

The slope along d looks steeper on the minibatch that made d than it is. One minibatch later it is seen without that
bias: with g' the next gradient, ``−⟨g', d⟩ + ⟨d, F_b x⟩`` is the slope that d had before the step x. Let p be the mean
of the one and q of the other, at most p. With q for r a step is the best if it is the last, and steps fade too early
(Wu, Ren, Liao & Grosse, ICLR 2018). With p they never do. r has the harmonic mean of both,

    2 p q/(p + q) = 2 ρ p/(1 + ρ),      ρ = q/p the part of the slope that is no noise,

which is 2 q where most is noise. As the signal fades steps shrink with it, and no schedule is needed. F_b is too large
along d by the same bias. That cancels: where r is k times too steep for it, the step ``r/⟨d, F_b d⟩`` is not.

A minibatch whose curvature along d is above twice the usual one weighs so much less, in A, in r, and in the slope that
its d has one minibatch later. Near a bifurcation a few of them would be all of A.

The step is judged on its own minibatch. The outputs y say by ``‖y(θ + x) − y(θ) − J x‖/‖J x‖`` how much of the linear
model a step outruns, and where it is known the loss may not double. No loss is compared between minibatches.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from rnn.models import Leaves
from rnn.natural_gradient.flat import Curvature

__all__ = ["RATE", "PlaneState", "begin_plane", "plane_step"]

RATE = 1e-1  # η unless given, where the radius starts from
_MEAN, _SQUARE, _SMALL = 0.9, 0.999, 1e-8  # Adam's own
_FRESH = 0.5  # of the newest gradient in what is orthogonalised, the rest is the average
_SCHULZ, _ITERATIONS = (3.4445, -4.7750, 2.0315), 5  # Muon's
_KEPT = 0.97  # of slopes and curvatures from one minibatch to the next
_CAPPED = 2.0  # times the usual curvature along d, which a minibatch counts for at most
_COME = 0.9  # of the displacement from one step to the next
_DAMPING = 1e-3  # of the curvature along each direction of the plane
_BENT = 0.5  # part of the linear change of the outputs by which they may depart from it
_LOOKS = 3  # at the outputs: tanh saturates, and a step that is far too long looks better than it is
_SHORTER = 0.25  # of a step that doubles the loss
_GROWTH, _SHRINK, _ROOM = 1.5, 0.7, 3.0  # of the radius: up, down, and at most so many times the step made
_LEAST = 1e-4  # floor of the trust
_OUTLIER = 30.0  # times the usual gradient, beyond which a minibatch is left out


class PlaneState(NamedTuple):
    """State of stochastic mode: four vectors like the parameters and some numbers.

    Attributes:
        count: updates so far.
        averaged: how many of them entered the averages.
        trust: the root mean square of a step may be this times the rate.
        rate: root mean square of the last step.
        rejected: minibatches left out, and steps that were shortened.
        bent: ``‖y(θ + x) − y(θ) − J x‖/‖J x‖`` of the last step made.
        signal: ρ, the part of the slope along the direction that is no noise.
        usual: running mean of the loss, 0 where none is passed.
        mean, square: Adam's averages, flat.
        displacement: of the last steps, each weighing 0.9 of the next, flat.
        direction: d, of unit length.
        bend: ``⟨d, F_b x⟩``.
        weight: of the minibatch that made d.
        slope: running means of the slopes along d on the minibatch that made it, along d one minibatch later, along D.
        gram: running mean of A.
    """

    count: Int[Array, ""]
    averaged: Int[Array, ""]
    trust: Float[Array, ""]
    rate: Float[Array, ""]
    rejected: Int[Array, ""]
    bent: Float[Array, ""]
    signal: Float[Array, ""]
    usual: Float[Array, ""]
    mean: Float[Array, " m"]
    square: Float[Array, " m"]
    displacement: Float[Array, " m"]
    direction: Float[Array, " m"]
    bend: Float[Array, ""]
    weight: Float[Array, ""]
    slope: Float[Array, " 3"]
    gram: Float[Array, "2 2"]


def begin_plane(theta: Float[Array, " m"]) -> PlaneState:
    """The state before the first update."""
    numbers = {name: jnp.zeros((), theta.dtype) for name in ("rate", "bent", "signal", "usual", "bend", "weight")}
    counts = {name: jnp.zeros((), jnp.int32) for name in ("count", "averaged", "rejected")}
    vectors = {name: jnp.zeros_like(theta) for name in ("mean", "square", "displacement", "direction")}
    slope, gram = jnp.zeros(3, theta.dtype), jnp.zeros((2, 2), theta.dtype)
    return PlaneState(**counts, **numbers, **vectors, slope=slope, gram=gram, trust=jnp.ones((), theta.dtype))


def plane_step(
    state: PlaneState,
    theta: Float[Array, " m"],
    gradient: Float[Array, " m"],
    loss: Float[Array, ""] | None,
    rate: Float[Array, ""],
    curvature: Curvature,
) -> tuple[PlaneState, Float[Array, " m"]]:
    """The state after an update, and the update of the parameters ``theta``."""
    state, good = _averaged(state, theta, gradient, loss)
    gradient = jnp.where(good, gradient, 0)
    plane = jnp.stack([_direction(state, gradient, curvature.leaves), _unit(state.displacement)])
    gram, departed = curvature.plane(theta, plane)
    first = state.averaged == 1
    along = -plane @ gradient
    later = jnp.where(first, along[0], jnp.maximum(state.bend - jnp.vdot(state.direction, gradient), 0))
    heard = good & jnp.isfinite(gram).all()
    usual = state.gram[0, 0] / _weight(_KEPT, state.averaged - 1, theta.dtype)
    weight = jnp.where((usual > 0) & (gram[0, 0] > _CAPPED * usual), _CAPPED * usual / gram[0, 0], 1)
    before = jnp.where(first, weight, state.weight)  # both slopes along d weigh what the minibatch that made d does

    def average(old: Array, new: Array) -> Array:
        return jnp.where(heard, _KEPT * old + (1 - _KEPT) * new, old)

    slope = average(state.slope, jnp.stack([weight * along[0], before * later, weight * along[1]]))
    averaged = average(state.gram, weight * gram)
    signal = jnp.clip(slope[1] / jnp.where(slope[0] > 0, slope[0], 1), 0, 1)
    c = _minimum(averaged, jnp.stack([2 * signal / (1 + signal) * slope[0], slope[2]]))
    length = jnp.sqrt(jnp.maximum(c @ plane @ (plane.T @ c), 0) / theta.size)
    sound = heard & (length > 0) & jnp.isfinite(length)
    begin = jnp.where(sound, jnp.minimum(1, state.trust * rate / jnp.where(sound, length, 1)), 0)
    share, bent, looks = _share(lambda s: departed(s * c, theta + (s * c) @ plane), begin, loss, state.usual)
    x = jnp.where(share > 0, share, 0) * jnp.where(sound, c, 0) @ plane
    short, made = looks > 1, share * jnp.where(sound, length, 0)
    trust = state.trust * jnp.where(short, _SHRINK, _GROWTH)
    room = _ROOM * made / jnp.where(rate > 0, rate, 1)
    trust = jnp.where((made > 0) & (rate > 0), jnp.clip(trust, _LEAST, jnp.maximum(room, _LEAST)), state.trust)
    state = state._replace(
        count=state.count + 1,
        trust=trust,
        rate=made,
        rejected=state.rejected + (~good | short).astype(jnp.int32),
        bent=bent,
        signal=signal,
        displacement=jnp.where(heard, _COME * state.displacement + x, state.displacement),
        direction=jnp.where(heard, plane[0], state.direction),
        bend=jnp.where(heard, share * (gram[0] @ jnp.where(sound, c, 0)), state.bend),
        weight=jnp.where(heard, weight, state.weight),
        slope=slope,
        gram=averaged,
    )
    return state, x


def _averaged(state: PlaneState, theta: Array, gradient: Array, loss: Array | None) -> tuple[PlaneState, Array]:
    """The state with a minibatch in its averages, and whether it was let in."""
    energy = jnp.sum(state.square) / _weight(_SQUARE, state.averaged, theta.dtype)
    good = jnp.isfinite(gradient).all() & jnp.isfinite(theta).all()
    good &= (state.averaged == 0) | (jnp.vdot(gradient, gradient) <= _OUTLIER**2 * energy) | (energy == 0)
    usual = state.usual
    if loss is not None:
        good &= jnp.isfinite(loss)
        usual = jnp.where(state.averaged == 0, loss, 0.9 * usual + 0.1 * loss)
    state = state._replace(
        averaged=state.averaged + good.astype(jnp.int32),
        usual=jnp.where(good, usual, state.usual),
        mean=jnp.where(good, _MEAN * state.mean + (1 - _MEAN) * gradient, state.mean),
        # the bar rises with every minibatch left out, so that gradients which stay large are heard
        square=jnp.where(good, _SQUARE * state.square + (1 - _SQUARE) * gradient**2, 1.5 * state.square),
    )
    return state, good


def _direction(state: PlaneState, gradient: Array, leaves: Leaves) -> Float[Array, " m"]:
    """d, of unit length."""
    mean = state.mean / _weight(_MEAN, state.averaged, gradient.dtype)
    scale = jnp.sqrt(state.square / _weight(_SQUARE, state.averaged, gradient.dtype)) + _SMALL
    parts, start = [], 0
    for shape, moves in zip(leaves.shapes, leaves.moving, strict=True):
        stop = start + (math.prod(shape) if moves else 0)
        n = (1 - _FRESH) * mean[start:stop] + _FRESH * gradient[start:stop]
        if len(shape) == 2 and min(shape) > 1:
            parts.append(orthogonalised(n.reshape(shape)).ravel() * max(1, shape[1] / shape[0]) ** 0.5)
        else:
            parts.append(n / scale[start:stop])
        start = stop
    return -_unit(jnp.concatenate(parts))


def orthogonalised(matrix: Float[Array, "rows columns"]) -> Float[Array, "rows columns"]:
    """``U Vᵀ`` of ``U S Vᵀ``, singular values within a third of 1, by Muon's Newton–Schulz iteration."""
    a, b, c = _SCHULZ
    x = matrix.T if matrix.shape[0] > matrix.shape[1] else matrix
    x = _unit(x)
    for _ in range(_ITERATIONS):
        square = x @ x.T
        x = a * x + (b * square + c * square @ square) @ x
    return x.T if matrix.shape[0] > matrix.shape[1] else x


def _minimum(gram: Array, slope: Array) -> Float[Array, " 2"]:
    """``A c = r`` for two directions, each damped by a part of its own curvature.

    A curvature that is not positive counts as next to none: the radius then ends the step.
    """
    tiny = jnp.sqrt(jnp.finfo(gram.dtype).tiny)
    diagonal = jnp.maximum(jnp.diag(gram), tiny)
    unit = jnp.sqrt(diagonal)
    mixed, stiff = jnp.clip(gram[0, 1] / (unit[0] * unit[1]), -1, 1), 1 + _DAMPING
    r = slope / unit
    return jnp.stack([stiff * r[0] - mixed * r[1], stiff * r[1] - mixed * r[0]]) / (stiff**2 - mixed**2) / unit


def _share(
    look: Callable[[Array], tuple[Array, Array, Array | None]], begin: Array, loss: Array | None, usual: Array
) -> tuple[Array, Array, Array]:
    """The part of a step that the outputs and the loss on the minibatch allow, its bend, and the looks taken."""

    def judge(carry: tuple) -> tuple:
        k, share, _, _ = carry
        departed, linear, after = look(share)
        bent = jnp.sqrt(departed / jnp.where(linear > 0, linear, 1))
        straight = jnp.where(linear > 0, bent <= _BENT, True)  # false where it is not finite
        # outputs depart from their linear change in proportion to the step
        shorter = jnp.where(straight, 1, jnp.clip(_BENT / jnp.maximum(bent, _BENT), 0.05, 1))
        shorter = jnp.where(jnp.isfinite(bent), shorter, 0.05)
        if after is not None and loss is not None:
            held = after <= loss + jnp.maximum(jnp.abs(loss), jnp.abs(usual))
            straight, shorter = straight & held, jnp.where(held, shorter, jnp.minimum(shorter, _SHORTER))
        return k + 1, jnp.where(straight, share, share * shorter), straight, jnp.where(jnp.isfinite(bent), bent, 0)

    start = jnp.zeros((), jnp.int32), begin, begin <= 0, jnp.zeros_like(begin)
    k, share, _, bent = jax.lax.while_loop(lambda carry: ~carry[2] & (carry[0] < _LOOKS), judge, start)
    return share, bent, k


def _weight(decay: float, count: Array, dtype: Any) -> Array:
    """What ``count`` terms weigh in an average with this decay; of one where there is none yet."""
    return 1 - jnp.power(jnp.asarray(decay, dtype), jnp.maximum(count, 1).astype(dtype))


def _unit(x: Array) -> Array:
    """``x`` over its norm; zero stays."""
    largest = jnp.max(jnp.abs(x), initial=0)
    x = x / jnp.where(largest > 0, largest, 1)  # squares of the smallest and the largest numbers are 0 and ∞
    norm = jnp.sqrt(jnp.sum(x**2))
    return x / jnp.where(norm > 0, norm, 1)
