"""What a parameter direction leaves of the kernel: ``sNTK_R = sNTK − sNTK_g``, and how much of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from scipy.sparse.linalg import LinearOperator, eigsh

from rnn.dynamics import float64
from rnn.kernel import Split, sntk
from rnn.models import Model, moved
from rnn.restricted.line import tangent_of

__all__ = ["Residual", "residual", "share_of"]


@dataclass(frozen=True)
class Residual:
    """``sNTK_R = J (I − v vᵀ) Jᵀ``, the part of the kernel that moving along v does not make.

    Attributes:
        split: ``sNTK = sNTK_g + sNTK_R`` as operators.
        trace: ``tr(sNTK_R) / tr(sNTK)``, exact.
        norm: ``‖sNTK_R‖₂ / ‖sNTK‖₂``.
    """

    split: Split
    trace: float
    norm: float

    @property
    def carried(self) -> float:
        """``tr(sNTK_g) / tr(sNTK) = ‖J v‖² / ‖J‖_F²``."""
        return 1 - self.trace

    def mv(self, y: Any) -> Any:
        """``sNTK_R y``, y of shape (batch, horizon, state)."""
        with jax.enable_x64(True):
            return self.split.rest(y)


def residual(
    model: Model, direction: Any, s: float, h0: Any, horizon: int, *, inputs: Any = None, tolerance: float = 1e-8
) -> Residual:
    """The residual channel at ``θ + s v``, in float64.

    Args:
        model: at θ.
        direction: v, flat, shape (m,).
        s: displacement along v.
        h0: initial states, shape (batch, state).
        horizon: T, in steps.
        inputs: shape (batch, horizon, inputs), or ``None``.
        tolerance: relative, of the two norms (Lanczos on JᵀJ).
    """
    with jax.enable_x64(True):
        split = _split(model, direction, s, h0, horizon, inputs)
        kernel, carried = split.kernel, _carried(split)
        v = np.asarray(split.directions[0])

        def product(x: Any) -> np.ndarray:
            return np.asarray(kernel.flatten(kernel.fisher_mv(jnp.asarray(np.ravel(x)))))

        def rest(x: Any) -> np.ndarray:
            y = product(np.ravel(x) - v * (v @ np.ravel(x)))
            return y - v * (v @ y)

        whole, other = (_largest(f, v.size, tolerance) for f in (product, rest))
        return Residual(split, 1 - carried, other / whole)


def share_of(model: Model, direction: Any, h0: Any, horizon: int, inputs: Any = None) -> float:
    """``tr(sNTK_g) / tr(sNTK)`` alone, in float64."""
    with jax.enable_x64(True):
        return _carried(_split(model, direction, 0.0, h0, horizon, inputs))


def _split(model: Model, direction: Any, s: float, h0: Any, horizon: int, inputs: Any) -> Split:
    there = moved(float64(model), tangent_of(model, np.asarray(direction)), jnp.asarray(s))
    given = None if inputs is None else jnp.asarray(np.asarray(inputs, np.float64))
    return sntk(there, jnp.asarray(np.asarray(h0, np.float64)), horizon, inputs=given).split(jnp.asarray(direction))


def _carried(split: Split) -> float:
    return float(split.amplification / split.kernel.frobenius(exact=True).value)


def _largest(product: Any, size: int, tolerance: float) -> float:
    """The largest eigenvalue of a symmetric operator."""
    start = np.random.default_rng(0).normal(size=size)
    # SciPy's annotation takes its tolerance for an integer
    found = eigsh(_Symmetric(product, size), k=1, v0=start, tol=tolerance, return_eigenvectors=False)  # pyright: ignore[reportArgumentType]
    return float(found[0])


class _Symmetric(LinearOperator):
    """A product with a symmetric matrix, as SciPy's operator."""

    def __init__(self, product: Any, size: int) -> None:
        super().__init__(np.float64, (size, size))
        self.product = product

    def _matvec(self, x: Any) -> np.ndarray:
        return self.product(x)

    def _adjoint(self) -> _Symmetric:
        return self
