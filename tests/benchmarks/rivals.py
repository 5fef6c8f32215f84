"""Optimizers to hold natural gradient against, and how each trains one of :mod:`problems`.

SOAP and Shampoo are written here after their papers, for want of a package that runs: SOAP has none for JAX in the
Python index, and optax-shampoo 0.0.6 asks for ``jax.tree_map``, which JAX no longer has. K-FAC is kfac-jax (group
``bench``); without it :func:`course` returns ``None``.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

import rnn

__all__ = ["RIVALS", "Rival", "course", "shampoo", "soap"]


class _Moments(NamedTuple):
    """Averages of one leaf: of the gradient, its square, and of a matrix ``G Gᵀ`` and ``Gᵀ G`` with what follows."""

    mean: Any
    square: Any
    factors: Any  # (left, right) of a matrix, () otherwise
    sides: Any  # SOAP: bases of eigenvectors; Shampoo: inverse fourth roots


class _State(NamedTuple):
    count: Any
    leaves: Any


def _begin(params: Any) -> _State:
    def moments(x: Any) -> _Moments:
        sizes = x.shape if x.ndim == 2 else ()
        factors = tuple(jnp.zeros((n, n), x.dtype) for n in sizes)
        return _Moments(jnp.zeros_like(x), jnp.zeros_like(x), factors, tuple(jnp.eye(n, dtype=x.dtype) for n in sizes))

    return _State(jnp.zeros((), jnp.int32), [moments(x) for x in jax.tree.leaves(params)])


def _averaged(old: _Moments, g: Any, b1: float, b2: float) -> _Moments:
    """The averages after a gradient; the square is of the gradient as ``old.sides`` turn it."""
    pairs = zip(old.factors, (g @ g.T, g.T @ g) if old.factors else (), strict=True)
    return old._replace(mean=b1 * old.mean + (1 - b1) * g, factors=tuple(b2 * f + (1 - b2) * new for f, new in pairs))


def _unbiased(average: Any, decay: float, count: Any) -> Any:
    return average / (1 - jnp.power(decay, count.astype(average.dtype)))


def _transformation(step: Callable[[_Moments, Any, Any], tuple[_Moments, Any]], rate: Any) -> Any:
    """An Optax transformation of one step per leaf: ``(moments, gradient, count from 1) -> moments, direction``."""

    def update(gradients: Any, state: _State, params: Any = None) -> tuple[Any, _State]:
        flat, structure = jax.tree.flatten(gradients)
        count = state.count + 1
        found = [step(moments, g, count) for moments, g in zip(state.leaves, flat, strict=True)]
        moves = [-rate * direction for _, direction in found]
        return jax.tree.unflatten(structure, moves), _State(count, [moments for moments, _ in found])

    return optax.GradientTransformation(_begin, update)


def soap(rate: Any, b1: float = 0.95, b2: float = 0.95, eps: float = 1e-8, every: int = 10) -> Any:
    """Adam in the eigenbasis of Shampoo's factors, which one power iteration every ten steps follows.

    The first gradient gives the basis and moves nothing. (Vyas et al., ICLR 2025, algorithm 3.)
    """

    def turn(x: Any, sides: Any) -> Any:
        return sides[0].T @ x @ sides[1] if sides else x

    def back(x: Any, sides: Any) -> Any:
        return sides[0] @ x @ sides[1].T if sides else x

    def followed(moments: _Moments) -> _Moments:
        square, sides = moments.square, []
        for axis, (factor, basis) in enumerate(zip(moments.factors, moments.sides, strict=True)):
            order = jnp.argsort(-jnp.sum(basis * (factor @ basis), 0))
            square = jnp.take(square, order, axis)
            sides.append(jnp.linalg.qr(factor @ basis[:, order])[0])
        return moments._replace(square=square, sides=tuple(sides))

    def begun(moments: _Moments) -> _Moments:
        return moments._replace(sides=tuple(jnp.linalg.eigh(f)[1][:, ::-1] for f in moments.factors))

    def step(old: _Moments, g: Any, count: Any) -> tuple[_Moments, Any]:
        new, first = _averaged(old, g, b1, b2), count == 1
        moments = new._replace(square=b2 * old.square + (1 - b2) * turn(g, old.sides) ** 2)
        if old.factors:
            moments = moments._replace(
                mean=jnp.where(first, 0, moments.mean), square=jnp.where(first, 0, moments.square)
            )
            count = jnp.maximum(count - 1, 1)
        size = jnp.sqrt(_unbiased(moments.square, b2, count)) + eps
        direction = back(_unbiased(turn(moments.mean, old.sides), b1, count) / size, old.sides)
        if old.factors:
            direction = jnp.where(first, 0, direction)
            moments = jax.lax.cond(
                first, begun, lambda m: jax.lax.cond(count % every == 0, followed, lambda m: m, m), moments
            )
        return moments, direction

    return _transformation(step, rate)


def shampoo(
    rate: Any, b1: float = 0.9, b2: float = 0.99, eps: float = 1e-8, ridge: float = 1e-6, every: int = 10
) -> Any:
    """``L^{-1/4} M R^{-1/4}`` at the length of Adam's step, the roots taken anew every ten steps.

    M, L and R average G, ``G Gᵀ`` and ``Gᵀ G``; ``ridge`` is of the largest eigenvalue. (Gupta et al., ICML 2018; with
    averages and grafting as Anil et al., arXiv:2002.09018.)
    """

    def root(factor: Any) -> Any:
        values, vectors = jnp.linalg.eigh(factor)
        floor = jnp.maximum(ridge * values[-1], jnp.finfo(factor.dtype).tiny)
        return (vectors * (jnp.maximum(values, 0) + floor) ** -0.25) @ vectors.T

    def step(old: _Moments, g: Any, count: Any) -> tuple[_Moments, Any]:
        new = _averaged(old, g, b1, b2)
        moments = new._replace(square=b2 * old.square + (1 - b2) * g**2)
        adam = _unbiased(moments.mean, b1, count) / (jnp.sqrt(_unbiased(moments.square, b2, count)) + 1e-8)
        if not old.factors:
            return moments, adam
        due = (count == 1) | (count % every == 0)
        sides = jax.lax.cond(due, lambda m: tuple(map(root, m.factors)), lambda m: m.sides, moments)
        direction = sides[0] @ moments.mean @ sides[1]
        length = jnp.linalg.norm(direction)
        grafted = direction * (jnp.linalg.norm(adam) / jnp.where(length > 0, length, 1))
        return moments._replace(sides=sides), grafted

    return _transformation(step, rate)


class Rival(NamedTuple):
    """An optimizer made from a rate, where the search for the best rate begins, and how many steps are one call."""

    make: Callable[[Any], Any]
    rate: float
    chunk: int = 10


RIVALS = {
    "fast": Rival(lambda rate: rnn.low_rank_natural_gradient(rate, mode="fast"), 1.0, 1),
    "sgd": Rival(optax.sgd, 3e-2),
    "clipped": Rival(lambda rate: optax.chain(optax.clip_by_global_norm(1.0), optax.sgd(rate)), 3e-2),
    "momentum": Rival(lambda rate: optax.sgd(rate, momentum=0.9), 1e-2),
    "adam": Rival(optax.adam, 3e-3),
    "muon": Rival(optax.contrib.muon, 1e-2),
    "soap": Rival(soap, 1e-2),
    "shampoo": Rival(shampoo, 1e-2),
    "kfac": Rival(lambda damping: damping, 1e-2, 1),  # its rate and momentum are its own; what is tuned is the damping
}


class Course(NamedTuple):
    """``begin(rate, problem) -> carry`` and ``advance(carry, rate, batch) -> carry, losses``, compiled.

    It serves the problem that it was made for and those that differ from it in their arrays alone.
    """

    begin: Callable[[float, Any], Any]
    advance: Callable[[Any, float, Any], tuple[Any, np.ndarray]]


def course(name: str, problem: Any) -> Course | None:
    """How an optimizer trains a problem on its whole batch; ``None`` where its package is missing."""
    if name == "kfac":
        return _kfac(problem) if importlib.util.find_spec("kfac_jax") else None
    make, _, chunk = RIVALS[name]

    def run(carry: Any, rate: Any, batch: Any) -> Any:
        optimizer, products = optax.with_extra_args_support(make(rate)), problem.products(batch)

        def step(carry: Any, _: None) -> Any:
            p, state = carry
            loss, gradient = jax.value_and_grad(problem.value)(p, batch)
            update, state = optimizer.update(gradient, state, p, value=loss, fisher=products)
            return (optax.apply_updates(p, update), state), loss

        return jax.lax.scan(step, carry, length=chunk)

    def begin(rate: float, problem: Any) -> Any:
        return jax.tree.map(jnp.array, problem.start), make(np.float32(rate)).init(problem.start)

    compiled = jax.jit(run).lower(begin(RIVALS[name].rate, problem), np.float32(1), problem.batch).compile()

    def advance(carry: Any, rate: float, batch: Any) -> tuple[Any, np.ndarray]:
        carry, loss = compiled(carry, np.float32(rate), batch)
        return carry, np.asarray(loss)

    return Course(begin, advance)


def _kfac(problem: Any) -> Course:
    """kfac-jax with its own rate, momentum and damping, from an initial damping.

    Networks that are unrolled by a loop it takes for one block, of which it keeps the diagonal.
    """
    import kfac_jax
    from kfac_jax._src import tag_graph_matcher

    # 0.0.8 unpacks two values where JAX 0.10 returns the second alone, and stops with "too many values to unpack"
    tag_graph_matcher.eval_jaxpr_eqn = _evaluated

    def loss(p: Any, batch: Any) -> Any:
        read = problem.outputs(p, batch)
        if problem.loss is None:
            flat, targets = (x.reshape(len(x), -1) for x in (read, batch["y"]))
            kfac_jax.register_squared_error_loss(flat, targets, weight=1 / flat.shape[1])
        else:
            labels = jnp.broadcast_to(batch["shown"][:, None], read.shape[:2]).reshape(-1)
            rows = read.reshape(len(labels), -1)  # kfac-jax divides by the samples, and each has one row per step
            kfac_jax.register_softmax_cross_entropy_loss(rows, labels, weight=1 / read.shape[1])
        return problem.value(p, batch)

    adaptive = dict.fromkeys(("use_adaptive_learning_rate", "use_adaptive_momentum", "use_adaptive_damping"), True)
    options = {"l2_reg": 0.0, "initial_damping": 1.0, "min_damping": 1e-12, "num_burnin_steps": 0}
    optimizer = kfac_jax.Optimizer(jax.value_and_grad(loss), **adaptive, **options)

    def begin(damping: float, problem: Any) -> Any:
        p, key = jax.tree.map(jnp.array, problem.start), jax.random.PRNGKey(0)
        state = optimizer.init(p, key, problem.batch)
        state.damping = jnp.asarray(damping, state.damping.dtype)
        return p, state, key, 0

    def advance(carry: Any, _: float, batch: Any) -> tuple[Any, np.ndarray]:
        p, state, key, count = carry
        key, own = jax.random.split(key)
        p, state, seen = optimizer.step(p, state, own, batch=batch, global_step_int=count)
        return (p, state, key, count + 1), np.asarray(seen["loss"])[None]

    carry = begin(1.0, problem)
    for _ in range(12):  # each kind of step compiled
        carry, _ = advance(carry, 1.0, problem.batch)
    return Course(begin, advance)


def _evaluated(equation: Any, values: Any) -> list[Any]:
    out = equation.primitive.bind(*values, **equation.primitive.get_bind_params(equation.params))
    return out if isinstance(out, list) else [out]
