"""Training near the edge of stability, recorded at every step: what is free to know, what an oracle knows, and twins.

A run is one seed at one rate of one optimizer on one small problem of :mod:`problems`. The oracle is of the full batch:
the leading eigenpair of the Hessian as the optimizer sees it, and a tangent vector of the whole training map. A twin
starts from the state of a run and trains on, from parameters 1 % of a step away on the full batch, from the same
parameters on other minibatches.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.flatten_util import ravel_pytree
from problems import PROBLEMS

SIZES = {
    "student_teacher": {"size": 16},
    "sine": {"size": 20, "time": 30, "count": 12},
    "recall": {"size": 20, "time": 20, "count": 64, "delay": 10},
    "linear": {"size": 16, "time": 12, "count": 64},
    "residual": {"size": 24, "depth": 3, "count": 64},
}
MAKE = {
    "sgd": optax.sgd,
    "momentum": lambda rate: optax.sgd(rate, momentum=0.9),
    "adam": optax.adam,
    "muon": optax.contrib.muon,
}
TOP = {"sgd": 8.0, "momentum": 1.0, "adam": 1.0, "muon": 1.0}  # the largest rate that is tried
SAMPLES, SHARES, TRIED, FIRST = 64, (0.3, 0.6, 1.0), 13, 200
KEEP, KRYLOV, BLOCK = 0.9, 4, 5  # decay of the averages; Lanczos steps in a block of training steps
TWINS, EVERY, AHEAD, APART = 3, 25, 50, 0.01


class Course(NamedTuple):
    """What a run carries from step to step, vectors flat."""

    theta: Any
    state: Any
    moved: Any  # the last displacement,
    gradient: Any  # the gradient before it
    turned: Any  # averages with alternating signs: of displacements
    bent: Any  # and of changes of the gradient
    tangent: Any  # of theta, norm 1, and of the floats of the state
    top: Any  # leading eigenvector of S H S
    curvature: Any  # its eigenvalue


class Training:
    """One optimizer on one problem; ``part`` of the batch, drawn anew at every step."""

    def __init__(self, problem, optimizer, part):
        flat, self.unflat = ravel_pytree(problem.start)
        self.problem, self.optimizer, self.part, self.size = problem, optimizer, part, len(flat)

    def value(self, theta, batch):
        return self.problem.value(self.unflat(theta), batch)

    def drawn(self, batch, key):
        if self.part == 1:
            return batch
        count = len(jax.tree.leaves(batch)[0])
        rows = jax.random.permutation(key, count)[: int(count * self.part)]
        return jax.tree.map(lambda x: x[rows], batch)

    def move(self, theta, state, rate, batch):
        """``(theta, state, loss, gradient)`` after a step; loss and gradient are from before it."""
        loss, gradient = jax.value_and_grad(self.value)(theta, batch)
        update, state = MAKE[self.optimizer](rate).update(self.unflat(gradient), state, self.unflat(theta))
        return theta + ravel_pytree(update)[0], state, loss, gradient

    def begin(self, theta, rate, key):
        state = MAKE[self.optimizer](rate).init(self.unflat(theta))
        zero, random = jnp.zeros(self.size), jax.random.normal(key, (self.size,))
        still = jax.tree.map(jnp.zeros_like, eqx.filter(state, eqx.is_inexact_array))
        tangent = (random / jnp.linalg.norm(random), still)
        return Course(theta, state, zero, zero, zero, zero, tangent, random, jnp.ones(()))

    def scales(self, state):
        """S, the root of what multiplies the gradient beside the rate; Adam's with its correction of the bias."""
        if self.optimizer != "adam":
            return jnp.ones(self.size)
        seen = state[0]
        fade = 1 - jnp.float32(0.999) ** seen.count
        root = jnp.sqrt(ravel_pytree(seen.nu)[0] / jnp.maximum(fade, 1e-9)) + 1e-8
        return 1 / jnp.sqrt(root * (1 - jnp.float32(0.9) ** (seen.count + 1)))

    def leading(self, c, batch):
        """The leading eigenpair of S H S by a few Lanczos steps from the last one."""
        s, slope = self.scales(c.state), jax.grad(self.value)

        def product(v):
            return s * jax.jvp(lambda t: slope(t, batch), (c.theta,), (s * v,))[1]

        def extend(basis, i):
            w = product(basis[i])
            for _ in range(2):
                w = w - basis.T @ (basis @ w)
            return basis.at[i + 1].set(w / jnp.maximum(jnp.linalg.norm(w), 1e-30)), None

        basis = jnp.zeros((KRYLOV + 1, self.size)).at[0].set(c.top / jnp.linalg.norm(c.top))
        basis = jax.lax.scan(extend, basis, jnp.arange(KRYLOV))[0][:KRYLOV]
        values, vectors = jnp.linalg.eigh(basis @ jax.vmap(product)(basis).T)
        good = jnp.all(jnp.isfinite(values))
        top = jnp.where(good, vectors[:, -1] @ basis, c.top)
        return c._replace(top=top, curvature=jnp.where(good, values[-1], c.curvature))

    def step(self, c, rate, batch, key, count, oracle):
        floats, rest = eqx.partition(c.state, eqx.is_inexact_array)

        def going(theta, floats):
            theta, state, *seen = self.move(theta, eqx.combine(floats, rest), rate, self.drawn(batch, key))
            floats, others = eqx.partition(state, eqx.is_inexact_array)
            return (theta, floats), (*seen, others)

        if oracle:
            (theta, floats), tangent, seen = jax.jvp(going, (c.theta, floats), c.tangent, has_aux=True)
        else:
            ((theta, floats), seen), tangent = going(c.theta, floats), c.tangent
        loss, gradient, rest = seen
        change, sign = gradient - c.gradient, jnp.where(count % 2 == 0, 1.0, -1.0)
        turned = KEEP * c.turned + (1 - KEEP) * sign * c.moved
        bent = KEEP * c.bent + (1 - KEEP) * sign * change
        row = {"loss": loss, "G": gradient @ gradient, "bent": c.moved @ change, "fallen": c.moved @ c.gradient}
        row |= {"tt": turned @ turned, "tb": turned @ bent}
        if self.part < 1:
            row["whole"] = self.value(c.theta, batch)
        if oracle:
            norm = jnp.maximum(jnp.linalg.norm(tangent[0]), 1e-30)
            row |= {"lambda": c.curvature, "slope": (self.scales(c.state) * c.top) @ gradient, "growth": jnp.log(norm)}
            tangent = jax.tree.map(lambda x: x / norm, tangent)
        c = c._replace(theta=theta, state=eqx.combine(floats, rest), moved=theta - c.theta, gradient=gradient)
        return c._replace(turned=turned, bent=bent, tangent=tangent), row

    def run(self, theta, rate, batch, key, steps):
        """Rows (steps,); the oracle's are of the full batch alone."""
        oracle = self.part == 1 and steps > FIRST

        def some(c, inner):
            if oracle:
                c = self.leading(c, batch)
            return jax.lax.scan(lambda c, k: self.step(c, rate, batch, *k, oracle), c, inner)

        keys = jax.random.split(key, steps).reshape(-1, BLOCK)
        rows = jax.lax.scan(some, self.begin(theta, rate, key), (keys, jnp.arange(steps).reshape(-1, BLOCK)))[1]
        return {name: x.reshape(-1) for name, x in rows.items()}

    def beside(self, theta, rate, batch, key, steps):
        """Losses of a run (steps,) and of its twins (steps / EVERY, TWINS, AHEAD); of the whole batch too."""

        def step(c, k):
            theta, state, loss, _ = self.move(c[0], c[1], rate, self.drawn(batch, k))
            losses = {"loss": loss} | ({} if self.part == 1 else {"whole": self.value(c[0], batch)})
            return (theta, state, jnp.linalg.norm(theta - c[0])), losses

        def twin(c, key):
            away = jax.random.normal(key, (self.size,))
            start = c[0] + (APART * c[2] / jnp.linalg.norm(away) * away if self.part == 1 else 0)
            return jax.lax.scan(step, (start, *c[1:]), jax.random.split(key, AHEAD))[1]

        def block(c, keys):
            twins = jax.vmap(lambda k: twin(c, k))(jax.random.split(jax.random.fold_in(keys[0], 7), TWINS))
            c, rows = jax.lax.scan(step, c, keys)
            return c, (rows, twins)

        start = (theta, MAKE[self.optimizer](rate).init(self.unflat(theta)), jnp.zeros(()))
        rows, twins = jax.lax.scan(block, start, jax.random.split(key, steps).reshape(-1, EVERY))[1]
        return {k: x.reshape(-1) for k, x in rows.items()} | {f"twin_{k}": x for k, x in twins.items()}


def recorded(name, optimizer, part, seeds, steps):
    """Rates (runs,), rows (runs, steps) and the rows of twins; seeds outermost, shares of the largest rate innermost.

    What a problem keeps beside start and batch is of the first seed.
    """
    every = [PROBLEMS[name](seed, **SIZES[name]) for seed in seeds]
    starts = jnp.stack([ravel_pytree(p.start)[0] for p in every])
    batches = jax.tree.map(lambda *x: jnp.stack(x)[:, :SAMPLES], *[p.batch for p in every])
    keys = jax.vmap(jax.random.key)(jnp.asarray(seeds))
    training = Training(every[0], optimizer, part)

    def many(how, rates, steps):
        each = jax.vmap(lambda t, r, b, k: how(t, r, b, k, steps), (None, 0, None, None))
        return jax.jit(jax.vmap(each))(starts, jnp.asarray(rates, jnp.float32), batches, keys)

    tried = TOP[optimizer] * 0.5 ** np.arange(TRIED)
    rows = many(training.run, np.broadcast_to(tried, (len(seeds), TRIED)), FIRST)
    loss = np.asarray(rows.get("whole", rows["loss"]))
    learns = np.median(loss[..., -20:], -1) < loss[..., 0]  # NaN does not
    rates = np.array([[share * tried[np.argmax(one) if one.any() else -1] for share in SHARES] for one in learns])
    rows, twins = many(training.run, rates, steps), many(training.beside, rates, steps)
    twins = {k if k.startswith("twin_") else f"beside_{k}": v for k, v in twins.items()}
    return rates.reshape(-1), {k: np.asarray(v).reshape(rates.size, *v.shape[2:]) for k, v in (rows | twins).items()}
