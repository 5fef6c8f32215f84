"""Normal forms of maps from textbooks, exact."""

import json
from pathlib import Path

import mpmath
import numpy as np
import pytest
import sympy as sp

import normalforms as nf
from normalforms.maps import zoo

x, y, g = sp.symbols("x y g", real=True)
LOGISTIC = nf.parse_map("r*x*(1-x)", state="x", parameter="r")
third = sp.Rational(1, 3)


@pytest.mark.parametrize("name", ["stability_flip", "pitchfork", "transcritical", "saddle_node", "period_doubling"])
def test_named_families_are_their_own_kind(name):
    assert nf.reduce(getattr(nf, name)()).kind == name


# Textbook maps: kind and coefficients, exact.


def test_flip_of_the_logistic_map():
    form = nf.reduce(LOGISTIC, at={"x": "2/3", "r": 3})
    assert form.kind == "period_doubling"
    assert form.coefficients["c3"] == 9
    assert form.coefficients["dlambda"] == -1


def test_transcritical_of_the_logistic_map():
    form = nf.reduce(LOGISTIC, at={"x": 0, "r": 1})
    assert form.kind == "transcritical"
    assert (form.coefficients["c2"], form.coefficients["dlambda"]) == (-1, 1)


def test_second_flip_of_the_logistic_map_is_the_flip_of_its_second_iterate():
    r = 1 + sp.sqrt(6)
    s2, s3, s6 = sp.sqrt(2), sp.sqrt(3), sp.sqrt(6)
    low, high = ((r + 1 + sign * s2) / (2 * r) for sign in (-1, 1))  # (r−3)(r+1) = 2
    forms = [nf.reduce(LOGISTIC.iterate(2), at={"x": sp.radsimp(at), "r": r}) for at in (high, low)]
    assert all(form.kind == "period_doubling" and form.exact for form in forms)
    assert all(form.coefficients["dlambda"] == -2 * s6 for form in forms)  # λ = 4 + 2r − r²
    assert forms[0].coefficients["c3"] == 40 * s3 + 40 * s6 + 70 * s2 + 140
    for at, form in zip((high, low), forms, strict=True):
        assert float(form.coefficients["c3"]) == pytest.approx(_flip_by_hand(r, at), rel=1e-12)


def _flip_by_hand(r, at):
    """``c3 = (f''/2)² + f'''/6`` of the second iterate, sixty digits."""
    with mpmath.workdps(60):
        rr, x0 = mpmath.mpf(sp.N(r, 60)), mpmath.mpf(sp.N(at, 60))

        def twice(z):
            z = rr * z * (1 - z)
            return rr * z * (1 - z)

        _, first, second, third = mpmath.taylor(twice, x0, 3)
        assert abs(first + 1) < 1e-40
        return float(second**2 + third)


def test_fold_of_the_logistic_three_cycle():
    """At r = 1 + √8 a pair of 3-cycles is born; its points are roots of a cubic without real radicals."""
    r = 1 + 2 * mpmath.sqrt(2)
    at = mpmath.findroot(lambda z: mpmath.diff(lambda s: _iterated(r, s, 3), z) - 1, 0.16)
    form = nf.reduce(LOGISTIC.iterate(3), at={"x": float(at), "r": float(r)})
    assert form.kind == "saddle_node"
    c0, c2 = form.coefficients["c0"], form.coefficients["c2"]
    with mpmath.workdps(30):
        shift = mpmath.mpf("1e-10")
        at = mpmath.findroot(lambda z: _iterated(r + shift, z, 3) - z, at + mpmath.sqrt(-c0 * shift / c2))
        other = mpmath.findroot(lambda z: _iterated(r + shift, z, 3) - z, at - 2 * mpmath.sqrt(-c0 * shift / c2))
    assert float((at - other) / 2) == pytest.approx(np.sqrt(-c0 * 1e-10 / c2), rel=1e-5)


def _iterated(r, z, n):
    for _ in range(n):
        z = r * z * (1 - z)
    return z


def test_flip_of_the_ricker_map():
    form = nf.reduce(zoo.ricker())
    assert form.kind == "period_doubling"
    assert (form.coefficients["c3"], form.coefficients["dlambda"]) == (2 * third, -1)


def test_ricker_in_the_scale_of_the_textbook_has_one_sixth():
    """Kuznetsov §4.5: ``x' = α x e^{−x}`` at α = e², x = 2."""
    m = nf.Map(g * x * sp.exp(-x), x, g)
    form = nf.reduce(m, at={"x": 2, "g": sp.exp(2)})
    assert (form.kind, form.coefficients["c3"]) == ("period_doubling", sp.Rational(1, 6))


def test_both_bifurcations_of_the_henon_map():
    b = sp.Rational(3, 10)
    fold = -((1 - b) ** 2) / 4
    root = -(1 - b) / (2 * fold)
    form = nf.reduce(zoo.henon(), at={"x": root, "y": b * root, "b": b, "a": fold})
    length = sp.sqrt(109) / 10  # of q = (1, b)
    adjoint = sp.Rational(10, 13)  # p = (1, 1)/(1+b)
    assert form.kind == "saddle_node"
    # ⟨p, f_a⟩ = −x²/(1+b), ½⟨p, B(q,q)⟩ = −a/(1+b)
    assert sp.simplify(form.coefficients["c0"] + root**2 * adjoint * length) == 0
    assert sp.simplify(form.coefficients["c2"] + fold * adjoint / length) == 0
    form = nf.reduce(zoo.henon())
    assert form.kind == "period_doubling"
    assert (form.coefficients["c3"], form.coefficients["dlambda"]) == (sp.Rational(3087, 22672), sp.Rational(-100, 91))


def test_neimark_sacker_of_the_delayed_logistic_map():
    """Kuznetsov §4.7 has a(0) = −2 for an eigenvector of squared length 2."""
    form = nf.reduce(zoo.delayed_logistic())
    c = form.coefficients
    assert form.kind == "neimark_sacker"
    assert (c["omega"], c["dmodulus"]) == (sp.pi / 3, sp.Rational(1, 2))
    assert c["d"] == -1 - sp.sqrt(3) * sp.I


@pytest.mark.parametrize("m", [zoo.delayed_logistic(), zoo.predator_prey(), zoo.tanh_pair(sp.acos(third))])
def test_rotation_coefficient_is_the_decay_of_an_orbit(m):
    """At the critical parameter ``1/|z_t|²`` grows by ``−2 Re d`` a step, to leading order."""
    form = nf.reduce(m)
    assert form.kind == "neimark_sacker"
    values = {p: form.point[p] for p in m.parameters}
    step = sp.lambdify(m.states, [e.subs(values) for e in m.steps], "math")
    centre = np.array([float(form.point[s]) for s in m.states])
    adjoint = np.array(form.adjoint_eigenvector.evalf(), dtype=complex)[:, 0]
    eigen = np.array(form.critical_eigenvector.evalf(), dtype=complex)[:, 0]
    h = centre + 2e-2 * eigen.real
    moduli = []
    for _ in range(200_000):
        moduli.append(abs(np.vdot(adjoint, h - centre)))
        h = np.array(step(*h))
    early, late = (np.mean(np.array(moduli[a : a + 20_000]) ** -2.0) for a in (0, 180_000))
    decay = (late - early) / 180_000
    assert decay == pytest.approx(-2 * float(sp.re(form.coefficients["d"])), rel=0.02)


def test_predator_prey_is_exact():
    c = nf.reduce(zoo.predator_prey()).coefficients
    assert (c["dmodulus"], c["d"]) == (sp.Rational(1, 4), -sp.Rational(8, 9) - 184 * sp.sqrt(7) * sp.I / 315)


def test_cubic_map_has_three_bifurcations():
    m = zoo.cubic()
    fork, flip = nf.reduce(m), nf.reduce(m, at={"x": 0, "r": -1})
    assert (fork.kind, fork.coefficients["c3"], fork.symmetric) == ("pitchfork", -1, True)
    assert (flip.kind, flip.coefficients["c3"], flip.symmetric) == ("period_doubling", -1, True)
    branch = nf.reduce(m, at={"x": 1, "r": 2})
    # f'' = −6, f''' = −6: c3 = 9 − 1; λ = 3 − 2r on the branch
    assert (branch.kind, branch.coefficients["c3"], branch.coefficients["dlambda"]) == ("period_doubling", 8, -2)


def test_pitchfork_of_two_coupled_neurons():
    m = nf.Map((sp.tanh(g * x + y / 3), sp.tanh(y / 2 - x / 5)), (x, y), g)
    form = nf.reduce(m, at={"x": 0, "y": 0, "g": sp.Rational(17, 15)})
    # q ∝ (1, −2/5), p ∝ (1, 2/3): with q of that length, c3 = −⅓⟨p, (q + …)³⟩ and A q = q
    assert (form.kind, form.symmetric) == ("pitchfork", True)
    assert (form.coefficients["c3"], form.coefficients["dlambda"]) == (sp.Rational(-359, 957), sp.Rational(15, 11))


@pytest.mark.parametrize(
    ("multiplier", "start", "kind"),
    [(1, (3.005, -1.013, 0.7084), "saddle_node"), (-1, (0.72, 0.081, 0.4027), "period_doubling")],
)
def test_ikeda_in_numbers(multiplier, start, kind):
    """The branches of the fold, and the two-cycle of the flip, are where the coefficients put them."""
    m = zoo.ikeda()
    symbols = (*m.states, *m.parameters)
    step = sp.lambdify(symbols, m.steps, "mpmath")
    slope = sp.lambdify(symbols, sp.Matrix(m.steps).jacobian(m.states), "mpmath")

    def critical(a, b, u):
        f, A = step(a, b, u), slope(a, b, u)
        return f[0] - a, f[1] - b, (A[0, 0] - multiplier) * (A[1, 1] - multiplier) - A[0, 1] * A[1, 0]

    at = [float(z) for z in mpmath.findroot(critical, start)]
    form = nf.reduce(m, at=dict(zip(("x", "y", "u"), at, strict=True)))
    c, q = form.coefficients, np.asarray(form.critical_eigenvector, float)
    assert form.kind == kind
    ratio = -c["c0"] / c["c2"] if multiplier == 1 else -c["dlambda"] / c["c3"]
    shift = 1e-7 * np.sign(ratio)
    size = np.sqrt(ratio * shift)

    def gap(a, b):
        f = step(a, b, at[2] + shift)
        f = f if multiplier == 1 else step(*f, at[2] + shift)
        return f[0] - a, f[1] - b

    ends = [mpmath.findroot(gap, tuple(np.array(at[:2]) + sign * size * q)) for sign in (1, -1)]
    assert float(mpmath.norm(ends[0] - ends[1])) == pytest.approx(2 * size, rel=1e-3)


@pytest.mark.parametrize(
    ("step", "kind", "values"),
    [
        (g - 1 + x + x**2, "saddle_node", {"c0": 1, "c2": 1, "c3": 0}),
        (g * x + 3 * x**2 - 2 * x**3, "transcritical", {"dlambda": 1, "c2": 3, "c3": -2}),
        (2 * g * x - x - 5 * x**3, "pitchfork", {"dlambda": 2, "c3": -5}),
        (-g * x + x**2 + 2 * x**3, "period_doubling", {"dlambda": -1, "c2": 1, "c3": 3}),
    ],
)
def test_scalar_maps_read_off(step, kind, values):
    form = nf.reduce(nf.Map(step, x, g), at={"x": 0, "g": 1})
    assert form.kind == kind
    for name, value in values.items():
        assert form.coefficients[name] == value


# The published values of other systems.

REFERENCE = json.loads((Path(__file__).parent / "reference.json").read_text())


def test_reference_flip_of_the_logistic_map():
    known = REFERENCE["flip_logistic"]
    form = nf.reduce(nf.parse_map(known["map"], state="x", parameter="r"), at=known["at"])
    assert form.kind == known["kind"]
    assert form.coefficients["c3"] == known["b_cubic"]
    assert form.coefficients["dlambda"] == known["dlambda_dr"]


def test_reference_period_doublings_of_the_logistic_map():
    first, second, third = REFERENCE["period_doublings_logistic"]["values"]
    assert float(1 + sp.sqrt(6)) == pytest.approx(second, abs=1e-14)
    assert nf.reduce(LOGISTIC, at={"x": "2/3", "r": int(first)}).kind == "period_doubling"
    # the third, of the 4-cycle, in numbers
    root = mpmath.findroot(
        lambda z, r: (_iterated(r, z, 4) - z, mpmath.diff(lambda s: _iterated(r, s, 4), z) + 1), (0.363, third)
    )
    assert float(root[1]) == pytest.approx(third, abs=2e-6)
    form = nf.reduce(LOGISTIC.iterate(4), at={"x": float(root[0]), "r": float(root[1])})
    assert form.kind == "period_doubling"
    assert not form.exact


def test_reference_planted_forms():
    """Planted coefficients of BifurcationKit's map tests: a, c, and b = 0 or 0.21."""
    a, b, c = sp.Rational(-456, 1000), sp.Rational(21, 100), sp.Rational(-1234, 1000)
    fork = nf.reduce(nf.Map(x + a * g * x + c * x**3, x, g), at={"x": 0, "g": 0})
    assert (fork.kind, fork.coefficients["dlambda"], fork.coefficients["c3"]) == ("pitchfork", a, c)
    cross = nf.reduce(nf.Map(x + a * g * x + b * x**2 + c * x**3, x, g), at={"x": 0, "g": 0})
    assert (cross.kind, cross.coefficients["c2"], cross.coefficients["c3"]) == ("transcritical", b, c)
    assert cross.coefficients["dlambda"] == a
    flip = nf.reduce(nf.Map(-x - a * g * x + c * x**3, x, g), at={"x": 0, "g": 0})
    assert (flip.kind, flip.coefficients["dlambda"], flip.coefficients["c3"]) == ("period_doubling", -a, c)
    d = sp.Rational(-6789, 1000) - sp.Rational(456, 1000) * sp.I
    planar = nf.neimark_sacker(sp.Rational(1, 10), d)
    moved = nf.Map(tuple(e.subs(g, 1 + sp.Rational(1123, 1000) * g) for e in planar.steps), planar.state, g)
    turn = nf.reduce(moved, at={"x": 0, "y": 0, "g": 0})
    assert (turn.kind, turn.coefficients["omega"]) == ("neimark_sacker", sp.Rational(1, 10))
    assert (turn.coefficients["d"], turn.coefficients["dmodulus"]) == (2 * d, sp.Rational(1123, 1000))


def test_reference_folds():
    known = REFERENCE["folds"]
    m = nf.Map(x + g + x - third * x**3, x, g)
    for at, level, c2 in zip((-1, 1), known["map_minus_identity_folds_at"], known["normal_form_c2"], strict=True):
        exact = sp.Rational(level).limit_denominator(10)
        form = nf.reduce(m, at={"x": at, "g": exact})
        assert (form.kind, float(exact)) == ("saddle_node", level)
        assert float(form.coefficients["c2"]) == c2


# Symmetry, unfolding, degenerate points.


def test_neimark_sacker_of_the_planar_family():
    form = nf.reduce(nf.neimark_sacker(1, -1 + 2 * sp.I))
    assert form.kind == "neimark_sacker"
    assert form.coefficients["d"] == -2 + 4 * sp.I


@pytest.mark.parametrize("omega", [sp.Rational(1, 200), sp.pi - sp.Rational(1, 200)])
def test_slow_and_nearly_alternating_rotations_are_rotations(omega):
    form = nf.reduce(nf.neimark_sacker(omega, -1))
    assert form.kind == "neimark_sacker"
    assert float(form.coefficients["omega"]) == pytest.approx(float(omega))


def test_symmetry_is_proven_also_about_a_point_away_from_zero():
    m = nf.Map(1 + g * sp.tanh(x - 1), x, g)
    form = nf.reduce(m, at={"x": 1, "g": 1})
    assert (form.kind, form.symmetric, form.coefficients["c3"]) == ("pitchfork", True, -third)
    bent = nf.reduce(nf.Map(g * x - x**3 + x**4, x, g), at={"x": 0, "g": 1})
    assert (bent.kind, bent.symmetric) == ("pitchfork", False)


def test_unfolding_includes_the_motion_of_the_fixed_point():
    """A pitchfork seen from a frame that moves with the parameter, where ``f_μ ≠ 0`` and ``A_μ ≠ dλ``."""
    moving = x - 3 * (g - 1)
    m = nf.Map(3 * (g - 1) + g * moving - moving**3, x, g)
    form = nf.reduce(m, at={"x": 0, "g": 1})
    c = form.coefficients
    assert (form.kind, c["c0"], c["dlambda"], c["c3"]) == ("pitchfork", 0, 1, -1)


def test_centre_manifold_cubic_is_not_the_one_of_lyapunov_schmidt():
    """The manifold ``y = w x² + w₃ x³`` from its invariance, ``w₃ ≠ 0`` because c2 does not vanish."""
    a, b = sp.Rational(3, 7), sp.Rational(2, 5)
    m = nf.Map((g + x + x**2 + a * x * y, y / 2 + b * x**2), (x, y), g)
    form = nf.reduce(m, at={"x": 0, "y": 0, "g": 0})
    assert (form.kind, form.coefficients["c2"], form.coefficients["c3"]) == ("saddle_node", 1, 2 * a * b)
    w, w3 = sp.symbols("w w3")
    image = (m.steps[0].subs(g, 0).subs(y, w * x**2 + w3 * x**3), (y / 2 + b * x**2).subs(y, w * x**2 + w3 * x**3))
    invariance = sp.Poly(sp.expand(image[1] - (w * image[0] ** 2 + w3 * image[0] ** 3)), x)
    solved = sp.solve([invariance.coeff_monomial(x**2), invariance.coeff_monomial(x**3)], [w, w3], dict=True)[0]
    assert sp.Poly(image[0].subs(solved), x).coeff_monomial(x**3) == form.coefficients["c3"]


@pytest.mark.parametrize(
    ("m", "says"),
    [
        (nf.Map(g - 1 + x - x**3, x, g), "cusp: c2 vanishes"),
        (nf.Map(g * x - x**5, x, g), "c2 and c3 vanish"),
        (nf.Map(-g * x + x**2 - x**3, x, g), "generalised flip: c3 vanishes"),
        (nf.neimark_sacker(1, sp.I), "Chenciner: Re d vanishes"),
        (nf.Map((x + y, y + (g - 1) * x + x**2), (x, y), g), "strong resonance 1:1"),
        (nf.Map((-x + y, -y + (g - 1) * x + x**3), (x, y), g), "strong resonance 1:2"),
        (nf.neimark_sacker(2 * sp.pi / 3, -1), "strong resonance 1:3"),
        (nf.neimark_sacker(sp.pi / 2, -1), "strong resonance 1:4"),
        (nf.Map((g * x + x**2, -g * y + x * y), (x, y), g), "fold–flip"),
        (nf.Map(x + (g - 1) ** 2 - x**2, x, g), None),
        (nf.Map(x - (g - 1) ** 2 - x**2, x, g), "isola centre"),
        (nf.Map(x + (g - 1) ** 2 * x - x**3, x, g), "dlambda vanishes"),
        (zoo.tanh_pair(), "strong resonance 1:1"),
    ],
)
def test_degenerate_points_name_what_vanishes(m, says):
    form = nf.reduce(m, at={**{s.name: 0 for s in m.states}, m.parameters[0].name: 1})
    if says is None:
        assert form.kind == "transcritical"
    else:
        assert form.kind == "degenerate"
        assert says in form.detail
    again = _floats(m)
    assert again.kind == form.kind
    if says is not None:
        assert says in again.detail


def _floats(m):
    """The same point through float64 arithmetic."""
    from normalforms.reduction.jet import jet

    at = {**dict.fromkeys(m.states, sp.Integer(0)), m.parameters[0]: sp.Integer(1)}
    return nf.reduce_jet(jet(m, at, m.parameters[0], exact=False))


def test_two_parameters_are_both_unfolded():
    form = nf.reduce(nf.cusp())
    assert (form.kind, form.coefficients["c0_beta"], form.coefficients["dlambda"]) == ("pitchfork", 1, 1)
    other = nf.reduce(nf.cusp(), parameter="beta")
    assert other.kind == "degenerate"
    assert "cusp" in other.detail


# Bad input.


def test_a_point_that_is_not_critical_is_refused():
    with pytest.raises(ValueError, match="critical"):
        nf.reduce(LOGISTIC, at={"x": 0, "r": 2})


def test_a_point_that_is_not_fixed_is_refused():
    with pytest.raises(ValueError, match="fixed point"):
        nf.reduce(LOGISTIC, at={"x": "1/3", "r": 3})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"jacobian": np.ones((2, 3))}, "jacobian has shape"),
        ({"parameter": np.zeros(3)}, "parameter has shape"),
        ({"jacobian": np.array([[np.nan]])}, "not finite"),
    ],
)
def test_bad_jets_are_refused(change, message):
    good = {
        "jacobian": np.eye(1),
        "second": lambda u, v: 0 * u,
        "third": lambda u, v, w: -u * v * w,
        "parameter": np.zeros(1),
        "mixed": lambda u: u,
    }
    with pytest.raises(ValueError, match=message):
        nf.reduce_jet(nf.Jet(**(good | change)))


def test_a_point_without_derivatives_is_refused():
    with pytest.raises(ValueError, match="smooth"):
        nf.reduce(nf.Map(g * x + sp.sqrt(x), x, g), at={"x": 0, "g": 1})
