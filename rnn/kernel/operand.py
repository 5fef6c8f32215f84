"""What a state-space NTK is made of: the data alone, at the ground of this folder."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from typing import Any

import equinox as eqx
import jax
from jaxtyping import Array, Float

from rnn.models import Leaves, Model

__all__ = ["Operand", "Packed", "observe"]

_STATIC = {"static": True}

# Plain dataclasses and not Equinox modules, which wrap every method at every call: a tenth of a product's time.


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class Packed:
    """Any pytree as arrays plus hashable rest, so that it may enter ``jax.jit``."""

    arrays: list[Any]
    others: tuple[Any, ...] = field(metadata=_STATIC)
    structure: Any = field(metadata=_STATIC)

    @classmethod
    def of(cls, tree: Any) -> Packed:
        """``tree``, packed."""
        leaves, structure = jax.tree.flatten(tree)
        is_array = [eqx.is_array(leaf) for leaf in leaves]
        arrays = [leaf if yes else None for leaf, yes in zip(leaves, is_array, strict=True)]
        others = tuple(None if yes else leaf for leaf, yes in zip(leaves, is_array, strict=True))
        return cls(arrays, others, structure)

    @property
    def value(self) -> Any:
        """The pytree."""
        leaves = [o if a is None else a for a, o in zip(self.arrays, self.others, strict=True)]
        return jax.tree.unflatten(self.structure, leaves)


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class Operand:
    """A model on a batch, and how its products are to be computed.

    Attributes:
        parameters: the selected parameters θ.
        h0: initial states, (batch, state).
        fixed: everything else of the model.
        observed: the readout.
        path: the stored states ``h_0 … h_T``, or ``None`` where products recompute them.
        inputs: ``x_1 … x_T`` of every trajectory, or ``None``.
        horizon: T, in steps.
        outputs: how many numbers are seen of a state.
        chunk: trajectories per pass, or ``None`` for all at once.
        remat: how many states and tangents of each trajectory a product may hold; 0 if states are not recomputed.
        mesh: the devices that share the batch, or ``None`` for one device.
        stacked: whether every step has parameters of its own, the leading axis of every leaf.
    """

    parameters: Any
    h0: Float[Array, "batch state"]
    fixed: Packed
    observed: Packed
    path: Float[Array, "horizon+1 state batch"] | None
    inputs: Float[Array, "batch horizon inputs"] | None
    horizon: int = field(metadata=_STATIC)
    outputs: int = field(metadata=_STATIC)
    chunk: int | None = field(metadata=_STATIC)
    remat: int = field(metadata=_STATIC)
    mesh: jax.sharding.Mesh | None = field(default=None, metadata=_STATIC)
    stacked: bool = field(default=False, metadata=_STATIC)

    @property
    def model(self) -> Model:
        """The model, all of its parameters included."""
        return eqx.combine(self.parameters, self.fixed.value)

    @property
    def readout(self) -> Any:
        """What is observed of a state: ``None``, a matrix (outputs, state) or a function of one state."""
        return self.observed.value

    @functools.cached_property
    def shape(self) -> tuple[int, int]:
        """Shape of J: (batch · horizon · outputs, number of parameters m)."""
        rows = self.h0.shape[0] * self.horizon * self.outputs
        return rows, sum(leaf.size for leaf in jax.tree.leaves(self.parameters))

    @property
    def size(self) -> int:
        """Number of entries of J."""
        return self.shape[0] * self.shape[1]

    @property
    def dtype(self) -> Any:
        """Common dtype of states, parameters and products."""
        return self.h0.dtype

    def flatten(self, directions: Any) -> Float[Array, "... m"]:
        """Parameter directions as flat vectors (m,), or (k, m) for a block with leading axis k."""
        if eqx.is_array(directions) and jax.tree.structure(directions) != jax.tree.structure(self.parameters):
            return directions  # flat already
        leaves, shapes = jax.tree.leaves(directions), jax.tree.leaves(self.parameters)
        return Leaves.of(self.parameters, self.dtype).flatten(directions, leaves[0].ndim - shapes[0].ndim)

    def unflatten(self, vectors: Float[Array, "... m"]) -> Any:
        """Flat vectors as pytrees like the parameters; leading axes are kept."""
        return Leaves.of(self.parameters, self.dtype).unflatten(vectors)


def observe(readout: Any, h: Array) -> Array:
    """What ``readout`` sees of one state."""
    if readout is None:
        return h
    return readout @ h if eqx.is_array(readout) else readout(h)
