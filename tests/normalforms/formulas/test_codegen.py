"""Generated programs: compiled or run in their own language, and compared with NumPy and with mpmath."""

import ctypes
import math
import shutil
import subprocess
from functools import cache

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest
import sympy as sp

import normalforms as nf
from normalforms.exact.special import Clifford, ExpMoment, clifford, expmoment
from normalforms.formulas.formula import Formula, symbols
from normalforms.formulas.printing import render
from normalforms.formulas.program import Carry, Program

FAMILIES = ("stability_flip", "pitchfork", "transcritical", "period_doubling", "saddle_node")
POINTS = [
    (1.0, 0.02, 25),
    (1.03, 0.01, 25),
    (0.93, 0.05, 12),
    (1 - 1e-9, 0.04, 40),
    (1 + 1e-7, 0.003, 1),
    (1.1, 0.3, 9),
]


@cache
def forms():
    """Every kind of program that the package makes, by name; each takes ``(g, h0, T)``."""
    found = {}
    for family in FAMILIES:
        law = nf.amplification(getattr(nf, family)())
        found[f"{family}_uniform"] = law.uniform()
        found[f"{family}_slope"] = law.uniform().diff("g")
        found[f"{family}_reference"] = law.reference
        for name, regime in law.regimes().items():
            found[f"{family}_{name}"] = regime
        if family != "saddle_node":
            found[f"{family}_series"] = law.series(6)
            found[f"{family}_series_slope"] = law.series(4).diff("g").diff("h0")
    return found


def same(a, b):
    """Equal to rounding, or both without a value."""
    return (not math.isfinite(a) and not math.isfinite(b)) or a == pytest.approx(b, rel=2e-12, abs=1e-300)


def numpy_value(name, point):
    with np.errstate(all="ignore"):
        return float(forms()[name].lambdify()(*point))


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    """All formulas in one shared library, compiled with warnings as errors."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler on this machine")
    folder = tmp_path_factory.mktemp("c")
    objects = []
    for name, formula in forms().items():
        (folder / f"{name}.c").write_text(formula.code("c", name))
        objects.append(str(folder / f"{name}.c"))
    flags = ["-std=c99", "-O2", "-Wall", "-Wextra", "-pedantic", "-Werror", "-Wno-unused-parameter", "-shared", "-fPIC"]
    subprocess.run([compiler, *flags, *objects, "-o", str(folder / "laws.so"), "-lm"], check=True)
    return ctypes.CDLL(str(folder / "laws.so"))


def test_c_compiles_without_a_warning_and_agrees_with_numpy(library):
    for name in forms():
        function = getattr(library, name)
        function.restype, function.argtypes = ctypes.c_double, (ctypes.c_double, ctypes.c_double, ctypes.c_int)
        for point in POINTS:
            assert same(function(*point), numpy_value(name, point)), (name, point)


def test_python_source_runs_by_itself_and_agrees_with_numpy():
    for name, formula in forms().items():
        namespace: dict = {}
        exec(formula.code("python", "f"), namespace)
        for point in POINTS:
            try:
                value = namespace["f"](*point)
            except (ValueError, ZeroDivisionError, OverflowError):
                value = math.nan
            value = math.nan if isinstance(value, complex) else value
            assert same(value, numpy_value(name, point)), (name, point)


def test_julia_source_runs_by_itself_and_agrees_with_numpy(tmp_path):
    julia = shutil.which("julia")
    if julia is None:
        pytest.skip("no Julia on this machine")
    names = [n for n in forms() if "regime" not in n]
    text = [forms()[n].code("julia", n) for n in names]
    text += [f"println(try {n}({g}, {h0}, {T}) catch; NaN end)" for n in names for g, h0, T in POINTS]
    (tmp_path / "laws.jl").write_text("\n".join(text))
    out = subprocess.run([julia, str(tmp_path / "laws.jl")], check=True, capture_output=True, text=True).stdout.split()
    for value, (name, point) in zip(out, [(n, p) for n in names for p in POINTS], strict=True):
        assert same(float(value), numpy_value(name, point)), (name, point)


def test_julia_source_has_balanced_blocks_and_no_foreign_operators():
    for name, formula in forms().items():
        text = formula.code("julia", name)
        words = text.replace("(", " ").split()
        assert sum(words.count(w) for w in ("function", "for", "if")) == words.count("end"), name
        assert "**" not in text
        assert ".*" not in text
        assert "?" not in text or " : " in text


@pytest.mark.parametrize("name", [f"{f}_{k}" for f in ("pitchfork", "saddle_node") for k in ("uniform", "reference")])
def test_mpmath_agrees_to_its_own_precision(name):
    function = forms()[name].lambdify("mpmath")
    with mpmath.workdps(50):
        fine = function(mpmath.mpf("1.03"), mpmath.mpf("0.01"), 25)
    with mpmath.workdps(30):
        assert abs(function(mpmath.mpf("1.03"), mpmath.mpf("0.01"), 25) / fine - 1) < 1e-26
    assert numpy_value(name, (1.03, 0.01, 25)) == pytest.approx(float(fine), rel=1e-12)


@pytest.mark.parametrize("name", list(FAMILIES))
def test_jax_value_slope_and_curvature(name):
    law = nf.amplification(getattr(nf, name)())
    formula = law.uniform()
    function = formula.lambdify("jax")
    g, h0, T = 1.02, 0.03, 20
    assert float(function(g, h0, T)) == pytest.approx(formula(g, h0, T), rel=1e-13)
    slope = formula.diff("g")(g, h0, T)
    traced = jax.jit(jax.grad(function))  # the horizon is traced too
    assert float(traced(g, h0, T)) == pytest.approx(slope, rel=1e-12)
    assert float(jax.jacfwd(function)(g, h0, T)) == pytest.approx(slope, rel=1e-12)
    mixed = float(jax.jit(jax.grad(jax.grad(function), argnums=1))(g, h0, T))
    assert mixed == pytest.approx(formula.diff("g").diff("h0")(g, h0, T), rel=1e-11)


def test_jax_broadcasts_maps_over_horizons_and_keeps_single_precision():
    formula = forms()["pitchfork_uniform"]
    function = formula.lambdify("jax")
    g, h0 = jnp.linspace(0.9, 1.1, 5), jnp.asarray([[0.05], [0.1]])
    np.testing.assert_allclose(function(g, h0, 20), formula(np.asarray(g), np.asarray(h0), 20), rtol=1e-12)
    horizons = jax.vmap(function, (None, None, 0))(1.05, 0.1, jnp.arange(1, 6))
    np.testing.assert_allclose(horizons, [formula(1.05, 0.1, int(T)) for T in range(1, 6)], rtol=1e-12)
    gradient = jax.grad(lambda v: jnp.sum(function(v, h0, 20)))(g)
    slope = formula.diff("g")(np.asarray(g), np.asarray(h0), 20)
    np.testing.assert_allclose(gradient, slope.sum(axis=0), rtol=1e-11)
    linear = forms()["stability_flip_uniform"]  # the same rules, a quarter of the compilation
    hessian = jax.hessian(linear.lambdify("jax"), (0, 1))(1.05, 0.1, 20)
    for i, a in enumerate(("g", "h0")):
        for j, b in enumerate(("g", "h0")):
            assert float(hessian[i][j]) == pytest.approx(linear.diff(a).diff(b)(1.05, 0.1, 20), rel=1e-11)
    assert function(jnp.float32(1.05), jnp.float32(0.1), 20).dtype == jnp.float32


@pytest.mark.parametrize("backend", ["numpy", "jax", "mpmath"])
def test_large_integer_coefficients_do_not_overflow(backend):
    exact = nf.amplification(nf.pitchfork()).exact(15, 8)
    g, h0 = exact.symbols
    plain = Formula(sp.expand(3**60 * exact.expr), (g, h0))  # the expanded polynomial, not the stable recursion
    assert max(abs(c) for c in sp.Poly(plain.expr, g, h0).coeffs()) > 2**100
    value = float(exact.expr.subs({g: 1, h0: sp.Rational(1, 100)}))
    assert float(plain.lambdify(backend)(1.0, 0.01)) == pytest.approx(3.0**60 * value, rel=1e-12)
    assert float(exact.lambdify(backend)(1.0, 0.01)) == pytest.approx(value, rel=1e-13)


def test_names_that_a_language_needs_are_replaced():
    x, r = sp.Symbol("lambda", real=True), sp.Symbol("double", real=True)
    law = nf.amplification(nf.Map(r * x - x**3, x, r))
    namespace: dict = {}
    exec(law.reference.code("python"), namespace)
    expected = nf.amplification(nf.pitchfork())(1.02, 0.1, 12)
    assert namespace["law"](1.02, 0.1, 12) == pytest.approx(expected, rel=1e-13)
    assert "double double_" in law.reference.code("c")
    assert law(1.02, 0.1, 12) == pytest.approx(expected, rel=1e-13)


def test_a_symbol_cannot_smuggle_code_into_a_program():
    x = sp.Symbol("x): raise SystemExit\n#", real=True)
    g = sp.Symbol("__import__('os').abort()", real=True)
    law = nf.amplification(nf.Map(g * x, x, g))
    assert law(1.0, 1.0, 3) == 14
    for language in ("python", "c", "julia", "numpy", "jax", "mpmath"):
        text = law.reference.code(language)
        assert "SystemExit\n" not in text
        assert "__import__(" not in text


def test_names_that_meet_the_programs_own_are_refused():
    h, A = sp.symbols("h A", real=True)
    with pytest.raises(ValueError, match="the name A has another use"):
        nf.amplification(nf.Map(A * h, h, A)).reference  # noqa: B018


@pytest.mark.parametrize("k", [0, 1, 2, 4])
def test_special_functions_in_every_language(k):
    z = sp.Symbol("z", real=True)
    grid = [-40.0, -3.9, -1e-3, -1e-9, 0.0, 1e-9, 0.3, 1.0, 3.0, 25.0]
    for kind, reference in ((ExpMoment, expmoment), (Clifford, clifford)):
        program = Program((z,), (kind(k, z),))
        functions = {}
        for language in ("python", "numpy", "jax", "mpmath"):
            space: dict = {}
            exec(render(program, language), space)
            functions[language] = space["law"]
        for value in grid:
            with mpmath.workdps(40):
                exact = float(kind(k, sp.Float(value, 40)).evalf(30))
            scale = abs(float(kind(k, sp.Float(abs(value), 40)).evalf(30))) if kind is Clifford else abs(exact)
            for language in ("python", "numpy", "jax", "mpmath"):
                assert abs(float(functions[language](value)) - exact) < 3e-14 * scale, (kind, language, value)
            assert abs(float(reference(k, value)) - exact) < 3e-14 * scale


def test_several_results_in_c(tmp_path):
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler on this machine")
    g, T = sp.Symbol("g", real=True), symbols("T")
    u, v, t = sp.Symbol("u", real=True), sp.Symbol("v", real=True), symbols("t")
    carries = (Carry(u, sp.Integer(1), g * u), Carry(v, sp.Integer(0), v + t**2 / sp.Integer(3)))
    program = Program((g, T), (u, v), carries=carries, counter=t, horizon=T)
    (tmp_path / "p.c").write_text(render(program, "c"))
    flags = ["-std=c99", "-Wall", "-Werror", "-shared", "-fPIC"]
    subprocess.run([compiler, *flags, str(tmp_path / "p.c"), "-o", str(tmp_path / "p.so")], check=True)
    law = ctypes.CDLL(str(tmp_path / "p.so")).law
    out = (ctypes.c_double * 2)()
    law.argtypes, law.restype = (ctypes.c_double, ctypes.c_int, ctypes.c_double * 2), None
    law(1.5, 4, out)
    assert list(out) == pytest.approx([1.5**4, 10.0])
    # 3,000 steps: the square of an int counter overflows beyond 46,340, its float does not
    law(1.0, 60_000, out)
    assert out[1] == pytest.approx(60_000 * 60_001 * 120_001 / 18, rel=1e-12)


def test_tangents_get_names_of_their_own():
    g, h, T, t = sp.symbols("g h T t")
    taken = sp.Symbol("h_g", real=True)
    program = Program((g, taken, T), (h,), carries=(Carry(h, taken, g * h),), counter=t, horizon=T)
    space: dict = {}
    exec(render(program.derivative(g).derivative(g), "python"), space)
    assert space["law"](1.5, 2.0, 4) == pytest.approx(2 * 12 * 1.5**2)


def test_absolute_values_are_differentiated_almost_everywhere():
    x = sp.Symbol("x", real=True)
    size = Formula(sp.Abs(x**3), (x,))
    assert size.diff("x")(-2.0) == -12.0
    assert size.diff("x").diff("x")(-2.0) == 12.0
    assert size.diff("x").diff("x")(0.0) == 0.0


def test_a_function_that_a_language_lacks_is_named():
    x = sp.Symbol("x", real=True)
    with pytest.raises(ValueError, match="polylog"):
        Formula(sp.polylog(2, x), (x,)).code("c")
