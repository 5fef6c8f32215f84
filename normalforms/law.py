"""`AmplificationLaw`: every form of the amplification of one map, and `amplification`, which makes it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeVar, overload

import numpy as np
import sympy as sp

from normalforms.families import FamilyError, find, limiting, notation, placed, recognise, reduced
from normalforms.forms import Orbit, amplify, gram, iterate, recursion
from normalforms.forms.averages import AveragedLaw, Distribution
from normalforms.forms.driven import Input, UntiedLaw, driven, untied
from normalforms.forms.limits import CuspScaling, Regimes, Scaling
from normalforms.forms.series import Law, by_degree, chart_of, exact_formula, rotates, series_formula
from normalforms.forms.uniform import UniformLaw, general, planar, uniform_law
from normalforms.formulas import Formula, GramFormula, Notation, rescaled
from normalforms.maps import Map
from normalforms.reduction import NormalForm, located, reduce

__all__ = ["AmplificationLaw", "amplification"]

F = TypeVar("F", Formula, GramFormula)


@dataclass(frozen=True)
class AmplificationLaw:
    """``A_T(g, h0) = Σ_{t=1}^T ‖∂h_t/∂g‖²``, the amplification of one map, in every form.

    Calling it is the reference: direct iteration of the map and its sensitivity. For the law of a normal form the
    arguments are the multiplier (critical at 1) and the coordinate along the critical eigenvector,
    ``A = gain · A_family(g, stretch · h0)``.

    Every form takes ``(g, h0, horizon)`` in the same way and gives the amplification. Several parameters are a tuple;
    the amplification is then the top eigenvalue of a Gram matrix, and each form has ``gram`` for the matrix. A planar
    state is a tuple of its components, or an array whose last axis runs over them; in the Neimark–Sacker family,
    whose law knows ``|h0|`` alone, a plain number is a state too.

    Args:
        map: the map, normalised so that it is critical at ``g = 1``, or the user's own.
        stretch: factor from the caller's ``h0`` to the map's, a matrix where the caller's are eigen-coordinates in
            which lengths are not those of the map's states.
        gain: factor from the map's ``A`` to the caller's.

    >>> import normalforms as nf
    >>> law = amplification(nf.stability_flip())
    >>> float(law(1.0, 1.0, 3))
    14.0
    """

    map: Map
    stretch: Any = field(default=sp.Integer(1), kw_only=True)
    gain: sp.Expr = field(default=sp.Integer(1), kw_only=True)

    def __call__(self, g: Any, h0: Any, horizon: int) -> Any:
        """``A_T`` by direct iteration in float64, elementwise over broadcast ``g`` and ``h0``.

        Args:
            g: parameter value, or array; a tuple for several parameters, and then ``A`` is the top eigenvalue of
                `gram`.
            h0: initial state, or array; for a map of R^n a tuple of n, or an array with n as last axis.
            horizon: steps, at least 1.

        Returns:
            A float or an array; ``inf`` where the orbit left (see `escape`).

        Raises:
            ValueError: complex or NaN input, shapes that do not match, a horizon that is no positive integer.
        """
        value = float(self.gain) * amplify(self.map, g, self._stretched(h0), horizon)
        return float(value) if np.ndim(value) == 0 else value

    @property
    def notation(self) -> Notation:
        """How ``g`` and ``h0`` are given, in every form."""
        member = find(self.map)
        return notation(self.map) if member is None else member.family.notation(self.map)

    def _stretched(self, h0: Any) -> Any:
        state = self.notation.state(h0)
        return state @ self._matrix.T if isinstance(self.stretch, sp.MatrixBase) else state * float(self.stretch)

    @property
    def _matrix(self) -> np.ndarray:
        return np.array(self.stretch, dtype=float)

    def orbit(self, g: Any, h0: Any, horizon: int) -> Orbit:
        """States ``h_1 … h_T`` and sensitivities ``s_t = ∂h_t/∂g``, and when the orbit left."""
        found = iterate(self.map, g, self._stretched(h0), horizon)
        if self.stretch == 1 and self.gain == 1:
            return found
        if isinstance(self.stretch, sp.MatrixBase):
            states = found.h @ np.linalg.inv(self._matrix).T
        else:
            states = found.h / float(self.stretch)
        return Orbit(states, found.s * float(sp.sqrt(self.gain)), found.escape)

    def escape(self, g: Any, h0: Any, horizon: int) -> np.ndarray:
        """Step at which the orbit left the escape radius (beyond it every orbit diverges), 0 where it stayed."""
        return self.orbit(g, h0, horizon).escape

    def gram(self, g: Any, h0: Any, horizon: int) -> np.ndarray:
        """``Σ_t s_tᵀ s_t`` over the parameters, shape ``(*batch, p, p)``; its top eigenvalue is the amplification."""
        return float(self.gain) * gram(self.map, g, self._stretched(h0), horizon)

    @property
    def reference(self) -> Formula:
        """Direct iteration as a `Formula`, to be printed and for generated code of one parameter."""
        return self._noted(self._rescaled(recursion(self.map)))

    def exact(self, horizon: int, order: int | None = None) -> Law:
        """``A_T`` for one horizon as a polynomial in ``g`` and ``h0`` with exact coefficients.

        Args:
            horizon: steps, 1 to 1000.
            order: highest power of ``h0`` kept (weight, where h = 0 is no fixed point); ``None`` for the whole
                polynomial, whose degree grows like ``degree**T``.

        Returns:
            A `Formula` of ``g, h0``, where ``h0`` is ``|z_0|`` in the Neimark–Sacker family; for two parameters a
            `GramFormula`.

        Raises:
            ValueError: order or horizon out of range, or a whole polynomial that would explode.
        """
        if not rotates(self.map):
            raise ValueError(
                "exact polynomials in g are of scalar maps and of e^{iω} z (g + d|z|²) with a rational d; use"
                " series(order), which is as exact at every g"
            )
        return self._noted(self._rescaled(exact_formula(self.map, horizon, order)))

    def series(self, order: int, pade: bool = False) -> Law:
        """``A_T`` through ``h0**order`` in symbolic ``T``.

        About a fixed point that is a rational function of ``g``, by the Kœnigs linearisation:
        ``Σ_k x_0^k Σ_{b,e} c(g) T^b λ(g)^{eT}``, ``x_0 = h0 − h*(g)``. Where there is none (saddle-node, cusp), the
        joint series about the critical point, graded by weight (h0: 1, g: 2; cusp also β: 3), with coefficients
        polynomial in ``T``; ``order`` is then the highest weight. In up to three dimensions, about a fixed point that
        goes on, degree by degree (`normalforms.forms.series.degrees`). Equal to ``exact(T, order)`` at every ``T``.

        Args:
            order: highest power (weight) kept.
            pade: the Padé approximant in ``h0²`` (``h0`` where odd powers occur, a factor of all weights in graded
                series) that these terms determine, of degrees [M−1/M] or [M/M] after the first term. It reaches
                beyond the circle of convergence; see `normalforms.forms.series.pade` for how it is computed and judged.

        Returns:
            A `Formula` of ``g, h0, T``, or a `GramFormula`; see `exact`. The next terms measure the truncation: it
            warns where they exceed 1 %, and is ``nan`` where they exceed the value.

        Raises:
            ValueError: order out of range; a map that is not critical, of R^n with a multiplier 1, or without rational
                coefficients.
        """
        found = self._by_degree(order)
        if found is not None and pade:
            raise ValueError("pade = True: a series degree by degree in a state of R^n has no Padé approximant")
        return self._noted(self._rescaled(series_formula(self.map, order, pade=pade)) if found is None else found)

    def _by_degree(self, order: int) -> Formula | None:
        """The series of a map of R^n that is not of the family's plain form."""
        member = find(self.map)
        if member is not None:
            return member.family.series(self.map, order, self.gain)
        if rotates(self.map):
            return None
        return by_degree(self.map, chart_of(self.map), order, self.gain)

    def uniform(self, order: int = 0) -> UniformLaw | GramFormula:
        """A law explicit in ``g, gᵗ, h0`` that holds through the bifurcation; ``orbit`` is ``h_t``.

        The orbit of the limiting flow at a shifted time: see `normalforms.forms.uniform.bernoulli` and
        `normalforms.forms.uniform.fold`. The cusp's law is implicit (`normalforms.forms.uniform.cusp`).

        Args:
            order: p; the relative error of A is O(T^{−(p+1)}) at fixed scaled variables. Pitchfork, period doubling
                and saddle-node have orders 0 to 4, transcritical and Neimark–Sacker 0 to 3, the cusp 0 to 2;
                other scalar maps that of the family at their fixed point, which may move, or at their fold
                (`normalforms.forms.uniform.general_fold`), and planar ones at a Neimark–Sacker point order 0
                (`normalforms.forms.uniform.planar`), in a range that is measured.

        Raises:
            ValueError: an order that the family does not have, or a map without a uniform law.
        """
        member = find(self.map)
        if member is None:
            if len(self.map.parameters) > 1:
                recognise(self.map)  # raises
            if self.map.dimension > 1:
                return self._noted(uniform_law(planar(self.map, order)))
            return self._noted(uniform_law(general(self.map, order, self.stretch), self.gain * self.stretch**2))
        made = _declared(member.family.uniform, member.kind, "uniform law")
        return self._noted(made(member, order, self.stretch, self.gain))

    def scaling(self) -> Scaling | CuspScaling:
        """The finite-time scaling function of the family, ``A_T = prefactor · Ψ(x, y) (1 + O(1/T))``.

        ====================  ===================  ==========  =============  =================
        family                x                    y           prefactor      flow
        ====================  ===================  ==========  =============  =================
        stability flip        T (g − 1)            T h0²       T²             H' = x H
        pitchfork, period
        doubling              T (g − 1)            T h0²       T²             H' = x H − H³
        transcritical         T (g − 1)            T h0        T              H' = x H − H²
        saddle-node           T² (g − 1)           T h0        T³             H' = x − H²
        Neimark–Sacker        T (g − 1)            c T r0²     T²/c           R' = x R − R³,
                                                                              c = −Re d
        ====================  ===================  ==========  =============  =================

        Here ``r0 = |z0|``. A coefficient c of the nonlinear term other than one enters ``y`` and ``prefactor``. The
        cusp's is a 2×2 matrix in three variables and without a closed form, see `normalforms.forms.limits.CuspScaling`.

        Raises:
            ValueError: the map is no family; reduce it to its normal form first.

        >>> import normalforms as nf
        >>> amplification(nf.stability_flip()).scaling().at_zero
        y/3
        """
        law = self._limit()
        member = recognise(law.map)
        made = _declared(member.family.scaling, member.kind, "scaling function")(member, law.stretch, law.gain)
        return replace(made, notation=law.notation) if isinstance(made, Scaling) else made

    def regimes(self) -> Regimes:
        """The laws "subcritical", "critical" and "supercritical" of the family, with their errors.

        With ``μ = g − 1`` and a unit coefficient of the nonlinear term:

        ==============  =========================  ==============  ===================================
        family          subcritical                critical        supercritical
        ==============  =========================  ==============  ===================================
        stability flip  h0² (1+g²)/(1−g²)³         h0² T³/3        h0² T² g^{2T}/(g²−1)
        pitchfork       the same                   T² Ψ(0, T h0²)  T/4μ + [(L−1)² + π²/3 − 2]/16μ²,
                                                                   L = ln(μ/h0²)
        transcritical   the same                   T Ψ(0, T h0)    T + [(L−1)² + π²/3 − 8]/6μ,
                                                                   L = ln(μ/h0)
        saddle-node     as (t_e − T)^{−3}          T³ Ψ(0, T h0)   T/4μ + (π² − 6)/72μ^{3/2}
                        up to the escape                           − (1 + 8 ln 2) h0/12μ²
        ==============  =========================  ==============  ===================================

        Above a bifurcation the orbit is captured by the new branch, whose own sensitivity gives the term in
        ``T``; the logarithms are the peak that the capture leaves behind. Neimark–Sacker adds the phase, which
        grows like ``μT³``. In the cusp next to the symmetric state the top eigenvalue is that of β alone,
        ``Σ ((gᵗ − 1)/(g − 1))²``.

        Returns:
            Read-only mapping to `normalforms.forms.limits.Regime`, a `Formula` in ``g, h0, T`` with its error.

        Raises:
            ValueError: the map is no family; reduce it to its normal form first.

        >>> import normalforms as nf
        >>> amplification(nf.stability_flip()).regimes()["supercritical"].expr
        T**2*g**(2*T)*h0**2/(g**2 - 1)
        """
        law = self._limit()
        member = recognise(law.map)
        made = _declared(member.family.regimes, member.kind, "regimes")(member, law.stretch, law.gain)
        # where the limit drops terms of the map, as a flip's quadratic one, the map's own iteration shows their size
        truth = None if law.map == self.map else self.reference
        return made.mapped(lambda regime: replace(regime, notation=law.notation, truth=truth))

    def enclosure(self, g: Any, h0: Any, horizon: int) -> Any:
        """A rigorous ball around ``A_T``; see `normalforms.forms.enclosure.enclosure`."""
        # the ball arithmetic of python-flint takes as long to load as the rest of the package
        from normalforms.forms.enclosure import enclosure

        if self.notation.modulus and (isinstance(h0, str) or not hasattr(h0, "__len__")):
            h0 = (h0, *[0] * (self.map.dimension - 1))
        return enclosure(self.map, g, h0, horizon, stretch=self.stretch, gain=self.gain)

    def averaged(self, distribution: Distribution) -> AveragedLaw:
        """The same law with initial states averaged over a distribution; see `AveragedLaw`."""
        return AveragedLaw(self, distribution)

    def driven(self, noise: Input, radius: float | None = None) -> Any:
        """The law under an input, ``E A_T`` of ``h_{t+1} = f(h_t, g) + x_t``; see `DrivenLaw`.


        Args:
            noise: `White`, `Constant`, `Sinusoid` or `Autoregressive`, in the units of ``h0``.
            radius: orbits beyond it are removed; by default those beyond `DrivenLaw.window`.

        Returns:
            A `DrivenLaw`; of several parameters a `GramDrivenLaw`, of the Neimark–Sacker family a `PairDrivenLaw`.

        >>> import normalforms as nf
        >>> round(amplification(nf.stability_flip()).driven(nf.White(0.1))(1.0, 0.0, 10), 9)
        8.25
        """
        return driven(self.map, self.stretch, self.gain, noise, radius=radius)

    def _limit(self) -> AmplificationLaw:
        """The law with the same scaling limit and regimes."""
        found = limiting(self.map)
        return AmplificationLaw(found.map, stretch=found.stretch * self.stretch, gain=found.gain * self.gain)

    def _rescaled(self, formula: F) -> F:
        if self.stretch == 1 and self.gain == 1:
            return formula
        return _each(formula, lambda f: rescaled(f, self.stretch, self.gain))

    def _noted(self, formula: F) -> F:
        known = self.notation
        if known.dimension == 1 and len(known.parameters) == 1:
            return formula
        return _each(formula, lambda f: _with_notation(f, known))


def _each(formula: Any, change: Callable[[Formula], Formula]) -> Any:
    return formula.mapped(change) if isinstance(formula, GramFormula) else change(formula)


def _with_notation(formula: Formula, known: Notation) -> Formula:
    orbit = None if formula.orbit is None else replace(formula.orbit, notation=known)
    return replace(formula, notation=known, orbit=orbit)


def _declared(made: Callable[..., Any] | None, kind: str, form: str) -> Callable[..., Any]:
    if made is None:
        raise FamilyError(f"the family {kind} declares no {form}; use series(order) or direct iteration")
    return made


@overload
def amplification(
    source: Any, at: Mapping[Any, Any] | None = None, *, period: int = 1, tied: Literal[False]
) -> UntiedLaw: ...


@overload
def amplification(
    source: Any, at: Mapping[Any, Any] | None = None, *, period: int = 1, tied: Literal[True] = True
) -> AmplificationLaw: ...


def amplification(
    source: Any, at: Mapping[Any, Any] | None = None, *, period: int = 1, tied: bool = True
) -> AmplificationLaw | UntiedLaw:
    """The amplification law of a map, or of a normal form.

    Args:
        source: a `Map`, whose law is in its own parameter and state, or a `NormalForm`. The law of a normal form is
            that of its family, rescaled by its coefficients: ``g`` is the critical multiplier (at a fold
            ``1 − c0 c2 m``), ``h0`` the coordinate along the critical eigenvector, and `NormalForm.coordinates` gives
            both. That of a flip keeps its quadratic term; that of a Neimark–Sacker point is in ``|λ|`` and
            ``h0 = (Re z, Im z)``, ``h ≈ h* + z q + z̄ q̄``, with the rotation, fixed point and eigenvector that answer
            to the parameter and the length ``‖2 Re q ∂z‖``, see `normalforms.families.pair.Pair`; that of a cusp is
            in ``((c0 m, λ), u)``, its uniform and scaling laws for ``c3 = −1``.
        at: values of state and parameter at the bifurcation, for a map that does not carry them; that of a member of
            a family is known. Decimals are moved to the bifurcation next to them, as in `normalforms.reduce`.
        period: n, where ``at`` is a point of a cycle. The law is then that of the normal form of ``f^n``, a step of
            it once round the cycle; `NormalForm.coordinates` goes from the map's numbers to the law's.
        tied: ``False`` where every step has a parameter of its own (a deep network read as a map): the `UntiedLaw`.

    Raises:
        ValueError: not a map or normal form, a cycle without a point, or a degenerate normal form other than a cusp,
            which has no family.

    >>> import normalforms as nf
    >>> amplification(nf.pitchfork()).map.name
    'pitchfork'
    """
    law = _law(source, at, period)
    return law if tied else untied(law.map, law.stretch, law.gain)


def _law(source: Any, at: Mapping[Any, Any] | None, period: int) -> AmplificationLaw:
    if isinstance(source, Map) and period != 1:
        if at is None:
            raise ValueError(f"period = {period} needs at=, a point of the cycle")
        source, at = reduce(source, at=at, period=period), None
    if isinstance(source, Map):
        return AmplificationLaw(placed(source) if at is None else located(source, at))
    if isinstance(source, NormalForm):
        if at is not None:
            raise ValueError("at belongs to a map; a normal form has its point already")
        if source.kept:
            names = ", ".join(f"{s}=…" for s in source.kept)
            raise ValueError(f"the normal form has symbols in its coefficients; give them values: form.at({names})")
        found = reduced(source)
        return AmplificationLaw(found.map, stretch=found.stretch, gain=found.gain)
    raise ValueError(f"amplification takes a Map or a NormalForm, got {type(source).__name__}")
