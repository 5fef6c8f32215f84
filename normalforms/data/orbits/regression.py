"""Coefficients of a map from steps with noise in the dynamics: least squares from each state to the next."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from normalforms.data.orbits.library import Library
from normalforms.data.orbits.shooting import Estimate

__all__ = ["Regression"]

Array = np.ndarray
_ROUNDING = 1e-13  # relative residual below which data count as free of noise


@dataclass(frozen=True)
class Regression:
    """``Σ (h_{t+1} − Σ_k θ_k φ_k(h_t, u_t))²``, states taken as they were measured.

    Args:
        library: monomials along these orbits.
        orbits: shape (orbits, times, n); steps from or to NaN do not count.
    """

    library: Library
    orbits: Array = field(repr=False)
    phi: Array = field(init=False, repr=False)
    slope: Array = field(init=False, repr=False)
    after: Array = field(init=False, repr=False)
    where: Array = field(init=False, repr=False)

    def __post_init__(self) -> None:
        times = self.orbits.shape[1]
        phi, slope, after, where = [], [], [], []
        for t in range(times - 1):
            fine = np.all(np.isfinite(self.orbits[:, t]) & np.isfinite(self.orbits[:, t + 1]), axis=1)
            index = np.flatnonzero(fine)
            values, slopes = self.library.values(np.where(fine[:, None], self.orbits[:, t], 0.0), t)
            assert slopes is not None
            phi.append(values[index])
            slope.append(slopes[index])
            after.append(self.orbits[index, t + 1])
            where.append(np.stack([index, np.full(len(index), t)], axis=1))
        for name, parts in (("phi", phi), ("slope", slope), ("after", after), ("where", where)):
            object.__setattr__(self, name, np.concatenate(parts))

    @property
    def points(self) -> int:
        """Numbers predicted."""
        return self.after.size

    def fit(self, estimate: Array, active: Array, start: Array | None = None, steps: int = 0) -> Estimate:
        """Exact least squares of each component; the noise of the components is one."""
        del start, steps, estimate
        n, K = active.shape
        theta, blocks = np.zeros((n, K)), []
        for i in range(n):
            columns = self.phi[:, active[i]]
            norms = np.maximum(np.linalg.norm(columns, axis=0), 1e-300)
            q, r = np.linalg.qr(columns / norms)
            theta[i, active[i]] = np.linalg.solve(r, q.T @ self.after[:, i]) / norms
            blocks.append((r.T @ r) * norms[:, None] * norms)
        return self.at(theta, active, blocks)

    def at(self, theta: Array, active: Array, blocks: list[Array] | None = None) -> Estimate:
        """Likelihood and information at given coefficients."""
        gap = self.after - self.phi @ theta.T
        freedom = max(1, self.points - int(active.sum()))
        floor = (_ROUNDING * float(np.sqrt(np.mean(self.after**2)))) ** 2
        variance = np.maximum(np.sum(gap**2, axis=0) / max(1.0, freedom / gap.shape[1]), floor)
        blocks = blocks or [self.phi[:, a].T @ self.phi[:, a] for a in active]
        sizes = [len(b) for b in blocks]
        information = np.zeros((sum(sizes), sum(sizes)))
        first = 0
        for block, v in zip(blocks, variance, strict=True):
            information[first : first + len(block), first : first + len(block)] = block / v
            first += len(block)
        deviance = float(len(gap) * np.sum(np.log(variance)))
        return Estimate(theta, active, deviance, information, float(np.mean(variance)), variance)

    def pull(self, found: Estimate) -> tuple[Array, Array]:
        """Information and gradient of ``−deviance/2`` by all coefficients, at an estimate."""
        n, K = found.active.shape
        normal, gap = self.phi.T @ self.phi, self.after - self.phi @ found.theta.T
        information, slope = np.zeros((n * K, n * K)), np.zeros(n * K)
        for i in range(n):
            part = slice(i * K, (i + 1) * K)
            information[part, part] = normal / found.extra[i]
            slope[part] = self.phi.T @ gap[:, i] / found.extra[i]
        return information, slope

    def attenuation(self, found: Estimate) -> tuple[float, float, Array]:
        """Measurement noise that the residuals betray, its significance, and the bias it makes in the coefficients.

        Noise η in the states leaves residuals ``η_{t+1} − F η_t`` whose neighbours are anticorrelated:
        ``E e_{t+1} e_tᵀ = −F σ²``. To first order it shifts θ by ``−(Σ φφᵀ)⁻¹ N σ² ⟨∂φ ∂φᵀ⟩ θ``.

        Returns:
            σ², how many standard errors it is above zero, and the bias, shape (n, K).
        """
        gap = self.after - self.phi @ found.theta.T
        order = np.lexsort((self.where[:, 1], self.where[:, 0]))
        w = self.where[order]
        follows = (w[1:, 0] == w[:-1, 0]) & (w[1:, 1] == w[:-1, 1] + 1)
        first, second = order[:-1][follows], order[1:][follows]
        slope = np.einsum("sjk,ik->sij", self.slope[second], found.theta)
        expected, seen = -slope, np.einsum("si,sj->sij", gap[second], gap[first])
        strength = float(np.sum(expected**2))
        bias = np.zeros_like(found.theta)
        if strength == 0 or found.variance == 0:
            return 0.0, 0.0, bias
        variance = float(np.sum(expected * seen)) / strength
        error = float(np.sqrt(np.sum((expected * seen) ** 2))) / strength
        normal = self.phi.T @ self.phi
        bent = np.einsum("sjk,sjl->kl", self.slope, self.slope)
        for i, a in enumerate(found.active):
            inside = np.ix_(a, a)
            if np.any(a):
                bias[i, a] = -max(variance, 0.0) * np.linalg.solve(normal[inside], bent[inside] @ found.theta[i, a])
        return max(variance, 0.0), variance / error if error > 0 else 0.0, bias
