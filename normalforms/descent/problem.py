"""`Learning`: gradient descent on the parameter of a map that is taught by the same map with another parameter."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import sympy as sp

from normalforms.descent.limit import LearningScaling, learning_scaling
from normalforms.descent.loss import (
    derivatives,
    each_value_and_slope,
    loss_formula,
    teacher_leaves,
    value_and_slope,
)
from normalforms.descent.noise import Spread, spread
from normalforms.descent.plateau import plateau_formula
from normalforms.descent.regimes import Descent, Diagram, descend, diagram
from normalforms.descent.timing import elapsed
from normalforms.formulas import Formula, check_horizon, check_real
from normalforms.maps import Map

__all__ = ["Criticality", "Learning", "learning"]


@dataclass(frozen=True)
class Criticality:
    """The period doubling of descent itself, at a minimum of the loss and ``η L'' = 2``.

    With ``y`` the distance from the minimum descent is ``y' = −y + a y² + b y³``, ``a = −L'''/L''``,
    ``b = −L''''/(3 L'')``; its cycle of period two is born stable where ``a² + b > 0``, that is
    ``3 L'''² > L'' L''''``, and grows like ``√(ν/(a² + b))``, ``ν = η L'' − 2``.

    Args:
        second, third, fourth: ``L'', L''', L''''`` at the minimum.

    >>> Criticality(2.0, 1.0, 0.5).born_stable
    True
    """

    second: float
    third: float
    fourth: float

    @property
    def coefficient(self) -> float:
        """``a² + b``; positive where the cycle is born stable."""
        return (self.third / self.second) ** 2 - self.fourth / (3 * self.second)

    @property
    def born_stable(self) -> bool:
        """Whether the cycle of period two is born stable, so that descent oscillates beyond the edge, and stays."""
        return self.coefficient > 0

    def amplitude(self, rate: float) -> float:
        """``√((η L'' − 2)/(a² + b))``, half the distance of the cycle's points to leading order; or ``nan``."""
        square = (rate * self.second - 2) / self.coefficient
        return float(np.sqrt(square)) if square >= 0 else float("nan")


@dataclass(frozen=True)
class Learning:
    """Descent on ``L(g) = (1/T) Σ_{t=1}^T ⟨‖h_t(g) − h_t(g_T)‖²⟩``; made by `learning`.

    Args:
        map: the map of student and teacher, with one parameter.
        teacher: ``g_T``.
        initial: initial states, shape ``(batch, n)``; the loss is their mean.
        horizon: T, in steps.

    >>> from normalforms import pitchfork
    >>> study = learning(pitchfork(), teacher=1.1, initial=0.1, horizon=30)
    >>> float(study.loss(1.1)), float(study.gradient(1.1))
    (0.0, 0.0)
    >>> bool(np.isclose(study.sharpness(1.1) * study.critical_rate(), 2))
    True
    """

    map: Map
    teacher: float
    initial: np.ndarray
    horizon: int

    def derivatives(self, g: Any, order: int, teacher: Any = None) -> np.ndarray:
        """``L, L', …`` through ``order`` as the first axis, elementwise over broadcast ``g`` and ``teacher``."""
        g = check_real(g, "g")
        master = self.teacher if teacher is None else check_real(teacher, "teacher")
        return derivatives(self.map, g, master, self.initial, self.horizon, order)

    def loss(self, g: Any) -> Any:
        """``L(g)``; ``inf`` where an orbit leaves within the horizon."""
        return _number(self.derivatives(g, 0)[0])

    def gradient(self, g: Any) -> Any:
        """``L'(g) = (2/T) Σ_t ⟨(h_t − h̄_t) · s_t⟩``; ``nan`` where an orbit leaves."""
        return _number(self.derivatives(g, 1)[1])

    def sharpness(self, g: Any) -> Any:
        """``L''(g) = (2/T) Σ_t ⟨‖s_t‖² + (h_t − h̄_t) · ∂s_t/∂g⟩``; at the teacher exactly ``2 A_T/T``."""
        return _number(self.derivatives(g, 2)[2])

    def critical_rate(self, g: Any = None) -> Any:
        """``η_c = 2/L'' = T/A_T(g, h0)``, the largest rate at which descent stays at a teacher ``g``.

        Args:
            g: teachers; this one's by default.
        """
        g = self.teacher if g is None else check_real(g, "g")
        return _number(2 / derivatives(self.map, g, g, self.initial, self.horizon, 2)[2])

    def safe_rate(self, lower: float, upper: float, points: int = 400) -> float:
        """The smallest critical rate over teachers in a range: below it descent stays at each of them.

        ``min_g T/A_T(g, h0)`` on a grid, refined once about its smallest value.

        Raises:
            ValueError: an empty range.
        """
        if not lower < upper:
            raise ValueError(f"the range of teachers {lower!r} to {upper!r} is empty; give lower < upper")
        for _ in range(2):
            grid = np.linspace(lower, upper, points)
            rates = np.asarray(self.critical_rate(grid))
            best = int(np.nanargmin(rates))
            lower, upper = grid[max(best - 1, 0)], grid[min(best + 1, points - 1)]
        return float(rates[best])

    def criticality(self, g: Any = None) -> Criticality:
        """The nature of descent's own period doubling, at a teacher ``g`` (this one by default)."""
        g = self.teacher if g is None else float(check_real(g, "g"))
        values = derivatives(self.map, g, g, self.initial, self.horizon, 4)
        return Criticality(*(float(v) for v in values[2:]))

    def time(self, g0: float, g1: float, rate: float) -> float:
        """Steps of descent from ``g0`` to ``g1``: see `normalforms.descent.timing.elapsed`.

        Returns:
            A number of steps, not rounded; ``inf`` where descent does not lead from ``g0`` to ``g1``.

        Raises:
            ValueError: a rate that is not positive.
        """
        return elapsed(lambda g: self.derivatives(g, 2)[1:], *_checked(g0, g1, rate))

    def spread(self, g0: float, g1: float, rate: float, batch: int) -> Spread:
        """How minibatches scatter the time from ``g0`` to ``g1``; see `normalforms.descent.noise.spread`.

        Args:
            g0, g1, rate: as of `time`.
            batch: initial states drawn for each step, with replacement.
        """
        g0, g1, rate = _checked(g0, g1, rate)

        def each(g: np.ndarray) -> np.ndarray:
            return each_value_and_slope(self.map, g, self.teacher, self.initial, self.horizon)[1]

        return spread(each, self.time(g0, g1, rate), g0, g1, rate, check_horizon(batch, "batch"))

    def descend(self, g0: Any, rate: Any, steps: int) -> Descent:
        """``g_{k+1} = g_k − η L'(g_k)``, elementwise over broadcast ``g0`` and ``rate``."""
        g0, rate = check_real(g0, "g0"), check_real(rate, "rate")

        def values(g: np.ndarray) -> np.ndarray:
            return value_and_slope(self.map, g, self.teacher, self.initial, self.horizon)

        return descend(values, g0, rate, check_horizon(steps, "steps"))

    def diagram(self, rates: Any, teachers: Any = None, *, start: float | None = None, steps: int = 2000) -> Diagram:
        """What descent does in the end, for every rate and teacher, by running it.

        Args:
            rates: learning rates, shape (rates,).
            teachers: shape (teachers,); this one by default.
            start: where descent begins; ``1 − 3/T`` by default.
            steps: of descent; the last tenth decides.

        Returns:
            A `Diagram`, whose ``regime`` is one of ``"monotone"``, ``"period two"``, ``"hopping"``, ``"thrown
            back"``, ``"diverging"``, ``"under way"``.
        """
        masters = np.atleast_1d(check_real(self.teacher if teachers is None else teachers, "teachers"))
        start = 1 - 3 / self.horizon if start is None else float(start)

        def values(g: np.ndarray) -> np.ndarray:
            return value_and_slope(self.map, g, masters[None, :], self.initial, self.horizon)

        return diagram(values, np.atleast_1d(check_real(rates, "rates")), masters, start, check_horizon(steps, "steps"))

    def scaling(self) -> LearningScaling:
        """The limit ``T → ∞`` in which all horizons fall on one curve; see `LearningScaling`."""
        return learning_scaling(self.map)

    @cached_property
    def formula(self) -> Formula:
        """``L`` of one initial state as a `Formula` of ``g, g_T, h0, T``; its `diff` is the gradient's.

        >>> from normalforms import stability_flip
        >>> learning(stability_flip(), teacher=1, initial=1, horizon=3).formula.diff("g")(2.0, 1.0, 1.0, 1)
        2.0
        """
        return loss_formula(self.map)

    @cached_property
    def plateau(self) -> Formula:
        """Steps from far below the bifurcation to it: see `normalforms.descent.plateau.plateau_formula`."""
        return plateau_formula(self.map)


def _number(value: np.ndarray) -> Any:
    return float(value) if np.ndim(value) == 0 else value


def _checked(g0: Any, g1: Any, rate: Any) -> tuple[float, float, float]:
    values = [float(check_real(v, n)) for v, n in ((g0, "g0"), (g1, "g1"), (rate, "rate"))]
    if not values[2] > 0:
        raise ValueError(f"rate must be positive, got {rate!r}")
    return values[0], values[1], values[2]


def learning(map: Map, *, teacher: Any, initial: Any, horizon: int) -> Learning:
    """Gradient descent through a bifurcation: a map taught by the same map with another parameter.

    ``L(g) = (1/T) Σ_{t=1}^T ⟨‖h_t(g) − h_t(g_T)‖²⟩``, the scalar student and teacher of Hazelden & Shea-Brown
    (arXiv:2605.12763, appendix B), for any map of one parameter.

    Args:
        map: of one parameter; a named family, or one's own.
        teacher: ``g_T``.
        initial: initial state or states; a scalar map takes a number or shape (batch,), a map of R^n shape (n,) or
            (batch, n).
        horizon: T, in steps.

    Raises:
        ValueError: several parameters, a shape that does not fit, or a teacher whose orbit leaves to infinity.

    >>> from normalforms import pitchfork
    >>> study = learning(pitchfork(), teacher=1.1, initial=0.1, horizon=30)
    >>> study.criticality().born_stable
    True
    """
    if not isinstance(map, Map):
        raise ValueError(f"map must be a Map, got {type(map).__name__}; see normalforms.parse_map")
    if len(map.parameters) != 1:
        names = ", ".join(p.name for p in map.parameters)
        raise ValueError(f"the map has the parameters {names}; substitute numbers for all but the one that is learnt")
    if isinstance(teacher, (sp.Basic, str)):
        teacher = float(
            map.point({**{s.name: 0 for s in map.states}, map.parameters[0].name: teacher})[map.parameters[0]]
        )
    teacher = check_real(teacher, "teacher")
    if teacher.ndim:
        raise ValueError(
            f"teacher must be one number, got shape {teacher.shape}; critical_rate and diagram take arrays"
        )
    states = check_real(initial, "initial")
    if map.dimension == 1:
        states = states.reshape(-1, 1) if states.ndim <= 1 else states
    elif states.ndim == 1:
        states = states[None]
    if states.ndim != 2 or states.shape[1] != map.dimension or not len(states):
        raise ValueError(f"initial has shape {np.shape(initial)}; give one state of length {map.dimension}, or a batch")
    horizon = check_horizon(horizon)
    if teacher_leaves(map, float(teacher), states, horizon):
        raise ValueError(
            f"the teacher g = {float(teacher):g} leaves to infinity within {horizon} steps; choose a teacher or initial"
            " states that stay"
        )
    return Learning(map, float(teacher), states, horizon)
