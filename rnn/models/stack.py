"""Several recurrent layers as one model of their joint state."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

__all__ = ["Stack"]


class Stack(eqx.Module):
    """Layers on top of each other: each one's input is the new output of the layer below.

    ``h¹' = f¹(h¹, x)``, ``hᵏ' = fᵏ(hᵏ, yᵏ⁻¹)`` with ``yᵏ⁻¹`` the first ``outputs`` entries of ``hᵏ⁻¹'``.

    Args:
        cells: models called as ``cell(h, x)``, the lowest first.
        sizes: lengths of their states.
        outputs: how many entries of each state are its output (an LSTM's are its ``h``).

    Raises:
        ValueError: not as many sizes and outputs as cells.
    """

    cells: tuple[Callable[..., Any], ...]
    sizes: tuple[int, ...] = eqx.field(static=True)
    outputs: tuple[int, ...] = eqx.field(static=True)

    def __check_init__(self) -> None:
        if not len(self.cells) == len(self.sizes) == len(self.outputs):
            counts = len(self.cells), len(self.sizes), len(self.outputs)
            raise ValueError(f"cells, sizes and outputs must be as many, got {counts}")

    def __call__(self, h: Float[Array, " state"], x: Float[Array, " inputs"] | None = None) -> Float[Array, " state"]:
        ends = [sum(self.sizes[: k + 1]) for k in range(len(self.sizes) - 1)]
        if h.shape != (sum(self.sizes),):
            raise ValueError(f"h must have shape ({sum(self.sizes)},), got {h.shape}")
        states = []
        for cell, state, count in zip(self.cells, jnp.split(h, ends), self.outputs, strict=True):
            states.append(cell(state) if x is None else cell(state, x))
            x = states[-1][:count]
        return jnp.concatenate(states)
