"""One pass along a path of models: branches followed, crossings solved for, births traced back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from rnn.dynamics.continuation import Branch, Follower, Place
from rnn.dynamics.crossing import crossed, localise
from rnn.dynamics.diagram import Diagram
from rnn.dynamics.events import amplitudes
from rnn.dynamics.fixed_points import fixed_points
from rnn.dynamics.newton import check_shape, orbits
from rnn.dynamics.probing import representatives, settle, spread
from rnn.models import ModelPath, state_size
from rnn.training import Run

__all__ = ["Search"]

_PROBES = 64
_SMALL = 16  # states up to which unstable points and cycles are looked for at every sample
_RARE = 10  # samples between those at which larger networks are searched for them
_BETWEEN = 64
_MEETING = 2**-10


class Search:
    """The bookkeeping of one pass along a path."""

    def __init__(
        self,
        run: Run | None,
        path: ModelPath,
        samples: list[float],
        starts: Any,
        tolerance: float,
        periods: tuple[int, ...],
    ) -> None:
        self.run = run
        self.periods = periods
        self.path = path
        self.samples = samples
        self.follower = Follower(path, tolerance)
        self.probes = self._probes(starts)
        self.small = self.probes.shape[1] <= _SMALL
        self.rng = np.random.default_rng(0)
        self.diagram = Diagram(self.follower, run)
        self.branches, self.events, self.unresolved = (
            self.diagram.branches,
            self.diagram.events,
            self.diagram.unresolved,
        )

    def _probes(self, starts: Any) -> np.ndarray:
        model = self.follower.model(self.samples[0])
        if starts is None and self.run is not None:
            starts = self.run.task.h0
        if starts is None:
            starts = np.random.default_rng(0).normal(size=(_PROBES, state_size(model)))
        starts = np.asarray(starts, np.float64)
        if starts.ndim != 2 or len(starts) == 0:
            raise ValueError(f"starts must have shape (count, state) with at least one row, got {starts.shape}")
        check_shape(model, starts.shape[1])
        return starts[:: max(1, len(starts) // _PROBES)]

    def state(self, k: int) -> dict[str, Any]:
        """What is known at sample ``k``, as data from which :meth:`restore` goes on."""
        draws = self.rng.bit_generator.state
        known = {"branches": self.branches, "events": self.events, "unresolved": self.unresolved}
        return known | {"sample": k, "samples": list(self.samples), "draws": draws}

    def restore(self, state: Mapping[str, Any]) -> int:
        """Go on from what :meth:`state` gave; the sample at which that was.

        Raises:
            ValueError: it is of a search at other samples.
        """
        if list(state["samples"]) != list(self.samples):
            raise ValueError("the search to go on with stopped at other samples than this one does")
        self.branches[:], self.events[:] = state["branches"], state["events"]
        self.unresolved[:] = state["unresolved"]
        self.rng.bit_generator.state = state["draws"]
        return int(state["sample"])

    def begin(self) -> None:
        """The points and cycles at the first sample."""
        step = self.samples[0]
        model = self.follower.model(step)
        found = fixed_points(model, starts=spread(self.probes))
        if len(found) == 0:
            if "NaN" in found.status:
                raise ValueError(f"at step {step:g} {found.status}")
            why = "; ".join(map(str, found.continua)) or found.status
            self.unresolved.append(f"no isolated fixed point was found at step {step:g}: {why}")
        ends = representatives(settle(model, self.probes))
        seeds = spread(self.probes) if self.small or len(ends) == 0 else ends
        for period in self.periods:
            points = found if period == 1 else fixed_points(model, starts=seeds, period=period)
            for place in self.follower.places(step, points.points[::period], period):
                if place is not None:
                    self.branches.append(Branch(period, places=[place]))

    def cross(self, k: int) -> None:
        """Take every branch from sample ``k`` to the next, then look for new points."""
        here, there = self.samples[k], self.samples[k + 1]
        ends: list[tuple[int, Place]] = []
        passed: list[tuple[int, Place]] = []
        for period in self.periods:
            alive = [i for i in self.diagram.alive(here) if self.branches[i].period == period]
            ahead = self.follower.advance([self.branches[i].places[-1] for i in alive], there, period)
            for i, place in zip(alive, ahead, strict=True):
                reached = True
                if place is None:
                    place, reached = self.follower.follow(self.branches[i].places[-1], there, period)
                (passed if reached else ends).append((i, place))
        passed, met = self._apart(passed, there)
        lows = [self.branches[i].places[-1] for i, _ in passed]
        for i, place in passed:
            self.branches[i].places.append(place)
        for (i, place), low in zip(passed, lows, strict=True):
            self._crossings(i, low, place, k)
        for i, place in ends:
            self._go_on(i, place, False, k)
        for i, place in met:
            self._end(i, place, there, met=True)
        self._births(k)

    def _apart(
        self, passed: list[tuple[int, Place]], there: float
    ) -> tuple[list[tuple[int, Place]], list[tuple[int, Place]]]:
        """Branches that arrive at one point are followed again with care; those that still do have met."""
        kept: list[tuple[int, Place]] = []
        met: list[tuple[int, Place]] = []
        for i, place in passed:
            period = self.branches[i].period
            same = [n for n, (j, p) in enumerate(kept) if self.diagram.same(place, p, self.branches[j].period, period)]
            rival = same[0] if same else None
            if rival is None:
                kept.append((i, place))
                continue
            for n in (i, kept[rival][0]):
                end, reached = self.follower.follow(self.branches[n].places[-1], there, period, careful=True)
                if not reached:
                    met.append((n, end))
                    if n != i:
                        kept[rival] = (i, place)
                    break
                if not self.diagram.same(end, place, period, period):
                    kept.append((n, end))
                    if n != i:
                        kept[rival] = (i, place)
                    break
            else:
                loser = kept[rival][0] if self._leads_back(place, i) else i
                if loser != i:
                    kept[rival] = (i, place)
                met.append((loser, self.branches[loser].places[-1]))
        return kept, met

    def _go_on(self, i: int, place: Place, reached: bool, k: int) -> None:
        """Branch ``i`` goes on to ``place``, at sample ``k + 1`` if ``reached``, else it ends short of it."""
        low = self.branches[i].places[-1]
        if reached and place.step > low.step:
            self.branches[i].places.append(place)
        self._crossings(i, low, place, k)
        if not reached:
            self._end(i, place, self.samples[k + 1])

    def _leads_back(self, place: Place, i: int) -> bool:
        """Whether the curve through ``place`` is branch ``i``, and not one that meets it and ends."""
        last, period = self.branches[i].places[-1], self.branches[i].period
        origin, reached = self.follower.follow(place, last.step, period, careful=True)
        return reached and self.diagram.same(origin, last, period, period)

    def _crossings(self, i: int, low: Place, end: Place, k: int) -> None:
        """Every change of stability of branch ``i`` between two places within one pair of samples."""
        period = self.branches[i].period
        for _ in range(8):
            if not crossed(low, end):
                return
            found = localise(self.follower, low, end, period)
            if found is None:
                self.unresolved.append(
                    f"a multiplier of branch {i} crosses the unit circle between steps {low.step:g} and {end.step:g}"
                )
                return
            place, after = found
            event = self.diagram.record(i, place, toward=end.step)
            if event is not None:
                self._switch(event, place, after, k)
            low = after

    def _switch(self, event: int, at: Place, after: Place, k: int) -> None:
        """Look for the branches that meet the tracked one at ``at``, on the side where the normal form has them."""
        kind, form = self.events[event].kind, self.events[event].normal_form
        if kind not in ("pitchfork", "transcritical", "period_doubling"):
            return
        period = self.events[event].period * (2 if kind == "period_doubling" else 1)
        if period not in self.periods:
            return
        q = np.real(np.asarray(form.critical_eigenvector, dtype=complex))
        rate = float(np.real(form.coefficients["dlambda"]))
        later = kind == "transcritical" or rate * float(np.real(form.coefficients["c3"])) < 0
        stop = self.samples[k + 1] if later else self.samples[k]
        base = after if later else at
        for share in (1e-3, 1e-2, 0.1, 1.0):
            step = at.step + share * (stop - at.step)
            base, reached = self.follower.follow(base, step, self.events[event].period)
            if not reached:
                return
            sizes = amplitudes(kind, form, rate * (step - at.step))
            guesses = np.stack([base.point + u * q for u in sizes])
            born = [p for p in self.follower.places(step, guesses, period) if p is not None]
            least = 0.2 * min(map(abs, sizes))
            born = [p for p in born if np.linalg.norm(p.point - base.point) > least]
            if len(born) == len(sizes) and (len(born) == 1 or not self.diagram.same(born[0], born[1], period, period)):
                for place in born:
                    self._adopt(place, period, k, event, later)
                return

    def _adopt(self, place: Place, period: int, k: int, event: int | None, later: bool = True) -> None:
        """A new branch through ``place``, which lies between samples ``k`` and ``k + 1``, followed to one of them."""
        toward = self.samples[k + 1] if later else self.samples[k]
        end, reached = self.follower.follow(place, toward, period)
        if self.diagram.known(place, period) or (reached and self.diagram.known(end, period)):
            return
        i = len(self.branches)
        if not later:
            self.branches.append(Branch(period, [place], ended=event, status="ended"))
            self._trace_back(i, place, k)
            return
        self.branches.append(Branch(period, [place], born=event))
        self._go_on(i, end, reached, k)

    def _end(self, i: int, place: Place, there: float, *, met: bool = False) -> None:
        """Branch ``i`` cannot be followed beyond ``place``: it met another, turned back at a fold, or is lost."""
        branch = self.branches[i]
        if place.step > branch.places[-1].step:
            branch.places.append(place)
        meeting = self._meeting(place, branch.period, there if met else None)
        if meeting is not None:
            branch.status, branch.ended = "ended", meeting
            return
        fold = self.follower.fold(place, there, branch.period)
        if fold is None:
            branch.status = "lost"
            self.unresolved.append(f"branch {i} is lost at step {place.step:g}, without a fold there")
            return
        event = self.diagram.event_at(fold, branch.period)
        branch.status = "ended"
        branch.ended = self.diagram.record(i, fold, toward=there) if event is None else event

    def _meeting(self, place: Place, period: int, until: float | None = None) -> int | None:
        """The event just beyond ``place``, or anywhere ``until``, at which its branch meets another that goes on."""
        width = abs(self.samples[-1] - self.samples[0]) / (len(self.samples) - 1)
        apart, distance = (_MEETING * width, 0.1) if until is None else (abs(until - place.step), 1.0)
        found = self.diagram.event_at(place, period, apart, distance)
        if found is None or self.events[found].kind == "saddle_node":
            return None
        return found

    def _births(self, k: int) -> None:
        """Points and cycles at the next sample that no branch has led to, followed back to where they were born."""
        there = self.samples[k + 1]
        model = self.follower.model(there)
        ends = representatives(settle(model, self.probes))
        extra = self._elsewhere() if self.small or k % _RARE == _RARE - 1 or k == len(self.samples) - 2 else ends[:0]
        turning = ends
        if not self.small and len(ends):
            image = orbits(model, ends, 2)[:, 1]
            turning = ends[np.linalg.norm(image - ends, axis=1) > 1e-6]
        for period in self.periods:
            seeds = np.concatenate([ends if period == 1 else turning, extra])
            if len(seeds) == 0:
                continue
            for place in self.follower.places(there, seeds, period):
                if place is not None and not self.diagram.known(place, period):
                    i = len(self.branches)
                    self.branches.append(Branch(period, [place]))
                    self._trace_back(i, place, k)
                    self._catch_up(k + 1)

    def _catch_up(self, now: int) -> None:
        """Take branches that were found to begin before sample ``now`` up to it."""
        for k in range(now):
            there = self.samples[k + 1]
            for i in self.diagram.alive(self.samples[k]):
                place, reached = self.follower.follow(self.branches[i].places[-1], there, self.branches[i].period)
                self._go_on(i, place, reached, k)

    def _elsewhere(self) -> np.ndarray:
        """Where points that attract nothing may be: random states, and between the points that are known."""
        size = self.probes.shape[1]
        drawn = self.rng.normal(size=(24, size)) * self.rng.choice([0.3, 1.0, 2.0], (24, 1))
        known = np.array([b.points[-1] for b in self.branches if b.period == 1 and b.status == "followed"])
        if self.small or len(known) < 2:
            return drawn
        rows, columns = np.triu_indices(len(known), 1)
        return np.concatenate([drawn, (known[rows] + known[columns])[:_BETWEEN] / 2])

    def _trace_back(self, i: int, place: Place, k: int) -> None:
        """Follow branch ``i`` from ``place`` to earlier samples, ``k`` first, until the fold at which it was born."""
        branch = self.branches[i]
        for n in range(k, -1, -1):
            here = self.samples[n]
            origin, reached = self.follower.follow(place, here, branch.period)
            if reached and self.diagram.known(
                origin, branch.period
            ):  # it leapt to a branch that comes close at its birth
                origin, reached = self.follower.follow(place, here, branch.period, careful=True)
                if reached and self.diagram.known(origin, branch.period):
                    self.unresolved.append(f"branch {i} joins another between steps {here:g} and {place.step:g}")
                    return
            self._crossings(i, origin, place, n)
            if not reached:
                self._born(i, origin, place, n)
                return
            branch.places.insert(0, origin)
            place = origin

    def _born(self, i: int, origin: Place, place: Place, k: int) -> None:
        """The birth of branch ``i``, seen at ``place``, between sample ``k`` and ``origin``, its earliest place."""
        branch, here = self.branches[i], self.samples[k]
        branch.born = self._meeting(origin, branch.period)
        if branch.born is not None:
            return
        fold = self.follower.fold(origin, here, branch.period)
        if fold is None:
            self.unresolved.append(f"the birth of branch {i} between steps {here:g} and {origin.step:g}")
            return
        event = self.diagram.event_at(fold, branch.period)
        branch.born = self.diagram.record(i, fold, toward=self.samples[k + 1]) if event is None else event
        branch.places.insert(0, fold)
        self._partner(fold, place, branch, k)

    def _partner(self, fold: Place, place: Place, branch: Branch, k: int) -> None:
        """The point born with ``branch`` at ``fold``: its mirror image, at a step where the two are well apart."""
        for share in (1e-3, 1e-2, 0.1, 1.0):
            near, reached = self.follower.follow(place, fold.step + share * (place.step - fold.step), branch.period)
            mirror = self.follower.place(near.step, 2 * fold.point - near.point, branch.period) if reached else None
            if mirror is not None and not self.diagram.same(mirror, near, branch.period, branch.period):
                self._adopt(mirror, branch.period, k, branch.born)
                return
