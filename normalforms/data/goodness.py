"""How good a fit is: size and correlation of its residuals, and the chance that noise alone leaves such."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = ["Goodness", "goodness", "neighbours"]

Array = np.ndarray
_TRIALS = 4000
_SIGNIFICANT = 0.01  # p-value below which residuals count as correlated


@dataclass(frozen=True)
class Goodness:
    """The residuals of a fit.

    Attributes:
        size: root mean square, relative where the noise is multiplicative, with the degrees of freedom taken off.
        autocorrelation: of neighbours in the parameter, at one horizon.
        p_value: chance that independent noise leaves residuals as correlated as these after as many parameters were
            fitted. Small: the law misses more than noise.
        inflation: of a variance by the correlation, ``(1 + ρ)/(1 − ρ)`` where the p-value is below 0.01, else 1.
        explained: share of the variance of the data (of their logarithms) that the law explains.
    """

    size: float
    autocorrelation: float
    p_value: float
    inflation: float
    explained: float

    @property
    def misfit(self) -> bool:
        """Whether the law misses more than noise does."""
        return self.p_value < 1e-3


def neighbours(parameter: Array, horizon: Array) -> tuple[Array, Array]:
    """Indices of pairs that follow one another in the parameter at one horizon."""
    order = np.lexsort((parameter, horizon))
    same = horizon[order[1:]] == horizon[order[:-1]]
    return order[:-1][same], order[1:][same]


def goodness(
    residual: Array, jacobian: Array, total: float, pairs: tuple[Array, Array], floor: float = 0.0
) -> Goodness:
    """The residuals' size and correlation, against those of noise from which as much was fitted.

    ``ρ = Σ r_k r_{k+1} / Σ r_k²``; the p-value is its rank among ``r = (1 − QQᵀ) e``, e independent and normal, Q a
    basis of the Jacobian's columns. So the correlation that fitting itself makes is allowed for.

    Args:
        residual: weighted, shape (count,).
        jacobian: its derivatives by the fitted parameters, shape (count, k).
        total: sum of squares of the data about their mean.
        pairs: of neighbours.
        floor: sum of squares below which residuals are rounding.

    Source: von Neumann, Ann. Math. Stat. 12 (1941) 367; Durbin & Watson, Biometrika 37 (1950) 409.
    """
    count, k = jacobian.shape
    square = float(residual @ residual)
    freedom = max(1, count - k)
    explained = 1 - square / total if total > 0 else 0.0
    if square <= floor or count - k < 3:
        return Goodness(np.sqrt(square / freedom), 0.0, 1.0, 1.0, explained)
    first, second = pairs
    rho = float(residual[first] @ residual[second]) / square
    q = np.linalg.qr(jacobian)[0]
    noise = np.random.default_rng(0).normal(size=(count, _TRIALS))
    noise -= q @ (q.T @ noise)
    chance = np.sum(noise[first] * noise[second], axis=0) / np.sum(noise**2, axis=0)
    mean, spread = float(np.mean(chance)), float(np.std(chance))
    p = float((1 + np.sum(chance >= rho)) / (1 + _TRIALS))
    true = float(np.clip(rho - mean, 0.0, 0.98))
    inflation = (1 + true) / (1 - true) if p < _SIGNIFICANT else 1.0
    if p <= 2 / _TRIALS:  # beyond the trials' reach: the normal tail
        from scipy.stats import norm

        p = min(p, float(norm.sf((rho - mean) / spread)))
    return Goodness(np.sqrt(square / freedom), rho, p, inflation, explained)
