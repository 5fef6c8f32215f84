"""The scaling limit of learning: loss, gradient and sharpness of every horizon on one curve.

With the scaling variables of a family, ``x`` for the parameter and ``y`` for the initial state,

    L(g) → P Λ(x, x_T, y),   Λ = ∫_0^1 (H(τ; x, y) − H(τ; x_T, y))² dτ,

H the flow of the normal form, and descent becomes ``x' = x − ε Λ_x``. Errors are O(1/T).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import sympy as sp

from normalforms.descent.jets import JetRule, constant, jet_rule, multiply, variable
from normalforms.descent.regimes import Descent, Diagram, descend, diagram
from normalforms.descent.timing import elapsed
from normalforms.families import FamilyError, LimitFlow, recognise, spoken
from normalforms.forms.limits import Scaling
from normalforms.formulas import check_horizon, check_real, symbols
from normalforms.maps import Map

__all__ = ["LearningScaling", "learning_scaling"]

_x, _y, _tau = symbols("x y tau")
_master, _eta = symbols("x_T eta")
_EVERY = "every teacher"
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(40)
_FAR = 500.0  # beyond, the flow's layers are resolved no further
_REACH = 16.0  # |x| that one panel of nodes resolves: the flow's layers are 1/|x| wide


@cache
def _rule(orbit: sp.Expr) -> JetRule:
    return jet_rule((orbit,), (_x, _y, _tau))


@dataclass(frozen=True)
class LearningScaling:
    """``L(g) = prefactor · Λ(x, x_T, y) (1 + O(1/T))``, and descent ``x' = x − ε Λ_x``; made by `learning_scaling`.

    ====================  ==========  =======  ==========  =======
    family                x           y        prefactor   ε
    ====================  ==========  =======  ==========  =======
    stability flip        T (g − 1)   T h0²    1/T         η T
    pitchfork, odd        T (g − 1)   c T h0²  1/(c T)     η T/c
    period doubling,
    modulus of N.–S.
    transcritical         T (g − 1)   c T h0   1/(c T)²    η/c²
    saddle-node           c T²(g−1)   c T h0   1/(c T)²    η T²
    ====================  ==========  =======  ==========  =======

    At the teacher ``Λ_xx = 2Ψ(x_T, y)``, Ψ the scaling function of the amplification, so that descent stays there
    while ``ε < ε_c = 1/Ψ``. For the pitchfork ``ε_c > 4`` at every teacher and initial state: in the limit
    ``η < 4/T`` is always stable. Transcritical: the critical rate does not depend on T.

    Λ is elementary for the stability flip, for a pitchfork's teacher that starts on its own branch (``y = x_T``) and
    for one at rest (``x_T → −∞``); see `closed`. The general cross term ``∫ H H̄ dτ`` has incommensurate exponents and
    no elementary form is known: it is a quadrature, of Gauss–Legendre panels of width ``16/|x|``.

    Args:
        kind: of the family.
        x, y, prefactor, rate: SymPy expressions in ``g, h0, T``, and ε in ``eta, T``.
        inputs: the symbols ``g, h0, T``.
        amplification: the scaling function Ψ of the family.
        flow: H, and the elementary cases of Λ.

    >>> from normalforms import pitchfork
    >>> law = learning_scaling(pitchfork())
    >>> law.prefactor, law.rate
    (1/T, T*eta)
    >>> round(law.critical_rate(1.218, 1.0), 4)
    10.4188
    """

    kind: str
    x: sp.Expr
    y: sp.Expr
    prefactor: sp.Expr
    rate: sp.Expr
    inputs: tuple[sp.Symbol, sp.Symbol, sp.Symbol]
    amplification: Scaling
    flow: LimitFlow

    def scaled(self, g: Any, h0: Any, horizon: int) -> tuple[Any, Any]:
        """``(x, y)`` of parameters and initial states at a horizon."""
        where = sp.lambdify(self.inputs, (self.x, self.y), "numpy")
        return where(check_real(g, "g"), check_real(h0, "h0"), float(check_horizon(horizon)))

    def scaled_rate(self, rate: Any, horizon: int) -> Any:
        """``ε`` of learning rates η at a horizon."""
        unit = sp.lambdify((_eta, self.inputs[2]), self.rate, "numpy")(1.0, float(check_horizon(horizon)))
        return _number(unit * check_real(rate, "rate"))

    def derivatives(self, x: Any, x_T: Any, y: Any, order: int) -> np.ndarray:
        """``Λ, Λ_x, …`` through ``order`` as the first axis; ``inf``, then ``nan``, where a flow escapes."""
        return self._derivatives(check_real(x, "x"), check_real(x_T, "x_T"), check_real(y, "y"), order)

    def _derivatives(self, x: Any, x_T: Any, y: Any, order: int) -> np.ndarray:
        x, x_T, y = np.broadcast_arrays(x, x_T, y)
        if np.any(y < 0) and self.flow.orbit.has(sp.sqrt(_y)):
            raise ValueError("y, the square of the initial state, must not be negative")
        size = min(float(np.nanmax(np.abs([x, x_T]), initial=0.0)), _FAR)
        panels = max(1, int(np.ceil(size / _REACH)))
        edges = np.arange(panels)[:, None] / panels
        tau, weight = (edges + (1 + _NODES) / (2 * panels)).ravel(), np.tile(_WEIGHTS / (2 * panels), panels)
        with np.errstate(all="ignore"):
            apart = self._flow(variable(x[..., None], order), y[..., None], tau)
            apart[0] -= self._flow(constant(x_T[..., None], 0), y[..., None], tau)[0]
            values = multiply(apart, apart) @ weight
            factorials = np.cumprod([1.0, *range(1, order + 1)]).reshape(-1, *(1,) * x.ndim)
            values = values * factorials
            escapes = self.amplification.psi.escapes
            gone = escapes(x, y) | escapes(x_T, y)
        values[0] = np.where(gone, np.inf, values[0])
        values[1:] = np.where(gone, np.nan, values[1:])
        return values

    def _flow(self, x: np.ndarray, y: np.ndarray, tau: np.ndarray) -> np.ndarray:
        order = len(x) - 1
        (H,) = _rule(self.flow.orbit)(x, constant(y, order), constant(tau, order))
        return np.array(np.broadcast_to(H, (order + 1, *np.broadcast_shapes(x.shape[1:], y.shape, tau.shape))))

    def loss(self, x: Any, x_T: Any, y: Any) -> Any:
        """Λ, elementwise over broadcast arguments."""
        return _number(self.derivatives(x, x_T, y, 0)[0])

    def gradient(self, x: Any, x_T: Any, y: Any) -> Any:
        """``Λ_x``."""
        return _number(self.derivatives(x, x_T, y, 1)[1])

    def sharpness(self, x: Any, x_T: Any, y: Any) -> Any:
        """``Λ_xx``; at the teacher ``2Ψ(x_T, y)``."""
        return _number(self.derivatives(x, x_T, y, 2)[2])

    def critical_rate(self, x_T: Any, y: Any) -> Any:
        """``ε_c = 2/Λ_xx = 1/Ψ(x_T, y)`` at the teacher."""
        return _number(2 / self.derivatives(x_T, x_T, y, 2)[2])

    def safe_rate(self, y: float) -> float:
        """``min ε_c`` over all teachers, ``1/Ψ*(y)`` at the peak of Ψ.

        Raises:
            ValueError: there is none, as Ψ has no peak: stability flip and saddle-node sharpen without bound.
        """
        if not self.amplification.peaks:
            raise ValueError(f"a {spoken(self.kind)} has no safe rate: its sharpness grows without bound")
        return 1 / self.amplification.peak(y).value

    def time(self, x0: float, x1: float, x_T: float, y: float, rate: float) -> float:
        """Steps of ``x' = x − ε Λ_x`` from ``x0`` to ``x1``; see `normalforms.descent.timing.elapsed`."""
        return elapsed(lambda x: self.derivatives(x, x_T, y, 2)[1:], x0, x1, rate)

    def descend(self, x0: Any, x_T: Any, y: Any, rate: Any, steps: int) -> Descent:
        """``x_{k+1} = x_k − ε Λ_x``, elementwise over broadcast arguments."""
        x0, rate = check_real(x0, "x0"), check_real(rate, "rate")
        return descend(lambda x: self._derivatives(x, x_T, y, 1), x0, rate, check_horizon(steps, "steps"))

    def diagram(self, rates: Any, teachers: Any, y: float, *, start: float = -3.0, steps: int = 2000) -> Diagram:
        """As `Learning.diagram`, of the scaling map: ``rates`` are ε, ``teachers`` x_T."""
        masters = np.atleast_1d(check_real(teachers, "teachers"))
        values: Callable[..., np.ndarray] = lambda x: self._derivatives(x, masters[None, :], y, 1)  # noqa: E731
        rates = np.atleast_1d(check_real(rates, "rates"))
        return diagram(values, rates, masters, float(start), check_horizon(steps, "steps"))

    @property
    def function(self) -> sp.Expr:
        """Λ in ``x, x_T, y``: an integral, elementary for the stability flip."""
        H = self.flow.orbit
        integral = sp.Integral((H - H.xreplace({_x: _master})) ** 2, (_tau, 0, 1))
        return self.closed.get(_EVERY, integral)

    @property
    def closed(self) -> Mapping[str, sp.Expr]:
        """The elementary cases of Λ by name, in ``x, x_T, y``; empty where none is known."""
        return self.flow.closed

    @property
    def note(self) -> str:
        """What Λ is and how it is computed, for the reader."""
        head = f"Λ = ∫ (H − H̄)² dτ over 0 ≤ τ ≤ 1, H and H̄ the flow {self.flow.equation} at x and at x_T"
        if _EVERY in self.closed:
            return f"{head}: elementary."
        tail = ", elementary in the cases of `closed`." if self.closed else "."
        return f"{head}. No elementary form of the cross term is known: a quadrature{tail}"


def _number(value: np.ndarray) -> Any:
    return float(value) if np.ndim(value) == 0 else value


def learning_scaling(m: Map) -> LearningScaling:
    """The scaling limit of descent through a family's bifurcation; see `LearningScaling`.

    With the family's ``A_T → P_A Ψ(x, y)`` the loss has ``P = P_A/(T (dx/dg)²)``, as ``L'' = 2A_T/T`` at the teacher,
    and descent ``ε = η P (dx/dg)²``.

    Raises:
        ValueError: the map is no family, or one that declares no flow; it is subcritical, or a Neimark–Sacker map with
            a twist, whose phase is learnt too.

    >>> from normalforms import saddle_node
    >>> learning_scaling(saddle_node()).rate
    T**2*eta
    """
    u = recognise(m)
    flow, scaling = u.family.flow, u.family.scaling
    if flow is None or scaling is None:
        raise FamilyError(f"family {u.kind!r} declares no scaling function and flow; use the map itself")
    if u.twist != 0:
        raise ValueError("Im d is not zero: the phase is learnt too and has no scaling limit of its own; set Im d = 0")
    found: Any = scaling(u, sp.S.One, sp.S.One)
    g, _, T = u.inputs
    if not found.prefactor.is_positive:
        raise ValueError(f"the {u.kind} is subcritical: its orbits leave above the bifurcation; use the map itself")
    pace = sp.simplify(found.prefactor / T)
    prefactor = sp.simplify(pace / found.x.diff(g) ** 2)
    return LearningScaling(u.kind, found.x, found.y, prefactor, _eta * pace, u.inputs, found, flow)
