"""The competition of laws for data: each one's best fit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import product

import numpy as np

from normalforms.data.candidates import Candidate
from normalforms.data.least_squares import EXPONENTS, Objective, Solution, minimise, names_of
from normalforms.data.measurement import Measurement

__all__ = ["HOPELESS", "ROUNDING", "Contender", "Opening", "opened", "refined"]

Array = np.ndarray
_FEW = 6  # nodes for the first trials
_SEVERAL = 16  # the same of laws with further parameters
_NODES = (10, 32)  # of the batch's Gauss rule; the whole batch where these do not do
_AGREE = 1e-7  # of ln A, between the rule and the whole batch
_SCALES = (0.5, 1.5, 4.0, 10.0, 25.0, 60.0)  # b Tᵖ max|x − x*| of the first trials
_STATES = (2e-3, 7e-3, 0.02, 0.05, 0.12, 0.3, 0.8)  # c max|h|
_FINE = ((1.5, 3.0, 5.0, 7.0, 10.0, 14.0, 25.0), tuple(np.geomspace(0.02, 1.2, 12)))  # of laws with further parameters
_SHIFTS = (-1.8, -1.0, -0.4, 0.4, 1.0, 1.8)  # further parameters, in units of their scaling variables
_REACH = 2.0  # largest c max|h|
ROUNDING = 1e-24  # squared residual per point below which data count as free of noise
_FAR = 3.0  # ratio of sums of squares below which first trials rule out no law
HOPELESS = 60.0  # of ln L behind the best: no more is found out about a law


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
        return max(self.cost, ROUNDING * len(self.residual)) / self.freedom

    def solve(self, start: Array, basis: Array, **options: float) -> Solution:
        """Minima from other starts, along other directions."""
        return minimise(self.objective, start, basis, self.bounds, **options)


@dataclass(frozen=True)
class Opening:
    """A law's first trials, on few initial states.

    Attributes:
        contender: the best of them.
        starts: coordinates of the best few, shape (count, size), from which a refinement sets out.
        settled: whether they were at rest.
        gap: by how much the few states change the residuals there, as a root of a sum of squares.
    """

    contender: Contender
    starts: Array = field(repr=False)
    settled: bool
    gap: float

    def hopeless(self, least: float) -> bool:
        """Whether the law is so far behind a sum of squares that no refinement brings it near."""
        count = len(self.contender.residual)
        floor = ROUNDING * count
        sure = max(0.0, np.sqrt(self.contender.cost) - 2 * self.gap) ** 2
        ratio = np.log(max(sure, floor)) - np.log(max(least, floor))
        return bool(ratio > np.log(_FAR) and count / 2 * ratio > HOPELESS * (1 if self.settled else 2))


def opened(
    candidate: Candidate,
    data: Measurement,
    exponents: bool = False,
    seeds: Sequence[Contender] = (),
    thorough: bool = False,
) -> Opening | None:
    """The law's least squares from many starts; ``None`` where its orbits escape from every one of them.

    ``seeds`` are other laws' optima, from which laws that contain them start too. With ``thorough`` a law with one
    further parameter has more than twice the starts.
    """
    extra = len(candidate.map.parameters) - 1
    # a force parts the orbits of a batch, and a sum with such an edge has no short rule
    objective = _objective(candidate, data, _SEVERAL if extra else _FEW)
    bounds = _bounds(objective, data)
    free = [0, 1, 2] + ([3] if data.critical is None else []) + list(range(4, 4 + extra))
    if exponents:
        free += list(range(objective.size - len(EXPONENTS), objective.size))
    starts = _starts(objective, data, candidate, thorough and extra == 1)
    if starts is None:
        return None
    starts = np.concatenate([starts, *_seeded(starts[:1], seeds, extra)])
    free, blind = _told(objective, starts[0], free)
    if blind is not None and 2 not in free:
        starts[:, 0] += blind[0] * -starts[:, 2]
        starts[:, 2] = 0.0
    basis = np.eye(objective.size)[:, free]
    found = minimise(objective, starts, basis, bounds, steps=14, tolerance=1e-4)
    if not np.any(np.isfinite(found.cost)):
        return None
    order = np.argsort(found.cost)
    near = found.phi[[i for i in order[:2] if found.cost[i] < 3 * found.cost[order[0]] + 1e-20]]
    first = Contender(candidate, objective, tuple(free), *_at(found, int(order[0])), bounds, blind)
    whole = _objective(candidate, data, None).residual(first.phi[None], False)[0][:, 0]
    return Opening(first, near, not bool(found.moving[order[0]]), float(np.linalg.norm(whole - first.residual)))


def refined(opening: Opening, data: Measurement) -> Contender | None:
    """The optimum, on as many nodes as agree with the whole batch."""
    c, starts = opening.contender, opening.starts
    whole = _objective(c.candidate, data, None)
    level = 1e-3 * np.sqrt(c.cost / data.count)
    for nodes in (*_NODES, None):
        objective = whole if nodes is None else _objective(c.candidate, data, nodes)
        # from a rule that does not see what the whole batch shows there is no way to its optimum
        if nodes is not None and _apart(objective, whole, starts) > max(_AGREE, 1e2 * level):
            continue
        found = minimise(objective, starts, c.basis, c.bounds, steps=30, tolerance=1e-7)
        best = int(np.argmin(found.cost))
        if not np.isfinite(found.cost[best]):
            continue
        ends = found.phi[best : best + 1]
        level = 1e-3 * np.sqrt(found.cost[best] / data.count)
        gap = 0.0 if nodes is None else _apart(objective, whole, ends)
        if gap <= max(_AGREE, level):
            break
        starts = ends if gap < 1e2 * level else starts
    else:
        return None
    polished = minimise(objective, ends, c.basis, c.bounds, steps=8, tolerance=1e-12)
    return Contender(c.candidate, objective, c.free, *_at(polished, 0), c.bounds, c.blind)


def _apart(one: Objective, other: Objective, phi: Array) -> float:
    """The largest difference of ln A at any of the coordinates."""
    with np.errstate(all="ignore"):
        gap = np.max(np.abs(one.log_model(phi, False)[0] - other.log_model(phi, False)[0]))
    return float(gap) if np.isfinite(gap) else np.inf


def _at(found: Solution, i: int) -> tuple[Array, float, Array, Array]:
    return found.phi[i], float(found.cost[i]), found.residual[:, i], found.jacobian[:, i]


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


def _starts(objective: Objective, data: Measurement, candidate: Candidate, thorough: bool) -> Array | None:
    """The few best of a grid of scales, critical values and further parameters."""
    x, longest = data.parameter, float(np.max(data.horizon))
    width = float(np.ptp(x))
    places = (
        [data.critical] if data.critical is not None else list(np.linspace(x.min() - width / 4, x.max() + width / 4, 9))
    )
    rows = []
    extra = len(objective.map.parameters) - 1
    scales, states, offsets = (*_FINE, _SHIFTS) if extra else (_SCALES, _STATES, ())
    if thorough:
        scales, states = tuple(np.geomspace(1.5, 25, 9)), tuple(np.geomspace(0.02, 1.2, 14))
        offsets = tuple(np.linspace(-2.2, 2.2, 10))
    if extra and data.critical is None:  # nine places at once
        scales, states, offsets = scales[::2], states[::2], offsets[::2]
    power = candidate.exponents[0]
    for place, scale, state in product(places, scales, states):
        away = float(np.max(np.abs(x - place)))
        row = np.zeros(objective.size)
        row[1], row[2], row[3] = np.log(scale / (away * longest**power)), np.log(state / data.reach), place
        rows.append(row)
    grid, widths = np.array(rows), np.empty(0)
    if extra:
        critical = objective.map.critical
        base = [float(critical[p]) if critical else 0.0 for p in objective.map.parameters[:-1]]
        units = np.array([longest**-p if p is not None else 0.1 / longest for p in candidate.further])
        widths = 1 / units
        shifts = list(product(offsets, repeat=extra))
        grid = np.concatenate([grid] * len(shifts))
        for k, signs in enumerate(shifts):
            grid[k * len(rows) : (k + 1) * len(rows), 4 : 4 + extra] = np.array(base) + units * np.array(signs)
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
    apart = np.array([1, 1, 6 / width, *widths, 1, 1, 1])
    if not extra:
        return grid[_chosen(grid, fine[np.argsort(cost[fine])], apart, 6 if data.critical is None else 4)]
    # where a force parts the orbits, A has spikes; the typical residual finds laws with the spikes at the wrong places
    typical = np.sum(np.abs(r[:, fine] - np.median(r[:, fine], axis=0)), axis=0)
    count, apart = (16, 2 * apart) if thorough else (6, apart)
    sides = [_chosen(grid, fine[np.argsort(v)], apart, count) for v in (cost[fine], typical)]
    return grid[list(dict.fromkeys([*sides[0], *sides[1]]))]


def _chosen(grid: Array, order: Array, apart: Array, count: int) -> list[int]:
    """The first of the order that lie apart from one another, so that not all fall into one valley."""
    chosen: list[int] = []
    for i in order:
        if len(chosen) == count:
            break
        if all(np.max(np.abs(grid[i, 1:] - grid[j, 1:]) * apart) > 1.2 for j in chosen):
            chosen.append(int(i))
    return chosen


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
