"""`DrivenLaw`: every form of the expected amplification of one map under one input."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import sympy as sp

from normalforms.families import Member, Rescaled, find, limiting
from normalforms.forms.driven import escape, stationary
from normalforms.forms.driven.exact import exact_polynomial, linear_law, settled
from normalforms.forms.driven.expectation import iterated_expectation, white_expectation
from normalforms.forms.driven.inputs import Autoregressive, Constant, Input, Sinusoid, White
from normalforms.forms.driven.number import Number
from normalforms.forms.driven.orbits import Drive, Spread, Window, check_radius, simulate, spread_of, window_of
from normalforms.forms.driven.scaling import DrivenScaling, alternated, driven_scaling
from normalforms.forms.driven.threshold import shifted
from normalforms.formulas import Formula, check_horizon, check_real, rescaled, symbols
from normalforms.maps import Map

__all__ = ["DrivenLaw"]

_CUBIC = ("pitchfork", "period_doubling")


@dataclass(frozen=True)
class DrivenLaw:
    """``E A_T(g, h0)`` of ``h_{t+1} = f(h_t, g) + x_t`` over an input ``x``.

    Args:
        map: a scalar map with one parameter.
        noise: the input, in the caller's units.
        stretch: factor from the caller's states, and inputs, to the map's.
        gain: factor from the map's ``A`` to the caller's.
        radius: orbits beyond it, in the caller's units, are removed; ``None`` for the map's own window, see `window`.
        samples: trajectories drawn where no deterministic rule reaches.
        seed: of those draws.

    Raises:
        ValueError: a map of the plane or of several parameters, something that is no input, a radius that is not
            positive.

    >>> import normalforms as nf
    >>> law = DrivenLaw(nf.stability_flip(), White(0.1))
    >>> round(law(1.0, 0.0, 10), 9), law(1.0, 0.0, 10).status
    (8.25, 'exact sum')
    """

    map: Map
    noise: Input
    stretch: sp.Expr = field(default=sp.Integer(1), kw_only=True)
    gain: sp.Expr = field(default=sp.Integer(1), kw_only=True)
    radius: float | None = field(default=None, kw_only=True)
    samples: int = field(default=20_000, kw_only=True)
    seed: int = field(default=0, kw_only=True)

    def __post_init__(self) -> None:
        if not isinstance(self.noise, (White, Constant, Sinusoid, Autoregressive)):
            raise ValueError(f"noise = {self.noise!r} is no input; give White, Constant, Sinusoid or Autoregressive")
        if not isinstance(self.map, Map) or self.map.dimension > 1 or len(self.map.parameters) > 1:
            raise ValueError("driven laws belong to scalar maps and their normal forms; reduce the map first")
        check_radius(self.radius)

    @property
    def _drive(self) -> Drive:
        return Drive(self.map)

    @property
    def _kind(self) -> str:
        found = self._drive.member
        return "" if found is None else found.kind

    @property
    def _inner(self) -> Input:
        """The input in the map's units."""
        return self.noise.scaled(self.stretch)

    def window(self, g: float) -> Window:
        """The interval that an orbit must not leave, in the caller's units.

        ``±radius``; for ``g u − c u³`` and its period doubling ``±√((1 + g)/3c)``, within which the map
        stretches by no more than ``max(1, g)``. An orbit beyond it is removed from every mean, and `Number.escaped` is
        the chance of that. Elsewhere the radius beyond which every orbit diverges; an orbit that leaves it makes the
        mean infinite.
        """
        low, high = self._window(float(check_real(g, "g")))[0]
        return low / float(abs(self.stretch)), high / float(abs(self.stretch))

    def _window(self, g: float) -> tuple[Window, bool]:
        inner = None if self.radius is None else float(self.radius) * float(abs(self.stretch))
        return window_of(self._drive, g, inner)

    def __call__(self, g: Any, h0: Any, horizon: int) -> Any:
        """``E A_T``, elementwise over broadcast ``g`` and ``h0``.

        Exact sums for the linear family; the backward recursion of the expected sum for white noise; the orbit itself
        for inputs that are not random; else draws, with their standard error.

        Args:
            g: parameter. h0: initial state. horizon: steps.

        Returns:
            A `Number` (``.error``, ``.escaped``, ``.status``) for numbers; an array for arrays, see `error`.

        Raises:
            ValueError: complex or NaN input, a horizon that is no positive integer.
        """
        return self._all(g, h0, horizon, "value")

    def error(self, g: Any, h0: Any, horizon: int) -> Any:
        """How far the call can be off at these arguments: rounding, the last refinement, or two standard errors."""
        return self._all(g, h0, horizon, "error")

    def escaped(self, g: Any, h0: Any, horizon: int) -> Any:
        """The chance that an orbit left the `window`, or the part of the draws that did."""
        return self._all(g, h0, horizon, "escaped")

    def _all(self, g: Any, h0: Any, horizon: int, what: str) -> Any:
        g, h0, horizon = check_real(g, "g"), check_real(h0, "h0"), check_horizon(horizon)
        g, h0 = np.broadcast_arrays(g, h0)
        found = np.empty(g.shape, dtype=object)
        for value in np.unique(g):
            here = g == value
            starts = h0[here] * float(self.stretch)
            for place, number in zip(np.argwhere(here), self._numbers(float(value), starts, horizon), strict=True):
                found[tuple(place)] = number
        if found.ndim == 0:
            return found[()] if what == "value" else getattr(found[()], what)
        parts = [n if what == "value" else getattr(n, what) for n in found.flat]
        return np.array(parts, dtype=float).reshape(found.shape)

    def _numbers(self, g: float, starts: np.ndarray, horizon: int) -> list[Number]:
        gain, noise = float(self.gain), self._inner
        if self._kind == "stability_flip":
            values = np.atleast_1d(linear_law(noise)(g, starts, horizon)) * gain
            return [Number(v, error=1e-15 * (horizon + 10) * abs(v), status="exact sum") for v in values]
        window, removed = self._window(g)
        inside = (starts >= window[0]) & (starts <= window[1])
        out = [Number(np.inf, escaped=1.0, status="h0 lies outside the window")] * len(starts)
        if isinstance(noise, White) and np.any(inside):
            found = white_expectation(self._drive, g, starts[inside], noise, horizon, window)
            if found is not None:
                values, errors, stayed, status = found
                for i, v, e, k in zip(np.flatnonzero(inside), values, errors, stayed, strict=True):
                    left = max(0.0, 1.0 - float(k))
                    if not removed and left > 1e-12:
                        out[i] = Number(np.inf, escaped=left, status="orbits leave, and none is removed: give a radius")
                    else:
                        out[i] = Number(gain * v / k, gain * e / k, left if left > 1e-13 else 0.0, status)
                return out
        for i in np.flatnonzero(inside):
            found = iterated_expectation(
                self._drive, g, float(starts[i]), noise, horizon, window, removed, (self.samples, self.seed)
            )
            out[i] = Number(gain * found, gain * found.error, found.escaped, found.status)
        return out

    def spread(self, g: float, h0: float, horizon: int, trajectories: int = 20_000, batch: int = 128) -> Spread:
        """Mean, median, quantiles and the mean of a finite batch, by draws.

        A batch of n orbits shows the mean only while the rare orbits that carry it are among the n: compare ``batch``
        with ``mean``, and see `tail` for the power with which they part.

        Args:
            g: parameter.
            h0: initial state.
            horizon: steps.
            trajectories: draws, a multiple of ``batch`` or cut to one.
            batch: orbits in one batch.
        """
        g, horizon = float(check_real(g, "g")), check_horizon(horizon)
        inputs = self._inner.stream(np.random.default_rng(self.seed), horizon, trajectories)
        start = float(check_real(h0, "h0")) * float(self.stretch)
        total, kept = simulate(self._drive, g, start, inputs, trajectories, self._window(g)[0])
        return spread_of(float(self.gain) * total[kept], trajectories, batch)

    def exact(self, horizon: int | None = None, order: int | None = None) -> Formula:
        """``E A_T`` with exact coefficients.

        The linear family: closed in ``g, h0``, for every horizon, and with ``T`` a symbol for ``None``. Polynomial maps
        under white noise or a fixed constant input: the polynomial in ``g, h0`` of one horizon, whole or through joint
        degree ``order`` in ``h0`` and the input.

        Args:
            horizon: steps; ``None`` in the linear family alone.
            order: highest joint degree kept; ``None`` for the whole polynomial, for few steps.

        Raises:
            ValueError: an input or map without such a polynomial, or one that would explode.

        >>> import normalforms as nf
        >>> DrivenLaw(nf.stability_flip(), White(1)).exact(2)(1.0, 0.0)
        1.0
        """
        if horizon is not None:
            horizon = check_horizon(horizon)
        if self._kind == "stability_flip":
            formula = linear_law(self._inner)
            if horizon is not None:
                formula = settled(formula, {symbols("T"): sp.Integer(horizon)})
            return rescaled(formula, self.stretch, self.gain)
        if horizon is None:
            raise ValueError("only the linear family has an exact law in symbolic T; give a horizon")
        return rescaled(exact_polynomial(self.map, self._inner, horizon, order), self.stretch, self.gain)

    @property
    def _limit(self) -> tuple[Member | None, Rescaled]:
        """The member of a family with the same limits, and the units between the two."""
        found = limiting(self.map)
        return find(found.map), found

    def scaling(self) -> DrivenScaling:
        """The scaling function ``E A_T ≈ prefactor · Ψ(x, y; z)``; see `driven_scaling`."""
        member, found = self._limit
        if member is None:
            raise ValueError("scaling laws belong to a normal form; reduce the map and ask the law of its normal form")
        stretch, gain = found.stretch * self.stretch, found.gain * self.gain
        return driven_scaling(member, self.noise, stretch, gain, found.map != self.map, self.radius)

    def _noisy(self) -> tuple[str, sp.Expr]:
        """The kind of limit under noise, "pitchfork", "subcritical", "saddle_node" or "transcritical", and c.

        Period doublings count as pitchforks; c is in the map's units.
        """
        member, found = self._limit
        if member is None or member.kind == "stability_flip":
            kind = "a map of no family" if member is None else "a linear map"
            raise ValueError(f"such laws belong to families with a nonlinear term, not to {kind}")
        if not isinstance(self.noise, (White, Autoregressive)):
            raise ValueError(f"stationary laws belong to noise; {type(self.noise).__name__} is none")
        cubic, c = member.kind in _CUBIC, member.coefficient
        kind = ("pitchfork" if c > 0 else "subcritical") if cubic else member.kind
        return kind, c * found.stretch ** (2 if cubic else 1)

    def _supercritical(self) -> sp.Expr:
        """c of ``±(g h − c h³)``, where it is positive."""
        kind, c = self._noisy()
        if kind != "pitchfork":
            raise ValueError(
                f"such laws belong to a supercritical pitchfork or period doubling; noise lets orbits of this {kind}"
                " family escape: see moment_exponent, exponent, tail and passage"
            )
        return c

    @property
    def _as_pitchfork(self) -> Input:
        """The input as the pitchfork sees it, of which a period doubling is every other sign."""
        member, _ = self._limit
        return alternated(self._inner) if member is not None and member.kind == "period_doubling" else self._inner

    @property
    def strength(self) -> sp.Expr:
        """The unit of every rate per step under noise, and of ``m = (g − 1)/strength``.

        ``√|c| σ`` in pitchforks and period doublings, ``(|c| σ)^{2/3}`` in transcritical and saddle-node maps, with
        ``m = c (g − 1)/strength²`` in the latter. Coloured noise has ``σ √((1+ρ)/(1−ρ))`` for σ (ρ changes sign in a
        period doubling).

        Raises:
            ValueError: no noise, a linear map, or a map of no family.
        """
        kind, c = self._noisy()
        noise = self._as_pitchfork
        variance = noise.intensity if isinstance(noise, Autoregressive) else noise.covariance(0)
        if kind in ("pitchfork", "subcritical"):
            return sp.sqrt(sp.Abs(c) * variance)
        return sp.cbrt(c**2 * variance)

    def stationary(self, m: float) -> Number:
        """``κ(m)``: strongly driven (``T σ ≫ 1``) ``E A_T → rate κ(m) T``; see `rate`.

        Raises:
            ValueError: no noise on a supercritical pitchfork or period doubling.
        """
        self._supercritical()
        return stationary.stationary_moment(m)

    @property
    def rate(self) -> sp.Expr:
        """``gain/(c σ)``, σ that of `strength`: ``E A_T → rate · κ(m) · T`` as ``T σ → ∞``."""
        return self.gain / (self._supercritical() * self.strength)

    def exponent(self, m: float) -> Number:
        """Every orbit's exponent ``Λ(m)``, in units of `strength` per step.

        ``E(m − 3v²)`` of a pitchfork or period doubling, see `stationary.exponent_formula`; of those that stay, where
        orbits escape.

        >>> import normalforms as nf
        >>> round(DrivenLaw(nf.pitchfork(), White(0.1)).exponent(0), 10)
        -1.4339663925
        """
        kind, _ = self._noisy()
        if kind == "subcritical":
            return stationary.subcritical_exponent(m)
        if kind != "pitchfork":
            return escape.fold_exponent(_fold(kind, m))
        value = stationary.exponent_formula()(m)
        return Number(value, error=4e-15 * max(1.0, abs(value)), status="closed form")

    def moment_exponent(self, m: float, order: float = 2.0) -> Number:
        """``L(q; m)`` of ``E |s|^q ~ e^{L t}``, in units of `strength` per step; for ``E A_T`` the order q is 2.

        Where orbits escape, of those that stay within some radius: ``E(|s|^q; stay)``, so that ``−L(0)`` is the rate at
        which they leave and ``L(2) − L(0)`` that of their mean, positive at every m.
        """
        kind, _ = self._noisy()
        if kind == "pitchfork":
            return stationary.moment_exponent(m, order)
        return (
            stationary.subcritical_growth(m, order)
            if kind == "subcritical"
            else escape.fold_growth(_fold(kind, m), order)
        )

    def tail(self, m: float) -> Number:
        """``α(m)`` of ``P(|s| > S) ~ S^{−α}``; a batch of n orbits sums to ``n^{2/α}`` where ``α < 2``.

        ½ in transcritical and saddle-node maps, ⅔ in subcritical ones, until the states are no longer small: an orbit
        that escapes at time t* has ``s ~ (t* − t)^{−1/α}``, and t* has a density. The sum ``A`` has ⅓ and ½ there.
        """
        kind, _ = self._noisy()
        if kind == "pitchfork":
            return stationary.tail_index(m)
        return Number(2 / 3 if kind == "subcritical" else 0.5, status="orbits about to escape")

    def passage(self, m: float) -> Number:
        """Mean time of a transcritical or saddle-node map from far above to its escape, in units of ``1/strength``.

        ``2^{1/3} π² (Ai² + Bi²)(2^{2/3} m)``, with ``m²/4`` for m in a transcritical map.

        >>> import normalforms as nf
        >>> law = DrivenLaw(nf.saddle_node(), White(0.001))
        >>> round(law.passage(0), 6), round(law.passage(0) / law.strength)  # steps
        (6.269435, 627)
        """
        kind, _ = self._noisy()
        if kind not in ("saddle_node", "transcritical"):
            raise ValueError(f"passage times belong to transcritical and saddle-node maps, not to this {kind} family")
        return escape.passage_time(_fold(kind, m))

    def threshold(self) -> Number:
        """The ``g`` at which the input puts the bifurcation.

        White or coloured noise on a supercritical pitchfork or period doubling: ``1 + 1.02431 σ``, where the mean
        begins to grow exponentially. A constant or periodic input on any family: where bounded orbits change, as
        `normalforms.forms.driven.threshold` has it.

        Raises:
            ValueError: noise on another family; a phase or a size that is random where it matters; a map of no family.
        """
        member, found = self._limit
        if isinstance(self.noise, (White, Autoregressive)):
            kind = "pitchfork" if self._kind == "stability_flip" else self._noisy()[0]
            if kind != "pitchfork":
                raise ValueError(
                    f"noise leaves this {kind} family no threshold: orbits escape at every g, and the mean of those"
                    " that stay grows exponentially; see moment_exponent and passage"
                )
            unit = 0.0 if self._kind == "stability_flip" else float(self.strength)
            value = 1 + stationary.threshold_ratio() * unit
            return Number(value, error=unit * unit, status="moment instability, to first order in σ")
        if member is None:
            raise ValueError("thresholds belong to a normal form; reduce the map and ask the law of its normal form")
        return shifted(member, self._inner.scaled(found.stretch), quadratic=found.map != self.map)


def _fold(kind: str, m: float) -> float:
    """The distance from the fold: ``h → h + m/2`` makes a saddle-node of a transcritical flow."""
    m = float(check_real(m, "m"))
    return m if kind == "saddle_node" else m * m / 4
