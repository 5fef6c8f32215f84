"""``z' = e^{iω} z (g + d |z|²)``: a pair of multipliers that leaves the unit circle."""

from __future__ import annotations

from typing import Any

import sympy as sp

from normalforms.exact import rounded
from normalforms.families import cubic
from normalforms.families.record import Family, Member, Option, Rescaled
from normalforms.families.units import exact_number
from normalforms.forms.limits import Scaling, abbreviations, neimark_sacker_numerics, polylogarithm
from normalforms.forms.uniform import (
    Approximant,
    Bernoulli,
    Flow,
    Measured,
    Nodes,
    Shifted,
    UniformLaw,
    bernoulli_domain,
    blocks,
    check_order,
    focus,
    phase_coefficients,
    shift,
    uniform_law,
)
from normalforms.formulas import Equations, horner, symbols
from normalforms.maps import Map
from normalforms.reduction import NormalForm

__all__ = ["FAMILY", "MEASURED", "neimark_sacker"]

ORDERS = 3
MEASURED = Measured((0.45, 0.15, 0.06, 0.05), "69/100", "5/4", ("1/9", "1/9"))
_nil, _half = (), sp.Rational(1, 2)
PHASE_NODES: dict[int, Nodes] = {0: (), 1: ((sp.Rational(1, 4),),), 2: (_nil, (_half,)), 3: (_nil, _nil, (_half,))}
"""Where the equation of the phase is met, by order; it also holds at 0 and on the branch."""
_x, _y, _D, _P, _b, _n, _r, _t = symbols("x y D P b n r t")
_PHASE_ZERO = (sp.sinh(2 * cubic.LOG) - 8 * sp.sinh(cubic.LOG) + 6 * cubic.LOG) / (32 * _y**2)


def neimark_sacker(omega: Any, d: Any) -> Map:
    """``z' = e^{iω} z (g + d |z|²)`` as a planar real map in ``(x, y)``, ``z = x + i y``.

    Args:
        omega: rotation per step at the bifurcation, radians.
        d: complex cubic coefficient; ``Re d < 0`` is supercritical.

    >>> neimark_sacker(1, -1).dimension
    2
    """
    x, y, g = sp.symbols("x y g", real=True)
    omega, d = sp.sympify(omega), sp.sympify(d)
    radius = x**2 + y**2
    growth, turn = g + sp.re(d) * radius, sp.im(d) * radius
    u, v = x * growth - y * turn, x * turn + y * growth
    c, s = sp.cos(omega), sp.sin(omega)
    return Map((c * u - s * v, s * u + c * v), (x, y), g, {x: 0, y: 0, g: 1}, name="neimark_sacker")


def _recognise(m: Map) -> tuple[sp.Expr, sp.Expr] | None:
    """``(x, 0) → e^{iω}(g x + d x³)`` tells ω and d; the named constructor tells that the rest agrees."""
    if m.name != "neimark_sacker" or m.dimension != 2 or len(m.parameters) != 1:
        return None
    (x, y), g = m.states, m.parameters[0]
    on_axis = sp.Poly((m.steps[0] + sp.I * m.steps[1]).subs(y, 0), x, g)
    d = sp.simplify(on_axis.coeff_monomial(x**3) / on_axis.coeff_monomial(x * g))
    real, imaginary = sp.re(d), sp.im(d)
    return -real, sp.S.Zero if real.is_zero else sp.simplify(-imaginary / real)


def _reduced(form: NormalForm) -> Rescaled | None:
    """In ``|λ|`` and ``(Re z, Im z)``, ``h ≈ h* + z q + z̄ q̄``, whose square is ``2|z|²`` on average over a turn."""
    if form.kind != "neimark_sacker":
        return None
    c = form.coefficients
    omega, d, slope = (exact_number(c[name]) for name in ("omega", "d", "dmodulus"))
    turn, motion = (exact_number(c.get(name, 0)) / slope for name in ("domega", "motion"))
    if all(abs(complex(v)) < 1e-12 for v in (turn, motion)):
        family = neimark_sacker(omega, d)
    else:
        family = _responding(omega, d, turn, motion)
    return Rescaled(family, gain=2 * slope**2)


def _responding(omega: sp.Expr, d: sp.Expr, turn: sp.Expr, motion: sp.Expr) -> Map:
    """``z' = e^{i(ω + turn μ)} z (1 + μ + d |z|²)``, ``z = x + iy − motion μ``, ``μ = g − 1``.

    The rotation and the fixed point answer to the parameter too: in the linear limit that makes ``|dλ|²`` of
    ``d|λ|²``, and it does not fade with the horizon.
    """
    x, y, g = sp.symbols("x y g", real=True)
    shift = [sp.re(motion) * (g - 1), sp.im(motion) * (g - 1)]
    a, b = x - shift[0], y - shift[1]
    radius = a**2 + b**2
    growth, twist = g + sp.re(d) * radius, sp.im(d) * radius
    u, v = a * growth - b * twist, a * twist + b * growth
    angle = omega + turn * (g - 1)
    c, s = sp.cos(angle), sp.sin(angle)
    steps = (c * u - s * v + shift[0], s * u + c * v + shift[1])
    return Map(steps, (x, y), g, {x: 0, y: 0, g: 1}, name="neimark_sacker with a moving pair")


def _checked(member: Member) -> Member:
    if member.coefficient.is_zero:
        raise ValueError("Re d = 0: the Neimark–Sacker point is degenerate and has no cubic scaling law")
    return member


def _uniform(member: Member, order: int, stretch: sp.Expr, gain: sp.Expr) -> UniformLaw:
    order = check_order(order, ORDERS, "the neimark sacker")
    return uniform_law(_flow(_checked(member), order), gain * stretch**2)


def _flow(member: Member, order: int) -> Flow:
    """Modulus by the Bernoulli flow, phase ``θ_t = θ_0 + ω t − χ ln D + Σ θ_j (u^j − u_0^j)``."""
    m = member.map
    g, (x, y) = m.parameters[0], m.states
    inputs = (g, *(sp.Symbol(f"{s.name}0", real=True) for s in (x, y)))
    _, x0, y0 = inputs
    parts = (sp.expand(e).coeff(x, 1) or sp.S.Zero for e in m.steps)
    cosine, sine = ((part.coeff(y, 0) or sp.S.Zero).coeff(g, 1) for part in parts)
    twist = rounded(member.twist)
    shear = 1 + twist**2
    branch = (1 + g) / (g + sp.sqrt(g**2 - shear * (g**2 - 1)))
    law = Bernoulli(g, 2, branch, member.coefficient * (x0**2 + y0**2), shift(2, shear, order))
    turn = phase_coefficients(shear, twist, PHASE_NODES[order], law.shift[0] if order else None)
    prelude, solve, body = blocks(*inputs)
    chi, *theta = (prelude(f"turn{i}", a.at(g - 1)) for i, a in enumerate(turn))
    now = law.assigned(prelude, solve, body)

    def planar(now: Shifted, chi: sp.Expr, theta: list[sp.Expr], angle: sp.Expr) -> tuple[sp.Expr, ...]:
        wound = horner([0, *theta], now.u) - horner([0, *theta], now.start)
        phase, size = angle - chi * now.log + wound, now.root
        c, s = sp.cos(phase), sp.sin(phase)
        return size * (c * x0 - s * y0), size * (s * x0 + c * y0)

    omega, coefficients = _angle(cosine, sine), [a.at(g - 1) for a in turn]

    def explicit() -> tuple[sp.Expr, ...]:
        written = lambda i: lambda now: planar(now, coefficients[0], coefficients[1:], omega * _t)[i]  # noqa: E731
        return law.explicit(written(0)), law.explicit(written(1))

    margin = g**2 - shear * (g**2 - 1) - sp.Rational(3, 4)
    domain, stays = bernoulli_domain(law, MEASURED, inputs, (prelude, solve, body), now, margin)
    return Flow(
        inputs,
        prelude.assignments,
        solve.assignments,
        body.assignments,
        planar(now, chi, theta, omega * _t),
        domain,
        explicit,
        _planar_equations(law, omega, turn),
        planar(now, chi, theta, sp.Integer(0)),
        stays=stays,
        still=body.constants,
        focus=focus(g, g),
    )


def _angle(cosine: sp.Expr, sine: sp.Expr) -> sp.Expr:
    """The rotation per step, up to whole turns."""
    if isinstance(cosine, sp.cos) and sine == sp.sin(cosine.args[0]):
        return cosine.args[0]
    return sp.atan2(sine, cosine)


def _planar_equations(law: Bernoulli, omega: sp.Expr, turn: tuple[Approximant, ...]) -> Equations:
    """The law in print, in polar coordinates ``h_t = r_t (cos θ_t, sin θ_t)``."""
    equations = law.equations()
    if not equations:
        return ()
    u, u0, D, mu = symbols("u"), *(sp.Symbol(n) for n in ("u_0", "D", "mu"))
    chi, theta = sp.Symbol("chi"), [sp.Symbol(f"vartheta_{j}") for j in range(1, len(turn))]
    angle = omega * _t - chi * sp.log(D) + sp.Add(*(c * (u**j - u0**j) for j, c in enumerate(theta, 1)))
    polar = [
        (sp.Symbol("r_t"), sp.Symbol("r_0") * sp.sqrt(u / u0)),
        (sp.Symbol("theta_t"), sp.Symbol("theta_0") + angle),
    ]
    return (*polar, *equations, *((c, a.leading(mu)) for c, a in zip((chi, *theta), turn, strict=True)))


def _scaling(member: Member, stretch: sp.Expr, gain: sp.Expr) -> Scaling:
    """``Ψ + twist² Ψ_θ``; the phase integral ``Ψ_θ = ∫ H² (∂Θ/∂x)² dτ``, ``Θ = ½ ln D``."""
    twist = _checked(member).twist
    U, L = 2 * _x, sp.log(sp.Abs(_x * _D / _y))
    q = _r * sp.exp(-U)
    phase = U**2 * (L - 1 - 2 * U / 3 + 2 * _b / _D) + 2 * U * (1 - 1 / _D)
    phase += 2 * (polylogarithm(3, _r) - polylogarithm(3, q) - U * polylogarithm(2, q)) - _P - _n**2 / 2
    return Scaling(
        *cubic.variables(member, stretch, gain),
        cubic.CUBIC + twist**2 * phase / (8 * _x**2),
        abbreviations(U),
        cubic.AT_ZERO + twist**2 * _PHASE_ZERO,
        "Ψ = ∫ (∂R/∂x)² + R² (∂Θ/∂x)² dτ over 0 ≤ τ ≤ 1, both parts of ‖∂z/∂g‖², for the amplitude"
        " R' = x R − R³, R(0)² = y, and the phase Θ' = (Im d/|Re d|) R² that it drives: the amplitude part"
        " is the pitchfork's Ψ, the phase part adds one trilogarithm and grows with x for ever. h0 is |z_0|;"
        " the rotation ω drops out.",
        member.inputs,
        neimark_sacker_numerics(float(twist)),
        bool(member.coefficient > 0) and twist == 0,
        cubic.flow_error,
    )


def _regimes(member: Member, stretch: sp.Expr, gain: sp.Expr) -> Any:
    return cubic.regimes(_checked(member), stretch, gain)


FAMILY = Family(
    name="neimark_sacker",
    title="Neimark–Sacker",
    build=neimark_sacker,
    recognise=_recognise,
    reduced=_reduced,
    uniform=_uniform,
    orders=ORDERS,
    measured=MEASURED,
    scaling=_scaling,
    regimes=_regimes,
    flow=cubic.FLOW,
    modulus=True,
    options=(
        Option("omega", "rotation per step, radians", "1"),
        Option("d", "cubic coefficient as RE,IM", "-1,0", complex=True),
    ),
    equation=r"z' = e^{i \omega} z\,(g - \vert z\vert ^2)",
    law_class="cubic",
    defaults={"omega": 1, "d": -1},
)
