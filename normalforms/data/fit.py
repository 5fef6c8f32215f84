"""Amplification laws fitted to data, and the families' competition for it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import scipy.optimize
import scipy.stats

from normalforms.families import families, family
from normalforms.law import amplification as law_of

__all__ = ["Fit", "fit"]

_NAMES = ("amplitude", "parameter_scale", "state_scale")
_NODES = 64


@dataclass(frozen=True)
class Fit:
    """A law fitted to measured amplifications: ``a Σ_i A_T(1 + b (x − 1), c h_i)``.

    Attributes:
        kind: the family of least AICc.
        parameters: ``amplitude`` a, ``parameter_scale`` b, ``state_scale`` c, all positive.
        ranking: (family, AICc above the best, Akaike weight), best first; families that cannot fit are left out.
        residual: ``ln(predicted / measured)``, shape (count,).
        parameter, measured: the data.
    """

    kind: str
    parameters: dict[str, float]
    ranking: tuple[tuple[str, float, float], ...]
    residual: np.ndarray
    parameter: np.ndarray = field(repr=False)
    measured: np.ndarray = field(repr=False)
    horizon: int = field(repr=False)
    initial: np.ndarray = field(repr=False)
    covariance: np.ndarray = field(repr=False)

    @property
    def ambiguous(self) -> tuple[str, ...]:
        """Families that the data do not tell from the best one: AICc within 2 of it."""
        return tuple(name for name, above, _ in self.ranking[1:] if above < 2)

    @property
    def r2(self) -> float:
        """``1 − Σ(measured − predicted)² / Σ(measured − mean)²``."""
        gap = self.measured - self.predict(self.parameter)
        return float(1 - np.sum(gap**2) / np.sum((self.measured - self.measured.mean()) ** 2))

    @property
    def max_relative_error(self) -> float:
        """``max |predicted / measured − 1|``."""
        return float(np.max(np.abs(np.expm1(self.residual))))

    def predict(self, parameter: Any) -> np.ndarray:
        """The fitted amplification at other parameter values, shape (count,)."""
        x = np.asarray(parameter, dtype=float)
        logs = np.log([self.parameters[name] for name in _NAMES])
        return np.exp(_log_model(self.kind, logs, x, self.horizon, self.initial))

    def interval(self, level: float = 0.95) -> dict[str, tuple[float, float]]:
        """Confidence intervals at ``level``: Student t on the logarithms, from the Jacobian at the optimum.

        Raises:
            ValueError: ``level`` is not between 0 and 1.
        """
        if not 0 < level < 1:
            raise ValueError(f"level must lie between 0 and 1, got {level!r}")
        t = scipy.stats.t.ppf((1 + level) / 2, max(1, len(self.residual) - len(_NAMES)))
        spread = t * np.sqrt(np.diag(self.covariance))
        return {
            name: (self.parameters[name] * np.exp(-d), self.parameters[name] * np.exp(d))
            for name, d in zip(_NAMES, spread, strict=True)
        }


def fit(parameter: Any, amplification: Any, *, horizon: int, initial: Any, laws: Any = None) -> Fit:
    """Fit ``a Σ_i A_T(1 + b (x − 1), c h_i)`` to measured amplifications, in relative least squares.

    Args:
        parameter: x, critical at 1 (a multiplier, say), shape (count,), dimensionless.
        amplification: measured sums over the initial states, positive, shape (count,).
        horizon: T, in steps.
        initial: initial states h_i in the units of the normal form, shape (batch,).
        laws: names of families; all of them compete unless given.

    Returns:
        A :class:`Fit`; its ``ranking`` compares the families by AICc (Burnham & Anderson, *Model Selection
        and Multimodel Inference*, §2.4).

    Raises:
        ValueError: arrays that do not fit, that are not finite or not positive, fewer points than five,
            an unknown family, or no family that describes the data.

    >>> import numpy as np, normalforms as nf
    >>> g, h = np.linspace(0.9, 1.1, 21), np.linspace(-0.1, 0.1, 16)
    >>> data = 3 * nf.amplification(nf.pitchfork())(g[:, None], h, 30).sum(axis=1)
    >>> nf.fit(g, data, horizon=30, initial=h).kind
    'pitchfork'
    """
    x, y, h = (np.asarray(v, dtype=float) for v in (parameter, amplification, initial))
    if x.ndim != 1 or x.shape != y.shape:
        raise ValueError(f"parameter and amplification must be vectors of one length, got {x.shape}, {y.shape}")
    if len(x) < 5:
        raise ValueError(f"parameter has {len(x)} values; three scales need at least 5")
    if h.ndim != 1 or len(h) == 0:
        raise ValueError(f"initial must be a vector of states, got shape {h.shape}")
    for name, values in (("parameter", x), ("amplification", y), ("initial", h)):
        if not np.all(np.isfinite(values)):
            raise ValueError(f"{name} contains NaN or infinity; drop those values")
    if np.any(y <= 0):
        raise ValueError("amplification has values that are not positive; it is a squared norm")
    known = [f.name for f in families().values() if f.fitted and not f.modulus]
    names = tuple(known) if laws is None else ((laws,) if isinstance(laws, str) else tuple(laws))
    unknown = set(names) - set(known)
    if unknown:
        raise ValueError(f"laws names {sorted(unknown)}; known are {', '.join(known)}")
    h = _quantiles(h)
    found = {name: _one(name, x, np.log(y), horizon, h) for name in names}
    found = {name: result for name, result in found.items() if result is not None}
    if not found:
        raise ValueError(f"no family among {', '.join(names)} describes the data: every orbit escapes")
    n, k = len(x), len(_NAMES) + 1
    scores = {
        name: n * np.log(max(2 * result.cost / n, 1e-300)) + 2 * k + 2 * k * (k + 1) / max(1, n - k - 1)
        for name, result in found.items()
    }
    order = sorted(scores, key=lambda name: scores[name])
    above = np.array([scores[name] - scores[order[0]] for name in order])
    weights = np.exp(-above / 2) / np.sum(np.exp(-above / 2))
    best = found[order[0]]
    precision = best.jac.T @ best.jac
    variance = 2 * best.cost / max(1, n - len(_NAMES))
    return Fit(
        kind=order[0],
        parameters={name: float(np.exp(v)) for name, v in zip(_NAMES, best.x, strict=True)},
        ranking=tuple((name, float(a), float(w)) for name, a, w in zip(order, above, weights, strict=True)),
        residual=np.asarray(best.fun),
        parameter=x,
        measured=y,
        horizon=horizon,
        initial=h,
        covariance=variance * np.linalg.pinv(precision),
    )


def _quantiles(initial: np.ndarray) -> np.ndarray:
    """At most ``_NODES`` states: means of equal shares of the sorted batch, its second moment kept."""
    if len(initial) <= _NODES:
        return initial
    parts = np.array_split(np.sort(np.abs(initial)), _NODES)
    return np.array([np.sqrt(np.mean(part**2)) for part in parts])


def _log_model(kind: str, logs: np.ndarray, x: np.ndarray, horizon: int, initial: np.ndarray) -> np.ndarray:
    a, b, c = np.exp(logs)
    law = law_of(family(kind).map())
    values = law((1 + b * (x - 1))[:, None], c * initial[None, :], horizon)
    mean = np.mean(values, axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.log(a) + np.log(mean)


def _one(kind: str, x: np.ndarray, target: np.ndarray, horizon: int, initial: np.ndarray) -> Any:
    """The best of a few starts, or ``None`` where the family's orbits escape."""

    def gap(logs: np.ndarray) -> np.ndarray:
        values = _log_model(kind, logs, x, horizon, initial)
        return np.where(np.isfinite(values), values - target, 50.0)

    best = None
    for b, c in ((1.0, 1.0), (1.2, 0.6), (0.8, 1.5)):
        start = np.array([0.0, np.log(b), np.log(c)])
        level = gap(start)
        start[0] = -np.median(level)
        result = scipy.optimize.least_squares(gap, start, x_scale=0.1, max_nfev=100)
        if best is None or result.cost < best.cost:
            best = result
    return best if best is not None and np.max(np.abs(best.fun)) < 40 else None
