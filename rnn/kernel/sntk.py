"""The state-space NTK as an operator.

For a model ``h_t = F(θ, h_{t−1})`` on a batch of initial states, ``J = ∂(h_1 … h_T)/∂θ`` has one row for every
(trajectory, time, state) and one column for every parameter. The kernel ``sNTK = J Jᵀ`` acts on trajectories and
the Fisher matrix ``JᵀJ`` on parameters; both share their non-zero eigenvalues. Neither is ever formed: a product
is one tangent and one adjoint sweep along the stored states.
(Hazelden & Shea-Brown, arXiv:2605.12763.)
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from rnn.kernel.checks import check_count, check_finite, check_step, cotangents, count_held, count_outputs, directions
from rnn.kernel.devices import batch_mesh, replicate
from rnn.kernel.products import fisher_block, forward_block, reverse_block, states
from rnn.models import Model, partition

if TYPE_CHECKING:
    from rnn.kernel.factors import Factors, Split
    from rnn.kernel.modes import Modes
    from rnn.kernel.spectrum import Spectrum
    from rnn.kernel.trace import Estimate

__all__ = ["SNTK", "fisher_product", "sntk"]

_DENSE_LIMIT = 2**27
_COLUMNS = 64  # of the dense J at once
_STATIC = {"static": True}

# Plain dataclasses and not Equinox modules, which wrap every method at every call: a tenth of a product's time.


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class _Tree:
    """Any pytree as arrays plus hashable rest, so that it may enter ``jax.jit``."""

    arrays: list[Any]
    others: tuple[Any, ...] = field(metadata=_STATIC)
    structure: Any = field(metadata=_STATIC)

    @classmethod
    def of(cls, tree: Any) -> _Tree:
        leaves, structure = jax.tree.flatten(tree)
        is_array = [eqx.is_array(leaf) for leaf in leaves]
        arrays = [leaf if yes else None for leaf, yes in zip(leaves, is_array, strict=True)]
        others = tuple(None if yes else leaf for leaf, yes in zip(leaves, is_array, strict=True))
        return cls(arrays, others, structure)

    @property
    def value(self) -> Any:
        leaves = [o if a is None else a for a, o in zip(self.arrays, self.others, strict=True)]
        return jax.tree.unflatten(self.structure, leaves)


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class SNTK:
    """``sNTK = J Jᵀ`` and ``JᵀJ`` of one model on one batch; made by :func:`sntk`.

    Vectors: ``y`` has shape (batch, horizon, outputs), where outputs is the state size unless there is a readout;
    ``dθ`` is a pytree like the selected parameters or their flat form (m,), in the order of
    ``jax.tree.leaves``. Every product also takes a block of k vectors with k as leading axis, at far less than
    k times the cost.

    Attributes:
        parameters: the selected parameters θ.
        h0: initial states, (batch, state).
        horizon: T, in steps.
        chunk: trajectories per pass, or ``None`` for all at once.
        remat: how many states and tangents of each trajectory a product may hold; 0 if states are not recomputed.
        mesh: the devices that share the batch, or ``None`` for one device.
    """

    parameters: Any
    h0: Float[Array, "batch state"]
    _rest: _Tree
    _readout: _Tree
    _path: Float[Array, "horizon+1 state batch"] | None
    horizon: int = field(metadata=_STATIC)
    outputs: int = field(metadata=_STATIC)
    chunk: int | None = field(metadata=_STATIC)
    remat: int = field(metadata=_STATIC)
    mesh: jax.sharding.Mesh | None = field(default=None, metadata=_STATIC)

    def __repr__(self) -> str:
        return f"SNTK(shape={self.shape}, dtype={self.dtype}, horizon={self.horizon}, outputs={self.outputs})"

    @property
    def model(self) -> Model:
        """The model, all of its parameters included."""
        return eqx.combine(self.parameters, self._rest.value)

    @property
    def readout(self) -> Any:
        """What is observed of a state: ``None``, a matrix (outputs, state) or a function of one state."""
        return self._readout.value

    @functools.cached_property
    def shape(self) -> tuple[int, int]:
        """Shape of J: (batch · horizon · outputs, number of parameters m)."""
        rows = self.h0.shape[0] * self.horizon * self.outputs
        return rows, sum(leaf.size for leaf in jax.tree.leaves(self.parameters))

    @property
    def size(self) -> int:
        """Number of entries of J."""
        return self.shape[0] * self.shape[1]

    @property
    def dtype(self) -> Any:
        """Common dtype of states, parameters and products."""
        return self.h0.dtype

    def flatten(self, directions: Any) -> Float[Array, "... m"]:
        """Parameter directions as flat vectors (m,), or (k, m) for a block with leading axis k."""
        leaves, shapes = jax.tree.leaves(directions), jax.tree.leaves(self.parameters)
        lead = leaves[0].shape[: leaves[0].ndim - shapes[0].ndim]
        return jnp.concatenate([leaf.reshape(*lead, -1) for leaf in leaves], axis=-1)

    def unflatten(self, vectors: Float[Array, "... m"]) -> Any:
        """Flat vectors as pytrees like the parameters; leading axes are kept."""
        leaves, structure = jax.tree.flatten(self.parameters)
        pieces = jnp.split(vectors, np.cumsum([leaf.size for leaf in leaves])[:-1], axis=-1)
        return jax.tree.unflatten(
            structure,
            [x.reshape(*x.shape[:-1], *leaf.shape) for x, leaf in zip(pieces, leaves, strict=True)],
        )

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

    def leading(self, k: int, **options: Any) -> Modes:
        """The k leading singular values and parameter directions; see :func:`rnn.kernel.modes.leading`."""
        from rnn.kernel.modes import leading

        return leading(self, k, **options)

    def frobenius(self, **options: Any) -> Estimate:
        """The SQUARED norm ``‖J‖_F² = tr(sNTK)``; see :func:`rnn.kernel.trace.frobenius`."""
        from rnn.kernel.trace import frobenius

        return frobenius(self, **options)

    def stable_rank(self, **options: Any) -> Estimate:
        """``‖J‖_F²/‖J‖₂²`` with its standard error; see :func:`rnn.kernel.trace.stable_rank`."""
        from rnn.kernel.trace import stable_rank

        return stable_rank(self, **options)

    def spectrum(self, **options: Any) -> Spectrum:
        """All eigenvalues as a quadrature rule; see :func:`rnn.kernel.spectrum.spectrum`."""
        from rnn.kernel.spectrum import spectrum

        return spectrum(self, **options)

    def split(self, directions: Any) -> Split:
        """``sNTK = sNTK_g + sNTK_R`` along parameter directions; see :func:`rnn.kernel.factors.split`."""
        from rnn.kernel.factors import split

        return split(self, directions)

    def factors(self) -> Factors:
        """``sNTK = P K Pᵀ`` as operators of their own; see :class:`rnn.kernel.factors.Factors`."""
        from rnn.kernel.factors import factors

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
    horizon: int,
    *,
    wrt: Any = None,
    readout: Any = None,
    chunk: int | None = None,
    remat: bool | int = False,
    devices: Sequence[Any] | None = None,
) -> SNTK:
    """The state-space NTK ``J Jᵀ``, ``J = ∂(h_1 … h_T)/∂θ``, of ``model`` on a batch of initial states.

    Args:
        model: one step on one state vector, a pytree whose inexact arrays are its parameters.
        h0: initial states, shape (batch, state); they do not depend on θ.
        horizon: T, in steps.
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

    Returns:
        The operator. Without ``chunk``, ``remat`` and ``devices`` it stores the states once, batch · (T+1) · state
        numbers; otherwise every product recomputes them.

    Raises:
        ValueError: the batch is empty, ``horizon``, ``chunk`` or ``remat`` is no positive integer, ``wrt`` selects
            nothing, ``model`` or ``readout`` does not map a state as it should, dtypes differ, or states are not finite
            (which is not checked inside ``jax.jit``).
    """
    if jnp.ndim(h0) != 2 or 0 in jnp.shape(h0):
        raise ValueError(f"h0 must have shape (batch, state) with at least one of each, got {jnp.shape(h0)}")
    horizon = check_count("horizon", horizon)
    chunk = None if chunk is None else check_count("chunk", chunk)
    held = count_held(remat, horizon)
    h0, model, readout = jax.tree.map(_on_device, (h0, model, readout))
    selected, rest = partition(model, wrt)
    check_step(model, selected, h0)
    outputs = count_outputs(readout, h0)
    mesh = None if devices is None else batch_mesh(devices)
    if mesh is not None:
        selected, rest, readout, h0 = replicate((selected, rest, readout, h0), mesh)
    whole = mesh is None and not held and (chunk is None or chunk >= h0.shape[0])
    path = states(_Tree.of(model), h0, horizon) if whole else None
    kernel = SNTK(
        selected,
        h0,
        _Tree.of(rest),
        _Tree.of(readout),
        path,
        horizon,
        outputs,
        None if whole else chunk,
        held,
        mesh,
    )
    check_finite(kernel)
    return kernel


def fisher_product(
    model: Model,
    h0: Float[Array, "batch state"],
    horizon: int,
    v: Any,
    *,
    wrt: Any = None,
    readout: Any = None,
) -> Any:
    """``JᵀJ v`` as a pure function, for use inside ``jax.jit`` and ``jax.lax.scan``.

    Arguments as in :func:`sntk`; ``v`` and the result as in :meth:`SNTK.fisher_mv`.
    """
    return sntk(model, h0, horizon, wrt=wrt, readout=readout).fisher_mv(v)


def _squeeze(tree: Any, single: bool) -> Any:
    return jax.tree.map(lambda x: x[0], tree) if single else tree


def _on_device(leaf: Any) -> Any:
    return jnp.asarray(leaf) if isinstance(leaf, np.ndarray) else leaf
