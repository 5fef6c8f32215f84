"""Amplifications and their derivatives for fitting: the second-order variational equations, many trials at once."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from normalforms.data.stepping import Stepper, stepper
from normalforms.maps import Map

__all__ = ["Curve", "Design", "gauss_nodes"]

_BLOCK = 6000  # numbers per array above which the batch is walked through in parts, so that all stay in the cache

Array = np.ndarray


@dataclass(frozen=True)
class Curve:
    """``ln Σ_i w_i A_T(g, c h_i)`` at every point for many trials, and its derivatives.

    Args:
        value: shape (count, trials); infinite where an orbit left the floats.
        slope: derivative by ``g``, by ``ln c`` and by each further parameter, shape (count, trials, 2 + extra).
    """

    value: Array
    slope: Array | None


@dataclass(frozen=True)
class Design:
    """Where a law is measured: horizons and initial states of every point, sorted for the loop over time.

    Args:
        horizon: T of each point, shape (count,).
        initial: deviations of the initial states from the critical state, shape (rows, batch, n); one row for all
            points or a row for each.
        weight: of each initial state in the sum, shape (rows, batch).
    """

    horizon: Array
    initial: Array
    weight: Array
    order: Array = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "order", np.argsort(-self.horizon, kind="stable"))

    def curve(self, m: Map, g: Array, scale: Array, extra: Array, slopes: bool = True) -> Curve:
        """The law of ``m`` at the points.

        Args:
            m: the map; its last parameter moves, the others are constants.
            g: value of the last parameter, shape (count, trials).
            scale: c, shape (count, trials) or (1, trials).
            extra: the other parameters, shape (trials, extra).
            slopes: with derivatives.
        """
        count, trials = g.shape
        batch = self.initial.shape[1]
        part = max(1, min(batch, _BLOCK // max(1, count * trials)))
        total = 0.0
        for start in range(0, batch, part):
            piece = self._sums(m, g, np.broadcast_to(scale, g.shape), extra, slopes, slice(start, start + part))
            with np.errstate(all="ignore"):
                total = total + piece
        total = np.asarray(total)
        with np.errstate(all="ignore"):
            value = np.where(np.isfinite(total[..., 0]), np.log(total[..., 0]), np.inf)
            slope = 2 * total[..., 1:] / total[..., :1] if slopes else None
        return Curve(value, slope)

    def _sums(self, m: Map, g: Array, scale: Array, extra: Array, slopes: bool, part: slice) -> Array:
        """``Σ_i w_i Σ_t ‖s_t‖²`` and the sums of ``s·∂s``, shape (count, trials, 1 or 3 + extra)."""
        n, order = m.dimension, self.order
        rows = slice(None) if len(self.initial) == 1 else order
        weight = self.weight[rows][:, None, part]
        start = self.initial[rows][:, None, part]
        centre = [float(m.critical[x]) if m.critical else 0.0 for x in m.states]
        moved = scale[order][:, :, None]
        shape = np.broadcast_shapes(start.shape[:-1], (*g.shape, 1))
        whole = lambda a: np.broadcast_to(a, shape).copy()  # noqa: E731
        deviation = [whole(moved * start[..., i]) for i in range(n)]
        step = stepper(m, 2 if slopes else 1)
        state = [np.zeros(shape) for _ in range(step.states)]
        state[:n] = [d + c for d, c in zip(deviation, centre, strict=True)]
        if slopes:
            state[3 * n : 4 * n] = deviation
        parameters = [whole(extra[None, :, j, None]) for j in range(len(m.parameters) - 1)]
        return self._walk(step, state, [*parameters, whole(g[order][:, :, None])], weight)

    def _walk(self, step: Stepper, state: list[Array], parameters: list[Array], weight: Array) -> Array:
        """The loop over time; points whose horizon is over drop out at the end of the arrays."""
        ends = self.horizon[self.order]
        count, shape = len(ends), state[0].shape
        sums = [np.zeros(shape) for _ in range(step.sums)]
        after = [np.empty(shape) for _ in state]
        rest = [np.empty(shape) for _ in range(step.buffers)] + sums
        steps = np.arange(1, int(ends[0]) + 1)
        keeps, active = np.searchsorted(-ends, -steps, side="right").tolist(), count
        with np.errstate(all="ignore"):
            for keep in keeps:
                if keep < active:
                    state, parameters, after, rest = ([v[:keep] for v in a] for a in (state, parameters, after, rest))
                    active = keep
                step.advance(*state, *parameters, *after, *rest)
                state, after = after, state
            total = [np.sum(s * weight, axis=-1) for s in sums]
        result = np.empty((count, *total[0].shape[1:], step.sums))
        result[self.order] = np.stack(total, axis=-1)
        return result


def gauss_nodes(values: Array, count: int) -> tuple[Array, Array]:
    """Nodes and weights of the Gauss rule of the empirical measure ``Σ_i δ(h − h_i)``, signs included.

    Exact for polynomials of degree ``2 count − 1``: the eigenvalues of the Jacobi matrix of the points, by Lanczos
    iteration with full reorthogonalisation (Golub & Meurant, *Matrices, Moments and Quadrature*, ch. 3).

    >>> nodes, weights = gauss_nodes(np.linspace(-1, 1, 101), 4)
    >>> bool(abs(weights @ nodes**6 - np.sum(np.linspace(-1, 1, 101) ** 6)) < 1e-10)
    True
    """
    size = len(values)
    q = np.full(size, size**-0.5)
    basis, alpha, beta = [q], [], []
    for _ in range(count):
        r = values * basis[-1]
        alpha.append(float(basis[-1] @ r))
        for b in (*basis, *basis):
            r = r - (b @ r) * b
        norm = float(np.linalg.norm(r))
        if norm < 1e-12 * max(1e-300, float(np.max(np.abs(values)))) or len(basis) == count:
            break
        beta.append(norm)
        basis.append(r / norm)
    k = len(alpha)
    nodes, vectors = np.linalg.eigh(np.diag(alpha) + np.diag(beta[: k - 1], 1) + np.diag(beta[: k - 1], -1))
    return nodes, size * vectors[0] ** 2
