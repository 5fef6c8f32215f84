"""Recurrent cells and their trajectories.

A model is any pytree callable as ``model(h) -> h'`` on one state vector; its parameters are its
inexact-array leaves.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

__all__ = ["Model", "VanillaRNN", "jacobian_of", "moved", "partition", "state_size", "trajectory", "with_bias"]

Model = Callable[[Any], Any]
"""Any pytree callable as ``model(h) -> h'`` on one state vector of shape (state,)."""

Form = Literal["W@tanh(h)+b", "tanh(W@h+b)"]
_FORMS = ("W@tanh(h)+b", "tanh(W@h+b)")


class VanillaRNN(eqx.Module):
    """The vanilla recurrent network, in either convention.

    ``h' = W tanh(h) + b`` (``form="W@tanh(h)+b"``) or ``h' = tanh(W h + b)`` (``form="tanh(W@h+b)"``).
    The two are conjugate: ``tanh`` of a state of the first is a state of the second.

    Args:
        weight: recurrent weights W, shape (state, state).
        bias: b, shape (state,); ``None`` for a network without bias, which is odd.
        form: which convention.

    Raises:
        ValueError: ``weight`` is not square, ``bias`` does not fit it, or ``form`` is unknown.
    """

    weight: Float[Array, "state state"]
    bias: Float[Array, " state"] | None = None
    form: Form = eqx.field(static=True, default="W@tanh(h)+b")

    def __check_init__(self) -> None:
        shape = jnp.shape(self.weight)
        if len(shape) != 2 or shape[0] != shape[1]:
            raise ValueError(f"weight must be square, got shape {shape}")
        if self.bias is not None and jnp.shape(self.bias) != shape[:1]:
            raise ValueError(f"bias must have shape {shape[:1]} like weight, got {jnp.shape(self.bias)}")
        if self.form not in _FORMS:
            raise ValueError(f"form must be one of {_FORMS}, got {self.form!r}")

    def __call__(self, h: Float[Array, " state"]) -> Float[Array, " state"]:
        drive = jnp.tanh(h) if self.form == "W@tanh(h)+b" else h
        drive = self.weight @ drive
        if self.bias is not None:
            drive = drive + self.bias
        return drive if self.form == "W@tanh(h)+b" else jnp.tanh(drive)

    def jacobian(self, h: Float[Array, " state"]) -> Float[Array, "state state"]:
        """``∂h'/∂h``: ``W diag(1 − tanh² h)`` or ``diag(1 − h'²) W``, n² operations where ``jax.jacfwd`` takes n³."""
        if self.form == "W@tanh(h)+b":
            return self.weight * (1 - jnp.tanh(h) ** 2)
        return (1 - self(h) ** 2)[:, None] * self.weight


def jacobian_of(model: Model) -> Callable[[Any], Any]:
    """``h -> ∂model(h)/∂h``, shape (state, state): in closed form where the model has it, else by JAX."""
    return model.jacobian if isinstance(model, VanillaRNN) else jax.jacfwd(model)


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


def with_bias(model: Model) -> Model:
    """The same map with every parameter of its cell: a vanilla network without bias gets a zero one.

    The state-space NTK of a cell counts its bias also where training holds it at zero.
    """
    if isinstance(model, VanillaRNN) and model.bias is None:
        return VanillaRNN(model.weight, jnp.zeros(model.weight.shape[0], model.weight.dtype), model.form)
    return model


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
