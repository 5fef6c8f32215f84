"""How probable each law makes the data: likelihoods integrated over scales and noise."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.special import gammaln, logsumexp
from scipy.stats import qmc
from scipy.stats import t as student

from normalforms.data.competition import HOPELESS, ROUNDING, Contender
from normalforms.data.least_squares import Objective
from normalforms.data.measurement import Measurement

__all__ = ["evidence", "null_evidence", "score"]

Array = np.ndarray
# What is known before the data: medians and spreads of ln(b Tᵖ max|x − x*|) and of ln(c h_rms T^q)
_PRIOR = ((np.log(6.0), 1.0), (np.log(0.5), 1.0))
_FURTHER = 0.2  # prior odds of a law for each further parameter that it has
_DRAWS = 64  # per round, for each pair of coordinates
_POOR = 0.25  # share of draws that count below which they are drawn anew, from where the first ones weigh


def score(contender: Contender, data: Measurement, points: float, least: float) -> float:
    """ln evidence; of laws far behind a sum of squares the bound ``ln L`` alone, which is enough to rule them out."""
    floor = ROUNDING * data.count
    cost = max(contender.cost, floor)
    if points / 2 * np.log(cost / max(least, floor)) > HOPELESS:
        return float(gammaln(points / 2) - points / 2 * np.log(cost))
    return evidence(contender, data, points)


def evidence(contender: Contender, data: Measurement, points: float) -> float:
    """``ln ∫ L(φ) π(φ) dφ``, noise level integrated out, by importance sampling about the most probable point.

    ``L = Γ(n/2) RSS^{−n/2}`` with n = ``points``, the number of independent ones. Priors: ln a flat; ln b and ln c
    normal about the values at which the window shows the transition; x* uniform over twice the window; further
    parameters e normal about their critical values with the spread ``T^{−p}`` of their scaling variable ``T^p e``, and
    each of them divides the law's prior odds by five.
    Where residuals are logarithms the integral over ln a is exact,
    ``∫ L d ln a = Γ((n − 1)/2) √(π/Σw²) RSS^{−(n−1)/2}`` with RSS at the best a. The draws are quasi-random and always
    the same; where few of them count they are drawn again about those.
    """
    c, free = contender, list(contender.free)
    mean, spread = _prior(c, data)
    top, hessian = _most_probable(c, mean, spread, points)
    exact = not c.objective.additive and 0 in free
    inner = [k for k, i in enumerate(free) if not (exact and i == 0)]
    if exact and len(free) > 1:  # the amplitude eliminated: a Schur complement
        hessian = hessian - np.outer(hessian[0], hessian[0]) / hessian[0, 0]
    hessian = hessian[np.ix_(inner, inner)]
    k, nu = len(inner), 4.0
    uniform = np.clip(qmc.Sobol(k + 1, seed=7).random(_DRAWS * max(1, k // 2)), 1e-9, 1 - 1e-9)
    draws = student.ppf(uniform[:, :k], nu)
    log_draws = np.sum(student.logpdf(draws, nu), axis=1)
    values, vectors = np.linalg.eigh(hessian)
    root = 1.2 * vectors / np.sqrt(np.maximum(values, 1e-12 * np.max(values, initial=1e-300)))
    centre = top[inner]
    for last in (False, True):
        phi = np.repeat(c.phi[None], len(draws), axis=0)
        phi[:, [free[i] for i in inner]] = centre + draws @ root.T
        terms = _log_posterior(c, data, phi, points, mean, spread, exact)
        terms = terms - log_draws + np.linalg.slogdet(root)[1]
        if not np.any(np.isfinite(terms)):
            return -np.inf
        weight = np.exp(terms - np.max(terms))
        if last or k == 0 or np.sum(weight) ** 2 > _POOR * len(draws) * np.sum(weight**2):
            break
        weight /= np.sum(weight)
        centre = centre + root @ (weight @ draws)
        spread_out = (draws - weight @ draws).T * weight @ (draws - weight @ draws)
        root = 1.2 * root @ np.linalg.cholesky(spread_out + 1e-3 * np.eye(k))
    prior = np.log(_FURTHER) * (len(c.candidate.map.parameters) - 1)
    return float(logsumexp(terms) - np.log(len(draws)) + prior)


def _most_probable(c: Contender, mean: Array, spread: Array, points: float) -> tuple[Array, Array]:
    """The free coordinates of the greatest posterior density, and its negative second derivatives there."""
    free = list(c.free)
    sigma = np.sqrt(c.variance * len(c.residual) / points)
    rows = np.where(np.isfinite(spread[free]), sigma / spread[free], 0.0)
    penalised = replace(c, objective=_Penalised(**vars(c.objective), mean=mean, rows=_full(rows, free, len(c.phi))))
    found = penalised.solve(c.phi[None], c.basis, steps=8, tolerance=1e-4)
    if np.isfinite(found.cost[0]):
        return found.phi[0, free], (found.jacobian[:, 0].T @ found.jacobian[:, 0]) / sigma**2
    return c.phi[free], (c.jacobian.T @ c.jacobian) / sigma**2 + np.diag((rows / sigma) ** 2)


def _log_posterior(
    c: Contender, data: Measurement, phi: Array, points: float, mean: Array, spread: Array, exact: bool
) -> Array:
    """``ln L π`` at each of the coordinates, with ``exact`` integrated over ln a."""
    inside = np.all((phi >= c.bounds[0]) & (phi <= c.bounds[1]), axis=1)
    r, _ = c.objective.residual(np.clip(phi, *c.bounds), slopes=False)
    floor, half = ROUNDING * len(c.residual), points / 2
    with np.errstate(all="ignore"):
        constant = 0.0
        if exact:
            w = c.objective.weight[:, None]
            r = r - w * np.sum(w * r, axis=0) / np.sum(w**2)
            half -= 0.5
            constant = 0.5 * float(np.log(np.pi / np.sum(w**2)))
        rss = np.sum(r**2, axis=0)
    fine = inside & np.isfinite(rss)
    found = constant + gammaln(half) - half * np.log(np.maximum(np.where(fine, rss, 1.0), floor))
    for i in c.free:
        if np.isfinite(spread[i]):
            found -= 0.5 * ((phi[:, i] - mean[i]) / spread[i]) ** 2 + np.log(spread[i] * np.sqrt(2 * np.pi))
    if 3 in c.free:
        found -= np.log(2 * np.ptp(data.parameter))
    return np.where(fine, found, -np.inf)


class _Penalised(Objective):
    """An objective with the prior's rows appended."""

    def __init__(self, mean: Array, rows: Array, **fields: object) -> None:
        fields.pop("_", None)
        super().__init__(**fields)  # type: ignore[arg-type]
        object.__setattr__(self, "mean", mean)
        object.__setattr__(self, "rows", rows)

    def residual(self, phi: Array, slopes: bool = True) -> tuple[Array, Array | None]:
        """Residuals of the data, then of the prior."""
        r, j = super().residual(phi, slopes)
        mean, rows = vars(self)["mean"], vars(self)["rows"]
        held = np.flatnonzero(rows)
        prior = (rows * (phi - mean))[:, held].T
        r = np.concatenate([r, prior])
        if j is None:
            return r, None
        jp = np.broadcast_to((np.eye(len(rows)) * rows)[held][:, None, :], (len(held), len(phi), len(rows)))
        return r, np.concatenate([j, jp])


def _full(values: Array, free: list[int], size: int) -> Array:
    whole = np.zeros(size)
    whole[free] = values
    return whole


def _prior(c: Contender, data: Measurement) -> tuple[Array, Array]:
    """Means and spreads by coordinate; infinite where flat."""
    size = len(c.phi)
    mean, spread = np.zeros(size), np.full(size, np.inf)
    longest = float(np.max(data.horizon))
    away = (
        float(np.ptp(data.parameter))
        if data.critical is None
        else float(np.max(np.abs(data.parameter - data.critical)))
    )
    (b, b_spread), (h, h_spread) = _PRIOR
    p, q = c.candidate.exponents
    mean[1], spread[1] = b - np.log(away * longest**p), b_spread
    mean[2], spread[2] = h - np.log(np.sqrt(np.mean(data.initial**2)) * longest**q), h_spread
    inverse = np.linalg.pinv(c.jacobian.T @ c.jacobian) * c.variance
    for i in range(4, size):
        if i not in c.free:
            continue
        power = c.candidate.further[i - 4] if i < 4 + len(c.candidate.further) else None
        if power is not None:
            m = c.candidate.map
            mean[i], spread[i] = float(m.critical[m.parameters[i - 4]]), longest**-power
        else:  # no scale is known: one point's worth of information
            k = c.free.index(i)
            mean[i], spread[i] = c.phi[i], max(1e-12, np.sqrt(inverse[k, k] * len(c.residual)))
    return mean, spread


def null_evidence(data: Measurement, points: float) -> float:
    """The same of a constant."""
    y = (
        data.amplification / np.sqrt(np.mean(data.amplification**2))
        if data.noise == "additive"
        else np.log(data.amplification)
    )
    w = data.weight
    mean = np.sum(w * y) / np.sum(w)
    rss = max(float(np.sum(w * (y - mean) ** 2)), ROUNDING * data.count)
    half = points / 2 - 0.5
    return float(gammaln(half) - half * np.log(rss) + 0.5 * np.log(np.pi / np.sum(w)))
