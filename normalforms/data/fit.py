"""Amplification laws fitted to data, and the families' competition for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import sympy as sp

from normalforms.data.agreement import Agreement, compare
from normalforms.data.candidates import Candidate, candidates
from normalforms.data.competition import Contender, Opening, opened, refined
from normalforms.data.evidence import evidence, null_evidence, score
from normalforms.data.goodness import Goodness, goodness, neighbours
from normalforms.data.measurement import Measurement, measured
from normalforms.data.profile import Combination, bootstrap_intervals, combinations, profile_intervals
from normalforms.data.verdict import verdict

__all__ = ["Fit", "fit"]

_LEVEL = 0.9
_SUSPECT = 0.05  # p-value below which laws with many minima are searched again
_PLAUSIBLE = 0.003  # odds below which a class is left out of the reported set


@dataclass(frozen=True)
class Fit:
    """A law fitted to measured amplifications: ``y = a Σ_i A_T(g_c + b (x − x*), c h_i)``.

    Attributes:
        kind: the best family, or ``None`` where `status` says that the data name none.
        status: what the data say, in words; begins with "fits", "misfit", "no law" or "not told apart".
        parameters: ``amplitude`` a (of the sum over the initial states), ``parameter_scale`` b, ``state_scale`` c, and
            what else was free: ``critical`` x*, further parameters of the map, exponents.
        classes: odds by class of law; families of one class have one law (pitchfork, odd period doubling and
            Neimark–Sacker with real d are "cubic").
        ranking: (family, −2 ln evidence above the best, odds), best first; the odds of a class are shared equally
            by its families, and laws that cannot fit at all are left out.
        residual: ``ln(predicted / measured)``, shape (count,).
        goodness: size and correlation of the residuals, and their p-value.
        parameter, measured: the data.
        agreement: the fit beside a prediction, where one came with the data.
    """

    kind: str | None
    status: str
    parameters: Mapping[str, float]
    classes: Mapping[str, float]
    ranking: tuple[tuple[str, float, float], ...]
    residual: np.ndarray
    goodness: Goodness
    parameter: np.ndarray = field(repr=False)
    measured: np.ndarray = field(repr=False)
    data: Measurement = field(repr=False)
    contender: Contender = field(repr=False)
    agreement: Agreement | None = field(default=None, repr=False)

    @property
    def best(self) -> str:
        """The family of the greatest evidence, whatever `status` says of it."""
        return self.contender.candidate.name

    @property
    def law_class(self) -> str:
        """The class of `best`."""
        return self.contender.candidate.law_class

    @property
    def plausible(self) -> tuple[str, ...]:
        """The classes with odds above 0.3 %, best first: the set in which the truth is to be looked for."""
        order = sorted(self.classes, key=lambda k: -self.classes[k])
        return tuple(k for k in order if self.classes[k] > _PLAUSIBLE)

    @property
    def ambiguous(self) -> tuple[str, ...]:
        """Families that the data do not tell from the best one: evidence within a factor e of it."""
        return tuple(name for name, above, _ in self.ranking[1:] if above < 2)

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader may want to know about the data."""
        return self.data.notes

    @property
    def horizon(self) -> Any:
        """T, in steps; one number, or one for each point."""
        h = self.data.horizon
        return int(h[0]) if np.all(h == h[0]) else h

    @property
    def r2(self) -> float:
        """``1 − Σ(measured − predicted)² / Σ(measured − mean)²``."""
        gap = self.measured - self._model()
        return float(1 - np.sum(gap**2) / np.sum((self.measured - self.measured.mean()) ** 2))

    @property
    def max_relative_error(self) -> float:
        """``max |predicted / measured − 1|``."""
        return float(np.max(np.abs(self._model() / self.measured - 1)))

    @property
    def coefficients(self) -> dict[str, float]:
        """The normal form that the scales amount to, in the units of parameter and states.

        ``u' = … `` with ``c_k c^{k−1}`` for the law's ``c_k h^k``: ``dlambda`` (slope of the multiplier, ±b), ``c2``,
        ``c3`` where the law has them, ``c0 = b/c`` where the parameter is a force, and ``gain = a c²/b²``, which is 1
        where amplification, parameter and states are measured in the law's own units.
        """
        p, m = self.parameters, self.contender.candidate.map
        a, b, c = p["amplitude"], p["parameter_scale"], p["state_scale"]
        found: dict[str, float] = {"gain": a * c**2 / b**2}
        if m.dimension > 1 or not m.critical:
            return found
        h, g = m.states[0], m.parameters[-1]
        at = {s: m.critical[s] for s in (h, *m.parameters)}
        slope = float(m.steps[0].diff(h, g).subs(at))
        force = float(m.steps[0].diff(g).subs(at))
        found |= {"dlambda": slope * b} if slope else {}
        found |= {"c0": force * b / c} if force else {}
        for k in (2, 3):
            value = float(m.steps[0].diff(h, k).subs(at)) / float(sp.factorial(k))
            found |= {f"c{k}": value * c ** (k - 1)} if value else {}
        return found

    @property
    def identified(self) -> tuple[Combination, ...]:
        """Products of the scales that the data fix (at 90 %) where they do not fix the scales themselves.

        Empty where every scale has an interval narrower than a factor two either way.
        """
        ends = self.interval(_LEVEL)
        loose = [
            n
            for n in ("amplitude", "parameter_scale", "state_scale")
            if not (ends[n][0] > 0 and np.log(ends[n][1] / ends[n][0]) < 1.4)
        ]
        return tuple(combinations(self.contender, loose, _LEVEL, self.goodness.inflation))

    def predict(self, parameter: Any, horizon: Any = None) -> np.ndarray:
        """The fitted amplification at other parameter values, shape (count,).

        Args:
            parameter: x, shape (count,).
            horizon: T, one number or one for each x; the data's if they have one.

        Raises:
            ValueError: data of several horizons, or of a batch for each point, and no choice of one.
        """
        x = np.atleast_1d(np.asarray(parameter, dtype=float))
        own = x.shape == self.parameter.shape and np.array_equal(x, self.parameter) and horizon is None
        if own:
            return self._model()
        if horizon is None and np.ndim(self.horizon):
            raise ValueError("the data have several horizons; say predict(parameter, horizon=…)")
        steps = self.horizon if horizon is None else horizon
        return self.contender_at(x, steps)

    def contender_at(self, x: np.ndarray, horizon: Any) -> np.ndarray:
        """The law at the fitted parameters, at other points."""
        c, d = self.contender, self.data
        if d.initial.ndim > c.candidate.map.dimension - (c.candidate.map.dimension == 1) + 1:
            raise ValueError("each point has a batch of its own; predictions need one batch for all")
        steps = np.broadcast_to(np.asarray(horizon, dtype=int), x.shape)
        moved = Measurement(x, np.ones_like(x), steps, d.initial, np.ones_like(x), d.critical, d.noise)
        phi = c.phi.copy()
        extra = len(c.candidate.map.parameters) - 1
        e = phi[4 + extra :]
        shift = np.mean(np.log(steps)) - np.mean(np.log(d.horizon))
        phi[:3] += e * shift  # the exponents' own reference is the mean horizon
        objective = type(c.objective)(
            c.candidate.map, moved.design(c.candidate, None), x, np.zeros(len(x)), np.ones(len(x))
        )
        return np.exp(objective.log_model(phi[None], slopes=False)[0][:, 0])

    def _model(self) -> np.ndarray:
        return np.exp(self.contender.objective.log_model(self.contender.phi[None], slopes=False)[0][:, 0])

    def interval(self, level: float = 0.95) -> dict[str, tuple[float, float]]:
        """Confidence intervals at ``level``, from the profile likelihood; ``0`` and ``inf`` where unbounded.

        With ``noise="bootstrap"`` from a bootstrap of blocks of residuals. Where residuals are correlated the
        threshold is raised by what that does to a variance (`Goodness.inflation`).

        Raises:
            ValueError: ``level`` is not between 0 and 1.
        """
        if not 0 < level < 1:
            raise ValueError(f"level must lie between 0 and 1, got {level!r}")
        c = self.contender
        index = {n: c.names.index(n) for n in self.parameters}
        directions = [np.eye(len(c.phi))[i] for i in index.values()]
        if self.data.noise == "bootstrap":
            pairs = neighbours(self.data.parameter, self.data.horizon)
            ends = bootstrap_intervals(c, directions, level, self.goodness.autocorrelation, pairs)
        else:
            ends = profile_intervals(c, directions, level, self.goodness.inflation)
        scale = lambda i, v: float(np.exp(v)) if i < 3 else float(v)  # noqa: E731
        return {n: (scale(i, low), scale(i, high)) for (n, i), (low, high) in zip(index.items(), ends, strict=True)}

    def against(self, prediction: Any, level: float = 0.95) -> Agreement:
        """The fit beside a prediction: scales with their intervals, curves with their errors, and a verdict.

        Args:
            prediction: numbers by parameter name, a curve at the data's points, or curves by name; a mapping may hold
                both, and anything with ``rungs`` (curves by name) counts as that.
            level: of the intervals.
        """
        return compare(self, prediction, level, fit)

    def plot(self, axes: Any = None) -> Any:
        """Data and law with residuals below; several horizons as the collapse on one scaling function.

        Returns:
            The matplotlib figure.
        """
        # Matplotlib takes a second to load
        from normalforms.data.plots import draw

        return draw(self, axes)

    def __str__(self) -> str:
        odds = ", ".join(f"{k} {v:.1%}" for k, v in sorted(self.classes.items(), key=lambda p: -p[1]))
        scales = ", ".join(f"{k} = {v:.6g}" for k, v in self.parameters.items())
        said = f"\n{self.agreement}" if self.agreement is not None else ""
        return f"{self.status}\nodds: {odds}\n{scales}{said}"


def fit(
    parameter: Any,
    amplification: Any,
    *,
    horizon: Any,
    initial: Any,
    laws: Any = None,
    critical: Any = 1.0,
    noise: Any = "multiplicative",
    weights: Any = None,
    exponents: bool = False,
) -> Fit:
    """Fit ``a Σ_i A_T(g_c + b (x − x*), c h_i)`` to measured amplifications; laws compete by their evidence.

    Args:
        parameter: x, shape (count,), in any unit that grows with the law's parameter.
        amplification: measured sums over the initial states, shape (count,).
        horizon: T, in steps, or one for each point: several horizons are fitted jointly (collapse).
        initial: initial states h_i as deviations from the critical state, signed, any number: shape (batch,), or
            (count, batch) where each point has its own; for maps of R^n a last axis of length n.
        laws: a family's name, a `Map`, or several of them; all families compete unless given. A map's last parameter
            moves; further ones are constants that are fitted too (the cusp's β, say).
        critical: x*, or ``"free"``.
        noise: ``"multiplicative"`` (least squares on logarithms), ``"additive"``, or ``"bootstrap"`` (as the first,
            with intervals from a bootstrap of blocks of residuals).
        weights: relative weights of the squared residuals, shape (count,).
        exponents: also fit by how much the exponents of T in a, b and c differ from the law's own.

    Returns:
        A `Fit`. Odds are with equal prior odds of the classes, and scales that are a priori such that the window shows
        the transition (`normalforms.data.evidence.evidence`).

    Raises:
        ValueError: arrays that do not fit, that are not finite or not positive, fewer points than five, one parameter
            value, states that are all zero, an unknown law, or no law that describes the data.

    Source: Kass & Raftery, J. Am. Stat. Assoc. 90 (1995) 773 (evidence); Bates & Watts, *Nonlinear Regression* (1988).

    >>> import numpy as np, normalforms as nf
    >>> g, h = np.linspace(0.9, 1.1, 21), np.linspace(-0.1, 0.1, 16)
    >>> data = 3 * nf.amplification(nf.pitchfork())(g[:, None], h, 30).sum(axis=1)
    >>> found = nf.fit(g, data, horizon=30, initial=h)
    >>> found.kind, round(found.parameters["amplitude"], 6)
    ('pitchfork', 3.0)
    """
    data = measured(parameter, amplification, horizon, initial, critical, weights, noise)
    given = candidates(laws)
    if exponents and len(np.unique(data.horizon)) < 2:
        raise ValueError("exponents=True needs several horizons; give horizon as an array with at least two values")
    pairs = neighbours(data.parameter, data.horizon)
    found = _competed(given, data, exponents)
    if not found:
        raise ValueError(
            f"no law among {', '.join(c.name for c in given)} describes the data: every orbit escapes, or none moves;"
            " give the initial states in the law's orientation and the parameter so that it grows with the law's"
        )
    least = min(found.values(), key=lambda c: c.cost)
    quality = _quality(least, data, pairs)
    if quality.p_value < _SUSPECT:
        found |= _searched_again(found, data, exponents)
        least = min(found.values(), key=lambda c: c.cost)
        quality = _quality(least, data, pairs)
    points = max(data.count / quality.inflation, len(least.free) + 2.0)
    scores = {k: score(c, data, points, least.cost) for k, c in found.items()}
    top = max(scores, key=lambda k: scores[k])
    best = found[top]
    ahead = evidence(best, data, data.count) - null_evidence(data, data.count)
    quality = _quality(best, data, pairs)
    odds = {k: float(np.exp(v - scores[top])) for k, v in scores.items()}
    whole = sum(odds.values())
    odds = {k: odds[k] / whole for k in sorted(odds, key=lambda k: -odds[k])}
    members = {k: [c.name for c in given if c.law_class == k] for k in odds}
    ranking = sorted(
        ((n, 2 * (scores[top] - scores[k]), odds[k] / len(members[k])) for k in odds for n in members[k]),
        key=lambda row: row[1],
    )
    kind, status = verdict(best, data, odds, quality, ahead, len(found) > 1)
    model = best.objective.log_model(best.phi[None], slopes=False)[0][:, 0]
    with np.errstate(all="ignore"):
        residual = np.where(data.amplification > 0, model - np.log(np.abs(data.amplification)), np.nan)
    return Fit(
        kind=kind,
        status=status,
        parameters=_parameters(best, exponents, data),
        classes=odds,
        ranking=tuple(ranking),
        residual=residual,
        goodness=quality,
        parameter=data.parameter,
        measured=data.amplification,
        data=data,
        contender=best,
    )


def _competed(given: list[Candidate], data: Measurement, exponents: bool) -> dict[str, Contender]:
    """The optimum of one law of each class; laws that cannot fit are left at their first trials."""
    openings: dict[str, Opening] = {}
    for candidate in given:
        if candidate.law_class not in openings:
            result = opened(candidate, data, exponents, [o.contender for o in openings.values()])
            if result is not None:
                openings[candidate.law_class] = result
    found: dict[str, Contender] = {}
    least = np.inf
    for name, opening in sorted(openings.items(), key=lambda item: item[1].contender.cost):
        result = opening.contender if opening.hopeless(least) else refined(opening, data)
        if result is not None:
            found[name], least = result, min(least, result.cost)
    return found


def _searched_again(found: dict[str, Contender], data: Measurement, exponents: bool) -> dict[str, Contender]:
    """Better optima of laws with a further parameter, whose sums of squares have many minima."""
    better = {}
    for name, contender in found.items():
        if len(contender.candidate.map.parameters) == 2:
            opening = opened(contender.candidate, data, exponents, thorough=True)
            result = None if opening is None else refined(opening, data)
            if result is not None and result.cost < contender.cost:
                better[name] = result
    return better


def _parameters(best: Contender, exponents: bool, data: Measurement) -> dict[str, float]:
    names, extra = best.names, len(best.candidate.map.parameters) - 1
    shown = [0, 1, 2] + ([3] if data.critical is None else []) + list(range(4, 4 + extra))
    shown += list(range(len(names) - 3, len(names))) if exponents else []
    return {names[i]: float(np.exp(best.phi[i]) if i < 3 else best.phi[i]) for i in shown}


def _quality(c: Contender, data: Measurement, pairs: tuple[np.ndarray, np.ndarray]) -> Goodness:
    target, w = c.objective.target, c.objective.weight
    mean = np.sum(w**2 * target) / np.sum(w**2)
    return goodness(c.residual, c.jacobian, float(np.sum((w * (target - mean)) ** 2)), pairs, 1e-20 * data.count)
