"""What the normal form says of a restricted kernel, with no free parameter, and what each correction to it is worth."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

import normalforms as nf
from rnn.line import moved, tangent_of
from rnn.manifold import CentreManifold, centre_manifold, critical_basis
from rnn.model import Model
from rnn.newton import float64
from rnn.restricted import Sweep

__all__ = ["CORRECTIONS", "RUNGS", "Prediction", "predict"]

Rung = Literal["cubic", "manifold", "scalar", "response"]
Correction = Literal["projection", "curvature", "frame", "bending", "quintic", "transients"]
RUNGS: tuple[Rung, ...] = ("cubic", "manifold", "scalar", "response")
CORRECTIONS: tuple[Correction, ...] = ("projection", "curvature", "frame", "bending", "quintic", "transients")


@dataclass(frozen=True)
class Prediction:
    """What the normal form says ``‖J(s) v‖²`` should be, with no free parameter.

    ``numpy.asarray(prediction)`` is the best rung's curve.

    Attributes:
        rungs: predicted curves by name, each of shape (count,).
        measured: the measured curve.
        without: the curve of the rung ``"manifold"`` with all chosen corrections but the one that names it.
    """

    rungs: Mapping[str, np.ndarray]
    measured: np.ndarray = field(repr=False)
    without: Mapping[str, np.ndarray] = field(default_factory=dict, repr=False)

    @property
    def best(self) -> str:
        """The rung with the smallest largest relative error."""
        return min(self.rungs, key=self.max_relative_error)

    @property
    def amplification(self) -> np.ndarray:
        """The best rung's curve, shape (count,)."""
        return self.rungs[self.best]

    def r2(self, rung: str | None = None) -> float:
        """``1 − Σ(measured − predicted)² / Σ(measured − mean)²``; −∞ where the prediction is not finite."""
        return _r2(self.rungs[rung or self.best], self.measured)

    def max_relative_error(self, rung: str | None = None) -> float:
        """``max |predicted / measured − 1|``; ∞ where the prediction is not finite."""
        return _error(self.rungs[rung or self.best], self.measured)

    @property
    def gains(self) -> dict[str, tuple[float, float]]:
        """R² and largest relative error of the rung ``"manifold"`` without each correction in turn."""
        return {name: (_r2(curve, self.measured), _error(curve, self.measured)) for name, curve in self.without.items()}

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self.amplification, dtype=dtype)


def _r2(curve: np.ndarray, measured: np.ndarray) -> float:
    if not np.all(np.isfinite(curve)):
        return -np.inf
    return float(1 - np.sum((measured - curve) ** 2) / np.sum((measured - measured.mean()) ** 2))


def _error(curve: np.ndarray, measured: np.ndarray) -> float:
    return float(np.max(np.abs(curve / measured - 1))) if np.all(np.isfinite(curve)) else np.inf


def predict(
    sweep: Sweep,
    rungs: tuple[Rung, ...] = RUNGS,
    corrections: tuple[Correction, ...] = CORRECTIONS,
    *,
    gains: bool = False,
) -> Prediction:
    """The curve of ``sweep`` from the normal form and its corrections, with no free parameter.

    With ``x = Pᵀ(h − h*)``, ``h = h* + Q x + w`` and P, Q, h* of the event (Q = q, P = p where the multiplier is real):

    - ``"cubic"``: the amplification law of the normal form alone, such as
      ``(λ_s²/|c₃|) Σ_batch A_T(g(s), √|c₃| x_0)`` at a pitchfork;
    - ``"manifold"``: the map on the centre manifold as a series, ``x' = R(x, s)``, ``h = h* + Q x + κ(x, s)``
      (:mod:`rnn.manifold`), of third order in x and first in s, with the ``corrections``;
    - ``"scalar"``: the map ``x' = Pᵀ(f(h* + Q x; s) − h*)`` untruncated, after the exact first step;
    - ``"response"``: that map together with the other modes to first order,
      ``h' = f(h* + Q x; s) + D_h f(h* + Q x; s) w``.

    Args:
        sweep: of a fixed point.
        rungs: which to compute.
        corrections: of the rung ``"manifold"``:
            ``"projection"`` along the stable foliation: the first step is exact, and from then on the other modes act
            on x to first order in w (without it ``x_0 = Pᵀ(h_0 − h*)`` and x moves alone);
            ``"curvature"``: terms of R beyond the first order in s, and how the nonlinear ones move with s; it also
            gives the law its exact g(s), in place of ``1 + g_s s``;
            ``"frame"``: how fixed point and eigenvector respond to s, the terms of κ with s;
            ``"bending"``: the curvature of the manifold in x, the other terms of κ;
            ``"quintic"``: terms in x of fourth and fifth order, c₅ among them;
            ``"transients"``: the other modes' part of ``∂h_t/∂s``, to first order.
        gains: also compute the rung ``"manifold"`` without each correction in turn.

    Raises:
        ValueError: an unknown rung or correction, or a sweep of a cycle.
    """
    for name, chosen, known in (("rungs", rungs, RUNGS), ("corrections", corrections, CORRECTIONS)):
        if set(chosen) - set(known):
            raise ValueError(f"{name} must be among {known}, got {sorted(set(chosen) - set(known))}")
    if sweep.event.period != 1:
        raise ValueError(
            f"the event is of a cycle of period {sweep.event.period}; predictions are of fixed points: make the event "
            "of the iterated model, a model that takes that many steps at once"
        )
    curves: dict[str, np.ndarray] = {}
    without: dict[str, np.ndarray] = {}
    if "cubic" in rungs:
        curves["cubic"] = _law_curve(sweep, "curvature" in corrections)
    with jax.enable_x64(True):
        reduced = _Reduced(sweep)
        if "manifold" in rungs:
            curves["manifold"] = reduced.manifold(corrections)
        for rung in ("scalar", "response"):
            if rung in rungs:
                curves[rung] = reduced.untruncated(responds=rung == "response")
        if gains:
            without = {name: reduced.manifold(tuple(c for c in corrections if c != name)) for name in corrections}
    return Prediction(curves, sweep.amplification, without)


def _law_curve(sweep: Sweep, curved: bool) -> np.ndarray:
    """The law of the normal form, ``g(s)`` and ``dg/ds`` exact or to first order in s."""
    form, at = sweep.normal_form, sweep.displacement
    middle = int(np.argmin(np.abs(at)))
    g, slope, turn = sweep.parameter, sweep.slope, sweep.turn
    if not curved:
        slope, turn = np.full_like(at, slope[middle]), np.full_like(at, turn[middle])
        g = 1 + slope * at
    if sweep.kind == "neimark_sacker":
        return _rotating_curve(sweep, g, slope, turn)
    x0 = ((sweep.h0 - sweep.event.point) @ critical_basis(form)[1])[:, 0]
    law = nf.amplification(form)
    rate = slope[middle]
    return (slope / rate) ** 2 * np.sum(law(g[:, None], x0[None, :], sweep.horizon), axis=1)


def _rotating_curve(sweep: Sweep, g: np.ndarray, slope: np.ndarray, turn: np.ndarray) -> np.ndarray:
    """``Σ ‖Q ∂z_t/∂s‖²`` with ``∂z_t/∂s = (∂z_t/∂g) dg/ds + i t (dω/ds) z_t``, z in the rotating normal form."""
    Q, P = critical_basis(sweep.normal_form)
    c = sweep.normal_form.coefficients
    law = nf.amplification(nf.neimark_sacker(float(c["omega"]), complex(c["d"])))
    x0 = (sweep.h0 - sweep.event.point) @ P
    t = np.arange(1, sweep.horizon + 1)[:, None, None]
    curve = []
    for value, rate, spin in zip(g, slope, turn, strict=True):
        orbit = law.orbit(value, x0, sweep.horizon)
        quarter = np.stack([-orbit.h[..., 1], orbit.h[..., 0]], axis=-1)
        moves = orbit.s.reshape(orbit.h.shape) * rate + t * spin * quarter
        curve.append(np.sum((moves @ Q.T) ** 2))
    return np.array(curve)


class _Reduced:
    """The reduced dynamics of one sweep, as compiled programs; used where x64 is enabled."""

    def __init__(self, sweep: Sweep) -> None:
        self.model = float64(sweep.event.model)
        self.tangent = tangent_of(self.model, sweep.direction)
        self.basis = critical_basis(sweep.normal_form)
        self.point = np.asarray(sweep.event.point, np.float64)
        self.frame = tuple(map(jnp.asarray, (self.point, *self.basis)))
        self.s, self.h0 = jnp.asarray(sweep.displacement), jnp.asarray(sweep.h0)
        self.horizon = sweep.horizon
        self._series: CentreManifold | None = None

    def untruncated(self, responds: bool) -> np.ndarray:
        return np.asarray(_untruncated(self.model, self.tangent, self.frame, self.s, self.h0, self.horizon, responds))

    def manifold(self, corrections: tuple[str, ...]) -> np.ndarray:
        if self._series is None:
            self._series = centre_manifold(self.model, self.tangent, self.point, self.basis)
        series = _corrected(self._series, corrections)
        exponents = tuple(map(tuple, series.exponents.tolist()))
        parts = jnp.asarray(series.reduced), jnp.asarray(series.bend)
        switches = tuple(jnp.asarray(name in corrections) for name in ("projection", "transients"))
        args = self.model, self.tangent, self.frame, self.s, self.h0, self.horizon
        return np.asarray(_on_manifold(*args, exponents, parts, switches))


def _corrected(series: CentreManifold, corrections: tuple[str, ...]) -> CentreManifold:
    """The series with the terms of the chosen ``corrections``."""
    x, s = series.exponents[:, :-1].sum(axis=1), series.exponents[:, -1]
    curved = (s >= 2) | ((s >= 1) & (x >= 2))
    high = (x >= 4) & (s == 0)
    reduced = (~curved | ("curvature" in corrections)) & (~high | ("quintic" in corrections))
    bend = np.where(s > 0, "frame" in corrections, "bending" in corrections) & (~high | ("quintic" in corrections))
    return series.masked(reduced.astype(float), bend.astype(float))


@eqx.filter_jit
def _on_manifold(
    model: Model,
    tangent: Any,
    frame: tuple[Any, Any, Any],
    s: Any,
    h0: Any,
    horizon: int,
    exponents: tuple[tuple[int, ...], ...],
    parts: tuple[Any, Any],
    switches: tuple[Any, Any],
) -> Any:
    """``Σ ‖∂h_t/∂s‖²`` of ``h = h* + Q x + κ(x, s) + w`` with w to first order."""
    centre, Q, P = frame
    reduced, bend = parts
    projects, carries = switches

    def states(shift: Any) -> Any:
        f = moved(model, tangent, shift)

        def series(x: Any) -> tuple[Any, Any]:
            """R and κ."""
            terms = _terms(jnp.concatenate([x, jnp.full_like(x[:, :1], 1) * shift], axis=1), exponents)
            return terms @ reduced, terms @ bend

        def coordinates(h: Any) -> tuple[Any, Any]:
            x = (h - centre) @ P
            return x, h - centre - x @ Q.T - series(x)[1]

        def advance(carry: tuple[Any, Any], _: None) -> tuple[Any, Any]:
            x, w = carry
            image, bent = series(x)
            turned = jax.vmap(lambda h, d: jax.jvp(f, (h,), (d,))[1])(centre + x @ Q.T + bent, w)
            pushed = turned @ P
            ahead = jnp.where(projects, image + pushed, image)
            there = series(ahead)[1]
            w = turned - pushed @ Q.T + jnp.where(projects, series(image)[1] - there, 0.0)
            return (ahead, w), centre + ahead @ Q.T + there + jnp.where(carries, w, 0.0)

        start = coordinates(h0)
        exact = coordinates(jax.vmap(f)(h0))
        plain = advance(start, None)[0]
        begin = tuple(jnp.where(projects, a, b) for a, b in zip(exact, plain, strict=True))
        first = centre + begin[0] @ Q.T + series(begin[0])[1] + jnp.where(carries, begin[1], 0.0)
        _, later = jax.lax.scan(advance, begin, length=horizon - 1)
        return jnp.concatenate([first[None], later])

    return _squared_rate(states, s)


def _terms(x: Any, exponents: tuple[tuple[int, ...], ...]) -> Any:
    """Every monomial of the columns of ``x``, shape (batch, count)."""
    table = np.array(exponents)
    powers = [jnp.ones_like(x)]
    for _ in range(int(table.max())):
        powers.append(powers[-1] * x)
    stacked = jnp.stack(powers)
    value = jnp.ones((x.shape[0], len(table)), x.dtype)
    for i in range(x.shape[1]):
        value = value * stacked[table[:, i], :, i].T
    return value


def _squared_rate(states: Any, s: Any) -> Any:
    """``‖d states/ds‖²`` for every s, one after the other."""
    return jax.lax.map(lambda x: jnp.sum(jax.jvp(states, (x,), (jnp.ones_like(x),))[1] ** 2), s)


@eqx.filter_jit
def _untruncated(
    model: Model, tangent: Any, frame: tuple[Any, Any, Any], s: Any, h0: Any, horizon: int, responds: bool
) -> Any:
    """``Σ ‖∂h_t/∂s‖²`` of the map on the critical space, with or without the other modes' response."""
    centre, Q, P = frame

    def states(shift: Any) -> Any:
        f = moved(model, tangent, shift)

        def along(h: Any) -> tuple[Any, Any]:
            on = centre + (h - centre) @ P @ Q.T
            return on, h - on

        def advance(h: Any, _: None) -> tuple[Any, Any]:
            on, off = along(h)
            if responds:
                image, turned = jax.vmap(lambda x, w: jax.jvp(f, (x,), (w,)))(on, off)
                h = image + turned
            else:
                h = jax.vmap(f)(on)
            return h, h if responds else along(h)[0]

        first = jax.vmap(f)(h0)
        _, later = jax.lax.scan(advance, first, length=horizon - 1)
        return jnp.concatenate([(first if responds else along(first)[0])[None], later])

    return _squared_rate(states, s)
