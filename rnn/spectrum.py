"""Leading modes, trace and stable rank of the state-space NTK.

Modes are Rayleigh–Ritz pairs of ``JᵀJ`` on a block Krylov space. Traces deflate the leading modes exactly and
sample the rest with probes that are independent from trajectory to trajectory,

    ‖J‖_F² = ‖J Q‖_F² + Σ_b E ‖J_b (I − Q Qᵀ) z_b‖²,

so that the relative error of one probe falls like batch^{−1/2}, which a probe shared by the batch does not do.
The sample variance of every trajectory's own probes gives the standard error.
"""

from __future__ import annotations

import functools
import math
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from rnn.frobenius import exact_frobenius
from rnn.inputs import check_count
from rnn.kernel import SNTK, sntk
from rnn.krylov import Modes, check_start, grow, krylov_step, leading, orthonormal
from rnn.model import Model
from rnn.products import fisher_block, linearised, over_batch
from rnn.sweeps import tangent

_DEFLATE = 4  # modes that the trace treats exactly
_FREEDOM = 32  # degrees of freedom, at least, behind a standard error
_ZERO = "J is zero on the selected parameters, so that it has no stable rank; select others with wrt"

__all__ = [
    "Diagnostics",
    "Estimate",
    "Modes",
    "diagnostics",
    "frobenius",
    "leading",
    "stable_rank",
    "subspace_step",
]


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
        standard_error: of the stable rank, from its trace and from the residual of σ_1.
        singular_value: σ_1.
        start: orthonormal Ritz vectors (k, m), leading first: the next call's ``start``.
    """

    stable_rank: Float[Array, ""]
    standard_error: Float[Array, ""]
    singular_value: Float[Array, ""]
    start: Float[Array, "k m"]


@eqx.filter_jit
def diagnostics(
    model: Model,
    h0: Float[Array, "batch state"],
    horizon: int,
    start: Float[Array, "k m"],
    key: PRNGKeyArray,
    *,
    wrt: Any = None,
    readout: Any = None,
    products: int = 4,
    probes: int = 4,
) -> Diagnostics:
    """Stable rank and leading mode, pure, compiled, and cheap enough for a training loop.

    A Krylov space of ``JᵀJ``, grown from ``Σ_i 2^{−i} start_i``, gives σ_1² and k Ritz vectors; the trace is deflated
    by these and sampled otherwise. The sum keeps the second mode in sight, for when it overtakes the first.

    Args:
        model, h0, horizon, wrt, readout: as in :func:`rnn.kernel.sntk`.
        start: k ≥ 1 directions, those of the last call; random ones at first. Two are enough.
        key: randomness of the probes.
        products: dimension of the Krylov space, raised to k if it is less.
        probes: s ≥ 2 probes for each trajectory.

    Returns:
        A :class:`Diagnostics`, for ``products`` products and k + s tangents. A cold start needs some calls.

    Raises:
        ValueError: as :func:`rnn.kernel.sntk`, or ``start``, ``products`` or ``probes`` does not fit.
    """
    kernel = sntk(model, h0, horizon, wrt=wrt, readout=readout)
    start = check_start(kernel, start)
    k = start.shape[0]
    weights = jnp.exp2(-jnp.arange(k, dtype=kernel.dtype))
    values, basis, errors = krylov_step(kernel, weights @ start, max(check_count("products", products, 1), k))
    top, basis = values[0], basis[:k]
    gram, energy = _sample(kernel, basis, key, check_count("probes", probes, 2))
    rest, variance = _sum_energy(energy)
    rank = (jnp.trace(gram) + rest) / top
    # Temple: the residual's square over the gap bounds the error of an isolated Ritz value.
    gap = jnp.maximum(top - (values[1] if values.shape[0] > 1 else 0 * top), errors[0])
    shortfall = jnp.where(errors[0] > 0, errors[0] ** 2 / gap / top, 0)
    error = jnp.sqrt(variance / top**2 + (rank * shortfall) ** 2)
    return Diagnostics(rank, error, jnp.sqrt(top), basis)


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


def frobenius(
    kernel: SNTK,
    *,
    exact: bool = False,
    tolerance: float = 0.01,
    key: PRNGKeyArray | None = None,
    start: Float[Array, "p m"] | None = None,
    modes: Modes | None = None,
    max_products: int = 2000,
) -> Estimate:
    """The SQUARED Frobenius norm ``‖J‖_F² = tr(sNTK) = Σ σ_i²``; arguments as in :func:`stable_rank`."""
    if exact:
        return Estimate(exact_frobenius(kernel), jnp.zeros((), kernel.dtype), 0)
    trace, _, _ = _deflated(kernel, tolerance, key, start, modes, max_products)
    return trace


def stable_rank(
    kernel: SNTK,
    *,
    exact: bool = False,
    tolerance: float = 0.01,
    key: PRNGKeyArray | None = None,
    start: Float[Array, "p m"] | None = None,
    modes: Modes | None = None,
    max_products: int = 2000,
) -> Estimate:
    """``‖J‖_F²/‖J‖₂² = tr(sNTK)/λ_1(sNTK)``, with its standard error.

    Args:
        kernel: the operator.
        exact: the trace by :func:`rnn.frobenius.exact_frobenius` and λ_1 to rounding.
        tolerance: relative standard error to reach; ignored if ``exact``.
        key: randomness; fixed if ``None``.
        start: directions to start from, such as the last step's ``vectors``.
        modes: leading modes of this very kernel, where they are known; none are sought then.
        max_products: budget; what was reached then is in the standard error.

    Returns:
        Value and standard error; the latter includes the bound on the error of λ_1.
    """
    if exact:
        top = leading(kernel, 1, tolerance=1e-6, key=key, start=start, max_products=max_products)
        if top.singular_values[0] == 0:
            raise ValueError(_ZERO)
        value = exact_frobenius(kernel) / top.singular_values[0] ** 2
        return Estimate(value, value * top.residuals[0], top.products)
    trace, top, error = _deflated(kernel, tolerance, key, start, modes, max_products)
    if top == 0:
        raise ValueError(_ZERO)
    value = trace.value / top
    spread = jnp.sqrt((trace.standard_error / top) ** 2 + (value * error) ** 2)
    return Estimate(value, spread, trace.products)


def _deflated(
    kernel: SNTK,
    tolerance: float,
    key: PRNGKeyArray | None,
    start: Array | None,
    modes: Modes | None,
    max_products: int,
) -> tuple[Estimate, Array, float]:
    """The trace with its error, λ_1, and the relative error bound of λ_1."""
    if not tolerance > 0:
        raise ValueError(f"tolerance must be positive, got {tolerance!r}")
    check_count("max_products", max_products)
    key = jax.random.key(0) if key is None else key
    key, first = jax.random.split(key)
    if modes is None:
        found = grow(kernel, min(_DEFLATE, *kernel.shape), 1, tolerance / 5, first, start, max_products)
        basis, top, error, products = found.vectors, found.values[0], found.errors[0], float(found.products)
    else:
        basis, top, products = check_start(kernel, modes.vectors), float(modes.singular_values[0]) ** 2, 0.0
        error = float(modes.residuals[0]) * top
    basis = basis[: min(_DEFLATE, *kernel.shape)]
    batch, energy, captured = kernel.h0.shape[0], [], jnp.zeros((), kernel.dtype)
    least = count = 1 + math.ceil(_FREEDOM / batch)
    while True:
        key, probe = jax.random.split(key)
        gram, more = _sample(kernel, basis, probe, count)
        captured, products = jnp.trace(gram), products + (basis.shape[0] + count) / 2
        energy.append(more)
        rest, variance = _sum_energy(jnp.concatenate(energy, axis=1))
        value, spread = captured + rest, jnp.sqrt(variance)
        ratio = float(spread) / (0.8 * tolerance * max(float(value), np.finfo(np.float64).tiny))
        if ratio <= 1 or products >= max_products:
            return Estimate(value, spread, products), jnp.asarray(top, kernel.dtype), error / top if top > 0 else 0.0
        done = sum(e.shape[1] for e in energy)
        count = min(least * math.ceil(done * (ratio**2 - 1) / least), 32)


@jax.jit
def _power_step(kernel: SNTK, start: Array) -> tuple[Array, Array]:
    basis = orthonormal(check_start(kernel, start))
    images = fisher_block(kernel, basis)
    values, rotation = jnp.linalg.eigh(basis @ images.T)
    return values[::-1], orthonormal(rotation.T[::-1] @ images)


@functools.partial(jax.jit, static_argnums=3)
def _sample(
    kernel: SNTK, basis: Float[Array, "k m"], key: PRNGKeyArray, probes: int
) -> tuple[Float[Array, "k k"], Float[Array, "batch probes"]]:
    """``Q JᵀJ Qᵀ`` on an orthonormal basis Q, and ``‖J_b (I − QᵀQ) z_b‖²`` of every trajectory's own probes."""
    cell, observer = linearised(kernel)
    k, directions = basis.shape[0], kernel.unflatten(basis)
    drive = cell.drive(directions)

    def work(h0, path, index):
        batch = h0.shape[0]
        probe = cell.probes(key, index, probes, directions)

        def both(site):
            return jnp.concatenate([drive(site), probe.drive(site)], axis=1)

        def emit(h, dh):
            y = observer.push(h, dh)
            modes, rest = y[:, :k], y[:, k:]
            rest = rest - jnp.einsum("bsk,bko->bso", probe.overlap, modes)
            return jnp.einsum("bko,blo->kl", modes, modes), jnp.sum(rest**2, axis=2)

        dh = jnp.zeros((batch, k + probes, h0.shape[1]), h0.dtype)
        gram, energy = tangent(cell, h0, path, dh, both, emit, kernel.horizon)[1]
        return gram.sum(axis=0), energy.sum(axis=0)

    return over_batch(kernel, work, jnp.arange(kernel.h0.shape[0]))


def _sum_energy(energy: Float[Array, "batch probes"]) -> tuple[Array, Array]:
    """Sum over the batch of the mean over probes, and its variance from each trajectory's own scatter."""
    return energy.mean(axis=1).sum(), energy.var(axis=1, ddof=1).sum() / energy.shape[1]
