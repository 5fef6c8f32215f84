"""A straight line of parameters through a bifurcation: its fixed point, its multipliers, and the steepest such line."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from scipy.interpolate import CubicSpline, PchipInterpolator

import normalforms as nf
from rnn.dynamics import Event, Follower, Place, float64, jacobians, period_map
from rnn.models import Model, ModelPath, Rebuild, flatten, partition

_NUDGE, _ROUNDING = 1e-3, 1e-9  # of a side's length

__all__ = ["Line", "critical_basis", "force_gradient", "multiplier_gradient", "tangent_of"]


def tangent_of(model: Model, direction: np.ndarray) -> Any:
    """A flat ``direction`` as a float64 pytree like the parameters of ``model``; used where x64 is enabled."""
    return partition(Rebuild(float64(model))(direction))[0]


def critical_basis(form: nf.NormalForm) -> tuple[np.ndarray, np.ndarray]:
    """Real bases Q, P of the critical space and its dual, ``PᵀQ = I``; shape (state, 1), or (state, 2) of a pair.

    Of a pair ``x = (Re z, Im z)``, with ``z = ⟨p, h − h*⟩`` and ``h ≈ h* + z q + z̄ q̄``.
    """
    q, p = (np.asarray(v, dtype=np.complex128) for v in (form.critical_eigenvector, form.adjoint_eigenvector))
    if not complex(form.multiplier).imag:
        return q.real[:, None], p.real[:, None]
    return 2 * np.stack([q.real, -q.imag], 1), np.stack([p.real, -p.imag], 1)


def multiplier_gradient(model: Model, point: Any, form: nf.NormalForm, period: int = 1) -> np.ndarray:
    """``∇_θ λ = ∇_θ ⟨p, D_h f(h*(θ); θ) q⟩``, the fixed point's own motion included; flat, shape (m,).

    Of a complex pair, ``∇_θ |λ|``. Where λ = 1 the fixed point moves off the critical direction alone.
    """
    with jax.enable_x64(True):
        p, q = (np.asarray(v, dtype=np.complex128) for v in (form.adjoint_eigenvector, form.critical_eigenvector))
        value = complex(form.multiplier)
        c = p * value / abs(value) if value.imag else p
        left, right = (jnp.asarray(np.stack([z.real, z.imag])) for z in (c, q))
        bordered = value.imag == 0 and value.real > 0
        where = jnp.asarray(np.asarray(point, np.float64))
        return np.asarray(_multiplier_gradient(float64(model), where, left, right, period, bordered))


@eqx.filter_jit
def _multiplier_gradient(model: Model, point: Any, c: Any, q: Any, period: int, bordered: bool) -> Any:
    selected, rest = partition(model)

    def image(parameters: Any, h: Any) -> Any:
        return period_map(eqx.combine(parameters, rest), period)(h)

    def rate(parameters: Any, h: Any) -> Any:
        turned = jax.vmap(lambda x: jax.jvp(lambda y: image(parameters, y), (h,), (x,))[1])(q)
        return jnp.sum(c * turned)

    explicit, by_state = jax.grad(rate, argnums=(0, 1))(selected, point)
    # h* moves by (I − A)⁻¹ f_θ; where I − A is singular, off the critical direction, and the border keeps it regular
    A = jax.jacfwd(lambda h: image(selected, h))(point)
    n = point.size
    matrix = jnp.eye(n) - A.T
    if bordered:
        border = jnp.block([[matrix, c[0][:, None]], [q[0][None, :], jnp.zeros((1, 1))]])
        costate = jnp.linalg.solve(border, jnp.concatenate([by_state - (by_state @ q[0]) * c[0], jnp.zeros(1)]))[:n]
    else:
        costate = jnp.linalg.solve(matrix, by_state)
    _, pull = jax.vjp(lambda parameters: image(parameters, point), selected)
    return flatten(jax.tree.map(jnp.add, explicit, pull(costate)[0]))


def force_gradient(model: Model, point: Any, form: nf.NormalForm, period: int = 1) -> np.ndarray:
    """``∇_θ ⟨p, f(h*; θ)⟩``: how every parameter pushes the state along the critical direction; flat, shape (m,)."""
    with jax.enable_x64(True):
        p = jnp.asarray(np.real(np.asarray(form.adjoint_eigenvector, dtype=complex)))
        return np.asarray(_force_gradient(float64(model), jnp.asarray(np.asarray(point, np.float64)), p, period))


@eqx.filter_jit
def _force_gradient(model: Model, point: Any, p: Any, period: int) -> Any:
    selected, rest = partition(model)
    return flatten(jax.grad(lambda theta: p @ period_map(eqx.combine(theta, rest), period)(point))(selected))


class Line:
    """The models ``θ* + s v`` and the tracked fixed point on them; used where x64 is enabled.

    Args:
        event: the bifurcation at s = 0.
        v: flat, unit length.
        kind: of the bifurcation along v.
    """

    def __init__(self, event: Event, v: np.ndarray, kind: str) -> None:
        self.event = event
        self.kind = kind
        self.rebuild = Rebuild(float64(event.model))
        self.origin = np.asarray(flatten(float64(event.model)))
        self.v = v

    def gap(self, form: nf.NormalForm) -> float:
        """Modulus of the largest multiplier at s = 0 beside the critical one, or pair."""
        mu = np.linalg.eigvals(jacobians(float64(self.event.model), self.event.point[None], self.event.period)[0])
        value = complex(form.multiplier)
        for critical in {value, value.conjugate()}:
            mu = np.delete(mu, np.argmin(np.abs(mu - critical)))
        return float(np.max(np.abs(mu), initial=0.0))

    def size(self, multiplier: np.ndarray) -> np.ndarray:
        """The family's parameter, critical at 1, of complex multipliers: λ, −λ at a flip, |λ| of a pair."""
        if self.kind == "neimark_sacker":
            return np.abs(multiplier)
        return -np.real(multiplier) if self.kind == "period_doubling" else np.real(multiplier)

    def through(self, span: tuple[float, float], count: int, slope: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Displacements whose parameters are evenly spread over ``span``, the multiplier and ``dλ/ds`` at each."""
        if not slope > 0:
            raise ValueError("the multiplier does not move along direction; choose another")
        reach = 1.5 * np.max(np.abs(np.asarray(span) - 1)) / slope
        ends = np.array([-reach, 0.0, reach])
        follower = Follower(ModelPath(ends, self.origin + ends[:, None] * self.v, self.rebuild), 1e-12)
        grid = np.linspace(-reach, reach, 61)
        path = self._multipliers(self._follow(follower, grid))
        rising = _rising(self.size(path))
        grid, path, values = grid[rising], path[rising], self.size(path)[rising]
        if values[0] > span[0] or values[-1] < span[1]:
            raise ValueError(
                f"along direction the multiplier's size rises from {values[0]:.3g} to {values[-1]:.3g} alone, "
                f"not through {span[0]:g} to {span[1]:g}; narrow span or choose another direction"
            )
        s = PchipInterpolator(values, grid)(np.linspace(*span, count))
        s = np.where(np.abs(s) < 1e-12 * reach, 0.0, s)  # rounding; next to the event I − A is as good as singular
        return s, self._multipliers(self._follow(follower, s)), CubicSpline(grid, path)(s, 1)

    def places(self, s: np.ndarray) -> list[Place]:
        """The tracked fixed point at every displacement."""
        ends = np.array([min(s.min(), 0.0) * 1.01 - 1e-9, 0.0, max(s.max(), 0.0) * 1.01 + 1e-9])
        return self._follow(Follower(ModelPath(ends, self.origin + ends[:, None] * self.v, self.rebuild), 1e-12), s)

    def _follow(self, follower: Follower, grid: np.ndarray) -> list[Place]:
        found: dict[float, Place] = {}
        for side in (grid[grid >= 0], grid[grid < 0]):
            place, reach = (
                follower.describe(0.0, self.event.point, self.event.period),
                np.max(np.abs(side), initial=0.0),
            )
            at_event = self.kind == "pitchfork"
            for s in sorted(map(float, side), key=abs):
                if at_event and abs(s) > _ROUNDING * reach:
                    place, at_event = (
                        self._left(follower, place, float(np.copysign(min(abs(s), _NUDGE * reach), s))),
                        False,
                    )
                place, reached = follower.follow(place, s, self.event.period) if s != place.step else (place, True)
                if not reached:
                    raise ValueError(
                        f"the fixed point cannot be followed along direction beyond s = {place.step:.3g}; narrow span"
                    )
                found[s] = place
        return [found[float(s)] for s in grid]

    def _left(self, follower: Follower, place: Place, s: float) -> Place:
        """The point next to a pitchfork.

        There I − A is singular, so that rounding leaves the branch no tangent. Newton's method finds the branch from
        the event itself a little further on, as the others lie at the root of that; else it is followed as elsewhere.
        """
        return follower.place(s, place.point, self.event.period) or place

    def _multipliers(self, places: list[Place]) -> np.ndarray:
        """The critical multiplier at every place, of a pair the one that starts with positive imaginary part."""
        middle = int(np.argmin([abs(place.step) for place in places]))
        target = complex(self.event.normal_form.multiplier)
        values = np.empty(len(places), complex)
        for order in (range(middle, len(places)), range(middle - 1, -1, -1)):
            near = target if order.start == middle else values[middle]
            for k in order:
                mu = places[k].multipliers
                near = values[k] = mu[np.argmin(np.abs(mu - near))]
        return values


def _rising(values: np.ndarray) -> slice:
    """The stretch around the middle on which ``values`` rise."""
    middle = len(values) // 2
    falls = np.flatnonzero(np.diff(values) <= 0)
    low = max((int(k) + 1 for k in falls if k < middle), default=0)
    high = min((int(k) + 1 for k in falls if k >= middle), default=len(values))
    return slice(low, high)
