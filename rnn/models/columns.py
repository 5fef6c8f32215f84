"""One step of many states at once, and the sweep that training and the kernel share.

States are columns: (state, batch). A step is then one product of the weights with all states, and the gradient of the
weights contracts the contiguous axis of both of its factors, which is twice as fast on CPUs as the leading one.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.ad_checkpoint import checkpoint_name
from jax.extend.core import ClosedJaxpr
from jaxtyping import Array, Float

from rnn.models.activations import Activation
from rnn.models.affine import affine_step
from rnn.models.hooks import affine_of
from rnn.models.model import Model

__all__ = ["ColumnStep", "columns", "over_columns", "rollout"]

ColumnStep = Callable[..., Array]
"""``step(h, x) -> h'`` on states (state, batch) and inputs (inputs, batch); x is ``None`` without inputs."""
_KEPT = "phi"  # all that the adjoint of an affine cell with φ before the weights needs of a step
_ROOM = 1.5  # how much larger the numbers on the way may become for the sake of their layout


def columns(model: Model) -> ColumnStep:
    """One step of every column: by hand where the model says that it is affine, by JAX for any other."""
    parts = affine_of(model)
    if parts is None:
        return lambda h, x=None: over_columns(lambda m, *at: m(*at), model, h, *(() if x is None else (x,)))
    # in memory: XLA on CPU has no fast product with a transposed left factor, and would undo the transpose
    transposed = jax.lax.optimization_barrier(parts.weight.T)
    parts = parts._replace(activation=parts.activation._replace(value=_sloped(parts.activation)))
    by_hand = lambda h, x=None: affine_step(parts, h, x, lambda weight, h: _product(weight, transposed, h))  # noqa: E731
    if parts.outer:  # the adjoint needs the state and φ of the next one, which is what JAX keeps
        return by_hand
    return jax.checkpoint(by_hand, prevent_cse=False, policy=jax.checkpoint_policies.save_only_these_names(_KEPT))


@functools.cache
def _sloped(activation: Activation) -> Callable[[Array], Array]:
    """φ whose derivative is the slope at its value, so that an adjoint needs the value alone."""
    value = jax.custom_jvp(lambda z: checkpoint_name(activation.value(z), _KEPT))
    value.defjvps(lambda dz, y, z: activation.slope(y) * dz)
    return value


@jax.custom_jvp
def _product(weight: Array, transposed: Array, h: Array) -> Array:
    """``W h``, whose adjoint multiplies with the transpose as it lies in memory."""
    return weight @ h


def _product_tangent(primals: tuple[Array, Array, Array], tangents: tuple[Any, Any, Any]) -> tuple[Array, Array]:
    weight, transposed, h = primals
    dweight, _, dh = tangents
    image = jax.lax.dot_general(transposed, dh, (((0,), (0,)), ((), ())))
    return weight @ h, dweight @ h + image


_product.defjvp(_product_tangent)


def over_columns(function: Callable[..., Any], tree: Any, *columned: Array) -> Any:
    """``function(tree, *column)`` for every column, whose values are columns again.

    A bias that all columns share makes ``jax.vmap`` turn the states around at every sum. So vectors of the tree go
    along as columns themselves, unless that would make what is computed much larger, as ``u vᵀ`` of two of them would.

    Args:
        function: of a pytree and vectors, to a vector, or a pytree of arrays.
        tree: what all columns share.
        columned: arrays with the columns last.
    """
    arrays, rest = eqx.partition(tree, eqx.is_array)

    def mapped(beside: bool) -> Callable[..., Any]:
        spread = lambda leaf: beside and _is_vector(leaf)  # noqa: E731
        axes = jax.tree.map(lambda leaf: 1 if spread(leaf) else None, arrays)
        each = jax.vmap(lambda a, *at: function(eqx.combine(a, rest), *at), (axes, *[-1] * len(columned)), -1)

        def apply(arrays: Any, *columned: Array) -> Any:
            batch = columned[0].shape[-1]
            wide = lambda leaf: jnp.broadcast_to(leaf[:, None], (leaf.size, batch)) if spread(leaf) else leaf  # noqa: E731
            return each(jax.tree.map(wide, arrays), *columned)

        return apply

    plain, beside = mapped(False), mapped(True)
    if not any(map(_is_vector, jax.tree.leaves(arrays))):
        return plain(arrays, *columned)
    sizes = [_size(jax.make_jaxpr(f)(arrays, *columned).jaxpr) for f in (plain, beside)]
    return (beside if sizes[1] <= _ROOM * sizes[0] else plain)(arrays, *columned)


def _is_vector(leaf: Any) -> bool:
    return leaf.ndim == 1 and jnp.issubdtype(leaf.dtype, jnp.inexact)


def _size(jaxpr: Any) -> int:
    """How many numbers are computed on the way; those of a loop count once."""
    total = 0
    for equation in jaxpr.eqns:
        within = [v.jaxpr for v in jax.tree.leaves(equation.params, is_leaf=_is_closed) if _is_closed(v)]
        total += sum(map(_size, within)) or sum(math.prod(var.aval.shape) for var in equation.outvars)
    return total


def _is_closed(value: Any) -> bool:
    return isinstance(value, ClosedJaxpr)


def rollout(
    step: ColumnStep,
    h: Float[Array, "state batch"],
    steps: int,
    inputs: Float[Array, "steps inputs batch"] | None = None,
    emit: Callable[[Array], Any] = lambda h: h,
) -> Any:
    """``emit(h_1) … emit(h_T)`` of every column, stacked."""

    def forward(h: Array, x: Array | None) -> tuple[Array, Any]:
        h = step(h, x)
        return h, emit(h)

    return jax.lax.scan(forward, h, inputs, length=steps)[1]
