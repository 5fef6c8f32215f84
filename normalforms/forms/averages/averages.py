"""Amplification laws averaged over initial states: by moments where the law is a polynomial, else by quadrature."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import sympy as sp

from normalforms.forms.averages.distribution import Distribution, Empirical, Normal, Uniform
from normalforms.forms.series import Law, exact_formula, rotates, series_formula
from normalforms.formulas import Domain, DomainWarning, Formula, check_horizon, check_real, symbols
from normalforms.maps import Map

__all__ = ["AveragedFormula", "AveragedLaw", "Estimate", "integrate"]

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(16)
_LEVELS = 40


@dataclass(frozen=True)
class Estimate:
    """A mean by quadrature.

    Args:
        value: the mean, shape of the parameters; ``inf`` where an orbit left.
        error: estimate of its absolute error: what the last halving of each panel changed.
        evaluations: initial states used.
    """

    value: Any
    error: Any
    evaluations: int


def integrate(function: Callable[[np.ndarray], np.ndarray], distribution: Distribution, tolerance: float) -> Estimate:
    """``∫ function(h0) p(h0) dh0`` by 16-point Gauss rules on panels, halved until halving changes nothing.

    The amplification has layers around unstable fixed points, exponentially thin in the horizon; bisection finds
    them wherever they are.

    Args:
        function: from initial states ``(n,)`` to values ``(*batch, n)``.
        distribution: of the initial state; for an `Empirical` one the mean is exact.
        tolerance: a panel is done when halving it changes it by less than this part of the whole.
    """
    if isinstance(distribution, Empirical):
        values = np.asarray(function(distribution.samples))
        value = np.mean(values, axis=-1)
        return Estimate(value, np.abs(value) * 1e-16, len(distribution.samples))
    edges = np.array(distribution.panels())
    panels = np.stack([edges[:-1], edges[1:]])
    coarse, used = _rule(function, distribution, panels), 16 * panels.shape[1]
    done: Any = 0.0
    error: Any = 0.0
    for level in range(_LEVELS):
        halves = _halved(panels)
        fine = _rule(function, distribution, halves)
        used += 16 * halves.shape[1]
        with np.errstate(invalid="ignore"):
            pairs = fine[..., 0::2] + fine[..., 1::2]
            pairs = np.where(np.isfinite(coarse), pairs, coarse)
            change = np.abs(pairs - coarse)
            whole = np.abs(done + pairs.sum(axis=-1))
            unsettled = np.isfinite(whole)[..., None] & (change > tolerance * whole[..., None])
        again = unsettled.reshape(-1, panels.shape[1]).any(axis=0) & (level < _LEVELS - 1)
        done = done + pairs[..., ~again].sum(axis=-1)
        error = error + np.nan_to_num(change, nan=0.0, posinf=0.0)[..., ~again].sum(axis=-1)
        if not again.any():
            break
        panels, coarse = halves[:, np.repeat(again, 2)], fine[..., np.repeat(again, 2)]
    return Estimate(done, error, used)


def _halved(panels: np.ndarray) -> np.ndarray:
    middle = panels.mean(axis=0)
    return np.stack([np.stack([panels[0], middle]), np.stack([middle, panels[1]])], axis=-1).reshape(2, -1)


def _rule(function: Callable[[np.ndarray], np.ndarray], distribution: Distribution, panels: np.ndarray) -> np.ndarray:
    """The Gauss sum of each panel, shape ``(*batch, panels)``."""
    half = (panels[1] - panels[0]) / 2
    x = panels.mean(axis=0)[:, None] + half[:, None] * _NODES
    weights = half[:, None] * _WEIGHTS * distribution.density(x)
    values = np.asarray(function(x.ravel()))
    return np.sum(values.reshape(*values.shape[:-1], *x.shape) * weights, axis=-1)


@dataclass(frozen=True, eq=False)
class AveragedFormula:
    """A formula averaged over initial states by quadrature, ``⟨formula(g, h0, T)⟩``.

    Args:
        formula: with ``h0`` among its symbols.
        distribution: of ``h0``.
        tolerance: of the quadrature; see `integrate`.
    """

    formula: Formula
    distribution: Distribution
    tolerance: float = 1e-10

    @property
    def symbols(self) -> tuple[sp.Symbol, ...]:
        """The symbols left, in call order."""
        return tuple(s for s in self.formula.symbols if s not in self._states)

    @property
    def _states(self) -> tuple[sp.Symbol, ...]:
        """The symbols that are averaged over."""
        known = self.formula.notation
        if known is None or symbols("h0") in self.formula.symbols:
            return (symbols("h0"),)
        return tuple(s for s in self.formula.symbols if not s.is_integer and s.name not in known.parameters)

    @property
    def domain(self) -> Domain:
        """Where the formula holds; every initial state must lie there."""
        return self.formula.domain

    @property
    def expr(self) -> sp.Expr:
        """The mean as an integral, or as a sum over samples, not worked out."""
        first, *others = self._states
        samples = getattr(self.distribution, "samples", np.zeros(1))
        if samples.ndim == 1:  # numbers: of a planar state the modulus, along its first component
            return self.distribution.mean_of(self.formula.expr.subs(dict.fromkeys(others, 0)), first)
        rows = [{s: sp.Float(x, 17) for s, x in zip(self._states, row, strict=True)} for row in samples]
        return sp.Add(*(self.formula.expr.subs(row) for row in rows)) / len(rows)

    def __call__(self, *arguments: Any) -> Any:
        """The mean, elementwise over broadcast arguments; a warning where the quadrature did not converge."""
        return _checked(self.estimate(*arguments))

    def estimate(self, *arguments: Any) -> Estimate:
        """The mean with its error."""
        flat = [v for a in arguments for v in (a if isinstance(a, tuple) else (a,))]
        if len(flat) != len(self.symbols):
            names = ", ".join(s.name for s in self.symbols)
            raise ValueError(f"this average takes ({names}), got {len(flat)} arguments; give one per symbol")
        known = {
            s: check_horizon(v, s.name) if s.is_integer else check_real(v, s.name)[..., None]
            for s, v in zip(self.symbols, flat, strict=True)
        }

        def function(x: np.ndarray) -> np.ndarray:
            parts = dict(zip(self._states, _components(x, len(self._states)), strict=True))
            return self.formula(*((known | parts)[s] for s in self.formula.symbols))

        return integrate(function, self.distribution, self.tolerance)

    def error(self, *arguments: Any) -> Any:
        """Estimate of the absolute error of the quadrature."""
        return _plain(self.estimate(*arguments).error)


@dataclass(frozen=True, eq=False)
class _Truth:
    """``gain · ⟨formula(g, stretch · h0, T)⟩`` by quadrature: what the mean of a truncated law is judged by."""

    formula: Formula
    distribution: Distribution
    stretch: float
    gain: float
    tolerance: float

    def lambdify(self) -> Callable[..., Any]:
        """The mean as a function of the symbols left."""
        return self._mean

    def _mean(self, *values: Any) -> Any:
        place = self.formula.symbols.index(symbols("h0"))
        horizons = [s.is_integer for s in self.formula.symbols if s != symbols("h0")]
        given = [v if whole else np.asarray(v)[..., None] for v, whole in zip(values, horizons, strict=True)]
        law = self.formula.lambdify()

        def function(x: np.ndarray) -> np.ndarray:
            with np.errstate(all="ignore"):
                found = law(*given[:place], self.stretch * x, *given[place:])
            return np.where(np.isfinite(found), self.gain * found, np.inf)

        return integrate(function, self.distribution, self.tolerance).value

    def diff(self, symbol: Any) -> _Truth:
        return replace(self, formula=self.formula.diff(symbol))


@dataclass(frozen=True)
class AveragedLaw:
    """An amplification law averaged over initial states, ``⟨A_T(g, h0)⟩``: the mean over a batch.

    With several parameters the Gram matrices are averaged, and the amplification of the batch is the top
    eigenvalue of their mean. For the Neimark–Sacker family a distribution of numbers is that of ``|z_0|``.

    Args:
        law: the law of one trajectory, an `AmplificationLaw`.
        distribution: of the initial state.
        tolerance: relative, of the quadrature; see `integrate`.

    Raises:
        ValueError: no distribution, or samples that are no states of the map.

    >>> from normalforms.forms.averages.distribution import Uniform
    >>> from normalforms.law import amplification
    >>> from normalforms import pitchfork, stability_flip
    >>> law = amplification(stability_flip()).averaged(Uniform(-1, 1))
    >>> round(law(1.0, 3), 12)
    4.666666666667
    >>> amplification(pitchfork()).averaged(Uniform(-1, 1)).exact(2, 4).expr
    -12*g**3/5 + 4*g**2/3 - 4*g/5 + 1/3
    """

    law: Any
    distribution: Distribution
    tolerance: float = 1e-10

    def __post_init__(self) -> None:
        check_distribution(self.distribution, self.law.map, self.law.notation.modulus)

    def __call__(self, g: Any, horizon: int) -> Any:
        """``⟨A_T⟩`` by direct iteration and quadrature, elementwise over ``g``; ``inf`` where an orbit left.

        Warns:
            DomainWarning: the quadrature did not converge to six digits.
        """
        return _checked(self.estimate(g, horizon))

    def estimate(self, g: Any, horizon: int) -> Estimate:
        """``⟨A_T⟩`` with the error of its quadrature."""
        if len(self.law.map.parameters) == 1:
            return self._integral(lambda g, x: self.law(g, x, horizon), g)
        found = self._grams(g, horizon)
        finite = np.all(np.isfinite(found.value), axis=(0, 1))
        matrix = np.moveaxis(np.where(finite, found.value, 0.0), (0, 1), (-2, -1))
        top = np.linalg.eigvalsh(matrix)[..., -1]
        return Estimate(np.where(finite, top, np.inf), np.sqrt(np.sum(found.error**2, axis=(0, 1))), found.evaluations)

    def error(self, g: Any, horizon: int) -> Any:
        """Estimate of the absolute error of the quadrature."""
        return _plain(self.estimate(g, horizon).error)

    def gram(self, g: Any, horizon: int) -> np.ndarray:
        """The mean of the Gram matrices, shape ``(*batch, p, p)``."""
        return np.moveaxis(self._grams(g, horizon).value, (0, 1), (-2, -1))

    def _grams(self, g: Any, horizon: int) -> Estimate:
        return self._integral(lambda g, x: np.moveaxis(self.law.gram(g, x, horizon), (-2, -1), (0, 1)), g)

    def _integral(self, function: Callable[[Any, Any], Any], g: Any) -> Estimate:
        given = tuple(check_real(v, "g")[..., None] for v in (g if isinstance(g, tuple) else (g,)))
        parameters = given if isinstance(g, tuple) else given[0]
        n = self.law.map.dimension
        lift = (lambda x: x) if n == 1 else (lambda x: np.stack(_components(x, n), axis=-1))
        return integrate(lambda x: function(parameters, lift(x)), self.distribution, self.tolerance)

    def exact(self, horizon: int, order: int | None = None) -> Law:
        """``⟨A_T⟩`` at one horizon through ``h0**order``, by the moments of ``h0``; see `AmplificationLaw.exact`."""
        if not rotates(self.law.map):
            self.law.exact(horizon, order)  # refuses
        return exact_formula(self.law.map, horizon, order, self._moment, self.law.gain, self._truth)

    def series(self, order: int, pade: bool = False) -> Law | AveragedFormula:
        """``⟨A_T⟩`` in symbolic ``T``, by the moments of ``h0``; see `AmplificationLaw.series`.

        Where the law knows the direction of a state of R^n, the mean of its series over the samples.
        """
        if not rotates(self.law.map):
            return AveragedFormula(self.law.series(order, pade), self.distribution, self.tolerance)
        return series_formula(self.law.map, order, self._moment, self.law.gain, pade, self._truth)

    def uniform(self, order: int = 0) -> AveragedFormula:
        """The uniform law averaged by quadrature, its error in `AveragedFormula.error`."""
        return AveragedFormula(self.law.uniform(order), self.distribution, self.tolerance)

    def _moment(self, k: int, about: sp.Expr) -> sp.Expr:
        """``⟨(stretch · h0 − about)^k⟩``."""
        stretch = self.law.stretch
        return stretch**k * self._scalar().moment(k, about / stretch)

    def _scalar(self) -> Distribution:
        """The distribution of ``h0``, of planar states that of ``|z_0|``."""
        distribution = self.distribution
        if isinstance(distribution, Empirical) and self.law.map.dimension == distribution.samples.ndim == 2:
            return Empirical(np.linalg.norm(distribution.samples, axis=-1))
        return distribution

    def _truth(self, direct: Formula, tolerance: float) -> _Truth:
        return _Truth(direct, self._scalar(), float(self.law.stretch), float(self.law.gain), tolerance)


def check_distribution(distribution: Any, m: Map, modulus: bool) -> None:
    """Refuse what is no distribution of states of this map."""
    if not isinstance(distribution, (Uniform, Normal, Empirical)):
        raise ValueError(f"distribution = {distribution!r} must be a Uniform, a Normal or an Empirical")
    wanted = [f"(n, {m.dimension})"] if m.dimension > 1 else ["(n,)"]
    if modulus:  # the family says that a number is the size of a state
        wanted.insert(0, "(n,)")
    samples: np.ndarray = getattr(distribution, "samples", np.zeros(1))
    shape = "(n,)" if samples.ndim == 1 else f"(n, {samples.shape[1]})"
    if shape not in wanted:
        given = "samples " + shape if isinstance(distribution, Empirical) else "one number"
        raise ValueError(
            f"the distribution is of {given}; the states of {m.name or m.steps} need an Empirical with samples"
            f" {' or '.join(wanted)}"
        )


def _components(x: np.ndarray, n: int) -> list[np.ndarray]:
    """States as components; a number is the first of them, the modulus of a planar state."""
    if x.ndim > 1:
        return list(np.moveaxis(x, -1, 0))
    return [x, *(0 * x for _ in range(n - 1))]


def _plain(value: Any) -> Any:
    return float(value) if np.ndim(value) == 0 else value


def _checked(found: Estimate) -> Any:
    with np.errstate(invalid="ignore"):
        poor = np.isfinite(found.value) & (found.error > 1e-6 * np.abs(found.value))
    if np.any(poor):
        warnings.warn(
            f"the quadrature over initial states did not converge for {int(np.sum(poor))} of {np.size(poor)} values;"
            " error() says how far",
            DomainWarning,
            stacklevel=3,
        )
    return _plain(found.value)
