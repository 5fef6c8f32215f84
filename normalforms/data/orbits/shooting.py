"""Coefficients of a map from orbits seen with noise: least squares along the orbits, initial states fitted too."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from normalforms.data.orbits.library import Library

__all__ = ["Estimate", "Shooting", "scales_of"]

Array = np.ndarray
_FAR = 30.0  # orbits farther out than so many times the data have left


@dataclass(frozen=True)
class Estimate:
    """Coefficients and how well they are known.

    Args:
        theta: shape (n, K), zero where a term is not in the map.
        active: the terms in the map, shape (n, K).
        deviance: −2 ln of the greatest likelihood, noise level profiled out, up to a constant.
        information: inverse covariance of the active coefficients, in the order of ``active``.
        variance: of the noise, in units of the states squared.
        extra: what else was estimated (initial states, say).
    """

    theta: Array
    active: Array
    deviance: float
    information: Array = field(repr=False)
    variance: float
    extra: Array = field(repr=False)

    @property
    def covariance(self) -> Array:
        """Of the active coefficients."""
        return np.linalg.pinv(self.information, hermitian=True)


def scales_of(library: Library, h: Array) -> Array:
    """Root mean square of every monomial over the data, shape (K,): the units in which steps are taken."""
    phi = np.concatenate([library.values(h[:, t], t, False)[0] for t in range(h.shape[1] - 1)])
    fine = np.all(np.isfinite(phi), axis=1)
    return np.maximum(np.sqrt(np.mean(phi[fine] ** 2, axis=0)), 1e-12)


@dataclass(frozen=True)
class Shooting:
    """``Σ ‖y_t − h_t‖²`` with ``h_{t+1} = Σ_k θ_k φ_k(h_t, u_t)``, over θ and every orbit's ``h_0``.

    Args:
        library: monomials along these orbits.
        orbits: y, shape (orbits, times, n); NaN where nothing was measured.
        size: typical size of the states, beyond which by far an orbit has left.
    """

    library: Library
    orbits: Array
    size: float
    unit: Array

    @property
    def points(self) -> int:
        """Measured numbers less the initial states' own."""
        return int(np.sum(np.isfinite(self.orbits))) - self.orbits.shape[0] * self.orbits.shape[2]

    def costs(self, theta: Array, start: Array) -> Array:
        """The sum of squares of every orbit, infinite where it leaves."""
        h, total = start, np.zeros(len(start))
        gone = np.zeros(len(start), bool)
        columns = self.library.needed(theta != 0)
        weights = theta.T if columns is None else theta[:, columns].T
        for t in range(self.orbits.shape[1]):
            gap = self.orbits[:, t] - h
            total += np.sum(np.where(np.isfinite(gap), gap, 0.0) ** 2, axis=1)
            if t + 1 < self.orbits.shape[1]:
                h = self.library.values(h, t, False, columns)[0] @ weights
                gone |= ~np.all(np.abs(h) < _FAR * self.size, axis=1)
                h = np.where(gone[:, None], 0.0, h)
        return np.where(gone, np.inf, total)

    def starts(self, theta: Array, spread: float) -> Array:
        """For every orbit the best of a grid of initial states about the first one measured."""
        first = np.where(np.isfinite(self.orbits[:, 0]), self.orbits[:, 0], 0.0)
        n = first.shape[1]
        line = np.linspace(-3, 3, 13 if n == 1 else 7) * spread
        shifts = np.stack(np.meshgrid(*[line] * n, indexing="ij"), axis=-1).reshape(-1, n)
        costs = np.stack([self.costs(theta, first + shift) for shift in shifts])
        return first + shifts[np.argmin(costs, axis=0)]

    def normal(self, theta: Array, start: Array, active: Array) -> tuple[float, Array, Array, Array, Array, Array]:
        """Sum of squares, and the parts of the normal equations: H and g of θ, A, B and b of the initial states."""
        S, _, n = self.orbits.shape
        used = self.library.needed(active | (theta != 0))
        if used is not None:
            theta, active = theta[:, used], active[:, used]
        rows, columns = np.nonzero(active)
        m = len(rows)
        Z, G = np.zeros((S, n, m)), np.broadcast_to(np.eye(n), (S, n, n)).copy()
        H, g = np.zeros((m, m)), np.zeros(m)
        A, B, b = np.zeros((S, n, n)), np.zeros((S, n, m)), np.zeros((S, n))
        h, total = start, 0.0
        for t in range(self.orbits.shape[1]):
            seen = np.isfinite(self.orbits[:, t])
            gap = np.where(seen, self.orbits[:, t] - h, 0.0)
            z, x = (Z, G) if np.all(seen) else (Z * seen[..., None], G * seen[..., None])
            total += float(np.sum(gap**2))
            flat = z.reshape(S * n, m)
            H += flat.T @ flat
            g += flat.T @ gap.reshape(-1)
            xt = np.swapaxes(x, 1, 2)
            A += xt @ x
            B += xt @ z
            b += (xt @ gap[..., None])[..., 0]
            if t + 1 < self.orbits.shape[1]:
                phi, slope = self.library.values(h, t, True, used)
                assert slope is not None
                F = np.einsum("sjk,ik->sij", slope, theta)
                h, G, Z = phi @ theta.T, F @ G, F @ Z
                Z[:, rows, np.arange(m)] += phi[:, columns]
        return total, H, g, A, B, b

    def fit(self, estimate: Array, active: Array, start: Array, steps: int = 30, tolerance: float = 1e-7) -> Estimate:
        """Levenberg–Marquardt on θ and the initial states, these eliminated orbit by orbit (a Schur complement)."""
        theta, start = np.where(active, estimate, 0.0), start.copy()
        rows, columns = np.nonzero(active)
        unit = 1 / self.unit[columns]
        own = self.costs(theta, start)
        cost, lam = float(np.sum(own)), 1e-4
        fresh = self.normal(theta, start, active) if np.isfinite(cost) else None
        for _ in range(steps):
            if fresh is None:
                break
            _, H, g, A, B, b = fresh
            n = A.shape[-1]
            damped = A + lam * np.einsum("sii->si", A)[:, :, None] * np.eye(n)
            solved = np.linalg.solve(damped, np.concatenate([B, b[..., None]], axis=-1))
            reduced, slope = _schur(H, g, B, solved)
            reduced, slope = reduced * unit[:, None] * unit, slope * unit
            reduced[np.diag_indices_from(reduced)] += lam * np.einsum("ii->i", H) * unit**2 + 1e-14 * np.trace(reduced)
            step = np.linalg.solve(reduced, slope) * unit
            trial, moved = theta.copy(), start + solved[..., -1] - solved[..., :-1] @ step
            trial[rows, columns] += step
            fresh_costs = self.costs(trial, moved)
            lost = ~np.isfinite(fresh_costs)
            if np.any(lost):  # their initial states stay for this step
                moved[lost] = start[lost]
                fresh_costs = self.costs(trial, moved)
            after = float(np.sum(fresh_costs))
            if after < cost:
                gain, cost, theta, start, lam = (cost - after) / cost, after, trial, moved, max(lam * 0.1, 1e-10)
                if gain < tolerance:
                    break
                fresh = self.normal(theta, start, active)
            else:
                lam *= 10
                if lam > 1e6:
                    break
        return self.estimate(theta, start, active, cost)

    def estimate(self, theta: Array, start: Array, active: Array, cost: float) -> Estimate:
        """Likelihood and information at a point."""
        freedom = max(1, self.points - int(active.sum()))
        if not np.isfinite(cost):
            m = int(active.sum())
            return Estimate(theta, active, np.inf, np.zeros((m, m)), np.inf, start)
        _, H, _, A, B, _ = self.normal(theta, start, active)
        A = A + 1e-12 * np.einsum("sii->s", A)[:, None, None] * np.eye(A.shape[-1])
        information = _schur(H, np.zeros(len(H)), B, np.linalg.solve(A, np.concatenate([B, B[..., :1]], axis=-1)))[0]
        variance = max(cost / freedom, (1e-13 * self.size) ** 2)
        return Estimate(
            theta,
            active,
            self.points * np.log(variance * freedom / self.points),
            information / variance,
            variance,
            start,
        )

    def unbiased(self, found: Estimate) -> Estimate:
        """The estimate less the bias that comes from fitting as many initial states as there are orbits.

        The best initial states move with θ by ``u = −A⁻¹B`` for each orbit, A their information. The slope of the
        profile likelihood is off by ``Σ_s (½ d ln |A_s|/dθ + div u_s)`` on average, whatever the distribution of the
        initial states is: their likelihood integrated, with the change of their density along u. θ moves by that
        times its covariance.

        Source: the adjusted profile likelihood of McCullagh & Tibshirani, J. R. Stat. Soc. B 52 (1990) 325, to leading
        order in the noise.
        """
        rows, columns = np.nonzero(found.active)
        if not len(rows) or not np.isfinite(found.deviance):
            return found
        n = found.extra.shape[1]
        A, turn = self._turn(found.theta, found.extra, found.active)
        slopes = np.zeros((len(found.extra), len(rows)))
        steps = 0.1 * np.sqrt(np.maximum(np.diag(found.covariance), 1e-300))
        for j, step in enumerate(steps):
            sides = []
            for d in (step, -step):
                theta = found.theta.copy()
                theta[rows[j], columns[j]] += d
                moved = self._turn(theta, found.extra - d * turn[..., j], found.active)[0]
                sides.append(np.linalg.slogdet(moved)[1])
            slopes[:, j] = 0.5 * (sides[0] - sides[1]) / (2 * step)
        reach = 0.1 * np.sqrt(found.variance / np.maximum(np.einsum("sii->s", A) / n, 1e-300))
        for i in range(n):
            d = reach[:, None] * np.eye(n)[i]
            up, down = (self._turn(found.theta, found.extra + k * d, found.active)[1][:, i] for k in (1, -1))
            slopes -= (up - down) / (2 * reach[:, None])
        fine = np.all(np.isfinite(slopes), axis=1)
        shift = -found.covariance @ np.sum(slopes[fine], axis=0)
        theta = found.theta.copy()
        theta[found.active] += shift
        return replace(found, theta=theta, extra=found.extra - turn @ shift)

    def _turn(self, theta: Array, start: Array, active: Array) -> tuple[Array, Array]:
        """A and ``A⁻¹B`` of every orbit."""
        _, _, _, A, B, _ = self.normal(theta, start, active)
        A = A + 1e-12 * np.einsum("sii->s", A)[:, None, None] * np.eye(A.shape[-1])
        return A, np.linalg.solve(A, B)

    def pull(self, found: Estimate) -> tuple[Array, Array]:
        """Information and gradient of ``−deviance/2`` by all coefficients, at an estimate."""
        everything = np.ones_like(found.active)
        _, H, g, A, B, b = self.normal(found.theta, found.extra, everything)
        A = A + 1e-12 * np.einsum("sii->s", A)[:, None, None] * np.eye(A.shape[-1])
        solved = np.linalg.solve(A, np.concatenate([B, b[..., None]], axis=-1))
        information, slope = _schur(H, g, B, solved)
        return information / found.variance, slope / found.variance

    def segments(self, length: int) -> Shooting:
        """The same orbits cut into pieces of ``length`` steps, each with an initial state of its own."""
        S, times, n = self.orbits.shape
        if length >= times - 1:
            return self
        pieces = range(0, times - 1, length)
        cut = np.full((len(pieces), S, length + 1, n), np.nan)
        controls = np.zeros((len(pieces), S, length, self.library.controls.shape[2]))
        steady = self.library.controls.shape[1] == 1
        for i, first in enumerate(pieces):
            part = self.orbits[:, first : first + length + 1]
            cut[i, :, : part.shape[1]] = part
            given = self.library.controls[:, :1] if steady else self.library.controls[:, first : first + length]
            controls[i, :, : max(given.shape[1], 1)] = given
            controls[i, :, given.shape[1] :] = given[:, -1:]
        flat = cut.reshape(-1, length + 1, n)
        keep = np.sum(np.all(np.isfinite(flat), axis=2), axis=1) >= 2
        keep &= np.all(np.isfinite(flat[:, 0]), axis=1)
        fresh = controls.reshape(len(flat), length, controls.shape[3])[keep]
        library = replace(self.library, controls=fresh[:, :1] if steady else fresh)
        return Shooting(library, flat[keep], self.size, self.unit)


def _schur(H: Array, g: Array, B: Array, solved: Array) -> tuple[Array, Array]:
    """``H − Σ BᵀA⁻¹B`` and ``g − Σ BᵀA⁻¹b`` from ``A⁻¹[B, b]``."""
    flat = B.reshape(-1, B.shape[-1])
    taken = flat.T @ solved.reshape(-1, solved.shape[-1])
    return H - taken[:, :-1], g - taken[:, -1]
