"""A fit beside a prediction."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from normalforms.data.fitted import Fitted

__all__ = ["Agreement", "CurveRow", "ScaleRow", "compare"]

_CLOSE = 0.02  # largest relative error of a predicted curve that counts as agreement where the data have no noise


@dataclass(frozen=True)
class ScaleRow:
    """A fitted scale and its prediction.

    Attributes:
        name: of the parameter.
        fitted, low, high: value and interval of the fit.
        predicted: without fit.
        agrees: whether the interval holds the prediction.
    """

    name: str
    fitted: float
    low: float
    high: float
    predicted: float
    agrees: bool


@dataclass(frozen=True)
class CurveRow:
    """A predicted curve and the data.

    Attributes:
        name: of the curve.
        error: ``max |predicted / measured − 1|``, of ``rms`` the root mean square.
        scales: those of the same law fitted to the predicted curve: what a fit would find if it were the truth.
        explains: whether these lie in the intervals of the fit to the data.
        agrees: whether the curve lies within the noise of the data, or within 2 % of them.
    """

    name: str
    error: float
    rms: float
    scales: Mapping[str, float]
    explains: bool
    agrees: bool


@dataclass(frozen=True)
class Agreement:
    """What a prediction and a fit say of each other.

    Attributes:
        scales: one row for each predicted scale.
        curves: one row for each predicted curve, in the order given.
        verdict: one sentence that begins with "agrees" or "does not agree".
    """

    scales: tuple[ScaleRow, ...]
    curves: tuple[CurveRow, ...]
    verdict: str

    @property
    def agrees(self) -> bool:
        """Whether all predicted scales lie in their intervals, or, where none is given, some curve agrees."""
        return all(s.agrees for s in self.scales) if self.scales else any(c.agrees for c in self.curves)

    def __str__(self) -> str:
        lines = [self.verdict]
        lines += [
            f"{s.name}: fitted {s.fitted:.6g} [{s.low:.6g}, {s.high:.6g}], predicted {s.predicted:.6g}"
            for s in self.scales
        ]
        lines += [f"{c.name}: off by at most {c.error:.2%}, rms {c.rms:.2%}" for c in self.curves]
        return "\n".join(lines)


def compare(found: Fitted, prediction: Any, level: float, refit: Callable[..., Fitted]) -> Agreement:
    """See `Fit.against`.

    Raises:
        ValueError: a name that is no parameter and no curve, or a curve of another length than the data.
    """
    scales, curves = _sorted(found, prediction)
    ends = found.interval(level)
    rows = tuple(
        ScaleRow(n, found.parameters[n], *ends[n], v, bool(ends[n][0] <= v <= ends[n][1])) for n, v in scales.items()
    )
    found_curves = tuple(_curve(found, n, c, ends, refit) for n, c in curves.items())
    return Agreement(rows, found_curves, _verdict(rows, found_curves))


def _sorted(found: Fitted, prediction: Any) -> tuple[dict[str, float], dict[str, np.ndarray]]:
    given = getattr(prediction, "rungs", prediction)
    given = given if isinstance(given, Mapping) else {"prediction": given}
    scales: dict[str, float] = {}
    curves: dict[str, np.ndarray] = {}
    for name, value in given.items():
        values = np.asarray(value, dtype=float)
        if values.ndim == 0:
            if name not in found.parameters:
                raise ValueError(f"prediction names {name!r}; the fit has {', '.join(found.parameters)}")
            scales[name] = float(values)
        elif values.shape == found.measured.shape:
            curves[name] = values
        else:
            raise ValueError(f"prediction {name!r} has shape {values.shape}; the data have {found.measured.shape}")
    return scales, curves


def _curve(
    found: Fitted, name: str, curve: np.ndarray, ends: Mapping[str, Any], refit: Callable[..., Fitted]
) -> CurveRow:
    if not np.all(np.isfinite(curve)) or np.any(curve <= 0):
        return CurveRow(name, np.inf, np.inf, {}, False, False)
    gap = curve / found.measured - 1
    rms, error = float(np.sqrt(np.mean(gap**2))), float(np.max(np.abs(gap)))
    d = found.data
    own = refit(
        d.parameter,
        curve,
        horizon=d.horizon,
        initial=d.initial,
        laws=found.contender.candidate.map,
        critical="free" if d.critical is None else d.critical,
        weights=d.weight,
    )
    explains = all(ends[n][0] <= v <= ends[n][1] for n, v in own.parameters.items() if n in ends)
    noise = found.goodness.size if not found.goodness.misfit else 0.0
    agrees = error < _CLOSE or rms < 1.5 * noise
    return CurveRow(name, error, rms, dict(own.parameters), explains, agrees)


def _verdict(scales: tuple[ScaleRow, ...], curves: tuple[CurveRow, ...]) -> str:
    right = next((c for c in curves if c.agrees), None)
    off = [s for s in scales if not s.agrees]
    if scales and not off:
        return "agrees: every predicted scale lies in the interval of its fit"
    if not scales and right:
        return f"agrees: the curve {right.name!r} is off by at most {right.error:.1%}"
    said = "does not agree"
    if off:
        said += ": " + ", ".join(f"{s.name} is {s.fitted:.4g}, not {s.predicted:.4g}" for s in off)
    if right:
        text = f"{said}; the rung that does is {right.name!r}, off by at most {right.error:.1%}"
        return text + ("; a fit to it finds the same scales" if right.explains else "")
    if curves:
        near = min(curves, key=lambda c: c.error)
        return f"{said}; the nearest curve is {near.name!r}, off by up to {near.error:.1%}"
    return said
