"""Small networks and maps at a bifurcation of a chosen kind, and the event there."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

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


def event_at(model, point, v):
    form = rnn.normal_form(model, point, v)
    return rnn.Event(form.kind, 0.0, complex(form.multiplier), form, point, model, v, 0, 1, "localised")


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
