"""What a search along a path returns: events, and the branches that they join."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, overload

import numpy as np

import normalforms as nf
from normalforms.report import brief, frame
from rnn.dynamics.continuation import Branch
from rnn.models import Model
from rnn.training import Run

__all__ = ["Bifurcations", "Event", "amplitudes"]


@brief
@dataclass(frozen=True)
class Event:
    """One bifurcation of a path of models.

    Attributes:
        kind: as in :class:`normalforms.NormalForm`.
        step: where on the path, in steps; not a whole number, as models between samples are interpolated.
        multiplier: the critical eigenvalue found there, complex.
        normal_form: with one step of the path as the unit of its parameter.
        point: the fixed point, or a point of the cycle, shape (state,).
        model: the critical model, float64 parameters.
        tangent: ``dθ/dstep`` of the path, flat, shape (m,).
        branch: index of the branch that turned critical.
        period: steps per cycle.
        status: ``"localised"``, or a sentence on what fell short.
        run: the path's training run, where it has one.
        critical: every multiplier on the unit circle there: one, a pair, or more where the event is degenerate.
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
    critical: tuple[complex, ...] = ()


@brief
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

    def to_dataframe(self) -> Any:
        """One row per event: kind, step, period, multiplier, branch, status, and the normal form's coefficients.

        Raises:
            ImportError: pandas is not installed.
        """
        names = ("kind", "step", "period", "multiplier", "branch", "status")
        columns: dict[str, Any] = {name: [getattr(event, name) for event in self.events] for name in names}
        known = dict.fromkeys(name for event in self.events for name in event.normal_form.coefficients)
        for name in known:
            columns[name] = [complex(e.normal_form.coefficients.get(name, float("nan"))) for e in self.events]
        return frame(columns)

    def __iter__(self) -> Iterator[Event]:
        return iter(self.events)


def amplitudes(kind: str, form: nf.NormalForm, gain: float) -> list[float]:
    """Where the normal form puts the other branches when the multiplier has moved by ``gain``."""
    c2, c3 = (float(np.real(form.coefficients.get(name, 0.0))) for name in ("c2", "c3"))
    if kind == "transcritical":
        return [-gain / c2]
    size = float(np.sqrt(abs(gain / c3)))
    return [size] if kind == "period_doubling" else [size, -size]
