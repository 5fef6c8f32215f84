"""The Taylor coefficients of a network at a fixed point, by nested forward differentiation, and its normal form."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

import normalforms as nf
from rnn.dynamics.newton import check_shape, float64, jacobians, period_map, residual_norms
from rnn.models import Model, Rebuild, flatten, moved, partition

__all__ = ["jet", "normal_form"]

_FIXED = 1e-6


def normal_form(
    model: Model,
    point: Float[Array, " state"],
    direction: Any,
    *,
    period: int = 1,
    tolerance: float = 1e-8,
    critical: float = 1e-6,
    symmetric: bool | None = None,
) -> nf.NormalForm:
    """Normal form of ``h' = model(h; θ + μ v)`` at a critical fixed point, in float64.

    The formulas are those of :func:`normalforms.reduce`, on directional derivatives; neither the second nor
    the third differential is ever formed.

    Args:
        model: one step on one state vector, at the critical parameters θ.
        point: fixed point of ``model^period``, shape (state,).
        direction: v, a pytree like the model's parameters or a flat vector of them, shape (m,).
        period: steps per cycle.
        tolerance: relative size below which a coefficient counts as zero.
        critical: how near to the unit circle a multiplier counts as critical.
        symmetric: whether the network is known to be odd about ``point``; decided by the numbers if ``None``.

    Raises:
        ValueError: as for `jet`, or no multiplier is critical there.
    """
    local = jet(model, point, direction, period=period)
    return nf.reduce_jet(local, tolerance=tolerance, critical=critical, symmetric=symmetric)


def jet(model: Model, point: Any, direction: Any, *, period: int = 1) -> nf.Jet:
    """The :class:`normalforms.Jet` of ``model^period`` at ``point`` along the parameter ``direction``.

    Raises:
        ValueError: ``point`` has the wrong shape or is not a fixed point, or ``direction`` does not fit the model.
    """
    with jax.enable_x64(True):
        wide = float64(model)
        point = jnp.asarray(np.asarray(point, np.float64))
        check_shape(wide, point.size)
        tangent = _tangent(wide, direction)
        residual = float(residual_norms(wide, point[None], period)[0])
        if not residual <= _FIXED * max(1.0, float(jnp.linalg.norm(point))):
            raise ValueError(f"point is not a fixed point of model^{period}: |f(h) − h| = {residual:.3g}")

        def numpy(function: Any) -> Any:
            def evaluate(*vectors: Any) -> np.ndarray:
                with jax.enable_x64(True):
                    return _multilinear(lambda *v: function(wide, point, tangent, period, *v), vectors)

            return evaluate

        return nf.Jet(
            jacobian=jacobians(wide, point[None], period)[0],
            second=numpy(_second),
            third=numpy(_third),
            parameter=numpy(_first_parameter)(),
            mixed=numpy(_mixed),
            curvature=numpy(_curvature)(),
        )


def _tangent(model: Model, direction: Any) -> Any:
    """``direction`` as a float64 pytree like the selected parameters of ``model``."""
    selected = partition(model)[0]
    if isinstance(direction, (np.ndarray, jax.Array)) and np.ndim(direction) == 1:
        flat = jnp.asarray(np.asarray(direction, np.float64))
        expected = flatten(model).size
        if flat.size != expected:
            raise ValueError(f"direction has {flat.size} entries, the model {expected} parameters")
        return partition(Rebuild(model)(flat))[0]
    tangent = partition(float64(direction))[0]
    if jax.tree.structure(tangent) != jax.tree.structure(selected):
        raise ValueError("direction must be a pytree like the model's parameters, or a flat vector of them")
    return tangent


def _multilinear(function: Any, vectors: tuple[Any, ...]) -> np.ndarray:
    """A real multilinear ``function`` at vectors that may be complex."""
    for k, v in enumerate(vectors):
        if np.iscomplexobj(v):
            before, after = vectors[:k], vectors[k + 1 :]
            real = _multilinear(function, (*before, np.ascontiguousarray(np.real(v)), *after))
            imaginary = _multilinear(function, (*before, np.ascontiguousarray(np.imag(v)), *after))
            return real + 1j * imaginary
    return np.asarray(function(*(jnp.asarray(np.asarray(v, np.float64)) for v in vectors)))


def _shifted(model: Model, tangent: Any, period: int) -> Any:
    def f(h: Any, mu: Any) -> Any:
        return period_map(moved(model, tangent, mu), period)(h)

    return f


def _along(f: Any, h: Any, *vectors: Any) -> Any:
    """The mixed directional derivative of ``f`` at ``h`` along ``vectors``."""

    def derivative(g: Any, v: Any) -> Any:
        return lambda x: jax.jvp(g, (x,), (v,))[1]

    for v in vectors:
        f = derivative(f, v)
    return f(h)


@eqx.filter_jit
def _second(model: Model, h: Any, tangent: Any, period: int, u: Any, v: Any) -> Any:
    return _along(period_map(model, period), h, u, v)


@eqx.filter_jit
def _third(model: Model, h: Any, tangent: Any, period: int, u: Any, v: Any, w: Any) -> Any:
    return _along(period_map(model, period), h, u, v, w)


@eqx.filter_jit
def _first_parameter(model: Model, h: Any, tangent: Any, period: int) -> Any:
    f = _shifted(model, tangent, period)
    return _along(lambda mu: f(h, mu), jnp.zeros(()), jnp.ones(()))


@eqx.filter_jit
def _curvature(model: Model, h: Any, tangent: Any, period: int) -> Any:
    f = _shifted(model, tangent, period)
    return _along(lambda mu: f(h, mu), jnp.zeros(()), jnp.ones(()), jnp.ones(()))


@eqx.filter_jit
def _mixed(model: Model, h: Any, tangent: Any, period: int, u: Any) -> Any:
    f = _shifted(model, tangent, period)
    return _along(lambda mu: jax.jvp(lambda x: f(x, mu), (h,), (u,))[1], jnp.zeros(()), jnp.ones(()))
