"""From the local data of a map to its normal form on the centre manifold.

The coefficient formulas stand here once. They use nothing but ``+``, ``*`` and the verbs of
`normalforms.algebra`, so the same lines reduce a SymPy map exactly and a network of NumPy or JAX arrays.
"""

from __future__ import annotations

import cmath
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import sympy as sp

from normalforms.algebra import DenseAlgebra, ExactAlgebra, is_zero, tidy
from normalforms.jet import Jet, jet
from normalforms.maps import Map
from normalforms.taylor import is_odd

__all__ = ["Coefficients", "NormalForm", "reduce", "reduce_jet"]

_PROVABLE = 500
"""Operations in a formula up to which expanding it is a quick proof of its symmetry."""


class Coefficients(Mapping[str, Any]):
    """An immutable mapping from coefficient name to number.

    >>> Coefficients(c3=-1)["c3"]
    -1
    """

    __slots__ = ("_values",)

    def __init__(self, **values: Any) -> None:
        object.__setattr__(self, "_values", dict(values))

    def __getitem__(self, name: str) -> Any:
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError("coefficients are immutable")

    def __reduce__(self) -> tuple[Any, ...]:
        return _coefficients, (self._values,)

    def __repr__(self) -> str:
        return "{" + ", ".join(f"{name!r}: {value}" for name, value in self.items()) + "}"


def _coefficients(values: Mapping[str, Any]) -> Coefficients:
    return Coefficients(**values)


@dataclass(frozen=True, eq=False)
class NormalForm:
    """A map near a fixed point, on the centre manifold of its one critical multiplier.

    With ``m`` the distance of the parameter from its critical value and factorials absorbed,

    - multiplier +1: ``u' = c0 m + (1 + dlambda m) u + c2 u² + c3 u³``, ``u = ⟨p, h − h*⟩``;
    - multiplier −1: ``u' = (−1 + dlambda m) u + c3 u³``, once the quadratic term ``c2 u²`` is removed;
    - ``e^{±iω}``: ``z' = (e^{iω} + dlambda m) z + e^{iω} d z|z|²``, ``h ≈ h* + z q + z̄ q̄``.

    Attributes:
        kind: "pitchfork", "transcritical", "saddle_node", "period_doubling", "neimark_sacker",
            "stability_flip" (the map is linear) or "degenerate".
        multiplier: the critical eigenvalue; of a pair, the one with positive imaginary part.
        critical_eigenvector: ``q``, with ``‖q‖ = 1`` and its largest component real and positive.
        adjoint_eigenvector: ``p``, with ``⟨p, q⟩ = Σ conj(p_i) q_i = 1``.
        coefficients: those above, where the kind has them; ``dlambda`` includes the motion of the fixed
            point where the point is isolated. Neimark–Sacker also has ``omega``, ``dmodulus = d|λ|/dm`` and
            ``domega``. A transcritical point gives the branch that moves least.
        point: the fixed point, keyed by symbol; ``None`` for a reduced jet.
        detail: one sentence on why it is this kind; at a degenerate point, which coefficient vanishes.
        symmetric: the map is proven to commute with ``h − h* → −(h − h*)`` for every parameter value.
        exact: the numbers are exact.
        parameter: symbol of the unfolding parameter; ``None`` for a reduced jet.

    Because ``‖q‖ = 1``, the planar family ``z' = e^{iω} z (g + d|z|²)`` with ``z = x + iy`` has a ``d`` here
    that is twice its own: the unit eigenvector is ``(1, −i)/√2``.
    """

    kind: str
    multiplier: Any
    critical_eigenvector: Any
    adjoint_eigenvector: Any
    coefficients: Coefficients
    detail: str
    point: Mapping[Any, Any] | None = None
    symmetric: bool = False
    exact: bool = True
    parameter: Any = None


@dataclass(frozen=True)
class _Frame:
    """A jet seen along its critical direction; the one place where the coefficients are computed.

    ``q`` may have any ``length``, so that exact vectors stay free of roots; what leaves is for ``‖q‖ = 1``.
    """

    jet: Jet
    algebra: Any
    multiplier: Any
    q: Any
    p: Any
    length: Any

    def along(self, vector: Any, power: int) -> Any:
        """``⟨p, vector⟩`` of a term with ``power`` factors of ``q``, for the unit eigenvector."""
        value = self.algebra.inner(self.p, vector)
        return value if self.length == 1 else self.algebra.tidy(value * self.length ** (1 - power))

    def size(self, vector: Any, power: int) -> float:
        """The scale of the rounding error of `along`."""
        return self.algebra.size(self.p, vector) * float(self.length) ** (1 - power)

    def off(self, rhs: Any) -> Any:
        """``(I − A)^{-1} rhs``, off the critical direction where the multiplier is 1."""
        border = (self.q, self.p) if _near(self.multiplier, 1) else None
        return self.algebra.solve(1, rhs, border)

    def force(self) -> tuple[Any, float]:
        """``c0 = ⟨p, f_μ⟩`` and the size of its terms."""
        return self.along(self.jet.parameter, 0), self.size(self.jet.parameter, 0)

    def quadratic(self) -> tuple[Any, float]:
        """``c2 = ½⟨p, B(q,q)⟩`` and the size of its terms."""
        bent = self.jet.second(self.q, self.q)
        return self.along(bent, 2) / 2, self.size(bent, 2) / 2

    def cubic(self) -> tuple[Any, float]:
        """``c3 = ⅙⟨p, C(q,q,q) + 3B(q, (I−A)^{-1}B(q,q))⟩`` and the size of its terms.

        At multiplier −1 this is the cubic coefficient left once the quadratic term is removed.
        """
        q, second = self.q, self.jet.second
        direct, slaved = self.jet.third(q, q, q), 3 * second(q, self.off(second(q, q)))
        return self.along(direct + slaved, 3) / 6, (self.size(direct, 3) + self.size(slaved, 3)) / 6

    def rotation(self) -> tuple[Any, float]:
        """``d = ½e^{−iω}⟨p, C(q,q,q̄) + 2B(q,(I−A)^{-1}B(q,q̄)) + B(q̄,(e^{2iω}−A)^{-1}B(q,q))⟩`` and its size."""
        q, second, solve = self.q, self.jet.second, self.algebra.solve
        bar = self.algebra.conjugate(q)
        terms = (
            self.jet.third(q, q, bar),
            2 * second(q, self.off(second(q, bar))),
            second(bar, solve(self.algebra.tidy(self.multiplier**2), second(q, q))),
        )
        total = self.along(terms[0] + terms[1] + terms[2], 3)
        return self.algebra.tidy(total / self.multiplier) / 2, sum(self.size(t, 3) for t in terms) / 2

    def unfolding(self) -> tuple[Any, float]:
        """``dλ/dμ = ⟨p, A_μ q + B(q, h*_μ)⟩``, ``h*_μ = (I−A)^{-1} f_μ``, and the size of its terms."""
        direct, moved = self.jet.mixed(self.q), self.jet.second(self.q, self.off(self.jet.parameter))
        return self.along(direct + moved, 1), self.size(direct, 1) + self.size(moved, 1)

    def drift(self) -> Any:
        """``½⟨p, f_μμ + 2A_μ h*_μ + B(h*_μ, h*_μ)⟩``: the constant term at second order in the parameter."""
        moved = self.off(self.jet.parameter)
        bent = 2 * self.jet.mixed(moved) + self.jet.second(moved, moved)
        curvature = -bent if self.jet.curvature is None else self.jet.curvature
        return self.along(curvature + bent, 0) / 2


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
    algebra = ExactAlgebra(data.jacobian) if data.exact else _dense(data, tolerance, critical)
    found = algebra.critical()
    if not found:
        raise ValueError(_not_critical(algebra.multipliers(), 0.0 if data.exact else critical))
    vectors = algebra.eigenvectors(found[0]) if len(found) == 1 else None
    if vectors is None:
        return _several(found, data.exact)
    frame = _Frame(data, algebra, found[0], *vectors, algebra.norm(vectors[0]))
    if _near(frame.multiplier, 1):
        kind, values, detail = _at_one(frame, bool(symmetric))
    elif _near(frame.multiplier, -1):
        kind, values, detail = _at_minus_one(frame)
    else:
        kind, values, detail = _on_circle(frame)
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


def _dense(data: Jet, tolerance: float, critical: float) -> DenseAlgebra:
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
    signs = sorted({round(complex(z).real) for z in found if not complex(z).imag})
    if len(found) > 2 or any(complex(z).imag for z in found):
        name = "several critical directions"
    else:
        name = {1: "fold–flip", 0: "strong resonance"}[len(signs) - 1]
        if len(signs) == 1:
            name += " 1:1" if signs == [1] else " 1:2"
    detail = f"{name}: the critical multipliers are {listed}, a centre manifold of more than one dimension"
    return NormalForm("degenerate", found[0], None, None, Coefficients(), detail, exact=exact)


def _near(multiplier: Any, value: int) -> bool:
    return abs(complex(multiplier) - value) < 1e-2


def _show(value: Any) -> str:
    return str(value) if isinstance(value, sp.Basic) else f"{value:.6g}"


def _size(value: Any) -> float:
    return abs(complex(value))


def _parts(value: Any) -> tuple[Any, Any]:
    if isinstance(value, sp.Basic):
        real, imaginary = sp.expand_complex(value).as_real_imag()
        return tidy(real), tidy(imaginary)
    return value.real, value.imag


def _at_one(frame: _Frame, symmetric: bool) -> tuple[str, dict[str, Any], str]:
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


def _crossing(frame: _Frame, values: dict[str, Any], size: float) -> tuple[str, dict[str, Any], str]:
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


def _at_minus_one(frame: _Frame) -> tuple[str, dict[str, Any], str]:
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


def _on_circle(frame: _Frame) -> tuple[str, dict[str, Any], str]:
    zero, multiplier = frame.algebra.vanishes, frame.multiplier
    slope, slope_size = frame.unfolding()
    growth, turn = _parts(slope / multiplier)
    omega = sp.acos(_parts(multiplier)[0]) if frame.jet.exact else cmath.phase(multiplier)
    values = {"omega": omega, "dlambda": slope, "dmodulus": growth, "domega": turn}
    for order in (3, 4):
        if frame.algebra.resonant(multiplier, order):
            return "degenerate", values, f"strong resonance 1:{order}: the multiplier is a root of unity"
    d, d_size = frame.rotation()
    real = _parts(d)[0]
    values["d"] = d
    if zero(growth, slope_size):
        return "degenerate", values, f"dmodulus vanishes: the pair does not cross the circle; d = {_show(d)}"
    if frame.jet.linear:
        return "stability_flip", values, "the map is linear in the state"
    if zero(real, d_size):
        return "degenerate", values, f"Chenciner: Re d vanishes; d = {_show(d)}"
    side = "supercritical" if complex(real).real < 0 else "subcritical"
    return "neimark_sacker", values, f"a pair on the unit circle and Re d = {_show(real)}: {side}"


def reduce(
    m: Map, at: Mapping[Any, Any] | None = None, *, parameter: Any = None, tolerance: float = 1e-8
) -> NormalForm:
    """The normal form of a map at a fixed point, exact where the point is given exactly.

    The formulas are those of `reduce_jet`. Cycles of period n are fixed points of ``m.iterate(n)``.

    Args:
        m: the map; its parameter, or the chosen one of several, is the unfolding parameter ``μ``.
        at: values of every state and parameter, keyed by symbol or name; numbers, SymPy numbers or text such
            as ``"2/3"``. Omitted: ``m.critical``. Values that are floats, or text with a decimal point, are
            taken as approximate when the point is not exactly critical, and the result is in float64.
        parameter: symbol or name of the unfolding parameter where the map has several; by default the last.
            The others are reported too, as ``c0_name`` and ``dlambda_name``.
        tolerance: for approximate points, as in `reduce_jet`; also the largest residual ``|f(h) − h|``
            relative to the state, and a hundredth of the largest distance from the unit circle.

    Raises:
        ValueError: ``at`` is missing, is no fixed point (its residual is named) or is not critical (its
            multipliers are named); the map has no derivatives there.

    >>> from normalforms.maps import parse_map
    >>> form = reduce(parse_map("r*x*(1-x)", state="x", parameter="r"), at={"x": "2/3", "r": 3})
    >>> form.kind, form.coefficients["c3"], form.coefficients["dlambda"]
    ('period_doubling', 9, -1)
    """
    if at is None:
        if m.critical is None:
            raise ValueError("at is missing and this map names no critical point; give a value for each symbol")
        at = dict(m.critical)
    point = m.point(at)
    chosen = _parameter(m, parameter)
    approximate = _approximate(at)
    data = jet(m, point, chosen)
    residuals = [tidy(data.value[i] - point[s]) for i, s in enumerate(m.states)]
    on_point = all(is_zero(r) for r in residuals)
    if not on_point:
        _check_fixed([point[s] for s in m.states], residuals, tolerance if approximate else 0.0)
    symmetric = on_point and _is_odd(m, point, chosen, data)
    form = _exactly(data, symmetric, approximate) if on_point else None
    if form is None:
        floats = jet(m, point, chosen, exact=False)
        form = reduce_jet(floats, tolerance=tolerance, critical=100 * tolerance, symmetric=symmetric)
    others = {} if form.critical_eigenvector is None else _others(m, point, chosen, form)
    return replace(
        form,
        coefficients=Coefficients(**form.coefficients, **others),
        point=sp.Dict(point),
        parameter=chosen,
    )


def _parameter(m: Map, parameter: Any) -> sp.Symbol:
    if parameter is None:
        return m.parameters[-1]
    for symbol in m.parameters:
        if symbol.name == str(parameter):
            return symbol
    raise ValueError(f"parameter = {parameter!r}; this map has {', '.join(s.name for s in m.parameters)}")


def _approximate(at: Mapping[Any, Any]) -> bool:
    return any(isinstance(v, (float, sp.Float)) or (isinstance(v, str) and "." in v) for v in at.values())


def _check_fixed(state: list[Any], residuals: list[Any], tolerance: float) -> None:
    worst = max(abs(float(r)) for r in residuals)
    if not worst <= tolerance * max(abs(float(h)) for h in state):
        listed = ", ".join(f"{float(r):.6g}" for r in residuals)
        raise ValueError(f"at is not a fixed point: f(h) − h = {listed}; a cycle of period n needs iterate(n)")


def _exactly(data: Jet, symmetric: bool, approximate: bool) -> NormalForm | None:
    try:
        return reduce_jet(data, symmetric=symmetric)
    except ArithmeticError:
        return None
    except ValueError:
        if approximate:
            return None
        raise


def _is_odd(m: Map, point: Mapping[sp.Symbol, sp.Expr], chosen: sp.Symbol, data: Jet) -> bool:
    """Whether ``f(h* + x) + f(h* − x) = 2h*`` is proven, for every ``x`` and every value of ``chosen``."""
    if any(not is_zero(x) for x in (*data.parameter, *data.curvature)):
        return False
    fixed = {s: point[s] for s in m.parameters if s != chosen}
    forward, backward = ({s: point[s] + sign * s for s in m.states} for sign in (1, -1))
    for f, s in zip(m.steps, m.states, strict=True):
        step = f.xreplace(fixed)
        if all(point[s] == 0 for s in m.states) and is_odd(step, m.states):
            continue
        total = step.xreplace(forward) + step.xreplace(backward) - 2 * point[s]
        if sp.count_ops(total) > _PROVABLE or sp.expand(total) != 0:
            return False
    return True


def _others(m: Map, point: Mapping[Any, Any], chosen: sp.Symbol, form: NormalForm) -> dict[str, Any]:
    """``c0`` and ``dlambda`` in the directions of the parameters that were not chosen."""
    values: dict[str, Any] = {}
    for symbol in m.parameters:
        if symbol != chosen:
            data = jet(m, point, symbol, exact=form.exact)
            algebra = ExactAlgebra(data.jacobian) if form.exact else _dense(data, 0.0, 0.0)
            q, p = form.critical_eigenvector, form.adjoint_eigenvector
            frame = _Frame(data, algebra, form.multiplier, q, p, 1)
            values[f"dlambda_{symbol.name}"] = frame.unfolding()[0]
            if _near(form.multiplier, 1):
                values[f"c0_{symbol.name}"] = frame.force()[0]
    return values
