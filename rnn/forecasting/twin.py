"""The twin rung: a small network that learns like the large one, trained in its place.

Neurons that are read out carry large states; the others stay small, so that tanh is the identity there. Descent on a
linear bulk commutes with orthogonal changes of its basis, hence an orthonormal basis U of the two-sided Krylov space

    span {E, W E, Wᵀ E, W² E, Wᵀ² E, …},   E the axes that are read out,

makes ``M = Uᵀ W U`` a network of ``r + 2 r j`` neurons that learns like the large one: the first r with tanh, the rest
linear. The basis must be orthonormal, not biorthogonal: another one would change the metric of descent.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from scipy.sparse.linalg import LinearOperator, eigsh

from rnn.forecasting.flow import loss_and_slope, real_steps
from rnn.forecasting.optimizer import HeavyBall
from rnn.forecasting.result import passage
from rnn.models import Form, ModelPath, Rebuild, VanillaRNN, flatten, trajectory
from rnn.tasks import Batch, Task

__all__ = ["Twin", "TwinRun", "rotated_velocity", "sharpness", "small_states", "train_twin", "twin_of"]

_CHUNK = 100
_SAVE = 10


class Twin(eqx.Module):
    """A vanilla network whose first neurons have a tanh and whose others are linear.

    ``h' = W φ(h) + b`` or ``h' = φ(W h + b)``, ``φ`` the tanh on the first ``outputs`` neurons, the identity elsewhere.

    Args:
        weight: M, shape (size, size).
        bias: shape (size,), or ``None``.
        form: as of :class:`rnn.VanillaRNN`.
        outputs: how many neurons have a tanh.
    """

    weight: Float[Array, "size size"]
    bias: Float[Array, " size"] | None
    form: Form = eqx.field(static=True)
    outputs: int = eqx.field(static=True)

    def _bend(self, h: Array) -> Array:
        return jnp.concatenate([jnp.tanh(h[: self.outputs]), h[self.outputs :]])

    def __call__(self, h: Float[Array, " size"]) -> Float[Array, " size"]:
        return self.columns(h[:, None])[:, 0]

    def columns(self, h: Float[Array, "size batch"]) -> Float[Array, "size batch"]:
        """A step of many states, each a column."""
        drive = self.weight @ (self._bend(h) if self.form == "W@tanh(h)+b" else h)
        drive = drive if self.bias is None else drive + self.bias[:, None]
        return drive if self.form == "W@tanh(h)+b" else self._bend(drive)


class Shadow(Task):
    """The task of a twin: the loss of :class:`rnn.Task`, with the batch as the last axis of every state.

    A product of a small matrix with a long one is two to three times as fast as one with many short vectors.
    """

    def loss(self, model: Any, batch: Batch | None = None) -> Float[Array, ""]:
        """Mean squared error over batch, steps and neurons that are read out."""
        seen = self.batch if batch is None else batch

        def step(h: Array, target: Array) -> tuple[Array, Array]:
            h = model.columns(h)
            return h, jnp.sum((h[: self.outputs] - target) ** 2)

        _, squares = jax.lax.scan(step, seen.h0.T, jnp.transpose(seen.targets, (1, 2, 0)))
        return jnp.sum(squares) / seen.targets.size


def krylov(weight: np.ndarray, seeds: np.ndarray, size: int) -> np.ndarray:
    """Orthonormal basis of the two-sided Krylov space, the seeds first, shape (state, ≤ size)."""
    basis = np.linalg.qr(seeds)[0] * np.sign(np.diag(np.linalg.qr(seeds)[1]))
    right, left = seeds, seeds
    while basis.shape[1] < size:
        right, left = weight @ right, weight.T @ left
        fresh = np.concatenate([right, left], axis=1)
        for _ in range(2):  # twice is enough (Kahan)
            fresh = fresh - basis @ (basis.T @ fresh)
        left_out, values, _ = np.linalg.svd(fresh / np.maximum(np.linalg.norm(fresh, axis=0), 1e-300))
        keep = left_out[:, : len(values)][:, values > 1e-8][:, : size - basis.shape[1]]
        if not keep.shape[1]:
            break
        basis = np.concatenate([basis, keep], axis=1)
    return basis


def twin_of(task: Task, model: VanillaRNN, size: int) -> tuple[Task, np.ndarray]:
    """The task with the small network in the large one's place, and the basis U, shape (state, ≤ size).

    Args:
        task: whose loss reads the first neurons; initial states must lie in them.
        model: the network as it is.
        size: neurons of the twin; a trained bias is one seed more of the Krylov space.
    """
    r = task.outputs
    weight = np.asarray(model.weight, np.float64)
    seeds = np.eye(len(weight))[:, :r]
    if model.bias is not None:
        bias = np.asarray(model.bias, np.float64).copy()
        bias[:r] = 0
        if np.linalg.norm(bias) > 1e-12:
            seeds = np.concatenate([seeds, (bias / np.linalg.norm(bias))[:, None]], axis=1)
    U = krylov(weight, seeds, size)
    return _rotated(task, model, U), U


def rotated_velocity(model: VanillaRNN, flat: np.ndarray, U: np.ndarray) -> np.ndarray:
    """A velocity of the large network's parameters, as the twin's."""
    n = len(U)
    moved = U.T @ flat[: n * n].reshape(n, n) @ U
    return moved.ravel() if model.bias is None else np.concatenate([moved.ravel(), U.T @ flat[n * n :]])


def _rotated(task: Task, model: VanillaRNN, U: np.ndarray) -> Task:
    r, dtype, weight = task.outputs, task.h0.dtype, np.asarray(model.weight, np.float64)
    bias = None if model.bias is None else jnp.asarray(U.T @ np.asarray(model.bias, np.float64), dtype)
    small = Twin(jnp.asarray(U.T @ weight @ U, dtype), bias, model.form, r)
    h0 = jnp.asarray(np.asarray(task.h0, np.float64) @ U, dtype)
    # the constructor is the parent's, which the type checker does not see
    return Shadow(small, h0, task.targets)  # pyright: ignore[reportCallIssue]


def small_states(task: Task, model: Any) -> float:
    """Root mean square of the states that are not read out, over batch and horizon: tanh is the identity there."""
    return float(_bulk(task, model))


@eqx.filter_jit
def _bulk(task: Task, model: Any) -> Array:
    states = trajectory(model, task.h0, task.horizon)[..., task.outputs :]
    return jnp.sqrt(jnp.mean(states**2)) if states.size else jnp.zeros(())


@dataclass
class TwinRun:
    """A trained twin.

    Args:
        steps: places that were kept.
        parameters: flat, there.
        moduli: leading two multipliers at the origin or the followed point, there.
        losses: at ``loss_steps``: every step where steps were taken, the places of the flow else.
        gradients: spent.
        crossings: of the leading two multipliers, ``nan`` for none.
        loss_steps: places of the losses.
    """

    steps: np.ndarray
    parameters: np.ndarray
    moduli: np.ndarray
    losses: np.ndarray
    gradients: int
    crossings: tuple[float, ...]
    loss_steps: np.ndarray

    def path(self, task: Task) -> ModelPath:
        """The small networks."""
        return ModelPath(self.steps, self.parameters, Rebuild(task.student))


def train_twin(
    small: Task,
    at: float,
    descent: HeavyBall,
    multipliers: Any,
    ahead: int,
    after: int,
    velocity: np.ndarray | None = None,
) -> TwinRun:
    """Train a twin until ``after`` steps past its first crossing, at most ``ahead`` steps.

    Args:
        small: the twin's task.
        at: the step at which it begins.
        descent: the optimizer.
        multipliers: ``flat ↦`` leading two multipliers, or ``None`` where the point is lost.
        ahead, after: steps.
        velocity: of a heavy ball, where it is known.
    """
    flat, done, stop, lost = np.asarray(flatten(small.student)), 0, ahead, False
    steps, kept, moduli, losses, found = [], [], [], [], [float("nan")] * 2
    recent = flat[None][:0]
    while done < stop and not lost:
        count = min(_CHUNK, ahead - done)
        run = real_steps(small, flat, descent, _CHUNK + 1, velocity)  # one length, so that it is compiled once
        flat, velocity = run.parameters[count], run.velocity[count]
        losses.append(run.losses[:count])
        known = np.concatenate([recent, run.parameters[:count]])
        for k in range(0, count, _SAVE):
            values = multipliers(run.parameters[k])
            if values is None or not np.all(np.isfinite(run.parameters[k])):
                lost = True
                break
            steps.append(at + done + k)
            kept.append(run.parameters[k])
            moduli.append(values)
            for mode in range(2):
                if len(moduli) > 1 and abs(moduli[-2][mode]) < 1 <= abs(values[mode]) and np.isnan(found[mode]):
                    here = len(recent) + k
                    found[mode] = _within(known[here - _SAVE : here + 1], steps[-1] - _SAVE, mode, multipliers)
        recent = run.parameters[max(count - _SAVE, 0) : count]
        done += count
        if stop == ahead and np.isfinite(found[0]):
            stop = min(ahead, done + after)
    return TwinRun(
        np.asarray(steps, float),
        np.stack(kept),
        np.stack(moduli),
        np.concatenate(losses),
        done,
        tuple(found),
        at + np.arange(done),
    )


def _within(rows: np.ndarray, start: float, mode: int, multipliers: Any) -> float:
    """The crossing among steps one by one: the multiplier runs away within ten of them."""
    values = [multipliers(row) for row in rows]
    moduli = np.array([0.0 if v is None else abs(v[mode]) for v in values])
    return passage(start + np.arange(len(rows)), moduli)


@eqx.filter_jit
def _hessian_product(task: Task, flat: Array, direction: Array) -> Array:
    return jax.jvp(lambda p: loss_and_slope(task, p)[1], (flat,), (direction,))[1]


def sharpness(task: Task, flat: np.ndarray) -> float:
    """The largest eigenvalue of the loss's Hessian, by Lanczos iteration to 1 %."""
    dtype = task.h0.dtype

    def product(v: np.ndarray) -> np.ndarray:
        return np.asarray(_hessian_product(task, jnp.asarray(flat, dtype), jnp.asarray(np.ravel(v), dtype)), float)

    size = len(flat)
    start = np.asarray(loss_and_slope(task, jnp.asarray(flat, dtype))[1], float)
    # SciPy chooses the class of an operator by its arguments, which its annotations do not say
    operator = LinearOperator((size, size), matvec=product, dtype=np.float64)  # pyright: ignore[reportCallIssue]
    return float(eigsh(operator, k=1, which="LA", v0=start, tol=1e-2, return_eigenvectors=False)[0])
