"""The state-space NTK as an operator.

For a model ``h_t = F(θ, h_{t−1})``, or ``F(θ, h_{t−1}, x_t)`` with inputs, on a batch of initial states,
``J = ∂(h_1 … h_T)/∂θ`` has one row for every (trajectory, time, state) and one column for every parameter. The kernel
``sNTK = J Jᵀ`` acts on trajectories and the Fisher matrix ``JᵀJ`` on parameters; both share their non-zero
eigenvalues. Neither is ever formed: a product is one tangent and one adjoint sweep along the stored states.
(Hazelden & Shea-Brown, arXiv:2605.12763.)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from rnn.kernel.build import build
from rnn.kernel.checks import cotangents, directions
from rnn.kernel.factors import Factors, Split, factors, split
from rnn.kernel.modes import Modes, leading
from rnn.kernel.operand import Operand
from rnn.kernel.products import fisher_block, forward_block, reverse_block
from rnn.kernel.spectrum import Spectrum, spectrum
from rnn.kernel.trace import Estimate, frobenius, stable_rank
from rnn.models import Model

__all__ = ["SNTK", "fisher_product", "sntk"]

_DENSE_LIMIT = 2**27
_COLUMNS = 64  # of the dense J at once


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False, repr=False)
class SNTK(Operand):
    """``sNTK = J Jᵀ`` and ``JᵀJ`` of one model on one batch; made by :func:`sntk`.

    Vectors: ``y`` has shape (batch, horizon, outputs), where outputs is the state size unless there is a readout;
    ``dθ`` is a pytree like the selected parameters or their flat form (m,), in the order of
    ``jax.tree.leaves``. Every product also takes a block of k vectors with k as leading axis, at far less than
    k times the cost.

    Its data are those of :class:`rnn.kernel.operand.Operand`.
    """

    def __repr__(self) -> str:
        return f"SNTK(shape={self.shape}, dtype={self.dtype}, horizon={self.horizon}, outputs={self.outputs})"

    def jvp(self, dtheta: Any) -> Float[Array, "*k batch horizon outputs"]:
        """``J dθ``: the first-order change of every state under a change of the parameters.

        Raises:
            ValueError: ``dtheta`` does not fit the parameters.
        """
        return forward_block(self, directions(self, dtheta)[0])

    def vjp(self, y: Float[Array, "*k batch horizon outputs"]) -> Any:
        """``Jᵀ y``, a pytree like the parameters.

        Raises:
            ValueError: ``y`` does not have shape (batch, horizon, outputs).
        """
        y, single = cotangents(self, y)
        return _squeeze(self.unflatten(reverse_block(self, y)), single)

    def mv(self, y: Float[Array, "*k batch horizon outputs"]) -> Float[Array, "*k batch horizon outputs"]:
        """``sNTK y = J (Jᵀ y)``.

        Raises:
            ValueError: ``y`` does not have shape (batch, horizon, outputs).
        """
        y, single = cotangents(self, y)
        return _squeeze(forward_block(self, reverse_block(self, y)), single)

    def fisher_mv(self, dtheta: Any) -> Any:
        """``JᵀJ dθ``, flat if ``dtheta`` is flat and a pytree like the parameters if it is one.

        Raises:
            ValueError: ``dtheta`` does not fit the parameters.
        """
        vectors, flat = directions(self, dtheta)
        product = fisher_block(self, vectors)
        return product if flat else self.unflatten(product)

    def leading(
        self,
        k: int,
        *,
        tolerance: float = 1e-6,
        key: PRNGKeyArray | None = None,
        start: Float[Array, "p m"] | None = None,
        max_products: int = 2000,
        confirm: bool = True,
    ) -> Modes:
        """The k leading singular values and parameter directions; see :func:`rnn.kernel.modes.leading`."""
        return leading(self, k, tolerance=tolerance, key=key, start=start, max_products=max_products, confirm=confirm)

    def frobenius(
        self,
        *,
        exact: bool = False,
        tolerance: float = 0.01,
        key: PRNGKeyArray | None = None,
        start: Float[Array, "p m"] | None = None,
        modes: Modes | None = None,
        max_products: int = 2000,
    ) -> Estimate:
        """The SQUARED norm ``‖J‖_F² = tr(sNTK)``; see :func:`rnn.kernel.trace.frobenius`."""
        return frobenius(
            self, exact=exact, tolerance=tolerance, key=key, start=start, modes=modes, max_products=max_products
        )

    def stable_rank(
        self,
        *,
        exact: bool = False,
        tolerance: float = 0.01,
        key: PRNGKeyArray | None = None,
        start: Float[Array, "p m"] | None = None,
        modes: Modes | None = None,
        max_products: int = 2000,
    ) -> Estimate:
        """``‖J‖_F²/‖J‖₂²`` with its standard error; see :func:`rnn.kernel.trace.stable_rank`."""
        return stable_rank(
            self, exact=exact, tolerance=tolerance, key=key, start=start, modes=modes, max_products=max_products
        )

    def spectrum(self, *, steps: int = 32, probes: int = 8, key: PRNGKeyArray | None = None) -> Spectrum:
        """All eigenvalues as a quadrature rule; see :func:`rnn.kernel.spectrum.spectrum`."""
        return spectrum(self, steps=steps, probes=probes, key=key)

    def split(self, directions: Any) -> Split:
        """``sNTK = sNTK_g + sNTK_R`` along parameter directions; see :func:`rnn.kernel.factors.split`."""
        return split(self, directions)

    def factors(self) -> Factors:
        """``sNTK = P K Pᵀ`` as operators of their own; see :class:`rnn.kernel.factors.Factors`."""
        return factors(self)

    def as_matrix(self) -> Float[Array, "rows m"]:
        """The dense J, rows ordered (batch, time, output); for tests and small problems.

        Raises:
            ValueError: J has more than 2²⁷ entries.
        """
        if self.size > _DENSE_LIMIT:
            raise ValueError(f"J has shape {self.shape}, too large to form; use jvp, vjp or fisher_mv")
        rows, m = self.shape
        units = lambda i: jnp.eye(min(_COLUMNS, m - i), m, i, dtype=self.dtype)  # noqa: E731
        blocks = [forward_block(self, units(i)).reshape(-1, rows) for i in range(0, m, _COLUMNS)]
        return jnp.concatenate(blocks).T


def sntk(
    model: Model,
    h0: Float[Array, "batch state"],
    horizon: int | None = None,
    *,
    inputs: Float[Array, "batch horizon inputs"] | Float[Array, "horizon inputs"] | None = None,
    wrt: Any = None,
    readout: Any = None,
    chunk: int | None = None,
    remat: bool | int = False,
    devices: Sequence[Any] | None = None,
    stacked: bool = False,
) -> SNTK:
    """The state-space NTK ``J Jᵀ``, ``J = ∂(h_1 … h_T)/∂θ``, of ``model`` on a batch of initial states.

    Args:
        model: one step on one state vector, and one input vector where there are inputs; a pytree whose inexact
            arrays are its parameters.
        h0: initial states, shape (batch, state); they do not depend on θ.
        horizon: T, in steps; that of the inputs unless given.
        inputs: ``x_1 … x_T``, shape (batch, horizon, inputs), or (horizon, inputs) for all trajectories alike. They
            are data, and no parameters.
        wrt: which parameters: ``None`` for all, a function such as ``lambda m: m.weight``, or a pytree of booleans.
        readout: observe ``readout @ h_t`` (a matrix, (outputs, state)) or ``readout(h_t)`` (a function of one state
            vector to a vector) instead of the states; its own parameters are constants.
        chunk: how many trajectories a product handles at once; memory falls in proportion, numbers agree to rounding.
        remat: recompute the states in segments of √T steps, for long horizons. ``True`` lets a product hold 50√T
            states and tangents of each trajectory, at most T/2; an integer says how many. With k vectors about
            2(1+k)√T are the fewest, whatever is said. What is held beyond saves time.
        devices: share the batch among these, such as ``jax.devices()``, which are those of all processes after
            ``jax.distributed.initialize``; numbers agree to rounding. ``chunk`` is then of each device's share.
            Trajectories that do not divide evenly, fewer than there are devices, are computed by all of them.
        stacked: whether every step has parameters of its own, as the layers of a deep network do. The inexact arrays of
            ``model`` then have the steps as leading axis, as ``jax.tree.map(lambda *x: jnp.stack(x), *layers)`` makes
            them, and T is theirs unless given. Without ``remat`` and :meth:`SNTK.factors`.

    Returns:
        The operator. Without ``chunk``, ``remat`` and ``devices`` it stores the states once, batch · (T+1) · state
        numbers; otherwise every product recomputes them.

    Raises:
        ValueError: the batch is empty, ``horizon``, ``chunk`` or ``remat`` is no positive integer, the inputs or the
            stacked parameters do not fit, ``wrt`` selects nothing, ``model`` or ``readout`` does not map a state as it
            should, dtypes differ, or states are not finite (which is not checked inside ``jax.jit``).
    """
    return build(
        SNTK,
        model,
        h0,
        horizon,
        inputs=inputs,
        wrt=wrt,
        readout=readout,
        chunk=chunk,
        remat=remat,
        devices=devices,
        stacked=stacked,
    )


def fisher_product(
    model: Model,
    h0: Float[Array, "batch state"],
    horizon: int | None,
    v: Any,
    *,
    inputs: Any = None,
    wrt: Any = None,
    readout: Any = None,
) -> Any:
    """``JᵀJ v`` as a pure function, for use inside ``jax.jit`` and ``jax.lax.scan``.

    Arguments as in :func:`sntk`; ``v`` and the result as in :meth:`SNTK.fisher_mv`.
    """
    return sntk(model, h0, horizon, inputs=inputs, wrt=wrt, readout=readout).fisher_mv(v)


def _squeeze(tree: Any, single: bool) -> Any:
    return jax.tree.map(lambda x: x[0], tree) if single else tree
