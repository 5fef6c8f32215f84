"""The parameters of a model as one flat vector, and back."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from rnn.models.model import Model, partition

__all__ = ["Leaves", "Rebuild", "flatten"]


class Leaves(NamedTuple):
    """Where the inexact arrays of a pytree lie in a flat vector (m,) of the widest of their dtypes, at least float32.

    Attributes:
        structure: of the whole pytree.
        shapes, dtypes: of every leaf.
        moving: which leaves are inexact.
    """

    structure: Any
    shapes: tuple[tuple[int, ...], ...]
    dtypes: tuple[Any, ...]
    moving: tuple[bool, ...]

    @classmethod
    def of(cls, tree: Any) -> Leaves:
        """The layout of ``tree``.

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
        return cls(structure, tuple(map(jnp.shape, leaves)), dtypes, moving)

    @property
    def dtype(self) -> Any:
        """Of the flat vectors."""
        wide = any(d == jnp.float64 for d in self.dtypes)
        return jnp.dtype(jnp.float64 if wide else jnp.float32)

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
        flat = [x.reshape(*front, math.prod(s)).astype(self.dtype) for x, s in zip(kept, shapes, strict=True)]
        return jnp.concatenate(flat, axis=-1) if flat else jnp.zeros((*front, 0), self.dtype)

    def unflatten(self, flat: Float[Array, "*lead m"], fixed: Any = None) -> Any:
        """A flat vector as a pytree in the leaves' own dtypes; leading axes are kept.

        Args:
            flat: the vector.
            fixed: the pytree that gives the leaves which are not inexact; ``None`` leaves ``None`` there.
        """
        others = [None] * len(self.shapes) if fixed is None else self.structure.flatten_up_to(fixed)
        out, start = [], 0
        for shape, dtype, moves, other in zip(self.shapes, self.dtypes, self.moving, others, strict=True):
            size = math.prod(shape) if moves else 0
            part = flat[..., start : start + size]
            out.append(part.reshape(*flat.shape[:-1], *shape).astype(dtype) if moves else other)
            start += size
        return jax.tree.unflatten(self.structure, out)


class Rebuild:
    """Makes a model like ``model`` of a flat vector of its parameters, in that vector's dtype."""

    def __init__(self, model: Model) -> None:
        selected, self.rest = partition(model)
        leaves, self.treedef = jax.tree.flatten(selected)
        self.shapes = [jnp.shape(leaf) for leaf in leaves]

    def __call__(self, flat: Any) -> Model:
        parts, start = [], 0
        if not isinstance(flat, jax.core.Tracer):
            flat = np.asarray(flat)  # cut here, as JAX compiles a slice of its own for every place
        for shape in self.shapes:
            size = math.prod(shape)
            parts.append(jnp.asarray(flat[start : start + size].reshape(shape)))
            start += size
        return eqx.combine(jax.tree.unflatten(self.treedef, parts), self.rest)


def flatten(model: Model) -> Any:
    """The inexact parameters of ``model`` as one vector, shape (m,)."""
    return jnp.concatenate([jnp.ravel(leaf) for leaf in jax.tree.leaves(partition(model)[0])])
