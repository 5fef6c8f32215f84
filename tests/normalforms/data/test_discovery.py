"""Maps found behind orbits: planted families come back exactly, with noise too, and bad data are refused."""

import numpy as np
import pytest
import sympy as sp

import normalforms as nf
from normalforms.data.orbits import Discovery, discover
from normalforms.data.orbits.library import Library
from normalforms.data.orbits.rounding import rational_within
from normalforms.data.orbits.shooting import Shooting

SCALAR = ("stability_flip", "pitchfork", "transcritical", "saddle_node", "period_doubling")


def orbits_of(m, rng, count=60, time=25, noise=0.0):
    g = rng.uniform(1.0, 1.2, count) if m.name == "saddle_node" else rng.uniform(0.8, 1.2, count)
    h0 = rng.uniform(0.05, 0.5, count) * (
        1 if m.name in ("transcritical", "saddle_node") else rng.choice([-1, 1], count)
    )
    step = sp.lambdify((m.states[0], m.parameters[0]), m.steps[0])
    rows = [h0]
    for _ in range(time):
        rows.append(step(rows[-1], g))
    orbits = np.stack(rows, axis=1)
    return orbits + noise * rng.normal(size=orbits.shape), g


@pytest.mark.parametrize("name", SCALAR)
@pytest.mark.parametrize("noise", [0.0, 1e-6, 1e-4, 1e-3])
@pytest.mark.parametrize("seed", range(2))
def test_named_families_come_back_exactly(name, noise, seed):
    m = getattr(nf, name)()
    orbits, g = orbits_of(m, np.random.default_rng(seed), noise=noise)
    rule = discover(orbits, g)
    assert sp.expand(rule.map.step - m.step) == 0
    assert rule.kind == name
    assert rule.residual < 3 * noise + 1e-14


def test_the_cusp_has_two_parameters():
    rng = np.random.default_rng(0)
    count = 200
    beta, g, h = rng.uniform(-0.05, 0.05, count), rng.uniform(0.8, 1.2, count), rng.uniform(-0.6, 0.6, count)
    rows = [h]
    for _ in range(15):
        rows.append(beta + g * rows[-1] - rows[-1] ** 3)
    orbits = np.stack(rows, axis=1) + 1e-5 * rng.normal(size=(count, 16))
    rule = discover(orbits, np.stack([beta, g], axis=1))
    assert rule.kind == "cusp"
    assert sp.expand(rule.map.step - nf.cusp().step) == 0


def test_a_planar_map():
    rng = np.random.default_rng(1)
    m = nf.Map(*_rotation())
    step = sp.lambdify((*m.states, *m.parameters), m.steps)
    g = rng.uniform(0.9, 1.1, 40)
    rows = [np.stack([rng.uniform(-0.5, 0.5, 40), rng.uniform(-0.5, 0.5, 40)], axis=1)]
    for _ in range(20):
        rows.append(np.stack(step(rows[-1][:, 0], rows[-1][:, 1], g), axis=1))
    rule = discover(np.stack(rows, axis=1), g, state="x,y")
    assert [sp.expand(a - b) for a, b in zip(rule.map.steps, m.steps, strict=True)] == [0, 0]
    assert rule.kind is None


def _rotation():
    x, y, g = sp.symbols("x y g", real=True)
    r = x**2 + y**2
    return (-y * g + y * r, x * g - x * r), (x, y), g


def test_coefficients_that_are_no_simple_rationals_keep_their_digits():
    x, r = sp.symbols("h g", real=True)
    m = nf.Map(r * x - sp.Float("0.7318530718") * x**3, x, r, name="mine")
    orbits, g = orbits_of(m, np.random.default_rng(3), noise=1e-5)
    rule = discover(orbits, g)
    assert rule.kind == "pitchfork"
    value = rule.coefficients[0][x**3]
    assert value.is_Float
    error = rule.standard_errors[0][x**3]
    assert 0 < error < 1e-3
    assert abs(float(value) + 0.7318530718) < 4 * error
    assert rule.coefficients[0][r * x] == 1


def test_halves_and_thirds_are_found_and_rounding_can_be_switched_off():
    x, r = sp.symbols("h g", real=True)
    m = nf.Map(r * x - x**2 / 3, x, r, name="transcritical")
    orbits, g = orbits_of(m, np.random.default_rng(4), noise=1e-6)
    assert discover(orbits, g).map.step == r * x - x**2 / 3
    plain = discover(orbits, g, round_to=None)
    assert all(c.is_Float for c in plain.coefficients[0].values())
    assert float(plain.coefficients[0][x**2]) == pytest.approx(-1 / 3, abs=1e-4)


def test_what_is_found_goes_on_to_a_law():
    orbits, g = orbits_of(nf.pitchfork(), np.random.default_rng(5), noise=1e-4)
    rule = nf.discover(orbits, g)
    assert isinstance(rule, Discovery)
    form = nf.reduce(rule.map, at={"h": 0, "g": 1})
    assert form.kind == "pitchfork"
    assert nf.amplification(rule.map)(1.05, 0.1, 30) == nf.amplification(nf.pitchfork())(1.05, 0.1, 30)


def test_ranking_shows_the_rivals():
    orbits, g = orbits_of(nf.pitchfork(), np.random.default_rng(6), noise=1e-4)
    ranking = discover(orbits, g).ranking
    assert set(ranking[0].terms[0]) == {"g*h", "h**3"}
    assert ranking[0].behind == 0
    smaller = next(c for c in ranking if len(c.terms[0]) == 1)
    larger = next(c for c in ranking if len(c.terms[0]) == 3)
    assert smaller.noise > 10 * ranking[0].noise
    assert 0 < larger.behind < smaller.behind
    with pytest.raises(AttributeError):
        ranking[0].behind = 0.0  # type: ignore[misc]


def test_steps_that_are_not_finite_are_left_out():
    orbits, g = orbits_of(nf.transcritical(), np.random.default_rng(7))
    orbits[3, 10:] = np.nan
    orbits[5, -1] = np.inf
    assert discover(orbits, g).kind == "transcritical"
    runs = [run[: 5 + i % 20] for i, run in enumerate(orbits)]
    assert discover(runs, g).kind == "transcritical"


@pytest.mark.parametrize(
    ("orbits", "parameter", "options", "match"),
    [
        (np.ones((3, 9)), [1.0, 1.1], {}, "one value per orbit"),
        (np.ones((3, 1)), [1.0, 1.1, 1.2], {}, "at least two times"),
        (np.ones((3, 3)), [1.0, 1.1, 1.2], {}, "6 steps for 10 monomials; give at least 20"),
        (np.ones((3, 9)), np.ones((3, 4, 2)), {}, "one value per orbit, or one per orbit and time"),
        (np.ones((3, 9)), [1.0, 1.1, 1.2], {"noise": "none"}, "noise = 'none'"),
        ([["a", "b"]], None, {}, "arrays of numbers"),
        (np.ones((9, 30)), np.linspace(0.9, 1.1, 9), {}, "do not tell the 10 monomials apart"),
        (np.ones((3, 9)), [1.0, np.nan, 1.2], {}, "parameter contains NaN"),
        (np.ones((3, 9)), [1.0, 1.1, 1.2], {"degree": 0}, "degree = 0"),
        (np.ones((3, 90)), [1.0, 1.1, 1.2], {"state": "a,b"}, "state = 'a,b' must give 1 names"),
        ([], [], {}, r"orbits must have shape|one value per orbit"),
    ],
)
def test_bad_data_are_refused(orbits, parameter, options, match):
    with pytest.raises(ValueError, match=match):
        discover(orbits, parameter, **options)


# --- noise of measurement ------------------------------------------------------------------------------------

C3 = -0.7318  # no simple fraction


def seen(noise, seed=0, count=200, time=30, g=1.05):
    """Orbits of ``g h + C3 h³`` at one parameter value, with noise of measurement."""
    rng = np.random.default_rng(seed)
    rows = [rng.uniform(-0.4, 0.4, count)]
    for _ in range(time):
        rows.append(g * rows[-1] + C3 * rows[-1] ** 3)
    return np.stack(rows, axis=1) + noise * rng.normal(size=(count, time + 1))


def test_orbits_seen_with_noise_give_unbiased_coefficients_at_one_parameter_value():
    rule = discover(seen(0.01), [1.05] * 200, noise="measurement", degree=5)
    h = rule.map.states[0]
    assert set(rule.coefficients[0]) == {h, h**3}
    low, high = rule.interval(0.999)[0][h**3]
    assert low < C3 < high
    assert high - low < 0.06
    assert rule.residual == pytest.approx(0.01, rel=0.03)
    assert "one value only" in rule.status


def test_fitted_initial_states_leave_no_bias():
    """Of the logistic map at noise .05 the plain estimate is off by more than a standard error, with the same sign."""
    h = sp.Symbol("h", real=True)
    active, plain, mended = np.array([[False, True, True]]), [], []
    for seed in range(12):
        rng = np.random.default_rng(seed)
        rows = [rng.uniform(0.1, 0.9, 200)]
        for _ in range(30):
            rows.append(3.05 * rows[-1] * (1 - rows[-1]))
        clean = np.stack(rows, axis=1)[..., None]
        library = Library((sp.Integer(1), h, h**2), (h,), (), np.zeros((200, 1, 0)))
        problem = Shooting(library, clean + 0.05 * rng.normal(size=clean.shape), 1.0, np.ones(3))
        found = problem.fit(np.array([[0.0, 3.05, -3.05]]), active, clean[:, 0])
        error = np.sqrt(found.covariance[1, 1])
        plain.append((found.theta[0, 2] + 3.05) / error)
        mended.append((problem.unbiased(found).theta[0, 2] + 3.05) / error)
    assert np.mean(plain) < -0.8
    assert abs(np.mean(mended)) < 3 / np.sqrt(12)


def test_steps_alone_are_biased_and_say_so():
    rule = discover(seen(0.05), np.full(200, 1.05), degree=3)
    assert rule.status.startswith("biased")
    assert "measurement" in rule.status
    assert all(c.is_Float for c in rule.coefficients[0].values())  # nothing is rounded within the bias
    h = rule.map.states[0]
    assert abs(float(rule.coefficients[0].get(h**3, 0)) - C3) > 0.3


def test_noise_in_the_dynamics_alone_is_not_called_measurement():
    rng = np.random.default_rng(1)
    rows = [rng.uniform(-0.4, 0.4, 200)]
    for _ in range(30):
        rows.append(1.05 * rows[-1] + C3 * rows[-1] ** 3 + 0.02 * rng.normal(size=200))
    rule = discover(np.stack(rows, axis=1), degree=5)
    assert rule.status == "found"
    h = rule.map.states[0]
    low, high = rule.interval(0.999)[0][h**3]
    assert low < C3 < high


def test_both_noises_are_told_apart():
    rng = np.random.default_rng(2)
    rows = [rng.uniform(-0.4, 0.4, 150)]
    for _ in range(30):
        rows.append(1.05 * rows[-1] + C3 * rows[-1] ** 3 + 0.01 * rng.normal(size=150))
    orbits = np.stack(rows, axis=1) + 0.01 * rng.normal(size=(150, 31))
    rule = discover(orbits, noise="both")
    h = rule.map.states[0]
    assert set(rule.coefficients[0]) == {h, h**3}
    low, high = rule.interval(0.999)[0][h**3]
    assert low < C3 < high
    with pytest.raises(ValueError, match="without NaN"):
        discover([orbits[0], orbits[1][:9], *orbits[2:]], noise="both")


def test_controls_that_change_in_time():
    rng = np.random.default_rng(3)
    control = rng.uniform(0.8, 1.2, (60, 20))
    rows = [rng.uniform(-0.4, 0.4, 60)]
    for t in range(19):
        rows.append(control[:, t] * rows[-1] - rows[-1] ** 3)
    for given in (control, control[:, :-1], control[:, :, None]):
        assert discover(np.stack(rows, axis=1), given).kind == "pitchfork"


def test_the_rest_is_fitted_again_with_what_was_rounded():
    """Intervals are those of the printed map: about its coefficients, and none where the number is exact."""
    x, r = sp.symbols("h g", real=True)
    orbits, g = orbits_of(nf.Map(r * x + C3 * x**3, x, r), np.random.default_rng(3), noise=1e-5)
    rule = discover(orbits, g)
    ends = rule.interval(0.9)[0]
    assert ends[r * x] == (1, 1)
    low, high = ends[x**3]
    assert (low + high) / 2 == pytest.approx(float(rule.coefficients[0][x**3]), rel=1e-12)
    with pytest.raises(ValueError, match="level"):
        rule.interval(0)


@pytest.mark.parametrize(
    ("value", "error", "bias", "expected"),
    [
        (0.5001, 1e-3, 0, "1/2"),
        (-1.999, 1e-3, 0, "-2"),
        (-1.999, 1e-3, 0.01, None),
        (0.7318, 1e-4, 0, None),
        (0.3, 0.2, 0, None),
    ],
)
def test_rounding_needs_narrow_and_unbiased_intervals(value, error, bias, expected):
    found = rational_within(value, error, bias, 12)
    assert (found is None) if expected is None else str(found) == expected
