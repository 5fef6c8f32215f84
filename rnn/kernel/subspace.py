"""The leading eigenpairs of a matrix that changes, followed by averaged power steps on a noisy product.

With products ``F_b V`` on changing sub-batches b, one step forms ``Y = ρ F_b V + (1 − ρ) V Λ``, the product of V with
a running average of F, and takes its left singular vectors and singular values as the new V and Λ. It may do so for
some of the columns at a time, the others being ``V Λ`` unchanged. A power step alone
forgets what the last sub-batch did not show; a fixed sub-batch follows the wrong matrix.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

__all__ = ["Subspace", "aim", "follow", "learn", "orthonormal", "random_subspace"]


class Subspace(NamedTuple):
    """Approximate eigenpairs of F, leading first.

    Attributes:
        vectors: orthonormal rows V_i, (k, m).
        values: λ_i ≥ 0; zero where nothing is known yet.
        width: how many leading rows are followed; the others wait, orthonormal to them.
        turn: rounds over the followed rows so far; it chooses the sub-batch.
        row: where the next product starts.
    """

    vectors: Float[Array, "k m"]
    values: Float[Array, " k"]
    width: Int[Array, ""]
    turn: Int[Array, ""]
    row: Int[Array, ""]


def random_subspace(rank: int, size: int, dtype: jnp.dtype, seed: int = 0) -> Subspace:
    """Random orthonormal directions with unknown values, at most ``size`` of them."""
    rows = min(rank, size)
    block = jax.random.normal(jax.random.key(seed), (size, rows), dtype)
    none = (jnp.zeros((), jnp.int32) for _ in range(2))
    return Subspace(orthonormal(block.T)[0], jnp.zeros(rows, dtype), jnp.full((), rows, jnp.int32), *none)


@jax.jit
def orthonormal(rows: Float[Array, "k m"]) -> tuple[Float[Array, "k m"], Float[Array, "k k"]]:
    """``rows = L Q`` with orthonormal rows of Q, (k, m), whatever the rank, and a lower triangle L, (k, k); k ≤ m.

    Householder's reflections, written out: LAPACK's factorisation starts threads of its own, which fight those of the
    product before it for the cores. On two busy ones that made it thirty times the work of the product.
    """
    count, size = rows.shape
    if count == 0:
        return rows, jnp.zeros((0, 0), rows.dtype)
    place = jnp.arange(size)

    def reflect(j: Array, state: tuple[Array, Array]) -> tuple[Array, Array]:
        rows, axes = state
        x = jnp.where(place < j, 0, rows[j])
        x = x.at[j].add(jnp.where(x[j] < 0, -1, 1).astype(x.dtype) * jnp.linalg.norm(x))
        length = jnp.linalg.norm(x)
        x = x / jnp.where(length > 0, length, 1)
        return rows - 2 * jnp.outer(rows @ x, x), axes.at[j].set(x)

    def undo(k: Array, q: Array) -> Array:
        x = axes[count - 1 - k]
        return q - 2 * jnp.outer(q @ x, x)

    lower, axes = jax.lax.fori_loop(0, count, reflect, (rows, jnp.zeros_like(rows)))
    q = jax.lax.fori_loop(0, count, undo, jnp.eye(count, size, dtype=rows.dtype))
    return q, jnp.tril(lower[:, :count])


def aim(space: Subspace, direction: Float[Array, " m"]) -> Subspace:
    """The space with its first direction replaced, the others made orthonormal to it; itself where that is zero."""
    length = jnp.linalg.norm(direction)
    first = jnp.where(length > 0, direction / jnp.where(length > 0, length, 1), space.vectors[0])
    return space._replace(vectors=orthonormal(space.vectors.at[0].set(first))[0])


def follow(
    product: Callable[[Float[Array, "w m"], Int[Array, ""]], Float[Array, "w m"]],
    space: Subspace,
    share: Float[Array, ""],
    rows: int,
) -> tuple[Subspace, Float[Array, " k"]]:
    """One averaged power step on the next ``rows`` directions of the round; the others keep their average.

    Args:
        product: ``F_b`` on a block (rows, m), with b chosen by the turn.
        space: what is known so far.
        share: ρ in (0, 1]; 1 forgets all earlier products.
        rows: directions in one product, at most k.

    Returns:
        The new space and the part ``1 − ‖P_old V_i‖²`` that the old space did not hold, for each of its rows; the
        old space itself after a product that is not finite.
    """
    vectors, values = space.vectors, space.values
    known = values[:, None] * vectors
    block, old = (jax.lax.dynamic_slice_in_dim(x, space.row, rows) for x in (vectors, known))
    mean = share * product(block, space.turn) + (1 - share) * old
    seen = jax.lax.dynamic_update_slice_in_dim(known, mean, space.row, 0)
    norms = jnp.linalg.norm(seen, axis=1)
    # unit rows, the old ones where a product is zero: conditioning, and directions that survive F = 0
    unit = jnp.where(norms[:, None] > 0, seen / jnp.where(norms > 0, norms, 1)[:, None], vectors)
    q, lower = orthonormal(unit)
    left, found, _ = jnp.linalg.svd(lower.T * norms)
    new = left.T @ q
    good = jnp.isfinite(new).all() & jnp.isfinite(found).all()
    new, found = jnp.where(good, new, vectors), jnp.where(good, found, values)
    missed = jnp.maximum(1 - jnp.sum((new @ vectors.T) ** 2, axis=1), 0)
    after = space.row + rows
    done = after >= space.width
    return Subspace(new, found, space.width, space.turn + done.astype(jnp.int32), jnp.where(done, 0, after)), missed


def learn(space: Subspace, moved: Float[Array, " m"], change: Float[Array, " m"]) -> Subspace:
    """The space after one observed pair ``change = F moved``, by a symmetric rank-one correction cut to k modes.

    ``A = V Λ Vᵀ + r rᵀ/⟨r, d⟩`` with ``r = y − V Λ Vᵀ d`` is the least change for which ``A d = y``; it is left out
    where ``⟨r, d⟩`` is not clearly positive. (Nocedal & Wright, *Numerical Optimization*, §6.2.)
    """
    vectors, values = space.vectors, space.values
    rest = change - (values * (vectors @ moved)) @ vectors
    along = jnp.vdot(rest, moved)
    size = jnp.linalg.norm(rest) * jnp.linalg.norm(moved)
    good = (along > 1e-3 * size) & jnp.isfinite(size)
    rest = jnp.where(good, rest, 0)
    weight = jnp.where(good, 1 / jnp.where(good, along, 1), 0)
    inside = vectors @ rest
    outside = rest - inside @ vectors
    outside = outside - (vectors @ outside) @ vectors
    length = jnp.linalg.norm(outside)
    basis = jnp.concatenate([vectors, (outside / jnp.where(length > 0, length, 1))[None]])
    parts = jnp.append(inside, length)
    found, rotation = jnp.linalg.eigh(jnp.diag(jnp.append(values, 0)) + weight * jnp.outer(parts, parts))
    leading = rotation[:, ::-1].T[:-1] @ basis
    return space._replace(
        vectors=jnp.where(good, leading, vectors), values=jnp.where(good, jnp.maximum(found[::-1][:-1], 0), values)
    )
