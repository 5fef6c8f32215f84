"""Fixed points and cycles followed along a path of models, and the folds at which they end."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from normalforms.report import brief
from rnn.dynamics.newton import closes_early, jacobians, newton, padded, period_map, residual_norms, solved
from rnn.models import Model, ModelPath, moved, partition

__all__ = ["Branch", "Follower", "Place", "unstable"]

_HALVINGS = 14
_LEAP = 0.25
_CAREFUL = 0.02
_STILL = 1e-3
_SMOOTH = 1e-6
_COLLAPSED = 1e-8
_KEPT = 8  # models at hand


@brief
@dataclass(frozen=True)
class Place:
    """A fixed point (of ``model^period``) at one step of a path, with its multipliers."""

    step: float
    point: np.ndarray
    multipliers: np.ndarray

    @property
    def unstable(self) -> tuple[int, int, int]:
        """Multipliers beyond +1, beyond −1, and complex pairs outside the unit circle."""
        return unstable(self.multipliers)


def unstable(multipliers: np.ndarray) -> tuple[int, int, int]:
    """How many multipliers lie beyond +1, beyond −1, and how many complex pairs outside the unit circle."""
    real = multipliers.imag == 0
    pairs = np.sum((multipliers.imag > 0) & (np.abs(multipliers) > 1))
    return (
        int(np.sum(real & (multipliers.real > 1))),
        int(np.sum(real & (multipliers.real < -1))),
        int(pairs),
    )


@brief
@dataclass
class Branch:
    """One fixed point or cycle along the path.

    Attributes:
        period: steps per cycle.
        places: where it was seen, by increasing step.
        born: index of the event at which it appeared; ``None`` where it is there from the start or its birth
            was not resolved.
        ended: index of the event at which it vanished, if it did.
        status: ``"followed"`` to the end of the path, ``"ended"`` at an event, or ``"lost"``.
    """

    period: int = 1
    places: list[Place] = field(default_factory=list)
    born: int | None = None
    ended: int | None = None
    status: str = "followed"

    @property
    def steps(self) -> np.ndarray:
        """Steps at which the branch was seen, shape (count,)."""
        return np.array([place.step for place in self.places])

    @property
    def points(self) -> np.ndarray:
        """Its points there, shape (count, state)."""
        return np.stack([place.point for place in self.places])

    @property
    def stable(self) -> np.ndarray:
        """Whether it attracts there, shape (count,)."""
        return np.array([np.max(np.abs(place.multipliers)) < 1 for place in self.places])


class Follower:
    """Newton continuation on one path, in float64; use it where x64 is enabled."""

    def __init__(self, path: ModelPath, tolerance: float) -> None:
        self.path = path
        self.tolerance = tolerance
        self._recent: dict[float, Model] = {}

    def model(self, step: float) -> Model:
        """The float64 model at ``step``."""
        if step not in self._recent:
            if len(self._recent) >= _KEPT:
                self._recent.pop(next(iter(self._recent)))
            self._recent[step] = self.path.rebuild(self.path.flat(step))
        return self._recent[step]

    def rate(self, step: float, ahead: float) -> np.ndarray:
        """``dθ/dstep`` on the segment from ``step`` towards ``ahead``, flat, shape (m,)."""
        first, last = float(self.path.steps[0]), float(self.path.steps[-1])
        width = 1e-3 * min(1.0, float(np.min(np.diff(self.path.steps))))
        width = max(width, 64 * float(np.spacing(abs(step))))  # samples may lie a rounding apart
        forward = step < last if ahead == step else (ahead > step and step < last) or step <= first
        other = min(step + width, last) if forward else max(step - width, first)
        return (self.path.flat(other) - self.path.flat(step)) / (other - step)

    def slope(self, step: float, ahead: float) -> Any:
        """`rate` as a pytree like the parameters."""
        return partition(self.path.rebuild(self.rate(step, ahead)))[0]

    def place(self, step: float, start: np.ndarray, period: int = 1) -> Place | None:
        """The fixed point that Newton finds from ``start``; ``None`` if it does not converge."""
        return self.places(step, start[None], period)[0]

    def places(self, step: float, starts: np.ndarray, period: int = 1) -> list[Place | None]:
        """One :meth:`place` for each row of ``starts``."""
        model = self.model(step)
        points, converged = newton(model, starts, period=period, tolerance=self.tolerance)
        A = jacobians(model, points, period)
        # a cycle that shrinks onto one of shorter period has ended
        converged &= ~closes_early(model, points, period, _COLLAPSED)
        return [
            Place(step, point, np.linalg.eigvals(a).astype(complex)) if ok else None
            for point, a, ok in zip(points, A, converged, strict=True)
        ]

    def describe(self, step: float, point: np.ndarray, period: int = 1) -> Place:
        """``point`` as it is, with its multipliers at ``step``."""
        A = jacobians(self.model(step), point[None], period)[0]
        return Place(step, point, np.linalg.eigvals(A).astype(complex))

    def residual(self, place: Place, period: int = 1) -> float:
        """``‖model^period(h) − h‖ / max(1, ‖h‖)`` at a place."""
        gap = residual_norms(self.model(place.step), place.point[None], period)[0]
        return float(gap) / max(1.0, float(np.linalg.norm(place.point)))

    def advance(self, places: list[Place], stop: float, period: int = 1, leap: float = _LEAP) -> list[Place | None]:
        """Every place followed to ``stop`` in one step; ``None`` where the step was too long or the point is gone."""
        if not places:
            return []
        start = places[0].step
        points = np.stack([place.point for place in places])
        move = self._tangents(start, stop, points, period) * (stop - start)
        # a tangent that points far away says that the point is about to turn; Newton then starts where it is
        far = np.linalg.norm(move, axis=1) > 1.0
        move[far | ~np.all(np.isfinite(move), axis=1)] = 0.0
        found = self.places(stop, points + move, period)
        kept: list[Place | None] = []
        for place, guess in zip(found, points + move, strict=True):
            if place is None:
                kept.append(None)
                continue
            # the floor lets a step cross a sample, where the path and so the tangent has a kink
            share, floor = leap, _STILL
            before = places[len(kept)]
            if place.unstable[0] % 2 != before.unstable[0] % 2:  # det(I − A) changes sign: perhaps another branch
                share, floor = min(leap, _CAREFUL), _SMOOTH
            allowed = max(share * float(np.linalg.norm(guess - before.point)), floor)
            kept.append(place if np.linalg.norm(place.point - guess) <= allowed else None)
        return kept

    def follow(self, place: Place, stop: float, period: int = 1, *, careful: bool = False) -> tuple[Place, bool]:
        """``place`` followed to ``stop`` in adaptive steps, short ones if ``careful``.

        Returns:
            The last place reached, and whether that is ``stop``.
        """
        whole = abs(stop - place.step)
        stride = whole
        while place.step != stop:
            left = abs(stop - place.step)
            stride = min(stride, left)
            target = stop if stride == left else place.step + np.copysign(stride, stop - place.step)
            ahead = self.advance([place], float(target), period, _CAREFUL if careful else _LEAP)[0]
            if ahead is None:
                stride /= 2
                if stride < whole * 0.5**_HALVINGS:
                    return place, False
            else:
                place, stride = ahead, stride * 2
        return place, True

    def _tangents(self, start: float, stop: float, points: np.ndarray, period: int) -> np.ndarray:
        """``dh*/dstep = (I − A)^{-1} ∂f/∂step`` at every point, on the side of ``stop``."""
        model = self.model(start)
        force = np.asarray(_forcing(model, self.slope(start, stop), padded(points), period))[: len(points)]
        return solved(np.eye(points.shape[1]) - jacobians(model, points, period), force)

    def fold(self, place: Place, ahead: float, period: int = 1) -> Place | None:
        """The fold just beyond ``place`` towards ``ahead``: ``F = h``, ``(A − I) v = 0``, ``⟨v₀, v⟩ = 1``, by Newton.

        Returns:
            The fold point, ``None`` if Newton does not converge near ``place``.
        """
        low, high = sorted((place.step, ahead))
        model, slope = self.model(place.step), self.slope(place.step, ahead)
        values, vectors = np.linalg.eig(jacobians(model, place.point[None], period)[0])
        v = np.real(vectors[:, np.argmin(np.abs(values - 1))])
        v = v / np.linalg.norm(v)
        unknown = np.concatenate([place.point, v, [0.0]])
        for _ in range(30):
            value, matrix = _fold_system(model, slope, jnp.asarray(unknown), jnp.asarray(v), period)
            try:
                move = np.linalg.solve(np.asarray(matrix), -np.asarray(value))
            except np.linalg.LinAlgError:
                return None
            unknown = unknown + move
            if not np.all(np.isfinite(unknown)):
                return None
            if np.linalg.norm(move) <= 1e-13 * max(1.0, np.linalg.norm(unknown)):
                break
        n = len(place.point)
        step = place.step + unknown[-1]
        slack = 1e-9 * (high - low)
        if not low - slack <= step <= high + slack or np.linalg.norm(unknown[:n] - place.point) > 0.5:
            return None
        residual = np.asarray(_fold_system(model, slope, jnp.asarray(unknown), jnp.asarray(v), period)[0])
        if np.linalg.norm(residual) > 1e-10:
            return None
        step = float(np.clip(step, low, high))
        if closes_early(model, unknown[None, :n], period, _COLLAPSED**0.5)[0]:
            return None
        return self.describe(step, unknown[:n], period)


@eqx.filter_jit
def _forcing(model: Model, slope: Any, points: Any, period: int) -> Any:
    """``∂f/∂step`` of the period map at every point."""
    selected, rest = partition(model)
    image = lambda p, h: period_map(eqx.combine(p, rest), period)(h)  # noqa: E731
    return jax.vmap(lambda h: jax.jvp(lambda p: image(p, h), (selected,), (slope,))[1])(points)


@eqx.filter_jit
def _fold_system(model: Model, slope: Any, unknown: Any, reference: Any, period: int) -> tuple[Any, Any]:
    n = reference.size

    def system(z: Any) -> Any:
        h, v, ds = z[:n], z[n : 2 * n], z[2 * n]
        step = period_map(moved(model, slope, ds), period)
        image, turned = jax.jvp(step, (h,), (v,))
        return jnp.concatenate([image - h, turned - v, jnp.atleast_1d(reference @ v - 1)])

    return system(unknown), jax.jacfwd(system)(unknown)
