"""What the data fix: profile-likelihood intervals, and the combinations of scales behind those that are unbounded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from math import gcd

import numpy as np
import scipy.stats

from normalforms.data.competition import Contender
from normalforms.data.least_squares import minimise

__all__ = ["Combination", "bootstrap_intervals", "combinations", "profile_intervals"]

Array = np.ndarray
_FAR = 14.0  # of a logarithm: a scale that may move by so much either way is unbounded
_ROUNDS = 14
_LOOSE = 0.7  # half-width of an interval in ln beyond which a combination is looked for
_SHORT = {"amplitude": "a", "parameter_scale": "b", "state_scale": "c"}


@dataclass(frozen=True)
class Combination:
    """A product of scales that the data determine although they do not determine its factors.

    Attributes:
        formula: as text, such as ``a c^2`` with a, b, c the amplitude, parameter scale and state scale.
        exponents: by parameter name.
        value: at the optimum.
        interval: profile-likelihood interval at the level asked for.
    """

    formula: str
    exponents: dict[str, int]
    value: float
    interval: tuple[float, float]


def profile_intervals(
    contender: Contender, directions: Sequence[Array], level: float, inflation: float = 1.0
) -> list[tuple[float, float]]:
    """Intervals of ``k·φ`` for each direction k: where the profile of the cost stays below a threshold.

    ``min_{k·φ = v} RSS(φ) ≤ RSS (1 + τ F_{1,ν}(level)/ν)``, ν the degrees of freedom and τ = ``inflation`` what
    correlated residuals do to the variance. Both ends of all directions are found at once, by a secant on
    ``±√(RSS(v) − RSS)``, which is linear in v where the model is.

    Returns:
        For each direction the lowest and highest value, ``−inf`` or ``inf`` where the threshold is not reached.

    Source: Bates & Watts, *Nonlinear Regression Analysis and Its Applications*, §6.1.
    """
    c = contender
    floor = c.variance * c.freedom
    limit = np.sqrt(floor * inflation * scipy.stats.f.ppf(level, 1, c.freedom) / c.freedom)
    inverse = np.linalg.pinv(c.jacobian.T @ c.jacobian, rcond=1e-14)
    jobs = []
    for k in directions:
        reduced = np.asarray(k, float)[list(c.free)]
        if not np.any(reduced) or (c.blind is not None and abs(np.asarray(k) @ c.blind) > 1e-9):
            jobs += [None, None]
            continue
        along = inverse @ reduced
        size = float(np.sqrt(max(reduced @ along, 1e-300)))
        away = np.zeros(len(c.phi))
        away[list(c.free)] = along / size**2  # how the optimum moves with v, to first order
        for sign in (-1.0, 1.0):
            jobs.append((sign, size, away, _null(c, reduced)))
    live = [i for i, job in enumerate(jobs) if job is not None]
    found = {i: _End(*jobs[i], limit=limit, start=c.phi) for i in live}  # type: ignore[misc]
    for _ in range(_ROUNDS):
        ends = [e for e in found.values() if not e.done]
        if not ends:
            break
        start = np.stack([e.proposal() for e in ends])
        basis = np.stack([e.basis for e in ends])
        solved = c.solve(start, basis, steps=10, tolerance=1e-5, damping=1e-5)
        for i, e in enumerate(ends):
            if _touches(c, solved.phi[i]):
                e.value, e.done = np.inf, True
            else:
                e.record(solved.phi[i], float(solved.cost[i]) - c.cost)
    values = [found[i].value if i in found else np.inf for i in range(len(jobs))]
    centre = [float(np.asarray(k) @ c.phi) for k in directions]
    return [(m - values[2 * i], m + values[2 * i + 1]) for i, m in enumerate(centre)]


def _touches(c: Contender, phi: Array) -> bool:
    """Whether a scale has run into its bound: what follows is the same at any value, or has no orbit that stays."""
    low, high = c.bounds
    return bool(np.any((phi[1:3] <= low[1:3] + 1e-9) | (phi[1:3] >= high[1:3] - 1e-9)))


def _null(c: Contender, reduced: Array) -> Array:
    """Directions of the free coordinates along which ``k·φ`` stays, in all coordinates."""
    k = len(reduced)
    q = np.linalg.qr(np.concatenate([reduced[:, None], np.eye(k)], axis=1))[0]
    return c.basis @ q[:, 1:k] if k > 1 else np.zeros((len(c.phi), 1))


class _End:
    """The search for one end of one interval: distances v ≥ 0 from the optimum and ``√ΔRSS`` there."""

    def __init__(self, sign: float, size: float, away: Array, basis: Array, *, limit: float, start: Array) -> None:
        self.sign, self.away, self.basis, self.limit = sign, away, basis, limit
        self.below, self.above, self.start = (0.0, 0.0, start), None, start
        self.next = size * limit
        self.far = _FAR if np.max(np.abs(away[:3])) > 0 else np.inf
        self.next = min(self.next, _FAR / 4)
        self.value, self.done = np.inf, False

    def proposal(self) -> Array:
        """First coordinates with ``k·φ`` at the next distance, from the nearest solved ones."""
        v, _, phi = self.below
        if v > 0:  # the way so far leads on better than the first order does where the profile is flat
            return phi + (self.next - v) / v * (phi - self.start)
        return phi + self.sign * self.next * self.away

    def record(self, phi: Array, excess: float) -> None:
        """Take in the profile at the distance asked for, and choose the next."""
        height = np.sqrt(max(excess, 0.0)) if np.isfinite(excess) else np.inf
        here = (self.next, height, phi)
        if abs(height - self.limit) < 0.01 * self.limit:
            self.value, self.done = self.next, True
            return
        if height < self.limit:
            self.below = here
        else:
            self.above = here
        low, f = self.below[:2]
        if self.above is None:
            if low >= self.far:
                self.done = True
                return
            slope = f / low if f > 0 else 0.0
            ahead = self.limit / slope if slope > 0 else np.inf
            self.next = min(max(min(ahead * 1.05, 3 * low + 1e-12), 1.2 * low), max(self.far, 1.2 * low))
            return
        high, top = self.above[:2]
        if high - low < 1e-3 * high:
            self.value, self.done = high, True
            return
        share = (self.limit - f) / (top - f) if np.isfinite(top) else 0.5
        self.next = low + (high - low) * float(np.clip(share, 0.1, 0.9))
        self.value = high


def combinations(contender: Contender, loose: Sequence[str], level: float, inflation: float = 1.0) -> list[Combination]:
    """The products ``a^p b^q c^r`` with small integers that are fixed although their factors ``loose`` are not.

    The best of the independent ones that are at least five times as sharp as any factor alone.
    """
    c = contender
    names = [n for n in ("amplitude", "parameter_scale", "state_scale") if n in loose]
    index = {n: c.names.index(n) for n in names}
    if len(names) < 2:
        return []
    inverse = _spread(c)
    wide = min(float(np.sqrt(inverse[index[n], index[n]])) for n in names)
    options = []
    for powers in product(range(-3, 4), repeat=len(names)):
        first = next((p for p in powers if p), 0)
        if first <= 0 or sum(p != 0 for p in powers) < 2 or gcd(*powers) != 1:
            continue
        k = np.zeros(len(c.phi))
        for n, p in zip(names, powers, strict=True):
            k[index[n]] = p
        options.append((float(np.sqrt(max(k @ inverse @ k, 0.0))) * (1 + 0.15 * sum(map(abs, powers))), powers, k))
    options.sort(key=lambda o: o[0])
    chosen: list[tuple[tuple[int, ...], Array]] = []
    for spread, powers, k in options:
        if spread > wide / 5 or len(chosen) == len(names) - 1:
            break
        if np.linalg.matrix_rank(np.array([p for p, _ in chosen] + [powers])) > len(chosen):
            chosen.append((powers, k))
    ends = profile_intervals(c, [k for _, k in chosen], level, inflation)
    return [
        Combination(
            " ".join(_SHORT[n] + (f"^{p}" if p != 1 else "") for n, p in zip(names, powers, strict=True) if p),
            {n: p for n, p in zip(names, powers, strict=True) if p},
            float(np.exp(k @ c.phi)),
            (float(np.exp(low)), float(np.exp(high))),
        )
        for (powers, k), (low, high) in zip(chosen, ends, strict=True)
        if np.isfinite(low) and np.isfinite(high)
    ]


def _spread(c: Contender) -> Array:
    """Covariance of all coordinates; what the law never tells is given a spread of ``_FAR``."""
    normal = np.zeros((len(c.phi), len(c.phi)))
    normal[np.ix_(c.free, c.free)] = c.jacobian.T @ c.jacobian / c.variance
    if c.blind is not None:
        # the law sees φ only after the dropped coordinate is moved to zero along the blind direction
        shift = np.eye(len(c.phi))
        drop = int(np.flatnonzero((c.blind != 0) & ~np.isin(np.arange(len(c.phi)), c.free))[0])
        shift[:, drop] = 0
        shift[list(c.free), drop] = -c.blind[list(c.free)]
        normal = shift.T @ normal @ shift
    return np.linalg.inv(normal + np.eye(len(c.phi)) / _FAR**2)


def bootstrap_intervals(
    contender: Contender,
    directions: Sequence[Array],
    level: float,
    correlation: float,
    pairs: tuple[Array, Array],
    trials: int = 200,
) -> list[tuple[float, float]]:
    """Intervals of ``k·φ`` by a bootstrap of residuals in blocks, all refits at once.

    Residuals in the order of the parameter, scaled up by the degrees of freedom, are drawn in moving blocks of
    ``ℓ = ⌈(√6 ρ/(1 − ρ²))^{2/3} n^{1/3}⌉`` points, added to the fit and fitted anew; the ends are percentiles.

    Source: Künsch, Ann. Stat. 17 (1989) 1217; the length of blocks of Carlstein, Ann. Stat. 14 (1986) 1171.
    """
    c = contender
    n = len(c.residual)
    first, second = pairs
    order = np.concatenate([first[:1], second]) if len(second) == n - 1 else np.arange(n)
    r = c.residual[order] * np.sqrt(n / c.freedom)
    rho = float(np.clip(correlation, 0.0, 0.97))
    length = int(np.clip(np.ceil((6**0.5 * rho / (1 - rho**2)) ** (2 / 3) * n ** (1 / 3)), 1, max(1, n // 4)))
    rng = np.random.default_rng(0)
    starts = rng.integers(0, n - length + 1, size=(trials, -(-n // length)))
    drawn = r[(starts[:, :, None] + np.arange(length)).reshape(trials, -1)[:, :n]]
    noise = np.empty((n, trials))
    noise[order] = (drawn - np.mean(r)).T
    target = c.objective.target + c.residual / c.objective.weight
    objective = c.objective.with_target(target[:, None] + noise / c.objective.weight[:, None])
    solved = minimise(objective, np.repeat(c.phi[None], trials, axis=0), c.basis, c.bounds, steps=12, tolerance=1e-5)
    found = []
    for k in directions:
        k = np.asarray(k, float)
        if not np.any(k[list(c.free)]) or (c.blind is not None and abs(k @ c.blind) > 1e-9):
            found.append((-np.inf, np.inf))
            continue
        low, high = np.quantile(solved.phi @ k, [(1 - level) / 2, (1 + level) / 2])
        centre = float(k @ c.phi)
        found.append(
            (float(low) if centre - low < _FAR / 2 else -np.inf, float(high) if high - centre < _FAR / 2 else np.inf)
        )
    return found
