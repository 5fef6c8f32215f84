"""The parameters of a model as one flat vector, and back: the one code for it."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from rnn.models.model import Model, partition

__all__ = ["Leaves", "Rebuild", "cast", "flatten"]


class Leaves(NamedTuple):
    """Where the inexact arrays of a pytree lie in a flat vector (m,).

    Attributes:
        structure: of the whole pytree.
        shapes, dtypes: of every leaf.
        moving: which leaves are inexact.
        dtype: of the flat vectors.
    """

    structure: Any
    shapes: tuple[tuple[int, ...], ...]
    dtypes: tuple[Any, ...]
    moving: tuple[bool, ...]
    dtype: Any

    @classmethod
    def of(cls, tree: Any, dtype: Any = None) -> Leaves:
        """The layout of ``tree``.

        Args:
            tree: what is to be flattened.
            dtype: of the flat vectors; the widest of the leaves', at least float32, unless given.

        Raises:
            ValueError: a leaf is complex.
        """
        leaves, structure = jax.tree.flatten(tree)
        dtypes = tuple(jnp.result_type(leaf) for leaf in leaves)
        if any(jnp.issubdtype(d, jnp.complexfloating) for d in dtypes):
            raise ValueError(
                f"params must be real, got leaves of dtypes {sorted(map(str, dtypes))}; split complex ones"
            )
        moving = tuple(jnp.issubdtype(d, jnp.inexact) for d in dtypes)
        wide = jnp.float64 if any(d == jnp.float64 for d in dtypes) else jnp.float32
        return cls(
            structure, tuple(map(jnp.shape, leaves)), dtypes, moving, jnp.dtype(wide if dtype is None else dtype)
        )

    def flatten(self, tree: Any, lead: int = 0) -> Float[Array, "*lead m"]:
        """``tree``, like the layout's or with ``None`` in place of leaves that are not inexact, as a flat vector.

        Args:
            tree: what to flatten.
            lead: how many leading axes every leaf has beyond its shape.

        Raises:
            ValueError: the leaves do not fit.
        """
        leaves = self.structure.flatten_up_to(tree)
        kept = [jnp.asarray(x) for x, m in zip(leaves, self.moving, strict=True) if m]
        shapes = [s for s, m in zip(self.shapes, self.moving, strict=True) if m]
        if any(x.shape[lead:] != s for x, s in zip(kept, shapes, strict=True)):
            raise ValueError(f"leaves must have shapes {shapes} after {lead} axes, got {[x.shape for x in kept]}")
        front = kept[0].shape[:lead] if kept else (0,) * lead
        rows = [x.reshape(*front, math.prod(s)) for x, s in zip(kept, shapes, strict=True)]
        # no cast to what it is already: outside of x64 JAX would warn of float64 leaves and shorten them
        flat = [x if x.dtype == self.dtype else x.astype(self.dtype) for x in rows]
        return jnp.concatenate(flat, axis=-1) if flat else jnp.zeros((*front, 0), self.dtype)

    def unflatten(self, flat: Float[Array, "*lead m"], fixed: Any = None, *, keep_dtype: bool = False) -> Any:
        """A flat vector as a pytree; leading axes are kept.

        Args:
            flat: the vector. One of NumPy's is cut on the host, as JAX compiles a slice of its own for every place.
            fixed: the pytree that gives the leaves which are not inexact; ``None`` leaves ``None`` there.
            keep_dtype: leave the leaves in the vector's dtype; else they are in their own.
        """
        others = [None] * len(self.shapes) if fixed is None else self.structure.flatten_up_to(fixed)
        out, start = [], 0
        for shape, dtype, moves, other in zip(self.shapes, self.dtypes, self.moving, others, strict=True):
            size = math.prod(shape) if moves else 0
            part = flat[..., start : start + size].reshape((*flat.shape[:-1], *shape)) if moves else None
            out.append(jnp.asarray(part, None if keep_dtype else dtype) if moves else other)
            start += size
        return jax.tree.unflatten(self.structure, out)


def cast(tree: Any, dtype: Any) -> Any:
    """``tree`` with its inexact arrays in ``dtype``."""
    return jax.tree.map(lambda x: jnp.asarray(x, dtype) if eqx.is_inexact_array(x) else x, tree)


class Rebuild:
    """Makes a model like ``model`` of a flat vector of its parameters; all its numbers are in that vector's dtype."""

    def __init__(self, model: Model) -> None:
        selected, self.rest = partition(model)
        self.leaves = Leaves.of(selected)

    def __call__(self, flat: Any) -> Model:
        flat = flat if isinstance(flat, jax.core.Tracer) else np.asarray(flat)
        # constants go along: a held input in single precision would spoil a model in double
        rest = cast(self.rest, jax.dtypes.canonicalize_dtype(flat.dtype))
        return eqx.combine(self.leaves.unflatten(flat, keep_dtype=True), rest)


def flatten(model: Model) -> Any:
    """The inexact parameters of ``model`` as one vector, shape (m,), in their common dtype."""
    selected = partition(model)[0]
    return Leaves.of(selected, jnp.result_type(*jax.tree.leaves(selected))).flatten(selected)
