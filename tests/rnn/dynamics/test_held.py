"""What replaces the fixed point of a driven network: held inputs, periodic inputs, exponents."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from kernels import close, driven, leaky, our_gru, vanilla

import rnn


def network(seed=0, size=4, gain=0.6, **options):
    rng = np.random.default_rng(seed)
    weight = gain * rng.normal(size=(size, size)) / np.sqrt(size)
    return rnn.VanillaRNN(jnp.asarray(weight), input_weight=jnp.asarray(rng.normal(size=(size, 2))), **options)


@pytest.mark.parametrize(
    "case", [driven(vanilla(gain=0.5)), driven(leaky()), driven(our_gru())], ids=["vanilla", "leaky", "gru"]
)
def test_a_held_network_is_the_network_at_that_input(case):
    x = jnp.asarray([0.4, -0.2])
    still = rnn.held(case.model, x)
    h = case.h0[0]
    close(still(h), case.model(h, x), 0)
    close(still.jacobian(h), jax.jacfwd(lambda h: case.model(h, x))(h))
    points = rnn.fixed_points(case.model, x=x, starts=case.h0)
    close(points.points, rnn.fixed_points(still, starts=case.h0).points, 0)
    for point in points.points:
        np.testing.assert_allclose(case.model(jnp.asarray(point), x), point, atol=1e-12)


def test_the_parameters_of_a_held_network_are_the_networks_and_not_its_input():
    model = network()
    still = rnn.held(model, jnp.ones(2))
    selected, _ = rnn.partition(still)
    assert sum(p.size for p in jax.tree.leaves(selected)) == model.weight.size + model.input_weight.size
    kernel = rnn.sntk(still, jnp.ones((2, 4)), 3)
    close(kernel.as_matrix(), rnn.sntk(model, jnp.ones((2, 4)), inputs=jnp.ones((3, 2))).as_matrix())


def test_a_stroboscopic_map_is_one_period():
    model, inputs = network(), jnp.asarray(np.random.default_rng(1).normal(size=(3, 2)))
    strobe, h = rnn.stroboscopic(model, inputs), jnp.asarray([0.1, -0.4, 0.2, 0.9])
    close(strobe(h), rnn.trajectory(model, h[None], inputs=inputs)[0, -1], 1e-15)
    close(strobe.jacobian(h), jax.jacfwd(strobe)(h))
    twice = rnn.stroboscopic(model, inputs, steps=6)
    close(twice(h), strobe(strobe(h)), 1e-14)
    (point,) = rnn.fixed_points(strobe, starts=np.zeros((1, 4))).points
    orbit = rnn.trajectory(model, jnp.asarray(point)[None], inputs=jnp.tile(inputs, (2, 1)))[0]
    np.testing.assert_allclose(orbit[2], orbit[5], atol=1e-13)


def test_a_driven_pitchfork_moves_where_the_averaged_law_says():
    """``h' = λ tanh h + a cos ωt`` has its pitchfork at ``λ = 1 + R²/2``, ``R = a/(2 sin(ω/2))``, to order R².

    ``tanh h = h − h³/3``; about the forced orbit of amplitude R the slope averages to ``λ (1 − R²/2)``.
    """
    period, a = 8, 0.05
    omega = 2 * np.pi / period
    inputs = jnp.asarray(a * np.cos(omega * np.arange(period)))[:, None]
    one = jnp.ones((1, 1))

    def multiplier(lam):
        strobe = rnn.stroboscopic(rnn.VanillaRNN(lam * one, input_weight=one), inputs)
        found = rnn.fixed_points(strobe, starts=np.linspace(-0.5, 0.5, 7)[:, None])
        middle = np.argsort(found.points[:, 0])[len(found) // 2]  # the symmetric orbit lies between the other two
        return found.multipliers[middle, 0].real

    R = a / (2 * np.sin(omega / 2))
    low, high = 1.0, 1.0 + 2 * R**2
    for _ in range(16):
        middle = (low + high) / 2
        low, high = (middle, high) if multiplier(middle) < 1 else (low, middle)
    np.testing.assert_allclose(low - 1, R**2 / 2, rtol=0.05)


@pytest.mark.parametrize("x", [None, jnp.asarray([0.7, -0.3])])
def test_exponents_are_the_logarithms_of_singular_values(x):
    """Against the singular values of the Jacobian product, where that can still be formed."""
    model = network(3, gain=1.0)
    h0 = jnp.asarray(np.random.default_rng(2).normal(size=(3, 4)))
    inputs = None if x is None else jnp.asarray(np.random.default_rng(4).normal(size=(3, 6, 2)))
    found = rnn.exponents(model, h0, inputs, None if x is not None else 6, k=4)
    for b in range(3):
        product, h = np.eye(4), h0[b]
        for t in range(6):
            given = () if inputs is None else (inputs[b, t],)
            product = np.asarray(jax.jacfwd(model)(h, *given)) @ product
            h = model(h, *given)
        left, sigma, right = np.linalg.svd(product)
        np.testing.assert_allclose(found.values[b], np.log(sigma) / 6, atol=2e-3)
        np.testing.assert_allclose(found.values[b, 0], np.log(sigma[0]) / 6, atol=1e-6)
        np.testing.assert_allclose(np.abs(found.directions[b, 0] @ right[0]), 1, atol=1e-4)
        np.testing.assert_allclose(np.abs(found.ends[b, 0] @ left[:, 0]), 1, atol=1e-4)
    assert found.horizon == 6


def test_the_driven_pitchfork_is_an_event_of_the_orbit_that_the_input_locks():
    """As above, found along a path; on the other side a network's orbits lie on two locked orbits and not on one."""
    period, a = 8, 0.05
    inputs = jnp.asarray(a * np.cos(2 * np.pi * np.arange(period) / period))[:, None]
    one = jnp.ones((1, 1))
    models = [rnn.VanillaRNN(lam * one, input_weight=one) for lam in (0.9, 0.95, 1.0, 1.05)]
    (event,) = rnn.bifurcations(models, inputs=inputs, every=1, starts=np.linspace(-0.5, 0.5, 7)[:, None])
    R = a / (2 * np.sin(np.pi / period))
    assert event.kind == "pitchfork"
    np.testing.assert_allclose(0.05 * event.step - 0.1, R**2 / 2, rtol=0.05)
    for shift, ends in ((-0.2, 1), (0.2, 2)):
        model = rnn.ModelPath.of(models).model(event.step + shift)
        starts, long = jnp.asarray([[0.4], [-0.4]]), jnp.tile(inputs, (800, 1))
        last = np.asarray(rnn.trajectory(model, starts, inputs=long)[:, -1])
        assert len(np.unique(np.round(last, 4))) == ends


def test_a_kernel_is_restricted_at_an_event_under_periodic_input():
    one = jnp.ones((1, 1))
    models = [rnn.VanillaRNN(lam * one, input_weight=one) for lam in (0.9, 1.04, 1.2)]
    (event,) = rnn.bifurcations(models, inputs=np.zeros((2, 1)), every=1, starts=np.array([[0.1], [-0.2]]))
    h0 = np.array([[0.3]])
    sweep = rnn.restrict(event, np.array([1.0, 0.0]), h0=h0, horizon=3, count=3)
    slope = jax.jacfwd(lambda w: rnn.trajectory(rnn.VanillaRNN(w * one), jnp.asarray(h0), 6)[0, 1::2, 0])(1.0)
    np.testing.assert_allclose(sweep.amplification[1], np.sum(slope**2), rtol=1e-8)
    with pytest.raises(ValueError, match="constant or periodic already"):
        rnn.restrict(event, h0=h0, inputs=np.zeros((1, 3, 1)))


def test_exponents_of_a_contraction_at_its_fixed_point_are_its_multipliers():
    model = rnn.VanillaRNN(jnp.diag(jnp.asarray([0.9, 0.5, -0.2])))
    found = rnn.exponents(model, jnp.zeros((2, 3)), horizon=400, k=3)
    np.testing.assert_allclose(found.values, np.log([[0.9, 0.5, 0.2]] * 2), atol=1e-12)
    np.testing.assert_allclose(found.mean, np.log([0.9, 0.5, 0.2]), atol=1e-12)
    assert np.max(found.change) < 1e-12


def test_a_path_along_held_inputs_finds_the_fold_of_a_driven_neuron():
    """``h' = 2 tanh h + x`` folds where ``2 (1 − tanh² h) = 1``: ``x = h − 2 tanh h`` at ``tanh h = ±1/√2``."""
    model = rnn.VanillaRNN(2 * jnp.ones((1, 1)), input_weight=jnp.ones((1, 1)))
    path = rnn.path(model, x=np.linspace(-1.0, 1.0, 9)[:, None])
    events = rnn.bifurcations(path, every=1, starts=np.linspace(-3, 3, 12)[:, None])
    assert [event.kind for event in events] == ["saddle_node", "saddle_node"]
    h = np.arctanh(np.sqrt(0.5))
    edge = 2 * np.sqrt(0.5) - h
    np.testing.assert_allclose([float(event.model.x[0]) for event in events], [-edge, edge], atol=1e-8)


def test_a_path_along_held_inputs_is_followed_in_double_precision_whatever_the_network_is_in():
    model = rnn.VanillaRNN(2 * jnp.ones((1, 1), "f"), input_weight=jnp.ones((1, 1), "f"))
    path = rnn.path(model, x=np.linspace(-1.0, 1.0, 9, dtype="f")[:, None])
    with jax.numpy_dtype_promotion("strict"):  # a constant left in single precision is an error
        events = rnn.bifurcations(path, every=1, starts=np.linspace(-3, 3, 12)[:, None])
    edge = 2 * np.sqrt(0.5) - np.arctanh(np.sqrt(0.5))
    np.testing.assert_allclose([float(event.model.x[0]) for event in events], [-edge, edge], atol=1e-7)


def test_events_of_a_trained_path_are_found_at_each_stated_input():
    """``h' = λ tanh h + x``: at x = 0 a pitchfork at λ = 1, at x ≠ 0 a fold later on."""
    one = jnp.ones((1, 1))
    models = [rnn.VanillaRNN(lam * one, input_weight=one) for lam in np.linspace(0.7, 1.6, 10)]
    starts = np.linspace(-2, 2, 9)[:, None]
    still, pushed = rnn.bifurcations(models, x=np.array([[0.0], [0.05]]), every=1, starts=starts)
    assert [event.kind for event in still] == ["pitchfork"]
    np.testing.assert_allclose(still[0].step, 3.0, atol=1e-7)
    assert [event.kind for event in pushed] == ["saddle_node"]
    lam = 0.7 + 0.1 * pushed[0].step
    s = np.sqrt(1 - 1 / lam)  # tanh h at the fold
    np.testing.assert_allclose(lam * s - np.arctanh(s), 0.05, atol=1e-8)


def test_two_multipliers_through_one_together_are_one_degenerate_event_with_both_values():
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
    models = [rnn.VanillaRNN(jnp.asarray(turn @ np.diag([g, g, 0.3]) @ turn.T)) for g in np.linspace(0.9, 1.13, 8)]
    events = rnn.bifurcations(models, every=1, first=1, starts=np.zeros((1, 3)))
    assert [event.kind for event in events] == ["degenerate"]
    np.testing.assert_allclose(events[0].critical, [1, 1], atol=1e-7)


def test_cycles_of_three_are_followed():
    """``h' = g P tanh h`` with a cyclic P: states with entries ±u, ``u = g tanh u``, of which six lie on 3-cycles."""
    turn = np.roll(np.eye(3), 1, axis=0)
    models = [rnn.VanillaRNN(jnp.asarray(g * turn)) for g in (1.5, 1.6, 1.7)]
    starts = np.array([[1.0, 1, -1], [-1, -1, 1], [1, 1, 1], [0.1, 0, 0]])
    found = rnn.bifurcations(models, periods=(1, 3), every=1, starts=starts)
    cycles = [b for b in found.branches if b.period == 3 and np.all(b.stable)]
    assert len(cycles) == 2
    u = 1.0
    for _ in range(200):
        u = 1.7 * np.tanh(u)
    for branch in cycles:
        np.testing.assert_allclose(np.abs(branch.points[-1]), u, atol=1e-3)
        assert abs(np.sum(np.sign(branch.points[-1]))) == 1
        assert branch.status == "followed"


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda m: rnn.held(m, np.ones((2, 2))), r"x must have shape \(inputs,\), got \(2, 2\)"),
        (lambda m: rnn.held(m, np.array([1, 2])), "x must be real floating"),
        (lambda m: rnn.held(m, np.array([np.nan, 1.0])), "contains NaN"),
        (lambda m: rnn.stroboscopic(m, np.ones(3)), r"inputs must have shape \(period, inputs\), got \(3,\)"),
        (lambda m: rnn.stroboscopic(m, np.ones((3, 2)), steps=4), "multiple of the period 3"),
        (lambda m: rnn.exponents(m, jnp.zeros(4), horizon=3), "add the batch axis"),
        (lambda m: rnn.exponents(m, jnp.zeros((1, 4)), horizon=3, k=5), "at most the length 4"),
        (lambda m: rnn.path(m), "for one network along its input give x"),
        (lambda m: rnn.path(m, x=np.ones((1, 2))), "x must have shape"),
        (lambda m: rnn.path([m, m], x=np.ones((2, 2))), "must be one network"),
        (lambda m: rnn.bifurcations([m, m], periods=(17,)), "at most 16"),
        (lambda m: rnn.bifurcations([m, m], x=np.ones(2), inputs=np.ones((3, 2))), "not both"),
        (lambda m: rnn.bifurcations([m, m], inputs=np.ones(3)), r"shape \(period, inputs\), got \(3,\)"),
        (lambda m: rnn.fixed_points(m, x=np.ones(3), starts=np.zeros((1, 4))), "like input_weight"),
    ],
)
def test_bad_input_is_named(call, says):
    with pytest.raises(ValueError, match=says):
        call(network())
