"""The uniform law of a planar map at a Neimark–Sacker point, in the map's own parameter and state.

With ``h*(r)`` the fixed point, ``λ = g e^{iθ}`` its upper multiplier and ``q`` its eigenvector at ``r``, all exact,

    h = h* + 2 Re (q w) + Re (h20 w²) + h11 |w|²,   h20 = (λ² − A)^{-1} B(q,q),   h11 = (I − A)^{-1} B(q,q̄),
    w_t = w_0 gᵗ/√D · exp i(θ t + ½ (Im d/|Re d|) ln D),   D = 1 + c |w_0|² (g^{2t} − 1)/(g − 1),   c = −Re d,

with ``h20, h11, d`` at the bifurcation. The sensitivity ``∂h_t/∂r`` at fixed ``h_0`` has the motion of the fixed point,
the response of ``q`` and that of the rotation, and ``w_0`` moves too. As ``h_0 → h*`` the law is the linear one, which
is exact at every ``r`` and horizon; the relative error is O(1/T) at fixed ``T (g − 1)`` and ``T c|w_0|²``.

Source: Kuznetsov, Elements of Applied Bifurcation Theory, §4.7 and §8.7.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache, cached_property
from typing import Any

import numpy as np
import sympy as sp

from normalforms.exact import rounded
from normalforms.forms import iterate, moving_point
from normalforms.forms.uniform.bernoulli import Bernoulli
from normalforms.forms.uniform.domain import BernoulliRules, Measured, Region, measured_domain, widest
from normalforms.forms.uniform.flow import Block, Flow, blocks, check_order
from normalforms.formulas import Domain, Equations, Program, compiled, symbols
from normalforms.maps import Map
from normalforms.reduction import jet, reduce_jet

__all__ = ["planar"]

STEPS = 3
"""Newton's steps to ``w_0``, from the inverse to second order."""
MEASURED = Measured((0.6,))
HALVINGS, HORIZONS = 10, (1, 3, 10, 30, 100)
LARGEST, DEEPEST = (0.2, 0.1), -1 / 3
"""The distance of ``g`` from 1 and ``c|w_0|²`` of the largest range tried; the escape in units of the second."""
_SPARE = 2 / 3
_NOISE = 1e-12
"""Numbers that are zero in print."""
_SLIP = 1 / 8
_ACROSS = np.array([-1, -0.6, -0.2, -0.02, 0.02, 0.2, 0.6, 1])
_AWAY = np.array([0.003, 0.01, 0.05, 0.2, 0.4, 0.6, 0.8, 0.99])
_TURNS = np.exp(2j * np.pi * (np.arange(12) + 0.31) / 12)
_t = symbols("t")


@dataclass(frozen=True)
class _Local:
    """The numbers at the bifurcation, for an eigenvector with 1 as its component ``lead``."""

    lead: int
    d: complex
    slope: float
    h20: np.ndarray
    h11: np.ndarray


def _local(m: Map) -> _Local:
    """Kuznetsov's coefficients.

    Raises:
        ValueError: another bifurcation than Neimark–Sacker.
    """
    point = {s: rounded(v) for s, v in dict(m.critical).items()}
    data = jet(m, point, m.parameters[0], exact=False)
    form = reduce_jet(data, critical=1e-9)
    if form.kind != "neimark_sacker":
        raise ValueError(
            f"a map of R^n has a uniform law at Neimark–Sacker points only, and this is a {form.kind.replace('_', '-')}"
            f" point ({form.detail}); reduce the map and ask the law of its normal form"
        )
    q = np.asarray(form.critical_eigenvector, dtype=complex)
    lead = int(np.argmax(np.abs(q)))
    scale, multiplier, one = 1 / q[lead], complex(form.multiplier), np.eye(2)
    q = q * scale
    h20 = np.linalg.solve(multiplier**2 * one - data.jacobian, data.second(q, q))
    h11 = np.linalg.solve(one - data.jacobian, np.real(data.second(q, q.conj())))
    c = form.coefficients
    return _Local(lead, complex(c["d"]) * abs(scale) ** 2, float(c["dmodulus"]), h20, h11)


@cache  # its range is measured once for each map
def planar(m: Map, order: int) -> Flow:
    """The orbit of a planar map next to a Neimark–Sacker point.

    Raises:
        ValueError: another bifurcation, an order above 0, a law that holds nowhere.
    """
    check_order(order, 0, "a planar map")
    if m.critical is None:
        raise ValueError("the map's critical point is not known; give it as critical= or at=")
    if m.dimension != 2:
        raise ValueError(f"the map has {m.dimension} states; reduce it and ask the law of its normal form")
    known, (r,) = _local(m), m.parameters
    initial = tuple(sp.Symbol(f"{s.name}0", real=True) for s in m.states)
    inputs = (r, *initial)
    prelude, solve, body = blocks(*inputs, *m.states)
    found = moving_point(m, prelude)
    (a11, a12), (a21, a22) = found.jacobian
    half, det = prelude("half_trace", (a11 + a22) / 2), prelude("det", a11 * a22 - a12 * a21)
    room = prelude("room", det - half**2)
    root, growth = prelude("root", sp.sqrt(room)), prelude("growth", sp.sqrt(det))
    spin = prelude("spin", sp.atan2(root, half))
    i, j = known.lead, 1 - known.lead
    across, own = found.jacobian[i][j], found.jacobian[i][i]
    tilt = prelude("tilt", (half - own) / across), prelude("tilt_im", root / across)
    away = [prelude(f"away{k}", x - h) for k, (x, h) in enumerate(zip(initial, found.point, strict=True))]
    bend = _bends(known, tilt, prelude)
    linear = _inverse(away[i], away[j], tilt)
    z = prelude("z_re", linear[0]), prelude("z_im", linear[1])
    w0 = _start(z, bend, prelude)
    twist = float(-known.d.imag / known.d.real)
    law = Bernoulli(growth, 2, sp.S.One, sp.Float(-known.d.real) * (w0[0] ** 2 + w0[1] ** 2), ())
    now = law.assigned(prelude, solve, body)
    phase = body("phase", spin * _t + sp.Float(twist / 2) * now.log)
    size = body("size", now.root)
    cosine, sine = body("cosine", sp.cos(phase)), body("sine", sp.sin(phase))
    w = body("w_re", size * (cosine * w0[0] - sine * w0[1])), body("w_im", size * (sine * w0[0] + cosine * w0[1]))
    states = _seen(found.point, known, tilt, w)
    rules = BernoulliRules(law, inputs, (prelude, solve, body), now, r, room)
    opening = tuple(f.xreplace(dict(zip(m.states, initial, strict=True))) for f in m.steps)
    lines = (b.assignments for b in (prelude, solve, body))
    trial = _Trial(m, known, rules, Flow(inputs, *lines, states, Domain(""), tuple, opening=opening))
    trial.check()
    names = (str(r), "c |w_0|^2")
    domain, stays = measured_domain(rules, MEASURED, order, names, cache(trial.region), False)
    explicit = lambda: tuple(sp.Function(s.name)(*inputs, _t) for s in m.states)  # noqa: E731
    return replace(
        trial.flow,
        domain=domain,
        explicit=explicit,
        equations=_printed(m, known, twist),
        stays=stays,
        focus=lambda T: (float(dict(m.critical)[r]), 1 / (abs(known.slope) * T)),
        slip=(trial.slip, MEASURED.errors[order] * _SLIP),
    )


Pair = tuple[sp.Expr, sp.Expr]


def _inverse(first: sp.Expr, second: sp.Expr, tilt: Pair) -> Pair:
    """``w`` with ``2 Re w = first`` and ``2 Re (κ w) = second``."""
    a = first / 2
    return a, (tilt[0] * a - second / 2) / tilt[1]


def _bends(known: _Local, tilt: Pair, block: Block) -> tuple[list[sp.Expr], list[sp.Expr]]:
    """``Re (h20 w²) + h11 |w|²`` in the coordinates of ``w``: coefficients of ``a², ab, b²``."""
    i, j = known.lead, 1 - known.lead
    # the rows of a², ab, b² in the map's own coordinates
    rows = [
        [sp.Float(known.h20[k].real + known.h11[k]) for k in (i, j)],
        [sp.Float(-2 * known.h20[k].imag) for k in (i, j)],
        [sp.Float(known.h11[k] - known.h20[k].real) for k in (i, j)],
    ]
    moved = [_inverse(first, second, tilt) for first, second in rows]
    return tuple([block(f"bend{n}_{k}", row[n]) for k, row in enumerate(moved)] for n in (0, 1))  # type: ignore[return-value]


def _start(z: Pair, bend: tuple[list[sp.Expr], list[sp.Expr]], block: Block) -> Pair:
    """``w_0`` with ``w_0 + bend(w_0) = z``, by Newton's method."""

    def value(row: list[sp.Expr], a: sp.Expr, b: sp.Expr) -> sp.Expr:
        return row[0] * a**2 + row[1] * a * b + row[2] * b**2

    a, b = (block(f"w{n}", z[n] - value(bend[n], *z)) for n in (0, 1))
    for step in range(1, STEPS + 1):
        gaps = [block(f"w_gap{n}_{step}", x + value(bend[n], a, b) - z[n]) for n, x in ((0, a), (1, b))]
        (p, q), (s, t) = (
            (
                block(f"w_slope{n}0_{step}", int(n == 0) + 2 * row[0] * a + row[1] * b),
                block(f"w_slope{n}1_{step}", int(n == 1) + row[1] * a + 2 * row[2] * b),
            )
            for n, row in enumerate(bend)
        )
        det = block(f"w_det_{step}", p * t - q * s)
        a, b = (
            block(f"w0_{step}", a - (t * gaps[0] - q * gaps[1]) / det),
            block(f"w1_{step}", b - (p * gaps[1] - s * gaps[0]) / det),
        )
    return a, b


def _seen(point: tuple[sp.Expr, ...], known: _Local, tilt: Pair, w: Pair) -> tuple[sp.Expr, ...]:
    """``h* + 2 Re (q w) + Re (h20 w²) + h11 |w|²``."""
    a, b = w
    linear = [2 * a, 2 * (tilt[0] * a - tilt[1] * b)]
    out = []
    for k in (0, 1):
        bent = sp.Float(known.h20[k].real) * (a**2 - b**2) - sp.Float(2 * known.h20[k].imag) * a * b
        out.append(point[k] + linear[0 if k == known.lead else 1] + bent + sp.Float(known.h11[k]) * (a**2 + b**2))
    return tuple(out)


def _printed(m: Map, known: _Local, twist: float) -> Equations:
    """The law in print, with the numbers at the bifurcation to ten digits."""
    h, w, w0, D, g, lam, q = (sp.Symbol(n) for n in ("h_t", "w_t", "w_0", "D", "g", "lambda", "q"))
    fixed, theta, matrix = sp.Symbol("h^*"), sp.Symbol("theta"), sp.Symbol("A")
    short = lambda v: sp.Float(v, 10) if abs(v) > _NOISE else sp.S.Zero  # noqa: E731
    h20 = sp.Tuple(*(short(v.real) + sp.I * short(v.imag) for v in known.h20))
    h11 = sp.Tuple(*map(short, known.h11))
    step = sp.Function("f")
    names = sp.Symbol("h_20"), sp.Symbol("h_11")
    return (
        (h, fixed + 2 * sp.re(q * w) + sp.re(names[0] * w**2) + names[1] * sp.Abs(w) ** 2),
        (w, w0 * g**_t / sp.sqrt(D) * sp.exp(sp.I * (theta * _t + short(twist / 2) * sp.log(D)))),
        (D, 1 + short(-known.d.real) * sp.Abs(w0) ** 2 * (g ** (2 * _t) - 1) / (g - 1)),
        (step(fixed), fixed),
        (matrix * q, lam * q),
        (sp.Symbol(f"q_{m.states[known.lead].name}"), sp.S.One),
        (lam, g * sp.exp(sp.I * theta)),
        (names[0], h20),
        (names[1], h11),
    )


@dataclass(frozen=True, eq=False)
class _Trial:
    """The measurement of the range in which the law errs less than it says, against iteration."""

    map: Map
    known: _Local
    rules: BernoulliRules
    flow: Flow

    def check(self) -> None:
        """Refuse a law that holds nowhere when it is made.

        Raises:
            ValueError: it does not hold in the smallest range, nor in a larger one.
        """
        if not self._good(self._sized(2.0 ** (1 - HALVINGS))):
            self.region()

    @cached_property
    def _law(self) -> Any:
        return compiled(self.flow.amplification().shared(), "numpy")

    @cached_property
    def _bare(self) -> Any:
        return compiled(replace(self.flow, opening=()).amplification().shared(), "numpy")

    def slip(self, *values: Any) -> Any:
        """``‖s_1‖² − ‖f_r‖²``: what the orbit's first step would add to A."""
        true = iterate(self.map, values[0], np.stack(np.broadcast_arrays(*values[1:]), axis=-1), 1).s[0]
        with np.errstate(all="ignore"):
            return self._bare(*values, 1) - np.sum(true**2, axis=-1)

    def region(self) -> Region:
        """The largest of those that halve one another which is good enough.

        Raises:
            ValueError: there is none.
        """
        return widest(self._sized, self._good, HALVINGS, self.map.steps)

    def _sized(self, scale: float) -> Region:
        centre = float(dict(self.map.critical)[self.map.parameters[0]])
        wide, high = LARGEST[0] * scale / abs(self.known.slope), LARGEST[1] * scale
        return Region(centre - wide, centre + wide, DEEPEST * high, high)

    def _good(self, region: Region) -> bool:
        centre, wide = (region.most + region.least) / 2, (region.most - region.least) / 2
        c = abs(self.known.d.real)
        away = (_AWAY[:, None] * np.sqrt(region.high / c) * _TURNS).ravel()
        r, w = (v.ravel() for v in np.meshgrid(centre + wide * _ACROSS, away))
        h0 = self._states(r, w)
        inside = self.rules.holds(region, r, *h0, 1)
        r, h0 = r[inside], [v[inside] for v in h0]
        if not r.size:
            return False
        slopes = iterate(self.map, r, np.stack(h0, axis=-1), HORIZONS[-1]).s
        with np.errstate(all="ignore"):  # orbits that escape
            true = np.cumsum(np.sum(slopes**2, axis=-1), axis=0)
        slip = np.abs(self.slip(r, *h0))
        for horizon in HORIZONS:
            with np.errstate(all="ignore"):
                value = self._law(r, *h0, horizon)
                told = (slip <= MEASURED.errors[0] * _SLIP * value) | (horizon == 1)
                error = np.abs(value / true[horizon - 1] - 1)
            kept = error[told & self.rules.stays(region, r, *h0, horizon)]
            if not np.all(kept < _SPARE * MEASURED.errors[0]):
                return False
        return True

    def _states(self, r: np.ndarray, w: np.ndarray) -> list[np.ndarray]:
        """States about the fixed point of the law, from the prelude with ``w`` in the linear coordinate."""
        at = [float(dict(self.map.critical)[s]) for s in self.map.states]
        names = {s.name: s for s, _ in self.flow.prelude}
        wanted = [s for s in names.values() if s.name.startswith("fixed")][-2:]
        tilt = [names["tilt"], names["tilt_im"]]
        program = Program(self.flow.inputs, (*wanted, *tilt), prelude=self.flow.prelude)
        values = compiled(program, "numpy")(r, *(np.full(r.shape, v) for v in at))
        point, (real, imaginary) = values[:2], values[2:]
        parts = [2 * w.real, 2 * (real * w.real - imaginary * w.imag)]
        return [p + parts[0 if k == self.known.lead else 1] for k, p in enumerate(point)]
