"""The scaling limit of learning: loss, gradient and sharpness of every horizon on one curve.

With the scaling variables of a family, ``x`` for the parameter and ``y`` for the initial state,

    L(g) → P Λ(x, x_T, y),   Λ = ∫_0^1 (H(τ; x, y) − H(τ; x_T, y))² dτ,

H the flow of the normal form, and descent becomes ``x' = x − ε Λ_x``. Errors are O(1/T).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import sympy as sp

from normalforms.descent.jets import JetRule, constant, jet_rule, multiply, variable
from normalforms.descent.regimes import Descent, Diagram, descend, diagram
from normalforms.descent.timing import elapsed
from normalforms.exact import Clifford, ExpMoment, clifford, expmoment
from normalforms.families import recognise
from normalforms.formulas import check_horizon, check_real, symbols
from normalforms.maps import Map

__all__ = ["LearningScaling", "learning_scaling"]

_x, _y, _tau = symbols("x y tau")
_master, _eta = symbols("x_T eta")
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(40)
_FAR = 500.0  # beyond, the flow's layers are resolved no further
_REACH = 16.0  # |x| that one panel of nodes resolves: the flow's layers are 1/|x| wide


def _bernoulli(power: int) -> sp.Expr:
    """``H' = x H − H^{power+1}``: ``H^power = y e^{power x τ}/D``, ``D = 1 + y (e^{power x τ} − 1)/x``."""
    s = power * _x * _tau
    D = 1 + power * _y * _tau * ExpMoment(0, s)
    return sp.sqrt(_y) * sp.exp(_x * _tau) * D ** sp.Rational(-1, 2) if power == 2 else _y * sp.exp(s) / D


def _fold() -> sp.Expr:
    """``H' = x − H²``: ``H = D'/D``, ``D = cosh √x τ + y sinh(√x τ)/√x``."""
    z = _x * _tau**2
    D = Clifford(-1, z) + _y * _tau * Clifford(0, z)
    return (_x * _tau * Clifford(0, z) + _y * Clifford(-1, z)) / D


_FLOWS = {
    "stability_flip": lambda: sp.sqrt(_y) * sp.exp(_x * _tau),
    "pitchfork": lambda: _bernoulli(2),
    "period_doubling": lambda: _bernoulli(2),
    "neimark_sacker": lambda: _bernoulli(2),
    "transcritical": lambda: _bernoulli(1),
    "saddle_node": _fold,
}


@cache
def _rule(kind: str) -> JetRule:
    return jet_rule((_FLOWS[kind](),), (_x, _y, _tau))


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
        if np.any(y < 0) and self.kind not in ("transcritical", "saddle_node"):
            raise ValueError("y, the square of the initial state, must not be negative")
        size = min(float(np.nanmax(np.abs([x, x_T]), initial=0.0)), _FAR)
        panels = max(1, int(np.ceil((np.sqrt(size) if self.kind == "saddle_node" else size) / _REACH)))
        edges = np.arange(panels)[:, None] / panels
        tau, weight = (edges + (1 + _NODES) / (2 * panels)).ravel(), np.tile(_WEIGHTS / (2 * panels), panels)
        with np.errstate(all="ignore"):
            apart = self._flow(variable(x[..., None], order), y[..., None], tau)
            apart[0] -= self._flow(constant(x_T[..., None], 0), y[..., None], tau)[0]
            values = multiply(apart, apart) @ weight
            factorials = np.cumprod([1.0, *range(1, order + 1)]).reshape(-1, *(1,) * x.ndim)
            values = values * factorials
            gone = _escapes(self.kind, x, y) | _escapes(self.kind, x_T, y)
        values[0] = np.where(gone, np.inf, values[0])
        values[1:] = np.where(gone, np.nan, values[1:])
        return values

    def _flow(self, x: np.ndarray, y: np.ndarray, tau: np.ndarray) -> np.ndarray:
        order = len(x) - 1
        (H,) = _rule(self.kind)(x, constant(y, order), constant(tau, order))
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
            ValueError: there is none: stability flip and saddle-node sharpen without bound.
        """
        if self.kind in ("stability_flip", "saddle_node"):
            raise ValueError(f"a {self.kind.replace('_', ' ')} has no safe rate: its sharpness grows without bound")
        lift = np.log1p(1 / y)
        lower, upper = -3.0, (2 * lift + 6) * (2 if self.kind == "transcritical" else 1) + 3 * y
        for _ in range(4):
            grid = np.linspace(lower, upper, 300)
            rates = self.critical_rate(grid, y)
            best = int(np.argmin(rates))
            lower, upper = grid[max(best - 1, 0)], grid[min(best + 1, 299)]
        return float(rates[best])

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
        if self.kind == "stability_flip":
            return self.closed["every teacher"]
        H = _FLOWS[self.kind]()
        return sp.Integral((H - H.xreplace({_x: _master})) ** 2, (_tau, 0, 1))

    @property
    def closed(self) -> dict[str, sp.Expr]:
        """The elementary cases of Λ by name, in ``x, x_T, y``; empty where none is known.

        ``∫ H² dτ = ½ ln D``, ``D = 1 + y (e^{2x} − 1)/x``. With ``b = y/x``, ``a = 1 − b`` and a teacher on its own
        branch the cross term is ``√y J``, ``J = ∫ H dτ = [asinh(√(b/a) e^x) − asinh √(b/a)]/√x`` for ``0 < y < x``; the
        same expression continues to every other x.
        """
        if self.kind == "stability_flip":
            e = lambda s: ExpMoment(0, s)  # noqa: E731
            return {"every teacher": _y * (e(2 * _x) + e(2 * _master) - 2 * e(_x + _master))}
        if self.kind not in ("pitchfork", "period_doubling", "neimark_sacker"):
            return {}
        D = 1 + 2 * _y * ExpMoment(0, 2 * _x)
        root = sp.sqrt(_y / (_x - _y))
        J = sp.sqrt(_y) / (_x * sp.sqrt(_y / _x)) * (sp.asinh(root * sp.exp(_x)) - sp.asinh(root))
        return {
            "teacher at rest": sp.log(D) / 2,
            "teacher on its branch": _y - 2 * sp.sqrt(_y) * J + sp.log(D) / 2,
        }

    @property
    def note(self) -> str:
        """What Λ is and how it is computed, for the reader."""
        if self.kind == "stability_flip":
            return "Λ = ∫ (H − H̄)² dτ over 0 ≤ τ ≤ 1 for H' = x H: elementary."
        return (
            "Λ = ∫ (H − H̄)² dτ over 0 ≤ τ ≤ 1, H and H̄ the flow at x and at x_T. No elementary form of the cross term"
            " is known: a quadrature" + (", elementary in the cases of `closed`." if self.closed else ".")
        )


def _escapes(kind: str, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    if kind == "saddle_node":
        root = np.sqrt(np.maximum(-x, 0))
        last = clifford(-1, x) + y * clifford(0, x)
        return np.where(x < 0, root + np.arctan2(root, y) >= np.pi, last <= 0)
    if kind == "transcritical":
        return 1 + y * expmoment(0, x) <= 0
    return np.zeros(np.broadcast_shapes(x.shape, y.shape), bool)


def _number(value: np.ndarray) -> Any:
    return float(value) if np.ndim(value) == 0 else value


def learning_scaling(m: Map) -> LearningScaling:
    """The scaling limit of descent through a family's bifurcation; see `LearningScaling`.

    Raises:
        ValueError: the map is no family, is subcritical, or is a Neimark–Sacker map with a twist, whose phase is learnt
            too.

    >>> from normalforms import saddle_node
    >>> learning_scaling(saddle_node()).rate
    T**2*eta
    """
    u = recognise(m)
    g, h0, T = u.inputs
    c, eta = u.coefficient, _eta
    if u.twist != 0:
        raise ValueError("Im d is not zero: the phase is learnt too and has no scaling limit of its own; set Im d = 0")
    if u.kind in ("pitchfork", "period_doubling", "neimark_sacker"):
        if not c.is_positive:
            raise ValueError(f"the {u.kind} is subcritical: its orbits leave above the bifurcation; use the map itself")
        x, y, prefactor, rate = T * (g - 1), c * T * h0**2, 1 / (c * T), eta * T / c
    elif u.kind == "stability_flip":
        x, y, prefactor, rate = T * (g - 1), T * h0**2, 1 / T, eta * T
    elif u.kind == "transcritical":
        x, y, prefactor, rate = T * (g - 1), c * T * h0, 1 / (c * T) ** 2, eta / c**2
    else:
        x, y, prefactor, rate = c * T**2 * (g - 1), c * T * h0, 1 / (c * T) ** 2, eta * T**2
    return LearningScaling(u.kind, x, y, sp.sympify(prefactor), sp.sympify(rate), (g, h0, T))
