"""The bifurcation diagram as a search builds it: branches, events, and which places and events are the same."""

from __future__ import annotations

import dataclasses

import numpy as np

from rnn.dynamics.continuation import Branch, Follower, Place
from rnn.dynamics.events import Bifurcations, Event
from rnn.dynamics.newton import error_bounds, orbits
from rnn.dynamics.normal_form import normal_form
from rnn.training import Run

__all__ = ["Diagram"]

_CRITICAL = 1e-5
_APART = 1e-6  # steps, and
_DISTANCE = 1e-4  # relative, within which two events are one


class Diagram:
    """What was found so far on one path; use it where x64 is enabled."""

    def __init__(self, follower: Follower, run: Run | None) -> None:
        self.follower = follower
        self.run = run
        self.branches: list[Branch] = []
        self.events: list[Event] = []
        self.unresolved: list[str] = []

    def alive(self, step: float) -> list[int]:
        """Branches that were followed to ``step`` and not beyond."""
        return [i for i, b in enumerate(self.branches) if b.status == "followed" and b.places[-1].step == step]

    def same(self, a: Place, b: Place, period: int, other: int) -> bool:
        """Whether two places of one step are the same point or points of one cycle."""
        if period != other or a.step != b.step:
            return False
        model = self.follower.model(a.step)
        cycle = orbits(model, b.point[None], period)[0]
        gaps = np.linalg.norm(cycle - a.point, axis=1)
        if gaps.min() > 1e-4 * max(1.0, float(np.linalg.norm(a.point))):
            return False
        bounds = error_bounds(model, np.stack([a.point, cycle[np.argmin(gaps)]]), period)
        return bool(gaps.min() <= 4 * bounds.sum())

    def known(self, place: Place, period: int) -> bool:
        """Whether a branch was seen at this very place."""
        return any(
            self.same(place, seen, branch.period, period)
            for branch in self.branches
            if branch.period == period
            for seen in branch.places
            if seen.step == place.step
        )

    def event_at(self, place: Place, period: int, apart: float = _APART, distance: float = _DISTANCE) -> int | None:
        """The nearest event at ``place`` of this period, or of the period that doubles to it."""
        near: dict[int, float] = {}
        for index, event in enumerate(self.events):
            doubled = 2 * event.period == period and event.kind in ("period_doubling", "degenerate")
            if (event.period != period and not doubled) or abs(event.step - place.step) > apart:
                continue
            cycle = orbits(self.follower.model(place.step), place.point[None], period)[0]
            gap = float(np.min(np.linalg.norm(cycle - event.point, axis=1)))
            if gap <= distance * max(1.0, float(np.linalg.norm(event.point))):
                near[index] = gap
        return min(near, key=near.__getitem__, default=None)

    def record(self, i: int, place: Place, *, toward: float) -> int | None:
        """Add the event of branch ``i`` at ``place``; ``None`` if it is there already or has no normal form."""
        model, period = self.follower.model(place.step), self.branches[i].period
        if self.event_at(place, period) is not None:
            return None
        tangent = self.follower.rate(place.step, toward)
        try:
            form = normal_form(model, place.point, tangent, period=period, critical=_CRITICAL)
        except ValueError as error:
            self.unresolved.append(f"branch {i} at step {place.step:g}: {error}")
            return None
        critical = complex(place.multipliers[np.argmin(np.abs(place.multipliers - complex(form.multiplier)))])
        gap = abs(abs(critical) - 1)
        status = "localised" if gap <= 1e-10 else f"multiplier only within {gap:.1e} of the unit circle"
        several = tuple(complex(z) for z in place.multipliers if abs(abs(z) - 1) <= _CRITICAL)
        event = Event(form.kind, place.step, critical, form, place.point, model, tangent, i, period, status, self.run)
        self.events.append(dataclasses.replace(event, critical=several))
        return len(self.events) - 1

    def result(self) -> Bifurcations:
        """Events in the order of their steps, and branches that name them so."""
        order = sorted(range(len(self.events)), key=lambda k: self.events[k].step)
        rank = {old: new for new, old in enumerate(order)}
        new = lambda index: None if index is None else rank[index]  # noqa: E731
        branches = [dataclasses.replace(b, born=new(b.born), ended=new(b.ended)) for b in self.branches]
        events = tuple(self.events[k] for k in order)
        return Bifurcations(events, tuple(branches), tuple(self.unresolved))
