"""Least squares for amplification laws: the residuals of many trials at once, and a batched Levenberg–Marquardt."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from normalforms.data.engine import Design
from normalforms.maps import Map

__all__ = ["EXPONENTS", "Objective", "Solution", "minimise", "names_of"]

Array = np.ndarray

EXPONENTS = ("amplitude_exponent", "parameter_exponent", "state_exponent")
_FIXED = ("amplitude", "parameter_scale", "state_scale", "critical")
_TINY = 1e-300


def names_of(m: Map) -> tuple[str, ...]:
    """Names of all coordinates of a fit: four of every law, the map's further parameters, three exponents."""
    return (*_FIXED, *(p.name for p in m.parameters[:-1]), *EXPONENTS)


@dataclass(frozen=True)
class Objective:
    """Residuals of ``a Σ_i A_T(g_c + b (x − x*), c h_i)`` against data.

    Coordinates ``(ln a, ln b, ln c, x*, extra …, ε_a, ε_b, ε_c)``; with exponents ``a, b, c`` are multiplied by
    ``(T/T_0)^ε``, ``T_0`` the geometric mean of the horizons.

    Args:
        map: the law's map.
        design: horizons and initial states of the points.
        parameter: x, shape (count,).
        target: ``ln y`` or y, shape (count,), or (count, trials) where each trial has data of its own.
        weight: square roots of relative weights, shape (count,).
        additive: residuals are ``weight (m − y)``, else ``weight (ln m − ln y)``.
    """

    map: Map
    design: Design
    parameter: Array
    target: Array
    weight: Array
    additive: bool = False

    @property
    def size(self) -> int:
        """Number of coordinates."""
        return 4 + len(self.map.parameters) - 1 + 3

    @property
    def centre(self) -> float:
        """Critical value of the map's moving parameter."""
        return float(self.map.critical[self.map.parameters[-1]]) if self.map.critical else 1.0

    def log_model(self, phi: Array, slopes: bool = True) -> tuple[Array, Array | None]:
        """``ln m``, shape (count, trials), and its derivative, (count, trials, size), at ``phi``, (trials, size)."""
        extra = len(self.map.parameters) - 1
        horizon = self.design.horizon
        ratio = np.log(horizon / np.exp(np.mean(np.log(horizon))))[:, None]
        e = phi[:, 4 + extra :]
        b = np.exp(phi[:, 1] + e[:, 1] * ratio)
        c = np.exp(phi[:, 2] + e[:, 2] * ratio)
        away = self.parameter[:, None] - phi[:, 3]
        curve = self.design.curve(self.map, self.centre + b * away, c, phi[:, 4 : 4 + extra], slopes)
        value = phi[:, 0] + e[:, 0] * ratio + curve.value
        if curve.slope is None:
            return value, None
        by_g, by_c = curve.slope[..., 0], curve.slope[..., 1]
        flat = np.broadcast_to(ratio, by_g.shape)
        with np.errstate(all="ignore"):  # where orbits have left
            parts = [np.ones_like(by_g), by_g * b * away, by_c, -by_g * b]
            parts += [curve.slope[..., 2 + j] for j in range(extra)]
            parts += [flat, flat * parts[1], flat * by_c]
        return value, np.stack(parts, axis=-1)

    def residual(self, phi: Array, slopes: bool = True) -> tuple[Array, Array | None]:
        """Weighted residuals, (count, trials), infinite where the law has no number; and their derivatives."""
        value, slope = self.log_model(phi, slopes)
        target = self.target if self.target.ndim == 2 else self.target[:, None]
        w = self.weight[:, None]
        with np.errstate(all="ignore"):
            if not self.additive:
                return w * (value - target), None if slope is None else w[..., None] * slope
            m = np.exp(value)
            return w * (m - target), None if slope is None else (w * m)[..., None] * slope

    def with_target(self, target: Array) -> Objective:
        """The same with other data."""
        return replace(self, target=target)


@dataclass(frozen=True)
class Solution:
    """Minima of a batch of trials.

    Args:
        phi: coordinates, shape (trials, size).
        cost: sums of squares, shape (trials,); infinite where no start had a number.
        residual: shape (count, trials).
        jacobian: by the free directions, shape (count, trials, k).
        moving: trials that were not at rest after the last step, shape (trials,).
    """

    phi: Array
    cost: Array
    residual: Array
    jacobian: Array
    moving: Array


def minimise(
    objective: Objective,
    start: Array,
    basis: Array,
    bounds: tuple[Array, Array],
    *,
    steps: int = 40,
    tolerance: float = 1e-9,
    damping: float = 1e-3,
) -> Solution:
    """Levenberg–Marquardt on ``phi = start + basis z`` for every trial at once.

    Args:
        objective: gives residuals and derivatives.
        start: first coordinates, shape (trials, size).
        basis: free directions, shape (size, k), or (trials, size, k) for each trial its own.
        bounds: lowest and highest coordinates, shape (size,); steps are clipped to them.
        steps: at most so many evaluations.
        tolerance: a trial is done once an accepted step lowers its cost by a smaller share.
        damping: the first, relative to the diagonal of the normal matrix.

    Source: Marquardt, SIAM J. Appl. Math. 11 (1963) 431; Nielsen's rule for the damping would save little here.
    """
    basis = np.broadcast_to(basis, (len(start), *basis.shape[-2:]))
    low, high = bounds
    phi = np.clip(start, low, high)
    own = objective.target.ndim == 2
    r, full = objective.residual(phi)
    with np.errstate(all="ignore"):
        j = np.einsum("ntd,tdk->ntk", full, basis)
    cost = _cost(r)
    r, j = np.where(np.isfinite(r), r, 0.0), np.where(np.isfinite(j), j, 0.0)
    lam = np.full(len(phi), damping)
    live = np.flatnonzero(np.isfinite(cost))
    for _ in range(steps):
        if not len(live):
            break
        step = _step(r[:, live], j[:, live], lam[live])
        trial = np.clip(phi[live] + np.einsum("tdk,tk->td", basis[live], step), low, high)
        part = objective.with_target(objective.target[:, live]) if own else objective
        new, slope = part.residual(trial)
        assert slope is not None  # it was asked for
        after = _cost(new)
        better = after < cost[live]
        gain = np.where(better, (cost[live] - after) / np.maximum(cost[live], _TINY), 0.0)
        won = live[better]
        phi[won], cost[won], r[:, won] = trial[better], after[better], new[:, better]
        j[:, won] = np.einsum("ntd,tdk->ntk", slope[:, better], basis[won])
        j[:, won] = np.where(np.isfinite(j[:, won]), j[:, won], 0.0)
        lam[live] = np.where(better, lam[live] * 0.1, lam[live] * 8)
        done = (better & (gain < tolerance)) | (~better & (lam[live] > 1e4)) | (cost[live] < 1e-28 * r.shape[0])
        small = np.max(np.abs(step), axis=1) < 1e-10
        live = live[~(done | small)]
    return Solution(phi, cost, r, j, np.isin(np.arange(len(phi)), live))


def _cost(r: Array) -> Array:
    with np.errstate(all="ignore"):
        total = np.sum(r * r, axis=0)
    return np.where(np.isfinite(total), total, np.inf)


def _step(r: Array, j: Array, lam: Array) -> Array:
    """``−(JᵀJ + λ diag)⁻¹ Jᵀ r`` of each trial; directions without effect do not move."""
    normal = np.einsum("nti,ntj->tij", j, j)
    slope = np.einsum("nti,nt->ti", j, r)
    k = normal.shape[-1]
    diagonal = np.einsum("tii->ti", normal)
    floor = 1e-12 * np.maximum(np.max(diagonal, axis=1, keepdims=True), _TINY)
    damped = normal + (lam[:, None] * np.maximum(diagonal, floor) + floor * 1e-3)[:, :, None] * np.eye(k)
    return -np.linalg.solve(damped, slope[..., None])[..., 0]
