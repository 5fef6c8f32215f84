"""The bifurcations along a path of models: when, where, of which kind, and what they join."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, overload

import jax
import jax.numpy as jnp
import numpy as np
import scipy.optimize

import normalforms as nf
from rnn.continuation import Branch, Follower, Place
from rnn.fixed_points import fixed_points
from rnn.jets import normal_form
from rnn.model import Model
from rnn.newton import distinct
from rnn.record import ModelPath, Run

__all__ = ["Bifurcations", "Event", "bifurcations"]

_SETTLE = 200
_PROBES = 64
_CRITICAL = 1e-7


@dataclass(frozen=True)
class Event:
    """One bifurcation of a path of models.

    Attributes:
        kind: as in :class:`normalforms.NormalForm`.
        step: where on the path, in steps; not a whole number, as models between samples are interpolated.
        multiplier: the critical eigenvalue found there, complex.
        normal_form: with one step of the path as the unit of its parameter.
        point: the fixed point, shape (state,).
        model: the critical model, float64 parameters.
        tangent: ``dθ/dstep`` of the path, flat, shape (m,).
        branch: index of the branch that turned critical.
        period: steps per cycle.
        status: ``"localised"``, or a sentence on what fell short.
        run: the path's training run, where it has one.
    """

    kind: str
    step: float
    multiplier: complex
    normal_form: nf.NormalForm
    point: np.ndarray
    model: Model
    tangent: np.ndarray
    branch: int
    period: int
    status: str
    run: Run | None = None


@dataclass(frozen=True)
class Bifurcations(Sequence[Event]):
    """The events of a path in order, the branches that they join, and what could not be resolved."""

    events: tuple[Event, ...]
    branches: tuple[Branch, ...]
    unresolved: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.events)

    @overload
    def __getitem__(self, index: int) -> Event: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Event]: ...
    def __getitem__(self, index: Any) -> Any:
        return self.events[index]

    def __iter__(self) -> Iterator[Event]:
        return iter(self.events)


def bifurcations(
    run: Run | ModelPath | Sequence[Model],
    *,
    every: float = 100,
    first: int | None = None,
    starts: Any = None,
    until: float | None = None,
    tolerance: float = 1e-12,
    progress: Callable[[float], None] | None = None,
) -> Bifurcations:
    """Follow every fixed point along a path of models and find where multipliers cross the unit circle.

    Fixed points are looked for at the start from many places, and on the way at the ends of orbits. Each is
    continued with its multipliers; a crossing is bracketed by bisection and solved for; a point that
    appears is followed back to its birth. Crossings that undo each other between two samples are not seen.

    Args:
        run: a training run, a path, or models (steps 0, 1, 2, …).
        every: steps between samples; the path's own spacing if that is wider.
        first: stop after that many events.
        starts: states, shape (count, state), from which orbits probe for new attractors; a run's own initial
            states unless given, else random.
        until: last step to look at.
        tolerance: relative residual of the fixed points.
        progress: called with the share of the path that is done.

    Raises:
        ValueError: fewer than two models, models that differ in shape, or a start at which no fixed point is found.
    """
    path = _path(run)
    with jax.enable_x64(True):
        search = _Search(run if isinstance(run, Run) else None, path, starts, tolerance)
        samples = _samples(path, every, until)
        search.begin(samples[0])
        for k, (here, there) in enumerate(itertools.pairwise(samples)):
            search.cross(here, there)
            if progress is not None:
                progress((k + 1) / (len(samples) - 1))
            if first is not None and len(search.events) >= first:
                break
        return search.result()


def _path(run: Any) -> ModelPath:
    if isinstance(run, Run):
        return run.path
    return run if isinstance(run, ModelPath) else ModelPath.of(run)


def _samples(path: ModelPath, every: float, until: float | None) -> list[float]:
    end = path.steps[-1] if until is None else min(until, path.steps[-1])
    samples = [float(path.steps[0])]
    for step in path.steps[1:]:
        if step <= end and (step - samples[-1] >= every or step == path.steps[-1]):
            samples.append(float(step))
    return samples


class _Search:
    """The bookkeeping of one pass along a path."""

    def __init__(self, run: Run | None, path: ModelPath, starts: Any, tolerance: float) -> None:
        self.run = run
        self.path = path
        self.follower = Follower(path, tolerance)
        self.probes = self._probes(starts)
        self.branches: list[Branch] = []
        self.events: list[Event] = []
        self.unresolved: list[str] = []

    def _probes(self, starts: Any) -> np.ndarray:
        if starts is None and self.run is not None:
            starts = self.run.task.h0
        if starts is None:
            size = fixed_points_size(self.follower.model(self.path.steps[0]))
            starts = np.random.default_rng(0).normal(size=(_PROBES, size))
        starts = np.asarray(starts, np.float64)
        return starts[:: max(1, len(starts) // _PROBES)]

    def begin(self, step: float) -> None:
        found = fixed_points(self.follower.model(step), starts=_spread(self.probes))
        if len(found) == 0:
            raise ValueError(f"no fixed point was found at step {step:g}; give other starts")
        for place in self.follower.places(step, found.points):
            if place is not None:
                self.branches.append(Branch(places=[place]))

    def result(self) -> Bifurcations:
        order = sorted(range(len(self.events)), key=lambda k: self.events[k].step)
        rank = {old: new for new, old in enumerate(order)}
        for branch in self.branches:
            branch.born = None if branch.born is None else rank[branch.born]
            branch.ended = None if branch.ended is None else rank[branch.ended]
        events = tuple(self.events[k] for k in order)
        return Bifurcations(events, tuple(self.branches), tuple(self.unresolved))

    def alive(self, step: float) -> list[int]:
        return [
            k
            for k, branch in enumerate(self.branches)
            if branch.status == "followed" and branch.places[-1].step == step
        ]

    def cross(self, here: float, there: float) -> None:
        """Take every branch from ``here`` to ``there``, then look for new attractors."""
        indices = self.alive(here)
        ahead = self.follower.advance([self.branches[k].places[-1] for k in indices], there)
        for k, place in zip(indices, ahead, strict=True):
            reached = True
            if place is None:
                place, reached = self.follower.follow(self.branches[k].places[-1], there)
            self._crossings(k, place)
            if reached:
                self.branches[k].places.append(place)
            else:
                self._end(k, place, there)
        self._births(here, there)

    def _crossings(self, k: int, end: Place) -> None:
        """Every change of stability of branch ``k`` between its last place and ``end``."""
        low = self.branches[k].places[-1]
        for _ in range(8):
            if low.unstable == end.unstable or sum(low.unstable) == sum(end.unstable):
                return
            found = self._localise(low, end)
            if found is None:
                self.unresolved.append(
                    f"a multiplier of branch {k} crosses the unit circle between steps {low.step:g} and {end.step:g}"
                )
                return
            place, after = found
            self._record(k, place, toward=end.step)
            self._switch(place, after, end.step)
            low = after

    def _localise(self, low: Place, high: Place) -> tuple[Place, Place] | None:
        """The first crossing between two places, and a place after it."""
        for _ in range(60):
            if _single(low, high):
                measure = _measure(low, high)
                if measure is not None:
                    return self._solve(low, high, measure)
            middle, reached = self.follower.follow(low, (low.step + high.step) / 2)
            if not reached or abs(high.step - low.step) <= 1e-9:
                return None
            low, high = (low, middle) if sum(middle.unstable) != sum(low.unstable) else (middle, high)
        return None

    def _solve(
        self, low: Place, high: Place, measure: Callable[[np.ndarray], tuple[float, complex]]
    ) -> tuple[Place, Place] | None:
        """The crossing between two places, by Brent's method on the critical multiplier."""
        seen = {low.step: low, high.step: high}

        def value(step: float) -> float:
            if step not in seen:
                near = seen[min(seen, key=lambda s: abs(s - step))]
                seen[step] = self.follower.follow(near, step)[0]
            return measure(seen[step].multipliers)[0]

        root = scipy.optimize.brentq(value, low.step, high.step, xtol=1e-13, rtol=8.9e-16, maxiter=200)
        value(root)
        best = min(seen.values(), key=lambda place: abs(measure(place.multipliers)[0]))
        return (best, high) if abs(measure(best.multipliers)[0]) <= _CRITICAL else None

    def _record(self, k: int, place: Place, *, toward: float) -> int:
        model = self.follower.model(place.step)
        tangent = self._tangent(place.step, toward)
        period = self.branches[k].period
        form = normal_form(model, place.point, tangent, period=period, critical=1e-5)
        critical = complex(place.multipliers[np.argmin(np.abs(place.multipliers - complex(form.multiplier)))])
        gap = abs(abs(critical) - 1)
        status = "localised" if gap <= 1e-10 else f"multiplier only within {gap:.1e} of the unit circle"
        self.events.append(
            Event(
                form.kind,
                place.step,
                critical,
                form,
                place.point,
                model,
                tangent,
                k,
                period,
                status,
                self.run,
            )
        )
        return len(self.events) - 1

    def _tangent(self, step: float, toward: float) -> np.ndarray:
        other = np.clip(step + np.sign(toward - step) * 1e-3, self.path.steps[0], self.path.steps[-1])
        return (self.path.flat(float(other)) - self.path.flat(step)) / (other - step)

    def _switch(self, at: Place, after: Place, stop: float) -> None:
        """Look for the branches that meet the tracked one at ``at``, on the far side of it."""
        event = self.events[-1]
        form = event.normal_form
        if event.kind not in ("pitchfork", "transcritical"):
            return
        q = np.real(np.asarray(form.critical_eigenvector, dtype=complex))
        rate = float(np.real(form.coefficients["dlambda"]))
        for share in (1e-3, 1e-2, 0.1, 1.0):
            step = at.step + share * (stop - at.step)
            base, reached = self.follower.follow(after, step)
            if not reached:
                continue
            gain = rate * (step - at.step)
            sizes = _amplitudes(event.kind, form, gain)
            guesses = np.stack([base.point + u * q for u in sizes]) if sizes else np.zeros((0, q.size))
            if len(guesses) == 0:
                return
            born = [p for p in self.follower.places(step, guesses) if p is not None]
            born = [p for p in born if np.linalg.norm(p.point - base.point) > 0.2 * min(map(abs, sizes))]
            if len(born) == len(sizes):
                self._adopt(born, stop, len(self.events) - 1)
                return

    def _adopt(self, born: list[Place], stop: float, event: int | None) -> None:
        for place in born:
            if self._known(place):
                continue
            branch = Branch(places=[place], born=event)
            self.branches.append(branch)
            end, reached = self.follower.follow(place, stop)
            if not reached:
                branch.status = "lost"
                self.unresolved.append(f"branch {len(self.branches) - 1} is lost at step {end.step:g}")
            else:
                self._crossings(len(self.branches) - 1, end)
            if end.step > place.step:
                branch.places.append(end)

    def _known(self, place: Place) -> bool:
        """Whether a branch was just seen at this very place."""
        for branch in self.branches:
            for last in (p for p in branch.places[-2:] if p.step == place.step):
                both = np.stack([last.point, place.point])
                if len(distinct(self.follower.model(place.step), both)) == 1:
                    return True
        return False

    def _end(self, k: int, place: Place, there: float) -> None:
        """Branch ``k`` cannot be followed beyond ``place``: a fold, or lost."""
        branch = self.branches[k]
        if place.step > branch.places[-1].step:
            branch.places.append(place)
        fold = self.follower.fold(place, there)
        if fold is None:
            branch.status = "lost"
            self.unresolved.append(f"branch {k} is lost at step {place.step:g}, without a fold there")
            return
        branch.status = "ended"
        for index, event in enumerate(self.events):
            if abs(event.step - fold.step) < 1e-6 and np.linalg.norm(event.point - fold.point) < 1e-6:
                branch.ended = index
                return
        branch.ended = self._record(k, fold, toward=there)

    def _births(self, here: float, there: float) -> None:
        """New attractors at ``there``, followed back to where they were born."""
        model = self.follower.model(there)
        ends = settle(model, self.probes)
        candidates = [p for p in self.follower.places(there, _representatives(ends)) if p is not None]
        for place in candidates:
            if self._known(place):
                continue
            origin, reached = self.follower.follow(place, here)
            if reached and self._known(origin):  # it leapt to a branch that comes close at its birth
                origin, reached = self.follower.follow(place, here, careful=True)
            if reached:
                self.branches.append(Branch(places=[origin, place]))
                self.unresolved.append(
                    f"branch {len(self.branches) - 1}, seen at step {there:g}, was there before; its birth was missed"
                )
                continue
            fold = self.follower.fold(origin, here)
            if fold is None:
                self.branches.append(Branch(places=[place], status="followed"))
                self.unresolved.append(
                    f"the birth of branch {len(self.branches) - 1} between steps {here:g} and {there:g}"
                )
                continue
            self.branches.append(Branch(places=[place]))
            event = self._record(len(self.branches) - 1, fold, toward=there)
            self.branches[-1].born = event
            self.branches[-1].places.insert(0, fold)
            mirror = self.follower.place(origin.step, 2 * fold.point - origin.point)
            if mirror is not None and np.linalg.norm(mirror.point - origin.point) > 1e-9:
                self._adopt([mirror], there, event)


def settle(model: Model, starts: np.ndarray) -> np.ndarray:
    """States after many steps from every start, shape (count, state)."""
    return np.asarray(_settle(model, jnp.asarray(starts)))


def _settled(model: Model, h: Any) -> Any:
    return jax.lax.fori_loop(0, _SETTLE, lambda _, x: jax.vmap(model)(x), h)


_settle = jax.jit(_settled)


def fixed_points_size(model: Model) -> int:
    """Length of the state vector of a model that has a ``weight``."""
    return int(np.shape(model.weight)[-1])


def _representatives(ends: np.ndarray, most: int = 8, apart: float = 1e-3) -> np.ndarray:
    """Up to ``most`` of the states, each far from those taken before."""
    ends = ends[np.all(np.isfinite(ends), axis=1)]
    taken = [ends[0]]
    gaps = np.linalg.norm(ends - taken[0], axis=1)
    while len(taken) < most and gaps.max() > apart:
        taken.append(ends[np.argmax(gaps)])
        gaps = np.minimum(gaps, np.linalg.norm(ends - taken[-1], axis=1))
    return np.stack(taken)


def _spread(probes: np.ndarray) -> np.ndarray:
    noise = np.random.default_rng(1).normal(size=probes.shape)
    return np.concatenate([np.zeros((1, probes.shape[1])), probes, noise])


def _single(low: Place, high: Place) -> bool:
    """Whether one real multiplier or one complex pair separates the two."""
    change = np.abs(np.subtract(low.unstable, high.unstable))
    return int(change.sum()) == 1


def _measure(low: Place, high: Place) -> Callable[[np.ndarray], tuple[float, complex]] | None:
    """A function of the multipliers that changes sign where the critical one crosses."""
    which = int(np.argmax(np.abs(np.subtract(low.unstable, high.unstable))))
    target = (1.0, -1.0, None)[which]

    def real(mu: np.ndarray) -> tuple[float, complex]:
        near = mu[np.argmin(np.abs(mu - target))]
        return float((near.real - target) * target), complex(near)

    def pair(mu: np.ndarray) -> tuple[float, complex]:
        above = mu[mu.imag > 0]
        if len(above) == 0:
            return np.nan, 1.0
        near = above[np.argmin(np.abs(np.abs(above) - 1))]
        return float(abs(near) - 1), complex(near)

    measure = real if target is not None else pair
    ends = measure(low.multipliers)[0], measure(high.multipliers)[0]
    return measure if np.all(np.isfinite(ends)) and ends[0] * ends[1] < 0 else None


def _amplitudes(kind: str, form: nf.NormalForm, gain: float) -> list[float]:
    """Where the normal form puts the other branches when the multiplier has moved by ``gain``."""
    c2, c3 = (float(np.real(form.coefficients.get(name, 0.0))) for name in ("c2", "c3"))
    if kind == "transcritical":
        return [-gain / c2]
    return [float(s * np.sqrt(-gain / c3)) for s in (1, -1)] if gain * c3 < 0 else []
