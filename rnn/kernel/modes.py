"""Leading singular values of J by Rayleigh–Ritz on a block Krylov space of ``JᵀJ``."""

from __future__ import annotations

import functools
import math
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from rnn.kernel.checks import check_count
from rnn.kernel.operand import Operand
from rnn.kernel.products import fisher_block
from rnn.kernel.subspace import orthonormal

__all__ = [
    "Krylov",
    "Modes",
    "check_start",
    "generator",
    "grow",
    "krylov_step",
    "leading",
    "ritz_pairs",
    "shortfall",
]

_CAPACITY = 48  # basis vectors before a thick restart; half as many beside a start, which needs few
_STEPS = 4  # Krylov steps between two looks at the residuals


class Modes(eqx.Module):
    """Leading singular values of J and their right singular vectors, the parameter directions.

    Attributes:
        singular_values: σ_1 ≥ … ≥ σ_k; their squares are eigenvalues of the sNTK and of the Fisher matrix.
        directions: orthonormal directions v_i, a pytree like the parameters with leading axis k.
        vectors: the same, flat, (k, m).
        residuals: ``‖JᵀJ v_i − σ_i² v_i‖ / σ_i²``: a singular value lies within half of it, relatively.
        products: how many products ``JᵀJ v`` were spent.
        converged: which residuals are within the tolerance.
    """

    singular_values: Float[Array, " k"]
    directions: Any
    vectors: Float[Array, "k m"]
    residuals: Float[Array, " k"]
    products: int
    converged: np.ndarray


class Krylov(NamedTuple):
    """A basis with its images and the Ritz pairs on it.

    Attributes:
        values: the k leading Ritz values of ``JᵀJ``, descending.
        vectors: their Ritz vectors, rows, orthonormal.
        errors: ``‖JᵀJ v − λ v‖`` of each.
        accepted: which are within the tolerance.
        products: products spent.
    """

    values: np.ndarray
    vectors: Float[Array, "k m"]
    errors: np.ndarray
    accepted: np.ndarray
    products: int


def leading(
    kernel: Operand,
    k: int,
    *,
    tolerance: float = 1e-6,
    key: PRNGKeyArray | None = None,
    start: Float[Array, "p m"] | None = None,
    max_products: int = 2000,
    confirm: bool = True,
) -> Modes:
    """The k leading singular values of J with their parameter directions.

    Grows a block Krylov space of ``JᵀJ`` with full orthogonalisation and thick restarts until the residuals, which are
    computed and not estimated, are within the tolerance.

    Args:
        kernel: the operator.
        k: how many, at most min(rows, m).
        tolerance: largest ``‖JᵀJ v − σ² v‖/(2σ²)`` accepted, a bound on the relative error of σ; rounding is a floor,
            ``20 ε σ_1²/σ²`` with ε of the kernel's dtype.
        key: randomness of the start; fixed if ``None``.
        start: directions to start from, such as the ``vectors`` of a moment ago; random ones, as many as k but at most
            two, if ``None``.
        max_products: budget; a mode that has not converged by then says so in ``converged``.
        confirm: follow a random direction for four steps, once all seems found or, beside ``start``, from the first
            step on, to see a second mode of a value of more copies than there are start directions, or one that
            ``start`` does not contain. What it has a component of less than the others' after these steps is still
            missed.

    Raises:
        ValueError: ``k`` is out of range, ``tolerance`` is not positive, or ``start`` does not fit.
    """
    found = grow(kernel, k, k, tolerance, key, start, max_products, confirm)
    values = found.values
    return Modes(
        jnp.asarray(np.sqrt(values)),
        _directions(kernel, found.vectors),
        found.vectors,
        jnp.asarray(found.errors / np.maximum(values, np.finfo(values.dtype).tiny)),
        found.products,
        found.accepted,
    )


def grow(
    kernel: Operand,
    k: int,
    needed: int,
    tolerance: float,
    key: PRNGKeyArray | None,
    start: Float[Array, "p m"] | None,
    max_products: int,
    confirm: bool = True,
) -> Krylov:
    """The k leading Ritz pairs of ``JᵀJ``, the first ``needed`` of them within the tolerance.

    One start vector shows one direction of every eigenspace, so that there are two where two are needed: a double value
    is found like any other. Where the space is exhausted, and with ``confirm`` once all seems found, a random direction
    is added and followed for a few steps: that shows what is left of higher multiplicities. Beside a given start it is
    there from the first step on, as the last of the block.
    """
    m = kernel.shape[1]
    if isinstance(k, bool) or not isinstance(k, int) or not 1 <= k <= min(kernel.shape):
        raise ValueError(f"k must be an integer from 1 to {min(kernel.shape)}, got {k!r}")
    if not tolerance > 0:
        raise ValueError(f"tolerance must be positive, got {tolerance!r}")
    check_count("max_products", max_products)
    random = generator(key)
    draw = lambda count: random.standard_normal((count, m), kernel.dtype)  # noqa: E731
    block = draw(min(needed, 2)) if start is None else check_start(kernel, start)
    capacity = min(m, max(_CAPACITY if start is None else _CAPACITY // 2, 3 * k, k + 3 * block.shape[0] + 3))
    following, alone = None, 0  # for how many steps a random direction has been, and will at once be followed
    if start is not None and confirm and block.shape[0] + _STEPS <= capacity:
        block, following, alone = jnp.concatenate([block, draw(1)]), 0, _STEPS - 1
    basis = images = np.zeros((capacity, m), kernel.dtype)
    filled = products = 0
    floor = 20 * float(np.finfo(kernel.dtype).eps)
    seen = np.full(needed, np.inf, kernel.dtype)
    most = min(max(_STEPS, 3 * needed), max_products) if start is None else _STEPS  # products before the next look
    while True:
        width = min(block.shape[0], capacity - filled)
        depth, most = max(1, min(-(-most // width), (capacity - filled - alone) // width)), _STEPS
        block = block if width == block.shape[0] else block[:width]
        step = _grow(kernel, basis, images, np.int32(filled), block, np.int32(depth), alone, k)
        basis, images, block, rotation, vectors = step[:5]
        values, errors, fresh, rank = _on_host(step[5:])
        filled, products = filled + depth * width + alone, products + depth * width + alone
        following, alone = None if following is None else following + depth + alone, 0
        accepted = errors <= 2 * tolerance * values + floor * values[0]
        good = rank >= k and bool(accepted[:needed].all())
        confirmed = not confirm or (following is not None and (following >= _STEPS or fresh == 0))
        risen = bool(np.any(values[:needed] > seen * (1 + 2 * tolerance)))
        if (good and confirmed and not risen) or rank == m or products >= max_products:
            return Krylov(values, vectors, errors, accepted, products)
        if fresh == 0 or (good and (following is None or confirmed)):
            block, following = draw(1), 0 if confirm and good else None
        elif fresh <= 2:  # what has converged adds nothing; of few widths, as each is compiled
            block = block[:fresh]
        seen = values[:needed] if good else seen
        if rank < filled or capacity - filled < block.shape[0]:
            filled = rank if rank <= capacity - block.shape[0] else max(k + block.shape[0], capacity // 2)
            filled = int(min(filled, rank, capacity - min(block.shape[0], max(1, capacity - k))))
            basis, images = _rotated(rotation, basis, images)


def generator(key: PRNGKeyArray | None) -> np.random.Generator:
    """NumPy's generator for draws between compiled programs; a PRNG key, or ``None`` for always the same numbers."""
    return np.random.default_rng(0 if key is None else np.asarray(jax.random.key_data(key)))


def _on_host(numbers: tuple[Array, ...]) -> tuple[np.ndarray, ...]:
    if isinstance(numbers[0], jax.core.Tracer):
        raise ValueError(
            "leading modes and estimates stop at a tolerance and cannot be compiled into a jitted function; "
            "use rnn.kernel.trace.diagnostics or subspace_step there"
        )
    return tuple(np.asarray(x) for x in numbers)


def check_start(kernel: Operand, start: Float[Array, "p m"]) -> Float[Array, "p m"]:
    """``start`` as an array, if it is a block of directions of this kernel.

    Raises:
        ValueError: it is not.
    """
    start, m = jnp.asarray(start), kernel.shape[1]
    if start.ndim != 2 or start.shape[1] != m or not 1 <= start.shape[0] <= m or start.dtype != kernel.dtype:
        raise ValueError(
            f"start must have shape (p, {m}) with 1 ≤ p ≤ {m} and dtype {kernel.dtype}, got {start.shape} {start.dtype}"
        )
    if not isinstance(start, jax.core.Tracer) and not np.all(np.isfinite(start)):
        raise ValueError("start must be finite; leave it out for a random one")
    return start


def krylov_step(
    kernel: Operand, start: Float[Array, " m"], least: int, most: int, tolerance: float
) -> tuple[Array, Array, Array]:
    """Ritz values, vectors and :func:`shortfall` on ``span{v, JᵀJ v, …}``, grown until the last is within tolerance.

    Args:
        kernel: the operator.
        start: v.
        least: dimension to begin with.
        most: dimension to end with at the latest; where less is reached, what is missing is zero.
        tolerance: of the leading Ritz value, relatively.
    """
    empty = jnp.zeros((most, kernel.shape[1]), kernel.dtype)

    def extend(state):
        filled, basis, images, block, *_ = state
        basis, images, block, _ = _extend(kernel, basis, images, filled, block, 1)
        values, rotation, _ = _ritz(basis, images)
        vectors, errors = _pairs(basis, images, values, rotation)
        return filled + 1, basis, images, block, values, vectors, shortfall(values, errors)

    def unsettled(state):
        return (state[0] < least) | ((state[0] < most) & (state[-1] > tolerance))

    nothing = jnp.zeros(most, kernel.dtype)
    state = jnp.zeros((), jnp.int32), empty, empty, start[None], nothing, empty, jnp.ones((), kernel.dtype)
    *_, values, vectors, short = jax.lax.while_loop(unsettled, extend, state)
    return values, vectors, short


def shortfall(values: Float[Array, " k"], errors: Float[Array, " k"]) -> Float[Array, ""]:
    """By how much the leading Ritz value may be too small, relatively: Temple's ``e²/(λ_1 − λ_2)/λ_1`` or ``e/λ_1``."""
    top, second = values[0], values[1] if values.shape[0] > 1 else 0 * values[0]
    gap = jnp.maximum(jnp.maximum(top - second, errors[0]) * top, jnp.finfo(values.dtype).tiny)
    return jnp.where(errors[0] > 0, errors[0] ** 2 / gap, 0)


def ritz_pairs(kernel: Operand, start: Float[Array, " m"], steps: int) -> tuple[Array, Array]:
    """Ritz values, descending, and vectors on ``span{v, JᵀJ v, …}`` of ``steps`` dimensions; zero if it has fewer."""
    empty = jnp.zeros((steps, kernel.shape[1]), kernel.dtype)
    basis, images, _, _ = _extend(kernel, empty, empty, 0, start[None], steps)
    values, rotation, _ = _ritz(basis, images)
    return values, rotation @ basis


@jax.jit
def _directions(kernel: Operand, vectors: Array) -> Any:
    return kernel.unflatten(vectors)


@jax.jit
def _rotated(rotation: Array, basis: Array, images: Array) -> tuple[Array, Array]:
    return rotation @ basis, rotation @ images


@functools.partial(jax.jit, static_argnums=(6, 7))
def _grow(
    kernel: Operand, basis: Array, images: Array, filled: Array, block: Array, depth: Array, alone: int, k: int
) -> tuple[Array, Array, Array, Array, Array, Array, Array, Array, Array]:
    """The first ``filled`` rows extended: basis, images, next block, rotation to the Ritz vectors, k of these, numbers.

    After ``depth`` steps with the block its last row makes ``alone`` more by itself. The numbers are k Ritz values,
    their residual norms, how many rows of the next block are new (they come first), how many of the basis are filled.
    """
    keep = (jnp.arange(basis.shape[0], dtype=filled.dtype) < filled)[:, None]
    basis, images = jnp.where(keep, basis, 0), jnp.where(keep, images, 0)
    basis, images, block, _ = _extend(kernel, basis, images, filled, block, depth)
    if alone:
        filled = filled + depth * block.shape[0]
        basis, images, last, _ = _extend(kernel, basis, images, filled, block[-1:], alone)
        block = jnp.concatenate([block[:-1], last])
    new = jnp.any(block != 0, axis=1)
    block, fresh = block[jnp.argsort(~new)], new.sum(dtype=jnp.int32)
    values, rotation, rank = _ritz(basis, images)
    vectors, errors = _pairs(basis, images, values[:k], rotation[:k])
    return basis, images, block, rotation, vectors, values[:k], errors, fresh, rank


def _extend(
    kernel: Operand, basis: Array, images: Array, filled: int | Array, block: Array, depth: int | Array
) -> tuple[Array, Array, Array, Array]:
    """``depth`` block Krylov steps; also the next block, orthogonal to the space, and how many of its rows are new."""

    def step(i, carry):
        basis, images, new, _ = carry
        image = fisher_block(kernel, new)
        at = filled + i * new.shape[0]
        basis = jax.lax.dynamic_update_slice_in_dim(basis, new, at, 0)
        images = jax.lax.dynamic_update_slice_in_dim(images, image, at, 0)
        return basis, images, *_new_directions(basis, image)

    return jax.lax.fori_loop(0, depth, step, (basis, images, *_new_directions(basis, block)))


def _new_directions(basis: Array, block: Array) -> tuple[Array, Array]:
    """Orthonormal rows for what ``block`` adds to ``basis`` (zero rows where it adds rounding), and their number."""
    scale = jnp.linalg.norm(block, axis=1, keepdims=True)
    block = block / jnp.where(scale > 0, scale, 1)
    rest = block - (block @ basis.T) @ basis
    rest = rest - (rest @ basis.T) @ basis
    q, lower = orthonormal(rest)
    left, eps = jnp.abs(jnp.diagonal(lower)), float(jnp.finfo(block.dtype).eps)

    def doubtful(q):  # of a unit vector what was only rounding lies in the space again
        q = q - (q @ basis.T) @ basis
        size = jnp.linalg.norm(q, axis=1)
        new = (left > 50 * eps) & (size > 1 / 2)
        return jnp.where(new[:, None], q / jnp.where(new, size, 1)[:, None], 0), new.sum(dtype=jnp.int32)

    def clear(q):
        return q, jnp.asarray(q.shape[0], jnp.int32)

    return jax.lax.cond(jnp.all(left > math.sqrt(eps)), clear, doubtful, q)


def _ritz(basis: Array, images: Array) -> tuple[Array, Array, Array]:
    """Ritz values (descending), the rotation of the basis to their vectors, how many; unfilled rows come last, as 0."""
    gram = basis @ images.T
    empty = ~jnp.any(basis != 0, axis=1)
    gram = (gram + gram.T) / 2 - jnp.diag(jnp.where(empty, jnp.trace(gram) + 1, 0))
    values, rotation = jnp.linalg.eigh(gram)
    values, rotation = jnp.maximum(values[::-1], 0), rotation[:, ::-1].T
    return values, rotation, (~empty).sum(dtype=jnp.int32)


def _pairs(basis: Array, images: Array, values: Array, rotation: Array) -> tuple[Array, Array]:
    """Ritz vectors and their residual norms."""
    vectors = rotation @ basis
    return vectors, jnp.linalg.norm(rotation @ images - values[:, None] * vectors, axis=1)
