"""Low-rank natural gradient and its relatives as one Optax transformation."""

from __future__ import annotations

import math
import warnings
from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array

from rnn.models import Leaves
from rnn.natural_gradient.clipped import LowRankState, begin_clipped, clipped_step
from rnn.natural_gradient.curvature import Fisher, Given
from rnn.natural_gradient.flat import Curvature
from rnn.natural_gradient.plane import RATE, PlaneState, begin_plane, plane_step
from rnn.natural_gradient.truncated import GaussNewtonState, begin_truncated, truncated_step

__all__ = ["State", "low_rank_natural_gradient"]

State = LowRankState | GaussNewtonState | PlaneState
_MODES = ("smooth", "fast", "stochastic")
_RANK, _THRESHOLD = 4, 1.0
_APART = 0.1  # relative difference of value and the products' loss that is told
_KEPT = 60  # residuals of a solve of fast mode


def low_rank_natural_gradient(
    learning_rate: optax.ScalarOrSchedule | None = None,
    *,
    mode: Literal["smooth", "fast", "stochastic"] = "smooth",
    rank: int | None = None,
    threshold: float | None = None,
    fisher: Fisher | None = None,
) -> optax.GradientTransformationExtraArgs:
    """Training that follows the curvature of the Fisher (Gauss–Newton) matrix F, in one of three ways.

    *Smooth* is gradient descent with rate η that shortens its step along the leading eigenpairs ``(λ_i, V_i)`` of F,

        u = G − Σ_i (1 − min(1, τ/(η λ_i))) ⟨V_i, G⟩ V_i,      θ ← θ − η u:

    plain descent but for the jumps (:mod:`rnn.natural_gradient.clipped`). *Fast*, for gradient and loss of the full
    batch, solves ``(F + μ I) x = −G`` by conjugate gradients and needs no rate; a step that raises the loss is taken
    back (:mod:`rnn.natural_gradient.truncated`). *Stochastic*, for fresh minibatches, orthogonalises momentum as Muon
    does, takes the length of a step from the curvature of the same minibatch, needs no rate, and judges the step on
    that minibatch (:mod:`rnn.natural_gradient.plane`).

    Smooth mode follows at most ``rank`` modes by averaged power steps, one product per update while a round lasts.
    Rounds begin every E updates, at once if ``|q|`` passes 0.1, and when a step is taken back. E doubles or halves
    with the leak ``max_i η λ_i (1 − ‖P_old V_i‖²)``, up to 100. A round follows the modes with ``η λ_i > τ/2`` and one
    more. The first six rounds, begun with the gradient and over all ``rank`` directions, follow each other; until they
    end the rate is at most ``τ/λ_1`` with the largest curvature seen, safe in every direction.

    In every mode a loss or gradient that is not finite is taken back or left out, and what a step is judged by is
    renewed: smooth and fast take a step back at most twice in a row, then return to its start and accept what they
    find there.

    ``update(grads, state, params, fisher=…, value=…, model=…)`` needs ``params``, the product (here or at
    construction; :func:`rnn.fisher_of` and :func:`rnn.gauss_newton` make one) and in fast mode the loss ``value`` at
    ``params``; a value from elsewhere is judged all the same. Fast and stochastic mode warn once where the products are
    of a loss which at the first ``params`` is not ``value``. ``model`` is the whole model where ``params`` is a part
    of it: inside ``optax.masked`` and ``optax.partition``, and for Equinox models filtered to their arrays.
    ``optax.MultiSteps(…).gradient_transformation()`` drops extra arguments: give the product at construction there.
    In an Optax chain put what changes gradients before it, and in fast mode nothing that rescales updates after it.

    Args:
        learning_rate: η, a number or a schedule of the count of updates; a schedule's negative values count as 0. In
            fast mode the part of the step that is made, at most 1, which is what it is unless given. In stochastic
            mode the most that the first step may change a parameter, root mean square; 1e-1 unless given.
        mode: ``"smooth"``, ``"fast"`` or ``"stochastic"``.
        rank: of smooth mode, cap k on the number of modes followed, and at most the number of parameters; 4. Of fast
            mode, vectors like the parameters that a solve keeps while it lasts; 60. Fewer take less memory and more
            products.
        threshold: of smooth mode, τ, at most 2; 1.
        fisher: the product; where given, the one that ``update`` is passed is not used.

    Returns:
        The transformation. Leaves that are not inexact get an update of zero.

    Raises:
        ValueError: an argument is out of range; on ``init``, complex parameters; on ``update``, ``params``,
            ``fisher``, ``value`` or a part of the model is missing.
    """
    _check(learning_rate, mode, rank, threshold)
    given = fisher.products if isinstance(fisher, Given) else fisher
    eta = {"smooth": learning_rate, "fast": 1.0, "stochastic": RATE}[mode] if learning_rate is None else learning_rate

    def init(params: Any) -> State:
        kept = _arrays(params)
        flat = Leaves.of(kept).flatten(kept)
        if mode == "smooth":
            return begin_clipped(flat, _RANK if rank is None else rank)
        return begin_truncated(flat) if mode == "fast" else begin_plane(flat)

    def update(
        updates: Any,
        state: State,
        params: Any = None,
        *,
        value: Any = None,
        fisher: Fisher | None = None,
        model: Any = None,
        **_: Any,
    ) -> tuple[Any, State]:
        products = fisher if given is None else given
        missing = "params" if params is None else "value" if mode == "fast" and value is None else "fisher"
        if products is None or missing != "fisher":
            raise ValueError(f"low_rank_natural_gradient in {mode} mode needs {missing}: pass update(…, {missing}=…)")
        kept = _arrays(params)
        model = params if model is None and _functions(params) else model
        leaves = Leaves.of(kept)
        theta, gradient = leaves.flatten(kept), leaves.flatten(updates)
        if theta.size == 0:
            return _like(updates, kept, kept, leaves), state
        rate = eta(state.count) if callable(eta) else eta
        rate = jnp.maximum(jnp.asarray(rate).astype(theta.dtype), 0)
        loss = None if value is None else jnp.asarray(value).astype(theta.dtype)
        curvature = Curvature(products, leaves, kept, model)
        if loss is not None and not isinstance(state, LowRankState):
            jax.lax.cond(state.count == 0, lambda: _agree(curvature.value(theta), loss), lambda: jnp.zeros(()))
        if isinstance(state, LowRankState):
            limit = _THRESHOLD if threshold is None else threshold
            state, move = clipped_step(state, theta, gradient, loss, rate, curvature, limit)
        elif isinstance(state, GaussNewtonState):
            held = _KEPT if rank is None else rank
            state, move = truncated_step(state, theta, gradient, _known(loss), rate, curvature, held)
        else:
            state, move = plane_step(state, theta, gradient, loss, rate, curvature)
        return _like(updates, leaves.unflatten(move, kept), kept, leaves), state

    return optax.GradientTransformationExtraArgs(init, update)


def _check(learning_rate: Any, mode: str, rank: int | None, threshold: Any) -> None:
    if mode not in _MODES:
        raise ValueError(f'mode must be "smooth", "fast" or "stochastic", got {mode!r}')
    if learning_rate is None and mode == "smooth":
        raise ValueError("learning_rate must be given in smooth mode, got None: the rate of plain descent")
    if isinstance(learning_rate, int | float) and not (0 <= learning_rate < math.inf):
        raise ValueError(f"learning_rate must be finite and not negative, got {learning_rate!r}")
    if rank is not None and (isinstance(rank, bool) or not isinstance(rank, int) or rank < 1):
        raise ValueError(
            f'rank must be a positive integer, got {rank!r}; optax.inject_hyperparams needs static_args=("rank",)'
        )
    if isinstance(threshold, int | float) and not 0 < threshold <= 2:
        raise ValueError(f"threshold must lie in (0, 2], beyond which steps are unstable, got {threshold!r}")


def _arrays(params: Any) -> Any:
    """``params`` without what is not a number, as the functions of an Equinox model."""
    return eqx.filter(params, eqx.is_array_like) if _functions(params) else params


def _functions(params: Any) -> bool:
    return not all(
        eqx.is_array_like(leaf) or isinstance(leaf, jax.ShapeDtypeStruct) for leaf in jax.tree.leaves(params)
    )


def _agree(own: Array | None, loss: Array | None) -> Array:
    """Warns where the products are of another loss than the one passed; returns 0.0."""
    return jnp.zeros(()) if own is None else _compared(own, _known(loss))


@jax.custom_batching.custom_vmap
def _compared(own: Array, loss: Array) -> Array:
    jax.debug.callback(_warn, own, loss)
    return jnp.zeros(())


@_compared.def_vmap
def _(size: int, batched: list[bool], own: Array, loss: Array) -> tuple[Array, bool]:
    # conditions become selections under vmap: this one would call back at every update
    return jnp.zeros(()), False


def _warn(own: Any, loss: Any) -> None:
    own, loss = float(own), float(loss)
    if abs(own - loss) > _APART * max(abs(own), abs(loss)):
        warnings.warn(
            f"value is {loss:.6g} at the first update, but the loss that fisher is made of is {own:.6g} there: give "
            "both the same loss and batch (a regulariser may be left out of fisher)",
            stacklevel=2,
        )


def _known(loss: Array | None) -> Array:
    assert loss is not None  # asked for above
    return loss


def _like(updates: Any, move: Any, params: Any, leaves: Leaves) -> Any:
    """``move`` in the dtypes of the gradients; zeros for leaves that are not inexact."""
    triples = zip(*(leaves.structure.flatten_up_to(t) for t in (updates, move, params)), leaves.moving, strict=True)
    out = [m.astype(jnp.result_type(g)) if moves else jnp.zeros_like(p) for g, m, p, moves in triples]
    return jax.tree.unflatten(leaves.structure, out)
