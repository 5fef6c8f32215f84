"""From the local data of a map to the kind of its bifurcation."""

from __future__ import annotations

import cmath
import math
from typing import Any

import numpy as np
import sympy as sp

from normalforms.exact import DenseAlgebra, ExactAlgebra, tidy
from normalforms.reduction.coefficients import Frame
from normalforms.reduction.jet import Jet
from normalforms.reduction.normal_form import Coefficients, NormalForm

__all__ = ["frame_of", "reduce_jet"]


def reduce_jet(
    data: Jet, *, tolerance: float = 1e-8, critical: float = 1e-6, symmetric: bool | None = None
) -> NormalForm:
    """The normal form of a map given by its local data.

    ``c2 = ½⟨p,B(q,q)⟩``, ``c3 = ⅙⟨p, C(q,q,q) + 3B(q,(I−A)^{-1}B(q,q))⟩``, and at ``e^{±iω}``
    ``d = ½e^{−iω}⟨p, C(q,q,q̄) + 2B(q,(I−A)^{-1}B(q,q̄)) + B(q̄,(e^{2iω}−A)^{-1}B(q,q))⟩``.

    Args:
        data: the `Jet`, of SymPy numbers (exact; the tolerances are then not used) or of arrays.
        tolerance: a coefficient counts as zero below this fraction of the terms that it is summed from, or
            of the scale of the same dimension that the others set. Dimensionless, so a change of units
            never changes the kind.
        critical: distance from the unit circle within which a multiplier counts as critical.
        symmetric: True asserts the Z2 symmetry, which removes c0 and c2; None decides by the numbers.

    Raises:
        ValueError: no multiplier is critical, or an array has the wrong shape.

    Source: Kuznetsov, Elements of Applied Bifurcation Theory, §5.4 and §8.7.

    >>> import numpy as np
    >>> zero = lambda *vectors: np.zeros(1)
    >>> data = Jet(np.eye(1), zero, lambda u, v, w: -6 * u * v * w, np.zeros(1), lambda u: u)
    >>> reduce_jet(data).kind
    'pitchfork'
    """
    algebra = _algebra(data, tolerance, critical)
    found = algebra.critical()
    if not found:
        raise ValueError(_not_critical(algebra.multipliers(), 0.0 if data.exact else critical))
    vectors = algebra.eigenvectors(found[0]) if len(found) == 1 else None
    if vectors is None:
        return _several(found, data.exact)
    frame = Frame(data, algebra, found[0], *vectors, algebra.norm(vectors[0]))
    if frame.sign == 1:
        kind, values, detail = _at_one(frame, bool(symmetric))
    else:
        kind, values, detail = _at_minus_one(frame) if frame.sign else _on_circle(frame)
    q, p = vectors
    if data.exact:
        q, p = sp.ImmutableMatrix(q / frame.length), sp.ImmutableMatrix(p * frame.length)
    return NormalForm(
        kind,
        frame.multiplier,
        q,
        p,
        Coefficients(**values),
        detail,
        symmetric=bool(symmetric),
        exact=data.exact,
    )


def frame_of(data: Jet, form: NormalForm) -> Frame:
    """``data`` seen along the critical direction of ``form``, a reduction at the same point."""
    algebra = _algebra(data, 0.0, 0.0)
    return Frame(data, algebra, form.multiplier, form.critical_eigenvector, form.adjoint_eigenvector, 1)


def _algebra(data: Jet, tolerance: float, critical: float) -> ExactAlgebra | DenseAlgebra:
    if data.exact:
        return ExactAlgebra(data.jacobian)
    shape = np.shape(data.jacobian)
    if len(shape) != 2 or shape[0] != shape[1]:
        raise ValueError(f"jacobian has shape {shape}; give a square matrix")
    if np.shape(data.parameter) != shape[:1]:
        raise ValueError(f"parameter has shape {np.shape(data.parameter)}; give ({shape[0]},)")
    if not np.all(np.isfinite(data.jacobian)):
        raise ValueError("jacobian has entries that are not finite; check the point")
    return DenseAlgebra(data.jacobian, tolerance, critical)


def _not_critical(multipliers: np.ndarray, distance: float) -> str:
    nearest = sorted(multipliers, key=lambda z: abs(abs(z) - 1))[:4]
    listed = ", ".join(f"{z.real:.12g}" if abs(z.imag) < 1e-14 else f"{z:.12g}" for z in map(complex, nearest))
    within = f" to {distance:g}" if distance else ""
    return f"at is not critical: no multiplier lies on the unit circle{within}; the nearest are {listed}"


def _several(found: list[Any], exact: bool) -> NormalForm:
    listed = ", ".join(_show(z) for z in found)
    turning = any(abs(complex(z).imag) > 0.1 or (exact and complex(z).imag) for z in found)
    signs = sorted({round(complex(z).real) for z in found})
    if len(found) > 2 or turning:
        name = "several critical directions"
    else:
        name = {1: "fold–flip", 0: "strong resonance"}[len(signs) - 1]
        if len(signs) == 1:
            name += " 1:1" if signs == [1] else " 1:2"
    detail = f"{name}: the critical multipliers are {listed}, a centre manifold of more than one dimension"
    multiplier = found[0] if exact or turning else complex(found[0]).real
    return NormalForm("degenerate", multiplier, None, None, Coefficients(), detail, exact=exact)


def _show(value: Any) -> str:
    return str(value) if isinstance(value, sp.Basic) else f"{value:.6g}"


def _size(value: Any) -> float:
    return abs(complex(value))


def _parts(value: Any) -> tuple[Any, Any]:
    if isinstance(value, sp.Basic):
        real, imaginary = sp.expand_complex(value).as_real_imag()
        return tidy(real), tidy(imaginary)
    return value.real, value.imag


def _at_one(frame: Frame, symmetric: bool) -> tuple[str, dict[str, Any], str]:
    zero = frame.algebra.vanishes
    (c0, c0_size), (slope, slope_size) = frame.force(), frame.unfolding()
    (c2, c2_size), (c3, c3_size) = frame.quadratic(), frame.cubic()
    # A quadratic or constant term that is rounding error throughout has no scale of its own; the other
    # terms set one: u ~ |c3|^(-1/2) or 1/|c2|, and m u ~ 1/|dlambda|.
    no_cubic = zero(c3, c3_size)
    c3 = c3 * 0 if no_cubic else c3
    no_quadratic = symmetric or zero(c2, c2_size, math.sqrt(_size(c3)))
    c2 = c2 * 0 if no_quadratic else c2
    steepness = _size(c2) + math.sqrt(_size(c3))
    reach = _size(slope) / steepness if steepness else 0.0
    no_force = symmetric or zero(c0, c0_size, reach)
    c0 = c0 * 0 if no_force else c0
    values = {"c0": c0, "dlambda": slope, "c2": c2, "c3": c3}
    no_slope = zero(slope, slope_size)
    if not no_force:
        if not no_quadratic:
            return "saddle_node", values, "c0 and c2 do not vanish: two branches are born"
        if frame.jet.linear:
            return "degenerate", values, f"the map is linear and c0 = {_show(c0)} removes its fixed point"
        if no_cubic:
            return "degenerate", values, f"c2 and c3 vanish while c0 = {_show(c0)}"
        return "degenerate", values, f"cusp: c2 vanishes while c0 = {_show(c0)}, c3 = {_show(c3)}"
    if not no_quadratic:
        return _crossing(frame, values, slope_size)
    if no_slope:
        return "degenerate", values, f"dlambda vanishes: the multiplier does not cross 1; c3 = {_show(c3)}"
    if frame.jet.linear:
        return "stability_flip", values, "the map is linear in the state"
    if no_cubic:
        return (
            "degenerate",
            values,
            f"c2 and c3 vanish while dlambda = {_show(slope)}: a higher order decides",
        )
    side = "supercritical" if complex(c3).real < 0 else "subcritical"
    return "pitchfork", values, f"c0 and c2 vanish, c3 = {_show(c3)} does not: {side}"


def _crossing(frame: Frame, values: dict[str, Any], size: float) -> tuple[str, dict[str, Any], str]:
    """Two branches through the point where ``drift m² + slope m u + c2 u² = 0`` has two real roots."""
    slope, c2, drift = values["dlambda"], values["c2"], frame.drift()
    zero, exact = frame.algebra.vanishes, frame.jet.exact
    discriminant = frame.algebra.tidy(slope**2 - 4 * c2 * drift)
    if zero(discriminant, size**2):
        return "degenerate", values, f"dlambda vanishes along both branches while c2 = {_show(c2)}"
    if complex(discriminant).real < 0:
        return "degenerate", values, f"isola centre: no branch passes through the point; c2 = {_show(c2)}"
    if zero(drift * c2, size**2):
        return "transcritical", values, "c0 vanishes, c2 and dlambda do not: two branches cross"
    root = sp.sqrt(discriminant) if exact else math.sqrt(discriminant)
    values = values | {"dlambda": -root if complex(slope).real < 0 else root}
    return "transcritical", values, "c0 vanishes, c2 does not: two branches, both moving, cross"


def _at_minus_one(frame: Frame) -> tuple[str, dict[str, Any], str]:
    zero = frame.algebra.vanishes
    (c3, c3_size), (slope, slope_size) = frame.cubic(), frame.unfolding()
    no_cubic = zero(c3, c3_size)
    values = {"dlambda": slope, "c2": frame.quadratic()[0], "c3": c3 * 0 if no_cubic else c3}
    if zero(slope, slope_size):
        return "degenerate", values, f"dlambda vanishes: the multiplier does not cross −1; c3 = {_show(c3)}"
    if frame.jet.linear:
        return "stability_flip", values, "the map is linear in the state"
    if no_cubic:
        return "degenerate", values, f"generalised flip: c3 vanishes while dlambda = {_show(slope)}"
    side = "supercritical" if complex(c3).real > 0 else "subcritical"
    return "period_doubling", values, f"multiplier −1 and c3 = {_show(c3)} does not vanish: {side}"


def _on_circle(frame: Frame) -> tuple[str, dict[str, Any], str]:
    zero, multiplier = frame.algebra.vanishes, frame.multiplier
    slope, slope_size = frame.unfolding()
    growth, turn = _parts(slope / multiplier)
    omega = sp.acos(_parts(multiplier)[0]) if frame.jet.exact else cmath.phase(multiplier)
    values = {"omega": omega, "dlambda": slope, "dmodulus": growth, "domega": turn}
    if frame.jet.linear:
        kind = "degenerate" if zero(growth, slope_size) else "stability_flip"
        return kind, values, "the map is linear in the state"
    for order in (3, 4):
        if frame.algebra.resonant(multiplier, order):
            return "degenerate", values, f"strong resonance 1:{order}: the multiplier is a root of unity"
    d, d_size = frame.rotation()
    real = _parts(d)[0]
    values["d"] = d
    values |= {"motion": frame.motion(), "mixing": frame.mixing()}
    if zero(growth, slope_size):
        return "degenerate", values, f"dmodulus vanishes: the pair does not cross the circle; d = {_show(d)}"
    if zero(real, d_size):
        return "degenerate", values, f"Chenciner: Re d vanishes; d = {_show(d)}"
    side = "supercritical" if complex(real).real < 0 else "subcritical"
    return "neimark_sacker", values, f"a pair on the unit circle and Re d = {_show(real)}: {side}"
