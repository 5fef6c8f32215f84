"""What the normal form says of a restricted kernel, with no free parameter, and what each correction to it is worth."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

import normalforms as nf
from normalforms.report import brief
from rnn.dynamics import float64
from rnn.models import Model, moved
from rnn.restricted.line import critical_basis, tangent_of
from rnn.restricted.orbit import ORBIT_RUNGS, frames, orbit_curve
from rnn.restricted.sweep import Sweep

__all__ = ["CORRECTIONS", "RUNGS", "Prediction", "predict"]

Rung = Literal["cubic", "scalar", "response", "second"]
Correction = Literal["projection", "curvature", "frame", "bending", "transients", "quintic"]
RUNGS: tuple[Rung, ...] = ("cubic", "scalar", "response")
CORRECTIONS: tuple[Correction, ...] = ("projection", "curvature", "frame", "bending", "transients", "quintic")
_SEPARATED, _APART = 0.8, 0.1


@brief
@dataclass(frozen=True)
class Prediction:
    """What the normal form says ``‖J(s) v‖²`` should be, with no free parameter.

    ``numpy.asarray(prediction)`` is the best rung's curve.

    Attributes:
        rungs: predicted curves by name, each of shape (count,).
        measured: the measured curve.
        status: ``"separated"``, or a sentence on why the other modes do not die out fast enough for any rung, or on
            trajectories that do not go to the cycle.
        without: the curve of the rung ``"response"`` with all chosen corrections but the one that names it.
    """

    rungs: Mapping[str, np.ndarray]
    measured: np.ndarray = field(repr=False)
    status: str = "separated"
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
        """R² and largest relative error of the rung ``"response"`` without each correction in turn."""
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
    rungs: tuple[Rung, ...] | None = None,
    corrections: tuple[Correction, ...] = CORRECTIONS,
    *,
    gains: bool = False,
    frame: Literal["moving", "fixed"] = "moving",
) -> Prediction:
    """The curve of ``sweep`` from the normal form and its corrections, with no free parameter.

    With ``x = Pᵀ(h − h*)``, ``h = h* + Q x + w`` and P, Q, h* of the event (Q = q, P = p where the multiplier is real),
    a step takes ``y = h* + Q x`` to

    ``x' = Pᵀ(f(y; s) − h*) + Pᵀ D_h f(y; s) w``,  ``w' = (I − Q Pᵀ)(f(y; s) − h* + D_h f(y; s) w)``.

    - ``"cubic"``: the amplification law of the normal form alone, such as
      ``(λ_s²/|c₃|) Σ_batch A_T(g(s), √|c₃| x_0)`` at a pitchfork; ∞ where its orbits leave;
    - ``"scalar"``: w = 0, after the exact first step: ``x_1 = Pᵀ(f(h_0; s) − h*)``;
    - ``"response"``: x and w after the exact first step, with the ``corrections``.

    Args:
        sweep: through a fixed point or a cycle.
        rungs: which to compute; all unless given. Of a cycle or a driven network ``"scalar"``, ``"response"`` and
            ``"second"`` about the cycle or the orbit that the input forces; see :mod:`rnn.restricted.orbit`.
        corrections: all that the rung ``"response"`` has beyond the map ``x'`` with w = 0, cut off after ``x³``:
            ``"projection"``: the exact first step, by which initial states far out reach the centre manifold; without
            it ``x_0 = Pᵀ(h_0 − h*)``;
            ``"transients"``: the part of w that starts with the initial states and decays. It also moves x, which is
            the projection along the stable foliation to first order in w;
            ``"bending"``: the part of w that x drives at s = 0, the manifold's curvature;
            ``"frame"``: the part that s drives, the response of fixed point and eigenvector, in ``∂h_t/∂s``;
            ``"curvature"``: what that part does to x, the curvature of λ(s) foremost. It also gives the law its exact
            g(s) in place of ``1 + g_s s``;
            ``"quintic"``: all orders in x beyond the third, c₅ foremost.
        gains: also compute the rung ``"response"`` without each of them in turn.
        frame: of a cycle or a driven network: points, eigenvectors and forced orbit of each s, or of s = 0 alone, as
            always at a saddle-node. The ``corrections`` and ``gains`` are of fixed points without input.

    Raises:
        ValueError: an unknown rung, correction or frame, gains of a sweep that has none, or a complex pair of a cycle
            or a driven network.
    """
    still = sweep.inputs is None and sweep.event.period == 1
    every = RUNGS if still else ORBIT_RUNGS
    rungs = every if rungs is None else rungs
    for name, chosen, known in (("rungs", rungs, every), ("corrections", corrections, CORRECTIONS)):
        if set(chosen) - set(known):
            raise ValueError(f"{name} must be among {known}, got {sorted(set(chosen) - set(known))}")
    if not still:
        if frame not in ("moving", "fixed"):
            raise ValueError(f'frame must be "moving" or "fixed", got {frame!r}')
        if gains:
            raise ValueError("gains are of the corrections at a fixed point without input; leave gains out")
        return Prediction(_orbit_curves(sweep, rungs, frame == "moving"), sweep.amplification, _status(sweep))
    curves: dict[str, np.ndarray] = {}
    if "cubic" in rungs:
        curves["cubic"] = _law_curve(sweep, "curvature" in corrections)
    if "scalar" in rungs:
        curves["scalar"] = _reduced_curve(sweep, ("projection", "quintic"))
    if "response" in rungs:
        curves["response"] = _reduced_curve(sweep, corrections)
    rest = corrections if gains else ()
    without = {name: _reduced_curve(sweep, tuple(c for c in corrections if c != name)) for name in rest}
    return Prediction(curves, sweep.amplification, _status(sweep), without)


def _orbit_curves(sweep: Sweep, rungs: tuple[Rung, ...], moving: bool) -> dict[str, np.ndarray]:
    """The curve of every rung about the cycle, or the forced orbit."""
    moving = moving and sweep.kind != "saddle_node"  # on one side of which there is no point to move with
    with jax.enable_x64(True):
        model, s = float64(sweep.event.model), sweep.displacement
        along = frames(sweep.event, sweep.direction, sweep.kind, s, moving)
        from_ = (s, sweep.h0, sweep.horizon, sweep.inputs, sweep.phase)
        curve = partial(orbit_curve, model, sweep.direction, along, *from_, moving=moving)
        return {rung: curve(rung) for rung in rungs}


def _status(sweep: Sweep) -> str:
    said = []
    if sweep.gap > _SEPARATED:
        said.append(
            f"no spectral gap: the next multiplier has modulus {sweep.gap:.3f}, more than {_SEPARATED}; "
            "expect no prediction"
        )
    astray = 0 if sweep.inputs is not None else int(np.sum(sweep.apart > _APART))
    if astray:
        said.append(
            f"{astray} of {len(sweep.h0)} trajectories end away from the cycle; start near it, or keep those initial "
            f"states alone whose sweep.apart is below {_APART}"
        )
    return "; ".join(said) or "separated"


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


def _reduced_curve(sweep: Sweep, corrections: tuple[Correction, ...]) -> np.ndarray:
    """``Σ ‖∂h_t/∂s‖²`` of the reduced dynamics with the chosen corrections."""
    with jax.enable_x64(True):
        model = float64(sweep.event.model)
        frame = tuple(jnp.asarray(np.asarray(a)) for a in (sweep.event.point, *critical_basis(sweep.normal_form)))
        s, h0, tangent = jnp.asarray(sweep.displacement), jnp.asarray(sweep.h0), tangent_of(model, sweep.direction)
        return np.asarray(_reduced(model, tangent, frame, s, h0, sweep.horizon, frozenset(corrections)))


@dataclass(frozen=True)
class _Part:
    """A part of w: what drives it, whether it acts on x, and whether it shows in ``∂h_t/∂s``."""

    sources: frozenset[str]
    acts: bool
    shows: bool


def _parts(corrections: frozenset[str]) -> list[_Part]:
    """The three parts of w, as few as can be told apart by what they do."""
    found: dict[tuple[bool, bool], set[str]] = {}
    for source, acting in (("bending", "bending"), ("frame", "curvature"), ("transients", "transients")):
        does = acting in corrections, source in corrections
        if any(does):
            found.setdefault(does, set()).add(source)
    return [_Part(frozenset(sources), *does) for does, sources in found.items()]


@eqx.filter_jit
def _reduced(
    model: Model, tangent: Any, frame: tuple[Any, ...], s: Any, h0: Any, horizon: int, corrections: frozenset[str]
) -> Any:
    centre, Q, P = frame
    parts = _parts(corrections)
    whole = "quintic" in corrections

    def off(h: Any) -> Any:
        return h - h @ P @ Q.T

    def states(shift: Any) -> Any:
        f = moved(model, tangent, shift)
        here_of, still_of = (_on_plane(map, centre, Q, whole) for map in (f, model))

        def driven(part: _Part, x: Any, here: Any) -> Any:
            if not part.sources & {"bending", "frame"}:
                return jnp.zeros_like(here)
            if part.sources >= {"bending", "frame"}:
                return off(here)
            still = still_of(x)
            return off(still if "bending" in part.sources else here - still)

        def shown(x: Any, w: Any) -> Any:
            return sum((v for part, v in zip(parts, w, strict=True) if part.shows), x @ Q.T)

        def advance(carry: tuple[Any, Any], _: None) -> tuple[Any, Any]:
            x, w = carry
            here = here_of(x)
            turned = [jax.jvp(jax.vmap(f), (centre + x @ Q.T,), (v,))[1] for v in w]
            ahead = sum((v for part, v in zip(parts, turned, strict=True) if part.acts), here) @ P
            w = [driven(part, x, here) + off(v) for part, v in zip(parts, turned, strict=True)]
            return (ahead, w), shown(ahead, w)

        def begin(h: Any) -> tuple[Any, Any]:
            free = off(h - centre)
            return (h - centre) @ P, [free if "transients" in part.sources else jnp.zeros_like(free) for part in parts]

        start = begin(jax.vmap(f)(h0)) if "projection" in corrections else advance(begin(h0), None)[0]
        later = jax.lax.scan(advance, start, length=horizon - 1)[1]
        return jnp.concatenate([shown(*start)[None], later])

    def one(shift: Any) -> Any:
        return jnp.sum(jax.jvp(states, (shift,), (jnp.ones_like(shift),))[1] ** 2)

    return jax.lax.map(one, s)


def _on_plane(f: Model, centre: Any, Q: Any, whole: bool) -> Callable[[Any], Any]:
    """``x -> f(h* + Q x) − h*`` on (batch, k), all of it or cut off after ``x³``."""

    def image(x: Any) -> Any:
        return f(centre + Q @ x) - centre

    if whole:
        return jax.vmap(image)
    orders = [image]
    for _ in range(3):
        orders.append(jax.jacfwd(orders[-1]))
    value, first, second, third = (order(jnp.zeros(Q.shape[1], Q.dtype)) for order in orders)

    def cut(x: Any) -> Any:
        square, cube = jnp.einsum("nij,bi,bj->bn", second, x, x), jnp.einsum("nijk,bi,bj,bk->bn", third, x, x, x)
        return value + x @ first.T + square / 2 + cube / 6

    return cut
