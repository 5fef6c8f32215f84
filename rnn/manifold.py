"""The centre manifold of a network and the map on it, as Taylor series in the critical coordinates and the parameter.

Behind ``h = h* + Q x + κ(x, s)``, ``⟨P, κ⟩ = 0``, the critical coordinates obey ``x' = R(x, s)``, where

    ``f(h* + Q x + κ(x, s); θ* + s v) = h* + Q R(x, s) + κ(R(x, s), s)``.

Degree by degree in (x, s) together, ``R_m = Pᵀ F_m`` and ``A κ_m − κ_m∘L = G_m − (I − Q Pᵀ) F_m``, with L the linear
part of ``(x, s) ↦ (R, s)``, F_m the degree-m part of the left side without κ_m, and G_m that of ``κ(R, s)``. The
equation is regular through the bifurcation, because s is a coordinate and no fixed point is followed (Kuznetsov,
*Elements of Applied Bifurcation Theory*, §5.4). Polynomials are read off their values on rays through the origin.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from itertools import combinations_with_replacement
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import scipy.linalg

import normalforms as nf
from rnn.line import moved
from rnn.model import Model

__all__ = ["CentreManifold", "centre_manifold", "critical_basis"]


@dataclass(frozen=True)
class CentreManifold:
    """``R(x, s)`` and ``κ(x, s)``, by their coefficients.

    Attributes:
        exponents: of every monomial in (x, s), s last, shape (count, critical + 1).
        reduced: coefficients of R, shape (count, critical).
        bend: coefficients of κ, shape (count, state).
    """

    exponents: np.ndarray
    reduced: np.ndarray
    bend: np.ndarray

    def masked(self, reduced: np.ndarray, bend: np.ndarray) -> CentreManifold:
        """With only those monomials of R and κ that the masks, shape (count,), keep."""
        return CentreManifold(self.exponents, self.reduced * reduced[:, None], self.bend * bend[:, None])


def critical_basis(form: nf.NormalForm) -> tuple[np.ndarray, np.ndarray]:
    """Real bases Q, P of the critical space and its dual, ``PᵀQ = I``; shape (state, 1), or (state, 2) of a pair.

    Of a pair ``x = (Re z, Im z)``, with ``z = ⟨p, h − h*⟩`` and ``h ≈ h* + z q + z̄ q̄``.
    """
    q, p = (np.asarray(v, dtype=complex) for v in (form.critical_eigenvector, form.adjoint_eigenvector))
    if not complex(form.multiplier).imag:
        return q.real[:, None], p.real[:, None]
    return 2 * np.stack([q.real, -q.imag], 1), np.stack([p.real, -p.imag], 1)


def centre_manifold(
    model: Model, tangent: Any, point: np.ndarray, basis: tuple[np.ndarray, np.ndarray], order: int = 5
) -> CentreManifold:
    """The centre manifold of ``model`` at a critical fixed point, along the parameter direction ``tangent``.

    Args:
        model: float64 model; call this where x64 is enabled.
        tangent: v, a pytree like the model's parameters.
        point: h*, shape (state,).
        basis: Q and P of `critical_basis`.
        order: highest degree in x and s together.
    """
    Q, P = basis
    n, width = Q.shape
    point = np.asarray(point, np.float64)
    A = np.asarray(jax.jacfwd(model)(jnp.asarray(point)))
    off = np.eye(n) - Q @ P.T
    rays = _rays(width + 1, 2 * len(_exponents(width + 1, order)))
    found = CentreManifold(np.zeros((0, width + 1), int), np.zeros((0, width)), np.zeros((0, n)))
    linear = np.eye(width + 1)
    for m in range(1, order + 1):
        fresh = _exponents(width + 1, m)
        on_rays = _monomials(rays, fresh)
        read = lambda values, on_rays=on_rays: np.linalg.lstsq(on_rays, values, rcond=None)[0]  # noqa: E731
        curve = _on_rays(found.bend, found.exponents, rays, order)
        curve[:, 0] += point
        curve[:, 1] += rays[:, :width] @ Q.T
        F = read(np.asarray(_taylor(model, tangent, jnp.asarray(curve), jnp.asarray(rays[:, -1]), order))[:, m])
        reduced = F @ P
        if m == 1:
            linear = np.vstack([reduced.T, np.eye(width + 1)[-1:]])
        turned = read(_monomials(rays @ linear.T, fresh))
        rhs = read(_composed(found, rays, order)[:, m]) - F @ off.T
        bend = scipy.linalg.solve_sylvester(off @ A @ off, -turned.T, rhs.T).T
        found = CentreManifold(
            np.concatenate([found.exponents, fresh]),
            np.concatenate([found.reduced, reduced]),
            np.concatenate([found.bend, bend]),
        )
    return found


def _exponents(variables: int, degree: int) -> np.ndarray:
    """Exponents of every monomial of one degree, shape (count, variables)."""
    chosen = combinations_with_replacement(range(variables), degree)
    return np.array([np.bincount(c, minlength=variables) for c in chosen])


def _rays(variables: int, count: int) -> np.ndarray:
    directions = np.random.default_rng(0).normal(size=(count, variables))
    return directions / np.linalg.norm(directions, axis=1, keepdims=True)


def _monomials(x: np.ndarray, exponents: np.ndarray) -> np.ndarray:
    return np.prod(x[:, None, :] ** exponents, axis=2)


def _on_rays(coefficients: np.ndarray, exponents: np.ndarray, rays: np.ndarray, order: int) -> np.ndarray:
    """A polynomial along every ray, as a power series in the length; shape (rays, order + 1, values)."""
    series = np.zeros((len(rays), order + 1, coefficients.shape[1]))
    if len(exponents):
        degree, values = exponents.sum(axis=1), _monomials(rays, exponents)
        for m in range(1, order + 1):
            series[:, m] = values[:, degree == m] @ coefficients[degree == m]
    return series


def _composed(found: CentreManifold, rays: np.ndarray, order: int) -> np.ndarray:
    """``κ(R(x, s), s)`` along every ray, as a power series; shape (rays, order + 1, state)."""
    width = found.reduced.shape[1]
    image = _on_rays(found.reduced, found.exponents, rays, order)
    inner = [image[:, :, i] for i in range(width)]
    inner.append(np.zeros((len(rays), order + 1)))
    inner[-1][:, 1] = rays[:, -1]
    one = np.zeros((len(rays), order + 1))
    one[:, 0] = 1
    total = np.zeros((len(rays), order + 1, found.bend.shape[1]))
    for exponents, bend in zip(found.exponents, found.bend, strict=True):
        factors = [inner[i] for i, e in enumerate(exponents) for _ in range(e)]
        total += reduce(_times, factors, one)[:, :, None] * bend
    return total


def _times(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The product of power series, cut off."""
    return np.stack([np.sum(a[:, : m + 1] * b[:, m::-1], axis=1) for m in range(a.shape[1])], axis=1)


@eqx.filter_jit
def _taylor(model: Model, tangent: Any, curve: Any, slope: Any, order: int) -> Any:
    """Taylor coefficients in r of ``f(Σ_k curve_k r^k; θ + r slope v)``, shape (rays, order + 1, state)."""

    def one(coefficients: Any, rate: Any) -> Any:
        def image(r: Any) -> Any:
            h = coefficients[order]
            for k in range(order - 1, -1, -1):
                h = h * r + coefficients[k]
            return moved(model, tangent, rate * r)(h)

        tower = image
        for _ in range(order):
            tower = _with_derivative(tower)
        values, found = tower(jnp.zeros(())), []
        for k in range(order + 1):
            leaf = values
            for i in range(order):
                leaf = leaf[int(i < k)]
            found.append(leaf)
        scale = np.cumprod([1.0, *range(1, order + 1)])
        return jnp.stack([value / c for value, c in zip(found, scale, strict=True)])

    return jax.vmap(one)(curve, slope)


def _with_derivative(f: Any) -> Any:
    return lambda r: jax.jvp(f, (r,), (jnp.ones(()),))
