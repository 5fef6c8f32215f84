"""Descent in an aligned deep linear network: itself a scalar map with a bifurcation.

Where every layer of ``W_L … W_1`` has learnt the same singular value ``a`` along matched singular vectors, descent on
``½ ‖W_L … W_1 − S‖²`` moves each mode by itself,

    a' = a + η a^{L−1} (s − a^L),   u = a^L,

with s the target's singular value. ``L = 2`` is the pitchfork with ``g = 1 + η s``, ``h = √η a``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import sympy as sp

from normalforms.descent.regimes import Descent
from normalforms.descent.timing import elapsed
from normalforms.formulas import Formula, check_horizon, check_real
from normalforms.maps import Map

__all__ = ["Aligned", "DeepLinear", "deep_linear"]

_LIMIT = 0.02


@dataclass(frozen=True)
class Aligned:
    """How far the leading mode of a deep linear network is that of the scalar map.

    Args:
        value: ``u``, the product's leading singular value.
        spread: of the layers' gains along the mode, ``max |a_l/a − 1|``.
        overlap: the smallest of the mode's cosines with the target's singular vectors.
        stable_rank: of the product's Jacobian, ``‖J‖_F²/‖J‖₂²``.
        expected: of an aligned network with one learnt mode, ``1 + 2(n − 1)/L`` at width n.
        tolerance: how far ``spread`` and ``1 − overlap`` may go.

    >>> Aligned(0.1, 0.0, 1.0, 2.0, 2.0).status
    'aligned'
    """

    value: float
    spread: float
    overlap: float
    stable_rank: float
    expected: float
    tolerance: float = _LIMIT

    @property
    def status(self) -> str:
        """``"aligned"``, or what is not."""
        if self.overlap < 1 - self.tolerance:
            return f"the leading mode is not the target's: cosine {self.overlap:.3f}"
        if self.stable_rank > 1.25 * self.expected:
            return (
                f"more than one mode: stable rank {self.stable_rank:.3g} where one learnt mode has {self.expected:.3g}"
            )
        if self.spread > self.tolerance:
            return f"the layers are not balanced: their gains along the mode differ by {self.spread:.1%}"
        return "aligned"


@dataclass(frozen=True)
class DeepLinear:
    """``a' = a + η a^{L−1}(s − a^L)``; made by `deep_linear`.

    Args:
        depth: L.
        rate: η.
        target: s, the singular value to be learnt.

    >>> net = deep_linear(depth=3, rate=0.01, target=2.0)
    >>> bool(np.isclose(net.critical_rate * net.sharpness(2.0), 2))
    True
    """

    depth: int
    rate: float
    target: float

    @property
    def map(self) -> Map:
        """The map in ``a``, its parameter ``g = 1 + η s``: critical at ``g = 1`` for L = 2.

        >>> deep_linear(depth=2, rate=1, target=0.1).map.step
        -a**3 + a*g
        """
        a, g = sp.symbols("a g", real=True)
        if self.depth == 1:
            raise ValueError("one layer has no bifurcation: u' = u + η(s − u); take depth 2 or more")
        # in units of (1/η)^{1/(2L−2)}, so that the self-term has coefficient one
        drive = (g - 1) * a ** (self.depth - 1)
        return Map(sp.expand(a + drive - a ** (2 * self.depth - 1)), a, g, {a: 0, g: 1})

    @property
    def formula(self) -> Formula:
        """Sharpness as a `Formula` of ``u, L``: ``L u^{2−2/L}``, the output kernel's leading eigenvalue."""
        u, L = sp.symbols("u L", positive=True)
        return Formula(L * u ** (2 - 2 / L), (u, L))

    def sharpness(self, u: Any) -> Any:
        """``L u^{2−2/L}``, the loss's largest curvature where the mode has value ``u = s``."""
        return self.depth * np.asarray(u, float) ** (2 - 2 / self.depth)

    @property
    def critical_rate(self) -> float:
        """``η_c = 2/(L s^{2−2/L})``: beyond it the minimum is unstable."""
        return float(2 / self.sharpness(self.target))

    def descend(self, u0: Any, steps: int) -> Descent:
        """The value ``u`` before every step and after the last, from ``u0``; `Descent.g` is u."""
        a = check_real(u0, "u0") ** (1 / self.depth)
        values = [a]
        for _ in range(check_horizon(steps, "steps")):
            a = a + self.rate * a ** (self.depth - 1) * (self.target - a**self.depth)
            values.append(a)
        u = np.stack(values) ** self.depth
        return Descent(u, 0.5 * (u - self.target) ** 2)

    def time(self, u0: float, u1: float) -> float:
        """Steps from value ``u0`` to ``u1``: the flow's time and the lag of a finite rate.

        ``n = ∫ da/(η a^{L−1}(s − a^L)) + …``; for L = 2 the flow's part is ``ln[u₁(s−u₀)/(u₀(s−u₁))]/(2ηs)``.
        """
        L, s = self.depth, self.target

        def slopes(a: np.ndarray) -> np.ndarray:
            return np.stack([-(a ** (L - 1)) * (s - a**L), -(L - 1) * a ** (L - 2) * (s - a**L) + L * a ** (2 * L - 2)])

        if not u0 > 0:
            raise ValueError(f"u0 must be positive, got {u0!r}: from zero no mode is learnt")
        if u0 < u1 and u1 >= s > u0:
            return float("inf")
        return elapsed(slopes, u0 ** (1 / L), u1 ** (1 / L), self.rate)

    def half_time(self, u0: float) -> float:
        """Steps from ``u0`` to half the target."""
        return self.time(u0, self.target / 2)

    def look(self, weights: Sequence[Any], target: Any) -> Aligned:
        """How well a network's leading mode follows the scalar map.

        Args:
            weights: ``W_1 … W_L``, each of shape (out, in).
            target: S, shape (outputs, inputs).

        Raises:
            ValueError: shapes that do not fit, or another depth.
        """
        layers = [check_real(w, f"weights[{k}]") for k, w in enumerate(weights)]
        goal = check_real(target, "target")
        if len(layers) != self.depth:
            raise ValueError(f"weights are {len(layers)} layers and depth is {self.depth}")
        if any(w.ndim != 2 for w in layers) or any(a.shape[0] != b.shape[1] for a, b in pairwise(layers)):
            raise ValueError(f"weights have shapes {[w.shape for w in layers]}, which do not follow each other")
        before, after = [np.eye(layers[0].shape[1])], [np.eye(layers[-1].shape[0])]
        for w in layers[:-1]:
            before.append(w @ before[-1])
        for w in reversed(layers[1:]):
            after.append(after[-1] @ w)
        after.reverse()
        product = after[0] @ layers[0] @ before[0]
        if product.shape != goal.shape:
            raise ValueError(f"target has shape {goal.shape} and the network {product.shape}")
        left, values, right = np.linalg.svd(product)
        target_left, _, target_right = np.linalg.svd(goal)
        overlap = min(abs(left[:, 0] @ target_left[:, 0]), abs(right[0] @ target_right[0]))
        gains, v = [], right[0]
        for w in layers:
            v = w @ v
            gains.append(float(np.linalg.norm(v)))
            v = v / gains[-1]
        mean = np.exp(np.mean(np.log(gains)))
        # J Jᵀ = Σ_l (B_lᵀ B_l) ⊗ (A_l A_lᵀ), the layers before and after l
        kernel = sum(np.kron(b.T @ b, a @ a.T) for a, b in zip(after, before, strict=True))
        width = max(goal.shape)
        return Aligned(
            float(values[0]),
            float(np.max(np.abs(np.array(gains) / mean - 1))),
            float(overlap),
            float(np.trace(kernel) / np.linalg.eigvalsh(kernel)[-1]),
            1 + 2 * (width - 1) / self.depth,
        )

    def forecast(self, weights: Sequence[Any], target: Any) -> float:
        """Steps until the leading mode of a network has learnt half its target.

        Raises:
            ValueError: the network is not aligned; the message says in what. Ask again later in its training.
        """
        seen = self.look(weights, target)
        if seen.status != "aligned":
            raise ValueError(f"weights: {seen.status}; the scalar map holds once they are aligned, ask again later")
        return self.half_time(seen.value)


def deep_linear(depth: int, rate: float, target: float) -> DeepLinear:
    """Descent in an aligned deep linear network, ``a' = a + η a^{L−1}(s − a^L)``, ``u = a^L``.

    Args:
        depth: L, number of layers.
        rate: η, of descent on ``½ ‖W_L … W_1 − S‖²``.
        target: s, the leading singular value of S.

    Raises:
        ValueError: a depth that is no positive integer, a rate or target that is not positive.

    Source: Saxe, McClelland & Ganguli (2014), arXiv:1312.6120.

    >>> deep_linear(depth=2, rate=0.01, target=1.0).half_time(0.001) > 300
    True
    """
    if isinstance(depth, bool) or not isinstance(depth, (int, np.integer)) or depth < 1:
        raise ValueError(f"depth must be a positive number of layers, got {depth!r}")
    for name, value in (("rate", rate), ("target", target)):
        if not float(check_real(value, name)) > 0:
            raise ValueError(f"{name} must be positive, got {value!r}")
    return DeepLinear(int(depth), float(rate), float(target))
