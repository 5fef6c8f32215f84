"""Where a multiplier crosses the unit circle, between two places of one branch."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import scipy.interpolate
import scipy.optimize

from rnn.dynamics.continuation import Follower, Place

__all__ = ["crossed", "localise"]

_CRITICAL = 1e-7
_CLOSEST = 1e-9
_REACH = 0.03
_EXACT = 1e-11
_TOGETHER = 1e-6  # from the circle: rounding moves a double multiplier by the root of its own
Measure = Callable[[np.ndarray], float]


def crossed(low: Place, high: Place) -> bool:
    """Whether a multiplier crossed between the two: the dimension of the unstable space changed, or a parity.

    The parity of the multipliers beyond +1 is the sign of ``det(I − A)``, that of those beyond −1 of ``det(I + A)``;
    both ignore pairs, so that two real multipliers may merge into one outside the circle unnoticed, as they should.
    """
    return _signature(low) != _signature(high)


def _signature(place: Place) -> tuple[int, int, int]:
    above, below, pairs = place.unstable
    return above % 2, below % 2, above + below + 2 * pairs


def localise(follower: Follower, low: Place, high: Place, period: int) -> tuple[Place, Place] | None:
    """The first crossing between two places and a place after it; ``None`` if it cannot be resolved."""
    for _ in range(60):
        measure = _measure(low, high)
        if measure is not None:
            function, count = measure
            found = _solve(follower, low, high, period, function)
            if found is not None and _on_circle(found) >= count:
                return found, high
        middle, reached = follower.follow(low, (low.step + high.step) / 2, period)
        if not reached or abs(high.step - low.step) <= _CLOSEST:
            return None
        low, high = (low, middle) if crossed(low, middle) else (middle, high)
    return None


def _on_circle(place: Place) -> int:
    """How many multipliers are critical to rounding, that of a double one included."""
    return int(np.sum(np.abs(np.abs(place.multipliers) - 1) <= _TOGETHER))


def _solve(follower: Follower, low: Place, high: Place, period: int, measure: Measure) -> Place | None:
    """The crossing between two places, by Brent's method on the critical multiplier."""
    seen = {low.step: low, high.step: high}

    def value(step: float) -> float:
        if step not in seen:
            near = seen[min(seen, key=lambda s: abs(s - step))]
            seen[step] = follower.follow(near, step, period)[0]
        return measure(seen[step].multipliers)

    root = scipy.optimize.brentq(value, low.step, high.step, xtol=1e-13, rtol=8.9e-16, maxiter=200)
    value(root)
    best = min(seen.values(), key=lambda place: abs(measure(place.multipliers)))
    if abs(measure(best.multipliers)) > _CRITICAL:
        return None
    sharper = _between(follower, low, high, best, period, measure) if abs(best.multipliers - 1).min() < 0.1 else None
    return best if sharper is None else sharper


def _between(follower: Follower, low: Place, high: Place, best: Place, period: int, measure: Measure) -> Place | None:
    """The crossing at +1 from points of the branch on both sides of it, interpolated.

    At the crossing ``A − I`` is singular and Newton knows the point only to the root of the rounding error; the
    branch itself is smooth, so that six points where Newton is accurate give it back. ``None`` where they do not, as
    at a kink of the path.
    """
    reach = _REACH * float(np.min(np.diff(follower.path.steps)))
    if best.step - reach < follower.path.steps[0] or best.step + reach > follower.path.steps[-1]:
        return None
    steps, points = [], []
    ahead = np.sign(high.step - low.step)  # the crossing may be at one of the two
    for start, side in ((low, -ahead), (high, ahead)):
        near = start
        for share in (1.0, 2 / 3, 1 / 3):
            near, reached = follower.follow(near, best.step + side * share * reach, period)
            if not reached:
                return None
            steps.append(near.step)
            points.append(near.point)
    curve = scipy.interpolate.BarycentricInterpolator(np.array(steps), np.stack(points))

    def at(step: float) -> Place:
        return follower.describe(step, curve(step), period)

    ends = best.step - reach / 3, best.step + reach / 3
    if measure(at(ends[0]).multipliers) * measure(at(ends[1]).multipliers) >= 0:
        return None
    root = scipy.optimize.brentq(lambda s: measure(at(s).multipliers), *ends, xtol=1e-13, rtol=8.9e-16)
    found = at(root)
    return found if follower.residual(found, period) <= _EXACT else None


def _measure(low: Place, high: Place) -> tuple[Measure, int] | None:
    """A function of the multipliers that changes sign where the critical ones cross, and how many cross there.

    ``None`` if several cross apart.
    """
    a, b = _signature(low), _signature(high)
    change = abs(a[2] - b[2])
    if change == 1 and (a[0] != b[0]) != (a[1] != b[1]):
        candidates = [(_real(1.0 if a[0] != b[0] else -1.0), 1)]
    elif change == 2 and a[:2] == b[:2]:
        nearest = high.multipliers[np.argmin(np.abs(np.abs(high.multipliers) - 1))]
        candidates = [(_pair, 1), (_two(float(np.copysign(1.0, nearest.real))), 2)]
    else:
        return None
    for measure, count in candidates:
        ends = measure(low.multipliers), measure(high.multipliers)
        if np.all(np.isfinite(ends)) and ends[0] * ends[1] <= 0:
            return measure, count
    return None


def _real(target: float) -> Measure:
    """How far the multiplier nearest to ±1 is beyond it."""

    def measure(mu: np.ndarray) -> float:
        near = mu[np.argmin(np.abs(mu - target))]
        return float((near.real - target) * target)

    return measure


def _two(target: float) -> Measure:
    """How far the two multipliers nearest to ±1 are beyond it on average.

    Symmetry takes two through at once. Rounding makes them a pair or two real ones; their mean knows no difference.
    """

    def measure(mu: np.ndarray) -> float:
        near = mu[np.argsort(np.abs(mu - target))[:2]]
        return float(np.mean(near.real - target) * target)

    return measure


def _pair(mu: np.ndarray) -> float:
    """How far the pair nearest to the unit circle is beyond it; NaN without one."""
    above = mu[mu.imag > 0]
    return float(min(np.abs(above) - 1, key=abs)) if len(above) else np.nan
