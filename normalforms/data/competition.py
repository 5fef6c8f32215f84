"""The competition of laws for data: each one's best fit, and its evidence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import product

import numpy as np
from scipy.special import gammaln, logsumexp
from scipy.stats import qmc
from scipy.stats import t as student

from normalforms.data.candidates import Candidate
from normalforms.data.least_squares import EXPONENTS, Objective, Solution, minimise, names_of
from normalforms.data.measurement import Measurement

__all__ = ["Contender", "contend", "evidence", "null_evidence"]

Array = np.ndarray
_FEW = 6  # nodes for the first trials
_NODES = (10, 32)  # of the batch's Gauss rule; the whole batch where these do not do
_AGREE = 1e-7  # of ln A, between the rule and the whole batch
_SCALES = (0.5, 1.5, 4.0, 10.0, 25.0, 60.0)  # b Tᵖ max|x − x*| of the first trials
_STATES = (2e-3, 7e-3, 0.02, 0.05, 0.12, 0.3, 0.8)  # c max|h|
_REACH = 2.0  # largest c max|h|
_ROUNDING = 1e-24  # squared residual per point below which data count as free of noise
# What is known before the data: medians and spreads of ln(b Tᵖ max|x − x*|) and of ln(c h_rms T^q)
_PRIOR = ((np.log(6.0), 1.0), (np.log(0.5), 1.0))
_DRAWS = 96
_FURTHER = 0.2  # prior odds of a law for each further parameter that it has


@dataclass(frozen=True)
class Contender:
    """A law at its best.

    Attributes:
        candidate: the law.
        objective: its residuals, on as few nodes as agree with the whole batch.
        free: indices of the free coordinates; a scale that the law cannot tell from the others is not among them.
        phi: all coordinates at the optimum, shape (size,).
        cost: weighted sum of squares there.
        residual: shape (count,).
        jacobian: by the free coordinates, shape (count, k).
        blind: direction in coordinates along which this law never changes, or ``None``.
    """

    candidate: Candidate
    objective: Objective = field(repr=False)
    free: tuple[int, ...]
    phi: Array
    cost: float
    residual: Array = field(repr=False)
    jacobian: Array = field(repr=False)
    bounds: tuple[Array, Array] = field(repr=False)
    blind: Array | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all coordinates."""
        return names_of(self.candidate.map)

    @property
    def basis(self) -> Array:
        """The free directions, shape (size, k)."""
        return np.eye(len(self.phi))[:, list(self.free)]

    @property
    def freedom(self) -> int:
        """Points less free coordinates, at least 1."""
        return max(1, len(self.residual) - len(self.free))

    @property
    def variance(self) -> float:
        """Of a residual; floored at rounding."""
        return max(self.cost, _ROUNDING * len(self.residual)) / self.freedom

    def solve(self, start: Array, basis: Array, **options: float) -> Solution:
        """Minima from other starts, along other directions."""
        return minimise(self.objective, start, basis, self.bounds, **options)


def contend(
    candidate: Candidate, data: Measurement, exponents: bool = False, seeds: Sequence[Contender] = ()
) -> Contender | None:
    """The law's least squares from many starts; ``None`` where its orbits escape from every one of them.

    ``seeds`` are other laws' optima, from which laws that contain them start too.
    """
    objective = _objective(candidate, data, _FEW)
    bounds = _bounds(objective, data)
    free = [0, 1, 2] + ([3] if data.critical is None else []) + list(range(4, 4 + len(candidate.map.parameters) - 1))
    if exponents:
        free += list(range(objective.size - len(EXPONENTS), objective.size))
    starts = _starts(objective, data, candidate.exponents[0])
    if starts is None:
        return None
    starts = np.concatenate([starts, *_seeded(starts[:1], seeds, len(candidate.map.parameters) - 1)])
    free, blind = _told(objective, starts[0], free)
    if blind is not None and 2 not in free:
        starts[:, 0] += blind[0] * -starts[:, 2]
        starts[:, 2] = 0.0
    basis = np.eye(objective.size)[:, free]
    found = minimise(objective, starts, basis, bounds, steps=14, tolerance=1e-4)
    if not np.any(np.isfinite(found.cost)):
        return None
    order = np.argsort(found.cost)
    starts = found.phi[[i for i in order[:2] if found.cost[i] < 3 * found.cost[order[0]] + 1e-20]]
    whole = _objective(candidate, data, None)
    for nodes in (*_NODES, None):
        objective = whole if nodes is None else _objective(candidate, data, nodes)
        found = minimise(objective, starts, basis, bounds, steps=30, tolerance=1e-7)
        best = int(np.argmin(found.cost))
        if not np.isfinite(found.cost[best]):
            continue
        starts = found.phi[best : best + 1]
        gap = np.max(np.abs(whole.log_model(starts, False)[0] - objective.log_model(starts, False)[0]))
        if gap < max(_AGREE, 1e-3 * np.sqrt(found.cost[best] / data.count)):
            break
    if not np.any(np.isfinite(found.cost)):
        return None
    polished = minimise(objective, starts, basis, bounds, steps=8, tolerance=1e-12)
    return Contender(
        candidate,
        objective,
        tuple(free),
        polished.phi[0],
        float(polished.cost[0]),
        polished.residual[:, 0],
        polished.jacobian[:, 0],
        bounds,
        blind,
    )


def _seeded(pattern: Array, seeds: Sequence[Contender], extra: int) -> list[Array]:
    rows = []
    for seed in seeds if extra else ():
        row = pattern.copy()
        row[0, :4] = seed.phi[:4]
        row[0, 4 : 4 + extra] *= 0.01
        rows.append(row)
    return rows


def _objective(candidate: Candidate, data: Measurement, nodes: int | None) -> Objective:
    additive = data.noise == "additive"
    target = data.amplification if additive else np.log(data.amplification)
    scale = 1 / np.sqrt(np.mean(data.amplification**2)) if additive else 1.0
    return Objective(
        candidate.map, data.design(candidate, nodes), data.parameter, target, scale * np.sqrt(data.weight), additive
    )


def _bounds(objective: Objective, data: Measurement) -> tuple[Array, Array]:
    x = data.parameter
    width = float(np.ptp(x))
    low, high = np.full(objective.size, -np.inf), np.full(objective.size, np.inf)
    away = width if data.critical is None else float(np.max(np.abs(x - data.critical)))
    unit = 1 / (away * float(np.max(data.horizon)))
    low[1], high[1] = np.log(1e-4 * unit), np.log(1e3 * unit)
    low[2], high[2] = np.log(1e-9 / data.reach), np.log(_REACH / data.reach)
    low[3], high[3] = x.min() - 2 * width, x.max() + 2 * width
    return low, high


def _starts(objective: Objective, data: Measurement, power: float) -> Array | None:
    """The few best of a grid of scales, critical values and further parameters."""
    x, longest = data.parameter, float(np.max(data.horizon))
    width = float(np.ptp(x))
    places = (
        [data.critical] if data.critical is not None else list(np.linspace(x.min() - width / 4, x.max() + width / 4, 9))
    )
    rows = []
    extra = len(objective.map.parameters) - 1
    for place, scale, state in product(places, _SCALES, _STATES):
        away = float(np.max(np.abs(x - place)))
        row = np.zeros(objective.size)
        row[1], row[2], row[3] = np.log(scale / (away * longest**power)), np.log(state / data.reach), place
        rows.append(row)
    grid = np.array(rows)
    if extra:
        critical = objective.map.critical
        base = [float(critical[p]) if critical else 0.0 for p in objective.map.parameters[:-1]]
        shifts = list(product((-1.0, 1.0), repeat=extra))
        grid = np.concatenate([grid] * len(shifts))
        for k, signs in enumerate(shifts):
            part = slice(k * len(rows), (k + 1) * len(rows))
            grid[part, 4 : 4 + extra] = np.array(base) + 0.1 / longest * np.array(signs)
    r, _ = objective.residual(grid, slopes=False)
    if objective.additive:
        value = objective.log_model(grid, False)[0]
        model = np.exp(np.minimum(value, 300.0))
        amplitude = np.sum(objective.target[:, None] * model, axis=0) / np.sum(model**2, axis=0)
        grid[:, 0] = np.log(np.maximum(amplitude, 1e-300))
        r, _ = objective.residual(grid, slopes=False)
    else:
        w = objective.weight[:, None]
        with np.errstate(all="ignore"):
            grid[:, 0] = -np.sum(w * r, axis=0) / np.sum(w**2)
            r = r + w * grid[:, 0]
    with np.errstate(all="ignore"):
        cost = np.sum(r**2, axis=0)
    fine = np.flatnonzero(np.isfinite(cost))
    if not len(fine):
        return None
    order = fine[np.argsort(cost[fine])]
    chosen = [int(order[0])]
    for i in order[1:]:  # apart from one another, so that not all fall into one valley
        if len(chosen) == (6 if data.critical is None or extra else 4):
            break
        if all(
            np.max(np.abs(grid[i, 1:] - grid[j, 1:]) * [1, 1, 6 / width, *([1] * (objective.size - 4))]) > 1.2
            for j in chosen
        ):
            chosen.append(int(i))
    return grid[chosen]


def _told(objective: Objective, start: Array, free: list[int]) -> tuple[list[int], Array | None]:
    """The free coordinates without one that the law never tells from the others (a c² of a linear map)."""
    probes = np.stack([start, start])
    probes[1, 1:3] -= (0.3, 0.4)
    _, j = objective.log_model(probes)
    assert j is not None
    for k in range(2):
        part = j[:, k][:, free]
        if not np.all(np.isfinite(part)):
            return free, None
    rows = np.concatenate([j[:, 0][:, free], j[:, 1][:, free]])
    scaled = rows / np.maximum(np.linalg.norm(rows, axis=0), 1e-300)
    _, sizes, vectors = np.linalg.svd(scaled, full_matrices=False)
    if len(free) > len(rows) or sizes[-1] > 1e-10 * sizes[0]:
        return free, None
    null = vectors[-1] / np.maximum(np.linalg.norm(rows, axis=0), 1e-300)
    drop = 2 if 2 in free and abs(null[free.index(2)]) > 1e-8 else free[int(np.argmax(np.abs(null)))]
    blind = np.zeros(objective.size)
    blind[free] = null / null[free.index(drop)]
    return [i for i in free if i != drop], blind


# --- evidence -------------------------------------------------------------------------------------------------


def evidence(contender: Contender, data: Measurement, points: float) -> float:
    """``ln ∫ L(φ) π(φ) dφ``, noise level integrated out, by importance sampling about the most probable point.

    ``L = Γ(n/2) RSS^{−n/2}`` with n = ``points``, the number of independent ones. Priors: ln a flat; ln b and ln c
    normal about the values at which the window shows the transition; x* uniform over twice the window; further
    parameters as one point's worth of information, and each of them divides the law's prior
    odds by five. The draws are quasi-random and always the same.
    """
    c = contender
    mean, spread = _prior(c, data)
    sigma = np.sqrt(c.variance * len(c.residual) / points)
    free = list(c.free)
    rows = np.where(np.isfinite(spread[free]), sigma / spread[free], 0.0)
    top = c.phi[free]
    hessian = (c.jacobian.T @ c.jacobian) / sigma**2 + np.diag((rows / sigma) ** 2)
    penalised = replace(c, objective=_Penalised(**vars(c.objective), mean=mean, rows=_full(rows, free, len(c.phi))))
    found = penalised.solve(c.phi[None], c.basis, steps=8)
    if np.isfinite(found.cost[0]):
        top = found.phi[0, free]
        hessian = (found.jacobian[:, 0].T @ found.jacobian[:, 0]) / sigma**2
    values, vectors = np.linalg.eigh(hessian)
    root = vectors / np.sqrt(np.maximum(values, 1e-12 * values[-1]))
    k, nu = len(free), 4.0
    uniform = np.clip(qmc.Sobol(k + 1, seed=7).random(_DRAWS * 4 // 3 // 32 * 32), 1e-9, 1 - 1e-9)
    draws = student.ppf(uniform[:, :k], nu)
    phi = np.repeat(c.phi[None], len(draws), axis=0)
    phi[:, free] = top + 1.2 * draws @ root.T
    inside = np.all((phi >= c.bounds[0]) & (phi <= c.bounds[1]), axis=1)
    r, _ = c.objective.residual(np.clip(phi, *c.bounds), slopes=False)
    with np.errstate(all="ignore"):
        rss = np.sum(r**2, axis=0)
    fine = inside & np.isfinite(rss)
    floor = _ROUNDING * len(c.residual)
    log_l = gammaln(points / 2) - points / 2 * np.log(np.maximum(np.where(fine, rss, 1.0), floor))
    log_prior = np.zeros(len(draws))
    for i in free:
        if np.isfinite(spread[i]):
            log_prior += -0.5 * ((phi[:, i] - mean[i]) / spread[i]) ** 2 - np.log(spread[i] * np.sqrt(2 * np.pi))
    if 3 in free:
        log_prior -= np.log(2 * np.ptp(data.parameter))
    log_q = np.sum(student.logpdf(draws, nu), axis=1) - k * np.log(1.2) - np.linalg.slogdet(root)[1]
    log_l = log_l + np.log(_FURTHER) * (len(c.candidate.map.parameters) - 1)
    terms = np.where(fine, log_l + log_prior - log_q, -np.inf)
    return float(logsumexp(terms) - np.log(len(draws))) if np.any(fine) else -np.inf


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
        if i in c.free:
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
    rss = max(float(np.sum(w * (y - mean) ** 2)), _ROUNDING * data.count)
    width = 0.5 * np.log(2 * np.pi * rss / (points * np.sum(w) * points / data.count))
    return float(gammaln(points / 2) - points / 2 * np.log(rss) + width)
