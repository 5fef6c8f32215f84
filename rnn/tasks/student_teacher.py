"""The student–teacher task, and networks with given fixed points."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, PRNGKeyArray

from rnn.models import Form, VanillaRNN, trajectory
from rnn.tasks.students import with_radius
from rnn.tasks.task import Task

__all__ = ["embed_fixed_points", "student_teacher"]


def embed_fixed_points(
    points: Float[np.ndarray, "count state"], rest: Float[np.ndarray, "state state"], radius: float
) -> Float[np.ndarray, "state state"]:
    """Weights W for which every ``±x`` of ``points`` is a fixed point of ``h' = W tanh(h)``.

    ``W = X Φ⁺ + W_⊥`` with ``Φ = tanh(X)`` (columns are points) and ``W_⊥ = ρ R (I − Φ Φ⁺)``, so that
    ``W_⊥ tanh(x) = 0``; ``ρ`` brings the spectral radius of ``W_⊥`` to ``radius``. The construction of
    Hazelden & Shea-Brown (arXiv:2605.12763, appendix B), whose ``W_⊥ x = 0`` does not give fixed points.

    Args:
        points: the fixed points, shape (count, state), with linearly independent ``tanh(x)``.
        rest: R, shape (state, state).
        radius: spectral radius of ``W_⊥``, dimensionless.

    Raises:
        ValueError: ``tanh(points)`` are linearly dependent.
    """
    X = np.asarray(points, dtype=np.float64).T
    phi = np.tanh(X)
    if np.linalg.matrix_rank(phi) < phi.shape[1]:
        raise ValueError(f"points: the {phi.shape[1]} vectors tanh(x) are linearly dependent; drop one")
    inverse = np.linalg.pinv(phi)
    perp = np.asarray(rest, dtype=np.float64)
    perp = perp - (perp @ phi) @ inverse
    return X @ inverse + with_radius(perp, radius)


def student_teacher(
    key: int | PRNGKeyArray = 0,
    *,
    size: int = 64,
    batch: int = 256,
    horizon: int = 25,
    gain: float = 0.5,
    bias: Literal["frozen", "trained"] = "frozen",
    fixed_points: Sequence[Sequence[float]] = ((1.5, 1.0), (1.5, -1.0)),
    extent: float = 2.0,
    teacher_radius: float = 0.5,
    form: Form = "W@tanh(h)+b",
    dtype: Any = jnp.float32,
) -> Task:
    """The student–teacher task of Hazelden & Shea-Brown (arXiv:2605.12763, appendix B).

    The teacher has a fixed point at ``±x`` for every ``x`` of ``fixed_points`` in its read-out neurons:
    with the default two, nine fixed points of which four are stable. Initial states are uniform on
    ``[−extent, extent]`` in the read-out neurons and zero elsewhere, one fixed batch. The student's weights
    are ``N(0, 1/size)`` rescaled to spectral radius ``gain``.

    Args:
        key: PRNG key or integer seed.
        size: N, number of neurons.
        batch: B, number of initial states.
        horizon: T, in steps.
        gain: spectral radius of the student's initial weights, dimensionless.
        bias: ``"frozen"``: no bias, the student stays odd and can meet a pitchfork;
            ``"trained"``: a bias that starts at zero, and folds take the pitchfork's place.
        fixed_points: the teacher's, in its read-out neurons, shape (count, outputs).
        extent: half-width of the box of initial states.
        teacher_radius: spectral radius of the teacher's weights off its fixed points.
        form: convention of both networks; ``"tanh(W@h+b)"`` is the same pair seen through ``tanh``.
        dtype: of the arrays.

    Raises:
        ValueError: a size that is not positive, or fixed points that do not fit.
    """
    for name, value in (("size", size), ("batch", batch), ("horizon", horizon)):
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise ValueError(f"{name} must be a positive integer, got {value!r}")
    for name, value in (("gain", gain), ("extent", extent), ("teacher_radius", teacher_radius)):
        if not (np.isfinite(value) and value >= 0):
            raise ValueError(f"{name} must be finite and not negative, got {value!r}")
    if bias not in ("frozen", "trained"):
        raise ValueError(f'bias must be "frozen" or "trained", got {bias!r}')
    x = np.asarray(fixed_points, dtype=np.float64)
    if x.ndim != 2 or x.shape[1] > size:
        raise ValueError(f"fixed_points must have shape (count, outputs ≤ size), got {x.shape}")
    count, outputs = x.shape
    points = np.zeros((count, size))
    points[:, :outputs] = x

    # NumPy's generator, so that a seed means the same networks on every JAX version and device
    seed = key if isinstance(key, int) else np.asarray(jax.random.key_data(key))
    for_student, for_teacher, for_states = np.random.default_rng(seed).spawn(3)
    weight = with_radius(for_student.normal(size=(size, size)), gain)
    rest = for_teacher.normal(size=(size, size))
    h0 = np.zeros((batch, size))
    h0[:, :outputs] = for_states.uniform(-extent, extent, (batch, outputs))
    if form == "tanh(W@h+b)":
        h0 = np.tanh(h0)
    zeros = jnp.zeros(size, dtype) if bias == "trained" else None
    student = VanillaRNN(jnp.asarray(weight, dtype), zeros, form)
    teacher = VanillaRNN(jnp.asarray(embed_fixed_points(points, rest, teacher_radius), dtype), None, form)
    h0 = jnp.asarray(h0, dtype)
    targets = trajectory(teacher, h0, horizon)[..., :outputs]
    return Task(student=student, h0=h0, targets=targets, teacher=teacher)
