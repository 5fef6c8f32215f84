"""The amplification over a box of parameters and initial states: a per-step mean-value form, and subdivision.

Around the orbit of the centre ``z_c`` of the box,

    h_t(z) ∈ h_t(z_c) + J_t(box) (z − z_c),    s_t(z) ∈ s_t(z_c) + H_t(box) (z − z_c),

``z`` the parameters and initial states, ``J = ∂h/∂z``, ``H = ∂s/∂z``. It stays tight where plain interval
iteration widens exponentially. In R^n the differentials are carried in a frame that turns with the orbit, so
that a rotation does not widen them. Source: Moore, Kearfott & Cloud, Introduction to Interval Analysis, ch. 6
and 10 (the frame is Lohner's).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import mpmath
import numpy as np
from flint import arb, arb_mat

from normalforms.forms.enclosure.balls import Ball, Mpf, to_ball
from normalforms.forms.enclosure.step import beyond, box_step, escape_radius, point_step, power
from normalforms.maps import Map

__all__ = ["box_gram"]

_BOXES = 64
_SLACK = 1.02  # a hull this much wider than a proven inner bound of the range is not worth splitting
_CENTRE_BITS = 60

Gram = list[arb]
Value = Callable[[Gram], arb]


@dataclass(frozen=True)
class _Leaf:
    """A box, its Gram matrix, hull and inner bound of the value, and each input's share in the radius."""

    box: list[arb]
    gram: Gram
    outer: Ball
    inner: tuple[Mpf, Mpf]
    spread: list[Mpf]


def box_gram(m: Map, parameters: list[arb], initial: list[arb], horizon: int, value: Value) -> Gram | int | None:
    """The Gram matrix ``Σ sᵀs`` over a box: the hull over at most 64 boxes, split where it is decided.

    Returns:
        The matrix row by row; the step at which the orbit of a centre left; ``None`` where a centre needs
        more precision.
    """
    first = _leaf(m, [*parameters, *initial], horizon, value)
    if not isinstance(first, _Leaf):
        return first
    leaves = [first]
    while len(leaves) < _BOXES and (worst := _decisive(leaves)) is not None:
        for half in _halves(leaves.pop(worst)):
            made = _leaf(m, half, horizon, value)
            if not isinstance(made, _Leaf):
                return made
            leaves.append(made)
    gram = leaves[0].gram
    for leaf in leaves[1:]:
        gram = [x.union(y) for x, y in zip(gram, leaf.gram, strict=True)]
    return gram


def _decisive(leaves: list[_Leaf]) -> int | None:
    """Index of the leaf that decides the looser end of the hull; ``None`` where the hull is tight."""
    for i, leaf in enumerate(leaves):
        if mpmath.isinf(leaf.outer.rad):
            return i
    low, high = [x.outer.lower for x in leaves], [x.outer.upper for x in leaves]
    below, above = min(x.inner[0] for x in leaves) - min(low), max(high) - max(x.inner[1] for x in leaves)
    if below + above <= (1 - 1 / _SLACK) * (max(high) - min(low)):
        return None
    return high.index(max(high)) if above >= below else low.index(min(low))


def _halves(leaf: _Leaf) -> list[list[arb]]:
    k = leaf.spread.index(max(leaf.spread))
    side = leaf.box[k]
    ends = side.lower().union(side.mid()), side.mid().union(side.upper())
    return [[*leaf.box[:k], end, *leaf.box[k + 1 :]] for end in ends]


def _leaf(m: Map, box: list[arb], horizon: int, value: Value) -> _Leaf | int | None:
    n, p = m.dimension, len(m.parameters)
    walk = _Walk(m, box)
    radius, left = escape_radius(m, walk.parameters), None
    for t in range(1, horizon + 1):
        walk.advance()
        states = walk.centre[:n]
        if left is None and any(abs(h) > radius for h in states):
            left = t
        if left is not None and any(abs(h) > beyond() for h in states):
            return left
        if not all(h.is_finite() for h in states):
            return None
    at_centre = value(walk.centre_gram)
    if not at_centre.is_exact() and at_centre.rel_accuracy_bits() < _CENTRE_BITS:
        return None
    gram = walk.enclosed()
    spread = [_size(row, d) for row, d in zip(walk.total_slope(), walk.offset, strict=True)]
    middle, reach = to_ball(at_centre), mpmath.mpf(0)
    if p == 1:
        # along each input the value moves at least by |slope|·radius somewhere in the box
        rate = value([arb(1)])
        least = ((abs(x * rate)).lower() * d.rad() for x, d in zip(walk.slope[0], walk.offset, strict=True))
        reach = to_ball(sum((x.max(arb(0)) for x in least if x.is_finite()), arb(0))).lower
    return _Leaf(box, gram, to_ball(value(gram)), (middle.mid - reach, middle.mid + reach), spread)


def _size(slope: arb, offset: arb) -> Mpf:
    total = abs(slope) * abs(offset)
    return to_ball(total if total.is_finite() else offset.rad()).upper


class _Walk:
    """The orbit of the centre of a box and, around it, of the box."""

    def __init__(self, m: Map, box: list[arb]) -> None:
        n, p = m.dimension, len(m.parameters)
        self.n, self.p, self.q = n, p, n + p
        self.centre_step, self.box_step = point_step(m)(), box_step(m)()
        middle = [side.mid() for side in box]
        self.parameters, self.box_parameters = middle[:p], box[:p]
        self.offset = [side - c for side, c in zip(box, middle, strict=True)]
        self.centre = [*middle[p:], *[arb(0)] * (n * p)]
        self.h = box[p:]
        self.frame: arb_mat | None = None  # of the scaled differentials; None stands for the identity
        self.J = arb_mat([[arb(int(k == p + i)) for k in range(self.q)] for i in range(n)])
        self.H = arb_mat(n, p * self.q)
        self.full = self.J
        self.centre_gram, self.gram = [arb(0)] * (p * p), [arb(0)] * (p * p)
        self.slope = [[arb(0)] * self.q for _ in range(p * p)]

    def advance(self) -> None:
        """One step of the centre, of the box, and of the sums."""
        n, p, q = self.n, self.p, self.q
        self.centre = list(self.centre_step(*self.centre, *self.parameters))
        moved = list(self.box_step(*self.h, *self.full.entries(), *self.box_parameters))
        direct, linear = moved[:n], arb_mat(n, n, moved[n : n + n * n])
        own = arb_mat(n, q, moved[n + n * n : n + n * n + n * q])
        second = arb_mat(n, p * q, moved[n + n * n + n * q :])
        sensitivity = arb_mat(n, p, self.centre[n:])
        if n > 1:
            linear = linear if self.frame is None else linear * self.frame
            self.frame = _frame(linear)
            back = self.frame.inv()
            linear, own, second, sensitivity = (back * x for x in (linear, own, second, sensitivity))
        self.J, self.H = linear * self.J + own, linear * self.H + second
        for i in range(n):
            for a in range(p):
                slopes = [self.H[i, a * q + k] for k in range(q)]
                self.J[i, a] = self._tighten(self.J[i, a], sensitivity[i, a], slopes)
        self.full = self.J if self.frame is None else self.frame * self.J
        full = self.full.tolist()
        self.h = [self._tighten(direct[i], self.centre[i], full[i]) for i in range(n)]
        self._accumulate()

    def _tighten(self, direct: arb, centre: arb, slopes: list[arb]) -> arb:
        mean = sum((d * o for d, o in zip(slopes, self.offset, strict=True)), centre)
        if not mean.is_finite():
            return direct
        return mean.intersection(direct) if direct.is_finite() else mean

    def _accumulate(self) -> None:
        """``A += s·s`` at the centre and over the box, and ``∂A/∂z += ∂s/∂z·s + s·∂s/∂z``."""
        n, p, q = self.n, self.p, self.q
        s, J, H = self.centre[n:], self.J, self.H
        metric = None if self.frame is None else self.frame.transpose() * self.frame
        dual, steep = (J, H) if metric is None else (metric * J, metric * H)
        for a in range(p):
            for b in range(p):
                e = a * p + b
                self.centre_gram[e] += sum((s[i * p + a] * s[i * p + b] for i in range(n)), arb(0))
                for i in range(n):
                    self.gram[e] += power(self.full[i, a], 2) if a == b else self.full[i, a] * self.full[i, b]
                    for k in range(q):
                        self.slope[e][k] += H[i, a * q + k] * dual[i, b] + J[i, a] * steep[i, b * q + k]

    def enclosed(self) -> Gram:
        """The Gram matrix over the box: mean-value form and direct sum intersected, diagonal ≥ 0."""
        rows = zip(self.gram, self.centre_gram, self.slope, strict=True)
        gram = [self._tighten(direct, centre, slope) for direct, centre, slope in rows]
        for e in range(0, self.p**2, self.p + 1):
            if gram[e].is_finite() and not gram[e] >= 0:
                gram[e] = arb(0).union(gram[e].upper())
        return gram

    def total_slope(self) -> list[arb]:
        """Sum over the entries of the Gram matrix of the sizes of their slopes, one for each input."""
        return [sum((abs(row[k]) for row in self.slope), arb(0)) for k in range(self.q)]


def _frame(linear: arb_mat) -> arb_mat:
    """An orthogonal matrix, to rounding, whose first column follows the longest column of ``linear``."""
    middle = np.array([[float(x.mid()) for x in row] for row in linear.tolist()])
    if not np.all(np.isfinite(middle)):
        middle = np.eye(len(middle))
    order = np.argsort(-np.linalg.norm(middle, axis=0), kind="stable")
    return arb_mat([[arb(float(x)) for x in row] for row in np.linalg.qr(middle[:, order])[0]])
