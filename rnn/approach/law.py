"""The law of the approach: when descent drives a multiplier through the unit circle, with the multiplier as the clock.

Let ρ(θ) be the modulus of the critical multiplier at a followed fixed point. Under descent at the rate η

    dθ/dn = −η ∇L,      dρ/dn = η v,      v = −⟨∇L, ∇ρ⟩.

As functions of the step both run away next to the bifurcation, where v grows twentyfold. As functions of ρ they do not:

    dθ/dρ = −∇L/v,      dn/dρ = 1/(η v)

are smooth, and a handful of networks tell the whole way. From the checkpoint ρ_0 the law visits three more, at
``ρ_0 + c (1 − ρ_0)``, ``c = ¼, 3/5, 1``, each found from those before it by the polynomial through ``dθ/dρ``, and takes
from each one gradient and one pair of eigenvectors. Then

    n = (1/η) ∫_{ρ_0}^1 dρ / v(ρ) + ℓ ln(‖∇L‖_1/‖∇L‖_0),

v the exponential of the polynomial through ``ln v``. The second term is the lag of descent behind its flow: ``ℓ = ½``
for plain descent, which follows the flow of ``L + η‖∇L‖²/4`` (Barrett & Dherin 2021, arXiv:2009.11162), and
``ℓ = (1 + m)/(2(1 − m))`` for a heavy ball, whose velocity is late by ``m/(1 − m)`` steps besides.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array
from numpy.polynomial import Polynomial

from rnn.approach.critical import Critical, critical_at, kind_of, modulus_at, resolvent_at
from rnn.approach.place import LOST, settle
from rnn.models import Leaves, Model, Rebuild, flatten, partition

__all__ = ["NODES", "Law", "law"]

NODES = (0.25, 0.6, 1.0)
"""Where networks are visited, as shares of the way from ρ_0 to 1; chosen on seeds 0 to 4 of the student–teacher."""
_POINTS, _WEIGHTS = np.polynomial.legendre.leggauss(16)
_ASTRAY = 0.35  # of the way that a visited network may lie off its place
_CURVED = 0.5  # of a fall of the loss, by which the slopes at its ends may tell another one


@eqx.filter_jit
def _push(
    loss: Callable[[Any], Any],
    each: Callable[[Any], Any] | None,
    model: Model,
    point: Array,
    resolvent: Array,
    parts: list[Array],
) -> Any:
    """Loss, its flat gradient, ``v = −⟨∇L, ∇ρ⟩`` with the fixed point moving, and its variance over samples."""
    parameters, rest = partition(model)
    value, gradient = jax.value_and_grad(lambda p: loss(eqx.combine(p, rest)))(parameters)
    rise = jax.grad(modulus_at)(parameters, rest, point, resolvent, parts, 1.0)
    leaves = Leaves.of(parameters)
    flat, uphill = leaves.flatten(gradient), leaves.flatten(rise)
    scatter = jnp.asarray(jnp.nan, flat.dtype)
    if each is not None:
        slopes = jax.jvp(lambda p: each(eqx.combine(p, rest)), (parameters,), (rise,))[1]
        scatter = jnp.var(slopes)
    return value, flat, -jnp.vdot(flat, uphill), scatter


@dataclass(frozen=True)
class Law:
    """What the visited networks say; made by `law`. Arrays have one entry for each, the checkpoint first.

    Args:
        critical: multipliers and eigenvectors.
        speeds: v, the growth of ρ per step at unit rate.
        sizes: ``‖∇L‖``.
        losses: L.
        scatters: variance of the samples' own v; ``nan`` unless they were given.
        astray: multiplier or loss do not move as descent would have it: the law does not hold.
    """

    critical: tuple[Critical, ...]
    speeds: np.ndarray
    sizes: np.ndarray
    losses: np.ndarray
    scatters: np.ndarray
    astray: bool = False

    @property
    def moduli(self) -> np.ndarray:
        """ρ of the visited networks."""
        return np.array([c.modulus for c in self.critical])

    @property
    def open(self) -> bool:
        """Whether descent leads through the bifurcation: every visited network is pushed on."""
        return not self.astray and len(self.speeds) == len(NODES) + 1 and bool(np.all(self.speeds > 0))

    @property
    def wants(self) -> float:
        """The modulus at which the push ends, linear between the networks; ``nan`` where it does not end."""
        stuck = np.flatnonzero(self.speeds <= 0)
        if not len(stuck) or not stuck[0]:
            return float("nan")
        k = int(stuck[0])
        share = self.speeds[k - 1] / (self.speeds[k - 1] - self.speeds[k])
        return float(self.moduli[k - 1] + share * (self.moduli[k] - self.moduli[k - 1]))

    def times(self, moduli: Any, rate: float, momentum: float = 0.0) -> np.ndarray:
        """Steps from the checkpoint until ρ has come to each of ``moduli``; infinite where it does not.

        Args:
            moduli: increasing or not, shape (count,).
            rate: η of the flow, ``η/(1 − m)`` of a heavy ball.
            momentum: m.
        """
        places = np.atleast_1d(np.asarray(moduli, float))
        return self._times(places, rate, momentum, slice(None)) if self.open else np.full(places.shape, np.inf)

    def steps(self, rate: float, momentum: float = 0.0) -> float:
        """Steps to the crossing."""
        return float(self.times(1.0, rate, momentum)[0])

    def doubt(self, rate: float, momentum: float = 0.0) -> float:
        """By how many steps the date moves without the network at 3/5 of the way, or without the velocity's delay.

        ``m/(1 − m) ln(‖∇L‖_1/‖∇L‖_0)`` is that delay, whose next order is of its square over the steps to go.
        """
        if not self.open:
            return float("inf")
        fewer = self._times(np.ones(1), rate, momentum, [0, 1, 3])
        delay = momentum / (1 - momentum) * np.log(self.sizes[-1] / self.sizes[0])
        return float(max(abs(fewer[0] - self.steps(rate, momentum)), abs(delay)))

    def spread(self, rate: float, batch: int) -> tuple[float, float]:
        """By how much minibatches delay the crossing on average, and the standard deviation of its step.

        A step that sees b random samples kicks ρ by ``η σ/√b``, ``σ²(ρ)`` the variance of the samples' v. Kicks are
        independent, and each changes the time to go, ``∫dρ/(ηv)``, so that

            Var n = (1/ηb) ∫ σ²/v³ dρ,      ⟨n⟩ − n = (1/2b) ∫ σ² v'/v³ dρ.

        Args:
            rate: η of plain descent.
            batch: b, drawn with replacement; epochs, in which every sample comes once, scatter less.
        """
        if not self.open:
            return float("nan"), float("inf")
        at = self.moduli
        speed, noise = (_through(at, np.log(values)) for values in (self.speeds, self.scatters))
        places = at[0] + (1 - at[0]) * (1 + _POINTS) / 2
        weights = _WEIGHTS * (1 - at[0]) / 2 * np.exp(noise(places) - 3 * speed(places))
        bend = speed.deriv()(places) * np.exp(speed(places))
        return float(weights @ bend / (2 * batch)), float(np.sqrt(np.sum(weights) / (rate * batch)))

    def _times(self, places: np.ndarray, rate: float, momentum: float, kept: Any) -> np.ndarray:
        at = self.moduli[kept]
        speed, size = (_through(at, np.log(values[kept])) for values in (self.speeds, self.sizes))
        begun = at[0]
        half = (places - begun)[:, None] / 2
        inside = begun + half * (1 + _POINTS)
        lag = 0.5 * (1 + momentum) / (1 - momentum) * (size(places) - size(begun))
        return (half * np.exp(-speed(inside))) @ _WEIGHTS / rate + lag


def law(loss: Callable[[Any], Any], model: Model, point: np.ndarray, each: Callable[[Any], Any] | None = None) -> Law:
    """Visit the networks on the way from ``model`` to its bifurcation.

    It stops at the first that is not pushed on, that lies far from its place on the way, whose loss is not that of
    descent, or that has lost its point.

    Args:
        loss: what training lowers, a function of the model. Keep one function: each new one is compiled.
        model: the network as it is.
        point: the followed fixed point, or a place near it, shape (state,).
        each: the losses of the samples, shape (samples,), whose mean is ``loss``; for `Law.spread`.
    """
    flat, rebuild = np.asarray(flatten(model)), Rebuild(model)
    dtype, begun = flat.dtype, flat.astype(np.float64)
    seen: list[tuple[Critical, float, float, float, float]] = []
    ways: list[np.ndarray] = []
    astray = False
    for share in (0.0, *NODES):
        target = 0.0 if not seen else seen[0][0].modulus + share * (1 - seen[0][0].modulus)
        here = begun if not seen else begun + _along([c.modulus for c, *_ in seen], target) @ np.stack(ways)
        moved = rebuild(here.astype(dtype))
        point, jacobian, residual = settle(moved, np.asarray(point, np.float64), dtype)
        if not residual <= LOST * (1 + np.linalg.norm(point)):
            astray = True
            break
        critical = critical_at(jacobian)
        if seen and _lost_its_way(critical, target, seen[0][0]):
            astray = True
            break
        given = (point.astype(dtype), resolvent_at(jacobian).astype(dtype), critical.parts(dtype))
        value, slope, speed, scatter = (np.asarray(x, np.float64) for x in _push(loss, each, moved, *given))
        seen.append((critical, float(speed), float(np.linalg.norm(slope)), float(value), float(scatter)))
        if len(seen) > 1 and _leapt_too_far(*seen[-2:]):
            astray = True
            break
        if not speed > 0:
            break
        ways.append(-slope / speed)
    speeds, sizes, losses, scatters = (np.array([row[k] for row in seen]) for k in (1, 2, 3, 4))
    return Law(tuple(row[0] for row in seen), speeds, sizes, losses, scatters, astray)


def _lost_its_way(critical: Critical, target: float, first: Critical) -> bool:
    """The multiplier is of another kind than the first, or lies far from the place that was aimed at."""
    far = abs(critical.modulus - target) > _ASTRAY * (target - first.modulus)
    return far or kind_of(critical.value) != kind_of(first.value)


def _leapt_too_far(before: Any, after: Any) -> bool:
    """The loss did not fall as its slopes ``dL/dρ = −‖∇L‖²/v`` at both ends say.

    Descent that is stiff relaxes many times on the way, which no polynomial through a few places follows. Where the
    push ends, the slopes tell the fall only if the loss ends with it; else its gradient must not have grown.
    """
    width = after[0].modulus - before[0].modulus
    fall = before[3] - after[3]
    slopes = [size**2 / speed if speed else math.inf for _, speed, size, *_ in (before, after)]
    told = width * sum(slopes) / 2
    return not abs(told - fall) <= _CURVED * abs(fall) and not after[1] <= 0 < after[2] <= before[2]


def _through(places: np.ndarray, values: np.ndarray) -> Polynomial:
    """The polynomial through all values, in the distance from the first place scaled to the last."""
    begun, width = places[0], places[-1] - places[0]
    powers = np.vander((places - begun) / width, increasing=True)
    return Polynomial(np.linalg.solve(powers, values), domain=[begun, begun + width], window=[0, 1])


def _along(places: list[float], target: float) -> np.ndarray:
    """Weights of ``∫ dθ/dρ dρ`` from the first place to the target, by the polynomial through all of them."""
    width = target - places[0]
    powers = np.vander((np.array(places) - places[0]) / width, increasing=True)
    return np.linalg.solve(powers.T, width / (1 + np.arange(len(places))))
