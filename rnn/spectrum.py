"""Leading modes, trace and stable rank of the state-space NTK.

Modes are Rayleigh–Ritz pairs of ``JᵀJ`` on a block Krylov space. Traces deflate the leading modes exactly and
sample the rest with probes that are independent from trajectory to trajectory,

    ‖J‖_F² = ‖J Q‖_F² + Σ_b E ‖J_b (I − Q Qᵀ) z_b‖²,

so that the relative error of one probe falls like batch^{−1/2}, which a probe shared by the batch does not do.
The sample variance of every trajectory's own probes gives the standard error.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from rnn.frobenius import exact_frobenius
from rnn.kernel import SNTK, sntk
from rnn.model import Model

__all__ = ["Diagnostics", "Estimate", "Modes", "diagnostics", "frobenius", "leading", "stable_rank", "subspace_step"]


class Modes(eqx.Module):
    """Leading singular values of J and their right singular vectors, the parameter directions.

    Attributes:
        singular_values: σ_1 ≥ … ≥ σ_k; their squares are eigenvalues of the sNTK and of the Fisher matrix.
        directions: orthonormal directions v_i, a pytree like the parameters with leading axis k.
        vectors: the same, flat, (k, m).
        residuals: ``‖JᵀJ v_i − σ_i² v_i‖ / σ_i²``: a singular value lies within half of it, relatively.
        products: how many products ``JᵀJ v`` were spent.
        converged: which residuals are within the tolerance.
    """

    singular_values: Float[Array, " k"]
    directions: Any
    vectors: Float[Array, "k m"]
    residuals: Float[Array, " k"]
    products: int = eqx.field(static=True)
    converged: np.ndarray


class Estimate(NamedTuple):
    """A number with its standard error.

    Attributes:
        value: the estimate, or the exact value where ``standard_error`` is 0.
        standard_error: one standard deviation of ``value``.
        products: what it cost, in products ``JᵀJ v``; a tangent sweep alone counts one half.
    """

    value: Float[Array, ""]
    standard_error: Float[Array, ""]
    products: float


class Diagnostics(NamedTuple):
    """What :func:`diagnostics` reports.

    Attributes:
        stable_rank: ``‖J‖_F²/σ_1²``.
        standard_error: of the stable rank, from its trace.
        singular_value: σ_1.
        start: orthonormal directions (k, m), leading first: the next call's ``start``.
    """

    stable_rank: Float[Array, ""]
    standard_error: Float[Array, ""]
    singular_value: Float[Array, ""]
    start: Float[Array, "k m"]


def diagnostics(
    model: Model,
    h0: Float[Array, "batch state"],
    horizon: int,
    start: Float[Array, "k m"],
    key: PRNGKeyArray,
    *,
    wrt: Any = None,
    readout: Any = None,
    probes: int = 4,
) -> Diagnostics:
    """Stable rank and leading mode from one warm block power step, pure and cheap enough for a training loop.

    ``Q = orth(JᵀJ start)``; σ_1² is the largest Ritz value on Q, the trace is deflated by Q.

    Args:
        model, h0, horizon, wrt, readout: as in :func:`rnn.kernel.sntk`.
        start: k ≥ 1 directions, those of the last call; at first random ones (then call a few times).
        key: randomness of the probes.
        probes: s ≥ 2 probes for each trajectory.

    Returns:
        A :class:`Diagnostics`. It costs k block products and k + s tangents. σ_1 is a lower bound; its error is second
        order in the angle by which the leading mode turned since the last call, and is not in the standard error.

    Raises:
        ValueError: as :func:`rnn.kernel.sntk`, or ``start`` or ``probes`` does not fit.
    """
    kernel = sntk(model, h0, horizon, wrt=wrt, readout=readout)
    _, basis = _power_step(kernel, start)
    gram, energy = _sample(kernel, basis, key, _check_probes(probes))
    values, rotation = jnp.linalg.eigh(gram)
    rest, variance = _sum_energy(energy)
    top = values[-1]
    return Diagnostics(
        (jnp.trace(gram) + rest) / top, jnp.sqrt(variance) / top, jnp.sqrt(top), rotation.T[::-1] @ basis
    )


def subspace_step(
    model: Model,
    h0: Float[Array, "batch state"],
    horizon: int,
    start: Float[Array, "k m"],
    *,
    wrt: Any = None,
    readout: Any = None,
) -> tuple[Float[Array, " k"], Float[Array, "k m"]]:
    """One block power step ``orth(JᵀJ start)``, pure; arguments as in :func:`diagnostics`.

    Returns:
        Ritz values of ``JᵀJ`` on the old directions, descending, and the new directions (k, m), orthonormal.
    """
    return _power_step(sntk(model, h0, horizon, wrt=wrt, readout=readout), start)


def leading(
    kernel: SNTK,
    k: int,
    *,
    tolerance: float = 1e-6,
    key: PRNGKeyArray | None = None,
    start: Float[Array, "p m"] | None = None,
    max_products: int = 1000,
) -> Modes:
    """The k leading singular values of J with their parameter directions.

    Rayleigh–Ritz on a block Krylov space of ``JᵀJ``, grown until every residual is within the tolerance,
    with full orthogonalisation and thick restarts.

    Args:
        kernel: the operator.
        k: how many, at most min(rows, m).
        tolerance: largest ``‖JᵀJ v − σ² v‖/(2σ²)`` accepted; rounding of the dtype is a floor, ``8 ε σ_1²/σ²``.
        key: randomness of the start; fixed if ``None``.
        start: directions to start from, such as the last step's ``vectors``; one random direction if ``None``.
        max_products: budget; what has not converged then says so.

    Raises:
        ValueError: ``k`` is out of range or ``start`` does not fit.
    """
    return _Krylov.grow(kernel, k, k, tolerance, key, start, max_products).modes(k)


def frobenius(
    kernel: SNTK,
    *,
    exact: bool = False,
    tolerance: float = 0.01,
    key: PRNGKeyArray | None = None,
    start: Float[Array, "p m"] | None = None,
    max_products: int = 1000,
) -> Estimate:
    """The SQUARED Frobenius norm ``‖J‖_F² = tr(sNTK) = Σ σ_i²``; arguments as in :func:`stable_rank`."""
    if exact:
        return Estimate(exact_frobenius(kernel), jnp.zeros((), kernel.dtype), 0)
    trace, _, _ = _deflated(kernel, tolerance, key, start, max_products)
    return trace


def stable_rank(
    kernel: SNTK,
    *,
    exact: bool = False,
    tolerance: float = 0.01,
    key: PRNGKeyArray | None = None,
    start: Float[Array, "p m"] | None = None,
    max_products: int = 1000,
) -> Estimate:
    """``‖J‖_F²/‖J‖₂² = tr(sNTK)/λ_1(sNTK)``, with its standard error.

    Args:
        kernel: the operator.
        exact: the trace by :func:`rnn.frobenius.exact_frobenius` and λ_1 to rounding.
        tolerance: relative standard error to reach; ignored if ``exact``.
        key: randomness; fixed if ``None``.
        start: directions to start from, such as the last step's ``vectors``.
        max_products: budget; what was reached then is in the standard error.

    Returns:
        Value and standard error; the latter includes the bound on the error of λ_1.
    """
    if exact:
        top = leading(kernel, 1, tolerance=1e-6, key=key, start=start, max_products=max_products)
        value = exact_frobenius(kernel) / top.singular_values[0] ** 2
        return Estimate(value, value * _top_error(top), top.products)
    trace, top, error = _deflated(kernel, tolerance, key, start, max_products)
    value = trace.value / top
    spread = jnp.sqrt((trace.standard_error / top) ** 2 + (value * error) ** 2)
    return Estimate(value, spread, trace.products)
