"""Stochastic mode: Adam's step on fresh minibatches, implicit along the curvature of the same minibatch.

With Adam's averages m of the gradient and v of its square, bias-corrected, and ``D = √v + ε``,

    x ≈ argmin ⟨m, x⟩ + ½ ⟨x, F_b x⟩ + ⟨x, D x⟩/(2 c η),

two iterations of conjugate gradients preconditioned by D, F_b the Gauss–Newton matrix on the minibatch b of which the
gradient is. Where F is small this is Adam with rate ``c η``; along sharp directions it is shorter. The step is judged
on the same minibatch by the model's outputs y, with one more pass through it: ``‖y(θ + x) − y(θ) − J x‖/‖J x‖`` says
how much of the linear model the step outruns. No loss is compared between minibatches, so that noise is no rise.

The trust c finds the rate: with g the gradient on the next minibatch and x the step that led to it,

    log c ← log c + 0.2 · clip(−⟨g, x⟩ / mean |⟨g, x⟩|, −2, 2),

up where the last step could have been longer and down where it was too long; noise averages out. (Kingma & Ba, ICLR
2015; for implicit steps Toulis & Airoldi, *Annals of Statistics* 45, 2017; for rates that follow ⟨g, x⟩ Almeida et al.,
1998, and Baydin et al., ICLR 2018.)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from rnn.natural_gradient.flat import Curvature

__all__ = ["RATE", "ImplicitState", "begin_implicit", "implicit_step"]

RATE = 1e-1  # η unless given, where the trust starts from
_MEAN, _SQUARE, _SMALL = 0.9, 0.999, 1e-8  # Adam's own
_BENT = 0.5  # part of the linear change of the outputs by which they may depart from it
_TRUSTS = (1e-4, 100.0)  # floor and ceiling of the trust
_HEED = 0.2  # how far one minibatch may move the log of the trust, of the usual slope along the last step
_ITERATIONS = 2
_OUTLIER = 30.0  # times the usual gradient, beyond which a minibatch is left out


class ImplicitState(NamedTuple):
    """State of stochastic mode: three vectors like the parameters and some numbers.

    Attributes:
        count: updates so far.
        averaged: how many of them entered the averages.
        trust: c, factor on the rate, from 1e-4 to 100.
        rate: ``c η`` of the last step.
        rejected: minibatches left out, and steps that were shortened.
        bent: ``‖y(θ + x) − y(θ) − J x‖/‖J x‖`` of the last step before it was shortened.
        mean, square: Adam's averages, flat.
        last: the step made, flat.
        usual: running mean of ``|⟨g, x⟩|``.
    """

    count: Int[Array, ""]
    averaged: Int[Array, ""]
    trust: Float[Array, ""]
    rate: Float[Array, ""]
    rejected: Int[Array, ""]
    bent: Float[Array, ""]
    mean: Float[Array, " m"]
    square: Float[Array, " m"]
    last: Float[Array, " m"]
    usual: Float[Array, ""]


def begin_implicit(theta: Float[Array, " m"]) -> ImplicitState:
    """The state before the first update."""
    numbers = {name: jnp.zeros((), theta.dtype) for name in ("rate", "bent", "usual")}
    counts = {name: jnp.zeros((), jnp.int32) for name in ("count", "averaged", "rejected")}
    vectors = {name: jnp.zeros_like(theta) for name in ("mean", "square", "last")}
    return ImplicitState(**counts, **numbers, **vectors, trust=jnp.ones((), theta.dtype))


def implicit_step(
    state: ImplicitState,
    theta: Float[Array, " m"],
    gradient: Float[Array, " m"],
    loss: Float[Array, ""] | None,
    rate: Float[Array, ""],
    curvature: Curvature,
) -> tuple[ImplicitState, Float[Array, " m"]]:
    """The state after an update, and the update of the parameters ``theta``."""
    energy = jnp.sum(state.square) / _share(_SQUARE, state.averaged, theta.dtype)
    good = jnp.isfinite(gradient).all() & jnp.isfinite(theta).all()
    good &= (state.averaged == 0) | (jnp.vdot(gradient, gradient) <= _OUTLIER**2 * energy) | (energy == 0)
    if loss is not None:
        good &= jnp.isfinite(loss)
    gradient = jnp.where(good, gradient, 0)
    averaged = state.averaged + good.astype(jnp.int32)
    mean = jnp.where(good, _MEAN * state.mean + (1 - _MEAN) * gradient, state.mean)
    # the bar rises with every minibatch left out, so that gradients which stay large are heard
    square = jnp.where(good, _SQUARE * state.square + (1 - _SQUARE) * gradient**2, 1.5 * state.square)
    m = mean / _share(_MEAN, averaged, theta.dtype)
    d = jnp.sqrt(square / _share(_SQUARE, averaged, theta.dtype)) + _SMALL
    eta = state.trust * rate
    product = curvature.linear(theta, state.count, whole=True)
    x = _solve(product, -m, d / jnp.where(eta > 0, eta, 1))
    x = jnp.where(good & (eta > 0) & jnp.isfinite(x).all(), x, 0)
    departed, linear = curvature.departure(theta, x)
    bent = jnp.sqrt(departed / jnp.where(linear > 0, linear, 1))
    fine = jnp.where(linear > 0, bent <= _BENT, True)  # false where it is not finite
    # outputs depart from their linear change in proportion to the step
    share = jnp.where(fine, 1, jnp.where(jnp.isfinite(bent), jnp.clip(_BENT / jnp.maximum(bent, _BENT), 0.05, 1), 0))
    along = -jnp.vdot(gradient, state.last)
    usual = 0.9 * state.usual + 0.1 * jnp.abs(along)
    heard = jnp.where(usual > 0, jnp.clip(along / jnp.where(usual > 0, usual, 1), -2, 2), 0)
    trust = state.trust * jnp.where(fine, jnp.exp(_HEED * heard), jnp.maximum(share, 0.25))
    state = ImplicitState(
        count=state.count + 1,
        averaged=averaged,
        trust=jnp.clip(trust, *_TRUSTS),
        last=share * x,
        usual=jnp.where(good, usual, state.usual),
        rate=eta,
        rejected=state.rejected + (~(good & fine)).astype(jnp.int32),
        bent=jnp.where(jnp.isfinite(bent), bent, 0),
        mean=mean,
        square=square,
    )
    return state, share * x


def _share(decay: float, count: Array, dtype: Any) -> Array:
    """What ``count`` terms weigh in an average with this decay; of one where there is none yet."""
    return 1 - jnp.power(jnp.asarray(decay, dtype), jnp.maximum(count, 1).astype(dtype))


def _solve(product: Callable[[Array], Array], rhs: Array, weight: Array) -> Array:
    """``(F + W) x ≈ rhs`` by preconditioned conjugate gradients, W diagonal."""
    x, r = jnp.zeros_like(rhs), rhs
    z = r / weight
    p = z
    for _ in range(_ITERATIONS):
        y = product(p) + weight * p
        bent, rz = jnp.vdot(p, y), jnp.vdot(r, z)
        good = (bent > 0) & jnp.isfinite(bent)
        length = jnp.where(good, rz / jnp.where(good, bent, 1), 0)
        x, r = x + length * p, jnp.where(good, r - length * y, r)
        z = r / weight
        p = z + jnp.vdot(r, z) / jnp.where(rz > 0, rz, 1) * p
    return x
