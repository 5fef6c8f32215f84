"""Orbits of a scalar map under given inputs, and the window that they must not leave."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np
import sympy as sp

from normalforms.families import Member, find
from normalforms.forms import escape_radius
from normalforms.formulas import check_real
from normalforms.maps import Map

__all__ = ["Drive", "Spread", "Window", "check_radius", "simulate", "spread_of", "window_of"]

Window = tuple[float, float]


def check_radius(radius: float | None) -> None:
    """Refuse a radius, beyond which orbits are removed, that is not positive.

    Raises:
        ValueError: it is not.
    """
    if radius is not None and not float(check_real(radius, "radius")) > 0:
        raise ValueError(f"radius = {radius!r} must be positive")


@dataclass(frozen=True)
class Drive:
    """A scalar map with one parameter, its derivatives as functions of ``(u, g)``.

    Args:
        map: the map ``f``.
    """

    map: Map

    @cached_property
    def member(self) -> Member | None:
        """The map as a member of its family, if any."""
        return find(self.map)

    @cached_property
    def functions(self) -> tuple[Callable[..., np.ndarray], ...]:
        """``f, f_h, f_g``."""
        return _functions(self.map)

    def turning_points(self, g: float) -> np.ndarray:
        """Real zeros of ``f_h``, where an interval's image may have its ends; empty where ``f`` is no polynomial."""
        h, p = self.map.states[0], self.map.parameters[0]
        slope = self.map.steps[0].diff(h)
        if not slope.is_polynomial(h):
            return np.zeros(0)
        roots = np.roots([float(c.subs(p, g)) for c in sp.Poly(slope, h).all_coeffs()] or [1.0])
        return roots[np.abs(roots.imag) < 1e-12 * (1 + np.abs(roots))].real

    def image(self, interval: Window, g: float, turning: np.ndarray) -> Window:
        """The image of an interval under ``f``: from its ends and turning points, and 2000 points between them."""
        low, high = interval
        inside = turning[(turning > low) & (turning < high)]
        values = self.functions[0](np.concatenate([np.linspace(low, high, 2000), inside]), g)
        return float(values.min()), float(values.max())


@cache
def _functions(m: Map) -> tuple[Callable[..., np.ndarray], ...]:
    h, g = m.states[0], m.parameters[0]

    def made(expr: sp.Expr) -> Callable[..., np.ndarray]:
        plain = sp.lambdify((h, g), expr, "numpy")
        return lambda u, p: np.broadcast_to(np.asarray(plain(u, p), dtype=float), np.shape(u))

    return made(m.steps[0]), made(m.steps[0].diff(h)), made(m.steps[0].diff(g))


def window_of(drive: Drive, g: float, radius: float | None) -> tuple[Window, bool]:
    """Where an orbit counts as one that stays, and whether those that leave are removed.

    With a radius, ``|u| ≤ radius``. For ``g u − c u³`` with ``c > 0``, and its period doubling, ``|u| ≤ √((1+g)/3c)``:
    there ``|f_h| ≤ max(1, |g|)``, beyond it the map overshoots and stretches, which the flow never does. Elsewhere the
    radius beyond which every orbit diverges; then no orbit is removed, and one that leaves makes the mean infinite.
    """
    if radius is not None:
        return (-radius, radius), True
    found = drive.member
    if found is not None and found.kind in ("pitchfork", "period_doubling") and found.coefficient > 0 and g > -1:
        edge = float(np.sqrt((1 + g) / (3 * float(found.coefficient))))
        return (-edge, edge), True
    edge = float(escape_radius(drive.map, g))
    return (-edge, edge), False


def simulate(
    drive: Drive, g: float, h0: float, inputs: Iterable[np.ndarray], size: int, window: Window
) -> tuple[np.ndarray, np.ndarray]:
    """``A_T`` of each trajectory by iteration, and whether it stayed in the window at every step.

    Args:
        drive: the map.
        g: parameter.
        h0: initial state.
        inputs: ``x_0 … x_{T−1}``, each of shape ``(size,)``.
        size: trajectories.
        window: ends of the interval in which orbits stay.
    """
    f, f_h, f_g = drive.functions
    h, s, total, kept = np.full(size, h0), np.zeros(size), np.zeros(size), np.ones(size, dtype=bool)
    with np.errstate(all="ignore"):
        for x in inputs:
            h, s = f(h, g) + x, f_h(h, g) * s + f_g(h, g)
            kept &= (h >= window[0]) & (h <= window[1])
            h, s = np.where(kept, h, 0.0), np.where(kept, s, 0.0)
            total += s * s
    return total, kept


@dataclass(frozen=True)
class Spread:
    """What a finite number of trajectories shows of ``A_T``, beside its mean.

    Args:
        mean: of the trajectories that stayed.
        error: standard error of the mean; it means little where ``share`` is near 1.
        median: of those trajectories.
        quantiles: 5, 25, 75 and 95 %.
        batch: median over batches of the mean of one batch.
        share: part of the sum that the largest 1 % of the trajectories carry.
        left: part of the trajectories that left the window.
    """

    mean: float
    error: float
    median: float
    quantiles: tuple[float, float, float, float]
    batch: float
    share: float
    left: float


def spread_of(A: np.ndarray, drawn: int, batch: int) -> Spread:
    """What the amplifications of the orbits that stayed show.

    Args:
        A: of those orbits.
        drawn: orbits in all.
        batch: orbits in one batch.
    """
    if len(A) < batch:
        raise ValueError(f"{len(A)} of {drawn} orbits stayed, fewer than batch = {batch}; give weaker noise")
    means = A[: len(A) // batch * batch].reshape(-1, batch).mean(axis=1)
    top = np.sort(A)[-max(1, len(A) // 100) :]
    return Spread(
        float(np.mean(A)),
        float(np.std(A) / np.sqrt(len(A))),
        float(np.median(A)),
        tuple(float(q) for q in np.quantile(A, (0.05, 0.25, 0.75, 0.95))),
        float(np.median(means)),
        float(np.sum(top) / np.sum(A)),
        1 - len(A) / drawn,
    )
