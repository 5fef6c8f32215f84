"""Planted coefficients, recovered behind random nonlinear changes of coordinates in R^5."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import sympy as sp
from planted import KINDS, error, planted, step

import normalforms as nf

SIZE = 5
EACH = 40


@functools.partial(jax.jit, static_argnums=1)
def _tensors(p, planar, unit):
    def f(z):
        return step(p, z[:SIZE] * unit, z[SIZE], planar) / unit

    at = jnp.zeros(SIZE + 1)
    slope = jax.jacfwd(f)
    return slope(at), jax.jacfwd(slope)(at), jax.jacfwd(jax.jacfwd(slope))(at)


def jet(p, kind, unit=None):
    """The local data as dense tensors: the slow twin of the network's directional derivatives."""
    unit = np.ones(SIZE) if unit is None else unit
    A, B, C = map(np.asarray, _tensors(p, kind == "neimark_sacker", unit))
    n = SIZE
    return nf.Jet(
        A[:, :n],
        lambda u, v: np.einsum("ijk,j,k->i", B[:, :n, :n], u, v),
        lambda u, v, w: np.einsum("ijkl,j,k,l->i", C[:, :n, :n, :n], u, v, w),
        A[:, n],
        lambda u: B[:, :n, n] @ u,
        B[:, n, n],
    )


@pytest.mark.parametrize("kind", KINDS)
def test_planted_coefficients_come_back(kind):
    for seed in range(EACH):
        p, expected = planted(kind, seed)
        form = nf.reduce_jet(jet(p, kind))
        assert form.kind == kind, (seed, form.detail)
        assert error(form, expected) <= 1e-9, seed


@pytest.mark.parametrize("kind", KINDS)
def test_a_coefficient_that_vanishes_is_never_forced_into_a_class(kind):
    instead = "pitchfork" if kind == "transcritical" else "degenerate"
    for seed in range(10):
        p, _ = planted(kind, seed, degenerate=True)
        assert nf.reduce_jet(jet(p, kind)).kind == instead, seed


@pytest.mark.parametrize("kind", KINDS)
def test_the_kind_does_not_depend_on_units(kind):
    rng = np.random.default_rng(1)
    for seed in range(20):
        for degenerate in (False, True):
            p, _ = planted(kind, seed, degenerate=degenerate)
            plain = nf.reduce_jet(jet(p, kind))
            for unit in (np.full(SIZE, 1e6), np.full(SIZE, 1e-6), 10 ** rng.uniform(-6, 6, SIZE)):
                scaled = nf.reduce_jet(jet(p, kind, unit))
                assert scaled.kind == plain.kind, (seed, unit, scaled.detail)
                assert scaled.detail.split(":")[0][:12] == plain.detail.split(":")[0][:12]


@pytest.mark.parametrize("kind", KINDS[:4])
@pytest.mark.parametrize("scale", [1, 10**6, sp.Rational(1, 10**6)])
def test_exact_reduction_behind_a_shear_and_a_change_of_units(kind, scale):
    """``u' = …`` with ``v' = v/3 + uv``, seen in ``x = s u``, ``y = v + u² − u³``: exact coefficients, any unit."""
    x, y, m = sp.symbols("x y m", real=True)
    u = x / scale
    v = y - u**2 + u**3
    c2, c3, slope, push = sp.Rational(2, 3), sp.Rational(-5, 7), sp.Rational(3, 2), sp.Rational(4, 9)
    steps = {
        "saddle_node": u + push * m + c2 * u**2 + c3 * u**3,
        "transcritical": (1 + slope * m) * u + c2 * u**2 + c3 * u**3,
        "pitchfork": (1 + slope * m) * u + c3 * u**3,
        "period_doubling": (-1 + slope * m) * u + c3 * u**3,
    }
    lead = steps[kind] + v * u
    image = (scale * lead, v / 3 + u * v + lead**2 - lead**3)
    form = nf.reduce(nf.Map(image, (x, y), m), at={"x": 0, "y": 0, "m": 0})
    c = form.coefficients
    assert form.exact
    assert form.kind == kind
    assert c["c3"] == c3 / scale**2
    if kind in ("saddle_node", "transcritical"):
        assert c["c2"] == c2 / scale
    assert (c["c0"] == push * scale) if kind == "saddle_node" else (c["dlambda"] == slope)


def test_exact_rotation_behind_a_shear():
    """The planar family in R^3, seen in ``(x, y, w + x² − y³)``."""
    x, y, w, m = sp.symbols("x y w m", real=True)
    family = nf.neimark_sacker(sp.acos(sp.Rational(3, 5)), sp.Rational(-2, 3) + 2 * sp.I)
    a, b = (e.subs(family.parameters[0], 1 + m) for e in family.steps)
    v = w - x**2 + y**3
    a = a + v * x
    form = nf.reduce(nf.Map((a, b, v / 2 + x * v + a**2 - b**3), (x, y, w), m), at={"x": 0, "y": 0, "w": 0, "m": 0})
    assert (form.kind, form.exact) == ("neimark_sacker", True)
    assert form.coefficients["d"] == 2 * (sp.Rational(-2, 3) + 2 * sp.I)
    assert form.coefficients["dmodulus"] == 1
