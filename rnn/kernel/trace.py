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

from rnn.kernel.build import build
from rnn.kernel.checks import check_count
from rnn.kernel.exact_trace import exact_frobenius
from rnn.kernel.modes import Modes, check_start, generator, grow, krylov_step, leading
from rnn.kernel.operand import Operand
from rnn.kernel.products import fisher_block, linearised, over_batch
from rnn.kernel.subspace import orthonormal
from rnn.kernel.sweeps import tangent
from rnn.models import Model

_DEFLATE = 4  # modes, at most, that the trace treats exactly
_FADE = 16.0  # of the weights of modes in a Krylov start
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
    horizon: int | None,
    start: Float[Array, "k m"],
    key: PRNGKeyArray,
    *,
    inputs: Any = None,
    wrt: Any = None,
    readout: Any = None,
    products: int = 4,
    probes: int = 4,
    tolerance: float = 0.0,
) -> Diagnostics:
    """Stable rank and leading mode, pure, compiled, and cheap enough for a training loop.

    A Krylov space of ``JᵀJ``, grown from ``Σ_i 16^{−i} start_i``, gives σ_1² and k Ritz vectors; the trace is deflated
    by these and sampled otherwise. The sum keeps the second mode in sight, for when it overtakes the first.

    Args:
        model, h0, horizon, inputs, wrt, readout: as in :func:`rnn.kernel.sntk.sntk`.
        start: k ≥ 1 directions, those of the last call; random ones at first. Two are enough.
        key: randomness of the probes.
        products: largest dimension of the Krylov space, raised to k if it is less.
        probes: s ≥ 2 probes for each trajectory.
        tolerance: bound on the relative error of σ_1² at which the Krylov space is large enough; 0 to use all products.

    Returns:
        A :class:`Diagnostics`, for at most ``products`` products and s tangents. A cold start needs some calls.

    Raises:
        ValueError: as :func:`rnn.kernel.sntk.sntk`, or ``start``, ``products``, ``probes`` or
            ``tolerance`` does not fit.
    """
    kernel = build(Operand, model, h0, horizon, inputs=inputs, wrt=wrt, readout=readout)
    start = check_start(kernel, start)
    k = start.shape[0]
    if not tolerance >= 0:
        raise ValueError(f"tolerance must not be negative, got {tolerance!r}")
    most = max(check_count("products", products, 1), k)
    weights = _FADE ** -jnp.arange(k, dtype=kernel.dtype)
    values, vectors, short = krylov_step(kernel, weights @ start, min(max(k, 2), most), most, tolerance)
    rest, scatter = _sample(kernel, vectors[:k], key, check_count("probes", probes, 2))
    rank = (values[:k].sum() + rest) / values[0]
    error = jnp.sqrt(scatter / probes / values[0] ** 2 + (rank * short) ** 2)
    return Diagnostics(rank, error, jnp.sqrt(values[0]), vectors[:k])


def subspace_step(
    model: Model,
    h0: Float[Array, "batch state"],
    horizon: int | None,
    start: Float[Array, "k m"],
    *,
    inputs: Any = None,
    wrt: Any = None,
    readout: Any = None,
) -> tuple[Float[Array, " k"], Float[Array, "k m"]]:
    """One block power step ``orth(JᵀJ start)``, pure; arguments as in :func:`diagnostics`.

    Returns:
        Ritz values of ``JᵀJ`` on the old directions, descending, and the new directions (k, m), orthonormal.
    """
    return _power_step(build(Operand, model, h0, horizon, inputs=inputs, wrt=wrt, readout=readout), start)


def frobenius(
    kernel: Operand,
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
        return Estimate(exact_frobenius(kernel), jnp.asarray(0, kernel.dtype), 0)
    trace, _, _ = _deflated(kernel, tolerance, key, start, modes, max_products)
    return _estimate(kernel, *trace)


def stable_rank(
    kernel: Operand,
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
        exact: the trace by :func:`rnn.kernel.exact_trace.exact_frobenius` and λ_1 to rounding.
        tolerance: relative standard error to reach; ignored if ``exact``.
        key: randomness; fixed if ``None``.
        start: directions to start from, such as the last step's ``vectors``.
        modes: leading modes of this very kernel, where they are known; none are sought then.
        max_products: budget; what was reached then is in the standard error.

    Returns:
        Value and standard error; the latter includes the bound on the error of λ_1.
    """
    if exact:
        found = grow(kernel, 1, 1, 1e-6, key, start, max_products)
        top, error = float(found.values[0]), float(found.errors[0])
        trace, spread, products = float(exact_frobenius(kernel)), 0.0, float(found.products)
    else:
        (trace, spread, products), top, error = _deflated(kernel, tolerance, key, start, modes, max_products)
    if top == 0:
        raise ValueError(_ZERO)
    value = trace / top
    return _estimate(kernel, value, math.hypot(spread, value * error) / top, products)


def _estimate(kernel: Operand, value: float, standard_error: float, products: float) -> Estimate:
    return Estimate(jnp.asarray(value, kernel.dtype), jnp.asarray(standard_error, kernel.dtype), products)


def _deflated(
    kernel: Operand,
    tolerance: float,
    key: PRNGKeyArray | None,
    start: Array | None,
    modes: Modes | None,
    max_products: int,
) -> tuple[tuple[float, float, float], float, float]:
    """The trace with its standard error and the products spent, λ_1, and the error bound of λ_1."""
    if not tolerance > 0:
        raise ValueError(f"tolerance must be positive, got {tolerance!r}")
    check_count("max_products", max_products)
    k = min(_DEFLATE, *kernel.shape)
    if modes is None:
        found = grow(kernel, k, 1, tolerance / 5, key, start, max_products)
        basis, values, error, products = found.vectors, found.values, found.errors[0], float(found.products)
    else:
        basis, values, products = check_start(kernel, modes.vectors), np.asarray(modes.singular_values) ** 2, 0.0
        error = np.asarray(modes.residuals)[0] * values[0]
    top, probes = float(values[0]), 1 + math.ceil(_FREEDOM / kernel.h0.shape[0])
    k = min(k, len(values), probes)  # no more than cost as much as the probes
    captured = float(np.sum(values[:k], dtype=np.float64))
    seeds, sums, done, rounds = generator(key).spawn(1)[0], np.zeros(2), 0, 1
    while True:
        seed = seeds.integers(2**63)
        sums += rounds * np.asarray(_rounds(kernel, basis, seed, np.int32(rounds), k, probes), np.float64)
        done, products = done + rounds, products + rounds * probes / 2
        rest, spread = sums[0] / done, math.sqrt(sums[1] / done / (done * probes))
        value = captured + rest
        ratio = spread / (0.8 * tolerance * max(value, np.finfo(np.float64).tiny))
        if ratio <= 1 or products >= max_products:
            return (value, spread, products), top, float(error)
        affordable = math.ceil((max_products - products) * 2 / probes)
        rounds = min(math.ceil(done * (ratio**2 - 1)), 8 * done, affordable)


@jax.jit
def _power_step(kernel: Operand, start: Array) -> tuple[Array, Array]:
    basis, _ = orthonormal(check_start(kernel, start))
    images = fisher_block(kernel, basis)
    values, rotation = jnp.linalg.eigh(basis @ images.T)
    return values[::-1], orthonormal(rotation.T[::-1] @ images)[0]


@functools.partial(jax.jit, static_argnums=(4, 5))
def _rounds(kernel: Operand, vectors: Array, seed: Array, rounds: Array, k: int, probes: int) -> Float[Array, "2"]:
    """The mean of :func:`_sample` over many rounds, with the first k vectors as basis."""
    key, basis = jax.random.key(seed), vectors[:k]

    def add(i, total):
        return total + jnp.stack(_sample(kernel, basis, jax.random.fold_in(key, i), probes)) / rounds.astype(
            total.dtype
        )

    return jax.lax.fori_loop(0, rounds, add, jnp.zeros(2, kernel.dtype))


def _sample(
    kernel: Operand, basis: Float[Array, "k m"], key: PRNGKeyArray, probes: int
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """``Σ_b`` of the mean and of the variance of ``‖J_b (I − QᵀQ) z_b‖²`` over every trajectory's own probes."""
    cell, observer = linearised(kernel)
    directions = kernel.unflatten(basis)
    drive = cell.drive(directions)

    def work(h0, path, x, index):
        probe = cell.probes(key, index, probes, directions)

        def deflated(site):
            forced = drive(site)  # a sum written out: XLA's own reduction over so few terms takes twice as long
            return probe.drive(site) - sum(probe.overlap[:, j] * forced[:, None, j] for j in range(forced.shape[1]))

        def emit(h, dh):
            return jnp.sum(observer.push(h, dh) ** 2, axis=0)

        dh = jnp.zeros((h0.shape[0], probes, h0.shape[1]), h0.dtype)
        energy = tangent(cell, h0, path, dh, deflated, emit, kernel.horizon, x)[1].sum(axis=0)
        return (energy.mean(axis=0).sum(), energy.var(axis=0, ddof=1).sum()), ()

    return over_batch(kernel, work, jnp.arange(kernel.h0.shape[0]))[0]
