"""The spectrum of the state-space NTK by stochastic Lanczos quadrature.

For a random unit vector v in parameter space, s Lanczos steps give Ritz values θ_j and weights ``τ_j² = ⟨v, u_j⟩²``,
the Gauss rule of the measure that ``JᵀJ`` has at v. Over random v

    tr f(JᵀJ) ≈ m · mean_v Σ_j τ_j² f(θ_j),

exact in the mean for polynomials f of degree below 2s, and the scatter over v gives the standard error.
(Golub & Meurant, Matrices, Moments and Quadrature, ch. 6; Ubaru, Chen & Saad, SIAM J. Matrix Anal. Appl. 38, 2017.)
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PRNGKeyArray

from rnn.kernel.checks import check_count
from rnn.kernel.modes import generator, ritz_pairs
from rnn.kernel.operand import Operand

__all__ = ["Spectrum", "spectrum"]


@dataclass(frozen=True)
class Spectrum:
    """A quadrature rule for the eigenvalues of ``JᵀJ``, one from every probe.

    The sNTK has the same eigenvalues but for the number of zeros, so that sums with ``f(0) = 0`` are those of both.

    Attributes:
        nodes: Ritz values, (probes, steps).
        weights: how many eigenvalues each stands for, (probes, steps); m in all for each probe.
        products: how many products ``JᵀJ v`` were spent.
    """

    nodes: np.ndarray
    weights: np.ndarray
    products: int

    def sum(self, function: Callable[[np.ndarray], Any]) -> tuple[float, float]:
        """``Σ_i f(λ_i) = tr f(JᵀJ)`` and its standard error.

        Args:
            function: f of an array of eigenvalues, elementwise, finite on all nodes.

        Raises:
            ValueError: ``function`` is not finite on a node, as a logarithm is not at zero.
        """
        values = np.asarray(function(self.nodes), dtype=np.float64)
        if values.shape != self.nodes.shape or not np.all(np.isfinite(values)):
            raise ValueError("function must map eigenvalues, zeros included, elementwise to finite numbers")
        each = np.sum(self.weights * values, axis=1)
        return float(each.mean()), float(each.std(ddof=1) / np.sqrt(len(each)))

    def count(self, above: float) -> tuple[float, float]:
        """How many eigenvalues exceed ``above``, and the standard error; sharp where no node is near ``above``."""
        return self.sum(lambda x: x > above)

    def density(self, at: np.ndarray, width: float) -> np.ndarray:
        """Eigenvalues per unit of λ at the points ``at``, smoothed by Gaussians of standard deviation ``width``.

        Raises:
            ValueError: ``width`` is not positive.
        """
        if not width > 0:
            raise ValueError(f"width must be positive, got {width!r}")
        off = (np.asarray(at, dtype=np.float64)[..., None] - self.nodes.ravel()) / width
        return np.exp(-(off**2) / 2) @ self.weights.ravel() / (len(self.nodes) * width * np.sqrt(2 * np.pi))


def spectrum(kernel: Operand, *, steps: int = 32, probes: int = 8, key: PRNGKeyArray | None = None) -> Spectrum:
    """The eigenvalues of ``JᵀJ`` as a quadrature rule, for ``steps · probes`` products.

    Args:
        kernel: the operator.
        steps: Lanczos steps, with full orthogonalisation; more than m are not taken.
        probes: random vectors, at least two.
        key: randomness; fixed if ``None``.

    Raises:
        ValueError: ``steps`` is not positive, or ``probes`` is less than two.
    """
    m = kernel.shape[1]
    steps, probes = min(check_count("steps", steps), m), check_count("probes", probes, 2)
    starts = generator(key).standard_normal((probes, m), kernel.dtype)
    nodes, weights = (np.asarray(x, np.float64) for x in _rules(kernel, starts, steps))
    return Spectrum(nodes, m * weights, steps * probes)


@functools.partial(jax.jit, static_argnums=2)
def _rules(kernel: Operand, starts: Array, steps: int) -> tuple[Array, Array]:
    def rule(start):
        start = start / jnp.linalg.norm(start)
        values, vectors = ritz_pairs(kernel, start, steps)
        return values, (vectors @ start) ** 2

    return jax.lax.map(rule, starts)
