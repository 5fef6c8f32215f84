"""``z' = e^{iω} z (g + d |z|²)``: a pair of multipliers that leaves the unit circle."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import sympy as sp

from normalforms.exact import rounded
from normalforms.families import cubic
from normalforms.families.pair import Pair, chart, pair, planes, printed
from normalforms.families.record import Family, Member, Option, Rescaled
from normalforms.families.units import exact_number
from normalforms.forms.limits import Scaling, abbreviations, neimark_sacker_numerics, polylogarithm
from normalforms.forms.series import by_degree, chart_of, rotates
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
from normalforms.formulas import Equations, Formula, compiled, horner, symbols
from normalforms.maps import Map
from normalforms.reduction import NormalForm

__all__ = ["FAMILY", "MEASURED", "neimark_sacker"]

ORDERS = 3
MEASURED = Measured((0.45, 0.15, 0.06, 0.05), "69/100", "5/4", ("1/9", "1/9"))
ANSWERING = (0.9, 0.35, 0.12, 0.06)
"""The errors where rotation, fixed point and eigenvectors answer to the parameter, and parts of A may cancel."""
_nil, _half = (), sp.Rational(1, 2)
PHASE_NODES: dict[int, Nodes] = {0: (), 1: ((sp.Rational(1, 4),),), 2: (_nil, (_half,)), 3: (_nil, _nil, (_half,))}
"""Where the equation of the phase is met, by order; it also holds at 0 and on the branch."""
_x, _y, _D, _P, _b, _n, _r, _t = symbols("x y D P b n r t")
_READABLE = 30
_SQUARE_ZERO = (2 * _y**2 - 2 * _y + cubic.LOG) / (8 * _y**2)
_BOTH_ZERO = (4 * _y**3 - 6 * _y**2 - 6 * _y + (6 * _y + 3) * cubic.LOG) / (16 * _y**2 * (1 + 2 * _y))
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
    if isinstance(m, Pair):
        real, imaginary = m.d.as_real_imag()
        return -real, -imaginary / real
    if m.name != "neimark_sacker" or m.dimension != 2 or len(m.parameters) != 1:
        return None
    (x, y), g = m.states, m.parameters[0]
    on_axis = sp.Poly((m.steps[0] + sp.I * m.steps[1]).subs(y, 0), x, g)
    d = sp.simplify(on_axis.coeff_monomial(x**3) / on_axis.coeff_monomial(x * g))
    real, imaginary = sp.re(d), sp.im(d)
    return -real, sp.S.Zero if real.is_zero else sp.simplify(-imaginary / real)


def _reduced(form: NormalForm) -> Rescaled | None:
    """In ``|λ|`` and ``(Re z, Im z)``, ``h ≈ h* + z q + z̄ q̄``."""
    if form.kind != "neimark_sacker":
        return None
    if planes(form):
        return pair(form)
    omega, d, slope = (exact_number(form.coefficients[name]) for name in ("omega", "d", "dmodulus"))
    return Rescaled(neimark_sacker(omega, d), gain=2 * slope**2)


def _checked(member: Member) -> Member:
    if member.coefficient.is_zero:
        raise ValueError("Re d = 0: the Neimark–Sacker point is degenerate and has no cubic scaling law")
    return member


def _uniform(member: Member, order: int, stretch: sp.Expr, gain: sp.Expr) -> UniformLaw:
    order = check_order(order, ORDERS, "the neimark sacker")
    return uniform_law(_flow(_checked(member), order), gain if isinstance(member.map, Pair) else gain * stretch**2)


def _flow(member: Member, order: int) -> Flow:
    """Modulus by the Bernoulli flow, phase ``θ_t = θ_0 + ω t − χ ln D + Σ θ_j (u^j − u_0^j)``."""
    m = member.map
    g, (x, y) = m.parameters[0], m.states
    inputs = (g, *(sp.Symbol(f"{s.name}0", real=True) for s in (x, y)))
    answers = m if isinstance(m, Pair) else None
    x0, y0 = inputs[1:] if answers is None else answers.start(inputs[1:])
    omega = _angle(m) if answers is None else answers.angle
    twist = rounded(member.twist)
    shear = rounded(sp.expand(1 + member.twist**2))
    branch = (1 + g) / (g + sp.sqrt(g**2 - shear * (g**2 - 1)))
    prelude, solve, body = blocks(*inputs)
    a0, b0 = (x0, y0) if answers is None else (prelude("a0", x0), prelude("b0", y0))
    law = Bernoulli(g, 2, branch, member.coefficient * (a0**2 + b0**2), shift(2, shear, order))
    turn = phase_coefficients(shear, twist, PHASE_NODES[order], law.shift[0] if order else None)
    chi, *theta = (prelude(f"turn{i}", a.at(g - 1)) for i, a in enumerate(turn))
    now = law.assigned(prelude, solve, body)

    def planar(now: Shifted, chi: sp.Expr, theta: list[sp.Expr], angle: sp.Expr, at: Any) -> tuple[sp.Expr, ...]:
        wound = horner([0, *theta], now.u) - horner([0, *theta], now.start)
        phase, size = angle - chi * now.log + wound, now.root
        c, s = sp.cos(phase), sp.sin(phase)
        return size * (c * at[0] - s * at[1]), size * (s * at[0] + c * at[1])

    coefficients = [a.at(g - 1) for a in turn]

    def explicit() -> tuple[sp.Expr, ...]:
        written = lambda i: lambda now: planar(now, coefficients[0], coefficients[1:], omega * _t, (x0, y0))[i]  # noqa: E731
        return law.explicit(written(0)), law.explicit(written(1))

    margin = g**2 - shear * (g**2 - 1) - sp.Rational(3, 4)
    measured = _measured(shear, answers is not None)
    domain, stays = bernoulli_domain(law, measured, inputs, (prelude, solve, body), now, margin)
    states = planar(now, chi, theta, omega * _t, (a0, b0))
    frame = planar(now, chi, theta, sp.Integer(0), (a0, b0))
    if answers is not None:
        states = answers.seen((body("a_t", states[0]), body("b_t", states[1])))
        frame = answers.state_of(states)
    made = Flow(
        inputs,
        prelude.assignments,
        solve.assignments,
        body.assignments,
        states,
        domain,
        explicit,
        _planar_equations(law, omega, turn) if answers is None else _pair_equations(answers, law, omega, turn),
        frame,
        stays=stays,
        still=body.constants,
        focus=focus(g, g),
    )
    if answers is None:
        return made
    opening = answers.state_of(answers.seen(answers.stepped((a0, b0))))
    return replace(made, slip=(_first_step(answers, made), MEASURED.errors[order] / 8), opening=opening)


def _measured(shear: sp.Rational, answers: bool) -> Measured:
    """The range and the errors of one member: a twist narrows it, since the phase then turns far in a step."""
    reach = min(sp.Rational(MEASURED.reach[0]), 1 / (4 * shear))
    text = str(sp.Rational(reach).limit_denominator(1000))
    return replace(MEASURED, errors=ANSWERING if answers else MEASURED.errors, reach=(text, text))


def _series(m: Map, order: int, gain: sp.Expr) -> Formula | None:
    """Degree by degree where the pair answers, or ``d`` is not rational; ``None`` elsewhere: there is a closed form."""
    if not isinstance(m, Pair):
        return None if rotates(m) else by_degree(m, chart_of(m), order, gain)
    g, w, mu, t = m.parameters[0], sp.Symbol("w_t"), sp.Symbol("mu"), sp.Symbol("t")
    spin = sp.exp(sp.I * (sp.N(m.omega, 10) + sp.N(m.turn, 10) * mu))
    total = sp.N(gain, 10) * sp.Sum(sp.Abs(sp.Derivative(sp.Symbol("h_t"), g)) ** 2, (t, 1, sp.Symbol("T")))
    lines = (
        (sp.Symbol("A"), total + sp.Order(sp.Symbol("w_0") ** (order + 1))),
        *printed(m),
        (sp.Symbol("w_{t+1}"), spin * w * (g + sp.N(m.d, 10) * sp.Abs(w) ** 2)),
        (mu, g - 1),
    )
    return by_degree(m, chart(m), order, gain, lines)


def _first_step(m: Pair, flow: Flow) -> Callable[..., Any]:
    """``‖s_1‖² − ‖f_g‖²``: the fixed point's motion may all but cancel the first terms of A."""

    @cache
    def compiled_once() -> tuple[Any, Any]:
        slopes = [step.diff(m.parameters[0]) for step in m.steps]
        true = sp.lambdify((*m.parameters, *m.states), sp.Add(*(s**2 for s in slopes)), "numpy", cse=True)
        return compiled(flow.amplification(), "numpy"), true

    metric = np.array(m.metric, dtype=float)

    def slip(*values: Any) -> Any:
        law, true = compiled_once()
        with np.errstate(all="ignore"):
            g, x, y = values
            return law(g, x, y, 1) - true(g, *(a * x + b * y for a, b in metric))

    return slip


def _angle(m: Map) -> sp.Expr:
    """The rotation per step, up to whole turns."""
    g, (x, y) = m.parameters[0], m.states
    parts = (sp.expand(e).coeff(x, 1) or sp.S.Zero for e in m.steps)
    cosine, sine = ((part.coeff(y, 0) or sp.S.Zero).coeff(g, 1) for part in parts)
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


def _pair_equations(m: Pair, law: Bernoulli, omega: sp.Expr, turn: tuple[Approximant, ...]) -> Equations:
    """The same for ``z`` in print: ``z_t`` of ``w_t = r_t e^{iθ_t}``, and the length of its sensitivity."""
    w, w0, mu, r, r0, u0, D = (sp.Symbol(n) for n in ("w_t", "w_0", "mu", "r_t", "r_0", "u_0", "D"))
    theta, angle = sp.Symbol("theta_t"), sp.Symbol("theta_0")
    head = (*printed(m), (w, r * sp.exp(sp.I * theta)), (w0, r0 * sp.exp(sp.I * angle)))
    law = replace(law, start=sp.N(-sp.re(m.d), 10) * r0**2)
    lines = _planar_equations(law, sp.N(omega, 10), turn)
    if not lines:
        power, (chi,) = law.growth ** (2 * _t), turn
        lines = (
            (r, r0 * law.growth**_t / sp.sqrt(D)),
            (theta, angle + sp.N(omega, 10) * _t - sp.Symbol("chi") * sp.log(D)),
            (D, 1 + u0 * (power - 1) / ((law.growth - 1) * law.branch)),
            (u0, law.start),
            (sp.Symbol("chi"), chi.leading(mu)),
            (mu, law.growth - 1),
        )
    return (*head, *lines)


def _scaling(member: Member, stretch: sp.Expr, gain: sp.Expr) -> Scaling:
    """``Ψ + ∫ H² (twist ∂_x Θ + turn τ)² dτ``, ``Θ = ½ ln D``."""
    twist, m = _checked(member).twist, member.map
    turn = m.turn if isinstance(m, Pair) else sp.S.Zero
    U, L = 2 * _x, sp.log(sp.Abs(_x * _D / _y))
    q = _r * sp.exp(-U)
    phase = U**2 * (L - 1 - 2 * U / 3 + 2 * _b / _D) + 2 * U * (1 - 1 / _D)
    phase += 2 * (polylogarithm(3, _r) - polylogarithm(3, q) - U * polylogarithm(2, q)) - _P - _n**2 / 2
    both, square = _turned(U, q)
    shown = [sp.N(v, 15) if len(str(v)) > _READABLE else v for v in (twist**2, 2 * twist * turn, turn**2)]
    rest = sp.Add(*(a * b for a, b in zip(shown, (phase / (8 * _x**2), both, square), strict=True)))
    at_zero = sp.Add(*(a * b for a, b in zip(shown, (_PHASE_ZERO, _BOTH_ZERO, _SQUARE_ZERO), strict=True)))
    units = (sp.S.One, 2 * gain) if isinstance(m, Pair) else (stretch, gain)
    response = " + (dω/dg) x" if turn != 0 else ""
    return Scaling(
        *cubic.variables(member, *units),
        cubic.CUBIC + rest,
        abbreviations(U),
        cubic.AT_ZERO + at_zero,
        "Ψ = ∫ (∂R/∂x)² + R² (∂Θ/∂x)² dτ over 0 ≤ τ ≤ 1, both parts of ‖∂z/∂g‖², for the amplitude"
        f" R' = x R − R³, R(0)² = y, and the phase Θ' = (Im d/|Re d|) R²{response} that it drives: the amplitude part"
        " is the pitchfork's Ψ, the phase part adds one trilogarithm and grows with x for ever. h0 is |z_0|;"
        " the rotation ω drops out.",
        member.inputs,
        neimark_sacker_numerics(float(twist), float(turn)),
        bool(member.coefficient > 0) and twist == 0 and turn == 0,
        cubic.flow_error,
        slow=_slow(m) if isinstance(m, Pair) and m.motion != 0 else None,
    )


def _turned(U: sp.Expr, q: sp.Expr) -> tuple[sp.Expr, sp.Expr]:
    """``∫ τ H² ∂_x Θ dτ`` and ``∫ τ² H² dτ``, from ``∫ ln D``, ``∫ τ ln D``, ``∫ 1/D`` and ``∫ τ/D``."""
    log, scale = sp.log(_D), sp.log(sp.Abs(_y / _x))
    plain = scale + U / 2 - (polylogarithm(2, _r) - polylogarithm(2, q)) / U
    first = scale / 2 + U / 3 + polylogarithm(2, q) / U - (polylogarithm(3, _r) - polylogarithm(3, q)) / U**2
    inverse, late = (1 - log / U) / _b, (_half - (log - plain) / U) / _b
    both = (log - 2 * first + _b / _D - 2 * _b * late) / 2 - (log - plain + 1 / _D - inverse) / (2 * U)
    return both, log / 2 - first


def _slow(m: Pair) -> Callable[[Any, Any], Any]:
    """The moving fixed point adds ``2|motion|`` to sensitivities of size ``√(T Ψ/c)``."""
    size = 2 * float(sp.sqrt(2 * sp.Abs(sp.re(m.d))) * sp.Abs(m.motion))
    law = neimark_sacker_numerics(float(-sp.im(m.d) / sp.re(m.d)), float(m.turn))

    def slow(x: Any, y: Any) -> Any:
        x, y = np.broadcast_arrays(x, y)
        return (size / np.sqrt(np.abs(law(x.ravel(), y.ravel())))).reshape(x.shape)

    return slow


def _regimes(member: Member, stretch: sp.Expr, gain: sp.Expr) -> Any:
    if isinstance(member.map, Pair):
        raise ValueError(
            "a pair whose rotation or fixed point answers to the parameter has no regimes in elementary functions;"
            " use scaling() or uniform(order)"
        )
    return cubic.regimes(_checked(member), stretch, gain)


FAMILY = Family(
    name="neimark_sacker",
    title="Neimark–Sacker",
    build=neimark_sacker,
    recognise=_recognise,
    reduced=_reduced,
    series=_series,
    uniform=_uniform,
    orders=ORDERS,
    measured=MEASURED,
    scaling=_scaling,
    regimes=_regimes,
    flow=cubic.FLOW,
    modulus=True,
    directed=lambda m: isinstance(m, Pair),
    options=(
        Option("omega", "rotation per step, radians", "1"),
        Option("d", "cubic coefficient as RE,IM", "-1,0", complex=True),
    ),
    equation=r"z' = e^{i \omega} z\,(g - \vert z\vert ^2)",
    law_class="cubic",
    defaults={"omega": 1, "d": -1},
)
