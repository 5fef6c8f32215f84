"""The kernel restricted to one parameter direction through a bifurcation, and what the normal form says of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

import normalforms as nf
from rnn.continuation import Follower, Place
from rnn.events import Event
from rnn.jets import normal_form
from rnn.kernel import sntk
from rnn.model import Model, partition, trajectory
from rnn.newton import float64, jacobians
from rnn.record import ModelPath, Rebuild, flatten
from rnn.spectrum import Modes

__all__ = ["Prediction", "Sweep", "dominant", "fit", "multiplier_gradient", "predict", "restrict"]

Rung = Literal["cubic", "scalar", "response"]
RUNGS: tuple[Rung, ...] = ("cubic", "scalar", "response")


@dataclass(frozen=True)
class Sweep:
    """``‖J(s) v‖²`` along ``θ* + s v``, across the bifurcation at ``θ*``.

    Attributes:
        event: the bifurcation.
        direction: v, flat, unit length, turned so that the multiplier grows with s; shape (m,).
        displacement: s, shape (count,).
        parameter: the critical multiplier ``λ(s)`` of the fixed point, shape (count,), dimensionless.
        slope: ``dλ/ds`` there, shape (count,).
        amplification: ``‖J(s) v‖² = Σ_{b,t} ‖∂h_t/∂s‖²``, summed over the batch and steps 1 … T, shape (count,).
        normal_form: of the network at the event, with s as its parameter.
        h0: initial states, shape (batch, state).
        horizon: T, in steps.
        alignment: cosine between v and the gradient of the multiplier in parameter space.
        gap: modulus of the largest multiplier beside the critical one, at the event. Prediction needs it well below 1.
        share: part of ``tr(sNTK)`` that the direction carries at the event, ``‖J v‖² / ‖J‖_F²``; NaN if not asked for.
    """

    event: Event
    direction: np.ndarray
    displacement: np.ndarray
    parameter: np.ndarray
    slope: np.ndarray
    amplification: np.ndarray
    normal_form: nf.NormalForm
    h0: np.ndarray
    horizon: int
    alignment: float
    gap: float
    share: float = float("nan")

    @property
    def initial(self) -> Float[np.ndarray, " batch"]:
        """``√|c₃| ⟨p, h_0 − h*⟩``: the initial states in the coordinate of the normal form."""
        p = np.real(np.asarray(self.normal_form.adjoint_eigenvector, dtype=complex))
        c3 = float(np.real(self.normal_form.coefficients["c3"]))
        return np.sqrt(abs(c3)) * ((self.h0 - self.event.point) @ p)

    def window(self, low: float, high: float) -> Sweep:
        """The part with ``low ≤ λ ≤ high``."""
        keep = (self.parameter >= low) & (self.parameter <= high)
        names = ("displacement", "parameter", "slope", "amplification")
        parts = {name: getattr(self, name)[keep] for name in names}
        rest = {name: getattr(self, name) for name in self.__dataclass_fields__ if name not in names}
        return Sweep(**rest, **parts)


@dataclass(frozen=True)
class Prediction:
    """What the normal form says ``‖J(s) v‖²`` should be, with no free parameter.

    ``numpy.asarray(prediction)`` is the best rung's curve.

    Attributes:
        rungs: predicted curves by name, each of shape (count,).
        measured: the measured curve.
        best: name of the rung with the least relative error.
    """

    rungs: Mapping[str, np.ndarray]
    measured: np.ndarray = field(repr=False)

    @property
    def best(self) -> str:
        """The rung with the smallest largest relative error."""
        return min(self.rungs, key=self.max_relative_error)

    @property
    def amplification(self) -> np.ndarray:
        """The best rung's curve, shape (count,)."""
        return self.rungs[self.best]

    def r2(self, rung: str | None = None) -> float:
        """``1 − Σ(measured − predicted)² / Σ(measured − mean)²``."""
        gap = self.measured - self.rungs[rung or self.best]
        return float(1 - np.sum(gap**2) / np.sum((self.measured - self.measured.mean()) ** 2))

    def max_relative_error(self, rung: str | None = None) -> float:
        """``max |predicted / measured − 1|``."""
        return float(np.max(np.abs(self.rungs[rung or self.best] / self.measured - 1)))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self.amplification, dtype=dtype)


def dominant(model: Model, h0: Any, horizon: int, *, wrt: Any = None, key: int = 0) -> Modes:
    """The leading singular value and direction of J among the parameters ``wrt``, in float64."""
    with jax.enable_x64(True):
        kernel = sntk(float64(model), jnp.asarray(np.asarray(h0, np.float64)), horizon, wrt=wrt)
        return kernel.leading(1, key=jax.random.key(key))


def amplification_along(
    model: Model, direction: np.ndarray, displacement: np.ndarray, h0: Any, horizon: int
) -> np.ndarray:
    """``‖J(s) v‖²`` at ``θ + s v`` for a flat ``direction`` v and every s of ``displacement``, in float64."""
    with jax.enable_x64(True):
        base = float64(model)
        tangent = partition(Rebuild(base)(jnp.asarray(direction)))[0]
        states = jnp.asarray(np.asarray(h0, np.float64))
        return np.asarray(_measure(base, tangent, jnp.asarray(displacement), states, horizon))


def multiplier_gradient(model: Model, point: Any, form: nf.NormalForm) -> np.ndarray:
    """``∇_θ λ = ∇_θ ⟨p, D_h f(h*(θ); θ) q⟩``, the fixed point's own motion included; flat, shape (m,)."""
    with jax.enable_x64(True):
        wide = float64(model)
        p, q = (jnp.asarray(_real(v)) for v in (form.adjoint_eigenvector, form.critical_eigenvector))
        return np.asarray(_multiplier_gradient(wide, jnp.asarray(np.asarray(point, np.float64)), p, q))


@eqx.filter_jit
def _multiplier_gradient(model: Model, point: Any, p: Any, q: Any) -> Any:
    selected, rest = partition(model)

    def rate(parameters: Any, h: Any) -> Any:
        return p @ jax.jvp(eqx.combine(parameters, rest), (h,), (q,))[1]

    explicit, by_state = jax.grad(rate, argnums=(0, 1))(selected, point)
    # h* moves by (I − A)⁻¹ f_θ off the critical direction; the bordered system stays regular there
    A = jax.jacfwd(model)(point)
    n = point.size
    border = jnp.block([[jnp.eye(n) - A.T, p[:, None]], [q[None, :], jnp.zeros((1, 1))]])
    costate = jnp.linalg.solve(border, jnp.concatenate([by_state - (by_state @ q) * p, jnp.zeros(1)]))[:n]
    _, pull = jax.vjp(lambda parameters: eqx.combine(parameters, rest)(point), selected)
    moved = pull(costate)[0]
    return flatten(jax.tree.map(jnp.add, explicit, moved))


def restrict(
    event: Event,
    direction: Any = "dominant",
    *,
    h0: Any = None,
    horizon: int | None = None,
    span: tuple[float, float] = (0.8, 1.2),
    count: int = 81,
    key: int = 0,
    share: bool = False,
) -> Sweep:
    """Measure ``‖J(s) v‖²`` on a line of parameters through the bifurcation.

    Args:
        event: where the line passes through.
        direction: ``"dominant"`` (leading right singular vector of J at the event), ``"gradient"`` (of the
            critical multiplier), ``"training"`` (the path's own tangent), or v itself, flat or a pytree.
        h0: initial states, shape (batch, state); those of the training run unless given.
        horizon: T, in steps; the training run's unless given.
        span: multipliers between which to measure.
        count: how many points.
        key: seed of the eigenvalue iteration's start.
        share: also find the part of the trace of the kernel that the direction carries at the event (exact; it
            takes as long as differentiating every state).

    Raises:
        ValueError: no initial states, an unknown direction, a kind without a real multiplier that crosses,
            or a direction along which the multiplier does not move through ``span``.
    """
    if event.kind not in ("pitchfork", "transcritical", "period_doubling"):
        raise ValueError(
            f"event.kind is {event.kind!r}; a sweep needs a real multiplier that crosses the unit circle, "
            "as at a pitchfork, transcritical or period-doubling point"
        )
    if event.run is not None:
        h0 = event.run.task.h0 if h0 is None else h0
        horizon = event.run.task.horizon if horizon is None else horizon
    if h0 is None or horizon is None:
        raise ValueError("the event has no training run; pass h0= and horizon=")
    states = np.asarray(h0, np.float64)
    gradient = multiplier_gradient(event.model, event.point, event.normal_form)
    v = _direction(event, direction, gradient, states, horizon, key)
    alignment = float(v @ gradient / np.linalg.norm(gradient))
    v, alignment = (v, alignment) if alignment >= 0 else (-v, -alignment)
    form = normal_form(event.model, event.point, v, period=event.period, critical=1e-5)
    with jax.enable_x64(True):
        line = _Line(event, v)
        s, places = line.through(span, count, float(gradient @ v))
        values, slopes = line.multipliers(places)
        others = np.sort(np.abs(np.linalg.eigvals(line.jacobian(0.0, event.point))))
    return Sweep(
        event=event,
        direction=v,
        displacement=s,
        parameter=values,
        slope=slopes,
        amplification=amplification_along(event.model, v, s, states, horizon),
        normal_form=form,
        h0=states,
        horizon=horizon,
        alignment=alignment,
        gap=float(others[-2]) if len(others) > 1 else 0.0,
        share=_share(event.model, v, states, horizon) if share else float("nan"),
    )


def _share(model: Model, v: np.ndarray, h0: np.ndarray, horizon: int) -> float:
    """``‖J v‖² / ‖J‖_F²``."""
    along = amplification_along(model, v, np.zeros(1), h0, horizon)[0]
    with jax.enable_x64(True):
        trace = sntk(float64(model), jnp.asarray(h0), horizon).frobenius(exact=True).value
    return float(along / trace)


def _direction(
    event: Event, direction: Any, gradient: np.ndarray, h0: np.ndarray, horizon: int, key: int
) -> np.ndarray:
    if isinstance(direction, str):
        if direction == "dominant":
            flat = np.asarray(dominant(event.model, h0, horizon, key=key).vectors[0])
        elif direction == "gradient":
            flat = gradient
        elif direction == "training":
            flat = event.tangent
        else:
            raise ValueError(f'direction must be "dominant", "gradient", "training" or a vector, got {direction!r}')
    elif isinstance(direction, (np.ndarray, jax.Array)) and np.ndim(direction) == 1:
        flat = np.asarray(direction, np.float64)
    else:
        flat = np.asarray(flatten(direction), np.float64)
    length = np.linalg.norm(flat)
    if flat.shape != gradient.shape or not length > 0 or not np.isfinite(length):
        raise ValueError(
            f"direction must be a finite non-zero vector of {gradient.size} parameters, got shape {flat.shape}"
        )
    return flat / length


class _Line:
    """The models ``θ* + s v`` and the tracked fixed point on them; used where x64 is enabled."""

    def __init__(self, event: Event, v: np.ndarray) -> None:
        self.event = event
        self.base = float64(event.model)
        self.rebuild = Rebuild(self.base)
        self.origin = np.asarray(flatten(self.base))
        self.v = v

    def jacobian(self, s: float, point: np.ndarray) -> np.ndarray:
        model = self.rebuild(jnp.asarray(self.origin + s * self.v))
        return jacobians(model, point[None], self.event.period)[0]

    def through(self, span: tuple[float, float], count: int, slope: float) -> tuple[np.ndarray, list[Place]]:
        """Displacements whose multipliers are evenly spread over ``span``, and the fixed point at each."""
        if not abs(slope) > 0:
            raise ValueError("the multiplier does not move along direction; choose another")
        sign = -1.0 if self.event.kind == "period_doubling" else 1.0
        reach = 1.5 * np.max(np.abs(np.asarray(span) - 1)) / abs(slope)
        ends = np.array([-reach, 0.0, reach])
        path = ModelPath(ends, self.origin + ends[:, None] * self.v, self.rebuild)
        follower = Follower(path, 1e-12)
        grid = np.linspace(-reach, reach, 61)
        places = self._follow(follower, grid)
        values = sign * self.multipliers(places)[0]
        rising = np.sign(slope) * sign
        if not np.all(np.diff(values) * rising > 0) or values.min() > span[0] or values.max() < span[1]:
            raise ValueError(
                f"along direction the multiplier runs from {values.min():.3g} to {values.max():.3g}, "
                f"not monotonically through {span[0]:g} to {span[1]:g}; narrow span or choose another direction"
            )
        targets = np.linspace(*span, count)
        order = np.argsort(values)
        spline = _cubic(values[order], grid[order])
        s = spline(targets)
        return s, self._follow(follower, s)

    def _follow(self, follower: Follower, grid: np.ndarray) -> list[Place]:
        found: dict[float, Place] = {}
        for side in (grid[grid >= 0], grid[grid < 0]):
            place = Place(0.0, self.event.point, np.zeros(0))
            for s in sorted(map(float, side), key=abs):
                place, reached = follower.follow(place, s, self.event.period) if s != place.step else (place, True)
                if not reached:
                    raise ValueError(
                        f"the fixed point cannot be followed along direction beyond s = {place.step:.3g}; narrow span"
                    )
                found[s] = place
        return [found[float(s)] for s in grid]

    def multipliers(self, places: list[Place]) -> tuple[np.ndarray, np.ndarray]:
        """The critical multiplier at every place and its derivative in s."""
        middle = int(np.argmin([abs(place.step) for place in places]))
        target = complex(self.event.multiplier).real
        values = np.empty(len(places))
        for order in (range(middle, len(places)), range(middle - 1, -1, -1)):
            near = target if order.start == middle else values[middle]
            for k in order:
                mu = np.linalg.eigvals(self.jacobian(places[k].step, places[k].point))
                near = float(mu[np.argmin(np.abs(mu - near))].real)
                values[k] = near
        s = np.array([place.step for place in places])
        rank = np.argsort(s)
        slopes = np.empty(len(s))
        slopes[rank] = _cubic(s[rank], values[rank])(s[rank], 1)
        return values, slopes


def _cubic(x: np.ndarray, y: np.ndarray) -> Any:
    from scipy.interpolate import CubicSpline

    return CubicSpline(x, y)


@eqx.filter_jit
def _measure(model: Model, tangent: Any, s: Any, h0: Any, horizon: int) -> Any:
    """``‖J(s) v‖²`` for every s, one after the other."""

    def one(shift: Any) -> Any:
        states = lambda x: trajectory(_moved(model, tangent, x), h0, horizon)  # noqa: E731
        return jnp.sum(jax.jvp(states, (shift,), (jnp.ones_like(shift),))[1] ** 2)

    return jax.lax.map(one, s)


def _moved(model: Model, tangent: Any, s: Any) -> Model:
    selected, rest = partition(model)
    return eqx.combine(jax.tree.map(lambda p, d: p + s * d, selected, tangent), rest)


def predict(sweep: Sweep, rungs: tuple[Rung, ...] = RUNGS) -> Prediction:
    """The curve of ``sweep`` from the normal form and its corrections, with no free parameter.

    With ``u = ⟨p, h − h*⟩``, ``h = h* + q u + w`` and p, q, h* of the event:

    - ``"cubic"``: ``(λ_s²/|c₃|) Σ_batch A_T(g = λ(s), √|c₃| u_0)``, ``A_T`` the law of the normal form;
    - ``"scalar"``: the map ``u' = ⟨p, f(h* + q u; s) − h*⟩`` untruncated, after the exact first step;
    - ``"response"``: that map together with the other modes to first order,
      ``h' = f(h* + q u; s) + D_h f(h* + q u; s) w``.

    Args:
        sweep: of a pitchfork, transcritical or period-doubling point.
        rungs: which to compute.

    Raises:
        ValueError: an unknown rung.
    """
    unknown = set(rungs) - set(RUNGS)
    if unknown:
        raise ValueError(f"rungs must be among {RUNGS}, got {sorted(unknown)}")
    curves: dict[str, np.ndarray] = {}
    if "cubic" in rungs:
        curves["cubic"] = _law_curve(sweep)
    with jax.enable_x64(True):
        base = float64(sweep.event.model)
        tangent = partition(Rebuild(base)(jnp.asarray(sweep.direction)))[0]
        form = sweep.normal_form
        frame = (
            jnp.asarray(sweep.event.point),
            jnp.asarray(_real(form.critical_eigenvector)),
            jnp.asarray(_real(form.adjoint_eigenvector)),
        )
        s, h0 = jnp.asarray(sweep.displacement), jnp.asarray(sweep.h0)
        for rung, responds in (("scalar", False), ("response", True)):
            if rung in rungs:
                curve = _reduced(base, tangent, frame, s, h0, sweep.horizon, responds)
                curves[rung] = np.asarray(curve)
    return Prediction(curves, sweep.amplification)


def _law_curve(sweep: Sweep) -> np.ndarray:
    c3 = float(np.real(sweep.normal_form.coefficients["c3"]))
    law = nf.amplification(getattr(nf, sweep.event.kind)())
    g = np.abs(sweep.parameter)[:, None]
    total = np.sum(law(g, sweep.initial[None, :], sweep.horizon), axis=1)
    return sweep.slope**2 / abs(c3) * total


@eqx.filter_jit
def _reduced(
    model: Model, tangent: Any, frame: tuple[Any, Any, Any], s: Any, h0: Any, horizon: int, responds: bool
) -> Any:
    """``Σ ‖∂h_t/∂s‖²`` of the map on the critical direction, with or without the other modes' response."""
    centre, q, p = frame

    def states(shift: Any) -> Any:
        f = _moved(model, tangent, shift)

        def along(h: Any) -> tuple[Any, Any]:
            u = (h - centre) @ p
            return centre + u[:, None] * q, h - centre - u[:, None] * q

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

    def one(shift: Any) -> Any:
        return jnp.sum(jax.jvp(states, (shift,), (jnp.ones_like(shift),))[1] ** 2)

    return jax.lax.map(one, s)


def fit(sweep: Sweep, window: tuple[float, float] = (0.9, 1.1), laws: Any = None) -> Any:
    """Fit the amplification law to ``sweep`` within ``window`` of multipliers: :func:`normalforms.fit` on it.

    Three parameters: amplitude, scale of the parameter, scale of the initial states. All families compete
    unless ``laws`` names some.
    """
    part = sweep.window(*window)
    return nf.fit(np.abs(part.parameter), part.amplification, horizon=sweep.horizon, initial=sweep.initial, laws=laws)


def _real(vector: Any) -> np.ndarray:
    return np.real(np.asarray(vector, dtype=complex))
