"""The linear algebra that a reduction needs, exact (SymPy) and dense (NumPy), behind the same five verbs."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import scipy  # its parts load when first used
import sympy as sp

__all__ = ["DenseAlgebra", "ExactAlgebra", "is_zero", "tidy"]

_CANDIDATE = 1e-3
"""Distance from the unit circle within which a float multiplier is worth an exact test: a Jordan block of
size 4 moves it by eps^(1/4) ≈ 1e-4."""

_SPLIT = 1e-2
"""Largest imaginary part of a pair that counts as a double real multiplier."""


def tidy(number: sp.Expr) -> sp.Expr:
    """``number`` in a short form, without changing its value."""
    number = sp.sympify(number)
    if number.is_Rational:
        return number
    number = sp.expand(number)
    if number.is_Rational or number.is_Symbol:
        return number
    if number.has(sp.Function):
        return sp.simplify(sp.expand_complex(number) if number.has(sp.I) else number)
    number = sp.expand(sp.radsimp(sp.sqrtdenest(number)))
    return _one_root(number) if number.has(sp.Mul) else number


def _one_root(number: sp.Expr) -> sp.Expr:
    """``√a √b`` as ``√(ab)``, for positive a and b."""

    def join(*factors: sp.Expr) -> sp.Expr:
        roots = [f for f in factors if f.is_Pow and f.exp == sp.S.Half and f.base.is_positive]
        if len(roots) < 2:
            return sp.Mul(*factors)
        return sp.Mul(sp.sqrt(sp.expand(sp.Mul(*(f.base for f in roots)))), *(f for f in factors if f not in roots))

    joined = number.replace(lambda e: e.is_Mul, lambda e: join(*e.args))
    return number if joined == number else sp.expand(sp.sqrtdenest(joined))


def is_zero(number: sp.Expr) -> bool:
    """Whether an exact number is zero: sixty digits to refute it, algebra to prove it.

    A number that no algebra decides and that vanishes to 200 digits counts as zero.
    """
    number = sp.sympify(number)
    if number.is_Rational:
        return number == 0
    size = max(abs(sp.N(term, 15)) for term in sp.Add.make_args(number))
    if abs(sp.N(number, 60, maxn=400)) > sp.Float("1e-40") * size:
        return False
    decided = tidy(number).is_zero
    if decided is None:
        decided = abs(sp.N(number, 200, maxn=2000)) <= sp.Float("1e-190") * size
    return bool(decided)


def _divided(coefficients: list[sp.Expr], root: sp.Expr) -> list[sp.Expr]:
    """The polynomial, leading coefficient first, divided by ``z − root``; the remainder last."""
    result = [coefficients[0]]
    for a in coefficients[1:]:
        result.append(tidy(a + root * result[-1]))
    return result


class ExactAlgebra:
    """Exact numbers: zero means zero."""

    tolerance = 0.0

    def __init__(self, matrix: sp.MatrixBase) -> None:
        self.matrix = matrix
        self.identity = sp.eye(matrix.rows)

    def multipliers(self) -> np.ndarray:
        """All eigenvalues, in float64."""
        return np.linalg.eigvals(np.array(self.matrix.evalf(30).tolist(), dtype=complex))

    def critical(self) -> list[sp.Expr]:
        """The eigenvalues on the unit circle, repeated by multiplicity; of a conjugate pair, the upper one.

        Raises:
            ArithmeticError: a conjugate pair in more than two dimensions that has no closed form.
        """
        near = [z for z in self.multipliers() if abs(abs(z) - 1) < _CANDIDATE]
        if not near:
            return []
        variable = sp.Dummy("z")
        coefficients = self.matrix.charpoly(simplify=tidy).all_coeffs()
        found: list[sp.Expr] = []
        for value in (sp.Integer(1), sp.Integer(-1)):
            while any(abs(z - int(value)) < 0.1 for z in near):
                *quotient, remainder = _divided(coefficients, value)
                if not is_zero(remainder):
                    break
                found.append(value)
                coefficients = quotient
        # what is left has no root ±1: a pair that a double root splits into by rounding fails the exact test
        polynomial = sp.Add(*(a * variable**k for k, a in enumerate(reversed(coefficients))))
        return found + self._pairs(polynomial, variable, [z for z in near if z.imag > 0])

    def _pairs(self, polynomial: sp.Expr, variable: sp.Dummy, near: list[complex]) -> list[sp.Expr]:
        if not near or sp.degree(polynomial, variable) < 2:
            return []
        cosine = sp.Dummy("c", real=True)
        remainder = sp.rem(polynomial, variable**2 - 2 * cosine * variable + 1, variable)
        conditions = [sp.expand(part) for part in sp.Poly(remainder, variable).all_coeffs()]
        conditions = [part for part in conditions if part != 0]
        pairs: list[sp.Expr] = []
        for root in sorted(self._common_roots(conditions, cosine), key=sp.default_sort_key):
            value = complex(root)
            if abs(value.imag) < 1e-12 and any(abs(z.real - value.real) < _CANDIDATE for z in near):
                c = tidy(root)
                pairs.append(c + sp.I * tidy(sp.sqrt(tidy(1 - c**2))))
        return pairs

    def _common_roots(self, conditions: list[sp.Expr], cosine: sp.Dummy) -> list[sp.Expr]:
        linear = [part for part in conditions if sp.degree(part, cosine) <= 1]
        for part in linear:
            if not part.has(cosine):
                if not is_zero(part):
                    return []
                continue
            a, b = sp.Poly(part, cosine).all_coeffs()
            root = tidy(-b / a)
            others = [p for p in conditions if p is not part]
            return [root] if all(is_zero(p.subs(cosine, root)) for p in others) else []
        common = sp.Poly(0, cosine)
        for part in conditions:
            common = sp.gcd(common, sp.Poly(part, cosine, extension=True))
        roots = sp.roots(common) if common.degree() > 0 else {}
        if sum(roots.values()) < common.degree():
            raise ArithmeticError("the critical pair has no closed form")
        return [root for root, count in roots.items() for _ in range(count)]

    def eigenvectors(self, multiplier: sp.Expr) -> tuple[Any, Any] | None:
        """Right and left eigenvector ``(q, p)``, ``⟨p, q⟩ = 1``, ``q`` of any length; None at a Jordan block."""
        q = self._kernel(self.matrix - multiplier * self.identity)
        p = self._kernel(self.matrix.H - sp.conjugate(multiplier) * self.identity)
        product = tidy(self.inner(p, q))
        if is_zero(product):
            return None
        return q, p.applyfunc(lambda x: tidy(x / sp.conjugate(product)))

    def _kernel(self, matrix: sp.MatrixBase) -> sp.MatrixBase:
        vector = matrix.nullspace(simplify=tidy, iszerofunc=is_zero)[0].applyfunc(tidy)
        sizes = [abs(complex(x)) for x in vector]
        lead = next(i for i, size in enumerate(sizes) if size > (1 - 1e-9) * max(sizes))
        return (vector / vector[lead]).applyfunc(tidy)

    def solve(self, shift: sp.Expr, rhs: Any, border: tuple[Any, Any] | None = None) -> Any:
        """``(shift − A)^{-1} rhs``; with a border ``(q, p)``, off the direction ``q``: ``⟨p, w⟩ = 0``."""
        system, n = shift * self.identity - self.matrix, self.matrix.rows
        if border is not None:
            q, p = border
            system = system.row_join(q).col_join(p.H.row_join(sp.zeros(1, 1)))
            rhs = rhs.col_join(sp.zeros(1, 1))
        reduced, _ = system.row_join(rhs).rref(simplify=tidy, iszerofunc=is_zero)
        return reduced[:n, -1].applyfunc(tidy)

    def inner(self, p: Any, x: Any) -> sp.Expr:
        """``⟨p, x⟩ = Σ conj(p_i) x_i``."""
        return tidy((p.H * x)[0, 0])

    def size(self, p: Any, x: Any) -> float:
        """``Σ |p_i x_i|``: the scale against which ``⟨p, x⟩`` would be rounding; of no use to exact numbers."""
        return 0.0

    def norm(self, q: Any) -> sp.Expr:
        """Euclidean length."""
        return sp.sqrt(self.inner(q, q))

    def conjugate(self, q: Any) -> Any:
        """Complex conjugate."""
        return q.applyfunc(sp.conjugate)

    def tidy(self, value: sp.Expr) -> sp.Expr:
        """The same number in a short form."""
        return tidy(value)

    def resonant(self, multiplier: sp.Expr, order: int) -> bool:
        """Whether ``multiplier`` is a root of unity of this order."""
        return is_zero(multiplier**order - 1)

    def vanishes(self, value: sp.Expr, *sizes: float) -> bool:
        """Whether ``value`` is zero."""
        return is_zero(value)


class DenseAlgebra:
    """Float64 numbers: zero means below ``tolerance`` times a scale of the same dimension.

    Everything runs in balanced coordinates, so that a change of units changes no digit.
    """

    def __init__(self, matrix: Any, tolerance: float, critical: float) -> None:
        self.matrix = np.asarray(matrix, dtype=float)
        self.tolerance = tolerance
        self.distance = critical
        balanced, (scale, _) = scipy.linalg.matrix_balance(self.matrix, permute=False, separate=True)
        self.balanced, self.scale = balanced, scale

    def multipliers(self) -> np.ndarray:
        """All eigenvalues."""
        return np.linalg.eigvals(self.balanced)

    def critical(self) -> list[Any]:
        """The eigenvalues within ``critical`` of the unit circle, repeated by multiplicity; of a pair, the upper one.

        A pair next to ±1 is a double multiplier that rounding, or a point known to ``critical``, has split by the
        square root of that: both are listed.
        """
        near = [complex(z) for z in self.multipliers() if abs(abs(z) - 1) <= self.distance]
        split = max(self.distance, min(math.sqrt(self.distance), _SPLIT))
        found: list[Any] = []
        for z in near:
            if z.imag == 0 or (abs(z.imag) <= split and len(near) == 1):
                found.append(z.real)
            elif abs(z.imag) <= split or z.imag > 0:
                found.append(z)
        return found

    def eigenvectors(self, multiplier: complex) -> tuple[Any, Any] | None:
        """Right and left eigenvector ``(q, p)``, ``‖q‖ = 1``, ``⟨p, q⟩ = 1``; None at a Jordan block."""
        n = len(self.scale)
        size = max(1.0, np.linalg.norm(self.balanced, 1))
        # The shift keeps the factorisation regular; the direction still converges by 1e-10 a step.
        factors = scipy.linalg.lu_factor(self.balanced - (multiplier + 1e-10 * size) * np.eye(n))
        start = np.random.default_rng(0).standard_normal(n)
        q, p = start, start
        for _ in range(3):
            q = scipy.linalg.lu_solve(factors, q)
            q = q / np.linalg.norm(q)
            p = scipy.linalg.lu_solve(factors, p, trans=2)
            p = p / np.linalg.norm(p)
        if abs(np.vdot(p, q)) < self.distance:
            return None
        q, p = q * self.scale, p / self.scale
        magnitude = np.abs(q)
        lead = q[np.argmax(magnitude > (1 - 1e-9) * magnitude.max())]
        q = q * (abs(lead) / lead) / np.linalg.norm(q)
        return q, p / np.conj(np.vdot(p, q))

    def solve(self, shift: complex, rhs: Any, border: tuple[Any, Any] | None = None) -> Any:
        """``(shift − A)^{-1} rhs``; with a border ``(q, p)``, off the direction ``q``: ``⟨p, w⟩ = 0``."""
        n = len(self.scale)
        system, rhs = shift * np.eye(n) - self.balanced, rhs / self.scale
        if border is not None:
            q, p = border[0] / self.scale, border[1] * self.scale
            q, p = q / np.linalg.norm(q), p / np.linalg.norm(p)
            system = np.block([[system, q[:, None]], [p.conj()[None, :], np.zeros((1, 1))]])
            rhs = np.append(rhs, 0)
        return scipy.linalg.solve(system, rhs)[:n] * self.scale

    def inner(self, p: Any, x: Any) -> Any:
        """``⟨p, x⟩ = Σ conj(p_i) x_i``."""
        return np.vdot(p, x).item()

    def size(self, p: Any, x: Any) -> float:
        """``Σ |p_i x_i|``: the scale against which ``⟨p, x⟩`` is rounding."""
        return float(np.abs(p) @ np.abs(x))

    def norm(self, q: Any) -> float:
        """Euclidean length."""
        return float(np.linalg.norm(q))

    def conjugate(self, q: Any) -> Any:
        """Complex conjugate."""
        return np.conj(q)

    def tidy(self, value: Any) -> Any:
        """The number itself."""
        return value

    def resonant(self, multiplier: complex, order: int) -> bool:
        """Whether ``multiplier`` is a root of unity of this order, to within ``critical``."""
        return abs(multiplier**order - 1) <= order * self.distance

    def vanishes(self, value: complex, *sizes: float) -> bool:
        """Whether ``value`` is below ``tolerance`` times the largest of ``sizes``."""
        return abs(value) <= self.tolerance * max(sizes, default=0.0)
