"""Recurrent cells and their trajectories.

A model is any pytree callable as ``model(h) -> h'`` on one state vector; its parameters are its
inexact-array leaves.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

__all__ = ["Model", "moved", "partition", "state_size", "trajectory"]

Model = Callable[..., Any]
"""Any pytree callable as ``model(h) -> h'`` on one state vector of shape (state,)."""


def trajectory(
    model: Model,
    h0: Float[Array, "batch state"],
    horizon: int,
    *,
    readout: Callable[[Any], Any] | None = None,
) -> Float[Array, "batch horizon state"]:
    """States ``h_1 … h_T`` of every initial state: ``h_t = model(h_{t−1})``.

    Args:
        model: one step on one state vector.
        h0: initial states, shape (batch, state).
        horizon: T, in steps.
        readout: function of one state vector; where given, its values are returned instead of the
            states, which are then never stored together.

    Raises:
        ValueError: ``h0`` has no batch axis, or ``horizon`` is not a positive integer.
    """
    if jnp.ndim(h0) != 2:
        raise ValueError(f"h0 must have shape (batch, state), got {jnp.shape(h0)}; add the batch axis")
    if isinstance(horizon, bool) or not isinstance(horizon, int) or horizon < 1:
        raise ValueError(f"horizon must be a positive integer, got {horizon!r}")
    step = jax.vmap(model)

    read = jax.vmap(readout) if readout is not None else (lambda h: h)

    def advance(h, _):
        h = step(h)
        return h, read(h)

    _, hs = jax.lax.scan(advance, h0, length=horizon)
    return jnp.swapaxes(hs, 0, 1)


def partition(model: Model, wrt: Any = None) -> tuple[Any, Any]:
    """Split ``model`` into the parameters that ``wrt`` selects and the rest.

    Args:
        model: any pytree.
        wrt: ``None`` for every inexact array; a function of the model that returns the sub-tree(s) to
            select, such as ``lambda m: m.weight``; or a pytree of booleans shaped like the model.

    Returns:
        ``(selected, rest)``, to be joined again by ``equinox.combine``.

    Raises:
        ValueError: nothing with an inexact dtype is selected.
    """
    if wrt is None:
        chosen = jax.tree.map(eqx.is_inexact_array, model)
    elif callable(wrt) and not _is_mask(wrt):
        nothing = jax.tree.map(lambda _: False, model)
        try:
            chosen = eqx.tree_at(
                wrt,
                nothing,
                replace_fn=lambda part: jax.tree.map(lambda _: True, part),
                is_leaf=lambda node: node is None,
            )
        except (AttributeError, ValueError) as error:
            raise ValueError(f"wrt selects nothing of {type(model).__name__}: {error}") from None
        chosen = jax.tree.map(lambda leaf, keep: keep and eqx.is_inexact_array(leaf), model, chosen)
    else:
        chosen = wrt
    selected, rest = eqx.partition(model, chosen)
    if not jax.tree.leaves(selected):
        raise ValueError(f"wrt selects no inexact array of {type(model).__name__}; name one of its parameters")
    return selected, rest


def moved(model: Model, tangent: Any, s: Any) -> Model:
    """The model at ``θ + s v``, the tangent v a pytree like its parameters."""
    selected, rest = partition(model)
    return eqx.combine(jax.tree.map(lambda p, d: p + s * d, selected, tangent), rest)


def state_size(model: Model) -> int:
    """Length of the state vector: the one that the model maps to itself, of the lengths that its parameters suggest.

    Raises:
        ValueError: none fits, as where a model works on any length.
    """
    leaves = jax.tree.leaves(eqx.filter(model, eqx.is_inexact_array))
    lengths = {leaf.shape[-1] for leaf in leaves if leaf.ndim}
    for n in sorted({k * length for length in lengths for k in (1, 2)}):
        try:
            if eqx.filter_eval_shape(model, jnp.zeros(n)).shape == (n,):
                return n
        except (TypeError, ValueError):
            continue
    raise ValueError(
        f"the state size of {type(model).__name__} cannot be told from its parameters; pass size= or starts="
    )


def _is_mask(tree: Any) -> bool:
    # booleans shaped like an Equinox module are callable as the module is
    leaves = jax.tree.leaves(tree)
    return bool(leaves) and all(isinstance(leaf, (bool, np.bool_)) for leaf in leaves)
