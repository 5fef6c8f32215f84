"""Fast mode: truncated Gauss–Newton steps on a full batch, without a learning rate.

With the loss L, its gradient G and the Gauss–Newton matrix F_b on a stretch b of the batch, conjugate gradients find x
with ``(F_b + μ I) x ≈ −G``, and the step is

    d = s β α x,      α = min(1, −⟨G, x⟩ / (⟨x, F x⟩ + μ ‖x‖²)),

with F on the whole batch (one tangent), so that a stretch which does not represent it cannot overshoot. (Martens,
*Deep learning via Hessian-free optimization*, ICML 2010.) In single precision conjugate gradients lose their
orthogonality within a few iterations at these condition numbers: their residuals are kept and made orthogonal again.
β is what the outputs allow. With e what they depart by from their linear change, ``½⟨e, H e⟩`` is to be at most a few
times the fall that is promised. Where β is small the damping grows: a shorter solution gains more than a part of a long
one, and costs fewer iterations.

The next loss tells what came of it: the damping μ follows the ratio of the fall to the predicted one, ``−⟨G, d⟩ −
½⟨d, F d⟩``. A step that raised the loss up to tenfold is a detour: long steps along flat directions leave the floor of
a valley, and a short solve from where they lead falls back to it. What does not end below where it began is taken back.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from rnn.natural_gradient.flat import Curvature

__all__ = ["GaussNewtonState", "begin_truncated", "truncated_step"]

_RISE = 1e-6  # relative rise of the loss that is taken for rounding
_WARM = 0.9  # of the last solution, where the next one starts
_DAMPING = 0.05  # μ at first, of the curvature along the gradient
_DAMPINGS = (1e-9, 10.0)  # floor and ceiling of μ, of the largest curvature seen
_FORGET = 0.5  # what an update leaves of that curvature: a point passed by may be far steeper
_MOST = (15, 100)  # iterations on a stretch, and on the whole batch
_WINDOW = 2  # iterations over which the progress of a solve is judged
_PACE = 1.5  # a solve goes on while an iteration gains this part of what an update gains for its price
_PACES = (5e-4, 0.1)  # least and largest relative gain asked of an iteration
_AGREE = 2.0  # by which the curvature along x on the whole batch may exceed that on the stretch
_HOLDS = (1, 64)  # updates on the whole batch after a stretch that did not represent it
_DETOUR = 10.0  # relative rise of the loss up to which a step may be mended from where it led
_MENDS, _HALVED = 3, 0.5  # solves on a detour, and what each but the first must leave of the loss
_MEND = 0.03  # relative gain asked of an iteration there
_BENT = 4.0  # departure of the outputs that a step may have, in loss, of the fall that it promises
_LOOKS = 3  # at the outputs: tanh saturates, and a step that is far too long looks better than it is
_BELOW, _STIFFER = 0.5, 8.0  # part of a step that the outputs allow, below which μ grows, and by how much
_GROWTH, _LEAST = 1.5, 1 / 64  # of the trust: how fast it recovers, and its floor
_PATIENCE = 2  # times that a step is taken back in a row; then its start is looked at anew


class GaussNewtonState(NamedTuple):
    """State of fast mode: three vectors like the parameters and some numbers.

    Attributes:
        count: updates so far; it chooses the stretch of the batch.
        whole: updates for which products are still to be of the whole batch.
        hold: for how many, when a stretch next fails to represent it.
        iterations: products of the last solve.
        trust: s, factor on the whole step, in (0, 1].
        rate: ``s β α`` of the last step, times the learning rate where that is below 1.
        clipped: 1 where the whole batch shortened the last step, ``α < 1``.
        rejected: updates that took the last one back.
        failed: how many of them in a row.
        damping: μ.
        top: largest curvature that a solve has met, halved by every update.
        predicted: fall of the loss that the last step promised.
        overshoot: \\|q\\| of the last displacement, ``q = ⟨d, G' − G⟩/(−⟨d, G⟩)``.
        value: loss at the last accepted parameters.
        parameters, gradient: those parameters and their gradient, flat.
        direction: x.
        mending: solves so far on a detour, 0 where there is none.
        trial: the loss that the last update was given.
        share: β of the last step.
    """

    count: Int[Array, ""]
    whole: Int[Array, ""]
    hold: Int[Array, ""]
    iterations: Int[Array, ""]
    trust: Float[Array, ""]
    rate: Float[Array, ""]
    clipped: Int[Array, ""]
    rejected: Int[Array, ""]
    failed: Int[Array, ""]
    damping: Float[Array, ""]
    top: Float[Array, ""]
    predicted: Float[Array, ""]
    overshoot: Float[Array, ""]
    value: Float[Array, ""]
    parameters: Float[Array, " m"]
    gradient: Float[Array, " m"]
    direction: Float[Array, " m"]
    mending: Int[Array, ""]
    trial: Float[Array, ""]
    share: Float[Array, ""]


class _Solution(NamedTuple):
    """x, its ``⟨x, F_b x⟩``, the largest ``‖F_b p‖/‖p‖`` met, the iterations, and μ."""

    x: Array
    curvature: Array
    top: Array
    iterations: Array
    damping: Array


def begin_truncated(theta: Float[Array, " m"]) -> GaussNewtonState:
    """The state before the first update."""
    # no array twice, nor one of params: a step may be given parameters and state to overwrite
    numbers = ("rate", "damping", "top", "predicted", "overshoot", "value", "trial")
    zero = {name: jnp.zeros((), theta.dtype) for name in numbers}
    counts = ("count", "whole", "iterations", "clipped", "rejected", "failed", "mending")
    none = {name: jnp.zeros((), jnp.int32) for name in counts}
    vectors = {name: jnp.zeros_like(theta) for name in ("gradient", "direction")}
    return GaussNewtonState(
        **none,
        **zero,
        **vectors,
        hold=jnp.full((), _HOLDS[0], jnp.int32),
        trust=jnp.ones((), theta.dtype),
        share=jnp.ones((), theta.dtype),
        parameters=jnp.array(theta),
    )


def truncated_step(
    state: GaussNewtonState,
    theta: Float[Array, " m"],
    gradient: Float[Array, " m"],
    loss: Float[Array, ""],
    rate: Float[Array, ""],
    curvature: Curvature,
    kept: int,
) -> tuple[GaussNewtonState, Float[Array, " m"]]:
    """The state after an update, and the update of the parameters ``theta``; a solve keeps ``kept`` residuals."""
    state, pace = _judge(state, theta, gradient, loss)
    mending = state.mending > 0
    at, g = (jnp.where(mending, *pair) for pair in ((theta, state.parameters), (gradient, state.gradient)))
    top = _FORGET * state.top
    damping = jnp.where(top > 0, jnp.clip(state.damping, _DAMPINGS[0] * top, _DAMPINGS[1] * top), state.damping)
    damping = jnp.where(state.count == 0, -1, damping)  # not known yet
    pace = jnp.where(mending, _MEND, jnp.clip(_PACE * pace, *_PACES))
    found = _solved(state, curvature, at, g, (damping, pace, kept))
    damping = found.damping
    full, departed = curvature.ray(at, found.x)
    slope, square = jnp.vdot(g, found.x), jnp.vdot(found.x, found.x)
    bend = full + damping * square
    downhill = (slope < 0) & (bend > 0) & jnp.isfinite(bend) & jnp.isfinite(slope)
    alpha = jnp.where(downhill, jnp.minimum(-slope / jnp.where(downhill, bend, 1), 1), 0)

    def fall(length: Array) -> Array:
        return -length * slope - length**2 * full / 2

    share = _share(lambda part: departed(part * alpha), lambda part: fall(part * alpha), downhill, alpha)
    trust = jnp.where(mending, 1, state.trust) * jnp.minimum(rate, 1)
    scale = jnp.where(state.failed < _PATIENCE, share * alpha * trust, 0)
    x = jnp.where(downhill, found.x, 0)
    partial = (state.whole == 0) & curvature.parts
    unlike = partial & (full > _AGREE * found.curvature)
    shrunk = jnp.where(partial, jnp.maximum(state.hold // 2, _HOLDS[0]), state.hold)
    state = state._replace(
        count=state.count + 1,
        whole=jnp.where(unlike, state.hold, state.whole),
        hold=jnp.where(unlike, jnp.minimum(2 * state.hold, _HOLDS[1]), shrunk),
        iterations=found.iterations,
        rate=scale,
        clipped=(downhill & (alpha < 1)).astype(jnp.int32),
        damping=damping,
        top=jnp.where(jnp.isfinite(found.top), jnp.maximum(top, found.top), top),
        predicted=jnp.where(downhill, fall(scale), 0),
        direction=jnp.where(mending, state.direction, x),
        share=share,
    )
    return state, (at - theta) + scale * x


def _share(
    departed: Callable[[Array], Array], fall: Callable[[Array], Array], downhill: Array, like: Array
) -> Float[Array, ""]:
    """β, the part of a step that the outputs allow: their departure is of its square, and the fall of its length."""

    def look(carry: tuple) -> tuple:
        k, part, _ = carry
        fault = departed(part)
        ratio = _BENT * fall(part) / jnp.where(fault > 0, fault, 1)
        fine = (fault <= 0) | (ratio >= 0.5)
        shorter = jnp.where(jnp.isfinite(ratio), jnp.cbrt(jnp.clip(ratio, 1e-3, 1)), 0.1)
        return k + 1, jnp.where(fine, part, part * shorter), fine

    begin = jnp.zeros((), jnp.int32), jnp.ones_like(like), ~downhill
    return jax.lax.while_loop(lambda carry: ~carry[-1] & (carry[0] < _LOOKS), look, begin)[1]


def _judge(
    state: GaussNewtonState, theta: Array, gradient: Array, loss: Array
) -> tuple[GaussNewtonState, Float[Array, ""]]:
    """Accept the parameters that the last step led to, mend it, or keep those before it; adapt damping and trust.

    After two steps taken back in a row the parameters are back where they were, and the loss there replaces the one
    remembered, whatever it is: no reference outlives a change of the targets or one lucky minibatch. The pace is the
    relative fall of the loss per product.
    """
    first, again, mended = state.count == 0, state.failed >= _PATIENCE, state.mending > 0
    finite = jnp.isfinite(gradient).all() & jnp.isfinite(loss) & jnp.isfinite(theta).all()
    fall, known = state.value - loss, jnp.abs(state.value)
    good = finite & (first | again | (fall >= -_RISE * known))
    detour = finite & ~good & (state.failed == 0) & (-fall < _DETOUR * known)
    detour &= ~mended | ((state.mending < _MENDS) & (loss < _HALVED * state.trial))
    moved = theta - state.parameters
    slope = jnp.vdot(moved, state.gradient)
    downhill = (slope < 0) & ~first & finite
    q = jnp.abs(jnp.vdot(moved, gradient - state.gradient)) / jnp.where(downhill, -slope, 1)
    promised = (state.predicted > 0) & ~mended & ~again
    gain = jnp.clip(2 * fall / jnp.where(promised, state.predicted, 1) - 1, -1, 1)
    # Nielsen's rule (IMM-REP-1999-05): a third after a step that kept its promise, up to twice after one that did not
    eased = jnp.where(promised, jnp.maximum(1 - gain**3, 1 / 3), 1)
    # a step that the outputs cut short keeps its promise because it is short: the next solution is to be shorter
    eased = jnp.where(promised & (state.share < _BELOW), _STIFFER, eased)
    # the minimum along the step of the parabola through both losses and the slope
    rise = -fall - slope
    back = jnp.where(downhill & (rise > 0), jnp.clip(-slope / jnp.where(rise > 0, 2 * rise, 1), 0.1, 0.5), 0.5)
    grown = jnp.where(mended, state.trust, jnp.minimum(state.trust * _GROWTH, 1))
    trust = jnp.where(good, grown, jnp.maximum(state.trust * back, _LEAST))
    gained = fall / jnp.maximum(known, jnp.finfo(fall.dtype).tiny)
    pace = jnp.where(good & ~first & ~again, gained, 0) / (state.iterations + 3).astype(fall.dtype)
    bad = ~(good | detour)
    state = state._replace(
        trust=jnp.where(again | detour, state.trust, trust),
        damping=state.damping * jnp.where(good, eased, jnp.where(again | detour, 1, 4)),
        whole=jnp.maximum(state.whole - 1, 0),
        rejected=state.rejected + bad.astype(jnp.int32),
        failed=jnp.where(bad, jnp.minimum(state.failed + 1, _PATIENCE), 0),
        overshoot=jnp.where(downhill & jnp.isfinite(q), q, 0),
        value=jnp.where(good, loss, state.value),
        parameters=jnp.where(good, theta, state.parameters),
        gradient=jnp.where(good, gradient, state.gradient),
        direction=jnp.where(bad, 0, state.direction),
        mending=jnp.where(detour, state.mending + 1, 0),
        trial=jnp.where(finite, loss, state.trial),
    )
    return state, jnp.maximum(pace, 0)


def _solved(
    state: GaussNewtonState, curvature: Curvature, at: Array, g: Array, how: tuple[Array, Array, int]
) -> _Solution:
    """The solution at parameters ``at`` with the gradient ``g``; ``how`` is damping, pace and residuals kept."""
    start = jnp.where(state.mending > 0, 0, _WARM) * state.direction

    def on(whole: bool) -> Callable[[], _Solution]:
        return lambda: solve(curvature.linear(at, state.count, whole=whole), -g, start, _MOST[whole], how)

    if not curvature.parts:
        return on(True)()
    return jax.lax.cond(state.whole > 0, on(True), on(False))


def solve(
    product: Callable[[Array], Array], rhs: Array, start: Array, most: int, how: tuple[Array, Array, int]
) -> _Solution:
    """Conjugate gradients on ``(F + μ) x = rhs`` from the best multiple, at most 1, of ``start``.

    They end after ``most`` iterations, where the model ``φ = ½⟨x, (F + μ) x⟩ − ⟨rhs, x⟩`` gains less than ``pace`` per
    iteration, relative to itself, over two of them, and where a direction has no positive curvature. The first
    ``kept`` residuals are remembered and every residual is made orthogonal to them; ``how`` is μ, pace and kept.
    Where ``start`` is not zero its multiple costs one product that is not counted. A negative μ is not known yet, and
    becomes a part of the curvature along the first direction.
    """
    known, pace, kept = how

    def model(x: Array, r: Array) -> Array:
        return -jnp.vdot(x, rhs + r) / 2

    least = jnp.finfo(rhs.dtype).eps ** 2 * jnp.vdot(rhs, rhs)  # of a squared residual: the rest is rounding

    def going(carry: tuple) -> Array:
        return carry[-1] & (carry[0] < most)

    def iterate(carry: tuple) -> tuple:
        k, x, r, p, basis, top, damping, before, _ = carry
        warm = k < 0  # p is the start, and no conjugate direction
        image = product(p)
        rr, pp = jnp.vdot(r, r), jnp.vdot(p, p)
        damping = jnp.where(damping >= 0, damping, _begun(jnp.vdot(p, image), pp))
        y = image + damping * p
        bent = jnp.vdot(p, y)
        good = (bent > 0) & jnp.isfinite(bent) & (warm | (rr > least))
        length = jnp.where(good, jnp.where(warm, jnp.vdot(p, r), rr) / jnp.where(good, bent, 1), 0)
        length = jnp.where(warm, jnp.clip(length, 0, 1), length)
        unit = (r / jnp.sqrt(jnp.where(rr > 0, rr, 1)))[None]
        held = jax.lax.dynamic_update_slice_in_dim(basis, unit, jnp.maximum(k, 0), 0)
        basis = jnp.where(~warm & (k < len(basis)), held, basis)
        x = x + length * p
        r = jnp.where(good, r - length * y, r)
        r = jnp.where(good, r - (basis @ r) @ basis, r)
        stretched = jnp.sqrt(jnp.vdot(image, image) / jnp.where(pp > 0, pp, 1))
        top = jnp.where(good & ~warm, jnp.maximum(top, stretched), top)
        p = r + jnp.where(warm, 0, jnp.vdot(r, r) / jnp.where(rr > 0, rr, 1)) * p
        now, due = model(x, r), (k + 1) % _WINDOW == 0
        slow = due & (before - now <= _WINDOW * pace * jnp.abs(now))
        return k + 1, x, r, p, basis, top, damping, jnp.where(due, now, before), warm | (good & ~slow)

    zero = jnp.zeros_like(rhs)
    warm = jnp.any(start != 0) & jnp.isfinite(start).all()
    k = -warm.astype(jnp.int32)
    basis = jnp.zeros((min(kept, most), rhs.size), rhs.dtype)
    none = jnp.zeros_like(known)
    begin = k, zero, rhs, jnp.where(warm, start, rhs), basis, none, known, none, jnp.vdot(rhs, rhs) > 0
    k, x, r, _, _, top, damping, _, _ = jax.lax.while_loop(going, iterate, begin)
    return _Solution(x, jnp.vdot(x, rhs - r) - damping * jnp.vdot(x, x), top, k, damping)


def _begun(along: Array, square: Array) -> Array:
    """The first μ, a part of the curvature along a direction."""
    curvature = along / jnp.where(square > 0, square, 1)
    return jnp.where((curvature > 0) & jnp.isfinite(curvature), _DAMPING * curvature, 1).astype(along.dtype)
