"""The restricted kernel through bifurcations of cycles: along the network's own steps, measured and predicted."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from kernels import close
from networks import cycle_network, event_at, round_trip

import normalforms as nf
import rnn
from rnn.restricted.orbit import Frame, cycle_of, frames, orbit_curve

PLANTED = {"saddle_node": (3, 1.0, 5), "period_doubling": (3, -1.0, 22)}


def event_of(kind):
    """The event of a planted cycle; the pitchfork is where an odd network's 2-cycle loses its symmetry."""
    if kind == "pitchfork":
        odd, cycle = cycle_network(1, -1.0, 0, bias=False)
        model, cycle = rnn.VanillaRNN(-odd.weight, None), np.concatenate([cycle, -cycle])
    else:
        model, cycle = cycle_network(*PLANTED[kind])
    size = sum(x.size for x in jax.tree.leaves(model))
    return event_at(model, cycle[0], np.random.default_rng(3).normal(size=size), len(cycle))


def starts(event, radius, batch=6):
    """States next to all points of the cycle, and which point each is next to."""
    with jax.enable_x64(True):
        cycle = cycle_of(event)
    rng, phase = np.random.default_rng(2), np.arange(batch) % event.period
    return cycle[phase] + radius * rng.normal(size=(batch, cycle.shape[1])), phase


def swept(kind, direction, radius, **options):
    event = event_of(kind)
    return rnn.restrict(event, direction, h0=starts(event, radius)[0], horizon=6 * event.period + 1, count=5, **options)


@pytest.fixture(scope="module")
def flip():
    return swept("period_doubling", "gradient", 0.01, span=(0.95, 1.05))


@pytest.fixture(scope="module")
def fold():
    return swept("saddle_node", "gradient", 0.02)


@pytest.fixture(scope="module")
def pitchfork():
    return swept("pitchfork", "gradient", 0.1, span=(0.9, 1.1))


def frame_at(sweep, s):
    """Cycle, q and p of every stage at s: Newton, and eigenvectors of each stage's own round trip."""
    theta, event = np.concatenate([np.ravel(x) for x in jax.tree.leaves(sweep.event.model)]), sweep.event
    n, size = event.period, len(event.point)
    theta = theta + s * sweep.direction
    W, b = theta[: size**2].reshape(size, size), theta[size**2 :]
    h = np.array(event.point)
    for _ in range(30):
        orbit = [h]
        for _ in range(n):
            orbit.append(W @ np.tanh(orbit[-1]) + b)
        h = h + np.linalg.solve(np.eye(size) - round_trip(W, np.array(orbit[:-1])), orbit[-1] - h)
    cycle = np.array(orbit[:-1])
    q, p = [], []
    for i in range(n):
        M = round_trip(W, np.roll(cycle, -i, axis=0))
        for found, matrix in ((q, M), (p, M.T)):
            values, vectors = np.linalg.eig(matrix)
            found.append(np.real(vectors[:, np.argmin(np.abs(values - event.normal_form.multiplier))]))
    return W, b, cycle, np.array(q), np.array([y / (x @ y) for x, y in zip(q, p, strict=True)])


def rate(sweep, s, rung, eps=1e-5, moving=True):
    """``Σ ‖∂h_t/∂s‖²`` of a rung for a vanilla network in NumPy; every s with a frame of its own, unless it stays."""
    still = frame_at(sweep, 0.0)

    def orbit(s):
        W, b, *_ = frame_at(sweep, s)
        V, c, z, q, p = frame_at(sweep, s) if moving else still
        stage = sweep.phase
        u = np.sum((sweep.h0 - z[stage]) * p[stage], axis=1)
        w = sweep.h0 - z[stage] - u[:, None] * q[stage]
        d, states = 0 * w, []
        for _ in range(sweep.horizon):
            later = (stage + 1) % len(z)
            off = lambda v, k=later: v - np.sum(v * p[k], axis=1)[:, None] * q[k]  # noqa: E731
            y = z[stage] + u[:, None] * q[stage] + w
            t = np.tanh(y)
            bend = (1 - t**2) * d - (t * (1 - t**2) * d**2 if rung == "second" else 0)
            u = np.sum((np.tanh(y + d) @ W.T + b - z[later]) * p[later], axis=1)
            ahead = off(np.tanh(z[stage] + w) @ V.T + c - z[later])
            if rung != "scalar":
                d = off((t + bend) @ W.T + b - z[later]) - ahead
            w, stage = ahead, later
            states.append(z[stage] + u[:, None] * q[stage] + w + d)
        return np.array(states)

    return np.sum(((orbit(s + eps) - orbit(s - eps)) / (2 * eps)) ** 2)


@pytest.mark.parametrize("rung", ["scalar", "response", "second"])
def test_every_rung_is_that_of_a_plain_integration(flip, rung):
    moving = rnn.predict(flip, (rung,)).rungs[rung]
    for k in (1, 4):  # the derivative of the cycle is that of a spline through five points
        assert moving[k] == pytest.approx(rate(flip, flip.displacement[k], rung), rel=1e-4)


def test_the_frame_of_the_event_is_that_of_a_plain_integration(flip):
    fixed = rnn.predict(flip, ("second",), frame="fixed").rungs["second"]
    for k in (1, 4):
        assert fixed[k] == pytest.approx(rate(flip, flip.displacement[k], "second", moving=False), rel=1e-6)


@pytest.mark.parametrize("kind", ["saddle_node", "period_doubling", "pitchfork"])
def test_cycles_of_every_kind_are_predicted(kind, fold, flip, pitchfork):
    sweep = {"saddle_node": fold, "period_doubling": flip, "pitchfork": pitchfork}[kind]
    assert sweep.kind == kind
    np.testing.assert_array_equal(sweep.phase, np.arange(6) % sweep.event.period)
    prediction = rnn.predict(sweep)
    assert prediction.status == "separated"
    errors = [prediction.max_relative_error(rung) for rung in ("scalar", "response", "second")]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 1e-3
    assert prediction.r2("second") > 0.9999


def test_the_states_of_all_steps_count(fold):
    """Against the dense Jacobian of the network's own trajectory."""
    J = np.asarray(rnn.sntk(fold.event.model, jnp.asarray(fold.h0), fold.horizon).as_matrix())
    middle = int(np.argmin(np.abs(fold.displacement)))
    np.testing.assert_allclose(fold.amplification[middle], np.sum((J @ fold.direction) ** 2), rtol=1e-9)


def test_a_fold_is_swept_over_its_own_rounds(fold):
    np.testing.assert_allclose(fold.parameter[[0, -1]] - 1, np.array([-1, 1]) * (3 / fold.horizon) ** 2, rtol=1e-9)


def test_the_frame_of_every_stage(flip):
    """``A q_i ∝ q_{i+1}``, ``A^T p_{i+1} ∝ p_i``, ``p·q = 1``; and the start's own coordinate at its phase."""
    with jax.enable_x64(True):
        frame, _ = frames(flip.event, flip.direction, flip.kind, flip.displacement, True)
    for k, s in enumerate(flip.displacement):
        _, _, cycle, q, p = frame_at(flip, s)
        close(frame.centre[k], cycle, 1e-9)
        for i in range(3):
            lengths = np.linalg.norm(q[i]), np.linalg.norm(frame.q[k, i])
            assert abs(q[i] @ frame.q[k, i]) == pytest.approx(lengths[0] * lengths[1], rel=1e-9)
            close(np.outer(frame.q[k, i], frame.p[k, i]), np.outer(q[i], p[i]), 1e-7)
    with jax.enable_x64(True):
        frame, _ = frames(flip.event, flip.direction, flip.kind, np.zeros(1), False)
    u = np.sum((flip.h0 - frame.centre[0, flip.phase]) * frame.p[0, flip.phase], axis=1)
    np.testing.assert_allclose(flip.initial, flip.scale * u, rtol=1e-9)


class Affine(eqx.Module):
    """``h' = A h + b``."""

    matrix: jax.Array
    shift: jax.Array

    def __call__(self, h):
        return self.matrix @ h + self.shift


@pytest.mark.parametrize("rung", ["response", "second"])
def test_the_response_is_exact_for_maps_that_are_affine_in_the_state(rung):
    """Whatever the points, vectors and phases: the split into u, w̄ and d is then an identity."""
    rng = np.random.default_rng(8)
    model = Affine(jnp.asarray(0.5 * rng.normal(size=(4, 4))), jnp.asarray(rng.normal(size=4)))
    v, s, h0 = rng.normal(size=20), np.array([-0.02, 0.03]), rng.normal(size=(5, 4))
    frame, turn = (Frame(*rng.normal(size=(3, 2, 3, 4))) for _ in range(2))
    frame = frame._replace(p=frame.p / np.sum(frame.p * frame.q, axis=-1, keepdims=True))
    slip = np.sum(turn.p * frame.q + frame.p * turn.q, axis=-1, keepdims=True)
    turn = turn._replace(p=turn.p - slip * frame.p)  # so that p·q stays 1
    with jax.enable_x64(True):
        found = orbit_curve(model, v, (frame, turn), s, h0, 7, None, np.array([0, 2, 1, 1, 0]), rung, moving=True)
    close(found, rnn.amplification_along(model, v, s, h0, 7), 1e-10)


class Henon(eqx.Module):
    """``(x, y) → (1 − a x² + y, 0.3 x)``."""

    a: jax.Array

    def __call__(self, h):
        return jnp.stack([1 - self.a * h[0] ** 2 + h[1], 0.3 * h[0]])


def test_the_flip_of_the_henon_maps_two_cycle():
    """It lies at ``4 a = 5 b² − 6 b + 5`` [Hénon]; the normal form is that of SymPy's reduction."""
    a, b = (5 * 0.3**2 - 6 * 0.3 + 5) / 4, 0.3
    x, other = np.roots([a**2, -a * (1 - b), (1 - b) ** 2 - a])
    event = event_at(Henon(jnp.asarray(a)), np.array([x, b * other]), np.ones(1), 2)
    assert event.kind == "period_doubling"
    x, y = map(float, event.point)
    form = nf.reduce(nf.zoo.henon(), at={"x": x, "y": y, "a": a, "b": 0.3}, parameter="a", period=2)
    for name in ("c3", "dlambda"):
        assert float(event.normal_form.coefficients[name]) == pytest.approx(float(form.coefficients[name]), rel=1e-6)
    sweep = rnn.restrict(event, np.ones(1), h0=event.point[None], horizon=4, count=3, span=(0.95, 1.05))
    slope = -float(form.coefficients["dlambda"]) * float(sweep.direction[0])
    assert sweep.slope[1] == pytest.approx(slope, rel=1e-4)


def test_a_cycle_under_input_is_predicted(pitchfork):
    """The cycle and the orbit that a weak input forces about it, in one frame."""
    event = pitchfork.event
    model = rnn.VanillaRNN(event.model.weight, None, input_weight=jnp.full((6, 1), 0.3))
    fed = event_at(model, event.point, np.ones(42), 2)
    inputs = 0.1 * np.random.default_rng(1).normal(size=(6, 13, 1))
    v = np.append(pitchfork.direction, np.zeros(6))
    sweep = rnn.restrict(fed, v, h0=pitchfork.h0, inputs=inputs, count=5, span=(0.9, 1.1))
    prediction = rnn.predict(sweep, ("second",))
    assert prediction.r2() > 0.999
    assert prediction.max_relative_error() < 0.01
    assert prediction.status == "separated"


def test_trajectories_that_go_elsewhere_are_told(pitchfork):
    h0 = np.concatenate([pitchfork.h0[:4], np.zeros((2, 6))])  # the fixed point in the middle
    sweep = rnn.restrict(pitchfork.event, pitchfork.direction, h0=h0, horizon=13, count=5, span=(0.9, 1.1))
    np.testing.assert_array_equal(sweep.apart > 0.1, [False] * 4 + [True] * 2)
    assert "2 of 6 trajectories end away from the cycle" in rnn.predict(sweep, ("second",)).status


def test_what_a_cycle_has_not_is_refused(pitchfork):
    with pytest.raises(ValueError, match="cycle of period 2"):
        rnn.fit(pitchfork)
    with pytest.raises(ValueError, match="gains are of the corrections"):
        rnn.predict(pitchfork, gains=True)
    with pytest.raises(ValueError, match="rungs must be among"):
        rnn.predict(pitchfork, ("cubic",))
    with pytest.raises(ValueError, match="frame must be"):
        rnn.predict(pitchfork, frame="rotating")
