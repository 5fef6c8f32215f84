"""The state-space NTK as an operator.

For a model ``h_t = F(θ, h_{t−1})`` on a batch of initial states, ``J = ∂(h_1 … h_T)/∂θ`` has one row for every
(trajectory, time, state) and one column for every parameter. The kernel ``sNTK = J Jᵀ`` acts on trajectories and
the Fisher matrix ``JᵀJ`` on parameters; both share their non-zero eigenvalues. Neither is ever formed: a product
is one tangent and one adjoint sweep along the stored states.
(Hazelden & Shea-Brown, arXiv:2605.12763.)
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from rnn.model import Model, partition
from rnn.sweeps import adjoint, checkpointed, linear_cell, rollout, tangent

if TYPE_CHECKING:
    from rnn.krylov import Modes
    from rnn.spectrum import Estimate

__all__ = ["SNTK", "fisher_block", "fisher_product", "sntk"]

_DENSE_LIMIT = 2**27


class _Tree(eqx.Module):
    """Any pytree as arrays plus hashable rest, so that it may enter ``jax.jit``."""

    arrays: list[Any]
    others: tuple[Any, ...] = eqx.field(static=True)
    structure: Any = eqx.field(static=True)

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


class SNTK(eqx.Module):
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
        remat: whether states are recomputed in segments of √T steps.
    """

    parameters: Any
    h0: Float[Array, "batch state"]
    _rest: _Tree
    _readout: _Tree
    _path: Float[Array, "horizon+1 batch state"] | None
    horizon: int = eqx.field(static=True)
    outputs: int = eqx.field(static=True)
    chunk: int | None = eqx.field(static=True)
    remat: bool = eqx.field(static=True)

    @property
    def model(self) -> Model:
        """The model, all of its parameters included."""
        return eqx.combine(self.parameters, self._rest.value)

    @property
    def readout(self) -> Any:
        """What is observed of a state: ``None``, a matrix (outputs, state) or a function of one state."""
        return self._readout.value

    @property
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
        block, single, _ = self._directions(dtheta)
        y = _jvp(self, block)
        return y[0] if single else y

    def vjp(self, y: Float[Array, "*k batch horizon outputs"]) -> Any:
        """``Jᵀ y``, a pytree like the parameters.

        Raises:
            ValueError: ``y`` does not have shape (batch, horizon, outputs).
        """
        y, single = self._cotangents(y)
        return _squeeze(self.unflatten(_vjp(self, y)), single)

    def mv(self, y: Float[Array, "*k batch horizon outputs"]) -> Float[Array, "*k batch horizon outputs"]:
        """``sNTK y = J (Jᵀ y)``.

        Raises:
            ValueError: ``y`` does not have shape (batch, horizon, outputs).
        """
        y, single = self._cotangents(y)
        return _squeeze(_jvp(self, _vjp(self, y)), single)

    def fisher_mv(self, dtheta: Any) -> Any:
        """``JᵀJ dθ``, flat if ``dtheta`` is flat and a pytree like the parameters if it is one.

        Raises:
            ValueError: ``dtheta`` does not fit the parameters.
        """
        block, single, flat = self._directions(dtheta)
        product = _squeeze(fisher_block(self, block), single)
        return product if flat else self.unflatten(product)

    def leading(self, k: int, **options: Any) -> Modes:
        """The k leading singular values and parameter directions; see :func:`rnn.krylov.leading`."""
        from rnn.krylov import leading

        return leading(self, k, **options)

    def frobenius(self, **options: Any) -> Estimate:
        """The SQUARED norm ``‖J‖_F² = tr(sNTK)``; see :func:`rnn.spectrum.frobenius`."""
        from rnn.spectrum import frobenius

        return frobenius(self, **options)

    def stable_rank(self, **options: Any) -> Estimate:
        """``‖J‖_F²/‖J‖₂²`` with its standard error; see :func:`rnn.spectrum.stable_rank`."""
        from rnn.spectrum import stable_rank

        return stable_rank(self, **options)

    def as_matrix(self) -> Float[Array, "rows m"]:
        """The dense J, rows ordered (batch, time, output); for tests and small problems.

        Raises:
            ValueError: J has more than 2²⁷ entries.
        """
        if self.size > _DENSE_LIMIT:
            raise ValueError(f"J has shape {self.shape}, too large to form; use jvp, vjp or fisher_mv")
        rows, m = self.shape
        step = 64
        blocks = [
            _jvp(self, jnp.eye(min(step, m - i), m, i, dtype=self.dtype)).reshape(-1, rows) for i in range(0, m, step)
        ]
        return jnp.concatenate(blocks).T

    def _directions(self, dtheta: Any) -> tuple[Array, bool, bool]:
        m, flat = self.shape[1], eqx.is_array(dtheta) or isinstance(dtheta, np.ndarray)
        if flat:
            vectors = jnp.asarray(dtheta)
        else:
            self._check_tree(dtheta)
            vectors = self.flatten(dtheta)
        if vectors.ndim not in (1, 2) or vectors.shape[-1] != m:
            raise ValueError(
                f"dtheta must have shape ({m},) or (k, {m}) to fit the selected parameters, got {vectors.shape}"
            )
        self._check_dtype("dtheta", vectors)
        return jnp.atleast_2d(vectors), vectors.ndim == 1, flat

    def _check_tree(self, dtheta: Any) -> None:
        leaves, structure = jax.tree.flatten(dtheta)
        parameters, expected = jax.tree.flatten(self.parameters)
        if structure != expected:
            raise ValueError(f"dtheta must be a pytree like the selected parameters {expected}, got {structure}")
        lead = {x.shape[: x.ndim - p.ndim] for x, p in zip(leaves, parameters, strict=True)}
        fit = all(x.shape[x.ndim - p.ndim :] == p.shape for x, p in zip(leaves, parameters, strict=True))
        if not fit or len(lead) != 1:
            raise ValueError(
                f"dtheta must have leaves of shapes {[p.shape for p in parameters]}, with one leading axis for a "
                f"block, got {[x.shape for x in leaves]}"
            )

    def _cotangents(self, y: Array) -> tuple[Array, bool]:
        y = jnp.asarray(y)
        expected = (self.h0.shape[0], self.horizon, self.outputs)
        if y.ndim not in (3, 4) or y.shape[-3:] != expected:
            raise ValueError(f"y must have shape {expected}, or (k, *{expected}) for a block, got {y.shape}")
        self._check_dtype("y", y)
        return (y[None], True) if y.ndim == 3 else (y, False)

    def _check_dtype(self, name: str, x: Array) -> None:
        if x.dtype != self.dtype:
            raise ValueError(f"{name} must have dtype {self.dtype} like the states, got {x.dtype}; cast it")


def sntk(
    model: Model,
    h0: Float[Array, "batch state"],
    horizon: int,
    *,
    wrt: Any = None,
    readout: Any = None,
    chunk: int | None = None,
    remat: bool = False,
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
        remat: keep only about 2√T states of each trajectory and recompute the others, for long horizons.

    Returns:
        The operator. Without ``chunk`` and ``remat`` it stores the states once, batch · (T+1) · state numbers;
        otherwise every product recomputes them.

    Raises:
        ValueError: the batch is empty, ``horizon`` or ``chunk`` is no positive integer, ``wrt`` selects nothing,
            ``model`` or ``readout`` does not map a state as it should, dtypes differ, or states are not finite
            (which is not checked inside ``jax.jit``).
    """
    if jnp.ndim(h0) != 2 or 0 in jnp.shape(h0):
        raise ValueError(f"h0 must have shape (batch, state) with at least one of each, got {jnp.shape(h0)}")
    for name, value in (("horizon", horizon), ("chunk", 1 if chunk is None else chunk)):
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ValueError(f"{name} must be a positive integer, got {value!r}")
    h0 = jnp.asarray(h0)
    selected, rest = partition(model, wrt)
    _check_step(model, selected, h0)
    outputs = _count_outputs(readout, h0)
    whole = not remat and (chunk is None or chunk >= h0.shape[0])
    path = _rollout(selected, _Tree.of(rest), h0, horizon) if whole else None
    kernel = SNTK(
        selected,
        h0,
        _Tree.of(rest),
        _Tree.of(readout),
        path,
        horizon,
        outputs,
        None if whole else chunk,
        remat,
    )
    _check_finite(kernel)
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


def _check_step(model: Model, selected: Any, h0: Array) -> None:
    dtypes = {leaf.dtype for leaf in jax.tree.leaves(selected)}
    if dtypes != {h0.dtype} or not jnp.issubdtype(h0.dtype, jnp.floating):
        raise ValueError(
            f"h0 and the selected parameters must share one real floating dtype, got {h0.dtype} and "
            f"{sorted(map(str, dtypes))}; cast one of them"
        )
    after = eqx.filter_eval_shape(model, h0[0])
    if getattr(after, "shape", None) != h0.shape[1:] or after.dtype != h0.dtype:
        raise ValueError(f"model must map a state {h0.shape[1:]} {h0.dtype} to the same, got {after}")


def _count_outputs(readout: Any, h0: Array) -> int:
    if readout is None:
        return h0.shape[1]
    if eqx.is_array(readout) and (readout.ndim != 2 or readout.shape[1] != h0.shape[1]):
        raise ValueError(f"readout must have shape (outputs, {h0.shape[1]}), got {readout.shape}")
    after = eqx.filter_eval_shape(lambda h: observe(readout, h), h0[0])
    if getattr(after, "ndim", None) != 1 or after.dtype != h0.dtype:
        raise ValueError(f"readout must map one state to a vector of dtype {h0.dtype}, got {after}")
    return after.shape[0]


def _check_finite(kernel: SNTK) -> None:
    if isinstance(kernel.h0, jax.core.Tracer) or isinstance(jax.tree.leaves(kernel.parameters)[0], jax.core.Tracer):
        return
    step, trajectory = (int(i) for i in _first_bad(kernel))
    if step <= kernel.horizon:
        raise ValueError(
            f"the states are not finite from step {step} on (trajectory {trajectory}): lower horizon below it or "
            "scale the weights or h0"
        )


def observe(readout: Any, h: Array) -> Array:
    """What ``readout`` sees of one state."""
    if readout is None:
        return h
    return readout @ h if eqx.is_array(readout) else readout(h)


def _squeeze(tree: Any, single: bool) -> Any:
    return jax.tree.map(lambda x: x[0], tree) if single else tree


class _Observer:
    """Tangents and cotangents of the readout, on blocks (batch, k, ·)."""

    def __init__(self, readout: Any):
        self.readout = readout

    def push(self, h: Array, dh: Array) -> Array:
        if self.readout is None:
            return dh
        if eqx.is_array(self.readout):
            return dh @ self.readout.T
        one = lambda h, dh: jax.jvp(self.readout, (h,), (dh,))[1]  # noqa: E731
        return jax.vmap(jax.vmap(one, (None, 0)))(h, dh)

    def pull(self, h: Array, y: Array) -> Array:
        if self.readout is None:
            return y
        if eqx.is_array(self.readout):
            return y @ self.readout
        one = lambda h, y: jax.vjp(self.readout, h)[1](y)[0]  # noqa: E731
        return jax.vmap(jax.vmap(one, (None, 0)))(h, y)


def over_batch(kernel: SNTK, work: Callable[..., tuple[Any, Any]], *operands: Array) -> tuple[Any, Any]:
    """Run ``work(h0, path, *operands) -> (sums, rows)`` on chunks of the batch; add the sums, join the rows.

    Args:
        kernel: says how to chunk.
        work: sees initial states, their path (horizon+1, batch, state) if it is stored, and operands.
        operands: arrays with the batch as leading axis.
    """
    if kernel.chunk is None:
        return work(kernel.h0, kernel._path, *operands)
    batch, chunk = kernel.h0.shape[0], kernel.chunk
    count = batch // chunk
    inputs = (kernel.h0, *operands)
    blocks = [x[: count * chunk].reshape(count, chunk, *x.shape[1:]) for x in inputs]
    path = None

    def one(total, block):
        sums, rows = work(block[0], path, *block[1:])
        return jax.tree.map(jnp.add, total, sums), rows

    shapes = jax.eval_shape(lambda block: work(block[0], path, *block[1:])[0], [b[0] for b in blocks])
    zeros = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), shapes)
    sums, rows = jax.lax.scan(one, zeros, blocks)
    rows = jax.tree.map(lambda r: r.reshape(count * chunk, *r.shape[2:]), rows)
    if count * chunk == batch:
        return sums, rows
    more, tail = work(kernel.h0[count * chunk :], path, *(x[count * chunk :] for x in operands))
    return jax.tree.map(jnp.add, sums, more), jax.tree.map(lambda a, b: jnp.concatenate([a, b]), rows, tail)


def linearised(kernel: SNTK) -> tuple[Any, _Observer]:
    """The kernel's cell and readout, ready for the sweeps."""
    return linear_cell(kernel.parameters, kernel._rest.value), _Observer(kernel.readout)


@jax.jit
def _jvp(kernel: SNTK, block: Array) -> Array:
    cell, observer = linearised(kernel)
    drive = cell.drive(kernel.unflatten(block))

    def work(h0, path):
        dh = jnp.zeros((h0.shape[0], block.shape[0], h0.shape[1]), h0.dtype)
        _, y = tangent(cell, h0, path, dh, drive, observer.push, kernel.horizon)
        return (), jnp.transpose(y, (1, 2, 0, 3))

    return jnp.moveaxis(over_batch(kernel, work)[1], 1, 0)


@jax.jit
def _vjp(kernel: SNTK, y: Array) -> Array:
    cell, observer = linearised(kernel)
    k = y.shape[0]

    def work(h0, path, y):
        y = jnp.transpose(y, (2, 0, 1, 3))
        return _pull_states(kernel, cell, observer, h0, path, y, k), ()

    gradient, _ = over_batch(kernel, work, jnp.moveaxis(y, 0, 1))
    return kernel.flatten(cell.gradient(gradient))


@jax.jit
def fisher_block(kernel: SNTK, block: Float[Array, "k m"]) -> Float[Array, "k m"]:
    """``JᵀJ`` on a block of flat vectors."""
    cell, observer = linearised(kernel)
    drive = cell.drive(kernel.unflatten(block))
    k = block.shape[0]

    def work(h0, path):
        dh = jnp.zeros((h0.shape[0], k, h0.shape[1]), h0.dtype)
        if kernel.remat and kernel.readout is None:
            return _fisher_segments(kernel, cell, drive, h0, dh), ()
        _, y = tangent(cell, h0, path, dh, drive, observer.push, kernel.horizon)
        return _pull_states(kernel, cell, observer, h0, path, y, k), ()

    return kernel.flatten(cell.gradient(over_batch(kernel, work)[0]))


def _pull_states(kernel: SNTK, cell: Any, observer: _Observer, h0: Array, path: Array | None, y: Array, k: int) -> Any:
    """``Jᵀ y`` of one chunk, y time-major (horizon, batch, k, outputs), before ``cell.gradient``."""
    carry = jnp.zeros((h0.shape[0], k, h0.shape[1]), h0.dtype), cell.gradient_like(k)
    if not kernel.remat:
        path = rollout(cell, h0, kernel.horizon) if path is None else path
        return adjoint(cell, path, y, observer.pull, *carry)[1]

    def forward(h, steps):
        return jax.lax.fori_loop(0, steps, lambda _, h: cell.step(h), h)

    def backward(h, carry, y, steps):
        return adjoint(cell, rollout(cell, h, steps), y, observer.pull, *carry)

    return checkpointed(kernel.horizon, h0, forward, backward, carry, y)[1]


def _fisher_segments(kernel: SNTK, cell: Any, drive: Any, h0: Array, dh: Array) -> Any:
    """``JᵀJ`` of one chunk with states and tangents recomputed segment by segment."""

    def forward(start, steps):
        return tangent(cell, start[0], None, start[1], drive, lambda h, dh: None, steps)[0]

    def backward(start, carry, _, steps):
        h, dh = start
        path = rollout(cell, h, steps)
        _, y = tangent(cell, h, path, dh, drive, lambda h, dh: dh, steps)
        return adjoint(cell, path, y, lambda h, y: y, *carry)

    carry = jnp.zeros_like(dh), cell.gradient_like(dh.shape[1])
    return checkpointed(kernel.horizon, (h0, dh), forward, backward, carry, None)[1]


@functools.partial(jax.jit, static_argnums=3)
def _rollout(selected: Any, rest: _Tree, h0: Array, horizon: int) -> Array:
    return rollout(linear_cell(selected, rest.value), h0, horizon)


@jax.jit
def _first_bad(kernel: SNTK) -> tuple[Array, Array]:
    """First step with a non-finite state (horizon + 1 if there is none), and the trajectory it happens in."""
    cell, _ = linearised(kernel)
    horizon = kernel.horizon

    def forward(carry, t):
        h, first = carry
        h = cell.step(h)
        bad = ~jnp.isfinite(h).all(axis=1)
        return (h, jnp.where((first > t) & bad, t, first)), None

    first = jnp.where(jnp.isfinite(kernel.h0).all(axis=1), horizon + 1, 0)
    (_, first), _ = jax.lax.scan(forward, (kernel.h0, first), jnp.arange(1, horizon + 1, dtype=first.dtype))
    return first.min(), first.argmin()
