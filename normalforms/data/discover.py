"""The map behind orbits: sparse regression on monomials of state and parameter."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import combinations, combinations_with_replacement
from types import MappingProxyType
from typing import Any

import numpy as np
import sympy as sp

from normalforms.families import find
from normalforms.maps import Map

__all__ = ["Candidate", "Discovery", "discover"]

_EXHAUSTIVE = 12  # so many terms or fewer: every subset is tried
_FOLDS = 5
_ROUNDING = 1e-12  # relative residual below which data count as free of noise, and what that leaves in coefficients

Array = np.ndarray


@dataclass(frozen=True)
class Candidate:
    """The best map with so many terms.

    Args:
        terms: monomials, as text.
        error: root-mean-square one-step error on orbits left out of the fit, in units of the state.
        uncertainty: standard error of ``error``.
    """

    terms: tuple[str, ...]
    error: float
    uncertainty: float


@dataclass(frozen=True)
class Discovery:
    """A map found behind orbits, with its evidence.

    Args:
        map: the map; coefficients are rational where rounding is justified, else floating-point.
        coefficients: per state variable, coefficient by monomial.
        standard_errors: the same of the fit before rounding.
        residual: root-mean-square one-step error of ``map`` on all orbits, in units of the state.
        ranking: per state variable, the best map of each size, the chosen size first.
    """

    map: Map
    coefficients: tuple[Mapping[sp.Expr, sp.Expr], ...]
    standard_errors: tuple[Mapping[sp.Expr, float], ...]
    residual: float
    ranking: tuple[tuple[Candidate, ...], ...] = field(repr=False)

    @property
    def kind(self) -> str | None:
        """Name of the family if the map is one as it stands, else ``None``; see `normalforms.reduce` for the rest."""
        steps = tuple(sp.nsimplify(step, rational=True) for step in self.map.steps)
        exact = Map(steps[0] if len(steps) == 1 else steps, self.map.state, self.map.parameter)
        found = find(exact)
        return None if found is None else found.kind


def discover(
    orbits: Any, parameter: Any, *, degree: int = 3, state: Any = "h", names: Any = None, round_to: int | None = 12
) -> Discovery:
    """The sparsest polynomial map ``h_{t+1} = Σ c_{ij} h_t^i g^j`` that explains orbits as well as any.

    Least squares on the monomials of total degree ``≤ degree``; for each number of terms the best subset; among
    these the smallest whose error on orbits left out is within one standard error of the least. A coefficient is
    rounded to a rational ``p/q`` where its confidence interval is so narrow that it would hardly contain one by
    chance (six standard errors times q² below ½). Noise in the states biases coefficients by about its
    variance over that of the states.

    Args:
        orbits: states over time, shape ``(count, time)``, or ``(count, time, n)`` for a map of R^n, or a list of
            orbits of different lengths. Steps from or to NaN or infinity are left out.
        parameter: one value per orbit, shape ``(count,)``, or ``(count, p)`` for several parameters.
        degree: highest total degree of the monomials.
        state: name of the state variable, or names with commas.
        names: name of the parameter, or names with commas; ``g`` (``beta,g`` for two) by default.
        round_to: largest denominator of a rational coefficient; ``None`` rounds nothing.

    Raises:
        ValueError: shapes that do not fit, fewer steps than twice the monomials, or orbits that do not determine
            them (one parameter value only, or states that do not move).

    Source: Brunton, Proctor & Kutz, PNAS 113 (2016) 3932, with best subsets in place of thresholds; the
    one-standard-error rule is that of Hastie, Tibshirani & Friedman, The Elements of Statistical Learning, 7.10.

    >>> import numpy as np, normalforms as nf
    >>> g = np.linspace(0.8, 1.2, 9)
    >>> law = nf.amplification(nf.pitchfork())
    >>> orbits = law.orbit(g, np.linspace(0.1, 0.5, 9), 20).h.T
    >>> rule = discover(orbits, g)
    >>> rule.map.step, rule.kind
    (g*h - h**3, 'pitchfork')
    """
    if isinstance(degree, bool) or not isinstance(degree, int) or not 1 <= degree <= 9:
        raise ValueError(f"degree = {degree!r} must be an integer from 1 to 9")
    before, after, group = _steps(orbits, parameter)
    n = after.shape[1]
    states = _symbols(state, n, "state")
    parameters = _symbols(names or ("g" if before.shape[1] == n + 1 else "beta,g"), before.shape[1] - n, "names")
    monomials = _monomials([*states, *parameters], degree)
    library = np.stack([_values(m, [*states, *parameters], before) for m in monomials], axis=1)
    _check(library, before[:, n:])
    steps, coefficients, errors, ranking, square = [], [], [], [], 0.0
    for k in range(n):
        chosen, ranked = _select(library, after[:, k], group, [str(m) for m in monomials])
        values, spread = _least_squares(library[:, chosen], after[:, k])
        exact = [_rounded(c, s, round_to) for c, s in zip(values, spread, strict=True)]
        fit = library[:, chosen] @ np.array([float(c) for c in exact])
        square += float(np.mean((fit - after[:, k]) ** 2))
        kept = [monomials[i] for i in chosen]
        steps.append(sp.Add(*(c * m for c, m in zip(exact, kept, strict=True))))
        coefficients.append(MappingProxyType(dict(zip(kept, exact, strict=True))))
        errors.append(MappingProxyType(dict(zip(kept, map(float, spread), strict=True))))
        ranking.append(ranked)
    step, who = (steps[0], states[0]) if n == 1 else (tuple(steps), tuple(states))
    found = Map(step, who, parameters[0] if len(parameters) == 1 else tuple(parameters))
    return Discovery(found, tuple(coefficients), tuple(errors), square**0.5, tuple(ranking))


def _steps(orbits: Any, parameter: Any) -> tuple[Array, Array, Array]:
    """``(h_t, g)``, ``h_{t+1}`` and the orbit's index, one row per step."""
    runs = [np.asarray(run, dtype=float) for run in orbits]
    values = np.asarray(parameter, dtype=float)
    values = values[:, None] if values.ndim == 1 else values
    if values.ndim != 2 or len(values) != len(runs):
        raise ValueError(f"parameter has shape {np.shape(parameter)} for {len(runs)} orbits; give one value per orbit")
    if not np.all(np.isfinite(values)):
        raise ValueError("parameter contains NaN or infinity; give finite numbers")
    runs = [run[:, None] if run.ndim == 1 else run for run in runs]
    if not runs or any(run.ndim != 2 or run.shape[1] != runs[0].shape[1] or len(run) < 2 for run in runs):
        raise ValueError("orbits must have shape (count, time) or (count, time, n) with at least two times each")
    pairs = zip(runs, values, strict=True)
    before = np.concatenate([np.hstack([r[:-1], np.tile(v, (len(r) - 1, 1))]) for r, v in pairs])
    after = np.concatenate([run[1:] for run in runs])
    group = np.concatenate([np.full(len(run) - 1, i) for i, run in enumerate(runs)])
    fine = np.all(np.isfinite(before), axis=1) & np.all(np.isfinite(after), axis=1)
    return before[fine], after[fine], group[fine]


def _symbols(text: Any, count: int, what: str) -> list[sp.Symbol]:
    names = [name.strip() for name in text.split(",")] if isinstance(text, str) else list(text)
    if len(names) == 1 and count > 1:
        names = [f"{names[0]}{i + 1}" for i in range(count)]
    if len(names) != count or not all(name.isidentifier() for name in names):
        raise ValueError(f"{what} = {text!r} must give {count} names, with commas between them")
    return [sp.Symbol(name, real=True) for name in names]


def _monomials(symbols: Sequence[sp.Symbol], degree: int) -> list[sp.Expr]:
    return [sp.Mul(*c) for d in range(degree + 1) for c in combinations_with_replacement(symbols, d)]


def _values(monomial: sp.Expr, symbols: Sequence[sp.Symbol], rows: Array) -> Array:
    powers = monomial.as_powers_dict()
    return np.prod([rows[:, i] ** int(powers.get(s, 0)) for i, s in enumerate(symbols)], axis=0)


def _check(library: Array, parameters: Array) -> None:
    count, terms = library.shape
    if count < 2 * terms:
        raise ValueError(f"{count} steps for {terms} monomials; give at least {2 * terms}, or a lower degree")
    for i in range(parameters.shape[1]):
        if np.ptp(parameters[:, i]) == 0:
            raise ValueError(f"parameter {i + 1} has one value, {parameters[0, i]:g}; give orbits at several")
    scaled = library / np.maximum(np.linalg.norm(library, axis=0), 1e-300)
    if np.linalg.matrix_rank(scaled, tol=1e-11) < terms:
        raise ValueError(
            f"the orbits do not tell the {terms} monomials apart; give more initial states and parameter values,"
            " orbits that move, or a lower degree"
        )


# --- the choice of terms --------------------------------------------------------------------------------------


def _select(library: Array, target: Array, group: Array, names: list[str]) -> tuple[list[int], tuple[Candidate, ...]]:
    """The terms of the smallest map that is as good as the best, and the best map of each size."""
    best = _best_subsets(library, target)
    scale = float(np.sqrt(np.mean(target**2))) or 1.0
    found = []
    for subset in best:
        error, uncertainty = _left_out(library[:, subset], target, group)
        found.append((subset, max(error, _ROUNDING * scale), uncertainty))
    _, least, slack = min(found, key=lambda f: f[1])
    chosen = next(f for f in found if f[1] <= max(least + slack, 3 * _ROUNDING * scale))
    order = [chosen, *(f for f in found if f is not chosen)]
    return chosen[0], tuple(Candidate(tuple(names[i] for i in s), e, u) for s, e, u in order)


def _best_subsets(library: Array, target: Array) -> list[list[int]]:
    """For each size the subset of least squared residual; above `_EXHAUSTIVE` terms by elimination one by one."""
    norms = np.linalg.norm(library, axis=0)
    q, r = np.linalg.qr(library / norms)
    projected = q.T @ target
    kept, large = list(range(library.shape[1])), []
    while len(kept) > _EXHAUSTIVE:
        large.append(list(kept))
        kept.remove(min(kept, key=lambda i: _misfit(r, projected, [j for j in kept if j != i])))
    sizes = range(1, len(kept) + 1)
    small = [list(min(combinations(kept, k), key=lambda s: _misfit(r, projected, s))) for k in sizes]
    return [*small, *reversed(large)]


def _misfit(r: Array, projected: Array, subset: Iterable[int]) -> float:
    columns = r[:, list(subset)]
    q = np.linalg.qr(columns)[0]
    return float(np.sum((projected - q @ (q.T @ projected)) ** 2))


def _left_out(columns: Array, target: Array, group: Array) -> tuple[float, float]:
    """Root-mean-square error on orbits left out of the fit, and its standard error over the folds."""
    labels = np.unique(group)
    fold = np.searchsorted(labels, group) % min(_FOLDS, len(labels))
    squares = []
    for i in np.unique(fold):
        out = fold == i
        if np.sum(~out) < columns.shape[1]:
            return np.inf, np.inf
        values, _ = _least_squares(columns[~out], target[~out])
        squares.append(np.mean((columns[out] @ values - target[out]) ** 2))
    mean = float(np.mean(squares))
    spread = float(np.std(squares) / len(squares) ** 0.5)
    return mean**0.5, spread / (2 * max(mean, 1e-300) ** 0.5)


def _least_squares(columns: Array, target: Array) -> tuple[Array, Array]:
    """Coefficients and their standard errors."""
    norms = np.maximum(np.linalg.norm(columns, axis=0), 1e-300)
    q, r = np.linalg.qr(columns / norms)
    values = np.linalg.solve(r, q.T @ target)
    freedom = max(1, len(target) - columns.shape[1])
    noise = np.sum((columns / norms @ values - target) ** 2) / freedom
    inverse = np.linalg.inv(r)
    return values / norms, np.sqrt(noise * np.sum(inverse**2, axis=1)) / norms


def _rounded(value: float, error: float, largest: int | None) -> sp.Expr:
    """The simplest rational within three standard errors, where it is hardly there by chance."""
    reach = 3 * max(float(error), _ROUNDING * abs(value))
    for q in range(1, (largest or 0) + 1):
        near = Fraction(round(value * q), q)
        if near and abs(value - near) <= reach and 2 * reach * q**2 < 0.5:
            return sp.Rational(near.numerator, near.denominator)
    return sp.Float(float(value), 17)
