"""The noise laws against networks, and what they cost: ``python tests/benchmarks/bench_noise.py [networks|…]``.

A network ``h' = W tanh(h) + U x`` of 64 units with one multiplier put at λ and the others inside a circle of .5, driven
by independent signs ``x = ±a`` from rest. The input drives the critical direction and the others alike,
``U = q + r``, ``‖r‖ = 1``, as training makes it. With right and left critical eigenvectors q and p, ``‖q‖ = 1``,
``⟨p, q⟩ = 1``,

    c = ⅓ Σ p_i q_i³,   σ = √c |p·U| a,   x = T (λ − 1),   y = T² σ²,   ∇λ = p qᵀ,
    λ₁(sNTK over W) ≈ ‖∇λ‖² (B/c) E A_T ≈ ‖∇λ‖² (B/c) T² Ψ(x, y).
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import sympy as sp

import normalforms as nf
import rnn

SIZE, BATCH, SEEDS = 64, 384, (0, 1, 2)
PSI = nf.amplification(nf.pitchfork()).driven(nf.White(0.1)).scaling()


@dataclass(frozen=True)
class Network:
    """A network at criticality and what the law needs of it."""

    weight: np.ndarray
    input_weight: np.ndarray
    q: np.ndarray
    p: np.ndarray
    c: float

    def at(self, multiplier: float) -> np.ndarray:
        """W with its critical multiplier moved."""
        return self.weight + (multiplier - 1) * np.outer(self.q, self.p)

    def amplitude(self, sigma: float) -> float:
        """The size of the input that makes this σ."""
        return sigma / np.sqrt(self.c) / abs(float(self.p @ self.input_weight))


def network(seed: int) -> Network:
    """A random W with one multiplier 1, the rest within .5, and its cubic coefficient, which has to be positive."""
    rng = np.random.default_rng(seed)
    while True:
        A = rng.standard_normal((SIZE, SIZE)) / np.sqrt(SIZE)
        A *= 0.5 / np.max(np.abs(np.linalg.eigvals(A)))
        q = rng.standard_normal(SIZE)
        q /= np.linalg.norm(q)
        r = q + 0.5 * rng.standard_normal(SIZE) / np.sqrt(SIZE)
        p = r / (r @ q)
        project = np.eye(SIZE) - np.outer(q, p)
        W = np.outer(q, p) + project @ A @ project
        if np.sum(p * q**3) > 0:
            r = project @ rng.standard_normal(SIZE)
            return Network(W, q + r / np.linalg.norm(r), q, p, float(np.sum(p * q**3)) / 3)


def kernel(net: Network, multiplier: float, amplitude: float, horizon: int, seed: int) -> tuple[float, float]:
    """λ₁ of the sNTK over W and its stable rank, for signs as inputs."""
    signs = 2.0 * np.random.default_rng(seed).integers(0, 2, (BATCH, horizon, 1)) - 1
    model = rnn.VanillaRNN(jnp.asarray(net.at(multiplier)), input_weight=jnp.asarray(net.input_weight[:, None]))
    inputs = jnp.asarray(amplitude * signs)
    found = rnn.sntk(model, jnp.zeros((BATCH, SIZE)), inputs=inputs, wrt=lambda m: m.weight)
    modes = found.leading(1)
    return float(modes.singular_values[0]) ** 2, float(found.stable_rank(modes=modes).value)


def networks() -> None:
    """λ₁ over the law at (x, y) by seed, T = 60: with E A_T of this horizon, and with its limit T² Ψ."""
    horizon, law = 60, nf.amplification(nf.pitchfork())
    print(f"{'x':>5s} {'y':>7s}   over E A_T                over T² Ψ                 stable rank")
    for x, y in [(x, y) for y in (0.1, 1.0, 10.0, 30.0) for x in (-2.0, 0.0, 2.0)]:
        finite, limit, ranks = [], [], []
        for seed in SEEDS:
            net, sigma = network(seed), float(np.sqrt(y) / horizon)
            top, rank = kernel(net, 1 + x / horizon, net.amplitude(sigma), horizon, seed)
            unit = np.sum(net.p**2) * BATCH / net.c
            finite.append(top / unit / law.driven(nf.White(sigma, law="binary"))(1 + x / horizon, 0.0, horizon))
            limit.append(top / unit / horizon**2 / PSI.evaluate(x, y))
            ranks.append(rank)
        show = lambda v: " ".join(f"{a:7.3f}" for a in v)  # noqa: E731
        print(f"{x:5.1f} {y:7.1f}   {show(finite)}   {show(limit)}   {show(ranks)}")


def collapse() -> None:
    """The stable rank at the crossing against y, T = 30: where it collapses under input."""
    for y in (0.03, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0):
        ranks = []
        for seed in SEEDS:
            net = network(seed)
            ranks.append(kernel(net, 1.0, net.amplitude(np.sqrt(y) / 30), 30, seed)[1])
        print(f"y = {y:6.2f}   stable rank {' '.join(f'{r:6.2f}' for r in ranks)}")


def exponents() -> None:
    """The conditional Lyapunov exponent at the crossing against −1.43397 σ."""
    law = nf.amplification(nf.pitchfork()).driven(nf.White(0.1))
    for sigma in (0.02, 0.04, 0.08, 0.16):
        row = []
        for seed in SEEDS:
            net, rng = network(seed), np.random.default_rng(seed)
            amplitude, steps, burn = net.amplitude(sigma), int(40 / sigma), int(8 / sigma)
            h, d, total = np.zeros((64, SIZE)), np.tile(net.q, (64, 1)), 0.0
            for t in range(steps + burn):
                slope = 1 - np.tanh(h) ** 2
                x = amplitude * (2.0 * rng.integers(0, 2, (64, 1)) - 1)
                h, d = np.tanh(h) @ net.weight.T + x * net.input_weight, (slope * d) @ net.weight.T
                size = np.linalg.norm(d, axis=1, keepdims=True)
                d /= size
                total += float(np.mean(np.log(size))) if t >= burn else 0.0
            row.append((total / steps, (law.exponent(-net.shift(amplitude) / sigma)) * sigma))
        measured = " ".join(f"{m:8.4f}" for m, _ in row)
        shifted = " ".join(f"{s:8.4f}" for _, s in row)
        print(
            f"sigma = {sigma:5.2f}   measured {measured}   law {law.exponent(0) * sigma:8.4f}   shifted law {shifted}"
        )


def constants() -> None:
    """The law's constants with the errors that it gives them."""
    law = nf.amplification(nf.pitchfork()).driven(nf.White(0.1))
    for m in (-2.0, -1.0, 0.0, 0.5, 0.8):
        kappa = law.stationary(m)
        print(f"kappa({m:4.1f}) = {kappa:.15f} ± {kappa.error:.1e}")
    for m in (1.2, 1.5, 2.0, 3.0):
        rate = law.moment_exponent(m)
        print(f"L(2; {m}) = {rate:.12f} ± {rate.error:.1e}   tail index {law.tail(m):.9f}")
    edge = (law.threshold() - 1) / 0.1
    print(f"m_c = {edge:.12f}   exponent(0) = {law.exponent(0):.12f}")


def means() -> None:
    """Mean, median and batches across the moment instability: σ = .05, T = 320, signs, 20,000 orbits."""
    law = nf.amplification(nf.pitchfork()).driven(nf.White(0.05, law="binary"))
    for m in (-1.0, 0.0, 0.5, 1.0, 1.5, 2.0, 3.0):
        g = 1 + 0.05 * m
        seen, mean = law.spread(g, 0.0, 320), law(g, 0.0, 320)
        print(
            f"m = {m:4.1f}   mean {mean:11.5g}   drawn {seen.mean:11.5g} ± {seen.error:9.3g}"
            f"   median {seen.median:9.4g}   batch of 128 {seen.batch:11.5g}   top 1 % carry {seen.share:5.3f}"
        )


def speed() -> None:
    """Seconds of each form, first call and again."""
    law = nf.amplification(nf.pitchfork()).driven(nf.White(0.05))
    kept = nf.amplification(nf.saddle_node()).driven(nf.White(0.05), radius=0.1).scaling()
    cusp, pair = (nf.amplification(m).driven(nf.White(1)).scaling() for m in (nf.cusp(), nf.neimark_sacker(1, -1)))
    for name, call in {
        "expectation, T = 60": lambda: law(1.0, 0.0, 60),
        "expectation, T = 1000": lambda: law(1.0, 0.0, 1000),
        "scaling function": lambda: PSI.evaluate(0.0, 1.0),
        "kappa": lambda: law.stationary(0.3),
        "exponent": lambda: law.exponent(0.3),
        "tail index": lambda: law.tail(1.3),
        "scaling, orbits that stay": lambda: kept.evaluate(1.0, 1.0, 0.0, 3.0),
        "scaling, cusp": lambda: cusp.evaluate(1.0, 1.0),
        "scaling, pair": lambda: pair.evaluate(1.0, 1.0),
    }.items():
        taken = []
        for _ in range(2):
            start = time.process_time()
            call()
            taken.append(time.process_time() - start)
        print(f"{name:24s} {taken[0]:7.3f} {taken[1]:7.3f} s")


def escapes() -> None:
    """Orbits that stay: the map over the limit, value and chance to stay, less 1; and rates from the map."""
    h, g = sp.symbols("h g", real=True)
    subcritical = nf.Map(g * h + h**3, h, g, {h: 0, g: 1})
    for name, m, power, odd in (
        ("transcritical", nf.transcritical(), 1, False),
        ("saddle-node", nf.saddle_node(), 2, False),
        ("subcritical", subcritical, 1, True),
    ):
        law = nf.amplification(m)
        for x, y, z, rho in ((0, 0.3, 0.2, 2.5), (1, 1, -0.1, 3.0), (-2, 2, 0.4, 3.0)):
            row = []
            for T in (50, 200, 800):
                unit = np.sqrt(T) if odd else T
                driven = law.driven(nf.White(np.sqrt(y / T) / unit), radius=rho / unit)
                at = (1 + x / T**power, z / unit, T)
                found, limit = driven(*at), driven.scaling()(*at)
                row.append(f"{found / limit - 1:9.1e} {(1 - found.escaped) / (1 - limit.escaped) - 1:8.1e}")
            print(f"{name:14s} x = {x:2d} y = {y:3.1f} z = {z:4.1f} rho = {rho}   lost {limit.escaped:6.4f}   ", *row)
        for m_ in (-1.0, 0.0, 1.0):
            rates = []
            for size in (0.05, 0.025):
                driven = law.driven(nf.White(size if odd else size**1.5), radius=0.6 if odd else 0.35)
                at, T = 1 + m_ * size**power, int(8 / size)
                one, two = driven(at, 0.0, T), driven(at, 0.0, 2 * T)
                stay = np.log((1 - two.escaped) / (1 - one.escaped))
                rates.append(np.array([stay, stay + np.log(two / one)]) / T / size)
            seen = 2 * rates[1] - rates[0]
            exact = [driven.moment_exponent(m_, q) for q in (0, 2)]
            print(
                f"{name:14s} m = {m_:4.1f}   L(0) {exact[0]:9.6f} map {seen[0]:8.4f}   L(2) {exact[1]:9.6f} map"
                f" {seen[1]:8.4f}   exponent {driven.exponent(m_):9.6f}"
            )


PARTS = {f.__name__: f for f in (constants, means, networks, collapse, exponents, escapes, speed)}

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], help="which tables; all by default")
    with jax.enable_x64(True):
        for part in parser.parse_args().parts or PARTS:
            print(f"\n{part}: {PARTS[part].__doc__}")
            PARTS[part]()
