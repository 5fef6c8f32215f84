"""Amplifications and their derivatives for fitting: the second-order variational equations, many trials at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
import sympy as sp

from normalforms.formulas import Program, compiled
from normalforms.maps import Map

__all__ = ["Curve", "Design", "gauss_nodes"]

_BLOCK = 400_000  # numbers per array above which the batch is walked through in parts

Array = np.ndarray


@cache
def _advance(m: Map, order: int) -> Callable[..., Any]:
    """Compiled step of ``h``, ``s = ∂h/∂g`` and, with ``order = 2``, of ``∂s/∂g`` and of ``v = ∂h/∂e``, ``∂s/∂e``.

    ``e`` runs over the initial scale and the map's further parameters. With ``a = f_h`` and ``q = f_hh s + f_hg``:
    ``s' = a s + f_g``, ``v' = a v + f_e``, ``(∂s/∂e)' = a ∂s/∂e + q v + f_he s + f_ge``; for e = g, v is s.
    """
    n, (*extra, g) = m.dimension, m.parameters
    others: list[sp.Symbol | None] = [None, *extra] if order == 2 else []
    s = _row("s", n)
    v = [s, *(_row(f"v{d}", n) for d in range(len(others)))]
    w = [_row(f"w{d}", n) for d in range(1 + len(others))]
    a, q = ([[sp.Symbol(f"{k}_{i}_{j}", real=True) for j in range(n)] for i in range(n)] for k in "aq")
    prelude, results, inputs = [], [], [*m.states, *s]
    for i, f in enumerate(m.steps):
        for j, x in enumerate(m.states):
            prelude.append((a[i][j], f.diff(x)))
            bent = sum((f.diff(x, y) * s[k] for k, y in enumerate(m.states)), f.diff(x, g))
            prelude += [(q[i][j], bent)] if order == 2 else []
    turned = lambda matrix, vector, i: sum((matrix[i][j] * vector[j] for j in range(n)), sp.Integer(0))  # noqa: E731
    results += [sp.horner(f, *m.states) if n == 1 and f.is_polynomial(*m.states) else f for f in m.steps]
    results += [turned(a, s, i) + f.diff(g) for i, f in enumerate(m.steps)]
    for d, e in enumerate([g, *others] if order == 2 else []):
        if d:
            results += [turned(a, v[d], i) + (f.diff(e) if e else 0) for i, f in enumerate(m.steps)]
            inputs += v[d]
        inputs += w[d]
        for i, f in enumerate(m.steps):
            mixed = sum((f.diff(x, e) * s[j] for j, x in enumerate(m.states)), f.diff(g, e)) if e else sp.Integer(0)
            results.append(turned(a, w[d], i) + turned(q, v[d], i) + mixed)
    targets = [t for t, _ in prelude]
    common, reduced = sp.cse([*(e for _, e in prelude), *results], symbols=sp.numbered_symbols("u", real=True))
    values = dict(zip(targets, reduced, strict=False))
    # a and q may only use what stands before them, so they follow the common terms that hold none of them
    early = [(t, e) for t, e in common if not e.free_symbols & set(targets)]
    known = {t for t, _ in early}
    late = [(t, e) for t, e in common if t not in known]
    lines = (*early, *values.items(), *late)
    return compiled(Program((*inputs, *m.parameters), tuple(list(reduced)[len(targets) :]), prelude=lines), "numpy")


def _row(name: str, n: int) -> list[sp.Symbol]:
    return [sp.Symbol(f"{name}_{i}", real=True) for i in range(n)]


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
            total = total + self._sums(m, g, np.broadcast_to(scale, g.shape), extra, slopes, slice(start, start + part))
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
        deviation = [np.broadcast_to(moved * start[..., i], shape) for i in range(n)]
        zero = np.zeros(shape)
        state = [d + c for d, c in zip(deviation, centre, strict=True)] + [zero] * n
        if slopes:
            state += [zero] * n + deviation + [zero] * n + [zero] * (2 * n * (len(m.parameters) - 1))
        parameters = [extra[None, :, j, None] for j in range(len(m.parameters) - 1)] + [g[order][:, :, None]]
        return self._walk(_advance(m, 2 if slopes else 1), state, parameters, weight, n)

    def _walk(self, step: Any, state: list[Array], parameters: list[Array], weight: Array, n: int) -> Array:
        """The loop over time; points whose horizon is over drop out at the end of the arrays."""
        ends = self.horizon[self.order]
        count, kinds = len(ends), 1 + max(0, (len(state) // n - 2 + 1) // 2)
        sums = [np.zeros(state[0].shape) for _ in range(kinds)]
        steps = np.arange(1, int(ends[0]) + 1)
        keeps, active = np.searchsorted(-ends, -steps, side="right").tolist(), count
        with np.errstate(all="ignore"):
            for keep in keeps:
                if keep < active:
                    state = [v[:keep] for v in state]
                    parameters = [v[:keep] if len(v) == active else v for v in parameters]
                    active = keep
                state = list(step(*state, *parameters))
                _accumulate(sums, state, n, active)
            total = [np.sum(s * weight, axis=-1) for s in sums]
        result = np.empty((count, *total[0].shape[1:], kinds))
        result[self.order] = np.stack(total, axis=-1)
        return result


def _accumulate(sums: list[Array], state: list[Array], n: int, active: int) -> None:
    """Add ``‖s‖²``, and ``s·∂s`` for each direction; the state's order is h, s, ∂_g s, then pairs ∂_e h, ∂_e s."""
    s = state[n : 2 * n]
    for k, total in enumerate(sums):
        if k == 0:
            w = s
        elif k == 1:
            w = state[2 * n : 3 * n]
        else:
            w = state[(2 * k) * n : (2 * k + 1) * n]
        for a, b in zip(s, w, strict=True):
            total[:active] += a * b


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
