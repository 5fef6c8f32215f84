"""The kernel restricted to one parameter direction through a bifurcation."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

import normalforms as nf
from normalforms.report import brief
from rnn.dynamics import Event, float64, jacobians, normal_form
from rnn.kernel import Modes, sntk
from rnn.models import Held, Model, Stroboscopic, check_inputs, flatten, moved, trajectory
from rnn.restricted.line import Line, critical_basis, force_gradient, multiplier_gradient, tangent_of
from rnn.restricted.orbit import approach, cycle_of
from rnn.restricted.residual import Residual, residual, share_of

__all__ = ["Sweep", "amplification_along", "dominant", "fit", "multiplier_gradient", "restrict"]

KINDS = ("pitchfork", "transcritical", "saddle_node", "period_doubling", "neimark_sacker")
# a saddle-node's default span, in units of 1/T², T in rounds: from its ghost an orbit leaves in π T/2 at the far end
_GHOST = 1.0


@brief
@dataclass(frozen=True)
class Sweep:
    """``‖J(s) v‖²`` along ``θ* + s v``, across the bifurcation at ``θ*``.

    Attributes:
        event: the bifurcation.
        direction: v, flat, unit length, turned so that the parameter grows with s; shape (m,).
        displacement: s, shape (count,).
        parameter: g(s), that of the named family and critical at 1, shape (count,), dimensionless: the multiplier λ of
            the tracked fixed point (pitchfork, transcritical), −λ (period doubling), ``|λ|`` (Neimark–Sacker), and
            ``1 − c₀ c₂ s`` (saddle-node, whose fixed points exist where g > 1).
        slope: ``dg/ds`` there, shape (count,).
        amplification: ``‖J(s) v‖² = Σ_{b,t} ‖∂h_t/∂s‖²``, summed over the batch and steps 1 … T, shape (count,).
        normal_form: of the network at the event, with s as its parameter.
        h0: initial states, shape (batch, state).
        horizon: T, in steps.
        alignment: cosine between v and the gradient of the parameter g in parameter space.
        gap: modulus of the largest multiplier beside the critical ones, at the event. Prediction needs it well below 1.
        turn: ``d arg(λ)/ds``, in radians, shape (count,); zero where λ is real.
        phase: at which point of the event's cycle each trajectory starts, counted in steps from ``event.point``: that
            which keeps it nearest to the cycle at the event; zero at a fixed point, shape (batch,).
        apart: how far from the cycle each trajectory is in its last round at the event, in units of the least distance
            between two points of the cycle; NaN at a fixed point, shape (batch,).
        share: part of ``tr(sNTK)`` that the direction carries at the event, ``‖J v‖² / ‖J‖_F²``; NaN if not asked for.
        inputs: of the driven network, shape (batch, horizon, inputs), or ``None``.
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
    turn: np.ndarray
    phase: np.ndarray
    apart: np.ndarray
    share: float = float("nan")
    inputs: np.ndarray | None = None

    @property
    def kind(self) -> str:
        """Of the bifurcation along v: that of the event, or the saddle-node into which v unfolds a transcritical."""
        return self.normal_form.kind

    @property
    def scale(self) -> float:
        """Factor from the critical coordinate to the family's: ``√|c₃|``, ``−c₂``, or ``√|Re d|`` of a pair."""
        c = self.normal_form.coefficients
        if self.kind in ("transcritical", "saddle_node"):
            return -float(np.real(c["c2"]))
        return float(np.sqrt(abs(np.real(c["d" if self.kind == "neimark_sacker" else "c3"]))))

    @property
    def initial(self) -> Float[np.ndarray, " batch"]:
        """`scale` times ``⟨p, h_0 − h*⟩``, of a pair its modulus: the initial states in the family's coordinate.

        At a cycle h* is the point at which the trajectory starts, and p the adjoint vector there.
        """
        P = critical_basis(self.normal_form)[1]
        x = np.empty((len(self.h0), P.shape[1]))
        with jax.enable_x64(True):
            for stage, point in enumerate(cycle_of(self.event)):
                starts, left = self.phase == stage, (self.event.period - stage) % self.event.period
                # p of a stage is that of the first, drawn back by the rest of the round and divided by λ
                back = jacobians(float64(self.event.model), point[None], left)[0].T if left else np.eye(len(point))
                turned = np.real(self.normal_form.multiplier) if left and P.shape[1] == 1 else 1.0
                x[starts] = (self.h0[starts] - point) @ back @ P / turned
        return self.scale * (x[:, 0] if x.shape[1] == 1 else np.hypot(*x.T))

    def window(self, low: float, high: float) -> Sweep:
        """The part with ``low ≤ g ≤ high``."""
        keep = (self.parameter >= low) & (self.parameter <= high)
        names = ("displacement", "parameter", "slope", "amplification", "turn")
        return replace(self, **{name: getattr(self, name)[keep] for name in names})

    def residual(self, s: float = 0.0) -> Residual:
        """``sNTK_R = sNTK − sNTK_g`` at ``θ* + s v`` and the shares that it carries."""
        return residual(self.event.model, self.direction, s, self.h0, self.horizon, inputs=self.inputs)


def dominant(model: Model, h0: Any, horizon: int | None, *, inputs: Any = None, wrt: Any = None, key: int = 0) -> Modes:
    """The leading singular value and direction of J among the parameters ``wrt``, in float64."""
    with jax.enable_x64(True):
        kernel = sntk(float64(model), _wide(h0), horizon, inputs=_wide(inputs), wrt=wrt)
        return kernel.leading(1, key=jax.random.key(key))


def _wide(array: Any) -> Any:
    return None if array is None else jnp.asarray(np.asarray(array, np.float64))


def amplification_along(
    model: Model, direction: np.ndarray, displacement: np.ndarray, h0: Any, horizon: int | None, inputs: Any = None
) -> np.ndarray:
    """``‖J(s) v‖²`` at ``θ + s v`` for a flat ``direction`` v and every s of ``displacement``, in float64."""
    with jax.enable_x64(True):
        tangent = tangent_of(model, direction)
        at = jnp.asarray(displacement)
        return np.asarray(_measure(float64(model), tangent, at, _wide(h0), horizon, _wide(inputs)))


@eqx.filter_jit
def _measure(model: Model, tangent: Any, s: Any, h0: Any, horizon: int | None, inputs: Any) -> Any:
    """``‖J(s) v‖²`` for every s, one after the other."""

    def one(shift: Any) -> Any:
        states = lambda x: trajectory(moved(model, tangent, x), h0, horizon, inputs)  # noqa: E731
        return jnp.sum(jax.jvp(states, (shift,), (jnp.ones_like(shift),))[1] ** 2)

    return jax.lax.map(one, s)


def restrict(
    event: Event,
    direction: Any = "dominant",
    *,
    h0: Any = None,
    horizon: int | None = None,
    inputs: Any = None,
    span: tuple[float, float] | None = None,
    count: int = 81,
    key: int = 0,
    share: bool = False,
) -> Sweep:
    """Measure ``‖J(s) v‖²`` on a line of parameters through the bifurcation.

    Args:
        event: where the line passes through.
        direction: ``"dominant"`` (leading right singular vector of J at the event), ``"gradient"`` (of the family's
            parameter g, see `Sweep`), ``"training"`` (the path's own tangent), or v itself, flat or a pytree.
        h0: initial states, shape (batch, state); those of the training run unless given.
        horizon: T, in steps of the event's model, which are periods of a periodic input; the training run's unless
            given.
        inputs: of the driven network, shape (batch, horizon, inputs) or (horizon, inputs); the training run's unless
            given, where the event is of the network without input. The bifurcation itself is that without input.
        span: values of g between which to measure; 0.8 to 1.2 unless given, and ``1 ± 1/T²`` at a saddle-node, whose
            fixed points are gone on one side: the orbits there pass its ghost in ``π/√(1 − g)`` steps and run away.
            Of a cycle both count rounds.
        count: how many points.
        key: seed of the eigenvalue iteration's start.
        share: also find the part of the trace of the kernel that the direction carries at the event (exact; it
            takes as long as differentiating every state).

    Raises:
        ValueError: no initial states, an unknown direction, a degenerate or linear bifurcation along the direction,
            or one along which the multiplier does not move through ``span``.

    The bifurcation of a cycle is measured along the network's own steps: the states of all T steps count. Its
    multiplier is that of a whole round. Trajectories belong near the cycle, each at a phase of its own (`Sweep.phase`).
    """
    fed = isinstance(event.model, (Held, Stroboscopic))
    if event.run is not None:
        h0 = event.run.task.h0 if h0 is None else h0
        if inputs is None and not fed:
            inputs = event.run.task.inputs
        if horizon is None and inputs is None:
            one = event.model.inputs.value.shape[0] if isinstance(event.model, Stroboscopic) else 1
            horizon = event.run.task.horizon // one
    if h0 is None or (horizon is None and inputs is None):
        raise ValueError("the event has no training run; pass h0= and horizon=")
    if inputs is not None and fed:
        raise ValueError("the event is of a network whose input is constant or periodic already; leave inputs out")
    states = np.asarray(h0, np.float64)
    if states.ndim != 2 or states.shape[1] != np.size(event.point):
        raise ValueError(f"h0 must have shape (batch, {np.size(event.point)}), got {states.shape}")
    with jax.enable_x64(True):
        given, horizon = check_inputs(_wide(inputs), horizon, len(states), jnp.float64)
    inputs = None if given is None else np.asarray(given)
    v = _direction(event, direction, states, horizon, key, inputs)
    form = normal_form(event.model, event.point, v, period=event.period, critical=1e-5)
    if form.kind not in KINDS:
        raise ValueError(f"along direction the bifurcation is {form.kind} ({form.detail}); choose another direction")
    gradient = _gradient(event, form)
    slope = float(v @ gradient)
    if slope < 0:
        v, slope = -v, -slope
        form = normal_form(event.model, event.point, v, period=event.period, critical=1e-5)
    with jax.enable_x64(True):
        line = Line(event, v, form.kind)
        s, g, rate, turn = _parameters(line, span, count, slope, horizon / event.period)
        gap = line.gap(form)
    phase, apart = approach(event, states, horizon, inputs)
    return Sweep(
        event=event,
        direction=v,
        displacement=s,
        parameter=g,
        slope=rate,
        amplification=amplification_along(event.model, v, s, states, horizon, inputs),
        normal_form=form,
        h0=states,
        horizon=horizon,
        alignment=slope / float(np.linalg.norm(gradient)),
        gap=gap,
        turn=turn,
        share=share_of(event.model, v, states, horizon, inputs) if share else float("nan"),
        inputs=inputs,
        phase=phase,
        apart=apart,
    )


def _parameters(
    line: Line, span: tuple[float, float] | None, count: int, slope: float, rounds: float
) -> tuple[np.ndarray, ...]:
    """s, g, dg/ds and d arg(λ)/ds of a sweep."""
    if line.kind == "saddle_node":
        low, high = (1 - _GHOST / rounds**2, 1 + _GHOST / rounds**2) if span is None else span
        g = np.linspace(low, high, count)
        return (g - 1) / slope, g, np.full(count, slope), np.zeros(count)
    s, multiplier, rate = line.through((0.8, 1.2) if span is None else span, count, slope)
    if line.kind == "neimark_sacker":
        turned = rate / multiplier
        return s, np.abs(multiplier), np.abs(multiplier) * turned.real, turned.imag
    return s, line.size(multiplier), line.size(rate), np.zeros(count)


def _gradient(event: Event, form: nf.NormalForm) -> np.ndarray:
    """``∇_θ g`` at the event."""
    if form.kind == "saddle_node":
        return -float(np.real(form.coefficients["c2"])) * force_gradient(event.model, event.point, form, event.period)
    gradient = multiplier_gradient(event.model, event.point, form, event.period)
    return -gradient if form.kind == "period_doubling" else gradient


def _direction(
    event: Event, direction: Any, h0: np.ndarray, horizon: int, key: int, inputs: np.ndarray | None
) -> np.ndarray:
    if isinstance(direction, str):
        if direction == "dominant":
            flat = np.asarray(dominant(event.model, h0, horizon, inputs=inputs, key=key).vectors[0])
        elif direction == "gradient":
            flat = _gradient(event, event.normal_form)
        elif direction == "training":
            flat = event.tangent
        else:
            raise ValueError(f'direction must be "dominant", "gradient", "training" or a vector, got {direction!r}')
    elif isinstance(direction, (np.ndarray, jax.Array)) and np.ndim(direction) == 1:
        flat = np.asarray(direction, np.float64)
    else:
        flat = _flat(direction)
    length, size = np.linalg.norm(flat), _flat(event.model).size
    if flat.shape != (size,) or not length > 0 or not np.isfinite(length):
        raise ValueError(f"direction must be a finite non-zero vector of {size} parameters, got shape {flat.shape}")
    return flat / length


def _flat(model: Any) -> np.ndarray:
    """The parameters in float64; an event's model has that dtype, whatever the session's."""
    with jax.enable_x64(True):
        return np.asarray(flatten(model), np.float64)


def fit(
    sweep: Sweep,
    window: tuple[float, float] = (0.9, 1.1),
    laws: Any = None,
    *,
    prediction: Any = None,
    critical: Any = 1.0,
    noise: str = "multiplicative",
) -> nf.Fit:
    """Fit the amplification law to ``sweep`` within ``window`` of its parameter, beside what the normal form predicts.

    :func:`normalforms.fit` on the sweep; its ``agreement`` compares the fitted scales with those that the normal form
    predicts without a free parameter, ``a = (g_s/scale)²`` (`Sweep.scale`), ``b = c = 1``, at 95 %, with intervals that
    allow for misfit. The modulus of a Neimark–Sacker orbit obeys the pitchfork's law where the phase does not depend
    on it.

    Args:
        sweep: the measured curve.
        window: lowest and highest parameter.
        laws: families that compete; all of them unless given.
        prediction: of the same sweep (:func:`predict`); its rungs are compared too, each also with a fit of its own.
        critical: critical parameter, or ``"free"``.
        noise: as in :func:`normalforms.fit`; ``"bootstrap"`` for intervals from blocks of residuals.

    Raises:
        ValueError: a sweep at a cycle, or as for :func:`normalforms.fit`.
    """
    if sweep.event.period > 1:
        raise ValueError(
            f"the event is of a cycle of period {sweep.event.period}, and a step of the law is a whole round; fit at "
            "the event of the iterated model, one that takes that many steps at once"
        )
    low, high = window
    keep = (sweep.parameter >= low) & (sweep.parameter <= high)
    part = sweep.window(low, high)
    found = nf.fit(
        part.parameter,
        part.amplification,
        horizon=sweep.horizon,
        initial=sweep.initial,
        laws=laws,
        critical=critical,
        noise=noise,
    )
    middle = int(np.argmin(np.abs(sweep.displacement)))
    expected: dict[str, Any] = {
        "amplitude": float(sweep.slope[middle] / sweep.scale) ** 2,
        "parameter_scale": 1.0,
        "state_scale": 1.0,
    }
    rungs = prediction.rungs if prediction is not None else {}
    return replace(found, agreement=found.against(expected | {name: curve[keep] for name, curve in rungs.items()}))
