"""The search for the map behind orbits: all terms on short pieces, their joint removal, then few terms on long ones."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
from scipy.optimize import minimize_scalar

from normalforms.data.orbits.filtering import Filter
from normalforms.data.orbits.library import Library
from normalforms.data.orbits.regression import Regression
from normalforms.data.orbits.selection import criterion, improved, price, removals
from normalforms.data.orbits.shooting import Estimate, Shooting, scales_of

__all__ = ["Found", "along_orbits", "filtered", "step_by_step"]

Array = np.ndarray
_SHORT = 2  # steps of the first pieces
_LENGTHS = (4, 8, 16, 10**9)
_WORSE = 1.25  # ratio of noise variances at which longer pieces are no longer followed
_FITTED = 8  # so many sizes of map are fitted in full
_PAIRED = 8  # monomials of a scalar map up to which all pairs of them are tried
_MANY = 60  # coefficients above which the joint fit of all is left out: exchanges make up for it


@dataclass(frozen=True)
class Found:
    """The chosen map, its rivals by size, and the problem that it solves.

    Args:
        best: the map chosen.
        rivals: the best map of each size that was fitted, by size.
        problem: `Shooting` or `Regression`.
        length: steps of the pieces that were followed; 1 for regression.
    """

    best: Estimate
    rivals: tuple[Estimate, ...]
    problem: Shooting | Regression | Filter
    length: int


def step_by_step(library: Library, orbits: Array) -> Found:
    """Noise in the dynamics: regression from each state to the next."""
    problem = Regression(library, orbits)
    n, K = orbits.shape[2], len(library.terms)
    full = problem.fit(np.zeros((n, K)), np.ones((n, K), bool))
    path = removals(_factor(problem, full), full.theta.ravel())
    order = sorted(path, key=lambda p: p[1] + price(len(p[0]), problem.points, n * K))
    chosen = [*order[:_FITTED], *(p for p in path[-3 * n :] if not any(p is o for o in order[:_FITTED]))]
    fitted = [problem.fit(full.theta, _active(kept, full.active.shape)) for kept, _ in chosen]
    best = improved(problem, min(fitted, key=lambda e: criterion(e, problem.points, n * K)), fitted)
    return Found(best, _by_size(fitted, problem), problem, 1)


def along_orbits(library: Library, orbits: Array) -> Found:
    """Noise in the measurement: least squares along pieces of the orbits, as long as they can be followed."""
    n, K = orbits.shape[2], len(library.terms)
    size = float(np.sqrt(np.nanmean(orbits**2)) + np.nanstd(orbits))
    whole = Shooting(library, orbits, size, scales_of(library, orbits))
    short = whole.segments(_SHORT)
    start = _first(short)
    fitted = [
        short.fit(guess, active, start, steps=12) for guess, active in _small(Regression(library, orbits), 3 * n + 2)
    ]
    if n * K <= _MANY:
        fitted += [short.fit(g, a, start, steps=12) for g, a in _small_jointly(short, library, orbits, 3 * n + 2)]
    problem: Shooting = short
    best = improved(problem, min(fitted, key=lambda e: criterion(e, problem.points, n * K)), fitted)
    length, variance = _SHORT, best.variance
    for longer in _LENGTHS:
        if length >= orbits.shape[1] - 1:
            break
        ahead = whole.segments(longer)
        # short pieces may prefer many terms that long ones refute: small maps go along
        along = [best, *(e for e in _by_size(fitted, problem) if int(e.active.sum()) <= 2 * n + 2 and e is not best)]
        tried = [
            ahead.fit(e.theta, e.active, ahead.starts(e.theta, variance**0.5), steps=20 if e is best else 10)
            for e in along
            if np.isfinite(e.deviance)
        ]
        least = min(tried, key=lambda e: criterion(e, ahead.points, n * K))
        if not least.variance < _WORSE * variance:
            break
        problem, length, fitted = ahead, min(longer, orbits.shape[1] - 1), tried
        best = improved(problem, least, fitted)
    if n == 1 and K <= _PAIRED:  # short pieces at much noise may have passed over the right two terms
        pairs = _pairs(Regression(library, orbits), problem, variance**0.5)
        fitted = [*fitted, *pairs]
        least = min([best, *pairs], key=lambda e: criterion(e, problem.points, n * K))
        best = best if least is best else improved(problem, least, fitted)
    best = problem.fit(best.theta, best.active, best.extra, steps=20, tolerance=1e-10)
    rivals = _by_size([best, *fitted], problem)
    return Found(_sure(problem, best), rivals, problem, length)


def _pairs(regression: Regression, problem: Shooting, spread: float) -> list[Estimate]:
    """Every map of two terms along the whole pieces, from where the regression has it."""
    K, found = len(regression.library.terms), []
    for pair in combinations(range(K), 2):
        active = _active(np.array(pair), (1, K))
        theta = regression.fit(np.zeros((1, K)), active).theta
        found.append(problem.fit(theta, active, problem.starts(theta, spread), steps=8, tolerance=1e-4))
    return found


def _sure(problem: Shooting, found: Estimate) -> Estimate:
    """The estimate without bias; terms that were there for the bias alone leave."""
    mended = problem.unbiased(found)
    k, total = int(found.active.sum()), found.active.size
    if k < 2 or not np.isfinite(found.deviance):
        return mended
    squares = mended.theta[found.active] ** 2 / np.maximum(np.diag(found.covariance), 1e-300)
    least = int(np.argmin(squares))
    if squares[least] > price(k, problem.points, total) - price(k - 1, problem.points, total):
        return mended
    fewer = found.active.copy()
    fewer[tuple(np.argwhere(found.active)[least])] = False
    refit = problem.fit(found.theta, fewer, found.extra, steps=30)
    return _sure(problem, refit) if np.isfinite(refit.deviance) else mended


def filtered(library: Library, orbits: Array) -> Found:
    """Noise in both: the filter's likelihood, its ratio of noises estimated before and after the choice of terms.

    Raises:
        ValueError: orbits with gaps, through which the filter does not go.
    """
    if not np.all(np.isfinite(orbits)):
        raise ValueError('noise="both" needs orbits of one length without NaN; cut them, or say noise="measurement"')
    n, K = orbits.shape[2], len(library.terms)
    regression = Regression(library, orbits)
    width = float(np.var(orbits)) / max(regression.fit(np.zeros((n, K)), np.ones((n, K), bool)).variance, 1e-12)
    starts = _small(regression, 3 * n + 2)
    best, fitted, problem = None, [], Filter(library, orbits, 0.5, width)
    for _ in range(2):
        if best is not None:
            starts = [(best.theta, best.active)]
        theta, active = starts[len(starts) // 2]
        problem = replace(problem, process=_share(problem, theta, active))
        fitted = [problem.fit(t, a) for t, a in starts]
        least = min(fitted, key=lambda e: criterion(e, problem.points, n * K))
        problem = replace(problem, process=_share(problem, least.theta, least.active))
        fitted = [problem.fit(least.theta, least.active)]
        best = improved(problem, fitted[0], fitted)
    assert best is not None
    return Found(best, _by_size([best, *fitted], problem), problem, orbits.shape[1] - 1)


def _share(problem: Filter, theta: Array, active: Array) -> float:
    """The dynamics' share of the noise variance at which the deviance is least."""

    def deviance(logit: float) -> float:
        found = replace(problem, process=float(1 / (1 + np.exp(-logit)))).fit(theta, active, steps=3).deviance
        return found if np.isfinite(found) else 1e12

    best = minimize_scalar(deviance, bounds=(-12.0, 12.0), method="bounded", options={"xatol": 0.05, "maxiter": 25})
    return float(1 / (1 + np.exp(-best.x)))


def _small(problem: Regression, largest: int) -> list[tuple[Array, Array]]:
    """Maps of at most so many terms on the way of removals from the regression with all of them."""
    n, K = problem.orbits.shape[2], len(problem.library.terms)
    full = problem.fit(np.zeros((n, K)), np.ones((n, K), bool))
    path = removals(_factor(problem, full), full.theta.ravel())
    found = [problem.fit(full.theta, _active(kept, full.active.shape)) for kept, _ in path[-largest:]]
    return [(e.theta, e.active) for e in found]


def _small_jointly(short: Shooting, library: Library, orbits: Array, largest: int) -> list[tuple[Array, Array]]:
    """The same on the way from the fit along short pieces, in monomials made independent on the data."""
    regression = Regression(library, orbits)
    n, K = orbits.shape[2], len(library.terms)
    q, r = np.linalg.qr(regression.phi)
    turn = np.linalg.inv(r) * np.sqrt(len(q))
    turned = replace(short, library=replace(short.library, turn=turn), unit=np.ones(K))
    every = np.ones((n, K), bool)
    first = np.linalg.solve(turn, regression.fit(np.zeros((n, K)), every).theta.T).T
    full = turned.fit(first, every, _first(short), steps=8, tolerance=1e-4)
    root, back = _root(full.information), np.linalg.inv(turn)
    factor = np.concatenate([root[:, i * K : (i + 1) * K] @ back for i in range(n)], axis=1)
    path = removals(factor, (turn @ full.theta.T).T.ravel())
    actives = [_active(kept, (n, K)) for kept, _ in path[-largest:]]
    return [(regression.fit(every, active).theta, active) for active in actives]


def _factor(problem: Regression, full: Estimate) -> Array:
    n, K = full.active.shape
    r = np.linalg.qr(problem.phi)[1]
    factor = np.zeros((n * K, n * K))
    for i in range(n):
        factor[i * K : (i + 1) * K, i * K : (i + 1) * K] = r / np.sqrt(full.extra[i])
    return factor


def _active(kept: Array, shape: tuple[int, ...]) -> Array:
    active = np.zeros(int(np.prod(shape)), bool)
    active[kept] = True
    return active.reshape(shape)


def _first(problem: Shooting) -> Array:
    return np.where(np.isfinite(problem.orbits[:, 0]), problem.orbits[:, 0], 0.0)


def _root(information: Array) -> Array:
    values, vectors = np.linalg.eigh(information)
    return (vectors * np.sqrt(np.maximum(values, 0.0))).T


def _by_size(fitted: list[Estimate], problem: Shooting | Regression | Filter) -> tuple[Estimate, ...]:
    sizes: dict[int, Estimate] = {}
    for e in sorted(fitted, key=lambda e: criterion(e, problem.points, e.active.size)):
        sizes.setdefault(int(e.active.sum()), e)
    return tuple(e for _, e in sorted(sizes.items()))
