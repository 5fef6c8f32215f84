"""The map behind orbits: monomials of state and parameter chosen and fitted by the likelihood of the noise there is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
import scipy.stats
import sympy as sp

from normalforms.data.orbits.library import Library, monomials
from normalforms.data.orbits.regression import Regression
from normalforms.data.orbits.rounding import rational_within
from normalforms.data.orbits.search import Found, along_orbits, filtered, step_by_step
from normalforms.data.orbits.selection import criterion
from normalforms.data.orbits.shooting import Estimate
from normalforms.families import find
from normalforms.maps import Map

__all__ = ["Discovery", "Rival", "discover"]

Array = np.ndarray
Noise = Literal["process", "measurement", "both"]
_MODES = {"process": step_by_step, "measurement": along_orbits, "both": filtered}
_BETRAYED = 4.0  # standard errors at which residuals betray noise of measurement


@dataclass(frozen=True)
class Rival:
    """The best map with so many terms.

    Attributes:
        terms: monomials by state variable, as text.
        behind: by how much its information criterion exceeds that of the chosen map.
        noise: size of the noise that it leaves, in units of the state.
    """

    terms: tuple[tuple[str, ...], ...]
    behind: float
    noise: float


@dataclass(frozen=True)
class Discovery:
    """A map found behind orbits, with its evidence.

    Attributes:
        map: the map; coefficients are rational where rounding is justified, the others fitted with these held.
        coefficients: per state variable, coefficient by monomial.
        standard_errors: the same of the fit with all coefficients free.
        residual: size of the noise, in units of the state: of a step, or of a measurement.
        status: what the data say, in words; begins with "found", or with "biased" where the noise is of another kind
            than was said.
        ranking: the best map of each size that was tried, the chosen one first.
        length: steps over which orbits were followed; 1 where only steps were compared.
    """

    map: Map
    coefficients: tuple[Mapping[sp.Expr, sp.Expr], ...]
    standard_errors: tuple[Mapping[sp.Expr, float], ...]
    residual: float
    status: str
    ranking: tuple[Rival, ...] = field(repr=False)
    length: int = field(repr=False)
    printed: Estimate = field(repr=False)
    terms: tuple[sp.Expr, ...] = field(repr=False)

    @property
    def kind(self) -> str | None:
        """Name of the family if the map is one as it stands, else ``None``; see `normalforms.reduce` for the rest."""
        steps = tuple(sp.nsimplify(step, rational=True) for step in self.map.steps)
        exact = Map(steps[0] if len(steps) == 1 else steps, self.map.state, self.map.parameter)
        found = find(exact)
        return None if found is None else found.kind

    def interval(self, level: float = 0.95) -> tuple[Mapping[sp.Expr, tuple[float, float]], ...]:
        """Confidence intervals of the printed map's coefficients, per state variable and monomial.

        Those that were rounded are exact in this map: both ends are the rational number. The others have the spread of
        the fit with these held.

        Raises:
            ValueError: ``level`` is not between 0 and 1.
        """
        if not 0 < level < 1:
            raise ValueError(f"level must lie between 0 and 1, got {level!r}")
        reach = float(scipy.stats.norm.ppf((1 + level) / 2))
        spread = np.zeros(self.printed.theta.shape)
        spread[self.printed.active] = np.sqrt(np.maximum(np.diag(self.printed.covariance), 0.0))
        found = []
        for i, row in enumerate(self.coefficients):
            ends = {}
            for monomial, value in row.items():
                d = reach * spread[i, self.terms.index(monomial)]
                ends[monomial] = (float(value) - d, float(value) + d)
            found.append(MappingProxyType(ends))
        return tuple(found)


def discover(
    orbits: Any,
    parameter: Any = None,
    *,
    noise: Noise = "process",
    degree: int = 3,
    state: Any = "h",
    names: Any = None,
    round_to: int | None = 12,
) -> Discovery:
    """The sparsest polynomial map ``h_{t+1} = Σ_k θ_k φ_k(h_t, u_t)`` behind orbits, by the likelihood of their noise.

    ``φ_k`` are the monomials of total degree ``≤ degree`` in states and parameters. With noise in the dynamics
    (``"process"``) steps are compared, ``Σ ‖h_{t+1} − f(h_t)‖²``. With noise of measurement the orbit itself is
    followed, ``min_{h_0} Σ_t ‖y_t − f^t(h_0)‖²``, in pieces where it is too sensitive; comparing steps would bias the
    coefficients by about the noise's variance over that of the states. With ``"both"`` an extended Kalman filter's
    innovations are weighed, the ratio of the noises estimated. Terms of all equations leave together, by an extended
    Bayesian information criterion, and exchanges guard against terms that stand in for others. A coefficient is
    rounded to ``p/q`` where its interval is so narrow that it would hardly hold one by chance, and the rest is then
    fitted again.

    Args:
        orbits: states over time, shape ``(count, time)``, or ``(count, time, n)`` for a map of R^n, or a list of
            orbits of different lengths. NaN and infinity count as not measured.
        parameter: ``None``; one value per orbit, shape ``(count,)``, or ``(count, p)`` for several; or controls that
            change in time, shape ``(count, time)`` or ``(count, time, p)``, of which the value at t acts on the
            step from t. A parameter with one value for all orbits is no monomial: its effect cannot be told.
        noise: ``"process"``, ``"measurement"`` or ``"both"``.
        degree: highest total degree of the monomials.
        state: name of the state variable, or names with commas.
        names: name of the parameter, or names with commas; ``g`` (``beta,g`` for two) by default.
        round_to: largest denominator of a rational coefficient; ``None`` rounds nothing.

    Raises:
        ValueError: shapes that do not fit, fewer steps than twice the monomials, or orbits that do not determine
            them (states that do not move, say).

    Source: Brunton, Proctor & Kutz, PNAS 113 (2016) 3932, for the library; Chen & Chen, Biometrika 95 (2008) 759, for
    the criterion; Bock, in *Modelling of Chemical Reaction Systems* (1981), for following orbits in pieces.

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
    if noise not in _MODES:
        raise ValueError(f"noise = {noise!r}; known are {', '.join(_MODES)}")
    states_given = _padded(orbits)
    controls = _controls(parameter, states_given)
    n, p = states_given.shape[2], controls.shape[2]
    states = _symbols(state, n, "state")
    parameters = _symbols(names or ("beta,g" if p == 2 else "g"), max(p, 1), "names")
    moving = [j for j in range(p) if np.nanmax(controls[:, :, j]) > np.nanmin(controls[:, :, j])]
    library = Library(
        tuple(monomials([*states, *(parameters[j] for j in moving)], degree)),
        tuple(states),
        tuple(parameters[j] for j in moving),
        controls[:, :, moving],
    )
    _check(library, states_given)
    found = _MODES[noise](library, states_given)
    return _told(found, library, states, parameters, noise, round_to, states_given, len(moving) < p)


def _told(
    found: Found,
    library: Library,
    states: list[sp.Symbol],
    parameters: list[sp.Symbol],
    noise: str,
    round_to: int | None,
    orbits: Array,
    fixed: bool,
) -> Discovery:
    """The chosen map rounded where that is justified, fitted again, and put into words."""
    best, terms = found.best, library.terms
    steps = found.problem if isinstance(found.problem, Regression) else None
    size, sure, bias = steps.attenuation(best) if steps is not None else (0.0, 0.0, np.zeros_like(best.theta))
    betrayed = sure > _BETRAYED and size > 0.02 * best.variance
    error = np.zeros_like(best.theta)
    error[best.active] = np.sqrt(np.maximum(np.diag(best.covariance), 0.0))
    exact: dict[tuple[int, int], Any] = {}
    for i, k in zip(*np.nonzero(best.active), strict=True):
        near = rational_within(best.theta[i, k], error[i, k], bias[i, k] if betrayed else 0.0, round_to)
        if near is not None:
            exact[int(i), int(k)] = near
    printed = _held(found, exact)
    coefficients, errors, formulas = [], [], []
    for i in range(len(states)):
        row = {terms[k]: _number(exact.get((i, int(k))), printed.theta[i, k]) for k in np.flatnonzero(best.active[i])}
        coefficients.append(MappingProxyType(row))
        errors.append(MappingProxyType({terms[k]: float(error[i, k]) for k in np.flatnonzero(best.active[i])}))
        formulas.append(sp.Add(*(c * m for m, c in row.items())))
    step, who = (formulas[0], states[0]) if len(states) == 1 else (tuple(formulas), tuple(states))
    what = Map(step, who, parameters[0] if len(parameters) == 1 else tuple(parameters))
    return Discovery(
        what,
        tuple(coefficients),
        tuple(errors),
        float(np.sqrt(printed.variance)),
        _status(noise, betrayed, size, bias, error, fixed, found, orbits),
        _ranking(found, terms),
        found.length,
        printed,
        terms,
    )


def _held(found: Found, exact: Mapping[tuple[int, int], Any]) -> Estimate:
    """The fit with the rounded coefficients held at their rational values."""
    best, problem = found.best, found.problem
    if not exact:
        return best
    theta, free = best.theta.copy(), best.active.copy()
    shift = np.zeros(int(best.active.sum()))
    order = {pair: j for j, pair in enumerate(zip(*map(list, np.nonzero(best.active)), strict=True))}
    held = [order[pair] for pair in exact]
    kept = [j for j in range(len(shift)) if j not in held]
    for pair, value in exact.items():
        shift[order[pair]] = float(value) - theta[pair]
        theta[pair], free[pair] = float(value), False
    if kept:  # one step of the joint fit: the rounding is within its errors
        part = best.information[np.ix_(kept, kept)]
        theta[free] -= np.linalg.lstsq(part, best.information[np.ix_(kept, held)] @ shift[held], rcond=None)[0]
    if isinstance(problem, Regression):
        variance = float(np.mean((problem.after - problem.phi @ theta.T) ** 2)) * problem.points
        variance /= max(1, problem.points - len(kept))
    else:
        variance = best.variance
    information = best.information[np.ix_(kept, kept)]
    return Estimate(theta, free, best.deviance, information, variance, best.extra)


def _number(exact: Any, value: float) -> sp.Expr:
    return sp.Float(float(value), 17) if exact is None else sp.Rational(exact.numerator, exact.denominator)


def _status(
    noise: str, betrayed: bool, size: float, bias: Array, error: Array, fixed: bool, found: Found, orbits: Array
) -> str:
    text = "found"
    if betrayed and np.any(np.abs(bias) > 0.5 * np.maximum(error, 1e-300)):
        text = (
            f"biased: neighbouring residuals are anticorrelated as by noise of measurement of size {np.sqrt(size):.2g},"
            ' which biases coefficients; say noise="measurement" or noise="both"'
        )
    elif noise == "measurement" and found.length < orbits.shape[1] - 1:
        text += (
            f"; orbits were followed for {found.length} steps at a time: they are sensitive, or the dynamics has noise"
        )
    if fixed:
        text += "; a parameter has one value only, so its effect cannot be told"
    return text


def _ranking(found: Found, terms: tuple[sp.Expr, ...]) -> tuple[Rival, ...]:
    total = found.best.active.size
    score = lambda e: criterion(e, found.problem.points, total)  # noqa: E731
    order = [found.best, *(e for e in found.rivals if not np.array_equal(e.active, found.best.active))]
    return tuple(
        Rival(
            tuple(tuple(str(terms[k]) for k in np.flatnonzero(row)) for row in e.active),
            float(score(e) - score(found.best)) if np.isfinite(e.deviance) else float("inf"),
            float(np.sqrt(e.variance)),
        )
        for e in order
    )


# --- the data -------------------------------------------------------------------------------------------------


def _padded(orbits: Any) -> Array:
    """Orbits of one length, shape (count, time, n); what was not measured is NaN."""
    try:
        runs = [np.asarray(run, dtype=float) for run in orbits]
    except (TypeError, ValueError):
        raise ValueError("orbits must be arrays of numbers, one for each orbit") from None
    runs = [run[:, None] if run.ndim == 1 else run for run in runs]
    if not runs or any(run.ndim != 2 or run.shape[1] != runs[0].shape[1] or len(run) < 2 for run in runs):
        raise ValueError("orbits must have shape (count, time) or (count, time, n) with at least two times each")
    whole = np.full((len(runs), max(map(len, runs)), runs[0].shape[1]), np.nan)
    for i, run in enumerate(runs):
        whole[i, : len(run)] = run
    whole[~np.isfinite(whole)] = np.nan
    return whole


def _controls(parameter: Any, orbits: Array) -> Array:
    """Parameters at every step, shape (count, steps or 1, p)."""
    count, times = orbits.shape[:2]
    if parameter is None:
        return np.zeros((count, 1, 0))
    values = np.asarray(parameter, dtype=float)
    if values.ndim == 1 and len(values) == count:
        values = values[:, None, None]
    elif values.ndim == 2 and len(values) == count:
        steady = values.shape[1] not in (times, times - 1)
        values = values[:, None, :] if steady else values[:, : times - 1, None]
    elif values.ndim == 3 and len(values) == count and values.shape[1] in (times, times - 1):
        values = values[:, : times - 1]
    else:
        raise ValueError(
            f"parameter has shape {values.shape} for {count} orbits of {times} times; give one value per orbit, or one"
            " per orbit and time"
        )
    if not np.all(np.isfinite(values)):
        raise ValueError("parameter contains NaN or infinity; give finite numbers")
    return values


def _symbols(text: Any, count: int, what: str) -> list[sp.Symbol]:
    names = [name.strip() for name in text.split(",")] if isinstance(text, str) else list(text)
    if len(names) == 1 and count > 1:
        names = [f"{names[0]}{i + 1}" for i in range(count)]
    if len(names) != count or not all(name.isidentifier() for name in names):
        raise ValueError(f"{what} = {text!r} must give {count} names, with commas between them")
    return [sp.Symbol(name, real=True) for name in names]


def _check(library: Library, orbits: Array) -> None:
    problem, terms = Regression(library, orbits), len(library.terms)
    count = len(problem.phi)
    if count < 2 * terms:
        raise ValueError(f"{count} steps for {terms} monomials; give at least {2 * terms}, or a lower degree")
    scaled = problem.phi / np.maximum(np.linalg.norm(problem.phi, axis=0), 1e-300)
    if np.linalg.matrix_rank(scaled, tol=1e-11) < terms:
        raise ValueError(
            f"the orbits do not tell the {terms} monomials apart; give more initial states and parameter values,"
            " orbits that move, or a lower degree"
        )
