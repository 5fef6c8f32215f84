"""The law rung: the crossing by one quadrature, from one gradient, one pair of eigenvectors and scalar gradients.

With p and q the critical eigenvectors at the checkpoint (``|q| = 1``, ``pᵀq = 1``) the network along them is

    u_1 = λ p·φ(h_0),   u_{t+1} = λ p·tanh(q u_t),   read-out q_r u_t,

φ the tanh for ``W tanh(h) + b`` and the identity for ``tanh(W h + b)``. Its loss against the true targets is
``L(λ)``, and descent is taken to move λ as it moves now, times how that changes with λ,

    steps = ∫_{λ_0}^{±1} dλ / [ λ̇ · F(λ) m(λ) / (F(λ_0) m(λ_0)) ],   F = −dL/dλ,   m = (1 − g²/λ²)⁻²,

with ``λ̇ = −η pᵀ(∇_W L) q`` of the network itself. m is the memory of the other neurons, a random network of radius
``g = |λ_0| √(1 − 1/√(|p|²|q|²))``: ``|∇λ|² = |p|²|q|²`` is what such a network has at λ_0.
"""

from __future__ import annotations

from dataclasses import dataclass

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from rnn.forecasting.flow import loss_and_slope
from rnn.models import VanillaRNN, flatten
from rnn.tasks import Task

__all__ = ["NODES", "Critical", "Law", "critical_pair", "law"]

NODES = 16


@dataclass(frozen=True)
class Critical:
    """The critical multiplier of the origin, real, with its eigenvectors.

    Args:
        value: λ.
        left: p, with ``pᵀq = 1``.
        right: q, of unit length.
        next: modulus of the next multiplier.
    """

    value: float
    left: np.ndarray
    right: np.ndarray
    next: float

    @property
    def condition(self) -> float:
        """``|p|²|q|²``, 1 for a normal matrix."""
        return float(self.left @ self.left)

    def overlap(self, outputs: int) -> float:
        """``p_r·q_r`` over the neurons that are read out: how much of the mode the loss sees; 0 for one of the bulk."""
        return float(self.left[:outputs] @ self.right[:outputs])


def critical_pair(weight: np.ndarray) -> Critical | None:
    """The leading eigenvalue with its vectors; ``None`` where it is one of a complex pair."""
    values, vectors = np.linalg.eig(weight)
    k = int(np.argmax(np.abs(values)))
    if abs(values[k].imag) > 1e-9 * abs(values[k]):
        return None
    others, covectors = np.linalg.eig(weight.T)
    j = int(np.argmin(np.abs(others - values[k])))
    right = np.real(vectors[:, k]) / np.linalg.norm(np.real(vectors[:, k]))
    left = np.real(covectors[:, j])
    rest = np.sort(np.abs(np.delete(values, k)))
    return Critical(float(values[k].real), left / (left @ right), right, float(rest[-1]) if len(rest) else 0.0)


@dataclass(frozen=True)
class Law:
    """What the quadrature says.

    Args:
        steps: to go; ``inf`` where the loss does not want the crossing.
        speed: dλ/dn now.
        wants: where the loss of the reduced network has its minimum if short of the crossing, else ``nan``.
        places: λ from the checkpoint on, beyond the crossing where the law leads on.
        times: steps at those places.
    """

    steps: float
    speed: float
    wants: float
    places: np.ndarray
    times: np.ndarray


@eqx.filter_jit
def _slopes(task: Task, left: Array, right: Array, places: Array, tanh_first: bool) -> Array:
    """``−dL/dλ`` of the scalar network at several λ."""
    outputs = task.outputs
    first = (jnp.tanh(task.h0) if tanh_first else task.h0) @ left

    def loss(value: Array) -> Array:
        def advance(u: Array, _: None) -> tuple[Array, Array]:
            return value * (jnp.tanh(u[:, None] * right) @ left), u

        _, u = jax.lax.scan(advance, value * first, length=task.horizon)
        read = jnp.moveaxis(u, 0, 1)[..., None] * right[:outputs]
        read = read if tanh_first else jnp.tanh(read)
        return jnp.mean((read - task.targets) ** 2)

    return -jax.lax.map(jax.grad(loss), places)


def law(task: Task, model: VanillaRNN, rate: float, pair: Critical) -> Law:
    """The law's date for a vanilla network followed at the origin.

    Args:
        task: what is trained.
        model: the network as it is; without bias, or with one that is zero.
        rate: η, of the flow.
        pair: its critical multiplier.
    """
    dtype, sign = task.h0.dtype, np.sign(pair.value)
    slope = np.asarray(loss_and_slope(task, jnp.asarray(flatten(model), dtype))[1], np.float64)
    slope = slope[: pair.right.size**2].reshape(pair.right.size, -1)
    speed = -rate * float(pair.left @ slope @ pair.right) * sign
    here = abs(pair.value)
    nodes, weights = np.polynomial.legendre.leggauss(NODES)
    places = here + (1 - here) * (1 + nodes) / 2
    inside = np.concatenate([[here], places])
    left, right, at = (jnp.asarray(v, dtype) for v in (pair.left, pair.right, sign * inside))
    push = sign * np.asarray(_slopes(task, left, right, at, model.form == "W@tanh(h)+b"), np.float64)
    radius = here * np.sqrt(max(0.0, 1 - pair.condition**-0.5))
    memory = (1 - (radius / inside) ** 2) ** -2.0
    pushed = push * memory
    if not speed > 0 or not np.all(pushed > 0):
        stuck = np.flatnonzero(pushed[1:] <= 0)
        wants = float(places[stuck[0]]) if speed > 0 and len(stuck) else float("nan")
        return Law(float("inf"), speed, wants, np.array([here]), np.zeros(1))
    pace = pushed[0] / (speed * pushed[1:])
    lag = 0.5 * np.log(pushed[-1] / pushed[0])  # of descent behind its flow, see rnn.forecasting.flow.flow
    steps = float((1 - here) / 2 * (weights @ pace)) + lag
    # running integral at the nodes, by the polynomial through them, and the lag so far
    inner = np.polynomial.Legendre.fit(nodes, pace, NODES - 1).integ(lbnd=-1)
    lags = 0.5 * np.log(pushed[1:] / pushed[0])
    times = np.concatenate([[0.0], (1 - here) / 2 * inner(nodes) + lags, [steps]])
    return Law(steps, speed, float("nan"), sign * np.concatenate([[here], places, [1.0]]), times)
