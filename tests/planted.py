"""Maps of R^n with planted normal-form coefficients, hidden by a random nonlinear change of coordinates.

Everything is written in ``+``, ``*`` and ``@``, so that the same map runs on floats, JAX arrays and SymPy symbols.
"""

from typing import Any, NamedTuple

import numpy as np

KINDS = ("saddle_node", "transcritical", "pitchfork", "period_doubling", "neimark_sacker")


class Planted(NamedTuple):
    """The numbers of one map with a bifurcation at h = 0, m = 0; `step` is the map.

    A coordinate change is two layers of ``y = M x``, ``x ↦ y + S y² + R y³`` with S, R strictly lower
    triangular, so that it has an exact inverse. Behind it, the critical coordinates come first:
    real kinds ``u' = push m + (sign + slope m) u + bend u² + cube u³ + …``, planar ones
    ``z' = turn z (1 + slope m + cube |z|²) + …``; the others obey ``v' = s v + …``, and ``v = 0`` stays.
    """

    layers: Any
    others: Any
    into: Any
    onto: Any
    drift: Any
    sign: Any
    push: Any
    slope: Any
    bend: Any
    cube: Any


def forward(layers, x):
    for matrix, _, square, third in layers:
        x = matrix @ x
        x = x + square @ (x * x) + third @ (x * x * x)
    return x


def backward(layers, x):
    for _, inverse, square, third in reversed(layers):
        y = x
        for _ in range(len(x) - 1):
            y = x - square @ (y * y) - third @ (y * y * y)
        x = inverse @ y
    return x


def step(p, h, m, planar=False):
    """The map, on a vector ``h`` of any kind of number."""
    x = backward(p.layers, h - m * p.drift)
    eye = np.eye(len(p.drift))
    width = 2 if planar else 1
    u, v = x[0], x[width:]
    pull = p.into @ (v * (u + v))
    if planar:
        r = u * u + x[1] * x[1]
        re, im = 1 + p.slope[0] * m + p.cube[0] * r, p.slope[1] * m + p.cube[1] * r
        a, b = u * re - x[1] * im + pull, u * im + x[1] * re
        lead = eye[0] * (p.sign[0] * a - p.sign[1] * b) + eye[1] * (p.sign[1] * a + p.sign[0] * b)
    else:
        lead = eye[0] * (p.push * m + (p.sign + p.slope * m + p.bend * u + p.cube * u * u) * u + pull)
    image = lead + eye[:, width:] @ (v * (p.others + p.onto * (u + v)))
    return forward(p.layers, image) + m * p.drift


def planted(kind, seed, size=5, degenerate=False):
    """A random map of ``kind`` and its coefficients for a critical eigenvector of unit length, up to its sign.

    With ``degenerate`` the coefficient that decides is zero.
    """
    rng = np.random.default_rng([KINDS.index(kind), seed])
    layers = [_layer(rng, size) for _ in range(2)]
    slope_of_change = layers[1][0] @ layers[0][0]
    planar = kind == "neimark_sacker"
    rest = size - (2 if planar else 1)
    modulus = np.where(rng.uniform(size=rest) < 0.8, rng.uniform(0.1, 0.7, rest), rng.uniform(1.3, 1.6, rest))
    others = modulus * rng.choice([-1, 1], rest)
    into, onto, drift = (rng.uniform(-0.6, 0.6, k) for k in (rest, rest, size))
    c2, c3, slope, push = rng.uniform(0.3, 2, 4) * rng.choice([-1, 1], 4)
    if planar:
        omega = rng.choice([0.02, 0.4, 1.2, 1.9, 2.5, 3.0]) * rng.uniform(0.97, 1.03)
        cube = np.array([0.0 if degenerate else c2, c3])
        turn = np.array([slope, push])
        sign, push, bend = np.array([np.cos(omega), np.sin(omega)]), 0.0, 0.0
        length = np.linalg.norm(slope_of_change[:, 0] - 1j * slope_of_change[:, 1]) / 2
        expected = {"d": complex(*cube) / length**2, "omega": omega, "dlambda": np.exp(1j * omega) * complex(*turn)}
        return _arrays(Planted(layers, others, into, onto, drift, sign, push, turn, bend, cube)), expected
    length = np.linalg.norm(slope_of_change[:, 0])
    quadratic = kind in ("saddle_node", "transcritical")
    bend = c2 if quadratic and not degenerate else 0.0
    cube = 0.0 if degenerate and not quadratic else c3
    push = push if kind == "saddle_node" else 0.0
    sign = -1.0 if kind == "period_doubling" else 1.0
    expected = {"c3": cube / length**2}
    expected |= {"c2": bend / length} if sign > 0 else {}
    expected |= {"c0": push * length} if push else {"dlambda": slope}
    return _arrays(Planted(layers, others, into, onto, drift, sign, push, slope, bend, cube)), expected


def _arrays(p):
    numbers = (np.asarray(value, float) for value in p[1:])
    return Planted(p.layers, *numbers)


def _layer(rng, size):
    rotation, _ = np.linalg.qr(rng.normal(size=(size, size)))
    matrix = rotation * np.exp(rng.uniform(-0.7, 0.7, size))
    square, third = np.tril(rng.uniform(-0.5, 0.5, (2, size, size)), -1)
    return matrix, np.linalg.inv(matrix), square, third


def error(form, expected):
    """The largest error of the coefficients relative to their size.

    Free are the sign of the eigenvector and, at a transcritical point, which of the two branches is meant.
    """
    odd = [n for n in ("c0", "c2") if expected.get(n)]
    turned = -1.0 if odd and form.coefficients[odd[0]] * expected[odd[0]] < 0 else 1.0
    worst = 0.0
    for name, value in expected.items():
        found = complex(form.coefficients[name]) * (turned if name in odd else 1.0)
        if name == "dlambda" and form.kind == "transcritical":
            found, value = abs(found), abs(value)
        worst = max(worst, abs(found - value) / (abs(value) or 1.0))
    return worst
