"""What a model is: any pytree callable as ``model(h) -> h'`` on one state vector.

A network with inputs is also callable as ``model(h, x) -> h'``. The parameters are the inexact-array leaves.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

__all__ = ["Constant", "Model", "moved", "partition", "state_size"]

Model = Callable[..., Any]
"""Any pytree callable as ``model(h)``, or as ``model(h, x)``, on one state (state,) and one input (inputs,)."""


@jax.tree_util.register_pytree_node_class
class Constant:
    """Arrays that a model holds and that are no parameters of it: :func:`partition` leaves them in the rest.

    Args:
        value: any pytree.
    """

    def __init__(self, value: Any) -> None:
        self.value = value

    def tree_flatten(self) -> tuple[tuple[Any], None]:
        """The value as the only child."""
        return (self.value,), None

    @classmethod
    def tree_unflatten(cls, _: None, children: tuple[Any]) -> Constant:
        """The constant around a child."""
        return cls(*children)


def partition(model: Model, wrt: Any = None) -> tuple[Any, Any]:
    """Split ``model`` into the parameters that ``wrt`` selects and the rest.

    Args:
        model: any pytree.
        wrt: ``None`` for every inexact array outside of a :class:`Constant`; a function of the model that returns the
            sub-tree(s) to select, such as ``lambda m: m.weight``; or a pytree of booleans shaped like the model.

    Returns:
        ``(selected, rest)``, to be joined again by ``equinox.combine``.

    Raises:
        ValueError: nothing with an inexact dtype is selected.
    """
    if wrt is None:
        chosen = _parameters(model)
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


def _parameters(model: Any) -> Any:
    """Which leaves are parameters: the inexact arrays outside of any :class:`Constant`."""
    constant = lambda node: isinstance(node, Constant)  # noqa: E731
    held = lambda node: jax.tree.map(lambda _: False, node) if constant(node) else eqx.is_inexact_array(node)  # noqa: E731
    return jax.tree.map(held, model, is_leaf=constant)


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
            if eqx.filter_eval_shape(model, jnp.zeros(n, leaves[0].dtype)).shape == (n,):
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
