"""`AmplificationLaw`: every form of the amplification of one map, and `amplification`, which makes it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import sympy as sp

from normalforms import maps
from normalforms.forms import Orbit, iteration, orbit_program
from normalforms.forms.averages import AveragedLaw, Distribution
from normalforms.forms.series import Law, exact_formula, series_formula
from normalforms.forms.uniform import uniform_law
from normalforms.formulas import Domain, Formula, Program, symbols
from normalforms.maps import Map

__all__ = ["AmplificationLaw", "AveragedLaw", "amplification"]


@dataclass(frozen=True)
class AmplificationLaw:
    """``A_T(g, h0) = Σ_{t=1}^T ‖∂h_t/∂g‖²``, the amplification of one map, in every form.

    Calling it is the reference: direct iteration of the map and its sensitivity. For the law of a normal form the
    arguments are the multiplier (critical at 1) and the coordinate along the critical eigenvector,
    ``A = gain · A_family(g, stretch · h0)``.

    Args:
        map: the map, normalised so that it is critical at ``g = 1``, or the user's own.
        stretch: factor from the caller's ``h0`` to the map's.
        gain: factor from the map's ``A`` to the caller's.

    >>> law = amplification(maps.stability_flip())
    >>> float(law(1.0, 1.0, 3))
    14.0
    """

    map: Map
    stretch: sp.Expr = field(default=sp.Integer(1), kw_only=True)
    gain: sp.Expr = field(default=sp.Integer(1), kw_only=True)

    def __call__(self, g: Any, h0: Any, horizon: int) -> Any:
        """``A_T`` by direct iteration in float64, elementwise over broadcast ``g`` and ``h0``.

        Args:
            g: parameter value, or array; a tuple for several parameters, and then ``A`` is the top eigenvalue of
                `gram`.
            h0: initial state, or array; for a map of R^n its last axis has length n.
            horizon: steps, at least 1.

        Returns:
            A float or an array; ``inf`` where the orbit left (see `escape`).

        Raises:
            ValueError: complex or NaN input, shapes that do not match, a horizon that is no positive integer.
        """
        value = float(self.gain) * iteration.amplify(self.map, g, self._stretched(h0), horizon)
        return float(value) if np.ndim(value) == 0 else value

    def _stretched(self, h0: Any) -> Any:
        from normalforms.formulas import check_real

        return check_real(h0, "h0") * float(self.stretch)

    def orbit(self, g: Any, h0: Any, horizon: int) -> Orbit:
        """States ``h_1 … h_T`` and sensitivities ``s_t = ∂h_t/∂g``, and when the orbit left."""
        found = iteration.iterate(self.map, g, self._stretched(h0), horizon)
        if self.stretch == 1 and self.gain == 1:
            return found
        return Orbit(found.h / float(self.stretch), found.s * float(sp.sqrt(self.gain)), found.escape)

    def escape(self, g: Any, h0: Any, horizon: int) -> np.ndarray:
        """Step at which the orbit left the escape radius (beyond it every orbit diverges), 0 where it stayed."""
        return self.orbit(g, h0, horizon).escape

    def gram(self, g: Any, h0: Any, horizon: int) -> np.ndarray:
        """``Σ_t s_tᵀ s_t`` over the parameters, shape ``(*batch, p, p)``; its top eigenvalue is the amplification."""
        return float(self.gain) * iteration.gram(self.map, g, self._stretched(h0), horizon)

    @property
    def reference(self) -> Formula:
        """Direct iteration as a `Formula`, for generated code; one parameter."""
        program = orbit_program(self.map)
        A = sp.Function("A")(*program.inputs)
        return self._rescaled(Formula(A, program.inputs, Domain("orbits that stay"), program=program))

    def exact(self, horizon: int, order: int | None = None) -> Law:
        """``A_T`` for one horizon as a polynomial in ``g`` and ``h0`` with exact coefficients.

        Args:
            horizon: steps, 1 to 1000.
            order: highest power of ``h0`` kept (weight, where h = 0 is no fixed point); ``None`` for the whole
                polynomial, whose degree grows like ``degree**T``.

        Returns:
            A `Formula` of ``g, h0``, where ``h0`` is ``|z_0|`` in the Neimark–Sacker family; for two parameters a
            `GramFormula`, whose `norm` is the amplification.

        Raises:
            ValueError: order or horizon out of range, or a whole polynomial that would explode.
        """
        return self._rescaled(exact_formula(self.map, horizon, order))

    def series(self, order: int, pade: bool = False) -> Law:
        """``A_T`` through ``h0**order`` in symbolic ``T``.

        About a fixed point that is a rational function of ``g``, by the Kœnigs linearisation:
        ``Σ_k x_0^k Σ_{b,e} c(g) T^b λ(g)^{eT}``, ``x_0 = h0 − h*(g)``. Where there is none (saddle-node, cusp), the
        joint series about the critical point, graded by weight (h0: 1, g: 2; cusp also β: 3), with coefficients
        polynomial in ``T``; ``order`` is then the highest weight. Equal to ``exact(T, order)`` at every ``T``.

        Args:
            order: highest power (weight) kept.
            pade: the Padé approximant in ``h0²`` (``h0`` where odd powers occur, a factor of all weights in graded
                series) that these terms determine, of degrees [M−1/M] or [M/M] after the first term. It reaches
                beyond the circle of convergence; see `normalforms.forms.series.pade` for how it is computed and judged.

        Returns:
            A `Formula` of ``g, h0, T``, or a `GramFormula`; see `exact`. The next terms measure the truncation: it
            warns where they exceed 1 %, and is ``nan`` where they exceed the value.

        Raises:
            ValueError: order out of range; a map that is not critical, or of R^n, or without rational coefficients.
        """
        return self._rescaled(series_formula(self.map, order, pade=pade))

    def uniform(self, order: int = 0) -> Formula:
        """A law explicit in ``g, gᵗ, h0`` that holds through the bifurcation; `Formula.orbit` is ``h_t``.

        The orbit of the limiting flow at a shifted time: see `normalforms.forms.uniform.bernoulli` and
        `normalforms.forms.uniform.fold`. The cusp's law is implicit (`normalforms.forms.uniform.cusp`).

        Args:
            order: p; the relative error of A is O(T^{−(p+1)}) at fixed scaled variables. Pitchfork, period doubling
                and saddle-node have orders 0 to 4, transcritical and Neimark–Sacker 0 to 3, the cusp 0 to 2;
                other scalar maps that of the family at their fixed point, which may move, in a range that is measured.

        Raises:
            ValueError: an order that the family does not have, or a map without a uniform law.
        """
        return uniform_law(self.map, order, stretch=self.stretch, gain=self.gain)

    def scaling(self) -> Any:
        """The finite-time scaling function; see `normalforms.forms.limits.scaling.scaling`."""
        from normalforms.forms.limits import scaling

        law = _limit(self)
        return scaling(law.map, stretch=law.stretch, gain=law.gain)

    def regimes(self) -> Any:
        """Sub-critical, critical and super-critical laws; see `normalforms.forms.limits.scaling.regimes`."""
        from normalforms.forms.limits import regimes

        law = _limit(self)
        return regimes(law.map, stretch=law.stretch, gain=law.gain)

    def enclosure(self, g: Any, h0: Any, horizon: int) -> Any:
        """A rigorous ball around ``A_T``; see `normalforms.forms.enclosure.enclosure.enclosure`."""
        from normalforms.forms.enclosure import enclosure

        return enclosure(self.map, g, h0, horizon, stretch=self.stretch, gain=self.gain)

    def averaged(self, distribution: Distribution) -> AveragedLaw:
        """The same law with initial states averaged over a distribution; see `AveragedLaw`."""
        return AveragedLaw(self, distribution)

    def _rescaled(self, formula: Any) -> Any:
        if self.stretch == 1 and self.gain == 1:
            return formula
        return rescaled(formula, self.stretch, self.gain)


def rescaled(formula: Formula, stretch: sp.Expr, gain: sp.Expr) -> Formula:
    """``gain · formula(g, stretch · h0)``."""
    h0, inner = symbols("h0 h0_scaled")

    def program(p: Program) -> Program:
        swap = {h0: inner}
        change = lambda pairs: tuple((s, e.xreplace(swap)) for s, e in pairs)  # noqa: E731
        return replace(
            p,
            results=tuple(gain * e.xreplace(swap) for e in p.results),
            prelude=((inner, stretch * h0), *change(p.prelude)),
            carries=tuple(
                replace(c, initial=c.initial.xreplace(swap), update=c.update.xreplace(swap)) for c in p.carries
            ),
            body=change(p.body),
            closing=change(p.closing),
        )

    holds = formula.domain.holds
    place = formula.symbols.index(h0) if h0 in formula.symbols else None

    def inside(*values: Any) -> Any:
        moved = [v * float(stretch) if i == place else v for i, v in enumerate(values)]
        return holds(*moved)  # type: ignore[misc]

    from normalforms.formulas import _lazy

    return replace(
        formula,
        expression=lambda: gain * formula.expr.subs(h0, stretch * h0),
        domain=replace(formula.domain, holds=inside if holds else None),
        program=lambda: program(formula.stable),
        guard=None if formula.guard is None else lambda: program(_lazy(formula.guard)),
        orbit=None if formula.orbit is None else rescaled(formula.orbit, stretch, 1 / stretch),
    )


def amplification(source: Any, at: Mapping[Any, Any] | None = None) -> AmplificationLaw:
    """The amplification law of a map, or of a normal form.

    Args:
        source: a `Map`, or a `NormalForm`. The law of a normal form is that of its family, rescaled by its
            coefficients, in the critical multiplier and the coordinate along the critical eigenvector. That of a flip
            keeps its quadratic term; that of a Neimark–Sacker point is in ``|λ|`` at fixed rotation and
            ``h0 = (Re z, Im z)``, ``h ≈ h* + z q + z̄ q̄``, whose square is ``2|z|²`` averaged over a turn; that of a
            cusp is in ``((c0 m, λ), u)``, its uniform and scaling laws for ``c3 = −1``.
        at: values of state and parameter at the bifurcation, for a map that does not carry them.

    Raises:
        ValueError: not a map or normal form, or a degenerate normal form other than a cusp, which has no family.

    >>> amplification(maps.pitchfork()).map.name
    'pitchfork'
    """
    if isinstance(source, Map):
        if at is None:
            return AmplificationLaw(source)
        return AmplificationLaw(replace(source, critical=at))
    if hasattr(source, "kind") and hasattr(source, "coefficients"):
        if at is not None:
            raise ValueError("at belongs to a map; a normal form has its point already")
        return _of_normal_form(source)
    raise ValueError(f"amplification takes a Map or a NormalForm, got {type(source).__name__}")


def _of_normal_form(form: Any) -> AmplificationLaw:
    """Rescale ``u = h/√|c₃|`` (``h/|c₂|`` where the quadratic term leads) to the named family."""
    c = form.coefficients
    if form.kind == "stability_flip":
        return AmplificationLaw(maps.stability_flip(), gain=_exact(c["dlambda"]) ** 2)
    if form.kind == "pitchfork":
        return _cubic(form.kind, _exact(c["c3"]), _exact(c["dlambda"]))
    if form.kind == "period_doubling":
        return _doubling(_exact(c["c2"]), _exact(c["c3"]), _exact(c["dlambda"]))
    if form.kind == "transcritical":
        stretch = -_exact(c["c2"])
        return AmplificationLaw(maps.transcritical(), stretch=stretch, gain=_exact(c["dlambda"]) ** 2 / stretch**2)
    if form.kind == "saddle_node":
        return AmplificationLaw(maps.saddle_node(), stretch=-_exact(c["c2"]), gain=_exact(c["c0"]) ** 2)
    if form.kind == "neimark_sacker":
        family = maps.neimark_sacker(_exact(c["omega"]), _exact(c["d"]))
        return AmplificationLaw(family, gain=2 * _exact(c["dmodulus"]) ** 2)
    if form.kind == "degenerate" and form.multiplier == 1 and c["c2"] == 0 != c["c3"] and c["c0"] != 0:
        return AmplificationLaw(_cusp(_exact(c["c3"])))
    raise ValueError(f"a {form.kind} normal form has no scalar amplification law; its coefficients are {dict(c)}")


def _cubic(kind: str, c3: sp.Expr, slope: sp.Expr) -> AmplificationLaw:
    sign = -1 if kind == "pitchfork" else 1
    family = maps.pitchfork() if kind == "pitchfork" else maps.period_doubling()
    if c3 * sign < 0:
        h, g = family.states[0], family.parameters[0]
        linear = family.steps[0].coeff(h, 1) * h
        family = Map(linear - sign * h**3, h, g, dict(family.critical), name=f"subcritical_{kind}")
    return AmplificationLaw(family, stretch=sp.sqrt(sp.Abs(c3)), gain=slope**2 / sp.Abs(c3))


_ROUNDING = sp.Float(1e-14)


def _doubling(c2: sp.Expr, c3: sp.Expr, slope: sp.Expr) -> AmplificationLaw:
    """``u' = −g u + c₂ u² + (c₃ − c₂²) u³``, whose cubic coefficient is ``c₃`` once the quadratic term is removed."""
    if c2**2 <= _ROUNDING**2 * sp.Abs(c3):
        return _cubic("period_doubling", c3, slope)
    odd = maps.period_doubling()
    h, g = odd.states[0], odd.parameters[0]
    rest = c3 / c2**2 - 1
    rest = sp.Rational(float(rest)) if rest.has(sp.Float) else sp.nsimplify(rest)
    family = Map(-g * h + h**2 + rest * h**3, h, g, dict(odd.critical), name="period_doubling_with_quadratic_term")
    return AmplificationLaw(family, stretch=c2, gain=slope**2 / c2**2)


def _limit(law: AmplificationLaw) -> AmplificationLaw:
    """The law with the same scaling limit and regimes: a flip's quadratic term leaves its cubic coefficient there."""
    m = law.map
    if m.dimension > 1 or len(m.parameters) > 1 or not m.steps[0].is_polynomial(m.states[0], m.parameters[0]):
        return law
    terms = dict(sp.Poly(m.steps[0], m.states[0], m.parameters[0]).terms())
    if terms.pop((1, 1), None) != -1 or (2, 0) not in terms or terms.keys() - {(2, 0), (3, 0)}:
        return law
    odd = _cubic("period_doubling", terms.get((3, 0), sp.Integer(0)) + terms[2, 0] ** 2, sp.Integer(1))
    return AmplificationLaw(odd.map, stretch=odd.stretch * law.stretch, gain=odd.gain * law.gain)


def _cusp(c3: sp.Expr) -> Map:
    family = maps.cusp()
    (beta, g), h = family.parameters, family.states[0]
    return family if c3 == -1 else Map(beta + g * h + c3 * h**3, h, (beta, g), dict(family.critical))


def _exact(value: Any) -> sp.Expr:
    return sp.sympify(value)
