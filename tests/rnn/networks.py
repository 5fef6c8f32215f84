"""Small networks and maps at a bifurcation of a chosen kind, and the event there."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import scipy.optimize

import rnn

PAIR = (np.exp(1.1j), np.exp(-1.1j))


class Planted(eqx.Module):
    """A normal form in the first coordinates of R^3, the others decaying, behind a rotation.

    Real kinds ``u' = c0 + c1 u + c2 u² + c3 u³``, a pair ``z' = e^{ic0} z (c1 + (c2 + i c3)|z|²)``.
    """

    numbers: jax.Array
    turn: tuple = eqx.field(static=True)
    planar: bool = eqx.field(static=True)

    def __call__(self, h):
        turn, c = np.array(self.turn), self.numbers
        x = turn.T @ h
        if not self.planar:
            lead = c[0] + x[0] * (c[1] + x[0] * (c[2] + x[0] * c[3]))
            return turn @ jnp.stack([lead, 0.4 * x[1], -0.3 * x[2]])
        r = x[0] ** 2 + x[1] ** 2
        re, im = c[1] + c[2] * r, c[3] * r
        u, v = x[0] * re - x[1] * im, x[1] * re + x[0] * im
        cos, sin = jnp.cos(c[0]), jnp.sin(c[0])
        return turn @ jnp.stack([cos * u - sin * v, sin * u + cos * v, 0.4 * x[2]])


PLANTED = {
    "pitchfork": ((0.0, 1.0, 0.0, -0.8), (0, 1, 0, 0)),
    "transcritical": ((0.0, 1.0, -0.7, 0.0), (0, 1, 0, 0)),
    "saddle_node": ((0.0, 1.0, -0.7, 0.0), (1, 0, 0, 0)),
    "period_doubling": ((0.0, -1.0, 0.0, 0.9), (0, -1, 0, 0)),
    "neimark_sacker": ((1.1, 1.0, -0.6, 0.3), (0.6, 0.8, 0, 0)),
}


def planted_map(kind):
    """The map of ``kind``, the direction that unfolds it and its event."""
    numbers, v = PLANTED[kind]
    turn = np.linalg.qr(np.random.default_rng(5).normal(size=(3, 3)))[0]
    model = Planted(jnp.asarray(numbers), tuple(map(tuple, turn.tolist())), kind == "neimark_sacker")
    v = np.asarray(v, float)
    return model, v, event_at(model, np.zeros(3), v)


def event_at(model, point, v, period=1):
    form = rnn.normal_form(model, point, v, period=period)
    return rnn.Event(form.kind, 0.0, complex(form.multiplier), form, point, model, v, 0, period, "localised")


def network(lead, seed=0, size=6, bias=True):
    """``h' = W tanh(h) + b`` with critical multipliers ``lead`` and a fixed point away from 0, or at 0 without bias."""
    rng = np.random.default_rng(seed)
    others = rng.uniform(0.1, 0.5, size - len(lead)) * rng.choice([-1, 1], size - len(lead))
    block = np.diag(np.concatenate([np.real(lead), others]))
    if len(lead) == 2:
        block[0, 1], block[1, 0] = -np.imag(lead[0]), np.imag(lead[0])
    change = np.linalg.qr(rng.normal(size=(size, size)))[0] * np.exp(rng.uniform(-0.4, 0.4, size))
    point = rng.uniform(-1, 1, size) if bias else np.zeros(size)
    weight = change @ block @ np.linalg.inv(change) * np.cosh(point) ** 2
    shift = jnp.asarray(point - weight @ np.tanh(point)) if bias else None
    return rnn.VanillaRNN(jnp.asarray(weight), shift), point


def steady(model, point, form, seed=0):
    """A direction that moves the critical multiplier outward, and others a little, and leaves the fixed point."""
    q, p = (np.asarray(x, complex) for x in (form.critical_eigenvector, form.adjoint_eigenvector))
    push = np.real(np.outer(q, p.conj()) * complex(form.multiplier))
    push = push / np.linalg.norm(push) + 0.1 * np.random.default_rng(seed).normal(size=push.shape) / len(point)
    push = push * np.cosh(point) ** 2
    return push.ravel() if model.bias is None else np.concatenate([push.ravel(), -push @ np.tanh(point)])


def at_bifurcation(lead, seed=0, bias=True):
    """A network, its event (in a random direction) and a direction that leaves the fixed point."""
    model, point = network(lead, seed, bias=bias)
    size = sum(x.size for x in jax.tree.leaves(model))
    event = event_at(model, point, np.random.default_rng(seed + 1).normal(size=size))
    return event, steady(model, point, event.normal_form, seed)


def cycle_network(period, multiplier, seed, size=6, bias=True):
    """``h' = W tanh(h) + b`` with a chosen cycle of which one multiplier is as given, and the cycle's points.

    ``W tanh(z_i) + b = z_{i+1}`` leaves W free off the ``tanh(z_i)``; a rank-one part there is scaled until
    ``det(M − multiplier)`` of the round trip vanishes, with the other multipliers as small as that leaves them.
    """
    rng = np.random.default_rng(seed)
    cycle, shift = rng.uniform(-1.2, 1.2, (period, size)), 0.3 * bias * rng.normal(size=size)
    inverse = np.linalg.pinv(np.tanh(cycle).T)
    off = np.eye(size) - np.tanh(cycle).T @ inverse
    weight = (np.roll(cycle, -1, axis=0) - shift).T @ inverse + 0.15 * rng.normal(size=(size, size)) @ off
    push = np.outer(rng.normal(size=size), off @ rng.normal(size=size))
    push /= np.linalg.norm(push)

    def trip(scale):
        return round_trip(weight + scale * push, cycle)

    def miss(scale):
        return np.linalg.det(trip(scale) - multiplier * np.eye(size))

    grid = np.linspace(-6, 6, 241)
    values = [miss(scale) for scale in grid]
    turns = [k for k in range(240) if values[k] * values[k + 1] < 0]
    scales = [scipy.optimize.brentq(miss, grid[k], grid[k + 1], xtol=1e-15) for k in turns]

    def gap(scale):
        mu = np.linalg.eigvals(trip(scale))
        return np.max(np.abs(np.delete(mu, np.argmin(np.abs(mu - multiplier)))))

    best = min(scales, key=gap)
    return rnn.VanillaRNN(jnp.asarray(weight + best * push), jnp.asarray(shift) if bias else None), cycle


def round_trip(weight, cycle):
    """The product of the Jacobians of ``W tanh(h) + b`` along a cycle."""
    product = np.eye(cycle.shape[1])
    for point in cycle:
        product = weight / np.cosh(point) ** 2 @ product
    return product
