"""A critical pair that answers to the parameter: its rotation turns, its fixed point moves, its eigenvectors mix."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import sympy as sp

from normalforms.exact import rounded
from normalforms.families.record import Rescaled
from normalforms.forms.series import Chart
from normalforms.formulas import Equations
from normalforms.maps import Map
from normalforms.reduction import NormalForm

__all__ = ["Pair", "chart", "pair", "planes", "printed"]

_SHORT = 8
"""Operations in a number that is kept as it is."""
Plane = tuple[sp.Expr, sp.Expr]
"""Real and imaginary part."""


@dataclass(frozen=True, repr=False)
class Pair(Map):
    """``w' = e^{i(ω + turn μ)} w (g + d|w|²)`` seen at ``z = motion μ + w + mixing μ w̄``, ``μ = g − 1``.

    The state is ``metric · (Re z, Im z)``, whose length is that of ``2 Re (q z)``: the ellipse that the critical
    eigenvector ``q`` spans in the map that was reduced. So ``Σ ‖∂_g state‖²`` is the amplification in that map's own
    coordinates. At ``g = 1`` it is the map's in the limit ``z → 0`` at every horizon, and for any ``g`` up to the
    curvature of ω, of the fixed point and of ``q``.

    Args:
        omega: ω.
        d: complex cubic coefficient.
        turn: change of the rotation with ``g``.
        motion: of the fixed point, complex.
        mixing: of the eigenvectors, complex.
        metric: the matrix, upper triangular.
    """

    omega: sp.Expr = sp.S.Zero
    d: sp.Expr = sp.S.Zero
    turn: sp.Expr = sp.S.Zero
    motion: sp.Expr = sp.S.Zero
    mixing: sp.Expr = sp.S.Zero
    metric: Any = None

    def __repr__(self) -> str:
        names = ("omega", "d", "turn", "motion", "mixing")
        return f"Pair({', '.join(f'{name}={sp.N(getattr(self, name), 6)}' for name in names)})"

    def start(self, z: Plane) -> Plane:
        """``w`` of ``z``."""
        mu = self.parameters[0] - 1
        (a, b), (k, m) = (v - c * mu for v, c in zip(z, _parts(self.motion), strict=True)), _parts(self.mixing)
        # w + μ k w̄ = a + ib
        size = 1 - mu**2 * (k**2 + m**2)
        return (a - mu * (k * a + m * b)) / size, (b - mu * (m * a - k * b)) / size

    def seen(self, w: Plane) -> Plane:
        """``z`` of ``w``."""
        mu, (a, b), (k, m) = self.parameters[0] - 1, w, _parts(self.mixing)
        x, y = _parts(self.motion)
        return x * mu + a + mu * (k * a + m * b), y * mu + b + mu * (m * a - k * b)

    @property
    def angle(self) -> sp.Expr:
        """By which a step turns ``w``."""
        return self.omega + self.turn * (self.parameters[0] - 1)

    def stepped(self, w: Plane, rotation: Plane | None = None) -> Plane:
        """``w'`` of ``w``; ``rotation`` stands for cosine and sine of the angle where they have names."""
        (g,), (a, b), (real, imaginary) = self.parameters, w, _parts(self.d)
        c, s = (sp.cos(self.angle), sp.sin(self.angle)) if rotation is None else rotation
        radius = a**2 + b**2
        growth, twist = g + real * radius, imaginary * radius
        u, v = a * growth - b * twist, a * twist + b * growth
        return c * u - s * v, s * u + c * v

    def state_of(self, z: Plane) -> Plane:
        """``metric · z``."""
        top, bottom = self.metric * sp.Matrix(z)
        return top, bottom


def pair(form: NormalForm) -> Rescaled:
    """The law of a Neimark–Sacker normal form, in ``|λ|`` and ``(Re z, Im z)``."""
    c = {name: _number(value) for name, value in form.coefficients.items()}
    slope = c["dmodulus"]
    answers = {name: c[key] / slope for name, key in (("turn", "domega"), ("motion", "motion"), ("mixing", "mixing"))}
    square = _number(sum((v**2 for v in form.critical_eigenvector), sp.S.Zero))
    metric = _metric(square)
    x, y, g = sp.symbols("x y g", real=True)
    known: dict[str, Any] = {"omega": c["omega"], "d": c["d"], **answers, "metric": metric}
    bare = Pair((g * x, y), (x, y), g, **known)
    top, bottom = metric.inv() * sp.Matrix([x, y])
    steps = bare.state_of(bare.seen(bare.stepped(bare.start((top, bottom)))))
    map_ = Pair(steps, (x, y), g, {x: 0, y: 0, g: 1}, name="neimark_sacker with a moving pair", **known)
    return Rescaled(map_, stretch=metric, gain=slope**2)


def chart(m: Pair) -> Chart:
    """``w' = e^{i(ω + turn μ)} w (g + d|w|²)`` and what is seen of it, for `normalforms.forms.series.by_degree`."""
    (g,), mu = m.parameters, m.parameters[0] - 1
    initial = tuple(sp.Symbol(f"{s.name}0", real=True) for s in m.states)
    a, b, c, s = (sp.Symbol(n, real=True) for n in ("w_re", "w_im", "turn_cos", "turn_sin"))
    steps = m.stepped((a, b), (c, s))
    spun = {c: -m.turn * s, s: m.turn * c}

    def coefficients(top: int) -> list[dict[tuple[int, ...], tuple[sp.Expr, sp.Expr]]]:
        rows = [dict(sp.Poly(step, a, b).terms()) for step in steps]
        slope = lambda e: e.diff(g) + sp.Add(*(e.diff(x) * y for x, y in spun.items()))  # noqa: E731
        return [{k: (e, slope(e)) for k, e in row.items() if sum(k) <= top} for row in rows]

    (x, y), (k, n) = _parts(m.motion), _parts(m.mixing)
    mixing = sp.Matrix([[k, n], [n, -k]])
    start = m.start(initial)
    # (I + μ mixing) ∂_g w = −motion − mixing w
    within = (sp.eye(2) - mu * mixing) / (1 - mu**2 * (k**2 + n**2))
    response = -within * sp.Matrix([x, y]), -within * mixing * sp.Matrix(start)
    return Chart(
        (g, *initial),
        ((c, sp.cos(m.angle)), (s, sp.sin(m.angle))),
        coefficients,
        start,
        (tuple(response[0]), tuple(response[1])),
        m.metric * (sp.eye(2) + mu * mixing),
        tuple(m.metric * sp.Matrix([x, y])),
        m.metric * mixing,
        m.state_of(initial),
    )


def printed(m: Pair) -> Equations:
    """``h_t`` and ``z_t`` of ``w_t`` for the reader, with ten digits."""
    h, z, w, mu = (sp.Symbol(n) for n in ("h_t", "z_t", "w_t", "mu"))
    z0, w0 = sp.Symbol("z_0"), sp.Symbol("w_0")
    state = m.metric.evalf(10) * sp.Matrix([sp.re(z), sp.im(z)])
    seen = lambda w: sp.N(m.motion, 10) * mu + w + sp.N(m.mixing, 10) * mu * sp.conjugate(w)  # noqa: E731
    return (h, sp.Tuple(*state)), (z, seen(w)), (z0, seen(w0))


def planes(form: NormalForm) -> bool:
    """Whether the pair of a normal form answers to the parameter, or spans an ellipse that is no circle."""
    names = ("domega", "motion", "mixing")
    answers = [complex(form.coefficients.get(name, 0)) / float(form.coefficients["dmodulus"]) for name in names]
    return max(map(abs, (*answers, complex(sum(complex(v) ** 2 for v in form.critical_eigenvector))))) > 1e-12


def _metric(square: sp.Expr) -> sp.ImmutableMatrix:
    """``R`` with ``|R (Re z, Im z)|² = |2 Re (q z)|² = 2|z|² + 2 Re ((q·q) z²)``, upper triangular, ``‖q‖ = 1``."""
    real, imaginary = _parts(square)
    first, cross, last = 2 + 2 * real, -2 * imaginary, 2 - 2 * real
    top = sp.sqrt(first)
    rows = [[top, cross / top], [0, sp.sqrt(last - cross**2 / first)]]
    return sp.ImmutableMatrix([[rounded(v) for v in row] for row in rows])


def _number(value: Any) -> sp.Expr:
    """A complex coefficient: itself where it is short, else with 20 digits, which every form evaluates at once."""
    value = sp.sympify(value)
    real, imaginary = value.as_real_imag()
    if sp.count_ops(value) <= _SHORT and not value.has(sp.Float):
        return real + sp.I * imaginary
    return rounded(real) + sp.I * rounded(imaginary)


def _parts(value: sp.Expr) -> Plane:
    real, imaginary = value.as_real_imag()
    return real, imaginary
