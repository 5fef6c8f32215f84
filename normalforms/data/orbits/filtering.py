"""Coefficients of a map from orbits with noise in the dynamics and in the measurement: a Kalman filter's likelihood."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from normalforms.data.orbits.library import Library
from normalforms.data.orbits.shooting import Estimate

__all__ = ["Filter"]

Array = np.ndarray


@dataclass(frozen=True)
class Filter:
    """The extended Kalman filter's innovations ``v_t = y_t − m_t`` with covariance ``S_t = P_t + r``.

    ``m_{t+1} = f(m_t + K v_t)``, ``P_{t+1} = F (1 − K) P_t Fᵀ + q``, ``K = P S⁻¹``, in units in which ``r + q = 1``;
    the first state is as uncertain as the data are wide. Deviance ``N ln (Σ vᵀS⁻¹v / N) + Σ ln |S|``. Coefficients move
    by Gauss–Newton with the gains held, so their equation is unbiased to first order in the noise.

    Args:
        library: monomials along these orbits.
        orbits: shape (orbits, times, n), measured at every time.
        process: q, the dynamics' share of the noise variance; the measurement has the rest.
        width: variance of the data over that of the noise, of the first state.

    Source: Jazwinski, *Stochastic Processes and Filtering Theory* (1970), ch. 8; Ljung, IEEE Trans. Autom. Control 24
    (1979) 36.
    """

    library: Library
    orbits: Array = field(repr=False)
    process: float
    width: float

    @property
    def points(self) -> int:
        """Innovations, those of the first states not counted."""
        return self.orbits[:, 1:].size

    def walk(self, theta: Array, active: Array | None) -> tuple[float, float, Array, Array]:
        """Deviance, noise variance, and with ``active`` the normal equations of the coefficients."""
        S, times, n = self.orbits.shape
        one = np.eye(n)
        r, q = (1 - self.process) * one, self.process * one
        m, P = np.zeros((S, n)) + np.mean(self.orbits[:, 0], axis=0), np.broadcast_to(self.width * one, (S, n, n))
        rows, columns = np.nonzero(active) if active is not None else (np.zeros(0, int), np.zeros(0, int))
        Z = np.zeros((S, n, len(rows)))
        H, g = np.zeros((len(rows), len(rows))), np.zeros(len(rows))
        square = logs = 0.0
        for t in range(times):
            V = P + r
            v = self.orbits[:, t] - m
            inverse = np.linalg.inv(V)
            if t:
                square += float(np.einsum("si,sij,sj", v, inverse, v))
                logs += float(np.sum(np.linalg.slogdet(V)[1]))
                if len(rows):
                    weighted = (inverse @ Z).reshape(-1, len(rows))
                    H += Z.reshape(-1, len(rows)).T @ weighted
                    g += weighted.T @ v.reshape(-1)
            if t + 1 < times:
                K = P @ inverse
                h = m + (K @ v[..., None])[..., 0]
                phi, slope = self.library.values(h, t)
                assert slope is not None
                F = np.einsum("sjk,ik->sij", slope, theta)
                m, P = phi @ theta.T, F @ ((one - K) @ P) @ np.swapaxes(F, 1, 2) + q
                if len(rows):
                    Z = F @ ((one - K) @ Z)
                    Z[:, rows, np.arange(len(rows))] += phi[:, columns]
                if not np.all(np.abs(m) < 1e3 * (1 + np.max(np.abs(self.orbits)))):
                    return np.inf, np.inf, H, g
        variance = square / self.points
        return self.points * np.log(variance) + logs, variance, H, g

    def fit(self, estimate: Array, active: Array, start: Array | None = None, steps: int = 12) -> Estimate:
        """Gauss–Newton, halved while the deviance rises."""
        theta = np.where(active, estimate, 0.0)
        deviance, variance, H, g = self.walk(theta, active)
        for _ in range(steps if np.isfinite(deviance) else 0):
            step = np.linalg.lstsq(H + 1e-12 * np.diag(np.diag(H)), g, rcond=None)[0]
            for part in (1.0, 0.5, 0.25, 0.1):
                trial = theta.copy()
                trial[active] += part * step
                found = self.walk(trial, active)
                if found[0] < deviance:
                    break
            else:
                break
            gain = deviance - found[0]
            theta, (deviance, variance, H, g) = trial, found
            if gain < 1e-4:
                break
        freedom = self.points / max(1, self.points - int(active.sum()))
        safe = variance * freedom if np.isfinite(variance) else np.inf
        information = H / safe if np.isfinite(safe) else np.zeros_like(H)
        return Estimate(theta, active, deviance, information, safe, np.zeros(0))

    def pull(self, found: Estimate) -> tuple[Array, Array]:
        """Information and gradient of ``−deviance/2`` by all coefficients, at an estimate."""
        _, _, H, g = self.walk(found.theta, np.ones_like(found.active))
        return H / found.variance, g / found.variance
